"""Spark's own language: spark-submit parameters, settings that users may not touch, versions, and EMR's request.

Pure: a RunSpec goes in, the body of StartJobRun comes out. Used by services (checks) and by the engine's adapter.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from chalicelib.core.conf import check_conf
from chalicelib.core.errors import Invalid
from chalicelib.core.ids import external_name
from chalicelib.core.model import IN_PYTHON, NATIVE, Files, Placement, Program, ProgramKind, RunKind, RunSpec, Size
from chalicelib.core.quantities import count_of, format_memory, parse_memory, whole_cores, whole_number
from chalicelib.core.uris import is_pattern

RELEASES: Mapping[str, str] = {
    "3.3": "emr-6.11.0-latest",
    "3.4": "emr-6.15.0-latest",
    "3.5": "emr-7.12.0-latest",
}
"""Spark version -> the EMR on EKS release that carries it. A version that is older than all is served by the oldest
row, as the closest newer one; a version that is newer than all is refused."""

RUN_TAG = "sparkplane-run"
"""The tag of EMR's job run that names the run; no user's tag may begin as it does."""

ENTRY_POINT_LIMIT, ARGUMENT_LIMIT = 256, 10_280
"""Characters of an entry point that EMR takes, and of one argument, which must not be blank."""


def bootstrapped(spec: RunSpec) -> bool:
    """Whether our bootstrap starts the program: one in Python always, a JAR or an R script when something is to be done
    where the driver runs before it can start, or when EMR does not take its arguments. The engine starts all others as
    they are, which is quicker."""
    program = spec.program
    if program.kind not in NATIVE:
        return program.kind in IN_PYTHON
    if not all(argument.strip() and len(argument) <= ARGUMENT_LIMIT for argument in program.arguments):
        return True
    return bool(spec.volumes or spec.preparation.init_scripts) or is_pattern(spec.main_file)


_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.\d+)?")

_BOTH = ("driver", "executor")

SCHEDULERS = ("volcano", "yunikorn")
"""Batch schedulers of Kubernetes that a pool may hand its pods to."""

_QUEUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def check_placement(placement: Placement) -> None:
    """Refuse a scheduler that is not known, a queue without one or whose name is no label's value, and a pod group's
    template where it has no place. Raises Invalid."""
    if placement.scheduler and placement.scheduler not in SCHEDULERS:
        known = ", ".join(SCHEDULERS)
        raise Invalid(f"{placement.scheduler!r} is no scheduler. Known schedulers: {known}.", field="--scheduler")
    if bool(placement.queue) != bool(placement.scheduler):
        raise Invalid("A scheduler and its queue go together: give both, or neither.", field="--queue")
    if placement.queue and not _QUEUE.fullmatch(placement.queue):
        raise Invalid(f"{placement.queue!r} cannot be a queue's name.", field="--queue")
    if placement.pod_group and placement.scheduler != "volcano":
        raise Invalid("Only volcano takes a pod group's template.", field="--pod-group")


def scheduler_conf(placement: Placement) -> dict[str, str]:
    """What hands a run's pods to the queue of a batch scheduler (Spark's "Running on Kubernetes", "Customized
    Kubernetes Schedulers"; Volcano's own annotation names a queue without a template). Empty for Kubernetes' own."""
    if not placement.scheduler:
        return {}
    named = {"spark.kubernetes.scheduler.name": placement.scheduler}
    if placement.scheduler == "yunikorn":
        said = {"label.queue": placement.queue, "annotation.yunikorn.apache.org/queue": placement.queue,
                "annotation.yunikorn.apache.org/app-id": "{{APP_ID}}"}  # fmt: skip
    else:
        said = {"annotation.scheduling.volcano.sh/queue-name": placement.queue}
    if placement.pod_group:
        named["spark.kubernetes.scheduler.volcano.podGroupTemplateFile"] = placement.pod_group
        said["pod.featureSteps"] = "org.apache.spark.deploy.k8s.features.VolcanoFeatureStep"
    return {**named, **{f"spark.kubernetes.{pod}.{name}": value for pod in _BOTH for name, value in said.items()}}


def release_for(version: str, *, field: str = "spark_version") -> str:
    """The EMR release label for a Spark version (`3.4`, `3.5.1`): the exact row, or the closest newer one.

    Raises Invalid for a text that is no version, and for one newer than every row.
    """
    if not _VERSION.fullmatch(version):
        raise Invalid(f"{version!r} is no Spark version. Known versions: {', '.join(RELEASES)}.", field=field)
    carrying = carried_by(version)
    if not carrying:
        raise Invalid(f"Spark {version} is not available. Known versions: {', '.join(RELEASES)}.", field=field)
    return RELEASES[carrying]


