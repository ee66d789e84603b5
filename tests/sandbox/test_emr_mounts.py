"""A driver's emptyDir volumes: directories of its own at literal paths, in a mount namespace that only it sees."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from emr_support import World, await_true, configured

from sandbox.aws.emr import mounts

NOBODY = 65534


def mounted(*paths: str) -> dict[str, Any]:
    prefix = "spark.kubernetes.driver.volumes.emptyDir"
    conf = {f"{prefix}.volume-{n}.mount.path": path for n, path in enumerate(paths)}
    return configured({"classification": "spark-defaults", "properties": conf})


def apart(source: dict[str, str], scratch: Path, program: str, user: int = 0) -> tuple[int, str]:
    """The exit code and output of a shell that has entered a namespace as a user."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            if user and os.geteuid() == 0:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
                ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as after an exec: its files in /proc are its own
            mounts.enter(source, str(scratch))
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            os.execv("/bin/sh", ["/bin/sh", "-c", program])
        except OSError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as told:
        said = told.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


@pytest.fixture(scope="module", autouse=True)
def allowed(tmp_path_factory: pytest.TempPathFactory) -> None:
    if sys.platform != "linux":
        pytest.skip("namespaces are Linux's")
    place = tmp_path_factory.mktemp("allowed")
    code, said = apart({"/media": str(place)}, place, "exit 0")
    if code:
        pytest.skip(f"this machine does not allow namespaces: {said}")


def test_a_driver_finds_an_empty_directory_at_a_path_that_the_machine_does_not_have(world: World) -> None:
    program = """
ls -A /mnts/vol1 /srv; echo one > /mnts/vol1/x; echo two > /srv/y; cat /mnts/vol1/x /srv/y
ls -d /usr /etc/passwd; id -u; ls -di / | cut -d' ' -f1
"""
    job = world.start(program, **mounted("/mnts/vol1", "/srv"))
    assert world.await_end(job)["state"] == "COMPLETED", world.output(job, "stderr")
    said = world.output(job).splitlines()
    assert said[:-1] == ["/mnts/vol1:", "", "/srv:", "one", "two", "/etc/passwd", "/usr", str(os.geteuid())]
    assert not os.path.exists("/mnts") and not os.path.exists("/srv/y"), "nobody else sees any of it"
    assert world.output(job, "stderr") == ""
    left = {path.name for path in world.folder(job).iterdir()}
    assert not left & {"volumes", "root"}


def test_directories_that_a_driver_has_made_read_only_are_removed_too(world: World) -> None:
    job = world.start("mkdir -p /mnts/v/a/b; touch /mnts/v/a/b/c; chmod -R 500 /mnts/v", **mounted("/mnts/v"))
    assert world.await_end(job)["state"] == "COMPLETED"
    await_true(lambda: not (world.folder(job) / "volumes").exists())


def test_a_driver_with_mounts_is_watched_and_ended_as_any_other(world: World) -> None:
    job = world.start("sleep 60 & touch /mnts/v/up; echo $$ up; wait", **mounted("/mnts/v"))
    await_true(lambda: (world.folder(job) / "stdout").exists() and "up" in world.output(job))
    pid = world.pid(job)
    assert world.output(job).split() == [str(pid), "up"], "no process ids of its own"
    assert os.getpgid(pid) == pid
    world.restart()
    world.cancel(job)
    assert world.await_end(job)["state"] == "CANCELLED"
    await_true(lambda: pid not in groups())


def groups() -> set[int]:
    """The process groups that there are."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if state != "Z":
            found.add(int(group))
    return found


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/passwd/x", "/proc/x/y"])
def test_a_driver_that_cannot_have_its_mounts_is_started_without_them_and_told(world: World, path: str) -> None:
    job = world.start("echo started", **mounted(path))
    assert world.await_end(job)["state"] == "COMPLETED"
    assert world.output(job) == "started\n"
    assert world.output(job, "stderr").startswith("sandbox: volumes are not at their mount paths, only arguments")


def test_what_the_driver_itself_needs_on_this_machine_is_not_hidden(world: World) -> None:
    above = str(world.home.parent)
    ended = world.await_end(world.start("true", **mounted(above)))
    assert (ended["state"], ended["failureReason"]) == ("FAILED", "VALIDATION_ERROR")
    assert f"Nothing can be mounted at {above} on this machine: it would hide {above}/" in ended["stateDetails"]


def test_other_confs_of_volumes_mount_nothing(world: World) -> None:
    prefix = "spark.kubernetes.driver.volumes"
    conf = {f"{prefix}.hostPath.a.mount.path": "/a", f"{prefix}.emptyDir.a.options.sizeLimit": "1Gi"}
    job = world.start("true", **configured({"classification": "spark-defaults", "properties": conf}))
    world.await_end(job)
    assert "mounts" not in json.loads((world.folder(job) / "launch.json").read_text())


@pytest.mark.parametrize("user", [0, NOBODY])
def test_it_takes_no_rights_and_gives_none(tmp_path_factory: pytest.TempPathFactory, user: int) -> None:
    place = Path(os.path.realpath(f"/tmp/mounts-{os.getpid()}-{user}"))
    source, scratch = place / "source", place / "root"
    for folder in (place, source, scratch):
        folder.mkdir()
        folder.chmod(0o777)
    try:
        program = "id -u; id -g; echo hi > /mnts/v/x; ls /mnts/v; cat /etc/shadow >/dev/null 2>&1 || echo refused"
        program += "; echo y > /tmp/mnts-beside/y; mount -t tmpfs x /mnts/v 2>/dev/null || echo refused"
        other = place / "other"
        other.mkdir()
        other.chmod(0o777)
        code, said = apart({"/mnts/v": str(source), "/tmp/mnts-beside": str(other)}, scratch, program, user)
        expected = [str(user or os.geteuid()), str(user or os.getegid()), "x"]
        assert (code, said.split()[:3]) == (0, expected), said
        if user:
            assert said.split()[3:] == ["refused", "refused"], "no capabilities beyond its own"
        assert (source / "x").read_text() == "hi\n" and (other / "y").read_text() == "y\n"
        assert list(scratch.iterdir()) == [] and not Path("/tmp/mnts-beside").exists()
    finally:
        shutil.rmtree(place)
