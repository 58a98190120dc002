"""Opening a store, its transactions, and everything that is particular to SQLite.

A durable store is a folder: `clavero.db` with its write-ahead log, and `lock`. A commit is on
the disk before `Store.write` returns (WAL with `synchronous=FULL`). A volatile store is one
in-memory database. Either may be used from any number of threads of the process that opened it.

No other code in the process may open `clavero.db`: closing a descriptor of the file would drop
the POSIX locks by which SQLite guards it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from . import schema
from .errors import StoreClosed, StoreError, StoreForked
from .folder import DATABASE, Found, inspect, prepare_file, prepare_folder
from .forkgate import GATE
from .lock import FolderLock

BUSY_SECONDS = 10.0  # how long to wait for a tool outside that reads or backs up the database
CHECKPOINT_MILLISECONDS = 100
CONNECTIONS_KEPT = 8  # idle connections that are kept; more are made when threads need them


class _Connections:
    """The connections of one kind, kept open between transactions.

    SQLAlchemy's own pool would build and take down a `Connection` for every transaction, which
    costs more than a lookup by primary key.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._idle: list[Connection] = []
        self._pid = os.getpid()

    @contextmanager
    def transaction(self, *, commit: bool) -> Iterator[Connection]:
        """Give a connection in a transaction, committed or rolled back when the block ends."""
        try:
            tx = self._idle.pop()  # list.pop and append are each one step for other threads
        except IndexError:
            tx = self.engine.connect()
        kept = False
        try:
            transaction = tx.begin()
            yield tx
            if os.getpid() != self._pid:
                raise StoreForked(
                    "This process was forked inside a transaction of the store, and the "
                    "transaction belongs to the process that began it: fork outside of one."
                )
            if commit:
                transaction.commit()
            else:
                transaction.rollback()
            kept = len(self._idle) < CONNECTIONS_KEPT
        finally:
            if os.getpid() != self._pid:
                _inherited.append(tx)
            elif kept:
                self._idle.append(tx)
            else:
                tx.close()  # rolls back whatever is open

    def dispose(self) -> None:
        """Close the connections that are idle, which is all of them once the store is closed."""
        while self._idle:
            self._idle.pop().close()
        self.engine.dispose()


