"""What follows a run's end: its terminal state and message, and whether another attempt is due.

Both are pure and total: `outcome` from what the intent, the engine and the driver say; `next_attempt` from the policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.core.model import Run, RunKind
from chalicelib.core.states import INTENT_END, Intent, RunState

PLATFORM_BACKOFF_MS = 30_000
"""Least pause before another attempt after a fault that was not the program's: the platform needs a moment."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `reason` is a stable word for programs, `message` a sentence for people."""

    state: RunState
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known at the end of a run.

    `engine_state` is EMR's last word, empty when EMR knows no such driver; `refused` is why EMR would not start one;
    `report` is the bootstrap's; `diagnosis` is the telling line of a native driver's log. `known` is the end itself,
    where what carried the run out knows it.
    """

    engine_state: str = ""
    failure: str = ""
    details: str = ""
    refused: str = ""
    report: Mapping[str, Any] | None = None
    diagnosis: str = ""
    known: Outcome | None = None


SENTENCES: Mapping[str, str] = {"ProgramNotFound": "PROGRAM_NOT_FOUND", "NotebookFailed": "NOTEBOOK_FAILED"}
"""Error types of the bootstrap's own whose message is a whole sentence -> the reason: there is no program to run; a
notebook's end that is no exception of its own."""

_NOT_PREPARED = {
    "sparkplane.InitScript": "INIT_SCRIPT_FAILED",
    "sparkplane.Library": "LIBRARY_FAILED",
    "sparkplane.Volume": "VOLUME_FAILED",
    "sparkplane.Secret": "SECRET_NOT_FOUND",
}
"""The error types by which the bootstrap says that the machine could not be made ready for the program, and the reason
that the run ends for."""

_PLATFORM_FAILURES = frozenset({"INTERNAL_ERROR", "CLUSTER_UNAVAILABLE"})

NOT_STARTED = "The driver could not be started"
"""How the message of a run begins that the engine refuses."""


def outcome(run: Run, evidence: Evidence) -> Outcome:
    """The terminal state of a run that is over: the intent's, where there is one, never EMR's word for it."""
    if run.intent is not Intent.NONE:
        return Outcome(INTENT_END[run.intent], f"BY_{run.intent}", _intent_message(run))
    if evidence.known:
        return evidence.known
    if evidence.refused:
        return Outcome(RunState.FAILED, "REFUSED", f"{NOT_STARTED}: {evidence.refused}")
    if evidence.engine_state == "COMPLETED":
        return Outcome(RunState.SUCCEEDED, "COMPLETED", "")
    if evidence.engine_state == "CANCELLED":
        return Outcome(RunState.CANCELED, "CANCELLED_ON_CLUSTER", "The driver was cancelled on the cluster.")
    if evidence.engine_state == "FAILED":
        return _not_fetched(run, evidence) or _failure(evidence)
    return Outcome(RunState.INTERNAL_ERROR, "DRIVER_LOST", "The cluster no longer knows the run's driver.")


def _intent_message(run: Run) -> str:
    if run.intent is Intent.TIME_OUT and run.spec.kind is RunKind.HISTORY:
        return f"Stopped after {run.spec.policy.timeout_ms / 1000:g} seconds without use."
    if run.intent is Intent.TIME_OUT:
        return f"Run timed out after {run.spec.policy.timeout_ms / 1000:g} seconds."
    return "Run cancelled."


def _not_fetched(run: Run, evidence: Evidence) -> Outcome | None:
    """The end of a run whose library or init script could not be fetched: spark-submit then gives up before the
    bootstrap, which would have told of it. Its words must name the file."""
    if evidence.report and evidence.report.get("finished"):
        return None
    said, preparation = f"{evidence.diagnosis} {evidence.details}", run.spec.preparation
    reason = evidence.diagnosis or evidence.details
    for script in preparation.init_scripts:
        if script.uri and _names(said, script.uri):
            message = f"Cluster scoped init script {script.label or script.uri} failed: {reason}"
            return Outcome(RunState.INTERNAL_ERROR, "INIT_SCRIPT_FAILED", message)
    for library in preparation.libraries:
        if library.uri and _names(said, library.uri):
            told = library.label or library.uri
            message = f"Library installation failed for library due to user error for {told}. Error messages: {reason}"
            return Outcome(RunState.INTERNAL_ERROR, "LIBRARY_FAILED", message)
    return None


