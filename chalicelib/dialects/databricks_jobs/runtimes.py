"""Databricks' runtimes: which Spark each carried, and which of them this service can stand in for. Pure.

A name is `<M>.<F>.x[-cpu][-gpu][-ml]…-scala<version>`, or `apache-spark-<M>.<F>.x-scala<version>`, whose numbers are
Spark's own. The release that runs it carries the same Spark or the closest newer one (`core.spark.RELEASES`), which is
said in the run's state. Flavours are accepted and change nothing: a run has the libraries of its image.
"""

from __future__ import annotations

import re
from typing import Any

from chalicelib.core.errors import Invalid
from chalicelib.core.model import Run, RunSpec
from chalicelib.core.spark import RELEASES, carried_by

RUNTIMES = (
    (3, 4, 5, "2.2"),
    (4, 0, 3, "2.3"),
    (5, 0, 5, "2.4"),
    (6, 0, 6, "2.4"),
    (7, 0, 6, "3.0"),
    (8, 0, 4, "3.1"),
    (9, 0, 1, "3.1"),
    (10, 0, 5, "3.2"),
    (11, 0, 3, "3.3"),
    (12, 0, 2, "3.3"),
    (13, 0, 3, "3.4"),
    (14, 0, 3, "3.5"),
    (15, 0, 4, "3.5"),
    (16, 0, 4, "3.5"),
    (17, 0, 3, "4.0"),
)
"""Databricks Runtime: major, first and last minor, and the Spark that they carried (its release notes)."""

LONG_TERM = {(7, 3), (9, 1), (10, 4), (11, 3), (12, 2), (13, 3), (14, 3), (15, 4), (16, 4)}
"""Runtimes of long-term support: clients choose them by the word in their names."""

SCALA = "2.12"
"""What the Spark of every release here is built with; the runtimes since 7.0 were too."""

_FLAVOURS = r"(?:-(?:cpu|gpu|ml|hls|conda|photon|aarch64|genomics|lts|esr))*"
_RUNTIME = re.compile(rf"(?P<major>\d{{1,3}})\.(?P<minor>\d{{1,3}})\.x{_FLAVOURS}-scala\d\.\d{{1,2}}", re.ASCII)
_LIGHT = re.compile(r"apache-spark-(?P<spark>\d{1,3}\.\d{1,3})\.x(?:-cpu)?-scala\d\.\d{1,2}", re.ASCII)

_FIELD = "new_cluster.spark_version"


def spark_version(runtime: str) -> str:
    """The Spark that a runtime such as `7.5.x-scala2.12` carried. Raises Invalid for any other text, and for a Spark
    newer than every release."""
    spark = _carried(runtime)
    if not spark:
        raise Invalid(f"Invalid spark version {runtime[:200]}. Known are {_KNOWN}.", field=_FIELD)
    if not carried_by(spark):
        raise Invalid(
            f"Spark version {runtime[:200]} is not available: it has Spark {spark}, and the newest here is "
            f"{list(RELEASES)[-1]}.",
            field=_FIELD,
        )
    return spark


def _carried(runtime: str) -> str:
    if light := _LIGHT.fullmatch(runtime):
        return light["spark"] if light["spark"] in {spark for *_, spark in RUNTIMES} else ""
    match = _RUNTIME.fullmatch(runtime)
    if not match:
        return ""
    major, minor = int(match["major"]), int(match["minor"])
    return next((spark for M, first, last, spark in RUNTIMES if major == M and first <= minor <= last), "")


_KNOWN = (
    "<M>.<F>.x[-cpu][-gpu][-ml][-photon]-scala<version> with <M>.<F> "
    + ", ".join(f"{major}.{first} to {major}.{last}" for major, first, last, _ in RUNTIMES)
    + ", and apache-spark-<M>.<F>.x-scala<version>"
)


def runtimes_body() -> dict[str, Any]:
    """What clusters/spark-versions answers: the runtimes that this service stands in for, the newest first."""
    versions = []
    for major, first, last, spark in reversed(RUNTIMES):
        carrying = carried_by(spark)
        if major < 7 or not carrying:
            continue
        served = f"Apache Spark {spark}" + (f", run on {carrying}" if carrying != spark else "")
        for minor in range(last, first - 1, -1):
            long = " LTS" if (major, minor) in LONG_TERM else ""
            name = f"{major}.{minor}{long} (includes {served}, Scala {SCALA})"
            versions.append({"key": f"{major}.{minor}.x-scala{SCALA}", "name": name})
    return {"versions": versions}


def stand_in(run: Run) -> str:
    """A sentence on the Spark that stands in for the one that was asked for; empty where it is the same, and for a run
    that ended before it started."""
    asked, carrying = run.spec.spark_version, carried_by(run.spec.spark_version)
    if not carrying or carrying == _minor(asked) or (run.ended and not run.started_at):
        return ""
    named = _runtime_of(run.spec)
    what = f"{named} (Spark {asked})" if named else f"Spark {asked}"
    told = f"{what} is stood in for by release {RELEASES[carrying]} (Spark {carrying}), the closest newer one."
    seen = run.engine_version
    return f"{told} The driver has Spark {seen}." if seen and _minor(seen) != carrying else told


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _runtime_of(spec: RunSpec) -> str:
    cluster = (spec.original.get("cluster_spec") or {}).get("new_cluster") or {}
    named = cluster.get("spark_version") if isinstance(cluster, dict) else None
    return named if isinstance(named, str) else ""
