"""The disk: bytes in files, one row a key in an index.

A file of bytes ("blob") is written whole before the row that names it is committed, and removed some time after the
row that named it is gone, so a reader that began is not cut off. What no row names at the start was left behind by a
crash, and is removed then. The index is SQLite in WAL mode: a committed row survives the end of the process at any
moment. (Not synced to the platter at every write, so a power cut may lose the last moments.)
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_GRACE_SECONDS = 30.0
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Blob:
    """Bytes in a file: its name, how many they are, their MD5 in hex. A part of an upload is not durable."""

    id: str
    size: int
    md5: str
    part: bool = False


class Store:
    """Files and index under one directory. Safe to use from any thread; one process at a time."""

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._blobs = directory / "blobs"
        self._parts = directory / "parts"
        shutil.rmtree(self._parts, ignore_errors=True)
        for one in (self._blobs, self._parts):
            one.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._lock = threading.RLock()
        self._garbage: deque[tuple[float, str]] = deque()
        self._index = sqlite3.connect(directory / "index.sqlite", check_same_thread=False, isolation_level=None)
        self._index.executescript(
            """
            pragma journal_mode = wal;
            pragma synchronous = normal;
            create table if not exists bucket (name text primary key, document text not null) without rowid;
            create table if not exists object (
                bucket text not null, key text not null, document text not null, primary key (bucket, key)
            ) without rowid;
            """
        )
        self._sweep()

    def close(self) -> None:
        with self._lock:
            self._index.close()

    # Bytes

    def write(self, value: bytes, *, part: bool = False) -> Blob:
        blob = Blob(uuid.uuid4().hex, len(value), hashlib.md5(value, usedforsecurity=False).hexdigest(), part)
        with self._create(blob.id, part) as file:
            file.write(value)
        return blob

    def join(self, parts: Sequence[Blob]) -> Blob:
        """A new blob of the parts' bytes in their order."""
        name, digest, size = uuid.uuid4().hex, hashlib.md5(usedforsecurity=False), 0
        with self._create(name, False) as target:
            for part in parts:
                with self.path(part).open("rb") as source:
                    while chunk := source.read(_CHUNK):
                        digest.update(chunk)
                        target.write(chunk)
                        size += len(chunk)
        return Blob(name, size, digest.hexdigest())

    def read(self, blob: Blob, begin: int = 0, end: int | None = None) -> bytes:
        """The bytes from `begin` up to, not including, `end`."""
        with self.path(blob).open("rb") as file:
            file.seek(begin)
            return file.read() if end is None else file.read(max(0, end - begin))

    def path(self, blob: Blob) -> Path:
        return self._place(blob.id, blob.part)

    def drop_part(self, blob: Blob) -> None:
        if blob.part:
            self.path(blob).unlink(missing_ok=True)

    def _place(self, name: str, part: bool) -> Path:
        return self._parts / name if part else self._blobs / name[:2] / name

    def _create(self, name: str, part: bool) -> Any:
        path = self._place(name, part)
        path.parent.mkdir(exist_ok=True)
        return path.open("xb")

    # Index

    def put_bucket(self, name: str, document: dict[str, Any]) -> None:
        with self._lock:
            self._index.execute("insert or replace into bucket values (?, ?)", (name, json.dumps(document)))

    def delete_bucket(self, name: str) -> None:
        with self._lock:
            self._index.execute("delete from bucket where name = ?", (name,))

    def buckets(self) -> Iterator[tuple[str, dict[str, Any]]]:
        with self._lock:
            rows = self._index.execute("select name, document from bucket order by name").fetchall()
        for name, document in rows:
            yield name, json.loads(document)

    def objects(self, bucket: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """The keys of a bucket in order, each with the documents of its versions, oldest first."""
        with self._lock:
            rows = self._index.execute("select key, document from object where bucket = ? order by key", (bucket,))
            found = rows.fetchall()
        for key, document in found:
            yield key, json.loads(document)

    def save(self, keys: Sequence[tuple[str, str]], versions: Callable[[str, str], list[dict[str, Any]]]) -> None:
        """Commit what `versions(bucket, key)` says of each key now; no versions means that the key is gone.

        The look and the commit are one step, so that of two writers of a key the last word is the newest state.
        """
        with self._lock:
            gone: set[str] = set()
            self._index.execute("begin immediate")
            try:
                for bucket, key in keys:
                    gone |= self._save(bucket, key, versions(bucket, key))
                self._index.execute("commit")
            except BaseException:
                self._index.execute("rollback")
                raise
            now = self._clock()
            self._garbage.extend((now, name) for name in gone)
            self._collect(now - _GRACE_SECONDS)

    def _save(self, bucket: str, key: str, documents: list[dict[str, Any]]) -> set[str]:
        """Write one row; the answer is the blobs that it no longer names."""
        row = self._index.execute("select document from object where bucket = ? and key = ?", (bucket, key)).fetchone()
        before = _named(json.loads(row[0])) if row else set()
        if documents:
            text = json.dumps(documents, separators=(",", ":"))
            self._index.execute("insert or replace into object values (?, ?, ?)", (bucket, key, text))
        else:
            self._index.execute("delete from object where bucket = ? and key = ?", (bucket, key))
        return before - _named(documents)

    def _collect(self, before: float) -> None:
        while self._garbage and self._garbage[0][0] <= before:
            self._place(self._garbage.popleft()[1], False).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove the blobs that no row names."""
        named: set[str] = set()
        for (document,) in self._index.execute("select document from object"):
            named |= _named(json.loads(document))
        for folder in os.scandir(self._blobs):
            for file in os.scandir(folder.path):
                if file.name not in named:
                    os.unlink(file.path)


def _named(documents: list[dict[str, Any]]) -> set[str]:
    return {one["blob"]["id"] for one in documents if "blob" in one}
