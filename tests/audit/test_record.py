"""The record: CloudTrail's shape, nothing secret in it, one line whatever the caller sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavero.audit import members
from clavero.audit import record as module
from clavero.audit.record import AuditRecord, line, render
from clavero.ops.call import Transport

ROOT = "arn:aws:iam::111122223333:root"
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ALIAS = "arn:aws:kms:us-east-1:111122223333:alias/app"


def make(operation: str = "GenerateDataKey", **changes: Any) -> AuditRecord:
    facts: dict[str, Any] = {
        "region": "us-east-1",
        "account": "111122223333",
        "principal_arn": ROOT,
        "params": {"KeyId": "alias/app"},
        "resources": (KEY,),
        "request_id": "e0eb83e3-63bc-11e4-bc2b-4198b6150d5c",
        "time": 1_767_225_600.75,
    }
    record = AuditRecord(operation, **{**facts, **changes})
    record.event_id = "a9dea4f9-8395-46c0-942c-f509c02c2b71"
    return record


def shown(record: AuditRecord) -> dict[str, Any]:
    text = render(record)
    assert text.isascii()
    assert "\n" not in text
    assert line(record) == text.encode() + b"\n"
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_the_whole_record_of_an_allowed_call():
    params = {
        "KeyId": "alias/app",
        "KeySpec": "AES_256",
        "EncryptionContext": {"Department": "Engineering", "project": "Alpha"},
        "DryRun": False,
        "GrantTokens": ["secret-grant-token"],
    }
    assert shown(make(params=params, extra={"keyMaterialId": "0" * 64})) == {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "Root",
            "principalId": "111122223333",
            "arn": ROOT,
            "accountId": "111122223333",
        },
        "eventTime": "2026-01-01T00:00:00Z",
        "eventSource": "kms.amazonaws.com",
        "eventName": "GenerateDataKey",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "127.0.0.1",
        "userAgent": "clavero",
        "requestParameters": {
            "keyId": "alias/app",
            "keySpec": "AES_256",
            "encryptionContext": {"Department": "Engineering", "project": "Alpha"},
            "dryRun": False,
        },
        "responseElements": None,
        "additionalEventData": {"keyMaterialId": "0" * 64},
        "requestID": "e0eb83e3-63bc-11e4-bc2b-4198b6150d5c",
        "eventID": "a9dea4f9-8395-46c0-942c-f509c02c2b71",
        "resources": [{"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": KEY}],
        "readOnly": True,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": "111122223333",
        "eventCategory": "Management",
    }


def test_a_denied_call_has_its_error_and_no_resources():
    record = shown(
        make(
            params=None,
            resources=(),
            error_code="AccessDenied",
            error_message='User: "x"\nis not authorized',
        )
    )
    assert record["errorCode"] == "AccessDenied"
    assert record["errorMessage"] == 'User: "x"\nis not authorized'
    assert record["requestParameters"] is None
    assert record["resources"] == []
    assert "errorCode" not in shown(make())


def test_answers_that_aws_shows_and_no_others():
    metadata = {"AWSAccountId": "1", "KeyId": "k", "Enabled": True, "CreationDate": 1_617_217_110.0}
    created = shown(make("CreateKey", response={"KeyMetadata": metadata}))
    assert created["responseElements"] == {
        "keyMetadata": {
            "aWSAccountId": "1",
            "keyId": "k",
            "enabled": True,
            "creationDate": "Mar 31, 2021, 6:58:30 PM",
        }
    }
    when = datetime(2021, 4, 12, 0, 58, 30, tzinfo=UTC)
    scheduled = shown(
        make(
            "ScheduleKeyDeletion",
            params={"KeyId": "k", "PendingWindowInDays": 20},
            response={"KeyId": KEY, "KeyState": "PendingDeletion", "DeletionDate": when},
        )
    )
    assert scheduled["requestParameters"] == {"keyId": "k", "pendingWindowInDays": 20}
    assert scheduled["responseElements"]["deletionDate"] == "Apr 12, 2021, 12:58:30 AM"
    assert scheduled["readOnly"] is False
    generated = shown(make(response={"Plaintext": b"s", "CiphertextBlob": b"c", "KeyId": KEY}))
    assert generated["responseElements"] is None


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        (ROOT, {"type": "Root", "principalId": "111122223333"}),
        ("arn:aws:iam::111122223333:user/team/Alice", {"type": "IAMUser", "userName": "Alice"}),
        ("arn:aws:sts::111122223333:assumed-role/R/session", {"type": "AssumedRole"}),
        ("arn:aws:iam::111122223333:role/R", {"type": "Role"}),
        ('nonsense"\n', {"type": "Unknown", "accountId": "111122223333"}),
    ],
)
def test_who_called(arn, expected):
    identity = shown(make(principal_arn=arn))["userIdentity"]
    assert identity["arn"] == arn
    assert identity.items() >= expected.items()


def test_what_the_service_does_by_itself():
    record = shown(make("DeleteKey", principal_arn="", params=None, response={"KeyId": KEY}))
    assert record["userIdentity"] == {"accountId": "111122223333", "invokedBy": "AWS Internal"}
    assert record["eventType"] == "AwsServiceEvent"
    assert record["responseElements"] == {"keyId": KEY}
    assert record["readOnly"] is False


def test_resources_of_several_kinds_and_accounts():
    foreign = KEY.replace("111122223333", "444455556666")
    record = shown(make("CreateAlias", resources=(ALIAS, foreign, "odd")))
    assert record["resources"] == [
        {"accountId": "111122223333", "type": "AWS::KMS::Alias", "ARN": ALIAS},
        {"accountId": "444455556666", "type": "AWS::KMS::Key", "ARN": foreign},
        {"accountId": "", "type": "AWS::KMS::Key", "ARN": "odd"},
    ]


SECRET_MEMBERS = {
    "Plaintext",
    "Plaintexts",
    "CiphertextBlob",
    "CiphertextBlobs",
    "CiphertextForRecipient",
    "Message",
    "Signature",
    "Mac",
    "PublicKey",
    "PrivateKeyPlaintext",
    "PrivateKeyCiphertextBlob",
    "EncryptedKeyMaterial",
    "ImportToken",
    "GrantTokens",
    "GrantToken",
    "Recipient",
    "SharedSecret",
    "KeyStorePassword",
    "XksProxyAuthenticationCredential",
    "TrustAnchorCertificate",
}


def test_no_secret_member_is_listed():
    for table in (members.REQUEST, members.RESPONSE):
        for names in table.values():
            assert not SECRET_MEMBERS & set(names)


@pytest.mark.parametrize("operation", [*members.REQUEST, "NotYetKnown"])
def test_secret_members_reach_neither_the_line_nor_a_detached_record(operation):
    secret = "Zx9-secret"
    params = dict.fromkeys(SECRET_MEMBERS, secret) | {"KeyId": "k", "NewMember": secret}
    record = make(operation, params=params, response=dict(params))
    assert secret not in render(record)
    record.detach()
    assert secret not in repr((record.params, record.response))
    assert secret not in render(record)


def test_bytes_under_a_listed_name_are_only_named():
    record = make(
        params={"KeyId": b"plaintext!", "EncryptionContext": {b"plaintext!": b"plaintext!"}}
    )
    for _ in range(2):
        assert shown(record)["requestParameters"] == {
            "keyId": "<bytes>",
            "encryptionContext": {"<bytes>": "<bytes>"},
        }
        record.detach()
        assert b"plaintext!" not in (record.params or {}).values()


def test_a_detached_record_does_not_follow_its_caller():
    context = {"a": "1"}
    tags = [{"TagKey": "a", "TagValue": "1"}]
    extra = {"count": 5}
    record = make("CreateKey", params={"Tags": tags, "Description": "x"}, extra=extra)
    other = make(params={"KeyId": "k", "EncryptionContext": context})
    for each in (record, other):
        each.detach()
    context["a"] = "changed"
    tags[0]["TagValue"] = "changed"
    extra["count"] = 6
    assert "changed" not in render(record) + render(other)
    assert shown(record)["requestParameters"]["tags"] == [{"tagKey": "a", "tagValue": "1"}]
    assert shown(record)["additionalEventData"] == {"count": 5}


def test_members_are_named_as_cloudtrail_does_but_contexts_are_kept():
    constraints = {"EncryptionContextSubset": {"KeepCase": "1"}}
    record = shown(
        make("CreateGrant", params={"Constraints": constraints, "Operations": ["Decrypt"]})
    )
    assert record["requestParameters"] == {
        "constraints": {"encryptionContextSubset": {"KeepCase": "1"}},
        "operations": ["Decrypt"],
    }


def test_what_is_too_large_is_cut():
    long = shown(make(params={"KeyId": "k" * 1_000_000}))["requestParameters"]["keyId"]
    assert long == "k" * 256 + "... (1000000 characters)"
    wide = make(params={"EncryptionContext": {f"n{i}": "v" * 1000 for i in range(5000)}})
    assert shown(wide)["requestParameters"]["omitted"] is True
    wide.detach()
    assert wide.params is not None
    kept = wide.params["EncryptionContext"]
    assert isinstance(kept, dict)
    assert len(kept) == 1000
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    record = make("CreateGrant", params={"Operations": deep})
    assert "<list>" in render(record)
    record.detach()
    assert "<list>" in render(record)
    numbers = [10**5000, float("nan"), 1.5, True, None]
    assert shown(make("CreateGrant", params={"Operations": numbers}))["requestParameters"] == {
        "operations": ["<int>", "nan", 1.5, True, None]
    }


def test_the_cache_has_a_bound():
    for number in range(module.MAX_FRAGMENTS * 2):
        render(make(principal_arn=f"{ROOT}{number}", resources=(f"{KEY}{number}",)))
    assert len(module._cache) <= module.MAX_FRAGMENTS


@pytest.mark.parametrize("epoch", [0.0, 0.999, 1.0, -0.5, 951_782_399.9, 4_102_444_800.0])
def test_event_time_is_the_second(epoch):
    at = datetime.fromtimestamp(epoch // 1, UTC)
    assert shown(make(time=epoch))["eventTime"] == at.strftime("%Y-%m-%dT%H:%M:%SZ")


TEXT = st.text(st.characters(), max_size=30)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(
    key=ANYTHING,
    context=ANYTHING,
    message=TEXT,
    agent=TEXT,
    principal=TEXT,
    operation=st.sampled_from(["Decrypt", "CreateKey", "x\n"]),
)
def test_anything_a_caller_sends_is_one_line_of_json(
    key, context, message, agent, principal, operation
):
    record = make(
        operation,
        params={"KeyId": key, "EncryptionContext": context, "Tags": context, "Policy": message},
        error_code="X",
        error_message=message,
        user_agent=agent,
        principal_arn=principal,
    )
    first = shown(record)
    assert first["userAgent"] == agent
    assert first["errorMessage"] == message
    record.detach()
    assert shown(record)["eventName"] == operation


TLS = Transport("TLSv1.3", "TLS_AES_256_GCM_SHA384", "X25519MLKEM768", None, None, "localhost")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"params": None},
        {"params": {"KeyId": "k", "EncryptionContext": {"a": "1", "\u20ac": '"\\'}}},
        {"params": {"KeyId": "k", "DryRun": True, "NumberOfBytes": 64, "Plaintext": b"secret"}},
        {"params": {"KeyId": None}, "resources": ()},
        {"resources": (KEY, ALIAS, "no arn")},
        {"transport": TLS, "user_agent": "aws-cli/2 md/\U0001f600"},
        {"transport": TLS._replace(vpce="vpce-1", vpc="vpc-1", trace="00-4bf9-00f0-01")},
        {"transport": TLS._replace(tls_version=None), "params": {}},
        {"transport": TLS._replace(key_exchange="")},
    ],
)
def test_usual_records_are_written_by_the_extension(monkeypatch, changes):
    record = make(**changes)
    expected = shown(record)
    monkeypatch.delattr(module, "render")
    assert json.loads(line(record)) == expected


VALUES = st.one_of(TEXT, st.booleans(), st.integers(), ANYTHING, st.dictionaries(TEXT, TEXT))


@given(
    operation=st.sampled_from(sorted(members.REQUEST)),
    values=st.lists(VALUES, max_size=6),
    agent=TEXT,
    resources=st.lists(TEXT | st.sampled_from([KEY, ALIAS]), max_size=3),
    transport=st.none() | st.builds(Transport, *[st.none() | TEXT] * 5, TEXT, st.none() | TEXT),
)
def test_the_line_is_what_is_rendered(operation, values, agent, resources, transport):
    names = (*members.REQUEST[operation], "Plaintext")
    shown(
        make(
            operation,
            params=dict(zip(names, values, strict=False)),
            user_agent=agent,
            resources=tuple(resources),
            transport=transport,
        )
    )


@pytest.mark.parametrize("length", [32_766, 32_767, 32_768, 32_769, 65_500, 65_536, 65_540])
@pytest.mark.parametrize("letter", ["k", "\u20ac"])
def test_the_line_has_the_same_bounds(length, letter):
    parts = {f"n{number}": letter * (length // 7) for number in range(7)}
    shown(make(params={"KeyId": letter * length}))
    shown(make(params={"EncryptionContext": parts}))
    shown(make(params={"EncryptionContext": {f"n{number}": "" for number in range(length // 33)}}))
