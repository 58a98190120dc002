"""What users, groups and roles have in common: inline and attached policies, boundaries, tags.

Every method names the account first. Errors are AWS's codes (`KMSError.code`): NoSuchEntity,
EntityAlreadyExists, LimitExceeded, DeleteConflict, MalformedPolicyDocument, InvalidInput,
ValidationError. Names are known in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sqlalchemy import Connection

from clavero.iam.documents import Kind
from clavero.identity import checks
from clavero.identity.managed import add, document_of, without
from clavero.identity.registry import Registry
from clavero.model import iam_errors
from clavero.store import identities
from clavero.store.identities import IdentityRow


class Entities:
    """Users, groups or roles of all accounts of one KMS: what can be done with each of them."""

    kind: ClassVar[str]

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def get(self, account: str, name: str) -> IdentityRow:
        """Get...: the user, group or role. NoSuchEntity."""
        with self._registry.store.read() as tx:
            return self.row(tx, account, name)

    def all(self, account: str, path_prefix: str = "/") -> list[IdentityRow]:
        """List...: those whose path begins so, in the order of their names."""
        with self._registry.store.read() as tx:
            prefix = checks.checked_prefix(path_prefix)
            return identities.of_account(tx, account, self.kind, prefix)

    def rename(
        self, account: str, name: str, *, new_name: str | None = None, new_path: str | None = None
    ) -> IdentityRow:
        """Update... of a user or group: EntityAlreadyExists. Key policies and grants follow."""
        changes: dict[str, str] = {}
        if new_name is not None:
            changes["name"] = checks.checked_name(self.kind, new_name)
        if new_path is not None:
            changes["path"] = checks.checked_path(new_path)
        with self._registry.rename() as (tx, renamed):
            row = self.row(tx, account, name)
            taken = None if new_name is None else identities.get(tx, account, self.kind, new_name)
            if taken is not None and taken.unique_id != row.unique_id:
                raise iam_errors.already_exists(self.kind, taken.name)
            if not changes:
                return row
            identities.change(tx, row.unique_id, **changes)
            found = identities.by_id(tx, row.unique_id)
            assert found is not None
            if found.arn != row.arn:
                renamed(row, found.arn)
        self._renamed(found)
        return found

    def delete(self, account: str, name: str) -> None:
        """Delete...: NoSuchEntity; DeleteConflict while it has policies, keys, groups or members.

        What names it in key policies and grants names its unique id from then on: one that is made
        anew under the same name is another.
        """
        with self._registry.rename() as (tx, renamed):
            row = self.row(tx, account, name)
            self._check_deletion(tx, row)
            if identities.attached(tx, row.unique_id):
                raise iam_errors.must_first("detach all policies")
            if identities.inline(tx, row.unique_id):
                raise iam_errors.must_first("delete policies")
            identities.remove(tx, row.unique_id)
            renamed(row, row.unique_id)

    # --- inline policies -------------------------------------------------------------------------

    def put_policy(self, account: str, name: str, policy_name: str, document: str) -> None:
        """Put...Policy. MalformedPolicyDocument; LimitExceeded: all of them are too long."""
        checks.checked_name(self.kind, policy_name, inline=True)
        checks.checked_document(document, Kind.IDENTITY)
        with self._registry.write() as tx:
            row = self.row(tx, account, name)
            after = {**identities.inline(tx, row.unique_id), policy_name: document}
            checks.check_sizes(self.kind, row.name, after)
            identities.put_inline(tx, row.unique_id, policy_name, document)

    def get_policy(self, account: str, name: str, policy_name: str) -> str:
        """Get...Policy: the document as it was put. NoSuchEntity."""
        with self._registry.store.read() as tx:
            found = identities.inline(tx, self.row(tx, account, name).unique_id)
        if policy_name not in found:
            raise iam_errors.not_found(f"{self.kind} policy", policy_name)
        return found[policy_name]

    def list_policies(self, account: str, name: str) -> list[str]:
        """List...Policies: the names of the inline policies, sorted."""
        with self._registry.store.read() as tx:
            return list(identities.inline(tx, self.row(tx, account, name).unique_id))

    def delete_policy(self, account: str, name: str, policy_name: str) -> None:
        """Delete...Policy. NoSuchEntity."""
        with self._registry.write() as tx:
            row = self.row(tx, account, name)
            if not identities.remove_inline(tx, row.unique_id, policy_name):
                raise iam_errors.not_found(f"{self.kind} policy", policy_name)

    # --- managed policies ------------------------------------------------------------------------

    def attach_policy(self, account: str, name: str, policy_arn: str) -> None:
        """Attach...Policy. NoSuchEntity; LimitExceeded: there are ten. Twice is once."""
        with self._registry.write() as tx:
            row = self.row(tx, account, name)
            if document_of(tx, account, policy_arn) is None:
                raise iam_errors.policy_not_attachable(policy_arn)
            before = identities.attached(tx, row.unique_id)
            if policy_arn in before:
                return
            if len(before) >= checks.ATTACHED:
                raise iam_errors.quota(f"PoliciesPer{self.kind.capitalize()}", checks.ATTACHED)
            identities.attach(tx, row.unique_id, policy_arn)

    def detach_policy(self, account: str, name: str, policy_arn: str) -> None:
        """Detach...Policy. NoSuchEntity."""
        checks.policy_parts(policy_arn)
        with self._registry.write() as tx:
            row = self.row(tx, account, name)
            if not identities.detach(tx, row.unique_id, policy_arn):
                raise iam_errors.policy_not_found(policy_arn)

    def list_attached_policies(self, account: str, name: str) -> list[str]:
        """ListAttached...Policies: their ARNs, sorted. A policy's name is what its ARN ends in."""
        with self._registry.store.read() as tx:
            return identities.attached(tx, self.row(tx, account, name).unique_id)

    def row(self, tx: Connection, account: str, name: str) -> IdentityRow:
        """The user, group or role in a transaction. NoSuchEntity."""
        row = identities.get(tx, account, self.kind, name)
        if row is None:
            raise iam_errors.not_found(self.kind, name)
        return row

    def _add(self, row: IdentityRow, tags: Mapping[str, str]) -> IdentityRow:
        with self._registry.write() as tx:
            if row.boundary is not None:
                _check_boundary(tx, row.account, row.boundary)
            add(tx, row, checks.merged_tags({}, tags))
        return row

    def _renamed(self, row: IdentityRow) -> None:
        """A hook: its name or path is another."""

    def _check_deletion(self, tx: Connection, row: IdentityRow) -> None:
        """A hook: DeleteConflict for what only some have."""


