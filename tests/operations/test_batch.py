"""Batches: every blob is an ordinary one, every kind of input is taken, a bad item fails all."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from clavero._native import BLOB_OVERHEAD

CONTEXT = {"table": "t"}


@pytest.fixture
def other(client):
    return client.create_key()["KeyMetadata"]


@pytest.mark.parametrize("size", [{"KeySpec": "AES_256"}, {"NumberOfBytes": 7}], ids=str)
def test_each_data_key_of_a_batch_opens_alone(client, key, size):
    batch = client.generate_data_keys(
        KeyId=key["KeyId"], NumberOfKeys=100, EncryptionContext=CONTEXT, **size
    )
    width = size.get("NumberOfBytes", 32)
    assert (len(batch), batch.size) == (100, width)
    assert (batch.key_id, batch.key_material_id) == (key["Arn"], key["CurrentKeyMaterialId"])
    assert batch.plaintext.shape == (100, width)
    assert batch.ciphertext.shape == (100, width + BLOB_OVERHEAD)
    assert batch.plaintext.dtype == batch.ciphertext.dtype == np.uint8
    pairs = list(batch)
    assert len({plaintext for plaintext, _ in pairs}) == 100
    assert len({blob for _, blob in pairs}) == 100
    for index, (plaintext, blob) in enumerate(pairs):
        assert batch.plaintext[index].tobytes() == plaintext
        assert batch.ciphertext[index].tobytes() == blob
        opened = client.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)
        assert opened["Plaintext"] == plaintext
        assert opened["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert client.decrypt_many(batch.ciphertext, EncryptionContext=CONTEXT)[:] == [
        plaintext for plaintext, _ in pairs
    ]


def test_a_batch_is_bound_to_its_context(client, key, refused):
    batch = client.generate_data_keys(
        KeyId=key["KeyId"], NumberOfKeys=3, KeySpec="AES_128", EncryptionContext=CONTEXT
    )
    refused("InvalidCiphertextException", client.decrypt, CiphertextBlob=batch[1][1])
    text = refused("InvalidCiphertextException", client.decrypt_many, batch.ciphertext)
    assert text.startswith("Item 0 of the batch:")


def test_indexing_is_that_of_a_sequence(client, key):
    batch = client.generate_data_keys(KeyId=key["KeyId"], NumberOfKeys=5, NumberOfBytes=4)
    everything = list(batch)
    assert batch[-1] == everything[-1]
    assert batch[1:4] == everything[1:4]
    assert batch[::-2] == everything[::-2]
    for index in (5, -6):
        with pytest.raises(IndexError):
            batch[index]
    assert everything[2] in batch
    assert repr(batch) == f"<DataKeyBatch of 5 keys of 4 bytes under {key['Arn']}>"


@pytest.mark.parametrize(
    "given",
    [
        [b"abcd", b"efgh", b"ijkl"],
        (b"abcd", bytearray(b"efgh"), b"ijkl"),
        np.frombuffer(b"abcdefghijkl", dtype=np.uint8).reshape(3, 4),
        np.frombuffer(b"....abcdefghijkl", dtype=np.uint8).reshape(4, 4)[1:],
        pa.array([b"abcd", b"efgh", b"ijkl"], pa.binary()),
        pa.array([b"abcd", b"efgh", b"ijkl"], pa.large_binary()),
        pa.array([b"abcd", b"efgh", b"ijkl"], pa.binary(4)),
        pa.array([b"....", b"abcd", b"efgh", b"ijkl"], pa.binary())[1:],
        pa.array([b"....", b"abcd", b"efgh", b"ijkl"], pa.binary(4))[1:],
        pa.array([b"abcd", b"efgh", b"ijkl"], pa.binary_view()),
    ],
    ids=["list", "tuple", "numpy", "rows", "binary", "large", "fixed", "slice", "cut", "view"],
)
def test_every_kind_of_input(client, key, given):
    sealed = client.encrypt_many(key["KeyId"], given, EncryptionContext=CONTEXT)
    opened = [
        client.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)["Plaintext"]
        for blob in sealed
    ]
    assert opened == [b"abcd", b"efgh", b"ijkl"]
    assert sealed.key_id == key["Arn"]
    many = client.decrypt_many(sealed.array(), EncryptionContext=CONTEXT)
    assert many[:] == opened
    assert many.array().tobytes() == b"abcdefghijkl"


def test_values_of_different_lengths_keep_theirs(client, key):
    plaintexts = [bytes([n % 256]) * (1 + 37 * n % 4096) for n in range(200)]
    sealed = client.encrypt_many(key["KeyId"], plaintexts)
    assert [len(blob) for blob in sealed] == [len(each) + BLOB_OVERHEAD for each in plaintexts]
    opened = client.decrypt_many(list(sealed))
    assert list(opened) == plaintexts
    with pytest.raises(ValueError, match="different lengths"):
        opened.array()
    assert pa.array(opened).to_pylist() == plaintexts
    assert client.decrypt_many(pa.array(sealed))[:] == plaintexts


def test_arrow_reads_a_batch_without_a_copy(client, key):
    batch = client.generate_data_keys(KeyId=key["KeyId"], NumberOfKeys=10, KeySpec="AES_256")
    array = pa.array(batch)
    assert array.type == pa.struct(
        [
            pa.field("plaintext", pa.binary(32), nullable=False),
            pa.field("ciphertext", pa.binary(32 + BLOB_OVERHEAD), nullable=False),
        ]
    )
    assert [(row["plaintext"], row["ciphertext"]) for row in array.to_pylist()] == list(batch)
    address = array.field("plaintext").buffers()[1].address
    assert address == batch.plaintext.ctypes.data
    kept = array.field("ciphertext").to_pylist()
    del batch
    assert array.field("ciphertext").to_pylist() == kept  # Arrow keeps the memory


def test_blobs_of_several_keys_open_in_one_call_each_with_its_own(client, key, other):
    blobs, plaintexts = [], []
    for number in range(20):
        target = (key, other)[number % 2]
        plaintexts.append(b"%d" % number)
        blobs.append(
            client.encrypt(KeyId=target["KeyId"], Plaintext=plaintexts[-1])["CiphertextBlob"]
        )
    assert list(client.decrypt_many(blobs)) == plaintexts


def test_a_named_key_must_be_that_of_every_blob(client, key, other, refused):
    mine, others = (
        client.encrypt(KeyId=each["KeyId"], Plaintext=b"x")["CiphertextBlob"]
        for each in (key, other)
    )
    assert list(client.decrypt_many([mine, mine], KeyId=key["Arn"])) == [b"x", b"x"]
    refused("IncorrectKeyException", client.decrypt_many, [mine, others], KeyId=key["KeyId"])


def test_the_first_bad_item_fails_the_call_and_is_named(client, key, refused):
    batch = client.generate_data_keys(KeyId=key["KeyId"], NumberOfKeys=1000, NumberOfBytes=8)
    blobs = batch.ciphertext.copy()
    blobs[700, -1] ^= 1
    blobs[701, -1] ^= 1
    text = refused("InvalidCiphertextException", client.decrypt_many, blobs)
    assert text.startswith("Item 700 of the batch:")
    for bad in ([b"x", b""], [b"x", b"y" * 4097]):
        text = refused("ValidationException", client.encrypt_many, key["KeyId"], bad)
        assert text == (
            f"Item 1 of the batch: The length must be between 1 and 4096 bytes, not {len(bad[1])}."
        )
    for bad_blob in (b"", b"x", b"x" * 80, b"\x01\x01\0\0" + b"x" * 80):
        refused("InvalidCiphertextException", client.decrypt_many, [batch[0][1], bad_blob])


@pytest.mark.parametrize(
    "given",
    [
        None, 5, "abc", b"abc", [], ["abc"], [None], {"a": b"b"}, {b"a"}, iter([b"a"]),
        np.zeros(4, np.uint8), np.zeros((2, 2, 2), np.uint8), np.zeros((2, 4), np.int64),
        np.zeros((0, 4), np.uint8), np.zeros((2, 0), np.uint8), np.zeros((4, 4), np.uint8)[:, ::2],
        np.zeros((4, 4), np.uint8, order="F"), [b"a", memoryview(b"b")], [b"a", "b"], [b"a", 5],
        pa.array([b"a", None]), pa.array(["a"]), pa.array([1]), pa.chunked_array([[b"a"]]),
        pa.array([], pa.binary()), object(),
    ],
    ids=lambda given: f"{type(given).__name__}-{str(given)[:12]}",
)  # fmt: skip
def test_inputs_that_are_no_batch(client, key, refused, given):
    text = refused("ValidationException", client.encrypt_many, key["KeyId"], given)
    assert text
    if isinstance(given, np.ndarray) and given.shape == (2, 0):
        return
    with pytest.raises(client.exceptions.ClientError):
        client.decrypt_many(given)


NESTED: list[object] = []
for _ in range(2000):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    "count",
    [0, -1, 2**24 + 1, 10**30, 10**5000, 1.5, True, "3", None, [3], NESTED],
    ids=lambda count: type(count).__name__,
)
def test_a_number_of_keys_that_is_none(client, key, refused, count):
    text = refused(
        "ValidationException",
        client.generate_data_keys,
        KeyId=key["KeyId"],
        NumberOfKeys=count,
        KeySpec="AES_256",
    )
    assert "'numberOfKeys' failed to satisfy constraint" in text


def test_parameters_are_those_of_the_single_operations(client, key, refused):
    many = {"KeyId": key["KeyId"], "NumberOfKeys": 2}
    generate = client.generate_data_keys
    assert refused("ValidationException", generate, **many) == (
        "Please specify either number of bytes or key spec."
    )
    assert "'keySpec'" in refused("ValidationException", generate, **many, KeySpec="X")
    assert "'Foo'" in refused("SerializationException", generate, **many, KeySpec="AES_256", Foo=1)
    assert "'Plaintext'" in refused(
        "SerializationException", client.encrypt_many, key["KeyId"], [b"a"], Plaintext=b"x"
    )
    assert "'CiphertextBlob'" in refused(
        "SerializationException", client.decrypt_many, [b"a"], CiphertextBlob=b"x"
    )
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": b"x"}
    refused("UnsupportedOperationException", generate, **many, KeySpec="AES_256",
            Recipient=recipient)  # fmt: skip
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    refused("UnsupportedOperationException", client.decrypt_many, [blob], Recipient=recipient)
    refused("InvalidKeyUsageException", client.decrypt_many, [blob],
            EncryptionAlgorithm="SM2PKE")  # fmt: skip


def test_an_alias_names_the_key_of_a_batch(client, key):
    client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    batch = client.generate_data_keys(KeyId="alias/a", NumberOfKeys=2, NumberOfBytes=8)
    assert batch.key_id == key["Arn"]
    assert list(client.decrypt_many(batch.ciphertext, KeyId="alias/a")) == [p for p, _ in batch]


# --- wiping --------------------------------------------------------------------------------------


def test_wiping_zeroes_every_view_and_refuses_new_ones(client, key):
    batch = client.generate_data_keys(KeyId=key["KeyId"], NumberOfKeys=4, KeySpec="AES_256")
    view, arrow = batch.plaintext, pa.array(batch).field("plaintext")
    blobs = batch.ciphertext.copy()
    assert view.any()
    batch.wipe()
    assert batch.wiped
    assert not view.any()
    assert not batch.plaintext.any()
    assert arrow.to_pylist() == [bytes(32)] * 4
    assert (batch.ciphertext == blobs).all()
    with pytest.raises(ValueError, match="wiped"):
        batch[0]
    with pytest.raises(ValueError, match="wiped"):
        pa.array(batch)
    batch.wipe()  # the second time is no error
    assert "wiped" in repr(batch)
    assert list(client.decrypt_many(blobs)) != [bytes(32)] * 4


def test_leaving_the_block_wipes(client, key):
    with client.generate_data_keys(KeyId=key["KeyId"], NumberOfKeys=2, NumberOfBytes=8) as batch:
        view, blobs = batch.plaintext, batch.ciphertext
        assert view.any()
    assert not view.any()
    with client.decrypt_many(blobs) as opened:
        plaintexts = opened.array()
        assert plaintexts.any()
    assert not plaintexts.any()
    with pytest.raises(ValueError, match="wiped"):
        opened[0]


def test_a_batch_is_not_pickled(client, key):
    batch = client.generate_data_keys(KeyId=key["KeyId"], NumberOfKeys=2, NumberOfBytes=8)
    for each in (batch, client.decrypt_many(batch.ciphertext)):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(each)


def test_batches_run_beside_other_threads(client, key):
    """The interpreter is released: two big batches and a single call interleave."""
    done: list[int] = []

    def work() -> None:
        batch = client.generate_data_keys(KeyId=key["KeyId"], NumberOfKeys=20_000, NumberOfBytes=32)
        opened = client.decrypt_many(batch.ciphertext)
        assert (opened.array() == batch.plaintext).all()
        done.append(len(batch))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [20_000] * 3


def test_pages_of_a_large_batch_are_wiped_before_the_next_one_gets_them(client, key):
    def make():
        return client.generate_data_keys(KeyId=key["KeyId"], NumberOfKeys=50_000, NumberOfBytes=32)

    batch = make()
    kept = batch.plaintext.tobytes()
    address, size = batch.plaintext.ctypes.data, batch.plaintext.nbytes
    del batch
    with Path("/proc/self/mem").open("rb") as memory:  # what is not mapped would be an error
        memory.seek(address)
        assert memory.read(size) == bytes(size)
    again = make()
    assert again.plaintext.ctypes.data == address
    rows = {kept[at : at + 32] for at in range(0, size, 32)}
    rows |= {plaintext for plaintext, _ in again}
    assert len(rows) == 100_000
    assert client.decrypt_many(again.ciphertext).array().tobytes() == again.plaintext.tobytes()
