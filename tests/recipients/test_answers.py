"""Answers for attested recipients: opened by them, and by nobody on the way."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from clavero.model.operations import OPERATIONS


def without(answer: dict[str, Any], *secret: str) -> dict[str, Any]:
    """The answer without its metadata, after it was seen that no secret is in it."""
    del answer["ResponseMetadata"]
    assert not set(answer) & {"Plaintext", "PrivateKeyPlaintext", "SharedSecret", *secret}
    return answer


def test_these_are_all_operations_with_a_recipient():
    taking = {name for name, each in OPERATIONS.items() if "Recipient" in each.input.members}
    assert taking == {
        "Decrypt",
        "DeriveSharedSecret",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateRandom",
    }


@pytest.mark.parametrize("size", [1, 15, 16, 17, 32, 4096])
def test_decrypt(client, attesting, enclave, size):
    plaintext = bytes(n % 251 for n in range(size))
    context = {"purpose": "enclave"}
    encrypted = client.encrypt(KeyId=attesting.key, Plaintext=plaintext, EncryptionContext=context)
    answer = without(
        client.decrypt(
            CiphertextBlob=encrypted["CiphertextBlob"],
            EncryptionContext=context,
            Recipient=enclave.recipient(),
        )
    )
    assert enclave.open(answer.pop("CiphertextForRecipient")) == plaintext
    assert len(answer.pop("KeyMaterialId")) == 64
    assert answer == {"KeyId": attesting.key, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}


def test_decrypt_with_an_rsa_key(client, enclave):
    made = client.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    named = {"KeyId": made["KeyMetadata"]["Arn"], "EncryptionAlgorithm": "RSAES_OAEP_SHA_1"}
    blob = client.encrypt(Plaintext=b"in an enclave only", **named)["CiphertextBlob"]
    answer = client.decrypt(CiphertextBlob=blob, Recipient=enclave.recipient(), **named)
    assert enclave.open(answer["CiphertextForRecipient"]) == b"in an enclave only"
    del answer["CiphertextForRecipient"]
    assert without(answer) == named


def test_generate_data_key(client, attesting, enclave):
    for asked, size in (({"KeySpec": "AES_256"}, 32), ({"NumberOfBytes": 1024}, 1024)):
        answer = without(
            client.generate_data_key(KeyId=attesting.key, Recipient=enclave.recipient(), **asked)
        )
        data_key = enclave.open(answer.pop("CiphertextForRecipient"))
        assert len(data_key) == size
        assert client.decrypt(CiphertextBlob=answer["CiphertextBlob"])["Plaintext"] == data_key
        assert set(answer) == {"CiphertextBlob", "KeyId", "KeyMaterialId"}


@pytest.mark.parametrize("spec", ["ECC_NIST_P521", "RSA_2048", "ECC_NIST_EDWARDS25519"])
def test_generate_data_key_pair(client, attesting, enclave, spec):
    answer = without(
        client.generate_data_key_pair(
            KeyId=attesting.key, KeyPairSpec=spec, Recipient=enclave.recipient()
        )
    )
    private = enclave.open(answer.pop("CiphertextForRecipient"))
    blob = answer.pop("PrivateKeyCiphertextBlob")
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == private
    public = load_der_private_key(private, None).public_key()
    assert public == load_der_public_key(answer.pop("PublicKey"))
    assert answer.pop("KeyMaterialId")
    assert answer == {"KeyId": attesting.key, "KeyPairSpec": spec}


def test_generate_random(client, enclave):
    seen = set()
    for size in (1, 32, 1024):
        for _ in range(2):
            answer = without(
                client.generate_random(NumberOfBytes=size, Recipient=enclave.recipient())
            )
            assert set(answer) == {"CiphertextForRecipient"}
            opened = enclave.open(answer["CiphertextForRecipient"])
            assert len(opened) == size
            seen.add(answer["CiphertextForRecipient"])
    assert len(seen) == 6


def test_derive_shared_secret(client, attesting, enclave):
    peer = ec.generate_private_key(ec.SECP256R1())
    asked = {
        "KeyId": attesting.agreeing,
        "KeyAgreementAlgorithm": "ECDH",
        "PublicKey": enclave.spki(peer),
    }
    answer = without(client.derive_shared_secret(Recipient=enclave.recipient(), **asked))
    own: Any = load_der_public_key(client.get_public_key(KeyId=attesting.agreeing)["PublicKey"])
    assert enclave.open(answer.pop("CiphertextForRecipient")) == peer.exchange(ec.ECDH(), own)
    assert answer == {
        "KeyId": attesting.agreeing,
        "KeyAgreementAlgorithm": "ECDH",
        "KeyOrigin": "AWS_KMS",
    }


@pytest.mark.parametrize("size", [2048, 3072, 4096])
def test_recipients_may_have_larger_keys(client, enclave, size):
    key = rsa.generate_private_key(65537, size)
    recipient = enclave.recipient(public_key=enclave.spki(key))
    answer = client.generate_random(NumberOfBytes=32, Recipient=recipient)
    assert len(enclave.open(answer["CiphertextForRecipient"], key)) == 32


def test_another_cannot_open_the_answer(client, enclave):
    answer = client.generate_random(NumberOfBytes=32, Recipient=enclave.recipient())
    other = rsa.generate_private_key(65537, 2048)
    with pytest.raises((AssertionError, ValueError)):
        enclave.open(answer["CiphertextForRecipient"], other)


def test_what_is_wrong_besides_the_recipient_is_refused_as_without_one(
    client, attesting, enclave, refused
):
    recipient = enclave.recipient()
    blob = client.encrypt(KeyId=attesting.key, Plaintext=b"x")["CiphertextBlob"]
    decrypt = client.decrypt
    broken = blob[:-1] + bytes([blob[-1] ^ 1])
    refused("InvalidCiphertextException", decrypt, CiphertextBlob=broken, Recipient=recipient)
    refused(
        "InvalidCiphertextException", decrypt,
        CiphertextBlob=blob, EncryptionContext={"not": "the one"}, Recipient=recipient,
    )  # fmt: skip
    refused(
        "ValidationException", client.derive_shared_secret,
        KeyId=attesting.agreeing, KeyAgreementAlgorithm="ECDH", PublicKey=b"none",
        Recipient=recipient,
    )  # fmt: skip
    refused(
        "ValidationException", client.generate_data_key, KeyId=attesting.key, Recipient=recipient
    )
    refused("ValidationException", client.generate_random, Recipient=recipient)
    gone = client.create_key()["KeyMetadata"]["Arn"]
    client.disable_key(KeyId=gone)
    refused(
        "DisabledException", client.generate_data_key,
        KeyId=gone, KeySpec="AES_256", Recipient=recipient,
    )  # fmt: skip


def test_dry_runs_judge_the_document_too(client, attesting, enclave, refused):
    blob = client.encrypt(KeyId=attesting.key, Plaintext=b"x")["CiphertextBlob"]
    peer = enclave.spki(ec.generate_private_key(ec.SECP256R1()))
    calls: list[tuple[Any, dict[str, Any]]] = [
        (client.decrypt, {"CiphertextBlob": blob}),
        (client.generate_data_key, {"KeyId": attesting.key, "KeySpec": "AES_256"}),
        (client.generate_data_key_pair, {"KeyId": attesting.key, "KeyPairSpec": "RSA_4096"}),
        (
            client.derive_shared_secret,
            {"KeyId": attesting.agreeing, "KeyAgreementAlgorithm": "ECDH", "PublicKey": peer},
        ),
    ]
    bad = enclave.recipient(digest="SHA256")
    for method, params in calls:
        good = enclave.recipient()
        refused("DryRunOperationException", method, DryRun=True, Recipient=good, **params)
        refused("ValidationException", method, DryRun=True, Recipient=bad, **params)


def test_records_name_the_recipient_as_cloudtrail_does(client, attesting, enclave):
    def registers(prefix: str, *numbers: int) -> dict[str, str]:
        return {f"{prefix}{n}": base64.b64encode(enclave.pcrs[n]).decode() for n in numbers}

    client.generate_random(NumberOfBytes=16, Recipient=enclave.recipient())
    of_enclave, text = attesting.kms.audit_records()[-1], json.dumps(attesting.kms.audit_records())
    fields = enclave.fields()
    tpm = {"pcrs": ..., "nitrotpm_pcrs": enclave.pcrs, "module_id": "i-1-tpm0000000000000000"}
    client.generate_random(NumberOfBytes=16, Recipient=enclave.recipient(**tpm))
    of_tpm = attesting.kms.audit_records()[-1]
    assert of_enclave["additionalEventData"]["recipient"] == {
        "attestationDocumentModuleId": fields["module_id"],
        "attestationDocumentEnclaveImageDigest": base64.b64encode(enclave.pcrs[0]).decode(),
        **registers("attestationDocumentEnclavePCR", 1, 2, 3, 4, 8),
    }
    assert of_tpm["additionalEventData"]["recipient"] == {
        "attestationDocumentModuleId": "i-1-tpm0000000000000000",
        **registers("attestationDocumentNitroTPMPCR", 4, 7, 8, 9),
    }
    assert "AttestationDocument" not in text
    with pytest.raises(ClientError):
        client.generate_random(NumberOfBytes=16, Recipient=enclave.recipient(digest="x"))
    refusal = attesting.kms.audit_records()[-1]
    assert refusal["errorCode"] == "ValidationException"
    assert "additionalEventData" not in refusal
