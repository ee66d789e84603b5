"""The SQLite file under DynamoDB: its connections, its schema version, and units of work.

One request is one unit of work is one SQLite transaction. Units that write take turns on one connection; units that
only read run beside them, each on a snapshot. Within a writing unit every touched item is held as a `Row`, moto
changes it in place as it always does, and `Unit.flush` writes what differs. Undoing is forgetting the rows.
"""

import collections
import fcntl
import os
import pathlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from moto.dynamodb.models.dynamo_type import DynamoType

from sandbox.aws.dynamodb import documents, rows, streams
from sandbox.aws.dynamodb.layout import Layout
from sandbox.aws.dynamodb.rows import Row

WRITER_CACHE_KB = 16_000
READER_CACHE_KB = 2_000
IDLE_READERS = 16

SCHEMA_VERSION = 1  # raise it with any change to the tables below or to the layout of items
SCHEMA = """
create table definition(account text, region text, name text, body text not null, primary key(account,region,name));
create table outbox(seq integer primary key autoincrement, tbl text not null, arn text not null, region text not null,
    event text not null, view text not null, at integer not null, keys text not null, old text, new text,
    size integer not null, identity text);
create index outbox_by_table on outbox(tbl,seq);
create index outbox_by_age on outbox(at);
create table cursor(consumer text primary key, seq integer not null, tbl text);
create table token(account text, region text, token text, request text not null, at real not null,
    primary key(account,region,token));
"""


class StorageError(RuntimeError):
    """The storage cannot be used: closed, of another version, or in use by another process."""


@dataclass
class Unit:
    """One request's transaction."""

    connection: sqlite3.Connection
    write: bool
    now: float
    identity: str | None = None  # who made the change, when it is not the caller (time to live)
    touched: dict[tuple[str, bytes, bytes], Row] = field(default_factory=dict)
    reads: list[tuple[Layout, str | None, int]] = field(default_factory=list)  # (table, index, bytes), for capacity
    published: dict[str, int] = field(default_factory=dict)  # the last stream record of each table
    on_rollback: list[Callable[[], None]] = field(default_factory=list)

    def row(self, layout: Layout, hash_key: DynamoType, range_key: DynamoType | None) -> Row:
        """The row of a key; within a writing unit the same one each time."""
        key = rows.key_bytes(hash_key, range_key)
        known = self.touched.get((layout.sql, *key))
        if known is not None:
            return known
        row = rows.read(self.connection, layout, hash_key, range_key, key)
        if self.write:
            self.touched[layout.sql, *key] = row
        else:
            self.reads.append((layout, None, row.stored_size))
        return row

    def load(self, layout: Layout, doc: str) -> Row:
        """The row of an item that was found by other means than its key."""
        item = documents.load(doc, layout.hash_name, layout.range_name)
        return self.row(layout, item.hash_key, item.range_key)

    def flush(self) -> None:
        """Write what changed, and a stream record for each change."""
        for row in self.touched.values():
            change = rows.write(self.connection, row)
            if change is not None and row.layout.stream_arn:
                self.published[row.layout.table] = streams.publish(self.connection, change, self.now, self.identity)


class Storage:
    """The file. `sync` is SQLite's `synchronous`: `normal` survives a killed process, `full` a loss of power too."""

    def __init__(self, path: pathlib.Path, sync: str, clock: Callable[[], float]) -> None:
        if sync not in ("off", "normal", "full"):
            raise ValueError(f"sync must be off, normal or full, not {sync!r}")
        self.path = path
        self.clock = clock
        self.feed = streams.Feed()
        self._sync = sync
        self._turn = threading.RLock()
        self._thread = threading.local()
        self._readers: collections.deque[sqlite3.Connection] = collections.deque()
        self._closed = False
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # rows may hold tokens: the owner's only
        self._guard = _claim(path.with_name(path.name + ".lock"))
        try:
            self._writer = self._connect(WRITER_CACHE_KB)
            self._writer.execute("pragma journal_mode=wal")
            _prepare(self._writer, path)
            self.feed.announce(streams.last_records(self._writer))
        except BaseException:
            os.close(self._guard)
            raise

    def _connect(self, cache_kb: int) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=30, cached_statements=512
        )
        for pragma in (f"synchronous={self._sync}", f"cache_size=-{cache_kb}", "temp_store=memory"):
            connection.execute(f"pragma {pragma}")
        return connection

    @contextmanager
    def unit(self, write: bool, identity: str | None = None) -> Iterator[Unit]:
        """A unit of work on this thread; within one, joins it. Commits at the end, rolls back on any exception."""
        current: Unit | None = getattr(self._thread, "unit", None)
        if current is not None:
            if write and not current.write:
                raise StorageError("a write within a unit of work that only reads")
            yield current
            return
        with self._turn_or_reader(write) as connection:
            connection.execute("begin immediate" if write else "begin")
            unit = self._thread.unit = Unit(connection, write, self.clock(), identity)
            try:
                yield unit
                unit.flush()
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                self._thread.unit = None
                for undo in unit.on_rollback:
                    undo()
                raise
            finally:
                self._thread.unit = None
        self.feed.announce(unit.published)

    @contextmanager
    def _turn_or_reader(self, write: bool) -> Iterator[sqlite3.Connection]:
        if write:
            with self._turn:
                self._check_open()
                yield self._writer
            return
        self._check_open()
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = self._connect(READER_CACHE_KB)
        try:
            yield connection
        finally:
            if self._closed or len(self._readers) >= IDLE_READERS:
                connection.close()
            else:
                self._readers.append(connection)

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError(f"the DynamoDB storage {self.path} is closed")

    def close(self) -> None:
        """Finish the write in progress, then close the file. Later requests fail; doing it twice is harmless."""
        with self._turn:
            if self._closed:
                return
            self._closed = True
            self.feed.close()
            while self._readers:
                self._readers.pop().close()
            self._writer.close()
            os.close(self._guard)


def _claim(path: pathlib.Path) -> int:
    """Hold a lock for as long as this process lives: table definitions are kept in memory, one process at a time."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StorageError(f"{path.with_suffix('')} is in use by another process") from None
    return descriptor


def _prepare(connection: sqlite3.Connection, path: pathlib.Path) -> None:
    """Make the bookkeeping tables in a new file; refuse a file of another version rather than misread it."""
    (version,) = connection.execute("pragma user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    (tables,) = connection.execute("select count(*) from sqlite_master").fetchone()
    if version or tables:
        raise StorageError(
            f"{path} has the storage version {version}, this sandbox needs {SCHEMA_VERSION}: move the file away"
        )
    connection.executescript(f"begin immediate; {SCHEMA} pragma user_version={SCHEMA_VERSION}; commit;")
