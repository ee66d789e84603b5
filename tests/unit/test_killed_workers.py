"""Every worker may be killed anywhere and run again (DESIGN, section 3, "Sweep").

A scenario plays a life. It is played once in peace, to count the calls that leave the workers; then once for every
call, with whoever makes it killed just before or just after. However that goes, the run must end as it would have: with
one driver at most, no capacity held, and each state change in the feed once.
"""

from __future__ import annotations

import pytest

from tests.unit.cloud import Cloud
from tests.unit.lives import SCENARIOS, Scenario, attempts


def played(scenario: Scenario, at: int, *, after: bool) -> int:
    """Play to the end with a kill at that call (0: none), and return how many calls there were."""
    cloud = Cloud()
    cloud.engine.remembers = False
    cloud.tripwire.arm(at, after=after)
    expected = scenario(cloud)
    cloud.settle()
    assert attempts(cloud) == expected
    cloud.check_over()
    return cloud.tripwire.calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_life_ends_as_it_would_have_whichever_call_a_worker_is_killed_at(scenario: Scenario, after: bool) -> None:
    for number in range(1, played(scenario, 0, after=after) + 1):
        try:
            played(scenario, number, after=after)
        except Exception as error:
            raise AssertionError(f"killed {'after' if after else 'before'} call {number}") from error
