"""The users, groups, roles and managed policies of a seed's accounts.

What is missing is made: an identity, a policy or an attachment of one, a tag, an access key. What
is there must be as the seed says, or nothing of the seed is applied.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from clavero.iam.documents import Kind
from clavero.identity import checks, managed
from clavero.identity.accounts import check_access_key
from clavero.identity.entities import Entities
from clavero.identity.identities import Identities
from clavero.model.errors import KMSError
from clavero.seeds.document import SeedError, check_members
from clavero.store.identities import IdentityRow

_HAVING: Final = {"name", "path", "policies", "attached"}
_MEMBERS: Final[Mapping[str, set[str]]] = {
    "policies": {"name", "path", "description", "document", "tags"},
    "groups": _HAVING,
    "roles": _HAVING | {"trust", "description", "max_session", "permissions_boundary", "tags"},
    "users": _HAVING | {"permissions_boundary", "tags", "groups", "access_keys"},
}
# In the order in which they are made: who names others comes after them.
PLACES: Final = tuple(_MEMBERS)
_KINDS: Final = {"policies": "policy", "groups": "group", "roles": "role", "users": "user"}


@dataclass(frozen=True, slots=True)
class SeedIdentity:
    """One user, group, role or policy. `given` has the members as they are stored."""

    where: str
    account: str
    kind: str
    name: str
    given: Mapping[str, Any]
    access_keys: list[tuple[str, str]] = field(repr=False)

    @property
    def path(self) -> str:
        """From slash to slash."""
        path: str = self.given.get("path", "/")
        return path

    @property
    def arn(self) -> str:
        """The ARN."""
        return f"arn:aws:iam::{self.account}:{self.kind}{self.path}{self.name}"

    def texts(self, member: str) -> list[str]:
        """A member that is a list of texts."""
        return list(self.given.get(member, ()))

    def pairs(self, member: str) -> dict[str, str]:
        """A member that is texts by name."""
        return dict(self.given.get(member, {}))


def load(where: str, account: str, entry: Mapping[str, Any]) -> list[SeedIdentity]:
    """The identities of an account's entry. SeedError names the place and shows no secret."""
    found = [
        _identity(f"{where}.{place}[{number}]", account, place, each)
        for place in PLACES
        for number, each in enumerate(_list(f"{where}.{place}", entry.get(place, [])))
    ]
    names = [(each.kind, each.name.lower()) for each in found]
    for each in found:
        if names.count((each.kind, each.name.lower())) > 1:
            raise SeedError(f"{each.where}: the {each.kind} {each.name} stands there twice")
    return found


# --- reading -------------------------------------------------------------------------------------


def _identity(where: str, account: str, place: str, entry: Any) -> SeedIdentity:
    check_members(where, entry, _MEMBERS[place])
    kind = _KINDS[place]
    needed = {"policies": ("name", "document"), "roles": ("name", "trust")}.get(place, ("name",))
    for member in needed:
        if member not in entry:
            raise SeedError(f"{where}: {member} is missing")
    given = {name: _member(f"{where}.{name}", name, value) for name, value in entry.items()}
    _called(f"{where}.name", checks.checked_name, kind, given["name"])
    _called(f"{where}.path", checks.checked_path, given.get("path", "/"))
    _called(f"{where}.description", checks.checked_description, given.get("description", ""))
    _called(f"{where}.tags", checks.merged_tags, {}, given.get("tags", {}))
    if kind == "role":
        _called(f"{where}.trust", checks.checked_trust, given["trust"])
        seconds = given.get("max_session", checks.MIN_SESSION)
        _called(f"{where}.max_session", checks.checked_session, seconds)
    if kind == "policy":
        _called(f"{where}.document", checks.checked_managed, given["document"])
    else:
        for name, document in given.get("policies", {}).items():
            place_of = f"{where}.policies.{name[:64]}"
            _called(place_of, lambda each: checks.checked_name(kind, each, inline=True), name)
            _called(place_of, checks.checked_document, document, Kind.IDENTITY)
        _called(
            f"{where}.policies",
            checks.check_sizes,
            kind,
            given["name"],
            given.get("policies", {}),
        )
    return SeedIdentity(where, account, kind, given["name"], given, given.get("access_keys", []))


