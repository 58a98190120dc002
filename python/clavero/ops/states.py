"""Which operation is allowed in which key state: one table.

Source: AWS KMS Developer Guide, "Key states of AWS KMS keys", key state table. Creating and
Updating are states between two moments: a call here passes through them whole, so that no key is
found in one. Unavailable is for keys in custom key stores.
"""

from __future__ import annotations

from typing import Final

from clavero.model import errors
from clavero.model.errors import KMSError
from clavero.ops.directory import DELETED, Key

# Cryptographic operations: a key whose primary Region is being updated goes on.
ENABLED: Final = frozenset({"Enabled", "Updating"})
STEADY: Final = frozenset({"Enabled"})
GRANTABLE: Final = ENABLED | {"Creating", "Unavailable"}
WITH_MATERIAL: Final = frozenset({"Enabled", "Disabled", "Unavailable"})
WITH_PUBLIC_KEY: Final = WITH_MATERIAL | {"Updating"}
DELETABLE: Final = frozenset({"Enabled", "Disabled", "PendingImport", "Unavailable", "Creating"})
NOT_DELETED: Final = DELETABLE | {"Updating"}
PENDING_DELETION: Final = frozenset({"PendingDeletion", "PendingReplicaDeletion"})
ANY: Final = NOT_DELETED | PENDING_DELETION


def refusal(operation: str, key: Key, state: str) -> KMSError:
    """The error for a key whose state, as it was when it was looked at, does not allow it."""
    if state == DELETED:
        return errors.key_not_found(key.arn)
    if operation == "CancelKeyDeletion":
        return errors.key_not_pending_deletion(key.arn)
    if state == "Disabled":
        return errors.key_disabled(key.arn)
    return errors.key_state(key.arn, state)
