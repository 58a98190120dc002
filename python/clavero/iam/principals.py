"""Principals as grants name them: which texts are one, and whose.

Source: AWS KMS API reference, CreateGrant; IAM User Guide, "IAM ARNs". Whether a user or a role
exists is not known here: what has the form of one is one.
"""

from __future__ import annotations

import re
from typing import Final

from clavero.model import arn, errors

_ARN: Final = re.compile(
    r"arn:aws:(?:iam::([0-9]{12}):(?:root|(?:user|role)/[\w+=,.@/-]+)"
    r"|sts::([0-9]{12}):(?:assumed-role/[\w+=,.@-]+/[\w+=,.@-]+|federated-user/[\w+=,.@-]+))",
    re.ASCII,
)
# The unique ids under which AWS remembers users, roles and sessions of roles.
_UNIQUE_ID: Final = re.compile(r"A(?:ID|RO)A[A-Z0-9]{12,124}(?::[\w+=,.@-]+)?", re.ASCII)
_SERVICE: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.amazonaws\.com")


def checked(given: str) -> str:
    """The principal in one form: an account id becomes its root ARN. InvalidArnException: none."""
    if arn.is_account(given):
        return arn.root_arn(given)
    if _ARN.fullmatch(given) or _UNIQUE_ID.fullmatch(given) or _SERVICE.fullmatch(given):
        return given
    if given.startswith("arn:"):
        raise errors.malformed_arn(f"ARN is not valid: {given}")
    raise errors.malformed_arn(f"ARN does not refer to a valid principal: {given}")


def account_of(principal: str) -> str | None:
    """The account of a principal that is named by its ARN, else None."""
    match = _ARN.fullmatch(principal)
    return None if match is None else match[1] or match[2]
