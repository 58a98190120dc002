"""Signatures over the wire: every changed bit, replays, names of the host, a second signer."""

from __future__ import annotations

import datetime
import json
import re
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from typing import NamedTuple

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.conftest import service_model
from tests.server.raw import JSON, Target, answer, connected

from clavero import KMS
from clavero.testing import serving

KMS_HEADERS = {"X-Amz-Target": "TrentService.DescribeKey", "Content-Type": JSON}

# What the two protocols say of a signature: an operation that is not there would be none of them
CODE = re.compile(rb'(?:"__type":"|<Code>)(\w+)')
OF_SIGNATURES = {
    b"InvalidSignatureException",
    b"IncompleteSignatureException",
    b"MissingAuthenticationTokenException",
    b"UnrecognizedClientException",
    b"SignatureDoesNotMatch",
    b"IncompleteSignature",
    b"MissingAuthenticationToken",
    b"InvalidClientTokenId",
}
NO_HTTP = {0, 400}  # refused by the parser of HTTP, or cut off


class Whole(NamedTuple):
    """A request: its head line by line, and its body."""

    method: bytes
    path: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def raw(self) -> bytes:
        lines = [b"%s %s HTTP/1.1" % (self.method, self.path)]
        lines += [b"%s: %s" % header for header in self.headers]
        return b"\r\n".join([*lines, b"Content-Length: %d" % len(self.body)]) + (
            b"\r\n\r\n" + self.body
        )

    def changed(self) -> Iterator[Whole]:
        """The request with one bit changed, for each bit of all that has a meaning in it.

        Left out is what means the same: the case of a letter in a header's name.
        """
        for method in bits(self.method):
            yield self._replace(method=method)
        for path in bits(self.path):
            yield self._replace(path=path)
        for body in bits(self.body):
            yield self._replace(body=body)
        for index, (name, value) in enumerate(self.headers):
            for other in bits(name):
                if other.lower() != name.lower():
                    yield self._with_header(index, (other, value))
            for other in bits(value):
                yield self._with_header(index, (name, other))

    def _with_header(self, index: int, header: tuple[bytes, bytes]) -> Whole:
        headers = [*self.headers]
        headers[index] = header
        return self._replace(headers=headers)


def bits(part: bytes) -> Iterator[bytes]:
    for at in range(len(part)):
        for bit in range(8):
            yield part[:at] + bytes([part[at] ^ 1 << bit]) + part[at + 1 :]


def signed(
    target: Target,
    service: str = "kms",
    body: bytes = b"{}",
    query: str = "",
    host: str = "",
    **more: str,
) -> Whole:
    """A request that botocore signed: POST for KMS; GET where there is a query, as for STS."""
    headers = {**KMS_HEADERS, **more} if service == "kms" else more
    method = "GET" if query else "POST"
    host = host or f"localhost:{target.port}"
    request = AWSRequest(method, f"https://{host}/", headers, body, dict(_pairs(query)))
    request.headers["Host"] = host
    credentials = Credentials(target.access_key_id, target.secret_access_key)
    SigV4Auth(credentials, service, target.region).add_auth(request)
    written = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    return Whole(method.encode(), f"/?{query}".rstrip("?").encode(), written, body)


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        yield name, value


