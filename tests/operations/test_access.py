"""Who may: the owning account's root user, and nobody else; and that a refusal tells nothing."""

from __future__ import annotations

import pytest

UNKNOWN = "1234abcd-12ab-34cd-56ef-1234567890ab"
OWNER, STRANGER = "000000000000", "111122223333"
FOREIGN = (
    "because the resource does not exist in this Region, no resource-based policies allow access, "
    "or a resource-based policy explicitly denies access"
)
PRINCIPALS = [
    f"arn:aws:iam::{OWNER}:user/alice",
    f"arn:aws:iam::{OWNER}:user/team/alice",
    f"arn:aws:iam::{OWNER}:role/admin",
    f"arn:aws:sts::{OWNER}:assumed-role/admin/session",
    f"arn:aws:sts::{OWNER}:federated-user/bob",
]


@pytest.fixture
def blob(client, key):
    return client.encrypt(KeyId=key["KeyId"], Plaintext=b"data")["CiphertextBlob"]


def calls(key: str, blob: bytes):
    """Each operation on a key, by the action that is authorised and how AWS names the key."""
    named, of_blob = "on resource: {}", "on the resource associated with this ciphertext"
    return [
        ("kms:DescribeKey", named, "describe_key", {"KeyId": key}),
        ("kms:EnableKey", named, "enable_key", {"KeyId": key}),
        ("kms:DisableKey", named, "disable_key", {"KeyId": key}),
        ("kms:ScheduleKeyDeletion", named, "schedule_key_deletion", {"KeyId": key}),
        ("kms:CancelKeyDeletion", named, "cancel_key_deletion", {"KeyId": key}),
        ("kms:UpdateKeyDescription", named, "update_key_description",
         {"KeyId": key, "Description": "x"}),
        ("kms:TagResource", named, "tag_resource", {"KeyId": key, "Tags": []}),
        ("kms:UntagResource", named, "untag_resource", {"KeyId": key, "TagKeys": []}),
        ("kms:ListResourceTags", named, "list_resource_tags", {"KeyId": key}),
        ("kms:GetKeyPolicy", named, "get_key_policy", {"KeyId": key}),
        ("kms:ListKeyPolicies", named, "list_key_policies", {"KeyId": key}),
        ("kms:PutKeyPolicy", named, "put_key_policy", {"KeyId": key, "Policy": "{}"}),
        ("kms:EnableKeyRotation", named, "enable_key_rotation", {"KeyId": key}),
        ("kms:DisableKeyRotation", named, "disable_key_rotation", {"KeyId": key}),
        ("kms:GetKeyRotationStatus", named, "get_key_rotation_status", {"KeyId": key}),
        ("kms:RotateKeyOnDemand", named, "rotate_key_on_demand", {"KeyId": key}),
        ("kms:ListKeyRotations", named, "list_key_rotations", {"KeyId": key}),
        ("kms:CreateGrant", named, "create_grant",
         {"KeyId": key, "GranteePrincipal": OWNER, "Operations": ["Decrypt"]}),
        ("kms:ListGrants", named, "list_grants", {"KeyId": key}),
        ("kms:RevokeGrant", named, "revoke_grant", {"KeyId": key, "GrantId": "0" * 64}),
        ("kms:GetKeyLastUsage", named, "get_key_last_usage", {"KeyId": key}),
        ("kms:Encrypt", named, "encrypt", {"KeyId": key, "Plaintext": b"x"}),
        ("kms:Encrypt", named, "encrypt_many", {"KeyId": key, "Plaintexts": [b"x"]}),
        ("kms:GenerateDataKey", named, "generate_data_key", {"KeyId": key, "KeySpec": "AES_256"}),
        ("kms:GenerateDataKey", named, "generate_data_keys",
         {"KeyId": key, "KeySpec": "AES_256", "NumberOfKeys": 2}),
        ("kms:GenerateDataKeyWithoutPlaintext", named, "generate_data_key_without_plaintext",
         {"KeyId": key, "KeySpec": "AES_256"}),
        ("kms:Decrypt", named, "decrypt", {"KeyId": key, "CiphertextBlob": blob}),
        ("kms:Decrypt", named, "decrypt_many", {"KeyId": key, "CiphertextBlobs": [blob]}),
        ("kms:Decrypt", of_blob, "decrypt", {"CiphertextBlob": blob}),
        ("kms:Decrypt", of_blob, "decrypt_many", {"CiphertextBlobs": [blob]}),
        ("kms:ReEncryptFrom", of_blob, "re_encrypt",
         {"CiphertextBlob": blob, "DestinationKeyId": key}),
        ("kms:ReEncryptFrom", named, "re_encrypt",
         {"CiphertextBlob": blob, "SourceKeyId": key, "DestinationKeyId": key}),
    ]  # fmt: skip


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_others_of_the_account_are_refused_in_aws_s_words(
    deployment, client, key, blob, refused, principal
):
    other = deployment.client(principal=principal)
    for action, named, method, params in calls(key["Arn"], blob):
        text = refused("AccessDeniedException", getattr(other, method), **params)
        assert text == (
            f"User: {principal} is not authorized to perform: {action} "
            f"{named.format(key['Arn'])} because no identity-based policy allows the {action} "
            "action"
        )
    assert client.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key


