"""The bootstrap inside a real spark-submit, on the engines that are installed.

SPARKPLANE_ENGINE (default `.venv-engine`) and SPARKPLANE_ENGINE35 (default `.venv-engine35`) name the virtual
environments that hold the newest Spark and Spark 3.5.
"""

from __future__ import annotations

import http.server
import json
import os
import pathlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from chalicelib.driver.bundle import bundle, launch_file
from tests.wheels import egg, wheel

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENGINES = {"newest": ("SPARKPLANE_ENGINE", ".venv-engine"), "3.5": ("SPARKPLANE_ENGINE35", ".venv-engine35")}
RUN, SECRET = "acme.4503599627370497", "run-secret-8d1f"
ENVIRONMENT = {"PLAIN": "plain-value-1", "DB_PASSWORD": "pw-value-2"}
SECRETS = {"VAULT": "vault-value-3"}


class Engine(NamedTuple):
    python: pathlib.Path
    home: pathlib.Path


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    variable, default = ENGINES[request.param]
    place = ROOT / os.environ.get(variable, default)
    homes = list(place.glob("lib/python*/site-packages/pyspark"))
    if not homes or not (homes[0] / "jars").is_dir():
        pytest.skip(f"Spark {request.param} is not installed in {place}; {variable} may name another place")
    return Engine(place / "bin" / "python", homes[0])


@pytest.fixture
def reports() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A control plane on loopback: its URL, and the reports it has had with this run's secret."""
    got: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == f"/driver/v1/runs/{RUN}/report"
            assert self.headers["Authorization"] == f"Bearer {SECRET}"
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()
    thread.join()


Submit = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def submit(engine: Engine, reports: tuple[str, list[dict[str, Any]]], tmp_path: pathlib.Path) -> Submit:
    """Runs a program as EMR would: launch file as the entry point, bundle in --py-files, program in --files."""

    def submit(
        source: str, *options: str, uri: str = "s3://bucket/dir/job.py", **more: Any
    ) -> subprocess.CompletedProcess[str]:
        for directory in ("here", "fetched", "events"):
            (tmp_path / directory).mkdir()
        (tmp_path / "fetched" / "job.py").write_text(source)
        (tmp_path / "driver.zip").write_bytes(bundle())
        config = {
            "run": RUN,
            "api": reports[0],
            "secret": SECRET,
            "program": {"uri": uri, "arguments": ["a", "b c"]},
            "environment": ENVIRONMENT,
            "secrets": SECRETS,
            "image_roots": ["/opt/no-such-spark"],
            **more,
        }
        (tmp_path / "launch.py").write_text(launch_file(config))
        conf = {
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": f"file://{tmp_path}/events",
            "spark.eventLog.compress": "false",
            "spark.ui.port": "0",
            "spark.executor.memory": "512m",
        }
        command = [str(engine.home / "bin" / "spark-submit"), "--files", str(tmp_path / "fetched" / "job.py")]
        command += ["--py-files", str(tmp_path / "driver.zip")]
        command += [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
        environment = {
            "PATH": os.environ["PATH"],
            "SPARK_HOME": str(engine.home),
            "PYSPARK_PYTHON": str(engine.python),
            "SPARK_LOCAL_IP": "127.0.0.1",
            **{name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ},
        }
        command += [*(options or ("--master", "local[1]")), str(tmp_path / "launch.py")]
        return subprocess.run(
            command, env=environment, cwd=tmp_path / "here", capture_output=True, text=True, timeout=240, check=False
        )

    return submit


ON_EXECUTORS = """
import json, os, sys, threading, time, urllib.request
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

NAMES = ("PLAIN", "DB_PASSWORD", "VAULT")
see = udf(lambda _: json.dumps([os.environ.get(name) for name in NAMES]))
in_jvm = "reflect('java.lang.System', 'getenv', '%s')"
spark = SparkSession.builder.getOrCreate()

def last():
    time.sleep(0.5)
    print("FOUND " + json.dumps(found))

application = spark.sparkContext.uiWebUrl + "/api/v1/applications/" + spark.sparkContext.applicationId
found = {
    "arguments": sys.argv[1:],
    "driver": [os.environ.get(name) for name in NAMES],
    "python": json.loads(spark.range(1).select(see("id")).first()[0]),
    "jvm": list(spark.range(1).selectExpr(*(in_jvm % name for name in NAMES)).first()),
}
found["ui"] = "".join(
    urllib.request.urlopen(application + page).read().decode()
    for page in ("/environment", "/jobs", "/stages", "/sql?details=true")
)
threading.Thread(target=last).start()
"""


def test_environment_reaches_executors_and_is_shown_nowhere(
    submit: Submit, reports: tuple[str, list[dict[str, Any]]], tmp_path: pathlib.Path
) -> None:
    done = submit(ON_EXECUTORS, "--master", "local-cluster[1,1,1024]")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("FOUND "))[6:])
    plain, password, vault = [*ENVIRONMENT.values(), *SECRETS.values()]
    assert found["arguments"] == ["a", "b c"]
    assert found["driver"] == found["python"] == [plain, password, vault]
    assert found["jvm"] == [plain, password, "null"]

    logs = [path.read_text() for path in (tmp_path / "events").rglob("*") if path.is_file() and path.suffix != ".crc"]
    assert any("SparkListenerApplicationEnd" in log for log in logs)
    for shown in (*logs, found["ui"], done.stderr):
        assert not [value for value in (plain, password, vault, SECRET) if value in shown]

    first, last = reports[1]
    assert any(first["application_id"] in log for log in logs)
    assert first["spark_version"][0] in "34"
    assert last == {"exit_code": 0, "error": None, "finished": True}


