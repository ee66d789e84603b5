"""Spark applications: submitted, listed, read, stopped, removed (seed 002, "Create an application" and after)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chalicelib.core.ids import to_uuid
from chalicelib.core.model import RunKind
from chalicelib.core.volumes import volume_name
from chalicelib.dialects.analytics_engine.reading import (
    BASE,
    application_of,
    pool_of,
    uuid_of,
    want_application,
    want_pool,
)
from chalicelib.dialects.http import Answer, Operation, Request
from chalicelib.later import later
from chalicelib.ports import Ports, runs_in_state, runs_of_pool
from chalicelib.services import pools, runs, submission
from chalicelib.services.access import Call
from chalicelib.services.dbfs import locator

if TYPE_CHECKING:
    from chalicelib.dialects.analytics_engine import listing, mapping, schemas
else:
    listing, mapping, schemas = (
        later("chalicelib.dialects.analytics_engine.listing"),
        later("chalicelib.dialects.analytics_engine.mapping"),
        later("chalicelib.dialects.analytics_engine.schemas"),
    )


def create_application(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /spark_applications."""
    view = pool_of(ports, call, request)
    raw = request.json
    body = mapping.parse(schemas.ApplicationRequest, raw)
    spec = mapping.application_spec(body.application_details, raw["application_details"], view.pool)
    if body.template_id:
        spec = mapping.of_template(spec, body.template_id)
    if body.volumes:
        mounted = mapping.mounted(body.volumes)
        spec = mapping.with_volumes(
            spec, mounted, lambda v, path: ports.blobs.uri(volume_name(call.workspace, v, path))
        )
        spec = replace(spec, original={**spec.original, "volumes": raw["volumes"]})
    spec = mapping.located(spec, locator(ports, call.workspace))
    made = submission.submit(ports, call, spec, submission.Request(park_oversized=True, fields=mapping.FIELDS))
    uuid = to_uuid(made.run, "run", call.workspace, ports.secret())
    return Answer(mapping.accepted_body(uuid), 202)


def list_applications(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /spark_applications: newest first, of some states or intervals when asked, in pages when asked."""
    view = pool_of(ports, call, request)
    wanted = listing.asked(request.query)
    kind = (call.workspace, view.pool.name, RunKind.BATCH)
    listings = [runs_of_pool(*kind)]
    if wanted.states:
        listings = [runs_in_state(*kind, state) for state in mapping.core_states(wanted.states)]
    scope = f"applications/{call.workspace}/{view.pool.name}"
    after = runs.unseal(ports, scope, wanted.start, field="start") if wanted.start else ""
    page = runs.RunPage((), False)
    if listings:
        page = runs.list_runs(ports, listings, limit=wanted.limit, after=after, keep=wanted.keeps)
    following = runs.seal(ports, scope, page.next) if page.more else ""
    entries = [mapping.list_entry(run, uuid_of(ports, run)) for run in page.runs]
    url = f"{ports.settings.api_url}{request.path}"
    return Answer({"applications": entries, **listing.page_body(request.query, url, wanted.limit, following)})


def get_application(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /spark_applications/{application_id}."""
    run = application_of(ports, call, request)
    uuid, waiting = uuid_of(ports, run), pools.queue_place(ports, call, run)
    page = f"{ports.settings.api_url}/#application/{uuid}"
    return Answer({**mapping.detail_body(run, uuid, waiting=waiting), "run_page_url": page})


def get_status(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /spark_applications/{application_id}/status."""
    run = application_of(ports, call, request)
    return Answer(mapping.status_body(run, uuid_of(ports, run)))


def delete_application(ports: Ports, call: Call, request: Request) -> Answer:
    """DELETE /spark_applications/{application_id}: stops one that lives, removes one that has ended."""
    run = application_of(ports, call, request)
    if run.ended:
        runs.delete_run(ports, call, run.id)
    else:
        runs.cancel_run(ports, call, run.id)
    return Answer(status=204)


APPLICATIONS = f"{BASE}/spark_applications"
OPERATIONS = [
    Operation(
        "POST", APPLICATIONS, create_application, lambda p, w, r: submission.submission_keys(p, w, pool="default")
    ),
    Operation("GET", APPLICATIONS, list_applications, want_pool),
    Operation("GET", f"{APPLICATIONS}/{{application_id}}", get_application, want_application),
    Operation("DELETE", f"{APPLICATIONS}/{{application_id}}", delete_application, want_application),
    Operation("GET", f"{APPLICATIONS}/{{application_id}}/status", get_status, want_application),
]
