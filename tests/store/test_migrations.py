"""The migrations build exactly the tables that the schema describes."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event

from clavero.store import accounts, aliases, grants, keys, migrate, schema, tags, versions
from clavero.store import folder as found
from clavero.store.engine import open_store
from clavero.store.errors import StoreError


def named(key):
    return key.region, key.account, key.key_id


def shape(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Each table's and index's statement, as a sorted list of its lines."""
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {
        name: sorted(line.strip().rstrip(",") for line in re.sub(r"\(\n", "\n", sql).split("\n"))
        for name, sql in found
    }


@pytest.fixture
def migrated(tmp_path):
    """An empty database that the migrations, not `create_all`, have brought to head."""
    made = create_engine(
        f"sqlite:///{tmp_path / 'migrated.db'}", connect_args={"isolation_level": None}
    )
    event.listen(made, "begin", lambda tx: tx.exec_driver_sql("BEGIN IMMEDIATE"))
    with made.begin() as tx:
        migrate.upgrade(tx)
    yield made
    made.dispose()


def test_the_program_knows_exactly_the_packaged_migrations():
    script = ScriptDirectory.from_config(migrate.config())
    found = tuple(reversed([each.revision for each in script.walk_revisions()]))
    assert found == schema.REVISIONS
    assert script.get_current_head() == schema.HEAD


# The next test compares those of expressions.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based")
def test_autogenerate_finds_no_difference(migrated):
    with migrated.connect() as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


def test_migrated_and_created_databases_are_the_same_to_the_constraint(migrated, folder):
    open_store(folder).close()
    created = sqlite3.connect(folder / "clavero.db")
    with migrated.connect() as tx:
        ours = shape(created)
        assert shape(tx.connection.driver_connection) == ours
    assert any("ck_keys_pending_deletion" in line for line in ours["keys"])
    created.close()


def test_every_constraint_has_a_name_that_follows_from_its_table():
    for table in schema.metadata.tables.values():
        for constraint in table.constraints:
            assert table.name in str(constraint.name)


def test_an_older_store_is_brought_up_to_date(folder, make_key, monkeypatch):
    """With a revision before the first, the real store counts as older, and Alembic runs."""
    with open_store(folder) as store, store.write() as tx:
        keys.insert_key(tx, *make_key(1))
    ran = []
    monkeypatch.setattr(schema, "REVISIONS", ("0000", *schema.REVISIONS))
    monkeypatch.setattr(migrate, "upgrade", lambda tx: ran.append(tx.in_transaction()))
    with sqlite3.connect(folder / "clavero.db") as older:
        older.execute("UPDATE alembic_version SET version_num = '0000'")
    older.close()
    with open_store(folder) as store, store.read() as tx:
        assert keys.count(tx) == 1
        assert tx.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
    assert ran == [True]


def test_a_store_of_the_first_schema_is_upgraded_with_all_its_rows(folder, make_key):
    """Made by the migration of 0001 alone, filled as that release did, then opened by this one."""
    folder.mkdir(mode=0o700)
    first = create_engine(f"sqlite:///{folder / 'clavero.db'}")
    with first.begin() as tx:
        tx.exec_driver_sql(f"PRAGMA application_id={schema.APPLICATION_ID}")
        migrate.upgrade(tx, "0001")
        for number in (1, 2):
            key, version = make_key(number, description="payroll", enabled=number == 1)
            tx.exec_driver_sql(
                "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, 0, ?, ?)",
                (*named(key), key.description, key.usage, key.spec, key.origin, key.manager,
                 key.enabled, key.created, key.policy, key.current_version),
            )  # fmt: skip
            tx.exec_driver_sql(
                "INSERT INTO key_versions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (version.region, version.hbkid, version.account, version.key_id, version.token,
                 version.domain_key_id, version.material_id, version.created),
            )  # fmt: skip
        tx.exec_driver_sql(
            "INSERT INTO aliases VALUES (?, ?, 'alias/a', ?, 1.0, 2.0)",
            (key.region, key.account, key.key_id),
        )
        tx.exec_driver_sql("INSERT INTO tags VALUES (?, ?, ?, 'k', 'v')", named(key))
        # An older version of the second key
        tx.exec_driver_sql(
            "INSERT INTO key_versions SELECT region, zeroblob(16), account, key_id, token, "
            "domain_key_id, material_id, created - 1 FROM key_versions WHERE key_id = ?",
            (key.key_id,),
        )
    first.dispose()
    assert found.Found.OLDER is found.inspect(folder / "clavero.db")
    with open_store(folder) as store, store.write() as tx:
        one, its_version = make_key(1, description="payroll")
        assert keys.get(tx, *named(one)) == one
        assert versions.of_key(tx, *named(one)) == [its_version]
        two, its_version = make_key(2, description="payroll", enabled=False)
        assert keys.get(tx, *named(two)) == two
        older, current = versions.of_key(tx, *named(two))
        assert current == replace(its_version, number=2)
        assert (older.hbkid, older.number, older.state) == (bytes(16), 1, "NON_CURRENT")
        assert aliases.get(tx, two.region, two.account, "alias/a") is not None
        assert tags.of_key(tx, *named(two)) == {"k": "v"}
        assert keys.erase(tx, *named(two))
        assert versions.of_key(tx, *named(two)) == []
    assert found.Found.CURRENT is found.inspect(folder / "clavero.db")


