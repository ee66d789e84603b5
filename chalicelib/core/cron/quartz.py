"""Quartz's cron language (org.quartz.CronExpression), read as Quartz reads it.

    seconds minutes hours day-of-month month day-of-week [year]

An expression that Quartz accepts is accepted and means the same, also where Quartz is lenient (`MONDAY` is MON; what
follows a complete term is not looked at); one that it refuses is refused with its message, fields and terms being
examined from left to right as it does. In the message `Illegal cron expression format (...)` the brackets hold our
words, not a Java exception. What Quartz lets in although it can only surprise is refused, always with one of its
messages: a field without any value (`,`), 98 and 99 (which are its internal marks for `?` and `*`), days of the week
out of range before `#`.

Sources: quartz-scheduler/quartz at bb2505a, and its cron trigger tutorial for what the terms mean. The tutorial also
decides where an implementation errs (the code of 2.5 lost `W` when it moves a day forward).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from chalicelib.core.cron.calendar import FIRST_YEAR, LAST_YEAR, Calendar, DayRule, Days
from chalicelib.core.errors import Invalid

MAX_LENGTH = 4000  # every second, minute and hour listed by number take about 500
_MAX_INT = 2**31 - 1
_MAX_LAST_DAY_OFFSET = 30
_BLANKS = "".join(map(chr, range(0x21)))
_LAST = re.compile(r"L|LW|L-[0-9]*W?", re.ASCII)
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_SIGNED = re.compile(r"[+-]?[0-9]+", re.ASCII)

_MONTHS = {
    "JAN": 1, "FEB": 2, "MAR": 3, "APR": 4, "MAY": 5, "JUN": 6,
    "JUL": 7, "AUG": 8, "SEP": 9, "OCT": 10, "NOV": 11, "DEC": 12,
}  # fmt: skip
_DAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}


@dataclass(frozen=True)
class _Kind:
    """What may stand in one field. `too_long` is the bound in Quartz's message on increments, `step` the real one."""

    name: str
    low: int
    high: int
    range_message: str = ""
    step: int = _MAX_INT
    too_long: int = 0


_SIXTY = "Minute and Second values must be between 0 and 59"
_SECOND = _Kind("second", 0, 59, _SIXTY, 59, 60)
_MINUTE = _Kind("minute", 0, 59, _SIXTY, 59, 60)
_HOUR = _Kind("hour", 0, 23, "Hour values must be between 0 and 23", 23, 24)
_MONTH_DAY = _Kind("day of month", 1, 31, "Day of month values must be between 1 and 31", 31, 31)
_MONTH = _Kind("month", 1, 12, "Month values must be between 1 and 12", 12, 12)
_WEEK_DAY = _Kind("day of week", 1, 7, "Day-of-Week values must be between 1 and 7", 7, 7)
_YEAR = _Kind("year", FIRST_YEAR, LAST_YEAR)
_W_TOO_LARGE = "The 'W' option does not make sense with values larger than 31 (max number of days in a month)"
_KINDS = (_SECOND, _MINUTE, _HOUR, _MONTH_DAY, _MONTH, _WEEK_DAY, _YEAR)


class _Fault(Exception):
    """The expression is wrong; the text is the message for the caller."""


def _illegal(why: str) -> NoReturn:
    raise _Fault(f"Illegal cron expression format ({why})")


@dataclass
class _Found:
    """What the fields have said so far."""

    values: dict[str, set[int]] = field(default_factory=lambda: {kind.name: set() for kind in _KINDS})
    unspecified: set[str] = field(default_factory=set)
    offsets: set[int] = field(default_factory=set)
    nearest: set[int] = field(default_factory=set)
    nearest_offsets: set[int] = field(default_factory=set)
    nth: int = 0
    last: bool = False

    def is_empty(self, kind: _Kind) -> bool:
        if kind is _MONTH_DAY and (self.offsets or self.nearest or self.nearest_offsets):
            return False
        return not self.values[kind.name] and kind.name not in self.unspecified


def parse(text: str, *, field: str = "quartz_cron_expression") -> Calendar:
    """The times that an expression means. Raises Invalid with Quartz's message and `field`."""
    try:
        if len(text) > MAX_LENGTH:
            raise _Fault(f"The expression is longer than {MAX_LENGTH} characters.")
        return _calendar(_read(text.upper()))
    except _Fault as fault:
        raise Invalid(str(fault), field=field) from None


