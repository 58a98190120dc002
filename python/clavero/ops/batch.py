"""Batches, which AWS does not have: GenerateDataKeys, EncryptMany, DecryptMany.

One call, one authorisation, one audit record with the count. They are authorised as the single
operations are, and each blob is an ordinary one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from clavero.model import errors, specs
from clavero.model.explain import shown
from clavero.model.operations import OPERATIONS
from clavero.ops import states
from clavero.ops.call import Call, Response
from clavero.ops.context import OpsContext, not_built
from clavero.ops.datakeys import fits_data_key, size_of
from clavero.ops.directory import Key, Version
from clavero.ops.registry import Handler, Need, by_any_name
from clavero.ops.usage import algorithm_of, check_symmetric, fits

# Bounds the memory of one call (2 GiB of 1024-byte keys would be beyond it): 2^24.
MAX_KEYS: Final = 1 << 24
# Members of the single operations whose features are not built.
_NOT_OF_BATCHES: Final = frozenset({"Recipient", "DryRunModifiers"})


class BatchOperation:
    """A batch of an operation of the model.

    Its parameters are the single operation's, validated as those are, but for `many`, the member
    that there are many of. `single` names that operation, and `stand_in` is a legal value of its
    member.
    """

    __slots__ = ("_single", "_stand_in", "many", "name", "single")

    def __init__(self, name: str, single: str, many: str, stand_in: dict[str, object]) -> None:
        self.name: Final = name
        self.many: Final = many
        self.single: Final = single
        self._single = OPERATIONS[single]
        self._stand_in = stand_in

    def is_exact(self, params: Any, /) -> bool:
        """Never: `validated` is worth its microseconds for a batch."""
        return False

    def validated(self, params: Any, /) -> dict[str, Any]:
        """Raises KMSError unless everything but the many is as the single operation has it."""
        rest = dict(params)
        if self.many not in rest:
            raise errors.member_required(self.many[0].lower() + self.many[1:])
        many = rest.pop(self.many)
        for member in _NOT_OF_BATCHES & rest.keys():
            raise not_built(f"{member} in a batch")
        for member in self._stand_in.keys() & rest.keys():
            raise errors.serialization(
                f"Unknown parameter {member!r}: a batch has {self.many!r} in its place"
            )
        valid = self._single.validated({**rest, **self._stand_in})
        for member in self._stand_in:
            del valid[member]
        valid[self.many] = many
        return valid


GENERATE_DATA_KEYS: Final = BatchOperation(
    "GenerateDataKeys", "GenerateDataKey", "NumberOfKeys", {}
)
ENCRYPT_MANY: Final = BatchOperation("EncryptMany", "Encrypt", "Plaintexts", {"Plaintext": b"\x00"})
DECRYPT_MANY: Final = BatchOperation(
    "DecryptMany", "Decrypt", "CiphertextBlobs", {"CiphertextBlob": b"\x00"}
)


def generate_data_keys(context: OpsContext, call: Call) -> Response:
    """Many data keys of one size under one key and one context."""
    params = call.params
    count = params["NumberOfKeys"]
    if type(count) is not int or not 1 <= count <= MAX_KEYS:
        raise errors.validation(
            f"1 validation error detected: Value '{shown(count)}' at 'numberOfKeys' failed to "
            f"satisfy constraint: Member must be an integer between 1 and {MAX_KEYS}"
        )
    size = size_of(params)
    key = call.keys[0]
    check_symmetric(call, key)
    version = key.current
    call.extra = {"numberOfKeys": count}
    plaintext, blobs = context.keystore.generate_data_keys(
        version, count, size, params.get("EncryptionContext")
    )
    return {
        "Plaintexts": plaintext,
        "CiphertextBlobs": blobs,
        "Size": size,
        "KeyId": key.arn,
        "KeyMaterialId": version.material_id,
    }


def _check_algorithm(call: Call, key: Key) -> None:
    algorithm = algorithm_of(
        call, key, specs.ENCRYPT_DECRYPT, "EncryptionAlgorithm", specs.SYMMETRIC_DEFAULT
    )
    if algorithm != specs.SYMMETRIC_DEFAULT:
        raise not_built("RSA in a batch")


def encrypt_many(context: OpsContext, call: Call) -> Response:
    """Many plaintexts under one key and one context."""
    params = call.params
    key = call.keys[0]
    _check_algorithm(call, key)
    blobs, offsets = _with_inputs(
        context.keystore.encrypt_many,
        key.current,
        params["Plaintexts"],
        params.get("EncryptionContext"),
    )
    call.extra = {"count": len(offsets) // 8 - 1}
    return {"Values": blobs, "Offsets": offsets, "KeyId": key.arn}


def _versions(context: OpsContext, call: Call) -> list[Version]:
    """The key versions that the blobs name, each once."""
    found = []
    for hbkid in _with_inputs(context.keystore.blob_keys, call.params["CiphertextBlobs"]):
        version = context.directory.version(call.scope.keys, hbkid)
        if version is None:
            raise errors.invalid_ciphertext()
        found.append(version)
    return found


def _of_ciphertexts(context: OpsContext, call: Call) -> tuple[Key, ...]:
    """The key that the call names, or those that the blobs name; see `crypto` for the order."""
    wanted = call.params.get("KeyId")
    if wanted is not None:
        return (context.directory.resolve(call.scope, wanted),)
    return tuple({version.key.arn: version.key for version in _versions(context, call)}.values())


def _needs_of_decrypt(call: Call) -> Sequence[Need]:
    if "KeyId" in call.params:
        (key,) = call.keys
        return (Need("kms:Decrypt", key, f"on resource: {key.arn}"),)
    named = "on the resource associated with this ciphertext"
    return [Need("kms:Decrypt", key, named) for key in call.keys]


def decrypt_many(context: OpsContext, call: Call) -> Response:
    """Many blobs, of one key or several, under one context."""
    params = call.params
    for key in call.keys:
        _check_algorithm(call, key)
    allowed = {key.arn for key in call.keys}
    materials = {}
    for version in _versions(context, call):
        if version.key.arn not in allowed:
            raise errors.incorrect_key()
        materials[version.hbkid] = version
    plaintexts, offsets = _with_inputs(
        context.keystore.decrypt_many,
        materials,
        params["CiphertextBlobs"],
        params.get("EncryptionContext"),
    )
    call.extra = {"count": len(offsets) // 8 - 1}
    return {"Values": plaintexts, "Offsets": offsets}


def _with_inputs(use: Any, *arguments: Any) -> Any:
    """Run `use`; an argument that is no list, 2-D array or Arrow array is the caller's mistake."""
    try:
        return use(*arguments)
    except (TypeError, ValueError) as error:
        raise errors.validation(f"1 validation error detected: {error}") from None


HANDLERS: Final = (
    Handler(
        "GenerateDataKeys",
        generate_data_keys,
        resolve=by_any_name,
        action="kms:GenerateDataKey",
        states=states.ENABLED,
        computes=True,
        fits=fits_data_key,
    ),
    Handler(
        "EncryptMany",
        encrypt_many,
        resolve=by_any_name,
        action="kms:Encrypt",
        states=states.ENABLED,
        computes=True,
        fits=fits(specs.ENCRYPT_DECRYPT),
    ),
    Handler(
        "DecryptMany",
        decrypt_many,
        resolve=_of_ciphertexts,
        action="kms:Decrypt",
        needs=_needs_of_decrypt,
        states=states.ENABLED,
        computes=True,
    ),
)
