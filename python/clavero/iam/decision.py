"""The decision: may this principal take this action on this resource, and why.

The rules in force are those of the default key policy (AWS KMS Developer Guide, "Default key
policy"): the account that owns the key may do everything, and an account speaks through its root
user. Everybody else is refused, with the reason that AWS gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: an IAM or STS ARN and its account."""

    arn: str
    account: str

    @property
    def is_root(self) -> bool:
        """Whether this is the account's root user."""
        return self.arn == f"arn:aws:iam::{self.account}:root"


class Resource(Protocol):
    """What is acted on: an ARN (or `*`), and the account that owns it."""

    @property
    def arn(self) -> str:
        """The ARN."""

    @property
    def account(self) -> str:
        """12 digits."""


@dataclass(frozen=True, slots=True)
class NamedResource:
    """A resource that is no object otherwise: an alias, or everything of an account (`*`)."""

    arn: str
    account: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed or not; `because` completes AWS's sentence in the second case."""

    allowed: bool
    because: str = ""


ALLOWED: Final = Decision(True)
_FOREIGN: Final = (
    "because the resource does not exist in this Region, no resource-based policies allow "
    "access, or a resource-based policy explicitly denies access"
)


def decide(principal: Principal, action: str, resource: Resource) -> Decision:
    """Decide one action on one resource."""
    if principal.account == resource.account:
        if principal.is_root:
            return ALLOWED
        return Decision(False, f"because no identity-based policy allows the {action} action")
    # AWS does not tell another account whether the resource exists.
    return Decision(False, _FOREIGN)


def decide_retirement(
    principal: Principal,
    key: Resource,
    *,
    issuing_account: str,
    retiring: str | None,
    grantee: str | None,
) -> Decision:
    """Decide RetireGrant, which a grant decides itself.

    Allowed are its retiring principal, its grantee where the grant has RetireGrant (else None is
    given), and the root users of the accounts that own the key and that issued the grant. A
    principal of another account also needs leave of its own, which only a root user has.
    Source: AWS KMS Developer Guide, "Retiring and revoking grants".
    """
    named = {retiring, grantee} - {None}
    home = principal.account == key.account
    if principal.is_root:
        if home or principal.account == issuing_account or principal.arn in named:
            return ALLOWED
    elif home and principal.arn in named:
        return ALLOWED
    if home:
        return Decision(False, "because no identity-based policy allows the kms:RetireGrant action")
    return Decision(False, _FOREIGN)


def default_key_policy(account: str) -> str:
    """The policy of a key that is made without one, as AWS writes it."""
    return (
        '{\n  "Version" : "2012-10-17",\n  "Id" : "key-default-1",\n  "Statement" : [ {\n'
        '    "Sid" : "Enable IAM User Permissions",\n    "Effect" : "Allow",\n'
        f'    "Principal" : {{\n      "AWS" : "arn:aws:iam::{account}:root"\n    }},\n'
        '    "Action" : "kms:*",\n    "Resource" : "*"\n  } ]\n}'
    )
