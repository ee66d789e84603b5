"""Databricks' settings as core's specs. Pure, but for the wire's Misfit that becomes Databricks' message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from chalicelib.core.cron import Schedule, check_zone
from chalicelib.core.errors import Invalid
from chalicelib.core.model import CronSchedule, Job, Policy, Program, ProgramKind, RunSpec
from chalicelib.dialects.databricks_jobs.clusters import with_cluster
from chalicelib.dialects.databricks_jobs.libraries import with_libraries
from chalicelib.dialects.databricks_jobs.notifications import notifications
from chalicelib.dialects.databricks_jobs.reading import DIALECT, Locate
from chalicelib.dialects.databricks_jobs.schemas import TASKS, JobSettings, RunsSubmit, TaskSettings
from chalicelib.dialects.databricks_jobs.tasks import CLUSTERLESS, TASK_SPECS, for_its_program, the_task


def job_spec(settings: JobSettings, raw: Mapping[str, Any], locate: Locate) -> RunSpec:
    """The spec that runs of a job are made of. `raw` is the body, which answers repeat."""
    policy = Policy(
        timeout_ms=settings.timeout_seconds * 1000,
        max_retries=settings.max_retries,
        min_retry_interval_ms=settings.min_retry_interval_millis,
        retry_on_timeout=settings.retry_on_timeout,
    )
    return _spec(settings, raw, settings.name, policy, locate)


def cron_schedule(settings: JobSettings) -> CronSchedule | None:
    """A job's schedule, checked: Quartz's grammar with Quartz's own words for what is wrong, and the time zone."""
    told = settings.schedule
    if told is None:
        return None
    try:
        Schedule.parse_quartz(told.quartz_cron_expression)
    except Invalid as invalid:
        message = (
            f"Invalid quartz_cron_expression: {_start_of(told.quartz_cron_expression)}. {_start_of(invalid.message)}"
        )
        raise Invalid(f"{message} {_QUARTZ}", field="schedule.quartz_cron_expression") from None
    check_zone(told.timezone_id, field="schedule.timezone_id")
    return CronSchedule(told.quartz_cron_expression, told.timezone_id, 0, told.pause_status == "PAUSED")


MAX_TOLD = 400
"""Characters of a caller's text that an error repeats."""


def _start_of(text: str) -> str:
    return text if len(text) <= MAX_TOLD else f"{text[:MAX_TOLD]}..."


_QUARTZ = (
    "Databricks uses Quartz cron syntax, which is different from the standard cron syntax. See "
    "http://www.quartz-scheduler.org/documentation/quartz-2.1.x/tutorials/crontrigger.html for more details."
)


def updated_settings(job: Job, new_settings: Mapping[str, Any], fields_to_remove: Sequence[str]) -> dict[str, Any]:
    """A job's settings after an update (seed 004, "Update"): top-level fields are replaced whole, and setting one
    member of a one-of clears the others."""
    for name in fields_to_remove:
        if name not in JobSettings.model_fields:
            raise Invalid(f"fields_to_remove: {name!r} is not a top-level field of a job.", field="fields_to_remove")
    kept = {name: value for name, value in job.settings.items() if name not in fields_to_remove}
    for group in (TASKS, ("new_cluster", "existing_cluster_id")):
        if any(new_settings.get(name) is not None for name in group):
            kept = {name: value for name, value in kept.items() if name not in group}
    return {**kept, **new_settings}


def submit_spec(submit: RunsSubmit, raw: Mapping[str, Any], locate: Locate) -> RunSpec:
    """The spec of a one-time run."""
    return _spec(submit, raw, submit.run_name, Policy(timeout_ms=submit.timeout_seconds * 1000), locate)


def _spec(settings: TaskSettings, raw: Mapping[str, Any], name: str, policy: Policy, locate: Locate) -> RunSpec:
    task = the_task(settings)
    if len(name.encode()) > 4096:
        raise Invalid("The name is longer than 4096 bytes.", field="name")
    original = {
        "task": {task: raw[task]},
        "cluster_spec": {k: raw[k] for k in CLUSTER_SPEC if raw.get(k)},
        **({"schedule": raw["schedule"]} if raw.get("schedule") else {}),
    }
    spec = RunSpec(
        name=name,
        program=Program(ProgramKind.PYTHON),
        policy=policy,
        late_schemes=LATE_SCHEMES,
        notifications=notifications(settings),
        dialect=DIALECT,
        original=original,
    )
    spec = with_libraries(_on_cluster(spec, settings, locate), settings.libraries, locate)
    return for_its_program(TASK_SPECS[task](spec, settings, locate))


LATE_SCHEMES = ("gs",)
"""URIs that the document allows everywhere: where the deployment's Spark cannot read them, the run fails."""


CLUSTER_SPEC = ("existing_cluster_id", "new_cluster", "libraries")
"""The fields of a ClusterSpec."""


def _on_cluster(spec: RunSpec, settings: TaskSettings, locate: Locate) -> RunSpec:
    """The spec with what its cluster says: a new one, or one that is to exist when the run starts."""
    _check_cluster(settings)
    cluster = settings.new_cluster
    if cluster is None:
        return replace(spec, existing_cluster=settings.existing_cluster_id or "")
    return with_cluster(spec, cluster, locate)


def _check_cluster(settings: TaskSettings) -> None:
    if settings.existing_cluster_id is not None and settings.new_cluster is not None:
        raise Invalid("Only one of new_cluster and existing_cluster_id may be specified.", field="existing_cluster_id")
    named = settings.existing_cluster_id is not None or settings.new_cluster is not None
    if not named and the_task(settings) not in CLUSTERLESS:
        raise Invalid("One of new_cluster or existing_cluster_id must be specified.", field="new_cluster")


def known_settings(settings: JobSettings, raw: Mapping[str, Any]) -> dict[str, Any]:
    """What get and list return of a job's settings: what was given and is known, in the order given, and the defaults
    that the document's own answers show."""
    known = {name: value for name, value in raw.items() if name in JobSettings.model_fields and value is not None}
    if settings.schedule:
        known["schedule"] = {**known["schedule"], "pause_status": settings.schedule.pause_status}
    return {"name": settings.name, **known, "max_concurrent_runs": settings.max_concurrent_runs}
