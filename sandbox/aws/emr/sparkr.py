"""SparkR for R programs: Spark's own where the Spark that runs has it, else the sandbox's (the package in `r/`).

The pyspark package has the JVM's half of SparkR and lacks R's. Spark's RRunner looks for R's half in
SPARK_HOME/R/lib, so the sandbox's is installed, once for each R, into a directory beside the class archive that is laid
out like SPARK_HOME, and R programs have that one as their SPARK_HOME. Nothing is done before the first R program.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sandbox.aws.emr.spark import SparkHome
from sandbox.aws.emr.submission import BadSubmission

PACKAGE = Path(__file__).parent / "r" / "SparkR"

# As Spark's RRunner chooses it.
_COMMANDS = ("spark.r.driver.command", "spark.r.command")
_INSTALL = """
words <- c("CMD", "INSTALL", "--no-docs", "--no-test-load", paste0("--library=", shQuote(commandArgs(TRUE)[1])))
quit(status = system2(file.path(R.home("bin"), "R"), c(words, shQuote(commandArgs(TRUE)[2]))))
"""


def is_program(entry_point: str) -> bool:
    """Whether Spark takes the entry point for an R program."""
    return entry_point.endswith(".R")


def home(spark: SparkHome, conf: Mapping[str, str], environment: Mapping[str, str]) -> Path:
    """The SPARK_HOME for an R program; raises BadSubmission when R is missing or does not take the package."""
    wanted = next((conf[key] for key in _COMMANDS if key in conf), "Rscript")
    rscript = shutil.which(wanted, path=environment.get("PATH", os.environ.get("PATH")))
    if rscript is None:
        raise BadSubmission(f"R programs need R, and there is no {wanted} on this machine: apt install r-base-core.")
    if (spark.path / "R" / "lib" / "SparkR").is_dir():
        return spark.path
    if spark.extra is None:
        raise BadSubmission("R programs need SparkR, which this Spark does not contain.")
    found = spark.extra.with_name(f"{spark.extra.name}-r-{_key(Path(rscript))}")
    if not found.exists():
        _install(rscript, spark, spark.extra, found)
    return found


def _key(rscript: Path) -> str:
    """One word for this package and this R."""
    digest = hashlib.sha256(f"{rscript.resolve()} {rscript.stat().st_mtime_ns}".encode())
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _install(rscript: str, spark: SparkHome, image: Path, target: Path) -> None:
    """Makes `target` whole or not at all; of two at once the first one counts."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="building-r-") as work:
        new = Path(work) / "home"
        library = new / "R" / "lib"
        library.mkdir(parents=True)
        command = [rscript, "--vanilla", "-e", _INSTALL, str(library), str(PACKAGE)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=work)
        if done.returncode or not (library / "SparkR").is_dir():
            said = (done.stderr or done.stdout).strip()[-300:]
            raise BadSubmission(f"R does not take the sandbox's SparkR: {said}")
        (new / "jars").symlink_to(spark.path / "jars")
        (new / "examples").symlink_to(Path("..", image.name, "examples"))  # they may be moved together
        try:
            new.rename(target)
        except OSError:
            if not target.exists():
                raise
