"""Who could: every way in which a principal may take an action, with what a request must be like.

Nothing is decided a second time here. What the statements ask of a request that is not there yet is
supposed to be so, and put down; what is left is a request like any other, and `decide` answers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from clavero.iam import documents
from clavero.iam.compile import Policy, Statement, compile_policy
from clavero.iam.decision import Basis, Request, decide
from clavero.iam.documents import Kind, strings
from clavero.iam.grants import WANTED, Grant, wanted_fact
from clavero.iam.matching import Facts, Value
from clavero.iam.principals import Principal
from clavero.model import arn
from clavero.model.errors import KMSError

# A principal may have more ways to a key than anybody reads.
MAX_WAYS: Final = 32
_CONTEXTS: Final = ("EncryptionContextEquals", "EncryptionContextSubset")
_CHILD: Final = {"NewGrant": "gives no more than this grant"}


class Part(NamedTuple):
    """A statement or a grant on the way, with the conditions that depend on the request."""

    basis: Basis
    conditions: Mapping[str, Any]


class Reach(NamedTuple):
    """How a principal may: each way alone is enough. `unless` are the denies that may apply."""

    ways: Sequence[Sequence[Part]]
    unless: Sequence[Part]


def reach(request: Request, knows: Callable[[str], bool]) -> Reach:
    """The ways in which the request's caller may, at best.

    `knows(name)` says whether `request.facts` have the last word on a condition key (in lower
    case): where not, its value depends on the request that will be made.
    """
    supposing = _Supposing(request, _Partial(request.facts, knows), knows)
    left = supposing.request()
    ways: list[Sequence[Part]] = []
    while len(ways) < MAX_WAYS:
        decision = decide(left)
        if not decision.allowed:
            break
        ways.append([supposing.part(each) for each in decision.basis])
        shorter = _without(left, decision.basis)
        if shorter is None:
            break
        left = shorter
    return Reach(ways, supposing.unless if ways else ())


class _Partial:
    """The facts that are known; `asked` collects the names of others that were asked for."""

    def __init__(self, facts: Facts, knows: Callable[[str], bool]) -> None:
        self._facts = facts
        self._knows = knows
        self.asked: set[str] = set()

    def get(self, name: str, /) -> Value:
        if name == WANTED:  # a grant that gives nothing: every parent covers it
            return wanted_fact((), {})
        if not name or self._knows(name):
            return self._facts.get(name) if name else None
        self.asked.add(name)
        return None


@dataclass
class _Supposing:
    """Makes the request in which all that is not known is as the caller would want it."""

    original: Request
    facts: _Partial
    knows: Callable[[str], bool]
    unless: list[Part] = field(default_factory=list)
    _conditions: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _kept: list[object] = field(default_factory=list)  # so that no id is given twice

    def request(self) -> Request:
        """The request, with policies and grants that ask of it only what is known."""
        given, caller = self.original, self.original.caller
        one = self._policy
        supposed = caller.but(
            identity=[one(each) for each in caller.identity],
            boundary=None if caller.boundary is None else one(caller.boundary),
            sessions=None if caller.sessions is None else [one(each) for each in caller.sessions],
            scps=[tuple(one(each) for each in level) for level in caller.scps],
            endpoint=None if caller.endpoint is None else one(caller.endpoint),
        )
        policies = given.key_policies
        grants = [self._grant(each) for each in given.grants()]
        return replace(
            given,
            caller=supposed,
            facts=self.facts,
            key_policies=None if policies is None else tuple(one(each) for each in policies),
            grants=lambda: grants,
            rcps=tuple(one(each) for each in given.rcps),
        )

    def part(self, basis: Basis) -> Part:
        """A basis of the supposed request as a part of the way."""
        return Part(basis, self._conditions.get(id(basis.statement or basis.grant), {}))

    def _policy(self, policy: Policy) -> Policy:
        kept = []
        for statement in (*policy.allowing, *policy.denying):
            supposed, conditions = self._statement(policy, statement)
            if supposed is None:
                continue
            if conditions and not statement.allows:
                if statement.reaches(self.original.caller):
                    self.unless.append(Part(Basis(policy, statement), conditions))
                continue
            if conditions:
                self._remember(supposed, conditions)
            kept.append(supposed)
        return Policy(policy.kind, policy.name, policy.text, tuple(kept))

    def _statement(
        self, policy: Policy, statement: Statement
    ) -> tuple[Statement | None, Mapping[str, Any]]:
        """The statement and what it asks of the request; None where it cannot be about any."""
        given, facts = self.original, self.facts
        facts.asked.clear()
        about = statement.is_about(given.action, given.resource, facts)
        open_resource = bool(facts.asked)
        if not about and not open_resource:
            return None, {}
        asked: dict[str, Any] = {}
        if open_resource:
            asked["Resource"] = sorted(facts.asked)
        texts = _block(policy, statement)
        for condition, (operator, key, values) in zip(statement.conditions, texts, strict=True):
            facts.asked.clear()
            holds = condition.holds(facts)
            if facts.asked:
                asked.setdefault(operator, {})[key] = values
            elif not holds:
                return None, {}
        return (statement.supposed() if asked else statement), asked

    def _grant(self, grant: Grant) -> Grant:
        constraints = dict(grant.constraints)
        conditions: dict[str, Any] = {}
        if self.original.action == "kms:CreateGrant":
            conditions, constraints = dict(_CHILD), {}
        elif "SourceArn" in constraints and not self.knows("aws:sourcearn"):
            conditions["SourceArn"] = constraints.pop("SourceArn")
        if self.original.action != "kms:DescribeKey" and not self.knows("kms:encryptioncontext:"):
            for name in _CONTEXTS:
                if name in constraints:
                    conditions[name] = constraints.pop(name)
        if not conditions:
            return grant
        supposed = Grant(
            grant.grant_id,
            grantee=grant.grantee,
            operations=grant.operations,
            issuing_account=grant.issuing_account,
            retiring=grant.retiring,
            constraints=constraints,
        )
        self._remember(supposed, conditions)
        return supposed

    def _remember(self, made: object, conditions: Mapping[str, Any]) -> None:
        self._kept.append(made)
        self._conditions[id(made)] = conditions


def _block(policy: Policy, statement: Statement) -> Iterator[tuple[str, str, Any]]:
    """The conditions of a statement as its policy's text has them: operator, key, values."""
    if not statement.conditions:
        return
    source = documents.read_stored(policy.text, policy.kind).statements[statement.index]
    for operator, keys in source["Condition"].items():
        for key, values in keys.items():
            yield operator, key, values


