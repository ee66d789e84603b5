"""kill -9 of the sandbox at any moment: drivers ride it out, and nothing accepted is lost.

`World.restart` closes the engine's threads and puts a new engine over the same directory, which has nothing but the
disk to go by; where the death of the sandbox itself matters, a process of its own is killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from emr_support import World, a_world, await_true
from moto.emrcontainers.models import emrcontainers_backends

from sandbox.aws.emr.engine import new_job_id
from sandbox.aws.emr.records import JobRecord, Records
from sandbox.aws.emr.shim import start_time

WAITING = "echo up; while [ ! -e go ]; do sleep 0.02; done; exit ${1:-0}"


def release(world: World, job: str) -> None:
    (world.folder(job) / "work" / "go").touch()


def test_a_driver_rides_out_a_restart_and_its_end_is_heard(world: World) -> None:
    job = world.start(WAITING, "5")
    world.await_state(job, "RUNNING")
    pid = world.pid(job)
    world.restart()
    assert world.describe(job)["state"] == "RUNNING"
    assert world.pid(job) == pid
    release(world, job)
    assert "exit code 5" in world.await_end(job)["stateDetails"]


def test_a_driver_that_ended_while_the_sandbox_was_down_is_found_with_its_exit_code(world: World) -> None:
    job = world.start(WAITING, "4")
    world.await_state(job, "RUNNING")
    world.engine.close()
    release(world, job)
    await_true((world.folder(job) / "exit.json").exists)
    ended_at = json.loads((world.folder(job) / "exit.json").read_text())["ended"]
    world.restart()
    ended = world.await_end(job)
    assert "exit code 4" in ended["stateDetails"]
    assert abs(ended["finishedAt"].timestamp() - ended_at) < 1
    assert world.states_told(job)[-1] == "FAILED"


def accepted(world: World, program: str, **changes: object) -> str:
    """A run that a sandbox wrote down and was killed before it did anything for it."""
    world.engine.close()
    request = {
        "name": "left",
        "virtualClusterId": world.cluster,
        "clientToken": world.name,
        "executionRoleArn": "arn:aws:iam::123456789012:role/driver",
        "releaseLabel": "emr-7.9.0-latest",
        "jobDriver": {"sparkSubmitJobDriver": {"entryPoint": world.put("left.sh", program)}},
    }
    record = JobRecord(new_job_id(time.time()), "arn", world.cluster, world.name, request, "arn", time.time())
    Records(world.home / "emr").add(JobRecord(**{**record.__dict__, **changes}))
    return record.id


def test_a_run_that_was_accepted_but_never_launched_is_launched_after_the_restart(world: World) -> None:
    job = accepted(world, "echo once")
    world.restart()
    assert world.await_end(job)["state"] == "COMPLETED"
    assert world.output(job) == "once\n"


def test_an_end_that_was_written_but_not_told_is_told_after_the_restart(world: World) -> None:
    job = accepted(world, "", state="COMPLETED", finished_at=time.time(), announced="RUNNING")
    world.restart()
    await_true(lambda: world.states_told(job) == ["COMPLETED"])


def test_a_cancel_that_was_accepted_is_carried_out_after_the_restart(world: World) -> None:
    job = world.start(WAITING)
    world.await_state(job, "RUNNING")
    world.engine.close()
    world.cancel(job)
    world.restart()
    assert world.await_end(job)["state"] == "CANCELLED"


def test_a_process_that_died_without_an_exit_code_is_an_internal_error(world: World) -> None:
    job = world.start(WAITING)
    world.await_state(job, "RUNNING")
    os.kill(world.pid(job, "shim"), signal.SIGKILL)
    os.killpg(world.pid(job), signal.SIGKILL)
    ended = world.await_end(job)
    assert (ended["state"], ended["failureReason"]) == ("FAILED", "INTERNAL_ERROR")


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_the_driver(world: World) -> None:
    job = world.start(WAITING)
    world.await_state(job, "RUNNING")
    world.engine.close()
    os.kill(world.pid(job, "shim"), signal.SIGKILL)
    os.killpg(world.pid(job), signal.SIGKILL)
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        for name in ("shim", "driver"):
            path = world.folder(job) / f"{name}.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "pid": bystander.pid}))
        world.restart()
        assert world.await_end(job)["failureReason"] == "INTERNAL_ERROR"
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_two_shims_start_one_process(world: World) -> None:
    job = world.start("echo started; sleep 0.2")
    folder = world.folder(job)
    await_true((folder / "launch.json").exists)
    shim = Path(sys.modules["sandbox.aws.emr.shim"].__file__)
    assert subprocess.run([sys.executable, "-I", "-S", str(shim), str(folder)], check=False).returncode == 0
    assert world.await_end(job)["state"] == "COMPLETED"
    assert world.output(job) == "started\n"


def test_the_virtual_cluster_has_the_same_id_after_a_restart_and_a_reset(world: World) -> None:
    before = world.cluster
    world.restart()
    assert world.cluster == before
    emrcontainers_backends.reset()
    world.s3.create_bucket(Bucket="files")
    shown = world.emr.describe_virtual_cluster(id=before)["virtualCluster"]
    assert (shown["name"], shown["state"]) == (world.name, "RUNNING")
    assert world.engine.ensure_virtual_cluster(world.name) == before
    assert world.await_end(world.start())["state"] == "COMPLETED"


def test_a_driver_outlives_kill_9_of_the_sandbox(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import sys, time
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from moto import mock_aws
        from emr_support import World
        with mock_aws():
            world = World(Path({str(tmp_path)!r}))
            print(world.start({WAITING!r}, "6"), flush=True)
            time.sleep(60)
    """)
    sandbox = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    job = sandbox.stdout.readline().strip()
    folder = tmp_path / "home" / "emr" / job
    await_true((folder / "driver.json").exists)
    sandbox.kill()
    sandbox.wait()
    driver = json.loads((folder / "driver.json").read_text())
    assert start_time(driver["pid"]) == driver["start"]
    with a_world(tmp_path) as again:
        release(again, job)
        assert "exit code 6" in again.await_end(job)["stateDetails"]
