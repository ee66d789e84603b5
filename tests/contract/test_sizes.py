"""Large answers: compressed where the client takes that, and never more than Lambda can return."""

from __future__ import annotations

import base64
import gzip
import json
import random
from dataclasses import replace

import pytest

from chalicelib.core.ids import external_name
from chalicelib.core.model import Job
from tests.contract.databricks import JOBS, cluster, create, python, submit
from tests.contract.test_gate import message_of
from tests.contract.wire import Answer, Client, Service


def get(client: Client, path: str, encoding: str = "", **query: object) -> Answer:
    headers = {"Accept-Encoding": encoding} if encoding else {}
    return client.request("GET", path, query=list(query.items()), headers=headers)


def runs_of_size(client: Client, count: int, size: int, character: str = "x") -> None:
    """Runs whose clusters have tags of so many characters."""
    for _ in range(count):
        submit(client, python(new_cluster=cluster(gcp_attributes={"note": character * size})))


@pytest.mark.parametrize("encoding", ["gzip", "gzip, deflate, br", "GZIP", "br;q=1.0, gzip;q=0.8"])
def test_an_answer_over_a_megabyte_is_compressed_for_who_takes_it(alice: Client, encoding: str) -> None:
    runs_of_size(alice, 4, 300_000)
    plain = get(alice, f"{JOBS}/runs/list", limit=999)
    packed = get(alice, f"{JOBS}/runs/list", encoding, limit=999)
    assert "content-encoding" not in plain.headers and len(plain.body) > 1_000_000
    assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert packed.headers["content-type"] == "application/json"
    assert json.loads(gzip.decompress(packed.body)) == plain.json
    assert len(packed.body) < len(plain.body) // 2
    assert packed.raw["isBase64Encoded"] is True


@pytest.mark.parametrize("encoding", ["", "identity", "deflate, br", "gzip;q=0"])
def test_a_client_that_does_not_take_gzip_gets_none(alice: Client, encoding: str) -> None:
    runs_of_size(alice, 4, 300_000)
    answer = get(alice, f"{JOBS}/runs/list", encoding, limit=999)
    assert "content-encoding" not in answer.headers
    assert len(answer.json["runs"]) == 4


def test_a_small_answer_is_sent_as_it_is(alice: Client) -> None:
    create(alice)
    answer = get(alice, f"{JOBS}/list", "gzip")
    assert "content-encoding" not in answer.headers
    assert answer.raw["isBase64Encoded"] is False


@pytest.mark.parametrize(("size", "character"), [(300_000, "x"), (150_000, '"'), (100_000, "漢")])
def test_a_page_that_lambda_could_not_return_ends_early_and_goes_on_by_offset(
    alice: Client, size: int, character: str
) -> None:
    runs_of_size(alice, 22, size, character)
    seen: list[int] = []
    while True:
        page = get(alice, f"{JOBS}/runs/list", limit=999, offset=len(seen))
        assert page.status == 200
        assert page.json["runs"]
        seen += [run["run_id"] for run in page.json["runs"]]
        if not page.json["has_more"]:
            break
    assert len(seen) == len(set(seen)) == 22
    assert len(seen) > len(get(alice, f"{JOBS}/runs/list", limit=999).json["runs"])


def large_jobs(service: Service, client: Client, count: int) -> None:
    """Many saved jobs with large settings, without the way through the API for each."""
    job = service.store.get(Job, "main", create(client, python(email_notifications={"on_start": ["a@b.c"] * 4_000})))
    service.store.seed(*(replace(job, id=job.id + number, version=0) for number in range(1, count)))


def test_an_answer_that_lambda_cannot_return_is_stored_and_the_client_is_sent_there(
    service: Service, alice: Client
) -> None:
    large_jobs(service, alice, 300)
    for encoding in ("", "identity"):
        answer = get(alice, f"{JOBS}/list", encoding)
        assert (answer.status, answer.body) == (307, b"")
        name, _, query = answer.headers["location"].removeprefix("https://blobs.example/").partition("?")
        assert name.startswith("main/answers/") and query == "get=300"
        assert len(json.loads(service.blobs.bodies[name])["jobs"]) == 300
        assert service.blobs.types[name] == "application/json"
    packed = get(alice, f"{JOBS}/list", "gzip")
    assert packed.status == 200 and len(packed.json["jobs"]) == 300


def test_an_answer_that_even_packed_is_too_large_is_stored_too(service: Service, alice: Client) -> None:
    job = create(alice, python(name="incompressible"))
    record = service.store.get(Job, "main", job)
    service.store.seed(*(replace(record, id=job + n, settings={"noise": _noise(n)}) for n in range(1, 120)))
    answer = get(alice, f"{JOBS}/list", "gzip")
    assert answer.status == 307
    name = answer.headers["location"].removeprefix("https://blobs.example/").partition("?")[0]
    assert len(json.loads(service.blobs.bodies[name])["jobs"]) == 120


def _noise(seed: int) -> str:
    return base64.b64encode(random.Random(seed).randbytes(60_000)).decode()


def test_a_large_answer_of_another_workspace_is_stored_in_its_own(service: Service, alice: Client, eve: Client) -> None:
    large_jobs(service, alice, 300)
    with service.unchanged():
        assert get(eve, f"{JOBS}/list").json["jobs"] == []


@pytest.mark.parametrize("extra", [10, 900_000])
def test_the_most_of_a_log_arrives_whatever_comes_with_it(service: Service, alice: Client, extra: int) -> None:
    run = submit(alice, python(new_cluster=cluster(spark_env_vars={"NOTE": "x" * extra})))
    service.end(run)
    service.engine.logs[external_name("main", run), "stdout"] = (name := f"logs/{run}/stdout.gz",)
    service.blobs.bodies[name] = gzip.compress(("漢" * 3_000_000).encode())
    answer = get(alice, f"{JOBS}/runs/get-output", run_id=run)
    assert answer.status == (307 if extra > 10 else 200)
    if answer.status == 307:
        stored = answer.headers["location"].removeprefix("https://blobs.example/").partition("?")[0]
        assert json.loads(service.blobs.bodies[stored])["logs_truncated"] is True
    else:
        assert answer.json["logs_truncated"] is True


def test_a_job_that_no_item_of_the_table_could_hold_is_refused(service: Service, alice: Client) -> None:
    body = python(email_notifications={"on_start": ["someone@example.com"] * 40_000})
    with service.unchanged():
        answer = alice.post(f"{JOBS}/create", body)
    assert answer.status == 413
    assert message_of(answer, "databricks_jobs") == "The job's settings are larger than 100000 bytes."
