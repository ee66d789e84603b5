"""Telling people and programs what became of runs. It leaves from the table's stream, and never holds up a run.

A notice is put once (its key is all that it is) and then an execution of its own delivers it: tries, tries again with
growing pauses, and at last gives it up as DEAD, with the reason. Whoever is killed on the way, the stream brings the
change again or the sweep finds the notice; it is sent twice only when a delivery dies between the sending and the mark,
and carries an id for such doubles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from chalicelib.core.capacity import Ledger
from chalicelib.core.model import Channel, Hold, Job, Notice, NoticeEvent, NoticeStatus, Run
from chalicelib.core.notices import (
    addressed,
    html_of,
    lasts_too_long,
    notice_id,
    notices_of,
    payload,
    removal_notices,
    subject_of,
    text_of,
    too_long_at,
)
from chalicelib.core.states import RunState
from chalicelib.ports import Clash, Mail, Ports, Put, Undeliverable, Undelivered, key, pending_notices
from chalicelib.services import destinations
from chalicelib.services.listings import pages

REMIND_AHEAD_MS = 2 * 3_600_000
"""The sweep arranges the reminders of this time again, in case that they were lost; it comes more often than that."""


def follow(ports: Ports, before: Run | None, after: Run) -> int:
    """What follows from a run's change: the notices that it owes for its new state, and a reminder for the time when it
    will have lasted too long. Returns how many notices there are. May be done twice."""
    moved = before is None or before.state is not after.state
    ruled = before is None or before.spec.notifications != after.spec.notifications
    if not after.ended and (ruled or after.state is RunState.RUNNING and moved):
        remind(ports, after)
    return put(ports, notices_of(after)) if moved else 0


def remind(ports: Ports, run: Run) -> None:
    """Arrange that a run with a health rule is looked at when it begins to last too long."""
    if at := too_long_at(run):
        ports.timers.remind(run.workspace, run.id, at)


def look(ports: Ports, workspace: str, run: int) -> int:
    """A reminder rang: tell of a run that lives and lasts too long. (One that has ended told of it at its end.)"""
    run_key = key(Run, workspace, run)
    found: Run | None = ports.store.fetch([run_key]).get(run_key)
    if found is None or found.ended or not lasts_too_long(found, ports.clock.now()):
        return 0
    return put(ports, addressed(found, NoticeEvent.DURATION))


def tell_of_removal(ports: Ports, job: Job) -> int:
    """A job was removed."""
    return put(ports, removal_notices(job, ports.clock.now()))


def put(ports: Ports, notices: Sequence[Notice]) -> int:
    """Keep notices and start their deliveries. What is there already stays as it is: a delivery that is started twice,
    or of a notice that was sent, does nothing."""
    expires = ports.clock.now() + ports.settings.retention_ms
    for notice in notices:
        try:
            ports.store.commit([Put(replace(notice, expires_at=expires))])
        except Clash:
            pass  # it was put before; whether its delivery was started, nobody knows
        ports.workflows.notify(notice)
    return len(notices)


def deliver(ports: Ports, about: Notice) -> NoticeStatus | None:
    """Send a notice, of which `about` says the key and generation; returns what became of it, None if there is no such
    notice. Raises Undelivered when it is worth another try."""
    notice = _read(ports, about)
    if notice is None or notice.status is not NoticeStatus.PENDING or notice.generation != about.generation:
        return notice.status if notice else None
    try:
        _SENDERS[notice.channel](ports, notice)
    except Undeliverable as never:
        return _settle(ports, notice, NoticeStatus.DEAD, never.message)
    return _settle(ports, notice, NoticeStatus.SENT)


def give_up(ports: Ports, about: Notice, reason: str) -> NoticeStatus | None:
    """After the last try: keep why a notice was never delivered."""
    notice = _read(ports, about)
    if notice is None or notice.generation != about.generation:
        return notice.status if notice else None
    return _settle(ports, notice, NoticeStatus.DEAD, reason)


def _read(ports: Ports, about: Notice) -> Notice | None:
    notice_key = key(Notice, about.workspace, about.subject, about.event, about.channel, about.target)
    found: Notice | None = ports.store.fetch([notice_key]).get(notice_key)
    return found


ERROR_MOST = 1000
"""Characters of a reason that are kept."""


def _settle(ports: Ports, notice: Notice, status: NoticeStatus, error: str = "") -> NoticeStatus:
    """Note what became of a notice; who met somebody else doing so leaves it at that."""
    if notice.status is not NoticeStatus.PENDING:
        return notice.status
    try:
        ports.store.commit([Put(replace(notice, status=status, error=error[:ERROR_MOST]))])
    except Clash:
        latest = _read(ports, notice)
        return latest.status if latest else status
    return status


def _mail(ports: Ports, notice: Notice) -> None:
    link = f"{ports.settings.api_url}/#job/{notice.job}/run/{notice.number_in_job}"
    link = "" if notice.event is NoticeEvent.REMOVED else link
    ports.mailer.send(Mail(notice.target, subject_of(notice), text_of(notice, link), html_of(notice, link)))


def _post(ports: Ports, notice: Notice) -> None:
    found = destinations.find(ports, notice.workspace, notice.target)
    if found is None:
        raise Undeliverable(f"There is no notification destination {notice.target}.")
    body = json.dumps(payload(notice), separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Sparkplane",
        "X-Sparkplane-Event-Id": notice_id(notice),
        "X-Sparkplane-Signature": destinations.signature(
            destinations.signing_secret(ports, found), ports.clock.now(), body
        ),
    }
    status = ports.hooks.post(found.url, headers, body)
    if not 200 <= status < 300:
        raise Undelivered(f"The destination {found.name} answered {status}.")


_SENDERS: Mapping[Channel, Callable[[Ports, Notice], None]] = {Channel.EMAIL: _mail, Channel.WEBHOOK: _post}


def recover(ports: Ports, cluster: str) -> int:
    """Start again the deliveries that died, in all workspaces of a cluster, with a generation of their own. Returns how
    many there were."""
    ledger: Ledger | None = ports.store.fetch([key(Ledger, cluster)]).get(key(Ledger, cluster))
    workspaces = sorted({name.partition("/")[0] for name in ledger.pools}) if ledger else []
    listed = (page for workspace in workspaces for page in pages(ports, pending_notices(workspace), size=100))
    return sum(_restart(ports, notice) for page in listed for notice in page)


def _restart(ports: Ports, notice: Notice) -> int:
    if ports.workflows.notifying(notice):
        return 0
    again = replace(notice, generation=notice.generation + 1)
    try:
        ports.store.commit([Put(again)])
    except Clash:
        return 0  # the listing is behind: it was delivered, or is being
    ports.workflows.notify(again)
    return 1


def recall(ports: Ports, holds: Sequence[Hold]) -> None:
    """Look again at the runs that hold capacity: tell of those which last too long, and arrange the reminders that are
    near, in case that they were lost."""
    runs = ports.store.fetch([key(Run, hold.workspace, hold.run) for hold in holds]) if holds else {}
    for run in runs.values():
        at = too_long_at(run)
        if at and at <= ports.clock.now():
            look(ports, run.workspace, run.id)
        elif at and at <= ports.clock.now() + REMIND_AHEAD_MS:
            remind(ports, run)
