"""Whatever is asked, KMS answers in its own words: no body makes the service fail."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clavero import KMS, ManualClock
from clavero.iam.decision import Principal
from clavero.model.errors import HTTP_STATUS
from clavero.model.operations import OPERATIONS
from clavero.model.shapes import Shape
from clavero.wire import json11
from clavero.wire.exchange import Request, answer

ROOT = Principal("arn:aws:iam::000000000000:root", "000000000000")
DEAR = ("RSA_3072", "RSA_4096")  # seconds each


class Peer:
    """A KMS with a key of each kind that is built, and a way to send it bodies."""

    def __init__(self) -> None:
        self.kms = KMS(clock=ManualClock())
        client = self.kms.client()
        key = client.create_key()["KeyMetadata"]
        client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
        blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
        self.names = [key["KeyId"], key["Arn"], "alias/a", "alias/none", "arn:aws:kms:x", "k"]
        self.blobs = [blob, blob[:-1], b"x"]
        self._scope = self.kms._directory.scope("us-east-1", ROOT.account)

    def ask(self, operation: str, body: bytes) -> tuple[int, Any]:
        request = Request(f"TrentService.{operation}", json11.CONTENT_TYPE, body)
        status, _, sent = answer(self.kms._service, request, ROOT, self._scope)
        return status, json.loads(sent) if sent else None


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.kms.close()


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just([]),
    st.just({}), st.just([{}]), st.just("\ud800"),
)  # fmt: skip


def likely(peer: Peer, shape: Shape, name: str) -> st.SearchStrategy[Any]:
    """JSON for the shape: mostly what satisfies it, so that operations get to run."""
    kind = shape.type
    if kind == "structure":
        members = {n: member(peer, m, n) for n, m in shape.members.items()}
        required = {n: members.pop(n) for n in shape.required}
        return st.fixed_dictionaries(required, optional=members)
    if kind == "list":
        assert shape.member is not None
        return st.lists(likely(peer, shape.member, name), max_size=3)
    if kind == "map":
        return st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)
    if kind == "string":
        if shape.enum:
            return st.sampled_from([value for value in shape.enum if value not in DEAR])
        if name.endswith(("KeyId", "AliasName")):
            return st.sampled_from(peer.names)
        return st.text(min_size=shape.min or 0, max_size=max(12, shape.min or 0))
    if kind == "blob":
        return st.sampled_from(peer.blobs).map(lambda blob: b64encode(blob).decode())
    if kind == "integer":
        return st.integers(shape.min or 0, min(shape.max or 100, 400))
    if kind == "boolean":
        return st.booleans()
    return st.integers(0, int(timedelta(days=40_000).total_seconds()))


def member(peer: Peer, shape: Shape, name: str) -> st.SearchStrategy[Any]:
    fitting = likely(peer, shape, name)
    return st.integers(0, 19).flatmap(lambda dice: anything if dice == 0 else fitting)


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_request_has_an_answer_of_kms(peer, name, data):
    params = data.draw(likely(peer, OPERATIONS[name].input, ""))
    status, body = peer.ask(name, json.dumps(params).encode())
    if status == 200:
        shape = OPERATIONS[name].output
        assert (body is None) == (shape is None)
        assert shape is None or set(body) <= set(shape.members)
    else:
        assert HTTP_STATUS[body["__type"]] == status
        assert status < 500, body