def test_operations_on_the_account_and_on_aliases_too(deployment, client, key, refused, arn):
    client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    principal = PRINCIPALS[0]
    other = deployment.client(principal=principal)

    def text(method, **params):
        return refused("AccessDeniedException", getattr(other, method), **params)

    start = f"User: {principal} is not authorized to perform: "
    sized: dict[str, int] = {"NumberOfBytes": 1}
    for method, action, params in (
        ("create_key", "kms:CreateKey", {}),
        ("list_keys", "kms:ListKeys", {}),
        ("list_aliases", "kms:ListAliases", {}),
        ("generate_random", "kms:GenerateRandom", sized),
    ):
        assert text(method, **params) == (
            f"{start}{action} on resource: * because no identity-based policy allows the "
            f"{action} action"
        )
    target = {"TargetKeyId": key["KeyId"]}
    on_alias = f"on resource: {arn('alias/a')} because no identity-based policy allows the "
    for method, action, more in (
        ("update_alias", "kms:UpdateAlias", target),
        ("delete_alias", "kms:DeleteAlias", {}),
    ):
        expected = f"{start}{action} {on_alias}{action} action"
        assert text(method, AliasName="alias/a", **more) == expected
    assert "kms:CreateAlias" in text("create_alias", AliasName="alias/b", **target)
    assert [each["AliasName"] for each in client.used_aliases()] == ["alias/a"]
    assert len(client.list_keys()["Keys"]) == 1


def test_the_state_of_a_key_is_not_told_to_who_may_not_use_it(
    deployment, client, key, blob, refused
):
    client.disable_key(KeyId=key["KeyId"])
    other = deployment.client(principal=PRINCIPALS[0])
    for _, _, method, params in calls(key["KeyId"], blob):
        refused("AccessDeniedException", getattr(other, method), **params)


def test_which_key_a_blob_is_of_is_not_told_to_who_may_not_use_the_named_one(
    deployment, client, key, blob, refused
):
    second = client.create_key()["KeyMetadata"]["KeyId"]
    other = deployment.client(principal=PRINCIPALS[0])
    for given in (blob, b"not a blob"):
        refused("AccessDeniedException", other.decrypt, CiphertextBlob=given, KeyId=second)
        refused("AccessDeniedException", other.decrypt_many, [given], KeyId=second)


