"""Each kind of task as the program of a run, and the parameters that a run may override. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.ids import MAX_ID
from chalicelib.core.model import NATIVE, Files, Job, Program, ProgramKind, References, RunSpec
from chalicelib.core.spark import parse_submit
from chalicelib.dialects.databricks_jobs.clusters import SECRET
from chalicelib.dialects.databricks_jobs.reading import MAX_PARAMETERS, Locate, ascii_map, parameter_map, parameters
from chalicelib.dialects.databricks_jobs.schemas import TASKS, RunNow, TaskSettings


def the_task(settings: TaskSettings) -> str:
    named = [task for task in TASKS if getattr(settings, task) is not None]
    if len(named) != 1:
        told = f"found {' and '.join(named)}" if named else "found none"
        raise Invalid(f"Exactly one of {', '.join(TASKS)} must be specified; {told}.", field="task")
    return named[0]


_PARTS = ("program", "main_class", "arguments", "conf", "jars", "packages", "py_files", "files", "archives")
_CLUSTERED = {
    "conf": "new_cluster.spark_conf",
    "environment": "new_cluster.spark_env_vars",
    "jars": "libraries",
    "packages": "libraries",
    "py_files": "libraries",
    "libraries": "libraries",
    "init_scripts": "new_cluster.init_scripts",
}
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "spark_python_task": {
        **_CLUSTERED,
        "program": "spark_python_task.python_file",
        "arguments": "spark_python_task.parameters",
    },
    "spark_jar_task": {
        **_CLUSTERED,
        "program": "spark_jar_task.jar_uri",
        "main_class": "spark_jar_task.main_class_name",
        "arguments": "spark_jar_task.parameters",
    },
    "spark_submit_task": {**_CLUSTERED, **dict.fromkeys(_PARTS, "spark_submit_task.parameters")},
    "run_job_task": {**_CLUSTERED, "program": "run_job_task.job_id"},
    "pipeline_task": {**_CLUSTERED, "program": "pipeline_task.pipeline_id"},
    "notebook_task": {**_CLUSTERED, "program": "notebook_task.notebook_path"},
}
RUN_NOW_FIELDS: Mapping[str, str] = dict.fromkeys(_PARTS, "spark_submit_params")
"""Of run-now's parameters only spark-submit's name files and settings; a job's own were checked when it was made."""


def field_names(spec: RunSpec) -> Mapping[str, str]:
    """What the parts of a spec that was made here are called on the wire."""
    return _FIELDS[next(iter(spec.original["task"]))]


def _python(spec: RunSpec, settings: TaskSettings, locate: Locate) -> RunSpec:
    task = settings.spark_python_task
    assert task is not None
    arguments = parameters(task.parameters, "spark_python_task.parameters")
    program = Program(ProgramKind.PYTHON, locate(task.python_file), arguments=arguments)
    return replace(spec, program=program, references=References(True, ascii_only=True, most_bytes=MAX_PARAMETERS))


def _jar(spec: RunSpec, settings: TaskSettings, locate: Locate) -> RunSpec:
    task = settings.spark_jar_task
    assert task is not None
    if not task.main_class_name:
        raise Invalid("Missing required field: spark_jar_task.main_class_name", field="spark_jar_task.main_class_name")
    if not spec.files.jars and not task.jar_uri and not spec.existing_cluster:
        raise Invalid("spark_jar_task needs a jar among its libraries.", field="libraries")
    resource = locate(task.jar_uri) if task.jar_uri else ""
    arguments = parameters(task.parameters, "spark_jar_task.parameters", ascii_only=False)
    program = Program(ProgramKind.JAR, resource, task.main_class_name, arguments)
    return replace(spec, program=program, references=References(True, most_bytes=MAX_PARAMETERS))


def _notebook(spec: RunSpec, settings: TaskSettings, locate: Locate) -> RunSpec:
    """Seed 004, "NotebookTask". Whether there is such a notebook is seen when it runs: a job may be made before it."""
    task = settings.notebook_task
    assert task is not None
    field = "notebook_task.notebook_path"
    if task.source == "GIT":
        raise Invalid("notebook_task.source: only notebooks of the workspace can be run.", field="notebook_task.source")
    if not task.notebook_path.startswith("/"):
        raise Invalid(f"{field}: the path of a notebook must begin with a slash.", field=field)
    if not task.notebook_path.isprintable():
        raise Invalid(f"{field}: the path has characters that cannot be printed.", field=field)
    told = parameter_map(task.base_parameters, "notebook_task.base_parameters")
    revision = task.revision_timestamp or 0
    program = Program(ProgramKind.NOTEBOOK, task.notebook_path, parameters=told, revision=revision)
    return replace(spec, program=program, references=References(True, ascii_only=True, most_bytes=MAX_PARAMETERS))


