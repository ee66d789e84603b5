"""databricks-cli, unmodified: the oldest that still runs on this Python, and the last that was written in Python.

0.18.0 drops the port of DATABRICKS_HOST, so it reaches the sandbox as a proxy: its requests then name the whole URL.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.live import ROOT, RUN_SECONDS, Sandbox, eventually


@dataclass(frozen=True)
class Cli:
    """One databricks-cli with its own home."""

    version: str
    program: Path
    environment: dict[str, str]

    def run(self, *words: str) -> str:
        """What a command that succeeds prints."""
        done = self._call(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def fails(self, *words: str) -> str:
        """What a command that exits with 1 says, on either stream."""
        done = self._call(*words)
        assert done.returncode == 1, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), *words]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )

    def json(self, *words: str) -> Any:
        """What a command prints, as JSON."""
        return json.loads(self.run(*words))

    def await_end(self, run: int) -> dict[str, Any]:
        """`runs get` until the run has ended; its state."""

        def look() -> Any:
            state = self.json("runs", "get", "--run-id", str(run))["state"]
            return state if "result_state" in state else None

        return dict(eventually(look, f"end of run {run}", RUN_SECONDS, pause=0.3))


VERSIONS = ("0.8.2", "0.18.0")


def set_up(version: str, sandbox: Sandbox, home: Path) -> Cli:
    """The client, set up as its documentation says. Skips the test where the client is not installed."""
    program = ROOT / (".venv-cli082" if version == "0.8.2" else ".venv-cli018") / "bin" / "databricks"
    if not program.exists():
        pytest.skip(f"databricks-cli {version} is not set up: there is no {program.relative_to(ROOT)}")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "DATABRICKS_TOKEN": sandbox.token,
        "DATABRICKS_HOST": sandbox.url,
    }
    if version == "0.18.0":
        environment |= {"DATABRICKS_HOST": "http://sparkplane.test", "http_proxy": sandbox.url}
    cli = Cli(version, program, environment)
    if version == "0.18.0":
        cli.run("jobs", "configure", "--version=2.0")
    return cli
