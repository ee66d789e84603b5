"""The driver's door, and the health check."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import unquote

from chalicelib.core.errors import Invalid, InvalidState, Unauthenticated
from chalicelib.core.ids import parse_external_name
from chalicelib.core.model import Run
from chalicelib.dialects.http import Answer, OpenOperation, Request, Voice, plain_error
from chalicelib.later import later
from chalicelib.ports import Ports, key
from chalicelib.services.access import admit_driver

if TYPE_CHECKING:
    from chalicelib.core import tree
    from chalicelib.services import notebooks, results, secrets, volumes, workflow
else:
    tree = later("chalicelib.core.tree")
    notebooks, results, secrets, volumes, workflow = (
        later(f"chalicelib.services.{name}") for name in ("notebooks", "results", "secrets", "volumes", "workflow")
    )

VOICE = Voice("driver", ("/driver/",), plain_error)


INLINE_MOST = 2_000_000
"""Bytes of a notebook that an answer holds; of a larger one it holds a link."""

LINK_SECONDS = 900


def _admitted(ports: Ports, request: Request) -> tuple[str, int]:
    """The workspace and run whose driver asks. Raises Unauthenticated."""
    name = parse_external_name(request.parameters["run"])
    if name is None:
        raise Unauthenticated("The driver's secret is not the run's.")
    admit_driver(ports, request.headers.get("authorization"), *name)
    return name


def _live_run(ports: Ports, request: Request) -> Run:
    """The run whose driver asks, while it may have one. Raises Unauthenticated, and InvalidState when it is over."""
    run_key = key(Run, *_admitted(ports, request))
    run = ports.store.fetch([run_key]).get(run_key)
    if not isinstance(run, Run) or not run.holding:
        raise InvalidState("The run has no driver.")
    return run


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


def notebook(ports: Ports, request: Request) -> Answer:
    """GET /driver/v1/runs/{run}/notebook?path=&revision=: `path`, `language`, `revision`, and the notebook in nbformat
    4.5 as `notebook`, or as `link` where it is large."""
    run = _live_run(ports, request)
    query = dict(request.query)
    told = query.get("revision") or "0"
    if not (told.isascii() and told.isdigit() and len(told) < 17):
        raise Invalid("revision must be epoch milliseconds.", field="revision")
    found = notebooks.read_notebook(ports, run.workspace, tree.check_path(query.get("path", "")), int(told))
    about = {"path": found.path, "language": found.language.value, "revision": found.revision}
    text = json.dumps(found.content, ensure_ascii=False)
    if len(text) < INLINE_MOST and len(json.dumps(text)) < INLINE_MOST:
        return Answer({**about, "notebook": found.content})
    name = f"{run.workspace}/runs/{run.id}/notebooks/{ports.dice.text()}.ipynb"
    ports.blobs.put(name, text.encode(), "application/x-ipynb+json")
    return Answer({**about, "link": ports.blobs.get_link(name, seconds=LINK_SECONDS)})


def volume_files(ports: Ports, request: Request) -> Answer:
    """GET /driver/v1/runs/{run}/volumes/{number}?after=: a page of the files of a volume that the run mounts."""
    run = _live_run(ports, request)
    return Answer(volumes.files_of(ports, run, _number(request), dict(request.query).get("after", "")))


def store_volume_files(ports: Ports, request: Request) -> Answer:
    """POST /driver/v1/runs/{run}/volumes/{number}: `links` to store `files` (path -> bytes) by, or nothing once the
    files of `removed` are deleted."""
    run, told = _live_run(ports, request), request.json
    if not isinstance(told, dict):
        raise Invalid("The request must be a JSON object.")
    if "removed" in told:
        volumes.remove(ports, run, _number(request), told["removed"])
        return Answer({})
    return Answer({"links": volumes.write_links(ports, run, _number(request), told.get("files"))})


def _number(request: Request) -> int:
    number = request.parameters["number"]
    if not (number.isascii() and number.isdigit() and len(number) < 4):
        raise Invalid("The volume must be a number.", field="number")
    return int(number)


def secret_scopes(ports: Ports, request: Request) -> Answer:
    """GET /driver/v1/runs/{run}/secrets: the names of the scopes that the run may read."""
    return Answer({"scopes": secrets.RunSecrets(ports, _live_run(ports, request)).scopes()})


def secret_keys(ports: Ports, request: Request) -> Answer:
    """GET /driver/v1/runs/{run}/secrets/{scope}: the names of a scope's secrets."""
    return Answer({"keys": secrets.RunSecrets(ports, _live_run(ports, request)).keys(_part(request, "scope"))})


def secret(ports: Ports, request: Request) -> Answer:
    """GET /driver/v1/runs/{run}/secrets/{scope}/{key}: a secret's `value` in base64, and whether it was given as
    text."""
    readable = secrets.RunSecrets(ports, _live_run(ports, request))
    found = readable.value(_part(request, "scope"), _part(request, "key"))
    return Answer({"value": found.value, "is_text": found.is_text}, headers={"Cache-Control": "no-store"})


def _part(request: Request, name: str) -> str:
    return unquote(request.parameters[name])


def health(ports: Ports, request: Request) -> Answer:
    """GET /health: the API answers."""
    return Answer({"status": "ok"})


OPERATIONS = [
    OpenOperation("POST", "/driver/v1/runs/{run}/report", report),
    OpenOperation("POST", "/driver/v1/runs/{run}/links", links),
    OpenOperation("GET", "/driver/v1/runs/{run}/notebook", notebook),
    OpenOperation("GET", "/driver/v1/runs/{run}/volumes/{number}", volume_files),
    OpenOperation("POST", "/driver/v1/runs/{run}/volumes/{number}", store_volume_files),
    OpenOperation("GET", "/driver/v1/runs/{run}/secrets", secret_scopes),
    OpenOperation("GET", "/driver/v1/runs/{run}/secrets/{scope}", secret_keys),
    OpenOperation("GET", "/driver/v1/runs/{run}/secrets/{scope}/{key}", secret),
    OpenOperation("GET", "/health", health),
]
