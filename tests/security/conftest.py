"""What the security tests share: a folder with a store in it, and its files as bytes."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@contextmanager
def edited_database(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database of a closed store, to be edited as somebody else would."""
    connection = sqlite3.connect(folder / "clavero.db", isolation_level=None)
    try:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        yield connection
    finally:
        connection.close()


@pytest.fixture
def edit() -> Callable[[Path], Any]:
    return edited_database


@pytest.fixture
def fingerprint() -> Callable[[Path], dict[str, str]]:
    """The digest of every file in a folder, by name (the lock file aside: it names the process)."""

    def digest(folder: Path) -> dict[str, str]:
        return {
            each.name: hashlib.sha256(each.read_bytes()).hexdigest()
            for each in sorted(folder.iterdir())
            if each.name != "lock"
        }

    return digest
