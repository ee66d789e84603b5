"""Analytics Engine's words to core's, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from chalicelib.core.conf import check_conf, check_name, check_words
from chalicelib.core.errors import Invalid, Malformed
from chalicelib.core.model import Files, Pool, Program, ProgramKind, Run, RunSpec, Size, Volume
from chalicelib.core.quantities import count_of, parse_memory, whole_cores
from chalicelib.core.spark import RELEASES, carried_by, kind_of, release_for, size_from_conf, split_list
from chalicelib.core.states import Intent, RunState
from chalicelib.core.uris import check_files
from chalicelib.core.volumes import check_volumes, volume, within
from chalicelib.core.waiting import Reason, Waiting
from chalicelib.dialects.analytics_engine.schemas import ApplicationDetails, VolumeRequest
from chalicelib.dialects.wire import M, Misfit, fit

DIALECT = "analytics_engine"


_EMPTY = "String should have at least 1 character"


def parse(schema: type[M], data: Any) -> M:
    """`fit`, with what is wrong as a sentence that names the field."""
    if not isinstance(data, dict):
        raise Malformed("The body of the request must be a JSON object.")
    try:
        return fit(schema, data)
    except Misfit as misfit:
        if misfit.missing:
            raise Invalid(f"{misfit.field} is required.", field=misfit.field) from None
        if misfit.expected == _EMPTY:
            raise Invalid(f"{misfit.field} must not be empty.", field=misfit.field) from None
        message = f"{misfit.field}: expected {misfit.expected}, found {misfit.found.lower()}."
        raise Invalid(message, field=misfit.field) from None


FIELDS: Mapping[str, str] = {
    "program": "application_details.application",
    "spark_version": "application_details.runtime.spark_version",
    "py_files": "application_details.py-files",
    "environment": "application_details.env",
    "main_class": "application_details.class",
    **{n: f"application_details.{n}" for n in ("arguments", "conf", "jars", "packages", "files", "archives")},
}
"""What the parts of a spec are called on the wire."""

_COUNT, _MOST = "ae.spark.executor.count", "ae.spark.max-num-workers"
"""How many executors an application has, and how many it may have at most."""

HISTORY_CORES, HISTORY_MEMORY = "ae.spark.history-server.cores", "ae.spark.history-server.memory"

_OWN: Mapping[str, Callable[..., int]] = {
    HISTORY_CORES: whole_cores,
    HISTORY_MEMORY: parse_memory,
    _COUNT: count_of,
    _MOST: count_of,
}
"""The service's own settings -> what reads them."""

MAX_PROPERTIES, MAX_CONF = 1000, 100_000
"""Properties of an instance's default conf, and the characters that they may have together."""


def conf_patch(data: Any) -> dict[str, str | None]:
    """A merge patch of a flat map: texts that are set, nulls that unset. Raises Invalid for anything nested."""
    if not isinstance(data, dict):
        raise Malformed("The body of the request must be a JSON object.")
    return {name: None if value is None else _property(name, value) for name, value in data.items()}


def _property(name: str, value: Any) -> str:
    """The text of one property. Numbers and booleans are written as JSON writes them."""
    if isinstance(value, dict | list):
        raise Invalid(
            f"{name}: expected text, found {'an object' if isinstance(value, dict) else 'an array'}.", field=name
        )
    check_name(name, field="default_configs")
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def default_conf(data: Any, schemes: Collection[str], *, field: str = "default_configs") -> dict[str, str]:
    """A whole default conf that every later application can stand on; `field` is where it is told. Raises Invalid,
    naming the property."""
    conf = {name: value for name, value in conf_patch(data).items() if value is not None}
    if len(conf) > MAX_PROPERTIES or sum(len(name) + len(value) for name, value in conf.items()) > MAX_CONF:
        raise Invalid(f"At most {MAX_PROPERTIES} properties of {MAX_CONF:,} characters together can be kept.")
    check_conf(conf, field=field)
    size_from_conf(conf, Size())
    for name, parse_ in _OWN.items():
        if name in conf:
            parse_(conf[name], field=name)
    check_files(RunSpec("", Program(ProgramKind.JAR), conf=conf), schemes, {"conf": field})
    return conf


