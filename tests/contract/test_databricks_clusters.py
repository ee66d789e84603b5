"""Runs on a cluster that is to exist already, and the ids of the clusters that runs have."""

from __future__ import annotations

import pytest

from chalicelib.core.capacity import NOTHING
from chalicelib.core.ids import run_of_cluster
from tests.contract.databricks import JOBS, create, get_run, jar, python, run_now, spark_submit, submit
from tests.contract.wire import Client, Service

ON_EXISTING = python(new_cluster=None, existing_cluster_id="1021-013622-bused793")
SENTENCE = "Run executed on existing cluster ID 1021-013622-bused793 failed since the cluster does not exist."


def test_a_run_on_a_cluster_that_does_not_exist_fails_as_databricks_says_it(service: Service, alice: Client) -> None:
    run = submit(alice, ON_EXISTING)
    waiting = get_run(alice, run)
    assert waiting["state"]["life_cycle_state"] == "PENDING"
    service.play()
    ended = get_run(alice, run)
    assert ended["state"] == {
        "life_cycle_state": "INTERNAL_ERROR",
        "result_state": "FAILED",
        "state_message": SENTENCE,
        "user_cancelled_or_timedout": False,
    }
    assert ended["cluster_spec"] == {"existing_cluster_id": "1021-013622-bused793"}
    assert ended["end_time"] >= ended["start_time"] and "cluster_instance" not in ended
    output = alice.get(f"{JOBS}/runs/get-output", run_id=run).json
    assert (output["error"], output["metadata"]) == (SENTENCE, ended)


def test_a_run_on_an_existing_cluster_asks_for_no_driver_and_holds_nothing(service: Service, alice: Client) -> None:
    run = submit(alice, ON_EXISTING)
    assert service.run(run).spec.amount() == NOTHING
    service.play()
    assert not service.engine.launches
    service.check_over()


def test_it_is_retried_as_any_run_that_the_platform_failed(service: Service, alice: Client) -> None:
    job = create(alice, {**ON_EXISTING, "max_retries": 1})
    first = run_now(alice, job)
    service.settle()
    listed = alice.get(f"{JOBS}/runs/list", job_id=job).json["runs"]
    assert [(run["attempt_number"], run["state"]["state_message"]) for run in listed] == [(1, SENTENCE), (0, SENTENCE)]
    assert listed[1]["run_id"] == first


@pytest.mark.parametrize("body", [ON_EXISTING, jar(new_cluster=None, libraries=None, existing_cluster_id="c")])
def test_a_job_keeps_the_cluster_that_it_names(alice: Client, body: dict[str, object]) -> None:
    settings = alice.get(f"{JOBS}/get", job_id=create(alice, body)).json["settings"]
    assert settings["existing_cluster_id"] == body["existing_cluster_id"] and "new_cluster" not in settings


def test_a_clusters_id_leads_back_to_its_run(service: Service, alice: Client) -> None:
    runs = [submit(alice), submit(alice, spark_submit("s3://code/main.py"))]
    for run in runs:
        service.start(run)
    ids = [get_run(alice, run)["cluster_instance"]["cluster_id"] for run in runs]
    assert [run_of_cluster(id) for id in ids] == runs
