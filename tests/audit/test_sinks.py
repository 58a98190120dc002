"""The sinks: whole lines, unique ids, and a call that cannot be put on record is refused."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clavero.audit.record import AuditRecord
from clavero.audit.sinks import AuditError, FileSink, MemorySink, Sink


def make(number: int = 0, **changes: Any) -> AuditRecord:
    facts: dict[str, Any] = {
        "region": "us-east-1",
        "account": "111122223333",
        "principal_arn": "arn:aws:iam::111122223333:root",
        "params": {"KeyId": "alias/app", "Plaintext": b"hidden"},
        "resources": (),
        "request_id": f"request-{number}",
        "time": 1_767_225_600.0 + number,
    }
    return AuditRecord("Encrypt", **{**facts, **changes})


@pytest.fixture
def ids() -> Callable[[], str]:
    counter = itertools.count()
    return lambda: f"event-{next(counter)}"


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text("ascii")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def in_threads(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_both_are_sinks(tmp_path, ids):
    assert isinstance(MemorySink(ids), Sink)
    assert isinstance(FileSink(tmp_path / "audit", ids), Sink)


def test_memory_keeps_the_latest_and_gives_each_one_id(ids):
    sink = MemorySink(ids, maxlen=3)
    for number in range(5):
        sink.write(make(number))
    first = sink.records()
    assert [each["requestID"] for each in first] == ["request-2", "request-3", "request-4"]
    assert first == sink.records()
    assert len({each["eventID"] for each in first}) == 3
    sink.close()
    sink.close()
    with pytest.raises(AuditError, match="closed"):
        sink.write(make())
    assert sink.records() == first
    with pytest.raises(ValueError, match="at least 1"):
        MemorySink(ids, maxlen=0)


def test_memory_holds_no_plaintext(ids):
    sink = MemorySink(ids)
    record = make()
    sink.write(record)
    assert record.params == {"KeyId": "alias/app"}


def test_memory_with_eight_threads(ids):
    sink = MemorySink(ids, maxlen=500)

    def work(number: int) -> None:
        for turn in range(300):
            sink.write(make(number * 1000 + turn))
            if turn % 100 == 0:
                assert len({each["eventID"] for each in sink.records()}) <= 500

    in_threads(8, work)
    found = sink.records()
    assert len({each["eventID"] for each in found}) == len(found) == 500


def test_file_is_appended_to_and_its_owners_alone(tmp_path, ids):
    path = tmp_path / "audit.jsonl"
    before = os.umask(0)
    try:
        sink = FileSink(path, ids)
    finally:
        os.umask(before)
    sink.write(make(1))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each["requestID"] for each in lines(path)] == ["request-1"]  # before close
    sink.close()
    sink.close()
    with pytest.raises(AuditError, match="closed"):
        sink.write(make(2))
    path.chmod(0o644)
    again = FileSink(path, ids)
    again.write(make(3))
    again.close()
    assert path.stat().st_mode & 0o777 == 0o600
    found = lines(path)
    assert [each["requestID"] for each in found] == ["request-1", "request-3"]
    assert len({each["eventID"] for each in found}) == 2


def test_file_with_eight_threads_has_whole_lines(tmp_path, ids):
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path, ids)

    def work(number: int) -> None:
        for turn in range(200):
            sink.write(make(number * 1000 + turn, error_code="X", error_message="y" * turn * 50))

    in_threads(8, work)
    sink.close()
    found = lines(path)
    assert len({each["eventID"] for each in found}) == len(found) == 1600
    assert len({each["requestID"] for each in found}) == 1600


def test_a_line_that_a_crash_cut_is_ended(tmp_path, ids):
    path = tmp_path / "audit.jsonl"
    path.write_text('{"eventVersion":"1.11","userId')
    sink = FileSink(path, ids)
    sink.write(make(1))
    sink.close()
    first, second = path.read_text().splitlines()
    assert first == '{"eventVersion":"1.11","userId'
    assert json.loads(second)["requestID"] == "request-1"


def test_kill_leaves_every_acknowledged_record_in_a_whole_line(tmp_path):
    path = tmp_path / "audit.jsonl"
    program = (
        "import itertools, pathlib, sys\n"
        "from clavero.audit.record import AuditRecord\n"
        "from clavero.audit.sinks import FileSink\n"
        "ids = map(str, itertools.count())\n"
        "sink = FileSink(pathlib.Path(sys.argv[1]), ids.__next__)\n"
        "for n in itertools.count():\n"
        "    sink.write(AuditRecord('Encrypt', 'r', 'a', 'p', {'KeyId': 'k' * (n % 3000)}, (),\n"
        "                           f'{sys.argv[2]}-{n}', 0.0))\n"
        "    print(n, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for turn in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(path), str(turn)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        told = child.stdout.readline()
        time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        told += child.communicate()[0]
        acknowledged = int(told[: told.rindex("\n")].split("\n")[-1])
        # The kernel may stop a killed process's write between two pages of the file: that record
        # was not acknowledged, and the next open ends its line.
        FileSink(path, str).close()
        text = path.read_text("ascii")
        assert text.endswith("\n")
        found, torn = set(), 0
        for line in text.splitlines():
            try:
                found.add(json.loads(line)["requestID"])
            except ValueError:
                torn += 1
        assert {f"{turn}-{number}" for number in range(acknowledged + 1)} <= found
        assert torn <= turn + 1


def test_a_full_disk_refuses_the_call(ids, monkeypatch, tmp_path):
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path, ids)
    real = os.write

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    def short(fd: int, data: bytes) -> int:
        return real(fd, data[:10])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(AuditError, match="No space left on device"):
        sink.write(make(1))
    monkeypatch.setattr(os, "write", short)
    with pytest.raises(AuditError, match="took 10 of"):
        sink.write(make(2))
    monkeypatch.setattr(os, "write", real)
    sink.write(make(3))
    sink.write(make(4))
    sink.close()
    torn, *whole = path.read_text().splitlines()
    assert len(torn) == 10
    assert [json.loads(line)["requestID"] for line in whole] == ["request-3", "request-4"]


def test_a_size_limit_of_the_system_refuses_the_call(tmp_path):
    """A real failure of the kernel, not a patched one: RLIMIT_FSIZE."""
    program = (
        "import itertools, json, pathlib, resource, signal, sys\n"
        "from clavero.audit.record import AuditRecord\n"
        "from clavero.audit.sinks import AuditError, FileSink\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "sink = FileSink(pathlib.Path(sys.argv[1]), lambda: 'id')\n"
        "kept = 0\n"
        "try:\n"
        "    while True:\n"
        "        sink.write(AuditRecord('Encrypt', 'r', 'a', 'p', None, (), 'q', 0.0)); kept += 1\n"
        "except AuditError as error: print(kept, error)\n"
    )
    path = tmp_path / "audit.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    kept, message = done.stdout.split(" ", 1)
    assert "Calls are refused until then." in message
    whole = path.read_text().split("\n")[:-1]
    assert len(whole) == int(kept)
    for line in whole:
        json.loads(line)


def test_an_unusable_file_is_refused(tmp_path, ids):
    target = tmp_path / "target"
    target.touch()
    link = tmp_path / "link"
    link.symlink_to(target)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (link, tmp_path, tmp_path / "absent" / "audit"):
        with pytest.raises(AuditError, match="cannot be opened"):
            FileSink(path, ids)
    with pytest.raises(AuditError, match="not a regular file"):
        FileSink(fifo, ids)


def test_a_record_that_cannot_be_rendered_refuses_the_call(tmp_path, ids):
    sink = FileSink(tmp_path / "audit", ids)
    with pytest.raises(AuditError, match="cannot be rendered"):
        sink.write(make(time=float("nan")))
    sink.write(make(1))
    sink.close()
    assert len(lines(tmp_path / "audit")) == 1


def test_a_forked_child_can_write_though_a_thread_held_the_lock(tmp_path, ids):
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path, ids)
    with sink._lock:
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                signal.alarm(10)
                sink.write(make(7))
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    sink.write(make(8))
    sink.close()
    assert [each["requestID"] for each in lines(path)] == ["request-7", "request-8"]


def test_a_failed_render_in_memory_never_happens_to_a_caller(ids):
    """A volatile KMS answers first and renders later, so rendering must take whatever was kept."""
    sink = MemorySink(ids)
    for value in (object(), b"x", [object()], {1: object()}, 10**5000, float("inf"), "\ud800"):
        sink.write(make(params={"KeyId": value, "EncryptionContext": value}))
    assert len(sink.records()) == 7


def test_what_is_held_is_appended_at_once(ids, monkeypatch, tmp_path):
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path, ids)
    sink.hold()
    sink.write(make(1))
    in_threads(1, lambda _: sink.write(make(2)))  # another thread holds nothing
    sink.write(make(3))
    assert [each["requestID"] for each in lines(path)] == ["request-2"]
    written: list[bytes] = []
    real = os.write

    def seen(fd: int, data: bytes) -> int:
        written.append(data)
        return real(fd, data)

    monkeypatch.setattr(os, "write", seen)
    sink.release()
    assert [data.count(b"\n") for data in written] == [2]
    sink.write(make(4))
    sink.hold()
    sink.release()
    assert [data.count(b"\n") for data in written] == [2, 1]
    found = [each["requestID"] for each in lines(path)]
    assert found == ["request-2", "request-1", "request-3", "request-4"]
    sink.hold()
    sink.write(make(5))
    sink.close()
    with pytest.raises(AuditError, match="closed"):
        sink.release()


def test_what_is_held_is_refused_together_when_the_disk_is_full(ids, monkeypatch, tmp_path):
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path, ids)
    sink.hold()
    sink.write(make(1))
    sink.write(make(2))
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:-5]))
    with pytest.raises(AuditError, match="took"):
        sink.release()
    monkeypatch.setattr(os, "write", real)
    sink.write(make(3))  # nothing is held any more, and the half line is ended
    *_, last = path.read_text().splitlines()
    assert json.loads(last)["requestID"] == "request-3"
    sink.close()
