"""Policies and grants in force: who may do what by them, through every entry, at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

A, B = "000000000000", "111122223333"
ROOT, THEIR_ROOT = f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root"
ALICE = f"arn:aws:iam::{A}:user/alice"
ROLE = f"arn:aws:iam::{A}:role/path/App"
SESSION = f"arn:aws:sts::{A}:assumed-role/App/one"
THEIR_SESSION = f"arn:aws:sts::{B}:assumed-role/App/one"
FOREIGN = (
    "on this resource because the resource does not exist in this Region, no resource-based "
    "policies allow access, or a resource-based policy explicitly denies access"
)
DELEGATE: dict[str, Any] = {
    "Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*",
}  # fmt: skip


def allow(action: Any = "kms:*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": "*", **more}


def document(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


ALL = document(allow())


class Ground:
    """A key, who administers it, and others."""

    def __init__(self, deployment, refused) -> None:
        self.deployment = deployment
        self.root = deployment.client()
        self.key: dict[str, Any] = self.root.create_key()["KeyMetadata"]
        self.arn: str = self.key["Arn"]
        self._refused = refused

    def put(self, *statements: Any) -> None:
        self.root.put_key_policy(KeyId=self.arn, Policy=document(DELEGATE, *statements))

    def client(self, principal: str = SESSION, **attached: Any) -> Any:
        return self.deployment.client(principal=principal, **attached)

    def encrypts(self, client: Any, **params: Any) -> bool:
        """Whether the client may encrypt; the answer is right where it may."""
        try:
            answer = client.encrypt(KeyId=self.arn, Plaintext=b"x", **params)
        except client.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDeniedException", error
            return False
        assert answer["KeyId"] == self.arn
        return True

    def refusal(self, method: Any, **params: Any) -> str:
        text = self._refused("AccessDeniedException", method, **params)
        return text.split(" is not authorized to perform: ")[1]


@pytest.fixture
def ground(deployment, refused) -> Ground:
    return Ground(deployment, refused)


def test_key_policies_allow_and_deny(ground):
    session, alice = ground.client(), ground.client(ALICE)
    assert not ground.encrypts(session)
    ground.put(allow("kms:Encrypt", Principal={"AWS": ROLE}))
    assert ground.encrypts(session)
    assert not ground.encrypts(alice)
    text = ground.refusal(session.generate_data_key, KeyId=ground.arn, KeySpec="AES_256")
    assert text == (
        f"kms:GenerateDataKey on resource: {ground.arn} because no identity-based policy allows "
        "the kms:GenerateDataKey action"
    )
    deny = {**allow("kms:Encrypt"), "Effect": "Deny", "Principal": "*"}
    ground.put(allow(Principal="*"), deny)
    for client in (session, alice, ground.root):
        text = ground.refusal(client.encrypt, KeyId=ground.arn, Plaintext=b"x")
        assert text.endswith("with an explicit deny in a resource-based policy")
    assert session.describe_key(KeyId=ground.arn)["KeyMetadata"]["Arn"] == ground.arn
    ground.put()
    assert not ground.encrypts(session)
    assert ground.encrypts(ground.root)


def test_without_delegation_the_account_has_no_say(ground):
    """Not even its root user: there is a lockout check for that."""
    policy = document(allow(Principal={"AWS": ALICE}))
    ground.root.put_key_policy(
        KeyId=ground.arn, Policy=policy, BypassPolicyLockoutSafetyCheck=True
    )  # fmt: skip
    for client in (ground.root, ground.client(identity_policies=[ALL])):
        text = ground.refusal(client.describe_key, KeyId=ground.arn)
        assert text == (
            f"kms:DescribeKey on resource: {ground.arn} because no resource-based policy allows "
            "the kms:DescribeKey action"
        )
    assert ground.encrypts(ground.client(ALICE))


def test_the_account_delegates_to_policies_of_its_principals(ground):
    assert ground.encrypts(ground.client(identity_policies=[ALL]))
    for attached in (
        {"identity_policies": [document(allow("kms:Decrypt"))]},
        {"identity_policies": [ALL], "session_policy": document(allow("kms:Decrypt"))},
        {"identity_policies": [ALL], "permissions_boundary": document(allow("kms:Decrypt"))},
    ):
        assert not ground.encrypts(ground.client(**attached))
    narrowed = ground.client(
        identity_policies=[ALL],
        session_policy=[document(allow("kms:Decrypt")), {"Statement": [allow("kms:Encrypt")]}],
    )
    assert ground.encrypts(narrowed)


def test_addresses(ground):
    """AWS's own example: everybody else is refused, the root user too."""
    elsewhere = {"NotIpAddress": {"aws:SourceIp": ["192.0.2.0/24", "2001:db8::/32", "127.0.0.1"]}}
    ground.put({**DELEGATE, "Effect": "Deny", "Principal": "*", "Condition": elsewhere})
    for address, allowed in (
        ("192.0.2.9", True), ("2001:db8::1", True), ("::ffff:192.0.2.1", True),
        ("198.51.100.1", False), ("2001:db9::1", False),
    ):  # fmt: skip
        client = ground.client(ROOT, source_ip=address)
        assert ground.encrypts(client) is allowed, address
        assert ground.deployment.records()[-1]["sourceIPAddress"] == address
    assert ground.encrypts(ground.root)


