"""Key pairs: GetPublicKey, Sign, Verify, DeriveSharedSecret, Encapsulate, Decapsulate."""

from __future__ import annotations

from typing import Final

from clavero.model import errors, specs
from clavero.ops import recipients, states
from clavero.ops.call import Call, Response, as_bytes
from clavero.ops.context import OpsContext
from clavero.ops.directory import Key
from clavero.ops.registry import Handler, by_any_name
from clavero.ops.usage import algorithm_of, fits, public_key

_RAW: Final = "RAW"


def get_public_key(context: OpsContext, call: Call) -> Response:
    """GetPublicKey: SPKI DER, and what the pair is for."""
    key = call.keys[0]
    row = key.row
    if not specs.has_public_key(row.spec):
        raise errors.no_public_key()
    return {
        "KeyId": key.arn,
        "PublicKey": public_key(context, key),
        "CustomerMasterKeySpec": row.spec,
        "KeySpec": row.spec,
        "KeyUsage": row.usage,
        **specs.algorithm_members(row.spec, row.usage),
    }


def _message(call: Call, key: Key) -> tuple[str, str, bytes]:
    """The signing algorithm, the message type and the message, which go with the key."""
    algorithm = algorithm_of(call, key, specs.SIGN_VERIFY, "SigningAlgorithm")
    message_type = call.params.get("MessageType", _RAW)
    message = as_bytes(call.params["Message"])
    specs.check_message(key.row.spec, algorithm, message_type, len(message))
    return algorithm, message_type, message


def sign(context: OpsContext, call: Call) -> Response:
    """Sign: ECDSA as DER, PSS with a salt as long as its digest."""
    key = call.keys[0]
    algorithm, message_type, message = _message(call, key)
    signature = context.keystore.sign(key.current, algorithm, message_type, message)
    return {"KeyId": key.arn, "Signature": signature, "SigningAlgorithm": algorithm}


def verify(context: OpsContext, call: Call) -> Response:
    """Verify: KMSInvalidSignatureException unless the signature is the key's of the message."""
    key = call.keys[0]
    algorithm, message_type, message = _message(call, key)
    signature = as_bytes(call.params["Signature"])
    if not context.keystore.verify(
        public_key(context, key), key.row.spec, algorithm, message_type, message, signature
    ):
        raise errors.invalid_signature()
    return {"KeyId": key.arn, "SignatureValid": True, "SigningAlgorithm": algorithm}


def derive_shared_secret(context: OpsContext, call: Call) -> Response:
    """DeriveSharedSecret: ECDH's x coordinate, as long as the curve's field."""
    key = call.keys[0]
    algorithm = algorithm_of(call, key, specs.KEY_AGREEMENT, "KeyAgreementAlgorithm")
    peer = as_bytes(call.params["PublicKey"])
    if call.recipient is None:
        secret: Response = {
            "SharedSecret": context.keystore.derive_shared_secret(key.current, peer)
        }
    else:
        envelope = context.keystore.derive_shared_secret_for(call.recipient, key.current, peer)
        secret = recipients.answer(call, envelope)
    return {
        "KeyId": key.arn,
        "KeyAgreementAlgorithm": algorithm,
        "KeyOrigin": key.row.origin,
        **secret,
    }


def encapsulate(context: OpsContext, call: Call) -> Response:
    """Encapsulate: a new secret of 32 bytes, and its form for the holder of the private key."""
    key = call.keys[0]
    algorithm = algorithm_of(call, key, specs.ENCAPSULATE_DECAPSULATE, "EncapsulationAlgorithm")
    secret, ciphertext = context.keystore.encapsulate(public_key(context, key), key.row.spec)
    return {
        "KeyId": key.arn,
        "SharedSecret": secret,
        "SharedSecretCiphertextBlob": ciphertext,
        "EncapsulationAlgorithm": algorithm,
    }


def decapsulate(context: OpsContext, call: Call) -> Response:
    """Decapsulate. A ciphertext of another key gives another secret: FIPS 203 rejects implicitly.

    InvalidCiphertextException for a length that no ciphertext of the spec has.
    """
    key = call.keys[0]
    algorithm = algorithm_of(call, key, specs.ENCAPSULATE_DECAPSULATE, "EncapsulationAlgorithm")
    ciphertext = as_bytes(call.params["SharedSecretCiphertextBlob"])
    if len(ciphertext) != specs.encapsulated_bytes(key.row.spec):
        raise errors.invalid_ciphertext()
    return {
        "KeyId": key.arn,
        "SharedSecret": context.keystore.decapsulate(key.current, ciphertext),
        "EncapsulationAlgorithm": algorithm,
    }


HANDLERS: Final = (
    Handler("GetPublicKey", get_public_key, resolve=by_any_name, states=states.WITH_PUBLIC_KEY),
    Handler(
        "Sign",
        sign,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
        fits=fits(specs.SIGN_VERIFY),
    ),
    Handler(
        "Verify",
        verify,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
        fits=fits(specs.SIGN_VERIFY),
    ),
    Handler(
        "DeriveSharedSecret",
        derive_shared_secret,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
        fits=fits(specs.KEY_AGREEMENT),
    ),
    Handler(
        "Encapsulate",
        encapsulate,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
        fits=fits(specs.ENCAPSULATE_DECAPSULATE),
    ),
    Handler(
        "Decapsulate",
        decapsulate,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
        fits=fits(specs.ENCAPSULATE_DECAPSULATE),
    ),
)
