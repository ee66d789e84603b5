"""Brings a run's volumes to the driver's machine before its program starts, and stores what the program has changed
there when it ends. Used by `bootstrap`.

A volume is a copy of files that the control plane keeps; it tells them page by page, each with an address that anyone
may read for a while. Where the volume's mount path is an empty directory that may be written (as it is in a pod, which
is made with one), the files are put there. Elsewhere they are put into a directory of the run's own, and the program's
arguments that begin with the mount path name that directory instead.

The files of a read-only volume lose their permission to be written, and what is written there all the same is not
kept. Of any other volume, files that are new or changed are stored and those that are gone are deleted, as if the
program had worked on the files themselves; nothing else is touched. Not kept are empty directories, links, and the
checksums (`.name.crc`) that Hadoop puts beside its files.
"""

from __future__ import annotations

import os
import threading
import time
from functools import partial

from .console import say
from .notebook.door import Door, DoorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from queue import SimpleQueue
    from typing import Any

    Stamp = tuple[int, int, int, int]

TIMEOUT_SECONDS = 60
BACK_OFF_SECONDS = (0.3, 1.0, 3.0, 5.0, 10.0, 10.0, 15.0, 15.0)
"""Before each further attempt: a control plane that is away for less than a minute costs no run its volumes."""

MAX_FILES = 10_000
MAX_FILE = 5 << 30
MAX_BYTES = 20 << 30
"""New or changed files of one volume, bytes of one and of all together."""

THREADS = 8
FILES_AT_ONCE = 25
REMOVED_AT_ONCE = 500


class NotStaged(Exception):
    """A volume could not be brought; the text is a sentence for the user."""


class NotStored(Exception):
    """What a program left in a volume could not be stored; the text is a sentence for the user."""


class Volume:
    """A volume and its copy. `known`: how its files stood when they were last the same as the stored ones."""

    def __init__(self, number: int, told: Mapping[str, Any], place: str) -> None:
        self.number, self.name, self.place = number, str(told["name"]), place
        self.mount, self.read_only = str(told["mount_path"]), bool(told.get("read_only", True))
        self.known: dict[str, Stamp] = {}


