"""The workspace's feed: every state change of every run, in one order. Written from the table's stream only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chalicelib.core.errors import Conflict
from chalicelib.core.model import Event, FeedHead, FeedMark, Run
from chalicelib.core.states import RunState
from chalicelib.ports import Change, Clash, Page, Ports, Put, events_of, key
from chalicelib.services.limits import counted
from chalicelib.services.submission import ATTEMPTS

BATCH = 30
"""Events that one transaction appends: each is an event and a mark, and the head is one more."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A run as a stream record shows it, and the state it was in before (None when it is new)."""

    run: Run
    before: RunState | None


def append(ports: Ports, transitions: Sequence[Transition]) -> int:
    """Append the state changes among these to their workspaces' feeds, once each. Returns how many were new.

    Idempotent by (run, the run's version), so that a stream's repeats add nothing.
    """
    changed = [t for t in transitions if t.before != t.run.state]
    count = 0
    for workspace in dict.fromkeys(t.run.workspace for t in changed):
        own = [t.run for t in changed if t.run.workspace == workspace]
        for start in range(0, len(own), BATCH):
            count += _append(ports, workspace, own[start : start + BATCH])
    return count


def _append(ports: Ports, workspace: str, runs: Sequence[Run]) -> int:
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        head_key = key(FeedHead, workspace)
        found = ports.store.fetch([head_key, *{key(FeedMark, workspace, run.id) for run in runs}])
        head: FeedHead = found.get(head_key) or FeedHead(workspace)
        marks: dict[int, FeedMark] = {
            run.id: found.get(key(FeedMark, workspace, run.id)) or FeedMark(workspace, run.id, 0) for run in runs
        }
        changes: list[Change] = []
        for run in runs:
            if run.version <= marks[run.id].run_version:
                continue
            expires = ports.clock.now() + ports.settings.retention_ms
            head = replace(counted(head, run), sequence=head.sequence + 1, totals=_count(head, run))
            changes.append(Put(_event(run, head.sequence, expires)))
            marks[run.id] = replace(marks[run.id], run_version=run.version, expires_at=expires)
        if not changes:
            return 0
        seen = {change.record.run for change in changes if isinstance(change, Put) and isinstance(change.record, Event)}
        try:
            ports.store.commit([Put(head), *changes, *(Put(marks[id]) for id in sorted(seen))])
            return len(changes)
        except Clash:
            continue
    raise Conflict("The feed is being written by too many at once.")


def _count(head: FeedHead, run: Run) -> dict[str, int]:
    return {**head.totals, run.state: head.totals.get(run.state, 0) + 1}


def _event(run: Run, sequence: int, expires: int) -> Event:
    return Event(
        workspace=run.workspace,
        sequence=sequence,
        run=run.id,
        run_version=run.version,
        job=run.job,
        pool=run.spec.pool,
        state=run.state,
        at=max(run.created_at, run.granted_at, run.launched_at, run.started_at, run.ending_at, run.ended_at),
        reason=run.reason,
        message=run.message[:500],
        expires_at=expires,
    )


def events_after(ports: Ports, workspace: str, sequence: int, limit: int) -> list[Event]:
    """Up to `limit` events of a workspace's feed beyond a sequence number, in order."""
    after = f"{sequence:016d}" if sequence else ""
    page: Page = ports.store.page(events_of(workspace), limit=limit, after=after, newest_first=False)
    return list(page.records)
