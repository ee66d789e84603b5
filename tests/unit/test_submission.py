"""Making runs: of a spec, or of a saved job. What is refused changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core.capacity import Amount
from chalicelib.core.errors import Conflict, Gone, Invalid, NotFound, SparkplaneError, Unschedulable
from chalicelib.core.model import Files, Idempotency, Job, JobActivity, Program, ProgramKind, Run, RunSpec, Trigger
from chalicelib.core.states import RunState
from chalicelib.ports import Change, key
from chalicelib.services.access import Call
from chalicelib.services.jobs import Definition, create_job
from chalicelib.services.pools import ensure_pool
from chalicelib.services.runs import delete_run
from chalicelib.services.submission import (
    Request,
    Submitted,
    run_job,
    submission_keys,
    submit,
)
from tests.unit.cloud import Cloud, runs, spec


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def job_of(cloud: Cloud, what: RunSpec | None = None, limit: int = 1) -> int:
    return create_job(cloud.ports, cloud.caller, Definition(what or spec(), limit, {})).id


def run_of(cloud: Cloud, job: int, **request: Any) -> Submitted:
    return run_job(cloud.ports, cloud.caller, job, Request(**request), lambda saved: saved.spec)


def refused(cloud: Cloud, error: type[SparkplaneError], ask: Callable[[], object]) -> SparkplaneError:
    """The error of a call that must change nothing."""
    before = cloud.store.snapshot()
    with pytest.raises(error) as raised:
        ask()
    assert cloud.store.snapshot() == before
    return raised.value


def all_at_once(cloud: Cloud, calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Make calls that have all read before any of them writes: each waits before its first commit for the others."""
    together, mine, turn = threading.Barrier(len(calls)), threading.local(), threading.Lock()
    results: list[Any] = [None] * len(calls)

    def before_commit(changes: Sequence[Change]) -> None:
        if not getattr(mine, "waited", False):
            mine.waited = True
            together.wait(10)
        turn.acquire()

    def work(index: int) -> None:
        try:
            results[index] = calls[index]()
        except SparkplaneError as error:
            results[index] = error

    commit = cloud.store.commit

    def one_at_a_time(changes: Sequence[Change]) -> None:
        try:
            commit(changes)
        finally:
            turn.release()

    cloud.store.before_commit, cloud.store.commit = before_commit, one_at_a_time  # type: ignore[method-assign]
    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    cloud.store.before_commit, cloud.store.commit = None, commit  # type: ignore[method-assign]
    return results


def test_a_submission_is_one_read_and_one_write_and_starts_nothing(cloud: Cloud) -> None:
    cloud.store.counts.clear()
    id = cloud.submit()
    assert cloud.store.counts == {"fetch": 1, "commit": 1}
    assert cloud.state(id) is RunState.QUEUED
    assert not cloud.workflows.executions and not cloud.engine.launches


def test_with_what_the_dialect_read_along_with_the_token_it_is_one_write(cloud: Cloud) -> None:
    keys = submission_keys(cloud.ports, "main", pool="default", idempotency="once")
    found = cloud.store.fetch(keys)
    call = Call(cloud.caller.principal, {k: found.get(k) for k in keys})
    cloud.store.counts.clear()
    assert submit(cloud.ports, call, spec(), Request(idempotency="once")).created
    assert cloud.store.counts == {"commit": 1}


def test_a_run_remembers_who_asked_for_what(cloud: Cloud) -> None:
    run = cloud.run(cloud.submit(spec("nightly"), trigger=Trigger.SCHEDULE))
    assert (run.created_by, run.spec.name, run.trigger) == ("alice", "nightly", Trigger.SCHEDULE)
    assert (run.created_at, run.first_attempt, run.attempt) == (cloud.clock.now(), run.id, 0)


def test_two_submissions_with_one_token_are_one_run(cloud: Cloud) -> None:
    first, second = cloud.submitted(idempotency="once"), cloud.submitted(spec("other"), idempotency="once")
    assert (first.created, second.created, second.run) == (True, False, first.run)
    assert len(cloud.store.all(Run)) == 1
    assert cloud.submit(idempotency="twice") != first.run


def test_a_token_is_remembered_although_its_call_read_before_it_was_used(cloud: Cloud) -> None:
    keys = submission_keys(cloud.ports, "main", pool="default", idempotency="once")
    stale = Call(cloud.caller.principal, {k: cloud.store.fetch([k]).get(k) for k in keys})
    first = cloud.submit(idempotency="once")
    assert submit(cloud.ports, stale, spec(), Request(idempotency="once")) == Submitted(first, 0, False)


def test_twenty_racing_callers_with_one_token_make_one_run(cloud: Cloud) -> None:
    results = all_at_once(cloud, [lambda: cloud.submitted(idempotency="once") for _ in range(20)])
    assert len({result.run for result in results}) == 1
    assert sum(result.created for result in results) == 1
    assert len(cloud.store.all(Run)) == 1
    cloud.check_records()


