"""Cryptography on data: Encrypt, Decrypt, ReEncrypt, GenerateRandom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clavero.model import errors
from clavero.ops import states
from clavero.ops.call import Call, Response
from clavero.ops.context import OpsContext, not_built
from clavero.ops.directory import ForeignResource, Key, Version
from clavero.ops.registry import Handler, Need, account_wide, by_any_name

SYMMETRIC: Final = "SYMMETRIC_DEFAULT"
_OF_CIPHERTEXT: Final = "on the resource associated with this ciphertext"


def check_symmetric(call: Call, key: Key, member: str = "EncryptionAlgorithm") -> None:
    """Refuse an algorithm that the key does not have."""
    algorithm = call.params.get(member, SYMMETRIC)
    if algorithm != SYMMETRIC:
        raise errors.algorithm_incompatible(algorithm, key.row.spec)


def as_bytes(value: object) -> bytes:
    """A blob member as bytes; the model accepts other buffers too."""
    return value if type(value) is bytes else bytes(value)  # type: ignore[call-overload]  # a buffer


def encrypt(context: OpsContext, call: Call) -> Response:
    """Encrypt."""
    key = call.keys[0]
    check_symmetric(call, key)
    params = call.params
    blob = context.keystore.encrypt(
        key.current, as_bytes(params["Plaintext"]), params.get("EncryptionContext")
    )
    return {"CiphertextBlob": blob, "KeyId": key.arn, "EncryptionAlgorithm": SYMMETRIC}


def _opening_key(context: OpsContext, call: Call, key_member: str, context_member: str) -> Key:
    """The key that the call names, or else the one that its ciphertext names.

    Where the call names one, nothing is said of the ciphertext before the caller is authorised on
    that key: whether another account's key exists must not show.
    """
    wanted = call.params.get(key_member)
    if wanted is not None:
        return context.directory.resolve(call.scope, wanted)
    return _version(context, call, context_member).key


def _version(
    context: OpsContext, call: Call, context_member: str, key: Key | None = None
) -> Version:
    """The key version that the call's ciphertext names; IncorrectKeyException unless it is `key`'s.

    A blob of no key here is refused after the work of opening one, so that time does not tell it
    from a forged blob.
    """
    blob = as_bytes(call.params["CiphertextBlob"])
    hbkid = context.keystore.blob_key(blob)
    version = context.directory.version(call.scope.keys, hbkid)
    if version is None:
        context.keystore.decrypt_unknown(blob, call.params.get(context_member))
    if key is not None and version.key.arn != key.arn:
        raise errors.incorrect_key()
    return version


def _refuse_unbuilt(call: Call) -> None:
    if "Recipient" in call.params:
        raise not_built("Recipient (attestation of Nitro enclaves)")
    if "DryRunModifiers" in call.params:
        raise not_built("DryRunModifiers")


def _check_ciphertext(call: Call) -> None:
    _refuse_unbuilt(call)
    # The model lets it be absent, for dry runs with a modifier that ignores it.
    if "CiphertextBlob" not in call.params:
        raise errors.member_required("ciphertextBlob")


def _of_ciphertext(context: OpsContext, call: Call) -> tuple[Key, ...]:
    _check_ciphertext(call)
    return (_opening_key(context, call, "KeyId", "EncryptionContext"),)


def _needs_of_decrypt(call: Call) -> Sequence[Need]:
    key = call.keys[0]
    named = f"on resource: {key.arn}" if "KeyId" in call.params else _OF_CIPHERTEXT
    return (Need("kms:Decrypt", key, named),)


def decrypt(context: OpsContext, call: Call) -> Response:
    """Decrypt: by the material that the blob names, and no other."""
    key = call.keys[0]
    check_symmetric(call, key)
    params = call.params
    version = _version(context, call, "EncryptionContext", key)
    plaintext = context.keystore.decrypt(
        version, as_bytes(params["CiphertextBlob"]), params.get("EncryptionContext")
    )
    return {
        "KeyId": key.arn,
        "Plaintext": plaintext,
        "EncryptionAlgorithm": SYMMETRIC,
        "KeyMaterialId": version.material_id,
    }


def _source_and_destination(context: OpsContext, call: Call) -> tuple[Key, ...]:
    _check_ciphertext(call)
    try:
        source = _opening_key(context, call, "SourceKeyId", "SourceEncryptionContext")
    except ForeignResource as foreign:
        foreign.action = "kms:ReEncryptFrom"
        raise
    try:
        destination = context.directory.resolve(call.scope, call.params["DestinationKeyId"])
    except ForeignResource as foreign:
        foreign.action = "kms:ReEncryptTo"
        foreign.first = (_need_of_source(call, source),)
        raise
    return (source, destination)


def _need_of_source(call: Call, source: Key) -> Need:
    named = f"on resource: {source.arn}" if "SourceKeyId" in call.params else _OF_CIPHERTEXT
    return Need("kms:ReEncryptFrom", source, named)


def _needs_of_reencrypt(call: Call) -> Sequence[Need]:
    source, destination = call.keys
    return (
        _need_of_source(call, source),
        Need("kms:ReEncryptTo", destination, f"on resource: {destination.arn}"),
    )


def re_encrypt(context: OpsContext, call: Call) -> Response:
    """ReEncrypt: the plaintext stays inside the HSM."""
    source, destination = call.keys
    check_symmetric(call, source, "SourceEncryptionAlgorithm")
    check_symmetric(call, destination, "DestinationEncryptionAlgorithm")
    params = call.params
    version = _version(context, call, "SourceEncryptionContext", source)
    sealed = context.keystore.reencrypt(
        version,
        as_bytes(params["CiphertextBlob"]),
        params.get("SourceEncryptionContext"),
        destination.current,
        params.get("DestinationEncryptionContext"),
    )
    return {
        "CiphertextBlob": sealed,
        "SourceKeyId": source.arn,
        "KeyId": destination.arn,
        "SourceEncryptionAlgorithm": SYMMETRIC,
        "DestinationEncryptionAlgorithm": SYMMETRIC,
        "SourceKeyMaterialId": version.material_id,
        "DestinationKeyMaterialId": destination.current.material_id,
    }


def generate_random(context: OpsContext, call: Call) -> Response:
    """GenerateRandom: from the HSM's DRBG."""
    _refuse_unbuilt(call)
    if "CustomKeyStoreId" in call.params:
        raise not_built("GenerateRandom in a custom key store")
    size = call.params.get("NumberOfBytes")
    if size is None:
        raise errors.number_of_bytes_required()
    return {"Plaintext": context.keystore.generate_random(size)}


HANDLERS: Final = (
    Handler("Encrypt", encrypt, resolve=by_any_name, states=states.ENABLED, computes=True),
    Handler(
        "Decrypt",
        decrypt,
        resolve=_of_ciphertext,
        needs=_needs_of_decrypt,
        states=states.ENABLED,
        computes=True,
    ),
    Handler(
        "ReEncrypt",
        re_encrypt,
        resolve=_source_and_destination,
        needs=_needs_of_reencrypt,
        states=states.ENABLED,
        computes=True,
    ),
    Handler("GenerateRandom", generate_random, needs=account_wide("kms:GenerateRandom")),
)
