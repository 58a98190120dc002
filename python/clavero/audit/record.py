"""One CloudTrail-shaped record of one call, and its rendering as one line of JSON.

A record only holds references, so that the call pays little for it; the sink renders. Rendering
takes fragments that are the same for many calls from a cache and quotes every string with the
JSON encoder's C function, which escapes everything outside printable ASCII: a value can neither
end its string nor begin a new line. Source of the shape: AWS CloudTrail User Guide, "CloudTrail
record contents", and the KMS entries of the AWS KMS Developer Guide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from json.encoder import encode_basestring_ascii
from time import gmtime
from typing import Any, Final, Protocol, TypeAlias

from clavero._native import record_line

from .members import CHANGING, REQUEST, RESPONSE, SERVICE_EVENTS, SOURCES

EVENT_VERSION: Final = "1.11"
SERVICE: Final = "kms.amazonaws.com"
LOCAL_ADDRESS: Final = "127.0.0.1"
LOCAL_AGENT: Final = "clavero"
INTERNAL: Final = "AWS Internal"

# Bounds on what a caller can put into the log. AWS's largest legal string is a 32 KiB policy.
MAX_STRING: Final = 32_768
MAX_ITEMS: Final = 1_000
MAX_DEPTH: Final = 6
MAX_MEMBERS: Final = 65_536
MAX_FRAGMENTS: Final = 1_024

_quote: Callable[[str], str] = encode_basestring_ascii
_Filter: TypeAlias = dict[str, str]


def camel(name: str) -> str:
    """Return an API member's name as CloudTrail writes it: `KeyId` becomes `keyId`."""
    return name[:1].lower() + name[1:]


def _fragments(table: Mapping[str, tuple[str, ...]]) -> dict[str, _Filter]:
    return {
        operation: {name: f'"{camel(name)}":' for name in names}
        for operation, names in table.items()
    }


_REQUEST: Final = _fragments(REQUEST)
_RESPONSE: Final = _fragments(RESPONSE)
_NOTHING: Final[_Filter] = {}
_SCALARS: Final = frozenset({str, int, bool})
_INT_BOUND: Final = 1 << 64
_DATES: Final = frozenset({"CreationDate", "DeletionDate", "ValidTo"})
# fmt: off
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)
# fmt: on


class Transport(Protocol):
    """What is written of a connection: seven values that are read by their place."""

    def __iter__(self) -> Iterator[Any]:
        """TLS version, cipher suite, group, VPC endpoint, VPC, Host header, traceparent."""


class AuditRecord:
    """What is known of one call when it ends.

    `params` and `response` are the request and the answer as the operation has them; only the
    members that `members` lists are ever written. `resources` are the ARNs of the keys and
    aliases that the call reached, `time` is in epoch seconds, `extra` becomes
    additionalEventData. An empty `principal_arn` stands for the service itself.
    """

    __slots__ = (
        "account",
        "error_code",
        "error_message",
        "event_id",
        "extra",
        "operation",
        "params",
        "principal_arn",
        "region",
        "request_id",
        "resources",
        "response",
        "source_ip",
        "time",
        "transport",
        "user_agent",
    )

    def __init__(
        self,
        operation: str,
        region: str,
        account: str,
        principal_arn: str,
        params: Mapping[str, object] | None,
        resources: tuple[str, ...],
        request_id: str,
        time: float,
        error_code: str | None = None,
        error_message: str | None = None,
        extra: Mapping[str, object] | None = None,
        response: Mapping[str, object] | None = None,
        source_ip: str = LOCAL_ADDRESS,
        user_agent: str = LOCAL_AGENT,
        transport: Transport | None = None,
    ) -> None:
        """Take the call's facts by reference."""
        self.operation = operation
        self.region = region
        self.account = account
        self.principal_arn = principal_arn
        self.params = params
        self.resources = resources
        self.request_id = request_id
        self.time = time
        self.error_code = error_code
        self.error_message = error_message
        self.extra = extra
        self.response = response
        self.source_ip = source_ip
        self.user_agent = user_agent
        self.transport = transport
        self.event_id = ""

    def detach(self) -> None:
        """Let go of every member that is not to be written, and of the caller's own objects.

        For a sink that keeps records and renders them later: it must hold no plaintext, and what
        the caller does to an encryption context after the call must not change the record.
        """
        params = self.params
        if params is not None:
            self.params = _copied(params, _REQUEST.get(self.operation, _NOTHING))
        if self.response is not None:
            self.response = _copied(self.response, _RESPONSE.get(self.operation, _NOTHING))
        if self.extra is not None:
            self.extra = dict(self.extra)


def _copied(source: Mapping[str, object], allowed: _Filter) -> Mapping[str, object]:
    kept: dict[str, object] = {}
    for name, value in source.items():
        if name in allowed:
            if type(value) in _SCALARS:
                kept[name] = value
            else:
                kept[name] = (type(value) is dict and _plain(value)) or _snapshot(value, 0)
    return kept


