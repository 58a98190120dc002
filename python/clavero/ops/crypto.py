"""Cryptography on data: Encrypt, Decrypt, ReEncrypt, GenerateRandom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clavero.model import arn, errors, specs
from clavero.ops import recipients, states
from clavero.ops.call import Call, Response, as_bytes
from clavero.ops.context import OpsContext, not_built
from clavero.ops.directory import ForeignResource, Key, Version
from clavero.ops.registry import Handler, Need, account_wide, by_any_name
from clavero.ops.usage import algorithm_of, check_usage, fits, public_key

SYMMETRIC: Final = specs.SYMMETRIC_DEFAULT
_OF_CIPHERTEXT: Final = "on the resource associated with this ciphertext"


def _check_context(call: Call, algorithm: str, member: str = "EncryptionContext") -> None:
    """RSA authenticates no context, so that none must seem to protect the ciphertext."""
    if algorithm != SYMMETRIC and call.params.get(member):
        raise errors.context_of_asymmetric()


def _sealing_algorithm(call: Call, key: Key, prefix: str = "") -> str:
    """The algorithm to encrypt with: one of the key's, with a context that it takes."""
    algorithm: str = call.params.get(f"{prefix}EncryptionAlgorithm", SYMMETRIC)
    if algorithm == SYMMETRIC == key.row.spec:
        return algorithm  # nearly every call
    check_usage(call, key, specs.ENCRYPT_DECRYPT)
    _check_context(call, algorithm, f"{prefix}EncryptionContext")
    return algorithm_of(call, key, specs.ENCRYPT_DECRYPT, f"{prefix}EncryptionAlgorithm", SYMMETRIC)


def _opening_algorithm(call: Call, key: Key, prefix: str = "") -> str:
    """The algorithm to decrypt with.

    Where it is SYMMETRIC_DEFAULT, the blob says which key it is of, and a key of another kind is
    refused as any other key is.
    """
    algorithm: str = call.params.get(f"{prefix}EncryptionAlgorithm", SYMMETRIC)
    if algorithm == SYMMETRIC:
        return algorithm
    return _sealing_algorithm(call, key, prefix)


def encrypt(context: OpsContext, call: Call) -> Response:
    """Encrypt."""
    key = call.keys[0]
    params = call.params
    algorithm = _sealing_algorithm(call, key)
    plaintext = as_bytes(params["Plaintext"])
    if algorithm == SYMMETRIC:
        blob = context.keystore.encrypt(key.current, plaintext, params.get("EncryptionContext"))
    else:
        blob = _encrypt_with_rsa(context, key, algorithm, plaintext)
    return {"CiphertextBlob": blob, "KeyId": key.arn, "EncryptionAlgorithm": algorithm}


def _encrypt_with_rsa(context: OpsContext, key: Key, algorithm: str, plaintext: bytes) -> bytes:
    specs.check_plaintext(key.row.spec, algorithm, len(plaintext))
    return context.keystore.rsa_encrypt(public_key(context, key), algorithm, plaintext)


def _opening_key(context: OpsContext, call: Call, prefix: str = "") -> Key:
    """The key that the call names, or else the one that its ciphertext names.

    Where the call names one, nothing is said of the ciphertext before the caller is authorised on
    that key: whether another account's key exists must not show. A ciphertext of RSA names none.
    """
    wanted = call.params.get(f"{prefix}KeyId")
    if wanted is not None:
        # A related key's ARN names another key than the one that opens it here.
        if arn.is_multi_region_elsewhere(wanted, call.scope.region):
            raise errors.incorrect_key()
        return context.directory.resolve(call.scope, wanted)
    algorithm = call.params.get(f"{prefix}EncryptionAlgorithm", SYMMETRIC)
    if algorithm != SYMMETRIC or _ignores_ciphertext(call):
        raise errors.opening_key_required(f"{prefix}KeyId")
    return _version(context, call, f"{prefix}EncryptionContext").key


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


def _ignores_ciphertext(call: Call) -> bool:
    """Whether this dry run is about the permission only, for which no ciphertext is needed."""
    params = call.params
    return "IGNORE_CIPHERTEXT" in params.get("DryRunModifiers", ()) and bool(params.get("DryRun"))


def _check_ciphertext(call: Call) -> None:
    if "CiphertextBlob" not in call.params and not _ignores_ciphertext(call):
        raise errors.member_required("ciphertextBlob")


def _of_ciphertext(context: OpsContext, call: Call) -> tuple[Key, ...]:
    _check_ciphertext(call)
    return (_opening_key(context, call),)


def _needs_of_decrypt(call: Call) -> Sequence[Need]:
    key = call.keys[0]
    named = f"on resource: {key.arn}" if "KeyId" in call.params else _OF_CIPHERTEXT
    return (Need("kms:Decrypt", key, named),)


def _fits_decrypt(context: OpsContext, call: Call) -> None:
    """What AWS says before it looks at the key's state: that the ciphertext is another key's."""
    _fits_opening(context, call, call.keys[0])