def test_conditions_on_the_encryption_context(ground):
    for condition, context, allowed in (
        ({"StringEquals": {"kms:EncryptionContext:Tenant": "a"}}, {"tenant": "a"}, True),
        ({"StringEquals": {"kms:EncryptionContext:Tenant": "a"}}, {"tenant": "b"}, False),
        ({"StringEquals": {"kms:EncryptionContext:Tenant": "a"}}, {}, False),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}},
         {"a": "", "b": ""}, True),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}},
         {"a": "", "c": ""}, False),
        ({"StringEquals": {"kms:EncryptionContextKeys": "a"}}, {"a": ""}, False),
        ({"Null": {"kms:EncryptionContextKeys": "true"}}, {}, True),
    ):  # fmt: skip
        ground.put(allow(Principal={"AWS": ROLE}, Condition=condition))
        client = ground.client()
        for _ in range(2):  # the second time from memory
            assert ground.encrypts(client, EncryptionContext=context) is allowed, condition
            assert not ground.encrypts(client, EncryptionContext={"x": "y"})


def test_key_aliases_and_tags_as_conditions(ground):
    """ABAC: and what was decided by a tag or an alias is void when it changes."""
    tag = "${aws:PrincipalTag/t}"
    client = ground.client(
        identity_policies=[
            document(
                allow("kms:Encrypt",
                      Condition={"StringEquals": {"aws:ResourceTag/team": tag}}),
                allow("kms:Encrypt",
                      Condition={"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/a"}}),
                allow("kms:DescribeKey",
                      Condition={"StringLike": {"kms:RequestAlias": "alias/a*"}}),
            )
        ],
        condition_keys={"aws:PrincipalTag/t": "red"},
    )  # fmt: skip
    named = {"KeyId": ground.arn}
    assert not ground.encrypts(client)
    ground.root.tag_resource(**named, Tags=[{"TagKey": "Team", "TagValue": "red"}])
    assert ground.encrypts(client)
    ground.root.tag_resource(**named, Tags=[{"TagKey": "Team", "TagValue": "blue"}])
    assert not ground.encrypts(client)
    ground.root.create_alias(AliasName="alias/a", TargetKeyId=ground.arn)
    assert ground.encrypts(client)
    assert client.describe_key(KeyId="alias/a")["KeyMetadata"]["Arn"] == ground.arn
    ground.refusal(client.describe_key, **named)
    other = ground.root.create_key()["KeyMetadata"]["KeyId"]
    ground.root.update_alias(AliasName="alias/a", TargetKeyId=other)
    assert not ground.encrypts(client)
    ground.root.update_alias(AliasName="alias/a", TargetKeyId=ground.key["KeyId"])
    assert ground.encrypts(client)
    ground.root.delete_alias(AliasName="alias/a")
    assert not ground.encrypts(client)
    ground.root.tag_resource(**named, Tags=[{"TagKey": "Team", "TagValue": "red"}])
    assert ground.encrypts(client)
    ground.root.untag_resource(**named, TagKeys=["Team"])
    assert not ground.encrypts(client)


