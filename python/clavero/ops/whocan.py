"""Who can: every principal that may take an action on a key, and by which statements or grants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from clavero.iam import condition_keys, reach
from clavero.iam.actions import KEY_ACTIONS
from clavero.iam.compile import compile_stored
from clavero.iam.decision import Request
from clavero.iam.documents import Kind
from clavero.iam.grants import CONTEXT
from clavero.iam.principals import Principal
from clavero.iam.reach import Part
from clavero.iam.reasons import named
from clavero.model import arn
from clavero.model.operations import OPERATIONS, Operation
from clavero.ops.call import Call
from clavero.ops.context import OpsContext
from clavero.ops.directory import Key
from clavero.store import grants

_PAGE: Final = 1_000
# What follows from who calls, and from the key.
_OF_CALLER: Final = frozenset(
    {
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalisawsservice",
        "aws:principaltype",
        "aws:username",
        "kms:calleraccount",
    }
)
_ACCOUNT: Final = frozenset({"aws:principalaccount", "kms:calleraccount"})
_OF_KEY: Final = frozenset(
    {
        "aws:requestedregion",
        "aws:resourceaccount",
        "kms:customermasterkeyspec",
        "kms:customermasterkeyusage",
        "kms:keyorigin",
        "kms:keyspec",
        "kms:keyusage",
        "kms:multiregion",
        "kms:multiregionkeytype",
        "kms:resourcealiases",
    }
)
_OF_CONTEXT: Final = frozenset(
    {CONTEXT, "kms:encryptioncontextkeys", condition_keys.CONTEXT_PREFIX}
)


class Asked(NamedTuple):
    """One candidate: the call that it would make, and the request to decide for it."""

    call: Call
    request: Request


def operation_of(action: str) -> Operation:
    """The operation that is authorised by an action on a key. ValueError for any other text."""
    name = action.removeprefix("kms:")
    known = {each.lower(): each for each in KEY_ACTIONS - {"SynchronizeMultiRegionKey"}}
    found = known.get(name.lower())
    if found is None:
        raise ValueError(f"{action[:64]!r} is no action on a KMS key, such as kms:Decrypt")
    if found == "RetireGrant":
        raise ValueError(
            "who may retire a grant is decided by the grant: ask explain('RetireGrant', ...)"
        )
    return OPERATIONS["ReEncrypt" if found.startswith("ReEncrypt") else found]


def action_of(text: str) -> str:
    """The action as AWS writes it."""
    name = text.removeprefix("kms:").lower()
    return "kms:" + next(each for each in KEY_ACTIONS if each.lower() == name)


def candidates(context: OpsContext, key: Key, stored: Iterable[Principal]) -> Iterator[Principal]:
    """Whom to ask about, each once.

    The root user of the key's account, `stored` identities, who is named by the key's policy, who
    has a grant.
    """
    seen: set[str] = set()
    owner = key.account
    there = {each.arn: each for each in stored}
    for each in (Principal(arn.root_arn(owner), owner), *there.values()):
        seen.add(each.arn)
        yield each
    policy = compile_stored(key.policy, Kind.KEY)
    for name in chain(reach.named_in(policy), _grantees(context, key)):
        for each in reach.principals_of(name, owner):
            if each.arn not in seen:
                seen.add(each.arn)
                yield each


def _grantees(context: OpsContext, key: Key) -> Iterator[str]:
    row, after, more = key.row, "", True
    while more:
        with context.store.read() as tx:
            found, more = grants.page(
                tx, row.region, row.account, row.key_id, limit=_PAGE, after=after
            )
        for grant in found:
            yield grant.grantee or grant.grantee_service or ""
            after = grant.grant_id


def answer(asked: Iterable[Asked], action: str) -> list[dict[str, Any]]:
    """Those who may, as members: Principal, Ways (each a list of statements and grants), Unless."""
    rows = []
    for call, request in asked:
        found = reach.reach(request, _knows(call, action))
        ways = [[_part(each) for each in way] for way in found.ways]
        if call.principal.account == reach.EVERYONE:  # of any account but the key's
            ways = [way for way in ways if not _names_only(way, request.account)]
        if ways:
            row: dict[str, Any] = {"Principal": call.principal.arn, "Ways": ways}
            if found.unless:
                row["Unless"] = [_part(each) for each in found.unless]
            rows.append(row)
    return rows


def _names_only(way: Sequence[Mapping[str, Any]], account: str) -> bool:
    """Whether a condition leaves the account alone, as those of AWS managed keys do."""
    for part in way:
        for name, wanted in part.get("If", {}).get("StringEquals", {}).items():
            values = [wanted] if isinstance(wanted, str) else wanted
            if name.lower() in _ACCOUNT and set(values) <= {account}:
                return True
    return False


def _part(part: Part) -> dict[str, Any]:
    told = named(part.basis)
    if part.basis.policy is not None and part.basis.policy.text == reach.THEIRS.text:
        return {each: told[each] for each in ("PolicyType", "PolicyName")}
    if part.conditions:
        told["If"] = dict(part.conditions)
    return told


def _knows(call: Call, action: str) -> Callable[[str], bool]:
    caller, operation = call.principal, action.removeprefix("kms:")
    given = any("EncryptionContext" in name for name in call.params)
    anybody = caller.arn.endswith(":user/*")

    def knows(name: str) -> bool:
        if name in caller.facts or name in _OF_KEY or name.startswith("aws:resourcetag/"):
            return True
        if name.startswith("kms:") and not condition_keys.has_it(name, operation):
            return True  # it is never there
        if name in _OF_CALLER:
            return not anybody or (name in _ACCOUNT and caller.account != reach.EVERYONE)
        if name in _OF_CONTEXT or name.startswith(condition_keys.CONTEXT_PREFIX):
            return given
        return False

    return knows
