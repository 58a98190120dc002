"""What operations work with: the store, the key directory, the key store, the source of ids."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from clavero.keystores.attested import AttestedKeyStore
from clavero.model import errors
from clavero.model.errors import KMSError
from clavero.model.quotas import Quotas
from clavero.ops.call import Call
from clavero.ops.directory import Directory
from clavero.store.engine import Store

if TYPE_CHECKING:
    from clavero.identity.accounts import Accounts
    from clavero.identity.identities import Identities
    from clavero.identity.resolver import Resolver
    from clavero.ops.lastusage import UsageLog

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class OpsContext:
    """Handed to every operation.

    `ensure_domain(region)` makes a Region's domain at its first key; `schedule_changed()` has the
    service look again at when a deletion or a rotation is due. `resolver` knows who callers are,
    `identities` manages users, groups, roles and policies, `accounts` issues temporary credentials.
    """

    store: Store
    directory: Directory
    keystore: AttestedKeyStore
    new_id: Callable[[], str]
    ensure_domain: Callable[[str], None]
    schedule_changed: Callable[[], None]
    quotas: Quotas
    usage: UsageLog
    resolver: Resolver
    identities: Identities
    accounts: Accounts

    # Pagination: what comes next is nobody's business, and a marker works where it was given only.

    def next_marker(self, call: Call, after: str) -> str:
        """The marker with which `call` can be asked again for what follows `after`."""
        sealed = self.keystore.seal_opaque(call.scope.region, _purpose(call), after.encode())
        return base64.b64encode(sealed).decode()

    def marker(self, call: Call) -> str:
        """What the call's Marker stands for; empty without one. Raises InvalidMarkerException."""
        text = call.params.get("Marker")
        if text is None:
            return ""
        try:
            sealed = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise errors.invalid_marker() from None
        opened = self.keystore.open_opaque(call.scope.region, _purpose(call), sealed)
        if opened is None:
            raise errors.invalid_marker()
        return opened.decode()


def _purpose(call: Call) -> str:
    return f"marker|{call.operation.name}|{call.scope.account}|{call.params.get('KeyId', '')}"


def timestamp(epoch: float) -> datetime:
    """A point in time as answers have it: timezone-aware, in UTC."""
    return datetime.fromtimestamp(epoch, UTC)


def epoch_of(given: datetime | float) -> float:
    """A point in time as requests have it, in epoch seconds. Without a zone it is in UTC."""
    if not isinstance(given, datetime):
        return float(given)
    aware = given if given.tzinfo is not None else given.replace(tzinfo=UTC)
    return (aware - _EPOCH).total_seconds()


def limit_of(call: Call, default: int, most: int) -> int:
    """The call's Limit. The model allows 1000 everywhere, where the API reference may say less."""
    limit: int = call.params.get("Limit", default)
    if limit > most:
        raise errors.validation(
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy "
            f"constraint: Member must have value less than or equal to {most}"
        )
    return limit


def not_built(what: str) -> KMSError:
    """The refusal of a parameter whose feature is not built."""
    return KMSError(
        "UnsupportedOperationException",
        f"{what} is not supported by this release of Clavero.",
    )
