"""One process for one store folder: a POSIX lock on `DIR/lock`, and a register inside the process.

The kernel drops the lock when the process ends in any way, so a crash never leaves a folder
locked. POSIX locks belong to the process and go when it closes *any* descriptor of the file,
so a second open within the process has to be refused before it touches a file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path

from .errors import StoreError, StoreLocked

NAME = "lock"

# Folders that this process holds, by (device, inode), with the process that took them: a forked
# child inherits this register, but neither the locks nor the right to use the SQLite library's
# state for those files.
_held: dict[tuple[int, int], int] = {}
_held_guard = threading.Lock()


def _renew_guard() -> None:
    # Another thread may have held the guard at the fork, and no longer exists to release it.
    global _held_guard
    _held_guard = threading.Lock()


os.register_at_fork(after_in_child=_renew_guard)


class FolderLock:
    """The right of this process to use one store folder, until `release`."""

    __slots__ = ("_fd", "_identity", "_pid")

    def __init__(self, folder: Path) -> None:
        """Take the lock on `folder`, which must exist.

        Raises StoreLocked when it is held, StoreError when the lock file cannot be used.
        """
        info = folder.stat()
        self._identity = (info.st_dev, info.st_ino)
        self._pid = os.getpid()
        self._fd = -1
        with _held_guard:
            owner = _held.get(self._identity)
            if owner == self._pid:
                raise StoreLocked(
                    f"The store {folder} is already open in this process (pid {owner}): "
                    "use the one that is open, or close it first."
                )
            if owner is not None:
                raise StoreLocked(
                    f"The store {folder} was open in process {owner} when this process was forked "
                    "from it: open it in a process started afresh, or fork before opening it."
                )
            self._fd = _lock(folder)
            _held[self._identity] = self._pid

    def release(self) -> None:
        """Give the folder up. Does nothing in a forked child or when called again."""
        with _held_guard:
            if self._fd < 0 or os.getpid() != self._pid:
                return
            os.ftruncate(self._fd, 0)  # the process that it names no longer holds it
            os.close(self._fd)
            self._fd = -1
            _held.pop(self._identity, None)


def _lock(folder: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(folder / NAME, flags, 0o600)
    except OSError as error:
        raise StoreError(
            f"The lock file {folder / NAME} cannot be opened ({error.strerror}): "
            "give this user the right to read and write in the folder."
        ) from error
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except OSError as error:
        text = os.pread(fd, 32, 0).strip()
        os.close(fd)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            who = f"pid {text.decode()}" if text.isdigit() else "its pid is not known"
            raise StoreLocked(
                f"The store {folder} is in use by another process ({who}): "
                "stop that process, reach the keys through it, or use another folder."
            ) from error
        raise StoreError(
            f"The folder {folder} cannot be locked ({error.strerror}): "
            "put the store on a local file system that has POSIX locks and free space."
        ) from error
    return fd
