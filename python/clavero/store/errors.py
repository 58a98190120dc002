"""What the store raises. Each message is a sentence that says what was wrong and what to do."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot be opened, read or written."""


class StoreLocked(StoreError):
    """The folder is in use by another process, or by another `Store` of this process."""


class StoreForked(StoreError):
    """This process is a fork of the one that opened the store, and may not use it."""


class StoreClosed(StoreError):
    """The store has been closed."""


class StoreConflict(StoreError):
    """The row is there already, or it changed since the caller read it. Nothing was written."""
