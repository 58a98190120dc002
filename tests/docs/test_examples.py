"""The examples in README and docstrings run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import clavero

ROOT = Path(__file__).parents[2]


def _readme_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", _readme_blocks())
def test_readme_examples_run(block: str) -> None:
    """Each Python block of README, in a fresh namespace."""
    exec(compile(block, "README.md", "exec"), {})  # noqa: S102 (our own README)


def test_the_package_docstring_runs() -> None:
    """The indented block of `help(clavero)`."""
    documentation = clavero.__doc__ or ""
    lines = [line[4:] for line in documentation.splitlines() if line.startswith("    ")]
    assert len(lines) > 5
    exec(compile("\n".join(lines), "clavero", "exec"), {})  # noqa: S102 (our own docstring)


def test_readme_names_only_commands_that_exist() -> None:
    """Every `make x` in README is a target of the Makefile."""
    named = set(
        re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    )
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= targets, named - targets
    assert {"demo", "test"} <= named
