"""Where audit records go: a bounded memory, or a file of JSON lines.

There is no sink that drops records: every call is on record. A sink that cannot take a record
raises AuditError, and the call that it belongs to must be refused.
"""

from __future__ import annotations

import json
import os
import stat
import threading
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from .record import AuditRecord, line, render

KEPT_IN_MEMORY = 10_000


class AuditError(Exception):
    """The record could not be kept, so the call must not be answered."""


@runtime_checkable
class Sink(Protocol):
    """Something that keeps audit records. Used from several threads."""

    def write(self, record: AuditRecord) -> None:
        """Keep the record; when this returns, it is kept. Raises AuditError when it cannot be."""
        ...

    def hold(self) -> None:
        """Let what this thread writes wait until it calls `release`: only then is it kept."""
        ...

    def release(self) -> None:
        """Keep what waited. Raises AuditError when that cannot be: perhaps none of it is kept."""
        ...

    def event_id(self, record: AuditRecord) -> str:
        """The eventID of a record that was written."""
        ...

    def close(self) -> None:
        """Finish. Closing twice does nothing; a write after it raises AuditError."""
        ...


class MemorySink:
    """The latest `maxlen` records of a volatile KMS. They are rendered when they are asked for."""

    def __init__(self, id_source: Callable[[], str], maxlen: int = KEPT_IN_MEMORY) -> None:
        """Keep up to `maxlen` records. `id_source` gives a new eventID at every call."""
        if maxlen < 1:
            raise ValueError("An audit memory keeps at least 1 record.")
        self._id_source = id_source
        self._records: deque[AuditRecord] = deque(maxlen=maxlen)
        self._lock = threading.Lock()
        self._closed = False

    def write(self, record: AuditRecord) -> None:
        """Keep the record without the members that are not to be written."""
        if self._closed:
            raise AuditError("The audit memory is closed: open the KMS again.")
        record.detach()
        self._records.append(record)  # one step for other threads, so that no lock is needed

    def hold(self) -> None:
        """Nothing waits: keeping a record in memory is one step."""

    def release(self) -> None:
        """See `hold`."""

    def records(self) -> list[dict[str, Any]]:
        """Return the records that are kept, the oldest first, as CloudTrail's members.

        They can still be read after `close`.
        """
        with self._lock:  # two readers must not give one record two ids
            shown: list[dict[str, Any]] = []
            for record in self._records.copy():
                self._identify(record)
                shown.append(json.loads(render(record)))
            return shown

    def event_id(self, record: AuditRecord) -> str:
        """The eventID of a record that was written, though it may no longer be kept."""
        with self._lock:
            return self._identify(record)

    def _identify(self, record: AuditRecord) -> str:
        if not record.event_id:
            record.event_id = self._id_source()
        return record.event_id

    def close(self) -> None:
        """Take no more records."""
        self._closed = True


class _Held(threading.local):
    """What waits in a thread; None where nothing is to wait."""

    lines: list[bytes] | None = None


class FileSink:
    """A file of JSON lines, mode 0600, to which records are appended, each or a group in one write.

    A record that `write` has taken outlives the process, however it ends. It outlives a loss of
    power once the kernel has flushed it, which `close` waits for. A kill in the middle of a write
    can leave half a line, of a call that was not answered; the next open ends that line.
    """

    def __init__(self, path: Path, id_source: Callable[[], str]) -> None:
        """Open the file, or make it. `id_source` gives a new eventID at every call.

        A last line that a crash cut short is ended, so that the next record has its own line.
        Raises AuditError when the file cannot be used.
        """
        self.path = Path(path)
        self._id_source = id_source
        self._lock = threading.Lock()
        self._held = _Held()
        self._torn = False
        self._fd = _open(self.path)
        _sinks.add(self)

    def write(self, record: AuditRecord) -> None:
        """Append the record. Raises AuditError when it did not get into the file whole."""
        try:
            record.event_id = self._id_source()
            text = line(record)
        except Exception as error:
            raise AuditError(
                f"The audit record of {record.operation} cannot be rendered: {error}."
            ) from error
        if self._held.lines is None:
            self._append(text)
        else:
            self._held.lines.append(text)

    def hold(self) -> None:
        """Let this thread's records wait, so that `release` can append them in one write."""
        self._held.lines = []

    def release(self) -> None:
        """Append what waits. Raises AuditError when it did not get into the file whole."""
        lines, self._held.lines = self._held.lines, None
        if lines:
            self._append(b"".join(lines))

    def _append(self, text: bytes) -> None:
        with self._lock:
            if self._fd < 0:
                raise AuditError(f"The audit file {self.path} is closed: open the KMS again.")
            try:
                if self._torn:
                    text = b"\n" + text
                written = os.write(self._fd, text)
                self._torn = written != len(text)
            except OSError as error:
                raise AuditError(
                    f"The audit file {self.path} cannot be written ({error.strerror}): "
                    "make space or restore access. Calls are refused until then."
                ) from error
            if self._torn:
                raise AuditError(
                    f"The audit file {self.path} took {written} of {len(text)} bytes of a record: "
                    "make space. Calls are refused until then."
                )

    def event_id(self, record: AuditRecord) -> str:
        """The eventID of a record that was written."""
        return record.event_id

    def close(self) -> None:
        """Flush the file to the disk and close it. Raises AuditError when that fails."""
        with self._lock:
            if self._fd < 0:
                return
            fd, self._fd = self._fd, -1
            try:
                os.fsync(fd)
            except OSError as error:
                raise AuditError(
                    f"The audit file {self.path} could not be flushed ({error.strerror}): "
                    "its last records may be lost."
                ) from error
            finally:
                os.close(fd)

    def __del__(self) -> None:
        fd = getattr(self, "_fd", -1)
        if fd >= 0:
            self._fd = -1
            os.close(fd)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        raise AuditError(
            f"The audit file {path} cannot be opened ({error.strerror}): "
            "give this user the right to write it, or name another file."
        ) from error
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise AuditError(f"{path} is not a regular file: name a file for the audit records.")
        if info.st_mode & 0o077:
            os.fchmod(fd, 0o600)
        if info.st_size and os.pread(fd, 1, info.st_size - 1) != b"\n":
            os.write(fd, b"\n")
    except OSError as error:
        os.close(fd)
        raise AuditError(
            f"The audit file {path} cannot be used ({error.strerror}): "
            "make space, or name another file."
        ) from error
    except BaseException:
        os.close(fd)
        raise
    return fd


_sinks: weakref.WeakSet[FileSink] = weakref.WeakSet()


def _renew_locks() -> None:
    # A thread that no longer exists in the child may have held a lock at the fork, and a child
    # must be able to put its refusals on record.
    for sink in list(_sinks):
        sink._lock = threading.Lock()  # noqa: SLF001 (their own module)


os.register_at_fork(after_in_child=_renew_locks)
