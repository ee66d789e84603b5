"""Spark on `s3://` and `dbfs:/`, as programs use them on AWS."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import NewSandbox, Program
from tests.e2e.live import CLUSTER, Client, Sandbox, python

FORMATS = """
from pyspark.sql import SparkSession
from pyspark.sql.functions import sum

spark = SparkSession.builder.getOrCreate()
people = spark.read.csv("s3://their-data/in/people.csv", header=True, inferSchema=True)
print("people:", people.count(), people.agg(sum("age")).first()[0])
print("lines:", spark.read.text("dbfs:/in/lines.txt").count())

numbers = spark.range(100).selectExpr("id", "id % 3 as part")
for _ in range(2):
    numbers.write.mode("overwrite").partitionBy("part").parquet("s3://their-data/out/numbers")
numbers.write.mode("append").json("s3a://their-data/out/json")
numbers.write.mode("append").json("s3a://their-data/out/json")
print("parquet:", spark.read.parquet("s3a://their-data/out/numbers").where("part = 1").count())
print("json:", spark.read.json("s3://their-data/out/json").count())

spark.sparkContext.parallelize(["a", "b", "c"], 2).saveAsTextFile("dbfs:/out/text")
print("text:", sorted(spark.sparkContext.textFile("dbfs:/out/text").collect()))
"""

LATE = """
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
for path in ("s3://their-data/none", "dbfs:/none"):
    try:
        spark.read.text(path).count()
    except AnalysisException as error:
        print("missing:", path in str(error))
try:
    spark.read.text("s3://nobody-has-this/x").count()
except (AnalysisException, Py4JJavaError) as error:
    print("no bucket:", "nobody-has-this" in str(error))
spark.range(3).write.mode("error").parquet("dbfs:/late/p")
try:
    spark.range(3).write.mode("error").parquet("dbfs:/late/p")
except AnalysisException as error:
    print("exists:", "PATH_ALREADY_EXISTS" in str(error))
