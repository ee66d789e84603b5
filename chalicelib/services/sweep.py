"""Repairs. Everything in Sparkplane is rung by somebody; the sweep finds what nobody rang for. Safe at any time.

It runs at start and hourly while runs are live, and arms itself. It looks for granted runs without an execution,
drivers that no run owns, a ledger that does not add up, fires of schedules that were lost or missed, runs that last too
long, notices whose delivery died, and queues that nobody looks at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chalicelib.core import transitions
from chalicelib.core.capacity import NOTHING, Amount, Ledger, pool_key
from chalicelib.core.errors import Conflict
from chalicelib.core.ids import parse_external_name
from chalicelib.core.model import Hold, Pool, Run
from chalicelib.core.states import Intent
from chalicelib.ports import Clash, Delete, Ports, Put, Release, holds_of, key
from chalicelib.services import limits, notices
from chalicelib.services.dispatch import dispatch
from chalicelib.services.listings import pages
from chalicelib.services.runs import cancel, edit_run
from chalicelib.services.schedules import recover
from chalicelib.services.submission import ATTEMPTS


@dataclass(frozen=True, slots=True)
class Drift:
    """A pool whose account did not add up: what the ledger said that its runs hold, and what they do hold."""

    pool: str
    recorded: Amount
    held: Amount


@dataclass(frozen=True, slots=True)
class Repairs:
    """What a sweep mended, for the log and for alarms."""

    restarted: int = 0
    strays: int = 0
    drifts: tuple[Drift, ...] = ()
    missed: int = 0
    live: int = 0
    notices: int = 0


def sweep(ports: Ports, cluster: str) -> Repairs:
    """Look at everything that is live in a cluster, and mend what is amiss."""
    drifts = _recount(ports, cluster)
    holds = _holds(ports, cluster)
    restarted = sum(_adopt(ports, hold) for hold in holds)
    strays = _stop_strays(ports, cluster)
    missed = recover(ports, cluster)
    notices.recall(ports, holds)
    undelivered = notices.recover(ports, cluster)
    limits.recount(ports, cluster)
    dispatch(ports, cluster)
    return Repairs(restarted, strays, drifts, missed, len(holds), undelivered)


def _holds(ports: Ports, cluster: str) -> list[Hold]:
    return [hold for page in pages(ports, holds_of(cluster), size=500) for hold in page]


def _adopt(ports: Ports, hold: Hold) -> int:
    """Give a run without a living execution a new generation and a new execution."""
    run_key = key(Run, hold.workspace, hold.run)
    run: Run | None = ports.store.fetch([run_key]).get(run_key)
    if run is None or not run.holding:
        _drop(ports, hold)
        return 1
    stray = _orphaned(ports, run)
    if ports.workflows.alive(run):
        return stray

    def raised(r: Run) -> Run | None:
        return transitions.regenerate(r) if r.generation == run.generation and r.holding else None

    found = edit_run(ports, run.workspace, run.id, raised)
    if found and found.generation == run.generation + 1:
        ports.workflows.start(found)
        return 1
    return 0


def _orphaned(ports: Ports, run: Run) -> int:
    """Ask a run to end whose parent has ended without it."""
    parent_key = key(Run, run.workspace, run.parent)
    parent: Run | None = ports.store.fetch([parent_key]).get(parent_key) if run.parent else None
    if parent is None or not parent.ended or run.intent is not Intent.NONE:
        return 0
    cancel(ports, run, Intent.CANCEL)
    return 1


def _drop(ports: Ports, hold: Hold) -> None:
    """Remove a hold whose run has ended or is gone, and give back its capacity."""
    try:
        ports.store.commit([Delete(hold), Release(hold.cluster, pool_key(hold.workspace, hold.pool), hold.amount)])
    except Clash:
        return  # somebody else released it meanwhile


def _clusters(ports: Ports, cluster: str) -> set[str]:
    """The virtual clusters that pools name for themselves."""
    ledger: Ledger | None = ports.store.fetch([key(Ledger, cluster)]).get(key(Ledger, cluster))
    pools = [key(Pool, *name.partition("/")[::2]) for name in ledger.pools] if ledger else []
    found = ports.store.fetch(pools) if pools else {}
    return {pool.placement.virtual_cluster for pool in found.values() if pool.placement.virtual_cluster}


def _stop_strays(ports: Ports, cluster: str) -> int:
    """Stop drivers whose run has ended, or is unknown. A driver with a foreign name is not ours to judge."""
    strays = 0
    for job in ports.engine.live(_clusters(ports, cluster)):
        name = parse_external_name(job.name)
        if name is None:
            continue
        run: Run | None = ports.store.fetch([key(Run, *name)]).get(key(Run, *name))
        if run is None or run.ended or (run.engine_id and run.engine_id != job.id):
            ports.engine.cancel(job.id)
            strays += 1
    return strays


def _recount(ports: Ports, cluster: str) -> tuple[Drift, ...]:
    """Make the ledger's usage what the holds add up to; returns where it was not. The ledger is read first and written
    at its version, so a grant or a release in between makes the write fail, and all is counted again."""
    ledger_key = key(Ledger, cluster)
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        ledger: Ledger | None = ports.store.fetch([ledger_key]).get(ledger_key)
        if ledger is None:
            return ()
        drifts = _drifts(ledger, _holds(ports, cluster))
        if not drifts:
            return ()
        counted = {drift.pool: replace(ledger.pools[drift.pool], used=drift.held) for drift in drifts}
        try:
            ports.store.commit([Put(replace(ledger, pools={**ledger.pools, **counted}))])
            return drifts
        except Clash:
            continue
    raise Conflict("The ledger is being changed by too many at once.")


def _drifts(ledger: Ledger, holds: Sequence[Hold]) -> tuple[Drift, ...]:
    held: dict[str, Amount] = {}
    for hold in holds:
        pool = pool_key(hold.workspace, hold.pool)
        held[pool] = held.get(pool, NOTHING) + hold.amount
    return tuple(
        Drift(pool, account.used, held.get(pool, NOTHING))
        for pool, account in ledger.pools.items()
        if account.used != held.get(pool, NOTHING)
    )
