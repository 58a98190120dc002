"""AWS query protocol as IAM speaks it: forms in, XML out.

Source: botocore's model of IAM (version 2010-05-08): lists are of `member`, no shape is flattened,
times are ISO 8601 in seconds, and policy documents in answers are URL-encoded (RFC 3986).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from xml.sax.saxutils import escape

from clavero.model import iam_errors
from clavero.model.errors import KMSError
from clavero.model.iam_api import IAM_OPERATIONS, VERSION, IamOperation, Parameter
from clavero.ops.call import Call

if TYPE_CHECKING:
    from clavero.iam.principals import Principal
    from clavero.ops.directory import Scope
    from clavero.service import Service
    from clavero.wire.exchange import Request

_NAMESPACE: Final = f"https://iam.amazonaws.com/doc/{VERSION}/"
_INTEGER: Final = re.compile(r"[0-9]{1,9}")
# `Tags.member.1.Key`: inside, tags have the names that KMS's operations give them.
_TAG: Final = {"Key": "TagKey", "Value": "TagValue"}
_DOCUMENTS: Final = frozenset({"PolicyDocument", "AssumeRolePolicyDocument", "Document"})
_TIMES: Final = frozenset({"CreateDate", "UpdateDate", "AttachmentDate"})
_UNREAD: Final[Mapping[str, Any]] = MappingProxyType({})
# The pipeline's codes of what befalls any call, in AWS query's words.
_CODES: Final = {
    "AccessDeniedException": ("AccessDenied", 403),
    "KMSInternalException": ("ServiceFailure", 500),
    "ServiceUnavailableException": ("ServiceUnavailable", 503),
    "ThrottlingException": ("Throttling", 400),
}


def is_ours(form: Mapping[str, str]) -> bool:
    """Whether a form is a request to IAM."""
    return form.get("Version") == VERSION


def respond(
    service: Service,
    request: Request,
    form: Mapping[str, str],
    principal: Principal,
    scope: Scope,
) -> tuple[int, str, bytes]:
    """Status, request id and body of the answer to a form. Every refusal is an answer."""
    operation = IAM_OPERATIONS.get(form.get("Action", ""))
    if operation is None:
        action = form.get("Action", "")[:64]
        unknown = f"Could not find operation {action} for version {VERSION}"
        error = KMSError("InvalidAction", unknown, http_status=400)
        return _refused(error, service.new_request_id())
    call = Call(
        operation,
        _UNREAD,
        principal,
        scope,
        lambda _operation, _unread: read(operation, form),
        request.source_ip,
        request.user_agent,
        request.transport,
    )
    try:
        answer = service.handle(call)
    except KMSError as error:
        return _refused(error, call.request_id or service.new_request_id())
    return 200, call.request_id, written(operation.name, answer, call.request_id)


# --- reading -------------------------------------------------------------------------------------


def read(operation: IamOperation, form: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of a form. ValidationError for what is no value of its kind."""
    found: dict[str, Any] = {}
    for parameter in operation.parameters.values():
        value = _value(parameter, form)
        if value is not None:
            found[parameter.name] = value
    return found


def _value(parameter: Parameter, form: Mapping[str, str]) -> Any:
    name, kind = parameter.name, parameter.kind
    if kind == "list":
        found = _members(f"{name}.member.", form)
        return [each[""] for each in found if "" in each] or None
    if kind == "tags":
        tags = [
            {_TAG[part]: text for part, text in each.items() if part in _TAG}
            for each in _members(f"{name}.member.", form)
        ]
        if any(each.keys() != {"TagKey", "TagValue"} for each in tags):
            raise iam_errors.invalid_input("Each tag must have a Key and a Value.")
        return tags or None
    text = form.get(name)
    if text is None or kind == "text":
        return text
    if kind == "number" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "truth" and text in {"true", "false"}:
        return text == "true"
    raise KMSError("MalformedInput", f"{name} must be a {kind}, not {text[:32]!r}", http_status=400)


def _members(prefix: str, form: Mapping[str, str]) -> list[dict[str, str]]:
    """The members of a list in order, each by what follows its number."""
    found: dict[int, dict[str, str]] = {}
    for name, text in form.items():
        if name.startswith(prefix):
            number, _, part = name.removeprefix(prefix).partition(".")
            if _INTEGER.fullmatch(number):
                found.setdefault(int(number), {})[part] = text
    return [found[number] for number in sorted(found)]


# --- writing -------------------------------------------------------------------------------------


def written(operation: str, answer: Mapping[str, Any], request_id: str) -> bytes:
    """An answer as XML."""
    # Where AWS has an empty result, botocore looks for it; elsewhere nobody does
    result = f"<{operation}Result>{''.join(_structure(answer))}</{operation}Result>"
    text = (
        f'<{operation}Response xmlns="{_NAMESPACE}">{result}<ResponseMetadata><RequestId>'
        f"{request_id}</RequestId></ResponseMetadata></{operation}Response>"
    )
    return text.encode()


def _structure(members: Mapping[str, Any]) -> Iterator[str]:
    for name, value in members.items():
        if value is not None:
            yield f"<{name}>{_written(name, value)}</{name}>"


def _written(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return "".join(_structure(value))
    if isinstance(value, list):
        return "".join(f"<member>{_written('', each)}</member>" for each in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if name in _TIMES:
        at = datetime.fromtimestamp(float(value), UTC).replace(microsecond=0)
        return at.isoformat().replace("+00:00", "Z")
    text = str(value)
    return escape(quote(text, safe="") if name in _DOCUMENTS else text)


def _refused(error: KMSError, request_id: str) -> tuple[int, str, bytes]:
    code, status = _CODES.get(error.code, (error.code, error.http_status))
    kind = "Sender" if status < 500 else "Receiver"
    text = (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>{kind}</Type><Code>{code}</Code>'
        f"<Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return status, request_id, text.encode()
