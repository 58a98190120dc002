"""Clients that misbehave: each is refused or cut off, and the others are served all the while."""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.server.raw import (
    JSON,
    PREFACE,
    Target,
    answer,
    connected,
    frame,
    goes_away,
    is_cut_off,
    signed,
)

from clavero import KMS
from clavero.server.endpoint import Limits
from clavero.server.listeners import Listener
from clavero.testing import serving

PATIENCE = Limits(handshake=1.5, head=1.5, body=1.5)


@pytest.fixture(scope="module")
def served():
    with KMS() as kms, serving(kms, limits=PATIENCE) as made:
        yield made


@pytest.fixture(scope="module")
def target(served):
    return Target.of(served)


@pytest.fixture(autouse=True)
def _others_are_served(served):
    """A client that was there before goes on during each test; no connection is left after it."""
    before = descriptors()
    client = served.boto3_client()
    failures: list[BaseException] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                client.generate_random(NumberOfBytes=8)
            except BaseException as error:  # noqa: BLE001 (told below)
                failures.append(error)
                return
            ended.wait(0.05)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    ended.set()
    thread.join()
    client.generate_random(NumberOfBytes=8)
    client.close()
    assert not failures
    until = time.monotonic() + 10
    while served.endpoint.metrics().find("\nclavero_connections 0\n") < 0 or descriptors() > before:
        assert time.monotonic() < until, served.endpoint.metrics()
        time.sleep(0.02)


