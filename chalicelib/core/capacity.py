"""Capacity as numbers: amounts, the ledger of a cluster, and the pure plan that decides who is granted next.

The ledger is one record per virtual cluster. `plan` is the whole policy: minimums before surplus, then priority, then
age; never above a pool's maximum or the cluster's total. Dimensions are independent: a run is measured only in those
that it asks something of. A run that its pool could never hold (`Ledger.ceiling`) is passed over.

*Nobody waits for ever.* Within a pool the oldest goes first; a younger run goes before it only with what the older one
leaves over, in every dimension. The ledger counts how many grants have gone to other runs while a pool's oldest run had
room under its pool's own maximum (`PoolAccount.passed`). When PATIENCE grants have passed it, it is that pool's turn,
the most passed first: its oldest run goes before minimums and priorities, and until it fits, nobody else is given any
of what it needs. So a pool's oldest run waits for PATIENCE grants to others at most, then for one turn of each other
pool at most, and a turn lasts no longer than the runs that hold capacity when it begins; whatever arrives meanwhile.
The least urgent pool is thereby given one grant in PATIENCE or so, and a large run, on its turn, leaves idle what is
gathered for it. The rule counts grants, not minutes: a backlog of hours leaves priorities in force. A grant to a
younger run of its own pool counts as all others do: else another pool, by whose oldest run it went as well, could be
the most passed over again and again.

What holds capacity may never end (a stream, say), and a run that waits for it must not make all others wait. So what a
run needs is kept for it only by spells, of which each lasts twice as long as the one before and every other one is that
of the others: its first half hour, then 2 hours after 1 without, then 8 after 4. Whatever ends at all ends within one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Protocol, TypeVar

UNLIMITED = 1 << 50

PATIENCE = 20
"""Grants that may go to other runs while a pool's oldest run could have been granted under its pool's maximum."""


SPELL_MS = 1_800_000
"""How long a run that waits is first gathered for, from the instant since which it waits."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A vector of capacity: millicores, MiB, GPUs and concurrent runs."""

    cores: int = 0
    memory: int = 0
    gpus: int = 0
    runs: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.cores + other.cores, self.memory + other.memory, self.gpus + other.gpus, self.runs + other.runs
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.cores - other.cores, self.memory - other.memory, self.gpus - other.gpus, self.runs - other.runs
        )

    def fits(self, room: Amount) -> bool:
        """Whether there is room for it in every dimension that it asks something of."""
        return (
            (self.cores <= 0 or self.cores <= room.cores)
            and (self.memory <= 0 or self.memory <= room.memory)
            and (self.gpus <= 0 or self.gpus <= room.gpus)
            and (self.runs <= 0 or self.runs <= room.runs)
        )

    def least(self, other: Amount) -> Amount:
        """The smaller of both, dimension by dimension."""
        return Amount(
            min(self.cores, other.cores),
            min(self.memory, other.memory),
            min(self.gpus, other.gpus),
            min(self.runs, other.runs),
        )

    def vector(self) -> tuple[int, int, int, int]:
        """The dimensions in their fixed order."""
        return self.cores, self.memory, self.gpus, self.runs


DIMENSIONS = tuple(f.name for f in fields(Amount))
NOTHING = Amount()
EVERYTHING = Amount(UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED)


@dataclass(frozen=True, slots=True)
class PoolAccount:
    """One pool in the ledger: its limits, its priority (higher first) and what its runs hold.

    `application` is the most that one run may ask. A `minimum` guarantees the dimensions in which it is not 0.
    `passed` counts the grants that went to other runs while this one's oldest run had room under `maximum`.
    """

    maximum: Amount = EVERYTHING
    minimum: Amount = NOTHING
    priority: int = 0
    used: Amount = NOTHING
    application: Amount = EVERYTHING
    passed: int = 0

    @property
    def room(self) -> Amount:
        """What the pool's own maximum leaves."""
        return self.maximum - self.used

    def within_minimum(self, amount: Amount) -> bool:
        """Whether the pool, with this more, holds no more than it is guaranteed, of what the run asks and it is
        guaranteed."""
        told = [
            u + a <= m
            for a, u, m in zip(amount.vector(), self.used.vector(), self.minimum.vector(), strict=True)
            if a and m
        ]
        return bool(told) and all(told)

    def owed(self) -> Amount:
        """What the pool does not hold of its minimum."""
        short = (self.minimum.least(self.maximum) - self.used).vector()
        return Amount(*(max(0, amount) for amount in short))


