"""Why a run waits, and where it stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.core.capacity import EVERYTHING, PATIENCE, Amount, Ledger, PoolAccount
from chalicelib.core.model import Policy, Run, RunSpec
from chalicelib.core.states import RunState
from chalicelib.core.waiting import Reason, explain, too_large
from chalicelib.services.pools import AHEAD, Waiting, ensure_pool, limit_cluster, queue_place, queued
from chalicelib.services.runs import cancel_run
from tests.unit.cloud import HOUR_MS, Cloud, spec
from tests.unit.lives import drivers_become

GIB = 1024
SMALL = Amount(1000, GIB, 0, 1)
MUCH = 1 << 40


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def limit(cores: int = MUCH, runs: int = MUCH) -> Amount:
    return Amount(cores * 1000, MUCH, MUCH, runs)


def submitted(cloud: Cloud, what: RunSpec) -> int:
    """One more, a moment later."""
    cloud.clock.advance(1)
    return cloud.submit(what)


def place(cloud: Cloud, id: int) -> Waiting:
    found = queue_place(cloud.ports, cloud.caller, cloud.run(id))
    assert found is not None
    return found


def test_a_run_is_told_how_many_stand_before_it_and_what_they_all_ask(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "etl", maximum=limit(cores=10))
    cloud.running(spec(pool="etl", cores=4))
    first, second, third = (submitted(cloud, spec(pool="etl", cores=2)) for _ in range(3))
    cloud.play()
    told = "Waiting for capacity: the run asks 4 cores"
    assert [place(cloud, id) for id in (first, second, third)] == [
        Waiting(1, Reason.QUOTA, f"{told}; 2 of the 10 cores of pool etl are free."),
        Waiting(
            2, Reason.QUOTA, f"{told}, the one run ahead of it asks 4 cores; 2 of the 10 cores of pool etl are free."
        ),
        Waiting(
            3, Reason.QUOTA, f"{told}, the 2 runs ahead of it ask 8 cores; 2 of the 10 cores of pool etl are free."
        ),
    ]
    cancel_run(cloud.ports, cloud.caller, first)
    assert place(cloud, third).position == 2


def test_a_run_that_only_the_cluster_has_no_room_for_is_told_so(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "etl", maximum=limit(cores=10))
    limit_cluster(cloud.ports, "main", limit(runs=1))
    cloud.running()
    id = cloud.submit(spec(pool="etl"))
    cloud.play()
    message = "Waiting for its turn: the cluster runs 1 driver at once; 0 of these places are free."
    assert place(cloud, id) == Waiting(1, Reason.CLUSTER, message)


def test_what_binds_is_named_where_the_queue_comes_to_a_stop(cloud: Cloud) -> None:
    """Four cores, one driver at once: two cores are free, and would not do for both who wait."""
    ensure_pool(cloud.ports, "main", "etl", maximum=limit(cores=4, runs=1))
    cloud.running(spec(pool="etl"))
    first, second, third = (submitted(cloud, spec(pool="etl")) for _ in range(3))
    cloud.play()
    told = "Waiting for its turn: pool etl runs 1 driver at once; 0 of these places are free"
    assert [place(cloud, id) for id in (first, second, third)] == [
        Waiting(1, Reason.TURN, f"{told}."),
        Waiting(2, Reason.TURN, f"{told}, and the one run ahead of it goes first."),
        Waiting(3, Reason.TURN, f"{told}, and the 2 runs ahead of it go first."),
    ]


def test_cores_bind_where_they_run_out_before_the_places(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "etl", maximum=limit(cores=3, runs=2))
    cloud.running(spec(pool="etl"))
    first, second = (submitted(cloud, spec(pool="etl")) for _ in range(2))
    cloud.play()
    assert [place(cloud, id).reason for id in (first, second)] == [Reason.QUOTA, Reason.QUOTA]
    ensure_pool(cloud.ports, "main", "etl", maximum=limit(cores=4, runs=3))
    cloud.play()
    message = "Waiting for capacity: the run asks 2 cores; 0 of the 4 cores of pool etl are free."
    assert place(cloud, second) == Waiting(1, Reason.QUOTA, message)


def test_a_large_run_at_the_head_binds_by_what_it_asks(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "etl", maximum=limit(cores=9, runs=3))
    cloud.running(spec(pool="etl"))
    for cores in (4, 1, 1):
        last = submitted(cloud, spec(pool="etl", cores=cores))
    cloud.play()
    found = place(cloud, last)
    assert (found.position, found.reason) == (3, Reason.QUOTA), found.message
    assert found.message.startswith("Waiting for capacity: the run asks 2 cores, the 2 runs ahead of it ask 10 cores;")


def test_a_pool_that_runs_nothing_has_no_turn_for_a_run(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "etl", maximum=limit(runs=0))
    found = place(cloud, cloud.submit(spec(pool="etl"), park_oversized=True))
    assert (found.position, found.reason) == (0, Reason.TURN)


def test_a_run_that_waits_for_an_instant_is_told_which(cloud: Cloud) -> None:
    cloud.running(spec(policy=Policy(max_retries=1, min_retry_interval_ms=HOUR_MS)))
    drivers_become(cloud, "FAILED")
    cloud.play()
    (retry,) = cloud.live()
    found = place(cloud, retry.id)
    assert (found.reason, found.position) == (Reason.NOT_BEFORE, 1)
    assert found.message == "Waiting until 2026-05-28T21:26:40Z, before which it may not start."


def test_a_run_that_no_limit_admits_is_told_which_limit_and_has_no_place(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "etl", application=limit(cores=3))
    id = cloud.submit(spec(pool="etl", cores=2), park_oversized=True)
    told = "The run asks for 4 cores in total, which is more than the 3 cores that pool etl allows one run."
    assert place(cloud, id) == Waiting(0, Reason.APPLICATION, told)
    assert (cloud.run(id).reason, cloud.run(id).message) == ("OVERSIZED", told)
    ensure_pool(cloud.ports, "main", "etl", application=limit(cores=4))
    cloud.play()
    assert (cloud.state(id), cloud.run(id).message) == (RunState.LAUNCHING, "")


def test_a_run_that_is_about_to_start_waits_for_nobody(cloud: Cloud) -> None:
    id = cloud.submit()
    assert place(cloud, id) == Waiting(1, Reason.DISPATCH, "Next in pool default; there is room for it.")
    second = submitted(cloud, spec())
    assert place(cloud, second) == Waiting(2, Reason.TURN, "Waiting behind the one run of pool default.")
    cloud.play()
    assert queue_place(cloud.ports, cloud.caller, cloud.run(id)) is None


def test_runs_ahead_that_can_never_start_do_not_count(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "etl", maximum=limit(cores=4))
    cloud.submit(spec(pool="etl", cores=9), park_oversized=True)
    assert place(cloud, cloud.submit(spec(pool="etl"))).position == 1


def test_a_long_queue_is_counted_so_far(cloud: Cloud) -> None:
    ids = [submitted(cloud, spec()) for _ in range(AHEAD + 2)]
    assert place(cloud, ids[-2]).position == AHEAD + 1
    assert place(cloud, ids[-1]).message == f"Waiting behind more than {AHEAD} runs of pool default."


def test_a_place_costs_one_query_and_one_read_and_a_running_run_costs_nothing(cloud: Cloud) -> None:
    id = cloud.submit()
    cloud.store.counts.clear()
    place(cloud, id)
    assert cloud.store.counts == {"fetch": 1, "page": 1}
    cloud.play()
    cloud.store.counts.clear()
    assert queue_place(cloud.ports, cloud.caller, cloud.run(id)) is None
    assert not cloud.store.counts


def test_what_waits_in_a_pool_is_counted(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "etl", maximum=limit(runs=0))
    for _ in range(3):
        cloud.submit(spec(pool="etl"), park_oversized=True)
    cloud.submit()
    cloud.play()
    assert queued(cloud.ports, "main", "etl") == Amount(6000, 3 * 2 * GIB, 0, 3)
    assert queued(cloud.ports, "main", "default") == Amount()


@pytest.mark.parametrize(
    ("ledger", "reason"),
    [
        (Ledger("c", EVERYTHING, {"m/a": PoolAccount(application=Amount(500, MUCH, 0, 9))}), Reason.APPLICATION),
        (Ledger("c", EVERYTHING, {"m/a": PoolAccount(maximum=Amount(500, MUCH, 0, 9))}), Reason.QUOTA),
        (Ledger("c", Amount(500, MUCH, 0, 9), {"m/a": PoolAccount()}), Reason.CLUSTER),
        (Ledger("c", EVERYTHING, {}), Reason.NO_POOL),
    ],
)
def test_what_can_never_start_is_told_by_the_limit_that_forbids_it(ledger: Ledger, reason: Reason) -> None:
    found = explain(ledger, "m/a", SMALL, [])
    assert (found.position, found.reason) == (0, reason)
    assert too_large(ledger, "m/a", SMALL) is not None
    assert too_large(ledger, "m/a", replace(SMALL, cores=0, runs=0)) is None or reason is Reason.NO_POOL


def test_what_is_free_may_be_kept_for_others() -> None:
    others = PoolAccount(passed=PATIENCE), PoolAccount(minimum=SMALL)
    for other in others:
        ledger = Ledger("c", EVERYTHING, {"m/a": PoolAccount(), "m/b": other})
        assert explain(ledger, "m/a", SMALL, []).reason is Reason.NEXT
        assert explain(ledger, "m/b", SMALL, []).reason is Reason.DISPATCH


def test_a_gpu_is_counted_like_all_else() -> None:
    ledger = Ledger("c", EVERYTHING, {"m/a": PoolAccount(maximum=replace(EVERYTHING, gpus=1), used=Amount(gpus=1))})
    assert explain(ledger, "m/a", Amount(1000, GIB, 1, 1), []).message == (
        "Waiting for capacity: the run asks 1 GPU; 0 of the 1 GPU of pool a are free."
    )


def test_whose_run_it_is_plays_no_part_in_its_place(cloud: Cloud) -> None:
    id = cloud.submit()
    run: Run = cloud.run(id)
    assert queue_place(cloud.ports, cloud.caller, replace(run, created_by="bob")) == place(cloud, id)
