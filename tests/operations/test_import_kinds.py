"""Imports of every kind of key and by every wrapping, with keys and wrapping that others made.

What AWS KMS refuses, and in which words, is from radkawar/stackd's testdata/aws/kms/
imports_families.json and imports_data_plane.json.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from clavero.model import specs

DIRECT = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")
HYBRID = ("RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256")
WRAPPING_SPECS = ("RSA_2048", "RSA_3072", "RSA_4096")
CURVES: dict[str, Any] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
    "ECC_SECG_P256K1": ec.SECP256K1(),
}
MAC_BYTES = {"HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}
KINDS = [kind for kind in specs.all_kinds() if not kind[0].startswith("ML_")]
MESSAGE = b"signed by an imported key"


def pkcs8(private: Any) -> bytes:
    made: bytes = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return made


def spki(private: Any) -> bytes:
    made: bytes = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return made


@pytest.fixture(scope="session")
def rsa_keys() -> dict[str, Any]:
    return {
        spec: rsa.generate_private_key(65537, int(spec.removeprefix("RSA_")))
        for spec in specs.RSA_SPECS
    }


@pytest.fixture(scope="session")
def make_pair(rsa_keys):
    """A private key of the spec, made by `cryptography`; one per spec where it takes long."""

    def make(spec: str) -> Any:
        if spec in rsa_keys:
            return rsa_keys[spec]
        if spec == "ECC_NIST_EDWARDS25519":
            return ed25519.Ed25519PrivateKey.generate()
        return ec.generate_private_key(CURVES[spec])

    return make


@pytest.fixture
def make_material(make_pair):
    """Material of the spec and, of a pair, `cryptography`'s private key."""

    def make(spec: str) -> tuple[bytes, Any]:
        if not specs.has_public_key(spec):
            return bytes(range(MAC_BYTES.get(spec, 32))), None
        private = make_pair(spec)
        return pkcs8(private), private

    return make


@pytest.fixture
def kept_importer(kept_client, importing):
    """Imports into a KMS that stays open, over both entries."""
    return importing(kept_client)


def default_wrapping(spec: str) -> str:
    return HYBRID[1] if specs.has_public_key(spec) else DIRECT[1]


# --- what may be wrapped how ---------------------------------------------------------------------


def allowed(spec: str, algorithm: str, wrapping_spec: str) -> bool:
    """AWS's table, read independently."""
    if spec.startswith("RSA"):
        return algorithm in HYBRID
    if not spec.startswith("ECC"):
        return algorithm in DIRECT
    if spec in {"ECC_NIST_P521", "ECC_NIST_EDWARDS25519"} and wrapping_spec == "RSA_2048":
        return algorithm in HYBRID
    return algorithm in DIRECT or algorithm in HYBRID


@pytest.mark.parametrize("spec", sorted({spec for spec, _ in KINDS}))
def test_the_table_of_wrappings(kept_client, kept_importer, refused, monkeypatch, spec):
    usage = next(usage for each, usage in KINDS if each == spec)
    key = kept_importer.key(KeySpec=spec, KeyUsage=usage)
    # Making the keys would take a minute, and is not what is tested
    made = "clavero.ops.importtokens.make"
    for algorithm in ("RSAES_PKCS1_V1_5", *DIRECT, *HYBRID):
        for wrapping_spec in WRAPPING_SPECS:
            asked = {
                "KeyId": key,
                "WrappingAlgorithm": algorithm,
                "WrappingKeySpec": wrapping_spec,
            }
            if allowed(spec, algorithm, wrapping_spec):
                with monkeypatch.context() as patch:
                    patch.setattr(made, lambda *given: (_ for _ in ()).throw(Made(given)))
                    refused(
                        "KMSInternalException",
                        kept_client.unchecked.get_parameters_for_import,
                        **asked,
                    )
                continue
            text = refused("ValidationException", kept_client.get_parameters_for_import, **asked)
            assert text == (
                f"Wrapping algorithm {algorithm} and wrapping key spec {wrapping_spec} cannot be "
                f"used to import a {spec} key."
            )


class Made(Exception):
    """Raised where a wrapping key would have been made."""