class Volumes:
    """The volumes of one run: `name`, `mount_path` and `read_only` of each, as the control plane told them."""

    def __init__(self, wanted: Sequence[Mapping[str, Any]], api: str, run: str, secret: str) -> None:
        self._wanted = wanted
        self._door = Door(api, run, secret, BACK_OFF_SECONDS)
        self._staged: list[Volume] = []
        self._own: list[str] = []
        self._tasks: SimpleQueue[Any] | None = None

    def stage(self) -> dict[str, str]:
        """Fetch the files of all; mount path -> the directory that has them. Raises NotStaged."""
        from http.client import HTTPException

        staged = []
        for number, told in enumerate(self._wanted):
            volume = Volume(number, told, self._place(told["mount_path"]))
            try:
                for path, link in self._files(number):
                    _fetch(link, _inside(volume.place, path))
                if volume.read_only:
                    _protect(volume.place)
                else:
                    volume.known, _ = _scan(volume.place)
            except (OSError, ValueError, DoorError, HTTPException) as error:
                raise NotStaged(f"The volume {volume.name} could not be staged: {_reason(error)}.") from None
            staged.append(volume)
        self._staged = staged
        return {volume.mount: volume.place for volume in staged}

    @property
    def writable(self) -> bool:
        """Whether there is a volume that the program may write, and its files have been brought."""
        return not all(volume.read_only for volume in self._staged)

    def open(self) -> None:
        """Start the threads that store: once Python has begun to shut down, it starts no more."""
        if self._tasks is None and self.writable:
            import queue

            self._tasks = queue.SimpleQueue()  # reentrant, so a signal handler may use it
            for _ in range(THREADS):
                threading.Thread(target=self._work, name="sparkplane-volumes", daemon=True).start()

    def store(self, seconds: float = 0.0) -> str:
        """Store what has changed since the files were brought, or since the last call; returns what went wrong as a
        sentence, or nothing. With `seconds`, no longer than that."""
        until = time.monotonic() + seconds if seconds else 0.0
        self.open()
        for volume in self._staged:
            if volume.read_only:
                continue
            try:
                changed, gone, unnamed = _changed(volume)
                self._await(volume, _slices(list(changed.items()), FILES_AT_ONCE), until)
                if unnamed:
                    raise NotStored(f"the name {unnamed[0]!a} has control characters or is not UTF-8")
                self._await(volume, _slices(gone, REMOVED_AT_ONCE), until)
            except (OSError, NotStored) as error:
                return f"What the program left in the volume {volume.name} could not be stored: {_reason(error)}."
        return ""

    def remove(self) -> None:
        """Delete the copies that are not in a pod's own directory."""
        import shutil

        for place in self._own:
            for directory, _, _ in os.walk(place):
                os.chmod(directory, 0o700)
            shutil.rmtree(place, ignore_errors=True)

    def _place(self, mount: str) -> str:
        """The mount path itself, if it is an empty directory that may be written, else a directory of the run's own."""
        if os.path.isdir(mount) and not os.listdir(mount) and os.access(mount, os.W_OK):
            return mount
        import tempfile

        self._own.append(tempfile.mkdtemp(prefix="volume-"))
        return self._own[-1]

    def _files(self, number: int) -> Iterator[tuple[str, str]]:
        """The paths and addresses of a volume's files, as the control plane tells them."""
        after = ""
        while True:
            told = self._door.get(f"volumes/{number}", after=after)
            for file in told["files"]:
                yield file["path"], file["link"]
            after = told.get("next", "")
            if not after:
                return

    def _await(self, volume: Volume, parts: Sequence[Any], until: float) -> None:
        """Have the threads do these; returns when all are done. Raises NotStored for the first that cannot be."""
        import queue

        done: SimpleQueue[str] = queue.SimpleQueue()
        for part in parts:
            assert self._tasks is not None
            self._tasks.put((volume, part, done))
        for _ in parts:
            try:
                failure = done.get(timeout=max(until - time.monotonic(), 0.001) if until else None)
            except queue.Empty:
                raise NotStored("there was no time left") from None
            if failure:
                raise NotStored(failure)

    def _work(self) -> None:
        while self._tasks is not None:
            volume, part, done = self._tasks.get()
            try:
                self._delete(volume, part) if isinstance(part[0], str) else self._store(volume, part)
                done.put("")
            except Exception as error:  # noqa: BLE001 - told to whoever waits
                done.put(_reason(error))

    def _store(self, volume: Volume, files: Sequence[tuple[str, Stamp]]) -> None:
        left = {path: stamp for path, stamp in files if volume.known.get(path) != stamp}
        if not left:
            return
        told = {"files": {path: stamp[0] for path, stamp in left.items()}}
        links = self._door.post(f"volumes/{volume.number}", told)["links"]
        for path, stamp in left.items():
            read = partial(_read, os.path.join(volume.place, path), stamp[0])
            self._door.upload_file(links[path], stamp[0], read)
            volume.known[path] = stamp

    def _delete(self, volume: Volume, paths: Sequence[str]) -> None:
        self._door.post(f"volumes/{volume.number}", {"removed": list(paths)})
        for path in paths:
            volume.known.pop(path, None)


