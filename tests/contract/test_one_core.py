"""One core, two voices: a run that was made in one dialect is listed, read, cancelled and removed in the other."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.services.pools import ensure_pool
from tests.contract import databricks, engine
from tests.contract.databricks import JOBS, get_run
from tests.contract.wire import Client, Service


def application(client: Client, run: int) -> Any:
    answer = client.get(client.service.application(run))
    assert answer.status == 200, answer.body
    return answer.json


def test_a_databricks_run_is_an_application(service: Service, alice: Client) -> None:
    run = databricks.submit(
        alice, databricks.python(run_name="work", new_cluster=databricks.cluster(spark_conf={"spark.a": "b"}))
    )
    service.start(run)
    shown = application(alice, run)
    assert shown["state"] == "RUNNING"
    assert shown["spark_application_name"] == "work"
    assert shown["application_details"] == {
        "application": "s3://code/main.py",
        "arguments": ["a", "b"],
        "conf": {"spark.a": "b"},
        "instance_defaults_at_submission": {"conf": {}},
        "runtime": {"spark_version": "3.5"},
    }
    (entry,) = alice.get(service.applications()).json["applications"]
    assert entry["application_id"] == shown["application_id"]
    assert alice.get(f"{service.application(run)}/status").json["state"] == "RUNNING"


def test_a_jar_run_of_databricks_shows_its_class(service: Service, alice: Client) -> None:
    run = databricks.submit(alice, databricks.jar())
    assert application(alice, run)["application_details"]["class"] == "org.Main"


def test_a_run_of_a_databricks_job_is_an_application_too(service: Service, alice: Client) -> None:
    run = databricks.run_now(alice, databricks.create(alice))
    assert application(alice, run)["state"] == "QUEUED"


def test_an_application_is_a_databricks_run(service: Service, alice: Client) -> None:
    run, _ = engine.submit(alice, engine.details(conf={"spark.app.name": "work", "spark.a": "b"}))
    service.start(run)
    shown = get_run(alice, run)
    assert shown["state"]["life_cycle_state"] == "RUNNING"
    assert shown["task"] == {"spark_python_task": {"python_file": "s3://code/main.py", "parameters": ["1"]}}
    assert shown["cluster_spec"] == {
        "new_cluster": {
            "spark_version": "3.5",
            "num_workers": 1,
            "spark_conf": {"spark.app.name": "work", "spark.a": "b"},
        }
    }
    assert (shown["run_name"], shown["run_type"], shown["trigger"]) == ("work", "SUBMIT_RUN", "ONE_TIME")
    assert databricks.listed(alice) == [run]
    assert databricks.listed(alice, active_only="true") == [run]


@pytest.mark.parametrize(
    ("more", "task"),
    [
        (
            {"application": "s3://code/main.jar", "class": "org.Main"},
            {"spark_jar_task": {"main_class_name": "org.Main", "parameters": ["1"], "jar_uri": "s3://code/main.jar"}},
        ),
        (
            {"application": "s3://code/main.R"},
            {"spark_submit_task": {"parameters": ["s3://code/main.R", "1"]}},
        ),
    ],
)
def test_applications_of_other_languages_are_tasks_too(
    service: Service, alice: Client, more: dict[str, Any], task: dict[str, Any]
) -> None:
    run, _ = engine.submit(alice, engine.details(**more))
    assert get_run(alice, run)["task"] == task


def test_an_application_is_cancelled_as_a_databricks_run(service: Service, alice: Client) -> None:
    run, path = engine.submit(alice)
    service.start(run)
    assert alice.post(f"{JOBS}/runs/cancel", {"run_id": run}).json == {}
    assert alice.get(path).json["state"] == "STOPPED"
    service.play()
    service.progress()
    service.play()
    assert alice.get(path).json["state"] == "STOPPED"
    assert get_run(alice, run)["state"]["result_state"] == "CANCELED"


def test_a_databricks_run_is_stopped_as_an_application(service: Service, alice: Client) -> None:
    run = databricks.submit(alice)
    assert alice.delete(service.application(run)).status == 204
    state = get_run(alice, run)["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("TERMINATED", "CANCELED")


def test_what_is_removed_in_one_dialect_is_gone_in_the_other(service: Service, alice: Client) -> None:
    first, path = engine.submit(alice)
    second = databricks.submit(alice)
    service.end(first)
    service.end(second)
    assert alice.post(f"{JOBS}/runs/delete", {"run_id": first}).status == 200
    assert alice.get(path).status == 410
    assert alice.delete(service.application(second)).status == 204
    message = f"Run {second} does not exist."
    databricks.refused(alice.get(f"{JOBS}/runs/get", run_id=second), 400, "INVALID_PARAMETER_VALUE", message)


def test_a_skipped_run_is_a_stopped_application(service: Service, alice: Client) -> None:
    run = databricks.run_now(alice, databricks.create(alice, databricks.python(max_concurrent_runs=0)))
    shown = application(alice, run)
    assert shown["state"] == "STOPPED"
    assert shown["state_details"][0]["message"] == "The job is at its limit of 0 concurrent runs."


def test_an_ended_run_has_the_same_times_in_both(service: Service, alice: Client) -> None:
    run = databricks.submit(alice)
    service.end(run)
    stored = service.run(run)
    shown = get_run(alice, run)
    assert (shown["start_time"], shown["end_time"]) == (stored.created_at, stored.ended_at)
    status = alice.get(f"{service.application(run)}/status").json
    assert status["finish_time"].endswith(f".{stored.ended_at % 1000:03d}Z")


def test_the_same_capacity_is_counted_for_both(service: Service, alice: Client) -> None:
    from chalicelib.core.capacity import Amount

    ensure_pool(service.ports, "main", "default", maximum=Amount(1 << 40, 1 << 40, 0, 1))
    first = databricks.submit(alice)
    second, path = engine.submit(alice)
    service.play()
    assert alice.get(path).json["state"] == "QUEUED"
    (told,) = alice.get(path).json["state_details"]
    message = "Waiting for its turn: pool default runs 1 driver at once; 0 of these places are free."
    assert told == {"type": "info", "code": "waiting_turn", "message": message}
    service.end(first)
    service.play()
    assert service.run(second).granted_at


def test_another_workspace_sees_nothing_of_it_in_either(service: Service, alice: Client, eve: Client) -> None:
    run, path = engine.submit(alice)
    assert eve.get(path).status == 404
    assert eve.get(path.replace(service.instance(), service.instance(workspace="elsewhere"))).status == 404
    assert eve.get(f"{JOBS}/runs/get", run_id=run).status == 400
    assert eve.get(f"{JOBS}/runs/list").json == {"runs": [], "has_more": False}
    assert eve.get(service.applications(workspace="elsewhere")).json == {"applications": []}
