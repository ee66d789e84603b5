"""The bootstrap as spark-submit starts it: `python launch.py`, the bundle on the path, a control plane on loopback."""

from __future__ import annotations

import http.server
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib.driver.bundle import bundle, launch_file

RUN = "acme.4503599627370497"
SECRET = "run-secret-8d1f"


class Api:
    """A control plane that keeps the reports it gets and answers with `statuses`, then with 204."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str, str]] = []
        self.statuses: list[int] = []
        self.location = ""
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                api.calls.append((self.command, self.path, self.headers["Authorization"]))
                api.reports.append(json.loads(body))
                self.send_response(api.statuses.pop(0) if api.statuses else 204)
                if api.location:
                    self.send_header("Location", api.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    yield api
    api.close()


Launch = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def prepare(tmp_path: pathlib.Path) -> Callable[..., list[str]]:
    """Writes the program and its launch file as the control plane would; returns the command."""

    def prepare(source: str, api: str = "", **config: Any) -> list[str]:
        for directory in ("submitted", "program"):
            (tmp_path / directory).mkdir(exist_ok=True)
        (tmp_path / "driver.zip").write_bytes(bundle())
        path = tmp_path / "program" / "job.py"
        path.write_text(source)
        program = {"uri": f"file://{path}", "arguments": ["a", "b c"], **config.pop("program", {})}
        whole = {"run": RUN, "api": api, "secret": SECRET, "program": program, "environment": {}, **config}
        (tmp_path / "submitted" / "launch.py").write_text(launch_file(whole))
        return [sys.executable, str(tmp_path / "submitted" / "launch.py")]

    return prepare


@pytest.fixture
def environ(tmp_path: pathlib.Path) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "driver.zip"), str(tmp_path / "site")]),
        "PATH": os.environ["PATH"],
    }


@pytest.fixture
def launch(prepare: Callable[..., list[str]], environ: dict[str, str], tmp_path: pathlib.Path) -> Launch:
    def launch(source: str, api: str = "", **config: Any) -> subprocess.CompletedProcess[str]:
        command = prepare(source, api, **config)
        return subprocess.run(
            command, capture_output=True, text=True, timeout=30, env=environ, cwd=tmp_path, check=False
        )

    return launch


PROGRAMS = {
    "what a program sees": """
import __main__, sys, os
print(sys.argv, __name__, __file__, __package__, __spec__, sys.path[0], __main__ is sys.modules["__main__"])
print(sorted(n for n in globals() if n not in ("__annotations__", "__main__", "sys", "os")), __main__.__file__)
print(type(__loader__).__name__, __doc__, __builtins__)
""",
    "its own source, annotations and pickles": '''
"""A doc."""
import inspect, pickle
class Point:
    x: int = 3
print(Point.__annotations__, inspect.getsource(Point), pickle.loads(pickle.dumps(Point())).x, __doc__)
''',
    "an exception": "def f():\n    raise ValueError('bad', 7)\n\nf()\n",
    "a chained exception": "try:\n    {}['a']\nexcept KeyError as e:\n    raise RuntimeError('no') from e\n",
    "an exception out of an import": "import no_such_module\n",
    "code that does not parse": "x = 1\nx x\n",
    "an exit with a number": "import sys; sys.exit(3)\n",
    "an exit with a negative number": "import sys; sys.exit(-1)\n",
    "an exit with a number above a byte": "import sys; sys.exit(256)\n",
    "an exit with a text": "import sys; sys.exit('no input today')\n",
    "an exit with None": "import sys; print('x'); sys.exit(None)\n",
    "an exit with a tuple": "import sys; sys.exit((1, 'a'))\n",
    "os._exit": "import os; print('said', flush=True); os._exit(5)\n",
    "its own excepthook": "import sys\nsys.excepthook = lambda t, e, tb: print('hook', t, e, tb.tb_lineno)\n1 / 0\n",
    "an excepthook that exits": "import sys\nsys.excepthook = lambda t, e, tb: sys.exit(9)\n1 / 0\n",
    "threads that outlive the main program": """
