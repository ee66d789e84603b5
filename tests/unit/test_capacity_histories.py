"""Thousands of histories of a cluster (hypothesis), each drawn as one string of bytes and played on the pure plan.

Runs of mixed sizes come, wait, are cancelled, are granted and end; limits, minimums and priorities change; workers read
and are killed before they write, or write too late; rings are lost; ends are told twice; the sweep counts. At each step
the plan is compared with `Rule`, which is the policy of docs/decisions/capacity.md in other words, and what it does is
held against the limits and against the bound of that page. PATIENCE is made small, so that turns are frequent.

SPARKPLANE_EXAMPLES says how many histories are tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.core import capacity
from chalicelib.core.capacity import EVERYTHING, NOTHING, SPELL_MS, Amount, Ledger, PoolAccount, plan

HISTORIES = int(os.environ.get("SPARKPLANE_EXAMPLES", "3000"))
STEPS = 45
BYTES = 6 * STEPS
"""Of a history: a step takes one byte to choose it, and up to six for what it needs to know."""

Vector = tuple[int, ...]
ZERO = (0, 0, 0, 0)
POOLS = ("m/a", "m/b", "m/c")
TOTAL = Amount(9, 9, 2, 6)
SEEN = 5
"""Of a queue so many possible runs are read, as dispatch reads its first fifty."""


@dataclass(frozen=True, slots=True)
class Row:
    """A run that waits."""

    run: int
    ready_at: int
    amount: Amount


def plus(one: Vector, other: Vector) -> Vector:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


def minus(one: Vector, other: Vector) -> Vector:
    return one[0] - other[0], one[1] - other[1], one[2] - other[2], one[3] - other[3]


def has_room(asked: Vector, room: Vector) -> bool:
    """Whether there is room in each dimension that is asked for."""
    for a, r in zip(asked, room, strict=True):
        if a and a > r:
            return False
    return True


def within(given: Vector, used: Vector, limit: Vector) -> bool:
    """Whether what is used keeps to the limit in each dimension of which something was given."""
    return has_room(tuple(u if g else 0 for g, u in zip(given, used, strict=True)), limit)


def possible_in(ledger: Ledger, pool: str, row: Row) -> bool:
    """Neither its pool, nor what the pool allows one run, nor the cluster is too small for it."""
    account = ledger.pools[pool]
    return all(has_room(row.amount.vector(), m.vector()) for m in (account.application, account.maximum, ledger.total))


class Rule:
    """The policy, said once more and as plainly as it can be: who is granted next, one at a time."""

    def __init__(self, ledger: Ledger, queues: Mapping[str, Sequence[Row]], now: int) -> None:
        self.now, self.accounts, self.total = now, ledger.pools, ledger.total.vector()
        self.maximum = {pool: account.maximum.vector() for pool, account in ledger.pools.items()}
        self.minimum = {pool: account.minimum.vector() for pool, account in ledger.pools.items()}
        self.used = {pool: account.used.vector() for pool, account in ledger.pools.items()}
        self.passed = {pool: account.passed for pool, account in ledger.pools.items()}
        self.waiting = {pool: [row for row in queues[pool] if possible_in(ledger, pool, row)] for pool in ledger.pools}

    def own_room(self, pool: str) -> Vector:
        return minus(self.maximum[pool], self.used[pool])

    def free(self) -> Vector:
        free = self.total
        for used in self.used.values():
            free = minus(free, used)
        return free

    def guaranteed(self, pool: str, row: Row) -> bool:
        """What it asks of what its pool is guaranteed lies within the guarantee; and it asks some of it."""
        after = plus(self.used[pool], row.amount.vector())
        named = [(a, m) for asked, a, m in zip(row.amount.vector(), after, self.minimum[pool], strict=True) if asked]
        return any(m for _, m in named) and all(a <= m for a, m in named if m)

    def turn(self) -> str:
        """The pool that was passed over most, of those that were too often and wait for others, not for themselves."""
        due = [
            (-self.passed[pool], rows[0].ready_at, pool)
            for pool, rows in self.waiting.items()
            if rows
            and self.passed[pool] >= capacity.PATIENCE
            and has_room(rows[0].amount.vector(), self.own_room(pool))
        ]
        return min(due)[2] if due else ""

    def gathered(self, row: Row) -> bool:
        """Spells of 1, 2, 4 … half hours, of which the first, the third … are the run's."""
        end, length, mine = row.ready_at + SPELL_MS, SPELL_MS, True
        while self.now >= end:
            length, mine = 2 * length, not mine
            end += length
        return mine

    def next(self) -> tuple[str, int] | None:
        """Who is granted now, as a pool and a place in what waits in it."""
        free, turn = self.free(), self.turn()
        if turn and has_room(self.waiting[turn][0].amount.vector(), free):
            return turn, 0
        others = minus(free, self.waiting[turn][0].amount.vector()) if turn else free
        others = others if turn and self.gathered(self.waiting[turn][0]) else free
        asking = {pool: self.first(pool, free if pool == turn else others) for pool in self.waiting}
        best = min(
            ((self.rank(pool, place), pool, place) for pool, place in asking.items() if self.may(pool, place, free)),
            default=None,
        )
        return (best[1], best[2]) if best else None

    def first(self, pool: str, room: Vector) -> int:
        """The oldest run that fits beside all the older ones; -1 for none."""
        room, older = tuple(map(min, room, self.own_room(pool))), ZERO
        for place, row in enumerate(self.waiting[pool]):
            if has_room(row.amount.vector(), minus(room, older)):
                return place
            older = plus(older, row.amount.vector())
        return -1

    def may(self, pool: str, place: int, free: Vector) -> bool:
        """A surplus leaves what other pools lack of their minimums, where somebody waits whom it would serve."""
        if place < 0 or self.guaranteed(pool, self.waiting[pool][place]):
            return place >= 0
        for other, rows in self.waiting.items():
            if other == pool or not rows or not self.guaranteed(other, rows[0]):
                continue
            if has_room(rows[0].amount.vector(), self.own_room(other)):
                promised = map(min, self.minimum[other], self.maximum[other])
                lacking = (max(0, p - u) for p, u in zip(promised, self.used[other], strict=True))
                free = minus(free, tuple(lacking))
        return has_room(self.waiting[pool][place].amount.vector(), free)

    def rank(self, pool: str, place: int) -> tuple[bool, int, int, int]:
        row = self.waiting[pool][place]
        return not self.guaranteed(pool, row), -self.accounts[pool].priority, row.ready_at, row.run

    def grant(self, pool: str, place: int) -> Row:
        """Carry it out: every oldest run that could have been granted under its own pool's maximum was passed over."""
        for name, rows in self.waiting.items():
            if not rows or (name == pool and place == 0):
                self.passed[name] = 0
            elif has_room(rows[0].amount.vector(), self.own_room(name)):
                self.passed[name] += 1
        row = self.waiting[pool].pop(place)
        self.used[pool] = plus(self.used[pool], row.amount.vector())
        return row


