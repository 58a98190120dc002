"""One HTTP exchange with KMS, whatever carries it: headers and body in, status and body out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from clavero.model.errors import KMSError
from clavero.ops.call import Call
from clavero.wire import json11

if TYPE_CHECKING:
    from clavero.iam.principals import Principal
    from clavero.ops.call import Transport
    from clavero.ops.directory import Scope
    from clavero.service import Service

# Parameters that nobody has read yet. No dict, so that the pipeline asks for them whatever they
# are, and refuses, on record, what cannot be read.
_UNREAD: Final[Mapping[str, Any]] = MappingProxyType({})


class Request(NamedTuple):
    """What of an HTTP request matters to KMS. Who sent it was established before."""

    target: str | None  # X-Amz-Target
    content_type: str | None
    body: bytes
    user_agent: str = ""
    source_ip: str = "127.0.0.1"
    transport: Transport | None = None  # what a connection proved; None in process


class Answer(NamedTuple):
    """An HTTP answer. The carrier adds what is its own: Date, Content-Length, Connection."""

    status: int
    headers: dict[str, str]
    body: bytes


def answer(service: Service, request: Request, principal: Principal, scope: Scope) -> Answer:
    """Have the service answer a request of `principal` in `scope`. Every refusal is an answer."""
    status, request_id, body = respond(service, request, principal, scope)
    return Answer(status, _headers(request_id), body)


def respond(
    service: Service, request: Request, principal: Principal, scope: Scope
) -> tuple[int, str, bytes]:
    """The same as status, request id and body: the headers are the carrier's own."""
    try:
        operation = json11.operation_of(request.target, request.content_type)
    except KMSError as error:  # no operation of ours: no call, no record
        return error.http_status, service.new_request_id(), json11.encode_error(error)
    body = request.body
    call = Call(
        operation,
        _UNREAD,
        principal,
        scope,
        lambda operation, _unread: json11.decode(operation, body),
        request.source_ip,
        request.user_agent,
        request.transport,
    )
    try:
        response = service.handle(call)
    except KMSError as error:
        request_id = call.request_id or service.new_request_id()
        return error.http_status, request_id, json11.encode_error(error)
    return 200, call.request_id, json11.encode(operation, response)


def refusal(error: KMSError, request_id: str) -> Answer:
    """The answer to a request that is no call."""
    return Answer(error.http_status, _headers(request_id), json11.encode_error(error))


def _headers(request_id: str) -> dict[str, str]:
    return {
        "x-amzn-RequestId": request_id,
        "Content-Type": json11.CONTENT_TYPE,
        # As AWS: what KMS answers is kept by nobody on the way.
        "Cache-Control": "no-cache, no-store, must-revalidate, private",
    }
