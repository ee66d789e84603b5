"""What a history server needs in the sandbox: a directory that follows S3, and a door; and the product's way in."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chalicelib.aws.relay import HttpRelay
from chalicelib.core.model import Program, ProgramKind, Run, RunSpec
from chalicelib.ports import Unreachable
from sandbox.aws.emr.history import Doors, Mirror
from sandbox.aws.emr.records import write_json

RUN = Run("main", 7, RunSpec("history", Program(ProgramKind.JAR)), "alice", 1)


class Bucket:
    """As much of an S3 client as the mirror uses."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.gets = 0

    def get_paginator(self, operation: str) -> Bucket:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:
        assert Bucket == "b"
        found = {key: body for key, body in self.objects.items() if key.startswith(Prefix)}
        return [{"Contents": [{"Key": k, "ETag": str(hash(b)), "Size": len(b)} for k, b in found.items()]}, {}]

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self.gets += 1
        return {"Body": io.BytesIO(self.objects[Key])}


def files(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_a_directory_follows_its_prefix(tmp_path: Path) -> None:
    s3 = Bucket()
    mirror = Mirror(lambda: s3, "s3://b/main/events/default", tmp_path)
    s3.objects = {
        "main/events/default/": b"",
        "main/events/default/eventlog_v2_a/events_1_a.zstd": b"one",
        "main/events/default/eventlog_v2_a/appstatus_a.inprogress": b"",
        "main/events/default-2/other": b"no",
    }
    mirror.follow()
    assert files(tmp_path) == {"eventlog_v2_a/events_1_a.zstd": b"one", "eventlog_v2_a/appstatus_a.inprogress": b""}
    del s3.objects["main/events/default/eventlog_v2_a/appstatus_a.inprogress"]
    s3.objects["main/events/default/eventlog_v2_a/appstatus_a"] = b""
    s3.objects["main/events/default/eventlog_v2_a/events_1_a.zstd"] = b"one and two"
    mirror.follow()
    assert files(tmp_path) == {"eventlog_v2_a/events_1_a.zstd": b"one and two", "eventlog_v2_a/appstatus_a": b""}
    gets = s3.gets
    mirror.follow()
    assert s3.gets == gets, "what has not changed is not fetched again"


def test_what_went_while_nobody_followed_is_removed(tmp_path: Path) -> None:
    s3 = Bucket()
    s3.objects = {"e/a/appstatus_a.inprogress": b"", "e/a/events": b"1"}
    Mirror(lambda: s3, "s3://b/e", tmp_path).follow()
    (tmp_path / "a" / ".events.new").write_bytes(b"half")
    s3.objects = {"e/a/appstatus_a": b"", "e/a/events": b"1"}
    Mirror(lambda: s3, "s3://b/e", tmp_path).follow()
    assert files(tmp_path) == {"a/appstatus_a": b"", "a/events": b"1"}


def test_a_key_that_climbs_is_left_alone(tmp_path: Path) -> None:
    s3 = Bucket()
    s3.objects = {"e/../../x": b"no", "e/ok": b"yes"}
    Mirror(lambda: s3, "s3://b/e", tmp_path / "in").follow()
    assert files(tmp_path) == {"in/ok": b"yes"}


@pytest.fixture
def history() -> Iterator[int]:
    """Something that answers like a history server: it says what it was asked."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            body = f"{self.path} {self.headers['x-forwarded-context']}".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_the_products_way_leads_through_the_door(history: int, tmp_path: Path) -> None:
    write_json(tmp_path / "port.json", {"port": history})
    doors = Doors({"main.7": tmp_path}.get)
    doors.start()
    try:
        relay = HttpRelay(doors.url)
        answer = relay.get(RUN, "/api/v1/applications?limit=1", {"x-forwarded-context": "/base"})
        assert (answer.status, answer.body) == (200, b"/api/v1/applications?limit=1 /base")
        assert answer.headers["content-type"] == "text/plain"
        moved = relay.get(RUN, "/moved", {})
        assert (moved.status, moved.headers["location"]) == (302, "/elsewhere")
        other = Run("main", 8, RUN.spec, "alice", 1)
        with pytest.raises(Unreachable, match="502"):
            relay.get(other, "/", {})
        write_json(tmp_path / "port.json", {"port": 9})
        with pytest.raises(Unreachable, match="does not answer yet") as told:
            relay.get(RUN, "/", {})
        assert told.value.later
    finally:
        doors.close()


def test_a_deployment_without_a_way_says_so() -> None:
    with pytest.raises(Unreachable, match="HistoryUrl") as told:
        HttpRelay("").get(RUN, "/", {})
    assert not told.value.later
