"""Pools: named capacity, and the cluster's total."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.core.capacity import EVERYTHING, Amount
from chalicelib.core.errors import NotFound
from chalicelib.core.model import Pool, Run
from chalicelib.core.states import RunState
from chalicelib.ports import key
from chalicelib.services.access import Call
from chalicelib.services.pools import ensure_pool, get_pool, limit_cluster
from chalicelib.services.runs import cancel_run
from chalicelib.services.submission import Request, submit
from tests.unit.cloud import Cloud, runs, spec


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_a_pool_is_made_with_its_account_and_changed_only_where_told(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "etl", maximum=runs(3), priority=2, defaults={"facets": {"x": 1}})
    ensure_pool(cloud.ports, "main", "etl", minimum=runs(1), defaults={"spark_version": "3.4"})
    view = get_pool(cloud.ports, cloud.caller, "etl")
    assert (view.account.maximum, view.account.minimum, view.account.priority) == (runs(3), runs(1), 2)
    assert (view.pool.spark_version, view.pool.facets) == ("3.4", {"x": 1})


def test_what_is_so_already_is_not_written(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "etl", maximum=runs(3))
    limit_cluster(cloud.ports, "main", runs(9))
    before = cloud.store.snapshot()
    ensure_pool(cloud.ports, "main", "etl", maximum=runs(3))
    limit_cluster(cloud.ports, "main", runs(9))
    assert cloud.store.snapshot() == before


def test_a_pool_of_another_workspace_is_not_found(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "etl")
    stranger = Call(replace(cloud.caller.principal, workspace="team"))
    with pytest.raises(NotFound):
        get_pool(cloud.ports, stranger, "etl")
    with pytest.raises(NotFound):
        get_pool(cloud.ports, cloud.caller, "none")


def test_a_higher_limit_starts_what_waits_and_a_lower_one_stops_nothing(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "default", maximum=runs(1))
    first, second = cloud.submit(), cloud.submit()
    cloud.play()
    assert sorted([cloud.state(first), cloud.state(second)]) == [RunState.LAUNCHING, RunState.QUEUED]
    ensure_pool(cloud.ports, "main", "default", maximum=runs(2))
    cloud.play()
    ensure_pool(cloud.ports, "main", "default", maximum=runs(0))
    cloud.play()
    assert [cloud.state(first), cloud.state(second)] == [RunState.LAUNCHING] * 2
    cloud.check_capacity()


def test_a_pool_may_be_closed_and_opened_again(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "default", maximum=runs(0))
    id = cloud.submit(park_oversized=True)
    cloud.play()
    assert cloud.state(id) is RunState.QUEUED
    ensure_pool(cloud.ports, "main", "default", maximum=EVERYTHING)
    cloud.settle()
    assert cloud.state(id) is RunState.SUCCEEDED


def test_the_clusters_total_bounds_all_pools_and_raising_it_rings(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "other")
    limit_cluster(cloud.ports, "main", runs(2))
    ids = [cloud.submit(spec(pool=pool)) for pool in ("default", "other", "default", "other")]
    cloud.play()
    assert sum(cloud.state(id) is RunState.LAUNCHING for id in ids) == 2
    limit_cluster(cloud.ports, "main", EVERYTHING)
    cloud.play()
    assert {cloud.state(id) for id in ids} == {RunState.LAUNCHING}


def test_raising_the_total_rings_also_where_there_is_no_default_pool(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "team", "etl")
    del cloud.store.records[key(Pool, "main", "default")]
    ledger = cloud.ledger
    others = {name: account for name, account in ledger.pools.items() if name != "main/default"}
    cloud.store.seed(replace(ledger, pools=others, total=runs(0)))
    caller = replace(cloud.caller, principal=replace(cloud.caller.principal, workspace="team"))
    made = submit(cloud.ports, caller, spec(pool="etl"), Request(park_oversized=True)).run
    cloud.play()
    limit_cluster(cloud.ports, "main", EVERYTHING)
    cloud.play()
    assert cloud.store.get(Run, "team", made).state is RunState.LAUNCHING


def test_limits_changed_while_others_grant_keep_what_is_held(cloud: Cloud) -> None:
    cloud.submit()

    def meanwhile(_: object) -> None:
        cloud.store.before_commit = None
        cloud.deliver("dispatch")

    cloud.store.before_commit = meanwhile
    ensure_pool(cloud.ports, "main", "default", maximum=runs(7))
    assert cloud.ledger.pools["main/default"].maximum == runs(7)
    cloud.check_capacity()


def test_a_grant_computed_before_a_limit_was_lowered_is_computed_again(cloud: Cloud) -> None:
    ids = [cloud.submit() for _ in range(3)]

    def meanwhile(_: object) -> None:
        cloud.store.before_commit = None
        ensure_pool(cloud.ports, "main", "default", maximum=runs(1))

    cloud.store.before_commit = meanwhile
    cloud.deliver("dispatch")
    assert sum(cloud.state(id) is RunState.GRANTED for id in ids) == 1
    cloud.check_capacity()


def test_pools_of_two_workspaces_with_one_name_are_two_pools(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "team", "default", maximum=runs(1))
    ensure_pool(cloud.ports, "main", "default", maximum=runs(2))
    accounts = cloud.ledger.pools
    assert (accounts["team/default"].maximum, accounts["main/default"].maximum) == (runs(1), runs(2))
    assert isinstance(cloud.store.get(Pool, "team", "default"), Pool)
    assert accounts["team/default"].used == Amount()


def test_a_limit_below_what_runs_lets_nothing_start_until_enough_have_ended(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "default", maximum=runs(3))
    running = [cloud.running() for _ in range(3)]
    waits = cloud.submit()
    ensure_pool(cloud.ports, "main", "default", maximum=runs(1))
    for number, id in enumerate(running):
        cloud.play()
        cloud.sweep()
        assert cloud.state(waits) is RunState.QUEUED
        assert cloud.ledger.pools["main/default"].used.runs == 3 - number
        assert {cloud.state(left) for left in running[number:]} == {RunState.RUNNING}
        cloud.engine.become(cloud.driver(id), "COMPLETED")
    cloud.play()
    assert cloud.state(waits) is RunState.LAUNCHING
    cloud.check_capacity()


def test_a_minimum_that_is_promised_while_anothers_surplus_runs_has_what_ends_next(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "owed")
    ensure_pool(cloud.ports, "main", "default", priority=9)
    limit_cluster(cloud.ports, "main", runs(2))
    surplus = [cloud.running() for _ in range(2)]
    urgent, owed = cloud.submit(), []
    for _ in range(2):
        cloud.clock.advance(1)
        owed.append(cloud.submit(spec(pool="owed")))
    ensure_pool(cloud.ports, "main", "owed", minimum=runs(1))
    cloud.play()
    assert {cloud.state(id) for id in surplus} == {RunState.RUNNING}
    cloud.engine.become(cloud.driver(surplus[0]), "COMPLETED")
    cloud.play()
    assert [cloud.state(id) for id in (*owed, urgent)] == [RunState.LAUNCHING, RunState.QUEUED, RunState.QUEUED]
    cloud.engine.become(cloud.driver(surplus[1]), "COMPLETED")
    cloud.play()
    assert [cloud.state(id) for id in (urgent, owed[1])] == [RunState.LAUNCHING, RunState.QUEUED]


def test_a_run_that_is_cancelled_before_its_launch_makes_room_for_the_next_and_has_no_driver(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "default", maximum=runs(1))
    first = cloud.submit()
    cloud.clock.advance(1)
    second = cloud.submit()
    cloud.deliver("dispatch")
    assert cloud.state(first) is RunState.GRANTED
    cancel_run(cloud.ports, cloud.caller, first)
    cloud.play()
    assert (cloud.state(first), cloud.state(second)) == (RunState.CANCELED, RunState.LAUNCHING)
    assert not cloud.engine.drivers_of(cloud.run(first))
    cloud.check_capacity()


def test_the_oldest_that_waits_is_cancelled_and_those_behind_it_start_at_once(cloud: Cloud) -> None:
    """Nothing of the ledger has changed; the queue has."""
    ensure_pool(cloud.ports, "main", "default", maximum=runs(9, cores=8000))
    cloud.running(spec(cores=2))
    large = cloud.submit(spec(cores=4))
    cloud.clock.advance(1)
    small = cloud.submit(spec(cores=1))
    cloud.play()
    assert (cloud.state(large), cloud.state(small)) == (RunState.QUEUED, RunState.QUEUED)
    cancel_run(cloud.ports, cloud.caller, large)
    cloud.play()
    assert cloud.state(small) is RunState.LAUNCHING
