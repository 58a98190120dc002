"""Sections 1.2, 1.3, 3 and 5 of what AWS documents and answers: who may, by what, in which words.

Tags: [REC] as real AWS answered, in the recording testdata/aws/kms/grants.json of radkawar/stackd;
[IUG] IAM User Guide; [DG] AWS KMS Developer Guide; [MSG] texts seen in public reports.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from clavero.iam.compile import compile_policy, compile_stored
from clavero.iam.decision import (
    FOREIGN,
    Decision,
    Effect,
    Request,
    decide,
    decide_retirement,
    default_key_policy,
)
from clavero.iam.documents import Kind
from clavero.iam.grants import CONTEXT, WANTED, Grant, context_fact, wanted_fact
from clavero.iam.principals import Principal

A, B = "111122223333", "444455556666"
KEY = f"arn:aws:kms:us-east-1:{A}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ROOT_A, ROOT_B = f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root"
ROLE = f"arn:aws:iam::{A}:role/path/App"
TARGET = f"arn:aws:sts::{A}:assumed-role/App/target"
SIBLING = f"arn:aws:sts::{A}:assumed-role/App/sibling"
USER = f"arn:aws:iam::{A}:user/team/alice"
FEDERATED = f"arn:aws:sts::{A}:federated-user/bob"
SERVICE = "s3.amazonaws.com"
DEFAULT = default_key_policy(A)
NO_IDENTITY = "because no identity-based policy allows the kms:Encrypt action"
NO_SESSION = "because no session policy allows the kms:Encrypt action"
NO_BOUNDARY = "because no permissions boundary allows the kms:Encrypt action"
NO_RESOURCE = "because no resource-based policy allows the kms:Encrypt action"


def statement(effect: str = "Allow", action: Any = "kms:*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": "*", **more}


def text(*statements: Any, version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


ALLOW, OTHER = text(statement()), text(statement(action="s3:*"))
DENY = text(statement("Deny"), statement())


def for_all(given: Sequence[str] | None, kind: Kind) -> Any:
    return None if given is None else [compile_policy(each, kind) for each in given]


def caller(
    arn: str,
    *,
    identity: Sequence[str] = (),
    boundary: str | None = None,
    sessions: Sequence[str] | None = None,
    scps: Sequence[Sequence[str]] = (),
    endpoint: str | None = None,
    **more: Any,
) -> Principal:
    return Principal(
        arn,
        arn.split(":")[4] if ":" in arn else "",
        identity=for_all(identity, Kind.IDENTITY),
        boundary=None if boundary is None else compile_policy(boundary, Kind.BOUNDARY),
        sessions=for_all(sessions, Kind.SESSION),
        scps=[tuple(for_all(level, Kind.SERVICE_CONTROL)) for level in scps],
        endpoint=None if endpoint is None else compile_policy(endpoint, Kind.ENDPOINT),
        **more,
    )


def ask(
    who: Principal | str,
    policy: str | None = DEFAULT,
    *grants: Grant,
    action: str = "kms:Encrypt",
    facts: dict[str, Any] | None = None,
    rcps: Sequence[str] = (),
    resource: str = KEY,
    bound: dict[str, str] | None = None,
) -> Decision:
    policies = None if policy is None else (compile_stored(policy, Kind.KEY, bound=bound or {}),)
    return decide(
        Request(
            caller(who) if isinstance(who, str) else who,
            action,
            resource,
            A,
            facts or {},
            policies,
            lambda: grants,
            for_all(rcps, Kind.RESOURCE_CONTROL),
        )
    )


def grant(grantee: str, *operations: str, by: str = A, **more: Any) -> Grant:
    return Grant(
        "g1",
        grantee=grantee,
        operations=operations or ("Encrypt", "DescribeKey"),
        issuing_account=by,
        **more,
    )


def key_policy(principal: Any, effect: str = "Allow", **more: Any) -> str:
    return text(statement(effect, Principal=principal, **more))


# --- grants, as AWS answered ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "given", "expected"),
    [
        (caller(TARGET), grant(TARGET), None),
        (caller(TARGET, sessions=[OTHER]), grant(TARGET), None),
        (caller(TARGET, boundary=OTHER), grant(TARGET), None),
        (caller(TARGET, sessions=[DENY]), grant(TARGET),
         "with an explicit deny in a session policy"),
        (caller(SIBLING), grant(TARGET), NO_IDENTITY),
        (caller(TARGET, unique_id="AROA00000000000000100"), grant(TARGET), None),  # re-assumed
        (caller(TARGET), grant(ROLE), None),
        (caller(TARGET, sessions=[OTHER]), grant(ROLE), NO_SESSION),
        (caller(TARGET, boundary=OTHER), grant(ROLE), NO_BOUNDARY),
        (caller(FEDERATED, sessions=[OTHER]), grant(FEDERATED), None),
    ],
)  # fmt: skip
def test_same_account_grants(who, given, expected):
    """[REC grants.json] A grant is like a statement that names its grantee."""
    for policy in (DEFAULT, key_policy({"AWS": ROOT_A})):
        decision = ask(who, policy, given)
        assert decision.because == (expected or "")
        assert decision.allowed is (expected is None)


@pytest.mark.parametrize("grantee", [f"arn:aws:sts::{B}:assumed-role/App/target",
                                     f"arn:aws:iam::{B}:role/App"])  # fmt: skip
def test_cross_account_grants(grantee):
    """[REC grants.json] Who issued the grant decides what else is needed."""
    session = f"arn:aws:sts::{B}:assumed-role/App/target"
    of_owner, of_caller = grant(grantee), grant(grantee, by=B)
    exact = grantee == session
    assert ask(session, DEFAULT, of_owner).because == NO_IDENTITY
    assert ask(caller(session, identity=[ALLOW]), DEFAULT, of_owner).allowed
    limited = caller(session, identity=[ALLOW], sessions=[OTHER])
    assert ask(limited, DEFAULT, of_owner).because == NO_SESSION
    assert ask(session, DEFAULT, of_caller).allowed
    found = ask(caller(session, sessions=[OTHER]), DEFAULT, of_caller)
    assert found.because == ("" if exact else NO_SESSION)


def test_a_grant_to_an_account_delegates_to_its_policies():
    """As a statement that names the account does [INF]."""
    given = grant(ROOT_B)
    user = f"arn:aws:iam::{B}:user/u"
    assert ask(user, DEFAULT, given).because == NO_IDENTITY
    assert ask(caller(user, identity=[ALLOW]), DEFAULT, given).allowed
    assert ask(ROOT_B, DEFAULT, given).allowed
    assert ask(ROOT_B, DEFAULT).because == FOREIGN


@pytest.mark.parametrize(
    ("constraints", "context", "expected"),
    [
        ({"EncryptionContextEquals": {"a": "1"}}, {"a": "1"}, True),
        ({"EncryptionContextEquals": {"a": "1"}}, {"A": "1"}, True),  # [API] keys, in any case
        ({"EncryptionContextEquals": {"a": "x"}}, {"a": "X"}, False),  # values are exact
        ({"EncryptionContextEquals": {"a": "1"}}, {"a": "1", "b": "2"}, False),
        ({"EncryptionContextEquals": {"a": "1"}}, None, False),
        ({"EncryptionContextEquals": {}}, None, True),
        ({"EncryptionContextSubset": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"EncryptionContextSubset": {"A": "1"}}, {"a": "1"}, True),
        ({"EncryptionContextSubset": {"a": "1"}}, {"b": "2"}, False),
        ({"EncryptionContextSubset": {"a": "1"}}, None, False),
        ({"SourceArn": "arn:aws:s3:::b"}, None, False),
        ({"SourceArn": "arn:aws:s3:::b", "EncryptionContextSubset": {"a": "1"}}, {"a": "1"}, False),
    ],
)  # fmt: skip
def test_constraints(constraints, context, expected):
    given = grant(USER, "Encrypt", "DescribeKey", constraints=constraints)
    facts: dict[str, Any] = {CONTEXT: context_fact(context)}
    assert ask(USER, DEFAULT, given, facts=facts).allowed is expected
    # [DG] those on the context do not count for DescribeKey; that on the source does
    found = ask(USER, DEFAULT, given, action="kms:DescribeKey", facts=facts)
    assert found.allowed is ("SourceArn" not in constraints)
    if "SourceArn" in constraints:
        facts["aws:sourcearn"] = "arn:aws:s3:::b"
        needed = constraints.get("EncryptionContextSubset")
        found = ask(USER, DEFAULT, given, facts=facts)
        assert found.allowed is (needed is None or context == needed)


@pytest.mark.parametrize(
    ("parent", "operations", "child", "expected"),
    [
        ({}, ("Encrypt",), {}, True),
        ({}, ("Encrypt", "CreateGrant"), {"EncryptionContextSubset": {"a": "1"}}, True),
        ({}, ("Decrypt",), {}, False),
        ({}, ("Encrypt", "Decrypt"), {}, False),
        ({"EncryptionContextSubset": {"a": "1"}}, ("Encrypt",), {}, False),
        ({"EncryptionContextSubset": {"a": "1"}}, ("Encrypt",),
         {"EncryptionContextSubset": {"a": "1", "b": "2"}}, True),
        ({"EncryptionContextSubset": {"a": "1"}}, ("Encrypt",),
         {"EncryptionContextEquals": {"a": "1", "b": "2"}}, True),
        ({"EncryptionContextSubset": {"a": "1", "b": "2"}}, ("Encrypt",),
         {"EncryptionContextSubset": {"a": "1"}}, False),
        ({"EncryptionContextEquals": {"a": "1"}}, ("Encrypt",),
         {"EncryptionContextEquals": {"a": "1"}}, True),
        ({"EncryptionContextEquals": {"a": "1"}}, ("Encrypt",),
         {"EncryptionContextSubset": {"a": "1"}}, False),
        ({"SourceArn": "arn:aws:s3:::b"}, ("Encrypt",), {}, False),
        ({"SourceArn": "arn:aws:s3:::b"}, ("Encrypt",), {"SourceArn": "arn:aws:s3:::b"}, True),
    ],
)  # fmt: skip
def test_child_grants_give_no_more_than_their_parent(parent, operations, child, expected):
    """[REC] A broader constraint is AccessDenied, in the words of a missing permission."""
    given = grant(USER, "Encrypt", "CreateGrant", constraints=parent)
    facts = {WANTED: wanted_fact(operations, child)}
    found = ask(USER, DEFAULT, given, action="kms:CreateGrant", facts=facts)
    assert found.allowed is expected
    if not expected:
        assert found.because == (
            "because no identity-based policy allows the kms:CreateGrant action"
        )


def test_the_operations_of_two_parents_do_not_add_up():
    """[REC delegate_combined_operations]"""
    parents = (grant(USER, "Encrypt", "CreateGrant"), grant(USER, "Decrypt", "CreateGrant"))
    facts = {WANTED: wanted_fact(("Encrypt", "Decrypt"), {})}
    assert not ask(USER, DEFAULT, *parents, action="kms:CreateGrant", facts=facts).allowed


def test_a_deny_takes_precedence_over_all_grants():
    """[DG]"""
    denying = key_policy("*", "Deny", Action="kms:Encrypt")
    found = ask(USER, denying, grant(USER))
    assert found.because == "with an explicit deny in a resource-based policy"
    assert found.effect is Effect.EXPLICIT_DENY


# --- retiring ------------------------------------------------------------------------------------


def retire(who: Principal | str, given: Grant) -> Decision:
    request = Request(
        caller(who) if isinstance(who, str) else who, "kms:RetireGrant", KEY, A, {}, None
    )
    return decide_retirement(request, given, A)


NO_RETIRE = "because no identity-based policy allows the kms:RetireGrant action"
THEIR_SESSION = f"arn:aws:sts::{B}:assumed-role/App/s"


@pytest.mark.parametrize(
    ("who", "given", "expected"),
    [
        (ROOT_A, grant(USER), ""),
        (USER, grant(TARGET, retiring=USER), ""),
        (USER, grant(USER), NO_RETIRE),
        (USER, grant(USER, "RetireGrant"), ""),
        (caller(USER, identity=[ALLOW]), grant(TARGET), ""),  # of the key's account
        (caller(USER, identity=[DENY]), grant(TARGET, retiring=USER),
         "with an explicit deny in an identity-based policy"),
        # [REC] a limiting session policy does not matter to a session that is named
        (caller(TARGET, sessions=[OTHER]), grant(USER, retiring=TARGET), ""),
        (caller(TARGET, sessions=[OTHER]), grant(TARGET, "RetireGrant"), ""),
        (caller(TARGET, sessions=[OTHER]), grant(USER, retiring=ROLE),
         "because no session policy allows the kms:RetireGrant action"),
        (caller(TARGET), grant(USER, retiring=ROLE), ""),
        # [REC] with a grant that the key's owner issued, all eight were refused so
        (THEIR_SESSION, grant(USER, retiring=THEIR_SESSION), NO_RETIRE),
        (THEIR_SESSION, grant(THEIR_SESSION, "RetireGrant"), NO_RETIRE),
        (caller(THEIR_SESSION, identity=[ALLOW], sessions=[OTHER]),
         grant(USER, retiring=THEIR_SESSION),
         "because no session policy allows the kms:RetireGrant action"),
        (caller(THEIR_SESSION, identity=[ALLOW]), grant(USER, retiring=THEIR_SESSION), ""),
        (THEIR_SESSION, grant(USER, retiring=THEIR_SESSION, by=B), ""),
        # the account that issued it, and an account that retires
        (ROOT_B, grant(USER, by=B), ""),
        (THEIR_SESSION, grant(USER, by=B), NO_RETIRE),
        (ROOT_B, grant(USER, retiring=ROOT_B), ""),
        (caller(THEIR_SESSION, identity=[ALLOW]), grant(USER, retiring=ROOT_B), ""),
        (ROOT_B, grant(USER), FOREIGN),
        (caller(THEIR_SESSION, identity=[ALLOW]), grant(USER), FOREIGN),
    ],
)  # fmt: skip
def test_who_may_retire_a_grant(who, given, expected):
    found = retire(who, given)
    assert found.because == expected
    assert found.allowed is (expected == "")


# --- principals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("principal", "who", "reached"),
    [
        ("*", USER, True),
        ("*", SERVICE, True),
        ({"AWS": "*"}, TARGET, True),
        ({"AWS": ROOT_A}, ROOT_A, True),
        ({"AWS": A}, ROOT_A, True),
        ({"AWS": A}, USER, False),  # it delegates, and nothing else allows
        ({"AWS": USER}, USER, True),
        ({"AWS": USER}, USER.upper(), False),
        ({"AWS": USER}, f"arn:aws:iam::{A}:user/alice", False),
        ({"AWS": USER}, ROOT_A, False),
        ({"AWS": USER}, caller(FEDERATED, user_arn=USER), True),
        ({"AWS": ROLE}, TARGET, True),
        ({"AWS": ROLE}, SIBLING, True),
        ({"AWS": ROLE}, caller(TARGET, role_arn=ROLE), True),
        ({"AWS": ROLE}, caller(TARGET, role_arn=f"arn:aws:iam::{A}:role/App"), False),
        ({"AWS": ROLE}, TARGET.replace("App", "app"), False),
        # Two roles of one name, with other paths: whichever comes last
        ({"AWS": [ROLE, f"arn:aws:iam::{A}:role/App"]}, caller(TARGET, role_arn=ROLE), True),
        ({"AWS": [f"arn:aws:iam::{A}:role/App", ROLE]}, caller(TARGET, role_arn=ROLE), True),
        ({"AWS": [f"arn:aws:iam::{A}:role/x/App", f"arn:aws:iam::{A}:role/App"]},
         caller(TARGET, role_arn=ROLE), False),
        ({"AWS": TARGET}, TARGET, True),
        ({"AWS": TARGET}, SIBLING, False),
        ({"AWS": TARGET}, ROLE, False),
        ({"AWS": FEDERATED}, FEDERATED, True),
        ({"AWS": FEDERATED}, f"{FEDERATED}2", False),
        ({"Service": SERVICE}, SERVICE, True),
        ({"Service": "s3.us-east-1.amazonaws.com"}, SERVICE, False),
        ({"Service": SERVICE}, USER, False),
        ({"AWS": "AIDA00000000000000100"}, caller(USER, unique_id="AIDA00000000000000100"), True),
        ({"AWS": "AIDA00000000000000100"}, caller(USER, unique_id="AIDA00000000000000101"), False),
        ({"AWS": "AROA00000000000000100"}, caller(TARGET, unique_id="AROA00000000000000100"), True),
        ({"AWS": "AROA00000000000000100"}, TARGET, False),
        ({"AWS": [USER, TARGET]}, TARGET, True),
    ],
)  # fmt: skip
def test_principals(principal, who, reached):
    """[IUG] "Principal": whom a statement is about; nobody here has policies of their own."""
    assert ask(who, key_policy(principal)).allowed is reached
    denied = ask(who, text(statement(Principal="*"), statement("Deny", Principal=principal)))
    # A Deny on an account is about all its principals
    assert denied.allowed is not (reached or principal == {"AWS": A})


def test_the_account_delegates_to_iam():
    """[DG] "Allows access to the AWS account and enables IAM policies"."""
    for principal in ({"AWS": A}, {"AWS": ROOT_A}):
        policy = key_policy(principal)
        assert ask(caller(USER, identity=[ALLOW]), policy).allowed
        assert ask(caller(TARGET, identity=[OTHER]), policy).because == NO_IDENTITY
        limited = caller(USER, identity=[ALLOW], boundary=OTHER)
        assert ask(limited, policy).because == NO_BOUNDARY
    # Without it, IAM policies allow nothing [DG], and the root user neither
    policy = key_policy({"AWS": TARGET})
    assert ask(caller(USER, identity=[ALLOW]), policy).because == NO_RESOURCE
    assert ask(ROOT_A, policy).because == NO_RESOURCE


def test_who_is_named_needs_no_policy_of_their_own():
    """[IUG] Users and sessions that are named, and `*`: no boundary or session limits them."""
    for who, named in ((USER, USER), (TARGET, TARGET), (FEDERATED, FEDERATED), (TARGET, "*")):
        limited = caller(who, boundary=OTHER, sessions=[OTHER])
        assert ask(limited, key_policy({"AWS": named})).allowed
    assert ask(caller(TARGET, boundary=OTHER), key_policy({"AWS": ROLE})).because == NO_BOUNDARY
    assert ask(caller(TARGET, sessions=[OTHER]), key_policy({"AWS": ROLE})).because == NO_SESSION
    assert ask(caller(TARGET, sessions=[ALLOW]), key_policy({"AWS": ROLE})).allowed
    assert ask(caller(TARGET, sessions=[OTHER, ALLOW]), key_policy({"AWS": ROLE})).allowed
    of_user = caller(FEDERATED, user_arn=USER, sessions=[OTHER])
    assert ask(of_user, key_policy({"AWS": USER})).because == NO_SESSION


def test_everyone_with_a_condition():
    """[IUG] `*` with aws:PrincipalArn: boundaries do not limit it."""
    condition = {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{A}:role/path/*"}}
    policy = key_policy("*", Condition=condition)
    who = caller(TARGET, boundary=OTHER)
    assert ask(who, policy, facts={"aws:principalarn": ROLE}).allowed
    assert not ask(who, policy, facts={"aws:principalarn": USER}).allowed


def test_other_accounts_need_both_sides():
    """[DG] "Allowing users in other accounts to use a KMS key"."""
    user = f"arn:aws:iam::{B}:user/u"
    with_policy = caller(user, identity=[ALLOW])
    for principal in ("*", {"AWS": "*"}, {"AWS": B}, {"AWS": ROOT_B}, {"AWS": user}):
        policy = key_policy(principal)
        assert ask(user, policy).because == NO_IDENTITY
        assert ask(with_policy, policy).allowed
        limited = caller(user, identity=[ALLOW], boundary=OTHER)
        assert ask(limited, policy).because == NO_BOUNDARY
        # What is no cross-account operation cannot be given
        found = ask(with_policy, policy, action="kms:PutKeyPolicy")
        assert found.because == FOREIGN
    assert ask(with_policy, DEFAULT).because == FOREIGN
    closed = text(statement(Principal="*"), statement("Deny", Principal={"AWS": B}))
    assert ask(with_policy, closed).because == FOREIGN  # [MSG] it does not say that there is one
    refusing = caller(user, identity=[DENY])
    assert ask(refusing, DEFAULT).because == FOREIGN
    assert ask(refusing, key_policy("*")).because == (
        "with an explicit deny in an identity-based policy"
    )


def test_services_need_a_policy_or_a_grant():
    assert ask(SERVICE, key_policy({"Service": SERVICE})).allowed
    assert ask(SERVICE, DEFAULT).because == NO_RESOURCE
    source = {"SourceArn": "arn:aws:s3:::b"}
    given = grant(SERVICE, constraints=source)
    assert not ask(SERVICE, DEFAULT, given).allowed
    assert ask(SERVICE, DEFAULT, given, facts={"aws:sourcearn": "arn:aws:s3:::b"}).allowed
    assert not ask(SERVICE, None, action="kms:ListKeys", resource="*").allowed


def test_not_principal():
    """[IUG] Deny everyone but; with a boundary it always denies."""
    for named, who, allowed in (
        ([USER, ROOT_A], USER, True),
        ([USER, ROOT_A], ROOT_A, True),
        ([USER, ROOT_A], TARGET, False),  # the account in the list is its root user
        ([TARGET, ROLE, ROOT_A], TARGET, True),
        ([ROLE, ROOT_A], SIBLING, True),
        ([USER], ROOT_A, False),
    ):
        policy = text(
            statement(Principal="*"),
            {**statement("Deny"), "NotPrincipal": {"AWS": named}},
        )
        assert ask(who, policy).allowed is allowed, (named, who)
        bounded = caller(who, boundary=ALLOW)
        assert not ask(bounded, policy).allowed


def test_binding_to_unique_ids():
    """[DG] A role that is deleted and made again is another one."""
    bound = {ROLE: "AROA00000000000000100"}
    policy = key_policy({"AWS": ROLE})
    for unique_id, allowed in (("AROA00000000000000100", True), ("AROA00000000000000101", False)):
        who = caller(TARGET, unique_id=unique_id)
        assert ask(who, policy, bound=bound).allowed is allowed
    user = caller(USER, unique_id="AIDA00000000000000101")
    assert not ask(user, key_policy({"AWS": USER}), bound={USER: "AIDA0000000000000010"}).allowed
    # [REC] a grant shows AROA...:session then
    given = grant("AROA00000000000000100:target")
    assert ask(caller(TARGET, unique_id="AROA00000000000000100"), DEFAULT, given).allowed
    assert not ask(caller(TARGET, unique_id="AROA00000000000000101"), DEFAULT, given).allowed
    assert not ask(caller(SIBLING, unique_id="AROA00000000000000100"), DEFAULT, given).allowed


# --- guardrails and words ------------------------------------------------------------------------


def test_guardrails():
    endpoint = {"Principal": "*"}
    for who, expected in (
        (caller(USER, identity=[ALLOW], scps=[[ALLOW], [ALLOW]]), ""),
        (caller(USER, identity=[ALLOW], scps=[[ALLOW], [OTHER]]),
         "with an explicit deny in a service control policy"),
        (caller(USER, identity=[ALLOW], scps=[[DENY]]),
         "with an explicit deny in a service control policy"),
        (caller(ROOT_A, scps=[[OTHER]]), "with an explicit deny in a service control policy"),
        (caller(USER, identity=[ALLOW], endpoint=text(statement(**endpoint))), ""),
        (caller(USER, identity=[ALLOW], endpoint=text(statement(action="s3:*", **endpoint))),
         "because no VPC endpoint policy allows the kms:Encrypt action"),
        (caller(USER, identity=[ALLOW], endpoint=text(statement("Deny", **endpoint))),
         "with an explicit deny in a VPC endpoint policy"),
    ):  # fmt: skip
        assert ask(who).because == expected
    refusing = text(statement("Deny", Principal="*"))
    assert ask(ROOT_A, rcps=[refusing]).because == (
        "with an explicit deny in a resource control policy"
    )
    their_root = caller(ROOT_B)
    assert ask(their_root, key_policy({"AWS": B})).allowed
    assert ask(their_root, key_policy({"AWS": B}), rcps=[refusing]).because == FOREIGN


def test_explicit_denies_are_told_in_this_order():
    """Which one AWS names is not documented: ours is one that fits all recordings."""
    kinds = [
        ("scps", [[DENY]], "a service control policy"),
        ("endpoint", text(statement("Deny", Principal="*")), "a VPC endpoint policy"),
        ("", "", "a resource-based policy"),
        ("identity", [DENY], "an identity-based policy"),
        ("boundary", DENY, "a permissions boundary"),
        ("sessions", [DENY], "a session policy"),
    ]
    for at, (_, _, expected) in enumerate(kinds):
        given: dict[str, Any] = {name: value for name, value, _ in kinds[at:] if name}
        closed = at <= 2
        policy = text(
            statement(Principal="*"), *([statement("Deny", Principal="*")] if closed else [])
        )
        found = ask(caller(TARGET, **given), policy)
        assert found.because == f"with an explicit deny in {expected}"


def test_actions_on_no_key_are_iam_s():
    for who, expected in (
        (caller(ROOT_A), ""),
        (caller(USER), "because no identity-based policy allows the kms:ListKeys action"),
        (caller(USER, identity=[ALLOW]), ""),
        (caller(USER, identity=[ALLOW], sessions=[OTHER]),
         "because no session policy allows the kms:ListKeys action"),
        (caller(ROOT_B), FOREIGN),
    ):  # fmt: skip
        assert ask(who, None, action="kms:ListKeys", resource="*").because == expected
    # [DG] "you must set the Resource element to *"
    narrow = text(statement(Resource=f"arn:aws:kms:us-east-1:{A}:*"))
    assert not ask(caller(USER, identity=[narrow]), None, resource="*").allowed


@pytest.mark.parametrize(
    ("version", "resource", "allowed"),
    [
        ("2012-10-17", "*", True),
        ("2012-10-17", KEY, True),
        ("2012-10-17", f"arn:aws:kms:*:{A}:key/*", True),
        ("2012-10-17", KEY.upper(), False),
        ("2012-10-17", f"arn:aws:kms:us-east-1:{A}:alias/x", False),  # an alias is no key
        ("2012-10-17", f"arn:aws:kms:us-east-1:{A}:key/${{aws:PrincipalTag/key}}", True),
        ("2012-10-17", f"arn:aws:kms:us-east-1:{A}:key/${{aws:none}}", False),
        ("2012-10-17", "arn:aws:kms:${aws:region}:" + A + ":key/*", False),
        ("2008-10-17", f"arn:aws:kms:us-east-1:{A}:key/${{aws:PrincipalTag/key}}", False),
    ],
)
def test_resources(version, resource, allowed):
    facts = {"aws:principaltag/key": KEY.split("/")[1], "aws:region": "us-east-1"}
    policy = text(statement(Resource=resource), version=version)
    assert ask(caller(USER, identity=[policy]), facts=facts).allowed is allowed


@pytest.mark.parametrize(
    ("element", "allowed"),
    [
        ({"Action": "KMS:ENCRYPT"}, True),
        ({"Action": ["kms:Enc?ypt"]}, True),
        ({"Action": "kms:Encryp"}, False),
        ({"Action": "encrypt"}, False),
        ({"NotAction": "kms:Decrypt"}, True),
        ({"NotAction": ["s3:*", "kms:E*"]}, False),
        ({}, False),  # no effect
    ],
)
def test_actions(element, allowed):
    rest = {"Effect": "Allow", "Principal": {"AWS": USER}, "Resource": "*"}
    assert ask(USER, text({**rest, **element})).allowed is allowed
    without = {**rest, **element}
    del without["Resource"]
    assert not ask(USER, text(without)).allowed


def test_aliases_of_a_key_are_for_iam_policies():
    """[DG] kms:ResourceAliases, "IAM policies only"."""
    condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/a"}}
    facts = {"kms:resourcealiases": ("alias/a",)}
    identity = text(statement(Condition=condition))
    assert ask(caller(USER, identity=[identity]), facts=facts).allowed
    assert not ask(USER, key_policy({"AWS": USER}, Condition=condition), facts=facts).allowed


def test_not_resource():
    policy = text({"Effect": "Allow", "Action": "kms:*", "NotResource": KEY})
    assert not ask(caller(USER, identity=[policy])).allowed
    assert ask(caller(USER, identity=[policy]), resource=f"{KEY}x").allowed


def test_a_stored_policy_that_cannot_be_read_refuses_everything():
    for broken in ("", "{", "[]", '{"Version": "x", "Statement": []}'):
        decision = ask(ROOT_A, broken)
        assert decision.because == "with an explicit deny in a resource-based policy"


def test_a_decision_says_what_it_rests_on():
    policy = text(statement(Principal={"AWS": ROOT_A}, Sid="root"))
    who = caller(USER, identity=[text(statement(Sid="mine"))], boundary=ALLOW, sessions=[ALLOW])
    kinds = [basis.policy.kind for basis in ask(who, policy).basis if basis.policy]
    assert kinds == [Kind.KEY, Kind.IDENTITY, Kind.BOUNDARY, Kind.SESSION]
    sids = [basis.statement.sid for basis in ask(who, policy).basis if basis.statement]
    assert sids == ["root", "mine", "", ""]
    (basis,) = ask(USER, DEFAULT, grant(USER)).basis
    assert basis.grant is not None
    assert basis.grant.grant_id == "g1"
    assert ask(USER).missing is Kind.IDENTITY
