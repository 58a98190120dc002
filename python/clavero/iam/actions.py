"""The actions of KMS: which are on a key, which a principal of another account may be allowed.

Source: AWS KMS Developer Guide, "AWS KMS permissions". Names are without their `kms:`.
"""

from __future__ import annotations

from typing import Final

DATA_KEYS: Final = frozenset(
    {
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
    }
)
CRYPTOGRAPHIC: Final = DATA_KEYS | {
    "Decapsulate",
    "Decrypt",
    "DeriveSharedSecret",
    "Encapsulate",
    "Encrypt",
    "GenerateMac",
    "ReEncryptFrom",
    "ReEncryptTo",
    "Sign",
    "Verify",
    "VerifyMac",
}
# What key policies can give to principals of other accounts.
CROSS_ACCOUNT: Final = CRYPTOGRAPHIC | {
    "CreateGrant",
    "DescribeKey",
    "GetKeyRotationStatus",
    "GetPublicKey",
    "ListGrants",
    "RetireGrant",
    "RevokeGrant",
}
KEY_ACTIONS: Final = CROSS_ACCOUNT | {
    "CancelKeyDeletion",
    "CreateAlias",
    "DeleteAlias",
    "DeleteImportedKeyMaterial",
    "DisableKey",
    "DisableKeyRotation",
    "EnableKey",
    "EnableKeyRotation",
    "GetKeyLastUsage",
    "GetKeyPolicy",
    "GetParametersForImport",
    "ImportKeyMaterial",
    "ListKeyPolicies",
    "ListKeyRotations",
    "ListResourceTags",
    "PutKeyPolicy",
    "ReplicateKey",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "SynchronizeMultiRegionKey",
    "TagResource",
    "UntagResource",
    "UpdateAlias",
    "UpdateKeyDescription",
    "UpdatePrimaryRegion",
}
STORES: Final = frozenset(
    {
        "ConnectCustomKeyStore",
        "CreateCustomKeyStore",
        "DeleteCustomKeyStore",
        "DescribeCustomKeyStores",
        "DisconnectCustomKeyStore",
        "UpdateCustomKeyStore",
    }
)
# Those whose requests have an encryption context, or a grant's constraint in its place.
WITH_CONTEXT: Final = DATA_KEYS | {
    "CreateGrant",
    "Decrypt",
    "Encrypt",
    "ReEncryptFrom",
    "ReEncryptTo",
    "RetireGrant",
}
# The operations that a grant can give.
GRANTABLE: Final = CRYPTOGRAPHIC | {"CreateGrant", "DescribeKey", "GetPublicKey", "RetireGrant"}