def _read(text: str) -> _Found:
    tokens = [token for token in re.split("[ \t]+", text) if token]
    if len(tokens) > len(_KINDS):
        raise _Fault(f"Invalid expression has too many terms: {text}")
    found = _Found()
    for kind, token in zip(_KINDS, tokens, strict=False):
        _read_field(found, kind, token.strip(_BLANKS))
    if len(tokens) < len(_KINDS) - 1:
        raise _Fault("Unexpected end of expression.")
    if len(tokens) < len(_KINDS):
        _add(found, _YEAR, _YEAR.low, _YEAR.high, 1)
    if (_MONTH_DAY.name in found.unspecified) == (_WEEK_DAY.name in found.unspecified):
        raise _Fault("Support for specifying both a day-of-week AND a day-of-month parameter is not implemented.")
    if any(found.is_empty(kind) for kind in _KINDS):
        raise _Fault("Unexpected end of expression.")
    return found


def _read_field(found: _Found, kind: _Kind, token: str) -> None:
    if kind is _WEEK_DAY and "L" in token and "," in token:
        raise _Fault("Support for specifying 'L' with other days of the week is not implemented")
    if kind is _WEEK_DAY and token.count("#") > 1:
        raise _Fault('Support for specifying multiple "nth" days is not implemented.')
    for term in token.split(","):
        if term:
            _reader(term)(found, kind, term)


def _reader(term: str) -> Callable[[_Found, _Kind, str], None]:
    """Quartz decides by a term's first character what it is."""
    first = term[0]
    if _LAST.fullmatch(term):
        return _read_last
    if "A" <= first <= "Z":
        return _read_name
    if "0" <= first <= "9":
        return _read_number
    if first in "*/":
        return _read_every
    if first == "?":
        return _read_unspecified
    raise _Fault(f"Unexpected character: {first}")


def _read_name(found: _Found, kind: _Kind, term: str) -> None:
    start = _name(kind, term, 0)
    mark = term[3:4]
    if mark == "-":
        _add(found, kind, start, _name(kind, term, 4), 1)
        return
    if kind is _WEEK_DAY and mark == "#":
        found.nth = _nth(term[4:])
    if kind is _WEEK_DAY and mark == "L":
        found.last = True
    _add(found, kind, start, None, 0)


def _name(kind: _Kind, term: str, at: int) -> int:
    name = term[at : at + 3]
    if len(name) < 3:
        _illegal(f"'{term}' is too short for a name")
    if kind is _MONTH:
        if name not in _MONTHS:
            raise _Fault(f"Invalid Month value: '{name}'")
        return _MONTHS[name]
    if kind is _WEEK_DAY:
        if name not in _DAYS:
            raise _Fault(f"Invalid Day-of-Week value: '{name}'")
        return _DAYS[name]
    raise _Fault(f"Illegal characters for this position: '{name}'")


def _read_unspecified(found: _Found, kind: _Kind, term: str) -> None:
    if len(term) > 2:
        raise _Fault(f"Illegal character after '?': {term[1]}")
    if kind not in (_MONTH_DAY, _WEEK_DAY):
        raise _Fault("'?' can only be specified for Day-of-Month or Day-of-Week.")
    if kind is _WEEK_DAY and _MONTH_DAY.name in found.unspecified:
        raise _Fault("'?' can only be specified for Day-of-Month -OR- Day-of-Week.")
    found.unspecified.add(kind.name)


def _read_every(found: _Found, kind: _Kind, term: str) -> None:
    if term == "/":
        raise _Fault("'/' must be followed by an integer.")
    rest, step = term.removeprefix("*"), 1
    if rest == "/":
        raise _Fault("Unexpected end of string.")
    if rest.startswith("/"):
        step = _int(rest[1:])
        _check_step(step, kind)
    _add(found, kind, kind.low, kind.high, max(step, 1))


def _read_last(found: _Found, kind: _Kind, term: str) -> None:
    if kind in (_SECOND, _MINUTE, _HOUR):
        raise _Fault("'L' not expected in seconds, minutes or hours fields.")
    if kind is _WEEK_DAY:
        found.values[kind.name].add(_DAYS["SAT"])
    if kind is not _MONTH_DAY:
        return
    if term == "L-":
        _illegal("a number must follow 'L-'")
    digits = _DIGITS.search(term)
    offset = _int(digits[0]) if digits else 0
    if offset > _MAX_LAST_DAY_OFFSET:
        raise _Fault(f"Offset from last day must be <= {_MAX_LAST_DAY_OFFSET}")
    (found.nearest_offsets if term.endswith("W") else found.offsets).add(offset)


