"""Where a submission's files may come from: an allow-list of URI schemes, and a rule for bare paths."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import unquote, urlsplit

from chalicelib.core.errors import Invalid
from chalicelib.core.model import FILE_KINDS, IN_PYTHON, RunSpec

IMAGE_ROOTS = ("/opt/spark", "/opt/ibm/spark", "/usr/lib/spark")
"""Where the seeds' examples expect Spark in the image. Such paths are files of the image, wherever Spark is in it."""


EMR_SPARK = "/usr/lib/spark"
"""Where Spark is in EMR's images."""


def check_uri(
    uri: str, *, field: str, schemes: Collection[str], hosts: Collection[str] = (), late: Collection[str] = ()
) -> None:
    """Refuse a URI whose scheme is not allowed, a path that climbs, and a comma (Spark would read it as two URIs).

    A bare absolute path is a file of the image; any other than those below IMAGE_ROOTS counts as scheme `file`. An
    `https` address must be of one of `hosts` (see `check_host`). Schemes in `late` pass, to be judged another time.
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
    if scheme not in schemes and scheme not in late:
        allowed = ", ".join(sorted(schemes))
        raise Invalid(f"{field}: the URI {uri!r} is of scheme {scheme!r}; allowed are {allowed}.", field=field)
    if not parts.scheme and not uri.startswith("/"):
        raise Invalid(f"{field}: {uri!r} is neither a URI nor an absolute path.", field=field)
    if scheme in {"s3", "s3a", "gs", "https"} and not parts.netloc:
        raise Invalid(f"{field}: {uri!r} names no {'host' if scheme == 'https' else 'bucket'}.", field=field)
    if scheme == "https":
        check_host(uri, field=field, hosts=hosts)


def check_host(url: str, *, field: str, hosts: Collection[str]) -> None:
    """Refuse a URL whose host is not on the owner's list: names, and `*.example.com` for all below one. An empty list
    lets every host pass: what is fetched is fetched by the run's own driver, which could do so anyway."""
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:
        host = ""
    if not host:
        raise Invalid(f"{field}: {url!r} names no host.", field=field)
    if hosts and not any(host == h or (h.startswith("*.") and host.endswith(h[1:])) for h in hosts):
        raise Invalid(f"{field}: the host {host!r} is not among those that this deployment allows.", field=field)


def check_repository(url: str, *, field: str, hosts: Collection[str]) -> None:
    """Refuse a package repository that is no http or https URL, or whose host is not allowed."""
    if not url.lower().startswith(("https://", "http://")) or any(ord(c) < 33 for c in url):
        raise Invalid(f"{field}: {url!r} is no https:// or http:// URL.", field=field)
    check_host(url, field=field, hosts=hosts)


def _in_image(path: str) -> bool:
    return any(posixpath.normpath(path).startswith(root + "/") for root in IMAGE_ROOTS)


def image_uri(uri: str) -> str:
    """The URI as an engine takes it: a bare path of the image becomes `local:` below EMR's own Spark."""
    root = next((root for root in IMAGE_ROOTS if uri.startswith(root + "/")), "")
    return f"local://{EMR_SPARK}{uri.removeprefix(root)}" if root else uri


_CONF_URIS = ("spark.jars", "spark.files", "spark.archives", "spark.submit.pyFiles")
"""Settings that list URIs, as the options of spark-submit do."""


def check_files(
    spec: RunSpec,
    schemes: Collection[str],
    fields: Mapping[str, str] | None = None,
    *,
    hosts: Collection[str] = (),
    late: Collection[str] = (),
) -> None:
    """Apply `check_uri` to every URI of a spec, its conf's included; `fields` maps the attribute's name to the
    dialect's."""
    names = fields or {}
    libraries = spec.preparation.libraries
    named: list[tuple[str, Iterable[str]]] = [
        ("program", (spec.program.resource,) if spec.program.resource and spec.program.kind in FILE_KINDS else ()),
        ("jars", spec.files.jars),
        ("py_files", spec.files.py_files),
        ("files", (f.partition("#")[0] for f in spec.files.files)),
        ("archives", (f.partition("#")[0] for f in spec.files.archives)),
        *(("conf", _listed(spec.conf.get(name, ""))) for name in _CONF_URIS),
        ("libraries", (library.uri for library in libraries if library.uri)),
        ("init_scripts", (script.uri for script in spec.preparation.init_scripts if script.uri)),
    ]
    for attribute, uris in named:
        for uri in uris:
            check_uri(uri, field=names.get(attribute, attribute), schemes=schemes, hosts=hosts, late=late)
    for repository in (*spec.files.repositories, *(library.repo for library in libraries if library.repo)):
        check_repository(repository, field=names.get("libraries", "repositories"), hosts=hosts)
    _check_names(fetched_files(spec), field=names.get("libraries", "libraries"))


def is_fetched(uri: str) -> bool:
    """Whether spark-submit is to fetch a file that the bootstrap needs: what is neither in the image nor on the web."""
    return not is_local(uri) and urlsplit(uri).scheme.lower() not in {"http", "https"}


def is_local(uri: str) -> bool:
    """Whether a URI is a path on the machine that the driver runs on."""
    return urlsplit(uri).scheme.lower() in {"", "local", "file"}


def is_pattern(uri: str) -> bool:
    """Whether a URI is a pattern of such paths, which only that machine can tell the file of."""
    return is_local(uri) and any(sign in uri for sign in "*?[")


def fetched_files(spec: RunSpec) -> tuple[str, ...]:
    """The URIs that spark-submit is to fetch for a run's preparation: of libraries, a Python program's."""
    preparation = spec.preparation
    libraries = preparation.libraries if spec.program.kind in IN_PYTHON else ()
    uris = [*(script.uri for script in preparation.init_scripts), *(library.uri for library in libraries)]
    return tuple(dict.fromkeys(uri for uri in uris if uri and is_fetched(uri)))


def _check_names(uris: Iterable[str], *, field: str) -> None:
    """Refuse two files of one name: Spark fetches them into one directory, where the second would replace the first."""
    known: dict[str, str] = {}
    for uri in uris:
        name = posixpath.basename(uri)
        if known.setdefault(name, uri) != uri:
            raise Invalid(
                f"{field}: {known[name]} and {uri} have the same file name, of which Spark keeps one.", field=field
            )


def _listed(value: str) -> list[str]:
    return [item.strip().partition("#")[0] for item in value.split(",") if item.strip()]
