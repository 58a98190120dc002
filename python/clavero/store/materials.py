"""Imported key material in key versions: it is put there, erased, removed, and found when due.

The row of a version outlives its material, so that only the same material can take its place
again. What is erased here is overwritten first; `Store.checkpoint` then empties the log.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, func, select, update

from . import versions
from .schema import key_versions, keys
from .versions import VersionRow

IMPORTED = "IMPORTED"
PENDING_IMPORT = "PENDING_IMPORT"
# Material in this state is not yet the key's for good: it may be deleted and other put in its place
PENDING_ROTATION = "PENDING_ROTATION"

_ONE = (
    key_versions.c.region == bindparam("v_region"),
    key_versions.c.hbkid == bindparam("v_hbkid"),
)
_PUT = (
    update(key_versions)
    .where(*_ONE)
    .values(
        token=bindparam("v_token"),
        domain_key_id=bindparam("v_domain_key_id"),
        public_key=bindparam("v_public_key"),
        import_state=bindparam("v_import_state"),
        expiration_model=bindparam("v_expiration_model"),
        valid_to=bindparam("v_valid_to"),
        description=bindparam("v_description"),
        fingerprint=bindparam("v_fingerprint"),
    )
)
_ZERO = update(key_versions).where(*_ONE).values(token=bindparam("v_token"))
_ERASE = (
    update(key_versions)
    .where(*_ONE)
    .values(
        token=None,
        domain_key_id=None,
        import_state=PENDING_IMPORT,
        expiration_model=None,
        valid_to=None,
    )
)
_REMOVE = delete(key_versions).where(*_ONE)
_DUE = (
    select(*key_versions.c)
    .where(key_versions.c.valid_to <= bindparam("v_now"))
    .order_by(key_versions.c.valid_to, key_versions.c.region, key_versions.c.hbkid)
    .limit(bindparam("v_limit"))
)
_NEXT_DUE = select(func.min(key_versions.c.valid_to))
_EARLIEST = select(func.min(key_versions.c.valid_to)).where(
    key_versions.c.region == bindparam("v_region"),
    key_versions.c.account == bindparam("v_account"),
    key_versions.c.key_id == bindparam("v_key_id"),
    key_versions.c.state != PENDING_ROTATION,
)
_SETTLE = (
    update(keys)
    .where(
        keys.c.region == bindparam("k_region"),
        keys.c.account == bindparam("k_account"),
        keys.c.key_id == bindparam("k_key_id"),
    )
    .values(current_version=bindparam("k_version"), enabled=bindparam("k_enabled"))
)


def put(tx: Connection, version: VersionRow) -> None:
    """Store the material of `version`, new or in the place of what was erased or is the same."""
    changed = tx.execute(
        _PUT,
        {
            **_named(version),
            "v_token": version.token,
            "v_domain_key_id": version.domain_key_id,
            "v_public_key": version.public_key,
            "v_import_state": version.import_state,
            "v_expiration_model": version.expiration_model,
            "v_valid_to": version.valid_to,
            "v_description": version.description,
            "v_fingerprint": version.fingerprint,
        },
    )
    if changed.rowcount == 0:
        versions.insert_version(tx, version)


def erase(tx: Connection, version: VersionRow) -> None:
    """Erase the material of `version`; its row stays, and waits for the same material."""
    _overwrite(tx, version)
    tx.execute(_ERASE, _named(version))


def remove(tx: Connection, version: VersionRow) -> None:
    """Erase the material of `version` with its row: the key has nothing to do with it any more."""
    _overwrite(tx, version)
    tx.execute(_REMOVE, _named(version))


def due(tx: Connection, now: float, *, limit: int = 100) -> list[VersionRow]:
    """Return up to `limit` versions whose material has expired by `now`, the earliest first."""
    return [VersionRow(*row) for row in tx.execute(_DUE, {"v_now": now, "v_limit": limit})]


def next_due(tx: Connection) -> float | None:
    """Return when the next material expires, or None."""
    earliest: float | None = tx.execute(_NEXT_DUE).scalar_one()
    return earliest


def earliest_expiry(tx: Connection, region: str, account: str, key_id: str) -> float | None:
    """Return when the first material expires that the key cannot do without, or None."""
    asked = {"v_region": region, "v_account": account, "v_key_id": key_id}
    earliest: float | None = tx.execute(_EARLIEST, asked).scalar_one()
    return earliest


def settle(
    tx: Connection,
    region: str,
    account: str,
    key_id: str,
    current_version: bytes | None,
    enabled: bool,
) -> None:
    """Say which version encrypts, None while any material is missing, and whether it may."""
    tx.execute(
        _SETTLE,
        {
            "k_region": region,
            "k_account": account,
            "k_key_id": key_id,
            "k_version": current_version,
            "k_enabled": enabled,
        },
    )


def _overwrite(tx: Connection, version: VersionRow) -> None:
    if version.token is not None:
        tx.execute(_ZERO, {**_named(version), "v_token": bytes(len(version.token))})


def _named(version: VersionRow) -> dict[str, object]:
    return {"v_region": version.region, "v_hbkid": version.hbkid}
