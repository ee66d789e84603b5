"""Where a workspace's own files are: `dbfs:/a/b` is the blob `<workspace>/dbfs/a/b`, `a/b/` an empty marker of the
directory. A directory is there as long as its marker or anything below it is."""

from __future__ import annotations

from chalicelib.core.errors import Invalid

SCHEME = "dbfs:"
MAX_PATH = 900
"""Bytes of a path: with the workspace's name before it, it is a key of S3 and of the table (1,024 bytes)."""


def plain(path: str, *, field: str = "path") -> str:
    """The path in its one form: absolute, with a slash between names and none at the end (the root is `/`).

    Raises Invalid for a path that is relative, climbs, has control characters, or is too long.
    """
    told = path.removeprefix(SCHEME)
    if not told.startswith("/"):
        raise Invalid(f"Path must be absolute: {path}", field=field)
    names = [name for name in told.split("/") if name]
    if any(name in {".", ".."} for name in names):
        raise Invalid(f"{field}: {path!r} has a '.' or '..' in it.", field=field)
    if any(ord(c) < 32 or ord(c) == 127 for c in told):
        raise Invalid(f"{field}: {path!r} has a control character in it.", field=field)
    if len(told.encode()) > MAX_PATH:
        raise Invalid(f"{field}: the path is longer than {MAX_PATH} bytes.", field=field)
    return "/" + "/".join(names)


def parent(path: str) -> str:
    """The directory that a path is in; the root is in itself."""
    return path.rpartition("/")[0] or "/"


def blob(workspace: str, path: str) -> str:
    """The blob of a file."""
    return f"{workspace}/dbfs{path}"


def marker(workspace: str, path: str) -> str:
    """The blob that marks a directory; the names of all that is below begin with it."""
    return blob(workspace, path.rstrip("/")) + "/"
