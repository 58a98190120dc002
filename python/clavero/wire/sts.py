"""AWS query protocol as STS speaks it, and the way to IAM. The pipeline answers, as all else.

Source: AWS STS API Reference (version 2011-06-15), and "Common Errors" there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from clavero.model import iam_errors
from clavero.model.errors import KMSError
from clavero.ops.call import Call, CallOperation
from clavero.ops.identity import GET_CALLER_IDENTITY
from clavero.ops.sts import OPERATIONS, StsOperation
from clavero.wire import query

if TYPE_CHECKING:
    from clavero.iam.principals import Principal
    from clavero.ops.directory import Scope
    from clavero.service import Service
    from clavero.wire.exchange import Request

VERSION: Final = "2011-06-15"
_NAMESPACE: Final = f"https://sts.amazonaws.com/doc/{VERSION}/"
# Fifty tags are a hundred parameters; many more are no request of this service.
_MAX_PARAMETERS: Final = 256
_OPERATIONS: Final[Mapping[str, CallOperation]] = {
    GET_CALLER_IDENTITY.name: GET_CALLER_IDENTITY,
    **OPERATIONS,
}
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
# The parts of a list's member by kind, and how operations call them.
_MEMBERS: Final[Mapping[str, Mapping[str, str]]] = {
    "list": {"": ""},
    "arns": {"arn": ""},
    "tags": {"Key": "TagKey", "Value": "TagValue"},
}
_UNREAD: Final[Mapping[str, Any]] = MappingProxyType({})
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
    operation = _OPERATIONS.get(action)
    if operation is None or version != VERSION:
        return _refused(
            service.new_request_id(),
            "InvalidAction",
            f"Could not find operation {action[:64]} for version {version[:64]}",
        )
    call = Call(
        operation,
        _UNREAD,
        principal,
        scope,
        lambda _operation, _unread: _read(operation, form),
        source_ip=request.source_ip,
        user_agent=request.user_agent,
        transport=request.transport,
    )
    try:
        found = service.handle(call)
    except KMSError as error:
        return refusal(error, call.request_id or service.new_request_id())
    text = (
        f'<{action}Response xmlns="{_NAMESPACE}">\n  <{action}Result>\n'
        f"{_written(found, 4)}  </{action}Result>\n  <ResponseMetadata>\n"
        f"    <RequestId>{call.request_id}</RequestId>\n"
        f"  </ResponseMetadata>\n</{action}Response>\n"
    )
    return 200, call.request_id, text.encode()


def _read(operation: CallOperation, form: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of a form. ValidationError for what is not of its kind."""
    if not isinstance(operation, StsOperation):
        return {}
    found: dict[str, Any] = {}
    for name, kind in operation.parameters.items():
        text = form.get(name)
        if kind == "text" and text is not None:
            found[name] = text
        elif kind == "number" and text is not None:
            if _NUMBER.fullmatch(text) is None:
                raise iam_errors.constraint(name, text, "Member must be a number")
            found[name] = int(text)
        elif kind in _MEMBERS:
            members = _members(f"{name}.member.", form)
            if members:
                found[name] = [_member(name, kind, each) for each in members]
    return found


def _members(prefix: str, form: Mapping[str, str]) -> list[dict[str, str]]:
    """The members of a list in the order of their numbers, each by what follows its number."""
    found: dict[int, dict[str, str]] = {}
    for name, text in form.items():
        number, _, part = name.removeprefix(prefix).partition(".")
        if name.startswith(prefix) and _NUMBER.fullmatch(number) is not None:
            found.setdefault(int(number), {})[part] = text
    return [found[number] for number in sorted(found)]


def _member(name: str, kind: str, given: Mapping[str, str]) -> Any:
    """One member; tags get the names that KMS's operations give their parts."""
    parts = _MEMBERS[kind]
    if given.keys() != parts.keys():
        raise iam_errors.constraint(name, "", f"Member must have {' and '.join(parts) or 'a text'}")
    if kind == "tags":
        return {named: given[part] for part, named in parts.items()}
    return next(iter(given.values()))


def _written(members: Mapping[str, Any], indent: int) -> str:
    space = " " * indent
    text = ""
    for name, value in members.items():
        if isinstance(value, Mapping):
            text += f"{space}<{name}>\n{_written(value, indent + 2)}{space}</{name}>\n"
            continue
        if isinstance(value, datetime):
            value = value.strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: PLW2901 (as it is written)
        text += f"{space}<{name}>{escape(str(value))}</{name}>\n"
    return text


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