@dataclass(frozen=True, slots=True)
class Ledger:
    """All capacity of one virtual cluster. Pools are keyed `<workspace>/<pool>`."""

    cluster: str
    total: Amount = EVERYTHING
    pools: Mapping[str, PoolAccount] = field(default_factory=dict)
    version: int = 0

    def used(self) -> Amount:
        """What all pools hold together."""
        return sum((account.used for account in self.pools.values()), NOTHING)

    def free(self) -> Amount:
        """What no pool holds. Negative where the total was lowered below what is held."""
        return self.total - self.used()

    def ceiling(self, pool: str) -> Amount:
        """The most that one run of the pool could ever be granted."""
        account = self.pools.get(pool, PoolAccount(maximum=NOTHING))
        return account.maximum.least(account.application).least(self.total)

    def hold(self, pool: str, amount: Amount) -> Ledger:
        """The ledger after `amount` is granted to the pool (give it negated to release)."""
        account = self.pools[pool]
        return replace(self, pools={**self.pools, pool: replace(account, used=account.used + amount)})


def pool_key(workspace: str, pool: str) -> str:
    """The ledger's key for a workspace's pool."""
    return f"{workspace}/{pool}"


class Row(Protocol):
    """What the plan needs to know of a run that waits: a QueueRow has it."""

    @property
    def run(self) -> int: ...
    @property
    def ready_at(self) -> int: ...
    @property
    def amount(self) -> Amount: ...


R = TypeVar("R", bound=Row)


def plan(ledger: Ledger, queues: Mapping[str, Sequence[R]], most: int, now: int = 0) -> tuple[list[R], Ledger]:
    """Decide who is granted: at most `most` of the waiting runs, and the ledger that holds them.

    `queues` maps a pool's key to its queue's head, oldest first; a pool that the ledger does not know gets nothing.
    `now` is in the unit of `ready_at`, milliseconds.
    """
    waiting = _possible(ledger, queues)
    passed = _passed(ledger)
    grants: list[R] = []
    while len(grants) < most:
        waiting = {pool: rows for pool, rows in waiting.items() if rows}
        chosen = _next(ledger, waiting, passed, now)
        if chosen is None:
            break
        pool, place = chosen
        passed = _passing(ledger, waiting, passed, pool, place)
        grants.append(waiting[pool].pop(place))
        ledger = ledger.hold(pool, grants[-1].amount)
    return grants, _counted(ledger, passed)


def _passed(ledger: Ledger) -> Mapping[str, int]:
    return {pool: account.passed for pool, account in ledger.pools.items()}


def _counted(ledger: Ledger, passed: Mapping[str, int]) -> Ledger:
    """The ledger with what was counted in the course of a plan."""
    changed = {
        pool: replace(account, passed=passed[pool])
        for pool, account in ledger.pools.items()
        if account.passed != passed[pool]
    }
    return replace(ledger, pools={**ledger.pools, **changed}) if changed else ledger


def _possible(ledger: Ledger, queues: Mapping[str, Sequence[R]]) -> dict[str, list[R]]:
    """The queues of the pools that the ledger knows, without the runs that their pool could never hold."""
    ceilings = {pool: ledger.ceiling(pool) for pool in queues if pool in ledger.pools}
    return {pool: [row for row in queues[pool] if row.amount.fits(most)] for pool, most in ceilings.items()}


def gathered_until(ledger: Ledger, queues: Mapping[str, Sequence[Row]], now: int) -> int:
    """The instant at which what is kept for the run whose turn it is goes to others again; 0 when nothing is kept."""
    waiting = {pool: rows for pool, rows in _possible(ledger, queues).items() if rows}
    turn = _turn(ledger, waiting, _passed(ledger))
    return _spell_end(waiting[turn][0], now) if turn else 0


