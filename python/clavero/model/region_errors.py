"""AWS's words for what multi-Region keys are refused. The letters are those of `errors`.

[R] is radkawar/stackd's testdata/aws/kms/multi_region.json and imports_multi_region.json.
"""

from __future__ import annotations

from clavero.model.errors import KMSError, validation


def not_a_primary_key(key_arn: str) -> KMSError:
    """ReplicateKey of a replica [R]; the same for a single-Region key [O]."""
    return KMSError(
        "UnsupportedOperationException", f"{key_arn} is not a multi-region primary key."
    )


def not_the_primary_key(key_arn: str) -> KMSError:
    """UpdatePrimaryRegion asked of a replica [R]; the same for a single-Region key [O]."""
    return KMSError("KMSInvalidStateException", f"{key_arn} is not a multi-Region primary key.")


def replica_of(key_arn: str, operation: str) -> KMSError:
    """What only a primary key can be asked for [R]."""
    return KMSError(
        "UnsupportedOperationException",
        f"{key_arn} is a multi-region replica key which is not valid for {operation}.",
    )


def region_of_the_primary(region: str) -> KMSError:
    """[R]"""
    return validation(f"{region} cannot have a replica because it contains the primary.")


def region_of_another_partition() -> KMSError:
    """[R]"""
    return validation(
        "The replica key Region must be in the same AWS partition as the primary key Region."
    )


def unknown_region(region: str) -> KMSError:
    """[R]"""
    return validation(
        f"Region {region} is not a valid Region or multi-Region keys are not supported in Region "
        f"{region}."
    )


def replica_exists() -> KMSError:
    """Also while the replica waits for its deletion [R]."""
    return KMSError(
        "AlreadyExistsException",
        "You can create only one replica of each primary key in each AWS Region.",
    )


def no_replica_there(key_id: str) -> KMSError:
    """[R]"""
    return validation(f"{key_id} does not have a replica key in the specified Region.")


def material_missing_in_replicas() -> KMSError:
    """[R]"""
    return KMSError(
        "KMSInvalidStateException",
        "Cannot perform key material rotation: Key material has not been imported for replicas of "
        "the Multi-Region key.",
    )
