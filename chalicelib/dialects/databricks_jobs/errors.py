"""Databricks' words for errors: `{"error_code", "message"}` (`wire/databricks_jobs_2_0.md`, 1.3)."""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.core import errors as e
from chalicelib.core.errors import SparkplaneError
from chalicelib.dialects.http import Answer, Fault, NoSuchRoute, Request, Voice, WrongMethod

_CODES: Mapping[type[SparkplaneError], tuple[int, str]] = {
    e.Malformed: (400, "MALFORMED_REQUEST"),
    e.TooLarge: (413, "MAX_REQUEST_SIZE_EXCEEDED"),
    e.BodyTooLarge: (413, "MAX_REQUEST_SIZE_EXCEEDED"),
    e.UnsupportedMedia: (415, "MALFORMED_REQUEST"),
    e.Invalid: (400, "INVALID_PARAMETER_VALUE"),
    e.NotFound: (400, "INVALID_PARAMETER_VALUE"),
    e.InvalidState: (400, "INVALID_STATE"),
    e.AlreadyExists: (400, "RESOURCE_ALREADY_EXISTS"),
    e.Unauthenticated: (401, "UNAUTHENTICATED"),
    e.Forbidden: (403, "PERMISSION_DENIED"),
    e.TooMany: (429, "REQUEST_LIMIT_EXCEEDED"),
    e.Exhausted: (429, "RESOURCE_EXHAUSTED"),
    e.QuotaExceeded: (400, "QUOTA_EXCEEDED"),
    e.Conflict: (503, "TEMPORARILY_UNAVAILABLE"),
    e.Unfinished: (503, "TEMPORARILY_UNAVAILABLE"),
    NoSuchRoute: (404, "ENDPOINT_NOT_FOUND"),
    WrongMethod: (405, "METHOD_NOT_ALLOWED"),
    Fault: (500, "INTERNAL_ERROR"),
}

_MISSING: Mapping[type[SparkplaneError], tuple[int, str]] = {e.NotFound: (404, "RESOURCE_DOES_NOT_EXIST")}

_CODES_BELOW: Mapping[str, Mapping[type[SparkplaneError], tuple[int, str]]] = {
    "/api/2.0/dbfs/": {
        **_MISSING,
        e.BlockTooLarge: (400, "MAX_BLOCK_SIZE_EXCEEDED"),
        e.ReadTooLarge: (400, "MAX_READ_SIZE_EXCEEDED"),
        e.NotEmpty: (400, "IO_ERROR"),
        e.PartlyDeleted: (503, "PARTIAL_DELETE"),
    },
    "/api/2.0/fs/": {**_MISSING, e.AlreadyExists: (409, "ALREADY_EXISTS")},
    "/api/2.0/workspace/": {
        **_MISSING,
        e.TooLarge: (400, "MAX_NOTEBOOK_SIZE_EXCEEDED"),
        e.NotEmpty: (400, "DIRECTORY_NOT_EMPTY"),
    },
    "/api/2.0/secrets/": {**_MISSING, e.TooMany: (400, "RESOURCE_LIMIT_EXCEEDED")},
    "/api/2.0/pipelines": {**_MISSING, e.InvalidState: (409, "RESOURCE_CONFLICT")},
}
"""What is said otherwise below a path: the other APIs have codes of their own, and their "not found" is 404."""

_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": 'Basic realm="sparkplane"'},
    429: {"Retry-After": "1"},
    503: {"Retry-After": "1"},
}


_QUOTA = (
    "The quota for the number of jobs has been reached. The current quota is {}. This quota is only applied to jobs "
    "created through the UI or through the /jobs/create endpoint, which are displayed in the Jobs UI. Delete jobs that "
    "are no longer needed, or submit one-time runs with the /jobs/runs/submit endpoint, on which there is no quota."
)


def render(error: SparkplaneError, request: Request) -> Answer:
    """An error as Databricks says it."""
    own = next((codes for prefix, codes in _CODES_BELOW.items() if request.path.startswith(prefix)), {})
    codes = {**_CODES, **own}
    status, code = next(codes[cls] for cls in type(error).__mro__ if cls in codes)
    headers = dict(_HEADERS.get(status, {}))
    if isinstance(error, e.Exhausted):
        headers["Retry-After"] = "60"
    if isinstance(error, WrongMethod):
        headers["Allow"] = ", ".join(error.allowed)
    return Answer({"error_code": code, "message": _message(error, request)}, status, headers)


def _message(error: SparkplaneError, request: Request) -> str:
    if isinstance(error, e.Gone):
        return f"{error.kind} {error.id} has been deleted; its idempotency token cannot be used again."
    if isinstance(error, e.QuotaExceeded):
        return _QUOTA.format(error.limit)
    if isinstance(error, e.NotFound) and error.field == "path":
        return f"No file or directory exists on path {error.id}."
    if isinstance(error, NoSuchRoute):
        return f"No API found for '{request.method} {request.path.removeprefix('/api/2.0')}'"
    return error.message


VOICE = Voice("databricks_jobs", ("/api/2.",), render)
