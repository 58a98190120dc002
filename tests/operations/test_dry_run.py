"""DryRun: it never succeeds, does nothing, and says that it would have only where that is so."""

from __future__ import annotations

import pytest

SUCCEEDED = "The request would have succeeded, but the DryRun option is set."


@pytest.fixture
def blob(client, key):
    return client.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"a": "b"})[
        "CiphertextBlob"
    ]


def calls(client, key: str, blob: bytes):
    """Every operation that has DryRun and is built, with parameters that succeed."""
    context = {"EncryptionContext": {"a": "b"}}
    return [
        (client.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (client.encrypt_many, {"KeyId": key, "Plaintexts": [b"x"]}),
        (client.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
        (client.generate_data_key_without_plaintext, {"KeyId": key, "KeySpec": "AES_256"}),
        (client.generate_data_keys, {"KeyId": key, "KeySpec": "AES_256", "NumberOfKeys": 2}),
        (client.decrypt, {"CiphertextBlob": blob, **context}),
        (client.decrypt_many, {"CiphertextBlobs": [blob], **context}),
        (
            client.re_encrypt,
            {
                "CiphertextBlob": blob,
                "SourceEncryptionContext": {"a": "b"},
                "DestinationKeyId": key,
            },
        ),
    ]


def test_what_would_have_succeeded_says_so_and_is_on_record(deployment, client, key, blob, refused):
    for method, params in calls(client, key["KeyId"], blob):
        assert refused("DryRunOperationException", method, **params, DryRun=True) == SUCCEEDED
        record = deployment.records()[-1]
        assert record["errorCode"] == "DryRunOperationException"
        assert record["requestParameters"]["dryRun"] is True
        method(**params, DryRun=False)


def test_what_would_have_failed_fails_as_it_would_have(deployment, client, key, blob, refused):
    """A blob, a context or a size that does not fit, a state, a permission."""
    stranger = deployment.client(principal="arn:aws:iam::000000000000:user/alice")
    other = client.create_key()["KeyMetadata"]["KeyId"]
    for code, method, params in (
        ("InvalidCiphertextException", client.decrypt, {"CiphertextBlob": blob}),
        ("InvalidCiphertextException", client.decrypt_many, {"CiphertextBlobs": [blob]}),
        ("InvalidCiphertextException", client.re_encrypt,
         {"CiphertextBlob": blob, "DestinationKeyId": other}),
        ("IncorrectKeyException", client.decrypt, {"CiphertextBlob": blob, "KeyId": other}),
        ("ValidationException", client.generate_data_key, {"KeyId": other}),
        ("ValidationException", client.encrypt_many, {"KeyId": other, "Plaintexts": [b""]}),
        ("NotFoundException", client.encrypt, {"KeyId": "alias/none", "Plaintext": b"x"}),
        ("InvalidKeyUsageException", client.encrypt,
         {"KeyId": other, "Plaintext": b"x", "EncryptionAlgorithm": "SM2PKE"}),
        ("AccessDeniedException", stranger.encrypt, {"KeyId": other, "Plaintext": b"x"}),
    ):  # fmt: skip
        refused(code, method, **params, DryRun=True)
    client.disable_key(KeyId=key["KeyId"])
    for method, params in calls(client, key["KeyId"], blob):
        refused("DisabledException", method, **params, DryRun=True)