def test_grants_are_in_force_until_they_are_retired_or_revoked(ground):
    client = ground.client()
    for end in ("retire", "revoke"):
        assert not ground.encrypts(client)
        made = ground.root.create_grant(
            KeyId=ground.arn, GranteePrincipal=ROLE, Operations=["Encrypt", "DescribeKey"]
        )
        assert ground.encrypts(client)
        assert ground.encrypts(client, GrantTokens=[made["GrantToken"]])
        assert ground.encrypts(ground.client(ROLE))
        assert not ground.encrypts(ground.client(ALICE), GrantTokens=[made["GrantToken"]])
        assert "kms:GenerateDataKey on" in ground.refusal(
            client.generate_data_key, KeyId=ground.arn, KeySpec="AES_256"
        )
        if end == "retire":
            ground.root.retire_grant(GrantToken=made["GrantToken"])
        else:
            ground.root.revoke_grant(KeyId=ground.arn, GrantId=made["GrantId"])
    assert not ground.encrypts(client)


@pytest.mark.parametrize(
    "grantee",
    [SESSION, ROLE, f"arn:aws:iam::{A}:role/other/App", "AROA00000000000000100:one"],
)
def test_whom_grants_reach(ground, grantee):
    ground.root.create_grant(KeyId=ground.arn, GranteePrincipal=grantee, Operations=["Encrypt"])
    assert ground.encrypts(ground.client()) is ("AROA" not in grantee)
    assert ground.encrypts(ground.client(SESSION.replace("one", "two"))) is (":role/" in grantee)
    assert not ground.encrypts(ground.client(SESSION.replace("App", "Ap_")))
    assert not ground.encrypts(ground.client(ALICE))


def test_constraints_of_grants(ground):
    client = ground.client()
    ground.root.create_grant(
        KeyId=ground.arn, GranteePrincipal=ROLE, Operations=["Encrypt", "DescribeKey"],
        Constraints={"EncryptionContextSubset": {"Tenant": "a"}},
    )  # fmt: skip
    assert ground.encrypts(client, EncryptionContext={"tenant": "a", "more": "b"})
    assert not ground.encrypts(client, EncryptionContext={"Tenant": "A"})
    assert not ground.encrypts(client)
    client.describe_key(KeyId=ground.arn)


def test_grants_through_grants(ground):
    """One parent must cover everything."""
    client = ground.client()
    ground.root.create_grant(
        KeyId=ground.arn, GranteePrincipal=ROLE, Operations=["CreateGrant", "Encrypt"],
        Constraints={"EncryptionContextSubset": {"a": "1"}},
    )  # fmt: skip
    ground.root.create_grant(
        KeyId=ground.arn, GranteePrincipal=ROLE, Operations=["CreateGrant", "DescribeKey"]
    )
    child = {"KeyId": ground.arn, "GranteePrincipal": ALICE}
    limits = {"EncryptionContextEquals": {"a": "1", "b": "2"}}
    for operations, constraints in (
        (["Encrypt"], {}),
        (["Encrypt", "DescribeKey"], limits),
        (["Decrypt"], limits),
    ):
        text = ground.refusal(
            client.create_grant, **child, Operations=operations, Constraints=constraints
        )
        assert text == (
            f"kms:CreateGrant on resource: {ground.arn} because no identity-based policy allows "
            "the kms:CreateGrant action"
        )
    client.create_grant(**child, Operations=["Encrypt"], Constraints=limits)
    alice = ground.client(ALICE)
    assert ground.encrypts(alice, EncryptionContext={"a": "1", "b": "2"})
    assert not ground.encrypts(alice, EncryptionContext={"a": "1"})


def test_other_accounts_need_both_sides(ground):
    stranger = ground.client(THEIR_SESSION)
    with_policy = ground.client(THEIR_SESSION, identity_policies=[ALL])
    their_root = ground.deployment.client(account=B)
    for client in (stranger, with_policy, their_root):
        text = ground.refusal(client.encrypt, KeyId=ground.arn, Plaintext=b"x")
        assert text == f"kms:Encrypt {FOREIGN}"
    ground.put(allow(Principal={"AWS": THEIR_ROOT}))
    assert ground.encrypts(with_policy)
    assert ground.encrypts(their_root)
    text = ground.refusal(stranger.encrypt, KeyId=ground.arn, Plaintext=b"x")
    assert text == (
        "kms:Encrypt on this resource because no identity-based policy allows the kms:Encrypt "
        "action"
    )
    # What is no cross-account operation stays refused
    text = ground.refusal(their_root.get_key_policy, KeyId=ground.arn)
    assert text == f"kms:GetKeyPolicy {FOREIGN}"
    ground.put()
    assert not ground.encrypts(their_root)
    made = ground.root.create_grant(KeyId=ground.arn, GranteePrincipal=B, Operations=["Encrypt"])
    assert ground.encrypts(their_root, GrantTokens=[made["GrantToken"]])
    assert ground.encrypts(with_policy)


