"""Rotation: new material by the clock and on demand, and what was sealed before still opens."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clavero import KMS, ManualClock, Quotas

DAY = 86_400


def now(deployment) -> datetime:
    return datetime.fromtimestamp(deployment.clock.now(), UTC)


def status(client, key) -> dict[str, Any]:
    answer: dict[str, Any] = client.get_key_rotation_status(KeyId=key["KeyId"])
    del answer["ResponseMetadata"]
    assert answer.pop("KeyId") == key["Arn"]
    return answer


def rotations(client, key, **params: Any) -> list[dict[str, Any]]:
    answer = client.list_key_rotations(KeyId=key["KeyId"], **params)
    assert answer["Truncated"] is False
    for each in answer["Rotations"]:
        assert each.pop("KeyId") == key["Arn"]
    found: list[dict[str, Any]] = answer["Rotations"]
    return found


def current(client, key) -> str:
    metadata = client.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    return str(metadata["CurrentKeyMaterialId"])


def test_a_new_key_does_not_rotate(client, key):
    assert status(client, key) == {"KeyRotationEnabled": False}
    assert rotations(client, key) == []
    (first,) = rotations(client, key, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    assert first == {
        "KeyMaterialId": key["CurrentKeyMaterialId"],
        "KeyMaterialState": "CURRENT",
    }
    client.disable_key_rotation(KeyId=key["KeyId"])
    assert status(client, key) == {"KeyRotationEnabled": False}


def test_the_period_is_a_year_or_what_was_asked_for(deployment, client, key):
    """What AWS KMS was seen to do with every order of the calls."""
    start = now(deployment)

    def enable(**params: int) -> dict[str, Any]:
        assert set(client.enable_key_rotation(KeyId=key["KeyId"], **params)) == {"ResponseMetadata"}
        deployment.clock.advance(60)
        return status(client, key)

    def enabled(days: int, since: datetime) -> dict[str, Any]:
        return {
            "KeyRotationEnabled": True,
            "RotationPeriodInDays": days,
            "NextRotationDate": since + timedelta(days=days),
        }

    assert enable() == enabled(365, start)
    assert enable(RotationPeriodInDays=365) == enabled(365, start)  # as it was
    second = now(deployment)
    assert enable(RotationPeriodInDays=90) == enabled(90, second)
    assert enable() == enabled(90, second)  # the default does not replace what is there
    client.disable_key_rotation(KeyId=key["KeyId"])
    assert status(client, key) == {"KeyRotationEnabled": False}
    third = now(deployment)
    assert enable() == enabled(365, third)
    fourth = now(deployment)
    assert enable(RotationPeriodInDays=2560) == enabled(2560, fourth)


def test_periods_out_of_range_are_refused(client, key, refused):
    text = refused(
        "ValidationException",
        client.enable_key_rotation,
        KeyId=key["KeyId"],
        RotationPeriodInDays=2561,
    )
    assert text == (
        "1 validation error detected: Value '2561' at 'rotationPeriodInDays' failed to satisfy "
        "constraint: Member must have value less than or equal to 2560"
    )
    with pytest.raises(Exception, match="valid min value: 90"):  # botocore's own check
        client.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=89)
    assert status(client, key) == {"KeyRotationEnabled": False}


def test_a_key_rotates_when_its_date_comes_and_again(deployment, client, key):
    client.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=100)
    first = current(client, key)
    old = client.encrypt(KeyId=key["KeyId"], Plaintext=b"old")["CiphertextBlob"]
    deployment.clock.advance(100 * DAY - 1)
    assert current(client, key) == first
    deployment.clock.advance(1)
    second = current(client, key)
    due = now(deployment)
    assert second != first
    assert status(client, key)["NextRotationDate"] == due + timedelta(days=100)
    assert rotations(client, key) == [
        {
            "KeyMaterialId": second,
            "KeyMaterialState": "CURRENT",
            "RotationDate": due,
            "RotationType": "AUTOMATIC",
        }
    ]
    opened = client.decrypt(CiphertextBlob=old)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"old", first)
    made = client.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256")
    assert made["KeyMaterialId"] == second
    assert client.decrypt(CiphertextBlob=made["CiphertextBlob"])["KeyMaterialId"] == second
    deployment.clock.advance(100 * DAY)
    assert current(client, key) not in {first, second}
    assert [each["KeyMaterialState"] for each in rotations(client, key)] == [
        "NON_CURRENT",
        "CURRENT",
    ]
    assert client.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"


def test_a_clock_that_jumps_over_dates_rotates_once(deployment, client, key):
    client.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    deployment.clock.advance(1000 * DAY)
    assert len(rotations(client, key)) == 1
    assert status(client, key)["NextRotationDate"] == now(deployment) + timedelta(days=90)


def test_an_automatic_rotation_is_on_record_as_the_service_s_own(deployment, client, key):
    client.enable_key_rotation(KeyId=key["KeyId"])
    deployment.clock.advance(365 * DAY)
    client.list_keys()
    (record,) = [each for each in deployment.records() if each["eventName"] == "RotateKey"]
    assert record["eventType"] == "AwsServiceEvent"
    assert record["additionalEventData"] == {"rotationType": "AUTOMATIC"}
    assert [each["ARN"] for each in record["resources"]] == [key["Arn"]]
    assert record["readOnly"] is False


def test_many_keys_rotate_at_the_same_time(deployment, client):
    every = [client.create_key()["KeyMetadata"] for _ in range(230)]
    for key in every:
        client.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    deployment.clock.advance(90 * DAY)
    client.list_keys()
    for key in every:
        assert current(client, key) != key["CurrentKeyMaterialId"]
    assert [each["eventName"] for each in deployment.records()].count("RotateKey") == 230


def test_on_demand_rotates_at_once_and_leaves_the_dates(deployment, client, key):
    client.enable_key_rotation(KeyId=key["KeyId"])
    before = status(client, key)
    old = client.encrypt(KeyId=key["KeyId"], Plaintext=b"old")["CiphertextBlob"]
    deployment.clock.advance(DAY)
    answer = client.rotate_key_on_demand(KeyId=key["KeyId"])
    assert answer["KeyId"] == key["Arn"]
    second = current(client, key)
    assert second != key["CurrentKeyMaterialId"]
    assert status(client, key) == before
    assert rotations(client, key, IncludeKeyMaterial="ROTATIONS_ONLY") == [
        {
            "KeyMaterialId": second,
            "KeyMaterialState": "CURRENT",
            "RotationDate": now(deployment),
            "RotationType": "ON_DEMAND",
        }
    ]
    moved = client.re_encrypt(CiphertextBlob=old, DestinationKeyId=key["KeyId"])
    assert moved["SourceKeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert moved["DestinationKeyMaterialId"] == second
    opened = client.decrypt(CiphertextBlob=moved["CiphertextBlob"], KeyId=key["KeyId"])
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"old", second)


def test_every_blob_opens_by_the_material_that_it_names(deployment, client, key):
    blobs = []
    for number in range(6):
        made = client.generate_data_key(KeyId=key["KeyId"], NumberOfBytes=16)
        blobs.append((made["CiphertextBlob"], made["Plaintext"], made["KeyMaterialId"]))
        if number < 5:
            client.rotate_key_on_demand(KeyId=key["Arn"])
    assert len({material for *_, material in blobs}) == 6
    for blob, plaintext, material in blobs:
        opened = client.decrypt(CiphertextBlob=blob)
        assert (opened["Plaintext"], opened["KeyMaterialId"]) == (plaintext, material)
    batch = client.decrypt_many([blob for blob, *_ in blobs])
    assert list(batch) == [plaintext for _, plaintext, _ in blobs]
    deployment.kms.evict_idle_keys()
    deployment.kms.evict_idle_keys()
    assert client.decrypt(CiphertextBlob=blobs[0][0])["Plaintext"] == blobs[0][1]


def test_a_key_is_rotated_on_demand_25_times_at_most(deployment, client, key, refused):
    client.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    for _ in range(25):
        client.rotate_key_on_demand(KeyId=key["KeyId"])
    last = current(client, key)
    text = refused("LimitExceededException", client.rotate_key_on_demand, KeyId=key["KeyId"])
    assert text == (
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand "
        f"rotations can be performed for this key: {key['Arn']}"
    )
    assert current(client, key) == last
    deployment.clock.advance(90 * DAY)  # by the clock it goes on
    assert current(client, key) != last
    kinds = [each["RotationType"] for each in rotations(client, key)]
    assert kinds == ["ON_DEMAND"] * 25 + ["AUTOMATIC"]


def test_the_quota_can_be_set(refused):
    with KMS(quotas=Quotas(on_demand_rotations=1)) as kms:
        client = kms.client()
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        client.rotate_key_on_demand(KeyId=key_id)
        refused("LimitExceededException", client.rotate_key_on_demand, KeyId=key_id)


def test_on_demand_waits_for_an_automatic_rotation_that_is_near(deployment, client, key, refused):
    client.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    deployment.clock.advance(90 * DAY - 1200)
    text = refused("ConflictException", client.rotate_key_on_demand, KeyId=key["KeyId"])
    assert "within the next 20 minutes" in text
    deployment.clock.advance(1200)
    client.rotate_key_on_demand(KeyId=key["KeyId"])
    assert [each["RotationType"] for each in rotations(client, key)] == ["AUTOMATIC", "ON_DEMAND"]


def test_a_disabled_key_rotates_when_it_is_enabled_again(deployment, client, key):
    client.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    enabled = status(client, key)
    client.disable_key(KeyId=key["KeyId"])
    assert status(client, key) == enabled
    deployment.clock.advance(100 * DAY)
    assert status(client, key) == enabled
    assert current(client, key) == key["CurrentKeyMaterialId"]
    client.enable_key(KeyId=key["KeyId"])
    assert current(client, key) != key["CurrentKeyMaterialId"]
    assert status(client, key)["NextRotationDate"] == now(deployment) + timedelta(days=80)


def test_a_key_that_waits_for_its_deletion_does_not_rotate(deployment, client, key):
    client.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    enabled = status(client, key)
    deployment.clock.advance(80 * DAY)
    client.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=30)
    assert status(client, key) == {"KeyRotationEnabled": False}
    deployment.clock.advance(15 * DAY)
    assert rotations(client, key) == []
    client.cancel_key_deletion(KeyId=key["KeyId"])
    assert status(client, key) == enabled
    assert rotations(client, key) == []
    client.enable_key(KeyId=key["KeyId"])
    assert len(rotations(client, key)) == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 1000])
@pytest.mark.parametrize("included", ["ALL_KEY_MATERIAL", "ROTATIONS_ONLY"])
def test_pages_cover_every_rotation_once_in_order(client, key, included, limit):
    made = [key["CurrentKeyMaterialId"]]
    for _ in range(5):
        client.rotate_key_on_demand(KeyId=key["KeyId"])
        made.append(current(client, key))
    asked = {"KeyId": key["KeyId"], "IncludeKeyMaterial": included, "Limit": limit}
    seen: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = client.list_key_rotations(**asked, **more)
        assert 0 < len(page["Rotations"]) <= limit
        seen += [each["KeyMaterialId"] for each in page["Rotations"]]
        assert page["Truncated"] is ("NextMarker" in page)
        if not page["Truncated"]:
            break
        more = {"Marker": page["NextMarker"]}
    assert seen == (made if included == "ALL_KEY_MATERIAL" else made[1:])


def test_markers_of_other_lists_are_refused(client, key, refused):
    other = client.create_key()["KeyMetadata"]["KeyId"]
    for _ in range(2):
        client.rotate_key_on_demand(KeyId=other)
    marker = client.list_key_rotations(KeyId=other, Limit=1)["NextMarker"]
    for wrong in (marker, client.list_keys(Limit=1)["NextMarker"], "x"):
        refused("InvalidMarkerException", client.list_key_rotations, KeyId=key["KeyId"],
                Marker=wrong)  # fmt: skip
    refused("ValidationException", client.list_key_rotations, KeyId=key["KeyId"], Limit=1001)


def test_aliases_are_refused_in_aws_s_words(client, key, refused, arn):
    client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    for method in (
        client.enable_key_rotation,
        client.disable_key_rotation,
        client.get_key_rotation_status,
        client.rotate_key_on_demand,
        client.list_key_rotations,
    ):
        for name in ("alias/a", arn("alias/a")):
            text = refused("InvalidArnException", method, KeyId=name)
            assert text == "Key Aliases are not supported for this operation."


@pytest.mark.parametrize(
    ("spec", "usage"), [("HMAC_256", "GENERATE_VERIFY_MAC"), ("ECC_NIST_P256", "SIGN_VERIFY")]
)
def test_keys_that_are_not_symmetric_do_not_rotate(client, refused, spec, usage):
    """What AWS KMS was seen to answer for an HMAC key."""
    key = client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    assert status(client, key) == {"KeyRotationEnabled": False}
    assert rotations(client, key) == []
    client.disable_key_rotation(KeyId=key["KeyId"])
    for method in (client.enable_key_rotation, client.rotate_key_on_demand):
        assert refused("UnsupportedOperationException", method, KeyId=key["KeyId"]) == ""
    text = refused(
        "ValidationException",
        client.list_key_rotations,
        KeyId=key["KeyId"],
        IncludeKeyMaterial="ALL_KEY_MATERIAL",
    )
    assert text == "Input parameter includeKeyMaterial can only be used with symmetric keys."


def test_rotations_are_durable_with_all_their_material(durable):
    client = durable.client()
    key = client.create_key()["KeyMetadata"]
    client.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    blobs = []
    for _ in range(3):
        blobs.append(client.encrypt(KeyId=key["KeyId"], Plaintext=b"data")["CiphertextBlob"])
        client.rotate_key_on_demand(KeyId=key["KeyId"])
    before = (status(client, key), rotations(client, key), current(client, key))
    durable.reopen()
    client = durable.client()
    assert (status(client, key), rotations(client, key), current(client, key)) == before
    for blob in blobs:
        assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"
    assert durable.kms.rotate_domain_keys() == 1  # the old versions' tokens moved as well
    durable.reopen()
    durable.clock.advance(90 * DAY)  # due while nobody has the key in memory
    client = durable.client()
    client.list_keys()
    assert current(client, key) != before[2]
    for blob in blobs:
        assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"
    client.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    durable.clock.advance(7 * DAY)
    client.list_keys()
    for blob in blobs:
        with pytest.raises(client.exceptions.InvalidCiphertextException):
            client.decrypt(CiphertextBlob=blob)
    with durable.kms._store.read() as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM key_versions").scalar_one() == 0


def test_a_rotation_that_cannot_be_stored_leaves_the_key_as_it_was(client, key, deployment):
    from clavero.store import versions
    from clavero.store.errors import StoreError

    def fail(*_: object) -> None:
        raise StoreError("The disk is full.")

    loaded = deployment.kms.status()["loaded_keys"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "put_current", fail)
        with pytest.raises(deployment.kms.client().exceptions.KMSInternalException):
            deployment.kms.client().rotate_key_on_demand(KeyId=key["KeyId"])
    assert current(client, key) == key["CurrentKeyMaterialId"]
    assert rotations(client, key) == []
    assert deployment.kms.status()["loaded_keys"] == loaded


def test_a_key_whose_rotation_fails_goes_on_and_does_not_stop_the_others(
    deployment, client, key, monkeypatch
):
    from clavero.model.errors import KMSError
    from clavero.ops import rotation

    second = client.create_key()["KeyMetadata"]
    for each in (key, second):
        client.enable_key_rotation(KeyId=each["KeyId"], RotationPeriodInDays=90)
    real = rotation.rotate

    def fail(*arguments: Any) -> Any:
        if key["KeyId"] in arguments[3]:
            raise KMSError("KMSInternalException", "no")
        return real(*arguments)

    monkeypatch.setattr(rotation, "rotate", fail)
    deployment.clock.advance(90 * DAY)
    client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    assert current(client, second) != second["CurrentKeyMaterialId"]
    assert current(client, key) == key["CurrentKeyMaterialId"]
    monkeypatch.undo()
    deployment.clock.advance(600)
    assert current(client, key) != key["CurrentKeyMaterialId"]


def test_calls_go_on_while_a_key_rotates():
    """Each thread's blobs open at any time, whatever the others do to the key."""
    with KMS(clock=ManualClock(), quotas=Quotas(on_demand_rotations=10_000)) as kms:
        client = kms.client()
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        stop = threading.Event()
        failures: list[BaseException] = []

        def use() -> None:
            try:
                while not stop.is_set():
                    made = client.generate_data_key(KeyId=key_id, KeySpec="AES_256")
                    opened = client.decrypt(CiphertextBlob=made["CiphertextBlob"])
                    assert opened["Plaintext"] == made["Plaintext"]
                    assert opened["KeyMaterialId"] == made["KeyMaterialId"]
            except BaseException as error:  # noqa: BLE001 - it is raised in the test's thread
                failures.append(error)

        threads = [threading.Thread(target=use) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(200):
            client.rotate_key_on_demand(KeyId=key_id)
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures
        listed = client.list_key_rotations(KeyId=key_id, Limit=1000)["Rotations"]
        assert len(listed) == 200
        assert [each["KeyMaterialState"] for each in listed].count("CURRENT") == 1
