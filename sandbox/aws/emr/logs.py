"""What a driver writes, copied to S3 where EMR on EKS puts it, about a second behind.

    <logUri>/<virtual cluster>/jobs/<job>/containers/spark-<job>/spark-<job>-driver/{stdout,stderr}.gz

Event logs (spark.eventLog) are written to a local directory and copied to where the job asked for them: Spark's own
names are kept, and a log that is finished replaces the `.inprogress` one.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_GZIP = 16 + zlib.MAX_WBITS
_IN_PROGRESS = ".inprogress"

# A stream is sent whole each time, since S3 cannot append: the longer it gets, the less often, a second per 4 MB.
_BYTES_PER_SECOND = 4 << 20


def bucket_and_prefix(uri: str) -> tuple[str, str]:
    """`s3://bucket/a/b/` as ("bucket", "a/b")."""
    parts = urlsplit(uri)
    return parts.netloc, parts.path.strip("/")


def driver_log_prefix(log_uri: str, virtual_cluster_id: str, job_id: str) -> tuple[str, str]:
    """The bucket, and the key below which the driver's stdout.gz and stderr.gz stand."""
    bucket, prefix = bucket_and_prefix(log_uri)
    spark = f"spark-{job_id}"
    path = f"{virtual_cluster_id}/jobs/{job_id}/containers/{spark}/{spark}-driver"
    return bucket, f"{prefix}/{path}" if prefix else path


class Stream:
    """One growing file, kept compressed as far as it has been read."""

    def __init__(self, path: Path, bucket: str, key: str) -> None:
        self._path, self._bucket, self._key = path, bucket, key
        self._compressor = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
        self._compressed = bytearray()
        self._read = 0
        self._sent: int | None = None
        self._due = 0.0

    def send(self, s3: Any, *, last: bool = False) -> None:
        """Uploads what there is, when there is more than last time; at the `last` call whatever the clock says."""
        if not last and time.monotonic() < self._due:
            return
        self._read_on()
        if self._read == self._sent or (self._read == 0 and not last):
            return
        # Finishing a copy gives one whole gzip member each time, and leaves the original to grow on.
        body = bytes(self._compressed) + self._compressor.copy().flush()
        s3.put_object(Bucket=self._bucket, Key=self._key, Body=body, ContentType="application/x-gzip")
        self._sent = self._read
        self._due = time.monotonic() + len(body) / _BYTES_PER_SECOND

    def _read_on(self) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                while chunk := file.read(1 << 20):
                    self._compressed += self._compressor.compress(chunk)
                    self._read += len(chunk)
        except FileNotFoundError:
            pass  # the process has not been started, or could not be: its output is empty


class EventLogs:
    """A directory of Spark's event logs, mirrored below an S3 prefix."""

    def __init__(self, directory: Path, uri: str) -> None:
        self._directory = directory
        self._bucket, self._prefix = bucket_and_prefix(uri)
        self._sent: dict[str, tuple[int, int]] = {}

    def send(self, s3: Any) -> None:
        """Uploads the files that changed since the last time."""
        for path in sorted(self._directory.rglob("*")):
            name = path.relative_to(self._directory).as_posix()
            if path.name.startswith(".") or path.name.endswith(".crc"):
                continue
            try:
                mark = (path.stat().st_size, path.stat().st_mtime_ns)
                if not path.is_file() or self._sent.get(name) == mark:
                    continue
                self._put(s3, name, path)
            except FileNotFoundError:
                continue  # renamed since it was listed: it will be found under its new name
            self._sent[name] = mark

    def _put(self, s3: Any, name: str, path: Path) -> None:
        key = f"{self._prefix}/{name}" if self._prefix else name
        with path.open("rb") as body:
            s3.put_object(Bucket=self._bucket, Key=key, Body=body)
        if not name.endswith(_IN_PROGRESS):
            s3.delete_object(Bucket=self._bucket, Key=key + _IN_PROGRESS)


class Outbox:
    """Everything of one job that goes to S3; `send` is called now and then, and once at the end."""

    EVENT_LOG_SECONDS = 10.0

    def __init__(self, s3: Callable[[], Any], streams: list[Stream], event_logs: EventLogs | None) -> None:
        self._s3 = s3
        self._streams = streams
        self._event_logs = event_logs
        self._event_logs_due = time.monotonic() + self.EVENT_LOG_SECONDS

    @property
    def has_event_logs(self) -> bool:
        return self._event_logs is not None

    def send(self, *, last: bool = False) -> None:
        """Raises what S3 raises."""
        for stream in self._streams:
            stream.send(self._s3(), last=last)
        if self._event_logs is not None and (last or time.monotonic() >= self._event_logs_due):
            self._event_logs.send(self._s3())
            self._event_logs_due = time.monotonic() + self.EVENT_LOG_SECONDS