@pytest.mark.parametrize(
    "wrapping", [("SM2PKE", "SM2"), ("SM2PKE", "RSA_2048"), ("RSAES_OAEP_SHA_256", "SM2")]
)
def test_sm2_wraps_in_china_only(kept_client, kept_importer, refused, wrapping):
    algorithm, spec = wrapping
    text = refused(
        "UnsupportedOperationException",
        kept_client.get_parameters_for_import,
        KeyId=kept_importer.key(),
        WrappingAlgorithm=algorithm,
        WrappingKeySpec=spec,
    )
    assert text == "KeySpec SM2 is not supported in this Region"


@pytest.mark.parametrize("algorithm", [*DIRECT, *HYBRID])
def test_every_wrapping_algorithm(kept_client, kept_importer, make_pair, algorithm):
    private = make_pair("ECC_NIST_P256")
    key = kept_importer.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    kept_importer.give(key, pkcs8(private), algorithm)
    assert kept_client.get_public_key(KeyId=key)["PublicKey"] == spki(private)


@pytest.mark.parametrize("spec", WRAPPING_SPECS[1:])
def test_longer_wrapping_keys(kept, importing, make_pair, spec):
    """In one process only: making the wrapping key takes seconds."""
    importer = importing(kept.kms.client())
    private = make_pair("ECC_NIST_P521")
    key = importer.key(KeySpec="ECC_NIST_P521", KeyUsage="KEY_AGREEMENT")
    made = importer.parameters(key, DIRECT[1], spec)
    public = load_der_public_key(made["PublicKey"])
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == int(spec.removeprefix("RSA_"))
    assert len(made["ImportToken"]) <= 6144  # what the model lets come back
    importer.give(key, pkcs8(private), DIRECT[1], spec)
    assert importer.client.get_public_key(KeyId=key)["PublicKey"] == spki(private)


@pytest.mark.parametrize("kind", ["RSA_2048", "ECC_NIST_P384"])
def test_material_that_openssl_s_command_made_and_wrapped(
    kept_client, kept_importer, openssl, kind, tmp_path
):
    """As AWS's own instructions do it, with OpenSSL for every step."""
    new = {
        "RSA_2048": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
        "ECC_NIST_P384": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
    }[kind]
    openssl("genpkey", *new, "-outform", "DER", "-out", "key.der")
    openssl("pkcs8", "-topk8", "-nocrypt", "-inform", "DER", "-in", "key.der", "-outform", "DER",
            "-out", "material")  # fmt: skip
    key = kept_importer.key(KeySpec=kind, KeyUsage="SIGN_VERIFY")
    made = kept_importer.parameters(key, "RSA_AES_KEY_WRAP_SHA_256")
    openssl("rand", "-out", "aes", "32")
    aes = (tmp_path / "aes").read_bytes()
    wrapped = openssl("enc", "-id-aes256-wrap-pad", "-K", aes.hex(), "-iv", "A65959A6", "-in",
                      "material")  # fmt: skip
    wrapped_aes = openssl(
        "pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", "wrapping", "-in", "aes",
        "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256",
        "-pkeyopt", "rsa_mgf1_md:sha256", wrapping=made["PublicKey"],
    )  # fmt: skip
    kept_client.import_key_material(
        KeyId=key,
        ImportToken=made["ImportToken"],
        EncryptedKeyMaterial=wrapped_aes + wrapped,
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )
    public = openssl("pkey", "-inform", "DER", "-in", "key.der", "-pubout", "-outform", "DER")
    assert kept_client.get_public_key(KeyId=key)["PublicKey"] == public
    algorithm = specs.algorithms(kind, "SIGN_VERIFY")[0]
    signature = kept_client.sign(KeyId=key, Message=MESSAGE, SigningAlgorithm=algorithm)
    digest = "-sha256" if kind == "RSA_2048" else "-sha384"
    said = openssl("dgst", digest, "-verify", "public", "-keyform", "DER", "-signature",
                   "signature", "message", public=public, signature=signature["Signature"],
                   message=MESSAGE)  # fmt: skip
    assert said == b"Verified OK\n"