def carried_by(version: str) -> str:
    """The row of RELEASES that serves a Spark version: its own, or the closest newer one; empty when there is none."""
    match = _VERSION.fullmatch(version)
    wanted = (int(match[1]), int(match[2])) if match else (1 << 30, 0)
    return next((known for known in RELEASES if tuple(map(int, known.split("."))) >= wanted), "")


_LISTS = {
    "--jars": "jars",
    "--py-files": "py_files",
    "--files": "files",
    "--archives": "archives",
    "--packages": "packages",
    "--exclude-packages": "exclude_packages",
    "--repositories": "repositories",
}
_SIZES = {
    "--driver-memory": "driver_memory",
    "--executor-memory": "executor_memory",
    "--num-executors": "executors",
    "--driver-cores": "driver_cores",
    "--executor-cores": "executor_cores",
}
_AS_CONF = {
    "--driver-java-options": "spark.driver.extraJavaOptions",
    "--driver-class-path": "spark.driver.extraClassPath",
    "--driver-library-path": "spark.driver.extraLibraryPath",
}


def parse_submit(spec: RunSpec, parameters: Sequence[str], *, field: str) -> RunSpec:
    """A spec with everything that a list of spark-submit parameters says.

    The first word that is no option is the application, all after it are its arguments. Raises Invalid for an unknown
    option, one without its value, and a list that names no application.
    """
    files, sizes, conf = dict[str, tuple[str, ...]](), dict[str, int](), dict(spec.conf)
    main_class, name, words = "", spec.name, list(parameters)
    while words and words[0].startswith("-"):
        option, equals, value = words.pop(0).partition("=")
        if option == "--conf" or option == "-c":
            pair = value if equals else _value(option, words, field)
            setting, sign, text = pair.partition("=")
            if not sign:
                raise Invalid(f"{field}: --conf {pair!r} is not of the form name=value.", field=field)
            conf[setting.strip()] = text
            continue
        value = value if equals else _value(option, words, field)
        if option in _LISTS:
            files[_LISTS[option]] = split_list(value)
        elif option in _SIZES:
            sizes[_SIZES[option]] = _size(option, value, field)
        elif option in _AS_CONF:
            conf[_AS_CONF[option]] = value
        elif option == "--class":
            main_class = value
        elif option == "--name":
            name = value
        else:
            raise Invalid(f"{field}: the option {option} is not supported.", field=field)
    if not words:
        raise Invalid(f"{field}: no application (a .py, .jar or .R file) is named.", field=field)
    check_conf(conf, field=field)
    size = size_from_conf(conf, spec.size)
    program = Program(kind_of(words[0]), words[0], main_class, tuple(words[1:]))
    return replace(spec, name=name, program=program, conf=conf, files=replace(spec.files, **files),
                   size=replace(size, **sizes))  # fmt: skip


def _value(option: str, words: list[str], field: str) -> str:
    if not words:
        raise Invalid(f"{field}: the option {option} has no value.", field=field)
    return words.pop(0)


def _size(option: str, value: str, field: str) -> int:
    if option.endswith("-memory"):
        return parse_memory(value, field=f"{field} {option}")
    parse = count_of if option == "--num-executors" else whole_cores
    return parse(value, field=f"{field} {option}")


def split_list(text: str) -> tuple[str, ...]:
    """The items of a comma-separated text, as spark-submit takes it."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def kind_of(resource: str) -> ProgramKind:
    """The language of an application, from its file's ending, as spark-submit tells it."""
    path = resource.partition("?")[0].lower()
    if path.endswith((".py", ".zip", ".egg")):
        return ProgramKind.PYTHON
    return ProgramKind.R if path.endswith(".r") else ProgramKind.JAR


_SIZE_CONF = {
    "spark.driver.cores": ("driver_cores", whole_cores),
    "spark.driver.memory": ("driver_memory", parse_memory),
    "spark.executor.cores": ("executor_cores", whole_cores),
    "spark.executor.memory": ("executor_memory", parse_memory),
    "spark.executor.instances": ("executors", count_of),
    "spark.dynamicAllocation.maxExecutors": ("executors_max", count_of),
    "spark.driver.resource.gpu.amount": ("driver_gpus", whole_number),
    "spark.executor.resource.gpu.amount": ("executor_gpus", whole_number),
}


