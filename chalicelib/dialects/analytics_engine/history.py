"""The history server: started, found, stopped (seed 002), and what it shows, behind the same gate as all else.

Below `…/spark_history_server/ui` is its web page, and below `…/spark_history_server/api/v1` Spark's own REST API.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from chalicelib.core.eventlogs import event_log_prefix
from chalicelib.core.model import Run
from chalicelib.core.quantities import memory_with_unit, whole_cores
from chalicelib.core.states import RunState
from chalicelib.core.waiting import Reason, Waiting
from chalicelib.dialects.analytics_engine import pages
from chalicelib.dialects.analytics_engine.reading import BASE, pool_of, want_pool
from chalicelib.dialects.http import Answer, Operation, Request
from chalicelib.later import later
from chalicelib.ports import RELAYED_MOST, Oversized, Ports, Relayed, Unreachable
from chalicelib.services import history, pools
from chalicelib.services.access import Call

if TYPE_CHECKING:
    from chalicelib.dialects.analytics_engine import mapping, quotas, schemas
else:
    mapping, quotas, schemas = (
        later("chalicelib.dialects.analytics_engine.mapping"),
        later("chalicelib.dialects.analytics_engine.quotas"),
        later("chalicelib.dialects.analytics_engine.schemas"),
    )

CORES, MEMORY = "1", "4G"
"""What a history server gets when neither the request nor the instance's defaults say (wire, 3.1)."""


def start(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /spark_history_server: of the size that is asked for, else the instance's, else 1 core and 4G."""
    view = pool_of(ports, call, request)
    body = mapping.parse(schemas.HistoryServer, {} if request.json is None else request.json)
    conf = view.pool.conf
    asked = conf.get(mapping.HISTORY_CORES, CORES) if body.cores is None else body.cores
    cores = whole_cores(asked, field="cores")
    asked = conf.get(mapping.HISTORY_MEMORY, MEMORY) if body.memory is None else body.memory
    memory = memory_with_unit(asked, field="memory")
    run = history.start(ports, call, view.pool.name, cores=cores, memory=memory)
    place = pools.queue_place(ports, call, run)
    return Answer(body_of(run, place if place and place.reason is not Reason.NEXT else None), 201)


def find(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /spark_history_server."""
    view = pool_of(ports, call, request)
    run = history.get(ports, call, view.pool)
    return Answer(body_of(run, pools.queue_place(ports, call, run)))


def stop(ports: Ports, call: Call, request: Request) -> Answer:
    """DELETE /spark_history_server."""
    view = pool_of(ports, call, request)
    history.stop(ports, call, view.pool)
    return Answer(status=204)


def body_of(run: Run, waiting: Waiting | None) -> dict[str, Any]:
    """A history server on the wire. The seed knows no other state of one that has been started; `state_details` says
    when it waits."""
    details = mapping.state_details(run, waiting) if waiting else []
    return {
        "state": "started",
        "cores": str(run.spec.size.driver_cores),
        "memory": _memory(run.spec.size.driver_memory),
        "start_time": nano_time(run.created_at),
        **({"auto_termination_time": nano_time(run.deadline)} if run.deadline else {}),
        **({"state_details": details} if details else {}),
    }


def _memory(mib: int) -> str:
    return f"{mib // 1024}G" if mib % 1024 == 0 else f"{mib}M"


def nano_time(ms: int) -> str:
    """`2024-01-30T10:04:33.183838094Z`: the format of the history server, to the millisecond that is known."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}000000Z"


PASSED_ON = ("accept", "accept-language", "if-none-match", "if-modified-since")
PASSED_BACK = (
    "content-type", "content-disposition", "content-security-policy", "cache-control", "etag", "last-modified",
)  # fmt: skip


def relay(ports: Ports, call: Call, request: Request) -> Answer:
    """GET what a history server shows: `ui/…` is its page, all else its REST API."""
    view = pool_of(ports, call, request)
    run = history.get(ports, call, view.pool)
    base = f"{pages.place_of(request)}/ui"
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    try:
        if run.state is not RunState.RUNNING:
            raise Unreachable("The history server is starting.", later=True)
        asked = _asked(request)
        answer = ports.relay.get(run, asked, {**headers, "x-forwarded-context": base})
    except Unreachable as unreachable:
        status, code = (503, "service_unavailable") if unreachable.later else (501, "not_implemented")
        return _failed(request, status, code, unreachable.message, {"Retry-After": "5"} if unreachable.later else {})
    except Oversized:
        logs = ports.blobs.uri(event_log_prefix(call.workspace, view.pool.name))
        message = f"This is larger than {RELAYED_MOST // 1_000_000} MB. The event logs themselves stand below {logs}/."
        return _failed(request, 413, "response_too_large", message, {})
    history.touch(ports, run)
    return _passed_back(answer, base, static=answer.status == 200 and asked.startswith("/static/"))


def _asked(request: Request) -> str:
    """What is asked of the history server: path and query. The gateway's parameter lacks the slash at the end, which
    the history server insists on."""
    path = quote(request.parameters["path"], safe="/:@!$&'()*+,;=~-._") + ("/" if request.path.endswith("/") else "")
    below = path.removeprefix("ui") if path == "ui" or path.startswith("ui/") else f"/{path}"
    return f"{below or '/'}?{urlencode(request.query)}" if request.query else below or "/"


def _failed(request: Request, status: int, code: str, message: str, headers: Mapping[str, str]) -> Answer:
    if pages.wanted(request):
        return pages.told(request, status, message, headers)
    body = {"errors": [{"code": code, "message": message}], "trace": request.request_id, "status_code": status}
    return Answer(body, status, headers)


def _passed_back(answer: Relayed, base: str, *, static: bool) -> Answer:
    """The history server's answer, with places of its own put below ours."""
    passed = {name.title(): answer.headers[name] for name in PASSED_BACK if name in answer.headers}
    headers = pages.guarded(passed, static=static)
    if location := answer.headers.get("location"):
        parts = urlsplit(location)
        own = parts.path if parts.path.startswith(base) else f"{base}{parts.path}"
        headers["Location"] = f"{own}?{parts.query}" if parts.query else own
    return Answer(answer.body, answer.status, headers)


SERVER = f"{BASE}/spark_history_server"
OPERATIONS = [
    Operation("POST", SERVER, start, want_pool),
    Operation("GET", SERVER, find, want_pool),
    Operation("DELETE", SERVER, stop, want_pool),
    Operation("POST", f"{SERVER}/session", pages.enter, want_pool),
    Operation("DELETE", f"{SERVER}/session", pages.leave, want_pool),
    Operation("GET", f"{SERVER}/{{path+}}", relay, want_pool, page=True),
]
