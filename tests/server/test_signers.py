"""Requests that others than botocore signed."""

from __future__ import annotations

import json
import subprocess

import pytest

from clavero import KMS
from clavero.testing import serving


@pytest.fixture(scope="module")
def served():
    with KMS() as kms, serving(kms) as made:
        yield made


@pytest.mark.parametrize(("version", "shown"), [("--http1.1", "1.1"), ("--http2", "2")])
def test_curl_signs_and_is_answered_over_both_versions_of_http(
    served, need_program, version, shown
):
    key = served.access_key
    done = subprocess.run(
        [
            need_program("curl"), "--silent", "--show-error", version,
            "--cacert", str(served.ca_path),
            "--aws-sigv4", f"aws:amz:{served.region}:kms",
            "--config", "-",
            "--header", "Content-Type: application/x-amz-json-1.1",
            "--header", "X-Amz-Target: TrentService.ListKeys",
            "--data", '{"Limit": 10}',
            "--write-out", r"\n%{http_version} %{http_code}",
            f"{served.url}/",
        ],
        input=f'user = "{key.access_key_id}:{key.secret_access_key}"\n',
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    body, _, outcome = done.stdout.rpartition("\n")
    assert (json.loads(body), outcome) == ({"Keys": [], "Truncated": False}, f"{shown} 200")
    record = served.kms.audit_records()[-1]
    assert record["eventName"] == "ListKeys"
    assert record["userAgent"].startswith("curl/")
