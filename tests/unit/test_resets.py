"""A job's new settings reach its runs that live: time-out and notifications, whoever is killed on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.core.model import JobActivity, NoticeEvent, Notifications, Policy, RunSpec
from chalicelib.core.states import RunState
from chalicelib.services.jobs import Definition, create_job, delete_job, redefine_job
from chalicelib.services.submission import Request, run_job
from tests.unit.cloud import HOUR_MS, Cloud, spec
from tests.unit.fakes import Killed

S = RunState
ADA = "ada@example.com"


def defined(timeout_ms: int, told: Notifications = Notifications(), retries: int = 0) -> Definition:
    what: RunSpec = replace(spec(policy=Policy(timeout_ms=timeout_ms, max_retries=retries)), notifications=told)
    return Definition(what, 5, {})


def made(cloud: Cloud, wanted: Definition) -> tuple[int, int]:
    """A job, and a run of it."""
    job = create_job(cloud.ports, cloud.caller, wanted).id
    return job, run_job(cloud.ports, cloud.caller, job, Request(), lambda j: j.spec).run


def running(cloud: Cloud, wanted: Definition) -> tuple[int, int]:
    job, run = made(cloud, wanted)
    cloud.play()
    cloud.engine.become(cloud.driver(run), "RUNNING")
    cloud.play()
    return job, run


def reset(cloud: Cloud, job: int, wanted: Definition) -> None:
    redefine_job(cloud.ports, cloud.caller, job, lambda found: wanted)


def pass_until(cloud: Cloud, run: int, ms: int) -> None:
    """Time passes from the run's launch, minute by minute."""
    while cloud.clock.time < cloud.run(run).launched_at + ms:
        cloud.clock.advance(60_000)
        cloud.play()


def test_a_shorter_time_out_ends_a_run_that_was_waited_for_until_later() -> None:
    cloud = Cloud()
    job, run = running(cloud, defined(10 * HOUR_MS))
    pass_until(cloud, run, 2 * HOUR_MS)
    reset(cloud, job, defined(2 * HOUR_MS + 120_000))
    cloud.play()
    (execution,) = cloud.workflows.live()
    assert execution.times_out_at <= cloud.run(run).deadline + 1000
    pass_until(cloud, run, 2 * HOUR_MS + 180_000)
    assert cloud.run(run).intent == "TIME_OUT"
    cloud.progress()
    cloud.play()
    assert cloud.state(run) is S.TIMED_OUT and "7320 seconds" in cloud.run(run).message


def test_a_time_out_that_has_passed_already_ends_the_run_at_once() -> None:
    cloud = Cloud()
    job, run = running(cloud, defined(0))
    cloud.clock.advance(HOUR_MS)
    cloud.play()
    reset(cloud, job, defined(60_000))
    cloud.play()
    cloud.progress()
    cloud.play()
    assert cloud.state(run) is S.TIMED_OUT


def test_a_longer_time_out_or_none_lets_a_run_go_on() -> None:
    for after in (4 * HOUR_MS, 0):
        cloud = Cloud()
        job, run = running(cloud, defined(HOUR_MS))
        reset(cloud, job, defined(after))
        cloud.play()
        pass_until(cloud, run, 2 * HOUR_MS)
        assert cloud.state(run) is S.RUNNING
        pass_until(cloud, run, 5 * HOUR_MS)
        cloud.progress()
        cloud.play()
        assert cloud.state(run) is (S.TIMED_OUT if after else S.SUCCEEDED)


def test_runs_that_wait_for_capacity_and_their_retries_have_the_new_time_out() -> None:
    cloud = Cloud()
    job, run = made(cloud, defined(10 * HOUR_MS, retries=1))
    reset(cloud, job, defined(HOUR_MS, retries=1))
    cloud.deliver("follow")
    assert cloud.run(run).spec.policy == Policy(HOUR_MS, 1)
    cloud.play()
    cloud.engine.become(cloud.driver(run), "FAILED", failure="USER_ERROR")
    cloud.play()
    (retry,) = cloud.live()
    assert retry.spec.policy.timeout_ms == HOUR_MS


def test_only_the_time_out_and_notifications_reach_a_live_run() -> None:
    cloud = Cloud()
    job, run = running(cloud, defined(10 * HOUR_MS))
    other = replace(spec("other", cores=4, policy=Policy(HOUR_MS, 7, 5, True)), conf={"spark.a": "b"})
    before = cloud.run(run).spec
    reset(cloud, job, Definition(other, 5, {}))
    cloud.play()
    assert cloud.run(run).spec == replace(before, policy=replace(before.policy, timeout_ms=HOUR_MS))


