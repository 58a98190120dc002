"""Imported key material that expires: to the moment, whoever asks, and after a restart as well."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from clavero.model.errors import KMSError

FIRST, SECOND = bytes([1]) * 32, bytes([2]) * 32
HOUR = 3600
DAY = 24 * HOUR


def at(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)


def stored_tokens(kms) -> list[bytes | None]:
    with kms._store.read() as tx:
        rows = tx.exec_driver_sql("SELECT token FROM key_versions ORDER BY number").all()
    return [token for (token,) in rows]


@pytest.fixture
def key(importer) -> str:
    return str(importer.key())


def test_material_expires_to_the_second(deployment, client, importer, key, arn, refused):
    now = deployment.clock.now()
    importer.give(key, FIRST, ValidTo=at(now + HOUR + 0.75))
    found = client.describe_key(KeyId=key)["KeyMetadata"]
    assert found["ExpirationModel"] == "KEY_MATERIAL_EXPIRES"
    assert found["ValidTo"] == at(now + HOUR)  # to the second, as AWS keeps it
    (entry,) = importer.materials(key)
    assert (entry["ExpirationModel"], entry["ValidTo"]) == (
        "KEY_MATERIAL_EXPIRES",
        at(now + HOUR),
    )
    deployment.clock.set(now + HOUR - 0.001)
    blob = client.encrypt(KeyId=key, Plaintext=b"data")["CiphertextBlob"]
    deployment.clock.set(now + HOUR)
    text = f"{arn(f'key/{key}')} is pending import."
    code = "KMSInvalidStateException"
    assert refused(code, client.decrypt, CiphertextBlob=blob) == text
    assert refused(code, client.encrypt, KeyId=key, Plaintext=b"x") == text
    found = client.describe_key(KeyId=key)["KeyMetadata"]
    assert (found["KeyState"], found["Enabled"]) == ("PendingImport", False)
    assert found["CurrentKeyMaterialId"] == entry["KeyMaterialId"]
    assert not {"ExpirationModel", "ValidTo"} & set(found)
    assert importer.materials(key) == [
        {
            "KeyMaterialId": entry["KeyMaterialId"],
            "ImportState": "PENDING_IMPORT",
            "KeyMaterialState": "CURRENT",
        }
    ]
    assert stored_tokens(deployment.kms) == [None]
    assert deployment.kms.status()["loaded_keys"] == 0
    importer.give(key, FIRST, ValidTo=at(now + 2 * HOUR))
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"
    deployment.clock.advance(DAY - HOUR - 1)
    refused(code, client.encrypt, KeyId=key, Plaintext=b"x")


def test_a_new_import_sets_another_expiry_or_none(deployment, client, importer, key):
    now = deployment.clock.now()
    importer.give(key, FIRST, ValidTo=at(now + HOUR))
    importer.give(key, FIRST, ValidTo=at(now + 2 * HOUR))
    deployment.clock.advance(HOUR)
    assert importer.state(key) == "Enabled"
    importer.give(key, FIRST)
    deployment.clock.advance(HOUR)
    assert importer.state(key) == "Enabled"
    found = client.describe_key(KeyId=key)["KeyMetadata"]
    assert found["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE"
    assert "ValidTo" not in found
    importer.give(key, FIRST, ValidTo=at(now + 2 * HOUR + 1))  # sooner than never
    deployment.clock.advance(1)
    assert importer.state(key) == "PendingImport"


def test_the_earliest_expiry_counts_but_not_that_of_what_waits(deployment, client, importer, key):
    now = deployment.clock.now()
    new = {"ImportType": "NEW_KEY_MATERIAL"}
    importer.give(key, FIRST)
    importer.give(key, SECOND, ValidTo=at(now + HOUR), **new)
    found = client.describe_key(KeyId=key)["KeyMetadata"]
    assert found["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE"
    client.rotate_key_on_demand(KeyId=key)
    found = client.describe_key(KeyId=key)["KeyMetadata"]
    assert (found["ExpirationModel"], found["ValidTo"]) == ("KEY_MATERIAL_EXPIRES", at(now + HOUR))
    importer.give(key, FIRST, ValidTo=at(now + HOUR / 2))
    assert client.describe_key(KeyId=key)["KeyMetadata"]["ValidTo"] == at(now + HOUR / 2)
    deployment.clock.advance(HOUR / 2)
    assert importer.state(key) == "PendingImport"
    assert [each["ImportState"] for each in importer.materials(key)] == [
        "PENDING_IMPORT",
        "IMPORTED",
    ]


def test_expired_material_does_not_become_current(deployment, client, importer, key, arn, refused):
    """Nor does the key lose its use by it; the same material is welcome again, other is not."""
    now = deployment.clock.now()
    new = {"ImportType": "NEW_KEY_MATERIAL"}
    first = importer.give(key, FIRST)["KeyMaterialId"]
    second = importer.give(key, SECOND, ValidTo=at(now + HOUR), **new)["KeyMaterialId"]
    deployment.clock.advance(HOUR)
    assert importer.state(key) == "Enabled"
    blob = client.encrypt(KeyId=key, Plaintext=b"data")["CiphertextBlob"]
    assert client.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == first
    assert importer.materials(key)[1] == {
        "KeyMaterialId": second,
        "ImportState": "PENDING_IMPORT",
        "KeyMaterialState": "PENDING_ROTATION",
    }
    text = refused("KMSInvalidStateException", client.rotate_key_on_demand, KeyId=key)
    assert text == (f"No available key material pending rotation for the key: {arn(f'key/{key}')}.")
    text = refused(
        "IncorrectKeyMaterialException",
        client.import_key_material,
        **importer.request(key, SECOND, **new),
    )
    assert text == (
        f"Key material (id: {second}) being imported as NEW_KEY_MATERIAL is already associated "
        f"with KMS key {arn(f'key/{key}')}."
    )
    assert importer.give(key, SECOND)["KeyMaterialId"] == second
    client.rotate_key_on_demand(KeyId=key)
    assert client.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"] == second


def test_expiry_goes_on_record(deployment, client, importer, key, arn):
    answer = importer.give(key, FIRST, ValidTo=at(deployment.clock.now() + HOUR))
    deployment.clock.advance(HOUR)
    client.list_keys()
    (record,) = [
        each for each in deployment.records() if each["eventName"] == "DeleteExpiredKeyMaterial"
    ]
    assert record["eventType"] == "AwsServiceEvent"
    assert record["userIdentity"] == {"accountId": "000000000000", "invokedBy": "AWS Internal"}
    assert record["readOnly"] is False
    assert [each["ARN"] for each in record["resources"]] == [arn(f"key/{key}")]
    assert record["additionalEventData"] == {"keyMaterialId": answer["KeyMaterialId"]}


def test_expiry_while_the_key_waits_for_its_deletion(deployment, client, importer, key):
    importer.give(key, FIRST, ValidTo=at(deployment.clock.now() + HOUR))
    client.schedule_key_deletion(KeyId=key)
    deployment.clock.advance(HOUR)
    assert importer.state(key) == "PendingDeletion"
    client.cancel_key_deletion(KeyId=key)
    assert importer.state(key) == "PendingImport"


def test_material_that_a_call_finds_expired_is_not_used_though_it_is_there(
    deployment, client, importer, key, arn, refused, monkeypatch
):
    """Should the job that erases it be late, the state that a call sees is not."""
    now = deployment.clock.now()
    importer.give(key, FIRST, ValidTo=at(now + HOUR))
    blob = client.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    deployment.clock.advance(HOUR)
    monkeypatch.setattr(deployment.kms._service, "_run_due", lambda now: now + HOUR)
    assert stored_tokens(deployment.kms) != [None]
    text = f"{arn(f'key/{key}')} is pending import."
    for method, params in (
        (client.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (client.decrypt, {"CiphertextBlob": blob}),
        (client.decrypt_many, {"CiphertextBlobs": [blob]}),
        (client.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
        (client.enable_key, {"KeyId": key}),
    ):
        assert refused("KMSInvalidStateException", method, **params) == text


def test_what_becomes_due_while_jobs_run_is_not_forgotten(deployment, client, importer, key):
    """A run of the jobs that began before an import must not put off the import's expiry."""
    service = deployment.kms._service
    now = deployment.clock.now()
    run_due = service._run_due

    def imports_meanwhile(time: float) -> float:
        found = run_due(time)
        service._run_due = run_due
        importer.give(key, FIRST, ValidTo=at(now + HOUR))
        return found

    importer.parameters(key)
    service._run_due = imports_meanwhile
    service.schedule_changed()
    client.list_keys()
    deployment.clock.advance(HOUR)
    assert importer.state(key) == "PendingImport"


