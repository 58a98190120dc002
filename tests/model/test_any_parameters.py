"""Any parameters: the fast check and the explanation agree, and the report is botocore's."""

from __future__ import annotations

import copy
import io
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any, TypeAlias

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clavero.model.operations import OPERATIONS
from clavero.model.params import client_values, parameter_report
from clavero.model.shapes import ASCII_ONLY, Shape

Patterns: TypeAlias = dict[str, tuple[list[str], list[str]]]

GDK = OPERATIONS["GenerateDataKey"]


class Spec(StrEnum):
    LONG = "AES_256"


class Size(IntEnum):
    LONG = 32


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ASCII = st.text(st.characters(codec="ascii"), max_size=30)


def valid(of: Shape, patterns: Patterns) -> st.SearchStrategy[Any]:
    """Values that satisfy a shape, in every type that is taken for it."""
    low, high = of.min or 0, of.max
    if of.type == "string":
        if of.enum:
            return st.sampled_from(of.enum)
        if of.pattern is not None:
            fits = [v for v in patterns[of.pattern][0] if low <= len(v) <= (high or len(v))]
            assert fits, of
            return st.sampled_from(fits)
        text = ASCII if of.name in ASCII_ONLY else TEXT
        return text.map(lambda text: text.ljust(low, "x")[:high])
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
        items = st.lists(valid(of.member, patterns), min_size=low, max_size=min(high or 3, 3))
        return items | items.map(tuple)
    if of.type == "map":
        assert of.key is not None
        assert of.value is not None
        return st.dictionaries(valid(of.key, patterns), valid(of.value, patterns), max_size=3)
    required = {name: valid(of.members[name], patterns) for name in of.required}
    optional = {
        name: valid(m, patterns) for name, m in of.members.items() if name not in of.required
    }
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
    st.sampled_from([Spec.LONG, Size.LONG]),
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
def mutated(draw: st.DrawFn, of: Shape, patterns: Patterns) -> Any:
    params = copy.deepcopy(draw(valid(of, patterns).filter(lambda p: not _has_view(p))))
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
def test_valid_parameters_are_accepted(name: str, patterns: Patterns) -> None:
    operation = OPERATIONS[name]

    @QUIET
    @given(valid(operation.input, patterns))
    def check(params: dict[str, Any]) -> None:
        assert operation.accepts(params)
        assert operation.explain(params) is None
        assert operation.is_exact(operation.validated(params))
        assert parameter_report(operation, params) is None

    check()


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_explain_is_none_iff_accepted(name: str, patterns: Patterns) -> None:
    operation = OPERATIONS[name]

    @QUIET
    @given(mutated(operation.input, patterns))
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
def test_the_report_is_botocores_for_any_parameters(
    service: ServiceModel, name: str, patterns: Patterns
) -> None:
    operation = OPERATIONS[name]

    @QUIET
    @given(mutated(operation.input, patterns))
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
