"""The operations of Jobs API 2.0 that run things: jobs and runs. Each parses, calls one service, and renders."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from chalicelib.core.capacity import Ledger
from chalicelib.core.errors import Invalid
from chalicelib.core.ids import MAX_ID
from chalicelib.core.model import NO_JOB, Job, JobActivity, ProgramKind, Run, RunKind
from chalicelib.dialects.databricks_jobs import cluster_lists, dbfs, destinations, files, pipelines, secrets, workspace
from chalicelib.dialects.databricks_jobs.errors import VOICE
from chalicelib.dialects.http import Answer, Operation, Request, quiet_fields
from chalicelib.later import later
from chalicelib.ports import Key, Listing, Ports, active_runs, key, runs_of_job, runs_of_workspace
from chalicelib.services import jobs, pools, runs, submission
from chalicelib.services.access import Call, seen_by
from chalicelib.services.dbfs import locator

if TYPE_CHECKING:
    from chalicelib.dialects.databricks_jobs import answers, mapping, reading, schemas, tasks
    from chalicelib.services import results, workflow
else:
    results, workflow = later("chalicelib.services.results"), later("chalicelib.services.workflow")
    answers, mapping, reading, schemas, tasks = (
        later(f"chalicelib.dialects.databricks_jobs.{name}")
        for name in ("answers", "mapping", "reading", "schemas", "tasks")
    )

__all__ = ["OPERATIONS", "VOICE"]

MAX_LOGS = 5_000_000
"""Characters of output that get-output returns (seed 004, "Runs get output": the first 5 MB)."""

MAX_PAGE = 1000
MAX_PAGE_BYTES = 4_000_000
"""A page ends early, with `has_more`, before it outgrows what Lambda can answer; an offset goes on from there."""


def _id(fields: dict[str, Any], name: str) -> int:
    """An id for a prefetch: 0, which no record has, when there is none or it is not one."""
    text = str(fields.get(name, ""))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 17 and int(text) <= MAX_ID else 0


def _want_job(ports: Ports, workspace: str, request: Request) -> Collection[Key]:
    job = _id(quiet_fields(request), "job_id")
    return [key(Job, workspace, job)] if job else []


def _want_activity(ports: Ports, workspace: str, request: Request) -> Collection[Key]:
    job = _id(quiet_fields(request), "job_id")
    return [key(Job, workspace, job), key(JobActivity, workspace, job)]


def _want_run(ports: Ports, workspace: str, request: Request) -> Collection[Key]:
    return [key(Run, workspace, _id(quiet_fields(request), "run_id"))]


def _want_shown_run(ports: Ports, workspace: str, request: Request) -> Collection[Key]:
    """A run to be shown; with the ledger, that tells why it waits, if it does."""
    return [*_want_run(ports, workspace, request), key(Ledger, ports.settings.cluster)]


def _waiting(ports: Ports, call: Call, run: Run) -> str:
    """Why a run waits, empty for one that does not."""
    place = pools.queue_place(ports, call, run)
    return place.message if place else ""


def _token(fields: dict[str, Any]) -> str:
    """The idempotency token of a request, empty when there is none or it is not one."""
    token = fields.get("idempotency_token")
    return token if isinstance(token, str) and len(token) <= 64 else ""


def _replayed(ports: Ports, call: Call, request: Request) -> submission.Submitted | None:
    """The run that the request's token has made, before anything else is looked at."""
    token = _token(request.fields)
    return submission.replayed(ports, call, token) if token else None


def _want_submission(ports: Ports, workspace: str, request: Request) -> Collection[Key]:
    fields = quiet_fields(request)
    cluster = fields.get("new_cluster")
    pool = cluster.get("instance_pool_id") if isinstance(cluster, dict) else None
    return submission.submission_keys(
        ports,
        workspace,
        pool=pool if isinstance(pool, str) and 0 < len(pool) <= schemas.MAX_POOL_NAME else "default",
        idempotency=_token(fields),
        job=_id(fields, "job_id") or NO_JOB,
    )