def test_a_migration_that_fails_leaves_the_store_as_it_was(folder, make_key, monkeypatch):
    with open_store(folder) as store, store.write() as tx:
        keys.insert_key(tx, *make_key(1))
    monkeypatch.setattr(schema, "REVISIONS", ("0000", *schema.REVISIONS))
    with sqlite3.connect(folder / "clavero.db") as older:
        older.execute("UPDATE alembic_version SET version_num = '0000'")
        before = shape(older)
    older.close()

    def broken(tx):
        tx.exec_driver_sql("DROP TABLE aliases")
        tx.exec_driver_sql("DELETE FROM keys")

    monkeypatch.setattr(migrate, "upgrade", broken)
    with pytest.raises(StoreError, match="without their key"):
        open_store(folder)
    with sqlite3.connect(folder / "clavero.db") as kept:
        assert shape(kept) == before
        assert kept.execute("SELECT count(*) FROM keys").fetchone() == (1,)
    kept.close()
    assert found.Found.OLDER is found.inspect(folder / "clavero.db")


def test_grants_of_the_fifth_schema_are_found_by_the_names_of_roles(folder, make_key):
    folder.mkdir(mode=0o700)
    fifth = create_engine(f"sqlite:///{folder / 'clavero.db'}")
    key, version = make_key(1)
    roles = f"arn:aws:iam::{key.account}:role/"
    grant = grants.GrantRow(
        key.region, key.account, key.key_id, 64 * "0", None, f"{roles}team/app", None, None, None,
        '["Encrypt"]', None, key.account, 1.0,
    )  # fmt: skip
    with fifth.begin() as tx:
        tx.exec_driver_sql(f"PRAGMA application_id={schema.APPLICATION_ID}")
        migrate.upgrade(tx, "0005")
        keys.insert_key(tx, key, version)
        grants.insert_grant(tx, grant)
    fifth.dispose()
    with open_store(folder) as store, store.read() as tx:
        found_grants = grants.of_grantees(
            tx, key.region, key.account, key.key_id, [], (roles, "app")
        )
        assert found_grants == [grant]


def test_a_store_of_the_second_schema_is_upgraded_with_all_its_rows(folder, make_key):
    folder.mkdir(mode=0o700)
    second = create_engine(f"sqlite:///{folder / 'clavero.db'}")
    waiting = {"enabled": False, "deletion_date": 9e9, "pending_window": 7}
    rows = [make_key(1), make_key(2, **waiting), make_key(3, rotation_period=90, next_rotation=5.0)]
    with second.begin() as tx:
        tx.exec_driver_sql(f"PRAGMA application_id={schema.APPLICATION_ID}")
        migrate.upgrade(tx, "0002")
        for key, version in rows:
            keys.insert_key(tx, key, version)
            tags.put(tx, key.region, key.account, key.key_id, {"k": key.key_id})
    second.dispose()
    with open_store(folder) as store, store.read() as tx:
        for key, version in rows:
            assert keys.get(tx, *named(key)) == key
            assert versions.of_key(tx, *named(key)) == [version]
            assert tags.of_key(tx, *named(key)) == {"k": key.key_id}
    assert found.Found.CURRENT is found.inspect(folder / "clavero.db")


def test_access_keys_of_the_sixth_schema_stay_root_users(folder):
    folder.mkdir(mode=0o700)
    sixth = create_engine(f"sqlite:///{folder / 'clavero.db'}")
    with sixth.begin() as tx:
        tx.exec_driver_sql(f"PRAGMA application_id={schema.APPLICATION_ID}")
        migrate.upgrade(tx, "0006")
        tx.exec_driver_sql("INSERT INTO accounts VALUES ('111122223333', 1.0)")
        tx.exec_driver_sql(
            "INSERT INTO access_keys VALUES ('AKIA', '111122223333', 'us-east-1', x'01', 2.0)"
        )
    sixth.dispose()
    with open_store(folder) as store, store.read() as tx:
        assert accounts.all_access_keys(tx) == [
            accounts.AccessKeyRow("AKIA", "111122223333", "us-east-1", b"\x01", 2.0, None, True)
        ]
