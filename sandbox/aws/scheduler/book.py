"""The schedules on disk, and the API that changes them: nothing is answered before it is written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.scheduler.exceptions import ScheduleGroupNotFound, ValidationException
from moto.scheduler.models import EventBridgeSchedulerBackend, Schedule, ScheduleGroup
from moto.scheduler.responses import EventBridgeSchedulerResponse

from sandbox.aws.patches import Patches
from sandbox.aws.scheduler.expressions import InvalidExpression, parse

if TYPE_CHECKING:
    from sandbox.aws.scheduler.service import Scheduler

_FIELDS = (
    "description",
    "schedule_expression",
    "schedule_expression_timezone",
    "flexible_time_window",
    "target",
    "state",
    "kms_key_arn",
    "start_date",
    "end_date",
    "action_after_completion",
    "creation_date",
    "last_modified_date",
)


def save(file: Path, backend: EventBridgeSchedulerBackend, due: Mapping[tuple[str, str], datetime | None]) -> None:
    """Write all schedules; the file is the old one or the new one, whatever happens."""
    schedules = []
    for group in backend.schedule_groups.values():
        for schedule in group.schedules.values():
            at = due.get((group.name, schedule.name))
            fields = {name: getattr(schedule, name) for name in _FIELDS}
            schedules.append(
                {"group": group.name, "name": schedule.name, "due": at.isoformat() if at else "", "fields": fields}
            )
    groups = [
        {"name": group.name, "created": group.created_on, "modified": group.last_modified}
        for group in backend.schedule_groups.values()
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    new.write_text(json.dumps({"groups": groups, "schedules": schedules}))
    os.replace(new, file)


def load(file: Path, backend: EventBridgeSchedulerBackend) -> Iterator[tuple[Schedule, dict[str, Any]]]:
    """Put what the file holds into the backend; each schedule with what was kept of it."""
    if not file.exists():
        return
    kept = json.loads(file.read_text())
    for one in kept["groups"]:
        if one["name"] not in backend.schedule_groups:
            group = ScheduleGroup(backend.region_name, backend.account_id, one["name"])
            group.created_on, group.last_modified = one["created"], one["modified"]
            backend.schedule_groups[group.name] = group
    for one in kept["schedules"]:
        schedule = Schedule(
            backend.region_name,
            backend.account_id,
            one["group"],
            one["name"],
            **{**{name: one["fields"][name] for name in _FIELDS[:-2]}, "start_date": None},
        )
        # Not through the constructor, which refuses a start date that has passed.
        for name in _FIELDS:
            setattr(schedule, name, one["fields"][name])
        backend.schedule_groups[one["group"]].add_schedule(schedule)
        yield schedule, one


def check(name: str, given: Mapping[str, Any]) -> None:
    """Refuse what AWS refuses in CreateSchedule and UpdateSchedule, and targets that cannot be reached here."""
    if not re.fullmatch(r"[0-9a-zA-Z\-_.]{1,64}", name):
        raise ValidationException(f"Value '{name}' at 'name' failed to satisfy constraint: [0-9a-zA-Z-_.]+, at most 64")
    try:
        parse(given["schedule_expression"], given.get("schedule_expression_timezone") or "UTC")
    except InvalidExpression as error:
        raise ValidationException(str(error)) from error
    window = given.get("flexible_time_window") or {}
    minutes = window.get("MaximumWindowInMinutes")
    if window.get("Mode") not in ("OFF", "FLEXIBLE") or (window["Mode"] == "FLEXIBLE") != (minutes is not None):
        raise ValidationException("FlexibleTimeWindow is OFF, or FLEXIBLE with MaximumWindowInMinutes.")
    if given.get("state") not in (None, "ENABLED", "DISABLED"):
        raise ValidationException(f"State {given['state']} is not ENABLED or DISABLED.")
    if given.get("action_after_completion") not in (None, "NONE", "DELETE"):
        raise ValidationException("ActionAfterCompletion is NONE or DELETE.")
    _check_target(given.get("target") or {})


def _check_target(target: Mapping[str, Any]) -> None:
    if not target.get("Arn") or not target.get("RoleArn"):
        raise ValidationException("Target needs an Arn and a RoleArn.")
    if not re.match(r"arn:aws:(lambda:[^:]*:\d+:function:|states:[^:]*:\d+:stateMachine:).+", target["Arn"]):
        raise ValidationException(f"Provided Arn is not in correct format, or not a target here: {target['Arn']}")
    try:
        json.loads(target.get("Input") or "{}")
    except ValueError as error:
        raise ValidationException(f"Input is not JSON: {error}") from error


def install(patches: Patches, scheduler: Scheduler) -> None:
    backend = EventBridgeSchedulerBackend
    patches.set(backend, "create_schedule", _create(backend.create_schedule, scheduler))
    patches.set(backend, "update_schedule", _update(backend.update_schedule, scheduler))
    for name in ("delete_schedule", "create_schedule_group", "delete_schedule_group"):
        patches.set(backend, name, _then_forget(getattr(backend, name), scheduler))
    patches.set(EventBridgeSchedulerResponse, "update_schedule", _update_response(scheduler))


def _create(stock: Any, scheduler: Scheduler) -> Any:
    def create_schedule(self: EventBridgeSchedulerBackend, **given: Any) -> Schedule:
        check(given["name"], given)
        with scheduler.changing:
            if (given["group_name"] or "default") not in self.schedule_groups:
                raise ScheduleGroupNotFound(given["group_name"])
            schedule: Schedule = stock(self, **given)
            schedule.action_after_completion = schedule.action_after_completion or "NONE"
            scheduler.put(schedule)
        return schedule

    return create_schedule


def _update(stock: Any, scheduler: Scheduler) -> Any:
    def update_schedule(self: EventBridgeSchedulerBackend, **given: Any) -> Schedule:
        after = given.pop("action_after_completion", None)
        check(given["name"], {**given, "action_after_completion": after})
        with scheduler.changing:
            schedule: Schedule = stock(self, **{**given, "state": given.get("state") or "ENABLED"})
            schedule.action_after_completion = after or "NONE"
            scheduler.put(schedule)
        return schedule

    return update_schedule


def _update_response(scheduler: Scheduler) -> Any:
    """As stock, which does not pass on `ActionAfterCompletion`."""

    def update_schedule(self: EventBridgeSchedulerResponse) -> str:
        names = {
            "group_name": "GroupName",
            "description": "Description",
            "end_date": "EndDate",
            "flexible_time_window": "FlexibleTimeWindow",
            "kms_key_arn": "KmsKeyArn",
            "schedule_expression": "ScheduleExpression",
            "schedule_expression_timezone": "ScheduleExpressionTimezone",
            "start_date": "StartDate",
            "state": "State",
            "target": "Target",
            "action_after_completion": "ActionAfterCompletion",
        }
        given = {name: self._get_param(parameter) for name, parameter in names.items()}
        name = self.uri.split("?")[0].split("/")[-1]
        return json.dumps({"ScheduleArn": self.scheduler_backend.update_schedule(name=name, **given).arn})

    return update_schedule


def _then_forget(stock: Any, scheduler: Scheduler) -> Any:
    def change(self: EventBridgeSchedulerBackend, *args: Any, **kwargs: Any) -> Any:
        with scheduler.changing:
            result = stock(self, *args, **kwargs)
            scheduler.forget()
        return result

    return change
