"""The life of a run as data: its states, and which may follow which.

Dialects map from these states to their own words with one total function each. `TERMINAL` states absorb.
"""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """Where a run is: QUEUED waits for capacity, GRANTED holds it, LAUNCHING asks for a driver, RUNNING has one."""

    QUEUED = "QUEUED"
    GRANTED = "GRANTED"
    LAUNCHING = "LAUNCHING"
    RUNNING = "RUNNING"
    TERMINATING = "TERMINATING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    TIMED_OUT = "TIMED_OUT"
    SKIPPED = "SKIPPED"
    INTERNAL_ERROR = "INTERNAL_ERROR"


S = RunState

TERMINAL = frozenset({S.SUCCEEDED, S.FAILED, S.CANCELED, S.TIMED_OUT, S.SKIPPED, S.INTERNAL_ERROR})
HOLDING = frozenset({S.GRANTED, S.LAUNCHING, S.RUNNING, S.TERMINATING})
"""States in which a run holds capacity."""
LIVE = HOLDING | {S.QUEUED}

_ENDS = frozenset({S.SUCCEEDED, S.FAILED, S.CANCELED, S.TIMED_OUT, S.INTERNAL_ERROR})

TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    S.QUEUED: frozenset({S.GRANTED, S.CANCELED, S.TIMED_OUT, S.INTERNAL_ERROR}),
    S.GRANTED: frozenset({S.LAUNCHING, S.CANCELED, S.TIMED_OUT, S.INTERNAL_ERROR}),
    S.LAUNCHING: frozenset({S.RUNNING, S.TERMINATING}) | _ENDS,
    S.RUNNING: frozenset({S.TERMINATING}) | _ENDS,
    S.TERMINATING: _ENDS,
    **{state: frozenset[RunState]() for state in TERMINAL},
}
"""state -> the states that may follow. A run starts in QUEUED, or in SKIPPED when its job is at its limit."""


def may_follow(before: RunState, after: RunState) -> bool:
    """Whether `after` is a legal next state."""
    return after in TRANSITIONS[before]


class Intent(StrEnum):
    """Why a live run is to end before its program does. The first intent written wins, and names the end's cause."""

    NONE = ""
    CANCEL = "CANCEL"
    TIME_OUT = "TIME_OUT"


INTENT_END = {Intent.CANCEL: S.CANCELED, Intent.TIME_OUT: S.TIMED_OUT}
