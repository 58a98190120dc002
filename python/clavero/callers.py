"""Callers in process: a principal, and what trusted code says is attached to its calls.

Nothing of this is read from a request: who can call `KMS.client` can do everything with the KMS.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypedDict

from clavero.iam.compile import Policy, compile_policy
from clavero.iam.documents import Kind
from clavero.iam.matching import Value
from clavero.iam.principals import Principal
from clavero.identity.resolver import Given, Resolver
from clavero.model import arn
from clavero.model.errors import KMSError

# A policy document: its text, or what `json.dumps` makes a text of.
Document: TypeAlias = "str | Mapping[str, Any]"

LOCAL_ADDRESS: Final = "127.0.0.1"
_PRINCIPAL: Final = re.compile(
    r"arn:aws:(?:iam::([0-9]{12}):(?:root|user/\S+|role/\S+)"
    r"|sts::([0-9]{12}):(?:assumed-role/\S+/\S+|federated-user/\S+))"
)
_VIA: Final = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+\.amazonaws\.com")


class Attached(TypedDict, total=False):
    """What clients can be made with beside `principal`, `account` and `region`.

    `identity_policies` are the policies of the user with its groups, or of the role, in place of
    those that are stored of it;
    `permissions_boundary` and `session_policy` limit them (several session policies are a list).
    `source_ip` is where the calls come from, `via_service` the service that makes them for the
    principal (`s3.us-east-1.amazonaws.com`). `condition_keys` are further ones: a text, or for
    keys with several values a list of texts: `{"aws:PrincipalTag/team": "a"}`.
    """

    identity_policies: Sequence[Document]
    permissions_boundary: Document
    session_policy: Document | Sequence[Document]
    source_ip: str
    via_service: str
    condition_keys: Mapping[str, str | Sequence[str]]


NAMES: Final = frozenset(Attached.__annotations__)


class Caller(Protocol):
    """Who calls, over time: what is stored of it may change."""

    @property
    def arn(self) -> str:
        """Its ARN."""

    @property
    def account(self) -> str:
        """12 digits."""

    @property
    def facts(self) -> Mapping[str, Value]:
        """What trusted code vouches for."""

    def current(self) -> Principal:
        """Who it is now."""


def make(
    resolver: Resolver,
    principal: str | None,
    account: str | None,
    default_account: str,
    attached: Attached,
) -> Caller:
    """The caller. ValueError for what is no principal, policy or address.

    Without `identity_policies` it has what is stored of its user or role, if there is one.
    """
    named, owner = _named(principal, account, default_account)
    unknown = attached.keys() - NAMES
    if unknown:
        raise TypeError(f"a client has no argument {min(unknown)!r}")
    session = attached.get("session_policy")
    boundary = attached.get("permissions_boundary")
    given = Given(
        None if boundary is None else _policy(boundary, Kind.BOUNDARY),
        None if session is None else tuple(_policies(session, Kind.SESSION)),
        _facts(attached),
    )
    if "identity_policies" not in attached:
        return resolver.in_process(named, owner, given)
    made = Principal(
        named,
        owner,
        identity=_policies(attached["identity_policies"], Kind.IDENTITY),
        boundary=given.boundary,
        sessions=given.sessions,
        facts=given.facts,
    )
    return _Fixed(made)


class _Fixed(NamedTuple):
    """A caller that stays as it is."""

    principal: Principal

    @property
    def arn(self) -> str:
        return self.principal.arn

    @property
    def account(self) -> str:
        return self.principal.account

    @property
    def facts(self) -> Mapping[str, Value]:
        return self.principal.facts

    def current(self) -> Principal:
        return self.principal


def address_of(caller: Caller) -> str:
    """The address that its calls are recorded with."""
    given = caller.facts.get("aws:sourceip")
    return given if isinstance(given, str) else LOCAL_ADDRESS


def _named(principal: str | None, account: str | None, default_account: str) -> tuple[str, str]:
    if principal is None:
        owner = account or default_account
        if not arn.is_account(owner):
            raise ValueError(f"account must be 12 digits, not {owner!r}")
        return arn.root_arn(owner), owner
    match = _PRINCIPAL.fullmatch(principal)
    if match is None:
        raise ValueError(f"principal must be an IAM or STS ARN, not {principal!r}")
    owner = match[1] or match[2]
    if account not in (None, owner):
        raise ValueError(f"principal {principal!r} is not of account {account!r}")
    return principal, owner


def _policies(given: Document | Sequence[Document], kind: Kind) -> list[Policy]:
    if isinstance(given, (str, Mapping)):
        given = [given]
    return [_policy(each, kind) for each in given]


def _policy(given: Document, kind: Kind) -> Policy:
    text = given if isinstance(given, str) else json.dumps(given)
    try:
        return compile_policy(text, kind)
    except KMSError as error:
        raise ValueError(error.message) from None


def _facts(attached: Attached) -> dict[str, Value]:
    facts: dict[str, Value] = {}
    for name, value in attached.get("condition_keys", {}).items():
        facts[name.lower()] = value if isinstance(value, str) else tuple(value)
    source_ip = attached.get("source_ip")
    if source_ip is not None:
        try:
            ipaddress.ip_address(source_ip)
        except ValueError:
            raise ValueError(f"source_ip must be an IP address, not {source_ip!r}") from None
        facts["aws:sourceip"] = source_ip
    via = attached.get("via_service")
    if via is not None:
        if _VIA.fullmatch(via) is None:
            raise ValueError(
                "via_service must be the name of a service in a Region, such as "
                f"s3.us-east-1.amazonaws.com, not {via!r}"
            )
        facts["kms:viaservice"] = via
    return facts
