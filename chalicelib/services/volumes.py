"""What a run's driver is told of the volumes that it mounts: their files, with links, page by page; and where it stores
what its program has changed."""

from __future__ import annotations

from typing import Any

from chalicelib.core.errors import Forbidden, Invalid, NotFound
from chalicelib.core.model import Run, Volume
from chalicelib.core.volumes import MAX_FILE, check_file, volume_name
from chalicelib.ports import Ports

PAGE = 500
"""Files of one answer, and of one request."""

LINK_SECONDS = 3600


def files_of(ports: Ports, run: Run, number: int, after: str) -> dict[str, Any]:
    """A page of the files of a run's volume: `files`, each with its `path` and a `link`, and `next`, the path to go on
    after, if there is more. Raises NotFound for a volume that the run does not mount."""
    prefix = volume_name(run.workspace, _mounted(run, number))
    page = ports.blobs.list(prefix, after=f"{prefix}{after}" if after else "", limit=PAGE)
    files = [
        {"path": blob.name[len(prefix) :], "link": ports.blobs.get_link(blob.name, seconds=LINK_SECONDS)}
        for blob in page.blobs
        if not blob.name.endswith("/")
    ]
    return {"files": files, **({"next": page.next[len(prefix) :]} if page.next else {})}


def write_links(ports: Ports, run: Run, number: int, files: Any) -> dict[str, str]:
    """Links by which the run's driver may store these files of a volume (path -> bytes), each of exactly that size.

    Raises NotFound for a volume that the run does not mount, Forbidden for one that it may only read, and Invalid for
    a path that is not below the volume, for a size that a file cannot have, and for too many.
    """
    volume = _writable(run, number)
    if not isinstance(files, dict) or not 0 < len(files) <= PAGE:
        raise Invalid(f"files: must name 1 to {PAGE} files and their sizes.", field="files")
    for path, size in files.items():
        check_file(volume, path, field="files")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_FILE:
            raise Invalid(f"files: {path[:200]!r} may have at most {MAX_FILE >> 30} GiB.", field="files")
    return {
        path: ports.blobs.put_link(volume_name(run.workspace, volume, path), seconds=LINK_SECONDS, size=size)
        for path, size in files.items()
    }


def remove(ports: Ports, run: Run, number: int, paths: Any) -> None:
    """Delete these files of a volume; no error for one that is gone already. Raises as `write_links` does."""
    volume = _writable(run, number)
    if not isinstance(paths, list) or not 0 < len(paths) <= PAGE:
        raise Invalid(f"removed: must name 1 to {PAGE} files.", field="removed")
    ports.blobs.delete([volume_name(run.workspace, volume, check_file(volume, p, field="removed")) for p in paths])


def _mounted(run: Run, number: int) -> Volume:
    if not 0 <= number < len(run.spec.volumes):
        raise NotFound("Volume", number)
    return run.spec.volumes[number]


def _writable(run: Run, number: int) -> Volume:
    volume = _mounted(run, number)
    if volume.read_only:
        raise Forbidden(f"The volume {volume.name} is mounted read-only.")
    return volume
