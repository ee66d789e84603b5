"""Runs an update of a declarative pipeline: in place of a program, Spark's own pipelines runner (Spark 4.1 and newer).

Used by `bootstrap`. The driver's Python starts Spark, with Spark Connect's server in it (on the loopback interface, at
a free port, with a token), and brings the pipeline's sources into a directory. The runner is a child process that knows
Spark only through that server (`pipeline_update`): a pipeline's code runs there, and cannot reach the driver's JVM.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from .execute import Outcome, describe_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

LEAST_SPARK = (4, 1)
SUFFIXES = (".py", ".sql")
MAX_SOURCE = 16 * 1024 * 1024
_WAREHOUSE = "spark.sql.warehouse.dir"
_CONF = {
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "localhost",
    "spark.connect.grpc.binding.port": "0",
    "spark.sql.artifact.isolation.enabled": "true",
    "spark.sql.artifact.isolation.alwaysApplyClassloader": "true",
}


class PipelineError(Exception):
    """The pipeline cannot be updated as it is: one sentence for its owner."""


def run_pipeline(pipeline: Mapping[str, Any]) -> Outcome:
    """Update a pipeline and say how that ended.

    pipeline: "name", "storage" (a URI below which checkpoints and tables are kept), "catalog" and "schema" (or ""),
    "configuration", "sources" (each {"name", "text"} or {"uri"}, which may be a pattern), and of the update
    "full_refresh" (bool), "full_refresh_selection", "refresh_selection" (names of tables).
    """
    try:
        _check_version()
        place = tempfile.mkdtemp(prefix="pipeline-")
        session, port, token = _start_spark(pipeline)
        _write_sources(session.sparkContext, pipeline["sources"], os.path.join(place, "sources"))
        tables = Tables(session, pipeline)
        tables.set_aside()
    except PipelineError as error:
        return Outcome(SystemExit(f"sparkplane: {error}"), describe_text("PipelineError", str(error)))
    _write_json(os.path.join(place, "pipeline.json"), _spec(pipeline))
    outcome = _update(pipeline, place, port, token, everything=tables.forgotten)
    tables.settle(good=not outcome.exit_code)
    return outcome


def _check_version() -> None:
    import pyspark

    found = tuple(int(part) for part in pyspark.__version__.split(".")[:2])
    if found < LEAST_SPARK:
        least = ".".join(map(str, LEAST_SPARK))
        raise PipelineError(f"Pipelines need Spark {least} or newer; this driver has Spark {pyspark.__version__}.")


def _start_spark(pipeline: Mapping[str, Any]) -> tuple[Any, int, str]:
    """Start the driver's Spark with its Connect server; returns the session, the server's port and its token."""
    import secrets

    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    token = secrets.token_urlsafe(24)
    conf = SparkConf().setAll(list({**_CONF, "spark.connect.authenticate.token": token}.items()))
    if not conf.contains(_WAREHOUSE):
        conf.set(_WAREHOUSE, _tables_of(pipeline))
    conf.setAppName(pipeline["name"])
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    if pipeline.get("schema"):
        session.sql(f"CREATE DATABASE IF NOT EXISTS {_quoted(pipeline)}")
    service = getattr(session.sparkContext._jvm, "org.apache.spark.sql.connect.service.SparkConnectService$")
    return session, int(getattr(service, "MODULE$").localPort()), token


def _quoted(pipeline: Mapping[str, Any]) -> str:
    parts = [part for part in (pipeline.get("catalog"), pipeline["schema"]) if part]
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def _tables_of(pipeline: Mapping[str, Any]) -> str:
    return str(pipeline["storage"]).rstrip("/") + "/tables"


class Tables:
    """The pipeline's tables where Spark's catalog ends with the driver, as it does unless the conf names another one.

    An update then finds no table of the one before, and Spark would refuse to write where one is. So every update
    computes all tables (`forgotten`); those of the last good one are set aside, and come back if it fails.
    """

    def __init__(self, session: Any, pipeline: Mapping[str, Any]) -> None:
        conf = session.sparkContext.getConf()
        passing = conf.get("spark.sql.catalogImplementation", "in-memory") == "in-memory"
        own = conf.get(_WAREHOUSE) == _tables_of(pipeline)
        self.forgotten = passing and own and not pipeline.get("catalog")
        if self.forgotten and (pipeline.get("refresh_selection") or pipeline.get("full_refresh_selection")):
            raise PipelineError(
                "Single tables cannot be refreshed without a catalog that outlives the driver: set one in the conf."
            )
        path = session.sparkContext._jvm.org.apache.hadoop.fs.Path
        self._now, self._before = path(_tables_of(pipeline)), path(_tables_of(pipeline) + ".before")
        self._files = self._now.getFileSystem(session.sparkContext._jsc.hadoopConfiguration())

    def set_aside(self) -> None:
        """Make room. Tables that were set aside already are the last good ones: that update never came to its end."""
        if self.forgotten and self._files.exists(self._before):
            self._files.delete(self._now, True)
        elif self.forgotten and self._files.exists(self._now):
            self._files.rename(self._now, self._before)

    def settle(self, *, good: bool) -> None:
        """Forget the tables that were set aside, or bring them back."""
        if self.forgotten and self._files.exists(self._before):
            if good:
                self._files.delete(self._before, True)
            else:
                self._files.delete(self._now, True)
                self._files.rename(self._before, self._now)


def _write_sources(context: Any, sources: Sequence[Mapping[str, str]], place: str) -> None:
    """Bring each source into a directory of its own, so that two of one name do not meet."""
    for number, source in enumerate(sources):
        found = {source["name"]: source["text"].encode()} if "text" in source else _fetched(context, source["uri"])
        for name, body in found.items():
            path = os.path.join(place, f"{number:04d}", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(body)


def _fetched(context: Any, uri: str) -> dict[str, bytes]:
    """The sources that a URI or a pattern names, by their names, read by the file systems that Spark knows. `/**` at
    the end is all that is below; other files there are passed over."""
    from py4j.protocol import Py4JJavaError

    root = uri.removesuffix("/**")
    path = context._jvm.org.apache.hadoop.fs.Path(root)
    try:
        files = path.getFileSystem(context._jsc.hadoopConfiguration())
        statuses = _below(files, path) if root != uri else [one for one in files.globStatus(path) or () if one.isFile()]
        sources = [status for status in statuses if status.getPath().getName().endswith(SUFFIXES)]
        if not sources:
            raise PipelineError(f"The pipeline's source {uri} does not exist.")
        return {_name(status, path, below=root != uri): _read(context, files, status) for status in sources}
    except Py4JJavaError as error:
        raise PipelineError(f"The pipeline's source {uri} cannot be read: {error.java_exception.toString()}") from None


def _below(files: Any, path: Any) -> list[Any]:
    found, walk = [], files.listFiles(path, True) if files.exists(path) else None
    while walk is not None and walk.hasNext():
        found.append(walk.next())
    return found


def _name(status: Any, root: Any, *, below: bool) -> str:
    """A source's name: its path below the directory whose files are meant, else its base name."""
    if not below:
        return str(status.getPath().getName())
    base = root.toUri().getPath().rstrip("/") + "/"
    return str(status.getPath().toUri().getPath())[len(base) :].lstrip("/")