_CONFIGURED = {"--master", "--deploy-mode", "--executor-cores"}


def _submit(spec: RunSpec, settings: TaskSettings, locate: Locate) -> RunSpec:
    """Seed 004, "SparkSubmitTask": no libraries, no spark_conf, and three options that the service sets."""
    task, cluster = settings.spark_submit_task, settings.new_cluster
    assert task is not None
    if cluster is None:
        raise Invalid("spark_submit_task can run only on a new cluster.", field="existing_cluster_id")
    if settings.libraries or cluster.spark_conf:
        raise Invalid("spark_submit_task does not support libraries and spark_conf.", field="libraries")
    return submit_parameters(spec, task.parameters, locate)


def submit_parameters(spec: RunSpec, words: tuple[str, ...], locate: Locate) -> RunSpec:
    """The spec with what spark-submit parameters say; `dbfs:/` works in every list of files."""
    field = "spark_submit_task.parameters"
    for word in words:
        if word.partition("=")[0] in _CONFIGURED:
            raise Invalid(f"{field}: {word.partition('=')[0]} is configured by the service.", field=field)
    spec = parse_submit(spec, parameters(words, field), field=field)
    files = replace(
        spec.files,
        jars=tuple(map(locate, spec.files.jars)),
        py_files=tuple(map(locate, spec.files.py_files)),
        files=tuple(map(locate, spec.files.files)),
        archives=tuple(map(locate, spec.files.archives)),
    )
    program = replace(spec.program, resource=locate(spec.program.resource))
    references = References(True, everywhere=True, ascii_only=True, most_bytes=MAX_PARAMETERS)
    return replace(spec, files=files, program=program, references=references)


def _run_job(spec: RunSpec, settings: TaskSettings, locate: Locate) -> RunSpec:
    """A run that waits for another job's; a cluster that is named with it is not used."""
    task = settings.run_job_task
    assert task is not None
    if not 0 < task.job_id <= MAX_ID:
        raise NotFound("Job", task.job_id, field="run_job_task.job_id")
    named = ascii_map(task.job_parameters, "run_job_task.job_parameters")
    parameters((json.dumps(named),), "run_job_task.job_parameters")
    program = Program(ProgramKind.RUN_JOB, str(task.job_id), parameters=named)
    references = References(True, ascii_only=True, most_bytes=MAX_PARAMETERS)
    return replace(spec, program=program, existing_cluster="", references=references)


def _pipeline(spec: RunSpec, settings: TaskSettings, locate: Locate) -> RunSpec:
    """An update of a pipeline. Whether there is one is seen when the run starts; a cluster that exists is not used."""
    task = settings.pipeline_task
    assert task is not None
    options = {"full_refresh": "true"} if task.full_refresh else {}
    program = Program(ProgramKind.PIPELINE, task.pipeline_id, parameters=options)
    return replace(spec, program=program, existing_cluster="")


CLUSTERLESS = frozenset({"run_job_task", "pipeline_task"})
"""Tasks that may be given without a cluster."""


def for_its_program(spec: RunSpec) -> RunSpec:
    """The spec as its program can have it: that of a JVM or of R, whose environment is settled before anything of ours
    runs, is given no secrets, and cannot be made to run its tasks in the driver, so it has an executor. Raises
    Invalid."""
    if spec.program.kind not in NATIVE:
        return spec
    for name, value in spec.environment.items():
        if SECRET in value:
            field = "new_cluster.spark_env_vars"
            raise Invalid(
                f"{field}: {name} names a secret. JAR and R programs have an environment that the cluster's "
                "administrators see; only Python programs and notebooks are given secrets.",
                field=field,
            )
    return replace(spec, size=replace(spec.size, executors=max(1, spec.size.executors)))


TASK_SPECS: Mapping[str, Callable[[RunSpec, TaskSettings, Locate], RunSpec]] = {
    "spark_python_task": _python,
    "spark_jar_task": _jar,
    "spark_submit_task": _submit,
    "run_job_task": _run_job,
    "pipeline_task": _pipeline,
    "notebook_task": _notebook,
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
        elif name == "notebook_params":
            merged = {**spec.program.parameters, **parameter_map(value, name)}
            spec = replace(spec, program=replace(spec.program, parameters=merged))
        else:
            arguments = parameters(value, name, ascii_only=name != "jar_params")
            spec = replace(spec, program=replace(spec.program, arguments=arguments))
    return replace(spec, original={**spec.original, "overriding_parameters": {n: _given(v) for n, v in told.items()}})


def _given(value: Mapping[str, str] | tuple[str, ...]) -> dict[str, str] | list[str]:
    return dict(value) if isinstance(value, Mapping) else list(value)