import atexit, threading, time
from concurrent.futures import ThreadPoolExecutor
atexit.register(print, "exit function")
pool = ThreadPoolExecutor(2)
pool.submit(lambda: (time.sleep(0.1), print("pool")))
thread = threading.Thread(target=lambda: (pool.submit(print, "x").result(), time.sleep(0.3), print("thread")))
thread.start()
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
time.sleep(0.05)
print("main is over")
""",
    "an exception while threads run": """
import threading, time
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
raise SystemExit("over")
""",
    "processes of its own": """
import multiprocessing as mp
def work(queue, x):
    queue.put((x, __name__))
if __name__ == "__main__":
    for method in ("spawn", "fork"):
        context = mp.get_context(method)
        queue = context.Queue()
        process = context.Process(target=work, args=(queue, method))
        process.start(); print(queue.get()); process.join(); print(process.exitcode)
        other = context.Process(target=__import__("time").sleep, args=(60,))
        other.start(); other.terminate(); other.join(); print(other.exitcode)
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_behaves_as_under_plain_python(
    launch: Launch, environ: dict[str, str], tmp_path: pathlib.Path, name: str
) -> None:
    ours = launch(PROGRAMS[name])
    command = [sys.executable, str(tmp_path / "program" / "job.py"), "a", "b c"]
    plain = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environ, cwd=tmp_path, check=False)
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)


@pytest.mark.parametrize(
    ("source", "code", "error"),
    [
        ("print(1)", 0, None),
        ("import sys; sys.exit(3)", 3, None),
        ("import sys; sys.exit(-1)", 255, None),
        ("import sys; sys.exit('no input')", 1, ("SystemExit", "no input")),
        ("raise ValueError('bad')", 1, ("ValueError", "bad")),
        ("raise KeyboardInterrupt", 130, ("KeyboardInterrupt", "")),
        (
            "class E(Exception):\n  def __str__(self): return 1/0\nraise E",
            1,
            ("E", "<the error's text is not available: ZeroDivisionError>"),
        ),
        ("x x", 1, ("SyntaxError", "invalid syntax (job.py, line 1)")),
    ],
)
def test_the_end_is_reported_with_its_code_and_error(
    launch: Launch, api: Api, source: str, code: int, error: tuple[str, str] | None
) -> None:
    assert launch(source, api.url).returncode == code
    assert api.calls == [("POST", f"/driver/v1/runs/{RUN}/report", f"Bearer {SECRET}")]
    (report,) = api.reports
    assert (report["exit_code"], report["finished"]) == (code, True)
    told = report["error"]
    assert (told and (told["type"], told["message"])) == error


