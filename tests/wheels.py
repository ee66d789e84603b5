"""Wheels and eggs written by hand, and an index on loopback that serves them. Nothing is built or fetched."""

from __future__ import annotations

import functools
import http.server
import pathlib
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


def wheel(
    directory: pathlib.Path,
    name: str,
    version: str = "1.0",
    files: Mapping[str, str] | None = None,
    requires: Sequence[str] = (),
) -> pathlib.Path:
    """A pure wheel of a package of this name; `files` are beside its `__init__.py`, which says its version."""
    inside = {f"{name}/__init__.py": f"VERSION = {version!r}\n", **(files or {})}
    info = f"{name}-{version}.dist-info"
    metadata = "".join(f"Requires-Dist: {each}\n" for each in requires)
    inside[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}"
    inside[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    inside[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*inside, f"{info}/RECORD"])
    return archive(directory / f"{name}-{version}-py3-none-any.whl", inside)


def egg(directory: pathlib.Path, name: str, files: Mapping[str, str] | None = None) -> pathlib.Path:
    """An egg of a package of this name."""
    inside = {f"{name}/__init__.py": "VERSION = 'egg'\n", "EGG-INFO/PKG-INFO": f"Name: {name}\n", **(files or {})}
    return archive(directory / f"{name}-1.0-py3.egg", inside)


def archive(path: pathlib.Path, files: Mapping[str, str]) -> pathlib.Path:
    """A zip of these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return path


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served(directory: pathlib.Path) -> Iterator[str]:
    """The URL of a directory on a web server."""
    handler = functools.partial(_Quiet, directory=str(directory))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def index(directory: pathlib.Path, *wheels: pathlib.Path) -> Iterator[str]:
    """The URL of a simple index (PEP 503) that has these wheels."""
    for path in wheels:
        project = directory / "simple" / path.name.partition("-")[0].replace("_", "-")
        project.mkdir(parents=True, exist_ok=True)
        (project / path.name).write_bytes(path.read_bytes())
        links = "".join(f'<a href="{each.name}">{each.name}</a>\n' for each in sorted(project.glob("*.whl")))
        (project / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    (directory / "simple").mkdir(exist_ok=True)
    with served(directory) as url:
        yield f"{url}/simple"
