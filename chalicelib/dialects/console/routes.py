"""The console: static pages, and the little that they need and no other dialect tells.

The pages are the same for everybody and hold nothing: whoever opens them gives a token, with which they call the public
operations. Their address says what they show, after the `#`: `job/<job>/run/<number>`, `job/<job>`, `run/<run>`,
`application/<Analytics Engine's id of a run>`,
`setting/sparkui/<cluster>/driver-logs`, `setting/sparkui/<cluster>/<Spark's application>`, `history`,
`history/<instance>/<page of Spark's>`, `jobs`, `runs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chalicelib.core.errors import NotFound
from chalicelib.core.eventlogs import wants_event_log
from chalicelib.core.ids import from_uuid, parse_id, run_of_cluster, to_uuid
from chalicelib.core.model import NO_JOB, Job, Pool, Run, RunKind
from chalicelib.core.spark import RELEASES, carried_by
from chalicelib.core.states import RunState
from chalicelib.dialects.http import (
    Answer,
    OpenHandler,
    OpenOperation,
    Operation,
    Request,
    Voice,
    plain_error,
)
from chalicelib.later import later
from chalicelib.ports import Ports, runs_of_job
from chalicelib.services import history, jobs, pools, runs
from chalicelib.services.access import Call

if TYPE_CHECKING:
    from chalicelib.services import schedules, workflow
else:
    schedules, workflow = (later(f"chalicelib.services.{name}") for name in ("schedules", "workflow"))

VOICE = Voice("console", ("/console/",), plain_error)

_ROOM = Path(__file__).parents[2] / "console"
_FILES: Mapping[str, tuple[str, str]] = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/console/style.css": ("style.css", "text/css; charset=utf-8"),
    "/console/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/console/views.js": ("views.js", "text/javascript; charset=utf-8"),
    "/console/history.js": ("history.js", "text/javascript; charset=utf-8"),
    "/console/dom.js": ("dom.js", "text/javascript; charset=utf-8"),
    "/console/calls.js": ("calls.js", "text/javascript; charset=utf-8"),
    "/console/icon.svg": ("icon.svg", "image/svg+xml"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a page may load: its own files alone. A notebook's page is shown in a frame that obeys this too, in which no
script runs; it brings its styles and pictures with it."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@cache
def _body(name: str) -> bytes:
    return (_ROOM / name).read_bytes()


def _file(path: str) -> OpenHandler:
    name, kind = _FILES[path]

    def handle(ports: Ports, request: Request) -> Answer:
        return Answer(_body(name), headers={**_HEADERS, "Content-Type": kind})

    return handle


def _number(text: str, kind: str) -> int:
    id = parse_id(text)
    if id is None:
        raise NotFound(kind, text)
    return id


def numbered_run(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /console/v1/jobs/{job}/runs/{number}: which run that is. A one-time run is its own job, and its first run."""
    job, number = _number(request.parameters["job"], "Job"), _number(request.parameters["number"], "Run")
    listing = runs_of_job(call.workspace, job)
    page = runs.list_runs(ports, [listing], limit=1, keep=lambda run: run.number_in_job <= number)
    found = page.runs[0] if page.runs else runs.get_run(ports, call, job)
    if found.number_in_job != number or (not page.runs and found.job != NO_JOB):
        raise NotFound("Run", f"{number} of job {job}")
    return Answer({"run_id": found.id})


