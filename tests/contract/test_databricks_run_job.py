"""run_job_task: a run that runs another job, on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.model import Run
from tests.contract.databricks import CLUSTER, JOBS, create, get_run, listed, python, refused, run_now, submit
from tests.contract.wire import Client, Service

INVALID = "INVALID_PARAMETER_VALUE"


def running(job: int, **more: Any) -> dict[str, Any]:
    """A body for create or submit that runs a job, without a cluster."""
    return {"run_job_task": {"job_id": job}, **more}


def child_of(service: Service, parent: int) -> int:
    (child,) = [run.id for run in service.store.all(Run) if run.parent == parent]
    assert isinstance(child, int)
    return child


def test_a_run_of_another_job_is_shown_with_its_child_and_follows_it(service: Service, alice: Client) -> None:
    job = create(alice, python(name="train"))
    parent_job = create(alice, running(job, name="nightly"))
    parent = run_now(alice, parent_job)
    service.play()
    child = child_of(service, parent)
    shown = get_run(alice, parent)
    assert shown["state"]["life_cycle_state"] == "RUNNING"
    assert (shown["task"], shown["run_job_output"]) == ({"run_job_task": {"job_id": job}}, {"run_id": child})
    assert "cluster_instance" not in shown
    made = get_run(alice, child)
    assert (made["job_id"], made["trigger"], made["run_name"]) == (job, "RUN_JOB_TASK", "train")
    service.start(child)
    service.end(child)
    assert get_run(alice, parent)["state"]["result_state"] == "SUCCESS"
    output = alice.get(f"{JOBS}/runs/get-output", run_id=parent).json
    assert output["run_job_output"] == {"run_id": child} and output["metadata"] == get_run(alice, parent)
    assert listed(alice, job_id=job) == [child] and listed(alice, job_id=parent_job) == [parent]


def test_a_failed_child_is_named_by_its_parent(service: Service, alice: Client) -> None:
    job = create(alice, python(name="train"))
    parent = submit(alice, running(job))
    service.play()
    child = child_of(service, parent)
    service.start(child)
    service.end(child, "FAILED", details="out of luck")
    state = get_run(alice, parent)["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("TERMINATED", "FAILED")
    assert state["state_message"] == f"Run {child} of job {job} (train) failed: out of luck"


def test_a_job_keeps_what_it_was_given(alice: Client) -> None:
    job = create(alice)
    body = running(job, new_cluster=CLUSTER)
    body["run_job_task"]["job_parameters"] = {"a": "1"}
    settings = alice.get(f"{JOBS}/get", job_id=create(alice, body)).json["settings"]
    assert settings["run_job_task"] == {"job_id": job, "job_parameters": {"a": "1"}}
    assert settings["new_cluster"] == CLUSTER


@pytest.mark.parametrize("path", ["create", "runs/submit"])
@pytest.mark.parametrize(
    ("task", "code", "message"),
    [
        ({}, INVALID, "Missing required field: run_job_task.job_id"),
        ({"job_id": 77}, INVALID, "Job 77 does not exist."),
        ({"job_id": 0}, INVALID, "Job 0 does not exist."),
        ({"job_id": -1}, INVALID, "Job -1 does not exist."),
        ({"job_id": 1 << 60}, INVALID, f"Job {1 << 60} does not exist."),
        ({"job_id": "one"}, "MALFORMED_REQUEST",
         "Could not parse request object: Expected integer for field run_job_task.job_id, found STRING"),
        ({"job_id": 1, "job_parameters": {"ä": "1"}}, INVALID,
         "run_job_task.job_parameters: ä has characters that are not ASCII."),
        ({"job_id": 1, "job_parameters": {"a": "x" * 10_000}}, INVALID,
         "run_job_task.job_parameters: the JSON representation of the parameters exceeds 10000 bytes."),
    ],
)  # fmt: skip
def test_a_task_that_can_never_run_is_refused_and_changes_nothing(
    service: Service, alice: Client, path: str, task: Any, code: str, message: str
) -> None:
    with service.unchanged():
        refused(alice.post(f"{JOBS}/{path}", {"run_job_task": task}), 400, code, message)


def test_another_workspaces_job_does_not_exist(service: Service, alice: Client, eve: Client) -> None:
    job = create(eve)
    with service.unchanged():
        answer = alice.post(f"{JOBS}/create", running(job))
        refused(answer, 400, INVALID, f"Job {job} does not exist.")


@pytest.mark.parametrize("verb", ["reset", "update"])
def test_a_job_cannot_be_made_to_run_itself(service: Service, alice: Client, verb: str) -> None:
    job = create(alice)
    other = create(alice, running(job))
    for target, told in (
        (job, f"job {job} runs job {job}"),
        (other, f"job {job} runs job {other}, which runs job {job}"),
    ):
        with service.unchanged():
            answer = alice.post(f"{JOBS}/{verb}", {"job_id": job, "new_settings": running(target)})
            refused(answer, 400, INVALID, f"A job cannot run itself: {told}.")


def test_parameters_of_other_tasks_cannot_be_given_to_its_runs(service: Service, alice: Client) -> None:
    job = create(alice, running(create(alice)))
    with service.unchanged():
        answer = alice.post(f"{JOBS}/run-now", {"job_id": job, "python_params": ["a"]})
        refused(answer, 400, INVALID, "python_params cannot be given to a job with a run_job_task.")
