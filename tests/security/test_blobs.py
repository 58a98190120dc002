"""Blobs that were cut, flipped, lengthened, invented or made elsewhere: one error, no word."""

from __future__ import annotations

import random

import pytest

from clavero import KMS

CONTEXT = {"a": "b"}


@pytest.fixture(scope="module")
def target():
    with KMS() as kms:
        client = kms.client()
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        blob = client.encrypt(KeyId=key_id, Plaintext=b"data", EncryptionContext=CONTEXT)
        yield client, key_id, blob["CiphertextBlob"]


def assert_refused(target, blob):
    """By Decrypt, with and without the key's name, by ReEncrypt and in a batch."""
    client, key_id, good = target
    for method, params in (
        (client.decrypt, {"CiphertextBlob": blob, "EncryptionContext": CONTEXT}),
        (client.decrypt, {"CiphertextBlob": blob, "EncryptionContext": CONTEXT, "KeyId": key_id}),
        (
            client.re_encrypt,
            {
                "CiphertextBlob": blob,
                "SourceEncryptionContext": CONTEXT,
                "DestinationKeyId": key_id,
            },
        ),
    ):
        with pytest.raises(client.exceptions.InvalidCiphertextException) as caught:
            method(**params)
        assert caught.value.response["Error"]["Message"] == ""
    with pytest.raises(client.exceptions.InvalidCiphertextException):
        client.decrypt_many([good, blob], EncryptionContext=CONTEXT)


def test_the_blob_itself_opens(target):
    """So that the refusals below mean something."""
    client, _, blob = target
    opened = client.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == b"data"


def test_cut_at_every_length(target):
    blob = target[2]
    for length in range(1, len(blob)):
        assert_refused(target, blob[:length])
        assert_refused(target, blob[length:])


def test_every_bit_flipped(target):
    blob = target[2]
    for bit in range(8 * len(blob)):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        assert_refused(target, bytes(flipped))


def test_lengthened_and_invented(target):
    blob = target[2]
    generator = random.Random(7)
    for extra in (1, 16, 100, 6144 - len(blob)):
        assert_refused(target, blob + bytes(extra))
        assert_refused(target, bytes(extra) + blob)
    for length in (1, 16, 48, 63, 64, 65, 68, 500, 6144):
        assert_refused(target, generator.randbytes(length))
        assert_refused(target, blob[:48] + generator.randbytes(length)[: 6144 - 48])
        assert_refused(target, blob[:4] + generator.randbytes(length)[: 6144 - 4])


def test_parts_of_two_blobs_put_together(target):
    client, key_id, blob = target
    other = client.encrypt(KeyId=key_id, Plaintext=b"DATA", EncryptionContext=CONTEXT)
    for cut in (36, 48, len(blob) - 16):
        assert_refused(target, blob[:cut] + other["CiphertextBlob"][cut:])


def test_blobs_of_one_batch_do_not_mix(target):
    """They share N and the message key; the IV keeps them apart."""
    client, key_id, _ = target
    batch = client.generate_data_keys(
        KeyId=key_id, NumberOfKeys=2, NumberOfBytes=16, EncryptionContext=CONTEXT
    )
    (_, first), (_, second) = batch
    assert first[:36] == second[:36]
    assert_refused(target, first[:48] + second[48:])
    assert_refused(target, first[:-16] + second[-16:])


def test_the_same_blob_from_another_kms(target):
    with KMS() as other:
        client = other.client()
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        foreign = client.encrypt(KeyId=key_id, Plaintext=b"data", EncryptionContext=CONTEXT)
    assert_refused(target, foreign["CiphertextBlob"])
    assert_refused(target, foreign["CiphertextBlob"][:4] + target[2][4:20] + foreign["CiphertextBlob"][20:])  # fmt: skip # noqa: E501


def test_tokens_and_domain_states_are_no_blobs(target):
    """Other sealed bytes have the same outer form; the label in their key derivation differs."""
    with KMS() as kms:
        client = kms.client()
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        blob = client.encrypt(KeyId=key_id, Plaintext=b"data")["CiphertextBlob"]
        with kms._store.read() as tx:
            (token,) = tx.exec_driver_sql("SELECT token FROM key_versions").one()
            (state,) = tx.exec_driver_sql("SELECT state FROM domains").one()
        assert token[:4] == state[:4] == blob[:4]
        for sealed in (token, state, token[:4] + blob[4:20] + token[20:]):
            with pytest.raises(client.exceptions.InvalidCiphertextException):
                client.decrypt(CiphertextBlob=sealed)