def _definition(ports: Ports, call: Call, raw: dict[str, Any]) -> jobs.Definition:
    """A job's settings on the wire as core's definition. Raises Invalid in Databricks' words."""
    reading.refuse_multi_task(raw)
    settings = reading.parse(schemas.JobSettings, raw)
    spec = mapping.job_spec(settings, raw, locator(ports, call.workspace))
    return jobs.Definition(
        spec=spec,
        max_concurrent_runs=settings.max_concurrent_runs,
        settings=mapping.known_settings(settings, raw),
        schedule=mapping.cron_schedule(settings),
        fields=tasks.field_names(spec),
    )


def create(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /jobs/create."""
    return Answer({"job_id": jobs.create_job(ports, call, _definition(ports, call, request.fields)).id})


def reset(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /jobs/reset."""
    body = reading.parse(schemas.Reset, request.fields)
    wanted = _definition(ports, call, body.new_settings)
    jobs.redefine_job(ports, call, body.job_id, lambda job: wanted)
    return Answer({})


def update(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /jobs/update."""
    body = reading.parse(schemas.Update, request.fields)

    def define(job: Job) -> jobs.Definition:
        return _definition(ports, call, mapping.updated_settings(job, body.new_settings, body.fields_to_remove))

    jobs.redefine_job(ports, call, body.job_id, define)
    return Answer({})


def list_jobs(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /jobs/list: all of them; 2.0 has no paging."""
    return Answer({"jobs": [answers.job_body(seen_by(call, job)) for job in jobs.list_jobs(ports, call)]})


def get(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /jobs/get."""
    job = jobs.get_job(ports, call, reading.parse(schemas.JobId, request.fields).job_id)
    return Answer(answers.job_body(seen_by(call, job)))


def delete(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /jobs/delete."""
    jobs.delete_job(ports, call, reading.parse(schemas.JobId, request.fields).job_id)
    return Answer({})


def run_now(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /jobs/run-now."""
    made = _replayed(ports, call, request) or _run_now(ports, call, request)
    number = made.number_in_job or runs.get_run(ports, call, made.run).number_in_job
    return Answer({"run_id": made.run, "number_in_job": number})


def _run_now(ports: Ports, call: Call, request: Request) -> submission.Submitted:
    now = reading.parse(schemas.RunNow, request.fields)
    locate = locator(ports, call.workspace)
    return submission.run_job(
        ports,
        call,
        now.job_id,
        submission.Request(idempotency=now.idempotency_token, fields=tasks.RUN_NOW_FIELDS),
        lambda job: tasks.overridden(job, now, locate),
    )


def submit(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /jobs/runs/submit."""
    made = _replayed(ports, call, request) or _submit(ports, call, request)
    return Answer({"run_id": made.run})


def _submit(ports: Ports, call: Call, request: Request) -> submission.Submitted:
    raw = request.fields
    reading.refuse_multi_task(raw)
    body = reading.parse(schemas.RunsSubmit, raw)
    spec = mapping.submit_spec(body, raw, locator(ports, call.workspace))
    asked = submission.Request(idempotency=body.idempotency_token, fields=tasks.field_names(spec))
    return submission.submit(ports, call, spec, asked)


def _shown_listing(call: Call, query: schemas.RunsList) -> Listing:
    if query.job_id is not None:
        return runs_of_job(call.workspace, query.job_id)
    if query.active_only:
        return active_runs(call.workspace, RunKind.BATCH)
    return runs_of_workspace(call.workspace, RunKind.BATCH)


def list_runs(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /jobs/runs/list."""
    query = reading.parse(schemas.RunsList, request.fields)
    if query.active_only and query.completed_only:
        raise Invalid("Only one of active_only and completed_only may be true.", field="active_only")
    if query.limit >= MAX_PAGE:
        raise Invalid(f"limit must be less than {MAX_PAGE}.", field="limit")
    if query.job_id is not None:
        jobs.get_job(ports, call, query.job_id)

    def keep(run: Run) -> bool:
        run_type = "JOB_RUN" if run.job != NO_JOB else "SUBMIT_RUN"
        right_phase = not (query.active_only and run.ended) and not (query.completed_only and not run.ended)
        return right_phase and query.run_type in {None, run_type}

    page = runs.list_runs(
        ports, [_shown_listing(call, query)], limit=query.limit or MAX_PAGE - 1, offset=query.offset, keep=keep
    )
    shown = [seen_by(call, run) for run in page.runs]
    return Answer(answers.runs_body(shown, ports.settings.api_url, more=page.more, most=MAX_PAGE_BYTES))


def get_run(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /jobs/runs/get."""
    run = seen_by(call, runs.get_run(ports, call, reading.parse(schemas.RunId, request.fields).run_id))
    return Answer(answers.run_body(run, ports.settings.api_url, _waiting(ports, call, run)))


def get_output(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /jobs/runs/get-output."""
    run = seen_by(call, runs.get_run(ports, call, reading.parse(schemas.RunId, request.fields).run_id))
    if run.spec.program.kind is ProgramKind.NOTEBOOK:
        told = results.notebook_result(ports, run)
        return Answer(answers.notebook_output_body(run, ports.settings.api_url, told.text, told.truncated))
    logs = workflow.driver_log(ports, run, "stdout", limit=MAX_LOGS + 1)
    waiting = _waiting(ports, call, run)
    return Answer(answers.output_body(run, ports.settings.api_url, logs, MAX_LOGS, waiting))


def export(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /jobs/runs/export: the notebook as it ran. Notebooks here have no dashboards."""
    query = reading.parse(schemas.RunsExport, request.fields)
    run = runs.get_run(ports, call, query.run_id)
    page = results.notebook_page(ports, run)
    return Answer({"views": []} if query.views_to_export == "DASHBOARDS" else answers.export_body(run, page))


def cancel(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /jobs/runs/cancel."""
    runs.cancel_run(ports, call, reading.parse(schemas.RunId, request.fields).run_id)
    return Answer({})


def cancel_all(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /jobs/runs/cancel-all."""
    jobs.cancel_runs_of(ports, call, reading.parse(schemas.JobId, request.fields).job_id)
    return Answer({})


def delete_run(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /jobs/runs/delete."""
    runs.delete_run(ports, call, reading.parse(schemas.RunId, request.fields).run_id)
    return Answer({})


BASE = "/api/2.0/jobs"

OPERATIONS = [
    Operation("POST", f"{BASE}/create", create, lambda p, w, r: submission.submission_keys(p, w, pool="default")),
    Operation("GET", f"{BASE}/list", list_jobs),
    Operation("GET", f"{BASE}/get", get, _want_job),
    Operation("POST", f"{BASE}/reset", reset, _want_job),
    Operation("POST", f"{BASE}/update", update, _want_job),
    Operation("POST", f"{BASE}/delete", delete),
    Operation("POST", f"{BASE}/run-now", run_now, _want_submission),
    Operation("POST", f"{BASE}/runs/submit", submit, _want_submission),
    Operation("GET", f"{BASE}/runs/list", list_runs, _want_job),
    Operation("GET", f"{BASE}/runs/get", get_run, _want_shown_run),
    Operation("GET", f"{BASE}/runs/get-output", get_output, _want_shown_run),
    Operation("GET", f"{BASE}/runs/export", export, _want_run),
    Operation("POST", f"{BASE}/runs/cancel", cancel, _want_run),
    Operation("POST", f"{BASE}/runs/cancel-all", cancel_all, _want_activity),
    Operation("POST", f"{BASE}/runs/delete", delete_run, _want_run),
    *dbfs.OPERATIONS,
    *files.OPERATIONS,
    *workspace.OPERATIONS,
    *secrets.OPERATIONS,
    *cluster_lists.OPERATIONS,
    *destinations.OPERATIONS,
    *pipelines.OPERATIONS,
]
