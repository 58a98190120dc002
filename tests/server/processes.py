"""`clavero serve` as a process of its own, and commands that ask it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from tests.server.raw import Target

Start = Callable[..., "Server"]


class Server:
    """A server process, its greeting, and commands that ask it."""

    def __init__(self, start_python: Any, data: Path, *options: str) -> None:
        self.data = data
        self._start_python = start_python
        self.begun = time.monotonic()
        self.process = start_python(
            "-m", "clavero", "serve", "--data", data, "--port", "0", "--output", "json", *options,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            line = self.process.stdout.readline().decode()
            if not line:
                raise AssertionError(self.process.stderr.read().decode())
            text += line
        self.started = time.monotonic()
        self.greeting: dict[str, str] = json.loads(text)

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        asking = self._start_python(
            "-m", "clavero", "--data", self.data, *arguments,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        output, errors = asking.communicate()
        return subprocess.CompletedProcess(arguments, asking.returncode, output, errors)

    def environment(self) -> dict[str, str]:
        answer: dict[str, str] = json.loads(self.ask("env", "--output", "json").stdout)
        return answer

    def client(self, service: str = "kms") -> Any:
        found = self.environment()
        session = boto3.Session(
            found["AWS_ACCESS_KEY_ID"],
            found["AWS_SECRET_ACCESS_KEY"],
            region_name=found["AWS_REGION"],
        )
        return session.client(
            service,
            endpoint_url=found[f"AWS_ENDPOINT_URL_{service.upper()}"],
            verify=found.get("AWS_CA_BUNDLE"),
        )

    def target(self) -> Target:
        """Where to send requests that are written by hand."""
        found = self.environment()
        return Target(
            int(found["AWS_ENDPOINT_URL_KMS"].rpartition(":")[2]),
            Path(found["AWS_CA_BUNDLE"]),
            found["AWS_ACCESS_KEY_ID"],
            found["AWS_SECRET_ACCESS_KEY"],
            found["AWS_REGION"],
        )

    def end(self) -> None:
        """Make sure that the process is gone."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def stop(self) -> tuple[int, str]:
        """End by SIGTERM: the exit code, and what was logged."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors.decode()
