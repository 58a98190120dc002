"""The error that the service raises, and AWS's words for each situation: no other module words one.

Those that only imports of key material have are in `import_errors`.
Where the texts come from: [L] recorded from AWS KMS, localstack's
tests/aws/services/kms/test_kms.snapshot.json; [R] recorded from AWS KMS, radkawar/stackd's
testdata/aws/kms; [F] measured in us-east-1 for github.com/floci-io/floci/pull/3968, or where it
says; [P] quoted from AWS in a public report that is named;
[O] ours, because no AWS text is known: it says what was wrong and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from clavero.model.generated import EXCEPTIONS

# Codes that every AWS JSON service sends and that the KMS model therefore does not list.
_COMMON_STATUS = {
    "AccessDeniedException": 400,
    "ExpiredTokenException": 400,
    "IncompleteSignatureException": 400,
    "InternalFailure": 500,
    "InvalidSignatureException": 400,
    "MissingAuthenticationTokenException": 400,
    "NotAuthorizedException": 400,
    "RequestExpired": 400,
    "SerializationException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 400,
    "UnknownOperationException": 400,
    "UnrecognizedClientException": 400,
    "ValidationException": 400,
}

HTTP_STATUS: Final[Mapping[str, int]] = MappingProxyType(
    {**_COMMON_STATUS, **{code: status for code, status, _ in EXCEPTIONS.values()}}
)


class KMSError(Exception):
    """A request is refused: AWS's error code, text and HTTP status.

    `members` are further members of the modelled exception, beside its message. The status comes
    from the model; ValueError for a code that is not AWS's when no status is given.
    """

    __slots__ = ("code", "http_status", "members", "message")

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        http_status: int | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        if http_status is None:
            http_status = HTTP_STATUS.get(code)
            if http_status is None:
                raise ValueError(f"{code!r} is no error code of AWS KMS: give its http_status")
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.http_status = http_status
        self.members: dict[str, object] = dict(members) if members else {}

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


# --- the request ---------------------------------------------------------------------------------


def validation(message: str) -> KMSError:
    return KMSError("ValidationException", message)


def serialization(message: str) -> KMSError:
    return KMSError("SerializationException", message)


def member_required(member: str) -> KMSError:
    """A member that this request needs, though others of the operation do not. AWS's form."""
    return validation(
        f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: "
        "Member must not be null"
    )


def number_of_bytes_required() -> KMSError:
    """GenerateRandom without a size [L]."""
    return validation("NumberOfBytes is required.")


def data_key_size_required() -> KMSError:
    """GenerateDataKey with neither or both of the sizes [F]."""
    return validation("Please specify either number of bytes or key spec.")


def invalid_marker() -> KMSError:
    """AWS answers without a message [R]."""
    return KMSError("InvalidMarkerException")


def dry_run() -> KMSError:
    """[L]"""
    return KMSError(
        "DryRunOperationException",
        "The request would have succeeded, but the DryRun option is set.",
    )


def throttled() -> KMSError:
    """[P: AWS KMS Developer Guide, "Throttling AWS KMS requests"]"""
    return KMSError(
        "ThrottlingException",
        "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
    )


def operation_not_built(operation: str) -> KMSError:
    """[O]"""
    return KMSError(
        "UnsupportedOperationException",
        f"{operation} is not supported by this release of Clavero: upgrade, or use AWS KMS.",
    )


def unknown_operation() -> KMSError:
    """AWS answers without a message."""
    return KMSError("UnknownOperationException")


def internal(message: str) -> KMSError:
    return KMSError("KMSInternalException", message)


# --- which key -----------------------------------------------------------------------------------


def key_not_found(key_arn: str) -> KMSError:
    """[L]"""
    return KMSError("NotFoundException", f"Key '{key_arn}' does not exist")


def alias_not_found(alias_arn: str) -> KMSError:
    """[F]"""
    return KMSError("NotFoundException", f"Alias {alias_arn} is not found.")


def invalid_key_id(key_id: str) -> KMSError:
    """A key id that is neither a UUID nor an mrk- id [L]."""
    return KMSError("NotFoundException", f"Invalid keyId '{key_id}'")


