"""Whom runs tell of what, that they do so once, and whatever dies on the way."""

from __future__ import annotations

import hmac
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core.model import (
    Channel,
    Destination,
    Job,
    Notice,
    NoticeEvent,
    NoticeStatus,
    Notifications,
    Policy,
    Run,
    RunSpec,
)
from chalicelib.core.notices import html_of, notice_id, notices_of, payload, subject_of, text_of
from chalicelib.core.states import RunState
from chalicelib.ports import Mail, Settings, Undeliverable, Undelivered
from chalicelib.services import jobs
from chalicelib.services.destinations import create_destination, delete_destination, signing_secret
from chalicelib.services.jobs import Definition
from chalicelib.services.runs import cancel_run
from chalicelib.services.submission import Request, run_job
from tests.unit.cloud import HOUR_MS, TRIES, Cloud, spec
from tests.unit.fakes import START_MS, Killed, Posted

EVENTS = (NoticeEvent.START, NoticeEvent.SUCCESS, NoticeEvent.FAILURE, NoticeEvent.DURATION)
ADA = "ada@example.com"
EVERYTHING = Notifications({event.value: (ADA,) for event in EVENTS}, {event.value: ("d1",) for event in EVENTS})
S, E = RunState, NoticeEvent


def told(what: Notifications = EVERYTHING, policy: Policy = Policy()) -> RunSpec:
    """A spec with notifications."""
    return replace(spec(policy=policy), notifications=what)


def run_in(state: RunState, what: Notifications = EVERYTHING, policy: Policy = Policy(), **more: Any) -> Run:
    """A run in a state, which had begun to run."""
    times = {"started_at": 2000, "ended_at": 9000 if state is not S.RUNNING else 0, **more}
    return Run("main", 7, told(what, policy), "alice", 1000, state=state, **times)


def events_of(run: Run, channel: Channel = Channel.EMAIL) -> list[NoticeEvent]:
    return [notice.event for notice in notices_of(run) if notice.channel is channel]


# What is owed.


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (S.RUNNING, E.START),
        (S.SUCCEEDED, E.SUCCESS),
        (S.FAILED, E.FAILURE),
        (S.TIMED_OUT, E.FAILURE),
        (S.INTERNAL_ERROR, E.FAILURE),
        (S.SKIPPED, E.FAILURE),
        (S.CANCELED, E.FAILURE),
    ],
)
def test_a_state_is_told_to_those_who_asked_for_its_event_on_both_channels(state: RunState, event: NoticeEvent) -> None:
    for channel in Channel:
        assert events_of(run_in(state), channel) == [event]
    others = Notifications({e.value: (ADA,) for e in EVENTS if e is not event})
    assert events_of(run_in(state, others)) == []


@pytest.mark.parametrize("state", [S.QUEUED, S.GRANTED, S.LAUNCHING, S.TERMINATING])
def test_other_states_are_nobodys_business(state: RunState) -> None:
    assert notices_of(run_in(state, ended_at=0)) == []


def test_a_run_that_succeeded_unseen_tells_that_it_had_started_too() -> None:
    assert events_of(run_in(S.SUCCEEDED, started_at=0)) == [E.START, E.SUCCESS]


def test_skipped_and_cancelled_runs_are_passed_over_in_silence_where_that_was_asked_for() -> None:
    quiet_mail = replace(EVERYTHING, skipped_by_mail=False)
    assert events_of(run_in(S.SKIPPED, quiet_mail)) == []
    assert events_of(run_in(S.SKIPPED, quiet_mail), Channel.WEBHOOK) == [E.FAILURE]
    quiet = replace(EVERYTHING, skipped=False, canceled=False)
    for channel in Channel:
        assert events_of(run_in(S.SKIPPED, quiet), channel) == events_of(run_in(S.CANCELED, quiet), channel) == []
        assert events_of(run_in(S.FAILED, quiet), channel) == [E.FAILURE]


def test_with_alert_on_last_attempt_retries_start_silently_and_only_the_last_failure_is_told() -> None:
    last = replace(EVERYTHING, last_attempt_only=True)
    policy = Policy(max_retries=2)
    assert events_of(run_in(S.RUNNING, last, policy)) == [E.START]
    assert events_of(run_in(S.RUNNING, last, policy, attempt=1)) == []
    assert [events_of(run_in(S.FAILED, last, policy, attempt=n)) for n in range(3)] == [[], [], [E.FAILURE]]
    assert events_of(run_in(S.SUCCEEDED, last, policy, attempt=1)) == [E.SUCCESS]
    assert events_of(run_in(S.TIMED_OUT, last, policy)) == [E.FAILURE], "a time-out is not retried here"
    assert events_of(run_in(S.CANCELED, last, policy)) == [E.FAILURE]
    assert events_of(run_in(S.FAILED, EVERYTHING, policy)) == [E.FAILURE]


