"""What names, paths, tags and documents of identities may be, and how many there may be of each.

Source: IAM User Guide, "IAM and AWS STS quotas"; IAM API Reference, the parameters of each
operation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from clavero.iam import documents
from clavero.iam.documents import Kind
from clavero.model import arn, iam_errors
from clavero.model.errors import KMSError

# Each account's.
MOST: Final[Mapping[str, int]] = {"user": 5000, "group": 300, "role": 1000, "policy": 1500}
QUOTA_NAMES: Final[Mapping[str, str]] = {
    "user": "UsersPerAccount",
    "group": "GroupsPerAccount",
    "role": "RolesPerAccount",
    "policy": "PoliciesPerAccount",
}
NAME_LENGTHS: Final[Mapping[str, int]] = {"user": 64, "group": 128, "role": 64, "policy": 128}
# All inline policies of one together, in characters that are no white space.
INLINE_SIZES: Final[Mapping[str, int]] = {"user": 2048, "group": 5120, "role": 10240}
MANAGED_SIZE: Final = 6144
TRUST_SIZE: Final = 2048
ATTACHED: Final = 10
GROUPS_PER_USER: Final = 10
ACCESS_KEYS_PER_USER: Final = 2
VERSIONS_PER_POLICY: Final = 5
TAGS: Final = 50
MIN_SESSION: Final = 3600
MAX_SESSION: Final = 43_200

_NAME: Final = re.compile(r"[\w+=,.@-]+", re.ASCII)
_PATH: Final = re.compile(r"/|/[\x21-\x7e]*/")
_POLICY_ARN: Final = re.compile(
    r"arn:aws:iam::([0-9]{12}|aws):policy(/(?:[\x21-\x7e]*/)?)([\w+=,.@-]+)", re.ASCII
)
_TAG: Final = re.compile(r"[\w\s.:/=+\-@]*")


def checked_account(account: str) -> str:
    """The account; ValidationError unless it has 12 digits."""
    if not arn.is_account(account):
        raise iam_errors.constraint(
            "accountId", account, "Member must satisfy regular expression pattern: \\d{12}"
        )
    return account


def checked_name(kind: str, name: str, *, inline: bool = False) -> str:
    """The name of a user, group, role or policy, or of an inline policy. ValidationError."""
    member = "policyName" if inline else f"{kind}Name"
    most = 128 if inline else NAME_LENGTHS[kind]
    if not name or len(name) > most:
        bound = f"Member must have length {'less' if name else 'greater'} than or equal to"
        raise iam_errors.constraint(member, name, f"{bound} {most if name else 1}")
    if _NAME.fullmatch(name) is None:
        raise iam_errors.invalid_value(member)
    return name


def checked_path(path: str, member: str = "path") -> str:
    """A path: `/`, or from slash to slash. ValidationError."""
    if len(path) > 512 or _PATH.fullmatch(path) is None:
        raise KMSError(
            "ValidationError",
            f"The specified value for {member} is invalid. It must begin and end with / and "
            "contain only alphanumeric characters and/or / characters.",
            http_status=400,
        )
    return path


def checked_prefix(path: str) -> str:
    """What paths begin with. ValidationError."""
    if not path.startswith("/") or len(path) > 512:
        raise iam_errors.invalid_value("pathPrefix")
    return path


def checked_description(text: str) -> str:
    """A description: up to 1000 characters. ValidationError."""
    if len(text) > 1000:
        raise iam_errors.constraint(
            "description", text, "Member must have length less than or equal to 1000"
        )
    return text


def checked_session(seconds: int) -> int:
    """A role's MaxSessionDuration. ValidationError."""
    if not MIN_SESSION <= seconds <= MAX_SESSION:
        bound = (
            f"greater than or equal to {MIN_SESSION}"
            if seconds < MIN_SESSION
            else f"less than or equal to {MAX_SESSION}"
        )
        raise iam_errors.constraint(
            "maxSessionDuration", seconds, f"Member must have value {bound}"
        )
    return seconds


def policy_parts(policy_arn: str) -> tuple[str, str, str]:
    """Account (or `aws`), path and name of a managed policy's ARN. InvalidInput."""
    match = _POLICY_ARN.fullmatch(policy_arn)
    if match is None:
        raise iam_errors.invalid_input(f"ARN {policy_arn[:128]} is not valid.")
    return match[1], match[2], match[3]


def merged_tags(before: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """The tags with more of them: a tag key counts once, in whatever case. InvalidInput and so on.

    Source: IAM User Guide, "Tags for IAM resources", "Rules for tagging".
    """
    folded = {key.lower() for key in more}
    if len(folded) != len(more):
        raise iam_errors.invalid_input(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        )
    for key, value in more.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise iam_errors.constraint(
                "tags", key, "Member must have length between 1 and 128, its value up to 256"
            )
        if _TAG.fullmatch(key) is None or _TAG.fullmatch(value) is None:
            raise iam_errors.invalid_input("The tag has characters that tags cannot have.")
        if key.lower().startswith("aws:"):
            raise iam_errors.invalid_input("Tag keys that begin with aws: are reserved.")
    merged = {key: value for key, value in before.items() if key.lower() not in folded}
    merged.update(more)
    if len(merged) > TAGS:
        raise iam_errors.quota("TagsPerResource", TAGS)
    return merged


def checked_document(text: str, kind: Kind) -> str:
    """A policy document of a kind. MalformedPolicyDocument."""
    try:
        documents.parse(text, kind)
    except KMSError as error:
        raise iam_errors.malformed_document(error.message) from None
    return text


def checked_trust(text: str) -> str:
    """A role's trust policy. MalformedPolicyDocument, LimitExceeded."""
    checked_document(text, Kind.TRUST)
    if size_of(text) > TRUST_SIZE:
        raise iam_errors.quota("ACLSizePerRole", TRUST_SIZE)
    return text


def checked_managed(text: str) -> str:
    """A managed policy's document. MalformedPolicyDocument, LimitExceeded."""
    checked_document(text, Kind.IDENTITY)
    if size_of(text) > MANAGED_SIZE:
        raise iam_errors.quota("PolicySize", MANAGED_SIZE)
    return text


def size_of(text: str) -> int:
    """The size of a document as quotas count it: without white space."""
    return len("".join(text.split()))


def check_sizes(kind: str, name: str, inline: Mapping[str, str]) -> None:
    """LimitExceeded where the inline policies of one are too long together."""
    most = INLINE_SIZES[kind]
    if sum(map(size_of, inline.values())) > most:
        raise iam_errors.inline_size(kind, name, most)
