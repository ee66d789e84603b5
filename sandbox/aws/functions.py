"""Lambda in this process: functions are Python callables, called by name.

moto's own Lambda either needs Docker or echoes its input. The composition gives `Functions` the callables that on AWS
are the deployed handlers; `install` then routes the Invoke API and Step Functions' `lambda:invoke` to them. A
function that the registry knows needs no entry in moto's backend.

What a caller can rely on, as on AWS: events and results travel as JSON (so nothing shared or un-serialisable leaks
from caller to function), payloads have Lambda's limits, an error becomes `errorType`/`errorMessage`, and an
asynchronous event is tried again twice. Unlike on AWS a function that overruns its time-out is not ended;
`get_remaining_time_in_millis` goes below zero. Asynchronous events wait in memory: a crash loses them, as a crash of
the product's worker would, and its sweep repairs that.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sandbox.aws.patches import Patches

log = logging.getLogger(__name__)

Handler = Callable[[dict[str, Any], Any], Any]

REGION = "us-east-1"
ACCOUNT = "123456789012"

# "Invocation payload (request and response)" in Lambda's quotas.
SYNC_LIMIT = 6 * 1024 * 1024
ASYNC_LIMIT = 1024 * 1024


class FunctionError(Exception):
    """Something that Lambda itself, not the handler, refuses. `code` is the error's name on AWS."""

    code = "Lambda.Unknown"


class UnknownFunction(FunctionError):
    code = "ResourceNotFoundException"


class PayloadTooLarge(FunctionError):
    code = "RequestTooLargeException"


class AnswerTooLarge(FunctionError):
    code = "Function.ResponseSizeTooLarge"


class NotJson(FunctionError):
    """An event or a result that JSON cannot carry."""

    code = "Runtime.MarshalError"


@dataclass(frozen=True)
class FunctionSettings:
    """`concurrency` bounds what event sources and asynchronous events may run at once, never a direct call."""

    timeout_seconds: float = 60.0
    memory_mb: int = 512
    concurrency: int = 10


@dataclass(frozen=True)
class Answer:
    """What the Invoke API gives: the payload, and `Unhandled` where the handler raised."""

    payload: bytes
    error: str | None = None


class Context:
    """The `context` argument of a handler: the members that Lambda's Python runtime has."""

    function_version = "$LATEST"
    client_context = None
    identity = None

    def __init__(self, name: str, arn: str, settings: FunctionSettings) -> None:
        self.function_name = name
        self.invoked_function_arn = arn
        self.memory_limit_in_mb = str(settings.memory_mb)
        self.aws_request_id = str(uuid.uuid4())
        self.log_group_name = f"/aws/lambda/{name}"
        self.log_stream_name = f"sandbox/[$LATEST]{self.aws_request_id}"
        self._deadline = time.monotonic() + settings.timeout_seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._deadline - time.monotonic()) * 1000)

    def log(self, message: str) -> None:
        log.info("%s: %s", self.function_name, message)


def name_of(function: str) -> str:
    """A function's name from its name, its ARN or its partial ARN, with or without a qualifier.

    The forms stand in the Invoke API's reference under `FunctionName`.
    """
    if ":" not in function:
        return function
    parts = function.split(":")
    if "function" in parts:
        return parts[parts.index("function") + 1]
    return parts[0]


