"""Keys of every spec: made, described, their public keys given, refused where no key is so."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from clavero.model import specs

PAIRS = [kind for kind in specs.all_kinds() if specs.has_public_key(kind[0])]
CURVES = {
    "ECC_NIST_P256": "secp256r1",
    "ECC_NIST_P384": "secp384r1",
    "ECC_NIST_P521": "secp521r1",
    "ECC_SECG_P256K1": "secp256k1",
}
# Bytes of the raw public key: FIPS 204, table 2; FIPS 203, table 3
RAW_BYTES = {
    "ML_DSA_44": 1312,
    "ML_DSA_65": 1952,
    "ML_DSA_87": 2592,
    "ML_KEM_512": 800,
    "ML_KEM_768": 1184,
    "ML_KEM_1024": 1568,
}


@pytest.mark.parametrize(("spec", "usage"), specs.all_kinds())
def test_a_key_of_each_kind_is_described_as_aws_does(kept, kept_client, spec, usage):
    key = kept.key(spec, usage)
    described = kept_client.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert described == key
    expected = {
        "AWSAccountId": "000000000000",
        "Arn": f"arn:aws:kms:us-east-1:000000000000:key/{key['KeyId']}",
        "CreationDate": key["CreationDate"],
        "CustomerMasterKeySpec": spec,
        "Description": "",
        "Enabled": True,
        "KeyId": key["KeyId"],
        "KeyManager": "CUSTOMER",
        "KeySpec": spec,
        "KeyState": "Enabled",
        "KeyUsage": usage,
        "MultiRegion": False,
        "Origin": "AWS_KMS",
        **specs.algorithm_members(spec, usage),
    }
    if spec == "SYMMETRIC_DEFAULT":  # AWS shows the material of no other kind
        expected["CurrentKeyMaterialId"] = key["CurrentKeyMaterialId"]
    assert described == expected


@pytest.mark.parametrize(("spec", "usage"), PAIRS)
def test_the_public_key_is_spki_of_the_spec(kept, kept_client, openssl, spec, usage):
    key = kept.key(spec, usage)
    answer = kept_client.get_public_key(KeyId=key["Arn"])
    der = answer.pop("PublicKey")
    del answer["ResponseMetadata"]
    assert answer == {
        "KeyId": key["Arn"],
        "CustomerMasterKeySpec": spec,
        "KeySpec": spec,
        "KeyUsage": usage,
        **specs.algorithm_members(spec, usage),
    }
    assert kept_client.get_public_key(KeyId=key["KeyId"])["PublicKey"] == der
    if spec in RAW_BYTES:
        # The algorithm identifier has no parameters: 22 bytes before the raw key, RFC 9881, 9935
        assert len(der) == RAW_BYTES[spec] + 22
        if spec != "ML_KEM_512":  # pyca does not know it
            loaded: Any = load_der_public_key(der)
            assert len(loaded.public_bytes_raw()) == RAW_BYTES[spec]
        return
    public: Any = load_der_public_key(der)
    assert (
        openssl("pkey", "-pubin", "-inform", "DER", "-outform", "DER", "-in", "spki", spki=der)
        == der
    )
    if spec.startswith("RSA"):
        assert isinstance(public, rsa.RSAPublicKey)
        assert public.key_size == int(spec[4:])
        assert public.public_numbers().e == 65537
    elif spec in CURVES:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        assert public.curve.name == CURVES[spec]
    else:
        assert isinstance(public, ed25519.Ed25519PublicKey)


@pytest.mark.parametrize("spec", ["SYMMETRIC_DEFAULT", "HMAC_256"])
def test_a_secret_key_has_no_public_key(kept, kept_client, refused, spec):
    usage = "ENCRYPT_DECRYPT" if spec == "SYMMETRIC_DEFAULT" else "GENERATE_VERIFY_MAC"
    key = kept.key(spec, usage)
    text = refused("UnsupportedOperationException", kept_client.get_public_key, KeyId=key["KeyId"])
    assert text == ""


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        (
            {"KeySpec": "RSA_2048"},
            "ValidationException",
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption "
            "keys.",
        ),
        (
            {"CustomerMasterKeySpec": "ECC_NIST_P256"},
            "ValidationException",
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption "
            "keys.",
        ),
        (
            {"KeySpec": "RSA_2048", "KeyUsage": "KEY_AGREEMENT"},
            "ValidationException",
            "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048",
        ),
        (
            {"KeySpec": "ECC_SECG_P256K1", "KeyUsage": "KEY_AGREEMENT"},
            "ValidationException",
            "KeyUsage KEY_AGREEMENT is not compatible with KeySpec ECC_SECG_P256K1",
        ),
        (
            {"KeySpec": "HMAC_256", "KeyUsage": "ENCRYPT_DECRYPT"},
            "ValidationException",
            "KeyUsage ENCRYPT_DECRYPT is not compatible with KeySpec HMAC_256",
        ),
        (
            {"KeySpec": "ML_KEM_768", "KeyUsage": "SIGN_VERIFY"},
            "ValidationException",
            "KeyUsage SIGN_VERIFY is not compatible with KeySpec ML_KEM_768",
        ),
        (
            {"KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY"},
            "UnsupportedOperationException",
            "KeySpec SM2 is not supported in this Region",
        ),
    ],
    ids=str,
)
def test_kinds_that_no_key_has_are_refused_and_not_made(client, refused, params, code, text):
    assert refused(code, client.create_key, **params) == text
    assert client.list_keys()["Keys"] == []


def test_an_alias_does_not_pass_from_one_kind_of_key_to_another(client, refused):
    def made(spec, usage):
        return client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]

    signing = made("ECC_NIST_P256", "SIGN_VERIFY")
    client.create_alias(AliasName="alias/a", TargetKeyId=signing)
    for other in (made("ECC_NIST_P256", "KEY_AGREEMENT"), made("HMAC_256", "GENERATE_VERIFY_MAC")):
        refused("ValidationException", client.update_alias, AliasName="alias/a", TargetKeyId=other)
    client.update_alias(AliasName="alias/a", TargetKeyId=made("ECC_NIST_P256", "SIGN_VERIFY"))


@pytest.mark.parametrize(
    ("spec", "usage", "members"),
    [
        ("HMAC_384", "GENERATE_VERIFY_MAC", {"MacAlgorithm": "HMAC_SHA_384"}),
        ("ECC_NIST_P384", "SIGN_VERIFY", {"SigningAlgorithm": "ECDSA_SHA_384"}),
        ("ML_DSA_65", "SIGN_VERIFY", {"SigningAlgorithm": "ML_DSA_SHAKE_256"}),
        ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY", {"SigningAlgorithm": "ED25519_SHA_512"}),
        ("RSA_2048", "SIGN_VERIFY", {"SigningAlgorithm": "RSASSA_PSS_SHA_256"}),
    ],
)
def test_keys_of_each_kind_are_there_after_the_store_was_opened_again(
    durable, spec, usage, members
):
    client = durable.client()
    key = client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    asked = {"KeyId": key["KeyId"], "Message": b"m", **members}
    made = client.generate_mac(**asked)["Mac"] if "MacAlgorithm" in members else None
    signature = client.sign(**asked)["Signature"] if made is None else b""
    durable.kms.rotate_domain_keys()
    durable.reopen()
    client = durable.client()
    assert client.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key
    if made is not None:
        assert client.generate_mac(**asked)["Mac"] == made
        return
    client.verify(**asked, Signature=signature)
    client.verify(**asked, Signature=client.sign(**asked)["Signature"])


def test_a_key_survives_a_domain_key_that_goes_while_its_material_is_made(durable, monkeypatch):
    """RSA takes seconds, outside the transaction: the token must not stay under a dropped key."""
    keystore = durable.kms._service._context.keystore
    generate = keystore.generate
    made = []

    def slow(binding):
        made.append(generate(binding))
        if len(made) == 1:
            assert durable.kms.rotate_domain_keys() == 1
        return made[-1]

    monkeypatch.setattr(keystore, "generate", slow)
    key = durable.client().create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    assert len(made) == 2
    assert made[0].handle is None  # the first is not left in memory
    durable.reopen()
    durable.client().sign(
        KeyId=key["KeyMetadata"]["KeyId"], Message=b"m", SigningAlgorithm="ECDSA_SHA_256"
    )


MESSAGE = {"Message": b"m"}
ECDSA = {**MESSAGE, "SigningAlgorithm": "ECDSA_SHA_256"}
HMAC = {**MESSAGE, "MacAlgorithm": "HMAC_SHA_256"}
ML_KEM = {"EncapsulationAlgorithm": "ML_KEM"}
STATES = [
    ("sign", "ECC_NIST_P256", "SIGN_VERIFY", ECDSA),
    ("verify", "ECC_NIST_P256", "SIGN_VERIFY", {**ECDSA, "Signature": b"s"}),
    ("get_public_key", "ECC_NIST_P256", "SIGN_VERIFY", {}),
    ("generate_mac", "HMAC_256", "GENERATE_VERIFY_MAC", HMAC),
    ("verify_mac", "HMAC_256", "GENERATE_VERIFY_MAC", {**HMAC, "Mac": b"m"}),
    (
        "derive_shared_secret",
        "ECC_NIST_P256",
        "KEY_AGREEMENT",
        {"KeyAgreementAlgorithm": "ECDH", "PublicKey": b"x"},
    ),
    ("encapsulate", "ML_KEM_768", "ENCAPSULATE_DECAPSULATE", ML_KEM),
    (
        "decapsulate",
        "ML_KEM_768",
        "ENCAPSULATE_DECAPSULATE",
        {**ML_KEM, "SharedSecretCiphertextBlob": b"x"},
    ),
]


@pytest.mark.parametrize(
    ("operation", "spec", "usage", "params"), STATES, ids=lambda v: str(v)[:20]
)
def test_only_an_enabled_key_is_used(client, refused, operation, spec, usage, params):
    """AWS KMS Developer Guide, key state table; GetPublicKey works on a disabled key too."""
    key = client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
    method = getattr(client, operation)
    client.disable_key(KeyId=key["KeyId"])
    if operation == "get_public_key":
        method(KeyId=key["KeyId"])
    else:
        text = refused("DisabledException", method, KeyId=key["KeyId"], **params)
        assert text == f"{key['Arn']} is disabled."
    client.schedule_key_deletion(KeyId=key["KeyId"])
    text = refused("KMSInvalidStateException", method, KeyId=key["KeyId"], **params)
    assert text == f"{key['Arn']} is pending deletion."


def test_the_record_has_the_algorithms_and_no_messages(deployment, client):
    signing = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    kem = client.create_key(KeySpec="ML_KEM_768", KeyUsage="ENCAPSULATE_DECAPSULATE")["KeyMetadata"]
    client.sign(KeyId=signing["KeyId"], Message=b"attack at dawn", SigningAlgorithm="ECDSA_SHA_256")
    client.encapsulate(KeyId=kem["KeyId"], **ML_KEM)
    sign, encapsulate = deployment.records()[-2:]
    assert sign["requestParameters"] == {
        "keyId": signing["KeyId"],
        "signingAlgorithm": "ECDSA_SHA_256",
    }
    assert encapsulate["requestParameters"] == {
        "keyId": kem["KeyId"],
        "encapsulationAlgorithm": "ML_KEM",
    }
    assert "attack" not in deployment.audit_text()
    assert "YXR0YWNr" not in deployment.audit_text()  # in base64


def test_nobody_waits_for_an_rsa_key(kept):
    """Its generation holds no lock, and no transaction: others use, make and change keys."""
    client = kept.kms.client()
    other = kept.key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")["KeyId"]
    making = threading.Thread(
        target=client.create_key, kwargs={"KeySpec": "RSA_4096", "KeyUsage": "SIGN_VERIFY"}
    )
    # Keys of 4096 bits take 0.2 s at the very least: enough for two rounds in any case
    making.start()
    rounds = 0
    while making.is_alive():
        blob = client.encrypt(KeyId=other, Plaintext=b"x")["CiphertextBlob"]
        client.decrypt(CiphertextBlob=blob)
        client.update_key_description(
            KeyId=client.create_key()["KeyMetadata"]["KeyId"], Description="x"
        )
        rounds += 1
    making.join()
    assert rounds >= 2
