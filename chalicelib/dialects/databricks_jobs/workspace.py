"""The operations of Workspace API 2.0: notebooks, files and directories."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.core.errors import Invalid, TooLarge
from chalicelib.core.model import ContentFormat, Language, ObjectType, WorkspaceObject
from chalicelib.dialects.http import Answer, Operation, Request
from chalicelib.later import later
from chalicelib.ports import Ports
from chalicelib.services.access import Call

if TYPE_CHECKING:
    from chalicelib.core import tree as paths
    from chalicelib.dialects import multipart
    from chalicelib.dialects.databricks_jobs import reading, workspace_schemas
    from chalicelib.services import notebooks, tree

    _Reader = Callable[[str, bytes, Language | None], tuple[str, paths.Content]]
else:
    paths, multipart, notebooks, tree = (
        later(f"chalicelib.{name}")
        for name in ("core.tree", "dialects.multipart", "services.notebooks", "services.tree")
    )
    reading, workspace_schemas = (
        later(f"chalicelib.dialects.databricks_jobs.{name}") for name in ("reading", "workspace_schemas")
    )

MAX_CONTENT = 10 * 1024 * 1024
"""Bytes of what is imported or exported. A request that Lambda takes holds less: some 4 MB in base64."""

DIRECT_MOST = 4_000_000
"""Bytes that a direct download answers itself; a larger one is a redirect to a link."""

LINK_SECONDS = 900

_OLD_CLI = re.compile(r"databricks-cli-0\.([0-7]\.|8\.[0-6])")
"""Clients that know no other fields of an object than its path, type and language, and fail on them."""


def _object(found: WorkspaceObject, request: Request) -> dict[str, Any]:
    """An ObjectInfo on the wire."""
    newest = found.revisions[-1] if found.revisions else None
    body: dict[str, Any] = {"object_type": found.type.value, "path": found.path}
    if newest and newest.language:
        body["language"] = newest.language.value
    if _OLD_CLI.match(request.headers.get("user-agent", "")):
        return body
    body["object_id"] = found.id
    if found.created_at:
        body |= {"created_at": found.created_at, "modified_at": newest.at if newest else found.created_at}
    if newest and found.type is ObjectType.FILE:
        body["size"] = newest.size
    return body


def list_objects(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /workspace/list."""
    query = reading.parse(workspace_schemas.ListQuery, request.fields)
    since = query.notebooks_modified_after
    shown = [
        _object(one, request)
        for one in tree.list_objects(ports, call.workspace, paths.check_path(query.path))
        if not (since and one.type is ObjectType.NOTEBOOK and one.revisions[-1].at < since)
    ]
    return Answer({"objects": shown} if shown else {})


def get_status(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /workspace/get-status."""
    path = paths.check_path(reading.parse(workspace_schemas.Path, request.fields).path)
    return Answer(_object(tree.find(ports, call.workspace, path), request))


def mkdirs(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /workspace/mkdirs."""
    tree.make_directory(ports, call, paths.check_path(reading.parse(workspace_schemas.Path, request.fields).path))
    return Answer({})


def delete(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /workspace/delete."""
    body = reading.parse(workspace_schemas.Delete, request.fields)
    tree.remove(ports, call, paths.check_path(body.path), recursive=body.recursive)
    return Answer({})


def _refuse_format(format: str) -> None:
    if format not in _IMPORTS:
        raise Invalid(
            f"Format {format} is not supported by this service; use SOURCE, JUPYTER, AUTO or RAW.", field="format"
        )


def _read_source(path: str, body: bytes, language: Language | None) -> tuple[str, paths.Content]:
    if language is None:
        raise Invalid("Missing required field: language (format SOURCE needs it).", field="language")
    return path, paths.source_notebook(body, language)


_IMPORTS: Mapping[str, _Reader] = {
    "SOURCE": _read_source,
    "JUPYTER": lambda path, body, language: (path, paths.jupyter_notebook(body)),
    "AUTO": lambda path, body, language: paths.recognized(path, body),
    "RAW": lambda path, body, language: (path, paths.raw_file(body)),
}
"""Format -> where the content goes and what it is."""


def import_(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /workspace/import, in JSON or as a form of parts."""
    told, body = _imported(request)
    _refuse_format(told.format)
    if len(body) > MAX_CONTENT:
        raise TooLarge(
            f"The content is larger than {MAX_CONTENT} bytes. Leave out a notebook's outputs (jupyter nbconvert "
            "--clear-output); put large files on DBFS or S3.",
            field="content",
        )
    language = Language(told.language) if told.language else None
    path, what = _IMPORTS[told.format](paths.check_path(told.path), body, language)
    tree.store_content(ports, call, path, what, overwrite=told.overwrite)
    return Answer({})


def _imported(request: Request) -> tuple[workspace_schemas.Import, bytes]:
    if not multipart.is_form(request.headers):
        told = reading.parse(workspace_schemas.Import, request.fields)
        return told, _decoded(told.content)
    parts = multipart.read_form(request.headers, request.body)
    texts = {name: multipart.text(name, value) for name, value in parts.items() if name != "content"}
    given = {"content": ""} if "content" in parts else {}
    return reading.parse(workspace_schemas.Import, {**texts, **given}), parts.get("content", b"")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("Invalid value for field content: expected base64", field="content") from None


_EXPORTS: Mapping[str, ContentFormat | None] = {**{one.value: one for one in ContentFormat}, "AUTO": None}
"""Format -> how what is exported is written; None: as it was stored."""


def export(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /workspace/export."""
    query = reading.parse(workspace_schemas.Export, request.fields)
    _refuse_format(query.format)
    wanted = _EXPORTS.get(query.format)
    path = paths.check_path(query.path)
    made = notebooks.export(ports, call.workspace, path, wanted)
    if not query.direct_download:
        return Answer({"content": base64.b64encode(made.body).decode(), "file_type": made.extension})
    if len(made.body) <= DIRECT_MOST:
        return Answer(made.body)
    name = f"{call.workspace}/answers/{ports.dice.text()}"
    ports.blobs.put(name, made.body)
    return Answer(None, 307, {"Location": ports.blobs.get_link(name, seconds=LINK_SECONDS)})


BASE = "/api/2.0/workspace"

OPERATIONS = [
    Operation("GET", f"{BASE}/list", list_objects),
    Operation("GET", f"{BASE}/get-status", get_status),
    Operation("POST", f"{BASE}/mkdirs", mkdirs),
    Operation("POST", f"{BASE}/delete", delete),
    Operation("POST", f"{BASE}/import", import_),
    Operation("GET", f"{BASE}/export", export),
]
