"""Installs a run's own Python and R libraries, for that run alone, before its program starts. Called by `bootstrap`.

Libraries from an index and wheels are installed by pip into a directory of the run, those with the same repository
together, so that what they need of one another is resolved once. An egg is unpacked. Executors of other machines get
the same directory as an archive (`spark_hook`).

pip is the one of the Python that runs the driver. It reads no configuration file of the machine, unless who set the
machine up says so with SPARKPLANE_PIP_CONFIG=1 in the driver's environment (the sandbox does, for its owner's own
laptop); the run's own environment variables (PIP_INDEX_URL and the like) always count.
"""

from __future__ import annotations

import os
import sys

from .archives import BadArchive, check_wheel, unpack_egg
from .console import say
from .program import Unavailable
from .relay import relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    Library = Mapping[str, str]
    Fetch = Callable[[str], str]

CRAN = "https://cloud.r-project.org"
ARCHIVE = "sparkplane_libraries"
INSTALLED = "SPARKPLANE_LIBRARIES"
TOLD_CHARACTERS = 1_500
# Spark's own: what stands beside the driver's JVM must be what the JVM speaks to.
_OF_SPARK = ("pyspark", "py4j")
_R_SCRIPT = """
wanted <- commandArgs(trailingOnly = TRUE)
install.packages(wanted[1], lib = wanted[2], repos = wanted[3])
if (!requireNamespace(wanted[1], lib.loc = wanted[2], quietly = TRUE)) quit(status = 1)
"""


class LibraryNotInstalled(Exception):
    """A library cannot be had: the user's mistake, as Databricks words it."""

    def __init__(self, library: Library, reason: str) -> None:
        told = reason if len(reason) <= TOLD_CHARACTERS else f"{reason[:TOLD_CHARACTERS]}..."
        label = library.get("label") or f'{library["kind"]}: "{library["name"]}"'
        super().__init__(
            f"Library installation failed for library due to user error for {label}. Error messages: {told}"
        )


class Installed:
    """What was installed: `python` directories (first ones first on the path), all below `root`."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.python: list[str] = []

    def new_directory(self) -> str:
        """A new directory below the root; its place in the Python path is the order of making."""
        directory = os.path.join(self.root, str(len(os.listdir(self.root))))
        os.mkdir(directory)
        return directory

    def archive(self) -> str:
        """A zip of the root, with the name under which it is to be unpacked: for `SparkContext.addArchive`."""
        import shutil

        return shutil.make_archive(self.root, "zip", self.root) + f"#{ARCHIVE}"


def install(libraries: Sequence[Library], fetch: Fetch) -> Installed:
    """Install every library and put them on this process's path; `fetch` gives the local path of a URI (or raises
    Unavailable). Raises LibraryNotInstalled for the first one that cannot be had."""
    import atexit
    import shutil
    import tempfile

    root = tempfile.mkdtemp(prefix="libraries-")
    owner = os.getpid()

    def tidy() -> None:
        if os.getpid() == owner:  # a forked child must leave it
            shutil.rmtree(root, ignore_errors=True)

    atexit.register(tidy)
    installed = Installed(root)
    _with_pip([each for each in libraries if each["kind"] in ("pypi", "whl")], fetch, installed)
    for library in libraries:
        if library["kind"] == "egg":
            _egg(library, fetch, installed)
        elif library["kind"] == "cran":
            _cran(library, installed)
    _put_on_path(installed.python)
    os.environ[INSTALLED] = os.pathsep.join(installed.python)
    return installed


def put_on_workers_path(context: Any) -> None:
    """Let Python workers of a SparkContext find what this process or its parent installed: workers on this machine
    where it is, others in the archive, which they unpack in their working directory."""
    directories = [each for each in os.environ.get(INSTALLED, "").split(os.pathsep) if each]
    if not directories:
        return
    if not is_local(context):
        directories = [f"./{ARCHIVE}/{os.path.basename(each)}" for each in directories]
    known = [each for each in context.environment.get("PYTHONPATH", "").split(os.pathsep) if each]
    context.environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*directories, *known]))


def is_local(context: Any) -> bool:
    """Whether a SparkContext's tasks run in its driver."""
    return str(context.master).partition("[")[0] == "local"


def _put_on_path(directories: Sequence[str]) -> None:
    import importlib

    if not directories:
        return
    sys.path[1:1] = directories
    os.environ["PYTHONPATH"] = os.pathsep.join([*directories, *filter(None, [os.environ.get("PYTHONPATH")])])
    commands = [os.path.join(each, "bin") for each in directories]
    os.environ["PATH"] = os.pathsep.join([*filter(os.path.isdir, commands), os.environ.get("PATH", os.defpath)])
    importlib.invalidate_caches()


