"""Runs a command of the bootstrap's own (pip, R, an init script) and shows its output in the driver's log."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TAIL_LINES = 200


def relay(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run `command` to its end; its exit status (negative for death by a signal) and the last lines that it wrote.

    What it writes, to either stream, goes to this process's standard error as it comes. Raises OSError when it cannot
    be started.
    """
    import collections
    import subprocess

    tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
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
            _show(line)
    return process.returncode, list(tail)


def _show(line: str) -> None:
    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return  # nobody reads it any more; the command's result still matters
