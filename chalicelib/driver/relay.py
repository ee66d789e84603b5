"""Runs a command of the bootstrap's own (pip, R, an init script) and shows its output in the driver's error log.

spark-submit joins a Python driver's standard error to its standard output, which is the program's own and is shown as
the run's output; so what is shown here goes through the JVM, whose standard error is the log.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

TAIL_LINES = 200


def relay(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run `command` to its end; its exit status (negative for death by a signal) and the last lines that it wrote.

    What it writes, to either stream, goes to the driver's error log as it comes. Raises OSError when it cannot be
    started.
    """
    import collections
    import subprocess

    from .jvm import open_gateway

    tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
    gateway = open_gateway()
    try:
        with subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                tail.append(line.rstrip("\n"))
                _show(tail[-1], gateway)
    finally:
        if gateway is not None:
            gateway.close()
    return process.returncode, list(tail)


def _show(line: str, gateway: Any) -> None:
    try:
        if gateway is not None:
            gateway.jvm.java.lang.System.err.println(line)
        else:
            print(line, file=sys.stderr, flush=True)
    except Exception:  # noqa: BLE001 - py4j raises many kinds; nobody reads the log any more, the result still matters
        return
