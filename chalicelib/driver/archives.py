"""Looks at a wheel or an egg before anything of it is used: is it one, and is it safe to unpack. Used by `libraries`.

Both are zips that somebody else wrote. A zip says how large each of its files is, and Python's zipfile reads no more of
a file than that, so caps on what it says hold for what is unpacked.
"""

from __future__ import annotations

import os
import re
import zipfile

ENTRIES_CAP = 200_000
UNPACKED_CAP_BYTES = 4 * 1024 * 1024 * 1024
RATIO_CAP = 200
# A small archive may compress as well as it likes: what it can fill is not worth a refusal.
RATIO_FROM_BYTES = 64 * 1024 * 1024

_WHEEL_NAME = re.compile(r"[^-/\s]+-[^-/\s]+(-\d[^-/\s]*)?-[^-/\s]+-[^-/\s]+-[^-/\s]+\.whl", re.ASCII)
_LINK, _KIND = 0o120000, 0o170000


class BadArchive(Exception):
    """The archive is not what it should be, or is not safe to unpack. Its text is one sentence."""


def check_wheel(path: str) -> None:
    """Raises BadArchive unless `path` is a wheel, by its name and by what it holds."""
    name = os.path.basename(path)
    if not _WHEEL_NAME.fullmatch(name):
        raise BadArchive(
            f"{name} is not named as a wheel is (name-version-python-abi-platform.whl, such as a-1.0-py3-none-any.whl)."
        )
    inside = _checked(path)
    if not any(entry.endswith(".dist-info/WHEEL") and entry.count("/") == 1 for entry in inside):
        raise BadArchive(f"{name} is not a wheel: it has no .dist-info/WHEEL file.")


def unpack_egg(path: str, directory: str) -> None:
    """Unpack an egg, so that its packages can be imported from `directory`. Raises BadArchive."""
    name = os.path.basename(path)
    if not any(entry.startswith("EGG-INFO/") for entry in _checked(path)):
        raise BadArchive(f"{name} is not an egg: it has no EGG-INFO.")
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(directory)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise BadArchive(f"{name} cannot be unpacked: {error}.") from None


def _checked(path: str) -> list[str]:
    """The names of an archive's entries, when all of them may be unpacked together."""
    name, size = os.path.basename(path), os.path.getsize(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError):
        raise BadArchive(f"{name} is not a zip archive.") from None
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > ENTRIES_CAP:
        raise BadArchive(f"{name} holds {len(entries)} files; at most {ENTRIES_CAP} are unpacked.")
    if unpacked > UNPACKED_CAP_BYTES:
        raise BadArchive(f"{name} would unpack to {unpacked} bytes; at most {UNPACKED_CAP_BYTES} are unpacked.")
    if unpacked > RATIO_FROM_BYTES and unpacked > RATIO_CAP * size:
        raise BadArchive(
            f"{name} would unpack to {unpacked} bytes, more than {RATIO_CAP} times its size; it is not unpacked."
        )
    for entry in entries:
        _check_entry(name, entry)
    return [entry.filename for entry in entries]


def _check_entry(archive: str, entry: zipfile.ZipInfo) -> None:
    inside = entry.filename
    if inside.startswith("/") or "\\" in inside or "\0" in inside or ".." in inside.split("/") or inside[1:2] == ":":
        raise BadArchive(f"{archive} holds a file that would land outside of it: {inside!r}.")
    if entry.external_attr >> 16 & _KIND == _LINK:
        raise BadArchive(f"{archive} holds a symbolic link: {inside!r}.")
    if entry.flag_bits & 1:
        raise BadArchive(f"{archive} is encrypted.")
