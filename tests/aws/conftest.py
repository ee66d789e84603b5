"""One package for all tests that look at it."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

from infra.package import TEMPLATE, ZIP, build


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The directory with the template and the zip, made once for all of pytest's processes."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    out = shared / "package"
    with (shared / "package.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "done").exists():
            build(out)
            (out / "done").touch()
    assert (out / ZIP).exists()
    return out


@pytest.fixture(scope="session")
def template(package: Path) -> dict[str, Any]:
    """The template."""
    made: dict[str, Any] = json.loads((package / TEMPLATE).read_text())
    return made