class Tape:
    """What a history is drawn from. At its end all draws are 0."""

    def __init__(self, drawn: bytes) -> None:
        self._drawn: Iterator[int] = iter(drawn)
        self.over = False

    def below(self, number: int) -> int:
        """One of 0 … number - 1."""
        drawn = next(self._drawn, None)
        self.over = self.over or drawn is None
        return (drawn or 0) % number

    def amount(self, cores: int, memory: int, gpus: int, runs: int) -> Amount:
        """An amount below these."""
        return Amount(self.below(cores), self.below(memory), self.below(gpus), self.below(runs))


@dataclass
class Reading:
    """What a worker has read, and is about to write at the version that it read: grants, or (None) a count."""

    version: int
    grants: list[tuple[str, Row]] | None
    after: Ledger


class History:
    """A cluster, its queues, and all who work on it."""

    def __init__(self, drawn: bytes) -> None:
        self.tape = tape = Tape(drawn)
        pools = {pool: PoolAccount(priority=tape.below(3)) for pool in POOLS[: 2 + tape.below(2)]}
        self.ledger = Ledger("c", TOTAL, pools)
        self.queues: dict[str, list[Row]] = {pool: [] for pool in pools}
        self.holds: dict[int, tuple[str, Amount]] = {}
        self.workers: list[Reading] = []
        self.ended: list[int] = []
        self.count = self.now = self.rounds = self.cancelled = 0
        self.outstanding: set[int] = set()
        self.heads: dict[str, tuple[int, int, int]] = {}
        self.leaps = tape.below(4) == 3
        """Whether time leaps: then what is gathered for a turn is given to others in between, and no bound is kept."""
        self.mood = MOODS[tape.below(len(MOODS))]

    def play(self) -> None:
        """The whole history; then no more arrivals, and everybody runs and ends."""
        while not self.tape.over:
            self.mood[self.tape.below(len(self.mood))](self)
            self.check()
        self.workers.clear()
        self.now += 10
        for pool in self.queues:
            self.set(pool, maximum=EVERYTHING, application=EVERYTHING)
        self.limit_total(TOTAL)
        self.dispatch()
        while self.holds:
            self.end(*self.holds)
            self.dispatch()
            self.check()
        assert not any(self.queues.values()), "somebody was never granted"
        assert self.ledger.used() == NOTHING

    # What happens.

    def somebody_submits(self) -> None:
        """Small, large, or one without a driver of its own, which asks for nothing."""
        kind, delay = self.tape.below(9), max(0, self.tape.below(8) - 4)
        amount = self.tape.amount(*((10, 10, 3, 1) if kind > 5 else (4, 4, 2, 1)))
        self.submit(self.pool(), replace(amount, runs=1) if kind else NOTHING, delay)
        self.dispatch()

    def many_submit(self) -> None:
        """Nobody rings for them."""
        pool, amount = self.pool(), replace(self.tape.amount(4, 4, 2, 1), runs=1)
        for _ in range(1 + self.tape.below(4)):
            self.submit(pool, amount)

    def a_run_ends(self) -> None:
        if self.holds:
            self.end(self.one_of(sorted(self.holds)))
            self.dispatch()

    def a_run_ends_and_is_followed_by_its_like(self) -> None:
        for _ in range(1 + self.tape.below(4)):
            if self.holds:
                run = self.one_of(sorted(self.holds))
                self.submit(*self.holds[run])
                self.end(run)
                self.dispatch()

    def a_run_ends_and_the_ring_is_lost(self) -> None:
        if self.holds:
            self.end(self.one_of(sorted(self.holds)))

    def an_end_is_told_again(self) -> None:
        if self.ended:
            self.end(self.one_of(self.ended))

    def a_round_passes(self) -> None:
        """Of a pool and those who are followed by their like, or of all."""
        again = self.tape.below(3)
        for run in sorted(self.outstanding):
            pool, amount = self.holds[run]
            if again:
                self.submit(pool, amount)
            self.end(run)
            self.dispatch()

    def somebody_cancels(self) -> None:
        pool = self.pool()
        if self.queues[pool]:
            row = self.one_of(self.queues[pool])
            self.cancelled += row.run in {run for run, _, _ in self.heads.values()}
            self.queues[pool].remove(row)

    def a_limit_changes(self) -> None:
        maximum = self.tape.amount(11, 11, 4, 6) if self.tape.below(4) else EVERYTHING
        application = self.tape.amount(11, 11, 4, 1) if self.tape.below(4) == 1 else EVERYTHING
        self.set(self.pool(), maximum=maximum, application=replace(application, runs=1))
        self.dispatch()

    def the_total_changes(self) -> None:
        self.limit_total(self.tape.amount(10, 10, 3, 7) if self.tape.below(3) else TOTAL)
        self.dispatch()

    def a_claim_changes(self) -> None:
        minimum = self.tape.amount(7, 7, 3, 4) if self.tape.below(4) else NOTHING
        self.set(self.pool(), minimum=minimum, priority=self.tape.below(4))
        self.dispatch()

    def a_worker_reads(self) -> None:
        self.workers.append(self.read(1 + self.tape.below(3)))

    def the_sweep_begins_to_count(self) -> None:
        """It reads the ledger, then the holds; what comes between makes its write fail."""
        pools = {pool: replace(account, used=self.held(pool)) for pool, account in self.ledger.pools.items()}
        self.workers.append(Reading(self.ledger.version, None, replace(self.ledger, pools=pools)))

    def a_worker_writes(self) -> None:
        if self.workers:
            self.write(self.workers.pop(self.tape.below(len(self.workers))))

    def a_worker_is_killed(self) -> None:
        if self.workers:
            self.workers.pop(self.tape.below(len(self.workers)))

    def time_passes(self) -> None:
        self.now += SPELL_MS * (1 + self.tape.below(5)) if self.leaps else self.tape.below(9)
        self.dispatch()

    def somebody_rings(self) -> None:
        self.dispatch()

    # How it is done.

    def one_of(self, choices: Sequence[Row | int]) -> Row | int:
        return choices[self.tape.below(len(choices))]

    def pool(self) -> str:
        return list(self.queues)[self.tape.below(len(self.queues))]

    def submit(self, pool: str, amount: Amount, delay: int = 0) -> None:
        self.count += 1
        self.now += 1
        self.queues[pool].append(Row(self.count, self.now + delay, amount))
        self.queues[pool].sort(key=lambda row: (row.ready_at, row.run))

    def set(self, pool: str, **changes: object) -> None:
        account = replace(self.ledger.pools[pool], **changes)
        self.wrote(replace(self.ledger, pools={**self.ledger.pools, pool: account}))
        if {"maximum", "application"} & set(changes):
            self.heads.clear()  # under other limits it is another promise

    def limit_total(self, total: Amount) -> None:
        self.wrote(replace(self.ledger, total=total))
        self.heads.clear()

    def wrote(self, ledger: Ledger) -> None:
        self.ledger = replace(ledger, version=self.ledger.version + 1)

    def held(self, pool: str) -> Amount:
        return sum((amount for name, amount in self.holds.values() if name == pool), NOTHING)

    def end(self, *runs: int) -> None:
        """A hold can be deleted once, and its amount is given back with it."""
        for run in runs:
            if run in self.holds:
                pool, amount = self.holds.pop(run)
                self.wrote(self.ledger.hold(pool, NOTHING - amount))
                self.outstanding.discard(run)
                self.ended.append(run)

    def ready(self) -> dict[str, list[Row]]:
        """The heads of the queues: of each pool the first who are ready, and among them those who are too large."""
        ready: dict[str, list[Row]] = {pool: [] for pool in self.queues}
        for pool, rows in self.queues.items():
            possible = 0
            for row in rows:
                if row.ready_at > self.now or possible == SEEN:
                    break
                ready[pool].append(row)
                possible += possible_in(self.ledger, pool, row)
        return ready

    def read(self, most: int) -> Reading:
        """What a worker would write, which is what the rule says."""
        queues = self.ready()
        grants, after = plan(self.ledger, queues, most, self.now)
        rule, granted = Rule(self.ledger, queues, self.now), []
        for row in grants:
            chosen = rule.next()
            assert chosen is not None, f"{row} was granted, and nobody should be"
            assert rule.grant(*chosen) == row, f"{row} was granted, and another should be"
            granted.append((chosen[0], row))
        assert len(grants) == most or rule.next() is None, "somebody should be granted, and nobody was"
        for pool, account in after.pools.items():
            assert (account.used.vector(), account.passed) == (rule.used[pool], rule.passed[pool])
        return Reading(self.ledger.version, granted, after)

    def write(self, reading: Reading) -> bool:
        """One transaction, at the version that was read; False when somebody was quicker."""
        if reading.version != self.ledger.version:
            return False
        if reading.grants is None:
            assert reading.after == self.ledger, "the count differs from the ledger"
            return True
        if any(row not in self.queues[pool] for pool, row in reading.grants):
            return False
        for pool, row in reading.grants:
            self.queues[pool].remove(row)
            self.holds[row.run] = (pool, row.amount)
        self.check_limits(reading)
        self.wrote(reading.after)
        return True

    def dispatch(self) -> None:
        """What a ring does: plan and carry out, until there is nothing more to grant. A round is then over if all who
        held capacity when it began have ended."""
        while (reading := self.read(3)).grants:
            assert self.write(reading)
        if not self.outstanding:
            self.rounds += 1
            self.outstanding = set(self.holds)
        self.look_at_heads()

    # What must hold.

    def check_limits(self, reading: Reading) -> None:
        """Of what was given, no pool and not the cluster holds more than its limit, and no run more than it may."""
        given = ZERO
        for pool, row in reading.grants or ():
            given = plus(given, row.amount.vector())
            account = reading.after.pools[pool]
            assert row.ready_at <= self.now and has_room(row.amount.vector(), account.application.vector())
            assert within(row.amount.vector(), account.used.vector(), account.maximum.vector()), f"{pool} has too much"
        assert within(given, reading.after.used().vector(), self.ledger.total.vector()), "the cluster has too much"

    def check(self) -> None:
        """The ledger is what the holds add up to, and nothing in it is negative."""
        for pool, account in self.ledger.pools.items():
            assert account.used == self.held(pool)
            assert min(account.used.vector()) >= 0 <= account.passed

    def look_at_heads(self) -> None:
        """The oldest run of each pool waits for a number of rounds: see `bound`."""
        possible = {
            p: [row.run for row in rows if possible_in(self.ledger, p, row)] for p, rows in self.ready().items()
        }
        heads = {pool: runs[0] for pool, runs in possible.items() if runs}
        for pool in self.queues:
            run, since, cancelled = self.heads.get(pool, (0, 0, 0))
            if pool not in heads:
                self.heads.pop(pool, None)
            elif heads[pool] != run:
                self.heads[pool] = heads[pool], self.rounds + 1, self.cancelled
            elif not self.leaps:
                most = bound(len(self.queues)) + 2 * (self.cancelled - cancelled)
                assert self.rounds - since < most, f"run {run} of {pool} has waited for {self.rounds - since} rounds"


