"""Real clients that we did not write, each with packages of its own, against `clavero serve`.

`make e2e` runs them. Their packages are pinned beside each client; what is installed once is kept
in `target/e2e`. A client whose tool is missing is skipped with the reason, but fails in CI.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KEPT = HERE.parents[1] / "target" / "e2e"
# Of the machine's settings a client must not see: other endpoints, profiles, proxies for loopback.
LEFT_OUT = ("AWS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

Run = Callable[..., str]


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server process on an empty folder; gives the variables that `clavero env` prints."""
    data = tmp_path_factory.mktemp("e2e") / "data"
    clavero = [sys.executable, "-m", "clavero"]
    command = [*clavero, "serve", "--data", str(data), "--port", "0", "--output", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        while server.stdout.readline() not in {"}\n", ""}:
            pass  # the greeting: one JSON object
        asked = [*clavero, "--data", str(data), "env", "--output", "json"]
        told = subprocess.run(asked, check=True, capture_output=True, text=True)
        yield json.loads(told.stdout)
        server.terminate()


@pytest.fixture
def environment(endpoint: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The variables of a client's program: the machine's, the endpoint's, a home of its own."""
    machine = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(LEFT_OUT) and name != "PYTHONPATH"
    }
    home = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    return {**machine, **home, **endpoint, "NODE_EXTRA_CA_CERTS": endpoint["AWS_CA_BUNDLE"]}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Run a client's program to its end in that environment; gives what it prints."""

    def run(*command: str | Path, fails: bool = False, told: str | None = None) -> str:
        done = subprocess.run(
            list(map(str, command)),
            env=environment,
            input=told,
            check=False,
            capture_output=True,
            text=True,
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    return run


def tool(name: str) -> str:
    """The path of a program that a client needs."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed, and CI goes without nothing: see .ci/run")
        pytest.skip(f"{name} is not installed: its client was NOT tested")
    return path


def installed(client: str, install: Callable[[Path], None]) -> Path:
    """The folder of a client, its packages put there by `install(folder)` where their list changed.

    `client.*`, the program that the packages are for, is not built: it is copied each time.
    """
    files = sorted(path for path in (HERE / client).iterdir() if path.is_file())
    digest = hashlib.sha256()
    for file in files:
        if file.stem != "client":
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    folder, mark = KEPT / client, digest.hexdigest()
    stamp = folder / ".stamp"
    fresh = not stamp.exists() or stamp.read_text(encoding="ascii") != mark
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder)
    if fresh:
        install(folder)
        stamp.write_text(mark, encoding="ascii")
    return folder


def python_packages(folder: Path) -> None:
    """Install a client's `requirements.txt` into an environment of its own, `venv`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    # Compiled where it is used: most of botocore is not
    install = [*pip_of(folder), "install", "--no-compile", "--require-hashes"]
    subprocess.run([*install, "-r", str(folder / "requirements.txt")], check=True)


def pip_of(folder: Path) -> list[str]:
    """The tests' pip for a client's environment: a pip of its own would take half the time."""
    python = str(folder / "venv/bin/python")
    return [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "--quiet",
        "--disable-pip-version-check",
    ]


def node_packages(folder: Path) -> None:
    """Install a client's `package-lock.json` into its folder."""
    subprocess.run([tool("npm"), "ci", "--silent", "--ignore-scripts"], cwd=folder, check=True)


def everything_held(output: str, least: int = 8) -> None:
    """Fail unless a client says of all that it saw that it held, and saw enough."""
    seen = json.loads(output)
    assert len(seen) >= least
    assert [name for name, held in seen.items() if held is not True] == []
