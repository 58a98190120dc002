"""In which order AWS checks: size, usage, key state, key spec and algorithm, the rest.

Measured in us-east-1 for github.com/floci-io/floci/pull/3968, which has a test for each.
"""

from __future__ import annotations

from typing import Any

import pytest

from clavero import KMS, ManualClock

USAGES = {
    "SYMMETRIC_DEFAULT": "ENCRYPT_DECRYPT",
    "RSA_2048": "ENCRYPT_DECRYPT",
    "HMAC_256": "GENERATE_VERIFY_MAC",
    "ECC_NIST_P256": "SIGN_VERIFY",
    "ML_KEM_512": "ENCAPSULATE_DECAPSULATE",
}
CALLS: dict[str, dict[str, Any]] = {
    "encrypt": {"Plaintext": b"x"},
    "sign": {"Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"},
    "verify": {"Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256", "Signature": b"x"},
    "generate_mac": {"Message": b"x", "MacAlgorithm": "HMAC_SHA_256"},
    "verify_mac": {"Message": b"x", "MacAlgorithm": "HMAC_SHA_256", "Mac": b"x"},
    "derive_shared_secret": {"KeyAgreementAlgorithm": "ECDH", "PublicKey": b"x"},
    "encapsulate": {"EncapsulationAlgorithm": "ML_KEM"},
    "decapsulate": {"EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": b"x"},
    "generate_data_key": {"KeySpec": "AES_256"},
    "generate_data_key_without_plaintext": {"KeySpec": "AES_256"},
    "generate_data_key_pair": {"KeyPairSpec": "ECC_NIST_P256"},
    "generate_data_key_pair_without_plaintext": {"KeyPairSpec": "ECC_NIST_P256"},
    "generate_data_keys": {"KeySpec": "AES_256", "NumberOfKeys": 2},
    "encrypt_many": {"Plaintexts": [b"x"]},
}
USED_FOR = {
    "ENCRYPT_DECRYPT": {"encrypt", "encrypt_many", *(m for m in CALLS if "data_key" in m)},
    "SIGN_VERIFY": {"sign", "verify"},
    "GENERATE_VERIFY_MAC": {"generate_mac", "verify_mac"},
    "ENCAPSULATE_DECAPSULATE": {"encapsulate", "decapsulate"},
}


@pytest.fixture(scope="module")
def stopped():
    """A KMS with a key of each kind disabled, and one of each kind that waits for its deletion."""
    with KMS(clock=ManualClock()) as kms:
        client = kms.client()
        boto3 = kms.boto3_client()
        disabled: dict[str, str] = {}
        dying: dict[str, str] = {}
        for spec, usage in USAGES.items():
            for keys in (disabled, dying):
                keys[spec] = client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]
            client.disable_key(KeyId=disabled[spec])
            client.schedule_key_deletion(KeyId=dying[spec])
        yield kms, boto3, disabled, dying
        boto3.close()


@pytest.fixture(params=["in process", "boto3"])
def client(request, stopped, checked):
    kms, boto3, _, _ = stopped
    if request.param == "boto3":
        return checked(boto3, beyond=kms.client())
    return checked(kms.client())


@pytest.mark.parametrize("spec", USAGES)
@pytest.mark.parametrize("method", CALLS)
def test_the_key_s_usage_comes_before_its_state(stopped, client, refused, spec, method):
    _, _, disabled, dying = stopped
    usage = USAGES[spec]
    for keys, code, text in (
        (disabled, "DisabledException", "is disabled."),
        (dying, "KMSInvalidStateException", "is pending deletion."),
    ):
        if method in USED_FOR[usage]:
            # and the state before the algorithm and the spec, of which many do not fit here
            message = refused(code, getattr(client, method), KeyId=keys[spec], **CALLS[method])
            assert message == f"{keys[spec]} {text}"
        else:
            message = refused(
                "InvalidKeyUsageException",
                getattr(client, method),
                KeyId=keys[spec],
                **CALLS[method],
            )
            assert message.startswith(f"{keys[spec]} key usage is {usage} which is not valid for")


@pytest.mark.parametrize("spec", USAGES)
@pytest.mark.parametrize("size", [{}, {"KeySpec": "AES_256", "NumberOfBytes": 32}], ids=str)
def test_the_size_of_a_data_key_comes_before_all_of_it(stopped, client, refused, spec, size):
    _, _, disabled, _ = stopped
    for method in (client.generate_data_key, client.generate_data_key_without_plaintext):
        message = refused("ValidationException", method, KeyId=disabled[spec], **size)
        assert message == "Please specify either number of bytes or key spec."


def test_whose_a_ciphertext_is_comes_before_the_named_key_s_state(stopped, client, refused):
    _, _, disabled, dying = stopped
    key = client.create_key()["KeyMetadata"]["Arn"]
    blob = client.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    for keys in (disabled, dying):
        for other in keys.values():
            refused("IncorrectKeyException", client.decrypt, CiphertextBlob=blob, KeyId=other)
            refused(
                "IncorrectKeyException",
                client.re_encrypt,
                CiphertextBlob=blob,
                SourceKeyId=other,
                DestinationKeyId=key,
            )
        refused(
            "InvalidKeyUsageException",
            client.re_encrypt,
            CiphertextBlob=blob,
            DestinationKeyId=keys["HMAC_256"],
        )
    refused(
        "DisabledException",
        client.decrypt,
        CiphertextBlob=b"x" * 256,
        KeyId=disabled["RSA_2048"],
        EncryptionAlgorithm="RSAES_OAEP_SHA_256",
    )
    client.disable_key(KeyId=key)
    refused("DisabledException", client.decrypt, CiphertextBlob=blob, KeyId=key)
    refused("DisabledException", client.decrypt, CiphertextBlob=blob)


def test_the_state_comes_before_the_key_spec(stopped, client, refused):
    _, _, disabled, dying = stopped
    for method in (client.enable_key_rotation, client.rotate_key_on_demand):
        refused("DisabledException", method, KeyId=disabled["HMAC_256"])
        refused("KMSInvalidStateException", method, KeyId=dying["HMAC_256"])
    refused("KMSInvalidStateException", client.get_public_key, KeyId=dying["HMAC_256"])


def test_the_model_comes_before_the_key(client, refused):
    missing = "00000000-0000-0000-0000-000000000000"
    for method in CALLS.keys() - {"generate_data_keys", "encrypt_many"}:
        wrong = dict.fromkeys(CALLS[method], b"") | {
            name: "FOO" for name in CALLS[method] if name.endswith(("Algorithm", "Spec"))
        }
        refused("ValidationException", getattr(client, method), KeyId=missing, **wrong)


@pytest.mark.parametrize(
    ("key_id", "text"),
    [
        ("786CA7CD-B74B-42B3-B887-902AD7AB6429", "Key '{}786CA7CD-B74B-42B3-B887-902AD7AB6429' "
         "does not exist"),
        ("mrk-1234567812341234123412345678901a", "Key '{}mrk-1234567812341234123412345678901a' "
         "does not exist"),
        ("arn:aws:kms:us-east-1:000000000000:key/foo", "Invalid keyId foo"),
        ("foo", "Invalid keyId 'foo'"),
        ("mrk-1234", "Invalid keyId 'mrk-1234'"),
        ("12345678123412341234123456789012", "Invalid keyId '12345678123412341234123456789012'"),
    ],
)  # fmt: skip
def test_missing_keys_are_named(client, refused, key_id, text):
    message = refused("NotFoundException", client.describe_key, KeyId=key_id)
    assert message == text.format("arn:aws:kms:us-east-1:000000000000:key/")
