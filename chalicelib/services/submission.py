"""Making runs: of a spec, or of a saved job. One read, one commit; nothing is started in the request path.

Capacity, dispatch and everything after leave from the table's stream (DESIGN, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from chalicelib.core.capacity import Ledger, pool_key
from chalicelib.core.conf import check_conf, check_environment, check_words
from chalicelib.core.errors import Conflict, Gone, Invalid, NotFound, Unschedulable
from chalicelib.core.ids import RANDOM_BITS, make_id
from chalicelib.core.model import (
    FILE_KINDS,
    NATIVE,
    NO_JOB,
    Idempotency,
    Job,
    JobActivity,
    Pool,
    ProgramKind,
    QueueRow,
    Run,
    RunSpec,
    Trigger,
)
from chalicelib.core.spark import ENTRY_POINT_LIMIT, bootstrapped, check_carried, release_for, with_defaults
from chalicelib.core.states import RunState
from chalicelib.core.uris import check_files, image_uri
from chalicelib.core.waiting import too_large
from chalicelib.ports import Change, Clash, Key, Ports, Put, key
from chalicelib.services import limits
from chalicelib.services.access import Call, read

ATTEMPTS = 20
"""How often a service reads again after a Clash before it gives up with Conflict."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a submission answers. `created` is False when an idempotency token found its run."""

    run: int
    number_in_job: int
    created: bool
    record: Run | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What a dialect asks for beyond the spec: the caller's token, and what to do with a run too large for its pool.

    `fire` is the instant of the schedule that asks, 0 for none; `parent` the run that asks, and waits. `beside` makes
    what is written along with the run, anew at each attempt.
    `park_oversized` queues such a run until an administrator raises the limits (Analytics Engine); otherwise it is
    refused with Unschedulable. `fields` are the dialect's names for a spec's parts, for errors (`check_spec`).
    """

    idempotency: str = ""
    trigger: Trigger = Trigger.ON_DEMAND
    fire: int = 0
    parent: Run | None = None
    beside: Callable[[Run], list[Change]] | None = None
    park_oversized: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)


def submission_keys(ports: Ports, workspace: str, *, pool: str, idempotency: str = "", job: int = NO_JOB) -> list[Key]:
    """What a submission reads: for a dialect's prefetch, so that it rides with the token."""
    keys = [key(Pool, workspace, pool), key(Ledger, ports.settings.cluster), *limits.keys(workspace)]
    if idempotency:
        keys.append(key(Idempotency, workspace, idempotency))
    if job != NO_JOB:
        keys += [key(Job, workspace, job), key(JobActivity, workspace, job)]
    return keys


def submit(ports: Ports, call: Call, spec: RunSpec, request: Request) -> Submitted:
    """Make a run of a spec. Raises Invalid, NotFound (the pool), Unschedulable, TooMany, Gone (the token's run was
    deleted)."""
    check_spec(ports, spec, request.fields)
    check_nesting(ports, call, spec, field=request.fields.get("program", "program"))
    return _make(ports, call, request, lambda found: (spec, None, None), pool=spec.pool)


def run_job(ports: Ports, call: Call, job: int, request: Request, override: Callable[[Job], RunSpec]) -> Submitted:
    """Make a run of a saved job, with its spec overridden. At the job's limit the run is made, and SKIPPED at once.

    Raises as `submit` does, and NotFound for the job.
    """

    def choose(found: dict[Key, object]) -> tuple[RunSpec, Job, JobActivity]:
        saved, activity = found.get(key(Job, call.workspace, job)), found.get(key(JobActivity, call.workspace, job))
        if not isinstance(saved, Job) or not isinstance(activity, JobActivity):
            raise NotFound("Job", job, field="job_id")
        spec = override(saved)
        check_spec(ports, spec, request.fields)
        return spec, saved, activity

    return _make(ports, call, request, choose, pool="default", job=job)


