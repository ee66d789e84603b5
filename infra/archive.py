"""The zip that Lambda runs: Chalice's, without what nothing imports, with bytecode, the same bytes for the same input.

Lambda cannot write beside the code, so what has no bytecode in the zip is compiled again at every cold start. The
bytecode is unchecked: it is never compared with its source, whose date the zip does not keep. Sources stay, for
tracebacks and because the driver's bundle is made of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

UNUSED = (
    "aws_lambda_powertools/event_handler",
    *(
        f"aws_lambda_powertools/utilities/{name}"
        for name in (
            "auth_alpha",
            "circuit_breaker",
            "data_masking",
            "feature_flags",
            "idempotency",
            "kafka",
            "parameters",
            "streaming",
            "validation",
        )
    ),
    "jmespath-*.data",
    "pydantic/v1",
    "*.dist-info/RECORD",
    "*.dist-info/licenses",
    "*.dist-info/sboms",
)
"""Parts of dependencies that the product never imports (a test imports all of the product from the zip)."""

FOREIGN = ("boto3", "botocore", "s3transfer", "moto", "tests", "infra", "sandbox", "bench")
"""What must not be in the zip: the runtime brings boto3, and the rest is not deployed."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_TASK_ROOT = "/var/task"


def finish(packed: Path, out: Path, work: Path) -> None:
    """Make the zip `out` of Chalice's zip `packed`; `work` is an empty directory to do it in."""
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(work)
    prune(work)
    compile_all(work)
    pack(work, out)


def prune(root: Path) -> None:
    """Remove what is never imported. Raises ValueError for what must not be there at all."""
    for pattern in (*UNUSED, "**/__pycache__"):
        for found in list(root.glob(pattern)):
            shutil.rmtree(found) if found.is_dir() else found.unlink()
    foreign = [name for name in FOREIGN if (root / name).exists()]
    if foreign:
        raise ValueError(f"the zip must not contain {', '.join(foreign)}")


def compile_all(root: Path) -> None:
    """Compile every source for this Python, with the paths that it will have on Lambda."""
    command = [sys.executable, "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    where = ["-s", str(root), "-p", _TASK_ROOT, str(root)]
    subprocess.run(command + where, check=True, env={**os.environ, "PYTHONHASHSEED": "0"})


def pack(root: Path, out: Path) -> None:
    """Zip a tree: sorted names, one date, plain modes."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), _EPOCH)
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes(), compresslevel=9)


def unpacked_size(archive: Path) -> int:
    """Bytes of the zip's files, unpacked."""
    with zipfile.ZipFile(archive) as opened:
        return sum(entry.file_size for entry in opened.infolist())