def test_a_ciphertext_opens_for_who_is_allowed_in_another_account(ground):
    blob = ground.root.encrypt(KeyId=ground.arn, Plaintext=b"x")["CiphertextBlob"]
    their_root = ground.deployment.client(account=B)
    text = ground.refusal(their_root.decrypt, CiphertextBlob=blob)
    assert text.startswith("kms:Decrypt on the resource associated with this ciphertext because")
    ground.put(allow("kms:Decrypt", Principal={"AWS": B}))
    assert their_root.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_re_encrypt_needs_both_keys(ground):
    other = ground.root.create_key()["KeyMetadata"]["Arn"]
    blob = ground.root.encrypt(
        KeyId=ground.arn, Plaintext=b"x", EncryptionContext={"side": "source"}
    )["CiphertextBlob"]
    client = ground.client()
    asked = {
        "CiphertextBlob": blob, "DestinationKeyId": other,
        "SourceEncryptionContext": {"side": "source"},
        "DestinationEncryptionContext": {"side": "destination"},
    }  # fmt: skip

    def side(action: str, name: str) -> str:
        condition = {"StringEquals": {"kms:EncryptionContext:side": name}}
        return document(
            DELEGATE, allow(action, Principal={"AWS": ROLE}, Condition=condition)
        )  # fmt: skip

    assert "kms:ReEncryptFrom" in ground.refusal(client.re_encrypt, **asked)
    ground.root.put_key_policy(KeyId=ground.arn, Policy=side("kms:ReEncryptFrom", "source"))
    text = ground.refusal(client.re_encrypt, **asked)
    assert text.startswith(f"kms:ReEncryptTo on resource: {other} because no identity-based")
    ground.root.put_key_policy(KeyId=other, Policy=side("kms:ReEncryptTo", "destination"))
    assert client.re_encrypt(**asked)["KeyId"] == other
    same = {"Bool": {"kms:ReEncryptOnSameKey": "true"}}
    ground.put(allow("kms:ReEncrypt*", Principal={"AWS": ROLE}, Condition=same))
    ground.refusal(client.re_encrypt, **asked)
    client.re_encrypt(**{**asked, "DestinationKeyId": ground.arn})


def test_alias_operations_need_the_alias_and_the_keys(ground):
    asked = {"AliasName": "alias/a", "TargetKeyId": ground.key["KeyId"]}
    alias = ground.arn.split(":key/")[0] + ":alias/a"
    for resource, missing in ((ground.arn, alias), (alias, ground.arn)):
        client = ground.client(identity_policies=[document(allow(Resource=resource))])
        text = ground.refusal(client.create_alias, **asked)
        assert text.startswith(f"kms:CreateAlias on resource: {missing} because no identity")
    client = ground.client(identity_policies=[document(allow(Resource=[alias, ground.arn]))])
    client.create_alias(**asked)
    client.delete_alias(AliasName="alias/a")


def test_create_key_with_tags_needs_two_permissions(ground):
    tags = [{"TagKey": "team", "TagValue": "red"}]
    client = ground.client(identity_policies=[document(allow("kms:CreateKey"))])
    text = ground.refusal(client.create_key, Tags=tags)
    assert text == (
        "kms:TagResource because no identity-based policy allows the kms:TagResource action"
    )
    client.create_key()
    condition = {
        "StringEquals": {"aws:RequestTag/Team": "red"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]},
    }
    tagging = document(allow(["kms:CreateKey", "kms:TagResource"], Condition=condition))
    client = ground.client(identity_policies=[tagging])
    client.create_key(Tags=tags)
    ground.refusal(client.create_key, Tags=[{"TagKey": "team", "TagValue": "blue"}])
    text = ground.refusal(client.create_key)
    assert text == (
        "kms:CreateKey on resource: * because no identity-based policy allows the kms:CreateKey "
        "action"
    )


def test_services_that_call_for_a_principal(ground):
    service = "s3.us-east-1.amazonaws.com"
    via = {"StringEquals": {"kms:ViaService": service, "kms:CallerAccount": A}}
    ground.put(allow(["kms:Encrypt", "kms:CreateGrant"], Principal={"AWS": "*"}, Condition=via))
    assert not ground.encrypts(ground.client(ALICE))
    through = ground.client(ALICE, via_service=service)
    assert ground.encrypts(through)
    ground.put(
        allow("kms:CreateGrant", Principal={"AWS": ROLE},
              Condition={"Bool": {"kms:GrantIsForAWSResource": True}}),
    )  # fmt: skip
    asked = {"KeyId": ground.arn, "GranteePrincipal": ALICE, "Operations": ["Encrypt"]}
    ground.refusal(ground.client().create_grant, **asked)
    ground.client(via_service=service).create_grant(**asked)


