"""Databricks' words to core's, and back. Pure, but for the wire's Misfit that becomes Databricks' message."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from chalicelib.core.cron import Schedule, check_zone
from chalicelib.core.errors import Invalid, Malformed
from chalicelib.core.model import (
    NO_JOB,
    CronSchedule,
    Files,
    Job,
    Policy,
    Program,
    ProgramKind,
    Run,
    RunSpec,
    Size,
    Trigger,
)
from chalicelib.core.spark import parse_submit, size_from_conf
from chalicelib.core.states import INTENT_END, Intent, RunState
from chalicelib.dialects.databricks_jobs.nodes import node
from chalicelib.dialects.databricks_jobs.schemas import (
    MULTI_TASK,
    TASKS,
    TASKS_WITHOUT_ENGINE,
    JobSettings,
    Library,
    NewCluster,
    RunNow,
    RunsSubmit,
    TaskSettings,
)
from chalicelib.dialects.wire import M, Misfit, fit

DIALECT = "databricks_jobs"

Locate = Callable[[str], str]
"""Turns a `dbfs:/` path into the URI of the workspace's own copy."""


_TYPES = {
    **{name: name for name in ("object", "array", "string")},
    "an object": "object",
    "an integer": "integer",
    "an integer of 64 bits": "integer of 64 bits",
    "true or false": "boolean",
}
"""What a schema says that it expected -> the type's name in Databricks' message."""


def parse(schema: type[M], data: Any, *, where: str = "") -> M:
    """`fit`, with what is wrong in Databricks' words (`wire/databricks_jobs_2_0.md`, 1.3)."""
    try:
        return fit(schema, data)
    except Misfit as misfit:
        field = f"{where}{misfit.field}"
        if misfit.missing:
            raise Invalid(f"Missing required field: {field}", field=field) from None
        if misfit.expected in _TYPES:
            raise Malformed(
                f"Could not parse request object: Expected {_TYPES[misfit.expected]} for field {field}, "
                f"found {misfit.found}",
                field=field,
            ) from None
        raise Invalid(f"Invalid value for field {field}: {misfit.expected}", field=field) from None


def refuse_multi_task(data: Mapping[str, Any]) -> None:
    """Refuse the fields of newer versions that change what the request means."""
    for name in MULTI_TASK:
        if name in data:
            raise Invalid(f"{name} is not part of Jobs API 2.0: this service runs single-task jobs.", field=name)


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
    task = _the_task(settings)
    cluster = _cluster(settings)
    if len(name.encode()) > 4096:
        raise Invalid("The name is longer than 4096 bytes.", field="name")
    original = {
        "task": {task: raw[task]},
        "cluster_spec": {k: raw[k] for k in ("new_cluster", "libraries") if raw.get(k)},
        **({"schedule": raw["schedule"]} if raw.get("schedule") else {}),
    }
    spec = RunSpec(
        name=name,
        program=Program(ProgramKind.PYTHON),
        pool=cluster.instance_pool_id or "default",
        files=_libraries(settings.libraries, locate),
        conf=_conf(cluster),
        environment=_ascii_map(cluster.spark_env_vars, "new_cluster.spark_env_vars"),
        size=_size(cluster),
        spark_version=spark_version(cluster.spark_version),
        policy=policy,
        dialect=DIALECT,
        original=original,
    )
    return _TASK_SPECS[task](spec, settings, locate)


def _the_task(settings: TaskSettings) -> str:
    named = [task for task in TASKS if getattr(settings, task) is not None]
    if len(named) != 1:
        told = f"found {' and '.join(named)}" if named else "found none"
        raise Invalid(f"Exactly one of {', '.join(TASKS)} must be specified; {told}.", field="task")
    if named[0] in TASKS_WITHOUT_ENGINE:
        raise Invalid(f"{named[0]} is not supported by this service yet.", field=named[0])
    return named[0]


