"""Imported material of multi-Region keys: into the primary key, then the same into each replica.

Source: radkawar/stackd's recordings of AWS KMS, testdata/aws/kms/imports_multi_region.json and
imports_rotation_replica.json.
"""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

FIRST, SECOND, THIRD = (bytes([value]) * 32 for value in (1, 2, 3))
HOME, AWAY = "us-east-1", "eu-west-1"
NEW = {"ImportType": "NEW_KEY_MATERIAL"}
PENDING_REPLICAS = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"


class Imported:
    """A primary key with imported material and its replica, and an importer for each."""

    def __init__(self, related: Any, importing: Any) -> None:
        self.keys = related
        self.id = related.id
        self.home, self.away = (importing(related.clients[name]) for name in (HOME, AWAY))
        self.home.give(self.id, FIRST, KeyMaterialDescription="primary first")
        self.replica = related.replicate()["ReplicaKeyMetadata"]

    def states(self) -> list[str]:
        found: list[str] = self.keys.states(HOME, AWAY)
        return found


@pytest.fixture
def imported(related, importing) -> Imported:
    return Imported(related(Origin="EXTERNAL"), importing)


def test_a_primary_key_waits_for_its_material_before_it_is_replicated(related, importing, refused):
    made = related(Origin="EXTERNAL")
    assert made.id.startswith("mrk-")
    text = refused(
        "KMSInvalidStateException", made.home.replicate_key, KeyId=made.id, ReplicaRegion=AWAY
    )
    assert text == f"{made.arn(HOME)} is pending import."


def test_a_replica_waits_for_the_same_material(imported, refused):
    assert imported.replica["KeyState"] == "Creating"
    assert imported.replica["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE"
    assert "CurrentKeyMaterialId" not in imported.replica
    assert imported.states() == ["Enabled", "PendingImport"]
    home, away = (imported.keys.describe(name) for name in (HOME, AWAY))
    assert home["CurrentKeyMaterialId"] == away["CurrentKeyMaterialId"]
    assert "ExpirationModel" not in away
    expected = home["CurrentKeyMaterialId"]
    assert imported.away.materials(imported.id) == [
        {
            "KeyMaterialId": expected,
            "KeyMaterialDescription": "primary first",
            "ImportState": "PENDING_IMPORT",
            "KeyMaterialState": "CURRENT",
        }
    ]
    away_client = imported.away.client
    text = refused(
        "IncorrectKeyMaterialException",
        away_client.import_key_material,
        **imported.away.request(imported.id, SECOND),
    )
    assert text == f"Imported key material does not have the expected identifier ({expected})."
    for given, text in (
        (
            {"KeyMaterialDescription": "replica first"},
            "Key material description can only be specified on primary Multi-Region keys",
        ),
        (
            NEW,
            "Input parameter ImportType NEW_KEY_MATERIAL cannot be used on replica Multi-Region "
            "keys",
        ),
    ):
        request = imported.away.request(imported.id, FIRST, **given)
        assert refused("ValidationException", away_client.import_key_material, **request) == text
    assert imported.away.give(imported.id, FIRST)["KeyMaterialId"] == expected
    assert imported.states() == ["Enabled", "Enabled"]
    blob = imported.home.client.encrypt(KeyId=imported.id, Plaintext=b"data")["CiphertextBlob"]
    opened = away_client.decrypt(CiphertextBlob=blob)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"data", expected)


def test_a_token_is_of_one_of_the_related_keys(imported, refused):
    request = imported.home.request(imported.id, FIRST)
    client = imported.away.client
    refused("InvalidImportTokenException", client.import_key_material, **request)


def test_new_material_goes_to_every_key_before_the_rotation(imported, refused):
    home, away, key = imported.home, imported.away, imported.id
    away.give(key, FIRST)
    old = home.client.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    second = home.give(key, SECOND, KeyMaterialDescription="second", **NEW)["KeyMaterialId"]
    assert home.materials(key)[1] == {
        "KeyMaterialId": second,
        "KeyMaterialDescription": "second",
        "ImportState": "IMPORTED",
        "KeyMaterialState": PENDING_REPLICAS,
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }
    assert away.materials(key)[1] == {
        "KeyMaterialId": second,
        "KeyMaterialDescription": "second",
        "ImportState": "PENDING_IMPORT",
        "KeyMaterialState": PENDING_REPLICAS,
    }
    assert imported.states() == ["Enabled", "Enabled"]
    text = refused("KMSInvalidStateException", home.client.rotate_key_on_demand, KeyId=key)
    assert text == (
        "Cannot perform key material rotation: Key material has not been imported for replicas of "
        "the Multi-Region key."
    )
    assert away.give(key, SECOND)["KeyMaterialId"] == second
    for importer in (home, away):
        assert importer.materials(key)[1]["KeyMaterialState"] == "PENDING_ROTATION"
    home.client.rotate_key_on_demand(KeyId=key)
    for importer in (home, away):
        assert [each["KeyMaterialState"] for each in importer.materials(key)] == [
            "NON_CURRENT",
            "CURRENT",
        ]
        assert importer.materials(key)[1]["RotationType"] == "ON_DEMAND"
        assert importer.client.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"
    new = away.client.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
    assert home.client.decrypt(CiphertextBlob=new)["KeyMaterialId"] == second