def invalid_key_id_in_arn(key_id: str) -> KMSError:
    """The same inside a key ARN, where AWS leaves the quotes out [F]."""
    return KMSError("NotFoundException", f"Invalid keyId {key_id}")


def invalid_arn(what: str) -> KMSError:
    """An ARN that is no key's or alias's; for one of another Region, AWS names the Region [L]."""
    return KMSError("NotFoundException", f"Invalid arn {what}")


def aliases_not_supported() -> KMSError:
    """An alias where only a key id or a key ARN is taken [R]."""
    return KMSError("InvalidArnException", "Key Aliases are not supported for this operation.")


def malformed_arn(message: str) -> KMSError:
    """An ARN in a policy or a grant that is none. The caller words it: AWS's text varies."""
    return KMSError("InvalidArnException", message)


# --- the state and the kind of the key -----------------------------------------------------------

# [L] pending import; [F] pending deletion; the rest follow the same pattern [O].
_STATE_TEXT = {
    "PendingDeletion": "pending deletion",
    "PendingImport": "pending import",
    "PendingReplicaDeletion": "pending replica deletion",
    "Creating": "creating",
    "Updating": "updating",
    "Unavailable": "unavailable",
    "Enabled": "enabled",
    "Disabled": "disabled",
}


def key_disabled(key_arn: str) -> KMSError:
    """[L]"""
    return KMSError("DisabledException", f"{key_arn} is disabled.")


def key_state(key_arn: str, state: str) -> KMSError:
    """The key state (a KeyState of the model) does not allow the operation."""
    return KMSError("KMSInvalidStateException", f"{key_arn} is {_STATE_TEXT[state]}.")


def key_pending_deletion(key_arn: str) -> KMSError:
    return key_state(key_arn, "PendingDeletion")


def key_not_pending_deletion(key_arn: str) -> KMSError:
    """CancelKeyDeletion of a key that nobody scheduled [P: reports of the AWS console and CLI]."""
    return KMSError(
        "KMSInvalidStateException",
        f"{key_arn} is not pending deletion (or pending replica deletion).",
    )


def key_usage(key_arn: str, usage: str, operation: str) -> KMSError:
    """[L]"""
    return KMSError(
        "InvalidKeyUsageException",
        f"{key_arn} key usage is {usage} which is not valid for {operation}.",
    )


def algorithm_incompatible(algorithm: str, key_spec: str) -> KMSError:
    """[L]"""
    return KMSError(
        "InvalidKeyUsageException",
        f"Algorithm {algorithm} is incompatible with key spec {key_spec}.",
    )


def key_origin(key_arn: str, origin: str) -> KMSError:
    """[L]"""
    return KMSError(
        "UnsupportedOperationException",
        f"{key_arn} origin is {origin} which is not valid for this operation.",
    )


def key_usage_required() -> KMSError:
    """CreateKey of anything but a symmetric encryption key [L]."""
    return validation(
        "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
    )


def usage_incompatible(usage: str, key_spec: str) -> KMSError:
    """[L]"""
    return validation(f"KeyUsage {usage} is not compatible with KeySpec {key_spec}")


def only_in_china(key_spec: str) -> KMSError:
    """SM2, outside of the China Regions [F: floci-io/floci/issues/3026]."""
    return KMSError(
        "UnsupportedOperationException", f"KeySpec {key_spec} is not supported in this Region"
    )


def no_data_key_of_asymmetric() -> KMSError:
    """A data key under a key pair that encrypts [F]."""
    return KMSError(
        "InvalidKeyUsageException", "You cannot generate a data key with an asymmetric CMK"
    )


def no_public_key() -> KMSError:
    """GetPublicKey of a symmetric or an HMAC key: AWS says no more [R]."""
    return KMSError("UnsupportedOperationException")


# --- messages, signatures, MACs ------------------------------------------------------------------


def message_type_of_spec(message_type: str, key_spec: str) -> KMSError:
    """[R]"""
    return validation(f"Message type {message_type} is incompatible with key spec {key_spec}.")


def message_type_of_algorithm(message_type: str, algorithm: str) -> KMSError:
    """[R]"""
    return validation(f"Message type {message_type} is incompatible with algorithm {algorithm}.")


def digest_length(algorithm: str) -> KMSError:
    """[L]"""
    return validation(f"Digest is invalid length for algorithm {algorithm}.")


