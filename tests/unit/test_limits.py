"""A workspace's limits: runs that live, saved jobs, and what is made in an hour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core.errors import Exhausted, QuotaExceeded, SparkplaneError, TooMany
from chalicelib.core.model import CronSchedule, FeedHead, JobTally, Policy, Run, Trigger
from chalicelib.core.states import RunState
from chalicelib.ports import Settings, key
from chalicelib.services.access import Call
from chalicelib.services.jobs import Definition, create_job, delete_job
from chalicelib.services.pools import ensure_pool
from chalicelib.services.runs import cancel_run
from chalicelib.services.submission import Request, run_job
from tests.unit.cloud import HOUR_MS, Cloud, spec
from tests.unit.lives import SCENARIOS, Scenario

S = RunState


def limited(**limits: int) -> Cloud:
    return Cloud(Settings(**limits))  # type: ignore[arg-type]


def head(cloud: Cloud) -> FeedHead:
    found = cloud.store.get(FeedHead, "main")
    assert isinstance(found, FeedHead)
    return found


def refused(cloud: Cloud, error: type[SparkplaneError], attempt: Callable[[], Any]) -> str:
    """The message of a refusal that changes nothing."""
    before = cloud.store.snapshot()
    with pytest.raises(error) as told:
        attempt()
    assert cloud.store.records == before
    return told.value.message


def saved(cloud: Cloud, **more: Any) -> int:
    return create_job(cloud.ports, cloud.caller, Definition(spec(), more.pop("most", 100), {}, **more)).id


def ran(cloud: Cloud, job: int, **request: Any) -> Run:
    made = run_job(cloud.ports, cloud.caller, job, Request(**request), lambda j: j.spec)
    return cloud.run(made.run)


# Runs that live.


def test_a_workspace_at_its_limit_of_live_runs_refuses_more_until_one_is_over() -> None:
    cloud = limited(max_active_runs=3)
    job = saved(cloud)
    runs = [cloud.submit(), cloud.submit(), ran(cloud, job).id]
    cloud.play()
    for attempt in (cloud.submit, lambda: ran(cloud, job)):
        assert refused(cloud, TooMany, attempt) == "There are already 3 active runs (limit: 3)."
    cancel_run(cloud.ports, cloud.caller, runs[0])
    cloud.settle()
    assert head(cloud).active == 0
    cloud.submit()


def test_a_run_that_is_skipped_at_its_jobs_limit_is_not_refused_and_does_not_count() -> None:
    cloud = limited(max_active_runs=1)
    job = saved(cloud, most=1)
    ran(cloud, job)
    cloud.play()
    assert ran(cloud, job).state is S.SKIPPED
    cloud.play()
    assert head(cloud).active == 1


def test_a_token_finds_its_run_at_any_limit() -> None:
    cloud = limited(max_active_runs=1)
    run = cloud.submit(idempotency="once")
    cloud.play()
    assert cloud.submit(idempotency="once") == run


def test_one_workspaces_runs_are_not_anothers() -> None:
    cloud = limited(max_active_runs=1)
    cloud.submit()
    cloud.play()
    cloud.caller = Call(replace(cloud.caller.principal, workspace="elsewhere"))
    ensure_pool(cloud.ports, "elsewhere", "default")
    assert cloud.submit()


def test_retries_are_made_at_any_limit() -> None:
    cloud = limited(max_active_runs=1, max_made_in_hour=1)
    run = cloud.running(spec(policy=Policy(max_retries=1)))
    cloud.engine.become(cloud.driver(run), "FAILED", failure="USER_ERROR")
    cloud.play()
    assert [r.trigger for r in cloud.live()] == [Trigger.RETRY]
    assert (head(cloud).active, head(cloud).made_in_hour) == (1, 1)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_feed_counts_every_life_down_to_nothing(scenario: Scenario) -> None:
    cloud = Cloud()
    scenario(cloud)
    cloud.play()
    assert head(cloud).active == len(cloud.live())
    cloud.deliver("follow", again=True)
    cloud.settle()
    assert head(cloud).active == 0


def test_what_the_feed_lost_is_found_by_the_sweep_when_it_counts_it_twice() -> None:
    cloud = limited(max_active_runs=2)
    run = cloud.running()
    cloud.engine.become(cloud.driver(run), "COMPLETED")
    while not cloud.run(run).ended:
        for execution in cloud.ready():
            cloud.step(execution)
        while cloud.engine.heard_of:
            cloud.tell()
    cloud.lose("follow")  # nobody hears of the end
    cloud.queues["follow"].clear()
    cloud.play()
    assert head(cloud).active == 1
    cloud.sweep()
    assert (head(cloud).active, head(cloud).doubt) == (1, -1)
    cloud.sweep()
    assert (head(cloud).active, head(cloud).doubt) == (0, 0)


def test_a_difference_that_is_only_on_its_way_is_not_believed() -> None:
    cloud = Cloud()
    cloud.submit()
    cloud.play()
    cloud.submit()  # the feed has not heard of it
    cloud.sweep()
    assert (head(cloud).active, head(cloud).doubt) == (1, 1)
    cloud.play()
    cloud.sweep()
    assert (head(cloud).active, head(cloud).doubt) == (2, 0)


# Schedules.


def test_a_fire_at_the_limit_makes_a_run_that_is_skipped_and_says_so() -> None:
    for limits in ({"max_active_runs": 1}, {"max_made_in_hour": 2}):
        cloud = limited(**limits)
        schedule = CronSchedule("0 * * * * ?", "UTC", 0)
        job = saved(cloud, schedule=schedule)
        cloud.submit()
        cloud.pass_time(cloud.clock.time + 65_000)
        (fired,) = [run for run in cloud.store.all(Run) if run.job == job]
        assert (fired.state, fired.trigger, fired.reason) == (S.SKIPPED, Trigger.SCHEDULE, "WORKSPACE_LIMIT")
        assert "(limit: " in fired.message


# Saved jobs.


def test_a_workspace_with_all_its_jobs_takes_no_more_until_one_is_removed() -> None:
    cloud = limited(max_jobs=2)
    jobs = [saved(cloud), saved(cloud)]
    refused(cloud, QuotaExceeded, lambda: saved(cloud))
    delete_job(cloud.ports, cloud.caller, jobs[0])
    delete_job(cloud.ports, cloud.caller, jobs[0])
    saved(cloud)
    refused(cloud, QuotaExceeded, lambda: saved(cloud))
    assert cloud.store.get(JobTally, "main").saved == 2


def test_jobs_that_were_there_before_anybody_counted_are_counted() -> None:
    cloud = limited(max_jobs=3)
    for _ in range(2):
        saved(cloud)
    del cloud.store.records[key(JobTally, "main")]
    saved(cloud)
    refused(cloud, QuotaExceeded, lambda: saved(cloud))


def test_jobs_that_are_made_at_once_do_not_pass_the_quota() -> None:
    for number in range(1, 6):
        cloud = limited(max_jobs=2)
        saved(cloud)
        cloud.tripwire.admit(number, lambda cloud=cloud: saved(cloud))  # type: ignore[misc]
        try:
            saved(cloud)
        except QuotaExceeded:
            pass
        cloud.tripwire.disarm()
        assert cloud.store.get(JobTally, "main").saved == 2


def test_a_job_that_is_removed_by_two_at_once_is_counted_off_once() -> None:
    for number in range(1, 4):
        cloud = Cloud()
        job, _ = saved(cloud), saved(cloud)
        cloud.tripwire.admit(number, lambda cloud=cloud, job=job: delete_job(cloud.ports, cloud.caller, job))  # type: ignore[misc]
        delete_job(cloud.ports, cloud.caller, job)
        cloud.tripwire.disarm()
        assert cloud.store.get(JobTally, "main").saved == 1


# The hour.


def test_runs_and_jobs_share_what_may_be_made_in_an_hour_and_the_next_begins_anew() -> None:
    cloud = limited(max_made_in_hour=3)
    job = saved(cloud)
    cloud.submit(), ran(cloud, job)
    cloud.play()
    for attempt in (cloud.submit, lambda: ran(cloud, job), lambda: saved(cloud)):
        message = refused(cloud, Exhausted, attempt)
        assert message == (
            "Too many requests. Please wait a moment: 3 jobs and runs were created in this hour (limit: 3)."
        )
    cloud.clock.time = (cloud.clock.time // HOUR_MS + 1) * HOUR_MS
    cloud.submit()
    saved(cloud)
    cloud.play()
    assert head(cloud).made_in_hour == 1 and cloud.store.get(JobTally, "main").made_in_hour == 1


def test_an_hour_that_is_over_is_not_counted_again_by_a_late_record() -> None:
    cloud = limited()
    cloud.submit()
    cloud.clock.advance(2 * HOUR_MS)
    cloud.submit()
    late = cloud.queues["follow"]
    late.reverse()
    cloud.deliver("follow", 1)
    cloud.play()
    assert head(cloud).made_in_hour == 1
