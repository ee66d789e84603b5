"""The capacity plan: who is granted, in which order, and never more than there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.capacity import EVERYTHING, NOTHING, PATIENCE, Amount, Ledger, PoolAccount, gathered_until, plan


@dataclass(frozen=True)
class Row:
    run: int
    ready_at: int
    amount: Amount


def cores(count: int) -> Amount:
    return Amount(cores=count, runs=1)


def upto(count: int) -> Amount:
    return replace(EVERYTHING, cores=count)


def granted(ledger: Ledger, queues: Mapping[str, Sequence[Row]], most: int = 100) -> list[int]:
    return [row.run for row in plan(ledger, queues, most)[0]]


amounts = st.builds(Amount, st.integers(0, 9), st.integers(0, 9), st.integers(0, 2), st.just(1))
limits = st.builds(Amount, *(st.integers(0, 25) for _ in range(4))) | st.just(EVERYTHING)
minimums = st.builds(Amount, *(st.integers(0, 12) for _ in range(4))) | st.just(NOTHING)
POOLS = ("main/a", "main/b", "main/c")


@st.composite
def situations(draw: st.DrawFn) -> tuple[Ledger, dict[str, list[Row]]]:
    pools = {
        name: PoolAccount(draw(limits), draw(minimums), draw(st.integers(0, 2)), draw(st.just(NOTHING) | amounts))
        for name in POOLS
    }
    count = 0
    queues: dict[str, list[Row]] = {}
    for name in (*POOLS, "main/unknown"):
        queue = []
        for ready_at in sorted(draw(st.lists(st.integers(0, 20), max_size=6))):
            count += 1
            queue.append(Row(count, ready_at, draw(amounts)))
        queues[name] = queue
    return Ledger("c", draw(limits), pools), queues


@given(situations(), st.integers(0, 8))
@settings(max_examples=300, deadline=None)
def test_no_grant_takes_a_pool_above_its_maximum_or_the_cluster_above_its_total(
    situation: tuple[Ledger, dict[str, list[Row]]], most: int
) -> None:
    ledger, queues = situation
    grants, after = plan(ledger, queues, most)
    assert len(grants) <= most
    for name, account in after.pools.items():
        rows = [row for row in grants if row in queues[name]]
        assert account.used == sum((row.amount for row in rows), ledger.pools[name].used)
        given = account.used - ledger.pools[name].used
        assert given.fits(ledger.pools[name].room)
    assert (after.used() - ledger.used()).fits(ledger.free())


@given(situations())
@settings(max_examples=300, deadline=None)
def test_within_a_pool_a_younger_run_goes_first_only_with_what_the_older_ones_leave_over(
    situation: tuple[Ledger, dict[str, list[Row]]],
) -> None:
    ledger, queues = situation
    for name in POOLS:
        possible = [row for row in queues[name] if row.amount.fits(ledger.ceiling(name))]
        rows, after = plan(ledger, {name: queues[name]}, 1)
        if rows and rows[0] is not possible[0]:
            older = possible[: possible.index(rows[0])]
            left = after.pools[name].room.least(after.free())
            asked = sum((row.amount for row in older), rows[0].amount)
            for mine, all_ask, has in zip(
                rows[0].amount.vector(), asked.vector(), (left + rows[0].amount).vector(), strict=True
            ):
                assert not mine or all_ask <= has


@given(situations())
@settings(max_examples=300, deadline=None)
def test_an_idle_cluster_never_lets_everybody_wait(situation: tuple[Ledger, dict[str, list[Row]]]) -> None:
    ledger, queues = situation
    idle = replace(ledger, pools={name: replace(a, used=NOTHING) for name, a in ledger.pools.items()})
    somebody = any(row.amount.fits(idle.ceiling(name)) for name in POOLS for row in queues[name])
    assert bool(granted(idle, queues)) is somebody


@given(situations())
@settings(deadline=None)
def test_a_plan_that_was_carried_out_leaves_nothing_more_to_grant(
    situation: tuple[Ledger, dict[str, list[Row]]],
) -> None:
    ledger, queues = situation
    rows, after = plan(ledger, queues, 100)
    left = {name: [row for row in queue if row not in rows] for name, queue in queues.items()}
    assert granted(after, left) == []


def test_a_pool_below_its_minimum_goes_before_one_of_higher_priority() -> None:
    ledger = Ledger("c", upto(4), {
        "m/urgent": PoolAccount(priority=9),
        "m/owed": PoolAccount(minimum=Amount(2, 0, 0, 2)),
    })  # fmt: skip
    queues = {
        "m/urgent": [Row(n, 0, cores(1)) for n in range(1, 5)],
        "m/owed": [Row(n, 50, cores(1)) for n in range(11, 15)],
    }
    assert granted(ledger, queues) == [11, 12, 1, 2]


def test_beyond_the_minimums_priority_goes_before_age_and_age_decides_the_rest() -> None:
    ledger = Ledger("c", upto(4), {
        "m/low": PoolAccount(), "m/high": PoolAccount(priority=1), "m/other": PoolAccount(),
    })  # fmt: skip
    queues = {
        "m/low": [Row(1, 10, cores(1)), Row(2, 40, cores(1))],
        "m/high": [Row(3, 90, cores(1))],
        "m/other": [Row(4, 20, cores(1)), Row(5, 30, cores(1))],
    }
    assert granted(ledger, queues) == [3, 1, 4, 5]


def test_surplus_leaves_room_for_the_minimum_of_a_pool_that_has_somebody_waiting() -> None:
    owed = PoolAccount(minimum=Amount(3, 0, 0, 3))
    ledger = Ledger("c", upto(4), {"m/owed": replace(owed, used=cores(2)), "m/big": PoolAccount(priority=9)})
    blocked = {"m/owed": [Row(1, 5, cores(1))], "m/big": [Row(2, 0, cores(2))]}
    assert granted(ledger, blocked) == [1]
    assert granted(ledger, {"m/owed": [], "m/big": [Row(2, 0, cores(2))]}) == [2]


def test_what_is_kept_for_a_minimum_is_no_more_than_its_pool_may_hold() -> None:
    owed = PoolAccount(maximum=upto(3), minimum=Amount(8, 0, 0, 0))
    ledger = Ledger("c", Amount(10, 4, 0, 9), {"m/owed": owed, "m/big": PoolAccount()})
    queues = {"m/owed": [Row(1, 0, Amount(3, 4, 0, 1))], "m/big": [Row(2, 1, Amount(7, 0, 0, 1))]}
    held = ledger.hold("m/big", Amount(memory=1))
    assert granted(held, queues) == [2]
    assert granted(held, {**queues, "m/big": [Row(2, 1, Amount(8, 0, 0, 1))]}) == []


def test_what_one_pool_holds_beyond_its_minimum_is_not_taken_from_what_is_kept_for_another() -> None:
    ledger = Ledger("c", Amount(9, 1, 3, 9), {
        "m/rich": PoolAccount(minimum=Amount(4, 0, 1, 0), used=Amount(0, 1, 2, 1)),
        "m/owed": PoolAccount(minimum=Amount(0, 0, 1, 0)),
        "m/other": PoolAccount(priority=9),
    })  # fmt: skip
    queues = {
        "m/rich": [Row(1, 0, Amount(2, 1, 0, 1))],
        "m/owed": [Row(2, 1, Amount(0, 1, 1, 1))],
        "m/other": [Row(3, 2, Amount(0, 0, 1, 1))],
    }
    assert granted(ledger, queues) == []
    assert granted(ledger, {**queues, "m/owed": []}) == [3]


def test_two_pools_whose_runs_are_larger_than_their_minimums_do_not_wait_for_each_other() -> None:
    half = PoolAccount(minimum=Amount(5, 0, 0, 1))
    ledger = Ledger("c", upto(10), {"m/a": half, "m/b": half})
    assert granted(ledger, {"m/a": [Row(1, 0, cores(7))], "m/b": [Row(2, 1, cores(7))]}) == [1]


def test_a_big_run_is_not_starved_by_the_small_ones_behind_it() -> None:
    ledger = Ledger("c", EVERYTHING, {"m/a": PoolAccount(maximum=upto(10), used=cores(4))})
    queue = [Row(1, 0, cores(8)), *(Row(n, n, cores(1)) for n in range(2, 30))]
    assert granted(ledger, {"m/a": queue}) == []
    freed = ledger.hold("m/a", NOTHING - cores(4))
    assert granted(freed, {"m/a": queue})[0] == 1


def test_a_run_that_its_pool_could_never_hold_is_passed_over() -> None:
    ledger = Ledger("c", EVERYTHING, {"m/a": PoolAccount(maximum=upto(10))})
    assert granted(ledger, {"m/a": [Row(1, 0, cores(11)), Row(2, 1, cores(10))]}) == [2]
    small_cluster = replace(ledger, total=upto(5))
    assert granted(small_cluster, {"m/a": [Row(1, 0, cores(6)), Row(2, 1, cores(5))]}) == [2]


def test_a_limit_below_what_is_held_grants_nothing_and_takes_nothing_away() -> None:
    ledger = Ledger("c", EVERYTHING, {"m/a": PoolAccount(maximum=upto(2), used=cores(5))})
    rows, after = plan(ledger, {"m/a": [Row(1, 0, cores(1))]}, 10)
    assert rows == [] and after == ledger


def test_a_pool_that_the_ledger_does_not_know_gets_nothing() -> None:
    assert granted(Ledger("c"), {"m/a": [Row(1, 0, cores(1))]}) == []


def test_each_dimension_is_looked_at_alone() -> None:
    """What a run asks nothing of may be short, lowered below what is held, or not part of a pool's minimum."""
    gpu, plain = Amount(1, 1, 1, 1), Amount(1, 1, 0, 1)
    lowered = PoolAccount(maximum=Amount(9, 9, 1, 9), used=Amount(2, 2, 2, 2))
    ledger = Ledger("c", Amount(9, 9, 1, 9), {"m/a": lowered})
    assert granted(ledger, {"m/a": [Row(1, 0, gpu), Row(2, 1, plain)]}) == [2]
    assert PoolAccount(minimum=Amount(cores=2)).within_minimum(plain)
    assert not PoolAccount(minimum=Amount(gpus=2)).within_minimum(plain)
    assert PoolAccount(minimum=Amount(cores=1, gpus=1)).within_minimum(gpu)
    assert not PoolAccount(minimum=Amount(cores=2, gpus=1), used=Amount(gpus=1)).within_minimum(gpu)