class Asking:
    """Asks one request after the other, on one connection as long as it is kept."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stack = ExitStack()
        self._stream: ssl.SSLSocket | None = None

    def __call__(self, request: Whole) -> tuple[int, bytes]:
        """Status and body; (0, b"") where the connection was ended without an answer."""
        if self._stream is None:
            self._stream = self._stack.enter_context(connected(self._target))
        try:
            self._stream.sendall(request.raw())
            status, headers, body = answer(self._stream)
        except OSError:
            status, headers, body = 0, {"connection": "close"}, b""
        if headers.get("connection") == "close":
            self.close()
        return status, body

    def close(self) -> None:
        self._stack.close()
        self._stream = None


@pytest.fixture(scope="module")
def kms():
    with KMS() as made:
        yield made


@pytest.fixture(scope="module")
def target(kms):
    with serving(kms) as served:
        yield Target.of(served)


@pytest.fixture
def ask(target):
    asking = Asking(target)
    yield asking
    asking.close()


@pytest.fixture(scope="module")
def described(kms) -> bytes:
    """The body of a call on a key that is there."""
    return json.dumps({"KeyId": kms.client().create_key()["KeyMetadata"]["KeyId"]}).encode()


@pytest.mark.parametrize("service", ["kms", "sts"])
def test_no_request_with_a_changed_bit_is_a_call(kms, target, ask, described, service):
    # Every other value of every byte: rust/edge/tests/sigv4.rs, which no socket slows down
    query = "Action=GetCallerIdentity&Version=2011-06-15"
    genuine = {
        "kms": signed(target, body=described),
        "sts": signed(target, "sts", b"", query),
    }[service]
    assert ask(genuine)[0] == 200
    recorded, tried = len(kms.audit_records()), 0
    for changed in genuine.changed():
        status, body = ask(changed)
        refusal = CODE.search(body)
        assert (refusal[1] in OF_SIGNATURES) if refusal else (status in NO_HTTP), (changed, body)
        tried += 1
    assert tried > 2000
    assert len(kms.audit_records()) == recorded, "none came as far as the pipeline"
    assert ask(genuine)[0] == 200


# --- replays -------------------------------------------------------------------------------------


def at(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """Have botocore sign for a time that is so far from now."""
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: then)


@pytest.mark.parametrize("seconds", [-290, 290])
def test_a_replay_within_the_window_is_answered_as_by_aws(
    target, ask, described, monkeypatch, seconds
):
    at(monkeypatch, seconds)
    captured = signed(target, body=described)
    assert [ask(captured)[0] for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (-302, "Signature expired: "),
        (-86_400, "Signature expired: "),
        (310, "Signature not yet current: "),
    ],
)
def test_a_replay_outside_the_window_is_refused(  # its edge: rust/edge/tests/sigv4.rs
    kms, target, ask, described, monkeypatch, seconds, says
):
    at(monkeypatch, seconds)
    recorded = len(kms.audit_records())
    status, body = ask(signed(target, body=described))
    told = json.loads(body)
    assert (status, told["__type"]) == (400, "InvalidSignatureException")
    assert told["message"].startswith(says)
    status, body = ask(signed(target, "sts", b"", "Action=GetCallerIdentity&Version=2011-06-15"))
    assert status == 403
    assert b"<Code>SignatureDoesNotMatch</Code>" in body
    assert says.encode() in body
    assert len(kms.audit_records()) == recorded


# --- hosts, signers, protocols -------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "kms.us-east-1.amazonaws.com", "KMS.example:8443"]
)
def test_the_host_is_what_the_client_signed_with_and_without_a_port(target, ask, host):
    request = signed(target, body=b"{}", host=host, **{"X-Amz-Target": "TrentService.ListKeys"})
    assert ask(request)[0] == 200
    other = [
        (name, b"localhost:1" if name == b"Host" else value) for name, value in request.headers
    ]
    status, body = ask(request._replace(headers=other))
    assert (status, json.loads(body)["__type"]) == (400, "InvalidSignatureException")


def test_what_aws_s_library_in_c_signs(target, ask, described):
    from awscrt import auth, http

    host = f"localhost:{target.port}"
    headers = http.HttpHeaders([("Host", host), *KMS_HEADERS.items()])
    request = http.HttpRequest("POST", "/", headers, BytesIO(described))
    signing = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(
            target.access_key_id, target.secret_access_key
        ),
        region=target.region,
        service="kms",
        signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
    )
    done = auth.aws_sign_request(request, signing).result(30)
    written = [(name.encode(), value.encode()) for name, value in done.headers]
    assert b"x-amz-content-sha256" in {name.lower() for name, _ in written}
    whole = Whole(b"POST", b"/", written, described)
    assert ask(whole)[0] == 200
    assert ask(whole._replace(body=described[:-1] + b" "))[0] == 400


def test_cbor_is_not_spoken_as_long_as_aws_s_model_has_only_json(target, ask, kms):
    assert service_model().metadata["protocols"] == ["json"]
    request = signed(
        target,
        body=b"\xa0",
        **{
            "Content-Type": "application/cbor",
            "Smithy-Protocol": "rpc-v2-cbor",
            "Accept": "application/cbor",
        },
    )
    status, body = ask(request)
    assert (status, json.loads(body)) == (400, {"__type": "UnknownOperationException"})
    recorded = len(kms.audit_records())
    path = request._replace(path=b"/service/TrentService/operation/ListKeys")
    assert ask(path)[0] == 400, "its signature is of another path"
    assert len(kms.audit_records()) == recorded
