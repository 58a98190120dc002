"""Data keys: GenerateDataKey, GenerateDataKeyWithoutPlaintext."""

from __future__ import annotations

from typing import Final

from clavero.model import errors
from clavero.ops import states
from clavero.ops.call import Call, Params, Response
from clavero.ops.context import OpsContext, not_built
from clavero.ops.registry import Handler, by_any_name

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


def generate_data_key(context: OpsContext, call: Call) -> Response:
    """GenerateDataKey."""
    params = call.params
    if "Recipient" in params:
        raise not_built("Recipient (attestation of Nitro enclaves)")
    key = call.keys[0]
    version = key.current
    plaintext, blob = context.keystore.generate_data_key(
        version, size_of(params), params.get("EncryptionContext")
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
    version = key.current
    blob = context.keystore.generate_data_key_without_plaintext(
        version, size_of(params), params.get("EncryptionContext")
    )
    return {
        "CiphertextBlob": blob,
        "KeyId": key.arn,
        "KeyMaterialId": version.material_id,
    }


HANDLERS: Final = (
    Handler(
        "GenerateDataKey",
        generate_data_key,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
    ),
    Handler(
        "GenerateDataKeyWithoutPlaintext",
        generate_data_key_without_plaintext,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
    ),
)
