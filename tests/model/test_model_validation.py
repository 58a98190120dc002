"""Parameters against the model: the fast check, AWS's words for a refusal, botocore's report."""

from __future__ import annotations

import copy
import io
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clavero.model.errors import KMSError
from clavero.model.explain import ECHO_LIMIT, PROBLEM_LIMIT, explain
from clavero.model.fastcheck import compile_accepts
from clavero.model.generated import SHAPES
from clavero.model.operations import OPERATIONS
from clavero.model.params import client_values, parameter_report
from clavero.model.patterns import compile_pattern, translate
from clavero.model.shapes import Shape, shape

KEY = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"
FAILED = "failed to satisfy constraint"
GDK = OPERATIONS["GenerateDataKey"]

# For each pattern of the model: values that Java's matches() takes, and values that it does not.
PATTERNS: dict[str, tuple[list[str], list[str]]] = {
    "[0-9]{12}": (["123456789012"], ["12345678901", "1234567890123", "١٢٣٤٥٦٧٨٩٠١٢"]),
    "^[a-zA-Z0-9:/_-]+$": (["alias/a-b_c:9"], ["", "alias/a b", "alias/a\n", "alias/é"]),
    "^[a-f0-9]+$": (["0123456789abcdef" * 4], ["", "ABCDEF", "0" * 63 + "\n"]),
    "cluster-[2-7a-zA-Z]{11,16}": (["cluster-234abcDEFGH"], ["cluster-2", "cluster-10000000000"]),
    "^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$": (
        ["arn:aws:s3::123456789012:bucket/x", "arn:aws-cn:sns:cn-north-1:123456789012:é"],
        ["arn:aws:s3::123456789012:", "arn:aws:s3::1234:x", "arn:aws:s3::123456789012:a\u2028b"],
    ),
    "^[a-zA-Z0-9:/_\\s.-]+$": (["a b\tc\x0b.", "x\n"], ["", "é", "a\u00a0b"]),
    "[\\u0020-\\u00FF]*": (["", "a~\u00ff"], ["\n", "\u0100", "\x1f"]),
    "[\\w]+": (["default_1"], ["", "a-b", "é", "a\n"]),
    "[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+": (["{\t\r\n}", "é"], ["", "\x00", "\u0100"]),
    "^[\\w+=,.@:/-]+$": (["arn:aws:iam::1:user/a+=,.@-"], ["", "a b", "*"]),
    "^([a-z]+-){2,3}\\d+$": (
        ["us-east-1", "us-gov-east-1"],
        ["useast1", "us-east-", "us-east-\u0661"],
    ),
    "^([A-Za-z0-9\\-]+)\\.([A-Za-z0-9\\-]+)(\\.[A-Za-z0-9\\-]+)+$": (
        ["sns.us-east-1.amazonaws.com", "a.b.c"],
        ["a.b", "a..b.c", "a.b.c\n"],
    ),
    "^[a-zA-Z0-9-_.]+$": (["a-b_c.9"], ["", "a/b", "a b"]),
    "^[A-Z2-7]+$": (["ABCDEFGHIJ2345672345"], ["", "a", "1"]),
    "^[a-zA-Z0-9\\/+=]+$": (["abcd/+=" * 7], ["", "a-b"]),
    "^https://[a-zA-Z0-9.-]+$": (["https://xks.example.com"], ["http://x", "https://x/y"]),
    "^(/[a-zA-Z0-9\\/_-]+/kms/xks/v\\d{1,2})$|^(/kms/xks/v\\d{1,2})$": (
        ["/kms/xks/v1", "/a/b/kms/xks/v12"],
        ["/kms/xks/v123", "/kms/xks/v", "kms/xks/v1", "/kms/xks/v1\n"],
    ),
    "^(com|eu)\\.amazonaws\\.vpce\\.([a-z]+-){2,3}\\d+\\.vpce-svc-[0-9a-z]+$": (
        ["com.amazonaws.vpce.us-east-1.vpce-svc-0a"],
        ["com.amazonaws.vpce.us-east-1.vpce-svc-", "org.amazonaws.vpce.us-east-1.vpce-svc-0"],
    ),
}


