"""Tags of keys: TagResource, UntagResource, ListResourceTags, and the rules for CreateKey's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from clavero.model import errors
from clavero.ops import states
from clavero.ops.call import Call, Response
from clavero.ops.context import OpsContext, limit_of
from clavero.ops.registry import Handler, by_key_id
from clavero.store import tags
from clavero.store.errors import StoreConflict

RESERVED: Final = "aws:"
# AWS KMS API reference, ListResourceTags: Limit (the model allows 1000, as for other lists).
MAX_PAGE: Final = 50


def checked(pairs: Iterable[Mapping[str, str]], most: int) -> dict[str, str]:
    """The tags of a request by tag key; TagException for tags that no key has."""
    given: dict[str, str] = {}
    for pair in pairs:
        tag_key = pair["TagKey"]
        if tag_key[: len(RESERVED)].lower() == RESERVED:
            raise errors.reserved_tag()
        if tag_key in given:
            raise errors.duplicate_tags()
        given[tag_key] = pair["TagValue"]
    if len(given) > most:
        raise errors.too_many_tags()
    return given


def tag_resource(context: OpsContext, call: Call) -> Response:
    """TagResource: a tag key that is there gets the new value."""
    row = call.keys[0].row
    named = (row.region, row.account, row.key_id)
    most = context.quotas.tags
    given = checked(call.params["Tags"], most)
    with context.store.write() as tx:
        before = tags.of_key(tx, *named)
        if len(before.keys() | given.keys()) > most:
            raise errors.limit_exceeded(
                f"A KMS key can have at most {most} tags, and {call.keys[0].arn} has "
                f"{len(before)}: remove some with UntagResource first."
            )
        try:
            tags.put(tx, *named, given)
        except StoreConflict:  # the key was erased meanwhile
            raise errors.key_not_found(call.keys[0].arn) from None
    context.directory.touched(call.keys[0])
    return {}


def untag_resource(context: OpsContext, call: Call) -> Response:
    """UntagResource: a tag key that is not there is passed over."""
    row = call.keys[0].row
    with context.store.write() as tx:
        tags.remove(tx, row.region, row.account, row.key_id, call.params["TagKeys"])
    context.directory.touched(call.keys[0])
    return {}


def list_resource_tags(context: OpsContext, call: Call) -> Response:
    """ListResourceTags: in order of tag key."""
    row = call.keys[0].row
    limit = limit_of(call, MAX_PAGE, MAX_PAGE)
    after = context.marker(call)
    with context.store.read() as tx:
        found, more = tags.page(tx, row.region, row.account, row.key_id, limit=limit, after=after)
    answer: Response = {
        "Tags": [{"TagKey": tag_key, "TagValue": value} for tag_key, value in found],
        "Truncated": more,
    }
    if more:
        answer["NextMarker"] = context.next_marker(call, found[-1][0])
    return answer


HANDLERS: Final = (
    Handler("TagResource", tag_resource, resolve=by_key_id(), states=states.NOT_DELETED),
    Handler("UntagResource", untag_resource, resolve=by_key_id(), states=states.NOT_DELETED),
    Handler("ListResourceTags", list_resource_tags, resolve=by_key_id(), states=states.ANY),
)
