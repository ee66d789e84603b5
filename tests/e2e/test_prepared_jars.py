"""JAR programs that something is prepared for: they run in the JVM of the bootstrap's driver, and end as others do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.aws.emr import spark
from tests.e2e.live import CLUSTER, Client, Sandbox, eventually, jar
from tests.e2e.test_libraries import put

MAIN = """
import java.nio.file.*;
import org.apache.spark.sql.*;

public class Main {
    public static class Own implements java.io.Serializable {
        public final long twice;
        public Own(long of) { twice = 2 * of; }
    }

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "throw":
                throw new java.lang.reflect.InvocationTargetException(new IllegalStateException("thrown by main"));
            case "exit":
                System.exit(Integer.parseInt(args[1]));
            case "read":
                System.out.println("READ " + Files.readString(Path.of(args[1])).strip() + " " + System.getenv("STAGE"));
                System.err.println("ERR by main");
                return;
            case "told":
                SparkSession told = SparkSession.builder().getOrCreate();
                for (String name : args[1].split(","))
                    System.out.println(name + "="
                        + (name.startsWith("spark.") ? told.conf().get(name) : System.getenv(name)));
                System.out.println("last of " + args.length + "=" + args[args.length - 1]);
                return;
            case "thread":
                new Thread(() -> { pause(1500); System.out.println("THREAD is over"); }).start();
                return;
        }
        SparkSession session = SparkSession.builder().getOrCreate();
        System.out.println("APP " + session.sparkContext().appName());
        Dataset<Long> twice = session.range(10).map(
            (org.apache.spark.api.java.function.MapFunction<Long, Long>) n -> new Own(n).twice, Encoders.LONG());
        System.out.println("SUM " + twice.collectAsList().stream().mapToLong(n -> n).sum());
        System.out.println("LINES " + session.read().textFile(args[1]).count());
        if (args[0].equals("exit while Spark is up")) System.exit(3);
        if (args[0].equals("stay")) pause(300_000);
    }

    static void pause(long ms) {
        try { Thread.sleep(ms); } catch (InterruptedException e) { throw new RuntimeException(e); }
    }
}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A jar with a class `Main`, which its manifest names, compiled here against the Spark that runs."""
    tools = spark.find_java(os.environ).program.parent
    if not (tools / "javac").exists():
        pytest.skip("there is no javac beside this Java: it takes a JDK to make a jar")
    engine = Path(__file__).resolve().parents[2] / os.environ.get("SPARKPLANE_ENGINE", ".venv-engine")
    (jars,) = engine.glob("lib/python*/site-packages/pyspark/jars")
    work = tmp_path_factory.mktemp("jar")
    (work / "Main.java").write_text(MAIN)
    compile_ = [tools / "javac", "--release", "17", "-cp", f"{jars}/*", "Main.java"]
    subprocess.run(compile_, cwd=work, check=True, timeout=120)
    pack = [tools / "jar", "cfe", "main.jar", "Main", *sorted(p.name for p in work.glob("*.class"))]
    subprocess.run(pack, cwd=work, check=True, timeout=120)
    return work / "main.jar"


Apply = Callable[..., Any]


@pytest.fixture(scope="module")
def volume(sandbox: Sandbox, made: Path) -> list[dict[str, Any]]:
    """A volume with the jar in it, and a file of two lines."""
    client = sandbox.client()
    put(client, "/volumes/own/jobs/in.txt", b"one\ntwo\n")
    put(client, "/volumes/own/jobs/main.jar", made.read_bytes())
    return [{"name": "own::jobs", "mount_path": "/myapp"}]


@pytest.fixture
def apply(client: Client, volume: list[dict[str, Any]]) -> Apply:
    """Runs `Main` of the volume's jar with arguments; the application once it has ended, or at once."""

    def apply(*arguments: str, wait: bool = True, **details: Any) -> Any:
        told = {"application": "/myapp/main.jar", "class": "Main", "arguments": list(arguments), **details}
        body = {"application_details": told, "volumes": volume}
        id = str(client.engine("POST", "/spark_applications", body)["application_id"])
        return client.await_application(id) if wait else id

    return apply


def output(client: Client, name: str) -> str:
    """What the newest run of a name wrote to its standard output."""
    (run,) = [one["run_id"] for one in client.jobs("runs/list")["runs"] if one["run_name"] == name]
    return str(client.jobs("runs/get-output", run_id=run)["logs"])


def test_a_jar_of_a_volume_reads_the_volumes_files_and_runs_its_classes_in_executors(
    client: Client, apply: Apply
) -> None:
    found = apply("count", "/myapp/in.txt", conf={"spark.app.name": "volumes and jars"})
    assert (found["state"], found["return_code"]) == ("FINISHED", "0"), found
    assert found["spark_application_id"].startswith("local-")
    logs = output(client, "volumes and jars")
    assert ["APP volumes and jars", "SUM 90", "LINES 2"] == logs.splitlines()


