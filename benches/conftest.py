"""The bench's fixtures, and its table at the end of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benches/ is a folder beside the package

from benches.measuring import LEDGER, Ledger


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    """The table of this run."""
    return LEDGER


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table; a budget that is missed is marked, not failed: the machine is shared."""
    if not LEDGER.lines:
        return
    terminalreporter.section("ratios and budgets")
    for line in LEDGER.lines:
        mark = {True: "met   ", False: "MISSED", None: "      "}[line.met]
        bound = f"   budget {line.budget}" if line.budget else ""
        terminalreporter.write_line(f"{mark} {line.what:<58} {line.figure}{bound}".rstrip())
