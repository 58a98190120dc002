"""Section 1.7: the kms: condition keys, where each is present and what it says.

Each call has exactly the keys that are named with it: every other one of the 96 is absent. What is
the same for every action on a key is in `ON_KEY`.
"""

from __future__ import annotations

from typing import Any

import pytest

from clavero import KMS, ManualClock
from clavero.iam import condition_keys
from clavero.iam.principals import Principal
from clavero.model.operations import OPERATIONS
from clavero.ops.call import Call
from clavero.ops.facts import Facts
from clavero.store import grants

A = "000000000000"
ALICE = f"arn:aws:iam::{A}:user/team/alice"
ON_KEY: dict[str, Any] = {
    "kms:CallerAccount": A,
    "kms:CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
    "kms:CustomerMasterKeyUsage": "ENCRYPT_DECRYPT",
    "kms:KeyOrigin": "AWS_KMS",
    "kms:KeySpec": "SYMMETRIC_DEFAULT",
    "kms:KeyUsage": "ENCRYPT_DECRYPT",
    "kms:MultiRegion": "false",
    "kms:ResourceAliases": ("alias/a", "alias/b"),
    "kms:ViaService": "s3.us-east-1.amazonaws.com",
}
CIPHER = {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
CONTEXT = {"Tenant": "a", "x": "y"}
OF_CONTEXT = {
    "kms:EncryptionContext:tenant": "a",
    "kms:EncryptionContext:X": "y",
    "kms:EncryptionContextKeys": ("Tenant", "x"),
}
ROLE = f"arn:aws:iam::{A}:role/r"
CREATE: dict[str, Any] = {"Operations": ["Encrypt", "Decrypt"], "GranteePrincipal": ROLE}
OF_CREATE = {
    "kms:GrantOperations": ("Encrypt", "Decrypt"),
    "kms:GranteePrincipal": ROLE,
    "kms:GrantIsForAWSResource": "true",
}


@pytest.fixture(scope="module")
def kms():
    with KMS(clock=ManualClock()) as made:
        client = made.client()
        key = client.create_key(Tags=[{"TagKey": "Team", "TagValue": "red"}])["KeyMetadata"]
        for name in ("alias/a", "alias/b"):
            client.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
        yield made


@pytest.fixture(scope="module")
def key(kms):
    scope = kms._directory.scope("us-east-1", A)
    return kms._directory.resolve(scope, "alias/a")


def facts_of(
    kms: KMS, operation: str, params: dict[str, Any], keys: Any, action: str, **how: Any
) -> Facts:
    caller = Principal(ALICE, A, facts={"kms:viaservice": "s3.us-east-1.amazonaws.com"})
    scope = kms._directory.scope("us-east-1", A)
    call = Call(OPERATIONS[operation], params, caller, scope)
    call.keys = keys
    call.time = kms._clock.now()
    return Facts(kms._context, call, action, keys[0] if keys else None, A, **how)


def present(facts: Facts) -> dict[str, Any]:
    asked = [row.name for row in condition_keys.KMS_KEYS.values()]
    asked += [name for name in OF_CONTEXT if name not in asked]
    found = {name: facts.get(name.lower()) for name in asked}
    return {name: value for name, value in found.items() if value is not None}


def test_there_are_96():
    """95 of the Service Authorization Reference, and kms:PolicyName."""
    assert len(condition_keys.KMS_KEYS) == 96
    assert sorted(name for name in condition_keys.MULTI if name.startswith("kms:")) == [
        "kms:encryptioncontextkeys",
        "kms:grantoperations",
        "kms:resourcealiases",
    ]


@pytest.mark.parametrize(
    ("operation", "params", "expected"),
    [
        ("DescribeKey", {}, {}),
        ("DescribeKey", {"KeyId": "alias/a"}, {"kms:RequestAlias": "alias/a"}),
        ("DescribeKey", {"KeyId": f"arn:aws:kms:us-east-1:{A}:alias/a"},
         {"kms:RequestAlias": "alias/a"}),
        ("EnableKey", {"KeyId": "alias/a"}, {}),
        ("Encrypt", {"EncryptionContext": CONTEXT}, {**CIPHER, **OF_CONTEXT}),
        ("Encrypt", {"EncryptionContext": {}}, CIPHER),
        ("Encrypt", {"EncryptionAlgorithm": "RSAES_OAEP_SHA_1"},
         {"kms:EncryptionAlgorithm": "RSAES_OAEP_SHA_1"}),
        ("Decrypt", {"EncryptionContext": CONTEXT}, {**CIPHER, **OF_CONTEXT}),
        ("GenerateDataKey", {"EncryptionContext": CONTEXT}, {**CIPHER, **OF_CONTEXT}),
        ("GenerateDataKeyWithoutPlaintext", {}, CIPHER),
        ("GenerateDataKeyPair", {"KeyPairSpec": "RSA_2048"},
         {**CIPHER, "kms:DataKeyPairSpec": "RSA_2048"}),
        ("Sign", {"SigningAlgorithm": "ECDSA_SHA_256"},
         {"kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "RAW"}),
        ("Verify", {"SigningAlgorithm": "ECDSA_SHA_256", "MessageType": "DIGEST"},
         {"kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "DIGEST"}),
        ("GenerateMac", {"MacAlgorithm": "HMAC_SHA_256"}, {"kms:MacAlgorithm": "HMAC_SHA_256"}),
        ("VerifyMac", {"MacAlgorithm": "HMAC_SHA_256"}, {"kms:MacAlgorithm": "HMAC_SHA_256"}),
        ("DeriveSharedSecret", {"KeyAgreementAlgorithm": "ECDH"},
         {"kms:KeyAgreementAlgorithm": "ECDH"}),
        ("ScheduleKeyDeletion", {"PendingWindowInDays": 8},
         {"kms:ScheduleKeyDeletionPendingWindowInDays": "8",
          "kms:TrailingDaysWithoutKeyUsage": "0"}),
        ("DisableKey", {}, {"kms:TrailingDaysWithoutKeyUsage": "0"}),
        ("EnableKeyRotation", {"RotationPeriodInDays": 90}, {"kms:RotationPeriodInDays": "90"}),
        ("GetKeyPolicy", {}, {"kms:PolicyName": "default"}),
        ("GetKeyPolicy", {"PolicyName": "AWS_RAM"}, {"kms:PolicyName": "AWS_RAM"}),
        ("PutKeyPolicy", {"BypassPolicyLockoutSafetyCheck": False},
         {"kms:PolicyName": "default", "kms:BypassPolicyLockoutSafetyCheck": "false"}),
        ("PutKeyPolicy", {}, {"kms:PolicyName": "default"}),
        ("ListGrants", {}, {"kms:GrantIsForAWSResource": "true"}),
        ("RevokeGrant", {}, {"kms:GrantIsForAWSResource": "true"}),
        ("CreateGrant", CREATE, OF_CREATE),
        ("CreateGrant",
         {**CREATE, "RetiringPrincipal": ALICE,
          "Constraints": {"EncryptionContextSubset": CONTEXT}},
         {**OF_CREATE, **OF_CONTEXT, "kms:RetiringPrincipal": ALICE,
          "kms:GrantConstraintType": "EncryptionContextSubset"}),
        ("CreateGrant",
         {"Operations": ["Encrypt"], "GranteeServicePrincipal": "s3.amazonaws.com",
          "RetiringServicePrincipal": "s3.amazonaws.com",
          "Constraints": {"SourceArn": "arn:aws:s3:::b"}},
         {"kms:GrantOperations": ("Encrypt",), "kms:GrantIsForAWSResource": "true",
          "kms:GranteeServicePrincipal": "s3.amazonaws.com",
          "kms:RetiringServicePrincipal": "s3.amazonaws.com",
          "kms:GrantConstraintSourceArn": "arn:aws:s3:::b"}),
        ("ImportKeyMaterial",
         {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": 1767225600},
         {"kms:ExpirationModel": "KEY_MATERIAL_EXPIRES", "kms:ValidTo": "1767225600"}),
        ("ImportKeyMaterial", {}, {}),
        ("GetParametersForImport",
         {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_4096"},
         {"kms:WrappingAlgorithm": "RSAES_OAEP_SHA_256", "kms:WrappingKeySpec": "RSA_4096"}),
        ("ReplicateKey", {"ReplicaRegion": "eu-west-1"}, {"kms:ReplicaRegion": "eu-west-1"}),
        ("UpdatePrimaryRegion", {"PrimaryRegion": "eu-west-1"},
         {"kms:PrimaryRegion": "eu-west-1"}),
    ],
)  # fmt: skip
def test_keys_of_actions_on_a_key(kms, key, operation, params, expected):
    facts = facts_of(kms, operation, {"KeyId": key.row.key_id, **params}, (key,), operation)
    assert present(facts) == {**ON_KEY, **expected}


def test_both_sides_of_re_encrypt(kms, key):
    params = {
        "SourceKeyId": "alias/a", "SourceEncryptionContext": CONTEXT,
        "DestinationKeyId": "alias/b", "DestinationEncryptionContext": {"tenant": "b"},
        "DestinationEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    }  # fmt: skip
    source = facts_of(kms, "ReEncrypt", params, (key, key), "kms:ReEncryptFrom")
    same = {"kms:ReEncryptOnSameKey": "true"}
    assert present(source) == {
        **ON_KEY, **CIPHER, **OF_CONTEXT, **same, "kms:RequestAlias": "alias/a",
    }  # fmt: skip
    destination = facts_of(kms, "ReEncrypt", params, (key, key), "kms:ReEncryptTo")
    assert present(destination) == {
        **ON_KEY, **same, "kms:RequestAlias": "alias/b",
        "kms:EncryptionAlgorithm": "RSAES_OAEP_SHA_256",
        "kms:EncryptionContext:tenant": "b", "kms:EncryptionContextKeys": ("tenant",),
    }  # fmt: skip


def test_what_a_recipient_s_document_says(kms, key):
    """Also for GenerateRandom, which is on no key; not for actions that take no Recipient."""
    said = {"kms:RecipientAttestation:PCR3": "ab", "kms:RecipientAttestation:ImageSha384": "cd"}
    for operation, keys, expected in (
        ("Decrypt", (key,), {**ON_KEY, **CIPHER, **said}),
        ("GenerateRandom", (), said),
        ("GenerateMac", (key,), {**ON_KEY}),
    ):
        params = {"KeyId": key.row.key_id}
        facts = facts_of(kms, operation, params, keys, operation)
        facts.call.facts = said
        assert present(facts) == expected


def test_a_retired_grant_has_the_keys_of_its_constraint(kms, key):
    client = kms.client()
    made = client.create_grant(
        KeyId=key.arn, **CREATE, Constraints={"EncryptionContextEquals": CONTEXT}
    )
    facts = facts_of(kms, "RetireGrant", {}, (key,), "kms:RetireGrant")
    with kms._store.read() as tx:
        facts.call.grant = grants.get(tx, "us-east-1", A, key.row.key_id, made["GrantId"])
    assert present(facts) == {
        **ON_KEY, **OF_CONTEXT, "kms:GrantConstraintType": "EncryptionContextEquals",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, {}),
        ({"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY", "Origin": "EXTERNAL",
          "BypassPolicyLockoutSafetyCheck": True},
         {"kms:KeySpec": "RSA_2048", "kms:CustomerMasterKeySpec": "RSA_2048",
          "kms:KeyUsage": "SIGN_VERIFY", "kms:CustomerMasterKeyUsage": "SIGN_VERIFY",
          "kms:KeyOrigin": "EXTERNAL", "kms:BypassPolicyLockoutSafetyCheck": "true"}),
        ({"MultiRegion": True}, {"kms:MultiRegion": "true", "kms:MultiRegionKeyType": "PRIMARY"}),
    ],
)  # fmt: skip
def test_keys_of_create_key(kms, params, expected):
    of_key = {name: value for name, value in ON_KEY.items() if "Aliases" not in name}
    facts = facts_of(kms, "CreateKey", params, (), "kms:CreateKey")
    assert present(facts) == {**of_key, **expected}


def test_keys_of_the_replica_that_replicate_key_creates(kms):
    client = kms.client()
    arn = client.create_key(MultiRegion=True, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    primary = kms._directory.resolve(
        kms._directory.scope("us-east-1", A), arn["KeyMetadata"]["KeyId"]
    )
    params = {"KeyId": primary.row.key_id, "ReplicaRegion": "eu-west-1"}
    facts = facts_of(kms, "ReplicateKey", params, (primary,), "kms:ReplicateKey")
    assert facts.get("kms:multiregionkeytype") == "PRIMARY"
    facts = Facts(kms._context, facts.call, "kms:CreateKey", None, A)
    assert facts.get("kms:multiregionkeytype") == "REPLICA"
    assert facts.get("kms:multiregion") == "true"
    assert facts.get("kms:keyspec") == "HMAC_256"


@pytest.mark.parametrize(
    "operation", ["GenerateRandom", "ListAliases", "ListKeys", "ListRetirableGrants"]
)
def test_actions_without_any(kms, operation):
    assert present(facts_of(kms, operation, {}, (), f"kms:{operation}")) == {}


def test_aliases_as_resources_have_none(kms):
    facts = facts_of(kms, "CreateAlias", {"AliasName": "alias/x"}, (), "CreateAlias", alias=True)
    assert present(facts) == {}


def test_tags(kms, key):
    tags = [{"TagKey": "Team", "TagValue": "red"}, {"TagKey": "b", "TagValue": ""}]
    facts = facts_of(kms, "TagResource", {"Tags": tags}, (key,), "kms:TagResource")
    assert facts.get("aws:requesttag/team") == "red"
    assert facts.get("aws:requesttag/b") == ""
    assert facts.get("aws:requesttag/c") is None
    assert facts.get("aws:tagkeys") == ("Team", "b")
    assert facts.get("aws:resourcetag/team") == "red"
    assert facts.get("aws:resourcetag/b") is None
    facts = facts_of(kms, "UntagResource", {"TagKeys": ["a"]}, (key,), "kms:UntagResource")
    assert facts.get("aws:tagkeys") == ("a",)
    assert facts.get("aws:requesttag/a") is None


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (Principal(f"arn:aws:iam::{A}:root", A),
         {"aws:principalarn": f"arn:aws:iam::{A}:root", "aws:principaltype": "Account",
          "aws:userid": A, "aws:username": None}),
        (Principal(ALICE, A, unique_id="AIDA1"),
         {"aws:principalarn": ALICE, "aws:principaltype": "User", "aws:userid": "AIDA1",
          "aws:username": "alice"}),
        (Principal(f"arn:aws:sts::{A}:assumed-role/App/one", A, unique_id="AROA1",
                   role_arn=f"arn:aws:iam::{A}:role/path/App"),
         {"aws:principalarn": f"arn:aws:iam::{A}:role/path/App",
          "aws:principaltype": "AssumedRole", "aws:userid": "AROA1:one", "aws:username": None}),
        (Principal(f"arn:aws:sts::{A}:federated-user/bob", A),
         {"aws:principalarn": f"arn:aws:sts::{A}:federated-user/bob",
          "aws:principaltype": "FederatedUser", "aws:userid": f"{A}:bob", "aws:username": None}),
    ],
)  # fmt: skip
def test_global_keys_of_callers(kms, key, caller, expected):
    call = Call(OPERATIONS["Encrypt"], {}, caller, kms._directory.scope("us-east-1", A))
    call.time = 1767225600.25
    facts = Facts(kms._context, call, "kms:Encrypt", key, A)
    always = {
        "aws:principalaccount": A, "aws:currenttime": "2026-01-01T00:00:00.250Z",
        "aws:epochtime": "1767225600.250", "aws:securetransport": "true",
        "aws:viaawsservice": "false", "aws:principalisawsservice": "false",
        "aws:requestedregion": "us-east-1", "aws:resourceaccount": A, "aws:sourceip": "127.0.0.1",
        "aws:useragent": "clavero",
    }  # fmt: skip
    for name, value in {**always, **expected}.items():
        assert facts.get(name) == value, name
    for name in ("aws:sourcevpce", "aws:multifactorauthpresent", "aws:principalorgid",
                 "aws:sourcearn", "aws:calledvia", "aws:tagkeys"):  # fmt: skip
        assert facts.get(name) is None


def test_what_trusted_code_vouches_for(kms, key):
    given = {"aws:sourcevpce": "vpce-1", "kms:viaservice": "s3.us-east-1.amazonaws.com"}
    caller = Principal(ALICE, A, facts=given)
    call = Call(OPERATIONS["Encrypt"], {}, caller, kms._directory.scope("us-east-1", A))
    facts = Facts(kms._context, call, "kms:Encrypt", key, A)
    assert facts.get("aws:sourceip") is None  # through a VPC endpoint there is none
    assert facts.get("aws:viaawsservice") == "true"
    assert facts.get("aws:calledvia") == ("s3.amazonaws.com",)
    assert facts.get("aws:calledviafirst") == facts.get("aws:calledvialast") == "s3.amazonaws.com"
