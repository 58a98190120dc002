"""Opening, refusing to open, and locking a store."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clavero.store import keys
from clavero.store.engine import Store, open_store
from clavero.store.errors import StoreClosed, StoreError, StoreForked, StoreLocked


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def in_child(action) -> int:
    """Fork, run `action` in the child, and return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = action() or 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_the_folder_and_its_files_are_their_owners_alone(folder, make_key):
    before = os.umask(0)
    try:
        with open_store(folder / "deep") as store, store.write() as tx:
            keys.insert_key(tx, *make_key(1))
            assert mode(folder / "deep") == 0o700
            found = {each.name: mode(each) for each in (folder / "deep").iterdir()}
    finally:
        os.umask(before)
    assert {"clavero.db", "clavero.db-wal", "clavero.db-shm", "lock"} == set(found)
    assert set(found.values()) == {0o600}


def test_an_empty_folder_is_narrowed_and_one_that_others_write_is_refused(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    empty.chmod(0o755)
    open_store(empty).close()
    assert mode(empty) == 0o700

    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "thing").touch()
    shared.chmod(0o777)
    with pytest.raises(StoreError, match=r"Other users may write.*chmod 700"):
        open_store(shared)
    assert [each.name for each in shared.iterdir()] == ["thing"]


def test_wide_rights_on_the_database_are_narrowed(folder):
    open_store(folder).close()
    (folder / "clavero.db").chmod(0o644)
    open_store(folder).close()
    assert mode(folder / "clavero.db") == 0o600


def test_settings_that_durability_rests_on(folder):
    def pragma(tx, name):
        return tx.exec_driver_sql(f"PRAGMA {name}").scalar_one()

    with open_store(folder) as store:
        for transaction in (store.write, store.read):
            with transaction() as tx:
                assert pragma(tx, "journal_mode") == "wal"
                assert pragma(tx, "synchronous") == 2
                assert pragma(tx, "foreign_keys") == 1
                assert pragma(tx, "secure_delete") == 1
                assert pragma(tx, "busy_timeout") == 10_000


def test_what_was_written_is_there_after_reopening(folder, make_key):
    with open_store(folder) as store, store.write() as tx:
        keys.insert_key(tx, *make_key(1))
    with open_store(folder) as store, store.read() as tx:
        assert keys.page(tx, "us-east-1", "111122223333", limit=10)[0] == [make_key(1)[0].key_id]


def test_a_second_open_in_this_process_is_refused_by_any_name(folder, tmp_path, make_key):
    with open_store(folder) as store:
        link = tmp_path / "link"
        link.symlink_to(folder)
        for name in (folder, link, Path(os.path.relpath(folder))):
            with pytest.raises(StoreLocked, match=f"already open in this process.*{os.getpid()}"):
                open_store(name)
        with store.write() as tx:  # and the store that is open still works
            keys.insert_key(tx, *make_key(1))
    open_store(folder).close()


def test_a_second_process_is_refused_and_told_who_holds_the_folder(folder, run_python, make_key):
    program = (
        "import sys, pathlib\n"
        "from clavero.store.engine import open_store\n"
        "from clavero.store.errors import StoreLocked\n"
        "try: open_store(pathlib.Path(sys.argv[1]))\n"
        "except StoreLocked as error: print('LOCKED', error)\n"
        "else: print('OPENED')\n"
    )
    with open_store(folder) as store:
        # A refused open in this process must not have dropped the lock of the kernel.
        with pytest.raises(StoreLocked):
            open_store(folder)
        with store.write() as tx:
            keys.insert_key(tx, *make_key(1))
        done = run_python(program, str(folder))
        assert done.stdout.startswith("LOCKED"), done
        assert str(folder) in done.stdout
        assert f"pid {os.getpid()}" in done.stdout
        assert "stop that process" in done.stdout
    assert run_python(program, str(folder)).stdout == "OPENED\n"