def _size(conf: Mapping[str, str]) -> Size:
    """Cores, memory and executors of an application, by its conf with the instance's own settings. Raises Invalid."""
    told = {"spark.executor.instances": str(count_of(conf[_COUNT], field=_COUNT))} if _COUNT in conf else {}
    size = size_from_conf({**told, **conf}, Size())
    if _MOST not in conf:
        return size
    most = count_of(conf[_MOST], field=_MOST)
    return replace(size, executors=min(size.executors, most), executors_max=min(size.executors_max, most))


KINDS = "a .py, .zip or .egg file, an .R file, or a .jar with its class"


def _kind(details: ApplicationDetails) -> ProgramKind:
    """The language of an application: what is named like no other's file is a jar if it has a class. Raises Invalid."""
    kind = kind_of(details.application)
    if kind is not ProgramKind.JAR or details.main_class:
        return kind
    if details.application.lower().endswith(".jar"):
        raise Invalid("application_details.class is required for a jar.", field="application_details.class")
    field = FIELDS["program"]
    raise Invalid(f"{field}: {details.application!r} is no program that is known: {KINDS}.", field=field)


def application_spec(details: ApplicationDetails, raw: Mapping[str, Any], pool: Pool) -> RunSpec:
    """The spec of an application, with the instance's defaults beneath its own conf."""
    conf = {**pool.conf, **details.conf}
    spark_conf = {name: value for name, value in conf.items() if not name.startswith("ae.")}
    if details.driver_class_path:
        spark_conf["spark.driver.extraClassPath"] = details.driver_class_path
    if details.runtime:
        release_for(details.runtime.spark_version, field=FIELDS["spark_version"])
    check_words([details.name], field="application_details.name")
    kind = _kind(details)
    return RunSpec(
        name=details.name or conf.get("spark.app.name") or _default_name(details),
        program=Program(kind, details.application, details.main_class, details.arguments),
        pool=pool.name,
        files=Files(
            jars=split_list(details.jars),
            py_files=split_list(details.py_files),
            files=split_list(details.files),
            archives=split_list(details.archives),
            packages=split_list(details.packages),
            repositories=split_list(details.repositories),
        ),
        conf=spark_conf,
        environment=details.env,
        size=_size(conf),
        spark_version=details.runtime.spark_version if details.runtime else "",
        dialect=DIALECT,
        original={"application_details": dict(raw), "defaults": dict(pool.conf)},
    )


def _default_name(details: ApplicationDetails) -> str:
    """What spark-submit calls an application without a name: its main class, else its file."""
    return details.main_class or details.application.rpartition("/")[2]


_TEMPLATE = re.compile(r"spark-([0-9]+\.[0-9]+(?:\.[0-9]+)?)-(?=[\w.-]*template)[\w.-]+", re.ASCII)


def of_template(spec: RunSpec, template: str) -> RunSpec:
    """The spec with the Spark version that a template names (`spark-3.3-jaas-v2-cp4d-template`), unless it has one.
    Raises Invalid for a name of another form, a version that nobody has, and one that contradicts the spec's."""
    match = _TEMPLATE.fullmatch(template)
    if not match:
        message = f"template_id: {template!r} is not of the form spark-<version>-…template."
        raise Invalid(message, field="template_id")
    version, asked = match[1], spec.spark_version
    release_for(version, field="template_id")
    if asked and not _same(asked, version) and not _same(version, asked):
        message = f"template_id: {template} is for Spark {version}, and runtime.spark_version asks for {asked}."
        raise Invalid(message, field="template_id")
    return replace(spec, spark_version=asked or version, original={**spec.original, "template_id": template})


def mounted(volumes: Sequence[VolumeRequest]) -> tuple[Volume, ...]:
    """The volumes of a request. Raises Invalid."""
    made = tuple(
        volume(told.name, told.mount_path, told.source_sub_path, told.read_only, field=f"volumes.{number}")
        for number, told in enumerate(volumes)
    )
    check_volumes(made)
    return made


