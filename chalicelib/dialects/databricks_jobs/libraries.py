"""A run's libraries: JVM ones as files that travel with it, Python and R ones as what is installed before it. Pure.

JVM programs start as they are, so of their libraries only jars and Maven packages have an effect; the others are kept
and shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from chalicelib.core.errors import Invalid
from chalicelib.core.model import Library, LibraryKind, Preparation, RunSpec
from chalicelib.dialects.databricks_jobs import schemas
from chalicelib.dialects.databricks_jobs.reading import Locate

KINDS = ("jar", "egg", "whl", "pypi", "maven", "cran")


def with_libraries(spec: RunSpec, libraries: tuple[schemas.Library, ...], locate: Locate) -> RunSpec:
    """The spec with its libraries (seed 004, "Library"). Raises Invalid."""
    for position, library in enumerate(libraries):
        field = f"libraries.{position}"
        if library.requirements is not None:
            raise Invalid(
                f"{field}: requirements is not part of Jobs API 2.0; name the packages as pypi libraries.", field=field
            )
        told = [kind for kind in KINDS if getattr(library, kind) is not None]
        if len(told) != 1:
            raise Invalid(f"{field}: exactly one of jar, egg, whl, pypi, maven and cran must be set.", field=field)
        spec = _WITH[told[0]](spec, library, locate, f"{field}.{told[0]}")
    return spec


def _jar(spec: RunSpec, library: schemas.Library, locate: Locate, field: str) -> RunSpec:
    return replace(spec, files=replace(spec.files, jars=(*spec.files.jars, locate(library.jar or ""))))


_COORDINATES = re.compile(r"[^\s:,/]+:[^\s:,/]+:[^\s:,/]+")
_EXCLUSION = re.compile(r"[^\s:,/]+:[^\s:,/]+")


def _maven(spec: RunSpec, library: schemas.Library, locate: Locate, field: str) -> RunSpec:
    """Maven coordinates. Without a repository Spark searches Maven Central and Spark Packages by itself."""
    maven = library.maven
    assert maven is not None
    if not _COORDINATES.fullmatch(maven.coordinates):
        raise Invalid(
            f"{field}.coordinates: {maven.coordinates!r} is not of the form groupId:artifactId:version.",
            field=f"{field}.coordinates",
        )
    for exclusion in maven.exclusions:
        if not _EXCLUSION.fullmatch(exclusion):
            raise Invalid(
                f"{field}.exclusions: {exclusion!r} is not of the form groupId:artifactId.", field=f"{field}.exclusions"
            )
    files = spec.files
    repositories = (maven.repo,) if maven.repo and maven.repo not in files.repositories else ()
    files = replace(
        files,
        packages=(*files.packages, maven.coordinates),
        exclude_packages=(*files.exclude_packages, *maven.exclusions),
        repositories=(*files.repositories, *repositories),
    )
    return replace(spec, files=files)


def _file(kind: LibraryKind) -> Callable[[RunSpec, schemas.Library, Locate, str], RunSpec]:
    def add(spec: RunSpec, library: schemas.Library, locate: Locate, field: str) -> RunSpec:
        uri: str = getattr(library, kind)
        ending = f".{kind}"
        if not uri.partition("?")[0].endswith(ending):
            raise Invalid(f"{field}: {uri!r} does not end with {ending}.", field=field)
        return _installed(spec, Library(kind, locate(uri), label=f'{kind}: "{uri}"'))

    return add


_VERSION = r"\s*(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+\s*"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_PYPI = re.compile(rf"{_NAME}\s*(?:\[\s*{_NAME}(?:\s*,\s*{_NAME})*\s*\])?(?:{_VERSION}(?:,{_VERSION})*)?", re.ASCII)
_CRAN = re.compile(r"[A-Za-z][A-Za-z0-9.]*[A-Za-z0-9]", re.ASCII)
MAX_PACKAGE = 500
"""Characters of a package's name with its version."""

_PACKAGES: Mapping[LibraryKind, tuple[re.Pattern[str], str]] = {
    LibraryKind.PYPI: (_PYPI, "a package's name, with or without a version (simplejson, simplejson==3.8.0)"),
    LibraryKind.CRAN: (_CRAN, "a package's name"),
}


def _package(kind: LibraryKind) -> Callable[[RunSpec, schemas.Library, Locate, str], RunSpec]:
    def add(spec: RunSpec, library: schemas.Library, locate: Locate, field: str) -> RunSpec:
        told: schemas.PackageLibrary = getattr(library, kind)
        pattern, expected = _PACKAGES[kind]
        package = told.package.strip()
        if len(package) > MAX_PACKAGE or not pattern.fullmatch(package):
            shown = package if len(package) <= MAX_PACKAGE else f"{package[:MAX_PACKAGE]}..."
            raise Invalid(f"{field}.package: {shown!r} is not {expected}.", field=f"{field}.package")
        repo = f' repo: "{told.repo}"' if told.repo else ""
        label = f'{kind} {{ package: "{package}"{repo} }}'
        return _installed(spec, Library(kind, package, told.repo or "", label))

    return add


def _installed(spec: RunSpec, library: Library) -> RunSpec:
    told: Preparation = spec.preparation
    libraries = told.libraries if library in told.libraries else (*told.libraries, library)
    return replace(spec, preparation=replace(told, libraries=libraries))


_WITH: Mapping[str, Callable[[RunSpec, schemas.Library, Locate, str], RunSpec]] = {
    "jar": _jar,
    "maven": _maven,
    "whl": _file(LibraryKind.WHEEL),
    "egg": _file(LibraryKind.EGG),
    "pypi": _package(LibraryKind.PYPI),
    "cran": _package(LibraryKind.CRAN),
}
