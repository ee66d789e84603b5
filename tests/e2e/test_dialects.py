"""A run is the same run in both dialects: submitted in one, it is listed, read and cancelled from the other."""

from __future__ import annotations

import uuid
from typing import Any

from tests.e2e.conftest import Program
from tests.e2e.live import Client, Sandbox, eventually, python

SLOW = "import time\nprint('begun', flush=True)\ntime.sleep(300)\n"


def run_named(client: Client, name: str) -> Any:
    (run,) = [run for run in client.jobs("runs/list")["runs"] if run["run_name"] == name]
    return run


def test_an_application_is_a_run(client: Client, program: Program) -> None:
    name, path = uuid.uuid4().hex, str(program("slow.py", SLOW))
    id = client.apply(path, "a", "b", name=name)
    run = run_named(client, name)
    assert run["task"] == {"spark_python_task": {"python_file": path, "parameters": ["a", "b"]}}
    assert run["run_type"] == "SUBMIT_RUN"
    assert client.await_output(run["run_id"], "begun") == "begun\n"
    assert client.application(id)["state"] == "RUNNING"
    assert client.run(run["run_id"])["state"]["life_cycle_state"] == "RUNNING"
    active = client.jobs("runs/list", active_only="true")["runs"]
    assert run["run_id"] in [one["run_id"] for one in active]

    client.jobs("runs/cancel", {"run_id": run["run_id"]})
    stopped = client.await_application(id)
    assert stopped["state"] == "STOPPED"
    assert client.await_end(run["run_id"])["state"]["result_state"] == "CANCELED"
    client.jobs("runs/delete", {"run_id": run["run_id"]})
    assert client.call("GET", f"/v4/analytics_engines/{client.sandbox.instance}/spark_applications/{id}")[0] == 410


def test_a_run_is_an_application(client: Client, program: Program) -> None:
    name, path = uuid.uuid4().hex, program("slow.py", SLOW)
    run = client.submit(python(path, "a", "b"), run_name=name)
    found = client.application_named(name)
    id = found["application_id"]
    details = found["application_details"]
    assert (details["application"], details["arguments"]) == (f"file:{path}", ["a", "b"])
    client.await_output(run, "begun")
    running = client.engine("GET", "/spark_applications?state=RUNNING")["applications"]
    assert id in [one["application_id"] for one in running]

    client.engine("DELETE", f"/spark_applications/{id}")
    ended = client.await_end(run)
    assert ended["state"]["result_state"] == "CANCELED"
    assert ended["state"]["state_message"] == "Run cancelled."
    found = client.application(id)
    assert (found["state"], found["state_details"][0]["message"]) == ("STOPPED", "Run cancelled.")
    client.engine("DELETE", f"/spark_applications/{id}")
    status, told = client.call("GET", "/api/2.0/jobs/runs/get", params={"run_id": run})
    assert (status, told["message"]) == (400, f"Run {run} does not exist.")


def test_both_dialects_share_one_capacity(sandbox: Sandbox, client: Client, program: Program) -> None:
    path = program("slow.py", SLOW)
    name = uuid.uuid4().hex
    runs = [client.submit(python(path)), client.submit(python(path))]
    eventually(lambda: len(sandbox.pids()) == 2, "two drivers")
    id = client.apply(str(path), name=name)
    waiting = client.application(id)
    assert waiting["state"] == "QUEUED"
    assert client.run(run_named(client, name)["run_id"])["state"]["life_cycle_state"] == "PENDING"
    free = client.engine("GET")["resource_quota"]
    assert free["avail_cpu_quota"] < free["cpu_quota"]
    client.jobs("runs/cancel", {"run_id": runs[0]})
    eventually(lambda: client.application(id)["state"] == "RUNNING", "the application's turn", 60)
    client.jobs("runs/cancel", {"run_id": runs[1]})
    client.engine("DELETE", f"/spark_applications/{id}")
    assert [client.await_end(run)["state"]["result_state"] for run in runs] == ["CANCELED", "CANCELED"]
    assert client.await_application(id)["state"] == "STOPPED"
