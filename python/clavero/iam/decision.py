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


def decide(principal: Principal, action: str, resource: Resource) -> Decision:
    """Decide one action on one resource."""
    if principal.account == resource.account:
        if principal.is_root:
            return ALLOWED
        return Decision(False, f"because no identity-based policy allows the {action} action")
    # AWS does not tell another account whether the resource exists.
    return Decision(
        False,
        "because the resource does not exist in this Region, no resource-based policies allow "
        "access, or a resource-based policy explicitly denies access",
    )


def default_key_policy(account: str) -> str:
    """The policy of a key that is made without one, as AWS writes it."""
    return (
        '{\n  "Version" : "2012-10-17",\n  "Id" : "key-default-1",\n  "Statement" : [ {\n'
        '    "Sid" : "Enable IAM User Permissions",\n    "Effect" : "Allow",\n'
        f'    "Principal" : {{\n      "AWS" : "arn:aws:iam::{account}:root"\n    }},\n'
        '    "Action" : "kms:*",\n    "Resource" : "*"\n  } ]\n}'
    )
