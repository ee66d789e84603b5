"""The shared way in: authenticate → parse → call one service → render; an error becomes the dialect's own body.

A dialect is a Voice (how it words errors) and a list of Operations; `mount` declares their routes on the Chalice app.
Every route takes every method, so that a wrong one is answered by the dialect too.

Sizes. API Gateway hands Lambda an event of at most 6 MB (a body of about 4.5 MB when it is binary) and refuses larger
ones with the gateway response in `infra/gateway_responses.json`. Answers over GZIP_OVER bytes are compressed when the
client takes gzip; one that is still over ANSWER_MOST cannot leave Lambda, which counts a result as JSON: escaped to
ASCII, or in base64. If it answers a GET, it is stored below `<workspace>/answers/`, which is emptied daily, and the
client is sent there: clients follow a redirect of a GET, and drop their credentials when they do.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any
from urllib.parse import parse_qsl

from chalice.app import Chalice, Response
from chalice.app import Request as ChaliceRequest

from chalicelib.core.errors import (
    Conflict,
    Forbidden,
    Invalid,
    InvalidState,
    Malformed,
    NotFound,
    SparkplaneError,
    TooLarge,
    Unauthenticated,
    UnsupportedMedia,
)
from chalicelib.dialects.packed import unpacked
from chalicelib.observe import count, logger
from chalicelib.ports import Key, Ports
from chalicelib.services.access import Call, admit, credential_of

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]

GZIP_OVER = 1_000_000
ANSWER_MOST = 5_900_000

LINK_SECONDS = 300
"""How long the link to a stored answer holds; clients follow it at once."""


class NoSuchRoute(SparkplaneError):
    """The path is below a dialect's prefix, but none of its operations."""


class WrongMethod(SparkplaneError):
    """The path is an operation's, but not with this method. `allowed` are those that it has."""

    def __init__(self, method: str, allowed: Collection[str]) -> None:
        super().__init__(f"Method {method} is not allowed here; allowed: {', '.join(sorted(allowed))}.")
        self.allowed = sorted(allowed)


class Fault(SparkplaneError):
    """Something of ours broke. The caller gets a reference into the log, and nothing else."""


@dataclass(frozen=True)
class Request:
    """A request as a dialect sees it. Header names are lower case; of repeated ones, the last counts."""

    method: str
    path: str
    resource: str
    parameters: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    raw: bytes
    request_id: str = ""

    @cached_property
    def body(self) -> bytes:
        """The body, unpacked if it came compressed. Raises Malformed, BodyTooLarge, UnsupportedMedia."""
        return unpacked(self.raw, self.headers.get("content-encoding", ""))

    @cached_property
    def json(self) -> Any:
        """The body as JSON, whatever its content type says; None for an empty body. Raises Malformed."""
        text = _text(self.body).strip()
        return _parse_json(text) if text else None

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The body's fields, from JSON or a form; those of a GET merged with its query's, which win.

        Never told by the content type: clients send JSON as a form, as text and with none (`wire/README.md`, 1 and 2).
        Raises Malformed for a body that is neither.
        """
        text = _text(self.body).strip()
        if not text:
            told: Any = {}
        elif _FORM.match(text):
            told = dict(parse_qsl(text, keep_blank_values=True))
        else:
            told = _parse_json(text)
        if not isinstance(told, dict):
            raise Malformed("Invalid JSON given in the body of the request - expected a map")
        return {**told, **dict(self.query)} if self.method in {"GET", "HEAD", "DELETE"} else told


_FORM = re.compile(r"[^\s={}\[\]\"]+=")


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Malformed("The body of the request is not UTF-8 text.") from None


MAX_DEPTH = 100
"""How deep a body may be nested: far beyond any real one, and safe to store and answer again."""


def _parse_json(text: str) -> Any:
    """The value of a JSON text that can be stored and answered again: numbers are finite, texts are Unicode, and it is
    not nested deeper than MAX_DEPTH. Raises Malformed."""
    try:
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate cannot be encoded
    except (ValueError, RecursionError):
        raise Malformed("Invalid JSON given in the body of the request - failed to parse given JSON") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Malformed(f"Invalid JSON given in the body of the request - nested deeper than {MAX_DEPTH} levels")
    return value


def _finite(text: str) -> float:
    """The number of a JSON text. Python would also take NaN, Infinity and what is too large for a double."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        level = [inner for part in level for inner in (part.values() if isinstance(part, dict) else part)]
    return depth


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation answers: a JSON body (None for no body at all; bytes are sent as they are), a status and
    headers."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Ports, Call, Request], Answer]
