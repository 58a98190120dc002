"""Who could take an action: against the decision, in random worlds, and way by way."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.iam import worlds

from clavero.iam.compile import compile_policy
from clavero.iam.decision import Request, decide
from clavero.iam.documents import Kind
from clavero.iam.grants import Grant
from clavero.iam.principals import Principal
from clavero.iam.reach import MAX_WAYS, Reach, named_in, principals_of, reach

QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
seeds = st.integers(0, 2**48)
A, B = "111122223333", "444455556666"
KEY = f"arn:aws:kms:us-east-1:{A}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ROOT = f"arn:aws:iam::{A}:root"
USER = f"arn:aws:iam::{A}:user/u"


def statement(effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "kms:*", "Resource": "*", **more}


def policy(kind: Kind, *statements: dict[str, Any], name: str = "") -> Any:
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return compile_policy(text, kind, name)


def found(
    caller: Principal,
    key_policy: Any,
    *grants: Grant,
    action: str = "kms:Decrypt",
    facts: dict[str, Any] | None = None,
) -> Reach:
    """What is in `facts` is known, and nothing else."""
    given = facts or {}
    request = Request(caller, action, KEY, A, given, (key_policy,), lambda: grants)
    return reach(request, given.__contains__)


@QUICK
@given(seeds)
def test_whoever_is_allowed_is_found_when_nothing_is_known(seed):
    request = worlds.request_of(worlds.Maker(seed).world())
    if decide(request).allowed:
        assert reach(request, lambda _: False).ways


@QUICK
@given(seeds)
def test_when_all_is_known_it_is_the_decision(seed):
    request = worlds.request_of(worlds.Maker(seed).world())
    if request.action == "kms:CreateGrant":  # of the grant that is wanted it knows nothing
        return
    answer = reach(request, lambda _: True)
    assert bool(answer.ways) is decide(request).allowed
    assert not answer.unless
    assert all(not part.conditions for way in answer.ways for part in way)


@QUICK
@given(seeds)
def test_each_way_alone_is_one(seed):
    """What a way rests on is in the policies and grants that there are; no way is there twice."""
    request = worlds.request_of(worlds.Maker(seed).world())
    ways = reach(request, lambda _: False).ways
    told = []
    for way in ways:
        told.append(
            tuple(
                (part.basis.policy and part.basis.policy.text, part.basis.statement
                 and part.basis.statement.index, part.basis.grant and part.basis.grant.grant_id)
                for part in way
            )
        )  # fmt: skip
    assert len(set(told)) == len(told)
    if request.key_policies is not None:
        ids = {grant.grant_id for grant in request.grants()}
        assert all(part.basis.grant is None or part.basis.grant.grant_id in ids
                   for way in ways for part in way)  # fmt: skip


def test_every_way_is_listed_with_what_it_asks():
    caller = Principal(
        USER,
        A,
        identity=[policy(Kind.IDENTITY, statement(), statement(Action="kms:Decrypt"), name="mine")],
    )
    of_key = policy(
        Kind.KEY,
        statement(Principal={"AWS": ROOT}),
        statement(
            Principal={"AWS": USER},
            Condition={
                "StringEquals": {"kms:EncryptionContext:a": "1", "aws:PrincipalArn": USER},
                "Bool": {"aws:SecureTransport": True},
            },
        ),
        statement(Principal={"AWS": USER}, Condition={"StringEquals": {"aws:PrincipalArn": "x"}}),
    )
    grant = Grant("g", grantee=USER, operations=["Decrypt"], issuing_account=A,
                  constraints={"EncryptionContextSubset": {"a": "1"}})  # fmt: skip
    answer = found(caller, of_key, grant, facts={"aws:principalarn": USER})
    first, second, *rest = answer.ways
    (part,) = first
    assert part.basis.statement is not None
    assert part.basis.statement.index == 1
    # What is known to hold is not asked for again
    assert part.conditions == {"StringEquals": {"kms:EncryptionContext:a": "1"},
                               "Bool": {"aws:SecureTransport": True}}  # fmt: skip
    assert second[0].basis.grant is not None
    assert second[0].conditions == {"EncryptionContextSubset": {"a": "1"}}
    through_the_account = [[each.basis.statement.index for each in way] for way in rest]  # type: ignore[union-attr]
    assert through_the_account == [[0, 0], [0, 1]]


def test_a_deny_that_may_apply_is_listed_and_one_that_does_leaves_nothing():
    allow = statement(Principal={"AWS": USER})
    for condition, ways, unless in (
        ({"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, 1, 1),
        ({"StringEquals": {"aws:PrincipalAccount": A}}, 0, 0),
        ({"StringEquals": {"aws:PrincipalAccount": B}}, 1, 0),
    ):
        deny = statement("Deny", Principal="*", Condition=condition)
        answer = found(Principal(USER, A), policy(Kind.KEY, allow, deny),
                       facts={"aws:principalaccount": A})  # fmt: skip
        assert (len(answer.ways), len(answer.unless)) == (ways, unless), condition
    # One that is about somebody else is not listed
    deny = statement("Deny", Principal={"AWS": ROOT.replace(A, B)},
                     Condition={"Bool": {"aws:SecureTransport": "false"}})  # fmt: skip
    assert not found(Principal(USER, A), policy(Kind.KEY, allow, deny)).unless


def test_the_constraints_of_grants_are_asked_for_as_far_as_they_count():
    nothing = policy(Kind.KEY, statement(Principal={"AWS": ROOT}))
    constraints = {"SourceArn": "arn:aws:s3:::b", "EncryptionContextEquals": {"a": "1"}}
    grant = Grant("g", grantee=USER, operations=["Decrypt", "DescribeKey", "CreateGrant"],
                  issuing_account=A, constraints=constraints)  # fmt: skip

    def asked(action: str, **facts: Any) -> Any:
        answer = found(Principal(USER, A), nothing, grant, action=action, facts=facts.get("facts"))
        return [part.conditions for way in answer.ways for part in way]

    assert asked("kms:Decrypt") == [constraints]
    assert asked("kms:DescribeKey") == [{"SourceArn": "arn:aws:s3:::b"}]
    assert asked("kms:CreateGrant") == [{"NewGrant": "gives no more than this grant"}]
    assert asked("kms:Encrypt") == []
    assert asked("kms:DescribeKey", facts={"aws:sourcearn": "arn:aws:s3:::b"}) == [{}]
    assert asked("kms:DescribeKey", facts={"aws:sourcearn": "arn:aws:s3:::c"}) == []


def test_a_resource_with_a_variable_is_asked_for():
    mine = policy(Kind.IDENTITY, statement(Resource="arn:aws:kms:*:*:key/${aws:PrincipalTag/k}"))
    of_key = policy(Kind.KEY, statement(Principal={"AWS": ROOT}))
    ((_, part),) = found(Principal(USER, A, identity=[mine]), of_key).ways
    assert part.conditions == {"Resource": ["aws:principaltag/k"]}


def test_there_is_an_end_of_ways():
    many = policy(Kind.KEY, *[statement(Principal="*") for _ in range(MAX_WAYS + 3)])
    assert len(found(Principal(USER, A), many).ways) == MAX_WAYS


def test_whom_a_policy_names():
    of_key = policy(
        Kind.KEY,
        statement(Principal={"AWS": [USER, B], "Service": "s3.amazonaws.com"}),
        statement("Deny", Principal={"AWS": f"{USER}2"}),
        statement(Principal="*"),
    )
    assert named_in(of_key) == [USER, B, "s3.amazonaws.com", "*"]
    assert named_in(policy(Kind.KEY, statement(NotPrincipal={"AWS": USER}))) == ["*"]
    names = [(each.arn, each.account) for each in principals_of("*", A)]
    assert names == [(f"arn:aws:iam::{A}:user/*", A), ("arn:aws:iam::*:user/*", "*")]
    (root,) = principals_of(B, A)
    assert (root.arn, root.is_root, root.identity) == (f"arn:aws:iam::{B}:root", True, ())
    (other,) = principals_of(f"arn:aws:iam::{B}:role/r", A)
    assert [each.name for each in other.identity] == ["of their own account"]
    assert principals_of("AROA00000000000000100", A) == []
    (service,) = principals_of("s3.amazonaws.com", A)
    assert service.account == ""
