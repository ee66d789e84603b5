"""Reading what the workspace's tree holds: notebooks for runs and exports, and files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.model import ContentFormat, Language, ObjectType, Revision, WorkspaceObject
from chalicelib.core.notebooks import check_ipynb, for_jupyter, has_header, parse_source, to_source
from chalicelib.core.tree import EXTENSIONS, text_of
from chalicelib.ports import Ports
from chalicelib.services.tree import body_name, find


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook as it was from an instant on: `revision` is that instant, `content` is nbformat 4.5."""

    path: str
    language: Language
    revision: int
    content: dict[str, Any]


def read_notebook(ports: Ports, workspace: str, path: str, revision: int = 0) -> Notebook:
    """A notebook at a checked path: its newest revision, or the newest at or before an instant. Raises NotFound, for
    something else at that path too."""
    found = find(ports, workspace, path)
    if found.type is not ObjectType.NOTEBOOK:
        raise NotFound("Notebook", path)
    chosen = _revision(found, revision)
    body = _body(ports, found, chosen)
    language = chosen.language or Language.PYTHON
    content = check_ipynb(body) if chosen.format is ContentFormat.JUPYTER else parse_source(text_of(body), language)
    return Notebook(found.path, language, chosen.at, content)


def read_file(ports: Ports, workspace: str, path: str, revision: int = 0) -> bytes:
    """A file's bytes at a checked path, as `read_notebook` chooses the revision. Raises NotFound."""
    found = find(ports, workspace, path)
    if found.type is not ObjectType.FILE:
        raise NotFound("File", path)
    return _body(ports, found, _revision(found, revision))


def _revision(found: WorkspaceObject, instant: int) -> Revision:
    if not instant:
        return found.revisions[-1]
    chosen = next((one for one in reversed(found.revisions) if one.at <= instant), None)
    if chosen is None:
        raise NotFound("Revision", f"{instant} of {found.path}")
    return chosen


def _body(ports: Ports, found: WorkspaceObject, revision: Revision) -> bytes:
    body = ports.blobs.get(body_name(found, revision))
    if body is None:  # it was removed after it was found
        raise NotFound("Path", f"({found.path})")
    return body


@dataclass(frozen=True, slots=True)
class Export:
    """A notebook or file as it leaves: its bytes, and the extension of a file that has them."""

    body: bytes
    extension: str


def export(ports: Ports, workspace: str, path: str, wanted: ContentFormat | None) -> Export:
    """What is at a checked path, in a format (None: as it was stored). Raises NotFound, and Invalid for a directory and
    for a file in Jupyter's format."""
    found = find(ports, workspace, path)
    if found.type is ObjectType.DIRECTORY:
        raise Invalid(f"Path ({path}) is a directory; only notebooks and files can be exported.", field="path")
    revision = found.revisions[-1]
    body = _body(ports, found, revision)
    if found.type is ObjectType.FILE:
        if wanted is ContentFormat.JUPYTER:
            raise Invalid(f"Path ({path}) is a file, which has no JUPYTER format.", field="format")
        return Export(body, found.name.rpartition(".")[2] if "." in found.name else "")
    language = revision.language or Language.PYTHON
    asked = wanted if wanted and wanted in _EXTENSION else revision.format
    convert = _CONVERSIONS.get((revision.format, asked))
    return Export(convert(body, language) if convert else body, _EXTENSION[asked](language))


_EXTENSION: Mapping[ContentFormat, Callable[[Language], str]] = {
    ContentFormat.SOURCE: lambda language: EXTENSIONS[language],
    ContentFormat.JUPYTER: lambda language: "ipynb",
}


def _with_header(body: bytes, language: Language) -> bytes:
    return body if has_header(body, language) else to_source(parse_source(text_of(body), language), language).encode()


def _source_of_jupyter(body: bytes, language: Language) -> bytes:
    return to_source(check_ipynb(body), language).encode()


def _jupyter_of_source(body: bytes, language: Language) -> bytes:
    notebook = for_jupyter(parse_source(text_of(body), language))
    return json.dumps(notebook, ensure_ascii=False, indent=1).encode()


_CONVERSIONS: Mapping[tuple[ContentFormat, ContentFormat], Callable[[bytes, Language], bytes]] = {
    (ContentFormat.SOURCE, ContentFormat.SOURCE): _with_header,
    (ContentFormat.SOURCE, ContentFormat.JUPYTER): _jupyter_of_source,
    (ContentFormat.JUPYTER, ContentFormat.SOURCE): _source_of_jupyter,
}
"""(stored, wanted) -> how one becomes the other; what is not here leaves as it was stored."""
