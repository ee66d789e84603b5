"""The two servers that are compared: a sandbox of our own, and a Spark standalone master with its REST submission.

Both listen on the loopback interface, on free ports, below a temporary directory, and are ended here with all that
they started.
"""

from __future__ import annotations

import http.client
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 180
TOKEN = "spk_main_bench-only-a-token-of-no-worth"
SPARK_CACHE = Path("build/bench/spark")
"""Where the sandbox's class archive is kept between benches: preparing it is not what is measured."""


class BenchError(Exception):
    """A measurement could not be taken; the text says why."""


def free_port() -> int:
    """A TCP port on the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Client:
    """One keep-alive connection, JSON in and out."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Content-Type": "application/json", **(headers or {})}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON. Raises BenchError for anything but success."""
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, path, sent, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise BenchError(f"{method} {path} was answered {answer.status}: {text[:300]!r}")
        return json.loads(text) if text else None


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox with room for one driver."""

    port: int
    instance: str
    home: Path

    def client(self) -> Client:
        """A connection with the administrator's token."""
        return Client(self.port, {"Authorization": f"Bearer {TOKEN}"})


def prepared_home(directory: Path) -> Path:
    """A new home for a sandbox in which Spark's slow set-up is shared with other benches."""
    SPARK_CACHE.mkdir(parents=True, exist_ok=True)
    home = directory / "home"
    home.mkdir()
    (home / "spark").symlink_to(SPARK_CACHE.absolute(), target_is_directory=True)
    return home


NO_LIMITS = {"MAX_ACTIVE_RUNS": "1000000", "MAX_MADE_IN_HOUR": "1000000"}
"""A bench submits more runs at once than a workspace takes by default."""


@contextmanager
def sandbox(directory: Path) -> Iterator[Sandbox]:
    """A sandbox of its own, ended with its drivers afterwards."""
    home, port = prepared_home(directory), free_port()
    told = {"HOME": str(home), "PORT": str(port), "TOKEN": TOKEN, "MAX_DRIVERS": "1", **NO_LIMITS}
    environment = {**os.environ, **{f"SPARKPLANE_{name}": value for name, value in told.items()}}
    with (directory / "sandbox.log").open("wb") as log:
        command = [sys.executable, "-m", "sandbox"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log)
    try:
        ready = _ready_line(process, directory / "sandbox.log")
        yield Sandbox(port, ready.rpartition("analytics_engine=")[2], home)
    finally:
        _end(process)
        end_drivers(home)


def _ready_line(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.select(START_SECONDS)
        line = process.stdout.readline().decode().strip() if selector.select(0) else ""
    if not line.startswith("ready "):
        raise BenchError(f"the sandbox did not start: {log.read_text()[-2000:]}")
    return line


def end_drivers(home: Path) -> None:
    """End the drivers that a sandbox of this home has left running."""
    from sandbox.aws.emr.process import Driver

    for file in (home / "emr").rglob("driver.json"):
        Driver(file.parent).signal(signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def engine_environment(engine: Path) -> dict[str, str]:
    """What Spark's own scripts are started with: the engine's Python first on PATH, none of Spark's variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK", "PYSPARK"))}
    return {**kept, "PATH": f"{(engine / 'bin').absolute()}:{os.environ['PATH']}", "SPARK_LOCAL_IP": "127.0.0.1"}


@contextmanager
def spark_master(engine: Path, directory: Path) -> Iterator[Client]:
    """A standalone master without workers, with its REST submission server; yields a connection to that."""
    ports = {name: free_port() for name in ("master", "web", "rest")}
    conf = directory / "master.conf"
    conf.write_text(f"spark.master.rest.enabled true\nspark.master.rest.port {ports['rest']}\n")
    command = [str(engine / "bin" / "spark-class"), "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1"]
    command += ["--port", str(ports["master"]), "--webui-port", str(ports["web"]), "--properties-file", str(conf)]
    with (directory / "master.log").open("wb") as log:
        process = subprocess.Popen(command, env=engine_environment(engine), cwd=directory, stdout=log, stderr=log)
    try:
        _await_port(ports["rest"], process, directory / "master.log")
        yield Client(ports["rest"])
    finally:
        _end(process)


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise BenchError(f"Spark's master did not start: {log.read_text()[-2000:]}")
