"""Rotation of key material: by the clock and on demand; its status and its history.

A rotation adds a version to the key, in one transaction, and new messages are sealed under it from
then on. What was sealed before names its own version, and opens by that one. AWS rotates in the
background, within minutes; here a rotation is complete when RotateKeyOnDemand answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection

from clavero.keystores.binding import Binding
from clavero.keystores.native import (
    FreshMaterial,
    NativeKeyStore,
    material_id,
    token_domain_key,
)
from clavero.model import errors
from clavero.ops import related, states
from clavero.ops.call import Call, Response
from clavero.ops.context import OpsContext, limit_of, timestamp
from clavero.ops.directory import Directory, Key
from clavero.ops.keychange import change_key
from clavero.ops.materials import EXTERNAL, PENDING_REPLICAS, missing_in_replicas, settle
from clavero.ops.registry import Handler, by_key_id
from clavero.store import keys, materials, versions
from clavero.store.engine import Store
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow

AUTOMATIC: Final = "AUTOMATIC"
ON_DEMAND: Final = "ON_DEMAND"
SECONDS_A_DAY: Final = 86_400
# AWS KMS API reference: EnableKeyRotation RotationPeriodInDays, ListKeyRotations Limit,
# ConflictException ("within the next 20 minutes").
DEFAULT_PERIOD: Final = 365
DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1000
CONFLICT_SECONDS: Final = 1_200

_SYMMETRIC: Final = "SYMMETRIC_DEFAULT"

May: TypeAlias = Callable[[Connection, KeyRow], bool]


# --- rotating ------------------------------------------------------------------------------------


def rotate(
    store: Store,
    directory: Directory,
    keystore: NativeKeyStore,
    named: tuple[str, str, str],
    kind: str,
    now: float,
    may: May,
) -> list[KeyRow] | None:
    """Rotate the key `named` (Region, account, key id), if `may` still says so in the transaction.

    `kind` is AUTOMATIC, which also sets the next date, or ON_DEMAND. The replicas of a multi-Region
    key rotate in the same transaction: gives their rows, or None where nothing was rotated.
    """
    with directory.order:
        made: FreshMaterial | None = None
        try:
            with store.write() as tx:
                row = keys.get(tx, *named)
                if row is None or row.is_replica or not may(tx, row):
                    return None
                if row.origin == EXTERNAL:
                    version = _imported(tx, row, now)
                else:
                    made = keystore.generate(Binding.of(row))
                    version = _fresh(tx, row, made, now)
                versions.retire_current(tx, *named)
                version = versions.put_current(tx, version, kind, now)
                keys.set_current_version(tx, *named, version.hbkid)
                if kind == AUTOMATIC:
                    keys.set_rotation(tx, *named, row.rotation_period, _next_date(row, now))
                changed = keys.get(tx, *named)
                assert changed is not None
                followers = []
                if changed.primary_region is not None:
                    followers = related.hand_on_rotation(tx, keystore, changed, version, kind, now)
                settled = []
                if made is None:
                    settled = [
                        settle(tx, each) for each in (changed, *(own for own, _ in followers))
                    ]
        except BaseException:
            if made is not None:  # a version that was not stored does not stay in memory either
                keystore.unload(made)
            raise
        for each in settled:
            directory.materials_changed(*each)
        if made is not None:
            if not directory.rotated(changed, version, made.handle):
                keystore.unload(made)  # the key is loaded when somebody asks for it
            for replica, own in followers:
                directory.rotated(replica, own, None)
    return [replica for replica, _ in followers]


def is_due(row: KeyRow, now: float) -> bool:
    """Whether the key rotates by itself now. A key that is not enabled waits until it is."""
    return row.enabled and row.next_rotation is not None and row.next_rotation <= now


def _next_date(row: KeyRow, now: float) -> float:
    """The date after this one. Dates that were missed do not come again, one by one."""
    assert row.rotation_period is not None and row.next_rotation is not None
    period = row.rotation_period * SECONDS_A_DAY
    following = row.next_rotation + period
    return following if following > now else now + period


def _fresh(tx: Connection, row: KeyRow, made: FreshMaterial, now: float) -> VersionRow:
    return VersionRow(
        region=row.region,
        hbkid=made.hbkid,
        account=row.account,
        key_id=row.key_id,
        token=made.token,
        domain_key_id=token_domain_key(made.token),
        material_id=material_id(made.hbkid),
        created=now,
        number=versions.last_number(tx, row.region, row.account, row.key_id) + 1,
    )


def _imported(tx: Connection, row: KeyRow, now: float) -> VersionRow:
    """The imported material that waits for the rotation, unless it was deleted or has expired."""
    for version in versions.of_key(tx, row.region, row.account, row.key_id):
        waits = version.state == materials.PENDING_ROTATION and version.token is not None
        if waits and (version.valid_to is None or version.valid_to > now):
            return version
    raise errors.no_pending_material(_arn(row))


def _arn(row: KeyRow) -> str:
    return f"arn:aws:kms:{row.region}:{row.account}:key/{row.key_id}"


# --- operations ----------------------------------------------------------------------------------


def _check_automatic(call: Call, key: Key) -> None:
    """UnsupportedOperationException for keys that never rotate by themselves, and for replicas."""
    if key.row.origin != "AWS_KMS":
        raise errors.key_origin(key.arn, key.row.origin)
    related.check_not_replica(key, call.operation.name)


def _fits_automatic(context: OpsContext, call: Call) -> None:
    _check_automatic(call, call.keys[0])


def enable_key_rotation(context: OpsContext, call: Call) -> Response:
    """EnableKeyRotation. Where it is enabled already, only another period changes the date."""
    key = call.keys[0]
    _check_automatic(call, key)
    if key.row.spec != _SYMMETRIC:
        raise errors.rotation_unsupported()
    given = call.params.get("RotationPeriodInDays")
    change_key(context, call, _enable, given, call.time, shared=True)
    context.schedule_changed()
    return {}


def _enable(
    tx: Connection, region: str, account: str, key_id: str, given: int | None, now: float
) -> bool:
    row = keys.get(tx, region, account, key_id)
    if row is None or not row.enabled or row.is_replica:
        return False
    if row.rotation_period is not None and given in {None, row.rotation_period}:
        return True
    period = given or DEFAULT_PERIOD
    return keys.set_rotation(tx, region, account, key_id, period, now + period * SECONDS_A_DAY)


def disable_key_rotation(context: OpsContext, call: Call) -> Response:
    """DisableKeyRotation. The versions that there are stay."""
    _check_automatic(call, call.keys[0])
    change_key(context, call, _disable, shared=True)
    return {}


def _disable(tx: Connection, region: str, account: str, key_id: str) -> bool:
    row = keys.get(tx, region, account, key_id)
    if row is None or row.is_replica:
        return False
    return keys.set_rotation(tx, region, account, key_id, None, None)


def get_key_rotation_status(context: OpsContext, call: Call) -> Response:
    """GetKeyRotationStatus. While a key waits for its deletion, its rotation is off."""
    key = call.keys[0]
    row = key.row
    answer: Response = {"KeyId": key.arn, "KeyRotationEnabled": False}
    if row.rotation_period is not None and row.deletion_date is None:
        assert row.next_rotation is not None
        answer["KeyRotationEnabled"] = True
        answer["RotationPeriodInDays"] = row.rotation_period
        answer["NextRotationDate"] = timestamp(row.next_rotation)
    return answer


def rotate_key_on_demand(context: OpsContext, call: Call) -> Response:
    """RotateKeyOnDemand: at once, and without effect on the dates of automatic rotation."""
    key = call.keys[0]
    if key.row.spec != _SYMMETRIC:
        raise errors.rotation_unsupported()
    related.check_not_replica(key, call.operation.name)
    named = (key.row.region, key.row.account, key.row.key_id)

    def may(tx: Connection, row: KeyRow) -> bool:
        if not row.enabled:  # another call has changed the state since this one checked it
            return False
        if row.next_rotation is not None and row.next_rotation <= call.time + CONFLICT_SECONDS:
            raise errors.rotation_conflict(key.arn)
        done = versions.count_rotations(tx, *named, ON_DEMAND)
        if done >= context.quotas.on_demand_rotations:
            raise errors.on_demand_quota(key.arn)
        return True

    replicas = rotate(
        context.store, context.directory, context.keystore, named, ON_DEMAND, call.time, may
    )
    if replicas is None:
        raise states.refusal(call.operation.name, key, key.state)
    if replicas:
        related.synchronized(call, key.row)
    return {"KeyId": key.arn}


def list_key_rotations(context: OpsContext, call: Call) -> Response:
    """ListKeyRotations: the oldest first. ALL_KEY_MATERIAL adds the first and what is pending."""
    key = call.keys[0]
    row = key.row
    included = call.params.get("IncludeKeyMaterial")
    limit = limit_of(call, DEFAULT_PAGE, MAX_PAGE)
    after = int(context.marker(call) or 0)
    if row.spec != _SYMMETRIC:
        if included is not None:
            raise errors.only_of_symmetric("includeKeyMaterial")
        return {"Rotations": [], "Truncated": False}
    with context.store.read() as tx:
        found, more = versions.page(
            tx,
            row.region,
            row.account,
            row.key_id,
            limit=limit,
            after=after,
            rotations_only=included != "ALL_KEY_MATERIAL",
        )
        found = [
            replace(version, state=PENDING_REPLICAS)
            if missing_in_replicas(tx, row, version)
            else version
            for version in found
        ]
    answer: Response = {
        "Rotations": [_entry(key, version) for version in found],
        "Truncated": more,
    }
    if more:
        answer["NextMarker"] = context.next_marker(call, str(found[-1].number))
    return answer


def _entry(key: Key, version: VersionRow) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "KeyId": key.arn,
        "KeyMaterialId": material_id(version.hbkid),
        "KeyMaterialState": version.state,
    }
    if version.rotated is not None:
        entry["RotationDate"] = timestamp(version.rotated)
        entry["RotationType"] = version.rotation_type
    if key.row.origin == EXTERNAL:
        entry["ImportState"] = version.import_state
        if version.expiration_model is not None:
            entry["ExpirationModel"] = version.expiration_model
        if version.valid_to is not None:
            entry["ValidTo"] = timestamp(version.valid_to)
        if version.description is not None:
            entry["KeyMaterialDescription"] = version.description
    return entry


# Keys that wait for imported material get as far as being told that they never rotate.
_AUTOMATIC_STATES: Final = frozenset({"Enabled", "PendingImport"})

HANDLERS: Final = (
    Handler(
        "EnableKeyRotation",
        enable_key_rotation,
        resolve=by_key_id(),
        states=_AUTOMATIC_STATES,
        fits=_fits_automatic,
    ),
    Handler(
        "DisableKeyRotation",
        disable_key_rotation,
        resolve=by_key_id(),
        states=_AUTOMATIC_STATES,
        fits=_fits_automatic,
    ),
    Handler(
        "GetKeyRotationStatus", get_key_rotation_status, resolve=by_key_id(), states=states.ANY
    ),
    Handler("RotateKeyOnDemand", rotate_key_on_demand, resolve=by_key_id(), states=states.STEADY),
    Handler("ListKeyRotations", list_key_rotations, resolve=by_key_id(), states=states.ANY),
)
