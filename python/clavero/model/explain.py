r"""Why parameters break the model, in the words of AWS's Validation- and SerializationException.

Texts of validation errors, as AWS sends them:

* `1 validation error detected: Value '0' at 'numberOfBytes' failed to satisfy constraint: Member
  must have value greater than or equal to 1`, `Value 'INVALID' at 'macAlgorithm' ... Member must
  satisfy enum value set: [...]` and, for a sensitive member, `Value at 'plaintext' failed ...
  Member must have length less than or equal to 4096`: recorded from AWS KMS in localstack's
  tests/aws/services/kms/test_kms.snapshot.json.
* `2 validation errors detected: Value '' at 'keyId' failed to satisfy constraint: Member must have
  length greater than or equal to 1; Value '' at 'keyId' failed ... Member must satisfy regular
  expression pattern: ^\p{ASCII}+$`; `Value at 'ciphertextBlob' failed ...` for a blob, and `Value
  null at 'mac'` for one that is missing, but `Value at 'message'` where it is sensitive: measured
  in us-east-1 for github.com/floci-io/floci/pull/3968.
* AWS lists the values of an enum in an order of its own; it is the model's unless _LISTED has it.
* List members as 'tags.1.member.tagKey', counted from 1: AWS IAM, Firehose and DynamoDB in many
  public reports.
* `Value '{a=b}' at 'tags' failed to satisfy constraint: Map value must satisfy constraint: [A, B]`:
  github.com/SWO-GS/auto-tag/issues/77.

Serialization errors keep the wording of AWS's JSON reader (`STRING_VALUE can not be converted to an
Integer`: AWS CodeDeploy) and add where. No recording of KMS's own is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal, NamedTuple

from clavero.model.fastcheck import blob_length, canonical, is_timestamp, is_unicode
from clavero.model.patterns import compile_pattern
from clavero.model.shapes import ASCII_ONLY, ASCII_PATTERN, Shape

# A message stays small whatever was sent: it goes into answers, audit records and logs.
ECHO_LIMIT = 256
PROBLEM_LIMIT = 10

_NOT_NULL = "Member must not be null"
# What AWS lists for some enums, from the two recordings named above. The keySpec of a data key is
# one of AES_256 and AES_128, and what AWS lists instead is its own.
_LISTED = {
    "MacAlgorithmSpec": "HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512",
    "EncryptionAlgorithmSpec": "RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE, SYMMETRIC_DEFAULT",
    "SigningAlgorithmSpec": (
        "RSASSA_PSS_SHA_256, RSASSA_PSS_SHA_384, RSASSA_PSS_SHA_512, RSASSA_PKCS1_V1_5_SHA_256, "
        "RSASSA_PKCS1_V1_5_SHA_384, RSASSA_PKCS1_V1_5_SHA_512, ECDSA_SHA_256, ECDSA_SHA_384, "
        "ECDSA_SHA_512, ED25519_SHA_512, ED25519_PH_SHA_512, SM2DSA, ML_DSA_SHAKE_256"
    ),
    "DataKeySpec": (
        "RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521, "
        "ECC_SECG_P256K1, ECC_NIST_EDWARDS25519, SYMMETRIC_DEFAULT, HMAC_224, HMAC_256, HMAC_384, "
        "HMAC_512, SM2, ML_DSA_44, ML_DSA_65, ML_DSA_87"
    ),
}


class Problem(NamedTuple):
    """Why parameters are refused. `code` is the AWS error code, `message` AWS's text."""

    kind: Literal["serialization", "validation"]
    message: str

    @property
    def code(self) -> str:
        return "ValidationException" if self.kind == "validation" else "SerializationException"