def test_every_pattern_of_the_model() -> None:
    assert {traits["pattern"] for traits in SHAPES.values() if "pattern" in traits} == set(PATTERNS)
    for pattern, (good, bad) in PATTERNS.items():
        compiled = compile_pattern(pattern)
        assert [v for v in good if not compiled.fullmatch(v)] == [], pattern
        assert [v for v in bad if compiled.fullmatch(v)] == [], pattern


@pytest.mark.parametrize("pattern", ["\\p{L}+", "[a-z&&[^b]]", "[a[b]]", "(?i)a", "\\Qa\\E", "a\\"])
def test_a_pattern_that_python_would_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="not translated"):
        translate(pattern)


def test_constraints_that_the_fast_check_leaves_out_do_not_occur() -> None:
    """An enum is checked alone, which is right as long as no enum has a length or a pattern."""
    for name, traits in SHAPES.items():
        assert "enum" not in traits or not traits.keys() & {"min", "max", "pattern"}, name


def sized(of: Shape, size: int) -> Any:
    """A value of that length, or that number."""
    if of.type == "list":
        assert of.member is not None
        return ([*of.member.enum, "x"][:1] * size) if size > 0 else []
    return {"integer": size, "blob": b"x" * size, "string": "x" * size}[of.type]


BOUNDED = [
    name
    for name, traits in SHAPES.items()
    if traits.keys() & {"min", "max"} and "pattern" not in traits
]


@pytest.mark.parametrize("name", BOUNDED)
def test_the_bounds_belong_to_the_shape(name: str) -> None:
    of = shape(name)
    accepts = compile_accepts(of)
    assert of.min is not None
    assert of.max is not None
    for size, good in (
        (of.min, True),
        (of.max, True),
        (of.max + 1, False),
        (of.min - 1, False),
    ):
        if size >= 0:
            assert accepts(sized(of, size)) is good, size
            assert (explain(of, sized(of, size)) is None) is good, size


