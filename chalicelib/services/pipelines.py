"""Declarative pipelines: registered by name, updated by runs like any other, one at a time.

An update takes the pipeline as it is when its driver is launched (`told`). Which run updates a pipeline now is decided
by the pipeline's record: an update is noted there by the transaction that makes its run, and that of a job's task when
it is launched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib.core.conf import check_conf
from chalicelib.core.errors import AlreadyExists, Conflict, Invalid, InvalidState, NotFound, TooLarge
from chalicelib.core.ids import RANDOM_BITS, from_uuid, make_id, to_uuid
from chalicelib.core.model import (
    ContentFormat,
    ObjectType,
    Pipeline,
    PipelineName,
    Pool,
    Run,
    RunSpec,
    Source,
    WorkspaceObject,
)
from chalicelib.core.policy import Outcome
from chalicelib.core.states import Intent, RunState
from chalicelib.ports import Change, Clash, Delete, EngineRefused, Page, Ports, Put, key, pipelines_of
from chalicelib.services import notebooks, tree
from chalicelib.services.access import Call, read
from chalicelib.services.runs import cancel
from chalicelib.services.submission import ATTEMPTS, Request, submit

KEPT = 10
"""Updates that a pipeline's record names."""

MAX_SETTINGS = 20_000
"""Bytes of a pipeline's settings."""


def pipeline_uuid(ports: Ports, pipeline: Pipeline) -> str:
    """A pipeline's id on the wire."""
    return to_uuid(pipeline.id, "pipeline", pipeline.workspace, ports.secret())


def create_pipeline(ports: Ports, call: Call, define: Callable[[Pipeline], Pipeline]) -> Pipeline:
    """Register a pipeline, as `define` makes it of an empty one. Raises AlreadyExists for its name, NotFound for its
    pool, Invalid."""
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        now = ports.clock.now()
        id = make_id(now, ports.dice.bits(RANDOM_BITS))
        made = define(Pipeline(call.workspace, id, "", call.principal.name, now, changed_at=now))
        name_key = key(PipelineName, call.workspace, made.name)
        _check(ports, call, made)
        if name_key in ports.store.fetch([name_key]):
            raise _taken(made.name)
        try:
            ports.store.commit([Put(made), Put(PipelineName(call.workspace, made.name, id))])
            return made
        except Clash:
            continue
    raise Conflict("Too many pipelines are being created at once; please try again.")


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(f"The pipeline name '{name}' is already used by another pipeline.", field="name")


def _check(ports: Ports, call: Call, wanted: Pipeline) -> None:
    check_conf(wanted.configuration, field="configuration")
    check_conf(wanted.conf, field="clusters.spark_conf")
    if len(repr(wanted.settings)) > MAX_SETTINGS:
        raise TooLarge(f"The pipeline's settings are larger than {MAX_SETTINGS} bytes.", field="libraries")
    pool_key = key(Pool, call.workspace, wanted.pool)
    if pool_key not in read(ports, call, [pool_key]):
        raise NotFound("Pool", wanted.pool, field="clusters.instance_pool_id")


def get_pipeline(ports: Ports, workspace: str, text: str, *, by_name: bool = False) -> Pipeline:
    """A pipeline by its id on the wire, or by its name too. Raises NotFound."""
    id = from_uuid(text.lower(), "pipeline", workspace, ports.secret())
    if id is None and by_name:
        name_key = key(PipelineName, workspace, text)
        named: PipelineName | None = ports.store.fetch([name_key]).get(name_key)
        id = named.pipeline if named else None
    found = ports.store.fetch([key(Pipeline, workspace, id)]) if id else {}
    for pipeline in found.values():
        assert isinstance(pipeline, Pipeline)
        return pipeline
    raise NotFound("Pipeline", text, field="pipeline_id")


def page_of_pipelines(ports: Ports, call: Call, *, limit: int, after: str = "") -> Page:
    """Part of the list of all pipelines, the newest first."""
    return ports.store.page(pipelines_of(call.workspace), limit=limit, after=after)


