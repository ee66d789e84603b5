"""A main class that the bootstrap calls in a real spark-submit, on the engines that are installed: how it starts,
how it ends, and what it leaves in a volume."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib.driver.bundle import bundle, launch_file
from tests.e2e.test_driver_bootstrap import RUN, Engine, engine
from tests.unit.test_driver_volumes import World

__all__ = ["engine"]

MAIN = """
import java.nio.file.*;

public class Main {
    public static void main(String[] args) throws Exception {
        Path place = Path.of(args[1]).getParent();
        System.out.println("ARGUMENTS " + args[2] + " " + Files.readString(Path.of(args[1])));
        System.out.println("THREAD " + Thread.currentThread().getName() + Thread.currentThread().isDaemon());
        System.out.println("LOADED " + Class.forName("Main", true, Thread.currentThread().getContextClassLoader()));
        Files.writeString(place.resolve("out.txt"), "left");
        if (args[0].equals("throw")) throw new ClassNotFoundException("thrown by main");
        if (args[0].equals("exit")) System.exit(Integer.parseInt(args[2]));
        if (args[0].equals("halt")) Runtime.getRuntime().halt(5);
        if (args[0].equals("stay")) { System.out.println("STAYS"); Thread.sleep(60000); }
    }

    static class Hidden { public static void main(String[] args) { } }
    public static class Own { public void main(String[] args) { } }
    public static class Broken { static { Integer.parseInt("x"); } public static void main(String[] args) { } }
}
"""

Submit = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def jar(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A jar with `Main`, compiled here, whose manifest names it."""
    if not shutil.which("javac"):
        pytest.skip("there is no javac: it takes a JDK to make a jar")
    work = tmp_path_factory.mktemp("java")
    (work / "Main.java").write_text(MAIN)
    subprocess.run(["javac", "--release", "17", "Main.java"], cwd=work, check=True, timeout=120)
    classes = sorted(path.name for path in work.glob("*.class"))
    subprocess.run(["jar", "cfe", "main.jar", "Main", *classes], cwd=work, check=True, timeout=120)
    return work / "main.jar"


@pytest.fixture
def world() -> Iterator[World]:
    """A control plane with a volume that has one file."""
    world = World()
    world.files[0] = {"in.txt": b"read"}
    yield world
    world.close()


@pytest.fixture
def submit(engine: Engine, jar: pathlib.Path, world: World, tmp_path: pathlib.Path) -> Iterator[Submit]:
    """Starts the bootstrap as EMR would for a JAR with a volume, `Main` unless another class is named."""
    started: list[subprocess.Popen[str]] = []

    def submit(*arguments: str, main_class: str = "Main", uri: str = "", fetched: bool = False) -> Any:
        (tmp_path / "driver.zip").write_bytes(bundle())
        config = {
            "run": RUN, "api": world.url, "secret": "secret", "environment": {}, "image_roots": [],
            "program": {"uri": uri or ("s3://bucket/main.jar" if fetched else f"local://{jar.parent}/ma*.jar"),
                        "arguments": arguments, "language": "jar", "main_class": main_class},
            "volumes": [{"name": "own", "mount_path": "/myapp", "read_only": False}],
        }  # fmt: skip
        (tmp_path / "launch.py").write_text(launch_file(config))
        jars = ["--jars", str(jar)] if fetched else []
        command = [str(engine.home / "bin" / "spark-submit"), "--master", "local[1]", *jars]
        command += ["--py-files", str(tmp_path / "driver.zip"), str(tmp_path / "launch.py")]
        environment = {
            "PATH": os.environ["PATH"], "SPARK_HOME": str(engine.home), "PYSPARK_PYTHON": str(engine.python),
            "SPARK_LOCAL_IP": "127.0.0.1",
            **{name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ},
        }  # fmt: skip
        process = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield submit
    for process in started:
        process.kill()
        process.communicate()


def test_a_main_class_finds_its_arguments_class_loader_thread_and_volume(submit: Submit, world: World) -> None:
    process = submit("return", "/myapp/in.txt", "a b")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output.splitlines() == ["ARGUMENTS a b read", "THREAD mainfalse", "LOADED class Main"]
    assert world.files[0] == {"in.txt": b"read", "out.txt": b"left"}
    told = world.reports[-1]
    assert (told["exit_code"], told["error"], told["finished"]) == (0, None, True) and told["spark_version"]


