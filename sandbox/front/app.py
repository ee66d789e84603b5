"""The ASGI application: limits and time-out of API Gateway and Lambda around a handler.

Limits, in the order in which a request meets them: 10,240 bytes of headers (431; AWS names the limit, not the status,
so that one is an assumption); the characters `|`, `{` and `}` bare in a query (400); 10 MB of body (413); 6,291,556
bytes of event as JSON, which base64 makes about 4.5 MB of binary (413); 29 s for the handler (504), which runs on, as
Lambda does. A handler that raises, or returns what `answers` calls malformed, is 502, and the log has the reason.

A refusal may come before the body was read. Most clients look for an answer only when they have sent everything, and a
closed connection would reach them first, as a reset. So the answer is sent at once, and the rest of the body is read
and thrown away, up to a bound; the connection then goes on, or ends when the client was told so (`Connection: close`).
"""

import asyncio
import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sandbox.front.answers import Answer, Malformed, Remapping, Undecodable, answer_of
from sandbox.front.event import Deployment, Ids, body_of, event_of, host_name
from sandbox.front.media import BinaryTypes
from sandbox.front.pool import Pool
from sandbox.front.refusals import Kind, Refusals
from sandbox.front.request import Head
from sandbox.front.routes import Match, Routes
from sandbox.front.tables import remapped_headers

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Log = Callable[[str], None]

_BARE_IN_QUERY = frozenset("|{}")
_NO_BODY = frozenset({204, 304})
_JSON_WORST = 6  # bytes of JSON for one character ("\u001f")


@dataclass(frozen=True)
class Settings:
    """Sizes in bytes, times in seconds; the defaults are AWS's."""

    concurrency: int = 32
    timeout: float = 29.0
    header_limit: int = 10_240
    body_limit: int = 10 * 1024 * 1024
    event_limit: int = 6_291_556
    response_limit: int = 6_291_556
    discard_limit: int = 64 * 1024 * 1024
    discard_timeout: float = 30.0
    deployment: Deployment = field(default_factory=Deployment)


@dataclass(eq=False)
class _Refused(Exception):
    kind: Kind
    reason: str = ""
    status: int | None = None
    message: str | None = None


class _Gone(Exception):
    """The client left before its request was whole."""


def to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def front(
    invoke: Callable[[dict[str, Any]], Any],
    routes: Iterable[str] | Mapping[str, Iterable[str]],
    *,
    binary_types: Iterable[str],
    responses: Mapping[str, Mapping[str, Any]],
    remapped: Mapping[str, Mapping[str, Any]] | None = None,
    settings: Settings | None = None,
    log: Log = to_stderr,
) -> "Front":
    """An ASGI app that answers requests through `invoke(event) -> result`, which runs in a thread.

    `routes` are Chalice templates; from a mapping (such as `Chalice.routes`) each resource has only the methods that it
    maps to. `binary_types` is the API's `binaryMediaTypes`, `responses` the table of gateway responses, `remapped` the
    table of headers (infra/'s by default). Raises ValueError for routes or tables that API Gateway would refuse.
    """
    table = remapped_headers() if remapped is None else remapped
    gateway = (Routes(routes), BinaryTypes(binary_types), Refusals(responses), Remapping(table))
    return Front(invoke, *gateway, settings or Settings(), log)


class Front:
    """The application that `front` makes; `close` lets its threads end (uvicorn does so through the lifespan)."""

    def __init__(
        self,
        invoke: Callable[[dict[str, Any]], Any],
        routes: Routes,
        binary: BinaryTypes,
        refusals: Refusals,
        remapping: Remapping,
        settings: Settings,
        log: Log,
    ) -> None:
        self._invoke, self._routes, self._binary = invoke, routes, binary
        self._refusals, self._remapping, self._settings, self._log = refusals, remapping, settings, log
        self._pool = Pool(settings.concurrency)

    def close(self) -> None:
        self._pool.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await _Exchange(self, Head.of(scope), receive, send).run()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


