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


IGNORING = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}


def test_the_permission_alone_is_tried_without_a_ciphertext(deployment, client, key, refused):
    decrypt = {"KeyId": key["Arn"], **IGNORING}
    assert refused("DryRunOperationException", client.decrypt, **decrypt) == SUCCEEDED
    parameters = deployment.records()[-1]["requestParameters"]
    assert parameters["dryRunModifiers"] == ["IGNORE_CIPHERTEXT"]
    # A ciphertext that is none does not matter
    refused("DryRunOperationException", client.decrypt, CiphertextBlob=b"none", **decrypt)
    move = {"SourceKeyId": key["KeyId"], "DestinationKeyId": key["KeyId"], **IGNORING}
    assert refused("DryRunOperationException", client.re_encrypt, **move) == SUCCEEDED


def test_a_dry_run_of_the_permission_needs_a_key_and_the_permission(
    deployment, client, key, blob, refused
):
    text = "KeyId must not be null"
    assert refused("ValidationException", client.decrypt, **IGNORING) == text
    assert refused("ValidationException", client.decrypt, CiphertextBlob=blob, **IGNORING) == text
    move = {"DestinationKeyId": key["KeyId"], **IGNORING}
    assert refused("ValidationException", client.re_encrypt, **move) == f"Source{text}"
    stranger = deployment.client(principal="arn:aws:iam::000000000000:user/alice")
    refused("AccessDeniedException", stranger.decrypt, KeyId=key["Arn"], **IGNORING)
    refused("AccessDeniedException", stranger.re_encrypt, SourceKeyId=key["Arn"], **move)
    signing = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    refused("InvalidKeyUsageException", client.decrypt, KeyId=signing["Arn"], **IGNORING)
    client.disable_key(KeyId=key["KeyId"])
    refused("DisabledException", client.decrypt, KeyId=key["Arn"], **IGNORING)


def test_modifiers_are_of_dry_runs_only(client, key, blob, refused):
    modifiers = {"DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    context = {"EncryptionContext": {"a": "b"}}
    answer = client.decrypt(CiphertextBlob=blob, **context, **modifiers)
    assert answer["Plaintext"] == b"x"
    text = refused("ValidationException", client.decrypt, KeyId=key["KeyId"], **modifiers)
    assert "'ciphertextBlob'" in text
    refused("ValidationException", client.decrypt, KeyId=key["KeyId"], DryRun=True)
