"""Schedule expressions of EventBridge Scheduler: checked as AWS checks them, and when they come round next.

"Schedule types in EventBridge Scheduler" in its user guide is the reference. A local time that a change of the clocks
skips does not come round; one that it repeats comes round once, the first time.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo, available_timezones

_MONTHS = {
    name: n
    for n, name in enumerate(["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1)
}
_DAYS = {name: n for n, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], 1)}
_UNITS = {"minute": 60, "hour": 3600, "day": 86_400}
_FIRST_YEAR, _LAST_YEAR = 1970, 2199


class InvalidExpression(ValueError):
    """AWS would answer ValidationException."""


class Expression(Protocol):
    once: bool

    def after(self, moment: datetime, anchor: datetime) -> datetime | None:
        """The first time after `moment`, both in UTC; None if it never comes. `anchor` is when the schedule began."""
        ...


@dataclass(frozen=True)
class At:
    """Once. A time that is past when the schedule is made comes at once."""

    time: datetime
    once = True

    def after(self, moment: datetime, anchor: datetime) -> datetime | None:
        return self.time


@dataclass(frozen=True)
class Rate:
    """At the beginning (the start date, or the schedule's creation) and then in equal steps."""

    seconds: int
    once = False

    def after(self, moment: datetime, anchor: datetime) -> datetime | None:
        if moment < anchor:
            return anchor
        step = timedelta(seconds=self.seconds)
        return anchor + ((moment - anchor) // step + 1) * step


@dataclass(frozen=True)
class Cron:
    """Six fields in a time zone. `day_matches` joins day of month and day of week, one of which is `?`."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    years: frozenset[int]
    day_matches: Callable[[date], bool]
    zone: ZoneInfo
    once = False

    def after(self, moment: datetime, anchor: datetime) -> datetime | None:
        moment = max(moment, anchor - timedelta(microseconds=1))
        for day in self._days(moment.astimezone(self.zone).date()):
            for hour in self.hours:
                for minute in self.minutes:
                    local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
                    found = local.astimezone(UTC)
                    # A local time that does not exist comes back from UTC as another one.
                    if found > moment and found.astimezone(self.zone).replace(fold=0) == local.replace(fold=0):
                        return found
        return None

    def _days(self, first: date) -> Iterator[date]:
        for year in sorted(year for year in self.years if year >= first.year):
            for month in sorted(self.months):
                if (year, month) < (first.year, first.month):
                    continue
                for number in range(1, calendar.monthrange(year, month)[1] + 1):
                    day = date(year, month, number)
                    if day >= first and self.day_matches(day):
                        yield day


def parse(text: str, zone: str = "UTC") -> Expression:
    """Raises `InvalidExpression` for what AWS would refuse."""
    if zone not in available_timezones():
        raise InvalidExpression(f"Invalid ScheduleExpressionTimezone {zone}.")
    found = re.fullmatch(r"(at|rate|cron)\((.*)\)", text or "")
    if not found:
        raise InvalidExpression(f"Invalid Schedule Expression {text}.")
    kind, inner = found.groups()
    try:
        if kind == "at":
            return _at(inner, ZoneInfo(zone))
        return _rate(inner) if kind == "rate" else _cron(inner, ZoneInfo(zone))
    except ValueError as error:
        raise InvalidExpression(f"Invalid Schedule Expression {text}. {error}".strip()) from error


def _at(inner: str, zone: ZoneInfo) -> At:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", inner):
        raise ValueError("at takes yyyy-mm-ddThh:mm:ss.")
    return At(datetime.fromisoformat(inner).replace(tzinfo=zone).astimezone(UTC))


def _rate(inner: str) -> Rate:
    found = re.fullmatch(r"([1-9]\d*) (minute|hour|day)s?", inner)
    if not found:
        raise ValueError("rate takes a positive number and minutes, hours or days.")
    return Rate(int(found[1]) * _UNITS[found[2]])


def _cron(inner: str, zone: ZoneInfo) -> Cron:
    fields = inner.upper().split()
    if len(fields) != 6:
        raise ValueError("cron takes six fields.")
    minutes, hours, of_month, months, of_week, years = fields
    if (of_month == "?") == (of_week == "?"):
        raise ValueError("One of day-of-month and day-of-week must be ?.")
    return Cron(
        tuple(sorted(_set(minutes, 0, 59))),
        tuple(sorted(_set(hours, 0, 23))),
        frozenset(_set(months, 1, 12, _MONTHS)),
        frozenset(_set(years, _FIRST_YEAR, _LAST_YEAR)),
        _day_of_month(of_month) if of_week == "?" else _day_of_week(of_week),
        zone,
    )


def _set(field: str, low: int, high: int, names: dict[str, int] | None = None) -> set[int]:
    """The numbers of a field that is made of `*`, values, ranges, steps and lists of them."""
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step_text = part.partition("/")
        step = int(step_text) if slash else 1
        if step < 1:
            raise ValueError(f"{part} has no step.")
        first_text, dash, last_text = span.partition("-")
        if span == "*":
            first, last = low, high
        else:
            first = _number(first_text, low, high, names)
            last = _number(last_text, low, high, names) if dash else (high if slash else first)
        if first <= last:
            found.update(range(first, last + 1, step))
        else:
            # A range may go over the end, as FRI-MON does.
            found.update((one - low) % (high - low + 1) + low for one in range(first, last + high - low + 2, step))
    return found


def _number(text: str, low: int, high: int, names: dict[str, int] | None) -> int:
    number = (names or {}).get(text)
    if number is None:
        if not text.isdigit():
            raise ValueError(f"{text or 'Nothing'} is not a value.")
        number = int(text)
    if not low <= number <= high:
        raise ValueError(f"{number} is not between {low} and {high}.")
    return number


def _last_day(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _day_of_month(field: str) -> Callable[[date], bool]:
    if field == "L":
        return lambda day: day.day == _last_day(day)
    if field == "LW":
        return lambda day: day.day == _nearest_weekday(day, _last_day(day))
    if field.endswith("W"):
        wanted = _number(field[:-1], 1, 31, None)
        return lambda day: wanted <= _last_day(day) and day.day == _nearest_weekday(day, wanted)
    days = frozenset(_set(field, 1, 31))
    return lambda day: day.day in days


def _nearest_weekday(day: date, number: int) -> int:
    """The weekday nearest to a day of the month, in the same month."""
    weekday = day.replace(day=number).weekday()
    if weekday == 5:
        return number - 1 if number > 1 else number + 2
    if weekday == 6:
        return number + 1 if number < _last_day(day) else number - 2
    return number


def _day_of_week(field: str) -> Callable[[date], bool]:
    if field == "L":
        return lambda day: _weekday(day) == 7
    if field.endswith("L"):
        wanted = _number(field[:-1], 1, 7, _DAYS)
        return lambda day: _weekday(day) == wanted and day.day > _last_day(day) - 7
    if "#" in field:
        name, _, number = field.partition("#")
        wanted, nth = _number(name, 1, 7, _DAYS), _number(number, 1, 5, None)
        return lambda day: _weekday(day) == wanted and (day.day - 1) // 7 + 1 == nth
    days = frozenset(_set(field, 1, 7, _DAYS))
    return lambda day: _weekday(day) in days


def _weekday(day: date) -> int:
    """AWS counts from Sunday, which is 1."""
    return day.isoweekday() % 7 + 1
