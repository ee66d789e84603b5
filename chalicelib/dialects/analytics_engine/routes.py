"""The operations of Analytics Engine v4 that run things: the instance, applications, and the way to a token."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from chalicelib.core.capacity import Ledger, pool_key, shortage
from chalicelib.core.errors import Gone, Invalid, NotFound, Unauthenticated
from chalicelib.core.ids import UUID_PATTERN, from_uuid, named_id, to_uuid
from chalicelib.core.model import Run, RunKind
from chalicelib.core.states import RunState
from chalicelib.dialects.analytics_engine.errors import VOICE
from chalicelib.dialects.http import Answer, OpenOperation, Operation, Request
from chalicelib.later import later
from chalicelib.ports import Key, Ports, key, runs_in_state, runs_of_pool
from chalicelib.services import access, pools, runs, submission
from chalicelib.services.access import Call

if TYPE_CHECKING:
    from chalicelib.dialects.analytics_engine import mapping, schemas
else:
    mapping, schemas = (
        later("chalicelib.dialects.analytics_engine.mapping"),
        later("chalicelib.dialects.analytics_engine.schemas"),
    )

__all__ = ["OPERATIONS", "VOICE", "instance_id"]

MAX_LIST = 1000


def instance_id(ports: Ports, workspace: str, pool: str) -> str:
    """The instance id of a pool: its name's number as a UUID, so no table maps it."""
    return to_uuid(named_id("pool", pool), "pool", workspace, ports.secret())


def _pool_of(ports: Ports, call: Call, request: Request) -> pools.PoolView:
    """The pool that the path's instance id names. Raises Invalid for what is no id, NotFound for a foreign one."""
    text = request.parameters["instance_id"]
    if not UUID_PATTERN.fullmatch(text):
        raise Invalid(f"instance_id: {text!r} is not a GUID of an instance.", field="instance_id")
    number = from_uuid(text, "pool", call.workspace, ports.secret())
    ledger = access.read(ports, call, [key(Ledger, ports.settings.cluster)]).get(key(Ledger, ports.settings.cluster))
    for name in ledger.pools if ledger else ():
        workspace, _, pool = name.partition("/")
        if workspace == call.workspace and named_id("pool", pool) == number:
            return pools.get_pool(ports, call, pool)
    raise NotFound("Instance", text, field="instance_id")


def _application(ports: Ports, call: Call, request: Request) -> Run:
    """The run that the path's application id names, in the path's instance. An id that this service gave out and that
    has no run was deleted (410); one that it never gave out is not found."""
    view = _pool_of(ports, call, request)
    text = request.parameters["application_id"]
    if not UUID_PATTERN.fullmatch(text):
        raise Invalid(f"application_id: {text!r} is not a GUID of an application.", field="application_id")
    number = from_uuid(text, "run", call.workspace, ports.secret())
    if number is None:
        raise NotFound("Application", text, field="application_id")
    try:
        run = runs.get_run(ports, call, number)
    except NotFound:
        raise Gone("Application", text, field="application_id") from None
    if run.spec.pool != view.pool.name:
        raise NotFound("Application", text, field="application_id")
    return run


def _uuid(ports: Ports, run: Run) -> str:
    return to_uuid(run.id, "run", run.workspace, ports.secret())


def _want_pool(ports: Ports, workspace: str, request: Request) -> Collection[Key]:
    return pools.pool_keys(ports, workspace, "default")


def _want_application(ports: Ports, workspace: str, request: Request) -> Collection[Key]:
    number = from_uuid(request.parameters.get("application_id", ""), "run", workspace, ports.secret())
    return [*_want_pool(ports, workspace, request), *([key(Run, workspace, number)] if number else [])]


def authorize(ports: Ports, request: Request) -> Answer:
    """POST /icp4d-api/v1/authorize: a JWT for a username with its password or API key."""
    body = mapping.parse(schemas.Authorize, request.json)
    secret = body.password or body.api_key
    if not body.username or not secret:
        raise Unauthenticated("username and either password or api_key are required.")
    token = access.log_in(ports, body.username, secret)
    return Answer({"_messageCode_": "200", "message": "Success", "token": token})