_PARTS = ("program", "conf", "jars", "py_files", "files", "archives")
_CLUSTERED = {"conf": "new_cluster.spark_conf", "jars": "libraries", "py_files": "libraries"}
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "spark_python_task": {**_CLUSTERED, "program": "spark_python_task.python_file"},
    "spark_jar_task": {**_CLUSTERED, "program": "spark_jar_task.jar_uri"},
    "spark_submit_task": dict.fromkeys(_PARTS, "spark_submit_task.parameters"),
}
RUN_NOW_FIELDS: Mapping[str, str] = dict.fromkeys(_PARTS, "spark_submit_params")
"""Of run-now's parameters only spark-submit's name files and settings; a job's own were checked when it was made."""


def field_names(spec: RunSpec) -> Mapping[str, str]:
    """What the parts of a spec that was made here are called on the wire."""
    return _FIELDS[next(iter(spec.original["task"]))]


def _cluster(settings: TaskSettings) -> NewCluster:
    if settings.existing_cluster_id is not None and settings.new_cluster is not None:
        raise Invalid("Only one of new_cluster and existing_cluster_id may be specified.", field="existing_cluster_id")
    if settings.existing_cluster_id is not None:
        raise Invalid(f"Cluster {settings.existing_cluster_id} does not exist.", field="existing_cluster_id")
    if settings.new_cluster is None:
        raise Invalid("One of new_cluster or existing_cluster_id must be specified.", field="new_cluster")
    if settings.new_cluster.init_scripts:
        raise Invalid("init_scripts are not supported by this service yet.", field="new_cluster.init_scripts")
    return settings.new_cluster


def _size(cluster: NewCluster) -> Size:
    """A cluster's nodes as driver and executors: one executor a worker, with the worker's cores and usable memory."""
    where = "settings.cluster_spec.new_cluster"
    if (cluster.num_workers is None) == (cluster.autoscale is None):
        if cluster.num_workers is None:
            raise Invalid(f"Missing required field: {where}.size", field="new_cluster.num_workers")
        raise Invalid("Only one of num_workers and autoscale may be specified.", field="new_cluster.autoscale")
    if cluster.node_type_id is None and cluster.instance_pool_id is None:
        raise Invalid(f"Missing required field: {where}.node_type_id", field="new_cluster.node_type_id")
    worker = node(cluster.node_type_id or "m5.large", field="new_cluster.node_type_id")
    driver = node(cluster.driver_node_type_id, field="driver_node_type_id") if cluster.driver_node_type_id else worker
    least, most = _workers(cluster)
    size = Size(driver.cores, driver.memory, max(1, least), most, worker.cores, worker.memory)
    return size_from_conf(cluster.spark_conf, size)


def _workers(cluster: NewCluster) -> tuple[int, int]:
    if cluster.autoscale is None:
        workers = cluster.num_workers or 0
        if not 0 <= workers <= 100_000:
            raise Invalid("num_workers must be between 0 and 100000.", field="new_cluster.num_workers")
        return workers, 0
    least, most = cluster.autoscale.min_workers, cluster.autoscale.max_workers
    if not 0 <= least < most <= 100_000:
        raise Invalid("autoscale.max_workers must be strictly greater than min_workers.", field="new_cluster.autoscale")
    return least, most


def _conf(cluster: NewCluster) -> dict[str, str]:
    """The Spark conf without what only Databricks' own clusters know: the markers of a single-node cluster."""
    return {
        name: value
        for name, value in cluster.spark_conf.items()
        if not (name == "spark.master" and value.startswith("local["))
        and not name.startswith("spark.databricks.cluster.")
    }


def _ascii_map(texts: Mapping[str, str], field: str) -> dict[str, str]:
    for name, value in texts.items():
        if not (name + value).isascii():
            raise Invalid(f"{field}: {name} has characters that are not ASCII.", field=field)
    return dict(texts)


