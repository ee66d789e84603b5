"""Runs of notebooks, from the workspace to their exported page, with real Spark."""

from __future__ import annotations

import base64
import json
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.e2e import browser
from tests.e2e.live import CLUSTER, Client, eventually


@pytest.fixture(scope="module")
def folder() -> str:
    """A directory of the workspace for these tests."""
    return f"/Shared/notebooks-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def put(client: Client, folder: str) -> Any:
    """Imports a notebook of cells (magics as in Databricks' source files) and gives its path."""

    def put(name: str, *cells: str, language: str = "PYTHON") -> str:
        comment = {"PYTHON": "#", "SQL": "--"}[language]
        lines = [
            "\n".join(f"{comment} MAGIC {line}" for line in cell.split("\n")) if cell.startswith("%") else cell
            for cell in cells
        ]
        source = f"{comment} Databricks notebook source\n" + f"\n\n{comment} COMMAND ----------\n\n".join(lines)
        client.ok("POST", "/api/2.0/workspace/mkdirs", {"path": folder})
        body = {"format": "SOURCE", "language": language, "overwrite": True}
        content = base64.b64encode(source.encode()).decode()
        client.ok("POST", "/api/2.0/workspace/import", {"path": f"{folder}/{name}", "content": content, **body})
        return f"{folder}/{name}"

    return put


def task(path: str, **more: Any) -> dict[str, Any]:
    return {"notebook_task": {"notebook_path": path, **more}}


def export(client: Client, run: int) -> str:
    (view,) = client.jobs("runs/export", run_id=run)["views"]
    assert view["type"] == "NOTEBOOK"
    return str(view["content"])


def model_of(page: str) -> Any:
    match = re.search(r"__DATABRICKS_NOTEBOOK_MODEL = '([^']*)'", page)
    assert match is not None
    return json.loads(unquote(base64.b64decode(match.group(1)).decode()))


def test_a_jobs_notebook_with_parameters_sql_a_plot_and_a_result(client: Client, folder: str, put: Any) -> None:
    put("lib", "def double(n):\n    return 2 * n")
    put("child", "dbutils.notebook.exit(dbutils.widgets.get('n') + str(spark.catalog.tableExists('numbers')))")
    path = put(
        "report",
        "%md\n# Report",
        "%run ./lib",
        "spark.range(int(dbutils.widgets.get('n'))).createOrReplaceTempView('numbers')",
        "%sql\nselect id, id * 2 as twice, '$day' as day from numbers order by id",
        "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2])\ndisplay(fig)",
        "child = dbutils.notebook.run('./child', 60, {'n': 'of child '})",
        "import json\ndbutils.notebook.exit(json.dumps({'rows': double(_sqldf.count()), 'child': child, "
        "'run': dbutils.widgets.get('run')}))",
        "raise ValueError('never')",
    )
    settings = {"name": "report", "new_cluster": CLUSTER}
    parameters = {"n": "2", "day": "base", "run": "{{run_id}}"}
    job = client.jobs("create", {**settings, **task(path, base_parameters=parameters)})["job_id"]
    run = client.jobs("run-now", {"job_id": job, "notebook_params": {"day": "Monday"}})["run_id"]
    ended = client.await_end(run)
    assert ended["state"]["result_state"] == "SUCCESS", ended["state"]
    output = client.jobs("runs/get-output", run_id=run)
    assert output["notebook_output"]["truncated"] is False
    found = json.loads(output["notebook_output"]["result"])
    assert found == {"rows": 4, "child": "of child False", "run": str(run)}
    page = export(client, run)
    model = model_of(page)
    assert (model["name"], len(model["commands"])) == ("report", 8)
    (table,) = model["commands"][3]["results"]["data"]
    assert (table["type"], table["data"]) == ("table", [[0, 0, "Monday"], [1, 2, "Monday"]])
    assert "data:image/png;base64," in page
    assert client.jobs("runs/export", run_id=run, views_to_export="DASHBOARDS") == {"views": []}


MEASURED = """<script>document.title = [...document.images].map(i => i.naturalWidth > 100).join() + " tables "
+ [...document.querySelectorAll("table")].map(t => t.offsetHeight > 0 && t.rows.length).join()</script></body>"""