class Principals(Entities):
    """Users or roles: they have tags and permissions boundaries too."""

    def put_boundary(self, account: str, name: str, policy_arn: str) -> None:
        """Put...PermissionsBoundary. NoSuchEntity."""
        with self._registry.write() as tx:
            row = self.row(tx, account, name)
            _check_boundary(tx, account, policy_arn)
            identities.change(tx, row.unique_id, boundary=policy_arn)

    def delete_boundary(self, account: str, name: str) -> None:
        """Delete...PermissionsBoundary. NoSuchEntity."""
        with self._registry.write() as tx:
            row = self.row(tx, account, name)
            if row.boundary is None:
                raise iam_errors.no_such_entity(
                    f"The {self.kind} {row.name} has no permissions boundary."
                )
            identities.change(tx, row.unique_id, boundary=None)

    def tags(self, account: str, name: str) -> dict[str, str]:
        """List...Tags, sorted by tag key."""
        with self._registry.store.read() as tx:
            return identities.tags(tx, self.row(tx, account, name).unique_id)

    def tag(self, account: str, name: str, tags: Mapping[str, str]) -> None:
        """Tag...: LimitExceeded: more than 50; InvalidInput: one tag key twice, in any case."""
        with self._registry.write() as tx:
            row = self.row(tx, account, name)
            merged = checks.merged_tags(identities.tags(tx, row.unique_id), tags)
            identities.set_tags(tx, row.unique_id, merged)

    def untag(self, account: str, name: str, tag_keys: list[str]) -> None:
        """Untag...: tag keys that it does not have are passed over."""
        with self._registry.write() as tx:
            row = self.row(tx, account, name)
            before = identities.tags(tx, row.unique_id)
            identities.set_tags(tx, row.unique_id, without(before, tag_keys))


def _check_boundary(tx: Connection, account: str, policy_arn: str) -> None:
    if document_of(tx, account, policy_arn) is None:
        raise iam_errors.policy_not_attachable(policy_arn)