@pytest.mark.parametrize("last", ["x", ""], ids=["by the engine", "by the bootstrap"])
def test_a_jar_is_told_what_was_said_be_it_empty_long_or_much(
    client: Client, volume: list[dict[str, Any]], last: str
) -> None:
    long = """-Da="x y" -Db='$(z)' `d` \\ * """ * 60
    conf = {"spark.driver.extraJavaOptions": "", "spark.own.empty": "", "spark.own.long": long.strip()}
    many = {f"spark.own.n{number}": f"{number} of them" for number in range(120)}
    name, told = f"told {last}", ["spark.own.empty", "spark.own.long", "spark.own.n0", "spark.own.n119", "MY_B"]
    body = {
        "application": "dbfs:/volumes/own/jobs/main.jar",
        "class": "Main",
        "arguments": ["told", ",".join(told), last],
        "conf": {**conf, **many, "spark.app.name": name},
        "env": {"MY_B": ""},
    }
    id = str(client.engine("POST", "/spark_applications", {"application_details": body})["application_id"])
    found = client.await_application(id)
    assert found["state"] == "FINISHED", found
    said = {**conf, **many, "MY_B": ""}
    assert output(client, name).splitlines() == [*(f"{one}={said[one]}" for one in told), f"last of 3={last}"]


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["throw"], "java.lang.IllegalStateException: thrown by main", "1"),
        (["exit while Spark is up", "/myapp/in.txt"], "The program exited with code 3.", "3"),
    ],
)
def test_a_failing_jar_is_told_by_its_exception_or_exit_code(
    apply: Apply, arguments: list[str], message: str, code: str
) -> None:
    found = apply(*arguments)
    assert (found["state"], found["return_code"]) == ("FAILED", code)
    assert found["state_details"][0]["message"].startswith(message)
    assert found["state_details"][0]["type"] == "user_error"


def test_a_class_that_is_not_there_and_a_jar_that_is_not_there_are_named(apply: Apply) -> None:
    found = apply("read", **{"class": "no.such.Main"})
    assert (found["state"], found["return_code"]) == ("FAILED", "101")
    assert found["state_details"][0]["message"] == "Failed to load class no.such.Main."
    found = apply("read", application="/myapp/absent.jar")
    assert "absent.jar" in found["state_details"][0]["message"]


def test_a_volume_jar_that_is_stopped_leaves_no_process(sandbox: Sandbox, client: Client, apply: Apply) -> None:
    before = set(sandbox.pids())
    id = apply("stay", "/myapp/in.txt", wait=False)
    eventually(lambda: client.application(id).get("spark_application_id"), "the application's id while it runs", 60)
    (driver,) = set(sandbox.pids()) - before
    group = os.getpgid(driver)
    client.ok("DELETE", f"/v4/analytics_engines/{sandbox.instance}/spark_applications/{id}")
    assert client.await_application(id)["state"] == "STOPPED"

    def gone() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    eventually(gone, "the end of all of the driver's processes", 20)


def prepared(client: Client, tmp_path: Path, text: str, task: dict[str, Any]) -> int:
    """Submit a task on a cluster with an init script."""
    script = tmp_path / "init.sh"
    script.write_text(text)
    cluster = {
        **CLUSTER,
        "spark_env_vars": {"STAGE": "test", "PYSPARK_PYTHON": "/databricks/python3/bin/python3"},
        "init_scripts": [{"file": {"destination": f"file:{script}"}}],
    }
    return int(client.jobs("runs/submit", {"new_cluster": cluster, **task})["run_id"])


def test_a_jar_reads_what_an_init_script_wrote(client: Client, tmp_path: Path, made: Path) -> None:
    place = tmp_path / "prepared"
    run = prepared(client, tmp_path, f'echo "for $STAGE" > {place}\n', jar(made, "Main", "read", str(place)))
    assert client.await_end(run)["state"]["result_state"] == "SUCCESS"
    assert client.await_output(run, "READ for test test\n")


def test_threads_that_a_jar_leaves_behind_are_waited_for(client: Client, tmp_path: Path, made: Path) -> None:
    run = prepared(client, tmp_path, "true", jar(made, "Main", "thread"))
    assert client.await_end(run)["state"]["result_state"] == "SUCCESS"
    assert client.await_output(run, "THREAD is over")


def test_a_jar_of_spark_submit_is_run_by_the_class_of_its_manifest(client: Client, tmp_path: Path, made: Path) -> None:
    place = tmp_path / "prepared"
    task = {"spark_submit_task": {"parameters": [f"file:{made}", "read", str(place)]}}
    run = prepared(client, tmp_path, f"echo there > {place}\n", task)
    assert client.await_end(run)["state"]["result_state"] == "SUCCESS"
    assert client.await_output(run, "READ there test\n")


def test_a_failing_init_script_ends_the_run_before_main(client: Client, tmp_path: Path, made: Path) -> None:
    run = prepared(client, tmp_path, "exit 9", jar(made, "Main", "thread"))
    state = client.await_end(run)["state"]
    assert state["life_cycle_state"] == "INTERNAL_ERROR"
    assert state["state_message"].endswith("init.sh failed: Script exit status is non-zero")
    assert "THREAD" not in client.jobs("runs/get-output", run_id=run)["logs"]
