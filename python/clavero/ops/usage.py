"""Whether the call's key may be used as the operation wants: its KeyUsage, and the algorithm."""

from __future__ import annotations

from clavero.keystores import pairs
from clavero.model import errors, specs
from clavero.ops.call import Call
from clavero.ops.context import OpsContext
from clavero.ops.directory import Key
from clavero.ops.registry import Check


def check_usage(call: Call, key: Key, usage: str) -> None:
    """InvalidKeyUsageException unless the key is for `usage`."""
    if key.row.usage != usage:
        raise errors.key_usage(key.arn, key.row.usage, call.operation.name)


def algorithm_of(call: Call, key: Key, usage: str, member: str, default: str = "") -> str:
    """The algorithm that the call's `member` names, or `default`; refused unless it is the key's.

    The key's usage is looked at first: InvalidKeyUsageException for both.
    """
    check_usage(call, key, usage)
    algorithm: str = call.params.get(member, default)
    spec = key.row.spec
    if algorithm not in specs.algorithms(spec, usage):
        raise errors.algorithm_incompatible(algorithm, spec)
    return algorithm


def fits(usage: str) -> Check:
    """What AWS asks of the key before its state: that it is for `usage`."""

    def check(context: OpsContext, call: Call) -> None:
        check_usage(call, call.keys[0], usage)

    return check


def check_symmetric(call: Call, key: Key) -> None:
    """Refuse a key that does not encrypt data keys: one that is not SYMMETRIC_DEFAULT."""
    spec = key.row.spec
    if spec != specs.SYMMETRIC_DEFAULT:
        check_usage(call, key, specs.ENCRYPT_DECRYPT)
        raise errors.no_data_key_of_asymmetric()


def public_key(context: OpsContext, key: Key) -> bytes:
    """The public key of the key's current version, SPKI DER: the one that its private key has."""
    version = key.current
    found = version.public_key
    if found is None or not (
        version.proven or pairs.belong_together(context.keystore, version, found)
    ):
        raise errors.internal(
            f"The stored public key of {key.arn} is not its private key's: its row was changed. "
            "Restore the store from a backup."
        )
    version.proven = True
    return found
