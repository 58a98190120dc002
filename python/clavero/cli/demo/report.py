"""What the demo shows: bars while it works, a line for each thing done, the table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from clavero.cli.output import printable

# Logs have no width of their own; the table needs this much.
_LOG_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Timed:
    """So much of something in so many seconds."""

    count: int
    seconds: float
    size: int = 0
    """Bytes, where bytes are what matters."""

    @property
    def rate(self) -> float:
        return self.count / max(self.seconds, 1e-9)

    def text(self) -> str:
        """The rate: in thousands or millions where that reads better, with megabytes of a size."""
        rate = self.rate
        if rate >= 1e6:
            text = f"{rate / 1e6:.2f} M/s"
        elif rate >= 1e4:
            text = f"{rate / 1e3:.0f} k/s"
        else:
            text = f"{rate:,.0f}/s"
        if self.size:
            text += f" {self.size / max(self.seconds, 1e-9) / 1e6:,.0f} MB/s"
        return text


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    ours: Timed
    loop: Timed


def _digits(ratio: float) -> int:
    """Two that say something: 0.08, 4.9, 13."""
    return 2 if ratio < 1 else 1 if ratio < 10 else 0


class Stopwatch:
    """Seconds of a `with` block."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._start = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = perf_counter() - self._start


class Report:
    """Prints to the standard output. Without a terminal there are no bars, only lines."""

    def __init__(self, console: Console | None = None) -> None:
        plain = Console()
        self.console = console or (plain if plain.is_terminal else Console(width=_LOG_WIDTH))
        self.differences = 0

    def step(self, text: str) -> None:
        self.console.print(Text(text, style="bold"))

    def line(self, text: str) -> None:
        self.console.print(Text("  " + printable(text)), soft_wrap=True)

    def right(self, text: str) -> None:
        """Something that had to hold and does."""
        self.console.print(Text.assemble(("  ✓ ", "green"), printable(text)), soft_wrap=True)

    def wrong(self, text: str) -> None:
        """Something that had to hold and does not: the demo fails."""
        self.differences += 1
        self.console.print(
            Text.assemble(("  ✗ DIFFERS: ", "bold red"), printable(text)), soft_wrap=True
        )

    def failed(self, text: str) -> None:
        """The last word, when something differed."""
        self.console.print(Text(printable(text), style="bold red"), soft_wrap=True)

    @contextmanager
    def bar(self, text: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """A bar with the time; call what it gives for each thing done.

        Without a total the bar only moves: a single call tells no progress.
        """
        columns = [TextColumn("  {task.description}"), BarColumn(), TimeElapsedColumn()]
        if total is not None:
            columns.insert(2, MofNCompleteColumn())
        with Progress(
            *columns,
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        ) as progress:
            task = progress.add_task(text, total=total)
            yield lambda: progress.advance(task)

    def table(self, rows: list[Row]) -> None:
        """The rates, side by side."""
        table = Table(
            title="Rates, on this machine, in this run",
            caption="Clavero validates, authorises and puts on record every call, and uses all "
            "cores in one. The loop runs on one core, under a key in its own memory.",
            title_justify="left",
            caption_justify="left",
        )
        table.add_column("")
        for column in ("count", "Clavero", "pyca AESGCM loop", "ratio"):
            table.add_column(column, justify="right")
        for row in rows:
            loop = row.loop.text()
            if row.loop.count != row.ours.count:
                loop += f" of {row.loop.count:,}"
            ratio = row.ours.rate / max(row.loop.rate, 1e-9)
            table.add_row(
                row.what,
                f"{row.ours.count:,}",
                row.ours.text(),
                loop,
                f"{ratio:.{_digits(ratio)}f} x",
            )
        self.console.print(table)
