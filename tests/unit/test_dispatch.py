"""Granting: whoever rings, however often, what can be granted is granted once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.core.capacity import PATIENCE, SPELL_MS
from chalicelib.core.errors import Conflict
from chalicelib.core.model import Policy, QueueRow, Run
from chalicelib.core.states import RunState
from chalicelib.ports import key
from chalicelib.services.dispatch import GRANTS_AT_ONCE, HEADS, SKEW_MS, dispatch
from chalicelib.services.pools import ensure_pool, limit_cluster
from chalicelib.services.runs import cancel_run
from tests.unit.cloud import CLUSTER, HOUR_MS, Cloud, runs, spec
from tests.unit.lives import drivers_become


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_a_ring_for_nothing_reads_and_writes_nothing(cloud: Cloud) -> None:
    before = cloud.store.snapshot()
    cloud.store.counts.clear()
    assert dispatch(cloud.ports, CLUSTER) == []
    assert dispatch(cloud.ports, "no such cluster") == []
    assert cloud.store.counts == {"fetch": 2, "page": 1}
    assert cloud.store.snapshot() == before


def test_only_queues_with_somebody_in_them_are_read(cloud: Cloud) -> None:
    for number in range(40):
        ensure_pool(cloud.ports, "main", f"pool {number}", maximum=runs(0))
    for number in (7, 8):
        cloud.submit(spec(pool=f"pool {number}"), park_oversized=True)
    cloud.store.counts.clear()
    assert dispatch(cloud.ports, CLUSTER) == []
    assert cloud.store.counts == {"fetch": 1, "page": 1}


def test_pools_whose_names_resemble_each_other_have_queues_of_their_own(cloud: Cloud) -> None:
    names = ["a", "a#", "a#0001780000000000#", "a%23", "a/b", "a~"]
    for name in names:
        ensure_pool(cloud.ports, "main", name, maximum=runs(1))
        for _ in range(HEADS + 2):
            cloud.submit(spec(pool=name))
    granted = dispatch(cloud.ports, CLUSTER)
    assert sorted(run.spec.pool for run in granted) == sorted(names)
    cloud.check_capacity()


def test_the_most_urgent_pool_is_granted_first_however_long_the_queue_of_another(cloud: Cloud) -> None:
    """A page of the queues that ends within a pool's does not hide the rest of it."""
    limit_cluster(cloud.ports, "main", runs(2 * HEADS))
    for pool, priority in (("a", 0), ("b", 0), ("z", 9)):
        ensure_pool(cloud.ports, "main", pool, priority=priority)
        for _ in range(HEADS + 5 if pool != "z" else PATIENCE):
            cloud.submit(spec(pool=pool))
    first = dispatch(cloud.ports, CLUSTER)
    assert [run.spec.pool for run in first[:PATIENCE]] == ["z"] * PATIENCE
    assert len(first) == 2 * HEADS


def test_more_than_a_transaction_holds_are_granted_in_several(cloud: Cloud) -> None:
    ids = {cloud.submit() for _ in range(2 * HEADS + GRANTS_AT_ONCE)}
    assert {run.id for run in dispatch(cloud.ports, CLUSTER)} == ids
    assert {cloud.state(id) for id in ids} == {RunState.GRANTED}
    cloud.check_capacity()
    cloud.check_records()


def test_a_second_ring_grants_nothing_more(cloud: Cloud) -> None:
    cloud.submit()
    assert len(dispatch(cloud.ports, CLUSTER)) == 1
    assert dispatch(cloud.ports, CLUSTER) == []


def test_two_rings_at_once_grant_each_run_once(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "default", maximum=runs(3))
    for _ in range(6):
        cloud.submit()
    both: list[Run] = []

    def the_other(_: object) -> None:
        cloud.store.before_commit = None
        both.extend(dispatch(cloud.ports, CLUSTER))

    cloud.store.before_commit = the_other
    both += dispatch(cloud.ports, CLUSTER)
    assert len({run.id for run in both}) == len(both) == 3
    cloud.check_capacity()


