"""A client that writes its requests byte by byte: what no SDK would send, and what one does."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from clavero.testing import Served

JSON: Final = "application/x-amz-json-1.1"
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Target(NamedTuple):
    """Where requests go, and who signs them."""

    port: int
    ca_path: Path
    access_key_id: str
    secret_access_key: str
    region: str

    @classmethod
    def of(cls, served: Served) -> Target:
        key = served.access_key
        return cls(
            served.endpoint.ports[0],
            served.ca_path,
            key.access_key_id,
            key.secret_access_key,
            served.region,
        )


@contextmanager
def connected(target: Target, alpn: str = "http/1.1") -> Iterator[ssl.SSLSocket]:
    """A connection whose handshake is done."""
    context = ssl.create_default_context(cafile=str(target.ca_path))
    context.set_alpn_protocols([alpn])
    with (
        socket.create_connection(("127.0.0.1", target.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        yield stream


def signed(
    target: Target, body: bytes, operation: str = "TrentService.ListKeys", **more: str
) -> bytes:
    """A whole request, signed by botocore."""
    host = f"localhost:{target.port}"
    request = AWSRequest(
        "POST",
        f"https://{host}/",
        headers={"X-Amz-Target": operation, "Content-Type": JSON, **more},
        data=body,
    )
    credentials = Credentials(target.access_key_id, target.secret_access_key)
    SigV4Auth(credentials, "kms", target.region).add_auth(request)
    lines = ["POST / HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answer(stream: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One answer: status, headers, body. Raises ConnectionError where none comes."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = stream.recv(65536)
        if not piece:
            raise ConnectionResetError(received)
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (li.partition(":") for li in lines)
    }
    while len(body) < int(headers.get("content-length", "0")):
        body += stream.recv(65536)
    return int(first.split()[1]), headers, body


def is_cut_off(stream: socket.socket, within: float = 15.0) -> bool:
    """Whether the server ends the connection without an answer."""
    stream.settimeout(within)
    try:
        return stream.recv(4096) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream)
    return head + payload


def goes_away(received: bytes) -> bool:
    """Whether a GOAWAY frame is among the frames."""
    while len(received) >= 9:
        length = int.from_bytes(received[:3])
        if received[3] == 7:
            return True
        received = received[9 + length :]
    return False
