"""Volumes: named prefixes of the workspace's files, of which a driver gets a copy below a mount path. Pure.

A volume's files are those of `dbfs:/volumes/<name>`, so they are put there by any means that reach these. What a
program leaves new or changed in its copy of a volume that may be written is stored when the program ends, whole files
at a time: of two programs that write the same file, the one that ends last has written it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from chalicelib.core.errors import Invalid
from chalicelib.core.model import Volume
from chalicelib.core.paths import MAX_PATH
from chalicelib.core.uris import IMAGE_ROOTS

MAX_VOLUMES = 20
MAX_FILE = 5 << 30
"""Bytes of a file that a program leaves in a volume: what S3 takes at once."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(::[A-Za-z0-9][A-Za-z0-9._-]{0,99})?")
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f\ud800-\udfff]+)+")

_SYSTEM = "bin boot dev etc lib lib32 lib64 proc run sbin sys usr var/lib var/log var/run"
_SHARED = "home home/hadoop opt opt/ibm tmp var"
NOT_BELOW = (*IMAGE_ROOTS, *(f"/{path}" for path in _SYSTEM.split()))
NOT_AT = tuple(f"/{path}" for path in _SHARED.split())
"""Where nothing can be mounted: at or below these (the image's system, and Spark), and at these, which have such things
in them."""


def volume(name: str, mount_path: str, sub_path: str, read_only: bool = True, *, field: str) -> Volume:
    """A volume as it was asked for, `namespace::name` or a plain name. Raises Invalid, naming the part."""
    if not _NAME.fullmatch(name):
        message = f"{field}.name: {name!r} is not a volume's name such as cpd-instance::my-vol."
        raise Invalid(message, field=f"{field}.name")
    mount = posixpath.normpath(mount_path)
    if not _PATH.fullmatch(mount) or ".." in mount_path.split("/") or ":" in mount:
        message = f"{field}.mount_path: {mount_path!r} is not an absolute path without colons such as /myapp."
        raise Invalid(message, field=f"{field}.mount_path")
    if mount in NOT_AT or any(mount == place or mount.startswith(f"{place}/") for place in NOT_BELOW):
        message = f"{field}.mount_path: {mount} would hide what the driver itself needs; mount it elsewhere."
        raise Invalid(message, field=f"{field}.mount_path")
    below = sub_path.strip("/")
    prefix = "/".join(part for part in ("volumes", *name.split("::"), below) if part)
    if below and (not _PATH.fullmatch(f"/{below}") or len(f"/{prefix}".encode()) > MAX_PATH):
        message = f"{field}.source_sub_path: {sub_path[:200]!r} is not a path below the volume."
        raise Invalid(message, field=f"{field}.source_sub_path")
    return Volume(name, prefix, mount, read_only)


def check_volumes(volumes: Sequence[Volume]) -> None:
    """Refuse too many volumes, and two at one place. Raises Invalid."""
    if len(volumes) > MAX_VOLUMES:
        raise Invalid(f"volumes: at most {MAX_VOLUMES} can be mounted.", field="volumes")
    mounts = [v.mount_path for v in volumes]
    for mount in mounts:
        if mounts.count(mount) > 1 or any(other.startswith(f"{mount}/") for other in mounts):
            raise Invalid(f"volumes: {mount} is used by more than one volume.", field="volumes")


def volume_name(workspace: str, volume: Volume, path: str = "") -> str:
    """The blob of a file in a volume; without a path, the prefix of them all."""
    return f"{workspace}/dbfs/{volume.prefix}/{path}"


def within(volumes: Sequence[Volume], path: str) -> tuple[Volume, str] | None:
    """The volume that a path lies in, and the path within it; None for a path outside of all."""
    for one in volumes:
        if path.startswith(f"{one.mount_path}/"):
            return one, path[len(one.mount_path) + 1 :]
    return None


def check_file(volume: Volume, path: object, *, field: str) -> str:
    """The path of a file below a volume, as a driver tells it. Raises Invalid for one that climbs, or that cannot be a
    name in DBFS: too long, no UTF-8, or with control characters."""
    if not isinstance(path, str) or any(name in {"", ".", ".."} for name in path.split("/")):
        raise Invalid(f"{field}: {str(path)[:200]!r} is not a path below the volume.", field=field)
    if any(ord(c) < 32 or ord(c) == 127 or "\ud800" <= c <= "\udfff" for c in path):
        raise Invalid(f"{field}: {path[:200]!r} has characters that a file's name cannot have.", field=field)
    if len(f"/{volume.prefix}/{path}".encode()) > MAX_PATH:
        raise Invalid(f"{field}: the path {path[:200]!r} is too long for a file.", field=field)
    return path
