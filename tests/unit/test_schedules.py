"""Jobs that run by themselves: each fire once, none forgotten, and what happens to those that come late or never."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chalicelib.core.capacity import Ledger
from chalicelib.core.model import CronSchedule, Job, JobActivity, Pool, Run, Trigger
from chalicelib.core.states import RunState
from chalicelib.ports import key
from chalicelib.services.jobs import Definition, create_job, delete_job, redefine_job
from chalicelib.services.runs import delete_run
from chalicelib.services.schedules import due, next_fire, recover
from chalicelib.services.submission import Request, run_job
from tests.unit.cloud import CLUSTER, HOUR_MS, Cloud, spec
from tests.unit.fakes import Killed

MINUTE_MS = 60_000
DAILY = "0 15 22 * * ?"
EVERY_TEN_SECONDS = "0/10 * * * * ?"
START = "2026-05-28T20:26:40"


def at(text: str, ms: int = 0) -> int:
    """An instant in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000) + ms


def utc(expression: str, *, paused: bool = False) -> CronSchedule:
    return CronSchedule(expression, "UTC", 0, paused)


def definition(
    schedule: CronSchedule | None, name: str = "nightly", limit: int = 1000, pool: str = "default"
) -> Definition:
    return Definition(spec(name, pool=pool), limit, {"name": name}, schedule)


@pytest.fixture
def cloud() -> Cloud:
    made = Cloud()
    assert made.clock.now() == at(START)
    made.play()
    return made


def scheduled(cloud: Cloud, expression: str = DAILY, **more: int) -> int:
    """A job with a schedule, heard of by the stream."""
    job = create_job(cloud.ports, cloud.caller, definition(utc(expression), **more)).id
    cloud.play()
    return job


def reset(cloud: Cloud, job: int, schedule: CronSchedule | None, **more: str) -> Job:
    """Another definition for a job; the stream has not told of it yet."""
    return redefine_job(cloud.ports, cloud.caller, job, lambda _: definition(schedule, **more))


def runs_of(cloud: Cloud, job: int) -> list[Run]:
    """The job's runs, the oldest first."""
    return sorted((run for run in cloud.store.all(Run) if run.job == job), key=lambda run: run.number_in_job)


def times(cloud: Cloud, job: int) -> list[str]:
    """When the job's runs were made, to the second."""
    made = [datetime.fromtimestamp(run.created_at // 1000, UTC) for run in runs_of(cloud, job)]
    return [f"{instant:%d %H:%M:%S}" for instant in made]


def arranged(cloud: Cloud, job: int) -> list[int]:
    """The fires that a job's timers will bring."""
    return sorted({about[2] for _, about in cloud.timers.fires() if about[1] == job})


def activity(cloud: Cloud, job: int) -> JobActivity:
    found = cloud.store.get(JobActivity, "main", job)
    assert isinstance(found, JobActivity)
    return found


# When a schedule fires.


def test_the_next_fire_is_strictly_after_an_instant() -> None:
    assert next_fire(utc(DAILY), at("2026-05-28T22:14:59", 999)) == at("2026-05-28T22:15:00")
    assert next_fire(utc(DAILY), at("2026-05-28T22:15:00")) == at("2026-05-29T22:15:00")


def test_there_is_no_next_fire_without_a_schedule_while_paused_or_when_the_years_are_over() -> None:
    assert next_fire(None, at(START)) is None
    assert next_fire(utc(DAILY, paused=True), at(START)) is None
    assert next_fire(utc("0 0 12 1 1 ? 2020"), at(START)) is None


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        (DAILY, "2026-10-31T00:00:00", ["31 05:15:00", "01 05:15:00", "02 06:15:00"]),
        ("0 30 1 * * ?", "2026-10-31T00:00:00", ["31 08:30:00", "01 09:30:00", "02 09:30:00"]),
        ("0 30 2 * * ?", "2027-03-13T00:00:00", ["13 10:30:00", "15 09:30:00"]),
    ],
    ids=["keeps its hour", "an hour that comes twice", "an hour that does not come"],
)
def test_a_schedule_goes_by_the_clock_on_the_wall_where_it_is_changed(
    cloud: Cloud, expression: str, start: str, expected: list[str]
) -> None:
    cloud.clock.time = at(start)
    schedule = CronSchedule(expression, "America/Los_Angeles", 0)
    job = create_job(cloud.ports, cloud.caller, definition(schedule)).id
    cloud.pass_time(at(start) + 60 * HOUR_MS)
    assert times(cloud, job) == expected


