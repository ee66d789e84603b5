"""How a driver's growing output becomes objects in S3."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

from sandbox.aws.emr.logs import EventLogs, Stream, driver_log_prefix


class Bucket:
    """As much of an S3 client as the uploads use."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts = 0

    def put_object(self, *, Bucket: str, Key: str, Body: Any, **_: Any) -> None:
        self.objects[f"{Bucket}/{Key}"] = Body if isinstance(Body, bytes) else Body.read()
        self.puts += 1

    def delete_object(self, *, Bucket: str, Key: str) -> None:
        self.objects.pop(f"{Bucket}/{Key}", None)


def test_every_upload_is_one_whole_gzip_member_of_all_there_is(tmp_path: Path) -> None:
    path, bucket = tmp_path / "stdout", Bucket()
    stream = Stream(path, "b", "k")
    for text in ("one\n", "two\n" * 1000, "three\n"):
        with path.open("a") as file:
            file.write(text)
        stream.send(bucket, last=True)
        reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
        assert reader.decompress(bucket.objects["b/k"]).decode() == path.read_text()
        assert reader.eof and not reader.unused_data


def test_a_log_that_did_not_grow_is_not_sent_again(tmp_path: Path) -> None:
    path, bucket = tmp_path / "stdout", Bucket()
    path.write_text("one\n")
    stream = Stream(path, "b", "k")
    for _ in range(3):
        stream.send(bucket, last=True)
    assert bucket.puts == 1


def test_a_driver_that_wrote_nothing_has_empty_logs_at_its_end(tmp_path: Path) -> None:
    bucket = Bucket()
    stream = Stream(tmp_path / "stdout", "b", "k")
    stream.send(bucket)
    assert bucket.objects == {}
    stream.send(bucket, last=True)
    assert gzip.decompress(bucket.objects["b/k"]) == b""


def test_a_finished_event_log_takes_the_place_of_the_one_in_progress(tmp_path: Path) -> None:
    bucket = Bucket()
    logs = EventLogs(tmp_path, "s3://b/history/")
    growing = tmp_path / "local-1.inprogress"
    growing.write_text("1")
    logs.send(bucket)
    assert bucket.objects == {"b/history/local-1.inprogress": b"1"}
    growing.write_text("1 2")
    growing.rename(tmp_path / "local-1")
    logs.send(bucket)
    assert bucket.objects == {"b/history/local-1": b"1 2"}


def test_the_key_is_the_one_that_emr_on_eks_documents_with_or_without_a_prefix() -> None:
    path = "vc/jobs/j1/containers/spark-j1/spark-j1-driver"
    assert driver_log_prefix("s3://b/logs/", "vc", "j1") == ("b", f"logs/{path}")
    assert driver_log_prefix("s3://b", "vc", "j1") == ("b", path)
