"""Related multi-Region keys: what a set of them shows, and how what they share is handed on.

Key material, and the dates of automatic rotation, are the primary key's. Each change of them
reaches the replicas in the transaction that makes it, so that no two related keys ever differ. The
material goes from Region to Region sealed: the HSM opens a token under one domain key and seals it
under the other's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from clavero.keystores.binding import Binding
from clavero.keystores.native import NativeKeyStore, token_domain_key
from clavero.model import arn, region_errors
from clavero.ops.call import Call, Further
from clavero.ops.context import OpsContext
from clavero.ops.directory import Key
from clavero.store import keys, regions, versions
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow

SECONDS_A_DAY: Final = 86_400
EXTERNAL: Final = "EXTERNAL"
# The event in which CloudTrail shows that shared properties were handed on.
SYNCHRONIZE: Final = "SynchronizeMultiRegionKey"


# --- what they show ------------------------------------------------------------------------------


def members(context: OpsContext, key: Key) -> dict[str, Any]:
    """The members of KeyMetadata that only multi-Region keys have."""
    row = key.row
    if not row.multi_region:
        return {}
    with context.store.read() as tx:
        rows = regions.related(tx, row.account, row.key_id)
    found: dict[str, Any] = {"MultiRegionConfiguration": configuration(row, rows)}
    if key.state == "PendingReplicaDeletion":
        found["PendingDeletionWindowInDays"] = row.pending_window
    return found


def configuration(row: KeyRow, rows: Sequence[KeyRow]) -> dict[str, Any]:
    """MultiRegionConfiguration of one of the related keys `rows`."""
    own = [each for each in rows if each.region == row.region]
    primary = (own or [row])[0].primary_region
    assert primary is not None
    return {
        "MultiRegionKeyType": "PRIMARY" if primary == row.region else "REPLICA",
        "PrimaryKey": _named(row, primary),
        "ReplicaKeys": [_named(row, each.region) for each in rows if each.region != primary],
    }


def _named(row: KeyRow, region: str) -> dict[str, str]:
    return {"Arn": arn.key_arn(region, row.account, row.key_id), "Region": region}


# --- what they share -----------------------------------------------------------------------------


def check_not_replica(key: Key, operation: str) -> None:
    """UnsupportedOperationException for a replica: only its primary key can be asked."""
    if key.row.is_replica:
        raise region_errors.replica_of(key.arn, operation)


def synchronized(call: Call, primary: KeyRow) -> None:
    """Put on record that the call's change of a primary key has reached its replicas."""
    named = arn.key_arn(primary.region, primary.account, primary.key_id)
    call.further = (*call.further, Further(SYNCHRONIZE, primary.region, None, (named,), True))


def version_for(
    keystore: NativeKeyStore, primary: KeyRow, version: VersionRow, region: str
) -> VersionRow:
    """A version of the primary key as the related key in `region` has it.

    Imported material stays where it was imported: there it is only known, by its fingerprint or,
    of a pair, its public key.
    """
    there = replace(version, region=region)
    if primary.origin == EXTERNAL:
        fingerprint = None
        if version.token is not None:
            fingerprint = keystore.transfer_fingerprint(
                Binding.of(primary), version.hbkid, version.token, region
            )
        return replace(
            there,
            token=None,
            domain_key_id=None,
            import_state="PENDING_IMPORT",
            expiration_model=None,
            valid_to=None,
            fingerprint=fingerprint,
        )
    assert version.token is not None
    token = keystore.transfer(Binding.of(primary), version.hbkid, version.token, region)
    return replace(there, token=token, domain_key_id=token_domain_key(token))


def hand_on_rotation(
    tx: Connection,
    keystore: NativeKeyStore,
    primary: KeyRow,
    version: VersionRow,
    kind: str,
    now: float,
) -> list[tuple[KeyRow, VersionRow]]:
    """Rotate the replicas with their primary key, which `version` was just made current of.

    Gives each replica's row and its current version, as they are then.
    """
    regions.copy_rotation(tx, primary)
    done = []
    for replica in regions.replicas(tx, primary):
        named = (replica.region, replica.account, replica.key_id)
        own = versions.get(tx, replica.region, version.hbkid)
        if primary.origin != EXTERNAL:
            own = version_for(keystore, primary, version, replica.region)
        elif own is None or own.token is None:
            raise region_errors.material_missing_in_replicas()
        versions.retire_current(tx, *named)
        own = versions.put_current(tx, own, kind, now)
        # A replica that still waits for other material goes on waiting.
        if replica.current_version is not None:
            keys.set_current_version(tx, *named, own.hbkid)
        row = keys.get(tx, *named)
        assert row is not None
        done.append((row, own))
    return done


# --- deletion ------------------------------------------------------------------------------------


def schedule(
    tx: Connection, region: str, account: str, key_id: str, date: float, days: int
) -> bool:
    """Schedule a deletion: at `date`, or `days` after the last replica of a primary key is gone."""
    row = keys.get(tx, region, account, key_id)
    waits = row is not None and bool(regions.replicas(tx, row))
    return keys.schedule_deletion(tx, region, account, key_id, None if waits else date, days)


def replica_gone(tx: Connection, erased: KeyRow, now: float) -> KeyRow | None:
    """The primary key whose waiting period begins, now that its last replica was erased."""
    if not erased.is_replica:
        return None
    rows = regions.related(tx, erased.account, erased.key_id)
    if len(rows) != 1 or rows[0].region != erased.primary_region:
        return None
    (primary,) = rows
    if primary.pending_window is None:
        return None
    if not regions.begin_waiting(tx, primary, now + primary.pending_window * SECONDS_A_DAY):
        return None
    return keys.get(tx, primary.region, primary.account, primary.key_id)