_RUNTIMES = {7: "3.0", 8: "3.1", 9: "3.1", 10: "3.2", 11: "3.3", 12: "3.3", 13: "3.4", 14: "3.5", 15: "3.5", 16: "3.5",
             17: "4.0", 18: "4.1"}  # fmt: skip
"""Databricks Runtime major -> the Spark that it carried."""

_RUNTIME = re.compile(
    r"(?:apache-spark-)?(?P<major>\d+)\.(?:\d+|x)(?:\.x)?(?:-[a-z0-9]+)*?(?:-scala\d\.\d+)?", re.ASCII
)


def spark_version(runtime: str) -> str:
    """The Spark version of a Databricks Runtime such as `7.5.x-scala2.12`. Raises Invalid for any other text."""
    match = _RUNTIME.fullmatch(runtime)
    if not match or int(match["major"]) > max(_RUNTIMES):
        raise Invalid(f"Invalid spark version {runtime}.", field="new_cluster.spark_version")
    return _RUNTIMES.get(int(match["major"]), _RUNTIMES[min(_RUNTIMES)])


def _libraries(libraries: tuple[Library, ...], locate: Locate) -> Files:
    files = Files()
    for position, library in enumerate(libraries):
        told = [name for name in ("jar", "egg", "whl", "maven", "pypi", "cran") if getattr(library, name) is not None]
        field = f"libraries.{position}"
        if len(told) != 1:
            raise Invalid(f"{field}: exactly one of jar, egg, whl, pypi, maven and cran must be set.", field=field)
        if told[0] in {"pypi", "cran"}:
            raise Invalid(f"{field}: {told[0]} libraries are not supported by this service yet.", field=field)
        files = _with_library(files, library, locate)
    return files


def _with_library(files: Files, library: Library, locate: Locate) -> Files:
    if library.maven:
        repositories = (library.maven.repo,) if library.maven.repo else ()
        return replace(
            files,
            packages=(*files.packages, library.maven.coordinates),
            exclude_packages=(*files.exclude_packages, *library.maven.exclusions),
            repositories=(*files.repositories, *repositories),
        )
    if library.jar:
        return replace(files, jars=(*files.jars, locate(library.jar)))
    return replace(files, py_files=(*files.py_files, locate(library.whl or library.egg or "")))


MAX_PARAMETERS = 10_000
"""Bytes of the JSON of one parameter list (seed 004, "Run now")."""


def _parameters(parameters: tuple[str, ...], field: str, *, ascii_only: bool = True) -> tuple[str, ...]:
    if ascii_only and not all(p.isascii() for p in parameters):
        raise Invalid(f"{field}: parameters accept only Latin characters (ASCII character set).", field=field)
    if len(json.dumps({field.rpartition(".")[2]: parameters}).encode()) > MAX_PARAMETERS:
        raise Invalid(
            f"{field}: the JSON representation of the parameters exceeds {MAX_PARAMETERS} bytes.", field=field
        )
    return parameters


def _python(spec: RunSpec, settings: TaskSettings, locate: Locate) -> RunSpec:
    task = settings.spark_python_task
    assert task is not None
    arguments = _parameters(task.parameters, "spark_python_task.parameters")
    return replace(spec, program=Program(ProgramKind.PYTHON, locate(task.python_file), arguments=arguments))


def _jar(spec: RunSpec, settings: TaskSettings, locate: Locate) -> RunSpec:
    task = settings.spark_jar_task
    assert task is not None
    if not task.main_class_name:
        raise Invalid("Missing required field: spark_jar_task.main_class_name", field="spark_jar_task.main_class_name")
    if not spec.files.jars and not task.jar_uri:
        raise Invalid("spark_jar_task needs a jar among its libraries.", field="libraries")
    resource = locate(task.jar_uri) if task.jar_uri else ""
    arguments = _parameters(task.parameters, "spark_jar_task.parameters", ascii_only=False)
    return replace(spec, program=Program(ProgramKind.JAR, resource, task.main_class_name, arguments))


