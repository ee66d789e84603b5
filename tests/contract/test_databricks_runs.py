"""A run's life as a Jobs 2.0 client sees it: lists, states, output, cancellation, retries, removal."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core.ids import external_name
from chalicelib.core.model import Policy, Program, ProgramKind, Run, RunSpec
from chalicelib.core.states import Intent, RunState
from chalicelib.dialects.databricks_jobs.answers import run_body
from chalicelib.services.access import delete_user
from tests.contract.databricks import JOBS, create, get_run, jar, listed, python, run_now, submit
from tests.contract.wire import Client, Service

S = RunState
STATES: dict[tuple[RunState, Intent, bool], tuple[str, str | None, bool]] = {
    (S.QUEUED, Intent.NONE, False): ("PENDING", None, False),
    (S.GRANTED, Intent.NONE, False): ("PENDING", None, False),
    (S.GRANTED, Intent.CANCEL, False): ("PENDING", None, True),
    (S.LAUNCHING, Intent.NONE, False): ("PENDING", None, False),
    (S.RUNNING, Intent.NONE, True): ("RUNNING", None, False),
    (S.TERMINATING, Intent.CANCEL, False): ("TERMINATING", None, True),
    (S.TERMINATING, Intent.CANCEL, True): ("TERMINATING", "CANCELED", True),
    (S.TERMINATING, Intent.TIME_OUT, True): ("TERMINATING", "TIMEDOUT", True),
    (S.SUCCEEDED, Intent.NONE, True): ("TERMINATED", "SUCCESS", False),
    (S.FAILED, Intent.NONE, True): ("TERMINATED", "FAILED", False),
    (S.FAILED, Intent.NONE, False): ("TERMINATED", "FAILED", False),
    (S.CANCELED, Intent.CANCEL, True): ("TERMINATED", "CANCELED", True),
    (S.CANCELED, Intent.NONE, False): ("TERMINATED", "CANCELED", True),
    (S.TIMED_OUT, Intent.TIME_OUT, True): ("TERMINATED", "TIMEDOUT", True),
    (S.SKIPPED, Intent.NONE, False): ("SKIPPED", None, False),
    (S.INTERNAL_ERROR, Intent.NONE, False): ("INTERNAL_ERROR", None, False),
    (S.INTERNAL_ERROR, Intent.NONE, True): ("INTERNAL_ERROR", "FAILED", False),
}
"""Core state, intent and whether the program had started -> life cycle state, result state, ended by somebody."""


def run_in(state: RunState, intent: Intent = Intent.NONE, started: bool = False, **more: Any) -> Run:
    spec = RunSpec("n", Program(ProgramKind.PYTHON, "s3://a/b.py"), spark_version="3.5", policy=Policy())
    times = {"started_at": 1_780_000_060_000 if started else 0}
    return Run("main", 7, spec, "alice", 1_780_000_000_000, state=state, intent=intent, **times, **more)


@pytest.mark.parametrize(("core", "shown"), STATES.items(), ids=lambda value: "-".join(map(str, value)))
def test_every_state_has_its_words(core: tuple[RunState, Intent, bool], shown: tuple[str, str | None, bool]) -> None:
    state = run_body(run_in(*core, message="why"), "")["state"]
    life_cycle, result, by_somebody = shown
    assert state == {
        "life_cycle_state": life_cycle,
        **({"result_state": result} if result else {}),
        "state_message": "why",
        "user_cancelled_or_timedout": by_somebody,
    }


def test_the_table_of_states_leaves_none_out() -> None:
    assert {state for state, _, _ in STATES} == set(RunState)


@pytest.mark.parametrize("state", list(RunState))
def test_every_state_has_a_message_that_is_a_text(state: RunState) -> None:
    message = run_body(run_in(state), "")["state"]["state_message"]
    assert isinstance(message, str)
    assert bool(message) is (state in {S.QUEUED, S.GRANTED, S.LAUNCHING, S.RUNNING, S.TERMINATING})


def shown_state(client: Client, run: int) -> Mapping[str, Any]:
    state: Mapping[str, Any] = get_run(client, run)["state"]
    return state


def test_a_run_goes_from_pending_over_running_to_terminated_with_its_times(service: Service, alice: Client) -> None:
    run = submit(alice)
    assert shown_state(alice, run)["life_cycle_state"] == "PENDING"
    service.play()
    assert shown_state(alice, run)["life_cycle_state"] == "PENDING"
    service.start(run)
    running = get_run(alice, run)
    assert running["state"]["life_cycle_state"] == "RUNNING"
    assert running["end_time"] == 0
    assert running["cluster_instance"]["cluster_id"]
    assert running["setup_duration"] > 0
    service.end(run)
    ended = get_run(alice, run)
    assert ended["state"]["result_state"] == "SUCCESS"
    durations = ended["setup_duration"] + ended["execution_duration"] + ended["cleanup_duration"]
    assert ended["end_time"] == ended["start_time"] + durations
    assert ended["run_duration"] == durations
    assert ended["setup_duration"] == running["setup_duration"]


def test_the_spark_context_is_named_once_the_driver_told_it(service: Service, alice: Client) -> None:
    run = submit(alice)
    service.start(run)
    assert "spark_context_id" not in get_run(alice, run)["cluster_instance"]
    service.store.seed(replace(service.run(run), application_id="spark-123"))
    assert get_run(alice, run)["cluster_instance"]["spark_context_id"] == "spark-123"


def test_a_run_that_waits_is_cancelled_at_once_and_shown_as_terminated(alice: Client) -> None:
    run = submit(alice)
    assert alice.post(f"{JOBS}/runs/cancel", {"run_id": run}).json == {}
    assert shown_state(alice, run) == {
        "life_cycle_state": "TERMINATED",
        "result_state": "CANCELED",
        "state_message": "Run cancelled before it started.",
        "user_cancelled_or_timedout": True,
    }


def test_a_run_that_runs_is_cancelled_by_and_by(service: Service, alice: Client) -> None:
    run = submit(alice)
    service.start(run)
    alice.post(f"{JOBS}/runs/cancel", {"run_id": run})
    assert shown_state(alice, run)["life_cycle_state"] == "TERMINATING"
    assert shown_state(alice, run)["result_state"] == "CANCELED"
    service.play()
    service.progress()
    service.play()
    assert shown_state(alice, run)["life_cycle_state"] == "TERMINATED"
    assert shown_state(alice, run)["result_state"] == "CANCELED"


def test_cancelling_an_ended_run_changes_nothing(service: Service, alice: Client) -> None:
    run = submit(alice)
    service.end(run)
    with service.unchanged():
        assert alice.post(f"{JOBS}/runs/cancel", {"run_id": run}).json == {}


def test_cancel_all_ends_the_jobs_runs_and_no_others(service: Service, alice: Client) -> None:
    job = create(alice, python(max_concurrent_runs=5))
    running, waiting, other = run_now(alice, job), run_now(alice, job), submit(alice)
    service.start(running)
    assert alice.post(f"{JOBS}/runs/cancel-all", {"job_id": job}).json == {}
    service.play()
    service.progress()
    service.play()
    assert {shown_state(alice, run)["result_state"] for run in (running, waiting)} == {"CANCELED"}
    assert not service.run(other).ended


def test_a_time_out_is_shown_as_timedout(service: Service, alice: Client) -> None:
    run = submit(alice, python(timeout_seconds=30))
    service.start(run)
    service.clock.advance(31_000)
    service.play()
    service.progress()
    service.play()
    assert shown_state(alice, run) == {
        "life_cycle_state": "TERMINATED",
        "result_state": "TIMEDOUT",
        "state_message": "Run timed out after 30 seconds.",
        "user_cancelled_or_timedout": True,
    }


def test_a_failed_run_says_why_and_is_tried_again_as_a_run_of_its_own(service: Service, alice: Client) -> None:
    job = create(alice, python(max_retries=1))
    first = run_now(alice, job)
    service.end(first, "FAILED", details="Driver ran out of memory.")
    assert shown_state(alice, first)["result_state"] == "FAILED"
    assert shown_state(alice, first)["state_message"] == "Driver ran out of memory."
    (again,) = [run for run in listed(alice, job_id=job) if run != first]
    shown = get_run(alice, again)
    assert (shown["trigger"], shown["attempt_number"], shown["number_in_job"]) == ("RETRY", 1, 2)
    assert shown["original_attempt_run_id"] == first


def test_runs_are_listed_from_the_newest_and_twenty_at_a_time(alice: Client) -> None:
    runs = [submit(alice) for _ in range(22)]
    assert listed(alice) == list(reversed(runs))[:20]
    assert alice.get(f"{JOBS}/runs/list").json["has_more"] is True
    assert listed(alice, offset=20) == list(reversed(runs))[20:]
    assert alice.get(f"{JOBS}/runs/list", offset=20).json["has_more"] is False
    assert alice.get(f"{JOBS}/runs/list", offset=2, limit=20).json["has_more"] is False
    assert listed(alice, offset=22) == []


def test_a_limit_of_zero_means_as_many_as_there_may_be(alice: Client) -> None:
    runs = [submit(alice) for _ in range(22)]
    assert listed(alice, limit=0) == list(reversed(runs))
    assert listed(alice, limit=999) == list(reversed(runs))


def test_lists_are_of_active_runs_or_of_completed_ones(service: Service, alice: Client) -> None:
    waiting, running, ended, cancelled = (submit(alice) for _ in range(4))
    alice.post(f"{JOBS}/runs/cancel", {"run_id": cancelled})
    service.end(ended)
    service.start(running)
    assert listed(alice, active_only="true") == [running, waiting]
    assert listed(alice, completed_only="true") == [cancelled, ended]
    assert listed(alice, active_only="false", completed_only="false") == [cancelled, ended, running, waiting]


def test_lists_are_of_one_job_or_of_one_type(service: Service, alice: Client) -> None:
    job, other = create(alice, jar()), create(alice)
    of_job, of_other, alone = run_now(alice, job), run_now(alice, other), submit(alice)
    assert listed(alice, job_id=job) == [of_job]
    assert listed(alice, run_type="JOB_RUN") == [of_other, of_job]
    assert listed(alice, run_type="SUBMIT_RUN") == [alone]
    assert listed(alice, run_type="WORKFLOW_RUN") == []
    assert listed(alice, job_id=job, completed_only="true") == []
    service.end(of_job)
    assert listed(alice, job_id=job, completed_only="true") == [of_job]


def log(service: Service, run: int, text: str) -> None:
    """What a run's driver has printed."""
    name = f"logs/{run}/stdout.gz"
    service.engine.logs[external_name("main", run), "stdout"] = (name,)
    service.blobs.bodies[name] = gzip.compress(text.encode())


