"""The examples in README and docstrings run as they stand."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import clavero
import clavero.testing
from clavero.seeds.document import MEMBERS

LANGUAGES = ("json", "toml", "python")
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


def test_the_project_in_docs_testing_passes(
    start_python: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """The blocks that begin with a file's name, as a project of their own; none is left out."""
    text = (ROOT / "docs" / "testing.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = []
    for block in blocks:
        named = re.match(r"# ([a-z_]+\.py)\n", block)
        assert named is not None, block
        names.append(named[1])
        (tmp_path / named[1]).write_text(block)
    assert names == [
        "conftest.py",
        "orders.py",
        "test_given.py",
        "test_its_own.py",
        "test_throttled.py",
    ]
    # The imports are what a reader copies: fixtures are used by their names
    fixtures = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert sorted([*fixtures, "Served", "serving"]) == sorted(clavero.testing.__all__)
    done = start_python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path,
        cwd=tmp_path, stdout=subprocess.PIPE,
    )  # fmt: skip
    told = done.communicate(timeout=100)[0].decode()
    assert done.returncode == 0, told
    assert "7 passed" in told


def test_the_seed_in_docs_seeds_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON block is the file that the Python block reads, and the TOML block says the same."""
    text = (ROOT / "docs" / "seeds.md").read_text()
    blocks = {kind: re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in LANGUAGES}
    assert [len(blocks[kind]) for kind in LANGUAGES] == [1, 1, 1]
    (document,), (toml,), (program,) = (blocks[kind] for kind in LANGUAGES)
    (tmp_path / "seed.json").write_text(document)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "seeds.md", "exec"), {})  # noqa: S102 (our own document)
    assert tomllib.loads(toml)["keys"][0] == json.loads(document)["keys"][0]
    # The members that the table has are the ones that there are
    rows = re.findall(r"^\| (`[a-z_`, ]+) \|", text, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == set(MEMBERS)


def test_the_identities_in_docs_are_seeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "identities.md").read_text()
    (document,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "seed.json").write_text(document)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "identities.md", "exec"), {})  # noqa: S102 (our own document)
    refusal = "because no identity-based policy allows the kms:Decrypt action"
    assert refusal in capsys.readouterr().out
