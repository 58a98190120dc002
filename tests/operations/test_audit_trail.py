"""The audit of a running KMS: one record for every call, whatever became of it, and no secret."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest


@pytest.fixture
def blob(client, key):
    return client.encrypt(KeyId=key["KeyId"], Plaintext=b"data")["CiphertextBlob"]


def test_an_allowed_call_has_one_record_with_who_what_and_when(deployment, client, key):
    before = len(deployment.records())
    answer = client.encrypt(
        KeyId=key["KeyId"], Plaintext=b"data", EncryptionContext={"Tenant": "A"}
    )
    (record,) = deployment.records()[before:]
    assert record["eventName"] == "Encrypt"
    assert record["requestID"] == answer["ResponseMetadata"]["RequestId"]
    now = datetime.fromtimestamp(deployment.clock.now(), UTC)
    assert record["eventTime"] == now.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert record["userIdentity"]["arn"] == "arn:aws:iam::000000000000:root"
    assert record["requestParameters"] == {
        "keyId": key["KeyId"],
        "encryptionContext": {"Tenant": "A"},
    }
    assert [each["ARN"] for each in record["resources"]] == [key["Arn"]]
    assert "errorCode" not in record
    assert record["readOnly"] is True


def test_a_new_key_s_record_names_it(deployment, client, key):
    record = deployment.records()[-1]
    assert (record["eventName"], record["readOnly"]) == ("CreateKey", False)
    assert [each["ARN"] for each in record["resources"]] == [key["Arn"]]


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("ValidationException", lambda c, k: c.encrypt(KeyId=k, Plaintext=b"")),
        ("NotFoundException", lambda c, _: c.encrypt(KeyId="alias/x", Plaintext=b"x")),
        ("InvalidCiphertextException", lambda c, _: c.decrypt(CiphertextBlob=b"x")),
        (
            "UnsupportedOperationException",
            lambda c, _: c.connect_custom_key_store(CustomKeyStoreId="cks-1"),
        ),
        (
            "UnsupportedOperationException",
            lambda c, k: c.replicate_key(KeyId=k, ReplicaRegion="eu-west-1"),
        ),
        ("InvalidMarkerException", lambda c, _: c.list_keys(Marker="x")),
        ("ValidationException", lambda c, k: c.encrypt_many(k, 5)),
        ("InvalidCiphertextException", lambda c, _: c.decrypt_many([b"x"])),
    ],
)
def test_a_refused_call_has_one_record_with_its_code_and_text(deployment, client, key, code, call):
    before = len(deployment.records())
    with pytest.raises(client.exceptions.ClientError) as caught:
        call(client, key["KeyId"])
    (record,) = deployment.records()[before:]
    assert record["errorCode"] == code == caught.value.response["Error"]["Code"]
    assert record["errorMessage"] == caught.value.response["Error"]["Message"]
    assert record["requestID"] == caught.value.response["ResponseMetadata"]["RequestId"]


def test_a_denied_call_has_one_record_that_says_who_was_denied(deployment, key, refused):
    alice = deployment.client(principal="arn:aws:iam::000000000000:user/alice")
    before = len(deployment.records())
    refused("AccessDeniedException", alice.encrypt, KeyId=key["KeyId"], Plaintext=b"x")
    (record,) = deployment.records()[before:]
    assert record["errorCode"] == "AccessDeniedException"
    assert record["userIdentity"]["userName"] == "alice"
    assert [each["ARN"] for each in record["resources"]] == [key["Arn"]]


def test_a_batch_has_one_record_with_its_count(deployment, client, key):
    batch = client.generate_data_keys(KeyId=key["KeyId"], NumberOfKeys=500, KeySpec="AES_128")
    record = deployment.records()[-1]
    assert record["eventName"] == "GenerateDataKeys"
    assert record["additionalEventData"] == {"numberOfKeys": 500}
    before = len(deployment.records())
    client.decrypt_many(batch.ciphertext)
    client.encrypt_many(key["KeyId"], [b"a", b"b"])
    decrypted, encrypted = deployment.records()[before:]
    assert (decrypted["eventName"], decrypted["additionalEventData"]) == (
        "DecryptMany",
        {"count": 500},
    )
    assert (encrypted["eventName"], encrypted["additionalEventData"]) == (
        "EncryptMany",
        {"count": 2},
    )
    for record in (decrypted, encrypted):
        assert [each["ARN"] for each in record["resources"]] == [key["Arn"]]


def test_re_encrypt_names_both_keys(deployment, client, key, blob):
    other = client.create_key()["KeyMetadata"]
    client.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other["KeyId"])
    record = deployment.records()[-1]
    assert [each["ARN"] for each in record["resources"]] == [key["Arn"], other["Arn"]]


def test_every_call_is_counted_once(deployment, client, key):
    """A mixed run: as many records as calls, in their order, with the ids of the answers."""
    before = len(deployment.records())
    ids = []
    for number in range(60):
        try:
            if number % 3 == 0:
                answer = client.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256")
            elif number % 3 == 1:
                answer = client.decrypt(CiphertextBlob=b"%d" % number)
            else:
                answer = client.list_aliases()
        except client.exceptions.ClientError as error:
            answer = error.response
        ids.append(answer["ResponseMetadata"]["RequestId"])
    records = deployment.records()[before:]
    assert [each["requestID"] for each in records] == ids
    assert len({each["eventID"] for each in records}) == 60


def test_no_secret_is_in_the_audit(deployment, client, key):
    """Plaintexts, blobs, tokens and backing-key ids, in every form that a log could have."""
    secret = b"a secret that is easy to find"
    context = {"k": "v"}
    secrets = [secret]
    sealed = client.encrypt(KeyId=key["KeyId"], Plaintext=secret, EncryptionContext=context)
    made = client.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256")
    random = client.generate_random(NumberOfBytes=32)["Plaintext"]
    batch = client.generate_data_keys(KeyId=key["KeyId"], NumberOfKeys=3, KeySpec="AES_256")
    moved = client.re_encrypt(
        CiphertextBlob=sealed["CiphertextBlob"],
        SourceEncryptionContext=context,
        DestinationKeyId=key["KeyId"],
    )
    client.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context)
    client.encrypt_many(key["KeyId"], [secret, secret])
    client.decrypt_many(batch.ciphertext)
    for bad in (
        lambda: client.encrypt(KeyId=key["KeyId"], Plaintext=secret * 200),
        lambda: client.decrypt(CiphertextBlob=sealed["CiphertextBlob"]),
        lambda: client.encrypt_many(key["KeyId"], [secret, b""]),
        lambda: client.encrypt(KeyId="alias/x", Plaintext=secret, GrantTokens=["tok-en-1"]),
        lambda: client.generate_mac(
            KeyId=key["KeyId"], Message=secret, MacAlgorithm="HMAC_SHA_256"
        ),
        lambda: client.import_key_material(
            KeyId=key["KeyId"], ImportToken=secret, EncryptedKeyMaterial=secret
        ),
    ):
        with pytest.raises(client.exceptions.ClientError):
            bad()
    secrets += [sealed["CiphertextBlob"], made["Plaintext"], made["CiphertextBlob"], random]
    secrets += [moved["CiphertextBlob"], *(each for pair in batch for each in pair)]
    with deployment.kms._store.read() as tx:
        for hbkid, token in tx.exec_driver_sql("SELECT hbkid, token FROM key_versions"):
            secrets += [hbkid, token]
        secrets += [state for (state,) in tx.exec_driver_sql("SELECT state FROM domains")]
    text = deployment.audit_text()
    assert "GenerateDataKeys" in text
    assert "tok-en-1" not in text
    for each in secrets:
        for form in (
            each.hex(),
            base64.b64encode(each).decode().rstrip("="),
            each.decode("latin-1"),
            str(each)[2:-1],
            each[:16].hex(),
        ):
            assert form not in text, form


def test_an_answer_without_a_record_does_not_leave(durable, refused, monkeypatch):
    """A call whose record cannot be kept gets no answer, allowed or not."""
    from clavero.audit.sinks import AuditError

    client = durable.kms.client()
    key_id = client.create_key()["KeyMetadata"]["KeyId"]

    def full(record):
        raise AuditError("The disk is full.")

    monkeypatch.setattr(durable.kms._service, "_write_record", full)
    for method, params in (
        (client.generate_data_key, {"KeyId": key_id, "KeySpec": "AES_256"}),
        (client.generate_data_keys, {"KeyId": key_id, "KeySpec": "AES_256", "NumberOfKeys": 2}),
        (client.decrypt, {"CiphertextBlob": b"x"}),
    ):
        text = refused("KMSInternalException", method, **params)
        assert text == (
            "The call could not be put on record, so it gets no answer: The disk is full."
        )


def test_the_audit_file_is_its_owner_s_alone(durable):
    durable.client().list_keys()
    assert durable.path is not None
    assert (durable.path / "audit.jsonl").stat().st_mode & 0o777 == 0o600
    before = durable.records()
    durable.reopen()
    durable.client().list_keys()
    assert durable.records()[: len(before)] == before
