"""R programs in a real R over a real Spark, with the sandbox's own SparkR."""

from __future__ import annotations

import base64
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Program
from tests.e2e.live import CLUSTER, Client, Sandbox
from tests.e2e.test_libraries import put

pytestmark = pytest.mark.skipif(shutil.which("Rscript") is None, reason="there is no R (apt install r-base-core)")

EXAMPLE = "/opt/ibm/spark/examples/src/main/r/dataframe.R"
CHECKS = Path(__file__).with_name("sparkr.R")
HEAD = "library(SparkR)\nsparkR.session()\n"
PRINTED = """
SparkDataFrame[name:string, age:int, pay:double]
Column pay 
GroupedData
root
 |-- name: string (nullable = true)
 |-- age: integer (nullable = true)
 |-- pay: double (nullable = true)

+----+---+----+
|name|age| pay|
+----+---+----+
| Ann| 31|10.0|
| Bob| 25|20.5|
+----+---+----+
only showing top 2 rows
StructType
|-name = "name", type = "StringType", nullable = TRUE
|-name = "age", type = "IntegerType", nullable = TRUE
|-name = "pay", type = "DoubleType", nullable = TRUE
"""


def ended(client: Client, application: Path | str, *arguments: str, **details: Any) -> tuple[Any, str]:
    """An application that has ended, and its standard output."""
    name = f"r-{uuid.uuid4().hex}"
    id = client.apply(str(application), *arguments, name=name, **details)
    shown = client.await_application(id)
    (run,) = [one["run_id"] for one in client.jobs("runs/list")["runs"] if one["run_name"] == name]
    return shown, client.jobs("runs/get-output", run_id=run)["logs"]


def test_the_sandboxs_sparkr_answers_as_scripts_expect(client: Client, tmp_path: Path) -> None:
    shown, output = ended(client, CHECKS, str(tmp_path))
    assert "NOT SO" not in output
    assert (shown["state"], shown.get("return_code")) == ("FINISHED", "0"), output
    assert PRINTED in output
    assert " checked, 0 failed" in output


def test_the_documented_example_prints_its_teenagers_and_names_itself_in_its_event_log(
    sandbox: Sandbox, client: Client
) -> None:
    logged = {"spark.eventLog.enabled": "true", "spark.eventLog.compress": "false", "spark.app.name": "R Application"}
    shown, output = ended(client, EXAMPLE, conf=logged)
    assert (shown["state"], shown["return_code"]) == ("FINISHED", "0"), output
    assert "    name\n1 Justin\n" in output
    assert shown["spark_application_name"] == "SparkR-DataFrame-example"
    s3, bucket = sandbox.s3(), sandbox.aws()["SPARKPLANE_BUCKET"]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    (events,) = [key for key in keys if shown["spark_application_id"] in key and "events_1_" in key]
    body = s3.get_object(Bucket=bucket, Key=events)["Body"].read().decode(errors="replace")
    assert '"App Name":"SparkR-DataFrame-example"' in body


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("stop('the quota is exceeded')", "Error: the quota is exceeded"),
        ("f <- function(x) stop('too much'); f(1)", "Error in f(1) : too much"),
        ("try(sql('SELEC 1'), silent = TRUE); log(-1:'a')", "Error in -1:"),
        ("head(sql('SELECT nothing FROM range(1)'))", "Error: org.apache.spark.sql.AnalysisException: [UNRESOLV"),
        ("collect(sql(\"SELECT raise_error('no such luck')\"))", "[USER_RAISED_EXCEPTION] no such luck"),
        ("x <- (1", "unexpected end of input"),
    ],
)  # fmt: skip
def test_a_failing_script_says_what_r_said(client: Client, program: Program, code: str, message: str) -> None:
    shown, output = ended(client, program(f"fails-{uuid.uuid4().hex}.R", HEAD + code + "\n"))
    assert (shown["state"], shown["return_code"]) == ("FAILED", "1"), output
    assert message in shown["state_details"][0]["message"]


