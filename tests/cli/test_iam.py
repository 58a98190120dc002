"""`clavero iam ...`, with the names and options of the AWS CLI."""

from __future__ import annotations

import json

import pytest

A = "000000000000"
MAY_USE = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
MAY_ASSUME = {"Effect": "Allow", "Principal": {"AWS": A}, "Action": "sts:AssumeRole"}
ALLOW = {"Version": "2012-10-17", "Statement": MAY_USE}
TRUST = {"Version": "2012-10-17", "Statement": MAY_ASSUME}


def test_a_user_with_a_policy_may_use_the_key(cli, tmp_path):
    key = cli.key()
    made = cli.json("iam", "create-user", "--user-name", "alice", "--path=/team/",
                    "--tags", "team=a", "--tags", "x=y")  # fmt: skip
    arn = f"arn:aws:iam::{A}:user/team/alice"
    assert made["User"]["Arn"] == arn
    assert {each["Key"]: each["Value"] for each in made["User"]["Tags"]} == {"team": "a", "x": "y"}
    assert made["User"]["CreateDate"].endswith("+00:00")
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(ALLOW))
    asked = ["explain", "DescribeKey", "--key", key, "--principal", arn]
    assert not cli.json(*asked)["Allowed"]
    assert cli.json("iam", "put-user-policy", "--user-name", "alice", "--policy-name", "keys",
                    "--policy-document", f"file://{policy}") == {}  # fmt: skip
    answer = cli.json(*asked)
    assert [each["PolicyType"] for each in answer["Checks"][0]["Basis"]] == [
        "key policy", "identity-based policy",
    ]  # fmt: skip
    assert answer["Checks"][0]["Basis"][1]["PolicyName"] == "keys"
    who = cli.json("who-can", "kms:Decrypt", key)["Principals"]
    assert arn in {each["Principal"] for each in who}
    document = cli.json("iam", "get-user-policy", "--user-name", "alice", "--policy-name", "keys")
    assert json.loads(document["PolicyDocument"]) == ALLOW
    table = cli("iam", "list-users").text
    assert table.splitlines()[0].split()[:2] == ["Path", "UserName"]
    assert "/team/  alice" in table
    assert "keys" in cli("iam", "list-user-policies", "--user-name", "alice").text


def test_roles_groups_and_access_keys(cli):
    trust = json.dumps(TRUST)
    role = cli.json("iam", "create-role", "--role-name", "App", "--assume-role-policy-document",
                    trust, "--max-session-duration", "7200")["Role"]  # fmt: skip
    assert (role["MaxSessionDuration"], role["AssumeRolePolicyDocument"]) == (7200, trust)
    cli.json("iam", "create-user", "--user-name", "bob")
    cli("iam", "create-group", "--group-name", "staff")
    cli("iam", "add-user-to-group", "--group-name", "staff", "--user-name", "bob")
    assert "bob" in cli("iam", "get-group", "--group-name", "staff").text
    key = cli.json("iam", "create-access-key", "--user-name", "bob")["AccessKey"]
    listed = cli.json("iam", "list-access-keys", "--user-name", "bob")["AccessKeyMetadata"]
    assert [each["AccessKeyId"] for each in listed] == [key["AccessKeyId"]]
    audit = (cli.data / "audit.jsonl").read_text()
    assert '"eventName":"CreateAccessKey"' in audit
    assert key["SecretAccessKey"] not in audit


def test_it_is_the_principal_that_is_authorised(cli):
    cli.json("iam", "create-user", "--user-name", "eve")
    eve = f"arn:aws:iam::{A}:user/eve"
    refused = cli("iam", "delete-user", "--user-name", "eve", "--principal", eve, code=1).err
    assert f"not authorized to perform: iam:DeleteUser on resource: {eve}" in refused
    missing = cli("iam", "get-user", "--user-name", "none", code=1).err
    assert "(NoSuchEntity)" in missing


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["fly"], "There is: add-user-to-group"),
        (["list-users", "--colour", "red"], "takes --path-prefix, --marker, --max-items"),
        (["list-users", "--max-items"], "needs a value"),
        (["list-users", "--max-items", "many"], "takes a number"),
        (["list-policies", "--only-attached", "maybe"], "true or false"),
        (["get-user", "--user-name", "a", "--user-name", "b"], "there twice"),
        (["create-user", "--user-name", "a", "--tags", "x"], "NAME=VALUE"),
    ],
)
def test_nonsense_is_refused(cli, arguments, word):
    assert word in cli("iam", *arguments, code=2).err
    assert not cli.data.exists()
