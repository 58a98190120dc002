"""KMS keys: their rows, their pages, their state, and their erasure.

Every function takes the transaction first. Those that change one key return whether it exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection, Update, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from . import versions
from .errors import StoreConflict
from .schema import key_versions, keys
from .versions import VersionRow


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One KMS key, named by (region, account, key_id).

    `usage`, `spec`, `origin` and `manager` are AWS's KeyUsage, KeySpec, Origin and KeyManager.
    Times are epoch seconds, `pending_window` and `rotation_period` days. `current_version` is the
    HBKID, 16 bytes, of the version that encrypts; None while the key waits for its material.
    `next_rotation` is when it rotates by itself; a replica has its primary key's. A multi-Region
    key has a `primary_region`, where its primary key is. With a `pending_window` and without a
    `deletion_date` a primary key waits for the deletion of its replicas.
    """

    region: str
    account: str
    key_id: str
    description: str
    usage: str
    spec: str
    origin: str
    manager: str
    enabled: bool
    created: float
    deletion_date: float | None
    pending_window: int | None
    multi_region: bool
    policy: str
    current_version: bytes | None
    rotation_period: int | None = None
    next_rotation: float | None = None
    primary_region: str | None = None

    @property
    def is_replica(self) -> bool:
        """Whether the primary key is in another Region."""
        return self.primary_region is not None and self.primary_region != self.region


_COLUMNS = tuple(column.name for column in keys.c)
_ONE = (
    keys.c.region == bindparam("k_region"),
    keys.c.account == bindparam("k_account"),
    keys.c.key_id == bindparam("k_key_id"),
)
_GET = select(*keys.c).where(*_ONE)
_INSERT = insert(keys)
_PAGE = (
    select(keys.c.key_id)
    .where(
        keys.c.region == bindparam("k_region"),
        keys.c.account == bindparam("k_account"),
        keys.c.key_id > bindparam("k_after"),
    )
    .order_by(keys.c.key_id)
    .limit(bindparam("k_limit"))
)
_DUE = (
    select(*keys.c)
    .where(keys.c.deletion_date <= bindparam("k_now"))
    .order_by(keys.c.deletion_date, keys.c.region, keys.c.account, keys.c.key_id)
    .limit(bindparam("k_limit"))
)
_NEXT_DUE = select(func.min(keys.c.deletion_date))
_COUNT = select(func.count()).select_from(keys)
# AWS managed keys do not count against an account's quota.
_COUNT_OF = _COUNT.where(
    keys.c.region == bindparam("k_region"),
    keys.c.account == bindparam("k_account"),
    keys.c.manager == "CUSTOMER",
)
# A key that is disabled or waits for its deletion keeps its date, and rotates when it is back. A
# replica rotates with its primary key.
_ROTATES = keys.c.enabled & (
    keys.c.primary_region.is_(None) | (keys.c.primary_region == keys.c.region)
)
_ROTATION_DUE = (
    select(*keys.c)
    .where(keys.c.next_rotation <= bindparam("k_now"), _ROTATES)
    .order_by(keys.c.next_rotation, keys.c.region, keys.c.account, keys.c.key_id)
    .limit(bindparam("k_limit"))
)
_NEXT_ROTATION = select(func.min(keys.c.next_rotation)).where(_ROTATES)
_ROTATION = (
    update(keys)
    .where(*_ONE)
    .values(rotation_period=bindparam("k_value"), next_rotation=bindparam("k_next"))
)
_DELETE = delete(keys).where(*_ONE)
_TOKENS = select(key_versions.c.hbkid, key_versions.c.token).where(
    key_versions.c.region == bindparam("k_region"),
    key_versions.c.account == bindparam("k_account"),
    key_versions.c.key_id == bindparam("k_key_id"),
    key_versions.c.token.is_not(None),
)
_ZERO = (
    update(key_versions)
    .where(key_versions.c.region == bindparam("v_region"))
    .where(key_versions.c.hbkid == bindparam("v_hbkid"))
    .values(token=bindparam("v_token"))
)
_ENABLED = (
    update(keys)
    # A key that waits for its deletion stays disabled until the deletion is cancelled.
    .where(*_ONE, keys.c.pending_window.is_(None))
    .values(enabled=bindparam("k_value"))
)
_DESCRIPTION = update(keys).where(*_ONE).values(description=bindparam("k_value"))
_POLICY = update(keys).where(*_ONE).values(policy=bindparam("k_value"))
_VERSION = update(keys).where(*_ONE).values(current_version=bindparam("k_value"))
_SCHEDULE = (
    update(keys)
    .where(*_ONE, keys.c.pending_window.is_(None))
    .values(
        enabled=False,
        deletion_date=bindparam("k_value"),
        pending_window=bindparam("k_window"),
    )
)
_CANCEL = (
    update(keys)
    .where(*_ONE, keys.c.pending_window.is_not(None))
    .values(enabled=False, deletion_date=None, pending_window=None)
)


