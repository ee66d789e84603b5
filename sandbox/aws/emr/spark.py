"""The Spark and the Java that the sandbox runs drivers with, and what makes their start quick.

`find` locates both once, at start; `ensure_archive` and `ensure_examples` do the slow set-up (less than a minute, once
per Java build and pyspark version) and are called by whoever sets the sandbox up. All results are values; the
engine gets a finished `SparkHome`.

Drivers are started as `java … org.apache.spark.deploy.SparkSubmit` directly. Which classpath and options that takes is
asked of Spark's own launcher, once per version, so nothing of Spark's command line is guessed here, and the class-data
archive stays valid, since it holds only for the very same classpath.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.aws.emr.image import OWN_EXAMPLES, Image
from sandbox.aws.emr.records import read_json, write_json

JAVA_NEEDED = 17
MASTER_CLASS = "org.apache.spark.deploy.SparkSubmit"

# What makes a short run on one machine quick. The C1 compiler alone warms up sooner and peaks lower than C1 and C2
# together, and the serial collector starts sooner than G1; long, heavy jobs want the JVM's own defaults instead
# (`quick=False`), which a job can also choose for itself in spark.driver.extraJavaOptions.
QUICK_OPTIONS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

_WARM_UP = Path(__file__).parent / "warm_up.py"


def _run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; the caller looks at how that was."""
    return subprocess.run(command, check=False, capture_output=True, text=True, **options)


class SetUpError(Exception):
    """Something that the sandbox needs is missing; the text says what to install."""


@dataclass(frozen=True)
class Java:
    """A JVM: its `java` program, feature version, and the text that tells one build from another."""

    program: Path
    version: int
    build: str


@dataclass(frozen=True)
class SparkHome:
    """A Spark to run: `path` is its SPARK_HOME, `python` the interpreter that has pyspark.

    `command` is what the launcher starts a driver with, split where the memory and the driver's own options go.
    `archive` is the class-data archive to start with, `extra` a directory laid out like SPARK_HOME with what the
    package lacks. `quick` selects QUICK_OPTIONS; the archive works either way, but for a collector other than the
    archive's own it is a little slower.
    """

    java: Java
    python: Path
    path: Path
    version: str
    classpath: str
    options: tuple[str, ...]
    archive: Path | None = None
    extra: Path | None = None
    quick: bool = True

    @property
    def image(self) -> Image:
        return Image(self.path, *([self.extra] if self.extra else []))


def find_java(environment: Mapping[str, str]) -> Java:
    """The Java of JAVA_HOME, else of PATH; raises SetUpError when there is none or it is too old."""
    home = environment.get("JAVA_HOME")
    program = f"{home}/bin/java" if home else shutil.which("java", path=environment.get("PATH"))
    advice = (
        f"Spark needs Java {JAVA_NEEDED} or newer. Install it (Debian and Ubuntu: apt install openjdk-17-jre-headless; "
        "macOS: brew install openjdk@17) and have `java` on PATH, or set JAVA_HOME to it."
    )
    if not program or not os.access(program, os.X_OK):
        raise SetUpError(f"{f'JAVA_HOME is {home}, but it has no bin/java' if home else 'No Java was found'}. {advice}")
    asked = _run([program, "-XshowSettings:properties", "-version"])
    told = asked.stdout + asked.stderr
    # `program` may be a mere starter (/usr/bin/java of macOS); java.home is where the real one is.
    settings = dict(re.findall(r"^ *(java\.[a-z.]+) = (.*)$", told, re.MULTILINE))
    found = re.match(r"(?:1\.)?(\d+)", settings.get("java.version", ""))
    if not found:
        raise SetUpError(f"{program} does not run: {told.strip()[:200]}. {advice}")
    if int(found[1]) < JAVA_NEEDED:
        raise SetUpError(f"{program} is Java {found[1]}. {advice}")
    build = " ".join(settings.get(f"java.vm.{name}", "") for name in ("name", "version", "vendor"))
    return Java(Path(settings["java.home"]) / "bin" / "java", int(found[1]), build)


