"""The Workflows and Timers ports on Step Functions and EventBridge Scheduler: one state machine drives runs, another
rings at an instant."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from chalicelib.aws.clients import client
from chalicelib.core.model import Run
from chalicelib.core.policy import first_patience
from chalicelib.ports import Clock


def execution_name(run: Run) -> str:
    """An execution's name: taken for 90 days, so that a generation is started once."""
    return f"{run.workspace}.{run.id}.{run.generation}"


class RunWorkflows:
    """Executions of the run state machine."""

    def __init__(self, state_machine: str) -> None:
        self._machine = state_machine

    def start(self, run: Run) -> None:
        """See Workflows.start."""
        sfn = client("stepfunctions")
        about = {
            "workspace": run.workspace,
            "run": run.id,
            "generation": run.generation,
            "patience": first_patience(run),
        }
        try:
            sfn.start_execution(stateMachineArn=self._machine, name=execution_name(run), input=json.dumps(about))
        except sfn.exceptions.ExecutionAlreadyExists:
            return

    def alive(self, run: Run) -> bool:
        """See Workflows.alive."""
        sfn = client("stepfunctions")
        arn = f"{self._machine.replace(':stateMachine:', ':execution:')}:{execution_name(run)}"
        try:
            return bool(sfn.describe_execution(executionArn=arn)["status"] == "RUNNING")
        except sfn.exceptions.ExecutionDoesNotExist:
            return False

    def complete(self, token: str) -> None:
        """See Workflows.complete."""
        sfn = client("stepfunctions")
        gone = (sfn.exceptions.TaskTimedOut, sfn.exceptions.TaskDoesNotExist, sfn.exceptions.InvalidToken)
        try:
            sfn.send_task_success(taskToken=token, output="{}")
        except gone:
            return  # the execution went on by itself, or a later generation took over


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

    def _wait(self, name: str, second: int, about: dict[str, object]) -> None:
        sfn = client("stepfunctions")
        at = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
        try:
            sfn.start_execution(stateMachineArn=self._machine, name=name, input=json.dumps({"at": at, "about": about}))
        except sfn.exceptions.ExecutionAlreadyExists:
            return
