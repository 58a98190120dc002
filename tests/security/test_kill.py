"""`kill -9` while keys are made, used, deleted, rotated: nothing that was said is lost.

A process works without end (children/killed.py) and says what it did after each call has returned;
it is killed, the store is opened, and everything that it said must be so. One step may have been
under way: of that, either outcome is right, but nothing else. `--kill-rounds N` for more rounds.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from clavero import KMS, ManualClock

WORKER = Path(__file__).with_name("children") / "killed.py"
# In such rounds all blobs that were ever acknowledged are opened, else the newest of each key.
FULL_CHECK = 10


class Expected:
    """What was acknowledged."""

    def __init__(self) -> None:
        self.now = 1_767_225_600.0
        self.states: dict[str, str] = {}
        self.due: dict[str, float] = {}
        self.blobs: dict[str, list[tuple[bytes, str]]] = {}
        self.aliases: dict[str, str] = {}
        self.gone: list[tuple[bytes, str]] = []
        self.requests: list[str] = []
        self.steps = 0

    def advance(self, now: float) -> None:
        self.now = now
        for key in [key for key, due in self.due.items() if due <= now]:
            self.gone += self.blobs.pop(key)[-3:]
            del self.states[key], self.due[key]
            self.aliases = {name: each for name, each in self.aliases.items() if each != key}

    def set_state(self, key: str, state: str, due: float | None) -> None:
        self.states[key] = state
        self.due.pop(key, None)
        if due is not None:
            self.due[key] = due

    def apply(self, step: dict[str, Any], result: dict[str, Any]) -> None:
        """One step that was done."""
        self.steps += 1
        match step["do"]:
            case "create":
                self.states[result["key"]] = "Enabled"
                self.blobs[result["key"]] = []
            case "use" | "batch":
                blob = (bytes.fromhex(result["blob"]), result["digest"])
                self.blobs[result["key"]].append(blob)
                if result["request"]:
                    self.requests.append(result["request"])
            case "alias":
                self.aliases.pop(result["alias"], None)
                if result["key"] is not None:
                    self.aliases[result["alias"]] = result["key"]
            case "state":
                self.set_state(result["key"], result["state"], result.get("due"))

    def read(self, lines: list[bytes]) -> dict[str, Any] | None:
        """Take over what one round said; give the step that was under way."""
        pending: dict[str, Any] | None = None
        for line in lines:
            said = json.loads(line)
            assert "failed" not in said, said
            if "do" in said:
                pending = said
                if said["do"] == "advance":  # the clock is ours: it stands there from now on
                    self.advance(said["now"])
            elif "done" in said:
                assert pending is not None
                assert pending["number"] == said["done"]
                self.apply(pending, said)
                pending = None
        return pending


def check(folder: Path, expected: Expected, pending: dict[str, Any] | None, *, full: bool) -> None:
    """Open the store as it was left, and compare."""
    with KMS(folder, clock=ManualClock(expected.now)) as kms:
        client = kms.client()
        listed = {each["KeyId"] for each in client.list_keys(Limit=1000)["Keys"]}
        found = {key: client.describe_key(KeyId=key)["KeyMetadata"] for key in listed}
        aliases = {
            each["AliasName"]: each["TargetKeyId"]
            for each in client.list_aliases()["Aliases"]
            if "TargetKeyId" in each
        }
        # The step under way happened or did not: take over which.
        doing = pending["do"] if pending else None
        if doing == "create":
            new = listed - set(expected.states)
            assert len(new) <= 1
            for key in new:
                expected.states[key] = "Enabled"
                expected.blobs[key] = []
        elif doing == "alias":
            assert pending is not None
            name = pending["AliasName"]
            assert aliases.get(name) in {expected.aliases.get(name), pending.get("TargetKeyId")}
            expected.aliases.pop(name, None)
            if name in aliases:
                expected.aliases[name] = aliases[name]
        elif doing == "state":
            assert pending is not None
            key = pending["KeyId"]
            date = found[key].get("DeletionDate")
            expected.set_state(
                key, found[key]["KeyState"], None if date is None else date.timestamp()
            )
        assert listed == set(expected.states)
        assert {key: each["KeyState"] for key, each in found.items()} == expected.states
        assert {
            key: each["DeletionDate"].timestamp()
            for key, each in found.items()
            if "DeletionDate" in each
        } == expected.due
        assert aliases == expected.aliases
        for key, blobs in expected.blobs.items():
            open_all(client, key, expected.states[key], blobs if full else blobs[-20:])
            if key in expected.due and blobs:  # put into use for the check, and scheduled again
                expected.due[key] = expected.now + 7 * 86_400
        for blob, _ in expected.gone if full else expected.gone[-3:]:
            with pytest.raises(client.exceptions.InvalidCiphertextException):
                client.decrypt(CiphertextBlob=blob)
        if full and listed:  # rotations that were broken off are brought to an end
            kms.rotate_domain_keys()
            assert len(kms._hsm.domain_keys("us-east-1")) == 1


def open_all(client: Any, key: str, state: str, blobs: list[tuple[bytes, str]]) -> None:
    """Every blob of the key opens to what was acknowledged; if need be it is enabled."""
    if not blobs:
        return
    if state == "PendingDeletion":
        client.cancel_key_deletion(KeyId=key)
    if state != "Enabled":
        client.enable_key(KeyId=key)
    with client.decrypt_many([blob for blob, _ in blobs], KeyId=key) as opened:
        digests = [hashlib.sha256(each).hexdigest() for each in opened]
    assert digests == [digest for _, digest in blobs]
    if state == "PendingDeletion":
        client.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    elif state == "Disabled":
        client.disable_key(KeyId=key)


class Rounds:
    """The process that forks the workers, and its pipe."""

    def __init__(self, start_python: Any) -> None:
        self._process = start_python(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._random = random.Random(20_260_101)

    def run(self, folder: Path, number: int, now: float) -> list[bytes]:
        """Start a worker, kill it at some moment, and give the lines that it had said."""
        process = self._process
        process.stdin.write(f"{folder} {number} {now}\n".encode())
        process.stdin.flush()
        lines: list[bytes] = []
        pid = 0
        while not pid:
            said = json.loads(process.stdout.readline())
            if "pid" in said:
                pid = said["pid"]
            else:  # the worker was faster than its parent
                lines.append(json.dumps(said).encode())
        if self._random.random() < 0.8:
            while not any(b'"ready"' in line for line in lines):
                lines.append(process.stdout.readline())
        time.sleep(self._random.random() * 0.12)
        os.kill(pid, signal.SIGKILL)
        while b'"over"' not in (line := process.stdout.readline()):
            assert line.endswith(b"\n")
            # A line can be cut by the kill; what follows it stands on the same line.
            lines.append(line)
        return lines

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(20)


@pytest.mark.timeout(3600)  # for the number of rounds that one asks for
def test_nothing_acknowledged_is_lost(folder, start_python, request):
    rounds = request.config.getoption("--kill-rounds")
    expected = Expected()
    deletions = 0
    worker = Rounds(start_python)
    try:
        for number in range(rounds):
            pending = expected.read(worker.run(folder, number, expected.now))
            last = number == rounds - 1
            check(folder, expected, pending, full=last or number % FULL_CHECK == FULL_CHECK - 1)
            deletions = max(deletions, len(expected.gone))
    finally:
        worker.close()
    audit = {
        json.loads(line)["requestID"]
        for line in (folder / "audit.jsonl").read_text(encoding="ascii").splitlines()
        if line.endswith("}")
    }
    assert not set(expected.requests) - audit, "an answered call has no record"
    # The rounds must have had something to lose.
    assert expected.steps > rounds
    assert sum(map(len, expected.blobs.values())) + len(expected.gone) > rounds // 4
    if rounds >= 100:
        assert deletions
