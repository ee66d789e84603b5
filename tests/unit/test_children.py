"""Runs that run jobs: one child each, whose end is the parent's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.model import Job, Policy, Run, RunSpec, Trigger
from chalicelib.core.states import Intent, RunState
from chalicelib.services.children import TAKE_PARAMETERS
from chalicelib.services.jobs import Definition, create_job, delete_job, redefine_job
from chalicelib.services.pools import ensure_pool
from chalicelib.services.runs import cancel_run, delete_run
from chalicelib.services.submission import MAX_NESTING, Request, run_job
from tests.unit.cloud import Cloud, job_spec, runs, spec

S = RunState


def saved(cloud: Cloud, what: RunSpec | None = None, at_once: int = 5) -> int:
    return create_job(cloud.ports, cloud.caller, Definition(what or spec("child"), at_once, {})).id


def child_of(cloud: Cloud, parent: int) -> Run:
    (child,) = [run for run in cloud.store.all(Run) if run.parent == parent and not run.attempt]
    assert isinstance(child, Run)
    return child


def full(cloud: Cloud) -> None:
    """A pool in which one run leaves no room for another."""
    ensure_pool(cloud.ports, "main", "default", maximum=runs(1))
    cloud.running()


def family(cloud: Cloud, policy: Policy = Policy()) -> tuple[int, int]:
    """A parent whose child's driver runs; returns their ids."""
    parent = cloud.submit(job_spec(saved(cloud), policy))
    cloud.play()
    child = child_of(cloud, parent).id
    cloud.engine.become(cloud.driver(child), "RUNNING")
    cloud.play()
    return parent, child


def test_a_parent_makes_a_run_of_the_job_and_runs_while_it_lives() -> None:
    cloud = Cloud()
    parent, child = family(cloud)
    made = cloud.run(child)
    assert (made.trigger, made.parent, made.depth, made.created_by) == (Trigger.RUN_JOB, parent, 1, "alice")
    assert cloud.state(parent) is S.RUNNING and cloud.run(parent).engine_id == str(child)
    assert [launch.run.id for launch in cloud.engine.launches] == [child]
    cloud.check_capacity()


def test_the_parent_runs_as_soon_as_its_child_is_made_even_if_that_waits() -> None:
    cloud = Cloud()
    full(cloud)
    parent = cloud.submit(job_spec(saved(cloud)))
    cloud.play()
    assert (cloud.state(parent), child_of(cloud, parent).state) == (S.RUNNING, S.QUEUED)


def test_a_parent_needs_none_of_the_capacity_that_its_child_waits_for() -> None:
    cloud = Cloud()
    ensure_pool(cloud.ports, "main", "default", maximum=runs(1))
    parent, child = family(cloud)
    assert (cloud.state(parent), cloud.state(child)) == (S.RUNNING, S.RUNNING)


def test_the_childs_end_wakes_the_parent_without_time_passing() -> None:
    cloud = Cloud()
    parent, child = family(cloud)
    cloud.engine.become(cloud.driver(child), "COMPLETED")
    cloud.play()
    assert cloud.state(parent) is S.SUCCEEDED
    cloud.check_over()


@pytest.mark.parametrize(
    ("end", "state", "reason", "words"),
    [
        (S.FAILED, S.FAILED, "CHILD_FAILED", "failed: the cause"),
        (S.CANCELED, S.CANCELED, "CHILD_CANCELED", "was cancelled: the cause"),
        (S.TIMED_OUT, S.FAILED, "CHILD_TIMED_OUT", "timed out: the cause"),
        (S.INTERNAL_ERROR, S.FAILED, "CHILD_INTERNAL_ERROR", "met an internal error: the cause"),
    ],
)
def test_a_parent_ends_as_its_child_does_and_names_it(end: S, state: S, reason: str, words: str) -> None:
    cloud = Cloud()
    parent, child = family(cloud)
    made = cloud.run(child)
    cloud.store.seed(replace(made, state=end, message="the cause", ended_at=cloud.clock.now()))
    for execution in cloud.workflows.live():
        cloud.clock.time = max(cloud.clock.time, execution.times_out_at)
    cloud.play()
    ended = cloud.run(parent)
    assert (ended.state, ended.reason) == (state, reason)
    assert ended.message == f"Run {child} of job {made.job} (child) {words}"


def test_a_child_that_is_skipped_fails_its_parent() -> None:
    cloud = Cloud()
    parent = cloud.submit(job_spec(saved(cloud, at_once=0)))
    cloud.play()
    ended = cloud.run(parent)
    assert (ended.state, ended.reason) == (S.FAILED, "CHILD_SKIPPED")
    assert "was skipped: The job is at its limit of 0 concurrent runs." in ended.message


def test_a_job_that_is_gone_by_then_fails_the_run_with_its_sentence() -> None:
    cloud = Cloud()
    job = saved(cloud)
    parent = cloud.submit(job_spec(job))
    delete_job(cloud.ports, cloud.caller, job)
    cloud.play()
    ended = cloud.run(parent)
    assert (ended.state, ended.message) == (S.FAILED, f"Job {job} does not exist.")
    cloud.check_over()