def find(python: Path, environment: Mapping[str, str], cache: Path) -> SparkHome:
    """The Spark of the pyspark package that `python` has. `cache` keeps what the launcher said, per version."""
    java, python, cache = find_java(environment), python.absolute(), cache.absolute()
    if not os.access(python, os.X_OK):
        raise SetUpError(f"{python} is missing: the Python that has pyspark (`make run` makes it for the sandbox).")
    packages = _run([str(python), "-I", "-c", "import importlib.util as u; print(u.find_spec('pyspark').origin)"])
    if packages.returncode:
        raise SetUpError(f"{python} has no pyspark: install the package pyspark there.")
    path = Path(packages.stdout.strip()).parent
    version = _pyspark_version(path)
    classpath, options = _ask_launcher(java, path, version, cache)
    return SparkHome(java, python, path, version, classpath, options)


def _pyspark_version(path: Path) -> str:
    found = re.search(r"""__version__.*=\s*["']([^"']+)["']""", (path / "version.py").read_text("utf-8"))
    if not found:
        raise SetUpError(f"The pyspark package at {path} does not tell its version.")
    return found[1]


def _key(java: Java, path: Path, version: str) -> str:
    """One word for this Java build and this pyspark at this place: what an archive and a command line hold for."""
    text = json.dumps([str(java.program), java.build, str(path), version])
    return f"{version}-java{java.version}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _ask_launcher(java: Java, path: Path, version: str, cache: Path) -> tuple[str, tuple[str, ...]]:
    """The classpath and JVM options that Spark's launcher would start a driver with."""
    remembered = cache / f"launcher-{_key(java, path, version)}.json"
    known = read_json(remembered)
    if known is None:
        command = [str(java.program), "-Xmx128m", "-cp", f"{path}/jars/*", "org.apache.spark.launcher.Main"]
        core = next((path / "jars").glob("spark-core_*.jar")).name
        asked = _run(
            [*command, MASTER_CLASS, "--driver-memory", "1g", "spark-internal"],
            env={
                "SPARK_HOME": str(path),
                "JAVA_HOME": str(java.program.parent.parent),
                "SPARK_SCALA_VERSION": core.removeprefix("spark-core_").partition("-")[0],
            },
        )
        # The launcher says "\0\n", and then each word followed by "\0".
        words = asked.stdout.partition("\0\n")[2].split("\0")
        if MASTER_CLASS not in words or "-cp" not in words:
            raise SetUpError(f"Spark's launcher in {path} does not answer: {asked.stderr.strip()[-400:]}")
        at = words.index("-cp")
        options = [word for word in words[at + 2 : words.index(MASTER_CLASS)] if not word.startswith("-Xmx")]
        known = {"classpath": words[at + 1], "options": options}
        cache.mkdir(parents=True, exist_ok=True)
        write_json(remembered, known)
    return known["classpath"], tuple(known["options"])


def ensure_archive(spark: SparkHome, cache: Path, progress: Callable[[str], None]) -> Path | None:
    """The archive of the classes that a driver loads at start (AppCDS), built when it is not there yet.

    Building runs one small Spark program and takes less than a minute and some 170 MB of disk, once per Java build and
    pyspark version; `cache` keeps one archive. None, with the reason told to `progress`, when this Java cannot build
    one: drivers then start without, only slower.
    """
    archive = cache / f"classes-{_key(spark.java, spark.path, spark.version)}.jsa"
    if archive.exists():
        return archive
    progress(f"Preparing Spark {spark.version} for quick starts (once, less than a minute)")
    with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as work:
        new = Path(work) / "classes.jsa"
        command = driver_command(
            replace(spark, archive=None),
            memory="1g",
            java_options=[f"-XX:ArchiveClassesAtExit={new}"],
            submit=["--master", "local[2]", "--conf", "spark.ui.enabled=false", str(_WARM_UP)],
        )
        built = _run(command, cwd=work, env={**driver_environment(spark), "PATH": os.environ.get("PATH", "")})
        if built.returncode or not new.exists():
            reason = (built.stderr or built.stdout).strip()[-300:]
            progress(f"No class archive could be built; drivers start without it, slower. The reason: {reason}")
            return None
        for old in cache.glob("classes-*.jsa"):
            old.unlink(missing_ok=True)
        new.replace(archive)
    return archive


