"""Patterns, bounds and types: what the model takes for a value, and what it does not."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest

from clavero.model.errors import KMSError
from clavero.model.explain import explain
from clavero.model.fastcheck import compile_accepts
from clavero.model.generated import SHAPES
from clavero.model.operations import OPERATIONS
from clavero.model.patterns import compile_pattern, translate
from clavero.model.shapes import Shape, shape

GDK = OPERATIONS["GenerateDataKey"]


def test_every_pattern_of_the_model(patterns: dict[str, tuple[list[str], list[str]]]) -> None:
    assert {traits["pattern"] for traits in SHAPES.values() if "pattern" in traits} == set(patterns)
    for pattern, (good, bad) in patterns.items():
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