def test_a_script_has_its_arguments_its_environment_and_data_on_s3(
    sandbox: Sandbox, client: Client, program: Program
) -> None:
    bucket = f"r-{uuid.uuid4().hex}"
    s3 = sandbox.s3()
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="in.json", Body=b'{"n": 1, "t": "\xc3\xa9"}\n{"n": 41}\n')
    source = """
    words <- commandArgs(trailingOnly = TRUE)
    cat("words:", words[2], "\\n")
    numbers <- read.df(words[1], "json")
    found <- agg(numbers, total = sum(numbers$n), first = min(numbers$t))
    write.json(coalesce(found, 1L), sub("in.json", "out", words[1]))
    print(collect(numbers)$t)
    """
    path = program("arguments.R", HEAD + source)
    s3.upload_file(str(path), bucket, "code/arguments.R")
    shown, output = ended(client, f"s3://{bucket}/code/arguments.R", f"s3://{bucket}/in.json", "two words")
    assert shown["state"] == "FINISHED", (shown, output)
    assert "words: two words" in output
    assert '[1] "é" NA' in output
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix="out/part")["Contents"]]
    assert s3.get_object(Bucket=bucket, Key=keys[0])["Body"].read() == '{"total":42,"first":"é"}\n'.encode()


def test_a_script_without_sparkr_is_r_as_it_is_and_quit_is_an_exit_code(client: Client, program: Program) -> None:
    shown, output = ended(client, program("plain.R", "cat(sum(1:4), '\\n'); quit(status = 3)\n"))
    assert shown["state"] == "FAILED", output
    assert output.startswith("10 \n")


PREPARED = """
words <- commandArgs(trailingOnly = TRUE)
library(SparkR)
sparkR.session(appName = words[2])
lines <- read.text(words[1])
cat("lines:", count(lines), "\\n")
writeLines("from R", file.path(dirname(words[1]), "out.txt"))
if (length(words) > 2) stop(words[3])
"""


def test_a_script_of_a_volume_reads_and_writes_the_volume_and_fails_as_others_do(
    sandbox: Sandbox, client: Client
) -> None:
    put(client, "/volumes/r/jobs/main.R", PREPARED.encode())
    put(client, "/volumes/r/jobs/in.txt", b"one\ntwo\n")
    volumes = [{"name": "r::jobs", "mount_path": "/myapp", "read_only": False}]

    def apply(*arguments: str) -> Any:
        told = {"application": "/myapp/main.R", "arguments": ["/myapp/in.txt", *arguments]}
        id = client.engine("POST", "/spark_applications", {"application_details": told, "volumes": volumes})
        return client.await_application(str(id["application_id"]))

    shown = apply("two words")
    assert (shown["state"], shown.get("return_code")) == ("FINISHED", "0"), shown
    assert shown["spark_application_id"].startswith("local-")
    stored = client.ok("GET", "/api/2.0/dbfs/read", params={"path": "/volumes/r/jobs/out.txt"})
    assert base64.b64decode(stored["data"]) == b"from R\n"
    shown = apply("again", "the quota is exceeded")
    assert (shown["state"], shown["return_code"]) == ("FAILED", "1"), shown
    assert shown["state_details"][0]["message"] == "Error: the quota is exceeded"


def test_a_script_of_the_image_has_sparkr_also_where_something_is_prepared_before_it(client: Client) -> None:
    put(client, "/init-r.sh", b"true\n")
    cluster = {**CLUSTER, "init_scripts": [{"dbfs": {"destination": "dbfs:/init-r.sh"}}]}
    task = {"spark_submit_task": {"parameters": [EXAMPLE]}}
    run = int(client.jobs("runs/submit", {"new_cluster": cluster, **task})["run_id"])
    assert client.await_end(run)["state"]["result_state"] == "SUCCESS"
    assert "1 Justin\n" in client.await_output(run, "Justin")
