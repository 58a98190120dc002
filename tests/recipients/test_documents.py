"""Attestation documents: which are accepted, and that every other one is refused."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from clavero import KMS, ManualClock

ASKED = {"NumberOfBytes": 32}
REFUSED = "The attestation document in Recipient was refused: "


@pytest.fixture
def why(client, refused):
    """The reason for which a recipient is refused."""

    def ask(recipient: dict[str, Any]) -> str:
        said: str = refused(
            "ValidationException", client.generate_random, Recipient=recipient, **ASKED
        )
        assert said.startswith(REFUSED)
        assert said.endswith(".")
        return said[len(REFUSED) : -1]

    return ask


def accepted(client: Any, recipient: dict[str, Any]) -> bool:
    return "CiphertextForRecipient" in client.generate_random(Recipient=recipient, **ASKED)


def test_documents_may_leave_out_what_is_optional(client, enclave):
    for changed in (
        {"user_data": ..., "nonce": ...},
        {"user_data": b"", "nonce": b""},
        {"user_data": b"u" * 512, "nonce": b"n" * 512},
        {"pcrs": {n: bytes(48) for n in range(16)}},  # an enclave in debug mode
        {"pcrs": {31: bytes(64), 0: bytes(32)}},
        {"pcrs": dict.fromkeys(range(32), b"p" * 64)},
        {"timestamp": 1},
    ):
        assert accepted(client, enclave.recipient(**changed)), changed


def test_documents_may_be_tagged(client, enclave):
    document = enclave.sign(cbor2.dumps(enclave.fields()), tag=True)
    assert accepted(client, enclave.recipient(document))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"module_id": ...}, "it has no module_id"),
        ({"module_id": ""}, "module_id must be a text that is not empty"),
        ({"module_id": b"bytes"}, "module_id must be a text that is not empty"),
        ({"digest": ...}, "it has no digest"),
        ({"digest": "SHA256"}, "digest must be SHA384"),
        ({"timestamp": ...}, "it has no timestamp"),
        ({"timestamp": 0}, "timestamp must be a positive integer"),
        ({"timestamp": -1}, "timestamp must be a positive integer"),
        ({"timestamp": 1 << 64}, "timestamp must be a positive integer"),
        ({"timestamp": 1.5}, "timestamp must be a positive integer"),
        ({"pcrs": ...}, "it must have either pcrs"),
        ({"nitrotpm_pcrs": {4: bytes(48)}}, "it must have either pcrs"),
        ({"pcrs": {}}, "there must be 1 to 32 PCRs, not 0"),
        ({"pcrs": {n: bytes(48) for n in range(33)}}, "there must be 1 to 32 PCRs, not 33"),
        ({"pcrs": {32: bytes(48)}}, "a PCR's index must be an integer below 32"),
        ({"pcrs": {-1: bytes(48)}}, "a PCR's index must be an integer below 32"),
        ({"pcrs": {"0": bytes(48)}}, "a PCR's index must be an integer below 32"),
        ({"pcrs": {0: bytes(47)}}, "a PCR must be a byte string of 32, 48 or 64 bytes"),
        ({"pcrs": {0: "0" * 48}}, "a PCR must be a byte string of 32, 48 or 64 bytes"),
        ({"pcrs": [bytes(48)]}, "the PCRs are no map"),
        ({"certificate": ...}, "it has no certificate"),
        ({"certificate": b""}, "certificate must have 1 to 1024 bytes, not 0"),
        ({"certificate": bytes(1025)}, "certificate must have 1 to 1024 bytes, not 1025"),
        ({"certificate": b"none"}, "a certificate is not the DER of an X.509 certificate"),
        ({"cabundle": ...}, "it has no cabundle"),
        ({"cabundle": []}, "cabundle must be a list that is not empty"),
        ({"cabundle": [b""]}, "a certificate of cabundle must have 1 to 1024 bytes, not 0"),
        ({"public_key": ...}, "it has no public_key to encrypt the answer with"),
        ({"public_key": None}, "it has no public_key to encrypt the answer with"),
        ({"public_key": b""}, "public_key must have 1 to 1024 bytes, not 0"),
        ({"public_key": bytes(1025)}, "public_key must have 1 to 1024 bytes, not 1025"),
        ({"public_key": "text"}, "public_key is no byte string"),
        ({"public_key": b"none"}, "the public key is not the DER of a SubjectPublicKeyInfo"),
        ({"user_data": bytes(513)}, "user_data must have 0 to 512 bytes, not 513"),
        ({"nonce": bytes(513)}, "nonce must have 0 to 512 bytes, not 513"),
        ({"unknown": 1}, "it has fields that are not known"),
    ],
)
def test_fields_that_break_the_rules_are_refused(enclave, why, changed, reason):
    assert why(enclave.recipient(**changed)).startswith(reason)


def test_public_keys_of_other_kinds_are_refused(enclave, why):
    for key in (
        rsa.generate_private_key(65537, 1024),  # noqa: S505 (it is to be refused)
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ):
        assert "RSA key of 2048, 3072 or 4096 bits" in why(
            enclave.recipient(public_key=enclave.spki(key))
        )
    assert "RSA key" in why(enclave.recipient(public_key=enclave.spki() + b"\0"))


def test_envelopes_that_are_none_of_nitro_are_refused(enclave, why):
    payload = cbor2.dumps(enclave.fields())
    document = enclave.document()
    sign1: list[Any] = cbor2.loads(document)
    for wrong in (
        b"no cbor",
        b"\x00",
        b"\xff",
        document[:-1],
        document + b"\0",
        cbor2.dumps(sign1[:3]),
        cbor2.dumps([*sign1, b""]),
        cbor2.dumps(cbor2.CBORTag(17, sign1)),
        cbor2.dumps(cbor2.CBORTag(18, cbor2.CBORTag(18, sign1))),
        cbor2.dumps(dict(enumerate(sign1))),
        b"\x84" * 10_000,
        b"\x9a\xff\xff\xff\xff",
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"x" * 262_144,
    ):
        assert why(enclave.recipient(wrong)) == "it is no COSE_Sign1"
    es256, ed25519_ = cbor2.dumps({1: -7}), cbor2.dumps({1: -8})
    with_key_id = cbor2.dumps({1: -35, 4: b"key"})
    for protected in (b"", cbor2.dumps({}), es256, ed25519_, with_key_id):
        said = why(enclave.recipient(enclave.sign(payload, protected=protected)))
        assert said.startswith("its protected header must be the algorithm ES384 (-35) alone")
    unsigned = enclave.sign(payload, unprotected={4: b"key"})
    assert why(enclave.recipient(unsigned)) == "its unprotected header must be empty"
    absent = enclave.sign(payload, detached=True)
    assert why(enclave.recipient(absent)) == "it has no payload"
    for signature in (b"", bytes(95), bytes(97), sign1[3] + sign1[3]):
        said = why(enclave.recipient(cbor2.dumps([*sign1[:3], signature])))
        assert said == f"its signature must have 96 bytes, not {len(signature)}"
    said = why(enclave.recipient(cbor2.dumps([*sign1[:3], bytes(96)])))
    assert said == "its signature is not that of its certificate"
    long = enclave.sign(cbor2.dumps(enclave.fields(module_id="i" * 16384)))
    assert why(enclave.recipient(long)).startswith("its payload must have 1 to 16384 bytes, not ")


def test_payloads_that_are_no_map_are_refused(enclave, why):
    fields = enclave.fields()
    twice = b"\xb8" + bytes([len(fields) + 1])
    twice += b"".join(cbor2.dumps(name) + cbor2.dumps(value) for name, value in fields.items())
    twice += cbor2.dumps("digest") + cbor2.dumps("SHA384")
    register = cbor2.dumps(0) + cbor2.dumps(bytes(48))
    registers = cbor2.dumps({"pcrs": 0})[:-1] + b"\xa2" + register * 2
    for payload, reason in (
        (b"\xff", "its payload is no CBOR"),
        (b"\x81" * 200, "its payload is no CBOR"),
        (cbor2.dumps(fields) + b"\0", "its payload has bytes after its end"),
        (cbor2.dumps([1]), "its payload is no map"),
        (cbor2.dumps({1: 2}), "a field's name is no text"),
        (twice, "a field stands there twice"),
        (registers, "it has no module_id"),
    ):
        assert why(enclave.recipient(enclave.sign(payload))) == reason
    mapped = cbor2.dumps(enclave.fields(pcrs=1))
    where = mapped.index(b"\x64pcrs") + 5
    doubled = mapped[:where] + b"\xa2" + register * 2 + mapped[where + 1 :]
    assert why(enclave.recipient(enclave.sign(doubled))) == "a PCR stands there twice"


def test_documents_of_another_signer_are_refused(enclave, why):
    payload = cbor2.dumps(enclave.fields())
    other = enclave.Issued("enclave", enclave.instance, ca=False)
    said = why(enclave.recipient(enclave.sign(payload, key=other.key)))
    assert said == "its signature is not that of its certificate"


def test_chains_that_do_not_hold_are_refused(enclave, why):
    root, regional, zonal, instance = (
        enclave.root, enclave.regional, enclave.zonal, enclave.instance,
    )  # fmt: skip

    def bundle(*above: Any) -> str:
        said: str = why(enclave.recipient(cabundle=[each.der for each in above]))
        return said

    another = "its chain begins with another root than the one with the SHA-256 fingerprint "
    assert bundle(regional, zonal, instance).startswith(another)
    assert bundle(enclave.Issued("root"), regional, zonal, instance).startswith(another)
    assert bundle(instance, zonal, regional, root).startswith(another)
    assert "was not issued by" in bundle(root, zonal, instance)
    assert "was not issued by" in bundle(root, regional, zonal)
    forged = enclave.Issued("instance", enclave.Issued("zonal"), below=0)
    assert "CN=instance,O=Not Amazon is not signed by CN=zonal" in bundle(
        root, regional, zonal, forged
    )
    cut = bytearray(instance.der)
    cut[-1] ^= 1
    said = why(enclave.recipient(cabundle=[root.der, regional.der, zonal.der, bytes(cut)]))
    assert "is not signed by" in said


def chain_with(enclave: Any, **changed: Any) -> dict[str, Any]:
    """Recipient whose chain has another instance certificate, by which its signer is issued."""
    instance = enclave.Issued("instance", enclave.zonal, **{"below": 0, **changed})
    signer = enclave.Issued("enclave", instance, ca=False)
    above = (enclave.root, enclave.regional, enclave.zonal, instance)
    payload = enclave.fields(certificate=signer.der, cabundle=[each.der for each in above])
    made: dict[str, Any] = enclave.recipient(enclave.sign(cbor2.dumps(payload), key=signer.key))
    return made


NAMES = x509.NameConstraints(
    permitted_subtrees=[x509.DNSName("example.com")], excluded_subtrees=None
)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def test_the_chain_s_certificates_may_have_what_is_harmless(client, enclave):
    for changed in ({}, {"below": None}, {"extra": ((UNKNOWN, False),)}):
        assert accepted(client, chain_with(enclave, **changed)), changed
        assert accepted(client, enclave.issued(**changed | {"below": None})), changed
    assert accepted(client, enclave.issued(ca=None, usage=("digital_signature",)))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"ca": False, "below": None, "usage": ("key_cert_sign",)}, "may not issue others"),
        ({"ca": None, "usage": ("key_cert_sign",)}, "may not issue others"),
        ({"usage": ()}, "may not sign certificates"),
        ({"usage": ("crl_sign", "digital_signature")}, "may not sign certificates"),
        ({"hours": (-2, -1)}, "expired at 2026-05-04T11:00:00Z, and it is 2026-05-04T12:00:00Z"),
        ({"hours": (1, 2)}, "is not valid before 2026-05-04T13:00:00Z, and it is"),
        ({"extra": ((UNKNOWN, True),)}, "has an extension 1.2.3.4 that is not known here"),
        ({"extra": ((NAMES, True),)}, "has an extension 2.5.29.30 that is not known here"),
        ({"extra": ((NAMES, False),)}, "has an extension 2.5.29.30 that is not known here"),
        ({"curve": ec.SECP256R1()}, "a certificate of its chain has no P-384 key"),
        ({"digest": hashes.SHA256()}, "is not signed"),
        ({"digest": hashes.SHA512()}, "is not signed"),
        ({"issuer_name": "another"}, "was not issued by CN=zonal"),
    ],
)
def test_authorities_that_are_none_are_refused(enclave, why, changed, reason):
    assert reason in why(chain_with(enclave, **changed))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"ca": True, "usage": ("digital_signature",)}, "is an authority's"),
        ({"usage": ()}, "may not sign (key usage)"),
        ({"usage": ("key_agreement",)}, "may not sign (key usage)"),
        ({"hours": (-2, -1 / 3600)}, "expired at 2026-05-04T11:59:59Z"),
        ({"hours": (1 / 3600, 1)}, "is not valid before 2026-05-04T12:00:01Z"),
        ({"extra": ((UNKNOWN, True),)}, "has an extension 1.2.3.4 that is not known here"),
        ({"digest": hashes.SHA256()}, "is not signed"),
        ({"issuer_name": "another"}, "was not issued by CN=instance"),
    ],
)
def test_signers_that_may_not_sign_are_refused(enclave, why, changed, reason):
    assert reason in why(enclave.issued(**changed))


def test_chains_longer_than_an_authority_may_have_are_refused(enclave, why):
    extra = enclave.Issued("more", enclave.instance, below=0)
    signer = enclave.Issued("enclave", extra, ca=False)
    above = (enclave.root, enclave.regional, enclave.zonal, enclave.instance, extra)
    payload = enclave.fields(certificate=signer.der, cabundle=[each.der for each in above])
    document = enclave.sign(cbor2.dumps(payload), key=signer.key)
    assert "more certificates stand below CN=regional" in why(enclave.recipient(document))


def test_members_that_are_missing_are_refused(client, enclave, refused):
    good = enclave.recipient()
    for member in good:
        rest = {name: value for name, value in good.items() if name != member}
        said = refused("ValidationException", client.generate_random, Recipient=rest, **ASKED)
        assert member[:1].lower() + member[1:] in said


def test_each_field_with_one_byte_changed_is_refused(client, enclave, refused):
    """The envelope's four parts, and each value in the payload and in each certificate's halves."""
    document = enclave.document()
    payload: bytes = cbor2.loads(document)[2]
    fields: dict[str, Any] = cbor2.loads(payload)
    places = [0, 3, 6, 7, len(document) - 1, len(document) - 49]
    for name, value in fields.items():
        places.append(document.index(name.encode()) + 1)
        values = list(value.values()) if isinstance(value, dict) else value
        for each in values if isinstance(values, list) else [values]:
            if isinstance(each, (bytes, str)) and each:
                raw = each.encode() if isinstance(each, str) else each
                start = document.index(raw)
                places += [start, start + len(raw) // 2, start + len(raw) - 1]
    for place in places:
        changed = bytearray(document)
        changed[place] ^= 0x01
        refused(
            "ValidationException", client.generate_random,
            Recipient=enclave.recipient(bytes(changed)), **ASKED,
        )  # fmt: skip


def test_no_byte_may_change(attesting, enclave):
    """Every seventh, for time's sake; the fuzz target changes all of them."""
    document, client = enclave.document(), attesting.clients["in process"]
    for place in range(3, len(document), 7):
        changed = bytearray(document)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(ClientError) as caught:
            client.generate_random(Recipient=enclave.recipient(bytes(changed)), **ASKED)
        assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_the_clock_of_the_kms_decides_what_has_expired(enclave, checked, refused):
    clock = ManualClock(enclave.now.timestamp())
    with KMS(clock=clock, attestation_root=enclave.root.pem) as kms:
        client = checked(kms.client())
        assert accepted(client, enclave.recipient())
        clock.advance(2 * 3600)
        assert accepted(client, enclave.recipient())  # to the second
        clock.advance(1)
        ask = client.generate_random
        said = refused("ValidationException", ask, Recipient=enclave.recipient(), **ASKED)
        assert "CN=enclave,O=Not Amazon expired at 2026-05-04T14:00:00Z" in said
        clock.set(enclave.now.timestamp() - 3601, allow_backwards=True)
        said = refused("ValidationException", ask, Recipient=enclave.recipient(), **ASKED)
        assert "is not valid before 2026-05-04T11:00:00Z" in said


