"""From a staged submission to the command, environment and properties file of one driver.

One machine stands for the cluster: driver and executors share one JVM under `--master local[N]`. N is the cores that
the job asks for (executors × cores, or the driver's when those are more), the heap is the memory that it asks for,
and both are capped by the machine: a job written for a cluster still runs. `--master` and the deploy mode are not
the caller's to choose. Everything else in the job's configuration reaches Spark as it was given.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox.aws.emr import history, sparkr
from sandbox.aws.emr.spark import SparkHome, driver_command, driver_environment
from sandbox.aws.emr.staging import S3_SCHEMES
from sandbox.aws.emr.submission import BadSubmission, Submission

MEGABYTE = 1 << 20
_DEFAULT_EXECUTORS = 2
_EMPTY_DIR = re.compile(r"spark\.kubernetes\.driver\.volumes\.emptyDir\.([a-z0-9-]+)\.mount\.path")
VOLUMES = "volumes"
"""Where a driver's emptyDir volumes are, in the job's folder."""

_UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


@dataclass(frozen=True)
class Machine:
    """What the drivers may use: cores, and the largest heap of one driver in bytes."""

    cores: int
    heap: int

    @classmethod
    def this(cls, share: float = 0.25) -> Machine:
        """This machine, with `share` of its memory for the heap of one driver."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(cores, int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * share))


@dataclass(frozen=True)
class Launch:
    """How to start a driver. `mounts`: paths, and the directories that it finds there instead."""

    argv: list[str]
    env: dict[str, str]
    mounts: Mapping[str, str]


def memory_bytes(text: str, key: str) -> int:
    """An amount of memory as Spark writes it, such as `512m`; a bare number counts in mebibytes."""
    found = re.fullmatch(r"\s*(\d+)\s*([bkmgtp]?)b?\s*", text.lower())
    if not found:
        raise BadSubmission(f"{key} is {text}, which is not an amount of memory such as 2g or 512m.")
    return int(found[1]) * _UNITS[found[2] or "m"]


def whole(conf: Mapping[str, str], key: str, default: int, least: int = 1) -> int:
    text = conf.get(key, str(default)).strip()
    if not text.isdigit() or int(text) < least:
        raise BadSubmission(f"{key} is {text}, which is not a whole number from {least} on.")
    return int(text)


def executors(conf: Mapping[str, str], machine: Machine) -> int:
    """How many executors the job would have on a cluster; with dynamic allocation, at most."""
    default = _DEFAULT_EXECUTORS
    if conf.get("spark.dynamicAllocation.enabled", "").strip().lower() == "true":
        default = whole(conf, "spark.dynamicAllocation.maxExecutors", machine.cores)
    return whole(conf, "spark.executor.instances", default, least=0)


def cores(conf: Mapping[str, str], machine: Machine) -> int:
    """How many tasks run at once."""
    asked = executors(conf, machine) * whole(conf, "spark.executor.cores", 1)
    return min(machine.cores, max(asked, whole(conf, "spark.driver.cores", 1)))


def heap(conf: Mapping[str, str], machine: Machine) -> str:
    """The JVM's -Xmx: the driver's memory and, where the job names it, that of its executors."""
    asked = memory_bytes(conf.get("spark.driver.memory", "1g"), "spark.driver.memory")
    if "spark.executor.memory" in conf:
        each = memory_bytes(conf["spark.executor.memory"], "spark.executor.memory")
        asked += each * executors(conf, machine)
    return f"{max(1, min(asked, machine.heap) // MEGABYTE)}m"


def event_log_target(conf: Mapping[str, str]) -> str | None:
    """The S3 URI that the job's event logs belong at, if it is one."""
    uri = conf.get("spark.eventLog.dir", "")
    wanted = conf.get("spark.eventLog.enabled", "").strip().lower() == "true"
    return uri if wanted and uri.partition("://")[0] in S3_SCHEMES else None


