"""What a handler returns, as an HTTP answer.

Facts (API Gateway's documentation of Lambda proxy integrations, and emulators that were checked against AWS):
- A result has no other keys than statusCode, headers, multiValueHeaders, body and isBase64Encoded. None is required. A
  body is a string, a header's value a string or a boolean. Anything else is malformed: 502 "Internal server error".
- Lambda passes a result on as JSON; one that JSON cannot hold (bytes) is an error of the function, 502 as well. So is a
  result above 6,291,556 bytes of JSON, counted as the Python 3.11 runtime writes it: escaped to ASCII.
- Where headers and multiValueHeaders name the same header, the values are merged, and a value in both counts once.
- isBase64Encoded is honoured only if the request's Accept names a binary type of the API (see `media`); otherwise the
  client receives the base64 text. That holds for a gzipped body too. Without Content-Type, it is application/json.
- Header remapping. Some headers of a Lambda proxy answer never reach the client under their name: `WWW-Authenticate:
  Basic` on a 401 arrives as `x-amzn-Remapped-WWW-Authenticate: Basic`, and no setting of a REST API's proxy integration
  turns that off. A challenge under its own name can come from a gateway response (an authorizer's UNAUTHORIZED) or
  from something in front of the API, such as CloudFront. AWS's list says "may be remapped"; the table in
  infra/remapped_headers.json holds those that were seen to be (by the authors of Architect's sandbox).
  Transfer-Encoding is dropped: API Gateway frames the answer itself.
The server writes header names in lower case, as every HTTP/2 client of API Gateway sees them.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_KEYS = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Malformed(Exception):
    """The handler's result is none that API Gateway accepts; the text says why, for the log."""


class Undecodable(Exception):
    """A body that was declared base64 is not."""


@dataclass(frozen=True)
class Answer:
    """Status, headers in order (no framing headers) and the whole body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Remapping:
    """The table of infra/remapped_headers.json, ready for use."""

    def __init__(self, table: Mapping[str, Mapping[str, Any]]) -> None:
        self.dropped_from_requests = _lower(table["request"]["dropped"])
        self._remapped = _lower(table["response"]["remapped"])
        self._dropped = _lower(table["response"]["dropped"])
        self._prefix: str = table["response"]["prefix"]

    def of_response(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        kept = ((name, value) for name, value in headers if name.lower() not in self._dropped)
        return [(self._prefix + name if name.lower() in self._remapped else name, value) for name, value in kept]


def answer_of(result: Any, remapping: Remapping, binary: bool, limit: int) -> Answer:
    """The answer for a handler's result.

    `binary` says whether the request asked for a binary type; `limit` is in bytes of JSON. Raises Malformed and
    Undecodable.
    """
    _check_payload(result, limit)
    headers = remapping.of_response(_headers(result.get("headers"), result.get("multiValueHeaders")))
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    text = result.get("body")
    if text is not None and not isinstance(text, str):
        raise Malformed(f"its body is {type(text).__name__}, not a string")
    body = (text or "").encode("utf-8", "replace")
    if binary and result.get("isBase64Encoded"):
        try:
            body = base64.b64decode(body, validate=True)
        except binascii.Error as error:
            raise Undecodable(str(error)) from error
    return Answer(_status(result.get("statusCode")), tuple(headers), body)


def _check_payload(result: Any, limit: int) -> None:
    if not isinstance(result, dict):
        raise Malformed(f"it is {type(result).__name__}, not an object")
    if unknown := result.keys() - _KEYS:
        raise Malformed(f"it has unknown fields: {', '.join(sorted(map(str, unknown)))}")
    try:
        size = len(json.dumps(result))
    except (TypeError, ValueError) as error:
        raise Malformed(f"it is not JSON: {error}") from error
    if size > limit:
        raise Malformed(f"it has {size} bytes of JSON, and Lambda passes on {limit}")


def _status(value: Any) -> int:
    try:
        status = 200 if value is None else int(value)
    except (TypeError, ValueError) as error:
        raise Malformed(f"its statusCode is {value!r}") from error
    if not 200 <= status <= 599:
        raise Malformed(f"its statusCode is {status}")
    return status


def _headers(single: Any, multiple: Any) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, values in _mapping(multiple, "multiValueHeaders").items():
        pairs += [_pair(name, value) for value in (values if isinstance(values, list) else [values])]
    known = {(name.lower(), value) for name, value in pairs}
    singles = [_pair(name, value) for name, value in _mapping(single, "headers").items()]
    return pairs + [(name, value) for name, value in singles if (name.lower(), value) not in known]


def _mapping(value: Any, field: str) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(f"its {field} are {type(value).__name__}, not an object")
    return value


def _pair(name: Any, value: Any) -> tuple[str, str]:
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str):
        raise Malformed(f"its header {name!r} is {type(value).__name__}, not a string")
    if not _NAME.fullmatch(str(name)) or _FORBIDDEN_IN_VALUE.search(value):
        raise Malformed(f"its header {name!r} is not one that HTTP allows")
    return str(name), value


def _lower(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)
