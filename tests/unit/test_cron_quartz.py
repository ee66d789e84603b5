"""Quartz expressions: the tutorial's examples, what Quartz lets pass, and what it says of the rest."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chalicelib.core.cron import Schedule, next_after
from chalicelib.core.errors import Invalid

START = "2005-01-01 00:00:00"  # a Saturday


def fires(text: str, count: int, start: str = START, zone: str = "UTC") -> list[str]:
    """The next fires as the zone's wall clock would show them in UTC notation; ends early when there are no more."""
    schedule, found = Schedule.parse_quartz(text), []
    at: int | None = int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp() * 1000) - 1
    for _ in range(count):
        assert at is not None
        at = next_after(schedule, at, zone)
        if at is None:
            return [*found, "never"]
        found.append(datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00"))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 12 * * ?", ["2005-01-01 12:00", "2005-01-02 12:00"]),
        ("0 15 10 ? * *", ["2005-01-01 10:15", "2005-01-02 10:15"]),
        ("0 15 10 * * ?", ["2005-01-01 10:15", "2005-01-02 10:15"]),
        ("0 15 10 * * ? *", ["2005-01-01 10:15", "2005-01-02 10:15"]),
        ("0 15 22 * * ?", ["2005-01-01 22:15", "2005-01-02 22:15"]),
        ("0 * 14 * * ?", ["2005-01-01 14:00", "2005-01-01 14:01"]),
        ("0 45/5 14 * * ?", ["2005-01-01 14:45", "2005-01-01 14:50", "2005-01-01 14:55", "2005-01-02 14:45"]),
        ("0 0/30 14,18 * * ?", ["2005-01-01 14:00", "2005-01-01 14:30", "2005-01-01 18:00", "2005-01-01 18:30"]),
        ("0 0-1 14 * * ?", ["2005-01-01 14:00", "2005-01-01 14:01", "2005-01-02 14:00"]),
        ("0 10,44 14 ? 3 WED", ["2005-03-02 14:10", "2005-03-02 14:44", "2005-03-09 14:10"]),
        ("0 15 10 ? * MON-FRI", ["2005-01-03 10:15", "2005-01-04 10:15"]),
        ("0 15 10 15 * ?", ["2005-01-15 10:15", "2005-02-15 10:15"]),
        ("0 15 10 L * ?", ["2005-01-31 10:15", "2005-02-28 10:15", "2005-03-31 10:15", "2005-04-30 10:15"]),
        ("0 15 10 L-2 * ?", ["2005-01-29 10:15", "2005-02-26 10:15"]),
        ("0 15 10 ? * 6L", ["2005-01-28 10:15", "2005-02-25 10:15"]),
        ("0 15 10 ? * 6#3", ["2005-01-21 10:15", "2005-02-18 10:15"]),
        ("0 0 12 26/5 * ?", ["2005-01-26 12:00", "2005-01-31 12:00", "2005-02-26 12:00", "2005-03-26 12:00"]),
        ("0 11 11 11 11 ?", ["2005-11-11 11:11", "2006-11-11 11:11"]),
    ],
)
def test_the_tutorials_examples_fire_as_it_says(text: str, expected: list[str]) -> None:
    assert fires(text, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 0 15W 1,5,6 ?", ["2005-01-14 00:00", "2005-05-16 00:00", "2005-06-15 00:00"]),
        ("0 0 0 1W * ?", ["2005-01-03 00:00", "2005-02-01 00:00"]),
        ("0 0 0 31W * ?", ["2005-01-31 00:00", "2005-03-31 00:00", "2005-05-31 00:00", "2005-07-29 00:00"]),
        ("0 0 0 LW * ?", ["2005-01-31 00:00", "2005-02-28 00:00", "2005-03-31 00:00", "2005-04-29 00:00"]),
        ("0 0 0 L-3W * ?", ["2005-01-28 00:00", "2005-02-25 00:00", "2005-03-28 00:00"]),
        ("0 0 0 L,15,1W 1 ?", ["2005-01-03 00:00", "2005-01-15 00:00", "2005-01-31 00:00"]),
        ("0 0 0 L-30 * ?", ["2005-01-01 00:00", "2005-03-01 00:00"]),
        ("0 0 0 ? * 6#5", ["2005-04-29 00:00", "2005-07-29 00:00"]),
        ("0 0 0 ? * L", ["2005-01-01 00:00", "2005-01-08 00:00"]),
        ("0 0 0 ? * FRI-MON", ["2005-01-01 00:00", "2005-01-02 00:00", "2005-01-03 00:00", "2005-01-07 00:00"]),
        ("0 0 22-2/2 * * ?", ["2005-01-01 00:00", "2005-01-01 02:00", "2005-01-01 22:00", "2005-01-02 00:00"]),
        ("0 0 0 1 NOV-FEB ?", ["2005-01-01 00:00", "2005-02-01 00:00", "2005-11-01 00:00", "2005-12-01 00:00"]),
        ("0 0 0 29 2 ?", ["2008-02-29 00:00", "2012-02-29 00:00"]),
        ("0 0 0 29 2 ? 2100-2199", ["2104-02-29 00:00"]),
        ("58/1 59 23 31 12 ? 2199", ["2199-12-31 23:59:58", "2199-12-31 23:59:59", "never"]),
        ("0 0 0 ? jan mon#1", ["2005-01-03 00:00", "2006-01-02 00:00"]),
        ("0 0 0 ? * friL", ["2005-01-28 00:00", "2005-02-25 00:00"]),
        ("0\t0  0 1 1 ? 2006/2", ["2006-01-01 00:00", "2008-01-01 00:00"]),
    ],
)
def test_every_special_character_means_what_the_tutorial_says(text: str, expected: list[str]) -> None:
    assert fires(text, len(expected)) == expected


