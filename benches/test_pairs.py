"""Key pairs and MACs: the whole pipeline beside the same work in pyca `cryptography`, in one run.

pyca works with its key object, loaded once. What comes as bytes in a request (a peer's public key)
is read from bytes on both sides, and a new pair is put to the test of its halves on both.
"""

from __future__ import annotations

import gc
import hashlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from benches.measuring import Ledger, interleaved, one_core
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import clavero

# RSA and the NIST curves lose fifteen per cent of pyca's rate at most. AWS-LC's quick ones win.
NO_SLOWER: Final = 0.85
MESSAGE: Final = b"a message that is to be signed".ljust(64, b".")
DER: Final = serialization.Encoding.DER
PKCS8: Final = serialization.PrivateFormat.PKCS8
SPKI: Final = serialization.PublicFormat.SubjectPublicKeyInfo
PLAIN: Final = serialization.NoEncryption()
HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "224": hashes.SHA224(),
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
    "ECC_SECG_P256K1": ec.SECP256K1(),
}
# Each spec, its algorithms, the ratio to reach (None: told only)
SIGNERS: Final = (
    ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256", NO_SLOWER),
    ("RSA_2048", "RSASSA_PSS_SHA_256", NO_SLOWER),
    ("RSA_3072", "RSASSA_PSS_SHA_256", NO_SLOWER),
    ("RSA_4096", "RSASSA_PSS_SHA_256", NO_SLOWER),
    ("ECC_NIST_P256", "ECDSA_SHA_256", NO_SLOWER),
    ("ECC_NIST_P384", "ECDSA_SHA_384", 1),
    ("ECC_NIST_P521", "ECDSA_SHA_512", NO_SLOWER),
    ("ECC_SECG_P256K1", "ECDSA_SHA_256", None),
    ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512", 1),
)

