"""How a body is read: Databricks' messages for what does not fit, and what every parameter list must obey. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.core.conf import check_words
from chalicelib.core.errors import Invalid, Malformed
from chalicelib.dialects.databricks_jobs.schemas import MULTI_TASK
from chalicelib.dialects.wire import M, Misfit, fit

DIALECT = "databricks_jobs"

Locate = Callable[[str], str]
"""Turns a `dbfs:/` path into the URI of the workspace's own copy."""

_TYPES = {
    **{name: name for name in ("object", "array", "string")},
    "an object": "object",
    "an integer": "integer",
    "an integer of 64 bits": "integer of 64 bits",
    "true or false": "boolean",
}
"""What a schema says that it expected -> the type's name in Databricks' message."""


def parse(schema: type[M], data: Any, *, where: str = "") -> M:
    """`fit`, with what is wrong in Databricks' words (`wire/databricks_jobs_2_0.md`, 1.3)."""
    try:
        return fit(schema, data)
    except Misfit as misfit:
        field = f"{where}{misfit.field}"
        if misfit.missing:
            raise Invalid(f"Missing required field: {field}", field=field) from None
        if misfit.expected in _TYPES:
            raise Malformed(
                f"Could not parse request object: Expected {_TYPES[misfit.expected]} for field {field}, "
                f"found {misfit.found}",
                field=field,
            ) from None
        raise Invalid(f"Invalid value for field {field}: {misfit.expected}", field=field) from None


def refuse_multi_task(data: Mapping[str, Any]) -> None:
    """Refuse the fields of newer versions that change what the request means."""
    for name in MULTI_TASK:
        if name in data:
            raise Invalid(f"{name} is not part of Jobs API 2.0: this service runs single-task jobs.", field=name)


MAX_PARAMETERS = 10_000
"""Bytes of the JSON of one parameter list (seed 004, "Run now")."""


def parameters(texts: tuple[str, ...], field: str, *, ascii_only: bool = True) -> tuple[str, ...]:
    if ascii_only and not all(p.isascii() for p in texts):
        raise Invalid(f"{field}: parameters accept only Latin characters (ASCII character set).", field=field)
    check_words(texts, field=field)
    if len(json.dumps({field.rpartition(".")[2]: texts}).encode()) > MAX_PARAMETERS:
        raise Invalid(
            f"{field}: the JSON representation of the parameters exceeds {MAX_PARAMETERS} bytes.", field=field
        )
    return texts


def parameter_map(texts: Mapping[str, str], field: str) -> dict[str, str]:
    """A notebook's parameters, checked as `parameters` checks a list."""
    if len(json.dumps({field.rpartition(".")[2]: dict(texts)}).encode()) > MAX_PARAMETERS:
        raise Invalid(
            f"{field}: the JSON representation of the parameters exceeds {MAX_PARAMETERS} bytes.", field=field
        )
    return ascii_map(texts, field)


def ascii_map(texts: Mapping[str, str], field: str) -> dict[str, str]:
    for name, value in texts.items():
        if not (name + value).isascii():
            raise Invalid(f"{field}: {name} has characters that are not ASCII.", field=field)
    return dict(texts)
