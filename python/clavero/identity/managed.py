"""Managed policies: an account's own with their versions, and those of AWS that are known here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from clavero.identity import checks
from clavero.identity.registry import Registry
from clavero.model import iam_errors
from clavero.model.errors import KMSError
from clavero.store import identities
from clavero.store.errors import StoreConflict
from clavero.store.identities import IdentityRow, VersionRow

_VERSION: Final = re.compile(r"v([1-9][0-9]{0,8})")

# AWS Managed Policy Reference Guide. Others of AWS's are not known and cannot be attached.
AWS_POLICIES: Final[Mapping[str, str]] = {
    "arn:aws:iam::aws:policy/AdministratorAccess": (
        '{"Version": "2012-10-17", "Statement": '
        '[{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
    ),
    "arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser": (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ['
        '"kms:CreateAlias", "kms:CreateKey", "kms:DeleteAlias", "kms:Describe*", '
        '"kms:GenerateRandom", "kms:Get*", "kms:List*", "kms:TagResource", "kms:UntagResource", '
        '"iam:ListGroups", "iam:ListRoles", "iam:ListUsers"], "Resource": "*"}]}'
    ),
}


def document_of(tx: Connection, account: str, policy_arn: str) -> str | None:
    """The default version of a policy that the account may attach; None where there is none."""
    owner, path, name = checks.policy_parts(policy_arn)
    if owner == "aws":
        return AWS_POLICIES.get(policy_arn)
    if owner != account:
        return None
    row = identities.get(tx, owner, "policy", name)
    if row is None or (row.path, row.name) != (path, name):
        return None
    for version in identities.versions(tx, row.unique_id):
        if version.version == row.default_version:
            return version.document
    return None


class Policies:
    """Customer managed policies. They are named by ARN; versions are `v1`, `v2`, ..."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def create(
        self,
        account: str,
        name: str,
        document: str,
        *,
        path: str = "/",
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> IdentityRow:
        """CreatePolicy. EntityAlreadyExists, MalformedPolicyDocument, LimitExceeded."""
        checks.checked_account(account)
        checks.checked_name("policy", name)
        checks.checked_managed(document)
        now = self._registry.now()
        row = IdentityRow(
            self._registry.new_id("policy"),
            account,
            "policy",
            name,
            checks.checked_path(path),
            now,
            checks.checked_description(description),
            default_version=1,
        )
        with self._registry.write() as tx:
            add(tx, row, checks.merged_tags({}, tags or {}))
            identities.add_version(tx, row.unique_id, VersionRow(1, document, now))
        return row

    def get(self, policy_arn: str) -> IdentityRow:
        """GetPolicy. NoSuchEntity. Of AWS's own policies too."""
        with self._registry.store.read() as tx:
            return self._row(tx, policy_arn)

    def all(self, account: str, path_prefix: str = "/") -> list[IdentityRow]:
        """ListPolicies of Scope=Local, in the order of names."""
        with self._registry.store.read() as tx:
            return identities.of_account(tx, account, "policy", checks.checked_prefix(path_prefix))

    def delete(self, policy_arn: str) -> None:
        """DeletePolicy. NoSuchEntity; DeleteConflict while attached or with several versions."""
        with self._registry.write() as tx:
            row = self._own(tx, policy_arn)
            if identities.having(tx, policy_arn) or identities.bounded(tx, policy_arn):
                raise iam_errors.delete_conflict("Cannot delete a policy attached to entities.")
            if len(identities.versions(tx, row.unique_id)) > 1:
                raise iam_errors.delete_conflict(
                    "This policy has more than one version. Before you delete a policy, you must "
                    "delete the policy's versions. The default version is deleted with the policy."
                )
            identities.remove(tx, row.unique_id)

    def attached_to(self, policy_arn: str) -> list[IdentityRow]:
        """ListEntitiesForPolicy: users, groups and roles that it is attached to."""
        with self._registry.store.read() as tx:
            self._row(tx, policy_arn)
            return identities.having(tx, policy_arn)

    def bounds(self, policy_arn: str) -> list[IdentityRow]:
        """ListEntitiesForPolicy of PolicyUsageFilter=PermissionsBoundary."""
        with self._registry.store.read() as tx:
            self._row(tx, policy_arn)
            return identities.bounded(tx, policy_arn)

    # --- versions --------------------------------------------------------------------------------

    def versions(self, policy_arn: str) -> list[VersionRow]:
        """ListPolicyVersions, the newest first."""
        with self._registry.store.read() as tx:
            row = self._row(tx, policy_arn)
            if policy_arn in AWS_POLICIES:
                return [VersionRow(1, AWS_POLICIES[policy_arn], row.created)]
            return identities.versions(tx, row.unique_id)

    def version(self, policy_arn: str, version_id: str) -> VersionRow:
        """GetPolicyVersion. NoSuchEntity."""
        number = _number(version_id)
        for found in self.versions(policy_arn):
            if found.version == number:
                return found
        raise iam_errors.version_not_found(policy_arn, version_id)

    def create_version(
        self, policy_arn: str, document: str, *, set_as_default: bool = False
    ) -> VersionRow:
        """CreatePolicyVersion. LimitExceeded: there are five."""
        checks.checked_managed(document)
        with self._registry.write() as tx:
            row = self._own(tx, policy_arn)
            before = identities.versions(tx, row.unique_id)
            if len(before) >= checks.VERSIONS_PER_POLICY:
                raise iam_errors.too_many_versions()
            made = VersionRow(before[0].version + 1, document, self._registry.now())
            identities.add_version(tx, row.unique_id, made)
            if set_as_default:
                identities.change(tx, row.unique_id, default_version=made.version)
        return made

    def set_default_version(self, policy_arn: str, version_id: str) -> None:
        """SetDefaultPolicyVersion. NoSuchEntity."""
        with self._registry.write() as tx:
            row, number = self._version(tx, policy_arn, version_id)
            identities.change(tx, row.unique_id, default_version=number)

    def delete_version(self, policy_arn: str, version_id: str) -> None:
        """DeletePolicyVersion. NoSuchEntity; DeleteConflict: it is the default version."""
        with self._registry.write() as tx:
            row, number = self._version(tx, policy_arn, version_id)
            if number == row.default_version:
                raise iam_errors.delete_conflict("Cannot delete the default version of a policy.")
            identities.remove_version(tx, row.unique_id, number)

    # --- tags ------------------------------------------------------------------------------------

    def tags(self, policy_arn: str) -> dict[str, str]:
        """ListPolicyTags."""
        with self._registry.store.read() as tx:
            return identities.tags(tx, self._row(tx, policy_arn).unique_id)

    def tag(self, policy_arn: str, tags: Mapping[str, str]) -> None:
        """TagPolicy."""
        with self._registry.write() as tx:
            row = self._own(tx, policy_arn)
            merged = checks.merged_tags(identities.tags(tx, row.unique_id), tags)
            identities.set_tags(tx, row.unique_id, merged)

    def untag(self, policy_arn: str, tag_keys: list[str]) -> None:
        """UntagPolicy; tag keys that it does not have are passed over."""
        with self._registry.write() as tx:
            row = self._own(tx, policy_arn)
            identities.set_tags(
                tx, row.unique_id, without(identities.tags(tx, row.unique_id), tag_keys)
            )

    def _version(self, tx: Connection, policy_arn: str, version_id: str) -> tuple[IdentityRow, int]:
        row, number = self._own(tx, policy_arn), _number(version_id)
        if not any(each.version == number for each in identities.versions(tx, row.unique_id)):
            raise iam_errors.version_not_found(policy_arn, version_id)
        return row, number

    def _row(self, tx: Connection, policy_arn: str) -> IdentityRow:
        owner, path, name = checks.policy_parts(policy_arn)
        if policy_arn in AWS_POLICIES:
            # AWS gives its own policies ids too; these are none of an account.
            return IdentityRow(f"ANPA{name.upper()}", "aws", "policy", name, path, 0.0,
                               default_version=1)  # fmt: skip
        row = identities.get(tx, owner, "policy", name)
        if row is None or (row.path, row.name) != (path, name):
            raise iam_errors.policy_not_found(policy_arn)
        return row

    def _own(self, tx: Connection, policy_arn: str) -> IdentityRow:
        if checks.policy_parts(policy_arn)[0] == "aws":
            raise iam_errors.access_denied("A policy of AWS cannot be changed.")
        return self._row(tx, policy_arn)


