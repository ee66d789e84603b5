"""How a run ended, and whether another attempt is due: both total, both from data."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.model import Policy, Run
from chalicelib.core.policy import (
    PLATFORM_BACKOFF_MS,
    WAIT_FIRST_S,
    Evidence,
    Outcome,
    first_patience,
    next_attempt,
    outcome,
)
from chalicelib.core.states import TERMINAL, Intent, RunState, may_follow
from tests.unit.cloud import spec

S = RunState
RUN = Run("main", 1, spec(), "alice", 1000, state=S.RUNNING, launched_at=50_000, started_at=60_000)
RAISED = {"exit_code": 1, "error": {"type": "ValueError", "message": "bad"}}


def run_with(policy: Policy, **changes: object) -> Run:
    return replace(RUN, spec=replace(RUN.spec, policy=policy), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("evidence", "state", "reason"),
    [
        (Evidence("COMPLETED"), S.SUCCEEDED, "COMPLETED"),
        (Evidence("CANCELLED"), S.CANCELED, "CANCELLED_ON_CLUSTER"),
        (Evidence(""), S.INTERNAL_ERROR, "DRIVER_LOST"),
        (Evidence(refused="no such role"), S.FAILED, "REFUSED"),
        (Evidence("FAILED", report=RAISED), S.FAILED, "PROGRAM_RAISED"),
        (Evidence("FAILED", report={"exit_code": 3}), S.FAILED, "EXIT_CODE"),
        (Evidence("FAILED", details="It ended with exit code 255."), S.FAILED, "EXIT_CODE"),
        (Evidence("FAILED", details="It ended with exit code 137.", failure="USER_ERROR"), S.FAILED, "USER_ERROR"),
        (Evidence("FAILED", failure="USER_ERROR"), S.FAILED, "USER_ERROR"),
        (Evidence("FAILED"), S.FAILED, "FAILED"),
        (Evidence("FAILED", failure="CLUSTER_UNAVAILABLE"), S.INTERNAL_ERROR, "CLUSTER_UNAVAILABLE"),
        (Evidence("FAILED", failure="INTERNAL_ERROR", report=RAISED), S.FAILED, "PROGRAM_RAISED"),
    ],
)
def test_what_is_known_at_the_end_decides_the_state(evidence: Evidence, state: RunState, reason: str) -> None:
    ended = outcome(RUN, evidence)
    assert (ended.state, ended.reason) == (state, reason)


@pytest.mark.parametrize(("intent", "state"), [(Intent.CANCEL, S.CANCELED), (Intent.TIME_OUT, S.TIMED_OUT)])
@pytest.mark.parametrize("engine_state", ["", "COMPLETED", "FAILED", "CANCELLED"])
def test_an_intent_decides_the_state_whatever_the_engine_says(
    intent: Intent, state: RunState, engine_state: str
) -> None:
    assert outcome(replace(RUN, intent=intent), Evidence(engine_state)).state is state


def test_messages_say_what_a_person_wants_to_know() -> None:
    assert outcome(RUN, Evidence("FAILED", report=RAISED)).message == "ValueError: bad"
    assert "no such role" in outcome(RUN, Evidence(refused="no such role")).message
    assert outcome(RUN, Evidence("FAILED", diagnosis="the cause", details="words")).message == "the cause"
    late = run_with(Policy(timeout_ms=1500), intent=Intent.TIME_OUT)
    assert outcome(late, Evidence("CANCELLED")).message == "Run timed out after 1.5 seconds."


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
evidence = st.builds(
    Evidence,
    st.sampled_from(["", "PENDING", "SUBMITTED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "CANCEL_PENDING", "?"]),
    st.sampled_from(["", "INTERNAL_ERROR", "USER_ERROR", "VALIDATION_ERROR", "CLUSTER_UNAVAILABLE", "?"]),
    st.text(max_size=5),
    st.text(max_size=5),
    st.none() | st.fixed_dictionaries({}, optional={"exit_code": json, "error": json, "finished": json}),
    st.text(max_size=5),
)


@given(evidence, st.sampled_from(Intent), st.sampled_from([S.LAUNCHING, S.RUNNING, S.TERMINATING]))
def test_any_evidence_at_all_ends_a_run_in_a_state_that_it_can_reach(
    told: Evidence, intent: Intent, state: RunState
) -> None:
    ended = outcome(replace(RUN, intent=intent, state=state), told)
    assert ended.state in TERMINAL and may_follow(state, ended.state)
    assert ended.reason


FAILED = Outcome(S.FAILED, "FAILED", "")


@pytest.mark.parametrize(
    ("state", "on_timeout", "again"),
    [
        (S.FAILED, False, True),
        (S.INTERNAL_ERROR, False, True),
        (S.TIMED_OUT, False, False),
        (S.TIMED_OUT, True, True),
        (S.SUCCEEDED, True, False),
        (S.CANCELED, True, False),
        (S.SKIPPED, True, False),
    ],
)
def test_only_what_the_policy_names_is_tried_again(state: RunState, on_timeout: bool, again: bool) -> None:
    run = run_with(Policy(max_retries=1, retry_on_timeout=on_timeout))
    assert (next_attempt(run, Outcome(state, "", ""), 100_000) is not None) is again


@pytest.mark.parametrize(
    ("retries", "attempt", "again"),
    [(0, 0, False), (1, 0, True), (1, 1, False), (3, 2, True), (3, 3, False), (-1, 0, True), (-1, 10_000, True)],
)
def test_attempts_are_counted_and_minus_one_is_for_ever(retries: int, attempt: int, again: bool) -> None:
    run = run_with(Policy(max_retries=retries), attempt=attempt)
    assert (next_attempt(run, FAILED, 100_000) is not None) is again


def test_the_interval_counts_from_the_start_of_the_run_that_failed() -> None:
    run = run_with(Policy(max_retries=1, min_retry_interval_ms=90_000))
    assert next_attempt(run, FAILED, 100_000) == 50_000 + 90_000
    assert next_attempt(run, FAILED, 200_000) == 200_000


def test_a_fault_of_the_platform_is_given_a_pause() -> None:
    run = run_with(Policy(max_retries=1))
    lost = Outcome(S.INTERNAL_ERROR, "DRIVER_LOST", "")
    assert next_attempt(run, lost, 100_000) == 100_000 + PLATFORM_BACKOFF_MS
    patient = run_with(Policy(max_retries=1, min_retry_interval_ms=900_000))
    assert next_attempt(patient, lost, 100_000) == 50_000 + 900_000


@pytest.mark.parametrize(("timeout", "patience"), [(0, WAIT_FIRST_S), (1, 1), (1500, 2), (10_000_000, WAIT_FIRST_S)])
def test_an_execution_first_waits_no_longer_than_the_time_out(timeout: int, patience: int) -> None:
    assert first_patience(run_with(Policy(timeout_ms=timeout))) == patience
