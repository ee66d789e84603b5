"""The operations of DBFS API 2.0: a workspace's files."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from chalicelib.core.errors import BlockTooLarge, Invalid
from chalicelib.core.ids import MAX_ID
from chalicelib.core.paths import plain
from chalicelib.dialects.http import Answer, Operation, Request
from chalicelib.later import later
from chalicelib.ports import Ports
from chalicelib.services import dbfs, uploads
from chalicelib.services.access import Call
from chalicelib.services.dbfs import Entry

if TYPE_CHECKING:
    from chalicelib.dialects import multipart
    from chalicelib.dialects.databricks_jobs import dbfs_schemas, reading
else:
    multipart = later("chalicelib.dialects.multipart")
    dbfs_schemas, reading = (later(f"chalicelib.dialects.databricks_jobs.{n}") for n in ("dbfs_schemas", "reading"))

FORM_MOST = 4_600_000
"""Bytes of a file in a form: all that a request can bring."""


def _bytes(text: str, field: str) -> bytes:
    """The bytes of a base64 text, which may be broken into lines."""
    if len(text) > 4 * dbfs.MAX_BLOCK:
        raise BlockTooLarge(f"{field} is larger than {dbfs.MAX_BLOCK} bytes.", field=field)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"{field} is not base64.", field=field) from None


def put(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /dbfs/put, with the content as base64 in JSON, or as a file in a form."""
    if multipart.is_form(request.headers):
        parts = multipart.read_form(request.headers, request.body)
        content = parts.pop("file", None) or parts.pop("contents", b"")
        fields: dict[str, Any] = {name: multipart.text(name, value) for name, value in parts.items()}
        most = FORM_MOST
    else:
        fields, content, most = request.fields, None, dbfs.MAX_BLOCK
    body = reading.parse(dbfs_schemas.Put, fields)
    told = _bytes(body.contents, "contents") if content is None else content
    dbfs.put(ports, call, plain(body.path), told, overwrite=body.overwrite, most=most)
    return Answer({})


def create(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /dbfs/create."""
    body = reading.parse(dbfs_schemas.Create, request.fields)
    return Answer({"handle": uploads.create(ports, call, plain(body.path), overwrite=body.overwrite)})


def _handle(handle: int) -> int:
    """A handle as a key can have it; one that cannot be is one that nobody has."""
    return handle if 0 < handle <= MAX_ID else 0


def add_block(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /dbfs/add-block."""
    body = reading.parse(dbfs_schemas.AddBlock, request.fields)
    uploads.add_block(ports, call, _handle(body.handle), _bytes(body.data, "data"))
    return Answer({})


def close(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /dbfs/close."""
    uploads.close(ports, call, _handle(reading.parse(dbfs_schemas.Handle, request.fields).handle))
    return Answer({})


def read(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /dbfs/read."""
    query = reading.parse(dbfs_schemas.Read, request.fields)
    length = dbfs.READ_DEFAULT if query.length is None else query.length
    found = dbfs.read(ports, call, plain(query.path), query.offset, length)
    return Answer({"bytes_read": len(found), "data": base64.b64encode(found).decode()})


def _entry_body(entry: Entry) -> dict[str, Any]:
    """A FileInfo on the wire."""
    return {
        "path": entry.path,
        "is_dir": entry.is_directory,
        "file_size": entry.size,
        "modification_time": entry.changed_at,
    }


def _path(request: Request) -> str:
    return plain(reading.parse(dbfs_schemas.Path, request.fields).path)


def list_directory(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /dbfs/list: an empty directory has no `files` at all."""
    entries = dbfs.list_directory(ports, call, _path(request))
    return Answer({"files": [_entry_body(entry) for entry in entries]} if entries else {})


def get_status(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /dbfs/get-status."""
    return Answer(_entry_body(dbfs.get_status(ports, call, _path(request))))


def mkdirs(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /dbfs/mkdirs."""
    dbfs.make_directory(ports, call, _path(request))
    return Answer({})


def move(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /dbfs/move."""
    body = reading.parse(dbfs_schemas.Move, request.fields)
    source = plain(body.source_path, field="source_path")
    dbfs.move(ports, call, source, plain(body.destination_path, field="destination_path"))
    return Answer({})


def delete(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /dbfs/delete."""
    body = reading.parse(dbfs_schemas.Delete, request.fields)
    dbfs.delete(ports, call, plain(body.path), recursive=body.recursive)
    return Answer({})


BASE = "/api/2.0/dbfs"

OPERATIONS = [
    Operation("POST", f"{BASE}/put", put),
    Operation("POST", f"{BASE}/create", create),
    Operation("POST", f"{BASE}/add-block", add_block),
    Operation("POST", f"{BASE}/close", close),
    Operation("GET", f"{BASE}/read", read),
    Operation("GET", f"{BASE}/list", list_directory),
    Operation("GET", f"{BASE}/get-status", get_status),
    Operation("POST", f"{BASE}/mkdirs", mkdirs),
    Operation("POST", f"{BASE}/move", move),
    Operation("POST", f"{BASE}/delete", delete),
]
