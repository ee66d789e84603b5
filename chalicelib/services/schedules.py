"""Jobs that run by themselves. One cron engine computes every fire; a timer per job brings it (DESIGN, "Time is ours").

A fire makes one run, however often it is brought: the run is keyed by the job and the instant. Missed fires: one that
comes less than a minute late is made up for, each; of those that were missed for longer (nothing ran) the oldest is run
once, and the schedule goes on from now. Whatever is late or lost is found by the sweep.
"""

from __future__ import annotations

from chalicelib.core.capacity import Ledger
from chalicelib.core.cron import Schedule, next_after
from chalicelib.core.errors import SparkplaneError
from chalicelib.core.model import CronSchedule, Job, JobActivity, Principal, Trigger
from chalicelib.ports import Ports, key, scheduled_jobs
from chalicelib.services.access import Call
from chalicelib.services.submission import Request, run_job

LATE_MS = 60_000
"""Fires that are later than this are not made up for one by one."""

LOOK_AHEAD_MS = 2 * 3_600_000
"""The sweep arranges the fires of this time again, in case that they were lost; it comes more often than that."""


def next_fire(schedule: CronSchedule | None, after: int) -> int | None:
    """The first fire strictly after an instant; None for none, or while paused."""
    if schedule is None or schedule.paused:
        return None
    return next_after(Schedule.parse_quartz(schedule.expression), after, schedule.zone)


def arm(ports: Ports, job: Job, after: int | None = None) -> None:
    """Arrange a job's next fire after an instant (now), in place of what was arranged."""
    fire = next_fire(job.schedule, ports.clock.now() if after is None else after)
    if fire is None:
        ports.timers.disarm(job.workspace, job.id)
    else:
        ports.timers.arm(job.workspace, job.id, fire)


def due(ports: Ports, workspace: str, job: int, fire: int) -> str:
    """A job's fire was brought: make its run, and arrange the next one. Returns why no run was made, if none was.

    A fire that is still to come is arranged again; one that the job's schedule does not have (it was changed) makes
    nothing.
    """
    job_key = key(Job, workspace, job)
    found: Job | None = ports.store.fetch([job_key]).get(job_key)
    if found is None:
        return "the job was removed"
    now = ports.clock.now()
    if fire > now:
        ports.timers.arm(workspace, job, fire)
        return "not yet"
    refused = "the schedule was changed"
    if next_fire(found.schedule, fire - 1) == fire:
        refused = _run(ports, found, fire)
    arm(ports, found, fire if now - fire < LATE_MS else now)
    return refused


def _run(ports: Ports, job: Job, fire: int) -> str:
    """Make the run of a fire, as the job's creator. What its creator would be refused is refused here too; the reason
    is the answer. The token is longer than any that a caller may give, so that none can take its place."""
    call = Call(Principal(job.workspace, job.created_by))
    request = Request(idempotency=f"schedule:{job.id:032d}:{fire:032d}", trigger=Trigger.SCHEDULE, fire=fire)
    try:
        run_job(ports, call, job.id, request, lambda saved: saved.spec)
    except SparkplaneError as error:
        return error.message
    return ""


def recover(ports: Ports, cluster: str) -> int:
    """Arrange again what should fire soon, and bring what was missed, in all workspaces of a cluster. Returns how many
    fires had been missed."""
    ledger: Ledger | None = ports.store.fetch([key(Ledger, cluster)]).get(key(Ledger, cluster))
    workspaces = {name.partition("/")[0] for name in ledger.pools} if ledger else set()
    return sum(_recover(ports, workspace) for workspace in sorted(workspaces))


def _recover(ports: Ports, workspace: str) -> int:
    missed, after = 0, ""
    while True:
        page = ports.store.page(scheduled_jobs(workspace), limit=100, after=after, newest_first=False)
        activities = ports.store.fetch([key(JobActivity, workspace, job.id) for job in page.records])
        for job in page.records:
            activity: JobActivity | None = activities.get(key(JobActivity, workspace, job.id))
            missed += _look_at(ports, job, activity.fired if activity else 0)
        after = page.next
        if not after:
            return missed


def _look_at(ports: Ports, job: Job, fired: int) -> int:
    now = ports.clock.now()
    fire = next_fire(job.schedule, max(fired, job.schedule.since if job.schedule else now))
    if fire is None or fire > now + LOOK_AHEAD_MS:
        return 0
    if fire > now - LATE_MS:
        ports.timers.arm(job.workspace, job.id, fire)
        return 0
    due(ports, job.workspace, job.id, fire)
    return 1