def output(client: Client, run: int) -> Any:
    answer = client.get(f"{JOBS}/runs/get-output", run_id=run)
    assert answer.status == 200, answer.body
    return answer.json


def test_output_is_what_the_driver_printed(service: Service, alice: Client) -> None:
    run = submit(alice)
    service.start(run)
    log(service, run, "Pi is roughly 3.14\n")
    assert output(alice, run)["logs"] == "Pi is roughly 3.14\n"
    assert output(alice, run)["logs_truncated"] is False


def test_the_output_of_a_failed_run_says_why(service: Service, alice: Client) -> None:
    run = submit(alice)
    service.start(run)
    error = {"type": "ValueError", "message": "no", "traceback": "Traceback …\nValueError: no"}
    service.store.seed(replace(service.run(run), report={"error": error, "exit_code": 1}))
    service.end(run, "FAILED")
    told = output(alice, run)
    assert told["error"] == "ValueError: no"
    assert told["error_trace"] == error["traceback"]
    assert told["metadata"]["state"]["state_message"] == "ValueError: no"


@pytest.mark.parametrize("line", ["plain text\n", "naïve 漢字 🎈\n", '"quoted" \\ \t\x1b[0m\n'])
def test_output_over_five_megabytes_is_cut_and_says_so_for_any_text(service: Service, alice: Client, line: str) -> None:
    run = submit(alice)
    service.start(run)
    text = line * (5_300_000 // len(line.encode()))
    log(service, run, text)
    told = output(alice, run)
    assert told["logs_truncated"] is True
    assert text.startswith(told["logs"]) and told["logs"]
    assert len(told["logs"].encode()) <= 5_000_000


def test_plain_output_of_nearly_five_megabytes_comes_whole(service: Service, alice: Client) -> None:
    run = submit(alice)
    service.start(run)
    text = ("x" * 99 + "\n") * 49_000
    log(service, run, text)
    told = output(alice, run)
    assert told["logs_truncated"] is False and told["logs"] == text


def test_a_creator_is_named_until_the_user_is_removed(service: Service) -> None:
    """Seed 004, "Get": the creator is not in the answer once the user has been deleted."""
    job, run = create(service.bob), submit(service.bob)
    own = submit(service.alice)
    readings: list[Callable[[], Any]] = [
        lambda: service.alice.get(f"{JOBS}/get", job_id=job).json,
        lambda: service.alice.get(f"{JOBS}/list").json["jobs"][0],
        lambda: get_run(service.alice, run),
        lambda: service.alice.get(f"{JOBS}/runs/list").json["runs"][-1],
        lambda: service.alice.get(f"{JOBS}/runs/get-output", run_id=run).json["metadata"],
    ]
    assert [read()["creator_user_name"] for read in readings] == ["bob"] * len(readings)
    delete_user(service.ports, "main", "bob")
    assert not any("creator_user_name" in read() or "run_as_user_name" in read() for read in readings)
    assert service.bob.get(f"{JOBS}/get", job_id=job).status == 401
    assert get_run(service.alice, own)["creator_user_name"] == "alice"