def edit_pipeline(ports: Ports, call: Call, text: str, define: Callable[[Pipeline], Pipeline]) -> Pipeline:
    """Give a pipeline another definition; an update that runs keeps the one it began with. Raises as `create_pipeline`
    does, and NotFound."""
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = get_pipeline(ports, call.workspace, text)
        wanted = replace(define(found), changed_at=ports.clock.now())
        _check(ports, call, wanted)
        try:
            ports.store.commit([Put(wanted), *_renamed(ports, found, wanted.name)])
            return wanted
        except Clash:
            continue
    raise Conflict("The pipeline is being changed by too many at once; please try again.")


def _renamed(ports: Ports, found: Pipeline, name: str) -> list[Change]:
    if found.name == name:
        return []
    old, new = (key(PipelineName, found.workspace, n) for n in (found.name, name))
    names = ports.store.fetch([old, new])
    if new in names:
        raise _taken(name)
    return [*([Delete(names[old])] if old in names else []), Put(PipelineName(found.workspace, name, found.id))]


def delete_pipeline(ports: Ports, call: Call, text: str) -> None:
    """Ask a pipeline's update to end, and remove the pipeline; what it stored stays. Raises NotFound."""
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = get_pipeline(ports, call.workspace, text)
        stop_pipeline(ports, call, text)
        name_key = key(PipelineName, found.workspace, found.name)
        name = ports.store.fetch([name_key]).get(name_key)
        try:
            ports.store.commit([Delete(found), *([Delete(name)] if name else [])])
            return
        except Clash:
            continue
    raise Conflict("The pipeline is being changed by too many at once; please try again.")


@dataclass(frozen=True, slots=True)
class Started:
    """An update that was started: its run."""

    pipeline: Pipeline
    run: int = 0
    runs: Sequence[Run] = field(default_factory=tuple)


def start_update(ports: Ports, call: Call, text: str, spec_of: Callable[[Pipeline], RunSpec]) -> Started:
    """Start an update. Raises NotFound, InvalidState while another one is active, and as `submit` does."""
    found = get_pipeline(ports, call.workspace, text)

    def note(run: Run) -> list[Change]:
        now = get_pipeline(ports, call.workspace, text)
        _refuse_second(ports, now)
        return [Put(_noted(now, run.id))]

    made = submit(ports, call, spec_of(found), Request(beside=note))
    return Started(found, made.run)


def _noted(pipeline: Pipeline, run: int) -> Pipeline:
    return replace(pipeline, latest=(run, *pipeline.latest)[:KEPT])


def _refuse_second(ports: Ports, pipeline: Pipeline, but: int = 0) -> None:
    active = [run for run in updates_of(ports, pipeline) if not run.ended and run.id != but]
    if active:
        raise InvalidState(f"Pipeline {pipeline.name} has an active update already: run {active[0].id}.")


def updates_of(ports: Ports, pipeline: Pipeline) -> list[Run]:
    """The runs of a pipeline's newest updates, the last one first."""
    keys = [key(Run, pipeline.workspace, run) for run in pipeline.latest]
    found = ports.store.fetch(keys) if keys else {}
    return [found[k] for k in keys if k in found]


def get_update(ports: Ports, call: Call, text: str, update: str) -> tuple[Pipeline, Run]:
    """An update of a pipeline by its id on the wire. Raises NotFound."""
    pipeline = get_pipeline(ports, call.workspace, text)
    run = from_uuid(update.lower(), "run", call.workspace, ports.secret())
    found = ports.store.fetch([key(Run, call.workspace, run)]) if run else {}
    for one in found.values():
        assert isinstance(one, Run)
        if one.id in pipeline.latest or one.spec.program.resource in {text.lower(), pipeline.name}:
            return pipeline, one
    raise NotFound("Update", update, field="update_id")


def stop_pipeline(ports: Ports, call: Call, text: str) -> Pipeline:
    """Ask a pipeline's active update to end; no error when there is none. Raises NotFound."""
    pipeline = get_pipeline(ports, call.workspace, text)
    for run in updates_of(ports, pipeline):
        cancel(ports, run, Intent.CANCEL)
    return pipeline


