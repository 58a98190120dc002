"""What keys of each KeySpec are for, and with which algorithms: one table, and its refusals.

Source: AWS KMS Developer Guide, "Key spec reference" and "Asymmetric key specs"; AWS KMS API
reference, CreateKey (KeySpec, KeyUsage), Encrypt (plaintext limits), Sign (MessageType). The order
within each list is AWS's, as its answers have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from clavero.model import errors, import_errors

SYMMETRIC_DEFAULT: Final = "SYMMETRIC_DEFAULT"
SM2: Final = "SM2"

ENCRYPT_DECRYPT: Final = "ENCRYPT_DECRYPT"
SIGN_VERIFY: Final = "SIGN_VERIFY"
GENERATE_VERIFY_MAC: Final = "GENERATE_VERIFY_MAC"
KEY_AGREEMENT: Final = "KEY_AGREEMENT"
ENCAPSULATE_DECAPSULATE: Final = "ENCAPSULATE_DECAPSULATE"

RSA_SPECS: Final = ("RSA_2048", "RSA_3072", "RSA_4096")
NIST_CURVES: Final = ("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521")
ML_DSA_SPECS: Final = ("ML_DSA_44", "ML_DSA_65", "ML_DSA_87")
ML_KEM_SPECS: Final = ("ML_KEM_512", "ML_KEM_768", "ML_KEM_1024")
HMAC_SPECS: Final = ("HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512")

# The member of KeyMetadata and of GetPublicKey's answer that lists a usage's algorithms.
MEMBER_OF: Final[Mapping[str, str]] = MappingProxyType(
    {
        ENCRYPT_DECRYPT: "EncryptionAlgorithms",
        SIGN_VERIFY: "SigningAlgorithms",
        GENERATE_VERIFY_MAC: "MacAlgorithms",
        KEY_AGREEMENT: "KeyAgreementAlgorithms",
        ENCAPSULATE_DECAPSULATE: "EncapsulationAlgorithms",
    }
)

RSA_ENCRYPTION: Final = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")
_RSA_SIGNING: Final = (
    "RSASSA_PKCS1_V1_5_SHA_256",
    "RSASSA_PKCS1_V1_5_SHA_384",
    "RSASSA_PKCS1_V1_5_SHA_512",
    "RSASSA_PSS_SHA_256",
    "RSASSA_PSS_SHA_384",
    "RSASSA_PSS_SHA_512",
)
ED25519_PURE: Final = "ED25519_SHA_512"
ED25519_PREHASHED: Final = "ED25519_PH_SHA_512"

_TABLE: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType(
    {
        SYMMETRIC_DEFAULT: {ENCRYPT_DECRYPT: (SYMMETRIC_DEFAULT,)},
        **{s: {ENCRYPT_DECRYPT: RSA_ENCRYPTION, SIGN_VERIFY: _RSA_SIGNING} for s in RSA_SPECS},
        "ECC_NIST_P256": {SIGN_VERIFY: ("ECDSA_SHA_256",), KEY_AGREEMENT: ("ECDH",)},
        "ECC_NIST_P384": {SIGN_VERIFY: ("ECDSA_SHA_384",), KEY_AGREEMENT: ("ECDH",)},
        "ECC_NIST_P521": {SIGN_VERIFY: ("ECDSA_SHA_512",), KEY_AGREEMENT: ("ECDH",)},
        "ECC_SECG_P256K1": {SIGN_VERIFY: ("ECDSA_SHA_256",)},
        "ECC_NIST_EDWARDS25519": {SIGN_VERIFY: (ED25519_PREHASHED, ED25519_PURE)},
        **{s: {SIGN_VERIFY: ("ML_DSA_SHAKE_256",)} for s in ML_DSA_SPECS},
        **{s: {ENCAPSULATE_DECAPSULATE: ("ML_KEM",)} for s in ML_KEM_SPECS},
        **{s: {GENERATE_VERIFY_MAC: (s.replace("HMAC", "HMAC_SHA"),)} for s in HMAC_SPECS},
    }
)

# Bytes of a modulus, and what OAEP takes of it: 2 * (length of the hash + 1). RFC 8017, 7.1.1.
_MODULUS: Final = MappingProxyType({"RSA_2048": 256, "RSA_3072": 384, "RSA_4096": 512})
_OAEP: Final = MappingProxyType({"RSAES_OAEP_SHA_1": 42, "RSAES_OAEP_SHA_256": 66})
_DIGEST_BYTES: Final = MappingProxyType({"256": 32, "384": 48, "512": 64})
# Bytes of the message representative mu of ML-DSA. FIPS 204, algorithm 7.
EXTERNAL_MU_BYTES: Final = 64
# AWS KMS Developer Guide, "Importing key material step 1" (what can be imported) and "Select a
# wrapping algorithm"; for Ed25519 as AWS KMS was seen to answer.
_NOT_EXTERNAL: Final = frozenset({*ML_DSA_SPECS, *ML_KEM_SPECS})
_DIRECT: Final = frozenset({"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"})
_HYBRID: Final = frozenset({"RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"})
_TOO_LONG_FOR_RSA_2048: Final = frozenset({"ECC_NIST_P521", "ECC_NIST_EDWARDS25519"})
_ENCAPSULATED: Final = MappingProxyType(
    {"ML_KEM_512": 768, "ML_KEM_768": 1088, "ML_KEM_1024": 1568}
)


def all_kinds() -> list[tuple[str, str]]:
    """Every pair of KeySpec and KeyUsage that a key can have."""
    return [(spec, usage) for spec, usages in _TABLE.items() for usage in usages]


def algorithms(spec: str, usage: str) -> tuple[str, ...]:
    """The algorithms of a key. KeyError for a pair that no key has."""
    return _TABLE[spec][usage]


def algorithm_members(spec: str, usage: str) -> dict[str, list[str]]:
    """The member of KeyMetadata, or of GetPublicKey's answer, that lists the key's algorithms."""
    return {MEMBER_OF[usage]: list(_TABLE[spec][usage])}


def has_public_key(spec: str) -> bool:
    """Whether the spec is of key pairs."""
    return spec != SYMMETRIC_DEFAULT and spec not in HMAC_SPECS


def usage_of(spec: str, usage: str | None) -> str:
    """The KeyUsage of a new key. Raises KMSError for what no key of the spec is for."""
    if spec == SM2:
        raise errors.only_in_china(spec)
    if usage is None:
        if spec != SYMMETRIC_DEFAULT:
            raise errors.key_usage_required()
        return ENCRYPT_DECRYPT
    if usage not in _TABLE[spec]:
        raise errors.usage_incompatible(usage, spec)
    return usage


def plaintext_limit(spec: str, algorithm: str) -> int:
    """The most bytes that an RSA key encrypts with the algorithm."""
    return _MODULUS[spec] - _OAEP[algorithm]


def check_plaintext(spec: str, algorithm: str, length: int) -> None:
    """Refuse a plaintext that is too long for the RSA key."""
    limit = plaintext_limit(spec, algorithm)
    if length > limit:
        raise errors.plaintext_too_long(algorithm, spec, limit)


def check_message(spec: str, algorithm: str, message_type: str, length: int) -> None:
    """Refuse a MessageType that does not go with the key, or a digest of another length."""
    if spec in ML_DSA_SPECS:
        if message_type == "DIGEST":
            raise errors.message_type_of_spec(message_type, spec)
        if message_type == "EXTERNAL_MU" and length != EXTERNAL_MU_BYTES:
            raise errors.external_mu_length(algorithm)
        return
    if message_type == "EXTERNAL_MU":
        raise errors.message_type_of_spec(message_type, spec)
    # Ed25519 hashes the message itself, twice; what was hashed before is another algorithm's.
    only = {ED25519_PURE: "RAW", ED25519_PREHASHED: "DIGEST"}.get(algorithm, message_type)
    if message_type != only:
        raise errors.message_type_of_algorithm(message_type, algorithm)
    if message_type == "DIGEST" and length != _DIGEST_BYTES[algorithm[-3:]]:
        raise errors.digest_length(algorithm)


def encapsulated_bytes(spec: str) -> int:
    """The length of a secret that is encapsulated for a key of the spec. FIPS 203, table 3."""
    return _ENCAPSULATED[spec]


def check_external(spec: str) -> None:
    """Refuse a key whose material cannot be imported."""
    if spec in _NOT_EXTERNAL:
        raise import_errors.spec_not_external(spec)


def check_wrapping(spec: str, algorithm: str, wrapping_spec: str) -> None:
    """Refuse to wrap the material of a key of the spec like this."""
    if SM2 in {wrapping_spec, algorithm.removesuffix("PKE")}:
        raise errors.only_in_china(SM2)
    allowed = _DIRECT
    if spec in RSA_SPECS:
        allowed = _HYBRID
    elif has_public_key(spec):
        allowed = _DIRECT | _HYBRID
        if wrapping_spec == "RSA_2048" and spec in _TOO_LONG_FOR_RSA_2048:
            allowed = _HYBRID
    if algorithm not in allowed:  # RSAES_PKCS1_V1_5 wraps nothing since October 2023
        raise import_errors.wrapping_incompatible(algorithm, wrapping_spec, spec)
