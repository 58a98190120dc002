"""Users with their access keys, and groups of users."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from clavero.identity import checks
from clavero.identity.accounts import AccessKey, Accounts
from clavero.identity.entities import Entities, Principals
from clavero.identity.registry import Registry
from clavero.model import iam_errors
from clavero.store import accounts, identities
from clavero.store.accounts import AccessKeyRow
from clavero.store.identities import IdentityRow

# How an access key's status is written: AWS's StatusType.
ACTIVE, INACTIVE = "Active", "Inactive"


class Users(Principals):
    """Users: `kms.identities.users`."""

    kind = "user"

    def __init__(self, registry: Registry, owners: Accounts) -> None:
        super().__init__(registry)
        self._accounts = owners

    def create(
        self,
        account: str,
        name: str,
        *,
        path: str = "/",
        permissions_boundary: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> IdentityRow:
        """CreateUser: `permissions_boundary` is a policy's ARN. EntityAlreadyExists and so on.

        The account is made if it is not there.
        """
        row = IdentityRow(
            self._registry.new_id("user"),
            checks.checked_account(account),
            "user",
            checks.checked_name("user", name),
            checks.checked_path(path),
            self._registry.now(),
            boundary=permissions_boundary,
        )
        return self._add(row, tags or {})

    def groups(self, account: str, name: str) -> list[IdentityRow]:
        """ListGroupsForUser, in the order of names."""
        with self._registry.store.read() as tx:
            return identities.groups_of(tx, self.row(tx, account, name).unique_id)

    # --- access keys -----------------------------------------------------------------------------

    def create_access_key(
        self, account: str, name: str, *, known: tuple[str, str] | None = None
    ) -> AccessKey:
        """CreateAccessKey: the secret is told this once. LimitExceeded: the user has two.

        `known` is an id and a secret to take in place of new ones, as seeds have them:
        StoreConflict where that id is taken, ValueError where no client could use it.
        """

        def admitted(tx: Connection) -> IdentityRow:
            row = self.row(tx, account, name)
            if len(accounts.access_keys_of(tx, row.unique_id)) >= checks.ACCESS_KEYS_PER_USER:
                raise iam_errors.quota("AccessKeysPerUser", checks.ACCESS_KEYS_PER_USER)
            return row

        made = self._accounts.create_for(account, admitted, known)
        self._registry.changed()
        return made

    def access_keys(self, account: str, name: str) -> list[AccessKeyRow]:
        """ListAccessKeys, the oldest first. Their secrets are sealed."""
        with self._registry.store.read() as tx:
            return accounts.access_keys_of(tx, self.row(tx, account, name).unique_id)

    def update_access_key(self, account: str, name: str, access_key_id: str, status: str) -> None:
        """UpdateAccessKey: `status` is Active or Inactive; an inactive one signs nothing."""
        if status not in {ACTIVE, INACTIVE}:
            raise iam_errors.constraint(
                "status", status, "Member must satisfy enum value set: [Active, Inactive]"
            )
        self._check_access_key(account, name, access_key_id)
        self._accounts.set_active(access_key_id, active=status == ACTIVE)
        self._registry.changed()

    def delete_access_key(self, account: str, name: str, access_key_id: str) -> None:
        """DeleteAccessKey. NoSuchEntity."""
        self._check_access_key(account, name, access_key_id)
        self._accounts.delete_access_key(access_key_id)
        self._registry.changed()

    def _check_access_key(self, account: str, name: str, access_key_id: str) -> None:
        if not any(row.access_key_id == access_key_id for row in self.access_keys(account, name)):
            raise iam_errors.access_key_not_found(access_key_id)

    def _renamed(self, row: IdentityRow) -> None:
        for key in self.access_keys(row.account, row.name):
            self._accounts.told_anew(key, row.arn)

    def _check_deletion(self, tx: Connection, row: IdentityRow) -> None:
        if accounts.access_keys_of(tx, row.unique_id):
            raise iam_errors.must_first("delete access keys")
        if identities.groups_of(tx, row.unique_id):
            raise iam_errors.must_first("remove users from group")


class Groups(Entities):
    """Groups of users: `kms.identities.groups`."""

    kind = "group"

    def create(self, account: str, name: str, *, path: str = "/") -> IdentityRow:
        """CreateGroup. EntityAlreadyExists. The account is made if it is not there."""
        row = IdentityRow(
            self._registry.new_id("group"),
            checks.checked_account(account),
            "group",
            checks.checked_name("group", name),
            checks.checked_path(path),
            self._registry.now(),
        )
        return self._add(row, {})

    def members(self, account: str, name: str) -> list[IdentityRow]:
        """GetGroup's users, in the order of names."""
        with self._registry.store.read() as tx:
            return identities.members_of(tx, self.row(tx, account, name).unique_id)

    def add_user(self, account: str, name: str, user: str) -> None:
        """AddUserToGroup. LimitExceeded: the user is in ten. Twice is once."""
        with self._registry.write() as tx:
            group, member = self.row(tx, account, name), self._user(tx, account, user)
            there = identities.groups_of(tx, member.unique_id)
            if group in there:
                return
            if len(there) >= checks.GROUPS_PER_USER:
                raise iam_errors.quota("GroupsPerUser", checks.GROUPS_PER_USER)
            identities.join(tx, member.unique_id, group.unique_id)

    def remove_user(self, account: str, name: str, user: str) -> None:
        """RemoveUserFromGroup. NoSuchEntity where there is no such user, group, or member."""
        with self._registry.write() as tx:
            group, member = self.row(tx, account, name), self._user(tx, account, user)
            if not identities.leave(tx, member.unique_id, group.unique_id):
                raise iam_errors.no_such_entity(
                    f"The user with name {user} is not in group {group.name}."
                )

    def _user(self, tx: Connection, account: str, name: str) -> IdentityRow:
        row = identities.get(tx, account, "user", name)
        if row is None:
            raise iam_errors.not_found("user", name)
        return row

    def _check_deletion(self, tx: Connection, row: IdentityRow) -> None:
        if identities.members_of(tx, row.unique_id):
            raise iam_errors.must_first("remove users from group")
