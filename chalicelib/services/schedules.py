"""Jobs that run by themselves. One cron engine computes every fire; a timer per job brings it (DESIGN, "Time is ours").

What a schedule owes follows from the table alone: the first fire after `since` (the schedule is new, was changed or
unpaused) and after `fired` (what its fires have come to so far). A timer is only a doorbell that says "look": one that
comes twice, too early, or for a schedule that was changed meanwhile does no harm, and one that is lost is found by the
sweep. A fire's run and `fired` are written together, and the run is keyed by job and fire: one run for one fire.

Missed fires: those that come less than a minute late are made up for, each in turn. When the first that is owed is
later than that, it is run once for all that were missed, and the schedule goes on from now.
"""

from __future__ import annotations

from dataclasses import replace

from chalicelib.core.capacity import Ledger
from chalicelib.core.cron import Schedule, next_after
from chalicelib.core.errors import Conflict, SparkplaneError
from chalicelib.core.model import CronSchedule, Job, JobActivity, Principal, Trigger
from chalicelib.ports import Clash, Ports, Put, key, scheduled_jobs
from chalicelib.services.access import Call
from chalicelib.services.listings import pages
from chalicelib.services.submission import ATTEMPTS, Request, run_job

LATE_MS = 60_000
"""Fires that are later than this are not made up for one by one."""

SKEW_MS = 1000
"""By how much a fire's own ring may come early and yet count as on time: it was sent by another clock."""

LOOK_AHEAD_MS = 2 * 3_600_000
"""The sweep arranges the fires of this time again, in case that they were lost; it comes more often than that."""


def next_fire(schedule: CronSchedule | None, after: int) -> int | None:
    """The first fire strictly after an instant; None for none, or while paused."""
    if schedule is None or schedule.paused:
        return None
    return next_after(Schedule.parse_quartz(schedule.expression), after, schedule.zone)


def owed(job: Job | None, activity: JobActivity | None) -> int | None:
    """The first fire of a job that has come to nothing yet, be it past or to come; None if there is none."""
    if job is None or job.schedule is None:
        return None
    return next_fire(job.schedule, max(job.schedule.since, activity.fired if activity else 0))


def arm(ports: Ports, workspace: str, job: int) -> None:
    """Arrange the first fire that a job owes, in place of what was arranged. Looks again afterwards: whoever changes
    the job meanwhile arranges too, and of the two it must be the newer one that stays."""
    arranged: int | None = -1
    while (fire := owed(*_read(ports, workspace, job))) != arranged:
        if fire is None:
            ports.timers.disarm(workspace, job)
        else:
            ports.timers.arm(workspace, job, fire)
        arranged = fire


def due(ports: Ports, workspace: str, job: int, fire: int) -> str:
    """A job's timer rang, for a fire: make the run that the job owes now, and arrange what it owes next. Returns why no
    run was made, if none was. Raises Conflict, after which it is to be called again."""
    found, activity = _read(ports, workspace, job)
    first = owed(found, activity)
    ahead = (first or 0) - ports.clock.now()
    if found is None:
        refused = "the job was removed"
    elif first is None:
        refused = "the schedule was paused or removed, or is over"
    elif ahead > (SKEW_MS if first == fire else 0):
        refused = "nothing is due yet"
    else:
        refused = _run(ports, found, first)
    arm(ports, workspace, job)
    return refused


def _read(ports: Ports, workspace: str, job: int) -> tuple[Job | None, JobActivity | None]:
    keys = key(Job, workspace, job), key(JobActivity, workspace, job)
    found = ports.store.fetch(keys)
    return found.get(keys[0]), found.get(keys[1])


def _run(ports: Ports, job: Job, fire: int) -> str:
    """Make the run of a fire, as the job's creator. What its creator would be refused is refused here too, once; the
    reason is the answer. The token is longer than any that a caller may give, so that none can take its place."""
    now = ports.clock.now()
    until = fire if now - fire < LATE_MS else now
    call = Call(Principal(job.workspace, job.created_by))
    request = Request(idempotency=f"schedule:{job.id:032d}:{fire:032d}", trigger=Trigger.SCHEDULE, fire=until)
    try:
        run_job(ports, call, job.id, request, lambda saved: saved.spec)
    except Conflict:
        raise  # nobody refused: others were quicker, and the fire is still owed
    except SparkplaneError as error:
        _settle(ports, job, until)
        return error.message
    return ""


def _settle(ports: Ports, job: Job, until: int) -> None:
    """Note that the fires up to an instant have come to what they could, where no run notes it."""
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        _, activity = _read(ports, job.workspace, job.id)
        if activity is None or activity.fired >= until:
            return
        try:
            ports.store.commit([Put(replace(activity, fired=until))])
            return
        except Clash:
            continue
    raise Conflict("The job is in use by too many at once; please try again.")


def recover(ports: Ports, cluster: str) -> int:
    """Arrange again what should fire soon, and bring what was missed, in all workspaces of a cluster. Returns how many
    jobs had missed fires."""
    ledger: Ledger | None = ports.store.fetch([key(Ledger, cluster)]).get(key(Ledger, cluster))
    workspaces = {name.partition("/")[0] for name in ledger.pools} if ledger else set()
    return sum(_recover(ports, workspace) for workspace in sorted(workspaces))


def _recover(ports: Ports, workspace: str) -> int:
    missed = 0
    for jobs in pages(ports, scheduled_jobs(workspace), size=100):
        activities = ports.store.fetch([key(JobActivity, workspace, job.id) for job in jobs])
        missed += sum(_look_at(ports, job, activities.get(key(JobActivity, workspace, job.id))) for job in jobs)
    return missed


def _look_at(ports: Ports, job: Job, activity: JobActivity | None) -> int:
    """Arrange a job's fire if it is near, bring it if it is past: not by a ring, which comes but once for a fire. The
    job is from a listing, and may be old: what is done for it is decided by what is stored."""
    fire, now = owed(job, activity), ports.clock.now()
    if fire is None or fire > now + LOOK_AHEAD_MS:
        return 0
    if fire > now:
        arm(ports, job.workspace, job.id)
        return 0
    due(ports, job.workspace, job.id, fire)
    return 1 if now - fire >= LATE_MS else 0
