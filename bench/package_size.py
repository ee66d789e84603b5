"""The size of what is deployed, if `make package` has made it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from bench.rows import Row, Section

PACKAGE = Path("build/package")


def measure() -> Section:
    """The newest zip in build/package: its own size, and that of its files."""
    zips = sorted(PACKAGE.glob("*.zip"), key=lambda path: path.stat().st_mtime)
    if not zips:
        return Section("Package", [], [f"not measured: there is no zip in {PACKAGE}; `make package` makes it"])
    with zipfile.ZipFile(zips[-1]) as opened:
        unzipped = sum(entry.file_size for entry in opened.infolist()) / 1e6
    rows = [
        Row("zip, unzipped", f"{unzipped:.1f} MB", value=unzipped, hold=15, unit="MB"),
        Row("zip, as it is uploaded", f"{zips[-1].stat().st_size / 1e6:.1f} MB"),
    ]
    return Section("Package", rows, ["boto3 comes from the runtime"])
