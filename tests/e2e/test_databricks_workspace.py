"""Notebooks and secrets with databricks-cli, in a run too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.cli import Cli
from tests.e2e.live import CLUSTER

SOURCE = "# Databricks notebook source\nprint(1)\n\n# COMMAND ----------\n\n# MAGIC %md\n# MAGIC # Title\n"
SECRET = "hunter2"
TELLS = """# Databricks notebook source
value = dbutils.secrets.get("{scope}", "password")
print("the value is", value)
dbutils.notebook.exit(f"{{len(value)}} letters, {{[key.key for key in dbutils.secrets.list('{scope}')]}}, {{value}}")
"""


@pytest.fixture
def folder(cli: Cli) -> str:
    """A directory of the client's own."""
    path = f"/Users/cli-{cli.version}"
    cli.run("workspace", "mkdirs", path)
    return path


def test_notebooks_go_in_and_come_out(cli: Cli, folder: str, tmp_path: Path) -> None:
    source = tmp_path / "work.py"
    source.write_text(SOURCE)
    cli.run("workspace", "import", "-l", "PYTHON", str(source), f"{folder}/work")
    assert "already exists" in cli.fails("workspace", "import", "-l", "PYTHON", str(source), f"{folder}/work")
    cli.run("workspace", "import", "-o", "-l", "PYTHON", "-f", "SOURCE", str(source), f"{folder}/work")
    assert cli.run("workspace", "ls", folder).split() == ["work"]
    listed = cli.run("workspace", "ls", "-l", "--absolute", folder).split()
    assert listed == ["NOTEBOOK", f"{folder}/work", "PYTHON"]
    assert {"Users", "Shared"} <= set(cli.run("workspace", "ls").split())
    cli.run("workspace", "export", f"{folder}/work", str(tmp_path / "out.py"))
    assert (tmp_path / "out.py").read_text() == SOURCE
    cli.run("workspace", "export", "-o", "-f", "JUPYTER", f"{folder}/work", str(tmp_path / "out.ipynb"))
    cells = json.loads((tmp_path / "out.ipynb").read_text())["cells"]
    assert [cell["cell_type"] for cell in cells] == ["code", "markdown"]
    cli.run("workspace", "import", "-l", "PYTHON", "-f", "JUPYTER", str(tmp_path / "out.ipynb"), f"{folder}/again")
    (tmp_path / "into").mkdir()
    cli.run("workspace", "export", f"{folder}/again", str(tmp_path / "into"))
    assert (tmp_path / "into" / "again.py").read_text() == SOURCE
    assert "not supported" in cli.fails("workspace", "export", "-f", "DBC", f"{folder}/work", str(tmp_path / "x.dbc"))
    if cli.version != "0.8.2":
        assert cli.run("workspace", "ls", "--id", f"{folder}/work").split()[1].isdigit()
    told = cli.fails("workspace", "rm", folder)
    assert "DIRECTORY_NOT_EMPTY" in told and "recursive" in told
    cli.run("workspace", "rm", "-r", folder)
    assert "RESOURCE_DOES_NOT_EXIST" in cli.fails("workspace", "ls", folder)


def test_directories_go_in_and_come_out(cli: Cli, folder: str, tmp_path: Path) -> None:
    files = {
        "a.py": SOURCE,
        "sub/b.sql": "-- Databricks notebook source\nselect 1\n",
        "sub/deep/c.scala": "// Databricks notebook source\nval x = 1\n",
        "sub/d.r": "# Databricks notebook source\nx <- 1\n",
    }
    for name, text in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(text)
    cli.run("workspace", "import_dir", str(tmp_path / "in"), f"{folder}/tree")
    cli.run("workspace", "import_dir", "-o", str(tmp_path / "in"), f"{folder}/tree")
    cli.run("workspace", "export_dir", f"{folder}/tree", str(tmp_path / "out"))
    out = {str(p.relative_to(tmp_path / "out")): p.read_text() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert out == files
    cli.run("workspace", "delete", "-r", f"{folder}/tree")


def test_what_a_cluster_may_name_is_listed(cli: Cli) -> None:
    types = {one["node_type_id"]: one for one in cli.json("clusters", "list-node-types")["node_types"]}
    assert types["i3.xlarge"]["num_cores"] == 4
    assert CLUSTER["spark_version"] in {one["key"] for one in cli.json("clusters", "spark-versions")["versions"]}


def test_a_notebook_runs_with_its_secret(cli: Cli, folder: str, tmp_path: Path) -> None:
    scope = f"scope-{cli.version}"
    cli.run("secrets", "create-scope", "--scope", scope)
    cli.run("secrets", "put", "--scope", scope, "--key", "password", "--string-value", SECRET)
    binary = tmp_path / "key.bin"
    binary.write_bytes(b"\x00\xff")
    cli.run("secrets", "write", "--scope", scope, "--key", "binary", "--binary-file", str(binary))
    assert scope in cli.run("secrets", "list-scopes")
    assert [line.split()[0] for line in cli.run("secrets", "list", "--scope", scope).splitlines()[2:]] == [
        "binary",
        "password",
    ]
    cli.run("secrets", "put-acl", "--scope", scope, "--principal", "users", "--permission", "READ")
    assert "READ" in cli.run("secrets", "get-acl", "--scope", scope, "--principal", "users")
    cli.run("secrets", "delete-acl", "--scope", scope, "--principal", "users")
    assert [line.split() for line in cli.run("secrets", "list-acls", "--scope", scope).splitlines()[2:]] == [
        ["admin", "MANAGE"]
    ]
    (tmp_path / "tells.py").write_text(TELLS.format(scope=scope))
    cli.run("workspace", "import", "-o", "-l", "PYTHON", str(tmp_path / "tells.py"), f"{folder}/tells")
    body = {"new_cluster": CLUSTER, "notebook_task": {"notebook_path": f"{folder}/tells"}}
    run = cli.json("runs", "submit", "--json", json.dumps(body))["run_id"]
    state = cli.await_end(run)
    assert state["result_state"] == "SUCCESS", state
    if cli.version != "0.8.2":
        output = cli.json("runs", "get-output", "--run-id", str(run))["notebook_output"]
        assert output["result"] == "7 letters, ['binary', 'password'], [REDACTED]"
    cli.run("secrets", "delete", "--scope", scope, "--key", "binary")
    cli.run("secrets", "delete-scope", "--scope", scope)
    assert "RESOURCE_DOES_NOT_EXIST" in cli.fails("secrets", "list", "--scope", scope)
