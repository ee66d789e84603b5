"""The wire's shapes of DBFS API 2.0. `contents` and `data` are base64."""

from __future__ import annotations

from chalicelib.dialects.wire import Bool, Int, Wire


class Path(Wire):
    """get-status, list, mkdirs."""

    path: str


class Put(Wire):
    """put; in a form the content may come as a file."""

    path: str
    contents: str = ""
    overwrite: Bool = False


class Create(Wire):
    """create."""

    path: str
    overwrite: Bool = False


class AddBlock(Wire):
    """add-block."""

    handle: Int
    data: str


class Handle(Wire):
    """close."""

    handle: Int


class Read(Wire):
    """read."""

    path: str
    offset: Int = 0
    length: Int | None = None


class Delete(Wire):
    """delete."""

    path: str
    recursive: Bool = False


class Move(Wire):
    """move."""

    source_path: str
    destination_path: str


class Upload(Wire):
    """The query of a PUT of the Files API."""

    overwrite: Bool = False