def check_spec(
    ports: Ports, spec: RunSpec, fields: Mapping[str, str] | None = None, *, launching: bool = False
) -> None:
    """Refuse what could never be launched: foreign URIs, protected conf, a Spark version that nobody has, texts that no
    process can be given.

    `fields` maps a spec's parts (`program`, `main_class`, `arguments`, `conf`, `environment`, `spark_version`, and the
    attributes of Files) to what the caller calls them.
    """
    _check_texts(spec, {**_PARTS, **(fields or {})})
    check_carried(spec, field=(fields or {}).get("conf", "conf"))
    late = () if launching else spec.late_schemes
    settings = ports.settings
    check_files(spec, settings.uri_schemes, fields, hosts=settings.https_hosts, late=late)
    version_field = (fields or {}).get("spark_version", "spark_version")
    release_for(spec.spark_version or ports.settings.default_spark, field=version_field)
    if spec.program.kind not in FILE_KINDS:
        return
    if spec.existing_cluster and spec.program.main_class:
        return  # its jar may be the cluster's
    if not spec.program.resource and not (spec.program.main_class and spec.files.jars):
        raise Invalid("The run names neither a program nor a main class with its jar.", field="program")
    if not bootstrapped(spec) and len(image_uri(spec.main_file)) > ENTRY_POINT_LIMIT:
        raise Invalid(f"The program's URI is longer than {ENTRY_POINT_LIMIT} characters.", field="program")


_PARTS = {part: part for part in ("arguments", "main_class", "packages", "conf", "environment")}


def _check_texts(spec: RunSpec, fields: Mapping[str, str]) -> None:
    files = spec.files
    check_words(spec.program.arguments, field=fields["arguments"])
    check_words([spec.program.main_class], field=fields["main_class"])
    check_words([*files.packages, *files.exclude_packages], field=fields["packages"])
    check_conf(spec.conf, field=fields["conf"])
    check_environment(spec.environment, field=fields["environment"], one_line=spec.program.kind in NATIVE)


MAX_NESTING = 10
"""How deep runs may be nested that run jobs."""


def check_nesting(ports: Ports, call: Call, spec: RunSpec, job: int = NO_JOB, *, field: str = "program") -> None:
    """Refuse a spec that runs a job which is not there, or which would run `job` itself again, over however many
    others. Jobs may be changed later: a run looks again (`services.children`). Raises NotFound, Invalid."""
    links: list[int] = [job] if job != NO_JOB else []
    walked = 0
    while spec.program.kind is ProgramKind.RUN_JOB:
        target = int(spec.program.resource)
        if target in links:
            told = ", which runs ".join(f"job {link}" for link in [*links[links.index(target) :], target])
            raise Invalid(f"A job cannot run itself: {told.replace(', which', '', 1)}.", field=field)
        if walked == MAX_NESTING:
            raise Invalid(f"Jobs that run jobs can be nested {MAX_NESTING} deep at most.", field=field)
        job_key = key(Job, call.workspace, target)
        found = read(ports, call, [job_key]).get(job_key)
        if not isinstance(found, Job):
            if not walked:
                raise NotFound("Job", target, field=field)
            return  # a job on the way has lost its target: that one's runs will say so
        links.append(target)
        spec, walked = found.spec, walked + 1


_Chooser = Callable[[dict[Key, object]], tuple[RunSpec, Job | None, JobActivity | None]]


def _make(ports: Ports, call: Call, request: Request, choose: _Chooser, *, pool: str, job: int = NO_JOB) -> Submitted:
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        keys = submission_keys(ports, call.workspace, pool=pool, idempotency=request.idempotency, job=job)
        found = read(ports, call, keys)
        known = found.get(key(Idempotency, call.workspace, request.idempotency)) if request.idempotency else None
        if known is not None:
            return _replayed(known)
        spec, saved, activity = choose(found)
        if spec.pool != pool:
            found |= read(ports, call, [key(Pool, call.workspace, spec.pool)])
        spec = _with_defaults(ports, call, spec, found)
        check_carried(spec, field=request.fields.get("conf", "conf"))
        run = _new_run(ports, call, request, spec, activity)
        run = _judge(ports, run, saved, activity, request, found)
        try:
            beside = request.beside(run) if request.beside else []
            ports.store.commit([*_changes(ports, run, activity, request), *beside])
            return Submitted(run.id, run.number_in_job, True, run)
        except Clash:
            call = replace(call, snapshot={})
    raise Conflict("Too many submissions at once; please try again.")


