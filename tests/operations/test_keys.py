"""Keys: made, described, listed, switched off and on, and deleted when their time comes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from clavero import KMS, ManualClock, Quotas
from clavero.iam.decision import default_key_policy

UNKNOWN = "1234abcd-12ab-34cd-56ef-1234567890ab"
DAY = 86_400
METADATA = {
    "AWSAccountId", "Arn", "CreationDate", "CurrentKeyMaterialId", "CustomerMasterKeySpec",
    "Description", "Enabled", "EncryptionAlgorithms", "KeyId", "KeyManager", "KeySpec", "KeyState",
    "KeyUsage", "MultiRegion", "Origin",
}  # fmt: skip


def test_a_new_key_is_described_as_aws_does(deployment, client, arn):
    answer = client.create_key(Description="for payroll")
    assert set(answer) == {"KeyMetadata", "ResponseMetadata"}
    metadata = answer["KeyMetadata"]
    assert set(metadata) == METADATA
    assert metadata["Arn"] == arn(f"key/{metadata['KeyId']}")
    assert metadata["CreationDate"] == datetime.fromtimestamp(deployment.clock.now(), UTC)
    assert {name: metadata[name] for name in METADATA - {"Arn", "KeyId", "CreationDate"}} == {
        "AWSAccountId": "000000000000",
        "CurrentKeyMaterialId": metadata["CurrentKeyMaterialId"],
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "Description": "for payroll",
        "Enabled": True,
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "KeyManager": "CUSTOMER",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyState": "Enabled",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "MultiRegion": False,
        "Origin": "AWS_KMS",
    }
    assert len(metadata["CurrentKeyMaterialId"]) == 64
    assert int(metadata["CurrentKeyMaterialId"], 16)


def test_a_key_is_found_by_each_of_its_names(client, key, arn):
    client.create_alias(AliasName="alias/payroll", TargetKeyId=key["KeyId"])
    for name in (key["KeyId"], key["Arn"], "alias/payroll", arn("alias/payroll")):
        assert client.describe_key(KeyId=name)["KeyMetadata"] == key, name


def test_the_old_name_of_the_key_spec_and_the_default_policy_are_taken(client):
    client.create_key(CustomerMasterKeySpec="SYMMETRIC_DEFAULT", KeyUsage="ENCRYPT_DECRYPT")
    client.create_key(KeySpec="SYMMETRIC_DEFAULT", Origin="AWS_KMS", MultiRegion=False)
    client.create_key(Policy=default_key_policy("000000000000"))
    # As others write it: another layout, no Id
    policy = json.loads(default_key_policy("000000000000"))
    del policy["Id"]
    client.create_key(Policy=json.dumps(policy), BypassPolicyLockoutSafetyCheck=True)


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ({"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": "cks-1"}, "Unsupported", "AWS_CLOUDHSM"),
        ({"CustomKeyStoreId": "cks-1"}, "Unsupported", "custom key store"),
        ({"XksKeyId": "abc"}, "Unsupported", "custom key store"),
        ({"Policy": "{"}, "MalformedPolicyDocumentException", "not valid JSON"),
        ({"Policy": "[" * 20_000}, "MalformedPolicyDocumentException", "not valid JSON"),
        ({"KeyUsage": "SIGN_VERIFY"}, "ValidationException", "SIGN_VERIFY is not compatible"),
        (
            {"KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT"},
            "ValidationException",
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request",
        ),
        ({"KeySpec": "DES"}, "ValidationException", "Value 'DES' at 'keySpec' failed to satisfy"),
        ({"Description": "x" * 8193}, "ValidationException", "less than or equal to 8192"),
        ({"Tags": [{"TagKey": "aws:x", "TagValue": ""}]}, "TagException", "reserved"),
        ({"Tags": [{"TagKey": "a", "TagValue": ""}] * 2}, "TagException", "Duplicate tag keys"),
        (
            {"Tags": [{"TagKey": f"{n}", "TagValue": ""} for n in range(51)]},
            "TagException",
            "Too many tags",
        ),
    ],
    ids=str,
)
def test_keys_that_cannot_be_made_are_refused_and_not_made(client, refused, params, code, text):
    code = {"Unsupported": "UnsupportedOperationException"}.get(code, code)
    assert text in refused(code, client.create_key, **params)
    assert client.list_keys()["Keys"] == []


def test_names_of_no_key_are_refused_with_aws_s_text(client, refused, arn):
    def text(name):
        return refused("NotFoundException", client.describe_key, KeyId=name)

    assert text(UNKNOWN) == f"Key '{arn(f'key/{UNKNOWN}')}' does not exist"
    assert text(arn(f"key/{UNKNOWN}")) == f"Key '{arn(f'key/{UNKNOWN}')}' does not exist"
    assert text("foo") == "Invalid keyId 'foo'"
    upper = UNKNOWN.upper()
    assert text(upper) == f"Key '{arn(f'key/{upper}')}' does not exist"
    assert text("alias/none") == f"Alias {arn('alias/none')} is not found."
    assert text(arn("alias/none")) == f"Alias {arn('alias/none')} is not found."
    assert text(arn("key/foo")) == "Invalid keyId foo"
    assert text(arn(f"key/{UNKNOWN}", region="eu-west-1")) == "Invalid arn eu-west-1"
    assert text("arn:aws:s3:::bucket") == "Invalid arn arn:aws:s3:::bucket"


@pytest.mark.parametrize(
    "method", ["enable_key", "disable_key", "schedule_key_deletion", "cancel_key_deletion"]
)
def test_operations_on_the_key_itself_take_no_alias(client, key, refused, arn, method):
    client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    call = getattr(client, method)
    for name in ("alias/a", arn("alias/a"), "alias/none"):
        text = refused("InvalidArnException", call, KeyId=name)
        assert text == "Key Aliases are not supported for this operation."
    assert client.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key


def test_a_key_is_switched_off_and_on(client, key, refused):
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"data")["CiphertextBlob"]
    for _ in range(2):  # the second time is no error
        assert set(client.disable_key(KeyId=key["KeyId"])) == {"ResponseMetadata"}
    described = client.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert (described["Enabled"], described["KeyState"]) == (False, "Disabled")
    text = refused("DisabledException", client.decrypt, CiphertextBlob=blob)
    assert text == f"{key['Arn']} is disabled."
    for _ in range(2):
        client.enable_key(KeyId=key["Arn"])
    assert client.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"


def test_a_description_is_replaced(client, key, refused):
    client.update_key_description(KeyId=key["KeyId"], Description="new")
    assert client.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == {**key, "Description": "new"}
    client.update_key_description(KeyId=key["Arn"], Description="")
    assert client.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Description"] == ""
    refused(
        "ValidationException",
        client.update_key_description,
        KeyId=key["KeyId"],
        Description="x" * 8193,
    )


# --- deletion ------------------------------------------------------------------------------------


def test_scheduling_a_deletion_says_when(deployment, client, key):
    answer = client.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    date = datetime.fromtimestamp(deployment.clock.now(), UTC) + timedelta(days=7)
    del answer["ResponseMetadata"]
    assert answer == {
        "KeyId": key["Arn"],
        "DeletionDate": date,
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": 7,
    }
    described = client.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert described == {
        **key,
        "Enabled": False,
        "KeyState": "PendingDeletion",
        "DeletionDate": date,
    }


def test_the_window_is_thirty_days_and_may_be_seven_to_thirty(client, key, refused):
    for days in (6, 31):
        text = refused(
            "ValidationException",
            client.schedule_key_deletion,
            KeyId=key["KeyId"],
            PendingWindowInDays=days,
        )
        assert "between 7 and 30" in text
    assert client.schedule_key_deletion(KeyId=key["KeyId"])["PendingWindowInDays"] == 30


def test_a_cancelled_deletion_leaves_the_key_disabled_and_its_blobs_good(
    deployment, client, key, refused
):
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"data")["CiphertextBlob"]
    client.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    deployment.clock.advance(7 * DAY - 1)
    answer = client.cancel_key_deletion(KeyId=key["KeyId"])
    assert set(answer) == {"KeyId", "ResponseMetadata"}
    assert answer["KeyId"] == key["Arn"]
    deployment.clock.advance(365 * DAY)
    described = client.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert described == {**key, "Enabled": False, "KeyState": "Disabled"}
    refused("DisabledException", client.decrypt, CiphertextBlob=blob)
    client.enable_key(KeyId=key["KeyId"])
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"


def test_the_key_is_gone_when_its_window_ends(deployment, client, key, refused):
    other = client.create_key()["KeyMetadata"]
    client.create_alias(AliasName="alias/gone", TargetKeyId=key["KeyId"])
    client.create_alias(AliasName="alias/stays", TargetKeyId=other["KeyId"])
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"data")["CiphertextBlob"]
    kept = client.encrypt(KeyId=other["KeyId"], Plaintext=b"kept")["CiphertextBlob"]
    client.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    deployment.clock.advance(7 * DAY)

    refused("InvalidCiphertextException", client.decrypt, CiphertextBlob=blob)
    missing = f"Key '{key['Arn']}' does not exist"
    assert refused("NotFoundException", client.describe_key, KeyId=key["KeyId"]) == missing
    assert refused("NotFoundException", client.cancel_key_deletion, KeyId=key["Arn"]) == missing
    refused("NotFoundException", client.encrypt, KeyId="alias/gone", Plaintext=b"x")
    assert [each["KeyId"] for each in client.list_keys()["Keys"]] == [other["KeyId"]]
    assert [each["AliasName"] for each in client.used_aliases()] == ["alias/stays"]
    assert client.decrypt(CiphertextBlob=kept)["Plaintext"] == b"kept"
    assert deployment.kms.status()["loaded_keys"] == 1
    record = next(each for each in deployment.records() if each["eventName"] == "DeleteKey")
    assert record["eventType"] == "AwsServiceEvent"
    assert [each["ARN"] for each in record["resources"]] == [key["Arn"]]


def test_what_falls_due_while_the_store_is_closed_is_deleted_at_the_next_call(durable, refused):
    client = durable.client()
    early, late = (client.create_key()["KeyMetadata"] for _ in range(2))
    blobs = [
        client.encrypt(KeyId=each["KeyId"], Plaintext=b"data")["CiphertextBlob"]
        for each in (early, late)
    ]
    client.schedule_key_deletion(KeyId=early["KeyId"], PendingWindowInDays=7)
    client.schedule_key_deletion(KeyId=late["KeyId"], PendingWindowInDays=8)
    durable.clock.advance(7 * DAY)
    durable.reopen()
    client = durable.client()
    refused("InvalidCiphertextException", client.decrypt, CiphertextBlob=blobs[0])
    text = refused("KMSInvalidStateException", client.decrypt, CiphertextBlob=blobs[1])
    assert text == f"{late['Arn']} is pending deletion."
    with durable.kms._store.read() as tx:
        counts = tx.exec_driver_sql(
            "SELECT (SELECT count(*) FROM keys), (SELECT count(*) FROM key_versions)"
        ).one()
    assert tuple(counts) == (1, 1)


def test_a_deletion_happens_without_a_call(durable):
    """The watch thread of a durable KMS sees to it; it looks once a second."""
    client = durable.client()
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    client.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    durable.clock.advance(7 * DAY + 60)

    def erased():
        return any(each["eventName"] == "DeleteKey" for each in durable.records())

    waiting = durable.kms._watch
    assert waiting is not None
    deadline = 200
    while not erased() and deadline:
        waiting._stop.wait(0.05)
        deadline -= 1
    assert erased()


def test_an_account_has_its_quota_of_keys_in_each_region(refused):
    with KMS(quotas=Quotas(keys=2), clock=ManualClock()) as kms:
        client = kms.client()
        first = client.create_key()["KeyMetadata"]["KeyId"]
        client.create_key()
        text = refused("LimitExceededException", client.create_key)
        assert text == (
            "An account can have at most 2 KMS keys in a Region, and 000000000000 has as many in "
            "us-east-1: schedule the deletion of some first."
        )
        assert kms.status()["loaded_keys"] == 2
        kms.client(region="eu-west-1").create_key()
        kms.client(account="111122223333").create_key()
        client.schedule_key_deletion(KeyId=first, PendingWindowInDays=7)
        refused("LimitExceededException", client.create_key)  # it counts until it is gone
        kms._clock.advance(7 * DAY)  # type: ignore[attr-defined]  # a ManualClock
        client.create_key()
        refused("LimitExceededException", client.create_key)
