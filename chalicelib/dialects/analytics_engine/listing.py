"""What a list of applications may be asked for: states, intervals of time, a page (wire, 3.1; the third version of that
cloud's API has the same, and its clients send it)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from chalicelib.core.errors import Invalid
from chalicelib.core.model import Run
from chalicelib.dialects.analytics_engine.mapping import application_state, asked_states

MAX_LIST = 1000
INTERVALS: Mapping[str, Callable[[Run], int]] = {
    "submission_time_interval": lambda run: run.created_at,
    "start_time_interval": lambda run: run.started_at,
    "end_time_interval": lambda run: run.ended_at,
}
"""Filter -> the instant of a run that it looks at; one that has not come is in no interval."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A list as it was asked for: states (none for all), intervals in epoch milliseconds, the page's length and where
    it begins (a token)."""

    states: frozenset[str] = frozenset()
    intervals: tuple[tuple[Callable[[Run], int], int, int], ...] = ()
    limit: int = MAX_LIST
    start: str = ""

    def keeps(self, run: Run) -> bool:
        """Whether a run is in the list."""
        if self.states and application_state(run) not in self.states:
            return False
        return all(bool(at(run)) and low <= at(run) <= high for at, low, high in self.intervals)


def asked(query: Sequence[tuple[str, str]]) -> Asked:
    """The list that a query asks for. Raises Invalid, naming the parameter."""
    told = dict(query)
    states = ",".join(value for name, value in query if name == "state")
    return Asked(
        asked_states(states),
        tuple((at, *_interval(name, told[name])) for name, at in INTERVALS.items() if name in told),
        _limit(told.get("limit", "")),
        told.get("start", ""),
    )


def _interval(name: str, text: str) -> tuple[int, int]:
    """`<from>,<to>`, both ISO 8601; BEGINNING and CURRENT stand for no limit."""
    low, comma, high = text.partition(",")
    if not comma:
        raise Invalid(f"{name}: {text!r} is not of the form <from>,<to>.", field=name)
    ends = (0 if low.strip() == "BEGINNING" else _instant(name, low), _high(name, high))
    if ends[0] > ends[1]:
        raise Invalid(f"{name}: {text!r} ends before it begins.", field=name)
    return ends


def _high(name: str, text: str) -> int:
    return 1 << 53 if text.strip() == "CURRENT" else _instant(name, text)


def _instant(name: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text.strip())
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Invalid(f"{name}: {text!r} is not a time such as 2021-04-21T04:24:01Z.", field=name) from None


def _limit(text: str) -> int:
    if not text:
        return MAX_LIST
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MAX_LIST):
        raise Invalid(f"limit: {text!r} is not a number from 1 to {MAX_LIST}.", field="limit")
    return int(text)


def page_body(query: Sequence[tuple[str, str]], url: str, limit: int, following: str) -> dict[str, Any]:
    """What tells of a page: its length, the link to the first, and the one to the next if there is one. Nothing when
    no page was asked for and all is told."""
    rest = [(name, value) for name, value in query if name not in {"start", "limit"}]
    if not following and not {"start", "limit"} & set(dict(query)):
        return {}
    first = f"{url}?{urlencode([*rest, ('limit', str(limit))])}"
    link = f"{url}?{urlencode([*rest, ('limit', str(limit)), ('start', following)])}"
    return {
        "limit": limit,
        "first": {"href": first},
        **({"next": {"href": link, "start": following}} if following else {}),
    }
