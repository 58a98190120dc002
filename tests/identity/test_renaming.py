"""Policies and grants follow who is renamed, and do not follow who is gone to a namesake."""

from __future__ import annotations

import json

from tests.identity.test_identities import TRUST, A

from clavero.iam.naming import renamed

ALICE = f"arn:aws:iam::{A}:user/alice"
ROLE = f"arn:aws:iam::{A}:role/app/r"
SESSION = f"arn:aws:sts::{A}:assumed-role/r/one"


def policy_naming(*principals: str) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": A}, "Action": "kms:*", "Resource": "*"},
                {"Sid": f"x {ALICE}", "Effect": "Allow", "Principal": {"AWS": list(principals)},
                 "Action": "kms:Encrypt", "Resource": "*",
                 "Condition": {"ArnLike": {"aws:PrincipalArn": [ALICE, ROLE]}}},
            ],
        },
        indent=1,
    )  # fmt: skip


def test_only_principals_are_named_otherwise():
    text = policy_naming(ALICE, ROLE)
    found = renamed(text, {ALICE: "AIDA"}.get)
    assert found == text.replace(f'"AWS": [\n     "{ALICE}"', '"AWS": [\n     "AIDA"')
    assert found != text
    assert renamed(text, lambda _name: None) == text
    single = '{"Statement":{"NotPrincipal":{"AWS":"a","Service":"a"},"Principal":"a"}}'
    assert renamed(single, {"a": "b"}.get) == single.replace('"AWS":"a"', '"AWS":"b"')
    escaped = '{"Statement":[{"Principal":{"AWS":"\\u0061"}}]}'
    assert renamed(escaped, {"a": '"'}.get) == '{"Statement":[{"Principal":{"AWS":"\\""}}]}'
    assert renamed("no JSON", {"no": "yes"}.get) == "no JSON"


def test_who_is_gone_leaves_its_unique_id_in_key_policies_trust_policies_and_grants(kms):
    ids, client = kms.identities, kms.client(account=A)
    alice = ids.users.create(A, "alice")
    role = ids.roles.create(A, "r", TRUST, path="/app/")
    trusting = TRUST.replace(f'"{A}"', f'["{role.arn}", "{SESSION}", "{A}"]')
    ids.roles.create(A, "other", trusting)
    text = policy_naming(ALICE, ROLE, SESSION)
    key = client.create_key(Policy=text)["KeyMetadata"]["KeyId"]
    same = client.create_key(Policy=text)["KeyMetadata"]["KeyId"]
    for grantee in (ALICE, ROLE, SESSION):
        client.create_grant(
            KeyId=key, GranteePrincipal=grantee, RetiringPrincipal=ROLE, Operations=["Encrypt"]
        )
    ids.roles.delete(A, "r")
    after = policy_naming(ALICE, role.unique_id, f"{role.unique_id}:one")
    assert client.get_key_policy(KeyId=key)["Policy"] == after
    assert client.get_key_policy(KeyId=same)["Policy"] == after
    assert ids.roles.get(A, "other").trust == TRUST.replace(
        f'"{A}"', f'["{role.unique_id}", "{role.unique_id}:one", "{A}"]'
    )
    found = client.list_grants(KeyId=key)["Grants"]
    assert {grant["GranteePrincipal"] for grant in found} == {
        ALICE, role.unique_id, f"{role.unique_id}:one",
    }  # fmt: skip
    assert {grant["RetiringPrincipal"] for grant in found} == {role.unique_id}
    ids.users.rename(A, "alice", new_path="/x/")
    assert client.get_key_policy(KeyId=key)["Policy"] == after.replace(
        f'"AWS": [\n     "{ALICE}"', f'"AWS": [\n     "arn:aws:iam::{A}:user/x/alice"'
    )
    ids.users.delete(A, "alice")
    assert alice.unique_id in client.get_key_policy(KeyId=key)["Policy"]


def test_a_namesake_does_not_inherit(kms, refused):
    """In what was decided before too: the decision of the call before is remembered."""
    ids = kms.identities
    ids.roles.create(A, "r", TRUST, path="/app/")
    owner = kms.client(account=A)
    key_id = owner.create_key()["KeyMetadata"]["KeyId"]
    owner.create_grant(KeyId=key_id, GranteePrincipal=ROLE, Operations=["Encrypt"])
    client = kms.client(principal=f"arn:aws:sts::{A}:assumed-role/r/one")
    client.encrypt(KeyId=key_id, Plaintext=b"x")
    ids.roles.delete(A, "r")
    message = refused("AccessDeniedException", client.encrypt, KeyId=key_id, Plaintext=b"x")
    assert "no identity-based policy allows the kms:Encrypt action" in message
    ids.roles.create(A, "r", TRUST, path="/app/")
    refused("AccessDeniedException", client.encrypt, KeyId=key_id, Plaintext=b"x")
