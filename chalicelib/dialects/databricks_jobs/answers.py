"""Core's jobs and runs in Databricks' words. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.core.ids import cluster_id
from chalicelib.core.model import NO_JOB, Job, ProgramKind, Run, RunSpec, Trigger
from chalicelib.core.states import INTENT_END, Intent, RunState
from chalicelib.dialects.databricks_jobs.reading import DIALECT
from chalicelib.dialects.databricks_jobs.runtimes import stand_in


def job_body(job: Job) -> dict[str, Any]:
    """A Job on the wire."""
    return {
        "job_id": job.id,
        **({"creator_user_name": job.created_by, "run_as_user_name": job.created_by} if job.created_by else {}),
        "settings": dict(job.settings) or _foreign_settings(job),
        "created_time": job.created_at,
    }


def _foreign_settings(job: Job) -> dict[str, Any]:
    return {"name": job.spec.name, **_task_of(job.spec), "max_concurrent_runs": job.max_concurrent_runs}


S = RunState
LIFE_CYCLE: Mapping[RunState, str] = {
    S.QUEUED: "PENDING",
    S.GRANTED: "PENDING",
    S.LAUNCHING: "PENDING",
    S.RUNNING: "RUNNING",
    S.TERMINATING: "TERMINATING",
    S.SUCCEEDED: "TERMINATED",
    S.FAILED: "TERMINATED",
    S.CANCELED: "TERMINATED",
    S.TIMED_OUT: "TERMINATED",
    S.SKIPPED: "SKIPPED",
    S.INTERNAL_ERROR: "INTERNAL_ERROR",
}
"""Seed 004, "RunLifeCycleState". QUEUED is only for runs with queueing enabled, which 2.0 has no field for."""

RESULT: Mapping[RunState, str | None] = {
    **dict.fromkeys((S.QUEUED, S.GRANTED, S.LAUNCHING, S.RUNNING, S.TERMINATING, S.SKIPPED), None),
    S.SUCCEEDED: "SUCCESS",
    S.FAILED: "FAILED",
    S.CANCELED: "CANCELED",
    S.TIMED_OUT: "TIMEDOUT",
    S.INTERNAL_ERROR: "FAILED",
}
"""Seed 004, "RunResultState". A run that is being ended has the result that its end will have (`_result`)."""

_WAITING = {
    S.QUEUED: "Waiting for capacity",
    S.GRANTED: "Waiting for cluster",
    S.LAUNCHING: "Waiting for cluster",
    S.RUNNING: "In run",
    S.TERMINATING: "Terminating the driver",
}


def _result(run: Run) -> str | None:
    """The result state: while a run is being ended, and after an internal error, only if the task had started; and of
    a run whose cluster does not exist, as Databricks has it (`wire/databricks_jobs_2_0.md`, "Runs get")."""
    no_cluster = bool(run.spec.existing_cluster)
    if run.state in {S.TERMINATING, S.INTERNAL_ERROR} and not run.started_at and not no_cluster:
        return None
    return RESULT[INTENT_END.get(run.intent, run.state) if run.state is S.TERMINATING else run.state]


def state_body(run: Run, waiting: str = "") -> dict[str, Any]:
    """A RunState on the wire. `waiting` is why the run waits, where that is known. While a run lives its message also
    says which Spark stands in for the one asked for; after its end the message tells the end alone."""
    result = _result(run)
    told = waiting or run.message or _WAITING.get(run.state, "")
    return {
        "life_cycle_state": LIFE_CYCLE[run.state],
        **({"result_state": result} if result else {}),
        "state_message": told if run.ended else " ".join(filter(None, (told, stand_in(run)))),
        "user_cancelled_or_timedout": run.intent is not Intent.NONE or run.state in {S.CANCELED, S.TIMED_OUT},
    }


TRIGGERS = {Trigger.ON_DEMAND: "ONE_TIME", Trigger.SCHEDULE: "PERIODIC", Trigger.RETRY: "RETRY",
            Trigger.RUN_JOB: "RUN_JOB_TASK"}  # fmt: skip


def run_body(run: Run, api_url: str, waiting: str = "") -> dict[str, Any]:
    """A Run on the wire. `waiting` is why it waits, where that is known."""
    one_time = run.job == NO_JOB
    job = run.first_attempt if one_time else run.job
    instance = {"cluster_id": cluster_id(run.id), "spark_context_id": run.application_id}
    child = _child_of(run)
    original = run.spec.original if run.spec.dialect == DIALECT else {}
    parameters = original.get("overriding_parameters")
    schedule = original.get("schedule") if run.trigger is Trigger.SCHEDULE else None
    return {
        "job_id": job,
        "run_id": run.id,
        "number_in_job": run.number_in_job,
        "original_attempt_run_id": run.first_attempt or run.id,
        "state": state_body(run, waiting),
        **({"schedule": {"pause_status": "UNPAUSED", **schedule}} if schedule else {}),
        "task": _task_of(run.spec),
        "cluster_spec": _cluster_of(run.spec),
        **({"cluster_instance": {k: v for k, v in instance.items() if v}} if run.engine_id and not child else {}),
        **child,
        **({"overriding_parameters": parameters} if parameters else {}),
        "start_time": run.created_at,
        **_durations(run),
        "end_time": run.ended_at,
        "trigger": TRIGGERS[run.trigger],
        **({"creator_user_name": run.created_by} if run.created_by else {}),
        "run_name": run.spec.name,
        "run_page_url": f"{api_url}/#job/{job}/run/{run.number_in_job}",
        "run_type": "SUBMIT_RUN" if one_time else "JOB_RUN",
        "attempt_number": run.attempt,
        "format": "SINGLE_TASK",
    }


def _durations(run: Run) -> dict[str, int]:
    """Milliseconds of a run's parts (seed 004, "Runs get"): until its driver ran, until its end was asked for or came,
    and the rest; together `run_duration`. A part that has not ended yet is 0."""
    started = run.started_at or run.ended_at
    stopped = run.ending_at or run.ended_at
    return {
        "setup_duration": max(0, started - run.created_at) if started else 0,
        "execution_duration": stopped - run.started_at if run.ended_at and run.started_at else 0,
        "cleanup_duration": run.ended_at - stopped if run.ended_at and run.started_at else 0,
        "run_duration": run.ended_at - run.created_at if run.ended_at else 0,
    }


def _child_of(run: Run) -> dict[str, Any]:
    """The run that a run-job task has made (from newer versions of the API)."""
    if run.spec.program.kind is not ProgramKind.RUN_JOB or not run.engine_id:
        return {}
    return {"run_job_output": {"run_id": int(run.engine_id)}}


def runs_body(runs: Sequence[Run], api_url: str, *, more: bool, most: int) -> dict[str, Any]:
    """A page of runs: as many of them as fit an answer of so many bytes, as Lambda counts them (JSON within JSON), and
    whether there are others."""
    bodies: list[dict[str, Any]] = []
    size = 0
    for run in runs:
        body = run_body(run, api_url)
        size += len(json.dumps(json.dumps(body, ensure_ascii=False)))
        if bodies and size > most:
            return {"runs": bodies, "has_more": True}
        bodies.append(body)
    return {"runs": bodies, "has_more": more}


def _task_of(spec: RunSpec) -> dict[str, Any]:
    """The run's task as it was given here, or one that says the same of a run from elsewhere."""
    if spec.dialect == DIALECT and "task" in spec.original:
        return dict(spec.original["task"])
    program = spec.program
    if program.kind is ProgramKind.PYTHON:
        return {"spark_python_task": {"python_file": program.resource, "parameters": list(program.arguments)}}
    if program.kind is ProgramKind.JAR:
        jar = {"main_class_name": program.main_class, "parameters": list(program.arguments)}
        return {"spark_jar_task": {**jar, **({"jar_uri": program.resource} if program.resource else {})}}
    if program.kind is ProgramKind.NOTEBOOK:
        return {"notebook_task": {"notebook_path": program.resource, "base_parameters": dict(program.parameters)}}
    return {"spark_submit_task": {"parameters": [program.resource, *program.arguments]}}