def ensure_examples(spark: SparkHome, cache: Path, progress: Callable[[str], None]) -> Path:
    """A directory laid out like SPARK_HOME with the examples that the package may lack: our own, from `examples/`.

    The examples' jar is compiled here. Without a `javac` there is none, and `progress` is told so.
    """
    root = cache / f"image-{_key(spark.java, spark.path, spark.version)}"
    shutil.copytree(OWN_EXAMPLES / "src", root / "examples" / "src", dirs_exist_ok=True)
    if not any((spark.path / "examples" / "jars").glob("spark-examples*.jar")):
        _ensure_jar(spark, root / "examples" / "jars", progress)
    return root


def _ensure_jar(spark: SparkHome, jars: Path, progress: Callable[[str], None]) -> None:
    core = next((spark.path / "jars").glob("spark-core_*.jar")).name
    jar = jars / core.replace("spark-core", "spark-examples")
    sources = sorted((OWN_EXAMPLES / "java").rglob("*.java"))
    if jar.exists() and jar.stat().st_mtime >= max(source.stat().st_mtime for source in sources):
        return
    javac = spark.java.program.parent / "javac"
    if not javac.exists():
        progress("No javac beside this Java, so there is no spark-examples*.jar (install a JDK to have it).")
        return
    with tempfile.TemporaryDirectory() as classes:
        options = ["--release", str(JAVA_NEEDED), "-nowarn", "-cp", f"{spark.path}/jars/*", "-d", classes]
        done = _run([str(javac), *options, *map(str, sources)])
        if done.returncode:
            raise SetUpError(f"The examples do not compile against Spark {spark.version}: {done.stderr[-400:]}")
        _pack(Path(classes), jar)


def _pack(classes: Path, jar: Path) -> None:
    jar.parent.mkdir(parents=True, exist_ok=True)
    new = jar.with_suffix(".new")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\n\r\n")
        for path in sorted(classes.rglob("*.class")):
            packed.write(path, path.relative_to(classes).as_posix())
    new.replace(jar)


def prepare(
    python: Path, environment: Mapping[str, str], cache: Path, progress: Callable[[str], None], *, quick: bool = True
) -> SparkHome:
    """`find` and both set-ups in one: the SparkHome that the engine is given."""
    spark = replace(find(python, environment, cache), quick=quick)
    cache = cache.absolute()
    extra = ensure_examples(spark, cache, progress)
    return replace(spark, archive=ensure_archive(spark, cache, progress), extra=extra)


def driver_command(
    spark: SparkHome, *, memory: str, java_options: list[str], submit: list[str], class_path: str | None = None
) -> list[str]:
    """The whole command that starts a driver. The caller's Java options come after ours, so that they win."""
    classpath = f"{class_path}:{spark.classpath}" if class_path else spark.classpath
    ours = list(_our_options(spark, java_options, archive=class_path is None))
    head = [str(spark.java.program), "-cp", classpath, f"-Xmx{memory}", *ours]
    return [*head, *java_options, *spark.options, MASTER_CLASS, *submit]


def _our_options(spark: SparkHome, asked: list[str], archive: bool) -> Iterator[str]:
    """Our choices, less those that what was asked for contradicts (two collectors are an error to the JVM)."""
    if spark.quick:
        names_a_collector = any(re.fullmatch(r"-XX:[+-]Use\w+GC", option) for option in asked)
        yield from (option for option in QUICK_OPTIONS if not ("GC" in option and names_a_collector))
    names_an_archive = any("SharedArchive" in option or option.startswith("-Xshare") for option in asked)
    if spark.archive and archive and not names_an_archive:
        yield f"-XX:SharedArchiveFile={spark.archive}"
        # An archive that does not fit is ignored, as it should be; the JVM would say so on the program's own output.
        yield "-Xlog:cds=off"
        yield "-Xlog:cds+dynamic=off"


def driver_environment(spark: SparkHome) -> dict[str, str]:
    """The variables that spark-submit's scripts would set for a driver."""
    return {
        "JAVA_HOME": str(spark.java.program.parent.parent),
        "SPARK_HOME": str(spark.path),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_ENV_LOADED": "1",
        "PYSPARK_PYTHON": str(spark.python),
        "PYSPARK_DRIVER_PYTHON": str(spark.python),
        "PYTHONHASHSEED": "0",
    }