def prepare(
    submission: Submission, spark: SparkHome, machine: Machine, folder: Path, environment: Mapping[str, str]
) -> Launch:
    """Writes what the driver needs into the job's `folder` and returns how to start it; raises BadSubmission."""
    conf = dict(submission.conf)
    for name in ("tmp", "local", "eventlog"):
        (folder / name).mkdir(exist_ok=True)
    if "spark.eventLog.dir" not in conf or event_log_target(conf):
        conf["spark.eventLog.dir"] = (folder / "eventlog").as_uri()
    conf.setdefault("spark.ui.enabled", "false")
    if history.is_history_server(submission):
        conf = history.on_this_machine(conf, folder)
    conf["spark.master"] = f"local[{cores(conf, machine)}]"
    conf["spark.submit.deployMode"] = "client"
    properties = folder / "spark.properties"
    properties.write_text("".join(f"{_escaped(key)} {_escaped(value)}\n" for key, value in conf.items()), "ascii")
    submit = ["--properties-file", str(properties)]
    submit += ["--class", submission.main_class] if submission.main_class else []
    submit += ["--verbose"] if submission.verbose else []
    argv = driver_command(
        spark,
        memory=heap(conf, machine),
        java_options=[f"-Djava.io.tmpdir={folder / 'tmp'}", *_java_options(conf)],
        submit=[*submit, submission.entry_point, *submission.arguments],
        class_path=conf.get("spark.driver.extraClassPath"),
    )
    env = _environment(submission, spark, folder, environment)
    if sparkr.is_program(submission.entry_point):
        env["SPARK_HOME"] = str(sparkr.home(spark, conf, env))
    elif any(sparkr.is_program(file) for file in conf.get("spark.files", "").split(",")):
        with suppress(BadSubmission):  # an R program that Python starts, or no more than a file
            env["SPARK_HOME"] = str(sparkr.home(spark, conf, env))
    return Launch(argv, env, _mounts(conf, spark, folder))


def _mounts(conf: Mapping[str, str], spark: SparkHome, folder: Path) -> dict[str, str]:
    """The empty directories that the driver's pod would have, made in the job's folder. Raises BadSubmission
    for one that would hide what the driver needs on this machine."""
    needed = [str(path.resolve()) for path in (folder, spark.path, spark.python, spark.java.program, Path(sys.prefix))]
    found = {}
    for key, path in conf.items():
        named = _EMPTY_DIR.fullmatch(key)
        if not named:
            continue
        if hidden := [needs for needs in needed if needs.startswith(f"{os.path.realpath(path).rstrip('/')}/")]:
            raise BadSubmission(f"Nothing can be mounted at {path} on this machine: it would hide {hidden[0]}.")
        place = folder / VOLUMES / named[1]
        place.mkdir(parents=True, exist_ok=True)
        found[path] = str(place)
    return found


def _java_options(conf: Mapping[str, str]) -> list[str]:
    """The JVM options that spark-submit's launcher would take from the configuration, in its order."""
    words: list[str] = []
    for key in ("spark.driver.defaultJavaOptions", "spark.driver.extraJavaOptions"):
        try:
            words += shlex.split(conf.get(key, ""))
        except ValueError as error:
            raise BadSubmission(f"{key} cannot be read: {error}.") from error
    if any(word.startswith("-Xmx") for word in words):
        raise BadSubmission("The driver's Java options may not set -Xmx; set spark.driver.memory instead.")
    return words


def _environment(
    submission: Submission, spark: SparkHome, folder: Path, environment: Mapping[str, str]
) -> dict[str, str]:
    """As little of this process's environment as a program needs, the engine's, and what the job asked for."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ") if name in os.environ}
    env = {
        **kept,
        **environment,
        **driver_environment(spark),
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "TMPDIR": str(folder / "tmp"),
        **submission.env,
    }
    library_path = submission.conf.get("spark.driver.extraLibraryPath")
    if library_path:
        env["LD_LIBRARY_PATH"] = ":".join(filter(None, (library_path, env.get("LD_LIBRARY_PATH"))))
    return env


def _escaped(text: str) -> str:
    """Text as java.util.Properties reads it, in a key or in a value."""
    escaped = []
    for character in text:
        if character in "\\ \t=:#!":
            escaped.append("\\" + character.replace("\t", "t"))
        elif character in "\r\n\f":
            escaped.append({"\r": "\\r", "\n": "\\n", "\f": "\\f"}[character])
        elif " " < character <= "~":
            escaped.append(character)
        else:
            units = character.encode("utf-16-be")
            escaped += [f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)]
    return "".join(escaped)