Work = Callable[[], object]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of a KMS in memory."""
    with clavero.KMS() as kms:
        yield kms.client()


def _key(client: Any, spec: str, usage: str) -> str:
    key_id: str = client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    return key_id


def _compare(ledger: Ledger, what: str, ours: Work, theirs: Work, at_least: float | None) -> None:
    """Both in turns on one core, in rounds of about 20 ms each."""
    start = time.perf_counter()
    theirs()
    once = min(time.perf_counter() - start, 0.02)
    start = time.perf_counter()
    theirs()
    calls = max(3, int(0.02 / max(1e-6, min(once, time.perf_counter() - start))))

    def repeated(work: Work) -> Work:
        def run() -> None:
            for _ in range(calls):
                work()

        return run

    with one_core():
        our_time, their_time = interleaved(repeated(ours), repeated(theirs))
    ledger.beside(what, our_time / calls, their_time / calls, at_least)


def _pyca_pair(spec: str) -> Any:
    if spec.startswith("RSA_"):
        return rsa.generate_private_key(65537, int(spec[4:]))
    if spec == "ECC_NIST_EDWARDS25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(CURVES[spec])


def _pyca_scheme(algorithm: str) -> tuple[Any, ...]:
    """What pyca's sign and verify take after the message."""
    digest = HASHES[algorithm[-3:]]
    if algorithm.startswith("ED25519"):
        return ()
    if algorithm.startswith("ECDSA"):
        return (ec.ECDSA(digest),)
    if "PSS" in algorithm:
        return (padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return (padding.PKCS1v15(), digest)


@pytest.mark.parametrize(("spec", "algorithm", "at_least"), SIGNERS)
def test_signatures(
    client: Any, ledger: Ledger, spec: str, algorithm: str, at_least: float | None
) -> None:
    """Sign and Verify."""
    asked = {
        "KeyId": _key(client, spec, "SIGN_VERIFY"),
        "Message": MESSAGE,
        "SigningAlgorithm": algorithm,
    }
    signature = client.sign(**asked)["Signature"]
    private, scheme = _pyca_pair(spec), _pyca_scheme(algorithm)
    public, theirs = private.public_key(), private.sign(MESSAGE, *scheme)
    what = f"{spec} {algorithm.removesuffix('_SHA_256')}"
    _compare(
        ledger,
        f"Sign {what}",
        lambda: client.sign(**asked),
        lambda: private.sign(MESSAGE, *scheme),
        at_least,
    )
    _compare(
        ledger,
        f"Verify {what}",
        lambda: client.verify(**asked, Signature=signature),
        lambda: public.verify(theirs, MESSAGE, *scheme),
        at_least,
    )


@pytest.mark.parametrize("bits", ["224", "256", "384", "512"])
def test_macs(client: Any, ledger: Ledger, bits: str) -> None:
    """GenerateMac beside a copy of pyca's keyed object: a microsecond, which no pipeline is."""
    asked = {
        "KeyId": _key(client, f"HMAC_{bits}", "GENERATE_VERIFY_MAC"),
        "Message": MESSAGE,
        "MacAlgorithm": f"HMAC_SHA_{bits}",
    }
    keyed = hmac.HMAC(os.urandom(32), HASHES[bits])

    def theirs() -> bytes:
        mac = keyed.copy()
        mac.update(MESSAGE)
        return mac.finalize()

    _compare(ledger, f"GenerateMac HMAC_{bits}", lambda: client.generate_mac(**asked), theirs, None)


@pytest.mark.parametrize(
    ("spec", "at_least"),
    [("ECC_NIST_P256", NO_SLOWER), ("ECC_NIST_P384", 1), ("ECC_NIST_P521", NO_SLOWER)],
)
def test_agreement(client: Any, ledger: Ledger, spec: str, at_least: float) -> None:
    """DeriveSharedSecret, the peer's public key as DER."""
    private = _pyca_pair(spec)
    peer = _pyca_pair(spec).public_key().public_bytes(DER, SPKI)
    asked = {
        "KeyId": _key(client, spec, "KEY_AGREEMENT"),
        "KeyAgreementAlgorithm": "ECDH",
        "PublicKey": peer,
    }

    def theirs() -> bytes:
        public = serialization.load_der_public_key(peer)
        secret: bytes = private.exchange(ec.ECDH(), public)
        return secret

    _compare(
        ledger,
        f"DeriveSharedSecret {spec}",
        lambda: client.derive_shared_secret(**asked),
        theirs,
        at_least,
    )


def _data_key_pair(spec: str, algorithm: str) -> Work:
    """The work of GenerateDataKeyPair in pyca."""
    wrap, scheme = AESGCM(os.urandom(32)).encrypt, _pyca_scheme(algorithm)

    def make() -> tuple[bytes, bytes, bytes]:
        pair = _pyca_pair(spec)
        public = pair.public_key()
        public.verify(pair.sign(MESSAGE, *scheme), MESSAGE, *scheme)
        private = pair.private_bytes(DER, PKCS8, PLAIN)
        blob = wrap(os.urandom(12), private, b"context")
        return private, blob, public.public_bytes(DER, SPKI)

    return make


@pytest.mark.parametrize(
    ("spec", "algorithm", "at_least"),
    [row for row in SIGNERS if not row[0].startswith("RSA")],
)
def test_data_key_pairs(
    client: Any, ledger: Ledger, spec: str, algorithm: str, at_least: float | None
) -> None:
    """GenerateDataKeyPair: the pair, its test, PKCS #8, the blob, SPKI."""
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    _compare(
        ledger,
        f"GenerateDataKeyPair {spec}",
        lambda: client.generate_data_key_pair(KeyId=key_id, KeyPairSpec=spec),
        _data_key_pair(spec, algorithm),
        at_least,
    )


@pytest.mark.parametrize(("spec", "pairs"), [("RSA_2048", 100), ("RSA_3072", 40), ("RSA_4096", 20)])
def test_rsa_data_key_pairs(client: Any, ledger: Ledger, spec: str, pairs: int) -> None:
    """GenerateDataKeyPair with RSA, in turns; primes are luck, so that these ratios are rough."""
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    works = (
        lambda: client.generate_data_key_pair(KeyId=key_id, KeyPairSpec=spec),
        _data_key_pair(spec, "RSASSA_PSS_SHA_256"),
    )
    times: tuple[list[float], list[float]] = ([], [])
    with one_core():
        for _ in range(pairs):
            for work, taken in zip(works, times, strict=True):
                start = time.perf_counter()
                work()
                taken.append(time.perf_counter() - start)
    ours, theirs = map(statistics.mean, times)
    ledger.beside(f"GenerateDataKeyPair {spec}, mean of {pairs}", ours, theirs, NO_SLOWER)


@contextmanager
def _beside(work: Work, core: int) -> Iterator[None]:
    """A thread that does `work` again and again on `core`, until the end of the block."""
    ended = threading.Event()

    def run() -> None:
        os.sched_setaffinity(0, {core})
        while not ended.is_set():
            work()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_rsa_generation_blocks_nobody(client: Any, ledger: Ledger) -> None:
    """The latency of GenerateDataKey while another thread makes RSA keys of 4096 bits.

    It is compared with the latency beside a thread that computes in native code for as long
    without the GIL, and of which nothing in the KMS knows.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("two threads on one core wait for the scheduler")
    key_id = client.create_key()["KeyMetadata"]["KeyId"]

    def latencies() -> list[float]:
        clock, generate, taken = time.perf_counter, client.generate_data_key, []
        gc.collect()
        gc.disable()
        end = clock() + 1.5
        while (start := clock()) < end:
            generate(KeyId=key_id, KeySpec="AES_256")
            taken.append(clock() - start)
        gc.enable()
        return taken

    def rsa_4096() -> None:
        client.generate_data_key_pair_without_plaintext(KeyId=key_id, KeyPairSpec="RSA_4096")

    def unrelated() -> None:
        hashlib.pbkdf2_hmac("sha512", b"password", b"salt", 800_000)  # about half a second

    makes: tuple[list[float], list[float]] = ([], [])
    try:
        os.sched_setaffinity(0, cores[:1])
        for _ in range(3):
            for work, taken in zip((rsa_4096, unrelated), makes, strict=True):
                with _beside(work, cores[1]):
                    taken.extend(latencies())
    finally:
        os.sched_setaffinity(0, cores)
    for name, part, most in (("median", 0.5, 1.15), ("99th percentile", 0.99, 1.5)):
        ours, theirs = (sorted(taken)[int(part * len(taken))] * 1e6 for taken in makes)
        ledger.at_most(
            f"GenerateDataKey beside RSA_4096 / unrelated, {name}",
            ours / theirs,
            most,
            "x",
            f"   ({ours:.1f} us against {theirs:.1f} us)",
        )
