"""Input and output of the encrypting commands: files, standard streams, base64, `name=value` pairs.

Plaintext comes from a file or the standard input only: the arguments of a process are in the
process list and in the shell's history.
"""

from __future__ import annotations

import base64
import binascii
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from clavero.cli.session import Misuse, Refusal

STDIN: Final = "-"
# AWS KMS API reference: Encrypt Plaintext, Decrypt CiphertextBlob.
MAX_PLAINTEXT: Final = 4096
MAX_CIPHERTEXT: Final = 6144
# A blob in base64, with room for line ends.
_MAX_TEXT: Final = 2 * MAX_CIPHERTEXT


def read_plaintext(source: str) -> bytes:
    """1 to 4096 bytes. Raises Refusal for more, or none."""
    data = _read(source, MAX_PLAINTEXT)
    if len(data) > MAX_PLAINTEXT:
        raise Refusal(
            f"KMS encrypts at most {MAX_PLAINTEXT} bytes: encrypt more under a data key from "
            "'clavero data-key' and keep the data key's blob with it (envelope encryption)."
        )
    if not data:
        raise Refusal(f"There is nothing to encrypt: {_name(source)} is empty.")
    return data


def read_blob(source: str, *, raw: bool) -> bytes:
    """A ciphertext blob, as its bytes or in base64. Raises Refusal where it cannot be one."""
    limit = MAX_CIPHERTEXT if raw else _MAX_TEXT
    data = _read(source, limit)
    if len(data) > limit:
        raise Refusal(f"{_name(source)} is too long to be a ciphertext blob.")
    if not data.strip():
        raise Refusal(f"There is nothing to decrypt: {_name(source)} is empty.")
    if raw:
        return data
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error:
        raise Refusal(
            f"{_name(source)} is not base64: give the blob as 'clavero encrypt' printed it, or its "
            "bytes with --raw."
        ) from None


def write(data: bytes, target: Path | None, *, raw: bool, secret: bool) -> None:
    """Write bytes, or a line of base64, to a file or the standard output.

    A file with a secret is made for its owner alone. A file that exists is replaced in one step.
    """
    content = data if raw else base64.b64encode(data) + b"\n"
    if target is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    if target.exists() and not target.is_file():
        with target.open("wb") as device:  # /dev/null, a pipe
            device.write(content)
        return
    target = target.resolve()  # through a link, as a shell's redirection goes
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o666)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def pairs(option: str, values: Sequence[str]) -> dict[str, str]:
    """`name=value` options as a dict. Raises Misuse for one without `=`, or a name given twice."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not equals or not name:
            raise Misuse(f"{option} takes NAME=VALUE, not {value!r}.")
        if name in found:
            raise Misuse(f"{option} has the name {name!r} twice.")
        found[name] = rest
    return found


def _read(source: str, limit: int) -> bytes:
    """One byte more than the limit tells that there is too much; the rest is not read."""
    if source == STDIN:
        return sys.stdin.buffer.read(limit + 1)
    with Path(source).open("rb") as file:
        return file.read(limit + 1)


def _name(source: str) -> str:
    return "the standard input" if source == STDIN else source
