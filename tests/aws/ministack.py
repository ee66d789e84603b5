"""ministack, an AWS emulator that knows CloudFormation: started for a test, on the loopback interface, ended with it.

It lives in an environment of its own (`.venv-ministack`, made on first use), because it pins another botocore.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-ministack"
REQUIREMENTS = ROOT / "requirements-ministack.txt"
READY_WITHIN = 30


def environment() -> Path:
    """The Python of ministack's environment, which is made or renewed if need be."""
    done = VENV / ".done"
    VENV.mkdir(exist_ok=True)
    with (VENV / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.stat().st_mtime < REQUIREMENTS.stat().st_mtime:
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
            pip = [str(VENV / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
            subprocess.run(pip, check=True)
            done.touch()
    return VENV / "bin" / "python"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(home: Path) -> Iterator[str]:
    """A fresh ministack; gives its URL. Everything that it writes is in `home`."""
    port = _free_port()
    own = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "STATE_DIR": str(home / "state"),
        "S3_DATA_DIR": str(home / "s3"),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "LOG_LEVEL": "INFO",
    }
    with (home / "ministack.log").open("wb") as log:
        process = subprocess.Popen(
            [str(environment()), "-m", "ministack"],
            env=own,
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/_ministack/health", home)
            yield f"http://127.0.0.1:{port}"
        finally:
            _end(process)


def _wait(process: subprocess.Popen[bytes], url: str, home: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"ministack did not start:\n{(home / 'ministack.log').read_text()[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End ministack and the functions that it runs: they are in its session, and in no other."""
    for word, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, word)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait(5)
