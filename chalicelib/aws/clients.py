"""boto3 clients, made once each on first use: making one costs tens of milliseconds of a cold start."""

from __future__ import annotations

import os
from functools import cache
from typing import Any


@cache
def client(service: str) -> Any:
    """A service's client, with short connects and a few retries; credentials and endpoints are the environment's."""
    import boto3
    from botocore.config import Config

    told = _links() if service == "s3" else {}
    config = Config(connect_timeout=3, read_timeout=25, retries={"mode": "standard", "max_attempts": 4}, **told)
    return boto3.client(service, config=config)


def _links() -> dict[str, Any]:
    """What makes S3's links good everywhere. Left alone, botocore signs them as new buckets do not take (version 2),
    and for a host that sends those of a young bucket on to its region, where the signature does not hold."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    style = {"us_east_1_regional_endpoint": "regional"}
    return {"signature_version": "s3v4", "s3": style if endpoint else {**style, "addressing_style": "virtual"}}
