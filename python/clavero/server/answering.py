"""What the endpoint's threads call for every verified request: bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from clavero.identity.sessions import Session
from clavero.model import iam_errors
from clavero.model.errors import KMSError
from clavero.ops.call import Transport
from clavero.wire import json11, sts
from clavero.wire.exchange import Request, respond

if TYPE_CHECKING:
    from clavero.iam.principals import Principal
    from clavero.identity.resolver import Source
    from clavero.kms import Wiring
    from clavero.ops.directory import Scope

# TLS version, cipher suite, group, VPC endpoint, VPC.
Connection: TypeAlias = tuple[str | None, str | None, str | None, str | None, str | None]


class Caller:
    """The sender of a request and the scope that it is for: made once for each access key."""

    __slots__ = ("_expires", "_now", "_sources", "_stored", "scope")

    def __init__(
        self,
        stored: Callable[[str | None], Source],
        scope: Scope,
        now: Callable[[], float],
        expires: float | None = None,
    ) -> None:
        self.scope = scope
        self._expires = expires  # epoch seconds, of a session
        self._now = now
        self._stored = stored
        self._sources: dict[str | None, Source] = {}  # by VPC endpoint: that of a listener, or None

    def principal(self, vpce: str | None) -> Principal:
        """Who it is now, through that VPC endpoint. KMSError: nobody any more."""
        if self._expires is not None and self._now() >= self._expires:
            raise iam_errors.expired_token()
        source = self._sources.get(vpce)
        if source is None:
            source = self._sources[vpce] = self._stored(vpce)
        return source.current()


class Answering:
    """The functions that the endpoint needs, besides `Service.hold_records`."""

    def __init__(self, wiring: Wiring) -> None:
        self._service = wiring.service
        self._resolver = wiring.resolver
        self._scope_of = wiring.scope_of

    def caller(
        self, access_key_id: str, account: str, arn: str, region: str, claims: bytes | None
    ) -> Caller:
        """Who signs with an access key for a Region. `claims` are those of a session's token."""
        resolver = self._resolver
        if claims is None:
            return Caller(
                lambda vpce: resolver.access_key(access_key_id, vpce),
                self._scope_of(region, account),
                resolver.now,
            )
        session = Session.decode(claims)
        return Caller(
            lambda vpce: resolver.session(session, vpce),
            self._scope_of(region, session.account),
            resolver.now,
            session.expires,
        )

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
        try:
            principal = caller.principal(transport.vpce)
        except KMSError as error:  # as the edge refuses who is nobody: no call, no record
            request_id = self._service.new_request_id()
            if protocol == "query":
                return sts.refusal(error, request_id)
            return error.http_status, request_id, json11.encode_error(error)
        carry = sts.respond if protocol == "query" else respond
        return carry(self._service, request, principal, caller.scope)

    def release(self) -> tuple[int, bytes] | None:
        """Put what was held on record. Else status and body for every call since `hold_records`."""
        try:
            self._service.release_records()
        except KMSError as error:
            return error.http_status, json11.encode_error(error)
        return None
