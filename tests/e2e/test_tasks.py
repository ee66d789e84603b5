"""Tasks other than programs, with real Spark: jobs that run jobs, pipelines, clusters that do not exist."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Program
from tests.e2e.live import CLUSTER, ROOT, Client, eventually, python

TABLES = """\
import dlt

@dlt.table
def numbers():
    return spark.range(int(spark.conf.get("tests.count")))

@dlt.table(comment="every other one")
def evens():
    return dlt.read("LIVE.numbers").where("id % 2 = 0")
"""
TOTAL = "CREATE MATERIALIZED VIEW total AS SELECT sum(id) AS total FROM evens"
REFUSED = """\
import dlt

@dlt.expect("positive", "id > 0")
def numbers():
    return spark.range(10)
"""


def saved(client: Client, task: dict[str, Any], **settings: Any) -> int:
    body = {"name": f"job-{uuid.uuid4().hex}", "new_cluster": CLUSTER, **task, **settings}
    return int(client.jobs("create", body)["job_id"])


def run_now(client: Client, job: int) -> int:
    return int(client.jobs("run-now", {"job_id": job})["run_id"])


def test_a_chain_of_jobs_ends_as_the_last_one_does(client: Client, program: Program) -> None:
    good = saved(client, python(program("good.py", "print('done')")))
    bad = saved(client, python(program("bad.py", "raise ValueError('no such thing')")))
    for last, result in ((good, "SUCCESS"), (bad, "FAILED")):
        middle = saved(client, {"run_job_task": {"job_id": last}}, new_cluster=None)
        run = run_now(client, saved(client, {"run_job_task": {"job_id": middle}}, new_cluster=None))
        ended = client.await_end(run)
        assert ended["state"]["result_state"] == result
        child = client.jobs("runs/get", run_id=ended["run_job_output"]["run_id"])
        grandchild = client.jobs("runs/get", run_id=child["run_job_output"]["run_id"])
        assert (child["trigger"], grandchild["trigger"]) == ("RUN_JOB_TASK", "RUN_JOB_TASK")
        assert grandchild["state"]["result_state"] == result
        if result == "FAILED":
            assert "ValueError: no such thing" in ended["state"]["state_message"]


def test_cancelling_a_parent_stops_the_childs_driver(client: Client, program: Program) -> None:
    slow = saved(client, python(program("slow.py", "import time\ntime.sleep(300)\n")))
    run = client.submit({"run_job_task": {"job_id": slow}}, new_cluster=None)

    def child_runs() -> int:
        shown = client.jobs("runs/get", run_id=run).get("run_job_output")
        child = int(shown["run_id"]) if shown else 0
        running = child and client.jobs("runs/get", run_id=child)["state"]["life_cycle_state"] == "RUNNING"
        return child if running else 0

    child = eventually(child_runs, "a child that runs", 60)
    client.jobs("runs/cancel", {"run_id": run})
    assert client.await_end(run)["state"]["result_state"] == "CANCELED"
    assert client.await_end(child)["state"]["result_state"] == "CANCELED"


def test_a_run_on_a_cluster_that_does_not_exist_says_so(client: Client, program: Program) -> None:
    task = {**python(program("any.py", "print(1)")), "existing_cluster_id": "1201-my-cluster"}
    state = client.await_end(client.submit(task, new_cluster=None))["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("INTERNAL_ERROR", "FAILED")
    assert "1201-my-cluster failed since the cluster does not exist" in state["state_message"]


def test_a_pipeline_makes_its_tables_twice_and_keeps_them_when_it_fails(client: Client, tmp_path: Path) -> None:
    (tmp_path / "tables.py").write_text(TABLES)
    (tmp_path / "total.sql").write_text(TOTAL)
    name, storage = f"pipeline-{uuid.uuid4().hex}", tmp_path / "storage"
    settings = {
        "name": name,
        "libraries": [
            {"glob": {"include": f"file://{tmp_path}/*.py"}},
            {"file": {"path": f"file://{tmp_path}/total.sql"}},
        ],
        "configuration": {"tests.count": "10"},
        "storage": f"file://{storage}",
    }
    pipeline = client.ok("POST", "/api/2.0/pipelines", settings)["pipeline_id"]
    one = f"/api/2.0/pipelines/{pipeline}"
    update = client.ok("POST", f"{one}/updates", {})["update_id"]
    run = client.ok("GET", f"{one}/updates/{update}")["update"]["run_id"]
    assert client.await_end(run, 120)["state"]["result_state"] == "SUCCESS"
    assert "Run is COMPLETED" in client.jobs("runs/get-output", run_id=run)["logs"]
    assert total(storage) == 20
    client.ok("PUT", one, {**settings, "configuration": {"tests.count": "100"}})
    again = run_now(client, saved(client, {"pipeline_task": {"pipeline_id": name}}))
    assert client.await_end(again, 120)["state"]["result_state"] == "SUCCESS"
    assert total(storage) == 2450
    (tmp_path / "tables.py").write_text(REFUSED)
    update = client.ok("POST", f"{one}/updates", {})["update_id"]
    failed = client.await_end(client.ok("GET", f"{one}/updates/{update}")["update"]["run_id"], 120)
    assert failed["state"]["result_state"] == "FAILED"
    assert "dlt.expect is not supported" in failed["state"]["state_message"]
    assert total(storage) == 2450


def total(storage: Path) -> int:
    """What the table `total` holds, as another program reads it."""
    code = f"import pandas; print(int(pandas.read_parquet({str(storage / 'tables' / 'total')!r}).total[0]))"
    found = subprocess.run([ROOT / ".venv-engine/bin/python", "-c", code], capture_output=True, text=True, check=True)
    return int(found.stdout)
