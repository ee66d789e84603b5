"""Whatever another Lambda does between any two calls of a worker, the books stay in order.

Each life is played again and again; at every call in turn somebody else acts just before it. How the run then ends may
depend on who was first; but it ends once, capacity is exact at the end, and no driver is left behind.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib.core.capacity import NOTHING, Amount, Ledger
from chalicelib.core.states import Intent
from chalicelib.ports import key
from chalicelib.services.pools import ensure_pool, limit_cluster
from chalicelib.services.runs import cancel
from chalicelib.services.sweep import sweep
from chalicelib.workers import execution as executions
from tests.unit import lives
from tests.unit.cloud import CLUSTER, Cloud, runs, spec
from tests.unit.lives import Scenario

Visitor = Callable[[Cloud], None]


def somebody_cancels(cloud: Cloud) -> None:
    for run in cloud.live():
        cancel(cloud.ports, run, Intent.CANCEL)


def the_execution_looks_for_itself(cloud: Cloud) -> None:
    """The launch took so long that the execution went on to Check, and to its end when that says so."""
    for execution in cloud.workflows.live():
        event = {"workspace": execution.workspace, "run": execution.run, "generation": execution.generation}
        if executions.check_worker(cloud.ports, {**event, "waited": 60})["over"]:
            execution.state = "Done"


def somebody_cancels_and_the_execution_looks_for_itself(cloud: Cloud) -> None:
    somebody_cancels(cloud)
    the_execution_looks_for_itself(cloud)


def the_execution_is_lost_and_the_sweep_comes(cloud: Cloud) -> None:
    for execution in cloud.workflows.live():
        cloud.workflows.lose(execution)
    cloud.sweep()
    for execution in cloud.ready():
        cloud.step(execution)


def the_sweep_comes(cloud: Cloud) -> None:
    cloud.sweep()


def the_driver_ends(cloud: Cloud) -> None:
    lives.drivers_become(cloud, "COMPLETED")
    while cloud.engine.heard_of:
        cloud.tell()


def the_stream_is_brought_twice(cloud: Cloud) -> None:
    for function in cloud.queues:
        cloud.deliver(function, again=True)


def others_submit(cloud: Cloud) -> None:
    cloud.submit(spec("other"), park_oversized=True)
    cloud.deliver("dispatch")


def limits_are_lowered_below_what_runs_and_raised_again(cloud: Cloud) -> None:
    most = cloud.ledger.pools["main/default"].maximum
    for maximum in (runs(0), most):
        ensure_pool(cloud.ports, "main", "default", maximum=maximum)
        limit_cluster(cloud.ports, "main", maximum)
        cloud.deliver("dispatch", again=True)
    limit_cluster(cloud.ports, "main")


def another_pool_is_promised_a_minimum(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "owed", minimum=runs(2), priority=1)
    cloud.submit(spec(pool="owed"))
    cloud.deliver("dispatch")


LIVES = [
    lives.succeeds,
    lives.is_cancelled_while_it_runs,
    lives.fails_and_is_retried,
    lives.loses_its_job,
    lives.waits_until_another_ends,
]
VISITORS = [
    somebody_cancels,
    the_execution_looks_for_itself,
    somebody_cancels_and_the_execution_looks_for_itself,
    the_execution_is_lost_and_the_sweep_comes,
    the_sweep_comes,
    the_driver_ends,
    the_stream_is_brought_twice,
    others_submit,
    limits_are_lowered_below_what_runs_and_raised_again,
    another_pool_is_promised_a_minimum,
]


def played(scenario: Scenario, at: int, visitor: Visitor) -> int:
    cloud = Cloud()
    if at:
        cloud.tripwire.admit(at, lambda: visitor(cloud))
    else:
        cloud.tripwire.disarm()
    scenario(cloud)
    cloud.play()
    cloud.check_strays()
    cloud.check_capacity()
    cloud.settle()
    cloud.check_over()
    return cloud.tripwire.calls


@pytest.mark.parametrize("visitor", VISITORS)
@pytest.mark.parametrize("scenario", LIVES)
def test_the_books_stay_in_order_whoever_acts_between_two_calls(scenario: Scenario, visitor: Visitor) -> None:
    for number in range(1, played(scenario, 0, visitor) + 1):
        try:
            played(scenario, number, visitor)
        except Exception as error:
            raise AssertionError(f"{visitor.__name__} before call {number}") from error


def swept(visitor: Visitor, at: int, drift: Amount) -> int:
    """A sweep of a cluster where one runs and one waits, with somebody who acts before one of its calls."""
    cloud = Cloud()
    ensure_pool(cloud.ports, "main", "default", maximum=runs(9))
    cloud.running()
    limit_cluster(cloud.ports, "main", runs(9))
    cloud.submit()
    cloud.store.records[key(Ledger, CLUSTER)] = cloud.ledger.hold("main/default", drift)
    cloud.tripwire.admit(at, lambda: visitor(cloud))
    drifts = sweep(cloud.ports, CLUSTER).drifts
    assert bool(drifts) is (drift != NOTHING), "what was right was repaired, or what was wrong was not"
    calls = cloud.tripwire.calls
    cloud.tripwire.disarm()
    cloud.check_capacity()
    cloud.settle()
    cloud.check_over()
    return calls


@pytest.mark.parametrize("drift", [NOTHING, Amount(1000, 1024, 0, 1)], ids=["exact", "amiss"])
@pytest.mark.parametrize("visitor", [v for v in VISITORS if "sweep" not in v.__name__])
def test_a_recount_is_right_whoever_grants_ends_or_changes_limits_meanwhile(visitor: Visitor, drift: Amount) -> None:
    for number in range(1, swept(lambda cloud: None, 0, drift) + 1):
        swept(visitor, number, drift)