def test_an_exception_is_shown_as_the_jvm_shows_it_and_reported(submit: Submit, world: World) -> None:
    process = submit("throw", "/myapp/in.txt", "x", main_class="", fetched=True)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert 'Exception in thread "main" java.lang.ClassNotFoundException: thrown by main\n\tat Main.main(' in errors
    told = world.reports[-1]["error"]
    assert (told["type"], told["message"]) == ("java.lang.ClassNotFoundException", "thrown by main")
    assert "\n\tat Main.main(Main.java:" in told["traceback"]
    assert world.files[0]["out.txt"] == b"left"


@pytest.mark.parametrize("code", [0, 4])
def test_an_exit_of_the_jvm_keeps_its_code_and_what_was_left_is_stored(submit: Submit, world: World, code: int) -> None:
    process = submit("exit", "/myapp/in.txt", str(code))
    process.communicate(timeout=120)
    assert process.returncode == code
    assert world.files[0]["out.txt"] == b"left"
    assert not world.reports, "its code is the process's to tell"


def test_what_cannot_be_stored_fails_even_a_program_that_exits_with_nought(submit: Submit, world: World) -> None:
    world.broken = {"PUT": [403] * 9}
    process = submit("exit", "/myapp/in.txt", "0")
    process.communicate(timeout=120)
    assert process.returncode == 1
    told = world.reports[-1]
    assert (told["exit_code"], told["error"]["type"]) == (1, "sparkplane.Volume")
    assert told["error"]["message"].startswith("What the program left in the volume own could not be stored: ")


def test_a_jvm_that_is_asked_to_stop_has_what_was_left_stored_first(submit: Submit, world: World) -> None:
    process = submit("stay", "/myapp/in.txt", "x")
    assert any("STAYS" in line for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert world.files[0]["out.txt"] == b"left"


def python_of(jvm: subprocess.Popen[str]) -> int:
    """The Python that a driver's JVM started; the JVM has other children at times, such as Hadoop's shells."""
    threads = pathlib.Path(f"/proc/{jvm.pid}/task").glob("*/children")
    children = {int(child) for thread in threads for child in thread.read_text().split()}
    (python,) = (child for child in children if b"launch.py" in command_of(child))
    return python


def command_of(pid: int) -> bytes:
    """A process's command line; empty when it has ended meanwhile."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_jvm_that_halts_and_one_whose_python_is_killed_end_at_once(submit: Submit, world: World) -> None:
    process = submit("halt", "/myapp/in.txt", "x")
    process.communicate(timeout=120)
    assert process.returncode == 5
    process = submit("stay", "/myapp/in.txt", "x")
    assert any("STAYS" in line for line in process.stdout)
    os.kill(python_of(process), signal.SIGKILL)
    process.communicate(timeout=40)
    assert process.returncode == 128 + signal.SIGKILL, "it does not stay for the minute that main would"
    assert (world.files[0], world.reports) == ({"in.txt": b"read"}, [])


@pytest.mark.parametrize(
    ("options", "code", "kind", "message"),
    [
        ({"main_class": "no.Main"}, 101, "ProgramNotFound", "Failed to load class no.Main."),
        ({"main_class": "Main$Hidden"}, 1, "java.lang.IllegalAccessException", "class"),
        (
            {"main_class": "Main$Own"},
            1,
            "java.lang.IllegalStateException",
            "The main method in the given main class must be static",
        ),
        ({"main_class": "Main$Broken"}, 1, "java.lang.ExceptionInInitializerError", ""),
        ({"main_class": "java.lang.String"}, 1, "java.lang.NoSuchMethodException", "java.lang.String.main("),
        ({"uri": "local:///no/such*.jar"}, 1, "ProgramNotFound", "The program local:///no/such*.jar does not exist"),
        (
            {"uri": "s3://bucket/other.jar", "main_class": ""},
            1,
            "ProgramNotFound",
            "The program s3://bucket/other.jar was not fetched",
        ),
    ],
)
def test_a_main_that_cannot_be_called_is_the_users_error(
    submit: Submit, world: World, options: dict[str, Any], code: int, kind: str, message: str
) -> None:
    process = submit("return", "/myapp/in.txt", "x", **options)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    told = world.reports[-1]["error"]
    assert told["type"] == kind and told["message"].startswith(message)
