"""A sandbox as a process of its own, as `make run` starts it, and a caller of its two dialects.

Every wait has a deadline and polls. A process is ended by its pid; what it left running (drivers ride out the death
of a sandbox on purpose) is ended by the pids that it wrote to disk, and only if they are still those processes.
"""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import requests

from sandbox.aws.emr.shim import start_time

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("SPARKPLANE_HOME", ROOT / ".sandbox")) / "spark"
"""What Spark's quick start needs, built once (about a minute) and shared by every home of these tests."""

START_SECONDS = 240
RUN_SECONDS = 120
LIVING = {"PENDING", "RUNNING", "TERMINATING"}
CLUSTER = {"spark_version": "7.5.x-scala2.12", "node_type_id": "n1-highmem-4", "num_workers": 1}

T = TypeVar("T")


def eventually(look: Callable[[], T], what: str, seconds: float = 30, pause: float = 0.1) -> T:
    """The first true thing that `look` gives; fails, saying `what` was awaited, when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)


def free_port() -> int:
    """A port that nobody listens on now, below those that a system gives to connections: it is bound only after a start
    that may take a minute, and must still be free then."""
    while True:
        try:
            with socket.create_server(("127.0.0.1", random.randrange(20_000, 32_000))) as probe:
                return int(probe.getsockname()[1])
        except OSError:
            continue


class Sandbox:
    """One home with a sandbox over it, which may be killed and started again any number of times."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = self.instance = ""
        self.stdout: list[str] = []
        own = {"SPARKPLANE_HOME": str(home), "SPARKPLANE_PORT": str(self.port)}
        self._environment = {**os.environ, **environment, **own}
        self._process: subprocess.Popen[str] | None = None
        home.mkdir(parents=True, exist_ok=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        if not (home / "spark").exists():
            (home / "spark").symlink_to(CACHE)

    def start(self) -> Sandbox:
        """Start it, and wait until it says that it is ready."""
        with (self.home / "log").open("ab") as log:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "sandbox"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        ready: dict[str, str] = {}
        threading.Thread(target=self._read, args=(process, ready), daemon=True).start()
        deadline = time.monotonic() + START_SECONDS
        while not ready:
            ended = process.poll()
            assert ended is None, f"the sandbox ended with {ended}; its log ends\n{self.log()}"
            assert time.monotonic() < deadline, f"no ready line in {START_SECONDS} s; the log ends\n{self.log()}"
            time.sleep(0.05)
        self.token, self.instance = ready["token"], ready["analytics_engine"]
        return self

    def _read(self, process: subprocess.Popen[str], ready: dict[str, str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.stdout.append(line.rstrip("\n"))
            if line.startswith("ready "):
                ready.update(word.split("=", 1) for word in line.split()[2:])

    def log(self, lines: int = 40) -> str:
        """The end of what it said to its owner."""
        return "\n".join((self.home / "log").read_text(errors="replace").splitlines()[-lines:])

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ctrl-C; returns the exit code."""
        return self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(30)

    def end(self) -> None:
        """Stop it, and its drivers."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        for name in ("shim.json", "driver.json"):
            for pid in self.pids(name):
                try:
                    os.killpg(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue  # ended meanwhile

    def pids(self, name: str = "driver.json") -> list[int]:
        """The pids of drivers (or with `shim.json`, of their watchers) that run now; each leads its process group."""
        return [pid for pid, start in self._told(name) if start and start_time(pid) == start]

    def _told(self, name: str) -> Iterator[tuple[int, str | None]]:
        for path in self.home.glob(f"emr/*/{name}"):
            if path.with_name("exit.json").exists():
                continue
            told = json.loads(path.read_text())
            yield told["pid"], told["start"]

    def client(self, token: str = "") -> Client:
        """A caller with this token, or the administrator's."""
        return Client(self, token or self.token)

    def admin(self, *words: str, told: str = "") -> Any:
        """What the administrator's command answers to `words`, with `told` on its standard input."""
        environment = {"PATH": os.environ["PATH"], **self.aws()}
        command = [sys.executable, "-m", "chalicelib.admin", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, input=told, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def aws(self) -> dict[str, str]:
        """What `<home>/aws.env` says: with it, the sandbox is reached as if it were AWS."""
        lines = (self.home / "aws.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def s3(self) -> Any:
        """A client of its S3."""
        import boto3

        told = self.aws()
        return boto3.client(
            "s3",
            endpoint_url=told["AWS_ENDPOINT_URL"],
            region_name=told["AWS_REGION"],
            aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
        )


Answer = tuple[int, Any]


class Client:
    """Calls both dialects. One a thread: it keeps its connection."""

    def __init__(self, sandbox: Sandbox, token: str) -> None:
        self.sandbox = sandbox
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def authorize(self, header: str | None) -> None:
        """Send this Authorization header from now on, or none."""
        self._session.headers.pop("Authorization", None)
        if header is not None:
            self._session.headers["Authorization"] = header

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """Status and JSON body of any request."""
        answer = self._session.request(method, self.sandbox.url + path, json=body, timeout=60, **options)
        return answer.status_code, answer.json() if answer.content else None

    def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The body of a request that succeeds."""
        status, found = self.call(method, path, body, **options)
        assert 200 <= status < 300, (status, found)
        return found

    # Databricks

    def jobs(self, verb: str, body: Any = None, **query: Any) -> Any:
        """A Jobs 2.0 operation that succeeds: POST with a body, else GET."""
        method = "GET" if body is None else "POST"
        return self.ok(method, f"/api/2.0/jobs/{verb}", body, params=query or None)

    def submit(self, task: Mapping[str, Any], **settings: Any) -> int:
        """A one-time run of a task; `environment` are its spark_env_vars."""
        cluster = {**CLUSTER, "spark_env_vars": settings.pop("environment", {})}
        return int(self.jobs("runs/submit", {"new_cluster": cluster, **task, **settings})["run_id"])

    def run(self, run: int) -> Any:
        """A Run as Databricks shows it."""
        return self.jobs("runs/get", run_id=run)

    def state(self, run: int) -> tuple[str, str | None, str]:
        """A run's life cycle state, result and message."""
        state = self.run(run)["state"]
        return state["life_cycle_state"], state.get("result_state"), state["state_message"]

    def await_end(self, run: int, seconds: float = RUN_SECONDS) -> Any:
        """The Run, once it has ended."""

        def look() -> Any:
            found = self.run(run)
            return found if found["state"]["life_cycle_state"] not in LIVING else None

        return eventually(look, f"end of run {run}", seconds, pause=0.2)

    def await_output(self, run: int, text: str, seconds: float = RUN_SECONDS) -> str:
        """A run's standard output, once it has `text` in it."""

        def look() -> str | None:
            logs = self.jobs("runs/get-output", run_id=run)["logs"]
            return logs if text in logs else None

        return eventually(look, f"{text!r} in the output of run {run}", seconds)

    # Analytics Engine

    def engine(self, method: str, path: str = "", body: Any = None) -> Any:
        """An operation on this sandbox's instance that succeeds."""
        return self.ok(method, f"/v4/analytics_engines/{self.sandbox.instance}{path}", body)

    def apply(self, application: str, *arguments: str, **details: Any) -> str:
        """Submit an application; its id."""
        details = {"application": application, "arguments": list(arguments), **details}
        return str(self.engine("POST", "/spark_applications", {"application_details": details})["application_id"])

    def application(self, id: str) -> Any:
        """An application whole."""
        return self.engine("GET", f"/spark_applications/{id}")

    def application_named(self, name: str) -> Any:
        """The application that Analytics Engine lists under this name, whoever submitted it."""
        listed = self.engine("GET", "/spark_applications")["applications"]
        (id,) = [one["application_id"] for one in listed if one["spark_application_name"] == name]
        return self.application(id)

    def await_application(self, id: str, seconds: float = RUN_SECONDS) -> Any:
        """The application, once it has ended."""

        def look() -> Any:
            found = self.application(id)
            return found if found["state"] in {"FINISHED", "FAILED", "STOPPED", "AUTO_TERMINATED"} else None

        return eventually(look, f"end of application {id}", seconds, pause=0.2)


def python(path: Path | str, *arguments: str) -> dict[str, Any]:
    """Databricks' task that runs a Python file of this machine."""
    return {"spark_python_task": {"python_file": f"file:{path}", "parameters": list(arguments)}}


def jar(path: Path | str, main_class: str, *arguments: str) -> dict[str, Any]:
    """Databricks' task that runs a class of a jar of this machine."""
    task = {"main_class_name": main_class, "parameters": list(arguments)}
    return {"spark_jar_task": task, "libraries": [{"jar": str(path)}]}


def in_parallel(count: int, work: Callable[[int], T]) -> list[T]:
    """`work(0)` to `work(count - 1)`, each in a thread of its own, begun together; raises what one of them raised."""
    from concurrent.futures import ThreadPoolExecutor

    gate = threading.Barrier(count)

    def one(number: int) -> T:
        gate.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@cache
def _dynamodb(endpoint: str, region: str, id: str, secret: str) -> Any:
    import boto3

    return boto3.client(
        "dynamodb", endpoint_url=endpoint, region_name=region, aws_access_key_id=id, aws_secret_access_key=secret
    )


def _items(sandbox: Sandbox, partition: str) -> list[dict[str, Any]]:
    """The items of one partition of the table, read as an administrator would."""
    told = sandbox.aws()
    found = _dynamodb(
        told["AWS_ENDPOINT_URL"], told["AWS_REGION"], told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"]
    ).query(
        TableName=told["SPARKPLANE_TABLE"],
        KeyConditionExpression="pk = :p",
        ExpressionAttributeValues={":p": {"S": partition}},
        ConsistentRead=True,
    )
    return list(found["Items"])


def capacity(sandbox: Sandbox) -> tuple[int, dict[str, int]]:
    """How many holds the table has, and what the ledger counts as used."""
    (ledger,) = _items(sandbox, "#cluster#default")
    used = {name: int(value["N"]) for name, value in ledger.items() if name.startswith("used/")}
    return len(_items(sandbox, "#holds#default")), used


def run_record(sandbox: Sandbox, run: int) -> Any:
    """The table's record of a run: what no dialect shows."""
    (item,) = [item for item in _items(sandbox, f"main#run#{run}") if item["sk"]["S"] == "run"]
    return json.loads(zlib.decompress(base64.b85decode(item["deflated"]["S"])))
