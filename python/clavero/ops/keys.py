"""Keys: they are created, described, listed, enabled and disabled, and their deletion scheduled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from clavero.iam.decision import default_key_policy
from clavero.keystores.binding import Binding
from clavero.keystores.native import FreshMaterial, material_id, token_domain_key
from clavero.model import errors, specs
from clavero.ops import materials, policies, related, states, tags
from clavero.ops.call import Call, Response
from clavero.ops.context import OpsContext, limit_of, not_built, timestamp
from clavero.ops.directory import Key
from clavero.ops.keychange import change_key
from clavero.ops.materials import EXTERNAL
from clavero.ops.registry import Handler, Need, account_wide, by_any_name, by_key_id, to_tag
from clavero.store import keys
from clavero.store import tags as stored_tags
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow

SECONDS_A_DAY: Final = 86_400
# AWS KMS API reference: ListKeys Limit, ScheduleKeyDeletion PendingWindowInDays.
DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1000
DEFAULT_WINDOW_DAYS: Final = 30

_AWS_KMS: Final = "AWS_KMS"
MULTI_REGION: Final = "mrk-"


def describe(context: OpsContext, key: Key) -> dict[str, Any]:
    """KeyMetadata, with the members that AWS gives for a key of this kind and state."""
    row = key.row
    metadata = {
        "AWSAccountId": row.account,
        "KeyId": row.key_id,
        "Arn": key.arn,
        "CreationDate": timestamp(row.created),
        "Enabled": key.state == "Enabled",
        "Description": row.description,
        "KeyUsage": row.usage,
        "KeyState": key.state,
        "Origin": row.origin,
        "KeyManager": row.manager,
        "CustomerMasterKeySpec": row.spec,
        "KeySpec": row.spec,
        **specs.algorithm_members(row.spec, row.usage),
        "MultiRegion": row.multi_region,
        **related.members(context, key),
    }
    if row.spec == specs.SYMMETRIC_DEFAULT and key.current.material_id:
        metadata["CurrentKeyMaterialId"] = key.current.material_id
    if row.origin == EXTERNAL:
        metadata |= materials.members(context, key)
    if row.deletion_date is not None:
        metadata["DeletionDate"] = timestamp(row.deletion_date)
    return metadata


def _needs_of_create(call: Call) -> Sequence[Need]:
    """kms:CreateKey, and with tags kms:TagResource on a key whose ARN nobody knows yet."""
    needs = account_wide("kms:CreateKey")(call)
    if not call.params.get("Tags"):
        return needs
    return (*needs, to_tag(call.scope.region, call.scope.account))


def create_key(context: OpsContext, call: Call) -> Response:
    """CreateKey: a key of any spec, with new material, or without any where it is imported."""
    params = call.params
    spec, usage = _checked_kind(call)
    origin: str = params.get("Origin", _AWS_KMS)
    policy = default_key_policy(call.scope.account)
    if "Policy" in params:
        policy = policies.checked(context, call)
    given_tags = tags.checked(params.get("Tags", ()), context.quotas.tags)
    scope = call.scope
    context.ensure_domain(scope.region)
    multi_region = bool(params.get("MultiRegion"))
    key_id = context.new_id()
    if multi_region:
        key_id = MULTI_REGION + key_id.replace("-", "")
    row = KeyRow(
        region=scope.region,
        account=scope.account,
        key_id=key_id,
        description=params.get("Description", ""),
        usage=usage,
        spec=spec,
        origin=origin,
        manager="CUSTOMER",
        enabled=origin == _AWS_KMS,
        created=call.time,
        deletion_date=None,
        pending_window=None,
        multi_region=multi_region,
        policy=policy,
        current_version=None,
        primary_region=scope.region if multi_region else None,
    )
    if origin == EXTERNAL:
        key = _without_material(context, row, given_tags)
    else:
        key = _with_material(context, row, given_tags)
    call.resources = (key.arn,)
    return {"KeyMetadata": describe(context, key)}


def _without_material(context: OpsContext, row: KeyRow, given_tags: dict[str, str]) -> Key:
    """Store a key that waits for its material."""
    with context.store.write() as tx:
        check_quota(context, tx, row)
        keys.insert_key(tx, row, None)
        if given_tags:
            stored_tags.put(tx, row.region, row.account, row.key_id, given_tags)
    return context.directory.add(row, None, None)


def _with_material(context: OpsContext, row: KeyRow, given_tags: dict[str, str]) -> Key:
    """Make the key's material, outside the transaction (RSA takes seconds), and store the key."""
    while True:
        made = context.keystore.generate(Binding.of(row))
        try:
            with context.store.write() as tx:
                if context.keystore.renew(made):
                    check_quota(context, tx, row)
                    row = replace(row, current_version=made.hbkid)
                    version = _first_version(row, made)
                    keys.insert_key(tx, row, version)
                    if given_tags:
                        stored_tags.put(tx, row.region, row.account, row.key_id, given_tags)
                    break
        except BaseException:
            context.keystore.unload(made)  # a key that was not stored does not stay in memory
            raise
        # Meanwhile the domain key was rotated and dropped, and the token with it.
        context.keystore.unload(made)
    key = context.directory.add(row, version, made.handle)
    key.current.proven = True  # the HSM has just made both halves
    return key


