"""The last usage of each key: which operation, when, and the ids under which it is on record."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from .errors import StoreConflict
from .schema import last_usage


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The last use of a key: AWS's operation, epoch seconds, eventID and requestID."""

    region: str
    account: str
    key_id: str
    operation: str
    used: float
    event_id: str
    request_id: str


_KEY = (
    last_usage.c.region == bindparam("u_region"),
    last_usage.c.account == bindparam("u_account"),
    last_usage.c.key_id == bindparam("u_key_id"),
)
_GET = select(*last_usage.c).where(*_KEY)
_DELETE = delete(last_usage).where(*_KEY)
_INSERT = insert(last_usage)


def get(tx: Connection, region: str, account: str, key_id: str) -> UsageRow | None:
    """Return the key's last usage, or None when it was not used."""
    row = tx.execute(_GET, _named(region, account, key_id)).first()
    return None if row is None else UsageRow(*row)


def put(tx: Connection, row: UsageRow) -> None:
    """Store the key's last usage in the place of the one before. StoreConflict: no such key."""
    tx.execute(_DELETE, _named(row.region, row.account, row.key_id))
    try:
        tx.execute(_INSERT, asdict(row))
    except IntegrityError as error:
        raise StoreConflict(f"The key {row.key_id} does not exist, so it has no usage.") from error


def _named(region: str, account: str, key_id: str) -> dict[str, object]:
    return {"u_region": region, "u_account": account, "u_key_id": key_id}
