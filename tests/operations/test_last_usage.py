"""GetKeyLastUsage: which operation used a key last, when, and under which ids it is on record."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from clavero import KMS, ManualClock
from clavero.ops.lastusage import TRACKED

DAY = 86_400


def last(client, key) -> dict[str, Any]:
    used: dict[str, Any] = client.get_key_last_usage(KeyId=key["KeyId"])["KeyLastUsage"]
    return used


def test_a_key_that_was_never_used(deployment, client, key):
    deployment.clock.advance(DAY)
    answer = client.get_key_last_usage(KeyId=key["Arn"])
    del answer["ResponseMetadata"]
    assert answer == {
        "KeyId": key["KeyId"],
        "KeyLastUsage": {},
        "TrackingStartDate": key["CreationDate"],
        "KeyCreationDate": key["CreationDate"],
    }


def test_the_last_use_is_told_with_its_ids_on_record(deployment, client, key):
    client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    deployment.clock.advance(5)
    made = client.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256")
    record = deployment.records()[-1]
    deployment.clock.advance(DAY)
    assert last(client, key) == {
        "Operation": "GenerateDataKey",
        "Timestamp": datetime.fromtimestamp(deployment.clock.now() - DAY, UTC),
        "CloudTrailEventId": record["eventID"],
        "KmsRequestId": made["ResponseMetadata"]["RequestId"],
    }
    assert record["requestID"] == made["ResponseMetadata"]["RequestId"]


def test_every_operation_that_uses_a_key_counts(client, key):
    key_id = key["KeyId"]
    blob = client.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    for expected, method, params in (
        ("Encrypt", client.encrypt, {"KeyId": key_id, "Plaintext": b"x"}),
        ("Decrypt", client.decrypt, {"CiphertextBlob": blob}),
        ("ReEncrypt", client.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": key_id}),
        ("GenerateDataKey", client.generate_data_key, {"KeyId": key_id, "KeySpec": "AES_128"}),
        ("GenerateDataKeyWithoutPlaintext", client.generate_data_key_without_plaintext,
         {"KeyId": key_id, "KeySpec": "AES_128"}),
        ("GenerateDataKey", client.generate_data_keys,
         {"KeyId": key_id, "KeySpec": "AES_128", "NumberOfKeys": 2}),
        ("Encrypt", client.encrypt_many, {"KeyId": key_id, "Plaintexts": [b"x"]}),
        ("Decrypt", client.decrypt_many, {"CiphertextBlobs": [blob]}),
    ):  # fmt: skip
        method(**params)
        assert last(client, key)["Operation"] == expected


def test_re_encrypt_uses_both_keys(client, key):
    other = client.create_key()["KeyMetadata"]
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    client.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other["KeyId"])
    assert last(client, key) == last(client, other)
    assert last(client, key)["Operation"] == "ReEncrypt"


def test_what_is_no_use_does_not_count(client, key, refused):
    key_id = key["KeyId"]
    client.describe_key(KeyId=key_id)
    client.rotate_key_on_demand(KeyId=key_id)
    client.generate_random(NumberOfBytes=8)
    refused("ValidationException", client.generate_data_key, KeyId=key_id)
    refused("DryRunOperationException", client.encrypt, KeyId=key_id, Plaintext=b"x", DryRun=True)
    refused("InvalidCiphertextException", client.decrypt, KeyId=key_id, CiphertextBlob=b"x")
    client.disable_key(KeyId=key_id)
    refused("DisabledException", client.encrypt, KeyId=key_id, Plaintext=b"x")
    assert last(client, key) == {}


def test_a_use_by_a_refused_principal_does_not_count(deployment, client, key, refused):
    alice = deployment.client(principal="arn:aws:iam::000000000000:user/alice")
    refused("AccessDeniedException", alice.encrypt, KeyId=key["KeyId"], Plaintext=b"x")
    assert last(client, key) == {}


def test_the_last_use_is_known_when_the_key_waits_for_its_deletion(client, key):
    client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    client.schedule_key_deletion(KeyId=key["KeyId"])
    assert last(client, key)["Operation"] == "Encrypt"


def test_it_survives_closing_and_goes_with_its_key(durable, refused):
    client = durable.client()
    key = client.create_key()["KeyMetadata"]
    idle = client.create_key()["KeyMetadata"]
    client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    durable.reopen()
    client = durable.client()
    assert last(client, key)["Operation"] == "Encrypt"
    assert last(client, idle) == {}
    client.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    durable.clock.advance(7 * DAY)
    refused("NotFoundException", client.get_key_last_usage, KeyId=key["KeyId"])
    with durable.kms._store.read() as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM last_usage").scalar_one() == 0


def stored(deployment) -> int:
    with deployment.kms._store.read() as tx:
        found: int = tx.exec_driver_sql("SELECT count(*) FROM last_usage").scalar_one()
        return found


def test_it_is_stored_every_ten_minutes_and_not_with_every_call(deployment, client, key):
    for _ in range(5):
        client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    assert stored(deployment) == 0
    deployment.clock.advance(600)
    client.list_keys()
    assert stored(deployment) == 1


def test_a_store_that_fails_costs_no_call_and_no_note(deployment, client, key, monkeypatch):
    from clavero.store import usage
    from clavero.store.errors import StoreError

    client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")

    def full(*_: object) -> None:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(usage, "put", full)
    deployment.clock.advance(600)
    client.list_keys()
    monkeypatch.undo()
    assert stored(deployment) == 0
    deployment.clock.advance(600)
    client.list_keys()
    assert stored(deployment) == 1


def test_a_key_of_a_store_that_is_older_than_the_tracking(durable):
    client = durable.client()
    key = client.create_key()["KeyMetadata"]
    with durable.kms._store.write() as tx:
        tx.exec_driver_sql("DELETE FROM meta WHERE name = 'usage_since'")
    durable.clock.advance(DAY)
    durable.reopen()
    answer = durable.client().get_key_last_usage(KeyId=key["KeyId"])
    assert answer["KeyCreationDate"] == key["CreationDate"]
    assert answer["TrackingStartDate"] == datetime.fromtimestamp(durable.clock.now(), UTC)


def test_aliases_are_refused(client, key, refused):
    client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    refused("InvalidArnException", client.get_key_last_usage, KeyId="alias/a")


def test_the_operations_are_the_model_s():
    model = ServiceModel(Loader().load_service_model("kms", "service-2"), "kms")
    shape: Any = model.shape_for("KeyLastUsageTrackingOperation")
    assert set(TRACKED.values()) == set(shape.enum)


def test_threads_that_use_many_keys_while_notes_are_stored():
    with KMS(clock=ManualClock()) as kms:
        client = kms.client()
        ids = [client.create_key()["KeyMetadata"]["KeyId"] for _ in range(20)]
        failures: list[BaseException] = []
        last: list[dict[str, str]] = [{}, {}]  # of each thread: its last request with each key

        def use(mine: dict[str, str]) -> None:
            try:
                for _ in range(30):
                    for key_id in ids:
                        answer = client.encrypt(KeyId=key_id, Plaintext=b"x")
                        mine[key_id] = answer["ResponseMetadata"]["RequestId"]
            except BaseException as error:  # noqa: BLE001 - it is raised in the test's thread
                failures.append(error)

        threads = [threading.Thread(target=use, args=(mine,)) for mine in last]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            kms._usage.flush()
        for thread in threads:
            thread.join()
        if failures:
            pytest.fail(str(failures[0]))
        for key_id in ids:
            used = client.get_key_last_usage(KeyId=key_id)["KeyLastUsage"]
            assert used["Operation"] == "Encrypt"
            assert used["KmsRequestId"] in {mine[key_id] for mine in last}