def _fits_opening(context: OpsContext, call: Call, key: Key, prefix: str = "") -> None:
    if _ignores_ciphertext(call) or _opening_algorithm(call, key, prefix) != SYMMETRIC:
        check_usage(call, key, specs.ENCRYPT_DECRYPT)
    else:
        context_member = "SourceEncryptionContext" if prefix else "EncryptionContext"
        _version(context, call, context_member, key)


def _fits_re_encrypt(context: OpsContext, call: Call) -> None:
    source, destination = call.keys
    _fits_opening(context, call, source, "Source")
    check_usage(call, destination, specs.ENCRYPT_DECRYPT)


def decrypt(context: OpsContext, call: Call) -> Response:
    """Decrypt: by the material that the blob names, and no other."""
    key = call.keys[0]
    params = call.params
    algorithm = _opening_algorithm(call, key)
    if _ignores_ciphertext(call):
        check_usage(call, key, specs.ENCRYPT_DECRYPT)
        raise errors.dry_run()
    blob = as_bytes(params["CiphertextBlob"])
    if algorithm != SYMMETRIC:
        return {
            "KeyId": key.arn,
            "EncryptionAlgorithm": algorithm,
            **_opened_with_rsa(context, call, key, algorithm, blob),
        }
    version = _version(context, call, "EncryptionContext", key)
    authenticated = params.get("EncryptionContext")
    answer: Response = {
        "KeyId": key.arn,
        "EncryptionAlgorithm": algorithm,
        "KeyMaterialId": version.material_id,
    }
    if call.recipient is None:
        answer["Plaintext"] = context.keystore.decrypt(version, blob, authenticated)
        return answer
    envelope = context.keystore.decrypt_for(call.recipient, version, blob, authenticated)
    return answer | recipients.answer(call, envelope)


def _opened_with_rsa(
    context: OpsContext, call: Call, key: Key, algorithm: str, ciphertext: bytes
) -> Response:
    store = context.keystore
    if call.recipient is None:
        return {"Plaintext": store.rsa_decrypt(key.current, algorithm, ciphertext)}
    envelope = store.rsa_decrypt_for(call.recipient, key.current, algorithm, ciphertext)
    return recipients.answer(call, envelope)


def _source_and_destination(context: OpsContext, call: Call) -> tuple[Key, ...]:
    _check_ciphertext(call)
    try:
        source = _opening_key(context, call, "Source")
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
    """ReEncrypt. From a symmetric key to another, the plaintext stays inside the HSM."""
    source, destination = call.keys
    params = call.params
    opening = _opening_algorithm(call, source, "Source")
    sealing = _sealing_algorithm(call, destination, "Destination")
    if _ignores_ciphertext(call):
        check_usage(call, source, specs.ENCRYPT_DECRYPT)
        raise errors.dry_run()
    blob = as_bytes(params["CiphertextBlob"])
    old_context = params.get("SourceEncryptionContext")
    new_context = params.get("DestinationEncryptionContext")
    answer: Response = {
        "SourceKeyId": source.arn,
        "KeyId": destination.arn,
        "SourceEncryptionAlgorithm": opening,
        "DestinationEncryptionAlgorithm": sealing,
    }
    plaintext = b""
    if opening == SYMMETRIC:
        version = _version(context, call, "SourceEncryptionContext", source)
        answer["SourceKeyMaterialId"] = version.material_id
        if sealing == SYMMETRIC:
            answer["CiphertextBlob"] = context.keystore.reencrypt(
                version, blob, old_context, destination.current, new_context
            )
        else:
            plaintext = context.keystore.decrypt(version, blob, old_context)
    else:
        plaintext = context.keystore.rsa_decrypt(source.current, opening, blob)
    if sealing != SYMMETRIC:
        answer["CiphertextBlob"] = _encrypt_with_rsa(context, destination, sealing, plaintext)
        return answer
    answer["DestinationKeyMaterialId"] = destination.current.material_id
    if opening != SYMMETRIC:
        answer["CiphertextBlob"] = context.keystore.encrypt(
            destination.current, plaintext, new_context
        )
    return answer


def generate_random(context: OpsContext, call: Call) -> Response:
    """GenerateRandom: from the HSM's DRBG."""
    if "CustomKeyStoreId" in call.params:
        raise not_built("GenerateRandom in a custom key store")
    size = call.params.get("NumberOfBytes")
    if size is None:
        raise errors.number_of_bytes_required()
    if call.recipient is None:
        return {"Plaintext": context.keystore.generate_random(size)}
    return recipients.answer(call, context.keystore.generate_random_for(call.recipient, size))


HANDLERS: Final = (
    Handler(
        "Encrypt",
        encrypt,
        resolve=by_any_name,
        states=states.ENABLED,
        computes=True,
        fits=fits(specs.ENCRYPT_DECRYPT),
    ),
    Handler(
        "Decrypt",
        decrypt,
        resolve=_of_ciphertext,
        needs=_needs_of_decrypt,
        states=states.ENABLED,
        computes=True,
        fits=_fits_decrypt,
    ),
    Handler(
        "ReEncrypt",
        re_encrypt,
        resolve=_source_and_destination,
        needs=_needs_of_reencrypt,
        states=states.ENABLED,
        computes=True,
        fits=_fits_re_encrypt,
    ),
    Handler("GenerateRandom", generate_random, needs=account_wide("kms:GenerateRandom")),
)
