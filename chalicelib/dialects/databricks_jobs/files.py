"""Files API 2.0 over DBFS: large files, which do not fit through the API, go by links.

GET, HEAD and PUT answer a redirect to the file itself, which clients follow without their credentials. The body of a
PUT that is sent right away counts against the size of requests; who has more asks for the link with an empty PUT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.core.errors import Invalid
from chalicelib.core.paths import blob, plain
from chalicelib.dialects.http import Answer, Operation, Request
from chalicelib.later import later
from chalicelib.ports import Ports
from chalicelib.services import dbfs
from chalicelib.services.access import Call

if TYPE_CHECKING:
    from chalicelib.dialects.databricks_jobs import dbfs_schemas, reading
else:
    dbfs_schemas, reading = (later(f"chalicelib.dialects.databricks_jobs.{n}") for n in ("dbfs_schemas", "reading"))

LINK_SECONDS = 3600


def _path(request: Request) -> str:
    return plain("/" + request.parameters["path"])


def _link_of_file(ports: Ports, call: Call, request: Request) -> Answer:
    path = _path(request)
    if dbfs.get_status(ports, call, path).is_directory:
        raise Invalid(f"{path} is a directory.", field="path")
    name = blob(call.workspace, path)
    return _redirect(ports.blobs.get_link(name, seconds=LINK_SECONDS, head=request.method == "HEAD"))


def _redirect(link: str) -> Answer:
    return Answer(None, 307, {"Location": link})


def download(ports: Ports, call: Call, request: Request) -> Answer:
    """GET and HEAD /fs/files/{path}."""
    return _link_of_file(ports, call, request)


def upload(ports: Ports, call: Call, request: Request) -> Answer:
    """PUT /fs/files/{path}: where the content goes."""
    path = _path(request)
    overwrite = reading.parse(dbfs_schemas.Upload, dict(request.query)).overwrite
    dbfs.check_writable(ports, call, path, overwrite=overwrite)
    return _redirect(ports.blobs.put_link(blob(call.workspace, path), seconds=LINK_SECONDS))


def delete(ports: Ports, call: Call, request: Request) -> Answer:
    """DELETE /fs/files/{path}: a file, no directory."""
    path = _path(request)
    if dbfs.get_status(ports, call, path).is_directory:
        raise Invalid(f"{path} is a directory.", field="path")
    dbfs.delete(ports, call, path, recursive=False)
    return Answer(None, 204)


PATH = "/api/2.0/fs/files/{path+}"

OPERATIONS = [
    Operation("GET", PATH, download),
    Operation("HEAD", PATH, download),
    Operation("PUT", PATH, upload),
    Operation("DELETE", PATH, delete),
]
