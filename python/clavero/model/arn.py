"""Key identifiers: key ids, key ARNs, alias names and alias ARNs, parsed once."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from clavero.model import errors

ALIAS_PREFIX: Final = "alias/"
RESERVED_ALIAS_PREFIX: Final = "alias/aws/"

_KEY_ID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|mrk-[0-9a-fA-F]{32}")
_ALIAS_NAME = re.compile("alias/[a-zA-Z0-9/_-]+")
_ACCOUNT = re.compile("[0-9]{12}")
_REGION = re.compile("[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}")


class KeyReference(NamedTuple):
    """What a request calls a key. `value` is the key id, or the alias name with its `alias/`.

    Region and account are those of the ARN, or of the request for a bare id or name.
    """

    kind: Literal["key_id", "key_arn", "alias_name", "alias_arn"]
    region: str
    account: str
    value: str

    @property
    def is_alias(self) -> bool:
        return self.kind == "alias_name" or self.kind == "alias_arn"


def key_arn(region: str, account: str, key_id: str, *, partition: str = "aws") -> str:
    return f"arn:{partition}:kms:{region}:{account}:key/{key_id}"


def alias_arn(region: str, account: str, name: str, *, partition: str = "aws") -> str:
    """The ARN of an alias; `name` has its `alias/` prefix."""
    return f"arn:{partition}:kms:{region}:{account}:{name}"


def root_arn(account: str, *, partition: str = "aws") -> str:
    """The ARN of an account's root user, which stands for the account in policies."""
    return f"arn:{partition}:iam::{account}:root"


def is_key_id(text: str) -> bool:
    """Whether the text is a key id: a UUID, or mrk- and 32 hex digits, in either case."""
    return _KEY_ID.fullmatch(text) is not None


def is_account(text: str) -> bool:
    """Whether the text is an account id: twelve ASCII digits."""
    return _ACCOUNT.fullmatch(text) is not None


def is_region(text: str) -> bool:
    """Whether the text has the form of an AWS Region's name."""
    return _REGION.fullmatch(text) is not None


def check_alias_name(name: str) -> None:
    """Raises KMSError when no alias can have this name (reserved names are left to the caller)."""
    if not name.startswith(ALIAS_PREFIX):
        raise errors.alias_prefix_missing()
    if _ALIAS_NAME.fullmatch(name) is None:
        raise errors.alias_characters(name)


def is_reserved_alias(name: str) -> bool:
    """Whether only AWS managed keys may have the name."""
    return name.startswith(RESERVED_ALIAS_PREFIX)


def is_alias(reference: str) -> bool:
    """Whether a reference to a key is an alias name or an alias ARN."""
    return reference.startswith(ALIAS_PREFIX) or (
        reference.startswith("arn:") and ":alias/" in reference
    )


def is_multi_region_elsewhere(reference: str, region: str) -> bool:
    """Whether a reference is the ARN of a multi-Region key in another Region than `region`."""
    parts = reference.split(":", 5)
    return len(parts) == 6 and parts[3] != region and parts[5].startswith("key/mrk-")


def parse_key_reference(
    text: str, *, region: str, account: str, partition: str = "aws"
) -> KeyReference:
    """What a KeyId (or TargetKeyId, ...) refers to, seen from the request's Region and account.

    Raises KMSError: NotFoundException for an id or ARN that no key can have, or an ARN of another
    Region (AWS answers `Invalid arn` and that Region); ValidationException for an alias name with
    characters that none has. Whether the key exists, and in whose account, is for the caller.
    """
    if text.startswith("arn:"):
        return _parse_arn(text, region, partition)
    if text.startswith(ALIAS_PREFIX):
        check_alias_name(text)
        return KeyReference("alias_name", region, account, text)
    if _KEY_ID.fullmatch(text) is None:
        raise errors.invalid_key_id(text)
    return KeyReference("key_id", region, account, text)


def _parse_arn(text: str, region: str, partition: str) -> KeyReference:
    parts = text.split(":", 5)
    if (
        len(parts) != 6
        or parts[1] != partition
        or parts[2] != "kms"
        or _ACCOUNT.fullmatch(parts[4]) is None
    ):
        raise errors.invalid_arn(text)
    _, _, _, arn_region, account, resource = parts
    if arn_region != region:
        raise errors.invalid_arn(arn_region)
    if resource.startswith("key/"):
        key_id = resource[4:]
        if _KEY_ID.fullmatch(key_id) is None:
            raise errors.invalid_key_id_in_arn(key_id)
        return KeyReference("key_arn", region, account, key_id)
    if resource.startswith(ALIAS_PREFIX):
        check_alias_name(resource)
        return KeyReference("alias_arn", region, account, resource)
    raise errors.invalid_arn(text)


def iam_arn(account: str, kind: str, path: str, name: str) -> str:
    """The ARN of a user, group, role or policy: `kind` is its word, `path` from slash to slash."""
    return f"arn:aws:iam::{account}:{kind}{path}{name}"
