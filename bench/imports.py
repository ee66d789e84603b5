"""Cold import of the Lambda's entry module against its floor, `import boto3, chalice, pydantic`, in fresh processes.

With bytecode on disk on both sides, as the deployed zip has it.
"""

from __future__ import annotations

import json
import subprocess
import sys

from bench.rows import Row, Section, median, spread

_MEASURED = """
import sys, time
began = time.perf_counter()
{statement}
took = time.perf_counter() - began
import json
print(json.dumps([took * 1000, len(sys.modules)]))
"""

FLOOR = "import boto3, chalice, pydantic"
STATEMENTS = {
    "app": "import app",
    "floor": FLOOR,
    "api": "import app\nfrom chalicelib.dialects.databricks_jobs import mapping\n"
    "import os\nos.environ['AWS_DEFAULT_REGION'] = 'us-east-1'\n"
    "from chalicelib.aws.clients import client\nclient('dynamodb')",
    "floor_client": f"{FLOOR}\nboto3.client('dynamodb', region_name='us-east-1')",
}


def measure(rounds: int) -> Section:
    """`rounds` fresh processes of each statement, in turn, after one of each that writes the bytecode."""
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in STATEMENTS}
    for number in range(rounds + 1):
        for name, statement in STATEMENTS.items():
            result = _once(statement)
            if number:
                found[name].append(result)
    times = {name: [took for took, _ in results] for name, results in found.items()}
    modules = {name: results[0][1] for name, results in found.items()}

    def row(what: str, ours: str, floor: str, hold: float | None, reach: float | None) -> Row:
        ratio = median(times[ours]) / median(times[floor])
        return Row(what, spread(times[ours], 0, "ms"), spread(times[floor], 0, "ms"), ratio, hold, reach)

    rows = [
        row("cold import of app, bytecode on disk", "app", "floor", 1.2, 0.8),
        Row("modules after that import", str(modules["app"]), str(modules["floor"])),
        row("the same, ready for a request (a dialect, a DynamoDB client)", "api", "floor_client", None, None),
    ]
    notes = [
        f"against `{FLOOR}` (third row: and a DynamoDB client); median of {rounds} fresh processes each, interleaved",
        "boto3 and a dialect's schemas are imported by the first request that needs them; the third row has them",
    ]
    return Section("Cold import", rows, notes)


def _once(statement: str) -> tuple[float, int]:
    command = [sys.executable, "-c", _MEASURED.format(statement=statement)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    took, modules = json.loads(told.stdout)
    return took, modules
