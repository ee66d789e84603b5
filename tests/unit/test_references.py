"""Dynamic value references: what each name means, and what stays as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import Invalid
from chalicelib.core.model import Files, Program, ProgramKind, References, Run, RunSpec
from chalicelib.core.references import check_resolved, resolve, resolve_map, resolve_text, values_of

SPEC = RunSpec("Nightly: model/training", Program(ProgramKind.PYTHON, "s3://b/{{run_id}}.py"))
RUN = Run(
    "main", 77, SPEC, "alice", 1_614_000_000_000, job=12, first_attempt=70, attempt=2, launched_at=1_614_124_800_999
)

MEANINGS = {
    "job_id": "12",
    "run_id": "77",
    "parent_run_id": "70",
    "start_date": "2021-02-24",
    "start_time": "1614124800999",
    "task_retry_count": "2",
    "task_key": "Nightly__model_training",
    "job.id": "12",
    "job.name": "Nightly: model/training",
    "job.run_id": "70",
    "job.repair_count": "0",
    "job.start_time.timestamp_ms": "1614000000000",
    "job.start_time.iso_date": "2021-02-22",
    "job.start_time.iso_datetime": "2021-02-22T13:20:00.000Z",
    "job.start_time.iso_weekday": "1",
    "job.start_time.is_weekday": "true",
    "job.start_time.year": "2021",
    "job.start_time.month": "2",
    "job.start_time.day": "22",
    "job.start_time.hour": "13",
    "job.start_time.minute": "20",
    "job.start_time.second": "0",
    "task.name": "Nightly__model_training",
    "task.run_id": "77",
    "task.execution_count": "3",
    "workspace.id": "main",
}


def test_each_name_means_a_fact_of_the_run() -> None:
    assert values_of(RUN) == MEANINGS


def test_a_one_time_run_has_the_first_attempts_id_as_its_job() -> None:
    assert values_of(replace(RUN, job=0))["job_id"] == "70"
    assert values_of(replace(RUN, job=0, first_attempt=0))["job_id"] == "77"


@pytest.mark.parametrize(
    ("given_text", "resolved"),
    [
        ("{{run_id}}", "77"),
        ("a-{{job_id}}-{{run_id}}-b", "a-12-77-b"),
        ("{{{run_id}}}", "{77}"),
        ("{{{{run_id}}}}", "{{77}}"),
        ("{{ run_id }}", "{{ run_id }}"),
        ("{{RUN_ID}}", "{{RUN_ID}}"),
        ("{{no_such}}", "{{no_such}}"),
        ("{{job.start_time.century}}", "{{job.start_time.century}}"),
        ("{{run_id}", "{{run_id}"),
        ("{run_id}", "{run_id}"),
        ("{{}}", "{{}}"),
        ("{{job_id + 1}}", "{{job_id + 1}}"),
        ("", ""),
    ],
)
def test_only_a_known_name_in_double_braces_is_replaced(given_text: str, resolved: str) -> None:
    assert resolve_text(given_text, values_of(RUN)) == resolved


def test_a_value_that_looks_like_a_reference_is_not_resolved_again() -> None:
    run = replace(RUN, spec=replace(SPEC, name="{{run_id}}"))
    assert resolve_text("{{job.name}}", values_of(run)) == "{{run_id}}"


def test_names_of_parameters_stay() -> None:
    assert resolve_map({"{{run_id}}": "{{run_id}}"}, values_of(RUN)) == {"{{run_id}}": "77"}


@given(st.text())
def test_a_text_without_braces_is_never_changed(text: str) -> None:
    assert resolve_text(text.replace("{", ""), MEANINGS) == text.replace("{", "")


def _spec(*arguments: str, **rules: object) -> RunSpec:
    files = Files(jars=("s3://b/{{job_id}}.jar",), packages=("a:b:{{run_id}}",))
    program = Program(ProgramKind.JAR, "s3://b/{{run_id}}.jar", "org.M{{job_id}}", arguments)
    references = References(True, **rules)  # type: ignore[arg-type]
    return replace(SPEC, program=program, files=files, conf={"spark.x": "{{run_id}}"}, references=references)


def test_arguments_alone_are_resolved_unless_everything_is_a_parameter() -> None:
    spec = _spec("{{run_id}}", "x")
    assert resolve(replace(RUN, spec=spec)) == replace(spec, program=replace(spec.program, arguments=("77", "x")))


def test_of_a_spark_submit_task_every_part_is_a_parameter() -> None:
    resolved = resolve(replace(RUN, spec=_spec("{{run_id}}", everywhere=True)))
    assert resolved.program == Program(ProgramKind.JAR, "s3://b/77.jar", "org.M12", ("77",))
    assert resolved.files == Files(jars=("s3://b/12.jar",), packages=("a:b:77",))
    assert resolved.conf == {"spark.x": "77"}


def test_a_spec_of_another_dialect_is_left_alone() -> None:
    spec = replace(_spec("{{run_id}}"), references=References())
    assert resolve(replace(RUN, spec=spec)) is spec


def test_resolved_parameters_still_obey_the_rules_for_parameters() -> None:
    long = replace(_spec(*["{{job.name}}"] * 3, most_bytes=100), name="n" * 40)
    with pytest.raises(Invalid, match="exceed 100 bytes once"):
        resolve(replace(RUN, spec=long))
    foreign = replace(_spec("{{job.name}}", ascii_only=True), name="Übung")
    with pytest.raises(Invalid, match="not ASCII once"):
        resolve(replace(RUN, spec=foreign))
    assert resolve(replace(RUN, spec=replace(foreign, references=References(True)))).program.arguments == ("Übung",)


def test_maps_obey_the_same_rules() -> None:
    check_resolved({"a": "b"}, ascii_only=True, most=10)
    with pytest.raises(Invalid):
        check_resolved({"a": "bc"}, ascii_only=True, most=10)
    with pytest.raises(Invalid):
        check_resolved({"ä": "b"}, ascii_only=True, most=0)


def test_parameters_with_names_are_resolved_too() -> None:
    program = Program(ProgramKind.RUN_JOB, "5", parameters={"of": "{{job_id}}", "{{run_id}}": "x"})
    spec = replace(SPEC, program=program, references=References(True, ascii_only=True, most_bytes=100))
    assert resolve(replace(RUN, spec=spec)).program.parameters == {"of": "12", "{{run_id}}": "x"}
    with pytest.raises(Invalid):
        resolve(replace(RUN, spec=replace(spec, references=References(True, most_bytes=10))))
