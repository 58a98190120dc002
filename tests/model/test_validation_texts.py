"""What AWS says of parameters that break the model, word for word, and never a secret."""

from __future__ import annotations

from typing import Any

import pytest

from clavero.model.explain import ECHO_LIMIT, PROBLEM_LIMIT, explain
from clavero.model.fastcheck import compile_accepts
from clavero.model.operations import OPERATIONS
from clavero.model.shapes import shape

FAILED = "failed to satisfy constraint"
GDK = OPERATIONS["GenerateDataKey"]


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        (
            "GenerateDataKey",
            {"KeyId": "k", "KeySpec": "AES_999"},
            f"1 validation error detected: Value 'AES_999' at 'keySpec' {FAILED}: "
            "Member must satisfy enum value set: [RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, "
            "ECC_NIST_P384, ECC_NIST_P521, ECC_SECG_P256K1, ECC_NIST_EDWARDS25519, "
            "SYMMETRIC_DEFAULT, HMAC_224, HMAC_256, HMAC_384, HMAC_512, SM2, ML_DSA_44, ML_DSA_65, "
            "ML_DSA_87]",
        ),
        (
            "Sign",
            {"KeyId": "k", "Message": b"m", "SigningAlgorithm": "FOO"},
            f"1 validation error detected: Value 'FOO' at 'signingAlgorithm' {FAILED}: Member must "
            "satisfy enum value set: [RSASSA_PSS_SHA_256, RSASSA_PSS_SHA_384, RSASSA_PSS_SHA_512, "
            "RSASSA_PKCS1_V1_5_SHA_256, RSASSA_PKCS1_V1_5_SHA_384, RSASSA_PKCS1_V1_5_SHA_512, "
            "ECDSA_SHA_256, ECDSA_SHA_384, ECDSA_SHA_512, ED25519_SHA_512, ED25519_PH_SHA_512, "
            "SM2DSA, ML_DSA_SHAKE_256]",
        ),
        (
            "Encrypt",
            {"KeyId": "k", "Plaintext": b"p", "EncryptionAlgorithm": "FOO"},
            f"1 validation error detected: Value 'FOO' at 'encryptionAlgorithm' {FAILED}: Member "
            "must satisfy enum value set: [RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE, "
            "SYMMETRIC_DEFAULT]",
        ),
        (
            "GenerateMac",
            {"KeyId": "k", "Message": b"m", "MacAlgorithm": "INVALID"},
            f"1 validation error detected: Value 'INVALID' at 'macAlgorithm' {FAILED}: Member must "
            "satisfy enum value set: [HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512]",
        ),
        (
            "Sign",
            {
                "KeyId": "k",
                "Message": b"m",
                "SigningAlgorithm": "ECDSA_SHA_256",
                "MessageType": "FOO",
            },
            f"1 validation error detected: Value 'FOO' at 'messageType' {FAILED}: Member must "
            "satisfy enum value set: [RAW, DIGEST, EXTERNAL_MU]",
        ),
        (
            "Encrypt",
            {"KeyId": "k"},
            f"1 validation error detected: Value at 'plaintext' {FAILED}: Member must not be null",
        ),
        (
            "Sign",
            {"KeyId": "k", "SigningAlgorithm": "ECDSA_SHA_256"},
            f"1 validation error detected: Value at 'message' {FAILED}: Member must not be null",
        ),
        (
            "VerifyMac",
            {"KeyId": "k", "Message": b"m", "MacAlgorithm": "HMAC_SHA_256"},
            f"1 validation error detected: Value null at 'mac' {FAILED}: Member must not be null",
        ),
        (
            "Verify",
            {
                "KeyId": "k",
                "Message": b"m",
                "Signature": b"s" * 6145,
                "SigningAlgorithm": "ECDSA_SHA_256",
            },
            f"1 validation error detected: Value at 'signature' {FAILED}: Member must have length "
            "less than or equal to 6144",
        ),
        (
            "DescribeKey",
            {"KeyId": "キー"},
            f"1 validation error detected: Value 'キー' at 'keyId' {FAILED}: Member must satisfy "
            r"regular expression pattern: ^\p{ASCII}+$",
        ),
        (
            "EnableKeyRotation",
            {"KeyId": "k", "RotationPeriodInDays": 89},
            f"1 validation error detected: Value '89' at 'rotationPeriodInDays' {FAILED}: Member "
            "must have value greater than or equal to 90",
        ),
        (
            "GenerateDataKey",
            {"KeyId": "", "NumberOfBytes": 1025},
            f"3 validation errors detected: Value '' at 'keyId' {FAILED}: Member must have length "
            f"greater than or equal to 1; Value '' at 'keyId' {FAILED}: Member must satisfy "
            r"regular expression pattern: ^\p{ASCII}+$; Value '1025' at 'numberOfBytes' "
            f"{FAILED}: Member must have value less than or equal to 1024",
        ),
        (
            "GenerateRandom",
            {"NumberOfBytes": 0},
            f"1 validation error detected: Value '0' at 'numberOfBytes' {FAILED}: Member must have "
            "value greater than or equal to 1",
        ),
        (
            "DescribeKey",
            {},
            f"1 validation error detected: Value null at 'keyId' {FAILED}: Member must not be null",
        ),
        (
            "DescribeKey",
            {"KeyId": None},
            f"1 validation error detected: Value null at 'keyId' {FAILED}: Member must not be null",
        ),
        (
            "DescribeKey",
            {"KeyId": "k", "GrantTokens": ["a", ""]},
            f"1 validation error detected: Value '' at 'grantTokens.2.member' {FAILED}: Member "
            "must have length greater than or equal to 1",
        ),
        (
            "DescribeKey",
            {"KeyId": "k", "GrantTokens": ["t"] * 11},
            "1 validation error detected: Value '[t, t, t, t, t, t, t, t, t, t, t]' at "
            f"'grantTokens' {FAILED}: Member must have length less than or equal to 10",
        ),
        (
            "Encrypt",
            {"KeyId": "k", "Plaintext": b"p" * 4097},
            f"1 validation error detected: Value at 'plaintext' {FAILED}: Member must have length "
            "less than or equal to 4096",
        ),
        (
            "Decrypt",
            {"CiphertextBlob": b""},
            f"1 validation error detected: Value at 'ciphertextBlob' {FAILED}: Member must have "
            "length greater than or equal to 1",
        ),
        (
            "CreateAlias",
            {"AliasName": "alias/a b", "TargetKeyId": "k"},
            f"1 validation error detected: Value 'alias/a b' at 'aliasName' {FAILED}: Member must "
            "satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
        ),
        (
            "CreateAlias",
            {"AliasName": "", "TargetKeyId": "k"},
            f"2 validation errors detected: Value '' at 'aliasName' {FAILED}: Member must have "
            f"length greater than or equal to 1; Value '' at 'aliasName' {FAILED}: Member must "
            "satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
        ),
        (
            "TagResource",
            {"KeyId": "k", "Tags": [{"TagKey": "", "TagValue": "v"}]},
            f"1 validation error detected: Value '' at 'tags.1.member.tagKey' {FAILED}: Member "
            "must have length greater than or equal to 1",
        ),
        (
            "GenerateDataKey",
            {"KeyId": "k", "EncryptionContext": {"a": None}},
            f"1 validation error detected: Value '{{a=null}}' at 'encryptionContext' {FAILED}: "
            "Map value must satisfy constraint: [Member must not be null]",
        ),
        (
            "CreateCustomKeyStore",
            {"CustomKeyStoreName": "n", "KeyStorePassword": "hunter"},
            f"1 validation error detected: Value at 'keyStorePassword' {FAILED}: Member must have "
            "length greater than or equal to 7",
        ),
    ],
)
def test_validation_texts(operation: str, params: dict[str, Any], message: str) -> None:
    problem = OPERATIONS[operation].explain(params)
    assert problem is not None
    assert (problem.kind, problem.code) == ("validation", "ValidationException")
    assert problem.message == message
    assert not OPERATIONS[operation].accepts(params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"KeyId": 5}, "NUMBER_VALUE can not be converted to a String (at 'keyId')"),
        ({"KeyId": True}, "TRUE_VALUE can not be converted to a String (at 'keyId')"),
        (
            {"KeyId": "k", "NumberOfBytes": "32"},
            "STRING_VALUE can not be converted to an Integer (at 'numberOfBytes')",
        ),
        (
            {"KeyId": "k", "NumberOfBytes": True},
            "TRUE_VALUE can not be converted to an Integer (at 'numberOfBytes')",
        ),
        (
            {"KeyId": "k", "NumberOfBytes": 32.0},
            "DECIMAL_VALUE can not be converted to an Integer (at 'numberOfBytes')",
        ),
        ({"KeyId": {}}, "Start of structure or map found where not expected. (at 'keyId')"),
        ({"KeyId": []}, "Start of list found where not expected. (at 'keyId')"),
        (
            {"KeyId": "k", "GrantTokens": "t"},
            "Expected list or null, found STRING_VALUE (at 'grantTokens')",
        ),
        (
            {"KeyId": "k", "EncryptionContext": ["a"]},
            "Expected map or null, found START_ARRAY (at 'encryptionContext')",
        ),
        (
            {"KeyId": "k", "EncryptionContext": {"a": 1}},
            "NUMBER_VALUE can not be converted to a String (at 'encryptionContext')",
        ),
        (
            {"KeyId": b"k"},
            "A value of type bytes can not be converted to a String (at 'keyId')",
        ),
        (
            {"KeyId": "k", "EncryptionContext": {"\ud800": "a"}},
            "The string has a lone surrogate, which no UTF-8 can hold: send well-formed Unicode "
            "(at 'encryptionContext')",
        ),
        # The first problem of the JSON hides all constraints, as it does at AWS.
        ({"KeyId": "", "Dryrun": True}, "Unknown parameter 'Dryrun', must be one of: KeyId, "),
        ([], "Expected map or null, found START_ARRAY"),
        (None, "Expected map or null, found NULL_VALUE"),
    ],
)
def test_serialization_texts(params: Any, message: str) -> None:
    problem = GDK.explain(params)
    assert problem is not None
    assert (problem.kind, problem.code) == ("serialization", "SerializationException")
    if message.endswith(", "):
        assert problem.message.startswith(message)
    else:
        assert problem.message == message
    assert not GDK.accepts(params)


