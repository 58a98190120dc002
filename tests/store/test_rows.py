"""Keys, versions, aliases, tags, domains and meta: what goes in comes out, and rules hold."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from clavero.store import aliases, domains, grants, keys, meta, schema, tags, usage, versions
from clavero.store.aliases import AliasRow
from clavero.store.domains import DomainRow
from clavero.store.errors import StoreConflict, StoreError
from clavero.store.grants import GrantRow
from clavero.store.keys import KeyRow
from clavero.store.usage import UsageRow
from clavero.store.versions import VersionRow

REGION, ACCOUNT = "us-east-1", "111122223333"


def named(key: KeyRow) -> tuple[str, str, str]:
    return key.region, key.account, key.key_id


def alias_of(key: KeyRow, name: str) -> AliasRow:
    return AliasRow(key.region, key.account, name, key.key_id, 1.0, 1.0)


@pytest.mark.parametrize(
    ("row", "table"),
    [
        (KeyRow, schema.keys),
        (VersionRow, schema.key_versions),
        (AliasRow, schema.aliases),
        (DomainRow, schema.domains),
        (GrantRow, schema.grants),
        (UsageRow, schema.last_usage),
    ],
)
def test_row_classes_have_the_tables_columns_in_order(row, table):
    assert [each.name for each in fields(row)] == [column.name for column in table.c]


def test_a_key_comes_back_as_it_went_in(store, make_key):
    key, version = make_key(1, description="für\n' \u2028 \U0001f511", policy='{"a":"b"}')
    with store.write() as tx:
        keys.insert_key(tx, key, version)
    with store.read() as tx:
        assert keys.get(tx, *named(key)) == key
        assert versions.get(tx, REGION, version.hbkid) == version
        assert versions.of_key(tx, *named(key)) == [version]
        assert keys.get(tx, "eu-west-1", ACCOUNT, key.key_id) is None
        assert keys.get(tx, REGION, "444455556666", key.key_id) is None
        assert versions.get(tx, "eu-west-1", version.hbkid) is None


def test_the_same_key_id_in_another_account_and_region_is_another_key(store, make_key):
    with store.write() as tx:
        keys.insert_key(tx, *make_key(1))
        keys.insert_key(tx, *make_key(1, region="eu-west-1"))
        other, version = make_key(2, account="444455556666", key_id=make_key(1)[0].key_id)
        keys.insert_key(tx, other, version)
        assert keys.erase(tx, *named(other))
        assert keys.count(tx) == 2


def test_a_taken_key_id_or_version_is_a_conflict_and_nothing_stays(store, make_key):
    with store.write() as tx:
        keys.insert_key(tx, *make_key(1))
    with pytest.raises(StoreConflict, match="already"), store.write() as tx:
        keys.insert_key(tx, *make_key(1))
    key, version = make_key(2, current_version=make_key(1)[0].current_version)
    with pytest.raises(StoreConflict), store.write() as tx:
        keys.insert_key(tx, key, replace(version, hbkid=key.current_version))
    with pytest.raises(StoreConflict, match="rows 1 to 2"), store.write() as tx:
        keys.insert_many(tx, [make_key(3), make_key(1)])
    with store.read() as tx:
        assert keys.count(tx) == 1


def test_a_version_must_belong_to_its_key(store, make_key):
    key, _ = make_key(1)
    _, version = make_key(2)
    with pytest.raises(ValueError, match="not the current version"), store.write() as tx:
        keys.insert_key(tx, key, version)
    with pytest.raises(StoreConflict), store.write() as tx:
        versions.insert_version(tx, version)


@pytest.mark.parametrize(
    "changes",
    [
        {"account": "1"},
        {"key_id": ""},
        {"region": ""},
        {"current_version": b"short"},
        {"deletion_date": 5.0, "pending_window": 7},  # and still enabled
        {"deletion_date": 5.0, "enabled": False},  # without its window
        {"rotation_period": 365},  # without its date
    ],
)
def test_rows_that_break_a_rule_are_refused(store, make_key, changes):
    key, version = make_key(1, **changes)
    assert key.current_version is not None
    version = replace(version, hbkid=key.current_version)
    with pytest.raises(StoreError), store.write() as tx:
        keys.insert_key(tx, key, version)
    with store.read() as tx:
        assert keys.count(tx) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"token": b""},
        {"token": None},  # and still with a domain key
        {"domain_key_id": b"x"},
        {"material_id": "x"},
        {"number": 0},
        {"state": "OLD"},
        {"rotation_type": "AUTOMATIC"},  # without its date
    ],
)
def test_versions_that_break_a_rule_are_refused(store, make_key, changes):
    key, version = make_key(1)
    with pytest.raises(StoreError), store.write() as tx:
        keys.insert_key(tx, key, replace(version, **changes))


def test_an_exception_undoes_the_transaction_and_errors_show_no_values(store, make_key):
    key, version = make_key(1, policy="a secret policy")

    def stop() -> None:
        with store.write() as tx:
            keys.insert_key(tx, key, version)
            raise KeyError("stop")

    with pytest.raises(KeyError):
        stop()
    with store.write() as tx:
        assert keys.count(tx) == 0
    with pytest.raises(StoreError) as caught, store.write() as tx:
        keys.insert_key(tx, *make_key(1, account="1", policy="a secret policy"))
    assert caught.value.__cause__ is not None
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"


def test_a_reading_transaction_cannot_write(store, make_key):
    with pytest.raises(StoreError), store.read() as tx:
        keys.insert_key(tx, *make_key(1))
    with store.write() as tx:
        assert keys.count(tx) == 0
        keys.insert_key(tx, *make_key(1))
    with store.read() as tx:
        assert keys.count(tx) == 1


@pytest.mark.parametrize("limit", [1, 3, 10, 11])
def test_pages_of_keys_cover_every_key_once_in_order(store, make_key, limit):
    pairs = [make_key(number) for number in (7, 3, 9, 1, 5, 2, 8, 4, 6, 10)]
    with store.write() as tx:
        keys.insert_many(tx, pairs, chunk=4)
        keys.insert_key(tx, *make_key(11, region="eu-west-1"))
        keys.insert_key(tx, *make_key(12, account="444455556666"))
    seen: list[str] = []
    more = True
    with store.read() as tx:
        while more:
            ids, more = keys.page(tx, REGION, ACCOUNT, limit=limit, after=seen[-1] if seen else "")
            assert 0 < len(ids) <= limit  # "more" is never said in vain
            seen += ids
    assert seen == sorted(key.key_id for key, _ in pairs)


def test_fields_of_a_key_change_alone(store, make_key):
    key, version = make_key(1)
    other = make_key(2)
    second = replace(version, hbkid=b"2" * 16, created=2000.0, number=2, state="NON_CURRENT")
    with store.write() as tx:
        keys.insert_key(tx, key, version)
        keys.insert_key(tx, *other)
        assert keys.set_enabled(tx, *named(key), False)
        assert keys.set_description(tx, *named(key), "new")
        assert keys.set_policy(tx, *named(key), "{1}")
        versions.insert_version(tx, second)
        assert keys.set_current_version(tx, *named(key), second.hbkid)
        assert not keys.set_description(tx, REGION, ACCOUNT, "absent", "new")
    with store.read() as tx:
        assert keys.get(tx, *named(key)) == replace(
            key, enabled=False, description="new", policy="{1}", current_version=second.hbkid
        )
        assert versions.of_key(tx, *named(key)) == [version, second]
        assert keys.get(tx, *named(other[0])) == other[0]


def test_deletion_is_scheduled_cancelled_and_found_when_due(store, make_key):
    pairs = [make_key(number) for number in range(4)]
    first, second, third, _ = (key for key, _ in pairs)
    with store.write() as tx:
        keys.insert_many(tx, pairs)
        assert keys.next_due(tx) is None
        for key, date in ((first, 300.0), (second, 100.0), (third, 200.0)):
            assert keys.schedule_deletion(tx, *named(key), date, 7)
        assert not keys.set_enabled(tx, *named(first), True)
        assert not keys.schedule_deletion(tx, REGION, ACCOUNT, "absent", 1.0, 7)
    with store.read() as tx:
        stored = keys.get(tx, *named(first))
        assert stored == replace(first, enabled=False, deletion_date=300.0, pending_window=7)
        assert keys.next_due(tx) == 100.0
        assert keys.due(tx, 99.9) == []
        assert [key.key_id for key in keys.due(tx, 200.0)] == [second.key_id, third.key_id]
        assert [key.key_id for key in keys.due(tx, 999.0, limit=1)] == [second.key_id]
    with store.write() as tx:
        assert keys.cancel_deletion(tx, *named(second))
        assert not keys.cancel_deletion(tx, *named(second))
        assert keys.get(tx, *named(second)) == replace(second, enabled=False)
        assert keys.next_due(tx) == 200.0


def test_erasing_a_key_takes_everything_of_it_and_nothing_else(store, make_key):
    (key, version), (other, other_version) = make_key(1), make_key(2)
    with store.write() as tx:
        for pair in ((key, version), (other, other_version)):
            keys.insert_key(tx, *pair)
            aliases.insert_alias(tx, alias_of(pair[0], f"alias/{pair[0].key_id}"))
            tags.put(tx, *named(pair[0]), {"a": "1"})
    with store.write() as tx:
        assert keys.erase(tx, *named(key))
        assert not keys.erase(tx, *named(key))
    with store.read() as tx:
        assert keys.get(tx, *named(key)) is None
        assert versions.get(tx, REGION, version.hbkid) is None
        assert aliases.get(tx, REGION, ACCOUNT, f"alias/{key.key_id}") is None
        assert tags.of_key(tx, *named(key)) == {}
        assert versions.get(tx, REGION, other_version.hbkid) == other_version
        assert aliases.get(tx, REGION, ACCOUNT, f"alias/{other.key_id}") is not None
        assert tags.of_key(tx, *named(other)) == {"a": "1"}


def test_rewrap_walks_replaces_and_counts(store, make_key):
    new = b"N" * 16
    pairs = [make_key(number) for number in range(7)]
    with store.write() as tx:
        keys.insert_many(tx, pairs)
    seen: list[bytes] = []
    with store.write() as tx:
        while batch := versions.sealed_under(tx, REGION, b"D" * 16, limit=3):
            assert len(batch) <= 3
            for each in batch:
                seen.append(each.hbkid)
                assert each.token is not None
                assert versions.replace_token(
                    tx, REGION, each.hbkid, expected=each.token, token=b"new", domain_key_id=new
                )
        assert seen == sorted(version.hbkid for _, version in pairs)
        assert versions.count_under(tx, REGION, b"D" * 16) == 0
        assert versions.count_under(tx, REGION, new) == 7
        assert versions.count_under(tx, "eu-west-1", new) == 0
        later = versions.sealed_under(tx, REGION, new, limit=99, after=seen[2])
        assert [each.hbkid for each in later] == seen[3:]


def test_a_token_is_replaced_only_when_it_is_the_expected_one(store, make_key):
    key, version = make_key(1)
    with store.write() as tx:
        keys.insert_key(tx, key, version)
        assert not versions.replace_token(
            tx, REGION, version.hbkid, expected=b"stale", token=b"new", domain_key_id=b"N" * 16
        )
        assert not versions.replace_token(
            tx, REGION, b"0" * 16, expected=version.token, token=b"new", domain_key_id=b"N" * 16
        )
        assert versions.get(tx, REGION, version.hbkid) == version


def test_aliases(store, make_key):
    (key, version), (other, other_version) = make_key(1), make_key(2)
    with store.write() as tx:
        keys.insert_key(tx, key, version)
        keys.insert_key(tx, other, other_version)
        for name in ("alias/c", "alias/a", "alias/b"):
            aliases.insert_alias(tx, alias_of(key, name))
        aliases.insert_alias(tx, alias_of(other, "alias/ab"))
    for bad in (
        alias_of(key, "alias/a"),
        replace(alias_of(key, "alias/z"), key_id="absent"),
        alias_of(key, "no-prefix"),
    ):
        with pytest.raises(StoreConflict), store.write() as tx:
            aliases.insert_alias(tx, bad)
    with pytest.raises(StoreConflict), store.write() as tx:
        aliases.retarget(tx, REGION, ACCOUNT, "alias/a", "absent", 2.0)
    with store.write() as tx:
        rows, more = aliases.page(tx, REGION, ACCOUNT, limit=2)
        assert ([row.name for row in rows], more) == (["alias/a", "alias/ab"], True)
        rows, more = aliases.page(tx, REGION, ACCOUNT, limit=2, after="alias/ab")
        assert ([row.name for row in rows], more) == (["alias/b", "alias/c"], False)
        rows, more = aliases.page(tx, REGION, ACCOUNT, limit=2, key_id=key.key_id)
        assert ([row.name for row in rows], more) == (["alias/a", "alias/b"], True)
        assert aliases.retarget(tx, REGION, ACCOUNT, "alias/a", other.key_id, 2.0)
        moved = aliases.get(tx, REGION, ACCOUNT, "alias/a")
        assert moved == replace(alias_of(other, "alias/a"), updated=2.0)
        assert not aliases.retarget(tx, REGION, ACCOUNT, "alias/x", key.key_id, 2.0)
        assert aliases.remove(tx, REGION, ACCOUNT, "alias/a")
        assert not aliases.remove(tx, REGION, ACCOUNT, "alias/a")
        assert aliases.get(tx, "eu-west-1", ACCOUNT, "alias/b") is None


def test_tags(store, make_key):
    key, version = make_key(1)
    with store.write() as tx:
        keys.insert_key(tx, key, version)
        tags.put(tx, *named(key), {"b": "2", "a": "1", "c": ""})
        tags.put(tx, *named(key), {"b": "two"})
        tags.put(tx, *named(key), {})
        tags.remove(tx, *named(key), ["c", "absent"])
        tags.put(tx, *named(key), {"d": "4"})
        assert tags.of_key(tx, *named(key)) == {"a": "1", "b": "two", "d": "4"}
        assert tags.page(tx, *named(key), limit=2) == ([("a", "1"), ("b", "two")], True)
        assert tags.page(tx, *named(key), limit=2, after="b") == ([("d", "4")], False)
    with pytest.raises(StoreConflict), store.write() as tx:
        tags.put(tx, REGION, ACCOUNT, "absent", {"a": "1"})


def test_a_key_without_material_is_no_use_and_gets_it_later(store, make_key):
    key, version = make_key(1, current_version=None, enabled=False, origin="EXTERNAL")
    with store.write() as tx:
        with pytest.raises(ValueError, match="not the current version"):
            keys.insert_key(tx, key, version)
        keys.insert_key(tx, key, None)
        assert keys.get(tx, *named(key)) == key
        assert versions.last_number(tx, *named(key)) == 0
    with pytest.raises(StoreError), store.write() as tx:
        keys.set_enabled(tx, *named(key), True)
    with store.write() as tx:
        versions.insert_version(tx, version)
        assert keys.set_current_version(tx, *named(key), version.hbkid)
        assert keys.set_enabled(tx, *named(key), True)
        gone = replace(version, hbkid=b"g" * 16, number=2, token=None, domain_key_id=None,
                       state="PENDING_ROTATION", import_state="PENDING_IMPORT")  # fmt: skip
        versions.insert_version(tx, gone)
        assert versions.get(tx, REGION, gone.hbkid) == gone
        assert keys.erase(tx, *named(key))
    key, version = make_key(2)
    with pytest.raises(ValueError, match="is not given"), store.write() as tx:
        keys.insert_key(tx, key, None)


def test_rotations_are_due_in_order_paged_and_counted(store, make_key):
    pairs = [make_key(number) for number in range(4)]
    first, second, third, fourth = (key for key, _ in pairs)
    with store.write() as tx:
        keys.insert_many(tx, pairs)
        assert keys.next_rotation(tx) is None
        for key, date in ((first, 30.0), (second, 10.0), (third, 20.0), (fourth, 5.0)):
            assert keys.set_rotation(tx, *named(key), 90, date)
        assert not keys.set_rotation(tx, REGION, ACCOUNT, "absent", 90, 1.0)
        assert keys.set_enabled(tx, *named(fourth), False)
        assert keys.next_rotation(tx) == 10.0
        assert [each.key_id for each in keys.rotation_due(tx, 20.0, limit=9)] == [
            second.key_id,
            third.key_id,
        ]
        assert len(keys.rotation_due(tx, 99.0, limit=2)) == 2
        assert keys.set_rotation(tx, *named(second), None, None)
        assert keys.next_rotation(tx) == 20.0
        stored = [pairs[0][1]]
        for number in range(2, 6):
            versions.retire_current(tx, *named(first))
            assert versions.last_number(tx, *named(first)) == number - 1
            kind = "ON_DEMAND" if number % 2 else "AUTOMATIC"
            stored[-1] = replace(stored[-1], state="NON_CURRENT")
            stored.append(
                replace(
                    stored[0],
                    hbkid=bytes([90 - number]) * 16,
                    number=number,
                    state="CURRENT",
                    rotation_type=kind,
                    rotated=7.0,
                )
            )
            versions.insert_version(tx, stored[-1])
        assert versions.of_key(tx, *named(first)) == stored
        assert versions.count_rotations(tx, *named(first), "ON_DEMAND") == 2
        page = versions.page(tx, *named(first), limit=2, rotations_only=True)
        assert page == (stored[1:3], True)
        page = versions.page(tx, *named(first), limit=2, after=3, rotations_only=True)
        assert page == (stored[3:], False)
        page = versions.page(tx, *named(first), limit=9, rotations_only=False)
        assert page == (stored, False)
        assert versions.get(tx, REGION, pairs[1][1].hbkid) == pairs[1][1]
    with pytest.raises(StoreConflict), store.write() as tx:
        versions.insert_version(tx, replace(stored[0], hbkid=b"n" * 16))  # its number is taken


def test_grants(store, make_key):
    pairs = [make_key(number) for number in range(2)]
    key, other = (key for key, _ in pairs)

    def grant(of: KeyRow, number: int, **changes: str | None) -> GrantRow:
        made = GrantRow(
            *named(of), f"{number:064x}", None, "arn:a", None, "arn:r", None, '["Encrypt"]', None,
            ACCOUNT, 1.0,
        )  # fmt: skip
        return replace(made, **changes)  # type: ignore[arg-type]

    every = [grant(key, number, name="n" if number % 2 else None) for number in range(5)]
    foreign = grant(other, 1, grantee="arn:b", constraints='{"SourceArn":"arn:x"}')
    with store.write() as tx:
        keys.insert_many(tx, pairs)
        for each in (*every, foreign):
            grants.insert_grant(tx, each)
        assert grants.get(tx, *named(key), every[3].grant_id) == every[3]
        assert grants.get(tx, *named(other), every[3].grant_id) is None
        assert grants.named(tx, *named(key), "n") == [every[1], every[3]]
        assert grants.count(tx, *named(key)) == 5
        assert grants.page(tx, *named(key), limit=3) == (every[:3], True)
        after = every[2].grant_id
        assert grants.page(tx, *named(key), limit=3, after=after) == (every[3:], False)
        assert grants.page(tx, *named(key), limit=3, grantee="arn:b") == ([], False)
        assert grants.page(tx, *named(other), limit=3, grantee="arn:b") == ([foreign], False)
        assert grants.page(tx, *named(other), limit=3, grantee_service="a.b") == ([], False)
        seen, more = grants.retirable(tx, REGION, "arn:r", limit=4)
        assert more
        last = seen[-1]
        rest, more = grants.retirable(
            tx, REGION, "arn:r", limit=4, after=(last.account, last.key_id, last.grant_id)
        )
        assert (seen + rest, more) == ([*every, foreign], False)
        assert grants.remove(tx, *named(key), every[0].grant_id)
        assert not grants.remove(tx, *named(key), every[0].grant_id)
        assert keys.erase(tx, *named(key))
        assert grants.count(tx, *named(key)) == 0
        assert grants.count(tx, *named(other)) == 1
    for wrong in (
        foreign,
        replace(foreign, key_id="absent"),
        grant(other, 2, grantee=None),
        grant(other, 2, grantee_service="a.b"),
        grant(other, 2, retiring_service="a.b"),
    ):
        with pytest.raises(StoreConflict), store.write() as tx:
            grants.insert_grant(tx, wrong)


def _granting(key: KeyRow, number: int, grantee: str) -> GrantRow:
    return GrantRow(
        *named(key), f"{number:064x}", None, grantee, None, None, None, '["Encrypt"]', None,
        key.account, 1.0,
    )  # fmt: skip


def test_grants_to_a_role_of_any_path(store, make_key):
    key, version = make_key(1)
    roles = f"arn:aws:iam::{key.account}:role/"
    wanted = [_granting(key, 1, f"{roles}app"), _granting(key, 2, f"{roles}a/b/app")]
    others = ["App", "xapp", "app/other", "app%", "a_p"]
    with store.write() as tx:
        keys.insert_key(tx, key, version)
        for each in (
            *wanted,
            _granting(key, 3, "arn:aws:iam::999999999999:role/app"),
            _granting(key, 4, f"arn:aws:iam::{key.account}:user/app"),
            *(_granting(key, 5 + at, roles + name) for at, name in enumerate(others)),
        ):
            grants.insert_grant(tx, each)
        found = grants.of_grantees(tx, *named(key), [], (roles, "app"))
        assert sorted(found, key=lambda each: each.grant_id) == wanted
        found = grants.of_grantees(tx, *named(key), [], (roles, "a_p"))
        assert [each.grantee for each in found] == [f"{roles}a_p"]


def test_finding_the_grants_of_a_role_takes_the_same_work_among_few_and_many(store, make_key):
    pairs = [make_key(number) for number in range(2)]
    roles = f"arn:aws:iam::{pairs[0][0].account}:role/"
    steps = []
    with store.write() as tx:
        keys.insert_many(tx, pairs)
        sqlite = tx.connection.driver_connection
        for (key, _), count in zip(pairs, (1, 3_000), strict=True):
            for number in range(count):
                grants.insert_grant(tx, _granting(key, number, f"{roles}team/r{number}"))
            ticks: list[int] = []
            sqlite.set_progress_handler(lambda ticks=ticks: ticks.append(1), 1)
            try:
                assert len(grants.of_grantees(tx, *named(key), [], (roles, "r0"))) == 1
            finally:
                sqlite.set_progress_handler(None, 0)
            steps.append(len(ticks))
    assert steps[1] <= 2 * steps[0]


def test_the_last_usage_takes_the_place_of_the_one_before(store, make_key):
    key, version = make_key(1)
    row = UsageRow(*named(key), "Encrypt", 5.0, "event", "request")
    with store.write() as tx:
        keys.insert_key(tx, key, version)
        assert usage.get(tx, *named(key)) is None
        usage.put(tx, row)
        usage.put(tx, replace(row, used=6.0, operation="Decrypt"))
        assert usage.get(tx, *named(key)) == replace(row, used=6.0, operation="Decrypt")
    with pytest.raises(StoreConflict), store.write() as tx:
        usage.put(tx, replace(row, key_id="absent"))


def test_a_domain_state_only_moves_forward(store):
    row = DomainRow(REGION, 1, b"sealed 1", 10.0)
    with store.write() as tx:
        domains.put(tx, row)
        domains.put(tx, DomainRow("eu-west-1", 1, b"other", 10.0))
        domains.put(tx, replace(row, version=3, state=b"sealed 3", updated=30.0))
    for version in (1, 2, 3):
        with pytest.raises(StoreConflict, match="at version 3"), store.write() as tx:
            domains.put(tx, replace(row, version=version, state=b"stale"))
    with store.read() as tx:
        assert [each.region for each in domains.load_all(tx)] == ["eu-west-1", REGION]
        assert domains.get(tx, REGION) == DomainRow(REGION, 3, b"sealed 3", 30.0)
        assert domains.get(tx, "ap-south-1") is None


def test_meta(store):
    with store.write() as tx:
        assert meta.get(tx, meta.DEPLOYMENT_ID) is None
        meta.put(tx, meta.DEPLOYMENT_ID, "one")
        meta.put(tx, meta.DEPLOYMENT_ID, "two")
        assert meta.get(tx, meta.DEPLOYMENT_ID) == "two"
