"""What the endpoint's threads call for every verified request: bytes in, bytes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from clavero.iam.principals import Principal
from clavero.ops.call import Transport
from clavero.wire import sts
from clavero.wire.exchange import Request, respond

if TYPE_CHECKING:
    from clavero.kms import Wiring
    from clavero.ops.directory import Scope

# TLS version, cipher suite, group, VPC endpoint, VPC.
Connection: TypeAlias = tuple[str | None, str | None, str | None, str | None, str | None]


class Caller(NamedTuple):
    """The sender of a request and the scope that it is for: made once for each access key."""

    principal: Principal
    scope: Scope


class Answering:
    """The two functions that the endpoint needs."""

    def __init__(self, wiring: Wiring) -> None:
        self._service = wiring.service
        self._scope_of = wiring.scope_of

    def caller(self, access_key_id: str, account: str, arn: str, region: str) -> Caller:
        """Who signs with an access key for a Region."""
        return Caller(Principal(arn, account), self._scope_of(region, account))

    def answer(
        self,
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
    ) -> tuple[int, str, bytes]:
        """Status, request id and body of the answer."""
        transport = Transport(*connection, host, trace)
        request = Request(target, content_type, body, user_agent, source, transport)
        carry = sts.respond if protocol == "query" else respond
        return carry(self._service, request, caller.principal, caller.scope)
