"""AWS calls in a request, and the read units of a page when the list behind it grows.

Counted by a hook in botocore in the thread of the request; the units are those that the emulated DynamoDB works out
from the bytes it read, as AWS's guide has it. Each operation is done once by a process that has answered a request
before (a process's first request also reads the deployment's secret).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.probe import ask
from bench.rows import Row, Section

SIZES = (100, 100_000)
MILLION = 1_000_000
HELD = {"submit": 2, "run-now": 2, "get": 2, "page": 2}
"""Calls in a request, the token's read included (DESIGN, section 8); 1 is reached where the token is cached."""

DIALECTS = {"jobs": "Jobs API 2.0", "engine": "Analytics Engine v4"}


def measure(place: Path, *, full: bool = False) -> Section:
    """Count in a child process."""
    sizes = [*SIZES, *([MILLION] if full else [])]
    home = place / "calls"
    home.mkdir()
    found: dict[str, Any] = ask("calls", str(home), *map(str, sizes), timeout=900)
    rows = []
    for name in ("submit", "run-now", "get", "page", "cancel"):
        for dialect, title in DIALECTS.items():
            used = found.get(f"{name}/{dialect}") or found.get(f"{name}/{dialect}/{SIZES[0]}")
            if used:
                shown = {"page": "a page of a list"}.get(name, name)
                count, hold = sum(used["calls"].values()), HELD.get(name)
                rows.append(Row(f"AWS calls: {shown} ({title})", _list(used), "–", count, hold, hold and 1, "calls"))
    rows += [_growth(found, dialect, sizes) for dialect in DIALECTS]
    notes = [
        "calls are counted with botocore's own events; cancel is of a run that waits; pages have 20 runs",
        *([] if full else ["a page at 1,000,000 runs: --full"]),
    ]
    return Section("AWS calls and read units", rows, notes)


def _list(used: dict[str, Any]) -> str:
    return ", ".join(f"{name.partition(':')[2]}{f' ×{n}' if n > 1 else ''}" for name, n in used["calls"].items())


def _growth(found: dict[str, Any], dialect: str, sizes: list[int]) -> Row:
    small, large = (found[f"page/{dialect}/{size}"]["read_units"] for size in (sizes[0], sizes[-1]))
    what = f"read units of a page at {sizes[-1]:,} runs, against {sizes[0]:,} ({DIALECTS[dialect]})"
    return Row(what, f"{large:g}", f"{small:g}", large / small, 1.0)
