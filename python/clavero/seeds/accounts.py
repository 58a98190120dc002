"""The accounts of a seed: the access keys of their root users, and the identities in them.

`{"accounts": [{"id": ..., "access_keys": [{"id": ..., "secret": ...}], "users": [...], ...}]}`

What is missing is made; an access key that is there must be the seed's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clavero.identity.accounts import checked
from clavero.identity.identities import Identities
from clavero.seeds import identities
from clavero.seeds.document import SeedError, Source, check_members, read
from clavero.seeds.identities import SeedIdentity


@dataclass(frozen=True, slots=True)
class SeedAccount:
    """An account, and the ids and secrets of its root user's access keys."""

    where: str
    id: str
    access_keys: list[tuple[str, str]] = field(repr=False)
    identities: list[SeedIdentity] = field(default_factory=list)


def load(source: Source) -> list[SeedAccount]:
    """The accounts of a seed. Raises SeedError, which names the place and shows no secret."""
    name, document = read(source)
    found = [
        _account(f"{name}: accounts[{number}]", entry)
        for number, entry in enumerate(_list(f"{name}: accounts", document.get("accounts", [])))
    ]
    ids = [key for account in found for key, _ in account.access_keys]
    ids += [key for account in found for each in account.identities for key, _ in each.access_keys]
    if len(set(ids)) != len(ids) or len({account.id for account in found}) != len(found):
        raise SeedError(f"{name}: accounts: an account or an access key stands there twice")
    return found


def check(stored: Identities, entries: list[SeedAccount]) -> None:
    """SeedError where an access key is there with another secret or of another account."""
    for entry in entries:
        identities.check(stored, entry.identities)
    accounts = stored.accounts
    there = {row.access_key_id: row for row in accounts.every_access_key()}
    for entry in entries:
        for access_key_id, secret in entry.access_keys:
            row = there.get(access_key_id)
            if row is None:
                continue
            known = accounts.reveal(row)
            of_root = row.account == entry.id and row.user_id is None
            if not of_root or known.secret_access_key != secret:
                raise SeedError(
                    f"{entry.where}: the access key {access_key_id} is there with another secret "
                    "or of somebody else: change the seed, or delete the access key"
                )


def apply(stored: Identities, entries: list[SeedAccount]) -> None:
    """Make the accounts and access keys that are missing, once `check` has refused nothing."""
    accounts = stored.accounts
    there = {row.access_key_id for row in accounts.every_access_key()}
    for entry in entries:
        accounts.ensure(entry.id)
        for access_key_id, secret in entry.access_keys:
            if access_key_id not in there:
                accounts.put_access_key(entry.id, access_key_id, secret)
        identities.apply(stored, entry.identities)


def _account(where: str, entry: Any) -> SeedAccount:
    check_members(where, entry, {"id", "access_keys", *identities.PLACES})
    account = entry.get("id")
    try:
        checked(account if isinstance(account, str) else "")
    except ValueError as error:
        raise SeedError(f"{where}.id: {error}") from None
    keys = list(identities.access_keys(f"{where}.access_keys", entry.get("access_keys", [])))
    return SeedAccount(where, account, keys, identities.load(where, account, entry))


def _list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise SeedError(f"{where}: must be a list")
    return value
