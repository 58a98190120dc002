"""Callers as they are stored: policies, tags, boundaries, organisations; and no decision outlives
a write that could change it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.identity.test_identities import ALLOW, TRUST, A, B

from clavero import KMS
from clavero.identity.organizations import FULL_ACCESS, RESOURCE_CONTROL, SERVICE_CONTROL

ALICE = f"arn:aws:iam::{A}:user/alice"
ROLE = f"arn:aws:iam::{A}:role/r"
SESSION = f"arn:aws:sts::{A}:assumed-role/r/one"


def policy(effect: str = "Allow", action: str = "*", **more: Any) -> str:
    statement = {"Effect": effect, "Action": action, "Resource": "*", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def tagged(key: str, value: str) -> str:
    return policy(Condition={"StringEquals": {f"aws:PrincipalTag/{key}": value}})


RESOURCE = policy("Deny", Principal="*")


@pytest.fixture
def key(kms):
    return kms.client(account=A).create_key()["KeyMetadata"]["Arn"]


def may(client: Any, key: str, called: str = "describe_key") -> bool:
    try:
        getattr(client, called)(KeyId=key)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDeniedException"
        return False
    return True


Step = Callable[[KMS], Any]


def org_of(kms: KMS) -> str:
    """A member's organisation: its manager is another account, which policies limit not."""
    row = kms.identities.organizations.create(B)
    kms.identities.organizations.add_account(row.organization_id, A)
    return row.organization_id


def organized(kind: str, document: str) -> Step:
    def attach(kms: KMS) -> None:
        orgs = kms.identities.organizations
        made = orgs.create_policy(orgs.all()[0].organization_id, kind, f"p {document[-60:]}"[:64],
                                  document)  # fmt: skip
        orgs.attach_policy(made.policy_id, A)

    return attach


def last_policy(kms: KMS) -> tuple[str, str]:
    orgs = kms.identities.organizations
    name = orgs.all()[0].organization_id
    return name, orgs.policies(name)[-1].policy_id


def user(kms: KMS, document: str = ALLOW, **more: Any) -> None:
    kms.identities.users.create(A, "alice", **more)
    kms.identities.users.put_policy(A, "alice", "p", document)


def nothing(kms: KMS) -> None:
    pass


def in_group(kms: KMS) -> None:
    kms.identities.users.create(A, "alice")
    kms.identities.groups.create(A, "g")
    kms.identities.groups.add_user(A, "g", "alice")


def managed(kms: KMS, document: str = ALLOW) -> str:
    return kms.identities.policies.create(A, "m", document).arn


def attached(kms: KMS) -> None:
    kms.identities.users.create(A, "alice")
    kms.identities.users.attach_policy(A, "alice", managed(kms))


def bounded(kms: KMS) -> None:
    user(kms, permissions_boundary=managed(kms, policy(action="kms:Encrypt")))


def two_versions(kms: KMS) -> None:
    attached(kms)
    kms.identities.policies.create_version(M, policy("Deny"))


def by_group(kms: KMS) -> None:
    in_group(kms)
    kms.identities.groups.put_policy(A, "g", "p", ALLOW)


def beside_group(kms: KMS) -> None:
    in_group(kms)
    kms.identities.groups.create(A, "h")
    kms.identities.groups.put_policy(A, "h", "p", ALLOW)


def outside_org(kms: KMS) -> None:
    user(kms, policy(Condition={"Null": {"aws:PrincipalOrgID": "false"}}))
    kms.identities.organizations.create(B)


def in_org(kms: KMS) -> None:
    user(kms)
    org_of(kms)


def denied_by(kind: str) -> Step:
    def make(kms: KMS) -> None:
        in_org(kms)
        organized(kind, RESOURCE if kind == RESOURCE_CONTROL else policy("Deny"))(kms)

    return make


