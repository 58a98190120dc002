"""A public key that was changed in the store is neither used nor given out."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from clavero import KMS, ManualClock

SIGN = {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}
KINDS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("ECC_NIST_P256", "SIGN_VERIFY", "verify", {**SIGN, "Signature": b"s"}),
    ("ECC_SECG_P256K1", "SIGN_VERIFY", "verify", {**SIGN, "Signature": b"s"}),
    (
        "ECC_NIST_EDWARDS25519",
        "SIGN_VERIFY",
        "verify",
        {"Message": b"m", "SigningAlgorithm": "ED25519_SHA_512", "Signature": b"s"},
    ),
    (
        "ML_DSA_44",
        "SIGN_VERIFY",
        "verify",
        {"Message": b"m", "SigningAlgorithm": "ML_DSA_SHAKE_256", "Signature": b"s"},
    ),
    (
        "RSA_2048",
        "ENCRYPT_DECRYPT",
        "encrypt",
        {"Plaintext": b"x", "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"},
    ),
    (
        "ML_KEM_768",
        "ENCAPSULATE_DECAPSULATE",
        "encapsulate",
        {"EncapsulationAlgorithm": "ML_KEM"},
    ),
    ("ECC_NIST_P256", "KEY_AGREEMENT", "get_public_key", {}),
    ("ECC_NIST_P384", "KEY_AGREEMENT", "get_public_key", {}),
    ("ECC_NIST_P521", "KEY_AGREEMENT", "get_public_key", {}),
]


@pytest.mark.parametrize(("spec", "usage", "operation", "params"), KINDS)
def test_a_changed_public_key_is_refused_and_the_true_one_works(
    tmp_path: Path, spec, usage, operation, params
):
    folder = tmp_path / "data"
    with KMS(folder, clock=ManualClock()) as kms:
        client = kms.client()
        key, other = (
            client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
            for _ in range(2)
        )
        true, false = (client.get_public_key(KeyId=each)["PublicKey"] for each in (key, other))
    (database,) = folder.glob("*.db*")
    for stored in (false, true[:-1], b"", None, true):
        with sqlite3.connect(database) as connection:
            connection.execute(
                "UPDATE key_versions SET public_key = ? WHERE key_id = ?", (stored, key)
            )
        connection.close()
        with KMS(folder, clock=ManualClock()) as kms:
            client = kms.client()
            if stored == true:
                assert client.get_public_key(KeyId=key)["PublicKey"] == true
                continue
            for _ in range(2):
                for method, more in ((operation, params), ("get_public_key", {})):
                    with pytest.raises(ClientError) as caught:
                        getattr(client, method)(KeyId=key, **more)
                    assert caught.value.response["Error"]["Code"] == "KMSInternalException"
                    assert "is not its private key's" in str(caught.value)
