"""Quick calls that wait together are recorded in one write, and answered after it or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from clavero import KMS
from clavero.audit.sinks import AuditError, FileSink
from clavero.testing import Served, serving

CALLS = 12


class Stalled:
    """The sink's appends, of which the first waits, so that the calls after it come together."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: bool) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.groups: list[int] = []
        append = FileSink._append

        def stalled(sink: FileSink, text: bytes) -> None:
            first = not self.begun.is_set()
            if first:
                self.begun.set()
                assert self.let_go.wait(20)
            self.groups.append(text.count(b"\n"))
            if failing and not first:
                raise AuditError("no space")
            append(sink, text)

        monkeypatch.setattr(FileSink, "_append", stalled)


@pytest.fixture
def served(tmp_path) -> Iterator[Served]:
    with KMS(tmp_path / "data") as kms, serving(kms) as served:
        yield served


def recorded(served: Served) -> list[dict[str, Any]]:
    assert served.kms.path is not None
    return list(map(json.loads, (served.kms.path / "audit.jsonl").read_text().splitlines()))


def ask_together(served: Served, stalled: Stalled) -> list[Future[dict[str, Any]]]:
    """One call, and CALLS more that arrive while its record is being written."""
    client = served.boto3_client(
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=CALLS + 1)
    )
    arrived = threading.Semaphore(0)
    client.meta.events.register("before-send.kms", lambda **_: arrived.release())

    def call() -> dict[str, Any]:
        answer: dict[str, Any] = client.generate_random(NumberOfBytes=16)
        ids = {record["requestID"] for record in recorded(served)}
        assert answer["ResponseMetadata"]["RequestId"] in ids, "answered before it was on record"
        return answer

    with ThreadPoolExecutor(CALLS + 1) as pool:
        calls = [pool.submit(call)]
        assert stalled.begun.wait(20)
        calls += [pool.submit(call) for _ in range(CALLS)]
        for _ in range(CALLS + 1):
            assert arrived.acquire(timeout=20)
        waited = threading.Event()
        # They are on their way: what has not come by now makes a group of its own.
        waited.wait(0.5)
        stalled.let_go.set()
    return calls


def test_calls_that_wait_are_recorded_in_one_write_before_their_answers(served, monkeypatch):
    stalled = Stalled(monkeypatch, failing=False)
    calls = ask_together(served, stalled)
    answers = [call.result() for call in calls]
    assert len({answer["Plaintext"] for answer in answers}) == CALLS + 1
    ids = [record["requestID"] for record in recorded(served)]
    assert sorted(ids) == sorted(answer["ResponseMetadata"]["RequestId"] for answer in answers)
    assert sum(stalled.groups) == CALLS + 1
    assert max(stalled.groups) > 1
    assert max(stalled.groups) <= 8


def test_no_call_of_a_group_is_answered_whose_records_cannot_be_written(served, monkeypatch):
    stalled = Stalled(monkeypatch, failing=True)
    first, *others = ask_together(served, stalled)
    first.result()
    for call in others:
        with pytest.raises(ClientError, match="could not be put on record") as refused:
            call.result()
        answer = refused.value.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 500
        assert "Plaintext" not in answer
    assert max(stalled.groups) > 1
    assert len(recorded(served)) == 1