def cluster(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /console/v1/clusters/{cluster}: the run that a cluster was made for."""
    run = run_of_cluster(request.parameters["cluster"])
    if run is None:
        raise NotFound("Cluster", request.parameters["cluster"])
    return Answer({"run_id": runs.get_run(ports, call, run).id})


def application(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /console/v1/applications/{application}: the run that an application of Analytics Engine is."""
    text = request.parameters["application"]
    number = from_uuid(text, "run", call.workspace, ports.secret())
    if number is None:
        raise NotFound("Application", text)
    return Answer({"run_id": runs.get_run(ports, call, number).id})


LOG_TAIL = 64_000
"""Characters of a log that a page shows."""


def log(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /console/v1/runs/{run}/logs/{stream}: the end of a driver's log."""
    run = _run(ports, call, request)
    stream = request.parameters["stream"]
    if stream not in {"stdout", "stderr"}:
        raise NotFound("Log", stream)
    text = workflow.driver_log(ports, run, stream, tail=True, limit=LOG_TAIL + 1)
    return Answer({"text": text[-LOG_TAIL:], "truncated": len(text) > LOG_TAIL})


def about_run(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /console/v1/runs/{run}: what Databricks' Run does not tell: attempts, relatives, why it waits, which Spark
    ran it, and what it is called elsewhere; and what was asked for, where that was in other words than Databricks'."""
    run = _run(ports, call, request)
    place = pools.queue_place(ports, call, run)
    return Answer(
        {
            "state": run.state,
            "dialect": run.spec.dialect,
            "pool": run.spec.pool,
            "spark_version": run.spec.spark_version,
            "engine_version": run.engine_version,
            "release": RELEASES.get(carried_by(run.spec.spark_version), ""),
            "application_id": run.application_id,
            "application_name": run.application_name,
            "analytics_engine_id": _uuid(ports, run),
            "asked": run.spec.original if run.spec.dialect == "analytics_engine" else None,
            "event_log": wants_event_log(run.spec.conf),
            "max_retries": run.spec.policy.max_retries,
            "timeout_ms": run.spec.policy.timeout_ms,
            "not_before": run.not_before,
            "parent": run.parent,
            "next_attempt": run.next_attempt,
            "waits": place.message if place else "",
        }
    )


def _uuid(ports: Ports, run: Run) -> str:
    """The run's id as an application's of Analytics Engine; empty for what that does not show as one."""
    return to_uuid(run.id, "run", run.workspace, ports.secret()) if run.spec.kind is RunKind.BATCH else ""


def _run(ports: Ports, call: Call, request: Request) -> Run:
    return runs.get_run(ports, call, _number(request.parameters["run"], "Run"))


def histories(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /console/v1/history: the history server of each pool, and the instance by which it is started and opened."""
    return Answer({"servers": [_server(ports, call, view.pool) for view in pools.list_pools(ports, call)]})


def _server(ports: Ports, call: Call, pool: Pool) -> dict[str, Any]:
    told = {"pool": pool.name, "instance_id": pools.instance_id(ports, call.workspace, pool.name)}
    run = history.find(ports, pool)
    if run is None:
        return {**told, "state": "stopped"}
    place = pools.queue_place(ports, call, run)
    return {
        **told,
        "state": "running" if run.state is RunState.RUNNING else "waiting" if place else "starting",
        "waits": place.message if place else "",
        "cores": run.spec.size.driver_cores,
        "memory": run.spec.size.driver_memory,
        "start_time": run.created_at,
        "deadline": run.deadline,
        "run_id": run.id,
    }


FIRES = 5


def fires(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /console/v1/jobs/{job}/fires: when a job runs next, in epoch milliseconds; none while it is paused."""
    job = jobs.get_job(ports, call, _number(request.parameters["job"], "Job"))
    return Answer({"fires": _next_fires(job, ports.clock.now())})


def _next_fires(job: Job, now: int) -> list[int]:
    found: list[int] = []
    while len(found) < FIRES and (fire := schedules.next_fire(job.schedule, found[-1] if found else now)):
        found.append(fire)
    return found


OPERATIONS: list[Any] = [
    *(OpenOperation("GET", path, _file(path)) for path in _FILES),
    Operation("GET", "/console/v1/jobs/{job}/runs/{number}", numbered_run),
    Operation("GET", "/console/v1/jobs/{job}/fires", fires),
    Operation("GET", "/console/v1/clusters/{cluster}", cluster),
    Operation("GET", "/console/v1/applications/{application}", application),
    Operation("GET", "/console/v1/history", histories),
    Operation("GET", "/console/v1/runs/{run}", about_run),
    Operation("GET", "/console/v1/runs/{run}/logs/{stream}", log),
]
