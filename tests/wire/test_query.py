"""IAM's forms as any client may write them, and its XML."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest

from clavero import KMS
from clavero.iam.principals import Principal
from clavero.model.iam_api import IAM_OPERATIONS
from clavero.wire import query, sts
from clavero.wire.exchange import Request

A = "111122223333"
NAMESPACE = "{https://iam.amazonaws.com/doc/2010-05-08/}"


@pytest.fixture(scope="module")
def kms():
    with KMS() as made:
        yield made


def ask(kms: KMS, action: str, *, principal: str = f"arn:aws:iam::{A}:root", **form: str) -> Any:
    wiring = kms.wiring
    body = urlencode({"Action": action, "Version": "2010-05-08", **form}).encode()
    scope = wiring.scope_of("us-east-1", A)
    status, request_id, text = sts.respond(
        wiring.service, Request(None, None, body), Principal(principal, A), scope
    )
    root = ET.fromstring(text)  # noqa: S314 - our own
    assert next(root.iter(f"{NAMESPACE}RequestId")).text == request_id
    return status, {each.tag.removeprefix(NAMESPACE): each.text for each in root.iter()}


def test_lists_and_tags_are_read_in_the_order_of_their_numbers():
    operation = IAM_OPERATIONS["UntagUser"]
    form = {"UserName": "u", "TagKeys.member.10": "c", "TagKeys.member.2": "b",
            "TagKeys.member.1": "a", "TagKeys.member.x": "no", "Other": "no"}  # fmt: skip
    assert query.read(operation, form) == {"UserName": "u", "TagKeys": ["a", "b", "c"]}
    form = {"UserName": "u", "Tags.member.1.Value": "1", "Tags.member.1.Key": "a"}
    assert query.read(IAM_OPERATIONS["TagUser"], form)["Tags"] == [{"TagKey": "a", "TagValue": "1"}]


@pytest.mark.parametrize(
    ("action", "form", "code", "word"),
    [
        ("CreateUser", {}, "ValidationError", "Value null at 'userName'"),
        ("TagUser", {"UserName": "u"}, "ValidationError", "Value null at 'tags'"),
        ("TagUser", {"UserName": "u", "Tags.member.1.Key": "a"}, "InvalidInput", "Key and a Value"),
        ("ListUsers", {"MaxItems": "many"}, "MalformedInput", "MaxItems must be a number"),
        ("ListUsers", {"MaxItems": "0"}, "ValidationError", "greater than or equal to 1"),
        ("ListPolicies", {"OnlyAttached": "yes"}, "MalformedInput", "must be a truth"),
        ("ListPolicies", {"Scope": "Ours"}, "ValidationError", "[All, AWS, Local]"),
        ("CreateUser", {"UserName": "a b"}, "ValidationError", "alphanumeric"),
        ("GetPolicy", {"PolicyArn": "x"}, "InvalidInput", "is not valid"),
        ("Fly", {}, "InvalidAction", "Could not find operation Fly"),
    ],
)
def test_what_is_no_request_is_refused_in_iam_s_words(kms, action, form, code, word):
    status, members = ask(kms, action, **form)
    assert (status, members["Code"]) == (400, code)
    assert word in members["Message"]
    assert members["Type"] == "Sender"


def test_a_role_s_session_must_name_the_user(kms):
    session = f"arn:aws:sts::{A}:assumed-role/App/one"
    _, members = ask(kms, "ListAccessKeys", principal=session)
    assert members["Code"] == "ValidationError"
    status, members = ask(kms, "ListUsers", principal=session)
    assert (status, members["Code"]) == (403, "AccessDenied")
    assert f"on resource: arn:aws:iam::{A}:user/ because" in members["Message"]


def test_a_failure_of_the_service_is_the_receiver_s(kms, monkeypatch):
    def broken(*_arguments: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(kms.identities.users, "all", broken)
    status, members = ask(kms, "ListUsers")
    assert (status, members["Code"], members["Type"]) == (500, "ServiceFailure", "Receiver")
