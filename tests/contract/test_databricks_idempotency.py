"""An idempotency token that exists answers with its run, whatever else the request says (seed 004, "Run now")."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.databricks import JOBS, create, python, refused, run_now, submit
from tests.contract.wire import Answer, Client, Service

REST: list[dict[str, Any]] = [
    {},
    {"spark_python_task": {"python_file": "gopher://elsewhere"}},
    {"new_cluster": {"spark_version": "nonsense"}},
    {"new_cluster": {"instance_pool_id": "nowhere", "spark_version": "15.4.x-scala2.12"}},
    {"new_cluster": 7, "libraries": "none", "timeout_seconds": "soon"},
    {"tasks": [{"task_key": "a"}]},
    {"run_name": "x" * 5000},
]


@pytest.mark.parametrize("rest", REST)
def test_a_token_that_submitted_a_run_answers_with_it_though_the_rest_could_never_run(
    service: Service, alice: Client, rest: dict[str, Any]
) -> None:
    run = submit(alice, python(idempotency_token="once"))
    with service.unchanged():
        answer = alice.post(f"{JOBS}/runs/submit", {**rest, "idempotency_token": "once"})
    assert (answer.status, answer.json) == (200, {"run_id": run})


@pytest.mark.parametrize(
    "rest",
    [
        {},
        {"job_id": 999},
        {"job_id": "seven"},
        {"jar_params": "no list"},
        {"notebook_params": {"a": "b"}, "jar_params": ["a"]},
    ],
)
def test_a_token_that_ran_a_job_answers_with_its_run_though_the_rest_could_never_run(
    service: Service, alice: Client, rest: dict[str, Any]
) -> None:
    job = create(alice, python(max_concurrent_runs=5))
    first = run_now(alice, job)
    run = run_now(alice, job, idempotency_token="once")
    with service.unchanged():
        answer = alice.post(f"{JOBS}/run-now", {**rest, "idempotency_token": "once"})
    assert (answer.status, answer.json) == (200, {"run_id": run, "number_in_job": 2})
    assert first != run


def gone(answer: Answer, run: int) -> None:
    message = f"Run {run} has been deleted; its idempotency token cannot be used again."
    refused(answer, 400, "INVALID_PARAMETER_VALUE", message)


def test_the_token_of_a_deleted_run_is_an_error_whatever_else_the_request_says(service: Service, alice: Client) -> None:
    run = submit(alice, python(idempotency_token="once"))
    service.end(run)
    assert alice.post(f"{JOBS}/runs/delete", {"run_id": run}).json == {}
    with service.unchanged():
        gone(alice.post(f"{JOBS}/runs/submit", {"idempotency_token": "once", "tasks": []}), run)
        gone(alice.post(f"{JOBS}/run-now", {"idempotency_token": "once"}), run)


def test_a_token_that_is_none_says_nothing_about_the_rest(service: Service, alice: Client, eve: Client) -> None:
    submit(alice, python(idempotency_token="once"))
    with service.unchanged():
        for token in ("", None, "x" * 65, 7, ["once"]):
            answer = alice.post(f"{JOBS}/runs/submit", {"idempotency_token": token, "tasks": []})
            assert answer.status == 400 and "tasks" in answer.json["message"]
        assert eve.post(f"{JOBS}/runs/submit", {"idempotency_token": "once"}).status == 400