def insert_key(tx: Connection, key: KeyRow, version: VersionRow | None) -> None:
    """Store a new key with its first version, or without one where its material is imported.

    Raises StoreConflict when the key id or the version is taken, ValueError when `version` is
    not the current version of `key`.
    """
    _check_pair(key, version)
    try:
        tx.execute(_INSERT, _values(key))
        if version is not None:
            tx.execute(versions.INSERT, versions.values(version))
    except IntegrityError as error:
        raise StoreConflict(
            f"The key {key.key_id} or its version is already in {key.region}: use a new key id."
        ) from error


def insert_many(
    tx: Connection, pairs: Iterable[tuple[KeyRow, VersionRow]], *, chunk: int = 5_000
) -> int:
    """Store many keys, each with its first version; return how many. Takes any iterable.

    Raises as `insert_key` does, and then nothing of the transaction may be kept.
    """
    stored = 0
    source = iter(pairs)
    while batch := list(islice(source, chunk)):
        for key, version in batch:
            _check_pair(key, version)
        try:
            tx.execute(_INSERT, [_values(key) for key, _ in batch])
            tx.execute(versions.INSERT, [versions.values(version) for _, version in batch])
        except IntegrityError as error:
            raise StoreConflict(
                f"A key or a version among rows {stored + 1} to {stored + len(batch)} is already "
                "stored: leave it out and repeat."
            ) from error
        stored += len(batch)
    return stored


def get(tx: Connection, region: str, account: str, key_id: str) -> KeyRow | None:
    """Return the key, or None when there is none of that id."""
    row = tx.execute(_GET, _named(region, account, key_id)).first()
    return None if row is None else KeyRow(*row)


def page(
    tx: Connection, region: str, account: str, *, limit: int, after: str = ""
) -> tuple[list[str], bool]:
    """Return up to `limit` key ids that follow `after`, in order, and whether more follow."""
    values = {"k_region": region, "k_account": account, "k_after": after, "k_limit": limit + 1}
    found = list(tx.execute(_PAGE, values).scalars())
    return found[:limit], len(found) > limit


def count(tx: Connection) -> int:
    """Return how many keys the store holds, over all Regions and accounts."""
    return tx.execute(_COUNT).scalar_one()


def count_of(tx: Connection, region: str, account: str) -> int:
    """Return how many keys the account has in the Region."""
    return tx.execute(_COUNT_OF, {"k_region": region, "k_account": account}).scalar_one()


def set_enabled(tx: Connection, region: str, account: str, key_id: str, enabled: bool) -> bool:
    """Enable or disable the key. False when it does not exist or waits for its deletion."""
    return _change(tx, _ENABLED, region, account, key_id, enabled)


def set_description(
    tx: Connection, region: str, account: str, key_id: str, description: str
) -> bool:
    """Replace the key's description."""
    return _change(tx, _DESCRIPTION, region, account, key_id, description)


def set_policy(tx: Connection, region: str, account: str, key_id: str, policy: str) -> bool:
    """Replace the key's policy document."""
    return _change(tx, _POLICY, region, account, key_id, policy)


def every_policy(tx: Connection) -> list[str]:
    """Return the key policies that there are, each once, however many keys have it."""
    return list(tx.execute(select(keys.c.policy).distinct()).scalars())


def replace_policy(tx: Connection, before: str, after: str) -> list[KeyRow]:
    """Give every key that has one policy another, and return their rows as they are now."""
    named = tx.execute(
        update(keys)
        .where(keys.c.policy == before)
        .values(policy=after)
        .returning(keys.c.region, keys.c.account, keys.c.key_id)
    ).all()
    found = [get(tx, *each) for each in named]
    return [row for row in found if row is not None]


