"""Enclaves of our own making: a PKI by pyca, documents by cbor2, answers opened twice."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from clavero import KMS, ManualClock

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PCRS = {n: bytes([n]) * 48 for n in range(16)}
ES384 = cbor2.dumps({1: -35})


def name_of(common: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Not Amazon")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common)])


class Issued:
    """A certificate and its key."""

    def __init__(
        self,
        common: str,
        issuer: Issued | None = None,
        *,
        ca: bool | None = True,
        below: int | None = None,
        usage: tuple[str, ...] | None = None,
        hours: tuple[float, float] = (-1, 24),
        extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
        curve: ec.EllipticCurve | None = None,
        digest: Any = None,
        issuer_name: str | None = None,
    ) -> None:
        self.common = common
        self.key = ec.generate_private_key(curve or ec.SECP384R1())
        signer = issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(name_of(common))
            .issuer_name(name_of(issuer_name or signer.common))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + timedelta(hours=hours[0]))
            .not_valid_after(NOW + timedelta(hours=hours[1]))
        )
        if ca is not None:
            builder = builder.add_extension(
                x509.BasicConstraints(ca=ca, path_length=below), critical=True
            )
        if usage is None:
            usage = ("key_cert_sign", "crl_sign") if ca else ("digital_signature",)
        if usage:
            flags = (
                "digital_signature", "content_commitment", "key_encipherment",
                "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
                "encipher_only", "decipher_only",
            )  # fmt: skip
            builder = builder.add_extension(
                x509.KeyUsage(**{flag: flag in usage for flag in flags}), critical=True
            )
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        self.certificate = builder.sign(signer.key, digest or hashes.SHA384())
        self.der = self.certificate.public_bytes(Encoding.DER)
        self.pem = self.certificate.public_bytes(Encoding.PEM)


class Enclave:
    """What the Nitro Secure Module and the program in an enclave do: documents, and opening."""

    Issued = Issued
    now = NOW
    pcrs = PCRS

    def __init__(self, openssl: Callable[..., bytes]) -> None:
        self.root = Issued("root", below=None, hours=(-1000, 100_000))
        self.regional = Issued("regional", self.root, below=2)
        self.zonal = Issued("zonal", self.regional, below=1)
        self.instance = Issued("instance", self.zonal, below=0)
        self.signer = Issued("enclave", self.instance, ca=False, hours=(-1, 2))
        self.key = rsa.generate_private_key(65537, 2048)
        self._openssl = openssl

    def spki(self, key: Any = None) -> bytes:
        """The DER of a public key, by default the program's."""
        public = (key or self.key).public_key()
        der: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return der

    def fields(self, **changed: Any) -> dict[str, Any]:
        """The payload; a field that is changed to `...` is left out."""
        above = (self.root, self.regional, self.zonal, self.instance)
        fields = {
            "module_id": "i-1234567890abcdef0-enc9876543210abcde",
            "digest": "SHA384",
            "timestamp": int(NOW.timestamp() * 1000),
            "pcrs": PCRS,
            "certificate": self.signer.der,
            "cabundle": [each.der for each in above],
            "public_key": self.spki(),
            "user_data": None,
            "nonce": None,
            **changed,
        }
        return {name: value for name, value in fields.items() if value is not ...}

    def sign(
        self,
        payload: bytes,
        *,
        protected: bytes = ES384,
        unprotected: dict[Any, Any] | None = None,
        key: Any = None,
        tag: bool = False,
        detached: bool = False,
    ) -> bytes:
        """A COSE_Sign1 of these bytes."""
        signed = cbor2.dumps(["Signature1", protected, b"", payload])
        made = (key or self.signer.key).sign(signed, ec.ECDSA(hashes.SHA384()))
        signature = b"".join(n.to_bytes(48, "big") for n in decode_dss_signature(made))
        sent = None if detached else payload
        document = [protected, unprotected or {}, sent, signature]
        return cbor2.dumps(cbor2.CBORTag(18, document) if tag else document)

    def document(self, **changed: Any) -> bytes:
        """A signed document, with changes of the payload."""
        return self.sign(cbor2.dumps(self.fields(**changed)))

    def recipient(self, document: bytes | None = None, **changed: Any) -> dict[str, Any]:
        """The parameter Recipient."""
        return {
            "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
            "AttestationDocument": document or self.document(**changed),
        }

    def issued(self, **changed: Any) -> dict[str, Any]:
        """Recipient with a document whose signer's certificate is another one."""
        signer = Issued("enclave", self.instance, **{"ca": False, **changed})
        payload = cbor2.dumps(self.fields(certificate=signer.der))
        return self.recipient(self.sign(payload, key=signer.key))

    def open(self, envelope: bytes, key: Any = None) -> bytes:
        """The content of CiphertextForRecipient, by asn1crypto and pyca, and by OpenSSL."""
        key = key or self.key
        info = cms.ContentInfo.load(envelope, strict=True)
        assert info["content_type"].native == "enveloped_data"
        data = info["content"]
        assert data["version"].native == "v2"
        (recipient,) = data["recipient_infos"]
        transport = recipient.chosen
        assert transport["version"].native == "v2"
        identifier = hashes.Hash(hashes.SHA256())
        identifier.update(self.spki(key))
        assert transport["rid"].name == "subject_key_identifier"
        assert transport["rid"].native == identifier.finalize()
        algorithm = transport["key_encryption_algorithm"]
        assert algorithm["algorithm"].native == "rsaes_oaep"
        assert algorithm["parameters"]["hash_algorithm"]["algorithm"].native == "sha256"
        mask = algorithm["parameters"]["mask_gen_algorithm"]
        assert mask["algorithm"].native == "mgf1"
        assert mask["parameters"]["algorithm"].native == "sha256"
        oaep = OAEP(mgf=MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
        content_key = key.decrypt(transport["encrypted_key"].native, oaep)
        assert len(content_key) == 32
        content = data["encrypted_content_info"]
        assert content["content_type"].native == "data"
        encryption = content["content_encryption_algorithm"]
        assert encryption["algorithm"].native == "aes256_cbc"
        iv = encryption["parameters"].native
        decryptor = Cipher(algorithms.AES(content_key), modes.CBC(iv)).decryptor()
        unpadder = padding.PKCS7(128).unpadder()
        padded = decryptor.update(content["encrypted_content"].native) + decryptor.finalize()
        plaintext: bytes = unpadder.update(padded) + unpadder.finalize()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        assert plaintext == self._openssl(private, envelope)
        return plaintext


@pytest.fixture(scope="session")
def enclave(tmp_path_factory: pytest.TempPathFactory) -> Enclave:
    """One enclave, with the instance and the PKI above it."""
    openssl, folder = shutil.which("openssl"), tmp_path_factory.mktemp("openssl")

    def decrypt(private: bytes, envelope: bytes) -> bytes:
        if openssl is None:
            if os.environ.get("CI") == "true":
                pytest.fail("openssl is not installed, and CI goes without nothing: see .ci/run")
            pytest.skip("openssl is not installed: answers were NOT opened with it")
        (folder / "key").write_bytes(private)
        command = [openssl, "cms", "-decrypt", "-binary", "-inform", "DER", "-inkey", "key"]
        done = subprocess.run(command, input=envelope, cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return Enclave(decrypt)


class Attesting:
    """A KMS that trusts the enclave's root, and its clients over both entries."""

    def __init__(self, enclave: Enclave, path: Path | None = None) -> None:
        self.clock = ManualClock(NOW.timestamp())
        self.kms = KMS(path, clock=self.clock, attestation_root=enclave.root.pem)
        self.clients = {"in process": self.kms.client(), "boto3": self.kms.boto3_client()}
        self.key = self.clients["in process"].create_key()["KeyMetadata"]["Arn"]
        agreement = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"}
        self.agreeing = self.clients["in process"].create_key(**agreement)["KeyMetadata"]["Arn"]

    def close(self) -> None:
        self.clients["boto3"].close()
        self.kms.close()


@pytest.fixture(scope="session")
def attesting(enclave: Enclave) -> Iterator[Attesting]:
    """One KMS for tests that change nothing in it."""
    made = Attesting(enclave)
    yield made
    made.close()


@pytest.fixture(params=["in process", "boto3"])
def client(request: pytest.FixtureRequest, attesting: Attesting, checked) -> Any:
    """A client of it, over each entry."""
    return checked(attesting.clients[request.param])
