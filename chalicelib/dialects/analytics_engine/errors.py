"""Analytics Engine's words for errors: `{"errors": [{"code", "message"}], "trace"}`, the standard of that cloud.

The statuses are seed 002's, "Error handling". A kernel's errors have a shape of their own, and come with kernels.
"""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.core import errors as e
from chalicelib.core.errors import SparkplaneError
from chalicelib.dialects.analytics_engine import pages
from chalicelib.dialects.http import Answer, Fault, NoSuchRoute, Request, Voice, WrongMethod

_CODES: Mapping[type[SparkplaneError], tuple[int, str]] = {
    e.Malformed: (400, "invalid_request_body"),
    e.TooLarge: (413, "request_too_large"),
    e.UnsupportedMedia: (415, "unsupported_media_type"),
    e.Invalid: (400, "invalid_request"),
    e.Gone: (410, "gone"),
    e.NotFound: (404, "not_found"),
    e.InvalidState: (400, "invalid_state"),
    e.AlreadyExists: (409, "already_exists"),
    e.Unauthenticated: (401, "unauthorized"),
    e.Forbidden: (403, "forbidden"),
    e.TooMany: (429, "too_many_requests"),
    e.Conflict: (503, "service_unavailable"),
    NoSuchRoute: (404, "not_found"),
    WrongMethod: (405, "method_not_allowed"),
    Fault: (500, "internal_error"),
}


def render(error: SparkplaneError, request: Request) -> Answer:
    """An error as Analytics Engine says it."""
    status, code = next(_CODES[cls] for cls in type(error).__mro__ if cls in _CODES)
    told = {"code": code, "message": error.message}
    if error.field:
        told |= {"target": {"type": "field", "name": error.field}}  # type: ignore[dict-item]
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="sparkplane"'
    if status in {429, 503}:
        headers["Retry-After"] = "1"
    if isinstance(error, WrongMethod):
        headers["Allow"] = ", ".join(error.allowed)
    if pages.wanted(request):
        return pages.told(request, status, error.message, headers)
    return Answer({"errors": [told], "trace": request.request_id, "status_code": status}, status, headers)


VOICE = Voice(
    "analytics_engine",
    ("/v4/", "/v3/", "/v1/", "/icp4d-api/", "/idprovider/", "/usermgmt/", "/api/v1/usermgmt/"),
    render,
    trace="X-Global-Transaction-Id",
)
