"""An independent judge of the bytes: pyca/cryptography opens a store and blobs from the root key.

root.key -> domain state -> key token -> ciphertext blobs, single and batch, with nothing of
Clavero's code: what docs/formats says is what the bytes are, and a backup can be read without us.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from clavero import KMS

CONTEXT = {"b": "2", "a": "1", "é": "", "ab": "c"}


def derive(key: bytes, fixed: bytes, length: int = 32) -> bytes:
    """SP 800-108r1 4.1: HMAC-SHA-256(key, counter ‖ fixed)."""
    return KBKDFHMAC(
        algorithm=SHA256(),
        mode=Mode.CounterMode,
        length=length,
        rlen=4,
        llen=None,
        location=CounterLocation.BeforeFixed,
        label=None,
        context=None,
        fixed=fixed,
    ).derive(key)


def field(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def unseal(sealed: bytes, key: bytes, label: bytes, aad: bytes) -> bytes:
    """The one sealed form: header 48, ciphertext, tag 16."""
    assert sealed[:4] == b"\x01\x01\x00\x00"
    key_id, nonce, iv = sealed[4:20], sealed[20:36], sealed[36:48]
    derived = derive(key, label + b"\0" + key_id + nonce)
    return AESGCM(derived).decrypt(iv, sealed[48:], sealed[:48] + aad)


def canonical(context: dict[str, str]) -> bytes:
    pairs = sorted((key.encode(), value.encode()) for key, value in context.items())
    return struct.pack(">I", len(pairs)) + b"".join(field(k) + field(v) for k, v in pairs)


class Judge:
    """The store in a folder, opened without Clavero."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "clavero.db")
        root = (folder / "root.key").read_bytes()
        assert len(root) == 32
        self.root_id = derive(root, b"kms/root/id\0", 16)
        self._root_seal = derive(root, b"kms/root/seal\0")
        self.versions: dict[str, int] = {}
        self.domain_keys: dict[tuple[str, bytes], bytes] = {}
        self.active: dict[str, bytes] = {}
        for region, version, state in self._database.execute(
            "SELECT region, version, state FROM domains"
        ):
            self._open_domain(region, version, state)

    def _open_domain(self, region: str, version: int, state: bytes) -> None:
        assert state[4:20] == self.root_id
        aad = field(b"domain-state") + field(region.encode())
        plain = unseal(state, self._root_seal, b"kms/dom/v1", aad)
        assert int.from_bytes(plain[:8]) == version
        count = plain[72]
        entries = plain[73:]
        assert len(entries) == 57 * count
        for index in range(count):
            entry = entries[57 * index : 57 * index + 57]
            assert entry[16] == (index == count - 1)
            self.domain_keys[region, entry[:16]] = entry[25:]
            self.active[region] = entry[:16]
        self.versions[region] = version

    def backing_key(self, region: str, hbkid: bytes) -> bytes:
        (account, key_id, token, domain_key_id, material) = self._database.execute(
            "SELECT account, key_id, token, domain_key_id, material_id FROM key_versions "
            "WHERE region = ? AND hbkid = ?",
            (region, hbkid),
        ).fetchone()
        (spec, usage, origin, multi_region) = self._database.execute(
            "SELECT spec, usage, origin, multi_region FROM keys "
            "WHERE region = ? AND account = ? AND key_id = ?",
            (region, account, key_id),
        ).fetchone()
        assert token[4:20] == domain_key_id
        assert material == hashlib.sha256(b"clavero/key-material-id\0" + hbkid).hexdigest()
        aad = b"".join(
            field(each if isinstance(each, bytes) else each.encode())
            for each in (account, region, key_id, hbkid, spec, usage, origin)
        )
        if multi_region:
            aad += field(b"multi-Region")
        key = unseal(token, self.domain_keys[region, domain_key_id], b"kms/ekt/v1", aad)
        assert len(key) == 32
        return key

    def open(self, region: str, blob: bytes, context: dict[str, str]) -> bytes:
        key = self.backing_key(region, blob[4:20])
        return unseal(blob, key, b"kms/enc/v1", canonical(context))

    def close(self) -> None:
        self._database.close()


