"""Key material as a seed writes it: base64, hexadecimal digits, or PEM, as the bytes the HSM takes.

Source of the forms: RFC 7468 (PEM), RFC 5958 (PKCS #8), RFC 8017 A.1.2 (RSA PRIVATE KEY), RFC 5915
(EC PRIVATE KEY). What the bytes are is for the HSM to check; no text here repeats any of them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

HEX: Final = "hex:"
_PEM: Final = "-----BEGIN "
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)

# AlgorithmIdentifier, in DER, of a key that stands without one. RFC 3279, 2.3.1; RFC 5480, 2.1.1.
_RSA: Final = bytes.fromhex("300d06092a864886f70d0101010500")
_EC: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        "ECC_NIST_P256": bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"),
        "ECC_NIST_P384": bytes.fromhex("301006072a8648ce3d020106052b81040022"),
        "ECC_NIST_P521": bytes.fromhex("301006072a8648ce3d020106052b81040023"),
        "ECC_SECG_P256K1": bytes.fromhex("301006072a8648ce3d020106052b8104000a"),
    }
)


def decode(spec: str, given: str | bytes) -> bytes:
    """The bytes of the material of a key of `spec`. ValueError, with what to do, for none."""
    if isinstance(given, bytes):
        return given
    text = given.strip()
    try:
        if text.startswith(_PEM):
            return _from_pem(spec, text)
        if text.startswith(HEX):
            return bytes.fromhex(text[len(HEX) :])
        return _from_base64(text)
    except (binascii.Error, UnicodeEncodeError):
        pass
    except ValueError as error:
        if isinstance(error, _Explained):
            raise
    raise _Explained("is neither base64 nor PEM (hexadecimal digits begin with hex:)")


class _Explained(ValueError):
    """Says what is wrong, and nothing of the material."""


def _from_base64(text: str) -> bytes:
    return base64.b64decode("".join(text.split()), validate=True)


def _from_pem(spec: str, text: str) -> bytes:
    blocks = {label: body for label, body in _BLOCK.findall(text) if "PRIVATE KEY" in label}
    if len(blocks) != 1:
        raise _Explained("must have one private key in PEM")
    ((label, body),) = blocks.items()
    if label == "ENCRYPTED PRIVATE KEY" or "ENCRYPTED" in body:
        raise _Explained("is encrypted PEM: decrypt it with openssl pkcs8 -in FILE")
    der = _from_base64(body)
    if label == "PRIVATE KEY":
        return der
    if label == "RSA PRIVATE KEY":
        return _pkcs8(_RSA, der)
    if label == "EC PRIVATE KEY" and spec in _EC:
        return _pkcs8(_EC[spec], der)
    raise _Explained(f"is PEM with the label {label}, which is not for keys of spec {spec}")


def _pkcs8(algorithm: bytes, key: bytes) -> bytes:
    """PrivateKeyInfo of version 0 around a key in its traditional form."""
    return _der(0x30, b"\x02\x01\x00" + algorithm + _der(0x04, key))


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content
