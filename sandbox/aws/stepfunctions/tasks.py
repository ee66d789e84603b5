"""One attempt at a task: its time-out, its token, its end.

Stock moto makes one token for a task state and keeps it for all attempts of its Retry, so the second attempt ends at
once with the first one's answer; and a task that timed out goes on accepting answers. Here every attempt has its own
token, which is retired with it. An answer that was accepted in the instant of the time-out counts. Time-outs must be
positive, as on AWS.
"""

from __future__ import annotations

import copy
import threading
from typing import Any

from moto.stepfunctions.parser.api import ExecutionFailedEventDetails, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.timeouts.heartbeat import Heartbeat
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError, Timeout
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

from sandbox.aws.patches import Patches
from sandbox.aws.stepfunctions.tokens import Endpoint


class _Attempt:
    """Runs a state's logic in a frame of its environment, on its own thread, so that it can be left behind."""

    def __init__(self, state: ExecutionState, env: Environment) -> None:
        self._state = state
        self.frame: Environment = env.open_frame()
        self.frame.states.reset(input_value=env.states.get_input())
        self.frame.stack = copy.deepcopy(env.stack)
        self.over = threading.Event()
        self.error: Exception | None = None

    def start(self, name: str) -> None:
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._state._eval_execution(self.frame)
        except Exception as error:  # noqa: BLE001 - told to the waiting thread, which raises it
            self.error = error
        self.over.set()


def _evaluate_with_timeout(self: ExecutionState, env: Environment) -> None:
    self.timeout.eval(env=env)
    timeout = env.stack.pop()
    endpoint = _new_token(self, env)
    attempt = _Attempt(self, env)
    attempt.start(f"task-{self.name}")
    try:
        on_time = attempt.over.wait(timeout)
        if not on_time and endpoint is not None and not endpoint.expire():
            # An answer was accepted before the time-out; the attempt is about to end with it.
            on_time = attempt.over.wait()
    finally:
        attempt.frame.set_ended()
        env.close_frame(attempt.frame)
        _retire(env, endpoint)
    if not env.is_running():
        return
    if not on_time:
        raise EvalTimeoutError
    if attempt.error is not None:
        raise attempt.error
    _take_output(self, env, attempt.frame.stack.pop())


def _take_output(state: ExecutionState, env: Environment, output: Any) -> None:
    env.stack.append(output)
    if not state._is_language_query_jsonpath():
        env.states.set_result(output)
    for step in (state.assign_decl, state.result_selector):
        if step:
            step.eval(env=env)
    if state.result_path:
        state.result_path.eval(env)
    else:
        env.states.reset(input_value=env.stack.pop())


def _new_token(state: ExecutionState, env: Environment) -> Endpoint | None:
    """A token in the context object, where `$$.Task.Token` finds it, if the task is one that is answered by token."""
    if not isinstance(state, StateTaskServiceCallback) or not state._is_integration_pattern():
        return None
    if ResourceCondition.WaitForTaskToken not in state._supported_integration_patterns:
        return None
    state._assert_integration_pattern_is_supported()
    token = env.states.context_object.update_task_token()
    return env.callback_pool_manager.add(token)  # type: ignore[return-value]


def _retire(env: Environment, endpoint: Endpoint | None) -> None:
    env.states.context_object.context_object_data.pop("Task", None)
    if endpoint is not None:
        endpoint.expire()
        env.callback_pool_manager._pool.pop(endpoint.callback_id, None)


def _eval_body(self: StateTaskServiceCallback, env: Environment) -> None:
    # Without the token that stock moto makes here, once for all attempts.
    StateTaskService._eval_body(self, env)


def _positive(field: str) -> Any:
    def eval_body(self: Any, env: Environment) -> None:
        seconds = self._eval_seconds(env=env)
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds <= 0:
            raise _invalid(env, f"Invalid value for {field}: expected a positive number of seconds, got {seconds!r}")
        env.stack.append(seconds)

    return eval_body


def _invalid(env: Environment, cause: str) -> FailureEventException:
    name = StatesErrorNameType.StatesRuntime
    details = ExecutionFailedEventDetails(error=name.to_name(), cause=cause)
    return FailureEventException(
        failure_event=FailureEvent(
            env=env,
            error_name=StatesErrorName(typ=name),
            event_type=HistoryEventType.ExecutionFailed,
            event_details=EventDetails(executionFailedEventDetails=details),
        )
    )


def install(patches: Patches) -> None:
    patches.set(ExecutionState, "_evaluate_with_timeout", _evaluate_with_timeout)
    patches.set(StateTaskServiceCallback, "_eval_body", _eval_body)
    patches.set(Timeout, "_eval_body", _positive("TimeoutSeconds"))
    patches.set(Heartbeat, "_eval_body", _positive("HeartbeatSeconds"))