def external_mu_length(algorithm: str) -> KMSError:
    """[P: radkawar/stackd]"""
    return validation(f"External Mu is invalid length for algorithm {algorithm}.")


def invalid_signature() -> KMSError:
    """AWS says no more [R]."""
    return KMSError("KMSInvalidSignatureException")


def invalid_mac() -> KMSError:
    """AWS says no more [R]."""
    return KMSError("KMSInvalidMacException")


def invalid_public_key() -> KMSError:
    """A peer's public key that is malformed, or of another curve: AWS says no more [R]."""
    return validation("")


# --- rotation ------------------------------------------------------------------------------------


def rotation_unsupported() -> KMSError:
    """A key that is no symmetric encryption key: without a word [L, R]."""
    return KMSError("UnsupportedOperationException")


def only_of_symmetric(member: str) -> KMSError:
    """A parameter of ListKeyRotations, on any other key [R: HMAC, RSA and ECC keys]."""
    return validation(f"Input parameter {member} can only be used with symmetric keys.")


def rotation_conflict(key_arn: str) -> KMSError:
    """[O]"""
    return KMSError(
        "ConflictException",
        f"An automatic rotation of {key_arn} begins within the next 20 minutes: wait for it, and "
        "then rotate on demand if you still want to.",
    )


def on_demand_quota(key_arn: str) -> KMSError:
    """[L]"""
    return limit_exceeded(
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand "
        f"rotations can be performed for this key: {key_arn}"
    )


def no_pending_material(key_arn: str) -> KMSError:
    """[L]"""
    return KMSError(
        "KMSInvalidStateException",
        f"No available key material pending rotation for the key: {key_arn}.",
    )


# --- ciphertexts ---------------------------------------------------------------------------------


def invalid_ciphertext() -> KMSError:
    """Unknown key version, damaged blob or other context: one error without a word [L]."""
    return KMSError("InvalidCiphertextException")


def incorrect_key() -> KMSError:
    """The blob belongs to another key than the request names [L]."""
    return KMSError(
        "IncorrectKeyException",
        "The key ID in the request does not identify a CMK that can perform this operation.",
    )


def attestation_refused(reason: str) -> KMSError:
    """Recipient's document: ValidationException as AWS sends, whose text is not known. [O]"""
    return validation(f"The attestation document in Recipient was refused: {reason}.")


def plaintext_too_long(algorithm: str, key_spec: str, limit: int) -> KMSError:
    """[L]"""
    return validation(
        f"Algorithm {algorithm} and key spec {key_spec} cannot encrypt data larger than {limit} "
        "bytes."
    )


def context_of_asymmetric() -> KMSError:
    """[R]"""
    return validation(
        "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."
    )


def opening_key_required(member: str) -> KMSError:
    """A ciphertext of RSA names no key, so the request must. [R] for KeyId."""
    return validation(f"{member} must not be null")


# --- aliases -------------------------------------------------------------------------------------


def alias_exists(alias_arn: str) -> KMSError:
    """[P: crossplane-contrib/provider-aws/issues/1741]"""
    return KMSError("AlreadyExistsException", f"An alias with the name {alias_arn} already exists")


def alias_prefix_missing() -> KMSError:
    """[L]"""
    return validation(
        'Alias must start with the prefix "alias/". Please see '
        "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
    )


def alias_characters(alias_name: str) -> KMSError:
    """[P: hashicorp/terraform-provider-aws/issues/12891]"""
    return validation(f"{alias_name} contains invalid characters for an alias")


def alias_quota(most: int, count: int) -> KMSError:
    """[P: scylladb/scylla-cluster-tests/pull/7634]"""
    return limit_exceeded(
        f"Aliases per key quota for this account in this region is {most}, current usage is "
        f"{count}."
    )


def alias_reserved(alias_name: str) -> KMSError:
    """[O]"""
    return KMSError(
        "InvalidAliasNameException",
        f"{alias_name} is not valid: names that begin with alias/aws/ are reserved for AWS managed "
        "keys; choose another name.",
    )


# --- permissions, policies, limits ---------------------------------------------------------------


