"""Lists of applications in pages and by intervals of time, and which Spark an application is told to have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.contract.engine import details, refused, submit
from tests.contract.test_analytics_engine_instances import call
from tests.contract.wire import Answer, Client, Service


def listed(client: Client, **query: Any) -> Answer:
    answer = client.get(client.service.applications(), **query)
    assert answer.status == 200, answer.body
    return answer


def ids(answer: Answer) -> list[str]:
    return [one["application_id"] for one in answer.json["applications"]]


def made(client: Client, count: int) -> list[str]:
    """Submit applications; their ids, newest first."""
    return [submit(client)[1].rpartition("/")[2] for _ in range(count)][::-1]


def test_pages_follow_each_other_without_a_gap(service: Service, alice: Client) -> None:
    all_of_them = made(alice, 7)
    answer, found = listed(alice, limit=3), []
    for _ in range(5):
        found += ids(answer)
        assert answer.json["limit"] == 3
        if "next" not in answer.json:
            break
        link = urlsplit(answer.json["next"]["href"])
        assert f"{link.scheme}://{link.netloc}{link.path}" == f"https://api.test{service.applications()}"
        assert dict(parse_qsl(link.query))["start"] == answer.json["next"]["start"]
        answer = listed(alice, **dict(parse_qsl(link.query)))
    assert found == all_of_them
    first = dict(parse_qsl(urlsplit(answer.json["first"]["href"]).query))
    assert ids(listed(alice, **first)) == all_of_them[:3]


def test_a_page_is_kept_when_newer_ones_arrive(service: Service, alice: Client) -> None:
    older = made(alice, 4)
    start = listed(alice, limit=2).json["next"]["start"]
    made(alice, 3)
    assert ids(listed(alice, limit=2, start=start)) == older[2:]


def test_a_list_that_is_whole_says_nothing_of_pages(service: Service, alice: Client) -> None:
    made(alice, 2)
    assert set(listed(alice).json) == {"applications"}


def test_pages_of_several_states_are_merged_by_age(service: Service, alice: Client) -> None:
    runs = [submit(alice)[0] for _ in range(6)]
    for run in runs[::2]:
        service.start(run)
    query: dict[str, Any] = {"state": "RUNNING,SUBMITTED,QUEUED,ACCEPTED", "limit": 4}
    first = listed(alice, **query)
    second = listed(alice, **query, start=first.json["next"]["start"])
    assert ids(first) + ids(second) == ids(listed(alice))
    assert "state=RUNNING" in first.json["next"]["href"]


@pytest.mark.parametrize("start", ["x", "1.2", "0000000000000001.abc", "ü"])
def test_a_start_that_no_page_gave_is_refused(service: Service, alice: Client, start: str) -> None:
    answer = alice.get(service.applications(), start=start)
    refused(answer, 400, "invalid_request", "The page token is not valid.", "start")


def test_a_start_of_another_instance_is_refused(service: Service, alice: Client) -> None:
    made(alice, 2)
    start = listed(alice, limit=1).json["next"]["start"]
    service.engine.refuses = lambda launch: ""
    foreign = service.eve.get(service.applications(workspace="elsewhere"), start=start)
    assert foreign.status == 400


def iso(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def test_intervals_choose_by_submission_start_and_end(service: Service, alice: Client) -> None:
    first, _ = submit(alice)
    service.clock.advance(3_600_000)
    second, _ = submit(alice)
    service.end(second)
    created, started, ended = (
        service.run(first).created_at,
        service.run(second).started_at,
        service.run(second).ended_at,
    )
    both = ids(listed(alice))
    for name, low, high, wanted in (
        ("submission_time_interval", iso(created), iso(created), both[1:]),
        ("submission_time_interval", iso(created + 1), "CURRENT", both[:1]),
        ("submission_time_interval", "BEGINNING", "CURRENT", both),
        ("submission_time_interval", "BEGINNING", iso(created - 1), []),
        ("start_time_interval", iso(started), iso(started), both[:1]),
        ("start_time_interval", "BEGINNING", iso(started - 1), []),
        ("end_time_interval", iso(ended).replace("+00:00", "Z"), "CURRENT", both[:1]),
    ):
        assert ids(listed(alice, **{name: f"{low},{high}"})) == wanted, (name, low, high)
    assert ids(listed(alice, end_time_interval="BEGINNING,CURRENT", state="FINISHED")) == both[:1]


@pytest.mark.parametrize("name", ["submission_time_interval", "start_time_interval", "end_time_interval"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "2021-01-01",
        "CURRENT,BEGINNING",
        "a,b",
        "2022-01-01T00:00:00Z,2021-01-01T00:00:00Z",
        "2021-13-01,CURRENT",
    ],
)
def test_an_interval_that_is_none_is_refused_by_name(service: Service, alice: Client, name: str, text: str) -> None:
    answer = alice.get(service.applications(), **{name: text})
    assert answer.status == 400
    assert answer.json["errors"][0]["target"] == {"type": "field", "name": name}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("3.3", {}),
        ("3.5.1", {}),
        ("3.1", {"served_by": "3.3", "release_label": "emr-6.11.0-latest"}),
        ("2.4.8", {"served_by": "3.3", "release_label": "emr-6.11.0-latest"}),
    ],
)
def test_a_version_that_is_no_longer_there_is_served_by_the_closest_newer_which_is_said(
    service: Service, alice: Client, asked: str, told: dict[str, str]
) -> None:
    run, path = submit(alice, details(runtime={"spark_version": asked}))
    runtime = alice.get(path).json["application_details"]["runtime"]
    assert runtime == {"spark_version": asked, **told}
    service.store.seed(replace(service.run(run), engine_version="4.3.0"))
    runtime = alice.get(path).json["application_details"]["runtime"]
    assert runtime == {"spark_version": asked, **told, "engine_version": "4.3.0"}


@pytest.mark.parametrize("version", ["9.9", "latest", "7.5.x-scala2.12", "3"])
def test_a_version_outside_the_grammar_is_refused_with_the_list(service: Service, alice: Client, version: str) -> None:
    with service.unchanged():
        answer = call(alice, "POST", "spark_applications", details(runtime={"spark_version": version}))
    assert answer.status == 400
    (error,) = answer.json["errors"]
    assert "3.3, 3.4, 3.5" in error["message"]
    assert error["target"]["name"] == "application_details.runtime.spark_version"