def told(ports: Ports, run: Run) -> dict[str, Any]:
    """What the driver of an update is told (`driver.pipeline.run_pipeline`). Raises EngineRefused when there is nothing
    that could be updated."""
    program = run.spec.program
    try:
        pipeline = _claimed(ports, run)
    except NotFound:
        raise _refused(f"Pipeline {program.resource} was not found.") from None
    except InvalidState as error:
        raise _refused(error.message) from None
    storage = pipeline.storage or ports.blobs.uri(f"{run.workspace}/pipelines/{pipeline_uuid(ports, pipeline)}")
    options = program.parameters
    return {
        "name": pipeline.name,
        "storage": storage,
        "catalog": pipeline.catalog,
        "schema": pipeline.schema,
        "configuration": dict(pipeline.configuration),
        "sources": [told for source in pipeline.sources for told in _told_source(ports, run.workspace, source)],
        "full_refresh": options.get("full_refresh") == "true",
        "full_refresh_selection": _names(options.get("full_refresh_selection", "")),
        "refresh_selection": _names(options.get("refresh_selection", "")),
    }


def _refused(message: str) -> EngineRefused:
    return EngineRefused(message, Outcome(RunState.FAILED, "PIPELINE_REFUSED", message))


def _told_source(ports: Ports, workspace: str, source: Source) -> list[dict[str, str]]:
    """A source as the driver takes it: what the workspace holds goes with the launch, all else is fetched there."""
    if not source.uri.startswith("/"):
        return [{"uri": source.uri}]
    try:
        found = _below(ports, workspace, source.uri)
        texts = [_told_text(ports, workspace, one.path) for one in found if _is_source(one, source)]
    except (NotFound, Invalid) as error:
        raise _refused(f"The pipeline's source {source.uri} cannot be read: {error.message}") from None
    if not texts or sum(len(text["text"]) for text in texts) > MAX_SOURCES:
        told = "is larger than can be launched" if texts else "does not exist"
        raise _refused(f"The pipeline's source {source.uri} {told}.")
    return texts


MAX_SOURCES = 2_000_000
"""Characters of one source, which for a directory are those of all that is in it."""


def _below(ports: Ports, workspace: str, path: str) -> list[WorkspaceObject]:
    """What is at a path; of one that ends with `/**`, all that is below it."""
    if not path.endswith("/**"):
        return [tree.find(ports, workspace, path)]
    found: list[WorkspaceObject] = []
    waiting = [path.removesuffix("/**")]
    while waiting:
        listed = tree.list_objects(ports, workspace, waiting.pop())
        waiting += [one.path for one in listed if one.type is ObjectType.DIRECTORY]
        found += [one for one in listed if one.type is not ObjectType.DIRECTORY]
    return sorted(found, key=lambda one: one.path)


def _is_source(found: WorkspaceObject, source: Source) -> bool:
    """Whether an object can be what a source names; of a directory, what is no source is passed over."""
    if source.uri.endswith("/**"):
        return found.type is ObjectType.NOTEBOOK or found.name.endswith((".py", ".sql"))
    return (found.type is ObjectType.NOTEBOOK) == source.notebook


def _told_text(ports: Ports, workspace: str, path: str) -> dict[str, str]:
    """A notebook's or file's text. A Python notebook is a module: other cells than Markdown are refused, since they
    would be comments."""
    told = notebooks.export(ports, workspace, path, ContentFormat.SOURCE)
    if told.extension not in {"py", "sql"}:
        raise Invalid(f"a pipeline's sources are Python and SQL, not {told.extension or 'text'}.")
    text = told.body.decode(errors="replace")
    magics = {magic for magic in _MAGIC.findall(text) if magic != "md"} if told.extension == "py" else set()
    if magics:
        raise Invalid(f"its cells of %{min(magics)} cannot be part of a pipeline.")
    name = path.rpartition("/")[2].removesuffix(f".{told.extension}")
    return {"name": f"{name}.{told.extension}", "text": text}


_MAGIC = re.compile(r"^# MAGIC %(\w+)", re.MULTILINE)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _claimed(ports: Ports, run: Run) -> Pipeline:
    """The run's pipeline, which no other run updates. Raises NotFound, InvalidState."""
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = get_pipeline(ports, run.workspace, run.spec.program.resource, by_name=True)
        _refuse_second(ports, found, but=run.id)
        if run.id in found.latest:
            return found
        try:
            ports.store.commit([Put(_noted(found, run.id))])
            return found
        except Clash:
            continue
    raise Conflict("The pipeline is being changed by too many at once.")
