"""Make the known answers of the HSM's self-tests of key pairs, with OpenSSL through `cryptography`.

The HSM's AWS-LC is then tested against answers of another implementation. Run once; running it
again makes new keys, which is no gain: `python tools/known_answers.py rust/hsm/src/selftest`.
Each file is the fields that `rust/hsm/src/selftest/pairs.rs` names, each with its length in front
(16 bits, big-endian). `cryptography` has no ML-KEM-512: that file is Wycheproof's
mlkem_512_test.json, tcId 1, in the same form.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, mlkem, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

MESSAGE = b"known answer"


def pkcs8(key: Any) -> bytes:
    der: bytes = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return der


def spki(key: Any) -> bytes:
    der: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


def write(path: Path, *fields: bytes) -> None:
    path.write_bytes(b"".join(len(field).to_bytes(2, "big") + field for field in fields))


def oaep(digest: hashes.HashAlgorithm) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(digest), algorithm=digest, label=None)


def ctr_drbg(seed: bytes, calls: int) -> bytes:
    """64 bytes of CTR_DRBG with AES-256 and no derivation function (SP 800-90A, 10.2.1)."""

    def encrypt(key: bytes, block: int) -> bytes:
        cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 (a block cipher)
        return cipher.update(block.to_bytes(16, "big"))

    def update(key: bytes, v: int, data: bytes) -> tuple[bytes, int]:
        blocks = b"".join(encrypt(key, v + 1 + i) for i in range(3))
        mixed = bytes(a ^ b for a, b in zip(blocks, data, strict=True))
        return mixed[:32], int.from_bytes(mixed[32:], "big")

    key, v = update(bytes(32), 0, seed)
    out = b""
    for _ in range(calls):
        out = b"".join(encrypt(key, v + 1 + i) for i in range(4))
        key, v = update(key, v + 4, bytes(48))
    return out


def main(folder: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    sha256 = hashes.SHA256()
    pss = padding.PSS(mgf=padding.MGF1(sha256), salt_length=32)
    write(
        folder / "rsa.bin",
        pkcs8(key),
        spki(key),
        key.sign(MESSAGE, padding.PKCS1v15(), sha256),
        key.sign(MESSAGE, pss, sha256),
        key.public_key().encrypt(MESSAGE, oaep(hashes.SHA1())),  # noqa: S303
        key.public_key().encrypt(MESSAGE, oaep(sha256)),
    )
    curves: list[tuple[str, ec.EllipticCurve, hashes.HashAlgorithm]] = [
        ("p256", ec.SECP256R1(), hashes.SHA256()),
        ("p384", ec.SECP384R1(), hashes.SHA384()),
        ("p521", ec.SECP521R1(), hashes.SHA512()),
        ("secp256k1", ec.SECP256K1(), hashes.SHA256()),
    ]
    for name, curve, digest in curves:
        own, peer = ec.generate_private_key(curve), ec.generate_private_key(curve)
        write(
            folder / f"{name}.bin",
            pkcs8(own),
            spki(own),
            own.sign(MESSAGE, ec.ECDSA(digest)),
            spki(peer),
            own.exchange(ec.ECDH(), peer.public_key()),
        )
    signers: list[tuple[str, Any]] = [
        ("mldsa44", mldsa.MLDSA44PrivateKey),
        ("mldsa65", mldsa.MLDSA65PrivateKey),
        ("mldsa87", mldsa.MLDSA87PrivateKey),
    ]
    for name, signer in signers:
        seed = hashlib.sha256(name.encode()).digest()
        pair = signer.from_seed_bytes(seed)
        write(folder / f"{name}.bin", seed, spki(pair), pair.sign(MESSAGE))
    kems: list[tuple[str, Any]] = [
        ("mlkem768", mlkem.MLKEM768PrivateKey),
        ("mlkem1024", mlkem.MLKEM1024PrivateKey),
    ]
    for name, receiver in kems:
        seed = hashlib.sha512(name.encode()).digest()
        kem = receiver.from_seed_bytes(seed)
        secret, ciphertext = kem.public_key().encapsulate()
        write(folder / f"{name}.bin", seed, spki(kem), ciphertext, secret)


if __name__ == "__main__":
    sys.stdout.write(f"CTR_DRBG, second call: {ctr_drbg(bytes(range(48)), 2).hex()}\n")
    main(Path(sys.argv[1]))