def bound(pools: int) -> int:
    """In how many rounds the oldest run of a pool is granted, if limits stay: docs/decisions/capacity.md."""
    return capacity.PATIENCE + 2 * pools


Happens = Callable[[History], None]
H = History
CALM: Sequence[Happens] = (
    H.a_round_passes, H.a_round_passes, H.a_run_ends_and_is_followed_by_its_like, H.somebody_submits, H.many_submit,
    H.a_claim_changes, H.a_run_ends_and_the_ring_is_lost,
)  # fmt: skip
BUSY: Sequence[Happens] = (
    H.somebody_submits, H.many_submit, H.a_run_ends, H.somebody_cancels, H.a_claim_changes, H.time_passes,
    H.a_round_passes, H.a_run_ends_and_is_followed_by_its_like, H.a_limit_changes, H.the_total_changes,
)  # fmt: skip
WILD: Sequence[Happens] = (
    H.many_submit, H.a_worker_reads, H.a_worker_reads, H.a_worker_writes, H.a_worker_writes, H.a_worker_is_killed,
    H.the_sweep_begins_to_count, H.a_run_ends_and_the_ring_is_lost, H.an_end_is_told_again, H.somebody_cancels,
    H.a_limit_changes, H.a_claim_changes, H.somebody_rings, H.somebody_submits, H.time_passes, H.the_total_changes,
)  # fmt: skip
MOODS: Sequence[Sequence[Happens]] = (CALM, CALM, BUSY, WILD)


@pytest.mark.parametrize("patience", [2, 5])
@settings(max_examples=HISTORIES // 2, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(drawn=st.binary(min_size=BYTES // 2, max_size=BYTES))
def test_no_history_exceeds_a_limit_leaves_the_rule_or_starves_a_run(patience: int, drawn: bytes) -> None:
    with mock.patch.object(capacity, "PATIENCE", patience):
        History(drawn).play()
