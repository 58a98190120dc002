"""`aws iam` makes a user who then uses a key with `aws kms`, and is refused what it may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Run, installed, python_packages

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_the_command_line_manages_who_may_use_a_key(run: Run, tmp_path: Path):
    aws = installed("aws_cli", python_packages) / "venv/bin/aws"

    def ask(*arguments: str, sign: dict[str, Any] | None = None) -> dict[str, Any]:
        told = run(*signed(sign), aws, *arguments, "--output", "json")
        answer: dict[str, Any] = json.loads(told) if told.strip() else {}
        return answer

    def signed(sign: dict[str, Any] | None) -> tuple[str, ...]:
        if sign is None:
            return ()
        return ("env", f"AWS_ACCESS_KEY_ID={sign['AccessKeyId']}",
                f"AWS_SECRET_ACCESS_KEY={sign['SecretAccessKey']}")  # fmt: skip

    key = ask("kms", "create-key")["KeyMetadata"]["KeyId"]
    user = ask("iam", "create-user", "--user-name", "cli", "--tags", "Key=team,Value=a")["User"]
    assert user["Tags"] == [{"Key": "team", "Value": "a"}]
    own = ask("iam", "create-access-key", "--user-name", "cli")["AccessKey"]
    who = ask("sts", "get-caller-identity", sign=own)
    assert (who["Arn"], who["UserId"]) == (user["Arn"], user["UserId"])
    refused = run(*signed(own), aws, "kms", "describe-key", "--key-id", key, fails=True)
    assert "no identity-based policy allows the kms:DescribeKey action" in refused
    document = tmp_path / "policy.json"
    condition = {"StringEquals": {"aws:PrincipalTag/team": "a"}}
    allow = {"Effect": "Allow", "Action": "kms:DescribeKey", "Resource": "*",
             "Condition": condition}  # fmt: skip
    document.write_text(json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    ask("iam", "put-user-policy", "--user-name", "cli", "--policy-name", "keys",
        "--policy-document", f"file://{document}")  # fmt: skip
    policy = ask("iam", "get-user-policy", "--user-name", "cli", "--policy-name", "keys")
    assert policy["PolicyDocument"]["Statement"] == [allow]
    found = ask("kms", "describe-key", "--key-id", key, sign=own)
    assert found["KeyMetadata"]["KeyId"] == key
    assert [each["UserName"] for each in ask("iam", "list-users")["Users"]] == ["cli"]
    denied = run(*signed(own), aws, "iam", "list-users", fails=True)
    assert "AccessDenied" in denied
