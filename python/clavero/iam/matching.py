"""Patterns of policies: the wildcards `*` and `?`, and policy variables such as `${aws:userid}`.

Source: IAM User Guide, "IAM policy elements: Variables and tags", "IAM JSON policy elements:
Resource"; and AWS's answers recorded in radkawar/stackd ([REC]): `*` crosses line breaks, colons
and slashes, and `?` is one UTF-16 unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

# What is known of a request under the name of a condition key: a text, several, or nothing.
Value: TypeAlias = "str | tuple[str, ...] | None"


class Facts(Protocol):
    """What is known of a request, by the names of condition keys in lower case."""

    def get(self, name: str, /) -> Value:
        """The value; a tuple for a key that is multi-valued, None where the key is absent."""


class BadVariable(ValueError):
    """A `${` that begins no policy variable."""


class _Wildcard(NamedTuple):
    """Any run of characters, or any one; every other sign is the character that it is."""

    run: bool


_RUN: Final = _Wildcard(True)
_ONE: Final = _Wildcard(False)
_Sign: TypeAlias = "str | _Wildcard"


class _Variable(NamedTuple):
    """A policy variable. One without a name is unreadable, and so has no value."""

    name: str
    default: str | None


_VARIABLE: Final = re.compile(
    r"\$\{(?:(?P<sign>[*?$])|\s*(?P<name>[^\s,{}'*?$][^,{}']*?)\s*(?:,\s*'(?P<default>[^']*)'\s*)?)\}"
)


class Pattern:
    """One compiled text of a policy. `exact` where it means itself only, else None."""

    __slots__ = ("_pieces", "_prefix", "_signs", "exact")

    def __init__(self, pieces: Sequence[Sequence[_Sign] | _Variable]) -> None:
        self.exact: str | None = None
        self._prefix: str | None = None
        self._signs: tuple[_Sign, ...] | None = None
        self._pieces: Final = tuple(pieces)
        fixed: list[_Sign] = []
        for piece in pieces:
            if isinstance(piece, _Variable):
                return
            fixed += piece
        signs = tuple(fixed)
        self._signs = signs
        if not any(isinstance(sign, _Wildcard) for sign in signs):
            self.exact = _text(signs)
        elif signs[-1] is _RUN and not any(isinstance(each, _Wildcard) for each in signs[:-1]):
            self._prefix = _text(signs[:-1])

    def matches(self, value: str, facts: Facts) -> bool:
        """Whether the value is what the pattern means. A variable without a value: it is not."""
        if self.exact is not None:
            return value == self.exact
        if self._prefix is not None:
            return value.startswith(self._prefix)
        signs = self.signs(facts)
        return signs is not None and glob(signs, value)

    def matches_arn(self, value: Sequence[str], facts: Facts) -> bool:
        """Whether each of an ARN's six parts is what the pattern's part means."""
        signs = self.signs(facts)
        parts = None if signs is None else _six(signs)
        return parts is not None and all(map(glob, parts, value))

    def text(self, facts: Facts) -> str | None:
        """The text of a pattern without wildcards; None where a variable has no value."""
        if self.exact is not None:
            return self.exact
        signs = self.signs(facts)
        return None if signs is None else _text(signs)

    def signs(self, facts: Facts) -> Sequence[_Sign] | None:
        """The characters and wildcards, with variables replaced; None where one has no value."""
        if self._signs is not None:
            return self._signs
        made: list[_Sign] = []
        for piece in self._pieces:
            if isinstance(piece, _Variable):
                value = facts.get(piece.name.lower()) if piece.name else None
                if value is None:
                    value = piece.default
                if not isinstance(value, str):  # unset, or one of several
                    return None
                made += _units(value)
            else:
                made += piece
        return made


def compile_pattern(
    text: str, *, variables: bool, wildcards: bool = True, strict: bool = False
) -> Pattern:
    """A pattern whose `${...}` are policy variables if `variables`, else what they look like.

    Raises BadVariable if `strict` and a `${` begins no variable; else such a one has no value.
    """
    pieces: list[Sequence[_Sign] | _Variable] = []
    at = 0
    while variables:
        found = text.find("${", at)
        if found < 0:
            break
        pieces.append(_signs(text[at:found], wildcards))
        match = _VARIABLE.match(text, found)
        if match is None:
            if strict:
                raise BadVariable(text[found : found + 64])
            pieces.append(_Variable("", None))
            at = len(text)
        elif match["sign"] is not None:
            pieces.append((match["sign"],))
            at = match.end()
        else:
            pieces.append(_Variable(match["name"], match["default"]))
            at = match.end()
    pieces.append(_signs(text[at:], wildcards))
    return Pattern(pieces)


def compile_resource(text: str, *, variables: bool, strict: bool = False) -> Pattern:
    """A Resource's pattern: variables stand in the resource part only, after the fifth colon."""
    colon = -1
    for _ in range(5):
        colon = text.find(":", colon + 1)
        if colon < 0:
            return compile_pattern(text, variables=False)
    head = compile_pattern(text[: colon + 1], variables=False)
    tail = compile_pattern(text[colon + 1 :], variables=variables, strict=strict)
    return Pattern([*head._pieces, *tail._pieces])  # noqa: SLF001 - of this class


def glob(signs: Sequence[_Sign], value: str) -> bool:
    """Whether the signs take in the whole value.

    In time that is the product of the lengths, whatever the pattern: a regular expression of many
    wildcards would take for ever.
    """
    units = _units(value)
    at = read = 0
    star, resume = -1, 0
    while read < len(units):
        sign = signs[at] if at < len(signs) else None
        if sign is _RUN:
            star, resume = at, read
            at += 1
        elif sign is _ONE or sign == units[read]:
            at += 1
            read += 1
        elif star >= 0:  # the last star takes one unit more
            resume += 1
            at, read = star + 1, resume
        else:
            return False
    return all(sign is _RUN for sign in signs[at:])


def _signs(text: str, wildcards: bool) -> Sequence[_Sign]:
    units = _units(text)
    if not wildcards:
        return tuple(units)
    return tuple(_RUN if unit == "*" else _ONE if unit == "?" else unit for unit in units)


def _units(text: str) -> Sequence[str]:
    """The UTF-16 units, each as a character: the text itself but for what lies beyond U+FFFF."""
    if text.isascii() or max(text) <= "\uffff":
        return text
    packed = text.encode("utf-16-le", "surrogatepass")
    return [chr(packed[at] | packed[at + 1] << 8) for at in range(0, len(packed), 2)]


def _text(signs: Iterable[_Sign]) -> str:
    """Tokens without wildcards, put together again from their UTF-16 units."""
    units = "".join(sign for sign in signs if isinstance(sign, str))
    if units.isascii():
        return units
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _six(signs: Iterable[_Sign]) -> list[list[_Sign]] | None:
    """The signs of an ARN's six parts, the sixth with the colons that it has; None: no ARN."""
    parts: list[list[_Sign]] = [[]]
    for sign in signs:
        if sign == ":" and len(parts) < 6:
            parts.append([])
        else:
            parts[-1].append(sign)
    return parts if len(parts) == 6 else None
