"""Workers behind the state machines, the engine's events, timers and the sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from chalicelib.core.ids import external_name
from chalicelib.core.model import Channel, Notice, NoticeEvent, NoticeStatus
from chalicelib.core.notices import notice_id
from chalicelib.observe import count, logger
from chalicelib.ports import Ports
from chalicelib.services import notices, schedules, workflow
from chalicelib.services.dispatch import dispatch
from chalicelib.services.sweep import sweep


def launch_worker(ports: Ports, event: Mapping[str, Any]) -> dict[str, Any]:
    """`Launch` and `Watch`: bring the run forward, and leave the execution's task token with it unless it is over."""
    return _drive(ports, event)


def check_worker(ports: Ports, event: Mapping[str, Any]) -> dict[str, Any]:
    """`Check`: bring the run forward, and say whether its driver is over or how long to wait for news."""
    return _drive(ports, event)


def _drive(ports: Ports, event: Mapping[str, Any]) -> dict[str, Any]:
    progress = workflow.drive(
        ports,
        event["workspace"],
        event["run"],
        event["generation"],
        token=event.get("token", ""),
        waited=event.get("waited", 0),
    )
    logger().info("drive", run=external_name(event["workspace"], event["run"]), **asdict(progress))
    return asdict(progress)


def engine_event_worker(ports: Ports, event: Mapping[str, Any]) -> None:
    """A driver changed state, says the engine (EventBridge). Only the ids in the event are used."""
    detail = event.get("detail", {})
    if detail.get("id"):
        workflow.heard(ports, f"{detail['virtualClusterId']}/{detail['id']}")


def ring_worker(ports: Ports, event: Mapping[str, Any]) -> None:
    """An instant has come at which a run may start or lasts too long, or at which a job's schedule fires."""
    if "run" in event:
        notices.look(ports, event["workspace"], event["run"])
        return
    if "job" not in event:
        dispatch(ports, event["cluster"])
        return
    refused = schedules.due(ports, event["workspace"], event["job"], event["fire"])
    logger().info("fire", job=external_name(event["workspace"], event["job"]), fire=event["fire"], refused=refused)


def notify_worker(ports: Ports, event: Mapping[str, Any]) -> dict[str, Any]:
    """`Deliver`: send a notice; `GiveUp`, which brings the last fault: keep why it was not. Raises Undelivered."""
    about = Notice(
        event["workspace"],
        event["subject"],
        NoticeEvent(event["event"]),
        Channel(event["channel"]),
        event["target"],
        generation=event["generation"],
    )
    if "fault" in event:
        status = notices.give_up(ports, about, _reason(event["fault"]))
    else:
        status = notices.deliver(ports, about)
    if status is NoticeStatus.DEAD:
        count("DeadNotices")
    logger().info(
        "notify", subject=external_name(about.workspace, about.subject), notice=notice_id(about), event=about.event,
        status=status,
    )  # fmt: skip
    return {"status": status or ""}


def _reason(fault: Mapping[str, Any]) -> str:
    """The sentence in a fault that Step Functions caught: the message of the function's own error, if it was one."""
    cause = str(fault.get("Cause", ""))
    try:
        told = json.loads(cause)
    except ValueError:
        told = None
    message = told.get("errorMessage") if isinstance(told, dict) else None
    return str(message or cause or fault.get("Error", "unknown"))


def sweep_worker(ports: Ports, event: Mapping[str, Any]) -> dict[str, Any]:
    """Find and mend what nobody rang for."""
    repairs = sweep(ports, event.get("cluster") or ports.settings.cluster)
    logger().info("sweep", **asdict(repairs))
    for drift in repairs.drifts:
        logger().warning("ledger repaired", **asdict(drift))
    if repairs.drifts:
        count("LedgerRepairs", len(repairs.drifts))
    mended = repairs.restarted + repairs.strays + len(repairs.drifts) + repairs.missed + repairs.notices
    if mended:
        count("Repairs", mended)
    return asdict(repairs)
