"""Authorising a call: its facts, the key's policy and grants, and the decision, remembered.

A decision is remembered for caller, action and key, on exactly the facts that it read and that a
call can change. It is void with the key's row and with each change of its grants, tags and aliases.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from clavero.iam.compile import Policy, compile_policy, compile_stored
from clavero.iam.decision import (
    ALLOWED,
    Decision,
    NamedResource,
    Request,
    Resource,
    TrustedRole,
    decide,
    decide_retirement,
    decide_trust,
)
from clavero.iam.documents import Kind
from clavero.iam.grants import Grant
from clavero.iam.matching import Value
from clavero.iam.principals import Principal
from clavero.model import arn, managed
from clavero.ops.directory import Key
from clavero.ops.facts import Facts, finder
from clavero.store import grants
from clavero.store.grants import GrantRow

if TYPE_CHECKING:
    from clavero.ops.call import Call
    from clavero.ops.context import OpsContext
    from clavero.store.keys import KeyRow

# Bounds of what is remembered: callers choose principals, contexts and addresses.
MAX_POLICIES: Final = 16_384
MAX_DECISIONS: Final = 65_536
MAX_PATHS: Final = 8
MAX_VALUES: Final = 256
# They differ with every call.
_TIMES: Final = frozenset({"aws:currenttime", "aws:epochtime"})


class _Remembered:
    """Decisions on one action of one caller on one key, as long as row and epoch are these.

    A path is the names of the facts that a decision read, with how each is found; where all have
    the same values again, the decision is the same again.
    """

    __slots__ = ("epoch", "paths", "row")

    def __init__(self, row: KeyRow, epoch: int) -> None:
        self.row = row
        self.epoch = epoch
        self.paths: list[_Path] = []  # grows only: others may look while one is added

    def find(self, facts: Facts) -> Decision | None:
        for _, finders, known in self.paths:
            decision = known.get(tuple([find(facts) for find in finders]))
            if decision is not None:
                return decision
        return None

    def keep(self, action: str, read: dict[str, Value], decision: Decision) -> None:
        if not _TIMES.isdisjoint(read):
            return
        names = tuple(read)
        known = next((known for kept, _, known in self.paths if kept == names), None)
        if known is None:
            if len(self.paths) >= MAX_PATHS:
                return
            found = [finder(name, action.removeprefix("kms:")) for name in names]
            known = {}
            self.paths.append((names, [find for find in found if find is not None], known))
        if len(known) < MAX_VALUES:
            known[tuple(read.values())] = decision


_Path: TypeAlias = (
    "tuple[tuple[str, ...], list[Callable[[Facts], Value]], dict[tuple[Value, ...], Decision]]"
)


class Authoriser:
    """Decides for the pipeline."""

    def __init__(self, context: OpsContext) -> None:
        self._context = context
        self._resolver = context.resolver
        self._policies: dict[str, Policy] = {}
        self._decisions: dict[tuple[object, str, Key], _Remembered] = {}
        # How many decisions were remembered, and how many were not. Nearly every call comes by
        # here, so that no lock is taken for them: a count more or less does not matter.
        self.hits = 0
        self.misses = 0

    def decide(self, call: Call, action: str, resource: Resource) -> Decision:
        """Decide one action of the call on a key, or on a resource that is none."""
        caller = call.principal
        if type(resource) is not Key:
            return self.decide_anew(call, action, resource)
        policy = self._policies.get(resource.policy) or self._compiled(resource.policy)
        account = resource.account
        if (
            caller.is_root
            and caller.unlimited
            and caller.account == account
            and account in policy.open_accounts
            and not self._resolver.rcps(account)
        ):
            return ALLOWED  # nearly every call of who uses one account and no policies
        # What is remembered belongs to one row, whose policy may be newer than the one above.
        # Both counts grow only, so that their sum is the same while neither grew.
        row = resource.row  # before anything that they cover is read
        epoch = resource.epoch + self._resolver.guardrail_changes
        policy = self._policies.get(row.policy) or self._compiled(row.policy)
        place = (caller.token, action, resource)
        known = self._decisions.get(place)
        facts = Facts(self._context, call, action, resource, account)
        if known is not None and known.row is row and known.epoch == epoch:
            decision = known.find(facts)
            if decision is not None:
                self.hits += 1
                return decision
        else:
            if len(self._decisions) >= MAX_DECISIONS:
                self._decisions.clear()
            known = self._decisions[place] = _Remembered(row, epoch)
        self.misses += 1
        decision = decide(self._request(caller, action, resource, facts, policy))
        known.keep(action, facts.read, decision)
        return decision

    def decide_anew(self, call: Call, action: str, resource: Resource) -> Decision:
        """The same decision, from everything that it rests on, without what is remembered."""
        if isinstance(resource, TrustedRole):
            facts = Facts(self._context, call, action, None, resource.account)
            policies = () if resource.trust is None else (resource.trust,)
            return decide_trust(
                Request(call.principal, action, resource.arn, resource.account, facts, policies)
            )
        if not isinstance(resource, Key):
            return decide(request_without_key(self._context, call, action, resource))
        return decide(self.request_on(call, action, resource))

    def request_on(self, call: Call, action: str, key: Key) -> Request:
        """What is decided for an action of the call on a key, with all that it rests on."""
        facts = Facts(self._context, call, action, key, key.account)
        return self._request(call.principal, action, key, facts, self._compiled(key.policy))

    def _request(
        self, caller: Principal, action: str, key: Key, facts: Facts, policy: Policy
    ) -> Request:
        return Request(
            caller,
            action,
            key.arn,
            key.account,
            facts,
            (policy,),
            _once(lambda: grants_to(self._context, key, caller)),
            # AWS: they do not limit AWS managed keys.
            () if key.row.manager == managed.MANAGER else self._resolver.rcps(key.account),
        )

    def _compiled(self, text: str) -> Policy:
        made = compile_stored(text, Kind.KEY, "default")
        if len(self._policies) >= MAX_POLICIES:
            self._policies.clear()
        self._policies[text] = made
        return made


def request_without_key(
    context: OpsContext, call: Call, action: str, resource: Resource
) -> Request:
    """The request for an action on no key: on an alias, or on everything of the account."""
    facts = Facts(
        context,
        call,
        action,
        None,
        resource.account,
        alias=":alias/" in resource.arn,
        region=resource.region if isinstance(resource, NamedResource) else None,
    )
    rcps = () if resource.arn == "*" else context.resolver.rcps(resource.account)
    return Request(call.principal, action, resource.arn, resource.account, facts, rcps=rcps)


def _once(find: Callable[[], list[Grant]]) -> Callable[[], Iterable[Grant]]:
    found: list[list[Grant]] = []

    def get() -> list[Grant]:
        if not found:
            found.append(find())
        return found[0]

    return get


def grants_to(context: OpsContext, key: Key, caller: Principal) -> list[Grant]:
    """The key's grants that may be the caller's, from the store."""
    row = key.row
    with context.store.read() as tx:
        found = grants.of_grantees(
            tx, row.region, row.account, row.key_id, caller.grantee_names(), caller.role_range
        )
    return [compiled_grant(grant) for grant in found]


def compiled_grant(row: GrantRow) -> Grant:
    """A stored grant as the decision sees it."""
    return Grant(
        row.grant_id,
        grantee=row.grantee or row.grantee_service or "",
        operations=json.loads(row.operations),
        issuing_account=row.issuing_account,
        retiring=row.retiring or row.retiring_service,
        constraints=None if row.constraints is None else json.loads(row.constraints),
    )


def retirement(context: OpsContext, call: Call, key: Key) -> Decision:
    """Decide RetireGrant of the call's grant. Key policies and RCPs have no say in it."""
    assert call.grant is not None
    account = key.row.account
    facts = Facts(context, call, "kms:RetireGrant", key, account)
    request = Request(call.principal, "kms:RetireGrant", key.arn, account, facts)
    return decide_retirement(request, compiled_grant(call.grant), account)


def may_change_policy(context: OpsContext, call: Call, text: str, key_arn: str | None) -> bool:
    """Whether the caller could put another policy on a key that has this one.

    The lockout safety check: evaluated like a request. `text` was parsed already; `key_arn` is None
    before the key has one. Source: AWS KMS API reference, PutKeyPolicy, Policy.
    """
    key = call.keys[0] if call.keys else None
    scope = call.scope
    account = scope.account if key is None else key.row.account
    facts = Facts(context, call, "kms:PutKeyPolicy", key, account)
    return decide(
        Request(
            call.principal,
            "kms:PutKeyPolicy",
            key_arn or arn.key_arn(scope.region, account, _UNNAMED),
            account,
            facts,
            (compile_policy(text, Kind.KEY, "default"),),
        )
    ).allowed


# Stands for the id of a key that is not made yet: no policy can name it.
_UNNAMED: Final = "00000000-0000-0000-0000-000000000000"