# --- texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        (
            "GenerateDataKey",
            {"KeyId": "k", "KeySpec": "AES_999"},
            f"1 validation error detected: Value 'AES_999' at 'keySpec' {FAILED}: "
            "Member must satisfy enum value set: [AES_256, AES_128]",
        ),
        (
            "GenerateDataKey",
            {"KeyId": "", "NumberOfBytes": 1025},
            f"2 validation errors detected: Value '' at 'keyId' {FAILED}: Member must have length "
            f"greater than or equal to 1; Value '1025' at 'numberOfBytes' {FAILED}: Member must "
            "have value less than or equal to 1024",
        ),
        (
            "GenerateRandom",
            {"NumberOfBytes": 0},
            f"1 validation error detected: Value '0' at 'numberOfBytes' {FAILED}: Member must have "
            "value greater than or equal to 1",
        ),
        (
            "DescribeKey",
            {},
            f"1 validation error detected: Value null at 'keyId' {FAILED}: Member must not be null",
        ),
        (
            "DescribeKey",
            {"KeyId": None},
            f"1 validation error detected: Value null at 'keyId' {FAILED}: Member must not be null",
        ),
        (
            "DescribeKey",
            {"KeyId": "k", "GrantTokens": ["a", ""]},
            f"1 validation error detected: Value '' at 'grantTokens.2.member' {FAILED}: Member "
            "must have length greater than or equal to 1",
        ),
        (
            "DescribeKey",
            {"KeyId": "k", "GrantTokens": ["t"] * 11},
            "1 validation error detected: Value '[t, t, t, t, t, t, t, t, t, t, t]' at "
            f"'grantTokens' {FAILED}: Member must have length less than or equal to 10",
        ),
        (
            "Encrypt",
            {"KeyId": "k", "Plaintext": b"p" * 4097},
            f"1 validation error detected: Value at 'plaintext' {FAILED}: Member must have length "
            "less than or equal to 4096",
        ),
        (
            "Decrypt",
            {"CiphertextBlob": b""},
            "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]' at "
            f"'ciphertextBlob' {FAILED}: Member must have length greater than or equal to 1",
        ),
        (
            "CreateAlias",
            {"AliasName": "alias/a b", "TargetKeyId": "k"},
            f"1 validation error detected: Value 'alias/a b' at 'aliasName' {FAILED}: Member must "
            "satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
        ),
        (
            "CreateAlias",
            {"AliasName": "", "TargetKeyId": "k"},
            f"2 validation errors detected: Value '' at 'aliasName' {FAILED}: Member must satisfy "
            "regular expression pattern: ^[a-zA-Z0-9:/_-]+$; Value '' at 'aliasName' "
            f"{FAILED}: Member must have length greater than or equal to 1",
        ),
        (
            "TagResource",
            {"KeyId": "k", "Tags": [{"TagKey": "", "TagValue": "v"}]},
            f"1 validation error detected: Value '' at 'tags.1.member.tagKey' {FAILED}: Member "
            "must have length greater than or equal to 1",
        ),
        (
            "GenerateDataKey",
            {"KeyId": "k", "EncryptionContext": {"a": None}},
            f"1 validation error detected: Value '{{a=null}}' at 'encryptionContext' {FAILED}: "
            "Map value must satisfy constraint: [Member must not be null]",
        ),
        (
            "CreateCustomKeyStore",
            {"CustomKeyStoreName": "n", "KeyStorePassword": "hunter"},
            f"1 validation error detected: Value at 'keyStorePassword' {FAILED}: Member must have "
            "length greater than or equal to 7",
        ),
    ],
)
def test_validation_texts(operation: str, params: dict[str, Any], message: str) -> None:
    problem = OPERATIONS[operation].explain(params)
    assert problem is not None
    assert (problem.kind, problem.code) == ("validation", "ValidationException")
    assert problem.message == message
    assert not OPERATIONS[operation].accepts(params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"KeyId": 5}, "NUMBER_VALUE can not be converted to a String (at 'keyId')"),
        ({"KeyId": True}, "TRUE_VALUE can not be converted to a String (at 'keyId')"),
        (
            {"KeyId": "k", "NumberOfBytes": "32"},
            "STRING_VALUE can not be converted to an Integer (at 'numberOfBytes')",
        ),
        (
            {"KeyId": "k", "NumberOfBytes": True},
            "TRUE_VALUE can not be converted to an Integer (at 'numberOfBytes')",
        ),
        (
            {"KeyId": "k", "NumberOfBytes": 32.0},
            "DECIMAL_VALUE can not be converted to an Integer (at 'numberOfBytes')",
        ),
        ({"KeyId": {}}, "Start of structure or map found where not expected. (at 'keyId')"),
        ({"KeyId": []}, "Start of list found where not expected. (at 'keyId')"),
        (
            {"KeyId": "k", "GrantTokens": "t"},
            "Expected list or null, found STRING_VALUE (at 'grantTokens')",
        ),
        (
            {"KeyId": "k", "EncryptionContext": ["a"]},
            "Expected map or null, found START_ARRAY (at 'encryptionContext')",
        ),
        (
            {"KeyId": "k", "EncryptionContext": {"a": 1}},
            "NUMBER_VALUE can not be converted to a String (at 'encryptionContext')",
        ),
        (
            {"KeyId": b"k"},
            "A value of type bytes can not be converted to a String (at 'keyId')",
        ),
        (
            {"KeyId": "k", "EncryptionContext": {"\ud800": "a"}},
            "The string has a lone surrogate, which no UTF-8 can hold: send well-formed Unicode "
            "(at 'encryptionContext')",
        ),
        # The first problem of the JSON hides all constraints, as it does at AWS.
        ({"KeyId": "", "Dryrun": True}, "Unknown parameter 'Dryrun', must be one of: KeyId, "),
        ([], "Expected map or null, found START_ARRAY"),
        (None, "Expected map or null, found NULL_VALUE"),
    ],
)
def test_serialization_texts(params: Any, message: str) -> None:
    problem = GDK.explain(params)
    assert problem is not None
    assert (problem.kind, problem.code) == ("serialization", "SerializationException")
    if message.endswith(", "):
        assert problem.message.startswith(message)
    else:
        assert problem.message == message
    assert not GDK.accepts(params)


def test_secret_values_are_never_echoed() -> None:
    params = {"KeyId": "k", "Plaintext": b"secret" * 1000}
    problem = OPERATIONS["Encrypt"].explain(params)
    assert problem is not None
    assert "secret" not in problem.message
    store = {
        "CustomKeyStoreName": "n",
        "XksProxyAuthenticationCredential": {"AccessKeyId": "sesame", "RawSecretAccessKey": "open"},
    }
    problem = OPERATIONS["CreateCustomKeyStore"].explain(store)
    assert problem is not None
    assert "sesame" not in problem.message
    assert "open" not in problem.message