def set_current_version(
    tx: Connection, region: str, account: str, key_id: str, hbkid: bytes | None
) -> bool:
    """Make the version `hbkid`, which has been stored, the one that encrypts."""
    return _change(tx, _VERSION, region, account, key_id, hbkid)


def set_rotation(
    tx: Connection,
    region: str,
    account: str,
    key_id: str,
    period: int | None,
    next_rotation: float | None,
) -> bool:
    """Have the key rotate by itself at `next_rotation` and every `period` days, or never (None)."""
    values = {**_named(region, account, key_id), "k_value": period, "k_next": next_rotation}
    return tx.execute(_ROTATION, values).rowcount == 1


def rotation_due(tx: Connection, now: float, *, limit: int) -> list[KeyRow]:
    """Return up to `limit` enabled keys whose rotation is due, the earliest first."""
    return [KeyRow(*row) for row in tx.execute(_ROTATION_DUE, {"k_now": now, "k_limit": limit})]


def next_rotation(tx: Connection) -> float | None:
    """Return when the next enabled key rotates by itself, or None."""
    earliest: float | None = tx.execute(_NEXT_ROTATION).scalar_one()
    return earliest


def schedule_deletion(
    tx: Connection,
    region: str,
    account: str,
    key_id: str,
    deletion_date: float | None,
    window_days: int,
) -> bool:
    """Disable the key and have it deleted at `deletion_date`, epoch seconds.

    Without a date (None) it waits for the deletion of its replicas, and then for the window. False
    when it does not exist or its deletion is scheduled already.
    """
    values = {**_named(region, account, key_id), "k_value": deletion_date, "k_window": window_days}
    return tx.execute(_SCHEDULE, values).rowcount == 1


def cancel_deletion(tx: Connection, region: str, account: str, key_id: str) -> bool:
    """Call the scheduled deletion off; the key stays disabled. False when there was none."""
    return tx.execute(_CANCEL, _named(region, account, key_id)).rowcount == 1


def due(tx: Connection, now: float, *, limit: int = 100) -> list[KeyRow]:
    """Return up to `limit` keys whose deletion date is `now` or earlier, the earliest first."""
    return [KeyRow(*row) for row in tx.execute(_DUE, {"k_now": now, "k_limit": limit})]


def next_due(tx: Connection) -> float | None:
    """Return the earliest deletion date of any key, or None when no key waits for one."""
    earliest: float | None = tx.execute(_NEXT_DUE).scalar_one()
    return earliest


def erase(tx: Connection, region: str, account: str, key_id: str) -> bool:
    """Delete the key with all that belongs to it. False when it does not exist.

    Its tokens are overwritten first, so that they are gone even where a database keeps deleted
    rows. `Store.checkpoint` then removes what the write-ahead log still holds.
    """
    named = _named(region, account, key_id)
    zeros = [
        {"v_region": region, "v_hbkid": hbkid, "v_token": bytes(len(token))}
        for hbkid, token in tx.execute(_TOKENS, named)
    ]
    if zeros:
        tx.execute(_ZERO, zeros)
    return tx.execute(_DELETE, named).rowcount == 1


def _named(region: str, account: str, key_id: str) -> dict[str, object]:
    return {"k_region": region, "k_account": account, "k_key_id": key_id}


def _values(key: KeyRow) -> Mapping[str, object]:
    return {name: getattr(key, name) for name in _COLUMNS}


def _check_pair(key: KeyRow, version: VersionRow | None) -> None:
    if version is None:
        if key.current_version is not None:
            raise ValueError(f"The current version of the key {key.key_id} is not given.")
        return
    if (version.region, version.account, version.key_id, version.hbkid) != (
        key.region,
        key.account,
        key.key_id,
        key.current_version,
    ):
        raise ValueError(f"The version is not the current version of the key {key.key_id}.")


def _change(
    tx: Connection, statement: Update, region: str, account: str, key_id: str, value: object
) -> bool:
    values = {"k_region": region, "k_account": account, "k_key_id": key_id, "k_value": value}
    return tx.execute(statement, values).rowcount == 1