def test_a_killed_process_leaves_the_folder_free_and_its_commits_whole(folder):
    program = (
        "import sys, pathlib\n"
        "from clavero.store import meta\n"
        "from clavero.store.engine import open_store\n"
        "store = open_store(pathlib.Path(sys.argv[1]))\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    with store.write() as tx:\n"
        "        meta.put(tx, 'a', str(n)); meta.put(tx, 'b', str(n))\n"
        "    print(n, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    acknowledged = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(folder)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        told = child.stdout.readline()
        time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        told += child.communicate()[0]
        acknowledged = int(told[: told.rindex("\n")].split("\n")[-1])
        with open_store(folder) as store, store.read() as tx:
            first, second = (
                int(
                    tx.exec_driver_sql(f"SELECT value FROM meta WHERE name = '{name}'").scalar_one()
                )
                for name in "ab"
            )
        assert first == second
        assert first in (acknowledged, acknowledged + 1)


def test_a_forked_child_may_not_use_or_reopen_the_store(folder, make_key):
    with open_store(folder) as store, open_store(None) as memory:
        with store.write() as tx:
            keys.insert_key(tx, *make_key(1))

        def child() -> int:
            for each in (store, memory):
                for transaction in (each.read, each.write):
                    with pytest.raises(StoreForked, match="is a fork"), transaction():
                        return 1
                each.close()  # nothing, and above all no error
            with pytest.raises(StoreLocked, match="was forked"):
                open_store(folder)
            gc.collect()
            return 0

        assert in_child(child) == 0
        with store.write() as tx:
            keys.insert_key(tx, *make_key(2))
        with store.read() as tx:
            assert keys.count(tx) == 2
    open_store(folder).close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files in /proc")
def test_a_forked_child_never_closes_what_it_inherited(folder, make_key):
    """Closing SQLite's files in a child can undo the parent's locks and its log."""

    def opened() -> int:
        found = 0
        for each in Path("/proc/self/fd").iterdir():
            try:
                found += str(folder) in str(each.readlink())
            except FileNotFoundError:  # the descriptor of this very listing
                continue
        return found

    stores = [open_store(folder)]
    with stores[0].write() as tx:
        keys.insert_key(tx, *make_key(1))
    with stores[0].read() as tx:
        keys.count(tx)
    before = opened()

    def child() -> int:
        stores[0]._finalizer()
        stores.clear()
        gc.collect()
        return 0 if opened() == before > 2 else 1

    assert in_child(child) == 0
    stores[0].close()
    assert opened() == 0


def test_a_fork_inside_a_transaction_commits_once(folder, make_key):
    with open_store(folder) as store:
        children = []

        def change() -> None:
            with store.write() as tx:
                keys.insert_key(tx, *make_key(1))
                pid = os.fork()
                if pid == 0:
                    return
                children.append(pid)

        parent = os.getpid()
        code = 99
        try:
            change()
            code = 1
        except StoreForked:
            code = 0
        finally:
            if os.getpid() != parent:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
        with store.read() as tx:
            assert keys.count(tx) == 1


def test_a_store_that_nobody_holds_gives_the_folder_back(folder):
    store = open_store(folder)
    del store
    gc.collect()
    open_store(folder).close()


def test_closed_means_closed(store: Store):
    store.close()
    store.close()
    assert store.closed
    for transaction in (store.read, store.write):
        with pytest.raises(StoreClosed), transaction():
            pass


def test_one_transaction_a_thread(store: Store):
    with store.read(), pytest.raises(StoreError, match="already in a transaction"), store.write():
        pass
    with store.write(), pytest.raises(StoreError, match="inside one of its own"):
        store.close()
    with store.write():
        pass


@pytest.mark.parametrize("content", [b"not a database at all", b"x" * 20_000])
def test_a_file_that_is_no_database_is_refused_and_kept(folder, content):
    folder.mkdir(mode=0o700)
    file = folder / "clavero.db"
    file.write_bytes(content)
    for _ in range(2):
        with pytest.raises(StoreError, match="not a SQLite database"):
            open_store(folder)
    assert file.read_bytes() == content


def test_another_programs_database_is_refused_and_kept(folder):
    folder.mkdir(mode=0o700)
    file = folder / "clavero.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE keys (id)")
    other.close()
    content = file.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        open_store(folder)
    assert file.read_bytes() == content


def test_a_damaged_database_is_refused(folder, make_key):
    with open_store(folder) as store, store.write() as tx:
        keys.insert_key(tx, *make_key(1))
    file = folder / "clavero.db"
    content = bytearray(file.read_bytes())
    content[100:4096] = b"\xff" * 3996  # the page of the schema
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"cannot be read.*restore"):
        open_store(folder)
    assert file.read_bytes() == content


def test_a_newer_schema_is_refused_and_kept(folder):
    open_store(folder).close()
    file = folder / "clavero.db"
    with sqlite3.connect(file) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
    newer.close()
    content = file.read_bytes()
    with pytest.raises(StoreError, match=r"'9999'.*newer Clavero"):
        open_store(folder)
    assert file.read_bytes() == content


def test_a_path_that_is_a_file_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for path in (file, file / "below"):
        with pytest.raises(StoreError, match=r"not a folder|cannot be used"):
            open_store(path)
    assert file.read_text() == "mine"


def test_a_database_that_is_a_link_is_refused(folder, tmp_path):
    folder.mkdir(mode=0o700)
    target = tmp_path / "elsewhere"
    target.touch()
    (folder / "clavero.db").symlink_to(target)
    with pytest.raises(StoreError, match="not a regular file"):
        open_store(folder)
    assert target.read_bytes() == b""


def test_an_unreadable_folder_is_refused(folder):
    folder.mkdir(mode=0o000)

    def child() -> int:
        if os.geteuid() == 0:
            os.setuid(65534)
        with pytest.raises(StoreError, match="cannot be used"):
            open_store(folder)
        return 0

    assert in_child(child) == 0
    assert list(folder.iterdir() if os.geteuid() == 0 else []) == []


def test_a_start_loads_no_alembic_and_an_error_no_sqlalchemy(folder, run_python):
    program = (
        "import sys, pathlib\n"
        "import clavero.store.errors\n"
        "assert 'sqlalchemy' not in sys.modules\n"
        "from clavero.store.engine import open_store\n"
        "for _ in range(2): open_store(pathlib.Path(sys.argv[1])).close()\n"
        "open_store(None).close()\n"
        "assert 'alembic' not in sys.modules\n"
        "print('ok')\n"
    )
    assert run_python(program, str(folder)).stdout == "ok\n"


def test_a_volatile_store_opens_fast():
    open_store(None).close()
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        store = open_store(None)
        best = min(best, time.perf_counter() - start)
        store.close()
    assert best < 0.010
