"""`clavero explain` and `clavero who-can`."""

from __future__ import annotations

import json

import pytest

A = "000000000000"
USER = f"arn:aws:iam::{A}:user/u"


@pytest.fixture
def key(cli) -> str:
    key_id: str = cli.key("--alias", "alias/a")
    return key_id


def test_why_a_call_is_allowed(cli, key):
    """Bytes that no policy reads need not be given, and a ciphertext neither."""
    answer = cli.json("explain", "Decrypt", "--key", "alias/a")
    assert (answer["Operation"], answer["Allowed"]) == ("Decrypt", True)
    (check,) = answer["Checks"]
    assert check["Basis"][0]["Line"] == 4
    table = cli("explain", "kms:Encrypt", "--key", key).text
    assert table.splitlines()[0].split() == ["Action", "Resource", "Allowed", "Why"]
    assert "key policy default, statement 1 (Enable IAM User Permissions), line 4" in table


def test_why_a_call_is_denied(cli, key):
    answer = cli.json("explain", "Sign", "--key", key, "--principal", USER,
                      "--param", "SigningAlgorithm=RSASSA_PSS_SHA_256")  # fmt: skip
    assert answer["Principal"] == USER
    (check,) = answer["Checks"]
    assert (check["Allowed"], check["Missing"]) == (False, "identity-based policy")
    table = cli("explain", "DescribeKey", "--key", key, "--principal", USER).text
    assert "no       because no identity-based policy allows the kms:DescribeKey action" in table


def test_what_is_said_of_the_caller_and_the_request_counts(cli, key, tmp_path):
    conditions = {
        "StringEquals": {"kms:EncryptionContext:t": "a", "aws:PrincipalTag/team": "x",
                         "kms:ViaService": "s3.us-east-1.amazonaws.com"},
        "IpAddress": {"aws:SourceIp": "192.0.2.0/24"},
    }  # fmt: skip
    allow = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    policy, other = tmp_path / "policy.json", tmp_path / "other.json"
    policy.write_text(json.dumps({"Version": "2012-10-17",
                                  "Statement": {**allow, "Condition": conditions}}))  # fmt: skip
    other.write_text(json.dumps({"Statement": {**allow, "Action": "s3:*"}}))
    given = ["explain", "Encrypt", "--key", key, "--principal", USER,
             "--identity-policy", str(policy)]  # fmt: skip
    options = ["--context", "t=a", "--condition-key", "aws:PrincipalTag/team=x", "--source-ip",
               "192.0.2.1", "--via-service", "s3.us-east-1.amazonaws.com"]  # fmt: skip
    assert cli.json(*given, *options)["Allowed"]
    for at in range(0, len(options), 2):
        assert not cli.json(*given, *options[:at], *options[at + 2 :])["Allowed"], options[at]
    for option, missing in (("--permissions-boundary", "permissions boundary"),
                            ("--session-policy", "session policy")):  # fmt: skip
        (check,) = cli.json(*given, *options, option, str(other))["Checks"]
        assert check["Missing"] == missing


def test_every_check_of_a_call(cli, key):
    answer = cli.json("explain", "ReEncrypt", "--key", key, "--param", f"SourceKeyId={key}",
                      "--context", "a=b")  # fmt: skip
    assert [each["Action"] for each in answer["Checks"]] == ["kms:ReEncryptFrom", "kms:ReEncryptTo"]
    answer = cli.json("explain", "CreateKey", "--param", 'Tags=[{"TagKey":"a","TagValue":"b"}]')
    assert len(answer["Checks"]) == 2


def test_grant_tokens_are_checked_as_the_call_would(cli, key):
    refused = cli("explain", "Encrypt", "--key", key, "--grant-token", "no token", code=1)
    assert "InvalidGrantTokenException" in refused.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["Fly"], "no operation 'Fly'"),
        (["ListKeys", "--key", "alias/a"], "no place for --key"),
        (["DescribeKey", "--key", "alias/a", "--context", "a=b"], "no place for --context"),
        (["DescribeKey", "--key", "alias/a", "--param", "Colour=red"], "member of DescribeKey"),
        (["Sign", "--key", "alias/a"], "SigningAlgorithm"),
        (["Encrypt", "--key", "alias/a", "--source-ip", "nowhere"], "source_ip"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(cli, key, arguments, word):
    assert word in cli("explain", *arguments, code=2).err


def test_who_can(cli, key):
    answer = cli.json("who-can", "kms:Decrypt", "alias/a")
    assert [each["Principal"] for each in answer["Principals"]] == [f"arn:aws:iam::{A}:root"]
    table = cli("who-can", "kms:Encrypt", "alias/aws/s3").text
    assert f"arn:aws:iam::{A}:user/*" in table
    assert 'if {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}' in table
    through = cli("who-can", "kms:Encrypt", "alias/aws/s3", "--via-service",
                  "s3.us-east-1.amazonaws.com").text  # fmt: skip
    assert "if {" not in through
    assert "no action on a KMS key" in cli("who-can", "kms:Fly", key, code=2).err
    assert "NotFoundException" in cli("who-can", "kms:Decrypt", "alias/none", code=1).err
