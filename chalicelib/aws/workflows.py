"""The Workflows and Timers ports on Step Functions: one state machine drives runs, another rings at an instant."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from chalicelib.aws.clients import client
from chalicelib.core.model import Run
from chalicelib.core.policy import first_patience


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


class RingTimers:
    """Executions of the timer state machine: they wait until an instant and invoke `ring`. Exact to the second."""

    def __init__(self, state_machine: str) -> None:
        self._machine = state_machine

    def ring(self, cluster: str, at_ms: int) -> None:
        """See Timers.ring. Instants are rounded up to the second, so that near ones share an execution."""
        sfn = client("stepfunctions")
        second = -(-at_ms // 1000)
        at = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            sfn.start_execution(
                stateMachineArn=self._machine,
                name=f"ring.{cluster}.{second}",
                input=json.dumps({"cluster": cluster, "at": at}),
            )
        except sfn.exceptions.ExecutionAlreadyExists:
            return
