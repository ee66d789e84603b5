"""Granting capacity. Rung by the table's stream and by timers; safe to ring at any time, from anywhere, twice.

A ring for which there is nothing to do costs one read of the ledger, and one query for each queue that is not empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chalicelib.core import transitions
from chalicelib.core.capacity import NOTHING, Ledger, gathered_until, plan, pool_key
from chalicelib.core.errors import Conflict
from chalicelib.core.model import Hold, QueueRow, Run
from chalicelib.core.states import RunState
from chalicelib.ports import Change, Clash, Delete, Ports, Put, beyond, key, queues_of
from chalicelib.services.submission import ATTEMPTS

GRANTS_AT_ONCE = 30
"""A grant is three writes of a transaction, which holds a hundred."""

HEADS = 50

SKEW_MS = 1000
"""A run may start so much before its instant: the clock that rang may be ahead of this one, and rings only once."""


def dispatch(ports: Ports, cluster: str) -> list[Run]:
    """Grant all that can be granted now, and ring again for what becomes ready later. Returns the runs granted."""
    granted: list[Run] = []
    clashes = 0
    while clashes < ATTEMPTS:
        ledger_key = key(Ledger, cluster)
        ledger: Ledger | None = ports.store.fetch([ledger_key]).get(ledger_key)
        if ledger is None:
            return granted
        now, queues = ports.clock.now() + SKEW_MS, _queues(ports, ledger)
        rows, after = plan(ledger, queues, GRANTS_AT_ONCE, now)
        if not rows:
            if until := gathered_until(ledger, queues, now):
                ports.timers.ring(cluster, until)
            return granted
        try:
            granted += _commit(ports, rows, after)
        except Clash:
            clashes += 1
            ports.clock.pause(clashes)
    raise Conflict("The ledger is being changed by too many at once.")


def _queues(ports: Ports, ledger: Ledger) -> dict[str, list[QueueRow]]:
    """The runs of each pool that may start now, oldest first; sees to it that the next one rings when it may. Of a pool
    at least HEADS are read, if there are so many: those that are parked because their pool could never hold them do not
    count, however many there are. Pools without a queue cost nothing."""
    ready, after = ports.clock.now() + SKEW_MS, ""
    queues: dict[str, list[QueueRow]] = {}
    later: list[int] = []
    while True:
        page = ports.store.page(queues_of(ledger.cluster), limit=HEADS, after=after, newest_first=False)
        for row in page.records:
            name = pool_key(row.workspace, row.pool)
            if row.ready_at > ready:
                later.append(row.ready_at)
            elif row.amount.fits(ledger.ceiling(name)):
                queues.setdefault(name, []).append(row)
        if not page.next:
            break
        last = page.records[-1]
        seen = len(queues.get(pool_key(last.workspace, last.pool), ()))
        after = beyond(last) if seen >= HEADS or last.ready_at > ready else page.next
    if later:
        ports.timers.ring(ledger.cluster, min(later))
    return queues


def _commit(ports: Ports, rows: Sequence[QueueRow], ledger: Ledger) -> list[Run]:
    """Write a plan: the ledger at its version, and for each run its state, its hold, and its place in the queue."""
    now = ports.clock.now()
    runs = ports.store.fetch([key(Run, row.workspace, row.run) for row in rows])
    changes: list[Change] = [Put(ledger)]
    granted: list[Run] = []
    for row in rows:
        run: Run | None = runs.get(key(Run, row.workspace, row.run))
        changes.append(Delete(row))
        if run is None or run.state is not RunState.QUEUED:
            ledger = ledger.hold(pool_key(row.workspace, row.pool), NOTHING - row.amount)
            changes[0] = Put(ledger)
            continue  # its row was left behind; it goes, and nothing is held for it
        run = transitions.grant(run, now)
        changes += [Put(run), Put(Hold(row.cluster, row.workspace, row.run, row.pool, row.amount))]
        granted.append(replace(run, version=run.version + 1))
    ports.store.commit(changes)
    return granted
