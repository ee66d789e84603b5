"""boto3 clients, made once each on first use: making one costs tens of milliseconds of a cold start."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def client(service: str) -> Any:
    """A service's client, with short connects and a few retries; credentials and endpoints are the environment's."""
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=25, retries={"mode": "standard", "max_attempts": 4})
    return boto3.client(service, config=config)