# --- every kind of key ---------------------------------------------------------------------------


def use(client: Any, key: str, spec: str, usage: str, material: bytes, private: Any) -> None:
    """Use the key against the same key outside."""
    if usage == "GENERATE_VERIFY_MAC":
        (algorithm,) = specs.algorithms(spec, usage)
        mac = client.generate_mac(KeyId=key, Message=MESSAGE, MacAlgorithm=algorithm)["Mac"]
        made = hmac.HMAC(material, getattr(hashes, f"SHA{spec[-3:]}")())
        made.update(MESSAGE)
        assert made.finalize() == mac
    elif spec == "SYMMETRIC_DEFAULT":
        blob = client.encrypt(KeyId=key, Plaintext=MESSAGE)["CiphertextBlob"]
        assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == MESSAGE
    elif usage == "KEY_AGREEMENT":
        peer = ec.generate_private_key(CURVES[spec])
        answer = client.derive_shared_secret(
            KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=spki(peer)
        )
        assert answer["SharedSecret"] == private.exchange(ec.ECDH(), peer.public_key())
        assert answer["KeyOrigin"] == "EXTERNAL"
    elif usage == "ENCRYPT_DECRYPT":
        chosen = hashes.SHA256()
        oaep = padding.OAEP(padding.MGF1(chosen), chosen, None)
        for blob in (
            private.public_key().encrypt(MESSAGE, oaep),
            client.encrypt(KeyId=key, Plaintext=MESSAGE, EncryptionAlgorithm="RSAES_OAEP_SHA_256")[
                "CiphertextBlob"
            ],
        ):
            opened = client.decrypt(
                KeyId=key, CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_256"
            )
            assert opened["Plaintext"] == MESSAGE
    else:
        algorithm = specs.algorithms(spec, usage)[-1]
        signature = client.sign(KeyId=key, Message=MESSAGE, SigningAlgorithm=algorithm)["Signature"]
        if spec == "ECC_NIST_EDWARDS25519":
            private.public_key().verify(signature, MESSAGE)
        elif spec.startswith("ECC"):
            chosen = getattr(hashes, f"SHA{algorithm[-3:]}")()
            private.public_key().verify(signature, MESSAGE, ec.ECDSA(chosen))
        else:
            pss = padding.PSS(padding.MGF1(hashes.SHA512()), hashes.SHA512.digest_size)
            private.public_key().verify(signature, MESSAGE, pss, hashes.SHA512())


@pytest.mark.parametrize(("spec", "usage"), KINDS)
def test_every_kind_of_key(kept_client, kept_importer, make_material, refused, spec, usage):
    material, private = make_material(spec)
    key = kept_importer.key(KeySpec=spec, KeyUsage=usage)
    before = kept_client.describe_key(KeyId=key)["KeyMetadata"]
    assert before["KeyState"] == "PendingImport"
    wrapping = default_wrapping(spec)
    answer = kept_importer.give(key, material, wrapping)
    symmetric = spec == "SYMMETRIC_DEFAULT"
    assert set(answer) == ({"KeyId", "KeyMaterialId"} if symmetric else {"KeyId"})
    use(kept_client, key, spec, usage, material, private)
    if private is not None:
        assert kept_client.get_public_key(KeyId=key)["PublicKey"] == spki(private)
    found = kept_client.describe_key(KeyId=key)["KeyMetadata"]
    assert found == {
        **before,
        "Enabled": True,
        "KeyState": "Enabled",
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
        **({"CurrentKeyMaterialId": answer["KeyMaterialId"]} if symmetric else {}),
    }
    gone = kept_client.delete_imported_key_material(KeyId=key)
    del gone["ResponseMetadata"]
    assert gone == answer
    if private is not None:
        text = refused("KMSInvalidStateException", kept_client.get_public_key, KeyId=key)
        assert text == f"{before['Arn']} is pending import."
    assert kept_importer.give(key, material, wrapping) == answer
    use(kept_client, key, spec, usage, material, private)


