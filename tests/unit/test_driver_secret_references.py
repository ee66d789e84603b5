"""Secrets in a run's environment: asked for at the door, given to the program alone, kept out of reports."""

from __future__ import annotations

import base64
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.driver.bundle import bundle, launch_file

VALUES = {"/vault/password": b"pass-word", "/vault/binary": b"\xff\xfe", "/vault/nul": b"a\0b"}


class Door:
    """A control plane that knows VALUES."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.reports: list[dict[str, Any]] = []
        door = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/driver/v1/runs/acme.1/secrets")
                door.asked.append(name)
                assert self.headers["Authorization"] == "Bearer s3cret"
                found = VALUES.get(name)
                told = {"value": base64.b64encode(found).decode()} if found else {"message": "No such secret."}
                self._answer(200 if found else 404, told)

            def do_POST(self) -> None:
                door.reports.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._answer(200, {})

            def _answer(self, status: int, told: Any) -> None:
                body = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def run(self, tmp_path: pathlib.Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "driver.zip").write_bytes(bundle())
        (tmp_path / "job.py").write_text("import os\n" + source)
        config = {
            "run": "acme.1",
            "api": f"http://127.0.0.1:{self.server.server_port}",
            "secret": "s3cret",
            "program": {"uri": f"file://{tmp_path}/job.py"},
            "environment": environment,
            "secret_references": True,
        }
        text = launch_file(config)
        assert "pass-word" not in text
        (tmp_path / "launch.py").write_text(text)
        return subprocess.run(
            [sys.executable, str(tmp_path / "launch.py")],
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "driver.zip")},
            check=False,
        )


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.server.shutdown()
    door.server.server_close()
    door.thread.join()


def test_a_secret_is_in_the_programs_environment_and_in_no_report(door: Door, tmp_path: pathlib.Path) -> None:
    source = "print(os.environ['PLAIN'], os.environ['URL'])\nraise ValueError(os.environ['URL'])"
    reference = "{{secrets/vault/password}}"
    done = door.run(tmp_path, source, PLAIN="{{what}}", URL=f"db://u:{reference}@{reference}")
    assert done.stdout == "{{what}} db://u:pass-word@pass-word\n", done.stderr
    assert door.asked == ["/vault/password"], "one secret is asked for once"
    told = json.dumps(door.reports)
    assert "ValueError" in told
    assert "pass-word" not in told


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vault/nope", "No such secret."),
        ("vault/binary", "The secret binary of scope vault is not text."),
        ("vault/nul", "The secret nul of scope vault cannot be in an environment."),
    ],
)
def test_a_secret_that_cannot_be_had_ends_the_run_before_its_program(
    door: Door, tmp_path: pathlib.Path, name: str, reason: str
) -> None:
    done = door.run(tmp_path, "print('ran')", TOKEN="{{secrets/" + name + "}}")
    assert (done.returncode, done.stdout) == (1, "")
    sentence = f"The environment variable TOKEN cannot be had: {reason}"
    assert f"sparkplane: {sentence}" in done.stderr
    assert door.reports[-1]["error"] == {"type": "sparkplane.Secret", "message": sentence, "traceback": ""}
