"""Jobs and runs with databricks-cli, the oldest and the last of its versions (`cli`)."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli import Cli
from tests.e2e.conftest import Program
from tests.e2e.live import CLUSTER, ROOT, RUN_SECONDS, eventually, jar, python

WORDS = """
import sys
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, explode, lower, split

spark = SparkSession.builder.getOrCreate()
text = spark.read.text(sys.argv[1])
words = text.select(explode(split(lower(col("value")), "[^a-z]+")).alias("word")).where("word <> ''")
words.groupBy("word").count().write.parquet(sys.argv[2])
counted = spark.read.parquet(sys.argv[2])
top = counted.orderBy(col("count").desc(), "word").first()
print(f"counted: {counted.count()} words, {top.word} {top['count']} times")
"""
SLOW = "import time\nprint('begun', flush=True)\ntime.sleep(300)\n"


def as_file(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def test_a_saved_job_counts_the_words_of_a_text(cli: Cli, program: Program, tmp_path: Path) -> None:
    text, out = ROOT / "tests" / "e2e" / "live.py", tmp_path / "words.parquet"
    counts = Counter(re.findall("[a-z]+", text.read_text().lower()))
    top = min(counts, key=lambda word: (-counts[word], word))
    job = {"name": "words", "new_cluster": CLUSTER, **python(program("words.py", WORDS), str(text))}
    id = cli.json("jobs", "create", "--json-file", as_file(tmp_path / "job.json", job))["job_id"]
    assert re.search(rf"^{id} +words$", cli.run("jobs", "list"), re.MULTILINE)
    assert cli.json("jobs", "get", "--job-id", str(id))["settings"]["new_cluster"] == CLUSTER

    parameters = json.dumps([f"file:{text}", f"file:{out}"])
    started = cli.json("jobs", "run-now", "--job-id", str(id), "--python-params", parameters)
    assert started["number_in_job"] == 1
    assert cli.await_end(started["run_id"])["result_state"] == "SUCCESS"
    listed = cli.run("runs", "list", "--job-id", str(id))
    assert re.search(rf"^{started['run_id']} +words +TERMINATED +SUCCESS", listed, re.MULTILINE)
    parts = list(out.glob("part-*.parquet"))
    assert parts and all(part.read_bytes()[:4] == b"PAR1" for part in parts)
    if cli.version == "0.18.0":
        output = cli.json("runs", "get-output", "--run-id", str(started["run_id"]))
        assert f"counted: {len(counts)} words, {top} {counts[top]} times" in output["logs"]

    cli.run("jobs", "delete", "--job-id", str(id))
    assert str(id) not in cli.run("jobs", "list")


def test_a_jar_is_submitted(cli: Cli, tmp_path: Path) -> None:
    task = jar("/opt/spark/examples/jars/spark-examples*.jar", "org.apache.spark.examples.SparkPi", "2")
    body = {"run_name": "pi", "new_cluster": CLUSTER, **task}
    path = as_file(tmp_path / "submit.json", body)
    if cli.version == "0.18.0":
        run = json.loads(cli.run("runs", "submit", "--json-file", path, "--wait"))["run_id"]
        assert "Pi is roughly 3.1" in cli.json("runs", "get-output", "--run-id", str(run))["logs"]
    else:
        run = cli.json("runs", "submit", "--json-file", path)["run_id"]
    assert cli.await_end(run)["result_state"] == "SUCCESS"


def test_a_run_is_cancelled(cli: Cli, program: Program) -> None:
    body = {"new_cluster": CLUSTER, **python(program("slow.py", SLOW))}
    run = cli.json("runs", "submit", "--json", json.dumps(body))["run_id"]

    def running() -> bool:
        return bool(cli.json("runs", "get", "--run-id", str(run))["state"]["life_cycle_state"] == "RUNNING")

    eventually(running, "a running driver", RUN_SECONDS, pause=0.3)
    cli.run("runs", "cancel", "--run-id", str(run))
    assert cli.await_end(run)["result_state"] == "CANCELED"
    cli.run("runs", "cancel", "--run-id", str(run))  # again is no error


def test_errors_reach_the_person(cli: Cli) -> None:
    assert "Run 1 does not exist." in cli.fails("runs", "get", "--run-id", "1")
    cluster = {name: value for name, value in CLUSTER.items() if name != "num_workers"}
    body = {"new_cluster": cluster, **python("/x.py")}
    told = cli.fails("runs", "submit", "--json", json.dumps(body))
    assert "Missing required field: settings.cluster_spec.new_cluster.size" in told


def test_a_wrong_token_is_told(cli: Cli) -> None:
    stranger = replace(cli, environment={**cli.environment, "DATABRICKS_TOKEN": "dapi0123456789"})
    assert "Your authentication information may be incorrect" in stranger.fails("jobs", "list")


def test_waiting_for_a_run_that_fails_tells_why(cli: Cli, program: Program) -> None:
    if cli.version != "0.18.0":
        pytest.skip("this version cannot wait")
    body = {"new_cluster": CLUSTER, **python(program("exits.py", "import sys; sys.exit(3)"))}
    told = cli.fails("runs", "submit", "--wait", "--json", json.dumps(body))
    assert "Run failed with state FAILED and state message The program exited with code 3." in told


def rows(printed: str) -> list[list[str]]:
    """A table as rows of words."""
    return [line.split() for line in printed.splitlines() if line.strip()]


def test_files_go_up_and_come_down(cli: Cli, tmp_path: Path) -> None:
    base = f"dbfs:/cli-{cli.version}"
    for name, size in (("empty", 0), ("small", 5), ("several", 3_000_000), ("deep/er/down", 7)):
        path = tmp_path / "up" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    assert cli.run("fs", "cp", "-r", str(tmp_path / "up"), f"{base}/up").count("->") == 4
    listed = rows(cli.run("fs", "ls", "-l", "--absolute", f"{base}/up"))
    assert [row[:3] for row in listed] == [
        ["dir", "0", f"{base}/up/deep"],
        ["file", "0", f"{base}/up/empty"],
        ["file", "3000000", f"{base}/up/several"],
        ["file", "5", f"{base}/up/small"],
    ]
    assert [base.removeprefix("dbfs:/")] in rows(cli.run("fs", "ls"))
    cli.run("fs", "cp", "-r", f"{base}/up", str(tmp_path / "down"))
    for name in ("empty", "small", "several", "deep/er/down"):
        assert (tmp_path / "down" / name).read_bytes() == (tmp_path / "up" / name).read_bytes()


def test_files_are_moved_shown_and_removed(cli: Cli, tmp_path: Path) -> None:
    base = f"dbfs:/cli-rm-{cli.version}"
    note = tmp_path / "note.txt"
    note.write_text("hello\nyou\n")
    cli.run("fs", "mkdirs", f"{base}/a/b")
    cli.run("fs", "mkdirs", f"{base}/a/b")
    cli.run("fs", "cp", str(note), f"{base}/a/b")
    cli.run("fs", "mv", f"{base}/a", f"{base}/moved")
    assert rows(cli.run("fs", "ls", f"{base}/moved/b")) == [["note.txt"]]
    if cli.version == "0.18.0":
        assert cli.run("fs", "cat", f"{base}/moved/b/note.txt") == "hello\nyou\n"
    assert "IO_ERROR" in cli.fails("fs", "rm", f"{base}/moved")
    cli.run("fs", "rm", "-r", f"{base}/moved")
    assert rows(cli.run("fs", "ls", base)) == []
    assert "RESOURCE_DOES_NOT_EXIST" in cli.fails("fs", "ls", f"{base}/moved")
    assert "RESOURCE_DOES_NOT_EXIST" in cli.fails("fs", "cp", f"{base}/none", str(tmp_path / "none"))
    cli.run("fs", "cp", str(note), f"{base}/note")
    assert "RESOURCE_ALREADY_EXISTS" in cli.fails("fs", "cp", str(note), f"{base}/note")
    cli.run("fs", "cp", "--overwrite", str(note), f"{base}/note")


COUNT = """
import sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
print("lines:", spark.read.text(sys.argv[1]).count())
"""


def test_a_program_that_was_copied_up_runs_on_data_that_was_copied_up(cli: Cli, program: Program) -> None:
    base = f"dbfs:/cli-run-{cli.version}"
    for source, target in ((program("count.py", COUNT), "count.py"), (program("data.txt", "1\n2\n3\n"), "data.txt")):
        cli.run("fs", "cp", str(source), f"{base}/{target}")
    task = {"spark_python_task": {"python_file": f"{base}/count.py", "parameters": [f"{base}/data.txt"]}}
    run = cli.json("runs", "submit", "--json", json.dumps({"new_cluster": CLUSTER, **task}))["run_id"]
    assert cli.await_end(run)["result_state"] == "SUCCESS"
    if cli.version == "0.18.0":
        assert "lines: 3" in cli.json("runs", "get-output", "--run-id", str(run))["logs"]
