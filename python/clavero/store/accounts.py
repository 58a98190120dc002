"""Accounts and access keys, of root users and users. Secrets are sealed: only the HSM opens one."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from .errors import StoreConflict
from .schema import access_keys, accounts


@dataclass(frozen=True, slots=True)
class AccessKeyRow:
    """An access key. `region` is the Region under whose domain `secret` is sealed.

    `user_id` is the unique id of its user, None for the root user. One that is not `active` is
    kept, and good for nothing.
    """

    access_key_id: str
    account: str
    region: str
    secret: bytes
    created: float
    user_id: str | None = None
    active: bool = True


_ACCOUNTS = select(accounts.c.account).order_by(accounts.c.account)
_INSERT_ACCOUNT = insert(accounts)
_KEYS = select(*access_keys.c).order_by(access_keys.c.created, access_keys.c.access_key_id)
_KEY = select(*access_keys.c).where(access_keys.c.access_key_id == bindparam("a"))
_OF_USER = _KEYS.where(access_keys.c.user_id == bindparam("u"))
_INSERT_KEY = insert(access_keys)
_DELETE_KEY = delete(access_keys).where(access_keys.c.access_key_id == bindparam("a"))


def all_accounts(tx: Connection) -> list[str]:
    """Return every account, in order."""
    return list(tx.execute(_ACCOUNTS).scalars())


def add_account(tx: Connection, account: str, created: float) -> None:
    """Store a new account. StoreConflict: it is there."""
    try:
        tx.execute(_INSERT_ACCOUNT, {"account": account, "created": created})
    except IntegrityError as error:
        raise StoreConflict(f"The account {account} exists already.") from error


def all_access_keys(tx: Connection) -> list[AccessKeyRow]:
    """Return every access key, the oldest first."""
    return [AccessKeyRow(*row) for row in tx.execute(_KEYS)]


def add_access_key(tx: Connection, row: AccessKeyRow) -> None:
    """Store a new access key. StoreConflict: its id is taken, or its account does not exist."""
    try:
        tx.execute(_INSERT_KEY, asdict(row))
    except IntegrityError as error:
        raise StoreConflict(
            f"The access key {row.access_key_id} exists already, or there is no account "
            f"{row.account}."
        ) from error


def access_key(tx: Connection, access_key_id: str) -> AccessKeyRow | None:
    """Return the access key of that id, or None."""
    row = tx.execute(_KEY, {"a": access_key_id}).first()
    return None if row is None else AccessKeyRow(*row)


def access_keys_of(tx: Connection, user_id: str) -> list[AccessKeyRow]:
    """Return a user's access keys, the oldest first."""
    return [AccessKeyRow(*row) for row in tx.execute(_OF_USER, {"u": user_id})]


def set_active(tx: Connection, access_key_id: str, *, active: bool) -> None:
    """Have an access key be good, or not."""
    where = access_keys.c.access_key_id == access_key_id
    tx.execute(update(access_keys).where(where).values(active=active))


def remove_access_key(tx: Connection, access_key_id: str) -> bool:
    """Delete an access key; False when there was none."""
    return tx.execute(_DELETE_KEY, {"a": access_key_id}).rowcount == 1
