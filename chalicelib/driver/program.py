"""Finds the user's program, and other files that a run names, on the machine that the driver runs on.

Called by `bootstrap`, for libraries and init scripts too. Three kinds of address: a path in the image (`local://`,
`file://`, absolute), a file that spark-submit has fetched already (`s3://` and every other scheme that Spark knows),
and `https://`, which is fetched here.

Paths in the image are often written for another image than the one that runs: programs name `/opt/ibm/spark/…` or
`/opt/spark/…` where Spark may stand elsewhere. A path below such an image root that does not exist is looked for at
the same place below the overlay that SPARKPLANE_IMAGE_OVERLAY names, if it is set, and then below SPARK_HOME.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

DOWNLOAD_CAP_BYTES = 16 * 1024 * 1024
LIBRARY_CAP_BYTES = 2 * 1024 * 1024 * 1024
DOWNLOAD_TIMEOUT_SECONDS = 30
_IN_IMAGE = ("file", "local")
_GLOB_SIGNS = ("*", "?", "[")


class Unavailable(Exception):
    """A file that the run names cannot be had: the user's mistake. Its text is one sentence that names the file."""


class ProgramNotFound(Unavailable):
    """The main program cannot be had."""


def find_program(uri: str, image_roots: Sequence[str], fetched_files: Callable[[], Sequence[str]]) -> str:
    """The absolute path of the main program. `fetched_files` gives the local paths of what spark-submit has fetched.

    Raises ProgramNotFound.
    """
    try:
        return find_file("program", uri, image_roots, fetched_files, DOWNLOAD_CAP_BYTES)
    except Unavailable as error:
        raise ProgramNotFound(str(error)) from None


def find_file(
    what: str, uri: str, image_roots: Sequence[str], fetched_files: Callable[[], Sequence[str]], most: int
) -> str:
    """The absolute path of a file that a run names; `what` it is stands in errors. Raises Unavailable.

    At most `most` bytes are downloaded of an address that is fetched here.
    """
    scheme, path = _split(uri)
    if scheme in ("http", "https"):
        return _download(what, uri, most)
    if scheme and scheme not in _IN_IMAGE:
        return _find_fetched(what, uri, fetched_files)
    found = _matches(path, image_roots)
    if not found:
        raise Unavailable(f"The {what} {uri} does not exist on the machine that the driver runs on.")
    if len(found) > 1:
        raise Unavailable(f"The {what} {uri} is ambiguous: it matches {len(found)} files, {found[0]} and others.")
    if not os.path.isfile(found[0]):
        raise Unavailable(f"The {what} {uri} is not a file.")
    return os.path.abspath(found[0])


def is_in_image(uri: str) -> bool:
    """Whether an address is a path on the machine that the driver runs on, which spark-submit does not fetch."""
    scheme = _split(uri)[0]
    return not scheme or scheme in _IN_IMAGE


def map_argument(argument: str, image_roots: Sequence[str]) -> str:
    """`argument`, or, where it names a path below an image root that does not exist, the path that stands in for it.

    A pattern that one file matches becomes that file; one that more files match stays a pattern. An argument that is
    written as `file://` or `local://` keeps its scheme. What nothing stands in for is left as it is: the program may
    know better.
    """
    scheme, path = _split(argument)
    if (scheme and scheme not in _IN_IMAGE) or not _below(path, image_roots) or _existing(path):
        return argument
    for candidate in _stand_ins(path, image_roots):
        found = _existing(candidate)
        if found:
            return (f"{scheme}://" if scheme else "") + (found[0] if len(found) == 1 else candidate)
    return argument


def _split(uri: str) -> tuple[str, str]:
    """Scheme (lower case, empty for a plain path) and path; `file:/x`, `file:///x` and `file://host/x` are one."""
    scheme, colon, rest = uri.partition(":")
    if not colon or not scheme.isalnum() or not rest.startswith("/"):
        return "", uri
    if rest.startswith("//"):
        rest = "/" + rest[2:].partition("/")[2]
    return scheme.lower(), rest


def _matches(path: str, image_roots: Sequence[str]) -> list[str]:
    for candidate in [path, *_stand_ins(path, image_roots)]:
        found = _existing(candidate)
        if found:
            return found
    return []


