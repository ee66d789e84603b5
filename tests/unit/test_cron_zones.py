"""Time zone ids as Java clients send them, and schedules where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chalicelib.core.cron import Schedule, check_zone, next_after
from chalicelib.core.errors import Invalid

JULY = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone_id", "offset"),
    [
        ("America/Los_Angeles", "-0700"),
        ("US/Pacific", "-0700"),
        ("PST", "-0700"),
        ("EST", "-0500"),
        ("EST5EDT", "-0400"),
        ("UTC", "+0000"),
        ("GMT", "+0000"),
        ("Z", "+0000"),
        ("GMT+2", "+0200"),
        ("GMT-3:30", "-0330"),
        ("GMT+0530", "+0530"),
        ("UTC+2", "+0200"),
        ("+02:00", "+0200"),
        ("Etc/GMT+2", "-0200"),
        ("IST", "+0530"),
        ("CTT", "+0800"),
        ("America/Argentina/Buenos_Aires", "-0300"),
    ],
)
def test_java_time_zone_ids_are_known(zone_id: str, offset: str) -> None:
    assert JULY.astimezone(check_zone(zone_id)).strftime("%z") == offset


@pytest.mark.parametrize(
    "zone_id",
    [
        "", " ", "Mars/Olympus", "america/los_angeles", "America", "GMT+", "GMT+24", "GMT+2:75", "UTC 2", "UTC\n",
        "../../etc/passwd", "/etc/localtime", "right/UTC", "posixrules", "localtime", "Factory", "zone.tab", "\x00",
        "A/" * 5000, "é", "Local", "SystemV/EST5EDT",
    ],
)  # fmt: skip
def test_an_unknown_time_zone_is_refused_by_the_name_of_its_field(zone_id: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_zone(zone_id, field="cronTimeZone")
    assert caught.value.field == "cronTimeZone"
    assert caught.value.message.startswith("cronTimeZone: ") and len(caught.value.message) < 300


def fires(schedule: Schedule, zone: str, start: str, count: int) -> list[str]:
    """The next fires after a local time with offset, as local times with their offset."""
    at: int | None = int(datetime.fromisoformat(start).timestamp() * 1000)
    found = []
    for _ in range(count):
        assert at is not None
        at = next_after(schedule, at, zone)
        assert at is not None
        found.append(datetime.fromtimestamp(at / 1000, check_zone(zone)).strftime("%m-%d %H:%M%z").removesuffix("00"))
    return found


NEW_YORK = "America/New_York"  # forward on 8 March 2026 at 2:00, back on 1 November 2026 at 2:00


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("0 30 2 * * ?", "2026-03-07T12:00-05:00", ["03-09 02:30-04", "03-10 02:30-04"]),
        ("0 0/30 * * * ?", "2026-03-08T01:00-05:00", ["03-08 01:30-05", "03-08 03:00-04", "03-08 03:30-04"]),
        ("0 0 2-4 * * ?", "2026-03-08T01:00-05:00", ["03-08 03:00-04", "03-08 04:00-04", "03-09 02:00-04"]),
        ("0 30 1 * * ?", "2026-10-31T12:00-04:00", ["11-01 01:30-05", "11-02 01:30-05"]),
        ("0 0/30 * * * ?", "2026-11-01T00:00-04:00", ["11-01 00:30-04", "11-01 01:00-05", "11-01 01:30-05"]),
        ("0 0/20 * * * ?", "2026-11-01T01:10-04:00", ["11-01 01:20-05", "11-01 01:40-05"]),
        ("0 0/20 * * * ?", "2026-11-01T01:10-05:00", ["11-01 01:20-05", "11-01 01:40-05"]),
    ],
)
def test_quartz_skips_what_the_clock_skips_and_takes_the_later_of_two(
    text: str, start: str, expected: list[str]
) -> None:
    assert fires(Schedule.parse_quartz(text), NEW_YORK, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("30 2 * * *", "2026-03-07T12:00-05:00", ["03-08 03:00-04", "03-09 02:30-04"]),
        ("0,30 2,3 * * *", "2026-03-07T12:00-05:00", ["03-08 03:00-04", "03-08 03:30-04", "03-09 02:00-04"]),
        ("30 1 * * *", "2026-10-31T12:00-04:00", ["11-01 01:30-04", "11-02 01:30-05"]),
        ("30 1,2 * * *", "2026-11-01T01:10-05:00", ["11-01 02:30-05", "11-02 01:30-05"]),
    ],
)
def test_a_crontab_entry_with_given_times_runs_once_where_clocks_change(
    text: str, start: str, expected: list[str]
) -> None:
    assert fires(Schedule.parse_unix(text), NEW_YORK, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("*/30 * * * *", "2026-03-08T01:00-05:00", ["03-08 01:30-05", "03-08 03:00-04", "03-08 03:30-04"]),
        ("30 * * * *", "2026-11-01T00:00-04:00", ["11-01 00:30-04", "11-01 01:30-04", "11-01 01:30-05"]),
        ("*/30 * * * *", "2026-11-01T01:40-04:00", ["11-01 01:00-05", "11-01 01:30-05", "11-01 02:00-05"]),
        ("*/30 1 * * *", "2026-11-01T01:40-05:00", ["11-02 01:00-05", "11-02 01:30-05"]),
    ],
)
def test_a_crontab_entry_with_a_star_follows_real_time(text: str, start: str, expected: list[str]) -> None:
    assert fires(Schedule.parse_unix(text), NEW_YORK, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "zone", "start", "expected"),
    [
        ("0 0 0 * * ?", "America/Havana", "2026-03-07T12:00-05:00", ["03-09 00:00-04", "03-10 00:00-04"]),
        ("0 10,35 * * * ?", "Australia/Lord_Howe", "2026-10-04T01:20+10:30", ["10-04 01:35+1030", "10-04 02:35+11"]),
        ("0 0 * * * ?", "Antarctica/Troll", "2026-03-29T00:00+00:00", ["03-29 03:00+02", "03-29 04:00+02"]),
        ("0 0 12 * * ?", "Pacific/Apia", "2011-12-29T00:00-10:00", ["12-29 12:00-10", "12-31 12:00+14"]),
    ],
)
def test_clocks_that_change_at_midnight_or_by_an_odd_amount_lose_no_time_that_exists(
    text: str, zone: str, start: str, expected: list[str]
) -> None:
    assert fires(Schedule.parse_quartz(text), zone, start, len(expected)) == expected