def test_a_reported_traceback_begins_in_the_users_file_and_keeps_its_end(launch: Launch, api: Api) -> None:
    launch("def f(n):\n    raise ValueError('x' * 9000)\nf(1)\n", api.url)
    launch("def f(n):\n    raise ValueError('y')\nf(1)\n", api.url)
    long, short = (report["error"] for report in api.reports)
    assert (len(long["message"]), len(long["traceback"])) == (2_000, 8_000)
    lines = short["traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith('program/job.py", line 3, in <module>')
    assert lines[-1] == "ValueError: y"


def test_secrets_do_not_travel_in_a_reported_error(launch: Launch, api: Api) -> None:
    launch(f"raise ValueError('{SECRET} and hunter22')", api.url, secrets={"DB_PASSWORD": "hunter22"})
    text = json.dumps(api.reports)
    assert SECRET not in text
    assert "hunter22" not in text
    assert api.reports[0]["error"]["message"] == "*********(redacted) and *********(redacted)"


def test_the_end_is_told_after_threads_and_exit_functions(launch: Launch, api: Api) -> None:
    source = """
import atexit, threading, time, urllib.request
def beacon(): urllib.request.urlopen(urllib.request.Request(URL, data=b'{"beacon": 1}')).close()
atexit.register(beacon)
threading.Thread(target=lambda: (time.sleep(0.1), beacon())).start()
"""
    launch(source.replace("URL", repr(api.url)), api.url)
    assert [min(report) for report in api.reports] == ["beacon", "beacon", "error"]


def test_an_abrupt_exit_makes_no_report(launch: Launch, api: Api) -> None:
    assert launch("import os; os._exit(5)", api.url).returncode == 5
    assert api.reports == []


def test_a_forked_child_does_not_report_the_end_of_the_run(launch: Launch, api: Api) -> None:
    source = "import os, sys\npid = os.fork()\nif not pid: sys.exit(7)\nprint(os.waitpid(pid, 0)[1] >> 8)"
    assert launch(source, api.url).stdout == "7\n"
    assert [report["exit_code"] for report in api.reports] == [0]


def test_a_program_that_does_not_exist_is_the_users_error(launch: Launch, api: Api) -> None:
    done = launch("", api.url, program={"uri": "local:///opt/app/no.py"})
    sentence = "The program local:///opt/app/no.py does not exist on the machine that the driver runs on."
    assert (done.returncode, done.stderr) == (1, f"sparkplane: {sentence}\n")
    assert api.reports[0]["error"] == {"type": "ProgramNotFound", "message": sentence, "traceback": ""}


def test_a_jar_without_a_jvm_says_so(launch: Launch, api: Api) -> None:
    done = launch("", api.url, program={"uri": "local:///opt/app/a.jar", "language": "jar", "main_class": "A"})
    sentence = "The program local:///opt/app/a.jar needs the JVM of spark-submit, and there is none."
    assert (done.returncode, done.stderr) == (1, f"sparkplane: {sentence}\n")
    assert api.reports[0]["error"]["message"] == sentence


def test_an_argument_below_an_image_root_is_mapped(
    launch: Launch, environ: dict[str, str], tmp_path: pathlib.Path
) -> None:
    environ["SPARK_HOME"] = str(tmp_path / "spark")
    (tmp_path / "spark").mkdir()
    (tmp_path / "spark" / "README.md").write_text("")
    program = {"arguments": ["/opt/no-such-spark/README.md", "7"]}
    done = launch("import sys; print(sys.argv[1:])", program=program, image_roots=["/opt/no-such-spark"])
    assert done.stdout == f"['{tmp_path}/spark/README.md', '7']\n"


def test_the_environment_is_there_for_the_program_and_its_children(launch: Launch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "acme_tool.py").write_text("NAME = 'acme'")
    source = """
import os, subprocess, sys, time, acme_tool
print(os.environ["A"], os.environ["S"], acme_tool.NAME, time.strftime("%z", time.localtime(0)))
code = "import acme_tool, sparkplane_driver, os; print(os.environ['A'], os.environ['S'])"
print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
"""
    environment = {"A": "1 ", "TZ": "UTC-5", "PYTHONPATH": str(tmp_path / "lib")}
    done = launch(source, environment=environment, secrets={"S": "2"})
    assert (done.stdout, done.stderr) == ("1  2 acme +0500\n1  2\n\n", "")


def test_what_was_settled_when_the_driver_started_is_kept_and_said(launch: Launch, environ: dict[str, str]) -> None:
    environ["PYTHONHASHSEED"] = "0"
    done = launch("import os; print(os.environ['PYTHONHASHSEED'])", environment={"PYTHONHASHSEED": "17"})
    assert done.stdout == "0\n"
    assert "PYTHONHASHSEED cannot be changed" in done.stderr


def test_the_interpreter_of_another_image_is_not_taken(launch: Launch) -> None:
    source = "import os; print(os.environ.get('PYSPARK_PYTHON'), os.environ['PYSPARK_DRIVER_PYTHON'])"
    there = sys.executable
    environment = {"PYSPARK_PYTHON": "/databricks/python3/bin/python3", "PYSPARK_DRIVER_PYTHON": there}
    done = launch(source, environment=environment)
    assert done.stdout.split() == ["None", there]
    assert "there is no /databricks/python3/bin/python3 in this image" in done.stderr


def test_a_name_that_no_environment_can_hold_is_reported(launch: Launch, api: Api) -> None:
    assert launch("print('not reached')", api.url, environment={"A=B": "1"}).returncode == 1
    assert api.reports[0]["error"]["type"] == "ValueError"


# --- a control plane that is not well -----------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("sparkplane:")]


def test_a_dead_control_plane_costs_one_line_and_no_exit_code(launch: Launch) -> None:
    done = launch("print('result'); raise SystemExit(3)", f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (3, "result\n")
    assert len(complaints(done)) == 1
    assert SECRET not in done.stderr


def test_a_silent_control_plane_does_not_hold_the_program(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = launch("print('result')", f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert (done.returncode, done.stdout) == (0, "result\n")
    assert len(complaints(done)) == 1


@pytest.mark.parametrize(
    ("statuses", "attempts", "lines"),
    [([503, 429], 3, 0), ([500, 500, 500], 3, 1), ([403], 1, 1), ([404], 1, 1)],
)
def test_only_what_may_pass_is_tried_again(
    launch: Launch, api: Api, statuses: list[int], attempts: int, lines: int
) -> None:
    api.statuses = statuses
    done = launch("", api.url)
    assert (len(api.reports), len(complaints(done)), done.returncode) == (attempts, lines, 0)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_secret_does_not_follow_a_redirect(launch: Launch, api: Api, status: int) -> None:
    elsewhere = Api()
    try:
        api.statuses, api.location = [status] * 3, elsewhere.url
        done = launch("", api.url)
    finally:
        elsewhere.close()
    assert elsewhere.calls == []
    assert complaints(done) == [f"sparkplane: could not report to the control plane: HTTP status {status}"]


def test_a_reader_of_standard_error_that_is_gone_does_not_keep_the_end_from_being_told(
    launch: Launch, api: Api, pyspark: str
) -> None:
    """Standard error is a pipe to Spark's JVM; when that is killed, Python's complaints have nowhere to go."""
    source = f"""
import os, sys
from {pyspark} import SparkContext
def stop(self): raise OSError("no JVM")
SparkContext.stop = stop
SparkContext()
read, write = os.pipe()
os.close(read)
os.dup2(write, 2)
def hook(*args): raise ValueError
sys.excepthook = hook
raise KeyError("k")
"""
    assert launch(source, api.url).returncode in (1, 120)  # 120: Python could not flush standard error
    assert (api.reports[-1]["exit_code"], api.reports[-1]["error"]["type"]) == (1, "KeyError")


def test_a_secret_that_is_no_header_is_not_printed(launch: Launch, api: Api) -> None:
    done = launch("", api.url, secret="line\nbreak-in-secret")
    assert done.returncode == 0
    assert "break-in-secret" not in done.stderr


# --- signals ------------------------------------------------------------------------------------------------------


@pytest.fixture
def start(prepare: Callable[..., list[str]], environ: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(source: str, api: str) -> subprocess.Popen[str]:
        """Start a program that prints a line when it is ready, and wait for that line."""
        process = subprocess.Popen(
            prepare(source, api), env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout
        assert select.select([process.stdout], [], [], 20)[0]
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


WAITING = "import time\nprint('ready', flush=True)\ntime.sleep(60)\n"


def test_a_driver_that_is_asked_to_stop_says_so_and_dies_of_the_signal(
    start: Callable[..., subprocess.Popen[str]], api: Api
) -> None:
    process = start(WAITING, api.url)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    assert api.reports == [{"signal": 15, "exit_code": 143, "error": None, "finished": True}]


def test_a_driver_that_is_asked_to_stop_does_so_without_a_control_plane(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    process = start(WAITING, f"http://127.0.0.1:{free_port()}")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM


def test_the_programs_own_handler_wins(start: Callable[..., subprocess.Popen[str]], api: Api) -> None:
    own = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(4))\n"
    process = start(own + WAITING, api.url)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 4
    assert [report["exit_code"] for report in api.reports] == [4]


# --- Spark, in the shape of a small imitation ------------------------------------------------------------------------

FAKE_CONTEXT = """
class Conf(dict):
    set, contains = dict.__setitem__, dict.__contains__
    def get(self, key): return self[key]

class Pattern:
    def SECRET_REDACTION_PATTERN(self): return self
    def defaultValueString(self): return "(?i)secret"

JVM = type("JVM", (), {"org.apache.spark.internal.config.package$": type("P", (), {"MODULE$": Pattern()})})

class SparkContext:
    _active_spark_context, _jvm, version = None, JVM, "9.9"
    def __init__(self, **conf):
        self.environment = {k[18:]: v for k, v in conf.items() if k.startswith("spark.executorEnv.")}
        self._do_init(Conf(conf), name="app-1")
        SparkContext._active_spark_context = self
    def _do_init(self, conf, name):
        self.conf = self._initialize_context(conf)
        self.applicationId = name
        self.appName = "its own name"
    def _initialize_context(self, jconf):
        return jconf
    def stop(self):
        print("stopped")
        SparkContext._active_spark_context = None
"""


@pytest.fixture(params=["pyspark/context.py", "pyspark/core/context.py"])
def pyspark(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """A PySpark in the layout of Spark 3.5 or 4; returns the module to import SparkContext from."""
    path = tmp_path / "site" / request.param
    path.parent.mkdir(parents=True)
    for package in {path.parent, tmp_path / "site" / "pyspark"}:
        (package / "__init__.py").write_text("")
    path.write_text(FAKE_CONTEXT)
    return str(request.param).removesuffix(".py").replace("/", ".")


def test_spark_is_reported_when_it_is_up_and_stopped_at_the_end(launch: Launch, api: Api, pyspark: str) -> None:
    done = launch(f"from {pyspark} import SparkContext\nSparkContext()\nprint('end')", api.url)
    assert done.stdout == "end\nstopped\n"
    told: dict[str, Any] = {}
    for report in api.reports:
        told.update(report)
    facts = {"application_id": "app-1", "spark_version": "9.9", "application_name": "its own name"}
    assert told == {**facts, "exit_code": 0, "error": None, "finished": True}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('__version__: str = "4.3.0"\n', {"spark_version": "4.3.0"}),
        ("__version__ = '3.5.6+amzn.0'\n", {"spark_version": "3.5.6+amzn.0"}),
        ("VERSION = 1\n", {}),
        (None, {}),
    ],
)
def test_a_program_that_never_uses_spark_tells_which_one_it_would_have_had(
    launch: Launch, api: Api, pyspark: str, tmp_path: pathlib.Path, text: str | None, told: dict[str, str]
) -> None:
    if text is not None:
        (tmp_path / "site" / "pyspark" / "version.py").write_text(text)
    launch("import sys\nprint('pyspark' in sys.modules)", api.url)
    assert api.reports == [{**told, "exit_code": 0, "error": None, "finished": True}]


def test_what_was_not_acknowledged_is_repeated_in_the_last_report(launch: Launch, api: Api, pyspark: str) -> None:
    api.statuses = [403]
    launch(f"import time\nfrom {pyspark} import SparkContext\nSparkContext()\ntime.sleep(0.5)", api.url)
    assert api.reports[-1]["application_id"] == "app-1"
    assert api.reports[-1]["finished"] is True


def test_a_program_that_stopped_spark_itself_is_left_alone(launch: Launch, pyspark: str) -> None:
    assert launch(f"from {pyspark} import SparkContext\nSparkContext().stop()\nprint('end')").stdout == "stopped\nend\n"


def test_executors_get_the_environment_redacted_and_secrets_stay_out_of_the_conf(launch: Launch, pyspark: str) -> None:
    source = f"""
import json
from {pyspark} import SparkContext
sc = SparkContext(**{{"spark.executorEnv.MINE": "program", "spark.app.name": "x"}})
print(json.dumps([sc.conf, sc.environment]))
"""
    environment = {"A": "1", "MINE": "run"}
    conf, workers = json.loads(launch(source, environment=environment, secrets={"S": "2"}).stdout.splitlines()[0])
    assert conf == {
        "spark.app.name": "x",
        "spark.executorEnv.MINE": "program",
        "spark.executorEnv.A": "1",
        "spark.redaction.regex": "(?i)secret|spark[.]executorEnv[.]",
    }
    assert workers == {"A": "1", "MINE": "program", "S": "2"}


def test_a_redaction_of_the_programs_own_is_extended(launch: Launch, pyspark: str) -> None:
    source = f"from {pyspark} import SparkContext\nsc = SparkContext(**{{'spark.redaction.regex': 'mine'}})\n"
    done = launch(source + "print(sc.conf['spark.redaction.regex'])", environment={"A": "1"})
    assert done.stdout.splitlines()[0] == "mine|spark[.]executorEnv[.]"


def test_the_import_hook_leaves_no_trace_on_the_module(launch: Launch, pyspark: str) -> None:
    source = f"import {pyspark} as m\nprint(type(m.__loader__).__name__, type(m.__spec__.loader).__name__)"
    assert launch(source).stdout == "SourceFileLoader SourceFileLoader\n"
