"""A `new_cluster` as driver and executors: node types, sizes, conf, the Spark version, tags, scripts and logs. Pure.

`docs/decisions/clusters.md` tells field by field what becomes of a cluster here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from chalicelib.core.errors import Invalid
from chalicelib.core.model import InitScript, RunSpec, Size
from chalicelib.core.paths import plain
from chalicelib.core.spark import RUN_TAG, size_from_conf
from chalicelib.core.tree import check_path
from chalicelib.dialects.databricks_jobs import schemas
from chalicelib.dialects.databricks_jobs.nodes import node
from chalicelib.dialects.databricks_jobs.reading import Locate, ascii_map
from chalicelib.dialects.databricks_jobs.runtimes import spark_version
from chalicelib.dialects.databricks_jobs.schemas import NewCluster


def with_cluster(spec: RunSpec, cluster: NewCluster, locate: Locate) -> RunSpec:
    """The spec on a new cluster. Raises Invalid."""
    scripts = tuple(_script(told, position, locate) for position, told in enumerate(cluster.init_scripts))
    preparation = replace(spec.preparation, init_scripts=scripts)
    if scripts:
        preparation = replace(preparation, init_environment=_script_environment(cluster))
    return replace(
        spec,
        pool=cluster.instance_pool_id or "default",
        conf=cluster_conf(cluster),
        environment=_environment(cluster),
        size=cluster_size(cluster),
        spark_version=spark_version(cluster.spark_version),
        preparation=preparation,
        tags=_tags(cluster.custom_tags),
        logs_to=_logs_to(cluster.cluster_log_conf),
    )


def cluster_size(cluster: NewCluster) -> Size:
    """A cluster's nodes as driver and executors: one executor a worker, with the worker's cores and usable memory. A
    cluster without workers is its driver alone."""
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
    executors = 0 if cluster.num_workers == 0 else max(1, least)
    size = Size(driver.cores, driver.memory, executors, most, worker.cores, worker.memory)
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
    for name, value in cluster.spark_conf.items():
        if SECRET in value:
            raise Invalid(
                f"new_cluster.spark_conf: {name} names a secret. Spark shows its conf to everybody who sees the "
                "application; name the secret in spark_env_vars or read it with dbutils.secrets.",
                field="new_cluster.spark_conf",
            )
    return {
        name: value
        for name, value in cluster.spark_conf.items()
        if not (name == "spark.master" and value.startswith("local["))
        and not name.startswith("spark.databricks.cluster.")
    }


_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def _environment(cluster: NewCluster) -> dict[str, str]:
    field = "new_cluster.spark_env_vars"
    environment = ascii_map(cluster.spark_env_vars, field)
    for name in environment:
        if not _ENVIRONMENT_NAME.fullmatch(name):
            raise Invalid(f"{field}: {name!r} cannot be the name of an environment variable.", field=field)
    return environment


SECRET = "{{secrets/"
"""How a reference to a secret begins: `{{secrets/<scope>/<key>}}`."""

MAX_TAGS, MAX_TAG_NAME, MAX_TAG_VALUE = 45, 127, 255
"""Databricks' limits for custom tags; AWS's own (50, 128 and 256) leave room for the run's tag."""


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Custom tags as those of EMR's job run. Raises Invalid for what AWS would refuse, and for names that are ours."""
    field = "new_cluster.custom_tags"
    if len(tags) > MAX_TAGS:
        raise Invalid(f"{field}: at most {MAX_TAGS} tags.", field=field)
    for name, value in tags.items():
        if not 0 < len(name) <= MAX_TAG_NAME or not name.strip() or len(value) > MAX_TAG_VALUE:
            raise Invalid(
                f"{field}: the key {name[:MAX_TAG_NAME]!r} or its value is empty or too long (at most {MAX_TAG_NAME} "
                f"characters a key and {MAX_TAG_VALUE} a value).",
                field=field,
            )
        if not all(c.isalnum() or c in " _.:/=+-@" for c in name + value):
            raise Invalid(
                f"{field}: {name!r} has a character other than letters, digits, blanks and _ . : / = + - @.",
                field=field,
            )
        if name.lower().startswith(("aws:", RUN_TAG.partition("-")[0])):
            raise Invalid(f"{field}: the key {name!r} is reserved.", field=field)
    return dict(tags)


_SCRIPT_PLACES = {
    "workspace": ("/",),
    "dbfs": ("dbfs:/",),
    "gcs": ("gs://",),
    "s3": ("s3://", "s3a://"),
    "file": ("file:/",),
}
"""Where an init script may be, and how its destination begins."""

MAX_SCRIPTS = 10


def _script(told: schemas.InitScript, position: int, locate: Locate) -> InitScript:
    field = f"new_cluster.init_scripts.{position}"
    named = [name for name in schemas.InitScript.model_fields if getattr(told, name) is not None]
    if len(named) != 1:
        raise Invalid(f"{field}: exactly one of workspace, dbfs, gcs, s3 and file must be set.", field=field)
    place = named[0]
    if place not in _SCRIPT_PLACES:
        raise Invalid(f"{field}: init scripts in {place} are not supported by this service.", field=field)
    destination: str = getattr(told, place).destination
    if not destination.startswith(_SCRIPT_PLACES[place]):
        raise Invalid(
            f"{field}.{place}.destination: {destination!r} does not begin with {_SCRIPT_PLACES[place][0]}.",
            field=f"{field}.{place}.destination",
        )
    if place == "workspace":
        return InitScript(label=destination, path=check_path(destination, field=f"{field}.{place}.destination"))
    return InitScript(locate(destination), destination)


def _script_environment(cluster: NewCluster) -> dict[str, str]:
    """What Databricks' init scripts find in their environment, as far as it means something here."""
    return {
        "DB_CLUSTER_ID": "{{cluster_id}}",
        "DB_CLUSTER_NAME": "job-{{job_id}}-run-{{run_id}}",
        "DB_IS_DRIVER": "TRUE",
        "DB_IS_JOB_CLUSTER": "TRUE",
        "DB_INSTANCE_TYPE": cluster.driver_node_type_id or cluster.node_type_id or "",
    }


def _logs_to(conf: schemas.ClusterLogConf | None) -> str:
    """Where below the workspace's files a cluster's logs are delivered; empty for nowhere."""
    if conf is None:
        return ""
    field = "new_cluster.cluster_log_conf"
    if conf.s3 is not None or conf.volumes is not None:
        raise Invalid(f"{field}: logs are delivered to dbfs destinations only.", field=field)
    if conf.dbfs is None:
        raise Invalid(f"Missing required field: {field}.dbfs", field=field)
    destination, field = conf.dbfs.destination, f"{field}.dbfs.destination"
    if not destination.startswith("dbfs:/"):
        raise Invalid(f"{field}: {destination!r} is no dbfs:/ path.", field=field)
    path = plain(destination, field=field)
    if len(path.encode()) > MAX_LOG_PATH:
        raise Invalid(f"{field}: the path is longer than {MAX_LOG_PATH} bytes.", field=field)
    return path


MAX_LOG_PATH = 512
"""Bytes of a log destination: with what is put below it, it must be a name that S3 takes."""
