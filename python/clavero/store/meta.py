"""Named values about the deployment itself, such as its id and when it was made."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, select, update

from .schema import meta

DEPLOYMENT_ID = "deployment_id"
CREATED = "created"
USAGE_SINCE = "usage_since"  # epoch seconds: from when on the last usage of keys is recorded

_GET = select(meta.c.value).where(meta.c.name == bindparam("a"))
_INSERT = insert(meta)
_UPDATE = update(meta).where(meta.c.name == bindparam("a")).values(value=bindparam("b"))


def get(tx: Connection, name: str) -> str | None:
    """Return the value stored under `name`, or None."""
    return tx.execute(_GET, {"a": name}).scalar_one_or_none()


def put(tx: Connection, name: str, value: str) -> None:
    """Store `value` under `name`, in place of what was there."""
    if tx.execute(_UPDATE, {"a": name, "b": value}).rowcount == 0:
        tx.execute(_INSERT, {"name": name, "value": value})
