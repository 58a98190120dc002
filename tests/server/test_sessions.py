"""Users and sessions over HTTPS with boto3: STS, and what its credentials are good for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.identity.test_identities import ALLOW

from clavero import KMS, ManualClock
from clavero.server.endpoint import Endpoint
from clavero.server.listeners import Listener

A, B = "111122223333", "444455556666"
VPCE = "vpce-0123456789abcdef0"
KMS_ALL = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trusting(whom: str, *actions: str, **condition: Any) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": whom},
                 "Action": ["sts:AssumeRole", *actions]}  # fmt: skip
    return document({**statement, "Condition": condition} if condition else statement)


class World(NamedTuple):
    """A KMS behind two listeners, one of which stands for a VPC endpoint."""

    kms: KMS
    clock: ManualClock
    endpoint: Endpoint
    ca: str

    def client(self, service: str, key: Any, *, listener: int = 0) -> Any:
        """A client of an access key, or of the Credentials that STS gave."""
        if isinstance(key, dict):
            names = (key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"])
        else:
            names = (key.access_key_id, key.secret_access_key, None)
        return boto3.Session(*names, region_name="us-east-1").client(
            service,
            endpoint_url=f"https://localhost:{self.endpoint.ports[listener]}",
            verify=self.ca,
            config=Config(
                retries={"total_max_attempts": 1, "mode": "legacy"}, parameter_validation=False
            ),
        )

    def user(self, account: str, name: str, *policies: str, **more: Any) -> Any:
        """A new user with an access key."""
        users = self.kms.identities.users
        users.create(account, name, **more)
        for number, policy in enumerate(policies):
            users.put_policy(account, name, f"p{number}", policy)
        return users.create_access_key(account, name)

    def role(self, name: str, trust: str, policy: str = ALLOW, **more: Any) -> str:
        """A new role of account A, and its ARN."""
        row = self.kms.identities.roles.create(A, name, trust, **more)
        self.kms.identities.roles.put_policy(A, name, "p", policy)
        return row.arn


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    clock = ManualClock()
    listeners = (Listener(), Listener(vpce=VPCE))
    with KMS(clock=clock) as kms, Endpoint(kms, listeners) as endpoint:
        ca = tmp_path_factory.mktemp("ca") / "ca.pem"
        ca.write_text(endpoint.ca_certificate or "", encoding="ascii")
        yield World(kms, clock, endpoint, str(ca))


@pytest.fixture
def world(served: World) -> Iterator[World]:
    yield served
    ids = served.kms.identities
    for account in (A, B):  # the next test has names of its own again
        for user in ids.users.all(account):
            for key in ids.users.access_keys(account, user.name):
                ids.users.delete_access_key(account, user.name, key.access_key_id)
            for name in ids.users.list_policies(account, user.name):
                ids.users.delete_policy(account, user.name, name)
            ids.users.delete(account, user.name)
        for role in ids.roles.all(account):
            for name in ids.roles.list_policies(account, role.name):
                ids.roles.delete_policy(account, role.name, name)
            ids.roles.delete(account, role.name)


def refused(code: str, call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    text: str = caught.value.response["Error"]["Message"]
    return text


def assume(sts: Any, role: str, **more: Any) -> Any:
    return sts.assume_role(RoleArn=role, RoleSessionName="one", **more)


def new_key(world: World, **more: Any) -> str:
    made: str = world.kms.client(account=A).create_key(**more)["KeyMetadata"]["Arn"]
    return made


def test_a_user_signs_with_its_policies_boundary_and_address(world):
    users = world.kms.identities.users
    key, arn = world.user(A, "alice"), new_key(world)
    client = world.client("kms", key)
    message = refused("AccessDeniedException", client.describe_key, KeyId=arn)
    assert message == (
        f"User: arn:aws:iam::{A}:user/alice is not authorized to perform: kms:DescribeKey on "
        f"resource: {arn} because no identity-based policy allows the kms:DescribeKey action"
    )
    users.put_policy(A, "alice", "p", document(KMS_ALL))
    client.describe_key(KeyId=arn)
    identity = world.client("sts", key).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::{A}:user/alice"
    assert identity["UserId"] == users.get(A, "alice").unique_id
    bound = world.kms.identities.policies.create(
        A, "bound", document({**KMS_ALL, "Action": "kms:Encrypt"})
    )
    users.put_boundary(A, "alice", bound.arn)
    message = refused("AccessDeniedException", client.describe_key, KeyId=arn)
    assert "no permissions boundary allows" in message
    users.delete_boundary(A, "alice")
    elsewhere = {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    deny = {**KMS_ALL, "Effect": "Deny", "Condition": elsewhere}
    users.put_policy(A, "alice", "address", document(deny))
    message = refused("AccessDeniedException", client.describe_key, KeyId=arn)
    assert "with an explicit deny in an identity-based policy" in message
    users.delete_policy(A, "alice", "address")
    users.update_access_key(A, "alice", key.access_key_id, "Inactive")
    refused("UnrecognizedClientException", client.describe_key, KeyId=arn)
    users.update_access_key(A, "alice", key.access_key_id, "Active")
    client.describe_key(KeyId=arn)


def test_the_policy_of_a_vpc_endpoint_limits_those_who_come_through_it(world):
    key, arn = world.user(A, "alice", ALLOW), new_key(world)
    inside, outside = world.client("kms", key, listener=1), world.client("kms", key)
    inside.describe_key(KeyId=arn)
    everybody = {**KMS_ALL, "Principal": "*"}
    endpoints = world.kms.identities.endpoints
    endpoints.put_policy(VPCE, document({**everybody, "Action": "kms:Encrypt"}))
    message = refused("AccessDeniedException", inside.describe_key, KeyId=arn)
    assert "because no VPC endpoint policy allows the kms:DescribeKey action" in message
    outside.describe_key(KeyId=arn)
    endpoints.put_policy(VPCE, document(everybody))
    inside.describe_key(KeyId=arn)
    endpoints.delete_policy(VPCE)
    inside.describe_key(KeyId=arn)


def test_a_role_of_another_account_is_assumed(world):
    """Both sides must allow it; the session has the role's policies, and is on record."""
    key, arn = world.user(B, "bob"), new_key(world)
    role = world.role("app", trusting(f"arn:aws:iam::{B}:root"), document(KMS_ALL), path="/x/")
    sts = world.client("sts", key)
    message = refused("AccessDenied", assume, sts=sts, role=role)
    assert message == (
        f"User: arn:aws:iam::{B}:user/bob is not authorized to perform: sts:AssumeRole on "
        f"resource: {role}"
    )
    missing = f"arn:aws:iam::{A}:role/missing"
    assert refused("AccessDenied", assume, sts=sts, role=missing) == message.replace(role, missing)
    world.kms.identities.users.put_policy(
        B, "bob", "p", document({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role})
    )
    answer = assume(sts, role)
    unique_id = world.kms.identities.roles.get(A, "app").unique_id
    assert answer["AssumedRoleUser"] == {
        "AssumedRoleId": f"{unique_id}:one", "Arn": f"arn:aws:sts::{A}:assumed-role/app/one",
    }  # fmt: skip
    credentials = answer["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA")
    record = world.kms.audit_records()[-1]
    assert record["eventName"] == "AssumeRole"
    assert record["eventSource"] == "sts.amazonaws.com"
    assert record["requestParameters"]["roleArn"] == role
    assert credentials["SecretAccessKey"] not in json.dumps(world.kms.audit_records())
    assert credentials["SessionToken"] not in json.dumps(world.kms.audit_records())
    client = world.client("kms", credentials)
    client.describe_key(KeyId=arn)
    assert world.kms.audit_records()[-1]["userIdentity"]["type"] == "AssumedRole"
    identity = world.client("sts", credentials).get_caller_identity()
    assert (identity["Arn"], identity["UserId"]) == (
        f"arn:aws:sts::{A}:assumed-role/app/one", f"{unique_id}:one",
    )  # fmt: skip
    limited = assume(sts, role, Policy=document({**KMS_ALL, "Action": "kms:Encrypt"}))
    message = refused(
        "AccessDeniedException", world.client("kms", limited["Credentials"]).describe_key, KeyId=arn
    )
    assert "because no session policy allows the kms:DescribeKey action" in message
    world.kms.identities.roles.delete_policy(A, "app", "p")
    refused("AccessDeniedException", client.describe_key, KeyId=arn)


