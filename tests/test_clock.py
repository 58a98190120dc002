"""The clocks: the machine's, and the one that is moved by hand."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest

import clavero.clock
from clavero.clock import Clock, ManualClock, SystemClock


def test_both_are_clocks():
    assert isinstance(SystemClock(), Clock)
    assert isinstance(ManualClock(), Clock)


def test_the_system_clock_is_the_machines():
    before = time.time()
    assert before <= SystemClock().now() <= time.time()


def test_a_manual_clock_stands_until_it_is_moved():
    clock = ManualClock()
    assert time.gmtime(clock.now())[:6] == (2026, 1, 1, 0, 0, 0)
    assert clock.advance(1.5) == clock.now() == 1_767_225_601.5
    clock.set(1_767_225_700)
    assert clock.now() == 1_767_225_700.0
    assert type(clock.now()) is float


def test_a_manual_clock_goes_backwards_only_when_told():
    clock = ManualClock(100.0)
    with pytest.raises(ValueError, match="allow_backwards"):
        clock.set(99.0)
    for seconds in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="cannot advance"):
            clock.advance(seconds)
    with pytest.raises(ValueError, match="finite"):
        clock.set(float("nan"))
    assert clock.now() == 100.0
    clock.set(99.0, allow_backwards=True)
    assert clock.now() == 99.0


def test_threads_lose_no_advance():
    clock = ManualClock(0.0)

    def advance() -> None:
        for _ in range(2000):
            clock.advance(1)

    threads = [threading.Thread(target=advance) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.now() == 16_000.0


def test_no_other_module_reads_the_wall_clock():
    package = Path(clavero.clock.__file__).parent
    reads = re.compile(r"\btime\.time\(|\btime_ns\(|\.now\(tz|datetime\.now\(|\.utcnow\(|\.today\(")
    found = [
        str(each.relative_to(package))
        for each in package.rglob("*.py")
        if each.name != "clock.py" and reads.search(each.read_text())
    ]
    assert found == []
