"""Saved jobs: definitions that make runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib.core.errors import Conflict, NotFound, TooLarge
from chalicelib.core.ids import RANDOM_BITS, make_id
from chalicelib.core.model import NO_JOB, CronSchedule, Job, JobActivity, JobTally, Pool, Run, RunSpec
from chalicelib.core.states import Intent
from chalicelib.ports import Clash, Delete, Ports, Put, jobs_of_workspace, key, runs_of_job
from chalicelib.services import limits
from chalicelib.services.access import Call, read
from chalicelib.services.listings import pages
from chalicelib.services.runs import cancel, edit_run
from chalicelib.services.submission import ATTEMPTS, check_nesting, check_spec

MAX_SETTINGS = 100_000
"""Bytes of a saved job's settings; with the spec made of them, a job must fit an item of the table several times."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a job is made of: the spec of its runs, its policy among them, its schedule, and its dialect's own words.
    `fields` are the dialect's names for the spec's parts, for errors (`check_spec`)."""

    spec: RunSpec
    max_concurrent_runs: int
    settings: Mapping[str, Any]
    schedule: CronSchedule | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


def create_job(ports: Ports, call: Call, wanted: Definition) -> Job:
    """Save a job. Raises Invalid, NotFound for its pool, and TooMany at the workspace's limits."""
    _check(ports, call, wanted)
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        now = ports.clock.now()
        id = make_id(now, ports.dice.bits(RANDOM_BITS))
        job = _defined(Job(call.workspace, id, wanted.spec, call.principal.name, now), wanted, now)
        tally = limits.with_one_more_job(ports, call)
        try:
            ports.store.commit([Put(job), Put(JobActivity(call.workspace, id)), Put(tally)])
            return job
        except Clash:
            call = replace(call, snapshot={})
    raise Conflict("Too many jobs are being created at once; please try again.")


def redefine_job(ports: Ports, call: Call, job: int, define: Callable[[Job], Definition]) -> Job:
    """Give a job another definition, made of the one that it has; runs that live keep theirs. Raises as `create_job`
    does, and NotFound."""
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = get_job(ports, call, job)
        wanted = define(found)
        _check(ports, call, wanted, job)
        changed = _defined(found, wanted, ports.clock.now())
        try:
            ports.store.commit([Put(changed)])
            return changed
        except Clash:
            call = replace(call, snapshot={})
    raise Conflict("The job is being changed by too many at once; please try again.")


def _defined(job: Job, wanted: Definition, now: int) -> Job:
    """The job with a definition. A schedule that is new, changed or unpaused counts from now: it owes no older fire."""
    schedule = wanted.schedule
    if schedule and job.schedule and replace(schedule, since=0) == replace(job.schedule, since=0):
        schedule = job.schedule
    elif schedule:
        schedule = replace(schedule, since=now)
    return replace(
        job,
        spec=wanted.spec,
        max_concurrent_runs=wanted.max_concurrent_runs,
        settings=wanted.settings,
        schedule=schedule,
    )


def _check(ports: Ports, call: Call, wanted: Definition, job: int = NO_JOB) -> None:
    check_spec(ports, wanted.spec, wanted.fields)
    check_nesting(ports, call, wanted.spec, job, field=wanted.fields.get("program", "program"))
    if len(json.dumps(wanted.settings)) > MAX_SETTINGS:
        raise TooLarge(f"The job's settings are larger than {MAX_SETTINGS} bytes.", field="settings")
    pool_key = key(Pool, call.workspace, wanted.spec.pool)
    if pool_key not in read(ports, call, [pool_key]):
        raise NotFound("Pool", wanted.spec.pool, field="pool")


def get_job(ports: Ports, call: Call, job: int) -> Job:
    """A saved job. Raises NotFound."""
    job_key = key(Job, call.workspace, job)
    found = read(ports, call, [job_key]).get(job_key)
    if not isinstance(found, Job):
        raise NotFound("Job", job, field="job_id")
    return found


def list_jobs(ports: Ports, call: Call) -> list[Job]:
    """All saved jobs, oldest first."""
    return [job for page in pages(ports, jobs_of_workspace(call.workspace), size=1000) for job in page]


def delete_job(ports: Ports, call: Call, job: int) -> None:
    """Remove a job; no error when it is not there. No new runs can be made of it from now on, and the stream sees to
    it that those which live are asked to end (`retire`)."""
    keys = [key(Job, call.workspace, job), key(JobActivity, call.workspace, job)]
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = ports.store.fetch([*keys, key(JobTally, call.workspace)])
        tally = found.pop(key(JobTally, call.workspace), None)
        if not found:
            return
        fewer = [Put(replace(tally, saved=tally.saved - 1))] if tally and keys[0] in found else []
        try:
            ports.store.commit([*(Delete(record) for record in found.values()), *fewer])
            return
        except Clash:
            continue
    raise Conflict("The job is in use by too many at once; please try again.")


def retire(ports: Ports, activity: JobActivity) -> None:
    """After a job was removed: ask its runs that live to end, and hide all that it ever made.

    May be killed anywhere and called again: a hidden run is in no listing, so what is left is what is still to do.
    """
    _cancel_all(ports, activity.workspace, activity.active)
    for run in activity.active:
        _hide(ports, activity.workspace, run)
    for page in pages(ports, runs_of_job(activity.workspace, activity.job), size=100, newest_first=True):
        for made in page:
            _hide(ports, activity.workspace, made.id)


def _hide(ports: Ports, workspace: str, run: int) -> None:
    edit_run(ports, workspace, run, lambda found: replace(found, hidden=True))


def cancel_runs_of(ports: Ports, call: Call, job: int) -> None:
    """Ask all active runs of a job to end. Raises NotFound."""
    keys = [key(Job, call.workspace, job), key(JobActivity, call.workspace, job)]
    found = read(ports, call, keys)
    if keys[0] not in found:
        raise NotFound("Job", job, field="job_id")
    activity = found.get(keys[1])
    _cancel_all(ports, call.workspace, activity.active if activity else frozenset())


def _cancel_all(ports: Ports, workspace: str, runs: frozenset[int]) -> None:
    found = ports.store.fetch([key(Run, workspace, run) for run in runs])
    for run in found.values():
        cancel(ports, run, Intent.CANCEL)