def test_trust_policies_have_conditions(world):
    key = world.user(A, "alice")
    alice = f"arn:aws:iam::{A}:user/alice"
    sts = world.client("sts", key)
    external = world.role("e", trusting(alice, StringEquals={"sts:ExternalId": "secret"}))
    refused("AccessDenied", assume, sts=sts, role=external)
    refused("AccessDenied", assume, sts=sts, role=external, ExternalId="other")
    assume(sts, external, ExternalId="secret")  # named itself: no policy of its own is needed
    named = world.role("n", trusting(alice, StringLike={"sts:RoleSessionName": "${aws:username}"}))
    refused("AccessDenied", assume, sts=sts, role=named)
    sts.assume_role(RoleArn=named, RoleSessionName="alice")
    factor = world.role("m", trusting(alice, Bool={"aws:MultiFactorAuthPresent": "true"}))
    refused("AccessDenied", assume, sts=sts, role=factor)
    device = {"SerialNumber": f"arn:aws:iam::{A}:mfa/alice", "TokenCode": "123456"}
    plain = world.role("p", trusting(alice))
    assert "invalid MFA" in refused("AccessDenied", assume, sts=sts, role=plain, **device)


def test_tags_and_source_identity_go_with_the_session_and_transitive_ones_further(world):
    key = world.user(A, "alice")
    alice = f"arn:aws:iam::{A}:user/alice"
    first = world.role("first", trusting(alice, "sts:TagSession", "sts:SetSourceIdentity"))
    further = f"arn:aws:iam::{A}:role/first"
    tagged = {"StringEquals": {"aws:PrincipalTag/team": "a", "aws:SourceIdentity": "alice"}}
    second = world.role(
        "second", trusting(further, "sts:TagSession"), document({**KMS_ALL, "Condition": tagged})
    )
    arn, sts = new_key(world), world.client("sts", key)
    bare = world.role("bare", trusting(alice))
    refused("AccessDenied", assume, sts=sts, role=bare, Tags=[{"Key": "team", "Value": "a"}])
    refused("AccessDenied", assume, sts=sts, role=bare, SourceIdentity="alice")
    team = {"Tags": [{"Key": "team", "Value": "a"}]}
    refused("ValidationError", assume, sts=sts, role=first, TransitiveTagKeys=["x"], **team)

    def chain(**more: Any) -> Any:
        made = assume(sts, first, SourceIdentity="alice", **team, **more)["Credentials"]
        return world.client("sts", made)

    kept = assume(chain(TransitiveTagKeys=["team"]), second)
    assert kept["SourceIdentity"] == "alice"
    world.client("kms", kept["Credentials"]).describe_key(KeyId=arn)
    lost = assume(chain(), second)["Credentials"]
    refused("AccessDeniedException", world.client("kms", lost).describe_key, KeyId=arn)
    again = chain(TransitiveTagKeys=["team"])
    other = {"Tags": [{"Key": "Team", "Value": "b"}]}
    refused("ValidationError", assume, sts=again, role=second, **other)
    refused("AccessDenied", assume, sts=again, role=second, SourceIdentity="bob")


