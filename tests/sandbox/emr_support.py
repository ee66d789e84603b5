"""A stand-in for Spark, and an engine over it, for the tests of `sandbox.aws.emr`.

The stand-in takes the place of `java`: it reads spark-submit's command line as SparkSubmit would, and runs the entry
point as a shell program. So a test's "Spark program" is a few lines of shell.
"""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

from sandbox.aws.emr import Engine, Settings, SparkHome, install, uninstall
from sandbox.aws.emr.launch import Machine
from sandbox.aws.emr.spark import Java

ROLE = "arn:aws:iam::123456789012:role/driver"
RELEASE = "emr-7.9.0-latest"

_JAVA = """#!/bin/sh
while [ "$1" != org.apache.spark.deploy.SparkSubmit ]; do shift; done
shift
while :; do
  case "$1" in
    --properties-file) PROPERTIES="$2"; shift 2;;
    --class) MAIN_CLASS="$2"; shift 2;;
    --verbose) shift;;
    *) break;;
  esac
done
export PROPERTIES MAIN_CLASS
exec /bin/sh "$@"
"""


def stand_in(directory: Path) -> SparkHome:
    """A SPARK_HOME whose java is the stand-in."""
    java = directory / "java-home" / "bin" / "java"
    java.parent.mkdir(parents=True, exist_ok=True)
    java.write_text(_JAVA)
    java.chmod(0o755)
    home = directory / "spark"
    (home / "examples" / "jars").mkdir(parents=True, exist_ok=True)
    return SparkHome(Java(java, 17, "stand-in"), Path("/usr/bin/python3"), home, "4.0.0", "jars/*", ("-Dspark=1",))


class World:
    """moto's AWS with an engine in it. `restart` is what a kill -9 and a new start of the sandbox amount to."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.spark = stand_in(directory)
        self.events: list[dict[str, Any]] = []
        self.emr = boto3.client("emr-containers", "us-east-1")
        self.s3 = boto3.client("s3", "us-east-1")
        self.s3.create_bucket(Bucket="files")
        self.settings = Settings(machine=Machine(2, 4 << 30), patience=0.3, log_period=0.05, retry_period=0.05)
        self.engine: Engine | None = None
        self.name = "sandbox"
        self.restart()

    def restart(self, publish: Callable[[dict[str, Any]], None] | None = None) -> None:
        if self.engine is not None:
            self.engine.close()
        self.engine = install(
            self.home,
            self.spark,
            publish or self.events.append,
            lambda: self.s3,
            environment={"FROM_SANDBOX": "yes"},
            settings=self.settings,
        )
        self.cluster = self.engine.ensure_virtual_cluster(self.name)
        self.engine.resume()

    def renew(self) -> World:
        """The same world with a virtual cluster of its own, and so without runs: quicker than a new one."""
        self.name = f"n-{uuid.uuid4()}"
        self.restart()
        return self

    def put(self, key: str, text: str) -> str:
        self.s3.put_object(Bucket="files", Key=key, Body=text.encode())
        return f"s3://files/{key}"

    def start(self, program: str = "exit 0", *arguments: str, entry_point: str | None = None, **request: Any) -> str:
        """StartJobRun of a shell program; gives the job run's id."""
        driver: dict[str, Any] = {"entryPoint": entry_point or self.put(f"{uuid.uuid4()}/program.sh", program)}
        if arguments:
            driver["entryPointArguments"] = list(arguments)
        if "parameters" in request:
            driver["sparkSubmitParameters"] = request.pop("parameters")
        defaults = {"name": "a-run", "executionRoleArn": ROLE, "releaseLabel": RELEASE}
        driven = {"jobDriver": {"sparkSubmitJobDriver": driver}, "virtualClusterId": self.cluster}
        return self.emr.start_job_run(**{**defaults, **driven, **request})["id"]

    def end(self) -> None:
        """Ends every run of this virtual cluster."""
        runs = self.emr.list_job_runs(virtualClusterId=self.cluster)["jobRuns"]
        for run in runs:
            with suppress(ClientError):  # it has ended, or is being cancelled
                self.cancel(run["id"])
        for run in runs:
            self.await_state(run["id"], "COMPLETED", "FAILED", "CANCELLED")

    def describe(self, job_id: str) -> dict[str, Any]:
        return self.emr.describe_job_run(id=job_id, virtualClusterId=self.cluster)["jobRun"]

    def cancel(self, job_id: str) -> None:
        self.emr.cancel_job_run(id=job_id, virtualClusterId=self.cluster)

    def await_state(self, job_id: str, *states: str) -> dict[str, Any]:
        await_true(lambda: self.describe(job_id)["state"] in states, lambda: str(self.describe(job_id)))
        return self.describe(job_id)

    def await_end(self, job_id: str) -> dict[str, Any]:
        """The job run after its end, and after the end was told."""
        self.await_state(job_id, "COMPLETED", "FAILED", "CANCELLED")
        await_true(lambda: self.states_told(job_id)[-1:] == [self.describe(job_id)["state"]])
        return self.describe(job_id)

    def states_told(self, job_id: str) -> list[str]:
        return [event["detail"]["state"] for event in self.events if event["detail"]["id"] == job_id]

    def folder(self, job_id: str) -> Path:
        return self.home / "emr" / job_id

    def output(self, job_id: str, name: str = "stdout") -> str:
        return (self.folder(job_id) / name).read_text()

    def log(self, job_id: str, name: str = "stdout", prefix: str = "") -> str:
        """The driver's log as it stands in S3, in the layout that EMR on EKS documents."""
        folder = f"{prefix}{self.cluster}/jobs/{job_id}/containers/spark-{job_id}/spark-{job_id}-driver"
        body = self.s3.get_object(Bucket="files", Key=f"{folder}/{name}.gz")["Body"].read()
        return gzip.decompress(body).decode()

    def pid(self, job_id: str, name: str = "driver") -> int:
        path = self.folder(job_id) / f"{name}.json"
        await_true(path.exists)
        return json.loads(path.read_text())["pid"]


@contextmanager
def a_world(directory: Path) -> Iterator[World]:
    """A World that leaves no process behind."""
    with mock_aws():
        world = World(directory)
        try:
            yield world
        finally:
            world.end()
            uninstall(world.engine)


def await_true(condition: Callable[[], bool], told: Callable[[], str] = lambda: "", seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true in {seconds} seconds {told()}"
        time.sleep(0.01)


def logs_to(uri: str) -> dict[str, Any]:
    return {"configurationOverrides": {"monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": uri}}}}


def configured(*classifications: dict[str, Any]) -> dict[str, Any]:
    return {"configurationOverrides": {"applicationConfiguration": list(classifications)}}
