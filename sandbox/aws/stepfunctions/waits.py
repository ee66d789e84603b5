"""Wait and Retry: they end when their execution does, and a timer never fires early.

Stock moto sets and at once clears the event that wakes a wait, so one that was just about to begin sleeps its whole
time; it sleeps between retries where StopExecution is not seen; and it takes a timestamp as local time, cut to whole
seconds in the favour of firing early.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEventException
from moto.stepfunctions.parser.asl.component.common.retry.max_attempts_decl import MaxAttemptsOutcome
from moto.stepfunctions.parser.asl.component.common.retry.retrier_decl import RetrierDecl, RetrierOutcome
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.timestamp import Timestamp
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import (
    ProgramEnded,
    ProgramRunning,
    ProgramStopped,
    ProgramTimedOut,
)

from sandbox.aws.patches import Patches

# A wait for an instant looks at the clock at least this often, so that it is not late after the machine slept.
_LOOK_AGAIN_SECONDS = 30.0


def _sleep(env: Environment, left: Callable[[], float]) -> None:
    while env.is_running() and (seconds := left()) > 0:
        env.program_state_event.wait(min(seconds, _LOOK_AGAIN_SECONDS))


def _pause(env: Environment, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    _sleep(env, lambda: deadline - time.monotonic())


def _wait_interval(self: WaitFunction, env: Environment, wait_seconds: float) -> None:
    _pause(env, wait_seconds)


def _from_timestamp_string(timestamp: Any) -> datetime | None:
    if not isinstance(timestamp, str) or not Timestamp._is_valid_timestamp_pattern(timestamp):
        return None
    try:
        whole, _, fraction = timestamp[:-1].partition(".")
        instant = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        return instant.replace(microsecond=int(fraction[:6].ljust(6, "0")) if fraction else 0)
    except ValueError:
        return None


def _eval_timestamp(self: Timestamp, env: Environment) -> None:
    self.string.eval(env=env)
    text = env.stack.pop()
    instant = _from_timestamp_string(text)
    if instant is None:
        raise FailureEventException(self._create_failure_event(env, text))
    due = instant.timestamp()
    _sleep(env, lambda: due - time.time())


def _eval_retrier(self: RetrierDecl, env: Environment) -> None:
    """As `RetrierDecl._eval_body`, but for the last step, which waits for the end of the execution too."""
    self.error_equals.eval(env)
    if not env.stack.pop():
        env.stack.append(RetrierOutcome.Skipped)
        return
    self.max_attempts.eval(env=env)
    if env.stack.pop() == MaxAttemptsOutcome.EXHAUSTED:
        env.stack.append(RetrierOutcome.Failed)
        return
    for step in (self.interval_seconds, self.backoff_rate, self.max_delay_seconds, self.jitter_strategy):
        step.eval(env=env)
    _pause(env, env.stack.pop())
    env.stack.append(RetrierOutcome.Executed)


def _end(env: Environment, state: Any, frames: Callable[[Environment], None]) -> None:
    """The one way by which an environment stops running. The first end wins, and whatever waits is woken."""
    with env._state_mutex:
        if env._program_state is None or isinstance(env._program_state, ProgramRunning):
            env._program_state = state
            for frame in env._frames:
                frames(frame)
        # Left set: nothing in this environment will ever wait again.
        env.program_state_event.set()


def _release_tokens(env: Environment) -> None:
    if not env.is_frame():
        for endpoint in list(env.callback_pool_manager._pool.values()):
            endpoint.interrupt_all()


def _set_ended(self: Environment) -> None:
    _end(self, ProgramEnded(), lambda frame: frame.set_ended())


def _set_error(stock: Any) -> Any:
    def set_error(self: Environment, error: Any) -> None:
        # What follows from a stop or a time-out must not hide it.
        if not isinstance(self._program_state, (ProgramStopped, ProgramTimedOut)):
            stock(self, error)
        self.program_state_event.set()

    return set_error


def _set_timed_out(self: Environment) -> None:
    _end(self, ProgramTimedOut(), lambda frame: frame.set_timed_out())
    _release_tokens(self)


def _set_stop(self: Environment, stop_date: Any, cause: str | None, error: str | None) -> None:
    state = ProgramStopped(stop_date=stop_date, cause=cause, error=error)
    _end(self, state, lambda frame: frame.set_stop(stop_date=stop_date, cause=cause, error=error))
    _release_tokens(self)


def install(patches: Patches) -> None:
    patches.set(WaitFunction, "_wait_interval", _wait_interval)
    patches.set(Timestamp, "_from_timestamp_string", staticmethod(_from_timestamp_string))
    patches.set(Timestamp, "_eval_body", _eval_timestamp)
    patches.set(RetrierDecl, "_eval_body", _eval_retrier)
    patches.set(Environment, "set_ended", _set_ended)
    patches.set(Environment, "set_error", _set_error(Environment.set_error))
    patches.set(Environment, "set_timed_out", _set_timed_out)
    patches.set(Environment, "set_stop", _set_stop)
