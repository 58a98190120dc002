"""`make soak`: a server under mixed load for minutes holds at the end what it held at the start.

The process is `clavero serve` on a folder. Its clients use every kind of key, make and erase keys,
come and go, sign wrongly, break off, and misbehave. Each second it is looked at.
"""

from __future__ import annotations

import time

import pytest
from tests.server.processes import Server
from tests.server.watching import Sample, look, when_idle
from tests.soak.judging import judge, table
from tests.soak.load import Load

SECOND = 1.0


@pytest.mark.soak
@pytest.mark.timeout(0)  # as long as it was asked to take; each wait in it has a bound
def test_a_server_under_load_does_not_grow(pytestconfig, start_python, tmp_path, capsys):
    minutes = pytestconfig.getoption("soak_minutes")
    options = ("--metrics", "127.0.0.1:0", "--test-clock", "--idle-timeout", "5")
    server = Server(start_python, tmp_path / "data", *options)
    try:
        pid, url = server.process.pid, server.greeting["metrics"]
        load = Load(server)
        samples: list[Sample] = []
        with load.running():
            time.sleep(5 * SECOND)
            until = time.monotonic() + minutes * 60
            while time.monotonic() < until and not load.failures:
                samples.append(look(pid, url))
                time.sleep(SECOND)
        assert samples
        idle = when_idle(pid, url)
        verdicts = judge(samples)
        with capsys.disabled():
            report = (
                f"{minutes:g} minutes, {len(samples)} samples. Done: {dict(load.done)}",
                table(verdicts),
                f"idle at the end: {idle.rss >> 20} MiB, {idle.descriptors} descriptors",
            )
            print("", *report, sep="\n")  # noqa: T201 (what the soak is run for)
        assert not [verdict.measure.name for verdict in verdicts if verdict.grew]
        code, logged = server.stop()
        assert (code, logged) == (0, ""), "nothing of it was worth a line in the log"
    finally:
        server.end()
