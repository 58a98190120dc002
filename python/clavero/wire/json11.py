"""AWS JSON 1.1 as KMS speaks it: from bodies to parameters, and from answers to bodies. Pure.

Source: the Smithy specification of awsJson1_1 (X-Amz-Target names the operation, blobs are base64,
timestamps epoch seconds, `__type` names an error), and botocore's serializer and parser, of which
this is the inverse. Of AWS's own words for what is no JSON only one is known: `'Foo' can not be
converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 3`, under
`Message` (github.com/pplu/aws-sdk-perl/issues/81); the value is left out here, it may be a secret.
"""

from __future__ import annotations

import binascii
import json
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

from clavero._native import read_json, write_json
from clavero.model import errors
from clavero.model.errors import KMSError
from clavero.model.fastcheck import is_timestamp
from clavero.model.generated import TARGET_PREFIX
from clavero.model.operations import OPERATIONS, Operation
from clavero.model.shapes import Shape

CONTENT_TYPE: Final = "application/x-amz-json-1.1"

# The largest request of the model is an attestation document of 256 KiB, in base64.
MAX_BODY: Final = 1 << 20
# The model nests five deep. More is cut off before anything recurses over it.
MAX_DEPTH: Final = 32

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
# AWS's front end words these, not KMS: their text is under a capital.
_CAPITAL: Final = frozenset({"AccessDeniedException", "SerializationException"})


# --- requests ------------------------------------------------------------------------------------


def operation_of(target: str | None, content_type: str | None = CONTENT_TYPE) -> Operation:
    """The operation that the headers X-Amz-Target and Content-Type ask for.

    Raises KMSError UnknownOperationException for another service, version or protocol.
    """
    prefix, _, name = (target or "").partition(".")
    operation = OPERATIONS.get(name)
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if prefix != TARGET_PREFIX or operation is None or media_type != CONTENT_TYPE:
        raise errors.unknown_operation()
    return operation


def decode(operation: Operation, body: bytes) -> dict[str, Any]:
    """The parameters that a body holds: bytes for blobs, aware datetimes for timestamps.

    What has another type than the model's is left as JSON has it, and nulls are left in:
    `Operation.validated` words the refusal. Raises KMSError SerializationException for what is no
    JSON object in UTF-8, says a name twice, nests deeper than MAX_DEPTH, or holds a blob that is
    no base64; with status 413 for more than MAX_BODY bytes.
    """
    if len(body) > MAX_BODY:
        raise KMSError(
            "SerializationException",
            f"The request has {len(body)} bytes, and KMS takes {MAX_BODY} at most.",
            http_status=413,
        )
    params: Any = read_json(body)
    if params is None:
        params = _read_closely(operation, body)
    convert = _converter(operation.input)
    if convert is not None:
        converted: dict[str, Any] = convert(params, "")
        return converted
    found: dict[str, Any] = params
    return found


def _read_closely(operation: Operation, body: bytes) -> dict[str, Any]:
    """Read what the extension's reader leaves: refuse it with what is wrong, or take it."""
    try:
        params = _read(str(body, "utf-8"))
    except UnicodeDecodeError as error:
        raise errors.serialization(
            f"The request is not UTF-8: byte {error.start} cannot stand there."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # JSONDecodeError, and an integer of thousands of digits
        raise errors.serialization(f"The request is not JSON: {error}.") from None
    # A bracket inside a string counts too, which costs a walk and nothing else.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _check_depth(params, MAX_DEPTH)
    if params is None:
        return {}
    if type(params) is not dict:
        problem = operation.explain(params)
        assert problem is not None, "a structure is a dict"
        raise KMSError(problem.code, problem.message)
    found: dict[str, Any] = params
    return found


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Two readers of one body could take different members: nobody gets to choose.
        raise errors.serialization(
            "The request is not JSON that means one thing: a member stands twice in an object."
        )
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_read: Final = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant).decode


def _too_deep() -> KMSError:
    return errors.serialization(f"The request nests deeper than {MAX_DEPTH} levels.")


def _check_depth(value: Any, left: int) -> None:
    if type(value) is dict:
        items: Any = value.values()
    elif type(value) is list:
        items = value
    else:
        return
    if left == 0:
        raise _too_deep()
    for item in items:
        _check_depth(item, left - 1)


_Converter = Callable[[Any, str], Any]
_converters: dict[str, _Converter | None] = {}


def _converter(shape: Shape) -> _Converter | None:
    """What makes the model's types of JSON's, in place; None where they are the same.

    It takes the value and AWS's name of its place. Shapes of the API's inputs do not recurse.
    """
    if shape.name not in _converters:
        _converters[shape.name] = _compiled(shape)
    return _converters[shape.name]


def _compiled(shape: Shape) -> _Converter | None:
    if shape.type == "blob":
        return _blob
    if shape.type == "timestamp":
        return _timestamp
    if shape.type == "structure":
        members = {
            name: (convert, f"{name[0].lower()}{name[1:]}")
            for name, member in shape.members.items()
            if (convert := _converter(member)) is not None
        }
        return _structure(members) if members else None
    parts = (shape.member, shape.key, shape.value)
    # No list or map of the API holds a blob or a time; tests/wire holds the model to that.
    assert all(part is None or _converter(part) is None for part in parts), shape.name
    return None


def _structure(members: Mapping[str, tuple[_Converter, str]]) -> _Converter:
    def convert(value: Any, path: str) -> Any:
        if type(value) is dict:
            for name in members.keys() & value.keys():
                member, where = members[name]
                value[name] = member(value[name], f"{path}.{where}" if path else where)
        return value

    return convert


def _blob(value: Any, path: str) -> Any:
    if type(value) is not str:
        return value
    if len(value) % 4:
        why = f"Base64 encoded length is expected a multiple of 4 bytes but found: {len(value)}"
    else:
        try:
            return a2b_base64(value, strict_mode=True)
        except (binascii.Error, ValueError):  # ValueError: not even ASCII
            why = "it is not base64"
    raise errors.serialization(f"The value can not be converted to a Blob: {why} (at '{path}')")


def _timestamp(value: Any, path: str) -> Any:
    number = type(value) is int or type(value) is float
    return datetime.fromtimestamp(value, UTC) if number and is_timestamp(value) else value


# --- answers -------------------------------------------------------------------------------------


def encode(operation: Operation, response: Mapping[str, Any]) -> bytes:
    """The body of an answer: nothing at all for an operation that answers with an empty body."""
    if operation.output is None:
        return b""
    return write_json(response, _plain)


def encode_error(error: KMSError) -> bytes:
    """The body of a refusal: its type, its text where it has one, its modelled members."""
    body: dict[str, Any] = {"__type": error.code, **error.members}
    if error.message:
        body["Message" if error.code in _CAPITAL else "message"] = error.message
    return write_json(body, _plain)


def _plain(value: Any) -> Any:
    """What JSON has for a value that it does not have."""
    if isinstance(value, datetime):
        # AWS's times have milliseconds, and whole seconds no fraction.
        milliseconds = (value - _EPOCH) // _MILLISECOND
        return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"a {type(value).__name__} is no value of the KMS API")