def test_expiry_survives_a_restart(durable, importing):
    """Material that expired while nothing ran is not there when it runs again."""
    importer = importing(durable.client())
    now = durable.clock.now()
    soon, late = importer.key(), importer.key()
    importer.give(soon, FIRST, ValidTo=at(now + HOUR))
    importer.give(late, FIRST, ValidTo=at(now + 2 * HOUR))
    durable.reopen()
    importer = importing(durable.client())
    assert [importer.state(each) for each in (soon, late)] == ["Enabled", "Enabled"]
    durable.client().encrypt(KeyId=soon, Plaintext=b"x")
    durable.clock.advance(HOUR)
    durable.reopen()
    client = durable.client()
    importer = importing(client)
    with pytest.raises(client.exceptions.KMSInvalidStateException):
        client.encrypt(KeyId=soon, Plaintext=b"x")
    assert [importer.state(each) for each in (soon, late)] == ["PendingImport", "Enabled"]
    assert stored_tokens(durable.kms).count(None) == 1
    durable.clock.advance(HOUR)
    durable.reopen()
    importer = importing(durable.client())
    assert [importer.state(each) for each in (soon, late)] == ["PendingImport", "PendingImport"]
    importer.give(soon, FIRST)
    durable.reopen()
    assert importing(durable.client()).state(soon) == "Enabled"


