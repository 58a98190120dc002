"""`clavero key ...` and `clavero alias ...`."""

from __future__ import annotations

import pytest

from clavero.cli import keys
from clavero.model import managed


def used_aliases(cli):
    """What `alias list` gives beside the predefined names that nobody has used."""
    return [each for each in cli.json("alias", "list")["Aliases"] if "TargetKeyId" in each]


def test_a_key_is_made_with_what_was_said_of_it(cli):
    made = cli.json(
        "key", "create", "--description", "für Löhne", "--alias", "alias/pay", "--tag", "team=hr"
    )
    assert made["AliasName"] == "alias/pay"
    assert made["KeyMetadata"]["Description"] == "für Löhne"
    assert made["KeyMetadata"]["KeyState"] == "Enabled"
    assert "ResponseMetadata" not in made
    described = cli.json("key", "describe", "alias/pay")
    assert described == {"KeyMetadata": made["KeyMetadata"]}


def test_a_record_is_printed_a_member_a_line(cli):
    key_id = cli.key()
    lines = dict(line.split(maxsplit=1) for line in cli("key", "describe", key_id).text.splitlines()
                 if " " in line)  # fmt: skip
    assert lines["KeyId"] == key_id
    assert lines["Enabled"] == "yes"
    assert lines["EncryptionAlgorithms"] == "SYMMETRIC_DEFAULT"


def test_an_alias_that_cannot_be_given_says_which_key_was_made(cli):
    cli.key("--alias", "alias/one")
    refused = cli("key", "create", "--alias", "alias/one", code=1)
    (made,) = {k["KeyId"] for k in cli.json("key", "list")["Keys"]} - {
        a.get("TargetKeyId") for a in cli.json("alias", "list")["Aliases"]
    }
    assert made in refused.err
    assert "(AlreadyExistsException)" in refused.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--alias", "pay"], "alias/pay"),
        (["--tag", "team"], "NAME=VALUE"),
        (["--tag", "=x"], "NAME=VALUE"),
        (["--tag", "a=1", "--tag", "a=2"], "twice"),
    ],
)
def test_a_key_is_not_made_of_nonsense(cli, arguments, word):
    assert word in cli("key", "create", *arguments, code=2).err
    assert not cli.data.exists()


def test_reading_makes_no_store(cli):
    for command in (["key", "list"], ["status"], ["alias", "list"], ["rotate-domain-keys"]):
        assert "There is no store in" in cli(*command, code=1).err
    assert not cli.data.exists()


def test_all_pages_are_listed(cli, monkeypatch):
    ids = {cli.key("--alias", f"alias/{n}") for n in range(5)}
    real = keys.pages

    def small(ask, member, **params):
        return real(ask, member, **{**params, "Limit": 2})

    monkeypatch.setattr(keys, "pages", small)
    assert {k["KeyId"] for k in cli.json("key", "list")["Keys"]} == ids
    assert len(used_aliases(cli)) == 5
    assert len(cli("key", "list").text.splitlines()) == 6


def test_details_name_state_aliases_and_description(cli):
    key_id = cli.key("--alias", "alias/b", "--description", "[bold]x")
    cli("alias", "create", "alias/a", key_id)
    (key,) = cli.json("key", "list", "--details")["Keys"]
    assert (key["KeyState"], key["Aliases"]) == ("Enabled", ["alias/a", "alias/b"])
    header, line = cli("key", "list", "--details").text.splitlines()
    assert header.split() == ["KeyId", "KeyState", "Aliases", "Description"]
    assert line.split() == [key_id, "Enabled", "alias/a,", "alias/b", "[bold]x"]


def test_others_words_cannot_steer_the_terminal(cli):
    cli.key("--description", "a\x1b[31mb")
    assert "a\\x1b[31mb" in cli("key", "list", "--details").text


def test_disable_and_enable(cli):
    key_id = cli.key()
    assert cli("key", "disable", key_id).out == b""
    assert cli.json("key", "describe", key_id)["KeyMetadata"]["KeyState"] == "Disabled"
    refused = cli("encrypt", "--key", key_id, stdin=b"x", code=1).err
    assert refused.startswith("An error occurred (DisabledException) when calling the Encrypt")
    assert cli.json("key", "enable", key_id) == {}
    assert cli.json("key", "describe", key_id)["KeyMetadata"]["Enabled"] is True


def test_update_description(cli):
    key_id = cli.key()
    cli("key", "update-description", key_id, "new words")
    assert cli.json("key", "describe", key_id)["KeyMetadata"]["Description"] == "new words"


def test_deletion_is_scheduled_and_cancelled(cli):
    key_id = cli.key()
    scheduled = cli.json("key", "schedule-deletion", key_id, "--days", "7")
    assert scheduled["KeyState"] == "PendingDeletion"
    assert scheduled["PendingWindowInDays"] == 7
    assert scheduled["DeletionDate"].endswith("+00:00")
    assert "(KMSInvalidStateException)" in cli("key", "enable", key_id, code=1).err
    assert cli.json("key", "cancel-deletion", key_id)["KeyId"].endswith(key_id)
    assert "DeletionDate" not in cli.json("key", "describe", key_id)["KeyMetadata"]
    assert (
        "(ValidationException)"
        in cli("key", "schedule-deletion", key_id, "--days", "3", code=1).err
    )


def test_aliases_come_move_and_go(cli):
    one, two = cli.key(), cli.key()
    cli("alias", "create", "alias/app", one)
    cli("alias", "update", "alias/app", two)
    (alias,) = used_aliases(cli)
    assert (alias["AliasName"], alias["TargetKeyId"]) == ("alias/app", two)
    assert cli.json("alias", "list", "--key", one) == {"Aliases": []}
    assert cli.json("alias", "list", "--key", two) == {"Aliases": [alias]}
    header, line, *predefined = cli("alias", "list").text.splitlines()
    assert [each.split()[0] for each in predefined] == list(managed.PREDEFINED)
    assert header.split() == ["AliasName", "TargetKeyId", "AliasArn"]
    assert line.split() == ["alias/app", two, alias["AliasArn"]]
    assert cli.json("alias", "delete", "alias/app") == {}
    assert used_aliases(cli) == []
    assert "(NotFoundException)" in cli("alias", "delete", "alias/app", code=1).err
    assert "(ValidationException)" in cli("alias", "create", "app", one, code=1).err


def test_a_key_that_is_not_there(cli):
    cli.key()
    for name in ("nope", "alias/nope", "arn:aws:kms:us-east-1:000000000000:key/nope"):
        assert "(NotFoundException)" in cli("key", "describe", name, code=1).err
    assert "Invalid length for parameter KeyId" in cli("key", "describe", "", code=2).err


def test_accounts_and_regions_have_their_own_keys(cli):
    cli.key()
    cli.key("--account", "111122223333")
    cli.key("--region", "eu-west-1")
    for place in ([], ["--account", "111122223333"], ["--region=eu-west-1"]):
        (key,) = cli.json("key", "list", *place)["Keys"]
        assert place == [] or place[-1].split("=")[-1] in key["KeyArn"]


def test_a_principal_without_permission_is_refused(cli):
    key_id = cli.key()
    refused = cli(
        "--principal", "arn:aws:iam::000000000000:user/eve", "key", "describe", key_id, code=1
    ).err
    assert "(AccessDeniedException)" in refused
    assert "user/eve" in refused
