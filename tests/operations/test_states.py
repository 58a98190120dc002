"""Every operation in every key state, held against AWS's key state table, read independently.

Source: AWS KMS Developer Guide, "Key states of AWS KMS keys".
"""

from __future__ import annotations

from typing import Any

import pytest

from clavero.audit.members import SOURCES
from clavero.iam.decision import default_key_policy
from clavero.model.operations import OPERATIONS, method_name

OK = "ok"
DISABLED = "DisabledException"
INVALID = "KMSInvalidStateException"
UNSUPPORTED = "UnsupportedOperationException"

# operation: what it answers on an Enabled, a Disabled and a PendingDeletion key
TABLE: dict[str, tuple[str, str, str]] = {
    "cancel_key_deletion": (INVALID, INVALID, OK),
    "create_alias": (OK, OK, INVALID),
    "create_grant": (OK, DISABLED, INVALID),
    "decrypt": (OK, DISABLED, INVALID),
    "decrypt_many": (OK, DISABLED, INVALID),
    "delete_alias": (OK, OK, OK),
    "delete_imported_key_material": (UNSUPPORTED, UNSUPPORTED, UNSUPPORTED),
    "describe_key": (OK, OK, OK),
    "disable_key": (OK, OK, INVALID),
    "enable_key": (OK, OK, INVALID),
    "disable_key_rotation": (OK, DISABLED, INVALID),
    "enable_key_rotation": (OK, DISABLED, INVALID),
    "encrypt": (OK, DISABLED, INVALID),
    "encrypt_many": (OK, DISABLED, INVALID),
    "generate_data_key_pair": (OK, DISABLED, INVALID),
    "generate_data_key_pair_without_plaintext": (OK, DISABLED, INVALID),
    "generate_data_key": (OK, DISABLED, INVALID),
    "generate_data_key_without_plaintext": (OK, DISABLED, INVALID),
    "generate_data_keys": (OK, DISABLED, INVALID),
    "get_key_last_usage": (OK, OK, OK),
    "get_key_policy": (OK, OK, OK),
    "get_key_rotation_status": (OK, OK, OK),
    "get_parameters_for_import": (UNSUPPORTED, UNSUPPORTED, UNSUPPORTED),
    "import_key_material": (UNSUPPORTED, UNSUPPORTED, UNSUPPORTED),
    "list_aliases": (OK, OK, OK),
    "list_grants": (OK, OK, OK),
    "list_key_policies": (OK, OK, OK),
    "list_key_rotations": (OK, OK, OK),
    "list_resource_tags": (OK, OK, OK),
    "put_key_policy": (OK, OK, OK),
    "re_encrypt from it": (OK, DISABLED, INVALID),
    "re_encrypt to it": (OK, DISABLED, INVALID),
    "retire_grant": (OK, OK, OK),
    "revoke_grant": (OK, OK, OK),
    "rotate_key_on_demand": (OK, DISABLED, INVALID),
    "schedule_key_deletion": (OK, OK, INVALID),
    "tag_resource": (OK, OK, INVALID),
    "untag_resource": (OK, OK, INVALID),
    "update_alias from it": (OK, OK, OK),
    "update_alias to it": (OK, OK, INVALID),
    "update_key_description": (OK, OK, INVALID),
}
STATES = ("Enabled", "Disabled", "PendingDeletion")
# Of keys that do not encrypt: tests/operations/test_key_kinds.py
OF_OTHER_KINDS = {
    "decapsulate",
    "derive_shared_secret",
    "encapsulate",
    "generate_mac",
    "get_public_key",
    "sign",
    "verify",
    "verify_mac",
}
# Of multi-Region keys: below, and tests/operations/test_regions.py
OF_SEVERAL_REGIONS = {"replicate_key", "update_primary_region"}
NO_KEY = {"create_key", "generate_random", "list_keys", "list_retirable_grants"}


