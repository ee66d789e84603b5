"""A workspace's files (DBFS): look at, read, write whole, list, move and delete them. Called by the dialects.

Paths come in the form of `paths.plain`. What takes longer than a request may is done a piece at a time: it ends with
Unfinished, and the same request again goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from chalicelib.core.errors import (
    AlreadyExists,
    BlockTooLarge,
    Conflict,
    Invalid,
    InvalidState,
    NotEmpty,
    NotFound,
    PartlyDeleted,
    ReadTooLarge,
    Unfinished,
)
from chalicelib.core.model import Move
from chalicelib.core.paths import SCHEME, blob, marker, parent
from chalicelib.ports import BlobPage, Clash, Delete, Ports, Put, key
from chalicelib.services.access import Call

MAX_BLOCK = 1 << 20
"""Bytes of one block, of a file that is written whole, and of one answer with a file's content."""

READ_DEFAULT = 1 << 19
PAGE = 1000
MAX_ENTRIES = 100_000
MAX_DELETED = 10_000
MAX_MOVED = 2_000
"""Names that one request lists, deletes and moves: what can be done in some 20 seconds."""

MOVE_MS = 600_000
"""How long a move that was cut may be taken up again."""


def locator(ports: Ports, workspace: str) -> Callable[[str], str]:
    """What turns a URI into Spark's: `dbfs:/a/b` is the workspace's own copy in the blob store, all others are
    themselves."""

    def locate(uri: str) -> str:
        if not uri.startswith(f"{SCHEME}/"):
            return uri
        return ports.blobs.uri(blob(workspace, "/" + uri.removeprefix(SCHEME).lstrip("/")))

    return locate


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a directory. `changed_at` in epoch milliseconds, 0 for a directory that nobody made."""

    path: str
    is_directory: bool
    size: int = 0
    changed_at: int = 0


def find(ports: Ports, workspace: str, path: str) -> Entry | None:
    """What is at a path, if anything."""
    if path != "/":
        file = ports.blobs.stat(blob(workspace, path))
        if file:
            return Entry(path, False, file.size, file.changed_at)
    below = marker(workspace, path)
    first = ports.blobs.list(below, limit=1).blobs
    if first:
        return Entry(path, True, 0, first[0].changed_at if first[0].name == below else 0)
    return Entry(path, True) if path == "/" else None


def get_status(ports: Ports, call: Call, path: str) -> Entry:
    """What is at a path. Raises NotFound."""
    entry = find(ports, call.workspace, path)
    if entry is None:
        raise missing(path)
    return entry


def missing(path: str) -> NotFound:
    """The error for a path that has nothing."""
    return NotFound("File or directory", path, field="path")


def list_directory(ports: Ports, call: Call, path: str) -> list[Entry]:
    """What is in a directory, by name; of a file, itself. Raises NotFound, and Invalid for a directory of more than
    MAX_ENTRIES."""
    entry = get_status(ports, call, path)
    if not entry.is_directory:
        return [entry]
    below, found, after = marker(call.workspace, path), list[Entry](), ""
    while True:
        page = ports.blobs.list(below, after=after, limit=PAGE, delimiter="/")
        found += _entries(page, below, "" if path == "/" else path)
        after = page.next
        if not after:
            return sorted(found, key=lambda one: one.path)
        if len(found) >= MAX_ENTRIES:
            raise Invalid(f"{path} has more than {MAX_ENTRIES} entries; list a smaller directory.", field="path")


def _entries(page: BlobPage, below: str, base: str) -> list[Entry]:
    files = [
        Entry(f"{base}/{one.name.removeprefix(below)}", False, one.size, one.changed_at)
        for one in page.blobs
        if one.name != below
    ]
    names = (prefix.removeprefix(below).rstrip("/") for prefix in page.prefixes)
    return files + [Entry(f"{base}/{name}", True) for name in names if name]


def read(ports: Ports, call: Call, path: str, offset: int = 0, length: int = READ_DEFAULT) -> bytes:
    """Bytes of a file from an offset on, fewer at its end. Raises NotFound, Invalid, ReadTooLarge."""
    for name, value in (("offset", offset), ("length", length)):
        if value < 0:
            raise Invalid(f"{name} must not be negative.", field=name)
    if length > MAX_BLOCK:
        raise ReadTooLarge(f"length must be at most {MAX_BLOCK} bytes.", field="length")
    entry = get_status(ports, call, path)
    if entry.is_directory:
        raise Invalid(f"{path} is a directory.", field="path")
    if not length or offset >= entry.size:
        return b""
    return ports.blobs.get(blob(call.workspace, path), offset=offset, limit=length) or b""


def put(ports: Ports, call: Call, path: str, body: bytes, *, overwrite: bool, most: int = MAX_BLOCK) -> None:
    """Write a whole file. Raises BlockTooLarge, and as `check_writable` does."""
    if len(body) > most:
        raise BlockTooLarge(f"The content is larger than {most} bytes.", field="contents")
    check_writable(ports, call, path, overwrite=overwrite)
    ports.blobs.put(blob(call.workspace, path), body)


def check_writable(ports: Ports, call: Call, path: str, *, overwrite: bool) -> None:
    """Raises AlreadyExists when a directory is there, or a file that may not be replaced, or when something above is a
    file; Invalid for the root."""
    if path == "/":
        raise Invalid("The root is a directory.", field="path")
    entry = find(ports, call.workspace, path)
    if entry and (entry.is_directory or not overwrite):
        raise AlreadyExists(f"A {'directory' if entry.is_directory else 'file'} exists at {path}.", field="path")
    if entry is None:
        _check_above(ports, call, path)


def _check_above(ports: Ports, call: Call, path: str) -> None:
    above = parent(path)
    while above != "/":
        if ports.blobs.stat(blob(call.workspace, above)):
            raise AlreadyExists(f"{above} is a file, so nothing can be below it.", field="path")
        above = parent(above)


def make_directory(ports: Ports, call: Call, path: str) -> None:
    """Make a directory and those above it; no error when it is there. Raises AlreadyExists when it, or one above it, is
    a file."""
    entry = find(ports, call.workspace, path)
    if entry and not entry.is_directory:
        raise AlreadyExists(f"A file exists at {path}.", field="path")
    if entry is None:
        _check_above(ports, call, path)
        ports.blobs.put(marker(call.workspace, path), b"")


def delete(ports: Ports, call: Call, path: str, *, recursive: bool) -> None:
    """Remove a file or a directory. Raises NotFound; NotEmpty unless `recursive`; PartlyDeleted after MAX_DELETED
    files; Invalid for the root."""
    if path == "/":
        raise Invalid("The root directory cannot be deleted.", field="path")
    entry = get_status(ports, call, path)
    below = marker(call.workspace, path)
    if not entry.is_directory:
        _keep_directory(ports, call.workspace, parent(path))
        ports.blobs.delete([blob(call.workspace, path)])
        return
    if not recursive and any(one.name != below for one in ports.blobs.list(below, limit=2).blobs):
        raise NotEmpty(f"The directory {path} is not empty; it can be deleted recursively.", field="path")
    _keep_directory(ports, call.workspace, parent(path))
    deleted = 0
    while names := [one.name for one in ports.blobs.list(below, limit=PAGE).blobs]:
        if deleted >= MAX_DELETED:
            raise PartlyDeleted(
                f"The requested operation has deleted {deleted} files. There are more files remaining. "
                "You must make another request to delete more."
            )
        ports.blobs.delete(names)
        deleted += len(names)


def _keep_directory(ports: Ports, workspace: str, path: str) -> None:
    """Mark a directory that is about to lose what is in it: it stays."""
    if path != "/":
        ports.blobs.put(marker(workspace, path), b"")


def move(ports: Ports, call: Call, source: str, target: str) -> None:
    """Give a file, or a directory with all below it, another path. Raises NotFound; AlreadyExists when the target is
    there or something above it is a file; Invalid for the root and for a target inside the source; Unfinished after
    MAX_MOVED files."""
    if source == "/" or target == "/":
        raise Invalid("The root directory cannot be moved.", field="source_path")
    if target == source or target.startswith(f"{source}/"):
        raise Invalid(f"{source} cannot be moved into itself.", field="destination_path")
    under_way = _moving(ports, call, source, target)
    entry = find(ports, call.workspace, source)
    if under_way is None:
        if entry is None:
            raise missing(source)
        under_way = _begin_move(ports, call, source, target)
    if entry:
        _keep_directory(ports, call.workspace, parent(source))
        if entry.is_directory:
            _move_below(ports, marker(call.workspace, source), marker(call.workspace, target))
        else:
            _carry(ports, {blob(call.workspace, source): blob(call.workspace, target)})
    try:
        ports.store.commit([Delete(under_way)])
    except Clash:
        pass  # who else moved the same has ended it


def _moving(ports: Ports, call: Call, source: str, target: str) -> Move | None:
    move_key = key(Move, call.workspace, source)
    found: Move | None = ports.store.fetch([move_key]).get(move_key)
    if found is None or found.expires_at <= ports.clock.now():
        return None
    if found.target != target:
        raise InvalidState(f"{source} is being moved to {found.target}.", field="source_path")
    return _note(ports, replace(found, expires_at=ports.clock.now() + MOVE_MS))


def _begin_move(ports: Ports, call: Call, source: str, target: str) -> Move:
    existing = find(ports, call.workspace, target)
    if existing:
        kind = "directory" if existing.is_directory else "file"
        raise AlreadyExists(f"A {kind} exists at {target}.", field="destination_path")
    _check_above(ports, call, target)
    move_key = key(Move, call.workspace, source)
    stale = ports.store.fetch([move_key]).get(move_key)
    expires = ports.clock.now() + MOVE_MS
    return _note(ports, Move(call.workspace, source, target, expires, stale.version if stale else 0))


def _note(ports: Ports, wanted: Move) -> Move:
    try:
        ports.store.commit([Put(wanted)])
    except Clash:
        raise Conflict(f"{wanted.source} is being moved by somebody else; please try again.") from None
    return replace(wanted, version=wanted.version + 1)


def _move_below(ports: Ports, source: str, target: str) -> None:
    moved = 0
    ports.blobs.put(target, b"")
    while names := [one.name for one in ports.blobs.list(source, limit=PAGE // 2).blobs]:
        if moved >= MAX_MOVED:
            raise Unfinished(f"The requested operation has moved {moved} files. Make the same request to move more.")
        _carry(ports, {name: f"{target}{name.removeprefix(source)}" for name in names})
        moved += len(names)


def _carry(ports: Ports, pairs: dict[str, str]) -> None:
    ports.blobs.copy_all(pairs)
    ports.blobs.delete(list(pairs))
