"""Key policy documents: read, checked as AWS KMS checks them, and searched for a way back in.

Source: AWS KMS Developer Guide, "Key policies in AWS KMS"; IAM User Guide, "IAM JSON policy
elements reference". What is checked here is the form; a policy is not evaluated yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias

from clavero.iam.decision import Principal
from clavero.model import errors

Statement: TypeAlias = Mapping[str, Any]

VERSIONS: Final = ("2012-10-17", "2008-10-17")
# How deep a policy's JSON may be: Condition, operator, key, list of values need six.
MAX_DEPTH: Final = 16
_DOCUMENT: Final = frozenset({"Version", "Id", "Statement"})
_STATEMENT: Final = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource",
     "Condition"}
)  # fmt: skip
_PAIRS: Final = (
    ("Principal", "NotPrincipal"),
    ("Action", "NotAction"),
    ("Resource", "NotResource"),
)
_AWS_PRINCIPAL: Final = re.compile(
    r"\*|[0-9]{12}|A(?:ID|RO)A[A-Z0-9]{4,124}"
    r"|arn:aws[a-z-]*:(?:iam::[0-9]{12}:(?:root|(?:user|role)/[\x21-\x29\x2b-\x3e\x40-\x7e]+)"
    r"|sts::[0-9]{12}:(?:assumed-role/[\w+=,.@-]+/[\w+=,.@-]+|federated-user/[\w+=,.@-]+))",
    re.ASCII,
)
_SERVICE: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")


def parse(text: str) -> list[Statement]:
    """The statements of a key policy; MalformedPolicyDocumentException unless it is one."""
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        depth = _depth(document)
    except (ValueError, RecursionError) as error:
        why = f" ({error})" if isinstance(error, _Duplicate) else ""
        raise errors.malformed_policy(
            f"The key policy is not valid JSON{why}: correct it and try again."
        ) from None
    if not isinstance(document, dict):
        _refuse("it is no JSON object")
    if depth > MAX_DEPTH:
        _refuse("it is nested too deeply")
    for name in document.keys() - _DOCUMENT:
        _refuse(f"a policy has no element {name!r}")
    if document.get("Version", VERSIONS[1]) not in VERSIONS:
        _refuse(f"its Version must be {VERSIONS[0]} or {VERSIONS[1]}")
    if not isinstance(document.get("Id", ""), str):
        _refuse("its Id must be a string")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        _refuse("it has no Statement")
    seen: set[str] = set()
    for statement in statements:
        _check(statement, seen)
    return statements


class _Duplicate(ValueError):
    """A member that an object has twice: readers would differ in which of them counts."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Duplicate(f"{twice[:64]!r} is there twice")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _depth(value: Any) -> int:
    inner: Sequence[Any] = ()
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    return 1 + max(map(_depth, inner), default=0)


def _refuse(why: str) -> NoReturn:
    raise errors.malformed_policy(f"The key policy is not valid: {why}. Correct it and try again.")


def _check(statement: Any, seen: set[str]) -> None:
    if not isinstance(statement, dict):
        _refuse("a Statement must be a JSON object")
    for name in statement.keys() - _STATEMENT:
        _refuse(f"a statement has no element {name!r}")
    sid = statement.get("Sid", "")
    if not isinstance(sid, str):
        _refuse("a Sid must be a string")
    if sid and sid in seen:
        _refuse(f"two statements have the Sid {sid[:64]!r}")
    seen.add(sid)
    if statement.get("Effect") not in ("Allow", "Deny"):
        _refuse("the Effect of a statement must be Allow or Deny")
    for name, negated in _PAIRS:
        if name in statement and negated in statement:
            _refuse(f"a statement cannot have both {name} and {negated}")
    if "Principal" not in statement and "NotPrincipal" not in statement:
        raise errors.policy_without_principal()
    _check_principals(statement.get("Principal", statement.get("NotPrincipal")))
    for name in ("Action", "NotAction", "Resource", "NotResource"):
        if name in statement and _texts(statement[name]) is None:
            _refuse(f"{name} must be a string or a list of strings")
    _check_condition(statement.get("Condition", {}))


def _check_principals(principals: Any) -> None:
    if principals == "*":
        return
    if not isinstance(principals, dict) or not principals:
        raise errors.policy_with_invalid_principals()
    for kind, value in principals.items():
        pattern = {"AWS": _AWS_PRINCIPAL, "Service": _SERVICE}.get(kind)
        texts = _texts(value)
        if pattern is None or not texts or not all(map(pattern.fullmatch, texts)):
            raise errors.policy_with_invalid_principals()


def _check_condition(condition: Any) -> None:
    if not isinstance(condition, dict):
        _refuse("a Condition must be a JSON object")
    for operator, keys in condition.items():
        if not isinstance(keys, dict):
            _refuse(f"the operator {operator[:64]!r} of a Condition must have a JSON object")
        for value in keys.values():
            values = value if isinstance(value, list) else [value]
            if not all(isinstance(each, (str, bool, int, float)) for each in values):
                _refuse(f"the values under {operator[:64]!r} of a Condition must be strings")


def _texts(value: Any) -> list[str] | None:
    """The strings of an element that may be one or a list of them; None when it is neither."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return None


def may_allow(
    statements: Sequence[Statement], principal: Principal, action: str, resource: str | None
) -> bool:
    """Whether the statements can let the principal's account take the action on the key.

    Conditions are taken to hold for those that allow and to fail for those that deny: only a
    policy that leaves no way at all is found. `resource` is the key's ARN, None before it has one.
    """
    applicable = [
        (statement["Effect"], "Condition" in statement)
        for statement in statements
        if _is_about(statement, principal)
        and _covers(statement, "Action", action.lower(), fold=True)
        and _covers(statement, "Resource", resource, fold=False)
    ]
    denied = any(effect == "Deny" and not limited for effect, limited in applicable)
    return not denied and any(effect == "Allow" for effect, _ in applicable)


def _is_about(statement: Statement, principal: Principal) -> bool:
    """Whether the statement names the principal, its account or everyone."""
    names = {
        "*",
        principal.arn,
        principal.account,
        f"arn:aws:iam::{principal.account}:root",
    }
    negated = "NotPrincipal" in statement
    given = statement["NotPrincipal" if negated else "Principal"]
    texts = [given] if isinstance(given, str) else _texts(given.get("AWS", [])) or []
    return names.isdisjoint(texts) if negated else not names.isdisjoint(texts)


def _covers(statement: Statement, element: str, value: str | None, *, fold: bool) -> bool:
    """Whether Action or Resource (or its negation) takes in the value. One that is missing: no."""
    negated = f"Not{element}" in statement
    texts = _texts(statement.get(f"Not{element}" if negated else element)) or []
    if not texts:
        return False
    found = any(_matches(text.lower() if fold else text, value) for text in texts)
    return found != negated


def _matches(pattern: str, value: str | None) -> bool:
    """Whether the pattern takes in the value: `*` is any run of characters, `?` is any one.

    In time that is the product of the lengths, whatever the pattern: a regular expression of many
    wildcards would take for ever.
    """
    if value is None:  # a key that has no ARN yet: only a pattern of any key can mean it
        return set(pattern) == {"*"} or pattern.endswith(":key/*")
    at = read = 0
    star, resume = -1, 0
    while read < len(value):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, read
            at += 1
        elif at < len(pattern) and pattern[at] in {"?", value[read]}:
            at += 1
            read += 1
        elif star >= 0:  # the last star takes one character more
            resume += 1
            at, read = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")
