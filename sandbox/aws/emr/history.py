"""What a history server needs on this machine: the event logs of S3 in a directory, and a port of its own.

On EKS it reads S3 by itself and has an address to itself. Here its directory is a copy of the S3 prefix, brought up
to date while it runs, and several of them share one machine, so each gets a free port, which it keeps in its job's
folder; `Doors` is where the product finds them, as a cluster's own name service would tell.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sandbox.aws.emr.logs import bucket_and_prefix
from sandbox.aws.emr.records import read_json, write_json
from sandbox.aws.emr.submission import Submission

MAIN_CLASS = "org.apache.spark.deploy.history.HistoryServer"
DIRECTORY, PORT = "spark.history.fs.logDirectory", "spark.history.ui.port"
_PORT_FILE = "port.json"


def is_history_server(submission: Submission) -> bool:
    """Whether the job is Spark's history server over event logs in S3."""
    return submission.main_class == MAIN_CLASS and submission.conf.get(DIRECTORY, "").startswith(("s3://", "s3a://"))


def on_this_machine(conf: dict[str, str], folder: Path) -> dict[str, str]:
    """The conf with a directory of the job's folder, and a port that nobody listens on now, which is written there."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    (folder / "history").mkdir(exist_ok=True)
    write_json(folder / _PORT_FILE, {"port": port})
    return {**conf, DIRECTORY: (folder / "history").as_uri(), PORT: str(port)}


class Mirror:
    """A directory that follows an S3 prefix: what is new or changed is fetched, what is gone is removed, also while
    nobody followed."""

    def __init__(self, s3: Callable[[], Any], uri: str, directory: Path) -> None:
        self._s3 = s3
        self._bucket, self._prefix = bucket_and_prefix(uri)
        self._directory = directory
        there = (path for path in directory.rglob("*") if path.is_file()) if directory.exists() else ()
        self._known: dict[str, str] = {path.relative_to(directory).as_posix(): "" for path in there}

    def follow(self) -> None:
        """Bring the directory up to date. Raises what S3 raises."""
        found = self._listed()
        for name in self._known.keys() - found.keys():
            (self._directory / name).unlink(missing_ok=True)
            del self._known[name]
        for name, mark in found.items():
            if self._known.get(name) != mark:
                self._fetch(name)
                self._known[name] = mark

    def _listed(self) -> dict[str, str]:
        pages = self._s3().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{self._prefix}/")
        objects = [one for page in pages for one in page.get("Contents", ())]
        names = {one["Key"][len(self._prefix) + 1 :]: f"{one['ETag']} {one['Size']}" for one in objects}
        return {name: mark for name, mark in names.items() if name and not name.endswith("/") and ".." not in name}

    def _fetch(self, name: str) -> None:
        target = self._directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        body = self._s3().get_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}")["Body"].read()
        new = target.with_name(f".{target.name}.new")
        new.write_bytes(body)
        new.replace(target)


class Doors:
    """`http://127.0.0.1:<port>/<job run's name>/…` is what the history server of that name answers to `/…`.

    It listens on the loopback interface only; who may ask is the control plane's affair.
    """

    def __init__(self, folder_of: Callable[[str], Path | None]) -> None:
        handler = type("Door", (_Door,), {"folder_of": staticmethod(folder_of)})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="history-doors", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{{run}}"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Door(BaseHTTPRequestHandler):
    folder_of: Callable[[str], Path | None]

    def do_GET(self) -> None:
        name, _, path = self.path.removeprefix("/").partition("/")
        folder = self.folder_of(name)
        told = read_json(folder / _PORT_FILE) if folder else None
        if told is None:
            self.send_error(502)
            return
        connection = http.client.HTTPConnection("127.0.0.1", told["port"], timeout=60)
        try:
            connection.request(
                "GET", f"/{path}", headers={k: v for k, v in self.headers.items() if k.lower() != "host"}
            )
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self.close_connection = True  # as a pod that is not up: no answer at all
            self.connection.close()
            return
        finally:
            connection.close()
        self.send_response(answer.status)
        for header, value in answer.getheaders():
            if header.lower() not in ("transfer-encoding", "connection", "content-length", "server", "date"):
                self.send_header(header, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Not to the owner's terminal."""