def test_racing_runs_of_one_job_stay_within_its_limit_and_have_numbers_of_their_own(cloud: Cloud) -> None:
    job = job_of(cloud, limit=3)
    results = all_at_once(cloud, [lambda: run_of(cloud, job) for _ in range(10)])
    made = [result for result in results if isinstance(result, Submitted)]
    assert all(isinstance(result, Conflict) for result in results if result not in made)
    states = [cloud.state(result.run) for result in made]
    assert states.count(RunState.QUEUED) == 3
    assert sorted(result.number_in_job for result in made) == list(range(1, len(made) + 1))
    cloud.check_records()


def test_a_token_whose_run_was_deleted_stays_taken(cloud: Cloud) -> None:
    id = cloud.submit(idempotency="once")
    cloud.settle()
    delete_run(cloud.ports, cloud.caller, id)
    refused(cloud, Gone, lambda: cloud.submit(idempotency="once"))


def test_tokens_of_one_workspace_mean_nothing_in_another(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "team", "default")
    other = Call(replace(cloud.caller.principal, workspace="team"))
    first = cloud.submit(idempotency="once")
    second = submit(cloud.ports, other, spec(), Request(idempotency="once"))
    assert second.created and second.run != first
    assert cloud.store.get(Idempotency, "team", "once").run == second.run


def test_an_id_that_is_taken_is_drawn_again(cloud: Cloud) -> None:
    cloud.dice.loaded = [5, 5, 6]
    assert cloud.submit() != cloud.submit()


def test_when_every_attempt_clashes_the_caller_is_told_to_try_again(cloud: Cloud) -> None:
    cloud.dice.loaded = [5] * 100
    cloud.submit()
    refused(cloud, Conflict, cloud.submit)


def native(resource: str = "", main_class: str = "", jars: tuple[str, ...] = ()) -> RunSpec:
    return replace(spec(), program=Program(ProgramKind.JAR, resource, main_class), files=Files(jars=jars))


@pytest.mark.parametrize(
    ("what", "field"),
    [
        (replace(spec(), program=Program(ProgramKind.PYTHON, "file:///etc/passwd")), "program"),
        (replace(spec(), files=Files(jars=("ftp://x/y.jar",))), "jars"),
        (replace(spec(), conf={"spark.kubernetes.namespace": "x"}), "conf"),
        (replace(spec(), spark_version="99.0"), "spark_version"),
        (native(), "program"),
        (native(main_class="org.example.Main"), "program"),
        (native("s3://bucket/" + "x" * 250 + ".jar"), "program"),
    ],
    ids=["foreign program", "foreign jar", "protected conf", "version", "nothing", "class without jar", "long program"],
)
def test_what_could_never_be_launched_is_refused_and_changes_nothing(cloud: Cloud, what: RunSpec, field: str) -> None:
    job = job_of(cloud)
    assert refused(cloud, Invalid, lambda: cloud.submit(what, idempotency="once")).field == field
    refused(cloud, Invalid, lambda: run_job(cloud.ports, cloud.caller, job, Request(), lambda saved: what))
    refused(cloud, Invalid, lambda: job_of(cloud, what))


def test_a_main_class_in_a_jar_is_a_program(cloud: Cloud) -> None:
    assert cloud.submit(native(main_class="org.example.Main", jars=("s3://bucket/a.jar",)))


def test_a_pool_that_does_not_exist_is_not_found_and_changes_nothing(cloud: Cloud) -> None:
    elsewhere = spec(pool="nowhere")
    job = job_of(cloud)
    assert refused(cloud, NotFound, lambda: cloud.submit(elsewhere, idempotency="once")).field == "pool"
    refused(cloud, NotFound, lambda: job_of(cloud, elsewhere))
    refused(cloud, NotFound, lambda: run_job(cloud.ports, cloud.caller, job, Request(), lambda saved: elsewhere))
    refused(cloud, NotFound, lambda: submit(cloud.ports, cloud.caller, spec(pool="../default"), Request()))


def test_a_pool_of_another_workspace_is_not_found(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "team", "theirs")
    refused(cloud, NotFound, lambda: cloud.submit(spec(pool="theirs")))


def test_a_pools_spark_version_is_the_runs_unless_it_says_otherwise(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "old", defaults={"spark_version": "3.3"})
    assert cloud.run(cloud.submit(spec(pool="old"))).spec.spark_version == "3.3"
    assert cloud.run(cloud.submit(replace(spec(pool="old"), spark_version="3.4"))).spec.spark_version == "3.4"
    assert cloud.run(cloud.submit()).spec.spark_version == cloud.settings.default_spark


