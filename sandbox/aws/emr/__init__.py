"""EMR on EKS on one machine: boto3's `emr-containers` calls, answered by moto, run a real spark-submit.

    spark = spark.prepare(python, os.environ, home / "spark", print)
    engine = install(home, spark, publish, s3, environment={...})
    virtual_cluster_id = engine.ensure_virtual_cluster("sandbox")
    engine.resume()

`engine.py` says how it works and where it differs from AWS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sandbox.aws.emr import moto_emr
from sandbox.aws.emr.engine import Engine
from sandbox.aws.emr.job import Settings
from sandbox.aws.emr.spark import SparkHome

__all__ = ["Engine", "Settings", "SparkHome", "install", "uninstall"]


def install(
    home: Path,
    spark: SparkHome,
    publish: Callable[[dict[str, Any]], None],
    s3: Callable[[], Any],
    *,
    environment: Mapping[str, str],
    settings: Settings | None = None,
) -> Engine:
    """Puts an Engine over `<home>/emr` behind moto's EMR on EKS; before or after `mock_aws` begins.

    `publish` is given whole EventBridge events (envelope and detail), from the engine's threads; when it raises, the
    event is given again a second later. `s3` gives a client of the sandbox's S3. `environment` is what every driver
    finds in its environment, beside PATH, HOME, the language and what Spark needs; nothing else of this process's
    environment reaches a driver. Runs left over by a sandbox before are taken up by `Engine.resume`, not here: they
    tell events, and someone has to listen.
    """
    engine = Engine(home, spark, publish, s3, environment=environment, settings=settings)
    moto_emr.apply(engine)
    return engine


def uninstall(engine: Engine) -> None:
    """Stops watching (drivers go on) and leaves moto as it came."""
    engine.close()
    moto_emr.undo()