def _plain(value: dict[Any, object]) -> dict[Any, object] | None:
    """Return a copy of a mapping of strings, which nearly every context is, else None."""
    copy = value.copy()
    if len(copy) > MAX_ITEMS:
        return None
    for key, each in copy.items():
        if type(key) is not str or type(each) is not str:
            return None
    return copy


def _snapshot(value: object, depth: int) -> object:
    """Return a scalar as it is, a copy of a container, and a placeholder for anything else."""
    if value is None or isinstance(value, (str, int, float, datetime)):
        return value
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            return {
                key if type(key) is str else _placeholder(key): (
                    each if type(each) is str else _snapshot(each, depth + 1)
                )
                for key, each in islice(value.items(), MAX_ITEMS)
            }
        if isinstance(value, (list, tuple)):
            return [_snapshot(each, depth + 1) for each in value[:MAX_ITEMS]]
    return _placeholder(value)


def _placeholder(value: object) -> str:
    return f"<{type(value).__name__}>"


def line(record: AuditRecord) -> bytes:
    """Return the record as one line of JSON with its newline.

    What `render` gives; the extension writes it where nothing about the record is unusual.
    """
    if record.error_code is None and not record.extra and not record.response:
        key = (record.operation, record.principal_arn, record.region, record.account)
        made = record_line(
            _cache.get(key) or _remember(key),
            _instant(record.time),
            record.source_ip,
            record.user_agent,
            record.params,
            record.request_id,
            record.event_id,
            record.resources,
            record.transport,
        )
        if made is not None:
            return made
    return (render(record) + "\n").encode("ascii")


def render(record: AuditRecord) -> str:
    """Return the record as one line of JSON without its newline.

    `record.event_id` must be set. Never fails on what a caller sent: a value that is no JSON is
    written as its type's name, and one that is too long is cut.
    """
    operation = record.operation
    key = (operation, record.principal_arn, record.region, record.account)
    fragments = _cache.get(key)
    if fragments is None:
        fragments = _remember(key)
    head, middle, tail, allowed_in, allowed_out = fragments
    params = record.params
    request = _members(params, allowed_in) if params else "null"
    response = record.response
    answer = _members(response, allowed_out) if response else "null"
    error = ""
    if record.error_code is not None:
        error = f'"errorCode":{_string(record.error_code)},"errorMessage":' + (
            _string(record.error_message or "") + ","
        )
    extra = record.extra
    resources = record.resources
    if record.transport is not None:
        trace, connection = _transport(record.transport)
        tail = tail[:-1] + connection + "}"
        if trace is not None:
            extra = {**(extra or _NOTHING), "traceparent": trace}
    more = f'"additionalEventData":{_object("", extra, 0)},' if extra else ""
    return (
        f'{head}{_instant(record.time)}{middle}{_quote(record.source_ip)},"userAgent":'
        f'{_string(record.user_agent)},{error}"requestParameters":{request},'
        f'"responseElements":{answer},{more}"requestID":{_quote(record.request_id)},'
        f'"eventID":{_quote(record.event_id)},"resources":['
        f"{_resources(resources) if resources else ''}{tail}"
    )


def _transport(transport: Transport) -> tuple[str | None, str]:
    """Return traceparent, and vpcEndpointId and tlsDetails, which come last in a record."""
    tls_version, cipher_suite, key_exchange, vpce, _vpc, host, trace = transport
    found = f',"vpcEndpointId":{_string(vpce)}' if vpce is not None else ""
    if tls_version is None or cipher_suite is None:
        return trace, found
    group = f',"keyExchange":{_string(key_exchange)}' if key_exchange else ""
    return trace, (
        f'{found},"tlsDetails":{{"tlsVersion":{_string(tls_version)},"cipherSuite":'
        f'{_string(cipher_suite)},"clientProvidedHostHeader":{_string(host)}{group}}}'
    )


_Fragments: TypeAlias = tuple[str, str, str, _Filter, _Filter]
_cache: dict[tuple[str, str, str, str], _Fragments] = {}


def _remember(key: tuple[str, str, str, str]) -> _Fragments:
    operation, principal, region, account = key
    identity = _identity(principal, account)
    kind = "AwsServiceEvent" if operation in SERVICE_EVENTS else "AwsApiCall"
    read_only = "false" if operation in CHANGING else "true"
    made = (
        f'{{"eventVersion":"{EVENT_VERSION}","userIdentity":{identity},"eventTime":"',
        f'","eventSource":"{SOURCES.get(operation, SERVICE)}","eventName":{_string(operation)},'
        f'"awsRegion":{_string(region)},"sourceIPAddress":',
        f'],"readOnly":{read_only},"eventType":"{kind}","managementEvent":true,'
        f'"recipientAccountId":{_string(account)},"eventCategory":"Management"}}',
        _REQUEST.get(operation, _NOTHING),
        _RESPONSE.get(operation, _NOTHING),
    )
    if len(_cache) >= MAX_FRAGMENTS:  # callers choose principals and Regions, so it has a bound
        _cache.clear()
    _cache[key] = made
    return made


