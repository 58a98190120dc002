"""Amazon's S3 encryption client over a KMS in this process and over the endpoint; S3 is moto's."""

from __future__ import annotations

import json
import sys
from typing import Any

import boto3
from moto import mock_aws
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring

import clavero

BUCKET = {"Bucket": "orders", "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
BODY = b"an order " * 10_000
CONTEXT = {"table": "orders"}


def keeps_objects(kms: Any, key_id: str) -> dict[str, bool]:
    """What a program does with the client, and what S3 and strangers get to see."""
    config = S3EncryptionClientConfig(keyring=KmsKeyring(kms, key_id))
    mine = S3EncryptionClient(boto3.client("s3", "eu-west-1"), config)
    place = {"Bucket": BUCKET["Bucket"], "Key": key_id}
    mine.put_object(**place, Body=BODY, EncryptionContext=CONTEXT)
    stored = boto3.client("s3", "eu-west-1").get_object(**place)["Body"].read()
    opened = mine.get_object(**place, EncryptionContext=CONTEXT)["Body"].read()
    kms.disable_key(KeyId=key_id)
    try:
        mine.get_object(**place, EncryptionContext=CONTEXT)["Body"].read()
    except Exception as error:  # noqa: BLE001 (it wraps KMS's in errors of its own)
        refused = "is disabled" in f"{error} {error.__cause__} {error.__context__}"
    else:
        refused = False
    return {
        "encrypted": BODY[:9] not in stored and len(stored) >= len(BODY),
        "opened": opened == BODY,
        "refused": refused,
        "agent": "S3ECPy/" in kms.meta.config.user_agent_extra,
    }


def main() -> None:
    served = boto3.client("kms")  # before moto puts its own credentials into the environment
    seen = {}
    with clavero.KMS() as kms, mock_aws():
        boto3.client("s3", "eu-west-1").create_bucket(**BUCKET)
        for entry, client in (("in process", kms.client()), ("over HTTPS", served)):
            key_id = client.create_key()["KeyMetadata"]["KeyId"]
            for name, held in keeps_objects(client, key_id).items():
                seen[f"{name} {entry}"] = held
    json.dump(seen, sys.stdout)


main()
