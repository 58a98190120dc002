"""What the managers of identities share: the store, ids, and the count of changes.

Whoever resolves callers keeps what was found for as long as `changes` is what it was before the
look: it grows after each commit and before the write returns, so that whoever was told of a write
sees it.
"""

from __future__ import annotations

import threading
from base64 import b32encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from sqlalchemy import Connection

from clavero.store.engine import Store

if TYPE_CHECKING:
    from clavero.clock import Clock
    from clavero.store.identities import IdentityRow

# IAM User Guide, "IAM identifiers", "Unique identifiers".
PREFIXES: Final = {"user": "AIDA", "role": "AROA", "group": "AGPA", "policy": "ANPA"}
# AWS's ids have 21 characters.
_ID_LENGTH: Final = 21

# Called with the identity that was renamed or is gone, and the name that policies and grants have
# of it from now on: for one that is gone, its unique id.
Rename: TypeAlias = "Callable[[IdentityRow, str], None]"
# Opens a write transaction; in it, `Rename` says what became of identities.
Renaming: TypeAlias = "Callable[[], AbstractContextManager[tuple[Connection, Rename]]]"


class Registry:
    """Shared by the managers of one KMS. `changes` counts writes, `guardrail_changes` those of
    organisations, on which decisions about everybody's keys depend.
    """

    def __init__(self, store: Store, clock: Clock, random: Callable[[int], bytes]) -> None:
        self.store: Final = store
        self.now: Final = clock.now
        self.changes = 0
        self.guardrail_changes = 0
        self._random = random
        self._lock = threading.Lock()
        # Replaced by who knows the policies and grants that name identities.
        self.renaming: Renaming = self._nothing_named

    def new_id(self, kind: str) -> str:
        """A new unique id."""
        drawn = b32encode(self._random(11)).decode("ascii")
        return (PREFIXES[kind] + drawn)[:_ID_LENGTH]

    def random_text(self, length: int) -> str:
        """Lower-case letters and digits at random, as AWS Organizations' ids have."""
        return b32encode(self._random(length)).decode("ascii").lower()[:length]

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction; once it is durable, what was resolved before is void."""
        with self.store.write() as tx:
            yield tx
        self.changed()

    @contextmanager
    def write_guardrails(self) -> Iterator[Connection]:
        """The same, for what limits whole accounts."""
        with self.store.write() as tx:
            yield tx
        self.changed(guardrails=True)

    @contextmanager
    def rename(self) -> Iterator[tuple[Connection, Rename]]:
        """The same, in which identities change names, or go."""
        with self.renaming() as (tx, rename):
            yield tx, rename
        self.changed()

    def changed(self, *, guardrails: bool = False) -> None:
        """Something was written."""
        with self._lock:
            self.changes += 1
            if guardrails:
                self.guardrail_changes += 1

    @contextmanager
    def _nothing_named(self) -> Iterator[tuple[Connection, Rename]]:
        with self.store.write() as tx:
            yield tx, lambda _row, _named: None
