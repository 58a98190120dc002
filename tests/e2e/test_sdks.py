"""SDKs and tools that sign and talk on their own: each does with Clavero what it does with AWS."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.e2e.conftest import (
    KEPT,
    Run,
    everything_held,
    installed,
    pip_of,
    python_packages,
    tool,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

GRANTEE = "111122223333"


def test_the_sdk_for_python_by_variables_alone(run: Run, environment: dict[str, str]):
    data = Path(environment["AWS_CA_BUNDLE"]).parents[1]
    clavero = [sys.executable, "-m", "clavero", "--data", str(data), "--output", "json"]
    made = subprocess.run(
        [*clavero, "account", "create", GRANTEE], check=True, capture_output=True, text=True
    )
    grantee = json.loads(made.stdout)
    environment["GRANTEE_ACCESS_KEY_ID"] = grantee["AccessKeyId"]
    environment["GRANTEE_SECRET_ACCESS_KEY"] = grantee["SecretAccessKey"]
    folder = installed("python", python_packages)
    everything_held(run(folder / "venv/bin/python", folder / "client.py"))


def test_the_sdk_for_java(run: Run, endpoint: dict[str, str], tmp_path: Path):
    java, keytool, maven = tool("java"), tool("keytool"), tool("mvn")
    tool("javac")  # java compiles client.java as it starts it, where there is a compiler

    def install(folder: Path) -> None:
        copied = [maven, "--batch-mode", "--quiet", "--strict-checksums"]
        subprocess.run([*copied, "dependency:copy-dependencies"], cwd=folder, check=True)

    folder = installed("java", install)
    # Java reads no PEM where it looks for CAs: what a user of it does once
    store, word = tmp_path / "trusted.p12", "changeit"
    ca = endpoint["AWS_CA_BUNDLE"]
    run(
        keytool, "-importcert", "-noprompt", "-alias", "clavero", "-file", ca,
        "-keystore", store, "-storetype", "PKCS12", "-storepass", word,
    )  # fmt: skip
    trust = (f"-Djavax.net.ssl.trustStore={store}", f"-Djavax.net.ssl.trustStorePassword={word}")
    everything_held(run(java, *trust, "-cp", folder / "lib/*", folder / "client.java"))


def test_the_sdk_for_rust(run: Run):
    cargo = tool("cargo")

    def install(folder: Path) -> None:
        # Beside the folder, which is emptied when a file changes: building the packages takes long
        built = KEPT / "rust-target"
        build = [cargo, "build", "--quiet", "--locked", "--target-dir", str(built)]
        subprocess.run(build, cwd=folder, check=True)
        (folder / "client").hardlink_to(built / "debug" / "client")

    everything_held(run(installed("rust", install) / "client"))


def test_mongodbs_client_side_encryption(run: Run):
    folder = installed("mongodb", python_packages)
    everything_held(run(folder / "venv/bin/python", folder / "client.py"))


def test_the_ansible_module(run: Run, environment: dict[str, str], tmp_path: Path):
    def install(folder: Path) -> None:
        python_packages(folder)
        # The collections come as one package of 21,000 files, of which one collection is wanted
        download = [*pip_of(folder), "download", "--no-deps", "--require-hashes"]
        wanted = str(folder / "collections.txt")
        subprocess.run([*download, "-r", wanted, "-d", str(folder)], check=True)
        (wheel,) = folder.glob("ansible-*.whl")
        with zipfile.ZipFile(wheel) as packed:
            names = packed.namelist()
            packed.extractall(
                folder,
                [name for name in names if name.startswith("ansible_collections/amazon/aws/")],
            )
        wheel.unlink()

    folder, seen = installed("ansible", install), tmp_path / "seen.json"
    environment["ANSIBLE_COLLECTIONS_PATH"] = str(folder)
    playbook = ("-i", "localhost,", "-e", f"seen_path={seen}", folder / "client.yaml")
    run(folder / "venv/bin/ansible-playbook", *playbook)
    everything_held(seen.read_text(encoding="utf-8"))