def test_by_default_aws_s_root_is_trusted(enclave, refused):
    with KMS(clock=ManualClock(enclave.now.timestamp())) as kms:
        said = refused(
            "ValidationException", kms.client().generate_random,
            Recipient=enclave.recipient(), **ASKED,
        )  # fmt: skip
    aws = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
    assert said.endswith(f"another root than the one with the SHA-256 fingerprint {aws}.")


def test_the_root_may_be_a_file_or_bytes_and_several(enclave, tmp_path):
    both = enclave.Issued("another root", hours=(-1, 1)).pem + b"\n" + enclave.root.pem
    (tmp_path / "roots.pem").write_bytes(both)
    clock = ManualClock(enclave.now.timestamp())
    for root in (both, enclave.root.der, tmp_path / "roots.pem", str(tmp_path / "roots.pem")):
        with KMS(clock=clock, attestation_root=root) as kms:
            assert accepted(kms.client(), enclave.recipient())


def test_roots_that_are_none_are_refused_at_once(enclave, tmp_path):
    with pytest.raises(FileNotFoundError):
        KMS(attestation_root=tmp_path / "missing.pem")
    for root in (
        b"",
        b"none",
        b"-----BEGIN CERTIFICATE-----\n",
        enclave.regional.pem,
        enclave.signer.der,
        enclave.Issued("root", curve=ec.SECP256R1()).pem,
        enclave.Issued("root", usage=("digital_signature",)).pem,
        enclave.Issued("root", ca=False, usage=("key_cert_sign",)).pem,
    ):
        with pytest.raises(ValueError, match="attestation root was refused"):
            KMS(attestation_root=root)
