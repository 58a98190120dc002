"""The request quotas of AWS KMS: how many requests a second, for each class of operations.

Source: AWS KMS Developer Guide, "Request quotas", whose names the classes have, without their last
words `request rate`. A quota is an account's in a Region, and each is counted on its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from clavero.model.generated import OPERATIONS
from clavero.model.specs import SYMMETRIC_DEFAULT

SYMMETRIC: Final = "Cryptographic operations (symmetric)"
RSA: Final = "Cryptographic operations (RSA)"
ECC: Final = "Cryptographic operations (ECC and SM2)"
ML_DSA: Final = "Cryptographic operations (ML-DSA)"
# The guide names none for ML-KEM yet. Ours: a class of its own, with the rate of ML-DSA's.
ML_KEM: Final = "Cryptographic operations (ML-KEM)"

# Regions with more than the 10,000 requests on symmetric keys that the others have.
_SYMMETRIC_IN: Final[Mapping[str, float]] = MappingProxyType(
    {
        **dict.fromkeys(("us-east-1", "us-west-2", "eu-west-1"), 100_000.0),
        **dict.fromkeys(
            (
                "us-east-2",
                "ap-southeast-1",
                "ap-southeast-2",
                "ap-northeast-1",
                "eu-central-1",
                "eu-west-2",
            ),
            20_000.0,
        ),
    }
)
_CHINA: Final = MappingProxyType({"RSA_2048": 1.0, "RSA_3072": 0.5, "RSA_4096": 0.1})
_PAIRS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "ECC_NIST_P256": 100.0,
        "ECC_NIST_P384": 100.0,
        "ECC_NIST_P521": 100.0,
        "ECC_SECG_P256K1": 100.0,
        "ECC_NIST_EDWARDS25519": 100.0,
        # The guide names none of these three yet. Ours: as for the curves.
        "ML_KEM_512": 100.0,
        "ML_KEM_768": 100.0,
        "ML_KEM_1024": 100.0,
        "RSA_2048": 20.0,
        "RSA_3072": 4.0,
        "RSA_4096": 1.0,
        "SM2": 25.0,
    }
)
_BY_NAME: Final[Mapping[str, float]] = MappingProxyType(
    {
        "GetParametersForImport": 1.0,
        "TagResource": 10.0,
        **dict.fromkeys(
            (
                "DeleteAlias",
                "DeleteImportedKeyMaterial",
                "EnableKeyRotation",
                "ImportKeyMaterial",
                "PutKeyPolicy",
                "ScheduleKeyDeletion",
            ),
            15.0,
        ),
        **dict.fromkeys(("CreateGrant", "RetireGrant", "RevokeGrant"), 50.0),
        **dict.fromkeys(
            ("ListGrants", "ListKeyPolicies", "ListKeyRotations", "ListRetirableGrants"), 100.0
        ),
        **dict.fromkeys(("ListAliases", "ListKeys"), 500.0),
        **dict.fromkeys(("GetKeyPolicy", "GetKeyRotationStatus"), 1000.0),
        **dict.fromkeys(("DescribeKey", "GetPublicKey", "ListResourceTags"), 2000.0),
    }
)
_MANAGEMENT: Final = 5.0  # every other operation's, as the guide lists them one by one

_SHARED: Final = frozenset(
    {
        "Decapsulate",
        "Decrypt",
        "DeriveSharedSecret",
        "Encapsulate",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateMac",
        "GenerateRandom",
        "ReEncrypt",
        "Sign",
        "Verify",
        "VerifyMac",
    }
)
_PAIR_OPERATIONS: Final = frozenset({"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"})


def _of_pair(spec: str) -> str:
    return f"GenerateDataKeyPair ({spec})"


DEFAULTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        SYMMETRIC: 10_000.0,
        RSA: 1000.0,
        ECC: 1000.0,
        ML_DSA: 1000.0,
        ML_KEM: 1000.0,
        **{_of_pair(spec): rate for spec, rate in _PAIRS.items()},
        **{
            name: _BY_NAME.get(name, _MANAGEMENT)
            for name in OPERATIONS
            if name not in _SHARED | _PAIR_OPERATIONS
        },
    }
)

_FAMILIES: Final = MappingProxyType(
    {"RSA": RSA, "ECC": ECC, "SM2": ECC, "ML_DSA": ML_DSA, "ML_KEM": ML_KEM}
)


def classes_of(operation: str, specs: Collection[str], pair_spec: str | None) -> set[str]:
    """The classes that a request counts in: by its operation, and the KeySpecs of its keys.

    `pair_spec` is its KeyPairSpec. Two keys of different kinds, as ReEncrypt may have, are in two.
    """
    if operation in _SHARED:
        return {_family(spec) for spec in specs or (SYMMETRIC_DEFAULT,)}
    if operation in _PAIR_OPERATIONS:
        return {_of_pair(pair_spec or "")}
    return {operation}


def _family(spec: str) -> str:
    for prefix, found in _FAMILIES.items():
        if spec.startswith(prefix):
            return found
    return SYMMETRIC  # SYMMETRIC_DEFAULT and HMAC


class RequestQuotas:
    """How many requests a second an account may make in a Region, in each class of operations.

    AWS's, but for the classes named in `rates`: a number of requests a second, or None for as many
    as one likes. A class is named as AWS's Service Quotas name its quota, without the last words
    `request rate`: `CreateKey`, `Cryptographic operations (symmetric)`, `GenerateDataKeyPair
    (RSA_2048)`. `RequestQuotas.only(rates)` leaves every other class without a limit. Raises
    ValueError for a class that there is not, and for a rate that is not above zero.
    """

    __slots__ = ("_rates",)

    def __init__(self, rates: Mapping[str, float | None] | None = None) -> None:
        self._rates = dict(rates or {})
        for name, rate in self._rates.items():
            if name not in DEFAULTS:
                raise ValueError(
                    f"{name!r} is no class of request quotas; the classes are: "
                    f"{', '.join(DEFAULTS)}"
                )
            if rate is not None and not 0 < rate < float("inf"):
                raise ValueError(f"a request rate is a number above zero or None, not {rate!r}")

    @classmethod
    def only(cls, rates: Mapping[str, float | None]) -> RequestQuotas:
        """These quotas and no other."""
        return cls({**dict.fromkeys(DEFAULTS), **rates})

    def rate(self, name: str, region: str) -> float | None:
        """Requests a second in the class and the Region; None without a limit."""
        if name in self._rates:
            return self._rates[name]
        if name == SYMMETRIC:
            return _SYMMETRIC_IN.get(region, DEFAULTS[name])
        if region.startswith("cn-") and name.endswith(")"):
            spec = name.removeprefix("GenerateDataKeyPair (").removesuffix(")")
            return _CHINA.get(spec, DEFAULTS.get(name))
        return DEFAULTS.get(name)
