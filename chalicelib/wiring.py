"""The composition root: the one place where adapters meet services. Lazy: importing it reads no environment.

Environment: SPARKPLANE_TABLE, SPARKPLANE_BUCKET, SPARKPLANE_RUN_MACHINE, SPARKPLANE_NOTIFY_MACHINE,
SPARKPLANE_RING_MACHINE, SPARKPLANE_RING_FUNCTION, SPARKPLANE_SCHEDULE_ROLE, SPARKPLANE_SCHEDULE_GROUP,
SPARKPLANE_VIRTUAL_CLUSTER, SPARKPLANE_EXECUTION_ROLE, SPARKPLANE_API_URL; optional: SPARKPLANE_WORKSPACE,
SPARKPLANE_RETENTION_DAYS, SPARKPLANE_MAX_ACTIVE_RUNS, SPARKPLANE_MAX_JOBS, SPARKPLANE_MAX_MADE_IN_HOUR (the workspace's
limits), SPARKPLANE_DEFAULT_SPARK, SPARKPLANE_MAIL_FROM (the sender of e-mails),
SPARKPLANE_HISTORY_URL (where history servers are reached, see `aws.relay`), SPARKPLANE_HISTORY_IDLE_SECONDS (how long
one runs without being asked anything), SPARKPLANE_CONTAINER_IMAGE and
SPARKPLANE_URI_SCHEMES, SPARKPLANE_HTTPS_HOSTS and SPARKPLANE_WEBHOOK_NETWORKS (comma-separated).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from chalicelib.ports import Ports, Settings


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The deployment's settings."""
    defaults = Settings()
    schemes = _listed(environment.get("SPARKPLANE_URI_SCHEMES", ""))
    return Settings(
        workspace=environment.get("SPARKPLANE_WORKSPACE", defaults.workspace),
        api_url=environment.get("SPARKPLANE_API_URL", "").rstrip("/"),
        retention_days=int(environment.get("SPARKPLANE_RETENTION_DAYS", defaults.retention_days)),
        uri_schemes=schemes or defaults.uri_schemes,
        https_hosts=tuple(host.lower() for host in _listed(environment.get("SPARKPLANE_HTTPS_HOSTS", ""))),
        default_spark=environment.get("SPARKPLANE_DEFAULT_SPARK", defaults.default_spark),
        max_active_runs=int(environment.get("SPARKPLANE_MAX_ACTIVE_RUNS", defaults.max_active_runs)),
        max_jobs=int(environment.get("SPARKPLANE_MAX_JOBS", defaults.max_jobs)),
        max_made_in_hour=int(environment.get("SPARKPLANE_MAX_MADE_IN_HOUR", defaults.max_made_in_hour)),
        webhook_networks=_listed(environment.get("SPARKPLANE_WEBHOOK_NETWORKS", "")),
        history_idle_ms=1000
        * int(environment.get("SPARKPLANE_HISTORY_IDLE_SECONDS", defaults.history_idle_ms // 1000)),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


@lru_cache(maxsize=1)
def ports() -> Ports:
    """All ports on AWS, made once a process."""
    from chalicelib.aws.blobs import S3Blobs
    from chalicelib.aws.emr import EmrEngine
    from chalicelib.aws.hooks import HttpHooks
    from chalicelib.aws.mail import SesMailer
    from chalicelib.aws.relay import HttpRelay
    from chalicelib.aws.store import DynamoStore
    from chalicelib.aws.system import StoredSecret, SystemClock, SystemDice
    from chalicelib.aws.workflows import StepTimers, StepWorkflows

    env = os.environ
    settings = settings_from(env)
    clock = SystemClock()
    blobs = S3Blobs(env["SPARKPLANE_BUCKET"])
    store = DynamoStore(env["SPARKPLANE_TABLE"], blobs, settings.retention_days)
    return Ports(
        store=store,
        blobs=blobs,
        workflows=StepWorkflows(env["SPARKPLANE_RUN_MACHINE"], env["SPARKPLANE_NOTIFY_MACHINE"]),
        timers=StepTimers(
            env["SPARKPLANE_RING_MACHINE"],
            env["SPARKPLANE_RING_FUNCTION"],
            env["SPARKPLANE_SCHEDULE_ROLE"],
            env["SPARKPLANE_SCHEDULE_GROUP"],
            clock,
        ),
        engine=EmrEngine(
            env["SPARKPLANE_VIRTUAL_CLUSTER"],
            env["SPARKPLANE_EXECUTION_ROLE"],
            env["SPARKPLANE_BUCKET"],
            env.get("SPARKPLANE_CONTAINER_IMAGE", ""),
        ),
        relay=HttpRelay(env.get("SPARKPLANE_HISTORY_URL", "")),
        clock=clock,
        dice=SystemDice(),
        secret=StoredSecret(store),
        mailer=SesMailer(env.get("SPARKPLANE_MAIL_FROM", "")),
        hooks=HttpHooks(settings.webhook_networks),
        settings=settings,
    )


def limit_virtual_cluster(cluster: str, runs: int) -> None:
    """Set the engine's own limit of drivers at once. Raises Invalid."""
    from chalicelib.aws.emr import limit_virtual_cluster

    limit_virtual_cluster(cluster, runs)


def put_answer(url: str, body: bytes) -> None:
    """Put a body to a presigned URL. Raises OSError."""
    from chalicelib.aws.answers import put_answer

    put_answer(url, body)


def decode_image(image: Mapping[str, Any]) -> Any:
    """The record in a stream image."""
    from chalicelib.aws.store import record_of

    return record_of(dict(image))