class Functions:
    """Calls the product's handlers. Safe to use from any thread; handlers run in the thread of the caller."""

    def __init__(
        self,
        registry: Mapping[str, Handler],
        *,
        settings: Mapping[str, FunctionSettings] | None = None,
        async_attempts: int = 3,
        async_retry_seconds: float = 1.0,
    ) -> None:
        """`async_retry_seconds` is the wait before the second attempt (a minute on AWS); it doubles each time."""
        self._registry = registry
        self._settings = dict(settings or {})
        self._async_attempts = async_attempts
        self._async_retry_seconds = async_retry_seconds
        self._slots = {name: threading.BoundedSemaphore(self.settings(name).concurrency) for name in registry}
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._pools_lock = threading.Lock()
        self._closing = threading.Event()

    def __contains__(self, function: str) -> bool:
        return name_of(function) in self._registry

    def arn(self, name: str) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"

    def settings(self, name: str) -> FunctionSettings:
        return self._settings.get(name, _DEFAULTS)

    def invoke(self, function: str, event: Any) -> Any:
        """Call and wait. Raises what the handler raises, or a `FunctionError`."""
        return json.loads(self._run(function, _to_json(event, "the event"), SYNC_LIMIT))

    def call(self, function: str, payload: bytes) -> Answer:
        """Call and wait, as the Invoke API does: an error of the handler is an answer, not an exception."""
        try:
            return Answer(self._run(function, payload, SYNC_LIMIT))
        except (UnknownFunction, PayloadTooLarge):
            raise
        except Exception as error:  # noqa: BLE001 - the Invoke API tells of any error in its answer
            return Answer(_error_payload(error), "Unhandled")

    def invoke_later(
        self, function: str, event: Any, *, on_failure: Callable[[Any, Exception], None] | None = None
    ) -> None:
        """Call in the background, at most `concurrency` at a time, trying again with a growing wait.

        `on_failure` is the dead letter: it gets the event and the last error. Raises `UnknownFunction` and
        `PayloadTooLarge` here.
        """
        name = self._known(function)
        payload = _to_json(event, "the event")
        _within(payload, ASYNC_LIMIT)
        self._pool(name).submit(self._attempts, name, payload, on_failure)

    @contextmanager
    def slot(self, function: str) -> Iterator[None]:
        """One of the function's places for event sources; waits for a free one."""
        with self._slots[self._known(function)]:
            yield

    def close(self) -> None:
        """Let what runs end, drop what waits, end the threads."""
        self._closing.set()
        with self._pools_lock:
            pools = list(self._pools.values())
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)

    def install(self) -> Patches:
        """Route moto's Invoke API and Step Functions' `lambda:invoke` here. The answer can undo it."""
        from sandbox.aws._functions_moto import install

        return install(self)

    def _known(self, function: str) -> str:
        name = name_of(function)
        if name not in self._registry:
            raise UnknownFunction(f"Function not found: {self.arn(name)}")
        return name

    def _run(self, function: str, payload: bytes, limit: int) -> bytes:
        name = self._known(function)
        _within(payload, limit)
        event = json.loads(payload) if payload else {}
        context = Context(name, self.arn(name), self.settings(name))
        result = _to_json(self._registry[name](event, context), f"the result of {name}")
        if len(result) > limit:
            raise AnswerTooLarge(f"Response payload size exceeded maximum allowed payload size ({limit} bytes).")
        return result

    def _attempts(self, name: str, payload: bytes, on_failure: Callable[[Any, Exception], None] | None) -> None:
        wait = self._async_retry_seconds
        for attempt in range(1, self._async_attempts + 1):
            try:
                with self.slot(name):
                    self._run(name, payload, SYNC_LIMIT)
                return
            except Exception as error:
                log.warning(
                    "%s failed on an event (attempt %d of %d)", name, attempt, self._async_attempts, exc_info=error
                )
                if attempt == self._async_attempts:
                    if on_failure is not None:
                        on_failure(json.loads(payload), error)
                    return
            if self._closing.wait(wait):
                return
            wait *= 2

    def _pool(self, name: str) -> ThreadPoolExecutor:
        with self._pools_lock:
            if self._closing.is_set():
                raise RuntimeError("the functions are closed")
            if name not in self._pools:
                workers = self.settings(name).concurrency
                self._pools[name] = ThreadPoolExecutor(workers, thread_name_prefix=f"lambda-{name}")
            return self._pools[name]


_DEFAULTS = FunctionSettings()


def _to_json(value: Any, what: str) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise NotJson(f"Unable to marshal {what}: {error}") from error


def _within(payload: bytes, limit: int) -> None:
    if len(payload) > limit:
        raise PayloadTooLarge(f"{len(payload)} byte payload is too large for the invocation (limit {limit} bytes)")


def _error_payload(error: Exception) -> bytes:
    name = error.code if isinstance(error, FunctionError) else type(error).__name__
    body = {
        "errorMessage": str(error),
        "errorType": name,
        "requestId": str(uuid.uuid4()),
        "stackTrace": traceback.format_tb(error.__traceback__),
    }
    return json.dumps(body).encode()