# What is arranged, and when.


def test_a_new_job_is_armed_for_its_first_fire(cloud: Cloud) -> None:
    job = create_job(cloud.ports, cloud.caller, definition(utc(DAILY))).id
    assert arranged(cloud, job) == []
    cloud.play()
    assert arranged(cloud, job) == [at("2026-05-28T22:15:00")]


def test_jobs_without_a_schedule_cost_no_calls_of_timers(cloud: Cloud) -> None:
    job = create_job(cloud.ports, cloud.caller, definition(None)).id
    reset(cloud, job, None, name="other")
    delete_job(cloud.ports, cloud.caller, job)
    cloud.play()
    assert not cloud.timers.counts


@pytest.mark.parametrize("schedule", [None, utc(DAILY, paused=True)], ids=["removed", "paused"])
def test_a_job_whose_schedule_is_removed_or_paused_is_disarmed(cloud: Cloud, schedule: CronSchedule | None) -> None:
    job = scheduled(cloud)
    reset(cloud, job, schedule)
    cloud.play()
    assert arranged(cloud, job) == []
    cloud.pass_time(at("2026-05-30T00:00:00"))
    assert times(cloud, job) == []


def test_a_job_that_is_removed_is_disarmed(cloud: Cloud) -> None:
    job = scheduled(cloud)
    delete_job(cloud.ports, cloud.caller, job)
    cloud.play()
    assert cloud.timers.fires() == []


def test_a_changed_schedule_is_armed_in_place_of_the_old_one(cloud: Cloud) -> None:
    job = scheduled(cloud)
    reset(cloud, job, utc("0 0 23 * * ?"))
    cloud.play()
    assert arranged(cloud, job) == [at("2026-05-28T23:00:00")]


def test_an_unpaused_schedule_is_armed_again_and_owes_nothing_of_its_pause(cloud: Cloud) -> None:
    job = scheduled(cloud)
    reset(cloud, job, utc(DAILY, paused=True))
    cloud.pass_time(at("2026-06-03T22:15:00", 500))
    reset(cloud, job, utc(DAILY))
    cloud.play()
    cloud.sweep()
    assert arranged(cloud, job) == [at("2026-06-04T22:15:00")]
    assert runs_of(cloud, job) == []


