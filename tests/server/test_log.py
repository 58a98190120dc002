"""The server's log: a line of JSON a message, with what finds the call again and no secret."""

from __future__ import annotations

import base64
import io
import json
import logging

import pytest
from botocore.config import Config

from clavero import KMS
from clavero.server.log import JsonFormatter
from clavero.testing import serving

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PLAINTEXT = b"what nobody else may read"


def test_a_failure_is_logged_with_its_trace_and_without_a_secret(monkeypatch):
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("clavero")
    logger.addHandler(handler)
    try:
        with KMS() as kms, serving(kms) as served:
            once = Config(retries={"total_max_attempts": 1})
            client = served.boto3_client(config=once)
            client.meta.events.register(
                "before-sign",
                lambda request, **_: request.headers.add_header("traceparent", TRACEPARENT),
            )
            key_id = client.create_key()["KeyMetadata"]["KeyId"]

            def fail(_material: object, plaintext: bytes, _context: object) -> bytes:
                secret = served.access_key.secret_access_key
                raise RuntimeError(len(plaintext) * len(secret))  # both are in this frame

            monkeypatch.setattr(kms._context.keystore, "encrypt", fail)
            with pytest.raises(client.exceptions.KMSInternalException) as caught:
                client.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)
            client.close()
            secret = served.access_key.secret_access_key.encode()
    finally:
        logger.removeHandler(handler)
    text = out.getvalue()
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines, "the failure is there"
    assert {line["logger"] for line in lines} == {"clavero.service"}
    assert lines[0]["level"] == "error"
    assert lines[0]["traceparent"] == TRACEPARENT
    assert lines[0]["request_id"] in str(caught.value)
    assert "RuntimeError" in lines[0]["traceback"]
    for kept in (PLAINTEXT, secret):
        for form in (kept, base64.b64encode(kept), kept.hex().encode()):
            assert form not in text.encode()
