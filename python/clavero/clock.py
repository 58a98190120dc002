"""The time: a protocol, the system clock, and a clock that tests and `--test-clock` move by hand.

Deletion, rotation, expiry and token lifetimes all read one injected `Clock`. `SystemClock` is
the only place in the package that reads the wall clock.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol, runtime_checkable

# 2026-01-01T00:00:00Z: a fixed start, so that a test that prints a date prints the same one always.
DEFAULT_START = 1_767_225_600.0
_MAX_ADVANCE = 100 * 365.25 * 86_400


@runtime_checkable
class Clock(Protocol):
    """Something that knows the time."""

    def now(self) -> float:
        """Return the time as seconds since 1970-01-01T00:00:00 UTC."""
        ...


class SystemClock:
    """The machine's wall clock."""

    __slots__ = ()

    def now(self) -> float:
        """Return the machine's time as seconds since 1970-01-01T00:00:00 UTC."""
        return time.time()


class ShiftedClock:
    """The machine's wall clock, ahead by what it was advanced: for `--test-clock`."""

    __slots__ = ("_ahead", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead = 0.0

    def now(self) -> float:
        """Return the machine's time and what the clock is ahead of it."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> float:
        """Go ahead by `seconds` more, and return the new time.

        Raises ValueError when `seconds` is negative or more than a hundred years.
        """
        if not 0 <= seconds <= _MAX_ADVANCE:
            raise ValueError(f"The clock cannot advance by {seconds!r} seconds.")
        with self._lock:
            self._ahead += seconds
            return time.time() + self._ahead


class ManualClock:
    """A clock that stands still until it is moved. Safe to move and read from several threads."""

    __slots__ = ("_lock", "_now")

    def __init__(self, start: float = DEFAULT_START) -> None:
        """Stop the clock at `start`, seconds since 1970-01-01T00:00:00 UTC."""
        self._lock = threading.Lock()
        self._now = float(start)

    def now(self) -> float:
        """Return the time at which the clock stands."""
        return self._now  # one reference read, which the interpreter keeps whole

    def advance(self, seconds: float) -> float:
        """Move the clock forward by `seconds` and return the new time.

        Raises ValueError when `seconds` is negative or not a finite number.
        """
        if not 0 <= seconds < float("inf"):
            raise ValueError(
                f"The clock cannot advance by {seconds!r} seconds: give a number of 0 or more, "
                "or use set(..., allow_backwards=True)."
            )
        with self._lock:
            self._now += seconds
            return self._now

    def set(self, epoch: float, *, allow_backwards: bool = False) -> None:
        """Put the clock at `epoch`, seconds since 1970-01-01T00:00:00 UTC.

        Raises ValueError when that is before the present time and `allow_backwards` is not set.
        """
        if not abs(epoch) < float("inf"):
            raise ValueError(f"The clock cannot be set to {epoch!r}: give a finite number.")
        with self._lock:
            if epoch < self._now and not allow_backwards:
                raise ValueError(
                    f"The clock stands at {self._now!r} and {epoch!r} is earlier: "
                    "time goes backwards only with allow_backwards=True."
                )
            self._now = float(epoch)