def test_the_streams_records_may_come_again_long_after_the_job_has_changed(cloud: Cloud) -> None:
    job = create_job(cloud.ports, cloud.caller, definition(utc(DAILY))).id
    cloud.deliver("follow", again=True)
    reset(cloud, job, utc("0 0 23 * * ?"))
    cloud.deliver("follow", first=1)
    cloud.deliver("follow")
    assert arranged(cloud, job) == [at("2026-05-28T23:00:00")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_the_worker_on_the_stream_may_be_killed_at_any_call(after: bool) -> None:
    for number in range(1, 4):
        world = Cloud()
        job = create_job(world.ports, world.caller, definition(utc(DAILY))).id
        world.tripwire.arm(number, after=after)
        world.deliver("follow")
        assert world.tripwire.sprung
        world.play()
        assert arranged(world, job) == [at("2026-05-28T22:15:00")]


# A fire that comes when it should.


def test_a_fire_makes_a_run_of_the_job_and_arms_the_next(cloud: Cloud) -> None:
    job = scheduled(cloud)
    cloud.pass_time(at("2026-05-28T22:15:00"))
    (run,) = runs_of(cloud, job)
    assert (run.trigger, run.created_by, run.spec.name) == (Trigger.SCHEDULE, "alice", "nightly")
    assert run.number_in_job == 1
    assert arranged(cloud, job) == [at("2026-05-29T22:15:00")]
    cloud.pass_time(at("2026-05-31T00:00:00"))
    assert times(cloud, job) == ["28 22:15:00", "29 22:15:00", "30 22:15:00"]


def test_a_schedule_of_seconds_fires_at_each_of_them(cloud: Cloud) -> None:
    job = scheduled(cloud, EVERY_TEN_SECONDS)
    cloud.pass_time(at("2026-05-28T20:27:25"))
    assert times(cloud, job) == ["28 20:26:50", "28 20:27:00", "28 20:27:10", "28 20:27:20"]


def test_runs_that_are_asked_for_by_hand_change_nothing_for_the_schedule(cloud: Cloud) -> None:
    job = scheduled(cloud)
    run_job(cloud.ports, cloud.caller, job, Request(), lambda saved: saved.spec)
    cloud.pass_time(at("2026-05-28T23:00:00"))
    assert [run.trigger for run in runs_of(cloud, job)] == [Trigger.ON_DEMAND, Trigger.SCHEDULE]


def test_a_ring_that_is_early_makes_nothing_and_the_fire_still_comes(cloud: Cloud) -> None:
    job, fire = scheduled(cloud), at("2026-05-28T22:15:00")
    for early in (90 * MINUTE_MS, MINUTE_MS, 1001):
        cloud.clock.time = fire - early
        assert due(cloud.ports, "main", job, fire) == "nothing is due yet"
    assert runs_of(cloud, job) == []
    cloud.pass_time(fire + MINUTE_MS)
    assert times(cloud, job) == ["28 22:15:00"]


def test_a_ring_that_is_early_by_what_clocks_differ_counts_as_on_time(cloud: Cloud) -> None:
    job, fire = scheduled(cloud), at("2026-05-28T22:15:00")
    cloud.clock.time = fire - 20
    assert due(cloud.ports, "main", job, fire) == ""
    assert len(runs_of(cloud, job)) == 1
    cloud.pass_time(fire + HOUR_MS)
    assert len(runs_of(cloud, job)) == 1
    assert arranged(cloud, job) == [fire + 24 * HOUR_MS]


def test_a_ring_that_comes_again_does_not_hasten_the_next_fire(cloud: Cloud) -> None:
    job = scheduled(cloud, "* * * * * ?")
    fire = at("2026-05-28T20:26:41")
    cloud.clock.time = fire
    for _ in range(3):
        due(cloud.ports, "main", job, fire)
    assert len(runs_of(cloud, job)) == 1


def test_a_fire_makes_one_run_however_often_it_is_brought(cloud: Cloud) -> None:
    job, fire = scheduled(cloud), at("2026-05-28T22:15:00")
    for late in (0, 0, 1000, 3 * MINUTE_MS, 24 * HOUR_MS - 1):
        cloud.clock.time = fire + late
        due(cloud.ports, "main", job, fire)
    assert len(runs_of(cloud, job)) == 1


def test_a_fire_makes_no_second_run_when_the_first_was_deleted(cloud: Cloud) -> None:
    job, fire = scheduled(cloud, limit=0), at("2026-05-28T22:15:00")
    cloud.pass_time(fire)
    delete_run(cloud.ports, cloud.caller, runs_of(cloud, job)[0].id)
    due(cloud.ports, "main", job, fire)
    cloud.sweep()
    assert runs_of(cloud, job) == []


def test_two_workers_who_are_brought_the_same_fire_make_one_run(cloud: Cloud) -> None:
    counted = calls_of(lambda c, job, fire: due(c.ports, "main", job, fire))
    assert counted > 4
    for number in range(1, counted + 1):
        world = Cloud()
        job, fire = scheduled(world), at("2026-05-28T22:15:00")
        world.clock.time = fire
        world.tripwire.admit(number, lambda w=world, j=job, f=fire: due(w.ports, "main", j, f))  # type: ignore[misc]
        due(world.ports, "main", job, fire)
        assert world.tripwire.sprung
        assert len(runs_of(world, job)) == 1, f"before call {number}"
        assert fire + 24 * HOUR_MS in arranged(world, job)


def calls_of(work: Callable[[Cloud, int, int], object], expression: str = DAILY) -> int:
    """How many calls leave a worker that does this when the first fire is due."""
    world = Cloud()
    job = scheduled(world, expression)
    fire = next_fire(utc(expression), world.clock.now())
    assert fire is not None
    world.clock.time = fire
    world.tripwire.arm(0, after=False)
    work(world, job, fire)
    return world.tripwire.calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("late", [0, 30_000, 26 * HOUR_MS], ids=["on time", "late", "missed"])
def test_a_worker_may_be_killed_at_any_call_of_a_fire_and_run_again(late: int, after: bool) -> None:
    for number in range(1, calls_of(lambda c, job, fire: due(c.ports, "main", job, fire)) + 1):
        world = Cloud()
        job, fire = scheduled(world), at("2026-05-28T22:15:00")
        world.clock.time = fire + late
        world.tripwire.arm(number, after=after)
        with pytest.raises(Killed):
            due(world.ports, "main", job, fire)
        due(world.ports, "main", job, fire)
        world.play()
        assert len(runs_of(world, job)) == 1, f"call {number}"
        next_one = next_fire(utc(DAILY), world.clock.now())
        assert arranged(world, job)[-1] == next_one
        world.check_records()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_worker_that_is_killed_and_never_run_again_is_made_up_for_by_the_sweep(after: bool) -> None:
    for number in range(1, calls_of(lambda c, job, fire: due(c.ports, "main", job, fire)) + 1):
        world = Cloud()
        job, fire = scheduled(world), at("2026-05-28T22:15:00")
        world.clock.time = fire
        world.tripwire.arm(number, after=after)
        with pytest.raises(Killed):
            due(world.ports, "main", job, fire)
        world.timers.entries.clear()
        world.timers.waits.clear()
        for _ in range(25):
            world.clock.advance(HOUR_MS)
            world.sweep()
            world.play()
        assert [run.created_at // HOUR_MS * HOUR_MS for run in runs_of(world, job)][1:] == [
            at("2026-05-29T22:00:00")
        ], f"call {number}"
        assert len(runs_of(world, job)) == 2


# Fires that come late.


def test_fires_that_come_less_than_a_minute_late_are_each_made_up_for(cloud: Cloud) -> None:
    job = scheduled(cloud, EVERY_TEN_SECONDS)
    cloud.clock.time = at("2026-05-28T20:27:25")
    cloud.play()
    assert times(cloud, job) == ["28 20:27:25"] * 4
    assert activity(cloud, job).fired == at("2026-05-28T20:27:20")
    cloud.pass_time(at("2026-05-28T20:27:40"))
    assert times(cloud, job)[4:] == ["28 20:27:30", "28 20:27:40"]


def test_of_fires_that_are_later_the_oldest_is_run_once_and_the_schedule_goes_on_from_now(cloud: Cloud) -> None:
    job = scheduled(cloud, EVERY_TEN_SECONDS)
    cloud.clock.time = at("2026-05-28T20:27:50")  # a minute after the first
    cloud.play()
    assert times(cloud, job) == ["28 20:27:50"]
    cloud.pass_time(at("2026-05-28T20:28:10"))
    assert times(cloud, job)[1:] == ["28 20:28:00", "28 20:28:10"]


def test_fires_that_were_missed_are_not_brought_one_by_one_by_sweeps_to_come(cloud: Cloud) -> None:
    job = scheduled(cloud)
    cloud.timers.entries.clear()
    cloud.clock.time = at("2026-06-03T12:00:00")
    assert [recover(cloud.ports, CLUSTER) for _ in range(3)] == [1, 0, 0]
    assert times(cloud, job) == ["03 12:00:00"]
    cloud.pass_time(at("2026-06-04T00:00:00"))
    assert times(cloud, job)[1:] == ["03 22:15:00"]


def test_a_ring_that_was_given_up_for_lost_brings_nothing_that_is_settled(cloud: Cloud) -> None:
    job, fire = scheduled(cloud), at("2026-05-28T22:15:00")
    cloud.clock.time = at("2026-06-03T12:00:00")
    recover(cloud.ports, CLUSTER)
    assert due(cloud.ports, "main", job, fire) == "nothing is due yet"
    assert due(cloud.ports, "main", job, fire + 24 * HOUR_MS) == "nothing is due yet"
    assert len(runs_of(cloud, job)) == 1


# Jobs that change while a fire is on its way.


def test_a_fire_of_a_schedule_that_was_changed_makes_nothing(cloud: Cloud) -> None:
    job, fire = scheduled(cloud), at("2026-05-28T22:15:00")
    cloud.pass_time(fire - 5000)
    reset(cloud, job, utc("0 0 23 * * ?"))
    cloud.clock.time = fire
    assert due(cloud.ports, "main", job, fire) == "nothing is due yet"
    cloud.pass_time(at("2026-05-29T00:00:00"))
    assert times(cloud, job) == ["28 23:00:00"]


def test_a_fire_that_comes_while_the_schedule_is_paused_makes_nothing(cloud: Cloud) -> None:
    job, fire = scheduled(cloud), at("2026-05-28T22:15:00")
    cloud.pass_time(fire - 5000)
    reset(cloud, job, utc(DAILY, paused=True))
    cloud.pass_time(fire)
    assert runs_of(cloud, job) == []
    reset(cloud, job, utc(DAILY))
    cloud.pass_time(fire + HOUR_MS)
    assert runs_of(cloud, job) == []


def test_a_schedule_that_was_paused_at_its_fire_and_goes_on_before_the_ring_is_heard_owes_nothing(cloud: Cloud) -> None:
    job, fire = scheduled(cloud), at("2026-05-28T22:15:00")
    cloud.pass_time(fire - 5000)
    reset(cloud, job, utc(DAILY, paused=True))
    cloud.clock.time = fire + 10_000
    reset(cloud, job, utc(DAILY))
    due(cloud.ports, "main", job, fire)
    assert runs_of(cloud, job) == []


def test_a_schedule_that_is_paused_and_unpaused_before_its_fire_fires(cloud: Cloud) -> None:
    job, fire = scheduled(cloud), at("2026-05-28T22:15:00")
    cloud.pass_time(fire - 5000)
    reset(cloud, job, utc(DAILY, paused=True))
    cloud.play()
    reset(cloud, job, utc(DAILY))
    cloud.pass_time(fire)
    assert times(cloud, job) == ["28 22:15:00"]


def test_a_fire_of_a_job_that_was_removed_makes_nothing_and_leaves_no_timer(cloud: Cloud) -> None:
    job, fire = scheduled(cloud), at("2026-05-28T22:15:00")
    delete_job(cloud.ports, cloud.caller, job)
    assert arranged(cloud, job)
    assert due(cloud.ports, "main", job, fire) == "the job was removed"
    assert arranged(cloud, job) == []


def test_what_a_job_becomes_while_a_worker_arranges_its_fire_is_what_stays_arranged(cloud: Cloud) -> None:
    changes: list[Callable[[Cloud, int], object]] = [
        lambda c, job: reset(c, job, utc("0 0 3 * * ?")),
        lambda c, job: reset(c, job, None),
        lambda c, job: delete_job(c.ports, c.caller, job),
    ]
    expected = [[at("2026-05-29T03:00:00")], [], []]
    for change, left in zip(changes, expected, strict=True):
        for number in range(1, calls_of(lambda c, job, fire: due(c.ports, "main", job, fire)) + 1):
            world = Cloud()
            job, fire = scheduled(world), at("2026-05-28T22:15:00")
            world.clock.time = fire

            def change_it(c: Cloud = world, j: int = job, change: Callable[..., object] = change) -> None:
                change(c, j)
                c.deliver("follow")

            world.tripwire.admit(number, change_it)
            due(world.ports, "main", job, fire)
            world.timers.waits.discard(("main", job, fire))
            assert arranged(world, job) == left, f"call {number}"


def test_a_reset_to_the_same_schedule_keeps_what_it_owes(cloud: Cloud) -> None:
    job = scheduled(cloud)
    since = cloud.store.get(Job, "main", job).schedule.since
    cloud.timers.entries.clear()
    cloud.clock.time = at("2026-05-29T08:00:00")
    changed = reset(cloud, job, utc(DAILY), name="renamed")
    assert changed.schedule and changed.schedule.since == since
    cloud.play()
    (run,) = runs_of(cloud, job)
    assert run.spec.name == "renamed"


@pytest.mark.parametrize(
    "schedule",
    [utc("0 30 22 * * ?"), replace(utc(DAILY), zone="Europe/Berlin"), None],
    ids=["another expression", "another zone", "taken away and given back"],
)
def test_a_reset_to_another_schedule_owes_no_older_fire(cloud: Cloud, schedule: CronSchedule | None) -> None:
    job = scheduled(cloud)
    cloud.timers.entries.clear()
    cloud.clock.time = at("2026-05-31T23:00:00")
    if schedule is None:
        reset(cloud, job, None)
    changed = reset(cloud, job, schedule or utc(DAILY))
    assert changed.schedule and changed.schedule.since == cloud.clock.now()
    cloud.play()
    cloud.sweep()
    assert runs_of(cloud, job) == []


# Fires that make no run that runs.


def test_at_the_jobs_limit_a_fire_makes_a_run_that_is_skipped_and_counts_as_its_fire(cloud: Cloud) -> None:
    job = scheduled(cloud, EVERY_TEN_SECONDS, limit=1)
    cloud.pass_time(at("2026-05-28T20:27:10"))
    assert [run.state for run in runs_of(cloud, job)][1:] == [RunState.SKIPPED] * 2
    assert [run.number_in_job for run in runs_of(cloud, job)] == [1, 2, 3]
    assert activity(cloud, job).fired == at("2026-05-28T20:27:10")
    assert recover(cloud.ports, CLUSTER) == 0
    assert len(runs_of(cloud, job)) == 3


def test_a_fire_whose_pool_is_gone_makes_no_run_once_and_the_schedule_goes_on(cloud: Cloud) -> None:
    job, fire = scheduled(cloud), at("2026-05-28T22:15:00")
    cloud.pass_time(fire - 1000)
    pool = cloud.store.records.pop(key(Pool, "main", "default"))
    cloud.clock.time = fire
    assert due(cloud.ports, "main", job, fire) == "Pool default does not exist."
    assert runs_of(cloud, job) == []
    assert arranged(cloud, job)[-1] == fire + 24 * HOUR_MS
    cloud.store.records[key(Pool, "main", "default")] = pool
    cloud.clock.advance(HOUR_MS)
    assert recover(cloud.ports, CLUSTER) == 0
    cloud.pass_time(fire + 24 * HOUR_MS)
    assert times(cloud, job) == ["29 22:15:00"]


def test_a_fire_that_others_keep_from_being_written_is_still_owed(cloud: Cloud) -> None:
    job, fire = scheduled(cloud), at("2026-05-28T22:15:00")
    cloud.pass_time(fire - 1000)

    def touch(_: object) -> None:
        counters = activity(cloud, job)
        cloud.store.records[key(JobActivity, "main", job)] = replace(counters, version=counters.version + 1)

    cloud.store.before_commit = touch
    cloud.clock.time = fire
    assert not cloud.fire("main", job, fire)
    assert runs_of(cloud, job) == []
    cloud.store.before_commit = None
    cloud.play()
    assert times(cloud, job) == ["28 22:15:00"]


# What the sweep finds.


def test_the_sweep_arranges_what_was_lost_and_is_near(cloud: Cloud) -> None:
    job = scheduled(cloud)
    cloud.timers.entries.clear()
    assert recover(cloud.ports, CLUSTER) == 0
    assert arranged(cloud, job) == [at("2026-05-28T22:15:00")]


def test_the_sweep_leaves_fires_alone_that_are_far_ahead(cloud: Cloud) -> None:
    job = scheduled(cloud, "0 0 12 1 1 ?")
    before = dict(cloud.timers.counts)
    assert recover(cloud.ports, CLUSTER) == 0
    assert dict(cloud.timers.counts) == before
    cloud.timers.entries.clear()
    cloud.clock.time = at("2027-01-01T10:30:00")
    recover(cloud.ports, CLUSTER)
    assert arranged(cloud, job) == [at("2027-01-01T12:00:00")]


def test_the_sweep_brings_a_fire_whose_ring_was_lost_and_counts_it_as_missed_if_it_is_late(cloud: Cloud) -> None:
    job, fire = scheduled(cloud), at("2026-05-28T22:15:00")
    cloud.pass_time(fire - 1000)
    cloud.timers.waits.clear()  # the execution died, and its name stays taken
    cloud.clock.time = fire + 10_000
    assert recover(cloud.ports, CLUSTER) == 0
    assert times(cloud, job) == ["28 22:15:10"]
    cloud.pass_time(fire + 24 * HOUR_MS - 1000)
    cloud.timers.waits.clear()
    cloud.clock.time = fire + 25 * HOUR_MS
    assert recover(cloud.ports, CLUSTER) == 1
    assert recover(cloud.ports, CLUSTER) == 0
    assert times(cloud, job)[1:] == ["29 23:15:00"]


def test_the_sweep_looks_at_all_jobs_of_all_workspaces(cloud: Cloud) -> None:
    jobs = [(workspace, number) for workspace in ("main", "team") for number in range(1, 251)]
    ledger = cloud.store.get(Ledger, CLUSTER)
    pools = {**ledger.pools, "team/default": ledger.pools["main/default"]}
    cloud.store.records[key(Ledger, CLUSTER)] = replace(ledger, pools=pools)
    for workspace, number in jobs:
        cloud.store.seed(
            Job(workspace, number, spec(), "alice", 0, schedule=replace(utc(DAILY), since=at(START))),
            JobActivity(workspace, number),
        )
    recover(cloud.ports, CLUSTER)
    assert sorted(cloud.timers.entries) == jobs


def test_a_sweep_may_be_killed_at_any_call_and_run_again() -> None:
    def world() -> tuple[Cloud, int, int]:
        made = Cloud()
        missed, near = scheduled(made), scheduled(made, "0 0 12 * * ?")
        made.timers.entries.clear()
        made.clock.time = at("2026-05-29T11:00:00")
        return made, missed, near

    made, *_ = world()
    made.tripwire.arm(0, after=False)
    recover(made.ports, CLUSTER)
    for number in range(1, made.tripwire.calls + 1):
        for after in (False, True):
            made, missed, near = world()
            made.tripwire.arm(number, after=after)
            with pytest.raises(Killed):
                recover(made.ports, CLUSTER)
            recover(made.ports, CLUSTER)
            made.play()
            assert (len(runs_of(made, missed)), len(runs_of(made, near))) == (1, 0), f"call {number}"
            assert arranged(made, near) == [at("2026-05-29T12:00:00")]
            made.clock.time = at("2026-05-29T21:00:00")
            made.sweep()
            assert arranged(made, missed) == [at("2026-05-29T22:15:00")]


def test_the_token_of_a_fire_is_longer_than_any_that_a_caller_may_give(cloud: Cloud) -> None:
    job = scheduled(cloud)
    cloud.pass_time(at("2026-05-28T22:15:00"))
    (run,) = runs_of(cloud, job)
    assert len(run.idempotency) > 64