def _slices(items: Sequence[Any], most: int) -> list[Sequence[Any]]:
    """Parts of at most so many, and enough of them to keep all threads at work."""
    size = min(most, len(items) // THREADS + 1)
    return [items[start : start + size] for start in range(0, len(items), size)]


def map_argument(argument: str, places: Mapping[str, str]) -> str:
    """`argument`, or where it is a path at or below a mount path, that path where the volume's files are."""
    for mount, place in places.items():
        if mount != place and (argument == mount or argument.startswith(mount + "/")):
            return place + argument[len(mount) :]
    return argument


def _inside(place: str, path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError("a file's path climbs")
    return os.path.join(place, path)


def _fetch(link: str, target: str) -> None:
    """Fetch a file; what fails in passing is tried again. Raises OSError."""
    from http.client import HTTPException
    from urllib.error import HTTPError

    os.makedirs(os.path.dirname(target), exist_ok=True)
    for pause in BACK_OFF_SECONDS:
        try:
            return _fetch_once(link, target)
        except HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                raise
        except (OSError, HTTPException):
            pass
        time.sleep(pause)
    _fetch_once(link, target)


def _fetch_once(link: str, target: str) -> None:
    import shutil
    from urllib.request import urlopen

    with open(target, "wb") as file:
        with urlopen(link, timeout=TIMEOUT_SECONDS) as answer:
            shutil.copyfileobj(answer, file, 1 << 20)
        size = answer.headers.get("Content-Length")
        if size is not None and file.tell() != int(size):
            raise OSError("a file was cut short")


def _read(path: str, size: int) -> Iterator[bytes]:
    """The first bytes of a file, so many. Raises OSError; NotStored for a file that has become shorter."""
    return _blocks(open(path, "rb", opener=lambda at, flags: os.open(at, flags | os.O_NOFOLLOW)), size)


def _blocks(file: Any, left: int) -> Iterator[bytes]:
    with file:
        while left:
            block = file.read(min(left, 1 << 20))
            if not block:
                raise NotStored(f"{os.path.basename(file.name)} became shorter meanwhile")
            left -= len(block)
            yield block


def _protect(place: str) -> None:
    """Take the permission to write from all that is in a directory, as far as it is ours."""
    for directory, _, files in os.walk(place, topdown=False):
        for name in files:
            os.chmod(os.path.join(directory, name), 0o444)
        try:
            os.chmod(directory, 0o555)
        except PermissionError:
            continue  # a pod's directory is another user's


def _scan(place: str) -> tuple[dict[str, Stamp], int]:
    """The files below a directory (path -> its size, and what tells one state of it from another), and how many other
    things there are. Links are not followed. A directory that is gone has nothing."""
    found: dict[str, Stamp] = {}
    waiting, others = [""], 0
    while waiting:
        below = waiting.pop()
        try:
            entries = list(os.scandir(os.path.join(place, below)))
        except FileNotFoundError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{below}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                told = entry.stat(follow_symlinks=False)
                found[below + entry.name] = (told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino)
            else:
                others += 1
    return found, others


def _changed(volume: Volume) -> tuple[dict[str, Stamp], list[str], list[str]]:
    """The files of a volume that are new or changed, the paths of those that are gone, and the paths of new ones that
    the control plane has no names for. Raises NotStored for more than can be stored, and OSError."""
    found, others = _scan(volume.place)
    if others:
        say(f"not stored in the volume {volume.name}: {others} links, pipes or sockets")
    changed = {
        path: stamp
        for path, stamp in found.items()
        if volume.known.get(path) != stamp and not (path not in volume.known and _is_checksum(path, found))
    }
    if len(changed) > MAX_FILES:
        raise NotStored(f"there are {len(changed)} new or changed files, and {MAX_FILES} can be stored")
    sizes = [stamp[0] for stamp in changed.values()]
    if max(sizes, default=0) > MAX_FILE or sum(sizes) > MAX_BYTES:
        most = f"{MAX_FILE >> 30} GiB of one file and {MAX_BYTES >> 30} GiB together"
        raise NotStored(f"the new or changed files are too large: {most} can be stored")
    unnamed = [p for p in changed if any(ord(c) < 32 or ord(c) == 127 or "\ud800" <= c <= "\udfff" for c in p)]
    for path in unnamed:
        del changed[path]
    return changed, [path for path in volume.known if path not in found], unnamed


def _is_checksum(path: str, found: Mapping[str, Stamp]) -> bool:
    """Whether this is the checksum that Hadoop's local file system keeps beside a file."""
    directory, _, name = path.rpartition("/")
    of = name[1:-4]
    return name.startswith(".") and name.endswith(".crc") and (f"{directory}/{of}" if directory else of) in found


def _reason(error: BaseException) -> str:
    """What went wrong, without the full stop."""
    if isinstance(error, (NotStored, DoorError)):
        return str(error).rstrip(".")
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__)
