"""Task tokens: who waits for which, and what SendTaskSuccess, SendTaskFailure and SendTaskHeartbeat answer.

Stock moto looks through all executions for a token, accepts one whose task has timed out, and leaves a waiting task
for ever when its execution is stopped. Here a token is settled exactly once - by an answer, a time-out, or the end of
its execution - and the caller learns on which side of that it was: an accepted answer is never lost, a late one never
accepted.

AWS has two errors of interest, and so have we: `InvalidToken` for a text that never was a token, and `TaskTimedOut`
("Provided task does not exist anymore") for one whose task is over. Tokens carry a checksum, so that the two can be
told apart without a memory of old tokens, across a restart too. (`TaskDoesNotExist` belongs to activities, which the
product does not use.)
"""

from __future__ import annotations

import json
import secrets
import threading
import time
import zlib
from typing import Any

from moto.stepfunctions.parser.api import InvalidToken, ServiceException, TaskTimedOut
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackEndpoint,
    CallbackOutcome,
    CallbackOutcomeFailure,
    CallbackOutcomeSuccess,
    CallbackOutcomeTimedOut,
    CallbackPoolManager,
    HeartbeatTimedOut,
)
from moto.stepfunctions.parser.asl.eval.states import ContextObject
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from sandbox.aws.patches import Patches

_PREFIX = "AQBzYW5kYm94"
_OUTPUT_LIMIT = 262_144


class InvalidOutput(ServiceException):
    TYPE = "InvalidOutput"


def new_token() -> str:
    body = secrets.token_urlsafe(32)
    return f"{_PREFIX}{body}{zlib.crc32(body.encode()):08x}"


def _well_formed(token: str) -> bool:
    body, checksum = token[len(_PREFIX) : -8], token[-8:]
    return token.startswith(_PREFIX) and checksum == f"{zlib.crc32(body.encode()):08x}"


class Endpoint(CallbackEndpoint):
    """One token, from the start of its task's attempt to its end."""

    def __init__(self, callback_id: str) -> None:
        super().__init__(callback_id)
        self._changed = threading.Condition()
        self._settled: Any = None
        self._beat = time.monotonic()

    def settle(self, outcome: Any) -> bool:
        """The first to settle wins; False for everybody after that."""
        with self._changed:
            if self._settled is not None:
                return False
            self._settled = outcome
            self._changed.notify_all()
        _waiting.pop(self.callback_id, None)
        return True

    def expire(self) -> bool:
        """No answer is accepted any more. False if one was accepted before."""
        return self.settle(CallbackOutcomeTimedOut(callback_id=self.callback_id))

    def beat(self) -> bool:
        with self._changed:
            if self._settled is not None:
                return False
            self._beat = time.monotonic()
            return True

    def await_outcome(self, timeout: float, heartbeat: float | None) -> Any:
        """What settled the token; a time-out or a missing heartbeat settles it here."""
        deadline = time.monotonic() + timeout
        with self._changed:
            if heartbeat is not None:
                self._beat = time.monotonic()
            while self._settled is None:
                now = time.monotonic()
                beat_by = deadline if heartbeat is None else self._beat + heartbeat
                if now >= min(deadline, beat_by):
                    break
                # Waits longer than a day overflow some platforms' clocks; looking once a day costs nothing.
                self._changed.wait(min(min(deadline, beat_by) - now, 86_400))
            missed = heartbeat is not None and time.monotonic() >= self._beat + heartbeat
        self.settle(HeartbeatTimedOut() if missed else CallbackOutcomeTimedOut(callback_id=self.callback_id))
        return self._settled

    def interrupt_all(self) -> None:
        """moto's word for: the task is over, whoever still waits may go."""
        self.expire()


_waiting: dict[str, Endpoint] = {}


def _add(self: CallbackPoolManager, callback_id: str) -> Endpoint:
    endpoint = Endpoint(callback_id)
    self._pool[callback_id] = endpoint
    _waiting[callback_id] = endpoint
    return endpoint


def _update_task_token(self: ContextObject) -> str:
    token = new_token()
    self.context_object_data["Task"] = {"Token": token}
    return token


def _eval_wait_for_task_token(
    self: StateTaskServiceCallback,
    env: Any,
    timeout_seconds: int,
    callback_endpoint: Endpoint,
    heartbeat_endpoint: Any,
) -> CallbackOutcome | HeartbeatTimedOut:
    heartbeat = heartbeat_endpoint._heartbeat_seconds if heartbeat_endpoint is not None else None
    return callback_endpoint.await_outcome(timeout_seconds, heartbeat)  # type: ignore[no-any-return]


def _find(token: str) -> Endpoint:
    endpoint = _waiting.get(token)
    if endpoint is not None:
        return endpoint
    raise _over() if _well_formed(token) else InvalidToken()


def _over() -> TaskTimedOut:
    return TaskTimedOut("Task Timed Out: 'Provided task does not exist anymore'")


def _send_task_success(self: StepFunctionsParserBackend, task_token: str, outcome: str) -> None:
    try:
        json.loads(outcome)
    except (TypeError, ValueError) as error:
        raise InvalidOutput(f"Invalid Output: '{error}'") from error
    if len(outcome.encode()) > _OUTPUT_LIMIT:
        raise InvalidOutput(f"Invalid Output: 'more than {_OUTPUT_LIMIT} bytes'")
    if not _find(task_token).settle(CallbackOutcomeSuccess(callback_id=task_token, output=outcome)):
        raise _over()


def _send_task_failure(
    self: StepFunctionsParserBackend, task_token: str, error: str | None = None, cause: str | None = None
) -> None:
    outcome = CallbackOutcomeFailure(callback_id=task_token, error=error, cause=cause)
    if not _find(task_token).settle(outcome):
        raise _over()


def _send_task_heartbeat(self: StepFunctionsParserBackend, task_token: str) -> None:
    if not _find(task_token).beat():
        raise _over()


def install(patches: Patches) -> None:
    patches.set(CallbackPoolManager, "add", _add)
    patches.set(ContextObject, "update_task_token", _update_task_token)
    patches.set(StateTaskServiceCallback, "_eval_wait_for_task_token", _eval_wait_for_task_token)
    patches.set(StepFunctionsParserBackend, "send_task_success", _send_task_success)
    patches.set(StepFunctionsParserBackend, "send_task_failure", _send_task_failure)
    patches.set(StepFunctionsParserBackend, "send_task_heartbeat", _send_task_heartbeat)
