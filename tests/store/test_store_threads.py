"""Eight threads on one store, large stores, and what an erased key leaves in the files."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clavero.store import keys, meta, versions
from clavero.store.engine import open_store

REGION, ACCOUNT = "us-east-1", "111122223333"


def test_eight_threads_read_and_write(store, make_key):
    rounds = 40
    start = threading.Barrier(8)

    def undone() -> None:
        with store.write() as tx:
            meta.put(tx, "count", "wrong")
            raise KeyError

    def work(number: int) -> int:
        start.wait()
        for turn in range(rounds):
            key, version = make_key(number * 1000 + turn)
            with store.write() as tx:
                keys.insert_key(tx, key, version)
                count = int(meta.get(tx, "count") or 0)
                meta.put(tx, "count", str(count + 1))
            with store.read() as tx:  # its own commit, and one state of the store
                assert keys.get(tx, REGION, ACCOUNT, key.key_id) == key
                assert versions.get(tx, REGION, version.hbkid) == version
                assert keys.count(tx) == int(meta.get(tx, "count") or 0)
            if turn % 4 == 0:
                with pytest.raises(KeyError):
                    undone()
        return rounds

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 8 * rounds
    with store.read() as tx:
        assert keys.count(tx) == 8 * rounds


def test_a_reader_keeps_its_state_while_a_writer_commits(folder, make_key):
    with open_store(folder) as store:
        with store.write() as tx:
            keys.insert_key(tx, *make_key(1))

        def write() -> None:
            with store.write() as tx:
                keys.insert_key(tx, *make_key(2))

        with store.read() as tx:
            assert keys.count(tx) == 1
            writer = threading.Thread(target=write)
            writer.start()
            writer.join(timeout=10)
            assert not writer.is_alive()
            assert keys.count(tx) == 1
            assert store.path == folder
        with store.read() as tx:
            assert keys.count(tx) == 2


def test_a_writer_has_the_database_from_its_first_moment(folder):
    """Otherwise its first change could fail, having waited for nothing, when a tool writes too."""
    with open_store(folder) as store, store.write():
        other = store._writers.engine.raw_connection()
        cursor = other.cursor()
        cursor.execute("PRAGMA busy_timeout=0")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            cursor.execute("BEGIN IMMEDIATE")
        other.close()


def test_close_waits_for_a_transaction(store, make_key):
    inside, go = threading.Event(), threading.Event()

    def write() -> None:
        with store.write() as tx:
            inside.set()
            go.wait(10)
            keys.insert_key(tx, *make_key(1))

    writer = threading.Thread(target=write)
    writer.start()
    inside.wait(10)
    closer = threading.Thread(target=store.close)
    closer.start()
    closer.join(timeout=0.1)
    assert closer.is_alive()
    go.set()
    writer.join(10)
    closer.join(10)
    assert not closer.is_alive()
    if store.path is not None:
        with open_store(store.path) as again, again.read() as tx:
            assert keys.count(tx) == 1


def test_an_erased_token_is_in_no_file_after_a_checkpoint(folder, make_key):
    tokens = [make_key(number)[1].token for number in range(50)]

    def holding(token: bytes) -> list[str]:
        return [each.name for each in folder.iterdir() if token in each.read_bytes()]

    with open_store(folder) as store:
        with store.write() as tx:
            keys.insert_many(tx, (make_key(number) for number in range(50)))
        assert store.checkpoint()
    assert all(holding(token) == ["clavero.db"] for token in tokens)
    with open_store(folder) as store:
        with store.write() as tx:
            for number in range(0, 50, 2):
                keys.erase(tx, REGION, ACCOUNT, make_key(number)[0].key_id)
        assert store.checkpoint()
    for number, token in enumerate(tokens):
        assert holding(token) == ([] if number % 2 == 0 else ["clavero.db"])


def test_a_token_is_overwritten_before_its_row_goes(store, make_key):
    """Where a database keeps deleted rows for a while, what it keeps is zeros."""
    key, version = make_key(1)
    with store.write() as tx:
        keys.insert_key(tx, key, version)
        tx.exec_driver_sql("CREATE TEMP TABLE seen (token BLOB)")
        tx.exec_driver_sql(
            "CREATE TEMP TRIGGER look BEFORE DELETE ON main.keys BEGIN "
            "INSERT INTO seen SELECT token FROM main.key_versions; END"
        )
        assert keys.erase(tx, REGION, ACCOUNT, key.key_id)
        seen = tx.exec_driver_sql("SELECT token FROM seen").scalars().all()
        assert seen == [bytes(len(version.token))]


def test_a_checkpoint_says_when_a_reader_is_in_its_way(folder, make_key):
    with open_store(folder) as store:
        with store.write() as tx:
            keys.insert_key(tx, *make_key(1))
        reading, done = threading.Event(), threading.Event()

        def read() -> None:
            with store.read() as tx:
                keys.count(tx)
                reading.set()
                done.wait(30)

        reader = threading.Thread(target=read)
        reader.start()
        reading.wait(10)
        with store.write() as tx:
            keys.insert_key(tx, *make_key(2))
        started = time.perf_counter()
        assert not store.checkpoint()
        assert time.perf_counter() - started < 5
        done.set()
        reader.join(10)
        assert store.checkpoint()


def test_a_large_store_opens_at_once_and_stays_quick(folder, make_key):
    size = 20_000
    with open_store(folder) as store, store.write() as tx:
        assert keys.insert_many(tx, (make_key(number) for number in range(size))) == size
    started = time.perf_counter()
    with open_store(folder) as store:
        assert time.perf_counter() - started < 0.5
        with store.read() as tx:
            keys.get(tx, REGION, ACCOUNT, make_key(0)[0].key_id)
        started = time.perf_counter()
        for number in range(0, size, 100):
            with store.read() as tx:
                assert keys.get(tx, REGION, ACCOUNT, make_key(number)[0].key_id) is not None
        assert (time.perf_counter() - started) / (size / 100) < 0.002


@pytest.mark.parametrize("kind", ["key", "version", "page", "due", "next", "under", "alias"])
def test_questions_are_answered_from_an_index(folder, kind):
    from clavero.store import aliases

    statements = {
        "key": keys._GET,
        "version": versions._GET,
        "page": keys._PAGE,
        "due": keys._DUE,
        "next": keys._NEXT_DUE,
        "under": versions._SEALED_UNDER,
        "alias": aliases._PAGE_OF_KEY,
    }
    with open_store(folder) as store, store.read() as tx:
        compiled = statements[kind].compile(dialect=tx.dialect)
        plan = tx.exec_driver_sql(
            f"EXPLAIN QUERY PLAN {compiled}", tuple("" for _ in compiled.positiontup or ())
        ).all()
    text = " ".join(str(row[-1]) for row in plan)
    assert "USING" in text
    assert "INDEX" in text
    assert "TEMP B-TREE" not in text or kind == "due"
