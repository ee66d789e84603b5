"""Saved jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.core.errors import NotFound
from chalicelib.core.model import Job, JobActivity, Run
from chalicelib.core.states import RunState
from chalicelib.services.access import Call
from chalicelib.services.jobs import Definition, cancel_runs_of, create_job, delete_job, get_job, list_jobs
from chalicelib.services.submission import Request, run_job
from tests.unit.cloud import Cloud, spec


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def saved(cloud: Cloud, name: str = "work", limit: int = 5) -> int:
    return create_job(cloud.ports, cloud.caller, Definition(spec(name), limit, {"name": name})).id


def with_runs(cloud: Cloud) -> tuple[int, list[int]]:
    """A job with a run in each live state that lasts: running, launching, queued."""
    job = saved(cloud)
    ids = []
    for _ in range(3):
        ids.append(run_job(cloud.ports, cloud.caller, job, Request(), lambda saved: saved.spec).run)
        if len(ids) < 3:
            cloud.play()
        if len(ids) == 1:
            cloud.engine.become(cloud.driver(ids[0]), "RUNNING")
    return job, ids


def test_a_job_is_found_with_what_its_dialect_keeps(cloud: Cloud) -> None:
    job = saved(cloud, "nightly")
    found = get_job(cloud.ports, cloud.caller, job)
    assert (found.spec.name, found.settings, found.created_by) == ("nightly", {"name": "nightly"}, "alice")


def test_jobs_are_listed_oldest_first_however_many(cloud: Cloud) -> None:
    ids = []
    for number in range(1003):
        cloud.store.seed(Job("main", number + 1, spec(), "alice", 0))
        ids.append(number + 1)
    cloud.store.seed(Job("team", 5000, spec(), "bob", 0))
    assert [job.id for job in list_jobs(cloud.ports, cloud.caller)] == ids


def test_a_job_of_another_workspace_is_not_found_and_not_touched(cloud: Cloud) -> None:
    job, _ = with_runs(cloud)
    stranger = Call(replace(cloud.caller.principal, workspace="team"))
    before = cloud.store.snapshot()
    with pytest.raises(NotFound):
        get_job(cloud.ports, stranger, job)
    with pytest.raises(NotFound):
        cancel_runs_of(cloud.ports, stranger, job)
    delete_job(cloud.ports, stranger, job)
    assert cloud.store.snapshot() == before
    assert list_jobs(cloud.ports, stranger) == []


def test_deleting_a_job_ends_its_runs(cloud: Cloud) -> None:
    job, ids = with_runs(cloud)
    delete_job(cloud.ports, cloud.caller, job)
    assert not cloud.store.all(Job) and not cloud.store.all(JobActivity)
    with pytest.raises(NotFound):
        run_job(cloud.ports, cloud.caller, job, Request(), lambda saved: saved.spec)
    cloud.settle()
    assert [cloud.state(id) for id in ids] == [RunState.CANCELED] * 3
    cloud.check_over()


def test_deleting_a_job_twice_or_one_that_never_was_is_no_error(cloud: Cloud) -> None:
    job = saved(cloud)
    delete_job(cloud.ports, cloud.caller, job)
    delete_job(cloud.ports, cloud.caller, job)
    delete_job(cloud.ports, cloud.caller, 77)


def test_a_jobs_runs_can_be_cancelled_all_at_once_and_no_others(cloud: Cloud) -> None:
    other = cloud.running()
    job, ids = with_runs(cloud)
    cancel_runs_of(cloud.ports, cloud.caller, job)
    cloud.settle()
    assert [cloud.state(id) for id in ids] == [RunState.CANCELED] * 3
    assert cloud.state(other) is RunState.SUCCEEDED
    assert get_job(cloud.ports, cloud.caller, job)
    with pytest.raises(NotFound):
        cancel_runs_of(cloud.ports, cloud.caller, 77)


def test_two_jobs_made_in_one_millisecond_have_ids_of_their_own(cloud: Cloud) -> None:
    cloud.dice.loaded = [9, 9, 10]
    assert saved(cloud) != saved(cloud)
    assert len(cloud.store.all(Job)) == 2
    assert not cloud.store.all(Run)