def _existing(path: str) -> list[str]:
    """What exists at `path`, which may be a pattern or be percent-encoded; the literal reading comes first."""
    if os.path.exists(path):
        return [path]
    if "%" in path:
        from urllib.parse import unquote

        if os.path.exists(unquote(path)):
            return [unquote(path)]
    if any(sign in path for sign in _GLOB_SIGNS):
        from glob import glob

        return sorted(glob(path))
    return []


def _below(path: str, image_roots: Sequence[str]) -> str | None:
    """The part of `path` below the first image root that holds it, or None."""
    for root in image_roots:
        if path.startswith(root.rstrip("/") + "/"):
            return path[len(root.rstrip("/")) + 1 :]
    return None


def _stand_ins(path: str, image_roots: Sequence[str]) -> list[str]:
    below = _below(path, image_roots)
    if below is None:
        return []
    places = [os.environ.get("SPARKPLANE_IMAGE_OVERLAY"), os.environ.get("SPARK_HOME") or _spark_of_pyspark()]
    return [os.path.join(place, below) for place in places if place]


def _spark_of_pyspark() -> str | None:
    """Spark's home when no one says it: PySpark's wheel carries a whole Spark. Found without importing it."""
    from importlib.util import find_spec

    pyspark = find_spec("pyspark")
    places = list(pyspark.submodule_search_locations or []) if pyspark else []
    return next((place for place in places if os.path.isdir(os.path.join(place, "jars"))), None)


def _find_fetched(what: str, uri: str, fetched_files: Callable[[], Sequence[str]]) -> str:
    name = _base_name(uri)
    if os.path.isfile(name):
        return os.path.abspath(name)
    for address in fetched_files():
        path = _split(address)[1]
        if os.path.basename(path) == name and os.path.isfile(path):
            return path
    raise Unavailable(
        f"The {what} {uri} was not fetched: there is no {name} among the files of this Spark application."
    )


def _base_name(uri: str) -> str:
    """`s3://bucket/dir/x.py` → `x.py`; as Spark does, a `#name` renames."""
    address, _, renamed = uri.partition("#")
    return renamed or address.rsplit("/", 1)[-1]


def fetched_by_spark_submit() -> list[str]:
    """Local paths of `spark.files` and `spark.submit.pyFiles`, asked of the JVM that spark-submit has started.

    spark-submit fetches what is remote and leaves the local paths in the JVM's system properties; it tells Python
    only how to reach that JVM. Empty without a JVM.
    """
    from .jvm import open_gateway

    gateway = open_gateway()
    if gateway is None:
        return []
    try:
        system = gateway.jvm.java.lang.System
        lists = [system.getProperty(name) or "" for name in ("spark.files", "spark.submit.pyFiles")]
    finally:
        gateway.close()
    return [address for listed in lists for address in listed.split(",") if address]


def _download(what: str, uri: str, most: int) -> str:
    """Fetch a file over HTTP into a directory of its own, which is removed when Python ends.

    The address without its query names the file in errors: the query of a presigned address is a credential.
    """
    import atexit
    import shutil
    import tempfile
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.parse import unquote, urlsplit
    from urllib.request import urlopen

    parts = urlsplit(uri)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    directory = tempfile.mkdtemp(prefix=f"{what.rpartition(' ')[2]}-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = os.path.join(directory, os.path.basename(unquote(parts.path)) or f"{what}.py")
    try:
        with urlopen(uri, timeout=DOWNLOAD_TIMEOUT_SECONDS) as answer, open(path, "wb") as file:
            _copy(answer, file, most)
    except HTTPError as error:
        raise Unavailable(f"The {what} {shown} could not be fetched: HTTP status {error.code}.") from None
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", type(error).__name__)
        raise Unavailable(f"The {what} {shown} could not be fetched: {reason}.") from None
    if os.path.getsize(path) > most:
        raise Unavailable(f"The {what} {shown} is larger than {most // 1024 // 1024} MiB.")
    return path


def _copy(source: Any, target: Any, most: int) -> None:
    """Copy a stream, as far as one byte beyond `most`."""
    left = most + 1
    while left > 0 and (part := source.read(min(left, 1 << 20))):
        target.write(part)
        left -= len(part)
