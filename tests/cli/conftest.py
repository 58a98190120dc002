"""What the tests of the command share: a store in a temporary folder, and `clavero` on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clavero.cli.app import app


class Result:
    """What a user gets of one command."""

    def __init__(self, code: int, out: bytes, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """`clavero` on one folder. Fails the test for an exit code that was not announced."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._runner = CliRunner()

    def __call__(self, *arguments: str, code: int = 0, stdin: bytes = b"", **env: str) -> Result:
        result = self._runner.invoke(
            app,
            ["--data", str(self.data), *arguments],
            input=stdin,
            env=env,
            catch_exceptions=False,
        )
        assert result.exit_code == code, result.output
        if code == 1:  # one line, and nothing that looks like a result
            assert result.stderr.count("\n") == 1
            assert "Traceback" not in result.stderr
        return Result(result.exit_code, result.stdout_bytes, result.stderr)

    def json(self, *arguments: str, **more: Any) -> Any:
        return self(*arguments, "--output", "json", **more).json

    def key(self, *arguments: str) -> str:
        """The id of a new key."""
        key_id: str = self.json("key", "create", *arguments)["KeyMetadata"]["KeyId"]
        return key_id


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CLAVERO_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "data")


RunPython = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_python() -> RunPython:
    """Run Python in a process of its own."""

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **env},
        )

    return run