def descriptors() -> int:
    """How many there are of connections: files are opened and closed by others."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except OSError:  # the one of the listing itself
            pass
    return found


def test_a_signed_request_by_hand_is_answered(target):
    with connected(target) as stream:
        stream.sendall(signed(target, b"{}"))
        status, headers, body = answer(stream)
        assert (status, json.loads(body)) == (200, {"Keys": [], "Truncated": False})
        assert headers["content-type"] == JSON


def test_headers_are_spelled_as_aws_spells_them(target):
    # libmongocrypt compares `Content-Length` letter by letter
    with connected(target) as stream:
        stream.sendall(signed(target, b"{}"))
        received = b""
        while b"\r\n\r\n" not in received:
            piece = stream.recv(65536)
            assert piece, "the answer ended early"
            received += piece
    head = received.partition(b"\r\n\r\n")[0]
    names = {line.partition(b":")[0] for line in head.split(b"\r\n")[1:]}
    assert {b"Content-Length", b"Content-Type", b"Date"} <= names
    assert [name for name in names if name != name.title()] == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "is not JSON"),
        (b'{"Limit": 1, "Limit": 2}', "a member stands twice"),
        (b"[" * 100_000, "deeper than 32|is not JSON"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "deeper than 32"),
        (b'{"Marker": "\xff"}', "is not UTF-8"),
        (b'{"Limit": NaN}', "is not JSON"),
        (b'{"Limit": ' + b"9" * 100_000 + b"}", "is not JSON"),
    ],
)
def test_bodies_that_mean_nothing_are_refused_in_aws_words(target, body, message):
    with connected(target) as stream:
        stream.sendall(signed(target, body))
        status, _, told = answer(stream)
        assert status == 400
        found = json.loads(told)
        assert found["__type"] == "SerializationException"
        assert any(part in found["Message"] for part in message.split("|")), found
        stream.sendall(signed(target, b"{}"))
        assert answer(stream)[0] == 200, "the connection goes on"


@pytest.mark.parametrize(
    "operation", ["TrentService.Nothing", "OtherService.ListKeys", "ListKeys", ""]
)
def test_unknown_operations(target, operation):
    with connected(target) as stream:
        stream.sendall(signed(target, b"{}", operation))
        status, headers, body = answer(stream)
        assert (status, json.loads(body)) == (400, {"__type": "UnknownOperationException"})
        assert len(headers["x-amzn-requestid"]) == 36


def test_another_content_type_is_no_operation_of_kms(target):
    with connected(target) as stream:
        stream.sendall(signed(target, b"{}", **{"Content-Type": "application/json"}))
        status, _, body = answer(stream)
        assert (status, json.loads(body)["__type"]) == (400, "UnknownOperationException")


def test_bodies_over_a_mebibyte_are_not_read(target):
    with connected(target) as stream:
        stream.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n")
        status, headers, body = answer(stream)
        assert (status, headers["connection"]) == (413, "close")
        assert json.loads(body)["__type"] == "SerializationException"
        assert is_cut_off(stream)
    with connected(target) as stream:
        stream.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        )  # fmt: skip
        for _ in range(17):  # the last ones meet an end that was decided
            try:
                stream.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            except OSError:
                break
        try:
            assert answer(stream)[0] == 413
        except OSError:
            pass  # what was in flight met a closed connection: no answer is to be had


def test_a_body_of_a_mebibyte_is(target):
    with connected(target) as stream:
        stream.sendall(signed(target, b"{" + b" " * ((1 << 20) - 2) + b"}"))
        assert answer(stream)[0] == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Header: y\r\n" * 200 + b"\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_heads_have_a_bound(target, head):
    with connected(target) as stream:
        try:
            stream.sendall(head)
            status = answer(stream)[0]
        except OSError:
            return  # cut off, which is as good
        assert status in {414, 431}


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x00" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(target, rubbish):
    with connected(target) as stream:
        stream.sendall(rubbish)
        try:
            assert answer(stream)[0] in {400, 403, 408, 505}
        except OSError:
            pass


def test_two_lengths_of_one_body_never_reach_a_call(served, target):
    """Request smuggling: a proxy in front could read another end than we do."""
    request = signed(target, b"{}")
    smuggled = request.replace(
        b"Content-Length: 2", b"Content-Length: 2\r\nTransfer-Encoding: chunked"
    )
    before = len(served.kms.audit_records())
    with connected(target) as stream:
        stream.sendall(smuggled)
        try:
            assert answer(stream)[0] == 400
        except OSError:
            pass
    names = [record["eventName"] for record in served.kms.audit_records()[before:]]
    assert "ListKeys" not in names


def test_pipelined_requests_are_answered_in_order(target):
    with connected(target) as stream:
        asked = [b"{}", b'{"Limit": 0}', b"{}", b"{", b"{}"]
        stream.sendall(b"".join(signed(target, body) for body in asked))
        received = b""
        while received.count(b"HTTP/1.1 ") < len(asked) or not received.endswith(b"}"):
            received += stream.recv(65536)
        statuses = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [200, 400, 200, 400, 200]


def test_a_slow_head_and_a_slow_body_are_cut_off(target):
    with connected(target) as head, connected(target) as body:
        head.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n")
        body.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nab")
        begun = time.monotonic()
        slow = threading.Thread(target=trickle, args=(head,))
        slow.start()
        assert answer(body)[0] == 408
        assert is_cut_off(body)
        slow.join()
        assert time.monotonic() - begun < 15


def trickle(stream: ssl.SSLSocket) -> None:
    """Send a byte of a header at a time, until the server has enough."""
    with pytest.raises(OSError):
        for _ in range(200):
            stream.sendall(b"x")
            time.sleep(0.1)


def test_idle_and_half_open_connections_end(served, target):
    with connected(target) as idle:
        port = served.endpoint.ports[0]
        with socket.create_connection(("127.0.0.1", port)) as half:
            assert is_cut_off(half), "it never began its handshake"
        assert is_cut_off(idle)


def test_who_lets_http2_send_nothing_is_cut_off(target):
    """No window for the answer, and an answer to each ping: the stream would never end."""
    block = b"\x83\x84\x87\x01\x09localhost"
    no_window = struct.pack("!HI", 4, 0)
    with connected(target, "h2") as stream:
        stream.sendall(PREFACE + frame(4, 0, 0, no_window))
        stream.sendall(frame(1, 5, 1, block))
        until = time.monotonic() + 15
        received = b""
        stream.settimeout(15)
        try:
            while (piece := stream.recv(65536)) != b"":
                assert time.monotonic() < until
                received += piece
                while len(received) >= 9 and len(received) >= 9 + int.from_bytes(received[:3]):
                    payload = received[9 : 9 + int.from_bytes(received[:3])]
                    kind, flags = received[3:5]
                    received = received[9 + len(payload) :]
                    assert kind != 0 or not payload, "the answer had no window"
                    if (kind, flags & 1) == (6, 0):
                        stream.sendall(frame(6, 1, 0, payload))
        except TimeoutError:
            pytest.fail("the connection was kept")
        except OSError:
            pass


def test_who_asks_and_takes_no_answers_is_cut_off(target):
    """Pipelined requests whose answers nobody reads: HTTP/1.1 has no window but TCP's."""
    body = b'{"NumberOfBytes": 1024}'
    ask = signed(target, body, "TrentService.GenerateRandom") * 100
    with connected(target) as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.settimeout(10)
        with pytest.raises(OSError) as caught:
            for _ in range(1000):  # far more than the buffers on both sides hold
                stream.sendall(ask)
        assert not isinstance(caught.value, TimeoutError), "the connection was kept"


