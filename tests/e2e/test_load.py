"""Many submissions at once into a pool that holds two drivers."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Program
from tests.e2e.live import CLUSTER, Client, Sandbox, capacity, eventually, in_parallel, python, run_record

CLIENTS, RUNS_EACH, AT_ONCE = 10, 5, 2

WAITS = """
import pathlib, sys, time
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.05)
"""
NOTES = """
import os, sys
descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
os.write(descriptor, (sys.argv[2] + "\\n").encode())
"""


@contextmanager
def drivers_counted(sandbox: Sandbox) -> Iterator[list[int]]:
    """How many drivers there were, again and again meanwhile."""
    counts: list[int] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.05):
            counts.append(len(sandbox.pids()))

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield counts
    finally:
        stop.set()
        sampler.join(10)


def test_fifty_submissions_at_once_run_two_at_a_time_and_oldest_first(
    sandbox: Sandbox, client: Client, program: Program, tmp_path: Path
) -> None:
    gate, notes = tmp_path / "gate", tmp_path / "notes"
    blockers = [client.submit(python(program("waits.py", WAITS), str(gate))) for _ in range(AT_ONCE)]
    eventually(lambda: capacity(sandbox)[0] == AT_ONCE, "a full pool")
    path = program("notes.py", NOTES)

    def submit_five(number: int) -> list[int]:
        own = sandbox.client()
        return [own.submit(python(path, str(notes), f"{number}.{i}"), run_name="note") for i in range(RUNS_EACH)]

    with drivers_counted(sandbox) as counts:
        runs = [run for some in in_parallel(CLIENTS, submit_five) for run in some]
        assert len(set(runs)) == CLIENTS * RUNS_EACH
        assert {client.state(run)[0] for run in runs} == {"PENDING"}
        gate.touch()
        ended = [client.await_end(run, 240) for run in (*blockers, *runs)]

    assert [run["state"]["result_state"] for run in ended] == ["SUCCESS"] * len(ended)
    assert sorted(notes.read_text().split()) == sorted(f"{n}.{i}" for n in range(CLIENTS) for i in range(RUNS_EACH))
    assert max(counts) == AT_ONCE
    granted = {run: run_record(sandbox, run)["granted_at"] for run in runs}
    assert sorted(runs, key=lambda run: (granted[run], run)) == sorted(runs)
    holds, used = eventually(lambda: _empty(sandbox), "an empty ledger")
    assert (holds, set(used.values())) == (0, {0})
    free = client.engine("GET")["resource_quota"]
    assert (free["avail_cpu_quota"], free["avail_memory_quota_gibibytes"]) == (
        free["cpu_quota"],
        free["memory_quota_gibibytes"],
    )


def _empty(sandbox: Sandbox) -> tuple[int, dict[str, int]] | None:
    found = capacity(sandbox)
    return found if found[0] == 0 else None


def test_twenty_clients_with_one_idempotency_token_make_one_run(
    sandbox: Sandbox, client: Client, program: Program, tmp_path: Path
) -> None:
    notes, path = tmp_path / "notes", program("notes.py", NOTES)
    token = uuid.uuid4().hex
    task = python(path, str(notes), "once")
    runs = in_parallel(20, lambda _: sandbox.client().submit(task, idempotency_token=token, run_name=token))
    assert len(set(runs)) == 1
    assert client.await_end(runs[0])["state"]["result_state"] == "SUCCESS"
    assert client.submit(task, idempotency_token=token) == runs[0]
    assert [run["run_id"] for run in client.jobs("runs/list")["runs"] if run["run_name"] == token] == [runs[0]]
    assert notes.read_text() == "once\n"


def test_a_job_started_by_many_at_once_keeps_to_its_limit(sandbox: Sandbox, client: Client, program: Program) -> None:
    path = program("slow.py", "import time; time.sleep(300)")
    body: dict[str, Any] = {"name": "one at a time", "max_concurrent_runs": 1, **python(path)}
    job = client.jobs("create", {**body, "new_cluster": CLUSTER})["job_id"]
    started = in_parallel(8, lambda _: sandbox.client().jobs("run-now", {"job_id": job}))
    assert sorted(one["number_in_job"] for one in started) == list(range(1, 9))
    states = [client.run(one["run_id"])["state"]["life_cycle_state"] for one in started]
    assert states.count("SKIPPED") == 7
    client.jobs("runs/cancel-all", {"job_id": job})
    for one in started:
        client.await_end(one["run_id"])
