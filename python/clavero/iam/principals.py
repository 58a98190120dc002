"""Principals: who calls, whom a policy's statements are about, and whom grants name.

Source: IAM User Guide, "AWS JSON policy elements: Principal"; AWS KMS API reference, CreateGrant;
AWS's answers recorded in radkawar/stackd. Whether a user or a role exists is not known here: what
has the form of one is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from clavero.model import arn, errors

if TYPE_CHECKING:
    from clavero.iam.compile import Policy
    from clavero.iam.matching import Value

_ARN: Final = re.compile(
    r"arn:aws:(?:iam::([0-9]{12}):(?:root|(?:user|role)/[\w+=,.@/-]+)"
    r"|sts::([0-9]{12}):(?:assumed-role/[\w+=,.@-]+/[\w+=,.@-]+|federated-user/[\w+=,.@-]+))",
    re.ASCII,
)
# The unique ids under which AWS remembers users, roles and sessions of roles.
_UNIQUE_ID: Final = re.compile(r"A(?:ID|RO)A[A-Z0-9]{12,124}(?::[\w+=,.@-]+)?", re.ASCII)
_SERVICE: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.amazonaws\.com")
_NOTHING: Final[Mapping[str, Value]] = MappingProxyType({})


def checked(given: str) -> str:
    """The principal in one form: an account id becomes its root ARN. InvalidArnException: none."""
    if arn.is_account(given):
        return arn.root_arn(given)
    if _ARN.fullmatch(given) or _UNIQUE_ID.fullmatch(given) or _SERVICE.fullmatch(given):
        return given
    if given.startswith("arn:"):
        raise errors.malformed_arn(f"ARN is not valid: {given}")
    raise errors.malformed_arn(f"ARN does not refer to a valid principal: {given}")


def account_of(principal: str) -> str | None:
    """The account of a principal that is named by its ARN, else None."""
    match = _ARN.fullmatch(principal)
    return None if match is None else match[1] or match[2]


class Who(Enum):
    """The kinds of principals that call."""

    ROOT = "Account"
    USER = "User"
    ROLE = "AssumedRole"  # and its sessions
    FEDERATED = "FederatedUser"
    SERVICE = "AWSService"


# What the constructor of Principal takes beside ARN and account.
_ATTACHED: Final = (
    "unique_id",
    "role_arn",
    "user_arn",
    "identity",
    "boundary",
    "sessions",
    "scps",
    "endpoint",
    "facts",
)


class Principal:
    """Who calls, and what is attached to them. One object for as long as nothing of it changes.

    `arn` is an IAM or STS ARN, or the name of an AWS service (then `account` is empty). `unique_id`
    is AIDA... or AROA..., `role_arn` the role of a session (with its path), `user_arn` the user
    whose GetFederationToken made a federated session; each is None where it is not known.
    `identity` are the policies attached to the user with its groups, or to the role; `sessions` the
    session policies, None without any; `scps` the levels of service control policies from the
    organisation's root down to the account, none where they do not apply; `endpoint` the policy of
    the VPC endpoint that the calls come through. `facts` are condition keys (in lower case) that
    the session or a trusted party vouches for: aws:PrincipalTag/..., aws:SourceVpce, ...
    `session` is what the credentials of a session say, for who gave them; nothing here reads it.
    """

    __slots__ = (
        "account",
        "arn",
        "boundary",
        "endpoint",
        "facts",
        "identity",
        "is_root",
        "role_arn",
        "role_name",
        "scps",
        "session",
        "session_name",
        "sessions",
        "token",
        "unique_id",
        "unlimited",
        "user_arn",
        "who",
    )

    def __init__(
        self,
        arn_: str,
        account: str,
        *,
        unique_id: str | None = None,
        role_arn: str | None = None,
        user_arn: str | None = None,
        identity: Iterable[Policy] = (),
        boundary: Policy | None = None,
        sessions: Iterable[Policy] | None = None,
        scps: Iterable[tuple[Policy, ...]] = (),
        endpoint: Policy | None = None,
        facts: Mapping[str, Value] = _NOTHING,
        session: object = None,
    ) -> None:
        self.arn: Final = arn_
        self.account: Final = account
        self.who: Final = _kind(arn_)
        self.is_root: Final = self.who is Who.ROOT
        self.unique_id: Final = unique_id
        self.role_name: Final = _role_name(arn_) if self.who is Who.ROLE else None
        self.session_name: Final = arn_.rsplit("/", 1)[-1] if ":sts::" in arn_ else None
        if self.who is Who.ROLE and self.session_name is None:
            role_arn = arn_
        self.role_arn: Final = role_arn
        self.user_arn: Final = user_arn
        self.identity: Final = tuple(identity)
        self.boundary: Final = boundary
        self.sessions: Final = None if sessions is None else tuple(sessions)
        self.scps: Final = tuple(scps)
        self.endpoint: Final = endpoint
        self.facts: Final = facts
        self.session: Final = session
        # Whether nothing but the resource's side can refuse its root user anything.
        self.unlimited: Final = not (
            self.identity or boundary or sessions is not None or self.scps or endpoint
        )
        # What decisions are remembered by: two of the same ARN to whom nothing is attached are one.
        bare = self.unlimited and not facts and unique_id is None and user_arn is None
        self.token: Final[object] = arn_ if bare and role_arn in {None, arn_} else self

    def __repr__(self) -> str:
        return f"<Principal {self.arn}>"

    def but(self, **changes: Any) -> Principal:
        """The same caller with something else attached: the constructor's arguments."""
        kept = {name: getattr(self, name) for name in _ATTACHED}
        return Principal(self.arn, self.account, **{**kept, **changes})

    def grantee_names(self) -> tuple[str, ...]:
        """The names by which grants reach the caller, but for the roles of `role_range`."""
        names = [self.arn]
        if self.account:
            names.append(arn.root_arn(self.account))
        names += [name for name in (self.role_arn, self.user_arn) if name is not None]
        if self.unique_id is not None:
            names += [self.unique_id, f"{self.unique_id}:{self.session_name}"]
        return tuple(dict.fromkeys(names))

    @property
    def role_range(self) -> tuple[str, str] | None:
        """What a role's ARN begins with, and its name, where a session's ARN has not its path."""
        if self.who is not Who.ROLE or self.role_arn is not None or self.role_name is None:
            return None
        return f"arn:aws:iam::{self.account}:role/", self.role_name


