"""Pools in contention (hypothesis): whatever arrives, ends, is limited, is lost or is killed, nothing is ever given
beyond a limit, the ledger is what the holds add up to, everybody gets a turn, and at the end all is zero.

Two machines. `Contention` plays the plan alone, against an adversary who knows the rule; `Pools` plays the services
over the fakes, with workers killed. SPARKPLANE_EXAMPLES says how many histories are tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chalicelib.core.capacity import EVERYTHING, NOTHING, PATIENCE, Amount, Ledger, PoolAccount, plan
from chalicelib.core.errors import SparkplaneError
from chalicelib.core.model import Program, ProgramKind, Run, RunSpec, Size
from chalicelib.core.states import RunState
from chalicelib.services.pools import ensure_pool, limit_cluster, queue_place
from chalicelib.services.runs import cancel_run
from tests.unit.cloud import CLUSTER, Cloud
from tests.unit.fakes import Killed

EXAMPLES = int(os.environ.get("SPARKPLANE_EXAMPLES", "25"))
PROFILE = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

POOLS = ("m/a", "m/b", "m/c")
TOTAL = Amount(12, 12, 3, 8)

pools = st.sampled_from(POOLS)
which = st.integers(0, 1 << 10)
asks = st.builds(Amount, st.integers(0, 12), st.integers(0, 12), st.integers(0, 3), st.just(1))
small = st.builds(Amount, st.integers(0, 2), st.integers(0, 2), st.integers(0, 1), st.just(1))
minimums = st.builds(Amount, *(st.integers(0, 6) for _ in range(4))) | st.just(NOTHING)
maximums = st.builds(Amount, *(st.integers(2, 12) for _ in range(4))) | st.just(EVERYTHING)


@dataclass(frozen=True)
class Row:
    """A run that waits."""

    run: int
    ready_at: int
    amount: Amount


class Contention(RuleBasedStateMachine):
    """The plan against an adversary. One run at a time is the victim: the oldest of its pool that fits its pool's
    ceiling. Time is measured in rounds: a round is over when each run that held capacity at its beginning has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger("c", TOTAL, {pool: PoolAccount() for pool in POOLS})
        self.queues: dict[str, list[Row]] = {pool: [] for pool in POOLS}
        self.holds: dict[int, tuple[str, Amount]] = {}
        self.count = 0
        self.victim: tuple[str, Row] | None = None
        self.rounds = 0
        self.outstanding: set[int] = set()

    @initialize(victim=asks, pool=pools, priorities=st.tuples(*(st.integers(0, 3) for _ in POOLS)))
    def a_run_waits(self, victim: Amount, pool: str, priorities: tuple[int, int, int]) -> None:
        for name, priority in zip(POOLS, priorities, strict=True):
            self.set(name, priority=priority)
        self.submit(pool, victim)
        self.dispatch()

    def set(self, pool: str, **changes: object) -> None:
        account = replace(self.ledger.pools[pool], **changes)  # type: ignore[arg-type]
        self.ledger = replace(self.ledger, pools={**self.ledger.pools, pool: account})

    def submit(self, pool: str, amount: Amount) -> None:
        self.count += 1
        self.queues[pool].append(Row(self.count, self.count, amount))

    def dispatch(self) -> None:
        """What a ring does: plan and carry out, until there is nothing more to grant."""
        while True:
            grants, after = plan(self.ledger, self.queues, 3)
            if not grants:
                break
            for row in grants:
                (pool,) = (name for name, rows in self.queues.items() if row in rows)
                self.queues[pool].remove(row)
                self.holds[row.run] = (pool, row.amount)
                if self.victim and self.victim[1] == row:
                    self.victim = None
            self.ledger = after
        if self.victim is None:
            self.choose()

    def choose(self) -> None:
        """The next victim is the oldest of all who are the first possible run of their pool."""
        heads = [
            (pool, row)
            for pool, rows in self.queues.items()
            for row in [next((r for r in rows if r.amount.fits(self.ledger.ceiling(pool))), None)]
            if row
        ]
        self.victim = min(heads, key=lambda head: head[1].ready_at, default=None)
        self.rounds, self.outstanding = 0, set(self.holds)

    def end(self, run: int) -> None:
        pool, amount = self.holds.pop(run)
        self.ledger = self.ledger.hold(pool, NOTHING - amount)
        self.dispatch()
        self.outstanding.discard(run)
        if not self.outstanding:
            self.rounds += 1
            self.outstanding = set(self.holds)

    # What the adversary does.

    @rule(pool=pools, amount=asks | small)
    def somebody_submits(self, pool: str, amount: Amount) -> None:
        self.submit(pool, amount)
        self.dispatch()

    @rule(amount=small, times=st.integers(1, 3 * PATIENCE))
    def others_come_and_go(self, amount: Amount, times: int) -> None:
        """What others have is never free: as soon as one of theirs ends, the next is there."""
        others = [pool for pool in POOLS if self.victim is None or pool != self.victim[0]]
        for number in range(times):
            self.submit(others[number % len(others)], amount)
            self.dispatch()
            held = [run for run, (pool, _) in self.holds.items() if pool in others]
            if len(held) > 2:
                self.end(held[number % len(held)])

    @precondition(lambda self: self.holds)
    @rule(index=which)
    def a_run_ends(self, index: int) -> None:
        self.end(sorted(self.holds)[index % len(self.holds)])

    @precondition(lambda self: self.outstanding)
    @rule(rounds=st.integers(1, PATIENCE + 10))
    def all_who_held_capacity_end_and_are_followed_by_their_like(self, rounds: int) -> None:
        for _ in range(rounds):
            for run in sorted(self.outstanding):
                self.submit(*self.holds[run])
                self.end(run)
            self.nobody_waits_for_longer_than_the_rule_says()

    @rule(pool=pools, minimum=minimums, priority=st.integers(0, 3))
    def somebody_changes_a_claim(self, pool: str, minimum: Amount, priority: int) -> None:
        self.set(pool, minimum=minimum, priority=priority)
        self.dispatch()

    @rule(pool=pools, maximum=maximums, application=maximums)
    def somebody_changes_a_limit(self, pool: str, maximum: Amount, application: Amount) -> None:
        self.set(pool, maximum=maximum, application=application)
        self.victim = None  # its limits are others now: it is another promise
        self.dispatch()

    # What must hold.

    @invariant()
    def nobody_waits_for_longer_than_the_rule_says(self) -> None:
        """The bound of docs/decisions/capacity.md, and its proof."""
        assert self.rounds < PATIENCE + 2 * len(POOLS)

    @invariant()
    def the_ledger_is_what_the_holds_add_up_to(self) -> None:
        for pool, account in self.ledger.pools.items():
            assert account.used == sum((amount for name, amount in self.holds.values() if name == pool), NOTHING)

    @invariant()
    def the_cluster_never_holds_more_than_it_has(self) -> None:
        assert self.ledger.free() == TOTAL - self.ledger.used()
        assert min(self.ledger.free().vector()) >= 0

    def teardown(self) -> None:
        """No more arrivals: round after round, everybody runs and ends."""
        for pool in POOLS:
            self.set(pool, maximum=EVERYTHING, application=EVERYTHING)
        self.dispatch()
        while self.holds:
            self.end(min(self.holds))
        assert not any(self.queues.values())
        assert self.ledger.used() == NOTHING


