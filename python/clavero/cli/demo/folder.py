"""The files that the demo encrypts: found, read once for their digests, and watched for changes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from clavero.cli.demo.envelope import MAX_BODY, pieces
from clavero.cli.session import Refusal


class Unreadable(Exception):
    """Why a file is left out."""


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file, as it was when it was read."""

    path: Path
    name: str
    """Relative to the folder, as the encryption context has it."""
    size: int
    changed: int
    digest: bytes


def walk(folder: Path, without: frozenset[str], left_out: Counter[str]) -> Iterator[Path]:
    """The regular files under a folder, in order. What is left out is counted: links, pipes, ...

    Raises Refusal where the folder itself cannot be read.
    """

    def unreadable(error: OSError) -> None:
        if error.filename == os.fspath(folder):
            raise Refusal(f"The folder {folder} cannot be read: {error.strerror}.") from error
        left_out["unreadable folders"] += 1

    for root, folders, names in os.walk(folder, onerror=unreadable):
        links = [name for name in folders if Path(root, name).is_symlink()]
        left_out["links"] += len(links)
        folders[:] = sorted(name for name in folders if name not in without and name not in links)
        for name in sorted(names):
            path = Path(root, name)
            try:
                mode = path.lstat().st_mode
            except OSError:
                left_out["unreadable files"] += 1
                continue
            if stat.S_ISREG(mode):
                yield path
            else:
                left_out["links" if stat.S_ISLNK(mode) else "special files"] += 1


def read(path: Path, folder: Path) -> Found:
    """Read a file to its end for its digest. Raises Unreadable."""
    with _opened(path) as (file, info), _reading():
        found = hashlib.sha256()
        for piece in pieces(file):
            found.update(piece)
    if info.st_size > MAX_BODY:
        raise Unreadable("files over 64 GiB")
    # A name need not be text: what is not UTF-8 is escaped.
    name = os.fsencode(path.relative_to(folder)).decode(errors="backslashreplace")
    return Found(path, name, info.st_size, info.st_mtime_ns, found.digest())


@contextmanager
def unchanged(found: Found) -> Iterator[Iterator[bytes]]:
    """The pieces of a file that was read before. Raises Unreadable if it has changed since."""
    with _opened(found.path) as (file, _):

        def body() -> Iterator[bytes]:
            with _reading():
                yield from pieces(file)

        yield body()
        info = os.fstat(file.fileno())
        if (info.st_size, info.st_mtime_ns) != (found.size, found.changed):
            raise Unreadable("files that changed meanwhile")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    with _reading():
        # What has become a link or a pipe since it was found is not followed, and not waited for.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb", buffering=0) as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise Unreadable("files that changed meanwhile")
        yield file, info


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError:
        raise Unreadable("unreadable files") from None
