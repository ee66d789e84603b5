"""Time zone ids, and how wall-clock times and instants meet where clocks change.

Instants are whole seconds since the epoch here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from chalicelib.core.errors import Invalid

_EPOCH = datetime(1970, 1, 1)

# `GMT+2`, `GMT-03:30`, `GMT+0530` (java.util.TimeZone), and with UTC, UT or no prefix (java.time.ZoneId).
_OFFSET = re.compile(r"(?:GMT|UTC|UT)?(?P<sign>[+-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d{2}))?", re.ASCII)
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*", re.ASCII)
_MAX_OFFSET = timedelta(hours=18)

# Files of the time zone database's directory that are not zones to Java: copies that count leap seconds, and markers.
_NOT_ZONES = ("right/", "posix/", "posixrules", "localtime", "Factory")

# The ids of JDK 1.1 that are no zones in the database, with what java.util.TimeZone makes of them.
_SHORT_IDS = {
    "ACT": "Australia/Darwin",
    "AET": "Australia/Sydney",
    "AGT": "America/Argentina/Buenos_Aires",
    "ART": "Africa/Cairo",
    "AST": "America/Anchorage",
    "BET": "America/Sao_Paulo",
    "BST": "Asia/Dhaka",
    "CAT": "Africa/Harare",
    "CNT": "America/St_Johns",
    "CST": "America/Chicago",
    "CTT": "Asia/Shanghai",
    "EAT": "Africa/Addis_Ababa",
    "ECT": "Europe/Paris",
    "IET": "America/Indiana/Indianapolis",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "MIT": "Pacific/Apia",
    "NET": "Asia/Yerevan",
    "NST": "Pacific/Auckland",
    "PLT": "Asia/Karachi",
    "PNT": "America/Phoenix",
    "PRT": "America/Puerto_Rico",
    "PST": "America/Los_Angeles",
    "SST": "Pacific/Guadalcanal",
    "VST": "Asia/Ho_Chi_Minh",
    "US/Pacific-New": "America/Los_Angeles",
}
_ZERO = frozenset({"Z", "UT", "UTC", "GMT"})


def check_zone(zone_id: str, *, field: str = "timezone_id") -> tzinfo:
    """The rules of a Java time zone id. Raises Invalid, naming `field`, for an id that Java does not know.

    Known are the region ids of the time zone database (`America/Los_Angeles`, `US/Pacific`, `EST`, `Etc/GMT+2`, the
    case of letters matters), the three-letter ids of JDK 1.1, and fixed offsets as java.util.TimeZone (`GMT+2`,
    `GMT-03:30`) and java.time.ZoneId (`UTC+2`, `+02:00`, `Z`) write them. Java's TimeZone.getTimeZone silently turns
    an unknown id into GMT; here it is an error, because a job that runs at the wrong hour helps nobody.
    """
    zone = _zone(zone_id)
    if zone is None:
        message = f"{field}: {zone_id[:100]!r} is not a time zone id such as America/Los_Angeles, UTC or GMT+2."
        raise Invalid(message, field=field)
    return zone


@lru_cache(maxsize=256)
def _zone(zone_id: str) -> tzinfo | None:
    if zone_id in _ZERO:
        return UTC
    if match := _OFFSET.fullmatch(zone_id):
        offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"] or 0))
        if int(match["minutes"] or 0) > 59 or offset > _MAX_OFFSET:
            return None
        return timezone(offset if match["sign"] == "+" else -offset)
    if len(zone_id) > 64 or not _ID.fullmatch(zone_id) or zone_id.startswith(_NOT_ZONES):
        return None
    try:
        return ZoneInfo(_SHORT_IDS.get(zone_id, zone_id))
    except (LookupError, ValueError, OSError):  # unknown; a file that is not a zone; a directory such as `America`
        return None


def wall_at(instant: int, zone: tzinfo) -> datetime:
    """What a clock in the zone shows at an instant."""
    return (_EPOCH + timedelta(seconds=instant)).replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None, fold=0)


@dataclass(frozen=True)
class Moment:
    """A wall-clock time placed in a zone: the instants when a clock shows it, and the clock change it falls into.

    One instant as a rule and no change; two where clocks were put back over it; none where they were put forward.
    """

    instants: tuple[int, ...]
    change: int | None = None


def place(wall: datetime, zone: tzinfo) -> Moment:
    """The instants of a wall-clock time. `fold` is Python's way to ask for both sides of a clock change (PEP 495)."""
    seconds = _seconds(wall - _EPOCH)
    before = seconds - _seconds(wall.replace(tzinfo=zone, fold=0).utcoffset())
    after = seconds - _seconds(wall.replace(tzinfo=zone, fold=1).utcoffset())
    if before == after:
        return Moment((before,))
    if before < after:
        return Moment((before, after), _change_between(before, after, zone))
    return Moment((), _change_between(after, before, zone))


def _change_between(low: int, high: int, zone: tzinfo) -> int:
    """The first instant in (low, high] that has the offset of `high`; the two lie on both sides of one change."""
    offset = _offset_at(high, zone)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset_at(middle, zone) == offset else (middle, high)
    return high


def _offset_at(instant: int, zone: tzinfo) -> int:
    return _seconds(wall_at(instant, zone) - _EPOCH) - instant


def _seconds(delta: timedelta | None) -> int:
    return 0 if delta is None else delta.days * 86400 + delta.seconds
