"""What accepting a submission costs: our POST against Spark standalone's REST submission.

One client, one keep-alive connection on each side, blocks in turn. Neither side starts a driver meanwhile, and on both
the submission is kept and queued: our pool has room for one driver, which an idle run holds; the master has no workers.
Ours is durable when it answers (a transaction in the table); the master keeps submissions in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.first_result import PROGRAM, task
from bench.rows import Row, Section, median, p95
from bench.servers import BenchError, Client, Sandbox

HOLD = Path(__file__).parent / "programs" / "hold.py"
BLOCKS = 4
WARM_UP = 100


def measure(sandbox: Sandbox, master: Client, directory: Path, count: int) -> Section:
    """`count` submissions on each side, in BLOCKS blocks each, after WARM_UP that do not count."""
    client, held = sandbox.client(), directory / "held"
    holder = client.call("POST", "/api/2.0/jobs/runs/submit", task(HOLD, str(held)))["run_id"]
    _await_file(held)
    sides: dict[str, Callable[[], Any]] = {
        "ours": lambda: client.call("POST", "/api/2.0/jobs/runs/submit", task(PROGRAM, "unused"))["run_id"],
        "spark": lambda: _create(master),
        "engine": lambda: client.call("POST", *_application(sandbox))["application_id"],
    }
    try:
        for call in sides.values():
            _timed(call, WARM_UP)
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(BLOCKS):
            for name, call in sides.items():
                times[name] += _timed(call, -(-count // BLOCKS))
    finally:
        client.call("POST", "/api/2.0/jobs/runs/cancel", {"run_id": holder})
        held.unlink(missing_ok=True)
    return _section(times)


def _timed(call: Callable[[], Any], count: int) -> list[float]:
    """Milliseconds of each call."""
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def _await_file(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        if time.monotonic() > until:
            raise BenchError("the run that is to fill the pool did not start")
        time.sleep(0.1)


def _create(master: Client) -> str:
    answer = master.call(
        "POST",
        "/v1/submissions/create",
        {
            "action": "CreateSubmissionRequest",
            "appResource": "file:/nowhere/app.jar",
            "mainClass": "Main",
            "appArgs": ["unused"],
            "clientSparkVersion": "4.0.0",
            "environmentVariables": {"SPARK_ENV_LOADED": "1"},
            "sparkProperties": {
                "spark.app.name": "bench",
                "spark.jars": "file:/nowhere/app.jar",
                "spark.submit.deployMode": "cluster",
                "spark.master": "spark://127.0.0.1:7077",
            },
        },
    )
    if not answer.get("success"):
        raise BenchError(f"Spark's master refused a submission: {answer}")
    return str(answer["submissionId"])


def _application(sandbox: Sandbox) -> tuple[str, dict[str, Any]]:
    path = f"/v4/analytics_engines/{sandbox.instance}/spark_applications"
    return path, {"application_details": {"application": str(PROGRAM.absolute()), "arguments": ["unused"]}}


def _section(times: dict[str, list[float]]) -> Section:
    ours, spark, engine = times["ours"], times["spark"], times["engine"]

    def row(what: str, pick: Callable[[list[float]], float], mine: list[float]) -> Row:
        hold, reach = (1.0, 0.3) if pick is median else (None, None)
        return Row(what, f"{pick(mine):.2f} ms", f"{pick(spark):.2f} ms", pick(mine) / pick(spark), hold, reach)

    rows = [
        row("POST submit (Jobs API 2.0), p50", median, ours),
        row("POST submit (Jobs API 2.0), p95", p95, ours),
        row("POST submit (Analytics Engine v4), p50", median, engine),
        row("POST submit (Analytics Engine v4), p95", p95, engine),
    ]
    notes = [
        f"against Spark standalone's REST submission; {len(ours)} calls a side, {WARM_UP} before them",
        "ours is on disk when it is answered, and the emulated AWS behind it is in the same process",
        "the master keeps submissions in memory",
    ]
    return Section("Accepting a submission", rows, notes)
