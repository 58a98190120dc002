"""Conditions: every operator, its set operators and IfExists, compiled once and then asked.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Multivalued context
keys"; AWS's answers recorded in radkawar/stackd ([REC]). A plain condition on a multi-valued key
that is present never holds, in whichever form [REC].
"""

from __future__ import annotations

import base64
import binascii
import functools
import ipaddress
import operator
import re
from collections.abc import Callable, Container, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from clavero.iam.condition_keys import MULTI
from clavero.iam.matching import BadVariable, Facts, Pattern, compile_pattern

# Whether one value of a request is among a policy's values; None where it is no value of the
# operator's kind and so neither among them nor not among them.
_Test: TypeAlias = Callable[[str, Facts], "bool | None"]
# The name of no condition key: what has it is never there.
ABSENT: Final = ""

_Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_DATE: Final = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2})))?)?)?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Longer numbers are no times, periods or counts; the bound keeps comparing them quick.
_DIGITS: Final = 64


class Condition(Protocol):
    """One key under one operator. All of a statement's must hold."""

    @property
    def key(self) -> str:
        """The condition key in lower case."""

    def holds(self, facts: Facts) -> bool:
        """Whether it does for this request."""


class _Compared:
    """Any operator but Null."""

    __slots__ = ("_forall", "_if_exists", "_negated", "_set", "_test", "key")

    def __init__(self, key: str, operator_: Operator, test: _Test) -> None:
        self.key: Final = key
        self._test: Final = test
        self._negated: Final = operator_.negated
        self._set: Final = operator_.set_operator is not None
        self._forall: Final = operator_.set_operator == "ForAllValues"
        self._if_exists: Final = operator_.if_exists

    def holds(self, facts: Facts) -> bool:
        value = facts.get(self.key)
        if value is None or value == ():
            if self._forall or self._if_exists:
                return True
            return self._negated and not self._set
        several = value if isinstance(value, tuple) else (value,)
        if self._set:
            combine = all if self._forall else any
            return combine(self._one(each, facts) for each in several)
        if isinstance(value, tuple) or self.key in MULTI:
            return False
        return self._one(value, facts)

    def _one(self, value: str, facts: Facts) -> bool:
        found = self._test(value, facts)
        return found is not None and found != self._negated


class _Null:
    """Null: whether the key is absent."""

    __slots__ = ("_wanted", "key")

    def __init__(self, key: str, values: Iterable[str]) -> None:
        self.key: Final = key
        self._wanted: Final = {{"true": True, "false": False}.get(each.lower()) for each in values}

    def holds(self, facts: Facts) -> bool:
        value = facts.get(self.key)
        return (value is None or value == ()) in self._wanted


class _Unreadable:
    """An operator that is not one: it holds only where that refuses something."""

    __slots__ = ("_holds", "key")

    def __init__(self, key: str, *, holds: bool) -> None:
        self.key: Final = key
        self._holds: Final = holds

    def holds(self, facts: Facts) -> bool:
        return self._holds


class Operator(NamedTuple):
    """`ForAnyValue:StringNotLikeIfExists`, taken apart."""

    base: str
    negated: bool
    set_operator: str | None
    if_exists: bool


def parse_operator(name: str) -> Operator | None:
    """The operator of that name, or None where there is no such one."""
    set_operator, colon, rest = name.rpartition(":")
    if colon and set_operator not in ("ForAllValues", "ForAnyValue"):
        return None
    base = rest.removesuffix("IfExists")
    if base == "Null":
        return Operator("Null", False, None, False) if name == "Null" else None
    made = _FAMILIES.get(base)
    if made is None:
        return None
    return Operator(base, made.negated, set_operator or None, base != rest)


def compile_conditions(
    block: Mapping[str, Mapping[str, Any]],
    *,
    variables: bool,
    allows: bool,
    absent: Container[str] = (),
) -> tuple[Condition, ...]:
    """The conditions of a statement.

    `allows` says which way an unreadable one must fall, `absent` which keys policies of this kind
    never find.
    """
    named = (
        (name, key.lower(), texts(values))
        for name, keys in block.items()
        for key, values in keys.items()
    )
    return tuple(
        _compiled(
            name,
            ABSENT if key in absent else key,
            values,
            variables=variables,
            allows=allows,
        )
        for name, key, values in named
    )


def _compiled(
    name: str, key: str, values: list[str], *, variables: bool, allows: bool
) -> Condition:
    parsed = parse_operator(name)
    if parsed is None:
        return _Unreadable(key, holds=not allows)
    if parsed.base == "Null":
        return _Null(key, values)
    return _Compared(key, parsed, _FAMILIES[parsed.base].compile(values, variables))


def texts(values: Any) -> list[str]:
    """The values of a condition as texts: JSON's booleans and numbers are values too."""
    return [_text(each) for each in (values if isinstance(values, list) else [values])]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(Decimal(repr(value)), "f")


def check_variables(name: str, values: Any) -> None:
    """Raises BadVariable for a value with a `${` that begins no policy variable."""
    parsed = parse_operator(name)
    if parsed is not None and parsed.base.startswith(("String", "Arn", "Bool")):
        for value in texts(values):
            compile_pattern(value, variables=True, strict=True)


# --- strings -------------------------------------------------------------------------------------


def _strings(values: list[str], variables: bool) -> _Test:
    patterns = [compile_pattern(each, variables=variables, wildcards=False) for each in values]
    exact = frozenset(each.exact for each in patterns if each.exact is not None)
    open_ = [each for each in patterns if each.exact is None]
    if not open_:
        return lambda value, _facts: value in exact
    return lambda value, facts: value in exact or _any(open_, value, facts)


