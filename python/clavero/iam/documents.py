"""Policy documents of every kind: read strictly, and refused as AWS refuses them.

Source: IAM User Guide, "IAM JSON policy elements reference"; AWS KMS Developer Guide, "Key policies
in AWS KMS" (a statement of a key policy without Action or Resource is taken, and has no effect) and
"OverlyPermissiveCondition"; AWS Organizations User Guide, "SCP syntax" and "RCP syntax".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from clavero.iam import conditions
from clavero.iam.matching import BadVariable, compile_pattern, compile_resource
from clavero.model import errors
from clavero.model.errors import KMSError

Statement: TypeAlias = Mapping[str, Any]

WITH_VARIABLES: Final = "2012-10-17"
VERSIONS: Final = (WITH_VARIABLES, "2008-10-17")
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
_PAIRS_OF_RESOURCES: Final = frozenset(_PAIRS[2])
_AWS_PRINCIPAL: Final = re.compile(
    r"\*|[0-9]{12}|A(?:ID|RO)A[A-Z0-9]{4,124}"
    r"|arn:aws[a-z-]*:(?:iam::[0-9]{12}:(?:root|(?:user|role)/[\x21-\x29\x2b-\x3e\x40-\x7e]+)"
    r"|sts::[0-9]{12}:(?:assumed-role/[\w+=,.@-]+/[\w+=,.@-]+|federated-user/[\w+=,.@-]+))",
    re.ASCII,
)
_SERVICE: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_PROVIDER: Final = re.compile(r"[\w.:/-]{4,255}", re.ASCII)
_SID: Final = re.compile("[A-Za-z0-9]*")


class Kind(Enum):
    """What a policy is attached to, in AWS's words."""

    KEY = "key policy"
    IDENTITY = "identity-based policy"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"
    SERVICE_CONTROL = "service control policy"
    RESOURCE_CONTROL = "resource control policy"
    ENDPOINT = "VPC endpoint policy"
    TRUST = "trust policy"

    @property
    def names_principals(self) -> bool:
        """Whether its statements say whom they are about."""
        return self in {Kind.KEY, Kind.RESOURCE_CONTROL, Kind.ENDPOINT, Kind.TRUST}


class Document(NamedTuple):
    """A policy that was read: whether its `${...}` are variables, and its statements."""

    variables: bool
    statements: Sequence[Statement]


def parse(text: str, kind: Kind = Kind.KEY) -> Document:
    """The document; MalformedPolicyDocumentException unless it is a policy of this kind."""
    document = _read(text, kind)
    reader = _Reader(kind, document.variables)
    for statement in document.statements:
        reader.check(statement)
    return document


def read_stored(text: str, kind: Kind) -> Document:
    """A document that was checked when it was stored, perhaps by rules that were laxer.

    Raises MalformedPolicyDocumentException where it cannot be a policy at all.
    """
    return _read(text, kind)


def _read(text: str, kind: Kind) -> Document:
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        depth = _depth(document)
    except (ValueError, RecursionError) as error:
        why = f" ({error})" if isinstance(error, _Duplicate) else ""
        raise errors.malformed_policy(
            f"The {kind.value} is not valid JSON{why}: correct it and try again."
        ) from None
    if not isinstance(document, dict):
        raise _refusal(kind, "it is no JSON object")
    if depth > MAX_DEPTH:
        raise _refusal(kind, "it is nested too deeply")
    for name in document.keys() - _DOCUMENT:
        raise _refusal(kind, f"a policy has no element {name[:64]!r}")
    version = document.get("Version", VERSIONS[1])
    if version not in VERSIONS:
        raise _refusal(kind, f"its Version must be {VERSIONS[0]} or {VERSIONS[1]}")
    if not isinstance(document.get("Id", ""), str):
        raise _refusal(kind, "its Id must be a string")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise _refusal(kind, "it has no Statement")
    if not all(isinstance(each, dict) for each in statements):
        raise _refusal(kind, "a Statement must be a JSON object")
    return Document(version == WITH_VARIABLES, statements)


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


def _refusal(kind: Kind, why: str) -> KMSError:
    return errors.malformed_policy(
        f"The {kind.value} is not valid: {why}. Correct it and try again."
    )


