"""The last usage of keys: GetKeyLastUsage, and what it is told from.

Every successful cryptographic call leaves a note in memory, which costs it next to nothing. The
notes get into the store every ten minutes of the KMS's clock, when the KMS is closed, and when
somebody asks; what a crash takes with it is older use, never a wrong one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from clavero.audit.record import AuditRecord
from clavero.ops import states
from clavero.ops.call import Call, Response
from clavero.ops.context import OpsContext, timestamp
from clavero.ops.directory import Key
from clavero.ops.registry import Handler, by_key_id
from clavero.store import keys, meta, usage
from clavero.store.engine import Store
from clavero.store.errors import StoreError
from clavero.store.usage import UsageRow

_log = logging.getLogger(__name__)

# The model's KeyLastUsageTrackingOperation, and the batches as what they are many of.
TRACKED: Final[Mapping[str, str]] = {
    **{
        name: name
        for name in (
            "Decapsulate",
            "Decrypt",
            "DeriveSharedSecret",
            "Encapsulate",
            "Encrypt",
            "GenerateDataKey",
            "GenerateDataKeyPair",
            "GenerateDataKeyPairWithoutPlaintext",
            "GenerateDataKeyWithoutPlaintext",
            "GenerateMac",
            "ReEncrypt",
            "Sign",
            "Verify",
            "VerifyMac",
        )
    },
    "DecryptMany": "Decrypt",
    "EncryptMany": "Encrypt",
    "GenerateDataKeys": "GenerateDataKey",
}


# One use of a key: the operation, when, the request id, and the audit record or its eventID. A
# plain tuple, because every cryptographic call makes one.
Note: TypeAlias = tuple[str, float, str, AuditRecord | str]


class UsageLog:
    """The notes that are not in the store yet.

    A note stands at its key, since every call that makes one has the key at hand: a table of them
    would be one more place to look up, far from what the processor has in its cache.
    `event_id(record)` gives the eventID of a record that the audit keeps.
    """

    def __init__(self, store: Store, event_id: Callable[[AuditRecord], str]) -> None:
        self._store = store
        self._event_id = event_id
        self._lock = threading.Lock()
        # The keys with a note. Who makes one writes `key.last_use = note` first, without a lock,
        # and then calls `mark` unless `key.used_in` is this list. So a note is either there before
        # `flush` takes the list, and stored, or its key is marked anew.
        self.used: list[Key] = []
        self._marking = threading.Lock()

    def mark(self, key: Key, note: Note) -> None:
        """Put a key that was used on the list, with the note of it."""
        with self._marking:
            key.last_use = note  # again: `flush` may have cleared it after the first time
            if key.used_in is not self.used:
                key.used_in = self.used
                self.used.append(key)

    def flush(self) -> None:
        """Store the notes. Raises StoreError, and then has them still."""
        with self._lock:
            with self._marking:
                used, self.used = self.used, []
            taken = {key: key.last_use for key in used}
            if not taken:
                return
            try:
                self._put(taken)
            except BaseException:
                for key in used:
                    self.mark(key, key.last_use)
                raise
            with self._marking:
                for key, note in taken.items():
                    if key.used_in is used and key.last_use is note:
                        key.last_use = None

    def flush_quietly(self) -> None:
        """Store the notes, or say in the log why not: no call fails for them."""
        try:
            self.flush()
        except StoreError:
            _log.exception("storing the last usage of keys failed; it is tried again")

    def _put(self, taken: Mapping[Key, Note]) -> None:
        with self._store.write() as tx:
            for key, note in taken.items():
                row = key.row
                named = (row.region, row.account, row.key_id)
                if keys.get(tx, *named) is None:
                    continue  # erased meanwhile
                operation, used, request_id, record = note
                before = usage.get(tx, *named)
                if before is not None and before.used > used:
                    continue
                event_id = record if isinstance(record, str) else self._event_id(record)
                usage.put(tx, UsageRow(*named, operation, used, event_id, request_id))


def get_key_last_usage(context: OpsContext, call: Call) -> Response:
    """GetKeyLastUsage. KeyLastUsage is empty for a key that was not used since it is recorded."""
    row = call.keys[0].row
    context.usage.flush()
    with context.store.read() as tx:
        found = usage.get(tx, row.region, row.account, row.key_id)
        since = float(meta.get(tx, meta.USAGE_SINCE) or 0.0)
    last: dict[str, Any] = {}
    if found is not None:
        last = {
            "Operation": found.operation,
            "Timestamp": timestamp(found.used),
            "CloudTrailEventId": found.event_id,
            "KmsRequestId": found.request_id,
        }
    return {
        "KeyId": row.key_id,
        "KeyLastUsage": last,
        "TrackingStartDate": timestamp(max(since, row.created)),
        "KeyCreationDate": timestamp(row.created),
    }


HANDLERS: Final = (
    Handler("GetKeyLastUsage", get_key_last_usage, resolve=by_key_id(), states=states.ANY),
)