def test_a_run_that_lasted_too_long_tells_so_at_its_end() -> None:
    assert events_of(run_in(S.SUCCEEDED, replace(EVERYTHING, duration_ms=7999))) == [E.SUCCESS, E.DURATION]
    assert events_of(run_in(S.SUCCEEDED, replace(EVERYTHING, duration_ms=8000))) == [E.SUCCESS]


def test_a_target_that_is_named_twice_is_told_once() -> None:
    twice = Notifications({"on_success": (ADA, ADA)}, {"on_success": ("d", "d", "e")})
    assert [n.target for n in notices_of(run_in(S.SUCCEEDED, twice))] == [ADA, "d", "e"]


# What is said.


def notice(**changes: Any) -> Notice:
    made = Notice(
        "main", 123, E.SUCCESS, Channel.EMAIL, ADA, 9000, 5, "Nightly <b>", 3, 1, "SUCCEEDED", "", 0, 1000, 2000, 64_000
    )
    return replace(made, **changes)


def test_a_mail_says_what_happened_when_and_where_to_look() -> None:
    assert subject_of(notice(name="Nightly model training")) == (
        "[Sparkplane] Run 123 of Nightly model training: succeeded"
    )
    text = text_of(notice(state="FAILED", event=E.FAILURE, message="ValueError: no"), "https://api/#job/5/run/3")
    for part in ("The run failed.", "ValueError: no", "Duration: 1 min 3 s", "1970-01-01 00:00:02 UTC", "retry 1"):
        assert part in text
    assert text.endswith("\nhttps://api/#job/5/run/3\n")


def test_what_users_wrote_is_text_in_a_mail_and_never_markup_nor_a_second_header() -> None:
    hostile = notice(name="a\r\nBcc: eve@example.com\u2028<script>", message="<img src=x>")
    assert "\n" not in subject_of(hostile) and "\r" not in subject_of(hostile)
    page = html_of(hostile, "https://api/?a='b'&c")
    assert "<script>" not in page and "<img" not in page and "'b'" not in page
    assert len(subject_of(notice(name="x" * 5000))) < 250


def test_a_duration_warning_says_how_long_is_too_long() -> None:
    late = notice(event=E.DURATION, threshold_ms=3_600_000, ended_at=0)
    assert subject_of(late).endswith("lasts longer than 1 h")
    assert subject_of(replace(late, ended_at=1)).endswith("lasted longer than 1 h")


def test_a_payload_has_the_shape_of_databricks_webhooks() -> None:
    assert payload(notice()) == {
        "event_id": notice_id(notice()),
        "event_type": "jobs.on_success",
        "workspace_id": "main",
        "run": {"run_id": 123},
        "job": {"job_id": 5, "name": "Nightly <b>"},
    }


def test_a_notices_id_follows_from_its_key_alone() -> None:
    assert notice_id(notice()) == notice_id(notice(name="other", status=NoticeStatus.DEAD, generation=5))
    others = [notice(target="b@example.com"), notice(event=E.START), notice(subject=124), notice(workspace="w")]
    assert len({notice_id(one) for one in [notice(), *others]}) == 5


# How it travels.


def kept(cloud: Cloud) -> dict[tuple[NoticeEvent, str], NoticeStatus]:
    return {(n.event, n.target): n.status for n in cloud.store.all(Notice)}


def test_a_life_is_told_once_an_event_however_often_the_stream_brings_it() -> None:
    cloud = Cloud()
    id = cloud.submit(told(Notifications({"on_start": (ADA,), "on_success": (ADA, "bob@example.com")})))
    cloud.deliver("follow", again=True)
    cloud.play()
    cloud.progress(), cloud.progress(), cloud.play(), cloud.progress()
    for _ in range(3):
        cloud.deliver("follow", again=True)
    cloud.play()
    assert cloud.state(id) is S.SUCCEEDED
    assert Counter((m.to, m.subject.rpartition(": ")[2]) for m in cloud.mailer.sent) == {
        (ADA, "started"): 1,
        (ADA, "succeeded"): 1,
        ("bob@example.com", "succeeded"): 1,
    }
    assert set(kept(cloud).values()) == {NoticeStatus.SENT}


