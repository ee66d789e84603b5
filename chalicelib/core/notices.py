"""What a run's changes are to be told, to whom, and in what words (seed 004, "JobEmailNotifications" to "Webhook").

Pure: `notices_of` and `removal_notices` from a run or job; `payload`, `subject_of`, `text_of` and `html_of` from a
notice. Dialects fill `Notifications`; the stream's worker keeps and sends what comes of it (`services.notices`).
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from chalicelib.core.model import NO_JOB, Channel, Job, Notice, NoticeEvent, Notifications, Run
from chalicelib.core.policy import Outcome, next_attempt
from chalicelib.core.states import RunState

S = RunState

EVENTS: Mapping[RunState, NoticeEvent] = {
    S.RUNNING: NoticeEvent.START,
    S.SUCCEEDED: NoticeEvent.SUCCESS,
    **dict.fromkeys((S.FAILED, S.TIMED_OUT, S.INTERNAL_ERROR, S.SKIPPED, S.CANCELED), NoticeEvent.FAILURE),
}
"""The state that a run has come to -> what is told of it. A cancelled run counts as unsuccessful, since seed 004 has a
setting that spares people the notice (`no_alert_for_canceled_runs`)."""


def notices_of(run: Run) -> list[Notice]:
    """All notices that a run owes for having come to its present state; none for a state of no interest."""
    told = run.spec.notifications
    event = EVENTS.get(run.state)
    if told == Notifications() or event is None:
        return []
    events = [] if _spared(run, event) else [event]
    if run.state is S.SUCCEEDED and not run.started_at and not _spared(run, NoticeEvent.START):
        events.insert(0, NoticeEvent.START)  # it was never seen to run, but it did
    if run.ended and lasts_too_long(run, run.ended_at):
        events.append(NoticeEvent.DURATION)
    return [notice for event in events for notice in addressed(run, event)]


def _spared(run: Run, event: NoticeEvent) -> bool:
    """Whether the settings ask for silence, on every channel."""
    told = run.spec.notifications
    if run.state is S.SKIPPED and not told.skipped or run.state is S.CANCELED and not told.canceled:
        return True
    if not told.last_attempt_only:
        return False
    if event is NoticeEvent.START:
        return run.attempt > 0
    return event is NoticeEvent.FAILURE and next_attempt(run, Outcome(run.state, "", ""), run.ended_at) is not None


def lasts_too_long(run: Run, now: int) -> bool:
    """Whether a run that lives, or lived, until `now` lasted longer than its health rule has it."""
    threshold = run.spec.notifications.duration_ms
    return bool(threshold) and now - run.created_at > threshold


def too_long_at(run: Run) -> int:
    """The instant from which a run lasts too long; 0 for never."""
    threshold = run.spec.notifications.duration_ms
    return run.created_at + threshold + 1 if threshold else 0


def addressed(run: Run, event: NoticeEvent) -> list[Notice]:
    """One notice for each target of an event."""
    told = run.spec.notifications
    by_mail = () if run.state is S.SKIPPED and not told.skipped_by_mail else told.emails.get(event, ())
    targets = [*((Channel.EMAIL, to) for to in by_mail)]
    targets += [(Channel.WEBHOOK, to) for to in told.destinations.get(event, ())]
    return [
        Notice(
            workspace=run.workspace,
            subject=run.id,
            event=event,
            channel=channel,
            target=target,
            at=max(run.created_at, run.started_at, run.ended_at),
            job=run.first_attempt if run.job == NO_JOB else run.job,
            name=run.spec.name,
            number_in_job=run.number_in_job,
            attempt=run.attempt,
            state=run.state,
            message=run.message[:MESSAGE_MOST],
            threshold_ms=told.duration_ms if event is NoticeEvent.DURATION else 0,
            created_at=run.created_at,
            started_at=run.started_at,
            ended_at=run.ended_at,
        )
        for channel, target in dict.fromkeys(targets)
    ]


MESSAGE_MOST = 2000
"""Characters of a run's message that a notice repeats."""


