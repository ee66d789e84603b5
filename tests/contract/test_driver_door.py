"""The driver's own door: what a run's bootstrap may report, with that run's secret and no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.core.states import RunState
from chalicelib.services.access import run_secret
from tests.contract.databricks import get_run, submit
from tests.contract.wire import ALICE, Answer, Client, Service, basic

NOT_ITS_SECRET = {"message": "The driver's secret is not the run's."}


def door(run: int, workspace: str = "main") -> str:
    return f"/driver/v1/runs/{workspace}.{run}/report"


def driver(service: Service, run: int, workspace: str = "main") -> Client:
    """The driver of a run."""
    return Client(service, f"Bearer {run_secret(service.ports, workspace, run)}")


def report(service: Service, run: int, told: Any) -> Answer:
    return driver(service, run).post(door(run), told, content_type="application/json")


def test_a_driver_tells_its_application_and_its_version_while_it_runs(service: Service, alice: Client) -> None:
    run = submit(alice)
    service.play()
    answer = report(service, run, {"application_id": "spark-abc", "spark_version": "3.5.3"})
    assert (answer.status, answer.json) == (200, {})
    assert (service.run(run).application_id, service.run(run).engine_version) == ("spark-abc", "3.5.3")
    shown = get_run(alice, run)
    assert shown["state"]["life_cycle_state"] == "RUNNING"
    assert shown["cluster_instance"]["spark_context_id"] == "spark-abc"
    assert alice.get(service.application(run)).json["spark_application_id"] == "spark-abc"


def test_a_drivers_last_words_are_shown_once_it_ended(service: Service, alice: Client) -> None:
    run = submit(alice)
    service.start(run)
    error = {"type": "ValueError", "message": "no such column", "traceback": "Traceback …"}
    report(service, run, {"exit_code": 1, "error": error, "finished": True})
    service.end(run, "FAILED")
    assert get_run(alice, run)["state"]["state_message"] == "ValueError: no such column"
    assert alice.get(service.application(run)).json["return_code"] == "1"


@pytest.mark.parametrize("told", [{}, {"nothing": "known"}, {"state": "SUCCEEDED", "workspace": "elsewhere"}])
def test_a_driver_cannot_write_anything_else_of_its_run(service: Service, alice: Client, told: Any) -> None:
    run = submit(alice)
    service.start(run)
    with service.unchanged():
        assert report(service, run, told).status == 200


def test_only_the_runs_own_secret_opens_its_door(service: Service, alice: Client, eve: Client) -> None:
    run, other, theirs = submit(alice), submit(alice), submit(eve)
    service.play()
    secret = run_secret(service.ports, "main", run)
    wrong = [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        "Bearer ünïcödé",
        f"Bearer {secret}0",
        f"Bearer {secret.upper()}",
        f"Basic {secret}",
        f"Bearer {ALICE}",
        basic("token", secret),
        f"Bearer {run_secret(service.ports, 'main', other)}",
        f"Bearer {run_secret(service.ports, 'elsewhere', run)}",
        f"Bearer {run_secret(service.ports, 'elsewhere', theirs)}",
    ]
    with service.unchanged():
        for authorization in wrong:
            answer = Client(service, authorization).post(door(run), {"application_id": "forged"})
            assert (answer.status, answer.json) == (401, NOT_ITS_SECRET)


@pytest.mark.parametrize(
    "name", ["1", "main", "main.", ".1", "main.x", "main.0", "main.-1", "main.1.2", "main." + "9" * 30]
)
def test_a_name_that_is_no_runs_is_refused_like_a_wrong_secret(service: Service, name: str) -> None:
    answer = Client(service, "Bearer x").post(f"/driver/v1/runs/{name}/report", {})
    assert (answer.status, answer.json) == (401, NOT_ITS_SECRET)


def test_a_runs_secret_opens_no_other_route(service: Service, alice: Client) -> None:
    run = submit(alice)
    client = driver(service, run)
    assert client.get("/api/2.0/jobs/runs/get", run_id=run).status == 401
    assert client.get(service.application(run)).status == 401


def test_a_report_for_an_ended_run_is_ignored(service: Service, alice: Client) -> None:
    run = submit(alice)
    service.end(run)
    with service.unchanged():
        answer = report(service, run, {"application_id": "late", "exit_code": 1})
    assert (answer.status, answer.json) == (200, {})


def test_a_report_for_a_run_that_waits_or_was_removed_is_ignored(service: Service, alice: Client) -> None:
    run = submit(alice)
    with service.unchanged():
        assert report(service, run, {"application_id": "early"}).status == 200
        assert report(service, 12345, {"application_id": "nobody's"}).status == 200


@pytest.mark.parametrize(
    "told",
    [
        {"error": {"type": "E", "message": "m" * 1_000_000}, "exit_code": 3},
        {"exit_code": "x" * 1_000_000},
        {"exit_code": {"nested": ["x" * 100_000]}, "error": "y" * 100_000},
        {"application_id": "a" * 1_000_000, "spark_version": "v" * 1_000_000},
        {"application_id": {"a": "b" * 1000}, "spark_version": ["c"] * 1000, "exit_code": 3},
    ],
)
def test_an_oversized_report_is_kept_within_bounds(service: Service, alice: Client, told: Any) -> None:
    run = submit(alice)
    service.start(run)
    assert report(service, run, told).status == 200
    kept = service.report(run)
    assert len(json.dumps(kept)) < 25_000
    if told.get("exit_code") == 3:
        assert kept["exit_code"] == 3


@pytest.mark.parametrize("body", ["", "{", "[]", '"text"', "null", b"\xff", '{"exit_code": NaN}'])
def test_a_report_that_is_no_object_is_refused_and_changes_nothing(service: Service, alice: Client, body: Any) -> None:
    run = submit(alice)
    service.start(run)
    with service.unchanged():
        answer = report(service, run, body)
    assert answer.status == 400 and set(answer.json) == {"message"}


@pytest.mark.parametrize(
    "error", ["a text", ["a", "list"], {"type": 5, "message": {"a": 1}, "traceback": [1]}, None, 7]
)
def test_an_error_of_any_shape_ends_the_run_all_the_same(service: Service, alice: Client, error: Any) -> None:
    run = submit(alice)
    service.start(run)
    assert report(service, run, {"error": error, "exit_code": "soon", "signal": [], "finished": "yes"}).status == 200
    service.end(run, "FAILED", details="It failed.")
    assert service.run(run).state is RunState.FAILED
    assert alice.get("/api/2.0/jobs/runs/get-output", run_id=run).status == 200
    assert alice.get(service.application(run)).status == 200


def test_health_needs_nothing(service: Service) -> None:
    answer = service.nobody.get("/health")
    assert (answer.status, answer.json) == (200, {"status": "ok"})
