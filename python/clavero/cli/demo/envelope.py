"""A file under a data key of its own: the smallest honest envelope, for the demo alone.

    magic 8 | length of the blob, 2 big-endian | blob | nonce 12 | ciphertext | tag 16

The body is AES-256-GCM. Its associated data are everything before it and the file's encryption
context, which has the path: a body, a blob or a whole file that is moved to another place does not
open. Files of any size pass in pieces. The demo compares digests, and only after the tag was right;
a program that hands plaintext on must not do so earlier.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

MAGIC: Final = b"CLVDEMO1"
PIECE: Final = 1 << 20
NONCE: Final = 12
TAG: Final = 16
# NIST SP 800-38D: at most 2^39 - 256 bits under one nonce.
MAX_BODY: Final = (1 << 36) - 32

Context = Mapping[str, str]


class Damaged(Exception):
    """The file is not what was encrypted for this context."""


def associated_data(context: Context) -> bytes:
    """The context as bytes that no other context has: sorted, each text with its length."""
    texts = [text.encode() for pair in sorted(context.items()) for text in pair]
    return b"".join(len(text).to_bytes(4, "big") + text for text in texts)


def pieces(file: BinaryIO, limit: int = MAX_BODY) -> Iterator[bytes]:
    """What is left of the file, up to a limit of bytes."""
    while limit and (piece := file.read(min(PIECE, limit))):
        limit -= len(piece)
        yield piece


def encrypt(
    body: Iterator[bytes], target: Path, data_key: tuple[bytes, bytes], context: Context
) -> None:
    """Write the body, encrypted under a data key (plaintext and blob), to a new file."""
    key, blob = data_key
    nonce = os.urandom(NONCE)
    header = MAGIC + len(blob).to_bytes(2, "big") + blob + nonce
    encryptor = Cipher(AES(key), GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(header + associated_data(context))
    with target.open("xb") as file:
        file.write(header)
        for piece in body:
            file.write(encryptor.update(piece))
        file.write(encryptor.finalize())
        file.write(encryptor.tag)


def blob_of(source: Path) -> bytes:
    """The data key's blob in a file. Raises Damaged."""
    with source.open("rb") as file:
        return _header(file)[1]


def digest(source: Path, key: bytes, context: Context) -> bytes:
    """Decrypt a file under its data key; gives the SHA-256 of its plaintext. Raises Damaged."""
    with source.open("rb") as file:
        header, _ = _header(file)
        body = os.fstat(file.fileno()).st_size - len(header) - TAG
        if body < 0:
            raise Damaged("the file is cut short")
        decryptor = Cipher(AES(key), GCM(header[-NONCE:])).decryptor()
        decryptor.authenticate_additional_data(header + associated_data(context))
        found = hashlib.sha256()
        for piece in pieces(file, body):
            found.update(decryptor.update(piece))
        try:
            decryptor.finalize_with_tag(file.read(TAG))
        except InvalidTag:
            raise Damaged("its tag does not fit: the file or its context was changed") from None
    return found.digest()


def header_size(blob: bytes) -> int:
    """Where the body begins."""
    return len(MAGIC) + 2 + len(blob) + NONCE


def _header(file: BinaryIO) -> tuple[bytes, bytes]:
    """The header at the file's start, and the blob in it."""
    start = file.read(len(MAGIC) + 2)
    size = int.from_bytes(start[len(MAGIC) :], "big")
    rest = file.read(size + NONCE)
    if not start.startswith(MAGIC) or len(rest) != size + NONCE:
        raise Damaged("its header is none of the demo's")
    return start + rest, rest[:size]
