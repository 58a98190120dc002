"""Which members of a request and of an answer may stand in an audit record: a list of what may.

What is not listed is left out, so that a member that a later version of the API adds stays out
of the record until someone has decided that it is no secret. Plaintexts, ciphertexts, messages,
signatures, MACs, key material, import tokens, grant tokens and attestation documents are never
listed. Source: the CloudTrail entries in the AWS KMS Developer Guide, "Logging AWS KMS API calls
with AWS CloudTrail".
"""

from __future__ import annotations

from collections.abc import Mapping

from clavero.model.iam_api import IAM_OPERATIONS, SOURCE

_CONTEXT = ("KeyId", "EncryptionContext", "EncryptionAlgorithm", "DryRun")
_DATA_KEY = ("KeyId", "KeySpec", "NumberOfBytes", "EncryptionContext", "DryRun")
_PAGE = ("Limit", "Marker")

# The request's members, by operation. GenerateRandom's record names its key store and no more.
REQUEST: Mapping[str, tuple[str, ...]] = {
    "AssumeRole": (
        "RoleArn",
        "RoleSessionName",
        "DurationSeconds",
        "ExternalId",
        "Policy",
        "PolicyArns",
        "SourceIdentity",
        "Tags",
        "TransitiveTagKeys",
    ),
    "CancelKeyDeletion": ("KeyId",),
    "ConnectCustomKeyStore": ("CustomKeyStoreId",),
    "CreateAlias": ("AliasName", "TargetKeyId"),
    "CreateCustomKeyStore": (
        "CustomKeyStoreName",
        "CustomKeyStoreType",
        "CloudHsmClusterId",
        "XksProxyConnectivity",
        "XksProxyUriEndpoint",
        "XksProxyUriPath",
        "XksProxyVpcEndpointServiceName",
        "XksProxyVpcEndpointServiceOwner",
    ),
    "CreateGrant": (
        "KeyId",
        "GranteePrincipal",
        "GranteeServicePrincipal",
        "RetiringPrincipal",
        "RetiringServicePrincipal",
        "Operations",
        "Constraints",
        "Name",
        "DryRun",
    ),
    "CreateKey": (
        "Policy",
        "Description",
        "KeyUsage",
        "CustomerMasterKeySpec",
        "KeySpec",
        "Origin",
        "CustomKeyStoreId",
        "BypassPolicyLockoutSafetyCheck",
        "Tags",
        "MultiRegion",
        "XksKeyId",
    ),
    "Decapsulate": ("KeyId", "EncapsulationAlgorithm", "DryRun"),
    "Decrypt": (*_CONTEXT, "DryRunModifiers"),
    "DecryptMany": _CONTEXT,
    "DeleteAlias": ("AliasName",),
    "DeleteCustomKeyStore": ("CustomKeyStoreId",),
    "DeleteImportedKeyMaterial": ("KeyId", "KeyMaterialId"),
    "DeriveSharedSecret": ("KeyId", "KeyAgreementAlgorithm", "DryRun"),
    "DescribeCustomKeyStores": ("CustomKeyStoreId", "CustomKeyStoreName", *_PAGE),
    "DescribeKey": ("KeyId",),
    "DisableKey": ("KeyId",),
    "DisableKeyRotation": ("KeyId",),
    "DisconnectCustomKeyStore": ("CustomKeyStoreId",),
    "EnableKey": ("KeyId",),
    "EnableKeyRotation": ("KeyId", "RotationPeriodInDays"),
    "Encapsulate": ("KeyId", "EncapsulationAlgorithm", "DryRun"),
    "Encrypt": _CONTEXT,
    "EncryptMany": _CONTEXT,
    "GenerateDataKey": _DATA_KEY,
    "GenerateDataKeyPair": ("KeyId", "KeyPairSpec", "EncryptionContext", "DryRun"),
    "GenerateDataKeyPairWithoutPlaintext": ("KeyId", "KeyPairSpec", "EncryptionContext", "DryRun"),
    "GenerateDataKeyWithoutPlaintext": _DATA_KEY,
    "GenerateDataKeys": (*_DATA_KEY, "NumberOfKeys"),
    "GenerateMac": ("KeyId", "MacAlgorithm", "DryRun"),
    "GenerateRandom": ("NumberOfBytes", "CustomKeyStoreId"),
    "GetFederationToken": ("Name", "DurationSeconds", "Policy", "PolicyArns", "Tags"),
    "GetSessionToken": ("DurationSeconds",),
    "GetKeyLastUsage": ("KeyId",),
    "GetKeyPolicy": ("KeyId", "PolicyName"),
    "GetKeyRotationStatus": ("KeyId",),
    "GetParametersForImport": ("KeyId", "WrappingAlgorithm", "WrappingKeySpec"),
    "GetPublicKey": ("KeyId",),
    "ImportKeyMaterial": (
        "KeyId",
        "ValidTo",
        "ExpirationModel",
        "ImportType",
        "KeyMaterialDescription",
        "KeyMaterialId",
    ),
    "ListAliases": ("KeyId", *_PAGE),
    "ListGrants": ("KeyId", "GrantId", "GranteePrincipal", "GranteeServicePrincipal", *_PAGE),
    "ListKeyPolicies": ("KeyId", *_PAGE),
    "ListKeyRotations": ("KeyId", "IncludeKeyMaterial", *_PAGE),
    "ListKeys": ("ResourceOwners", *_PAGE),
    "ListResourceTags": ("KeyId", *_PAGE),
    "ListRetirableGrants": ("RetiringPrincipal", "RetiringServicePrincipal", *_PAGE),
    "PutKeyPolicy": ("KeyId", "PolicyName", "Policy", "BypassPolicyLockoutSafetyCheck"),
    "ReEncrypt": (
        "SourceEncryptionContext",
        "SourceKeyId",
        "DestinationKeyId",
        "DestinationEncryptionContext",
        "SourceEncryptionAlgorithm",
        "DestinationEncryptionAlgorithm",
        "DryRun",
        "DryRunModifiers",
    ),
    "ReplicateKey": (
        "KeyId",
        "ReplicaRegion",
        "Policy",
        "BypassPolicyLockoutSafetyCheck",
        "Description",
        "Tags",
    ),
    "RetireGrant": ("KeyId", "GrantId", "DryRun"),
    "RevokeGrant": ("KeyId", "GrantId", "DryRun"),
    "RotateKeyOnDemand": ("KeyId",),
    "ScheduleKeyDeletion": ("KeyId", "PendingWindowInDays"),
    "Sign": ("KeyId", "MessageType", "SigningAlgorithm", "DryRun"),
    "TagResource": ("KeyId", "Tags"),
    "UntagResource": ("KeyId", "TagKeys"),
    "UpdateAlias": ("AliasName", "TargetKeyId"),
    "UpdateCustomKeyStore": (
        "CustomKeyStoreId",
        "NewCustomKeyStoreName",
        "CloudHsmClusterId",
        "XksProxyUriEndpoint",
        "XksProxyUriPath",
        "XksProxyVpcEndpointServiceName",
        "XksProxyVpcEndpointServiceOwner",
        "XksProxyConnectivity",
    ),
    "UpdateKeyDescription": ("KeyId", "Description"),
    "UpdatePrimaryRegion": ("KeyId", "PrimaryRegion"),
    "Verify": ("KeyId", "MessageType", "SigningAlgorithm", "DryRun"),
    "VerifyMac": ("KeyId", "MacAlgorithm", "DryRun"),
    # None of IAM's parameters is a secret
    **{name: tuple(operation.parameters) for name, operation in IAM_OPERATIONS.items()},
}