def with_volumes(spec: RunSpec, volumes: tuple[Volume, ...], uri: Callable[[Volume, str], str]) -> RunSpec:
    """The spec with volumes. A program or file that is named by its place in one is named by its URI instead.

    Raises Invalid for a pattern in a volume: it would be looked for where there are no names but whole ones."""

    def placed(path: str) -> str:
        found = within(volumes, path)
        if found and "*" in found[1]:
            message = f"application_details: {path} is a pattern; a file in a volume is named whole."
            raise Invalid(message, field="application_details")
        return uri(*found) if found else path

    return replace(located(spec, placed), volumes=volumes)


def located(spec: RunSpec, place: Callable[[str], str]) -> RunSpec:
    """The spec with its program and its files where `place` says that they are."""
    files = spec.files
    return replace(
        spec,
        program=replace(spec.program, resource=place(spec.program.resource)),
        files=replace(
            files,
            jars=tuple(map(place, files.jars)),
            py_files=tuple(map(place, files.py_files)),
            files=tuple(map(place, files.files)),
            archives=tuple(map(place, files.archives)),
        ),
    )


S = RunState
APPLICATION_STATE: Mapping[RunState, str] = {
    S.QUEUED: "QUEUED",
    S.GRANTED: "ACCEPTED",
    S.LAUNCHING: "SUBMITTED",
    S.RUNNING: "RUNNING",
    S.TERMINATING: "STOPPED",
    S.SUCCEEDED: "FINISHED",
    S.FAILED: "FAILED",
    S.CANCELED: "STOPPED",
    S.TIMED_OUT: "AUTO_TERMINATED",
    S.SKIPPED: "STOPPED",
    S.INTERNAL_ERROR: "FAILED",
}
"""`wire/analytics_engine_v4.md`, 3.2. A run that is being ended is shown as it will end."""


def application_state(run: Run) -> str:
    """The run's state in Analytics Engine's words."""
    if run.state is S.TERMINATING and run.intent is Intent.TIME_OUT:
        return "AUTO_TERMINATED"
    return APPLICATION_STATE[run.state]


def asked_states(words: str) -> frozenset[str]:
    """The words that a `state` filter (`RUNNING,FINISHED`, in any case) asks for: none for an empty one, which clients
    send for no filter. Raises Invalid."""
    known = {word for word in APPLICATION_STATE.values()} | {"WAITING", "OPS_TERMINATED"}
    asked = {word.strip().upper() for word in words.split(",") if word.strip()}
    if asked - known:
        raise Invalid(f"state: {words!r} is not a list of states. Known: {', '.join(sorted(known))}.", field="state")
    return frozenset(asked)


def core_states(asked: Collection[str]) -> list[RunState]:
    """The core states that may be shown with one of these words."""
    states = [state for state, word in APPLICATION_STATE.items() if word in asked]
    late = "AUTO_TERMINATED" in asked and S.TERMINATING not in states
    return [*states, S.TERMINATING] if late else states


def long_time(ms: int) -> str:
    """`Friday 03 January 2025 08:40:42.324+0000`: the format of lists and details."""
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{_DAYS[at.weekday()]} {at.day:02d} {_MONTHS[at.month - 1]} {at:%Y %H:%M:%S}.{ms % 1000:03d}+0000"


def iso_time(ms: int) -> str:
    """`2021-04-21T04:24:01.000Z`: the format of `/status`."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip


def accepted_body(uuid: str) -> dict[str, Any]:
    """The answer to a submission; v3's clients look for `id`."""
    return {"application_id": uuid, "id": uuid, "state": "ACCEPTED"}


def _shared(run: Run, uuid: str) -> dict[str, Any]:
    times = {"start_time": run.started_at, "finish_time": run.ended_at, "creation_time": run.created_at}
    return {
        "application_id": uuid,
        "state": application_state(run),
        **{name: long_time(ms) for name, ms in times.items() if ms},
        **({"spark_application_id": run.application_id} if run.application_id else {}),
        "spark_application_name": run.application_name or run.spec.name,
    }


def list_entry(run: Run, uuid: str) -> dict[str, Any]:
    """An application in a list."""
    version = run.spec.spark_version
    return {
        **_shared(run, uuid),
        "template_id": _template(run) or f"spark-{version}-cp4d-template",
        "runtime": {"spark_version": version},
    }


