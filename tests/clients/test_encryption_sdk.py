"""The AWS Encryption SDK works on Clavero as on AWS KMS: keyrings and master key providers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import aws_encryption_sdk
import pytest
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    CreateAwsKmsKeyringInput,
    CreateMultiKeyringInput,
)
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError, DecryptKeyError
from aws_encryption_sdk.key_providers.kms import (
    DiscoveryAwsKmsMasterKeyProvider,
    KMSMasterKey,
    StrictAwsKmsMasterKeyProvider,
)

SDK = aws_encryption_sdk.EncryptionSDKClient(
    commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
)
CONTEXT = {"table": "users", "purpose": "test"}
SECRET = "Grüße".encode() * 1000


@pytest.fixture(scope="module")
def providers():
    return AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())


def keyring(providers, client, key_arn):
    return providers.create_aws_kms_keyring(
        input=CreateAwsKmsKeyringInput(kms_key_id=key_arn, kms_client=client)
    )


def test_a_keyring_round_trip(kms, client, key_arn, providers):
    ring = keyring(providers, client, key_arn)
    sealed, _ = SDK.encrypt(source=SECRET, keyring=ring, encryption_context=CONTEXT)
    assert SECRET not in sealed
    opened, header = SDK.decrypt(source=sealed, keyring=ring, encryption_context=CONTEXT)
    assert opened == SECRET
    assert CONTEXT.items() <= header.encryption_context.items()
    made, decrypted = kms.audit_records()[-2:]
    assert (made["eventName"], decrypted["eventName"]) == ("GenerateDataKey", "Decrypt")
    for record in (made, decrypted):
        told = record["requestParameters"]["encryptionContext"]
        assert CONTEXT.items() <= told.items()
        assert record["resources"][0]["ARN"] == key_arn


def test_one_key_of_two_is_enough_and_its_loss_is_told(client, key_arn, providers):
    other = client.create_key()["KeyMetadata"]["Arn"]
    rings = [keyring(providers, client, arn) for arn in (key_arn, other)]
    both = providers.create_multi_keyring(
        input=CreateMultiKeyringInput(generator=rings[0], child_keyrings=[rings[1]])
    )
    sealed, _ = SDK.encrypt(source=SECRET, keyring=both)
    for ring in (*rings, both):
        assert SDK.decrypt(source=sealed, keyring=ring)[0] == SECRET
    client.disable_key(KeyId=key_arn)
    assert SDK.decrypt(source=sealed, keyring=both)[0] == SECRET
    with pytest.raises(AWSEncryptionSDKClientError, match="No Configured KMS Key was able"):
        SDK.decrypt(source=sealed, keyring=rings[0])


def test_a_keyring_serves_threads(client, key_arn, providers):
    ring = keyring(providers, client, key_arn)

    def trip(number: int) -> bool:
        data = str(number).encode()
        sealed, _ = SDK.encrypt(source=data, keyring=ring, encryption_context=CONTEXT)
        return bool(SDK.decrypt(source=sealed, keyring=ring)[0] == data)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(trip, range(16)))


def test_what_one_entry_seals_the_other_opens(kms, key_arn, providers):
    ours, theirs = (keyring(providers, c, key_arn) for c in (kms.client(), kms.boto3_client()))
    sealed, _ = SDK.encrypt(source=SECRET, keyring=ours, encryption_context=CONTEXT)
    assert SDK.decrypt(source=sealed, keyring=theirs)[0] == SECRET


def test_master_key_providers_make_their_own_clients_from_a_session(kms):
    """They want botocore's session, and a boto3 client for each Region."""
    arns = [
        kms.client(region=region).create_key()["KeyMetadata"]["Arn"]
        for region in ("us-east-1", "eu-west-1")
    ]
    strict = StrictAwsKmsMasterKeyProvider(key_ids=arns, botocore_session=kms.botocore_session())
    sealed, _ = SDK.encrypt(source=SECRET, key_provider=strict, encryption_context=CONTEXT)
    assert SDK.decrypt(source=sealed, key_provider=strict)[0] == SECRET
    discovery = DiscoveryAwsKmsMasterKeyProvider(
        botocore_session=kms.botocore_session(region="eu-west-1")
    )
    assert SDK.decrypt(source=sealed, key_provider=discovery)[0] == SECRET
    assert "AwsEncryptionSdkPython" in kms.audit_records()[-1]["userAgent"]
    stranger = DiscoveryAwsKmsMasterKeyProvider(
        botocore_session=kms.botocore_session(account="111122223333")
    )
    with pytest.raises(DecryptKeyError):
        SDK.decrypt(source=sealed, key_provider=stranger)


def test_a_master_key_with_a_boto3_client(kms):
    client = kms.boto3_client()
    key_arn = client.create_key()["KeyMetadata"]["Arn"]
    key = KMSMasterKey(key_id=key_arn, client=client)
    sealed, _ = SDK.encrypt(source=SECRET, key_provider=key)
    assert SDK.decrypt(source=sealed, key_provider=key)[0] == SECRET
