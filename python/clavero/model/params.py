"""Checks that boto3 makes before it sends: the in-process client reports the same, word for word.

The wording is botocore's (botocore/validate.py), whose callers parse it. One value is taken that
botocore refuses: a memoryview for a blob, so that a caller need not copy.
A timestamp string is read as ISO 8601, RFC 822 or epoch seconds; botocore's dateutil guesses more.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from clavero.model.fastcheck import is_timestamp, is_unicode
from clavero.model.shapes import Shape

if TYPE_CHECKING:
    from clavero.model.operations import Operation

# How botocore's ParamValidationError begins; the report follows.
PREFIX: Final = "Parameter validation failed:\n"

_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list, tuple),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
}
_BLOB_TYPES = ", ".join((str(bytes), str(bytearray), "file-like object"))
_TIMESTAMP_TYPES = f"{datetime}, timestamp-string"


def parameter_report(operation: Operation, params: object) -> str | None:
    """What botocore's ParamValidator reports of the keyword arguments, one line each, or None.

    The text is that of `generate_report()`: `ParamValidationError(report=...)` puts PREFIX first.
    """
    return "\n".join(_errors(operation.input, params, "")) or None


def client_values(operation: Operation, params: dict[str, Any]) -> dict[str, Any]:
    """Arguments without a report, as botocore's serializer would send them.

    A str for a blob becomes its UTF-8 bytes, a file-like object what it reads, a timestamp string
    a datetime. ValueError when a file-like object reads something else than str or bytes.
    """
    value: dict[str, Any] = _sent(operation.input, params)
    return value


def _errors(shape: Shape, value: Any, name: str) -> Iterator[str]:
    kind = shape.type
    valid = _TYPES.get(kind)
    if valid is not None and not isinstance(value, valid):
        yield _invalid_type(name, value, ", ".join(str(t) for t in valid))
    elif kind == "structure":
        yield from _structure_errors(shape, value, name)
    elif kind == "list":
        assert shape.member is not None
        yield from _range_error(shape, len(value), "length", name)
        for index, item in enumerate(value):
            yield from _errors(shape.member, item, f"{name}[{index}]")
    elif kind == "map":
        assert shape.key is not None and shape.value is not None
        for key, item in value.items():
            yield from _errors(shape.key, key, f"{name} (key: {_text(key)})")
            yield from _errors(shape.value, item, f"{name}.{_text(key)}")
    elif kind == "string":
        yield from _range_error(shape, len(value), "length", name)
    elif kind == "integer":
        yield from _range_error(shape, value, "value", name)
    elif kind == "blob" and not _is_blob(value):
        yield _invalid_type(name, value, _BLOB_TYPES)
    elif kind == "timestamp" and _timestamp(value) is None:
        yield _invalid_type(name, value, _TIMESTAMP_TYPES)


def _structure_errors(shape: Shape, params: dict[Any, Any], name: str) -> Iterator[str]:
    for required in shape.required:
        if required not in params:
            yield f'Missing required parameter in {_shown(name)}: "{required}"'
    for key in params:
        if key not in shape.members:
            known = ", ".join(shape.members)
            yield (f'Unknown parameter in {_shown(name)}: "{_text(key)}", must be one of: {known}')
    for key, value in params.items():
        if key in shape.members:
            yield from _errors(shape.members[key], value, f"{name}.{_text(key)}")


def _range_error(shape: Shape, value: int, measure: str, name: str) -> Iterator[str]:
    if shape.min is not None and value < shape.min:
        yield (
            f"Invalid {measure} for parameter {_shown(name)}, value: {_text(value)}, "
            f"valid min {measure}: {shape.min}"
        )


def _invalid_type(name: str, value: object, valid: str) -> str:
    return (
        f"Invalid type for parameter {_shown(name)}, value: {_text(value)}, "
        f"type: {type(value)}, valid types: {valid}"
    )


def _shown(name: str) -> str:
    """botocore's name of a place: `input` for the whole, no dot in front of the others."""
    return name.removeprefix(".") or "input"


def _text(value: object) -> str:
    """The value as botocore prints it, or its type.

    Python does not print integers of thousands of digits or lists in a thousand lists, and an
    object of the caller's may raise anything.
    """
    try:
        return f"{value}"
    except Exception:  # noqa: BLE001 (the report of one mistake must not end in another)
        why = "too large" if isinstance(value, int) else "impossible"
        return f"<{type(value).__name__} {why} to print>"


def _is_blob(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview | str) or hasattr(value, "read")


def _timestamp(value: object) -> Any:
    """A datetime or number that the value stands for, or None."""
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, str):
        return value if is_timestamp(value) else None
    for read in (_epoch, datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = read(value)
        except (ValueError, TypeError, OverflowError):
            continue
        # botocore takes a time without a zone as UTC, never as local time.
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return None


def _epoch(text: str) -> datetime:
    seconds = float(text)
    if not is_timestamp(seconds):
        raise ValueError(text)
    return datetime.fromtimestamp(seconds, UTC)


def _sent(shape: Shape, value: Any) -> Any:
    if shape.type == "structure":
        return {name: _sent(shape.members[name], item) for name, item in value.items()}
    if shape.type == "list":
        assert shape.member is not None
        return [_sent(shape.member, item) for item in value]
    if shape.type == "timestamp":
        return _timestamp(value)
    if shape.type != "blob":
        return value
    if hasattr(value, "read"):
        value = value.read()
        if not isinstance(value, bytes | bytearray | memoryview | str):
            raise ValueError(
                f"the file-like object for a blob reads {type(value).__name__}: open it in binary"
            )
    # A lone surrogate has no bytes: the str stays one, and is no blob then.
    return value.encode() if isinstance(value, str) and is_unicode(value) else value
