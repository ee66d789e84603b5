"""The one cron engine: when does a schedule fire next?

Everything that repeats goes through here, whichever dialect asked for it. `Schedule.parse_quartz` reads the six or
seven fields of Quartz (Databricks), `Schedule.parse_unix` the five of crontab (Starburst); both give a Schedule, and
`next_after` walks it in the caller's time zone. The parts, from the text down:

- `quartz`, `unix`: text to Calendar, with the messages that their users know;
- `calendar`: which wall-clock times match, with no notion of a time zone;
- `zones`: time zone ids, and how wall-clock times and instants meet where clocks change;
- `schedule`: the two put together, and the rules for clock changes.

Pure: no clock and no I/O but the time zone database's. Services hand in the present.
"""

from __future__ import annotations

from chalicelib.core.cron.schedule import ClockChanges, Schedule, next_after
from chalicelib.core.cron.zones import check_zone

__all__ = ["ClockChanges", "Schedule", "check_zone", "next_after"]
