"""Multi-Region keys: rotation, the primary Region, deletion; who may, and what is on record.

What AWS answers is from radkawar/stackd's recordings of AWS KMS (testdata/aws/kms/
multi_region.json) and from the documentation in botocore's model.
"""

from __future__ import annotations

import re
from typing import Any

from clavero.iam.decision import Principal, default_key_policy
from clavero.model.operations import OPERATIONS
from clavero.ops import regions
from clavero.ops.call import Call

HOME, AWAY, FAR = "us-east-1", "eu-west-1", "ap-east-1"
ACCOUNT = "000000000000"
DAY = 86_400


# --- rotation ------------------------------------------------------------------------------------


def test_automatic_rotation_is_the_primary_keys(replicated, refused):
    one = replicated
    for operation in ("EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand"):
        method = re.sub("(?<!^)(?=[A-Z])", "_", operation).lower()
        text = refused("UnsupportedOperationException", getattr(one.away, method), KeyId=one.id)
        assert text == (
            f"{one.arn(AWAY)} is a multi-region replica key which is not valid for {operation}."
        )
    assert one.away.get_key_rotation_status(KeyId=one.id)["KeyRotationEnabled"] is False
    one.home.enable_key_rotation(KeyId=one.id, RotationPeriodInDays=90)
    expected = one.home.get_key_rotation_status(KeyId=one.id)
    assert expected["KeyRotationEnabled"] is True

    def status(client: Any) -> dict[str, Any]:
        found = client.get_key_rotation_status(KeyId=one.id)
        return {name: found[name] for name in found if name not in {"KeyId", "ResponseMetadata"}}

    assert status(one.away) == status(one.home)
    one.replicate(FAR)
    assert status(one.far) == status(one.home), "a new replica has them too"
    one.clock.advance(90 * DAY)
    first = one.metadata["CurrentKeyMaterialId"]
    currents = {one.describe(region)["CurrentKeyMaterialId"] for region in (HOME, AWAY, FAR)}
    assert len(currents) == 1
    assert first not in currents
    assert status(one.away) == status(one.far) == status(one.home)
    assert status(one.home)["NextRotationDate"].timestamp() == one.clock.now() + 90 * DAY
    one.home.disable_key_rotation(KeyId=one.id)
    assert status(one.away) == {"KeyRotationEnabled": False}


def test_every_rotation_reaches_every_replica(replicated):
    one = replicated
    one.away.disable_key(KeyId=one.id)  # which does not keep it from rotating
    blobs = []
    for number in range(3):
        blobs.append(one.home.encrypt(KeyId=one.id, Plaintext=b"%d" % number)["CiphertextBlob"])
        one.clock.advance(60)
        one.home.rotate_key_on_demand(KeyId=one.id)
    one.away.enable_key(KeyId=one.id)
    blobs.append(one.away.encrypt(KeyId=one.id, Plaintext=b"3")["CiphertextBlob"])
    one.replicate(FAR)

    def history(client: Any) -> list[dict[str, Any]]:
        listed = client.list_key_rotations(KeyId=one.id, IncludeKeyMaterial="ALL_KEY_MATERIAL")
        for entry in listed["Rotations"]:
            assert entry.pop("KeyId").endswith(one.id)
        entries: list[dict[str, Any]] = listed["Rotations"]
        return entries

    told = history(one.home)
    assert [entry["KeyMaterialState"] for entry in told] == ["NON_CURRENT"] * 3 + ["CURRENT"]
    assert history(one.away) == history(one.far) == told
    for client in one.clients.values():
        opened = [client.decrypt(CiphertextBlob=blob)["Plaintext"] for blob in blobs]
        assert opened == [b"0", b"1", b"2", b"3"]


def test_a_disabled_primary_key_does_not_rotate_and_its_replicas_with_it(replicated):
    one = replicated
    one.home.enable_key_rotation(KeyId=one.id, RotationPeriodInDays=90)
    one.home.disable_key(KeyId=one.id)
    one.clock.advance(100 * DAY)
    first = one.metadata["CurrentKeyMaterialId"]
    assert one.describe(AWAY)["CurrentKeyMaterialId"] == first
    one.home.enable_key(KeyId=one.id)
    assert one.describe(AWAY)["CurrentKeyMaterialId"] != first
    assert one.describe(AWAY)["CurrentKeyMaterialId"] == one.describe(HOME)["CurrentKeyMaterialId"]


# --- UpdatePrimaryRegion -------------------------------------------------------------------------


