"""Aliases: made, moved, listed and deleted; and which names are none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from clavero import KMS, Quotas


@pytest.fixture
def other(client):
    return client.create_key()["KeyMetadata"]


def test_an_alias_is_listed_with_its_dates(deployment, client, key, arn):
    made = datetime.fromtimestamp(deployment.clock.now(), UTC)
    assert set(client.create_alias(AliasName="alias/a/b_c-1", TargetKeyId=key["KeyId"])) == {
        "ResponseMetadata"
    }
    answer = client.list_aliases()
    assert answer["Truncated"] is False
    assert {"Aliases": client.used_aliases()} == {
        "Aliases": [
            {
                "AliasName": "alias/a/b_c-1",
                "AliasArn": arn("alias/a/b_c-1"),
                "TargetKeyId": key["KeyId"],
                "CreationDate": made,
                "LastUpdatedDate": made,
            }
        ]
    }


def test_a_moved_alias_stands_for_the_new_key_at_once(deployment, client, key, other, arn):
    client.create_alias(AliasName="alias/a", TargetKeyId=key["Arn"])
    blob = client.encrypt(KeyId="alias/a", Plaintext=b"old")["CiphertextBlob"]
    deployment.clock.advance(60)
    assert set(client.update_alias(AliasName="alias/a", TargetKeyId=other["Arn"])) == {
        "ResponseMetadata"
    }
    for name in ("alias/a", arn("alias/a")):
        assert client.encrypt(KeyId=name, Plaintext=b"new")["KeyId"] == other["Arn"]
    assert client.decrypt(CiphertextBlob=blob)["KeyId"] == key["Arn"]  # it names its key itself
    (listed,) = client.used_aliases()
    assert (listed["LastUpdatedDate"] - listed["CreationDate"]).total_seconds() == 60
    assert listed["TargetKeyId"] == other["KeyId"]


def test_a_deleted_alias_stands_for_nothing_and_its_key_stays(client, key, refused, arn):
    client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    client.describe_key(KeyId="alias/a")
    assert set(client.delete_alias(AliasName="alias/a")) == {"ResponseMetadata"}
    missing = f"Alias {arn('alias/a')} is not found."
    assert refused("NotFoundException", client.describe_key, KeyId="alias/a") == missing
    assert refused("NotFoundException", client.delete_alias, AliasName="alias/a") == missing
    text = refused(
        "NotFoundException", client.update_alias, AliasName="alias/a", TargetKeyId=key["KeyId"]
    )
    assert text == missing
    assert client.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key


def test_a_name_is_taken_once_in_an_account_and_region(
    deployment, client, key, other, refused, arn
):
    client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    for target in (key, other):
        text = refused(
            "AlreadyExistsException",
            client.create_alias,
            AliasName="alias/a",
            TargetKeyId=target["KeyId"],
        )
        assert text == f"An alias with the name {arn('alias/a')} already exists"
    for whose in ({"region": "eu-west-1"}, {"account": "111122223333"}):
        elsewhere = deployment.client(**whose)
        target = elsewhere.create_key()["KeyMetadata"]["KeyId"]
        elsewhere.create_alias(AliasName="alias/a", TargetKeyId=target)
        assert elsewhere.describe_key(KeyId="alias/a")["KeyMetadata"]["KeyId"] == target
    assert client.describe_key(KeyId="alias/a")["KeyMetadata"] == key


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("payroll", "ValidationException", 'Alias must start with the prefix "alias/"'),
        ("alias/a:b", "ValidationException", "alias/a:b contains invalid characters for an alias"),
        ("alias/", "ValidationException", "invalid characters"),
        ("alias/a b", "ValidationException", "regular expression pattern"),
        ("alias/aws/s3", "InvalidAliasNameException", "reserved"),
        ("alias/" + "a" * 251, "ValidationException", "less than or equal to 256"),
    ],
)
def test_names_that_no_alias_can_have(client, key, refused, name, code, text):
    create = {"AliasName": name, "TargetKeyId": key["KeyId"]}
    assert text in refused(code, client.create_alias, **create)
    assert text in refused(code, client.update_alias, **create)
    assert text in refused(code, client.delete_alias, AliasName=name)
    assert client.used_aliases() == []


def test_the_target_is_a_key_of_its_own_names(client, key, refused, arn):
    unknown = "1234abcd-12ab-34cd-56ef-1234567890ab"

    def text(target):
        return refused(
            "NotFoundException", client.create_alias, AliasName="alias/b", TargetKeyId=target
        )

    client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    assert text(unknown) == f"Key '{arn(f'key/{unknown}')}' does not exist"
    assert text("alias/a") == "Invalid keyId 'alias/a'"
    assert text(arn("alias/a")) == f"Invalid arn {arn('alias/a')}"
    assert text(key["Arn"].replace("us-east-1", "us-west-2")) == "Invalid arn us-west-2"


def test_one_key_s_aliases_are_listed_alone(client, key, other):
    for name, target in (("alias/2", key), ("alias/1", key), ("alias/3", other)):
        client.create_alias(AliasName=name, TargetKeyId=target["KeyId"])

    def names(**params):
        return [each["AliasName"] for each in client.used_aliases(**params)]

    assert names() == ["alias/1", "alias/2", "alias/3"]
    assert names(KeyId=key["KeyId"]) == names(KeyId=key["Arn"]) == ["alias/1", "alias/2"]
    assert names(KeyId=other["Arn"]) == ["alias/3"]


def test_aliases_are_there_after_reopening(durable):
    client = durable.client()
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    client.create_alias(AliasName="alias/a", TargetKeyId=key_id)
    client.create_alias(AliasName="alias/b", TargetKeyId=key_id)
    client.delete_alias(AliasName="alias/b")
    before = client.used_aliases()
    durable.reopen()
    client = durable.client()
    assert client.used_aliases() == before
    assert client.describe_key(KeyId="alias/a")["KeyMetadata"]["KeyId"] == key_id


def test_a_key_has_50_aliases_at_most(client, key, other, refused):
    for number in range(50):
        client.create_alias(AliasName=f"alias/{number}", TargetKeyId=key["KeyId"])
    quota = "Aliases per key quota for this account in this region is 50, current usage is 50."
    more = {"AliasName": "alias/more", "TargetKeyId": key["KeyId"]}
    assert refused("LimitExceededException", client.create_alias, **more) == quota
    client.create_alias(AliasName="alias/more", TargetKeyId=other["KeyId"])
    assert refused("LimitExceededException", client.update_alias, **more) == quota
    client.update_alias(AliasName="alias/0", TargetKeyId=key["KeyId"])  # it is there already
    client.delete_alias(AliasName="alias/0")
    client.update_alias(**more)


def test_the_quota_can_be_set(refused):
    with KMS(quotas=Quotas(aliases=1)) as kms:
        client = kms.client()
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        client.create_alias(AliasName="alias/a", TargetKeyId=key_id)
        text = refused(
            "LimitExceededException", client.create_alias, AliasName="alias/b", TargetKeyId=key_id
        )
        assert "is 1, current usage is 1." in text