def _identity(principal: str, account: str) -> str:
    """Return userIdentity, told from the form of the principal's ARN."""
    if not principal:
        return f'{{"accountId":{_string(account)},"invokedBy":"{INTERNAL}"}}'
    parts = principal.split(":", 5)
    owner = parts[4] if len(parts) == 6 and parts[4] else account
    name = parts[5] if len(parts) == 6 else ""
    kind, user = "Unknown", ""
    if name == "root":
        kind = "Root"
    elif name.startswith("user/"):
        kind, user = "IAMUser", name.rsplit("/", 1)[1]
    elif name.startswith("assumed-role/"):
        kind = "AssumedRole"
    elif name.startswith("federated-user/"):
        kind = "FederatedUser"
    elif name.startswith("role/"):
        kind = "Role"
    identity = owner if kind == "Root" else principal
    members = (
        f'{{"type":"{kind}","principalId":{_string(identity)},"arn":{_string(principal)},'
        f'"accountId":{_string(owner)}'
    )
    return members + (f',"userName":{_string(user)}}}' if user else "}")


def _resources(arns: Sequence[str]) -> str:
    return ",".join([_resource(arn) for arn in arns])


def _resource(arn: str) -> str:
    # Not remembered: with many keys in use, looking them up costs more than making the text.
    _, _, _, _, account, name = arn.split(":", 5) if arn.count(":") > 4 else ("",) * 6
    kind = "AWS::KMS::Alias" if name[:6] == "alias/" else "AWS::KMS::Key"
    return f'{{"accountId":{_quote(account)},"type":"{kind}","ARN":{_string(arn)}}}'


def _members(source: Mapping[str, object], allowed: _Filter) -> str:
    parts: list[str] = []
    for name, value in source.items():
        prefix = allowed.get(name)
        if prefix is not None and value is not None:
            if type(value) is str and len(value) <= MAX_STRING:
                parts.append(prefix + _quote(value))
            elif type(value) is dict:
                parts.append(prefix + _object(name, value, 0))
            else:
                parts.append(prefix + _value(name, value, 0))
    if not parts:
        return "null"
    text = ",".join(parts)
    if len(text) > MAX_MEMBERS:
        return f'{{"omitted":true,"originalSize":{len(text)},"reason":"larger than {MAX_MEMBERS}"}}'
    return "{" + text + "}"


def _value(name: str, value: object, depth: int) -> str:
    """Render the member `name`. Whatever JSON has no form for becomes the name of its type."""
    if isinstance(value, str):
        return _string(value)
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _number(name, value)
    if isinstance(value, datetime):
        return _string(_date(value.timestamp()))
    if depth < MAX_DEPTH:
        if type(value) is dict or isinstance(value, Mapping):
            return _object(name, value, depth)
        if isinstance(value, (list, tuple)):
            items = [_value(name, each, depth + 1) for each in value[:MAX_ITEMS]]
            return "[" + ",".join(items) + "]"
    return _string(_placeholder(value))


def _object(name: str, value: Mapping[Any, object], depth: int) -> str:
    # The names in an encryption context are the caller's own, and case matters in them.
    verbatim = not name or "EncryptionContext" in name
    parts: list[str] = []
    for key, each in islice(value.items(), MAX_ITEMS):
        if verbatim and type(key) is str and type(each) is str:
            parts.append(f"{_string(key)}:{_string(each)}")
            continue
        label = key if isinstance(key, str) else _placeholder(key)
        shown = label if verbatim else camel(label)
        parts.append(f"{_string(shown)}:{_value(label, each, depth + 1)}")
    return "{" + ",".join(parts) + "}"


def _string(value: str) -> str:
    if len(value) > MAX_STRING:
        value = f"{value[:256]}... ({len(value)} characters)"
    return _quote(value)


def _number(name: str, value: float) -> str:
    if isinstance(value, float):
        if not math.isfinite(value):
            return _string(repr(value))
        return _string(_date(value)) if name in _DATES else float.__repr__(value)
    # An integer of thousands of digits has no decimal text in Python, nor a place in a log.
    return int.__repr__(value) if -_INT_BOUND < value < _INT_BOUND else '"<int>"'


def _date(epoch: float) -> str:
    """Return a date inside an answer as CloudTrail writes it: `Apr 12, 2021, 6:58:30 PM`."""
    try:
        at = gmtime(epoch)
    except (OverflowError, ValueError, OSError):
        return repr(epoch)
    half = "AM" if at.tm_hour < 12 else "PM"
    return (
        f"{_MONTHS[at.tm_mon - 1]} {at.tm_mday}, {at.tm_year}, "
        f"{(at.tm_hour + 11) % 12 + 1}:{at.tm_min:02}:{at.tm_sec:02} {half}"
    )


_last: tuple[int, str] = (0, "1970-01-01T00:00:00Z")


def _instant(epoch: float) -> str:
    """Return eventTime, which CloudTrail gives to the second. Most calls share their second."""
    global _last
    second = int(epoch // 1)
    known, text = _last  # one read: another thread may put a new pair there meanwhile
    if known == second:
        return text
    at = gmtime(second)
    text = (
        f"{at.tm_year:04}-{at.tm_mon:02}-{at.tm_mday:02}"
        f"T{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}Z"
    )
    _last = (second, text)
    return text
