"""A `new_cluster` as driver and executors: node types, sizes, conf and the Spark version. Pure."""

from __future__ import annotations

import re

from chalicelib.core.errors import Invalid
from chalicelib.core.model import Size
from chalicelib.core.spark import size_from_conf
from chalicelib.dialects.databricks_jobs.nodes import node
from chalicelib.dialects.databricks_jobs.schemas import NewCluster


def cluster_size(cluster: NewCluster) -> Size:
    """A cluster's nodes as driver and executors: one executor a worker, with the worker's cores and usable memory."""
    where = "settings.cluster_spec.new_cluster"
    if (cluster.num_workers is None) == (cluster.autoscale is None):
        if cluster.num_workers is None:
            raise Invalid(f"Missing required field: {where}.size", field="new_cluster.num_workers")
        raise Invalid("Only one of num_workers and autoscale may be specified.", field="new_cluster.autoscale")
    if cluster.node_type_id is None and cluster.instance_pool_id is None:
        raise Invalid(f"Missing required field: {where}.node_type_id", field="new_cluster.node_type_id")
    worker = node(cluster.node_type_id or "m5.large", field="new_cluster.node_type_id")
    driver = node(cluster.driver_node_type_id, field="driver_node_type_id") if cluster.driver_node_type_id else worker
    least, most = _workers(cluster)
    size = Size(driver.cores, driver.memory, max(1, least), most, worker.cores, worker.memory)
    return size_from_conf(cluster.spark_conf, size)


def _workers(cluster: NewCluster) -> tuple[int, int]:
    if cluster.autoscale is None:
        workers = cluster.num_workers or 0
        if not 0 <= workers <= 100_000:
            raise Invalid("num_workers must be between 0 and 100000.", field="new_cluster.num_workers")
        return workers, 0
    least, most = cluster.autoscale.min_workers, cluster.autoscale.max_workers
    if not 0 <= least < most <= 100_000:
        raise Invalid("autoscale.max_workers must be strictly greater than min_workers.", field="new_cluster.autoscale")
    return least, most


def cluster_conf(cluster: NewCluster) -> dict[str, str]:
    """The Spark conf without what only Databricks' own clusters know: the markers of a single-node cluster."""
    return {
        name: value
        for name, value in cluster.spark_conf.items()
        if not (name == "spark.master" and value.startswith("local["))
        and not name.startswith("spark.databricks.cluster.")
    }


_RUNTIMES = {7: "3.0", 8: "3.1", 9: "3.1", 10: "3.2", 11: "3.3", 12: "3.3", 13: "3.4", 14: "3.5", 15: "3.5", 16: "3.5",
             17: "4.0", 18: "4.1"}  # fmt: skip
"""Databricks Runtime major -> the Spark that it carried."""

_RUNTIME = re.compile(
    r"(?:apache-spark-)?(?P<major>\d+)\.(?:\d+|x)(?:\.x)?(?:-[a-z0-9]+)*?(?:-scala\d\.\d+)?", re.ASCII
)


def spark_version(runtime: str) -> str:
    """The Spark version of a Databricks Runtime such as `7.5.x-scala2.12`. Raises Invalid for any other text."""
    match = _RUNTIME.fullmatch(runtime)
    if not match or int(match["major"]) > max(_RUNTIMES):
        raise Invalid(f"Invalid spark version {runtime}.", field="new_cluster.spark_version")
    return _RUNTIMES.get(int(match["major"]), _RUNTIMES[min(_RUNTIMES)])
