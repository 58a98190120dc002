"""Tags: put on keys and taken off again, listed page by page, and refused in AWS's words."""

from __future__ import annotations

import pytest

from clavero import KMS, Quotas


def tags(**pairs: str) -> list[dict[str, str]]:
    return [{"TagKey": name, "TagValue": value} for name, value in pairs.items()]


def listed(client, key_id) -> list[dict[str, str]]:
    answer = client.list_resource_tags(KeyId=key_id)
    assert answer["Truncated"] is False
    found: list[dict[str, str]] = answer["Tags"]
    return found


def test_tags_are_put_changed_and_removed(client, key):
    key_id = key["KeyId"]
    assert listed(client, key_id) == []
    assert set(client.tag_resource(KeyId=key["Arn"], Tags=tags(b="2", a=""))) == {
        "ResponseMetadata"
    }
    client.tag_resource(KeyId=key_id, Tags=tags(b="two", B="other"))  # case counts
    assert listed(client, key["Arn"]) == tags(B="other", a="", b="two")
    assert set(client.untag_resource(KeyId=key_id, TagKeys=["a", "absent", "a"])) == {
        "ResponseMetadata"
    }
    assert listed(client, key_id) == tags(B="other", b="two")
    client.tag_resource(KeyId=key_id, Tags=[])
    client.untag_resource(KeyId=key_id, TagKeys=[])
    assert listed(client, key_id) == tags(B="other", b="two")


def test_the_tags_of_create_key_are_the_key_s_alone(client):
    key_id = client.create_key(Tags=tags(team="payroll"))["KeyMetadata"]["KeyId"]
    other = client.create_key()["KeyMetadata"]["KeyId"]
    assert listed(client, key_id) == tags(team="payroll")
    assert listed(client, other) == []


def test_tags_of_many_scripts_and_the_longest_ones(client, key):
    given = tags(**{"é" * 128: "ß" * 256, "日本語": "\U0001f511", " ": "a b"})
    client.tag_resource(KeyId=key["KeyId"], Tags=given)
    assert sorted(listed(client, key["KeyId"]), key=str) == sorted(given, key=str)


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (tags(**{"aws:x": ""}), "TagException", "Tags beginning with aws: are reserved"),
        (tags(**{"AWS:x": ""}), "TagException", "Tags beginning with aws: are reserved"),
        (tags(a="1") * 2, "TagException", "Duplicate tag keys"),
        (tags(**{f"k{n}": "" for n in range(51)}), "TagException", "Too many tags"),
        (
            tags(**{"a" * 129: ""}),
            "ValidationException",
            f"1 validation error detected: Value '{'a' * 129}' at 'tags.1.member.tagKey' failed to "
            "satisfy constraint: Member must have length less than or equal to 128",
        ),
        (
            tags(a="v" * 257),
            "ValidationException",
            # AWS quotes the whole value; ours are cut, so that no answer is longer than its request
            f"1 validation error detected: Value '{'v' * 256}...' at 'tags.1.member.tagValue' "
            "failed to satisfy constraint: Member must have length less than or equal to 256",
        ),
    ],
    ids=["reserved", "RESERVED", "twice", "51", "long key", "long value"],
)
def test_tags_that_cannot_be_are_refused_in_aws_s_words(client, key, refused, given, code, text):
    client.tag_resource(KeyId=key["KeyId"], Tags=tags(kept="1"))
    assert refused(code, client.tag_resource, KeyId=key["KeyId"], Tags=given) == text
    assert listed(client, key["KeyId"]) == tags(kept="1")
    assert refused(code, client.create_key, Tags=given) == text
    assert len(client.list_keys()["Keys"]) == 1


def test_a_key_has_50_tags_at_most(client, key, refused):
    key_id = key["KeyId"]
    client.tag_resource(KeyId=key_id, Tags=tags(**{f"k{n:02}": "" for n in range(50)}))
    client.tag_resource(KeyId=key_id, Tags=tags(k00="again"))  # one that is there counts once
    text = refused("LimitExceededException", client.tag_resource, KeyId=key_id, Tags=tags(more=""))
    assert text == (
        f"A KMS key can have at most 50 tags, and {key['Arn']} has 50: "
        "remove some with UntagResource first."
    )
    client.untag_resource(KeyId=key_id, TagKeys=["k00"])
    client.tag_resource(KeyId=key_id, Tags=tags(more=""))
    assert len(listed(client, key_id)) == 50


def test_the_quota_can_be_set(refused):
    with KMS(quotas=Quotas(tags=2)) as kms:
        client = kms.client()
        given = tags(a="", b="", c="")
        assert refused("TagException", client.create_key, Tags=given) == "Too many tags"
        key_id = client.create_key(Tags=given[:2])["KeyMetadata"]["KeyId"]
        refused("LimitExceededException", client.tag_resource, KeyId=key_id, Tags=given[2:])


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_pages_cover_every_tag_once_in_order(client, key, limit):
    every = tags(**{f"k{n}": str(n) for n in range(7)})
    client.tag_resource(KeyId=key["KeyId"], Tags=every)
    seen: list[dict[str, str]] = []
    more: dict[str, str] = {}
    while True:
        page = client.list_resource_tags(KeyId=key["KeyId"], Limit=limit, **more)
        assert 0 < len(page["Tags"]) <= limit
        assert page["Truncated"] is ("NextMarker" in page)
        seen += page["Tags"]
        if not page["Truncated"]:
            break
        more = {"Marker": page["NextMarker"]}
    assert seen == every


def test_limits_and_markers_that_do_not_fit_are_refused(client, key, refused):
    key_id = key["KeyId"]
    other = client.create_key(Tags=tags(a="", b=""))["KeyMetadata"]["KeyId"]
    text = refused("ValidationException", client.list_resource_tags, KeyId=key_id, Limit=51)
    assert text == (
        "1 validation error detected: Value '51' at 'limit' failed to satisfy constraint: "
        "Member must have value less than or equal to 50"
    )
    marker = client.list_resource_tags(KeyId=other, Limit=1)["NextMarker"]
    for wrong in (marker, "x", "bm9uc2Vuc2U="):
        refused("InvalidMarkerException", client.list_resource_tags, KeyId=key_id, Marker=wrong)


def test_tags_survive_reopening_and_go_with_their_key(durable, refused):
    client = durable.client()
    key_id = client.create_key(Tags=tags(a="1"))["KeyMetadata"]["KeyId"]
    client.tag_resource(KeyId=key_id, Tags=tags(b="2"))
    durable.reopen()
    client = durable.client()
    assert listed(client, key_id) == tags(a="1", b="2")
    client.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    durable.clock.advance(7 * 86_400)
    refused("NotFoundException", client.list_resource_tags, KeyId=key_id)
    with durable.kms._store.read() as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM tags").scalar_one() == 0


def test_the_record_of_a_call_has_its_tags(deployment, client, key):
    client.tag_resource(KeyId=key["KeyId"], Tags=tags(a="1"))
    client.untag_resource(KeyId=key["KeyId"], TagKeys=["a"])
    client.list_resource_tags(KeyId=key["KeyId"])
    tagged, untagged, read = deployment.records()[-3:]
    assert tagged["requestParameters"]["tags"] == [{"tagKey": "a", "tagValue": "1"}]
    assert untagged["requestParameters"]["tagKeys"] == ["a"]
    assert [each["readOnly"] for each in (tagged, untagged, read)] == [False, False, True]
    for record in (tagged, untagged, read):
        assert [each["ARN"] for each in record["resources"]] == [key["Arn"]]
