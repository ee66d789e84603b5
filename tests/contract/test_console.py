"""The console: its files, and what it asks that no other dialect tells."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chalicelib.core.ids import cluster_id
from chalicelib.core.model import Run
from tests.contract import engine
from tests.contract.databricks import create, get_run, python, run_now, submit
from tests.contract.wire import Answer, Client, Service

FILES = Path(__file__).parents[2] / "chalicelib" / "console"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
         ".js": "text/javascript; charset=utf-8"}  # fmt: skip


def path_of(file: Path) -> str:
    return "/" if file.name == "index.html" else f"/console/{file.name}"


def failed(answer: Answer, status: int, message: str) -> None:
    assert (answer.status, answer.json) == (status, {"message": message})


@pytest.mark.parametrize("file", sorted(FILES.iterdir()), ids=lambda file: file.name)
def test_every_file_is_served_to_anybody_with_its_type_and_a_strict_policy(service: Service, file: Path) -> None:
    answer = service.nobody.get(path_of(file))
    assert (answer.status, answer.body) == (200, file.read_bytes())
    assert answer.headers["content-type"] == TYPES[file.suffix]
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert (policy["frame-ancestors"], policy["base-uri"]) == ("'none'", "'none'")


def test_the_pages_load_nothing_from_elsewhere_and_read_no_text_as_html() -> None:
    text = "".join(file.read_text() for file in FILES.iterdir())
    assert set(re.findall(r"https?://[^\s\"'<>]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text)
    assert 'sandbox: ""' in text
    assert not re.search(r"<script>|\son\w+=\"", (FILES / "index.html").read_text())


def test_the_pages_fit_the_zip() -> None:
    assert sum(file.stat().st_size for file in FILES.iterdir()) < 60_000


def page(client: Client, run: int) -> str:
    """What stands after the # in a run's page."""
    return urlsplit(get_run(client, run)["run_page_url"]).fragment


def numbered(client: Client, fragment: str) -> Answer:
    found = re.fullmatch(r"job/(\d+)/run/(\d+)", fragment)
    assert found
    return client.get(f"/console/v1/jobs/{found[1]}/runs/{found[2]}")


def test_a_runs_page_leads_to_the_run(alice: Client) -> None:
    job = create(alice, python(max_concurrent_runs=5))
    runs = [run_now(alice, job) for _ in range(3)]
    for run in [*runs, submit(alice)]:
        assert numbered(alice, page(alice, run)).json == {"run_id": run}


def test_a_run_that_is_not_there_is_not_found(alice: Client, eve: Client) -> None:
    job = create(alice)
    run = run_now(alice, job)
    failed(alice.get(f"/console/v1/jobs/{job}/runs/2"), 404, f"Run 2 of job {job} does not exist.")
    failed(alice.get(f"/console/v1/jobs/{run}/runs/1"), 404, f"Run 1 of job {run} does not exist.")
    failed(alice.get("/console/v1/jobs/7/runs/1"), 404, "Run 7 does not exist.")
    failed(alice.get("/console/v1/runs/x"), 404, "Run x does not exist.")
    failed(eve.get(f"/console/v1/runs/{run}"), 404, f"Run {run} does not exist.")
    failed(eve.get(f"/console/v1/jobs/{job}/runs/1"), 404, f"Run {job} does not exist.")
    failed(eve.get(f"/console/v1/jobs/{job}/fires"), 404, f"Job {job} does not exist.")


def test_a_clusters_id_leads_to_its_run(service: Service, alice: Client, eve: Client) -> None:
    run = submit(alice)
    service.start(run)
    cluster = get_run(alice, run)["cluster_instance"]["cluster_id"]
    assert alice.get(f"/console/v1/clusters/{cluster}").json == {"run_id": run}
    failed(eve.get(f"/console/v1/clusters/{cluster}"), 404, f"Run {run} does not exist.")
    failed(alice.get("/console/v1/clusters/1201-my-cluster"), 404, "Cluster 1201-my-cluster does not exist.")
    failed(alice.get(f"/console/v1/clusters/{cluster_id(77)}"), 404, "Run 77 does not exist.")


