"""The decision: may this principal take this action on this resource, and why.

Pure functions: what they read is in their arguments. The order of statements and policies never
matters but for the words of a refusal. Source: IAM User Guide, "Policy evaluation logic"; AWS KMS
Developer Guide, "Troubleshooting AWS KMS permissions", "Key policies in AWS KMS", "Allowing users
in other accounts to use a KMS key"; AWS's answers recorded in radkawar/stackd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, NamedTuple, Protocol

from clavero.iam.actions import CROSS_ACCOUNT
from clavero.iam.compile import Policy, Statement
from clavero.iam.documents import Kind
from clavero.iam.grants import Grant
from clavero.iam.matching import Facts
from clavero.iam.principals import Match, Principal, Who

__all__ = [
    "ALLOWED",
    "FOREIGN",
    "Basis",
    "Decision",
    "Effect",
    "NamedResource",
    "Principal",
    "Request",
    "Resource",
    "TrustedRole",
    "decide",
    "decide_retirement",
    "decide_trust",
    "default_key_policy",
]


class Resource(Protocol):
    """What is acted on: an ARN (or `*`), and the account that owns it."""

    @property
    def arn(self) -> str:
        """The ARN."""

    @property
    def account(self) -> str:
        """12 digits."""


@dataclass(frozen=True, slots=True)
class NamedResource:
    """A resource that is no object otherwise: an alias, or everything of an account (`*`).

    `region` is where the action on it is, where that is not the Region that is asked.
    """

    arn: str
    account: str
    region: str | None = None


@dataclass(frozen=True)
class TrustedRole:
    """A role as a resource: its trust policy says who may. None: there is no such role."""

    arn: str
    account: str
    trust: Policy | None


class Effect(Enum):
    """What came out, and in a refusal whether something refuses or nothing allows."""

    ALLOW = "allowed"
    EXPLICIT_DENY = "explicit deny"
    IMPLICIT_DENY = "implicit deny"


class Basis(NamedTuple):
    """What a decision rests on: a statement of a policy, or a grant; all None: the root user."""

    policy: Policy | None = None
    statement: Statement | None = None
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed or not; `because` completes AWS's sentence in the second case.

    `basis` is what allows (a key's statement or grant, then what of the caller's side was needed)
    or what refuses; empty where something is missing, and then `missing` is the kind of policy.
    """

    effect: Effect
    because: str = ""
    basis: tuple[Basis, ...] = ()
    missing: Kind | None = None

    @property
    def allowed(self) -> bool:
        """Whether the action may be taken."""
        return self.effect is Effect.ALLOW


@dataclass(frozen=True, slots=True)
class Request:
    """One action on one resource. Many calls need several.

    `resource` is the ARN or `*`, `account` who owns it. `key_policies` are those of a KMS key, None
    where the resource is none; `grants` gives those of its grants that may be the caller's. `rcps`
    are the resource control policies in force for the resource's account.
    """

    caller: Principal
    action: str
    resource: str
    account: str
    facts: Facts
    key_policies: Sequence[Policy] | None = None
    grants: Callable[[], Iterable[Grant]] = field(default=tuple)
    rcps: Sequence[Policy] = ()


ALLOWED: Final = Decision(Effect.ALLOW)
FOREIGN: Final = (
    "because the resource does not exist in this Region, no resource-based policies allow "
    "access, or a resource-based policy explicitly denies access"
)
_AS_NAMED: Final = {
    Kind.KEY: "a resource-based policy",
    Kind.IDENTITY: "an identity-based policy",
    Kind.BOUNDARY: "a permissions boundary",
    Kind.SESSION: "a session policy",
    Kind.SERVICE_CONTROL: "a service control policy",
    Kind.RESOURCE_CONTROL: "a resource control policy",
    Kind.ENDPOINT: "a VPC endpoint policy",
    Kind.TRUST: "a resource-based policy",
}
_MISSING: Final = {
    Kind.KEY: "resource-based policy",
    Kind.IDENTITY: "identity-based policy",
    Kind.BOUNDARY: "permissions boundary",
    Kind.SESSION: "session policy",
    Kind.ENDPOINT: "VPC endpoint policy",
}


