"""Encrypt, Decrypt, ReEncrypt, GenerateRandom: what goes in comes out, in its context only."""

from __future__ import annotations

import pytest

CONTEXT = {"tenant": "a", "purpose": "b", "é": ""}
UNKNOWN = "1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def other(client):
    return client.create_key()["KeyMetadata"]


@pytest.mark.parametrize("size", [1, 15, 16, 4095, 4096])
def test_what_is_encrypted_is_decrypted(client, key, size):
    plaintext = bytes(index % 251 for index in range(size))
    sealed = client.encrypt(KeyId=key["KeyId"], Plaintext=plaintext)
    assert set(sealed) == {"CiphertextBlob", "KeyId", "EncryptionAlgorithm", "ResponseMetadata"}
    assert sealed["KeyId"] == key["Arn"]
    assert sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    opened = client.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    del opened["ResponseMetadata"]
    assert opened == {
        "KeyId": key["Arn"],
        "Plaintext": plaintext,
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "KeyMaterialId": key["CurrentKeyMaterialId"],
    }


def test_the_same_plaintext_never_gives_the_same_blob(client, key):
    blobs = [
        client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"] for _ in range(50)
    ]
    assert len(set(blobs)) == 50
    assert len({blob[20:36] for blob in blobs}) == 50  # a message key each


@pytest.mark.parametrize(
    "plaintext", [bytearray(b"data"), memoryview(b"data"), memoryview(b"xdatax")[1:5], "data"]
)
def test_every_kind_of_buffer_is_a_plaintext(deployment, client, key, plaintext):
    """A str is its UTF-8 bytes, as botocore sends it; a memoryview it does not take."""
    views = deployment.entry == "in process"
    if not views:
        plaintext = plaintext if isinstance(plaintext, str) else bytearray(plaintext)
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=plaintext)["CiphertextBlob"]
    for form in (blob, bytearray(blob), memoryview(blob))[: 3 if views else 2]:
        assert client.decrypt(CiphertextBlob=form)["Plaintext"] == b"data"


def test_plaintexts_of_no_length_and_too_long_are_refused(client, key, refused):
    text = refused("ValidationException", client.encrypt, KeyId=key["KeyId"], Plaintext=b"")
    assert text == (
        "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member "
        "must have length greater than or equal to 1"
    )
    text = refused("ValidationException", client.encrypt, KeyId=key["KeyId"], Plaintext=b"x" * 4097)
    assert "Member must have length less than or equal to 4096" in text


def test_a_blob_opens_under_its_own_context_only_in_any_order(client, key, refused):
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"data", EncryptionContext=CONTEXT)[
        "CiphertextBlob"
    ]
    backwards = dict(reversed(CONTEXT.items()))
    assert list(backwards) != list(CONTEXT)
    for context in (CONTEXT, backwards):
        assert (
            client.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"data"
        )
    for context in (
        {},
        {"tenant": "a"},
        {**CONTEXT, "more": ""},
        {**CONTEXT, "tenant": "A"},
        {"tenant": "b", "purpose": "a", "é": ""},
        {"tenanta": "", "purpose": "b", "é": ""},
        {"tenant": "a", "purpose": "b", "e\u0301": ""},  # it looks the same and is another
    ):
        text = refused(
            "InvalidCiphertextException",
            client.decrypt,
            CiphertextBlob=blob,
            EncryptionContext=context,
        )
        assert text == ""
    refused("InvalidCiphertextException", client.decrypt, CiphertextBlob=blob)


def test_no_context_and_an_empty_one_are_the_same(client, key):
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={})
    assert client.decrypt(CiphertextBlob=blob["CiphertextBlob"])["Plaintext"] == b"x"


def test_a_context_has_a_bound(client, key, refused):
    at_most = {"k": "v" * 8191}
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=at_most)
    assert client.decrypt(CiphertextBlob=blob["CiphertextBlob"], EncryptionContext=at_most)
    text = refused(
        "ValidationException",
        client.encrypt,
        KeyId=key["KeyId"],
        Plaintext=b"x",
        EncryptionContext={"k": "v" * 8192},
    )
    assert "8193 bytes" in text


def test_a_named_key_must_be_the_blob_s(client, key, other, refused, arn):
    client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    client.create_alias(AliasName="alias/other", TargetKeyId=other["KeyId"])
    blob = client.encrypt(KeyId="alias/a", Plaintext=b"data")["CiphertextBlob"]
    for name in (key["KeyId"], key["Arn"], "alias/a", arn("alias/a")):
        assert client.decrypt(CiphertextBlob=blob, KeyId=name)["Plaintext"] == b"data"
    for name in (other["KeyId"], other["Arn"], "alias/other"):
        text = refused("IncorrectKeyException", client.decrypt, CiphertextBlob=blob, KeyId=name)
        assert text == (
            "The key ID in the request does not identify a CMK that can perform this operation."
        )
    refused("NotFoundException", client.decrypt, CiphertextBlob=blob, KeyId=UNKNOWN)
    refused("InvalidCiphertextException", client.decrypt, CiphertextBlob=b"x", KeyId=key["KeyId"])