@pytest.fixture
def store(folder):
    """A closed store of two Regions and two accounts; every kind of blob with its plaintext."""
    made: list[tuple[str, bytes, dict[str, str], bytes]] = []
    with KMS(folder) as kms:
        for region, account in (
            ("us-east-1", "000000000000"),
            ("us-east-1", "111122223333"),
            ("eu-west-1", "000000000000"),
        ):
            client = kms.client(region=region, account=account)
            key_id = client.create_key()["KeyMetadata"]["KeyId"]
            for context in ({}, CONTEXT):
                for size in (1, 4096):
                    plaintext = bytes(number % 256 for number in range(size))
                    sealed = client.encrypt(
                        KeyId=key_id, Plaintext=plaintext, EncryptionContext=context
                    )
                    made.append((region, sealed["CiphertextBlob"], context, plaintext))
                single = client.generate_data_key(
                    KeyId=key_id, KeySpec="AES_256", EncryptionContext=context
                )
                made.append((region, single["CiphertextBlob"], context, single["Plaintext"]))
                batch = client.generate_data_keys(
                    KeyId=key_id, NumberOfKeys=50, KeySpec="AES_128", EncryptionContext=context
                )
                made += [(region, blob, context, plaintext) for plaintext, blob in batch]
                many = client.encrypt_many(key_id, [b"x", b"yy"], EncryptionContext=context)
                made += [(region, many[0], context, b"x"), (region, many[1], context, b"yy")]
        moved = client.re_encrypt(
            CiphertextBlob=made[-1][1],
            SourceEncryptionContext=CONTEXT,
            DestinationKeyId=key_id,
            DestinationEncryptionContext={"k": "v"},
        )
        made.append(("eu-west-1", moved["CiphertextBlob"], {"k": "v"}, b"yy"))
        # A multi-Region key's blob opens by the tokens of both Regions
        client = kms.client(region="us-east-1")
        key_id = client.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
        client.replicate_key(KeyId=key_id, ReplicaRegion="eu-west-1")
        blob = client.encrypt(KeyId=key_id, Plaintext=b"both")["CiphertextBlob"]
        made += [(region, blob, {}, b"both") for region in ("us-east-1", "eu-west-1")]
    return folder, made


def test_the_judge_opens_every_blob(store):
    folder, made = store
    judge = Judge(folder)
    assert judge.versions == {"us-east-1": 1, "eu-west-1": 1}
    for region, blob, context, plaintext in made:
        assert judge.open(region, blob, context) == plaintext
        assert judge.open(region, blob, dict(reversed(context.items()))) == plaintext
    judge.close()


def test_the_judge_refuses_what_the_hsm_refuses(store):
    """Its own check: it would fail on another context, Region or byte."""
    folder, made = store
    judge = Judge(folder)
    region, blob, _, _ = made[0]
    with pytest.raises(InvalidTag):
        judge.open(region, blob, {"a": "b"})
    with pytest.raises(InvalidTag):
        judge.open(region, blob[:-1] + bytes([blob[-1] ^ 1]), {})
    judge.close()


def test_a_batch_numbers_its_ivs_under_one_n(folder):
    with KMS(folder) as kms:
        client = kms.client()
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        batches = [
            client.generate_data_keys(KeyId=key_id, NumberOfKeys=5000, NumberOfBytes=1)
            for _ in range(2)
        ]
    for batch in batches:
        blobs = [blob for _, blob in batch]
        assert len({blob[20:36] for blob in blobs}) == 1
        assert [int.from_bytes(blob[36:48]) for blob in blobs] == list(range(5000))
    assert batches[0][0][1][20:36] != batches[1][0][1][20:36]


def test_the_judge_opens_blobs_after_rotation_of_the_domain_key(store):
    folder, made = store
    before = Judge(folder)
    with KMS(folder) as kms:
        assert kms.rotate_domain_keys() == 2
    after = Judge(folder)
    assert after.versions == {"us-east-1": 3, "eu-west-1": 3}  # rotated, then retired
    assert not set(before.domain_keys) & set(after.domain_keys)
    assert len(after.domain_keys) == 2
    for region, blob, context, plaintext in made:
        assert after.open(region, blob, context) == plaintext
    before.close()
    after.close()