def decide(request: Request) -> Decision:
    """Decide one action on one resource."""
    caller = request.caller
    home = caller.account == request.account or caller.who is Who.SERVICE
    if request.key_policies is None:
        if not home or caller.who is Who.SERVICE:
            return _foreign()
        return _guarded(request) or _own_side(request)
    if not home:
        return _across(request)
    refused = _guarded(request)
    if refused is not None:
        return refused
    match, basis = _key_side(request)
    if match is Match.CALLER:
        return Decision(Effect.ALLOW, basis=(basis,))
    if match is Match.NOT or caller.who is Who.SERVICE:
        return _lacking(request, Kind.KEY)
    # The role is allowed itself; where the account is, its policies must allow it too.
    return _with(basis, _limits(request) if match is Match.ROLE else _own_side(request))


def decide_trust(request: Request) -> Decision:
    """Decide sts:AssumeRole and what goes with it on a role, whose trust policy is `key_policies`.

    As with keys, but that any action may be given across accounts, and that AWS says no reason.
    Source: IAM User Guide, "Policy evaluation logic" (role trust policies and KMS key policies are
    the exceptions), "Cross-account policy evaluation logic".
    """
    caller = request.caller
    decision = _guarded(request)
    if decision is None:
        match, basis = _key_side(request)
        if match is Match.NOT:
            decision = _lacking(request, Kind.KEY)
        elif caller.account != request.account or match is Match.ACCOUNT:
            decision = _with(basis, _own_side(request))
        elif match is Match.ROLE:
            decision = _with(basis, _limits(request))
        else:
            decision = Decision(Effect.ALLOW, basis=(basis,))
    return replace(decision, because="")


def decide_retirement(request: Request, grant: Grant, key_account: str) -> Decision:
    """Decide RetireGrant, which the grant decides, and kms:RetireGrant in IAM policies.

    `request` has no key policies and no resource control policies: there, kms:RetireGrant has no
    effect. Source: AWS KMS Developer Guide, "Retiring and revoking grants".
    """
    caller = request.caller
    match = grant.retired_by(caller)
    home = caller.account == key_account
    if match < Match.ACCOUNT and (home or caller.account == grant.issuing_account):
        match = Match.CALLER if caller.is_root else Match.ACCOUNT
    if match is Match.NOT:
        # To who has nothing to do with it in another account, it does not exist.
        return _lacking(request, Kind.IDENTITY) if home else _foreign()
    basis = Basis(grant=grant)
    refused = _guarded(request)
    if refused is not None:
        return refused
    if match is Match.ACCOUNT or not (home or grant.issuing_account == caller.account):
        return _with(basis, _own_side(request))
    return _with(basis, _limits(request)) if match is Match.ROLE else _with(basis, ALLOWED)


def _with(basis: Basis, decision: Decision) -> Decision:
    if not decision.allowed:
        return decision
    return Decision(Effect.ALLOW, basis=(basis, *decision.basis))


def _foreign() -> Decision:
    return Decision(Effect.IMPLICIT_DENY, FOREIGN, missing=Kind.KEY)


# --- what refuses --------------------------------------------------------------------------------


def _guarded(request: Request) -> Decision | None:
    """The refusal of an explicit deny, or of a guardrail that lets nothing through; else None."""
    caller = request.caller
    scps = [policy for level in caller.scps for policy in level]
    endpoint = () if caller.endpoint is None else (caller.endpoint,)
    boundary = () if caller.boundary is None else (caller.boundary,)
    for policies in (
        scps,
        request.rcps,
        endpoint,
        request.key_policies or (),
        caller.identity,
        boundary,
        caller.sessions or (),
    ):
        basis = _denying(request, policies)
        if basis is not None and basis.policy is not None:
            named = _AS_NAMED[basis.policy.kind]
            return Decision(Effect.EXPLICIT_DENY, f"with an explicit deny in {named}", (basis,))
    return _guardrails(request)


def _guardrails(request: Request) -> Decision | None:
    caller = request.caller
    for level in caller.scps:
        if _allowing(request, level) is None:
            # AWS words it as it words a deny.
            return Decision(
                Effect.IMPLICIT_DENY,
                f"with an explicit deny in {_AS_NAMED[Kind.SERVICE_CONTROL]}",
                missing=Kind.SERVICE_CONTROL,
            )
    # Each level of resource control policies has RCPFullAWSAccess, which allows everything.
    if caller.endpoint is not None and _allowing(request, (caller.endpoint,)) is None:
        return _lacking(request, Kind.ENDPOINT)
    return None


