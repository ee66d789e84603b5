"""Libraries, init scripts, dynamic value references and cluster logs, with a real Spark and a real pip.

Nothing leaves the machine: wheels are made by hand, and the index is on loopback.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.live import CLUSTER, Client, python
from tests.wheels import archive, egg, index, wheel

Program = Callable[[str, str], Path]

USES = """
import json, os, sys
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
import asked, needed, own, old

spark = SparkSession.builder.getOrCreate()

def see(_):
    import asked, needed, own, old
    return json.dumps([asked.VERSION, needed.VERSION, own.VERSION, old.VERSION])

there = json.loads(spark.range(1).select(udf(see)("id")).first()[0])
here = [asked.VERSION, needed.VERSION, own.VERSION, old.VERSION]
print("FOUND " + json.dumps({"here": here, "there": there, "arguments": sys.argv[1:], "stage": os.environ["STAGE"],
      "script": open("prepared").read().split()}))
"""


def put(client: Client, path: str, body: bytes) -> str:
    """Put a file into DBFS; its URI."""
    contents = base64.b64encode(body).decode()
    client.ok("POST", "/api/2.0/dbfs/put", {"path": path, "contents": contents, "overwrite": True})
    return f"dbfs:{path}"


def ended(client: Client, run: int) -> tuple[str, str | None, str]:
    """How a run ended: life cycle state, result and message."""
    client.await_end(run)
    return client.state(run)


def test_wheels_packages_eggs_scripts_and_references_meet_in_one_run(
    client: Client, program: Program, tmp_path: Path
) -> None:
    path = program("uses.py", USES)
    script = b'echo "$DB_CLUSTER_ID $DB_IS_DRIVER $STAGE" > prepared; echo said-by-the-script\n'
    cluster = {
        **CLUSTER,
        "spark_env_vars": {"STAGE": "test"},
        "init_scripts": [{"dbfs": {"destination": put(client, "/libs/init.sh", script)}}],
        "cluster_log_conf": {"dbfs": {"destination": "dbfs:/cluster-logs"}},
        "custom_tags": {"team": "data"},
    }
    own, old = wheel(tmp_path, "own", "3.0"), egg(tmp_path, "old")
    with index(
        tmp_path, wheel(tmp_path, "needed", "2.0"), wheel(tmp_path, "asked", "1.1", requires=["needed"])
    ) as repo:
        libraries: list[Any] = [
            {"pypi": {"package": "asked==1.1", "repo": repo}},
            {"whl": put(client, f"/libs/{own.name}", own.read_bytes())},
            {"egg": f"file:{old}"},
        ]
        task = python(path, "{{job_id}}", "{{run_id}}", "{{start_date}}", "{{task_retry_count}}", "{{what}}")
        run = int(
            client.jobs("runs/submit", {"run_name": "n", "new_cluster": cluster, "libraries": libraries, **task})[
                "run_id"
            ]
        )
        body = client.await_end(run)
    logs = client.jobs("runs/get-output", run_id=run)["logs"]
    assert body["state"]["result_state"] == "SUCCESS", body["state"]
    found = json.loads(client.await_output(run, "FOUND ").partition("FOUND ")[2].splitlines()[0])
    cluster_id = body["cluster_instance"]["cluster_id"]
    assert found["here"] == found["there"] == ["1.1", "2.0", "3.0", "egg"]
    assert found["script"] == [cluster_id, "TRUE", "test"]
    job, own_run, date, retries, what = found["arguments"]
    assert (job, own_run, retries, what) == (str(body["job_id"]), str(run), "0", "{{what}}")
    assert len(date) == len("2026-01-01")
    assert body["task"]["spark_python_task"]["parameters"][0] == "{{job_id}}"
    delivered = {name: read(client, f"/cluster-logs/{cluster_id}/driver/{name}") for name in ("stdout", "stderr")}
    assert delivered["stdout"] == logs
    assert "said-by-the-script" in delivered["stderr"]


def read(client: Client, path: str) -> str:
    """A file of DBFS."""
    told = client.ok("GET", "/api/2.0/dbfs/read", params={"path": path})
    return base64.b64decode(told["data"]).decode()


def test_a_library_that_cannot_be_installed_ends_the_run_before_its_program(
    client: Client, program: Program, tmp_path: Path
) -> None:
    path = program("never.py", "print('RAN')")
    bomb = archive(tmp_path / "bomb-1.0-py3-none-any.whl", {"bomb-1.0.dist-info/WHEEL": "", "a": "0" * 70_000_000})
    with index(tmp_path) as repo:
        cases: dict[str, Any] = {
            f'pypi {{ package: "nope" repo: "{repo}" }}': {"pypi": {"package": "nope", "repo": repo}},
            'whl: "dbfs:/libs/bomb-1.0-py3-none-any.whl"': {
                "whl": put(client, f"/libs/{bomb.name}", bomb.read_bytes())
            },
            'whl: "dbfs:/libs/gone-1.0-py3-none-any.whl"': {"whl": "dbfs:/libs/gone-1.0-py3-none-any.whl"},
            f'cran {{ package: "nope" repo: "{repo}" }}': {"cran": {"package": "nope", "repo": repo}},
        }
        runs = {label: client.submit(python(path), libraries=[library]) for label, library in cases.items()}
        ends = {label: ended(client, run) for label, run in runs.items()}
    reasons = ["No matching distribution found for nope", "more than 200 times its size", "does not exist"]
    reasons.append("is not available for" if shutil.which("Rscript") else "there is no Rscript")
    for (label, (life, result, message)), reason in zip(ends.items(), reasons, strict=True):
        started = reason != "does not exist"  # without its files the driver is not even started
        assert (life, result) == ("INTERNAL_ERROR", "FAILED" if started else None), message
        assert message.startswith(
            f"Library installation failed for library due to user error for {label}. Error messages: "
        )
        assert reason in message
        assert "RAN" not in client.jobs("runs/get-output", run_id=runs[label])["logs"]


def test_a_failing_init_script_ends_the_run_and_its_output_is_in_the_log(client: Client, program: Program) -> None:
    destination = put(client, "/libs/bad.sh", b"echo because of this >&2; false\n")
    cluster = {
        **CLUSTER,
        "init_scripts": [{"dbfs": {"destination": destination}}],
        "cluster_log_conf": {"dbfs": {"destination": "dbfs:/cluster-logs/"}},
    }
    body = {"new_cluster": cluster, **python(program("never2.py", "print('RAN')"))}
    run = int(client.jobs("runs/submit", body)["run_id"])
    life, result, message = ended(client, run)
    assert (life, result) == ("INTERNAL_ERROR", "FAILED")
    assert message == f"Cluster scoped init script {destination} failed: Script exit status is non-zero"
    cluster_id = client.run(run)["cluster_instance"]["cluster_id"]
    assert "because of this" in read(client, f"/cluster-logs/{cluster_id}/driver/stderr")


NOTEBOOK = """# Databricks notebook source
import asked
# COMMAND ----------
from pyspark.sql.functions import udf
there = spark.range(1).select(udf(lambda _: __import__("asked").VERSION)("id")).first()[0]
dbutils.notebook.exit(f"{asked.VERSION} {there} {dbutils.widgets.get('run')}")
"""