@pytest.mark.parametrize(
    "params",
    [
        {"KeyId": "k" * 1_000_000},
        {"KeyId": "k", "NumberOfBytes": 10**6000},
        {"KeyId": "k", "GrantTokens": [""] * 100_000},
        {"KeyId": "k", "GrantTokens": ["t" * 9000] * 1000},
        {"KeyId": "k", "EncryptionContext": dict.fromkeys(map(str, range(100_000)))},
        {"k" * 1_000_000: 1},
    ],
    ids=["string", "integer", "problems", "list", "map", "name"],
)
def test_messages_are_bounded(params: dict[str, Any]) -> None:
    problem = GDK.explain(params)
    assert problem is not None
    assert len(problem.message) < PROBLEM_LIMIT * (ECHO_LIMIT + 200)


def test_map_constraints_are_listed_whole() -> None:
    """No map of today's model has constraints; AWS words them as it does for API Gateway's tags."""
    limited = shape("TagValueType")
    pairs = shape("EncryptionContextType")._replace(value=limited)
    problem = explain(pairs, {"a": "v" * 257})
    assert problem is not None
    assert problem.message.endswith(
        "Map value must satisfy constraint: [Member must have length less than or equal to 256, "
        "Member must have length greater than or equal to 0]"
    )
    accepts = compile_accepts(pairs)
    assert accepts({"a": "v" * 256})
    assert not accepts({"a": "v" * 257})


# --- types ---------------------------------------------------------------------------------------


class Spec(StrEnum):
    LONG = "AES_256"


class Old(str, Enum):  # noqa: UP042 - what Python 3.10 code has
    LONG = "AES_256"


class Size(IntEnum):
    LONG = 32


@pytest.mark.parametrize(
    "value", [b"x", bytearray(b"x"), memoryview(b"x"), memoryview(bytearray(b"xy"))]
)
def test_blobs(value: Any) -> None:
    assert OPERATIONS["Encrypt"].accepts({"KeyId": "k", "Plaintext": value})


def test_blob_lengths_are_bytes() -> None:
    wide = memoryview(b"x" * 8192).cast("I")
    assert not OPERATIONS["Encrypt"].accepts({"KeyId": "k", "Plaintext": wide})
    assert not OPERATIONS["Encrypt"].accepts({"KeyId": "k", "Plaintext": memoryview(b"xxxx")[::2]})
    released = memoryview(b"x")
    released.release()
    assert not OPERATIONS["Encrypt"].accepts({"KeyId": "k", "Plaintext": released})
    assert OPERATIONS["Encrypt"].explain({"KeyId": "k", "Plaintext": released}) is not None


@pytest.mark.parametrize("spec", [Spec.LONG, Old.LONG])
def test_enums_and_tuples_become_plain(spec: Any) -> None:
    params = {"KeyId": "k", "KeySpec": spec, "GrantTokens": ("a",), "EncryptionContext": None}
    assert GDK.accepts(params)
    assert not GDK.is_exact(params)
    plain = GDK.validated(params)
    assert plain == {"KeyId": "k", "KeySpec": "AES_256", "GrantTokens": ["a"]}
    assert type(plain["KeySpec"]) is str
    size = GDK.validated({"KeyId": "k", "NumberOfBytes": Size.LONG})["NumberOfBytes"]
    assert type(size) is int


def test_validated_returns_canonical_parameters_as_they_are() -> None:
    params = {"KeyId": "k", "KeySpec": "AES_256"}
    assert GDK.validated(params) is params
    with pytest.raises(KMSError) as caught:
        GDK.validated({"KeyId": "k", "KeySpec": "AES"})
    assert caught.value.code == "ValidationException"
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (datetime(2030, 1, 1, tzinfo=UTC), True),
        (1_900_000_000, True),
        (1_900_000_000.5, True),
        (float("nan"), False),
        (float("inf"), False),
        (1e300, False),
        (10**400, False),
        (True, False),
        ("2030-01-01", False),
    ],
)
def test_timestamps(value: Any, good: bool) -> None:
    params = {
        "KeyId": "k",
        "ImportToken": b"t",
        "EncryptedKeyMaterial": b"m",
        "ValidTo": value,
    }
    operation = OPERATIONS["ImportKeyMaterial"]
    assert operation.accepts(params) is good
    assert (operation.explain(params) is None) is good


