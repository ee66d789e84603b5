"""The Jobs API 2.0 document's own examples, posted as its curl commands post them (seed 004)."""

from __future__ import annotations

import json

import pytest

from tests.contract import seed_004
from tests.contract.databricks import JOBS, create, get_run, jar, listed, refused, run_now, spark_submit, submit
from tests.contract.wire import Client, Service


def test_the_create_example_makes_a_job_and_answers_its_id_alone(alice: Client) -> None:
    answer = alice.post(f"{JOBS}/create", seed_004.CREATE_JOB)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json) == ["job_id"]
    assert 0 < answer.json["job_id"] < 1 << 53


def test_get_answers_the_created_job_with_its_settings_as_they_were_given(service: Service, alice: Client) -> None:
    created_at = service.clock.now()
    job = create(alice, seed_004.CREATE_JOB)
    given = json.loads(seed_004.CREATE_JOB)
    assert alice.get(f"{JOBS}/get", job_id=job).json == {
        "job_id": job,
        "creator_user_name": "alice",
        "run_as_user_name": "alice",
        "settings": {
            **given,
            "schedule": {**given["schedule"], "pause_status": "UNPAUSED"},
            "max_concurrent_runs": 1,
        },
        "created_time": created_at,
    }


def test_list_answers_each_job_as_get_does(alice: Client) -> None:
    jobs = [create(alice, seed_004.CREATE_JOB), create(alice)]
    answer = alice.get(f"{JOBS}/list")
    assert answer.json == {"jobs": [alice.get(f"{JOBS}/get", job_id=job).json for job in jobs]}


def test_an_empty_list_of_jobs_is_an_object_that_every_client_can_read(alice: Client) -> None:
    answer = alice.get(f"{JOBS}/list")
    assert (answer.status, answer.json) == (200, {"jobs": []})


def test_the_delete_example_removes_the_job_and_its_history_and_is_no_error_twice(alice: Client) -> None:
    job = create(alice)
    run = run_now(alice, job)
    for _ in range(2):
        answer = alice.post(f"{JOBS}/delete", f'{{ "job_id": {job} }}')
        assert (answer.status, answer.json) == (200, {})
    refused(alice.get(f"{JOBS}/get", job_id=job), 400, "INVALID_PARAMETER_VALUE", f"Job {job} does not exist.")
    alice.service.play()
    assert alice.get(f"{JOBS}/list").json == {"jobs": []}
    assert run not in listed(alice)


def test_a_job_that_is_removed_ends_its_live_runs(service: Service, alice: Client) -> None:
    job = create(alice)
    run = run_now(alice, job)
    service.start(run)
    alice.post(f"{JOBS}/delete", {"job_id": job})
    service.play()
    service.progress()
    service.play()
    assert service.run(run).ended


def test_the_submit_example_makes_a_run_and_answers_its_id_alone(alice: Client) -> None:
    answer = alice.post(f"{JOBS}/runs/submit", seed_004.SUBMIT_JOB)
    assert answer.status == 200
    assert list(answer.json) == ["run_id"]


def test_runs_get_answers_the_submitted_example_with_every_field_of_the_document(
    service: Service, alice: Client
) -> None:
    created_at = service.clock.now()
    run = submit(alice, seed_004.SUBMIT_JOB)
    given = json.loads(seed_004.SUBMIT_JOB)
    answer = get_run(alice, run)
    assert set(answer) - {"format"} == set(seed_004.RUN_FIELDS)
    assert answer == {
        "job_id": run,
        "run_id": run,
        "number_in_job": 1,
        "original_attempt_run_id": run,
        "state": {
            "life_cycle_state": "PENDING",
            "state_message": (
                "Next in pool default; there is room for it. 7.5.x-scala2.12 (Spark 3.0) is stood in for by release "
                "emr-6.11.0-latest (Spark 3.3), the closest newer one."
            ),
            "user_cancelled_or_timedout": False,
        },
        "task": {"spark_jar_task": {"main_class_name": "com.databricks.ComputeModels"}},
        "cluster_spec": {"new_cluster": given["new_cluster"], "libraries": given["libraries"]},
        "start_time": created_at,
        "setup_duration": 0,
        "execution_duration": 0,
        "cleanup_duration": 0,
        "run_duration": 0,
        "end_time": 0,
        "trigger": "ONE_TIME",
        "creator_user_name": "alice",
        "run_name": "my spark task",
        "run_page_url": f"https://api.test/#job/{run}/run/1",
        "run_type": "SUBMIT_RUN",
        "attempt_number": 0,
        "format": "SINGLE_TASK",
    }


