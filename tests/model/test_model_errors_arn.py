"""Errors in AWS's words, and key identifiers."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clavero.model import arn, errors
from clavero.model.arn import KeyReference, parse_key_reference
from clavero.model.errors import HTTP_STATUS, KMSError
from clavero.model.generated import EXCEPTIONS

REGION, ACCOUNT = "us-east-1", "111122223333"
ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
MRK = "mrk-1234abcd12ab34cd56ef1234567890ab"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{ID}"
ALIAS = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/app"


@pytest.mark.parametrize("code", [code for code, _, _ in EXCEPTIONS.values()])
def test_every_modelled_code_has_its_status(code: str) -> None:
    error = KMSError(code, "text", members={"More": 1})
    faults = {"DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException"}
    assert error.http_status == (500 if code in faults else 400)
    assert (error.code, error.message, error.members) == (code, "text", {"More": 1})
    assert str(error) == f"{code}: text"


def test_other_codes() -> None:
    assert KMSError("AccessDeniedException").http_status == 400
    assert KMSError("Odd", http_status=418).http_status == 418
    with pytest.raises(ValueError, match="NotFoundExeption"):
        KMSError("NotFoundExeption")
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (errors.key_not_found(KEY), "NotFoundException", f"Key '{KEY}' does not exist"),
        (errors.alias_not_found(ALIAS), "NotFoundException", f"Alias {ALIAS} is not found."),
        (errors.invalid_key_id("x"), "NotFoundException", "Invalid keyId 'x'"),
        (errors.invalid_arn("eu-west-1"), "NotFoundException", "Invalid arn eu-west-1"),
        (errors.key_disabled(KEY), "DisabledException", f"{KEY} is disabled."),
        (
            errors.key_pending_deletion(KEY),
            "KMSInvalidStateException",
            f"{KEY} is pending deletion.",
        ),
        (
            errors.key_state(KEY, "PendingImport"),
            "KMSInvalidStateException",
            f"{KEY} is pending import.",
        ),
        (
            errors.key_not_pending_deletion(KEY),
            "KMSInvalidStateException",
            f"{KEY} is not pending deletion (or pending replica deletion).",
        ),
        (errors.invalid_ciphertext(), "InvalidCiphertextException", ""),
        (
            errors.incorrect_key(),
            "IncorrectKeyException",
            "The key ID in the request does not identify a CMK that can perform this operation.",
        ),
        (
            errors.key_usage(KEY, "SIGN_VERIFY", "Encrypt"),
            "InvalidKeyUsageException",
            f"{KEY} key usage is SIGN_VERIFY which is not valid for Encrypt.",
        ),
        (
            errors.algorithm_incompatible("HMAC_SHA_256", "HMAC_224"),
            "InvalidKeyUsageException",
            "Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_224.",
        ),
        (
            errors.key_origin(KEY, "AWS_KMS"),
            "UnsupportedOperationException",
            f"{KEY} origin is AWS_KMS which is not valid for this operation.",
        ),
        (
            errors.alias_exists(ALIAS),
            "AlreadyExistsException",
            f"An alias with the name {ALIAS} already exists",
        ),
        (
            errors.dry_run(),
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        ),
        (
            errors.access_denied(
                "arn:aws:iam::1:user/a",
                "kms:Encrypt",
                f"on resource: {KEY}",
                "because no identity-based policy allows the kms:Encrypt action",
            ),
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/a is not authorized to perform: kms:Encrypt on resource: "
            f"{KEY} because no identity-based policy allows the kms:Encrypt action",
        ),
        (errors.number_of_bytes_required(), "ValidationException", "NumberOfBytes is required."),
        (errors.internal("x"), "KMSInternalException", "x"),
    ],
)
def test_texts(error: KMSError, code: str, message: str) -> None:
    assert (error.code, error.message) == (code, message)
    assert error.http_status == HTTP_STATUS[code]


@pytest.mark.parametrize(
    "error",
    [
        errors.data_key_size_required(),
        errors.invalid_marker(),
        errors.operation_not_built("Sign"),
        errors.alias_prefix_missing(),
        errors.alias_characters("alias/a:b"),
        errors.alias_reserved("alias/aws/s3"),
        errors.limit_exceeded("x"),
        errors.policy_lockout(),
        errors.malformed_arn("x"),
        errors.serialization("x"),
        errors.unknown_operation(),
        *(errors.key_state(KEY, state) for state in ("Creating", "Updating", "Unavailable")),
    ],
)
def test_the_other_situations_have_a_code_of_aws(error: KMSError) -> None:
    assert error.http_status == 400
    # AWS sends these two without a text.
    assert error.message or error.code in {"InvalidMarkerException", "UnknownOperationException"}


# --- key identifiers -----------------------------------------------------------------------------


def parse(text: str) -> KeyReference:
    return parse_key_reference(text, region=REGION, account=ACCOUNT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ID, ("key_id", REGION, ACCOUNT, ID)),
        (MRK, ("key_id", REGION, ACCOUNT, MRK)),
        (KEY, ("key_arn", REGION, ACCOUNT, ID)),
        (KEY.replace(ACCOUNT, "9" * 12), ("key_arn", REGION, "9" * 12, ID)),
        ("alias/app", ("alias_name", REGION, ACCOUNT, "alias/app")),
        ("alias/aws/s3", ("alias_name", REGION, ACCOUNT, "alias/aws/s3")),
        (ALIAS, ("alias_arn", REGION, ACCOUNT, "alias/app")),
    ],
)
def test_the_four_kinds(text: str, expected: tuple[str, str, str, str]) -> None:
    reference = parse(text)
    assert reference == expected
    assert reference.is_alias == ("alias" in text)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("fake-key-id", "NotFoundException", "Invalid keyId 'fake-key-id'"),
        ("mrk-fake-key-id", "NotFoundException", "Invalid keyId 'mrk-fake-key-id'"),
        (ID + "\n", "NotFoundException", f"Invalid keyId '{ID}\n'"),
        (ID.replace("-", ""), "NotFoundException", f"Invalid keyId '{ID.replace('-', '')}'"),
        ("", "NotFoundException", "Invalid keyId ''"),
        (KEY.replace(REGION, "ap-southeast-1"), "NotFoundException", "Invalid arn ap-southeast-1"),
        (
            f"arn:aws:kms:{REGION}:{ACCOUNT}:key/alias/aws/sqs",
            "NotFoundException",
            "Invalid keyId alias/aws/sqs",
        ),
        ("arn:", "NotFoundException", "Invalid arn arn:"),
        (f"arn:aws:s3:::{ID}", "NotFoundException", f"Invalid arn arn:aws:s3:::{ID}"),
        (
            KEY.replace("arn:aws:", "arn:aws-cn:"),
            "NotFoundException",
            "Invalid arn " + KEY.replace("arn:aws:", "arn:aws-cn:"),
        ),
        (
            KEY.replace(ACCOUNT, "1"),
            "NotFoundException",
            "Invalid arn " + KEY.replace(ACCOUNT, "1"),
        ),
        (
            f"arn:aws:kms:{REGION}:{ACCOUNT}:grant/x",
            "NotFoundException",
            f"Invalid arn arn:aws:kms:{REGION}:{ACCOUNT}:grant/x",
        ),
        (
            "alias/a:b",
            "ValidationException",
            "alias/a:b contains invalid characters for an alias",
        ),
        ("alias/", "ValidationException", "alias/ contains invalid characters for an alias"),
    ],
)
def test_identifiers_that_no_key_has(text: str, code: str, message: str) -> None:
    with pytest.raises(KMSError) as caught:
        parse(text)
    assert (caught.value.code, caught.value.message) == (code, message)


@given(st.text(max_size=80) | st.text("arn:awskmlias/-0f", max_size=80))
@example(KEY)
@example(ALIAS)
@example(KEY.replace(ACCOUNT, "\u0661" * 12))
def test_any_text_is_a_reference_or_an_aws_error(text: str) -> None:
    try:
        reference = parse(text)
    except KMSError as error:
        assert error.code in {"NotFoundException", "ValidationException"}
        return
    built = {
        "key_id": reference.value,
        "alias_name": reference.value,
        "key_arn": arn.key_arn(reference.region, reference.account, reference.value),
        "alias_arn": arn.alias_arn(reference.region, reference.account, reference.value),
    }
    assert built[reference.kind] == text


def test_names_and_arns() -> None:
    assert arn.key_arn(REGION, ACCOUNT, ID) == KEY
    assert arn.alias_arn(REGION, ACCOUNT, "alias/app") == ALIAS
    assert arn.root_arn(ACCOUNT) == f"arn:aws:iam::{ACCOUNT}:root"
    assert arn.is_key_id(ID)
    assert arn.is_key_id(MRK)
    assert arn.is_key_id(ID.upper())  # AWS looks for it, and finds none
    assert not arn.is_key_id("alias/app")
    assert arn.is_account(ACCOUNT)
    assert not arn.is_account("\u0661" * 12)
    assert arn.is_reserved_alias("alias/aws/s3")
    assert not arn.is_reserved_alias("alias/awsome")
    arn.check_alias_name("alias/a-b_c/d")
    with pytest.raises(KMSError, match="must start with the prefix"):
        arn.check_alias_name("app")
