"""What every file keeps to: its first line, its size, where unsafe may stand, no machine paths."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULE_LINES = 600
TEST_LINES = 800  # tables of cases
GENERATED = {"python/clavero/model/generated.py"}

# Each of these says in its second line, or above the item, why.
MAY_BE_UNSAFE = [
    "rust/hsm/src/memory/*",
    "rust/hsm/src/crypto/*",
    "rust/hsm/src/rng.rs",  # RAND_bytes
    "rust/hsm/src/sealed.rs",  # Scratch is Zeroable
    "rust/unseal/src/files.rs",  # geteuid
    "rust/python/src/arrow.rs",
    "rust/python/src/buffer.rs",
    "rust/python/src/pages.rs",
    "rust/python/src/inputs.rs",
]


def tracked(*patterns: str) -> list[Path]:
    """The files of the project that git has or would take, by pattern, that exist."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in sorted(set(listing.split("\0"))) if (ROOT / name).is_file()]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


PYTHON = tracked("*.py")
RUST = tracked("*.rs")


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_a_python_module_says_first_what_lives_there(path: Path):
    text = path.read_text(encoding="utf-8")
    if path.name == "__init__.py" and not text:
        return
    lines = text.splitlines()
    assert lines[1 if lines[0].startswith("#!") else 0].startswith(('"""', 'r"""')), name(path)
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring
    assert docstring.splitlines()[0].strip(), "the first line of the docstring says it"


@pytest.mark.parametrize("path", RUST, ids=name)
def test_a_rust_module_says_first_what_lives_there(path: Path):
    lines = path.read_text(encoding="utf-8").splitlines()
    # A fuzz target must begin with its attribute
    first = next(line for line in lines if not line.startswith("#!["))
    assert first.startswith("//! "), name(path)


@pytest.mark.parametrize("path", PYTHON + RUST, ids=name)
def test_a_module_stays_small_enough_to_read(path: Path):
    if name(path) in GENERATED:
        return
    lines = path.read_text(encoding="utf-8").count("\n")
    limit = TEST_LINES if "tests" in path.relative_to(ROOT).parts else MODULE_LINES
    assert lines <= limit, f"{name(path)} has {lines} lines: split it"


def test_unsafe_stands_where_it_is_allowed():
    for path in RUST:
        if "src" not in path.relative_to(ROOT).parts:
            continue  # tests may fork, dump and corrupt
        text = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
        if re.search(r"\bunsafe\b", text):
            allowed = any(path.relative_to(ROOT).match(pattern) for pattern in MAY_BE_UNSAFE)
            assert allowed, f"{name(path)} has unsafe code"


def test_nothing_speaks_of_the_machine_it_was_written_on():
    machine = re.compile(r"(?<![\w.*}])/(?:root|home|work|Users|opt)/\w")
    for path in tracked(
        ".ci", "*.md", "*.py", "*.rs", "*.toml", "*.sh", "*.in", "*.txt", "Makefile"
    ):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not machine.search(line), f"{name(path)}:{number}: {line.strip()}"


def test_relative_links_in_documents_lead_somewhere():
    for path in tracked("*.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:|#", target):
                assert (path.parent / target.split("#")[0]).exists(), f"{name(path)}: {target}"
