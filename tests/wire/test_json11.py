"""AWS JSON 1.1: the inverse of botocore's serializer and parser, and strict otherwise."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clavero._native import read_json, write_json
from clavero.model.errors import KMSError
from clavero.model.generated import EXCEPTIONS
from clavero.model.operations import OPERATIONS
from clavero.wire import json11

MODEL = ServiceModel(Loader().load_service_model("kms", "service-2"), "kms")
OPERATION_NAMES = sorted(MODEL.operation_names)
ENCRYPT = OPERATIONS["Encrypt"]
HEADERS = {"x-amzn-requestid": "id", "content-type": json11.CONTENT_TYPE}


def times(step: timedelta) -> st.SearchStrategy[datetime]:
    steps = int(timedelta(seconds=4_000_000_000) / step)
    return st.integers(0, steps).map(lambda n: datetime(1970, 1, 1, tzinfo=UTC) + n * step)


def values(shape: Any, step: timedelta) -> st.SearchStrategy[Any]:
    """Values in the types of the shape; whether they fit its constraints is another matter."""
    kind = shape.type_name
    if kind == "structure":
        members = {name: values(member, step) for name, member in shape.members.items()}
        required = {name: members.pop(name) for name in list(shape.required_members)}
        return st.fixed_dictionaries(required, optional=members)
    if kind == "list":
        return st.lists(values(shape.member, step), max_size=3)
    if kind == "map":
        return st.dictionaries(values(shape.key, step), values(shape.value, step), max_size=3)
    return {
        "string": st.text(max_size=20),
        "blob": st.binary(max_size=50),
        "integer": st.integers(-(2**31), 2**31),
        "boolean": st.booleans(),
        "timestamp": times(step),
    }[kind]


@pytest.mark.parametrize("name", OPERATION_NAMES)
@settings(max_examples=25)
@given(data=st.data())
def test_requests_are_read_as_botocore_writes_them(name, data):
    theirs = MODEL.operation_model(name)
    params = data.draw(values(theirs.input_shape, timedelta(microseconds=1)))
    sent = create_serializer("json", include_validation=False).serialize_to_request(
        dict(params), theirs
    )
    operation = json11.operation_of(
        sent["headers"]["X-Amz-Target"], sent["headers"]["Content-Type"]
    )
    assert operation is OPERATIONS[name]
    assert json11.decode(operation, sent["body"]) == params


@pytest.mark.parametrize("name", OPERATION_NAMES)
@settings(max_examples=25)
@given(data=st.data())
def test_answers_are_written_as_botocore_reads_them(name, data):
    shape = MODEL.operation_model(name).output_shape
    answer = {} if shape is None else data.draw(values(shape, timedelta(milliseconds=1)))
    body = json11.encode(OPERATIONS[name], answer)
    assert body.isascii()
    assert (body == b"") == (shape is None)
    parsed = create_parser("json").parse(
        {"status_code": 200, "headers": HEADERS, "body": body}, shape
    )
    assert parsed.pop("ResponseMetadata")["RequestId"] == "id"
    assert parsed == answer


@given(st.binary(max_size=100), st.sampled_from([bytes, bytearray, memoryview]))
def test_every_kind_of_bytes_is_a_blob(data, kind):
    body = json11.encode(ENCRYPT, {"CiphertextBlob": kind(data)})
    assert base64.b64decode(json.loads(body)["CiphertextBlob"]) == data


@given(times(timedelta(microseconds=1)))
@example(datetime(2026, 1, 1, 0, 0, 0, 123_999, tzinfo=UTC))
def test_times_are_cut_to_milliseconds(time):
    body = json11.encode(OPERATIONS["ListKeyRotations"], {"Rotations": [{"RotationDate": time}]})
    sent = json.loads(body, parse_float=str)["Rotations"][0]["RotationDate"]
    assert len(str(sent).partition(".")[2]) <= 3
    cut = time.replace(microsecond=time.microsecond // 1000 * 1000)
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(sent)) == cut


def test_what_is_no_value_of_the_api_is_a_bug_and_not_an_answer():
    for value in (object(), {1, 2}, float("nan"), float("inf")):
        with pytest.raises((TypeError, ValueError)):
            json11.encode(ENCRYPT, {"KeyId": value})


@pytest.mark.parametrize("code", sorted({row[0] for row in EXCEPTIONS.values()}))
def test_each_modelled_error_is_read_by_botocore(code):
    status = next(row[1] for row in EXCEPTIONS.values() if row[0] == code)
    error = KMSError(code, "Why, in \u00fcnicode.")
    assert error.http_status == status
    parsed = create_parser("json").parse(
        {"status_code": status, "headers": HEADERS, "body": json11.encode_error(error)}, None
    )
    assert parsed["Error"] == {"Code": code, "Message": "Why, in \u00fcnicode."}


@pytest.mark.parametrize(
    ("error", "body"),
    [
        (KMSError("InvalidCiphertextException"), {"__type": "InvalidCiphertextException"}),
        (
            KMSError("NotFoundException", "gone"),
            {"__type": "NotFoundException", "message": "gone"},
        ),
        (
            KMSError("AccessDeniedException", "no"),
            {"__type": "AccessDeniedException", "Message": "no"},
        ),
        (
            KMSError("TagException", "bad", members={"When": datetime(2026, 1, 1, tzinfo=UTC)}),
            {"__type": "TagException", "message": "bad", "When": 1767225600},
        ),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_the_body_of_an_error(error, body):
    assert json.loads(json11.encode_error(error)) == body


@pytest.mark.parametrize(
    ("target", "content_type"),
    [
        (None, json11.CONTENT_TYPE),
        ("", json11.CONTENT_TYPE),
        ("Encrypt", json11.CONTENT_TYPE),
        ("TrentService", json11.CONTENT_TYPE),
        ("TrentService.", json11.CONTENT_TYPE),
        ("TrentService.encrypt", json11.CONTENT_TYPE),
        ("TrentService.Encrypt.", json11.CONTENT_TYPE),
        ("TrentService.GenerateDataKeys", json11.CONTENT_TYPE),
        ("TrentService_20141101.Encrypt", json11.CONTENT_TYPE),
        ("DynamoDB_20120810.PutItem", json11.CONTENT_TYPE),
        ("TrentService.Encrypt", None),
        ("TrentService.Encrypt", "application/json"),
        ("TrentService.Encrypt", "application/x-amz-json-1.0"),
        ("TrentService.Encrypt", "application/x-amz-json-1.1x"),
    ],
)
def test_what_is_no_operation_of_kms(target, content_type):
    with pytest.raises(KMSError) as caught:
        json11.operation_of(target, content_type)
    assert caught.value.code == "UnknownOperationException"


@pytest.mark.parametrize("suffix", ["", "; charset=utf-8", " ;charset=UTF-8"])
def test_a_content_type_may_have_parameters(suffix):
    assert json11.operation_of("TrentService.Encrypt", json11.CONTENT_TYPE + suffix) is ENCRYPT
    assert json11.operation_of("TrentService.Encrypt", json11.CONTENT_TYPE.upper()) is ENCRYPT


def refusal(body: bytes, operation: Any = ENCRYPT) -> KMSError:
    """The error of a body, as the pipeline comes to it: decoded, then validated."""
    with pytest.raises(KMSError) as caught:
        operation.validated(json11.decode(operation, body))
    return caught.value


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "is not JSON"),
        (b" ", "is not JSON"),
        (b"{", "is not JSON"),
        (b"{}{}", "is not JSON"),
        (b"{'KeyId': 'a'}", "is not JSON"),
        (b'{"KeyId": "a",}', "is not JSON"),
        (b'{"KeyId": "a\n"}', "is not JSON"),
        (b'\xef\xbb\xbf{"KeyId": "a"}', "is not JSON"),
        (b'{"KeyId": NaN}', "NaN is no JSON number"),
        (b'{"KeyId": -Infinity}', "-Infinity is no JSON number"),
        (b'{"KeyId": ' + b"1" * 5000 + b"}", "is not JSON"),
        (b'{"KeyId": "\xff"}', "is not UTF-8: byte 11"),
        (b'{"KeyId": "\xed\xa0\x80"}', "is not UTF-8"),
        (b'{"KeyId": "a", "KeyId": "b"}', "stands twice"),
        (b'{"KeyId": "a", "\\u004beyId": "b"}', "stands twice"),
        (b'{"KeyId": "k", "EncryptionContext": {"a": "1", "a": "2"}}', "stands twice"),
        (b"[]", "Expected map or null, found START_ARRAY"),
        (b'"text"', "Expected map or null, found STRING_VALUE"),
        (b"17", "Expected map or null, found NUMBER_VALUE"),
        (b'{"KeyId": 5, "Plaintext": "AA=="}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"KeyId": ["a"], "Plaintext": "AA=="}', "Start of list found where not expected"),
        (b'{"KeyId": "a", "Plaintext": 5}', "NUMBER_VALUE can not be converted to a Blob"),
        (b'{"KeyId": "a", "Plaintext": {}}', "Start of structure or map found"),
        (b'{"KeyId": "a", "Plaintext": "AA"}', "multiple of 4 bytes but found: 2"),
        (b'{"KeyId": "a", "Plaintext": "AA=A"}', "not base64 (at 'plaintext')"),
        (b'{"KeyId": "a", "Plaintext": "A A="}', "not base64"),
        (b'{"KeyId": "a", "Plaintext": "AA\\n="}', "not base64"),
        (b'{"KeyId": "a", "Plaintext": "AA__"}', "not base64"),
        ('{"KeyId": "a", "Plaintext": "AA\u0661="}'.encode(), "not base64"),
        (b'{"KeyId": "a", "Plaintext": "AA\\ud800="}', "not base64"),
        (b'{"KeyId": "\\ud800", "Plaintext": "AA=="}', "lone surrogate"),
        (b'{"KeyId": "a", "Plaintext": "AA==", "Nonsense": 1}', "Unknown parameter 'Nonsense'"),
        (b'{"KeyId": "a", "Plaintext": "AA==", "DryRun": "true"}', "converted to a Boolean"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else None,
)
def test_what_is_no_request_is_a_serialization_exception(body, text):
    error = refusal(body)
    assert (error.code, error.http_status) == ("SerializationException", 400)
    assert text in error.message
    assert len(error.message) < 1000


def test_a_secret_in_the_wrong_form_is_not_told():
    assert "hunter2" not in refusal(b'{"KeyId": "a", "Plaintext": "hunter2"}').message


def test_a_nested_blob_is_named_by_its_place():
    body = b'{"KeyId": "a", "Recipient": {"AttestationDocument": "A"}}'
    error = refusal(body, OPERATIONS["GenerateDataKey"])
    assert error.message.endswith("(at 'recipient.attestationDocument')")


def test_nulls_are_absent_as_aws_has_them():
    assert json11.decode(OPERATIONS["ListKeys"], b"null") == {}
    body = b'{"KeyId": "a", "Plaintext": "AA==", "EncryptionContext": null, "DryRun": null}'
    params = ENCRYPT.validated(json11.decode(ENCRYPT, body))
    assert params == {"KeyId": "a", "Plaintext": b"\0"}
    error = refusal(b'{"KeyId": "a", "Plaintext": null}')
    assert error.code == "ValidationException"
    assert "Value at 'plaintext' failed" in error.message  # and never a secret


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"EncryptionContext":{"a":'])
@pytest.mark.parametrize("levels", [json11.MAX_DEPTH + 1, 900, 5_000, 150_000])
def test_deep_nesting_is_refused_before_anything_recurses_over_it(opening, levels):
    closing = {b"[": b"]"}.get(opening, b"}" * opening.count(b"{"))
    body = b'{"KeyId": "a", "GrantTokens": ' + opening * levels + b"1" + closing * levels + b"}"
    error = refusal(body[: json11.MAX_BODY] if len(body) > json11.MAX_BODY else body)
    assert error.code == "SerializationException"
    assert "nests deeper" in error.message


def test_brackets_in_strings_and_many_short_lists_are_not_nesting():
    policy = json.dumps({"Statement": [{"Action": ["kms:*"] * 3}] * 50})
    body = json.dumps({"KeyId": "a", "Policy": policy}).encode()
    assert json11.decode(OPERATIONS["PutKeyPolicy"], body)["Policy"] == policy
    tags = [{"TagKey": str(n), "TagValue": ""} for n in range(50)]
    body = json.dumps({"Tags": tags}).encode()
    assert json11.decode(OPERATIONS["CreateKey"], body) == {"Tags": tags}


def test_the_largest_request_of_the_model_passes_and_a_larger_body_does_not():
    decrypt = OPERATIONS["Decrypt"]
    document = bytes(262_144)
    body = json.dumps({"Recipient": {"AttestationDocument": base64.b64encode(document).decode()}})
    assert json11.decode(decrypt, body.encode())["Recipient"]["AttestationDocument"] == document
    error = refusal(b" " * json11.MAX_BODY + b"{}", decrypt)
    assert (error.code, error.http_status) == ("SerializationException", 413)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e400", "99999999999999", "true", '"now"'])
def test_times_that_no_clock_shows(number):
    body = f'{{"KeyId": "k", "ValidTo": {number}, "EncryptedKeyMaterial": "AA=="}}'
    error = refusal(body.encode(), OPERATIONS["ImportKeyMaterial"])
    assert "can not be converted to a Timestamp" in error.message


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_parameters_or_an_error_of_kms(body):
    try:
        params = json11.decode(ENCRYPT, body)
    except KMSError as error:
        assert error.code == "SerializationException"
        json11.encode_error(error)
    else:
        assert type(params) is dict


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["KeyId", "Plaintext", "DryRun", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.dictionaries(st.text(), plain_values, max_size=5), st.booleans(), st.sampled_from([None, 1])
)
def test_plain_objects_are_read_by_the_extension(value, ascii_only, indent):
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert read_json(body) == value


def same(one: Any, other: Any) -> bool:
    """Equal in types too: True is no 1, and the members are in one order."""
    return repr(one) == repr(other)


@settings(max_examples=500)
@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps({"a": value}).encode()))
@example(b'{"a":1,"a":1}')
@example(b'{"a":{"b":1,"\\u0062":2}}')
@example(b'{"a":-0}')
@example(b'{"a":1e2}')
@example(b'{"a":18446744073709551616}')
@example(b'{"a":"\\ud800"}')
@example(b'{"a":"\\ud83d\\ude00\\u0000"}')
@example(b'{"a":"\x01"}')
@example(b'{"a":NaN}')
@example(b'{"a":01}')
@example(b'{"a":1}{}')
@example(b'\xef\xbb\xbf{"a":1}')
@example(b" \t\r\n{\n} ")
@example(b"\x0c{}")
@example(b"[]")
def test_what_the_extension_reads_is_what_python_reads(body):
    """Two readers must not take one body for two requests."""
    read = read_json(body)
    if read is not None:
        assert same(read, json.JSONDecoder(object_pairs_hook=json11._pairs).decode(body.decode()))


@pytest.mark.parametrize("levels", [json11.MAX_DEPTH, json11.MAX_DEPTH + 1])
@pytest.mark.parametrize("opening", [b'{"a":', b"["])
def test_both_readers_go_as_deep(levels, opening):
    closing = b"}" if opening[:1] == b"{" else b"]"
    body = b'{"KeyId":' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"
    assert (read_json(body) is not None) == (levels <= json11.MAX_DEPTH)


@settings(max_examples=300)
@given(json_values | st.characters(categories=["Cs"]) | st.tuples(st.text(), st.binary()))
@example('\x00\x1f \x7f\x80"\\/\b\f\n\r\t\u2028\ud800\U0010ffff')
@example({"a": (True, 10**30, -1, 1e22, 1e-7, -0.0)})
def test_answers_are_written_as_python_writes_them(value):
    def plain(value: Any) -> Any:
        raise TypeError

    def written() -> bytes:
        text = json.dumps(blobs(value), separators=(",", ":"), allow_nan=False)
        return text.encode("ascii")

    try:
        expected = written()
    except ValueError:
        with pytest.raises(ValueError):
            write_json(value, plain)
    else:
        assert write_json(value, plain) == expected


def blobs(value: Any) -> Any:
    if type(value) is tuple:
        return [blobs(each) for each in value]
    return base64.b64encode(value).decode() if type(value) is bytes else value


def test_names_of_members_are_strings():
    with pytest.raises(TypeError, match="name is no string"):
        write_json({1: 2}, str)


@settings(max_examples=300)
@given(json_values)
def test_any_json_is_refused_with_an_error_or_satisfies_the_model(value):
    body = json.dumps(value).encode()
    try:
        params = ENCRYPT.validated(json11.decode(ENCRYPT, body))
    except KMSError as error:
        assert error.code in {"SerializationException", "ValidationException"}
        json11.encode_error(error)
    else:
        assert ENCRYPT.is_exact(params)
