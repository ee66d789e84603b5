"""`%sh`, `%fs` and `%pip`. Kernel side."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run_script(script: str) -> None:
    """Run a cell with bash; what it says is the cell's output. Raises RuntimeError for another exit code than 0."""
    __tracebackhide__ = True
    import shutil
    import subprocess

    bash = shutil.which("bash") or "/bin/sh"
    with subprocess.Popen(
        [bash, "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line.decode(errors="replace"))
    if process.returncode:
        raise RuntimeError(f"%sh: the command returned exit code {process.returncode}.")


def file_command(line: str, files: Any) -> Any:
    """`%fs ls /x` is `dbutils.fs.ls("/x")`. Raises ValueError for what is no such command."""
    __tracebackhide__ = True
    import shlex

    words = shlex.split(line)
    if not words or words[0] not in {"ls", "head", "put", "cp", "mv", "rm", "mkdirs"}:
        raise ValueError("%fs knows ls, head, put, cp, mv, rm and mkdirs.")
    recurse = {"-r", "--recurse"} & set(words)
    arguments: list[Any] = [word for word in words[1:] if word not in {"-r", "--recurse"}]
    return getattr(files, words[0])(*arguments, **({"recurse": True} if recurse else {}))


def install(line: str, directory: str, spark: Any) -> None:
    """`%pip …`: an `install` goes into a directory of the run, ahead of everything else; executors get what of it is
    plain Python. Raises RuntimeError when pip fails."""
    __tracebackhide__ = True
    import importlib
    import shlex
    import subprocess

    words = shlex.split(line)
    installs = words[:1] == ["install"]
    target = ["--target", directory, "--upgrade"] if installs else []
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, *target],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        check=False,
    )
    print(done.stdout.decode(errors="replace"), end="")
    if done.returncode:
        raise RuntimeError(f"%pip: pip returned exit code {done.returncode}.")
    if installs:
        if directory not in sys.path:
            sys.path.insert(0, directory)
        importlib.invalidate_caches()
        _ship(directory, spark)


def _ship(directory: str, spark: Any) -> None:
    """Give executors what was installed, where it has no compiled part (that would need their own installation)."""
    import pathlib
    import shutil
    import uuid

    if spark is None:
        return
    if spark.sparkContext.master.startswith("local"):
        environment = spark.sparkContext.environment
        known = environment.get("PYTHONPATH", "")
        if directory not in known.split(os.pathsep):
            environment["PYTHONPATH"] = os.pathsep.join(part for part in (directory, known) if part)
        return
    if any(pathlib.Path(directory).rglob("*.so")):
        print("The packages have compiled parts: they are there in the driver, not on executors.")
        return
    archive = shutil.make_archive(os.path.join(directory, "..", f"pip-{uuid.uuid4().hex}"), "zip", directory)
    spark.sparkContext.addPyFile(archive)
