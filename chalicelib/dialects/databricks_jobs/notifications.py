"""Databricks' notification settings as core's Notifications (seed 004, "JobEmailNotifications" to "Webhook"). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chalicelib.core.errors import Invalid
from chalicelib.core.model import NoticeEvent, Notifications
from chalicelib.dialects.databricks_jobs.schemas import CreateDestination, Health, TaskSettings

EVENTS = (NoticeEvent.START, NoticeEvent.SUCCESS, NoticeEvent.FAILURE, NoticeEvent.DURATION)
"""The events that settings have a field for; the field is named as the event."""

MAX_WEBHOOKS = 3
"""Destinations for one event (seed 004, "WebhookNotifications")."""

MAX_EMAILS = 100
"""Addresses for one event: a bound of this service's own."""

MAX_EMAIL = 254
_EMAIL = re.compile(r"[^\s@<>()\[\]\\,;:\"]+@[^\s@<>()\[\]\\,;:\"]+")


def notifications(settings: TaskSettings) -> Notifications:
    """Whom a job's runs, or a one-time run, tell of what. Raises Invalid."""
    mails, hooks = settings.email_notifications, settings.webhook_notifications
    emails = {event: _emails(getattr(mails, event), event) for event in EVENTS}
    destinations = {event: _destinations([hook.id for hook in getattr(hooks, event)], event) for event in EVENTS}
    spared = settings.notification_settings
    return Notifications(
        emails={event.value: told for event, told in emails.items() if told},
        destinations={event.value: told for event, told in destinations.items() if told},
        skipped_by_mail=not mails.no_alert_for_skipped_runs,
        skipped=not spared.no_alert_for_skipped_runs,
        canceled=not spared.no_alert_for_canceled_runs,
        last_attempt_only=spared.alert_on_last_attempt,
        duration_ms=_duration_ms(settings.health),
    )


def _emails(addresses: Sequence[str], event: str) -> tuple[str, ...]:
    field = f"email_notifications.{event}"
    distinct = tuple(dict.fromkeys(addresses))
    for address in distinct:
        if not address.isascii():
            raise Invalid(f"{field}: addresses accept only Latin characters (ASCII character set).", field=field)
        if len(address) > MAX_EMAIL or not address.isprintable() or not _EMAIL.fullmatch(address):
            raise Invalid(f"{field}: {address[:MAX_EMAIL]!r} is not an e-mail address.", field=field)
    if len(distinct) > MAX_EMAILS:
        raise Invalid(f"{field}: a maximum of {MAX_EMAILS} addresses can be specified.", field=field)
    return distinct


def _destinations(ids: Sequence[str], event: str) -> tuple[str, ...]:
    """Ids are not looked up: a destination may be made after its job, and a notice for one that is not there is given
    up with a word."""
    field = f"webhook_notifications.{event}"
    if len(ids) > MAX_WEBHOOKS:
        raise Invalid(f"{field}: a maximum of {MAX_WEBHOOKS} destinations can be specified.", field=field)
    for id in ids:
        if not id.isascii() or not id.isprintable():
            raise Invalid(f"{field}: {id!r} is not the id of a destination.", field=field)
    return tuple(dict.fromkeys(ids))


MAX_SECONDS = (1 << 53) // 1000


def _duration_ms(health: Health) -> int:
    """The threshold of the one rule that there can be, 0 for none."""
    for place, rule in enumerate(health.rules):
        field = f"health.rules.{place}"
        if rule.metric != "RUN_DURATION_SECONDS":
            message = f"{field}.metric: {rule.metric[:100]!r} is not supported; it must be RUN_DURATION_SECONDS."
            raise Invalid(message, field=f"{field}.metric")
        if rule.op != "GREATER_THAN":
            message = f"{field}.op: {rule.op[:100]!r} is not supported; it must be GREATER_THAN."
            raise Invalid(message, field=f"{field}.op")
        if not 0 < rule.value <= MAX_SECONDS:
            raise Invalid(f"{field}.value: the threshold must be a positive number of seconds.", field=f"{field}.value")
    if len(health.rules) > 1:
        raise Invalid("health.rules: there can be one rule for a metric.", field="health.rules")
    return health.rules[0].value * 1000 if health.rules else 0


def webhook_url(wanted: CreateDestination) -> str:
    """The URL of a destination that is to be made. Raises Invalid for any kind but a generic webhook."""
    hook = wanted.config.generic_webhook
    if hook is None:
        raise Invalid("config: only generic_webhook destinations are supported.", field="config")
    if hook.username is not None or hook.password is not None:
        message = "config.generic_webhook: username and password are not supported; what is sent is signed instead."
        raise Invalid(message, field="config.generic_webhook.username")
    return hook.url