def removal_notices(job: Job, now: int) -> list[Notice]:
    """Seed 004, "Delete": an e-mail to every address of a job's notifications, once each."""
    told = job.spec.notifications.emails.values()
    addresses = dict.fromkeys(address for addresses in told for address in addresses)
    return [
        Notice(job.workspace, job.id, NoticeEvent.REMOVED, Channel.EMAIL, to, at=now, job=job.id, name=job.spec.name)
        for to in addresses
    ]


def notice_id(notice: Notice) -> str:
    """A notice's name outside the table: its deliveries' and what a receiver tells doubles by. It follows from the
    notice's key, so that it is the same whoever asks."""
    key = f"{notice.workspace}#{notice.subject}#{notice.event}#{notice.channel}#{notice.target}"
    return hashlib.sha256(key.encode()).hexdigest()[:40]


def payload(notice: Notice) -> dict[str, Any]:
    """What is posted, in the shape of Databricks' own webhooks."""
    return {
        "event_id": notice_id(notice),
        "event_type": f"jobs.{notice.event}",
        "workspace_id": notice.workspace,
        "run": {"run_id": notice.subject},
        "job": {"job_id": notice.job, "name": notice.name},
    }


_WORDS: Mapping[str, str] = {
    S.RUNNING: "started",
    S.SUCCEEDED: "succeeded",
    S.FAILED: "failed",
    S.TIMED_OUT: "timed out",
    S.CANCELED: "was cancelled",
    S.SKIPPED: "was skipped",
    S.INTERNAL_ERROR: "failed with an internal error",
}


def _what(notice: Notice) -> str:
    if notice.event is NoticeEvent.REMOVED:
        return "was removed"
    if notice.event is NoticeEvent.DURATION:
        return f"{'lasted' if notice.ended_at else 'lasts'} longer than {_duration(notice.threshold_ms)}"
    return "started" if notice.event is NoticeEvent.START else _WORDS.get(notice.state, notice.state.lower())


SUBJECT_NAME_MOST = 150


def subject_of(notice: Notice) -> str:
    """An e-mail's subject: one line of bounded length, whatever the job's name holds."""
    name = " ".join("".join(c if c.isprintable() else " " for c in notice.name).split())
    name = name if len(name) <= SUBJECT_NAME_MOST else f"{name[:SUBJECT_NAME_MOST]}..."
    if notice.event is NoticeEvent.REMOVED:
        return f"[Sparkplane] Job {notice.job} {name}: was removed"
    return f"[Sparkplane] Run {notice.subject} of {name}: {_what(notice)}"


def _lines(notice: Notice) -> Iterator[tuple[str, str]]:
    """What a mail tells, as labels and values."""
    yield "Job", f"{notice.name} ({notice.job})"
    yield "Workspace", notice.workspace
    if notice.event is NoticeEvent.REMOVED:
        yield "Removed", _instant(notice.at)
        return
    yield "Run", str(notice.subject)
    if notice.attempt:
        yield "Attempt", f"retry {notice.attempt}"
    if notice.message:
        yield "Message", notice.message
    for label, instant in (
        ("Created", notice.created_at),
        ("Started", notice.started_at),
        ("Ended", notice.ended_at),
    ):
        if instant:
            yield label, _instant(instant)
    if notice.ended_at:
        yield "Duration", _duration(notice.ended_at - notice.created_at)


def _heading(notice: Notice) -> str:
    subject = "The job" if notice.event is NoticeEvent.REMOVED else "The run"
    return f"{subject} {_what(notice)}."


def text_of(notice: Notice, link: str) -> str:
    """An e-mail as plain text. `link` is the run's page, empty for none."""
    lines = [_heading(notice), "", *(f"{label}: {value}" for label, value in _lines(notice))]
    return "\n".join([*lines, *(["", link] if link else []), ""])


def html_of(notice: Notice, link: str) -> str:
    """The same as HTML."""
    rows = "".join(
        f"<tr><th align='left' valign='top'>{label}</th><td>{html.escape(value)}</td></tr>"
        for label, value in _lines(notice)
    )
    anchor = f"<p><a href='{html.escape(link, quote=True)}'>Open the run</a></p>" if link else ""
    heading = html.escape(_heading(notice))
    return f"<html><body><p>{heading}</p><table cellpadding='4'>{rows}</table>{anchor}</body></html>"


def _instant(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _duration(ms: int) -> str:
    seconds = ms // 1000
    parts = [(seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n) or "0 s"
