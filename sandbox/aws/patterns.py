"""Event patterns: the matching language of EventBridge rules and of Lambda's FilterCriteria.

"Comparison operators for use in event patterns" in EventBridge's guide is the reference. A pattern is checked when it
is made, as AWS checks it when a rule or a trigger is created; matching then never raises.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

_MISSING = object()
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}

Test = Callable[[Any], bool]


class InvalidPattern(ValueError):
    """The pattern is not one that AWS would accept; the text says where and why."""


class Pattern:
    """One pattern. `Pattern({...})`, or `Pattern.parse(text)` for the JSON text that the APIs take."""

    def __init__(self, pattern: Mapping[str, Any]) -> None:
        self._test = _object(pattern, "")

    @classmethod
    def parse(cls, text: str) -> Pattern:
        try:
            pattern = json.loads(text)
        except ValueError as error:
            raise InvalidPattern(f"Event pattern is not valid. Reason: {error}") from error
        return cls(pattern)

    def matches(self, event: Mapping[str, Any]) -> bool:
        return self._test(event)


def _object(pattern: Any, where: str) -> Test:
    """A test of an object: every key must hold; `$or` holds where one of its alternatives does."""
    if not isinstance(pattern, Mapping):
        raise InvalidPattern(f"Filter is not an object at {where or 'the top'}")
    if not pattern:
        raise InvalidPattern(f"Empty objects are not allowed at {where or 'the top'}")
    tests: list[Test] = []
    for key, value in pattern.items():
        inner = f"{where}.{key}" if where else str(key)
        if key == "$or" and isinstance(value, list):
            alternatives = [_object(one, inner) for one in value]
            tests.append(lambda event, any_of=alternatives: any(test(event) for test in any_of))  # type: ignore[misc]
        elif isinstance(value, Mapping):
            tests.append(_under(key, _object(value, inner)))
        elif isinstance(value, list):
            tests.append(_under(key, _leaf(value, inner)))
        else:
            raise InvalidPattern(f'"{inner}" must be an object or an array')
    return lambda event: all(test(event) for test in tests)


def _under(key: str, test: Test) -> Test:
    def look(event: Any) -> bool:
        if isinstance(event, list):
            # EventBridge looks into arrays of objects: one element that matches is enough.
            return any(look(one) for one in event)
        return test(event.get(key, _MISSING) if isinstance(event, Mapping) else _MISSING)

    return look


def _leaf(alternatives: list[Any], where: str) -> Test:
    if not alternatives:
        raise InvalidPattern(f"Empty arrays are not allowed at {where}")
    tests = [_operator(one, where) if isinstance(one, Mapping) else _exact(one, where) for one in alternatives]

    def test(value: Any) -> bool:
        if isinstance(value, list) and value:
            return any(one(element) for one in tests for element in value)
        return any(one(value) for one in tests)

    return test


def _exact(wanted: Any, where: str) -> Test:
    if isinstance(wanted, list):
        raise InvalidPattern(f"Arrays cannot be nested at {where}")
    return lambda value: _same(value, wanted)


def _same(value: Any, wanted: Any) -> bool:
    # True is not 1 in JSON, though it is in Python.
    return value is not _MISSING and isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _operator(operator: Mapping[str, Any], where: str) -> Test:
    if len(operator) != 1:
        raise InvalidPattern(f"Only one key allowed in match expression at {where}")
    ((name, argument),) = operator.items()
    make = _OPERATORS.get(name)
    if make is None:
        raise InvalidPattern(f"Unrecognized match type {name} at {where}")
    return make(argument, where)


def _text(argument: Any, where: str) -> str:
    if not isinstance(argument, str):
        raise InvalidPattern(f"prefix, suffix and wildcard match a string at {where}")
    return argument


def _fold(argument: Any, where: str, plain: Callable[[str, str], bool]) -> Test:
    """`prefix` and `suffix` take a string, or `{"equals-ignore-case": string}`."""
    if isinstance(argument, Mapping) and set(argument) == {"equals-ignore-case"}:
        folded = _text(argument["equals-ignore-case"], where).lower()
        return lambda value: isinstance(value, str) and plain(value.lower(), folded)
    text = _text(argument, where)
    return lambda value: isinstance(value, str) and plain(value, text)


def _prefix(argument: Any, where: str) -> Test:
    return _fold(argument, where, str.startswith)


def _suffix(argument: Any, where: str) -> Test:
    return _fold(argument, where, str.endswith)


def _equals_ignore_case(argument: Any, where: str) -> Test:
    folded = _text(argument, where).lower()
    return lambda value: isinstance(value, str) and value.lower() == folded


def _wildcard(argument: Any, where: str) -> Test:
    parts = [re.escape(part) for part in _text(argument, where).split("*")]
    expression = re.compile(".*".join(parts), re.DOTALL)
    return lambda value: isinstance(value, str) and expression.fullmatch(value) is not None


def _exists(argument: Any, where: str) -> Test:
    if not isinstance(argument, bool):
        raise InvalidPattern(f"exists takes true or false at {where}")
    # A present object is no leaf, so for AWS it does not exist.
    return lambda value: (value is not _MISSING and not isinstance(value, Mapping)) == argument


def _anything_but(argument: Any, where: str) -> Test:
    if isinstance(argument, Mapping):
        inner = _operator(argument, where)
        if set(argument) - {"prefix", "suffix", "equals-ignore-case", "wildcard"}:
            raise InvalidPattern(f"anything-but cannot hold {sorted(argument)} at {where}")
        return lambda value: value is not _MISSING and not inner(value)
    refused = argument if isinstance(argument, list) else [argument]
    if not refused or any(isinstance(one, (list, Mapping)) for one in refused):
        raise InvalidPattern(f"anything-but takes a value or a list of values at {where}")
    return lambda value: value is not _MISSING and not any(_same(value, one) for one in refused)


def _numeric(argument: Any, where: str) -> Test:
    if not isinstance(argument, list) or len(argument) not in (2, 4):
        raise InvalidPattern(f"numeric takes one or two comparisons at {where}")
    pairs = list(zip(argument[::2], argument[1::2], strict=True))
    for sign, number in pairs:
        if sign not in _COMPARE or not _is_number(number):
            raise InvalidPattern(f"numeric cannot compare with {sign!r} {number!r} at {where}")
    return lambda value: _is_number(value) and all(_COMPARE[sign](value, number) for sign, number in pairs)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_OPERATORS: dict[str, Callable[[Any, str], Test]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "exists": _exists,
    "anything-but": _anything_but,
    "numeric": _numeric,
}
