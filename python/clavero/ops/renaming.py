"""Identities that are renamed, or gone: key policies, grants and trust policies go with them.

In AWS a stored policy holds unique ids, shown as ARNs. Here it holds ARNs until one changes: then,
in the transaction of the change, all that names it names it otherwise, or by its unique id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from clavero.iam.naming import renamed
from clavero.ops.directory import Directory
from clavero.store import grants, identities, keys
from clavero.store.engine import Store
from clavero.store.identities import IdentityRow
from clavero.store.keys import KeyRow


class Renaming:
    """What `identity.registry` opens its transactions with when names change."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    @contextmanager
    def transaction(self) -> Iterator[tuple[Connection, Callable[[IdentityRow, str], None]]]:
        """A write transaction, and whom to tell in it. The directory follows the commit."""
        directory = self._directory
        rows: list[KeyRow] = []
        touched: list[tuple[str, str, str]] = []
        with directory.order:
            with self._store.write() as tx:

                def tell(row: IdentityRow, named: str) -> None:
                    changed, held = _rename(tx, row, named)
                    rows.extend(changed)
                    touched.extend(held)

                yield tx, tell
            for row in rows:
                directory.take_over(row)
            for key in touched:
                directory.touched_by_name(*key)


def _rename(
    tx: Connection, row: IdentityRow, named: str
) -> tuple[list[KeyRow], list[tuple[str, str, str]]]:
    """The keys whose policies are others now, and those whose grants are."""
    if row.kind not in {"user", "role"}:
        return [], []
    before = row.arn
    sessions = f"arn:aws:sts::{row.account}:assumed-role/{row.name}/"
    gone = not named.startswith("arn:")

    def name(principal: str) -> str | None:
        if principal == before:
            return named
        if gone and row.kind == "role" and principal.startswith(sessions):
            return f"{named}:{principal.removeprefix(sessions)}"
        return None

    changed: list[KeyRow] = []
    for policy in keys.every_policy(tx):
        after = renamed(policy, name)
        if after != policy:
            changed += keys.replace_policy(tx, policy, after)
    for role in identities.every_role(tx):
        after = renamed(role.trust or "", name)
        if after != role.trust:
            identities.change(tx, role.unique_id, trust=after)
    held = grants.rename_principal(tx, before, named)
    if gone and row.kind == "role":
        held += grants.rename_principal(tx, sessions, f"{named}:", begins=True)
    return changed, held
