"""Roles: who may assume them is in their trust policies, what their sessions may in the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from clavero.identity import checks
from clavero.identity.entities import Principals
from clavero.store import identities
from clavero.store.identities import IdentityRow

# The inline policy by which AWS's console revokes a role's sessions. Source: IAM User Guide,
# "Revoking IAM role temporary security credentials".
REVOCATION: Final = "AWSRevokeOlderSessions"


class Roles(Principals):
    """Roles: `kms.identities.roles`."""

    kind = "role"

    def create(
        self,
        account: str,
        name: str,
        trust: str,
        *,
        path: str = "/",
        description: str = "",
        max_session: int = checks.MIN_SESSION,
        permissions_boundary: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> IdentityRow:
        """CreateRole: `trust` is the AssumeRolePolicyDocument, `max_session` in seconds.

        EntityAlreadyExists, MalformedPolicyDocument, LimitExceeded. The account is made if it is
        not there.
        """
        row = IdentityRow(
            self._registry.new_id("role"),
            checks.checked_account(account),
            "role",
            checks.checked_name("role", name),
            checks.checked_path(path),
            self._registry.now(),
            description=checks.checked_description(description),
            boundary=permissions_boundary,
            trust=checks.checked_trust(trust),
            max_session=checks.checked_session(max_session),
        )
        return self._add(row, tags or {})

    def update(
        self,
        account: str,
        name: str,
        *,
        description: str | None = None,
        max_session: int | None = None,
    ) -> None:
        """UpdateRole and UpdateRoleDescription; None leaves what is there."""
        values: dict[str, object] = {}
        if description is not None:
            values["description"] = checks.checked_description(description)
        if max_session is not None:
            values["max_session"] = checks.checked_session(max_session)
        with self._registry.write() as tx:
            row = self.row(tx, account, name)
            if values:
                identities.change(tx, row.unique_id, **values)

    def update_trust(self, account: str, name: str, trust: str) -> None:
        """UpdateAssumeRolePolicy. MalformedPolicyDocument."""
        checks.checked_trust(trust)
        with self._registry.write() as tx:
            identities.change(tx, self.row(tx, account, name).unique_id, trust=trust)

    def revoke_sessions(self, account: str, name: str, before: float | None = None) -> None:
        """Have no session that was issued before a time (epoch seconds, by default now) do more.

        As AWS's console does it: an inline policy that denies everything to older tokens.
        """
        at = datetime.fromtimestamp(self._registry.now() if before is None else before, UTC)
        document = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Deny",
                    "Action": ["*"],
                    "Resource": ["*"],
                    "Condition": {
                        "DateLessThan": {
                            "aws:TokenIssueTime": at.isoformat(timespec="milliseconds").replace(
                                "+00:00", "Z"
                            )
                        }
                    },
                }
            ],
        }
        self.put_policy(account, name, REVOCATION, json.dumps(document))
