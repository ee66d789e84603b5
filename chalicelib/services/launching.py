"""What the engine is given to start a run: its program, as it is or through the bootstrap, and what travels with it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.eventlogs import event_log_prefix, wants_event_log, with_event_log
from chalicelib.core.ids import cluster_id, external_name
from chalicelib.core.model import IN_PYTHON, InitScript, ProgramKind, Run, RunKind
from chalicelib.core.policy import Outcome
from chalicelib.core.references import resolve, resolve_map, values_of
from chalicelib.core.spark import bootstrapped
from chalicelib.core.states import RunState
from chalicelib.core.uris import IMAGE_ROOTS, fetched_files, image_uri, is_fetched, is_local
from chalicelib.driver.bundle import bundle, launch_file
from chalicelib.ports import Blobs, EngineRefused, Launch, Ports
from chalicelib.services import notebooks, pipelines
from chalicelib.services.access import run_secret
from chalicelib.services.submission import check_spec


def launch_of(ports: Ports, run: Run) -> Launch:
    """What the engine executes: the program as it is, or the bootstrap in its place (`core.spark.bootstrapped`). Raises
    EngineRefused for a run that turns out to be none that could be started."""
    run = _with_event_log(ports, _resolved(ports, run))
    program, main = run.spec.program, run.spec.main_file
    if program.kind is ProgramKind.RUN_JOB:
        return Launch(run, "", ())
    if not bootstrapped(run.spec):
        return Launch(run, image_uri(main), program.arguments)
    config = {
        "run": external_name(run.workspace, run.id),
        "api": ports.settings.api_url,
        "secret": run_secret(ports, run.workspace, run.id),
        "program": _told(ports, run),
        "environment": dict(run.spec.environment) if program.kind in IN_PYTHON else {},
        "image_roots": list(IMAGE_ROOTS),
        **_preparation(ports, run),
        **({"volumes": [asdict(volume) for volume in run.spec.volumes]} if run.spec.volumes else {}),
    }
    entry = f"{run.workspace}/runs/{run.id}/launch.py"
    ports.blobs.put(entry, launch_file(config).encode(), "text/x-python")
    uri, bundled, fetched = ports.blobs.uri(entry), (_ship_bundle(ports.blobs),), fetched_files(run.spec)
    if program.kind is ProgramKind.JAR:
        run, jars = _with_main_jar(run)
        return Launch(run, uri, (), bundled, fetched, jars)
    # An R script stands among the files wherever it is: they are what tells of R in a request for the bootstrap.
    staged = (image_uri(main),) if is_fetched(main) or program.kind is ProgramKind.R else ()
    return Launch(run, uri, (), bundled, (*staged, *fetched))


def _with_main_jar(run: Run) -> tuple[Run, tuple[str, ...]]:
    """A JAR run that the bootstrap starts, and the jars that Spark is given beside its own: the main one, unless it is
    in the image. There the bootstrap finds it, also by a pattern, which Spark does not take."""
    main = run.spec.main_file
    if not is_local(main):
        return run, (main,)
    others = tuple(jar for jar in run.spec.files.jars if jar != main)
    return replace(run, spec=replace(run.spec, files=replace(run.spec.files, jars=others))), ()


def _preparation(ports: Ports, run: Run) -> dict[str, Any]:
    """What the bootstrap is told of a run's preparation and, of one in Python, of its libraries, secrets and executors
    (`driver.bootstrap.main`). Raises EngineRefused."""
    told, size = run.spec.preparation, run.spec.size
    config: dict[str, Any] = {}
    if told.init_scripts:
        values = {**values_of(run), "cluster_id": cluster_id(run.id)}
        config["init_scripts"] = [_script(ports, run, script) for script in told.init_scripts]
        config["init_environment"] = resolve_map(told.init_environment, values)
    if run.spec.program.kind not in IN_PYTHON:
        return config
    if told.libraries:
        config["libraries"] = [asdict(library) for library in told.libraries]
    if run.spec.references.wanted and any("{{secrets/" in value for value in run.spec.environment.values()):
        config["secret_references"] = True
    if not max(size.executors, size.executors_max):
        config["local_cores"] = size.driver_cores
    return config


MAX_SCRIPT = 64 * 1024
"""Bytes of an init script in the workspace."""


def _script(ports: Ports, run: Run, script: InitScript) -> dict[str, str]:
    """An init script as the bootstrap takes it: one in the workspace by its text. Raises EngineRefused for one that is
    not there."""
    if not script.path:
        return {"uri": script.uri, "label": script.label}
    try:
        text = notebooks.read_file(ports, run.workspace, script.path)
    except NotFound as missing:
        raise _script_failed(script, missing.message) from None
    if len(text) > MAX_SCRIPT:
        raise _script_failed(script, f"It is larger than {MAX_SCRIPT // 1024} KiB.")
    return {"text": text.decode(errors="replace"), "label": script.label}


def _script_failed(script: InitScript, reason: str) -> EngineRefused:
    message = f"Cluster scoped init script {script.label} failed: {reason}"
    return EngineRefused(message, Outcome(RunState.INTERNAL_ERROR, "INIT_SCRIPT_FAILED", message))


def _told(ports: Ports, run: Run) -> dict[str, Any]:
    """The program as the bootstrap takes it (`driver.bootstrap.main`). Raises EngineRefused."""
    program = run.spec.program
    if program.kind is ProgramKind.PIPELINE:
        return {"pipeline": pipelines.told(ports, run)}
    if program.kind is ProgramKind.NOTEBOOK:
        return {"notebook": program.resource, "revision": program.revision, "parameters": dict(program.parameters)}
    told = {"uri": run.spec.main_file, "arguments": list(program.arguments)}
    if program.kind is ProgramKind.PYTHON:
        return told
    return {**told, "language": program.kind.lower(), "main_class": program.main_class}


def _resolved(ports: Ports, run: Run) -> Run:
    """The run with its dynamic value references replaced; what they say is checked as what was submitted was."""
    try:
        spec = resolve(run)
        if spec is not run.spec or spec.late_schemes:
            check_spec(ports, spec, launching=True)
    except Invalid as invalid:
        raise EngineRefused(invalid.message) from None
    return replace(run, spec=spec)


def _with_event_log(ports: Ports, run: Run) -> Run:
    """The run with a place for the event log that it asks for, if it names none itself. A history server reads there,
    so its place is made too."""
    if run.spec.kind is not RunKind.HISTORY and not wants_event_log(run.spec.conf):
        return run
    prefix = event_log_prefix(run.workspace, run.spec.pool)
    _make_place(ports.blobs, prefix)
    return (
        run
        if run.spec.kind is RunKind.HISTORY
        else replace(run, spec=with_event_log(run.spec, ports.blobs.uri(prefix)))
    )


@lru_cache(maxsize=64)
def _make_place(blobs: Blobs, prefix: str) -> None:
    """See to it that a prefix can be found as a directory: Spark refuses to write its event log where there is none.
    Once a process is enough."""
    blobs.put(f"{prefix}/", b"", "application/x-directory")


@lru_cache(maxsize=4)
def _ship_bundle(blobs: Blobs) -> str:
    """The URI of the bootstrap's bundle, stored under its content's digest; once a process is enough."""
    packed = bundle()
    name = f"driver/{hashlib.sha256(packed).hexdigest()[:16]}/sparkplane_driver.zip"
    blobs.put(name, packed, "application/zip")
    return blobs.uri(name)
