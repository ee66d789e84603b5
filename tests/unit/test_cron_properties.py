"""Cron against a slow reading of its rules, for random expressions, zones and instants.

The model below shares nothing with the engine: an expression is a tree, a field's term says of one value whether it
matches, a day is asked one by one, and where clocks change every minute (or every candidate offset) is tried.
`SPARKPLANE_EXAMPLES` raises the number of examples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.core.cron import Schedule, next_after
from chalicelib.core.errors import Invalid

EXAMPLES = int(os.environ.get("SPARKPLANE_EXAMPLES", "500"))


def examples(count: int) -> settings:
    return settings(
        max_examples=max(1, count),
        deadline=None,
        database=None,
        derandomize="SPARKPLANE_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )


@dataclass(frozen=True)
class Field:
    """One field: its text, and whether a value matches."""

    text: str
    matches: Callable[[int], bool]


@dataclass(frozen=True)
class Expression:
    text: str
    second: Field
    minute: Field
    hour: Field
    month: Field
    year: Field
    day: Callable[[date], bool]

    def times(self, day: date) -> Iterator[datetime]:
        """The matching wall-clock times of a day."""
        if not (self.year.matches(day.year) and self.month.matches(day.month) and self.day(day)):
            return
        for hour in filter(self.hour.matches, range(24)):
            for minute in filter(self.minute.matches, range(60)):
                for second in filter(self.second.matches, range(60)):
                    yield datetime(day.year, day.month, day.day, hour, minute, second)

    def at(self, wall: datetime) -> bool:
        """Whether a wall-clock time matches."""
        return (
            self.second.matches(wall.second)
            and self.minute.matches(wall.minute)
            and self.hour.matches(wall.hour)
            and self.month.matches(wall.month)
            and self.day(wall.date())
        )


# --- expressions as trees ------------------------------------------------------------------------------------------

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEK_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


@st.composite
def terms(draw: st.DrawFn, low: int, high: int, names: list[str]) -> Field:
    span = high - low + 1
    first, last = draw(st.integers(low, high)), draw(st.integers(low, high))
    step = draw(st.integers(1, min(span - 1, 31, high)))

    def walk(value: int) -> int:
        return (value - first) % span

    kind = draw(st.sampled_from(["value", "range", "from", "every nth", "slash", "range/step"]))
    if kind == "value":
        return Field(names[first - low] if names else str(first), lambda value: value == first)
    if kind == "range":
        text = f"{names[first - low]}-{names[last - low]}" if names else f"{first}-{last}"
        return Field(text, lambda value: walk(value) <= walk(last))
    if kind == "range/step":
        return Field(f"{first}-{last}/{step}", lambda value: walk(value) <= walk(last) and walk(value) % step == 0)
    if kind == "from":
        return Field(f"{first}/{step}", lambda value: value >= first and (value - first) % step == 0)
    return Field(f"{'*' if kind == 'every nth' else ''}/{step}", lambda value: (value - low) % step == 0)


@st.composite
def fields(draw: st.DrawFn, low: int, high: int, names: list[str] | None = None) -> Field:
    if draw(st.integers(0, 3)) == 0:
        return Field("*", lambda value: True)
    named = names if names and draw(st.booleans()) else []
    chosen = draw(st.lists(terms(low, high, named), min_size=1, max_size=3))
    return Field(",".join(term.text for term in chosen), lambda value: any(term.matches(value) for term in chosen))


def month_length(day: date) -> int:
    return ((day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)).day


def nearest_working_day(day: date, wanted: int) -> bool:
    """Whether `day` is the working day of its month nearest to the wanted one, if the month has that."""
    if not 1 <= wanted <= month_length(day):
        return False
    working = [n for n in range(1, month_length(day) + 1) if day.replace(day=n).weekday() < 5]
    return day.day == min(working, key=lambda n: abs(n - wanted))


@st.composite
def month_day_terms(draw: st.DrawFn) -> tuple[str, Callable[[date], bool]]:
    kind = draw(st.sampled_from(["plain", "plain", "L", "L-n", "W", "LW", "L-nW"]))
    n = draw(st.integers(1, 31)) if kind == "W" else draw(st.integers(0, 30))
    if kind == "plain":
        term = draw(terms(1, 31, []))
        return term.text, lambda day: term.matches(day.day)
    if kind in ("L", "L-n"):
        offset = n if kind == "L-n" else 0
        return (f"L-{n}" if offset or kind == "L-n" else "L"), lambda day: day.day == month_length(day) - offset
    if kind == "W":
        return f"{n}W", lambda day: nearest_working_day(day, n)
    offset = n if kind == "L-nW" else 0
    return (f"L-{n}W" if kind == "L-nW" else "LW"), lambda day: nearest_working_day(day, month_length(day) - offset)


def week_day(day: date) -> int:
    """1 is Sunday."""
    return day.isoweekday() % 7 + 1


@st.composite
def day_fields(draw: st.DrawFn) -> tuple[str, str, Callable[[date], bool]]:
    """The texts of both day fields, and which days match."""
    kind = draw(st.sampled_from(["every", "month", "month", "week", "last", "nth"]))
    if kind == "every":
        return *draw(st.sampled_from([("*", "?"), ("?", "*")])), lambda day: True
    if kind == "month":
        chosen = draw(st.lists(month_day_terms(), min_size=1, max_size=3))
        return ",".join(text for text, _ in chosen), "?", lambda day: any(match(day) for _, match in chosen)
    if kind == "week":
        field = draw(fields(1, 7, WEEK_DAYS))
        return "?", field.text, lambda day: field.matches(week_day(day))
    wanted, n = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    name = draw(st.sampled_from([str(wanted), WEEK_DAYS[wanted - 1]]))
    if kind == "last":
        return "?", f"{name}L", lambda day: week_day(day) == wanted and day.day > month_length(day) - 7
    return "?", f"{name}#{n}", lambda day: week_day(day) == wanted and (day.day + 6) // 7 == n


EVERY = Field("*", lambda value: True)
ZERO = Field("0", lambda value: value == 0)


@st.composite
def years(draw: st.DrawFn) -> Field:
    first, last, step = draw(st.integers(2020, 2030)), draw(st.integers(2030, 2199)), draw(st.integers(1, 9))
    every = Field(f"*/{step}", lambda value: (value - 1970) % step == 0)
    some = Field(f"{first}-{last}/{step}", lambda value: first <= value <= last and (value - first) % step == 0)
    from_first = Field(f"{first}/{step}", lambda value: value >= first and (value - first) % step == 0)
    either = Field(f"{first},{last}", lambda value: value in (first, last))
    return draw(st.sampled_from([EVERY, every, some, from_first, either]))


@st.composite
def quartz(draw: st.DrawFn) -> Expression:
    second = draw(st.one_of(st.just(ZERO), fields(0, 59)))
    minute, hour, month = draw(fields(0, 59)), draw(fields(0, 23)), draw(fields(1, 12, MONTHS))
    month_day, day_of_week, day = draw(day_fields())
    year = draw(st.one_of(st.just(Field("", EVERY.matches)), years()))
    text = f"{second.text} {minute.text} {hour.text} {month_day} {month.text} {day_of_week} {year.text}"
    text = draw(st.sampled_from([text, text.lower(), text.replace(" ", "  \t")]))
    return Expression(text, second, minute, hour, month, year, day)


# --- the slow search -----------------------------------------------------------------------------------------------


def wall_of(instant: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(instant, zone).replace(tzinfo=None, fold=0)


def instants_of(wall: datetime, zone: tzinfo) -> list[int]:
    """All instants at which a clock shows this time, found by trying the offsets in use around then."""
    as_utc = int(wall.replace(tzinfo=UTC).timestamp())
    nearby = [as_utc + hours * 3600 for hours in range(-30, 31, 3)]
    offsets = {int((wall_of(at, zone).replace(tzinfo=UTC)).timestamp()) - at for at in nearby}
    return sorted({as_utc - offset for offset in offsets if wall_of(as_utc - offset, zone) == wall})


def slow_quartz(expression: Expression, after: int, zone: tzinfo, days: int) -> int | None:
    """The next fire within so many days: day by day, time by time."""
    begin = wall_of(after + 1, zone)
    for n in range(days):
        for wall in expression.times(begin.date() + timedelta(days=n)):
            if wall >= begin and (instants := instants_of(wall, zone)):
                return instants[-1]
    return None


ZONES = ["UTC", "GMT+2", "Asia/Kolkata", "America/Los_Angeles", "Europe/Berlin", "Australia/Sydney", "America/Havana",
         "Africa/Cairo", "Australia/Lord_Howe", "Antarctica/Troll", "America/Santiago", "Europe/Dublin"]  # fmt: skip


def zone_of(name: str) -> tzinfo:
    return ZoneInfo("Etc/GMT-2" if name == "GMT+2" else name)


def clock_changes(name: str, first: int, last: int) -> list[int]:
    """The instants (to the hour) when a zone changes its clocks, first and last being years."""
    zone, found = zone_of(name), []
    begin, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (first, last))
    for day in range(begin, end, 86400):
        offsets = [datetime.fromtimestamp(at, zone).utcoffset() for at in range(day, day + 90000, 3600)]
        found += [day + 3600 * n for n in range(1, 25) if offsets[n] != offsets[n - 1]]
    return found


CHANGES = {name: clock_changes(name, 2023, 2028) for name in ZONES}


@st.composite
def places(draw: st.DrawFn) -> tuple[str, int]:
    """A zone and an instant, often near a change of its clocks."""
    name = draw(st.sampled_from(ZONES))
    if CHANGES[name] and draw(st.booleans()):
        return name, draw(st.sampled_from(CHANGES[name])) + draw(st.integers(-9000, 9000))
    return name, draw(st.integers(1600000000, 1900000000))


DAYS = 400


@examples(EXAMPLES)
@given(quartz(), places(), st.integers(0, 999))
def test_quartz_agrees_with_the_slow_search(expression: Expression, place: tuple[str, int], ms: int) -> None:
    name, after = place
    zone = zone_of(name)
    found = next_after(Schedule.parse_quartz(expression.text), after * 1000 + ms, name)
    expected = slow_quartz(expression, after, zone, DAYS)
    if expected is not None:
        assert found == expected * 1000
    elif found is not None:
        assert wall_of(found // 1000, zone).date() >= wall_of(after, zone).date() + timedelta(days=DAYS)
        assert expression.at(wall_of(found // 1000, zone))
        assert expression.year.matches(wall_of(found // 1000, zone).year)


# --- crontab where clocks change: a daemon that wakes up every minute ------------------------------------------------


def daemon(expression: Expression, after: int, zone: tzinfo, star: bool) -> int | None:
    """What cron(8) does, minute by minute, in the three days after an instant."""
    begin = after // 60 * 60 - 2 * 86400
    latest = wall_of(begin, zone) - timedelta(minutes=1)
    for now in range(begin, begin + 5 * 86400, 60):
        wall = wall_of(now, zone)
        if star:
            due = expression.at(wall)
        else:
            minutes = int((wall - latest).total_seconds() // 60)  # more than one when the clock skipped some
            due = any(expression.at(wall - timedelta(minutes=n)) for n in range(max(0, minutes)))
        latest = max(latest, wall)
        if due and now > after:
            return now
    return None


@st.composite
def small_hours(draw: st.DrawFn) -> Field:
    hours = draw(st.sets(st.integers(0, 4), min_size=1, max_size=3))
    return Field(",".join(map(str, hours)), lambda value: value in hours)


@st.composite
def crontab(draw: st.DrawFn) -> tuple[Expression, bool]:
    minute, hour = (
        Field(",".join(f"*{term}" if term.startswith("/") else term for term in field.text.split(",")), field.matches)
        for field in (draw(fields(0, 59)), draw(st.one_of(fields(0, 23), small_hours())))
    )
    text = f"{minute.text} {hour.text} * * *"
    return Expression(text, ZERO, minute, hour, EVERY, EVERY, lambda day: True), "*" in (minute.text[0], hour.text[0])


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, int]:
    name = draw(st.sampled_from([zone for zone in ZONES if CHANGES[zone]]))
    return name, draw(st.sampled_from(CHANGES[name])) + draw(st.integers(-90000, 9000))


@examples(EXAMPLES // 5)
@given(crontab(), changes())
def test_crontab_agrees_with_a_daemon_that_wakes_every_minute(
    entry: tuple[Expression, bool], place: tuple[str, int]
) -> None:
    (expression, star), (name, after) = entry, place
    expected = daemon(expression, after, zone_of(name), star)
    assert expected is not None
    assert next_after(Schedule.parse_unix(expression.text), after * 1000, name) == expected * 1000


# --- what is not an expression -------------------------------------------------------------------------------------

SEEDS = ["0 15 10 ? * MON-FRI", "0 0/5 14,18 L-3W * ?", "0 0 12 1/5 NOV-FEB ? 2020-2030", "* * 22-2 ? 3 6#3", "@daily",
         "5 4 * * sun", "0 0 15W * 5L", "0 0 12 LW 1 ? 1970/3", "59 59 23 31 12 ? 2199"]  # fmt: skip
SCRAPS = st.sampled_from([*"0123456789*/,-?#LWlw \t\n@AZé٣²\x00+.", "99", "98", "MON", "JAN", "L-", "#5", "2147483648"])


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        at, cut = draw(st.integers(0, len(text))), draw(st.integers(0, 2))
        text = text[:at] + draw(SCRAPS) + text[at + cut :]
    return text


@examples(EXAMPLES)
@given(st.lists(mutated(), min_size=10, max_size=10), st.integers(-(2**40), 2**43))
def test_whatever_is_sent_it_is_a_schedule_or_invalid(texts: list[str], after: int) -> None:
    for text in texts:
        for parse in (Schedule.parse_quartz, Schedule.parse_unix):
            try:
                schedule = parse(text)
            except Invalid as invalid:
                assert invalid.message and len(invalid.message) < 300
                continue
            found = next_after(schedule, after, "Europe/Berlin")
            assert found is None or found > after
