"""The cron language of crontab(5), with the extensions that Wikipedia's article on cron describes.

    minute hour day-of-month month day-of-week

Values, ranges (which may run over the end: `22-2`, `fri-mon`), lists, `*`, `/n`, names of months and days in any case,
0 or 7 for Sunday, `?` for `*` in the day fields; `L`, `L-3`, `15W` and `LW` in the day of the month, `5L` (the last
Friday; a bare `L` is Saturday) and `5#3` (the third Friday) in the day of the week; `@yearly`, `@annually`,
`@monthly`, `@weekly`, `@daily`, `@midnight`, `@hourly`. When both day fields are restricted a day that matches either
of them will do; a field that begins with `*` or `?` does not count as restricted, and then both must match, as
crontab(5) has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import chain

from chalicelib.core.cron.calendar import FIRST_YEAR, LAST_YEAR, Calendar, DayRule, Days
from chalicelib.core.errors import Invalid

MAX_LENGTH = 2000

_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_TERM = re.compile(r"(?:(?P<any>\*)|(?P<start>\w+)(?:-(?P<end>\w+))?)(?:/(?P<step>\d{1,4}))?", re.ASCII)
_FROM_END = re.compile(r"l(?:-(?P<offset>\d{1,2}))?(?P<work>w)?", re.ASCII)
_WORKING = re.compile(r"(?P<day>\d{1,2})w", re.ASCII)
_LAST = re.compile(r"(?P<day>\w+?)l", re.ASCII)
_NTH = re.compile(r"(?P<day>\w+)#(?P<n>\d)", re.ASCII)


@dataclass(frozen=True)
class _Kind:
    """What may stand in one field. `span` is how many values there are before they repeat."""

    name: str
    low: int
    high: int
    span: int
    names: dict[str, int] = field(default_factory=dict)


_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_MINUTE = _Kind("minute", 0, 59, 60)
_HOUR = _Kind("hour", 0, 23, 24)
_MONTH_DAY = _Kind("day of month", 1, 31, 31)
_MONTH = _Kind("month", 1, 12, 12, _MONTHS)
_WEEK_DAY = _Kind("day of week", 0, 7, 7, _DAYS)


class _Fault(Exception):
    """The expression is wrong; the text says where."""


def parse(text: str, *, field: str = "cronSchedule") -> tuple[Calendar, bool]:
    """The times that an expression means, and whether its minute or hour begins with `*`.

    Raises Invalid, naming `field` and the part at fault.
    """
    try:
        if len(text) > MAX_LENGTH:
            raise _Fault(f"the expression is longer than {MAX_LENGTH} characters.")
        return _read(text)
    except _Fault as fault:
        raise Invalid(f"{field}: {fault}", field=field) from None


def _read(text: str) -> tuple[Calendar, bool]:
    lowered = text.strip(" \t").lower()
    if lowered.startswith("@") and lowered not in _NICKNAMES:
        raise _Fault(f"{text[:50]!r} is none of {', '.join(_NICKNAMES)}.")
    fields = [part for part in re.split("[ \t]+", _NICKNAMES.get(lowered, lowered)) if part]
    if len(fields) != 5:
        raise _Fault(f"a cron schedule has 5 fields (minute hour day month weekday), this one has {len(fields)}.")
    minute, hour, month_day, month, week_day = fields
    calendar = Calendar(
        (0,),
        tuple(sorted(_values(_MINUTE, minute))),
        tuple(sorted(_values(_HOUR, hour))),
        _days(month_day, week_day),
        tuple(sorted(_values(_MONTH, month))),
        tuple(range(FIRST_YEAR, LAST_YEAR + 1)),
    )
    return calendar, minute.startswith("*") or hour.startswith("*")


def _days(month_day: str, week_day: str) -> Days:
    unrestricted = month_day[0] in "*?" or week_day[0] in "*?"
    month_day, week_day = ("*" if part == "?" else part for part in (month_day, week_day))
    by_month = _month_days(month_day)
    by_week = _week_days(week_day)
    return Days(DayRule.BOTH if unrestricted else DayRule.EITHER, *by_month, *by_week)


def _month_days(text: str) -> tuple[frozenset[int], frozenset[int], frozenset[int], frozenset[int]]:
    """The sets of Days that the day of the month fills."""
    plain, offsets, nearest, nearest_offsets = set[int](), set[int](), set[int](), set[int]()
    for term in _terms(_MONTH_DAY, text):
        if match := _FROM_END.fullmatch(term):
            offset = int(match["offset"] or 0)
            if offset > 30:
                raise _Fault(f"{term!r} is before the first day of every month.")
            (nearest_offsets if match["work"] else offsets).add(offset)
        elif match := _WORKING.fullmatch(term):
            nearest.add(_value(_MONTH_DAY, match["day"]))
        else:
            plain |= _plain(_MONTH_DAY, term)
    return frozenset(plain), frozenset(offsets), frozenset(nearest), frozenset(nearest_offsets)


def _week_days(text: str) -> tuple[frozenset[int], frozenset[tuple[int, int]], frozenset[int]]:
    """The sets of Days that the day of the week fills."""
    plain, nth, last = set[int](), set[tuple[int, int]](), set[int]()
    for term in _terms(_WEEK_DAY, text):
        if term == "l":
            plain.add(6)
        elif match := _LAST.fullmatch(term):
            last.add(_value(_WEEK_DAY, match["day"]) % 7)
        elif match := _NTH.fullmatch(term):
            if not 1 <= int(match["n"]) <= 5:
                raise _Fault(f"{term!r}: after # stands a number between 1 and 5.")
            nth.add((_value(_WEEK_DAY, match["day"]) % 7, int(match["n"])))
        else:
            plain |= _plain(_WEEK_DAY, term)
    return frozenset(plain), frozenset(nth), frozenset(last)


def _values(kind: _Kind, text: str) -> set[int]:
    return set(chain.from_iterable(_plain(kind, term) for term in _terms(kind, text)))


def _terms(kind: _Kind, text: str) -> list[str]:
    terms = text.split(",")
    if not all(terms):
        raise _Fault(f"{text!r} has an empty part; it is no {kind.name}.")
    return terms


def _plain(kind: _Kind, term: str) -> set[int]:
    match = _TERM.fullmatch(term)
    if not match:
        raise _Fault(f"{term!r} is no {kind.name}.")
    step = int(match["step"] or 1)
    if step == 0:
        raise _Fault(f"{term!r}: a step cannot be 0.")
    last = kind.low + kind.span - 1
    if match["any"]:
        start, end = kind.low, last
    else:
        start = _value(kind, match["start"])
        end = _value(kind, match["end"]) if match["end"] else last if match["step"] else start
    if end < start:  # over the end of the field, into its beginning
        end += kind.span
    return {(value - kind.low) % kind.span + kind.low for value in range(start, end + 1, step)}


def _value(kind: _Kind, text: str) -> int:
    if text in kind.names:
        return kind.names[text]
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise _Fault(f"{text!r} is no {kind.name}.")
    if not kind.low <= int(text) <= kind.high:
        raise _Fault(f"{int(text)} is no {kind.name}: {kind.low} to {kind.high} are.")
    return int(text)
