"""Aliases: a name in an account and Region that stands for a key of the same account and Region.

Names are whole, with their `alias/` prefix.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from .errors import StoreConflict
from .schema import aliases


@dataclass(frozen=True, slots=True)
class AliasRow:
    """One alias. `created` and `updated` are epoch seconds."""

    region: str
    account: str
    name: str
    key_id: str
    created: float
    updated: float


_ACCOUNT = (
    aliases.c.region == bindparam("a_region"),
    aliases.c.account == bindparam("a_account"),
)
_ONE = (*_ACCOUNT, aliases.c.name == bindparam("a_name"))
_GET = select(*aliases.c).where(*_ONE)
_INSERT = insert(aliases)
_UPDATE = (
    update(aliases).where(*_ONE).values(key_id=bindparam("a_key_id"), updated=bindparam("a_at"))
)
_DELETE = delete(aliases).where(*_ONE)
_COUNT = (
    select(func.count())
    .select_from(aliases)
    .where(*_ACCOUNT, aliases.c.key_id == bindparam("a_key_id"))
)
_PAGE = (
    select(*aliases.c)
    .where(*_ACCOUNT, aliases.c.name > bindparam("a_after"))
    .order_by(aliases.c.name)
    .limit(bindparam("a_limit"))
)
_PAGE_OF_KEY = _PAGE.where(aliases.c.key_id == bindparam("a_key_id"))


def insert_alias(tx: Connection, alias: AliasRow) -> None:
    """Store a new alias. Raises StoreConflict when the name is taken or there is no such key."""
    try:
        tx.execute(
            _INSERT,
            {
                "region": alias.region,
                "account": alias.account,
                "name": alias.name,
                "key_id": alias.key_id,
                "created": alias.created,
                "updated": alias.updated,
            },
        )
    except IntegrityError as error:
        raise StoreConflict(
            f"The alias {alias.name} cannot be made: the name is taken, or the key "
            f"{alias.key_id} does not exist."
        ) from error


def get(tx: Connection, region: str, account: str, name: str) -> AliasRow | None:
    """Return the alias of that name, or None."""
    row = tx.execute(_GET, _named(region, account, name)).first()
    return None if row is None else AliasRow(*row)


def retarget(
    tx: Connection, region: str, account: str, name: str, key_id: str, updated: float
) -> bool:
    """Make the alias stand for another key. False when there is no such alias.

    Raises StoreConflict when there is no such key.
    """
    try:
        changed = tx.execute(
            _UPDATE, {**_named(region, account, name), "a_key_id": key_id, "a_at": updated}
        )
    except IntegrityError as error:
        raise StoreConflict(
            f"The alias {name} cannot stand for the key {key_id}: it does not exist."
        ) from error
    return changed.rowcount == 1


def remove(tx: Connection, region: str, account: str, name: str) -> bool:
    """Delete the alias. False when there is no such alias."""
    return tx.execute(_DELETE, _named(region, account, name)).rowcount == 1


def count(tx: Connection, region: str, account: str, key_id: str) -> int:
    """Return how many aliases stand for the key."""
    asked = {"a_region": region, "a_account": account, "a_key_id": key_id}
    return tx.execute(_COUNT, asked).scalar_one()


def page(
    tx: Connection,
    region: str,
    account: str,
    *,
    limit: int,
    after: str = "",
    key_id: str | None = None,
) -> tuple[list[AliasRow], bool]:
    """Return up to `limit` aliases that follow the name `after`, and whether more follow.

    They are the account's in the Region, or with `key_id` that key's, in order of name.
    """
    asked: dict[str, object] = {
        "a_region": region,
        "a_account": account,
        "a_after": after,
        "a_limit": limit + 1,
    }
    statement = _PAGE
    if key_id is not None:
        statement = _PAGE_OF_KEY
        asked["a_key_id"] = key_id
    found = [AliasRow(*row) for row in tx.execute(statement, asked)]
    return found[:limit], len(found) > limit


def _named(region: str, account: str, name: str) -> dict[str, object]:
    return {"a_region": region, "a_account": account, "a_name": name}