def explain(shape: Shape, params: object) -> Problem | None:
    """What is wrong with the parameters, or None. A serialization problem comes before any other.

    At most PROBLEM_LIMIT validation errors are told.
    """
    told: list[str] = []
    for kind, text in _problems(shape, canonical(shape, params), ""):
        if kind == "serialization":
            return Problem("serialization", text)
        if len(told) < PROBLEM_LIMIT:
            told.append(text)
    if not told:
        return None
    count = "1 validation error" if len(told) == 1 else f"{len(told)} validation errors"
    return Problem("validation", f"{count} detected: {'; '.join(told)}")


_Finding = tuple[Literal["serialization", "validation"], str]


def _problems(shape: Shape, value: Any, path: str) -> Iterator[_Finding]:
    """Every problem of one value. A value of the wrong type has that problem alone."""
    wrong = _wrong_type(shape, value)
    if wrong is not None:
        yield "serialization", f"{wrong} (at '{path}')" if path else wrong
        return
    for constraint in _broken(shape, value):
        yield "validation", _failure(shape, value, path, constraint)
    if shape.type == "structure":
        yield from _structure_problems(shape, value, path)
    elif shape.type == "list":
        assert shape.member is not None
        for number, item in enumerate(value, start=1):
            yield from _member_problems(shape.member, item, f"{path}.{number}.member")
    elif shape.type == "map":
        yield from _map_problems(shape, value, path)


def _structure_problems(shape: Shape, params: dict[Any, Any], path: str) -> Iterator[_Finding]:
    for name in params:
        if name not in shape.members:
            known = ", ".join(shape.members) or "none"
            text = f"Unknown parameter {shown(name)!r}, must be one of: {known}"
            yield "serialization", f"{text} (at '{path}')" if path else text
    prefix = f"{path}." if path else ""
    for name, member in shape.members.items():
        where = f"{prefix}{name[0].lower()}{name[1:]}"
        if name in params:
            yield from _problems(member, params[name], where)
        elif name in shape.required:
            yield "validation", _failure(member, None, where, _NOT_NULL)


def _member_problems(shape: Shape, value: Any, path: str) -> Iterator[_Finding]:
    if value is None:
        yield "validation", _failure(shape, None, path, _NOT_NULL)
    else:
        yield from _problems(shape, value, path)


def _map_problems(shape: Shape, pairs: dict[Any, Any], path: str) -> Iterator[_Finding]:
    """AWS names the whole map and all constraints of its keys or values, once for each."""
    assert shape.key is not None and shape.value is not None
    for what, part, items in (
        ("keys", shape.key, pairs.keys()),
        ("value", shape.value, pairs.values()),
    ):
        failed = False
        for item in items:
            wrong = None if item is None else _wrong_type(part, item)
            if wrong is not None:
                yield "serialization", f"{wrong} (at '{path}')"
            elif item is None or any(_broken(part, item)):
                failed = True
        if failed:
            constraints = ", ".join(_constraints(part)) or _NOT_NULL
            text = f"Map {what} must satisfy constraint: [{constraints}]"
            yield "validation", _failure(shape, pairs, path, text)


def _failure(shape: Shape, value: Any, path: str, constraint: str) -> str:
    if _is_sensitive(shape) or (shape.type == "blob" and value is not None):
        told = "Value"
    elif value is None:
        told = "Value null"
    else:
        told = f"Value '{_echo(value)}'"
    return f"{told} at '{path}' failed to satisfy constraint: {constraint}"


def _is_sensitive(shape: Shape) -> bool:
    parts = (shape.member, shape.key, shape.value)
    return shape.sensitive or any(part is not None and _is_sensitive(part) for part in parts)


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    """The constraints that a value of the right type does not satisfy, in AWS's words and order."""
    if shape.enum and value not in shape.enum:
        yield _enum(shape)
    if shape.min is not None or shape.max is not None:
        size, measure = _size(shape, value)
        if shape.max is not None and size > shape.max:
            yield f"Member must have {measure} less than or equal to {shape.max}"
        if shape.min is not None and size < shape.min:
            yield f"Member must have {measure} greater than or equal to {shape.min}"
    if shape.pattern is not None and compile_pattern(shape.pattern).fullmatch(value) is None:
        yield f"Member must satisfy regular expression pattern: {shape.pattern}"
    if shape.name in ASCII_ONLY and not (value and value.isascii()):
        yield f"Member must satisfy regular expression pattern: {ASCII_PATTERN}"


