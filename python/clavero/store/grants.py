"""Grants: who may do what with a key, beside its policy; and who may take the grant back.

`operations` is a JSON array and `constraints` a JSON object, both as CreateGrant was given them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from .errors import StoreConflict
from .schema import GRANTEE_NAME, grants


@dataclass(frozen=True, slots=True)
class GrantRow:
    """One grant of a key, named by the key and its grant id (64 hexadecimal digits).

    Exactly one of `grantee` and `grantee_service` is there, and at most one of `retiring` and
    `retiring_service`: ARNs of principals, and names of AWS services. `created` is epoch seconds.
    """

    region: str
    account: str
    key_id: str
    grant_id: str
    name: str | None
    grantee: str | None
    grantee_service: str | None
    retiring: str | None
    retiring_service: str | None
    operations: str
    constraints: str | None
    issuing_account: str
    created: float


_KEY = (
    grants.c.region == bindparam("g_region"),
    grants.c.account == bindparam("g_account"),
    grants.c.key_id == bindparam("g_key_id"),
)
_ONE = (*_KEY, grants.c.grant_id == bindparam("g_grant_id"))
_GET = select(*grants.c).where(*_ONE)
_NAMED = (
    select(*grants.c)
    .where(*_KEY, grants.c.name == bindparam("g_name"))
    .order_by(grants.c.created, grants.c.grant_id)
)
_COUNT = select(func.count()).select_from(grants).where(*_KEY)
_DELETE = delete(grants).where(*_ONE)
_INSERT = insert(grants)
_PAGE = (
    select(*grants.c)
    .where(*_KEY, grants.c.grant_id > bindparam("g_after"))
    .order_by(grants.c.grant_id)
    .limit(bindparam("g_limit"))
)
_PAGE_OF_GRANTEE = _PAGE.where(grants.c.grantee == bindparam("g_grantee"))
_PAGE_OF_SERVICE = _PAGE.where(grants.c.grantee_service == bindparam("g_grantee"))
_OF_GRANTEES = select(*grants.c).where(
    *_KEY, grants.c.grantee.in_(bindparam("g_names", expanding=True))
)
_OF_SERVICE = select(*grants.c).where(*_KEY, grants.c.grantee_service == bindparam("g_service"))
# By the index of names: a range of `grantee` would have SQLite go through every role's grants.
_OF_ROLES = select(*grants.c).where(
    *_KEY,
    text(f"{GRANTEE_NAME} = :g_name"),
    func.substr(grants.c.grantee, 1, func.length(bindparam("g_first"))) == bindparam("g_first"),
)
# Over all keys of the Region, in the order of its index.
_RETIRABLE = (
    select(*grants.c)
    .where(
        grants.c.region == bindparam("g_region"),
        grants.c.retiring == bindparam("g_retiring"),
        (grants.c.account > bindparam("g_account"))
        | (
            (grants.c.account == bindparam("g_account"))
            & (
                (grants.c.key_id > bindparam("g_key_id"))
                | (
                    (grants.c.key_id == bindparam("g_key_id"))
                    & (grants.c.grant_id > bindparam("g_grant_id"))
                )
            )
        ),
    )
    .order_by(grants.c.account, grants.c.key_id, grants.c.grant_id)
    .limit(bindparam("g_limit"))
)
_COLUMNS = tuple(each.name for each in fields(GrantRow))


def insert_grant(tx: Connection, grant: GrantRow) -> None:
    """Store a new grant. StoreConflict: its id is taken, or there is no such key."""
    try:
        tx.execute(_INSERT, {name: getattr(grant, name) for name in _COLUMNS})
    except IntegrityError as error:
        raise StoreConflict(
            f"The grant {grant.grant_id} cannot be made: its id is taken, or the key "
            f"{grant.key_id} does not exist."
        ) from error


def get(tx: Connection, region: str, account: str, key_id: str, grant_id: str) -> GrantRow | None:
    """Return the grant of that id on the key, or None."""
    row = tx.execute(_GET, _named(region, account, key_id, g_grant_id=grant_id)).first()
    return None if row is None else GrantRow(*row)


def named(tx: Connection, region: str, account: str, key_id: str, name: str) -> list[GrantRow]:
    """Return the key's grants of that name, the oldest first; several may have it."""
    found = tx.execute(_NAMED, _named(region, account, key_id, g_name=name))
    return [GrantRow(*row) for row in found]


