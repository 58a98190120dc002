"""Bringing a store to a seed: what is missing is made, what is there must be as the seed says.

The whole seed is one transaction. Whether a key that is there has the seed's material is told by
the HBKIDs, which the HSM derives from the material: nothing is read back (ADR 0006).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Connection

from clavero.audit.record import AuditRecord
from clavero.audit.sinks import Sink
from clavero.iam.decision import Principal, default_key_policy
from clavero.keystores.binding import Binding
from clavero.keystores.native import FreshMaterial, material_id, token_domain_key
from clavero.model import arn, errors
from clavero.model.errors import KMSError
from clavero.model.operations import OPERATIONS
from clavero.ops import policies, tags
from clavero.ops.call import Call
from clavero.ops.context import OpsContext
from clavero.ops.keys import SECONDS_A_DAY
from clavero.seeds.document import EXTERNAL, SeedError, SeedKey
from clavero.store import aliases, keys, regions, versions
from clavero.store import tags as stored_tags
from clavero.store.aliases import AliasRow
from clavero.store.errors import StoreConflict
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow

EVENT: Final = "SeedKey"
_MADE_BY: Final = "change the seed or the key, or begin with an empty store"


@dataclass(slots=True)
class _Work:
    """One key of the seed on its way into the store."""

    entry: SeedKey
    policy: str
    tags: dict[str, str]
    there: bool
    material: list[FreshMaterial] = field(default_factory=list)
    row: KeyRow | None = None
    current: VersionRow | None = None


def apply(context: OpsContext, sink: Sink, entries: list[SeedKey], now: float) -> int:
    """Make the keys that are missing, at the time `now`; gives their number.

    Raises SeedError, and then no key was made or changed.
    """
    with context.store.read() as tx:
        work = [_checked(context, tx, entry) for entry in entries]
    try:
        for each in work:
            _take_material(context, each)
        with context.store.write() as tx:
            for each in work:
                if each.there:
                    _compare(tx, each)
                else:
                    _insert(context, tx, each, now)
            _check_quota(context, tx, work)
    except BaseException:
        for each in work:
            for made in each.material:
                context.keystore.unload(made)
        raise
    fresh = [each for each in work if not each.there]
    for each in work:
        _keep(context, each)
    if fresh:
        context.schedule_changed()
    for each in fresh:
        region, account, _ = each.entry.named
        sink.write(
            AuditRecord(
                EVENT, region, account, "", None, (each.entry.arn,), context.new_id(), now
            )
        )  # fmt: skip
    return len(fresh)


def _checked(context: OpsContext, tx: Connection, entry: SeedKey) -> _Work:
    """What needs the quotas and the account's root user, by whom seeded keys are made."""
    region, account, _ = entry.named
    policy = default_key_policy(account)
    if entry.policy is not None:
        call = Call(
            OPERATIONS["CreateKey"],
            {"Policy": entry.policy},
            Principal(arn.root_arn(account), account),
            context.directory.scope(region, account),
        )
        policy = _told(entry, "policy", policies.checked, context, call, entry.arn)
    quotas = context.quotas
    if len(entry.aliases) > quotas.aliases:
        refusal = errors.alias_quota(quotas.aliases, len(entry.aliases))
        entry.refuse("aliases", refusal.message)
    return _Work(
        entry,
        policy,
        _told(entry, "tags", tags.checked, entry.tags, quotas.tags),
        keys.get(tx, *entry.named) is not None,
    )


