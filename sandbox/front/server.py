"""Listening: uvicorn in a thread of its own, so that the process can do other things beside it."""

import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn

from sandbox.front.protocol import FrontProtocol

KEEP_ALIVE = 75  # seconds a quiet connection is kept; shorter ones race with clients that reuse it
GRACE = 5  # seconds that requests under way get when the server stops
BACKLOG = 2048


class Server:
    """A running server. `port` is the real one, `stop` ends it and waits until it has ended."""

    def __init__(self, server: "_Uvicorn", listener: socket.socket) -> None:
        self._server, self._listener = server, listener
        self.port: int = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="front", daemon=True)

    def stop(self) -> None:
        """Take no more requests, give those under way a few seconds, close every connection. Idempotent."""
        self._server.should_exit = True
        self._thread.join(GRACE + 5)

    def _start(self) -> None:
        self._thread.start()
        self._server.settled.wait()
        if not self._server.started:
            raise RuntimeError("the front did not start; its log says why")

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        finally:
            self._listener.close()
            self._server.settled.set()


class _Uvicorn(uvicorn.Server):
    """Says when it has started or failed to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.settled.set()


def serve(app: Any, host: str, port: int, ready: Callable[[int], None]) -> Server:
    """Serve an ASGI app in a thread; `ready` is called with the port once it listens (port 0 picks a free one).

    Raises OSError when the address is taken.
    """
    listener = socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
    )
    config = uvicorn.Config(
        app,
        http=FrontProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
    server = Server(_Uvicorn(config), listener)
    server._start()
    ready(server.port)
    return server