def _member(where: str, name: str, value: Any) -> Any:
    """A member, as it is stored: documents as texts. SeedError for another type."""
    if name in {"trust", "document"}:
        return _document(where, value)
    if name == "policies":
        return {each: _document(f"{where}.{each}", text) for each, text in _object(where, value)}
    if name == "tags":
        pairs = dict(_object(where, value))
        if not all(isinstance(each, str) for each in pairs.values()):
            raise SeedError(f"{where}: must be an object of strings")
        return pairs
    if name in {"attached", "groups"}:
        texts = _list(where, value)
        if not all(isinstance(each, str) for each in texts):
            raise SeedError(f"{where}: must be a list of strings")
        return texts
    if name == "access_keys":
        return list(access_keys(where, value))
    if name == "max_session":
        if not isinstance(value, int) or isinstance(value, bool):
            raise SeedError(f"{where}: must be a number of seconds")
        return value
    if not isinstance(value, str):
        raise SeedError(f"{where}: must be a string")
    return value


def access_keys(where: str, value: Any) -> Iterator[tuple[str, str]]:
    """Ids and secrets. SeedError shows no secret."""
    for number, each in enumerate(_list(where, value)):
        place = f"{where}[{number}]"
        check_members(place, each, {"id", "secret"})
        access_key_id, secret = each.get("id"), each.get("secret")
        if not isinstance(access_key_id, str) or not isinstance(secret, str):
            raise SeedError(f"{place}: id and secret must be there, and be strings")
        try:
            check_access_key(access_key_id, secret)
        except ValueError as error:
            raise SeedError(f"{place}: {error}") from None
        yield access_key_id, secret


