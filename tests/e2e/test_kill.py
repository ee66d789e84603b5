"""kill -9 of the whole sandbox, at any moment, while it is at work: nothing accepted is lost, nothing runs twice.

The moments come from a seed. SPARKPLANE_KILLS=5 SPARKPLANE_KILL_RUNS=50 SPARKPLANE_KILL_SEED=7 make it a longer test.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import requests

from tests.e2e.conftest import NewSandbox, Program
from tests.e2e.live import Sandbox, capacity, eventually, python

KILLS = int(os.environ.get("SPARKPLANE_KILLS", "3"))
RUNS = int(os.environ.get("SPARKPLANE_KILL_RUNS", "12"))
SEED = int(os.environ.get("SPARKPLANE_KILL_SEED", "20250101"))
CLIENTS = 4

NOTES = """
import os, sys, time
descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
os.write(descriptor, (sys.argv[2] + "\\n").encode())
time.sleep(0.3)
"""


class Clients:
    """Threads that submit runs, each with an idempotency token, and again until they are answered."""

    def __init__(self, sandbox: Sandbox, path: Path, notes: Path) -> None:
        self.accepted: dict[str, int] = {}
        self._sandbox, self._path, self._notes = sandbox, path, notes
        labels = [f"run-{number}" for number in range(RUNS)]
        self.threads = [
            threading.Thread(target=self._submit, args=(labels[first::CLIENTS],), daemon=True)
            for first in range(CLIENTS)
        ]

    def _submit(self, labels: list[str]) -> None:
        deadline = time.monotonic() + 300
        for label in labels:
            while label not in self.accepted and time.monotonic() < deadline:
                try:
                    task = python(self._path, str(self._notes), label)
                    run = self._sandbox.client().submit(task, idempotency_token=label, run_name=label)
                    self.accepted[label] = run
                except requests.ConnectionError:
                    time.sleep(0.1)


def test_runs_outlive_kills_of_the_sandbox(new_sandbox: NewSandbox, program: Program, tmp_path: Path) -> None:
    notes, chance = tmp_path / "notes", random.Random(SEED)
    sandbox = new_sandbox(SPARKPLANE_MAX_DRIVERS="2").start()
    clients = Clients(sandbox, program("notes_once.py", NOTES), notes)
    for thread in clients.threads:
        thread.start()
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.2, 4))
        sandbox.kill()
        accepted = dict(clients.accepted)
        sandbox.start()
        caller = sandbox.client()
        assert {label: caller.run(run)["run_name"] for label, run in accepted.items()} == {n: n for n in accepted}

    for thread in clients.threads:
        thread.join(300)
    assert len(clients.accepted) == RUNS
    caller = sandbox.client()
    ended = {label: caller.await_end(run, 240) for label, run in clients.accepted.items()}
    wrong = {label: run["state"] for label, run in ended.items() if run["state"]["result_state"] != "SUCCESS"}
    assert not wrong
    assert Counter(notes.read_text().split()) == dict.fromkeys(clients.accepted, 1)
    listed = caller.jobs("runs/list", limit=500)["runs"]
    assert sorted(run["run_id"] for run in listed) == sorted(clients.accepted.values())
    eventually(lambda: capacity(sandbox)[0] == 0, "no holds")
    assert set(capacity(sandbox)[1].values()) == {0}
    eventually(lambda: not sandbox.pids() and not sandbox.pids("shim.json"), "no drivers")


def test_a_run_that_is_under_way_is_cancelled_and_timed_out_by_the_sandbox_after(
    new_sandbox: NewSandbox, program: Program
) -> None:
    path = program("begins.py", "import time\nprint('begun', flush=True)\ntime.sleep(300)\n")
    sandbox = new_sandbox(SPARKPLANE_MAX_DRIVERS="2").start()
    caller = sandbox.client()
    cancelled, timed = caller.submit(python(path)), caller.submit(python(path), timeout_seconds=15)
    waiting = caller.submit(python(path))
    for run in (cancelled, timed):
        caller.await_output(run, "begun")
    sandbox.kill()
    assert len(sandbox.pids()) == 2
    caller = sandbox.start().client()
    assert [caller.state(run)[0] for run in (cancelled, timed, waiting)] == ["RUNNING", "RUNNING", "PENDING"]
    caller.jobs("runs/cancel", {"run_id": waiting})
    caller.jobs("runs/cancel", {"run_id": cancelled})
    assert caller.await_end(cancelled, 60)["state"]["result_state"] == "CANCELED"
    assert caller.await_end(timed, 60)["state"]["result_state"] == "TIMEDOUT"
    assert caller.await_end(waiting, 10)["state"]["state_message"] == "Run cancelled before it started."
    eventually(lambda: not sandbox.pids(), "no drivers")
    assert set(capacity(sandbox)[1].values()) == {0}
