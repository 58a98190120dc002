"""Policies, compiled once: statements that can be asked whether they are about a request."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from clavero.iam import documents
from clavero.iam.conditions import Condition, compile_conditions
from clavero.iam.documents import Document, Kind, strings
from clavero.iam.matching import Facts, Pattern, compile_pattern, compile_resource
from clavero.iam.principals import Match, Principal, Principals
from clavero.model.errors import KMSError

_UNBOUND: Final[Mapping[str, str]] = MappingProxyType({})
# AWS KMS Developer Guide: what a key's aliases allow is for IAM policies to say.
_IN_IAM_ONLY: Final = frozenset({"kms:resourcealiases"})
# Action names that a statement remembers its answer for; there are fewer than 60 in KMS.
_REMEMBERED: Final = 256
_ANY: Final = compile_pattern("*", variables=False)


class Statement:
    """One statement. `index` is its place in the document, from 0; `sid` may be empty."""

    __slots__ = (
        "_actions",
        "_is_wide",
        "_known",
        "_not_actions",
        "_not_principals",
        "_not_resources",
        "_principals",
        "_resources",
        "allows",
        "conditions",
        "index",
        "sid",
    )

    def __init__(
        self,
        source: Mapping[str, Any],
        index: int,
        *,
        kind: Kind,
        variables: bool,
        bound: Mapping[str, str] = _UNBOUND,
    ) -> None:
        self.index: Final = index
        sid = source.get("Sid")
        self.sid: Final = sid if isinstance(sid, str) else ""
        self.allows: Final = source.get("Effect") == "Allow"
        self._not_principals: Final = "NotPrincipal" in source
        whom = source.get("NotPrincipal", source.get("Principal"))
        self._principals: Final = None if whom is None else Principals(whom, bound)
        self._not_actions: Final = "NotAction" in source
        self._actions: Final = [
            compile_pattern(each.lower(), variables=False)
            for each in strings(source.get("NotAction", source.get("Action"))) or ()
        ]
        self._known: dict[str, bool] = {}
        self._not_resources: bool = "NotResource" in source
        self._resources: list[Pattern] = [
            compile_resource(each, variables=variables)
            for each in strings(source.get("NotResource", source.get("Resource")))
            or (("*",) if kind is Kind.TRUST else ())  # about the role that has it
        ]
        self._is_wide: Final = not {"*", "kms:*"}.isdisjoint(
            strings(source.get("Action")) or ()
        ) and "*" in (strings(source.get("Resource")) or ())
        block = source.get("Condition")
        self.conditions: tuple[Condition, ...] = compile_conditions(
            block if isinstance(block, dict) else {},
            variables=variables,
            allows=self.allows,
            absent=_IN_IAM_ONLY if kind is Kind.KEY else (),
        )

    def covers(self, action: str, resource: str, facts: Facts) -> bool:
        """Whether action and resource are what the statement is about, and its conditions hold."""
        return self.is_about(action, resource, facts) and self._holds(facts)

    def is_about(self, action: str, resource: str, facts: Facts) -> bool:
        """Whether action and resource are what it is about, whatever its conditions say."""
        known = self._known.get(action)
        if known is None:
            known = self._has_action(action.lower(), facts)
            if len(self._known) < _REMEMBERED:
                self._known[action] = known
        return known and self._has_resource(resource, facts)

    def supposed(self) -> Statement:
        """The statement as if its conditions held, and its resources were the one asked about."""
        other = copy.copy(self)
        other._resources = [_ANY]  # noqa: SLF001 - of this class
        other._not_resources = False  # noqa: SLF001
        other.conditions = ()
        return other

    def _has_action(self, action: str, facts: Facts) -> bool:
        # One without an Action has no effect.
        if not self._actions:
            return False
        found = any(pattern.matches(action, facts) for pattern in self._actions)
        return found != self._not_actions

    def _has_resource(self, resource: str, facts: Facts) -> bool:
        if not self._resources:
            return False
        found = any(pattern.matches(resource, facts) for pattern in self._resources)
        return found != self._not_resources

    def _holds(self, facts: Facts) -> bool:
        return all(condition.holds(facts) for condition in self.conditions)

    def open_accounts(self) -> frozenset[str]:
        """The accounts that an Allow without conditions is about, of every action on `*`."""
        if self._not_actions or self._not_principals or self._not_resources or self.conditions:
            return frozenset()
        if self._principals is None or not self._is_wide:
            return frozenset()
        return self._principals.accounts

    def reaches(self, caller: Principal) -> Match:
        """How far the statement is about the caller; one without principals is about everyone.

        A caller that NotPrincipal names is not meant, an account there means its root user only. To
        refuse all the same is safe: NotPrincipal with Deny refuses whoever has a boundary (IAM User
        Guide, "Permissions boundaries"), and with Allow allows nobody of an account that it names.
        """
        if self._principals is None:
            return Match.CALLER
        match = self._principals.match(caller)
        if not self._not_principals:
            return match
        if self.allows:
            return Match.CALLER if match is Match.NOT else Match.NOT
        if caller.boundary is not None:
            return Match.CALLER
        return Match.CALLER if match <= Match.ACCOUNT else Match.NOT


class Policy:
    """A compiled policy. `name` is how its owner calls it, `text` the document."""

    __slots__ = ("allowing", "denying", "kind", "name", "open_accounts", "text")

    def __init__(self, kind: Kind, name: str, text: str, statements: tuple[Statement, ...]) -> None:
        self.kind: Final = kind
        self.name: Final = name
        self.text: Final = text
        self.allowing: Final = tuple(each for each in statements if each.allows)
        self.denying: Final = tuple(each for each in statements if not each.allows)
        # Accounts whose root users it lets do everything, whatever the request: those of the
        # default key policy, for instance. Spares the pipeline an evaluation.
        self.open_accounts: Final[frozenset[str]] = (
            frozenset()
            if self.denying
            else frozenset().union(*(each.open_accounts() for each in self.allowing))
        )

    def __repr__(self) -> str:
        return f"<{self.kind.value} {self.name!r}>"


def compile_policy(
    text: str,
    kind: Kind,
    name: str = "",
    *,
    bound: Mapping[str, str] = _UNBOUND,
) -> Policy:
    """A policy from outside. Raises MalformedPolicyDocumentException as `documents.parse` does."""
    return _compiled(documents.parse(text, kind), text, kind, name, bound)


def compile_stored(
    text: str,
    kind: Kind,
    name: str = "",
    *,
    bound: Mapping[str, str] = _UNBOUND,
) -> Policy:
    """A policy that was accepted once. One that cannot be read any more refuses everything."""
    try:
        document = documents.read_stored(text, kind)
    except KMSError:
        refusing = {"Sid": "", "Effect": "Deny", "Action": "*", "Resource": "*"}
        document = Document(False, [refusing])
    return _compiled(document, text, kind, name, bound)


def _compiled(
    document: Document, text: str, kind: Kind, name: str, bound: Mapping[str, str]
) -> Policy:
    return Policy(
        kind,
        name,
        text,
        tuple(
            Statement(source, index, kind=kind, variables=document.variables, bound=bound)
            for index, source in enumerate(document.statements)
        ),
    )