def params(operation: str, key: str, other: str, blobs: dict[str, bytes]) -> dict[str, Any]:
    """Parameters with which the operation succeeds on an enabled key."""
    given: dict[str, dict[str, Any]] = {
        "create_alias": {"AliasName": "alias/new", "TargetKeyId": key},
        "create_grant": {
            "KeyId": key,
            "GranteePrincipal": "000000000000",
            "Operations": ["Decrypt"],
        },
        "decrypt": {"CiphertextBlob": blobs[key]},
        "decrypt_many": {"CiphertextBlobs": [blobs[key], blobs[other]]},
        "delete_alias": {"AliasName": "alias/its"},
        "encrypt": {"KeyId": key, "Plaintext": b"x"},
        "encrypt_many": {"KeyId": key, "Plaintexts": [b"x"]},
        "generate_data_key": {"KeyId": key, "KeySpec": "AES_256"},
        "generate_data_key_without_plaintext": {"KeyId": key, "KeySpec": "AES_256"},
        "generate_data_key_pair": {"KeyId": key, "KeyPairSpec": "ECC_NIST_P256"},
        "generate_data_key_pair_without_plaintext": {"KeyId": key, "KeyPairSpec": "ECC_NIST_P256"},
        "generate_data_keys": {"KeyId": key, "KeySpec": "AES_256", "NumberOfKeys": 2},
        "get_parameters_for_import": {
            "KeyId": key,
            "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
            "WrappingKeySpec": "RSA_2048",
        },
        "import_key_material": {
            "KeyId": key,
            "ImportToken": b"token",
            "EncryptedKeyMaterial": b"material",
        },
        "put_key_policy": {"KeyId": key, "Policy": default_key_policy("000000000000")},
        "re_encrypt from it": {"CiphertextBlob": blobs[key], "DestinationKeyId": other},
        "re_encrypt to it": {"CiphertextBlob": blobs[other], "DestinationKeyId": key},
        "tag_resource": {"KeyId": key, "Tags": [{"TagKey": "a", "TagValue": "1"}]},
        "untag_resource": {"KeyId": key, "TagKeys": ["a"]},
        "update_alias from it": {"AliasName": "alias/its", "TargetKeyId": other},
        "update_alias to it": {"AliasName": "alias/other", "TargetKeyId": key},
        "update_key_description": {"KeyId": key, "Description": "x"},
    }
    return given.get(operation, {"KeyId": key})