def _kind(name: str) -> Who:
    rest = name.split(":", 5)[5] if name.count(":") >= 5 else ""
    if rest == "root":
        return Who.ROOT
    if rest.startswith("user/"):
        return Who.USER
    if rest.startswith(("role/", "assumed-role/")):
        return Who.ROLE
    if rest.startswith("federated-user/"):
        return Who.FEDERATED
    return Who.SERVICE


def _role_name(name: str) -> str:
    parts = name.split("/")
    return parts[1] if ":assumed-role/" in name else parts[-1]


class Match(IntEnum):
    """How a statement or a grant reaches a caller: the more, the better."""

    NOT = 0
    # The account is named: it delegates to its own policies.
    ACCOUNT = 1
    # The role (or the user of a federated session): boundary and session policies limit it.
    ROLE = 2
    # The caller itself, or everyone: what is silent elsewhere limits nothing.
    CALLER = 3


class Principals:
    """A compiled Principal element, or the grantee of a grant.

    `bound` are the unique ids that ARNs had when the policy was stored: a user or a role that was
    made anew under the same name is another one.
    """

    __slots__ = ("_bound", "_everyone", "_names", "_role_names", "accounts")

    def __init__(self, given: Any, bound: Mapping[str, str] = MappingProxyType({})) -> None:
        aws: list[str] = []
        services: list[str] = []
        if given == "*":
            aws = ["*"]
        elif isinstance(given, dict):
            aws, services = _listed(given.get("AWS")), _listed(given.get("Service"))
        self._everyone: Final = "*" in aws
        self._bound: Final = {name: bound[name] for name in aws if name in bound}
        self.accounts: Final = frozenset(
            owner for owner in map(_account_entry, aws) if owner is not None
        )
        self._names: Final = frozenset(aws) | frozenset(services)
        # A session's ARN has its role's name without the path.
        self._role_names: Final[dict[tuple[str, str], list[str]]] = {}
        for name in aws:
            if name.startswith("arn:") and ":role/" in name:
                place = (name.split(":")[4], _role_name(name))
                self._role_names.setdefault(place, []).append(name)

    def match(self, caller: Principal) -> Match:
        """How far the caller is meant."""
        if self._everyone:
            return Match.CALLER
        names = self._names
        if caller.arn in names and not caller.is_root:
            if self._is_another(caller.arn, caller):
                return Match.ACCOUNT if caller.account in self.accounts else Match.NOT
            return Match.CALLER if caller.arn != caller.role_arn else Match.ROLE
        unique_id = caller.unique_id
        if unique_id is not None:
            if f"{unique_id}:{caller.session_name}" in names:
                return Match.CALLER
            if unique_id in names:
                return Match.ROLE if caller.who is Who.ROLE else Match.CALLER
        if self._is_of_named(caller):
            return Match.ROLE
        if caller.account in self.accounts:
            return Match.CALLER if caller.is_root else Match.ACCOUNT
        return Match.NOT

    def _is_of_named(self, caller: Principal) -> bool:
        if caller.who is Who.ROLE and caller.role_name is not None:
            named = self._role_names.get((caller.account, caller.role_name), ())
            return any(
                caller.role_arn in {None, each} and not self._is_another(each, caller)
                for each in named
            )
        return caller.user_arn is not None and caller.user_arn in self._names

    def _is_another(self, named: str, caller: Principal) -> bool:
        bound = self._bound.get(named)
        return bound is not None and caller.unique_id is not None and bound != caller.unique_id


def _listed(given: Any) -> list[str]:
    if isinstance(given, str):
        return [given]
    return [each for each in given if isinstance(each, str)] if isinstance(given, list) else []


def _account_entry(name: str) -> str | None:
    if arn.is_account(name):
        return name
    parts = name.split(":")
    if len(parts) == 6 and parts[0] == "arn" and parts[2] == "iam" and parts[5] == "root":
        return parts[4]
    return None