def _names(text: str, uri: str) -> bool:
    """Whether a message is about a file: it says its bucket and key, whatever the scheme was made into."""
    return uri.partition("://")[2] in text if "://" in uri else uri in text


def _failure(evidence: Evidence) -> Outcome:
    report = evidence.report or {}
    error, code = report.get("error"), report.get("exit_code")
    if isinstance(error, Mapping) and error.get("type") in SENTENCES:
        return Outcome(RunState.FAILED, SENTENCES[error["type"]], str(error.get("message", "")))
    if isinstance(error, Mapping) and error.get("type") in _NOT_PREPARED:
        return Outcome(RunState.INTERNAL_ERROR, _NOT_PREPARED[error["type"]], str(error.get("message", "")))
    if isinstance(error, Mapping) and error.get("type"):
        text = f"{error['type']}: {error.get('message', '')}".rstrip(": ")
        return Outcome(RunState.FAILED, "PROGRAM_RAISED", text)
    if isinstance(code, int) and code != 0:
        return Outcome(RunState.FAILED, "EXIT_CODE", f"The program exited with code {code}.")
    if evidence.failure in _PLATFORM_FAILURES:
        return Outcome(RunState.INTERNAL_ERROR, evidence.failure, evidence.details or "The cluster failed.")
    code = exit_code(evidence)
    if not evidence.diagnosis and code is not None and code not in SIGNALLED:
        return Outcome(RunState.FAILED, "EXIT_CODE", f"The program exited with code {code}.")
    told = [text for text in (evidence.diagnosis, evidence.details) if text]
    return Outcome(RunState.FAILED, evidence.failure or "FAILED", told[0] if told else "The driver failed.")


SIGNALLED = range(128, 193)
"""Exit codes that mean death by a signal; the engine's own words say it better than a number."""

_EXIT_CODE = re.compile(r"\bexit code (\d{1,3})\b")


def exit_code(evidence: Evidence) -> int | None:
    """What a driver that failed ended with: as its bootstrap said, else as the engine's details do; None when neither
    tells."""
    told = (evidence.report or {}).get("exit_code")
    if isinstance(told, int):
        return told
    found = _EXIT_CODE.search(evidence.details) if evidence.engine_state == "FAILED" else None
    return int(found[1]) if found else None


def next_attempt(run: Run, ended: Outcome, now: int) -> int | None:
    """The earliest instant of another attempt, or None for no more.

    Seed 004, "Create": an unsuccessful run is FAILED or an internal error; a time-out only with `retry_on_timeout`;
    `max_retries` -1 is for ever; the interval counts from the start of the run that failed.
    """
    retryable = ended.state in {RunState.FAILED, RunState.INTERNAL_ERROR} or (
        ended.state is RunState.TIMED_OUT and run.spec.policy.retry_on_timeout
    )
    retries = run.spec.policy.max_retries
    if not retryable or (retries >= 0 and run.attempt >= retries):
        return None
    earliest = (run.launched_at or run.created_at) + run.spec.policy.min_retry_interval_ms
    if ended.state is RunState.INTERNAL_ERROR:
        earliest = max(earliest, now + PLATFORM_BACKOFF_MS)
    return max(earliest, now)


WAIT_FIRST_S, WAIT_MOST_S = 60, 1800
"""Seconds between looks at a driver that no event tells about: the first wait, and the longest."""


def first_patience(run: Run) -> int:
    """Seconds that an execution waits after the launch before it looks for itself; sooner when the time-out is."""
    timeout = -(-run.spec.policy.timeout_ms // 1000)
    return max(1, min(WAIT_FIRST_S, timeout)) if timeout else WAIT_FIRST_S