def test_sessions_last_as_long_as_they_may(world):
    key = world.user(A, "alice")
    role = world.role("r", trusting(f"arn:aws:iam::{A}:user/alice"), max_session=7200)
    chained = world.role("c", trusting(role), max_session=7200)
    sts = world.client("sts", key)
    for seconds in (899, 43_201):
        refused("ValidationError", assume, sts=sts, role=role, DurationSeconds=seconds)
    message = refused("ValidationError", assume, sts=sts, role=role, DurationSeconds=7201)
    assert "exceeds the MaxSessionDuration set for this role" in message
    made = assume(sts, role, DurationSeconds=7200)["Credentials"]
    assert made["Expiration"].timestamp() == int(world.clock.now() + 7200)
    session = world.client("sts", made)
    message = refused("ValidationError", assume, sts=session, role=chained, DurationSeconds=3601)
    assert "1 hour session limit" in message
    assume(session, chained, DurationSeconds=3600)


def test_expired_tampered_and_foreign_tokens_are_refused(world):
    key, arn = world.user(A, "alice"), new_key(world)
    role = world.role("r", trusting(f"arn:aws:iam::{A}:user/alice"))
    sts = world.client("sts", key)
    made, other = (assume(sts, role, DurationSeconds=900)["Credentials"] for _ in range(2))
    token = made["SessionToken"]
    changed = token[:100] + ("A" if token[100] != "A" else "B") + token[101:]
    long_term = {"AccessKeyId": key.access_key_id, "SecretAccessKey": key.secret_access_key}
    for wrong in (
        {**made, "SessionToken": changed},
        {**made, "SessionToken": "AAAA"},
        {**made, "SessionToken": other["SessionToken"]},
        {**made, "SessionToken": None},
        {**long_term, "SessionToken": token},
    ):
        call = world.client("kms", wrong).describe_key
        message = refused("UnrecognizedClientException", call, KeyId=arn)
        assert message == "The security token included in the request is invalid."
        refused("InvalidClientTokenId", world.client("sts", wrong).get_caller_identity)
    wrong = {**made, "SecretAccessKey": other["SecretAccessKey"]}
    refused("InvalidSignatureException", world.client("kms", wrong).describe_key, KeyId=arn)
    client = world.client("kms", made)
    client.describe_key(KeyId=arn)
    world.clock.advance(899)
    client.describe_key(KeyId=arn)
    world.clock.advance(1)
    message = refused("ExpiredTokenException", client.describe_key, KeyId=arn)
    assert message == "The security token included in the request is expired"
    refused("ExpiredToken", world.client("sts", made).get_caller_identity)


