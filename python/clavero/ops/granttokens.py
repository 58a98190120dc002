"""Grant tokens: opaque, each another, and good for the grant that they were given for.

A token is sealed by the HSM for its Region, so that none can be made elsewhere; nothing is stored
of it. Tokens of one grant can be used interchangeably.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final, NamedTuple

from clavero.model import errors
from clavero.ops.call import Call
from clavero.ops.context import OpsContext

_PURPOSE: Final = "grant token"


class Granted(NamedTuple):
    """The grant of a token: whose key, and which of its grants."""

    account: str
    key_id: str
    grant_id: str


def make(context: OpsContext, region: str, granted: Granted) -> str:
    """A new token for the grant."""
    sealed = context.keystore.seal_opaque(region, _PURPOSE, "|".join(granted).encode())
    return base64.urlsafe_b64encode(sealed).decode()


def read(context: OpsContext, region: str, token: str) -> Granted:
    """The grant of a token. InvalidGrantTokenException unless it was made here, for this Region."""
    try:
        sealed = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise errors.invalid_grant_token() from None
    opened = context.keystore.open_opaque(region, _PURPOSE, sealed)
    if opened is None:
        raise errors.invalid_grant_token()
    return Granted(*opened.decode().split("|"))


def check(context: OpsContext, call: Call, tokens: Sequence[str]) -> None:
    """Refuse the call unless each of its GrantTokens is one."""
    for token in tokens:
        read(context, call.scope.region, token)
