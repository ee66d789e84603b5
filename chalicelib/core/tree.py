"""Paths of the workspace's tree of notebooks, files and directories, and what a file's name and beginning say of it.
Pure.

A path is absolute, of any Unicode but control characters; `/`, `/Users` and `/Shared` are directories that are always
there.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from chalicelib.core.errors import Invalid
from chalicelib.core.ids import named_id
from chalicelib.core.model import ContentFormat, Language, ObjectType, WorkspaceObject
from chalicelib.core.notebooks import check_ipynb, has_header, language_of

MAX_PATH = 900
"""Bytes of a path as UTF-8: it is part of a key, whose bytes the table limits."""

MAX_DEPTH = 50
"""Directories above an object: all that are missing are made in one transaction."""

ROOT = "/"
ALWAYS = (ROOT, "/Shared", "/Users")
"""Directories that are always there and cannot be removed."""

EXTENSIONS: Mapping[Language, str] = {
    Language.PYTHON: "py",
    Language.SQL: "sql",
    Language.SCALA: "scala",
    Language.R: "r",
}
"""Language -> the extension of its source files."""

_LANGUAGES = {extension: language for language, extension in EXTENSIONS.items()}


def check_path(path: str, *, field: str = "path") -> str:
    """A path without a slash at its end. Raises Invalid for what is no path."""
    shown = path if len(path) <= 200 else f"{path[:200]}..."
    if not path.startswith("/"):
        raise Invalid(f"Path ({shown}) doesn't start with '/'.", field=field)
    if len(path.encode(errors="replace")) > MAX_PATH:
        raise Invalid(f"Path ({shown}) is longer than {MAX_PATH} bytes.", field=field)
    if any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in path):
        raise Invalid(f"Path ({shown!r}) has control characters.", field=field)
    names = path.removesuffix("/").split("/")[1:]
    if any(name in {"", ".", ".."} for name in names):
        raise Invalid(f"Path ({shown}) has an empty part, or one that is '.' or '..'.", field=field)
    if len(names) > MAX_DEPTH:
        raise Invalid(f"Path ({shown}) is more than {MAX_DEPTH} levels deep.", field=field)
    return "/" + "/".join(names)


def split(path: str) -> tuple[str, str]:
    """A checked path's directory and name."""
    parent, name = posixpath.split(path)
    return parent, name


def ancestors(path: str) -> list[str]:
    """The directories above a checked path that are not always there, from the top."""
    parts = path.split("/")[1:-1]
    paths = ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]
    return [above for above in paths if above not in ALWAYS]


def always_there(workspace: str, path: str) -> WorkspaceObject:
    """A directory of ALWAYS."""
    parent, name = split(path)
    id = named_id("directory", f"{workspace}:{path}")
    return WorkspaceObject(workspace, parent, name, id, ObjectType.DIRECTORY, "", 0)


@dataclass(frozen=True, slots=True)
class Content:
    """A notebook or file: what it is, how it is written, in which language, and its bytes."""

    type: ObjectType
    format: ContentFormat
    body: bytes
    language: Language | None = None


def source_notebook(body: bytes, language: Language) -> Content:
    """A notebook from a source file. Raises Invalid for what is no text."""
    text_of(body)
    return Content(ObjectType.NOTEBOOK, ContentFormat.SOURCE, body, language)


def jupyter_notebook(body: bytes) -> Content:
    """A notebook from a Jupyter file, in the language that it says. Raises Invalid for what is none."""
    return Content(ObjectType.NOTEBOOK, ContentFormat.JUPYTER, body, language_of(check_ipynb(body)))


def raw_file(body: bytes) -> Content:
    """A file."""
    return Content(ObjectType.FILE, ContentFormat.RAW, body)


def recognized(path: str, body: bytes) -> tuple[str, Content]:
    """What a file is by its extension and its first line, and where it goes: a notebook loses its extension."""
    stem, dot, extension = path.rpartition(".")
    if not dot or not stem or stem.endswith("/") or "/" in extension:
        return path, raw_file(body)
    if extension == "ipynb":
        return stem, jupyter_notebook(body)
    language = _LANGUAGES.get(extension.lower())
    if language and has_header(body, language):
        return stem, source_notebook(body, language)
    return path, raw_file(body)


def text_of(body: bytes) -> str:
    """A source file's text. Raises Invalid."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Invalid("The content of a source file must be UTF-8 text.", field="content") from None
