"""A control plane on loopback that knows a few notebooks and secrets, and a driver that runs one of them."""

from __future__ import annotations

import base64
import http.server
import json
import os
import pathlib
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from chalicelib.core.model import Language
from chalicelib.core.notebooks import code_cell, new_notebook
from chalicelib.driver.bundle import bundle, launch_file

RUN, SECRET = "acme.4503599627370497", "run-secret-8d1f"


def notebook(*cells: str, language: Language = Language.PYTHON) -> dict[str, Any]:
    """A notebook with these cells."""
    return new_notebook([code_cell(cell) for cell in cells], language)


@dataclass
class Done:
    """What a driver left: its exit code, its last report, the files that it stored, and what it printed."""

    code: int
    report: dict[str, Any]
    files: dict[str, bytes]
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The error's type and message."""
        error = self.report["error"]
        return f"{error['type']}: {error['message']}" if error else ""

    @property
    def result(self) -> Any:
        """What the notebook exited with, as the report has it."""
        return self.report["notebook"].get("result")

    def outputs(self, cell: int) -> list[dict[str, Any]]:
        """The outputs of a cell of the executed notebook."""
        return list(json.loads(self.files["notebook.ipynb"])["cells"][cell].get("outputs", []))

    def text(self, cell: int) -> str:
        """What a cell printed."""
        return "".join("".join(one["text"]) for one in self.outputs(cell) if one["output_type"] == "stream")

    @property
    def page(self) -> str:
        """The exported page."""
        return self.files["notebook.html"].decode()


@dataclass
class Door:
    """The control plane. `linked` notebooks are answered with a link."""

    notebooks: Mapping[str, dict[str, Any]]
    secrets: Mapping[tuple[str, str], str] = field(default_factory=dict)
    linked: frozenset[str] = frozenset()
    reports: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def __enter__(self) -> Self:
        door = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, told = door.answer(self.command, self.path, self.headers.get("Authorization"), body)
                text = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = _answer

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, target: str, authorization: str | None, body: bytes) -> tuple[int, Any]:
        """Status and JSON for one request."""
        parts = urlsplit(target)
        words, query = [unquote(word) for word in parts.path.split("/")], dict(parse_qsl(parts.query))
        if words[1] == "file":
            assert authorization is None
            if method == "PUT":
                self.files[words[2]] = body
                return 200, {}
            return 200, self.notebooks["/" + "/".join(words[2:])]
        assert (parts.path.startswith(f"/driver/v1/runs/{RUN}/"), authorization) == (True, f"Bearer {SECRET}")
        return getattr(self, f"_{words[5]}")(words[6:], query, json.loads(body) if body else None)

    def _report(self, words: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        self.reports.append(body)
        return 200, {}

    def _links(self, words: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        return 200, {"links": {name: f"{self.url}/file/{name}" for name in body["files"]}}

    def _notebook(self, words: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        path = query["path"]
        if path not in self.notebooks:
            return 404, {"message": f"Path ({path}) doesn't exist."}
        content = self.notebooks[path]
        about = {"path": path, "language": content["metadata"]["language_info"]["name"].upper(), "revision": 1}
        linked = path in self.linked
        return 200, {**about, **({"link": f"{self.url}/file{path}"} if linked else {"notebook": content})}

    def _secrets(self, words: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        if not words:
            return 200, {"scopes": sorted({scope for scope, _ in self.secrets})}
        if len(words) == 1:
            return 200, {"keys": [key for scope, key in self.secrets if scope == words[0]]}
        value = self.secrets.get((words[0], words[1]))
        if value is None:
            return 404, {"message": f"Secret does not exist with scope: {words[0]} and key: {words[1]}"}
        return 200, {"value": base64.b64encode(value.encode()).decode(), "is_text": True}


class Driver:
    """Starts drivers of one Spark installation."""

    def __init__(self, python: pathlib.Path, home: pathlib.Path, work: pathlib.Path) -> None:
        self._python, self._home, self.work = python, home, work

    def start(
        self, door: Door, main: str, parameters: Mapping[str, str], *, spark: bool, **config: Any
    ) -> subprocess.Popen[str]:
        """A driver that runs a notebook; without Spark it is the bootstrap alone."""
        (self.work / "driver.zip").write_bytes(bundle())
        told = {
            "run": RUN,
            "api": door.url,
            "secret": SECRET,
            "program": {"notebook": main, "revision": 0, "parameters": dict(parameters)},
            **config,
        }
        (self.work / "launch.py").write_text(launch_file(told))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.work),
            "SPARK_HOME": str(self._home),
            "PYSPARK_PYTHON": str(self._python),
            "SPARK_LOCAL_IP": "127.0.0.1",
            **{name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ},
        }
        conf = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "1"}
        if spark:
            command = [str(self._home / "bin" / "spark-submit"), "--master", "local[1]"]
            command += ["--py-files", str(self.work / "driver.zip"), "--driver-java-options", "-XX:TieredStopAtLevel=1"]
            command += [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
        else:
            command = [str(self._python)]
            environment["PYTHONPATH"] = str(self.work / "driver.zip")
        return subprocess.Popen(
            [*command, str(self.work / "launch.py")],
            env=environment,
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self,
        notebooks: Mapping[str, dict[str, Any]] | dict[str, Any],
        parameters: Mapping[str, str] | None = None,
        *,
        main: str = "/main",
        spark: bool = False,
        secrets: Mapping[tuple[str, str], str] | None = None,
        linked: frozenset[str] = frozenset(),
        **config: Any,
    ) -> Done:
        """Run the notebook `main` of `notebooks` (or a single one) to its end."""
        known = {main: notebooks} if "cells" in notebooks else notebooks
        with Door(known, secrets or {}, linked) as door:
            process = self.start(door, main, parameters or {}, spark=spark, **config)
            try:
                stdout, stderr = process.communicate(timeout=240)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        report = door.reports[-1] if door.reports else {}
        return Done(process.returncode, report, door.files, stdout, stderr)
