"""From submission to a program's first line and first result: a run in the sandbox against stock `spark-submit`.

Every run is cold: a JVM and a Python of its own on both sides. The pairs are interleaved and the side that begins
alternates; one pair before them warms the disk cache. `spark-submit` has its default options; ours is an ordinary run
submitted over HTTP, with whatever the sandbox does to start drivers quickly (its class archive, its choice of JIT and
collector, no web UI). Both run the same file with the same Spark.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.rows import Row, Section, median, spread
from bench.servers import BenchError, Client, Sandbox, engine_environment

PROGRAM = Path(__file__).parent / "programs" / "first_result.py"
RUN_SECONDS = 180


@dataclass
class Times:
    """Seconds from the start of each run."""

    first_line: list[float] = field(default_factory=list)
    first_result: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)

    def add(self, started: float, stamps: Path, ended: float) -> None:
        """Take a run's two stamps, and its end."""
        line, result = map(float, stamps.read_text().split())
        self.first_line.append(line - started)
        self.first_result.append(result - started)
        self.end.append(ended - started)


def task(file: Path, *arguments: str) -> dict[str, object]:
    """A runs/submit body for one Python file."""
    cluster = {"spark_version": "16.4.x-scala2.12", "node_type_id": "m5.large", "num_workers": 1}
    python = {"python_file": str(file.absolute()), "parameters": list(arguments)}
    return {"run_name": file.stem, "new_cluster": cluster, "spark_python_task": python}


def await_run(client: Client, run: int, *, life: str = "TERMINATED") -> dict[str, str]:
    """Poll a run until it is in a life cycle state; its state. Raises BenchError if that takes too long."""
    until = time.monotonic() + RUN_SECONDS
    while time.monotonic() < until:
        state: dict[str, str] = client.call("GET", f"/api/2.0/jobs/runs/get?run_id={run}")["state"]
        if state["life_cycle_state"] in {life, "INTERNAL_ERROR"}:
            return state
        time.sleep(0.25)
    raise BenchError(f"run {run} was not {life} within {RUN_SECONDS} s")


def measure(sandbox: Sandbox, engine: Path, directory: Path, pairs: int) -> Section:
    """`pairs` runs on each side, and one before them that does not count."""
    client, stamps = sandbox.client(), directory / "stamps"
    environment = engine_environment(engine)
    ours, stock = Times(), Times()

    def submit_to_us() -> tuple[float, float]:
        started = time.time()
        run = client.call("POST", "/api/2.0/jobs/runs/submit", task(PROGRAM, str(stamps)))["run_id"]
        state = await_run(client, run)
        if state.get("result_state") != "SUCCESS":
            raise BenchError(f"our run failed: {state}")
        return started, time.time()

    def submit_to_spark() -> tuple[float, float]:
        command = [str(engine / "bin" / "spark-submit"), str(PROGRAM.absolute()), str(stamps)]
        started = time.time()
        ended = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, timeout=RUN_SECONDS, check=False
        )
        if ended.returncode:
            raise BenchError(f"spark-submit failed: {ended.stderr.decode()[-1000:]}")
        return started, time.time()

    sides: list[tuple[Callable[[], tuple[float, float]], Times]] = [(submit_to_us, ours), (submit_to_spark, stock)]
    for number in range(pairs + 1):
        for run, times in sides if number % 2 else reversed(sides):
            stamps.unlink(missing_ok=True)
            began, ended = run()
            (times if number else Times()).add(began, stamps, ended)
    return _section(ours, stock, pairs)


def _section(ours: Times, stock: Times, pairs: int) -> Section:
    def row(what: str, mine: list[float], theirs: list[float], hold: float | None = None) -> Row:
        ratio = median(mine) / median(theirs)
        return Row(what, spread(mine), spread(theirs), ratio, hold, None if hold is None else 0.05)

    rows = [
        row("submit → first result, cold", ours.first_result, stock.first_result, 0.6),
        row("submit → first line of the program", ours.first_line, stock.first_line),
        row("submit → its end is known to the caller", ours.end, stock.end),
    ]
    notes = [
        f"against stock spark-submit of the same file; median of {pairs} interleaved pairs (smallest to largest)",
        "ours begins with the POST; its end is polled every 0.25 s; the reach needs warm slots, not used here",
    ]
    return Section("From submission to the first result", rows, notes)