def get_instance(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /{instance_id}."""
    view = _pool_of(ports, call, request)
    uuid = request.parameters["instance_id"]
    return Answer(mapping.instance_body(uuid, view.pool, view.account, call.workspace))


def create_application(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /spark_applications."""
    view = _pool_of(ports, call, request)
    raw = request.json
    body = mapping.parse(schemas.ApplicationRequest, raw)
    if body.volumes:
        raise Invalid("volumes are not supported by this service yet.", field="volumes")
    spec = mapping.application_spec(body.application_details, raw["application_details"], view.pool)
    made = submission.submit(ports, call, spec, submission.Request(park_oversized=True, fields=mapping.FIELDS))
    uuid = to_uuid(made.run, "run", call.workspace, ports.secret())
    return Answer(mapping.accepted_body(uuid), 202)


def list_applications(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /spark_applications, of one state or several when asked."""
    view = _pool_of(ports, call, request)
    query = dict(request.query)
    scope = (call.workspace, view.pool.name, RunKind.BATCH)
    listings = [runs_of_pool(*scope)]
    asked: frozenset[str] = frozenset()
    if "state" in query:
        asked = mapping.asked_states(",".join(value for name, value in request.query if name == "state"))
        listings = [runs_in_state(*scope, state) for state in mapping.core_states(asked)]

    def keep(run: Run) -> bool:
        return not asked or mapping.application_state(run) in asked

    limit = _limit(query.get("limit", ""))
    page = runs.list_runs(ports, listings, limit=limit, keep=keep) if listings else runs.RunPage((), False)
    return Answer({"applications": [mapping.list_entry(run, _uuid(ports, run)) for run in page.runs]})


def _limit(text: str) -> int:
    if not text:
        return MAX_LIST
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MAX_LIST):
        raise Invalid(f"limit: {text!r} is not a number from 1 to {MAX_LIST}.", field="limit")
    return int(text)


def get_application(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /spark_applications/{application_id}."""
    run = _application(ports, call, request)
    return Answer(mapping.detail_body(run, _uuid(ports, run), exhausted=_exhausted(ports, call, run)))


def _exhausted(ports: Ports, call: Call, run: Run) -> bool:
    """Whether the run waits because its pool, or the cluster, has no room for it now."""
    ledger_key = key(Ledger, ports.settings.cluster)
    ledger = access.read(ports, call, [ledger_key]).get(ledger_key) if run.state is RunState.QUEUED else None
    return bool(ledger and shortage(ledger, pool_key(run.workspace, run.spec.pool), run.spec.amount()))


def get_status(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /spark_applications/{application_id}/status."""
    run = _application(ports, call, request)
    return Answer(mapping.status_body(run, _uuid(ports, run)))


def delete_application(ports: Ports, call: Call, request: Request) -> Answer:
    """DELETE /spark_applications/{application_id}: stops one that lives, removes one that has ended."""
    run = _application(ports, call, request)
    if run.ended:
        runs.delete_run(ports, call, run.id)
    else:
        runs.cancel_run(ports, call, run.id)
    return Answer(status=204)


BASE = "/v4/analytics_engines/{instance_id}"
APPLICATIONS = f"{BASE}/spark_applications"

OPERATIONS: list[Operation | OpenOperation] = [
    OpenOperation("POST", "/icp4d-api/v1/authorize", authorize),
    OpenOperation("POST", "/v1/authorize", authorize),
    Operation("GET", BASE, get_instance, _want_pool),
    Operation("POST", APPLICATIONS, create_application, _want_pool),
    Operation("GET", APPLICATIONS, list_applications, _want_pool),
    Operation("GET", f"{APPLICATIONS}/{{application_id}}", get_application, _want_application),
    Operation("DELETE", f"{APPLICATIONS}/{{application_id}}", delete_application, _want_application),
    Operation("GET", f"{APPLICATIONS}/{{application_id}}/status", get_status, _want_application),
]
