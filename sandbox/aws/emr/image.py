"""Paths that name files in the container image, found on this machine instead.

A job run may name files that every Spark image has: `local:///usr/lib/spark/…` (EMR's own image), `/opt/spark/…`
(Apache's), `/opt/ibm/spark/…` (Analytics Engine's). Each resolves, in this order, to the Spark that runs, to the
sandbox's own examples, and to the path as it stands, should this machine really have it. The pyspark package brings
Spark's Python examples; their input files and the examples' jar it does not: `spark.ensure_examples` lays out small
ones of our own. For SparkR see `sparkr`.
"""

from __future__ import annotations

import glob
from pathlib import Path

PREFIXES = ("/opt/ibm/spark", "/opt/spark", "/usr/lib/spark")
OWN_EXAMPLES = Path(__file__).parent / "examples"


def within_image(path: str) -> str | None:
    """The part of `path` below an image's SPARK_HOME, or None when it is not in one."""
    for prefix in PREFIXES:
        if path.startswith(prefix + "/"):
            return path[len(prefix) + 1 :]
    return None


class Image:
    """The files that the image would have. `roots` are directories laid out like SPARK_HOME, the best first."""

    def __init__(self, *roots: Path) -> None:
        self._roots = roots

    def find(self, path: str) -> str | None:
        """The file on this machine that `path` means, a glob's first match included; None when there is none."""
        inside = within_image(path)
        if inside is not None and ".." not in Path(inside).parts:
            for root in self._roots:
                found = _first(str(root / inside))
                if found:
                    return found
        return _first(path)

    def argument(self, text: str) -> str:
        """A program's argument: a path into the image that names a file there, else the text untouched."""
        path = text.removeprefix("local://")
        return (self.find(path) or text) if within_image(path) else text


def _first(path: str) -> str | None:
    if Path(path).exists():
        return path
    matches = sorted(glob.glob(path)) if glob.has_magic(path) else []
    return matches[0] if matches else None
