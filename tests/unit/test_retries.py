"""Another attempt: when, how often, and after what (seed 004, "Create": the retry policy)."""

from __future__ import annotations

import pytest

from chalicelib.core.model import JobActivity, Policy, Run, Trigger
from chalicelib.core.policy import PLATFORM_BACKOFF_MS
from chalicelib.core.states import RunState
from chalicelib.services.jobs import Definition, create_job, delete_job
from chalicelib.services.runs import cancel_run
from chalicelib.services.submission import Request, run_job
from tests.unit.cloud import HOUR_MS, Cloud, spec
from tests.unit.lives import drivers_become


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def attempts(cloud: Cloud) -> list[Run]:
    return sorted(cloud.store.all(Run), key=lambda run: run.attempt)


def fail(cloud: Cloud, failure: str = "USER_ERROR") -> None:
    drivers_become(cloud, "FAILED", failure=failure)
    cloud.play()


def test_a_retry_is_a_run_of_its_own_that_points_to_the_first(cloud: Cloud) -> None:
    id = cloud.running(spec(policy=Policy(max_retries=2)))
    fail(cloud)
    fail(cloud)
    first, second, third = attempts(cloud)
    assert [run.first_attempt for run in (first, second, third)] == [id] * 3
    assert [run.attempt for run in (first, second, third)] == [0, 1, 2]
    assert [run.trigger for run in (second, third)] == [Trigger.RETRY] * 2
    assert second.spec == first.spec and second.created_by == first.created_by
    drivers_become(cloud, "COMPLETED")
    cloud.settle()
    assert [run.state for run in attempts(cloud)] == [RunState.FAILED, RunState.FAILED, RunState.SUCCEEDED]
    cloud.check_over()


def test_after_the_last_retry_the_failure_stands(cloud: Cloud) -> None:
    cloud.running(spec(policy=Policy(max_retries=1)))
    fail(cloud)
    fail(cloud)
    cloud.settle()
    assert [run.state for run in attempts(cloud)] == [RunState.FAILED] * 2


def test_minus_one_retries_until_it_succeeds(cloud: Cloud) -> None:
    cloud.running(spec(policy=Policy(max_retries=-1)))
    for _ in range(12):
        fail(cloud)
    drivers_become(cloud, "COMPLETED")
    cloud.settle()
    assert len(attempts(cloud)) == 13
    assert attempts(cloud)[-1].state is RunState.SUCCEEDED
    cloud.check_over()


def test_the_next_attempt_waits_out_the_interval_without_holding_capacity(cloud: Cloud) -> None:
    cloud.running(spec(policy=Policy(max_retries=1, min_retry_interval_ms=HOUR_MS)))
    cloud.clock.advance(HOUR_MS // 4)
    fail(cloud)
    retry = attempts(cloud)[1]
    assert retry.not_before == attempts(cloud)[0].launched_at + HOUR_MS
    assert retry.state is RunState.QUEUED
    assert cloud.ledger.used().runs == 0
    cloud.clock.advance(retry.not_before - cloud.clock.now() - 1)
    cloud.play()
    assert cloud.state(retry.id) is RunState.QUEUED
    cloud.clock.advance(1)
    cloud.play()
    assert cloud.state(retry.id) is RunState.LAUNCHING


def test_others_do_not_wait_behind_an_attempt_that_is_not_due(cloud: Cloud) -> None:
    cloud.running(spec(policy=Policy(max_retries=1, min_retry_interval_ms=HOUR_MS)))
    fail(cloud)
    other = cloud.submit()
    cloud.play()
    assert cloud.state(other) is RunState.LAUNCHING


def test_a_platform_fault_is_given_a_moment(cloud: Cloud) -> None:
    cloud.running(spec(policy=Policy(max_retries=1)))
    fail(cloud, "CLUSTER_UNAVAILABLE")
    first, retry = attempts(cloud)
    assert first.state is RunState.INTERNAL_ERROR
    assert retry.not_before == cloud.clock.now() + PLATFORM_BACKOFF_MS


@pytest.mark.parametrize("on_timeout", [True, False])
def test_a_time_out_is_retried_only_when_the_policy_says_so(cloud: Cloud, on_timeout: bool) -> None:
    policy = Policy(timeout_ms=HOUR_MS, max_retries=1, retry_on_timeout=on_timeout)
    cloud.running(spec(policy=policy))
    cloud.clock.advance(HOUR_MS)
    cloud.play()
    assert attempts(cloud)[0].state is RunState.TERMINATING
    drivers_become(cloud, "CANCELLED")
    cloud.play()
    assert attempts(cloud)[0].state is RunState.TIMED_OUT
    assert len(attempts(cloud)) == (2 if on_timeout else 1)


def test_the_time_outs_clock_starts_at_the_launch_not_in_the_queue(cloud: Cloud) -> None:
    id = cloud.submit(spec(policy=Policy(timeout_ms=1000)))
    cloud.clock.advance(HOUR_MS)
    cloud.play()
    assert cloud.state(id) is RunState.LAUNCHING
    cloud.clock.advance(999)
    cloud.play()
    assert cloud.state(id) is RunState.LAUNCHING
    cloud.clock.advance(1)
    cloud.play()
    assert cloud.state(id) is RunState.TERMINATING


def test_a_cancelled_run_is_never_tried_again(cloud: Cloud) -> None:
    id = cloud.running(spec(policy=Policy(max_retries=-1)))
    cancel_run(cloud.ports, cloud.caller, id)
    fail(cloud)
    assert [run.state for run in attempts(cloud)] == [RunState.CANCELED]


def test_an_attempt_that_waits_can_be_cancelled_and_ends_the_matter(cloud: Cloud) -> None:
    cloud.running(spec(policy=Policy(max_retries=-1, min_retry_interval_ms=HOUR_MS)))
    fail(cloud)
    cancel_run(cloud.ports, cloud.caller, attempts(cloud)[1].id)
    cloud.settle()
    assert [run.state for run in attempts(cloud)] == [RunState.FAILED, RunState.CANCELED]
    cloud.check_over()


def test_a_retry_keeps_its_jobs_place_and_takes_the_jobs_next_number(cloud: Cloud) -> None:
    policy = Policy(max_retries=1)
    job = create_job(cloud.ports, cloud.caller, Definition(spec(policy=policy), 1, {})).id

    def again() -> int:
        return run_job(cloud.ports, cloud.caller, job, Request(), lambda saved: saved.spec).run

    again()
    cloud.play()
    assert cloud.state(again()) is RunState.SKIPPED
    fail(cloud)
    retry = attempts(cloud)[-1]
    assert (retry.job, retry.number_in_job) == (job, 3)
    assert cloud.store.get(JobActivity, "main", job).active == {retry.id}
    assert cloud.state(again()) is RunState.SKIPPED
    cloud.settle()
    cloud.check_over()


def test_a_job_that_is_gone_retries_no_more(cloud: Cloud) -> None:
    policy = Policy(max_retries=-1)
    job = create_job(cloud.ports, cloud.caller, Definition(spec(policy=policy), 1, {})).id
    run_job(cloud.ports, cloud.caller, job, Request(), lambda saved: saved.spec)
    cloud.play()
    delete_job(cloud.ports, cloud.caller, job)
    cloud.queues["follow"].clear()
    fail(cloud)
    assert [run.state for run in attempts(cloud)] == [RunState.FAILED]
    cloud.check_over()
