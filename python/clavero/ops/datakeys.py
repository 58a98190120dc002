"""Data keys and data key pairs: GenerateDataKey, GenerateDataKeyPair, both WithoutPlaintext too."""

from __future__ import annotations

from typing import Final

from clavero.model import errors, specs
from clavero.ops import recipients, states
from clavero.ops.call import Call, Params, Response
from clavero.ops.context import OpsContext
from clavero.ops.registry import Handler, by_any_name
from clavero.ops.usage import check_symmetric, check_usage, fits

_SIZES: Final = {"AES_256": 32, "AES_128": 16}


def size_of(params: Params) -> int:
    """Bytes of the data key: from KeySpec or from NumberOfBytes, exactly one of them."""
    spec: str | None = params.get("KeySpec")
    size: int | None = params.get("NumberOfBytes")
    if spec is None:
        if size is not None:
            return size
    elif size is None:
        return _SIZES[spec]
    raise errors.data_key_size_required()


def fits_data_key(context: OpsContext, call: Call) -> None:
    """What AWS asks before it looks at the key's state: the size, then the key's usage."""
    size_of(call.params)
    check_usage(call, call.keys[0], specs.ENCRYPT_DECRYPT)


def generate_data_key(context: OpsContext, call: Call) -> Response:
    """GenerateDataKey."""
    params = call.params
    key = call.keys[0]
    size = size_of(params)
    if key.spec != specs.SYMMETRIC_DEFAULT:  # spares the hottest call of all a call
        check_symmetric(call, key)
    version = key.current
    if call.recipient is not None:
        envelope, blob = context.keystore.generate_data_key_for(
            call.recipient, version, size, params.get("EncryptionContext")
        )
        return {
            "CiphertextBlob": blob,
            "KeyId": key.arn,
            "KeyMaterialId": version.material_id,
            **recipients.answer(call, envelope),
        }
    plaintext, blob = context.keystore.generate_data_key(
        version, size, params.get("EncryptionContext")
    )
    return {
        "CiphertextBlob": blob,
        "Plaintext": plaintext,
        "KeyId": key.arn,
        "KeyMaterialId": version.material_id,
    }


def generate_data_key_without_plaintext(context: OpsContext, call: Call) -> Response:
    """GenerateDataKeyWithoutPlaintext."""
    params = call.params
    key = call.keys[0]
    size = size_of(params)
    check_symmetric(call, key)
    version = key.current
    blob = context.keystore.generate_data_key_without_plaintext(
        version, size, params.get("EncryptionContext")
    )
    return {
        "CiphertextBlob": blob,
        "KeyId": key.arn,
        "KeyMaterialId": version.material_id,
    }


def _pair(context: OpsContext, call: Call, *, with_plaintext: bool) -> Response:
    params = call.params
    key = call.keys[0]
    check_symmetric(call, key)
    spec: str = params["KeyPairSpec"]
    if spec == specs.SM2:
        raise errors.only_in_china(spec)
    if params.get("DryRun"):
        raise errors.dry_run()  # nothing else can be wrong, and a pair of RSA takes seconds
    version = key.current
    authenticated = params.get("EncryptionContext")
    secret: Response = {}
    if call.recipient is None:
        private, blob, public = context.keystore.generate_data_key_pair(
            version, spec, authenticated, with_plaintext=with_plaintext
        )
        if private is not None:
            secret = {"PrivateKeyPlaintext": private}
    else:
        envelope, blob, public = context.keystore.generate_data_key_pair_for(
            call.recipient, version, spec, authenticated
        )
        secret = recipients.answer(call, envelope)
    return {
        "PrivateKeyCiphertextBlob": blob,
        "PublicKey": public,
        "KeyId": key.arn,
        "KeyPairSpec": spec,
        "KeyMaterialId": version.material_id,
        **secret,
    }


def generate_data_key_pair(context: OpsContext, call: Call) -> Response:
    """GenerateDataKeyPair: the private key as PKCS #8, in the clear and encrypted; SPKI."""
    return _pair(context, call, with_plaintext=True)


def generate_data_key_pair_without_plaintext(context: OpsContext, call: Call) -> Response:
    """GenerateDataKeyPairWithoutPlaintext: the private key encrypted only."""
    return _pair(context, call, with_plaintext=False)


HANDLERS: Final = (
    Handler(
        "GenerateDataKey",
        generate_data_key,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
        fits=fits_data_key,
    ),
    Handler(
        "GenerateDataKeyWithoutPlaintext",
        generate_data_key_without_plaintext,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
        fits=fits_data_key,
    ),
    Handler(
        "GenerateDataKeyPair",
        generate_data_key_pair,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
        fits=fits(specs.ENCRYPT_DECRYPT),
    ),
    Handler(
        "GenerateDataKeyPairWithoutPlaintext",
        generate_data_key_pair_without_plaintext,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
        fits=fits(specs.ENCRYPT_DECRYPT),
    ),
)