class _Reader:
    """Checks the statements of one document."""

    def __init__(self, kind: Kind, variables: bool) -> None:
        self._kind = kind
        self._variables = variables
        self._sids: set[str] = set()

    def _refuse(self, why: str) -> NoReturn:
        raise _refusal(self._kind, why)

    def check(self, statement: Statement) -> None:
        for name in statement.keys() - _STATEMENT:
            self._refuse(f"a statement has no element {name[:64]!r}")
        self._check_sid(statement.get("Sid", ""))
        if statement.get("Effect") not in ("Allow", "Deny"):
            self._refuse("the Effect of a statement must be Allow or Deny")
        for name, negated in _PAIRS:
            if name in statement and negated in statement:
                self._refuse(f"a statement cannot have both {name} and {negated}")
        self._check_whom(statement)
        for name in ("Action", "NotAction", "Resource", "NotResource"):
            if name in statement and strings(statement[name]) is None:
                self._refuse(f"{name} must be a string or a list of strings")
        if self._kind is Kind.TRUST and not _PAIRS_OF_RESOURCES.isdisjoint(statement):
            raise errors.malformed_policy("Has prohibited field Resource")
        if self._kind is not Kind.KEY:
            for name, negated in _PAIRS[1 : 2 if self._kind is Kind.TRUST else 3]:
                if not strings(statement.get(name)) and not strings(statement.get(negated)):
                    self._refuse(f"a statement must have {name} or {negated}")
        if self._kind is Kind.RESOURCE_CONTROL:
            self._check_resource_control(statement)
        self._check_patterns(statement)
        self._check_condition(statement.get("Condition", {}))

    def _check_sid(self, sid: Any) -> None:
        if not isinstance(sid, str):
            self._refuse("a Sid must be a string")
        if self._kind is not Kind.KEY and _SID.fullmatch(sid) is None:
            self._refuse("a Sid can have letters and digits only")
        if sid and sid in self._sids:
            self._refuse(f"two statements have the Sid {sid[:64]!r}")
        self._sids.add(sid)

    def _check_whom(self, statement: Statement) -> None:
        given = statement.get("Principal", statement.get("NotPrincipal"))
        if not self._kind.names_principals:
            if given is not None:
                self._refuse("its statements cannot have a Principal: it is about who has it")
            return
        if "Principal" not in statement and "NotPrincipal" not in statement:
            raise errors.policy_without_principal()
        if not are_principals(given, federated=self._kind is Kind.TRUST):
            raise errors.policy_with_invalid_principals()

    def _check_resource_control(self, statement: Statement) -> None:
        if statement["Effect"] != "Deny":
            self._refuse("its statements can only have the Effect Deny")
        if statement.get("Principal") != "*" or "NotAction" in statement:
            self._refuse("its statements must have the Principal '*' and an Action")

    def _check_patterns(self, statement: Statement) -> None:
        if not self._variables:
            return
        try:
            for name in ("Resource", "NotResource"):
                for text in strings(statement.get(name)) or ():
                    compile_resource(text, variables=True, strict=True)
            for text in strings(statement.get("Action", statement.get("NotAction"))) or ():
                compile_pattern(text, variables=False)
        except BadVariable as error:
            self._refuse(f"{str(error)!r} is no policy variable")

    def _check_condition(self, condition: Any) -> None:
        if not isinstance(condition, dict):
            self._refuse("a Condition must be a JSON object")
        for operator, key, given in self._compared(condition):
            values = given if isinstance(given, list) else [given]
            if not all(isinstance(each, (str, bool, int, float)) for each in values):
                self._refuse(f"the values under {operator[:64]!r} of a Condition must be strings")
            parsed = conditions.parse_operator(operator)
            if parsed is None:
                self._refuse(f"a Condition has no operator {operator[:64]!r}")
            if parsed.base == "Null" and not {
                each.lower() for each in conditions.texts(values)
            } <= {
                "true",
                "false",
            }:
                self._refuse("the values under 'Null' of a Condition must be true or false")
            if self._variables:
                try:
                    conditions.check_variables(operator, values)
                except BadVariable as error:
                    self._refuse(f"{str(error)!r} is no policy variable")
            if self._kind is Kind.KEY and parsed.set_operator == "ForAllValues":
                _check_overly_permissive(key.lower())

    def _compared(self, condition: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
        for operator, keys in condition.items():
            if not isinstance(keys, dict):
                self._refuse(
                    f"the operator {operator[:64]!r} of a Condition must have a JSON object"
                )
            for key, values in keys.items():
                yield operator, key, values


def _check_overly_permissive(key: str) -> None:
    if key.startswith(("kms:encryptioncontext:", "aws:requesttag/")):
        raise errors.overly_permissive_condition()


def are_principals(given: Any, *, federated: bool = False) -> bool:
    """Whether this can stand in a Principal or NotPrincipal element.

    `federated` for a role's trust policy, which may name identity providers too.
    """
    if given == "*":
        return True
    if not isinstance(given, dict) or not given:
        return False
    for kind, value in given.items():
        pattern = {"AWS": _AWS_PRINCIPAL, "Service": _SERVICE}.get(kind)
        if federated and kind == "Federated":
            pattern = _PROVIDER
        texts = strings(value)
        if pattern is None or not texts or not all(map(pattern.fullmatch, texts)):
            return False
    return True


def strings(value: Any) -> list[str] | None:
    """The strings of an element that may be one or a list of them; None when it is neither."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return None


def line_of(text: str, index: int) -> int:
    """The line, from 1, on which the statement of that index begins."""
    decoder = json.JSONDecoder()
    match = re.search(r'"Statement"\s*:\s*', text)
    if match is None:
        return 1
    at = match.end()
    if text[at] == "[":
        at = _after_space(text, at + 1)
        for _ in range(index):
            _, at = decoder.raw_decode(text, at)
            at = _after_space(text, _after_space(text, at) + 1)  # the comma
    return text.count("\n", 0, at) + 1


def _after_space(text: str, at: int) -> int:
    while text[at].isspace():
        at += 1
    return at
