"""Anything in any parameter of any operation: AWS's exception or boto3's, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError, ParamValidationError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clavero import KMS
from clavero.model.operations import OPERATIONS
from clavero.model.shapes import Shape

# Of an operation that is built; the others end at validation. All together they are over 1,000.
EXAMPLES = 30
EXAMPLES_UNBUILT = 15


class Broken:
    """An object whose every way to be looked at fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def released() -> memoryview:
    view = memoryview(b"gone")
    view.release()
    return view


text = st.text(
    st.characters(codec=None, categories=None) | st.sampled_from("\x00\ud800\udfff\n'\"/:*"),
    max_size=40,
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([2**63, -(2**64), 10**400, 0, -1]),
    st.floats(), text, st.binary(max_size=40), st.binary(max_size=40).map(bytearray),
    st.binary(max_size=9).map(lambda data: memoryview(data)), st.binary(min_size=4, max_size=8).map(
        lambda data: memoryview(data)[::2]),
    st.builds(released), st.builds(object), st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    st.just(datetime.max.replace(tzinfo=UTC)), st.just(np.zeros((2, 2), np.uint8)),
    st.sampled_from(["x" * 70_000, b"x" * 70_000, float("nan"), float("inf"), ..., type]),
)  # fmt: skip
garbage = st.one_of(
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(text | st.integers(), inner, max_size=4)
        ),
        max_leaves=8,
    ),
    st.sampled_from([100, 5_000]).map(deep),
)


@pytest.fixture(scope="module")
def target():
    """A KMS with a key, an alias, a blob and a marker, so that good values reach the operations."""
    with KMS() as kms:
        client = kms.client()
        key = client.create_key()["KeyMetadata"]
        client.create_key()
        client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
        good = {
            "KeyId": [key["KeyId"], key["Arn"], "alias/a"],
            "AliasName": ["alias/a", "alias/new"],
            "CiphertextBlob": [
                client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
            ],
            "Marker": [client.list_keys(Limit=1)["NextMarker"]],
            "Policy": ["{}", "[" * 5000, '{"Statement": NaN}', "\ud800"],
        }
        good["TargetKeyId"] = good["DestinationKeyId"] = good["SourceKeyId"] = good["KeyId"]
        yield client, good


def valid_ish(shape: Shape, good: list[Any]) -> st.SearchStrategy[Any]:
    """Mostly of the right type, often in range, sometimes one that works."""
    kind = shape.type
    if kind == "structure":
        return st.fixed_dictionaries(
            {name: valid_ish(shape.members[name], []) for name in shape.required},
            optional={
                name: valid_ish(member, [])
                for name, member in shape.members.items()
                if name not in shape.required
            },
        )
    if kind == "list":
        assert shape.member is not None
        return st.lists(valid_ish(shape.member, []), max_size=4)
    if kind == "map":
        return st.dictionaries(text, text, max_size=4)
    if kind == "string":
        choices: list[st.SearchStrategy[Any]] = [text]
        if shape.enum:
            choices.append(st.sampled_from(list(shape.enum)))
        if good:
            choices.append(st.sampled_from(good))
        return st.one_of(*choices)
    return {
        "blob": st.one_of(st.sampled_from(good or [b"x"]), st.binary(max_size=100)),
        "integer": st.integers(-1, 1100),
        "boolean": st.booleans(),
        "timestamp": st.datetimes() | text,
    }[kind]


