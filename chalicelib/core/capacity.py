"""Capacity as numbers: amounts, the ledger of a cluster, and the pure plan that decides who is granted next.

The ledger is one record per virtual cluster. `plan` is the whole policy: minimums before surplus, then priority, then
age; never above a pool's maximum or the cluster's total. Within a pool the oldest goes first, and a run that is too
large for what is free now makes the younger ones of its pool wait (so it cannot starve); a run that no capacity of
its pool could ever hold is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Protocol, TypeVar

UNLIMITED = 1 << 50


@dataclass(frozen=True, slots=True)
class Amount:
    """A vector of capacity: millicores, MiB, GPUs and concurrent runs."""

    cores: int = 0
    memory: int = 0
    gpus: int = 0
    runs: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(*(a + b for a, b in zip(self.vector(), other.vector(), strict=True)))

    def __sub__(self, other: Amount) -> Amount:
        return Amount(*(a - b for a, b in zip(self.vector(), other.vector(), strict=True)))

    def fits(self, limit: Amount) -> bool:
        """Whether no dimension is above `limit`."""
        return all(a <= b for a, b in zip(self.vector(), limit.vector(), strict=True))

    def vector(self) -> tuple[int, int, int, int]:
        """The dimensions in their fixed order."""
        return self.cores, self.memory, self.gpus, self.runs


DIMENSIONS = tuple(f.name for f in fields(Amount))
NOTHING = Amount()
EVERYTHING = Amount(UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED)


@dataclass(frozen=True, slots=True)
class PoolAccount:
    """One pool in the ledger: its limits, its priority (higher first) and what its runs hold."""

    maximum: Amount = EVERYTHING
    minimum: Amount = NOTHING
    priority: int = 0
    used: Amount = NOTHING


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

    def ceiling(self, pool: str) -> Amount:
        """The most that one run of the pool could ever be granted."""
        account = self.pools.get(pool, PoolAccount(maximum=NOTHING))
        return Amount(*map(min, account.maximum.vector(), self.total.vector()))

    def hold(self, pool: str, amount: Amount) -> Ledger:
        """The ledger after `amount` is granted to the pool (give it negated to release)."""
        account = self.pools[pool]
        return replace(self, pools={**self.pools, pool: replace(account, used=account.used + amount)})


def pool_key(workspace: str, pool: str) -> str:
    """The ledger's key for a workspace's pool."""
    return f"{workspace}/{pool}"


class Waiting(Protocol):
    """What the plan needs to know of a run that waits: a QueueRow has it."""

    @property
    def run(self) -> int: ...
    @property
    def ready_at(self) -> int: ...
    @property
    def amount(self) -> Amount: ...


W = TypeVar("W", bound=Waiting)


def plan(ledger: Ledger, queues: Mapping[str, Sequence[W]], most: int) -> tuple[list[W], Ledger]:
    """Decide who is granted: at most `most` of the waiting runs, and the ledger that holds them.

    `queues` maps a pool's key to its queue's head, oldest first; a pool that the ledger does not know gets nothing.
    """
    waiting = {
        pool: [row for row in rows if row.amount.fits(ledger.ceiling(pool))]
        for pool, rows in queues.items()
        if pool in ledger.pools
    }
    grants: list[W] = []
    while len(grants) < most:
        heads = {pool: rows[0] for pool, rows in waiting.items() if rows}
        pool = _next(ledger, heads)
        if pool is None:
            break
        grants.append(waiting[pool].pop(0))
        ledger = ledger.hold(pool, grants[-1].amount)
    return grants, ledger


def _next(ledger: Ledger, heads: Mapping[str, Waiting]) -> str | None:
    """The pool whose head is granted next: one below its minimum first, then by priority, then by age."""
    free = ledger.total - ledger.used()
    candidates = [
        pool
        for pool, head in heads.items()
        if head.amount.fits(free) and (ledger.pools[pool].used + head.amount).fits(ledger.pools[pool].maximum)
    ]

    def rank(pool: str) -> tuple[bool, int, int, int]:
        account, head = ledger.pools[pool], heads[pool]
        within_minimum = (account.used + head.amount).fits(account.minimum)
        return not within_minimum, -account.priority, head.ready_at, head.run

    return min(_reserving(ledger, candidates, heads, free), key=rank, default=None)


def _reserving(ledger: Ledger, candidates: Iterable[str], heads: Mapping[str, Waiting], free: Amount) -> list[str]:
    """The candidates that leave room for the unused minimums of other pools that have somebody waiting whom the
    minimum would serve. (Room kept for a run larger than its pool's minimum serves nobody, and two such pools would
    wait for each other for ever.)"""

    def reserved_for_others(pool: str) -> Amount:
        owed = NOTHING
        for other, head in heads.items():
            account = ledger.pools[other]
            if other != pool and (account.used + head.amount).fits(account.minimum):
                owed += Amount(
                    *(max(0, m - u) for m, u in zip(account.minimum.vector(), account.used.vector(), strict=True))
                )
        return owed

    return [
        pool
        for pool in candidates
        if (ledger.pools[pool].used + heads[pool].amount).fits(ledger.pools[pool].minimum)
        or heads[pool].amount.fits(free - reserved_for_others(pool))
    ]


def shortage(ledger: Ledger, pool: str, amount: Amount) -> str:
    """Why `amount` is not granted to the pool now, as a sentence with numbers; empty when it would fit."""
    account = ledger.pools.get(pool)
    if account is None:
        return "The pool has no capacity in this cluster."
    room = {
        "pool": account.maximum - account.used,
        "cluster": ledger.total - ledger.used(),
    }
    for owner, free in room.items():
        for dimension in DIMENSIONS:
            need, has = getattr(amount, dimension), getattr(free, dimension)
            if need > has:
                asks, free_now = _words(dimension, need), _words(dimension, has)
                return f"Waiting for capacity: needs {asks}, the {owner} has {free_now} free."
    return ""


def _words(dimension: str, value: int) -> str:
    value = max(0, value)
    if dimension == "cores":
        return f"{value / 1000:g} cores"
    if dimension == "memory":
        return f"{value / 1024:g} GiB of memory"
    return f"{value} {dimension if value != 1 else dimension.removesuffix('s')}"
