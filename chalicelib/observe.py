"""Structured logs and metrics for every handler (aws-lambda-powertools), made on first use.

Metrics (CloudWatch embedded metric format, namespace from POWERTOOLS_METRICS_NAMESPACE): `RunsGranted`, `RunsEnded` by
terminal state, `QueueSeconds` from submission to grant, `Repairs` of the sweep, `LedgerRepairs` among them
(pools whose account did not add up), `DeadNotices` that were given up, `Faults` answered with a 500. Alarms on
them, and on the dead-letter queues, are in `infra`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics


@lru_cache(maxsize=1)
def logger() -> Logger:
    """The process's logger: one JSON object a line, with the run's external name under `run`."""
    from aws_lambda_powertools import Logger

    return Logger(service="sparkplane")


@contextmanager
def metrics() -> Iterator[Metrics]:
    """A set of metrics that is written when the block ends; nothing is written for an empty one."""
    from aws_lambda_powertools.metrics import EphemeralMetrics

    collected = EphemeralMetrics(service="sparkplane", namespace="sparkplane")
    yield collected  # type: ignore[misc]
    if collected.metric_set:
        collected.flush_metrics()


def count(name: str, value: float = 1, **dimensions: str) -> None:
    """Add one number to a metric."""
    from aws_lambda_powertools.metrics import MetricUnit

    with metrics() as collected:
        for dimension, text in dimensions.items():
            collected.add_dimension(dimension, text)
        collected.add_metric(name, MetricUnit.Count if not name.endswith("Seconds") else MetricUnit.Seconds, value)