"""


@pytest.fixture
def s3(sandbox: Sandbox) -> Any:
    return sandbox.s3()


def keys(s3: Any, bucket: str, prefix: str) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]


def test_spark_reads_and_writes_s3_and_the_workspaces_files(client: Client, program: Program, s3: Any) -> None:
    s3.create_bucket(Bucket="their-data")
    s3.put_object(Bucket="their-data", Key="in/people.csv", Body=b"name,age\nAnn,31\nBob,25\n")
    client.ok("POST", "/api/2.0/dbfs/put", {"path": "/in/lines.txt", "contents": "MQoyCjMK"})
    run = client.submit(python(program("formats.py", FORMATS)))
    ended = client.await_end(run)
    output = client.jobs("runs/get-output", run_id=run)["logs"]
    assert ended["state"]["result_state"] == "SUCCESS", output
    for line in (
        "people: 2 56",
        "lines: 3",
        "parquet: 33",
        "json: 200",
        "text: ['a', 'b', 'c']",
    ):
        assert line in output
    parts = [key for key in keys(s3, "their-data", "out/numbers/part=") if key.endswith(".parquet")]
    assert {key.split("/")[2] for key in parts} == {"part=0", "part=1", "part=2"}
    for key in parts:
        assert s3.get_object(Bucket="their-data", Key=key)["Body"].read()[:4] == b"PAR1"
    assert not [key for key in keys(s3, "their-data", "out") if "_temporary" in key]
    listed = client.ok("GET", "/api/2.0/dbfs/list?path=/out/text")["files"]
    assert "/out/text/_SUCCESS" in [one["path"] for one in listed]


@pytest.mark.parametrize("directory", ["s3://their-logs/events", "dbfs:/events"])
def test_event_logs_are_where_the_job_wants_them(client: Client, program: Program, s3: Any, directory: str) -> None:
    if directory.startswith("s3:"):
        s3.create_bucket(Bucket="their-logs")
    else:
        client.ok("POST", "/api/2.0/dbfs/mkdirs", {"path": "/events"})
    conf = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": directory}
    source = "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate().range(9).count()\n"
    id = client.apply(f"file:{program('nine.py', source)}", conf=conf)
    assert client.await_application(id)["state"] == "FINISHED"
    bucket, prefix = ("their-logs", "events/") if directory.startswith("s3:") else ("sparkplane", "main/dbfs/events/")
    found = [key for key in keys(s3, bucket, prefix) if not key.endswith("/")]
    assert found and not any(key.endswith(".inprogress") for key in found)
    body = s3.get_object(Bucket=bucket, Key=found[-1])["Body"].read()
    assert len(body) > 1000


def test_what_is_not_there_is_sparks_own_error(client: Client, program: Program, s3: Any) -> None:
    if "their-data" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket="their-data")
    run = client.submit(python(program("late.py", LATE)))
    client.await_end(run)
    output = client.jobs("runs/get-output", run_id=run)["logs"]
    assert output.count("missing: True") == 2
    assert "no bucket: True" in output
    assert "exists: True" in output


def curl(sandbox: Sandbox, *words: str) -> str:
    """curl as an owner uses it; a failed request is a failed test."""
    command = ["curl", "-sS", "-L", "--fail", "-H", f"Authorization: Bearer {sandbox.token}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_and_requests_follow_the_links_of_files(sandbox: Sandbox, tmp_path: Path) -> None:
    url = f"{sandbox.url}/api/2.0/fs/files/by-link"
    source, target = tmp_path / "up", tmp_path / "down"
    source.write_bytes(os.urandom(3_000_000))
    curl(sandbox, "-T", str(source), f"{url}/curl.bin")
    curl(sandbox, "-o", str(target), f"{url}/curl.bin")
    assert target.read_bytes() == source.read_bytes()
    assert "content-length: 3000000" in curl(sandbox, "-I", f"{url}/curl.bin").lower()

    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {sandbox.token}"
    with source.open("rb") as body:
        assert session.put(f"{url}/requests.bin", data=body, timeout=60).ok
    assert session.get(f"{url}/requests.bin", timeout=60).content == source.read_bytes()
    head = session.head(f"{url}/requests.bin", timeout=60, allow_redirects=True)
    assert head.headers["Content-Length"] == "3000000"


def test_a_file_larger_than_a_request_goes_up_in_two_steps(sandbox: Sandbox, client: Client, tmp_path: Path) -> None:
    url = f"{sandbox.url}/api/2.0/fs/files/by-link/large.bin"
    source = tmp_path / "large"
    source.write_bytes(os.urandom(40_000_000))
    link = curl(sandbox, "-X", "PUT", "-d", "", "--no-location", "-o", os.devnull, "-w", "%{redirect_url}", url)
    assert requests.put(link, data=source.read_bytes(), timeout=60).ok
    assert client.ok("GET", "/api/2.0/dbfs/get-status?path=/by-link/large.bin")["file_size"] == 40_000_000
    assert (
        requests.get(url, headers={"Authorization": f"Bearer {sandbox.token}"}, timeout=60).content[-9:]
        == (source.read_bytes()[-9:])
    )


def test_a_list_that_no_answer_could_hold_arrives(sandbox: Sandbox, client: Client) -> None:
    body = {
        "name": "large",
        "new_cluster": CLUSTER,
        "email_notifications": {"on_start": ["someone@example.com"] * 3_000},
        **python("/nowhere.py"),
    }
    made = [client.jobs("create", body)["job_id"] for _ in range(90)]
    headers = {"Authorization": f"Bearer {sandbox.token}", "Accept-Encoding": "identity"}
    answer = requests.get(f"{sandbox.url}/api/2.0/jobs/list", headers=headers, timeout=60)
    assert [hop.status_code for hop in answer.history] == [307]
    assert {job["job_id"] for job in answer.json()["jobs"]} >= set(made)
    for job in made:
        client.jobs("delete", {"job_id": job})


WAITS = """
import sys, time
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
spark.range(10).write.parquet("dbfs:/rides/before")
print("written", flush=True)
while not spark._jvm.java.io.File(sys.argv[1]).exists():
    time.sleep(0.1)
print("read:", spark.read.parquet("dbfs:/rides/before").count(), flush=True)
spark.range(20).write.parquet("dbfs:/rides/after")
"""


def test_a_driver_that_rides_out_a_kill_of_the_sandbox_finds_its_files_again(
    new_sandbox: NewSandbox, program: Program, tmp_path: Path
) -> None:
    sandbox = new_sandbox().start()
    client, go = sandbox.client(), tmp_path / "go"
    run = client.submit(python(program("waits.py", WAITS), str(go)))
    client.await_output(run, "written")
    sandbox.kill()
    go.touch()  # the driver reads on while nobody answers
    sandbox.start()
    client = sandbox.client()
    assert client.await_end(run)["state"]["result_state"] == "SUCCESS"
    assert "read: 10" in client.jobs("runs/get-output", run_id=run)["logs"]
    assert client.ok("GET", "/api/2.0/dbfs/get-status?path=/rides/after/_SUCCESS")["is_dir"] is False
