"""How answers are printed: aligned text for people, JSON with AWS's names for programs."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Where no terminal sets a width, nothing is folded: programs read lines.
_UNFOLDED: Final = 1_000_000


def printable(text: str) -> str:
    """The text with all escaped that could steer a terminal: descriptions are others' words."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain(value: Any) -> Any:
    """An answer as JSON has it: bytes in base64, times in ISO 8601, no ResponseMetadata."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items() if k != "ResponseMetadata"}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def write_json(answer: Any) -> None:
    """Print an answer as JSON, in ASCII so that no encoding of a terminal or pipe spoils it."""
    print(json.dumps(plain(answer), indent=2))


def write_record(record: Mapping[str, Any]) -> None:
    """Print one answer, a member a line."""
    table = _table(header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in plain(record).items():
        table.add_row(Text(name), _cell(value))
    _print(table)


def write_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table with a header line."""
    table = _table(header=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(plain(value)) for value in row))
    _print(table)


def write_error(text: str) -> None:
    """Print one line on the standard error."""
    print(printable(" ".join(text.split())), file=sys.stderr)


def _cell(value: Any) -> Text:
    if isinstance(value, list):
        value = ", ".join(str(item) for item in value)
    elif isinstance(value, dict):
        value = ", ".join(f"{k} {v}" for k, v in value.items())
    elif isinstance(value, bool):
        value = "yes" if value else "no"
    return Text(printable("" if value is None else str(value)))


def _table(*, header: bool) -> Table:
    return Table(box=None, show_header=header, pad_edge=False, padding=(0, 2, 0, 0))


def _print(table: Table) -> None:
    console = Console(width=None if sys.stdout.isatty() else _UNFOLDED, highlight=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())
