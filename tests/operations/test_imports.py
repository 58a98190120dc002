"""The life of imported symmetric key material, held against what AWS KMS was seen to answer.

Source: radkawar/stackd's recordings of AWS KMS, testdata/aws/kms/imports*.json, case by case, and
the API reference of the three operations.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clavero.model import specs

FIRST, SECOND, THIRD = (bytes([value]) * 32 for value in (1, 2, 3))
UNKNOWN = "0" * 64
HOUR = 3600
DAY = 24 * HOUR


def metadata(client, key: str) -> dict[str, Any]:
    found: dict[str, Any] = client.describe_key(KeyId=key)["KeyMetadata"]
    return found


@pytest.fixture
def key(importer) -> str:
    """A key that waits for its material."""
    return str(importer.key())


@pytest.fixture
def arn_of_key(arn, key):
    return arn(f"key/{key}")


# --- before the first import ---------------------------------------------------------------------


def test_a_key_without_material_is_described_and_managed(deployment, client, importer, arn):
    made = client.create_key(
        Origin="EXTERNAL", Description="soon", Tags=[{"TagKey": "a", "TagValue": "1"}]
    )["KeyMetadata"]
    key = made["KeyId"]
    now = datetime.fromtimestamp(deployment.clock.now(), UTC)
    assert made == {
        "AWSAccountId": "000000000000",
        "KeyId": key,
        "Arn": arn(f"key/{key}"),
        "CreationDate": now,
        "Enabled": False,
        "Description": "soon",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "PendingImport",
        "Origin": "EXTERNAL",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }
    assert metadata(client, key) == made
    client.create_alias(AliasName="alias/pending", TargetKeyId=key)
    assert metadata(client, "alias/pending") == made
    client.tag_resource(KeyId=key, Tags=[{"TagKey": "b", "TagValue": "2"}])
    client.untag_resource(KeyId=key, TagKeys=["b"])
    assert client.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "a", "TagValue": "1"}]
    client.update_key_description(KeyId=key, Description="later")
    assert client.list_grants(KeyId=key)["Grants"] == []
    assert importer.materials(key) == []
    assert client.list_key_rotations(KeyId=key)["Rotations"] == []
    assert client.get_key_last_usage(KeyId=key)["KeyLastUsage"] == {}
    assert client.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False


def test_a_key_without_material_is_of_no_use(client, key, arn_of_key, refused):
    text = f"{arn_of_key} is pending import."
    for method, params in (
        (client.encrypt, {"Plaintext": b"x"}),
        (client.generate_data_key, {"KeySpec": "AES_256"}),
        (client.generate_data_keys, {"KeySpec": "AES_256", "NumberOfKeys": 2}),
        (client.enable_key, {}),
        (client.disable_key, {}),
        (client.rotate_key_on_demand, {}),
        (client.create_grant, {"GranteePrincipal": "000000000000", "Operations": ["Decrypt"]}),
    ):
        assert refused("KMSInvalidStateException", method, KeyId=key, **params) == text


def test_nothing_gets_past_the_state_to_material_that_is_not_there(deployment, client, key):
    """Should an operation forget the state, it is refused, and nothing else happens."""
    from clavero.model.errors import KMSError

    client.describe_key(KeyId=key)
    directory = deployment.kms._directory
    found = directory.resolve(directory.scope("us-east-1", "000000000000"), key)
    assert found.versions == []
    with pytest.raises(KMSError, match="is pending import"):
        deployment.kms._maintenance._keystore.generate_data_key(found.current, 32, None)


def test_deleting_material_that_never_was_has_no_effect(client, importer, key, arn_of_key):
    answer = client.delete_imported_key_material(KeyId=key)
    del answer["ResponseMetadata"]
    assert answer == {"KeyId": arn_of_key}
    assert importer.state(key) == "PendingImport"


def test_a_key_without_material_is_deleted_and_kept(deployment, client, importer, key, refused):
    client.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    client.cancel_key_deletion(KeyId=key)
    assert importer.state(key) == "PendingImport"
    client.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    deployment.clock.advance(7 * DAY)
    refused("NotFoundException", client.describe_key, KeyId=key)


def test_the_first_material_is_new_and_no_other(client, importer, key, arn_of_key, refused):
    text = refused(
        "IncorrectKeyMaterialException",
        client.import_key_material,
        **importer.request(key, FIRST, ImportType="EXISTING_KEY_MATERIAL"),
    )
    assert text == (
        f"No key material has ever been imported into KMS key {arn_of_key}: import it as "
        "NEW_KEY_MATERIAL."
    )
    importer.give(key, FIRST, ImportType="NEW_KEY_MATERIAL")
    assert importer.state(key) == "Enabled"


# --- parameters ----------------------------------------------------------------------------------


def test_the_parameters_for_an_import(deployment, client, key, arn_of_key):
    one, other = (
        client.get_parameters_for_import(
            KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
        )
        for _ in range(2)
    )
    assert set(one) == {
        "KeyId",
        "ImportToken",
        "PublicKey",
        "ParametersValidTo",
        "ResponseMetadata",
    }
    assert one["KeyId"] == arn_of_key
    assert one["ParametersValidTo"].timestamp() == deployment.clock.now() + DAY
    assert one["PublicKey"] != other["PublicKey"]
    assert one["ImportToken"] != other["ImportToken"]


def test_keys_of_other_origins_have_no_imports(client, refused):
    made = client.create_key()["KeyMetadata"]
    text = f"{made['Arn']} origin is AWS_KMS which is not valid for this operation."
    for method, params in (
        (
            client.get_parameters_for_import,
            {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
        ),
        (client.import_key_material, {"ImportToken": b"t", "EncryptedKeyMaterial": b"m"}),
        (client.delete_imported_key_material, {}),
    ):
        code = "UnsupportedOperationException"
        assert refused(code, method, KeyId=made["KeyId"], **params) == text


@pytest.mark.parametrize("spec", [*specs.ML_DSA_SPECS, *specs.ML_KEM_SPECS])
def test_post_quantum_keys_are_not_imported(client, refused, spec):
    (usage,) = (usage for each, usage in specs.all_kinds() if each == spec)
    text = refused(
        "ValidationException", client.create_key, Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage
    )
    assert text == f"KeySpec {spec} is not supported for Origin EXTERNAL"


def test_what_the_request_says_of_the_expiry_is_checked(deployment, client, importer, key, refused):
    now = datetime.fromtimestamp(deployment.clock.now(), UTC)
    expires, lasts = "KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE"
    request = importer.request(key, FIRST)
    del request["ExpirationModel"]
    required = "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"
    far = "ValidTo must be less than 365 days in the future"
    for given, text in (
        ({}, required),
        ({"ExpirationModel": expires}, required),
        (
            {"ExpirationModel": lasts, "ValidTo": now + timedelta(hours=1)},
            "A validTo date cannot be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE",
        ),
        ({"ValidTo": now}, "ValidTo must be in the future"),
        ({"ValidTo": now + timedelta(milliseconds=999)}, "ValidTo must be in the future"),
        ({"ValidTo": now - timedelta(days=10)}, "ValidTo must be in the future"),
        ({"ValidTo": now + timedelta(days=365, seconds=1)}, far),
        ({"ValidTo": datetime(9999, 12, 31, tzinfo=UTC)}, far),
    ):
        assert refused("ValidationException", client.import_key_material, **request, **given) == (
            text
        )
    assert importer.materials(key) == []
    importer.give(key, FIRST, ValidTo=now + timedelta(days=365))
    found = metadata(client, key)
    assert (found["ExpirationModel"], found["ValidTo"]) == (expires, now + timedelta(days=365))


def test_descriptions_ids_and_types_that_contradict_themselves(client, importer, key, refused):
    importer.give(key, FIRST)
    text = refused(
        "ValidationException",
        client.import_key_material,
        **importer.request(key, SECOND, ImportType="NEW_KEY_MATERIAL", KeyMaterialId=UNKNOWN),
    )
    assert text == "Input parameter keyMaterialId cannot be used with NEW_KEY_MATERIAL importType."


# --- importing -----------------------------------------------------------------------------------


def test_an_import_enables_the_key(client, importer, key, arn_of_key):
    before = metadata(client, key)
    answer = importer.give(key, FIRST, KeyMaterialDescription="first material")
    assert set(answer) == {"KeyId", "KeyMaterialId"}
    assert answer["KeyId"] == arn_of_key
    assert metadata(client, key) == {
        **before,
        "Enabled": True,
        "KeyState": "Enabled",
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
        "CurrentKeyMaterialId": answer["KeyMaterialId"],
    }
    assert importer.materials(key) == [
        {
            "KeyMaterialId": answer["KeyMaterialId"],
            "KeyMaterialDescription": "first material",
            "ImportState": "IMPORTED",
            "KeyMaterialState": "CURRENT",
            "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
        }
    ]
    assert client.list_key_rotations(KeyId=key)["Rotations"] == []
    blob = client.encrypt(KeyId=key, Plaintext=b"data")["CiphertextBlob"]
    opened = client.decrypt(CiphertextBlob=blob)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"data", answer["KeyMaterialId"])
    batch = client.generate_data_keys(KeyId=key, KeySpec="AES_256", NumberOfKeys=3)
    assert len(client.decrypt_many(batch.ciphertext)) == 3


def test_the_same_material_is_imported_again_and_keeps_its_id_and_description(
    client, importer, key
):
    first = importer.give(key, FIRST, KeyMaterialDescription="first material")
    assert importer.give(key, FIRST) == first  # by the same token
    assert importer.give(key, FIRST, "RSAES_OAEP_SHA_1") == first
    assert importer.give(key, FIRST, ImportType="EXISTING_KEY_MATERIAL") == first
    assert importer.give(key, FIRST, KeyMaterialId=first["KeyMaterialId"]) == first
    (only,) = importer.materials(key)
    assert only["KeyMaterialDescription"] == "first material"
    importer.give(key, FIRST, KeyMaterialDescription="another")
    (only,) = importer.materials(key)
    assert only["KeyMaterialDescription"] == "another"


def test_other_material_is_not_the_same(client, importer, key, arn_of_key, refused):
    first = importer.give(key, FIRST)["KeyMaterialId"]
    code = "IncorrectKeyMaterialException"
    expected = "Imported key material does not have the expected identifier ({})."
    for material, given, text in (
        (SECOND, {}, expected.format(first)),
        (SECOND, {"ImportType": "EXISTING_KEY_MATERIAL"}, expected.format(first)),
        (SECOND, {"KeyMaterialId": first}, expected.format(first)),
        (FIRST, {"KeyMaterialId": UNKNOWN}, expected.format(UNKNOWN)),
        (
            FIRST,
            {"ImportType": "NEW_KEY_MATERIAL"},
            f"Key material (id: {first}) being imported as NEW_KEY_MATERIAL is already associated "
            f"with KMS key {arn_of_key}.",
        ),
    ):
        request = importer.request(key, material, **given)
        assert refused(code, client.import_key_material, **request) == text
    client.delete_imported_key_material(KeyId=key)
    text = refused(code, client.import_key_material, **importer.request(key, SECOND))
    assert text == expected.format(first)
    assert importer.state(key) == "PendingImport"


def test_the_same_material_in_two_keys_has_two_ids(importer, key):
    other = importer.key()
    one, two = (importer.give(each, FIRST)["KeyMaterialId"] for each in (key, other))
    assert one != two


def test_imported_keys_do_not_rotate_by_themselves(client, importer, key, arn_of_key, refused):
    text = f"{arn_of_key} origin is EXTERNAL which is not valid for this operation."
    for _ in range(2):
        for method in (client.enable_key_rotation, client.disable_key_rotation):
            assert refused("UnsupportedOperationException", method, KeyId=key) == text
        assert client.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
        importer.give(key, FIRST)


# --- several materials ---------------------------------------------------------------------------


def test_new_material_waits_for_a_rotation(deployment, client, importer, key, arn_of_key, refused):
    first = importer.give(key, FIRST)["KeyMaterialId"]
    none = f"No available key material pending rotation for the key: {arn_of_key}."
    code = "KMSInvalidStateException"
    assert refused(code, client.rotate_key_on_demand, KeyId=key) == none
    old = client.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    new = {"ImportType": "NEW_KEY_MATERIAL"}
    second = importer.give(key, SECOND, KeyMaterialDescription="pending second", **new)
    second = second["KeyMaterialId"]
    assert importer.materials(key)[1] == {
        "KeyMaterialId": second,
        "KeyMaterialDescription": "pending second",
        "ImportState": "IMPORTED",
        "KeyMaterialState": "PENDING_ROTATION",
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }
    assert metadata(client, key)["CurrentKeyMaterialId"] == first
    blob = client.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert client.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == first
    text = refused(code, client.import_key_material, **importer.request(key, THIRD, **new))
    third = text.split("(id: ")[1][:64]
    assert text == (
        f"New key material (id: {third}) cannot be imported into KMS key {arn_of_key}, because "
        f"another key material (id: {second}) is pending rotation."
    )
    deployment.clock.advance(60)
    assert client.rotate_key_on_demand(KeyId=key)["KeyId"] == arn_of_key
    (rotation,) = client.list_key_rotations(KeyId=key)["Rotations"]
    assert rotation == {
        "KeyId": arn_of_key,
        "KeyMaterialId": second,
        "KeyMaterialDescription": "pending second",
        "ImportState": "IMPORTED",
        "KeyMaterialState": "CURRENT",
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
        "RotationDate": datetime.fromtimestamp(deployment.clock.now(), UTC),
        "RotationType": "ON_DEMAND",
    }
    assert importer.materials(key)[0]["KeyMaterialState"] == "NON_CURRENT"
    assert metadata(client, key)["CurrentKeyMaterialId"] == second
    assert refused(code, client.rotate_key_on_demand, KeyId=key) == none
    opened = client.decrypt(CiphertextBlob=old)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"old", first)
    blob = client.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
    assert client.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == second
    moved = client.re_encrypt(CiphertextBlob=old, DestinationKeyId=key)
    assert (moved["SourceKeyMaterialId"], moved["DestinationKeyMaterialId"]) == (first, second)
    # The third has the id that the refusal named
    assert importer.give(key, THIRD, **new)["KeyMaterialId"] == third


def test_material_that_waits_leaves_the_key_when_it_is_deleted(client, importer, key):
    importer.give(key, FIRST, KeyMaterialDescription="first material")
    before = (metadata(client, key), importer.materials(key))
    new = {"ImportType": "NEW_KEY_MATERIAL"}
    second = importer.give(key, SECOND, KeyMaterialDescription="second", **new)
    answer = client.delete_imported_key_material(KeyId=key, KeyMaterialId=second["KeyMaterialId"])
    del answer["ResponseMetadata"]
    assert answer == second
    assert (metadata(client, key), importer.materials(key)) == before
    # It comes back as new, without its description, and other material may as well
    assert importer.give(key, SECOND, **new) == second
    assert "KeyMaterialDescription" not in importer.materials(key)[1]
    client.delete_imported_key_material(KeyId=key, KeyMaterialId=second["KeyMaterialId"])
    third = importer.give(key, THIRD, **new)
    client.rotate_key_on_demand(KeyId=key)
    assert metadata(client, key)["CurrentKeyMaterialId"] == third["KeyMaterialId"]


@pytest.fixture
def rotated(client, importer, key) -> tuple[str, str, list[bytes]]:
    """Two materials of `key`, the second current, and a ciphertext of each."""
    ids, blobs = [], []
    for material in (FIRST, SECOND):
        ids.append(importer.give(key, material, ImportType="NEW_KEY_MATERIAL")["KeyMaterialId"])
        if material != FIRST:
            client.rotate_key_on_demand(KeyId=key)
        blobs.append(client.encrypt(KeyId=key, Plaintext=b"data")["CiphertextBlob"])
    return ids[0], ids[1], blobs


@pytest.mark.parametrize("which", [0, 1])
def test_a_key_needs_all_its_materials(client, importer, key, arn_of_key, rotated, refused, which):
    first, second, blobs = rotated
    gone = (first, second)[which]
    before = (metadata(client, key), importer.materials(key))
    answer = client.delete_imported_key_material(KeyId=key, KeyMaterialId=gone)
    assert (answer["KeyId"], answer["KeyMaterialId"]) == (arn_of_key, gone)
    found = metadata(client, key)
    assert found["KeyState"] == "PendingImport"
    assert found["CurrentKeyMaterialId"] == second
    assert not {"ExpirationModel", "ValidTo"} & set(found)
    entry = importer.materials(key)[which]
    assert (entry["KeyMaterialId"], entry["ImportState"]) == (gone, "PENDING_IMPORT")
    assert "ExpirationModel" not in entry
    assert entry["KeyMaterialState"] == ("NON_CURRENT", "CURRENT")[which]
    text = f"{arn_of_key} is pending import."
    code = "KMSInvalidStateException"
    for blob in blobs:  # neither the one that is missing nor the other
        assert refused(code, client.decrypt, CiphertextBlob=blob) == text
    assert refused(code, client.encrypt, KeyId=key, Plaintext=b"x") == text
    assert refused(code, client.rotate_key_on_demand, KeyId=key) == text
    assert refused(code, client.enable_key, KeyId=key) == text
    importer.give(key, (FIRST, SECOND)[which])
    assert (metadata(client, key), importer.materials(key)) == before
    for blob in blobs:
        assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"


def test_a_key_that_misses_several_is_back_with_the_last(client, importer, key, rotated):
    first, second, blobs = rotated
    for each in (first, second):
        client.delete_imported_key_material(KeyId=key, KeyMaterialId=each)
    assert importer.give(key, SECOND)["KeyMaterialId"] == second
    assert importer.state(key) == "PendingImport"
    assert importer.give(key, FIRST)["KeyMaterialId"] == first  # without saying which it is
    assert importer.state(key) == "Enabled"
    opened = [client.decrypt(CiphertextBlob=blob)["KeyMaterialId"] for blob in blobs]
    assert opened == [first, second]


def test_deleting_without_an_id_is_of_the_current_material(client, importer, key, rotated, refused):
    second = rotated[1]
    for _ in range(2):
        answer = client.delete_imported_key_material(KeyId=key)
        assert answer["KeyMaterialId"] == second
    text = refused(
        "ValidationException",
        client.delete_imported_key_material,
        KeyId=key,
        KeyMaterialId=UNKNOWN,
    )
    arn = metadata(client, key)["Arn"]
    assert text == f"Key material (id: {UNKNOWN}) has never been imported into KMS key {arn}."
    assert [each["ImportState"] for each in importer.materials(key)] == [
        "IMPORTED",
        "PENDING_IMPORT",
    ]


def test_new_material_may_come_while_other_is_missing(client, importer, key):
    importer.give(key, FIRST)
    client.delete_imported_key_material(KeyId=key)
    importer.give(key, SECOND, ImportType="NEW_KEY_MATERIAL")
    assert importer.state(key) == "PendingImport"
    assert [each["KeyMaterialState"] for each in importer.materials(key)] == [
        "CURRENT",
        "PENDING_ROTATION",
    ]
    importer.give(key, FIRST)
    assert importer.state(key) == "Enabled"


# --- states --------------------------------------------------------------------------------------


def test_an_import_enables_a_disabled_key(client, importer, key):
    importer.give(key, FIRST)
    client.disable_key(KeyId=key)
    assert importer.state(key) == "Disabled"
    fresh = importer.client.get_parameters_for_import(
        KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
    )
    assert fresh["PublicKey"]
    importer.give(key, FIRST)
    assert importer.state(key) == "Enabled"


def test_a_disabled_key_waits_when_its_material_is_deleted(client, importer, key):
    importer.give(key, FIRST)
    client.disable_key(KeyId=key)
    client.delete_imported_key_material(KeyId=key)
    assert importer.state(key) == "PendingImport"
    importer.give(key, FIRST)
    assert importer.state(key) == "Enabled"


def test_a_key_that_waits_for_its_deletion(client, importer, key, arn_of_key, refused):
    importer.give(key, FIRST)
    request = importer.request(key, FIRST)
    client.schedule_key_deletion(KeyId=key)
    text = f"{arn_of_key} is pending deletion."
    code = "KMSInvalidStateException"
    assert refused(code, client.import_key_material, **request) == text
    wrapping = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    assert refused(code, client.get_parameters_for_import, KeyId=key, **wrapping) == text
    client.cancel_key_deletion(KeyId=key)
    assert importer.state(key) == "Disabled"
    client.schedule_key_deletion(KeyId=key)
    client.delete_imported_key_material(KeyId=key)
    assert importer.state(key) == "PendingDeletion"  # as it was
    client.cancel_key_deletion(KeyId=key)
    assert importer.state(key) == "PendingImport"
    client.import_key_material(**request)
    assert importer.state(key) == "Enabled"


def test_imports_take_no_alias(client, importer, key, refused):
    client.create_alias(AliasName="alias/imported", TargetKeyId=key)
    request = importer.request(key, FIRST) | {"KeyId": "alias/imported"}
    for method, params in (
        (client.import_key_material, request),
        (client.delete_imported_key_material, {"KeyId": "alias/imported"}),
    ):
        text = refused("InvalidArnException", method, **params)
        assert text == "Key Aliases are not supported for this operation."


def test_keys_of_other_accounts_are_not_imported_into(
    deployment, importing, key, importer, refused
):
    """Nor is it said whether they exist."""
    other = deployment.client(account="111122223333")
    arn = f"arn:aws:kms:us-east-1:000000000000:key/{key}"
    request = importer.request(key, FIRST) | {"KeyId": arn}
    refused("AccessDeniedException", other.import_key_material, **request)
    refused("AccessDeniedException", other.delete_imported_key_material, KeyId=arn)
