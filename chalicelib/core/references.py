"""Dynamic value references: `{{job_id}}` and its like in a run's parameters, replaced by the run's own facts.

Pure. `services.launching` calls `resolve` when a run is launched; what is stored, and shown again, is what was given.
The names are Databricks' (seed 004, "RunParameters": "Use What is a dynamic value reference? to set parameters
containing information about job runs"). As there, nothing within the braces is evaluated, not even blanks, and a name
that is not known stays as it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime

from chalicelib.core.errors import Invalid
from chalicelib.core.model import Files, Run, RunSpec

_REFERENCE = re.compile(r"\{\{([a-z_]+(?:\.[a-z_]+)*)\}\}", re.ASCII)
_NO_KEY = re.compile(r"[^A-Za-z0-9_-]")
MAX_KEY = 100
"""Characters of a task's key."""


def values_of(run: Run) -> dict[str, str]:
    """What each name means for a run that is launched.

    A run has one task. A retry keeps its job's run (`job.run_id`, `parent_run_id`: the first attempt's id) and is a
    task run of its own (`run_id`, `task.run_id`). `start_time` is the moment of the launch, `job.start_time.…` the
    moment that the run was made; both in UTC. The task's key is the run's name, with what a key may not have as `_`.
    A one-time run's job has the first attempt's id, as in the answers.
    """
    first = run.first_attempt or run.id
    job, own, made = str(run.job or first), str(run.id), datetime.fromtimestamp(run.created_at / 1000, UTC)
    launched = run.launched_at or run.created_at
    task_key = _NO_KEY.sub("_", run.spec.name)[:MAX_KEY]
    return {
        "job_id": job,
        "run_id": own,
        "parent_run_id": str(first),
        "start_date": datetime.fromtimestamp(launched / 1000, UTC).date().isoformat(),
        "start_time": str(launched),
        "task_retry_count": str(run.attempt),
        "task_key": task_key,
        "job.id": job,
        "job.name": run.spec.name,
        "job.run_id": str(first),
        "job.repair_count": "0",
        "task.name": task_key,
        "task.run_id": own,
        "task.execution_count": str(run.attempt + 1),
        "workspace.id": run.workspace,
        **{f"job.start_time.{name}": text for name, text in _parts(made, run.created_at).items()},
    }


def _parts(at: datetime, ms: int) -> dict[str, str]:
    return {
        "timestamp_ms": str(ms),
        "iso_date": at.date().isoformat(),
        "iso_datetime": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "iso_weekday": str(at.isoweekday()),
        "is_weekday": str(at.isoweekday() < 6).lower(),
        "year": str(at.year),
        "month": str(at.month),
        "day": str(at.day),
        "hour": str(at.hour),
        "minute": str(at.minute),
        "second": str(at.second),
    }


def resolve_text(text: str, values: Mapping[str, str]) -> str:
    """A text with every known reference replaced, once: what a value holds is not looked at again."""
    return _REFERENCE.sub(lambda found: values.get(found[1], found[0]), text)


def resolve_texts(texts: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """Texts with their references replaced."""
    return tuple(resolve_text(text, values) for text in texts)


def resolve_map(texts: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """A map with the references in its values replaced; names stay."""
    return {name: resolve_text(text, values) for name, text in texts.items()}


def resolve(run: Run) -> RunSpec:
    """A run's spec with its parameters' references replaced, where the spec asks for it (`RunSpec.references`).

    Raises Invalid when the parameters then break the rules that they obeyed before: too long, or not ASCII.
    """
    spec, rules = run.spec, run.spec.references
    if not rules.wanted or not _mentions(spec):
        return spec
    values = values_of(run)
    arguments = resolve_texts(spec.program.arguments, values)
    check_resolved(arguments, ascii_only=rules.ascii_only, most=rules.most_bytes)
    parameters = resolve_map(spec.program.parameters, values)
    check_resolved(parameters, ascii_only=rules.ascii_only, most=rules.most_bytes)
    program = replace(spec.program, arguments=arguments, parameters=parameters)
    if not rules.everywhere:
        return replace(spec, program=program)
    program = replace(
        program, resource=resolve_text(program.resource, values), main_class=resolve_text(program.main_class, values)
    )
    files = Files(**{f.name: resolve_texts(getattr(spec.files, f.name), values) for f in fields(Files)})
    return replace(spec, program=program, files=files, conf=resolve_map(spec.conf, values))


def _mentions(spec: RunSpec) -> bool:
    lists = [
        spec.program.arguments,
        spec.program.parameters.values(),
        spec.conf.values(),
        *(getattr(spec.files, f.name) for f in fields(Files)),
    ]
    texts = (spec.program.resource, spec.program.main_class, *(text for listed in lists for text in listed))
    return any("{{" in text for text in texts)


def check_resolved(texts: Sequence[str] | Mapping[str, str], *, ascii_only: bool, most: int) -> None:
    """Refuse resolved parameters that are longer than `most` bytes of JSON (0: any length), or not ASCII."""
    told = json.dumps(texts if isinstance(texts, Mapping) else list(texts))
    if most and len(told.encode()) > most:
        raise Invalid(f"The parameters exceed {most} bytes once their dynamic value references are replaced.")
    flat = [*texts, *texts.values()] if isinstance(texts, Mapping) else texts
    if ascii_only and not all(text.isascii() for text in flat):
        raise Invalid("The parameters are not ASCII once their dynamic value references are replaced.")