def test_secret_values_are_never_echoed() -> None:
    params = {"KeyId": "k", "Plaintext": b"secret" * 1000}
    problem = OPERATIONS["Encrypt"].explain(params)
    assert problem is not None
    assert "secret" not in problem.message
    store = {
        "CustomKeyStoreName": "n",
        "XksProxyAuthenticationCredential": {"AccessKeyId": "sesame", "RawSecretAccessKey": "open"},
    }
    problem = OPERATIONS["CreateCustomKeyStore"].explain(store)
    assert problem is not None
    assert "sesame" not in problem.message
    assert "open" not in problem.message


@pytest.mark.parametrize(
    "params",
    [
        {"KeyId": "k" * 1_000_000},
        {"KeyId": "k", "NumberOfBytes": 10**6000},
        {"KeyId": "k", "GrantTokens": [""] * 100_000},
        {"KeyId": "k", "GrantTokens": ["t" * 9000] * 1000},
        {"KeyId": "k", "EncryptionContext": dict.fromkeys(map(str, range(100_000)))},
        {"k" * 1_000_000: 1},
    ],
    ids=["string", "integer", "problems", "list", "map", "name"],
)
def test_messages_are_bounded(params: dict[str, Any]) -> None:
    problem = GDK.explain(params)
    assert problem is not None
    assert len(problem.message) < PROBLEM_LIMIT * (ECHO_LIMIT + 200)


def test_map_constraints_are_listed_whole() -> None:
    """No map of today's model has constraints; AWS words them as it does for API Gateway's tags."""
    limited = shape("TagValueType")
    pairs = shape("EncryptionContextType")._replace(value=limited)
    problem = explain(pairs, {"a": "v" * 257})
    assert problem is not None
    assert problem.message.endswith(
        "Map value must satisfy constraint: [Member must have length less than or equal to 256, "
        "Member must have length greater than or equal to 0]"
    )
    accepts = compile_accepts(pairs)
    assert accepts({"a": "v" * 256})
    assert not accepts({"a": "v" * 257})
