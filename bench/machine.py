"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path


def describe(engine_python: Path) -> list[str]:
    """Processor, memory, load, Python, Java, Spark and commit: a line each."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    return [
        f"machine  {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}",
        f"load     {load} (1, 5 and 15 minutes, at the start)",
        f"Python   {platform.python_version()}",
        f"Java     {_first_line(['java', '-version'])}",
        f"Spark    {_spark(engine_python)}",
        f"commit   {_commit()}",
    ]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def _first_line(command: list[str]) -> str:
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as missing:
        return f"unknown ({missing})"
    return (asked.stderr + asked.stdout).strip().partition("\n")[0]


def _spark(engine_python: Path) -> str:
    return _first_line([str(engine_python), "-c", "import pyspark; print(pyspark.__version__)"])


def _commit() -> str:
    commit = _first_line(["git", "rev-parse", "--short", "HEAD"])
    changed = _first_line(["git", "status", "--porcelain", "--untracked-files=no"])
    return commit + (" with uncommitted changes" if changed else "")
