"""OpenBao unseals itself with a key of ours, as with one of AWS KMS: seal "awskms"."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.e2e.conftest import Run, installed, python_packages

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

# It listens on a socket of the file system: no port to find, nobody else who finds it
CONFIGURATION = """\
storage "file" {{ path = "{folder}/store" }}
listener "unix" {{ address = "{folder}/bao.sock" }}
seal "awskms" {{
  kms_key_id = "{key_id}"
  endpoint   = "{endpoint}"
}}
"""


@pytest.fixture
def kms(environment: dict[str, str]) -> Iterator[Any]:
    """A client of the tests' own: OpenBao only uses keys."""
    client = boto3.client(
        "kms",
        region_name=environment["AWS_REGION"],
        endpoint_url=environment["AWS_ENDPOINT_URL_KMS"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        verify=environment["AWS_CA_BUNDLE"],
    )
    yield client
    client.close()


def test_openbao_unseals_itself_as_long_as_the_key_may_be_used(
    kms: Any, run: Run, environment: dict[str, str], tmp_path: Path
):
    bao = installed("openbao", python_packages) / "venv/bin/bao"
    environment["BAO_ADDR"] = f"unix://{tmp_path}/bao.sock"
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    configuration = tmp_path / "bao.hcl"
    told = {"folder": tmp_path, "key_id": key_id, "endpoint": environment["AWS_ENDPOINT_URL_KMS"]}
    configuration.write_text(CONFIGURATION.format(**told), encoding="utf-8")
    log = tmp_path / "bao.log"

    @contextmanager
    def server() -> Iterator[None]:
        with (
            log.open("ab") as lines,
            subprocess.Popen(
                [bao, "server", "-config", configuration],
                env=environment,
                stdout=lines,
                stderr=subprocess.STDOUT,
            ) as running,
        ):
            try:
                yield
            finally:
                running.terminate()
                assert running.wait(30) == 0

    def status() -> dict[str, Any]:
        """What the server says of itself; nothing before it listens."""
        asked = subprocess.run(
            [bao, "status", "-format=json"], env=environment, capture_output=True, check=False
        )
        return json.loads(asked.stdout) if asked.returncode in {0, 2} else {}

    def comes(holds: Callable[[dict[str, Any]], bool]) -> None:
        until = time.monotonic() + 60
        while not holds(status()):
            assert time.monotonic() < until, log.read_text(encoding="utf-8")
            time.sleep(0.1)

    def is_unsealed(seen: dict[str, Any]) -> bool:
        return seen.get("sealed") is False and seen["type"] == "awskms"

    with server():
        comes(lambda seen: seen.get("initialized") is False)
        begun = json.loads(run(bao, "operator", "init", "-format=json"))
        assert begun["unseal_keys_b64"] == [], "it is the KMS's key that unseals"
        comes(is_unsealed)
        environment["BAO_TOKEN"] = begun["root_token"]
        run(bao, "secrets", "enable", "-path=orders", "kv")
        run(bao, "kv", "put", "orders/one", "value=kept")

    def read() -> str:
        return run(bao, "kv", "get", "-field=value", "orders/one")

    kms.rotate_key_on_demand(KeyId=key_id)
    with server():
        comes(is_unsealed)
        assert read() == "kept"

    kms.disable_key(KeyId=key_id)
    seen = log.stat().st_size
    with server():
        # It goes on trying, each time with the reason
        comes(lambda _: b"DisabledException" in log.read_bytes()[seen:])
        now = status()
        assert (now["initialized"], now["sealed"]) == (True, True)
        assert "sealed" in run(bao, "kv", "get", "orders/one", fails=True)
        kms.enable_key(KeyId=key_id)
        comes(is_unsealed)
        assert read() == "kept"
