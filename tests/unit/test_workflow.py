"""A granted run's way to its end: launched once, watched patiently, ended for its own reason."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from chalicelib.core.errors import Conflict
from chalicelib.core.model import Files, Policy, Program, ProgramKind, Report
from chalicelib.core.policy import WAIT_FIRST_S, WAIT_MOST_S
from chalicelib.core.spark import ENTRY_POINT_LIMIT
from chalicelib.core.states import RunState
from chalicelib.ports import Launch
from chalicelib.services.runs import cancel_run, edit_run
from chalicelib.services.workflow import LAUNCH_MS, Progress, drive, driver_log, finish, heard, report, stop_driver
from tests.unit.cloud import HOUR_MS, Cloud, spec
from tests.unit.lives import drivers_become


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def launched(cloud: Cloud, policy: Policy = Policy()) -> int:
    id = cloud.submit(spec(policy=policy))
    cloud.play()
    return id


def test_the_good_case_asks_the_engine_once_and_looks_only_when_told(cloud: Cloud) -> None:
    id = launched(cloud)
    drivers_become(cloud, "RUNNING")
    drivers_become(cloud, "COMPLETED")
    cloud.tell()
    cloud.tell()
    assert cloud.state(id) is RunState.SUCCEEDED
    assert cloud.engine.counts["start"] == 1
    assert cloud.engine.counts["find"] == 0
    assert [execution.state for execution in cloud.workflows.executions.values()] == ["Done"]


def test_a_run_ends_although_its_execution_is_lost(cloud: Cloud) -> None:
    id = launched(cloud)
    for execution in cloud.workflows.live():
        cloud.workflows.lose(execution)
    drivers_become(cloud, "COMPLETED")
    cloud.play()
    assert cloud.state(id) is RunState.SUCCEEDED
    cloud.check_over()


def test_an_execution_whose_run_was_ended_by_one_who_then_died_finds_that_it_is_over(cloud: Cloud) -> None:
    id = launched(cloud)
    drivers_become(cloud, "COMPLETED")
    assert finish(cloud.ports, "main", id, 1) is not None
    cloud.engine.heard_of.clear()
    ended, (execution,) = cloud.run(id), cloud.workflows.live()
    assert execution.state == "Waiting" and ended.state is RunState.SUCCEEDED
    cloud.clock.advance(WAIT_FIRST_S * 1000)
    cloud.play()
    assert cloud.run(id) == ended
    cloud.check_over()


def test_a_python_program_starts_through_the_bootstrap_with_its_own_secret(cloud: Cloud) -> None:
    id = launched(cloud)
    (launch,) = cloud.engine.launches
    assert launch.entry_point == f"s3://bucket/main/runs/{id}/launch.py"
    assert launch.files == ("s3://bucket/main.py",)
    assert launch.arguments == ()
    body = cloud.blobs.bodies[f"main/runs/{id}/launch.py"].decode()
    assert f"main.{id}" in body and "s3://bucket/main.py" in body


def test_an_entry_point_fits_emrs_limit_whatever_the_bucket_and_the_workspace_are_called(cloud: Cloud) -> None:
    id = launched(cloud)
    (launch,) = cloud.engine.launches
    longest = launch.entry_point.replace("bucket", "b" * 63, 1).replace("main", "w" * 32, 1).replace(str(id), "9" * 16)
    assert len(longest) <= ENTRY_POINT_LIMIT


def test_two_runs_have_two_secrets(cloud: Cloud) -> None:
    bodies = [cloud.blobs.bodies[f"main/runs/{launched(cloud)}/launch.py"] for _ in range(2)]
    assert bodies[0] != bodies[1]


def test_a_native_program_starts_as_it_is(cloud: Cloud) -> None:
    jar = Program(ProgramKind.JAR, "s3://bucket/a.jar", "org.example.Main", ("x", "y"))
    cloud.submit(replace(spec(), program=jar))
    only_class = Program(ProgramKind.JAR, "", "org.example.Main")
    cloud.submit(replace(spec(), program=only_class, files=Files(jars=("s3://bucket/b.jar",))))
    cloud.play()
    first, second = cloud.engine.launches
    assert (first.entry_point, first.arguments, first.py_files) == ("s3://bucket/a.jar", ("x", "y"), ())
    assert second.entry_point == "s3://bucket/b.jar"


def test_a_refused_driver_fails_the_run_with_the_engines_reason_and_is_not_asked_for_again(cloud: Cloud) -> None:
    def no(launch: Launch) -> str:
        return "the role does not exist"

    cloud.engine.refuses = no
    id = cloud.submit()
    cloud.settle()
    run = cloud.run(id)
    assert (run.state, run.reason) == (RunState.FAILED, "REFUSED")
    assert "the role does not exist" in run.message
    assert cloud.engine.counts["start"] == 1
    cloud.check_over()


def test_a_driver_that_the_engine_forgot_is_an_internal_error(cloud: Cloud) -> None:
    id = cloud.running()
    cloud.engine.forget(cloud.driver(id))
    cloud.clock.advance(HOUR_MS)
    cloud.play()
    assert (cloud.state(id), cloud.run(id).reason) == (RunState.INTERNAL_ERROR, "DRIVER_LOST")


@pytest.mark.parametrize("word", ["SUBMITTED", "RUNNING", "COMPLETED"])
def test_events_may_be_lost_because_the_execution_looks_for_itself(cloud: Cloud, word: str) -> None:
    id = launched(cloud)
    drivers_become(cloud, word)
    cloud.engine.heard_of.clear()
    cloud.clock.advance(WAIT_FIRST_S * 1000)
    cloud.play()
    states = {"SUBMITTED": RunState.LAUNCHING, "RUNNING": RunState.RUNNING, "COMPLETED": RunState.SUCCEEDED}
    assert cloud.state(id) is states[word]


def test_events_may_come_twice_late_and_for_drivers_that_are_not_ours(cloud: Cloud) -> None:
    id = cloud.running()
    driver = cloud.driver(id)
    cloud.engine.drivers["foreign"] = replace(cloud.engine.drivers[driver], id="foreign", name="somebody's job")
    before = cloud.run(id)
    for engine_id in (driver, driver, "foreign", "no such driver"):
        heard(cloud.ports, engine_id)
    assert cloud.run(id) == before
    drivers_become(cloud, "COMPLETED")
    cloud.engine.drivers["foreign"] = replace(cloud.engine.drivers["foreign"], state="COMPLETED")
    cloud.engine.heard_of *= 3
    cloud.settle()
    heard(cloud.ports, driver)
    assert cloud.state(id) is RunState.SUCCEEDED
    cloud.check_over()


def test_an_event_alone_never_ends_a_run(cloud: Cloud) -> None:
    id = cloud.running()
    heard(cloud.ports, cloud.driver(id))
    assert cloud.state(id) is RunState.RUNNING
    with pytest.raises(Conflict):
        finish(cloud.ports, "main", id, 1)
    cancel_run(cloud.ports, cloud.caller, id)
    with pytest.raises(Conflict):
        finish(cloud.ports, "main", id, 1)
    assert cloud.state(id) is RunState.TERMINATING


def cancelled_just_before(cloud: Cloud, call: str, *, over: bool) -> int:
    """A run that is cancelled just before its launch makes a call; with `over` its execution has even gone on to its
    end by then."""
    id = cloud.submit()
    cloud.deliver("dispatch")
    cloud.deliver("dispatch")
    (execution,) = cloud.workflows.live()
    port = cloud.engine if call == "start" else cloud.store
    outside = getattr(port, call)

    def late(*arguments: object) -> object:
        if cloud.state(id) is RunState.LAUNCHING and (call == "start" or cloud.engine.launches):
            setattr(port, call, outside)
            cancel_run(cloud.ports, cloud.caller, id)
            cloud.deliver("follow")
            if over:
                assert drive(cloud.ports, "main", id, 1).over
                finish(cloud.ports, "main", id, 1)
        return outside(*arguments)

    setattr(port, call, late)
    cloud.step(execution)
    return id


@pytest.mark.parametrize(("call", "over"), [("start", False), ("start", True), ("commit", False)])
def test_a_cancel_that_finds_no_driver_yet_stops_it_as_soon_as_there_is_one(
    cloud: Cloud, call: str, over: bool
) -> None:
    id = cancelled_just_before(cloud, call, over=over)
    assert cloud.state(id) is (RunState.CANCELED if over else RunState.TERMINATING)
    assert cloud.engine.drivers[cloud.driver(id)].state == "CANCEL_PENDING"


@pytest.mark.parametrize("late", [False, True], ids=["in time", "too late"])
def test_a_cancel_does_not_wait_for_the_next_try_of_a_launch_that_fails(cloud: Cloud, late: bool) -> None:
    start = cloud.engine.start

    def away(launch: Launch) -> str:
        raise Conflict("EMR is away")

    cloud.engine.start = away  # type: ignore[method-assign]
    id = cloud.submit()
    cloud.deliver("dispatch")
    cloud.deliver("dispatch")
    (execution,) = cloud.workflows.live()
    cloud.step(execution)
    cloud.clock.advance(LAUNCH_MS + 1 if late else LAUNCH_MS)
    cancel_run(cloud.ports, cloud.caller, id)
    cloud.deliver("follow")
    assert cloud.state(id) is (RunState.CANCELED if late else RunState.TERMINATING)
    cloud.engine.start = start  # type: ignore[method-assign]
    cloud.play()
    assert (cloud.state(id), cloud.engine.launches) == (RunState.CANCELED, [])
    cloud.check_over()


def test_a_cancel_finds_the_driver_of_a_launch_that_died_before_it_was_on_record(cloud: Cloud) -> None:
    id = launched(cloud)
    driver = cloud.driver(id)
    edit_run(cloud.ports, "main", id, lambda r: replace(r, engine_id=""))
    cloud.clock.advance(LAUNCH_MS + 1)
    cancel_run(cloud.ports, cloud.caller, id)
    cloud.deliver("follow")
    assert (cloud.run(id).engine_id, cloud.engine.drivers[driver].state) == (driver, "CANCEL_PENDING")
    drivers_become(cloud, "CANCELLED")
    cloud.settle()
    assert cloud.state(id) is RunState.CANCELED
    cloud.check_over()


def test_a_driver_of_a_run_that_has_ended_is_stopped_when_it_is_heard_of(cloud: Cloud) -> None:
    id = launched(cloud)
    driver = cloud.driver(id)
    cancel_run(cloud.ports, cloud.caller, id)
    drivers_become(cloud, "CANCELLED")
    cloud.settle()
    cloud.engine.drivers[driver] = replace(cloud.engine.drivers[driver], state="RUNNING")
    heard(cloud.ports, driver)
    assert cloud.engine.drivers[driver].state == "CANCEL_PENDING"


def test_the_execution_looks_less_and_less_often(cloud: Cloud) -> None:
    id = cloud.running()
    waits, waited = [], 0
    for _ in range(9):
        progress = drive(cloud.ports, "main", id, 1, waited=waited)
        assert not progress.over
        waited = progress.wait
        waits.append(waited)
    assert waits[0] == WAIT_FIRST_S and waits[-1] == WAIT_MOST_S
    assert waits == sorted(waits)


def test_it_never_waits_past_the_time_out_and_waits_briefly_for_an_end_that_was_asked_for(cloud: Cloud) -> None:
    id = cloud.running(spec(policy=Policy(timeout_ms=70_500)))
    assert drive(cloud.ports, "main", id, 1, waited=600) == Progress(False, 71)
    cancel_run(cloud.ports, cloud.caller, id)
    assert drive(cloud.ports, "main", id, 1, waited=600) == Progress(False, 15)


def test_a_cancel_before_the_time_out_is_the_cause_and_the_other_way_round(cloud: Cloud) -> None:
    cancelled, late = (cloud.running(spec(policy=Policy(timeout_ms=HOUR_MS))) for _ in range(2))
    cancel_run(cloud.ports, cloud.caller, cancelled)
    cloud.clock.advance(2 * HOUR_MS)
    cloud.play()
    cancel_run(cloud.ports, cloud.caller, late)
    cloud.settle()
    assert (cloud.state(cancelled), cloud.state(late)) == (RunState.CANCELED, RunState.TIMED_OUT)


def test_a_run_that_is_unknown_or_of_another_generation_is_over_for_its_worker(cloud: Cloud) -> None:
    id = cloud.running()
    assert drive(cloud.ports, "main", id + 1, 1, token="stray").over
    assert drive(cloud.ports, "main", id, 2, token="early").over
    assert cloud.workflows.completed == ["stray", "early"]
    assert finish(cloud.ports, "main", id + 1, 1) is None
    assert finish(cloud.ports, "main", id, 2) == cloud.run(id)
    assert cloud.state(id) is RunState.RUNNING


def test_finishing_twice_changes_nothing_the_second_time(cloud: Cloud) -> None:
    id = cloud.running()
    drivers_become(cloud, "COMPLETED")
    cloud.settle()
    before = cloud.store.snapshot()
    assert finish(cloud.ports, "main", id, 1) == cloud.run(id)
    stop_driver(cloud.ports, cloud.run(id))
    assert cloud.store.snapshot() == before


# What the driver itself reports.


def test_a_driver_reports_its_application_and_its_error(cloud: Cloud) -> None:
    id = launched(cloud)
    told = {"application_id": "spark-1", "spark_version": "3.5.1", "application_name": "words"}
    report(cloud.ports, "main", id, told)
    run = cloud.run(id)
    assert (run.application_id, run.application_name, run.engine_version) == ("spark-1", "words", "3.5.1")
    assert run.state is RunState.RUNNING
    error = {"type": "ValueError", "message": "bad input"}
    report(cloud.ports, "main", id, {"exit_code": 1, "error": error, "finished": True})
    drivers_become(cloud, "FAILED", failure="USER_ERROR")
    cloud.settle()
    assert cloud.run(id).message == "ValueError: bad input"
    assert cloud.run(id).application_id == "spark-1"


def test_a_report_may_say_nothing_else_and_not_too_much(cloud: Cloud) -> None:
    id = cloud.running()
    report(cloud.ports, "main", id, {"refused": "x", "state": "SUCCEEDED", "exit_code": 0, "error": "x" * 30_000})
    run = cloud.run(id)
    assert run.state is RunState.RUNNING
    assert cloud.store.get(Report, "main", id).told == {"exit_code": 0, "finished": True}
    assert not run.report
    report(cloud.ports, "main", id, {"application_id": "y" * 1000})
    assert len(cloud.run(id).application_id) <= 128


def test_a_report_does_not_decide_the_end_and_comes_to_nothing_after_it(cloud: Cloud) -> None:
    id = cloud.running()
    report(cloud.ports, "main", id, {"exit_code": 0, "finished": True})
    drivers_become(cloud, "FAILED", details="Evicted")
    cloud.settle()
    assert cloud.state(id) is RunState.FAILED
    before = cloud.store.snapshot()
    report(cloud.ports, "main", id, {"exit_code": 7})
    report(cloud.ports, "main", id + 1, {"exit_code": 7})
    assert cloud.store.snapshot() == before


INTRODUCTION = """\
26/11/21 06:43:32 INFO SparkContext: Running Spark version 4.3.0
26/11/21 06:43:33 INFO SparkContext: Submitted application: Spark Pi
26/11/21 06:43:34 INFO Executor: Starting executor ID driver on host x, app local-1795243414000
"""


@pytest.mark.parametrize("kind", [ProgramKind.JAR, ProgramKind.R])
@pytest.mark.parametrize("more", ["", "26/11/21 06:43:35 INFO Foo: Running Spark version 1\n" * 5000])
def test_a_native_drivers_log_tells_which_spark_ran_it_and_what_it_called_itself(
    cloud: Cloud, kind: ProgramKind, more: str
) -> None:
    id = cloud.running(replace(spec(), program=Program(kind, "s3://bucket/a", "org.example.Main")))
    cloud.blobs.bodies["log.gz"] = gzip.compress(f"{INTRODUCTION}{more}".encode())
    cloud.engine.logs[f"main.{id}", "stderr"] = ("log.gz",)
    drivers_become(cloud, "COMPLETED")
    cloud.settle()
    run = cloud.run(id)
    assert (run.application_name, run.engine_version) == ("Spark Pi", "4.3.0")
    assert run.application_id == "local-1795243414000"


def test_what_a_driver_has_reported_is_not_read_from_its_log_again(cloud: Cloud) -> None:
    id = cloud.running()
    told = {"application_id": "spark-1", "spark_version": "3.5.1", "application_name": "words"}
    report(cloud.ports, "main", id, told)
    cloud.blobs.bodies["log.gz"] = gzip.compress(INTRODUCTION.encode())
    cloud.engine.logs[f"main.{id}", "stderr"] = ("log.gz",)
    drivers_become(cloud, "FAILED")
    cloud.settle()
    run = cloud.run(id)
    assert (run.application_id, run.application_name, run.engine_version) == ("spark-1", "words", "3.5.1")


def test_a_log_that_says_nothing_of_spark_tells_nothing(cloud: Cloud) -> None:
    id = cloud.running(replace(spec(), program=Program(ProgramKind.JAR, "s3://bucket/a.jar", "org.example.Main")))
    cloud.blobs.bodies["log.gz"] = gzip.compress(b"hello\n")
    cloud.engine.logs[f"main.{id}", "stderr"] = ("log.gz",)
    drivers_become(cloud, "COMPLETED")
    cloud.settle()
    assert (cloud.run(id).application_name, cloud.run(id).engine_version) == ("", "")


def test_a_native_drivers_log_tells_why_it_failed(cloud: Cloud) -> None:
    jar = Program(ProgramKind.JAR, "s3://bucket/a.jar", "org.example.Main")
    id = cloud.running(replace(spec(), program=jar))
    log = b'Exception in thread "main" java.lang.IllegalStateException: boom\n\tat org.example.Main.main(Main.java:7)\n'
    cloud.blobs.bodies["log.gz"] = gzip.compress(log)
    cloud.engine.logs[f"main.{id}", "stderr"] = ("missing.gz", "log.gz")
    drivers_become(cloud, "FAILED", failure="USER_ERROR")
    cloud.settle()
    assert cloud.run(id).message == "java.lang.IllegalStateException: boom"


def test_an_r_programs_error_is_on_its_standard_output_and_not_what_it_caught(cloud: Cloud) -> None:
    id = cloud.running(replace(spec(), program=Program(ProgramKind.R, "s3://bucket/a.R")))
    caught = (
        b"26/01/01 00:00:00 ERROR RBackendHandler: sql on 2 failed\njava.lang.IllegalStateException: x\n\tat a.b(c)\n"
    )
    cloud.blobs.bodies.update(
        {"err": gzip.compress(caught), "out": gzip.compress(b"Error: no quota\nExecution halted\n")}
    )
    cloud.engine.logs.update({(f"main.{id}", "stderr"): ("err",), (f"main.{id}", "stdout"): ("out",)})
    drivers_become(cloud, "FAILED", failure="USER_ERROR")
    cloud.settle()
    assert cloud.run(id).message == "Error: no quota"
    assert not cloud.run(id).application_name


def test_an_r_program_names_its_application_itself(cloud: Cloud) -> None:
    id = cloud.running(replace(spec(), program=Program(ProgramKind.R, "s3://bucket/a.R")))
    log = b"26/01/01 00:00:00 INFO SparkContext: Submitted application: My own name\n" + b"26/01/01 INFO X: y\n" * 9000
    cloud.blobs.bodies["err"] = gzip.compress(log)
    cloud.engine.logs[f"main.{id}", "stderr"] = ("err",)
    drivers_become(cloud, "COMPLETED")
    cloud.settle()
    assert (cloud.state(id), cloud.run(id).application_name) == (RunState.SUCCEEDED, "My own name")


def test_a_log_that_still_grows_is_read_as_far_as_it_goes(cloud: Cloud) -> None:
    run = cloud.run(cloud.running())
    cloud.engine.logs[f"main.{run.id}", "stdout"] = ("log",)
    assert driver_log(cloud.ports, run, "stdout") == ""
    text = "".join(f"line {number}\n" for number in range(5000))
    whole = gzip.compress(text.encode())
    cloud.blobs.bodies["log"] = whole[: len(whole) // 2]
    partial = driver_log(cloud.ports, run, "stdout", limit=10**6)
    assert partial and text.startswith(partial)
    cloud.blobs.bodies["log"] = b"plain text"
    assert driver_log(cloud.ports, run, "stdout", tail=True, limit=4) == "text"