def test_a_younger_run_takes_nothing_that_an_older_one_of_its_pool_needs() -> None:
    ledger = Ledger("c", EVERYTHING, {"m/a": PoolAccount(maximum=Amount(8, 8, 1, 9), used=Amount(2, 2, 1, 1))})
    waits_for_a_gpu = Row(1, 0, Amount(4, 4, 1, 1))
    assert granted(ledger, {"m/a": [waits_for_a_gpu, *(Row(n, n, Amount(1, 1, 0, 1)) for n in range(2, 9))]}) == [2, 3]


def test_no_run_may_ask_more_than_its_pool_allows_one() -> None:
    ledger = Ledger("c", EVERYTHING, {"m/a": PoolAccount(application=upto(2))})
    assert granted(ledger, {"m/a": [Row(1, 0, cores(3)), Row(2, 1, cores(2)), Row(3, 2, cores(2))]}) == [2, 3]


def test_a_pool_that_was_passed_over_too_often_is_given_its_turn() -> None:
    """However urgent the others are, and whatever minimum they have."""
    ledger = Ledger("c", cores(1), {"m/low": PoolAccount(), "m/high": PoolAccount(minimum=cores(1), priority=9)})
    order = []
    urgent = iter(range(100, 999))
    for _ in range(2 * PATIENCE + 2):
        rows, after = plan(ledger, {"m/low": [Row(1, 0, cores(1))], "m/high": [Row(next(urgent), 5, cores(1))]}, 1)
        order.append(rows[0].run)
        ledger = after.hold("m/low" if rows[0].run == 1 else "m/high", NOTHING - cores(1))
    assert [number for number, run in enumerate(order) if run == 1] == [PATIENCE, 2 * PATIENCE + 1]