def replayed(ports: Ports, call: Call, token: str) -> Submitted | None:
    """What an idempotency token answers that has made a run, whatever else the request says (seed 004, "Run now"); None
    for a token that is new. Raises Gone when its run was deleted."""
    once = key(Idempotency, call.workspace, token)
    known: Idempotency | None = read(ports, call, [once]).get(once)
    return _replayed(known) if known else None


def _replayed(known: Idempotency) -> Submitted:
    if known.deleted:
        raise Gone("Run", known.run, field="idempotency_token")
    return Submitted(known.run, 0, False)


def _with_defaults(ports: Ports, call: Call, spec: RunSpec, found: dict[Key, object]) -> RunSpec:
    """The spec with its pool's defaults beneath it, placed where the pool says."""
    pool = found.get(key(Pool, call.workspace, spec.pool))
    if not isinstance(pool, Pool):
        raise NotFound("Pool", spec.pool, field="pool")
    version = spec.spark_version or pool.spark_version or ports.settings.default_spark
    return replace(with_defaults(spec, pool.conf), spark_version=version, placement=pool.placement)


def _new_run(ports: Ports, call: Call, request: Request, spec: RunSpec, activity: JobActivity | None) -> Run:
    now = ports.clock.now()
    id = make_id(now, ports.dice.bits(RANDOM_BITS))
    return Run(
        workspace=call.workspace,
        id=id,
        spec=spec,
        created_by=call.principal.name,
        created_at=now,
        job=activity.job if activity else NO_JOB,
        number_in_job=activity.last_number + 1 if activity else 1,
        first_attempt=id,
        trigger=request.trigger,
        parent=request.parent.id if request.parent else 0,
        depth=request.parent.depth + 1 if request.parent else 0,
        idempotency=request.idempotency,
    )


def _judge(
    ports: Ports,
    run: Run,
    saved: Job | None,
    activity: JobActivity | None,
    request: Request,
    found: Mapping[Key, object],
) -> Run:
    """The run as it is to be created: queued, skipped at its job's limit, or refused at the workspace's limits or as
    too large. A schedule that comes to the workspace's limits makes a run that is skipped, for all to see."""
    if saved and activity and len(activity.active) >= saved.max_concurrent_runs:
        message = f"The job is at its limit of {saved.max_concurrent_runs} concurrent runs."
        return _skipped(run, "MAX_CONCURRENT_RUNS", message)
    refused = limits.of_runs(ports, run.workspace, found)
    if refused and request.trigger is Trigger.SCHEDULE:
        return _skipped(run, "WORKSPACE_LIMIT", refused.message)
    if refused:
        raise refused
    ledger = found.get(key(Ledger, ports.settings.cluster))
    where = pool_key(run.workspace, run.spec.pool)
    never = too_large(ledger, where, run.spec.amount()) if isinstance(ledger, Ledger) else None
    if never and not request.park_oversized:
        raise Unschedulable(never.message, field="size")
    return replace(run, reason="OVERSIZED", message=never.message) if never else run


def _skipped(run: Run, reason: str, message: str) -> Run:
    return replace(run, state=RunState.SKIPPED, reason=reason, message=message, ended_at=run.created_at)


def _changes(ports: Ports, run: Run, activity: JobActivity | None, request: Request) -> list[Change]:
    changes: list[Change] = [Put(run)]
    if run.state is RunState.QUEUED:
        changes.append(Put(queue_row(ports, run)))
    if activity:
        active = activity.active if run.ended else activity.active | {run.id}
        fired = max(activity.fired, request.fire)
        changes.append(Put(replace(activity, last_number=run.number_in_job, active=active, fired=fired)))
    if request.idempotency:
        expires = run.created_at + ports.settings.retention_ms
        changes.append(Put(Idempotency(run.workspace, request.idempotency, run.id, expires_at=expires)))
    return changes


def queue_row(ports: Ports, run: Run) -> QueueRow:
    """The run's place in its pool's queue."""
    return QueueRow(
        cluster=ports.settings.cluster,
        workspace=run.workspace,
        pool=run.spec.pool,
        run=run.id,
        ready_at=max(run.created_at, run.not_before),
        amount=run.spec.amount(),
    )
