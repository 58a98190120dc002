"""What a program of boto3 does with a KMS; prints one line of JSON with what it saw.

Endpoints, Region, credentials and the CA come from AWS_* variables alone. GRANTEE_ACCESS_KEY_ID and
GRANTEE_SECRET_ACCESS_KEY are those of the root user of another account.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import boto3
from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

MESSAGE = b"from boto3"
CONTEXT = {"table": "orders", "ключ": "значение"}
PAGED = {
    "list_aliases": "Aliases",
    "list_grants": "Grants",
    "list_key_policies": "PolicyNames",
    "list_key_rotations": "Rotations",
    "list_keys": "Keys",
    "list_resource_tags": "Tags",
    "list_retirable_grants": "Grants",
}

seen: dict[str, bool] = {}
kms = boto3.client("kms")
sts = boto3.client("sts")


def refused(error: type[ClientError], words: str, call: Callable[[], object]) -> bool:
    """Whether a call meets this class of boto3's, with these words of AWS's."""
    try:
        call()
    except error as refusal:
        return words in str(refusal) and bool(refusal.response["ResponseMetadata"]["RequestId"])
    return False


def manages() -> dict[str, Any]:
    """A key with an alias, tags, a policy and rotations; gives its metadata."""
    tags = [{"TagKey": "team", "TagValue": "payments"}, {"TagKey": "stage", "TagValue": "test"}]
    made: dict[str, Any] = kms.create_key(Description="boto3", Tags=tags)["KeyMetadata"]
    key, alias = made["KeyId"], f"alias/boto3-{uuid.uuid4()}"
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    seen["described"] = kms.describe_key(KeyId=alias)["KeyMetadata"] == made
    kms.update_key_description(KeyId=key, Description="updated")
    kms.disable_key(KeyId=key)
    disabled = kms.describe_key(KeyId=key)["KeyMetadata"]
    seen["updated"] = (disabled["Description"], disabled["KeyState"]) == ("updated", "Disabled")
    seen["disabled"] = refused(
        kms.exceptions.DisabledException,
        f"{made['Arn']} is disabled",
        lambda: kms.encrypt(KeyId=alias, Plaintext=MESSAGE),
    )
    kms.enable_key(KeyId=key)
    policy = json.loads(kms.get_key_policy(KeyId=key)["Policy"])
    policy["Id"] = "boto3"
    kms.put_key_policy(KeyId=key, Policy=json.dumps(policy))
    seen["policy"] = json.loads(kms.get_key_policy(KeyId=key)["Policy"]) == policy
    kms.untag_resource(KeyId=key, TagKeys=["stage"])
    seen["tags"] = kms.list_resource_tags(KeyId=key)["Tags"] == tags[:1]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=180)
    kms.rotate_key_on_demand(KeyId=key)
    status = kms.get_key_rotation_status(KeyId=key)
    seen["rotated"] = status["KeyRotationEnabled"] and status["RotationPeriodInDays"] == 180
    return {**made, "Alias": alias}


def encrypts(key: dict[str, Any]) -> None:
    alias = key["Alias"]
    blob = kms.encrypt(KeyId=alias, Plaintext=MESSAGE, EncryptionContext=CONTEXT)["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)
    seen["opened"] = (opened["Plaintext"], opened["KeyId"]) == (MESSAGE, key["Arn"])
    again = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext=CONTEXT,
        DestinationKeyId=alias,
        DestinationEncryptionContext={"table": "archive"},
    )["CiphertextBlob"]
    moved = kms.decrypt(CiphertextBlob=again, EncryptionContext={"table": "archive"})
    seen["reEncrypted"] = moved["Plaintext"] == MESSAGE
    data_key = kms.generate_data_key(KeyId=alias, NumberOfBytes=64, EncryptionContext=CONTEXT)
    wrapped = data_key["CiphertextBlob"]
    unwrapped = kms.decrypt(CiphertextBlob=wrapped, EncryptionContext=CONTEXT)["Plaintext"]
    seen["dataKey"] = len(unwrapped) == 64 and unwrapped == data_key["Plaintext"]
    kept = kms.generate_data_key_without_plaintext(KeyId=alias, KeySpec="AES_128")
    opened = kms.decrypt(CiphertextBlob=kept["CiphertextBlob"])
    seen["dataKeyForLater"] = "Plaintext" not in kept and len(opened["Plaintext"]) == 16
    seen["random"] = len(kms.generate_random(NumberOfBytes=32)["Plaintext"]) == 32
    seen["wrongContext"] = refused(
        kms.exceptions.InvalidCiphertextException,
        "InvalidCiphertextException",
        lambda: kms.decrypt(CiphertextBlob=blob, EncryptionContext={"table": "others"}),
    )


def signs() -> None:
    curve = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    modulus = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    for key, algorithm in ((curve, "ECDSA_SHA_256"), (modulus, "RSASSA_PSS_SHA_256")):
        asked = {"KeyId": key, "Message": MESSAGE, "SigningAlgorithm": algorithm}
        signature = kms.sign(**asked)["Signature"]
        seen[f"verified {algorithm}"] = kms.verify(**asked, Signature=signature)["SignatureValid"]
        public = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
        seen[f"verified {algorithm} by cryptography"] = verified(public, signature)
        another = {**asked, "Message": b"another", "Signature": signature}
        seen[f"wrong message {algorithm}"] = refused(
            kms.exceptions.KMSInvalidSignatureException,
            "KMSInvalidSignatureException",
            partial(kms.verify, **another),
        )
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    asked = {"KeyId": mac, "Message": MESSAGE, "MacAlgorithm": "HMAC_SHA_256"}
    seen["mac"] = kms.verify_mac(**asked, Mac=kms.generate_mac(**asked)["Mac"])["MacValid"]


def verified(public: object, signature: bytes) -> bool:
    try:
        if isinstance(public, rsa.RSAPublicKey):
            pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
            public.verify(signature, MESSAGE, pss, SHA256())
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, MESSAGE, ec.ECDSA(SHA256()))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def grants(key: dict[str, Any]) -> None:
    """What another account may do with a grant of ours, and no longer without it."""
    theirs = {
        "aws_access_key_id": os.environ["GRANTEE_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["GRANTEE_SECRET_ACCESS_KEY"],
    }
    grantee = boto3.client("kms", **theirs)
    them = boto3.client("sts", **theirs).get_caller_identity()["Arn"]

    def encrypt(**members: Any) -> Any:
        return grantee.encrypt(KeyId=key["Arn"], Plaintext=MESSAGE, **members)

    denied = grantee.exceptions.ClientError
    words = "(AccessDeniedException)"
    seen["noGrant"] = refused(denied, words, lambda: encrypt(EncryptionContext=CONTEXT))
    grant = kms.create_grant(
        KeyId=key["KeyId"],
        GranteePrincipal=them,
        RetiringPrincipal=them,
        Operations=["Encrypt", "Decrypt", "RetireGrant"],
        Constraints={"EncryptionContextSubset": {"table": "orders"}},
    )
    tokens = [grant["GrantToken"]]
    blob = encrypt(EncryptionContext=CONTEXT, GrantTokens=tokens)["CiphertextBlob"]
    opened = grantee.decrypt(
        CiphertextBlob=blob, KeyId=key["Arn"], EncryptionContext=CONTEXT, GrantTokens=tokens
    )
    seen["granted"] = opened["Plaintext"] == MESSAGE
    seen["constrained"] = refused(denied, words, lambda: encrypt(GrantTokens=tokens))
    seen["paged"] = pages(key["KeyId"], grant["GrantId"], grantee, them)
    grantee.retire_grant(GrantToken=grant["GrantToken"])
    seen["retired"] = refused(denied, words, lambda: encrypt(EncryptionContext=CONTEXT))
    seen["noGrantsLeft"] = kms.list_grants(KeyId=key["KeyId"])["Grants"] == []


def pages(key: str, grant: str, grantee: Any, them: str) -> bool:
    """Whether paginators of boto3's, an entry a page, find what is there."""
    needs: dict[str, dict[str, str]] = {
        "list_keys": {},
        "list_aliases": {},
        "list_retirable_grants": {"RetiringPrincipal": them},
    }
    found = {}
    for name, member in PAGED.items():
        asked = needs.get(name, {"KeyId": key})
        paginator = (grantee if name == "list_retirable_grants" else kms).get_paginator(name)
        answers = list(paginator.paginate(**asked, PaginationConfig={"PageSize": 1}))
        entries = [entry for answer in answers for entry in answer[member]]
        found[name] = entries if all(len(answer[member]) <= 1 for answer in answers) else []
    return (
        {entry["KeyId"] for entry in found["list_keys"]} >= {key}
        and len(found["list_keys"]) >= 4
        and key in [entry.get("TargetKeyId") for entry in found["list_aliases"]]
        and [entry["GrantId"] for entry in found["list_grants"]] == [grant]
        and [entry["GrantId"] for entry in found["list_retirable_grants"]] == [grant]
        and found["list_key_policies"] == ["default"]
        and [entry["RotationType"] for entry in found["list_key_rotations"]] == ["ON_DEMAND"]
        and [entry["TagKey"] for entry in found["list_resource_tags"]] == ["team"]
    )


def deletes(key: dict[str, Any]) -> None:
    answer = kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    seen["scheduled"] = answer["KeyState"] == "PendingDeletion"
    seen["pending"] = refused(
        kms.exceptions.KMSInvalidStateException,
        "is pending deletion",
        lambda: kms.encrypt(KeyId=key["Alias"], Plaintext=MESSAGE),
    )
    kms.cancel_key_deletion(KeyId=key["KeyId"])
    kms.delete_alias(AliasName=key["Alias"])
    seen["missing"] = refused(
        kms.exceptions.NotFoundException,
        f"{key['Alias']} is not found",
        lambda: kms.describe_key(KeyId=key["Alias"]),
    )


def main() -> None:
    made = manages()
    encrypts(made)
    signs()
    grants(made)
    deletes(made)
    caller = sts.get_caller_identity()
    seen["caller"] = caller["Arn"] == f"arn:aws:iam::{made['AWSAccountId']}:root"
    json.dump(seen, sys.stdout)


main()
