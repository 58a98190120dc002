"""One exchange with KMS over any carrier: what is answered, and what is put on record."""

from __future__ import annotations

import json

import pytest

from clavero.iam.decision import Principal
from clavero.wire import json11
from clavero.wire.exchange import Request, answer

ROOT = Principal("arn:aws:iam::000000000000:root", "000000000000")


@pytest.fixture
def ask(kms):
    """Send a body to an operation: the status, the headers, and the JSON or the empty body."""
    scope = kms._directory.scope("us-east-1", ROOT.account)

    def ask(target, body, content_type=json11.CONTENT_TYPE):
        request = Request(target, content_type, body, "tester/1", "192.0.2.7")
        status, headers, sent = answer(kms._service, request, ROOT, scope)
        return status, headers, json.loads(sent) if sent else None

    return ask


def test_an_answer_and_its_record(kms, ask):
    status, headers, body = ask("TrentService.CreateKey", b'{"Description": "d"}')
    assert status == 200
    assert body["KeyMetadata"]["Description"] == "d"
    assert body["KeyMetadata"]["CreationDate"] == 1767225600
    assert set(headers) == {"x-amzn-RequestId", "Content-Type", "Cache-Control"}
    assert headers["Content-Type"] == "application/x-amz-json-1.1"
    assert "no-store" in headers["Cache-Control"]
    (record,) = kms.audit_records()
    assert record["requestID"] == headers["x-amzn-RequestId"]
    assert (record["sourceIPAddress"], record["userAgent"]) == ("192.0.2.7", "tester/1")


def test_an_operation_without_an_answer_has_an_empty_body(ask):
    key_id = ask("TrentService.CreateKey", b"{}")[2]["KeyMetadata"]["KeyId"]
    body = json.dumps({"KeyId": key_id}).encode()
    assert ask("TrentService.DisableKey", body)[::2] == (200, None)


def test_a_body_that_cannot_be_read_is_refused_on_record(kms, ask):
    # ListKeys needs no parameter: nothing may run without having been read
    for body in (b"", b"[]", b"{", b'{"Limit": "5"}', b'{"Limit": 1, "Limit": 2}'):
        status, headers, told = ask("TrentService.ListKeys", body)
        assert (status, told["__type"]) == (400, "SerializationException")
        record = kms.audit_records()[-1]
        assert record["eventName"] == "ListKeys"
        assert record["errorCode"] == "SerializationException"
        assert record["requestID"] == headers["x-amzn-RequestId"]
        assert not record["requestParameters"] or record["requestParameters"] == {"limit": "5"}


def test_what_is_no_operation_is_answered_and_not_recorded(kms, ask):
    for target, content_type in (
        (None, json11.CONTENT_TYPE),
        ("TrentService.Nonsense", json11.CONTENT_TYPE),
        ("TrentService.ListKeys", "text/plain"),
    ):
        status, headers, body = ask(target, b"{}", content_type)
        assert (status, body) == (400, {"__type": "UnknownOperationException"})
        assert len(headers["x-amzn-RequestId"]) == 36
    assert kms.audit_records() == []


def test_refusals_have_their_status_and_type(ask):
    status, _, body = ask("TrentService.DescribeKey", b'{"KeyId": "alias/none"}')
    assert (status, body["__type"]) == (400, "NotFoundException")
    assert "alias/none is not found" in body["message"]
    status, _, body = ask("TrentService.DescribeKey", b"{}")
    assert (status, body["__type"]) == (400, "ValidationException")


def test_a_closed_kms_still_answers(kms, ask):
    kms.close()
    status, headers, body = ask("TrentService.ListKeys", b"{}")
    assert (status, body["__type"]) == (503, "ServiceUnavailableException")
    assert "closed" in body["message"]
    assert len(headers["x-amzn-RequestId"]) == 36
