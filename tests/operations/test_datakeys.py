"""GenerateDataKey, with and without its plaintext."""

from __future__ import annotations

import pytest

CONTEXT = {"file": "a.txt"}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({"KeySpec": "AES_256"}, 32),
        ({"KeySpec": "AES_128"}, 16),
        ({"NumberOfBytes": 1}, 1),
        ({"NumberOfBytes": 1024}, 1024),
    ],
    ids=str,
)
def test_a_data_key_has_the_asked_size_and_its_blob_opens_to_it(client, key, size, expected):
    answer = client.generate_data_key(KeyId=key["KeyId"], EncryptionContext=CONTEXT, **size)
    assert set(answer) == {
        "CiphertextBlob", "Plaintext", "KeyId", "KeyMaterialId", "ResponseMetadata",
    }  # fmt: skip
    assert len(answer["Plaintext"]) == expected
    assert answer["KeyId"] == key["Arn"]
    assert answer["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    opened = client.decrypt(CiphertextBlob=answer["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == answer["Plaintext"]

    hidden = client.generate_data_key_without_plaintext(
        KeyId=key["KeyId"], EncryptionContext=CONTEXT, **size
    )
    assert set(hidden) == {"CiphertextBlob", "KeyId", "KeyMaterialId", "ResponseMetadata"}
    assert (hidden["KeyId"], hidden["KeyMaterialId"]) == (key["Arn"], key["CurrentKeyMaterialId"])
    opened = client.decrypt(CiphertextBlob=hidden["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert len(opened["Plaintext"]) == expected


def test_data_keys_differ(client, key):
    made = [client.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256") for _ in range(50)]
    assert len({each["Plaintext"] for each in made}) == 50
    assert len({each["CiphertextBlob"] for each in made}) == 50


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ({}, "Please specify either number of bytes or key spec."),
        (
            {"KeySpec": "AES_256", "NumberOfBytes": 32},
            "Please specify either number of bytes or key spec.",
        ),
        ({"NumberOfBytes": 1025}, "Member must have value less than or equal to 1024"),
        ({"KeySpec": "AES_512"}, "Value 'AES_512' at 'keySpec' failed"),
    ],
    ids=str,
)
def test_sizes_that_no_data_key_has(client, key, refused, size, text):
    for method in (client.generate_data_key, client.generate_data_key_without_plaintext):
        assert text in refused("ValidationException", method, KeyId=key["KeyId"], **size)


def test_a_recipient_that_is_none_gets_no_plaintext(client, key, refused):
    refused(
        "ValidationException",
        client.generate_data_key,
        KeyId=key["KeyId"],
        KeySpec="AES_256",
        Recipient={"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": b"x"},
    )
