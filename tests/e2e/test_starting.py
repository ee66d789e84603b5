"""What a person sees who starts a sandbox, and who starts one that cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import NewSandbox, Program
from tests.e2e.live import ROOT, Sandbox, free_port, python


def refused(tmp_path: Path, **settings: str) -> list[str]:
    """What `python -m sandbox` says on standard error when it does not start; nothing may be on standard output."""
    environment = {**os.environ, "SPARKPLANE_HOME": str(tmp_path), "SPARKPLANE_PORT": str(free_port()), **settings}
    done = subprocess.run(
        [sys.executable, "-m", "sandbox"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"SPARKPLANE_PORT": "http"}, "SPARKPLANE_PORT is 'http'"),
        ({"SPARKPLANE_MAX_DRIVERS": "0"}, "SPARKPLANE_MAX_DRIVERS is '0'"),
        ({"JAVA_HOME": "", "PATH": "/nonexistent"}, "Spark needs Java 17 or newer"),
        ({"SPARKPLANE_ENGINE_PYTHON": "/nonexistent/python"}, "/nonexistent/python is missing"),
        ({"SPARKPLANE_HOME": "/proc/nowhere"}, "/proc/nowhere"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_missing_is_said_in_one_line(tmp_path: Path, settings: dict[str, str], told: str) -> None:
    (line,) = refused(tmp_path, **settings)
    assert line.startswith("The sandbox cannot start: ")
    assert told in line


def test_a_port_that_is_taken_is_named(tmp_path: Path, sandbox: Sandbox) -> None:
    (line,) = refused(tmp_path, SPARKPLANE_PORT=str(sandbox.port))
    assert f"port {sandbox.port} of 127.0.0.1 is taken; SPARKPLANE_PORT chooses another" in line


def test_a_home_has_one_sandbox(sandbox: Sandbox) -> None:
    *_, line = refused(sandbox.home)
    assert line == f"The sandbox cannot start: {sandbox.home}/dynamodb.sqlite is in use by another process"


def test_the_ready_line_is_all_of_standard_output_and_stays_true(new_sandbox: NewSandbox, program: Program) -> None:
    sandbox = new_sandbox()
    sandbox.start()
    before = (sandbox.token, sandbox.instance)
    client = sandbox.client()
    run = client.submit(python(program("says.py", "print('hello')")))
    assert client.await_end(run)["state"]["result_state"] == "SUCCESS"
    assert sandbox.stop() == 0
    assert sandbox.stdout == [
        f"ready {sandbox.url} user=admin token={sandbox.token} analytics_engine={sandbox.instance}"
    ]
    sandbox.start()
    assert (sandbox.token, sandbox.instance) == before
    assert client.await_output(run, "hello") == "hello\n"