def test_the_primary_region_changes(replicated, refused):
    one = replicated
    one.replicate(FAR)
    one.home.enable_key_rotation(KeyId=one.id, RotationPeriodInDays=90)
    one.home.rotate_key_on_demand(KeyId=one.id)
    before = {region: one.describe(region) for region in one.clients}
    dates = one.home.get_key_rotation_status(KeyId=one.id)["NextRotationDate"]
    one.home.update_primary_region(KeyId=one.id, PrimaryRegion=AWAY)
    after = {region: one.describe(region) for region in one.clients}
    for region in one.clients:
        kind = "PRIMARY" if region == AWAY else "REPLICA"
        assert after[region] == before[region] | {
            "MultiRegionConfiguration": one.configuration(kind, AWAY, FAR, HOME)
        }
    # What only a primary key can do has moved with it
    refused("UnsupportedOperationException", one.home.rotate_key_on_demand, KeyId=one.id)
    refused("UnsupportedOperationException", one.home.disable_key_rotation, KeyId=one.id)
    one.away.rotate_key_on_demand(KeyId=one.id)
    assert one.away.get_key_rotation_status(KeyId=one.id)["NextRotationDate"] == dates
    one.clock.advance(90 * DAY)
    currents = {one.describe(region)["CurrentKeyMaterialId"] for region in one.clients}
    assert len(currents) == 1
    listed = one.away.list_key_rotations(KeyId=one.id)["Rotations"]
    assert [entry["RotationType"] for entry in listed] == ["ON_DEMAND", "ON_DEMAND", "AUTOMATIC"]
    refused(
        "UnsupportedOperationException",
        one.home.replicate_key,
        KeyId=one.id,
        ReplicaRegion="sa-east-1",
    )
    one.away.replicate_key(KeyId=one.id, ReplicaRegion="sa-east-1")
    # And back
    one.away.update_primary_region(KeyId=one.id, PrimaryRegion=HOME)
    assert one.describe(HOME)["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY"


def test_where_the_primary_region_does_not_change(replicated, refused):
    one = replicated
    one.replicate(FAR)
    one.home.update_primary_region(KeyId=one.id, PrimaryRegion=HOME)  # it is there
    assert one.describe(HOME)["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY"

    def update(source: str = HOME, to: str = AWAY) -> Any:
        return one.clients[source].update_primary_region(KeyId=one.id, PrimaryRegion=to)

    for nowhere in ("sa-east-1", "us-invalid-1"):
        assert refused("ValidationException", update, HOME, nowhere) == (
            f"{one.id} does not have a replica key in the specified Region."
        )
    for to in (HOME, AWAY, FAR, "sa-east-1"):
        assert refused("KMSInvalidStateException", update, AWAY, to) == (
            f"{one.arn(AWAY)} is not a multi-Region primary key."
        )
    single = one.home.create_key()["KeyMetadata"]
    text = refused(
        "KMSInvalidStateException",
        one.home.update_primary_region,
        KeyId=single["KeyId"],
        PrimaryRegion=AWAY,
    )
    assert text == f"{single['Arn']} is not a multi-Region primary key."
    # Both keys must be enabled
    one.home.disable_key(KeyId=one.id)
    assert refused("DisabledException", update) == f"{one.arn(HOME)} is disabled."
    one.home.enable_key(KeyId=one.id)
    one.away.disable_key(KeyId=one.id)
    assert refused("DisabledException", update) == f"{one.arn(AWAY)} is disabled."
    one.away.schedule_key_deletion(KeyId=one.id)
    assert refused("KMSInvalidStateException", update) == (f"{one.arn(AWAY)} is pending deletion.")
    assert one.describe(HOME)["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY"


# --- deletion ------------------------------------------------------------------------------------


def test_a_primary_key_waits_for_its_replicas(replicated, refused):
    one = replicated
    one.replicate(FAR)
    one.home.enable_key_rotation(KeyId=one.id, RotationPeriodInDays=90)
    answer = one.home.schedule_key_deletion(KeyId=one.id, PendingWindowInDays=8)
    assert {name: answer[name] for name in answer if name != "ResponseMetadata"} == {
        "KeyId": one.arn(HOME),
        "KeyState": "PendingReplicaDeletion",
        "PendingWindowInDays": 8,
    }
    home = one.describe(HOME)
    assert home["KeyState"] == "PendingReplicaDeletion"
    assert home["Enabled"] is False
    assert home["PendingDeletionWindowInDays"] == 8
    assert "DeletionDate" not in home
    pending = f"{one.arn(HOME)} is pending replica deletion."
    assert refused("KMSInvalidStateException", one.home.encrypt, KeyId=one.id, Plaintext=b"x") == (
        pending
    )
    # Recorded of AWS: its rotation counts as enabled, and its policy can be changed; no tags
    assert one.home.get_key_rotation_status(KeyId=one.id)["KeyRotationEnabled"] is True
    one.home.put_key_policy(KeyId=one.id, Policy=default_key_policy(ACCOUNT))
    tags = [{"TagKey": "a", "TagValue": "1"}]
    assert refused("KMSInvalidStateException", one.home.tag_resource, KeyId=one.id, Tags=tags) == (
        pending
    )
    refused("KMSInvalidStateException", one.home.schedule_key_deletion, KeyId=one.id)
    refused("KMSInvalidStateException", one.replicate, "sa-east-1")
    # The replicas go on
    blob = one.away.encrypt(KeyId=one.id, Plaintext=b"x")["CiphertextBlob"]
    assert one.far.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    # They may be deleted, one after the other, and the primary key's window begins after the last
    one.clock.advance(100 * DAY)
    assert one.states(HOME) == ["PendingReplicaDeletion"]
    scheduled = one.away.schedule_key_deletion(KeyId=one.id, PendingWindowInDays=7)
    assert scheduled["KeyState"] == "PendingDeletion"
    assert scheduled["DeletionDate"].timestamp() == one.clock.now() + 7 * DAY
    one.far.schedule_key_deletion(KeyId=one.id, PendingWindowInDays=10)
    one.clock.advance(7 * DAY)
    refused("NotFoundException", one.away.describe_key, KeyId=one.id)
    assert one.states(HOME) == ["PendingReplicaDeletion"]
    assert one.describe(HOME)["MultiRegionConfiguration"] == one.configuration("PRIMARY", HOME, FAR)
    one.clock.advance(3 * DAY)
    home = one.describe(HOME)
    assert home["KeyState"] == "PendingDeletion"
    assert home["DeletionDate"].timestamp() == one.clock.now() + 8 * DAY
    assert "PendingDeletionWindowInDays" not in home
    assert home["MultiRegionConfiguration"] == one.configuration("PRIMARY", HOME)
    assert one.home.get_key_rotation_status(KeyId=one.id)["KeyRotationEnabled"] is False
    one.clock.advance(8 * DAY - 1)
    assert one.states(HOME) == ["PendingDeletion"]
    one.clock.advance(1)
    refused("NotFoundException", one.home.describe_key, KeyId=one.id)


def test_deletions_are_called_off(replicated, refused):
    one = replicated
    not_pending = "is not pending deletion (or pending replica deletion)."
    assert refused("KMSInvalidStateException", one.home.cancel_key_deletion, KeyId=one.id) == (
        f"{one.arn(HOME)} {not_pending}"
    )
    one.home.schedule_key_deletion(KeyId=one.id, PendingWindowInDays=7)
    one.away.schedule_key_deletion(KeyId=one.id, PendingWindowInDays=7)
    one.clock.advance(6 * DAY)
    one.away.cancel_key_deletion(KeyId=one.id)
    one.clock.advance(6 * DAY)
    assert one.states(HOME, AWAY) == ["PendingReplicaDeletion", "Disabled"]
    one.home.cancel_key_deletion(KeyId=one.id)
    assert one.states(HOME, AWAY) == ["Disabled", "Disabled"]
    assert "PendingDeletionWindowInDays" not in one.describe(HOME)
    one.home.enable_key(KeyId=one.id)
    one.away.enable_key(KeyId=one.id)
    blob = one.home.encrypt(KeyId=one.id, Plaintext=b"x")["CiphertextBlob"]
    assert one.away.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    # Called off during its own window too
    one.home.schedule_key_deletion(KeyId=one.id, PendingWindowInDays=7)
    one.away.schedule_key_deletion(KeyId=one.id, PendingWindowInDays=7)
    one.clock.advance(7 * DAY)
    assert one.states(HOME) == ["PendingDeletion"]
    one.home.cancel_key_deletion(KeyId=one.id)
    one.clock.advance(30 * DAY)
    assert one.states(HOME) == ["Disabled"]


def test_a_deleted_replica_is_replicated_again(replicated):
    one = replicated
    blob = one.away.encrypt(KeyId=one.id, Plaintext=b"x")["CiphertextBlob"]
    one.away.schedule_key_deletion(KeyId=one.id, PendingWindowInDays=7)
    one.clock.advance(7 * DAY)
    assert one.states(HOME) == ["Enabled"]
    one.home.rotate_key_on_demand(KeyId=one.id)
    one.replicate(Description="again")
    assert one.away.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert one.describe(AWAY)["Description"] == "again"


def test_a_former_primary_key_is_deleted_as_any_replica(replicated):
    one = replicated
    one.home.update_primary_region(KeyId=one.id, PrimaryRegion=AWAY)
    answer = one.home.schedule_key_deletion(KeyId=one.id, PendingWindowInDays=7)
    assert answer["KeyState"] == "PendingDeletion"
    one.clock.advance(7 * DAY)
    assert one.home.list_keys()["Keys"] == []
    assert one.describe(AWAY)["MultiRegionConfiguration"] == one.configuration("PRIMARY", AWAY)


def test_rotations_go_on_in_a_replica_that_waits_for_its_deletion(replicated):
    one = replicated
    one.away.schedule_key_deletion(KeyId=one.id)
    one.home.rotate_key_on_demand(KeyId=one.id)
    blob = one.home.encrypt(KeyId=one.id, Plaintext=b"x")["CiphertextBlob"]
    one.away.cancel_key_deletion(KeyId=one.id)
    one.away.enable_key(KeyId=one.id)
    assert one.away.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


# --- who may, and what is on record --------------------------------------------------------------


def test_what_is_authorised(replicated, refused):
    """On the key in its Region, and on what is to be in the other."""
    one = replicated
    kms = one.deployment.kms
    scope = kms._directory.scope(HOME, ACCOUNT)
    params = {"KeyId": one.id, "ReplicaRegion": FAR, "Tags": [{"TagKey": "a", "TagValue": "1"}]}
    root = Principal(f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)
    call = Call(OPERATIONS["ReplicateKey"], params, root, scope)
    handlers = {handler.name: handler for handler in regions.HANDLERS}
    resolve, needs = handlers["ReplicateKey"].resolve, handlers["ReplicateKey"].needs
    assert resolve is not None
    assert needs is not None
    call.keys = resolve(kms._service._context, call)
    assert [(need.action, need.resource.arn) for need in needs(call)] == [
        ("kms:ReplicateKey", one.arn(HOME)),
        ("kms:CreateKey", "*"),
        ("kms:TagResource", f"arn:aws:kms:ap-east-1:{ACCOUNT}:key/*"),
    ]
    call = Call(
        OPERATIONS["UpdatePrimaryRegion"], {"KeyId": one.id, "PrimaryRegion": AWAY}, root, scope
    )
    handler = handlers["UpdatePrimaryRegion"]
    assert handler.resolve is not None
    assert handler.needs is None, "its action is authorised on each key"
    keys = handler.resolve(kms._service._context, call)
    assert [key.arn for key in keys] == [one.arn(HOME), one.arn(AWAY)]


def test_the_requested_region_is_the_one_that_gets_the_key(made, refused):
    """A policy that keeps keys out of a Region keeps replicas, and primary keys, out of it too."""

    def user(denied: str, *regions: str) -> Any:
        deny = {"Effect": "Deny", "Action": denied, "Resource": "*"}
        where = {"StringEquals": {"aws:RequestedRegion": list(regions)}}
        allow = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
        return made.deployment.kms.client(
            principal=f"arn:aws:iam::{ACCOUNT}:user/alice",
            region=HOME,
            identity_policies=[{"Statement": [allow, {**deny, "Condition": where}]}],
        )

    tagged = {"KeyId": made.id, "Tags": [{"TagKey": "a", "TagValue": "1"}]}
    for denied in ("kms:CreateKey", "kms:TagResource"):
        away = user(denied, AWAY, FAR)
        text = refused(
            "AccessDeniedException", away.replicate_key, **tagged, ReplicaRegion=AWAY
        )  # fmt: skip
        assert f"is not authorized to perform: {denied}" in text
        away.create_key(Tags=tagged["Tags"])
        home = user(denied, HOME)
        refused("AccessDeniedException", home.create_key, Tags=tagged["Tags"])
    home.replicate_key(**tagged, ReplicaRegion=AWAY)
    moved = {"KeyId": made.id, "PrimaryRegion": AWAY}
    away = user("kms:UpdatePrimaryRegion", AWAY)
    refused("AccessDeniedException", away.update_primary_region, **moved)
    user("kms:UpdatePrimaryRegion", FAR).update_primary_region(**moved)


def test_others_are_refused(replicated, refused):
    one = replicated
    user = f"arn:aws:iam::{ACCOUNT}:user/alice"
    alice = one.deployment.client(region=HOME, principal=user)
    text = refused("AccessDeniedException", alice.replicate_key, KeyId=one.id, ReplicaRegion=FAR)
    assert f"{user} is not authorized to perform: kms:ReplicateKey on resource:" in text
    refused("AccessDeniedException", alice.update_primary_region, KeyId=one.id, PrimaryRegion=AWAY)
    stranger = one.deployment.client(region=HOME, account="111122223333")
    for method, given in (
        (stranger.replicate_key, {"ReplicaRegion": FAR}),
        (stranger.update_primary_region, {"PrimaryRegion": AWAY}),
        (stranger.update_primary_region, {"PrimaryRegion": "sa-east-1"}),
    ):
        text = refused("AccessDeniedException", method, KeyId=one.arn(HOME), **given)
        assert "on this resource because the resource does not exist" in text
    assert one.far.list_keys()["Keys"] == []


def records_of(one: Any, *names: str) -> list[dict[str, Any]]:
    return [each for each in one.deployment.records() if each["eventName"] in names]


def test_replication_is_on_record_in_both_regions(made):
    made.replicate(Description="away", Tags=[{"TagKey": "a", "TagValue": "1"}])
    home, away = records_of(made, "ReplicateKey", "CreateKey")[-2:]
    assert (home["eventName"], home["awsRegion"]) == ("ReplicateKey", HOME)
    assert [each["ARN"] for each in home["resources"]] == [made.arn(HOME)]
    assert home["requestParameters"]["replicaRegion"] == AWAY
    assert (away["eventName"], away["awsRegion"]) == ("CreateKey", AWAY)
    assert [each["ARN"] for each in away["resources"]] == [made.arn(AWAY)]
    assert away["requestParameters"] == {
        "description": "away",
        "tags": [{"tagKey": "a", "tagValue": "1"}],
        "keyUsage": "ENCRYPT_DECRYPT",
        "keySpec": "SYMMETRIC_DEFAULT",
        "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "origin": "AWS_KMS",
        "multiRegion": True,
    }
    assert home["requestID"] == away["requestID"]
    assert home["eventID"] != away["eventID"]
    for same in ("userIdentity", "sourceIPAddress", "userAgent", "eventTime"):
        assert home[same] == away[same]
    assert away["readOnly"] is False


def test_a_change_of_the_primary_region_is_on_record_in_both(replicated):
    one = replicated
    one.home.update_primary_region(KeyId=one.id, PrimaryRegion=AWAY)
    home, away = records_of(one, "UpdatePrimaryRegion")
    assert (home["awsRegion"], away["awsRegion"]) == (HOME, AWAY)
    assert home["requestParameters"] == {"keyId": one.id, "primaryRegion": AWAY}
    assert [each["ARN"] for each in home["resources"]] == [one.arn(HOME)]
    assert away["requestParameters"] == {"keyId": one.arn(AWAY), "primaryRegion": AWAY}
    assert [each["ARN"] for each in away["resources"]] == [one.arn(AWAY)]
    assert home["requestID"] == away["requestID"]
    one.away.update_primary_region(KeyId=one.id, PrimaryRegion=AWAY)  # which changes nothing
    assert len(records_of(one, "UpdatePrimaryRegion")) == 3


def test_synchronisations_are_on_record(replicated):
    one = replicated

    def synchronised() -> list[dict[str, Any]]:
        return records_of(one, "SynchronizeMultiRegionKey")

    assert synchronised() == []
    one.home.enable_key_rotation(KeyId=one.id, RotationPeriodInDays=90)
    one.home.rotate_key_on_demand(KeyId=one.id)
    one.home.disable_key_rotation(KeyId=one.id)
    one.home.enable_key_rotation(KeyId=one.id, RotationPeriodInDays=90)
    assert len(synchronised()) == 4
    one.clock.advance(90 * DAY)
    one.describe(HOME)
    *_, rotated, last = records_of(one, "RotateKey", "SynchronizeMultiRegionKey")
    assert rotated["eventName"] == "RotateKey"
    assert last["eventName"] == "SynchronizeMultiRegionKey"
    for record in synchronised():
        assert record["userIdentity"] == {"accountId": ACCOUNT, "invokedBy": "AWS Internal"}
        assert record["awsRegion"] == HOME
        assert record["requestParameters"] is None
        assert [each["ARN"] for each in record["resources"]] == [one.arn(HOME)]
        assert record["readOnly"] is False
        assert record["eventType"] == "AwsApiCall"
    # Without replicas there is nothing to hand on
    count = len(synchronised())
    alone = one.home.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    one.home.rotate_key_on_demand(KeyId=alone)
    one.home.enable_key_rotation(KeyId=alone)
    assert len(synchronised()) == count
