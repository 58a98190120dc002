"""A server that was abused holds what it held before: memory, descriptors, threads, connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.server.abusers import ABUSERS
from tests.server.processes import Server
from tests.server.raw import Target, connected
from tests.server.watching import look, when_idle

ROUNDS = 24
# What an allocator keeps in pieces. An abuse that leaves 170 kB behind each time is beyond it.
MARGIN = 4 << 20


@pytest.fixture(scope="module")
def abused(start_python, tmp_path_factory) -> Iterator[tuple[Server, Target]]:
    # On a folder: a KMS in memory keeps its last audit records there
    options = ("--metrics", "127.0.0.1:0", "--idle-timeout", "2")
    server = Server(start_python, tmp_path_factory.mktemp("abused") / "data", *options)
    try:
        yield server, server.target()
    finally:
        server.end()


@pytest.mark.parametrize("name", ABUSERS)
def test_nothing_is_left_of(abused, name):
    server, target = abused
    pid, url = server.process.pid, server.greeting["metrics"]

    def repeatedly(rounds: int) -> None:
        for _ in range(rounds):
            ABUSERS[name](target)

    def abuse(rounds: int) -> int:
        """Abuse by two clients at once; how often a third was served meanwhile."""
        others = [threading.Thread(target=repeatedly, args=(rounds // 2,)) for _ in range(2)]
        client = server.client()
        served = 0
        for thread in others:
            thread.start()
        while any(thread.is_alive() for thread in others):
            client.generate_random(NumberOfBytes=8)
            served += 1
        client.close()
        return served

    abuse(ROUNDS // 3)  # as many at once, so that the allocator has what that needs
    before = when_idle(pid, url)
    served = abuse(ROUNDS)
    after = when_idle(pid, url)
    assert served > 0
    assert after.descriptors == before.descriptors
    assert after.threads == before.threads
    assert after.rss - before.rss < MARGIN


def test_what_is_left_open_is_seen(abused):
    server, target = abused
    pid, url = server.process.pid, server.greeting["metrics"]
    before = when_idle(pid, url)
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(connected(target))
        after = look(pid, url)
    assert after.descriptors >= before.descriptors + 10
    assert after.connections == 10