@pytest.mark.parametrize(
    "text", ["0 0 0 31 2 ?", "0 0 0 30 2 ?", "0 15 10 * * ? 2004", "0 0 0 1 1 ? 2200", "0 0 0 0W * ?", "0 0 0 31 4 ? *"]
)
def test_a_schedule_that_never_fires_again_says_so(text: str) -> None:
    assert fires(text, 1) == ["never"]


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("0 0 12 ? * MONDAY", "0 0 12 ? * 2"),
        ("0 0 12 ? january mon-friday", "0 0 12 ? 1 2-6"),
        ("0 0 12 ? * MON/2", "0 0 12 ? * MON"),
        ("0 0 12x * * ?", "0 0 12 * * ?"),
        ("0 0,,30 12 * * ?", "0 0,30 12 * * ?"),
        ("0 /20 12 * * ?", "0 0/20 12 * * ?"),
        ("0 5/0 12 * * ?", "0 5 12 * * ?"),
        ("0 */0 12 * * ?", "0 * 12 * * ?"),
        ("0 0 12 L-W * ?", "0 0 12 LW * ?"),
        ("0 0 12 5-0 * ?", "0 0 12 5-31 * ?"),
        ("0 0 12 ? * 2#1,4", "0 0 12 ? * 2#1"),
        ("0 0 12 ?,4 * TUE", "0 0 12 ? * TUE"),
        ("00 000 012 * * ?", "0 0 12 * * ?"),
    ],
)
def test_what_quartz_reads_leniently_is_read_alike(text: str, same_as: str) -> None:
    assert Schedule.parse_quartz(text).calendar == Schedule.parse_quartz(same_as).calendar


