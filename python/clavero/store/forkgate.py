"""Forks and SQLite kept apart: no fork happens while a thread of this process is inside SQLite.

SQLite has locks of its own for the whole process. One that another thread holds at the moment of a
fork stays locked in the child, which would wait for ever at its own first use of SQLite.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# How long a fork waits for running transactions, in seconds. They take milliseconds.
PATIENCE: Final = 10.0


class ForkGate:
    """Threads `enter` and `leave`; a fork waits until nobody is, and nobody enters meanwhile."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        # A reentrant lock: a finalizer may close a store in the middle of anything.
        self._changed = threading.Condition(threading.RLock())
        self._inside: dict[int, int] = {}
        self._forking: int | None = None

    def enter(self) -> None:
        """Wait for a fork that is under way, and be inside SQLite."""
        me = threading.get_ident()
        with self._changed:
            while self._forking not in (None, me) and me not in self._inside:
                self._changed.wait()
            self._inside[me] = self._inside.get(me, 0) + 1

    def leave(self) -> None:
        """Be outside again."""
        me = threading.get_ident()
        with self._changed:
            left = self._inside.get(me, 1) - 1
            if left:
                self._inside[me] = left
            else:
                self._inside.pop(me, None)
                self._changed.notify_all()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be inside for the length of a block."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def before_fork(self) -> None:
        """Wait for the others, and hold the gate over the fork."""
        me = threading.get_ident()
        self._changed.acquire()
        self._forking = me
        deadline = time.monotonic() + PATIENCE
        while self._inside.keys() - {me}:
            if not self._changed.wait(deadline - time.monotonic()):
                break

    def after_in_parent(self) -> None:
        """Let the others in again."""
        self._forking = None
        self._changed.notify_all()
        self._changed.release()

    def after_in_child(self) -> None:
        """The other threads are not there any more."""
        self._reset()


GATE: Final = ForkGate()

os.register_at_fork(
    before=GATE.before_fork,
    after_in_parent=GATE.after_in_parent,
    after_in_child=GATE.after_in_child,
)
