"""How Jobs 2.0 clients really send what they mean (wire/README.md): bodies on GET, integers as text, pair arrays…"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.contract.databricks import (
    JOBS,
    cluster,
    create,
    get_run,
    jar,
    listed,
    python,
    refused,
    run_now,
    spark_submit,
    submit,
)
from tests.contract.wire import FORM, Client, Service

CONTENT_TYPES = ["application/json", "application/json; charset=utf-8", "text/json", "text/plain", FORM, ""]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_a_json_body_is_read_whatever_its_content_type_says(service: Service, alice: Client, content_type: str) -> None:
    answer = alice.post(f"{JOBS}/runs/submit", python(run_name="näme"), content_type=content_type)
    assert answer.status == 200
    assert service.run(answer.json["run_id"]).spec.name == "näme"


def test_a_form_body_is_read_as_fields(alice: Client) -> None:
    run = submit(alice)
    assert alice.post(f"{JOBS}/runs/cancel", urlencode({"run_id": run})).json == {}
    assert get_run(alice, run)["state"]["life_cycle_state"] == "TERMINATED"


@pytest.mark.parametrize("content_type", ["text/json", ""])
def test_a_get_may_carry_its_fields_in_a_json_body(alice: Client, content_type: str) -> None:
    job, run = create(alice), submit(alice)

    def ask(path: str, body: Any) -> Any:
        return alice.request("GET", f"{JOBS}/{path}", body=body, content_type=content_type).json

    assert ask("get", {"job_id": str(job)})["job_id"] == job
    assert ask("runs/get", {"run_id": str(run)})["run_id"] == run
    assert ask("runs/get-output", {"run_id": run})["metadata"]["run_id"] == run
    assert ask("runs/list", {"limit": "1", "active_only": True})["has_more"] is False


def test_of_a_get_with_both_the_query_wins_over_the_body(alice: Client) -> None:
    first, second = submit(alice), submit(alice)
    answer = alice.request("GET", f"{JOBS}/runs/get", query=[("run_id", second)], body={"run_id": first})
    assert answer.json["run_id"] == second


def test_integers_are_taken_as_text_and_answered_as_numbers(service: Service, alice: Client) -> None:
    body = python(timeout_seconds="60", max_retries="1", new_cluster=cluster(num_workers="3"))
    job = create(alice, body)
    assert service.store.snapshot() and alice.get(f"{JOBS}/get", job_id=str(job)).json["job_id"] == job
    answer = alice.post(f"{JOBS}/run-now", {"job_id": str(job)})
    assert isinstance(answer.json["run_id"], int) and answer.json["number_in_job"] == 1
    spec = service.run(answer.json["run_id"]).spec
    assert (spec.policy.timeout_ms, spec.policy.max_retries, spec.size.executors) == (60_000, 1, 3)


def test_maps_are_taken_as_arrays_of_pairs(service: Service, alice: Client) -> None:
    pairs = [{"key": "spark.sql.shuffle.partitions", "value": "8"}, {"key": "spark.ui.enabled", "value": False}]
    environment = [{"key": "STAGE", "value": "test"}]
    body = python(new_cluster=cluster(spark_conf=pairs, spark_env_vars=environment))
    spec = service.run(submit(alice, body)).spec
    assert spec.conf == {"spark.sql.shuffle.partitions": "8", "spark.ui.enabled": "false"}
    assert spec.environment == {"STAGE": "test"}


def test_query_keys_that_newer_clients_add_are_ignored(alice: Client) -> None:
    create(alice)
    assert len(alice.get(f"{JOBS}/list", expand_tasks="false", limit=20, version="2.1").json["jobs"]) == 1
    run = submit(alice)
    assert alice.get(f"{JOBS}/runs/get", run_id=run, include_history="true").status == 200
    assert alice.get(f"{JOBS}/runs/list", expand_tasks="false").status == 200


def test_body_fields_that_nobody_knows_are_ignored_and_not_answered(alice: Client) -> None:
    job = create(alice, python(name="mine", edit_mode="UI_LOCKED", queue={"enabled": True}))
    settings = alice.get(f"{JOBS}/get", job_id=job).json["settings"]
    assert set(settings) == {"name", "new_cluster", "spark_python_task", "max_concurrent_runs"}


def test_null_means_not_given(service: Service, alice: Client) -> None:
    body = python(name=None) | dict.fromkeys(
        ("name", "libraries", "timeout_seconds", "max_retries", "schedule", "max_concurrent_runs", "notebook_task")
    )
    body["new_cluster"] = {**cluster(), "spark_conf": None, "autoscale": None, "driver_node_type_id": None}
    body["spark_python_task"] = {"python_file": "s3://code/main.py", "parameters": None}
    job = create(alice, body)
    settings = alice.get(f"{JOBS}/get", job_id=job).json["settings"]
    assert (settings["name"], settings["max_concurrent_runs"]) == ("Untitled", 1)
    nulls = dict.fromkeys(("jar_params", "python_params", "notebook_params", "idempotency_token"))
    assert run_now(alice, job, **nulls)


def test_a_number_where_a_map_has_texts_is_taken_as_text(service: Service, alice: Client) -> None:
    body = python(new_cluster=cluster(spark_conf={"spark.executor.instances": 4, "spark.ui.enabled": True}))
    spec = service.run(submit(alice, body)).spec
    assert spec.conf == {"spark.executor.instances": "4", "spark.ui.enabled": "true"}
    assert spec.size.executors == 4


@pytest.mark.parametrize(("word", "shown"), [("true", True), ("TRUE", True), ("false", False)])
def test_booleans_are_taken_as_words_of_a_query(service: Service, alice: Client, word: str, shown: bool) -> None:
    ended, live = submit(alice), submit(alice)
    alice.post(f"{JOBS}/runs/cancel", {"run_id": ended})
    assert listed(alice, active_only=word) == ([live] if shown else [live, ended])


def test_names_and_parameters_come_back_unharmed(alice: Client) -> None:
    parameters = ['"quoted"', "back\\slash", "line\nbreak", "tab\t", "", " blank ", "--flag=1", "{{job_id}}", "\x7f"]
    body = python(
        run_name="Ünïcode ✓ 名前 🎈", spark_python_task={"python_file": "s3://c/m.py", "parameters": parameters}
    )
    run = get_run(alice, submit(alice, body))
    assert run["run_name"] == "Ünïcode ✓ 名前 🎈"
    assert run["task"]["spark_python_task"]["parameters"] == parameters


def test_a_run_without_a_name_is_untitled(alice: Client) -> None:
    assert get_run(alice, submit(alice))["run_name"] == "Untitled"
    assert alice.get(f"{JOBS}/get", job_id=create(alice)).json["settings"]["name"] == "Untitled"


def test_a_python_run_keeps_its_file_and_its_parameters(service: Service, alice: Client) -> None:
    program = service.run(submit(alice)).spec.program
    assert (program.resource, program.arguments) == ("s3://code/main.py", ("a", "b"))


def test_a_dbfs_path_is_the_workspaces_own_copy(service: Service, alice: Client, eve: Client) -> None:
    body = python(spark_python_task={"python_file": "dbfs:/code/main.py"})
    assert service.run(submit(alice, body)).spec.program.resource == "s3://bucket/main/dbfs/code/main.py"
    submit(eve, body)
    resources = {run.spec.program.resource for run in service.live()}
    assert "s3://bucket/elsewhere/dbfs/code/main.py" in resources


def test_autoscale_asks_for_dynamic_allocation_between_its_bounds(service: Service, alice: Client) -> None:
    body = python(new_cluster=cluster(num_workers=None, autoscale={"min_workers": 2, "max_workers": 8}))
    size = service.run(submit(alice, body)).spec.size
    assert (size.executors, size.executors_max) == (2, 8)


def test_run_nows_parameters_replace_the_jobs(service: Service, alice: Client) -> None:
    job = create(alice, python(max_concurrent_runs=9))
    plain, own = run_now(alice, job), run_now(alice, job, python_params=["x"])
    assert service.run(plain).spec.program.arguments == ("a", "b")
    assert service.run(own).spec.program.arguments == ("x",)
    assert get_run(alice, own)["overriding_parameters"] == {"python_params": ["x"]}
    assert "overriding_parameters" not in get_run(alice, plain)


def test_run_nows_spark_submit_parameters_replace_the_jobs(service: Service, alice: Client) -> None:
    job = create(alice, spark_submit("--class", "A", "s3://code/a.jar"))
    run = run_now(alice, job, spark_submit_params=["--conf", "spark.x=1", "s3://code/b.py", "arg"])
    spec = service.run(run).spec
    assert (spec.program.resource, spec.program.main_class, spec.program.arguments) == ("s3://code/b.py", "", ("arg",))
    assert spec.conf == {"spark.x": "1"}


def test_runs_of_a_job_are_numbered_from_one(alice: Client) -> None:
    job = create(alice, jar(max_concurrent_runs=3))
    answers = [alice.post(f"{JOBS}/run-now", {"job_id": job}).json for _ in range(3)]
    assert [answer["number_in_job"] for answer in answers] == [1, 2, 3]
    assert [get_run(alice, answer["run_id"])["number_in_job"] for answer in answers] == [1, 2, 3]


def test_a_run_over_the_jobs_limit_is_made_and_skipped_without_a_result(service: Service, alice: Client) -> None:
    job = create(alice)
    run_now(alice, job)
    skipped = get_run(alice, run_now(alice, job))
    assert skipped["state"] == {
        "life_cycle_state": "SKIPPED",
        "state_message": "The job is at its limit of 1 concurrent runs.",
        "user_cancelled_or_timedout": False,
    }
    assert skipped["end_time"] == skipped["start_time"] > 0


def test_a_job_with_no_concurrency_skips_every_run(alice: Client) -> None:
    run = run_now(alice, create(alice, python(max_concurrent_runs=0)))
    assert get_run(alice, run)["state"]["life_cycle_state"] == "SKIPPED"


def test_a_token_that_was_used_finds_its_run_whatever_else_the_request_says(service: Service, alice: Client) -> None:
    token = "t" * 64
    run = submit(alice, python(idempotency_token=token))
    with service.unchanged():
        assert submit(alice, jar(idempotency_token=token, run_name="another")) == run
        assert submit(alice, python(idempotency_token=token, new_cluster=cluster(instance_pool_id="none"))) == run


def test_a_token_finds_a_jobs_run_with_its_number_even_for_another_job(service: Service, alice: Client) -> None:
    job, other = create(alice, jar(max_concurrent_runs=2)), create(alice)
    run_now(alice, job)
    first = alice.post(f"{JOBS}/run-now", {"job_id": job, "idempotency_token": "once"}).json
    with service.unchanged():
        for asked in (job, other, 5):
            again = alice.post(f"{JOBS}/run-now", {"job_id": asked, "idempotency_token": "once"})
            assert again.json == first == {"run_id": first["run_id"], "number_in_job": 2}


def test_the_same_token_in_another_workspace_makes_another_run(alice: Client, eve: Client) -> None:
    assert submit(alice, python(idempotency_token="t")) != submit(eve, python(idempotency_token="t"))


def test_the_token_of_a_deleted_run_is_an_error(service: Service, alice: Client) -> None:
    run = submit(alice, python(idempotency_token="t"))
    service.end(run)
    alice.post(f"{JOBS}/runs/delete", {"run_id": run})
    message = f"Run {run} has been deleted; its idempotency token cannot be used again."
    with service.unchanged():
        for _ in range(2):
            answer = alice.post(f"{JOBS}/runs/submit", python(idempotency_token="t"))
            refused(answer, 400, "INVALID_PARAMETER_VALUE", message)


def test_a_token_survives_its_runs_end(service: Service, alice: Client) -> None:
    run = submit(alice, python(idempotency_token="t"))
    service.end(run)
    assert submit(alice, python(idempotency_token="t")) == run


def test_parameters_of_exactly_the_limit_are_taken(alice: Client) -> None:
    job = create(alice)
    frame = len(json.dumps({"python_params": [""]}))
    assert run_now(alice, job, python_params=["x" * (10_000 - frame)])


def test_a_jars_parameters_may_be_of_any_language(service: Service, alice: Client) -> None:
    run = run_now(alice, create(alice, jar()), jar_params=["naïve", "漢字"])
    assert service.run(run).spec.program.arguments == ("naïve", "漢字")


def test_spark_submits_sizes_are_what_its_options_say_and_else_what_its_conf_says(
    service: Service, alice: Client
) -> None:
    words = ["--conf", "spark.executor.memory=2g", "--driver-memory", "3g", "--conf", "spark.driver.memory=9g"]
    size = service.run(submit(alice, spark_submit(*words, "s3://code/b.py"))).spec.size
    assert (size.executor_memory, size.driver_memory) == (2048, 3072)
