"""Multi-Region keys: ReplicateKey and UpdatePrimaryRegion.

AWS makes a replica, and changes the primary Region, within seconds after the answer; here both are
done, in one transaction over the Regions, when the answer leaves. ReplicateKey answers with the
replica as it begins, in state Creating, as AWS does; whoever looks at it after that finds it made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from sqlalchemy import Connection

from clavero.iam.decision import NamedResource, default_key_policy
from clavero.model import arn, errors, region_errors
from clavero.model import regions as known
from clavero.ops import policies, related, states, tags
from clavero.ops.call import Call, Further, Response
from clavero.ops.context import OpsContext
from clavero.ops.directory import Key
from clavero.ops.keys import check_quota, describe
from clavero.ops.materials import DOES_NOT_EXPIRE, EXTERNAL
from clavero.ops.registry import Handler, Need, by_key_id, to_tag
from clavero.store import domains, keys, regions, versions
from clavero.store import tags as stored_tags
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow

Refusal: TypeAlias = Callable[[str], errors.KMSError]

# --- ReplicateKey --------------------------------------------------------------------------------


def replicate_key(context: OpsContext, call: Call) -> Response:
    """ReplicateKey: a replica with all versions of its primary key, and what the request gives."""
    primary = call.keys[0]
    params = call.params
    region: str = params["ReplicaRegion"]
    if primary.row.primary_region != primary.row.region:
        raise region_errors.not_a_primary_key(primary.arn)
    _check_region(context, primary.row.region, region)
    account, key_id = primary.row.account, primary.row.key_id
    replica_arn = arn.key_arn(region, account, key_id)
    policy = default_key_policy(account)
    if "Policy" in params:
        policy = policies.checked(context, call, replica_arn)
    given_tags = tags.checked(params.get("Tags", ()), context.quotas.tags)
    context.ensure_domain(region)
    with context.directory.order:
        with context.store.write() as tx:
            row, rows = _unchanged(context, tx, call, region_errors.not_a_primary_key, primary)
            if any(each.region == region for each in rows):
                raise region_errors.replica_exists()
            replica = replace(
                row,
                region=region,
                description=params.get("Description", ""),
                created=call.time,
                policy=policy,
            )
            check_quota(context, tx, replica)
            replica, current = _store(context, tx, row, replica)
            if given_tags:
                stored_tags.put(tx, region, account, key_id, given_tags)
        # In the order of commits: a rotation that follows must find it, to change it.
        key = context.directory.add(replica, current, None)
    metadata = describe(context, key)
    metadata |= {"KeyState": "Creating", "Enabled": False}
    metadata.pop("CurrentKeyMaterialId", None)
    if row.origin == EXTERNAL:  # AWS says so of a replica that has no material yet
        metadata["ExpirationModel"] = DOES_NOT_EXPIRE
    answer: Response = {"ReplicaKeyMetadata": metadata, "ReplicaPolicy": policy}
    if given_tags:
        answer["ReplicaTags"] = [dict(pair) for pair in params["Tags"]]
    call.further = (Further("CreateKey", region, _as_created(call, replica), (key.arn,)),)
    return answer


def _check_region(context: OpsContext, primary: str, region: str) -> None:
    """Refuse Regions that no replica of a key in Region `primary` can be in."""
    if region == primary:
        raise region_errors.region_of_the_primary(region)
    if known.partition_of(region) != known.partition_of(primary):
        raise region_errors.region_of_another_partition()
    if known.is_known(region):
        return
    # A Region of the deployment's own, or one that AWS has got since: it must have keys already.
    with context.store.read() as tx:
        if domains.get(tx, region) is None:
            raise region_errors.unknown_region(region)


def _unchanged(
    context: OpsContext, tx: Connection, call: Call, not_primary: Refusal, *checked: Key
) -> tuple[KeyRow, list[KeyRow]]:
    """The first key's row and all related ones; refused unless what was checked is still so."""
    primary = checked[0]
    rows = regions.related(tx, primary.row.account, primary.row.key_id)
    by_region = {row.region: row for row in rows}
    for key in checked:
        row = by_region.get(key.row.region)
        if row is None:
            raise errors.key_not_found(key.arn)
        if row != key.row:  # another call has changed it since this one looked
            context.directory.changed(key, row)
        if not row.enabled:
            raise states.refusal(call.operation.name, key, key.state)
    if primary.row.is_replica:
        raise not_primary(primary.arn)
    return by_region[primary.row.region], rows


