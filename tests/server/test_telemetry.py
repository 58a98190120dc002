"""OpenTelemetry: a span a call, below the client's own, with nothing secret in it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from botocore.config import Config
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tests.server.raw import Target, answer, connected, signed

from clavero import KMS
from clavero.server.telemetry import Telemetry
from clavero.testing import Served, serving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
PLAINTEXT = b"what nobody else may read"


@contextmanager
def traced() -> Iterator[tuple[Served, list[ReadableSpan]]]:
    """A server, and its spans once the block has ended."""
    exporter = InMemorySpanExporter()
    telemetry = Telemetry(exporter)
    spans: list[ReadableSpan] = []
    with KMS() as kms, serving(kms, telemetry=telemetry) as served:
        yield served, spans
    telemetry.close()
    spans += exporter.get_finished_spans()


def client_of(served: Served, service: str = "kms", traceparent: str = TRACEPARENT) -> Any:
    once = Config(retries={"total_max_attempts": 1})
    client = served.boto3_client(service, config=once)
    client.meta.events.register(
        "before-sign", lambda request, **_: request.headers.add_header("traceparent", traceparent)
    )
    return client


def test_a_span_is_named_by_its_operation_and_a_child_of_the_clients():
    with traced() as (served, spans):
        client = client_of(served)
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        sealed = client.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)
        client.close()
    assert [span.name for span in spans] == ["CreateKey", "Encrypt"]
    span = spans[1]
    assert span.kind is SpanKind.SERVER
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "rpc.system": "aws-api",
        "rpc.service": "KMS",
        "rpc.method": "Encrypt",
        "cloud.region": "us-east-1",
        "cloud.account.id": "000000000000",
        "client.address": "127.0.0.1",
        "http.response.status_code": 200,
        "aws.request_id": sealed["ResponseMetadata"]["RequestId"],
    }
    assert span.resource.attributes["service.name"] == "clavero"


def test_nothing_that_was_asked_or_answered_is_in_it():
    with traced() as (served, spans):
        client = client_of(served)
        key_id = client.create_key(Description=PLAINTEXT.decode())["KeyMetadata"]["KeyId"]
        sealed = client.encrypt(
            KeyId=key_id, Plaintext=PLAINTEXT, EncryptionContext={"who": PLAINTEXT.decode()}
        )
        made = client.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        client.close()
        secret = served.access_key.secret_access_key
        with connected(Target.of(served)) as stream:  # a client's text is no operation's name
            target = f"TrentService.{secret}"
            stream.sendall(signed(Target.of(served), PLAINTEXT, target))
            assert answer(stream)[0] == 400
    text = "".join(span.to_json() for span in spans)
    assert spans[-1].name == "UnknownOperation"
    assert '"CreateKey"' in text
    for kept in (secret.encode(), PLAINTEXT, sealed["CiphertextBlob"], made["Plaintext"]):
        for form in (kept, base64.b64encode(kept), kept.hex().encode()):
            assert form not in text.encode()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_refusals_and_failures_are_told_apart(monkeypatch, caplog):
    with traced() as (served, spans):
        client = client_of(served, traceparent="00-" + "0" * 32 + "-" + "0" * 16 + "-01")
        with pytest.raises(client.exceptions.NotFoundException):
            client.describe_key(KeyId="alias/nobody")
        monkeypatch.setattr(served.kms._context.keystore, "generate_random", lambda _size: 1 // 0)
        with pytest.raises(client.exceptions.KMSInternalException):
            client.generate_random(NumberOfBytes=8)
        client.close()
        sts = client_of(served, "sts")
        sts.get_caller_identity()
        sts.close()
        iam = client_of(served, "iam")
        iam.list_users()
        iam.close()
    refused, failed, identity = spans[0], spans[1], spans[-2]
    iam_call = spans[-1]
    assert (iam_call.name, (iam_call.attributes or {})["rpc.service"]) == ("ListUsers", "IAM")
    assert refused.parent is None, "ids of zeros are none"
    assert (refused.attributes or {})["error.type"] == "NotFoundException"
    assert refused.status.status_code is StatusCode.UNSET, "the client's fault is no error of ours"
    assert (failed.attributes or {})["error.type"] == "KMSInternalException"
    assert failed.status.status_code is StatusCode.ERROR
    assert (identity.name, (identity.attributes or {})["rpc.service"]) == (
        "GetCallerIdentity",
        "STS",
    )


def test_a_server_exports_to_the_collector_that_the_variables_name(start, monkeypatch):
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{collector.server_address[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "keys-of-the-shop")
        server = start("--otel", "--volatile")
        client = server.client()
        client.list_keys()
        client.close()
        assert server.stop() == (0, ""), "what was not exported yet is, at the end"
        collector.shutdown()
        thread.join()
    assert [path for path, _ in received] == ["/v1/traces"]
    message = ExportTraceServiceRequest.FromString(received[0][1])
    (resource,) = message.resource_spans
    names = {item.key: item.value.string_value for item in resource.resource.attributes}
    assert names["service.name"] == "keys-of-the-shop"
    assert [span.name for span in resource.scope_spans[0].spans] == ["ListKeys"]


def test_a_collector_that_is_not_there_costs_no_answer(start, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    server = start("--otel", "--volatile")
    client = server.client()
    assert client.list_keys()["Keys"] == []
    client.close()
    code, logged = server.stop()
    assert code == 0
    assert logged, "that nothing was exported is said"
    assert {json.loads(line)["logger"].split(".")[0] for line in logged.splitlines()} == {
        "opentelemetry"
    }


def test_another_protocol_is_refused(start_python, tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    process = start_python(
        "-m", "clavero", "serve", "--data", tmp_path / "data", "--port", "0", "--otel",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "http/protobuf" in " ".join(errors.decode().split())


def test_it_is_imported_when_asked_for_and_said_to_be_missing(start_python, tmp_path):
    without = (
        "import sys; sys.modules['opentelemetry'] = None; from clavero.cli import main; main()"
    )
    process = start_python(
        "-c", without, "serve", "--data", tmp_path / "data", "--port", "0", "--otel",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "pip install 'clavero[otel]'" in " ".join(errors.decode().split())
    asked = (
        "import sys, clavero.cli.app, clavero.server.serve\n"
        "print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    process = start_python("-c", asked, stdout=subprocess.PIPE)
    assert process.communicate(timeout=60)[0] == b"False\n"
    assert sys.modules["opentelemetry"] is not None
