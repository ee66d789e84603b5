"""Executions: how they start, are named, end, and are forgotten.

Stock moto names an execution `None` when the caller names none; its environment is made by a thread, so a
StopExecution that comes at once fails; a thread that dies leaves its execution RUNNING; a status is shown before the
output that belongs to it; StopExecution forgets its error and cause and waits for a task that runs; and every thread
and every execution is kept for ever.

Here `status` changes once, from RUNNING, under a lock and together with everything that belongs to it. StopExecution
does not wait: a function that runs goes on to its end, as on AWS, and nothing comes of it. The newest `KEEP` ended
executions of a machine are kept.
"""

from __future__ import annotations

import logging
import threading
import uuid
from datetime import UTC, datetime
from typing import Any

from moto.stepfunctions.exceptions import ExecutionDoesNotExist
from moto.stepfunctions.parser.api import ExecutionFailedEventDetails, ExecutionStatus
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.program import program as program_module
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.component.state.exec import execute_state
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import (
    ProgramEnded,
    ProgramError,
    ProgramRunning,
    ProgramStopped,
    ProgramTimedOut,
)
from moto.stepfunctions.parser.backend import execution_worker
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.parser.utils import TMP_THREADS

from sandbox.aws.patches import Patches

log = logging.getLogger(__name__)

KEEP = 2000

_lock = threading.RLock()
_STATUS = {
    ProgramEnded: ExecutionStatus.SUCCEEDED,
    ProgramStopped: ExecutionStatus.ABORTED,
    ProgramError: ExecutionStatus.FAILED,
    ProgramTimedOut: ExecutionStatus.TIMED_OUT,
}


class _Forgetful(list):  # type: ignore[type-arg]
    """In place of moto's list of threads, which only ever grows and which nothing reads."""

    def append(self, item: Any) -> None:
        return


def _start_execution(stock: Any) -> Any:
    def start_execution(
        self: StepFunctionsParserBackend,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str | None = None,
        trace_header: str | None = None,
    ) -> Execution:
        if name is not None:
            self._validate_name(name)
        # The look for a taken name and the start are one step, or two callers could both find it free.
        with _lock:
            _forget(self.describe_state_machine(state_machine_arn).executions)
            return stock(self, state_machine_arn, name or str(uuid.uuid4()), execution_input, trace_header)  # type: ignore[no-any-return]

    return start_execution


def _forget(executions: list[Any]) -> None:
    """Drop the oldest ended executions. A tenth more than `KEEP` may stand, so that not every start has to look."""
    if len(executions) <= KEEP + KEEP // 10:
        return
    ended = [one for one in executions if one.exec_status != ExecutionStatus.RUNNING]
    old = {id(one) for one in ended[: max(0, len(ended) - KEEP)]}
    executions[:] = [one for one in executions if id(one) not in old]


def _worker_start(self: ExecutionWorker) -> None:
    program = self._get_evaluation_entrypoint()
    self.env = self._get_evaluation_environment()
    # Running from here on, so that a stop counts whenever it comes.
    self.env.next_state_name = program.start_at.start_at_name
    name = self._evaluation_details.execution_details.name
    threading.Thread(target=_work, args=(self, program), name=f"execution-{name}", daemon=True).start()


def _work(self: ExecutionWorker, program: Program) -> None:
    try:
        self._get_evaluation_entrypoint = lambda: program  # type: ignore[method-assign]
        self._get_evaluation_environment = lambda: self.env  # type: ignore[method-assign]
        self._execution_logic()
    except Exception as error:
        log.exception("the interpreter failed")
        cause = f"{type(error).__name__}({error})"
        self.env.set_error(ExecutionFailedEventDetails(error="States.Runtime", cause=cause))
        self._execution_communication.terminated()


def _program_eval(self: Program, env: Environment) -> None:
    with env._state_mutex:
        if env._program_state is None or env.is_running():
            env.next_state_name = self.start_at.start_at_name
    if self.timeout_seconds is None:
        EvalComponent.eval(self, env)
        return
    worker = threading.Thread(target=EvalComponent.eval, args=(self, env), daemon=True)
    worker.start()
    worker.join(self.timeout_seconds.timeout_seconds)
    if worker.is_alive():
        env.set_timed_out()


def _reflect_execution_status(self: BaseExecutionWorkerCommunication) -> None:
    execution = self.execution
    env = execution.exec_worker.env
    state = env.program_state()
    with _lock:
        if execution.exec_status != ExecutionStatus.RUNNING:
            return
        if isinstance(state, ProgramEnded):
            execution.output = env.states.get_input()
        elif isinstance(state, ProgramError):
            execution.error = state.error.get("error")
            execution.cause = state.error.get("cause")
        elif isinstance(state, ProgramStopped):
            execution.error, execution.cause = state.error, state.cause
        execution.stop_date = datetime.now(UTC)
        execution.exec_status = _STATUS[type(state)]


def _stop(self: Execution, stop_date: datetime, error: str | None, cause: str | None) -> None:
    """Ends the execution if it runs; on one that has ended this changes nothing, as on AWS."""
    self.exec_worker.stop(stop_date=stop_date, error=error, cause=cause)
    if not isinstance(self.exec_worker.env.program_state(), ProgramRunning):
        self.exec_worker._execution_communication.terminated()


def _describe_execution(self: StepFunctionsParserBackend, execution_arn: str) -> Execution:
    self._validate_execution_arn(execution_arn)
    # One that is just being started is seen only when it was.
    with _lock:
        machine = self._get_state_machine_for_execution(execution_arn)
        # The newest first: what is asked for is mostly young.
        for one in reversed(machine.executions):
            if one.execution_arn == execution_arn:
                return one  # type: ignore[no-any-return]
    raise ExecutionDoesNotExist(f"Execution Does Not Exist: '{execution_arn}'")


def install(patches: Patches) -> None:
    for module in (program_module, execute_state, execution_worker):
        patches.set(module, "TMP_THREADS", _Forgetful())
    TMP_THREADS.clear()
    patches.set(
        StepFunctionsParserBackend, "start_execution", _start_execution(StepFunctionsParserBackend.start_execution)
    )
    patches.set(StepFunctionsParserBackend, "describe_execution", _describe_execution)
    patches.set(ExecutionWorker, "start", _worker_start)
    patches.set(Program, "eval", _program_eval)
    patches.set(BaseExecutionWorkerCommunication, "_reflect_execution_status", _reflect_execution_status)
    patches.set(Execution, "stop", _stop)
    patches.set(Execution, "status", property(lambda self: (self.exec_status or ExecutionStatus.RUNNING).value))
