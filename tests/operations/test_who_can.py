"""Who may use a key: every principal, the path, and the conditions on it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clavero import KMS, ManualClock
from clavero.client_errors import exceptions

A, B = "000000000000", "111122223333"
ROOT = f"arn:aws:iam::{A}:root"
ROLE, THEIRS = f"arn:aws:iam::{A}:role/App", f"arn:aws:iam::{B}:role/App"
USER = f"arn:aws:iam::{A}:user/u"
DELEGATING = {"Sid": "IAM", "Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*",
              "Resource": "*"}  # fmt: skip


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


def put(client: Any, key: str, *statements: dict[str, Any]) -> None:
    whole = [{"Effect": "Allow", "Resource": "*", **each} for each in statements]
    text = json.dumps({"Version": "2012-10-17", "Statement": [DELEGATING, *whole]}, indent=1)
    client.put_key_policy(KeyId=key, Policy=text)


def ways(answer: dict[str, Any]) -> dict[str, list[list[dict[str, Any]]]]:
    return {each["Principal"]: each["Ways"] for each in answer["Principals"]}


def test_a_new_key_is_the_account_s(root, key):
    answer = root.who_can("kms:Decrypt", key)
    assert answer == {
        "Action": "kms:Decrypt",
        "KeyId": key,
        "Principals": [
            {
                "Principal": ROOT,
                "Ways": [[{"PolicyType": "key policy", "PolicyName": "default",
                           "Sid": "Enable IAM User Permissions", "Statement": 1, "Line": 4}]],
            }
        ],
    }  # fmt: skip
    assert root.who_can("kms:dEcRyPt", key.split("/")[1]) == answer


def test_statements_grants_and_other_accounts(root, key):
    put(
        root, key, {"Sid": "Both", "Principal": {"AWS": [ROLE, THEIRS, B]}, "Action": "kms:Decrypt"}
    )
    made = root.create_grant(KeyId=key, GranteePrincipal=USER, Operations=["Decrypt"],
                             Constraints={"EncryptionContextSubset": {"a": "1"}})  # fmt: skip
    found = ways(root.who_can("kms:Decrypt", key))
    assert list(found) == [ROOT, ROLE, THEIRS, f"arn:aws:iam::{B}:root", USER]
    ((own,),) = found[ROLE]
    assert (own["Sid"], own["Statement"], "If" in own) == ("Both", 2, False)
    ((theirs, needed),) = found[THEIRS]
    assert theirs == own
    assert needed == {"PolicyType": "identity-based policy", "PolicyName": "of their own account"}
    assert found[USER] == [[{"GrantId": made["GrantId"], "GranteePrincipal": USER,
                             "If": {"EncryptionContextSubset": {"a": "1"}}}]]  # fmt: skip
    # The actions that other accounts cannot be allowed
    assert list(ways(root.who_can("kms:PutKeyPolicy", key))) == [ROOT]


def test_what_is_given_of_the_request_is_not_left_open(kms, root, key):
    put(
        root,
        key,
        {"Principal": {"AWS": ROLE}, "Action": "kms:Decrypt",
         "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": "a",
                                        "kms:KeySpec": "SYMMETRIC_DEFAULT"}}},
        {"Effect": "Deny", "Principal": "*", "Action": "kms:*",
         "Condition": {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}, "Bool": {
             "aws:PrincipalIsAWSService": "false"}, "StringLike": {"aws:PrincipalArn": "*/App"}}},
    )  # fmt: skip
    answer = root.who_can("kms:Decrypt", key)
    ((part,),) = ways(answer)[ROLE]
    assert part["If"] == {"StringEquals": {"kms:EncryptionContext:tenant": "a"}}
    (row,) = [each for each in answer["Principals"] if each["Principal"] == ROLE]
    assert row["Unless"][0]["If"] == {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    assert "Unless" not in answer["Principals"][0]  # the root user is no role
    inside, outside = kms.client(source_ip="192.0.2.7"), kms.client(source_ip="198.51.100.7")
    answer = inside.who_can("kms:Decrypt", key, {"tenant": "a"})
    (row,) = [each for each in answer["Principals"] if each["Principal"] == ROLE]
    assert "Unless" not in row
    assert "If" not in row["Ways"][0][0]
    assert ROLE not in ways(inside.who_can("kms:Decrypt", key, {"tenant": "b"}))
    assert ROLE not in ways(outside.who_can("kms:Decrypt", key, {"tenant": "a"}))


def test_an_aws_managed_key_is_for_everybody_through_its_service(kms, root):
    found = ways(root.who_can("kms:Encrypt", "alias/aws/s3"))
    assert list(found) == [ROOT, f"arn:aws:iam::{A}:user/*"]  # of this account only
    ((part,),) = found[f"arn:aws:iam::{A}:user/*"]
    assert part["If"] == {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    through = kms.client(via_service="s3.us-east-1.amazonaws.com")
    assert "If" not in ways(through.who_can("kms:Encrypt", "alias/aws/s3"))[ROOT][0][0]
    other = kms.client(via_service="ebs.us-east-1.amazonaws.com")
    assert other.who_can("kms:Encrypt", "alias/aws/s3")["Principals"] == []


def test_everybody_is_also_whoever_is_elsewhere(root, key):
    put(root, key, {"Principal": "*", "Action": "kms:Decrypt",
                    "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}})  # fmt: skip
    found = ways(root.who_can("kms:Decrypt", key))
    assert list(found) == [ROOT, f"arn:aws:iam::{A}:user/*", "arn:aws:iam::*:user/*"]
    assert len(found["arn:aws:iam::*:user/*"][0]) == 2  # their own account must allow it too


def test_re_encrypt_has_two_actions(root, key):
    put(root, key, {"Principal": {"AWS": ROLE}, "Action": "kms:ReEncryptFrom",
                    "Condition": {"StringEquals": {"kms:EncryptionContext:a": "1"}}})  # fmt: skip
    assert ROLE in ways(root.who_can("kms:ReEncryptFrom", key, {"a": "1"}))
    assert ROLE not in ways(root.who_can("kms:ReEncryptFrom", key, {"a": "2"}))
    assert ROLE not in ways(root.who_can("kms:ReEncryptTo", key))


def test_nothing_is_recorded_and_nonsense_is_refused(kms, root, key):
    before = kms.audit_records()
    root.who_can("kms:Decrypt", key)
    with pytest.raises(exceptions().NotFoundException):
        root.who_can("kms:Decrypt", "alias/none")
    for action in ("kms:Fly", "s3:GetObject", "kms:CreateKey", "kms:ReEncrypt", ""):
        with pytest.raises(ValueError, match="no action on a KMS key"):
            root.who_can(action, key)
    with pytest.raises(ValueError, match="decided by the grant"):
        root.who_can("kms:RetireGrant", key)
    assert kms.audit_records() == before


def test_it_agrees_with_explain(kms, root, key):
    """Whoever has a way without conditions is allowed, and whoever has none is not."""
    both = ["kms:Encrypt", "kms:DescribeKey"]
    put(root, key, {"Principal": {"AWS": [ROLE, USER]}, "Action": both},
        {"Effect": "Deny", "Principal": {"AWS": USER}, "Action": "kms:DescribeKey"})  # fmt: skip
    for action, given in (("Encrypt", {"Plaintext": b"x"}), ("DescribeKey", {})):
        may = ways(root.who_can(f"kms:{action}", key))
        for principal in (ROOT, ROLE, USER, f"{USER}2", THEIRS):
            answer = kms.client(principal=principal).explain(action, KeyId=key, **given)
            assert answer["Allowed"] is (principal in may), (principal, action)