def _template(run: Run) -> str:
    """The template that an application was submitted with; empty for none."""
    return str(run.spec.original.get("template_id", "")) if run.spec.dialect == DIALECT else ""


def detail_body(run: Run, uuid: str, *, waiting: Waiting | None) -> dict[str, Any]:
    """An application whole: what was submitted, what was added to it, and how it goes. `waiting` is its place in the
    queue, if it waits."""
    foreign = run.spec.dialect != DIALECT
    details = _details_of(run.spec) if foreign else dict(run.spec.original["application_details"])
    defaults = {} if foreign else dict(run.spec.original["defaults"])
    details |= {
        "instance_defaults_at_submission": {"conf": defaults},
        "runtime": _runtime(run),
    }
    code = return_code(run)
    told = state_details(run, waiting)
    return {
        "application_details": details,
        **_shared(run, uuid),
        **({"return_code": code} if code is not None else {}),
        **({"state_details": told} if told else {}),
        **({"volumes": run.spec.original["volumes"]} if not foreign and "volumes" in run.spec.original else {}),
        **({"template_id": template} if (template := _template(run)) else {}),
        "deploy_mode": "stand-alone",
    }


def _runtime(run: Run) -> dict[str, str]:
    """The Spark that was asked for; the version and release that stand in for one that is no longer there (the closest
    newer, `core.spark.RELEASES`); and the one that really ran, once the driver has said so."""
    version = run.spec.spark_version
    known = carried_by(version)
    stands_in = {"served_by": known, "release_label": RELEASES[known]} if known and not _same(version, known) else {}
    ran = {"engine_version": run.engine_version} if run.engine_version else {}
    return {"spark_version": version, **stands_in, **ran}


def _same(version: str, known: str) -> bool:
    return version == known or version.startswith(f"{known}.")


def _details_of(spec: RunSpec) -> dict[str, Any]:
    """`application_details` that say what a run from another dialect is."""
    details: dict[str, Any] = {"application": spec.program.resource, "conf": dict(spec.conf)}
    if spec.program.arguments:
        details["arguments"] = list(spec.program.arguments)
    if spec.program.main_class:
        details["class"] = spec.program.main_class
    return details


def return_code(run: Run) -> str | None:
    """The program's exit code as text, once it is known."""
    if run.state is S.SUCCEEDED:
        return "0"
    code = run.report.get("exit_code")
    return str(code) if run.ended and isinstance(code, int) else None


QUOTA_SENTENCE = (
    "This Job/Application requested exceeded Service Instance quota, "
    "please contact your instance admin to increase quota"
)
"""Seed 002's own sentence, to the letter."""


def state_details(run: Run, waiting: Waiting | None) -> list[dict[str, str]]:
    """Why the application is where it is. The document's sentence is for the instance's own quota; beside it, and where
    something else is waited for, stands what is free and what was asked, in numbers."""
    if run.state is S.QUEUED:
        return _waiting_details(waiting) if waiting and waiting.reason is not Reason.DISPATCH else []
    if run.state is S.FAILED:
        return [{"type": "user_error", "code": run.reason.lower() or "failed", "message": run.message}]
    if run.state is S.INTERNAL_ERROR:
        return [{"type": "server_error", "code": run.reason.lower() or "internal_error", "message": run.message}]
    if run.message:
        return [{"type": "info", "code": run.reason.lower(), "message": run.message}]
    return []


def _waiting_details(waiting: Waiting) -> list[dict[str, str]]:
    quota = {"type": "info", "code": "instance_quota_exhausted", "message": QUOTA_SENTENCE}
    place = {"type": "info", "code": f"waiting_{waiting.reason.lower()}", "message": waiting.message}
    return [quota, place] if waiting.reason in {Reason.QUOTA, Reason.APPLICATION} else [place]


def status_body(run: Run, uuid: str) -> dict[str, Any]:
    """The answer of `/status`."""
    return {
        "id": uuid,
        "state": application_state(run),
        **({"start_time": iso_time(run.started_at)} if run.started_at else {}),
        **({"finish_time": iso_time(run.ended_at)} if run.ended_at else {}),
        **({"spark_application_id": run.application_id} if run.application_id else {}),
    }
