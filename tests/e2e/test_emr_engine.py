"""EMR on EKS in the sandbox with a real Spark: the seeds' example programs, and a program of one's own from S3."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from sandbox.aws.emr import Engine, install, spark, uninstall

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(os.environ.get("SPARKPLANE_HOME", ROOT / ".sandbox"))


class World:
    def __init__(self, directory: Path) -> None:
        found = spark.prepare(ROOT / ".venv-engine" / "bin" / "python", os.environ, HOME / "spark", print)
        self.events: list[dict[str, Any]] = []
        self.emr = boto3.client("emr-containers", "us-east-1")
        self.s3 = boto3.client("s3", "us-east-1")
        self.s3.create_bucket(Bucket="files")
        self.engine: Engine = install(directory, found, self.events.append, lambda: self.s3, environment={})
        self.cluster = self.engine.ensure_virtual_cluster("sandbox")

    def run(self, entry_point: str, *arguments: str, parameters: str) -> dict[str, Any]:
        """Starts a program and gives its job run when it has ended."""
        driver = {"entryPoint": entry_point, "entryPointArguments": list(arguments)}
        started = self.emr.start_job_run(
            name="e2e",
            virtualClusterId=self.cluster,
            executionRoleArn="arn:aws:iam::123456789012:role/driver",
            releaseLabel="emr-7.9.0-latest",
            jobDriver={"sparkSubmitJobDriver": {**driver, "sparkSubmitParameters": parameters}},
            configurationOverrides={
                "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": "s3://files/logs"}}
            },
        )
        deadline = time.monotonic() + 120
        while True:
            shown = self.emr.describe_job_run(id=started["id"], virtualClusterId=self.cluster)["jobRun"]
            if shown["state"] in ("COMPLETED", "FAILED", "CANCELLED"):
                return shown
            assert time.monotonic() < deadline, shown
            time.sleep(0.1)

    def log(self, job: str, name: str = "stdout") -> str:
        key = f"logs/{self.cluster}/jobs/{job}/containers/spark-{job}/spark-{job}-driver/{name}.gz"
        return gzip.decompress(self.s3.get_object(Bucket="files", Key=key)["Body"].read()).decode()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with mock_aws():
        made = World(tmp_path_factory.mktemp("emr"))
        yield made
        uninstall(made.engine)


def test_the_documented_python_example_counts_words_and_leaves_its_event_log_in_s3(world: World) -> None:
    examples = "/opt/ibm/spark/examples/src/main"
    history = "--conf spark.eventLog.enabled=true --conf spark.eventLog.dir=s3://files/history"
    ended = world.run(f"{examples}/python/wordcount.py", f"{examples}/resources/people.txt", parameters=history)
    out = world.log(ended["id"])
    assert ended["state"] == "COMPLETED", out + world.log(ended["id"], "stderr")
    assert "Michael,: 1" in out
    kept = [entry["Key"] for entry in world.s3.list_objects_v2(Bucket="files", Prefix="history/")["Contents"]]
    assert any("events_1_" in key for key in kept)
    assert not any(key.endswith(".inprogress") for key in kept)


def test_the_documented_jar_example_estimates_pi(world: World) -> None:
    jar = "local:///opt/ibm/spark/examples/jars/spark-examples*.jar"
    ended = world.run(jar, "3", parameters="--class org.apache.spark.examples.SparkPi")
    out = world.log(ended["id"])
    assert ended["state"] == "COMPLETED", out + world.log(ended["id"], "stderr")
    assert "Pi is roughly 3.1" in out


def test_a_python_program_from_s3_has_its_library_its_conf_and_its_own_exit_code(world: World) -> None:
    program = """
import json, sys
from pyspark.sql import SparkSession
import mine
spark = SparkSession.builder.getOrCreate()
seen = spark.sparkContext.parallelize(range(4), 2).map(mine.twice).collect()
conf = spark.sparkContext.getConf()
print(json.dumps({"seen": seen, "name": conf.get("spark.app.name"), "x": conf.get("spark.x"), "argv": sys.argv[1:]}))
sys.exit(7)
"""
    world.s3.put_object(Bucket="files", Key="program.py", Body=program.encode())
    world.s3.put_object(Bucket="files", Key="mine.py", Body=b"def twice(number):\n    return 2 * number\n")
    parameters = "--py-files s3://files/mine.py --name 'my run' --conf spark.x='a=b c'"
    ended = world.run("s3://files/program.py", "one two", parameters=parameters)
    out = world.log(ended["id"])
    assert (ended["state"], ended["failureReason"]) == ("FAILED", "USER_ERROR")
    assert "exit code 7" in ended["stateDetails"], out
    # Nothing but the program speaks on its standard output: not the JVM, not the class archive.
    assert json.loads(out) == {"seen": [0, 2, 4, 6], "name": "my run", "x": "a=b c", "argv": ["one two"]}
    told = [event["detail"]["state"] for event in world.events if event["detail"]["id"] == ended["id"]]
    assert told[:3] == ["PENDING", "SUBMITTED", "RUNNING"]
