"""Reading, cancelling and deleting runs, in any dialect: a run is the same run whoever submitted it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chalicelib.core import transitions
from chalicelib.core.capacity import pool_key
from chalicelib.core.errors import Conflict, Invalid, InvalidState, NotFound
from chalicelib.core.model import NO_JOB, Hold, Idempotency, JobActivity, QueueRow, Run
from chalicelib.core.policy import Outcome
from chalicelib.core.states import Intent, RunState
from chalicelib.ports import Change, Clash, Delete, Key, Listing, Page, Ports, Put, Release, key, position
from chalicelib.services.access import Call, read
from chalicelib.services.submission import ATTEMPTS, queue_row

CANCELLED_EARLY = Outcome(RunState.CANCELED, "BY_CANCEL", "Run cancelled before it started.")


def get_run(ports: Ports, call: Call, run: int) -> Run:
    """A run of the caller's workspace. Raises NotFound."""
    run_key = key(Run, call.workspace, run)
    found = read(ports, call, [run_key]).get(run_key)
    if not isinstance(found, Run) or found.hidden:
        raise NotFound("Run", run, field="run_id")
    return found


def edit_run(ports: Ports, workspace: str, run: int, change: Callable[[Run], Run | None]) -> Run | None:
    """Read a run, change it, and write it if nobody else did meanwhile, else again.

    `change` answers None (or the run itself) for "leave it"; returns the run as it then is, None if there is none.
    """
    run_key = key(Run, workspace, run)
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found: Run | None = ports.store.fetch([run_key]).get(run_key)
        changed = change(found) if found else None
        if found is None or changed is None or changed == found:
            return found
        try:
            ports.store.commit([Put(changed)])
            return replace(changed, version=found.version + 1)
        except Clash:
            continue
    raise Conflict("The run is being changed by too many at once; please try again.")


def cancel_run(ports: Ports, call: Call, run: int) -> Run:
    """Ask for a run's end. A run that has ended is left alone; one that waits ends at once; of any other the intent is
    kept, and its driver is stopped from the stream. Raises NotFound."""
    return cancel(ports, get_run(ports, call, run), Intent.CANCEL)


def cancel(ports: Ports, run: Run, intent: Intent) -> Run:
    """`cancel_run` for a run at hand, for any intent."""
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        if run.ended or run.intent is not Intent.NONE:
            return run
        try:
            if run.state is RunState.QUEUED:
                ended = transitions.end(run, CANCELLED_EARLY, ports.clock.now())
                ports.store.commit(ending(ports, run, ended))
            else:
                ended = transitions.intend(run, intent, ports.clock.now())
                ports.store.commit([Put(ended)])
            return replace(ended, version=run.version + 1)
        except Clash:
            run_key = key(Run, run.workspace, run.id)
            run = ports.store.fetch([run_key]).get(run_key, run)
    raise Conflict("The run is being changed by too many at once; please try again.")


def ending(ports: Ports, before: Run, after: Run, retry: Run | None = None) -> list[Change]:
    """The changes that end a run: its terminal state, what it held or where it waited, its job's counters, and its
    next attempt. Capacity is released exactly once because the Hold can be deleted only once."""
    row = queue_row(ports, before)
    hold_key = key(Hold, row.cluster, before.workspace, before.id)
    row_key = key(QueueRow, row.cluster, row.workspace, row.pool, row.ready_at, row.run)
    activity_key = key(JobActivity, before.workspace, before.job)
    keys: list[Key] = [row_key if before.state is RunState.QUEUED else hold_key]
    found = ports.store.fetch(keys + ([activity_key] if before.job != NO_JOB else []))
    activity: JobActivity | None = found.get(activity_key)
    changes: list[Change] = [Put(after)]
    if row_key in found:
        changes.append(Delete(found[row_key]))
    if hold_key in found:
        hold: Hold = found[hold_key]
        changes += [Delete(hold), Release(hold.cluster, pool_key(hold.workspace, hold.pool), hold.amount)]
    if before.job != NO_JOB and activity is None:
        retry = None  # the job is gone, and its retries with it
    if retry and activity:
        retry = replace(retry, number_in_job=activity.last_number + 1)
    if retry:
        changes[0] = Put(replace(after, next_attempt=retry.id))
        changes += [Put(retry), Put(queue_row(ports, retry))]
    if activity:
        active = activity.active - {before.id} | ({retry.id} if retry else set())
        number = retry.number_in_job if retry else activity.last_number
        changes.append(Put(replace(activity, active=active, last_number=number)))
    return changes


def delete_run(ports: Ports, call: Call, run: int) -> None:
    """Remove a run that has ended. Its idempotency token stays taken. Raises NotFound, InvalidState."""
    found = get_run(ports, call, run)
    if not found.ended:
        raise InvalidState(f"Run {run} is active; only a run that has ended can be deleted.", field="run_id")
    changes: list[Change] = [Delete(found)]
    if found.idempotency:
        token_key = key(Idempotency, found.workspace, found.idempotency)
        token = ports.store.fetch([token_key]).get(token_key)
        if token is not None and token.run == found.id:
            changes.append(Put(replace(token, deleted=True)))
    try:
        ports.store.commit(changes)
    except Clash:
        raise Conflict("The run is being changed; please try again.") from None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Part of a list of runs, newest first; `more` tells whether there are others."""

    runs: tuple[Run, ...]
    more: bool
    next: str = ""


MAX_OFFSET = 10_000


def list_runs(
    ports: Ports, listings: Sequence[Listing], *, limit: int, offset: int = 0, after: str = "",
    keep: Callable[[Run], bool] = lambda run: True,
) -> RunPage:  # fmt: skip
    """A page of one listing, or of several merged by age, newest first.

    `offset` walks (at most MAX_OFFSET); `after` is a position that an earlier page gave. `keep` is for filters that no
    listing has: it reads on until the page is full.
    """
    if offset > MAX_OFFSET:
        raise Invalid(f"offset: at most {MAX_OFFSET}; older runs are reached by narrower filters.", field="offset")
    wanted = offset + limit + 1
    pages = [_gather(ports, listing, wanted, after, keep) for listing in listings]
    runs = sorted((run for page in pages for run in page), key=lambda run: -run.id)[offset:wanted]
    more = len(runs) > limit
    return RunPage(tuple(runs[:limit]), more, position(listings[0], runs[limit - 1]) if more else "")


def _gather(ports: Ports, listing: Listing, wanted: int, after: str, keep: Callable[[Run], bool]) -> list[Run]:
    found: list[Run] = []
    while len(found) < wanted:
        page: Page = ports.store.page(listing, limit=wanted - len(found), after=after)
        found += [run for run in page.records if keep(run)]
        after = page.next
        if not after:
            break
    return found


def seal(ports: Ports, scope: str, place: str) -> str:
    """A page token: a position that only this deployment can have given, for one list of one workspace."""
    mac = hmac.new(ports.secret(), f"page:{scope}:{place}".encode(), hashlib.sha256).hexdigest()[:24]
    return f"{place}.{mac}"


def unseal(ports: Ports, scope: str, token: str, *, field: str = "page_token") -> str:
    """The position in a page token. Raises Invalid for any text that `seal` did not make for this scope."""
    place = token.rpartition(".")[0]
    if not token.isascii() or not hmac.compare_digest(seal(ports, scope, place), token):
        raise Invalid("The page token is not valid.", field=field)
    return place
