"""What a request costs in calls to the table, the token's read included (DESIGN's numbers), and that requests at the
same time stay apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from chalicelib.services.pools import ensure_pool
from tests.contract.databricks import JOBS, cluster, create, get_run, python, run_now, submit
from tests.contract.engine import details
from tests.contract.engine import submit as submit_application
from tests.contract.wire import Answer, Client, Service


def cost(service: Service, ask: Callable[[], Answer]) -> Counter[str]:
    before = Counter(service.store.counts)
    assert ask().status in {200, 202, 204}
    return service.store.counts - before


def test_a_submission_costs_one_read_and_one_write(service: Service, alice: Client) -> None:
    job = create(alice, python(max_concurrent_runs=9))
    both = {"fetch": 1, "commit": 1}
    assert cost(service, lambda: alice.post(f"{JOBS}/runs/submit", python(idempotency_token="t"))) == both
    assert cost(service, lambda: alice.post(f"{JOBS}/run-now", {"job_id": job, "idempotency_token": "u"})) == both
    assert cost(service, lambda: alice.post(f"{JOBS}/create", python())) == both
    assert cost(service, lambda: alice.post(service.applications(), details())) == both
    ensure_pool(service.ports, "main", "gold")
    pooled = python(new_cluster=cluster(instance_pool_id="gold"))
    assert cost(service, lambda: alice.post(f"{JOBS}/runs/submit", pooled)) == both


def test_looking_at_one_thing_costs_one_read(service: Service, alice: Client) -> None:
    job = create(alice)
    run, path = submit_application(alice)
    assert cost(service, lambda: alice.get(f"{JOBS}/runs/get", run_id=run)) == {"fetch": 1, "page": 1}  # its place
    service.play()
    for ask in (
        lambda: alice.get(f"{JOBS}/get", job_id=job),
        lambda: alice.get(f"{JOBS}/runs/get", run_id=run),
        lambda: alice.get(path),
        lambda: alice.get(f"{path}/status"),
        lambda: alice.get(f"/v4/analytics_engines/{service.instance()}"),
    ):
        assert cost(service, ask) == {"fetch": 1}


def test_a_page_of_a_list_costs_one_read_and_one_query(service: Service, alice: Client) -> None:
    job = create(alice)
    run_now(alice, job)
    for ask in (
        lambda: alice.get(f"{JOBS}/list"),
        lambda: alice.get(f"{JOBS}/runs/list"),
        lambda: alice.get(f"{JOBS}/runs/list", job_id=job),
        lambda: alice.get(f"{JOBS}/runs/list", active_only="true"),
        lambda: alice.get(service.applications()),
        lambda: alice.get(service.applications(), state="QUEUED"),
    ):
        assert cost(service, ask) == {"fetch": 1, "page": 1}


def test_cancelling_a_run_that_waits_costs_two_reads_and_one_write(service: Service, alice: Client) -> None:
    run = submit(alice)
    assert cost(service, lambda: alice.post(f"{JOBS}/runs/cancel", {"run_id": run})) == {"fetch": 2, "commit": 1}


def test_requests_at_the_same_time_get_their_own_answers(alice: Client) -> None:
    """Chalice has one current request for the whole process; a Lambda has one at a time, the sandbox has many."""
    runs = [submit(alice) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda run: get_run(alice, run)["run_id"], runs * 10))
    assert answers == runs * 10