def test_sessions_are_revoked_by_their_time_of_issue_and_with_their_role(world):
    key, arn = world.user(A, "alice"), new_key(world)
    trust = trusting(f"arn:aws:iam::{A}:user/alice")
    role, roles = world.role("r", trust), world.kms.identities.roles
    sts = world.client("sts", key)
    client = world.client("kms", assume(sts, role)["Credentials"])
    client.describe_key(KeyId=arn)
    world.clock.advance(1)
    roles.revoke_sessions(A, "r")
    message = refused("AccessDeniedException", client.describe_key, KeyId=arn)
    assert "explicit deny in an identity-based policy" in message
    newer = world.client("kms", assume(sts, role)["Credentials"])
    newer.describe_key(KeyId=arn)
    for name in roles.list_policies(A, "r"):
        roles.delete_policy(A, "r", name)
    roles.delete(A, "r")
    refused("UnrecognizedClientException", newer.describe_key, KeyId=arn)
    world.role("r", trust)  # another one
    refused("UnrecognizedClientException", newer.describe_key, KeyId=arn)


def test_session_tokens_and_federation_tokens_of_users(world):
    key, arn = world.user(A, "alice", ALLOW, tags={"team": "a"}), new_key(world)
    sts = world.client("sts", key)
    made = sts.get_session_token()["Credentials"]
    world.client("kms", made).describe_key(KeyId=arn)
    session = world.client("sts", made)
    assert session.get_caller_identity()["Arn"] == f"arn:aws:iam::{A}:user/alice"
    message = refused("AccessDenied", session.get_session_token)
    assert message == "Cannot call GetSessionToken with session credentials"
    refused("AccessDenied", session.get_federation_token, Name="bob")
    answer = sts.get_federation_token(Name="bob", Policy=document(KMS_ALL))
    federated = f"arn:aws:sts::{A}:federated-user/bob"
    assert answer["FederatedUser"] == {"FederatedUserId": f"{A}:bob", "Arn": federated}
    client = world.client("kms", answer["Credentials"])
    client.describe_key(KeyId=arn)
    who = world.client("sts", answer["Credentials"]).get_caller_identity()
    assert (who["Arn"], who["UserId"]) == (federated, f"{A}:bob")
    bare = sts.get_federation_token(Name="bob")["Credentials"]
    message = refused("AccessDeniedException", world.client("kms", bare).describe_key, KeyId=arn)
    assert "no session policy allows" in message
    world.kms.client(account=A).create_grant(
        KeyId=arn, GranteePrincipal=federated, Operations=["DescribeKey"]
    )
    world.client("kms", bare).describe_key(KeyId=arn)
    world.kms.identities.users.delete_policy(A, "alice", "p0")
    refused("AccessDenied", sts.get_federation_token, Name="bob")
    refused("AccessDeniedException", client.list_keys)


