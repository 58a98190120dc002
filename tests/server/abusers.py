"""Clients that misbehave, each as a function that may be called as often as one likes.

Each does its worst to a server and leaves. It fails where the server answers as it should not.
"""

from __future__ import annotations

import json
import random
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final

from tests.server.raw import PREFACE, Target, answer, connected, frame, signed

_RESET: Final = struct.pack("ii", 1, 0)


def reset(stream: socket.socket) -> None:
    """End a connection by RST: no close_notify, no FIN."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    stream.close()


def plain(target: Target) -> socket.socket:
    """A connection without TLS, as far as that."""
    return socket.create_connection(("127.0.0.1", target.port), timeout=20)


def slow_heads(target: Target) -> None:
    """Slowloris: heads that go on and on. 20 at a time, cut off by whoever has more patience."""
    streams = []
    context = _context(target)
    for _ in range(20):
        stream = context.wrap_socket(plain(target), server_hostname="localhost")
        stream.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        streams.append(stream)
    for stream in streams:
        with suppress(OSError):
            stream.sendall(b"x")
        reset(stream)


def slow_bodies(target: Target) -> None:
    """A body that is begun and never ended."""
    with connected(target) as stream:
        stream.sendall(signed(target, b"{" + b" " * 5000)[:-4000])
        reset(stream)


def half_open(target: Target) -> None:
    """Connections without a handshake: silent, closed by either way."""
    made = [plain(target) for _ in range(20)]
    for number, stream in enumerate(made):
        if number % 2:
            reset(stream)
        else:
            stream.close()


def oversized(target: Target) -> None:
    """A body over the limit, as announced and as sent."""
    with connected(target) as stream:
        stream.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n")
        assert answer(stream)[0] == 413
    with connected(target) as stream, suppress(OSError):
        stream.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(18):
            stream.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        assert answer(stream)[0] == 413


def nonsense(target: Target) -> None:
    """Signed bodies that mean nothing: nested, twice, no UTF-8, no JSON."""
    with connected(target) as stream:
        for body in (
            b"[" * 50_000,
            b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
            b'{"Marker": "\xff"}',
            b'{"Limit": 1, "Limit": 2}',
        ):
            stream.sendall(signed(target, body))
            status, _, told = answer(stream)
            assert (status, json.loads(told)["__type"]) == (400, "SerializationException"), told


def wrong_signatures(target: Target) -> None:
    """Another body than the signed one, an unknown access key, none at all."""
    stranger = target._replace(access_key_id="AKIAIOSFODNN7EXAMPLE")
    request = signed(target, b"{}")
    for sent in (
        request[:-2] + b"[]",
        signed(stranger, b"{}"),
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        with connected(target) as stream:
            stream.sendall(sent)
            assert answer(stream)[0] in {400, 403}


def http2_resets(target: Target) -> None:
    """CVE-2023-44487: streams that are opened and reset at once."""
    block = b"\x83\x84\x87\x01\x09localhost"  # POST / https localhost, by HPACK's static table
    one = struct.pack("!I", 8)
    with suppress(OSError), connected(target, "h2") as stream:
        stream.sendall(PREFACE + frame(4, 0, 0, b""))
        for number in range(1, 401, 2):
            stream.sendall(frame(1, 4, number, block) + frame(3, 0, number, one))
        reset(stream)


def truncated_tls(target: Target) -> None:
    """A handshake that ends after some of its bytes, garbage in its place, a record cut in two."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        _context(target).wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    for sent in (hello[: random.randrange(1, len(hello))], hello, random.randbytes(500)):
        stream = plain(target)
        stream.sendall(sent)
        reset(stream)
    with connected(target) as stream:
        stream.sendall(signed(target, b"{}")[:100])
        reset(stream)


def gone_before_the_answer(target: Target) -> None:
    """Requests of every length of work whose client does not wait."""
    for operation, body in (
        ("TrentService.GenerateRandom", b'{"NumberOfBytes": 1024}'),
        ("TrentService.ListKeys", b"{}"),
    ):
        with connected(target) as stream:
            stream.sendall(signed(target, body, operation) * 5)
            reset(stream)


def unread_answers(target: Target) -> None:
    """Pipelined requests whose answers are not read before the end."""
    with suppress(OSError), connected(target) as stream:
        stream.settimeout(0.2)
        stream.sendall(
            signed(target, b'{"NumberOfBytes": 1024}', "TrentService.GenerateRandom") * 300
        )
        reset(stream)


def _context(target: Target) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(target.ca_path))


ABUSERS: Final[Mapping[str, Callable[[Target], None]]] = MappingProxyType(
    {
        abuse.__name__: abuse
        for abuse in (
            slow_heads,
            slow_bodies,
            half_open,
            oversized,
            nonsense,
            wrong_signatures,
            http2_resets,
            truncated_tls,
            gone_before_the_answer,
            unread_answers,
        )
    }
)
