"""Which wall-clock times a cron expression matches, without time zones: the form that both parsers give.

Days of the week count from Sunday = 0 here; each parser translates its own numbers. Times are naive datetimes with
whole seconds.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

FIRST_YEAR = 1970
LAST_YEAR = 2199


class DayRule(Enum):
    """Which of the two day fields decide, where both could."""

    MONTH = "the day of the month"
    WEEK = "the day of the week"
    BOTH = "both must match"
    EITHER = "one match suffices"


@dataclass(frozen=True)
class Days:
    """The days that match, as the two day fields say it.

    `offsets` count back from the last day of the month (`L` is 0, `L-3` is 3). `nearest` and `nearest_offsets` are
    days to be moved to the nearest working day of the same month (`15W`, `LW`). `nth` holds (day of week, n) for
    `6#3`, and `last` the days of the week of `6L`.
    """

    rule: DayRule
    month_days: frozenset[int] = frozenset()
    offsets: frozenset[int] = frozenset()
    nearest: frozenset[int] = frozenset()
    nearest_offsets: frozenset[int] = frozenset()
    week_days: frozenset[int] = frozenset()
    nth: frozenset[tuple[int, int]] = frozenset()
    last: frozenset[int] = frozenset()

    def of(self, year: int, month: int) -> list[int]:
        """The matching days of a month, ascending."""
        monday_based, length = monthrange(year, month)
        first = (monday_based + 1) % 7
        if self.rule is DayRule.MONTH:
            return sorted(self._by_month(first, length))
        if self.rule is DayRule.WEEK:
            return sorted(self._by_week(first, length))
        by_month, by_week = self._by_month(first, length), self._by_week(first, length)
        return sorted(by_month & by_week if self.rule is DayRule.BOTH else by_month | by_week)

    def _by_month(self, first: int, length: int) -> set[int]:
        days = set(self.month_days) | {length - offset for offset in self.offsets}
        wanted = set(self.nearest) | {length - offset for offset in self.nearest_offsets}
        days |= {_working_day(day, first, length) for day in wanted if 1 <= day <= length}
        return {day for day in days if 1 <= day <= length}

    def _by_week(self, first: int, length: int) -> set[int]:
        days = {day for day in range(1, length + 1) if _week_day(day, first) in self.week_days}
        days |= {1 + (week_day - first) % 7 + 7 * (n - 1) for week_day, n in self.nth}
        days |= {length - (_week_day(length, first) - week_day) % 7 for week_day in self.last}
        return {day for day in days if day <= length}


def _week_day(day: int, first: int) -> int:
    return (first + day - 1) % 7


def _working_day(day: int, first: int, length: int) -> int:
    """The working day nearest to `day` that does not leave the month."""
    week_day = _week_day(day, first)
    if week_day == 6:
        return day - 1 if day > 1 else day + 2
    if week_day == 0:
        return day + 1 if day < length else day - 2
    return day


@dataclass(frozen=True)
class Calendar:
    """All the wall-clock times of an expression. Each tuple ascends; only `years` may be empty."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: Days
    months: tuple[int, ...]
    years: tuple[int, ...]

    def first_from(self, wall: datetime) -> datetime | None:
        """The first matching time at `wall` or later; None when the years run out."""
        for year in self.years:
            if year < wall.year:
                continue
            for month in self.months:
                if (year, month) >= (wall.year, wall.month) and (found := self._in_month(year, month, wall)):
                    return found
        return None

    def _in_month(self, year: int, month: int, wall: datetime) -> datetime | None:
        this_month = (year, month) == (wall.year, wall.month)
        for day in self.days.of(year, month):
            if not this_month or day > wall.day:
                return datetime(year, month, day, self.hours[0], self.minutes[0], self.seconds[0])
            if day == wall.day and (time := self._time_from(wall.hour, wall.minute, wall.second)):
                return datetime(year, month, day, *time)
        return None

    def _time_from(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        """The first matching time of day at or after this one."""
        if hour in self.hours:
            if minute in self.minutes and (found := _at_least(self.seconds, second)) is not None:
                return hour, minute, found
            if (later := _at_least(self.minutes, minute + 1)) is not None:
                return hour, later, self.seconds[0]
        if (later := _at_least(self.hours, hour + 1)) is not None:
            return later, self.minutes[0], self.seconds[0]
        return None


def _at_least(values: Iterable[int], bound: int) -> int | None:
    return next((value for value in values if value >= bound), None)
