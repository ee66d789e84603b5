"""crontab expressions: the language, its refusals, and agreement with croniter."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest
from croniter import CroniterBadDateError, croniter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.core.cron import Schedule, next_after
from chalicelib.core.errors import Invalid

EXAMPLES = int(os.environ.get("SPARKPLANE_EXAMPLES", "500"))
START = datetime(2005, 1, 1, tzinfo=UTC)  # a Saturday


def fires(text: str, count: int) -> list[str]:
    schedule, at = Schedule.parse_unix(text), int(START.timestamp() * 1000) - 1
    found = []
    for _ in range(count):
        after = next_after(schedule, at, "UTC")
        assert after is not None
        at = after
        found.append(datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/20 * * * *", ["2005-01-01 00:00", "2005-01-01 00:20", "2005-01-01 00:40", "2005-01-01 01:00"]),
        ("5/30 4 * * *", ["2005-01-01 04:05", "2005-01-01 04:35", "2005-01-02 04:05"]),
        ("0 22-2/2 * * *", ["2005-01-01 00:00", "2005-01-01 02:00", "2005-01-01 22:00"]),
        ("0 0 * * 7", ["2005-01-02 00:00", "2005-01-09 00:00"]),
        ("0 0 * * Fri-Mon", ["2005-01-01 00:00", "2005-01-02 00:00", "2005-01-03 00:00", "2005-01-07 00:00"]),
        ("0 0 * JAN,feb 1-5", ["2005-01-03 00:00", "2005-01-04 00:00"]),
        ("0 0 10 * 3", ["2005-01-05 00:00", "2005-01-10 00:00", "2005-01-12 00:00"]),
        ("0 0 */10 * 1", ["2005-01-31 00:00", "2005-02-21 00:00"]),
        ("0 0 ? * 1", ["2005-01-03 00:00", "2005-01-10 00:00"]),
        ("0 0 L * *", ["2005-01-31 00:00", "2005-02-28 00:00"]),
        ("0 0 L-2,15W * *", ["2005-01-14 00:00", "2005-01-29 00:00", "2005-02-15 00:00"]),
        ("0 0 LW * *", ["2005-01-31 00:00", "2005-02-28 00:00", "2005-03-31 00:00", "2005-04-29 00:00"]),
        ("0 0 * * 5L", ["2005-01-28 00:00", "2005-02-25 00:00"]),
        ("0 0 * * fri#3,1#1", ["2005-01-03 00:00", "2005-01-21 00:00", "2005-02-07 00:00"]),
        ("@daily", ["2005-01-01 00:00", "2005-01-02 00:00"]),
        (" @Hourly ", ["2005-01-01 00:00", "2005-01-01 01:00"]),
        ("@weekly", ["2005-01-02 00:00", "2005-01-09 00:00"]),
        ("@monthly", ["2005-01-01 00:00", "2005-02-01 00:00"]),
        ("@yearly", ["2005-01-01 00:00", "2006-01-01 00:00"]),
    ],
)
def test_crontab_entries_fire_when_the_manual_says(text: str, expected: list[str]) -> None:
    assert fires(text, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cronSchedule: a cron schedule has 5 fields (minute hour day month weekday), this one has 0."),
        ("0 0 12 * * ?", "cronSchedule: a cron schedule has 5 fields (minute hour day month weekday), this one has 6."),
        ("60 0 * * *", "cronSchedule: 60 is no minute: 0 to 59 are."),
        ("0 24 * * *", "cronSchedule: 24 is no hour: 0 to 23 are."),
        ("0 0 0 * *", "cronSchedule: 0 is no day of month: 1 to 31 are."),
        ("0 0 1 13 *", "cronSchedule: 13 is no month: 1 to 12 are."),
        ("0 0 * * 8", "cronSchedule: 8 is no day of week: 0 to 7 are."),
        ("0 0 * foo *", "cronSchedule: 'foo' is no month."),
        ("mon 0 * * *", "cronSchedule: 'mon' is no minute."),
        ("*/0 * * * *", "cronSchedule: '*/0': a step cannot be 0."),
        ("1,,2 * * * *", "cronSchedule: '1,,2' has an empty part; it is no minute."),
        ("-5 * * * *", "cronSchedule: '-5' is no minute."),
        ("0 0 * * 5#6", "cronSchedule: '5#6': after # stands a number between 1 and 5."),
        ("0 0 L-31 * *", "cronSchedule: 'l-31' is before the first day of every month."),
        ("L 0 * * *", "cronSchedule: 'l' is no minute."),
    ],
)
def test_a_wrong_entry_is_refused_with_the_part_at_fault(text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        Schedule.parse_unix(text)
    assert (caught.value.message, caught.value.field) == (message, "cronSchedule")


@pytest.mark.parametrize("text", ["@reboot", "@every 5m", "@", "TZ=UTC 0 0 * * *", "٣ * * * *", "0 " * 2000])
def test_what_has_no_place_in_a_schedule_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Schedule.parse_unix(text)


def terms(low: int, high: int) -> st.SearchStrategy[str]:
    value = st.integers(low, high)
    pair = st.sets(value, min_size=2, max_size=2).map(sorted)  # croniter takes `0-0` for the whole week
    return st.one_of(
        value.map(str),
        st.integers(1, 9).map("*/{}".format),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.tuples(pair, st.integers(1, 9)).map(lambda t: f"{t[0][0]}-{t[0][1]}/{t[1]}"),
    )


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    return st.one_of(st.just("*"), terms(low, high), st.lists(terms(low, high), min_size=2, max_size=3).map(",".join))


ENTRIES = st.tuples(fields(0, 59), fields(0, 23), fields(1, 31), fields(1, 12), fields(0, 6)).map(" ".join)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="SPARKPLANE_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(ENTRIES, st.integers(0, 2**32))
def test_croniter_agrees(text: str, start: int) -> None:
    # implement_cron_bug: a day field such as `*/2` counts as unrestricted, as in crontab(5)
    try:
        expected = int(croniter(text, start, implement_cron_bug=True).get_next(float)) * 1000
    except CroniterBadDateError:  # croniter gives up on days that never come, such as 31 February
        expected = None
    found = next_after(Schedule.parse_unix(text), start * 1000, "UTC")
    if expected is not None:
        assert found == expected
    elif found is not None:
        assert found - start * 1000 > 365 * 86400 * 1000
