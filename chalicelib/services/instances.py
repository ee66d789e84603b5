"""A pool as one instance of a service: its defaults and its quota, changed by its administrators, and what it uses.

Analytics Engine's words for a pool (seed 002). What is changed here is the pool, so it holds for every dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.core.capacity import UNLIMITED, Amount, Ledger, PoolAccount, pool_key
from chalicelib.core.errors import Conflict, NotFound
from chalicelib.core.model import Pool
from chalicelib.ports import Change, Clash, Ports, Put
from chalicelib.services.access import Call
from chalicelib.services.pools import PoolView, get_pool, pool_keys
from chalicelib.services.submission import ATTEMPTS

FACET = "analytics_engine"
"""What a pool's facets keep for the instance: `quota`, the kind that it has (`v3` unless it says `v4`), and `volumes`,
the names that applications may mount."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an instance is to be: cores in millicores, memory in MiB. None leaves a thing as it is."""

    name: str
    cores: int | None = None
    memory: int | None = None
    spark_version: str | None = None
    conf: Mapping[str, str] | None = None


def apply(ports: Ports, call: Call, wanted: Wanted) -> PoolView:
    """Make an instance, or bring it to what is wanted; what is so already is not written again. Raises Forbidden for
    callers who are no administrators."""

    def change(view: PoolView) -> PoolView:
        limits = {"cores": wanted.cores, "memory": wanted.memory}
        defaults = {"spark_version": wanted.spark_version, "conf": wanted.conf}
        maximum = replace(view.account.maximum, **_told(limits))
        return PoolView(replace(view.pool, **_told(defaults)), replace(view.account, maximum=maximum))

    return change_instance(ports, call, wanted.name, change, make=True)


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def change_instance(
    ports: Ports, call: Call, pool: str, change: Callable[[PoolView], PoolView], *, make: bool = False
) -> PoolView:
    """Read a pool with its account, change them, and write what differs, all or nothing; again if somebody else was
    quicker. `change` may raise, and nothing is written. With `make`, a pool that is not there begins without limits.
    Raises Forbidden for callers who are no administrators."""
    call.require_admin()
    keys = pool_keys(ports, call.workspace, pool)
    name = pool_key(call.workspace, pool)
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = ports.store.fetch(keys)
        ledger: Ledger = found.get(keys[1]) or Ledger(ports.settings.cluster)
        if make and not found.get(keys[0]):
            record = Pool(call.workspace, pool, ports.clock.now())
            before = PoolView(record, ledger.pools.get(name, PoolAccount()))
        else:
            before = get_pool(ports, Call(call.principal, {k: found.get(k) for k in keys}), pool)
        after = change(before)
        if after == before and after.pool.version and name in ledger.pools:
            return before
        changes: list[Change] = [Put(replace(after.pool, changed_at=ports.clock.now()))]
        if after.account != before.account or name not in ledger.pools:
            changes.append(Put(replace(ledger, pools={**ledger.pools, name: after.account})))
        try:
            ports.store.commit(changes)
            return after
        except Clash:
            continue
    raise Conflict("The instance is being changed by too many at once; please try again.")


def set_defaults(ports: Ports, call: Call, pool: str, conf: Callable[[Mapping[str, str]], Mapping[str, str]]) -> Pool:
    """Change the Spark conf that lies beneath every application's own: `conf` makes the new one of the old one."""

    def change(view: PoolView) -> PoolView:
        return replace(view, pool=replace(view.pool, conf=dict(conf(view.pool.conf))))

    return change_instance(ports, call, pool, change).pool


def set_spark_version(ports: Ports, call: Call, pool: str, version: str) -> Pool:
    """Change the Spark version of applications that name none."""
    after = change_instance(ports, call, pool, lambda v: replace(v, pool=replace(v.pool, spark_version=version)))
    return after.pool


def set_quota(ports: Ports, call: Call, pool: str, *, cores: int, memory: int) -> PoolView:
    """Set the quota (millicores, MiB). From then on the instance's quota is of the new kind, for good (seed 002,
    "Change the default cpu quota"). A quota below what runs now ends nothing; it lets nothing start."""

    def change(view: PoolView) -> PoolView:
        maximum = replace(view.account.maximum, cores=cores, memory=memory)
        return _quota_of(view, maximum)

    return change_instance(ports, call, pool, change)


def drop_quota(ports: Ports, call: Call, pool: str) -> None:
    """Remove the quota: cores and memory are without limit. The kind of quota stays. Raises NotFound when there is
    none."""

    def change(view: PoolView) -> PoolView:
        if not has_quota(view.account.maximum):
            raise NotFound("Resource quota of the instance", pool)
        return _quota_of(view, replace(view.account.maximum, cores=UNLIMITED, memory=UNLIMITED))

    change_instance(ports, call, pool, change)


def _quota_of(view: PoolView, maximum: Amount) -> PoolView:
    facets = facet_with(view.pool, quota="v4")
    return PoolView(replace(view.pool, facets=facets), replace(view.account, maximum=maximum))


def facet(pool: Pool) -> Mapping[str, Any]:
    """What the pool keeps for Analytics Engine."""
    told: Mapping[str, Any] = pool.facets.get(FACET, {})
    return told


def facet_with(pool: Pool, **told: Any) -> dict[str, Any]:
    """The pool's facets, with something more told of the instance."""
    return {**pool.facets, FACET: {**facet(pool), **told}}


def has_quota(maximum: Amount) -> bool:
    """Whether cores or memory are limited."""
    return maximum.cores < UNLIMITED or maximum.memory < UNLIMITED