def size_from_conf(conf: Mapping[str, str], size: Size) -> Size:
    """The size with what a Spark conf says of cores, memory, GPUs and executors. Raises Invalid naming the setting."""
    told = {attribute: parse(conf[name], field=name) for name, (attribute, parse) in _SIZE_CONF.items() if name in conf}
    if conf.get("spark.dynamicAllocation.enabled", "").lower() != "true":
        told.pop("executors_max", None)
    return replace(size, **told)


def with_defaults(spec: RunSpec, conf: Mapping[str, str]) -> RunSpec:
    """The spec with a pool's default conf beneath its own. Cores, memory and executors stay as they were asked for;
    GPUs, which only the conf asks for, are counted. Raises Invalid naming the setting."""
    beneath = {name: value for name, value in conf.items() if name.startswith("spark.") and name not in spec.conf}
    if not beneath:
        return spec
    told = size_from_conf({name: value for name, value in beneath.items() if ".resource.gpu." in name}, spec.size)
    return replace(spec, conf={**beneath, **spec.conf}, size=told)


def start_job_run(
    spec: RunSpec,
    *,
    workspace: str,
    run: int,
    entry_point: str,
    arguments: Sequence[str],
    extra: Files,
    virtual_cluster: str,
    role: str,
    log_uri: str,
    files_uri: str,
    image: str = "",
) -> dict[str, Any]:
    """The body of EMR on EKS's StartJobRun.

    Sizes and conf travel as the `spark-defaults` classification, files and packages as spark-submit parameters, and
    with them what EMR does not take as a property (`_carried`); the name and the client token are the run's external
    name, so a second request starts nothing. `files_uri` is where the
    workspace's files (`dbfs:/`) are. `image` is the owner's container image, with `{release}` where the release's name
    stands (`emr-7.12.0`); empty for EMR's own.
    """
    name, release = external_name(workspace, run), release_for(spec.spark_version)
    own = {"spark.kubernetes.container.image": image.replace("{release}", release.removesuffix("-latest"))}
    conf = {**_mount(files_uri), **_properties(spec), **(own if image else {})}
    properties, options = _carried(conf)
    parameters = shlex.join([*_options(spec, extra), *options])
    driver: dict[str, Any] = {"entryPoint": entry_point, "sparkSubmitParameters": parameters}
    if arguments:
        driver["entryPointArguments"] = list(arguments)
    return {
        "name": name,
        "virtualClusterId": virtual_cluster,
        "clientToken": name,
        "executionRoleArn": role,
        "releaseLabel": release,
        "jobDriver": {"sparkSubmitJobDriver": {k: v for k, v in driver.items() if v}},
        "configurationOverrides": {
            "applicationConfiguration": [
                {"classification": "spark-defaults", "properties": properties},
            ],
            "monitoringConfiguration": {
                "persistentAppUI": "DISABLED",
                "s3MonitoringConfiguration": {"logUri": log_uri},
            },
        },
        "tags": {**spec.tags, RUN_TAG: name},
    }


MAX_PROPERTIES, MAX_PROPERTY, MAX_PARAMETERS = 100, 1024, 102_400
"""What EMR takes: properties of a classification, characters of a property's name or value, neither of which may be
blank, and characters of all spark-submit parameters (the API's own model of StartJobRun)."""

ROOM = 8192
"""Characters of the parameters that are kept free of a user's conf at submission, for what a launch adds."""