def _enum(shape: Shape) -> str:
    listed = _LISTED.get(shape.name) or ", ".join(shape.enum)
    return f"Member must satisfy enum value set: [{listed}]"


def _constraints(shape: Shape) -> Iterator[str]:
    """All constraints of a shape, in the order of the map errors that AWS sends."""
    measure = "value" if shape.type == "integer" else "length"
    if shape.max is not None:
        yield f"Member must have {measure} less than or equal to {shape.max}"
    if shape.min is not None:
        yield f"Member must have {measure} greater than or equal to {shape.min}"
    if shape.pattern is not None:
        yield f"Member must satisfy regular expression pattern: {shape.pattern}"
    if shape.enum:
        yield _enum(shape)


def _size(shape: Shape, value: Any) -> tuple[int, str]:
    if shape.type == "integer":
        return value, "value"
    if shape.type == "blob":
        return blob_length(value) or 0, "length"
    return len(value), "length"


_NOUNS = {
    "string": "a String",
    "integer": "an Integer",
    "boolean": "a Boolean",
    "timestamp": "a Timestamp",
    "blob": "a Blob",
}
_CONTAINERS: dict[str, type] = {"structure": dict, "map": dict, "list": list}


def _wrong_type(shape: Shape, value: Any) -> str | None:
    """Why AWS's JSON reader would not read the value as this shape, or None."""
    kind = shape.type
    if kind in _CONTAINERS:
        if type(value) is _CONTAINERS[kind]:
            return None
        expected = "list" if kind == "list" else "map"
        return f"Expected {expected} or null, found {_token(value)}"
    if kind == "string" and type(value) is str:
        if value.isascii() or is_unicode(value):
            return None
        return "The string has a lone surrogate, which no UTF-8 can hold: send well-formed Unicode"
    if (
        (kind == "integer" and type(value) is int)
        or (kind == "boolean" and type(value) is bool)
        or (kind == "blob" and blob_length(value) is not None)
        or (kind == "timestamp" and is_timestamp(value))
    ):
        return None
    if isinstance(value, dict):
        return "Start of structure or map found where not expected."
    if isinstance(value, list | tuple):
        return "Start of list found where not expected."
    return f"{_token(value)} can not be converted to {_NOUNS[kind]}"


def _token(value: object) -> str:
    """AWS's name of the JSON token that the value would be."""
    if value is None:
        return "NULL_VALUE"
    if value is True or value is False:
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    for base, token in (
        (str, "STRING_VALUE"),
        (int, "NUMBER_VALUE"),
        (float, "DECIMAL_VALUE"),
        (dict, "START_OBJECT"),
        (list, "START_ARRAY"),
    ):
        if isinstance(value, base):
            return token
    return f"A value of type {type(value).__name__}"


def shown(value: object) -> str:
    """Text of a scalar for a message, bounded; of anything else, its type."""
    if isinstance(value, str):
        return value if len(value) <= ECHO_LIMIT else value[:ECHO_LIMIT] + "..."
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, int | float):
        return str(value)
    return f"a value of type {type(value).__name__}"


def _echo(value: Any) -> str:
    """The value as Java prints it, bounded: `a`, `[a, b]`, `{a=b}`."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        pairs = (f"{_echo(k)}={_echo(v)}" for k, v in islice(value.items(), ECHO_LIMIT))
        return shown("{" + ", ".join(pairs) + "}")
    if isinstance(value, list):
        return shown("[" + ", ".join(_echo(item) for item in islice(value, ECHO_LIMIT)) + "]")
    return shown(value)
