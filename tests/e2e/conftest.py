"""A sandbox for the session, and as many of their own as tests want. See `live`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.cli import VERSIONS, Cli, set_up
from tests.e2e.live import Client, Sandbox

NewSandbox = Callable[..., Sandbox]
Program = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox that tests share: with two drivers at once, and whatever other tests left in its lists."""
    shared = Sandbox(tmp_path_factory.mktemp("sandbox"), SPARKPLANE_MAX_DRIVERS="2")
    try:
        yield shared.start()
    finally:
        shared.end()


@pytest.fixture
def client(sandbox: Sandbox) -> Client:
    return sandbox.client()


@pytest.fixture(params=VERSIONS)
def cli(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Cli:
    """databricks-cli, in each of its versions."""
    return set_up(request.param, sandbox, tmp_path)


@pytest.fixture
def new_sandbox(tmp_path: Path) -> Iterator[NewSandbox]:
    """Makes sandboxes (not started) that end with the test."""
    made: list[Sandbox] = []

    def make(**environment: str) -> Sandbox:
        made.append(Sandbox(tmp_path / f"home{len(made)}", **environment))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Writes a program and gives its path."""
    directory = tmp_path_factory.mktemp("programs")

    def write(name: str, source: str) -> Path:
        path = directory / name
        path.write_text(source)
        return path

    return write


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failed test shows the end of its sandbox's log."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    funcargs = getattr(item, "funcargs", {})
    for one in (funcargs.get("sandbox"), *_made(funcargs.get("new_sandbox"))):
        if report.failed and isinstance(one, Sandbox) and (one.home / "log").exists():
            report.sections.append((f"log of the sandbox in {one.home}", one.log()))


def _made(factory: object) -> list[Sandbox]:
    cells = getattr(factory, "__closure__", None) or ()
    return [one for cell in cells for one in (cell.cell_contents if isinstance(cell.cell_contents, list) else [])]
