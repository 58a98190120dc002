"""The endpoint from outside: who signs, what is answered, what stands on record of it."""

from __future__ import annotations

import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import botocore.exceptions
import pytest
from botocore.config import Config

from clavero import KMS, ManualClock
from clavero.audit.sinks import AuditError
from clavero.server.endpoint import Endpoint
from clavero.server.listeners import Listener
from clavero.testing import serving

ACCOUNT = "111122223333"


@pytest.fixture(scope="module")
def served():
    with KMS(clock=ManualClock()) as kms, serving(kms, account=ACCOUNT) as made:
        yield made


def test_a_call_is_answered_recorded_and_counted(served):
    client = served.boto3_client()
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    blob = client.encrypt(KeyId=key_id, Plaintext=b"text")["CiphertextBlob"]
    answer = client.decrypt(CiphertextBlob=blob)
    assert answer["Plaintext"] == b"text"
    metadata = answer["ResponseMetadata"]
    assert metadata["HTTPHeaders"]["x-amzn-requestid"] == metadata["RequestId"]
    assert metadata["HTTPHeaders"]["content-type"] == "application/x-amz-json-1.1"
    assert metadata["HTTPHeaders"]["cache-control"].startswith("no-cache, no-store")
    record = served.kms.audit_records()[-1]
    assert record["requestID"] == metadata["RequestId"]
    assert record["userIdentity"]["arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert record["sourceIPAddress"] == "127.0.0.1"
    assert record["userAgent"].startswith("Boto3/")
    assert record["tlsDetails"] == {
        "tlsVersion": "TLSv1.3",
        "cipherSuite": "TLS_AES_256_GCM_SHA384",
        "clientProvidedHostHeader": served.url.removeprefix("https://"),
        "keyExchange": "X25519",
    }
    assert "vpcEndpointId" not in record
    metrics = served.endpoint.metrics()
    assert re.search(r'requests_total\{operation="Decrypt",result="ok"\} [1-9]', metrics)
    assert re.search(r'handshakes_total\{version="TLSv1.3",group="X25519"\} [1-9]', metrics)
    client.close()


def test_the_region_of_the_signature_selects_the_region(served):
    client = served.boto3_client()
    other = served.boto3_client(region_name="eu-central-1")
    arn = other.create_key()["KeyMetadata"]["Arn"]
    assert arn.startswith(f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/")
    with pytest.raises(client.exceptions.NotFoundException):
        client.describe_key(KeyId=arn.rsplit("/", 1)[1])
    client.close()
    other.close()


def test_sts_says_who_asks(served):
    client = served.boto3_client("sts")
    answer = client.get_caller_identity()
    assert {name: answer[name] for name in ("Account", "Arn", "UserId")} == {
        "Account": ACCOUNT,
        "Arn": f"arn:aws:iam::{ACCOUNT}:root",
        "UserId": ACCOUNT,
    }
    record = served.kms.audit_records()[-1]
    assert record["eventSource"] == "sts.amazonaws.com"
    assert (record["eventName"], record["readOnly"]) == ("GetCallerIdentity", True)
    assert record["requestID"] == answer["ResponseMetadata"]["RequestId"]
    assert record["userIdentity"]["arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert record["requestParameters"] is None
    assert record["tlsDetails"]["tlsVersion"] == "TLSv1.3"
    before = len(served.kms.audit_records())
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client.get_access_key_info(AccessKeyId="AKIDEXAMPLE00000")
    assert caught.value.response["Error"] == {
        "Type": "Sender",
        "Code": "InvalidAction",
        "Message": "Could not find operation GetAccessKeyInfo for version 2011-06-15",
    }
    assert len(served.kms.audit_records()) == before, "no operation of ours: no call, no record"
    client.close()


def test_sts_gives_no_answer_that_is_not_on_record(served, monkeypatch):
    def fail(_record):
        raise AuditError("the disk is full")

    client = served.boto3_client("sts", config=Config(retries={"total_max_attempts": 1}))
    monkeypatch.setattr(served.kms.wiring.service, "_write_record", fail)
    with pytest.raises(
        botocore.exceptions.ClientError, match="could not be put on record"
    ) as caught:
        client.get_caller_identity()
    assert caught.value.response["Error"]["Code"] == "InternalFailure"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    client.close()


def test_the_trace_of_a_call_is_on_record(served):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for given, kept in ((trace, trace), (trace.upper(), None), (f"{trace}-x", None)):
        client = served.boto3_client()
        client.meta.events.register(
            "before-sign.kms.*",
            lambda request, given=given, **_: request.headers.add_header("traceparent", given),
        )
        client.list_keys()
        client.close()
        extra = served.kms.audit_records()[-1].get("additionalEventData", {})
        assert extra.get("traceparent") == kept


@pytest.mark.parametrize(
    ("service", "changed", "code"),
    [
        ("kms", {"aws_access_key_id": "AKIAUNKNOWN000000"}, "UnrecognizedClientException"),
        ("kms", {"aws_secret_access_key": "wrong"}, "InvalidSignatureException"),
        ("kms", {"aws_session_token": "none of ours"}, "UnrecognizedClientException"),
        ("sts", {"aws_access_key_id": "AKIAUNKNOWN000000"}, "InvalidClientTokenId"),
        ("sts", {"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
    ],
)
def test_who_does_not_sign_right_is_refused(served, service, changed, code):
    credentials = {
        "aws_access_key_id": served.access_key.access_key_id,
        "aws_secret_access_key": served.access_key.secret_access_key,
    }
    client = served.boto3_client(service, **{**credentials, **changed})
    operation = client.list_keys if service == "kms" else client.get_caller_identity
    before = len(served.kms.audit_records())
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        operation()
    assert caught.value.response["Error"]["Code"] == code
    assert len(caught.value.response["ResponseMetadata"]["RequestId"]) == 36
    assert len(served.kms.audit_records()) == before, "nobody asked anything"
    client.close()


def test_a_deleted_access_key_is_refused_at_once(served):
    access_key = served.kms.accounts.create_access_key(ACCOUNT)
    client = served.boto3_client(
        aws_access_key_id=access_key.access_key_id,
        aws_secret_access_key=access_key.secret_access_key,
    )
    client.list_keys()
    served.kms.accounts.delete_access_key(access_key.access_key_id)
    with pytest.raises(client.exceptions.ClientError, match="security token included"):
        client.list_keys()
    client.close()


def test_plain_http_is_for_loopback_only():
    with KMS() as kms:
        with pytest.raises(ValueError, match="plain HTTP is for loopback addresses only"):
            Endpoint(kms, [Listener("0.0.0.0")], tls=None)  # noqa: S104 (refused)
        with serving(kms, tls=None) as made:
            assert made.url.startswith("http://localhost:")
            client = made.boto3_client()
            client.create_key()
            assert "tlsDetails" not in kms.audit_records()[-1]
            client.close()


def test_a_taken_port_is_said():
    with KMS() as kms, Endpoint(kms) as endpoint:
        taken = Listener(port=endpoint.ports[0])
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{endpoint.ports[0]}"):
            Endpoint(kms, [taken])


@pytest.mark.parametrize(("patience", "drained"), [(30.0, True), (0.2, False)])
def test_a_call_in_flight_is_answered_before_the_end_if_there_is_time(patience, drained):
    arrived, may_end = threading.Event(), threading.Event()
    with KMS() as kms, serving(kms) as made:
        service = kms.wiring.service
        write = service._write_record

        def hold(record):
            arrived.set()
            may_end.wait(60)
            write(record)

        service._write_record = hold
        client = made.boto3_client(config=Config(retries={"total_max_attempts": 1}))
        with ThreadPoolExecutor(2) as pool:
            asked = pool.submit(client.list_keys)
            assert arrived.wait(20)
            closing = pool.submit(made.endpoint.close, patience)
            port = made.endpoint.ports[0]
            until = time.monotonic() + 20
            while is_open(port):
                assert time.monotonic() < until, "it still listens"
            if drained:
                may_end.set()
                assert asked.result()["Keys"] == []
            else:
                with pytest.raises(botocore.exceptions.BotoCoreError):
                    asked.result()
                may_end.set()
            assert closing.result() is drained
        assert kms.audit_records()[-1]["eventName"] == "ListKeys"
        client.close()


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def test_a_ca_whose_certificate_is_of_another_key_is_refused(tmp_path):
    with KMS() as other, Endpoint(other) as endpoint:
        foreign = endpoint.ca_certificate
    with KMS(tmp_path / "data") as kms:
        with Endpoint(kms) as endpoint:
            assert endpoint.ca_path is not None
            endpoint.ca_path.write_text(foreign or "")
        with pytest.raises(ValueError, match="its certificate is of another key"):
            Endpoint(kms)


def test_closing_twice_and_after_the_kms_does_nothing():
    kms = KMS()
    endpoint = Endpoint(kms)
    kms.close()
    assert endpoint.close()
    assert endpoint.close()