def _denying(request: Request, policies: Iterable[Policy]) -> Basis | None:
    caller, action, resource = request.caller, request.action, request.resource
    for policy in policies:
        for statement in policy.denying:
            if statement.reaches(caller) and statement.covers(action, resource, request.facts):
                return Basis(policy, statement)
    return None


def _allowing(request: Request, policies: Iterable[Policy]) -> Basis | None:
    caller, action, resource = request.caller, request.action, request.resource
    for policy in policies:
        for statement in policy.allowing:
            if statement.reaches(caller) and statement.covers(action, resource, request.facts):
                return Basis(policy, statement)
    return None


def _lacking(request: Request, kind: Kind) -> Decision:
    return Decision(
        Effect.IMPLICIT_DENY,
        f"because no {_MISSING[kind]} allows the {request.action} action",
        missing=kind,
    )


# --- what allows ---------------------------------------------------------------------------------


def _key_side(request: Request) -> tuple[Match, Basis]:
    """How far the key's policies and grants allow the caller, at best, and by what."""
    caller, action, resource, facts = (
        request.caller,
        request.action,
        request.resource,
        request.facts,
    )
    best, basis = Match.NOT, Basis()
    for policy in request.key_policies or ():
        for statement in policy.allowing:
            match = statement.reaches(caller)
            if match > best and statement.covers(action, resource, facts):
                best, basis = match, Basis(policy, statement)
                if best is Match.CALLER:
                    return best, basis
    for grant in request.grants():
        match = grant.reaches(caller)
        if match > best and grant.gives(action.removeprefix("kms:"), facts):
            best, basis = match, Basis(grant=grant)
    return best, basis


def _own_side(request: Request) -> Decision:
    """Whether the caller's own account allows it: identity policies, boundary, session policies."""
    caller = request.caller
    basis: tuple[Basis, ...] = (Basis(),)
    if not caller.is_root:
        found = _allowing(request, caller.identity)
        if found is None:
            return _lacking(request, Kind.IDENTITY)
        basis = (found,)
    limits = _limits(request)
    if not limits.allowed:
        return limits
    return Decision(Effect.ALLOW, basis=(*basis, *limits.basis))


def _limits(request: Request) -> Decision:
    """Whether permissions boundary and session policies, where there are any, allow it too."""
    caller = request.caller
    basis: tuple[Basis, ...] = ()
    if caller.boundary is not None:
        found = _allowing(request, (caller.boundary,))
        if found is None:
            return _lacking(request, Kind.BOUNDARY)
        basis = (found,)
    if caller.sessions is not None:
        found = _allowing(request, caller.sessions)
        if found is None:
            return _lacking(request, Kind.SESSION)
        basis = (*basis, found)
    return Decision(Effect.ALLOW, basis=basis)


def _across(request: Request) -> Decision:
    """A key of another account. Until it lets the caller in, nothing tells that it exists."""
    caller = request.caller
    operation = request.action.removeprefix("kms:")
    if operation not in CROSS_ACCOUNT:
        return _foreign()
    closed = _denying(request, request.key_policies or ()) or _denying(request, request.rcps)
    match, basis = _key_side(request)
    if closed is not None or match is Match.NOT:
        return _foreign()
    refused = _guarded(request)
    if refused is not None:
        return refused
    # A grant that the caller's own account issued needs no more leave of that account.
    own = [
        (grant.reaches(caller), grant)
        for grant in request.grants()
        if grant.issuing_account == caller.account and grant.gives(operation, request.facts)
    ]
    reached, grant = max(own, key=lambda each: each[0], default=(Match.NOT, None))
    if reached is Match.CALLER:
        return Decision(Effect.ALLOW, basis=(Basis(grant=grant),))
    if reached is Match.ROLE:
        return _with(Basis(grant=grant), _limits(request))
    return _with(basis, _own_side(request))


# --- the default ---------------------------------------------------------------------------------


def default_key_policy(account: str) -> str:
    """The policy of a key that is made without one, as AWS writes it."""
    return (
        '{\n  "Version" : "2012-10-17",\n  "Id" : "key-default-1",\n  "Statement" : [ {\n'
        '    "Sid" : "Enable IAM User Permissions",\n    "Effect" : "Allow",\n'
        f'    "Principal" : {{\n      "AWS" : "arn:aws:iam::{account}:root"\n    }},\n'
        '    "Action" : "kms:*",\n    "Resource" : "*"\n  } ]\n}'
    )
