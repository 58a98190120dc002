"""AWS managed keys: which services have one, its description, its policy, and what it closes.

Sources: AWS KMS Developer Guide, "AWS managed keys"; botocore's texts on DescribeKey and
ListAliases ("predefined aliases"). Which aliases an account has before any use: two public listings
of accounts agree. Descriptions and policies: of S3, EBS, RDS, Lambda, EFS, SSM, Glue, DynamoDB and
Secrets Manager, in public reports; the others' are in the same form.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from clavero.model import arn

# AWS KMS API reference, EnableKeyRotation: AWS managed keys rotate every year.
ROTATION_DAYS: Final = 365

MANAGER: Final = "AWS"


class Service(NamedTuple):
    """A service with an AWS managed key: its title, what the key protects, its kms:ViaService."""

    title: str
    protects: str
    host: str


def _table(*rows: tuple[str, str, str] | tuple[str, str, str, str]) -> Mapping[str, Service]:
    services = {}
    for name, title, protects, *host in rows:
        services[arn.RESERVED_ALIAS_PREFIX + name] = Service(title, protects, *(host or [name]))
    return MappingProxyType(services)


# By the name of the alias.
SERVICES: Final = _table(
    ("acm", "ACM", "ACM private keys"),
    ("backup", "AWS Backup", "Backup data"),
    ("codeartifact", "CodeArtifact", "CodeArtifact data"),
    ("codecommit", "CodeCommit", "CodeCommit repositories"),
    ("connect", "Amazon Connect", "Connect data"),
    ("dms", "DMS", "DMS data"),
    ("dynamodb", "Amazon DynamoDB", "DynamoDB data"),
    ("ebs", "EBS", "EBS volumes", "ec2"),
    ("ecr", "Amazon ECR", "ECR data"),
    ("elasticache", "ElastiCache", "ElastiCache data"),
    ("elasticfilesystem", "EFS", "EFS filesystems"),
    ("es", "OpenSearch", "OpenSearch data"),
    ("fsx", "FSx", "FSx file systems"),
    ("glue", "Glue", "Glue data"),
    ("kafka", "Amazon MSK", "MSK data"),
    ("kinesis", "Kinesis", "Kinesis data"),
    ("kinesisvideo", "Kinesis Video Streams", "Kinesis Video Streams data"),
    ("lambda", "AWS Lambda", "Lambda functions"),
    ("lightsail", "Lightsail", "Lightsail data"),
    ("mq", "Amazon MQ", "MQ data"),
    ("rds", "RDS", "RDS database volumes"),
    ("redshift", "Redshift", "Redshift clusters"),
    ("s3", "S3", "S3 objects"),
    ("secretsmanager", "AWS Secrets Manager", "Secrets Manager data"),
    ("ses", "SES", "SES data"),
    ("sns", "SNS", "SNS data"),
    ("sqs", "SQS", "SQS messages"),
    ("ssm", "SSM", "SSM parameters"),
    ("workspaces", "WorkSpaces", "WorkSpaces volumes"),
    ("xray", "X-Ray", "X-Ray data"),
)

# What ListAliases shows before any use, without a key; the others' names come with their keys.
PREDEFINED: Final = tuple(
    arn.RESERVED_ALIAS_PREFIX + name
    for name in (
        "dynamodb", "ebs", "elasticfilesystem", "es", "glue", "kinesisvideo", "rds", "redshift",
        "s3", "ssm", "xray",
    )
)  # fmt: skip


def description(alias: str) -> str:
    """The key's Description."""
    return f"Default key that protects my {SERVICES[alias].protects} when no other key is defined"


def policy(alias: str, region: str, account: str) -> str:
    """The key's policy, as AWS writes it."""
    service = SERVICES[alias]
    name = alias.removeprefix(arn.RESERVED_ALIAS_PREFIX)
    return (
        f'{{\n  "Version" : "2012-10-17",\n  "Id" : "auto-{name}-2",\n  "Statement" : [ {{\n'
        f'    "Sid" : "Allow access through {service.title} for all principals in the account that '
        f'are authorized to use {service.title}",\n    "Effect" : "Allow",\n'
        '    "Principal" : {\n      "AWS" : "*"\n    },\n'
        '    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", '
        '"kms:CreateGrant", "kms:DescribeKey" ],\n    "Resource" : "*",\n'
        '    "Condition" : {\n      "StringEquals" : {\n'
        f'        "kms:ViaService" : "{service.host}.{region}.amazonaws.com",\n'
        f'        "kms:CallerAccount" : "{account}"\n      }}\n    }}\n  }}, {{\n'
        '    "Sid" : "Allow direct access to key metadata to the account",\n'
        '    "Effect" : "Allow",\n    "Principal" : {\n'
        f'      "AWS" : "arn:aws:iam::{account}:root"\n    }},\n'
        '    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],\n'
        '    "Resource" : "*"\n  } ]\n}'
    )