_CONFIGURED = {"--master", "--deploy-mode", "--executor-cores"}


def _submit(spec: RunSpec, settings: TaskSettings, locate: Locate) -> RunSpec:
    """Seed 004, "SparkSubmitTask": no libraries, no spark_conf, and three options that the service sets."""
    task, cluster = settings.spark_submit_task, settings.new_cluster
    assert task is not None and cluster is not None
    if settings.libraries or cluster.spark_conf:
        raise Invalid("spark_submit_task does not support libraries and spark_conf.", field="libraries")
    return submit_parameters(spec, task.parameters, locate)


def submit_parameters(spec: RunSpec, parameters: tuple[str, ...], locate: Locate) -> RunSpec:
    """The spec with what spark-submit parameters say; `dbfs:/` works in every list of files."""
    field = "spark_submit_task.parameters"
    for word in parameters:
        if word.partition("=")[0] in _CONFIGURED:
            raise Invalid(f"{field}: {word.partition('=')[0]} is configured by the service.", field=field)
    spec = parse_submit(spec, _parameters(parameters, field), field=field)
    files = replace(
        spec.files,
        jars=tuple(map(locate, spec.files.jars)),
        py_files=tuple(map(locate, spec.files.py_files)),
        files=tuple(map(locate, spec.files.files)),
        archives=tuple(map(locate, spec.files.archives)),
    )
    return replace(spec, files=files, program=replace(spec.program, resource=locate(spec.program.resource)))


_TASK_SPECS: Mapping[str, Callable[[RunSpec, TaskSettings, Locate], RunSpec]] = {
    "spark_python_task": _python,
    "spark_jar_task": _jar,
    "spark_submit_task": _submit,
}

_OVERRIDES = {
    "python_params": "spark_python_task",
    "jar_params": "spark_jar_task",
    "spark_submit_params": "spark_submit_task",
    "notebook_params": "notebook_task",
}


def overridden(job: Job, now: RunNow, locate: Locate) -> RunSpec:
    """A job's spec with a run's own parameters (seed 004, "RunParameters"): each kind of task takes its own kind."""
    told = {name: getattr(now, name) for name in _OVERRIDES if getattr(now, name) is not None}
    if "notebook_params" in told and "jar_params" in told:
        raise Invalid("notebook_params cannot be specified in conjunction with jar_params.", field="notebook_params")
    told = {name: value for name, value in told.items() if value}
    spec = job.spec
    if not told:
        return spec
    task = next(iter(spec.original.get("task", {})), "")
    for name, value in told.items():
        if _OVERRIDES[name] != task:
            raise Invalid(f"{name} cannot be given to a job with a {task}.", field=name)
        if name == "spark_submit_params":
            spec = submit_parameters(replace(spec, files=Files()), value, locate)
        else:
            arguments = _parameters(value, name, ascii_only=name != "jar_params")
            spec = replace(spec, program=replace(spec.program, arguments=arguments))
    return replace(spec, original={**spec.original, "overriding_parameters": {n: list(v) for n, v in told.items()}})


def known_settings(settings: JobSettings, raw: Mapping[str, Any]) -> dict[str, Any]:
    """What get and list return of a job's settings: what was given and is known, in the order given, and the defaults
    that the document's own answers show."""
    known = {name: value for name, value in raw.items() if name in JobSettings.model_fields and value is not None}
    if settings.schedule:
        known["schedule"] = {**known["schedule"], "pause_status": settings.schedule.pause_status}
    return {"name": settings.name, **known, "max_concurrent_runs": settings.max_concurrent_runs}


