"""Where Spark's event logs stand, and the history server that reads them, as Spark conf. Pure.

A run that asks for its event log (`spark.eventLog.enabled`) and names no place for it writes below its pool's own
prefix of the deployment's bucket; the pool's history server reads that prefix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from chalicelib.core.ids import named_id
from chalicelib.core.model import Policy, Pool, Program, ProgramKind, RunKind, RunSpec, Size

HISTORY_CLASS = "org.apache.spark.deploy.history.HistoryServer"
NO_RESOURCE = "spark-internal"
"""spark-submit's own word for a main class that is Spark's, so that there is no file to name."""

HISTORY_PORT = 18080
HISTORY_LABEL = "sparkplane-history"
"""The label of a history server's pod, by which the owner's Service finds it (`infra/history_service.yaml`)."""

IDLE_MS = 30 * 60_000
"""How long a history server runs without being asked anything, unless the deployment's owner says otherwise."""

RESTARTS, RESTART_AFTER_MS = 5, 10_000
"""How often a history server that died by itself is started again, and the least time between two starts."""

ENABLED, DIRECTORY = "spark.eventLog.enabled", "spark.eventLog.dir"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def event_log_prefix(workspace: str, pool: str) -> str:
    """The blob prefix of a pool's event logs. A pool's name that no URI takes as it stands gives way to its number."""
    return f"{workspace}/events/{pool if _PLAIN.fullmatch(pool) else named_id('pool', pool)}"


def wants_event_log(conf: Mapping[str, str]) -> bool:
    """Whether a run asks for its event log without saying where."""
    return conf.get(ENABLED, "").strip().lower() == "true" and not conf.get(DIRECTORY, "").strip()


def with_event_log(spec: RunSpec, uri: str) -> RunSpec:
    """The spec with its event log at a URI."""
    return replace(spec, conf={**spec.conf, DIRECTORY: uri})


def history_spec(
    pool: Pool, workspace: str, uri: str, *, cores: int, memory: int, version: str, idle_ms: int
) -> RunSpec:
    """The spec of a pool's history server: `memory` in MiB; `uri` is where its event logs stand; it ends when nobody
    has used it for `idle_ms`."""
    return RunSpec(
        name="Spark history server",
        program=Program(ProgramKind.JAR, NO_RESOURCE, HISTORY_CLASS),
        kind=RunKind.HISTORY,
        pool=pool.name,
        conf={
            "spark.history.fs.logDirectory": uri,
            "spark.history.ui.port": str(HISTORY_PORT),
            "spark.history.fs.update.interval": "5s",
            f"spark.kubernetes.driver.label.{HISTORY_LABEL}": f"{workspace}.{named_id('pool', pool.name)}",
        },
        size=Size(driver_cores=cores, driver_memory=memory, executors=0),
        spark_version=version,
        placement=pool.placement,
        policy=Policy(timeout_ms=idle_ms, max_retries=RESTARTS, min_retry_interval_ms=RESTART_AFTER_MS),
    )
