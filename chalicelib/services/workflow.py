"""A granted run's way to its end: start its driver, watch it, end it. Called by the workers behind the state machine.

Every function here adopts: it looks where the run already is and goes on from there. So any of them may be killed
anywhere and called again, by the same execution or by one of a later generation.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from chalicelib.core import transitions
from chalicelib.core.diagnosis import last_error
from chalicelib.core.errors import Conflict
from chalicelib.core.ids import RANDOM_BITS, external_name, make_id, parse_external_name
from chalicelib.core.model import IN_PYTHON, ProgramKind, Report, Run, Trigger, Waiter
from chalicelib.core.policy import WAIT_FIRST_S, WAIT_MOST_S, Evidence, Outcome, exit_code, next_attempt, outcome
from chalicelib.core.spark import application_id_in, application_in
from chalicelib.core.states import HOLDING, Intent, RunState
from chalicelib.ports import Clash, Engine, EngineJob, EngineRefused, Ports, Put, key
from chalicelib.services.engines import engine_of
from chalicelib.services.launching import launch_of
from chalicelib.services.log_delivery import EVERY_S, deliver_logs
from chalicelib.services.runs import edit_run, ending
from chalicelib.services.submission import ATTEMPTS

LOG_TAIL = 65_536


@dataclass(frozen=True, slots=True)
class Progress:
    """What the state machine is told: whether the driver is over, else how many seconds to wait for news."""

    over: bool
    wait: int = WAIT_FIRST_S


def drive(ports: Ports, workspace: str, run: int, generation: int, *, token: str = "", waited: int = 0) -> Progress:
    """Bring a run as far as it goes now: to a driver that was asked for and is looked at, or, when that is over, to its
    end.

    `token` is the task token of the execution that will wait; it is kept for whoever hears of the driver's end, and
    completed here when there is nothing to wait for. `waited` is how long the execution waited last, or, when it brings
    a token, how long it will wait now: if the deadline has come nearer than that meanwhile, it is roused.
    """
    found = _take(ports, workspace, run, generation, token)
    if found is None or found.ended or (found.state is RunState.GRANTED and found.intent is not Intent.NONE):
        return _over(ports, workspace, run, generation, token)
    asked_before = found.state is not RunState.GRANTED
    if not asked_before:
        found = edit_run(ports, workspace, run, lambda r: _begin(ports, r))
        if found is None or found.state is not RunState.LAUNCHING:
            return drive(ports, workspace, run, generation, token=token, waited=waited)
    try:
        job = _driver_of(ports, found, asked_before)
    except EngineRefused as refused:
        _note(ports, found, refused)
        return _over(ports, workspace, run, generation, token)
    found = _observe(ports, found, job)
    if found is None or found.ended or job is None or job.ended:
        return _over(ports, workspace, run, generation, token)
    if found.state is RunState.RUNNING:
        deliver_logs(ports, found)
    found = _strike(ports, found, job)
    progress = Progress(False, _patience(ports, found, waited))
    if token and found.intent is Intent.NONE and progress.wait + SLACK_S < waited:
        ports.workflows.wake(token)
    return progress


SLACK_S = 5
"""By how many seconds a wait may outlast the deadline: it was reckoned a moment before it began."""


def _take(ports: Ports, workspace: str, run: int, generation: int, token: str) -> Run | None:
    """The run, with the caller's token kept for whoever hears of its driver; None when a later generation has taken
    over."""
    keys = [key(Run, workspace, run), key(Waiter, workspace, run)]
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = ports.store.fetch(keys if token else keys[:1])
        taken: Run | None = found.get(keys[0])
        known: Waiter = found.get(keys[1]) or Waiter(workspace, run, generation, token)
        if taken is None or taken.generation != generation or known.generation > generation:
            return None
        if not token or not taken.holding:
            return taken
        try:
            expires = ports.clock.now() + ports.settings.retention_ms
            ports.store.commit([Put(replace(known, generation=generation, token=token, expires_at=expires))])
            return taken
        except Clash:
            continue
    raise Conflict("The run is being waited for by too many at once.")


def _over(ports: Ports, workspace: str, run: int, generation: int, token: str) -> Progress:
    """End the run, and then the wait for its end."""
    finish(ports, workspace, run, generation)
    if token:
        ports.workflows.complete(token)
    return Progress(True, 0)


def _begin(ports: Ports, run: Run) -> Run | None:
    """GRANTED to LAUNCHING, unless somebody wants the run to end: from here on a driver may exist."""
    if run.state is not RunState.GRANTED or run.intent is not Intent.NONE:
        return None
    return transitions.launch(run, ports.clock.now())


def _driver_of(ports: Ports, run: Run, asked_before: bool) -> EngineJob | None:
    """The run's driver: the one on record, else one that was asked for but not recorded, else a new one."""
    engine = engine_of(ports, run)
    if run.engine_id:
        return engine.describe(run.engine_id)
    if run.report.get("refused"):
        return None
    job = engine.find(run) if asked_before else None
    if job is None and run.intent is Intent.NONE:
        job = EngineJob(engine.start(launch_of(ports, run)), external_name(run.workspace, run.id), "PENDING")
    return job


