"""What moto's API of Step Functions leaves out of its answers, or does not pass on.

StopExecution drops `error` and `cause`, SendTaskFailure drops `cause`, DescribeExecution has no `stopDate` for
TIMED_OUT and gives an output that is a text without its quotes, so that it is no longer JSON; CreateStateMachine
answers 200 for a name that is taken by another definition; and the interpreter's own errors reach the caller without
their names.
"""

from __future__ import annotations

import json
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow
from moto.stepfunctions.parser import api
from moto.stepfunctions.parser.api import ExecutionStatus, StateMachineAlreadyExists
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from sandbox.aws.patches import Patches


def _stop_execution(self: StepFunctionResponse) -> ActionResult:
    execution: Any = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    execution.stop(stop_date=utcnow(), error=self._get_param("error"), cause=self._get_param("cause"))
    return ActionResult({"stopDate": execution.stop_date})


def _send_task_failure(self: StepFunctionResponse) -> ActionResult:
    backend: Any = self.stepfunction_backend
    backend.send_task_failure(
        self._get_param("taskToken"), error=self._get_param("error"), cause=self._get_param("cause")
    )
    return EmptyResult()


def _describe_execution(self: StepFunctionResponse) -> ActionResult:
    arn = self._get_param("executionArn")
    execution: Any = self.stepfunction_backend.describe_execution(arn)
    # The status first: what belongs to it was set before it.
    status = execution.exec_status
    answer: dict[str, Any] = {
        "executionArn": arn,
        "stateMachineArn": execution.state_machine_arn,
        "name": execution.name,
        "status": status.value,
        "startDate": execution.start_date,
        "input": execution.execution_input,
        "inputDetails": {"included": True},
    }
    if status != ExecutionStatus.RUNNING:
        answer["stopDate"] = execution.stop_date
    if status == ExecutionStatus.SUCCEEDED:
        answer["output"] = json.dumps(execution.output, separators=(",", ":"))
        answer["outputDetails"] = {"included": True}
    answer.update({key: value for key in ("error", "cause") if (value := getattr(execution, key)) is not None})
    return ActionResult(answer)


def _create_state_machine(stock: Any) -> Any:
    def create_state_machine(self: StepFunctionsParserBackend, name: str, definition: str, **rest: Any) -> Any:
        known = self._revision_by_name(name)
        if known is not None and known.definition != definition:
            raise StateMachineAlreadyExists(f"State Machine Already Exists: '{known.arn}'")
        return stock(self, name=name, definition=definition, **rest)

    return create_state_machine


def _named_errors() -> list[Any]:
    """The interpreter's errors, which say their name in `code`, where moto's serialiser looks at `TYPE`."""
    classes = [one for one in vars(api).values() if isinstance(one, type) and issubclass(one, api.ServiceException)]
    return [one for one in classes if one.TYPE is None and isinstance(one.code, str)]


def install(patches: Patches) -> None:
    for error in _named_errors():
        patches.set(error, "TYPE", error.code)
    patches.set(StepFunctionResponse, "stop_execution", _stop_execution)
    patches.set(StepFunctionResponse, "send_task_failure", _send_task_failure)
    patches.set(StepFunctionResponse, "describe_execution", _describe_execution)
    create = StepFunctionsParserBackend.create_state_machine
    patches.set(StepFunctionsParserBackend, "create_state_machine", _create_state_machine(create))
