"""What every operation of Analytics Engine begins with: which instance, which application, and what is prefetched."""

from __future__ import annotations

from collections.abc import Collection

from chalicelib.core.capacity import Ledger
from chalicelib.core.errors import Gone, Invalid, NotFound
from chalicelib.core.ids import UUID_PATTERN, from_uuid, named_id, to_uuid
from chalicelib.core.model import Run, RunKind
from chalicelib.dialects.http import Request
from chalicelib.ports import Key, Ports, key
from chalicelib.services import access, pools, runs
from chalicelib.services.access import Call

BASE = "/v4/analytics_engines/{instance_id}"


def pool_of(ports: Ports, call: Call, request: Request) -> pools.PoolView:
    """The pool that the path's instance id names. Raises Invalid for what is no id, NotFound for a foreign one."""
    text = request.parameters["instance_id"]
    if not UUID_PATTERN.fullmatch(text):
        raise Invalid(f"instance_id: {text!r} is not a GUID of an instance.", field="instance_id")
    number = from_uuid(text, "pool", call.workspace, ports.secret())
    ledger_key = key(Ledger, ports.settings.cluster)
    ledger = access.read(ports, call, [ledger_key]).get(ledger_key)
    for name in ledger.pools if ledger else ():
        workspace, _, pool = name.partition("/")
        if workspace == call.workspace and named_id("pool", pool) == number:
            return pools.get_pool(ports, call, pool)
    raise NotFound("Instance", text, field="instance_id")


def application_of(ports: Ports, call: Call, request: Request) -> Run:
    """The run that the path's application id names, in the path's instance. An id that this service gave out and that
    has no run was deleted (410); one that it never gave out is not found."""
    view = pool_of(ports, call, request)
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
    if run.spec.pool != view.pool.name or run.spec.kind is not RunKind.BATCH:
        raise NotFound("Application", text, field="application_id")
    return run


def uuid_of(ports: Ports, run: Run) -> str:
    """A run's id as an application's."""
    return to_uuid(run.id, "run", run.workspace, ports.secret())


def want_pool(ports: Ports, workspace: str, request: Request) -> Collection[Key]:
    """Prefetch: the pools' ledger, and the pool that most requests mean."""
    return pools.pool_keys(ports, workspace, "default")


def want_application(ports: Ports, workspace: str, request: Request) -> Collection[Key]:
    """Prefetch: the run too."""
    number = from_uuid(request.parameters.get("application_id", ""), "run", workspace, ports.secret())
    return [*want_pool(ports, workspace, request), *([key(Run, workspace, number)] if number else [])]