def test_the_younger_runs_of_a_pool_do_not_bring_others_their_turn_again_before_its_own() -> None:
    """An old run waits for a GPU, its pool's younger ones come and go. They pass it over as all others do; else another
    pool would be the most passed over ever again, and the GPU would be given to others in each of its turns."""
    gpu = Amount(gpus=1, runs=1)
    ledger = Ledger("c", Amount(100, 100, 1, 999), {
        "m/old": PoolAccount(passed=PATIENCE + 1),
        "m/large": PoolAccount(passed=PATIENCE, used=cores(1)),
        "m/urgent": PoolAccount(priority=9, used=gpu),
    })  # fmt: skip
    old, large, urgent = Row(1, 1, gpu), Row(2, 2, cores(100)), Row(3, 3, gpu)
    younger = [Row(number, number, cores(1)) for number in range(10, 60)]
    rows, after = plan(ledger, {"m/old": [old, *younger], "m/large": [large], "m/urgent": [urgent]}, 100)
    assert rows == younger
    freed = after.hold("m/urgent", NOTHING - gpu)
    assert granted(freed, {"m/old": [old], "m/large": [large], "m/urgent": [urgent]}, 1) == [1]


def test_on_its_turn_a_large_run_is_gathered_for_and_others_have_only_what_it_leaves() -> None:
    """Nobody else is given any of the cores that it lacks, nor of the memory that it will need."""
    ledger = Ledger("c", Amount(10, 10, 9, 99), {
        "m/large": PoolAccount(passed=PATIENCE),
        "m/small": PoolAccount(priority=9, used=Amount(5, 2, 0, 5)),
    })  # fmt: skip
    large = Row(1, 0, Amount(8, 7, 0, 1))
    assert granted(ledger, {"m/large": [large], "m/small": [Row(2, 0, Amount(1, 1, 0, 1))]}) == []
    no_cores = [Row(3, 0, Amount(0, 1, 1, 1)), Row(4, 0, Amount(0, 1, 1, 1))]
    assert granted(ledger, {"m/large": [large], "m/small": no_cores}) == [3]
    freed = ledger.hold("m/small", NOTHING - Amount(3, 0, 0, 0))
    assert granted(freed, {"m/large": [large], "m/small": [Row(2, 0, Amount(1, 1, 0, 1))]}) == [1]


