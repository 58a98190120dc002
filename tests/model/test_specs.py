"""The table of key specs: nothing of the model is left out, and refusals say what AWS says."""

from __future__ import annotations

import botocore.loaders
import pytest
from botocore.model import ServiceModel

from clavero.model import specs
from clavero.model.errors import KMSError

MODEL = ServiceModel(botocore.loaders.Loader().load_service_model("kms", "service-2"), "kms")


def enum(shape: str) -> set[str]:
    return set(MODEL.shape_for(shape).enum)


def text(code: str, use, *params) -> str:
    with pytest.raises(KMSError) as caught:
        use(*params)
    assert caught.value.code == code
    return caught.value.message


def test_every_spec_usage_and_algorithm_of_the_model_but_china_s_is_in_the_table():
    kinds = specs.all_kinds()
    assert {spec for spec, _ in kinds} == enum("KeySpec") - {"SM2"}
    assert {usage for _, usage in kinds} == enum("KeyUsageType")
    of_usage = {
        usage: {name for spec, its in kinds if its == usage for name in specs.algorithms(spec, its)}
        for _, usage in kinds
    }
    assert of_usage == {
        "ENCRYPT_DECRYPT": enum("EncryptionAlgorithmSpec") - {"SM2PKE"},
        "SIGN_VERIFY": enum("SigningAlgorithmSpec") - {"SM2DSA"},
        "GENERATE_VERIFY_MAC": enum("MacAlgorithmSpec"),
        "KEY_AGREEMENT": enum("KeyAgreementAlgorithmSpec"),
        "ENCAPSULATE_DECAPSULATE": enum("EncapsulationAlgorithmSpec"),
    }


def test_the_members_are_those_of_key_metadata():
    metadata = MODEL.shape_for("KeyMetadata").members
    for spec, usage in specs.all_kinds():
        (member,) = specs.algorithm_members(spec, usage)
        assert member in metadata


@pytest.mark.parametrize("spec", sorted({spec for spec, _ in specs.all_kinds()}))
def test_a_usage_that_no_key_of_the_spec_has_is_refused(spec):
    for usage in enum("KeyUsageType"):
        if (spec, usage) in specs.all_kinds():
            assert specs.usage_of(spec, usage) == usage
        else:
            assert text("ValidationException", specs.usage_of, spec, usage) == (
                f"KeyUsage {usage} is not compatible with KeySpec {spec}"
            )
    if spec == "SYMMETRIC_DEFAULT":
        assert specs.usage_of(spec, None) == "ENCRYPT_DECRYPT"
    else:
        assert text("ValidationException", specs.usage_of, spec, None) == (
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption "
            "keys."
        )


def test_sm2_is_for_china():
    for usage in (None, "SIGN_VERIFY", "ENCRYPT_DECRYPT", "KEY_AGREEMENT"):
        assert text("UnsupportedOperationException", specs.usage_of, "SM2", usage) == (
            "KeySpec SM2 is not supported in this Region"
        )


@pytest.mark.parametrize(
    ("spec", "algorithm", "limit"),
    [
        ("RSA_2048", "RSAES_OAEP_SHA_1", 214),
        ("RSA_2048", "RSAES_OAEP_SHA_256", 190),
        ("RSA_3072", "RSAES_OAEP_SHA_1", 342),
        ("RSA_3072", "RSAES_OAEP_SHA_256", 318),
        ("RSA_4096", "RSAES_OAEP_SHA_1", 470),
        ("RSA_4096", "RSAES_OAEP_SHA_256", 446),
    ],
)
def test_plaintexts_have_aws_s_limits(spec, algorithm, limit):
    specs.check_plaintext(spec, algorithm, limit)
    assert text("ValidationException", specs.check_plaintext, spec, algorithm, limit + 1) == (
        f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {limit} bytes."
    )


def test_digests_have_the_length_of_their_algorithm():
    for spec, usage in specs.all_kinds():
        if usage != "SIGN_VERIFY" or spec.startswith("ML_DSA"):
            continue
        for algorithm in specs.algorithms(spec, usage):
            if algorithm == "ED25519_SHA_512":
                continue
            length = int(algorithm[-3:]) // 8
            specs.check_message(spec, algorithm, "DIGEST", length)
            for other in (0, 20, length - 1, length + 1, 4096):
                assert (
                    text(
                        "ValidationException", specs.check_message, spec, algorithm, "DIGEST", other
                    )
                    == f"Digest is invalid length for algorithm {algorithm}."
                )


@pytest.mark.parametrize(
    ("spec", "algorithm", "message_type", "length", "expected"),
    [
        ("ML_DSA_44", "ML_DSA_SHAKE_256", "DIGEST", 64,
         "Message type DIGEST is incompatible with key spec ML_DSA_44."),
        ("ML_DSA_87", "ML_DSA_SHAKE_256", "EXTERNAL_MU", 63,
         "External Mu is invalid length for algorithm ML_DSA_SHAKE_256."),
        ("ECC_NIST_P256", "ECDSA_SHA_256", "EXTERNAL_MU", 64,
         "Message type EXTERNAL_MU is incompatible with key spec ECC_NIST_P256."),
        ("RSA_2048", "RSASSA_PSS_SHA_512", "EXTERNAL_MU", 64,
         "Message type EXTERNAL_MU is incompatible with key spec RSA_2048."),
        ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512", "DIGEST", 64,
         "Message type DIGEST is incompatible with algorithm ED25519_SHA_512."),
        ("ECC_NIST_EDWARDS25519", "ED25519_PH_SHA_512", "RAW", 64,
         "Message type RAW is incompatible with algorithm ED25519_PH_SHA_512."),
        ("ECC_NIST_EDWARDS25519", "ED25519_PH_SHA_512", "EXTERNAL_MU", 64,
         "Message type EXTERNAL_MU is incompatible with key spec ECC_NIST_EDWARDS25519."),
    ],
)  # fmt: skip
def test_message_types_that_do_not_go_with_the_key_are_refused(
    spec, algorithm, message_type, length, expected
):
    refusal = text(
        "ValidationException", specs.check_message, spec, algorithm, message_type, length
    )
    assert refusal == expected


def test_only_pairs_have_public_keys():
    without = {spec for spec, _ in specs.all_kinds() if not specs.has_public_key(spec)}
    assert without == {"SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"}