def test_the_lockout_check_knows_the_policies_of_the_caller(ground, refused):
    """Delegation helps only whom a policy of their own allows PutKeyPolicy."""
    text = document(DELEGATE)
    named = {"KeyId": ground.arn, "Policy": text}
    client = ground.client(identity_policies=[document(allow(["kms:Put*"]))])
    client.put_key_policy(**named)
    limited = allow(["kms:Put*"], Condition={"StringEquals": {"kms:CallerAccount": B}})
    ground.put(allow("kms:PutKeyPolicy", Principal={"AWS": ROLE}))
    client = ground.client(identity_policies=[document(limited)])
    assert refused("MalformedPolicyDocumentException", client.put_key_policy, **named) == (
        "The new key policy will not allow you to update the key policy in the future."
    )


def test_batches_and_dry_runs_are_authorised_too(ground, refused):
    client = ground.client()
    batch = {"KeyId": ground.arn, "KeySpec": "AES_256", "NumberOfKeys": 2}
    assert "kms:GenerateDataKey " in ground.refusal(client.generate_data_keys, **batch)
    ground.put(allow("kms:GenerateDataKey", Principal={"AWS": ROLE}))
    assert len(client.generate_data_keys(**batch)) == 2
    dry = {"KeyId": ground.arn, "KeySpec": "AES_256", "DryRun": True}
    refused("DryRunOperationException", client.generate_data_key, **dry)
    assert not ground.encrypts(client, DryRun=True)


def test_time_is_a_condition(ground):
    until = {"DateLessThan": {"aws:CurrentTime": "2026-01-01T01:00:00Z"}}
    ground.put(allow("kms:Encrypt", Principal={"AWS": ROLE}, Condition=until))
    client = ground.client()
    assert ground.encrypts(client)
    ground.deployment.clock.advance(3_599)
    assert ground.encrypts(client)
    ground.deployment.clock.advance(1)
    assert not ground.encrypts(client)


def test_days_without_use_are_a_condition(ground):
    """AWS's: a key that was in use lately is not to be deleted."""
    used = {"NumericLessThan": {"kms:TrailingDaysWithoutKeyUsage": "10"}}
    ground.put({**DELEGATE, "Effect": "Deny", "Action": "kms:DisableKey", "Condition": used})
    ground.root.encrypt(KeyId=ground.arn, Plaintext=b"x")
    ground.deployment.clock.advance(10 * 86_400 - 1)
    ground.refusal(ground.root.disable_key, KeyId=ground.arn)
    ground.deployment.clock.advance(1)
    ground.root.disable_key(KeyId=ground.arn)


def test_decisions_are_forgotten_with_reopening_and_kept_by_policies(durable, refused):
    ground = Ground(durable, refused)
    ground.put(allow("kms:Encrypt", Principal={"AWS": ROLE}))
    ground.root.create_grant(KeyId=ground.arn, GranteePrincipal=ALICE, Operations=["Encrypt"])
    durable.reopen()
    assert ground.encrypts(durable.client(principal=SESSION))
    assert ground.encrypts(durable.client(principal=ALICE))
    assert not ground.encrypts(durable.client(principal=f"{ALICE}2"))


@pytest.mark.parametrize(
    ("attached", "text"),
    [
        ({"source_ip": "somewhere"}, "source_ip must be an IP address"),
        ({"via_service": "s3"}, "via_service must be"),
        ({"session_policy": "{"}, "The session policy is not valid JSON"),
        ({"identity_policies": [document(allow(Principal="*"))]}, "cannot have a Principal"),
        ({"permissions_boundary": document({"Effect": "Allow"})}, "must have Action or NotAction"),
    ],
)
def test_callers_that_cannot_be(deployment, attached, text):
    with pytest.raises(ValueError, match=text):
        deployment.client(principal=SESSION, **attached)


def test_a_client_takes_no_other_argument(deployment):
    with pytest.raises(TypeError):
        deployment.kms.client(sourceip="127.0.0.1")