def _note(ports: Ports, run: Run, refused: EngineRefused) -> None:
    """Keep why there is no driver, and how the run ends for it."""
    told = {"refused": refused.message, **({"end": asdict(refused.outcome)} if refused.outcome else {})}
    edit_run(ports, run.workspace, run.id, lambda r: replace(r, report={**r.report, **told}))


def _observe(ports: Ports, run: Run, job: EngineJob | None) -> Run | None:
    """Record what the engine says of the driver. Then the intent is read again: a cancel that came between the
    launch and the record of the driver's id found no driver to stop, and may even have ended the run."""
    if job is None:
        return run

    def observe(r: Run) -> Run | None:
        r = replace(r, engine_id=job.id) if not r.ended else r
        if job.state == "RUNNING" and r.state is RunState.LAUNCHING:
            return transitions.started(r, ports.clock.now())
        return r

    found = edit_run(ports, run.workspace, run.id, observe)
    if found and (found.ended or found.intent is not Intent.NONE) and not job.ended:
        engine_of(ports, run).cancel(job.id)
    return found


def _strike(ports: Ports, run: Run, job: EngineJob) -> Run:
    """End a run whose time is up: the intent first, then the driver."""
    if not run.deadline or ports.clock.now() < run.deadline or run.intent is not Intent.NONE:
        return run
    found = edit_run(ports, run.workspace, run.id, lambda r: transitions.intend(r, Intent.TIME_OUT, ports.clock.now()))
    engine_of(ports, run).cancel(job.id)
    return found or run


