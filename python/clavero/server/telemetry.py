"""OpenTelemetry (`clavero serve --otel`, extra `clavero[otel]`): a span for each call.

Where spans go is said by OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT and its like,
OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_SDK_DISABLED. This module is imported when it is asked
for, and with it the SDK. Names: OpenTelemetry's semantic conventions for RPC and AWS.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from clavero import __version__
from clavero.model.iam_api import IAM_OPERATIONS
from clavero.model.operations import OPERATIONS

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from clavero.server.answering import Caller, Connection

Answer: TypeAlias = "tuple[int, str, bytes]"
# `Answering.answer`
AnswerCall: TypeAlias = "Callable[..., Answer]"

_NO_OPERATION: Final = "UnknownOperation"
_STS: Final = "GetCallerIdentity"
_ACTION: Final = re.compile(rb"(?:^|&)Action=([A-Za-z]+)(?:&|$)")
_PROTOCOL: Final = "http/protobuf"


class Telemetry:
    """Spans of the calls of an endpoint, exported until `close`.

    `exporter` takes them in place of OTLP over HTTP. Raises ValueError for variables that ask for
    what is not built in.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        resource = Resource.create({SERVICE_VERSION: __version__})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "clavero"}))
        # A provider of its own: in a process of others, theirs is theirs.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or _otlp()))
        self._tracer = self._provider.get_tracer("clavero", __version__)
        self._extract = TraceContextTextMapPropagator().extract

    def traced(self, answer: AnswerCall) -> AnswerCall:
        """The same as `answer`, a span around each call of it."""

        def answered(
            protocol: str,
            caller: Caller,
            target: str | None,
            content_type: str | None,
            body: bytes,
            user_agent: str,
            source: str,
            host: str,
            trace: str | None,
            connection: Connection,
        ) -> Answer:
            service, operation = _operation(protocol, target, body)
            span = self._tracer.start_span(
                operation,
                # The client's span, if it said which: what has another form did not get here
                None if trace is None else self._extract({"traceparent": trace}),
                SpanKind.SERVER,
                {
                    "rpc.system": "aws-api",
                    "rpc.service": service,
                    "rpc.method": operation,
                    "cloud.region": caller.scope.region,
                    "cloud.account.id": caller.scope.account,
                    "client.address": source,
                },
            )
            try:
                status, request_id, told = answer(
                    protocol, caller, target, content_type, body, user_agent, source, host, trace,
                    connection,
                )  # fmt: skip
                # Nothing of what was asked or answered is an attribute: neither is anybody's
                # business but the client's.
                span.set_attribute("http.response.status_code", status)
                span.set_attribute("aws.request_id", request_id)
                if status >= 400:
                    span.set_attribute("error.type", _error(protocol, status, told))
                if status >= 500:
                    span.set_status(StatusCode.ERROR)
                return status, request_id, told
            finally:
                span.end()

        return answered

    def close(self) -> None:
        """Export what is left, for as long as the exporter's time limit is; then no more."""
        self._provider.shutdown()


def _otlp() -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = os.environ.get(variable)
        if protocol not in {None, "", _PROTOCOL}:
            raise ValueError(
                f"{variable} is {protocol!r}, and --otel exports by {_PROTOCOL}: point "
                "OTEL_EXPORTER_OTLP_ENDPOINT at a collector's port for it (usually 4318)."
            )
    return OTLPSpanExporter()


def _operation(protocol: str, target: str | None, body: bytes) -> tuple[str, str]:
    """Service and operation, in our words: never a client's text."""
    if protocol == "query":
        found = _ACTION.search(body)
        name = "" if found is None else found[1].decode()
        if name in IAM_OPERATIONS:
            return "IAM", name
        return "STS", name if name == _STS else _NO_OPERATION
    name = (target or "").partition(".")[2]
    return "KMS", name if name in OPERATIONS else _NO_OPERATION


def _error(protocol: str, status: int, told: bytes) -> str:
    if protocol == "query":
        return str(status)
    kind: Any = json.loads(told).get("__type")
    return str(kind)
