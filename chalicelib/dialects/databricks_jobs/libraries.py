"""A run's libraries as the files that travel with it. Pure."""

from __future__ import annotations

from dataclasses import replace

from chalicelib.core.errors import Invalid
from chalicelib.core.model import Files
from chalicelib.dialects.databricks_jobs.reading import Locate
from chalicelib.dialects.databricks_jobs.schemas import Library


def library_files(libraries: tuple[Library, ...], locate: Locate) -> Files:
    files = Files()
    for position, library in enumerate(libraries):
        told = [name for name in ("jar", "egg", "whl", "maven", "pypi", "cran") if getattr(library, name) is not None]
        field = f"libraries.{position}"
        if len(told) != 1:
            raise Invalid(f"{field}: exactly one of jar, egg, whl, pypi, maven and cran must be set.", field=field)
        if told[0] in {"pypi", "cran"}:
            raise Invalid(f"{field}: {told[0]} libraries are not supported by this service yet.", field=field)
        files = _with_library(files, library, locate)
    return files


def _with_library(files: Files, library: Library, locate: Locate) -> Files:
    if library.maven:
        repositories = (library.maven.repo,) if library.maven.repo else ()
        return replace(
            files,
            packages=(*files.packages, library.maven.coordinates),
            exclude_packages=(*files.exclude_packages, *library.maven.exclusions),
            repositories=(*files.repositories, *repositories),
        )
    if library.jar:
        return replace(files, jars=(*files.jars, locate(library.jar)))
    return replace(files, py_files=(*files.py_files, locate(library.whl or library.egg or "")))