@browser.needed
def test_a_browser_shows_an_exported_page_with_its_table_and_plot(client: Client, put: Any, tmp_path: Path) -> None:
    plot = "import matplotlib.pyplot as plt\nplt.bar([1, 2], [3, 4])\nplt.show()"
    run = client.submit(task(put("shown", "%sql select 1 as one union all select 2", plot)))
    client.await_end(run)
    page = tmp_path / "page.html"
    page.write_text(export(client, run).replace("</body>", MEASURED))
    document = browser.shown(page, tmp_path / "profile")
    assert "<title>true tables 3</title>" in document


def test_a_cell_that_fails_fails_the_run_and_its_page_shows_how_far_it_came(client: Client, put: Any) -> None:
    path = put("fails", "print('came this far')", "spark.sql('select * from no_such_table')", "print('not this far')")
    run = client.submit(task(path))
    state = client.await_end(run)["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("TERMINATED", "FAILED")
    assert "no_such_table" in state["state_message"]
    output = client.jobs("runs/get-output", run_id=run)
    assert state["state_message"].startswith(output["error"])
    assert "select * from no_such_table" in output["error_trace"]
    first, second, third = model_of(export(client, run))["commands"]
    assert first["results"]["data"][0]["data"] == "came this far\n"
    assert (second["state"], third["results"]) == ("error", None)
    assert "no_such_table" in second["errorSummary"]


def test_a_secret_of_the_workspace_is_read_and_hidden(client: Client, put: Any) -> None:
    scope, value = f"scope-{uuid.uuid4().hex[:8]}", f"hunter2-{uuid.uuid4().hex}"
    client.ok("POST", "/api/2.0/secrets/scopes/create", {"scope": scope})
    client.ok("POST", "/api/2.0/secrets/put", {"scope": scope, "key": "password", "string_value": value})
    read = f"secret = dbutils.secrets.get('{scope}', 'password')"
    path = put("secret", f"{read}\nprint(secret, len(secret))", "dbutils.notebook.exit(secret)")
    run = client.submit(task(path))
    assert client.await_end(run)["state"]["result_state"] == "SUCCESS"
    output, page = client.jobs("runs/get-output", run_id=run), export(client, run)
    assert output["notebook_output"]["result"] == "[REDACTED]"
    first = model_of(page)["commands"][0]["results"]["data"][0]["data"]
    assert first == f"[REDACTED] {len(value)}\n"
    assert value not in page


def test_a_notebook_that_does_not_exist_fails_the_run_by_name(client: Client) -> None:
    run = client.submit(task("/Shared/absent"))
    state = client.await_end(run)["state"]
    assert state["result_state"] == "FAILED"
    assert state["state_message"].startswith("The notebook /Shared/absent does not exist.")


def test_a_schedule_runs_a_notebook_in_sql(client: Client, put: Any) -> None:
    path = put("scheduled", "select 'by the clock' as said", language="SQL")
    schedule = {"quartz_cron_expression": "0/5 * * * * ?", "timezone_id": "UTC"}
    settings = {"name": "scheduled", "new_cluster": CLUSTER, "schedule": schedule, **task(path)}
    job = client.jobs("create", settings)["job_id"]
    try:
        runs = eventually(lambda: client.jobs("runs/list", job_id=job)["runs"], "a run by the schedule", 60)
        client.jobs("update", {"job_id": job, "new_settings": {"schedule": {**schedule, "pause_status": "PAUSED"}}})
        run = runs[-1]["run_id"]
        ended = client.await_end(run)
        assert (ended["trigger"], ended["state"]["result_state"]) == ("PERIODIC", "SUCCESS")
        model = model_of(export(client, run))
        assert model["language"] == "sql"
        assert model["commands"][0]["results"]["data"][0]["data"] == [["by the clock"]]
    finally:
        client.jobs("delete", {"job_id": job})


def test_a_cancel_ends_a_notebook_that_runs(client: Client, put: Any) -> None:
    path = put("slow", "import time\nprint('begun')\ntime.sleep(600)")
    run = client.submit(task(path))
    eventually(lambda: client.run(run).get("cluster_instance", {}).get("spark_context_id"), "Spark of the run", 60)
    client.jobs("runs/cancel", {"run_id": run})
    ended = client.await_end(run)
    assert ended["state"]["result_state"] == "CANCELED"
    status, refused = client.call("GET", "/api/2.0/jobs/runs/export", params={"run_id": run})
    assert (status, refused["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
