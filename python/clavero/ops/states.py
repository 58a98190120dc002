"""Which operation is allowed in which key state: one table.

Source: AWS KMS Developer Guide, "Key states of AWS KMS keys", key state table. The states
Creating, Updating, PendingReplicaDeletion and Unavailable come with the features that have them.
"""

from __future__ import annotations

from typing import Final

from clavero.model import errors
from clavero.model.errors import KMSError
from clavero.ops.directory import DELETED, Key

ENABLED: Final = frozenset({"Enabled"})
WITH_MATERIAL: Final = frozenset({"Enabled", "Disabled"})
NOT_DELETED: Final = frozenset({"Enabled", "Disabled", "PendingImport"})
PENDING_DELETION: Final = frozenset({"PendingDeletion"})
ANY: Final = frozenset({"Enabled", "Disabled", "PendingImport", "PendingDeletion"})


def refusal(operation: str, key: Key, state: str) -> KMSError:
    """The error for a key whose state, as it was when it was looked at, does not allow it."""
    if state == DELETED:
        return errors.key_not_found(key.arn)
    if operation == "CancelKeyDeletion":
        return errors.key_not_pending_deletion(key.arn)
    if state == "Disabled":
        return errors.key_disabled(key.arn)
    return errors.key_state(key.arn, state)
