"""Bringing a store up to date: runs the packaged Alembic migrations on an open transaction.

Only imported when a database is older than the program, because Alembic is slow to load.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from .schema import HEAD

MIGRATIONS = Path(__file__).with_name("migrations")


def config(tx: Connection | None = None) -> Config:
    """Return Alembic's configuration for the packaged migrations, run on `tx`."""
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    made.attributes["connection"] = tx
    return made


def upgrade(tx: Connection, revision: str = HEAD) -> None:
    """Apply every migration up to `revision` inside the transaction `tx`, which stays open."""
    command.upgrade(config(tx), revision)
