"""Pages: complete, in order, and by markers that are good where they were given only."""

from __future__ import annotations

import base64

import pytest

from clavero.model import managed


@pytest.fixture
def many(client):
    """Seven keys, with an alias each."""
    ids = [client.create_key()["KeyMetadata"]["KeyId"] for _ in range(7)]
    for number, key_id in enumerate(ids):
        client.create_alias(AliasName=f"alias/{number}", TargetKeyId=key_id)
    return ids


def pages(method, member, **params):
    found = []
    while True:
        answer = method(**params)
        found.append(answer[member])
        assert set(answer) == {member, "Truncated", "ResponseMetadata"} | (
            {"NextMarker"} if answer["Truncated"] else set()
        )
        if not answer["Truncated"]:
            return found
        params["Marker"] = answer["NextMarker"]


@pytest.mark.parametrize("limit", [1, 3, 6, 7, 1000])
def test_pages_are_complete_and_in_order(client, many, arn, limit):
    found = pages(client.list_keys, "Keys", Limit=limit)
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
    flat = [each for page in found for each in page]
    assert flat == [{"KeyId": key_id, "KeyArn": arn(f"key/{key_id}")} for key_id in sorted(many)]
    if limit <= 100:
        found = pages(client.list_aliases, "Aliases", Limit=limit)
        assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
        names = [each["AliasName"] for page in found for each in page]
        assert names == [*(f"alias/{number}" for number in range(7)), *managed.PREDEFINED]


def test_the_default_page_is_aws_s(client):
    for number in range(51):
        if number in {0, 50}:  # a key has 50 aliases at most
            key_id = client.create_key()["KeyMetadata"]["KeyId"]
        client.create_alias(AliasName=f"alias/{number:02}", TargetKeyId=key_id)
    first, second = pages(client.list_aliases, "Aliases")
    assert (len(first), len(second)) == (50, 1 + len(managed.PREDEFINED))


def test_a_page_goes_on_where_it_stopped_whatever_is_made_or_deleted_meanwhile(client, many):
    first = client.list_aliases(Limit=3)
    client.delete_alias(AliasName="alias/2")  # the one that the marker stands on
    client.create_alias(AliasName="alias/1b", TargetKeyId=many[0])
    rest = client.used_aliases(Marker=first["NextMarker"])
    assert [each["AliasName"] for each in rest] == [f"alias/{n}" for n in range(3, 7)]


def test_a_marker_is_good_where_it_was_given_only(deployment, client, many, refused):
    keys = client.list_keys(Limit=2)["NextMarker"]
    aliases = client.list_aliases(Limit=2)["NextMarker"]
    client.create_alias(AliasName="alias/second", TargetKeyId=many[0])
    of_one = client.list_aliases(KeyId=many[0], Limit=1)["NextMarker"]
    client.list_keys(Marker=keys)
    client.list_aliases(Marker=aliases)
    client.list_aliases(KeyId=many[0], Marker=of_one)

    other_account = deployment.client(account="111122223333")
    other_region = deployment.client(region="eu-west-1")
    for elsewhere in (other_account, other_region):
        elsewhere.create_key()
    for method, params in (
        (client.list_aliases, {"Marker": keys}),
        (client.list_keys, {"Marker": aliases}),
        (client.list_aliases, {"Marker": of_one}),
        (client.list_aliases, {"Marker": of_one, "KeyId": many[1]}),
        (client.list_aliases, {"Marker": aliases, "KeyId": many[0]}),
        (other_account.list_keys, {"Marker": keys}),
        (other_region.list_keys, {"Marker": keys}),
        (other_account.list_aliases, {"Marker": aliases}),
    ):
        assert refused("InvalidMarkerException", method, **params) == ""


def test_every_changed_byte_of_a_marker_is_noticed(client, many, refused):
    marker = base64.b64decode(client.list_keys(Limit=2)["NextMarker"])
    for index in range(len(marker)):
        changed = bytearray(marker)
        changed[index] ^= 1
        refused(
            "InvalidMarkerException",
            client.list_keys,
            Marker=base64.b64encode(changed).decode(),
        )
    for bad in ("x", "====", "AAAA", many[0], "é", base64.b64encode(marker[:-1]).decode()):
        refused("InvalidMarkerException", client.list_keys, Marker=bad)


def test_a_marker_tells_nothing_of_the_key_that_it_stands_on(client, many):
    marker = client.list_keys(Limit=2)["NextMarker"]
    last = sorted(many)[1]
    assert last.encode() not in base64.b64decode(marker)
    assert marker != client.list_keys(Limit=2)["NextMarker"]


def test_a_marker_lives_over_reopening_and_a_rotation_of_the_domain_key(durable):
    client = durable.client()
    ids = sorted(client.create_key()["KeyMetadata"]["KeyId"] for _ in range(3))
    marker = client.list_keys(Limit=1)["NextMarker"]
    durable.kms.rotate_domain_keys()
    durable.reopen()
    rest = durable.client().list_keys(Marker=marker)["Keys"]
    assert [each["KeyId"] for each in rest] == ids[1:]


def test_limits_and_owners_out_of_range(client, many, refused):
    refused("ValidationException", client.list_keys, Limit=1001)
    refused("ValidationException", client.list_aliases, Limit=101)
    assert len(client.list_keys(ResourceOwners=["SELF"])["Keys"]) == 7
    for owners in (["OTHER_ACCOUNTS_VIA_RAM"], ["SELF", "OTHER_ACCOUNTS_VIA_RAM"]):
        refused("UnsupportedOperationException", client.list_keys, ResourceOwners=owners)
