"""Encrypt, Decrypt and ReEncrypt with RSA keys: raw OAEP that others open, and the reverse."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from clavero.model import specs

KINDS = [(spec, name) for spec in specs.RSA_SPECS for name in specs.RSA_ENCRYPTION]
CONTEXT = {"tenant": "a"}


def oaep(algorithm: str) -> padding.OAEP:
    chosen = hashes.SHA1() if algorithm.endswith("_1") else hashes.SHA256()  # noqa: S303 (AWS's)
    return padding.OAEP(padding.MGF1(chosen), chosen, None)


@pytest.fixture
def symmetric(kept):
    return kept.key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")


@pytest.fixture
def rsa_key(kept):
    return kept.key("RSA_2048", "ENCRYPT_DECRYPT")


@pytest.mark.parametrize(("spec", "algorithm"), KINDS)
def test_kms_opens_what_it_and_others_encrypt(kept, kept_client, spec, algorithm):
    key = kept.key(spec, "ENCRYPT_DECRYPT")
    public: Any = load_der_public_key(kept_client.get_public_key(KeyId=key["KeyId"])["PublicKey"])
    for size in (1, 32, specs.plaintext_limit(spec, algorithm)):
        plaintext = bytes(index % 251 for index in range(size))
        sealed = kept_client.encrypt(
            KeyId=key["KeyId"], Plaintext=plaintext, EncryptionAlgorithm=algorithm
        )
        del sealed["ResponseMetadata"]
        blob = sealed.pop("CiphertextBlob")
        assert sealed == {"KeyId": key["Arn"], "EncryptionAlgorithm": algorithm}
        assert len(blob) == int(spec[4:]) // 8  # RSA's ciphertext and nothing else
        for ciphertext in (blob, public.encrypt(plaintext, oaep(algorithm))):
            opened = kept_client.decrypt(
                KeyId=key["KeyId"], CiphertextBlob=ciphertext, EncryptionAlgorithm=algorithm
            )
            del opened["ResponseMetadata"]
            assert opened == {
                "KeyId": key["Arn"],
                "Plaintext": plaintext,
                "EncryptionAlgorithm": algorithm,
            }


@pytest.mark.parametrize(("spec", "algorithm"), KINDS)
def test_plaintexts_that_are_too_long_are_refused_with_the_limit(
    kept, kept_client, refused, spec, algorithm
):
    limit = specs.plaintext_limit(spec, algorithm)
    text = refused(
        "ValidationException",
        kept_client.encrypt,
        KeyId=kept.key(spec, "ENCRYPT_DECRYPT")["KeyId"],
        Plaintext=b"x" * (limit + 1),
        EncryptionAlgorithm=algorithm,
    )
    assert text == (
        f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {limit} bytes."
    )


@pytest.mark.parametrize("algorithm", specs.RSA_ENCRYPTION)
def test_what_openssl_s_command_encrypts_kms_opens(kept_client, rsa_key, openssl, algorithm):
    digest = "sha1" if algorithm.endswith("_1") else "sha256"
    public = kept_client.get_public_key(KeyId=rsa_key["KeyId"])["PublicKey"]
    blob = openssl(
        "pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", "public", "-in", "plain",
        "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", f"rsa_oaep_md:{digest}",
        "-pkeyopt", f"rsa_mgf1_md:{digest}",
        public=public, plain=b"from the command line",
    )  # fmt: skip
    opened = kept_client.decrypt(
        KeyId=rsa_key["Arn"], CiphertextBlob=blob, EncryptionAlgorithm=algorithm
    )
    assert opened["Plaintext"] == b"from the command line"


def test_a_ciphertext_that_does_not_open_is_invalid_without_a_word(
    kept, kept_client, refused, rsa_key
):
    sha1, sha256 = specs.RSA_ENCRYPTION
    sealed = kept_client.encrypt(
        KeyId=rsa_key["KeyId"], Plaintext=b"x", EncryptionAlgorithm=sha256
    )["CiphertextBlob"]
    other = kept.key("RSA_3072", "ENCRYPT_DECRYPT")
    damaged = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for blob, key, algorithm in (
        (damaged, rsa_key, sha256),
        (sealed[:-1], rsa_key, sha256),
        (sealed + b"\x00", rsa_key, sha256),
        (b"\xff" * 256, rsa_key, sha256),  # beyond the modulus
        (b"\x00" * 256, rsa_key, sha256),
        (b"x", rsa_key, sha256),
        (b"x" * 6144, rsa_key, sha256),
        (sealed, rsa_key, sha1),
        (sealed, other, sha256),
    ):
        asked = {"KeyId": key["KeyId"], "CiphertextBlob": blob, "EncryptionAlgorithm": algorithm}
        assert refused("InvalidCiphertextException", kept_client.decrypt, **asked) == ""
        refused("InvalidCiphertextException", kept_client.decrypt, **asked, DryRun=True)
    # Without the algorithm it is taken for a blob of a symmetric key, and is none
    text = refused(
        "InvalidCiphertextException",
        kept_client.decrypt,
        KeyId=rsa_key["KeyId"],
        CiphertextBlob=sealed,
    )
    assert text == ""
    dry = {"KeyId": rsa_key["KeyId"], "EncryptionAlgorithm": sha256, "DryRun": True}
    refused("DryRunOperationException", kept_client.decrypt, CiphertextBlob=sealed, **dry)
    refused("DryRunOperationException", kept_client.encrypt, Plaintext=b"x", **dry)


def test_keys_contexts_and_algorithms_that_do_not_fit_are_refused(
    kept, kept_client, refused, rsa_key, symmetric
):
    sha256 = specs.RSA_ENCRYPTION[1]
    encrypt, decrypt = kept_client.encrypt, kept_client.decrypt
    sealed = encrypt(KeyId=rsa_key["KeyId"], Plaintext=b"x", EncryptionAlgorithm=sha256)
    blob = sealed["CiphertextBlob"]
    # RSA's ciphertext names no key
    text = refused("ValidationException", decrypt, CiphertextBlob=blob, EncryptionAlgorithm=sha256)
    assert text == "KeyId must not be null"
    context = "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."
    asked = {
        "KeyId": rsa_key["KeyId"],
        "EncryptionAlgorithm": sha256,
        "EncryptionContext": CONTEXT,
    }
    assert refused("ValidationException", encrypt, Plaintext=b"x", **asked) == context
    assert refused("ValidationException", decrypt, CiphertextBlob=blob, **asked) == context
    text = refused("InvalidKeyUsageException", encrypt, KeyId=rsa_key["KeyId"], Plaintext=b"x")
    assert text == "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048."
    for method, more in ((encrypt, {"Plaintext": b"x"}), (decrypt, {"CiphertextBlob": blob})):
        text = refused(
            "InvalidKeyUsageException",
            method,
            KeyId=symmetric["KeyId"],
            EncryptionAlgorithm=sha256,
            **more,
        )
        assert text == f"Algorithm {sha256} is incompatible with key spec SYMMETRIC_DEFAULT."
        signing = kept.key("RSA_2048", "SIGN_VERIFY")
        for algorithm in (sha256, "SYMMETRIC_DEFAULT")[: 2 if method is encrypt else 1]:
            text = refused(
                "InvalidKeyUsageException",
                method,
                KeyId=signing["KeyId"],
                EncryptionAlgorithm=algorithm,
                **more,
            )
            name = "Encrypt" if method is encrypt else "Decrypt"
            assert text == (
                f"{signing['Arn']} key usage is SIGN_VERIFY which is not valid for {name}."
            )
    # A symmetric key's blob under an RSA key's name
    blob = encrypt(KeyId=symmetric["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    refused("IncorrectKeyException", decrypt, KeyId=rsa_key["KeyId"], CiphertextBlob=blob)
    refused("IncorrectKeyException", decrypt, KeyId=signing["KeyId"], CiphertextBlob=blob)
    # RSA's ciphertext without its algorithm
    raw = sealed["CiphertextBlob"]
    refused("InvalidCiphertextException", decrypt, KeyId=rsa_key["KeyId"], CiphertextBlob=raw)


def test_only_symmetric_keys_make_data_keys(kept, kept_client, refused, rsa_key):
    for name, more in (
        ("generate_data_key", {"KeySpec": "AES_256"}),
        ("generate_data_key_without_plaintext", {"KeySpec": "AES_256"}),
        ("generate_data_key_pair", {"KeyPairSpec": "ECC_NIST_P256"}),
        ("generate_data_key_pair_without_plaintext", {"KeyPairSpec": "ECC_NIST_P256"}),
        ("generate_data_keys", {"KeySpec": "AES_256", "NumberOfKeys": 2}),
    ):
        method = getattr(kept_client, name)
        text = refused("InvalidKeyUsageException", method, KeyId=rsa_key["KeyId"], **more)
        assert text == "You cannot generate a data key with an asymmetric CMK"
        mac = kept.key("HMAC_256", "GENERATE_VERIFY_MAC")
        text = refused("InvalidKeyUsageException", method, KeyId=mac["KeyId"], **more)
        assert f"{mac['Arn']} key usage is GENERATE_VERIFY_MAC which is not valid for" in text
    text = refused(
        "UnsupportedOperationException",
        kept_client.encrypt_many,
        KeyId=rsa_key["KeyId"],
        Plaintexts=[b"x"],
        EncryptionAlgorithm="RSAES_OAEP_SHA_256",
    )
    assert "RSA in a batch" in text


# --- ReEncrypt ------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", specs.RSA_ENCRYPTION)
def test_ciphertexts_go_from_one_kind_of_key_to_the_other(
    kept, kept_client, rsa_key, symmetric, algorithm
):
    other = kept.key("RSA_3072", "ENCRYPT_DECRYPT")
    sealed = kept_client.encrypt(
        KeyId=symmetric["KeyId"], Plaintext=b"secret", EncryptionContext=CONTEXT
    )
    answer = kept_client.re_encrypt(
        CiphertextBlob=sealed["CiphertextBlob"],
        SourceEncryptionContext=CONTEXT,
        DestinationKeyId=rsa_key["KeyId"],
        DestinationEncryptionAlgorithm=algorithm,
    )
    del answer["ResponseMetadata"]
    blob = answer.pop("CiphertextBlob")
    assert answer == {
        "SourceKeyId": symmetric["Arn"],
        "KeyId": rsa_key["Arn"],
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": algorithm,
        "SourceKeyMaterialId": symmetric["CurrentKeyMaterialId"],
    }
    answer = kept_client.re_encrypt(
        CiphertextBlob=blob,
        SourceKeyId=rsa_key["KeyId"],
        SourceEncryptionAlgorithm=algorithm,
        DestinationKeyId=other["KeyId"],
        DestinationEncryptionAlgorithm="RSAES_OAEP_SHA_256",
    )
    del answer["ResponseMetadata"]
    blob = answer.pop("CiphertextBlob")
    assert answer == {
        "SourceKeyId": rsa_key["Arn"],
        "KeyId": other["Arn"],
        "SourceEncryptionAlgorithm": algorithm,
        "DestinationEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    }
    answer = kept_client.re_encrypt(
        CiphertextBlob=blob,
        SourceKeyId=other["KeyId"],
        SourceEncryptionAlgorithm="RSAES_OAEP_SHA_256",
        DestinationKeyId=symmetric["KeyId"],
        DestinationEncryptionContext={"other": "context"},
    )
    del answer["ResponseMetadata"]
    blob = answer.pop("CiphertextBlob")
    assert answer == {
        "SourceKeyId": other["Arn"],
        "KeyId": symmetric["Arn"],
        "SourceEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationKeyMaterialId": symmetric["CurrentKeyMaterialId"],
    }
    opened = kept_client.decrypt(CiphertextBlob=blob, EncryptionContext={"other": "context"})
    assert opened["Plaintext"] == b"secret"


def test_re_encryption_that_cannot_be_is_refused(kept, kept_client, refused, rsa_key, symmetric):
    sha256 = specs.RSA_ENCRYPTION[1]
    long = kept_client.encrypt(KeyId=symmetric["KeyId"], Plaintext=b"x" * 191)["CiphertextBlob"]
    to_rsa = {"DestinationKeyId": rsa_key["KeyId"], "DestinationEncryptionAlgorithm": sha256}
    re_encrypt = kept_client.re_encrypt
    text = refused("ValidationException", re_encrypt, CiphertextBlob=long, **to_rsa)
    assert text == (
        f"Algorithm {sha256} and key spec RSA_2048 cannot encrypt data larger than 190 bytes."
    )
    refused(
        "ValidationException",
        re_encrypt,
        CiphertextBlob=long,
        **to_rsa,
        DestinationEncryptionContext=CONTEXT,
    )
    text = refused(
        "InvalidKeyUsageException",
        re_encrypt,
        CiphertextBlob=long,
        DestinationKeyId=rsa_key["KeyId"],
    )
    assert text == "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048."
    blob = kept_client.encrypt(KeyId=rsa_key["KeyId"], Plaintext=b"x", EncryptionAlgorithm=sha256)[
        "CiphertextBlob"
    ]
    to_symmetric = {"CiphertextBlob": blob, "DestinationKeyId": symmetric["KeyId"]}
    text = refused(
        "ValidationException", re_encrypt, **to_symmetric, SourceEncryptionAlgorithm=sha256
    )
    assert text == "SourceKeyId must not be null"
    from_rsa = {"SourceKeyId": rsa_key["KeyId"], "SourceEncryptionAlgorithm": sha256}
    refused(
        "ValidationException",
        re_encrypt,
        **to_symmetric,
        **from_rsa,
        SourceEncryptionContext=CONTEXT,
    )
    refused(
        "InvalidCiphertextException",
        re_encrypt,
        **{**to_symmetric, "CiphertextBlob": b"x" * 256},
        **from_rsa,
    )
    refused("DryRunOperationException", re_encrypt, **to_symmetric, **from_rsa, DryRun=True)
    hmac = kept.key("HMAC_256", "GENERATE_VERIFY_MAC")
    refused(
        "InvalidKeyUsageException", re_encrypt, CiphertextBlob=long, DestinationKeyId=hmac["KeyId"]
    )
