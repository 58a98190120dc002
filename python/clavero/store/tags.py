"""The tags of a key: a value under each tag key, sorted by tag key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from .errors import StoreConflict
from .schema import tags

_KEY = (
    tags.c.region == bindparam("t_region"),
    tags.c.account == bindparam("t_account"),
    tags.c.key_id == bindparam("t_key_id"),
)
_PAGE = (
    select(tags.c.tag_key, tags.c.tag_value)
    .where(*_KEY, tags.c.tag_key > bindparam("t_after"))
    .order_by(tags.c.tag_key)
    .limit(bindparam("t_limit"))
)
_ALL = select(tags.c.tag_key, tags.c.tag_value).where(*_KEY).order_by(tags.c.tag_key)
_DELETE = delete(tags).where(*_KEY, tags.c.tag_key == bindparam("t_tag_key"))
_INSERT = insert(tags)


def put(tx: Connection, region: str, account: str, key_id: str, pairs: Mapping[str, str]) -> None:
    """Set each tag, in place of the value it had. StoreConflict: no such key."""
    remove(tx, region, account, key_id, pairs)
    rows = [
        {
            "region": region,
            "account": account,
            "key_id": key_id,
            "tag_key": tag_key,
            "tag_value": tag_value,
        }
        for tag_key, tag_value in pairs.items()
    ]
    if not rows:
        return
    try:
        tx.execute(_INSERT, rows)
    except IntegrityError as error:
        raise StoreConflict(f"The key {key_id} does not exist, so it has no tags.") from error


def remove(tx: Connection, region: str, account: str, key_id: str, tag_keys: Iterable[str]) -> None:
    """Remove the tags of those tag keys; one that is not there is passed over."""
    named = {"t_region": region, "t_account": account, "t_key_id": key_id}
    rows = [{**named, "t_tag_key": tag_key} for tag_key in tag_keys]
    if rows:
        tx.execute(_DELETE, rows)


def of_key(tx: Connection, region: str, account: str, key_id: str) -> dict[str, str]:
    """Return all tags of the key. AWS allows 50 on one key."""
    named = {"t_region": region, "t_account": account, "t_key_id": key_id}
    return {row.tag_key: row.tag_value for row in tx.execute(_ALL, named)}


def page(
    tx: Connection, region: str, account: str, key_id: str, *, limit: int, after: str = ""
) -> tuple[list[tuple[str, str]], bool]:
    """Return up to `limit` (tag key, tag value) that follow `after`, and whether more follow."""
    asked = {
        "t_region": region,
        "t_account": account,
        "t_key_id": key_id,
        "t_after": after,
        "t_limit": limit + 1,
    }
    found = [(tag_key, tag_value) for tag_key, tag_value in tx.execute(_PAGE, asked)]
    return found[:limit], len(found) > limit
