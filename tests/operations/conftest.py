"""The deployments that every operation is tested on, and what the tests say of them."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.loaders import create_loader
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from clavero import KMS, ManualClock
from clavero.identity.accounts import AccessKey
from clavero.identity.resolver import Given, Source
from clavero.server.endpoint import Endpoint

REGION = "us-east-1"
ACCOUNT = "000000000000"
LOADER = create_loader()  # read once: botocore's data files are most of what a client costs


class Deployment:
    """A KMS and the way to reach it. Another entry (a transport) is another subclass."""

    entry = "in process"

    def __init__(self, path: Path | None, checked: Any) -> None:
        self.path = path
        self.clock = ManualClock()
        self._checked = checked
        self.kms = KMS(path, clock=self.clock)

    def client(self, **whose: Any) -> Any:
        """A client whose answers are checked: `region`, `account` or `principal`."""
        return self._checked(self.kms.client(**whose))

    def close(self) -> None:
        """Close the KMS, and what its clients hold."""
        self.kms.close()

    def reopen(self) -> None:
        """Close and open again: what was acknowledged must be there."""
        assert self.path is not None
        self.kms.close()
        self.kms = KMS(self.path, clock=self.clock)

    def records(self) -> list[dict[str, Any]]:
        """The audit records, the oldest first."""
        if self.path is None:
            return self.kms.audit_records()
        lines = (self.path / "audit.jsonl").read_text(encoding="ascii").splitlines()
        return [json.loads(line) for line in lines]

    def audit_text(self) -> str:
        """All that the audit keeps, as text, to search it for secrets."""
        if self.path is None:
            return json.dumps(self.records())
        return (self.path / "audit.jsonl").read_text(encoding="ascii")


class Network:
    """The endpoint of a KMS, and boto3 clients that reach it."""

    def __init__(self, kms: KMS) -> None:
        self._kms = kms
        self._folder = tempfile.TemporaryDirectory()
        self.endpoint = Endpoint(kms)
        self._ca = Path(self._folder.name) / "ca.pem"
        self._ca.write_text(self.endpoint.ca_certificate or "", encoding="ascii")
        self._clients: dict[str, Any] = {}
        self._bare: dict[str, tuple[str, str]] = {}
        resolver = kms.wiring.resolver
        stored = resolver.access_key

        def access_key(access_key_id: str, vpce: str | None = None) -> Source:
            bare = self._bare.get(access_key_id)
            if bare is None:
                return stored(access_key_id, vpce)
            return resolver.in_process(*bare, Given())

        resolver.access_key = access_key  # type: ignore[method-assign]

    def client(
        self,
        region: str | None = None,
        account: str | None = None,
        principal: str | None = None,
        **told: Any,
    ) -> Any:
        """A client of the account's root user, or of a principal who gets an access key here.

        Skips where the test tells more of the caller (policies, address, service): that is for
        trusted code in the process, and a client on the network has no way to say it.
        """
        if told:
            pytest.skip(f"a client on the network cannot state {', '.join(told)}")
        region, account = region or REGION, account or ACCOUNT
        name = f"{region} {account} {principal}"
        if name not in self._clients:
            access_key = self._access_key(account, principal)
            session = botocore.session.Session()
            session.register_component("data_loader", LOADER)
            session.set_credentials(access_key.access_key_id, access_key.secret_access_key)
            self._clients[name] = boto3.Session(botocore_session=session).client(
                "kms",
                region,
                endpoint_url=self.endpoint.url,
                verify=str(self._ca),
                config=Config(retries={"total_max_attempts": 1, "mode": "legacy"}),
            )
        return self._clients[name]

    def _access_key(self, account: str, principal: str | None) -> AccessKey:
        accounts = self._kms.accounts
        if principal is not None:
            account = principal.split(":")[4]
        accounts.ensure(account)
        made = accounts.create_access_key(account)
        if principal is not None:
            # Nothing is stored of these principals, as nothing is of those in process
            self._bare[made.access_key_id] = (principal, account)
        return made

    def close(self) -> None:
        """End the clients, then the endpoint."""
        for client in self._clients.values():
            client.close()
        self.endpoint.close()
        self._folder.cleanup()


class Boto3Deployment(Deployment):
    """The same, reached by unmodified boto3 clients: everything passes the wire format."""

    entry = "boto3"

    def __init__(self, path: Path | None, checked: Any) -> None:
        super().__init__(path, checked)
        self._clients: dict[str, Any] = {}

    def client(self, **whose: Any) -> Any:
        # A boto3 client is dear to make, and one of the same caller is as good
        client = self._clients.get(str(whose))
        if client is None:
            client = self._clients[str(whose)] = self.kms.boto3_client(**whose)
        # Batches are beyond AWS: they have the in-process entry only
        return self._checked(client, beyond=self.kms.client(**whose))

    def close(self) -> None:
        super().close()
        for client in self._clients.values():
            client.close()


class HttpsDeployment(Deployment):
    """The same behind TLS and SigV4, reached by boto3 clients over a socket."""

    entry = "https"

    def __init__(self, path: Path | None, checked: Any) -> None:
        super().__init__(path, checked)
        self.network = Network(self.kms)

    def client(self, **whose: Any) -> Any:
        beyond = self.kms.client(**whose)  # first: it refuses callers that cannot be
        return self._checked(self.network.client(**whose), beyond=beyond)

    def close(self) -> None:
        self.network.close()
        super().close()


ENTRIES = {"boto3": Boto3Deployment, "https": HttpsDeployment}


@pytest.fixture(params=["memory", "folder", "boto3", "https"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path, checked) -> Iterator[Deployment]:
    """Both kinds of KMS and all entries: what holds for one holds for the others."""
    kind = ENTRIES.get(request.param, Deployment)
    made = kind(tmp_path / "data" if request.param == "folder" else None, checked)
    yield made
    made.close()


@pytest.fixture
def durable(tmp_path: Path, checked) -> Iterator[Deployment]:
    """A KMS that can be closed and opened again."""
    made = Deployment(tmp_path / "data", checked)
    yield made
    made.close()


@pytest.fixture
def client(deployment: Deployment) -> Any:
    """The root user of the default account in the default Region."""
    return deployment.client()


@pytest.fixture
def key(client) -> dict[str, Any]:
    """The metadata of a new key."""
    metadata: dict[str, Any] = client.create_key()["KeyMetadata"]
    return metadata


def arn_of(kind_and_name: str, region: str = REGION, account: str = ACCOUNT) -> str:
    return f"arn:aws:kms:{region}:{account}:{kind_and_name}"


@pytest.fixture
def arn():
    """The ARN of a key (`key/ID`) or an alias (`alias/NAME`)."""
    return arn_of


class Kept:
    """A KMS whose key of each kind is made once: an RSA key takes seconds."""

    def __init__(self) -> None:
        self.kms = KMS(clock=ManualClock())
        self.boto3 = self.kms.boto3_client()
        self.network = Network(self.kms)
        self._keys: dict[tuple[str, str], dict[str, Any]] = {}

    def key(self, spec: str, usage: str) -> dict[str, Any]:
        """The metadata of the key of that kind. Tests leave it as it is."""
        if (spec, usage) not in self._keys:
            made = self.kms.client().create_key(KeySpec=spec, KeyUsage=usage)
            self._keys[spec, usage] = made["KeyMetadata"]
        return self._keys[spec, usage]


@pytest.fixture(scope="session")
def kept() -> Iterator[Kept]:
    """The keys that tests share."""
    made = Kept()
    yield made
    made.network.close()
    made.boto3.close()
    made.kms.close()


@pytest.fixture(params=["in process", "boto3", "https"])
def kept_client(request: pytest.FixtureRequest, kept: Kept, checked) -> Any:
    """A client of the shared keys, over all entries."""
    if request.param == "boto3":
        return checked(kept.boto3, beyond=kept.kms.client())
    if request.param == "https":
        return checked(kept.network.client(), beyond=kept.kms.client())
    return checked(kept.kms.client())


@pytest.fixture
def openssl(need_program, tmp_path: Path) -> Callable[..., bytes]:
    """Run OpenSSL's command in a folder of its own, with files of these names and contents."""
    program = need_program("openssl")

    def run(*arguments: str, **files: bytes) -> bytes:
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        done = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


