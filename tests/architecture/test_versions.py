"""Numbers that are written down in several places agree, and the locked packages are locked."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import clavero
from clavero.model import generated

ROOT = Path(__file__).resolve().parents[2]
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def member(crate: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / crate / "Cargo.toml").read_text(encoding="utf-8"))


def pins(file: str) -> dict[str, str]:
    text = (ROOT / "requirements" / file).read_text(encoding="utf-8")
    return dict(
        re.findall(r"^([a-z0-9._-]+)(?:\[\w+\])?==([^\s;]+)", text, re.MULTILINE | re.IGNORECASE)
    )


def test_the_version_is_written_once():
    version = CARGO["workspace"]["package"]["version"]
    assert "version" in PYPROJECT["project"]["dynamic"]
    for crate in CARGO["workspace"]["members"]:
        assert member(crate)["package"]["version"] == {"workspace": True}, crate
    assert metadata.version("clavero") == version
    assert clavero.__version__ == version


def test_the_lowest_python_is_the_same_everywhere():
    assert PYPROJECT["project"]["requires-python"] == ">=3.11"
    assert PYPROJECT["tool"]["mypy"]["python_version"] == "3.11"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py311"
    assert "abi3-py311" in member("rust/python")["dependencies"]["pyo3"]["features"]


def test_the_model_and_its_tests_have_the_same_botocore():
    assert pins("dev.txt")["botocore"] == pins("dev.txt")["boto3"] == generated.BOTOCORE_VERSION


def test_release_builds_check_overflow_and_unwind():
    release = CARGO["profile"]["release"]
    assert release["overflow-checks"] is True  # a wrapped length is a memory bug
    assert release["panic"] == "unwind"  # Drop wipes


def test_no_wheel_has_the_test_doors():
    hsm = member("rust/hsm")["features"]
    assert "test-door" not in hsm.get("default", [])
    for crate in ("rust/unseal", "rust/python"):
        needs = member(crate)["dependencies"]["clavero-hsm"]
        assert "test-door" not in needs.get("features", [])
    assert not any("test-door" in feature for feature in PYPROJECT["tool"]["maturin"]["features"])


@pytest.mark.parametrize("file", ["bench.txt", "demo.txt", "dev.txt"])
def test_packages_are_locked_by_hash_and_come_from_anywhere(file: str):
    text = (ROOT / "requirements" / file).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE), (
        "no index, no links: the machine says where packages come from"
    )
    for requirement in re.split(r"\n(?=\S)", text):
        if not requirement.startswith("#"):
            assert re.match(r"[\w.-]+(\[\w+\])?==", requirement), requirement
            assert "--hash=sha256:" in requirement, requirement


def test_the_demo_runs_with_the_versions_that_are_tested():
    development = pins("dev.txt")
    for package, version in pins("demo.txt").items():
        assert development[package] == version, package
