"""What the whole life of a run uses of AWS, function by function, in the child process. See `cost`.

The whole sandbox runs in this process, with a real Spark; every function of the product is counted where it is called.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.emulated import TOKEN, Tally, Used
from bench.servers import SPARK_CACHE, Client, end_drivers, free_port

RUNS = 3
SECONDS = 120
API = ("api: submit", "api: poll", "api: driver's report")


def count(tally: Tally, home: Path) -> dict[str, Used]:
    """What RUNS runs used together, by function; `machine: states` holds the states that their executions entered."""
    from sandbox.main import FUNCTIONS, start
    from sandbox.settings import settings_from

    told = {"HOME": str(home), "PORT": str(free_port()), "TOKEN": TOKEN, "MAX_DRIVERS": "2"}
    settings = settings_from({f"SPARKPLANE_{name}": value for name, value in told.items()})
    (home / "spark").symlink_to(SPARK_CACHE.absolute(), target_is_directory=True)
    sandbox = start(settings)
    try:
        found = {name: Used() for name in (*API, *FUNCTIONS)}
        client = Client(settings.port, {"Authorization": f"Bearer {TOKEN}"})
        _run(client, home)  # a process's first run also stores the driver's bundle
        _settle(list(found.values()))
        _watch(tally, found, FUNCTIONS)
        runs = [_run(client, home) for _ in range(RUNS)]
        _settle(list(found.values()))
        found["machine: states"] = Used(Counter({"states": _states(runs)}))
        return found
    finally:
        sandbox.close()
        end_drivers(home)


def _run(client: Client, home: Path) -> int:
    from bench.first_result import PROGRAM, await_run, task

    run: int = client.call("POST", "/api/2.0/jobs/runs/submit", task(PROGRAM, str(home / "stamps")))["run_id"]
    await_run(client, run)
    return run


def _watch(tally: Tally, found: dict[str, Used], functions: tuple[str, ...]) -> None:
    """Count in each function from now on: they are looked up in `app` at every call."""
    import app

    entry: Any = app
    for name in functions:
        setattr(entry, name, _counted(tally, getattr(entry, name), partial(_same, found[name])))

    def category(event: dict[str, Any]) -> Used:
        if event["path"].startswith("/driver/"):
            return found[API[2]]
        return found[API[0] if event["httpMethod"] == "POST" else API[1]]

    entry.app = _counted(tally, entry.app, category)


def _same(used: Used, event: Any) -> Used:
    return used


def _counted(tally: Tally, function: Callable[..., Any], of: Callable[[Any], Used]) -> Callable[..., Any]:
    def call(event: Any, context: Any) -> Any:
        here = Used(invocations=1)
        began = time.perf_counter()
        try:
            with tally.counting(here):
                return function(event, context)
        finally:
            here.seconds = time.perf_counter() - began
            of(event).add(here)

    return call


def _settle(found: list[Used]) -> None:
    """Wait until nothing has been called for a second."""
    until = time.monotonic() + SECONDS
    before, since = -1, time.monotonic()
    while time.monotonic() < until and time.monotonic() - since < 1:
        now = sum(used.invocations for used in found)
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.1)


def _states(runs: list[int]) -> int:
    """How many states the runs' executions entered."""
    import boto3

    sfn = boto3.client("stepfunctions")
    machine = os.environ["SPARKPLANE_RUN_MACHINE"]
    wanted = {str(run) for run in runs}
    executions = sfn.list_executions(stateMachineArn=machine)["executions"]
    own = [one["executionArn"] for one in executions if one["name"].split(".")[1] in wanted]
    histories = [sfn.get_execution_history(executionArn=arn, maxResults=1000)["events"] for arn in own]
    return sum(event["type"].endswith("StateEntered") for events in histories for event in events)
