"""Records to JSON-ready values and back, by their type hints: no code per record.

Handles what `core.model` is made of: dataclasses, enums, tuples, frozen sets of ids, mappings, optional and plain
values. A field that equals its default is left out, so records are small and new fields need no migration.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any


def encode(value: Any) -> Any:
    """A record, or any part of one, as JSON-ready data."""
    if is_dataclass(value):
        pairs = ((f, getattr(value, f.name)) for f in fields(value))
        return {f.name: encode(v) for f, v in pairs if not _is_default(f, v)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {k: encode(v) for k, v in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [encode(v) for v in value]
    return value


def decode(cls: type, data: Mapping[str, Any]) -> Any:
    """The record of a type that `encode` made this data of. Unknown fields are ignored."""
    return cls(**{name: build(data[name]) for name, build in _builders(cls) if name in data})


@cache
def _builders(cls: type) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((f.name, _builder(hints[f.name])) for f in fields(cls))


def _builder(hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        item = _builder(arguments[0])
        return lambda value: tuple(item(v) for v in value)
    if origin is frozenset:
        return frozenset
    if origin in (typing.Union, types.UnionType):
        return _builder(next(a for a in arguments if a is not type(None)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item = _builder(arguments[1])
        return lambda value: {k: item(v) for k, v in value.items()}
    if is_dataclass(hint):
        return lambda value: decode(typing.cast(type, hint), value)
    return hint if isinstance(hint, type) and issubclass(hint, Enum) else lambda value: value


def _is_default(field: Field[Any], value: Any) -> bool:
    if field.default is not MISSING:
        return bool(field.default == value)
    return field.default_factory is not MISSING and bool(field.default_factory() == value)
