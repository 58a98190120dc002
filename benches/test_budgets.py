"""The budgets of the design, each as a ratio or a bound, both sides in this run."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from benches.filling import fill
from benches.measuring import Ledger, interleaved, one_core, seconds
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from moto.kms.models import kms_backends

import clavero

CALLS = 20_000
BATCHES = (200_000, 1_000_000)
CONTEXT = {"purpose": "bench", "table": "records"}


@pytest.fixture(scope="module")
def kms() -> Any:
    """A KMS in memory."""
    with clavero.KMS() as kms:
        yield kms


def test_import(ledger: Ledger) -> None:
    """`import clavero` beside a bare interpreter, as whole processes."""

    def start(code: str) -> float:
        return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    start("import clavero")
    bare, ours = [], []
    for _ in range(15):
        bare.append(start("pass"))
        ours.append(start("import clavero"))
    cost = (statistics.median(ours) - statistics.median(bare)) * 1e3
    ledger.at_most("import clavero", cost, 60, "ms")


def test_generate_data_key_against_moto(kms: clavero.KMS, ledger: Ledger) -> None:
    """GenerateDataKey through the whole pipeline beside moto's backend called directly."""
    client = kms.client()
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    backend = kms_backends["123456789012"]["us-east-1"]
    theirs = backend.create_key(
        policy=None,
        key_usage="ENCRYPT_DECRYPT",
        key_spec="SYMMETRIC_DEFAULT",
        description="",
        tags=None,
    )

    def ours_once() -> None:
        generate = client.generate_data_key
        for _ in range(CALLS):
            generate(KeyId=key_id, KeySpec="AES_256", EncryptionContext=CONTEXT)

    def moto_once() -> None:
        generate = backend.generate_data_key
        for _ in range(CALLS):
            generate(theirs.id, CONTEXT, None, "AES_256")  # type: ignore[arg-type] # as moto does

    with one_core():
        ours, moto = interleaved(ours_once, moto_once)
    ledger.ratio(
        "GenerateDataKey, whole pipeline / moto's backend, one core",
        CALLS / ours,
        CALLS / moto,
        1.5,
        "calls",
    )


def _pyca_loop(count: int) -> None:
    """One random key a turn, wrapped by AESGCM with a random nonce and the context as AAD."""
    wrap = AESGCM(os.urandom(32)).encrypt
    aad = repr(CONTEXT).encode()
    for _ in range(count):
        nonce = os.urandom(12)
        wrap(nonce, os.urandom(32), aad)


@pytest.mark.parametrize("count", BATCHES)
def test_batch_against_pyca_and_two_cores(kms: clavero.KMS, ledger: Ledger, count: int) -> None:
    """A batch of data keys beside the same work in a loop over pyca, and on two cores."""
    client = kms.client()
    key_id = client.create_key()["KeyMetadata"]["KeyId"]

    def batch() -> None:
        client.generate_data_keys(
            KeyId=key_id, NumberOfKeys=count, KeySpec="AES_256", EncryptionContext=CONTEXT
        )

    def one() -> None:
        with one_core():
            batch()

    def pyca() -> None:
        with one_core():
            _pyca_loop(20_000)

    single, double, loop = interleaved(one, batch, pyca)
    what = f"batch of {count:,} data keys"
    ledger.ratio(f"{what} / pyca loop, one core", count / single, 20_000 / loop, 5, "keys")
    if len(os.sched_getaffinity(0)) > 1:
        ledger.ratio(f"{what} on two cores / one core", count / double, count / single, 1.7, "keys")


def test_flat_and_quick_to_start(tmp_path: Path, ledger: Ledger) -> None:
    """The latency of GenerateDataKey with 10 and with 100,000 keys, and the start of the latter."""
    few, many = tmp_path / "few", tmp_path / "many"
    fill(few, 10)
    fill(many, 100_000)

    code = (
        "import sys, time, clavero\n"
        "start = time.perf_counter(); kms = clavero.KMS(sys.argv[1])\n"
        "client = kms.client(); first = client.list_keys(Limit=1)['Keys'][0]['KeyId']\n"
        "client.generate_data_key(KeyId=first, KeySpec='AES_256')\n"
        "print(time.perf_counter() - start)\n"
        "print(open('/proc/self/statm').read().split()[1])"
    )

    def start(folder: Path) -> tuple[float, float]:
        told = subprocess.check_output([sys.executable, "-c", code, str(folder)]).split()
        return float(told[0]), float(told[1]) * os.sysconf("SC_PAGE_SIZE")

    started = statistics.median(start(many)[0] for _ in range(5))
    at_start = max(0.0, start(many)[1] - start(few)[1]) / 100_000
    ledger.at_most("open 100,000 keys and make the first data key", started, 1, "s")

    with clavero.KMS(few) as small, clavero.KMS(many) as large:
        works, resident = [], 0.0
        for kms in (small, large):
            client = kms.client()
            pages: list[str] = []
            marker: dict[str, str] = {}
            while True:
                page = client.list_keys(Limit=1000, **marker)
                pages += [key["KeyId"] for key in page["Keys"]]
                if not page["Truncated"]:
                    break
                marker = {"Marker": page["NextMarker"]}
            before = _resident_bytes()
            for key_id in pages:  # every key is in use
                client.generate_data_key(KeyId=key_id, KeySpec="AES_256")
            if kms is large:
                resident = (_resident_bytes() - before) / len(pages)
            chosen = random.Random(1).choices(pages, k=CALLS)

            def work(client: Any = client, chosen: list[str] = chosen) -> None:
                for key_id in chosen:
                    client.generate_data_key(KeyId=key_id, KeySpec="AES_256")

            works.append(work)
        with one_core():
            ten, all_keys = interleaved(*works)
    ledger.at_most(
        "GenerateDataKey, random one of 100,000 keys / of 10 keys",
        all_keys / ten,
        1.2,
        "x",
        f"   ({all_keys / CALLS * 1e6:.1f} us against {ten / CALLS * 1e6:.1f} us)",
    )
    ledger.at_most("resident memory a key, each of 100,000 in use", resident / 1024, 1.5, "KiB")
    ledger.at_most("resident memory a key after the start", at_start / 1024, 1, "KiB")


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_single_calls(kms: clavero.KMS, ledger: Ledger) -> None:
    """The other single calls beside bare pyca, for orientation: no budget but to be told."""
    client = kms.client()
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    blob = client.encrypt(KeyId=key_id, Plaintext=b"x" * 32)["CiphertextBlob"]
    start = time.perf_counter()
    for _ in range(CALLS):
        client.decrypt(CiphertextBlob=blob)
    rate = CALLS / (time.perf_counter() - start)
    ledger.at_most("Decrypt of 32 bytes, whole pipeline", 1e6 / rate, 20, "us")
