"""Each client makes keys, encrypts, opens, signs, pages and meets refusals as it does with AWS."""

from __future__ import annotations

import base64
import json
import subprocess
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

import clavero

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_the_sdk_for_javascript(run: Run):
    folder = installed("javascript", node_packages)
    everything_held(run(tool("node"), folder / "client.mjs"))


def test_the_sdk_for_go(run: Run):
    go = tool("go")

    def install(folder: Path) -> None:
        subprocess.run([go, "build", "-o", "client", "."], cwd=folder, check=True)

    everything_held(run(installed("go", install) / "client"))


def test_the_s3_encryption_client(run: Run):
    # Its cryptography is older than the tests': hence an environment of its own
    folder = installed("s3_encryption", python_packages)
    package = f"PYTHONPATH={Path(clavero.__file__).parents[1]}"
    everything_held(run("env", package, folder / "venv/bin/python", folder / "client.py"))


def test_the_command_line(run: Run, tmp_path: Path):
    aws = installed("aws_cli", python_packages) / "venv/bin/aws"

    def kms(*arguments: str) -> dict[str, object]:
        answer: dict[str, object] = json.loads(run(aws, "kms", *arguments, "--output", "json"))
        return answer

    made = kms("create-key", "--description", "command line")["KeyMetadata"]
    assert isinstance(made, dict)
    run(aws, "kms", "create-alias", "--alias-name", "alias/cli", "--target-key-id", made["KeyId"])
    described = kms("describe-key", "--key-id", "alias/cli")["KeyMetadata"]
    assert described == made
    plain = tmp_path / "plain"
    plain.write_bytes(b"from the command line")
    context = ("--encryption-context", "table=orders")
    sealed = kms("encrypt", "--key-id", "alias/cli", "--plaintext", f"fileb://{plain}", *context)
    blob = tmp_path / "blob"
    blob.write_bytes(base64.b64decode(str(sealed["CiphertextBlob"])))
    opened = kms("decrypt", "--ciphertext-blob", f"fileb://{blob}", *context)
    assert base64.b64decode(str(opened["Plaintext"])) == plain.read_bytes()
    data_key = kms("generate-data-key", "--key-id", "alias/cli", "--key-spec", "AES_256")
    assert len(base64.b64decode(str(data_key["Plaintext"]))) == 32
    signer = kms("create-key", "--key-spec", "ECC_NIST_P256", "--key-usage", "SIGN_VERIFY")
    assert isinstance(signer["KeyMetadata"], dict)
    signing = (
        "--key-id", signer["KeyMetadata"]["KeyId"], "--message", f"fileb://{plain}",
        "--signing-algorithm", "ECDSA_SHA_256",
    )  # fmt: skip
    signature = tmp_path / "signature"
    signature.write_bytes(base64.b64decode(str(kms("sign", *signing)["Signature"])))
    verified = kms("verify", *signing, "--signature", f"fileb://{signature}")
    assert verified["SignatureValid"] is True
    refused = run(aws, "kms", "decrypt", "--ciphertext-blob", f"fileb://{blob}", fails=True)
    assert "InvalidCiphertextException" in refused
    missing = run(aws, "kms", "describe-key", "--key-id", "alias/nothing", fails=True)
    assert "NotFoundException" in missing
    assert "alias/nothing is not found" in missing
    keys = kms("list-keys", "--page-size", "1")["Keys"]
    assert isinstance(keys, list)
    assert len(keys) >= 2
    who = json.loads(run(aws, "sts", "get-caller-identity", "--output", "json"))
    assert who["Arn"] == f"arn:aws:iam::{who['Account']}:root"
