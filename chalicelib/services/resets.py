"""What a job's new settings change in its runs that live: their time-out and their notifications (seed 004, "Reset").

It follows from the table's stream: whoever resets a job waits for nobody. A run that is made of the old settings in the
very moment of a reset keeps them.
"""

from __future__ import annotations

from dataclasses import replace

from chalicelib.core.model import Job, JobActivity, Run
from chalicelib.core.states import Intent
from chalicelib.ports import Ports, key
from chalicelib.services import workflow
from chalicelib.services.runs import edit_run


def reaches(before: Job, after: Job) -> bool:
    """Whether a job's change concerns the runs that live."""
    return (before.spec.policy.timeout_ms, before.spec.notifications) != (
        after.spec.policy.timeout_ms,
        after.spec.notifications,
    )


def reach(ports: Ports, workspace: str, job: int) -> int:
    """Give the live runs of a job its time-out and notifications, as they are stored now, and have the executions that
    wait for their drivers look at the new deadline. Looks again until no attempt has taken an older one's place
    meanwhile. Returns how many runs it looked at; may be done twice, and killed anywhere."""
    keys = [key(Job, workspace, job), key(JobActivity, workspace, job)]
    reached: set[int] = set()
    while True:
        found = ports.store.fetch(keys)
        saved: Job | None = found.get(keys[0])
        activity: JobActivity | None = found.get(keys[1])
        new = activity.active - reached if saved and activity else frozenset()
        if saved is None or not new:
            return len(reached)
        for run in sorted(new):
            _apply(ports, saved, run)
        reached |= new


def _apply(ports: Ports, job: Job, run: int) -> None:
    def changed(found: Run) -> Run | None:
        if found.ended:
            return None
        policy = replace(found.spec.policy, timeout_ms=job.spec.policy.timeout_ms)
        return replace(found, spec=replace(found.spec, policy=policy, notifications=job.spec.notifications))

    found = edit_run(ports, job.workspace, run, changed)
    if found and found.holding and found.intent is Intent.NONE:
        workflow.rouse(ports, found)
