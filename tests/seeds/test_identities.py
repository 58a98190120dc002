"""Identities of a seed: made once, completed, checked before anything is applied."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from clavero import KMS
from clavero.seeds.document import SeedError

A = "111122223333"
ALLOW = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}],
}
TRUST = {
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": A}, "Action": "sts:AssumeRole"}],
}
KEY = {"id": "AKIAALICEEXAMPLE0000", "secret": "not+secret"}
SEED: dict[str, Any] = {
    "accounts": [
        {
            "id": A,
            "policies": [{"name": "p", "document": ALLOW, "tags": {"a": "1"}}],
            "groups": [{"name": "g", "attached": [f"arn:aws:iam::{A}:policy/p"]}],
            "roles": [{"name": "r", "path": "/x/", "trust": TRUST, "max_session": 7200}],
            "users": [
                {
                    "name": "alice",
                    "groups": ["g"],
                    "policies": {"own": ALLOW},
                    "permissions_boundary": f"arn:aws:iam::{A}:policy/p",
                    "tags": {"team": "a"},
                    "access_keys": [KEY],
                }
            ],
        }
    ]
}


def changed(place: str, number: int = 0, **members: Any) -> dict[str, Any]:
    seed = copy.deepcopy(SEED)
    seed["accounts"][0][place][number].update(members)
    return seed


def shown(kms: KMS) -> list[Any]:
    ids = kms.identities
    return [
        ids.policies.all(A),
        ids.groups.all(A),
        ids.roles.all(A),
        ids.users.all(A),
        ids.groups.members(A, "g"),
        ids.groups.list_attached_policies(A, "g"),
        ids.users.get_policy(A, "alice", "own"),
        ids.users.tags(A, "alice"),
        ids.users.access_keys(A, "alice"),
    ]


def test_a_seed_is_applied_once(tmp_path: Path):
    with KMS(tmp_path / "data", seed=SEED) as kms:
        first = shown(kms)
        (row,) = kms.identities.users.access_keys(A, "alice")
        assert kms.accounts.reveal(row).secret_access_key == KEY["secret"]
        assert kms.identities.roles.get(A, "r").max_session == 7200
        assert kms.identities.users.get(A, "alice").boundary == f"arn:aws:iam::{A}:policy/p"
    with KMS(tmp_path / "data", seed=SEED) as kms:
        assert shown(kms) == first
    more = changed("users", policies={"own": ALLOW, "more": ALLOW}, tags={"cost": "1"})
    with KMS(tmp_path / "data", seed=more) as kms:
        assert kms.identities.users.list_policies(A, "alice") == ["more", "own"]
        assert kms.identities.users.tags(A, "alice") == {"cost": "1", "team": "a"}
    spaced = changed("users", policies={"own": json.dumps(ALLOW, indent=4)})
    with KMS(tmp_path / "data", seed=spaced) as kms:
        assert kms.identities.users.list_policies(A, "alice") == ["more", "own"]


@pytest.mark.parametrize(
    ("place", "members", "message"),
    [
        ("users", {"name": "a b"}, "users[0].name: The specified value for userName is invalid"),
        ("users", {"path": "x"}, "users[0].path: "),
        ("users", {"policies": {"own": {}}}, "users[0].policies.own: "),
        ("users", {"policies": []}, "users[0].policies: must be an object"),
        ("users", {"groups": ["h"]}, "users[0].groups: there is no group h"),
        ("users", {"attached": [f"arn:aws:iam::{A}:policy/q"]}, "users[0]: there is no policy"),
        ("users", {"permissions_boundary": "p"}, "users[0]: there is no policy p"),
        ("users", {"tags": {"a": 1}}, "users[0].tags: must be an object of strings"),
        ("users", {"access_keys": [{"id": "x", "secret": "s"}]}, "access_keys[0]: an access key"),
        ("users", {"polices": {}}, "did you mean policies?"),
        ("roles", {"trust": ALLOW}, "roles[0].trust: "),
        ("roles", {"max_session": 10}, "roles[0].max_session: "),
        ("roles", {"max_session": True}, "roles[0].max_session: must be a number"),
        ("policies", {"document": TRUST}, "policies[0].document: "),
        ("policies", {"document": 1}, "policies[0].document: must be a policy document"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path, place, members, message):
    with pytest.raises(SeedError) as caught:
        KMS(tmp_path / "data", seed=changed(place, **members))
    assert message in str(caught.value)
    assert KEY["secret"] not in str(caught.value)
    with KMS(tmp_path / "data") as kms:
        assert kms.identities.policies.all(A) == []
        assert kms.accounts.names() == []


def test_what_is_missing_or_twice_is_refused():
    for place in ("policies", "roles"):
        seed = copy.deepcopy(SEED)
        seed["accounts"][0][place] = [{"name": "n"}]
        with pytest.raises(SeedError, match="is missing"):
            KMS(seed=seed)
    seed = copy.deepcopy(SEED)
    seed["accounts"][0]["groups"] *= 2
    with pytest.raises(SeedError, match="the group g stands there twice"):
        KMS(seed=seed)
    seed = copy.deepcopy(SEED)
    seed["accounts"][0]["access_keys"] = [KEY]
    with pytest.raises(SeedError, match="an access key stands there twice"):
        KMS(seed=seed)


@pytest.mark.parametrize(
    ("place", "members", "named"),
    [
        ("users", {"path": "/y/"}, "users[0].path"),
        ("users", {"tags": {"team": "b"}}, "users[0].tags.team"),
        ("users", {"policies": {"own": {**ALLOW, "Version": "2008-10-17"}}}, "policies.own"),
        ("users", {"access_keys": [{**KEY, "secret": "other"}]}, KEY["id"]),
        ("roles", {"max_session": 3600}, "roles[0].max_session"),
        ("roles", {"trust": {**TRUST, "Version": "2012-10-17"}}, "roles[0].trust"),
        ("policies", {"document": {**ALLOW, "Version": "2008-10-17"}}, "policies[0].document"),
        ("policies", {"tags": {"a": "2"}}, "policies[0].tags.a"),
    ],
)
def test_what_is_there_must_be_as_the_seed_says(tmp_path, place, members, named):
    with KMS(tmp_path / "data", seed=SEED) as kms:
        before = shown(kms)
    seed = changed(place, **members)
    seed["accounts"][0]["groups"].append({"name": "new"})
    with pytest.raises(SeedError) as caught:
        KMS(tmp_path / "data", seed=seed)
    assert named in str(caught.value)
    with KMS(tmp_path / "data") as kms:
        assert shown(kms) == before
