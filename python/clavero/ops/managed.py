"""AWS managed keys: made when somebody first names one by its alias, and closed to everybody.

In AWS a service makes its key at its own first use, or DescribeKey of a predefined alias does. Here
no service runs beside KMS, so a call that names the alias of a service stands for its use: after it
is authorised the key is made, once in an account and Region, durably and on record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from clavero.keystores.binding import Binding
from clavero.keystores.native import FreshMaterial, material_id, token_domain_key
from clavero.model import errors, managed
from clavero.ops.call import Call
from clavero.ops.context import OpsContext
from clavero.ops.directory import Key, UnmadeKey
from clavero.store import aliases, keys
from clavero.store.aliases import AliasRow
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow

SECONDS_A_DAY: Final = 86_400


def first_use(context: OpsContext, call: Call) -> list[Key]:
    """Make the keys among the call's that are not made yet, in their places; gives the new ones."""
    if call.params.get("DryRun"):  # it would have been made
        raise errors.dry_run()
    new: list[Key] = []
    found: list[Key] = []
    for key in call.keys:
        made, is_new = (
            _made(context, key, call.time) if isinstance(key, UnmadeKey) else (key, False)
        )
        found.append(made)
        if is_new:
            new.append(made)
    call.keys = tuple(found)
    call.resources = tuple(dict.fromkeys(key.arn for key in found))
    return new


def _made(context: OpsContext, unmade: UnmadeKey, now: float) -> tuple[Key, bool]:
    region, account = unmade.row.region, unmade.row.account
    context.ensure_domain(region)
    made: FreshMaterial | None = None
    try:
        with context.store.write() as tx:
            alias = aliases.get(tx, region, account, unmade.alias)
            if alias is None:  # else another call has made it since this one looked
                made = context.keystore.generate(Binding.of(unmade.row))
                row = _row(unmade.row, made, now)
                version = _version(row, made)
                keys.insert_key(tx, row, version)
                aliases.insert_alias(
                    tx, AliasRow(region, account, unmade.alias, row.key_id, now, now)
                )
    except BaseException:
        if made is not None:
            context.keystore.unload(made)
        raise
    if alias is not None:
        scope = context.directory.scope(region, account)
        return context.directory.resolve(scope, alias.key_id), False
    assert made is not None
    key = context.directory.add(row, version, made.handle)
    context.directory.aliases_changed(region)
    context.schedule_changed()
    return key, True


def _row(row: KeyRow, made: FreshMaterial, now: float) -> KeyRow:
    return replace(
        row,
        created=now,
        current_version=made.hbkid,
        rotation_period=managed.ROTATION_DAYS,
        next_rotation=now + managed.ROTATION_DAYS * SECONDS_A_DAY,
    )


def _version(row: KeyRow, made: FreshMaterial) -> VersionRow:
    return VersionRow(
        region=row.region,
        hbkid=made.hbkid,
        account=row.account,
        key_id=row.key_id,
        token=made.token,
        domain_key_id=token_domain_key(made.token),
        material_id=material_id(made.hbkid),
        created=row.created,
    )