def _spell_end(row: Row, now: int) -> int:
    """When the spell ends in which a run is gathered for; 0 in the spells between. Spell n begins after 2^n - 1 of the
    first one's length, and the even ones are the run's."""
    number = (max(0, now - row.ready_at) // SPELL_MS + 1).bit_length() - 1
    return 0 if number % 2 else row.ready_at + (2 ** (number + 1) - 1) * SPELL_MS


def _next(
    ledger: Ledger, waiting: Mapping[str, Sequence[Row]], passed: Mapping[str, int], now: int
) -> tuple[str, int] | None:
    """Who is granted next, as a pool and a place in its queue: the pool whose turn it is, one below its minimum, then
    by priority, then by age."""
    free = ledger.free()
    turn = _turn(ledger, waiting, passed)
    if turn and waiting[turn][0].amount.fits(free):
        return turn, 0
    kept = waiting[turn][0].amount if turn and _spell_end(waiting[turn][0], now) else NOTHING
    first: dict[str, int] = {}
    for pool, rows in waiting.items():
        room = ledger.pools[pool].room.least(free if pool == turn else free - kept)
        place = _first_that_fits(rows, room)
        if place is not None:
            first[pool] = place

    def rank(pool: str) -> tuple[bool, int, int, int]:
        account, row = ledger.pools[pool], waiting[pool][first[pool]]
        return not account.within_minimum(row.amount), -account.priority, row.ready_at, row.run

    heads = {pool: rows[0] for pool, rows in waiting.items()}
    asking = {pool: waiting[pool][place] for pool, place in first.items()}
    best = min(_reserving(ledger, asking, heads, free), key=rank, default=None)
    return (best, first[best]) if best else None


def _turn(ledger: Ledger, waiting: Mapping[str, Sequence[Row]], passed: Mapping[str, int]) -> str:
    """The pool whose oldest run has been passed over for too long, the longest first; empty for none. One that waits
    for its own pool's maximum waits for nobody else."""
    due = [
        pool
        for pool, rows in waiting.items()
        if passed[pool] >= PATIENCE and rows[0].amount.fits(ledger.pools[pool].room)
    ]
    return min(due, key=lambda pool: (-passed[pool], waiting[pool][0].ready_at, pool), default="")


def _first_that_fits(rows: Sequence[Row], room: Amount) -> int | None:
    """The place of the oldest run that fits into the room that is left when all the older ones have theirs."""
    for place, row in enumerate(rows):
        if row.amount.fits(room):
            return place
        room = room - row.amount
    return None


def _passing(
    ledger: Ledger, waiting: Mapping[str, Sequence[Row]], passed: Mapping[str, int], granted: str, place: int
) -> Mapping[str, int]:
    """`passed` with a grant counted against the pools whose oldest run it passes over: its own among them, when it is a
    younger run's. A pool whose oldest run is granted, or that has nobody waiting, begins anew."""
    return {
        pool: passed[pool] + waiting[pool][0].amount.fits(account.room)
        if pool in waiting and (pool != granted or place)
        else 0
        for pool, account in ledger.pools.items()
    }


def _reserving(ledger: Ledger, asking: Mapping[str, Row], heads: Mapping[str, Row], free: Amount) -> Iterable[str]:
    """The pools whose run leaves room for the unused minimums of other pools that have somebody waiting whom the
    minimum would serve. (Room kept for a run larger than its pool's minimum serves nobody, and two such pools would
    wait for each other for ever.)"""
    owed = {
        pool: ledger.pools[pool].owed()
        for pool, head in heads.items()
        if ledger.pools[pool].within_minimum(head.amount) and head.amount.fits(ledger.pools[pool].room)
    }
    everybody = sum(owed.values(), NOTHING)
    for pool, row in asking.items():
        others = everybody - owed.get(pool, NOTHING)
        if ledger.pools[pool].within_minimum(row.amount) or row.amount.fits(free - others):
            yield pool


def in_words(dimension: str, value: int) -> str:
    """An amount of one dimension for a person: `2 cores`, `1.5 GiB of memory`, `1 GPU`, `3 runs`."""
    value = max(0, value)
    number = f"{value / _UNITS.get(dimension, 1):g}"
    return f"{number} {_NAMES[dimension] if number != '1' else _NAMES[dimension].removesuffix('s')}"


_UNITS = {"cores": 1000, "memory": 1024}
_NAMES = {"cores": "cores", "memory": "GiB of memory", "gpus": "GPUs", "runs": "runs"}
