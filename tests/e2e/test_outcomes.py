"""How runs end: each kind of end has its own true sentence, the same in both dialects."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from sandbox.aws.emr import spark
from tests.e2e.conftest import Program
from tests.e2e.live import CLUSTER, Client, Sandbox, eventually, jar, python

SLOW = "import time\nprint('begun', flush=True)\ntime.sleep(300)\n"
EXAMPLES = "/opt/spark/examples/jars/spark-examples*.jar"

PYTHON_ENDS = {
    "exit": ("import sys; print('said before'); sys.exit(3)", "The program exited with code 3.", "3"),
    "raise": ("def f(): raise ValueError('no such thing')\nf()", "ValueError: no such thing", "1"),
    "os_exit": ("import os; print('bye', flush=True); os._exit(5)", "The program exited with code 5.", "5"),
    "syntax": ("print('a'\n", "SyntaxError: '(' was never closed", "1"),
}


def ended_in_both(client: Client, task: dict[str, Any], **settings: Any) -> tuple[Any, Any]:
    """A run of the task, as both dialects show it once it has ended."""
    name = f"run-{uuid.uuid4().hex}"
    run = client.submit(task, run_name=name, **settings)
    return client.await_end(run), client.application_named(name)


def assert_failed(found: tuple[Any, Any], message: str, code: str | None = None) -> None:
    run, application = found
    assert run["state"]["life_cycle_state"] == "TERMINATED"
    assert run["state"]["result_state"] == "FAILED"
    assert message in run["state"]["state_message"]
    assert application["state"] == "FAILED"
    assert [(d["type"], d["message"]) for d in application["state_details"]] == [
        ("user_error", run["state"]["state_message"])
    ]
    if code is not None:
        assert application["return_code"] == code


@pytest.mark.parametrize("kind", PYTHON_ENDS)
def test_a_python_program_that_fails_says_how(client: Client, program: Program, kind: str) -> None:
    source, message, code = PYTHON_ENDS[kind]
    assert_failed(ended_in_both(client, python(program(f"{kind}.py", source))), message, code)


def test_a_traceback_and_what_was_printed_are_in_the_output(client: Client, program: Program) -> None:
    path = program("prints.py", "print('first line')\nraise KeyError('absent')\n")
    run = client.submit(python(path))
    client.await_end(run)
    output = client.jobs("runs/get-output", run_id=run)
    assert output["logs"].startswith("first line\n")
    assert output["error"] == "KeyError: 'absent'"
    assert f'File "{path}", line 2, in <module>' in output["error_trace"]
    assert output["metadata"]["run_id"] == run


def test_a_program_that_does_not_exist_is_named(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "nowhere.py"
    assert_failed(ended_in_both(client, python(path)), f"file:{path} does not exist")


def test_a_run_that_takes_too_long_is_timed_out_in_both_dialects(client: Client, program: Program) -> None:
    run, application = ended_in_both(client, python(program("slow.py", SLOW)), timeout_seconds=3)
    assert run["state"] == {
        "life_cycle_state": "TERMINATED",
        "result_state": "TIMEDOUT",
        "state_message": "Run timed out after 3 seconds.",
        "user_cancelled_or_timedout": True,
    }
    assert application["state"] == "AUTO_TERMINATED"
    assert application["state_details"][0]["message"] == "Run timed out after 3 seconds."


THROWS = """
public class Throws {
    public static void main(String[] args) {
        if (args.length > 0) System.exit(Integer.parseInt(args[0]));
        throw new IllegalStateException("thrown by main");
    }
}
"""


@pytest.fixture(scope="module")
def throwing_jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A jar with a class `Throws`, compiled here."""
    java = spark.find_java(os.environ)
    tools = java.program.parent
    if not (tools / "javac").exists():
        pytest.skip("there is no javac beside this Java: it takes a JDK to make a jar")
    work = tmp_path_factory.mktemp("jar")
    (work / "Throws.java").write_text(THROWS)
    subprocess.run([tools / "javac", "--release", "17", "Throws.java"], cwd=work, check=True, timeout=120)
    subprocess.run([tools / "jar", "cf", "throws.jar", "Throws.class"], cwd=work, check=True, timeout=120)
    return work / "throws.jar"


def test_a_jar_whose_main_throws_is_told_by_its_exception(client: Client, throwing_jar: Path) -> None:
    found = ended_in_both(client, jar(throwing_jar, "Throws"))
    assert_failed(found, "java.lang.IllegalStateException: thrown by main", "1")


def test_a_jar_that_exits_is_told_by_its_code(client: Client, throwing_jar: Path) -> None:
    assert_failed(ended_in_both(client, jar(throwing_jar, "Throws", "4")), "The program exited with code 4.", "4")