def _store(
    context: OpsContext, tx: Connection, primary: KeyRow, replica: KeyRow
) -> tuple[KeyRow, VersionRow | None]:
    """Store a replica with every version of its primary key; gives it and its current version."""
    its = [
        related.version_for(context.keystore, primary, version, replica.region)
        for version in versions.of_key(tx, primary.region, primary.account, primary.key_id)
    ]
    current: VersionRow | None = None
    if replica.origin == related.EXTERNAL:
        # It waits for its material, which is imported there too.
        replica = replace(replica, enabled=False, current_version=None)
    else:
        current = next(each for each in its if each.hbkid == replica.current_version)
    keys.insert_key(tx, replica, current)
    for version in its:
        if version is not current:
            versions.insert_version(tx, version)
    return replica, current


def _as_created(call: Call, replica: KeyRow) -> dict[str, object]:
    """The CreateKey that CloudTrail shows in the replica's Region."""
    own = ("Policy", "Description", "BypassPolicyLockoutSafetyCheck", "Tags")
    return {
        **{name: call.params[name] for name in own if name in call.params},
        "KeyUsage": replica.usage,
        "KeySpec": replica.spec,
        "CustomerMasterKeySpec": replica.spec,
        "Origin": replica.origin,
        "MultiRegion": True,
    }


def _needs_of_replicate(call: Call) -> Sequence[Need]:
    """On the primary key in its Region, and on what is to be in the replica's."""
    key = call.keys[0]
    region: str = call.params["ReplicaRegion"]
    anything = NamedResource("*", call.scope.account, region)
    needs = [
        Need("kms:ReplicateKey", key, f"on resource: {key.arn}"),
        Need("kms:CreateKey", anything, "on resource: *"),
    ]
    if call.params.get("Tags"):
        needs.append(to_tag(region, call.scope.account))
    return needs


# --- UpdatePrimaryRegion -------------------------------------------------------------------------


def _both(context: OpsContext, call: Call) -> tuple[Key, ...]:
    """The primary key, and the replica that is to be the primary key where there is one."""
    (primary,) = by_key_id()(context, call)
    row = primary.row
    region: str = call.params["PrimaryRegion"]
    if row.account != call.scope.account or not row.multi_region or row.region == region:
        return (primary,)
    with context.store.read() as tx:
        there = any(each.region == region for each in regions.related(tx, row.account, row.key_id))
    other = context.directory.find(region, row.account, row.key_id) if there else None
    return (primary,) if other is None else (primary, other)


def update_primary_region(context: OpsContext, call: Call) -> Response:
    """UpdatePrimaryRegion. Where the primary key is in the Region already, nothing changes."""
    primary, *others = call.keys
    call.resources = (primary.arn,)
    region: str = call.params["PrimaryRegion"]
    if primary.row.primary_region != primary.row.region:
        raise region_errors.not_the_primary_key(primary.arn)
    if region == primary.row.region:
        return {}
    if not others:
        raise region_errors.no_replica_there(primary.row.key_id)
    with context.directory.order:
        with context.store.write() as tx:
            row, _ = _unchanged(context, tx, call, region_errors.not_the_primary_key, *call.keys)
            regions.set_primary(tx, row.account, row.key_id, region)
            rows = regions.related(tx, row.account, row.key_id)
        for each in rows:
            context.directory.take_over(each)
    promoted = others[0].arn
    params = {"KeyId": promoted, "PrimaryRegion": region}
    call.further = (Further("UpdatePrimaryRegion", region, params, (promoted,)),)
    return {}


HANDLERS: Final = (
    Handler(
        "ReplicateKey",
        replicate_key,
        resolve=by_key_id(),
        needs=_needs_of_replicate,
        states=states.STEADY,
    ),
    Handler("UpdatePrimaryRegion", update_primary_region, resolve=_both, states=states.STEADY),
)