def test_states_and_materials_survive_a_restart(durable, importing, refused):
    client = durable.client()
    importer = importing(client)
    key = importer.key()
    importer.give(key, FIRST, KeyMaterialDescription="first")
    importer.give(key, SECOND, ImportType="NEW_KEY_MATERIAL")
    client.rotate_key_on_demand(KeyId=key)
    blobs = [client.encrypt(KeyId=key, Plaintext=b"data")["CiphertextBlob"]]
    request = importer.request(key, SECOND)
    client.delete_imported_key_material(KeyId=key)
    before = (client.describe_key(KeyId=key)["KeyMetadata"], importer.materials(key))
    durable.reopen()
    client = durable.client()
    importer = importing(client)
    assert (client.describe_key(KeyId=key)["KeyMetadata"], importer.materials(key)) == before
    refused("KMSInvalidStateException", client.decrypt, CiphertextBlob=blobs[0])
    client.import_key_material(**request)  # the token is of the KMS before the restart
    assert client.decrypt(CiphertextBlob=blobs[0])["Plaintext"] == b"data"
    assert durable.kms.rotate_domain_keys() == 1  # imported material moves as well
    durable.reopen()
    client = durable.client()
    assert client.decrypt(CiphertextBlob=blobs[0])["Plaintext"] == b"data"
    client.import_key_material(**request)


@pytest.mark.parametrize("how", ["deleted", "expired", "pending"])
def test_erased_material_leaves_no_token_in_the_files(durable, importing, how):
    client = durable.client()
    importer = importing(client)
    key = importer.key()
    now = durable.clock.now()
    importer.give(key, FIRST, ValidTo=at(now + HOUR))
    (token,) = stored_tokens(durable.kms)
    assert token is not None
    if how == "pending":
        importer.give(key, SECOND, ImportType="NEW_KEY_MATERIAL")
        token = stored_tokens(durable.kms)[1]
        client.delete_imported_key_material(
            KeyId=key, KeyMaterialId=importer.materials(key)[1]["KeyMaterialId"]
        )
    elif how == "deleted":
        client.delete_imported_key_material(KeyId=key)
    else:
        durable.clock.advance(HOUR)
        client.list_keys()
    assert token is not None
    for file in durable.path.rglob("*"):
        if file.is_file():
            assert token[16:] not in file.read_bytes(), file


