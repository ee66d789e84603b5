"""A request as the event of a Lambda proxy integration (payload format 1.0 of a REST API).

Facts that the event follows (API Gateway's documentation of Lambda proxy integrations, unless said otherwise):
- `path` and `requestContext.path` are as the client sent them, encoded, with a slash at the end kept. On a custom
  domain mapped at the root both are the same: no stage in front.
- `headers` and `queryStringParameters` hold the last of repeated values, the `multiValue` maps hold all. Names are
  compared with their case. Absent queries, path parameters and bodies are null.
- Query values are decoded as form data (`+` is a blank); `;` separates like `&` ("results in the data being split").
- Hop-by-hop headers do not arrive (infra/remapped_headers.json). X-Forwarded-For, -Port, -Proto and X-Amzn-Trace-Id
  are added.
- A body is text, or base64 when its Content-Type is among the API's binary types. A body that is not UTF-8 under
  another type arrives damaged on AWS; here it arrives as base64, and the log says so.
"""

import base64
import os
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from sandbox.front.media import BinaryTypes
from sandbox.front.request import Head
from sandbox.front.routes import Match

_NOBODY: dict[str, None] = dict.fromkeys((
    "accessKey", "accountId", "apiKey", "apiKeyId", "caller", "clientCert", "cognitoAuthenticationProvider",
    "cognitoAuthenticationType", "cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId", "user", "userArn",
))  # fmt: skip


@dataclass(frozen=True)
class Deployment:
    """What an event says of the API that it came through."""

    account: str = "123456789012"
    api: str = "sparkplane"
    stage: str = "api"


@dataclass(frozen=True)
class Ids:
    """The three identifiers that API Gateway gives a request."""

    request: str
    extended: str
    trace: str

    @classmethod
    def new(cls, seconds: float) -> "Ids":
        random = os.urandom(23)
        return cls(
            request=str(uuid.uuid4()),
            extended=base64.urlsafe_b64encode(random[:11]).decode("ascii"),
            trace=f"Root=1-{int(seconds):08x}-{random[11:].hex()}",
        )


def body_of(head: Head, body: bytes, binary: BinaryTypes) -> tuple[str | None, bool, bool]:
    """The event's body, whether it is base64, and whether API Gateway would have damaged it."""
    if not body:
        return None, False, False
    if binary.in_header(head.header("content-type")):
        return base64.b64encode(body).decode("ascii"), True, False
    try:
        return body.decode("utf-8"), False, False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode("ascii"), True, True


def event_of(
    head: Head,
    match: Match,
    text: str | None,
    encoded: bool,
    deployment: Deployment,
    ids: Ids,
    dropped: Collection[str],
) -> dict[str, Any]:
    """The event; `dropped` names, in lower case, the headers that never arrive."""
    headers = _grouped([pair for pair in head.headers if pair[0].lower() not in dropped])
    _add_forwarded(headers, head, ids)
    query = _grouped(_query(head.query))
    return {
        "resource": match.resource,
        "path": head.path,
        "httpMethod": head.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": match.parameters or None,
        "stageVariables": None,
        "requestContext": _context(head, match, deployment, ids),
        "body": text,
        "isBase64Encoded": encoded,
    }


def _context(head: Head, match: Match, deployment: Deployment, ids: Ids) -> dict[str, Any]:
    now = time.time()
    domain = host_name(head)
    return {
        "accountId": deployment.account,
        "apiId": deployment.api,
        "domainName": domain,
        "domainPrefix": domain.split(".", 1)[0],
        "extendedRequestId": ids.extended,
        "httpMethod": head.method,
        "identity": {**_NOBODY, "sourceIp": head.client, "userAgent": head.header("user-agent")},
        "path": head.path,
        "protocol": f"HTTP/{head.version}",
        "requestId": ids.request,
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "requestTimeEpoch": int(now * 1000),
        "resourceId": deployment.api,
        "resourcePath": match.resource,
        "stage": deployment.stage,
    }


def host_name(head: Head) -> str:
    """The host that the client asked for, without a port."""
    host = head.header("host") or "localhost"
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _query(raw: str) -> list[tuple[str, str]]:
    pieces = (piece.partition("=") for piece in raw.replace(";", "&").split("&") if piece)
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pieces]


def _add_forwarded(headers: dict[str, list[str]], head: Head, ids: Ids) -> None:
    before = ", ".join(value for name, value in head.headers if name.lower() == "x-forwarded-for")
    added = {
        "X-Amzn-Trace-Id": head.header("x-amzn-trace-id") or ids.trace,
        "X-Forwarded-For": f"{before}, {head.client}" if before else head.client,
        "X-Forwarded-Port": str(head.port),
        "X-Forwarded-Proto": head.scheme,
    }
    lower = {name.lower() for name in added}
    for name in [name for name in headers if name.lower() in lower]:
        del headers[name]
    headers.update((name, [value]) for name, value in added.items())