def test_a_main_class_that_does_not_exist_is_named(client: Client, throwing_jar: Path) -> None:
    assert_failed(ended_in_both(client, jar(throwing_jar, "NoSuchMain")), "Failed to load class NoSuchMain")


def test_a_jar_that_does_not_exist_is_named(client: Client, tmp_path: Path) -> None:
    assert_failed(ended_in_both(client, jar(tmp_path / "absent.jar", "Main")), "absent.jar")


CHILDREN = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print("child", child.pid, flush=True)
time.sleep(300)
"""


def test_cancel_ends_the_driver_with_all_its_processes(sandbox: Sandbox, client: Client, program: Program) -> None:
    run = client.submit(python(program("children.py", CHILDREN)))
    child = int(client.await_output(run, "child").split()[1])
    assert sandbox.pids()
    client.jobs("runs/cancel", {"run_id": run})
    ended = client.await_end(run)
    assert ended["state"]["result_state"] == "CANCELED"
    assert ended["state"]["user_cancelled_or_timedout"] is True
    eventually(lambda: not sandbox.pids() and not sandbox.pids("shim.json"), "end of the driver's processes")
    eventually(lambda: not Path(f"/proc/{child}").exists(), "end of the program's own child")


def test_a_run_that_waits_is_cancelled_before_it_starts(client: Client, program: Program) -> None:
    path = program("slow.py", SLOW)
    running = [client.submit(python(path)) for _ in range(2)]
    waiting = client.submit(python(path))
    client.jobs("runs/cancel", {"run_id": waiting})
    assert client.state(waiting) == ("TERMINATED", "CANCELED", "Run cancelled before it started.")
    for run in running:
        client.jobs("runs/cancel", {"run_id": run})
    assert [client.await_end(run)["state"]["result_state"] for run in running] == ["CANCELED", "CANCELED"]


SEES = """
import os
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
spark = SparkSession.builder.getOrCreate()
seen = spark.range(1).select(udf(lambda _: os.environ.get("GREETING"))("id")).first()[0]
print("driver=" + os.environ.get("GREETING"), "executor=" + seen, spark.sparkContext.applicationId)
"""


def test_environment_variables_reach_the_driver_and_udfs_in_both_dialects(client: Client, program: Program) -> None:
    path = program("sees.py", SEES)
    run = client.submit(python(path), environment={"GREETING": "salut"})
    id = client.apply(str(path), env={"GREETING": "hallo"}, name="sees")
    ended, application = client.await_end(run), client.await_application(id)
    assert (ended["state"]["result_state"], application["state"]) == ("SUCCESS", "FINISHED")
    (other,) = [r["run_id"] for r in client.jobs("runs/list")["runs"] if r["run_name"] == "sees"]
    seen = [client.await_output(one, "driver=").split("driver=")[1].split() for one in (run, other)]
    assert seen == [
        ["salut", "executor=salut", ended["cluster_instance"]["spark_context_id"]],
        ["hallo", "executor=hallo", application["spark_application_id"]],
    ]


THIRD_TIME = """
import pathlib, sys
count = pathlib.Path(sys.argv[1])
tries = len(count.read_text()) if count.exists() else 0
count.write_text("x" * (tries + 1))
sys.exit(0 if tries == 2 else 7)
"""


def test_a_job_is_retried_until_it_succeeds(client: Client, program: Program, tmp_path: Path) -> None:
    task = python(program("third_time.py", THIRD_TIME), str(tmp_path / "count"))
    settings = {**task, "name": "third time", "new_cluster": CLUSTER, "max_retries": 5}
    job = client.jobs("create", {**settings, "min_retry_interval_millis": 1000})["job_id"]
    first = client.jobs("run-now", {"job_id": job})["run_id"]

    def attempts() -> Any:
        runs = client.jobs("runs/list", job_id=job)["runs"]
        return runs if runs[0]["state"].get("result_state") == "SUCCESS" else None

    runs = eventually(attempts, "a successful attempt", 120)
    assert [run["attempt_number"] for run in runs] == [2, 1, 0]
    assert [run["number_in_job"] for run in runs] == [3, 2, 1]
    assert {run["original_attempt_run_id"] for run in runs} == {first}
    assert [run["trigger"] for run in runs] == ["RETRY", "RETRY", "ONE_TIME"]
    assert [run["state"]["state_message"] for run in runs[1:]] == ["The program exited with code 7."] * 2
    assert (tmp_path / "count").read_text() == "xxx"


def test_the_examples_jar_of_the_image_runs(client: Client) -> None:
    run = client.submit(jar(EXAMPLES, "org.apache.spark.examples.SparkPi", "2"))
    assert client.await_end(run)["state"]["result_state"] == "SUCCESS"
    assert "Pi is roughly 3.1" in client.await_output(run, "Pi is")
