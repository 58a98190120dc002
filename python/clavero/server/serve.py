"""A server's life: first access key, endpoint, admin socket, metrics; signals; the orderly end."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from clavero.clock import ShiftedClock
from clavero.server import status
from clavero.server.admin import AdminSocket
from clavero.server.endpoint import DRAIN_SECONDS, Endpoint, Limits, Tls
from clavero.server.health import HealthListener
from clavero.server.listeners import Listener

if TYPE_CHECKING:
    from clavero.kms import KMS
    from clavero.server.telemetry import Telemetry

_log = logging.getLogger(__name__)

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# A certificate of our own CA is valid for 90 days; a new one is made long before.
_RENEWAL_SECONDS: Final = 20 * 86_400


@dataclass(frozen=True, slots=True)
class Settings:
    """What `clavero serve` was told."""

    folder: Path  # of the admin socket, and of the CA's certificate where clients find it
    account: str
    region: str
    listeners: Sequence[Listener] = field(default_factory=lambda: (Listener(),))
    tls: Tls | None = field(default_factory=Tls)
    metrics: tuple[str, int] | None = None
    drain_seconds: float = DRAIN_SECONDS
    limits: Limits = field(default_factory=Limits)
    telemetry: Telemetry | None = None  # closed with the server


class Started(NamedTuple):
    """What a user needs to know."""

    url: str
    ca_path: Path | None
    account: str
    access_key_id: str
    metrics_url: str | None


def block_signals() -> None:
    """Keep the signals for `run`. Before the KMS is opened: threads inherit what is blocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def run(kms: KMS, settings: Settings, started: Callable[[Started], None]) -> bool:
    """Serve until SIGTERM or SIGINT. False: not every answer was given in time.

    SIGHUP reads the certificates again. A second SIGTERM ends the process at once, keys wiped.
    Raises what `Endpoint` raises.
    """
    raise_descriptor_limit()
    accounts = kms.accounts
    accounts.ensure(settings.account)
    if not any(row.account == settings.account for row in accounts.access_keys()):
        accounts.create_access_key(settings.account)
    with ExitStack() as stack:
        if settings.telemetry is not None:
            stack.callback(settings.telemetry.close)  # last: answers in flight have spans
        endpoint = Endpoint(
            kms,
            settings.listeners,
            tls=settings.tls,
            limits=settings.limits,
            folder=settings.folder,
            telemetry=settings.telemetry,
        )
        stack.callback(endpoint.close, 0.0)
        health = None
        if settings.metrics is not None:
            health = HealthListener(
                *settings.metrics,
                lambda: endpoint.metrics() + status.render(kms, endpoint.keyring_status()),
                lambda: endpoint.is_serving,
            )
            stack.callback(health.close)
        told = _told(kms, settings, endpoint, health)
        admin = AdminSocket(settings.folder, _handlers(kms, settings, endpoint))
        stack.callback(admin.close)
        started(told)
        _notify("READY=1")
        _wait(endpoint)
        _notify("STOPPING=1")
        # The second one ends the process by the HSM's own handler, which wipes.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return endpoint.close(settings.drain_seconds)


def _wait(endpoint: Endpoint) -> None:
    due = time.monotonic() + _RENEWAL_SECONDS
    while True:
        found = signal.sigtimedwait(SIGNALS, max(0.0, due - time.monotonic()))
        if found is not None and found.si_signo != signal.SIGHUP:
            return
        due = time.monotonic() + _RENEWAL_SECONDS
        try:
            endpoint.reload()
        except (OSError, ValueError) as error:
            _log.error("the certificates were not read again: %s", error)
        else:
            _log.info("the certificates were read again")


def _told(
    kms: KMS, settings: Settings, endpoint: Endpoint, health: HealthListener | None
) -> Started:
    row = next(row for row in kms.accounts.access_keys() if row.account == settings.account)
    metrics_url = None
    if health is not None and settings.metrics is not None:
        metrics_url = f"http://{settings.metrics[0]}:{health.port}/metrics"
    return Started(endpoint.url, endpoint.ca_path, settings.account, row.access_key_id, metrics_url)


def _handlers(
    kms: KMS, settings: Settings, endpoint: Endpoint
) -> dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]:
    accounts = kms.accounts

    def environment(request: Mapping[str, Any]) -> Mapping[str, Any]:
        account = request.get("account") or settings.account
        for row in accounts.access_keys():
            if row.account == account:
                key = accounts.reveal(row)
                break
        else:
            raise ValueError(f"the account {account} has no access key: make one")
        variables = {
            "AWS_ENDPOINT_URL_KMS": endpoint.url,
            "AWS_ENDPOINT_URL_STS": endpoint.url,
            "AWS_ENDPOINT_URL_IAM": endpoint.url,
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
        }
        if endpoint.ca_path is not None:
            variables["AWS_CA_BUNDLE"] = str(endpoint.ca_path.resolve())
        return variables

    def create(request: Mapping[str, Any]) -> Mapping[str, Any]:
        key = accounts.create(request["account"])
        return {
            "Account": key.account,
            "AccessKeyId": key.access_key_id,
            "SecretAccessKey": key.secret_access_key,
        }

    def names(_request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"Accounts": accounts.names()}

    def advance(request: Mapping[str, Any]) -> Mapping[str, Any]:
        clock = kms.clock
        if not isinstance(clock, ShiftedClock):
            raise ValueError("the server's clock is the machine's: start it with --test-clock")
        return {"Now": clock.advance(float(request["seconds"]))}

    return {
        "environment": environment,
        "account create": create,
        "account list": names,
        "clock advance": advance,
    }


def raise_descriptor_limit() -> None:
    """As many connections as the system lets this user have: the soft limit is often 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _notify(state: str) -> None:
    """Tell systemd, where it started us (sd_notify(3), Type=notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address is None or address[:1] not in {"/", "@"}:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
        try:
            told.connect("\0" + address[1:] if address.startswith("@") else address)
            told.sendall(state.encode())
        except OSError as error:
            _log.warning("systemd could not be told %s: %s", state, error)
