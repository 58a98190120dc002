"""The accounts of a seed, and the access keys of their root users.

`{"accounts": [{"id": ..., "access_keys": [{"id": ..., "secret": ...}]}]}`

What is missing is made; an access key that is there must be the seed's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clavero.identity.accounts import Accounts, check_access_key, checked
from clavero.seeds.document import SeedError, Source, check_members, read


@dataclass(frozen=True, slots=True)
class SeedAccount:
    """An account, and the ids and secrets of its root user's access keys."""

    where: str
    id: str
    access_keys: list[tuple[str, str]] = field(repr=False)


def load(source: Source) -> list[SeedAccount]:
    """The accounts of a seed. Raises SeedError, which names the place and shows no secret."""
    name, document = read(source)
    found = [
        _account(f"{name}: accounts[{number}]", entry)
        for number, entry in enumerate(_list(f"{name}: accounts", document.get("accounts", [])))
    ]
    ids = [key for account in found for key, _ in account.access_keys]
    if len(set(ids)) != len(ids) or len({account.id for account in found}) != len(found):
        raise SeedError(f"{name}: accounts: an account or an access key stands there twice")
    return found


def check(accounts: Accounts, entries: list[SeedAccount]) -> None:
    """SeedError where an access key is there with another secret or of another account."""
    there = {row.access_key_id: row for row in accounts.access_keys()}
    for entry in entries:
        for access_key_id, secret in entry.access_keys:
            row = there.get(access_key_id)
            if row is None:
                continue
            known = accounts.reveal(row)
            if (known.account, known.secret_access_key) != (entry.id, secret):
                raise SeedError(
                    f"{entry.where}: the access key {access_key_id} is there with another secret "
                    "or of another account: change the seed, or delete the access key"
                )


def apply(accounts: Accounts, entries: list[SeedAccount]) -> None:
    """Make the accounts and access keys that are missing, once `check` has refused nothing."""
    there = {row.access_key_id for row in accounts.access_keys()}
    for entry in entries:
        accounts.ensure(entry.id)
        for access_key_id, secret in entry.access_keys:
            if access_key_id not in there:
                accounts.put_access_key(entry.id, access_key_id, secret)


def _account(where: str, entry: Any) -> SeedAccount:
    check_members(where, entry, {"id", "access_keys"})
    account = entry.get("id")
    try:
        checked(account if isinstance(account, str) else "")
    except ValueError as error:
        raise SeedError(f"{where}.id: {error}") from None
    keys = []
    for number, each in enumerate(_list(f"{where}.access_keys", entry.get("access_keys", []))):
        place = f"{where}.access_keys[{number}]"
        check_members(place, each, {"id", "secret"})
        access_key_id, secret = each.get("id"), each.get("secret")
        if not isinstance(access_key_id, str) or not isinstance(secret, str):
            raise SeedError(f"{place}: id and secret must be there, and be strings")
        try:
            check_access_key(access_key_id, secret)
        except ValueError as error:
            raise SeedError(f"{place}: {error}") from None
        keys.append((access_key_id, secret))
    return SeedAccount(where, account, keys)


def _list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise SeedError(f"{where}: must be a list")
    return value
