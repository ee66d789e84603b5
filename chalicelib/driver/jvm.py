"""The way to the JVM that spark-submit has started, before there is a SparkContext. py4j comes with Spark."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def open_gateway() -> Any:
    """A py4j gateway to the driver's JVM, to be closed by the caller; None where there is no JVM. PySpark is not
    imported for this."""
    port, secret = os.environ.get("PYSPARK_GATEWAY_PORT"), os.environ.get("PYSPARK_GATEWAY_SECRET")
    if not port or not secret:
        return None
    from importlib import import_module

    py4j = import_module("py4j.java_gateway")
    return py4j.JavaGateway(gateway_parameters=py4j.GatewayParameters(port=int(port), auth_token=secret))