def test_a_run_without_notifications_writes_and_starts_nothing_for_them() -> None:
    cloud = Cloud()
    cloud.submit()
    cloud.settle()
    assert not cloud.store.all(Notice) and not cloud.workflows.deliveries and not cloud.timers.reminded


def webhook(cloud: Cloud, url: str = "https://hooks.example.com/x") -> Destination:
    return create_destination(cloud.ports, cloud.caller, "pager", url)[0]


def submitted(cloud: Cloud, destination: str) -> int:
    return cloud.submit(told(Notifications({}, {"on_success": (destination,)})))


def test_a_posted_notice_is_signed_with_its_destinations_secret() -> None:
    cloud = Cloud()
    made, secret = create_destination(cloud.ports, cloud.caller, "pager", "https://hooks.example.com/x?y=z")
    id = submitted(cloud, made.id)
    cloud.settle()
    (posted,) = cloud.hooks.posted
    assert posted.url == "https://hooks.example.com/x?y=z"
    assert json.loads(posted.body)["run"] == {"run_id": id}
    parts = dict(part.split("=", 1) for part in posted.headers["X-Sparkplane-Signature"].split(","))
    expected = hmac.new(secret.encode(), parts["t"].encode() + b"." + posted.body, "sha256").hexdigest()
    assert parts["v1"] == expected and int(parts["t"]) * 1000 <= cloud.clock.time
    assert posted.headers["X-Sparkplane-Event-Id"] == json.loads(posted.body)["event_id"]


def test_destinations_have_secrets_of_their_own() -> None:
    cloud, other = Cloud(), Cloud()
    one, two = webhook(cloud), webhook(cloud)
    secrets = {signing_secret(cloud.ports, one), signing_secret(cloud.ports, two)}
    secrets.add(signing_secret(other.ports, replace(one, workspace="elsewhere")))
    assert len(secrets) == 3


def test_a_destination_that_fails_is_tried_again_with_the_same_id_until_it_takes_the_notice() -> None:
    cloud = Cloud()
    submitted(cloud, webhook(cloud).id)
    answers = iter([500, 302, 200])
    cloud.hooks.answers = lambda posted: next(answers)
    cloud.settle()
    assert len({p.headers["X-Sparkplane-Event-Id"] for p in cloud.hooks.posted}) == 1
    assert len(cloud.hooks.posted) == 3 and set(kept(cloud).values()) == {NoticeStatus.SENT}


def test_a_destination_that_never_answers_well_is_given_up_and_says_why() -> None:
    cloud = Cloud()
    run = submitted(cloud, webhook(cloud).id)
    cloud.hooks.answers = lambda posted: 503
    cloud.settle()
    (dead,) = cloud.store.all(Notice)
    assert (dead.status, dead.error) == (NoticeStatus.DEAD, "The destination pager answered 503.")
    assert len(cloud.hooks.posted) == TRIES and cloud.state(run) is S.SUCCEEDED
    cloud.sweep()
    cloud.play()
    assert len(cloud.hooks.posted) == TRIES, "what was given up stays given up"


def test_a_destination_that_is_unknown_removed_or_of_another_workspace_is_given_up_at_once() -> None:
    cloud = Cloud()
    gone = webhook(cloud)
    delete_destination(cloud.ports, cloud.caller, gone.id)
    foreign = replace(webhook(cloud), workspace="elsewhere", id="f0")
    cloud.store.seed(foreign)
    for id in ("bf2fbd0a-4a05-4300-98a5-303fc8132233", gone.id, "f0"):
        submitted(cloud, id)
    cloud.settle()
    assert cloud.hooks.posted == []
    assert {n.error for n in cloud.store.all(Notice)} == {
        f"There is no notification destination {id}." for id in ("bf2fbd0a-4a05-4300-98a5-303fc8132233", gone.id, "f0")
    }