def test_a_pools_conf_is_beneath_the_runs_own_and_its_gpus_are_counted_against_the_limits(cloud: Cloud) -> None:
    conf = {"spark.a": "pool's", "spark.b": "pool's", "spark.executor.resource.gpu.amount": "1"}
    ensure_pool(cloud.ports, "main", "gpu", maximum=Amount(1 << 40, 1 << 40, 2, 9), defaults={"conf": conf})
    run = cloud.run(cloud.submit(replace(spec(pool="gpu"), conf={"spark.a": "mine"})))
    assert run.spec.conf == {**conf, "spark.a": "mine"}
    cloud.play()
    assert cloud.ledger.pools["main/gpu"].used.gpus == 1
    message = "The run asks for 3 GPUs in total, which is more than the 2 GPUs that pool gpu may ever hold."
    refused(cloud, Unschedulable, lambda: cloud.submit(spec(pool="gpu", executors=3)))
    with pytest.raises(Unschedulable, match=message):
        cloud.submit(spec(pool="gpu", executors=3))


def test_a_run_too_large_for_its_pool_is_refused_in_numbers_and_changes_nothing(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "default", maximum=runs(5, cores=3000))
    error = refused(cloud, Unschedulable, lambda: cloud.submit(spec(cores=2), idempotency="once"))
    assert "4 cores" in error.message


def test_a_parked_run_waits_until_its_pool_is_large_enough_and_lets_others_pass(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "default", maximum=runs(500, cores=3000))
    parked = [cloud.submit(spec(cores=2), park_oversized=True) for _ in range(120)]
    cloud.clock.advance(1000)
    small = cloud.submit()
    cloud.play()
    assert cloud.state(small) is RunState.LAUNCHING
    assert {cloud.state(id) for id in parked} == {RunState.QUEUED}
    assert cloud.run(parked[0]).reason == "OVERSIZED"
    ensure_pool(cloud.ports, "main", "default", maximum=runs(500))
    cloud.play()
    assert {cloud.state(id) for id in parked} == {RunState.LAUNCHING}
    assert cloud.run(parked[0]).reason == ""
    cloud.settle()
    cloud.check_over()


def test_a_job_at_its_limit_makes_a_skipped_run_that_says_so(cloud: Cloud) -> None:
    job = job_of(cloud, limit=2)
    numbers = [run_of(cloud, job).number_in_job for _ in range(2)]
    skipped = run_of(cloud, job)
    assert [*numbers, skipped.number_in_job] == [1, 2, 3]
    run = cloud.run(skipped.run)
    assert (run.state, run.reason, run.ended_at) == (RunState.SKIPPED, "MAX_CONCURRENT_RUNS", run.created_at)
    cloud.check_records()
    cloud.settle()
    assert run_of(cloud, job).number_in_job == 4
    cloud.settle()
    cloud.check_over()


def test_the_same_token_in_a_jobs_run_is_the_same_run_and_takes_no_number(cloud: Cloud) -> None:
    job = job_of(cloud, limit=5)
    first, again = run_of(cloud, job, idempotency="once"), run_of(cloud, job, idempotency="once")
    assert (again.run, again.created) == (first.run, False)
    assert cloud.store.get(JobActivity, "main", job).last_number == 1


def test_a_job_that_does_not_exist_is_not_found(cloud: Cloud) -> None:
    assert refused(cloud, NotFound, lambda: run_of(cloud, 77)).field == "job_id"
    job = job_of(cloud)
    stranger = Call(replace(cloud.caller.principal, workspace="team"))
    refused(cloud, NotFound, lambda: run_job(cloud.ports, stranger, job, Request(), lambda saved: saved.spec))


def test_a_job_deleted_while_its_run_is_made_makes_none(cloud: Cloud) -> None:
    job = job_of(cloud)

    def delete_first(changes: Sequence[Change]) -> None:
        cloud.store.before_commit = None
        for record in (cloud.store.get(Job, "main", job), cloud.store.get(JobActivity, "main", job)):
            del cloud.store.records[key(type(record), "main", job)]

    cloud.store.before_commit = delete_first
    with pytest.raises(NotFound):
        run_of(cloud, job)
    assert not cloud.store.all(Run)


def test_fifty_submissions_go_two_at_a_time_through_a_pool_that_holds_two(cloud: Cloud) -> None:
    ensure_pool(cloud.ports, "main", "default", maximum=runs(2))
    ids = []
    for _ in range(50):
        ids.append(cloud.submit())
        cloud.clock.advance(1)
    granted: list[int] = []
    for _ in range(400):
        cloud.play()
        cloud.check_capacity()
        holding = [run for run in cloud.store.all(Run) if run.holding]
        assert len(holding) <= 2
        if not cloud.live():
            break
        assert len(holding) == min(2, len(cloud.live()))
        cloud.progress()
    granted = [run for run, _, state in cloud.history if state is RunState.GRANTED]
    assert granted == ids
    assert {cloud.state(id) for id in ids} == {RunState.SUCCEEDED}
    cloud.check_over()
