"""Why a call is allowed or denied: the statement, the grant, or what is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from clavero import KMS, ManualClock
from clavero.client_errors import exceptions

A, B = "000000000000", "111122223333"
ROOT = f"arn:aws:iam::{A}:root"
SESSION = f"arn:aws:sts::{A}:assumed-role/App/one"
ROLE = f"arn:aws:iam::{A}:role/App"


@pytest.fixture
def kms():
    with KMS(clock=ManualClock()) as made:
        yield made


@pytest.fixture
def root(kms):
    return kms.client()


@pytest.fixture
def key(root) -> str:
    arn: str = root.create_key()["KeyMetadata"]["Arn"]
    return arn


def policy(*statements: dict[str, Any]) -> str:
    delegating = {"Sid": "Enable IAM", "Effect": "Allow", "Principal": {"AWS": ROOT},
                  "Action": "kms:*", "Resource": "*"}  # fmt: skip
    whole = {"Version": "2012-10-17", "Statement": [delegating, *statements]}
    return json.dumps(whole, indent=1)


def test_the_root_user_and_the_default_policy(root, key):
    answer = root.explain(Operation="Encrypt", KeyId=key, Plaintext=b"x")
    assert answer == {
        "Operation": "Encrypt",
        "Principal": ROOT,
        "Allowed": True,
        "Checks": [
            {
                "Action": "kms:Encrypt",
                "Resource": key,
                "Allowed": True,
                "Effect": "allowed",
                "Basis": [
                    {
                        "PolicyType": "key policy",
                        "PolicyName": "default",
                        "Sid": "Enable IAM User Permissions",
                        "Statement": 1,
                        "Line": 4,
                    }
                ],
            }
        ],
    }


def test_what_is_missing(kms, key):
    (check,) = kms.client(principal=SESSION).explain("Encrypt", KeyId=key, Plaintext=b"x")["Checks"]
    assert check["Basis"] == []
    assert (check["Allowed"], check["Effect"]) == (False, "implicit deny")
    assert check["Missing"] == "identity-based policy"
    assert check["Because"] == "because no identity-based policy allows the kms:Encrypt action"
    stranger = kms.client(account=B)
    (check,) = stranger.explain("DescribeKey", KeyId=key)["Checks"]
    assert check["Missing"] == "key policy"
    unknown = key[:-4] + "0000"
    (check,) = stranger.explain("DescribeKey", KeyId=unknown)["Checks"]
    assert check["Resource"] is None


def test_which_statement_denies(kms, root, key):
    deny = {"Sid": "No", "Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt",
            "Resource": "*"}  # fmt: skip
    root.put_key_policy(KeyId=key, Policy=policy(deny))
    (check,) = root.explain("Encrypt", KeyId=key, Plaintext=b"x")["Checks"]
    assert check["Effect"] == "explicit deny"
    assert check["Because"] == "with an explicit deny in a resource-based policy"
    (basis,) = check["Basis"]
    assert (basis["Sid"], basis["Statement"]) == ("No", 2)
    assert policy(deny).splitlines()[basis["Line"] - 1].strip() == "{"


def test_grants_and_both_sides(kms, root, key):
    made = root.create_grant(KeyId=key, GranteePrincipal=ROLE, Operations=["Decrypt"])
    blob = root.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    (check,) = kms.client(principal=SESSION).explain("Decrypt", CiphertextBlob=blob)["Checks"]
    assert check["Basis"] == [{"GrantId": made["GrantId"], "GranteePrincipal": ROLE}]
    allowing = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    client = kms.client(principal=SESSION, identity_policies=[allowing], session_policy=allowing)
    (check,) = client.explain("Encrypt", KeyId=key, Plaintext=b"x")["Checks"]
    assert [basis["PolicyType"] for basis in check["Basis"]] == [
        "key policy", "identity-based policy", "session policy",
    ]  # fmt: skip


def test_every_action_that_a_call_needs(kms, root, key):
    client = kms.client(principal=SESSION)
    answer = client.explain("CreateKey", Tags=[{"TagKey": "a", "TagValue": "b"}])
    assert [check["Action"] for check in answer["Checks"]] == ["kms:CreateKey", "kms:TagResource"]
    blob = root.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    answer = root.explain("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=key)
    assert [check["Action"] for check in answer["Checks"]] == [
        "kms:ReEncryptFrom", "kms:ReEncryptTo",
    ]  # fmt: skip
    assert answer["Allowed"]
    made = root.create_grant(KeyId=key, GranteePrincipal=ROLE, Operations=["Decrypt"])
    answer = client.explain("RetireGrant", GrantToken=made["GrantToken"])
    assert not answer["Allowed"]


def test_nothing_is_run_or_recorded(kms, root, key):
    before = kms.audit_records()
    assert root.explain("DisableKey", KeyId=key)["Allowed"]
    assert root.explain("ScheduleKeyDeletion", KeyId=key)["Allowed"]
    assert kms.audit_records() == before
    assert root.describe_key(KeyId=key)["KeyMetadata"]["Enabled"]


def test_what_fails_before_that_fails(root, key):
    kinds = exceptions()
    with pytest.raises(kinds.NotFoundException):
        root.explain("DescribeKey", KeyId="alias/none")
    with pytest.raises(kinds.ParamValidationError):
        root.explain("Encrypt", KeyId=key)
    with pytest.raises(ValueError, match="no operation 'Fly'"):
        root.explain("Fly")


def test_grant_tokens_are_checked_as_the_call_would(kms, root, key):
    made = root.create_grant(KeyId=key, GranteePrincipal=ROLE, Operations=["Encrypt"])
    client, given = kms.client(principal=SESSION), {"KeyId": key, "Plaintext": b"x"}
    (check,) = client.explain("Encrypt", **given, GrantTokens=[made["GrantToken"]])["Checks"]
    assert check["Basis"][0]["GrantId"] == made["GrantId"]
    for tokens in (["no token"], [made["GrantToken"], made["GrantToken"][:-4]]):
        with pytest.raises(exceptions().InvalidGrantTokenException):
            client.explain("Encrypt", **given, GrantTokens=tokens)
        with pytest.raises(exceptions().InvalidGrantTokenException):
            client.encrypt(**given, GrantTokens=tokens)


def test_it_agrees_with_what_happens(kms, root, key):
    root.put_key_policy(
        KeyId=key,
        Policy=policy(
            {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "kms:Encrypt",
             "Resource": "*",
             "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": ["a", "b"]}}},
            {"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
             "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": "b"}}},
        ),
    )  # fmt: skip
    for client in (root, kms.client(principal=SESSION), kms.client(account=B)):
        for tenant in ("a", "b", "c"):
            given = {"KeyId": key, "Plaintext": b"x", "EncryptionContext": {"tenant": tenant}}
            answer = client.explain("Encrypt", **given)
            try:
                client.encrypt(**given)
            except ClientError as error:
                (check,) = answer["Checks"]
                assert error.response["Error"]["Message"].endswith(check["Because"])
            else:
                assert answer["Allowed"]