def test_a_run_that_is_cancelled_while_its_grant_is_written_is_not_granted(cloud: Cloud) -> None:
    first, second = cloud.submit(), cloud.submit()

    def meanwhile(_: object) -> None:
        cloud.store.before_commit = None
        cancel_run(cloud.ports, cloud.caller, first)

    cloud.store.before_commit = meanwhile
    dispatch(cloud.ports, CLUSTER)
    assert (cloud.state(first), cloud.state(second)) == (RunState.CANCELED, RunState.GRANTED)
    cloud.check_capacity()
    cloud.check_records()


def test_a_row_that_was_left_behind_goes_and_nothing_is_held_for_it(cloud: Cloud) -> None:
    gone, stays = cloud.submit(), cloud.submit()
    del cloud.store.records[key(Run, "main", gone)]
    assert [run.id for run in dispatch(cloud.ports, CLUSTER)] == [stays]
    assert not cloud.store.all(QueueRow)
    cloud.check_capacity()


def test_a_ledger_that_never_stands_still_is_a_conflict_and_the_ring_comes_again(cloud: Cloud) -> None:
    id = cloud.submit()
    limits = iter(range(5, 500))
    cloud.store.before_commit = lambda changes: _unless_nested(cloud, next(limits))
    with pytest.raises(Conflict):
        dispatch(cloud.ports, CLUSTER)
    cloud.store.before_commit = None
    cloud.play()
    assert cloud.state(id) is RunState.LAUNCHING


def _unless_nested(cloud: Cloud, limit: int) -> None:
    interfere, cloud.store.before_commit = cloud.store.before_commit, None
    ensure_pool(cloud.ports, "main", "default", maximum=runs(limit))
    cloud.store.before_commit = interfere


def test_a_ring_that_comes_a_moment_early_by_this_clock_is_not_lost(cloud: Cloud) -> None:
    """A timer rings once: an instant that it was arranged for cannot be arranged again."""
    cloud.running(spec(policy=Policy(max_retries=1, min_retry_interval_ms=HOUR_MS)))
    drivers_become(cloud, "FAILED")
    cloud.play()
    (retry,) = cloud.live()
    cloud.clock.time = retry.not_before - 2 * SKEW_MS
    assert dispatch(cloud.ports, CLUSTER) == []
    cloud.clock.time = retry.not_before - 5
    assert [run.id for run in dispatch(cloud.ports, CLUSTER)] == [retry.id]


def test_what_is_kept_for_a_large_run_is_given_to_others_again_when_its_spell_ends(cloud: Cloud) -> None:
    """A stream that never ends holds what it lacks; a timer rings for the others."""
    limit_cluster(cloud.ports, "main", runs(50, cores=10_000))
    ensure_pool(cloud.ports, "main", "large")
    cloud.running(spec(cores=2))
    large = cloud.submit(spec(pool="large", cores=4))
    ledger = cloud.ledger
    passed = replace(ledger.pools["main/large"], passed=PATIENCE)
    cloud.store.seed(replace(ledger, pools={**ledger.pools, "main/large": passed}))
    small = cloud.submit()
    cloud.play()
    assert (cloud.state(large), cloud.state(small)) == (RunState.QUEUED, RunState.QUEUED)
    ((_, at),) = cloud.timers.rings
    assert at == cloud.run(large).created_at + SPELL_MS
    cloud.clock.time = at
    cloud.play()
    assert (cloud.state(large), cloud.state(small)) == (RunState.QUEUED, RunState.LAUNCHING)


def test_capacity_that_a_run_gives_back_goes_to_the_next_at_once(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "default", maximum=runs(1))
    first, second = cloud.running(), cloud.submit()
    cloud.play()
    assert cloud.state(second) is RunState.QUEUED
    cloud.engine.become(cloud.driver(first), "COMPLETED")
    cloud.play()
    assert cloud.state(second) is RunState.LAUNCHING


def test_an_urgent_pool_goes_first_when_capacity_is_short(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "urgent", priority=5)
    limit_cluster(cloud.ports, "main", runs(1))
    holder = cloud.running()
    patient = cloud.submit()
    cloud.clock.advance(1000)
    urgent = cloud.submit(spec(pool="urgent"))
    cloud.engine.become(cloud.driver(holder), "COMPLETED")
    cloud.play()
    assert (cloud.state(urgent), cloud.state(patient)) == (RunState.LAUNCHING, RunState.QUEUED)
    cloud.settle()
    cloud.check_over()
