"""Stream records: an outbox in the transaction of the change, and consumers that each read it at their own pace.

A record is in the outbox if and only if its change was committed, in the order of commits. A consumer (a trigger of a
function) asks for records after a position, does its work, then commits its cursor; after a restart it goes on from
there. So delivery is at least once, in order, and a slow or failing consumer holds up nobody else. Records are as a
Lambda function gets them from a DynamoDB event source.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from typing import Any

from sandbox.aws.dynamodb import documents
from sandbox.aws.dynamodb.rows import Change

FIRST_SEQUENCE_NUMBER = 1100000000017454423009  # where moto's shards begin
KEEP_SECONDS = 3600  # at least, even when everybody has read a record
TRIM_BATCH = 5000  # records a transaction
KEEP_SECONDS_UNREAD = 24 * 3600  # AWS's retention; used while no consumer is known


class Feed:
    """Wakes those who wait for committed records."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._changed = threading.Condition()
        self._closed = False

    def announce(self, published: Mapping[str, int]) -> None:
        """Tell of committed records: the last sequence of each table."""
        if not published:
            return
        with self._changed:
            for table, seq in published.items():
                self._last[table] = max(seq, self._last.get(table, 0))
            self._changed.notify_all()

    def restart(self, last: Mapping[str, int]) -> None:
        """After a trim: what is gone must not end a wait. To be called within the trimming unit of work."""
        with self._changed:
            self._last = dict(last)

    def wait(self, after: int, timeout: float, table: str | None) -> bool:
        """True once a record after `after` is committed; False after `timeout` seconds, or when the storage closes."""

        def last() -> int:
            return self._last.get(table, 0) if table is not None else max(self._last.values(), default=0)

        with self._changed:
            self._changed.wait_for(lambda: self._closed or last() > after, timeout)
            return not self._closed and last() > after

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def publish(connection: sqlite3.Connection, change: Change, now: float, identity: str | None) -> int:
    """Put the record of one change into the outbox; returns its sequence."""
    row, layout = change.row, change.row.layout
    event = "REMOVE" if change.new is None else "INSERT" if change.old is None else "MODIFY"
    key_values = {layout.hash_name: row.hash_key}
    if layout.range_name is not None and row.range_key is not None:
        key_values[layout.range_name] = row.range_key
    view = layout.stream_view
    cursor = connection.execute(
        "insert into outbox(tbl,arn,region,event,view,at,keys,old,new,size,identity) values(?,?,?,?,?,?,?,?,?,?,?)",
        (
            layout.table,
            layout.stream_arn,
            layout.region,
            event,
            view,
            int(now),
            documents.dump(key_values),
            change.old if view in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES") else None,
            change.new if view in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES") else None,
            documents.size(key_values) + change.old_size + change.new_size,
            identity,
        ),
    )
    return int(cursor.lastrowid or 0)


def read(
    connection: sqlite3.Connection, where: str, value: str, after: int, limit: int
) -> list[tuple[int, dict[str, Any]]]:
    """Records after a sequence, oldest first. `where` is the column to choose by: `tbl` or `arn`."""
    found = connection.execute(
        f"select seq,arn,region,event,view,at,keys,old,new,size,identity from outbox where {where}=? and seq>? "
        "order by seq limit ?",
        (value, after, limit),
    )
    return [(row[0], _record(*row)) for row in found]


def _record(
    seq: int,
    arn: str,
    region: str,
    event: str,
    view: str,
    at: int,
    key_text: str,
    old: str | None,
    new: str | None,
    size: int,
    identity: str | None,
) -> dict[str, Any]:
    images = {"NewImage": new, "OldImage": old}
    record: dict[str, Any] = {
        "eventID": hashlib.sha256(f"{arn}/{seq}".encode()).hexdigest()[:32],
        "eventName": event,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": region,
        "eventSourceARN": arn,
        "dynamodb": {
            "ApproximateCreationDateTime": at,
            "Keys": json.loads(key_text),
            **{name: json.loads(text) for name, text in images.items() if text is not None},
            "SequenceNumber": str(FIRST_SEQUENCE_NUMBER + seq),
            "SizeBytes": size,
            "StreamViewType": view,
        },
    }
    if identity:
        record["userIdentity"] = {"type": "Service", "principalId": identity}
    return record


def last_records(connection: sqlite3.Connection) -> dict[str, int]:
    """The last sequence of each table that is in the outbox: one seek a table, not a walk over the records."""
    return dict(
        connection.execute(
            "with recursive streamed(tbl) as (select min(tbl) from outbox union all "
            "select (select min(tbl) from outbox where tbl>streamed.tbl) from streamed where tbl is not null) "
            "select tbl,(select max(seq) from outbox where outbox.tbl=streamed.tbl) from streamed where tbl is not null"
        ).fetchall()
    )


def cursor(connection: sqlite3.Connection, consumer: str) -> int:
    """Where a consumer is; 0 for one that never committed."""
    found = connection.execute("select seq from cursor where consumer=?", (consumer,)).fetchone()
    return int(found[0]) if found else 0


def move_cursor(connection: sqlite3.Connection, consumer: str, seq: int, table: str | None) -> None:
    """A cursor never goes back: a late commit of an older position changes nothing."""
    connection.execute(
        "insert into cursor(consumer,seq,tbl) values(?,?,?) "
        "on conflict(consumer) do update set seq=max(seq,excluded.seq), tbl=excluded.tbl",
        (consumer, seq, table),
    )


def trim(connection: sqlite3.Connection, now: float) -> int:
    """Drop old records that every consumer of their table has passed, at most TRIM_BATCH; returns how many."""
    (consumers,) = connection.execute("select count(*) from cursor").fetchone()
    keep = KEEP_SECONDS if consumers else KEEP_SECONDS_UNREAD
    return connection.execute(
        "delete from outbox where seq in (select seq from outbox where at<? and seq<=coalesce("
        "(select min(seq) from cursor where cursor.tbl is null or cursor.tbl=outbox.tbl),seq) limit ?)",
        (now - keep, TRIM_BATCH),
    ).rowcount
