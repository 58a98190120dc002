"""Who makes and opens data keys in the demo: Clavero in batches, and pyca `AESGCM` in a loop.

The loop does less: it has one key in this process's memory, and no key ids, policy, audit or store.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clavero.cli.demo.envelope import NONCE, Context, associated_data

if TYPE_CHECKING:
    from clavero import Client

DataKeys = Sequence[tuple[bytes, bytes]]


class Wrapper(Protocol):
    """Makes data keys of 32 bytes with their blobs, and opens the blobs."""

    def new(self, count: int, context: Context) -> AbstractContextManager[DataKeys]:
        """That many data keys, plaintext and blob, until the end of the `with` block."""
        ...

    def open(self, blobs: list[bytes], context: Context) -> AbstractContextManager[Sequence[bytes]]:
        """The data keys of the blobs, until the end of the `with` block."""
        ...


class Clavero:
    """One call for all, under one KMS key."""

    def __init__(self, client: Client, key_id: str) -> None:
        self._client = client
        self._key_id = key_id

    def new(self, count: int, context: Context) -> AbstractContextManager[DataKeys]:
        """A DataKeyBatch, which is wiped at the end of its block."""
        return self._client.generate_data_keys(
            KeyId=self._key_id, NumberOfKeys=count, KeySpec="AES_256", EncryptionContext=context
        )

    def open(self, blobs: list[bytes], context: Context) -> AbstractContextManager[Sequence[bytes]]:
        """A BinaryBatch, which is wiped likewise. Raises the client's exceptions."""
        return self._client.decrypt_many(blobs, EncryptionContext=context)

    def open_singly(self, blobs: Iterable[bytes], context: Context) -> list[bytes]:
        """A call each. Raises the client's exceptions."""
        decrypt = self._client.decrypt
        return [
            decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] for blob in blobs
        ]


class Loop:
    """A turn each, under one random AES-256 key, with the encryption context as associated data."""

    def __init__(self) -> None:
        self._cipher = AESGCM(AESGCM.generate_key(256))

    def new(self, count: int, context: Context) -> AbstractContextManager[DataKeys]:
        """Blobs are nonce, ciphertext, tag."""
        encrypt, random, data = self._cipher.encrypt, os.urandom, associated_data(context)
        made = []
        for _ in range(count):
            key, nonce = random(32), random(NONCE)
            made.append((key, nonce + encrypt(nonce, key, data)))
        return nullcontext(made)

    def open(self, blobs: list[bytes], context: Context) -> AbstractContextManager[Sequence[bytes]]:
        """What `new` wrapped."""
        decrypt, data = self._cipher.decrypt, associated_data(context)
        return nullcontext([decrypt(blob[:NONCE], blob[NONCE:], data) for blob in blobs])
