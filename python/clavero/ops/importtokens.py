"""Import tokens: a wrapping key's private half, sealed for one key, and to be used within a day.

KMS keeps nothing of GetParametersForImport: the token carries all of it, sealed by the HSM under
the Region's token-sealing key for the account and the key id. The private half inside is sealed
once more for the same and for the wrapping algorithm and the expiry, so that it opens in no other
company, and in the HSM only.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from clavero.keystores.native import NativeKeyStore, Wrapping
from clavero.model import import_errors
from clavero.store.keys import KeyRow

# AWS KMS API reference, GetParametersForImport: "valid for 24 hours".
HOURS: Final = 24
LIFETIME: Final = HOURS * 3600.0

_HEAD: Final = struct.Struct(">dB")


class Parameters(NamedTuple):
    """What GetParametersForImport gives: public key (SPKI DER), token, expiry in epoch seconds."""

    public_key: bytes
    token: bytes
    valid_to: float


def make(
    keystore: NativeKeyStore, row: KeyRow, algorithm: str, wrapping_spec: str, now: float
) -> Parameters:
    """Make a wrapping key pair for an import into the key, and its token."""
    valid_to = now + LIFETIME
    purpose = _inner_purpose(row, algorithm, valid_to)
    public_key, sealed_key = keystore.create_wrapping_key(row.region, purpose, wrapping_spec)
    name = algorithm.encode()
    content = _HEAD.pack(valid_to, len(name)) + name + sealed_key
    token = keystore.seal_opaque(row.region, _purpose(row), content)
    return Parameters(public_key, token, valid_to)


def opened(keystore: NativeKeyStore, row: KeyRow, token: bytes, now: float) -> Wrapping:
    """What a token says, for the key that it was made for.

    InvalidImportTokenException for any other, ExpiredImportTokenException once its day is over.
    """
    content = keystore.open_opaque(row.region, _purpose(row), token)
    if content is None:
        raise import_errors.invalid_token()
    valid_to, length = _HEAD.unpack_from(content)
    if now >= valid_to:
        raise import_errors.expired_token(HOURS)
    end = _HEAD.size + length
    algorithm = content[_HEAD.size : end].decode()
    purpose = _inner_purpose(row, algorithm, valid_to)
    return Wrapping(row.region, purpose, content[end:], algorithm)


def _purpose(row: KeyRow) -> str:
    return f"import token|{row.account}|{row.key_id}"


def _inner_purpose(row: KeyRow, algorithm: str, valid_to: float) -> str:
    return f"import|{row.account}|{row.key_id}|{algorithm}|{valid_to!r}"
