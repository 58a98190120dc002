"""Sign and Verify: what KMS signs others verify, what others sign KMS verifies, nothing else."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key

from clavero.model import specs

KINDS = [
    (spec, algorithm)
    for spec, usage in specs.all_kinds()
    if usage == "SIGN_VERIFY"
    for algorithm in specs.algorithms(spec, usage)
]
MESSAGE = bytes(range(256)) * 16  # 4096 bytes, the longest
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def hash_of(algorithm: str) -> hashes.HashAlgorithm:
    return {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[algorithm[-3:]]


def digest(algorithm: str, message: bytes) -> bytes:
    return hashlib.new(hash_of(algorithm).name, message).digest()


def external_mu(public, message: bytes) -> bytes:
    """FIPS 204, algorithm 7, line 6, with the empty context."""
    tr = hashlib.shake_256(public.public_bytes_raw()).digest(64)
    return hashlib.shake_256(tr + b"\x00\x00" + message).digest(64)


def verify_elsewhere(public, algorithm: str, message: bytes, signature: bytes) -> None:
    """By pyca. Raises InvalidSignature."""
    if algorithm == "ED25519_PH_SHA_512":
        assert ed25519ph_verifies(public.public_bytes_raw(), message, signature)
    elif algorithm.startswith(("ED25519", "ML_DSA")):
        public.verify(signature, message)
    elif algorithm.startswith("ECDSA"):
        public.verify(signature, message, ec.ECDSA(hash_of(algorithm)))
    elif "PSS" in algorithm:
        pss = padding.PSS(padding.MGF1(hash_of(algorithm)), padding.PSS.DIGEST_LENGTH)
        public.verify(signature, message, pss, hash_of(algorithm))
    else:
        public.verify(signature, message, padding.PKCS1v15(), hash_of(algorithm))


# --- Ed25519ph by RFC 8032, section 6, for neither pyca nor OpenSSL 3.0 has it --------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(a: Point, b: Point) -> Point:
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - k, -1, P)
    return x % P, y % P


def times(scalar: int, point: Point) -> Point:
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def point(encoded: bytes) -> Point:
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert x * x % P == square
    return (P - x if x % 2 != sign else x), y


BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def ed25519ph_verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    prefix = b"SigEd25519 no Ed25519 collisions\x01\x00"
    hashed = hashlib.sha512(message).digest()
    k = hashlib.sha512(prefix + signature[:32] + public + hashed).digest()
    s = int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    challenge = times(int.from_bytes(k, "little") % L, point(public))
    return times(s, BASE) == add(point(signature[:32]), challenge)


def test_the_ed25519ph_of_these_tests_is_rfc_8032_s():
    """RFC 8032, section 7.3."""
    public = bytes.fromhex("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf")
    signature = bytes.fromhex(
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
        "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
    )
    assert ed25519ph_verifies(public, b"abc", signature)
    assert not ed25519ph_verifies(public, b"abd", signature)


# --- both directions ------------------------------------------------------------------------------


@pytest.mark.parametrize(("spec", "algorithm"), KINDS)
def test_others_verify_what_kms_signs(kept, kept_client, spec, algorithm):
    key = kept.key(spec, "SIGN_VERIFY")
    public: Any = load_der_public_key(kept_client.get_public_key(KeyId=key["KeyId"])["PublicKey"])
    types = {"RAW": MESSAGE, "DIGEST": digest(algorithm, MESSAGE) if "_SHA_" in algorithm else b""}
    if spec.startswith("ML_DSA"):
        types = {"RAW": MESSAGE, "EXTERNAL_MU": external_mu(public, MESSAGE)}
    if algorithm == "ED25519_SHA_512":
        del types["DIGEST"]
    if algorithm == "ED25519_PH_SHA_512":
        del types["RAW"]
    for message_type, message in types.items():
        asked = {
            "KeyId": key["KeyId"],
            "Message": message,
            "MessageType": message_type,
            "SigningAlgorithm": algorithm,
        }
        signed = kept_client.sign(**asked)
        assert signed["KeyId"] == key["Arn"]
        assert signed["SigningAlgorithm"] == algorithm
        verify_elsewhere(public, algorithm, MESSAGE, signed["Signature"])
        # A signature does not tell whether the message was hashed by KMS or before
        for other, same in types.items():
            verified = kept_client.verify(
                KeyId=key["Arn"],
                Message=same,
                MessageType=other,
                Signature=signed["Signature"],
                SigningAlgorithm=algorithm,
            )
            del verified["ResponseMetadata"]
            assert verified == {
                "KeyId": key["Arn"],
                "SignatureValid": True,
                "SigningAlgorithm": algorithm,
            }


@pytest.mark.parametrize(("spec", "algorithm"), KINDS)
def test_any_other_message_signature_or_key_is_an_invalid_signature(
    kept, kept_client, refused, spec, algorithm
):
    key = kept.key(spec, "SIGN_VERIFY")
    message_type = "DIGEST" if algorithm == "ED25519_PH_SHA_512" else "RAW"
    message = b"m" * 64
    asked = {"KeyId": key["KeyId"], "MessageType": message_type, "SigningAlgorithm": algorithm}
    signature = kept_client.sign(**asked, Message=message)["Signature"]
    kept_client.verify(**asked, Message=message, Signature=signature)
    damaged = [
        signature[:-1],
        signature + b"\x00",
        signature[:-1] + bytes([signature[-1] ^ 1]),
        bytes([signature[0] ^ 0x80]) + signature[1:],
        bytes(len(signature)),
        b"\x00",
        b"x" * 6144,
    ]
    for wrong in damaged:
        text = refused(
            "KMSInvalidSignatureException",
            kept_client.verify,
            **asked,
            Message=message,
            Signature=wrong,
        )
        assert text == ""
    verify = kept_client.verify
    refused("KMSInvalidSignatureException", verify, **asked, Message=b"n" * 64, Signature=signature)
    # In a dry run too
    refused(
        "KMSInvalidSignatureException",
        verify,
        **asked,
        Message=b"n" * 64,
        Signature=signature,
        DryRun=True,
    )
    refused(
        "DryRunOperationException",
        verify,
        **asked,
        Message=message,
        Signature=signature,
        DryRun=True,
    )
    refused("DryRunOperationException", kept_client.sign, **asked, Message=message, DryRun=True)


def test_another_key_s_signature_is_invalid(client, refused):
    asked = {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}
    one, other = (
        client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        for _ in range(2)
    )
    signature = client.sign(KeyId=one, **asked)["Signature"]
    client.verify(KeyId=one, Signature=signature, **asked)
    refused(
        "KMSInvalidSignatureException", client.verify, KeyId=other, Signature=signature, **asked
    )


@pytest.mark.parametrize("algorithm", specs.algorithms("RSA_2048", "SIGN_VERIFY"))
def test_openssl_verifies_rsa_and_the_salt_is_as_long_as_the_digest(
    kept, kept_client, openssl, algorithm
):
    key = kept.key("RSA_2048", "SIGN_VERIFY")
    asked = {"KeyId": key["KeyId"], "Message": MESSAGE, "SigningAlgorithm": algorithm}
    signature = kept_client.sign(**asked)["Signature"]
    public = kept_client.get_public_key(KeyId=key["KeyId"])["PublicKey"]
    pss = (
        "-sigopt",
        "rsa_padding_mode:pss",
        "-sigopt",
        f"rsa_pss_saltlen:{int(algorithm[-3:]) // 8}",
    )
    assert b"Verified OK" in openssl(
        "dgst", f"-sha{algorithm[-3:]}", *(pss if "PSS" in algorithm else ()), "-keyform", "DER",
        "-verify", "public", "-signature", "signature", "message",
        public=public, signature=signature, message=MESSAGE,
    )  # fmt: skip


@pytest.mark.parametrize(
    "spec", ["ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1"]
)
def test_openssl_verifies_ecdsa(kept, kept_client, openssl, spec):
    key = kept.key(spec, "SIGN_VERIFY")
    (algorithm,) = key["SigningAlgorithms"]
    asked = {"KeyId": key["KeyId"], "Message": MESSAGE, "SigningAlgorithm": algorithm}
    signature = kept_client.sign(**asked)["Signature"]
    public = kept_client.get_public_key(KeyId=key["KeyId"])["PublicKey"]
    assert b"Verified OK" in openssl(
        "dgst", f"-sha{algorithm[-3:]}", "-keyform", "DER", "-verify", "public",
        "-signature", "signature", "message",
        public=public, signature=signature, message=MESSAGE,
    )  # fmt: skip


def test_openssl_verifies_ed25519(kept, kept_client, openssl):
    key = kept.key("ECC_NIST_EDWARDS25519", "SIGN_VERIFY")
    signature = kept_client.sign(
        KeyId=key["KeyId"], Message=MESSAGE, SigningAlgorithm="ED25519_SHA_512"
    )["Signature"]
    public = kept_client.get_public_key(KeyId=key["KeyId"])["PublicKey"]
    assert b"Verified Successfully" in openssl(
        "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", "public",
        "-sigfile", "signature", "-in", "message",
        public=public, signature=signature, message=MESSAGE,
    )  # fmt: skip


def test_ecdsa_is_der_and_its_malleable_twin_verifies_as_in_the_standard(kept, kept_client):
    """(r, n - s) is a valid ECDSA signature too: KMS does not ask for the lower half."""
    key = kept.key("ECC_SECG_P256K1", "SIGN_VERIFY")
    asked = {"KeyId": key["KeyId"], "Message": MESSAGE, "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = kept_client.sign(**asked)["Signature"]
    r, s = utils.decode_dss_signature(signature)
    assert utils.encode_dss_signature(r, s) == signature
    twin = utils.encode_dss_signature(r, SECP256K1_ORDER - s)
    assert kept_client.verify(**asked, Signature=twin)["SignatureValid"] is True


def test_deterministic_schemes_repeat_and_the_others_do_not(kept, kept_client):
    def signatures(spec, algorithm, **more):
        asked = {"KeyId": kept.key(spec, "SIGN_VERIFY")["KeyId"], "Message": b"m" * 64, **more}
        return {
            kept_client.sign(**asked, SigningAlgorithm=algorithm)["Signature"] for _ in range(3)
        }

    assert len(signatures("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256")) == 1
    assert len(signatures("ECC_NIST_EDWARDS25519", "ED25519_SHA_512")) == 1
    assert len(signatures("RSA_2048", "RSASSA_PSS_SHA_256")) == 3
    assert len(signatures("ECC_NIST_P256", "ECDSA_SHA_256")) == 3
    assert len(signatures("ML_DSA_44", "ML_DSA_SHAKE_256")) == 3


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sign", "verify"])
def test_keys_algorithms_and_message_types_that_do_not_fit_are_refused(
    kept, kept_client, refused, method
):
    use = getattr(kept_client, method)

    def asked(spec, usage, algorithm, message=b"m", **more):
        if method == "verify":
            more["Signature"] = b"s"
        key_id = kept.key(spec, usage)["KeyId"]
        return {"KeyId": key_id, "Message": message, "SigningAlgorithm": algorithm, **more}

    operation = method.capitalize()
    for spec, usage in (
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        ("HMAC_256", "GENERATE_VERIFY_MAC"),
        ("ECC_NIST_P256", "KEY_AGREEMENT"),
        ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
    ):
        text = refused("InvalidKeyUsageException", use, **asked(spec, usage, "RSASSA_PSS_SHA_256"))
        arn = kept.key(spec, usage)["Arn"]
        assert text == f"{arn} key usage is {usage} which is not valid for {operation}."
    for spec, algorithm in (
        ("ECC_NIST_P256", "ECDSA_SHA_384"),
        ("ECC_NIST_P256", "RSASSA_PSS_SHA_256"),
        ("RSA_2048", "ECDSA_SHA_256"),
        ("ECC_NIST_EDWARDS25519", "ML_DSA_SHAKE_256"),
        ("ML_DSA_44", "ED25519_SHA_512"),
        ("RSA_2048", "SM2DSA"),
    ):
        text = refused("InvalidKeyUsageException", use, **asked(spec, "SIGN_VERIFY", algorithm))
        assert text == f"Algorithm {algorithm} is incompatible with key spec {spec}."
    text = refused(
        "ValidationException",
        use,
        **asked("ECC_NIST_P384", "SIGN_VERIFY", "ECDSA_SHA_384", MessageType="DIGEST"),
    )
    assert text == "Digest is invalid length for algorithm ECDSA_SHA_384."
    text = refused(
        "ValidationException",
        use,
        **asked("ML_DSA_44", "SIGN_VERIFY", "ML_DSA_SHAKE_256", b"m" * 64, MessageType="DIGEST"),
    )
    assert text == "Message type DIGEST is incompatible with key spec ML_DSA_44."
    text = refused(
        "ValidationException",
        use,
        **asked("RSA_2048", "SIGN_VERIFY", "RSASSA_PSS_SHA_256", b"m" * 4097),
    )
    assert "Member must have length less than or equal to 4096" in text


def test_a_disabled_key_neither_signs_nor_verifies_but_shows_its_public_key(client, refused):
    key = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    asked = {"KeyId": key["KeyId"], "Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = client.sign(**asked)["Signature"]
    public = client.get_public_key(KeyId=key["KeyId"])["PublicKey"]
    client.disable_key(KeyId=key["KeyId"])
    assert refused("DisabledException", client.sign, **asked) == f"{key['Arn']} is disabled."
    refused("DisabledException", client.verify, **asked, Signature=signature)
    # The state counts before the algorithm
    refused("DisabledException", client.sign, **{**asked, "SigningAlgorithm": "SM2DSA"})
    assert client.get_public_key(KeyId=key["KeyId"])["PublicKey"] == public
    client.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    for method, more in ((client.sign, asked), (client.get_public_key, {"KeyId": key["KeyId"]})):
        text = refused("KMSInvalidStateException", method, **more)
        assert text == f"{key['Arn']} is pending deletion."