def test_garbage_and_truncated_tls(served, target):
    port = served.endpoint.ports[0]
    for rubbish in (
        os.urandom(2000),
        b"\x16\x03\x01\xff\xff" + b"\x01" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
            plain.sendall(rubbish)
            plain.shutdown(socket.SHUT_WR)
            try:
                while plain.recv(4096):
                    pass
            except ConnectionError:
                pass
    context = ssl.create_default_context(cafile=str(served.ca_path))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        stream = context.wrap_socket(plain, server_hostname="localhost")
        stream.sendall(signed(target, b"{}")[:100])
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()  # a reset in the middle of a request


def test_rapid_resets_of_http2(target):
    """CVE-2023-44487: streams that are opened and reset at once, by the thousand."""
    block = b"\x83\x84\x87\x01\x09localhost"  # POST / https localhost, by HPACK's static table
    with connected(target, "h2") as stream:
        stream.sendall(PREFACE + frame(4, 0, 0, b""))
        try:
            for number in range(1, 8001, 2):
                stream.sendall(
                    frame(1, 4, number, block) + frame(3, 0, number, struct.pack("!I", 8))
                )
        except OSError:
            return
        stream.settimeout(15)
        received = b""
        try:
            while (piece := stream.recv(65536)) != b"":
                received += piece
                if goes_away(received):
                    return
        except OSError:
            return
        pytest.fail("the connection was kept")


def test_more_connections_than_there_is_room_wait_their_turn():
    limits = Limits(connections=3, head=1.5)
    with KMS() as kms, serving(kms, limits=limits) as made, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connected(Target.of(made)))
        client = made.boto3_client()
        assert client.list_keys()["Keys"] == [], "the idle ones ended, and made room"
        client.close()


# --- who is where --------------------------------------------------------------------------------


def test_a_client_cannot_say_where_it_is(served, target):
    with connected(target) as stream:
        stream.sendall(signed(target, b"{}", **{"X-Forwarded-For": "198.51.100.7"}))
        assert answer(stream)[0] == 200
    asked = [r for r in served.kms.audit_records() if r["eventName"] == "ListKeys"]
    assert asked[-1]["sourceIPAddress"] == "127.0.0.1"


