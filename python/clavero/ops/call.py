"""A call on its way through the pipeline: who asks for what, and what became known about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from clavero.iam.decision import Principal, TrustedRole
    from clavero.keystores.attested import Attestation
    from clavero.ops.directory import Key, Scope
    from clavero.store.grants import GrantRow

Params = Mapping[str, Any]
Response = dict[str, Any]

NO_FACTS: Final[Mapping[str, str]] = MappingProxyType({})


def as_bytes(value: object) -> bytes:
    """A blob member as bytes; the model accepts other buffers too."""
    return value if type(value) is bytes else bytes(value)  # type: ignore[call-overload]  # a buffer


class Transport(NamedTuple):
    """What the connection of a call proved. Headers of the client set `host` and `trace`, no more.

    `tls_version`, `cipher_suite` and `key_exchange` are None over plain HTTP; `vpce` and `vpc` are
    those of the listener, None where it stands for no VPC endpoint.
    """

    tls_version: str | None  # TLSv1.2, TLSv1.3
    cipher_suite: str | None  # IANA's name
    key_exchange: str | None  # the group: X25519MLKEM768
    vpce: str | None  # vpce-...
    vpc: str | None  # vpc-...
    host: str  # the Host header
    trace: str | None = None  # the traceparent header (W3C Trace Context)


class NotAsked(Exception):
    """Raised by `Call.decode`: the caller's side refuses the parameters before KMS is asked.

    botocore does so in every SDK client, and what was never sent is on no record.
    """


class CallOperation(Protocol):
    """What the pipeline needs of an operation: one of the model's, or a batch."""

    @property
    def name(self) -> str:
        """The name in the audit record."""

    def is_exact(self, params: Any, /) -> bool:
        """Whether the parameters satisfy the model in plain types."""

    def validated(self, params: Any, /) -> dict[str, Any]:
        """The parameters in plain types; raises KMSError when they do not satisfy the model."""


class Further(NamedTuple):
    """A record beside the call's own: what it leads to in another Region, or has the service do."""

    operation: str
    region: str
    params: Params | None
    resources: tuple[str, ...]
    by_service: bool = False


class Call:
    """One request. The pipeline fills in what comes after `decode`.

    `decode` turns what the caller gave into the model's types where it is not in them already:
    botocore's conversions in process, the wire format behind HTTPS.
    """

    __slots__ = (
        "decode",
        "extra",
        "facts",
        "further",
        "grant",
        "keys",
        "operation",
        "params",
        "principal",
        "recipient",
        "request_id",
        "resources",
        "role",
        "scope",
        "source_ip",
        "subject",
        "time",
        "transport",
        "user_agent",
    )

    def __init__(
        self,
        operation: CallOperation,
        params: Params,
        principal: Principal,
        scope: Scope,
        decode: Callable[[Any, Any], Params] | None = None,
        source_ip: str = "127.0.0.1",
        user_agent: str = "clavero",
        transport: Transport | None = None,
    ) -> None:
        self.operation = operation
        self.params = params
        self.principal = principal
        self.scope = scope
        self.decode = decode
        self.source_ip = source_ip
        self.user_agent = user_agent
        self.transport = transport
        # Known later: the keys that the call is about, the grant that it retires, the keys' ARNs,
        # the role that it would assume,
        # what the audit adds, and further records; who attested itself as the recipient of the
        # answer, and the values of condition keys that came with that.
        self.keys: tuple[Key, ...] = ()
        self.grant: GrantRow | None = None
        self.resources: tuple[str, ...] = ()
        self.role: TrustedRole | None = None
        self.extra: Mapping[str, object] | None = None
        self.further: tuple[Further, ...] = ()
        self.recipient: Attestation | None = None
        self.facts: Mapping[str, str] = NO_FACTS
        self.request_id = ""
        self.subject = ""  # the ARN of the user, group, role or policy that IAM is asked about
        self.time = 0.0
