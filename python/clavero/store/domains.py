"""The sealed domain state of each Region. Only the HSM can open one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select, update

from .errors import StoreConflict
from .schema import domains


@dataclass(frozen=True, slots=True)
class DomainRow:
    """One Region's domain: `version` counts its states from 1, `state` is the sealed state."""

    region: str
    version: int
    state: bytes
    updated: float


_ALL = select(*domains.c).order_by(domains.c.region)
_GET = select(*domains.c).where(domains.c.region == bindparam("a"))
_INSERT = insert(domains)
_ADVANCE = (
    update(domains)
    .where(domains.c.region == bindparam("a"), domains.c.version < bindparam("b"))
    .values(version=bindparam("b"), state=bindparam("c"), updated=bindparam("d"))
)


def load_all(tx: Connection) -> list[DomainRow]:
    """Return the domain of every Region, in order of Region."""
    return [DomainRow(*row) for row in tx.execute(_ALL)]


def get(tx: Connection, region: str) -> DomainRow | None:
    """Return the Region's domain, or None when it has none yet."""
    row = tx.execute(_GET, {"a": region}).first()
    return None if row is None else DomainRow(*row)


def put(tx: Connection, row: DomainRow) -> None:
    """Store a new state of the Region's domain.

    Raises StoreConflict unless `row.version` is higher than the version that is stored, because
    an older state would lose the domain keys that were added since, and with them keys.
    """
    values = {"a": row.region, "b": row.version, "c": row.state, "d": row.updated}
    if tx.execute(_ADVANCE, values).rowcount == 1:
        return
    stored = get(tx, row.region)
    if stored is not None:
        raise StoreConflict(
            f"The domain of {row.region} is at version {stored.version}, and version {row.version} "
            "does not follow it: load the domain again and repeat the change."
        )
    tx.execute(
        _INSERT,
        {
            "region": row.region,
            "version": row.version,
            "state": row.state,
            "updated": row.updated,
        },
    )