def test_another_account_cannot_tell_which_keys_and_aliases_exist(
    deployment, client, key, blob, refused, arn
):
    """The same error, word for word, for a key that is there and for one that is not."""
    client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    stranger = deployment.client(account=STRANGER)
    mine = stranger.create_key()["KeyMetadata"]
    my_blob = stranger.encrypt(KeyId=mine["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    principal = f"arn:aws:iam::{STRANGER}:root"

    def texts(name):
        found = []
        for action, _, method, params in [
            *calls(name, my_blob),
            ("kms:ReEncryptTo", "", "re_encrypt",
             {"CiphertextBlob": my_blob, "DestinationKeyId": name}),
            ("kms:ReEncryptFrom", "", "re_encrypt",
             {"CiphertextBlob": my_blob, "SourceKeyId": name, "DestinationKeyId": mine["KeyId"]}),
            ("kms:ListAliases", "", "list_aliases", {"KeyId": name}),
            ("kms:CreateAlias", "", "create_alias", {"AliasName": "alias/x", "TargetKeyId": name}),
        ]:  # fmt: skip
            if name not in params.values():
                continue
            if ":alias/" in name and method in ALIAS_REFUSED:
                code = "NotFoundException" if method == "create_alias" else "InvalidArnException"
                refused(code, getattr(stranger, method), **params)
                continue
            if params.get("DestinationKeyId") == name and "SourceKeyId" not in params:
                action = "kms:ReEncryptTo"  # noqa: PLW2901 - its own blob it may open
            text = refused("AccessDeniedException", getattr(stranger, method), **params)
            assert text == (
                f"User: {principal} is not authorized to perform: {action} on this resource "
                f"{FOREIGN}"
            ), (name, method)
            found.append((method, text))
        return found

    assert texts(key["Arn"]) == texts(arn(f"key/{UNKNOWN}"))
    assert texts(arn("alias/a")) == texts(arn("alias/none"))
    assert len(texts(key["Arn"])) > 15
    # Bare names are those of the caller's own account
    refused("NotFoundException", stranger.describe_key, KeyId=key["KeyId"])
    refused("NotFoundException", stranger.describe_key, KeyId="alias/a")


# They take no alias, and say so before anything else.
ALIAS_REFUSED = {
    "enable_key", "disable_key", "schedule_key_deletion", "cancel_key_deletion",
    "update_key_description", "list_aliases", "create_alias", "tag_resource", "untag_resource",
    "enable_key_rotation", "disable_key_rotation", "get_key_rotation_status",
    "rotate_key_on_demand", "list_key_rotations", "list_resource_tags", "get_key_policy",
    "list_key_policies", "put_key_policy", "create_grant", "list_grants", "revoke_grant",
    "get_key_last_usage",
}  # fmt: skip


def test_another_account_s_blob_is_refused_by_its_resource(deployment, blob, refused):
    stranger = deployment.client(account=STRANGER)
    mine = stranger.create_key()["KeyMetadata"]["KeyId"]
    start = f"User: arn:aws:iam::{STRANGER}:root is not authorized to perform:"
    associated = "on the resource associated with this ciphertext"
    for action, method, params in (
        ("kms:Decrypt", stranger.decrypt, {"CiphertextBlob": blob}),
        ("kms:Decrypt", stranger.decrypt_many, {"CiphertextBlobs": [blob]}),
        ("kms:ReEncryptFrom", stranger.re_encrypt,
         {"CiphertextBlob": blob, "DestinationKeyId": mine}),
    ):  # fmt: skip
        text = refused("AccessDeniedException", method, **params)
        assert text == f"{start} {action} {associated} {FOREIGN}"


def test_another_account_s_destination_does_not_show_behind_a_refused_source(
    deployment, key, blob, refused, arn
):
    stranger = deployment.client(account=STRANGER)
    texts = {
        refused(
            "AccessDeniedException",
            stranger.re_encrypt,
            CiphertextBlob=blob,
            DestinationKeyId=destination,
        )
        for destination in (key["Arn"], arn(f"key/{UNKNOWN}"))
    }
    assert len(texts) == 1


def test_accounts_and_regions_do_not_see_each_other(deployment, client, key, refused):
    for whose in ({"account": STRANGER}, {"region": "eu-west-1"}):
        elsewhere = deployment.client(**whose)
        assert elsewhere.list_keys()["Keys"] == []
        assert elsewhere.used_aliases() == []
        made = elsewhere.create_key()["KeyMetadata"]
        assert made["AWSAccountId"] == whose.get("account", OWNER)
        assert f":{whose.get('region', 'us-east-1')}:" in made["Arn"]
        assert len(elsewhere.list_keys()["Keys"]) == 1
    assert [each["KeyId"] for each in client.list_keys()["Keys"]] == [key["KeyId"]]


@pytest.mark.parametrize(
    ("whose", "text"),
    [
        ({"account": "123"}, "12 digits"),
        ({"account": "١١١١٢٢٢٢٣٣٣٣"}, "12 digits"),
        ({"region": "nowhere"}, "AWS Region"),
        ({"region": "us-east-1\n"}, "AWS Region"),
        ({"region": ""}, "AWS Region"),
        ({"principal": "alice"}, "IAM or STS ARN"),
        ({"principal": f"arn:aws:iam::{OWNER}:user/a b"}, "IAM or STS ARN"),
        ({"principal": "arn:aws:iam::١١١١٢٢٢٢٣٣٣٣:root"}, "IAM or STS ARN"),
        ({"principal": f"arn:aws:iam::{OWNER}:root", "account": STRANGER}, "not of account"),
    ],
    ids=str,
)
def test_callers_that_cannot_be_are_refused(deployment, whose, text):
    with pytest.raises(ValueError, match=text):
        deployment.client(**whose)
