"""Grants: made once for a name, listed, retired and revoked; and whose they are to take back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from clavero import KMS, Quotas
from clavero.ops.grants import grantable

ACCOUNT, STRANGER = "000000000000", "111122223333"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/path/app"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/app/session"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
UNKNOWN = "1234abcd-12ab-34cd-56ef-1234567890ab"
NO_GRANT = "0" * 64


def create(client, key, **params: Any) -> dict[str, Any]:
    given = {"GranteePrincipal": ALICE, "Operations": ["Decrypt"], **params}
    answer: dict[str, Any] = client.create_grant(KeyId=key["KeyId"], **given)
    assert set(answer) == {"GrantId", "GrantToken", "ResponseMetadata"}
    assert re.fullmatch("[0-9a-f]{64}", answer["GrantId"])
    return answer


def listed(client, key, **params: Any) -> list[dict[str, Any]]:
    answer = client.list_grants(KeyId=key["Arn"], **params)
    assert answer["Truncated"] is False
    found: list[dict[str, Any]] = answer["Grants"]
    return found


def test_a_grant_is_listed_as_aws_does(deployment, client, key):
    made = create(
        client,
        key,
        GranteePrincipal=SESSION,
        RetiringPrincipal=ROLE,
        Operations=["Decrypt", "Encrypt", "RetireGrant", "Decrypt"],
        Constraints={"EncryptionContextSubset": {"Tenant": "a", "B": "c"}},
        Name="for/app_1-a:b",
    )
    assert listed(client, key) == [
        {
            "KeyId": key["Arn"],
            "GrantId": made["GrantId"],
            "Name": "for/app_1-a:b",
            "CreationDate": datetime.fromtimestamp(deployment.clock.now(), UTC),
            "GranteePrincipal": SESSION,
            "RetiringPrincipal": ROLE,
            "IssuingAccount": ROOT,
            "Operations": ["Decrypt", "Encrypt", "RetireGrant"],
            "Constraints": {"EncryptionContextSubset": {"Tenant": "a", "B": "c"}},
        }
    ]


def test_a_grant_without_more_has_no_more(client, key):
    made = create(client, key, Constraints={})
    (grant,) = listed(client, key)
    assert set(grant) == {
        "KeyId", "GrantId", "CreationDate", "GranteePrincipal", "IssuingAccount", "Operations",
    }  # fmt: skip
    assert grant["GrantId"] == made["GrantId"]


def test_the_same_name_and_everything_else_is_the_same_grant(deployment, client, key):
    given: dict[str, Any] = {
        "Name": "one",
        "RetiringPrincipal": ROLE,
        "Constraints": {"EncryptionContextEquals": {"a": "1", "b": "2"}},
    }
    first = create(client, key, **given)
    deployment.clock.advance(60)
    given["Constraints"] = {"EncryptionContextEquals": {"b": "2", "a": "1"}}  # no order
    again = create(client, key, **given)
    assert again["GrantId"] == first["GrantId"]
    assert again["GrantToken"] != first["GrantToken"]
    (grant,) = listed(client, key)
    assert grant["CreationDate"].timestamp() == deployment.clock.now() - 60
    for changes in (
        {"Operations": ["Decrypt", "Encrypt"]},
        {"GranteePrincipal": ROLE},
        {"RetiringPrincipal": ALICE},
        {"Constraints": {"EncryptionContextEquals": {"a": "1"}}},
        {"Name": "two"},
    ):
        assert create(client, key, **{**given, **changes})["GrantId"] != first["GrantId"]
    assert len(listed(client, key)) == 6
    assert create(client, key, **given)["GrantId"] == first["GrantId"]
    other = client.create_key()["KeyMetadata"]
    assert create(client, other, **given)["GrantId"] != first["GrantId"]  # names are a key's own


def test_without_a_name_every_grant_is_a_new_one(client, key):
    ids = {create(client, key)["GrantId"] for _ in range(3)}
    assert len(ids) == 3
    assert {grant["GrantId"] for grant in listed(client, key)} == ids


@pytest.mark.parametrize(
    "principal",
    [
        ROOT,
        ALICE,
        ROLE,
        SESSION,
        f"arn:aws:sts::{ACCOUNT}:federated-user/bob",
        f"arn:aws:iam::{STRANGER}:root",
        "AROA00000000000000100:future",
        "AIDA00000000000000100",
        "dynamodb.us-west-2.amazonaws.com",
    ],
)
def test_principals_come_back_as_they_were_given(client, key, principal):
    create(client, key, GranteePrincipal=principal, RetiringPrincipal=principal)
    (grant,) = listed(client, key, GranteePrincipal=principal)
    assert (grant["GranteePrincipal"], grant["RetiringPrincipal"]) == (principal, principal)


def test_an_account_is_its_root_arn(client, key):
    create(client, key, GranteePrincipal=STRANGER)
    (grant,) = listed(client, key, GranteePrincipal=STRANGER)
    assert grant["GranteePrincipal"] == f"arn:aws:iam::{STRANGER}:root"


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ({"GranteePrincipal": "alice"}, "InvalidArnException",
         "ARN does not refer to a valid principal: alice"),
        ({"RetiringPrincipal": f"arn:aws:iam::{ACCOUNT}:group/g"}, "InvalidArnException",
         f"ARN is not valid: arn:aws:iam::{ACCOUNT}:group/g"),
        ({"GranteePrincipal": f"arn:aws:sts::{ACCOUNT}:assumed-role/path/role/session"},
         "InvalidArnException",
         f"ARN is not valid: arn:aws:sts::{ACCOUNT}:assumed-role/path/role/session"),
        ({"GranteePrincipal": "arn:aws:iam::1:root"}, "InvalidArnException",
         "ARN is not valid: arn:aws:iam::1:root"),
        ({"GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:user/*"}, "ValidationException", "pattern"),
        ({"Operations": []}, "ValidationException", "at least one operation"),
        ({"Operations": ["Fly"]}, "ValidationException", "enum value set"),
        ({"Operations": ["Decrypt", "Sign", "GetPublicKey"]}, "ValidationException",
         "Operations [Sign, GetPublicKey] are not supported when creating a grant for a symmetric "
         "KMS key with key usage ENCRYPT_DECRYPT. Valid operations are [CreateGrant, RetireGrant, "
         "DescribeKey, Encrypt, Decrypt, ReEncryptFrom, ReEncryptTo, GenerateDataKey, "
         "GenerateDataKeyWithoutPlaintext, GenerateDataKeyPair, "
         "GenerateDataKeyPairWithoutPlaintext]"),
        ({"Constraints": {"EncryptionContextEquals": {"a": "b"},
                          "EncryptionContextSubset": {"a": "b"}}},
         "ValidationException", "but not both"),
        ({"Constraints": {"EncryptionContextSubset": {f"{n}": "" for n in range(9)}}},
         "ValidationException", "at most 8 encryption context pairs, not 9"),
        ({"Constraints": {"EncryptionContextEquals": {"a": "x" * 385}}},
         "ValidationException", "at most 384 characters"),
        ({"GranteeServicePrincipal": "s3.us-east-1.amazonaws.com"}, "ValidationException",
         "You must specify either GranteePrincipal or GranteeServicePrincipal, but not both."),
        ({"GranteePrincipal": None}, "ValidationException", "You must specify either"),
        ({"RetiringPrincipal": ROLE, "RetiringServicePrincipal": "s3.us-east-1.amazonaws.com"},
         "ValidationException", "You can specify either RetiringPrincipal"),
        ({"GranteePrincipal": None, "GranteeServicePrincipal": "s3.us-east-1.amazonaws.com"},
         "ValidationException", "needs a SourceArn constraint"),
        ({"Name": "a b"}, "ValidationException", "at 'name'"),
        ({"GrantTokens": ["x"]}, "InvalidGrantTokenException", "The grant token is not valid"),
    ],
)  # fmt: skip
def test_grants_that_cannot_be_are_refused(client, key, refused, params, code, text):
    given = {"GranteePrincipal": ALICE, "Operations": ["Decrypt"], **params}
    given = {name: value for name, value in given.items() if value is not None}
    for more in ({}, {"DryRun": True}):
        assert text in refused(code, client.create_grant, KeyId=key["KeyId"], **given, **more)
    assert listed(client, key) == []


def test_a_grant_to_a_service_has_its_source_and_who_retires_it(client, key):
    service = {
        "GranteeServicePrincipal": "s3.us-east-1.amazonaws.com",
        "RetiringServicePrincipal": "s3.us-east-1.amazonaws.com",
        "Constraints": {"SourceArn": "arn:aws:logs:us-east-1:000000000000:log-group:app"},
    }
    answer = client.create_grant(KeyId=key["KeyId"], Operations=["Decrypt"], **service)
    (grant,) = listed(client, key)
    assert grant["GrantId"] == answer["GrantId"]
    assert {name: grant[name] for name in service} == service
    assert "GranteePrincipal" not in grant


def test_which_operations_fit_which_kind_of_key():
    common = ("CreateGrant", "RetireGrant", "DescribeKey")
    assert grantable("HMAC_256", "GENERATE_VERIFY_MAC") == (*common, "GenerateMac", "VerifyMac")
    for spec, usage, own in (
        ("RSA_2048", "SIGN_VERIFY", ("Sign", "Verify")),
        ("RSA_2048", "ENCRYPT_DECRYPT", ("Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo")),
        ("ECC_NIST_P256", "KEY_AGREEMENT", ("DeriveSharedSecret",)),
        ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE", ("Encapsulate", "Decapsulate")),
    ):
        assert grantable(spec, usage) == (*common, "GetPublicKey", *own)


def test_operations_and_constraints_that_another_kind_of_key_has_not(client, refused):
    made = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    create(client, made, Operations=["Sign", "Verify", "GetPublicKey"])
    given: dict[str, Any] = {"KeyId": made["KeyId"], "GranteePrincipal": ALICE}
    text = refused(
        "ValidationException", client.create_grant, **given, Operations=["GenerateDataKey"]
    )
    assert text == (
        "Operations [GenerateDataKey] are not supported when creating a grant for an asymmetric "
        "KMS key with key usage SIGN_VERIFY. Valid operations are [CreateGrant, RetireGrant, "
        "DescribeKey, GetPublicKey, Sign, Verify]"
    )
    text = refused(
        "ValidationException",
        client.create_grant,
        **given,
        Operations=["Sign"],
        Constraints={"EncryptionContextSubset": {"a": "b"}},
    )
    assert text == (
        "EncryptionContext is supported only when creating a grant for a symmetric encryption KMS "
        "key."
    )


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_cover_every_grant_once(client, key, limit):
    made = {create(client, key, RetiringPrincipal=ROLE)["GrantId"] for _ in range(7)}
    other = client.create_key()["KeyMetadata"]
    foreign = create(client, other, RetiringPrincipal=ROLE)["GrantId"]
    for method, params, expected in (
        (client.list_grants, {"KeyId": key["KeyId"]}, made),
        (client.list_grants, {"KeyId": key["KeyId"], "GranteePrincipal": ALICE}, made),
        (client.list_retirable_grants, {"RetiringPrincipal": ROLE}, made | {foreign}),
    ):
        seen: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = method(**params, Limit=limit, **more)
            assert 0 < len(page["Grants"]) <= limit
            seen += [grant["GrantId"] for grant in page["Grants"]]
            if not page["Truncated"]:
                break
            more = {"Marker": page["NextMarker"]}
        assert sorted(seen) == sorted(expected)


def test_the_default_page_has_50(client, key):
    for _ in range(51):
        create(client, key, RetiringPrincipal=ROLE)
    assert len(client.list_grants(KeyId=key["KeyId"])["Grants"]) == 50
    assert len(client.list_retirable_grants(RetiringPrincipal=ROLE)["Grants"]) == 50


def test_lists_are_narrowed(client, key, refused):
    one = create(client, key)["GrantId"]
    two = create(client, key, GranteePrincipal=ROLE)["GrantId"]

    def ids(**params: str) -> list[str]:
        return sorted(grant["GrantId"] for grant in listed(client, key, **params))

    assert ids() == sorted([one, two])
    assert ids(GrantId=two) == [two]
    assert ids(GranteePrincipal=ALICE) == [one]
    assert ids(GranteePrincipal=ALICE, GrantId=one) == [one]
    assert ids(GranteePrincipal=ALICE, GrantId=two) == []
    assert ids(GrantId=NO_GRANT) == []
    assert ids(GranteePrincipal=SESSION) == []
    call = {"KeyId": key["KeyId"]}
    assert NO_GRANT[1:] in refused(
        "InvalidGrantIdException", client.list_grants, **call, GrantId=NO_GRANT[1:]
    )
    refused("InvalidArnException", client.list_grants, **call, GranteePrincipal="alice")
    refused("ValidationException", client.list_grants, **call, Limit=101)
    refused("ValidationException", client.list_grants, **call, GranteeServicePrincipal="a.b.com")
    refused("InvalidMarkerException", client.list_grants, **call, Marker="x")


def test_who_asks_for_retirable_grants_asks_for_a_principal_of_their_own(
    deployment, client, key, refused
):
    stranger = deployment.client(account=STRANGER)
    theirs = f"arn:aws:iam::{STRANGER}:role/r"
    made = create(client, key, RetiringPrincipal=theirs)["GrantId"]
    create(client, key)
    (grant,) = stranger.list_retirable_grants(RetiringPrincipal=theirs)["Grants"]
    assert (grant["GrantId"], grant["KeyId"]) == (made, key["Arn"])  # on another account's key
    assert client.list_retirable_grants(RetiringPrincipal=ROLE)["Grants"] == []
    text = refused("AccessDeniedException", client.list_retirable_grants, RetiringPrincipal=theirs)
    assert text.startswith(
        f"User: {ROOT} is not authorized to perform: kms:ListRetirableGrants on this resource"
    )
    refused("ValidationException", client.list_retirable_grants)
    refused("ValidationException", client.list_retirable_grants,
            RetiringServicePrincipal="s3.us-east-1.amazonaws.com")  # fmt: skip
    refused("ValidationException", client.list_retirable_grants, RetiringPrincipal=ROLE, Limit=101)
    refused("InvalidArnException", client.list_retirable_grants, RetiringPrincipal="bob")


def test_a_grant_is_retired_by_its_token_or_by_its_id(client, key, refused):
    for_token = create(client, key)
    by_token = {"GrantToken": for_token["GrantToken"]}
    by_id = {"KeyId": key["Arn"], "GrantId": create(client, key)["GrantId"]}
    for params, grant_id in ((by_token, for_token["GrantId"]), (by_id, by_id["GrantId"])):
        refused("DryRunOperationException", client.retire_grant, **params, DryRun=True)
        assert set(client.retire_grant(**params)) == {"ResponseMetadata"}
        for more in ({}, {"DryRun": True}):
            text = refused("NotFoundException", client.retire_grant, **params, **more)
            assert text == f"Grant ID {grant_id} not found"
    assert listed(client, key) == []


def test_every_token_of_a_grant_is_as_good(client, key):
    tokens = [create(client, key, Name="n")["GrantToken"] for _ in range(2)]
    client.retire_grant(GrantToken=tokens[0])
    assert listed(client, key) == []
    again = create(client, key, Name="n")
    assert len(listed(client, key)) == 1
    client.retire_grant(GrantToken=again["GrantToken"])


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ({}, "ValidationException", "You must specify either a GrantToken, or both a KeyId"),
        ({"GrantId": NO_GRANT}, "ValidationException", "You must specify either"),
        ({"KeyId": "ARN"}, "ValidationException", "You must specify either"),
        ({"GrantToken": "x", "GrantId": NO_GRANT}, "ValidationException", "but not both"),
        ({"GrantToken": "x"}, "InvalidGrantTokenException", "not valid"),
        ({"GrantToken": "eHh4eA=="}, "InvalidGrantTokenException", "not valid"),
        ({"KeyId": "ID", "GrantId": NO_GRANT}, "NotFoundException", "Invalid arn "),
        ({"KeyId": "alias/a", "GrantId": NO_GRANT}, "InvalidArnException", "Key Aliases are not"),
        ({"KeyId": "ARN", "GrantId": NO_GRANT}, "NotFoundException", f"{NO_GRANT} not found"),
        ({"KeyId": "ARN", "GrantId": "x"}, "InvalidGrantIdException", "'x'"),
    ],
)
def test_retirements_of_nothing_are_refused(client, key, refused, params, code, text):
    names = {"ARN": key["Arn"], "ID": key["KeyId"]}
    given = {name: names.get(value, value) for name, value in params.items()}
    assert text in refused(code, client.retire_grant, **given)


def test_a_grant_is_revoked(client, key, refused):
    grant_id = create(client, key)["GrantId"]
    named = {"KeyId": key["KeyId"], "GrantId": grant_id}
    refused("DryRunOperationException", client.revoke_grant, **named, DryRun=True)
    assert len(listed(client, key)) == 1
    assert set(client.revoke_grant(**named)) == {"ResponseMetadata"}
    assert listed(client, key) == []
    for more in ({}, {"DryRun": True}):
        assert refused("NotFoundException", client.revoke_grant, **named, **more) == (
            f"Grant ID {grant_id} not found"
        )
        refused("InvalidGrantIdException", client.revoke_grant, KeyId=key["KeyId"], GrantId="x",
                **more)  # fmt: skip


def test_a_dry_run_makes_no_grant(client, key, refused):
    text = refused("DryRunOperationException", client.create_grant, KeyId=key["KeyId"],
                   GranteePrincipal=ALICE, Operations=["Decrypt"], DryRun=True)  # fmt: skip
    assert text == "The request would have succeeded, but the DryRun option is set."
    assert listed(client, key) == []


def test_who_may_retire_a_grant(deployment, client, key, refused):
    """The retiring principal, the grantee with RetireGrant, and the account of the key."""
    other = {"RetiringPrincipal": ROLE, "GranteePrincipal": SESSION}

    def may(principal: str, **params: Any) -> bool:
        made = create(client, key, **{**other, **params})
        caller = deployment.client(principal=principal)
        try:
            caller.retire_grant(GrantToken=made["GrantToken"])
        except caller.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDeniedException"
            client.retire_grant(GrantToken=made["GrantToken"])
            return False
        return True

    for allowed, principal, params in (
        (True, ROOT, {}),
        (True, ALICE, {"RetiringPrincipal": ALICE}),
        (False, ALICE, {}),
        (False, ALICE, {"GranteePrincipal": ALICE}),
        (True, ALICE, {"GranteePrincipal": ALICE, "Operations": ["RetireGrant"]}),
        (True, SESSION, {"RetiringPrincipal": SESSION}),
        (False, f"{SESSION}2", {"RetiringPrincipal": SESSION}),
        (False, f"arn:aws:iam::{STRANGER}:root", {}),
        (True, f"arn:aws:iam::{STRANGER}:root", {"RetiringPrincipal": STRANGER}),
        # Another account's principal needs leave of its own account besides
        (False, f"arn:aws:iam::{STRANGER}:role/r",
         {"RetiringPrincipal": f"arn:aws:iam::{STRANGER}:role/r"}),
    ):  # fmt: skip
        assert may(principal, **params) is allowed, (principal, params)
    assert listed(client, key) == []


def test_refusals_name_the_action_and_tell_strangers_nothing(deployment, client, key, refused, arn):
    grant_id = create(client, key)["GrantId"]
    token = create(client, key)["GrantToken"]
    bob = deployment.client(principal=f"arn:aws:iam::{ACCOUNT}:user/bob")
    text = refused("AccessDeniedException", bob.retire_grant, GrantToken=token)
    assert text == (
        f"User: arn:aws:iam::{ACCOUNT}:user/bob is not authorized to perform: kms:RetireGrant on "
        f"resource: {key['Arn']} because no identity-based policy allows the kms:RetireGrant action"
    )
    stranger = deployment.client(account=STRANGER)
    texts = {
        refused("AccessDeniedException", stranger.retire_grant, KeyId=where, GrantId=which)
        for where in (key["Arn"], arn(f"key/{UNKNOWN}"))
        for which in (grant_id, NO_GRANT)
    }
    texts.add(refused("AccessDeniedException", stranger.retire_grant, GrantToken=token))
    (text,) = texts
    assert "kms:RetireGrant on this resource because the resource does not exist in this" in text
    assert len(listed(client, key)) == 2


def test_a_key_has_its_quota_of_grants(refused):
    with KMS(quotas=Quotas(grants=2)) as kms:
        client = kms.client()
        key = client.create_key()["KeyMetadata"]
        first = create(client, key, Name="n")
        create(client, key)
        text = refused("LimitExceededException", client.create_grant, KeyId=key["KeyId"],
                       GranteePrincipal=ALICE, Operations=["Decrypt"])  # fmt: skip
        assert text.startswith(f"A KMS key can have at most 2 grants, and {key['Arn']} has as many")
        assert create(client, key, Name="n")["GrantId"] == first["GrantId"]  # it is there
        client.retire_grant(GrantToken=first["GrantToken"])
        create(client, key)


def test_grant_tokens_are_taken_by_every_operation_that_has_them(client, key, refused):
    token = create(client, key)["GrantToken"]
    key_id = key["KeyId"]
    sealed = client.encrypt(KeyId=key_id, Plaintext=b"x", GrantTokens=[token])["CiphertextBlob"]
    for method, params in (
        (client.describe_key, {"KeyId": key_id}),
        (client.decrypt, {"CiphertextBlob": sealed}),
        (client.re_encrypt, {"CiphertextBlob": sealed, "DestinationKeyId": key_id}),
        (client.generate_data_key, {"KeyId": key_id, "KeySpec": "AES_256"}),
        (client.generate_data_key_without_plaintext, {"KeyId": key_id, "KeySpec": "AES_256"}),
        (client.create_grant,
         {"KeyId": key_id, "GranteePrincipal": ROLE, "Operations": ["Encrypt"]}),
    ):  # fmt: skip
        method(**params, GrantTokens=[token] * 10)
        method(**params, GrantTokens=[])
        for wrong in ("x", token[:-4], "é"):
            refused("InvalidGrantTokenException", method, **params, GrantTokens=[token, wrong])


def test_a_token_is_of_its_region_and_purpose(deployment, client, key, refused):
    token = create(client, key)["GrantToken"]
    elsewhere = deployment.client(region="eu-west-1")
    for _ in range(2):
        elsewhere.create_key()
    refused("InvalidGrantTokenException", elsewhere.retire_grant, GrantToken=token)
    client.create_key()
    marker = client.list_keys(Limit=1)["NextMarker"]
    refused("InvalidGrantTokenException", client.retire_grant, GrantToken=marker)


def test_grants_survive_reopening_and_go_with_their_key(durable, refused):
    client = durable.client()
    key = client.create_key()["KeyMetadata"]
    made = create(client, key, Name="n", RetiringPrincipal=ROLE)
    before = listed(client, key)
    durable.kms.rotate_domain_keys()
    durable.reopen()
    client = durable.client()
    assert listed(client, key) == before
    assert create(client, key, Name="n", RetiringPrincipal=ROLE)["GrantId"] == made["GrantId"]
    client.encrypt(KeyId=key["KeyId"], Plaintext=b"x", GrantTokens=[made["GrantToken"]])
    client.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    assert listed(client, key) == before
    durable.clock.advance(7 * 86_400)
    assert client.list_retirable_grants(RetiringPrincipal=ROLE)["Grants"] == []
    refused("NotFoundException", client.retire_grant, GrantToken=made["GrantToken"])


def test_the_record_has_the_grant_and_no_token(deployment, client, key):
    made = create(client, key, Name="n", GrantTokens=[create(client, key)["GrantToken"]])
    record = deployment.records()[-1]
    assert record["requestParameters"] == {
        "keyId": key["KeyId"],
        "granteePrincipal": ALICE,
        "operations": ["Decrypt"],
        "name": "n",
    }
    client.retire_grant(GrantToken=made["GrantToken"])
    record = deployment.records()[-1]
    assert (record["eventName"], record["readOnly"]) == ("RetireGrant", False)
    assert [each["ARN"] for each in record["resources"]] == [key["Arn"]]
    assert made["GrantToken"] not in deployment.audit_text()
