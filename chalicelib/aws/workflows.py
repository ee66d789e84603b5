"""The Workflows and Timers ports on Step Functions and EventBridge Scheduler: one state machine drives runs, one
delivers notices, another rings at an instant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from chalicelib.aws.clients import client
from chalicelib.core.model import Notice, Run
from chalicelib.core.notices import notice_id
from chalicelib.core.policy import first_patience
from chalicelib.ports import Clock


def execution_name(run: Run) -> str:
    """An execution's name: taken for 90 days, so that a generation is started once."""
    return f"{run.workspace}.{run.id}.{run.generation}"


def delivery_name(notice: Notice) -> str:
    """The name of a notice's delivery, taken for 90 days as well."""
    return f"{notice_id(notice)}.{notice.generation}"


class StepWorkflows:
    """Executions of the run and the notify state machine."""

    def __init__(self, run_machine: str, notify_machine: str) -> None:
        self._machine = run_machine
        self._notify_machine = notify_machine

    def start(self, run: Run) -> None:
        """See Workflows.start."""
        about = {
            "workspace": run.workspace,
            "run": run.id,
            "generation": run.generation,
            "patience": first_patience(run),
        }
        _start(self._machine, execution_name(run), about)

    def alive(self, run: Run) -> bool:
        """See Workflows.alive."""
        return _runs(self._machine, execution_name(run))

    def complete(self, token: str) -> None:
        """See Workflows.complete."""
        sfn = client("stepfunctions")
        gone = (sfn.exceptions.TaskTimedOut, sfn.exceptions.TaskDoesNotExist, sfn.exceptions.InvalidToken)
        try:
            sfn.send_task_success(taskToken=token, output="{}")
        except gone:
            return  # the execution went on by itself, or a later generation took over

    def wake(self, token: str) -> None:
        """See Workflows.wake: the wait fails, and every fault leads to Check."""
        sfn = client("stepfunctions")
        gone = (sfn.exceptions.TaskTimedOut, sfn.exceptions.TaskDoesNotExist, sfn.exceptions.InvalidToken)
        try:
            sfn.send_task_failure(taskToken=token, error="Woken", cause="The run was changed.")
        except gone:
            return

    def notify(self, notice: Notice) -> None:
        """See Workflows.notify."""
        about = {
            "workspace": notice.workspace,
            "subject": notice.subject,
            "event": notice.event,
            "channel": notice.channel,
            "target": notice.target,
            "generation": notice.generation,
        }
        _start(self._notify_machine, delivery_name(notice), about)

    def notifying(self, notice: Notice) -> bool:
        """See Workflows.notifying."""
        return _runs(self._notify_machine, delivery_name(notice))


def _start(machine: str, name: str, about: Mapping[str, object]) -> None:
    sfn = client("stepfunctions")
    try:
        sfn.start_execution(stateMachineArn=machine, name=name, input=json.dumps(about))
    except sfn.exceptions.ExecutionAlreadyExists:
        return


def _runs(machine: str, name: str) -> bool:
    sfn = client("stepfunctions")
    arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
    try:
        return bool(sfn.describe_execution(executionArn=arn)["status"] == "RUNNING")
    except sfn.exceptions.ExecutionDoesNotExist:
        return False


WAIT_MOST_S = 360 * 86_400
"""How long an execution may wait: the service ends it after a year."""

NEAR_MS = 120_000
"""A fire that is this near waits in an execution, exact to the second; Scheduler promises no more than a minute."""


class StepTimers:
    """Executions of the timer state machine for what is near; one entry in EventBridge Scheduler a job for what is not.

    An entry is a one-off that invokes `ring` a minute ahead of the fire, which then is near.
    """

    def __init__(self, state_machine: str, function: str, role: str, group: str, clock: Clock) -> None:
        self._machine = state_machine
        self._function = function
        self._role = role
        self._group = group
        self._clock = clock

    def ring(self, cluster: str, at_ms: int) -> None:
        """See Timers.ring. Instants are rounded up to the second, so that near ones share an execution."""
        second = -(-at_ms // 1000)
        self._wait(f"ring.{cluster}.{second}", second, {"cluster": cluster})

    def arm(self, workspace: str, job: int, fire_ms: int) -> None:
        """See Timers.arm."""
        about = {"workspace": workspace, "job": job, "fire": fire_ms}
        if fire_ms - self._clock.now() <= NEAR_MS:
            self._wait(f"fire.{workspace}.{job}.{fire_ms // 1000}", fire_ms // 1000, about)
            return
        scheduler = client("scheduler")
        entry = {
            "Name": f"{workspace}.{job}",
            "GroupName": self._group,
            "ScheduleExpression": f"at({datetime.fromtimestamp(fire_ms // 1000 - 60, UTC):%Y-%m-%dT%H:%M:%S})",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": self._function, "RoleArn": self._role, "Input": json.dumps(about)},
        }
        try:
            scheduler.create_schedule(**entry)
        except scheduler.exceptions.ConflictException:
            scheduler.update_schedule(**entry)

    def disarm(self, workspace: str, job: int) -> None:
        """See Timers.disarm. A wait that is near ends by itself: its fire is looked at again when it comes."""
        scheduler = client("scheduler")
        try:
            scheduler.delete_schedule(Name=f"{workspace}.{job}", GroupName=self._group)
        except scheduler.exceptions.ResourceNotFoundException:
            return

    def remind(self, workspace: str, run: int, at_ms: int) -> None:
        """See Timers.remind. However far the instant is, an execution waits for it: that costs nothing more, and it
        may take a year."""
        second = -(-at_ms // 1000)
        about = {"workspace": workspace, "run": run}
        self._wait(f"late.{workspace}.{run}.{second}", min(second, self._clock.now() // 1000 + WAIT_MOST_S), about)

    def _wait(self, name: str, second: int, about: Mapping[str, object]) -> None:
        at = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
        _start(self._machine, name, {"at": at, "about": about})
