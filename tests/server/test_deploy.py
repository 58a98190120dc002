"""The unit for systemd and the Dockerfile in `deploy/`: the commands in them are ones that run."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = DEPLOY / "clavero.service"
EVERYWHERE = "0.0.0.0"  # noqa: S104 (in a container, which publishes what it likes)


def unit() -> configparser.ConfigParser:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read(UNIT)
    return read


def dockerfile() -> dict[str, str]:
    """The instructions that stand once, with their continued lines."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split(" ", 1) for line in lines)


def run_until_ready(
    start_python: Any, arguments: list[str], tmp_path: Path, stop: signal.Signals
) -> None:
    """Run `clavero ARGUMENTS` as systemd would, on free ports; it says READY=1, and ends."""
    free = [part.replace(":8443", ":0").replace(":9443", ":0") for part in arguments]
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(address)
        notified.settimeout(60)
        process = start_python(
            "-m", "clavero", "--output", "json", *free, stdout=subprocess.PIPE,
            env_more={"NOTIFY_SOCKET": address},
        )  # fmt: skip
        try:
            assert notified.recv(100) == b"READY=1"
            text = ""
            while not text.endswith("}\n"):
                text += process.stdout.readline().decode()
            url = json.loads(text)["metrics"].replace("/metrics", "/readyz")
            with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 (loopback)
                assert answer.read() == b"ready\n"
            process.send_signal(stop)
            assert notified.recv(100) == b"STOPPING=1"
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def start_with(monkeypatch: pytest.MonkeyPatch, start_python: Any) -> Any:
    def start(*arguments: str, env_more: dict[str, str], **options: Any) -> Any:
        for name, value in env_more.items():
            monkeypatch.setenv(name, value)
        return start_python(*arguments, **options)

    return start


def test_the_unit_s_command_runs_and_says_when_it_is_ready(start_with, tmp_path):
    service = unit()["Service"]
    assert service["Type"] == "notify"
    program, *arguments = shlex.split(service["ExecStart"])
    assert Path(program).name == "clavero"
    assert f"%S/{service['StateDirectory']}" in arguments, "the folder that systemd makes"
    placed = [part.replace("%S", str(tmp_path)) for part in arguments]
    run_until_ready(start_with, placed, tmp_path, signal.SIGTERM)


def test_the_image_s_command_runs(start_with, tmp_path):
    found = dockerfile()
    program, *first = json.loads(found["ENTRYPOINT"])
    assert program == "clavero"
    assert found["VOLUME"] in first
    arguments = [
        part.replace(found["VOLUME"], str(tmp_path / "data")).replace(EVERYWHERE, "127.0.0.1")
        for part in (*first, *json.loads(found["CMD"]))
    ]
    assert f"{EVERYWHERE}:{found['EXPOSE']}" in found["CMD"]
    run_until_ready(start_with, arguments, tmp_path, signal.Signals[found["STOPSIGNAL"]])


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed: the unit is read by the tests above only")
    # As it is, but for the program, which systemd wants to be there
    program = shlex.split(unit()["Service"]["ExecStart"])[0]
    text = UNIT.read_text().replace(program, "/bin/true")
    placed = tmp_path / "clavero.service"
    placed.write_text(text)
    verified = subprocess.run(
        [analyze, "verify", "--man=no", placed], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=30", placed],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0"},
    )
    assert judged.returncode == 0, judged.stdout[-400:]  # of 100: the lower, the less it may do
