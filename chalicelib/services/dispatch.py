"""Granting capacity. Rung by the table's stream and by timers; safe to ring at any time, from anywhere, twice.

A ring for which there is nothing to do costs one read of the ledger and one of each queue's head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chalicelib.core import transitions
from chalicelib.core.capacity import NOTHING, Ledger, plan, pool_key
from chalicelib.core.errors import Conflict
from chalicelib.core.model import Hold, QueueRow, Run
from chalicelib.core.states import RunState
from chalicelib.ports import Change, Clash, Delete, Ports, Put, key, queue_of
from chalicelib.services.submission import ATTEMPTS

GRANTS_AT_ONCE = 30
"""A grant is three writes of a transaction, which holds a hundred."""

HEADS = 50


def dispatch(ports: Ports, cluster: str) -> list[Run]:
    """Grant all that can be granted now, and ring again for what becomes ready later. Returns the runs granted."""
    granted: list[Run] = []
    clashes = 0
    while clashes < ATTEMPTS:
        ledger_key = key(Ledger, cluster)
        ledger: Ledger | None = ports.store.fetch([ledger_key]).get(ledger_key)
        if ledger is None:
            return granted
        queues = {pool: _head(ports, ledger, pool) for pool in ledger.pools}
        rows, after = plan(ledger, queues, GRANTS_AT_ONCE)
        if not rows:
            return granted
        try:
            granted += _commit(ports, rows, after)
        except Clash:
            clashes += 1
            ports.clock.pause(clashes)
    raise Conflict("The ledger is being changed by too many at once.")


def _head(ports: Ports, ledger: Ledger, pool: str) -> Sequence[QueueRow]:
    """The runs of a pool that may start now, oldest first; sees to it that the next one rings when it may. Reads on
    past runs that are parked because their pool could never hold them, however many there are."""
    workspace, _, name = pool.partition("/")
    listing, ceiling, now = queue_of(ledger.cluster, workspace, name), ledger.ceiling(pool), ports.clock.now()
    after = ""
    while True:
        page = ports.store.page(listing, limit=HEADS, after=after, newest_first=False)
        later = [row.ready_at for row in page.records if row.ready_at > now]
        if later:
            ports.timers.ring(ledger.cluster, min(later))
        head = [row for row in page.records if row.ready_at <= now and row.amount.fits(ceiling)]
        after = page.next
        if head or later or not after:
            return head


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