def _strings_folded(values: list[str], variables: bool) -> _Test:
    patterns = [compile_pattern(each, variables=variables, wildcards=False) for each in values]

    def test(value: str, facts: Facts) -> bool:
        folded = value.lower()
        expanded = (pattern.text(facts) for pattern in patterns)
        return any(text is not None and text.lower() == folded for text in expanded)

    return test


def _like(values: list[str], variables: bool) -> _Test:
    patterns = [compile_pattern(each, variables=variables) for each in values]
    return lambda value, facts: _any(patterns, value, facts)


def _any(patterns: list[Pattern], value: str, facts: Facts) -> bool:
    return any(pattern.matches(value, facts) for pattern in patterns)


# --- numbers and dates ---------------------------------------------------------------------------


@functools.lru_cache(1024)
def _number(text: str) -> Decimal | None:
    if len(text) > _DIGITS or _NUMBER.fullmatch(text) is None:
        return None
    return Decimal(text)


@functools.lru_cache(1024)
def _date(text: str) -> int | None:
    """Milliseconds since the epoch, of epoch seconds or of W3C's profile of ISO 8601."""
    number = _number(text)
    if number is not None:
        return int((number * 1000).to_integral_value(rounding="ROUND_FLOOR"))
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(each or "0") for each in match.groups()[:6])
    fraction = ((match[7] or "") + "000")[:3]
    try:
        at = datetime(year, month or 1, day or 1, hour, minute, second, tzinfo=UTC)
        if match[8]:
            ahead = timedelta(hours=int(match[9]), minutes=int(match[10]))
            at = at - ahead if match[8] == "+" else at + ahead
    except (ValueError, OverflowError):
        return None
    return (at - _EPOCH) // timedelta(milliseconds=1) + int(fraction)


def _ordered(
    read: Callable[[str], Any], compare: Callable[[Any, Any], bool]
) -> Callable[[list[str], bool], _Test]:
    def compile_(values: list[str], variables: bool) -> _Test:
        wanted = [made for made in map(read, values) if made is not None]

        def test(value: str, facts: Facts) -> bool:
            given = read(value)
            return given is not None and any(compare(given, each) for each in wanted)

        return test

    return compile_


# --- the rest ------------------------------------------------------------------------------------


def _bools(values: list[str], variables: bool) -> _Test:
    patterns = [compile_pattern(each, variables=variables, wildcards=False) for each in values]

    def test(value: str, facts: Facts) -> bool:
        given = value.lower() == "true"
        expanded = (pattern.text(facts) for pattern in patterns)
        return any(text is not None and (text.lower() == "true") == given for text in expanded)

    return test


def _binaries(values: list[str], variables: bool) -> _Test:
    wanted = set()
    for value in values:
        try:
            wanted.add(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            continue  # it is no bytes, and so nobody's
    return lambda value, _facts: value.encode("utf-8", "surrogatepass") in wanted


@functools.lru_cache(1024)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if "%" in text:
        return None
    try:
        made = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = made.ipv4_mapped if made.version == 6 else None
    return mapped or made


def _network(text: str) -> _Network | None:
    """An address or a range. Host bits: ignored in IPv4; with them, no range in IPv6 [REC]."""
    base, slash, bits = text.partition("/")
    if "%" in base or (slash and not (bits.isascii() and bits.isdigit() and len(bits) <= 3)):
        return None
    try:
        return ipaddress.ip_network(text, strict=":" in base)
    except ValueError:
        return None


def _addresses(values: list[str], variables: bool) -> _Test:
    networks = [made for made in map(_network, values) if made is not None]

    def test(value: str, facts: Facts) -> bool | None:
        address = _address(value)
        if address is None:
            return None
        return any(address in network for network in networks)

    return test


def _arns(values: list[str], variables: bool) -> _Test:
    patterns = [compile_pattern(each, variables=variables) for each in values]

    def test(value: str, facts: Facts) -> bool | None:
        parts = value.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn":
            return None
        return any(pattern.matches_arn(parts, facts) for pattern in patterns)

    return test


class _Family(NamedTuple):
    """How an operator's values are compiled, and whether it asks for those that do not match."""

    compile: Callable[[list[str], bool], _Test]
    negated: bool = False


_COMPARISONS: Final = (
    ("Equals", operator.eq),
    ("LessThan", operator.lt),
    ("LessThanEquals", operator.le),
    ("GreaterThan", operator.gt),
    ("GreaterThanEquals", operator.ge),
)
_FAMILIES: Final[Mapping[str, _Family]] = {
    "StringEquals": _Family(_strings),
    "StringNotEquals": _Family(_strings, True),
    "StringEqualsIgnoreCase": _Family(_strings_folded),
    "StringNotEqualsIgnoreCase": _Family(_strings_folded, True),
    "StringLike": _Family(_like),
    "StringNotLike": _Family(_like, True),
    **{f"Numeric{name}": _Family(_ordered(_number, each)) for name, each in _COMPARISONS},
    "NumericNotEquals": _Family(_ordered(_number, operator.eq), True),
    **{f"Date{name}": _Family(_ordered(_date, each)) for name, each in _COMPARISONS},
    "DateNotEquals": _Family(_ordered(_date, operator.eq), True),
    "Bool": _Family(_bools),
    "BinaryEquals": _Family(_binaries),
    "IpAddress": _Family(_addresses),
    "NotIpAddress": _Family(_addresses, True),
    "ArnEquals": _Family(_arns),
    "ArnLike": _Family(_arns),
    "ArnNotEquals": _Family(_arns, True),
    "ArnNotLike": _Family(_arns, True),
}
OPERATORS: Final = frozenset(_FAMILIES) | {"Null"}

__all__ = [
    "OPERATORS", "BadVariable", "Condition", "Operator", "check_variables", "compile_conditions",
    "parse_operator", "texts",
]  # fmt: skip