def _cluster_of(spec: RunSpec) -> dict[str, Any]:
    if spec.dialect == DIALECT and spec.original.get("cluster_spec"):
        return dict(spec.original["cluster_spec"])
    cluster = {"spark_version": spec.spark_version, "num_workers": spec.size.executors, "spark_conf": dict(spec.conf)}
    return {"new_cluster": cluster}


def output_body(run: Run, api_url: str, logs: str, most: int, waiting: str = "") -> dict[str, Any]:
    """What get-output answers for a task that is no notebook: the run, why it failed, and its standard output."""
    return {
        "metadata": run_body(run, api_url, waiting),
        **_child_of(run),
        **_error(run),
        "logs": (cut := _first(logs, most)),
        "logs_truncated": len(cut) < len(logs),
    }


def notebook_output_body(run: Run, api_url: str, result: str | None, truncated: bool) -> dict[str, Any]:
    """What get-output answers for a notebook. One that has not called exit() has an output without a result."""
    output = {} if result is None else {"result": result, "truncated": truncated}
    return {"metadata": run_body(run, api_url), "notebook_output": output, **_error(run)}


def export_body(run: Run, page: str) -> dict[str, Any]:
    """What export answers: the notebook as a page."""
    name = run.spec.program.resource.rpartition("/")[2]
    return {"views": [{"content": page, "name": name, "type": "NOTEBOOK"}]}


def _error(run: Run) -> dict[str, Any]:
    told = run.report.get("error")
    trace = told.get("traceback") if isinstance(told, Mapping) else None
    return {
        **({"error": run.message} if run.ended and run.state is not S.SUCCEEDED and run.message else {}),
        **({"error_trace": trace} if trace else {}),
    }


def _first(text: str, most: int) -> str:
    """The start of a text that is at most so many bytes, and not much more in the function's result, where it is JSON
    within JSON: the size that Lambda limits."""
    cut = text.encode()[:most].decode(errors="ignore")
    while (size := len(json.dumps(json.dumps(cut, ensure_ascii=False)))) > most + most // 10:
        cut = cut[: len(cut) * most // size]
    return cut