@pytest.mark.parametrize("spec", ["HMAC_256", "RSA_2048", "ECC_NIST_P256", "ECC_NIST_EDWARDS25519"])
def test_what_only_symmetric_keys_have(
    kept, kept_client, kept_importer, make_material, refused, spec
):
    usage = next(usage for each, usage in KINDS if each == spec and usage != "ENCRYPT_DECRYPT")
    material, _ = make_material(spec)
    key = kept_importer.key(KeySpec=spec, KeyUsage=usage)
    wrapping = default_wrapping(spec)
    for _ in range(2):  # before and after the first import
        for member, value in (
            ("ImportType", "EXISTING_KEY_MATERIAL"),
            ("ImportType", "NEW_KEY_MATERIAL"),
            ("KeyMaterialId", "0" * 64),
            ("KeyMaterialDescription", "text"),
        ):
            text = refused(
                "ValidationException",
                kept_client.import_key_material,
                **kept_importer.request(key, material, wrapping, **{member: value}),
            )
            shown = member[0].lower() + member[1:]
            assert text == f"Input parameter {shown} cannot be used with {spec} imported keys."
        kept_importer.give(key, material, wrapping)
    text = refused(
        "ValidationException",
        kept_client.delete_imported_key_material,
        KeyId=key,
        KeyMaterialId="0" * 64,
    )
    assert text == f"Input parameter keyMaterialId cannot be used with {spec} imported keys."
    text = refused(
        "ValidationException",
        kept_client.list_key_rotations,
        KeyId=key,
        IncludeKeyMaterial="ALL_KEY_MATERIAL",
    )
    assert text == "Input parameter includeKeyMaterial can only be used with symmetric keys."
    assert (
        refused("UnsupportedOperationException", kept_client.rotate_key_on_demand, KeyId=key) == ""
    )


@pytest.mark.parametrize("spec", ["HMAC_512", "ECC_NIST_P384"])
def test_the_material_of_other_keys_is_fixed_by_the_first_import(
    kept_client, kept_importer, make_pair, refused, spec
):
    usage = next(usage for each, usage in KINDS if each == spec)
    if spec == "HMAC_512":
        material, other = bytes(64), bytes(63) + b"\1"
    else:
        material, other = (pkcs8(make_pair(spec)) for _ in range(2))
    key = kept_importer.key(KeySpec=spec, KeyUsage=usage)
    wrapping = default_wrapping(spec)
    kept_importer.give(key, material, wrapping)
    for _ in range(2):
        text = refused(
            "IncorrectKeyMaterialException",
            kept_client.import_key_material,
            **kept_importer.request(key, other, wrapping),
        )
        assert text.startswith("Imported key material does not have the expected identifier (")
        kept_client.delete_imported_key_material(KeyId=key)
    kept_importer.give(key, material, wrapping)
    assert kept_importer.state(key) == "Enabled"


def test_the_same_pair_in_another_encoding_is_the_same_material(
    kept_client, kept_importer, make_pair
):
    """PKCS #8 of an EC key has its public key or leaves it out: RFC 5915."""
    private = make_pair("ECC_NIST_P256")
    full = pkcs8(private)
    key = kept_importer.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    kept_importer.give(key, full, HYBRID[1])
    kept_client.delete_imported_key_material(KeyId=key)
    scalar = private.private_numbers().private_value.to_bytes(32, "big")
    # ECPrivateKey ::= { 1, OCTET STRING } in the same PrivateKeyInfo
    inner = bytes.fromhex("3025020101 0420") + scalar
    algorithm = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    body = bytes.fromhex("020100") + algorithm + b"\x04" + bytes([len(inner)]) + inner
    kept_importer.give(key, b"\x30" + bytes([len(body)]) + body, HYBRID[1])
    assert kept_client.get_public_key(KeyId=key)["PublicKey"] == spki(private)


# --- what is no key of the spec ------------------------------------------------------------------


