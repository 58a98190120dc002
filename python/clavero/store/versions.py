"""Key versions: each backing key's exported token, sealed under a domain key of its Region.

A token is opaque here. Re-wrap walks the versions that are sealed under an old domain key and
replaces their tokens one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from .errors import StoreConflict
from .schema import key_versions


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version of a key, named by (region, hbkid).

    `hbkid` and `domain_key_id` are 16 bytes, `material_id` is AWS's KeyMaterialId (64 lower-case
    hexadecimal digits), times are in epoch seconds. `number` counts the key's versions from 1.
    `state`, `rotation_type`, `import_state`, `expiration_model` and `description` are what
    ListKeyRotations tells. `public_key` is SPKI DER, `fingerprint` tells imported materials apart.
    Without `token` and `domain_key_id` the imported material was deleted.
    """

    region: str
    hbkid: bytes
    account: str
    key_id: str
    token: bytes | None
    domain_key_id: bytes | None
    material_id: str
    created: float
    number: int = 1
    state: str = "CURRENT"
    rotation_type: str | None = None
    rotated: float | None = None
    public_key: bytes | None = None
    import_state: str | None = None
    expiration_model: str | None = None
    valid_to: float | None = None
    description: str | None = None
    fingerprint: bytes | None = None


_COLUMNS = tuple(column.name for column in key_versions.c)
_GET = select(*key_versions.c).where(
    key_versions.c.region == bindparam("v_region"), key_versions.c.hbkid == bindparam("v_hbkid")
)
_KEY = (
    key_versions.c.region == bindparam("v_region"),
    key_versions.c.account == bindparam("v_account"),
    key_versions.c.key_id == bindparam("v_key_id"),
)
_OF_KEY = select(*key_versions.c).where(*_KEY).order_by(key_versions.c.number)
_PAGE = (
    select(*key_versions.c)
    .where(*_KEY, key_versions.c.number > bindparam("v_after"))
    .order_by(key_versions.c.number)
    .limit(bindparam("v_limit"))
)
_PAGE_OF_ROTATIONS = _PAGE.where(key_versions.c.rotated.is_not(None))
_COUNT_ROTATIONS = (
    select(func.count())
    .select_from(key_versions)
    .where(*_KEY, key_versions.c.rotation_type == bindparam("v_type"))
)
_LAST_NUMBER = select(func.max(key_versions.c.number)).where(*_KEY)
_RETIRE = (
    update(key_versions).where(*_KEY, key_versions.c.state == "CURRENT").values(state="NON_CURRENT")
)
_UNDER = (
    key_versions.c.region == bindparam("v_region"),
    key_versions.c.domain_key_id == bindparam("v_domain_key_id"),
)
_SEALED_UNDER = (
    select(*key_versions.c)
    .where(*_UNDER, key_versions.c.hbkid > bindparam("v_after"))
    .order_by(key_versions.c.hbkid)
    .limit(bindparam("v_limit"))
)
_COUNT_UNDER = select(func.count()).select_from(key_versions).where(*_UNDER)
_REPLACE = (
    update(key_versions)
    .where(
        key_versions.c.region == bindparam("v_region"),
        key_versions.c.hbkid == bindparam("v_hbkid"),
        key_versions.c.token == bindparam("v_expected"),
    )
    .values(token=bindparam("v_token"), domain_key_id=bindparam("v_domain_key_id"))
)
_PROMOTE = (
    update(key_versions)
    .where(
        key_versions.c.region == bindparam("v_region"), key_versions.c.hbkid == bindparam("v_hbkid")
    )
    .values(state="CURRENT", rotation_type=bindparam("v_type"), rotated=bindparam("v_rotated"))
)
INSERT = insert(key_versions)


def values(version: VersionRow) -> Mapping[str, object]:
    """Return the row as the values of `INSERT`."""
    return {name: getattr(version, name) for name in _COLUMNS}


def insert_version(tx: Connection, version: VersionRow) -> None:
    """Store a further version of a key. Raises StoreConflict when taken or without its key."""
    try:
        tx.execute(INSERT, values(version))
    except IntegrityError as error:
        raise StoreConflict(
            f"The version cannot be added to the key {version.key_id}: it is already stored, or "
            "the key is not."
        ) from error


