"""The two operations of the Clusters API that say what a `new_cluster` may name: node types and runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.dialects.http import Answer, Operation, Request
from chalicelib.later import later
from chalicelib.ports import Ports
from chalicelib.services.access import Call

if TYPE_CHECKING:
    from chalicelib.dialects.databricks_jobs import nodes, runtimes
else:
    nodes, runtimes = (later(f"chalicelib.dialects.databricks_jobs.{name}") for name in ("nodes", "runtimes"))


def list_node_types(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /clusters/list-node-types."""
    return Answer(nodes.node_types_body())


def spark_versions(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /clusters/spark-versions."""
    return Answer(runtimes.runtimes_body())


VERSIONS = ("2.0", "2.1")
"""The two are the same in both; databricks-cli asks the older one, databricks-sdk the newer."""

OPERATIONS = [
    Operation("GET", f"/api/{version}/clusters/{name}", handle)
    for version in VERSIONS
    for name, handle in (("list-node-types", list_node_types), ("spark-versions", spark_versions))
]
