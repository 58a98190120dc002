"""Key policies: kept and given back byte for byte; refused where AWS refuses them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clavero import KMS, Quotas
from clavero.iam.decision import default_key_policy

ACCOUNT = "000000000000"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
NO_PRINCIPALS: list[Any] = [
    "alice",
    {},
    [],
    {"AWS": "alice"},
    {"AWS": []},
    {"AWS": 5},
    {"AWS": f"arn:aws:iam::{ACCOUNT}:user/*"},
    {"AWS": f"arn:aws:iam::{ACCOUNT}:group/admins"},
    {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/path/r/s"},
    {"AWS": "arn:aws:iam::1:root"},
    {"AWS": [ROOT, "x"]},
    {"Service": "s3"},
    {"Federated": "accounts.google.com"},
    {"CanonicalUser": "x"},
]
LOCKED = "The new key policy will not allow you to update the key policy in the future."


def statement(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": ROOT},
        "Action": "kms:*",
        "Resource": "*",
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def policy(*statements: Any, **members: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **members})


def test_a_new_key_has_the_default_policy_as_aws_writes_it(client, key):
    answer = client.get_key_policy(KeyId=key["KeyId"])
    assert answer["PolicyName"] == "default"
    assert answer["Policy"] == default_key_policy(ACCOUNT)
    assert client.get_key_policy(KeyId=key["Arn"], PolicyName="default")["Policy"] == (
        '{\n  "Version" : "2012-10-17",\n  "Id" : "key-default-1",\n  "Statement" : [ {\n'
        '    "Sid" : "Enable IAM User Permissions",\n    "Effect" : "Allow",\n'
        f'    "Principal" : {{\n      "AWS" : "{ROOT}"\n    }},\n'
        '    "Action" : "kms:*",\n    "Resource" : "*"\n  } ]\n}'
    )
    answer = client.list_key_policies(KeyId=key["KeyId"])
    del answer["ResponseMetadata"]
    assert answer == {"PolicyNames": ["default"], "Truncated": False}


@pytest.mark.parametrize(
    "text",
    [
        policy(statement()),
        f"\r\n\t {policy(statement(Sid='für é ÿ'), Id='x')}  \n",
        policy(statement(Principal="*"), Version="2008-10-17"),
        json.dumps({"Statement": statement(Principal={"AWS": [ACCOUNT]})}),
        policy(statement(Principal={"AWS": "*"}, Action=["kms:Put*", "kms:*et*", "kms:Desc*"])),
        policy(statement(), statement(Effect="Deny", Action="kms:Decrypt", Principal="*")),
        policy(statement(), statement(Action=None), statement(Resource=None)),  # of no effect
        policy(statement(), statement(Principal={"Service": "s3.amazonaws.com", "AWS": ROOT})),
        policy(statement(Principal={"AWS": [ROOT, f"arn:aws:iam::{ACCOUNT}:role/a/b+c"]})),
        policy(
            statement(),
            statement(
                Principal={"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"},
                Condition={"StringEquals": {"kms:ViaService": ["a", "b"]}, "Bool": {"x": True}},
            ),
        ),
        policy(statement(), statement(Effect="Deny", Principal=None, NotPrincipal={"AWS": ROOT})),
        policy(statement(Action=None, NotAction="kms:Decrypt", Resource="arn:aws:kms:*:*:key/*")),
    ],
)
def test_policies_come_back_byte_for_byte(client, key, text):
    answer = client.put_key_policy(KeyId=key["KeyId"], Policy=text)
    assert set(answer) == {"ResponseMetadata"}
    assert client.get_key_policy(KeyId=key["KeyId"])["Policy"] == text
    made = client.create_key(Policy=text)["KeyMetadata"]
    assert client.get_key_policy(KeyId=made["KeyId"])["Policy"] == text
    assert client.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "The key policy is not valid JSON"),
        ("[" * 20_000, "The key policy is not valid JSON"),
        ('{"Version":"2012-10-17","Version":"2012-10-17"}', "'Version' is there twice"),
        (policy(statement(), Id=float("nan")), "not valid JSON"),
        ("[]", "no JSON object"),
        ("5", "no JSON object"),
        (policy(statement(Condition={"a": {"b": [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}})), "too deeply"),
        (policy(statement(), Extra=1), "no element 'Extra'"),
        (policy(statement(), Version="2020-01-01"), "its Version must be"),
        (policy(statement(), Id=5), "its Id must be"),
        ('{"Version": "2012-10-17"}', "it has no Statement"),
        (policy(), "it has no Statement"),
        (policy("x"), "a Statement must be a JSON object"),
        (policy(statement(Extra=1)), "a statement has no element 'Extra'"),
        (policy(statement(Sid=1)), "a Sid must be"),
        (policy(statement(Sid="a"), statement(Sid="a")), "two statements have the Sid 'a'"),
        (policy(statement(Effect="allow")), "the Effect of a statement must be Allow or Deny"),
        (policy(statement(NotAction="x")), "cannot have both Action and NotAction"),
        (policy(statement(Action=5)), "Action must be a string"),
        (policy(statement(Resource=[None])), "Resource must be a string"),
        (policy(statement(Condition=[])), "a Condition must be a JSON object"),
        (policy(statement(Condition={"Bool": 1})), "the operator 'Bool'"),
        (policy(statement(Condition={"Bool": {"a": {}}})), "the values under 'Bool'"),
        (policy(statement(Condition={"StringIs": {"a": "b"}})), "no operator 'StringIs'"),
        (policy(statement(Condition={"Null": {"a": "no"}})), "must be true or false"),
        (policy(statement(Condition={"StringLike": {"a": "${b"}})), "'${b' is no policy variable"),
        (policy(statement(Resource="arn:aws:kms:::key/${}")), "'${}' is no policy variable"),
        *(
            (
                policy(statement(Condition={"ForAllValues:StringLike": {key: "a"}})),
                "OverlyPermissiveCondition: Using the ForAllValues set operator with a "
                "single-valued condition key",
            )
            for key in ("kms:EncryptionContext:a", "aws:RequestTag/Team")
        ),
        (policy(statement(Principal=None)), "Policy contains a statement with no principal."),
        *(
            (
                policy(statement(), statement(Principal=wrong)),
                "Policy contains a statement with one or more invalid principals.",
            )
            for wrong in NO_PRINCIPALS
        ),
        (policy(statement(Action="kms:Decrypt")), LOCKED),
        (policy(statement(Principal={"AWS": "111122223333"})), LOCKED),
        (policy(statement(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:user/a"})), LOCKED),
        (policy(statement(Action=None)), LOCKED),
        (policy(statement(Resource="arn:aws:s3:::bucket")), LOCKED),
        (policy(statement(Resource=None)), LOCKED),
        (policy(statement(Action=None, NotAction="kms:Put*")), LOCKED),
        (policy(statement(Effect="Deny")), LOCKED),
        (
            policy(statement(), statement(Effect="Deny", Principal="*", Action="KMS:putkeypolic?")),
            LOCKED,
        ),
        (policy(statement(Principal={"Service": "s3.amazonaws.com"})), LOCKED),
    ],
)
def test_policies_that_cannot_be_are_refused_and_the_old_one_stays(
    client, key, refused, text, message
):
    before = client.get_key_policy(KeyId=key["KeyId"])["Policy"]
    for method, params in (
        (client.put_key_policy, {"KeyId": key["KeyId"]}),
        (client.create_key, {}),
    ):
        said = refused("MalformedPolicyDocumentException", method, Policy=text, **params)
        assert message in said
        if message == LOCKED:
            assert said == LOCKED
            method(Policy=text, BypassPolicyLockoutSafetyCheck=True, **params)
            continue
        refused(
            "MalformedPolicyDocumentException",
            method,
            Policy=text,
            BypassPolicyLockoutSafetyCheck=True,
            **params,
        )
    if message != LOCKED:
        assert client.get_key_policy(KeyId=key["KeyId"])["Policy"] == before
        assert len(client.list_keys()["Keys"]) == 1


def test_a_policy_can_name_its_key(client, key, refused, arn):
    own = policy(statement(Resource=key["Arn"]))
    client.put_key_policy(KeyId=key["KeyId"], Policy=own)
    other = policy(statement(Resource=arn("key/1234abcd-12ab-34cd-56ef-1234567890ab")))
    text = refused(
        "MalformedPolicyDocumentException",
        client.put_key_policy,
        KeyId=key["KeyId"],
        Policy=other,
    )
    assert text == LOCKED


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("kms:PutKeyPolicy", True),
        ("KMS:PUTKEYPOLICY", True),
        ("*", True),
        ("**", True),
        ("kms:*", True),
        ("kms:Put*Policy", True),
        ("kms:?utKey*y", True),
        ("*Policy", True),
        ("kms:PutKeyPolicy*", True),
        ("kms:PutKeyPolicy?", False),
        ("kms:Put*z", False),
        ("?", False),
        ("", False),
        ("kms:PutKeyPolic", False),
        ("s3:*", False),
        ("*e" * 10_000 + "*", False),  # in no time
    ],
    ids=lambda each: str(each)[:20],
)
def test_wildcards_of_actions(client, key, refused, pattern, found):
    given = {"KeyId": key["KeyId"], "Policy": policy(statement(Action=pattern))}
    if found:
        client.put_key_policy(**given)
    else:
        assert refused("MalformedPolicyDocumentException", client.put_key_policy, **given) == LOCKED


def test_the_lockout_check_is_evaluated_as_a_request_is(client, key, refused):
    limited = statement(Condition={"StringEquals": {"kms:CallerAccount": ACCOUNT}})
    client.put_key_policy(KeyId=key["KeyId"], Policy=policy(limited))
    for locked in (
        policy(statement(), {**limited, "Effect": "Deny"}),
        policy(statement(Condition={"StringEquals": {"kms:CallerAccount": "111122223333"}})),
        policy(statement(Condition={"StringEquals": {"kms:PolicyName": "other"}})),
    ):
        for method, params in (
            (client.put_key_policy, {"KeyId": key["KeyId"]}),
            (client.create_key, {}),
        ):
            text = refused("MalformedPolicyDocumentException", method, Policy=locked, **params)
            assert text == LOCKED
    default = statement(Condition={"StringEquals": {"kms:PolicyName": "default"}})
    client.put_key_policy(KeyId=key["KeyId"], Policy=policy(default))


def test_the_longest_policy_has_32_kib(client, key, refused):
    text = policy(statement())
    longest = text + " " * (32_768 - len(text))
    client.put_key_policy(KeyId=key["KeyId"], Policy=longest)
    assert client.get_key_policy(KeyId=key["KeyId"])["Policy"] == longest
    # Bytes count, not characters
    wide = policy(statement(Sid="x"), Id="PLACE").replace("PLACE", "é" * 16_384)
    for tooLong in (longest + " ", wide):  # noqa: N806
        for method, params in (
            (client.put_key_policy, {"KeyId": key["KeyId"]}),
            (client.create_key, {}),
        ):
            text = refused("LimitExceededException", method, Policy=tooLong, **params)
            assert text.startswith("A key policy can have at most 32768 bytes, and this one has ")
    refused("ValidationException", client.put_key_policy, KeyId=key["KeyId"], Policy=" " * 131_073)
    refused("ValidationException", client.put_key_policy, KeyId=key["KeyId"], Policy="\u0100")
    assert client.get_key_policy(KeyId=key["KeyId"])["Policy"] == longest


def test_the_quota_can_be_set(refused):
    with KMS(quotas=Quotas(policy_bytes=200)) as kms:
        client = kms.client()
        text = policy(statement())
        key_id = client.create_key(Policy=text)["KeyMetadata"]["KeyId"]
        refused(
            "LimitExceededException", client.put_key_policy, KeyId=key_id, Policy=text.ljust(201)
        )


def test_other_policy_names(client, key, refused):
    text = policy(statement())
    named = {"KeyId": key["KeyId"], "PolicyName": "AWS_RAM"}
    assert refused("ValidationException", client.put_key_policy, **named, Policy=text) == (
        "The AWS_RAM policy can only be managed by the RAM service"
    )
    assert refused("NotFoundException", client.get_key_policy, **named) == "No such policy exists"
    named["PolicyName"] = "mine"
    assert refused("NotFoundException", client.get_key_policy, **named) == "No such policy exists"
    assert refused("NotFoundException", client.put_key_policy, **named, Policy=text) == (
        "No such policy exists"
    )
    assert refused("ValidationException", client.list_key_policies, KeyId=key["KeyId"], Marker="x")


def test_policies_survive_reopening_and_domain_rotation(durable):
    client = durable.client()
    text = policy(statement(Sid="é"))
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    client.put_key_policy(KeyId=key_id, Policy=text)
    durable.kms.rotate_domain_keys()
    durable.reopen()
    assert durable.client().get_key_policy(KeyId=key_id)["Policy"] == text


def test_the_record_has_the_policy(deployment, client, key):
    text = policy(statement())
    client.put_key_policy(KeyId=key["KeyId"], Policy=text, BypassPolicyLockoutSafetyCheck=True)
    record = deployment.records()[-1]
    assert record["requestParameters"] == {
        "keyId": key["KeyId"],
        "policy": text,
        "bypassPolicyLockoutSafetyCheck": True,
    }
    assert record["readOnly"] is False