def access_denied(principal: str, action: str, resource: str, reason: str) -> KMSError:
    """`resource` as AWS puts it: `on resource: <ARN>` or `on this resource`; `reason` after it.

    AWS's form: `User: P is not authorized to perform: kms:Encrypt on resource: R because no
    identity-based policy allows the kms:Encrypt action`.
    """
    return KMSError(
        "AccessDeniedException",
        " ".join(
            filter(
                None,
                (f"User: {principal} is not authorized to perform: {action}", resource, reason),
            )
        ),
    )


def limit_exceeded(message: str) -> KMSError:
    """A quota; the caller says which and how to get below it."""
    return KMSError("LimitExceededException", message)


def malformed_policy(message: str) -> KMSError:
    return KMSError("MalformedPolicyDocumentException", message)


def policy_lockout() -> KMSError:
    """[P: terraform-aws-modules/terraform-aws-kms/issues/14]"""
    return malformed_policy(
        "The new key policy will not allow you to update the key policy in the future."
    )


def policy_without_principal() -> KMSError:
    """[P: seen rarely, in reports on other tools]"""
    return malformed_policy("Policy contains a statement with no principal.")


def policy_with_invalid_principals() -> KMSError:
    """[P: aws-samples/siem-on-amazon-opensearch-service/issues/32]"""
    return malformed_policy("Policy contains a statement with one or more invalid principals.")


def overly_permissive_condition() -> KMSError:
    """[P: AWS KMS Developer Guide, "OverlyPermissiveCondition"; it does not say the code]"""
    return malformed_policy(
        "OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued "
        "condition key matches requests without the specified [encryption context or tag] or with "
        "an unspecified [encryption context or tag]. To fix, remove ForAllValues."
    )


def no_such_policy() -> KMSError:
    """A policy name other than `default` [P: moto's text]."""
    return KMSError("NotFoundException", "No such policy exists")


# --- tags ----------------------------------------------------------------------------------------


def reserved_tag() -> KMSError:
    """[L]"""
    return KMSError("TagException", "Tags beginning with aws: are reserved")


def duplicate_tags() -> KMSError:
    """[L]"""
    return KMSError("TagException", "Duplicate tag keys")


def too_many_tags() -> KMSError:
    """[L]"""
    return KMSError("TagException", "Too many tags")


# --- grants --------------------------------------------------------------------------------------


def invalid_grant_token() -> KMSError:
    """[O]"""
    return KMSError(
        "InvalidGrantTokenException",
        "The grant token is not valid: send the GrantToken of an answer to CreateGrant in this "
        "Region, unchanged.",
    )


def invalid_grant_id(grant_id: str) -> KMSError:
    """[O]"""
    return KMSError(
        "InvalidGrantIdException",
        f"The grant ID '{grant_id}' is not valid: a grant ID has 64 hexadecimal digits.",
    )


def grant_not_found(grant_id: str) -> KMSError:
    """[O]"""
    return KMSError("NotFoundException", f"Grant ID {grant_id} not found")


def grant_operations(wrong: Sequence[str], kind: str, usage: str, valid: Sequence[str]) -> KMSError:
    """Operations that no grant on this kind of key has [P: radkawar/stackd's text]."""
    return validation(
        f"Operations [{', '.join(wrong)}] are not supported when creating a grant for {kind} KMS "
        f"key with key usage {usage}. Valid operations are [{', '.join(valid)}]"
    )


def grant_context_of_asymmetric() -> KMSError:
    """[P: seen by users of DynamoDB with keys that are not symmetric]"""
    return validation(
        "EncryptionContext is supported only when creating a grant for a symmetric encryption KMS "
        "key."
    )


def only_for_services(member: str) -> KMSError:
    """[O]"""
    return validation(f"{member} can only be used by AWS services: use the ARN of a principal.")


# What every call gets after its end, in whatever part of the way it notices. [O]
CLOSED: Final = "The KMS is closed: open it again."
FORKED: Final = (
    "This process was forked from the one that opened the KMS, and no key crosses a fork: "
    "open a new KMS in this process, or start workers with the 'spawn' or 'forkserver' method."
)


def unavailable(why: str) -> KMSError:
    """The KMS answers nothing any more, for this reason."""
    return KMSError("ServiceUnavailableException", why)
