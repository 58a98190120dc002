"""Changing the row of a key: durably first, then in memory, in the order of the commits."""

from __future__ import annotations

from typing import Any

from clavero.model import errors
from clavero.ops import related, states
from clavero.ops.call import Call
from clavero.ops.context import OpsContext
from clavero.store import keys, regions
from clavero.store.keys import KeyRow


def change_key(
    context: OpsContext, call: Call, change: Any, *values: Any, shared: bool = False
) -> KeyRow:
    """Change the row of the call's key, and give it as it is after that.

    `change(tx, region, account, key_id, *values)` says whether it could. Where it could not,
    another call has changed the key's state since this one checked it: the call is refused. Where
    it is about what a multi-Region key shares, its replicas follow at once.
    """
    key = call.keys[0]
    named = (key.row.region, key.row.account, key.row.key_id)
    followers: list[KeyRow] = []
    with context.directory.order:
        with context.store.write() as tx:
            before = keys.get(tx, *named)
            if before is None:
                raise errors.key_not_found(key.arn)
            if not change(tx, *named, *values):
                context.directory.changed(key, before)
                raise states.refusal(call.operation.name, key, key.state)
            row = keys.get(tx, *named)
            if row is None:
                raise errors.key_not_found(key.arn)
            if shared and row.primary_region is not None:
                regions.copy_rotation(tx, row)
                followers = regions.replicas(tx, row)
        context.directory.changed(key, row)
        for follower in followers:
            context.directory.take_over(follower)
    if followers:
        related.synchronized(call, row)
    return row