def test_the_submit_example_becomes_a_driver_with_its_cluster_its_jar_and_its_package(
    service: Service, alice: Client
) -> None:
    run = submit(alice, seed_004.SUBMIT_JOB)
    spec = service.run(run).spec
    assert spec.program.main_class == "com.databricks.ComputeModels"
    assert spec.files.jars == ("s3://bucket/main/dbfs/my-jar.jar",)
    assert spec.files.packages == ("org.jsoup:jsoup:1.7.2",)
    assert (spec.size.executors, spec.size.executor_cores, spec.spark_version) == (10, 4, "3.0")


def test_the_run_now_example_for_a_jar_job_runs_with_its_parameters(service: Service, alice: Client) -> None:
    job = create(alice, seed_004.CREATE_JOB)
    body = seed_004.RUN_JAR_JOB.replace('"job_id": 2', f'"job_id": {job}')
    answer = alice.post(f"{JOBS}/run-now", body)
    assert answer.status == 200
    assert list(answer.json) == ["run_id", "number_in_job"]
    assert answer.json["number_in_job"] == 1
    run = answer.json["run_id"]
    assert service.run(run).spec.program.arguments == ("john doe", "35")
    shown = get_run(alice, run)
    assert shown["overriding_parameters"] == {"jar_params": ["john doe", "35"]}
    assert (shown["job_id"], shown["run_type"], shown["trigger"]) == (job, "JOB_RUN", "ONE_TIME")


def test_the_run_now_example_for_a_notebook_is_refused_for_a_job_that_is_none(service: Service, alice: Client) -> None:
    job = create(alice, jar())
    body = seed_004.RUN_NOTEBOOK_JOB.replace('"job_id": 1', f'"job_id": {job}')
    with service.unchanged():
        answer = alice.post(f"{JOBS}/run-now", body)
    message = "notebook_params cannot be given to a job with a spark_jar_task."
    refused(answer, 400, "INVALID_PARAMETER_VALUE", message)


def test_the_spark_submit_example_runs_its_jar_with_its_class_and_argument(service: Service, alice: Client) -> None:
    run = submit(alice, spark_submit(*json.loads(seed_004.RUN_SUBMIT_PARAMETERS)["parameters"]))
    program = service.run(run).spec.program
    assert program.main_class == "org.apache.spark.examples.SparkPi"
    assert program.resource == "s3://bucket/main/dbfs/path/to/examples.jar"
    assert program.arguments == ("10",)


def test_the_runs_list_example_answers_runs_as_get_does_and_says_that_there_are_more(
    service: Service, alice: Client
) -> None:
    job = create(alice, jar(max_concurrent_runs=5))
    runs = [run_now(alice, job) for _ in range(3)]
    service.play()
    query = {"job_id": job, "active_only": "true", "offset": 0, "limit": 2, "run_type": "JOB_RUN"}
    answer = alice.get(f"{JOBS}/runs/list", **query)
    assert answer.json == {"runs": [get_run(alice, run) for run in reversed(runs[1:])], "has_more": True}


@pytest.mark.parametrize("path", ["get", "runs/list"])
def test_a_get_takes_its_fields_from_the_query_as_curl_sends_them(alice: Client, path: str) -> None:
    job = create(alice)
    answer = alice.request("GET", f"{JOBS}/{path}", query=[("job_id", job)])
    assert answer.status == 200


def test_the_cancel_examples_answer_an_empty_object(alice: Client) -> None:
    job = create(alice)
    run = run_now(alice, job)
    for path, body in (("runs/cancel", f'{{ "run_id": {run} }}'), ("runs/cancel-all", f'{{ "job_id": {job} }}')):
        answer = alice.post(f"{JOBS}/{path}", body)
        assert (answer.status, answer.json) == (200, {})


def test_the_get_output_example_answers_the_run_as_metadata(service: Service, alice: Client) -> None:
    run = submit(alice)
    service.end(run)
    answer = alice.get(f"{JOBS}/runs/get-output", run_id=run)
    assert answer.status == 200
    assert answer.json == {"metadata": get_run(alice, run), "logs": "", "logs_truncated": False}


def test_the_runs_delete_example_removes_an_ended_run(service: Service, alice: Client) -> None:
    run = submit(alice)
    service.end(run)
    answer = alice.post(f"{JOBS}/runs/delete", f'{{ "run_id": {run} }}')
    assert (answer.status, answer.json) == (200, {})
    refused(alice.get(f"{JOBS}/runs/get", run_id=run), 400, "INVALID_PARAMETER_VALUE", f"Run {run} does not exist.")
    assert listed(alice) == []