# --- properties ----------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def valid(of: Shape) -> st.SearchStrategy[Any]:
    """Values that satisfy a shape, in every type that is taken for it."""
    low, high = of.min or 0, of.max
    if of.type == "string":
        if of.enum:
            return st.sampled_from(of.enum)
        if of.pattern is not None:
            fits = [v for v in PATTERNS[of.pattern][0] if low <= len(v) <= (high or len(v))]
            assert fits, of
            return st.sampled_from(fits)
        return TEXT.map(lambda text: text.ljust(low, "x")[:high])
    if of.type == "blob":
        raw = st.binary(min_size=low, max_size=low + 20)
        return raw | raw.map(bytearray) | raw.map(lambda data: memoryview(data))
    if of.type == "integer":
        return st.integers(low, high)
    if of.type == "boolean":
        return st.booleans()
    if of.type == "timestamp":
        return st.datetimes() | st.integers(0, 2**33) | st.floats(0, 2**33)
    if of.type == "list":
        assert of.member is not None
        items = st.lists(valid(of.member), min_size=low, max_size=min(high or 3, 3))
        return items | items.map(tuple)
    if of.type == "map":
        assert of.key is not None
        assert of.value is not None
        return st.dictionaries(valid(of.key), valid(of.value), max_size=3)
    required = {name: valid(of.members[name]) for name in of.required}
    optional = {name: valid(m) for name, m in of.members.items() if name not in of.required}
    return st.fixed_dictionaries(required, optional=optional)


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**50),
    st.floats(),
    TEXT,
    st.just(""),
    st.just("x" * 140_000),
    st.just("\ud800"),
    st.sampled_from([Spec.LONG, Old.LONG, Size.LONG]),
    st.binary(max_size=4),
    st.just(b"x" * 300_000),
    st.lists(st.none() | TEXT, max_size=12),
    st.dictionaries(TEXT | st.integers(), st.none() | TEXT, max_size=2),
    st.builds(object),
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below a value that can be changed in place."""
    found: list[tuple[Any, Any]] = []
    keys: Any = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        found.append((value, key))
        found.extend(places(value[key]))
    return found


@st.composite
def mutated(draw: st.DrawFn, of: Shape) -> Any:
    params = copy.deepcopy(draw(valid(of).filter(lambda p: not _has_view(p))))
    for _ in range(draw(st.integers(1, 2))):
        all_places = places(params)
        action = draw(st.sampled_from(["junk", "drop", "add"]))
        if action == "add" or not all_places:
            params[draw(st.sampled_from(["Other", "keyId", "", *of.members]))] = draw(JUNK)
            continue
        container, key = draw(st.sampled_from(all_places))
        if action == "drop":
            del container[key]
        else:
            container[key] = draw(JUNK)
    return params


def _has_view(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_view(item) for item in value.values())
    return isinstance(value, memoryview)


QUIET = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_valid_parameters_are_accepted(name: str) -> None:
    operation = OPERATIONS[name]

    @QUIET
    @given(valid(operation.input))
    def check(params: dict[str, Any]) -> None:
        assert operation.accepts(params)
        assert operation.explain(params) is None
        assert operation.is_exact(operation.validated(params))
        assert parameter_report(operation, params) is None

    check()


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_explain_is_none_iff_accepted(name: str) -> None:
    operation = OPERATIONS[name]

    @QUIET
    @given(mutated(operation.input))
    def check(params: Any) -> None:
        problem = operation.explain(params)
        assert (problem is None) == operation.accepts(params)
        if problem is None:
            assert operation.is_exact(operation.canonical(params))
        else:
            assert not operation.is_exact(params)
            problem.message.encode()  # whatever was sent, the answer can be sent back

    check()


# --- botocore's report ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("kms", "service-2"))


def botocore_report(service: ServiceModel, name: str, params: Any) -> str | None:
    shape = service.operation_model(name).input_shape
    errors = ParamValidator().validate(params, shape)
    return errors.generate_report() if errors.has_errors() else None


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("DescribeKey", {}),
        ("DescribeKey", {"KeyId": ""}),
        ("DescribeKey", {"KeyId": None}),
        ("DescribeKey", {"KeyId": "k", "Foo": 1, "Bar": 2}),
        ("DescribeKey", {"KeyId": "k", "GrantTokens": "t"}),
        ("DescribeKey", {"KeyId": "k", "GrantTokens": ["", 1, None]}),
        ("DescribeKey", []),
        ("GenerateDataKey", {"KeySpec": 5, "NumberOfBytes": 0, "EncryptionContext": {1: 2}}),
        ("GenerateDataKey", {"KeyId": "k", "EncryptionContext": {"a": None, "b": b"c"}}),
        ("GenerateDataKey", {"KeyId": "k", "NumberOfBytes": 5000, "KeySpec": "NOPE"}),
        ("GenerateDataKey", {"KeyId": "k", "NumberOfBytes": True}),
        ("GenerateDataKey", {"KeyId": "k", "DryRun": "yes"}),
        ("Encrypt", {"KeyId": "k", "Plaintext": 5}),
        ("Encrypt", {"KeyId": "k", "Plaintext": "text"}),
        ("Encrypt", {"KeyId": "k", "Plaintext": io.BytesIO(b"x")}),
        ("TagResource", {"KeyId": "k", "Tags": [{"TagKey": ""}, {"Key": "x"}, 3]}),
        ("CreateGrant", {"KeyId": "k", "Operations": (), "Constraints": {"X": 1}}),
        ("ImportKeyMaterial", {"KeyId": "k", "ImportToken": b"", "EncryptedKeyMaterial": b"",
                               "ValidTo": "soon"}),
        ("ImportKeyMaterial", {"KeyId": "k", "ImportToken": b"", "EncryptedKeyMaterial": b"",
                               "ValidTo": "2030-01-01T00:00:00Z"}),
        ("ImportKeyMaterial", {"KeyId": "k", "ImportToken": b"", "EncryptedKeyMaterial": b"",
                               "ValidTo": [1]}),
    ],
)  # fmt: skip
def test_the_report_is_botocores(service: ServiceModel, name: str, params: Any) -> None:
    assert parameter_report(OPERATIONS[name], params) == botocore_report(service, name, params)


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_the_report_is_botocores_for_any_parameters(service: ServiceModel, name: str) -> None:
    operation = OPERATIONS[name]

    @QUIET
    @given(mutated(operation.input))
    def check(params: Any) -> None:
        # What dateutil guesses of junk is not botocore's contract.
        if "ValidTo" in params and not isinstance(params["ValidTo"], datetime):
            del params["ValidTo"]
        assert parameter_report(operation, params) == botocore_report(service, name, params)

    check()


def test_no_report_for_what_the_model_accepts() -> None:
    params = {"KeyId": "k", "Plaintext": memoryview(b"x")}
    assert parameter_report(OPERATIONS["Encrypt"], params) is None


def test_an_integer_too_large_to_print_is_reported() -> None:
    report = parameter_report(GDK, {"KeyId": "k", "NumberOfBytes": -(10**6000)})
    assert report is not None
    assert "too large to print" in report


def test_client_values_are_what_botocore_sends() -> None:
    sent = client_values(
        OPERATIONS["ImportKeyMaterial"],
        {
            "KeyId": "k",
            "ImportToken": "é",
            "EncryptedKeyMaterial": io.BytesIO(b"m"),
            "ValidTo": "2030-01-01",
        },
    )
    assert sent == {
        "KeyId": "k",
        "ImportToken": "é".encode(),
        "EncryptedKeyMaterial": b"m",
        "ValidTo": datetime(2030, 1, 1, tzinfo=UTC),
    }
    assert OPERATIONS["ImportKeyMaterial"].accepts(sent)
    grown = client_values(OPERATIONS["Decrypt"], {"CiphertextBlob": io.StringIO("text")})
    assert grown == {"CiphertextBlob": b"text"}
    with pytest.raises(ValueError, match="file-like"):
        client_values(OPERATIONS["Decrypt"], {"CiphertextBlob": Reads(5)})


class Reads:
    """A file-like object that reads what it was given."""

    def __init__(self, value: object) -> None:
        self.value = value

    def read(self) -> object:
        return self.value
