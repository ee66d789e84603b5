"""Starts one run inside the driver that spark-submit has made: environment, program, reports, end.

`launch.py` (see `bundle.launch_file`) calls `main`. Exit codes: the program's own; 1 with a traceback for an
exception; 1 with one sentence for a program that does not exist (type `ProgramNotFound` in the report), an init script
that failed, a library that cannot be installed or a volume that cannot be brought or stored (`sparkplane.InitScript`,
`sparkplane.Library`, `sparkplane.Volume`); 130 for an interrupt; and death by SIGTERM for a SIGTERM. A program that
ends by os._exit or is killed makes no report: its exit status tells; what is killed stores no volume either. A JVM
program that ends by System.exit makes no report either, but its volumes are stored.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading

from . import environment
from .console import say
from .execute import Outcome, describe, describe_text, run_main
from .jvm import hold
from .program import (
    LIBRARY_CAP_BYTES,
    ProgramNotFound,
    fetched_by_spark_submit,
    find_file,
    find_program,
    map_argument,
)
from .report import Reporter
from .spark_hook import SparkHook, version_on_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType
    from typing import Any, NoReturn

    from .libraries import Installed
    from .volumes import Volumes

# A pod that is asked to stop has little time; what matters then is to end.
SIGNAL_PATIENCE_SECONDS = 1.5
SIGNAL_STORE_SECONDS = 7.0
HOLD_SECONDS = 20
_HIDDEN = "*********(redacted)"


def main(config: Mapping[str, Any]) -> NoReturn:
    """Run the program of `config` and leave by SystemExit with its exit code. Must be called on the main thread.

    config: "run" ("<workspace>.<run id>"), "api" (base URL for reports, or ""), "secret" (the run's bearer secret),
    "program" ({"uri", "arguments"}, of a JAR or R program with its "language" and "main_class" (see
    `java_main.run_java_program`), or {"notebook", "revision", "parameters"}, or {"pipeline"}: see
    `pipeline.run_pipeline`), "environment" (for driver and executors), "secrets" (optional: like environment, but never
    in a Spark conf, so it reaches the driver's Python and Python workers only) and "image_roots" (see `program`).
    Optional too: "init_scripts" ([{"uri" or "text", "label"}]) with their "init_environment"; "libraries" ([{"kind":
    "pypi", "whl", "egg" or "cran", "name": a package or URI, "repo", "label"}]); "volumes" ([{"name",
    "mount_path", "read_only"}]); "local_cores" (the run has no executors: its tasks run in the driver, so many at
    once); "secret_references" (variables of the environment may name secrets).
    """
    secrets = dict(config.get("secrets") or {})
    reporter = Reporter(config.get("api") or "", config["run"], config["secret"])
    ending = Ending(reporter, [config["secret"], *secrets.values()])
    ending.install()
    outcome = _run(config, secrets, reporter, ending)
    ending.outcome = outcome
    ending.open()
    raise outcome.exit


def _run(config: Mapping[str, Any], secrets: dict[str, str], reporter: Reporter, ending: Ending) -> Outcome:
    try:
        program, roots = config["program"], config.get("image_roots") or ()
        plain, found = _environment(config, ending.hide)
        for_executors = environment.apply(plain)
        secrets = environment.apply({**secrets, **found})
        installed = prepare(config, roots)
        cores = int(config.get("local_cores") or 0)
        SparkHook(for_executors, secrets, reporter.started, installed, cores).install()
        if "notebook" in program:
            from .notebook.run import run_notebook

            return run_notebook(config)
        if "pipeline" in program:
            from .pipeline import run_pipeline

            return run_pipeline(program["pipeline"])
        java = "language" in program
        path = "" if java else find_program(program["uri"], roots, fetched_by_spark_submit)
        places = _staged(config, ending)
        arguments = [map_argument(argument, roots) for argument in program.get("arguments") or ()]
        if places:
            from .volumes import map_argument as map_volumes

            arguments = [map_volumes(argument, places) for argument in arguments]
        if java:
            from .java_main import run_java_program

            return run_java_program(program, arguments, roots, reporter.started)
    except ProgramNotFound as error:
        return Outcome(SystemExit(f"sparkplane: {error}"), describe_text("ProgramNotFound", str(error)))
    except NotPrepared as error:
        return Outcome(SystemExit(f"sparkplane: {error}"), describe_text(error.kind, str(error)))
    except Exception as error:  # noqa: BLE001 - shown and reported
        sys.excepthook(type(error), error, error.__traceback__)
        return Outcome(SystemExit(1), describe(error, error.__traceback__))
    return run_main(path, arguments)


def _staged(config: Mapping[str, Any], ending: Ending) -> dict[str, str]:
    """Where the run's volumes are, by mount path; what changes there is stored in the end. Raises NotPrepared."""
    if not config.get("volumes"):
        return {}
    from .volumes import NotStaged, Volumes

    ending.volumes = Volumes(config["volumes"], config.get("api") or "", config["run"], config["secret"])
    try:
        places = ending.volumes.stage()
    except NotStaged as error:
        raise NotPrepared("sparkplane.Volume", str(error)) from None
    if ending.volumes.writable and "language" not in config["program"]:  # a JVM's program sees to it itself
        ending.guard_exit()
        hold(HOLD_SECONDS)
    return places


def _environment(
    config: Mapping[str, Any], hide: Callable[[list[str]], None]
) -> tuple[Mapping[str, str], dict[str, str]]:
    """The run's environment variables, and apart from them those that hold secrets. Raises NotPrepared."""
    told = config.get("environment") or {}
    if not config.get("secret_references"):
        return told, {}
    from .secret_references import SecretNotFound, resolve_secrets

    try:
        plain, found, texts = resolve_secrets(told, config.get("api") or "", config["run"], config["secret"])
    except SecretNotFound as error:
        raise NotPrepared("sparkplane.Secret", str(error)) from None
    hide(texts)
    return plain, found


class NotPrepared(Exception):
    """The machine could not be made ready for the run; `kind` is the type in the report, which no program can raise."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def prepare(config: Mapping[str, Any], roots: Sequence[str]) -> Installed | None:
    """Run the run's init scripts, then install its libraries; None when there are none. Raises NotPrepared."""
    scripts, wanted = config.get("init_scripts") or (), config.get("libraries") or ()
    if scripts:
        from .init_scripts import InitScriptFailed, run_scripts

        try:
            run_scripts(scripts, config.get("init_environment") or {}, _fetcher("init script", roots))
        except InitScriptFailed as error:
            raise NotPrepared("sparkplane.InitScript", str(error)) from None
    if not wanted:
        return None
    from .libraries import LibraryNotInstalled, install

    try:
        return install(wanted, _fetcher("library", roots))
    except LibraryNotInstalled as error:
        raise NotPrepared("sparkplane.Library", str(error)) from None


def _fetcher(what: str, roots: Sequence[str]) -> Callable[[str], str]:
    return lambda uri: find_file(what, uri, roots, fetched_by_spark_submit, LIBRARY_CAP_BYTES)


class Ending:
    """What happens last: Spark is stopped, so its event log is complete, the volumes that the program may have written
    are stored, and the control plane is told.

    Registered with atexit before the program runs, so Python first waits for the program's threads and calls the
    program's own exit functions. A child that the program forks inherits all this and must do none of it.
    """

    def __init__(self, reporter: Reporter, hidden: list[str]) -> None:
        self.outcome: Outcome | None = None
        self.volumes: Volumes | None = None
        self._reporter = reporter
        self._hidden = [text for text in hidden if len(text) >= 4]
        self._process = os.getpid()
        self._over = False
        self._held = threading.local()

    def hide(self, texts: list[str]) -> None:
        """Keep these out of the report too."""
        self._hidden += [text for text in texts if len(text) >= 4]

    def install(self) -> None:
        atexit.register(self._at_exit)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_signal)
            os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._forget)

    def open(self) -> None:
        """Make ready to end: once Python has begun to shut down, it starts no more threads."""
        self._reporter.open()
        if self.volumes is not None:
            self.volumes.open()

    def guard_exit(self) -> None:
        """Have os._exit store the volumes first, so that no success hides what is lost."""
        leave = os._exit

        def leave_stored(status: int) -> NoReturn:
            if os.getpid() == self._process and not self._over and self.volumes and (lost := self.volumes.store()):
                self._tell_abrupt({"exit_code": 1}, lost)
                leave(1)
            leave(status)

        os._exit = leave_stored

    def _at_exit(self) -> None:
        if os.getpid() != self._process or self._over:
            return
        stop_spark()
        failed = self._volumes_failed()
        self._over = True
        if self.outcome is not None and not self.outcome.silent:
            ended = {"exit_code": self.outcome.exit_code, "error": self._redacted(self.outcome.error)}
            version = "" if self._reporter.introduced else version_on_disk()
            about = {"spark_version": version} if version else {}
            self._reporter.finish({**about, **self.outcome.facts, **ended})
        if failed:
            _leave(1)

    def _volumes_failed(self) -> bool:
        """Store the volumes. Whether that failed, and the run with it, whose program had not."""
        if self.volumes is None:
            return False
        failure = self.volumes.store()
        self.volumes.remove()
        if failure:
            say(failure)
        if not failure or self.outcome is None or self.outcome.exit_code:
            return False
        self.outcome = Outcome(SystemExit(1), describe_text("sparkplane.Volume", failure), self.outcome.facts)
        return True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Tell, then die of the same signal, so that the exit status is honest. Spark's JVM stops Spark by itself."""
        if os.getpid() == self._process and not self._over:
            self._over = True
            # One is enough: a JVM that ends sends one too (see `jvm.hold`).
            signal.signal(number, signal.SIG_IGN if self.volumes else signal.SIG_DFL)
            _end_kernels()
            failure = self.volumes.store(SIGNAL_STORE_SECONDS) if self.volumes else ""
            self._tell_abrupt({"signal": number, "exit_code": 128 + number}, failure)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _tell_abrupt(self, facts: dict[str, Any], failure: str) -> None:
        """The last report of an end that leaves little time, and what went wrong with the volumes."""
        if failure:
            say(failure)
        error = describe_text("sparkplane.Volume", failure) if failure else None
        self._reporter.finish({**facts, "error": error}, SIGNAL_PATIENCE_SECONDS)

    # A child that the program forks must die of SIGTERM as if there were no handler, also of one that arrives at once:
    # in a new child Python drops what a handler has noted but not yet run. So the signal waits in the kernel meanwhile.
    # (Left open: on Python 3.9, a spawned process that is terminated before its exec; newer ones see to it.)

    def _hold(self) -> None:
        if signal.getsignal(signal.SIGTERM) == self._on_signal:
            self._held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _release(self) -> None:
        mask = self._held.__dict__.pop("mask", None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _forget(self) -> None:
        if "mask" in self._held.__dict__:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._release()

    def _redacted(self, error: dict[str, str] | None) -> dict[str, str] | None:
        """A report is shown to people who may not know the run's secrets; a program may well print them in an error."""
        if error is None:
            return None
        shown = dict(error)
        for text in self._hidden:
            shown = {field: value.replace(text, _HIDDEN) for field, value in shown.items()}
        return shown


def _leave(code: int) -> None:
    """End with this exit code: what Python is about to leave with, nothing can change any more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    java_main = sys.modules.get(f"{__name__.rpartition('.')[0]}.java_main")
    if java_main is not None:
        java_main.halt(code)
    os._exit(code)


def _end_kernels() -> None:
    client = sys.modules.get(f"{__name__.rpartition('.')[0]}.notebook.client")
    if client is not None:
        client.kill_all()


def stop_spark() -> None:
    """Stop the SparkContext that is still active in this process, if any; one that cannot stop is worth one line."""
    for name in ("pyspark.core.context", "pyspark.context"):
        context = getattr(getattr(sys.modules.get(name), "SparkContext", None), "_active_spark_context", None)
        if context is not None:
            try:
                context.stop()
            except Exception as error:  # noqa: BLE001 - py4j raises many kinds; the program has ended
                say(f"Spark did not stop cleanly: {type(error).__name__}")
            return