def _carried(conf: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The conf as properties and, where EMR takes no such property or no more of them, as `--conf` options. Of those
    that are too many, the last go, and first the ones that stand without quotes."""
    taken = [name for name, value in conf.items() if _is_property(name) and _is_property(value)]
    quoted = {name for name in taken if shlex.quote(conf[name]) != conf[name]}
    kept = set(sorted(taken, key=lambda name: name not in quoted)[:MAX_PROPERTIES])
    properties = {name: value for name, value in conf.items() if name in kept}
    options = [word for name in conf if name not in kept for word in ("--conf", f"{name}={conf[name]}")]
    return properties, options


def _is_property(text: str) -> bool:
    return bool(text.strip()) and len(text) <= MAX_PROPERTY


def check_carried(spec: RunSpec, *, field: str) -> None:
    """Refuse a conf (and a native program's environment, which travels with it) that is too large for StartJobRun.
    Raises Invalid."""
    words = [*_options(spec, Files()), *_carried({**_mount("s3:"), **_properties(spec)})[1]]
    most = MAX_PARAMETERS - ROOM
    if len(shlex.join(words)) > most:
        raise Invalid(
            f"{field}: what does not fit into {MAX_PROPERTIES} properties of {MAX_PROPERTY} characters has more than "
            f"{most:,} characters, together with the lists of files.",
            field=field,
        )


def _mount(files_uri: str) -> dict[str, str]:
    """The settings by which a program's `dbfs:/` is this place: a view of Hadoop's, loaded when it is first used."""
    return {
        "spark.hadoop.fs.dbfs.impl": "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme",
        "spark.hadoop.fs.viewfs.mounttable.default.linkFallback": files_uri,
    }


_LISTED_IN = {
    "--jars": "spark.jars",
    "--py-files": "spark.submit.pyFiles",
    "--files": "spark.files",
    "--archives": "spark.archives",
}


def _options(spec: RunSpec, extra: Files) -> list[str]:
    """The options. Where something is added to a list that only the conf has, the conf's is repeated: the option
    replaces it."""
    native = spec.program.main_class and not bootstrapped(spec)
    words: list[str] = ["--class", spec.program.main_class] if native else []
    for option, attribute in _LISTS.items():
        own, added = getattr(spec.files, attribute), getattr(extra, attribute)
        if added and not own:
            own = split_list(spec.conf.get(_LISTED_IN.get(option, ""), ""))
        items: Iterable[str] = (*added, *own)
        joined = ",".join(dict.fromkeys(items))
        if joined:
            words += [option, joined]
    return words


def _properties(spec: RunSpec) -> dict[str, str]:
    size = spec.size
    sized = {
        "spark.driver.cores": str(size.driver_cores),
        "spark.driver.memory": format_memory(size.driver_memory),
        "spark.executor.cores": str(size.executor_cores),
        "spark.executor.memory": format_memory(size.executor_memory),
        "spark.executor.instances": str(size.executors),
        "spark.dynamicAllocation.maxExecutors": str(max(size.executors, size.executors_max)),
    }
    if size.executors_max > size.executors:
        sized |= {
            "spark.dynamicAllocation.enabled": "true",
            "spark.dynamicAllocation.shuffleTracking.enabled": "true",
            "spark.dynamicAllocation.minExecutors": str(size.executors),
        }
    if spec.kind is RunKind.HISTORY:
        sized = {name: value for name, value in sized.items() if name.startswith("spark.driver.")}
    final = {**_final(sized, spec.conf), **scheduler_conf(spec.placement)}
    mounts = {
        f"spark.kubernetes.driver.volumes.emptyDir.volume-{number}.mount.path": volume.mount_path
        for number, volume in enumerate(spec.volumes)
    }
    name = "".join(c if c.isprintable() else " " for c in spec.name).strip()
    named = {"spark.app.name": name} if name else {}
    return {**named, **mounts, **sized, **_environment(spec), **spec.conf, **final}


_INTERPRETERS = frozenset({"PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"})


def _environment(spec: RunSpec) -> dict[str, str]:
    """The environment of a JVM or R program as settings; the bootstrap gives a Python program its own. What names the
    driver's Python is left out where the bootstrap is that Python's program: clients name another platform's."""
    if spec.program.kind in IN_PYTHON:
        return {}
    left_out = _INTERPRETERS if bootstrapped(spec) else frozenset()
    return {
        **{f"spark.kubernetes.driverEnv.{name}": v for name, v in spec.environment.items() if name not in left_out},
        **{f"spark.executorEnv.{name}": value for name, value in spec.environment.items()},
    }


def _final(sized: Mapping[str, str], conf: Mapping[str, str]) -> dict[str, str]:
    """Sizes win over the conf, which was read into them: what is granted is what runs."""
    return {name: value for name, value in sized.items() if name in conf}


_APPLICATION_ID = re.compile(
    r"(?<![0-9A-Za-z-])(spark-[0-9a-f]{32}|local-\d{13}|app-\d{14}-\d{4}|application_\d{13}_\d+)\b"
)


_VERSION_LINE = re.compile(r" SparkContext: Running Spark version (\S{1,64})$", re.MULTILINE)
_NAME_LINE = re.compile(r" SparkContext: Submitted application: (.{1,200})", re.MULTILINE)


def application_in(log: str) -> tuple[str, str]:
    """The name of the first Spark application in a driver's own log and the Spark version that ran it, as far as the
    log says so."""
    name, version = _NAME_LINE.search(log), _VERSION_LINE.search(log)
    return name[1].strip() if name else "", version[1] if version else ""


def application_id_in(log: str) -> str:
    """The Spark application's id as a driver's own log names it, empty when it does not."""
    found = _APPLICATION_ID.search(log)
    return found[0] if found else ""
