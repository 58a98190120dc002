"""Users, groups, roles and managed policies: rows, tags, policies, and who is in which group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from clavero.model.arn import iam_arn

from .errors import StoreConflict
from .schema import (
    accounts,
    attached_policies,
    group_members,
    identities,
    identity_tags,
    inline_policies,
    policy_versions,
)


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """A user, group, role or managed policy (`kind`); the columns are those of the schema."""

    unique_id: str
    account: str
    kind: str
    name: str
    path: str
    created: float
    description: str = ""
    boundary: str | None = None
    trust: str | None = None
    max_session: int | None = None
    default_version: int | None = None

    @property
    def arn(self) -> str:
        """The ARN. A role's is not that of its sessions."""
        return iam_arn(self.account, self.kind, self.path, self.name)


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version of a managed policy."""

    version: int
    document: str
    created: float


_I = identities.c
_COLUMNS = [
    _I.unique_id, _I.account, _I.kind, _I.name, _I.path, _I.created, _I.description, _I.boundary,
    _I.trust, _I.max_session, _I.default_version,
]  # fmt: skip
_GET = select(*_COLUMNS).where(
    _I.account == bindparam("i_account"),
    _I.kind == bindparam("i_kind"),
    _I.folded == bindparam("i_folded"),
)
_BY_ID = select(*_COLUMNS).where(_I.unique_id == bindparam("i_id"))
_ALL = (
    select(*_COLUMNS)
    .where(
        _I.account == bindparam("i_account"),
        _I.kind == bindparam("i_kind"),
        func.substr(_I.path, 1, func.length(bindparam("i_path"))) == bindparam("i_path"),
    )
    .order_by(_I.folded)
)
_COUNT = select(func.count()).where(
    _I.account == bindparam("i_account"), _I.kind == bindparam("i_kind")
)
_ROLES = select(*_COLUMNS).where(_I.kind == "role").order_by(_I.account, _I.folded)


def ensure_account(tx: Connection, account: str, created: float) -> None:
    """Make the account unless it is there."""
    if tx.execute(select(accounts.c.account).where(accounts.c.account == account)).first() is None:
        tx.execute(insert(accounts), {"account": account, "created": created})


def add(tx: Connection, row: IdentityRow) -> None:
    """Store a new one. StoreConflict: its name or id is taken, or its account is not there."""
    try:
        tx.execute(insert(identities), {**asdict(row), "folded": row.name.lower()})
    except IntegrityError as error:
        raise StoreConflict(
            f"The {row.kind} {row.name} exists already, or there is no account {row.account}."
        ) from error


def get(tx: Connection, account: str, kind: str, name: str) -> IdentityRow | None:
    """Return the one of that name, in any case, or None."""
    asked = {"i_account": account, "i_kind": kind, "i_folded": name.lower()}
    row = tx.execute(_GET, asked).first()
    return None if row is None else IdentityRow(*row)


def by_id(tx: Connection, unique_id: str) -> IdentityRow | None:
    """Return the one of that unique id, or None."""
    row = tx.execute(_BY_ID, {"i_id": unique_id}).first()
    return None if row is None else IdentityRow(*row)


def of_account(tx: Connection, account: str, kind: str, path: str = "/") -> list[IdentityRow]:
    """Return those of the account whose path begins so, in the order of their names."""
    asked = {"i_account": account, "i_kind": kind, "i_path": path}
    return [IdentityRow(*row) for row in tx.execute(_ALL, asked)]


def count(tx: Connection, account: str, kind: str) -> int:
    """Return how many of a kind the account has."""
    return tx.execute(_COUNT, {"i_account": account, "i_kind": kind}).scalar_one()


def every_role(tx: Connection) -> list[IdentityRow]:
    """Return the roles of all accounts."""
    return [IdentityRow(*row) for row in tx.execute(_ROLES)]


def principals(tx: Connection) -> list[IdentityRow]:
    """Return the users and roles of all accounts."""
    found = tx.execute(
        select(*_COLUMNS)
        .where(_I.kind.in_(["user", "role"]))
        .order_by(_I.account, _I.kind, _I.folded)
    )
    return [IdentityRow(*row) for row in found]


def change(tx: Connection, unique_id: str, **values: object) -> None:
    """Set columns. StoreConflict: the new name is taken."""
    name = values.get("name")
    if isinstance(name, str):
        values["folded"] = name.lower()
    try:
        tx.execute(update(identities).where(_I.unique_id == unique_id).values(**values))
    except IntegrityError as error:
        raise StoreConflict(f"The name {name} is taken.") from error


def remove(tx: Connection, unique_id: str) -> None:
    """Delete it, with all that is its own."""
    tx.execute(delete(identities).where(_I.unique_id == unique_id))


# --- tags ----------------------------------------------------------------------------------------


def tags(tx: Connection, unique_id: str) -> dict[str, str]:
    """Return its tags, sorted by tag key."""
    found = tx.execute(
        select(identity_tags.c.tag_key, identity_tags.c.tag_value)
        .where(identity_tags.c.unique_id == unique_id)
        .order_by(identity_tags.c.tag_key)
    )
    return {row.tag_key: row.tag_value for row in found}


def set_tags(tx: Connection, unique_id: str, pairs: Mapping[str, str]) -> None:
    """Have it these tags and no other."""
    tx.execute(delete(identity_tags).where(identity_tags.c.unique_id == unique_id))
    rows = [
        {"unique_id": unique_id, "tag_key": key, "tag_value": value} for key, value in pairs.items()
    ]
    if rows:
        tx.execute(insert(identity_tags), rows)


# --- policies ------------------------------------------------------------------------------------


def inline(tx: Connection, unique_id: str) -> dict[str, str]:
    """Return its inline policies by name, sorted."""
    found = tx.execute(
        select(inline_policies.c.name, inline_policies.c.document)
        .where(inline_policies.c.unique_id == unique_id)
        .order_by(inline_policies.c.name)
    )
    return {row.name: row.document for row in found}


def put_inline(tx: Connection, unique_id: str, name: str, document: str) -> None:
    """Set an inline policy, in place of the one of that name."""
    remove_inline(tx, unique_id, name)
    tx.execute(
        insert(inline_policies), {"unique_id": unique_id, "name": name, "document": document}
    )


def remove_inline(tx: Connection, unique_id: str, name: str) -> bool:
    """Delete an inline policy; False when there was none."""
    where = (inline_policies.c.unique_id == unique_id, inline_policies.c.name == name)
    return tx.execute(delete(inline_policies).where(*where)).rowcount == 1


def attached(tx: Connection, unique_id: str) -> list[str]:
    """Return the ARNs of the managed policies that are attached to it, sorted."""
    return list(
        tx.execute(
            select(attached_policies.c.policy_arn)
            .where(attached_policies.c.unique_id == unique_id)
            .order_by(attached_policies.c.policy_arn)
        ).scalars()
    )


def attach(tx: Connection, unique_id: str, policy_arn: str) -> None:
    """Attach a managed policy that is not attached."""
    tx.execute(insert(attached_policies), {"unique_id": unique_id, "policy_arn": policy_arn})


def detach(tx: Connection, unique_id: str, policy_arn: str) -> bool:
    """Detach a managed policy; False when it was not attached."""
    where = (
        attached_policies.c.unique_id == unique_id,
        attached_policies.c.policy_arn == policy_arn,
    )
    return tx.execute(delete(attached_policies).where(*where)).rowcount == 1


def having(tx: Connection, policy_arn: str) -> list[IdentityRow]:
    """Return those that a managed policy is attached to, in the order of their names."""
    ids = select(attached_policies.c.unique_id).where(attached_policies.c.policy_arn == policy_arn)
    found = tx.execute(
        select(*_COLUMNS).where(_I.unique_id.in_(ids)).order_by(_I.account, _I.folded)
    )
    return [IdentityRow(*row) for row in found]


def bounded(tx: Connection, policy_arn: str) -> list[IdentityRow]:
    """Return those whose permissions boundary a managed policy is, in the order of their names."""
    found = tx.execute(
        select(*_COLUMNS).where(_I.boundary == policy_arn).order_by(_I.account, _I.folded)
    )
    return [IdentityRow(*row) for row in found]


def versions(tx: Connection, unique_id: str) -> list[VersionRow]:
    """Return the versions of a managed policy, the newest first."""
    columns = policy_versions.c
    found = tx.execute(
        select(columns.version, columns.document, columns.created)
        .where(columns.unique_id == unique_id)
        .order_by(columns.version.desc())
    )
    return [VersionRow(*row) for row in found]


def add_version(tx: Connection, unique_id: str, row: VersionRow) -> None:
    """Store a version."""
    tx.execute(insert(policy_versions), {"unique_id": unique_id, **asdict(row)})


def remove_version(tx: Connection, unique_id: str, version: int) -> None:
    """Delete a version."""
    tx.execute(
        delete(policy_versions).where(
            policy_versions.c.unique_id == unique_id, policy_versions.c.version == version
        )
    )


# --- groups --------------------------------------------------------------------------------------


def join(tx: Connection, user_id: str, group_id: str) -> None:
    """Put a user into a group, unless it is in there."""
    if (user_id, group_id) not in _memberships(tx, user_id):
        tx.execute(insert(group_members), {"user_id": user_id, "group_id": group_id})


def leave(tx: Connection, user_id: str, group_id: str) -> bool:
    """Take a user out of a group; False when it was in there not."""
    where = (group_members.c.user_id == user_id, group_members.c.group_id == group_id)
    return tx.execute(delete(group_members).where(*where)).rowcount == 1


def groups_of(tx: Connection, user_id: str) -> list[IdentityRow]:
    """Return the groups that a user is in, in the order of their names."""
    ids = select(group_members.c.group_id).where(group_members.c.user_id == user_id)
    return _rows(tx, ids)


def members_of(tx: Connection, group_id: str) -> list[IdentityRow]:
    """Return the users in a group, in the order of their names."""
    ids = select(group_members.c.user_id).where(group_members.c.group_id == group_id)
    return _rows(tx, ids)


def _memberships(tx: Connection, user_id: str) -> Sequence[tuple[str, str]]:
    found = tx.execute(
        select(group_members.c.user_id, group_members.c.group_id).where(
            group_members.c.user_id == user_id
        )
    )
    return [(row.user_id, row.group_id) for row in found]


def _rows(tx: Connection, ids: object) -> list[IdentityRow]:
    found = tx.execute(
        select(*_COLUMNS)
        .where(_I.unique_id.in_(ids))  # type: ignore[arg-type]  # a subquery
        .order_by(_I.folded)
    )
    return [IdentityRow(*row) for row in found]
