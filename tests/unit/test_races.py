"""Whatever another Lambda does between any two calls of a worker, the books stay in order.

Each life is played again and again; at every call in turn somebody else acts just before it. How the run then ends may
depend on who was first; but it ends once, capacity is exact at the end, and no driver is left behind.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib.core.states import Intent
from chalicelib.services.runs import cancel
from chalicelib.workers import execution as executions
from tests.unit import lives
from tests.unit.cloud import Cloud, spec
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
    cloud.submit(spec("other"))
    cloud.deliver("dispatch")


LIVES = [
    lives.succeeds,
    lives.is_cancelled_while_it_runs,
    lives.fails_and_is_retried,
    lives.loses_its_job,
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