def add(tx: Connection, row: IdentityRow, tags: Mapping[str, str]) -> None:
    """Store a new user, group, role or policy. EntityAlreadyExists, LimitExceeded."""
    identities.ensure_account(tx, row.account, row.created)
    if identities.get(tx, row.account, row.kind, row.name) is not None:
        raise iam_errors.already_exists(row.kind, row.name)
    most = checks.MOST[row.kind]
    if identities.count(tx, row.account, row.kind) >= most:
        raise iam_errors.quota(checks.QUOTA_NAMES[row.kind], most)
    try:
        identities.add(tx, row)
    except StoreConflict:
        raise iam_errors.already_exists(row.kind, row.name) from None
    identities.set_tags(tx, row.unique_id, tags)


def without(tags: Mapping[str, str], tag_keys: list[str]) -> dict[str, str]:
    """The tags but for those of the tag keys, in whatever case."""
    gone = {key.lower() for key in tag_keys}
    return {key: value for key, value in tags.items() if key.lower() not in gone}


def version_id(row: VersionRow | int) -> str:
    """`v1`, `v2`, ..."""
    return f"v{row if isinstance(row, int) else row.version}"


def _number(given: str) -> int:
    match = _VERSION.fullmatch(given)
    if match is None:
        raise _invalid_version(given)
    return int(match[1])


def _invalid_version(given: str) -> KMSError:
    return iam_errors.constraint(
        "versionId",
        given,
        "Member must satisfy regular expression pattern: v[1-9][0-9]*(\\.[A-Za-z0-9-]*)?",
    )
