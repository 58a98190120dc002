"""An unmodified boto3 session whose KMS clients are answered in this process, and no other client.

botocore asks its `before-send` hooks for an answer before it opens a connection; ours always has
one. Everything before and after is botocore's: parameter validation, serialisation, signing,
retries, parsing, paginators, exceptions. Nothing of the user's AWS configuration or credentials is
read, so that the same program does the same everywhere and no secret of AWS comes near it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from clavero.callers import address_of
from clavero.model.errors import KMSError
from clavero.wire.exchange import Request, answer, refusal

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse

    from clavero.callers import Caller
    from clavero.ops.directory import Scope
    from clavero.service import Service

_CREDENTIAL: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/\s]+)/[0-9]{8}/([^/\s]+)/kms/aws4_request, "
)
# There is no network that a second attempt could have better luck with: it would only be a second
# call, with a record of its own. A program that wants to test its retries sets `retries` itself.
_ATTEMPTS: Final = {"total_max_attempts": 1, "mode": "legacy"}
# Should a botocore ever send in spite of our answer, this proxy is nowhere (RFC 2606): no plaintext
# leaves the process.
_NOWHERE: Final = "http://never-sent.invalid:9"


def open_session(
    service: Service,
    caller: Caller,
    region: str,
    scope_of: Callable[[str], Scope],
) -> Any:
    """A botocore Session of `caller` whose clients are in `region` unless they say otherwise.

    `scope_of` gives the scope of the caller's account in a Region, or ValueError for a name
    that is none. Raises ImportError without botocore.
    """
    try:
        import botocore.config
        import botocore.session
    except ImportError as error:
        raise _missing("botocore") from error
    nothing = (None, None, os.devnull, None)
    session = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": nothing,
            "credentials_file": nothing,
        }
    )
    session.register_component("data_loader", _loader())
    session.set_default_client_config(
        botocore.config.Config(
            retries=dict(_ATTEMPTS),
            proxies={"https": _NOWHERE, "http": _NOWHERE},
            ignore_configured_endpoint_urls=True,
        )
    )
    session.set_config_variable("region", region)
    access_key = _access_key(caller)
    session.set_credentials(access_key, "in-process-" + access_key)
    session.register("before-send.*.*", _Transport(service, caller, access_key, scope_of))
    return session


def boto3_session(session: Any) -> Any:
    """A boto3.Session over a session of botocore. Raises ImportError without boto3."""
    try:
        import boto3
    except ImportError as error:
        raise _missing("boto3") from error
    made = boto3.Session(botocore_session=session)
    paths = _loader().search_paths  # boto3 adds its own to it every time
    paths[:] = dict.fromkeys(paths)
    return made


def _missing(package: str) -> ImportError:
    return ImportError(
        f"{package} is not installed: pip install {package}, or use kms.client(), which has the "
        "same methods and needs nothing.",
        name=package,
    )


@functools.cache
def _loader() -> Any:
    """botocore's data files, read once in a process: they are most of what a client costs."""
    from botocore.loaders import create_loader

    return create_loader()


def _access_key(caller: Caller) -> str:
    """A name for the caller in the form of an access key id; no secret, and none of AWS's."""
    digest = hashlib.sha256(caller.arn.encode()).digest()
    return "CLAV" + base64.b32encode(digest)[:16].decode("ascii")


class _Transport:
    """The hook: takes the request that botocore would send, and has the answer."""

    def __init__(
        self,
        service: Service,
        caller: Caller,
        access_key: str,
        scope_of: Callable[[str], Scope],
    ) -> None:
        self._service = service
        self._caller = caller
        self._source_ip = address_of(caller)
        self._access_key = access_key
        self._scope_of = scope_of

    def __call__(self, request: AWSPreparedRequest, event_name: str, **_more: Any) -> AWSResponse:
        from botocore.awsrequest import AWSResponse

        if event_name.split(".")[1] != "kms":
            raise RuntimeError(
                f"This boto3 session reaches the KMS in this process and nothing else, so "
                f"{event_name.removeprefix('before-send.')} was not sent: use a session of your "
                "own for other services."
            )
        headers = request.headers
        try:
            scope = self._authenticated(_text(headers.get("Authorization")) or "")
            principal = self._caller.current()
        except KMSError as error:
            found = refusal(error, self._service.new_request_id())
        else:
            asked = Request(
                _text(headers.get("X-Amz-Target")),
                _text(headers.get("Content-Type")),
                bytes(request.body or b""),
                _text(headers.get("User-Agent")) or "",
                self._source_ip,
            )
            found = answer(self._service, asked, principal, scope)
        return AWSResponse(request.url, found.status, found.headers, _Body(found.body))

    def _authenticated(self, authorization: str) -> Scope:
        """The scope that a request is signed for. Raises KMSError with AWS's texts.

        The signature itself is not computed again: who holds the session is its principal.
        """
        match = _CREDENTIAL.match(authorization)
        if match is None:
            raise KMSError("MissingAuthenticationTokenException", "Missing Authentication Token")
        if match[1] != self._access_key:  # a client with credentials of its own
            raise KMSError(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        try:
            return self._scope_of(match[2])
        except ValueError as error:
            raise KMSError("InvalidSignatureException", f"{error}.") from None


class _Body(io.BytesIO):
    """A body as urllib3 gives it, as far as botocore reads it."""

    def stream(self, *_amounts: object, **_options: object) -> Iterator[bytes]:
        """The body in one piece."""
        yield self.read()


def _text(header: str | bytes | None) -> str | None:
    """A header's value: botocore has some as bytes, those that it signed."""
    return header.decode("latin-1") if isinstance(header, bytes) else header