def check_quota(context: OpsContext, tx: Connection, row: KeyRow) -> None:
    """LimitExceededException where the key to be stored is one too many in its Region."""
    most = context.quotas.keys
    if not context.directory.has_room(tx, row.region, row.account, most):
        raise errors.limit_exceeded(
            f"An account can have at most {most} KMS keys in a Region, and {row.account} has as "
            f"many in {row.region}: schedule the deletion of some first."
        )


def _first_version(row: KeyRow, made: FreshMaterial) -> VersionRow:
    return VersionRow(
        region=row.region,
        hbkid=made.hbkid,
        account=row.account,
        key_id=row.key_id,
        token=made.token,
        domain_key_id=token_domain_key(made.token),
        material_id=material_id(made.hbkid),
        created=row.created,
        public_key=made.public_key,
    )


def _checked_kind(call: Call) -> tuple[str, str]:
    """KeySpec and KeyUsage of the new key; refuses what is not built, and what no key is."""
    params = call.params
    spec = params.get("KeySpec")
    old_spec = params.get("CustomerMasterKeySpec")
    if spec is not None and old_spec is not None:
        raise errors.validation(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. "
            "CustomerMasterKeySpec is deprecated."
        )
    spec = spec or old_spec or specs.SYMMETRIC_DEFAULT
    usage = specs.usage_of(spec, params.get("KeyUsage"))
    origin = params.get("Origin", _AWS_KMS)
    if origin == EXTERNAL:
        specs.check_external(spec)
    elif origin != _AWS_KMS:
        raise not_built(f"Origin {origin}")
    if "CustomKeyStoreId" in params or "XksKeyId" in params:
        raise not_built("A custom key store")
    return spec, usage


def describe_key(context: OpsContext, call: Call) -> Response:
    """DescribeKey."""
    return {"KeyMetadata": describe(context, call.keys[0])}


def list_keys(context: OpsContext, call: Call) -> Response:
    """ListKeys: the account's keys in the Region, in order of key id."""
    scope = call.scope
    limit = limit_of(call, DEFAULT_PAGE, MAX_PAGE)
    after = context.marker(call)
    if "OTHER_ACCOUNTS_VIA_RAM" in call.params.get("ResourceOwners", ()):
        raise not_built("ListKeys of keys that other accounts share")
    with context.store.read() as tx:
        ids, more = keys.page(tx, scope.region, scope.account, limit=limit, after=after)
    prefix = f"arn:aws:kms:{scope.region}:{scope.account}:key/"
    answer: Response = {
        "Keys": [{"KeyId": key_id, "KeyArn": prefix + key_id} for key_id in ids],
        "Truncated": more,
    }
    if more:
        answer["NextMarker"] = context.next_marker(call, ids[-1])
    return answer


def enable_key(context: OpsContext, call: Call) -> Response:
    """EnableKey."""
    change_key(context, call, keys.set_enabled, True)
    context.schedule_changed()  # a rotation may have come due while it was disabled
    return {}


def disable_key(context: OpsContext, call: Call) -> Response:
    """DisableKey."""
    change_key(context, call, keys.set_enabled, False)
    return {}


def update_key_description(context: OpsContext, call: Call) -> Response:
    """UpdateKeyDescription."""
    change_key(context, call, keys.set_description, call.params["Description"])
    return {}


def schedule_key_deletion(context: OpsContext, call: Call) -> Response:
    """ScheduleKeyDeletion: the key is of no use from now on, and erased when its window ends.

    The window of a primary key begins when the last of its replicas is gone.
    """
    days = call.params.get("PendingWindowInDays", DEFAULT_WINDOW_DAYS)
    if not 7 <= days <= 30:  # the model allows 1 to 365; AWS's API reference says 7 to 30
        raise errors.validation(
            f"PendingWindowInDays must be between 7 and 30 (inclusive), not {days}."
        )
    date = call.time + days * SECONDS_A_DAY
    row = change_key(context, call, related.schedule, date, days)
    context.schedule_changed()
    key = call.keys[0]
    answer: Response = {"KeyId": key.arn, "KeyState": key.state, "PendingWindowInDays": days}
    if row.deletion_date is not None:
        answer["DeletionDate"] = timestamp(row.deletion_date)
    return answer


def cancel_key_deletion(context: OpsContext, call: Call) -> Response:
    """CancelKeyDeletion: the key is back, disabled."""
    change_key(context, call, keys.cancel_deletion)
    context.schedule_changed()
    return {"KeyId": call.keys[0].arn}


HANDLERS: Final = (
    Handler("CreateKey", create_key, needs=_needs_of_create),
    Handler("DescribeKey", describe_key, resolve=by_any_name, states=states.ANY),
    Handler("ListKeys", list_keys, needs=account_wide("kms:ListKeys")),
    Handler("EnableKey", enable_key, resolve=by_key_id(), states=states.WITH_MATERIAL),
    Handler("DisableKey", disable_key, resolve=by_key_id(), states=states.WITH_MATERIAL),
    Handler(
        "UpdateKeyDescription",
        update_key_description,
        resolve=by_key_id(),
        states=states.NOT_DELETED,
    ),
    Handler(
        "ScheduleKeyDeletion",
        schedule_key_deletion,
        resolve=by_key_id(),
        states=states.DELETABLE,
    ),
    Handler(
        "CancelKeyDeletion",
        cancel_key_deletion,
        resolve=by_key_id(),
        states=states.PENDING_DELETION,
    ),
)