OpenHandler = Callable[[Ports, Request], Answer]
Prefetch = Callable[[Ports, str, Request], Collection[Key]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One verb on one path. `prefetch` names the records that will be needed, so that they are read with the token.
    A `page` is what a browser opens by itself: it only shows, and takes a browser's cookie for credentials."""

    method: str
    path: str
    handle: Handler
    prefetch: Prefetch | None = None
    page: bool = False


@dataclass(frozen=True, slots=True)
class OpenOperation:
    """An operation without the gate: token issue, health, and the driver's own door, which has its own secret."""

    method: str
    path: str
    handle: OpenHandler


@dataclass(frozen=True, slots=True)
class Voice:
    """A dialect's name, the path prefixes that are its own, its words for errors, and the header (if it has one) in
    which every answer names its request."""

    name: str
    prefixes: tuple[str, ...]
    error: Callable[[SparkplaneError, Request], Answer]
    trace: str = ""


_PLAIN: Mapping[type[SparkplaneError], int] = {
    Invalid: 400, TooLarge: 413, UnsupportedMedia: 415, Unauthenticated: 401, Forbidden: 403, NotFound: 404,
    NoSuchRoute: 404, WrongMethod: 405, InvalidState: 409, Conflict: 503,
}  # fmt: skip


def plain_error(error: SparkplaneError, request: Request) -> Answer:
    """An error of what is Sparkplane's own, as plain JSON. The challenge is one at which no browser asks for a password
    in a window of its own."""
    status = next((_PLAIN[cls] for cls in type(error).__mro__ if cls in _PLAIN), 500)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if isinstance(error, WrongMethod):
        headers["Allow"] = ", ".join(error.allowed)
    return Answer({"message": error.message}, status, headers)


_current: ContextVar[ChaliceRequest] = ContextVar("current")


def remember_request(event: ChaliceRequest, get_response: Callable[[Any], Response]) -> Response:
    """Chalice middleware: keeps the request for this thread, where Chalice itself has one for the whole process."""
    _current.set(event)
    return get_response(event)


def mount(
    app: Chalice, voice: Voice, operations: Sequence[Operation | OpenOperation], ports: Callable[[], Ports]
) -> None:
    """Declare a dialect's routes. `ports` is called at each request (wiring makes them once)."""
    app.api.binary_types = []  # Chalice refuses bytes to clients that accept JSON only; that is ours to say
    paths = dict.fromkeys(operation.path for operation in operations)
    for path in paths:
        own = {operation.method: operation for operation in operations if operation.path == path}

        def view(own: Mapping[str, Operation | OpenOperation] = own, **_: str) -> Response:
            return serve(voice, own, ports, request_of(_current.get()))

        app.route(path, methods=METHODS, content_types=[], name=f"{voice.name}:{path}")(view)


def request_of(event: ChaliceRequest) -> Request:
    """The request in a Chalice event."""
    query = event.query_params
    raw = event.raw_body
    return Request(
        method=event.method,
        path=event.path if "{" not in event.path else event.context.get("path", event.path),
        resource=event.context.get("resourcePath", ""),
        parameters=event.uri_params or {},
        query=[(name, value) for name in query for value in query.getlist(name)] if query else [],
        headers={name.lower(): value for name, value in event.headers.items()},
        raw=raw.encode() if isinstance(raw, str) else raw,
        request_id=event.context.get("requestId", ""),
    )


def serve(
    voice: Voice, own: Mapping[str, Operation | OpenOperation], ports: Callable[[], Ports], request: Request
) -> Response:
    """Answer one request. Whatever happens, the answer is in the dialect's own shape."""
    return _traced(voice, request, _answered(voice, own, ports, request))


def _answered(
    voice: Voice, own: Mapping[str, Operation | OpenOperation], ports: Callable[[], Ports], request: Request
) -> Rendered:
    try:
        return _perform(own, ports(), request)
    except SparkplaneError as error:
        answer = voice.error(error, request)
    except Exception:  # noqa: BLE001 - the outermost handler: every fault is answered in the dialect's shape
        logger().exception("request failed", request_id=request.request_id, path=request.path)
        count("Faults")
        answer = voice.error(Fault(f"Internal error. Reference: {request.request_id}."), request)
    return _rendered(answer, request)


def _traced(voice: Voice, request: Request, rendered: Rendered) -> Rendered:
    if voice.trace:
        rendered.answer["headers"][voice.trace] = request.request_id
    return rendered


def _perform(own: Mapping[str, Operation | OpenOperation], ports: Ports, request: Request) -> Rendered:
    operation = own.get(request.method)
    if isinstance(operation, OpenOperation):
        return _rendered(operation.handle(ports, request), request)
    if operation is None and all(isinstance(o, OpenOperation) for o in own.values()):
        raise WrongMethod(request.method, own)
    page = operation is not None and operation.page
    cookie = request.headers.get("cookie") if page else None
    credential = credential_of(ports, request.headers.get("authorization"), cookie)
    prefetch = operation.prefetch(ports, credential.workspace, request) if operation and operation.prefetch else ()
    call = admit(ports, credential, prefetch, request.path if page else "")
    if operation is None:
        raise WrongMethod(request.method, own)
    keep = partial(_keep, ports, call) if request.method == "GET" else None
    return _rendered(operation.handle(ports, call, request), request, keep)


def _keep(ports: Ports, call: Call, body: bytes, headers: Mapping[str, str]) -> str:
    """Store an answer; returns the link to it."""
    name = f"{call.workspace}/answers/{ports.dice.text()}"
    ports.blobs.put(name, body, headers["Content-Type"])
    return ports.blobs.get_link(name, seconds=LINK_SECONDS, disposition=headers.get("Content-Disposition", ""))


class Rendered(Response):
    """A response that is already what API Gateway takes."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(body="", headers=answer["headers"], status_code=answer["statusCode"])
        self.answer = answer

    def to_dict(self, binary_types: Any = None) -> dict[str, Any]:
        """The proxy response."""
        return self.answer


_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


Keep = Callable[[bytes, Mapping[str, str]], str]


def _rendered(answer: Answer, request: Request, keep: Keep | None = None) -> Rendered:
    """The answer as API Gateway takes it; one that is too large, as a redirect to where `keep` has put it."""
    headers, body = _written(answer)
    plain = body
    encoded = len(body) > GZIP_OVER and bool(_GZIP.search(request.headers.get("accept-encoding", "")))
    if encoded:
        body = gzip.compress(body, compresslevel=5, mtime=0)
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    encoded = encoded or isinstance(answer.body, bytes)
    text = base64.b64encode(body).decode() if encoded else body.decode()
    if len(body) > GZIP_OVER // 2 and len(json.dumps(text)) > ANSWER_MOST:
        if keep is None or answer.status != 200:
            raise Fault("The answer is larger than can be returned; ask for less, or accept gzip.")
        return _rendered(Answer(None, 307, {"Location": keep(plain, headers)}), request)
    return Rendered(
        {
            "statusCode": answer.status,
            "headers": headers,
            "multiValueHeaders": {},
            "body": text,
            "isBase64Encoded": encoded,
        }
    )


def _written(answer: Answer) -> tuple[dict[str, str], bytes]:
    """Headers and bytes of an answer."""
    headers = dict(answer.headers)
    body = b""
    if isinstance(answer.body, bytes):
        headers.setdefault("Content-Type", "application/octet-stream")
        body = answer.body
    elif answer.status != 204 and not (answer.body is None and answer.status != 200):
        headers.setdefault("Content-Type", "application/json")
        body = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode()
    return headers, body


def quiet_fields(request: Request) -> dict[str, Any]:
    """The request's fields for a prefetch, which must not fail: empty when they cannot be read."""
    try:
        return request.fields
    except Invalid:
        return {}


def mount_fallback(app: Chalice, voices: Sequence[Voice], default: Voice) -> None:
    """Answer the paths that no operation has, in the words of the dialect whose prefix they are below."""

    def unknown(**_: str) -> Response:
        request = request_of(_current.get())
        voice = next((v for v in voices if request.path.startswith(v.prefixes)), default)
        answer = voice.error(NoSuchRoute(f"No such path: {request.path}"), request)
        return _traced(voice, request, _rendered(answer, request))

    for path in {"/", "/{proxy+}"} - set(app.routes):
        app.route(path, methods=METHODS, content_types=[], name=f"unknown:{path}")(unknown)
