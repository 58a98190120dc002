"""GenerateDataKey over HTTPS beside moto_server, nginx and uvicorn, driven by wrk in turns.

Ours is the whole product: a process of its own with a durable store and its audit file, TLS, a
signature that is verified on each request, the pipeline. moto_server gets the same request over
plain HTTP; nginx and uvicorn answer a constant of the same size over TLS. Server and wrk share the
machine's cores, which costs the quick ones more than the slow ones.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from benches import peers
from benches.driving import CONNECTIONS, Load, drive, signed
from benches.measuring import Ledger

SECONDS: Final = 3
ROUNDS: Final = 5
REQUESTS: Final = 64
OURS: Final = "GenerateDataKey over HTTPS"

Driven = Callable[[int], Load]
Server = Callable[[ExitStack], Driven]


def test_generate_data_key_over_https(tmp_path: Path, ledger: Ledger) -> None:
    """Answers a second on 32 connections that are kept: ours, then each peer, round by round."""
    if shutil.which("wrk") is None:
        why = "wrk is not installed (Debian and Ubuntu: apt-get install wrk)"
        ledger.missing(OURS, why)
        pytest.skip(f"the endpoint was NOT measured: {why}")
    folders = {name: tmp_path / name for name in ("clavero", "moto_server", "uvicorn", "nginx")}
    for folder in folders.values():
        folder.mkdir()
    absent: dict[str, str] = {}
    with ExitStack() as running:
        ours, constant = _clavero(running, folders["clavero"])
        driven = {"clavero": ours}
        servers: dict[str, Server] = {
            "moto_server": lambda running: _moto(running, folders["moto_server"]),
            "uvicorn": lambda running: _constant(
                running, peers.uvicorn(folders["uvicorn"], constant), folders["uvicorn"]
            ),
            "nginx": lambda running: _constant(
                running, peers.nginx(folders["nginx"], constant), folders["nginx"]
            ),
        }
        for name, start in servers.items():
            try:
                driven[name] = start(running)
            except peers.Missing as missing:
                absent[name] = str(missing)
        loads: dict[str, list[Load]] = {name: [] for name in driven}
        for drive_one in driven.values():
            drive_one(1)
        for _ in range(ROUNDS):
            for name, drive_one in driven.items():
                loads[name].append(drive_one(SECONDS))
    rates = {name: statistics.median(load.rate for load in found) for name, found in loads.items()}
    cores = len(os.sched_getaffinity(0))
    ledger.note(f"over {CONNECTIONS} kept connections; the server and wrk share {cores} cores:")
    for name, what, at_least in (
        ("moto_server", f"{OURS} / moto_server over plain HTTP", 15.0),
        ("uvicorn", f"{OURS} / uvicorn, a constant over TLS", None),
        ("nginx", f"{OURS} / nginx, a constant over TLS", None),
    ):
        if name in absent:
            ledger.missing(what, absent[name])
        else:
            ledger.ratio(what, rates["clavero"], rates[name], at_least, "calls")
    median = statistics.median(load.median for load in loads["clavero"])
    tail = statistics.median(load.tail for load in loads["clavero"])
    ledger.note(f"{OURS}: median {median * 1e3:.2f} ms, 99th percentile {tail * 1e3:.2f} ms")


def _clavero(running: ExitStack, folder: Path) -> tuple[Driven, str]:
    """Ours, and the text of one of its answers."""
    environment = running.enter_context(peers.clavero(folder / "data"))
    url = environment["AWS_ENDPOINT_URL_KMS"]
    client = _client(url, environment, environment["AWS_CA_BUNDLE"])
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    bodies: list[str] = []
    client.meta.events.register(
        "before-parse.kms.GenerateDataKey",
        lambda response_dict, **_: bodies.append(response_dict["body"].decode("ascii")),
    )
    client.generate_data_key(KeyId=key_id, KeySpec="AES_256")

    def driven(seconds: int) -> Load:
        # Signed anew: a signature is good for five minutes, and the rounds may take longer.
        return drive(url, signed(url, key_id, environment, REQUESTS), seconds, folder)

    return driven, bodies[0]


def _moto(running: ExitStack, folder: Path) -> Driven:
    url = running.enter_context(peers.moto())
    key_id = _client(url, peers.EXAMPLE).create_key()["KeyMetadata"]["KeyId"]
    requests = signed(url, key_id, peers.EXAMPLE, REQUESTS)
    return lambda seconds: drive(url, requests, seconds, folder)


def _constant(running: ExitStack, server: AbstractContextManager[str], folder: Path) -> Driven:
    url = running.enter_context(server)
    requests = signed(url, "alias/constant", peers.EXAMPLE, REQUESTS)
    return lambda seconds: drive(url, requests, seconds, folder)


def _client(url: str, environment: Mapping[str, str], verify: str | None = None) -> Any:
    return boto3.client(
        "kms",
        endpoint_url=url,
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        verify=verify,
    )
