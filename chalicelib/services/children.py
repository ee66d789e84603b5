"""Runs that run another job: what carries them out is that job's run, the child, made and watched here.

A child is made once a parent (by its idempotency token), names its parent, and is a run like any other; when its state
changes, the stream's worker tells the parent (`workflow.heard_of_child`). The parent's engine id is the child's run id:
that of its newest attempt, whose result is the parent's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from chalicelib.core.errors import Conflict, Invalid, SparkplaneError
from chalicelib.core.model import Idempotency, Job, Principal, ProgramKind, Run, RunSpec, Trigger
from chalicelib.core.policy import Outcome
from chalicelib.core.states import Intent, RunState
from chalicelib.ports import EngineJob, EngineRefused, Launch, Ports, key
from chalicelib.services.access import Call
from chalicelib.services.driverless import Driverless
from chalicelib.services.runs import cancel
from chalicelib.services.submission import MAX_NESTING, Request, run_job


class Children(Driverless):
    """The Engine port for a workspace's runs that run jobs."""

    def __init__(self, ports: Ports, workspace: str) -> None:
        self._ports = ports
        self._workspace = workspace

    def start(self, launch: Launch) -> str:
        """See Engine.start: makes the child, as the parent's creator. What its creator would be refused is refused."""
        parent = launch.run
        if parent.depth >= MAX_NESTING:
            raise _refused(f"Jobs that run jobs can be nested {MAX_NESTING} deep at most; this one is deeper.")
        call = Call(Principal(parent.workspace, parent.created_by))
        request = Request(idempotency=_token(parent), trigger=Trigger.RUN_JOB, parent=parent)
        try:
            made = run_job(self._ports, call, _target(parent), request, lambda job: _child_spec(job, parent))
        except Conflict:
            raise  # nobody refused: others were quicker
        except SparkplaneError as error:
            raise _refused(error.message) from None
        return str(made.run)

    def find(self, run: Run) -> EngineJob | None:
        """See Engine.find."""
        made = key(Idempotency, self._workspace, _token(run))
        found: Idempotency | None = self._ports.store.fetch([made]).get(made)
        return self.describe(str(found.run)) if found else None

    def describe(self, engine_id: str) -> EngineJob | None:
        """See Engine.describe: how the newest attempt of a child does."""
        child = self._newest(int(engine_id))
        if child is None:
            message = f"Run {engine_id}, which this run waited for, was deleted."
            return EngineJob(engine_id, "", "FAILED", outcome=Outcome(RunState.FAILED, "CHILD_LOST", message))
        if not child.ended:
            return EngineJob(str(child.id), "", "RUNNING")
        return EngineJob(str(child.id), "", "COMPLETED", outcome=_outcome(child))

    def cancel(self, engine_id: str) -> None:
        """See Engine.cancel: asks the child to end, and an attempt that may follow it meanwhile."""
        id = int(engine_id)
        while (child := self._newest(id)) and not child.ended:
            asked = cancel(self._ports, child, Intent.CANCEL)
            if not asked.next_attempt:
                return
            id = asked.next_attempt

    def _newest(self, id: int) -> Run | None:
        """The newest attempt that follows from a run."""
        while True:
            run: Run | None = self._ports.store.fetch([key(Run, self._workspace, id)]).get(
                key(Run, self._workspace, id)
            )
            if run is None or not run.next_attempt:
                return run
            id = run.next_attempt


def _target(run: Run) -> int:
    return int(run.spec.program.resource)


def _token(parent: Run) -> str:
    """The idempotency token of a parent's child: longer than any that a caller may give, so that none takes its
    place."""
    return f"run_job:{parent.id:064d}"


def _refused(message: str) -> EngineRefused:
    return EngineRefused(message, Outcome(RunState.FAILED, "CHILD_REFUSED", message))


TAKE_PARAMETERS = frozenset({ProgramKind.RUN_JOB, ProgramKind.NOTEBOOK})
"""Kinds of program that take named parameters."""


def _child_spec(job: Job, parent: Run) -> RunSpec:
    """The spec of a job's run with the parameters that its parent gives it."""
    given, spec = parent.spec.program.parameters, job.spec
    if not given:
        return spec
    if spec.program.kind not in TAKE_PARAMETERS:
        raise Invalid(f"Job {job.id} takes no job_parameters: its task has no named parameters.")
    return replace(spec, program=replace(spec.program, parameters={**spec.program.parameters, **given}))


S = RunState
_ENDS: Mapping[RunState, tuple[RunState, str]] = {
    S.FAILED: (S.FAILED, "failed"),
    S.SKIPPED: (S.FAILED, "was skipped"),
    S.TIMED_OUT: (S.FAILED, "timed out"),
    S.CANCELED: (S.CANCELED, "was cancelled"),
    S.INTERNAL_ERROR: (S.FAILED, "met an internal error"),
}
"""How a child ended, other than well -> how its parent ends, and in what words."""

MAX_MESSAGE = 1000


def _outcome(child: Run) -> Outcome:
    """How a parent ends with its child."""
    if child.state is S.SUCCEEDED:
        return Outcome(S.SUCCEEDED, "COMPLETED", "")
    state, words = _ENDS[child.state]
    told = f"Run {child.id} of job {child.job} ({child.spec.name}) {words}{': ' if child.message else '.'}"
    return Outcome(state, f"CHILD_{child.state}", f"{told}{child.message}"[:MAX_MESSAGE])
