"""A request to S3, from its signature to the commit of what it changed."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from moto.s3.responses import S3Response

from sandbox.aws.patches import Patches
from sandbox.aws.s3.backend import FileBody, Journal
from sandbox.aws.s3.signatures import Credentials, Refused, check

# Two requests for one key must not be between their conditions and their writes at the same time. A lock for each of
# some groups of keys: a request holds one lock at most, so they cannot wait for each other in a circle.
_LOCKS = [threading.RLock() for _ in range(64)]


def _lock(bucket: str | None, key: str) -> threading.RLock:  # type: ignore[valid-type]
    return _LOCKS[hash((bucket, key)) % len(_LOCKS)]


def _one_at_a_time(stock: Any) -> Any:
    def handle(self: S3Response, *args: Any, **kwargs: Any) -> Any:
        with _lock(self.bucket_name, self.parse_key_name()):
            return stock(self, *args, **kwargs)

    return handle


def _get_object(stock: Any, journal: Journal) -> Any:
    def get_object(self: S3Response) -> Any:
        ranged = bool(self.headers.get("Range")) and not self._get_int_param("partNumber")
        with journal.lazily(ranged):
            return stock(self)

    return get_object


def _decode_chunks(self: S3Response, body: Any) -> bytes:
    """The content of an `aws-chunked` body. Stock moto takes quadratic time for it: most of a minute for 130 MB."""
    raw: bytes = body if isinstance(body, bytes) else body.read()
    view, parts, at = memoryview(raw), [], 0
    while raw:
        end = raw.index(b"\r\n", at)
        size = int(raw[at:end].partition(b";")[0], 16)
        if size == 0:
            break
        parts.append(view[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return b"".join(parts)


def _answer(stock: Any, journal: Journal, credentials: Credentials | None) -> Any:
    def response(self: S3Response, request: Any, full_url: str, headers: Any) -> Any:
        # In-process calls of boto3 do not come over HTTP, and need no proof.
        if credentials is not None and request.from_wsgi_server and request.method != "OPTIONS":
            try:
                check(request.method, request.raw_url, request.headers, credentials, datetime.now(UTC))
            except Refused as refused:
                return _refusal(refused)
        writes = request.method in ("PUT", "POST", "DELETE")
        with journal.request() if writes else nullcontext():
            status, answer_headers, body = stock(self, request, full_url, headers)
        return status, answer_headers, bytes(body) if isinstance(body, FileBody) else body

    return response


def _refusal(refused: Refused) -> tuple[int, dict[str, str], bytes]:
    body = f"<Error><Code>{refused.code}</Code><Message>{escape(str(refused))}</Message></Error>"
    headers = {"content-type": "application/xml"}
    return refused.status, headers, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()


def install(patches: Patches, journal: Journal, credentials: Credentials | None) -> None:
    for name in ("put_object", "copy_object", "delete_object", "_key_response_post", "put_object_tagging"):
        patches.set(S3Response, name, _one_at_a_time(getattr(S3Response, name)))
    patches.set(S3Response, "_handle_encoded_body", _decode_chunks)
    patches.set(S3Response, "get_object", _get_object(S3Response.get_object, journal))
    for name in ("key_response", "bucket_response"):
        patches.set(S3Response, name, _answer(getattr(S3Response, name), journal, credentials))