def _told(entry: SeedKey, member: str, check: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return check(*arguments)
    except KMSError as error:
        entry.refuse(member, error.message or error.code)


def _take_material(context: OpsContext, work: _Work) -> None:
    """Have the HSM take the seed's material, or make some where the seed leaves it to it."""
    entry = work.entry
    binding = Binding(*entry.named, entry.spec, entry.usage, entry.origin, entry.multi_region)
    if not work.there or entry.material:
        context.ensure_domain(entry.region)
    for number, material in enumerate(entry.material, start=1):
        made = _told(
            entry,
            f"material[{number - 1}]",
            context.keystore.take_plain,
            binding,
            material,
            number,
        )
        work.material.append(made)
    if not (work.there or entry.material or entry.origin == EXTERNAL):
        work.material.append(context.keystore.generate(binding))


# --- a key that is missing -----------------------------------------------------------------------


def _insert(context: OpsContext, tx: Connection, work: _Work, now: float) -> None:
    entry = work.entry
    if regions.related(tx, entry.account, entry.id):
        entry.refuse("id", f"{entry.id} is in another Region already: make a replica of it there")
    rotates = entry.rotation is not None
    for made in work.material:
        if not context.keystore.renew(made):
            raise SeedError(f"{entry.where}: the domain key was rotated meanwhile: try again")
    rows = [_version(entry, number, made, now) for number, made in enumerate(work.material, 1)]
    if rows:
        rows[-1] = work.current = replace(rows[-1], state="CURRENT")
    work.row = KeyRow(
        *entry.named,
        description=entry.description,
        usage=entry.usage,
        spec=entry.spec,
        origin=entry.origin,
        manager="CUSTOMER",
        enabled=entry.enabled and bool(rows),
        created=now,
        deletion_date=None,
        pending_window=None,
        multi_region=entry.multi_region,
        policy=work.policy,
        current_version=rows[-1].hbkid if rows else None,
        rotation_period=entry.rotation,
        next_rotation=now + (entry.rotation or 0) * SECONDS_A_DAY if rotates else None,
        primary_region=entry.region if entry.multi_region else None,
    )
    try:
        keys.insert_key(tx, work.row, work.current)
        for row in rows[:-1]:
            versions.insert_version(tx, row)
    except StoreConflict as error:
        raise SeedError(f"{entry.where}: {error}") from error
    if work.tags:
        stored_tags.put(tx, *entry.named, work.tags)
    for number, name in enumerate(entry.aliases):
        taken = aliases.get(tx, entry.region, entry.account, name)
        if taken is not None:
            entry.refuse(
                f"aliases[{number}]", f"{name} stands for the key {taken.key_id}: {_MADE_BY}"
            )
        aliases.insert_alias(
            tx, AliasRow(entry.region, entry.account, name, entry.id, now, now)
        )  # fmt: skip


def _version(entry: SeedKey, number: int, made: FreshMaterial, now: float) -> VersionRow:
    """A version that a later one has taken the place of, as far as the seed tells."""
    external = entry.origin == EXTERNAL
    return VersionRow(
        region=entry.region,
        hbkid=made.hbkid,
        account=entry.account,
        key_id=entry.id,
        token=made.token,
        domain_key_id=token_domain_key(made.token),
        material_id=material_id(made.hbkid),
        created=now,
        number=number,
        state="NON_CURRENT",
        rotation_type=None if number == 1 else "ON_DEMAND" if external else "AUTOMATIC",
        rotated=None if number == 1 else now,
        public_key=made.public_key,
        import_state="IMPORTED" if external else None,
        expiration_model="KEY_MATERIAL_DOES_NOT_EXPIRE" if external else None,
        fingerprint=made.fingerprint if external else None,
    )


def _check_quota(context: OpsContext, tx: Connection, work: list[_Work]) -> None:
    most = context.quotas.keys
    for entry in {each.entry.named[:2]: each.entry for each in work if not each.there}.values():
        if keys.count_of(tx, entry.region, entry.account) > most:
            raise SeedError(
                f"{entry.where}: an account can have at most {most} KMS keys in a Region, and "
                f"{entry.account} would have more in {entry.region}"
            )


def _keep(context: OpsContext, work: _Work) -> None:
    """Give the directory the new key; put what is not used yet out of the HSM's memory."""
    made = work.material
    if work.row is not None:
        last = made.pop() if made else None
        handle = None if last is None else last.handle
        key = context.directory.add(work.row, work.current, handle)
        key.current.proven = True  # the HSM has just seen both halves
    for each in made:
        context.keystore.unload(each)


# --- a key that is there -------------------------------------------------------------------------


def _compare(tx: Connection, work: _Work) -> None:
    """SeedError unless the stored key is the seed's.

    What the seed does not name may be anything: tags and aliases that were added, versions that
    rotations have made since.
    """
    entry = work.entry
    row = keys.get(tx, *entry.named)
    if row is None:
        raise SeedError(f"{entry.where}: the key was erased meanwhile: try again")
    if row.manager != "CUSTOMER":
        entry.refuse("id", f"{entry.arn} is an AWS managed key")
    for member, stored, wanted in (
        ("spec", row.spec, entry.spec),
        ("usage", row.usage, entry.usage),
        ("origin", row.origin, entry.origin),
        ("multi_region", row.multi_region, entry.multi_region),
        ("description", row.description, entry.description),
        ("enabled", row.enabled, entry.enabled),
        ("rotation", row.rotation_period, entry.rotation),
    ):
        identity = member in {"spec", "usage", "origin", "multi_region"}
        if stored != wanted and (identity or member in entry.given):
            entry.refuse(member, f"{entry.arn} is there and has {stored!r}: {_MADE_BY}")
    if "policy" in entry.given and row.policy != work.policy:
        entry.refuse("policy", f"{entry.arn} is there and has another policy: {_MADE_BY}")
    stored_pairs = stored_tags.of_key(tx, *entry.named)
    for tag_key, value in work.tags.items():
        if stored_pairs.get(tag_key) != value:
            entry.refuse(
                "tags", f"{entry.arn} is there, and its tag {tag_key!r} is not this: {_MADE_BY}"
            )
    for number, name in enumerate(entry.aliases):
        alias = aliases.get(tx, entry.region, entry.account, name)
        if alias is None or alias.key_id != entry.id:
            entry.refuse(
                f"aliases[{number}]",
                f"{entry.arn} is there, and {name} does not stand for it: {_MADE_BY}",
            )
    _compare_material(tx, work)


def _compare_material(tx: Connection, work: _Work) -> None:
    entry = work.entry
    stored = versions.of_key(tx, *entry.named)
    for number, made in enumerate(work.material):
        if number >= len(stored) or stored[number].hbkid != made.hbkid:
            entry.refuse(
                f"material[{number}]",
                f"{entry.arn} is there, and its version {number + 1} has other key material: "
                f"{_MADE_BY}",
            )
