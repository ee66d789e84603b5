"""Amounts in Analytics Engine's words: an instance's quota, its limits and what it consumes."""

from __future__ import annotations

from typing import Any

from chalicelib.core.capacity import UNLIMITED, Amount, PoolAccount
from chalicelib.core.model import Pool
from chalicelib.core.quantities import memory_with_unit, parse_cpu
from chalicelib.dialects.analytics_engine.mapping import long_time
from chalicelib.dialects.analytics_engine.schemas import Limits
from chalicelib.services.instances import facet


def limits(body: Limits) -> tuple[int, int]:
    """The millicores and MiB of PUT resource_consumption_limits. Raises Invalid."""
    return parse_cpu(body.max_cores, field="max_cores"), memory_with_unit(body.max_memory, field="max_memory")


def limits_body(maximum: Amount) -> dict[str, str]:
    """The answer of resource_consumption_limits; what is not limited is left out."""
    told = {
        "max_cores": (maximum.cores, cores_text(maximum.cores)),
        "max_memory": (maximum.memory, memory_text(maximum.memory)),
    }
    return {name: text for name, (amount, text) in told.items() if amount < UNLIMITED}


def consumption_body(running: Amount, pending: Amount) -> dict[str, Any]:
    """The answer of current_resource_consumption: in millicores and mebibytes, as the sample has them."""
    return {
        name: {"cores": f"{max(0, amount.cores)}m", "memory": f"{max(0, amount.memory)}Mi"}
        for name, amount in (("running", running), ("pending", pending))
    }


def cores_text(milli: int) -> str:
    """`10`, or `1500m` when it is not whole."""
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def memory_text(mib: int) -> str:
    """`20Gi`, or `1536Mi` when it is not whole."""
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"


def instance_body(uuid: str, pool: Pool, account: PoolAccount, namespace: str) -> dict[str, Any]:
    """An instance: a pool, in Analytics Engine's words. A pool without a limit shows none."""
    free = account.maximum - account.used
    quota = {
        "cpu_quota": _cores(account.maximum.cores),
        "memory_quota_gibibytes": _gib(account.maximum.memory),
        "avail_cpu_quota": _cores(free.cores),
        "avail_memory_quota_gibibytes": _gib(free.memory),
    }
    return {
        "instance_id": uuid,
        "context_type": "space_instance",
        "namespace": namespace,
        "creation_time": long_time(pool.created_at),
        "dataplane_type": "NA",
        "endpoint_type": "public",
        "home_volume": facet(pool).get("home_volume", ""),
        "resource_quota": {name: value for name, value in quota.items() if value is not None},
        "state": "Created",
        "state_change_time": long_time(pool.changed_at or pool.created_at),
    }


def _cores(milli: int) -> float | int | None:
    return None if milli > UNLIMITED // 2 else max(0, milli) // 1000 if milli % 1000 == 0 else max(0, milli) / 1000


def _gib(mib: int) -> float | int | None:
    return None if mib > UNLIMITED // 2 else max(0, mib) // 1024 if mib % 1024 == 0 else round(max(0, mib) / 1024, 3)
