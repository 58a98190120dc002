"""The Regions of AWS in which KMS has multi-Region keys, by partition.

Source: botocore 1.44.5, data/endpoints.json, the endpoints of kms. tests/model compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_BY_PARTITION: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "aws": (
            "af-south-1",
            "ap-east-1",
            "ap-east-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-6",
            "ap-southeast-7",
            "ca-central-1",
            "ca-west-1",
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "il-central-1",
            "me-central-1",
            "me-south-1",
            "mx-central-1",
            "sa-east-1",
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
        ),
        "aws-cn": ("cn-north-1", "cn-northwest-1"),
        "aws-eusc": ("eusc-de-east-1",),
        "aws-iso": ("us-iso-east-1", "us-iso-west-1"),
        "aws-iso-b": ("us-isob-east-1", "us-isob-west-1"),
        "aws-iso-e": ("eu-isoe-west-1",),
        "aws-iso-f": ("us-isof-east-1", "us-isof-south-1"),
        "aws-us-gov": ("us-gov-east-1", "us-gov-west-1"),
    }
)
PARTITION_OF: Final[Mapping[str, str]] = MappingProxyType(
    {region: partition for partition, regions in _BY_PARTITION.items() for region in regions}
)
# How the Regions of each partition begin; all others are in `aws`.
_PREFIXES: Final = (
    ("cn-", "aws-cn"),
    ("eusc-", "aws-eusc"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-isof-", "aws-iso-f"),
    ("us-gov-", "aws-us-gov"),
)


def is_known(region: str) -> bool:
    """Whether AWS has the Region."""
    return region in PARTITION_OF


def partition_of(region: str) -> str:
    """The partition of a Region, of AWS's or of another name."""
    for prefix, partition in _PREFIXES:
        if region.startswith(prefix):
            return partition
    return "aws"
