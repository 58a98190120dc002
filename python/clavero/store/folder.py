"""The folder of a durable store: its rights, its files, and whether its database is one of ours."""

from __future__ import annotations

import enum
import os
import sqlite3
import stat
from pathlib import Path
from urllib.parse import quote

from . import schema
from .errors import StoreError

DATABASE = "clavero.db"

# The first bytes of every SQLite file (sqlite.org/fileformat.html, section 1.3).
MAGIC = b"SQLite format 3\x00"


class Found(enum.Enum):
    """What a database file turned out to hold."""

    EMPTY = "no tables yet"
    CURRENT = "the tables of this program"
    OLDER = "tables that a migration brings up to date"


def prepare_folder(path: Path) -> Path:
    """Make the folder when it is missing, for its owner alone, and return its real path.

    A folder that was there keeps its rights unless it is empty. Raises StoreError when it
    cannot be made or read, is not a folder, or can be written to by other users.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
            _sync(path.parent)
        folder = path.resolve(strict=True)
        info = folder.stat()
        if not stat.S_ISDIR(info.st_mode):
            raise StoreError(f"{path} is not a folder: name the folder that holds the store.")
        if info.st_mode & 0o077 and not any(folder.iterdir()):
            folder.chmod(0o700)
            info = folder.stat()
        if info.st_mode & 0o022:
            raise StoreError(
                f"Other users may write in {path}, so that it cannot hold a key store: "
                f"run 'chmod 700 {path}', or name another folder."
            )
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise StoreError(
            f"The folder {path} cannot be used ({error.strerror}): "
            "give this user the right to read and write it, or name another."
        ) from error
    return folder


def prepare_file(file: Path) -> None:
    """Make an empty database file with mode 0600, so that SQLite gives its log the same mode.

    A file with wider rights is narrowed. Raises StoreError when it is no regular file.
    """
    try:
        try:
            fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.close(fd)
            _sync(file.parent)
        except FileExistsError:
            info = file.lstat()
            if not stat.S_ISREG(info.st_mode):
                raise StoreError(
                    f"{file} is not a regular file: put the store's database there, or name "
                    "another folder."
                ) from None
            with file.open("rb") as stream:
                start = stream.read(len(MAGIC))
            if start and start != MAGIC:
                raise _not_a_database(file) from None
            if info.st_mode & 0o077:
                file.chmod(0o600)
    except OSError as error:
        raise StoreError(
            f"The database {file} cannot be used ({error.strerror}): "
            "give this user the right to read and write it."
        ) from error


def write_private(file: Path, content: bytes) -> None:
    """Write a file for its owner alone, wholly and durably or not at all."""
    draft = file.with_name(f".{file.name}.new")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
    _sync(file.parent)


def inspect(file: Path) -> Found:
    """Say what the database holds, with reads alone.

    Raises StoreError when it is not a database, not Clavero's, damaged, or of a newer Clavero.
    """
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(file))}?mode=rw", uri=True, isolation_level=None
        )
        try:
            tables = {
                name
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'"
                )
            }
            if not tables:
                return Found.EMPTY
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application != schema.APPLICATION_ID or "alembic_version" not in tables:
                raise StoreError(
                    f"{file} is a database of another program: name another folder. "
                    "Nothing in it was changed."
                )
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if "not a database" in str(error):
            raise _not_a_database(file) from error
        raise StoreError(
            f"The database {file} cannot be read ({error}): restore the folder from a backup."
        ) from error
    if len(rows) != 1:
        raise StoreError(
            f"The database {file} names {len(rows)} schema versions where one belongs: "
            "restore the folder from a backup."
        )
    version = str(rows[0][0])
    if version == schema.HEAD:
        return Found.CURRENT
    if version in schema.REVISIONS:
        return Found.OLDER
    raise StoreError(
        f"The database {file} has schema version {version!r}, and this Clavero knows versions up "
        f"to {schema.HEAD!r}: open it with the newer Clavero that wrote it. Nothing was changed."
    )


def _not_a_database(file: Path) -> StoreError:
    return StoreError(
        f"{file} is not a SQLite database: move it away or restore it from a backup. "
        "Nothing in it was changed."
    )


def _sync(folder: Path) -> None:
    """Make the folder's entries durable: a new file is lost with its entry, not with its bytes."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