def mismatched() -> bytes:
    """A P-256 key pair whose public half is another pair's."""
    one, other = (pkcs8(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    point = one[-65:]
    assert point[0] == 4
    return one[:-65] + other[-65:]


def test_a_pair_whose_halves_do_not_match_is_refused(kept_client, kept_importer, refused):
    key = kept_importer.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    text = refused(
        "InvalidCiphertextException",
        kept_client.import_key_material,
        **kept_importer.request(key, mismatched(), HYBRID[1]),
    )
    assert text == ""
    assert kept_importer.state(key) == "PendingImport"


def test_an_rsa_key_whose_numbers_do_not_match_is_refused(kept_client, kept_importer, refused):
    good, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    key = kept_importer.key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    numbers, others = good.private_numbers(), other.private_numbers()
    private = pkcs8(good)
    exponent = numbers.d.to_bytes(256, "big").lstrip(b"\0")
    wrong = others.d.to_bytes(256, "big").lstrip(b"\0")
    # Of the same length, so that the DER around it stays right
    forged = private.replace(exponent, wrong[: len(exponent)].rjust(len(exponent), b"\1"))
    assert forged != private
    refused(
        "InvalidCiphertextException",
        kept_client.import_key_material,
        **kept_importer.request(key, forged, HYBRID[1]),
    )


@pytest.mark.parametrize("spec", ["SYMMETRIC_DEFAULT", *MAC_BYTES])
def test_secrets_of_a_wrong_length(kept_client, kept_importer, refused, spec):
    """AWS says no more than of a ciphertext that does not open."""
    usage = next(usage for each, usage in KINDS if each == spec)
    right = MAC_BYTES.get(spec, 32)
    key = kept_importer.key(KeySpec=spec, KeyUsage=usage)
    for length in (0, 1, right - 1, right + 1, 100):
        text = refused(
            "InvalidCiphertextException",
            kept_client.import_key_material,
            **kept_importer.request(key, bytes(length)),
        )
        assert text == ""
    kept_importer.give(key, bytes(right))


def test_keys_of_another_spec(kept_client, kept_importer, make_pair, refused):
    made = {spec: pkcs8(make_pair(spec)) for spec in (*CURVES, "ECC_NIST_EDWARDS25519", "RSA_3072")}
    pem = make_pair("ECC_NIST_P256").private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    sec1 = make_pair("ECC_NIST_P256").private_bytes(
        Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    for spec, usage in (
        ("ECC_NIST_P256", "SIGN_VERIFY"),
        ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"),
        ("RSA_2048", "ENCRYPT_DECRYPT"),
    ):
        key = kept_importer.key(KeySpec=spec, KeyUsage=usage)
        others = [material for each, material in made.items() if each != spec]
        for material in (*others, pem, sec1, bytes(32)):
            text = refused(
                "InvalidCiphertextException",
                kept_client.import_key_material,
                **kept_importer.request(key, material, HYBRID[1]),
            )
            assert text == ""
        assert kept_importer.state(key) == "PendingImport"


def test_imported_keys_of_every_kind_survive_a_restart(durable, importing, make_material):
    importer = importing(durable.client())
    made = []
    for spec, usage in (
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        ("HMAC_224", "GENERATE_VERIFY_MAC"),
        ("RSA_2048", "SIGN_VERIFY"),
        ("ECC_NIST_P384", "KEY_AGREEMENT"),
        ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"),
    ):
        material, private = make_material(spec)
        key = importer.key(KeySpec=spec, KeyUsage=usage)
        valid_to = datetime.fromtimestamp(durable.clock.now() + 3600, UTC)
        importer.give(key, material, default_wrapping(spec), ValidTo=valid_to)
        made.append((key, spec, usage, material, private))
    durable.reopen()
    assert durable.kms.rotate_domain_keys() == 1
    durable.reopen()
    client = durable.client()
    for each in made:
        use(client, *each)


def test_digests_are_signed_as_others_do(kept_client, kept_importer, make_pair):
    private = make_pair("RSA_2048")
    key = kept_importer.key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    kept_importer.give(key, pkcs8(private), HYBRID[0])
    digest = hashes.Hash(hashes.SHA256())
    digest.update(MESSAGE)
    hashed = digest.finalize()
    theirs = private.sign(hashed, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
    ours = kept_client.sign(
        KeyId=key,
        Message=hashed,
        MessageType="DIGEST",
        SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256",
    )["Signature"]
    assert ours == theirs  # this one has no randomness
