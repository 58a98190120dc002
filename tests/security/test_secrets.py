"""No way to a key from Python: not by copying, pickling, printing, tracebacks; wiped is wiped."""

from __future__ import annotations

import copy
import ctypes
import gc
import pickle
import traceback

import numpy as np
import pytest
from botocore.exceptions import ClientError

from clavero import KMS, Unseal
from clavero._native import Hsm, NativeBuffer


@pytest.fixture(scope="module")
def opened():
    with KMS() as kms:
        client = kms.client()
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        yield kms, client, key_id


def test_nothing_that_holds_keys_is_pickled(opened, tmp_path):
    kms, client, key_id = opened
    batch = client.generate_data_keys(KeyId=key_id, NumberOfKeys=2, KeySpec="AES_256")
    for each in (
        kms,
        kms._hsm,
        client,
        Unseal.passphrase("correct horse", tmp_path / "salt"),
        batch,
        batch._secret,
        client.decrypt_many(batch.ciphertext),
    ):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError):
                # The oldest protocols write the name of a type of Rust's, and nothing comes of it
                pickle.loads(pickle.dumps(each, protocol))  # noqa: S301


def test_nothing_that_holds_keys_is_copied(opened):
    kms, client, key_id = opened
    batch = client.generate_data_keys(KeyId=key_id, NumberOfKeys=2, KeySpec="AES_256")
    for each in (kms._hsm, Unseal.ephemeral(), batch, batch._secret):
        for duplicate in (copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                duplicate(each)
    for each in (kms, client):
        with pytest.raises(TypeError):
            copy.deepcopy(each)


def test_texts_say_nothing(opened):
    kms, client, key_id = opened
    batch = client.generate_data_keys(KeyId=key_id, NumberOfKeys=2, KeySpec="AES_256")
    plaintexts = [plaintext for plaintext, _ in batch]
    assert repr(kms) == str(kms) == "<KMS in memory>"
    assert repr(client) == "<Client of arn:aws:iam::000000000000:root in us-east-1>"
    for each in (batch, batch._secret, client.decrypt_many(batch.ciphertext), kms._hsm):
        for text in (repr(each), str(each), f"{each}"):
            for plaintext in plaintexts:
                assert plaintext.hex() not in text
                assert repr(plaintext)[2:-1] not in text


def test_types_of_the_hsm_are_closed():
    """No subclass can look over the shoulder of a method, and no instance is made by hand."""
    for kind in (Hsm, Unseal, NativeBuffer):
        with pytest.raises(TypeError):
            type("Sub", (kind,), {})
        for made in (kind, lambda kind=kind: object.__new__(kind)):
            with pytest.raises(TypeError):
                made()
    with pytest.raises(AttributeError):
        Unseal.ephemeral().x = 1  # type: ignore[attr-defined]


def test_no_attribute_of_the_hsm_gives_a_key(opened):
    """None of the methods is named after bringing keys out, and an instance holds nothing else."""
    names = {name for name in dir(Hsm) if not name.startswith("_")}
    assert not {name for name in names if any(w in name for w in ("export", "raw", "material"))}
    assert not hasattr(opened[0]._hsm, "__dict__")


def test_an_error_s_traceback_has_no_plaintext(opened):
    """Locals are not shown by default; messages and causes must not have it either."""
    _, client, key_id = opened
    secret = b"a secret that is easy to find"
    for call in (
        lambda: client.encrypt(KeyId=key_id, Plaintext=secret * 200),
        lambda: client.encrypt_many(key_id, [secret, b""]),
        lambda: client.encrypt(KeyId="alias/none", Plaintext=secret),
        lambda: client.decrypt(CiphertextBlob=secret),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        error = caught.value
        while error is not None:
            assert secret.decode() not in "".join(traceback.format_exception_only(error))
            error = error.__cause__ or error.__context__


def test_wiping_reaches_the_memory_itself(opened):
    _, client, key_id = opened
    batch = client.generate_data_keys(KeyId=key_id, NumberOfKeys=64, KeySpec="AES_256")
    view = batch.plaintext
    address, size = view.ctypes.data, view.nbytes
    assert ctypes.string_at(address, size) == view.tobytes() != bytes(size)
    batch.wipe()
    assert ctypes.string_at(address, size) == bytes(size)  # the view keeps the memory mapped
    assert not view.any()


def test_a_view_keeps_the_memory_of_a_dropped_batch(opened):
    _, client, key_id = opened
    batch = client.generate_data_keys(KeyId=key_id, NumberOfKeys=4, KeySpec="AES_256")
    row = batch.plaintext[1]
    expected = batch[1][0]
    del batch
    gc.collect()
    assert row.tobytes() == expected


def test_memory_of_dropped_batches_is_not_found_again(opened):
    """New batches land where old ones were; none of them shows an old plaintext."""
    _, client, key_id = opened
    old = set()
    for _ in range(20):
        batch = client.generate_data_keys(KeyId=key_id, NumberOfKeys=100, KeySpec="AES_256")
        old |= {plaintext for plaintext, _ in batch}
        del batch
    fresh = np.empty(1 << 20, np.uint8).tobytes()
    assert len(old) == 2000
    assert not any(plaintext in fresh for plaintext in list(old)[:200])


def test_sealing_refuses_everything_afterwards():
    with KMS() as kms:
        client = kms.client()
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        blob = client.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
        kms.seal()
        for call in (
            lambda: client.decrypt(CiphertextBlob=blob),
            lambda: client.encrypt(KeyId=key_id, Plaintext=b"x"),
            lambda: client.generate_data_keys(KeyId=key_id, NumberOfKeys=1, KeySpec="AES_256"),
            client.create_key,
            client.list_keys,
            kms.client().list_keys,
        ):
            with pytest.raises(ClientError) as caught:
                call()
            assert caught.value.response["Error"]["Code"] == "ServiceUnavailableException"
            assert "sealed" in caught.value.response["Error"]["Message"]
        kms.seal()


def test_a_closed_kms_refuses_and_closes_once(folder):
    kms = KMS(folder)
    client = kms.client()
    kms.close()
    kms.close()
    with pytest.raises(ClientError, match="closed"):
        client.list_keys()
