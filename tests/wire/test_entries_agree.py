"""Both entries take the same parameters and tell the same, whatever they are given."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clavero.model.operations import OPERATIONS
from clavero.model.shapes import Shape

# What only asks may be asked of a key that is there, twice.
ASKING = (
    "Describe",
    "List",
    "Get",
    "Decrypt",
    "Encrypt",
    "Generate",
    "ReEncrypt",
    "Verify",
    "Sign",
)
DEAR = ("RSA_3072", "RSA_4096")  # seconds each
# Values that no type of the API has, or that many have.
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.binary(max_size=3),
    st.just([]), st.just({}), st.just([{}]), st.just({"a": 1}),
)  # fmt: skip


def likely(shape: Shape, name: str, names: list[str], blobs: list[bytes]) -> st.SearchStrategy[Any]:
    """Parameters of the shape in boto3's types."""
    kind = shape.type
    if kind == "structure":
        members = {n: member(m, n, names, blobs) for n, m in shape.members.items()}
        required = {n: members.pop(n) for n in shape.required}
        return st.fixed_dictionaries(required, optional=members)
    if kind == "list":
        assert shape.member is not None
        return st.lists(likely(shape.member, name, names, blobs), max_size=2)
    if kind == "map":
        return st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2)
    if kind == "string":
        if name.endswith(("KeyId", "AliasName")):
            return st.sampled_from(names)
        if shape.enum:
            return st.sampled_from((*(v for v in shape.enum if v not in DEAR), "NONE"))
        return st.text(max_size=4)
    if kind == "blob":
        return st.sampled_from(blobs)
    return {
        "integer": st.integers(-1, 200),
        "boolean": st.booleans(),
        "timestamp": st.just(datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)),
    }[kind]


def member(shape: Shape, name: str, names: list[str], blobs: list[bytes]) -> st.SearchStrategy[Any]:
    fitting = likely(shape, name, names, blobs)
    return st.integers(0, 19).flatmap(lambda dice: ANYTHING if dice == 0 else fitting)


def outcome(method, params: dict[str, Any]) -> tuple[Any, ...]:
    """What a caller gets to know; not the random parts of a success."""
    try:
        answer = method(**params)
    except ParamValidationError as error:
        return ("not sent", str(error))
    except ClientError as error:
        response = dict(error.response)
        metadata = response.pop("ResponseMetadata")
        return (type(error).__name__, str(error), response, metadata["HTTPStatusCode"])
    return ("done", {name: type(value) for name, value in answer.items()})


@pytest.fixture
def entries(kms, kms_client, kms_boto3_client):
    key = kms_client.create_key()["KeyMetadata"]
    kms_client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    blob = kms_client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    return kms_client, kms_boto3_client, key["KeyId"], blob


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_both_entries_tell_the_same(entries, name, data):
    ours, theirs, key_id, blob = entries
    names = ["alias/none", "", "1234abcd-12ab-34cd-56ef-1234567890ab"]
    if name.startswith(ASKING):
        names += [key_id, "alias/a"]
    operation = OPERATIONS[name]
    params = data.draw(likely(operation.input, "", names, [blob, blob[1:], b""]))
    if name == "CreateKey":
        params["Description"] = 5  # it would be made twice
    one, two = (
        outcome(getattr(client, operation.method), dict(params)) for client in (ours, theirs)
    )
    assert one == two
