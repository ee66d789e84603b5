"""The workspace's feed: each state change once, in one order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.core.model import Event, FeedHead, FeedMark, Policy, Run
from chalicelib.core.states import RunState
from chalicelib.services.feed import BATCH, Transition, append, events_after
from chalicelib.services.runs import cancel_run
from tests.unit.cloud import HOUR_MS, Cloud, spec
from tests.unit.fakes import Written


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def told(cloud: Cloud) -> list[tuple[int, RunState]]:
    return [(event.run, event.state) for event in events_after(cloud.ports, "main", 0, 1000)]


def test_a_life_is_told_state_by_state(cloud: Cloud) -> None:
    id = cloud.running()
    cloud.settle()
    states = [RunState.QUEUED, RunState.GRANTED, RunState.LAUNCHING, RunState.RUNNING, RunState.SUCCEEDED]
    assert told(cloud) == [(id, state) for state in states]
    assert [event.sequence for event in events_after(cloud.ports, "main", 0, 9)] == [1, 2, 3, 4, 5]


def test_writes_that_change_no_state_are_no_events(cloud: Cloud) -> None:
    id = cloud.running()
    count = len(told(cloud))
    run = cloud.run(id)
    assert append(cloud.ports, [Transition(replace(run, version=run.version + 1), run.state)]) == 0
    assert len(told(cloud)) == count


def test_what_the_stream_repeats_is_not_told_again(cloud: Cloud) -> None:
    cloud.submit()
    for _ in range(3):
        cloud.deliver("follow", again=True)
    cloud.deliver("follow", 1, again=True)
    cloud.settle()
    cloud.check_feed()


def test_batches_larger_than_a_transaction_are_told_whole_and_in_order(cloud: Cloud) -> None:
    ids = [cloud.submit() for _ in range(2 * BATCH + 5)]
    cloud.queues["follow"].reverse()
    cloud.deliver("follow", 1000)
    assert [run for run, _ in told(cloud)] == ids[::-1]
    cloud.check_feed()


def test_two_changes_of_one_run_in_one_batch_are_two_events(cloud: Cloud) -> None:
    id = cloud.submit()
    cancel_run(cloud.ports, cloud.caller, id)
    cloud.deliver("follow")
    assert told(cloud) == [(id, RunState.QUEUED), (id, RunState.CANCELED)]
    assert cloud.store.get(FeedMark, "main", id).run_version == 2


def test_two_writers_at_once_tell_everything_once(cloud: Cloud) -> None:
    for _ in range(4):
        cloud.submit()

    def other(_: object) -> None:
        cloud.store.before_commit = None
        cloud.deliver("follow", 2, first=2)

    cloud.store.before_commit = other
    cloud.deliver("follow", 3)
    cloud.settle()
    cloud.check_feed()


def test_workspaces_have_feeds_of_their_own(cloud: Cloud) -> None:
    mine, theirs = (Run(workspace, 5, spec(), "x", 0, version=1) for workspace in ("main", "team"))
    assert append(cloud.ports, [Transition(mine, None), Transition(theirs, None)]) == 2
    assert [event.sequence for event in events_after(cloud.ports, "team", 0, 9)] == [1]
    assert cloud.store.get(FeedHead, "team").sequence == 1


def test_the_feed_counts_how_runs_ended(cloud: Cloud) -> None:
    for _ in range(3):
        cloud.submit()
    cancel_run(cloud.ports, cloud.caller, cloud.submit())
    cloud.settle()
    totals = cloud.store.get(FeedHead, "main").totals
    assert (totals["SUCCEEDED"], totals["CANCELED"]) == (3, 1)


def test_an_event_says_when_and_why(cloud: Cloud) -> None:
    id = cloud.running(spec(policy=Policy(timeout_ms=HOUR_MS)))
    cloud.clock.advance(2 * HOUR_MS)
    cloud.play()
    asked_at = cloud.clock.now()
    cloud.clock.advance(1000)
    cloud.progress()
    cloud.play()
    terminating, ended = events_after(cloud.ports, "main", 4, 9)
    assert (terminating.state, terminating.at) == (RunState.TERMINATING, asked_at)
    assert (ended.state, ended.at, ended.reason, ended.run) == (RunState.TIMED_OUT, asked_at + 1000, "BY_TIME_OUT", id)
    assert "7200" not in ended.message and "3600 seconds" in ended.message
    assert ended.expires_at > ended.at


def test_readers_go_on_from_where_they_were(cloud: Cloud) -> None:
    for _ in range(5):
        cloud.submit()
    cloud.play()
    seen: list[Event] = []
    while batch := events_after(cloud.ports, "main", seen[-1].sequence if seen else 0, 2):
        seen += batch
    assert [event.sequence for event in seen] == list(range(1, len(cloud.history) + 1))


def test_a_run_that_was_deleted_meanwhile_is_still_told(cloud: Cloud) -> None:
    run = cloud.run(cloud.submit())
    cloud.queues["follow"] = [Written(None, run)]
    cloud.store.records.clear()
    cloud.deliver("follow")
    assert told(cloud) == [(run.id, RunState.QUEUED)]
