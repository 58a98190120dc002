"""The part of IAM that scripts use, by boto3's client over HTTPS: shapes, refusals, permissions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from clavero import KMS, ManualClock
from clavero.model.iam_api import IAM_OPERATIONS
from clavero.ops.registry import built
from clavero.testing import serving

A = "111122223333"
ALLOW = {"Version": "2012-10-17",
         "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}]}  # fmt: skip
MAY_ASSUME = {"Effect": "Allow", "Principal": {"AWS": A}, "Action": "sts:AssumeRole"}
TRUST = {"Version": "2012-10-17", "Statement": [MAY_ASSUME]}
TAGS = [{"Key": "team", "Value": "a"}, {"Key": "Über", "Value": ""}]


@pytest.fixture(scope="module")
def served():
    with KMS(clock=ManualClock()) as kms, serving(kms, account=A) as made:
        yield made


@pytest.fixture(scope="module")
def iam(served):
    client = served.boto3_client("iam")
    yield client
    client.close()


def fails(code: str, call: Any, status: int, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    response = caught.value.response
    assert response["Error"]["Code"] == code, caught.value
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    message: str = response["Error"]["Message"]
    return message


def test_the_table_of_operations_is_botocore_s():
    """Names, and of every parameter whether it must be there and of what kind it is."""
    model = Loader().load_service_model("iam", "service-2")
    kinds = {"string": "text", "integer": "number", "boolean": "truth"}
    for name, operation in IAM_OPERATIONS.items():
        shape = model["shapes"][model["operations"][name]["input"]["shape"]]
        required = {each.name for each in operation.parameters.values() if each.required}
        # A user that is not named is the calling one
        assert required == set(shape.get("required", ())), name
        for parameter in operation.parameters.values():
            wanted = shape["members"][parameter.name]["shape"]
            of = model["shapes"][wanted]["type"]
            kind = "tags" if wanted == "tagListType" else kinds.get(of, of)
            assert parameter.kind == kind, (name, parameter.name)
    assert set(IAM_OPERATIONS) <= set(built())


def test_a_user_from_its_making_to_its_end(served, iam):
    user = iam.create_user(UserName="alice", Path="/team/", Tags=TAGS)["User"]
    assert user["Arn"] == f"arn:aws:iam::{A}:user/team/alice"
    assert user["UserId"].startswith("AIDA")
    assert user["CreateDate"].timestamp() == served.kms.clock.now()
    found = iam.get_user(UserName="alice")["User"]
    assert found == user
    assert sorted(found["Tags"], key=str) == sorted(TAGS, key=str)
    record = served.kms.audit_records()[-2]
    assert (record["eventSource"], record["eventName"]) == ("iam.amazonaws.com", "CreateUser")
    assert record["requestParameters"]["userName"] == "alice"
    assert record["readOnly"] is False
    assert served.kms.audit_records()[-1]["readOnly"] is True
    iam.tag_user(UserName="alice", Tags=[{"Key": "TEAM", "Value": "b"}])
    iam.untag_user(UserName="alice", TagKeys=["über", "none"])
    assert iam.list_user_tags(UserName="alice")["Tags"] == [{"Key": "TEAM", "Value": "b"}]

    iam.put_user_policy(UserName="alice", PolicyName="p", PolicyDocument=json.dumps(ALLOW))
    policy = iam.get_user_policy(UserName="alice", PolicyName="p")
    assert (policy["UserName"], policy["PolicyDocument"]) == ("alice", ALLOW)
    assert iam.list_user_policies(UserName="alice")["PolicyNames"] == ["p"]
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    iam.attach_user_policy(UserName="alice", PolicyArn=admin)
    assert iam.list_attached_user_policies(UserName="alice")["AttachedPolicies"] == [
        {"PolicyName": "AdministratorAccess", "PolicyArn": admin}
    ]
    assert iam.list_attached_user_policies(UserName="alice", PathPrefix="/x/")[
        "AttachedPolicies"] == []  # fmt: skip
    iam.put_user_permissions_boundary(UserName="alice", PermissionsBoundary=admin)
    assert iam.get_user(UserName="alice")["User"]["PermissionsBoundary"] == {
        "PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": admin,
    }  # fmt: skip

    iam.create_group(GroupName="staff")
    iam.add_user_to_group(GroupName="staff", UserName="alice")
    (group,) = iam.list_groups_for_user(UserName="alice")["Groups"]
    assert group["Arn"] == f"arn:aws:iam::{A}:group/staff"
    assert [each["UserName"] for each in iam.get_group(GroupName="staff")["Users"]] == ["alice"]

    fails("DeleteConflict", iam.delete_group, 409, GroupName="staff")
    iam.update_user(UserName="alice", NewUserName="alicia", NewPath="/")
    assert iam.get_user(UserName="alicia")["User"]["Arn"] == f"arn:aws:iam::{A}:user/alicia"
    fails("NoSuchEntity", iam.get_user, 404, UserName="alice")
    fails("DeleteConflict", iam.delete_user, 409, UserName="alicia")
    iam.remove_user_from_group(GroupName="staff", UserName="alicia")
    iam.delete_user_policy(UserName="alicia", PolicyName="p")
    iam.detach_user_policy(UserName="alicia", PolicyArn=admin)
    iam.delete_user_permissions_boundary(UserName="alicia")
    iam.delete_user(UserName="alicia")
    iam.update_group(GroupName="staff", NewGroupName="crew")
    iam.delete_group(GroupName="crew")
    assert iam.list_users()["Users"] == []
    assert iam.list_groups()["Groups"] == []


def test_access_keys_of_a_user_sign_from_then_on(served, iam):
    iam.create_user(UserName="bob")
    key = iam.create_access_key(UserName="bob")["AccessKey"]
    assert key["Status"] == "Active"
    (listed,) = iam.list_access_keys(UserName="bob")["AccessKeyMetadata"]
    assert (listed["AccessKeyId"], listed["UserName"]) == (key["AccessKeyId"], "bob")
    assert "SecretAccessKey" not in listed
    assert key["SecretAccessKey"] not in json.dumps(served.kms.audit_records())
    credentials = {
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
    }
    own = served.boto3_client("iam", **credentials)
    message = fails("AccessDenied", own.get_user, 403)
    arn = f"arn:aws:iam::{A}:user/bob"
    assert message == (
        f"User: {arn} is not authorized to perform: iam:GetUser on resource: {arn} because no "
        "identity-based policy allows the iam:GetUser action"
    )
    record = served.kms.audit_records()[-1]
    assert (record["errorCode"], record["userIdentity"]["userName"]) == (
        "AccessDeniedException",
        "bob",
    )
    iam.update_access_key(UserName="bob", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    fails("InvalidClientTokenId", own.get_user, 403)
    iam.delete_access_key(UserName="bob", AccessKeyId=key["AccessKeyId"])
    assert iam.list_access_keys(UserName="bob")["AccessKeyMetadata"] == []
    iam.delete_user(UserName="bob")
    own.close()


def test_the_root_user_manages_its_own_access_keys(served, iam):
    (before,) = iam.list_access_keys()["AccessKeyMetadata"]
    made = iam.create_access_key()["AccessKey"]
    assert len(iam.list_access_keys()["AccessKeyMetadata"]) == 2
    assert iam.get_user()["User"]["Arn"] == f"arn:aws:iam::{A}:root"
    iam.delete_access_key(AccessKeyId=made["AccessKeyId"])
    fails("NoSuchEntity", iam.delete_access_key, 404, AccessKeyId=made["AccessKeyId"])
    assert iam.list_access_keys()["AccessKeyMetadata"] == [before]


def test_a_role_from_its_making_to_its_end(iam):
    made = iam.create_role(
        RoleName="App",
        AssumeRolePolicyDocument=json.dumps(TRUST),
        Description="what & why <here>",
        MaxSessionDuration=7200,
        Tags=TAGS[:1],
    )["Role"]
    assert made["AssumeRolePolicyDocument"] == TRUST
    role = iam.get_role(RoleName="App")["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("what & why <here>", 7200)
    assert role["Tags"] == TAGS[:1]
    other = {**TRUST, "Statement": [{**MAY_ASSUME, "Sid": "other"}]}
    iam.update_assume_role_policy(RoleName="App", PolicyDocument=json.dumps(other))
    iam.update_role(RoleName="App", MaxSessionDuration=3600)
    assert iam.update_role_description(RoleName="App", Description="d")["Role"][
        "AssumeRolePolicyDocument"] == other  # fmt: skip
    iam.put_role_policy(RoleName="App", PolicyName="p", PolicyDocument=json.dumps(ALLOW))
    assert iam.get_role_policy(RoleName="App", PolicyName="p")["PolicyDocument"] == ALLOW
    assert [each["RoleName"] for each in iam.list_roles()["Roles"]] == ["App"]
    assert iam.list_roles(PathPrefix="/x/")["Roles"] == []
    iam.tag_role(RoleName="App", Tags=TAGS)
    iam.untag_role(RoleName="App", TagKeys=["team"])
    assert iam.list_role_tags(RoleName="App")["Tags"] == TAGS[1:]
    message = fails("MalformedPolicyDocument", iam.put_role_policy, 400, RoleName="App",
                    PolicyName="q", PolicyDocument="{}")  # fmt: skip
    assert message
    iam.delete_role_policy(RoleName="App", PolicyName="p")
    fails("NoSuchEntity", iam.get_role_policy, 404, RoleName="App", PolicyName="p")
    iam.delete_role(RoleName="App")
    fails("NoSuchEntity", iam.delete_role, 404, RoleName="App")


def test_a_managed_policy_and_its_versions(iam):
    text = json.dumps(ALLOW)
    made = iam.create_policy(PolicyName="keys", PolicyDocument=text, Description="d", Tags=TAGS)
    arn = made["Policy"]["Arn"]
    assert arn == f"arn:aws:iam::{A}:policy/keys"
    iam.create_role(RoleName="Keeper", AssumeRolePolicyDocument=json.dumps(TRUST),
                    PermissionsBoundary=arn)  # fmt: skip
    iam.attach_role_policy(RoleName="Keeper", PolicyArn=arn)
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (policy["AttachmentCount"], policy["PermissionsBoundaryUsageCount"]) == (1, 1)
    found = iam.list_entities_for_policy(PolicyArn=arn)
    assert [each["RoleName"] for each in found["PolicyRoles"]] == ["Keeper"]
    assert iam.list_entities_for_policy(PolicyArn=arn, EntityFilter="User")["PolicyRoles"] == []
    version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=text)["PolicyVersion"]
    assert (version["VersionId"], version["IsDefaultVersion"]) == ("v2", False)
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [(each["VersionId"], each["IsDefaultVersion"]) for each in versions] == [
        ("v2", True), ("v1", False),
    ]  # fmt: skip
    got = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert got["Document"] == ALLOW
    fails("DeleteConflict", iam.delete_policy, 409, PolicyArn=arn)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    local = iam.list_policies(Scope="Local", OnlyAttached=True)["Policies"]
    assert [each["PolicyName"] for each in local] == ["keys"]
    of_aws = iam.list_policies(Scope="AWS")["Policies"]
    assert "AdministratorAccess" in {each["PolicyName"] for each in of_aws}
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "x", "Value": "y"}])
    iam.untag_policy(PolicyArn=arn, TagKeys=["team", "über"])
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == [{"Key": "x", "Value": "y"}]
    iam.detach_role_policy(RoleName="Keeper", PolicyArn=arn)
    iam.delete_role_permissions_boundary(RoleName="Keeper")
    iam.delete_role(RoleName="Keeper")
    iam.delete_policy(PolicyArn=arn)
    fails("NoSuchEntity", iam.get_policy, 404, PolicyArn=arn)
    fails("NoSuchEntity", iam.get_policy, 404, PolicyArn=arn.replace(A, "444455556666"))


def test_lists_come_in_pages(iam):
    names = [f"user-{number:02}" for number in range(7)]
    for name in names:
        iam.create_user(UserName=name)
    pages = list(iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["Users"]) for page in pages] == [3, 3, 1]
    assert [each["UserName"] for page in pages for each in page["Users"]] == names
    fails("ValidationError", iam.list_users, 400, Marker="nonsense")
    fails("ValidationError", iam.list_users, 400, MaxItems=1001)
    for name in names:
        iam.delete_user(UserName=name)


def test_what_is_no_request_is_refused(served, iam):
    before = len(served.kms.audit_records())
    assert "Could not find operation" in fails("InvalidAction", iam.list_mfa_devices, 400)
    assert len(served.kms.audit_records()) == before
    message = fails("InvalidInput", iam.create_user, 400, UserName="eve", Tags=[
        {"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}])  # fmt: skip
    assert "Duplicate tag keys" in message
    fails("NoSuchEntity", iam.get_user, 404, UserName="eve")


def test_another_account_sees_nothing_of_it(served, iam):
    iam.create_user(UserName="carol")
    other = served.kms.accounts.create("444455556666")
    client = served.boto3_client(
        "iam",
        aws_access_key_id=other.access_key_id,
        aws_secret_access_key=other.secret_access_key,
    )
    assert client.list_users()["Users"] == []
    fails("NoSuchEntity", client.get_user, 404, UserName="carol")
    client.close()
    iam.delete_user(UserName="carol")