def test_deleted_material_leaves_the_memory_of_the_hsm(deployment, client, importer, key):
    importer.give(key, FIRST)
    assert deployment.kms.status()["loaded_keys"] == 0  # nobody has used it yet
    client.encrypt(KeyId=key, Plaintext=b"x")
    importer.give(key, SECOND, ImportType="NEW_KEY_MATERIAL")
    client.rotate_key_on_demand(KeyId=key)
    client.encrypt(KeyId=key, Plaintext=b"x")
    assert deployment.kms.status()["loaded_keys"] == 2
    first, second = (each["KeyMaterialId"] for each in importer.materials(key))
    client.delete_imported_key_material(KeyId=key, KeyMaterialId=first)
    assert deployment.kms.status()["loaded_keys"] == 1
    client.delete_imported_key_material(KeyId=key, KeyMaterialId=second)
    assert deployment.kms.status()["loaded_keys"] == 0


def test_a_call_that_holds_deleted_material_does_not_load_it_again(deployment, importing):
    """Not even once the same material was imported anew: nobody would put its key out of memory."""
    kms = deployment.kms
    client = kms.client()
    importer = importing(client)
    key = importer.key()
    importer.give(key, FIRST)
    request = importer.request(key, FIRST)
    blob = client.encrypt(KeyId=key, Plaintext=b"data")["CiphertextBlob"]
    held = kms._directory.resolve(kms._directory.scope("us-east-1", "000000000000"), key).current
    client.delete_imported_key_material(KeyId=key)
    client.import_key_material(**request)
    with pytest.raises(KMSError, match=r"is pending import\."):
        kms._service._context.keystore.decrypt(held, blob, {})
    assert kms.status()["loaded_keys"] == 0
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"


@pytest.mark.timeout(20)  # instead of an answer there was a deadlock
def test_an_import_waits_for_no_call_that_loads_another_key(deployment, importing, monkeypatch):
    """That call reads the store, and a store in memory is the import's until it has committed."""
    kms = deployment.kms
    client = kms.client()
    importer = importing(client)
    request = importer.request(importer.key(), FIRST)
    other = client.create_key()["KeyMetadata"]["KeyId"]
    kms.evict_idle_keys()
    kms.evict_idle_keys()
    keystore = kms._service._context.keystore
    take, load_token = keystore.take, keystore._load_token
    loading = threading.Event()
    answers = []
    caller = threading.Thread(
        target=lambda: answers.append(client.encrypt(KeyId=other, Plaintext=b"x")), daemon=True
    )

    def takes_while_another_is_loaded(*args):
        if len(args) == 4:  # under the id that it has: inside the transaction
            caller.start()
            assert loading.wait(10)
        return take(*args)

    def loads(*args):
        loading.set()
        return load_token(*args)

    monkeypatch.setattr(keystore, "take", takes_while_another_is_loaded)
    monkeypatch.setattr(keystore, "_load_token", loads)
    client.import_key_material(**request)
    caller.join()
    assert [each["KeyId"].endswith(other) for each in answers] == [True]


def test_material_that_is_deleted_under_running_calls(deployment, importing):
    """Each call gets its answer or the state's refusal, and nothing is left behind."""
    client = deployment.kms.client()
    importer = importing(client)
    key = importer.key()
    importer.give(key, FIRST)
    request = importer.request(key, FIRST)
    blob = client.encrypt(KeyId=key, Plaintext=b"data")["CiphertextBlob"]
    stop = threading.Event()
    wrong: list[object] = []

    def use() -> None:
        while not stop.is_set() and not wrong:
            try:
                if client.decrypt(CiphertextBlob=blob)["Plaintext"] != b"data":
                    wrong.append("another plaintext")
            except client.exceptions.KMSInvalidStateException as error:
                if "is pending import." not in str(error):
                    wrong.append(error)
            except Exception as error:  # noqa: BLE001 (whatever it is, it is wrong)
                wrong.append(error)

    threads = [threading.Thread(target=use, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            client.delete_imported_key_material(KeyId=key)
            client.import_key_material(**request)
        client.delete_imported_key_material(KeyId=key)
    finally:
        stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert deployment.kms.status()["loaded_keys"] == 0
    client.import_key_material(**request)
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"
