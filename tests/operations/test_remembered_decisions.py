"""A remembered decision and one made anew agree, whatever was written in between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.iam import worlds

from clavero import KMS, ManualClock
from clavero.iam.principals import Principal
from clavero.model.operations import OPERATIONS
from clavero.ops.call import Call

A, B = worlds.A, worlds.B
CALLERS = [
    Principal(f"arn:aws:iam::{A}:root", A),
    Principal(f"arn:aws:iam::{A}:user/team/alice", A),
    Principal(f"arn:aws:sts::{A}:assumed-role/App/one", A),
    Principal(f"arn:aws:iam::{B}:root", B),
]
ACTIONS = ("Encrypt", "DescribeKey", "PutKeyPolicy")


class Round:
    """A key, and random writes of every kind that decisions depend on."""

    def __init__(self, kms: KMS, maker: worlds.Maker) -> None:
        self.maker = maker
        self.client = kms.client(account=A)
        self.scope = kms._directory.scope("us-east-1", A)
        self.id: str = self.client.create_key()["KeyMetadata"]["KeyId"]
        self.key = kms._directory.resolve(self.scope, self.id)
        self.kms = kms
        self.writes: list[Any] = [self.policy, self.grant, self.revoke, self.tag, self.alias]

    def as_root(self, operation: str, **params: Any) -> None:
        """Past the policies, as an administrator whom none of them binds."""
        call = Call(OPERATIONS[operation], {"KeyId": self.id, **params}, CALLERS[0], self.scope)
        call.keys, call.time = (self.key,), 1.0
        self.kms._service._handlers[operation].run(self.kms._context, call)

    def policy(self) -> None:
        text = json.dumps(self.maker.policy(whom=True))
        if "ForAllValues" not in text:
            self.as_root("PutKeyPolicy", Policy=text, BypassPolicyLockoutSafetyCheck=True)

    def grant(self) -> None:
        self.as_root(
            "CreateGrant",
            GranteePrincipal=self.maker.of([each.arn for each in CALLERS]),
            Operations=self.maker.some(["Encrypt", "DescribeKey"]),
            Constraints=self.maker.of([{}, {"EncryptionContextSubset": {"tenant": "a"}}]),
        )

    def revoke(self) -> None:
        with self.kms._store.read() as tx:
            row = tx.exec_driver_sql("SELECT grant_id FROM grants LIMIT 1").first()
        if row is not None:
            self.as_root("RevokeGrant", GrantId=row[0])

    def tag(self) -> None:
        pair = {"TagKey": "t", "TagValue": self.maker.of(["a", "b"])}
        self.as_root("TagResource", Tags=[pair])

    def alias(self) -> None:
        name = self.maker.of(["alias/a", "alias/b"])
        call = Call(
            OPERATIONS["CreateAlias"], {"AliasName": name}, CALLERS[0], self.scope
        )  # fmt: skip
        call.keys, call.time = (self.key,), 1.0
        if name in self.names():
            return
        self.kms._service._handlers["CreateAlias"].run(self.kms._context, call)

    def names(self) -> list[str]:
        with self.kms._store.read() as tx:
            return [row[0] for row in tx.exec_driver_sql("SELECT name FROM aliases")]

    def asked(self) -> Call:
        action = self.maker.of(ACTIONS)
        params: dict[str, Any] = {"KeyId": self.id}
        if action == "Encrypt":
            params["EncryptionContext"] = self.maker.context()
        call = Call(
            OPERATIONS[action], params, self.maker.of(CALLERS), self.scope, None,
            self.maker.of(["192.0.2.1", "203.0.113.7"]),
        )  # fmt: skip
        call.keys = (self.key,)
        call.time = self.maker.of([1_767_225_599.0, 1_767_225_600.0])
        return call


ALIKE = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def agree(seed: int, *, writes: int, calls: int) -> int:
    """Hold remembered decisions, new ones and explain against each other; how many were alike."""
    alike = 0
    clock = ManualClock()
    with KMS(clock=clock) as kms:
        round_ = Round(kms, worlds.Maker(seed))
        service = kms._service
        for _ in range(writes):
            round_.maker.of(round_.writes)()
            for _ in range(calls):
                call = round_.asked()
                action = f"kms:{call.operation.name}"
                anew = service._decide_anew(call, action, round_.key)
                for _ in range(2):
                    found = service._decide(call, action, round_.key)
                    assert (found.effect, found.because) == (anew.effect, anew.because)
                clock.set(call.time, allow_backwards=True)
                (told,) = service.explain(explained(call))
                assert (told.action, told.resource) == (action, round_.key.arn)
                assert (told.decision.effect, told.decision.because) == (anew.effect, anew.because)
                alike += 1
    return alike


def explained(call: Call) -> Call:
    """The same call with what its operation demands."""
    params = dict(call.params)
    if call.operation.name == "Encrypt":
        params["Plaintext"] = b"x"
    if call.operation.name == "PutKeyPolicy":
        params["Policy"] = "{}"
    return Call(call.operation, params, call.principal, call.scope, None, call.source_ip)


@settings(ALIKE, max_examples=10)
@given(st.integers(0, 2**48))
def test_remembered_decisions_are_those_made_anew(seed):
    agree(seed, writes=12, calls=8)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_100_000_remembered_decisions_are_those_made_anew():
    alike = 0

    @settings(ALIKE, max_examples=70, database=None)
    @given(st.integers(0, 2**48))
    def some(seed):
        nonlocal alike
        alike += agree(seed, writes=60, calls=25)

    some()
    assert alike >= 100_000
    print(f"{alike:,} decisions")  # noqa: T201 - shown by make test-slow


@pytest.mark.parametrize("operation", ["UpdateAlias", "DeleteAlias"])
def test_a_key_that_loses_an_alias_after_a_race_decides_anew(operation):
    """The alias was moved to a third key since the call looked whose it was."""
    with KMS() as kms:
        client = kms.client(account=A)
        scope = kms._directory.scope("us-east-1", A)
        ids = [client.create_key()["KeyMetadata"]["KeyId"] for _ in range(3)]
        old, new, third = (kms._directory.resolve(scope, each) for each in ids)
        client.create_alias(AliasName="alias/a", TargetKeyId=ids[0])
        params = {"AliasName": "alias/a"} | (
            {"TargetKeyId": ids[1]} if operation == "UpdateAlias" else {}
        )
        call = Call(OPERATIONS[operation], params, CALLERS[0], scope)
        call.keys = (new, old) if operation == "UpdateAlias" else (old,)
        client.update_alias(AliasName="alias/a", TargetKeyId=ids[2])
        before = third.epoch
        kms._service._handlers[operation].run(kms._context, call)
        assert third.epoch > before
