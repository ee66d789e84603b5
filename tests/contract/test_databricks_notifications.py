"""Notifications, health rules and destinations in Jobs 2.0 (seed 004, "JobEmailNotifications" to "Webhook")."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.core.model import Destination, Notice, NoticeStatus, Notifications
from tests.contract.databricks import JOBS, create, python, refused, run_now, submit
from tests.contract.wire import Answer, Client, Service

INVALID, MALFORMED = "INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST"
DESTINATIONS = "/api/2.0/notification-destinations"
URL = "https://hooks.example.com/spark"
ADA = "ada@example.com"
LAST = "notification_settings.alert_on_last_attempt"


def destination(client: Client, url: str = URL) -> Answer:
    body = {"display_name": "pager", "config": {"generic_webhook": {"url": url}}}
    return client.post(DESTINATIONS, body)


def test_a_job_keeps_its_notifications_as_they_were_given_and_its_runs_obey_them(
    service: Service, alice: Client
) -> None:
    hook = destination(alice).json["id"]
    given = {
        "email_notifications": {"on_start": [], "on_success": [ADA], "no_alert_for_skipped_runs": True},
        "webhook_notifications": {"on_success": [{"id": hook}], "on_failure": []},
        "notification_settings": {"alert_on_last_attempt": "true"},
        "health": {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": "3600"}]},
    }
    job = create(alice, python(name="nightly", **given))
    settings = alice.get(f"{JOBS}/get", job_id=job).json["settings"]
    assert {name: settings[name] for name in given} == given
    run = run_now(alice, job)
    assert service.run(run).spec.notifications == Notifications(
        {"on_success": (ADA,)}, {"on_success": (hook,)}, False, True, True, True, 3_600_000
    )
    service.end(run)
    assert [(m.to, m.subject) for m in service.mailer.sent] == [(ADA, f"[Sparkplane] Run {run} of nightly: succeeded")]
    (posted,) = service.hooks.posted
    assert json.loads(posted.body)["job"] == {"job_id": job, "name": "nightly"}


def test_a_one_time_run_has_notifications_of_its_own(service: Service, alice: Client) -> None:
    run = submit(alice, python(run_name="once", email_notifications={"on_failure": [ADA]}))
    service.end(run, "FAILED", failure="USER_ERROR", details="boom")
    (mail,) = service.mailer.sent
    assert mail.subject == f"[Sparkplane] Run {run} of once: failed" and "boom" in mail.text
    assert "https://api.test/#job/" in mail.text


def test_null_and_empty_notifications_are_none(service: Service, alice: Client) -> None:
    for empty in (None, {}, {"on_start": None}, {"on_start": [], "on_success": [], "on_failure": []}):
        run = submit(alice, python(email_notifications=empty, health={"rules": []}))
        assert service.run(run).spec.notifications == Notifications()


def test_a_job_may_name_a_destination_that_is_not_there_and_the_notice_is_given_up(
    service: Service, alice: Client
) -> None:
    unknown = "bf2fbd0a-4a05-4300-98a5-303fc8132233"
    service.end(run_now(alice, create(alice, python(webhook_notifications={"on_success": [{"id": unknown}]}))))
    (notice,) = service.store.all(Notice)
    assert (notice.status, notice.error) == (NoticeStatus.DEAD, f"There is no notification destination {unknown}.")


@pytest.mark.parametrize("verb", ["create", "runs/submit"])
@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (
            {"email_notifications": {"on_start": ["ädä@example.com"]}},
            INVALID,
            "email_notifications.on_start: addresses accept only Latin characters (ASCII character set).",
        ),
        (
            {"email_notifications": {"on_failure": ["nobody"]}},
            INVALID,
            "email_notifications.on_failure: 'nobody' is not an e-mail address.",
        ),
        (
            {"email_notifications": {"on_failure": ["a@b.c\r\nBcc: d@e.f"]}},
            INVALID,
            "email_notifications.on_failure: 'a@b.c\\r\\nBcc: d@e.f' is not an e-mail address.",
        ),
        (
            {"email_notifications": {"on_success": [f"a{n}@b.c" for n in range(101)]}},
            INVALID,
            "email_notifications.on_success: a maximum of 100 addresses can be specified.",
        ),
        (
            {"email_notifications": {"on_success": ADA}},
            MALFORMED,
            "Could not parse request object: Expected array for field email_notifications.on_success, found STRING",
        ),
        (
            {"email_notifications": [ADA]},
            MALFORMED,
            "Could not parse request object: Expected object for field email_notifications, found ARRAY",
        ),
        (
            {"webhook_notifications": {"on_start": [{"id": str(n)} for n in range(4)]}},
            INVALID,
            "webhook_notifications.on_start: a maximum of 3 destinations can be specified.",
        ),
        (
            {"webhook_notifications": {"on_start": [{}]}},
            INVALID,
            "Missing required field: webhook_notifications.on_start.0.id",
        ),
        (
            {"webhook_notifications": {"on_start": [{"id": "☃"}]}},
            INVALID,
            "webhook_notifications.on_start: '☃' is not the id of a destination.",
        ),
        (
            {"notification_settings": {"alert_on_last_attempt": "perhaps"}},
            MALFORMED,
            f"Could not parse request object: Expected boolean for field {LAST}, found STRING",
        ),
        (
            {"health": {"rules": [{"metric": "STREAMING_BACKLOG_BYTES", "op": "GREATER_THAN", "value": 1}]}},
            INVALID,
            "health.rules.0.metric: 'STREAMING_BACKLOG_BYTES' is not supported; it must be RUN_DURATION_SECONDS.",
        ),
        (
            {"health": {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "LESS_THAN", "value": 1}]}},
            INVALID,
            "health.rules.0.op: 'LESS_THAN' is not supported; it must be GREATER_THAN.",
        ),
        (
            {"health": {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 0}]}},
            INVALID,
            "health.rules.0.value: the threshold must be a positive number of seconds.",
        ),
        (
            {"health": {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 5}] * 2}},
            INVALID,
            "health.rules: there can be one rule for a metric.",
        ),
        (
            {"health": {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN"}]}},
            INVALID,
            "Missing required field: health.rules.0.value",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_and_change_nothing(
    service: Service, alice: Client, verb: str, settings: Any, code: str, message: str
) -> None:
    with service.unchanged():
        refused(alice.post(f"{JOBS}/{verb}", python(**settings)), 400, code, message)


def test_removing_a_job_writes_to_its_addresses(service: Service, alice: Client) -> None:
    job = create(alice, python(name="old", email_notifications={"on_start": [ADA]}))
    assert alice.post(f"{JOBS}/delete", {"job_id": job}).json == {}
    service.play()
    assert [(m.to, m.subject) for m in service.mailer.sent] == [(ADA, f"[Sparkplane] Job {job} old: was removed")]


# Destinations.


def test_an_administrator_makes_lists_reads_and_removes_destinations(service: Service, alice: Client) -> None:
    made = destination(alice)
    assert made.status == 200
    id, secret = made.json["id"], made.json["signing_secret"]
    shown = {"id": id, "display_name": "pager", "destination_type": "WEBHOOK"}
    assert alice.get(DESTINATIONS).json == {"results": [shown]}
    one = alice.get(f"{DESTINATIONS}/{id}")
    assert {name: one.json[name] for name in shown} == shown
    assert one.json["config"]["generic_webhook"]["url_set"] is True
    assert secret not in one.body.decode() and URL not in one.body.decode()
    assert secret not in repr(service.store.records), "it is derived, not kept"
    assert alice.delete(f"{DESTINATIONS}/{id}").json == {}
    assert alice.get(DESTINATIONS).json == {"results": []}
    refused(alice.delete(f"{DESTINATIONS}/{id}"), 400, INVALID, f"Notification destination {id} does not exist.")


def test_a_destination_of_another_workspace_is_none(service: Service, alice: Client, eve: Client) -> None:
    id = destination(alice).json["id"]
    with service.unchanged():
        message = f"Notification destination {id} does not exist."
        for answer in (eve.get(f"{DESTINATIONS}/{id}"), eve.delete(f"{DESTINATIONS}/{id}")):
            refused(answer, 400, INVALID, message)
        assert eve.get(DESTINATIONS).json == {"results": []}


def test_destinations_are_for_administrators(service: Service, alice: Client) -> None:
    id = destination(alice).json["id"]
    with service.unchanged():
        bob = service.bob
        for answer in (
            destination(bob),
            bob.get(DESTINATIONS),
            bob.get(f"{DESTINATIONS}/{id}"),
            bob.delete(f"{DESTINATIONS}/{id}"),
        ):
            refused(answer, 403, "PERMISSION_DENIED", "This needs an administrator.")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Missing required field: display_name"),
        ({"display_name": "x"}, "Missing required field: config"),
        ({"display_name": "x", "config": {}}, "config: only generic_webhook destinations are supported."),
        (
            {"display_name": "x", "config": {"slack": {"url": URL}}},
            "config: only generic_webhook destinations are supported.",
        ),
        (
            {"display_name": "x", "config": {"generic_webhook": {"url": URL, "username": "u", "password": "p"}}},
            "config.generic_webhook: username and password are not supported; what is sent is signed instead.",
        ),
        (
            {"display_name": "x", "config": {"generic_webhook": {"url": "http://hooks.example.com"}}},
            "A destination's URL must begin with https://.",
        ),
        (
            {"display_name": "x", "config": {"generic_webhook": {"url": "https://169.254.169.254/"}}},
            "169.254.169.254 is not an address that destinations may have.",
        ),
        (
            {"display_name": "", "config": {"generic_webhook": {"url": URL}}},
            "A destination's name has 1 to 200 characters.",
        ),
    ],
)
def test_destinations_that_cannot_be_are_refused(service: Service, alice: Client, body: Any, message: str) -> None:
    with service.unchanged():
        refused(alice.post(DESTINATIONS, body), 400, INVALID, message)
    assert not service.store.all(Destination)
