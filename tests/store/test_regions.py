"""Rows of related multi-Region keys: found by their index, changed together."""

from __future__ import annotations

import pytest

from clavero.store import keys, regions
from clavero.store.errors import StoreError

ID = "mrk-1234abcd12ab34cd56ef1234567890ab"
NAMES = ("ap-east-1", "eu-west-1", "us-east-1")


@pytest.fixture
def related(store, make_key):
    """A primary key in us-east-1, two replicas, and keys that are none of theirs."""
    shared = {"key_id": ID, "multi_region": True}
    with store.write() as tx:
        for number, name in enumerate(NAMES):
            key = make_key(number, region=name, primary_region="us-east-1", **shared)
            keys.insert_key(tx, *key)
        other = {"region": "us-east-1", "primary_region": "us-east-1"}
        keys.insert_key(tx, *make_key(7, account="444455556666", **other, **shared))
        keys.insert_key(tx, *make_key(8, **other, **{**shared, "key_id": ID[:-1] + "0"}))
        keys.insert_key(tx, *make_key(9))
    return make_key(0)[0].account


def test_the_related_keys_are_found_by_an_index(store, related):
    with store.read() as tx:
        found = regions.related(tx, related, ID)
        assert [row.region for row in found] == list(NAMES)
        assert [row.is_replica for row in found] == [True, True, False]
        assert regions.replicas(tx, found[2]) == found[:2]
        assert regions.replicas(tx, found[0]) == [], "a replica has none"
        single = keys.page(tx, "us-east-1", related, limit=1)[0][0]
        row = keys.get(tx, "us-east-1", related, single)
        assert row is not None
        assert regions.replicas(tx, row) == []
        assert not row.is_replica
        plan = tx.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT * FROM keys WHERE account = 'a' AND key_id = 'b' "
            "AND primary_region IS NOT NULL ORDER BY region"
        ).fetchall()
        assert any("ix_keys_account_key_id" in row[3] for row in plan), plan


def test_what_is_shared_changes_everywhere(store, related):
    with store.write() as tx:
        keys.set_rotation(tx, "us-east-1", related, ID, 90, 5.0)
        primary = keys.get(tx, "us-east-1", related, ID)
        assert primary is not None
        regions.copy_rotation(tx, primary)
        dates = {
            (row.rotation_period, row.next_rotation) for row in regions.related(tx, related, ID)
        }
        assert dates == {(90, 5.0)}
        # Only the primary key is due by itself
        assert [row.region for row in keys.rotation_due(tx, 9.0, limit=9)] == ["us-east-1"]
        keys.set_enabled(tx, "us-east-1", related, ID, False)
        assert keys.rotation_due(tx, 9.0, limit=9) == []
        assert keys.next_rotation(tx) is None
        regions.set_primary(tx, related, ID, "eu-west-1")
        found = regions.related(tx, related, ID)
        assert {row.primary_region for row in found} == {"eu-west-1"}
        assert [row.region for row in keys.rotation_due(tx, 9.0, limit=9)] == ["eu-west-1"]
        others = [
            keys.get(tx, "us-east-1", "444455556666", ID),
            keys.get(tx, "us-east-1", related, ID[:-1] + "0"),
        ]
        for other in others:
            assert other is not None
            assert (other.primary_region, other.rotation_period) == ("us-east-1", None)


def test_a_primary_key_waits_without_a_date(store, related):
    one = ("us-east-1", related, ID)
    with store.write() as tx:
        assert keys.schedule_deletion(tx, *one, None, 7)
        row = keys.get(tx, *one)
        assert row is not None
        assert (row.enabled, row.deletion_date, row.pending_window) == (False, None, 7)
        assert keys.next_due(tx) is None
        assert not keys.schedule_deletion(tx, *one, 9.0, 8), "once is enough"
        assert not keys.set_enabled(tx, *one, True)
        assert keys.cancel_deletion(tx, *one)
        assert not keys.cancel_deletion(tx, *one)
        assert not regions.begin_waiting(tx, row, 9.0), "it waits no more"
        assert keys.schedule_deletion(tx, *one, None, 8)
        assert regions.begin_waiting(tx, row, 9.0)
        assert not regions.begin_waiting(tx, row, 10.0)
        assert keys.next_due(tx) == 9.0
        row = keys.get(tx, *one)
        assert row is not None
        assert (row.deletion_date, row.pending_window) == (9.0, 8)


@pytest.mark.parametrize(
    "changes",
    [
        {"multi_region": True},
        {"primary_region": "us-east-1"},
        {"pending_window": 7},  # enabled
    ],
)
def test_rows_that_no_key_has_are_refused(store, make_key, changes):
    with pytest.raises(StoreError), store.write() as tx:
        keys.insert_key(tx, *make_key(1, **changes))