def test_another_region_s_and_another_kms_s_blobs_do_not_open(deployment, client, refused):
    from clavero import KMS

    elsewhere = deployment.client(region="eu-west-1")
    key_id = elsewhere.create_key()["KeyMetadata"]["KeyId"]
    blob = elsewhere.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    refused("InvalidCiphertextException", client.decrypt, CiphertextBlob=blob)
    with KMS() as foreign:
        foreign_client = foreign.client()
        key_id = foreign_client.create_key()["KeyMetadata"]["KeyId"]
        blob = foreign_client.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    refused("InvalidCiphertextException", client.decrypt, CiphertextBlob=blob)


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE"])
def test_algorithms_of_other_keys_are_refused(client, key, refused, algorithm):
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    expected = f"Algorithm {algorithm} is incompatible with key spec SYMMETRIC_DEFAULT."
    named = {"KeyId": key["KeyId"]}
    for method, params in (
        (client.encrypt, {**named, "Plaintext": b"x"}),
        (client.decrypt, {**named, "CiphertextBlob": blob}),
    ):
        text = refused("InvalidKeyUsageException", method, EncryptionAlgorithm=algorithm, **params)
        assert text == expected
    for member in ("SourceEncryptionAlgorithm", "DestinationEncryptionAlgorithm"):
        text = refused(
            "InvalidKeyUsageException",
            client.re_encrypt,
            CiphertextBlob=blob,
            SourceKeyId=key["KeyId"],
            DestinationKeyId=key["KeyId"],
            **{member: algorithm},
        )
        assert text == expected


def test_re_encrypt_moves_a_plaintext_to_another_key_and_context(client, key, other, refused):
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"data", EncryptionContext=CONTEXT)
    moved = client.re_encrypt(
        CiphertextBlob=blob["CiphertextBlob"],
        SourceEncryptionContext=CONTEXT,
        SourceKeyId=key["Arn"],
        DestinationKeyId=other["KeyId"],
        DestinationEncryptionContext={"now": "here"},
        SourceEncryptionAlgorithm="SYMMETRIC_DEFAULT",
        DestinationEncryptionAlgorithm="SYMMETRIC_DEFAULT",
    )
    del moved["ResponseMetadata"]
    sealed = moved.pop("CiphertextBlob")
    assert moved == {
        "SourceKeyId": key["Arn"],
        "KeyId": other["Arn"],
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "SourceKeyMaterialId": key["CurrentKeyMaterialId"],
        "DestinationKeyMaterialId": other["CurrentKeyMaterialId"],
    }
    opened = client.decrypt(CiphertextBlob=sealed, EncryptionContext={"now": "here"})
    assert (opened["Plaintext"], opened["KeyId"]) == (b"data", other["Arn"])
    refused("InvalidCiphertextException", client.decrypt, CiphertextBlob=sealed)
    # under the same key too: another context, another message key
    again = client.re_encrypt(CiphertextBlob=sealed, DestinationKeyId=other["KeyId"],
                              SourceEncryptionContext={"now": "here"})  # fmt: skip
    assert client.decrypt(CiphertextBlob=again["CiphertextBlob"])["Plaintext"] == b"data"
    assert again["CiphertextBlob"][20:36] != sealed[20:36]


def test_re_encrypt_refuses_what_does_not_open_and_keys_that_are_not_there(
    client, key, other, refused
):
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"data", EncryptionContext=CONTEXT)
    ask = {"CiphertextBlob": blob["CiphertextBlob"], "DestinationKeyId": other["KeyId"]}
    refused("InvalidCiphertextException", client.re_encrypt, **ask)
    ask["SourceEncryptionContext"] = CONTEXT
    refused("IncorrectKeyException", client.re_encrypt, **ask, SourceKeyId=other["KeyId"])
    refused("NotFoundException", client.re_encrypt, **{**ask, "DestinationKeyId": UNKNOWN})
    refused("NotFoundException", client.re_encrypt, **ask, SourceKeyId=UNKNOWN)
    refused("InvalidCiphertextException", client.re_encrypt, **{**ask, "CiphertextBlob": b"\0"})


def test_random_bytes_have_the_asked_length_and_differ(client, refused):
    for size in (1, 32, 1024):
        answer = client.generate_random(NumberOfBytes=size)
        assert set(answer) == {"Plaintext", "ResponseMetadata"}
        assert len(answer["Plaintext"]) == size
    assert len({client.generate_random(NumberOfBytes=16)["Plaintext"] for _ in range(100)}) == 100
    refused("ValidationException", client.generate_random, NumberOfBytes=1025)
    assert refused("ValidationException", client.generate_random) == "NumberOfBytes is required."


def test_members_whose_feature_is_not_built_are_refused_never_ignored(client, refused):
    text = refused(
        "UnsupportedOperationException",
        client.generate_random,
        NumberOfBytes=8,
        CustomKeyStoreId="cks-1",
    )
    assert "is not supported by this release of Clavero" in text


def test_blobs_open_after_reopening_and_after_rotation_of_the_domain_key(durable):
    client = durable.client()
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    blobs = []
    for number in range(3):
        plaintext = b"message %d" % number
        blobs.append(
            (client.encrypt(KeyId=key_id, Plaintext=plaintext)["CiphertextBlob"], plaintext)
        )
        if number == 1:
            assert durable.kms.rotate_domain_keys() == 1
        durable.reopen()
        client = durable.client()
        for blob, expected in blobs:
            assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == expected
