"""A real browser, headless, where the machine has one: Debian's chromium."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--virtual-time-budget=10000",
)  # fmt: skip

needed = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine (apt install chromium)")


def shown(page: Path, profile: Path) -> str:
    """The document as the browser has it after it has loaded a file."""
    command = [CHROMIUM or "", *FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