class _Exchange:
    """One request and its answer."""

    def __init__(self, app: Front, head: Head, receive: Receive, send: Send) -> None:
        self._app, self._head, self._receive, self._send = app, head, receive, send
        self._settings = app._settings
        self._started = time.perf_counter()
        self._ids = Ids.new(time.time())
        self._match: Match | None = None
        self._read = 0
        self._whole = head.content_length == 0
        self._note = ""

    async def run(self) -> None:
        try:
            answer = await self._answer()
        except _Refused as refused:
            self._remark(refused.reason)
            answer = self._refusal(refused)
        except _Gone:
            self._write_log("gone")
            return
        self._write_log(str(answer.status))
        if self._whole:
            await self._reply(answer, ())
        else:
            await self._reply_early(answer)

    async def _answer(self) -> Answer:
        match = self._match = self._admit()
        body = await self._body()
        text, encoded, damaged = body_of(self._head, body, self._app._binary)
        if damaged:
            self._remark("the body is not UTF-8 and its type is not among the binary types: AWS would damage it")
        dropped = self._app._remapping.dropped_from_requests
        event = event_of(self._head, match, text, encoded, self._settings.deployment, self._ids, dropped)
        self._check_event(event, text)
        result = await self._result(event)
        try:
            binary = self._app._binary.in_header(self._head.header("accept"))
            return answer_of(result, self._app._remapping, binary, self._settings.response_limit)
        except Malformed as malformed:
            raise _Refused("DEFAULT_5XX", f"malformed result: {malformed}") from malformed
        except Undecodable as undecodable:
            raise _Refused("API_CONFIGURATION_ERROR", f"the body is not base64: {undecodable}") from undecodable

    def _admit(self) -> Match:
        """Everything that can be said before the body."""
        head = self._head
        if head.header_bytes > self._settings.header_limit:
            raise _Refused("DEFAULT_4XX", "headers", 431, "Request Header Fields Too Large")
        if not _BARE_IN_QUERY.isdisjoint(head.query):
            raise _Refused("DEFAULT_4XX", "a bare |, { or } in the query")
        match = self._app._routes.find(head.method, head.path)
        if match is None:
            raise _Refused("MISSING_AUTHENTICATION_TOKEN", "no route")
        if (head.content_length or 0) > self._settings.body_limit:
            raise _Refused("REQUEST_TOO_LARGE", "body")
        return match

    async def _body(self) -> bytes:
        parts: list[bytes] = []
        while not self._whole:
            parts.append(await self._next())
            if self._read > self._settings.body_limit:
                raise _Refused("REQUEST_TOO_LARGE", "body")
        return b"".join(parts)

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        part: bytes = message.get("body", b"")
        self._read += len(part)
        self._whole = not message.get("more_body", False)
        return part

    def _check_event(self, event: dict[str, Any], text: str | None) -> None:
        if len(text or "") * _JSON_WORST + 10 * self._settings.header_limit < self._settings.event_limit:
            return  # cannot be too large, so it need not be written out
        size = len(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
        if size > self._settings.event_limit:
            raise _Refused("REQUEST_TOO_LARGE", f"an event of {size} bytes")

    async def _result(self, event: dict[str, Any]) -> Any:
        try:
            async with asyncio.timeout(self._settings.timeout) as limit:
                return await self._app._pool.submit(partial(self._app._invoke, event))
        except TimeoutError as error:
            if not limit.expired():  # the handler's own
                raise self._failed(error) from error
            raise _Refused("INTEGRATION_TIMEOUT", f"no result within {self._settings.timeout:g} s") from error
        except asyncio.CancelledError:  # the server stops, and has waited long enough
            raise _Refused("DEFAULT_5XX", "the server stops", 503, "Service Unavailable") from None
        except BaseException as error:
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> _Refused:
        self._app._log("".join(traceback.format_exception(error)).rstrip())
        return _Refused("DEFAULT_5XX", f"the handler raised {type(error).__name__}")

    def _refusal(self, refused: _Refused) -> Answer:
        head = self._head
        context = {
            "domainName": host_name(head),
            "extendedRequestId": self._ids.extended,
            "httpMethod": head.method,
            "identity.sourceIp": head.client,
            "path": head.path,
            "protocol": f"HTTP/{head.version}",
            "requestId": self._ids.request,
            "resourcePath": self._match.resource if self._match else "",
            "stage": self._settings.deployment.stage,
        }
        return self._app._refusals.answer(refused.kind, context, refused.status, refused.message)

    async def _reply(self, answer: Answer, more: tuple[tuple[bytes, bytes], ...], *, last: bool = True) -> None:
        headers = [(name.lower().encode("latin-1"), value.encode("utf-8")) for name, value in answer.headers]
        headers += (
            (b"x-amzn-requestid", self._ids.request.encode("ascii")),
            (b"x-amz-apigw-id", self._ids.extended.encode("ascii")),
            *more,
        )
        body = b"" if answer.status in _NO_BODY else answer.body
        if answer.status not in _NO_BODY:
            headers.append((b"content-length", str(len(body)).encode("ascii")))
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": not last})

    async def _reply_early(self, answer: Answer) -> None:
        """Answer before the body was read, then read it to nowhere.

        With `Expect: 100-continue` nobody knows whether the body will come, and behind the bound nothing is read: both
        end the connection. Else it can go on, since it is known where the next request starts.
        """
        length = self._head.content_length
        ends = self._head.expects_continue or length is None or length > self._settings.discard_limit
        await self._reply(answer, ((b"connection", b"close"),) if ends else (), last=False)
        try:
            async with asyncio.timeout(self._settings.discard_timeout):
                while not self._whole and self._read <= self._settings.discard_limit:
                    await self._next()
        except (_Gone, TimeoutError):
            pass  # it has its answer; should more of the body come, uvicorn's parser throws it away or is closed
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _remark(self, text: str) -> None:
        if text:
            self._note += f" ({text})"

    def _write_log(self, outcome: str) -> None:
        took = (time.perf_counter() - self._started) * 1000
        self._app._log(f"{self._head.method} {self._head.path} {outcome} {took:.1f} ms{self._note}")
