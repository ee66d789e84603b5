"""The engine's side of `shim.py`: starts it, and reads from disk what became of the Spark process.

Everything here can be asked by a sandbox that did not start the process itself.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.aws.emr.records import read_json, write_json
from sandbox.aws.emr.shim import start_time

_SHIM = Path(__file__).with_name("shim.py")

# How often to look for an end where the kernel cannot wake us for it (macOS, or the process is not ours to watch).
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Exit:
    """How a Spark process ended: its exit code, or why it could not be started; `ended` in seconds since the epoch."""

    ended: float
    code: int | None = None
    error: str | None = None


class Driver:
    """One job run's Spark process, through the files in the job's directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shim: subprocess.Popen[bytes] | None = None

    @property
    def launched(self) -> bool:
        """Whether a shim ever took this job on; after that it is never started again."""
        return (self._folder / "shim.json").exists()

    @property
    def started(self) -> bool:
        return (self._folder / "driver.json").exists()

    def launch(self, argv: list[str], env: dict[str, str], cwd: Path, mounts: Mapping[str, str]) -> None:
        """Hands the command to a shim of its own; `mounts` are paths and the directories that the process finds there.
        Safe to repeat: only the first one starts it."""
        stdout, stderr = str(self._folder / "stdout"), str(self._folder / "stderr")
        launch: dict[str, Any] = {"argv": argv, "env": env, "cwd": str(cwd), "stdout": stdout, "stderr": stderr}
        if mounts:
            scratch = self._folder / "root"
            scratch.mkdir(exist_ok=True)
            launch |= {"mounts": dict(mounts), "scratch": str(scratch)}
        write_json(self._folder / "launch.json", launch)
        with (self._folder / "shim.log").open("ab") as log:
            self._shim = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SHIM), str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                start_new_session=True,
            )

    def exit(self) -> Exit | None:
        """How it ended, or None when that has not been written."""
        told: dict[str, Any] | None = read_json(self._folder / "exit.json")
        return None if told is None else Exit(**told)

    def alive(self) -> bool:
        """Whether the shim, or the Spark process itself, still runs."""
        if self._shim is not None and self._shim.poll() is None:
            return True
        return any(self._pid(name) is not None for name in ("shim.json", "driver.json"))

    def _pid(self, name: str) -> int | None:
        """The pid that the file tells, if that very process still runs."""
        told = read_json(self._folder / name)
        if told is None or told["start"] is None or start_time(told["pid"]) != told["start"]:
            return None
        return int(told["pid"])

    def signal(self, number: signal.Signals) -> bool:
        """Signals the Spark process and its group; False when it is not there."""
        pid = self._pid("driver.json")
        if pid is None:
            return False
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return False
        return True

    def await_end(self, wake: Wake, seconds: float) -> None:
        """Returns when the shim has ended, when `wake` is rung, or after `seconds`."""
        pid = self._pid("shim.json")
        if pid is None or not hasattr(os, "pidfd_open"):
            wake.wait(min(seconds, _POLL_SECONDS))
            return
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            wake.wait(seconds, handle)
        finally:
            os.close(handle)


class Wake:
    """A bell that a thread can wait for together with a file descriptor; every ring ends one wait."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._lock = threading.Lock()
        self._closed = False

    def ring(self) -> None:
        """Rings; nothing happens when nobody will ever wait again."""
        with self._lock:
            if self._closed:
                return
            try:
                os.write(self._writing, b"!")
            except BlockingIOError:
                pass  # rung tens of thousands of times and not yet heard: it will be

    def wait(self, seconds: float, other: int | None = None) -> None:
        """Returns when rung, when `other` is readable, or after `seconds`."""
        poll = select.poll()
        for descriptor in (self._reading, *([] if other is None else [other])):
            poll.register(descriptor, select.POLLIN)
        if any(descriptor == self._reading for descriptor, _ in poll.poll(seconds * 1000)):
            os.read(self._reading, 4096)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            os.close(self._reading)
            os.close(self._writing)
