"""AWS query protocol: STS, for the one operation that a KMS client may need, and the way to IAM.

Source: AWS STS API Reference, "GetCallerIdentity" (version 2011-06-15) and "Common Errors". It asks
for no permission and for nothing but a valid signature. The pipeline answers it, as all else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from clavero.model.errors import KMSError
from clavero.ops.call import Call
from clavero.ops.identity import GET_CALLER_IDENTITY
from clavero.wire import query

if TYPE_CHECKING:
    from clavero.iam.principals import Principal
    from clavero.ops.directory import Scope
    from clavero.service import Service
    from clavero.wire.exchange import Request

VERSION: Final = "2011-06-15"
_NAMESPACE: Final = f"https://sts.amazonaws.com/doc/{VERSION}/"
# Fifty tags are a hundred parameters; many more are no request of IAM's.
_MAX_PARAMETERS: Final = 256
# The pipeline's names for what befalls any call, in AWS query's words.
_CODES: Final = {
    "AccessDeniedException": ("AccessDenied", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "KMSInternalException": ("InternalFailure", 500),
    "ServiceUnavailableException": ("ServiceUnavailable", 503),
    "ThrottlingException": ("Throttling", 400),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
}


def respond(
    service: Service, request: Request, principal: Principal, scope: Scope
) -> tuple[int, str, bytes]:
    """Status, request id and body of the answer to a form."""
    try:
        pairs = parse_qsl(
            request.body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        return _refused(service.new_request_id(), "MalformedQueryString", "The request is no form.")
    form = dict(pairs)
    if len(form) != len(pairs):
        return _refused(
            service.new_request_id(), "MalformedQueryString", "A parameter stands twice."
        )
    if query.is_ours(form):
        return query.respond(service, request, form, principal, scope)
    action, version = form.get("Action", ""), form.get("Version", "")
    if action != GET_CALLER_IDENTITY.name or version != VERSION:
        return _refused(
            service.new_request_id(),
            "InvalidAction",
            f"Could not find operation {action[:64]} for version {version[:64]}",
        )
    call = Call(
        GET_CALLER_IDENTITY,
        {},
        principal,
        scope,
        source_ip=request.source_ip,
        user_agent=request.user_agent,
        transport=request.transport,
    )
    try:
        found = service.handle(call)
    except KMSError as error:  # it cannot be put on record, or the KMS ends
        return refusal(error, call.request_id or service.new_request_id())
    request_id = call.request_id
    text = (
        f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}">\n'
        "  <GetCallerIdentityResult>\n"
        f"    <Arn>{escape(found['Arn'])}</Arn>\n"
        f"    <UserId>{escape(found['UserId'])}</UserId>\n"
        f"    <Account>{escape(found['Account'])}</Account>\n"
        "  </GetCallerIdentityResult>\n"
        "  <ResponseMetadata>\n"
        f"    <RequestId>{request_id}</RequestId>\n"
        "  </ResponseMetadata>\n"
        "</GetCallerIdentityResponse>\n"
    )
    return 200, request_id, text.encode()


def refusal(error: KMSError, request_id: str) -> tuple[int, str, bytes]:
    """The answer to a call that was refused, in AWS query's words."""
    code, status = _CODES.get(error.code, (error.code, error.http_status))
    return _refused(request_id, code, error.message, status)


def _refused(request_id: str, code: str, message: str, status: int = 400) -> tuple[int, str, bytes]:
    kind = "Sender" if status < 500 else "Receiver"
    text = (
        f'<ErrorResponse xmlns="{_NAMESPACE}">\n  <Error>\n    <Type>{kind}</Type>\n'
        f"    <Code>{code}</Code>\n    <Message>{escape(message)}</Message>\n  </Error>\n"
        f"  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n"
    )
    return status, request_id, text.encode()
