"""Users, groups, roles and policies as they are stored: names, limits, AWS's errors, durability."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from clavero import KMS
from clavero.model.errors import KMSError

A, B = "111122223333", "444455556666"
ALLOW = json.dumps(
    {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": A}, "Action": "sts:AssumeRole"},
        ],
    }
)


def fails(code: str, call: Any, *arguments: Any, **named: Any) -> KMSError:
    with pytest.raises(KMSError) as caught:
        call(*arguments, **named)
    assert caught.value.code == code, caught.value
    return caught.value


@pytest.fixture
def ids(kms):
    return kms.identities


def test_a_user_has_aws_arn_and_unique_id(ids):
    user = ids.users.create(A, "alice", path="/team/", tags={"team": "a"})
    assert user.arn == f"arn:aws:iam::{A}:user/team/alice"
    assert re.fullmatch("AIDA[A-Z2-7]{17}", user.unique_id)
    assert ids.users.get(A, "ALICE") == user
    assert ids.users.tags(A, "alice") == {"team": "a"}
    fails("EntityAlreadyExists", ids.users.create, A, "Alice")
    assert ids.users.create(B, "alice").unique_id != user.unique_id
    assert [each.name for each in ids.users.all(A)] == ["alice"]
    assert ids.users.all(A, "/other/") == []
    assert fails("NoSuchEntity", ids.users.get, A, "bob").http_status == 404


@pytest.mark.parametrize(
    ("name", "path", "code"),
    [
        ("", "/", "ValidationError"),
        ("x" * 65, "/", "ValidationError"),
        ("a b", "/", "ValidationError"),
        ("é", "/", "ValidationError"),
        ("a", "team/", "ValidationError"),
        ("a", "/team", "ValidationError"),
        ("a", "/" + "x" * 511 + "/", "ValidationError"),
    ],
)
def test_names_and_paths_are_aws_own(ids, name, path, code):
    fails(code, ids.users.create, A, name, path=path)
    assert ids.users.all(A) == []


def test_access_keys_are_two_a_user_sealed_and_told_once(kms, ids):
    ids.users.create(A, "alice")
    first, second = (ids.users.create_access_key(A, "alice") for _ in range(2))
    refusal = fails("LimitExceeded", ids.users.create_access_key, A, "alice")
    assert refusal.message == "Cannot exceed quota for AccessKeysPerUser: 2"
    rows = ids.users.access_keys(A, "alice")
    assert {row.access_key_id for row in rows} == {first.access_key_id, second.access_key_id}
    assert all(first.secret_access_key.encode() not in row.secret for row in rows)
    assert kms.accounts.access_keys() == []  # those are the root users'
    ids.users.update_access_key(A, "alice", first.access_key_id, "Inactive")
    rows = ids.users.access_keys(A, "alice")
    assert [row.access_key_id for row in rows if row.active] == [second.access_key_id]
    fails("ValidationError", ids.users.update_access_key, A, "alice", first.access_key_id, "Off")
    ids.users.delete_access_key(A, "alice", first.access_key_id)
    ids.users.create(A, "bob")
    fails("NoSuchEntity", ids.users.delete_access_key, A, "bob", second.access_key_id)


def test_verifiers_hear_of_active_keys_only(kms, ids):
    told: dict[str, str] = {}

    class Verifier:
        def put(self, key_id: str, account: str, arn: str, region: str, sealed: bytes) -> None:
            told[key_id] = arn

        def remove(self, key_id: str) -> bool:
            return told.pop(key_id, None) is not None

    ids.users.create(A, "alice")
    before = ids.users.create_access_key(A, "alice")
    ids.users.update_access_key(A, "alice", before.access_key_id, "Inactive")
    kms.accounts.attach(Verifier())
    assert told == {}
    key = ids.users.create_access_key(A, "alice")
    assert told == {key.access_key_id: f"arn:aws:iam::{A}:user/alice"}
    ids.users.rename(A, "alice", new_name="alicia", new_path="/x/")
    assert told == {key.access_key_id: f"arn:aws:iam::{A}:user/x/alicia"}
    ids.users.update_access_key(A, "alicia", key.access_key_id, "Inactive")
    assert told == {}
    ids.users.update_access_key(A, "alicia", before.access_key_id, "Active")
    assert set(told) == {before.access_key_id}
    ids.users.delete_access_key(A, "alicia", before.access_key_id)
    assert told == {}


def test_inline_policies_are_kept_as_they_are_put_up_to_a_size(ids):
    ids.users.create(A, "alice")
    spaced = ALLOW.replace(" ", "  \n")
    ids.users.put_policy(A, "alice", "p", spaced)
    assert ids.users.get_policy(A, "alice", "p") == spaced
    ids.users.put_policy(A, "alice", "p", ALLOW)
    assert ids.users.list_policies(A, "alice") == ["p"]
    big = json.dumps({"Statement": {"Effect": "Allow", "Action": ["kms:" + "x" * 2000],
                                    "Resource": "*"}})  # fmt: skip
    refusal = fails("LimitExceeded", ids.users.put_policy, A, "alice", "q", big)
    assert refusal.message == "Maximum policy size of 2048 bytes exceeded for user alice"
    fails("MalformedPolicyDocument", ids.users.put_policy, A, "alice", "q", "{}")
    fails("MalformedPolicyDocument", ids.users.put_policy, A, "alice", "q", TRUST)
    ids.users.delete_policy(A, "alice", "p")
    fails("NoSuchEntity", ids.users.delete_policy, A, "alice", "p")
    fails("NoSuchEntity", ids.users.get_policy, A, "alice", "p")


def test_managed_policies_have_versions_and_are_attached(ids):
    policy = ids.policies.create(A, "p", ALLOW, path="/x/", description="all")
    assert policy.arn == f"arn:aws:iam::{A}:policy/x/p"
    fails("EntityAlreadyExists", ids.policies.create, A, "P", ALLOW)
    for _ in range(4):
        ids.policies.create_version(policy.arn, ALLOW)
    fails("LimitExceeded", ids.policies.create_version, policy.arn, ALLOW)
    assert [each.version for each in ids.policies.versions(policy.arn)] == [5, 4, 3, 2, 1]
    ids.policies.set_default_version(policy.arn, "v3")
    fails("DeleteConflict", ids.policies.delete_version, policy.arn, "v3")
    fails("NoSuchEntity", ids.policies.set_default_version, policy.arn, "v9")
    fails("ValidationError", ids.policies.version, policy.arn, "3")
    fails("DeleteConflict", ids.policies.delete, policy.arn)
    for version in ("v1", "v2", "v4", "v5"):
        ids.policies.delete_version(policy.arn, version)
    group = ids.groups.create(A, "g")
    ids.groups.attach_policy(A, "g", policy.arn)
    ids.groups.attach_policy(A, "g", policy.arn)
    assert ids.groups.list_attached_policies(A, "g") == [policy.arn]
    assert ids.policies.attached_to(policy.arn) == [group]
    fails("DeleteConflict", ids.policies.delete, policy.arn)
    ids.groups.detach_policy(A, "g", policy.arn)
    fails("NoSuchEntity", ids.groups.detach_policy, A, "g", policy.arn)
    ids.users.create(A, "alice", permissions_boundary=policy.arn)
    fails("DeleteConflict", ids.policies.delete, policy.arn)
    ids.users.delete_boundary(A, "alice")
    ids.policies.delete(policy.arn)
    fails("NoSuchEntity", ids.policies.get, policy.arn)
    fails("NoSuchEntity", ids.groups.attach_policy, A, "g", policy.arn)
    fails("InvalidInput", ids.groups.attach_policy, A, "g", "p")
    ids.users.create(B, "bob")
    other = ids.policies.create(A, "q", ALLOW)
    fails("NoSuchEntity", ids.users.attach_policy, B, "bob", other.arn)
    fails("NoSuchEntity", ids.users.put_boundary, B, "bob", other.arn)
    ids.users.attach_policy(B, "bob", "arn:aws:iam::aws:policy/AdministratorAccess")
    fails("AccessDenied", ids.policies.delete, "arn:aws:iam::aws:policy/AdministratorAccess")


def test_ten_policies_are_attached_to_one(ids):
    ids.users.create(A, "alice")
    arns = [ids.policies.create(A, f"p{number}", ALLOW).arn for number in range(11)]
    for each in arns[:10]:
        ids.users.attach_policy(A, "alice", each)
    refusal = fails("LimitExceeded", ids.users.attach_policy, A, "alice", arns[10])
    assert refusal.message == "Cannot exceed quota for PoliciesPerUser: 10"


def test_groups_have_users(ids):
    user, group = ids.users.create(A, "alice"), ids.groups.create(A, "g")
    ids.groups.add_user(A, "g", "alice")
    ids.groups.add_user(A, "G", "Alice")
    assert ids.groups.members(A, "g") == [user]
    assert ids.users.groups(A, "alice") == [group]
    fails("DeleteConflict", ids.groups.delete, A, "g")
    fails("DeleteConflict", ids.users.delete, A, "alice")
    fails("NoSuchEntity", ids.groups.add_user, A, "g", "bob")
    ids.groups.remove_user(A, "g", "alice")
    fails("NoSuchEntity", ids.groups.remove_user, A, "g", "alice")
    for number in range(10):
        ids.groups.create(A, f"g{number}")
        ids.groups.add_user(A, f"g{number}", "alice")
    fails("LimitExceeded", ids.groups.add_user, A, "g", "alice")
    ids.groups.delete(A, "g")


def test_what_still_has_something_is_not_deleted(ids):
    ids.users.create(A, "alice")
    ids.users.put_policy(A, "alice", "p", ALLOW)
    fails("DeleteConflict", ids.users.delete, A, "alice")
    ids.users.delete_policy(A, "alice", "p")
    key = ids.users.create_access_key(A, "alice")
    fails("DeleteConflict", ids.users.delete, A, "alice")
    ids.users.delete_access_key(A, "alice", key.access_key_id)
    ids.users.attach_policy(A, "alice", "arn:aws:iam::aws:policy/AdministratorAccess")
    assert fails("DeleteConflict", ids.users.delete, A, "alice").message == (
        "Cannot delete entity, must detach all policies first."
    )
    ids.users.detach_policy(A, "alice", "arn:aws:iam::aws:policy/AdministratorAccess")
    ids.users.delete(A, "alice")
    fails("NoSuchEntity", ids.users.delete, A, "alice")


def test_tag_keys_count_once_in_whatever_case(ids):
    ids.roles.create(A, "r", TRUST, tags={"Team": "a"})
    ids.roles.tag(A, "r", {"team": "b", "cost": "1"})
    assert ids.roles.tags(A, "r") == {"cost": "1", "team": "b"}
    ids.roles.untag(A, "r", ["TEAM", "none"])
    assert ids.roles.tags(A, "r") == {"cost": "1"}
    fails("InvalidInput", ids.roles.tag, A, "r", {"x": "1", "X": "2"})
    fails("InvalidInput", ids.roles.tag, A, "r", {"aws:x": "1"})
    fails("ValidationError", ids.roles.tag, A, "r", {"": "1"})
    fails("LimitExceeded", ids.roles.tag, A, "r", {f"t{n}": "" for n in range(50)})


def test_a_role_has_a_trust_policy_and_the_length_of_its_sessions(ids):
    role = ids.roles.create(A, "r", TRUST, path="/app/", max_session=7200)
    assert re.fullmatch("AROA[A-Z2-7]{17}", role.unique_id)
    assert (role.trust, role.max_session) == (TRUST, 7200)
    fails("ValidationError", ids.roles.update, A, "r", max_session=3599)
    fails("ValidationError", ids.roles.update, A, "r", max_session=43_201)
    ids.roles.update(A, "r", max_session=43_200, description="new")
    assert ids.roles.get(A, "r").description == "new"
    for wrong in (ALLOW, "{", TRUST.replace('"Action"', '"Resource": "*", "Action"')):
        fails("MalformedPolicyDocument", ids.roles.update_trust, A, "r", wrong)
    long = TRUST.replace(A, f"arn:aws:iam::{A}:role/{'x' * 2100}")
    fails("LimitExceeded", ids.roles.update_trust, A, "r", long)
    federated = TRUST.replace(
        f'{{"AWS": "{A}"}}', f'{{"Federated": "arn:aws:iam::{A}:saml-provider/x"}}'
    )
    ids.roles.update_trust(A, "r", federated)
    assert ids.roles.get(A, "r").trust == federated
    ids.roles.revoke_sessions(A, "r", 0.0)
    assert "1970-01-01T00:00:00.000Z" in ids.roles.get_policy(A, "r", "AWSRevokeOlderSessions")


def test_identities_are_durable(tmp_path: Path):
    with KMS(tmp_path / "data") as kms:
        user = kms.identities.users.create(A, "alice", tags={"a": "1"})
        kms.identities.users.put_policy(A, "alice", "p", ALLOW)
        key = kms.identities.users.create_access_key(A, "alice")
        role = kms.identities.roles.create(A, "r", TRUST)
    raw = (tmp_path / "data" / "clavero.db").read_bytes()
    assert key.secret_access_key.encode() not in raw
    with KMS(tmp_path / "data") as kms:
        assert kms.identities.users.get(A, "alice") == user
        assert kms.identities.roles.get(A, "r") == role
        assert kms.identities.users.get_policy(A, "alice", "p") == ALLOW
        (row,) = kms.identities.users.access_keys(A, "alice")
        assert kms.accounts.reveal(row) == key
