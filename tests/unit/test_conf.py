"""What people may set, and how it travels to the driver: every value that Spark takes arrives as it is."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.conf import check_conf, check_environment
from chalicelib.core.errors import Invalid
from chalicelib.core.model import Program, ProgramKind, RunSpec
from chalicelib.core.spark import (
    ARGUMENT_LIMIT,
    MAX_PARAMETERS,
    MAX_PROPERTIES,
    MAX_PROPERTY,
    ROOM,
    bootstrapped,
    check_carried,
)
from sandbox.aws.emr import validation
from sandbox.aws.emr.submission import parse
from tests.unit.cloud import spec
from tests.unit.test_spark import body as request_for

NAMES = ["", " ", "a b", "a\tb", "a\nb", "a=b", "a\0", "\x7f", "a\u00a0b", "\ud800"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_what_is_no_settings_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="cannot be the name of a property") as refused:
        check_conf({"spark.a": "", name: "x"}, field="f")
    assert refused.value.field == "f"


@pytest.mark.parametrize("value", ["a\nb", "a\r", "\0"], ids=ascii)
def test_a_value_is_one_line(value: str) -> None:
    with pytest.raises(Invalid, match="f: the value of spark.a has a line break or a NUL character."):
        check_conf({"spark.a": value}, field="f")
    with pytest.raises(Invalid, match="f: the value of A has a line break or a NUL character."):
        check_environment({"A": value}, field="f", one_line=True)


@pytest.mark.parametrize("name", ["", "A=B", "A B", "1A", "\0", "A\n", "ü"], ids=ascii)
def test_what_is_no_variables_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="f: .* cannot be the name of an environment variable."):
        check_environment({name: "x"}, field="f", one_line=False)


def test_a_variable_that_the_bootstrap_brings_may_have_lines_and_none_may_have_a_nul() -> None:
    check_environment({"A": "", "B_1": "a\nb", "my.c-d": "x"}, field="f", one_line=False)
    with pytest.raises(Invalid, match="f: the value of A has a NUL character."):
        check_environment({"A": "a\0b"}, field="f", one_line=False)


def body(what: RunSpec) -> dict[str, Any]:
    return request_for(what, role="arn:aws:iam::123456789012:role/driver")


def read(request: dict[str, Any]) -> dict[str, str]:
    """The conf that EMR's spark-submit gets of a request, which EMR must take."""
    validation.check_start(request)
    return dict(parse(request).conf)


def properties(request: dict[str, Any]) -> dict[str, str]:
    (told,) = request["configurationOverrides"]["applicationConfiguration"]
    return dict(told["properties"])


AWKWARD = {
    "empty": "",
    "blank": "   ",
    "of the most characters": "x" * MAX_PROPERTY,
    "too long for a property": "x" * (MAX_PROPERTY + 1),
    "long with all that shells know": """-Da="x y" -Db='$(z)' -Dc=`d` \\ * ~ & ; | > # ü ☃ """ * 40,
    "that looks like an option": "--conf spark.b=c",
}


@pytest.mark.parametrize("value", AWKWARD.values(), ids=AWKWARD.keys())
def test_every_value_arrives_as_it_is(value: str) -> None:
    assert read(body(replace(spec(), conf={"spark.a": value})))["spark.a"] == value


LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=2000)


@given(st.dictionaries(st.from_regex(r"spark\.[a-z]{1,8}", fullmatch=True), LINES))
def test_any_conf_arrives_as_it_is(conf: dict[str, str]) -> None:
    got = read(body(replace(spec(), conf=conf)))
    assert {name: got[name] for name in conf} == conf


def test_only_what_a_property_cannot_be_is_an_option() -> None:
    driver = body(replace(spec(), conf={"spark.a": "b c"}))["jobDriver"]["sparkSubmitJobDriver"]
    assert "sparkSubmitParameters" not in driver
    driver = body(replace(spec(), conf={"spark.a": "b", "spark.c": ""}))["jobDriver"]["sparkSubmitJobDriver"]
    assert driver["sparkSubmitParameters"] == "--conf spark.c="


def test_of_more_settings_than_emr_takes_those_without_quotes_are_options() -> None:
    conf = {f"spark.a{number}": "x y" if number % 2 else "z" for number in range(150)}
    request = body(replace(spec(), conf=conf))
    assert len(properties(request)) == MAX_PROPERTIES
    assert {name: read(request)[name] for name in conf} == conf
    assert "'" not in request["jobDriver"]["sparkSubmitJobDriver"]["sparkSubmitParameters"]


def test_a_conf_that_emr_could_not_take_at_all_is_refused() -> None:
    most = MAX_PARAMETERS - ROOM - len("--conf spark.a=")
    check_carried(replace(spec(), conf={"spark.a": "x" * most}), field="f")
    with pytest.raises(
        Invalid, match="^f: what does not fit into 100 properties of 1024 characters has more"
    ) as refused:
        check_carried(replace(spec(), conf={"spark.a": "x" * (most + 1)}), field="f")
    assert refused.value.field == "f"


def native(*arguments: str, **environment: str) -> RunSpec:
    program = Program(ProgramKind.JAR, "s3://b/a.jar", "M", arguments)
    return replace(spec(), program=program, environment=environment)


def test_a_native_programs_empty_variable_arrives_at_driver_and_executors() -> None:
    request = body(native(A="", B="x" * 2000))
    got = read(request)
    assert (got["spark.kubernetes.driverEnv.A"], got["spark.executorEnv.A"]) == ("", "")
    assert parse(request).env == {"A": "", "B": "x" * 2000}


@pytest.mark.parametrize("argument", ["", " ", "x" * (ARGUMENT_LIMIT + 1)], ids=["empty", "blank", "long"])
def test_a_native_program_with_an_argument_that_emr_does_not_take_is_started_by_the_bootstrap(argument: str) -> None:
    assert bootstrapped(native("a", argument))
    assert not bootstrapped(native("a", "x" * ARGUMENT_LIMIT))


@pytest.mark.parametrize(("name", "told"), [("", None), ("\n", None), ("a\nb\0c", "a b c"), ("n" * 4096, "n" * 4096)])
def test_a_runs_name_is_one_line_of_the_conf_or_none(name: str, told: str | None) -> None:
    request = body(replace(spec(), name=name))
    assert read(request).get("spark.app.name") == told


def test_an_option_that_was_added_needs_no_quotes_that_a_shell_would_not_read() -> None:
    request = body(replace(spec(), conf={"spark.a": "it's " * 300}))
    words = shlex.split(request["jobDriver"]["sparkSubmitJobDriver"]["sparkSubmitParameters"])
    assert words == ["--conf", "spark.a=" + "it's " * 300]
