"""Multi-Region keys: the rows of related keys, which have one account, key id and primary Region.

What they share is written to all of them, in one transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from .keys import KeyRow
from .schema import keys

_RELATED = (
    keys.c.account == bindparam("k_account"),
    keys.c.key_id == bindparam("k_key_id"),
    keys.c.primary_region.is_not(None),
)
_ALL = select(*keys.c).where(*_RELATED).order_by(keys.c.region)
_PRIMARY = update(keys).where(*_RELATED).values(primary_region=bindparam("k_value"))
_ROTATION = (
    update(keys)
    .where(*_RELATED, keys.c.region != bindparam("k_region"))
    .values(rotation_period=bindparam("k_value"), next_rotation=bindparam("k_next"))
)
_BEGIN_WAITING = (
    update(keys)
    .where(
        *_RELATED,
        keys.c.region == bindparam("k_region"),
        keys.c.deletion_date.is_(None),
        keys.c.pending_window.is_not(None),
    )
    .values(deletion_date=bindparam("k_value"))
)


def related(tx: Connection, account: str, key_id: str) -> list[KeyRow]:
    """Return the primary key and its replicas, in order of Region."""
    return [KeyRow(*row) for row in tx.execute(_ALL, _named(account, key_id))]


def replicas(tx: Connection, primary: KeyRow) -> list[KeyRow]:
    """Return the replicas of a primary key, in order of Region; of another key, none."""
    if primary.primary_region != primary.region:
        return []
    found = related(tx, primary.account, primary.key_id)
    return [row for row in found if row.region != primary.region]


def set_primary(tx: Connection, account: str, key_id: str, region: str) -> None:
    """Make the key in `region` the primary key of all."""
    tx.execute(_PRIMARY, {**_named(account, key_id), "k_value": region})


def copy_rotation(tx: Connection, primary: KeyRow) -> None:
    """Give the replicas the dates of the primary key's automatic rotation."""
    values = {
        **_named(primary.account, primary.key_id),
        "k_region": primary.region,
        "k_value": primary.rotation_period,
        "k_next": primary.next_rotation,
    }
    tx.execute(_ROTATION, values)


def begin_waiting(tx: Connection, primary: KeyRow, deletion_date: float) -> bool:
    """Give the primary key its deletion date. False unless it was waiting for its replicas'."""
    values = {
        **_named(primary.account, primary.key_id),
        "k_region": primary.region,
        "k_value": deletion_date,
    }
    return tx.execute(_BEGIN_WAITING, values).rowcount == 1


def _named(account: str, key_id: str) -> dict[str, object]:
    return {"k_account": account, "k_key_id": key_id}
