"""The control plane's door for a run's driver: notebooks and secrets to read, results to leave. Driver side.

Every request carries the run's own secret, which goes to the control plane and nowhere else: a redirect is followed
without it. What fails in passing is tried again.
"""

from __future__ import annotations

import time

from ..report import without_redirects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

ATTEMPT_SECONDS = 20.0
UPLOAD_SECONDS = 120.0
BACK_OFF_SECONDS = (0.3, 1.0, 3.0)


class DoorError(Exception):
    """The control plane does not answer, or not with what was asked for. The text is a sentence."""


class Missing(DoorError):
    """There is no such thing; the text is the control plane's sentence."""


class Door:
    """The door of one run. `back_off`: the seconds before each further attempt, if not BACK_OFF_SECONDS."""

    def __init__(self, api: str, run: str, secret: str, back_off: Sequence[float] = ()) -> None:
        from urllib.parse import quote

        self._base = f"{api.rstrip('/')}/driver/v1/runs/{quote(run, safe='')}" if api else ""
        self._secret = secret
        self._back_off = back_off or BACK_OFF_SECONDS

    def get(self, what: str, **query: Any) -> Any:
        """The JSON answer to a GET. Raises Missing, DoorError."""
        from urllib.parse import urlencode

        told = {name: value for name, value in query.items() if value}
        return self._json("GET", what + (f"?{urlencode(told)}" if told else ""), None)

    def post(self, what: str, body: Any) -> Any:
        """The JSON answer to a POST. Raises Missing, DoorError."""
        return self._json("POST", what, body)

    def upload(self, link: str, body: bytes, content_type: str) -> None:
        """PUT a body to a presigned link. Raises DoorError."""
        self._tried("PUT", link, body, {"Content-Type": content_type}, UPLOAD_SECONDS)

    def upload_file(self, link: str, size: int, read: Callable[[], Iterable[bytes]]) -> None:
        """PUT `size` bytes to a presigned link, as `read` gives them anew for each attempt. Raises DoorError, and what
        `read` raises."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._tried("PUT", link, read, headers, UPLOAD_SECONDS)

    def _json(self, method: str, what: str, body: Any) -> Any:
        import json

        if not self._base:
            raise DoorError("This run has no control plane to ask.")
        headers = {"Authorization": f"Bearer {self._secret}", "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body).encode()
        answer = self._tried(method, f"{self._base}/{what}", sent, headers, ATTEMPT_SECONDS)
        try:
            return json.loads(answer) if answer else None
        except ValueError:
            raise DoorError("The control plane answered with something else than JSON.") from None

    def _tried(self, method: str, url: str, body: Any, headers: dict[str, str], seconds: float) -> bytes:
        for pause in (0.0, *self._back_off):
            time.sleep(pause)
            answer, failure = _once(method, url, body() if callable(body) else body, headers, seconds)
            if failure is None:
                return answer
        raise DoorError(f"The control plane did not answer: {failure}.")


def _once(method: str, url: str, body: Any, headers: dict[str, str], seconds: float) -> tuple[bytes, str | None]:
    """One attempt: the answer, or what went wrong in passing. Raises for what a repetition would not change."""
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    try:
        request = urllib.request.Request(url, body, headers, method=method)
        with without_redirects().open(request, timeout=seconds) as answer:
            return answer.read(), None
    except urllib.error.HTTPError as error:
        told, place = error.read(10_000), error.headers.get("Location")
        error.close()
        if error.code in (301, 302, 303, 307, 308) and place and "Authorization" in headers:
            return _once("GET", place, None, {}, seconds)
        if error.code >= 500 or error.code in (408, 429):
            return b"", f"HTTP status {error.code}"
        message = _message(told) or f"The control plane refused with HTTP status {error.code}."
        raise (Missing if error.code == 404 else DoorError)(message) from None
    except (OSError, HTTPException) as error:
        return b"", str(getattr(error, "reason", type(error).__name__))


def _message(told: bytes) -> str:
    import json

    try:
        return str(json.loads(told)["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def fetch(link: str) -> bytes:
    """The body at a presigned link. Raises DoorError."""
    return Door("", "", "")._tried("GET", link, None, {}, UPLOAD_SECONDS)