def test_an_exception_of_a_spark_program_is_told_by_its_last_line(
    submit: Submit, reports: tuple[str, list[dict[str, Any]]]
) -> None:
    source = "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate().sql('select nope')\n"
    done = submit(source)
    assert done.returncode == 1
    error = reports[1][-1]["error"]
    assert error["type"] == "AnalysisException"
    assert "nope" in error["message"]
    assert error["traceback"].splitlines()[1].endswith('fetched/job.py", line 2, in <module>')
    assert "sparkplane_driver" not in done.stdout


@pytest.mark.parametrize(
    ("source", "code", "told"),
    [("import sys; sys.exit(3)", 3, [3]), ("import os; os._exit(5)", 5, [])],
    ids=["sys.exit", "os._exit"],
)
def test_an_exit_code_becomes_that_of_spark_submit(
    submit: Submit, reports: tuple[str, list[dict[str, Any]]], source: str, code: int, told: list[int]
) -> None:
    assert submit(source).returncode == code
    assert [report["exit_code"] for report in reports[1]] == told


def test_a_program_that_was_not_fetched_is_named(submit: Submit, reports: tuple[str, list[dict[str, Any]]]) -> None:
    done = submit("", uri="s3://bucket/dir/other.py")
    assert done.returncode == 1
    assert "s3://bucket/dir/other.py was not fetched" in done.stdout + done.stderr
    assert reports[1][-1]["error"]["type"] == "ProgramNotFound"


WITH_LIBRARIES = """
import json, os
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
import apart

def see(_):
    import apart, old
    return json.dumps([apart.VERSION, old.VERSION, apart.__file__])

spark = SparkSession.builder.getOrCreate()
print("FOUND " + json.dumps([apart.__file__, json.loads(spark.range(1).select(udf(see)("id")).first()[0])]))
"""


def test_libraries_reach_executors_that_are_processes_of_their_own(submit: Submit, tmp_path: pathlib.Path) -> None:
    libraries = [
        {"kind": "whl", "name": wheel(tmp_path, "apart", "3.1").as_uri(), "label": "whl"},
        {"kind": "egg", "name": egg(tmp_path, "old").as_uri(), "label": "egg"},
    ]
    done = submit(WITH_LIBRARIES, "--master", "local-cluster[1,1,1024]", libraries=libraries)
    assert done.returncode == 0, done.stdout + done.stderr
    here, (version, old, there) = json.loads(done.stdout.partition("FOUND ")[2].splitlines()[0])
    assert (version, old) == ("3.1", "egg")
    assert "/sparkplane_libraries/0/apart/" in there
    assert "/libraries-" in here
    assert "Successfully installed apart-3.1" in done.stderr, "pip's words belong into the error log"
    assert "Successfully installed" not in done.stdout


def test_a_run_without_executors_runs_its_tasks_in_the_driver(submit: Submit) -> None:
    source = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("FOUND", spark.sparkContext.master, spark.range(10).count(), spark.sparkContext.defaultParallelism)
"""
    done = submit(source, "--master", "spark://127.0.0.1:1", local_cores=2)
    assert "FOUND local[2] 10 2" in done.stdout, done.stdout + done.stderr