def _document(where: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return json.dumps(value)
    raise SeedError(f"{where}: must be a policy document, as an object or a string")


def _object(where: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value):
        raise SeedError(f"{where}: must be an object")
    return list(value.items())


def _list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise SeedError(f"{where}: must be a list")
    return value


def _called(where: str, check: Callable[..., Any], *arguments: Any) -> None:
    try:
        check(*arguments)
    except KMSError as error:
        raise SeedError(f"{where}: {error.message}") from None


# --- checking ------------------------------------------------------------------------------------


def check(identities: Identities, entries: Sequence[SeedIdentity]) -> None:
    """SeedError where what is there is not as the seed says, or what is named is nowhere."""
    there = {row.access_key_id: row for row in identities.accounts.every_access_key()}
    seeded = {each.arn for each in entries}
    for entry in entries:
        row = _found(identities, entry)
        if row is not None:
            _check_same(identities, entry, row)
        for policy_arn in [*entry.texts("attached"), *_boundary(entry)]:
            if policy_arn not in seeded and not _attachable(identities, entry, policy_arn):
                raise SeedError(f"{entry.where}: there is no policy {policy_arn[:128]}")
        names = {each.name for each in entries
                 if (each.kind, each.account) == ("group", entry.account)}  # fmt: skip
        names |= {group.name for group in identities.groups.all(entry.account)}
        for group in entry.texts("groups"):
            if group not in names:
                raise SeedError(f"{entry.where}.groups: there is no group {group[:128]}")
        for access_key_id, secret in entry.access_keys:
            known = there.get(access_key_id)
            if known is None:
                continue
            same = row is not None and known.user_id == row.unique_id
            if not same or identities.accounts.reveal(known).secret_access_key != secret:
                raise SeedError(
                    f"{entry.where}: the access key {access_key_id} is there with another secret "
                    "or of somebody else: change the seed, or delete the access key"
                )


def _found(identities: Identities, entry: SeedIdentity) -> IdentityRow | None:
    of_kind = [
        row
        for row in _manager(identities, entry.kind).all(entry.account)
        if row.name.lower() == entry.name.lower()
    ]
    return of_kind[0] if of_kind else None


def _manager(identities: Identities, kind: str) -> Any:
    return {
        "policy": identities.policies,
        "group": identities.groups,
        "role": identities.roles,
        "user": identities.users,
    }[kind]


def _check_same(identities: Identities, entry: SeedIdentity, row: IdentityRow) -> None:
    given = entry.given
    stored: dict[str, Any] = {
        "name": row.name,
        "path": row.path,
        "description": row.description,
        "max_session": row.max_session,
        "permissions_boundary": row.boundary,
        "trust": row.trust,
    }
    manager = _manager(identities, entry.kind)
    if entry.kind == "policy":
        tags = manager.tags(row.arn)
        version = managed.version_id(row.default_version or 1)
        stored["document"] = manager.version(row.arn, version).document
    else:
        tags = manager.tags(row.account, row.name) if entry.kind in {"user", "role"} else {}
        for name, document in entry.pairs("policies").items():
            if name in manager.list_policies(row.account, row.name):
                there = manager.get_policy(row.account, row.name, name)
                _same(entry, f"policies.{name}", document, there)
    for member, value in stored.items():
        if member in given:
            _same(entry, member, given[member], value)
    for key, value in entry.pairs("tags").items():
        if key in tags:
            _same(entry, f"tags.{key}", value, tags[key])


def _same(entry: SeedIdentity, member: str, wanted: Any, there: Any) -> None:
    if wanted == there or (_is_document(member) and json.loads(wanted) == json.loads(there)):
        return
    raise SeedError(
        f"{entry.where}.{member}: the {entry.kind} {entry.name} is there and has another one: "
        "change the seed, or what is stored"
    )


def _is_document(member: str) -> bool:
    return member in {"trust", "document"} or member.startswith("policies.")


def _boundary(entry: SeedIdentity) -> list[str]:
    boundary = entry.given.get("permissions_boundary")
    return [] if boundary is None else [boundary]


def _attachable(identities: Identities, entry: SeedIdentity, policy_arn: str) -> bool:
    try:
        row = identities.policies.get(policy_arn)
    except KMSError:
        return False
    return row.account in {entry.account, "aws"}


# --- applying ------------------------------------------------------------------------------------


def apply(identities: Identities, entries: Sequence[SeedIdentity]) -> None:
    """Make what is missing, once `check` has refused nothing."""
    there = {row.access_key_id for row in identities.accounts.every_access_key()}
    for entry in entries:
        if _found(identities, entry) is None:
            _create(identities, entry)
        elif entry.kind == "policy":
            identities.policies.tag(entry.arn, entry.pairs("tags"))
        else:
            _complete(identities, entry)
    for entry in entries:
        for group in entry.texts("groups"):
            identities.groups.add_user(entry.account, group, entry.name)
        for known in entry.access_keys:
            if known[0] not in there:
                identities.users.create_access_key(entry.account, entry.name, known=known)


def _create(identities: Identities, entry: SeedIdentity) -> None:
    account, name, given = entry.account, entry.name, entry.given
    more: dict[str, Any] = {"path": entry.path}
    for member in ("description", "max_session", "permissions_boundary", "tags"):
        if member in given:
            more[member] = given[member]
    if entry.kind == "policy":
        identities.policies.create(account, name, given["document"], **more)
        return
    if entry.kind == "role":
        identities.roles.create(account, name, given["trust"], **more)
    else:
        _manager(identities, entry.kind).create(account, name, **more)
    _complete(identities, entry)


def _complete(identities: Identities, entry: SeedIdentity) -> None:
    """Give what an identity lacks: policies, attachments, tags."""
    manager: Entities = _manager(identities, entry.kind)
    before = manager.list_policies(entry.account, entry.name)
    for name, document in entry.pairs("policies").items():
        if name not in before:
            manager.put_policy(entry.account, entry.name, name, document)
    for policy_arn in entry.texts("attached"):
        manager.attach_policy(entry.account, entry.name, policy_arn)
    if entry.pairs("tags"):
        _manager(identities, entry.kind).tag(entry.account, entry.name, entry.pairs("tags"))
