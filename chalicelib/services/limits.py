"""What a workspace may have and make (seed 004, "Run now"): runs that live, saved jobs, runs and jobs in an hour.

Runs are counted by the feed, which whoever submits reads along: no write more, and exact to the feed, which is about a
second behind. So submissions that come together may pass a limit by as many as come within that second. Jobs are
counted with the transaction that saves or removes one, exactly. An hour is one of the clock's: counting begins anew at
each. Retries and the marks of what is over count for nothing. What the feed lost (a record that went to the dead
letters) the sweep finds: when it counts the same difference twice, it believes itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from chalicelib.core.capacity import Ledger
from chalicelib.core.errors import Exhausted, QuotaExceeded, TooMany
from chalicelib.core.model import FeedHead, JobTally, Run, Trigger
from chalicelib.ports import Clash, Key, Ports, Put, holds_of, jobs_of_workspace, key, queues_of
from chalicelib.services.access import Call, read
from chalicelib.services.listings import pages

HOUR_MS = 3_600_000


def keys(workspace: str) -> list[Key]:
    """The records that say how much a workspace has and made."""
    return [key(FeedHead, workspace), key(JobTally, workspace)]


def of_runs(ports: Ports, workspace: str, found: Mapping[Key, object]) -> TooMany | None:
    """Why a workspace may not make one more run now, None if it may."""
    head = found.get(key(FeedHead, workspace))
    most = ports.settings.max_active_runs
    if isinstance(head, FeedHead) and head.active >= most:
        return TooMany(f"There are already {head.active} active runs (limit: {most}).")
    return _of_the_hour(ports, workspace, found)


def _of_the_hour(ports: Ports, workspace: str, found: Mapping[Key, object]) -> TooMany | None:
    hour, most = ports.clock.now() // HOUR_MS, ports.settings.max_made_in_hour
    counts = [found.get(one) for one in keys(workspace)]
    made = sum(c.made_in_hour for c in counts if isinstance(c, FeedHead | JobTally) and c.hour == hour)
    if made < most:
        return None
    return Exhausted(
        f"Too many requests. Please wait a moment: {made} jobs and runs were created in this hour (limit: {most})."
    )


def counted(head: FeedHead, run: Run) -> FeedHead:
    """The head of the feed with a run's new state counted: one that is new, or one that is over."""
    if run.version > 1:
        return replace(head, active=head.active - 1) if run.ended else head
    hour = run.created_at // HOUR_MS
    active = head.active if run.ended else head.active + 1
    if run.trigger is Trigger.RETRY or hour < head.hour:
        return replace(head, active=active)
    return replace(head, active=active, hour=hour, made_in_hour=1 + (head.made_in_hour if hour == head.hour else 0))


def with_one_more_job(ports: Ports, call: Call) -> JobTally:
    """The workspace's tally with one more job, to be written with the job. Raises QuotaExceeded, Exhausted."""
    found = read(ports, call, keys(call.workspace))
    if refused := _of_the_hour(ports, call.workspace, found):
        raise refused
    tally = found.get(key(JobTally, call.workspace)) or _first_tally(ports, call.workspace)
    if tally.saved >= ports.settings.max_jobs:
        raise QuotaExceeded(ports.settings.max_jobs)
    hour = ports.clock.now() // HOUR_MS
    made = tally.made_in_hour if tally.hour == hour else 0
    return replace(tally, saved=tally.saved + 1, hour=hour, made_in_hour=made + 1)


def _first_tally(ports: Ports, workspace: str) -> JobTally:
    """What a workspace has that nobody has counted yet."""
    return JobTally(workspace, sum(len(page) for page in pages(ports, jobs_of_workspace(workspace), size=1000)))


def recount(ports: Ports, cluster: str) -> None:
    """Count the runs that live, by the places that they take, and put right what the feed has counted if it is wrong by
    the same number as the last time: a difference that comes and goes is only what the feed has not heard of yet."""
    live: Counter[str] = Counter()
    for listing in (holds_of(cluster), queues_of(cluster)):
        for page in pages(ports, listing, size=500):
            live.update(record.workspace for record in page)
    workspaces = _workspaces(ports, cluster) | set(live)
    heads = ports.store.fetch([key(FeedHead, workspace) for workspace in workspaces]) if workspaces else {}
    for head in heads.values():
        doubt = live[head.workspace] - head.active
        if doubt and doubt == head.doubt:
            _write(ports, replace(head, active=head.active + doubt, doubt=0))
        elif doubt != head.doubt:
            _write(ports, replace(head, doubt=doubt))


def _workspaces(ports: Ports, cluster: str) -> set[str]:
    ledger: Ledger | None = ports.store.fetch([key(Ledger, cluster)]).get(key(Ledger, cluster))
    return {name.partition("/")[0] for name in ledger.pools} if ledger else set()


def _write(ports: Ports, head: FeedHead) -> None:
    try:
        ports.store.commit([Put(head)])
    except Clash:
        return  # the feed went on; the next sweep counts again
