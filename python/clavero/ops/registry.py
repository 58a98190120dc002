"""The registry: what the pipeline must know of each operation, and the operations that are built.

An operation is a row here: how its keys are found, which actions on what are authorised, in which
key states it runs, and the function that runs it. The pipeline does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from clavero.iam.decision import Decision, NamedResource, Principal, Resource
from clavero.model import arn, errors
from clavero.ops.call import Call, Response
from clavero.ops.directory import Key

if TYPE_CHECKING:
    from clavero.ops.context import OpsContext

Resolve: TypeAlias = "Callable[[OpsContext, Call], tuple[Key, ...]]"
Run: TypeAlias = "Callable[[OpsContext, Call], Response]"
_BY_ARN: Final = "on resource: "
Needs: TypeAlias = "Callable[[Call], Sequence[Need]]"
Check: TypeAlias = "Callable[[OpsContext, Call], None]"
Decide: TypeAlias = "Callable[[OpsContext, Call, Key], Decision]"


class Need(NamedTuple):
    """One authorisation: an action on a resource, and how AWS names the resource in a refusal.

    `told` says that callers of other accounts are told the name too: a role's, for instance.
    """

    action: str
    resource: Resource
    named: str
    told: bool = False

    def as_named_to(self, principal: Principal) -> str:
        """`named`, but for an ARN of another account: of that AWS does not say that it exists."""
        if self.told:
            return self.named
        if self.resource.account != principal.account and self.named.startswith(_BY_ARN):
            return "on this resource"
        return self.named


class Handler:
    """One operation as the pipeline sees it.

    `action` is authorised on each key; `needs`, where given, says instead what is authorised, and
    `decide` that the operation itself decides. `states` are the key states in which it runs, None
    where it is about no key. `computes` says that running it changes nothing: a dry run then runs
    it too, and tells only after that that it would have succeeded. What else a dry run must refuse,
    `check` refuses. `fits` refuses what AWS refuses before it looks at the key's state, and is
    asked where the state does not fit: else `run` refuses the same.
    """

    __slots__ = (
        "action",
        "check",
        "computes",
        "decide",
        "fits",
        "name",
        "named",
        "needs",
        "resolve",
        "run",
        "states",
    )

    def __init__(
        self,
        name: str,
        run: Run,
        *,
        resolve: Resolve | None = None,
        action: str | None = None,
        needs: Needs | None = None,
        states: frozenset[str] | None = None,
        named: str = "on resource: {}",
        computes: bool = False,
        check: Check | None = None,
        decide: Decide | None = None,
        fits: Check | None = None,
    ) -> None:
        self.name: Final = name
        self.run: Final = run
        self.resolve: Final = resolve
        self.action: Final = action or f"kms:{name}"
        self.needs: Final = needs
        self.states: Final = states
        self.named: Final = named
        self.computes: Final = computes
        self.check: Final = check
        self.decide: Final = decide
        self.fits: Final = fits


def account_wide(action: str) -> Needs:
    """An action that is on no resource: on everything of the caller's account."""

    def needs(call: Call) -> Sequence[Need]:
        return (Need(action, NamedResource("*", call.scope.account), "on resource: *"),)

    return needs


def to_tag(region: str, account: str) -> Need:
    """What a request for a new key with tags needs besides, on a key whose ARN nobody knows yet.

    AWS names no resource in the refusal.
    """
    any_key = NamedResource(arn.key_arn(region, account, "*"), account, region)
    return Need("kms:TagResource", any_key, "")


def by_key_id(member: str = "KeyId") -> Resolve:
    """The key that a parameter names by id or ARN only."""

    def resolve(context: OpsContext, call: Call) -> tuple[Key, ...]:
        reference: str = call.params[member]
        if member == "KeyId" and arn.is_alias(reference):
            raise errors.aliases_not_supported()
        return (context.directory.resolve_key_id(call.scope, reference),)

    return resolve


def by_any_name(context: OpsContext, call: Call) -> tuple[Key, ...]:
    """The key that KeyId names by id, ARN, alias name or alias ARN."""
    return (context.directory.resolve(call.scope, call.params["KeyId"]),)


def built() -> Mapping[str, Handler]:
    """Every operation that is built, by name."""
    from clavero.ops import (  # they use this module
        aliases,
        asymmetric,
        batch,
        crypto,
        datakeys,
        entities,
        grants,
        identity,
        imports,
        keys,
        lastusage,
        mac,
        managedpolicies,
        policies,
        regions,
        rotation,
        sts,
        tags,
    )

    handlers = (
        *keys.HANDLERS,
        *aliases.HANDLERS,
        *tags.HANDLERS,
        *policies.HANDLERS,
        *rotation.HANDLERS,
        *regions.HANDLERS,
        *imports.HANDLERS,
        *grants.HANDLERS,
        *lastusage.HANDLERS,
        *crypto.HANDLERS,
        *datakeys.HANDLERS,
        *asymmetric.HANDLERS,
        *mac.HANDLERS,
        *batch.HANDLERS,
        *identity.HANDLERS,
        *entities.HANDLERS,
        *managedpolicies.HANDLERS,
        *sts.HANDLERS,
    )
    return {handler.name: handler for handler in handlers}