M = f"arn:aws:iam::{A}:policy/m"
# What there is before, the write, and whether alice may before it; after it, it is the other way.
WRITES: dict[str, tuple[Step, Step, bool]] = {
    "CreateUser": (nothing, user, False),
    "PutUserPolicy": (lambda kms: kms.identities.users.create(A, "alice"),
                      lambda kms: kms.identities.users.put_policy(A, "alice", "p", ALLOW), False),
    "PutUserPolicy, deny": (user, lambda kms: kms.identities.users.put_policy(
        A, "alice", "q", policy("Deny")), True),
    "DeleteUserPolicy": (user, lambda kms: kms.identities.users.delete_policy(A, "alice", "p"),
                         True),
    "AttachUserPolicy": (lambda kms: kms.identities.users.create(A, "alice"),
                         lambda kms: kms.identities.users.attach_policy(A, "alice", managed(kms)),
                         False),
    "DetachUserPolicy": (attached,
                         lambda kms: kms.identities.users.detach_policy(A, "alice", M), True),
    "CreatePolicyVersion": (attached, lambda kms: kms.identities.policies.create_version(
        M, policy("Deny"), set_as_default=True), True),
    "SetDefaultPolicyVersion": (
        two_versions,
        lambda kms: kms.identities.policies.set_default_version(M, "v2"), True),
    "PutGroupPolicy": (in_group,
                       lambda kms: kms.identities.groups.put_policy(A, "g", "p", ALLOW), False),
    "AttachGroupPolicy": (in_group,
                          lambda kms: kms.identities.groups.attach_policy(A, "g", managed(kms)),
                          False),
    "AddUserToGroup": (
        beside_group,
        lambda kms: kms.identities.groups.add_user(A, "h", "alice"), False),
    "RemoveUserFromGroup": (
        by_group,
        lambda kms: kms.identities.groups.remove_user(A, "g", "alice"), True),
    "PutUserPermissionsBoundary": (user, lambda kms: kms.identities.users.put_boundary(
        A, "alice", managed(kms, policy(action="kms:Encrypt"))), True),
    "DeleteUserPermissionsBoundary": (
        bounded, lambda kms: kms.identities.users.delete_boundary(A, "alice"), False),
    "TagUser": (lambda kms: user(kms, tagged("Team", "a")),
                lambda kms: kms.identities.users.tag(A, "alice", {"team": "a"}), False),
    "UntagUser": (lambda kms: user(kms, tagged("Team", "a"), tags={"team": "a"}),
                  lambda kms: kms.identities.users.untag(A, "alice", ["TEAM"]), True),
    "UpdateUser": (user,
                   lambda kms: kms.identities.users.rename(A, "alice", new_name="bob"), True),
    "AddAccount": (
        outside_org,
        lambda kms: kms.identities.organizations.add_account(
            kms.identities.organizations.all()[0].organization_id, A), False),
    "RemoveAccount": (denied_by(SERVICE_CONTROL),
                      lambda kms: kms.identities.organizations.remove_account(A), False),
    "MoveAccount": (
        in_org,
        lambda kms: kms.identities.organizations.move_account(A, _denied_unit(kms)), True),
    "AttachPolicy, SCP": (in_org, organized(SERVICE_CONTROL, policy("Deny")), True),
    "AttachPolicy, RCP": (in_org, organized(RESOURCE_CONTROL, RESOURCE), True),
    "DetachPolicy, SCP": (
        denied_by(SERVICE_CONTROL), lambda kms: kms.identities.organizations.detach_policy(
            last_policy(kms)[1], A), False),
    "DetachPolicy, RCP": (
        denied_by(RESOURCE_CONTROL), lambda kms: kms.identities.organizations.detach_policy(
            last_policy(kms)[1], A), False),
    "UpdatePolicy, SCP": (
        denied_by(SERVICE_CONTROL), lambda kms: kms.identities.organizations.update_policy(
            *last_policy(kms), ALLOW), False),
    "UpdatePolicy, RCP": (
        denied_by(RESOURCE_CONTROL), lambda kms: kms.identities.organizations.update_policy(
            *last_policy(kms), policy("Deny", "s3:*", Principal="*")), False),
}  # fmt: skip


def _denied_unit(kms: KMS) -> str:
    orgs = kms.identities.organizations
    row = orgs.all()[0]
    unit = orgs.create_unit(row.root_id, "u")
    made = orgs.create_policy(row.organization_id, SERVICE_CONTROL, "d", policy("Deny"))
    orgs.attach_policy(made.policy_id, unit.node_id)
    return unit.node_id


