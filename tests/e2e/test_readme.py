"""The README's examples, run as they stand: what a reader would paste must work."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.live import ROOT, Sandbox

EXAMPLE = re.compile(r"<!-- example: (\w+) -->\n```sh\n(.*?)```", re.DOTALL)
EXAMPLES = dict(EXAMPLE.findall((ROOT / "README.md").read_text()))
CLI = ROOT / ".venv-cli018" / "bin"


def run(example: str, sandbox: Sandbox, directory: Path) -> str:
    """Run an example in a directory, with what the README says to export; fails with what it printed."""
    told = {"URL": sandbox.url, "TOKEN": sandbox.token, "INSTANCE": sandbox.instance}
    path = {"PATH": f"{CLI}:{os.environ['PATH']}", "HOME": str(directory), "SPARKPLANE_HOME": str(sandbox.home)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", EXAMPLES[example]],
        check=False,
        cwd=directory,
        env={**os.environ, **told, **path, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not CLI.exists(), reason="the Databricks CLI is not installed (make test installs it)")
def test_the_databricks_example_runs_a_program_and_lists_it(sandbox: Sandbox, tmp_path: Path) -> None:
    printed = run("databricks", sandbox, tmp_path)
    assert "SUCCESS" in printed or "TERMINATED" in printed
    assert "count" in printed


def test_the_analytics_engine_example_submits_an_application_and_lists_it(sandbox: Sandbox, tmp_path: Path) -> None:
    printed = run("analytics_engine", sandbox, tmp_path)
    assert '"state":"ACCEPTED"' in printed
    assert '"applications":[' in printed


@pytest.mark.skipif(not CLI.exists(), reason="the Databricks CLI is not installed (make test installs it)")
def test_the_notebook_example_answers_its_exit_value_and_exports_a_page(sandbox: Sandbox, tmp_path: Path) -> None:
    assert "sold in the south" in run("notebook", sandbox, tmp_path)
    page = (tmp_path / "sales.html").read_text()
    assert "data:image/png;base64," in page and "total" in page


def test_the_destination_example_prints_an_id_and_a_secret(sandbox: Sandbox, tmp_path: Path) -> None:
    EXAMPLES["one"] = EXAMPLES["destination"].replace("make ", f"make -s -C {ROOT} ", 1)
    assert '"signing_secret"' in run("one", sandbox, tmp_path)


def test_the_administrators_example_makes_a_user_a_token_and_a_pool(sandbox: Sandbox, tmp_path: Path) -> None:
    for line in EXAMPLES["admin"].strip().splitlines():
        EXAMPLES["one"] = line.replace("make ", f"make -s -C {ROOT} ", 1)
        printed = run("one", sandbox, tmp_path)
        if "pool show" in line:
            assert '"pool": "etl"' in printed and '"cores": 64.0' in printed
    assert '"cores": 512.0' in printed
