"""The threads that run the handler: as many at once as the Lambda function has concurrency.

Not `concurrent.futures`: its threads hold up the end of the process until the last handler returns, while these are
daemons, and an event loop's `run_in_executor` costs two futures a call where one is enough.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

_Task = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Pool:
    """At most `size` threads, started when first needed; calls above that number wait in order."""

    def __init__(self, size: int, name: str = "front") -> None:
        if size < 1:
            raise ValueError("a pool needs at least one thread")
        self._size, self._name = size, name
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def submit(self, call: Callable[[], Any]) -> "asyncio.Future[Any]":
        """Run `call` in a thread. Cancelling the future keeps a waiting call from starting; a running one runs on."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._lock:
            start = self._idle == 0 and self._threads < self._size
            if start:
                self._threads += 1
            elif self._idle:
                self._idle -= 1  # that thread is spoken for, though it has not woken yet
            self._tasks.put((loop, future, call))
        if start:
            threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()
        return future

    def close(self) -> None:
        """Let the idle threads end; busy ones end after their call."""
        for _ in range(self._threads):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            loop, future, call = task
            if not future.cancelled():
                _run(loop, future, call)
            del task, loop, future, call  # an idle thread must not keep the last event alive
            with self._lock:
                if self._tasks.empty():
                    self._idle += 1


def _run(loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Any]", call: Callable[[], Any]) -> None:
    result: Any = None
    error: BaseException | None = None
    try:
        result = call()
    except BaseException as raised:  # noqa: BLE001 - the caller is told; a SystemExit must not end the thread
        error = raised
    try:
        loop.call_soon_threadsafe(_settle, future, result, error)
    except RuntimeError:  # the loop is closed: the server stopped while the handler ran, and nobody waits
        pass


def _settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