def parameters(operation: str, good: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    members = {
        name: st.one_of(*[valid_ish(member, good.get(name, []))] * 3, garbage)
        for name, member in OPERATIONS[operation].input.members.items()
    }
    exact = st.fixed_dictionaries({}, optional=members)
    return st.one_of(
        exact,
        st.fixed_dictionaries(
            {name: members[name] for name in OPERATIONS[operation].input.required}
        ),
        st.tuples(exact, st.dictionaries(st.sampled_from(["Nonsense", "é"]), garbage)).map(
            lambda pair: {**pair[0], **pair[1]}
        ),
    )


def survives(method: Any, params: dict[str, Any]) -> None:
    """Only the two errors that boto3 has; an internal error is one that was not understood."""
    try:
        method(**params)
    except ParamValidationError:
        pass
    except ClientError as error:
        assert error.response["Error"]["Code"] != "KMSInternalException", error
        str(error)


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_any_parameters_of_an_operation(target, operation):
    client, good = target
    method = getattr(client, OPERATIONS[operation].method)

    built = operation in client._service._handlers
    examples = EXAMPLES if built else EXAMPLES_UNBUILT

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
    @given(parameters(operation, good))
    def run(params: dict[str, Any]) -> None:
        survives(method, params)

    run()


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@example({"NumberOfKeys": 2, "KeySpec": "AES_256", "EncryptionContext": {"\ud800": ""}})
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "NumberOfKeys": st.integers(-1, 50) | garbage,
            "KeySpec": st.sampled_from(["AES_256", "AES_128"]) | garbage,
            "NumberOfBytes": st.integers(-1, 1100) | garbage,
            "EncryptionContext": st.dictionaries(text, text) | garbage,
            "GrantTokens": st.lists(text) | garbage,
            "DryRun": st.booleans() | garbage,
            "Recipient": garbage,
            "Nonsense": garbage,
        },
    )
)
def test_any_parameters_of_generate_data_keys(target, params):
    client, good = target
    survives(client.generate_data_keys, {"KeyId": good["KeyId"][0], **params})


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.binary(max_size=80), max_size=5) | st.lists(garbage, max_size=4) | garbage,
    garbage | st.dictionaries(text, text),
)
def test_any_input_of_the_other_batches(target, many, context):
    client, good = target
    survives(
        client.encrypt_many,
        {"KeyId": good["KeyId"][0], "Plaintexts": many, "EncryptionContext": context},
    )
    survives(client.encrypt_many, {"KeyId": context, "Plaintexts": many})
    survives(client.decrypt_many, {"CiphertextBlobs": many, "EncryptionContext": context})
    survives(client.decrypt_many, {"CiphertextBlobs": many, "KeyId": context})


def test_objects_that_cannot_be_looked_at(target):
    client, good = target
    for params in (
        {"KeyId": Broken()},
        {"KeyId": good["KeyId"][0], "GrantTokens": [Broken()]},
        {"KeyId": good["KeyId"][0], "NumberOfBytes": Broken()},
        {"KeyId": good["KeyId"][0], "EncryptionContext": {"a": Broken()}},
    ):
        survives(client.generate_data_key, params)
        survives(client.generate_data_keys, {"NumberOfKeys": 1, **params})
    survives(client.encrypt_many, {"KeyId": good["KeyId"][0], "Plaintexts": [Broken()]})
    survives(client.encrypt_many, {"KeyId": good["KeyId"][0], "Plaintexts": Broken()})


def test_a_ciphertext_is_needed_though_the_model_lets_it_be_absent(target):
    client, good = target
    for method in (client.decrypt, client.re_encrypt):
        with pytest.raises(ClientError) as caught:
            method(
                **({"DestinationKeyId": good["KeyId"][0]} if method == client.re_encrypt else {})
            )
        assert caught.value.response["Error"]["Message"] == (
            "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy "
            "constraint: Member must not be null"
        )


def test_the_kms_still_works_after_all_that(target):
    client, good = target
    for key in client.list_keys(Limit=1000)["Keys"]:
        # A random call may well have been a good one: disabled the key, or scheduled its deletion.
        if client.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "PendingDeletion":
            client.cancel_key_deletion(KeyId=key["KeyId"])
        if client.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Disabled":
            client.enable_key(KeyId=key["KeyId"])
    assert client.decrypt(CiphertextBlob=good["CiphertextBlob"][0])["Plaintext"] == b"x"