def _without(request: Request, basis: Sequence[Basis]) -> Request | None:
    """The request without the first thing that this way rests on, so that another one shows."""
    for policy, statement, _ in reversed(basis):
        if policy is None or statement is None or policy.text == THEIRS.text:
            continue
        if policy.kind is Kind.IDENTITY:
            identity = [_less(each, statement) for each in request.caller.identity]
            return replace(request, caller=request.caller.but(identity=identity))
    first = basis[0]
    if first.grant is not None:
        left = [each for each in request.grants() if each is not first.grant]
        return replace(request, grants=lambda: left)
    if first.statement is not None and request.key_policies is not None:
        gone = first.statement
        policies = tuple(_less(each, gone) for each in request.key_policies)
        return replace(request, key_policies=policies)
    return None  # the root user, on what is no key


def _less(policy: Policy, statement: Statement) -> Policy:
    kept = [each for each in (*policy.allowing, *policy.denying) if each is not statement]
    return Policy(policy.kind, policy.name, policy.text, tuple(kept))


# --- whom to ask about ---------------------------------------------------------------------------

EVERYONE: Final = "*"
# What stands for the policies of an account that is not ours to look into.
THEIRS: Final = compile_policy(
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}',
    Kind.IDENTITY,
    "of their own account",
)


def named_in(policy: Policy) -> list[str]:
    """The principals that the Allow statements of a key policy name; `*` where one means all."""
    try:
        statements = documents.read_stored(policy.text, policy.kind).statements
    except KMSError:
        return []
    names: dict[str, None] = {}
    for statement in statements:
        if statement.get("Effect") != "Allow":
            continue
        whom = statement.get("Principal", EVERYONE if "NotPrincipal" in statement else None)
        if whom == EVERYONE:
            names[EVERYONE] = None
        elif isinstance(whom, dict):
            for kind in ("AWS", "Service"):
                names |= dict.fromkeys(strings(whom.get(kind)) or ())
    return list(names)


def principals_of(name: str, account: str) -> list[Principal]:
    """The callers that a name in a policy or a grant stands for; none for a unique id.

    `*` stands for a user of `account` that nothing else names, and one of any other account.
    """
    if name == EVERYONE:
        return [
            Principal(f"arn:aws:iam::{account}:user/*", account),
            Principal("arn:aws:iam::*:user/*", EVERYONE, identity=[THEIRS]),
        ]
    if arn.is_account(name):
        name = arn.root_arn(name)
    if name.startswith("arn:"):
        owner = name.split(":")[4]
        foreign = owner != account and not name.endswith(":root")
        return [Principal(name, owner, identity=[THEIRS] if foreign else ())]
    return [Principal(name, "")] if "." in name else []
