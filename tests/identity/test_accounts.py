"""Accounts and access keys: made, stored sealed, known again, told to whoever verifies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from clavero import KMS, StoreError
from clavero.identity.accounts import AccessKey
from clavero.seeds.document import SeedError

ACCOUNT = "111122223333"


class Verifier:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[str, str]] = {}

    def put(self, access_key_id: str, account: str, arn: str, region: str, sealed: bytes) -> None:
        assert sealed
        assert region == "us-east-1"
        self.told[access_key_id] = (account, arn)

    def remove(self, access_key_id: str) -> bool:
        return self.told.pop(access_key_id, None) is not None


def test_an_account_has_a_first_access_key_in_aws_form(kms):
    made = kms.accounts.create(ACCOUNT)
    assert made.account == ACCOUNT
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", made.access_key_id)
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", made.secret_access_key)
    assert made.secret_access_key not in repr(made)
    assert kms.accounts.names() == [ACCOUNT]
    again = kms.accounts.create_access_key(ACCOUNT)
    assert again.secret_access_key != made.secret_access_key
    rows = kms.accounts.access_keys()
    assert {row.access_key_id for row in rows} == {made.access_key_id, again.access_key_id}
    assert {kms.accounts.reveal(row) for row in rows} == {made, again}


def test_an_account_is_made_once(kms):
    kms.accounts.create(ACCOUNT)
    with pytest.raises(StoreError, match=r"The account 111122223333 exists already\."):
        kms.accounts.create(ACCOUNT)
    kms.accounts.ensure(ACCOUNT)
    kms.accounts.ensure("444455556666")
    assert kms.accounts.names() == [ACCOUNT, "444455556666"]
    with pytest.raises(StoreError, match="there is no account 999999999999"):
        kms.accounts.create_access_key("999999999999")


def test_known_keys_are_taken_and_those_that_no_client_could_use_are_not(kms):
    kms.accounts.ensure(ACCOUNT)
    kms.accounts.put_access_key(ACCOUNT, "AKIDEXAMPLE00000", "a known secret".replace(" ", "+"))
    (row,) = kms.accounts.access_keys()
    assert kms.accounts.reveal(row).secret_access_key == "a+known+secret"
    with pytest.raises(StoreError, match="AKIDEXAMPLE00000 exists already"):
        kms.accounts.put_access_key(ACCOUNT, "AKIDEXAMPLE00000", "other")
    for access_key_id, secret, message in (
        ("short", "secret", "16 to 128"),
        ("AKIA/23456789012345", "secret", "16 to 128"),
        ("AKIDEXAMPLE00001", "", "1 to 128 printable"),
        ("AKIDEXAMPLE00001", "a b", "1 to 128 printable"),
        ("AKIDEXAMPLE00001", "x" * 129, "1 to 128 printable"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            kms.accounts.put_access_key(ACCOUNT, access_key_id, secret)
        assert not secret or secret not in str(caught.value).replace("secret access key", "")
    with pytest.raises(ValueError, match="12 digits"):
        kms.accounts.create("12")


def test_they_are_durable_and_sealed(tmp_path: Path):
    with KMS(tmp_path / "data") as kms:
        made = kms.accounts.create(ACCOUNT)
    files = [file for file in (tmp_path / "data").rglob("*") if file.is_file()]
    assert all(made.secret_access_key.encode() not in file.read_bytes() for file in files)
    with KMS(tmp_path / "data") as kms:
        (row,) = kms.accounts.access_keys()
        assert kms.accounts.reveal(row) == made
        kms.rotate_domain_keys()
        assert kms.accounts.reveal(row) == made, "a rotation does not touch what is sealed so"


def test_verifiers_are_told_what_there_is_and_what_changes(kms):
    first = kms.accounts.create(ACCOUNT)
    verifier = Verifier()
    kms.accounts.attach(verifier)
    root = (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
    assert verifier.told == {first.access_key_id: root}
    second = kms.accounts.create_access_key(ACCOUNT)
    assert verifier.told == {first.access_key_id: root, second.access_key_id: root}
    assert kms.accounts.delete_access_key(first.access_key_id)
    assert not kms.accounts.delete_access_key(first.access_key_id)
    assert verifier.told == {second.access_key_id: root}
    kms.accounts.detach(verifier)
    kms.accounts.create_access_key(ACCOUNT)
    assert verifier.told == {second.access_key_id: root}


SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def seed(*access_keys: Any, account: object = ACCOUNT) -> dict[str, object]:
    return {"accounts": [{"id": account, "access_keys": list(access_keys)}]}


def test_a_seed_has_accounts_and_access_keys(tmp_path: Path):
    given = seed({"id": "AKIDEXAMPLE00000", "secret": SECRET})
    for _ in range(2):  # at every start
        with KMS(tmp_path / "data", seed=given) as kms:
            (row,) = kms.accounts.access_keys()
            assert kms.accounts.reveal(row) == AccessKey(ACCOUNT, "AKIDEXAMPLE00000", SECRET)
    for changed in (
        seed({"id": "AKIDEXAMPLE00000", "secret": "other"}),
        seed({"id": "AKIDEXAMPLE00000", "secret": SECRET}, account="444455556666"),
    ):
        keys = [{"id": "1234abcd-12ab-34cd-56ef-1234567890ab"}]
        with pytest.raises(SeedError, match="another secret or of somebody else"):
            KMS(tmp_path / "data", seed={**changed, "keys": keys})
    with KMS(tmp_path / "data") as kms:
        assert kms.accounts.names() == [ACCOUNT]
        assert kms.client().list_keys()["Keys"] == []  # nothing of a refused seed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (seed(account="1"), r"accounts\[0\].id: an account id has 12 digits"),
        (seed(account=1), r"accounts\[0\].id: an account id has 12 digits"),
        ({"accounts": {}}, "accounts: must be a list"),
        (seed({"id": "AKIDEXAMPLE00000"}), "id and secret must be there"),
        (seed({"id": "AKIDEXAMPLE00000", "secret": "a b"}), "1 to 128 printable"),
        (seed({"id": "x", "secret": SECRET}), "16 to 128"),
        (seed({"id": "AKIDEXAMPLE00000", "secret": SECRET, "name": ""}), "name"),
        (seed(*[{"id": "AKIDEXAMPLE00000", "secret": SECRET}] * 2), "twice"),
    ],
)
def test_seeds_that_are_wrong_say_where_and_show_no_secret(given, message):
    with pytest.raises(SeedError, match=message) as caught:
        KMS(seed=given)
    assert SECRET not in str(caught.value)
