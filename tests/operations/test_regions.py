"""Multi-Region keys: they are made, replicated, and work in several Regions of one deployment.

What AWS answers is from radkawar/stackd's recordings of AWS KMS (testdata/aws/kms/
multi_region.json) and from the documentation in botocore's model.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from clavero import KMS, Quotas
from clavero.iam.decision import default_key_policy

HOME, AWAY, FAR = "us-east-1", "eu-west-1", "ap-east-1"
ACCOUNT = "000000000000"


# --- CreateKey -----------------------------------------------------------------------------------


def test_a_primary_key_is_made(made):
    assert re.fullmatch("mrk-[0-9a-f]{32}", made.id)
    assert made.metadata["Arn"] == made.arn(HOME)
    assert made.metadata["MultiRegion"] is True
    assert made.metadata["MultiRegionConfiguration"] == made.configuration("PRIMARY", HOME)
    assert made.metadata["KeyState"] == "Enabled"
    assert made.describe(HOME) == made.metadata
    single = made.home.create_key()["KeyMetadata"]
    assert single["MultiRegion"] is False
    assert "MultiRegionConfiguration" not in single
    assert not single["KeyId"].startswith("mrk-")
    assert {each["KeyId"] for each in made.home.list_keys()["Keys"]} == {made.id, single["KeyId"]}
    assert made.away.list_keys()["Keys"] == []


# --- ReplicateKey --------------------------------------------------------------------------------


def test_a_replica_begins_in_creating_and_is_made_when_one_looks(made):
    """AWS answers so, and has it Enabled within seconds; here it is at once."""
    made.clock.advance(5)
    answer = made.replicate()
    away = answer["ReplicaKeyMetadata"]
    expected = made.metadata | {
        "Arn": made.arn(AWAY),
        "Description": "",
        "CreationDate": datetime.fromtimestamp(made.clock.now(), UTC),
        "Enabled": False,
        "KeyState": "Creating",
        "MultiRegionConfiguration": made.configuration("REPLICA", HOME, AWAY),
    }
    current = expected.pop("CurrentKeyMaterialId")
    assert away == expected
    assert answer["ReplicaPolicy"] == default_key_policy(ACCOUNT)
    assert "ReplicaTags" not in answer
    assert made.describe(AWAY) == expected | {
        "Enabled": True,
        "KeyState": "Enabled",
        "CurrentKeyMaterialId": current,
    }
    made.replicate(FAR)
    both = (FAR, AWAY)  # in order of their names
    assert made.describe(HOME)["MultiRegionConfiguration"] == made.configuration(
        "PRIMARY", HOME, *both
    )
    for region in both:
        assert made.describe(region)["MultiRegionConfiguration"] == made.configuration(
            "REPLICA", HOME, *both
        )
    assert [each["KeyId"] for each in made.away.list_keys()["Keys"]] == [made.id]


def test_what_a_replica_has_of_its_own(made):
    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                }
            ],
        }
    )
    home = made.home
    home.tag_resource(KeyId=made.id, Tags=[{"TagKey": "a", "TagValue": "home"}])
    home.create_alias(AliasName="alias/same", TargetKeyId=made.id)
    home.create_grant(KeyId=made.id, GranteePrincipal=ACCOUNT, Operations=["Decrypt"])
    tags = [{"TagKey": "b", "TagValue": "2"}, {"TagKey": "a", "TagValue": ""}]
    answer = made.replicate(Policy=policy, Description="the second", Tags=tags)
    assert answer["ReplicaPolicy"] == policy
    assert answer["ReplicaTags"] == tags
    away = made.away
    assert made.describe(AWAY)["Description"] == "the second"
    assert away.get_key_policy(KeyId=made.id)["Policy"] == policy
    assert home.get_key_policy(KeyId=made.id)["Policy"] == default_key_policy(ACCOUNT)
    listed = away.list_resource_tags(KeyId=made.id)["Tags"]
    assert listed == sorted(tags, key=lambda tag: tag["TagKey"])
    assert away.list_grants(KeyId=made.id)["Grants"] == []
    assert away.list_aliases(KeyId=made.id)["Aliases"] == []
    # Names of aliases are a Region's own
    away.create_alias(AliasName="alias/same", TargetKeyId=made.id)
    blob = home.encrypt(KeyId="alias/same", Plaintext=b"x")
    assert blob["KeyId"] == made.arn(HOME)
    opened = away.decrypt(CiphertextBlob=blob["CiphertextBlob"], KeyId="alias/same")
    assert opened["KeyId"] == made.arn(AWAY)
    # And so are changes
    away.update_key_description(KeyId=made.id, Description="third")
    away.disable_key(KeyId=made.id)
    assert made.describe(HOME)["Description"] == "the first"
    assert made.states(HOME, AWAY) == ["Enabled", "Disabled"]
    assert home.list_resource_tags(KeyId=made.id)["Tags"] == [{"TagKey": "a", "TagValue": "home"}]
    home.disable_key(KeyId=made.id)
    away.enable_key(KeyId=made.id)
    assert made.states(HOME, AWAY) == ["Disabled", "Enabled"]
    assert away.decrypt(CiphertextBlob=blob["CiphertextBlob"])["Plaintext"] == b"x"


def test_what_is_no_replica(replicated, refused):
    one = replicated
    again = "You can create only one replica of each primary key in each AWS Region."
    assert refused("AlreadyExistsException", one.replicate) == again
    one.away.disable_key(KeyId=one.id)
    one.away.schedule_key_deletion(KeyId=one.id)
    assert refused("AlreadyExistsException", one.replicate) == again, "until it is gone"
    assert (
        refused("ValidationException", one.replicate, HOME)
        == f"{HOME} cannot have a replica because it contains the primary."
    )
    assert (
        refused("ValidationException", one.replicate, "cn-north-1")
        == "The replica key Region must be in the same AWS partition as the primary key Region."
    )
    for unknown in ("us-invalid-1", "eu-gov-north-7"):
        assert refused("ValidationException", one.replicate, unknown) == (
            f"Region {unknown} is not a valid Region or multi-Region keys are not supported in "
            f"Region {unknown}."
        )
    single = one.home.create_key()["KeyMetadata"]
    text = refused(
        "UnsupportedOperationException",
        one.home.replicate_key,
        KeyId=single["KeyId"],
        ReplicaRegion=FAR,
    )
    assert text == f"{single['Arn']} is not a multi-region primary key."
    assert one.far.list_keys()["Keys"] == []


def test_a_replica_is_not_replicated(replicated, refused):
    text = refused("UnsupportedOperationException", replicated.replicate, FAR, AWAY)
    assert text == f"{replicated.arn(AWAY)} is not a multi-region primary key."


def test_a_region_of_the_deployments_own(made, refused):
    """A Region that AWS does not have, once there is a key in it."""
    refused("ValidationException", made.replicate, "eu-bodega-1")
    made.deployment.client(region="eu-bodega-1").create_key()
    made.clients["eu-bodega-1"] = made.deployment.client(region="eu-bodega-1")
    made.replicate("eu-bodega-1")
    assert made.states("eu-bodega-1") == ["Enabled"]


def test_the_replicas_policy_and_tags_are_checked_first(made, refused):
    locked = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                    "Action": ["kms:Encrypt", "kms:GetKeyPolicy"],
                    "Resource": "*",
                }
            ],
        }
    )
    assert (
        refused("MalformedPolicyDocumentException", made.replicate, Policy=locked)
        == "The new key policy will not allow you to update the key policy in the future."
    )
    refused("MalformedPolicyDocumentException", made.replicate, Policy="{}")
    double = [{"TagKey": "a", "TagValue": "1"}] * 2
    assert refused("TagException", made.replicate, Tags=double) == "Duplicate tag keys"
    refused("NotFoundException", made.away.describe_key, KeyId=made.id)
    made.replicate(Policy=locked, BypassPolicyLockoutSafetyCheck=True)
    assert made.away.get_key_policy(KeyId=made.id)["Policy"] == locked


def test_replicas_count_in_their_region(deployment, refused, checked):
    with KMS(clock=deployment.clock, quotas=Quotas(keys=1)) as kms:
        home, away = (kms.client(region=name) for name in (HOME, AWAY))
        away.create_key()
        made = home.create_key(MultiRegion=True)["KeyMetadata"]
        refused(
            "LimitExceededException", home.replicate_key, KeyId=made["KeyId"], ReplicaRegion=AWAY
        )
        home.replicate_key(KeyId=made["KeyId"], ReplicaRegion=FAR)
        refused("LimitExceededException", kms.client(region=FAR).create_key)


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        ("disable_key", "DisabledException"),
        ("schedule_key_deletion", "KMSInvalidStateException"),
    ],
)
def test_only_an_enabled_primary_key_is_replicated(made, refused, prepare, code):
    getattr(made.home, prepare)(KeyId=made.id)
    refused(code, made.replicate)
    refused("NotFoundException", made.away.describe_key, KeyId=made.id)


@pytest.mark.parametrize("operation", ["replicate_key", "update_primary_region"])
def test_keys_are_named_by_id_and_arn_only(replicated, refused, operation):
    one = replicated
    one.home.create_alias(AliasName="alias/a", TargetKeyId=one.id)
    member = {"replicate_key": "ReplicaRegion", "update_primary_region": "PrimaryRegion"}
    given = {member[operation]: FAR if operation == "replicate_key" else AWAY}
    method = getattr(one.home, operation)
    text = refused("InvalidArnException", method, KeyId="alias/a", **given)
    assert text == "Key Aliases are not supported for this operation."
    refused("NotFoundException", method, KeyId="mrk-" + "0" * 32, **given)
    assert refused("NotFoundException", method, KeyId=one.arn(AWAY), **given) == (
        f"Invalid arn {AWAY}"
    )
    method(KeyId=one.arn(HOME), **given)


# --- one key in several Regions ------------------------------------------------------------------


def test_a_ciphertext_opens_in_every_region_and_by_its_own_key_alone(replicated, refused):
    one = replicated
    context = {"purpose": "travel"}
    for here, there in ((one.home, one.away), (one.away, one.home)):
        sealed = here.encrypt(KeyId=one.id, Plaintext=b"data", EncryptionContext=context)
        blob = sealed["CiphertextBlob"]
        for whose in ({}, {"KeyId": one.id}):
            opened = there.decrypt(CiphertextBlob=blob, EncryptionContext=context, **whose)
            assert opened["Plaintext"] == b"data"
            assert opened["KeyId"] != sealed["KeyId"]
            assert opened["KeyMaterialId"] == one.metadata["CurrentKeyMaterialId"]
        refused("InvalidCiphertextException", there.decrypt, CiphertextBlob=blob)
        # In the Region where it is decrypted, another Region's ARN names another key
        assert refused(
            "IncorrectKeyException",
            there.decrypt,
            CiphertextBlob=blob,
            KeyId=sealed["KeyId"],
            EncryptionContext=context,
        ).startswith("The key ID in the request does not identify a CMK")
    moved = one.away.re_encrypt(
        CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=one.id
    )
    assert moved["SourceKeyId"] == moved["KeyId"] == one.arn(AWAY)
    opened = one.home.decrypt(CiphertextBlob=moved["CiphertextBlob"])
    assert opened["Plaintext"] == b"data"
    # Other keys of both Regions do not open it
    other = one.away.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    refused("IncorrectKeyException", one.away.decrypt, CiphertextBlob=blob, KeyId=other)
    refused("InvalidCiphertextException", one.far.decrypt, CiphertextBlob=blob)
    data = one.home.generate_data_key(KeyId=one.id, KeySpec="AES_256")
    assert one.away.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"] == data["Plaintext"]


def test_batches_of_data_keys_open_in_the_other_region(replicated):
    made = replicated.home.generate_data_keys(
        KeyId=replicated.id, KeySpec="AES_256", NumberOfKeys=100
    )
    opened = replicated.away.decrypt_many(CiphertextBlobs=[blob for _, blob in made])
    assert list(opened) == [plaintext for plaintext, _ in made]


ASYMMETRIC = [
    ("RSA_2048", "ENCRYPT_DECRYPT"),
    ("RSA_2048", "SIGN_VERIFY"),
    ("ECC_NIST_P256", "SIGN_VERIFY"),
    ("ECC_NIST_P384", "KEY_AGREEMENT"),
    ("ECC_NIST_P521", "SIGN_VERIFY"),
    ("ECC_SECG_P256K1", "SIGN_VERIFY"),
    ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"),
    ("ML_DSA_44", "SIGN_VERIFY"),
    ("ML_DSA_65", "SIGN_VERIFY"),
    ("ML_DSA_87", "SIGN_VERIFY"),
    ("ML_KEM_512", "ENCAPSULATE_DECAPSULATE"),
    ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
    ("ML_KEM_1024", "ENCAPSULATE_DECAPSULATE"),
    ("HMAC_224", "GENERATE_VERIFY_MAC"),
    ("HMAC_256", "GENERATE_VERIFY_MAC"),
    ("HMAC_384", "GENERATE_VERIFY_MAC"),
    ("HMAC_512", "GENERATE_VERIFY_MAC"),
]
SLOW_TO_MAKE = [
    ("RSA_3072", "ENCRYPT_DECRYPT"),
    ("RSA_3072", "SIGN_VERIFY"),
    ("RSA_4096", "ENCRYPT_DECRYPT"),
    ("RSA_4096", "SIGN_VERIFY"),
]


@pytest.mark.parametrize(("spec", "usage"), ASYMMETRIC)
def test_every_kind_of_key_works_across_regions(related, spec, usage):
    across(related(KeySpec=spec, KeyUsage=usage), usage)


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "usage"), SLOW_TO_MAKE)
def test_long_rsa_keys_work_across_regions(related_durable, spec, usage):
    """RSA_4096 takes seconds to make."""
    across(related_durable(KeySpec=spec, KeyUsage=usage), usage)


def across(one: Any, usage: str) -> None:
    answer = one.replicate()
    assert answer["ReplicaKeyMetadata"]["KeySpec"] == one.metadata["KeySpec"]
    for here, there in ((one.home, one.away), (one.away, one.home)):
        works(one, usage, here, there)
    if one.metadata["KeySpec"].startswith("HMAC"):
        return
    home, away = (
        client.get_public_key(KeyId=one.id)["PublicKey"] for client in (one.home, one.away)
    )
    assert home == away


def works(one: Any, usage: str, here: Any, there: Any) -> None:
    """What one key makes, the other takes."""
    if usage == "ENCRYPT_DECRYPT":
        algorithm = {"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
        blob = here.encrypt(KeyId=one.id, Plaintext=b"data", **algorithm)["CiphertextBlob"]
        opened = there.decrypt(KeyId=one.id, CiphertextBlob=blob, **algorithm)
        assert opened["Plaintext"] == b"data"
    elif usage == "SIGN_VERIFY":
        signing = {
            "KeyId": one.id,
            "Message": b"m" * 20,
            "MessageType": "RAW",
            "SigningAlgorithm": one.metadata["SigningAlgorithms"][-1],
        }
        signature = here.sign(**signing)["Signature"]
        assert there.verify(Signature=signature, **signing)["SignatureValid"] is True
    elif usage == "GENERATE_VERIFY_MAC":
        given = {"KeyId": one.id, "Message": b"m", "MacAlgorithm": one.metadata["MacAlgorithms"][0]}
        mac = here.generate_mac(**given)["Mac"]
        assert there.verify_mac(Mac=mac, **given)["MacValid"] is True
    elif usage == "KEY_AGREEMENT":
        peer = here.create_key(KeySpec=one.metadata["KeySpec"], KeyUsage=usage)["KeyMetadata"]
        public = here.get_public_key(KeyId=peer["KeyId"])["PublicKey"]
        secrets = {
            client.derive_shared_secret(
                KeyId=one.id, KeyAgreementAlgorithm="ECDH", PublicKey=public
            )["SharedSecret"]
            for client in (here, there)
        }
        assert len(secrets) == 1
    else:
        made = here.encapsulate(KeyId=one.id, EncapsulationAlgorithm="ML_KEM")
        opened = there.decapsulate(
            KeyId=one.id,
            EncapsulationAlgorithm="ML_KEM",
            **{name: value for name, value in made.items() if name == "SharedSecretCiphertextBlob"},
        )
        assert opened["SharedSecret"] == made["SharedSecret"]


def test_all_of_it_is_durable(durable, related_durable):
    one = related_durable()
    one.replicate(Description="kept")
    one.home.enable_key_rotation(KeyId=one.id, RotationPeriodInDays=90)
    one.home.rotate_key_on_demand(KeyId=one.id)
    blob = one.home.encrypt(KeyId=one.id, Plaintext=b"x")["CiphertextBlob"]
    before = [one.describe(region) for region in (HOME, AWAY)]
    durable.reopen()
    one.clients = {name: durable.client(region=name) for name in (HOME, AWAY, FAR)}
    assert [one.describe(region) for region in (HOME, AWAY)] == before
    assert one.clients[AWAY].decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    durable.kms.rotate_domain_keys()
    durable.kms.evict_idle_keys()
    durable.kms.evict_idle_keys()
    assert one.clients[AWAY].decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    one.replicate(FAR)
    assert one.clients[FAR].decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