def test_root_users_have_session_tokens_of_an_hour_and_assume_no_role(world):
    world.kms.accounts.ensure(A)
    key = world.kms.accounts.create_access_key(A)
    sts, arn = world.client("sts", key), new_key(world)
    made = sts.get_session_token(DurationSeconds=7200)["Credentials"]
    assert made["Expiration"].timestamp() == int(world.clock.now() + 3600)
    world.client("kms", made).describe_key(KeyId=arn)
    role = world.role("r", trusting(A))
    message = refused("AccessDenied", assume, sts=sts, role=role)
    assert message == "Roles may not be assumed by root accounts."


def test_a_grant_of_another_account_with_its_token(world):
    """Issued by the key's owner: the session's own account must allow it too."""
    key = world.user(B, "bob", document({**KMS_ALL, "Action": "kms:Encrypt"}))
    owner = world.kms.client(account=A)
    arn = new_key(world)
    client = world.client("kms", key)
    message = refused("AccessDeniedException", client.encrypt, KeyId=arn, Plaintext=b"x")
    assert "the resource does not exist in this Region" in message
    grant = owner.create_grant(
        KeyId=arn, GranteePrincipal=f"arn:aws:iam::{B}:user/bob", Operations=["Encrypt", "Decrypt"]
    )
    tokens = {"GrantTokens": [grant["GrantToken"]]}
    blob = client.encrypt(KeyId=arn, Plaintext=b"x", **tokens)["CiphertextBlob"]
    message = refused(
        "AccessDeniedException", client.decrypt, KeyId=arn, CiphertextBlob=blob, **tokens
    )
    assert "no identity-based policy allows the kms:Decrypt action" in message


def test_policies_and_tags_must_fit_into_a_token(world):
    key = world.user(A, "alice")
    role = world.role("r", trusting(f"arn:aws:iam::{A}:user/alice", "sts:TagSession"))
    sts, roomy = world.client("sts", key), "v" * 256
    tags = [{"Key": f"k{number}", "Value": roomy} for number in range(20)]
    refused("PackedPolicyTooLarge", assume, sts=sts, role=role, Tags=tags)
    refused("MalformedPolicyDocument", assume, sts=sts, role=role, Policy="{}")
    policies = world.kms.identities.policies
    made = policies.create(A, "only", document({**KMS_ALL, "Action": "kms:Encrypt"}))
    answer = assume(sts, role, PolicyArns=[{"arn": made.arn}])
    arn = new_key(world)
    limited = world.client("kms", answer["Credentials"])
    limited.encrypt(KeyId=arn, Plaintext=b"x")
    refused("AccessDeniedException", limited.describe_key, KeyId=arn)
    refused("ValidationError", assume, sts=sts, role=role, PolicyArns=[{"arn": made.arn + "x"}])
    refused("ValidationError", assume, sts=sts, role="arn:aws:iam::1:role/rrrrrrrrrrrrrr")
    policies.delete(made.arn)