# Python's ssl loses a socket whose peer is gone before the handshake begins
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_trusted_proxies_and_vpc_endpoints():
    listeners = (
        Listener(proxies=("127.0.0.0/8",)),
        Listener(vpce="vpce-0123456789abcdef0", vpc="vpc-0123456789abcdef0"),
        Listener(proxies=("127.0.0.0/8",), proxy_protocol=True),
        Listener(proxies=("192.0.2.0/24",), proxy_protocol=True),
    )
    header = (
        b"\r\n\r\n\0\r\nQUIT\n"
        + bytes([0x21, 0x11, 0, 12])
        + bytes([203, 0, 113, 9, 127, 0, 0, 1, 1, 2, 3, 4])
    )
    with KMS() as kms, serving(kms, listeners=listeners) as made:
        context = ssl.create_default_context(cafile=str(made.ca_path))

        def ask(
            index: int, before: bytes = b"", headers: dict[str, str] | None = None
        ) -> dict[str, object]:
            port = made.endpoint.ports[index]
            with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
                plain.sendall(before)
                stream = context.wrap_socket(
                    plain, server_hostname="localhost", do_handshake_on_connect=False
                )
                with stream:
                    stream.do_handshake()
                    stream.sendall(signed(Target.of(made), b"{}", **(headers or {})))
                    assert answer(stream)[0] == 200
            return kms.audit_records()[-1]

        forwarded = {"X-Forwarded-For": "203.0.113.1, 198.51.100.7"}
        assert ask(0, headers=forwarded)["sourceIPAddress"] == "198.51.100.7"
        hidden = {"X-Forwarded-For": "\u00fc, 198.51.100.7"}  # what the client wrote comes first
        assert ask(0, headers=hidden)["sourceIPAddress"] == "198.51.100.7"
        assert ask(0)["sourceIPAddress"] == "127.0.0.1"
        assert "vpcEndpointId" not in ask(0)
        record = ask(1, headers=forwarded)
        assert record["sourceIPAddress"] == "127.0.0.1"
        assert record["vpcEndpointId"] == "vpce-0123456789abcdef0"
        # What the transport proved is what policies ask for
        key_id = kms.client().create_key()["KeyMetadata"]["KeyId"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                },
                {
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "kms:DescribeKey",
                    "Resource": "*",
                    "Condition": {"StringNotEquals": {"aws:SourceVpce": "vpce-0123456789abcdef0"}},
                },
            ],
        }
        kms.client().put_key_policy(KeyId=key_id, Policy=json.dumps(policy))
        body = json.dumps({"KeyId": key_id}).encode()
        for index, expected in ((0, 400), (1, 200)):
            with (
                socket.create_connection(("127.0.0.1", made.endpoint.ports[index])) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as stream,
            ):
                stream.sendall(signed(Target.of(made), body, "TrentService.DescribeKey"))
                status, _, told = answer(stream)
                assert status == expected, told
        assert ask(2, header)["sourceIPAddress"] == "203.0.113.9"
        with pytest.raises(OSError):
            ask(3, header)
        with pytest.raises(OSError):
            ask(2, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n")


RANGES = ["127.0.2.0/24", "::1/128"]
OTHER_RANGES = ["127.0.3.0/24", "2001:db8::/32"]


def test_a_policy_of_two_address_ranges_decides_by_the_socket_s_address():
    """AWS's example for IPv4 and IPv6: NotIpAddress on aws:SourceIp with a range of each."""

    def policy(ranges: list[str]) -> str:
        root = "arn:aws:iam::000000000000:root"
        allow = {"Effect": "Allow", "Principal": {"AWS": root}, "Action": "kms:*", "Resource": "*"}
        deny = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "kms:DescribeKey",
            "Resource": "*",
            "Condition": {"NotIpAddress": {"aws:SourceIp": ranges}},
        }
        return json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]})

    # The last one takes IPv4 as well, whose addresses arrive mapped into IPv6
    listeners = (Listener(), Listener("::1"), Listener("::"))
    with KMS() as kms, serving(kms, listeners=listeners) as made:
        context = ssl.create_default_context(cafile=str(made.ca_path))
        key_id = kms.client().create_key()["KeyMetadata"]["KeyId"]
        body = json.dumps({"KeyId": key_id}).encode()

        def describe(index: int, host: str, source: str) -> tuple[int, str]:
            place = (host, made.endpoint.ports[index])
            with (
                socket.create_connection(place, timeout=20, source_address=(source, 0)) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as stream,
            ):
                # A client's own word about where it is counts for nothing
                headers = {"X-Forwarded-For": "127.0.2.1"}
                stream.sendall(signed(Target.of(made), body, "TrentService.DescribeKey", **headers))
                status, _, told = answer(stream)
            record = kms.audit_records()[-1]
            assert record["sourceIPAddress"] == source
            assert (status == 400) == (record.get("errorCode") == "AccessDeniedException"), told
            return status, str(told)

        for ranges, of_two, of_six in ((RANGES, 200, 200), (OTHER_RANGES, 400, 400)):
            kms.client().put_key_policy(KeyId=key_id, Policy=policy(ranges))
            for index in (0, 2):
                assert describe(index, "127.0.0.1", "127.0.2.7")[0] == of_two
                other = describe(index, "127.0.0.1", "127.0.3.7")
                assert other[0] == 600 - of_two
                if other[0] == 400:
                    assert "with an explicit deny" in other[1]
                assert describe(index, "127.0.0.1", "127.0.4.7")[0] == 400, "in none of them"
            for index in (1, 2):
                assert describe(index, "::1", "::1")[0] == of_six
