"""A schedule, and the instant when it fires next.

Cron speaks of wall-clock times. Where clocks change, some of those never come and some come twice, and each cron has
its own custom:

- Quartz (`ClockChanges.QUARTZ`): a time that the clock skips does not fire; a time that it shows twice fires once, the
  second time. The source is CronExpression.getTimeAfter: it keeps its place in a java.util.GregorianCalendar, which
  reads an ambiguous time as the later one (standard time), and whose hour, when set to one that does not exist, moves
  on to the next, where the expression no longer matches. Two consequences are Quartz's own and kept: an expression that
  fires every minute is silent during the first pass of the repeated hour, and a search that starts within that first
  pass goes on from the same wall-clock time in the second. Where Quartz loses its way (it can miss a time that does
  exist after a change of 30 minutes or two hours, or find none at all: quartz-scheduler/quartz, pull request 1517),
  the plain rule holds here.
- crontab (cron(8), as Debian and Vixie's successors document it): expressions that name their hours and minutes
  (`UNIX_FIXED`) fire as soon as the clock has skipped over their time, and once, the first time, when it comes twice.
  Those whose minute or hour begins with `*` (`UNIX_STAR`) follow real time: they fire in both passes of a repeated
  hour, and what the clock skips is not made up for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import Enum

from chalicelib.core.cron import quartz, unix
from chalicelib.core.cron.calendar import LAST_YEAR, Calendar
from chalicelib.core.cron.zones import Moment, check_zone, place, wall_at

_SECOND = timedelta(seconds=1)
_LAST_INSTANT = int((datetime(LAST_YEAR + 1, 1, 3) - datetime(1970, 1, 1)).total_seconds())


class ClockChanges(Enum):
    """What a schedule does where clocks change; the module's docstring has the rules."""

    QUARTZ = "quartz"
    UNIX_FIXED = "unix, at given times"
    UNIX_STAR = "unix, again and again"


@dataclass(frozen=True)
class Schedule:
    """A parsed cron expression. `text` is what the caller wrote."""

    text: str
    calendar: Calendar
    clock_changes: ClockChanges

    @staticmethod
    def parse_quartz(text: str, *, field: str = "quartz_cron_expression") -> Schedule:
        """Six or seven fields in Quartz's language. Raises Invalid with Quartz's own message; see `quartz.parse`."""
        return Schedule(text, quartz.parse(text, field=field), ClockChanges.QUARTZ)

    @staticmethod
    def parse_unix(text: str, *, field: str = "cronSchedule") -> Schedule:
        """Five fields in crontab's language, or a name such as `@daily`. Raises Invalid; see `unix.parse`."""
        calendar, star = unix.parse(text, field=field)
        return Schedule(text, calendar, ClockChanges.UNIX_STAR if star else ClockChanges.UNIX_FIXED)


def next_after(schedule: Schedule, instant_ms: int, zone_id: str) -> int | None:
    """The first fire strictly after an instant, both in milliseconds since the epoch; None if there is none by 2199.

    Schedules have a precision of one second: the answer is a whole second. Raises Invalid for an unknown zone.
    """
    zone = check_zone(zone_id)
    start = max(instant_ms // 1000 + 1, -2 * 86400)  # no zone is two days away from the first year that matches
    if start > _LAST_INSTANT:
        return None
    search = {
        ClockChanges.QUARTZ: _quartz,
        ClockChanges.UNIX_FIXED: _unix_fixed,
        ClockChanges.UNIX_STAR: _unix_star,
    }[schedule.clock_changes]
    found = search(schedule.calendar, start, zone)
    return None if found is None else found * 1000


def _quartz(calendar: Calendar, start: int, zone: tzinfo) -> int | None:
    wall = calendar.first_from(wall_at(start, zone))
    while wall is not None:
        moment = place(wall, zone)
        if moment.instants:
            return moment.instants[-1]
        wall = calendar.first_from(_end_of_gap(moment, zone))
    return None


def _unix_fixed(calendar: Calendar, start: int, zone: tzinfo) -> int | None:
    # When clocks go forward at `start` itself, what they skip is due now.
    wall = calendar.first_from(min(wall_at(start, zone), wall_at(start - 1, zone) + _SECOND))
    while wall is not None:
        moment = place(wall, zone)
        due = moment.instants[0] if moment.instants else moment.change
        if due is not None and due >= start:
            return due
        wall = calendar.first_from(_end_of_first_pass(moment, zone))
    return None


def _unix_star(calendar: Calendar, start: int, zone: tzinfo) -> int | None:
    begin = wall_at(start, zone)
    wall = calendar.first_from(begin)
    change = place(begin, zone).change
    if change is not None and change > start and (wall is None or wall >= wall_at(change - 1, zone) + _SECOND):
        wall = calendar.first_from(wall_at(change, zone))  # the first pass is over, and the second comes next
    while wall is not None:
        moment = place(wall, zone)
        due = next((instant for instant in moment.instants if instant >= start), None)
        if due is not None:
            return due
        wall = calendar.first_from(_end_of_gap(moment, zone))
    return None


def _end_of_gap(moment: Moment, zone: tzinfo) -> datetime:
    assert moment.change is not None
    return wall_at(moment.change, zone)


def _end_of_first_pass(moment: Moment, zone: tzinfo) -> datetime:
    """What the clock would show at the change, had it not been put back."""
    assert moment.change is not None
    return wall_at(moment.change - 1, zone) + _SECOND