def test_a_change_of_something_else_touches_no_run() -> None:
    cloud = Cloud()
    job, run = running(cloud, defined(10 * HOUR_MS))
    version = cloud.run(run).version
    reset(cloud, job, Definition(replace(spec("renamed", policy=Policy(10 * HOUR_MS)), conf={"spark.a": "b"}), 9, {}))
    cloud.play()
    assert cloud.run(run).version == version


def test_new_notifications_and_a_new_health_rule_reach_a_live_run() -> None:
    cloud = Cloud()
    job, run = running(cloud, defined(0))
    told = Notifications({event.value: (ADA,) for event in (NoticeEvent.SUCCESS, NoticeEvent.DURATION)})
    reset(cloud, job, defined(0, replace(told, duration_ms=HOUR_MS)))
    cloud.play()
    cloud.clock.advance(2 * HOUR_MS)
    cloud.play()
    cloud.engine.become(cloud.driver(run), "COMPLETED")
    cloud.play()
    assert [m.subject.rpartition(": ")[2] for m in cloud.mailer.sent] == ["lasts longer than 1 h", "succeeded"]


def test_a_run_that_is_being_ended_and_one_that_has_ended_are_left_alone() -> None:
    cloud = Cloud()
    job, run = running(cloud, defined(10 * HOUR_MS))
    cloud.engine.become(cloud.driver(run), "COMPLETED")
    cloud.play()
    version = cloud.run(run).version
    reset(cloud, job, defined(HOUR_MS))
    delete_job(cloud.ports, cloud.caller, job)
    cloud.play()
    assert cloud.state(run) is S.SUCCEEDED and cloud.run(run).spec.policy.timeout_ms == 10 * HOUR_MS
    assert cloud.run(run).version <= version + 1, "hidden with its job, and nothing else"


def test_a_retry_that_takes_its_place_during_the_reset_is_reached_too() -> None:
    """A run ends, and its next attempt begins, while the reset is on its way to it."""
    for number in range(1, 12):
        cloud = Cloud()
        job, run = running(cloud, defined(10 * HOUR_MS, retries=3))
        reset(cloud, job, defined(HOUR_MS, retries=3))

        def fails(cloud: Cloud = cloud, run: int = run) -> None:
            cloud.engine.become(cloud.driver(run), "FAILED", failure="USER_ERROR")
            while cloud.engine.heard_of:
                cloud.tell()
            for execution in cloud.ready():
                cloud.step(execution)

        cloud.tripwire.admit(number, fails)
        cloud.deliver("follow")
        cloud.tripwire.disarm()
        cloud.play()
        assert {r.spec.policy.timeout_ms for r in cloud.live()} == {HOUR_MS}, number


def test_a_deadline_that_comes_nearer_while_the_execution_is_on_its_way_to_wait_is_obeyed() -> None:
    """Between Check, which reckons how long to wait, and Watch, which waits, nobody has a token to be woken by."""
    for number in range(1, 9):
        cloud = Cloud()
        job, run = running(cloud, defined(20 * HOUR_MS))
        pass_until(cloud, run, HOUR_MS)
        (execution,) = cloud.workflows.live()
        cloud.clock.time = execution.times_out_at
        cloud.step(execution)
        cloud.step(execution)
        assert execution.state == "Watch" and execution.patience == 1800
        soon = cloud.clock.time - cloud.run(run).launched_at + 120_000

        def resets(cloud: Cloud = cloud, job: int = job, soon: int = soon) -> None:
            reset(cloud, job, defined(soon))
            cloud.deliver("follow")

        cloud.tripwire.admit(number, resets)
        cloud.step(execution)
        if not cloud.tripwire.sprung:
            resets()
        cloud.tripwire.disarm()
        cloud.play()
        assert execution.times_out_at <= cloud.run(run).deadline + 6000, number


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_whoever_is_killed_the_new_time_out_is_obeyed(after: bool) -> None:
    number = 0
    while True:
        number += 1
        cloud = Cloud()
        job, run = running(cloud, defined(20 * HOUR_MS))
        pass_until(cloud, run, HOUR_MS)
        cloud.tripwire.arm(number, after=after)
        try:
            reset(cloud, job, defined(HOUR_MS + 300_000))
        except Killed:
            reset(cloud, job, defined(HOUR_MS + 300_000))
        for _ in range(10):
            cloud.play()
            cloud.clock.advance(60_000)
        cloud.progress()
        cloud.play()
        over = not cloud.tripwire.sprung
        cloud.tripwire.disarm()
        cloud.settle()
        assert cloud.state(run) is S.TIMED_OUT, number
        cloud.check_over()
        assert cloud.store.get(JobActivity, "main", job).active == frozenset()
        if over:
            break
    assert number > 10