def job_body(job: Job) -> dict[str, Any]:
    """A Job on the wire."""
    return {
        "job_id": job.id,
        "creator_user_name": job.created_by,
        "run_as_user_name": job.created_by,
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
    """The result state: while a run is being ended, and after an internal error, only if the task had started."""
    if run.state in {S.TERMINATING, S.INTERNAL_ERROR} and not run.started_at:
        return None
    return RESULT[INTENT_END.get(run.intent, run.state) if run.state is S.TERMINATING else run.state]


def state_body(run: Run) -> dict[str, Any]:
    """A RunState on the wire."""
    result = _result(run)
    return {
        "life_cycle_state": LIFE_CYCLE[run.state],
        **({"result_state": result} if result else {}),
        "state_message": run.message or _WAITING.get(run.state, ""),
        "user_cancelled_or_timedout": run.intent is not Intent.NONE or run.state in {S.CANCELED, S.TIMED_OUT},
    }


TRIGGERS = {Trigger.ON_DEMAND: "ONE_TIME", Trigger.SCHEDULE: "PERIODIC", Trigger.RETRY: "RETRY"}


def run_body(run: Run, api_url: str) -> dict[str, Any]:
    """A Run on the wire."""
    one_time = run.job == NO_JOB
    job = run.first_attempt if one_time else run.job
    started = run.started_at or run.ended_at
    instance = {"cluster_id": run.engine_id, "spark_context_id": run.application_id}
    original = run.spec.original if run.spec.dialect == DIALECT else {}
    parameters = original.get("overriding_parameters")
    schedule = original.get("schedule") if run.trigger is Trigger.SCHEDULE else None
    return {
        "job_id": job,
        "run_id": run.id,
        "number_in_job": run.number_in_job,
        "original_attempt_run_id": run.first_attempt or run.id,
        "state": state_body(run),
        **({"schedule": {"pause_status": "UNPAUSED", **schedule}} if schedule else {}),
        "task": _task_of(run.spec),
        "cluster_spec": _cluster_of(run.spec),
        **({"cluster_instance": {k: v for k, v in instance.items() if v}} if run.engine_id else {}),
        **({"overriding_parameters": parameters} if parameters else {}),
        "start_time": run.created_at,
        "setup_duration": max(0, started - run.created_at) if started else 0,
        "execution_duration": run.ended_at - run.started_at if run.ended_at and run.started_at else 0,
        "cleanup_duration": 0,
        "end_time": run.ended_at,
        "trigger": TRIGGERS[run.trigger],
        "creator_user_name": run.created_by,
        "run_name": run.spec.name,
        "run_page_url": f"{api_url}/#job/{job}/run/{run.number_in_job}",
        "run_type": "SUBMIT_RUN" if one_time else "JOB_RUN",
        "attempt_number": run.attempt,
        "format": "SINGLE_TASK",
    }


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
    return {"spark_submit_task": {"parameters": [program.resource, *program.arguments]}}


def _cluster_of(spec: RunSpec) -> dict[str, Any]:
    if spec.dialect == DIALECT and spec.original.get("cluster_spec"):
        return dict(spec.original["cluster_spec"])
    cluster = {"spark_version": spec.spark_version, "num_workers": spec.size.executors, "spark_conf": dict(spec.conf)}
    return {"new_cluster": cluster}


def output_body(run: Run, api_url: str, logs: str, most: int) -> dict[str, Any]:
    """What get-output answers for a task that is no notebook: the run, why it failed, and its standard output."""
    trace = (run.report.get("error") or {}).get("traceback") if isinstance(run.report.get("error"), Mapping) else None
    return {
        "metadata": run_body(run, api_url),
        **({"error": run.message} if run.ended and run.state is not S.SUCCEEDED and run.message else {}),
        **({"error_trace": trace} if trace else {}),
        "logs": (cut := _first(logs, most)),
        "logs_truncated": len(cut) < len(logs),
    }


def _first(text: str, most: int) -> str:
    """The start of a text that is at most so many bytes, and not much more in the function's result, where it is JSON
    within JSON: the size that Lambda limits."""
    cut = text.encode()[:most].decode(errors="ignore")
    while (size := len(json.dumps(json.dumps(cut, ensure_ascii=False)))) > most + most // 10:
        cut = cut[: len(cut) * most // size]
    return cut
