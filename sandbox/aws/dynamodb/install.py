"""Puts the SQLite storage under moto's DynamoDB, and is the sandbox's way to its stream records.

The sandbox calls `install` once at start, before the first request; each trigger of a function then loops over
`wait_for_records`, `read_records` and `commit_cursor`, and a minute's tick calls `expire`.
"""

import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any

from moto.dynamodb.models import dynamodb_backends

from sandbox.aws.dynamodb import direct, expiry, seams, streams, transactions
from sandbox.aws.dynamodb.layout import layout_of
from sandbox.aws.dynamodb.storage import Storage
from sandbox.aws.patches import Patches

_active: "Installed | None" = None
_swapping = threading.Lock()


class Installed:
    """The storage in place. Records are numbered over all tables, in the order of commits."""

    def __init__(self, storage: Storage, patches: Patches) -> None:
        self._storage = storage
        self._patches = patches

    @property
    def path(self) -> pathlib.Path:
        return self._storage.path

    def read_records(self, table: str, after: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
        """Up to `limit` stream records of a table after the position `after`, oldest first, each with its position.

        A record is as a Lambda function gets it. Reading changes nothing: commit the cursor when the work is done.
        """
        with self._storage.unit(write=False) as unit:
            return streams.read(unit.connection, "tbl", table, after, limit)

    def wait_for_records(self, after: int, timeout: float, table: str | None = None) -> bool:
        """Wait until there is a record after `after`: True at once if there is; False after `timeout` seconds or when
        the storage closes. With more than one table, name the table, or another one's records end the wait."""
        return self._storage.feed.wait(after, timeout, table)

    def last_record(self, table: str) -> int:
        """The position of the newest record, where a consumer starts that wants none of the old ones; 0 for none."""
        with self._storage.unit(write=False) as unit:
            return streams.last_records(unit.connection).get(table, 0)

    def committed_cursor(self, consumer: str) -> int:
        """The position that a consumer has committed; 0 for an unknown one."""
        with self._storage.unit(write=False) as unit:
            return streams.cursor(unit.connection, consumer)

    def commit_cursor(self, consumer: str, seq: int, table: str | None = None) -> None:
        """Keep a consumer's position for after a restart. It never goes back. From its first commit on (0 is fine) a
        consumer is known: records that it has not passed are kept, those of `table` only if it is given."""
        with self._storage.unit(write=True) as unit:
            streams.move_cursor(unit.connection, consumer, seq, table)

    def forget_consumer(self, consumer: str) -> None:
        """Drop the cursor of a consumer that is gone, which would otherwise keep records for ever."""
        with self._storage.unit(write=True) as unit:
            unit.connection.execute("delete from cursor where consumer=?", (consumer,))

    def expire(self, now: float) -> int:
        """The minute's work: remove the items that have expired by `now` (epoch seconds), old stream records that
        every consumer has passed, and old client tokens. Returns how many items expired."""
        with self._storage.unit(write=False) as unit:
            places = unit.connection.execute("select distinct account,region from definition").fetchall()
        removed = 0
        for account, region in places:
            for table in list(dynamodb_backends[account][region].tables.values()):
                removed += expiry.expire(self._storage, layout_of(table), now)
        while self._trim(now) == streams.TRIM_BATCH:
            pass
        return removed

    def _trim(self, now: float) -> int:
        with self._storage.unit(write=True) as unit:
            transactions.forget_old(unit)
            trimmed = streams.trim(unit.connection, now)
            self._storage.feed.restart(streams.last_records(unit.connection))
        return trimmed

    def close(self) -> None:
        """Close the file and give moto its own storage back, empty. Harmless to repeat."""
        global _active
        with _swapping:
            _close(self)
            if _active is self:
                _active = None


def _close(installed: Installed) -> None:
    installed._storage.close()
    installed._patches.undo()
    for _, _, backend in list(dynamodb_backends.iter_backends()):
        backend.tables.clear()  # type: ignore[attr-defined]


def install(path: pathlib.Path, *, sync: str = "normal", clock: Callable[[], float] = time.time) -> Installed:
    """Keep moto's DynamoDB in the file `path`, for this process and until `close`.

    Before or after `mock_aws` starts, and for every account and region; tables that exist in moto by then are gone,
    those in the file are there. A second call closes the first storage and takes its place. `sync` is `normal`
    (nothing acknowledged is lost when the process is killed), `full` (nor when the power fails) or `off` (for tests).
    `clock` gives epoch seconds for stream records and client tokens.

    Raises StorageError when another process has the file or its version is another one's.
    """
    global _active
    with _swapping:
        if _active is not None:
            _close(_active)
            _active = None
        storage = Storage(path, sync, clock)
        patches = Patches()
        try:
            seams.apply(patches, storage)
            direct.apply(patches)
            for _, _, backend in list(dynamodb_backends.iter_backends()):
                seams.reload(backend, storage)
        except BaseException:
            patches.undo()
            storage.close()
            raise
        _active = Installed(storage, patches)
        return _active
