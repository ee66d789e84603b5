"""The driver's door, and the health check."""

from __future__ import annotations

from chalicelib.core.errors import Conflict, Invalid, NotFound, SparkplaneError, Unauthenticated
from chalicelib.core.ids import parse_external_name
from chalicelib.dialects.http import Answer, NoSuchRoute, OpenOperation, Request, Voice, WrongMethod
from chalicelib.ports import Ports
from chalicelib.services import results, workflow
from chalicelib.services.access import admit_driver

_STATUS: dict[type[SparkplaneError], int] = {
    Invalid: 400, Unauthenticated: 401, NotFound: 404, NoSuchRoute: 404, WrongMethod: 405, Conflict: 503,
}  # fmt: skip


def render(error: SparkplaneError, request: Request) -> Answer:
    """An error as plain JSON."""
    status = next((_STATUS[cls] for cls in type(error).__mro__ if cls in _STATUS), 500)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if isinstance(error, WrongMethod):
        headers["Allow"] = ", ".join(error.allowed)
    return Answer({"message": error.message}, status, headers)


VOICE = Voice("driver", ("/driver/",), render)


def _admitted(ports: Ports, request: Request) -> tuple[str, int]:
    """The run (workspace and id) whose driver asks. Raises Unauthenticated."""
    name = parse_external_name(request.parameters["run"])
    if name is None:
        raise Unauthenticated("The driver's secret is not the run's.")
    admit_driver(ports, request.headers.get("authorization"), *name)
    return name


def report(ports: Ports, request: Request) -> Answer:
    """POST /driver/v1/runs/{run}/report: what the bootstrap saw."""
    name = _admitted(ports, request)
    told = request.json
    if not isinstance(told, dict):
        raise Invalid("The report must be a JSON object.")
    workflow.report(ports, *name, told)
    return Answer({})


def links(ports: Ports, request: Request) -> Answer:
    """POST /driver/v1/runs/{run}/links: where the driver may leave its run's results."""
    name = _admitted(ports, request)
    told = request.json
    if not isinstance(told, dict):
        raise Invalid("The request must be a JSON object.")
    return Answer({"links": results.result_links(ports, *name, told.get("files"))})


def health(ports: Ports, request: Request) -> Answer:
    """GET /health: the API answers."""
    return Answer({"status": "ok"})


OPERATIONS = [
    OpenOperation("POST", "/driver/v1/runs/{run}/report", report),
    OpenOperation("POST", "/driver/v1/runs/{run}/links", links),
    OpenOperation("GET", "/health", health),
]
