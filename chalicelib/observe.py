"""Structured logs and metrics for every handler (aws-lambda-powertools), made on first use."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger


@lru_cache(maxsize=1)
def logger() -> Logger:
    """The process's logger: one JSON object a line. Handlers add the run's name with `append_keys`."""
    from aws_lambda_powertools import Logger

    return Logger(service="sparkplane")