class Store:
    """An open store. `open_store` makes one; it also works as a context manager that closes it."""

    def __init__(
        self, reader: Engine, writer: Engine, *, path: Path | None, lock: FolderLock | None
    ) -> None:
        self.path = path
        self._write_lock = threading.Lock()
        # In memory there is one connection, so that a reader must wait for the writer as well.
        self._one_connection = reader is writer
        self._writers = _Connections(writer)
        self._readers = self._writers if self._one_connection else _Connections(reader)
        self._state = threading.Condition(threading.Lock())
        self._active = 0
        self._closed = False
        self._inside = threading.local()
        self._pid = os.getpid()
        self._finalizer = weakref.finalize(
            self, _release, self._pid, self._readers, self._writers, lock
        )
        _stores.add(self)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a transaction that may write; one at a time, others wait.

        It is durable when the block ends, and undone when the block raises. Raises StoreError
        when the database refuses, and when this thread is already in a transaction.
        """
        self._enter()
        try:
            with (
                self._write_lock,
                _sentences("written"),
                self._writers.transaction(commit=True) as tx,
            ):
                yield tx
        finally:
            self._leave()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a transaction that sees one state of the store and cannot write.

        Readers of a durable store run beside each other and beside the writer.
        """
        self._enter()
        try:
            if self._one_connection:
                with (
                    self._write_lock,
                    _sentences("read"),
                    self._writers.transaction(commit=False) as tx,
                ):
                    # SQLite's own switch, query_only, would cost more here than a lookup.
                    before = _changes(tx)
                    yield tx
                    if _changes(tx) != before:
                        raise StoreError("A reading transaction of the store cannot write.")
            else:
                with _sentences("read"), self._readers.transaction(commit=False) as tx:
                    yield tx
        finally:
            self._leave()

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the database file and empty the log.

        After an erased key this removes the last copies of its token from the store's files.
        Returns False when a reader still needs the log; try again later.
        """
        self._enter()
        try:
            if self._one_connection:
                return True
            with self._write_lock, _sentences("written"):
                connection = self._writers.engine.raw_connection()
                try:
                    cursor = connection.cursor()
                    # Writers wait meanwhile, so that it must not wait long for a reader.
                    cursor.execute(f"PRAGMA busy_timeout={CHECKPOINT_MILLISECONDS}")
                    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    row = cursor.fetchone()
                finally:
                    connection.close()
            return row is not None and row[0] == 0
        finally:
            self._leave()

    def close(self) -> None:
        """Wait for running transactions, then close the database and give up the folder.

        Does nothing when called again, or in a forked child.
        """
        if os.getpid() != self._pid:
            return
        if getattr(self._inside, "transaction", False):
            raise StoreError("The store cannot be closed inside one of its own transactions.")
        with self._state:
            self._closed = True
            while self._active:
                self._state.wait()
        self._finalizer()

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _enter(self) -> None:
        # The process comes first: in a forked child the locks below may never be released.
        if os.getpid() != self._pid:
            raise StoreForked(
                f"The store {self.path or 'in memory'} belongs to process {self._pid}, and this is "
                f"a fork of it (pid {os.getpid()}): open the store after forking, in one process."
            )
        inside = self._inside
        if getattr(inside, "transaction", False):
            raise StoreError(
                "This thread is already in a transaction of the store: pass that one on."
            )
        with self._state:
            if self._closed:
                raise StoreClosed("The store is closed: open it again.")
            self._active += 1
        inside.transaction = True
        GATE.enter()

    def _leave(self) -> None:
        GATE.leave()
        self._inside.transaction = False
        with self._state:
            self._active -= 1
            if not self._active and self._closed:
                self._state.notify_all()


_stores: weakref.WeakSet[Store] = weakref.WeakSet()
_inherited: list[Store | Connection] = []


def _keep_inherited() -> None:
    # A forked child must not close SQLite connections that it inherited, not even by collecting
    # them (sqlite.org/howtocorrupt.html, section 2.6), so it holds them until it ends.
    _inherited.extend(_stores)


os.register_at_fork(after_in_child=_keep_inherited)


def _release(
    pid: int, readers: _Connections, writers: _Connections, lock: FolderLock | None
) -> None:
    if os.getpid() != pid:
        return
    with GATE.inside():
        readers.dispose()
        writers.dispose()  # the last connection to close empties the write-ahead log
    if lock is not None:
        lock.release()


def open_store(path: Path | None) -> Store:
    """Open the store in the folder `path`, which is made when missing; in memory when None.

    Raises StoreLocked when the folder is in use, and StoreError when it cannot be used: no
    access, not a database, not a Clavero database, or one of a newer Clavero. Then the
    database is as it was.
    """
    if path is None:
        with GATE.inside():
            return _open_memory()
    folder = prepare_folder(Path(path))
    lock = FolderLock(folder)
    try:
        with GATE.inside():
            return _open_folder(folder, lock)
    except BaseException:
        lock.release()
        raise


def _open_memory() -> Store:
    engine = _engine(":memory:", pool=StaticPool, begin="BEGIN", pragmas=("foreign_keys=ON",))
    with engine.begin() as tx:
        for statement in _ddl():
            tx.exec_driver_sql(statement)
    return Store(engine, engine, path=None, lock=None)


def _open_folder(folder: Path, lock: FolderLock) -> Store:
    file = folder / DATABASE
    prepare_file(file)
    found = inspect(file)
    pragmas = (
        f"busy_timeout={int(BUSY_SECONDS * 1000)}",
        "foreign_keys=ON",
        "synchronous=FULL",
        "fullfsync=ON",  # macOS: fsync alone does not reach the disk there
        "checkpoint_fullfsync=ON",
        "secure_delete=ON",
        "trusted_schema=OFF",
        "temp_store=MEMORY",  # no copy of a row in a temporary file elsewhere
    )
    writer = _engine(
        str(file),
        pool=NullPool,
        begin="BEGIN IMMEDIATE",
        pragmas=(*pragmas, "cache_size=-16384"),  # KiB: a bulk import touches pages at random
    )
    reader = _engine(str(file), pool=NullPool, begin="BEGIN", pragmas=(*pragmas, "query_only=ON"))
    try:
        with _sentences("opened"):
            _use_wal(writer, file)
            if found is Found.EMPTY:
                with writer.begin() as tx:
                    _create(tx)
            elif found is Found.OLDER:
                _upgrade(writer)
    except BaseException:
        writer.dispose()
        raise
    return Store(reader, writer, path=folder, lock=lock)


def _changes(tx: Connection) -> int:
    """How many rows the connection has changed since it was opened."""
    connection = tx.connection.driver_connection
    assert isinstance(connection, sqlite3.Connection)
    return connection.total_changes


def _use_wal(writer: Engine, file: Path) -> None:
    connection = writer.raw_connection()
    try:
        mode = connection.cursor().execute("PRAGMA journal_mode=WAL").fetchone()[0]
    finally:
        connection.close()
    if mode != "wal":
        raise StoreError(
            f"The file system of {file} does not support SQLite's write-ahead log "
            f"(it stays in mode {mode!r}): put the store on a local disk."
        )


def _create(tx: Connection) -> None:
    tx.exec_driver_sql(f"PRAGMA application_id={schema.APPLICATION_ID}")
    for statement in _ddl():
        tx.exec_driver_sql(statement)
    schema.alembic_version.create(tx, checkfirst=False)
    tx.execute(schema.alembic_version.insert().values(version_num=schema.HEAD))


def _upgrade(writer: Engine) -> None:
    from .migrate import upgrade

    with writer.connect() as tx:
        # Altering a table copies and drops the old one, which must not cascade to its children;
        # SQLite changes this setting only outside a transaction (sqlite.org/lang_altertable.html).
        cursor = tx.connection.cursor()
        cursor.execute("PRAGMA foreign_keys=OFF")
        try:
            with tx.begin():
                upgrade(tx)
                broken = tx.exec_driver_sql("PRAGMA foreign_key_check").first()
                if broken is not None:
                    raise StoreError(
                        f"The migration would leave rows of {broken[0]} without their key. "
                        "Nothing was changed: keep this store and report the fault."
                    )
        finally:
            cursor.execute("PRAGMA foreign_keys=ON")


@lru_cache(maxsize=1)
def _ddl() -> tuple[str, ...]:
    """The statements that create the tables, compiled once a process."""
    dialect = sqlite_dialect()
    statements: list[str] = []
    for table in schema.metadata.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            statements.append(str(CreateIndex(index).compile(dialect=dialect)))
    return tuple(statements)


def _engine(
    database: str, *, pool: type[StaticPool | NullPool], begin: str, pragmas: tuple[str, ...]
) -> Engine:
    def connect() -> sqlite3.Connection:
        # Without an isolation level the driver never begins or commits by itself.
        made = sqlite3.connect(
            database, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in pragmas:
                made.execute(f"PRAGMA {pragma}").fetchall()
        except BaseException:
            made.close()
            raise
        return made

    engine = create_engine(
        URL.create("sqlite+pysqlite", database=database),
        creator=connect,
        poolclass=pool,
        hide_parameters=True,  # no token and no policy in the text of an error
    )
    event.listen(engine, "begin", _beginner(begin))
    return engine


def _beginner(statement: str) -> Callable[[Connection], None]:
    def begin(tx: Connection) -> None:
        cursor = tx.connection.cursor()
        cursor.execute(statement)
        cursor.close()

    return begin


@contextmanager
def _sentences(done: str) -> Iterator[None]:
    """Turn the driver's errors into a StoreError that says what to do."""
    try:
        yield
    except IntegrityError as error:
        raise StoreError(
            f"The store could not be {done}: a row breaks a rule of the store ({error.orig}). "
            "Nothing of this change was kept."
        ) from error
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StoreError(
            f"The store could not be {done}: {cause}. Nothing of this change was kept: "
            "check the disk's free space and health, and the rights on the folder."
        ) from error
    except SQLAlchemyError as error:
        raise StoreError(f"The store could not be {done}: {error}.") from error