def _with_pip(libraries: Sequence[Library], fetch: Fetch, installed: Installed) -> None:
    from importlib.util import find_spec

    if libraries and find_spec("pip") is None:
        raise LibraryNotInstalled(libraries[0], f"pip is not installed for the driver's Python ({sys.executable}).")
    wanted = [(library, _requirement(library, fetch)) for library in libraries]
    for repository in dict.fromkeys(library.get("repo", "") for library in libraries):
        together = [(library, text) for library, text in wanted if library.get("repo", "") == repository]
        directory = installed.new_directory()
        told = _pip([text for _, text in together], repository, directory)
        if told:
            raise _culprit(together, repository, installed, told)
        _without_spark(directory)
        installed.python.append(directory)


def _requirement(library: Library, fetch: Fetch) -> str:
    """What pip is to install: a name, or the path of a wheel that has been looked at."""
    if library["kind"] == "pypi":
        return library["name"]
    try:
        path = fetch(library["name"])
        check_wheel(path)
    except (Unavailable, BadArchive) as error:
        raise LibraryNotInstalled(library, str(error)) from None
    return path


def _culprit(
    together: Sequence[tuple[Library, str]], repository: str, installed: Installed, told: str
) -> LibraryNotInstalled:
    """Which library to blame for an installation that failed: the first that fails alone, or all when each is well."""
    if len(together) == 1:
        return LibraryNotInstalled(together[0][0], told)
    say("the libraries could not be installed together; trying each alone to tell which")
    for library, text in together:
        alone = _pip([text], repository, installed.new_directory())
        if alone:
            return LibraryNotInstalled(library, alone)
    labels = ", ".join(library.get("label") or library["name"] for library, _ in together)
    return LibraryNotInstalled({**together[0][0], "label": f"{labels} together"}, told)


def _pip(requirements: Sequence[str], repository: str, directory: str) -> str:
    """Install into a directory; empty when that went well, else pip's own reason."""
    command = [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-compile"]
    command += ["--no-warn-script-location", "--progress-bar", "off", "--target", directory]
    command += ["--index-url", repository] if repository else []
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if environment.get("SPARKPLANE_PIP_CONFIG") != "1":
        environment["PIP_CONFIG_FILE"] = os.environ.get("PIP_CONFIG_FILE", os.devnull)
    status, lines = relay([*command, "--", *requirements], environment)
    return _reason(lines, status) if status else ""


def _reason(lines: Sequence[str], status: int) -> str:
    """pip's errors; of other output its last line."""
    errors = [line.strip().partition("ERROR: ")[2] for line in lines if line.strip().startswith("ERROR: ")]
    said = [line.strip() for line in lines if line.strip()]
    return " ".join(errors) or (said[-1] if said else f"pip ended with status {status}.")


def _without_spark(directory: str) -> None:
    """Take Spark's own Python packages out again, which a library may have brought along."""
    import shutil

    for name in os.listdir(directory):
        if name in _OF_SPARK or name.endswith(".dist-info") and name.partition("-")[0] in _OF_SPARK:
            shutil.rmtree(os.path.join(directory, name))
            if name in _OF_SPARK:
                say(f"{name} came with a library; the driver keeps Spark's own")


def _egg(library: Library, fetch: Fetch, installed: Installed) -> None:
    directory = installed.new_directory()
    try:
        unpack_egg(fetch(library["name"]), directory)
    except (Unavailable, BadArchive) as error:
        raise LibraryNotInstalled(library, str(error)) from None
    installed.python.append(directory)


def _cran(library: Library, installed: Installed) -> None:
    """Install an R package into the run's own R library, which R programs of this driver find first."""
    import shutil

    program = shutil.which("Rscript")
    if program is None:
        raise LibraryNotInstalled(
            library, f"R is not installed where the driver runs: there is no Rscript for {library['name']}."
        )
    directory = os.path.join(installed.root, "R")
    os.makedirs(directory, exist_ok=True)
    command = [program, "-e", _R_SCRIPT, library["name"], directory, library.get("repo") or CRAN]
    status, lines = relay(command, os.environ)
    if status:
        said = [line.strip() for line in reversed(lines) if line.strip()]
        named = [line for line in said if library["name"] in line]  # R ends with advice that is the same for all
        raise LibraryNotInstalled(library, (named or said or [f"Rscript ended with status {status}."])[0])
    paths = os.environ.get("R_LIBS", "").split(os.pathsep)
    os.environ["R_LIBS"] = os.pathsep.join(dict.fromkeys([directory, *filter(None, paths)]))
