"""Random worlds of policies, grants and requests: small alphabets, so that much of it meets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random
from typing import Any

from tests.iam.naive import World

from clavero.iam.compile import Policy, compile_policy, compile_stored
from clavero.iam.decision import Decision, Request, decide
from clavero.iam.documents import Kind
from clavero.iam.grants import CONTEXT, WANTED, Grant, context_fact, wanted_fact
from clavero.iam.principals import Principal

A, B = "111122223333", "444455556666"
KEY = f"arn:aws:kms:us-east-1:{A}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER = f"arn:aws:kms:us-east-1:{A}:key/99999999-12ab-34cd-56ef-1234567890ab"
ACTIONS = ("kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:CreateGrant", "kms:PutKeyPolicy")


def callers_of(account: str) -> list[dict[str, Any]]:
    user = f"arn:aws:iam::{account}:user/team/alice"
    return [
        {"arn": f"arn:aws:iam::{account}:root", "account": account},
        {"arn": user, "account": account},
        {"arn": f"arn:aws:sts::{account}:assumed-role/App/one", "account": account},
        {"arn": f"arn:aws:sts::{account}:assumed-role/App/two", "account": account,
         "role_arn": f"arn:aws:iam::{account}:role/path/App"},
        {"arn": f"arn:aws:iam::{account}:role/path/App", "account": account},
        {"arn": f"arn:aws:sts::{account}:federated-user/bob", "account": account,
         "user_arn": user},
    ]  # fmt: skip


CALLERS = [*callers_of(A), *callers_of(B), {"arn": "s3.amazonaws.com", "account": ""}]
NAMED = sorted(
    {each["arn"] for each in CALLERS if each["account"]}
    | {A, f"arn:aws:iam::{A}:role/App", f"arn:aws:iam::{B}:role/App"}
)

ACTION_PATTERNS = [
    *ACTIONS, "kms:*", "*", "KMS:encrypt", "kms:*crypt", "kms:?ecrypt", "kms:Put*", "s3:*",
]  # fmt: skip
RESOURCE_PATTERNS = [
    "*", KEY, OTHER, KEY.replace("1234abcd", "????abcd"), "arn:aws:kms:*:*:key/*",
    f"arn:aws:kms:us-east-1:{A}:key/${{aws:PrincipalTag/key}}",
    f"arn:aws:kms:us-east-1:{A}:${{aws:PrincipalTag/none, 'key'}}/*", f"arn:aws:kms:*:{B}:*",
]  # fmt: skip
TEXTS = ["a", "A", "ab", "b", "*", "a*", "?", "${*}", "${aws:username}", "${aws:none, 'a'}",
         "${aws:none}", "${kms:ResourceAliases}", "😀", "??"]  # fmt: skip
FACTS: dict[str, list[Any]] = {
    "kms:encryptioncontext:tenant": ["a", "A", "ab", "*", "😀"],
    "aws:username": ["a", "alice", "*"],
    "kms:encryptioncontextkeys": [(), ("a",), ("a", "b"), ("😀",)],
    "aws:tagkeys": [("a",), ("ab", "b")],
    "kms:resourcealiases": [(), ("a",)],
    "kms:rotationperiodindays": ["1", "01", "1.5", "-2", "x"],
    "kms:validto": ["1767225600", "1767225600.0009", "x"],
    "aws:securetransport": ["true", "false", "True"],
    "aws:sourceip": ["192.0.2.1", "203.0.113.7", "::ffff:192.0.2.1", "2001:db8::1",
                     "192.0.2.256", ""],
    "aws:principalarn": [*NAMED, "x"],
    "aws:principaltag/key": [KEY.split("/")[1], "*"],
    "aws:sourcearn": ["arn:aws:s3:::one", "arn:aws:s3:::two"],
}  # fmt: skip
CONDITIONS = [
    ("String", ["Equals", "NotEquals", "EqualsIgnoreCase", "NotEqualsIgnoreCase", "Like",
                "NotLike"],
     ["kms:EncryptionContext:tenant", "KMS:ENCRYPTIONCONTEXT:TENANT", "aws:username",
      "kms:EncryptionContextKeys", "aws:TagKeys", "kms:ResourceAliases"], TEXTS),
    ("Numeric", ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan",
                 "GreaterThanEquals"],
     ["kms:RotationPeriodInDays", "kms:ValidTo"], ["1", "+01", "1.5", "-2", "x", "100"]),
    ("Date", ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan",
              "GreaterThanEquals"],
     ["aws:CurrentTime", "kms:ValidTo"],
     ["2026-01-01T00:00:00Z", "1767225600", "1767225600.0004", "x", "2026-01-01T01:00:00+01:00"]),
    ("", ["Bool"], ["aws:SecureTransport", "kms:MultiRegion"], ["true", "TRUE", "false", "x"]),
    ("", ["BinaryEquals"], ["aws:username"], ["YQ==", "YWI="]),
    ("", ["IpAddress", "NotIpAddress"], ["aws:SourceIp"],
     ["192.0.2.0/24", "192.0.2.9/24", "203.0.113.7", "2001:db8::/32", "2001:db8::1/32", "x"]),
    ("Arn", ["Equals", "NotEquals", "Like", "NotLike"], ["aws:PrincipalArn"],
     [f"arn:aws:iam::{A}:*", f"arn:*:iam::{A}:user/*/alice", "arn:aws:iam::*:role/?ath/App",
      "x", "arn:aws:iam:::user/${aws:username}", f"arn:aws:iam::{A}:${{aws:none}}"]),
    ("", ["Null"], ["kms:EncryptionContextKeys", "aws:SourceIp", "aws:username"],
     ["true", "false"]),
]  # fmt: skip


class Maker:
    """Makes worlds from a seed: hypothesis' own strategies need 50 ms for one."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.shuffle = self._random.shuffle

    def of(self, choices: Sequence[Any]) -> Any:
        return self._random.choice(choices)

    def some(self, choices: Sequence[Any], most: int = 2, least: int = 1) -> list[Any]:
        return [self.of(choices) for _ in range(self._random.randint(least, most))]

    def several(self, make: Callable[[], Any], most: int, least: int = 0) -> list[Any]:
        return [make() for _ in range(self._random.randint(least, most))]

    def once_in(self, times: int) -> bool:
        return self._random.randrange(times) == 0

    def principal(self) -> Any:
        return self.of(
            [
                "*",
                {"AWS": "*"},
                {"Service": "s3.amazonaws.com"},
                *[{"AWS": self.some(NAMED, 3)}] * 6,
            ]
        )

    def condition(self) -> tuple[str, str, list[str]]:
        family, names, keys, values = self.of(CONDITIONS)
        name = family + self.of(names)
        if name != "Null":
            name = self.of(["", "", "", "ForAnyValue:", "ForAllValues:"]) + name
            name += self.of(["", "", "IfExists"])
        return name, self.of(keys), self.some(values)

    def statement(self, *, whom: bool, effect: str | None = None) -> dict[str, Any]:
        made: dict[str, Any] = {"Effect": effect or self.of(["Allow", "Allow", "Allow", "Deny"])}
        if whom:
            made["NotPrincipal" if self.once_in(6) else "Principal"] = self.principal()
        made["NotAction" if self.once_in(6) else "Action"] = self.some(ACTION_PATTERNS)
        made["NotResource" if self.once_in(8) else "Resource"] = self.some(RESOURCE_PATTERNS)
        block: dict[str, dict[str, Any]] = {}
        for name, key, values in self.several(self.condition, self.of([0, 1, 2])):
            block.setdefault(name, {})[key] = values
        if block:
            made["Condition"] = block
        return made

    def policy(self, *, whom: bool = False) -> dict[str, Any]:
        return {
            "Version": self.of(["2012-10-17"] * 3 + ["2008-10-17"]),
            "Statement": self.several(lambda: self.statement(whom=whom), 3, 1),
        }

    def policies(self) -> list[dict[str, Any]]:
        return self.several(self.policy, 2)

    def context(self) -> dict[str, str]:
        return {self.of(["tenant", "Tenant", "x"]): self.of(["a", "A", "ab", "*"])
                for _ in range(self._random.randrange(3))}  # fmt: skip

    def constraints(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        kind = self.of([None, "EncryptionContextEquals", "EncryptionContextSubset"])
        if kind is not None:
            made[kind] = self.context()
        if self.once_in(4):
            made["SourceArn"] = self.of(["arn:aws:s3:::one", "arn:aws:s3:::two"])
        return made

    def grant(self) -> dict[str, Any]:
        return {
            "Grantee": self.of([*NAMED, "s3.amazonaws.com"]),
            "Operations": self.some(["Encrypt", "Decrypt", "DescribeKey", "CreateGrant"]),
            "Constraints": self.constraints(),
            "IssuingAccount": self.of([A, B]),
        }

    def child(self) -> dict[str, Any]:
        return {
            "Operations": self.some(["Encrypt", "Decrypt", "CreateGrant"]),
            "Constraints": self.constraints(),
        }

    def facts(self) -> dict[str, Any]:
        made: dict[str, Any] = {"aws:currenttime": "2026-01-01T00:00:00Z"}
        made |= {name: self.of(values) for name, values in FACTS.items() if self.once_in(2)}
        if self.once_in(2):
            made["context"] = self.context()
        if self.once_in(2):
            made["child"] = self.child()
        return made

    def world(self) -> World:
        caller = self.of(CALLERS)
        service = not caller["account"]
        own = not service and not caller["arn"].endswith(":root")
        on_key = not self.once_in(8)
        return World(
            caller=caller,
            action=self.of(ACTIONS),
            resource=KEY if on_key else self.of(["*", KEY]),
            owner=A,
            facts=self.facts(),
            key_policy=self.policy(whom=True) if on_key else None,
            grants=self.several(self.grant, 3) if on_key else [],
            identity=self.policies() if own else [],
            boundary=self.policy() if own and self.once_in(3) else None,
            sessions=self.policies() if own and self.once_in(3) else None,
            scps=[] if service or not self.once_in(3) else self.several(self.policies, 2),
            rcps=[self.denying()] if self.once_in(8) else [],
            endpoint=self.policy(whom=True) if self.once_in(6) else None,
        )

    def denying(self) -> dict[str, Any]:
        """A resource control policy: they only deny, and everyone."""
        statement = self.statement(whom=False, effect="Deny")
        statement.pop("NotAction", None)
        statement |= {"Principal": "*", "Action": self.some(ACTION_PATTERNS)}
        return {"Version": "2012-10-17", "Statement": [statement]}


def reduced(world: World, fails: Callable[[World], bool]) -> World:
    """The world with everything left out that is not needed for it to fail."""
    again = True
    while again:
        again = False
        for other in _smaller(world):
            if other != world and fails(other):
                world, again = other, True
                break
    return world


def _smaller(world: World) -> Iterator[World]:
    for where in ("boundary", "sessions", "endpoint"):
        if getattr(world, where) is not None:
            yield _with(world, where, None)
    for where in ("grants", "identity", "scps", "rcps"):
        value = getattr(world, where)
        for at in range(len(value)):
            yield _with(world, where, value[:at] + value[at + 1 :])
    for name in world.facts:
        yield replace(world, facts={key: each for key, each in world.facts.items() if key != name})
    for where in ("key_policy", "identity", "boundary", "sessions", "endpoint"):
        # A policy has a statement at least
        yield changed(
            world,
            where,
            lambda policy: {**policy, "Statement": policy["Statement"][1:] or policy["Statement"]},
        )


# --- the same world for the evaluator under test -----------------------------------------------


def _compiled(document: dict[str, Any], kind: Kind) -> Policy:
    return _read(json.dumps(document), kind)


# A world and its variants have most of their policies in common, and compiling takes the most time.
@lru_cache(1_024)
def _read(text: str, kind: Kind) -> Policy:
    if "ForAllValues" in text:  # which key policies refuse for some keys, and stored ones may have
        return compile_stored(text, kind)
    return compile_policy(text, kind)


def _all(documents: Sequence[dict[str, Any]], kind: Kind) -> tuple[Policy, ...]:
    return tuple(_compiled(each, kind) for each in documents)


def request_of(world: World) -> Request:
    given = dict(world.facts)
    context = given.pop("context", None)
    child = given.pop("child", None)
    given[CONTEXT] = context_fact(context)
    if child is not None:
        given[WANTED] = wanted_fact(child["Operations"], child["Constraints"])
    caller = Principal(
        world.caller["arn"],
        world.caller["account"],
        role_arn=world.caller.get("role_arn"),
        user_arn=world.caller.get("user_arn"),
        identity=_all(world.identity, Kind.IDENTITY),
        boundary=None if world.boundary is None else _compiled(world.boundary, Kind.BOUNDARY),
        sessions=None if world.sessions is None else _all(world.sessions, Kind.SESSION),
        scps=[_all(level, Kind.SERVICE_CONTROL) for level in world.scps],
        endpoint=None if world.endpoint is None else _compiled(world.endpoint, Kind.ENDPOINT),
    )
    made = [
        Grant(
            str(index),
            grantee=each["Grantee"],
            operations=each["Operations"],
            issuing_account=each["IssuingAccount"],
            constraints=each["Constraints"],
        )
        for index, each in enumerate(world.grants)
    ]
    return Request(
        caller,
        world.action,
        world.resource,
        world.owner,
        given,
        None if world.key_policy is None else (_compiled(world.key_policy, Kind.KEY),),
        lambda: made,
        _all(world.rcps, Kind.RESOURCE_CONTROL),
    )


def decided(world: World) -> Decision:
    return decide(request_of(world))


def _with(world: World, where: str, value: Any) -> World:
    members: dict[str, Any] = {where: value}
    return replace(world, **members)


def changed(world: World, where: str, change: Any) -> World:
    """The world with `change` applied to each of the policies at `where`."""
    value = getattr(world, where)
    if value is None or where in {"key_policy", "boundary", "endpoint"}:
        return _with(world, where, None if value is None else change(value))
    if where == "scps":
        return replace(world, scps=[[change(each) for each in level] for level in value])
    return _with(world, where, [change(each) for each in value])