@pytest.mark.parametrize("name", WRITES)
def test_no_decision_outlives_a_write_that_changes_it(kms, key, name):
    before, write, allowed = WRITES[name]
    client = kms.client(principal=ALICE)
    before(kms)
    assert may(client, key) is allowed
    assert may(client, key) is allowed  # remembered
    write(kms)
    assert may(client, key) is not allowed
    assert may(client, key) is not allowed


def test_deleting_a_user_ends_what_it_may(kms, key):
    """And what the key's policy says of it: the decision of the call before is no more."""
    kms.identities.users.create(A, "alice")
    kms.client(account=A).create_grant(
        KeyId=key, GranteePrincipal=ALICE, Operations=["DescribeKey"]
    )
    client = kms.client(principal=ALICE)
    assert may(client, key)
    kms.identities.users.delete(A, "alice")
    assert not may(client, key)
    kms.identities.users.create(A, "alice")
    assert not may(client, key)


def test_a_write_about_others_leaves_what_was_decided(kms, key):
    user(kms)
    source = kms._resolver.in_process(ALICE, A, kms._caller(ALICE, None, {}).given)
    first = source.current()
    kms.identities.users.create(A, "bob")
    kms.identities.users.put_policy(A, "bob", "p", ALLOW)
    assert source.current() is first
    kms.identities.users.tag(A, "alice", {"x": "1"})
    assert source.current() is not first


def test_sessions_of_a_stored_role_have_its_policies_and_tags(kms, key):
    role, session = kms.client(principal=ROLE), kms.client(principal=SESSION)
    assert not may(role, key)
    kms.identities.roles.create(A, "r", TRUST, tags={"team": "a"})
    kms.identities.roles.put_policy(A, "r", "p", tagged("team", "a"))
    assert may(role, key)
    assert may(session, key)
    limited = kms.client(principal=SESSION, session_policy=policy(action="kms:Encrypt"))
    assert not may(limited, key)
    own = kms.client(principal=SESSION, identity_policies=[policy("Deny")])
    assert not may(own, key)
    elsewhere = kms.client(principal=f"arn:aws:iam::{A}:role/path/r")
    assert not may(elsewhere, key)  # of another path: not the stored one


def test_root_users_of_members_are_limited_and_the_manager_is_not(kms, key):
    row = kms.identities.organizations.create(B)
    root, manager = kms.client(account=A), kms.client(account=B)
    manager_key = manager.create_key()["KeyMetadata"]["KeyId"]
    assert may(root, key)
    kms.identities.organizations.add_account(row.organization_id, A)
    denying = kms.identities.organizations.create_policy(
        row.organization_id, SERVICE_CONTROL, "d", policy("Deny")
    )
    kms.identities.organizations.attach_policy(denying.policy_id, row.root_id)
    assert not may(root, key)
    assert may(manager, manager_key)
    orgs = kms.identities.organizations
    orgs.detach_policy(denying.policy_id, row.root_id)
    assert may(root, key)
    closed = orgs.create_policy(row.organization_id, SERVICE_CONTROL, "c", policy(action="s3:*"))
    orgs.attach_policy(closed.policy_id, A)
    orgs.detach_policy(FULL_ACCESS, A)
    assert not may(root, key)  # one level lets nothing of KMS through


def test_resource_control_policies_limit_everybody_but_not_aws_managed_keys(kms, key):
    org_of(kms)
    root = kms.client(account=A)
    condition = {"StringNotEquals": {"aws:ResourceOrgID": "o-0000000000"}}
    denying = policy("Deny", "kms:Describe*", Principal="*", Condition=condition)
    assert may(root, key)
    organized(RESOURCE_CONTROL, denying)(kms)
    assert not may(root, key)
    assert may(root, key, "get_key_policy")
    assert root.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["KeyManager"] == "AWS"


def test_who_can_tells_of_stored_users(kms, key):
    user(kms)
    found = kms.client(account=A).who_can("kms:DescribeKey", key)["Principals"]
    assert ALICE in {each["Principal"] for each in found}
