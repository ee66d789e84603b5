"""Reading, cancelling and deleting runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import Invalid, InvalidState, NotFound
from chalicelib.core.model import Idempotency, Run, RunKind
from chalicelib.core.states import Intent, RunState
from chalicelib.ports import active_runs, runs_in_state, runs_of_pool, runs_of_workspace
from chalicelib.services.access import Call
from chalicelib.services.pools import ensure_pool
from chalicelib.services.runs import MAX_OFFSET, cancel_run, delete_run, get_run, list_runs, seal, unseal
from tests.unit.cloud import Cloud, spec
from tests.unit.fakes import World


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def queued(cloud: Cloud) -> int:
    return cloud.submit()


def granted(cloud: Cloud) -> int:
    id = cloud.submit()
    cloud.deliver("dispatch", 1)
    assert cloud.state(id) is RunState.GRANTED
    return id


def launching(cloud: Cloud) -> int:
    id = cloud.submit()
    cloud.play()
    assert cloud.state(id) is RunState.LAUNCHING
    return id


def running(cloud: Cloud) -> int:
    return cloud.running()


@pytest.mark.parametrize("bring", [queued, granted, launching, running])
def test_a_run_that_is_cancelled_ends_canceled_wherever_it_was(cloud: Cloud, bring: Callable[[Cloud], int]) -> None:
    id = bring(cloud)
    cancel_run(cloud.ports, cloud.caller, id)
    cloud.check_capacity()
    cloud.settle()
    run = cloud.run(id)
    assert (run.state, run.reason) == (RunState.CANCELED, "BY_CANCEL")
    cloud.check_over()


def test_a_queued_run_is_canceled_at_once_with_nothing_started(cloud: Cloud) -> None:
    id = queued(cloud)
    assert cancel_run(cloud.ports, cloud.caller, id).state is RunState.CANCELED
    cloud.play()
    assert not cloud.workflows.executions and not cloud.engine.launches
    cloud.check_over()


def test_a_granted_run_that_is_cancelled_never_gets_a_driver(cloud: Cloud) -> None:
    id = granted(cloud)
    cancel_run(cloud.ports, cloud.caller, id)
    cloud.play()
    assert cloud.state(id) is RunState.CANCELED
    assert not cloud.engine.launches


def test_a_running_run_is_terminating_and_holds_capacity_until_its_driver_is_over(cloud: Cloud) -> None:
    id = running(cloud)
    cancel_run(cloud.ports, cloud.caller, id)
    cloud.play()
    assert cloud.state(id) is RunState.TERMINATING
    assert cloud.engine.drivers[cloud.driver(id)].state == "CANCEL_PENDING"
    assert cloud.ledger.used().runs == 1
    cloud.progress()
    cloud.play()
    assert cloud.state(id) is RunState.CANCELED
    assert cloud.ledger.used().runs == 0


def test_a_driver_that_completes_while_it_is_being_cancelled_was_cancelled(cloud: Cloud) -> None:
    id = running(cloud)
    cancel_run(cloud.ports, cloud.caller, id)
    cloud.engine.become(cloud.driver(id), "COMPLETED")
    cloud.settle()
    assert cloud.state(id) is RunState.CANCELED


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED"])
def test_cancelling_a_run_that_has_ended_changes_nothing(cloud: Cloud, end: str) -> None:
    id = running(cloud)
    cloud.engine.become(cloud.driver(id), end)
    cloud.play()
    before = cloud.store.snapshot()
    assert cancel_run(cloud.ports, cloud.caller, id).ended
    assert cloud.store.snapshot() == before


def test_the_second_cancel_changes_nothing(cloud: Cloud) -> None:
    id = running(cloud)
    cancel_run(cloud.ports, cloud.caller, id)
    before = cloud.store.snapshot()
    assert cancel_run(cloud.ports, cloud.caller, id).intent is Intent.CANCEL
    assert cloud.store.snapshot() == before


def test_a_cancel_that_loses_a_race_against_the_grant_is_kept_as_an_intent(cloud: Cloud) -> None:
    id = queued(cloud)
    stale = Call(cloud.caller.principal, dict(cloud.store.records))
    cloud.deliver("dispatch", 1)
    assert cloud.state(id) is RunState.GRANTED
    assert cancel_run(cloud.ports, stale, id).intent is Intent.CANCEL
    cloud.settle()
    assert cloud.state(id) is RunState.CANCELED
    assert not cloud.engine.launches
    cloud.check_over()


def test_a_run_of_another_workspace_is_not_found(cloud: Cloud) -> None:
    id = running(cloud)
    stranger = Call(replace(cloud.caller.principal, workspace="team"))
    before = cloud.store.snapshot()
    for act in (get_run, cancel_run, delete_run):
        with pytest.raises(NotFound) as missing:
            act(cloud.ports, stranger, id)
        with pytest.raises(NotFound) as never_was:
            act(cloud.ports, stranger, id + 1)
        assert missing.value.message.replace(str(id), "X") == never_was.value.message.replace(str(id + 1), "X")
    assert cloud.store.snapshot() == before


def test_only_a_run_that_has_ended_can_be_deleted(cloud: Cloud) -> None:
    for bring in (queued, granted, launching, running):
        id = bring(cloud)
        with pytest.raises(InvalidState):
            delete_run(cloud.ports, cloud.caller, id)
        assert get_run(cloud.ports, cloud.caller, id)
    cloud.settle()
    delete_run(cloud.ports, cloud.caller, id)
    with pytest.raises(NotFound):
        get_run(cloud.ports, cloud.caller, id)
    with pytest.raises(NotFound):
        delete_run(cloud.ports, cloud.caller, id)
    cloud.check_over()


def test_a_deleted_runs_token_is_marked(cloud: Cloud) -> None:
    id = cloud.submit(idempotency="once")
    cloud.settle()
    delete_run(cloud.ports, cloud.caller, id)
    assert cloud.store.get(Idempotency, "main", "once").deleted


# Lists.


def many(cloud: Cloud, count: int) -> list[int]:
    ids = []
    for _ in range(count):
        ids.append(cloud.submit())
        cloud.clock.advance(1)
    return ids


EVERYTHING = runs_of_workspace("main", RunKind.BATCH)


@given(count=st.integers(0, 12), limit=st.integers(1, 5))
def test_pages_by_position_show_every_run_once_newest_first(count: int, limit: int) -> None:
    cloud = Cloud()
    ids = many(cloud, count)
    seen: list[int] = []
    after, more = "", True
    while more:
        page = list_runs(cloud.ports, [EVERYTHING], limit=limit, after=after)
        seen += [run.id for run in page.runs]
        after, more = page.next, page.more
        assert bool(after) is more
    assert seen == ids[::-1]


@given(count=st.integers(0, 12), limit=st.integers(1, 5), offset=st.integers(0, 14))
def test_an_offset_counts_from_the_newest(count: int, limit: int, offset: int) -> None:
    cloud = Cloud()
    ids = many(cloud, count)[::-1]
    page = list_runs(cloud.ports, [EVERYTHING], limit=limit, offset=offset)
    assert [run.id for run in page.runs] == ids[offset : offset + limit]
    assert page.more is (len(ids) > offset + limit)


def test_a_filter_reads_on_until_its_page_is_full(cloud: Cloud) -> None:
    ids = many(cloud, 30)
    wanted = set(ids[::7])
    page = list_runs(cloud.ports, [EVERYTHING], limit=4, keep=lambda run: run.id in wanted)
    assert [run.id for run in page.runs] == sorted(wanted, reverse=True)[:4]
    assert page.more


def test_lists_of_several_pools_merge_by_age(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "other")
    ids = []
    for number in range(10):
        ids.append(cloud.submit(spec(pool="default" if number % 3 else "other")))
        cloud.clock.advance(1)
    listings = [runs_of_pool("main", pool, RunKind.BATCH) for pool in ("default", "other")]
    first = list_runs(cloud.ports, listings, limit=6)
    rest = list_runs(cloud.ports, listings, limit=6, after=first.next)
    assert [run.id for run in (*first.runs, *rest.runs)] == ids[::-1]


def test_lists_by_state_follow_the_run(cloud: Cloud) -> None:
    id = running(cloud)

    def in_state(state: RunState) -> list[Run]:
        return list(list_runs(cloud.ports, [runs_in_state("main", "default", RunKind.BATCH, state)], limit=9).runs)

    assert [run.id for run in in_state(RunState.RUNNING)] == [id]
    assert list_runs(cloud.ports, [active_runs("main", RunKind.BATCH)], limit=9).runs
    cloud.settle()
    assert in_state(RunState.RUNNING) == []
    assert [run.id for run in in_state(RunState.SUCCEEDED)] == [id]
    assert not list_runs(cloud.ports, [active_runs("main", RunKind.BATCH)], limit=9).runs


def test_an_offset_beyond_what_can_be_walked_is_refused(cloud: Cloud) -> None:
    with pytest.raises(Invalid) as refused:
        list_runs(cloud.ports, [EVERYTHING], limit=1, offset=MAX_OFFSET + 1)
    assert refused.value.field == "offset"


# Page tokens.


@given(scope=st.text(max_size=9), place=st.text(max_size=20))
def test_a_page_token_opens_for_its_own_list_only(scope: str, place: str) -> None:
    ports = World().ports
    try:
        token = seal(ports, scope, place)
    except UnicodeEncodeError:
        return  # no position is made of such characters
    if token.isascii():
        assert unseal(ports, scope, token) == place
    with pytest.raises(Invalid):
        unseal(ports, scope + "x", token)


@given(st.text(max_size=40))
def test_any_other_text_is_no_page_token(token: str) -> None:
    with pytest.raises(Invalid) as refused:
        unseal(World().ports, "main runs", token)
    assert refused.value.field == "page_token"
