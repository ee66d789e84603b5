"""The life of a run as data: which states there are, and which may follow which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import transitions
from chalicelib.core.model import Run
from chalicelib.core.policy import Outcome
from chalicelib.core.states import HOLDING, INTENT_END, LIVE, TERMINAL, TRANSITIONS, Intent, RunState, may_follow
from tests.unit.cloud import spec

states = st.sampled_from(RunState)


def run_in(state: RunState, intent: Intent = Intent.NONE) -> Run:
    return Run("main", 1, spec(), "alice", 1000, state=state, intent=intent)


def test_the_table_says_of_every_state_what_may_follow() -> None:
    assert set(TRANSITIONS) == set(RunState)


def test_every_state_is_either_live_or_terminal_and_only_live_ones_hold_capacity() -> None:
    assert LIVE | TERMINAL == set(RunState)
    assert not LIVE & TERMINAL
    assert HOLDING == LIVE - {RunState.QUEUED}


@given(states, states)
def test_nothing_follows_a_terminal_state(before: RunState, after: RunState) -> None:
    if before in TERMINAL:
        assert not may_follow(before, after)


def test_every_state_but_skipped_is_reached_from_queued_and_all_lead_to_an_end() -> None:
    def reached(start: RunState) -> set[RunState]:
        seen = {start}
        while more := {after for state in seen for after in TRANSITIONS[state]} - seen:
            seen |= more
        return seen

    assert reached(RunState.QUEUED) == set(RunState) - {RunState.SKIPPED}
    assert all(reached(state) & TERMINAL for state in RunState)


def test_no_way_leads_back() -> None:
    def ahead(state: RunState, path: tuple[RunState, ...] = ()) -> None:
        assert state not in path
        for after in TRANSITIONS[state]:
            ahead(after, (*path, state))

    ahead(RunState.QUEUED)


@given(states, states)
def test_a_move_that_the_table_does_not_have_raises(before: RunState, after: RunState) -> None:
    run = run_in(before)
    if may_follow(before, after):
        assert transitions.move(run, after).state is after
    else:
        with pytest.raises(transitions.Illegal):
            transitions.move(run, after)


@given(states, st.sampled_from([Intent.CANCEL, Intent.TIME_OUT]), st.sampled_from(Intent))
def test_the_first_intent_wins_and_never_revives_a_run(state: RunState, intent: Intent, earlier: Intent) -> None:
    run = run_in(state, earlier)
    after = transitions.intend(run, intent, 5000)
    if run.ended or earlier is not Intent.NONE:
        assert after == run
    else:
        assert after.intent is intent
        assert after.state is (RunState.TERMINATING if state in {RunState.LAUNCHING, RunState.RUNNING} else state)


def test_every_intent_names_an_end() -> None:
    assert set(INTENT_END) == set(Intent) - {Intent.NONE}
    assert set(INTENT_END.values()) <= TERMINAL


def test_an_end_says_when_and_why_and_a_new_generation_is_one_more() -> None:
    running = run_in(RunState.RUNNING)
    ended = transitions.end(running, Outcome(RunState.FAILED, "WHY", "Because."), 7000)
    assert (ended.reason, ended.message, ended.ended_at) == ("WHY", "Because.", 7000)
    assert transitions.regenerate(running).generation == 2
