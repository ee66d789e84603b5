"""What pydantic schemas of all dialects share: lenient integers and maps, and one way to word what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

INT64 = 1 << 63


class Wire(BaseModel):
    """A body on the wire. Unknown fields are ignored: newer clients send more. A field that is null is not given."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


_DECIMAL = re.compile(r"\s*-?[0-9]{1,20}\s*")


def _integer(value: Any) -> Any:
    """Integers also as decimal strings (`wire/README.md`, 3); neither booleans nor fractions."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("expected an integer")  # noqa: TRY004 - pydantic words ValueErrors
    if not -INT64 <= value < INT64:
        raise ValueError("expected an integer of 64 bits")
    return value


def _boolean(value: Any) -> Any:
    """Booleans also as the words that a query string has."""
    words = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if not isinstance(value, bool):
        raise ValueError("expected true or false")  # noqa: TRY004
    return value


def _map(value: Any) -> Any:
    """Maps also as arrays of `{"key": …, "value": …}` (`wire/README.md`, 4); values of a plain type become text."""
    if isinstance(value, list) and all(isinstance(pair, Mapping) and "key" in pair for pair in value):
        value = {pair["key"]: pair.get("value", "") for pair in value}
    if not isinstance(value, Mapping):
        raise ValueError("expected an object")  # noqa: TRY004
    return {str(name): _scalar(item) for name, item in value.items()}


def _scalar(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_scalar)]
"""A text, which may come as a number or a boolean where its meaning is plain."""

Int = Annotated[int, BeforeValidator(_integer)]
Bool = Annotated[bool, BeforeValidator(_boolean)]
TextMap = Annotated[dict[str, str], BeforeValidator(_map)]

_JSON_TYPES = {
    dict: "OBJECT", list: "ARRAY", str: "STRING", bool: "BOOLEAN", int: "NUMBER", float: "NUMBER", type(None): "NULL"
}  # fmt: skip

M = TypeVar("M", bound=BaseModel)


class Misfit(Exception):
    """A body that does not fit its schema: which field, what was expected, and the JSON type that came instead."""

    def __init__(self, field: str, expected: str, found: str, missing: bool) -> None:
        super().__init__(field)
        self.field = field
        self.expected = expected
        self.found = found
        self.missing = missing


_EXPECTED = {
    "string_type": "string", "list_type": "array", "tuple_type": "array", "dict_type": "object", "model_type": "object",
    "model_attributes_type": "object", "literal_error": "one of the known values", "enum": "one of the known values",
}  # fmt: skip


def fit(schema: type[M], data: Any) -> M:
    """The data as an instance of a schema. Raises Misfit for the first thing that is wrong."""
    try:
        return schema.model_validate(data)
    except ValidationError as errors:
        first = errors.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        kind = first["type"]
        expected = _EXPECTED.get(kind, "")
        if kind == "value_error":
            expected = str(first["ctx"]["error"]).removeprefix("expected ")
        found = _JSON_TYPES.get(type(first["input"]), "VALUE")
        raise Misfit(field, expected or first["msg"], found, kind == "missing") from None
