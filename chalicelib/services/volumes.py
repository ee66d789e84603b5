"""What a run's driver is told of the volumes that it mounts: their files, with links, page by page."""

from __future__ import annotations

from typing import Any

from chalicelib.core.errors import NotFound
from chalicelib.core.model import Run
from chalicelib.core.volumes import volume_name
from chalicelib.ports import Ports

PAGE = 500
LINK_SECONDS = 3600


def files_of(ports: Ports, run: Run, number: int, after: str) -> dict[str, Any]:
    """A page of the files of a run's volume: `files`, each with its `path` and a `link`, and `next`, the path to go on
    after, if there is more. Raises NotFound for a volume that the run does not mount."""
    if not 0 <= number < len(run.spec.volumes):
        raise NotFound("Volume", number)
    prefix = volume_name(run.workspace, run.spec.volumes[number])
    page = ports.blobs.list(prefix, after=f"{prefix}{after}" if after else "", limit=PAGE)
    files = [
        {"path": blob.name[len(prefix) :], "link": ports.blobs.get_link(blob.name, seconds=LINK_SECONDS)}
        for blob in page.blobs
        if not blob.name.endswith("/")
    ]
    return {"files": files, **({"next": page.next[len(prefix) :]} if page.next else {})}