def test_an_applications_id_leads_to_its_run_whose_page_its_detail_names(
    service: Service, alice: Client, eve: Client
) -> None:
    run, path = engine.submit(alice)
    uuid = path.rpartition("/")[2]
    assert alice.get(path).json["run_page_url"] == f"https://api.test/#application/{uuid}"
    assert alice.get(f"/console/v1/applications/{uuid}").json == {"run_id": run}
    assert alice.get(f"/console/v1/runs/{run}").json["analytics_engine_id"] == uuid
    failed(eve.get(f"/console/v1/applications/{uuid}"), 404, f"Application {uuid} does not exist.")
    failed(alice.get("/console/v1/applications/7"), 404, "Application 7 does not exist.")
    alice.delete(path)
    service.play()
    alice.delete(path)
    failed(alice.get(f"/console/v1/applications/{uuid}"), 404, f"Run {run} does not exist.")


def test_a_run_from_analytics_engine_shows_all_that_was_asked_for_and_which_spark_ran_it(
    service: Service, alice: Client
) -> None:
    asked = engine.details(
        archives="s3://a/b.zip#env", jars="s3://a/c.jar", files="s3://a/d", packages="a:b:1", env={"NAME": "x"}
    )
    asked |= {"volumes": [{"name": "v", "mount_path": "/v"}], "template_id": "spark-3.3-cp4d-template"}
    run, _ = engine.submit(alice, asked)
    service.store.seed(replace(service.run(run), engine_version="4.3.0", application_name="its own"))
    shown = alice.get(f"/console/v1/runs/{run}").json
    assert {name: shown["asked"][name] for name in asked} == asked
    assert (shown["spark_version"], shown["engine_version"], shown["application_name"]) == ("3.3", "4.3.0", "its own")
    assert alice.get(f"/console/v1/runs/{submit(alice)}").json["asked"] is None


def test_what_is_known_of_a_run_beyond_its_answer(service: Service, alice: Client) -> None:
    job = create(alice, python(max_retries=1))
    run = run_now(alice, job)
    service.start(run)
    service.end(run, "FAILED")
    shown = alice.get(f"/console/v1/runs/{run}").json
    (retry,) = [one.id for one in service.store.all(Run) if one.attempt]
    assert (shown["next_attempt"], shown["max_retries"], shown["state"]) == (retry, 1, "FAILED")
    parent = submit(alice, {"run_job_task": {"job_id": job}})
    service.play()
    (child,) = [one.id for one in service.store.all(Run) if one.parent == parent]
    assert alice.get(f"/console/v1/runs/{child}").json["parent"] == parent


def test_the_end_of_a_log(service: Service, alice: Client) -> None:
    run = submit(alice)
    assert alice.get(f"/console/v1/runs/{run}/logs/stdout").json == {"text": "", "truncated": False}
    service.start(run)
    service.engine.logs[f"main.{run}", "stdout"] = ["log"]
    service.blobs.bodies["log"] = b"x" * 100_000 + b"<b>end</b>"
    told = alice.get(f"/console/v1/runs/{run}/logs/stdout").json
    assert told["truncated"] and told["text"].endswith("x<b>end</b>") and len(told["text"]) == 64_000
    failed(alice.get(f"/console/v1/runs/{run}/logs/syslog"), 404, "Log syslog does not exist.")


def test_the_next_fires_of_a_schedule(service: Service, alice: Client) -> None:
    schedule: dict[str, Any] = {"quartz_cron_expression": "0 0 12 * * ?", "timezone_id": "UTC"}
    job = create(alice, python(schedule=schedule))
    fires = alice.get(f"/console/v1/jobs/{job}/fires").json["fires"]
    assert len(fires) == 5 and fires[0] > service.clock.now()
    assert {later - sooner for sooner, later in pairwise(fires)} == {86_400_000}
    assert {fire % 86_400_000 for fire in fires} == {43_200_000}
    for other in (create(alice), create(alice, python(schedule={**schedule, "pause_status": "PAUSED"}))):
        assert alice.get(f"/console/v1/jobs/{other}/fires").json == {"fires": []}


def test_wrong_methods_and_unknown_files_are_told_so(service: Service) -> None:
    answer = service.nobody.post("/console/app.js", {})
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
    failed(service.nobody.get("/console/other.js"), 404, "No such path: /console/other.js")