# Regions of the tests with multi-Region keys
HOME, AWAY, FAR = REGION, "eu-west-1", "ap-east-1"


class Related:
    """A multi-Region key with its primary in HOME, and clients of three Regions."""

    def __init__(self, deployment: Any, **given: Any) -> None:
        self.deployment = deployment
        self.clock = deployment.clock
        self.clients = {name: deployment.client(region=name) for name in (HOME, AWAY, FAR)}
        self.home, self.away, self.far = (self.clients[name] for name in (HOME, AWAY, FAR))
        self.metadata = self.home.create_key(MultiRegion=True, **given)["KeyMetadata"]
        self.id: str = self.metadata["KeyId"]

    def replicate(self, region: str = AWAY, source: str = HOME, **given: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.clients[source].replicate_key(
            KeyId=self.id, ReplicaRegion=region, **given
        )
        return made

    def arn(self, region: str) -> str:
        return arn_of(f"key/{self.id}", region)

    def describe(self, region: str) -> dict[str, Any]:
        found: dict[str, Any] = self.clients[region].describe_key(KeyId=self.id)["KeyMetadata"]
        return found

    def states(self, *regions: str) -> list[str]:
        return [self.describe(region)["KeyState"] for region in regions]

    def configuration(self, kind: str, primary: str, *replicas: str) -> dict[str, Any]:
        """What MultiRegionConfiguration must be."""
        return {
            "MultiRegionKeyType": kind,
            "PrimaryKey": {"Arn": self.arn(primary), "Region": primary},
            "ReplicaKeys": [{"Arn": self.arn(each), "Region": each} for each in replicas],
        }


@pytest.fixture
def related(deployment: Deployment) -> Callable[..., Related]:
    """Make a multi-Region key; takes what CreateKey takes."""

    def make(**given: Any) -> Related:
        return Related(deployment, **given)

    return make


@pytest.fixture
def related_durable(durable: Deployment) -> Callable[..., Related]:
    """The same in a KMS that can be closed and opened again."""

    def make(**given: Any) -> Related:
        return Related(durable, **given)

    return make


@pytest.fixture
def made(related: Callable[..., Related]) -> Related:
    """A primary key without replicas."""
    return related(Description="the first")


@pytest.fixture
def replicated(made: Related) -> Related:
    """A primary key in HOME with a replica in AWAY."""
    made.replicate()
    return made


def wrapped(public_key: bytes, algorithm: str, material: bytes) -> bytes:
    """The material under a wrapping key (SPKI DER), as a caller of ImportKeyMaterial sends it."""
    public: Any = load_der_public_key(public_key)
    chosen = hashes.SHA1() if algorithm.endswith("_1") else hashes.SHA256()  # noqa: S303 (AWS's)
    oaep = padding.OAEP(padding.MGF1(chosen), chosen, None)
    if algorithm.startswith("RSAES_OAEP"):
        return bytes(public.encrypt(material, oaep))
    aes = os.urandom(32)
    return bytes(public.encrypt(aes, oaep)) + aes_key_wrap_with_padding(aes, material)


class Importer:
    """Imports key material through a client. Each key has one wrapping key: making it is slow."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._made: dict[tuple[str, str, str], dict[str, Any]] = {}

    def key(self, **params: Any) -> str:
        """The id of a new key that waits for its material."""
        made = self.client.create_key(Origin="EXTERNAL", **params)
        return str(made["KeyMetadata"]["KeyId"])

    def parameters(
        self, key: str, algorithm: str = "RSAES_OAEP_SHA_256", spec: str = "RSA_2048"
    ) -> dict[str, Any]:
        """GetParametersForImport's answer, the same one each time."""
        asked = (key, algorithm, spec)
        if asked not in self._made:
            self._made[asked] = self.client.get_parameters_for_import(
                KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec=spec
            )
        return self._made[asked]

    def request(
        self,
        key: str,
        material: bytes,
        algorithm: str = "RSAES_OAEP_SHA_256",
        spec: str = "RSA_2048",
        **params: Any,
    ) -> dict[str, Any]:
        """ImportKeyMaterial's parameters; the material does not expire unless `params` say so."""
        made = self.parameters(key, algorithm, spec)
        if "ValidTo" not in params:
            params.setdefault("ExpirationModel", "KEY_MATERIAL_DOES_NOT_EXPIRE")
        return {
            "KeyId": key,
            "ImportToken": made["ImportToken"],
            "EncryptedKeyMaterial": wrapped(made["PublicKey"], algorithm, material),
            **params,
        }

    def give(self, key: str, material: bytes, *wrapping: str, **params: Any) -> dict[str, Any]:
        """Import the material; the answer without its metadata."""
        answer = self.client.import_key_material(**self.request(key, material, *wrapping, **params))
        del answer["ResponseMetadata"]
        return dict(answer)

    def state(self, key: str) -> str:
        """The key's state."""
        return str(self.client.describe_key(KeyId=key)["KeyMetadata"]["KeyState"])

    def materials(self, key: str) -> list[dict[str, Any]]:
        """Every material of the key, as ListKeyRotations has it, without the key's ARN."""
        answer = self.client.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")
        return [
            {name: each[name] for name in each if name != "KeyId"} for each in answer["Rotations"]
        ]


@pytest.fixture
def importer(client) -> Importer:
    """Imports through the client of the test."""
    return Importer(client)


@pytest.fixture(scope="session")
def importing() -> type[Importer]:
    """Makes importers for other clients."""
    return Importer