TestContention = Contention.TestCase
TestContention.settings = PROFILE

NAMES = ("default", "etl", "urgent")
MUCH = 1 << 30


def sized(pool: str, cores: int, memory: int, gpus: int) -> RunSpec:
    """A run of so many cores and GiB, and GPUs in its one executor."""
    size = Size(1, 1024, 1, 0, cores, memory * 1024, 0, gpus)
    return RunSpec("work", Program(ProgramKind.PYTHON, "s3://bucket/main.py"), pool=pool, size=size)


def limit(cores: int, gpus: int, runs: int) -> Amount:
    """A limit of whole cores, GPUs and runs."""
    return Amount(cores * 1000, MUCH, gpus, runs)


class Pools(RuleBasedStateMachine):
    """The services, with mixed sizes, pools, priorities, limits that change, and workers that are killed."""

    def __init__(self) -> None:
        super().__init__()
        self.cloud = Cloud()
        ensure_pool(self.cloud.ports, "main", "etl", maximum=limit(10, 2, 4), minimum=Amount(cores=4000))
        ensure_pool(self.cloud.ports, "main", "urgent", maximum=limit(8, 1, 3), priority=5, minimum=Amount(runs=1))
        limit_cluster(self.cloud.ports, "main", limit(16, 2, 6))

    def asked(self, ask: Callable[[], object]) -> None:
        try:
            ask()
        except (SparkplaneError, Killed):
            pass

    @rule(
        pool=st.sampled_from(NAMES),
        cores=st.sampled_from([1, 1, 2, 5, 9]),
        memory=st.integers(1, 4),
        gpus=st.sampled_from([0, 0, 0, 1, 2]),
        count=st.integers(1, 5),
    )
    def somebody_submits(self, pool: str, cores: int, memory: int, gpus: int, count: int) -> None:
        for _ in range(count):
            self.cloud.clock.advance(1)
            self.asked(lambda: self.cloud.submit(sized(pool, cores, memory, gpus), park_oversized=True))

    @rule(pool=st.sampled_from(NAMES), cores=st.integers(0, 12), gpus=st.integers(0, 2), runs=st.integers(0, 5))
    def somebody_changes_a_limit(self, pool: str, cores: int, gpus: int, runs: int) -> None:
        self.asked(lambda: ensure_pool(self.cloud.ports, "main", pool, maximum=limit(cores, gpus, runs)))

    @rule(pool=st.sampled_from(NAMES), cores=st.integers(0, 6), priority=st.integers(-1, 9), most=st.integers(2, 12))
    def somebody_changes_a_claim(self, pool: str, cores: int, priority: int, most: int) -> None:
        claim = {"minimum": Amount(cores=cores * 1000), "application": limit(most, 2, 1), "priority": priority}
        self.asked(lambda: ensure_pool(self.cloud.ports, "main", pool, **claim))  # type: ignore[arg-type]

    @rule(cores=st.integers(4, 16), gpus=st.integers(0, 2), runs=st.integers(1, 6))
    def somebody_changes_the_total(self, cores: int, gpus: int, runs: int) -> None:
        self.asked(lambda: limit_cluster(self.cloud.ports, "main", limit(cores, gpus, runs)))

    @precondition(lambda self: self.cloud.live())
    @rule(index=which)
    def somebody_cancels(self, index: int) -> None:
        live = sorted(self.cloud.live(), key=lambda run: run.id)
        self.asked(lambda: cancel_run(self.cloud.ports, self.cloud.caller, live[index % len(live)].id))

    @rule(count=st.integers(1, 9), again=st.booleans())
    def the_stream_brings_a_batch(self, count: int, again: bool) -> None:
        self.cloud.deliver("dispatch", count, again=again)

    @rule()
    def all_that_can_happen_now_happens(self) -> None:
        self.cloud.play()

    @precondition(lambda self: self.cloud.engine.drivers)
    @rule(index=which, times=st.integers(1, 4))
    def drivers_go_on(self, index: int, times: int) -> None:
        ids = sorted(self.cloud.engine.drivers)
        for _ in range(times):
            self.cloud.engine.progress(ids[index % len(ids)])
            self.cloud.play()

    @rule(ms=st.sampled_from([1, 1000, 3_600_000]))
    def time_passes(self, ms: int) -> None:
        self.cloud.clock.advance(ms)

    @rule()
    def the_stream_loses_its_oldest_and_the_sweep_comes(self) -> None:
        self.cloud.lose("dispatch")
        self.cloud.sweep()

    @rule(at=st.integers(1, 9), after=st.booleans())
    def a_worker_is_about_to_be_killed(self, at: int, after: bool) -> None:
        self.cloud.tripwire.arm(at, after=after)

    @rule(at=st.integers(1, 6), cores=st.integers(0, 12))
    def a_limit_is_about_to_change_between(self, at: int, cores: int) -> None:
        self.cloud.tripwire.admit(at, lambda: self.somebody_changes_a_limit("default", cores, 1, 3))

    @invariant()
    def the_books_are_exact(self) -> None:
        """And no limit was exceeded: the cloud watches every commit."""
        self.cloud.check_capacity()
        self.cloud.check_records()

    @invariant()
    def who_waits_is_told_why(self) -> None:
        wire = self.cloud.tripwire
        armed, calls, wire.at = wire.at, wire.calls, 0
        for run in self.cloud.live():
            place = queue_place(self.cloud.ports, self.cloud.caller, run)
            assert (place is not None) is (run.state is RunState.QUEUED)
            assert place is None or place.message
        wire.at, wire.calls = armed, calls

    def teardown(self) -> None:
        self.cloud.tripwire.disarm()
        limit_cluster(self.cloud.ports, "main", EVERYTHING)
        for pool in NAMES:
            changed = {"maximum": EVERYTHING, "application": EVERYTHING, "minimum": NOTHING}
            ensure_pool(self.cloud.ports, "main", pool, **changed)  # type: ignore[arg-type]
        self.cloud.settle()
        self.cloud.check_over()
        assert self.cloud.store.get(Ledger, CLUSTER).used() == NOTHING
        assert all(isinstance(run, Run) and run.ended for run in self.cloud.store.all(Run))


TestPools = Pools.TestCase
TestPools.settings = PROFILE
