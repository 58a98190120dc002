"""The HTTPS endpoint of a KMS in this process: listeners, certificates, access keys, its end."""

from __future__ import annotations

import atexit
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from clavero import _native
from clavero.model.operations import OPERATIONS
from clavero.server.answering import Answering
from clavero.server.listeners import Listener
from clavero.store.folder import write_private

if TYPE_CHECKING:
    from clavero.kms import KMS
    from clavero.server.telemetry import Telemetry

TLS_FOLDER: Final = "tls"
CA_FILE: Final = "ca.pem"
CA_KEY_FILE: Final = "ca.key.sealed"
# What waits for the answer of a call when the endpoint ends: botocore gives up after a minute.
DRAIN_SECONDS: Final = 30.0
_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Tls:
    """Whose certificate is shown, and who must show one.

    Without `certificate` and `key` (PEM files) the deployment's own CA issues one, for `hosts` and
    the names of this machine. `client_authorities` is a PEM file of CAs: who connects needs a
    certificate of theirs, and of one of `client_subjects` (a common name or DNS name) if there are
    any.
    """

    certificate: Path | None = None
    key: Path | None = None
    hosts: Sequence[str] = ()
    client_authorities: Path | None = None
    client_subjects: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a client is taken, and for how long, in seconds."""

    connections: int = 16_384  # at a time; more wait to be accepted
    handshake: float = 10.0  # what comes before HTTP
    head: float = 30.0  # idle, or a request's head
    body: float = 20.0  # after its head; or nothing of an answer taken


class KeyringStatus(NamedTuple):
    """Access keys and their signing keys in memory, and how often a signing key was there."""

    access_keys: int
    signing_keys: int
    hits: int
    misses: int


class Endpoint:
    """A KMS behind HTTPS, until `close`. `tls=None` is plain HTTP, on loopback only.

    `folder` is where the CA's certificate is left for clients, by default the KMS's own.
    Raises OSError where an address cannot be had, and ValueError for settings, certificates and
    keys that cannot be used, each with a sentence that says which.
    """

    def __init__(
        self,
        kms: KMS,
        listeners: Sequence[Listener] = (Listener(),),
        *,
        tls: Tls | None = Tls(),
        limits: Limits = Limits(),
        threads: int | None = None,
        workers: int = 1,
        folder: Path | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        wiring = kms.wiring
        self._hsm = wiring.hsm
        self._region = wiring.region
        # Where the CA is; a KMS in memory leaves only its certificate there, for clients
        place = folder or kms.path
        self._folder = None if place is None else place / TLS_FOLDER
        self._durable = kms.path is not None
        self.is_serving = False
        self._tls = tls
        self._listeners = listeners
        self._authority: _native.Authority | None = None
        self.ca_certificate: str | None = None  # PEM
        config = None
        if tls is not None:
            if (tls.certificate is None) != (tls.key is None):
                raise ValueError("a certificate and its private key belong together: give both")
            if tls.certificate is None:
                wiring.ensure_domain(self._region)
                self._authority, self.ca_certificate = self._open_authority()
            config = self._tls_config(tls)
        self._accounts = wiring.accounts
        self._keyring = _native.Keyring(wiring.hsm)
        self._accounts.attach(self._keyring)
        answering = Answering(wiring)
        try:
            self._native = _native.Endpoint(
                self._keyring,
                [
                    (each.address, each.vpce, each.vpc, list(each.proxies), each.proxy_protocol)
                    for each in listeners
                ],
                config,
                answering.caller,
                answering.answer if telemetry is None else telemetry.traced(answering.answer),
                wiring.service.hold_records,
                answering.release,
                list(OPERATIONS),
                limits=(limits.connections, limits.handshake, limits.head, limits.body),
                threads=threads or min(4, os.cpu_count() or 1),
                workers=workers,
            )
        except BaseException:
            self._accounts.detach(self._keyring)
            raise
        self.is_serving = True
        # The threads that call Python must have ended when the interpreter does.
        atexit.register(self.close)

    @property
    def ports(self) -> list[int]:
        """The ports, in the order of the listeners."""
        return [int(address.rpartition(":")[2]) for address in self._native.addresses]

    @property
    def url(self) -> str:
        """The URL of the first listener, under a name that the certificate of our own CA has."""
        first = self._listeners[0]
        host = first.host
        if first.is_unspecified or host in _LOCAL_NAMES:
            host = "localhost"
        elif ":" in host:
            host = f"[{host}]"
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.ports[0]}"

    @property
    def ca_path(self) -> Path | None:
        """The file of our own CA's certificate, in the data folder."""
        made = self._folder is not None and self.ca_certificate is not None
        return self._folder / CA_FILE if made and self._folder is not None else None

    def reload(self) -> None:
        """Read the certificates again; connections from now on get them.

        Raises ValueError or OSError, and goes on with what it had, where they cannot be used.
        """
        if self._tls is not None:
            self._native.replace_tls(self._tls_config(self._tls))

    def metrics(self) -> str:
        """What the endpoint counted, in Prometheus' text format."""
        return self._native.metrics()

    def keyring_status(self) -> KeyringStatus:
        """The access keys, and the signing keys that are kept of them."""
        return KeyringStatus(*self._keyring.status())

    def close(self, patience: float = DRAIN_SECONDS) -> bool:
        """Accept nothing more, answer what arrived, end. False: `patience` seconds were too few."""
        self.is_serving = False
        atexit.unregister(self.close)
        self._accounts.detach(self._keyring)
        return self._native.close(patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _tls_config(self, tls: Tls) -> _native.TlsConfig:
        file = tls.client_authorities
        authorities = None if file is None else file.read_bytes()
        subjects = list(tls.client_subjects)
        if tls.certificate is not None and tls.key is not None:
            return _native.TlsConfig.from_pem(
                tls.certificate.read_bytes(),
                tls.key.read_bytes(),
                client_authorities=authorities,
                client_subjects=subjects,
            )
        assert self._authority is not None
        hosts = dict.fromkeys((*_LOCAL_NAMES, socket.gethostname(), *tls.hosts))
        for listener in self._listeners:
            if not listener.is_unspecified:
                hosts[listener.host] = None
        return self._authority.issue(
            list(hosts), client_authorities=authorities, client_subjects=subjects
        )

    def _open_authority(self) -> tuple[_native.Authority, str]:
        """The deployment's CA and its certificate: the stored one, or a new one."""
        if self._folder is None:
            authority, certificate, _ = _native.Authority.create(self._hsm, self._region)
            return authority, certificate
        certificate_file, key_file = self._folder / CA_FILE, self._folder / CA_KEY_FILE
        if self._durable and key_file.exists():
            certificate = certificate_file.read_text(encoding="ascii")
            sealed = key_file.read_bytes()
            try:
                opened = _native.Authority.open(
                    self._hsm, self._region, certificate.encode(), sealed
                )
            except _native.HsmError as error:
                raise ValueError(
                    f"{key_file} does not open ({error}): it was changed, or is another store's. "
                    f"Move {self._folder} away for a new CA, which clients must then trust."
                ) from error
            return opened, certificate
        authority, certificate, sealed = _native.Authority.create(self._hsm, self._region)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_private(certificate_file, certificate.encode())
        if self._durable:
            write_private(key_file, sealed)  # last: with it, the CA is there
        return authority, certificate
