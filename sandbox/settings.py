"""What an owner of a sandbox decides, from the environment; and where things lie below its home."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REGION = "us-east-1"
TABLE = "sparkplane"
BUCKET = "sparkplane"
WORKSPACE = "main"
ROLE = "arn:aws:iam::123456789012:role/sparkplane-driver"


class SettingError(Exception):
    """A setting that cannot be right; the text names it."""


@dataclass(frozen=True)
class Settings:
    """`max_drivers` is how many drivers may run at once in the default pool (None keeps what it has); `local_files`
    allows the owner's files. `pip` is what drivers find in their environment so that pip works there as its owner's
    does, by the owner's files and PIP_ variables; nothing where the owner's files are not allowed. `history_idle` is
    the seconds after which a history server that nobody uses ends."""

    home: Path
    port: int
    token: str
    engine_python: Path
    max_drivers: int | None
    local_files: bool
    history_idle: int | None = None
    pip: Mapping[str, str] = field(default_factory=dict)

    @property
    def schemes(self) -> str:
        """The URI schemes that submissions may use."""
        return "s3,s3a,https,local" + (",file" if self.local_files else "")


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The settings; makes the home, and a token that stays the same over restarts unless one is given.

    Raises SettingError, and OSError for a home that cannot be made.
    """
    home = Path(environment.get("SPARKPLANE_HOME", ".sandbox")).absolute()
    home.mkdir(parents=True, exist_ok=True)
    local_files = environment.get("SPARKPLANE_LOCAL_FILES", "1") != "0"
    return Settings(
        home=home,
        port=_number(environment, "SPARKPLANE_PORT", most=65_535) or 8080,
        token=environment.get("SPARKPLANE_TOKEN") or _kept(home / "token", f"spk_{WORKSPACE}_"),
        engine_python=Path(environment.get("SPARKPLANE_ENGINE_PYTHON", ".venv-engine/bin/python")).absolute(),
        max_drivers=_number(environment, "SPARKPLANE_MAX_DRIVERS", most=10_000),
        local_files=local_files,
        history_idle=_number(environment, "SPARKPLANE_HISTORY_IDLE_SECONDS", most=86_400 * 365),
        pip=_pip(environment) if local_files else {},
    )


def _pip(environment: Mapping[str, str]) -> dict[str, str]:
    own = {name: value for name, value in environment.items() if name.startswith("PIP_")}
    return {**own, "SPARKPLANE_PIP_CONFIG": "1"}


def _number(environment: Mapping[str, str], name: str, *, most: int) -> int | None:
    text = environment.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= most):
        raise SettingError(f"{name} is {text!r}; it must be a number from 1 to {most}.")
    return int(text)


def _kept(path: Path, prefix: str) -> str:
    """A secret text that is made once and kept in a file that only its owner can read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(prefix + secrets.token_urlsafe(24))
    return path.read_text().strip()