def count(tx: Connection, region: str, account: str, key_id: str) -> int:
    """Return how many grants the key has."""
    return tx.execute(_COUNT, _named(region, account, key_id)).scalar_one()


def remove(tx: Connection, region: str, account: str, key_id: str, grant_id: str) -> bool:
    """Delete the grant. False when there is none of that id."""
    asked = _named(region, account, key_id, g_grant_id=grant_id)
    return tx.execute(_DELETE, asked).rowcount == 1


def of_grantees(
    tx: Connection,
    region: str,
    account: str,
    key_id: str,
    names: Sequence[str],
    roles: tuple[str, str] | None = None,
) -> list[GrantRow]:
    """Return the key's grants to any of the names, a service's too.

    With `roles`, what the grantee begins with and its name, also those to roles of any path.
    """
    asked = _named(region, account, key_id, g_names=list(names))
    found = [GrantRow(*row) for row in tx.execute(_OF_GRANTEES, asked)]
    for name in names:
        if not name.startswith("arn:") and "." in name:
            asked = _named(region, account, key_id, g_service=name)
            found += [GrantRow(*row) for row in tx.execute(_OF_SERVICE, asked)]
    if roles is not None:
        first, name = roles
        asked = _named(region, account, key_id, g_first=first, g_name=name)
        found += [GrantRow(*row) for row in tx.execute(_OF_ROLES, asked)]
    return found


def page(
    tx: Connection,
    region: str,
    account: str,
    key_id: str,
    *,
    limit: int,
    after: str = "",
    grantee: str | None = None,
    grantee_service: str | None = None,
) -> tuple[list[GrantRow], bool]:
    """Return up to `limit` grants of the key that follow the id `after`, and whether more follow.

    All of them, or those of one grantee, in order of grant id.
    """
    asked = _named(region, account, key_id, g_after=after, g_limit=limit + 1)
    statement = _PAGE
    if grantee is not None:
        statement = _PAGE_OF_GRANTEE
        asked["g_grantee"] = grantee
    elif grantee_service is not None:
        statement = _PAGE_OF_SERVICE
        asked["g_grantee"] = grantee_service
    found = [GrantRow(*row) for row in tx.execute(statement, asked)]
    return found[:limit], len(found) > limit


def retirable(
    tx: Connection,
    region: str,
    retiring: str,
    *,
    limit: int,
    after: tuple[str, str, str] = ("", "", ""),
) -> tuple[list[GrantRow], bool]:
    """Return up to `limit` grants that the principal may retire, and whether more follow.

    They are on keys of any account of the Region, in order of account, key id and grant id;
    `after` is such a triple.
    """
    asked = _named(
        region,
        after[0],
        after[1],
        g_grant_id=after[2],
        g_retiring=retiring,
        g_limit=limit + 1,
    )
    found = [GrantRow(*row) for row in tx.execute(_RETIRABLE, asked)]
    return found[:limit], len(found) > limit


def rename_principal(
    tx: Connection, before: str, after: str, *, begins: bool = False
) -> list[tuple[str, str, str]]:
    """Have grants name a principal otherwise; return the keys (Region, account, id) of those.

    With `begins`, `before` is what the names begin with, and what follows it stays.
    """
    changed: list[tuple[str, str, str]] = []
    for column in (grants.c.grantee, grants.c.retiring):
        length = func.length(before)
        where: ColumnElement[bool] = column == before
        value: ColumnElement[str] = bindparam("g_after", after, String)
        if begins:
            where = func.substr(column, 1, length) == before
            value = value.concat(func.substr(column, length + 1))
        found = tx.execute(
            update(grants)
            .where(where)
            .values({column: value})
            .returning(grants.c.region, grants.c.account, grants.c.key_id)
        )
        changed += [(row.region, row.account, row.key_id) for row in found]
    return list(dict.fromkeys(changed))


def _named(region: str, account: str, key_id: str, **more: object) -> dict[str, object]:
    return {"g_region": region, "g_account": account, "g_key_id": key_id, **more}
