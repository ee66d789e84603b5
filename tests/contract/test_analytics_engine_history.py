"""The history server: one an instance, found, stopped, started again after a crash, ended when nobody uses it, and
reached through the gate (seed 002, "Start history server" and after; wire/analytics_engine_v4.md, 3.1)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core.capacity import Amount, Ledger
from chalicelib.core.eventlogs import IDLE_MS, RESTARTS
from chalicelib.core.ids import from_uuid
from chalicelib.core.model import Run, RunKind
from chalicelib.core.states import RunState
from chalicelib.dialects.analytics_engine.history import nano_time
from chalicelib.ports import Clash, Relayed, key_of
from chalicelib.services.pools import ensure_pool
from tests.contract.engine import details, refused, submit
from tests.contract.test_analytics_engine_instances import STRAY, call
from tests.contract.wire import Answer, Client, Service
from tests.unit.fakes import SECRET

SERVER = "spark_history_server"
NANOS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
STOPPED, STARTED = "The history server is already stopped.", "The history server is already started."
NEVER = "The history server is already stopped: it was not started."
APPLICATIONS = b'[ {\n  "id" : "app-1"\n} ]'


def server(service: Service) -> Run:
    """The newest attempt of the history server."""
    found = [r for r in service.store.records.values() if isinstance(r, Run) and r.spec.kind is RunKind.HISTORY]
    return max(found, key=lambda run: run.id)


def start(client: Client, body: Any = None) -> Answer:
    answer = call(client, "POST", SERVER, body)
    assert answer.status == 201, answer.body
    return answer


def running(service: Service) -> Run:
    """A history server that runs."""
    start(service.alice)
    service.start(server(service).id)
    return server(service)


def test_it_is_started_found_and_stopped(service: Service, alice: Client) -> None:
    started = start(alice)
    assert set(started.json) == {"state", "cores", "memory", "start_time"}
    assert (started.json["state"], started.json["cores"], started.json["memory"]) == ("started", "1", "4G")
    assert NANOS.fullmatch(started.json["start_time"])
    service.start(server(service).id)
    found = call(alice, "GET", SERVER)
    assert (found.status, found.json["start_time"]) == (200, started.json["start_time"])
    assert found.json["auto_termination_time"] == nano_time(server(service).launched_at + IDLE_MS)
    gone = call(alice, "DELETE", SERVER)
    assert (gone.status, gone.body) == (204, b"")
    with service.unchanged():
        for method in ("GET", "DELETE"):
            refused(call(alice, method, SERVER), 410, "gone", STOPPED)
    service.play()
    assert service.engine.drivers[service.driver(server(service).id)].state == "CANCEL_PENDING"


def test_it_is_sparks_own_over_the_instances_event_logs(service: Service, alice: Client) -> None:
    run = running(service)
    (launch,) = [one for one in service.engine.launches if one.run.id == run.id]
    assert (launch.entry_point, launch.arguments) == ("spark-internal", ())
    assert run.spec.program.main_class == "org.apache.spark.deploy.history.HistoryServer"
    assert run.spec.conf["spark.history.fs.logDirectory"] == service.blobs.uri("main/events/default")
    assert "main/events/default/" in service.blobs.bodies
    assert run.spec.size.amount() == Amount(1000, 4096, 0, 1)


@pytest.mark.parametrize(
    ("defaults", "body", "shown"),
    [
        ({}, None, ("1", "4G")),
        ({}, {}, ("1", "4G")),
        ({"ae.spark.history-server.cores": "2", "ae.spark.history-server.memory": "8G"}, None, ("2", "8G")),
        ({"ae.spark.history-server.cores": "2"}, {"memory": "1536m"}, ("2", "1536M")),
        ({"ae.spark.history-server.cores": "2"}, {"cores": "3", "memory": "2Gi"}, ("3", "2G")),
        ({}, {"cores": 2, "memory": None}, ("2", "4G")),
    ],
)
def test_its_size_is_the_requests_else_the_instances(
    service: Service, alice: Client, defaults: dict[str, str], body: Any, shown: tuple[str, str]
) -> None:
    call(alice, "PUT", "default_configs", defaults)
    answer = start(alice, body)
    assert (answer.json["cores"], answer.json["memory"]) == shown


@pytest.mark.parametrize(
    ("body", "field"),
    [
        *(({"cores": value}, "cores") for value in ("", "-1", "1e99", "1.5", "500m", "4G", 0, True, [])),
        *(({"memory": value}, "memory") for value in ("", "-1", "1e99", "4", "0G", {}, False)),
    ],
)
def test_a_size_that_is_none_is_refused(service: Service, alice: Client, body: Any, field: str) -> None:
    with service.unchanged():
        answer = call(alice, "POST", SERVER, body)
    assert answer.status == 400
    assert answer.json["errors"][0]["target"]["name"] == field


@pytest.mark.parametrize("body", ["[]", '"x"', "{"])
def test_a_body_that_is_no_object_is_refused(service: Service, alice: Client, body: str) -> None:
    with service.unchanged():
        assert call(alice, "POST", SERVER, body).status == 400


def test_a_second_start_is_refused_and_changes_nothing(service: Service, alice: Client) -> None:
    start(alice)
    with service.unchanged():
        refused(call(alice, "POST", SERVER, {"cores": "2"}), 409, "already_exists", STARTED)
    service.start(server(service).id)
    with service.unchanged():
        refused(call(service.bob, "POST", SERVER), 409, "already_exists", STARTED)


def test_of_two_that_start_it_at_once_one_succeeds(service: Service, alice: Client) -> None:
    def race(changes: Any) -> None:
        service.store.before_commit = None
        assert call(service.bob, "POST", SERVER).status == 201
        raise Clash([key_of(changes[0].record)])

    service.store.before_commit = race
    refused(call(alice, "POST", SERVER), 409, "already_exists", STARTED)
    assert len([run for run in service.live() if run.spec.kind is RunKind.HISTORY]) == 1


def test_it_can_be_started_again_after_it_was_stopped(service: Service, alice: Client) -> None:
    first = running(service)
    call(alice, "DELETE", SERVER)
    again = start(alice)
    assert again.status == 201
    assert server(service).id != first.id
    service.end(first.id, "CANCELLED")
    assert call(alice, "GET", SERVER).status == 200


def test_one_that_never_was_is_not_found(service: Service, alice: Client) -> None:
    with service.unchanged():
        for method, path in (("GET", SERVER), ("DELETE", SERVER), ("GET", f"{SERVER}/ui/")):
            refused(call(alice, method, path), 404, "not_found", NEVER)


def test_each_instance_has_its_own(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "etl")
    start(alice)
    etl = service.instance("etl")
    assert call(alice, "GET", SERVER, instance=etl).status == 404
    assert call(alice, "POST", SERVER, instance=etl).status == 201
    call(alice, "DELETE", SERVER)
    assert call(alice, "GET", SERVER, instance=etl).status == 200


def test_it_is_started_again_when_it_dies_and_stays_the_one(service: Service, alice: Client) -> None:
    first = running(service)
    service.engine.become(service.driver(first.id), "FAILED", details="The driver ended with exit code 137.")
    service.play()
    second = server(service)
    assert (second.attempt, second.first_attempt) == (1, first.id)
    assert call(alice, "GET", SERVER).status == 200
    refused(call(alice, "POST", SERVER), 409, "already_exists", STARTED)
    service.clock.advance(60_000)
    service.start(second.id)
    assert call(alice, "GET", SERVER).json["state"] == "started"
    call(alice, "DELETE", SERVER)
    service.end(second.id, "CANCELLED")
    refused(call(alice, "GET", SERVER), 410, "gone", STOPPED)
    assert not [run for run in service.live() if run.spec.kind is RunKind.HISTORY]


def test_one_that_always_dies_is_given_up(service: Service, alice: Client) -> None:
    running(service)
    for _ in range(RESTARTS + 1):
        service.clock.advance(60_000)
        service.end(server(service).id, "FAILED")
    refused(call(alice, "GET", SERVER), 410, "gone", STOPPED)
    start(alice)


def test_a_restart_that_the_list_does_not_show_yet_is_neither_started_twice_nor_stopped(
    service: Service, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = running(service)
    service.engine.become(service.driver(first.id), "FAILED")
    service.play()
    page = service.store.page
    monkeypatch.setattr(
        service.store, "page", lambda listing, **how: replace(page(listing, **how), records=()), raising=True
    )
    refused(call(alice, "POST", SERVER), 409, "already_exists", STARTED)
    answer = call(alice, "DELETE", SERVER)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert call(alice, "GET", SERVER).status == 200


def test_it_ends_when_nobody_has_used_it_and_its_capacity_comes_back(service: Service, alice: Client) -> None:
    run = running(service)
    service.clock.advance(IDLE_MS + 1000)
    service.play()
    service.engine.become(service.driver(run.id), "CANCELLED")
    service.play()
    ended = service.run(run.id)
    assert (ended.state, ended.message) == (RunState.TIMED_OUT, "Stopped after 1800 seconds without use.")
    refused(call(alice, "GET", SERVER), 410, "gone", STOPPED)
    ledger = service.store.get(Ledger, "default")
    assert isinstance(ledger, Ledger) and ledger.used() == Amount()


def test_its_use_puts_its_end_off(service: Service, alice: Client) -> None:
    run = running(service)
    service.relay.answers["/api/v1/applications"] = Relayed(200, {"content-type": "application/json"}, APPLICATIONS)
    service.clock.advance(IDLE_MS - 60_000)
    assert call(alice, "GET", f"{SERVER}/api/v1/applications").status == 200
    service.clock.advance(120_000)
    service.play()
    assert service.run(run.id).state is RunState.RUNNING
    writes = service.store.counts["commit"]
    call(alice, "GET", f"{SERVER}/api/v1/applications")
    assert service.store.counts["commit"] == writes, "a use soon after another costs no write"


def test_what_it_shows_is_passed_on_and_back(service: Service, alice: Client) -> None:
    run = running(service)
    told = {"content-type": "application/json", "server": "Jetty", "set-cookie": "a=b"}
    service.relay.answers["/api/v1/applications?status=completed&limit=2"] = Relayed(200, told, APPLICATIONS)
    answer = alice.request(
        "GET",
        f"/v4/analytics_engines/{service.instance()}/{SERVER}/api/v1/applications",
        query=[("status", "completed"), ("limit", "2")],
        headers={"Accept": "application/json", "Cookie": "secret"},
    )
    assert (answer.status, answer.body) == (200, APPLICATIONS)
    assert answer.headers["content-type"] == "application/json"
    assert not {"server", "set-cookie"} & set(answer.headers)
    ((asked, _, headers),) = service.relay.asked
    assert asked == run.id
    assert headers == {
        "accept": "application/json",
        "x-forwarded-context": f"/v4/analytics_engines/{service.instance()}/{SERVER}/ui",
    }


def test_bytes_are_passed_back_as_they_are(service: Service, alice: Client) -> None:
    running(service)
    zipped = bytes(range(256)) * 100
    service.relay.answers["/api/v1/applications/a%20b/logs"] = Relayed(
        200, {"content-type": "application/zip", "content-disposition": "attachment"}, zipped
    )
    answer = call(alice, "GET", f"{SERVER}/api/v1/applications/a%20b/logs")
    assert (answer.body, answer.headers["content-disposition"]) == (zipped, "attachment")


@pytest.mark.parametrize("path", ["ui", "ui/"])
def test_the_page_is_below_ui_and_its_redirects_stay_there(service: Service, alice: Client, path: str) -> None:
    running(service)
    service.relay.answers["/"] = Relayed(302, {"location": "http://10.0.0.1:18080/history/app-1/jobs/?a=b"}, b"")
    answer = call(alice, "GET", f"{SERVER}/{path}")
    base = f"/v4/analytics_engines/{service.instance()}/{SERVER}/ui"
    assert (answer.status, answer.headers["location"]) == (302, f"{base}/history/app-1/jobs/?a=b")


@pytest.mark.parametrize("path", ["history/app-1/jobs/", "history/app-1/jobs", "static/a%2Fb.js"])
def test_a_slash_at_the_end_is_kept(service: Service, alice: Client, path: str) -> None:
    running(service)
    asked = "/" + path.replace("%2F", "/")
    service.relay.answers[asked] = Relayed(200, {"content-type": "text/html"}, b"")
    instance = service.instance()
    assert alice.get(f"/v4/analytics_engines/{instance}/{SERVER}/ui/{path}").status == 200


def test_one_that_is_not_up_yet_is_told_to_come_back(service: Service, alice: Client) -> None:
    start(alice)
    answer = call(alice, "GET", f"{SERVER}/api/v1/applications")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.json["errors"][0]["message"] == "The history server is starting."
    assert service.relay.asked == []
    service.start(server(service).id)
    answer = call(alice, "GET", f"{SERVER}/api/v1/applications")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.json["errors"] == [{"code": "service_unavailable", "message": "Not yet."}]
    service.relay.routed = False
    answer = call(alice, "GET", f"{SERVER}/api/v1/applications")
    assert (answer.status, answer.json["errors"][0]["code"]) == (501, "not_implemented")


def test_only_the_workspace_reaches_it(service: Service, alice: Client) -> None:
    running(service)
    service.relay.answers["/"] = Relayed(200, {"content-type": "text/html"}, b"<html>")
    with service.unchanged():
        for path in (f"{SERVER}/ui/", SERVER):
            instance = service.instance()
            message = f"Instance {instance} does not exist."
            refused(call(service.eve, "GET", path, instance=instance), 404, "not_found", message, "instance_id")
            assert call(service.nobody, "GET", path).status == 401
            assert call(alice, "GET", path, instance=STRAY).status == 404
    assert service.relay.asked == []
    assert call(service.bob, "GET", f"{SERVER}/ui/").body == b"<html>"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_what_it_shows_is_only_read(service: Service, alice: Client, method: str) -> None:
    running(service)
    with service.unchanged():
        assert call(alice, method, f"{SERVER}/ui/x", {}).status == 405


def test_it_is_no_application_and_counts_against_the_quota(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "default", maximum=Amount(2000, 8192, 0, 10))
    running(service)
    assert call(alice, "GET", "spark_applications").json == {"applications": []}
    assert call(alice, "GET", "current_resource_consumption").json["running"]["cores"] == "1000m"
    submit(alice)
    service.play()
    (entry,) = call(alice, "GET", "spark_applications").json["applications"]
    assert entry["state"] == "QUEUED"


@pytest.mark.parametrize(
    ("maximum", "asked", "message"),
    [
        (
            Amount(2000, 8192, 0, 10),
            {"cores": "3"},
            (
                "The history server asks for 3 cores in total, which is more than the 2 cores that pool default may "
                "ever hold."
            ),
        ),
        (
            Amount(2000, 2048, 0, 10),
            {},
            (
                "The history server asks for 4 GiB of memory in total, which is more than the 2 GiB of memory that "
                "pool default may ever hold."
            ),
        ),
    ],
)
def test_one_that_the_instance_could_never_hold_is_refused_with_numbers(
    service: Service, alice: Client, maximum: Amount, asked: dict[str, str], message: str
) -> None:
    ensure_pool(service.ports, "main", "default", maximum=maximum)
    with service.unchanged():
        refused(call(alice, "POST", SERVER, asked), 400, "invalid_request", message)
    ensure_pool(service.ports, "main", "default", maximum=Amount(4000, 8192, 0, 10))
    assert start(alice, asked).status == 201


def test_one_that_waits_for_others_says_so(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "default", maximum=Amount(2000, 8192, 0, 10))
    submit(alice)
    service.play()
    answer = start(alice)
    assert (answer.status, answer.json["state"]) == (201, "started")
    assert [told["code"] for told in answer.json["state_details"]] == ["instance_quota_exhausted", "waiting_quota"]
    service.play()
    assert server(service).state is RunState.QUEUED
    ensure_pool(service.ports, "main", "default", maximum=Amount(4000, 8192, 0, 10))
    service.play()
    assert server(service).state is RunState.LAUNCHING


def test_one_that_is_next_does_not_say_that_it_waits_though_other_pools_have_claims(
    service: Service, alice: Client
) -> None:
    ensure_pool(service.ports, "main", "etl", minimum=Amount(1000, 1024, 0, 1))
    assert "state_details" not in start(alice).json


@pytest.mark.parametrize(
    ("conf", "where"),
    [
        ({"spark.eventLog.enabled": "true"}, "main/events/default"),
        ({"spark.eventLog.enabled": "TRUE", "spark.eventLog.dir": " "}, "main/events/default"),
        ({"spark.eventLog.enabled": "true", "spark.eventLog.dir": "s3://mine/logs"}, "s3://mine/logs"),
        ({"spark.eventLog.enabled": "false"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("application", ["s3://code/main.py", "s3://code/main.jar"])
def test_an_application_that_asks_for_its_event_log_has_it_where_the_history_server_looks(
    service: Service, alice: Client, conf: dict[str, str], where: str | None, application: str
) -> None:
    run, path = submit(alice, details(conf=conf, application=application, **{"class": "a.B"}))
    service.play()
    (launch,) = [one for one in service.engine.launches if one.run.id == run]
    told = launch.run.spec.conf.get("spark.eventLog.dir")
    assert told == (service.blobs.uri(where) if where and "://" not in where else where)
    assert alice.get(path).json["application_details"]["conf"] == conf, "what was submitted is shown as it was"


@pytest.mark.parametrize("name", ["with blank", "ünïcödé", "a" * 101, "-x"])
def test_a_pools_name_that_no_uri_takes_is_no_hindrance(service: Service, alice: Client, name: str) -> None:
    ensure_pool(service.ports, "main", name)
    assert call(alice, "POST", SERVER, instance=service.instance(name)).status == 201
    assert re.fullmatch(r".*main/events/\d+", server(service).spec.conf["spark.history.fs.logDirectory"])


def test_the_labels_by_which_it_is_reached_are_not_an_applications(service: Service, alice: Client) -> None:
    label = "spark.kubernetes.driver.label.sparkplane-history"
    with service.unchanged():
        answer = call(alice, "POST", "spark_applications", details(conf={label: "main.1"}))
    assert answer.status == 400 and label in answer.json["errors"][0]["message"]


def test_times_are_written_to_the_nanosecond() -> None:
    assert nano_time(1706609073183) == "2024-01-30T10:04:33.183000000Z"


def test_its_run_is_not_reached_as_an_application(service: Service, alice: Client) -> None:
    run = running(service)
    path = service.application(run.id)
    assert from_uuid(path.rpartition("/")[2], "run", "main", SECRET) == run.id
    with service.unchanged():
        assert alice.get(path).status == 404
        assert alice.delete(path).status == 404
