"""The AWS Encryption SDK over HTTPS: keyrings of the material providers, master key providers.

`client.py seal ARN` and `client.py open ARN` take a message from the standard input instead, and
give it sealed or opened, in base64: for implementations in other languages.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

import aws_encryption_sdk
import boto3
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    CreateAwsKmsDiscoveryKeyringInput,
    CreateAwsKmsEcdhKeyringInput,
    CreateAwsKmsKeyringInput,
    CreateAwsKmsMrkKeyringInput,
    CreateAwsKmsRsaKeyringInput,
    CreateMultiKeyringInput,
    DiscoveryFilter,
    KmsEcdhStaticConfigurationsKmsPrivateKeyToStaticPublicKey,
    KmsEcdhStaticConfigurationsKmsPublicKeyDiscovery,
    KmsPrivateKeyToStaticPublicKeyInput,
    KmsPublicKeyDiscoveryInput,
)
from aws_encryption_sdk import CommitmentPolicy, StrictAwsKmsMasterKeyProvider
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError
from aws_encryption_sdk.identifiers import Algorithm
from cryptography.exceptions import InvalidSignature

SDK = aws_encryption_sdk.EncryptionSDKClient(
    commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
)
PROVIDERS = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
CONTEXT = {"table": "orders", "ключ": "значение"}
SECRET = "Grüße ".encode() * 10_000
DEFAULT_SUITE = Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
UNSIGNED_SUITE = Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY


def ring_of(kms: Any, arn: str) -> Any:
    """A keyring of one key."""
    wanted = CreateAwsKmsKeyringInput(kms_key_id=arn, kms_client=kms)
    return PROVIDERS.create_aws_kms_keyring(input=wanted)


def refusal(call: Callable[..., object], **arguments: object) -> str:
    try:
        call(**arguments)
    except (AWSEncryptionSDKClientError, InvalidSignature) as error:
        return f"{error!r} {error.__cause__!r} {error.__context__!r}"
    return ""  # it was not refused


def keyrings(kms: Any, arns: list[str]) -> dict[str, bool]:
    """One key, and two of which one is enough."""
    first, second = (ring_of(kms, arn) for arn in arns)
    seen = {}
    sealed, header = SDK.encrypt(source=SECRET, keyring=first, encryption_context=CONTEXT)
    seen["default suite"] = header.algorithm is DEFAULT_SUITE and SECRET[:20] not in sealed
    opened, header = SDK.decrypt(source=sealed, keyring=first, encryption_context=CONTEXT)
    seen["opened"] = opened == SECRET and CONTEXT.items() <= header.encryption_context.items()
    torn = sealed[:-1] + bytes([sealed[-1] ^ 1])
    seen["torn"] = "InvalidSignature" in refusal(SDK.decrypt, source=torn, keyring=first)
    stranger = refusal(SDK.decrypt, source=sealed, keyring=second)
    seen["another key"] = "Unable to decrypt data key" in stranger

    both = PROVIDERS.create_multi_keyring(
        input=CreateMultiKeyringInput(generator=first, child_keyrings=[second])
    )
    sealed, header = SDK.encrypt(source=SECRET, keyring=both, encryption_context=CONTEXT)
    infos = {key.key_provider.key_info.decode() for key in header.encrypted_data_keys}
    seen["multi-keyring"] = infos == set(arns)
    for name, ring in (("first", first), ("second", second), ("both", both)):
        seen[f"opened by {name}"] = SDK.decrypt(source=sealed, keyring=ring)[0] == SECRET
    kms.disable_key(KeyId=arns[0])
    seen["one of two is enough"] = SDK.decrypt(source=sealed, keyring=both)[0] == SECRET
    seen["disabled"] = "is disabled" in refusal(SDK.decrypt, source=sealed, keyring=first)
    kms.enable_key(KeyId=arns[0])
    return seen


def opens(sealing: Any, opening: Any, **options: Any) -> bool:
    """Whether what one keyring sealed the other opens."""
    sealed, _ = SDK.encrypt(source=SECRET, keyring=sealing, **options)
    return bool(SDK.decrypt(source=sealed, keyring=opening)[0] == SECRET)


def discovery(kms: Any, arns: list[str]) -> dict[str, bool]:
    """Whichever key a message names, if it is of an account that was given."""
    account = arns[0].split(":")[4]

    def ring(*accounts: str) -> Any:
        only = DiscoveryFilter(account_ids=[*accounts], partition="aws")
        wanted = CreateAwsKmsDiscoveryKeyringInput(kms_client=kms, discovery_filter=only)
        return PROVIDERS.create_aws_kms_discovery_keyring(input=wanted)

    sealed, _ = SDK.encrypt(source=SECRET, keyring=ring_of(kms, arns[0]))
    others = refusal(SDK.decrypt, source=sealed, keyring=ring("111122223333"))
    return {
        "discovery": opens(ring_of(kms, arns[1]), ring(account)),
        "discovery of others": "Unable to decrypt data key" in others,
    }


def replicas(kms: Any) -> dict[str, bool]:
    """A multi-Region key: each Region opens what another sealed."""
    made = kms.create_key(MultiRegion=True)["KeyMetadata"]
    kms.replicate_key(KeyId=made["KeyId"], ReplicaRegion="eu-west-1")
    there = boto3.client("kms", "eu-west-1")

    def ring(client: Any) -> Any:
        arn = client.describe_key(KeyId=made["KeyId"])["KeyMetadata"]["Arn"]
        wanted = CreateAwsKmsMrkKeyringInput(kms_key_id=arn, kms_client=client)
        return PROVIDERS.create_aws_kms_mrk_keyring(input=wanted)

    return {"replica": opens(ring(kms), ring(there)), "primary": opens(ring(there), ring(kms))}


def key_agreement(kms: Any) -> dict[str, bool]:
    """Two key pairs of the KMS, whose shared secret wraps the data key."""
    kinds = {"KeySpec": "ECC_NIST_P384", "KeyUsage": "KEY_AGREEMENT"}
    sender, recipient = (kms.create_key(**kinds)["KeyMetadata"]["Arn"] for _ in range(2))
    public = {arn: kms.get_public_key(KeyId=arn)["PublicKey"] for arn in (sender, recipient)}

    def ring(scheme: Any) -> Any:
        wanted = CreateAwsKmsEcdhKeyringInput(
            key_agreement_scheme=scheme, curve_spec="ECC_NIST_P384", kms_client=kms
        )
        return PROVIDERS.create_aws_kms_ecdh_keyring(input=wanted)

    sealing = ring(
        KmsEcdhStaticConfigurationsKmsPrivateKeyToStaticPublicKey(
            KmsPrivateKeyToStaticPublicKeyInput(
                sender_kms_identifier=sender,
                sender_public_key=public[sender],
                recipient_public_key=public[recipient],
            )
        )
    )
    opening = ring(
        KmsEcdhStaticConfigurationsKmsPublicKeyDiscovery(
            KmsPublicKeyDiscoveryInput(recipient_kms_identifier=recipient)
        )
    )
    return {"key agreement": opens(sealing, opening)}


def rsa(kms: Any) -> dict[str, bool]:
    """Sealed with the public key alone, opened by the KMS."""
    kinds = {"KeySpec": "RSA_3072", "KeyUsage": "ENCRYPT_DECRYPT"}
    arn = kms.create_key(**kinds)["KeyMetadata"]["Arn"]
    der = base64.encodebytes(kms.get_public_key(KeyId=arn)["PublicKey"])
    pem = b"-----BEGIN PUBLIC KEY-----\n" + der + b"-----END PUBLIC KEY-----\n"
    wanted = CreateAwsKmsRsaKeyringInput(
        kms_key_id=arn, encryption_algorithm="RSAES_OAEP_SHA_256", public_key=pem, kms_client=kms
    )
    ring = PROVIDERS.create_aws_kms_rsa_keyring(input=wanted)
    return {"RSA": opens(ring, ring, algorithm=UNSIGNED_SUITE)}


def master_keys(kms: Any, arns: list[str]) -> dict[str, bool]:
    """The provider makes clients of its own, from the environment."""
    strict = StrictAwsKmsMasterKeyProvider(key_ids=arns)
    sealed, header = SDK.encrypt(source=SECRET, key_provider=strict, encryption_context=CONTEXT)
    seen = {"master keys": len(header.encrypted_data_keys) == 2}
    seen["opened by master keys"] = SDK.decrypt(source=sealed, key_provider=strict)[0] == SECRET
    ring = ring_of(kms, arns[1])
    seen["master keys to keyring"] = SDK.decrypt(source=sealed, keyring=ring)[0] == SECRET
    sealed, _ = SDK.encrypt(source=SECRET, keyring=ring, encryption_context=CONTEXT)
    one = StrictAwsKmsMasterKeyProvider(key_ids=arns[1:])
    seen["keyring to master keys"] = SDK.decrypt(source=sealed, key_provider=one)[0] == SECRET
    return seen


def main() -> None:
    kms = boto3.client("kms")
    if len(sys.argv) == 3:
        ring, message = ring_of(kms, sys.argv[2]), base64.b64decode(sys.stdin.read())
        if sys.argv[1] == "seal":
            done, _ = SDK.encrypt(source=message, keyring=ring, encryption_context=CONTEXT)
        else:
            done, _ = SDK.decrypt(source=message, keyring=ring, encryption_context=CONTEXT)
        sys.stdout.write(base64.b64encode(done).decode())
    else:
        arns = [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
        seen = keyrings(kms, arns) | discovery(kms, arns) | master_keys(kms, arns)
        json.dump(seen | replicas(kms) | key_agreement(kms) | rsa(kms), sys.stdout)


main()
