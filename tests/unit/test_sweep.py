"""The sweep finds what nobody rang for, and mends it."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from aws_lambda_powertools import Logger

from chalicelib.core.capacity import Amount, Ledger
from chalicelib.core.model import Hold, Policy, Run, Waiter
from chalicelib.core.states import RunState
from chalicelib.ports import EngineJob, key
from chalicelib.services.pools import ensure_pool
from chalicelib.services.runs import cancel_run
from chalicelib.services.sweep import Drift, Repairs, sweep
from chalicelib.workers import execution as workers
from tests.unit.cloud import CLUSTER, HOUR_MS, Cloud, runs, spec
from tests.unit.lives import drivers_become


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def swept(cloud: Cloud) -> Repairs:
    return sweep(cloud.ports, CLUSTER)


def test_where_nothing_is_amiss_nothing_is_changed(cloud: Cloud) -> None:
    cloud.running()
    before = cloud.store.snapshot()
    for _ in range(3):
        assert swept(cloud) == Repairs(restarted=0, strays=0, drifts=(), live=1)
    assert cloud.store.snapshot() == before


def test_an_empty_deployment_can_be_swept() -> None:
    cloud = Cloud()
    cloud.store.records.clear()
    assert swept(cloud) == Repairs()


def test_a_grant_whose_event_was_lost_is_started(cloud: Cloud) -> None:
    id = cloud.submit()
    cloud.deliver("dispatch", 1)
    cloud.queues["dispatch"].clear()
    cloud.play()
    assert cloud.state(id) is RunState.GRANTED and not cloud.workflows.live()
    assert swept(cloud).restarted == 1
    cloud.settle()
    assert cloud.state(id) is RunState.SUCCEEDED
    cloud.check_over()


def test_a_queue_that_nobody_looks_at_is_looked_at(cloud: Cloud) -> None:
    id = cloud.submit()
    cloud.queues["dispatch"].clear()
    cloud.play()
    assert cloud.state(id) is RunState.QUEUED
    swept(cloud)
    assert cloud.state(id) is RunState.GRANTED


def test_a_retry_whose_timer_was_lost_is_rung_for_again(cloud: Cloud) -> None:
    cloud.running(spec(policy=Policy(max_retries=1, min_retry_interval_ms=HOUR_MS)))
    drivers_become(cloud, "FAILED")
    cloud.play()
    assert cloud.timers.rings
    cloud.timers.rings.clear()
    swept(cloud)
    assert cloud.timers.rings


@pytest.mark.parametrize("state", [RunState.LAUNCHING, RunState.RUNNING, RunState.TERMINATING])
def test_a_run_whose_execution_vanished_gets_one_of_a_new_generation(cloud: Cloud, state: RunState) -> None:
    id = cloud.submit()
    cloud.play()
    if state is not RunState.LAUNCHING:
        drivers_become(cloud, "RUNNING")
        cloud.play()
    if state is RunState.TERMINATING:
        cancel_run(cloud.ports, cloud.caller, id)
    assert cloud.state(id) is state
    for execution in cloud.workflows.live():
        cloud.workflows.lose(execution)
    assert swept(cloud).restarted == 1
    assert cloud.run(id).generation == 2
    assert swept(cloud).restarted == 0
    cloud.settle()
    assert cloud.state(id) is (RunState.CANCELED if state is RunState.TERMINATING else RunState.SUCCEEDED)
    cloud.check_over()


def test_the_older_generation_is_refused_everywhere(cloud: Cloud) -> None:
    id = cloud.running()
    (older,) = cloud.workflows.live()
    old_token = older.token
    cloud.workflows.lose(older)
    cloud.sweep()
    cloud.play()
    (newer,) = cloud.workflows.live()
    waiter = cloud.store.get(Waiter, cloud.run(id).workspace, id)
    assert (newer.generation, waiter.generation, waiter.token) == (2, 2, newer.token)
    older.state = "Watch"  # it was not dead after all
    before = cloud.run(id)
    cloud.step(older)
    assert older.state == "Done"
    older.state = "Check"
    cloud.step(older)
    assert cloud.run(id) == before
    assert older.state == "Done" and newer.state == "Waiting"
    drivers_become(cloud, "COMPLETED")
    cloud.settle()
    assert old_token not in cloud.workflows.completed
    assert cloud.state(id) is RunState.SUCCEEDED
    cloud.check_over()


def test_a_stale_start_of_an_older_generation_does_no_harm(cloud: Cloud) -> None:
    id = cloud.submit()
    cloud.deliver("dispatch", 1)
    stale = cloud.run(id)
    cloud.queues["dispatch"].clear()
    cloud.sweep()
    cloud.workflows.start(stale)
    assert len(cloud.workflows.live()) == 2
    cloud.settle()
    assert cloud.state(id) is RunState.SUCCEEDED
    cloud.check_over()


def test_a_driver_of_a_run_that_ended_is_stopped_and_a_foreign_one_is_left_alone(cloud: Cloud) -> None:
    id = cloud.running()
    drivers_become(cloud, "COMPLETED")
    cloud.settle()
    name = cloud.engine.drivers_of(cloud.run(id))[0].name
    cloud.engine.drivers["late"] = EngineJob("late", name, "RUNNING")
    cloud.engine.drivers["unknown"] = EngineJob("unknown", "main.12345", "RUNNING")
    cloud.engine.drivers["foreign"] = EngineJob("foreign", "somebody's job", "RUNNING")
    assert swept(cloud).strays == 2
    states = {id: cloud.engine.drivers[id].state for id in ("late", "unknown", "foreign")}
    assert states == {"late": "CANCEL_PENDING", "unknown": "CANCEL_PENDING", "foreign": "RUNNING"}


def test_a_second_driver_of_a_run_is_stopped_and_its_own_is_not(cloud: Cloud) -> None:
    id = cloud.running()
    cloud.engine.drivers["second"] = replace(cloud.engine.drivers[cloud.driver(id)], id="second")
    assert swept(cloud).strays == 1
    assert cloud.engine.drivers["second"].state == "CANCEL_PENDING"
    assert cloud.engine.drivers[cloud.run(id).engine_id].state == "RUNNING"


def test_a_ledger_that_does_not_add_up_is_counted_again(cloud: Cloud) -> None:
    cloud.running()
    ledger = cloud.ledger
    cloud.store.records[key(Ledger, CLUSTER)] = ledger.hold("main/default", Amount(5000, 512, 1, 3))
    wrong, right = ledger.pools["main/default"].used + Amount(5000, 512, 1, 3), ledger.pools["main/default"].used
    assert swept(cloud).drifts == (Drift("main/default", recorded=wrong, held=right),)
    cloud.check_capacity()
    assert swept(cloud).drifts == ()


def test_a_hold_whose_run_is_gone_gives_its_capacity_back(cloud: Cloud) -> None:
    id = cloud.running()
    del cloud.store.records[key(Run, "main", id)]
    swept(cloud)
    assert not cloud.store.all(Hold)
    assert cloud.ledger.used().runs == 0


def test_capacity_that_the_recount_found_is_granted_at_once(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "default", maximum=runs(1))
    cloud.play()
    cloud.store.records[key(Ledger, CLUSTER)] = cloud.ledger.hold("main/default", Amount(runs=1))
    id = cloud.submit()
    cloud.play()
    assert cloud.state(id) is RunState.QUEUED
    cloud.sweep()
    assert cloud.state(id) is RunState.GRANTED


def test_a_recount_that_others_overtake_writes_nothing_wrong(cloud: Cloud) -> None:
    first = cloud.running()
    cloud.store.records[key(Ledger, CLUSTER)] = cloud.ledger.hold("main/default", Amount(runs=3))

    def meanwhile(_: object) -> None:
        cloud.store.before_commit = None
        cloud.submit()
        cloud.deliver("dispatch")

    cloud.store.before_commit = meanwhile
    swept(cloud)
    cloud.settle()
    cloud.sweep()
    assert cloud.state(first) is RunState.SUCCEEDED
    cloud.check_over()


def test_a_recount_is_made_however_busy_the_ledger_is(cloud: Cloud) -> None:
    """Grants and releases in between make it count again, not give up."""
    cloud.running()
    cloud.store.records[key(Ledger, CLUSTER)] = cloud.ledger.hold("main/default", Amount(runs=3))
    limits = iter(range(50, 55))

    def meanwhile(_: object) -> None:
        interfere, cloud.store.before_commit = cloud.store.before_commit, None
        if (most := next(limits, None)) is not None:
            ensure_pool(cloud.ports, "main", "default", maximum=runs(most))
            cloud.store.before_commit = interfere

    cloud.store.before_commit = meanwhile
    assert len(swept(cloud).drifts) == 1
    cloud.check_capacity()


def test_a_repaired_ledger_is_an_event_of_its_own_in_log_and_metrics(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POWERTOOLS_METRICS_DISABLED")
    lines = io.StringIO()
    heard = Logger(service="test", stream=lines)
    monkeypatch.setattr(workers, "logger", lambda: heard)
    cloud.running()
    cloud.store.records[key(Ledger, CLUSTER)] = cloud.ledger.hold("main/default", Amount(runs=3))
    told = json.loads(json.dumps(workers.sweep_worker(cloud.ports, {})))
    assert told["drifts"][0]["recorded"]["runs"] == 4
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    (repaired,) = (line for line in logged if line["message"] == "ledger repaired")
    assert (repaired["level"], repaired["pool"], repaired["held"]["runs"]) == ("WARNING", "main/default", 1)
    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["LedgerRepairs"] for line in counted if "LedgerRepairs" in line] == [[1.0]]


def test_more_holds_than_a_page_are_all_looked_at(cloud: Cloud) -> None:
    for number in range(510):
        cloud.store.seed(Hold(CLUSTER, "main", number + 1, "default", Amount(runs=1)))
    assert swept(cloud).live == 510
    assert not cloud.store.all(Hold)
