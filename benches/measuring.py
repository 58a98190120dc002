"""How the bench measures: both sides of a ratio in one run, interleaved, put down on a ledger."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    what: str
    figure: str = ""
    budget: str = ""
    met: bool | None = None  # None: nothing to meet, or nothing measured


class Ledger:
    """Collects the lines of this run."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def ratio(
        self, what: str, ours: float, theirs: float, at_least: float | None, unit: str
    ) -> None:
        """Put down a ratio of two rates that were measured side by side, bound or only told."""
        ratio = ours / theirs
        figure = f"{ratio:6.2f} x   ({_rate(ours)} against {_rate(theirs)} {unit})"
        if at_least is None:
            self.lines.append(Line(what, figure, "none"))
        else:
            self.lines.append(Line(what, figure, f">= {at_least:g} x", ratio >= at_least))

    def missing(self, what: str, why: str) -> None:
        """Put down what was not measured, and why."""
        self.lines.append(Line(what, f"NOT MEASURED: {why}", "not held to it"))

    def note(self, text: str) -> None:
        """Put down what one needs to know of the lines around."""
        self.lines.append(Line(text))

    def beside(self, what: str, ours: float, theirs: float, at_least: float | None) -> None:
        """Put down seconds a call beside another's: how many times as fast, bound or only told."""
        ratio = theirs / ours
        figure = f"{ratio:6.2f} x   ({ours * 1e6:.1f} us against {theirs * 1e6:.1f} us)"
        budget = "none" if at_least is None else f">= {at_least:.2f} x"
        self.lines.append(Line(what, figure, budget, at_least is None or ratio >= at_least))

    def at_most(self, what: str, value: float, most: float, unit: str, note: str = "") -> None:
        """Put down a figure that has an upper bound."""
        figure = f"{value:6.2f} {unit}{note}"
        self.lines.append(Line(what, figure, f"<= {most:g} {unit}", value <= most))


def _rate(rate: float) -> str:
    return f"{rate / 1e6:.2f} M/s" if rate >= 1e6 else f"{rate / 1e3:.1f} k/s"


LEDGER = Ledger()


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process to one core; batches then use one thread."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one run, without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    finally:
        gc.enable()


def interleaved(*works: Callable[[], object], rounds: int = 9) -> list[float]:
    """Median seconds of each, measured in turns, so that a noisy moment meets all of them."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, taken in zip(works, times, strict=True):
            taken.append(seconds(work))
    return [statistics.median(taken) for taken in times]
