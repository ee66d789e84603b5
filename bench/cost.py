"""What the control plane costs for 1,000 runs on AWS: counted use × list price. The drivers' cluster is not part of it.

Counted, on the sandbox with a real Spark, over whole lives of runs (submitted by HTTP, granted, launched, reported,
ended, in the feed): AWS calls, DynamoDB units with those of the indexes, function invocations, states entered.

Assumed: POLLS status requests a run; a function is billed what it took in the sandbox or AWS_CALL_SECONDS for each AWS
call in it, whichever is more; COLD of the invocations start cold and are billed COLD_SECONDS more; the bytes of logs
below; two transitions an execution beside the states entered (start and end, as in the price list's example). Runs
arrive one by one: in bursts, batches make streams cheaper. Logs and files that drivers write are the cluster's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import prices
from bench.life import RUNS
from bench.probe import ask
from bench.rows import Row, Section
from bench.servers import SPARK_CACHE

POLLS = 10
AWS_CALL_SECONDS = 0.012
COLD, COLD_SECONDS = 0.02, 1.5
LAMBDA_LOG_BYTES, WORKER_LOG_BYTES = 350, 400
"""What Lambda itself logs of an invocation, and what a worker adds (a line or two); the API logs only faults."""
THOUSAND = 1000

Lines = dict[str, tuple[float, str, float]]
"""Item -> how many a run, of what, and dollars for a thousand runs."""


def measure(place: Path) -> Section:
    """Count in a child process, and multiply."""
    home = place / "life"
    home.mkdir()
    SPARK_CACHE.mkdir(parents=True, exist_ok=True)
    used: dict[str, Any] = ask("life", str(home), timeout=600)
    functions, states = _per_run(used), used["machine: states"]["calls"]["states"] / RUNS
    lines = _lines(functions, states)
    total = _dollars(lines)
    quiet = _dollars(_lines({name: one for name, one in functions.items() if name != "api: poll"}, states))
    what = f"control plane cost of 1,000 runs, {POLLS} status requests each"
    rows = [
        Row(what, f"${total:.3f}", "–", total, 0.25, 0.10, "$"),
        Row("the same without status requests", f"${quiet:.3f}"),
    ]
    table = [("item", "a run", "of what", "$ for 1,000 runs")]
    table += [(item, f"{n:.1f}", what, f"{dollars:.4f}") for item, (n, what, dollars) in lines.items()]
    notes = [
        f"list prices of {prices.AS_OF}, us-east-1, no free tier; counted over {RUNS} runs",
        f"assumed: {POLLS} status requests a run; {AWS_CALL_SECONDS * 1000:g} ms for each AWS call in a function;",
        f"{COLD:.0%} cold starts of {COLD_SECONDS:g} s; {LAMBDA_LOG_BYTES} bytes of logs an invocation, and",
        f"{WORKER_LOG_BYTES} more of a worker;",
        "start and end of an execution count as transitions",
    ]
    return Section("Cost of 1,000 runs", rows, notes, table)


def _dollars(lines: Lines) -> float:
    return sum(dollars for _, _, dollars in lines.values())


def _per_run(used: dict[str, Any]) -> dict[str, Any]:
    """Each function's use for one run; polls, of which the bench makes as many as it likes, as often as assumed."""
    functions: dict[str, Any] = {}
    for name, one in used.items():
        if name.startswith("machine") or not one["invocations"]:
            continue
        share = POLLS / one["invocations"] if name == "api: poll" else 1 / RUNS
        calls = {call: n * share for call, n in one["calls"].items()}
        numbers = ("read_units", "write_units", "invocations", "seconds")
        functions[name] = {"calls": calls, **{number: one[number] * share for number in numbers}}
    return functions


def _lines(functions: dict[str, Any], states: float) -> Lines:
    lines: Lines = {}

    def add(item: str, count: float, what: str, price: float) -> None:
        lines[item] = (count, what, count * price * THOUSAND)

    def total(number: str) -> float:
        return float(sum(one[number] for one in functions.values()))

    add("DynamoDB writes", total("write_units"), "write units", prices.DYNAMODB_WRITE_UNIT)
    add("DynamoDB reads", total("read_units"), "read units", prices.DYNAMODB_READ_UNIT)
    add("Step Functions", states + 2, "transitions", prices.STEP_FUNCTIONS_TRANSITION)
    add("Lambda requests", total("invocations"), "invocations", prices.LAMBDA_REQUEST)
    for name, one in functions.items():
        gb_seconds = _memory_gb(name) * _billed_seconds(one)
        add(f"Lambda {name}", one["invocations"], f"invocations, {gb_seconds:.3f} GB-s", 0)
        lines[f"Lambda {name}"] = (*lines[f"Lambda {name}"][:2], gb_seconds * prices.LAMBDA_GB_SECOND * THOUSAND)
    requests = sum(one["invocations"] for name, one in functions.items() if name.startswith("api"))
    add("API Gateway", requests, "requests", prices.API_GATEWAY_REQUEST)
    add("S3 writes", _calls(functions, "s3:Put"), "requests", prices.S3_WRITE)
    add("S3 reads", _calls(functions, "s3:Get"), "requests", prices.S3_READ)
    logged = total("invocations") * (LAMBDA_LOG_BYTES + WORKER_LOG_BYTES) - requests * WORKER_LOG_BYTES
    add("CloudWatch logs", logged / 1000, "KB", prices.LOGS_GB / 1e6)
    return lines


def _billed_seconds(one: dict[str, Any]) -> float:
    waiting = sum(one["calls"].values()) * AWS_CALL_SECONDS
    return float(max(one["seconds"], waiting) + one["invocations"] * COLD * COLD_SECONDS)


def _calls(functions: dict[str, Any], prefix: str) -> float:
    return float(sum(n for one in functions.values() for call, n in one["calls"].items() if call.startswith(prefix)))


def _memory_gb(name: str) -> float:
    """A function's memory as it is deployed."""
    stage = json.loads(Path(".chalice/config.json").read_text())["stages"]["aws"]
    function = "api_handler" if name.startswith("api") else name
    own = stage["lambda_functions"].get(function, {})
    return float(own.get("lambda_memory_size", stage["lambda_memory_size"])) / 1024
