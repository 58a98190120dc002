"""Imported key material is in the clear nowhere in the process that imports it, nor in its store.

The material is made and wrapped here; the process under test gets it wrapped only. Its whole memory
is searched while the keys are loaded, and its files afterwards.
"""

from __future__ import annotations

import base64
import json
import mmap
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)

WORKER = Path(__file__).with_name("children") / "importer.py"


def pkcs8(private: Any) -> bytes:
    made: bytes = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return made


def wrapped(asked: dict[str, str], material: bytes) -> bytes:
    public: Any = load_der_public_key(bytes.fromhex(asked["public"]))
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    if asked["algorithm"].startswith("RSAES"):
        return bytes(public.encrypt(material, oaep))
    aes = os.urandom(32)
    return bytes(public.encrypt(aes, oaep)) + aes_key_wrap_with_padding(aes, material)


def forms(number: int, size: int) -> list[bytes]:
    """A private number as it may lie in memory: big-endian, and in limbs."""
    return [number.to_bytes(size, order) for order in ("big", "little")]


def found(data: Any, needles: list[bytes]) -> list[bytes]:
    return [needle for needle in needles if data.find(needle) >= 0]


@pytest.mark.parametrize("mode", ["sound", "leak"])
def test_imported_bytes(folder, start_python, dump_core, mode):
    curve = ec.generate_private_key(ec.SECP384R1())
    pair = rsa.generate_private_key(65537, 2048)
    numbers = pair.private_numbers()
    materials = {
        "SYMMETRIC_DEFAULT": secrets.token_bytes(32),
        "HMAC_512": secrets.token_bytes(64),
        "ECC_NIST_P384": pkcs8(curve),
        "RSA_2048": pkcs8(pair),
    }
    needles = []
    for secret in (materials["SYMMETRIC_DEFAULT"], materials["HMAC_512"]):
        needles += [secret[:16], secret[-16:], secret.hex().encode()]
        needles.append(base64.b64encode(secret)[:40])
    needles += forms(curve.private_numbers().private_value, 48)
    needles += forms(numbers.p, 128) + forms(numbers.q, 128) + forms(numbers.d, 256)
    process = start_python(
        WORKER, folder, mode, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        sent = []
        for material in materials.values():
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            sent.append(wrapped(json.loads(line), material).hex())
        process.stdin.write(json.dumps(sent).encode() + b"\n")
        if mode == "leak":
            process.stdin.write(json.dumps(materials["SYMMETRIC_DEFAULT"].hex()).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n", process.communicate()[1]
        core = dump_core(process.pid)
        out, err = process.communicate(b"", timeout=60)
        assert process.returncode == 0, err
    finally:
        process.kill()
        process.communicate()
    with core.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # The dump is whole: it has what the process holds in ordinary memory
        assert found(data, [str(folder).encode()])
        hits = found(data, needles)
    if mode == "leak":
        assert hits[:2] == needles[:2]
        assert out == b"32\n"
    else:
        assert hits == []
        assert out == b"0\n"
    for file in folder.rglob("*"):
        if file.is_file():
            assert found(file.read_bytes(), needles) == [], file