@pytest.fixture
def prepared(client):
    """A key in a state, another that is enabled, an alias each, and a blob each."""

    def prepare(state: str) -> tuple[str, str, dict[str, bytes]]:
        key, other = (client.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
        client.create_alias(AliasName="alias/its", TargetKeyId=key)
        client.create_alias(AliasName="alias/other", TargetKeyId=other)
        blobs = {
            each: client.encrypt(KeyId=each, Plaintext=b"data")["CiphertextBlob"]
            for each in (key, other)
        }
        client.create_grant(KeyId=key, GranteePrincipal="000000000000", Operations=["Encrypt"])
        if state == "Disabled":
            client.disable_key(KeyId=key)
        if state == "PendingDeletion":
            client.schedule_key_deletion(KeyId=key)
        return key, other, blobs

    return prepare


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("operation", sorted(TABLE))
def test_the_table(client, prepared, refused, operation, state):
    key, other, blobs = prepared(state)
    before = client.describe_key(KeyId=key)["KeyMetadata"]
    assert before["KeyState"] == state
    method = getattr(client, operation.split()[0])
    given = params(operation, key, other, blobs)
    if operation in {"retire_grant", "revoke_grant"}:
        (grant,) = client.list_grants(KeyId=key)["Grants"]
        given = {"KeyId": before["Arn"], "GrantId": grant["GrantId"]}
    expected = TABLE[operation][STATES.index(state)]
    if expected == OK:
        method(**given)
        return
    text = refused(expected, method, **given)
    if operation == "cancel_key_deletion":
        assert text == f"{before['Arn']} is not pending deletion (or pending replica deletion)."
    elif expected == UNSUPPORTED:
        assert text == f"{before['Arn']} origin is AWS_KMS which is not valid for this operation."
    elif expected == DISABLED:
        assert text == f"{before['Arn']} is disabled."
    else:
        assert text == f"{before['Arn']} is pending deletion."
    assert client.describe_key(KeyId=key)["KeyMetadata"] == before
    names = [each["AliasName"] for each in client.used_aliases()]
    assert names == ["alias/its", "alias/other"]


# operation: what it answers on a key of Origin EXTERNAL in each of IMPORTED_STATES
OF_IMPORTED: dict[str, tuple[str, str, str, str]] = {
    **{
        name: (*answers[:2], INVALID, answers[2])
        for name, answers in TABLE.items()
        if DISABLED in answers or name in {"disable_key", "enable_key"}
    },
    "cancel_key_deletion": (INVALID, INVALID, INVALID, OK),
    "create_alias": (OK, OK, OK, INVALID),
    "delete_imported_key_material": (OK, OK, OK, OK),
    "disable_key_rotation": (UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED),
    "enable_key_rotation": (UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED),
    "get_key_rotation_status": (OK, OK, OK, OK),
    "get_parameters_for_import": (OK, OK, OK, INVALID),
    "import_key_material": (OK, OK, OK, INVALID),
    "list_key_rotations": (OK, OK, OK, OK),
    "schedule_key_deletion": (OK, OK, OK, INVALID),
    "tag_resource": (OK, OK, OK, INVALID),
    "update_key_description": (OK, OK, OK, INVALID),
}
IMPORTED_STATES = ("Enabled", "Disabled", "PendingImport", "PendingDeletion")


def test_the_table_of_imported_keys(deployment, client, importing, refused):
    """One key that is put back into its state after each operation, since RSA keys are slow."""
    importer = importing(client)
    key, other = importer.key(), client.create_key()["KeyMetadata"]["KeyId"]
    arn = client.describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    request = importer.request(key, bytes(32))
    client.import_key_material(**request)
    blobs = {
        each: client.encrypt(KeyId=each, Plaintext=b"data")["CiphertextBlob"]
        for each in (key, other)
    }
    new = {"ImportType": "NEW_KEY_MATERIAL"}

    def put_into(state: str, operation: str) -> None:
        if importer.state(key) == "PendingDeletion":
            client.cancel_key_deletion(KeyId=key)
        for each in importer.materials(key):
            if each["KeyMaterialState"] == "PENDING_ROTATION":
                client.delete_imported_key_material(KeyId=key, KeyMaterialId=each["KeyMaterialId"])
            elif each["ImportState"] == "PENDING_IMPORT":
                material = bytes([len(importer.materials(key)) - 1]) * 32
                client.import_key_material(**importer.request(key, material))
        if importer.state(key) == "Disabled":
            client.enable_key(KeyId=key)
        if operation == "rotate_key_on_demand" and state == "Enabled":
            material = bytes([len(importer.materials(key))]) * 32
            client.import_key_material(**importer.request(key, material, **new))
        if state == "Disabled":
            client.disable_key(KeyId=key)
        elif state == "PendingImport":
            client.delete_imported_key_material(KeyId=key)
        elif state == "PendingDeletion":
            client.schedule_key_deletion(KeyId=key)
        assert importer.state(key) == state

    for operation, answers in sorted(OF_IMPORTED.items()):
        for state, expected in zip(IMPORTED_STATES, answers, strict=True):
            put_into(state, operation)
            method = getattr(client, operation.split()[0])
            given = params(operation, key, other, blobs)
            if operation == "import_key_material":
                given = importer.request(key, bytes([len(importer.materials(key)) - 1]) * 32)
            elif operation == "create_alias":
                given["AliasName"] = f"alias/{state}"
            where = f"{operation} on a key that is {state}"
            if expected == OK:
                method(**given)
                continue
            text = refused(expected, method, **given)
            if operation == "cancel_key_deletion":
                continue
            words = {
                "PendingImport": "is pending import.",
                "PendingDeletion": "is pending deletion.",
            }
            if expected == UNSUPPORTED:
                said = "origin is EXTERNAL which is not valid for this operation."
            else:
                said = "is disabled." if expected == DISABLED else words[state]
            assert text == f"{arn} {said}", where


def test_the_table_has_every_operation_that_is_built(deployment):
    built = set(deployment.kms._service._handlers) - set(SOURCES)  # of STS and IAM: no keys
    methods = {
        OPERATIONS[name].method if name in OPERATIONS else method_name(name) for name in built
    }
    assert (
        methods
        == {each.split()[0] for each in TABLE} | NO_KEY | OF_OTHER_KINDS | OF_SEVERAL_REGIONS
    )


def test_states_survive_reopening(durable, refused):
    client = durable.client()
    disabled, pending = (client.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    client.disable_key(KeyId=disabled)
    client.schedule_key_deletion(KeyId=pending)
    before = [client.describe_key(KeyId=each)["KeyMetadata"] for each in (disabled, pending)]
    durable.reopen()
    client = durable.client()
    after = [client.describe_key(KeyId=each)["KeyMetadata"] for each in (disabled, pending)]
    assert after == before
    refused("DisabledException", client.encrypt, KeyId=disabled, Plaintext=b"x")
    refused("KMSInvalidStateException", client.encrypt, KeyId=pending, Plaintext=b"x")


# --- states of multi-Region keys, and of keys in custom key stores -------------------------------

# operation: what it answers on a primary key that is PendingReplicaDeletion, and on one that is
# Creating, Updating or Unavailable: states that no key here stays in between two calls.
PASSING: dict[str, tuple[str, str, str, str]] = {
    "cancel_key_deletion": (OK, INVALID, INVALID, INVALID),
    "create_alias": (INVALID, OK, OK, OK),
    "create_grant": (INVALID, OK, OK, OK),
    "decrypt": (INVALID, INVALID, OK, INVALID),
    "decrypt_many": (INVALID, INVALID, OK, INVALID),
    "delete_alias": (OK, OK, OK, OK),
    "describe_key": (OK, OK, OK, OK),
    "disable_key": (INVALID, INVALID, INVALID, OK),
    "enable_key": (INVALID, INVALID, INVALID, OK),
    "disable_key_rotation": (INVALID, INVALID, INVALID, INVALID),
    "enable_key_rotation": (INVALID, INVALID, INVALID, INVALID),
    "encrypt": (INVALID, INVALID, OK, INVALID),
    "encrypt_many": (INVALID, INVALID, OK, INVALID),
    "generate_data_key_pair": (INVALID, INVALID, OK, INVALID),
    "generate_data_key_pair_without_plaintext": (INVALID, INVALID, OK, INVALID),
    "generate_data_key": (INVALID, INVALID, OK, INVALID),
    "generate_data_key_without_plaintext": (INVALID, INVALID, OK, INVALID),
    "generate_data_keys": (INVALID, INVALID, OK, INVALID),
    "get_key_last_usage": (OK, OK, OK, OK),
    "get_key_policy": (OK, OK, OK, OK),
    "get_key_rotation_status": (OK, OK, OK, OK),
    "list_aliases": (OK, OK, OK, OK),
    "list_grants": (OK, OK, OK, OK),
    "list_key_policies": (OK, OK, OK, OK),
    "list_key_rotations": (OK, OK, OK, OK),
    "list_resource_tags": (OK, OK, OK, OK),
    "put_key_policy": (OK, OK, OK, OK),
    "re_encrypt from it": (INVALID, INVALID, OK, INVALID),
    "re_encrypt to it": (INVALID, INVALID, OK, INVALID),
    "replicate_key": (INVALID, INVALID, INVALID, INVALID),
    "retire_grant": (OK, OK, OK, OK),
    "revoke_grant": (OK, OK, OK, OK),
    "rotate_key_on_demand": (INVALID, INVALID, INVALID, INVALID),
    "schedule_key_deletion": (INVALID, OK, INVALID, OK),
    "tag_resource": (INVALID, OK, OK, OK),
    "untag_resource": (INVALID, OK, OK, OK),
    "update_alias from it": (OK, OK, OK, OK),
    "update_alias to it": (INVALID, OK, OK, OK),
    "update_key_description": (INVALID, OK, OK, OK),
    "update_primary_region": (INVALID, INVALID, INVALID, INVALID),
}
PASSING_STATES = ("PendingReplicaDeletion", "Creating", "Updating", "Unavailable")
IN_WORDS = ("pending replica deletion", "creating", "updating", "unavailable")


def test_both_tables_are_of_the_same_operations():
    # That the key's origin is not EXTERNAL is said first, whatever its state
    of_imports = {name for name, answers in TABLE.items() if set(answers) == {UNSUPPORTED}}
    assert set(PASSING) == set(TABLE) - of_imports | OF_SEVERAL_REGIONS


@pytest.mark.parametrize("state", PASSING_STATES)
@pytest.mark.parametrize("operation", sorted(PASSING))
def test_the_table_of_passing_states(deployment, client, refused, operation, state):
    key = client.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    other = client.create_key()["KeyMetadata"]["KeyId"]
    client.create_alias(AliasName="alias/its", TargetKeyId=key)
    client.create_alias(AliasName="alias/other", TargetKeyId=other)
    blobs = {
        each: client.encrypt(KeyId=each, Plaintext=b"data")["CiphertextBlob"]
        for each in (key, other)
    }
    client.create_grant(KeyId=key, GranteePrincipal="000000000000", Operations=["Encrypt"])
    (grant,) = client.list_grants(KeyId=key)["Grants"]
    client.replicate_key(KeyId=key, ReplicaRegion="eu-west-1")
    if state == "PendingReplicaDeletion":
        client.schedule_key_deletion(KeyId=key)
    else:  # no call leaves it so: it is told so
        deployment.kms._directory.find("us-east-1", "000000000000", key).state = state
    metadata = client.describe_key(KeyId=key)["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Enabled"]) == (state, False)
    given = params(operation, key, other, blobs)
    if operation in {"retire_grant", "revoke_grant"}:
        given = {"KeyId": metadata["Arn"], "GrantId": grant["GrantId"]}
    given |= {
        "replicate_key": {"ReplicaRegion": "sa-east-1"},
        "update_primary_region": {"PrimaryRegion": "eu-west-1"},
    }.get(operation, {})
    method = getattr(client, operation.split()[0])
    index = PASSING_STATES.index(state)
    if PASSING[operation][index] == OK:
        method(**given)
        return
    text = refused(INVALID, method, **given)
    if operation == "cancel_key_deletion":
        assert text == f"{metadata['Arn']} is not pending deletion (or pending replica deletion)."
    else:
        assert text == f"{metadata['Arn']} is {IN_WORDS[index]}."
