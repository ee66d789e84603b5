"""Dynamic value references on the wire: each kind of task, retries, overrides, and parameters that go wrong by them."""

from __future__ import annotations

import ast
import json
from typing import Any

from tests.contract.databricks import create, get_run, jar, python, run_now, spark_submit, submit
from tests.contract.wire import Client, Service


def _launch(service: Service, run: int) -> Any:
    service.play()
    (launch,) = [one for one in service.engine.launches if one.run.id == run]
    return launch


def _config(service: Service, run: int) -> Any:
    """What the bootstrap of a Python run is told."""
    _launch(service, run)
    text = service.blobs.bodies[f"main/runs/{run}/launch.py"].decode()
    literal = text[text.index("json.loads(") + len("json.loads(") : text.rindex("))")]
    return json.loads(ast.literal_eval(literal))


def test_a_python_tasks_parameters_are_resolved_at_launch_and_shown_as_given(service: Service, alice: Client) -> None:
    task = {"python_file": "s3://code/main.py", "parameters": ["{{job_id}}", "run={{run_id}}", "{{what}}"]}
    run = submit(alice, python(spark_python_task=task))
    assert _config(service, run)["program"]["arguments"] == [str(run), f"run={run}", "{{what}}"]
    assert get_run(alice, run)["task"] == {"spark_python_task": task}


def test_a_jar_tasks_parameters_are_resolved(service: Service, alice: Client) -> None:
    job = create(alice, jar(name="Übung", spark_jar_task={"main_class_name": "M", "parameters": ["{{job.name}}"]}))
    run = run_now(alice, job)
    assert _launch(service, run).arguments == ("Übung",)
    service.end(run)
    again = run_now(alice, job, jar_params=["{{job_id}}/{{start_date}}"])
    assert _launch(service, again).arguments == (f"{job}/2026-05-28",)
    assert get_run(alice, again)["overriding_parameters"] == {"jar_params": ["{{job_id}}/{{start_date}}"]}


def test_every_parameter_of_a_spark_submit_task_is_resolved(service: Service, alice: Client) -> None:
    words = ["--conf", "spark.a={{run_id}}", "--files", "s3://b/{{run_id}}.csv", "s3://b/m.py", "{{task_retry_count}}"]
    run = submit(alice, spark_submit(*words))
    assert _config(service, run)["program"]["arguments"] == ["0"]
    spec = _launch(service, run).run.spec
    assert (spec.conf["spark.a"], spec.files.files) == (str(run), (f"s3://b/{run}.csv",))
    assert get_run(alice, run)["task"] == {"spark_submit_task": {"parameters": words}}


def test_a_retry_has_a_task_run_and_a_count_of_its_own(service: Service, alice: Client) -> None:
    parameters = ["{{run_id}}", "{{parent_run_id}}", "{{task_retry_count}}", "{{job.run_id}}"]
    task = {"python_file": "s3://code/main.py", "parameters": parameters}
    first = run_now(alice, create(alice, python(spark_python_task=task, max_retries=1)))
    service.end(first, "FAILED")
    (second,) = [run["run_id"] for run in alice.get("/api/2.0/jobs/runs/list", active_only=True).json["runs"]]
    assert _config(service, second)["program"]["arguments"] == [str(second), str(first), "1", str(first)]


def test_parameters_that_a_reference_breaks_fail_the_run_with_the_reason(service: Service, alice: Client) -> None:
    task = {"python_file": "s3://code/main.py", "parameters": ["{{job.name}}"]}
    foreign = submit(alice, python(run_name="Übung", spark_python_task=task))
    long = submit(alice, python(run_name="n" * 4000, spark_python_task={**task, "parameters": ["{{job.name}}"] * 3}))
    climbing = submit(alice, spark_submit("--files", "s3://b/{{job.name}}", "s3://b/m.py", run_name="../x"))
    service.play()
    for run, reason in (
        (foreign, "The parameters are not ASCII once their dynamic value references are replaced."),
        (long, "The parameters exceed 10000 bytes once their dynamic value references are replaced."),
        (climbing, "files: 's3://b/../x' has a '..' in its path."),
    ):
        state = get_run(alice, run)["state"]
        assert (state["life_cycle_state"], state["result_state"]) == ("TERMINATED", "FAILED")
        assert state["state_message"] == f"The driver could not be started: {reason}"
    assert service.engine.launches == []


def test_references_are_the_jobs_apis_alone(service: Service, alice: Client) -> None:
    details = {"application": "s3://code/main.py", "arguments": ["{{run_id}}"]}
    answer = alice.post(service.applications(), {"application_details": details})
    assert answer.status in {200, 201, 202}, answer.body
    service.play()
    assert service.engine.launches[0].run.spec.program.arguments == ("{{run_id}}",)