def _patience(ports: Ports, run: Run, waited: int) -> int:
    """Seconds to wait for news: longer each time, never past the deadline; short when the end was asked for."""
    if run.intent is not Intent.NONE:
        return 15
    wait = min(max(WAIT_FIRST_S, 2 * waited), EVERY_S if run.spec.logs_to else WAIT_MOST_S)
    if run.deadline:
        wait = min(wait, -(-(run.deadline - ports.clock.now()) // 1000))
    return max(1, wait)


def finish(ports: Ports, workspace: str, run: int, generation: int) -> Run | None:
    """End a run whose driver is over, with one transaction: state and cause, capacity, counters, the next attempt.

    Returns the run as it ended, or None when there is nothing of this generation to end.
    """
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = _with_report(ports, workspace, run)
        if found is None or found.ended or found.generation != generation:
            return found
        whole = _whole_log(ports, found, "stderr") if _told_by_log(found) else ""
        head, log = whole[:LOG_TAIL], whole[-LOG_TAIL:]
        name, version = application_in(head)
        evidence = _evidence(ports, found, log)
        deliver_logs(ports, found, last=True)
        ended, code = outcome(found, evidence), exit_code(evidence)
        after = replace(
            transitions.end(found, ended, ports.clock.now()),
            application_id=found.application_id or application_id_in(head) or application_id_in(log),
            application_name=found.application_name or name,
            engine_version=found.engine_version or version,
            report=found.report if code is None else {**found.report, "exit_code": code},
        )
        try:
            ports.store.commit(ending(ports, found, after, _retry(ports, found, ended)))
            return replace(after, version=found.version + 1)
        except Clash:
            continue
    raise Conflict("The run is being changed by too many at once.")


def _with_report(ports: Ports, workspace: str, run: int) -> Run | None:
    """The run, with what its driver said at its end."""
    keys = [key(Run, workspace, run), key(Report, workspace, run)]
    found = ports.store.fetch(keys)
    told: Report | None = found.get(keys[1])
    with_report: Run | None = found.get(keys[0])
    if with_report and told and not with_report.ended:
        return replace(with_report, report={**with_report.report, **told.told})
    return with_report


def _told_by_log(run: Run) -> bool:
    """Whether the driver's log has to tell what the bootstrap did not: of JVM programs, and of ones that died."""
    return run.spec.program.kind not in IN_PYTHON or not run.report.get("finished")


def _evidence(ports: Ports, run: Run, log: str) -> Evidence:
    """All that is known about how a run ended."""
    job = engine_of(ports, run).describe(run.engine_id) if run.engine_id else None
    if job is not None and not job.ended:
        raise Conflict("The driver has not ended yet.")
    return Evidence(
        engine_state=job.state if job else "",
        failure=job.failure if job else "",
        details=job.details if job else "",
        refused=str(run.report.get("refused", "")),
        report=run.report,
        diagnosis=_diagnosis(ports, run, log) if job and job.state == "FAILED" else "",
        known=job.outcome if job else _noted(run.report.get("end")),
    )


def _noted(end: Mapping[str, str] | None) -> Outcome | None:
    return Outcome(RunState(end["state"]), end["reason"], end["message"]) if end else None


def _diagnosis(ports: Ports, run: Run, log: str) -> str:
    """The sentence that tells why. Spark sends a Python or R driver's errors to its standard output; to the other one
    it logs each exception that it hands to R, those that the program caught as well."""
    if run.spec.program.kind is ProgramKind.R:
        return last_error(driver_log(ports, run, "stdout", tail=True)) or last_error(log)
    return last_error(log) or last_error(driver_log(ports, run, "stdout", tail=True))


def _retry(ports: Ports, run: Run, ended: Outcome) -> Run | None:
    """The next attempt, a run of its own that points to the first."""
    now = ports.clock.now()
    not_before = next_attempt(run, ended, now)
    if not_before is None:
        return None
    return Run(
        workspace=run.workspace,
        id=make_id(now, ports.dice.bits(RANDOM_BITS)),
        spec=run.spec,
        created_by=run.created_by,
        created_at=now,
        job=run.job,
        first_attempt=run.first_attempt,
        attempt=run.attempt + 1,
        trigger=Trigger.RETRY,
        parent=run.parent,
        depth=run.depth,
        not_before=not_before,
    )


def driver_log(ports: Ports, run: Run, stream: str, *, tail: bool = False, limit: int = LOG_TAIL) -> str:
    """The driver's `stdout` or `stderr` as far as it has arrived: its first `limit` characters, or its last."""
    text = _whole_log(ports, run, stream)
    return text[-limit:] if tail else text[:limit]


def _whole_log(ports: Ports, run: Run, stream: str) -> str:
    for name in engine_of(ports, run).log_names(run, stream) if run.engine_id else ():
        body = ports.blobs.get(name)
        if body is not None:
            return _unzip(body).decode(errors="replace")
    return ""


def _unzip(body: bytes) -> bytes:
    """The content of a gzip file that may still be growing."""
    try:
        return gzip.decompress(body)
    except (EOFError, OSError, zlib.error):
        return zlib.decompressobj(wbits=31).decompress(body) if body[:2] == b"\x1f\x8b" else body


def heard(ports: Ports, engine_id: str) -> None:
    """The engine says that something happened to a driver. Only its id is believed: the engine is asked, what it says
    is recorded, and when the driver is over, so is the run."""
    job = ports.engine.describe(engine_id)
    name = parse_external_name(job.name) if job else None
    if job is None or name is None:
        return
    run, waiter = _waited_for(ports, *name)
    if run is not None:
        _tell(ports, run, waiter, ports.engine, job)


def heard_of_child(ports: Ports, child: Run) -> None:
    """Something happened to a run that another one waits for, says the stream: the same for that one."""
    run, waiter = _waited_for(ports, child.workspace, child.parent)
    if run is None:
        return
    engine = engine_of(ports, run)
    if job := engine.describe(str(child.id)):
        _tell(ports, run, waiter, engine, job)


def _waited_for(ports: Ports, workspace: str, run: int) -> tuple[Run | None, Waiter | None]:
    keys = [key(Run, workspace, run), key(Waiter, workspace, run)]
    found = ports.store.fetch(keys)
    return found.get(keys[0]), found.get(keys[1])


def _tell(ports: Ports, run: Run, waiter: Waiter | None, engine: Engine, job: EngineJob) -> None:
    """Record what an engine says of a run's driver. When the driver is over, end the run and then the wait for that; if
    nobody comes to it here, the execution looks for itself."""
    if run.ended and not job.ended:
        engine.cancel(job.id)  # a launch that came too late
    if run.state in HOLDING and run.state is not RunState.GRANTED:
        if not job.ended or run.engine_id != job.id:
            _observe(ports, run, job)
        if job.ended:
            finish(ports, run.workspace, run.id, run.generation)
    if job.ended and waiter and waiter.generation == run.generation:
        ports.workflows.complete(waiter.token)


def rouse(ports: Ports, run: Run) -> None:
    """Have the execution that waits for a run's driver look at the run again, and wait as long as is right now."""
    _, waiter = _waited_for(ports, run.workspace, run.id)
    if waiter and waiter.generation == run.generation:
        ports.workflows.wake(waiter.token)


LAUNCH_MS = 30_000
"""How long a launch is left to itself: one that takes longer has met a fault, and is tried again with growing pauses.
"""


def stop_driver(ports: Ports, run: Run) -> None:
    """Act on a run's intent: stop its driver, if one is on record. A launch under way reads the intent itself; for one
    that has not come to a driver in time, this looks for the driver, and ends the run if there is none: nobody waits
    for the next try."""
    if run.intent is Intent.NONE or run.ended:
        return
    if run.engine_id:
        engine_of(ports, run).cancel(run.engine_id)
    elif run.launched_at and ports.clock.now() - run.launched_at > LAUNCH_MS:
        drive(ports, run.workspace, run.id, run.generation)


def report(ports: Ports, workspace: str, run: int, told: Mapping[str, Any]) -> None:
    """Keep what a run's own driver says: its application id and version while it runs, its exit code and error last.

    What is kept is bounded; a report for a run that has ended or does not exist is ignored.
    """
    kept = {name: told[name] for name in ("exit_code", "error", "signal", "finished", "notebook") if name in told}
    if len(json.dumps(kept)) > REPORT_MOST:
        kept = _shortened(kept)
    found = edit_run(ports, workspace, run, lambda r: _introduced(ports, r, told))
    if kept and found and found.holding:
        _keep_report(ports, workspace, run, kept)


def _shortened(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The essence of a report that is too long: the exit code, the head of the error, what a notebook left."""
    code, error, notebook = kept.get("exit_code"), kept.get("error"), kept.get("notebook")
    short: dict[str, Any] = {"exit_code": code if isinstance(code, int) else None, "finished": True}
    if isinstance(error, Mapping):
        short["error"] = {name: str(error.get(name, ""))[:500] for name in ("type", "message")}
    if notebook is not None and len(json.dumps(notebook)) <= REPORT_MOST // 2:
        short["notebook"] = notebook
    return short


REPORT_MOST = 20_000
"""Characters of a report that are kept whole."""


def _introduced(ports: Ports, run: Run, told: Mapping[str, Any]) -> Run | None:
    """The run with its application's id, name and version; a program that speaks is running, whatever the engine
    says."""
    if not run.holding:
        return None
    moved = replace(
        run,
        application_id=str(told.get("application_id") or run.application_id)[:128],
        application_name=str(told.get("application_name") or run.application_name)[:200],
        engine_version=str(told.get("spark_version") or run.engine_version)[:64],
    )
    started = moved.state is RunState.LAUNCHING and bool(moved.engine_id)
    return transitions.started(moved, ports.clock.now()) if started else moved


def _keep_report(ports: Ports, workspace: str, run: int, kept: Mapping[str, Any]) -> None:
    report_key = key(Report, workspace, run)
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        expires = ports.clock.now() + ports.settings.retention_ms
        found: Report = ports.store.fetch([report_key]).get(report_key) or Report(workspace, run)
        try:
            ports.store.commit([Put(replace(found, told={**found.told, **kept}, expires_at=expires))])
            return
        except Clash:
            continue
    raise Conflict("The run's report is being written by too many at once.")
