"""pytest fixtures that other projects can use: a KMS in the test's process, its client, its clock.

In a `conftest.py`:

    from clavero.testing import kms, kms_client, kms_clock, kms_options

    @pytest.fixture
    def kms_options():                       # optional: arguments of clavero.KMS
        return {"account": "111122223333", "region": "eu-central-1"}

and in a test, which then has a KMS of its own with real cryptography and no network:

    def test_key_is_deleted_in_time(kms_client, kms_clock):
        key_id = kms_client.create_key()["KeyMetadata"]["KeyId"]
        kms_client.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
        kms_clock.advance(7 * 86_400)
        with pytest.raises(kms_client.exceptions.NotFoundException):
            kms_client.describe_key(KeyId=key_id)

`kms_seed`, overridden with a seed (docs/seeds.md), gives every test the same keys.
`kms.client(region=..., account=..., principal=...)` gives further clients of the same KMS.
With boto3: `kms_boto3_client` is an unmodified boto3 client of it, and under `kms_boto3` every
`boto3.client("kms")` of the program under test is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clavero.client import Client
from clavero.clock import ManualClock
from clavero.kms import KMS

__all__ = [
    "kms",
    "kms_boto3",
    "kms_boto3_client",
    "kms_client",
    "kms_clock",
    "kms_options",
    "kms_seed",
]


@pytest.fixture
def kms_options() -> dict[str, Any]:
    """Arguments of `clavero.KMS` beside the clock. None by default: override it with your own."""
    return {}


@pytest.fixture
def kms_clock() -> ManualClock:
    """The clock of `kms`. It stands at 2026-01-01T00:00:00 UTC until the test moves it."""
    return ManualClock()


@pytest.fixture
def kms_seed() -> Any:
    """The keys that `kms` has from its start: the `seed` of `clavero.KMS`. None by default."""
    return None


@pytest.fixture
def kms(kms_clock: ManualClock, kms_options: dict[str, Any], kms_seed: Any) -> Iterator[KMS]:
    """A KMS for one test: in memory unless `kms_options` has a path. Closed after the test."""
    with KMS(**{"clock": kms_clock, "seed": kms_seed, **kms_options}) as opened:
        yield opened


@pytest.fixture
def kms_client(kms: KMS) -> Client:
    """A client of the root user of the default account in the default Region."""
    return kms.client()


@pytest.fixture
def kms_boto3_client(kms: KMS) -> Iterator[Any]:
    """An unmodified boto3 client of the same user, which opens no socket."""
    client = kms.boto3_client()
    yield client
    client.close()


@pytest.fixture
def kms_boto3(kms: KMS, monkeypatch: pytest.MonkeyPatch) -> Any:
    """boto3's default session, for the test, is one of `kms`: `boto3.client("kms")` reaches it."""
    session = kms.boto3_session()
    monkeypatch.setattr("boto3.DEFAULT_SESSION", session)
    return session
