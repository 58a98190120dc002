"""Imported key material over its life: what it makes of its key's state, and its expiry.

A key is of use while all the material is there that was ever current; what waits for a rotation
does not count. As long as some is missing, the row of the key names no version, which is the state
PendingImport.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from clavero.keystores.native import NativeKeyStore
from clavero.model import errors, specs
from clavero.ops.context import OpsContext, timestamp
from clavero.ops.directory import Directory, Key
from clavero.store import keys, materials, regions, versions
from clavero.store.engine import Store
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow

EXTERNAL: Final = "EXTERNAL"
EXPIRES: Final = "KEY_MATERIAL_EXPIRES"
DOES_NOT_EXPIRE: Final = "KEY_MATERIAL_DOES_NOT_EXPIRE"
# The KeyMaterialState of material that waits for a rotation, while a related key does not have it.
PENDING_REPLICAS: Final = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"


class Settled(NamedTuple):
    """A key after its materials changed, for `Directory.materials_changed`."""

    row: KeyRow
    current: VersionRow | None
    expires: float | None


def lasting(rows: Sequence[VersionRow]) -> list[VersionRow]:
    """The materials that the key cannot do without."""
    return [version for version in rows if version.state != materials.PENDING_ROTATION]


def current_of(rows: Sequence[VersionRow]) -> VersionRow | None:
    """The material that encrypts, or did before it went missing; None before the first import."""
    return next((version for version in rows if version.state == "CURRENT"), None)


def pending_of(rows: Sequence[VersionRow]) -> VersionRow | None:
    """The material that waits for a rotation."""
    return next((version for version in rows if version.state == materials.PENDING_ROTATION), None)


def complete(rows: Sequence[VersionRow]) -> bool:
    """Whether the key has all its material."""
    needed = lasting(rows)
    return bool(needed) and all(version.token is not None for version in needed)


def settle(tx: Connection, row: KeyRow, *, enable: bool = False) -> Settled:
    """Put the key in the state that its materials allow; `enable` it if they do."""
    named = (row.region, row.account, row.key_id)
    rows = versions.of_key(tx, *named)
    current = current_of(rows) if complete(rows) else None
    hbkid, enabled = None, False
    if current is not None:
        hbkid = current.hbkid
        enabled = (enable or row.enabled) and row.pending_window is None
    materials.settle(tx, *named, hbkid, enabled)
    changed = keys.get(tx, *named)
    if changed is None:
        raise errors.internal(f"The key {row.key_id} vanished while its material was changed.")
    return Settled(changed, current, materials.earliest_expiry(tx, *named))


def expire(
    store: Store, directory: Directory, keystore: NativeKeyStore, due: VersionRow, now: float
) -> bool:
    """Erase material that has expired by `now`; False where it was imported again meanwhile."""
    with directory.order:
        with store.write() as tx:
            version = versions.get(tx, due.region, due.hbkid)
            if version is None or version.valid_to is None or version.valid_to > now:
                return False
            row = keys.get(tx, version.region, version.account, version.key_id)
            if row is None:
                return False
            materials.erase(tx, version)
            settled = settle(tx, row)
        gone = directory.materials_changed(*settled, gone=(version.hbkid,))
    for each in gone:
        keystore.unload(each)
    return True


def missing_in_replicas(tx: Connection, row: KeyRow, version: VersionRow) -> bool:
    """Whether it waits for a rotation that cannot be before every related key has it."""
    if version.state != materials.PENDING_ROTATION or not row.multi_region:
        return False
    own = [
        versions.get(tx, each.region, version.hbkid)
        for each in regions.related(tx, row.account, row.key_id)
    ]
    return any(each is None or each.token is None for each in own)


def members(context: OpsContext, key: Key) -> dict[str, Any]:
    """What KeyMetadata tells of a key's imported materials. Without all of them: the current id."""
    row = key.row
    with context.store.read() as tx:
        rows = versions.of_key(tx, row.region, row.account, row.key_id)
    found: dict[str, Any] = {}
    current = current_of(rows)
    if current is not None and row.spec == specs.SYMMETRIC_DEFAULT:
        found["CurrentKeyMaterialId"] = current.material_id
    if complete(rows):
        dates = [version.valid_to for version in lasting(rows) if version.valid_to is not None]
        found["ExpirationModel"] = EXPIRES if dates else DOES_NOT_EXPIRE
        if dates:
            found["ValidTo"] = timestamp(min(dates))
    return found
