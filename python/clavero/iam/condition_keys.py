"""The condition keys: which are multi-valued, and the kms: keys with where each is present.

Source: Service Authorization Reference for AWS KMS; AWS KMS Developer Guide, "AWS KMS condition
keys"; IAM User Guide, "AWS global condition context keys". Names are compared in lower case. That a
key is single- or multi-valued is a property of the key, not of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from clavero.iam.actions import (
    CRYPTOGRAPHIC,
    DATA_KEYS,
    KEY_ACTIONS,
    STORES,
    WITH_CONTEXT,
)


class ConditionKey(NamedTuple):
    """A kms: condition key: its type, whether it has several values, and the actions that have it.

    `name` ends with `:` where names of the caller's choosing follow.
    """

    name: str
    kind: str
    multi: bool
    actions: frozenset[str]


def _of(*names: str) -> frozenset[str]:
    return frozenset(names)


_ON_KEYS: Final = KEY_ACTIONS
_MADE_OR_KEY: Final = KEY_ACTIONS | {"CreateKey"}
_PAIRS: Final = _of("GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext")
_ATTESTED: Final = _of(
    "Decrypt", "DeriveSharedSecret", "GenerateDataKey", "GenerateDataKeyPair", "GenerateRandom"
)

_ROWS: Final = (
    ConditionKey("kms:BypassPolicyLockoutSafetyCheck", "Bool", False,
                 _of("CreateKey", "PutKeyPolicy")),
    ConditionKey("kms:CallerAccount", "String", False, _MADE_OR_KEY | STORES),
    ConditionKey("kms:CustomerMasterKeySpec", "String", False, _MADE_OR_KEY),
    ConditionKey("kms:CustomerMasterKeyUsage", "String", False, _MADE_OR_KEY),
    ConditionKey("kms:DataKeyPairSpec", "String", False, _PAIRS),
    ConditionKey("kms:EncryptionAlgorithm", "String", False,
                 _of("Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo") | DATA_KEYS),
    ConditionKey("kms:EncryptionContext:", "String", False, WITH_CONTEXT),
    ConditionKey("kms:EncryptionContextKeys", "String", True, WITH_CONTEXT),
    ConditionKey("kms:ExpirationModel", "String", False, _of("ImportKeyMaterial")),
    ConditionKey("kms:GrantConstraintSourceArn", "ARN", False, _of("CreateGrant")),
    ConditionKey("kms:GrantConstraintType", "String", False, _of("CreateGrant", "RetireGrant")),
    ConditionKey("kms:GrantIsForAWSResource", "Bool", False,
                 _of("CreateGrant", "ListGrants", "RevokeGrant")),
    ConditionKey("kms:GrantOperations", "String", True, _of("CreateGrant")),
    ConditionKey("kms:GranteePrincipal", "String", False, _of("CreateGrant")),
    ConditionKey("kms:GranteeServicePrincipal", "String", False, _of("CreateGrant")),
    ConditionKey("kms:KeyAgreementAlgorithm", "String", False, _of("DeriveSharedSecret")),
    ConditionKey("kms:KeyOrigin", "String", False, _MADE_OR_KEY),
    ConditionKey("kms:KeySpec", "String", False, _MADE_OR_KEY),
    ConditionKey("kms:KeyUsage", "String", False, _MADE_OR_KEY),
    ConditionKey("kms:MacAlgorithm", "String", False, _of("GenerateMac", "VerifyMac")),
    ConditionKey("kms:MessageType", "String", False, _of("Sign", "Verify")),
    ConditionKey("kms:MultiRegion", "Bool", False, _MADE_OR_KEY),
    ConditionKey("kms:MultiRegionKeyType", "String", False, _MADE_OR_KEY),
    ConditionKey("kms:PolicyName", "String", False, _of("GetKeyPolicy", "PutKeyPolicy")),
    ConditionKey("kms:PrimaryRegion", "String", False, _of("UpdatePrimaryRegion")),
    ConditionKey("kms:ReEncryptOnSameKey", "Bool", False, _of("ReEncryptFrom", "ReEncryptTo")),
    ConditionKey("kms:RecipientAttestation:ImageSha384", "String", False, _ATTESTED),
    *(ConditionKey(f"kms:RecipientAttestation:PCR{each}", "String", False, _ATTESTED)
      for each in range(32)),
    *(ConditionKey(f"kms:RecipientAttestation:NitroTPMPCR{each}", "String", False, _ATTESTED)
      for each in range(24)),
    ConditionKey("kms:ReplicaRegion", "String", False, _of("ReplicateKey")),
    ConditionKey("kms:RequestAlias", "String", False,
                 CRYPTOGRAPHIC | {"DescribeKey", "GetPublicKey"}),
    ConditionKey("kms:ResourceAliases", "String", True, _ON_KEYS),
    ConditionKey("kms:RetiringPrincipal", "String", False, _of("CreateGrant")),
    ConditionKey("kms:RetiringServicePrincipal", "String", False, _of("CreateGrant")),
    ConditionKey("kms:RotationPeriodInDays", "Numeric", False, _of("EnableKeyRotation")),
    ConditionKey("kms:ScheduleKeyDeletionPendingWindowInDays", "Numeric", False,
                 _of("ScheduleKeyDeletion")),
    ConditionKey("kms:SigningAlgorithm", "String", False, _of("Sign", "Verify")),
    ConditionKey("kms:TrailingDaysWithoutKeyUsage", "Numeric", False,
                 _of("DisableKey", "ScheduleKeyDeletion")),
    ConditionKey("kms:ValidTo", "Date", False, _of("ImportKeyMaterial")),
    ConditionKey("kms:ViaService", "String", False, _MADE_OR_KEY),
    ConditionKey("kms:WrappingAlgorithm", "String", False, _of("GetParametersForImport")),
    ConditionKey("kms:WrappingKeySpec", "String", False, _of("GetParametersForImport")),
)  # fmt: skip

# By name in lower case.
KMS_KEYS: Final[Mapping[str, ConditionKey]] = {row.name.lower(): row for row in _ROWS}
CONTEXT_PREFIX: Final = "kms:encryptioncontext:"
ATTESTATION_PREFIX: Final = "kms:recipientattestation:"

# aws: keys that have several values; every other one has one.
_MULTI_GLOBAL: Final = frozenset(
    {
        "aws:tagkeys",
        "aws:calledvia",
        "aws:principalorgpaths",
        "aws:sourceorgpaths",
        "aws:resourceorgpaths",
        "aws:principalservicenameslist",
        "sts:transitivetagkeys",
    }
)
MULTI: Final = _MULTI_GLOBAL | {name for name, row in KMS_KEYS.items() if row.multi}


def has_it(name: str, action: str) -> bool:
    """Whether requests for the action (without `kms:`) have the kms: key `name`, in lower case."""
    if name.startswith(CONTEXT_PREFIX):
        name = CONTEXT_PREFIX
    row = KMS_KEYS.get(name)
    return row is not None and action in row.actions
