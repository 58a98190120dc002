"""GenerateDataKeyPair: the halves belong together, and the private one opens again."""

from __future__ import annotations

import math

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)

CONTEXT = {"tenant": "a"}
CURVES = {
    "ECC_NIST_P256": "secp256r1",
    "ECC_NIST_P384": "secp384r1",
    "ECC_NIST_P521": "secp521r1",
    "ECC_SECG_P256K1": "secp256k1",
}
SPECS = [
    "RSA_2048", "RSA_3072", "RSA_4096", *CURVES, "ECC_NIST_EDWARDS25519",
    "ML_KEM_512", "ML_KEM_768", "ML_KEM_1024",
]  # fmt: skip


@pytest.fixture
def symmetric(kept):
    return kept.key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")


@pytest.mark.parametrize("spec", SPECS)
def test_the_private_key_is_in_the_clear_and_encrypted_and_fits_the_public_one(
    kept_client, symmetric, refused, spec
):
    answer = kept_client.generate_data_key_pair(
        KeyId=symmetric["KeyId"], KeyPairSpec=spec, EncryptionContext=CONTEXT
    )
    del answer["ResponseMetadata"]
    private = answer.pop("PrivateKeyPlaintext")
    blob, public = answer.pop("PrivateKeyCiphertextBlob"), answer.pop("PublicKey")
    assert answer == {
        "KeyId": symmetric["Arn"],
        "KeyPairSpec": spec,
        "KeyMaterialId": symmetric["CurrentKeyMaterialId"],
    }
    opened = kept_client.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == private
    refused("InvalidCiphertextException", kept_client.decrypt, CiphertextBlob=blob)
    if spec == "ML_KEM_512":  # pyca does not know it
        return
    loaded = load_der_private_key(private, None)
    spki = loaded.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki == public
    if spec.startswith("RSA"):
        assert isinstance(loaded, rsa.RSAPrivateKey)
        assert loaded.key_size == int(spec[4:])
    elif spec in CURVES:
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        assert loaded.curve.name == CURVES[spec]
    elif spec == "ECC_NIST_EDWARDS25519":
        assert isinstance(loaded, ed25519.Ed25519PrivateKey)
        assert len(private) == 48  # as AWS's


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P384", "ML_KEM_768"])
def test_without_plaintext_the_private_key_is_encrypted_only(kept_client, symmetric, spec):
    answer = kept_client.generate_data_key_pair_without_plaintext(
        KeyId=symmetric["KeyId"], KeyPairSpec=spec
    )
    assert set(answer) == {
        "KeyId",
        "KeyMaterialId",
        "KeyPairSpec",
        "PrivateKeyCiphertextBlob",
        "PublicKey",
        "ResponseMetadata",
    }
    private = kept_client.decrypt(CiphertextBlob=answer["PrivateKeyCiphertextBlob"])["Plaintext"]
    public = load_der_private_key(private, None).public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki == answer["PublicKey"]


def test_openssl_reads_the_private_key(kept_client, symmetric, openssl):
    for spec in ("RSA_2048", "ECC_NIST_P521", "ECC_NIST_EDWARDS25519"):
        answer = kept_client.generate_data_key_pair(KeyId=symmetric["KeyId"], KeyPairSpec=spec)
        public = openssl(
            "pkey", "-inform", "DER", "-in", "private", "-pubout", "-outform", "DER",
            private=answer["PrivateKeyPlaintext"],
        )  # fmt: skip
        assert public == answer["PublicKey"]


@pytest.mark.parametrize("spec", ["RSA_2048", "RSA_3072", "RSA_4096"])
def test_rsa_pairs_keep_to_fips_186_5(kept_client, symmetric, spec):
    """A.1.1 and A.1.3: what pyca's check of a key (that OpenSSL finds the primes prime) leaves."""
    answer = kept_client.generate_data_key_pair(KeyId=symmetric["KeyId"], KeyPairSpec=spec)
    loaded = load_der_private_key(answer["PrivateKeyPlaintext"], None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    numbers = loaded.private_numbers()
    p, q, d, e = numbers.p, numbers.q, numbers.d, numbers.public_numbers.e
    half = int(spec[4:]) // 2
    assert e == 65537
    assert p * q == numbers.public_numbers.n
    for prime in (p, q):
        assert prime**2 > 1 << (2 * half - 1), "above the square root of two times 2^(half - 1)"
        assert prime.bit_length() == half
        assert math.gcd(prime - 1, e) == 1
        assert all(prime % small for small in range(3, 1 << 16, 2))
    assert abs(p - q) > 1 << (half - 100)
    assert d == pow(e, -1, math.lcm(p - 1, q - 1))
    assert d > 1 << half
    assert (numbers.dmp1, numbers.dmq1) == (d % (p - 1), d % (q - 1))
    assert numbers.iqmp == pow(q, -1, p)


def test_no_two_pairs_are_the_same(kept_client, symmetric):
    asked = {"KeyId": symmetric["KeyId"], "KeyPairSpec": "ECC_NIST_P256"}
    pairs = [kept_client.generate_data_key_pair(**asked) for _ in range(5)]
    for member in ("PrivateKeyPlaintext", "PrivateKeyCiphertextBlob", "PublicKey"):
        assert len({pair[member] for pair in pairs}) == 5


@pytest.mark.parametrize(
    "method", ["generate_data_key_pair", "generate_data_key_pair_without_plaintext"]
)
def test_pairs_that_cannot_be_made_are_refused(kept_client, symmetric, refused, method):
    use = getattr(kept_client, method)
    text = refused(
        "UnsupportedOperationException", use, KeyId=symmetric["KeyId"], KeyPairSpec="SM2"
    )
    assert text == "KeySpec SM2 is not supported in this Region"
    refused("ValidationException", use, KeyId=symmetric["KeyId"], KeyPairSpec="ML_DSA_44")
    refused(
        "DryRunOperationException",
        use,
        KeyId=symmetric["KeyId"],
        KeyPairSpec="RSA_4096",
        DryRun=True,
    )


def test_a_disabled_key_makes_no_pairs(client, key, refused):
    client.disable_key(KeyId=key["KeyId"])
    text = refused(
        "DisabledException",
        client.generate_data_key_pair,
        KeyId=key["KeyId"],
        KeyPairSpec="ECC_NIST_P256",
    )
    assert text == f"{key['Arn']} is disabled."
