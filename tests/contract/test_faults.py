"""When something of ours breaks: the dialect's own 500, with a reference into the log and nothing of the inside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chalicelib import wiring
from chalicelib.dialects.http import OpenOperation, Operation
from chalicelib.ports import Clash, key_of
from tests.contract.databricks import JOBS, create, python, submit
from tests.contract.engine import details
from tests.contract.engine import submit as submit_application
from tests.contract.test_gate import OPERATIONS, filled, message_of
from tests.contract.wire import Answer, Client, Service

SECRET = "arn:aws:dynamodb:eu-central-1:123456789012:table/secret"


class Broken:
    """A port of which nothing works."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"botocore says {SECRET}")


def tells_nothing(answer: Answer, voice: str, status: int = 500) -> None:
    assert answer.status == status
    message = message_of(answer, voice)
    assert message.startswith("Internal error. Reference: request-")
    for word in (SECRET, "botocore", "Traceback", "RuntimeError", ".py"):
        assert word not in answer.body.decode()
    assert all(SECRET not in value for value in answer.headers.values())


WITH_STORE = [(o, v) for o, v in OPERATIONS if (v, type(o)) != ("console", OpenOperation) and o.path != "/health"]
"""What needs the store: all but health and the console's files."""


@pytest.mark.parametrize(("operation", "voice"), WITH_STORE)
def test_a_broken_store_is_an_internal_error_in_the_shape_of_the_dialect(
    service: Service, monkeypatch: pytest.MonkeyPatch, operation: Operation, voice: str
) -> None:
    client = service.alice
    if voice == "driver":
        from chalicelib.services.access import run_secret

        client = client.as_(f"Bearer {run_secret(service.ports, 'main', 1)}")
    path = filled(operation.path, service.instance())
    monkeypatch.setattr(wiring, "ports", lambda: replace(service.ports, store=Broken()))
    told = {"username": "alice", "password": "p"}
    body = {**told, "grant_type": "password"} if isinstance(operation, OpenOperation) and voice != "driver" else {}
    tells_nothing(client.request(operation.method, path, body=body, headers=told), voice)


@pytest.mark.parametrize(("operation", "voice"), OPERATIONS)
def test_a_deployment_that_cannot_be_put_together_is_an_internal_error_too(
    service: Service, monkeypatch: pytest.MonkeyPatch, operation: Operation, voice: str
) -> None:
    path = filled(operation.path)

    def broken() -> Any:
        raise KeyError(SECRET)

    monkeypatch.setattr(wiring, "ports", broken)
    tells_nothing(service.alice.request(operation.method, path, body={}), voice)


def test_a_write_that_fails_is_an_internal_error_and_a_second_try_works(
    service: Service, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(changes: Any) -> None:
        raise RuntimeError(SECRET)

    service.store.before_commit = broken
    with service.unchanged():
        tells_nothing(alice.post(f"{JOBS}/runs/submit", python()), "databricks_jobs")
        tells_nothing(alice.post(service.applications(), details()), "analytics_engine")
        tells_nothing(alice.post(f"{JOBS}/create", python()), "databricks_jobs")
    service.store.before_commit = None
    assert submit(alice)


def test_a_write_that_always_comes_second_is_told_to_try_again(service: Service, alice: Client) -> None:
    run, path = submit_application(alice)
    job = create(alice)

    def race(changes: Any) -> None:
        raise Clash([key_of(changes[0].record)])

    service.store.before_commit = race
    with service.unchanged():
        answers = [
            ("databricks_jobs", alice.post(f"{JOBS}/runs/submit", python())),
            ("databricks_jobs", alice.post(f"{JOBS}/run-now", {"job_id": job})),
            ("databricks_jobs", alice.post(f"{JOBS}/runs/cancel", {"run_id": run})),
            ("databricks_jobs", alice.post(f"{JOBS}/delete", {"job_id": job})),
            ("analytics_engine", alice.post(service.applications(), details())),
            ("analytics_engine", alice.delete(path)),
        ]
    for voice, answer in answers:
        assert answer.status == 503
        assert "try again" in message_of(answer, voice) or "too many" in message_of(answer, voice)
        assert answer.headers["retry-after"] == "1"


def test_a_log_that_cannot_be_read_fails_only_the_request_for_it(
    service: Service, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submit(alice)
    service.start(run)
    monkeypatch.setattr(wiring, "ports", lambda: replace(service.ports, engine=Broken()))
    tells_nothing(alice.get(f"{JOBS}/runs/get-output", run_id=run), "databricks_jobs")
    assert alice.get(f"{JOBS}/runs/get", run_id=run).status == 200


def test_an_internal_errors_reference_is_the_requests_id(
    service: Service, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "ports", lambda: replace(service.ports, store=Broken()))
    answer = alice.get(service.applications())
    trace = answer.json["trace"]
    assert answer.json["errors"][0]["message"] == f"Internal error. Reference: {trace}."
