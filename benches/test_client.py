"""Single calls through the whole pipeline (pytest-benchmark): for profiles and trends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import clavero

CONTEXT = {"purpose": "bench", "table": "records"}


@pytest.fixture(params=["memory", "disk"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A client of a KMS in memory, and of a durable one (with its audit file)."""
    with clavero.KMS(None if request.param == "memory" else tmp_path / "store") as kms:
        client = kms.client()
        client.create_key()
        yield client


@pytest.fixture
def key_id(client: Any) -> str:
    """The client's key."""
    key: str = client.list_keys()["Keys"][0]["KeyId"]
    return key


def test_generate_data_key(benchmark: BenchmarkFixture, client: Any, key_id: str) -> None:
    """GenerateDataKey with a context of two pairs."""
    benchmark(
        lambda: client.generate_data_key(KeyId=key_id, KeySpec="AES_256", EncryptionContext=CONTEXT)
    )


def test_encrypt(benchmark: BenchmarkFixture, client: Any, key_id: str) -> None:
    """Encrypt of 4096 bytes."""
    plaintext = bytes(4096)
    benchmark(lambda: client.encrypt(KeyId=key_id, Plaintext=plaintext))


def test_decrypt(benchmark: BenchmarkFixture, client: Any, key_id: str) -> None:
    """Decrypt of 32 bytes."""
    blob = client.encrypt(KeyId=key_id, Plaintext=bytes(32))["CiphertextBlob"]
    benchmark(lambda: client.decrypt(CiphertextBlob=blob))


def test_create_key(benchmark: BenchmarkFixture, client: Any) -> None:
    """CreateKey, durable before it answers."""
    benchmark.pedantic(client.create_key, rounds=200)


def test_describe_key(benchmark: BenchmarkFixture, client: Any, key_id: str) -> None:
    """DescribeKey."""
    benchmark(lambda: client.describe_key(KeyId=key_id))


@pytest.mark.parametrize("count", [1_000, 100_000])
def test_batch(benchmark: BenchmarkFixture, client: Any, key_id: str, count: int) -> None:
    """A batch of data keys, all cores."""
    benchmark(
        lambda: client.generate_data_keys(
            KeyId=key_id, NumberOfKeys=count, KeySpec="AES_256", EncryptionContext=CONTEXT
        )
    )
