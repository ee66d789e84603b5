"""Runs one Spark process and writes down how it ended, so that the sandbox may die in between.

The engine (`process.py`) starts this file as a program of its own, `python -I -S shim.py <job directory>`, in its own
session. It knows nothing of Spark or AWS and imports only the standard library, so it starts in a few milliseconds
and stays small while the driver runs. In the job's directory it reads `launch.json`

    {"argv": [...], "env": {...}, "cwd": "...", "stdout": "...", "stderr": "...", "mounts": {"/path": "/directory"}}

and writes, each in one atomic step:

    shim.json    {"pid", "start"}                        before the process is started
    driver.json  {"pid", "start"}                        once it runs
    exit.json    {"code", "ended"} or {"error", "ended"} when it has ended; a code of 128 + n means signal n

`start` is the process's start time as the kernel tells it: pid and start time together name one process for ever,
a pid alone may be used again.

A job's process is started at most once: the shim takes a lock on `lock` for as long as it lives, and whoever finds
`shim.json` there already starts nothing. So an engine that was killed between starting the shim and hearing of it may
simply start another. The Spark process leads its own process group, which is what the engine signals; what is left of
the group when its leader ends is killed, as a container's end would do.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself would be a fifth of this program's start
    from typing import Any


def start_time(pid: int) -> str | None:
    """When process `pid` was started, in the kernel's own count, or None when there is no such process.

    Field 22 of /proc/<pid>/stat; the name in field 2 may hold spaces and brackets, so count from the last bracket.
    Where there is no /proc (macOS), `ps` says it to the second.
    """
    if not os.path.isdir("/proc/self"):
        return os.popen(f"ps -o lstart= -p {int(pid)}").read().strip() or None
    try:
        with open(f"/proc/{int(pid)}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def write(path: str, content: dict[str, object]) -> None:
    """Puts `content` at `path` whole or not at all."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(path + ".new", path)


def spawn(launch: dict[str, Any]) -> int:
    """Starts the process as the leader of a new group, with its output in files, and returns its pid."""
    os.makedirs(launch["cwd"], exist_ok=True)
    os.chdir(launch["cwd"])
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, launch["stdout"], append, 0o644),
        (os.POSIX_SPAWN_OPEN, 2, launch["stderr"], append, 0o644),
    ]
    argv = launch["argv"]
    return os.posix_spawn(argv[0], argv, launch["env"], file_actions=files, setpgroup=0)


def spawn_with_mounts(launch: dict[str, Any]) -> int:
    """As `spawn`, with directories of the process's own at the mount paths (see `mounts.py`). Raises OSError, with
    nothing started, where this machine does not allow that."""
    os.makedirs(launch["cwd"], exist_ok=True)
    reading, writing = os.pipe()  # closed by exec, which is how a start without a fault is told
    pid = os.fork()
    if pid == 0:
        try:
            _become(launch)
        except Exception as error:  # noqa: BLE001 - told to the one who waits
            os.write(writing, str(error).encode(errors="replace")[:1000] or b"?")
        finally:
            os._exit(127)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        failure = told.read()
    if failure:
        os.waitpid(pid, 0)
        raise OSError(failure.decode(errors="replace"))
    return pid


def _become(launch: dict[str, Any]) -> None:
    os.setpgid(0, 0)
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from mounts import enter

    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    opened = [os.open(os.devnull, os.O_RDONLY), *(os.open(launch[n], append, 0o644) for n in ("stdout", "stderr"))]
    enter(launch["mounts"], launch["scratch"])
    os.chdir(launch["cwd"])
    for number, file in enumerate(opened):
        os.dup2(file, number)
    os.execve(launch["argv"][0], launch["argv"], launch["env"])


def start(launch: dict[str, Any]) -> int:
    """Starts the process, with its mounts where that can be."""
    if launch.get("mounts"):
        try:
            return spawn_with_mounts(launch)
        except OSError as error:
            with open(launch["stderr"], "a", encoding="utf-8") as file:
                file.write(f"sandbox: volumes are not at their mount paths, only arguments are mapped: {error}\n")
    return spawn(launch)


def await_end(pid: int) -> int:
    """Waits for the leader's end, kills the rest of its group, and returns its exit code."""
    if hasattr(os, "waitid"):
        # Leave the leader a zombie for a moment: while it is, its group's number cannot be given to anyone else.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.killpg(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _await_file(path: str) -> None:
    """Stays until the other shim has said that it is there: until then this one is the sign that the job lives."""
    for _ in range(200):
        if os.path.exists(path):
            return
        time.sleep(0.01)


def run(directory: str) -> None:
    """Starts and watches the job in `directory`, unless another shim has done so."""
    here = os.path.join(directory, "shim.json")
    lock = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _await_file(here)
        return
    if os.path.exists(here):
        return
    with open(os.path.join(directory, "launch.json"), encoding="utf-8") as file:
        launch = json.load(file)
    write(here, {"pid": os.getpid(), "start": start_time(os.getpid())})
    try:
        pid = start(launch)
    except OSError as error:
        write(os.path.join(directory, "exit.json"), {"error": str(error), "ended": time.time()})
        return
    write(os.path.join(directory, "driver.json"), {"pid": pid, "start": start_time(pid)})
    code = await_end(pid)
    write(os.path.join(directory, "exit.json"), {"code": code, "ended": time.time()})


def main() -> None:
    # Handlers that do nothing, and not SIG_IGN: an ignored signal would stay ignored in the Spark process.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    run(sys.argv[1])


if __name__ == "__main__":
    main()
