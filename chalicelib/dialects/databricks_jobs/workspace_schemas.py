"""The wire's shapes of the Workspace API 2.0."""

from __future__ import annotations

from typing import Literal

from chalicelib.dialects.wire import Bool, Int, Wire


class Path(Wire):
    """A path in the workspace's tree."""

    path: str


class ListQuery(Path):
    """Which directory to list, and since when (epoch milliseconds) its notebooks must have changed."""

    path: str = "/"
    notebooks_modified_after: Int = 0


class Delete(Path):
    """What to delete."""

    recursive: Bool = False


class Export(Path):
    """What to export, and how."""

    format: Literal["SOURCE", "JUPYTER", "AUTO", "RAW", "HTML", "DBC", "R_MARKDOWN"] = "SOURCE"
    direct_download: Bool = False


class Import(Path):
    """What to import, and how. `content` is base64."""

    format: Literal["SOURCE", "JUPYTER", "AUTO", "RAW", "HTML", "DBC", "R_MARKDOWN"] = "SOURCE"
    language: Literal["PYTHON", "SQL", "SCALA", "R"] | None = None
    content: str
    overwrite: Bool = False
