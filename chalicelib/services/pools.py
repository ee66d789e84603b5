"""Pools: named capacity. A pool's definition is a record of its own; its limits are rows of the cluster's ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.core.capacity import EVERYTHING, NOTHING, Amount, Ledger, PoolAccount, pool_key
from chalicelib.core.errors import Conflict, Invalid, NotFound
from chalicelib.core.ids import named_id, to_uuid
from chalicelib.core.model import Pool, Run
from chalicelib.core.states import RunState
from chalicelib.core.waiting import Reason, Waiting, explain, too_large
from chalicelib.ports import Change, Clash, Key, Ports, Put, key, position, queue_of
from chalicelib.services.access import Call, read
from chalicelib.services.listings import pages
from chalicelib.services.submission import ATTEMPTS, queue_row

__all__ = [
    "PoolView", "Reason", "Waiting", "check_pool_name", "cluster_total", "ensure_pool", "get_pool", "instance_id",
    "limit_cluster", "list_pools", "pool_keys", "queue_place", "queued",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool with its account in the ledger."""

    pool: Pool
    account: PoolAccount


MAX_NAME = 100


def check_pool_name(name: str, *, what: str = "a pool's", field: str) -> None:
    """Refuse what cannot name a pool: nothing, what cannot be seen, a slash, more than MAX_NAME characters. Raises
    Invalid."""
    if not name.strip() or "/" in name or len(name) > MAX_NAME or not name.isprintable():
        raise Invalid(f"{name!r} cannot be {what} name.", field=field)


def pool_keys(ports: Ports, workspace: str, pool: str) -> list[Key]:
    """What `get_pool` reads: for a dialect's prefetch."""
    return [key(Pool, workspace, pool), key(Ledger, ports.settings.cluster)]


def get_pool(ports: Ports, call: Call, pool: str) -> PoolView:
    """A pool of the caller's workspace. Raises NotFound."""
    keys = pool_keys(ports, call.workspace, pool)
    found = read(ports, call, keys)
    if not isinstance(found.get(keys[0]), Pool):
        raise NotFound("Pool", pool, field="pool")
    ledger = found.get(keys[1])
    account = ledger.pools.get(pool_key(call.workspace, pool)) if ledger else None
    return PoolView(found[keys[0]], account or PoolAccount())


def list_pools(ports: Ports, call: Call) -> list[PoolView]:
    """The pools of the caller's workspace, by name."""
    ledger_key = key(Ledger, ports.settings.cluster)
    ledger: Ledger | None = read(ports, call, [ledger_key]).get(ledger_key)
    accounts = ledger.pools if ledger else {}
    keys = {key(Pool, *name.partition("/")[::2]): name for name in sorted(accounts)}
    mine = {k: name for k, name in keys.items() if k.parts[0] == call.workspace}
    found = ports.store.fetch(list(mine)) if mine else {}
    return [PoolView(found[k], accounts[name]) for k, name in mine.items() if k in found]


def instance_id(ports: Ports, workspace: str, pool: str) -> str:
    """A pool's id as a service's instance: its name's number as a UUID, so no table maps it."""
    return to_uuid(named_id("pool", pool), "pool", workspace, ports.secret())


AHEAD = 500
"""Runs ahead of one in its queue that are looked at."""


def queue_place(ports: Ports, call: Call, run: Run) -> Waiting | None:
    """Where a waiting run stands, and what it waits for; None for a run that does not wait. One query, and one read
    unless the call has the ledger."""
    if run.state is not RunState.QUEUED:
        return None
    ledger_key = key(Ledger, ports.settings.cluster)
    ledger: Ledger = read(ports, call, [ledger_key]).get(ledger_key) or Ledger(ports.settings.cluster)
    row, name = queue_row(ports, run), pool_key(run.workspace, run.spec.pool)
    if never := too_large(ledger, name, row.amount):
        return never
    listing = queue_of(row.cluster, row.workspace, row.pool)
    page = ports.store.page(listing, limit=AHEAD, after=position(listing, row))
    later = row.ready_at if row.ready_at > ports.clock.now() else 0
    return explain(ledger, name, row.amount, page.records[::-1], more=bool(page.next), not_before=later)


def queued(ports: Ports, workspace: str, pool: str) -> Amount:
    """What the runs that wait in a pool ask for together; its `runs` is how many they are. A query per thousand."""
    waiting = pages(ports, queue_of(ports.settings.cluster, workspace, pool), size=1000)
    return sum((row.amount for page in waiting for row in page), NOTHING)


def ensure_pool(
    ports: Ports,
    workspace: str,
    pool: str,
    *,
    maximum: Amount | None = None,
    minimum: Amount | None = None,
    application: Amount | None = None,
    priority: int | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> PoolView:
    """Create a pool, or change what is given of one that exists; running drivers are not touched. The pool's record
    changes with its limits, which is what rings dispatch.

    `defaults` are fields of Pool (`spark_version`, `conf`, `placement`, `facets`).
    """
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        pool_key_, ledger_key = key(Pool, workspace, pool), key(Ledger, ports.settings.cluster)
        found = ports.store.fetch([pool_key_, ledger_key])
        record: Pool = found.get(pool_key_) or Pool(workspace, pool, ports.clock.now())
        now = ports.clock.now()
        ledger: Ledger = found.get(ledger_key) or Ledger(ports.settings.cluster)
        name = pool_key(workspace, pool)
        account = ledger.pools.get(name, PoolAccount())
        account_after = replace(
            account,
            maximum=maximum if maximum is not None else account.maximum,
            minimum=minimum if minimum is not None else account.minimum,
            application=application if application is not None else account.application,
            priority=priority if priority is not None else account.priority,
        )
        record_after = replace(record, **(defaults or {}))
        if record.version and record_after == record and account_after == account and name in ledger.pools:
            return PoolView(record, account)
        changes: list[Change] = [
            Put(replace(record_after, changed_at=now)),
            Put(replace(ledger, pools={**ledger.pools, name: account_after})),
        ]
        try:
            ports.store.commit(changes)
            return PoolView(record_after, account_after)
        except Clash:
            continue
    raise Conflict("The pool is being changed by too many at once; please try again.")


def cluster_total(ports: Ports) -> Amount:
    """What all pools of the cluster together may hold."""
    ledger_key = key(Ledger, ports.settings.cluster)
    ledger: Ledger = ports.store.fetch([ledger_key]).get(ledger_key) or Ledger(ports.settings.cluster)
    return ledger.total


def limit_cluster(ports: Ports, workspace: str, total: Amount = EVERYTHING) -> None:
    """Set what all pools of the cluster together may hold. A pool is marked as changed with it, since that is what
    rings dispatch: the workspace's default one, or where there is none, any other."""
    ledger_key, default_key = key(Ledger, ports.settings.cluster), key(Pool, workspace, "default")
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = ports.store.fetch([ledger_key, default_key])
        ledger: Ledger = found.get(ledger_key) or Ledger(ports.settings.cluster)
        if ledger.total == total and ledger.version:
            return
        marked: Pool | None = found.get(default_key) or _any_pool(ports, ledger)
        changes: list[Change] = [Put(replace(ledger, total=total))]
        if marked:
            changes.append(Put(replace(marked, changed_at=ports.clock.now())))
        try:
            ports.store.commit(changes)
            return
        except Clash:
            continue
    raise Conflict("The ledger is being changed by too many at once; please try again.")


def _any_pool(ports: Ports, ledger: Ledger) -> Pool | None:
    keys = [key(Pool, *name.partition("/")[::2]) for name in sorted(ledger.pools)[:1]]
    return ports.store.fetch(keys).get(keys[0]) if keys else None