# The answer's members, by operation; every other operation's responseElements are null.
RESPONSE: Mapping[str, tuple[str, ...]] = {
    "CancelKeyDeletion": ("KeyId",),
    "CreateCustomKeyStore": ("CustomKeyStoreId",),
    "CreateGrant": ("GrantId", "KeyId"),
    "CreateGroup": ("Group",),
    "CreateKey": ("KeyMetadata",),
    "CreatePolicy": ("Policy",),
    "CreateRole": ("Role",),
    "CreateUser": ("User",),
    "DeleteImportedKeyMaterial": ("KeyId", "KeyMaterialId"),
    "DeleteKey": ("KeyId",),
    "ImportKeyMaterial": ("KeyId", "KeyMaterialId"),
    "ReplicateKey": ("ReplicaKeyMetadata", "ReplicaPolicy", "ReplicaTags"),
    "RotateKeyOnDemand": ("KeyId",),
    "ScheduleKeyDeletion": ("KeyId", "DeletionDate", "KeyState", "PendingWindowInDays"),
}

# Operations that change the deployment; the others are readOnly, as AWS has it.
CHANGING: frozenset[str] = frozenset(
    name for name, operation in IAM_OPERATIONS.items() if operation.changes
) | frozenset(
    {
        "CancelKeyDeletion",
        "ConnectCustomKeyStore",
        "CreateAlias",
        "CreateCustomKeyStore",
        "CreateGrant",
        "CreateKey",
        "DeleteAlias",
        "DeleteCustomKeyStore",
        "DeleteExpiredKeyMaterial",
        "DeleteImportedKeyMaterial",
        "DeleteKey",
        "DisableKey",
        "DisableKeyRotation",
        "DisconnectCustomKeyStore",
        "EnableKey",
        "EnableKeyRotation",
        "ImportKeyMaterial",
        "PutKeyPolicy",
        "ReplicateKey",
        "RetireGrant",
        "RevokeGrant",
        "RotateDomainKey",
        "RotateKey",
        "RotateKeyOnDemand",
        "ScheduleKeyDeletion",
        "SeedKey",
        "SynchronizeMultiRegionKey",
        "TagResource",
        "UntagResource",
        "UpdateAlias",
        "UpdateCustomKeyStore",
        "UpdateKeyDescription",
        "UpdatePrimaryRegion",
    }
)

# What the service does by itself, without a caller: an AwsServiceEvent.
SERVICE_EVENTS: frozenset[str] = frozenset(
    {"DeleteExpiredKeyMaterial", "DeleteKey", "RotateDomainKey", "RotateKey", "SeedKey"}
)

# Operations of another service than KMS, which the endpoint has beside it.
SOURCES: Mapping[str, str] = {
    **dict.fromkeys(
        ("AssumeRole", "GetCallerIdentity", "GetFederationToken", "GetSessionToken"),
        "sts.amazonaws.com",
    ),
    **dict.fromkeys(IAM_OPERATIONS, SOURCE),
}
