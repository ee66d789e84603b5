"""The operations of Pipelines API 2.0: declarative pipelines, registered by name, and their updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chalicelib.core.ids import to_uuid
from chalicelib.core.model import Pipeline, Run
from chalicelib.core.states import RunState
from chalicelib.dialects.http import Answer, Operation, Request
from chalicelib.later import later
from chalicelib.ports import Ports
from chalicelib.services.access import Call, seen_by
from chalicelib.services.dbfs import locator
from chalicelib.services.runs import seal, unseal

if TYPE_CHECKING:
    from chalicelib.dialects.databricks_jobs import pipelines_mapping, pipelines_schemas, reading
    from chalicelib.services import pipelines
else:
    pipelines = later("chalicelib.services.pipelines")
    pipelines_mapping, pipelines_schemas, reading = (
        later(f"chalicelib.dialects.databricks_jobs.{name}")
        for name in ("pipelines_mapping", "pipelines_schemas", "reading")
    )

S = RunState
UPDATE_STATE: Mapping[RunState, str] = {
    S.QUEUED: "WAITING_FOR_RESOURCES",
    S.GRANTED: "INITIALIZING",
    S.LAUNCHING: "INITIALIZING",
    S.RUNNING: "RUNNING",
    S.TERMINATING: "STOPPING",
    S.SUCCEEDED: "COMPLETED",
    S.FAILED: "FAILED",
    S.CANCELED: "CANCELED",
    S.TIMED_OUT: "FAILED",
    S.SKIPPED: "CANCELED",
    S.INTERNAL_ERROR: "FAILED",
}
"""Databricks' UpdateInfoState."""

SHOWN = 5
"""Updates that a pipeline is shown with."""


def create(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /pipelines."""
    settings = reading.parse(pipelines_schemas.PipelineSettings, request.fields)
    define = pipelines_mapping.definition(ports.settings, settings, request.fields, locator(ports, call.workspace))
    return Answer({"pipeline_id": pipelines.pipeline_uuid(ports, pipelines.create_pipeline(ports, call, define))})


def edit(ports: Ports, call: Call, request: Request) -> Answer:
    """PUT /pipelines/{pipeline_id}."""
    settings = reading.parse(pipelines_schemas.PipelineSettings, request.fields)
    define = pipelines_mapping.definition(ports.settings, settings, request.fields, locator(ports, call.workspace))
    pipelines.edit_pipeline(ports, call, request.parameters["pipeline_id"], define)
    return Answer({})


def list_pipelines(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /pipelines."""
    query = reading.parse(pipelines_schemas.ListPipelines, request.fields)
    pipelines_mapping.refuse_filter(query.filter)
    scope = f"pipelines:{call.workspace}"
    after = unseal(ports, scope, query.page_token) if query.page_token else ""
    page = pipelines.page_of_pipelines(ports, call, limit=query.max_results, after=after)
    more = {"next_page_token": seal(ports, scope, page.next)} if page.next else {}
    return Answer({"statuses": [_status(ports, seen_by(call, pipeline)) for pipeline in page.records], **more})


def get(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /pipelines/{pipeline_id}."""
    pipeline = pipelines.get_pipeline(ports, call.workspace, request.parameters["pipeline_id"])
    shown = {"id": pipelines.pipeline_uuid(ports, pipeline), **pipeline.settings}
    return Answer({**_status(ports, seen_by(call, pipeline)), "spec": shown, "last_modified": pipeline.changed_at})


def delete(ports: Ports, call: Call, request: Request) -> Answer:
    """DELETE /pipelines/{pipeline_id}."""
    pipelines.delete_pipeline(ports, call, request.parameters["pipeline_id"])
    return Answer({})


def start(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /pipelines/{pipeline_id}/updates."""
    asked = reading.parse(pipelines_schemas.Update, request.fields)
    options = pipelines_mapping.update_options(asked)
    id = request.parameters["pipeline_id"].lower()
    made = pipelines.start_update(ports, call, id, lambda found: pipelines_mapping.update_spec(id, found, options))
    return Answer({"update_id": _update_id(ports, call.workspace, made.run)})


def list_updates(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /pipelines/{pipeline_id}/updates: the newest ones."""
    pipeline = pipelines.get_pipeline(ports, call.workspace, request.parameters["pipeline_id"])
    return Answer({"updates": [_update(ports, pipeline, run) for run in pipelines.updates_of(ports, pipeline)]})


def get_update(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /pipelines/{pipeline_id}/updates/{update_id}."""
    told = request.parameters
    pipeline, run = pipelines.get_update(ports, call, told["pipeline_id"], told["update_id"])
    return Answer({"update": _update(ports, pipeline, run)})


def stop(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /pipelines/{pipeline_id}/stop."""
    pipelines.stop_pipeline(ports, call, request.parameters["pipeline_id"])
    return Answer({})


def _update_id(ports: Ports, workspace: str, run: int) -> str:
    return to_uuid(run, "run", workspace, ports.secret())


def _update(ports: Ports, pipeline: Pipeline, run: Run) -> dict[str, Any]:
    """An UpdateInfo on the wire; the run and why it ended are told too."""
    options = run.spec.program.parameters
    names = {
        name: options[name].split(",") for name in ("full_refresh_selection", "refresh_selection") if name in options
    }
    return {
        "pipeline_id": pipelines.pipeline_uuid(ports, pipeline),
        "update_id": _update_id(ports, run.workspace, run.id),
        "state": UPDATE_STATE[run.state],
        "cause": "API_CALL" if not run.job else "JOB_TASK",
        "creation_time": run.created_at,
        "full_refresh": options.get("full_refresh") == "true",
        **names,
        "run_id": run.id,
        **({"message": run.message} if run.message else {}),
    }


def _status(ports: Ports, pipeline: Pipeline) -> dict[str, Any]:
    """A pipeline's state on the wire, with its newest updates."""
    shown = pipelines.updates_of(ports, replace(pipeline, latest=pipeline.latest[:SHOWN]))
    latest = [_update(ports, pipeline, run) for run in shown]
    states = {"RUNNING"} if any(not run.ended for run in shown) else {one["state"] for one in latest[:1]}
    body = {
        "pipeline_id": pipelines.pipeline_uuid(ports, pipeline),
        "name": pipeline.name,
        "state": "RUNNING" if "RUNNING" in states else "FAILED" if "FAILED" in states else "IDLE",
        **(
            {"creator_user_name": pipeline.created_by, "run_as_user_name": pipeline.created_by}
            if pipeline.created_by
            else {}
        ),
    }
    brief = ("update_id", "state", "creation_time")
    return {**body, **({"latest_updates": [{n: one[n] for n in brief} for one in latest]} if latest else {})}


BASE = "/api/2.0/pipelines"
ONE = f"{BASE}/{{pipeline_id}}"

OPERATIONS = [
    Operation("POST", BASE, create),
    Operation("GET", BASE, list_pipelines),
    Operation("GET", ONE, get),
    Operation("PUT", ONE, edit),
    Operation("DELETE", ONE, delete),
    Operation("POST", f"{ONE}/updates", start),
    Operation("GET", f"{ONE}/updates", list_updates),
    Operation("GET", f"{ONE}/updates/{{update_id}}", get_update),
    Operation("POST", f"{ONE}/stop", stop),
]
