"""The judge of a soak sees growth, and takes no warm-up and no outlier for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.server.watching import Sample
from tests.soak.judging import MIB, judge, table

SECONDS = 300


def samples(rss: Callable[[int], float], **others: Callable[[int], int]) -> list[Sample]:
    def at(second: int, name: str) -> int:
        return others.get(name, lambda _second: 30)(second)

    return [
        Sample(
            second,
            int(rss(second) * MIB),
            at(second, "descriptors"),
            at(second, "threads"),
            {"clavero_connections": 9, "clavero_loaded_keys": at(second, "keys")},
        )
        for second in range(SECONDS)
    ]


def grown(found: list[Sample]) -> list[str]:
    return [verdict.measure.name for verdict in judge(found) if verdict.grew]


def test_what_is_steady_after_the_warm_up_is():
    assert grown(samples(lambda second: 60 + min(second, 100) / 5)) == []
    assert grown(samples(lambda second: 90 + 20 * (second == 299))) == [], "one moment is no growth"
    assert grown(samples(lambda second: 90 - second / 10)) == [], "shrinking is none"


def test_a_leak_is_seen():
    # 100 bytes of each of 400 requests a second
    leak = samples(lambda second: 60 + second * 400 * 100 / MIB)
    assert grown(leak) == ["memory (MiB)"]
    assert table(judge(leak)).count("GREW") == 1


@pytest.mark.parametrize(
    ("what", "name"),
    [("descriptors", "descriptors"), ("threads", "threads"), ("keys", "keys in memory")],
)
def test_so_is_what_is_never_given_back(what, name):
    found = samples(lambda _second: 60, **{what: lambda second: 30 + second // 10})
    assert grown(found) == [name]