def test_a_child_that_was_deleted_fails_the_parent_that_had_not_heard_of_its_end() -> None:
    cloud = Cloud()
    parent, child = family(cloud)
    waiting = next(e for e in cloud.workflows.live() if e.run == parent)
    cloud.workflows.lose(waiting)
    cloud.engine.become(cloud.driver(child), "COMPLETED")
    cloud.tell()
    cloud.lose("follow")
    delete_run(cloud.ports, cloud.caller, child)
    cloud.sweep()
    cloud.play()
    ended = cloud.run(parent)
    assert (ended.state, ended.message) == (S.FAILED, f"Run {child}, which this run waited for, was deleted.")


def test_cancelling_the_parent_cancels_a_child_that_runs() -> None:
    cloud = Cloud()
    parent, child = family(cloud)
    cancel_run(cloud.ports, cloud.caller, parent)
    cloud.play()
    assert cloud.state(parent) is S.TERMINATING and cloud.run(child).intent is Intent.CANCEL
    cloud.settle()
    assert (cloud.state(parent), cloud.state(child)) == (S.CANCELED, S.CANCELED)


def test_cancelling_the_parent_cancels_a_child_that_waits() -> None:
    cloud = Cloud()
    full(cloud)
    parent = cloud.submit(job_spec(saved(cloud)))
    cloud.play()
    cancel_run(cloud.ports, cloud.caller, parent)
    cloud.play()
    assert (cloud.state(parent), child_of(cloud, parent).state) == (S.CANCELED, S.CANCELED)


def test_deleting_the_parents_job_ends_the_child() -> None:
    cloud = Cloud()
    job = saved(cloud, job_spec(saved(cloud)))
    parent = run_job(cloud.ports, cloud.caller, job, Request(), lambda j: j.spec).run
    cloud.play()
    delete_job(cloud.ports, cloud.caller, job)
    cloud.settle()
    assert (cloud.state(parent), child_of(cloud, parent).state) == (S.CANCELED, S.CANCELED)


def test_the_sweep_ends_a_child_whose_parent_has_ended_without_it() -> None:
    cloud = Cloud()
    parent, child = family(cloud)
    cloud.store.seed(replace(cloud.run(parent), state=S.FAILED, ended_at=cloud.clock.now()))
    cloud.sweep()
    cloud.settle()
    assert cloud.state(child) is S.CANCELED


@pytest.mark.parametrize("between", [0, 1, 3])
def test_a_job_cannot_come_to_run_itself(between: int) -> None:
    cloud = Cloud()
    first = last = saved(cloud)
    chain = []
    for _ in range(between):
        last = saved(cloud, job_spec(last))
        chain.append(last)
    with pytest.raises(Invalid) as refused:
        redefine_job(cloud.ports, cloud.caller, first, lambda job: Definition(job_spec(last), 5, {}))
    told = [first, *reversed(chain), first]
    assert (
        refused.value.message
        == "A job cannot run itself: "
        + ", which runs ".join([f"job {told[0]} runs job {told[1]}", *(f"job {link}" for link in told[2:])])
        + "."
    )
    assert cloud.store.get(Job, "main", first).spec == spec("child")


def test_jobs_nest_only_so_deep_when_they_are_defined() -> None:
    cloud = Cloud()
    job = saved(cloud)
    for _ in range(MAX_NESTING):
        job = saved(cloud, job_spec(job))
    with pytest.raises(Invalid, match=f"nested {MAX_NESTING} deep"):
        saved(cloud, job_spec(job))


def test_jobs_that_came_to_run_each_other_nest_only_so_deep() -> None:
    cloud = Cloud()
    one = saved(cloud, at_once=100)
    two = saved(cloud, job_spec(one), at_once=100)
    job = cloud.store.get(Job, "main", one)
    cloud.store.seed(replace(job, spec=job_spec(two)))  # as two editors at once may leave it
    parent = run_job(cloud.ports, cloud.caller, one, Request(), lambda j: j.spec).run
    cloud.settle()
    made = cloud.store.all(Run)
    assert len(made) == MAX_NESTING + 1 and {run.state for run in made} == {S.FAILED}
    assert max(run.depth for run in made) == MAX_NESTING
    assert "nested" in cloud.run(parent).message
    cloud.check_over()


@pytest.mark.parametrize("job", [1, 1 << 52])
def test_a_job_that_is_not_there_is_refused_at_once(job: int) -> None:
    cloud = Cloud()
    for make in (lambda: saved(cloud, job_spec(job)), lambda: cloud.submit(job_spec(job))):
        with pytest.raises(NotFound, match=f"Job {job} does not exist."):
            make()
    assert not cloud.store.all(Job) and not cloud.store.all(Run)


def test_parameters_for_a_job_without_named_ones_fail_the_run() -> None:
    cloud = Cloud()
    job = saved(cloud)
    program = replace(job_spec(job).program, parameters={"a": "1"})
    assert spec().program.kind not in TAKE_PARAMETERS
    parent = cloud.submit(replace(job_spec(job), program=program))
    cloud.play()
    assert cloud.run(parent).message == f"Job {job} takes no job_parameters: its task has no named parameters."
    assert len(cloud.store.all(Run)) == 1


def test_parameters_are_handed_on_by_jobs_that_run_jobs() -> None:
    cloud = Cloud()
    middle = saved(cloud, job_spec(saved(cloud)))
    program = replace(job_spec(middle).program, parameters={"a": "1"})
    parent = cloud.submit(replace(job_spec(middle), program=program))
    cloud.play()
    assert child_of(cloud, parent).spec.program.parameters == {"a": "1"}
