"""How IAM's operations write what they answer, and read what several of them are given.

Source: botocore's model of IAM: User, Group, Role, Policy, PolicyVersion, AccessKeyMetadata, Tag.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

from clavero.identity.identities import Identities
from clavero.identity.managed import version_id
from clavero.model import iam_errors
from clavero.model.errors import KMSError
from clavero.ops.call import Call, Response
from clavero.store.accounts import AccessKeyRow
from clavero.store.identities import IdentityRow, VersionRow

_DEFAULT_PAGE: Final = 100


def user(row: IdentityRow, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A User."""
    return entity("User", row, tags)


def entity(kind: str, row: IdentityRow, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What users, groups and roles have in common; `kind` is User, Group or Role."""
    boundary = None
    if row.boundary is not None:
        boundary = {
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": row.boundary,
        }
    return {
        "Path": row.path,
        f"{kind}Name": row.name,
        f"{kind}Id": row.unique_id,
        "Arn": row.arn,
        "CreateDate": row.created,
        "PermissionsBoundary": boundary,
        "Tags": tags_of(tags) if tags else None,
    }


def role(row: IdentityRow, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A Role."""
    return {
        **entity("Role", row, tags),
        "AssumeRolePolicyDocument": row.trust,
        "Description": row.description or None,
        "MaxSessionDuration": row.max_session,
    }


def policy(
    ids: Identities, account: str, row: IdentityRow, tags: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A Policy, with how often it is used in the account."""
    return {
        "PolicyName": row.name,
        "PolicyId": row.unique_id,
        "Arn": row.arn,
        "Path": row.path,
        "DefaultVersionId": version_id(row.default_version or 1),
        "AttachmentCount": _count(account, ids.policies.attached_to(row.arn)),
        "PermissionsBoundaryUsageCount": _count(account, ids.policies.bounds(row.arn)),
        "IsAttachable": True,
        "Description": row.description or None,
        "CreateDate": row.created,
        "UpdateDate": ids.policies.versions(row.arn)[0].created,
        "Tags": tags_of(tags) if tags else None,
    }


def _count(account: str, rows: Sequence[IdentityRow]) -> int:
    # A policy of AWS's may be attached in every account: each sees its own only.
    return sum(row.account == account for row in rows)


def version(row: VersionRow, default: int | None) -> dict[str, Any]:
    """A PolicyVersion without its document."""
    return {
        "VersionId": version_id(row),
        "IsDefaultVersion": row.version == default,
        "CreateDate": row.created,
    }


def access_key(row: AccessKeyRow, user: str | None) -> dict[str, Any]:
    """An AccessKeyMetadata."""
    return {
        "UserName": user,
        "AccessKeyId": row.access_key_id,
        "Status": "Active" if row.active else "Inactive",
        "CreateDate": row.created,
    }


def tags_of(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def attached(policy_arns: Sequence[str]) -> list[dict[str, str]]:
    """AttachedPolicies."""
    return [{"PolicyName": each.rsplit("/", 1)[-1], "PolicyArn": each} for each in policy_arns]


def given_tags(call: Call) -> dict[str, str]:
    """The call's Tags. InvalidInput: a tag key twice."""
    given = call.params.get("Tags") or ()
    tags = {each["TagKey"]: each["TagValue"] for each in given}
    if len(tags) != len(given):
        raise iam_errors.invalid_input(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        )
    return tags


def page(call: Call, member: str, items: Sequence[Any]) -> Response:
    """A page of the items, which are in order; a marker is the place of the next one."""
    first = _place(call.params.get("Marker"))
    size = call.params.get("MaxItems", _DEFAULT_PAGE)
    found = list(items[first : first + size])
    more = first + size < len(items)
    answer: Response = {member: found, "IsTruncated": more}
    if more:
        answer["Marker"] = base64.b64encode(str(first + size).encode()).decode()
    return answer


def _place(marker: str | None) -> int:
    if marker is None:
        return 0
    try:
        text = base64.b64decode(marker, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not text.isdecimal():
        raise KMSError("ValidationError", "Invalid Marker.", http_status=400)
    return int(text)
