"""The boto3 client that users of Clavero's fixtures get."""

from clavero.testing import kms_boto3_client

__all__ = ["kms_boto3_client"]
