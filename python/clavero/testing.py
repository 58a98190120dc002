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
For programs that need an endpoint there is `serving`:

    with serving(kms) as served:            # HTTPS on a free port, until the block ends
        subprocess.run([...], env={**os.environ, **served.environment})

With boto3: `kms_boto3_client` is an unmodified boto3 client of it, and under `kms_boto3` every
`boto3.client("kms")` of the program under test is one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clavero.client import Client
from clavero.clock import ManualClock
from clavero.identity.accounts import AccessKey
from clavero.kms import DEFAULT_ACCOUNT, DEFAULT_REGION, KMS
from clavero.server.endpoint import Endpoint

__all__ = [
    "Served",
    "kms",
    "kms_boto3",
    "kms_boto3_client",
    "kms_client",
    "kms_clock",
    "kms_options",
    "kms_seed",
    "serving",
]


@dataclass(frozen=True)
class Served:
    """A KMS behind HTTPS: its endpoint, and an access key of an account's root user."""

    kms: KMS
    endpoint: Endpoint
    url: str
    ca_path: Path
    access_key: AccessKey
    region: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point AWS's SDKs and command line here."""
        return {
            "AWS_ENDPOINT_URL_KMS": self.url,
            "AWS_ENDPOINT_URL_STS": self.url,
            "AWS_ENDPOINT_URL_IAM": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.access_key.secret_access_key,
            "AWS_CA_BUNDLE": str(self.ca_path),
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }

    def boto3_client(self, service: str = "kms", **options: Any) -> Any:
        """A boto3 client of the access key, over the network. `options` go to boto3."""
        import boto3

        session = boto3.Session(
            self.access_key.access_key_id,
            self.access_key.secret_access_key,
            region_name=self.region,
        )
        return session.client(service, endpoint_url=self.url, verify=str(self.ca_path), **options)


@contextmanager
def serving(
    kms: KMS,
    *,
    account: str = DEFAULT_ACCOUNT,
    region: str = DEFAULT_REGION,
    **options: Any,
) -> Iterator[Served]:
    """Serve the KMS over HTTPS on a free port of this machine until the block ends.

    The account is made if it is not there, and gets a new access key. `options` go to
    `clavero.server.endpoint.Endpoint`. Requests are signed with the machine's time, whatever the
    KMS's clock says.
    """
    kms.accounts.ensure(account)
    access_key = kms.accounts.create_access_key(account)
    with Endpoint(kms, **options) as endpoint, tempfile.TemporaryDirectory() as folder:
        ca_path = Path(folder) / "ca.pem"
        ca_path.write_text(endpoint.ca_certificate or "", encoding="ascii")
        yield Served(kms, endpoint, endpoint.url, ca_path, access_key, region)


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