def test_a_run_that_waits_for_what_never_ends_does_not_make_all_others_wait_for_ever() -> None:
    """What it needs is kept for it by spells, each twice as long as the one before, and every other one is theirs."""
    stream = PoolAccount(used=cores(5))
    ledger = Ledger("c", upto(10), {"m/large": PoolAccount(passed=PATIENCE), "m/small": PoolAccount(), "m/s": stream})
    queues = {"m/large": [Row(1, 0, cores(8))], "m/small": [Row(2, 5, cores(1))]}

    def kept(minutes: int) -> bool:
        now = minutes * 60_000
        rows, _ = plan(ledger, queues, 9, now)
        until = gathered_until(ledger, queues, now)
        assert bool(until) is not bool(rows) and (until == 0 or until > now)
        return not rows

    spells = [(0, 30, True), (30, 90, False), (90, 210, True), (210, 450, False), (450, 930, True), (930, 1890, False)]
    assert [(kept(start), kept(end - 1)) for start, end, _ in spells] == [(mine, mine) for _, _, mine in spells]
    ended = ledger.hold("m/s", NOTHING - cores(5))
    assert [row.run for row in plan(ended, queues, 1, 60 * 60_000)[0]] == [1], "it goes first in any spell"


def test_a_pool_at_its_own_maximum_is_passed_over_by_nobody() -> None:
    at_most_one = PoolAccount(maximum=replace(EVERYTHING, runs=1), used=cores(1), passed=PATIENCE)
    ledger = Ledger("c", upto(40), {"m/full": at_most_one, "m/other": PoolAccount(passed=3)})
    queues = {"m/full": [Row(1, 0, cores(30))], "m/other": [Row(n, 9, cores(1)) for n in range(2, 9)]}
    rows, after = plan(ledger, queues, 100)
    assert [row.run for row in rows] == list(range(2, 9))
    assert {name: account.passed for name, account in after.pools.items()} == {"m/full": PATIENCE, "m/other": 0}


@given(amounts, amounts)
@settings(deadline=None)
def test_what_is_held_and_released_is_as_if_it_had_never_been(one: Amount, other: Amount) -> None:
    ledger = Ledger("c", EVERYTHING, {"m/a": PoolAccount(used=one)})
    assert ledger.hold("m/a", other).hold("m/a", NOTHING - other) == ledger
    assert one + other - other == one
