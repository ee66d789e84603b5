"""Lives of runs, for tests that disturb them: each plays one on a `Cloud` and says how it should end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from chalicelib.core.errors import AlreadyExists, Conflict
from chalicelib.core.model import Job, Policy, Pool, Run
from chalicelib.core.states import RunState
from chalicelib.ports import Launch
from chalicelib.services import history
from chalicelib.services.jobs import Definition, create_job, delete_job
from chalicelib.services.pools import ensure_pool
from chalicelib.services.runs import cancel_run
from chalicelib.services.submission import Request, run_job
from chalicelib.services.workflow import LAUNCH_MS
from tests.unit.cloud import HOUR_MS, Cloud, job_spec, runs, spec
from tests.unit.fakes import Killed

Scenario = Callable[[Cloud], list[RunState]]
"""Plays a life and returns the states in which its attempts must be found at the end."""


T = TypeVar("T")


def insistently(call: Callable[[], T]) -> T:
    """What a client does that gets no answer: it asks again."""
    for _ in range(3):
        try:
            return call()
        except Killed:
            continue
    return call()


def submitted(cloud: Cloud, policy: Policy = Policy()) -> int:
    return insistently(lambda: cloud.submit(spec(policy=policy), idempotency="once"))


def brought_to(cloud: Cloud, state: str, policy: Policy = Policy()) -> int:
    """A run whose driver is in a state of the engine's."""
    id = submitted(cloud, policy)
    cloud.play()
    for next_state in ("PENDING", "SUBMITTED", "RUNNING"):
        for job in cloud.engine.drivers_of(cloud.run(id)):
            cloud.engine.become(job.id, next_state)
        cloud.play()
        if next_state == state:
            break
    return id


def drivers_become(cloud: Cloud, state: str, **words: str) -> None:
    for job in list(cloud.engine.drivers.values()):
        if not job.ended:
            cloud.engine.become(job.id, state, **words)


def succeeds(cloud: Cloud) -> list[RunState]:
    brought_to(cloud, "RUNNING")
    drivers_become(cloud, "COMPLETED")
    return [RunState.SUCCEEDED]


def succeeds_unheard(cloud: Cloud) -> list[RunState]:
    """No event of the engine's ever arrives."""
    submitted(cloud)
    cloud.play()
    for _ in range(4):
        cloud.progress()
        cloud.engine.heard_of.clear()
        cloud.clock.advance(HOUR_MS)
        cloud.play()
    return [RunState.SUCCEEDED]


def is_cancelled_in_the_queue(cloud: Cloud) -> list[RunState]:
    id = submitted(cloud)
    insistently(lambda: cancel_run(cloud.ports, cloud.caller, id))
    return [RunState.CANCELED]


def is_cancelled_when_granted(cloud: Cloud) -> list[RunState]:
    id = submitted(cloud)
    cloud.deliver("dispatch", 1)
    insistently(lambda: cancel_run(cloud.ports, cloud.caller, id))
    return [RunState.CANCELED]


def is_cancelled_while_no_driver_can_be_asked_for(cloud: Cloud) -> list[RunState]:
    def away(launch: Launch) -> str:
        raise Conflict("EMR is away")

    cloud.engine.start = away  # type: ignore[method-assign]
    id = submitted(cloud)
    for _ in range(3):
        cloud.deliver("dispatch")
    for execution in cloud.workflows.live():
        cloud.step(execution)
    cloud.clock.advance(LAUNCH_MS + 1)
    insistently(lambda: cancel_run(cloud.ports, cloud.caller, id))
    cloud.deliver("follow")
    return [RunState.CANCELED]


def is_cancelled_while_it_runs(cloud: Cloud) -> list[RunState]:
    id = brought_to(cloud, "RUNNING")
    insistently(lambda: cancel_run(cloud.ports, cloud.caller, id))
    return [RunState.CANCELED]


def times_out(cloud: Cloud) -> list[RunState]:
    brought_to(cloud, "RUNNING", Policy(timeout_ms=10 * HOUR_MS))
    for _ in range(12):
        cloud.clock.advance(HOUR_MS)
        cloud.play()
    return [RunState.TIMED_OUT]


