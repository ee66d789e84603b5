"""The only functions that move a run from one state to another. Each returns the new run; an illegal move raises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chalicelib.core.model import Run
from chalicelib.core.policy import Outcome
from chalicelib.core.states import Intent, RunState, may_follow


class Illegal(Exception):
    """A move that the transition table does not have: a bug, or a worker that came too late."""


def move(run: Run, state: RunState, **changes: Any) -> Run:
    """The run in its next state, with changes of its other fields."""
    if not may_follow(run.state, state):
        raise Illegal(f"run {run.workspace}.{run.id}: {run.state} to {state}")
    return replace(run, state=state, **changes)


def grant(run: Run, now: int) -> Run:
    """Capacity was set aside."""
    return move(run, RunState.GRANTED, granted_at=now, reason="", message="")


def launch(run: Run, now: int) -> Run:
    """The driver is about to be asked for; the time-out's clock starts."""
    return move(run, RunState.LAUNCHING, launched_at=now)


def started(run: Run, now: int) -> Run:
    """The driver runs."""
    return move(run, RunState.RUNNING, started_at=now)


def intend(run: Run, intent: Intent, now: int) -> Run:
    """Somebody wants the run to end; the first to say so names the cause. Where a driver may exist, the run is then
    TERMINATING until the driver is over."""
    if run.intent is not Intent.NONE or run.ended:
        return run
    if run.state in {RunState.LAUNCHING, RunState.RUNNING}:
        return move(run, RunState.TERMINATING, intent=intent, ending_at=now)
    return replace(run, intent=intent)


def end(run: Run, ended: Outcome, now: int) -> Run:
    """The run is over."""
    return move(run, ended.state, reason=ended.reason, message=ended.message, ended_at=now)


def regenerate(run: Run) -> Run:
    """A new generation: executions and tokens of the one before are refused from now on."""
    return replace(run, generation=run.generation + 1)
