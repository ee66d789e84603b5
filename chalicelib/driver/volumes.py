"""Brings a run's volumes to the driver's machine before its program starts. Used by `bootstrap`.

A volume is a copy of files that the control plane keeps; it tells them page by page, each with an address that anyone
may read for a while. Where the volume's mount path is an empty directory that may be written (as it is in a pod, which
is made with one), the files are put there. Elsewhere they are put into a directory of the run's own, and the program's
arguments that begin with the mount path name that directory instead. What the program writes there is not kept.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TIMEOUT_SECONDS = 60


class NotStaged(Exception):
    """A volume could not be brought; the text is a sentence for the user."""


def stage(wanted: Sequence[Mapping[str, str]], api: str, run: str, secret: str) -> dict[str, str]:
    """Fetch all files of the volumes (`name`, `mount_path`); mount path -> the directory that has them.

    Raises NotStaged.
    """
    places: dict[str, str] = {}
    for number, volume in enumerate(wanted):
        place = _place(volume["mount_path"])
        places[volume["mount_path"]] = place
        try:
            for path, link in _files(api, run, secret, number):
                _fetch(link, os.path.join(place, path))
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
            raise NotStaged(f"The volume {volume['name']} could not be staged: {reason}.") from None
    return places


def map_argument(argument: str, places: Mapping[str, str]) -> str:
    """`argument`, or where it is a path at or below a mount path, that path where the volume's files are."""
    for mount, place in places.items():
        if mount != place and (argument == mount or argument.startswith(mount + "/")):
            return place + argument[len(mount) :]
    return argument


def _place(mount: str) -> str:
    """The mount path itself, if it is an empty directory that may be written, else a new directory of the run's own."""
    if os.path.isdir(mount) and not os.listdir(mount) and os.access(mount, os.W_OK):
        return mount
    import atexit
    import shutil
    import tempfile

    directory = tempfile.mkdtemp(prefix="volume-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _files(api: str, run: str, secret: str, number: int) -> Iterator[tuple[str, str]]:
    """The paths and addresses of a volume's files, as the control plane tells them."""
    import json
    from urllib.parse import quote
    from urllib.request import Request, urlopen

    after = ""
    while True:
        address = f"{api.rstrip('/')}/driver/v1/runs/{run}/volumes/{number}?after={quote(after, safe='')}"
        request = Request(address, headers={"Authorization": f"Bearer {secret}"})
        with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            told = json.load(answer)
        for file in told["files"]:
            yield file["path"], file["link"]
        after = told.get("next", "")
        if not after:
            return


def _fetch(link: str, target: str) -> None:
    import shutil
    from urllib.request import urlopen

    if ".." in target.split("/"):
        raise ValueError("a file's path climbs")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with urlopen(link, timeout=TIMEOUT_SECONDS) as answer, open(target, "wb") as file:
        shutil.copyfileobj(answer, file, 1 << 20)
