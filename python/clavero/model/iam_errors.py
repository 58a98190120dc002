"""AWS's words for what IAM, STS and Organizations refuse: codes and statuses as theirs.

Source: IAM and STS API references, "Errors" of each operation; texts as AWS answers them, quoted in
public reports and in botocore's and Terraform's tests; [O] where ours, because none is known.
"""

from __future__ import annotations

from clavero.model.errors import KMSError


def no_such_entity(message: str) -> KMSError:
    return KMSError("NoSuchEntity", message, http_status=404)


def not_found(kind: str, name: str) -> KMSError:
    """`kind` is user, group, role, user policy, role policy, ..."""
    return no_such_entity(f"The {kind} with name {name} cannot be found.")


def policy_not_found(policy_arn: str) -> KMSError:
    return no_such_entity(f"Policy {policy_arn} was not found.")


def policy_not_attachable(policy_arn: str) -> KMSError:
    return no_such_entity(f"Policy {policy_arn} does not exist or is not attachable.")


def version_not_found(policy_arn: str, version: str) -> KMSError:
    return no_such_entity(f"Policy {policy_arn} version {version} does not exist.")


def access_key_not_found(access_key_id: str) -> KMSError:
    return no_such_entity(f"The Access Key with id {access_key_id} cannot be found.")


def already_exists(kind: str, name: str) -> KMSError:
    if kind == "policy":
        text = f"A policy called {name} already exists. Duplicate names are not allowed."
    else:
        text = f"{kind.capitalize()} with name {name} already exists."
    return KMSError("EntityAlreadyExists", text, http_status=409)


def quota(name: str, most: int) -> KMSError:
    return KMSError("LimitExceeded", f"Cannot exceed quota for {name}: {most}", http_status=409)


def inline_size(kind: str, name: str, most: int) -> KMSError:
    return KMSError(
        "LimitExceeded",
        f"Maximum policy size of {most} bytes exceeded for {kind} {name}",
        http_status=409,
    )


def too_many_versions() -> KMSError:
    return KMSError(
        "LimitExceeded",
        "A managed policy can have up to 5 versions. Before you create a new version, you must "
        "delete an existing version.",
        http_status=409,
    )


def delete_conflict(message: str) -> KMSError:
    return KMSError("DeleteConflict", message, http_status=409)


def must_first(what: str) -> KMSError:
    """`what` is what the entity still has: `detach all policies`."""
    return delete_conflict(f"Cannot delete entity, must {what} first.")


def malformed_document(message: str) -> KMSError:
    return KMSError("MalformedPolicyDocument", message, http_status=400)


def invalid_input(message: str) -> KMSError:
    return KMSError("InvalidInput", message, http_status=400)


def invalid_value(member: str) -> KMSError:
    return KMSError(
        "ValidationError",
        f"The specified value for {member} is invalid. It must contain only alphanumeric "
        "characters and/or the following: +=,.@_-",
        http_status=400,
    )


def constraint(member: str, value: object, rule: str) -> KMSError:
    """`rule` as AWS words constraints: `Member must have length less than or equal to 64`."""
    return KMSError(
        "ValidationError",
        f"1 validation error detected: Value '{str(value)[:64]}' at '{member}' failed to satisfy "
        f"constraint: {rule}",
        http_status=400,
    )


def unmodifiable(message: str) -> KMSError:
    return KMSError("UnmodifiableEntity", message, http_status=400)


# --- STS -----------------------------------------------------------------------------------------


def sts_validation(message: str) -> KMSError:
    return KMSError("ValidationError", message, http_status=400)


def access_denied(message: str) -> KMSError:
    return KMSError("AccessDenied", message, http_status=403)


def packed_policy_too_large(percent: int) -> KMSError:
    return KMSError(
        "PackedPolicyTooLarge",
        f"Serialized token too large for session: the policies and tags take {percent}% of what a "
        "token can hold",
        http_status=400,
    )


def expired_token() -> KMSError:
    return KMSError(
        "ExpiredTokenException", "The security token included in the request is expired"
    )


def unknown_token() -> KMSError:
    return KMSError(
        "UnrecognizedClientException", "The security token included in the request is invalid."
    )


# --- Organizations -------------------------------------------------------------------------------


def organization_error(code: str, message: str) -> KMSError:
    return KMSError(code, message, http_status=400)