def fails_and_is_retried(cloud: Cloud) -> list[RunState]:
    brought_to(cloud, "RUNNING", Policy(max_retries=1, min_retry_interval_ms=HOUR_MS // 2))
    drivers_become(cloud, "FAILED", failure="USER_ERROR", details="boom")
    cloud.play()
    cloud.clock.advance(HOUR_MS)
    cloud.play()
    drivers_become(cloud, "COMPLETED")
    return [RunState.FAILED, RunState.SUCCEEDED]


def serves_histories_dies_and_is_stopped(cloud: Cloud) -> list[RunState]:
    """A pool's history server: started, started again when it dies, stopped."""
    pool = cloud.store.all(Pool)[0]

    def start() -> None:
        with suppress(AlreadyExists):  # of a call that got no answer and yet was heard
            history.start(cloud.ports, cloud.caller, pool.name, cores=1, memory=1024)

    def stop() -> None:
        with suppress(history.Stopped):
            history.stop(cloud.ports, cloud.caller, cloud.store.all(Pool)[0])

    insistently(start)
    cloud.play()
    drivers_become(cloud, "RUNNING")
    cloud.play()
    cloud.clock.advance(60_000)
    drivers_become(cloud, "FAILED", failure="USER_ERROR", details="boom")
    cloud.play()
    cloud.clock.advance(60_000)
    cloud.play()
    insistently(stop)
    return [RunState.FAILED, RunState.CANCELED]


def waits_until_another_ends(cloud: Cloud) -> list[RunState]:
    """Two runs of a pool that holds one; the limit is lowered below what runs, and raised again."""

    def limit(count: int) -> None:
        insistently(lambda: ensure_pool(cloud.ports, "main", "default", maximum=runs(count)))

    limit(1)
    for token in ("first", "second"):
        insistently(lambda token=token: cloud.submit(idempotency=token))  # type: ignore[misc]
        cloud.play()
    drivers_become(cloud, "RUNNING")
    cloud.play()
    limit(0)
    drivers_become(cloud, "COMPLETED")
    cloud.play()
    limit(1)
    cloud.play()
    drivers_become(cloud, "COMPLETED")
    return [RunState.SUCCEEDED, RunState.SUCCEEDED]


def is_refused(cloud: Cloud) -> list[RunState]:
    def no(launch: Launch) -> str:
        return "no such role"

    cloud.engine.refuses = no
    submitted(cloud)
    cloud.play()
    return [RunState.FAILED]


def loses_its_execution(cloud: Cloud) -> list[RunState]:
    brought_to(cloud, "RUNNING")
    for execution in cloud.workflows.live():
        cloud.workflows.lose(execution)
    cloud.sweep()
    cloud.play()
    drivers_become(cloud, "COMPLETED")
    return [RunState.SUCCEEDED]


def loses_its_job(cloud: Cloud) -> list[RunState]:
    insistently(lambda: create_job(cloud.ports, cloud.caller, Definition(spec(), 5, {})))
    job = cloud.store.all(Job)[0].id
    insistently(lambda: run_job(cloud.ports, cloud.caller, job, Request(idempotency="once"), lambda j: j.spec))
    cloud.play()
    drivers_become(cloud, "RUNNING")
    cloud.play()
    insistently(lambda: delete_job(cloud.ports, cloud.caller, job))
    return [RunState.CANCELED]


def parent_of_a_job(cloud: Cloud, policy: Policy = Policy(), of_child: Policy = Policy()) -> int:
    """A run that runs a saved job and waits for it: its child's driver is RUNNING."""
    insistently(lambda: create_job(cloud.ports, cloud.caller, Definition(spec(policy=of_child), 5, {})))
    job = cloud.store.all(Job)[0].id
    id = insistently(lambda: cloud.submit(job_spec(job, policy), idempotency="once"))
    cloud.play()
    drivers_become(cloud, "RUNNING")
    cloud.play()
    return id


def runs_a_job(cloud: Cloud) -> list[RunState]:
    parent_of_a_job(cloud)
    drivers_become(cloud, "COMPLETED")
    return [RunState.SUCCEEDED, RunState.SUCCEEDED]


def runs_a_job_that_fails(cloud: Cloud) -> list[RunState]:
    parent_of_a_job(cloud)
    drivers_become(cloud, "FAILED", failure="USER_ERROR", details="boom")
    return [RunState.FAILED, RunState.FAILED]


def runs_a_job_that_is_retried(cloud: Cloud) -> list[RunState]:
    parent_of_a_job(cloud, of_child=Policy(max_retries=1))
    drivers_become(cloud, "FAILED", failure="USER_ERROR", details="boom")
    cloud.play()
    drivers_become(cloud, "COMPLETED")
    return [RunState.SUCCEEDED, RunState.FAILED, RunState.SUCCEEDED]


def runs_a_job_again(cloud: Cloud) -> list[RunState]:
    """The parent is retried, and its second attempt has a child of its own."""
    parent_of_a_job(cloud, Policy(max_retries=1))
    drivers_become(cloud, "FAILED", failure="USER_ERROR", details="boom")
    cloud.play()
    drivers_become(cloud, "COMPLETED")
    return [RunState.FAILED, RunState.FAILED, RunState.SUCCEEDED, RunState.SUCCEEDED]


def runs_a_job_and_is_cancelled(cloud: Cloud) -> list[RunState]:
    id = parent_of_a_job(cloud)
    insistently(lambda: cancel_run(cloud.ports, cloud.caller, id))
    return [RunState.CANCELED, RunState.CANCELED]


def runs_a_job_and_times_out(cloud: Cloud) -> list[RunState]:
    parent_of_a_job(cloud, Policy(timeout_ms=10 * HOUR_MS))
    for _ in range(12):
        cloud.clock.advance(HOUR_MS)
        cloud.play()
    return [RunState.TIMED_OUT, RunState.CANCELED]


SCENARIOS: list[Scenario] = [
    succeeds,
    succeeds_unheard,
    is_cancelled_in_the_queue,
    is_cancelled_when_granted,
    is_cancelled_while_no_driver_can_be_asked_for,
    is_cancelled_while_it_runs,
    times_out,
    fails_and_is_retried,
    serves_histories_dies_and_is_stopped,
    waits_until_another_ends,
    is_refused,
    loses_its_execution,
    loses_its_job,
    runs_a_job,
    runs_a_job_that_fails,
    runs_a_job_that_is_retried,
    runs_a_job_again,
    runs_a_job_and_is_cancelled,
    runs_a_job_and_times_out,
]


def attempts(cloud: Cloud) -> list[RunState]:
    """The states of all attempts, the first one first; a run's before those of the run that it made."""
    made = sorted(cloud.store.all(Run), key=lambda run: run.attempt)
    roots = [run for run in made if not run.parent]
    return [run.state for root in roots for run in (root, *(child for child in made if child.parent == root.id))]