def _read(context: Any, files: Any, status: Any) -> bytes:
    if status.getLen() > MAX_SOURCE:
        raise PipelineError(f"The pipeline's source {status.getPath()} is larger than {MAX_SOURCE} bytes.")
    stream = files.open(status.getPath())
    try:
        return bytes(context._jvm.org.apache.commons.io.IOUtils.toByteArray(stream))
    finally:
        stream.close()


def _spec(pipeline: Mapping[str, Any]) -> dict[str, Any]:
    """The pipeline as Spark's runner takes it (YAML, of which JSON is a part)."""
    told = {"catalog": pipeline.get("catalog"), "database": pipeline.get("schema")}
    return {
        "name": pipeline["name"],
        "storage": pipeline["storage"],
        **{name: value for name, value in told.items() if value},
        "configuration": dict(pipeline.get("configuration") or {}),
        "libraries": [{"glob": {"include": "sources/**"}}],
    }


def _write_json(path: str, value: Any) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)


def _update(pipeline: Mapping[str, Any], place: str, port: int, token: str, *, everything: bool) -> Outcome:
    """Run the child process to its end. `everything` computes all tables afresh."""
    about = {
        "spec": os.path.join(place, "pipeline.json"),
        "error": os.path.join(place, "error.json"),
        "full_refresh_all": everything or bool(pipeline.get("full_refresh")),
        "full_refresh": list(pipeline.get("full_refresh_selection") or ()),
        "refresh": list(pipeline.get("refresh_selection") or ()),
    }
    _write_json(os.path.join(place, "update.json"), about)
    package = __name__.rpartition(".")[0]
    code = f"from {package}.pipeline_update import main; main({os.path.join(place, 'update.json')!r})"
    hidden = ("MASTER", "PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET", "SPARK_CONNECT_MODE_ENABLED")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    environment["SPARK_REMOTE"] = f"sc://localhost:{port}"
    environment["SPARK_CONNECT_AUTHENTICATE_TOKEN"] = token
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    if done.returncode == 0:
        return Outcome(SystemExit(0))
    return Outcome(
        SystemExit(done.returncode if done.returncode > 0 else 1),
        _error(os.path.join(place, "error.json"), done.returncode),
    )


def _error(path: str, code: int) -> dict[str, str]:
    """What the child wrote of its end; without that, it was ended from outside."""
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError):
        return describe_text("PipelineError", f"The pipeline's process ended with exit code {code}.")
