"""AWS's words for the import of key material: what `errors` is for everything else.

[R] and [O] as there: recorded from AWS KMS (radkawar/stackd's testdata/aws/kms/imports*.json), and
ours where no AWS text is known.
"""

from __future__ import annotations

from clavero.model.errors import KMSError, validation


def spec_not_external(key_spec: str) -> KMSError:
    """CreateKey [R]."""
    return validation(f"KeySpec {key_spec} is not supported for Origin EXTERNAL")


def wrapping_incompatible(algorithm: str, wrapping_spec: str, key_spec: str) -> KMSError:
    """[R]"""
    return validation(
        f"Wrapping algorithm {algorithm} and wrapping key spec {wrapping_spec} cannot be used to "
        f"import a {key_spec} key."
    )


# --- ImportKeyMaterial's parameters --------------------------------------------------------------


def valid_to_required() -> KMSError:
    """[R]"""
    return validation("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")


def valid_to_refused() -> KMSError:
    """[R]"""
    return validation(
        "A validTo date cannot be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE"
    )


def valid_to_past() -> KMSError:
    """[R]"""
    return validation("ValidTo must be in the future")


def valid_to_far() -> KMSError:
    """[R]"""
    return validation("ValidTo must be less than 365 days in the future")


def only_for_symmetric(member: str, key_spec: str) -> KMSError:
    """[R]"""
    return validation(f"Input parameter {member} cannot be used with {key_spec} imported keys.")


def id_of_new_material() -> KMSError:
    """[R]"""
    return validation(
        "Input parameter keyMaterialId cannot be used with NEW_KEY_MATERIAL importType."
    )


def new_material_of_replica() -> KMSError:
    """[R]"""
    return validation(
        "Input parameter ImportType NEW_KEY_MATERIAL cannot be used on replica Multi-Region keys"
    )


def description_of_replica() -> KMSError:
    """[R]"""
    return validation("Key material description can only be specified on primary Multi-Region keys")


# --- tokens --------------------------------------------------------------------------------------


def invalid_token() -> KMSError:
    """Another key's, damaged, or made up: AWS says no more [R]."""
    return KMSError("InvalidImportTokenException")


def expired_token(hours: int) -> KMSError:
    """[O]"""
    return KMSError(
        "ExpiredImportTokenException",
        f"The import token is older than {hours} hours: call GetParametersForImport again, encrypt "
        "the key material under its public key, and send its token.",
    )


# --- the material --------------------------------------------------------------------------------


def other_material(expected_id: str) -> KMSError:
    """Not the material that the key had before, or not the one that the request names [R]."""
    return KMSError(
        "IncorrectKeyMaterialException",
        f"Imported key material does not have the expected identifier ({expected_id}).",
    )


def no_material_before(key_arn: str) -> KMSError:
    """EXISTING_KEY_MATERIAL of a key that never had any [O]."""
    return KMSError(
        "IncorrectKeyMaterialException",
        f"No key material has ever been imported into KMS key {key_arn}: import it as "
        "NEW_KEY_MATERIAL.",
    )


def material_known(material_id: str, key_arn: str) -> KMSError:
    """[R]"""
    return KMSError(
        "IncorrectKeyMaterialException",
        f"Key material (id: {material_id}) being imported as NEW_KEY_MATERIAL is already "
        f"associated with KMS key {key_arn}.",
    )


def material_pending(material_id: str, key_arn: str, pending_id: str) -> KMSError:
    """[R]"""
    return KMSError(
        "KMSInvalidStateException",
        f"New key material (id: {material_id}) cannot be imported into KMS key {key_arn}, because "
        f"another key material (id: {pending_id}) is pending rotation.",
    )


def material_unknown(material_id: str, key_arn: str) -> KMSError:
    """DeleteImportedKeyMaterial [R]."""
    return validation(
        f"Key material (id: {material_id}) has never been imported into KMS key {key_arn}."
    )
