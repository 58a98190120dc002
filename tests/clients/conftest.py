"""A KMS for programs that we did not write, reached in process and by boto3."""

from __future__ import annotations

import socket
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """These programs must not leave the process."""

    def never(*_args: object, **_options: object) -> None:
        raise AssertionError("the network was used")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, never)
    monkeypatch.setattr(socket.socket, "connect", never)


@pytest.fixture(params=["in process", "boto3"])
def entry(request: pytest.FixtureRequest, kms) -> Any:
    """Make a client of the KMS by one of its entries."""
    return kms.client if request.param == "in process" else kms.boto3_client


@pytest.fixture
def client(entry) -> Any:
    return entry()


@pytest.fixture
def key_arn(client) -> str:
    arn: str = client.create_key()["KeyMetadata"]["Arn"]
    return arn
