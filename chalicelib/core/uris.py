"""Where a submission's files may come from: an allow-list of URI schemes, and a rule for bare paths."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import unquote, urlsplit

from chalicelib.core.errors import Invalid
from chalicelib.core.model import FILE_KINDS, RunSpec

IMAGE_ROOTS = ("/opt/spark", "/opt/ibm/spark", "/usr/lib/spark")
"""Where the seeds' examples expect Spark in the image. Such paths are files of the image, wherever Spark is in it."""


EMR_SPARK = "/usr/lib/spark"
"""Where Spark is in EMR's images."""


def check_uri(uri: str, *, field: str, schemes: Collection[str]) -> None:
    """Refuse a URI whose scheme is not allowed, a path that climbs, and a comma (Spark would read it as two URIs).

    A bare absolute path is a file of the image; any other than those below IMAGE_ROOTS counts as scheme `file`.
    """
    if not uri or any(ord(c) < 32 for c in uri):
        raise Invalid(f"{field}: {uri!r} is not a URI.", field=field)
    if "," in uri:
        raise Invalid(f"{field}: {uri!r} has a comma, which Spark cannot take in a URI.", field=field)
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise Invalid(f"{field}: {uri!r} is not a URI.", field=field) from None
    if ".." in unquote(parts.path).split("/"):
        raise Invalid(f"{field}: {uri!r} has a '..' in its path.", field=field)
    scheme = parts.scheme.lower() or ("local" if _in_image(uri) else "file")
    if scheme not in schemes:
        allowed = ", ".join(sorted(schemes))
        raise Invalid(f"{field}: the URI {uri!r} is of scheme {scheme!r}; allowed are {allowed}.", field=field)
    if not parts.scheme and not uri.startswith("/"):
        raise Invalid(f"{field}: {uri!r} is neither a URI nor an absolute path.", field=field)
    if scheme in {"s3", "s3a", "https"} and not parts.netloc:
        raise Invalid(f"{field}: {uri!r} names no {'host' if scheme == 'https' else 'bucket'}.", field=field)


def _in_image(path: str) -> bool:
    return any(posixpath.normpath(path).startswith(root + "/") for root in IMAGE_ROOTS)


def image_uri(uri: str) -> str:
    """The URI as an engine takes it: a bare path of the image becomes `local:` below EMR's own Spark."""
    root = next((root for root in IMAGE_ROOTS if uri.startswith(root + "/")), "")
    return f"local://{EMR_SPARK}{uri.removeprefix(root)}" if root else uri


_CONF_URIS = ("spark.jars", "spark.files", "spark.archives", "spark.submit.pyFiles")
"""Settings that list URIs, as the options of spark-submit do."""


def check_files(spec: RunSpec, schemes: Collection[str], fields: Mapping[str, str] | None = None) -> None:
    """Apply `check_uri` to every URI of a spec, its conf's included; `fields` maps the attribute's name to the
    dialect's."""
    names = fields or {}
    named: list[tuple[str, Iterable[str]]] = [
        ("program", (spec.program.resource,) if spec.program.resource and spec.program.kind in FILE_KINDS else ()),
        ("jars", spec.files.jars),
        ("py_files", spec.files.py_files),
        ("files", (f.partition("#")[0] for f in spec.files.files)),
        ("archives", (f.partition("#")[0] for f in spec.files.archives)),
        *(("conf", _listed(spec.conf.get(name, ""))) for name in _CONF_URIS),
    ]
    for attribute, uris in named:
        for uri in uris:
            check_uri(uri, field=names.get(attribute, attribute), schemes=schemes)


def _listed(value: str) -> list[str]:
    return [item.strip().partition("#")[0] for item in value.split(",") if item.strip()]
