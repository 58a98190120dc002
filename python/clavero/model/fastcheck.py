"""The fast answer to one question: do these parameters satisfy the model?"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from clavero.model.patterns import compile_pattern
from clavero.model.shapes import ASCII_ONLY, Shape

# Seconds since the epoch of the years 1 to 9999, which is what a datetime holds.
_FIRST_TIMESTAMP = -62_135_596_800
_LAST_TIMESTAMP = 253_402_300_799


def is_unicode(text: str) -> bool:
    r"""Whether the text has a UTF-8 form: JSON's `\ud800` makes a str that has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def blob_length(value: object) -> int | None:
    """Bytes in a bytes, bytearray or memoryview; None for anything else, or an unusable view."""
    kind = type(value)
    if kind is bytes or kind is bytearray:
        return len(value)  # type: ignore[arg-type]
    if isinstance(value, memoryview):
        try:
            return value.nbytes if value.contiguous else None
        except ValueError:  # released
            return None
    return None


def is_timestamp(value: object) -> bool:
    """A datetime, or a finite number of epoch seconds that a datetime can hold."""
    if isinstance(value, datetime):
        return True
    kind = type(value)
    if kind is int or kind is float:
        return _FIRST_TIMESTAMP <= value <= _LAST_TIMESTAMP  # type: ignore[operator]
    return False


def canonical(shape: Shape, value: Any) -> Any:
    """The value in the exact types that the closures and the operations expect.

    A str, int, bytes or dict subclass (an enum member hashes unlike its value) becomes its base
    type, a tuple a list, and a null member of a structure is left out, as AWS reads a JSON null.
    What does not fit the shape is returned as it is, for `explain` to name.
    """
    kind = shape.type
    if kind == "structure" and isinstance(value, dict):
        members = shape.members
        return {
            _plain(name): canonical(members[name], item) if name in members else item
            for name, item in value.items()
            if item is not None
        }
    if kind == "map" and isinstance(value, dict):
        assert shape.key is not None and shape.value is not None
        return {canonical(shape.key, k): canonical(shape.value, v) for k, v in value.items()}
    if kind == "list" and isinstance(value, list | tuple):
        assert shape.member is not None
        return [canonical(shape.member, item) for item in value]
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool | memoryview | datetime):
        return value
    bases: tuple[Callable[[Any], Any], ...] = (int, float, bytes, bytearray)
    for base in bases:
        if isinstance(value, base) and type(value) is not base:  # type: ignore[arg-type]
            return base(value)
    return value


def compile_exact(shape: Shape) -> Callable[[Any], bool]:
    """A closure that is true iff its argument is canonical and satisfies the shape."""
    return _COMPILERS[shape.type](shape)


def compile_accepts(shape: Shape) -> Callable[[Any], bool]:
    """As `compile_exact`, but a value that fails is tried once more in its canonical form."""
    exact = compile_exact(shape)

    def accepts(value: Any) -> bool:
        return exact(value) or exact(canonical(shape, value))

    return accepts


def _bounds(shape: Shape) -> tuple[int, int]:
    low = 0 if shape.min is None else shape.min
    return low, sys.maxsize if shape.max is None else shape.max


def _string(shape: Shape) -> Callable[[Any], bool]:
    low, high = _bounds(shape)
    if shape.enum:
        values = frozenset(shape.enum)
        return lambda value: type(value) is str and value in values
    if shape.name in ASCII_ONLY:
        return lambda value: type(value) is str and low <= len(value) <= high and value.isascii()
    if shape.pattern is not None:
        match = compile_pattern(shape.pattern).fullmatch
        return lambda value: (
            type(value) is str
            and low <= len(value) <= high
            and match(value) is not None
            and (value.isascii() or is_unicode(value))
        )
    if shape.min is None and shape.max is None:
        return lambda value: type(value) is str and (value.isascii() or is_unicode(value))
    return lambda value: (
        type(value) is str and low <= len(value) <= high and (value.isascii() or is_unicode(value))
    )


def _blob(shape: Shape) -> Callable[[Any], bool]:
    low, high = _bounds(shape)

    def check(value: Any) -> bool:
        if type(value) is bytes:
            return low <= len(value) <= high
        length = blob_length(value)
        return length is not None and low <= length <= high

    return check


def _integer(shape: Shape) -> Callable[[Any], bool]:
    low = -sys.maxsize if shape.min is None else shape.min
    high = sys.maxsize if shape.max is None else shape.max
    return lambda value: type(value) is int and low <= value <= high


def _boolean(shape: Shape) -> Callable[[Any], bool]:
    return lambda value: value is True or value is False


def _timestamp(shape: Shape) -> Callable[[Any], bool]:
    return is_timestamp


def _list(shape: Shape) -> Callable[[Any], bool]:
    assert shape.member is not None
    low, high = _bounds(shape)
    member = compile_exact(shape.member)

    def check(value: Any) -> bool:
        if type(value) is not list or not low <= len(value) <= high:
            return False
        for item in value:  # noqa: SIM110 - a generator costs more than the loop
            if not member(item):
                return False
        return True

    return check


def _unconstrained(shape: Shape) -> bool:
    bounded = shape.min is not None or shape.max is not None
    return shape.type == "string" and not (shape.enum or shape.pattern or bounded)


def _map(shape: Shape) -> Callable[[Any], bool]:
    assert shape.key is not None and shape.value is not None
    key_check = compile_exact(shape.key)
    value_check = compile_exact(shape.value)

    def check(pairs: Any) -> bool:
        if type(pairs) is not dict:
            return False
        for key, value in pairs.items():  # noqa: SIM110 - a generator costs more than the loop
            if not (key_check(key) and value_check(value)):
                return False
        return True

    def check_strings(pairs: Any) -> bool:
        if type(pairs) is not dict:
            return False
        for key in pairs:  # cheaper than items() for the few pairs of a context
            value = pairs[key]
            if type(key) is not str or type(value) is not str:
                return False
            if not (key.isascii() and value.isascii()) and not (
                is_unicode(key) and is_unicode(value)
            ):
                return False
        return True

    # The encryption context is on the path of every data key: two calls a pair less.
    plain = _unconstrained(shape.key) and _unconstrained(shape.value)
    return check_strings if plain else check


def _structure(shape: Shape) -> Callable[[Any], bool]:
    check_of = {name: compile_exact(member) for name, member in shape.members.items()}.get
    required = frozenset(shape.required)
    only = shape.required[0] if len(required) == 1 else None

    def check(params: Any) -> bool:
        if type(params) is not dict:
            return False
        for name in params:
            member = check_of(name)
            if member is None or not member(params[name]):
                return False
        if only is not None:
            return only in params
        return not required or required <= params.keys()

    return check


_COMPILERS: dict[str, Callable[[Shape], Callable[[Any], bool]]] = {
    "string": _string,
    "blob": _blob,
    "integer": _integer,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "list": _list,
    "map": _map,
    "structure": _structure,
}