def test_a_mail_that_can_never_be_sent_is_given_up_at_once_and_one_that_may_is_tried_again() -> None:
    cloud = Cloud()
    cloud.submit(told(Notifications({"on_success": (ADA, "no@example.com")})))
    faults = iter([Undelivered("busy")])

    def refuses(mail: Mail) -> Undelivered | None:
        return Undeliverable("no such address") if mail.to == "no@example.com" else next(faults, None)

    cloud.mailer.refuses = refuses
    cloud.settle()
    assert [m.to for m in cloud.mailer.sent] == [ADA]
    assert kept(cloud) == {(E.SUCCESS, ADA): NoticeStatus.SENT, (E.SUCCESS, "no@example.com"): NoticeStatus.DEAD}


def test_removing_a_job_writes_to_all_its_addresses_once() -> None:
    cloud = Cloud()
    addresses = Notifications({"on_start": (ADA, "bob@example.com"), "on_failure": (ADA,)}, {"on_start": ("d1",)})
    job = jobs.create_job(cloud.ports, cloud.caller, Definition(told(addresses), 1, {})).id
    jobs.delete_job(cloud.ports, cloud.caller, job)
    cloud.deliver("follow", again=True)
    cloud.play()
    assert sorted((m.to, m.subject) for m in cloud.mailer.sent) == [
        (to, f"[Sparkplane] Job {job} work: was removed") for to in (ADA, "bob@example.com")
    ]
    jobs.delete_job(cloud.ports, cloud.caller, job)
    cloud.play()
    assert len(cloud.mailer.sent) == 2 and not cloud.hooks.posted


# The health rule.


def slow(cloud: Cloud, seconds: int = 3600) -> int:
    what = Notifications({"on_duration_warning_threshold_exceeded": (ADA,)}, duration_ms=seconds * 1000)
    return cloud.running(told(what))


def test_a_run_that_lasts_too_long_is_told_of_while_it_runs_and_not_again_at_its_end() -> None:
    cloud = Cloud()
    id = slow(cloud)
    cloud.clock.time = cloud.run(id).created_at + 3_600_000
    cloud.play()
    assert cloud.mailer.sent == []
    cloud.clock.advance(1000)
    cloud.play()
    assert [m.subject.rpartition(": ")[2] for m in cloud.mailer.sent] == ["lasts longer than 1 h"]
    cloud.settle()
    assert len(cloud.mailer.sent) == 1


def test_a_run_that_ends_in_time_is_not_told_of() -> None:
    cloud = Cloud()
    id = slow(cloud)
    cloud.engine.become(cloud.driver(id), "COMPLETED")
    cloud.play()
    cloud.clock.advance(2 * HOUR_MS)
    cloud.play()
    assert not cloud.mailer.sent and not cloud.timers.reminders


def test_a_lost_reminder_is_made_up_for_by_the_sweep_or_at_the_end() -> None:
    for ends in (False, True):
        cloud = Cloud()
        id = slow(cloud)
        cloud.timers.reminders.clear()
        cloud.clock.advance(2 * HOUR_MS)
        if ends:
            cloud.engine.become(cloud.driver(id), "COMPLETED")
        else:
            cloud.sweep()
        cloud.play()
        assert len(cloud.mailer.sent) == 1


def test_the_sweep_arranges_a_near_reminder_again_and_leaves_a_far_one() -> None:
    cloud = Cloud()
    near, far = slow(cloud), slow(cloud, 24 * 3600)
    cloud.timers.reminders.clear(), cloud.timers.reminded.clear()
    cloud.sweep()
    assert {run for _, run, _ in cloud.timers.reminded} == {near} != {far}


# Killed anywhere.