W_TOO_LARGE = "The 'W' option does not make sense with values larger than 31 (max number of days in a month)"
BOTH = "Support for specifying both a day-of-week AND a day-of-month parameter is not implemented."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Unexpected end of expression."),
        ("0 0 12 * *", "Unexpected end of expression."),
        ("0 0 12 * * ? * *", "Invalid expression has too many terms: 0 0 12 * * ? * *"),
        ("0 0 12 * * *", BOTH),
        ("0 30 2,7,11,15 * * *", BOTH),
        ("0 0 12 15 * MON", BOTH),
        ("0 0 12 ? * ?", "'?' can only be specified for Day-of-Month -OR- Day-of-Week."),
        ("? 0 12 * * ?", "'?' can only be specified for Day-of-Month or Day-of-Week."),
        ("0 0 12 ?15 * MON", "Illegal character after '?': 1"),
        ("60 0 12 * * ?", "Minute and Second values must be between 0 and 59"),
        ("0 0-60 12 * * ?", "Minute and Second values must be between 0 and 59"),
        ("0 99 12 * * ?", "Minute and Second values must be between 0 and 59"),
        ("0 0 24 * * ?", "Hour values must be between 0 and 23"),
        ("0 0 12 0 * ?", "Day of month values must be between 1 and 31"),
        ("0 0 12 32 * ?", "Day of month values must be between 1 and 31"),
        ("0 0 12 98 * MON", "Day of month values must be between 1 and 31"),
        ("0 0 12 * 13 ?", "Month values must be between 1 and 12"),
        ("0 0 12 ? * 0", "Day-of-Week values must be between 1 and 7"),
        ("0 0 12 ? * 8", "Day-of-Week values must be between 1 and 7"),
        ("0 0 12 ? * 8L", "Day-of-Week values must be between 1 and 7"),
        ("0 0 12 ? * 9#1", "Day-of-Week values must be between 1 and 7"),
        ("*/60 0 12 * * ?", "Increment >= 60 : 60"),
        ("0 0/120 12 * * ?", "Increment >= 60 : 120"),
        ("0 0 */24 * * ?", "Increment >= 24 : 24"),
        ("0 0 0 1/32 * ?", "Increment >= 31 : 32"),
        ("0 0 0 1 */13 ?", "Increment >= 12 : 13"),
        ("0 0 0 ? * 2/8", "Increment >= 7 : 8"),
        ("0 / 12 * * ?", "'/' must be followed by an integer."),
        ("0 0/ 12 * * ?", "'/' must be followed by an integer."),
        ("0 */ 12 * * ?", "Unexpected end of string."),
        ("0 0/5x 12 * * ?", "Unexpected character 'X' after '/'"),
        ("0 -5 12 * * ?", "Unexpected character: -"),
        ("0 0 12 $ * ?", "Unexpected character: $"),
        ("L 0 12 * * ?", "'L' not expected in seconds, minutes or hours fields."),
        ("0 0 5L * * ?", "'L' option is not valid here. (pos=1)"),
        ("0 0 12 15L * ?", "'L' option is not valid here. (pos=2)"),
        ("0 0 5W * * ?", "'W' option is not valid here. (pos=1)"),
        ("0 0 12 32W * ?", W_TOO_LARGE),
        ("0 0 12 L-31 * ?", "Offset from last day must be <= 30"),
        ("0 0 12 6#3 * ?", "'#' option is not valid here. (pos=1)"),
        ("0 0 12 ? * 6#6", "A numeric value between 1 and 5 must follow the '#' option"),
        ("0 0 12 ? * FRI#", "A numeric value between 1 and 5 must follow the '#' option"),
        ("0 0 12 ? * 3#1,6#3", 'Support for specifying multiple "nth" days is not implemented.'),
        ("0 0 12 ? * 2,6L", "Support for specifying 'L' with other days of the week is not implemented"),
        ("0 0 12 1 FOO ?", "Invalid Month value: 'FOO'"),
        ("0 0 12 ? * FOO", "Invalid Day-of-Week value: 'FOO'"),
        ("0 0 12 ? * MON-FOO", "Invalid Day-of-Week value: 'FOO'"),
        ("every day at noon sharp ?", "Illegal characters for this position: 'EVE'"),
        ("0 0 12 L-3X * ?", "Illegal characters for this position: 'L-3'"),
        ("A 0 12 * * ?", "Illegal cron expression format ('A' is too short for a name)"),
        ("0 0-MON 12 * * ?", "Illegal cron expression format (a number is missing in '0-MON')"),
        ("0 0 12 L- * ?", "Illegal cron expression format (a number must follow 'L-')"),
        ("0 */x 12 * * ?", "Illegal cron expression format ('X' is not a number)"),
        ("0 0 12 1 1 ? 2010-2005", "Illegal cron expression format (Start year must be less than stop year)"),
        ("0 99999999999 12 * * ?", "Illegal cron expression format ('99999999999' is not a number)"),
        ("0 , 12 * * ?", "Unexpected end of expression."),
        ("0 0 12 1 L ?", "Unexpected end of expression."),
        ("0 " * 3000, "The expression is longer than 4000 characters."),
    ],
)
def test_a_wrong_expression_is_refused_in_quartzs_words(text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        Schedule.parse_quartz(text)
    assert caught.value.message == message
    assert caught.value.field == "quartz_cron_expression"


def test_the_answer_is_strictly_later_and_a_whole_second() -> None:
    every_second = Schedule.parse_quartz("* * * * * ?")
    assert [next_after(every_second, ms, "UTC") for ms in (0, 1, 999, 1000)] == [1000, 1000, 1000, 2000]


def test_any_present_is_a_possible_one() -> None:
    yearly = Schedule.parse_quartz("0 0 0 1 1 ?")
    assert next_after(yearly, -(10**18), "America/Los_Angeles") == 8 * 3600 * 1000
    assert next_after(yearly, 10**18, "America/Los_Angeles") is None
