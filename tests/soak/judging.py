"""What a soak found: samples over time, judged after the warm-up, and the table that says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.server.watching import Sample

# Before it, caches fill, and the allocator gets what it needs for the busiest moment.
WARM_UP: Final = 0.4
# The last part of the rest is compared with its first part: a fifth of it each.
PART: Final = 0.2

MIB: Final = 1 << 20


@dataclass(frozen=True)
class Measure:
    """Something that must not grow: how it is read, and by how much it may, in its unit."""

    name: str
    read: Callable[[Sample], float]
    margin: float


# Memory: the allocator's pieces, the tables of metrics. At some hundred requests a second, three
# minutes after the warm-up, 100 bytes that stay of each request are beyond it.
MEASURES: Final = (
    Measure("memory (MiB)", lambda sample: sample.rss / MIB, 4.0),
    # Of connections as they come and go, and files of the store that are open for a moment
    Measure("descriptors", lambda sample: sample.descriptors, 8),
    Measure("threads", lambda sample: sample.threads, 2),
    Measure("connections", lambda sample: sample.connections, 8),
    Measure("keys in memory", lambda sample: sample.metrics["clavero_loaded_keys"], 8),
)


@dataclass(frozen=True)
class Verdict:
    """One measure, before and after."""

    measure: Measure
    first: float
    last: float
    most: float

    @property
    def grew(self) -> bool:
        return self.last - self.first > self.measure.margin


def judge(samples: Sequence[Sample]) -> list[Verdict]:
    """Compare the end with what there was after the warm-up."""
    steady = samples[int(len(samples) * WARM_UP) :]
    part = max(1, int(len(steady) * PART))
    assert len(steady) >= 2 * part, "too few samples to judge by"
    verdicts = []
    for measure in MEASURES:
        values = [measure.read(sample) for sample in steady]
        verdicts.append(
            Verdict(measure, median(values[:part]), median(values[-part:]), max(values))
        )
    return verdicts


def table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts for people."""
    head = f"{'':16}{'after warm-up':>15}{'at the end':>12}{'most':>9}{'may grow by':>13}"
    lines = [
        f"{verdict.measure.name:16}{verdict.first:15.1f}{verdict.last:12.1f}{verdict.most:9.1f}"
        f"{verdict.measure.margin:13.1f}{'  GREW' if verdict.grew else ''}"
        for verdict in verdicts
    ]
    return "\n".join([head, *lines])