def told_of(cloud: Cloud) -> None:
    """A run that fails and is retried, lasts too long, and succeeds; a job that is removed."""
    what = replace(EVERYTHING, destinations={"on_success": ("d1",)}, duration_ms=HOUR_MS // 2)
    cloud.store.seed(Destination("main", "d1", "pager", "https://hooks.example.com/", "alice", 1))
    wanted = Definition(told(what, Policy(max_retries=1)), 1, {})
    job = jobs.create_job(cloud.ports, cloud.caller, wanted).id
    run_job(cloud.ports, cloud.caller, job, Request(), lambda j: j.spec)
    cloud.play()
    for word in ("RUNNING", "FAILED", "RUNNING"):
        for driver in list(cloud.engine.drivers.values()):
            cloud.engine.become(driver.id, word)
        cloud.play()
        cloud.sweep()
    cloud.clock.advance(HOUR_MS)
    cloud.play()
    cloud.settle()
    jobs.delete_job(cloud.ports, cloud.caller, job)
    for _ in range(3):
        cloud.play()
        cloud.sweep()


def played(at: int, *, after: bool) -> tuple[Cloud, int]:
    """The story with a kill at that call of a worker's (0: none); the cloud, and how many calls there were."""
    cloud = Cloud()
    cloud.tripwire.arm(at, after=after)
    told_of(cloud)
    calls = cloud.tripwire.calls
    cloud.tripwire.disarm()
    return cloud, calls


FIRST = 5
"""The calls before these are the caller's own: making a job and a run."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_whoever_is_killed_nothing_is_left_untold_and_only_a_sending_can_be_doubled(after: bool) -> None:
    peace, calls = played(0, after=after)
    expected = Counter((m.to, m.subject.rpartition(": ")[2]) for m in peace.mailer.sent)
    assert len(expected) == 5 and len(peace.hooks.posted) == 1
    for number in range(FIRST, calls + 1):
        try:
            cloud, _ = played(number, after=after)
        except Killed:
            continue  # it was the caller, who is no worker
        mails = Counter((m.to, m.subject.rpartition(": ")[2]) for m in cloud.mailer.sent)
        assert set(mails) == set(expected), number
        doubled = sum((mails - expected).values()) + len(cloud.hooks.posted) - 1
        assert doubled <= 1, number
        assert len({json.loads(p.body)["event_id"] for p in cloud.hooks.posted}) == 1, number
        assert set(kept(cloud).values()) == {NoticeStatus.SENT}, number


def test_a_delivery_that_died_is_started_again_by_the_sweep() -> None:
    cloud = Cloud()
    cloud.running(told(Notifications({"on_start": (ADA,)})))
    cloud.mailer.sent.clear()
    (sent,) = cloud.store.all(Notice)
    lost = replace(sent, status=NoticeStatus.PENDING, target="bob@example.com")
    cloud.store.seed(lost)
    cloud.workflows.notify(lost)
    cloud.sweep()
    assert len(cloud.workflows.deliveries) == 2, "it is under way"
    for delivery in cloud.workflows.deliveries.values():
        delivery.ended = True  # it died without a word
    cloud.sweep()
    cloud.play()
    assert [m.to for m in cloud.mailer.sent] == ["bob@example.com"]
    cloud.sweep()
    cloud.play()
    assert len(cloud.mailer.sent) == 1


def test_a_slow_receiver_holds_up_no_run() -> None:
    """Deliveries are executions of their own: nobody waits for one."""
    cloud = Cloud()
    first = submitted(cloud, webhook(cloud).id)

    def asks_back(posted: Posted) -> int:
        second = cloud.submit()
        for function in ("dispatch", "follow"):
            cloud.deliver(function)
        assert cloud.state(second) is S.GRANTED
        return 200

    cloud.hooks.answers = asks_back
    cloud.settle()
    assert cloud.state(first) is S.SUCCEEDED and len(cloud.hooks.posted) == 1


# Destinations.

Make = Callable[[str], Destination]


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "hooks.example.com",
        "https://",
        "https://user:pass@hooks.example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.1.2.3:8443/",
        "https://[64:ff9b::7f00:1]/",
        "https://0.0.0.0/",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:99999/",
        "https://höoks.example.com/",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/" + "x" * 3000,
    ],
)
def test_a_url_that_notices_may_not_go_to_makes_no_destination(url: str) -> None:
    from chalicelib.core.errors import Invalid

    cloud = Cloud()
    with pytest.raises(Invalid):
        webhook(cloud, url)
    assert not cloud.store.all(Destination)


def test_networks_that_the_owner_allows_may_be_named_and_spoken_to_in_plain_http() -> None:
    from chalicelib.core.errors import Invalid

    cloud = Cloud(Settings(webhook_networks=("127.0.0.0/8",)))
    assert webhook(cloud, "http://127.0.0.1:9999/hook").url == "http://127.0.0.1:9999/hook"
    with pytest.raises(Invalid):
        webhook(cloud, "http://10.0.0.1/")


def test_a_run_that_is_cancelled_in_the_queue_tells_of_it() -> None:
    cloud = Cloud()
    id = cloud.submit(told())
    cancel_run(cloud.ports, cloud.caller, id)
    cloud.play()
    assert [m.subject.rpartition(": ")[2] for m in cloud.mailer.sent] == ["was cancelled"]
    assert START_MS <= cloud.clock.time and not cloud.store.all(Job)
