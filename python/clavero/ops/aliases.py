"""Aliases: CreateAlias, UpdateAlias, DeleteAlias, ListAliases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from clavero.iam.decision import NamedResource
from clavero.model import arn, errors, managed
from clavero.ops import states
from clavero.ops.call import Call, Response
from clavero.ops.context import OpsContext, limit_of, timestamp
from clavero.ops.directory import ForeignResource, Key
from clavero.ops.registry import Handler, Need, Needs, account_wide, by_key_id
from clavero.store import aliases
from clavero.store.aliases import AliasRow
from clavero.store.errors import StoreConflict

# AWS KMS API reference, ListAliases: Limit (the model allows 1000, as for other lists).
DEFAULT_PAGE: Final = 50
MAX_PAGE: Final = 100


def _needs(action: str) -> Needs:
    """Alias operations are authorised twice: on the alias and on each key."""

    def needs(call: Call) -> Sequence[Need]:
        scope = call.scope
        alias = arn.alias_arn(scope.region, scope.account, call.params["AliasName"])
        on_alias = Need(action, NamedResource(alias, scope.account), f"on resource: {alias}")
        on_keys = (Need(action, key, f"on resource: {key.arn}") for key in call.keys)
        return (on_alias, *on_keys)

    return needs


def _checked_name(call: Call) -> str:
    name: str = call.params["AliasName"]
    arn.check_alias_name(name)
    if arn.is_reserved_alias(name):
        raise errors.alias_reserved(name)
    return name


def _target(context: OpsContext, call: Call) -> tuple[Key, ...]:
    _checked_name(call)
    return by_key_id("TargetKeyId")(context, call)


def _existing(context: OpsContext, call: Call) -> AliasRow:
    name = _checked_name(call)
    scope = call.scope
    with context.store.read() as tx:
        alias = aliases.get(tx, scope.region, scope.account, name)
    if alias is None:
        raise errors.alias_not_found(arn.alias_arn(scope.region, scope.account, name))
    return alias


def _old_and_new(context: OpsContext, call: Call) -> tuple[Key, ...]:
    old = context.directory.resolve(call.scope, _existing(context, call).key_id)
    (new,) = by_key_id("TargetKeyId")(context, call)
    return (new, old)


def _of_alias(context: OpsContext, call: Call) -> tuple[Key, ...]:
    return (context.directory.resolve(call.scope, _existing(context, call).key_id),)


def create_alias(context: OpsContext, call: Call) -> Response:
    """CreateAlias. AlreadyExistsException for a name that is taken."""
    name = call.params["AliasName"]
    scope, key = call.scope, call.keys[0]
    _check_same_account(call, key)
    alias = AliasRow(
        region=scope.region,
        account=scope.account,
        name=name,
        key_id=key.row.key_id,
        created=call.time,
        updated=call.time,
    )
    with context.store.write() as tx:
        if aliases.get(tx, scope.region, scope.account, name) is not None:
            raise errors.alias_exists(arn.alias_arn(scope.region, scope.account, name))
        _check_quota(context, tx, key)
        try:
            aliases.insert_alias(tx, alias)
        except StoreConflict:  # the key was erased meanwhile
            raise errors.key_not_found(key.arn) from None
    context.directory.aliases_changed(scope.region)
    context.directory.touched(*call.keys)
    return {}


def update_alias(context: OpsContext, call: Call) -> Response:
    """UpdateAlias: the name stands for another key of the same kind."""
    name = call.params["AliasName"]
    scope = call.scope
    new, old = call.keys
    _check_same_account(call, new)
    if (new.row.spec, new.row.usage) != (old.row.spec, old.row.usage):
        raise errors.validation(
            "The current and the new KMS key of an alias must be of the same kind: symmetric or "
            "asymmetric or HMAC, with the same key usage."
        )
    _check_target_state(call, new)
    with context.store.write() as tx:
        before = aliases.get(tx, scope.region, scope.account, name)
        if before is not None and before.key_id != new.row.key_id:
            _check_quota(context, tx, new)
        try:
            found = aliases.retarget(
                tx, scope.region, scope.account, name, new.row.key_id, call.time
            )
        except StoreConflict:
            raise errors.key_not_found(new.arn) from None
        if not found:
            raise errors.alias_not_found(arn.alias_arn(scope.region, scope.account, name))
    _changed(context, call, before)
    return {}


def _changed(context: OpsContext, call: Call, before: AliasRow | None) -> None:
    """The call's alias is another key's, or nobody's. It was that of the row before.

    That may be no key of the call: another call can have changed the alias since this one looked.
    """
    directory, scope = context.directory, call.scope
    directory.aliases_changed(scope.region)
    directory.touched(*call.keys)
    if before is not None:
        key = directory.find(scope.region, scope.account, before.key_id)
        if key is not None:
            directory.touched(key)


def _check_quota(context: OpsContext, tx: Connection, key: Key) -> None:
    most = context.quotas.aliases
    count = aliases.count(tx, key.row.region, key.row.account, key.row.key_id)
    if count >= most:
        raise errors.alias_quota(most, count)


def _check_target_state(call: Call, key: Key) -> None:
    # Only the new key's state counts: an alias can be taken off a key that is to be deleted.
    state = key.state
    if state not in states.NOT_DELETED:
        raise states.refusal(call.operation.name, key, state)


def _check_same_account(call: Call, key: Key) -> None:
    if key.row.account != call.scope.account:
        raise errors.validation("An alias can only stand for a KMS key of its own account.")


def delete_alias(context: OpsContext, call: Call) -> Response:
    """DeleteAlias."""
    name = call.params["AliasName"]
    scope = call.scope
    with context.store.write() as tx:
        before = aliases.get(tx, scope.region, scope.account, name)
        if not aliases.remove(tx, scope.region, scope.account, name):
            raise errors.alias_not_found(arn.alias_arn(scope.region, scope.account, name))
    _changed(context, call, before)
    return {}


def _listed(context: OpsContext, call: Call) -> tuple[Key, ...]:
    if "KeyId" not in call.params:
        return ()
    (key,) = by_key_id()(context, call)
    if key.row.account != call.scope.account:
        # Authorised on the caller's own account, the answer would tell that the key exists.
        raise ForeignResource(errors.key_not_found(key.arn))
    return (key,)


def list_aliases(context: OpsContext, call: Call) -> Response:
    """ListAliases: the account's in the Region, or one key's, in order of name.

    Those that AWS predefines are among the account's, without a key before a service's first use.
    """
    scope = call.scope
    limit = limit_of(call, DEFAULT_PAGE, MAX_PAGE)
    after = context.marker(call)
    key_id = call.keys[0].row.key_id if call.keys else None
    with context.store.read() as tx:
        rows, more = aliases.page(
            tx,
            scope.region,
            scope.account,
            limit=limit,
            after=after,
            key_id=key_id,
        )
    entries = {row.name: _entry(row) for row in rows}
    if key_id is None:
        # Predefined aliases that stand for no key yet, as far as this page goes.
        last = rows[-1].name if more else None
        for name in managed.PREDEFINED:
            if name > after and (last is None or name < last) and name not in entries:
                entries[name] = {
                    "AliasName": name,
                    "AliasArn": arn.alias_arn(scope.region, scope.account, name),
                }
    names = sorted(entries)
    more = more or len(names) > limit
    answer: Response = {"Aliases": [entries[name] for name in names[:limit]], "Truncated": more}
    if more:
        answer["NextMarker"] = context.next_marker(call, names[:limit][-1])
    return answer


def _entry(row: AliasRow) -> dict[str, Any]:
    return {
        "AliasName": row.name,
        "AliasArn": arn.alias_arn(row.region, row.account, row.name),
        "TargetKeyId": row.key_id,
        "CreationDate": timestamp(row.created),
        "LastUpdatedDate": timestamp(row.updated),
    }


HANDLERS: Final = (
    Handler(
        "CreateAlias",
        create_alias,
        resolve=_target,
        needs=_needs("kms:CreateAlias"),
        states=states.NOT_DELETED,
    ),
    Handler("UpdateAlias", update_alias, resolve=_old_and_new, needs=_needs("kms:UpdateAlias")),
    Handler("DeleteAlias", delete_alias, resolve=_of_alias, needs=_needs("kms:DeleteAlias")),
    Handler("ListAliases", list_aliases, resolve=_listed, needs=account_wide("kms:ListAliases")),
)
