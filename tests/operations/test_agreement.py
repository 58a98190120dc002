"""DeriveSharedSecret, Encapsulate, Decapsulate: both sides get the same secret, others do not."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from clavero.model import specs

CURVES = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
}
FIELD = {"ECC_NIST_P256": 32, "ECC_NIST_P384": 48, "ECC_NIST_P521": 66}
CIPHERTEXT = {"ML_KEM_512": 768, "ML_KEM_768": 1088, "ML_KEM_1024": 1568}


def spki(private) -> bytes:
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def asked(key, peer: bytes, **more):
    return {"KeyId": key["KeyId"], "KeyAgreementAlgorithm": "ECDH", "PublicKey": peer, **more}


@pytest.mark.parametrize("spec", CURVES)
def test_the_shared_secret_is_the_peer_s(kept, kept_client, openssl, spec):
    key = kept.key(spec, "KEY_AGREEMENT")
    der = kept_client.get_public_key(KeyId=key["KeyId"])["PublicKey"]
    peer = ec.generate_private_key(CURVES[spec])
    answer = kept_client.derive_shared_secret(**asked(key, spki(peer)))
    del answer["ResponseMetadata"]
    secret = answer.pop("SharedSecret")
    assert answer == {
        "KeyId": key["Arn"],
        "KeyAgreementAlgorithm": "ECDH",
        "KeyOrigin": "AWS_KMS",
    }
    assert len(secret) == FIELD[spec]
    public: Any = load_der_public_key(der)
    assert peer.exchange(ec.ECDH(), public) == secret
    private = peer.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert secret == openssl(
        "pkeyutl", "-derive", "-inkey", "private", "-peerform", "DER", "-peerkey", "public",
        private=private, public=der,
    )  # fmt: skip
    # With itself too, as AWS does
    assert len(kept_client.derive_shared_secret(**asked(key, der))["SharedSecret"]) == FIELD[spec]


def test_secrets_keep_their_leading_zeros(kept, kept_client):
    """One in 256 secrets begins with a zero byte."""
    key = kept.key("ECC_NIST_P256", "KEY_AGREEMENT")
    for _ in range(2000):
        peer = ec.generate_private_key(ec.SECP256R1())
        secret = kept_client.derive_shared_secret(**asked(key, spki(peer)))["SharedSecret"]
        assert len(secret) == 32
        if secret[0] == 0:
            return
    pytest.fail("2000 secrets without a leading zero")


def test_public_keys_that_are_none_of_the_curve_are_refused_as_aws_does(kept, kept_client, refused):
    key = kept.key("ECC_NIST_P256", "KEY_AGREEMENT")
    good = spki(ec.generate_private_key(ec.SECP256R1()))
    off_curve = good[:-1] + bytes([good[-1] ^ 1])
    at_infinity = bytes.fromhex("301906072a8648ce3d020106082a8648ce3d030107") + b"\x03\x02\x00\x00"
    for peer in (
        b"invalid",
        off_curve,
        at_infinity,
        good[:-1],
        good + b"\x00",
        spki(ec.generate_private_key(ec.SECP384R1())),
        spki(ec.generate_private_key(ec.SECP256K1())),
        spki(ed25519.Ed25519PrivateKey.generate()),
        spki(x25519.X25519PrivateKey.generate()),
        b"x" * 8192,
    ):
        method = kept_client.derive_shared_secret
        assert refused("ValidationException", method, **asked(key, peer)) == ""
        refused("ValidationException", method, **asked(key, peer, DryRun=True))
    refused("DryRunOperationException", method, **asked(key, good, DryRun=True))


def test_keys_that_do_not_agree_are_refused(kept, kept_client, refused):
    peer = spki(ec.generate_private_key(ec.SECP256R1()))
    for spec, usage in (
        ("ECC_NIST_P256", "SIGN_VERIFY"),
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
    ):
        key = kept.key(spec, usage)
        text = refused(
            "InvalidKeyUsageException", kept_client.derive_shared_secret, **asked(key, peer)
        )
        assert text == (
            f"{key['Arn']} key usage is {usage} which is not valid for DeriveSharedSecret."
        )
    key = kept.key("ECC_NIST_P256", "KEY_AGREEMENT")
    text = refused(
        "ValidationException",
        kept_client.derive_shared_secret,
        **asked(key, peer, Recipient={"AttestationDocument": b"x"}),
    )
    assert "recipient.keyEncryptionAlgorithm" in text


def test_a_disabled_key_agrees_on_nothing(client, refused):
    key = client.create_key(KeySpec="ECC_NIST_P384", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]
    client.disable_key(KeyId=key["KeyId"])
    peer = spki(ec.generate_private_key(ec.SECP384R1()))
    text = refused("DisabledException", client.derive_shared_secret, **asked(key, peer))
    assert text == f"{key['Arn']} is disabled."


# --- ML-KEM ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", specs.ML_KEM_SPECS)
def test_what_is_encapsulated_is_decapsulated(kept, kept_client, spec):
    key = kept.key(spec, "ENCAPSULATE_DECAPSULATE")
    mine = {"KeyId": key["KeyId"], "EncapsulationAlgorithm": "ML_KEM"}
    answer = kept_client.encapsulate(**mine)
    del answer["ResponseMetadata"]
    secret, blob = answer.pop("SharedSecret"), answer.pop("SharedSecretCiphertextBlob")
    assert answer == {"KeyId": key["Arn"], "EncapsulationAlgorithm": "ML_KEM"}
    assert len(secret) == 32
    assert len(blob) == CIPHERTEXT[spec]
    opened = kept_client.decapsulate(**mine, SharedSecretCiphertextBlob=blob)
    del opened["ResponseMetadata"]
    assert opened == {
        "KeyId": key["Arn"],
        "SharedSecret": secret,
        "EncapsulationAlgorithm": "ML_KEM",
    }
    assert kept_client.encapsulate(**mine)["SharedSecret"] != secret


@pytest.mark.parametrize("spec", ["ML_KEM_768", "ML_KEM_1024"])  # pyca has no ML-KEM-512
def test_kms_decapsulates_what_others_encapsulate(kept, kept_client, spec):
    key = kept.key(spec, "ENCAPSULATE_DECAPSULATE")
    public: Any = load_der_public_key(kept_client.get_public_key(KeyId=key["KeyId"])["PublicKey"])
    secret, blob = public.encapsulate()
    opened = kept_client.decapsulate(
        KeyId=key["KeyId"], EncapsulationAlgorithm="ML_KEM", SharedSecretCiphertextBlob=blob
    )
    assert opened["SharedSecret"] == secret


def test_another_ciphertext_gives_another_secret_and_another_length_none(
    kept, kept_client, refused
):
    key = kept.key("ML_KEM_768", "ENCAPSULATE_DECAPSULATE")
    mine = {"KeyId": key["KeyId"], "EncapsulationAlgorithm": "ML_KEM"}
    answer = kept_client.encapsulate(**mine)
    blob = answer["SharedSecretCiphertextBlob"]
    damaged = blob[:-1] + bytes([blob[-1] ^ 1])
    rejected = kept_client.decapsulate(**mine, SharedSecretCiphertextBlob=damaged)["SharedSecret"]
    assert len(rejected) == 32
    assert rejected != answer["SharedSecret"]
    again = kept_client.decapsulate(**mine, SharedSecretCiphertextBlob=damaged)
    assert again["SharedSecret"] == rejected  # FIPS 203, algorithm 18: implicit rejection
    for wrong in (blob[:-1], blob + b"\x00", b"x" * 768, b"x" * 1568, b"x"):
        text = refused(
            "InvalidCiphertextException",
            kept_client.decapsulate,
            **mine,
            SharedSecretCiphertextBlob=wrong,
        )
        assert text == ""
    refused("DryRunOperationException", kept_client.encapsulate, **mine, DryRun=True)
    refused(
        "DryRunOperationException",
        kept_client.decapsulate,
        **mine,
        SharedSecretCiphertextBlob=blob,
        DryRun=True,
    )
    other = {**mine, "KeyId": kept.key("RSA_2048", "ENCRYPT_DECRYPT")["KeyId"]}
    for method, more in (
        (kept_client.encapsulate, {}),
        (kept_client.decapsulate, {"SharedSecretCiphertextBlob": blob}),
    ):
        text = refused("InvalidKeyUsageException", method, **other, **more)
        assert "key usage is ENCRYPT_DECRYPT which is not valid for" in text