def get(tx: Connection, region: str, hbkid: bytes) -> VersionRow | None:
    """Return the version of that HBKID in the Region, of whatever key, or None."""
    row = tx.execute(_GET, {"v_region": region, "v_hbkid": hbkid}).first()
    return None if row is None else VersionRow(*row)


def of_key(tx: Connection, region: str, account: str, key_id: str) -> list[VersionRow]:
    """Return the key's versions, the oldest first."""
    return [VersionRow(*row) for row in tx.execute(_OF_KEY, _named(region, account, key_id))]


def page(
    tx: Connection,
    region: str,
    account: str,
    key_id: str,
    *,
    limit: int,
    after: int = 0,
    rotations_only: bool,
) -> tuple[list[VersionRow], bool]:
    """Return up to `limit` versions beyond the number `after`, in order, and whether more follow.

    `rotations_only` leaves out those that no rotation made: the first, and what is pending.
    """
    statement = _PAGE_OF_ROTATIONS if rotations_only else _PAGE
    asked = {**_named(region, account, key_id), "v_after": after, "v_limit": limit + 1}
    found = [VersionRow(*row) for row in tx.execute(statement, asked)]
    return found[:limit], len(found) > limit


def count_rotations(
    tx: Connection, region: str, account: str, key_id: str, rotation_type: str
) -> int:
    """Return how often the key was rotated in this way: AUTOMATIC or ON_DEMAND."""
    asked = {**_named(region, account, key_id), "v_type": rotation_type}
    return tx.execute(_COUNT_ROTATIONS, asked).scalar_one()


def last_number(tx: Connection, region: str, account: str, key_id: str) -> int:
    """Return the number of the key's latest version, 0 when it has none."""
    return tx.execute(_LAST_NUMBER, _named(region, account, key_id)).scalar_one() or 0


def retire_current(tx: Connection, region: str, account: str, key_id: str) -> None:
    """Make the key's CURRENT version NON_CURRENT: another one takes its place."""
    tx.execute(_RETIRE, _named(region, account, key_id))


def sealed_under(
    tx: Connection, region: str, domain_key_id: bytes, *, limit: int, after: bytes = b""
) -> list[VersionRow]:
    """Return up to `limit` versions that are sealed under the domain key, in order of HBKID.

    Replaced tokens leave this set, so that re-wrap may ask for the first page until it is empty;
    `after` passes over versions that it could not re-wrap.
    """
    asked = {
        "v_region": region,
        "v_domain_key_id": domain_key_id,
        "v_after": after,
        "v_limit": limit,
    }
    return [VersionRow(*row) for row in tx.execute(_SEALED_UNDER, asked)]


def count_under(tx: Connection, region: str, domain_key_id: bytes) -> int:
    """Return how many tokens need the domain key. Ask in the transaction that retires it."""
    asked = {"v_region": region, "v_domain_key_id": domain_key_id}
    return tx.execute(_COUNT_UNDER, asked).scalar_one()


def replace_token(
    tx: Connection,
    region: str,
    hbkid: bytes,
    *,
    expected: bytes,
    token: bytes,
    domain_key_id: bytes,
) -> bool:
    """Put `token`, sealed under `domain_key_id`, in the place of the token `expected`.

    False, with nothing changed, when the version is gone or has another token by now.
    """
    changed = tx.execute(
        _REPLACE,
        {
            "v_region": region,
            "v_hbkid": hbkid,
            "v_expected": expected,
            "v_token": token,
            "v_domain_key_id": domain_key_id,
        },
    )
    return changed.rowcount == 1


def put_current(tx: Connection, version: VersionRow, rotation_type: str, now: float) -> VersionRow:
    """Make the version CURRENT by a rotation, stored already or not; gives it as it is then."""
    made = replace(version, state="CURRENT", rotation_type=rotation_type, rotated=now)
    changed = tx.execute(
        _PROMOTE,
        {
            "v_region": made.region,
            "v_hbkid": made.hbkid,
            "v_type": rotation_type,
            "v_rotated": now,
        },
    )
    if changed.rowcount == 0:
        insert_version(tx, made)
    return made


def _named(region: str, account: str, key_id: str) -> dict[str, object]:
    return {"v_region": region, "v_account": account, "v_key_id": key_id}
