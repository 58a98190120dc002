"""Accounts and access keys: made, listed, and told to whoever verifies signatures.

A secret access key is sealed by the HSM before it is stored, and opened into its protected memory
to verify signatures. It passes through Python only where a user asks to see it.
"""

from __future__ import annotations

import re
import threading
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy import Connection

from clavero.model import arn
from clavero.store import accounts, identities
from clavero.store.accounts import AccessKeyRow
from clavero.store.engine import Store
from clavero.store.identities import IdentityRow

if TYPE_CHECKING:
    from clavero._native import Hsm
    from clavero.clock import Clock

_ACCESS_KEY_ID: Final = re.compile(r"[A-Z0-9]{16,128}", re.ASCII)
# What AWS's secrets consist of, and the secrets of most programs that make some.
_SECRET: Final = re.compile(r"[!-~]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class AccessKey:
    """An access key as its user needs it. `repr` shows no secret."""

    account: str
    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return f"AccessKey({self.account!r}, {self.access_key_id!r}, ...)"


@dataclass(frozen=True, slots=True, repr=False)
class TemporaryKey:
    """Temporary credentials, as whoever asked for them gets them once. `repr` shows no secret."""

    access_key_id: str
    secret_access_key: str
    session_token: str

    def __repr__(self) -> str:
        return f"TemporaryKey({self.access_key_id!r}, ...)"


class Verifier(Protocol):
    """Whoever verifies signatures (`_native.Keyring`)."""

    def put(
        self, access_key_id: str, account: str, arn: str, region: str, sealed: bytes, /
    ) -> None:
        """Take an access key."""

    def remove(self, access_key_id: str, /) -> bool:
        """Forget an access key."""


class Accounts:
    """The accounts of one KMS. Secrets are sealed under the domain of `region`."""

    def __init__(
        self,
        store: Store,
        hsm: Hsm,
        clock: Clock,
        region: str,
        ensure_domain: Callable[[str], None],
    ) -> None:
        self._store = store
        self._hsm = hsm
        self._clock = clock
        self._region = region
        self._ensure_domain = ensure_domain
        self._verifiers: list[Verifier] = []
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """The accounts, in order."""
        with self._store.read() as tx:
            return accounts.all_accounts(tx)

    def create(self, account: str) -> AccessKey:
        """Make an account and a first access key of its root user. StoreConflict: it is there."""
        checked(account)
        return self._add(account, self._new_id(), None, new_account=True)

    def create_access_key(self, account: str) -> AccessKey:
        """Make one more access key. StoreConflict: there is no such account."""
        return self._add(checked(account), self._new_id(), None)

    def ensure(self, account: str) -> None:
        """Make the account, without an access key, unless it is there."""
        checked(account)
        with self._store.write() as tx:
            if account not in accounts.all_accounts(tx):
                accounts.add_account(tx, account, self._clock.now())

    def put_access_key(self, account: str, access_key_id: str, secret_access_key: str) -> None:
        """Take an access key with a known secret, as a seed file has them.

        ValueError: an id or a secret that no client could use. StoreConflict: the id is taken.
        """
        check_access_key(access_key_id, secret_access_key)
        self._add(checked(account), access_key_id, secret_access_key)

    def access_keys(self) -> list[AccessKeyRow]:
        """The access keys of root users with their sealed secrets, the oldest first."""
        return [row for row in self.every_access_key() if row.user_id is None]

    def every_access_key(self) -> list[AccessKeyRow]:
        """The same with those of users."""
        with self._store.read() as tx:
            return accounts.all_access_keys(tx)

    def access_key(self, access_key_id: str) -> AccessKeyRow | None:
        """One access key, or None."""
        with self._store.read() as tx:
            return accounts.access_key(tx, access_key_id)

    def create_for(
        self,
        account: str,
        admitted: Callable[[Connection], IdentityRow],
        known: tuple[str, str] | None = None,
    ) -> AccessKey:
        """Make an access key of the user that `admitted` gives, in the transaction that stores it.

        `known` is an id and a secret to take. For `users`, which says who may have one more.
        """
        if known is not None:
            check_access_key(*known)
        access_key_id, secret = known or (self._new_id(), None)
        return self._add(account, access_key_id, secret, admitted=admitted)

    def set_active(self, access_key_id: str, *, active: bool) -> None:
        """Have an access key be good for signatures, or not."""
        with self._lock:
            with self._store.write() as tx:
                accounts.set_active(tx, access_key_id, active=active)
                row = accounts.access_key(tx, access_key_id)
                arn_ = None if row is None else _arn_of(tx, row)
            for verifier in self._verifiers:
                if row is not None and arn_ is not None and active:
                    _tell(verifier, row, arn_)
                else:
                    verifier.remove(access_key_id)

    def told_anew(self, row: AccessKeyRow, arn_: str) -> None:
        """The user of an access key has another ARN."""
        with self._lock:
            for verifier in self._verifiers:
                if row.active:
                    _tell(verifier, row, arn_)

    def delete_access_key(self, access_key_id: str) -> bool:
        """Delete an access key: no signature of it is good from now on. False: there was none."""
        with self._lock:
            with self._store.write() as tx:
                removed = accounts.remove_access_key(tx, access_key_id)
            for verifier in self._verifiers:
                verifier.remove(access_key_id)
        return removed

    def reveal(self, row: AccessKeyRow) -> AccessKey:
        """The access key with its secret in the clear: for the user who asks for it."""
        secret = self._hsm.open_opaque(row.region, _purpose(row.access_key_id), row.secret)
        return AccessKey(row.account, row.access_key_id, secret.decode("ascii"))

    def issue(self, claims: bytes) -> TemporaryKey:
        """Make temporary credentials whose token holds the claims, sealed. Nothing is stored."""
        self._ensure_domain(self._region)
        access_key_id = "ASIA" + self._drawn()
        token, secret = self._hsm.create_session(self._region, access_key_id, claims)
        return TemporaryKey(access_key_id, secret, token)

    def attach(self, verifier: Verifier) -> None:
        """Tell a verifier every access key, and from now on every change."""
        with self._lock:
            with self._store.read() as tx:
                rows = [row for row in accounts.all_access_keys(tx) if row.active]
                named = [(row, _arn_of(tx, row)) for row in rows]
            for row, arn_ in named:
                _tell(verifier, row, arn_)
            self._verifiers.append(verifier)

    def detach(self, verifier: Verifier) -> None:
        """Tell a verifier nothing any more."""
        with self._lock:
            if verifier in self._verifiers:
                self._verifiers.remove(verifier)

    def _add(
        self,
        account: str,
        access_key_id: str,
        secret: str | None,
        *,
        new_account: bool = False,
        admitted: Callable[[Connection], IdentityRow] | None = None,
    ) -> AccessKey:
        self._ensure_domain(self._region)
        if secret is None:
            sealed = self._hsm.create_access_secret(self._region, access_key_id)
        else:
            sealed = self._hsm.seal_opaque(self._region, _purpose(access_key_id), secret.encode())
        row = AccessKeyRow(access_key_id, account, self._region, sealed, self._clock.now())
        with self._lock:
            with self._store.write() as tx:
                if new_account:
                    accounts.add_account(tx, account, row.created)
                if admitted is not None:
                    row = replace(row, user_id=admitted(tx).unique_id)
                accounts.add_access_key(tx, row)
                arn_ = _arn_of(tx, row)
            for verifier in self._verifiers:
                _tell(verifier, row, arn_)
        return self.reveal(row)

    def _new_id(self) -> str:
        # AWS's prefix of long-term keys: clients and scanners know the form.
        return "AKIA" + self._drawn()

    def _drawn(self) -> str:
        """80 random bits, as AWS's ids have them."""
        return b32encode(self._hsm.generate_random(10)).decode("ascii")


def checked(account: str) -> str:
    """The account id; ValueError unless it has 12 digits."""
    if not arn.is_account(account):
        raise ValueError(f"an account id has 12 digits, and {account[:32]!r} is none")
    return account


def check_access_key(access_key_id: str, secret_access_key: str) -> None:
    """ValueError for an id or a secret that no client could use. Shows no secret."""
    if _ACCESS_KEY_ID.fullmatch(access_key_id) is None:
        raise ValueError(
            "an access key id has 16 to 128 upper-case letters and digits, and "
            f"{access_key_id[:32]!r} is none"
        )
    if _SECRET.fullmatch(secret_access_key) is None:
        raise ValueError("a secret access key has 1 to 128 printable characters")


def _tell(verifier: Verifier, row: AccessKeyRow, arn_: str) -> None:
    verifier.put(row.access_key_id, row.account, arn_, row.region, row.secret)


def _arn_of(tx: Connection, row: AccessKeyRow) -> str:
    user = None if row.user_id is None else identities.by_id(tx, row.user_id)
    return arn.root_arn(row.account) if user is None else user.arn


def _purpose(access_key_id: str) -> str:
    return f"access-key/{access_key_id}"
