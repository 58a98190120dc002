"""Libraries that envelop, sign and keep keysets by a KMS do with ours what they do with AWS's."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from tests.e2e.conftest import (
    Run,
    everything_held,
    installed,
    node_packages,
    python_packages,
    tool,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.mark.parametrize("library", ["securesystemslib", "tink", "encryption_sdk"])
def test_the_library(library: str, run: Run):
    folder = installed(library, python_packages)
    everything_held(run(folder / "venv/bin/python", folder / "client.py"))


def new_key(run: Run) -> str:
    """A symmetric key, made by the first client that is at hand."""
    python = installed("encryption_sdk", python_packages) / "venv/bin/python"
    make = "import boto3; print(boto3.client('kms').create_key()['KeyMetadata']['Arn'])"
    return run(python, "-c", make).strip()


def test_encryption_sdks_of_two_languages_open_each_other_s_messages(run: Run):
    node, theirs = tool("node"), installed("encryption_sdk_javascript", node_packages)
    ours = installed("encryption_sdk", python_packages)
    python = (ours / "venv/bin/python", ours / "client.py")
    arn, text = new_key(run), "Grüße " * 5000
    message = base64.b64encode(text.encode()).decode()
    sealed = run(*python, "seal", arn, told=message)
    answer = json.loads(run(node, theirs / "client.mjs", arn, text, told=sealed))
    everything_held(json.dumps(answer["seen"]), least=5)
    assert run(*python, "open", arn, told=answer["sealed"]) == message


def test_the_command_line_of_the_encryption_sdk(run: Run, tmp_path: Path):
    program = installed("encryption_cli", python_packages) / "venv/bin/aws-encryption-cli"
    arn, other = new_key(run), new_key(run)
    plain, sealed, opened = (tmp_path / name for name in ("plain", "sealed", "opened"))
    plain.write_bytes(b"a file " * 100_000)

    def cli(how: str, source: Path, into: Path, key: str, fails: bool = False) -> str:
        return run(
            program, how, "--input", source, "--output", into, "--suppress-metadata",
            "--wrapping-keys", f"key={key}", "--encryption-context", "table=orders", fails=fails,
        )  # fmt: skip

    cli("--encrypt", plain, sealed, arn)
    assert b"a file" not in sealed.read_bytes()
    cli("--decrypt", sealed, opened, arn)
    assert opened.read_bytes() == plain.read_bytes()
    refused = cli("--decrypt", sealed, tmp_path / "never", other, fails=True)
    assert "Unable to decrypt any data key" in refused
    assert not (tmp_path / "never").exists()
