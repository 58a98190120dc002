"""Keys without key material and keys of imported material, as the store may hold them.

No operation makes them yet: the rows are written here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clavero.keystores.native import Binding, material_id, token_domain_key
from clavero.store import keys, versions
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow

REGION, ACCOUNT = "us-east-1", "000000000000"
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
BINDING = Binding(REGION, ACCOUNT, KEY_ID, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "EXTERNAL")


def row(deployment, **changes: Any) -> KeyRow:
    made = KeyRow(
        region=REGION,
        account=ACCOUNT,
        key_id=KEY_ID,
        description="",
        usage="ENCRYPT_DECRYPT",
        spec="SYMMETRIC_DEFAULT",
        origin="EXTERNAL",
        manager="CUSTOMER",
        enabled=False,
        created=deployment.clock.now(),
        deletion_date=None,
        pending_window=None,
        multi_region=False,
        policy="{}",
        current_version=None,
    )
    return replace(made, **changes)


def material(deployment, number: int, state: str) -> VersionRow:
    hbkid, token, *_ = deployment.kms._hsm.generate_key(BINDING)
    return VersionRow(
        region=REGION,
        hbkid=hbkid,
        account=ACCOUNT,
        key_id=KEY_ID,
        token=token,
        domain_key_id=token_domain_key(token),
        material_id=material_id(hbkid),
        created=deployment.clock.now(),
        number=number,
        state=state,
        import_state="IMPORTED",
        expiration_model="KEY_MATERIAL_EXPIRES",
        valid_to=deployment.clock.now() + 1000,
        description=f"material {number}",
    )


@pytest.fixture
def pending(deployment, client) -> str:
    """A key that waits for its material, the ARN."""
    client.create_key()  # makes the domain
    with deployment.kms._store.write() as tx:
        keys.insert_key(tx, row(deployment), None)
    return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY_ID}"


def test_a_key_without_material_is_described_and_managed(client, pending):
    metadata = client.describe_key(KeyId=KEY_ID)["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Enabled"]) == ("PendingImport", False)
    assert "CurrentKeyMaterialId" not in metadata
    client.create_alias(AliasName="alias/pending", TargetKeyId=KEY_ID)
    assert client.describe_key(KeyId="alias/pending")["KeyMetadata"] == metadata
    client.tag_resource(KeyId=KEY_ID, Tags=[{"TagKey": "a", "TagValue": "1"}])
    client.untag_resource(KeyId=KEY_ID, TagKeys=["a"])
    client.update_key_description(KeyId=KEY_ID, Description="soon")
    assert client.list_grants(KeyId=KEY_ID)["Grants"] == []
    answer = client.list_key_rotations(KeyId=KEY_ID, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    assert answer["Rotations"] == []
    assert client.get_key_last_usage(KeyId=KEY_ID)["KeyLastUsage"] == {}


def test_a_key_without_material_is_of_no_use(client, pending, refused):
    text = f"{pending} is pending import."
    for method, params in (
        (client.encrypt, {"Plaintext": b"x"}),
        (client.generate_data_key, {"KeySpec": "AES_256"}),
        (client.enable_key, {}),
        (client.disable_key, {}),
        (client.rotate_key_on_demand, {}),
        (client.create_grant, {"GranteePrincipal": ACCOUNT, "Operations": ["Decrypt"]}),
    ):
        assert refused("KMSInvalidStateException", method, KeyId=KEY_ID, **params) == text


def test_a_key_of_imported_material_does_not_rotate_by_itself(client, pending, refused):
    text = f"{pending} origin is EXTERNAL which is not valid for this operation."
    for method in (client.enable_key_rotation, client.disable_key_rotation):
        assert refused("UnsupportedOperationException", method, KeyId=KEY_ID) == text
    assert client.get_key_rotation_status(KeyId=KEY_ID)["KeyRotationEnabled"] is False


def test_a_key_without_material_is_deleted_and_kept(deployment, client, pending, refused):
    client.schedule_key_deletion(KeyId=KEY_ID, PendingWindowInDays=7)
    client.cancel_key_deletion(KeyId=KEY_ID)
    assert client.describe_key(KeyId=KEY_ID)["KeyMetadata"]["KeyState"] == "PendingImport"
    client.schedule_key_deletion(KeyId=KEY_ID, PendingWindowInDays=7)
    deployment.clock.advance(7 * 86_400)
    refused("NotFoundException", client.describe_key, KeyId=KEY_ID)


def test_nothing_gets_past_the_state_to_material_that_is_not_there(deployment, client, pending):
    """Should an operation forget the state, it is refused, and nothing else happens."""
    from clavero.model.errors import KMSError

    client.describe_key(KeyId=KEY_ID)
    key = deployment.kms._directory.resolve(
        deployment.kms._directory.scope(REGION, ACCOUNT), KEY_ID
    )
    assert key.versions == []
    with pytest.raises(KMSError, match="is pending import"):
        deployment.kms._maintenance._keystore.generate_data_key(key.current, 32, None)


def test_imported_material_that_is_pending_becomes_current_on_demand(deployment, client, refused):
    client.create_key()
    first = material(deployment, 1, "CURRENT")
    second = material(deployment, 2, "PENDING_ROTATION")
    with deployment.kms._store.write() as tx:
        keys.insert_key(tx, row(deployment, current_version=first.hbkid, enabled=True), first)
    old = client.encrypt(KeyId=KEY_ID, Plaintext=b"old")["CiphertextBlob"]
    text = refused("KMSInvalidStateException", client.rotate_key_on_demand, KeyId=KEY_ID)
    assert text == (
        "No available key material pending rotation for the key: "
        f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{KEY_ID}."
    )
    with deployment.kms._store.write() as tx:
        versions.insert_version(tx, second)
    client.rotate_key_on_demand(KeyId=KEY_ID)
    metadata = client.describe_key(KeyId=KEY_ID)["KeyMetadata"]
    assert metadata["CurrentKeyMaterialId"] == second.material_id
    entries = client.list_key_rotations(KeyId=KEY_ID, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    before, after = entries["Rotations"]
    assert (before["KeyMaterialId"], before["KeyMaterialState"]) == (
        first.material_id,
        "NON_CURRENT",
    )
    assert "RotationDate" not in before
    assert after["ValidTo"].timestamp() == second.valid_to
    assert {name: after[name] for name in after if name not in {"KeyId", "ValidTo"}} == {
        "KeyMaterialId": second.material_id,
        "KeyMaterialState": "CURRENT",
        "RotationDate": metadata["CreationDate"],
        "RotationType": "ON_DEMAND",
        "ImportState": "IMPORTED",
        "ExpirationModel": "KEY_MATERIAL_EXPIRES",
        "KeyMaterialDescription": "material 2",
    }
    opened = client.decrypt(CiphertextBlob=old)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"old", first.material_id)
    new = client.encrypt(KeyId=KEY_ID, Plaintext=b"new")["CiphertextBlob"]
    assert client.decrypt(CiphertextBlob=new)["KeyMaterialId"] == second.material_id
