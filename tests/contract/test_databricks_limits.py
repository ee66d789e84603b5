"""A workspace's limits in Databricks' words, and in Analytics Engine's (seed 004, "Run now")."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib import wiring
from tests.contract.databricks import JOBS, create, python, refused, submit
from tests.contract.engine import details
from tests.contract.wire import Client, Service


def limit(service: Service, monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    service.ports = replace(service.ports, settings=replace(service.ports.settings, **limits))  # type: ignore[arg-type]
    monkeypatch.setattr(wiring, "ports", lambda: service.ports)


def test_over_the_limit_of_active_runs_every_dialect_answers_429(
    service: Service, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(service, monkeypatch, max_active_runs=2)
    job = create(alice)
    submit(alice), submit(alice)
    service.play()
    message = "There are already 2 active runs (limit: 2)."
    with service.unchanged():
        for verb, body in (("runs/submit", python()), ("run-now", {"job_id": job})):
            answer = alice.post(f"{JOBS}/{verb}", body)
            refused(answer, 429, "REQUEST_LIMIT_EXCEEDED", message)
            assert answer.headers["retry-after"] == "1"
        answer = alice.post(service.applications(), details())
        assert answer.status == 429 and answer.json["errors"][0]["message"] == message


def test_over_the_quota_of_saved_jobs_create_answers_400(
    service: Service, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(service, monkeypatch, max_jobs=1)
    create(alice)
    with service.unchanged():
        answer = alice.post(f"{JOBS}/create", python())
    assert (answer.status, answer.json["error_code"]) == (400, "QUOTA_EXCEEDED")
    assert answer.json["message"].startswith(
        "The quota for the number of jobs has been reached. The current quota is 1. This quota is only applied to jobs "
        "created through the UI or through the /jobs/create endpoint, which are displayed in the Jobs UI."
    )
    submit(alice)


def test_over_the_hours_creations_everything_that_makes_something_answers_429(
    service: Service, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(service, monkeypatch, max_made_in_hour=2)
    job = create(alice)
    submit(alice)
    service.play()
    message = "Too many requests. Please wait a moment: 2 jobs and runs were created in this hour (limit: 2)."
    with service.unchanged():
        for verb, body in (("runs/submit", python()), ("run-now", {"job_id": job}), ("create", python())):
            answer = alice.post(f"{JOBS}/{verb}", body)
            refused(answer, 429, "RESOURCE_EXHAUSTED", message)
            assert answer.headers["retry-after"] == "60"
        assert alice.post(service.applications(), details()).status == 429