def test_pending_material_is_deleted_with_the_primary_s_and_not_with_a_replica_s(imported):
    home, away, key = imported.home, imported.away, imported.id
    away.give(key, FIRST)
    second = home.give(key, SECOND, **NEW)["KeyMaterialId"]
    away.give(key, SECOND)
    away.client.delete_imported_key_material(KeyId=key, KeyMaterialId=second)
    assert home.materials(key)[1]["KeyMaterialState"] == PENDING_REPLICAS
    assert home.materials(key)[1]["ImportState"] == "IMPORTED"
    assert away.materials(key)[1]["ImportState"] == "PENDING_IMPORT"
    assert away.give(key, SECOND)["KeyMaterialId"] == second
    home.client.delete_imported_key_material(KeyId=key, KeyMaterialId=second)
    assert [len(each.materials(key)) for each in (home, away)] == [1, 1]
    assert imported.states() == ["Enabled", "Enabled"]
    third = home.give(key, THIRD, **NEW)["KeyMaterialId"]
    assert away.give(key, THIRD)["KeyMaterialId"] == third
    home.client.rotate_key_on_demand(KeyId=key)
    assert imported.keys.describe(AWAY)["CurrentKeyMaterialId"] == third


def test_each_key_misses_its_own_material_only(deployment, imported, refused):
    home, away, key = imported.home, imported.away, imported.id
    now = deployment.clock.now()
    away.give(key, FIRST)
    home.give(key, FIRST, ValidTo=now + 3600)
    assert imported.keys.describe(HOME)["ExpirationModel"] == "KEY_MATERIAL_EXPIRES"
    assert imported.keys.describe(AWAY)["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE"
    deployment.clock.advance(3600)
    assert imported.states() == ["PendingImport", "Enabled"]
    away.client.encrypt(KeyId=key, Plaintext=b"x")
    away.client.delete_imported_key_material(KeyId=key)
    assert imported.states() == ["PendingImport", "PendingImport"]
    home.give(key, FIRST)
    assert imported.states() == ["Enabled", "PendingImport"]


def test_a_replica_that_misses_material_rotates_and_goes_on_waiting(imported):
    home, away, key = imported.home, imported.away, imported.id
    second = home.give(key, SECOND, **NEW)["KeyMaterialId"]
    away.give(key, SECOND)  # and not the first
    assert imported.states() == ["Enabled", "PendingImport"]
    home.client.rotate_key_on_demand(KeyId=key)
    assert imported.states() == ["Enabled", "PendingImport"]
    assert imported.keys.describe(AWAY)["CurrentKeyMaterialId"] == second
    away.give(key, FIRST)
    assert imported.states() == ["Enabled", "Enabled"]
    blob = home.client.encrypt(KeyId=key, Plaintext=b"data")["CiphertextBlob"]
    assert away.client.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == second


def test_material_is_known_after_the_primary_region_changed(imported, refused):
    home, away, key = imported.home, imported.away, imported.id
    away.give(key, FIRST)
    home.client.update_primary_region(KeyId=key, PrimaryRegion=AWAY)
    text = refused(
        "ValidationException",
        home.client.import_key_material,
        **home.request(key, SECOND, **NEW),
    )
    assert "cannot be used on replica" in text
    second = away.give(key, SECOND, **NEW)["KeyMaterialId"]
    assert home.give(key, SECOND)["KeyMaterialId"] == second
    away.client.rotate_key_on_demand(KeyId=key)
    for importer in (home, away):
        importer.client.delete_imported_key_material(KeyId=key)
        assert importer.give(key, SECOND)["KeyMaterialId"] == second
    assert imported.states() == ["Enabled", "Enabled"]


@pytest.mark.parametrize("spec", ["HMAC_256", "ECC_NIST_P256"])
def test_keys_of_other_kinds(related, importing, refused, spec):
    if spec == "HMAC_256":
        usage, wrapping = "GENERATE_VERIFY_MAC", "RSAES_OAEP_SHA_256"
        material, other = bytes(32), bytes(31) + b"\1"
    else:
        usage, wrapping = "SIGN_VERIFY", "RSA_AES_KEY_WRAP_SHA_256"
        material, other = (
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
            )
            for _ in range(2)
        )
    keys = related(Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage)
    home, away = (importing(keys.clients[name]) for name in (HOME, AWAY))
    home.give(keys.id, material, wrapping)
    keys.replicate()
    refused(
        "IncorrectKeyMaterialException",
        away.client.import_key_material,
        **away.request(keys.id, other, wrapping),
    )
    assert keys.states(HOME, AWAY) == ["Enabled", "PendingImport"]
    away.give(keys.id, material, wrapping)
    assert keys.states(HOME, AWAY) == ["Enabled", "Enabled"]
    if spec == "HMAC_256":
        asked = {"KeyId": keys.id, "Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}
        assert home.client.generate_mac(**asked)["Mac"] == away.client.generate_mac(**asked)["Mac"]
    else:
        signature = away.client.sign(KeyId=keys.id, Message=b"x", SigningAlgorithm="ECDSA_SHA_256")[
            "Signature"
        ]
        home.client.verify(
            KeyId=keys.id, Message=b"x", Signature=signature, SigningAlgorithm="ECDSA_SHA_256"
        )
        public = [each.client.get_public_key(KeyId=keys.id)["PublicKey"] for each in (home, away)]
        assert public[0] == public[1]
