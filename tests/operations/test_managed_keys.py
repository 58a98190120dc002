"""AWS managed keys: made at the first use of their alias, once, and closed to changes."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest

from clavero import KMS, ManualClock, Quotas
from clavero.model import managed

OWNER = "arn:aws:iam::000000000000:root"
OTHER = "111122223333"


def through(name: str) -> Any:
    """What makes a client one of the service: its own key lets nobody else encrypt."""
    return {"via_service": f"{name}.us-east-1.amazonaws.com"}


def used(client) -> dict[str, str]:
    return {each["AliasName"]: each["TargetKeyId"] for each in client.used_aliases()}


def test_describe_key_of_a_predefined_alias_makes_the_key(deployment, client, arn):
    metadata = client.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    material = metadata.pop("CurrentKeyMaterialId")
    assert len(material) == 64
    created = metadata.pop("CreationDate")
    assert created.timestamp() == deployment.clock.now()
    key_id = metadata["KeyId"]
    assert metadata == {
        "AWSAccountId": "000000000000",
        "KeyId": key_id,
        "Arn": arn(f"key/{key_id}"),
        "Enabled": True,
        "Description": "Default key that protects my S3 objects when no other key is defined",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "AWS",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }
    for name in (arn("alias/aws/s3"), "alias/aws/s3", key_id):
        again = client.describe_key(KeyId=name)["KeyMetadata"]
        assert again["KeyId"] == key_id
        assert again["CurrentKeyMaterialId"] == material
    assert [key["KeyId"] for key in client.list_keys()["Keys"]] == [key_id]


@pytest.mark.parametrize("alias", managed.SERVICES)
def test_every_service_s_key_encrypts_for_the_service(kept, kept_client, refused, alias):
    service = {"ebs": "ec2"}.get(alias.rpartition("/")[2], alias.rpartition("/")[2])
    client = kept.kms.client(**through(service))
    blob = client.generate_data_key(KeyId=alias, KeySpec="AES_256")
    opened = client.decrypt(CiphertextBlob=blob["CiphertextBlob"], KeyId=alias)
    assert opened["Plaintext"] == blob["Plaintext"]
    user = "arn:aws:iam::000000000000:user/alice"
    kept.kms.client(principal=user, **through(service)).encrypt(KeyId=alias, Plaintext=b"x")
    # Whoever is not allowed by the service's statement is not, the root user neither
    for other in (kept_client, kept.kms.client(**through("other"))):
        text = refused("AccessDeniedException", other.encrypt, KeyId=alias, Plaintext=b"x")
        assert "because no resource-based policy allows the kms:Encrypt action" in text
    policy = json.loads(kept_client.get_key_policy(KeyId=blob["KeyId"])["Policy"])
    condition = policy["Statement"][0]["Condition"]["StringEquals"]
    assert condition["kms:ViaService"] == f"{service}.us-east-1.amazonaws.com"
    assert condition["kms:CallerAccount"] == "000000000000"


def test_a_name_that_no_service_has_is_not_found(client, refused, arn):
    for name in ("alias/aws/nothing", "alias/aws/s3/x", "alias/aws/"):
        text = refused("NotFoundException", client.describe_key, KeyId=name)
        assert text == f"Alias {arn(name)} is not found."


def test_predefined_aliases_are_listed_before_their_first_use(client, arn):
    answer = client.list_aliases()
    assert answer["Truncated"] is False
    assert answer["Aliases"] == [
        {"AliasName": name, "AliasArn": arn(name)} for name in managed.PREDEFINED
    ]
    key_id = client.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]["KeyId"]
    client.describe_key(KeyId="alias/aws/sqs")  # it is listed once it has its key
    after = {each["AliasName"]: each for each in client.list_aliases()["Aliases"]}
    assert list(after) == sorted([*managed.PREDEFINED, "alias/aws/sqs"])
    assert after["alias/aws/ebs"]["TargetKeyId"] == key_id
    assert "CreationDate" in after["alias/aws/ebs"]
    assert used(client).keys() == {"alias/aws/ebs", "alias/aws/sqs"}
    (alone,) = client.list_aliases(KeyId=key_id)["Aliases"]
    assert alone == after["alias/aws/ebs"]


@pytest.mark.parametrize("limit", [1, 2, 5, 13, 14, 100])
def test_pages_have_each_alias_once(client, limit):
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    for name in ("alias/aaa", "alias/aws-b", "alias/zzz"):
        client.create_alias(AliasName=name, TargetKeyId=key_id)
    client.describe_key(KeyId="alias/aws/s3")
    names: list[str] = []
    params: dict[str, object] = {"Limit": limit}
    while True:
        answer = client.list_aliases(**params)
        names += [each["AliasName"] for each in answer["Aliases"]]
        if not answer["Truncated"]:
            break
        assert len(answer["Aliases"]) == limit
        params["Marker"] = answer["NextMarker"]
    assert names == sorted([*managed.PREDEFINED, "alias/aaa", "alias/aws-b", "alias/zzz"])


def test_nobody_changes_the_key(client, key, refused):
    made = client.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    policy = client.get_key_policy(KeyId=key["KeyId"])["Policy"]
    of_key = {
        "cancel_key_deletion": {},
        "disable_key": {},
        "disable_key_rotation": {},
        "enable_key": {},
        "enable_key_rotation": {},
        "put_key_policy": {"Policy": policy},
        "rotate_key_on_demand": {},
        "schedule_key_deletion": {},
        "tag_resource": {"Tags": [{"TagKey": "a", "TagValue": "b"}]},
        "untag_resource": {"TagKeys": ["a"]},
        "update_key_description": {"Description": "mine"},
    }
    for method, params in of_key.items():
        action = "kms:" + "".join(word.capitalize() for word in method.split("_"))
        for name in (made["KeyId"], made["Arn"]):
            text = refused(
                "AccessDeniedException", getattr(client, method), KeyId=name, **params
            )  # fmt: skip
            assert text == (
                f"User: {OWNER} is not authorized to perform: {action} on resource: "
                f"{made['Arn']} because no resource-based policy allows the {action} action"
            )
    assert client.describe_key(KeyId="alias/aws/s3")["KeyMetadata"] == made
    assert client.list_resource_tags(KeyId=made["KeyId"])["Tags"] == []


def test_aliases_of_the_key_and_of_its_name_are_aws_s(client, key, refused):
    made = client.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    client.create_alias(AliasName="alias/mine", TargetKeyId=key["KeyId"])
    for method, action in (
        (client.create_alias, "kms:CreateAlias"),
        (client.update_alias, "kms:UpdateAlias"),
    ):
        name = "alias/mine" if action == "kms:UpdateAlias" else "alias/other"
        text = refused(
            "AccessDeniedException", method, AliasName=name, TargetKeyId=made["KeyId"]
        )  # fmt: skip
        assert f"because no resource-based policy allows the {action} action" in text
        for reserved in ("alias/aws/s3", "alias/aws/sns", "alias/aws/mine"):
            params = {"AliasName": reserved, "TargetKeyId": key["KeyId"]}
            assert "reserved" in refused("InvalidAliasNameException", method, **params)
    for reserved in ("alias/aws/s3", "alias/aws/sns"):
        refused("InvalidAliasNameException", client.delete_alias, AliasName=reserved)
    assert used(client) == {"alias/mine": key["KeyId"], "alias/aws/s3": made["KeyId"]}


def test_it_rotates_every_year(deployment, client):
    made = client.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    s3 = deployment.client(**through("s3"))
    blob = s3.encrypt(KeyId="alias/aws/s3", Plaintext=b"old")["CiphertextBlob"]
    status = client.get_key_rotation_status(KeyId=made["KeyId"])
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 365)
    assert status["NextRotationDate"] == made["CreationDate"] + timedelta(days=365)
    deployment.clock.advance(365 * 86_400)
    new = client.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["CurrentKeyMaterialId"]
    assert new != made["CurrentKeyMaterialId"]
    (rotation,) = client.list_key_rotations(KeyId=made["KeyId"])["Rotations"]
    assert (rotation["RotationType"], rotation["KeyMaterialId"]) == ("AUTOMATIC", new)
    opened = s3.decrypt(CiphertextBlob=blob)
    assert opened["KeyMaterialId"] == made["CurrentKeyMaterialId"]


def test_each_account_and_region_has_its_own(deployment, client, refused):
    ids = {client.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["KeyId"]}
    for whose in ({"account": OTHER}, {"region": "eu-west-1"}):
        elsewhere = deployment.client(**whose)
        assert used(elsewhere) == {}
        ids.add(elsewhere.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["KeyId"])
    assert len(ids) == 3
    # Another account's alias makes nothing there
    foreign = f"arn:aws:kms:us-east-1:{OTHER}:alias/aws/sns"
    refused("AccessDeniedException", client.describe_key, KeyId=foreign)
    assert set(used(deployment.client(account=OTHER))) == {"alias/aws/s3"}


def test_a_call_that_is_not_allowed_makes_nothing(deployment, client, refused):
    nobody = deployment.client(principal="arn:aws:iam::000000000000:user/nobody")
    text = refused("AccessDeniedException", nobody.describe_key, KeyId="alias/aws/s3")
    assert "kms:DescribeKey" in text
    assert used(client) == {}
    assert client.list_keys()["Keys"] == []


def test_a_dry_run_makes_nothing(deployment, client, refused):
    refused(
        "DryRunOperationException", deployment.client(**through("s3")).encrypt,
        KeyId="alias/aws/s3", Plaintext=b"x", DryRun=True,
    )  # fmt: skip
    assert used(client) == {}


def test_a_call_that_another_key_s_state_refuses_makes_nothing(deployment, client, key, refused):
    s3 = deployment.client(**through("s3"))
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    client.disable_key(KeyId=key["KeyId"])
    refused(
        "DisabledException", s3.re_encrypt,
        CiphertextBlob=blob, DestinationKeyId="alias/aws/s3",
    )  # fmt: skip
    assert used(client) == {}


def test_a_call_may_name_two(deployment, client, key, refused):
    s3, sqs = (deployment.client(**through(name)) for name in ("s3", "sqs"))
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    moved = s3.re_encrypt(CiphertextBlob=blob, DestinationKeyId="alias/aws/s3")
    assert moved["KeyId"].endswith(used(client)["alias/aws/s3"])
    # Neither is there yet, and both are the same: made once, and the blob is not its own
    both = {"SourceKeyId": "alias/aws/sqs", "DestinationKeyId": "alias/aws/sqs"}
    refused("IncorrectKeyException", sqs.re_encrypt, CiphertextBlob=blob, **both)
    assert len(client.list_keys()["Keys"]) == 3


def test_the_making_is_on_record_before_the_call(deployment, client):
    made = client.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    client.describe_key(KeyId="alias/aws/s3")
    first, *rest = deployment.records()[-3:]
    assert (first["eventName"], first["userIdentity"]["invokedBy"]) == ("CreateKey", "AWS Internal")
    assert first["resources"][0]["ARN"] == made["Arn"]
    assert first["additionalEventData"] == {"keyManager": "AWS"}
    for record in rest:
        assert record["eventName"] == "DescribeKey"
        assert [each["ARN"] for each in record["resources"]] == [made["Arn"]]


def test_its_usage_is_tracked(deployment, client):
    deployment.client(**through("s3")).encrypt(KeyId="alias/aws/s3", Plaintext=b"x")
    usage = client.get_key_last_usage(KeyId=used(client)["alias/aws/s3"])
    assert usage["KeyLastUsage"]["Operation"] == "Encrypt"


def test_it_is_there_after_reopening(durable):
    client = durable.client(**through("s3"))
    blob = client.encrypt(KeyId="alias/aws/s3", Plaintext=b"x")["CiphertextBlob"]
    before = client.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    durable.reopen()
    client = durable.client(**through("s3"))
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert client.describe_key(KeyId="alias/aws/s3")["KeyMetadata"] == before


def test_it_does_not_count_against_the_quota_of_keys(refused):
    with KMS(clock=ManualClock(), quotas=Quotas(keys=1)) as kms:
        client = kms.client()
        client.describe_key(KeyId="alias/aws/s3")
        client.create_key()
        client.describe_key(KeyId="alias/aws/sns")
        refused("LimitExceededException", client.create_key)


def test_threads_that_come_at_once_find_one_key(tmp_path):
    with KMS(tmp_path) as kms:
        barrier = threading.Barrier(8)
        found: list[str] = []

        def use() -> None:
            client = kms.client(**through("s3"))
            barrier.wait()
            found.append(client.generate_data_key(KeyId="alias/aws/s3", KeySpec="AES_256")["KeyId"])

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len(set(found)) == 1
        assert len(kms.client().list_keys()["Keys"]) == 1
        assert kms.status()["loaded_keys"] == 1
    records = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [each["eventName"] for each in records].count("CreateKey") == 1
