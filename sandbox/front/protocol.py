"""uvicorn's HTTP/1.1 protocol, with what imitating API Gateway needs on top.

uvicorn is pinned, because this builds on its class for httptools. Each mend and its reason:
- Header names keep their case in `scope["front.headers"]` (ASGI folds it; Lambda events of a REST API do not), and
  trailers behind a chunked body are left out: they are no headers.
- Absolute-form targets without a path (`GET http://host`) are legal; uvicorn's parser answers them with 400.
- `Upgrade:` is ignored. httptools takes everything behind such a head for another protocol, and the body is lost:
  Java's own HTTP client sends `Upgrade: h2c` with its first request. A new parser that knows the length reads the rest.
- TCP_NODELAY is set. asyncio does so only for sockets made with an explicit protocol number; without it, head and body
  are two packets, and each answer on a kept connection waits 40 ms for the client's delayed acknowledgement.
- Nonsense behind a pipelined request must not be answered before that request is.
- A client that closes its sending side once its request is sent still gets its answer.
- A head that never ends is cut off.
"""

import asyncio
import json
import socket
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.front.request import RAW_HEADERS

HEAD_LIMIT = 65_536  # bytes; far above what `app` refuses politely, so only a bound on memory


class HeadTooLarge(Exception):
    """Raised inside the parser; it becomes a 400."""


class FrontProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._resuming = False
        self._head_size = 0
        self._raw: list[tuple[bytes, bytes]] = []
        self._framing: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if self._framing is not None:
                    self._resume_body(self._framing)
            except httptools.HttpParserError:
                self.send_400_response("Bad Request")
                return

    def eof_received(self) -> bool | None:  # type: ignore[override]
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return None
        cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        if self._resuming:
            return
        super().on_message_begin()
        self._in_head, self._head_size, self._raw, self._framing = True, 0, [], None
        cast(dict[str, Any], self.scope)[RAW_HEADERS] = self._raw

    def on_url(self, url: bytes) -> None:
        if not self._resuming:
            self._count(len(url))
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._resuming or not self._in_head:
            return
        self._count(len(name) + len(value))
        super().on_header(name, value)
        self._raw.append((name, value))
        lower = name.lower()
        if lower == b"transfer-encoding" or (lower == b"content-length" and int(value) > 0):
            self._framing = name + b": " + value

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        self._in_head = False
        self.url = _origin_form(self.url)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._framing is not None and not self._resuming and self.parser.should_upgrade():
            return  # only the head is complete: see _resume_body
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._head_size += size
        if self._head_size > HEAD_LIMIT:
            raise HeadTooLarge

    def _resume_body(self, framing: bytes) -> None:
        """Go on behind a declined upgrade, with a parser that takes what comes for the body of the same request."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
        self._resuming = True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
        finally:
            self._resuming = False

    def send_400_response(self, msg: str) -> None:
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False  # of the last request in the line, so the connection ends behind its answer
            if not cycle.more_body:
                return
            cycle.disconnected = True  # the nonsense is in its body: it can never be whole
            cycle.message_event.set()
            if self.pipeline or cycle.response_started:
                self.transport.close()
                return
        content = json.dumps({"message": msg}).encode("ascii")
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nx-amzn-errortype: BadRequestException\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + content)
        self.transport.close()


def _origin_form(target: bytes) -> bytes:
    """`http://host/path?query` (what a client sends to a proxy) -> `/path?query`."""
    if target.startswith(b"/"):
        return target
    scheme, separator, rest = target.partition(b"://")
    if not separator or not scheme.isalpha():
        return target
    ends = [at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0]
    tail = rest[min(ends) :] if ends else b""
    return tail if tail.startswith(b"/") else b"/" + tail