def _read_number(found: _Found, kind: _Kind, term: str) -> None:
    digits = _digits(term, 0)
    value, at = _int(digits), len(digits)
    mark = term[at : at + 1]
    if mark == "L":
        _require(kind is _WEEK_DAY, mark, at)
        _check_range(kind, value)
        found.last = True
        found.values[kind.name].add(value)
    elif mark == "W":
        _require(kind is _MONTH_DAY, mark, at)
        if value > _MONTH_DAY.high:
            raise _Fault(_W_TOO_LARGE)
        found.nearest.add(value)
    elif mark == "#":
        _require(kind is _WEEK_DAY, mark, at)
        found.nth = _nth(term[at + 1 :])
        _check_range(kind, value)
        found.values[kind.name].add(value)
    elif mark == "-":
        _read_range(found, kind, term, value, at + 1)
    elif mark == "/":
        _read_steps(found, kind, term, value, at + 1)
    else:
        _add(found, kind, value, None, 0)


def _read_range(found: _Found, kind: _Kind, term: str, start: int, at: int) -> None:
    end = _digits(term, at)
    at += len(end)
    step = _int(_digits(term, at + 1)) if term[at : at + 1] == "/" else 1
    _add(found, kind, start, _int(end), step)


def _read_steps(found: _Found, kind: _Kind, term: str, start: int, at: int) -> None:
    if at >= len(term):
        raise _Fault("'/' must be followed by an integer.")
    step = _digits(term, at)
    if len(step) == 1 and at + 1 < len(term):
        raise _Fault(f"Unexpected character '{term[at + 1]}' after '/'")
    _check_step(_int(step), kind)
    _add(found, kind, start, None, _int(step))


def _require(allowed: bool, mark: str, at: int) -> None:
    if not allowed:
        raise _Fault(f"'{mark}' option is not valid here. (pos={at})")


def _nth(text: str) -> int:
    if not _SIGNED.fullmatch(text) or not 1 <= int(text) <= 5:
        raise _Fault("A numeric value between 1 and 5 must follow the '#' option")
    return int(text)


def _digits(term: str, at: int) -> str:
    match = _DIGITS.match(term, at)
    if not match:
        _illegal(f"a number is missing in '{term}'")
    return match[0]


def _int(text: str) -> int:
    if not _SIGNED.fullmatch(text) or abs(int(text)) > _MAX_INT:
        _illegal(f"'{text}' is not a number")
    return int(text)


def _check_step(step: int, kind: _Kind) -> None:
    if step > kind.step:
        raise _Fault(f"Increment >= {kind.too_long} : {step}")


def _check_range(kind: _Kind, *values: int) -> None:
    if any(not kind.low <= value <= kind.high for value in values):
        raise _Fault(kind.range_message)


def _add(found: _Found, kind: _Kind, start: int, end: int | None, step: int) -> None:
    """Add `start`, or with a step all values up to `end` or the field's last; a range may run over the field's end.

    An end of 0 passes where the field begins with 1: Quartz counts it as the last value.
    """
    values = found.values[kind.name]
    if kind is not _YEAR:
        _check_range(kind, start, max(end or 0, kind.low))
    if step == 0:
        values.add(start)
        return
    stop = kind.high if end is None else end
    if stop >= start:
        values.update(range(start, min(stop, kind.high) + 1, step))
    elif kind is _YEAR:
        _illegal("Start year must be less than stop year")
    else:
        span = kind.high - kind.low + 1
        values.update((value - kind.low) % span + kind.low for value in range(start, stop + span + 1, step))


def _calendar(found: _Found) -> Calendar:
    def values(kind: _Kind) -> tuple[int, ...]:
        return tuple(sorted(found.values[kind.name]))

    years = tuple(year for year in values(_YEAR) if FIRST_YEAR <= year <= LAST_YEAR)
    return Calendar(values(_SECOND), values(_MINUTE), values(_HOUR), _days(found), values(_MONTH), years)


def _days(found: _Found) -> Days:
    if _MONTH_DAY.name not in found.unspecified:
        return Days(
            DayRule.MONTH,
            month_days=frozenset(found.values[_MONTH_DAY.name]),
            offsets=frozenset(found.offsets),
            nearest=frozenset(found.nearest),
            nearest_offsets=frozenset(found.nearest_offsets),
        )
    week_days = sorted(day - 1 for day in found.values[_WEEK_DAY.name])
    if found.last:
        return Days(DayRule.WEEK, last=frozenset(week_days[:1]))
    if found.nth:  # with a list (`2#1,4`) Quartz looks at its first day alone
        return Days(DayRule.WEEK, nth=frozenset((day, found.nth) for day in week_days[:1]))
    return Days(DayRule.WEEK, week_days=frozenset(week_days))
