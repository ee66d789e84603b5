"""How many calls to AWS a request takes, counted through the API function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from chalicelib.services.dispatch import dispatch
from chalicelib.services.pools import instance_id
from tests.aws.world import World, deployed


@pytest.fixture(scope="module")
def busy() -> Iterator[World]:
    """A deployment with a few runs, warm."""
    with pytest.MonkeyPatch.context() as patch, deployed(patch) as world:
        for _ in range(3):
            assert submit(world).status == 200
            assert apply(world).status == 202
        yield world


def submit(world: World, **rest: Any) -> Any:
    """A one-time run of Jobs 2.0."""
    cluster = {"spark_version": "15.4.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 1}
    body = {"new_cluster": cluster, "spark_python_task": {"python_file": "s3://bucket/main.py"}, **rest}
    return world.api("POST", "/api/2.0/jobs/runs/submit", body)


def instance(world: World) -> str:
    """The default pool's path."""
    return f"/v4/analytics_engines/{instance_id(world.ports, 'main', 'default')}"


def apply(world: World) -> Any:
    """An application of Analytics Engine."""
    details = {"application": "s3://bucket/main.py"}
    return world.api("POST", f"{instance(world)}/spark_applications", {"application_details": details})


def calls(world: World, request: Callable[[], Any]) -> list[str]:
    """The operations that AWS was asked for by a request that went well."""
    before = len(world.calls)
    assert request().status in {200, 202}
    return [call.operation for call in world.calls[before:]]


READ_AND_WRITE = ["BatchGetItem", "TransactWriteItems"]


def test_a_submit_is_one_read_and_one_transaction_in_both_dialects(busy: World) -> None:
    assert calls(busy, lambda: submit(busy)) == READ_AND_WRITE
    assert calls(busy, lambda: submit(busy, idempotency_token="once")) == READ_AND_WRITE
    assert calls(busy, lambda: apply(busy)) == READ_AND_WRITE


def test_a_replayed_submit_writes_nothing(busy: World) -> None:
    first = submit(busy, idempotency_token="again").body
    assert calls(busy, lambda: submit(busy, idempotency_token="again")) == ["BatchGetItem"]
    assert submit(busy, idempotency_token="again").body["run_id"] == first["run_id"]


def test_a_run_of_a_saved_job_is_one_read_and_one_transaction(busy: World) -> None:
    cluster = {"spark_version": "15.4.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 1}
    body = {"new_cluster": cluster, "spark_python_task": {"python_file": "s3://bucket/main.py"}}
    job = busy.api("POST", "/api/2.0/jobs/create", body).body["job_id"]
    assert calls(busy, lambda: busy.api("POST", "/api/2.0/jobs/run-now", {"job_id": job})) == READ_AND_WRITE


def test_a_get_is_one_read_in_both_dialects_and_of_a_run_that_waits_its_place_is_a_query(busy: World) -> None:
    run_id = submit(busy).body["run_id"]
    get = partial(busy.api, "GET", "/api/2.0/jobs/runs/get", run_id=run_id)
    assert calls(busy, get) == ["BatchGetItem", "Query"]
    assert get().body["state"]["state_message"].startswith("Waiting behind the ")
    dispatch(busy.ports, busy.ports.settings.cluster)
    assert calls(busy, get) == ["BatchGetItem"]
    path = f"{instance(busy)}/spark_applications/{apply(busy).body['id']}"
    assert calls(busy, lambda: busy.api("GET", path)) == ["BatchGetItem", "Query"]
    dispatch(busy.ports, busy.ports.settings.cluster)
    assert calls(busy, lambda: busy.api("GET", path)) == ["BatchGetItem"]
    assert calls(busy, lambda: busy.api("GET", f"{path}/status")) == ["BatchGetItem"]


def test_a_page_of_a_list_is_one_read_and_one_query_in_both_dialects(busy: World) -> None:
    reads = {"GetItem", "BatchGetItem"}
    for query in ({}, {"limit": 2}, {"active_only": "true"}, {"limit": 2, "offset": 2}):
        first, second = calls(busy, lambda q=query: busy.api("GET", "/api/2.0/jobs/runs/list", **q))  # type: ignore[misc]
        assert first in reads and second == "Query"
    for query in ({}, {"limit": 2}, {"state": "accepted"}):
        path = f"{instance(busy)}/spark_applications"
        first, *rest = calls(busy, lambda q=query, p=path: busy.api("GET", p, **q))  # type: ignore[misc]
        assert first in reads and set(rest) == {"Query"}


def test_a_request_without_a_good_token_reads_once_and_writes_nothing(busy: World) -> None:
    before = len(busy.calls)
    assert busy.api("GET", "/api/2.0/jobs/runs/list", token="spk_main_wrong").status == 401
    assert [call.operation for call in busy.calls[before:]] == ["BatchGetItem"]
    assert busy.api("GET", "/api/2.0/jobs/runs/list", token="").status == 401
    assert len(busy.calls) == before + 1
