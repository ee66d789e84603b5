"""Spark's own language: spark-submit parameters in, the body of StartJobRun out."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import Invalid
from chalicelib.core.ids import MAX_ID
from chalicelib.core.model import Files, Placement, Program, ProgramKind, RunSpec, Size
from chalicelib.core.spark import (
    RELEASES,
    check_conf,
    kind_of,
    parse_submit,
    release_for,
    scheduler_conf,
    size_from_conf,
    split_list,
    start_job_run,
    with_defaults,
)
from tests.unit.cloud import spec


def parsed(line: str) -> RunSpec:
    return parse_submit(spec(), shlex.split(line), field="parameters")


def test_a_full_line_of_parameters_is_understood() -> None:
    got = parsed(
        "--class org.example.Main --name nightly --conf spark.a=b=c --conf=spark.d=e -c spark.f=g "
        "--jars s3://b/1.jar,s3://b/2.jar --py-files s3://b/p.zip --files s3://b/f#g --archives s3://b/a.tgz "
        "--packages g:a:1,h:b:2 --exclude-packages x:y --repositories https://r "
        "--driver-memory 2g --executor-memory 1536m --num-executors 3 --driver-cores 2 --executor-cores 4 "
        "--driver-java-options '-Dx=y -Dz' s3://b/app.jar one --two '--class not.this'"
    )
    assert got.name == "nightly"
    assert got.program == Program(
        ProgramKind.JAR, "s3://b/app.jar", "org.example.Main", ("one", "--two", "--class not.this")
    )
    assert got.conf == {
        "spark.a": "b=c", "spark.d": "e", "spark.f": "g", "spark.driver.extraJavaOptions": "-Dx=y -Dz"
    }  # fmt: skip
    assert got.files == Files(
        ("s3://b/1.jar", "s3://b/2.jar"), ("s3://b/p.zip",), ("s3://b/f#g",), ("s3://b/a.tgz",), ("g:a:1", "h:b:2"),
        ("x:y",), ("https://r",),
    )  # fmt: skip
    assert got.size == Size(2, 2048, 3, 0, 4, 1536)


def test_sizes_in_the_conf_count_and_options_win_over_them() -> None:
    assert parsed("--conf spark.executor.memory=8g --conf spark.executor.instances=5 s3://b/a.py").size == replace(
        spec().size, executor_memory=8192, executors=5
    )
    assert parsed("--conf spark.executor.memory=8g --executor-memory 2g s3://b/a.py").size.executor_memory == 2048


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("", "no application"),
        ("--class x", "no application"),
        ("--class", "no value"),
        ("--conf spark.x s3://b/a.py", "name=value"),
        ("--master local[*] s3://b/a.py", "--master"),
        ("--deploy-mode client s3://b/a.py", "--deploy-mode"),
        ("--wat s3://b/a.py", "--wat"),
        ("--driver-memory lots s3://b/a.py", "lots"),
        ("--num-executors 1.5 s3://b/a.py", "whole"),
        ("--conf spark.executor.memory=lots s3://b/a.py", "lots"),
        ("--conf spark.kubernetes.namespace=kube-system s3://b/a.py", "spark.kubernetes.namespace"),
    ],
)
def test_what_spark_submit_could_not_take_is_refused_with_the_reason(line: str, word: str) -> None:
    with pytest.raises(Invalid, match=re.escape(word)):
        parsed(line)


@given(
    st.lists(st.sampled_from(["--conf", "--jars", "--class", "-", "--", "--x=", "a=b", "", "s3://b/a.py", "=", "4g"]))
)
def test_any_list_of_words_is_understood_or_refused(words: list[str]) -> None:
    try:
        assert parse_submit(spec(), words, field="f").program.resource in words
    except Invalid:
        pass


@pytest.mark.parametrize(
    "name",
    [
        "spark.master", "spark.submit.deployMode", "spark.app.id", "spark.kubernetes.namespace",
        "spark.kubernetes.context",
        "spark.kubernetes.container.image", "spark.kubernetes.container.image.pullSecrets",
        "spark.kubernetes.driver.container.image", "spark.kubernetes.executor.podTemplateFile",
        "spark.kubernetes.driver.podTemplateContainerName", "spark.kubernetes.driver.secrets.x",
        "spark.kubernetes.executor.secretKeyRef.X", "spark.kubernetes.driver.volumes.hostPath.x.mount.path",
        "spark.kubernetes.driver.pod.name", "spark.kubernetes.authenticate.driver.serviceAccountName",
        "spark.kubernetes.authenticate.oauthToken", "spark.kubernetes.driver.service.deleteOnTermination",
        "spark.kubernetes.file.upload.path", "spark.kubernetes.driver.limit.cores",
        "spark.hadoop.fs.s3a.access.key", "spark.hadoop.fs.s3.customAWSCredentialsProvider",
        "spark.hadoop.fs.s3a.bucket.x.access.key", "spark.hadoop.fs.s3a.aws.credentials.provider",
        "spark.hadoop.fs.s3.awsSecretAccessKey",
        "spark.hadoop.fs.s3a.assumed.role.arn", "spark.hadoop.fs.s3a.secret.key", "spark.hadoop.fs.s3a.session.token",
    ],
)  # fmt: skip
def test_a_users_conf_cannot_change_who_the_driver_is_or_where_it_runs(name: str) -> None:
    with pytest.raises(Invalid, match=re.escape(name)) as refused:
        check_conf({"spark.sql.shuffle.partitions": "1", name: "x"}, field="conf")
    assert refused.value.field == "conf"


@pytest.mark.parametrize(
    "name", ["spark.sql.shuffle.partitions", "spark.executor.memory", "spark.hadoop.fs.s3a.endpoint", "spark.masters"]
)
def test_ordinary_settings_are_the_users(name: str) -> None:
    check_conf({name: "x"}, field="conf")


@pytest.mark.parametrize(
    ("version", "row"),
    [("3.3", "3.3"), ("3.4", "3.4"), ("3.4.1", "3.4"), ("3.5", "3.5"), ("3.0", "3.3"), ("2.4.8", "3.3")],
)
def test_a_version_gets_its_release_or_the_closest_newer_one(version: str, row: str) -> None:
    assert release_for(version) == RELEASES[row]


@pytest.mark.parametrize("version", ["", "3", "3.6", "4.0", "99.0", "3.5.x", "latest", "3.5.1.2", " 3.5", "-3.5"])
def test_a_version_that_nobody_has_is_refused(version: str) -> None:
    with pytest.raises(Invalid):
        release_for(version)


@pytest.mark.parametrize(
    ("resource", "kind"),
    [("s3://b/a.py", ProgramKind.PYTHON), ("s3://b/A.PY", ProgramKind.PYTHON), ("s3://b/a.zip", ProgramKind.PYTHON),
     ("s3://b/a.R", ProgramKind.R), ("s3://b/a.jar", ProgramKind.JAR), ("https://x/a.py?v=a.jar", ProgramKind.PYTHON)],
)  # fmt: skip
def test_the_language_is_told_by_the_ending(resource: str, kind: ProgramKind) -> None:
    assert kind_of(resource) is kind


def test_a_list_is_split_at_commas() -> None:
    assert split_list(" a, b ,,c ") == ("a", "b", "c")


def test_dynamic_allocation_counts_only_when_it_is_on() -> None:
    conf = {"spark.dynamicAllocation.maxExecutors": "9"}
    assert size_from_conf(conf, Size()).executors_max == 0
    assert size_from_conf({**conf, "spark.dynamicAllocation.enabled": "True"}, Size()).executors_max == 9


def body(what: RunSpec, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "workspace": "main", "run": 7, "entry_point": "s3://b/launch.py", "arguments": (), "extra": Files(),
        "virtual_cluster": "vc", "role": "arn:aws:iam::1:role/r", "log_uri": "s3://b/logs", "files_uri": "s3://b/main/dbfs/",
    }  # fmt: skip
    return start_job_run(replace(what, spark_version="3.5"), **{**arguments, **changes})


def test_the_owners_image_is_the_one_for_the_release_and_no_users() -> None:
    spec = RunSpec(name="work", program=Program(ProgramKind.PYTHON, "s3://b/main.py"))
    told = defaults_of(body(spec, image="registry.example/spark:{release}"))
    assert told["spark.kubernetes.container.image"] == "registry.example/spark:emr-7.12.0"
    assert "spark.kubernetes.container.image" not in defaults_of(body(spec))


def defaults_of(request: dict[str, Any]) -> dict[str, str]:
    (classification,) = request["configurationOverrides"]["applicationConfiguration"]
    assert classification["classification"] == "spark-defaults"
    found = classification["properties"]
    assert all(isinstance(value, str) for value in found.values())
    return dict(found)


def test_a_second_request_for_a_run_is_the_same_request() -> None:
    request = body(spec())
    assert request == body(spec())
    assert request["clientToken"] == request["name"] == "main.7"
    assert request["tags"] == {"sparkplane-run": "main.7"}


@given(workspace=st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True), run=st.integers(1, MAX_ID))
def test_names_are_within_emrs_limits(workspace: str, run: int) -> None:
    request = body(spec(), workspace=workspace, run=run)
    assert re.fullmatch(r"[.\-_/#A-Za-z0-9]{1,64}", request["name"])
    assert len(request["clientToken"]) <= 64


def test_the_workspaces_files_are_mounted_unless_the_user_mounts_others() -> None:
    name = "spark.hadoop.fs.viewfs.mounttable.default.linkFallback"
    assert defaults_of(body(spec()))[name] == "s3://b/main/dbfs/"
    assert defaults_of(body(replace(spec(), conf={name: "s3://mine/x"})))[name] == "s3://mine/x"


def test_what_is_granted_is_what_runs_whatever_the_conf_says() -> None:
    size = Size(2, 2048, 3, 9, 4, 1536)
    conf = {"spark.executor.instances": "99", "spark.executor.memory": "99g", "spark.sql.x": "y",
            "spark.dynamicAllocation.maxExecutors": "99"}  # fmt: skip
    got = defaults_of(body(replace(spec(), size=size, conf=conf)))
    assert got["spark.executor.instances"] == "3"
    assert got["spark.executor.memory"] == "1536m"
    assert got["spark.dynamicAllocation.maxExecutors"] == "9"
    assert got["spark.dynamicAllocation.enabled"] == "true"
    assert got["spark.driver.memory"] == "2g"
    assert got["spark.sql.x"] == "y"


def test_dynamic_allocation_in_the_conf_is_held_for_and_never_goes_beyond_what_is_held() -> None:
    conf = {"spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.maxExecutors": "99"}
    bounded = replace(spec(), conf=conf, size=size_from_conf(conf, Size(executors=2)))
    assert bounded.size.amount().cores == 100_000
    assert defaults_of(body(bounded))["spark.dynamicAllocation.maxExecutors"] == "99"
    unbounded = replace(spec(), conf={"spark.dynamicAllocation.enabled": "true"}, size=Size(executors=2))
    assert defaults_of(body(unbounded))["spark.dynamicAllocation.maxExecutors"] == "2"


def test_files_of_the_run_and_of_the_bootstrap_travel_together_and_quoted() -> None:
    files = Files(jars=("s3://b/a b.jar",), py_files=("s3://b/x.zip",))
    request = body(replace(spec(), files=files), extra=Files(py_files=("s3://b/bundle.zip", "s3://b/x.zip")))
    words = shlex.split(request["jobDriver"]["sparkSubmitJobDriver"]["sparkSubmitParameters"])
    assert words == ["--jars", "s3://b/a b.jar", "--py-files", "s3://b/bundle.zip,s3://b/x.zip"]


def test_what_the_bootstrap_adds_to_a_list_does_not_replace_that_of_the_conf() -> None:
    conf = {
        "spark.submit.pyFiles": "s3://b/x.zip, s3://b/y.zip",
        "spark.files": "s3://b/z",
        "spark.jars": "s3://b/j.jar",
    }
    request = body(replace(spec(), conf=conf), extra=Files(py_files=("s3://b/bundle.zip",), files=("s3://b/main.py",)))
    words = shlex.split(request["jobDriver"]["sparkSubmitJobDriver"]["sparkSubmitParameters"])
    assert words == [
        "--py-files", "s3://b/bundle.zip,s3://b/x.zip,s3://b/y.zip", "--files", "s3://b/main.py,s3://b/z",
    ]  # fmt: skip


def test_empty_parts_are_left_out_because_emr_refuses_them() -> None:
    driver = body(spec())["jobDriver"]["sparkSubmitJobDriver"]
    assert driver == {"entryPoint": "s3://b/launch.py"}


def test_a_native_programs_environment_goes_to_driver_and_executors_and_pythons_does_not() -> None:
    native = replace(spec(), program=Program(ProgramKind.JAR, "s3://b/a.jar", "M"), environment={"K": "v"})
    got = defaults_of(body(native))
    assert got["spark.kubernetes.driverEnv.K"] == got["spark.executorEnv.K"] == "v"
    assert not [name for name in defaults_of(body(replace(spec(), environment={"K": "v"}))) if name.endswith(".K")]


def test_gpus_that_the_conf_asks_for_are_part_of_what_the_run_holds() -> None:
    conf = {"spark.driver.resource.gpu.amount": "1", "spark.executor.resource.gpu.amount": "2"}
    assert size_from_conf(conf, Size(executors=3)).amount().gpus == 7
    grows = {**conf, "spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.maxExecutors": "5"}
    assert size_from_conf(grows, Size(executors=3)).amount().gpus == 11
    for text in ("-1", "1.5", "many", "1001", ""):
        with pytest.raises(Invalid, match="spark.executor.resource.gpu.amount"):
            size_from_conf({"spark.executor.resource.gpu.amount": text}, Size())


def test_a_pools_conf_lies_beneath_a_runs_own_and_leaves_its_size() -> None:
    asked = replace(spec(), conf={"spark.a": "mine"}, size=Size(executors=2, executor_memory=2048))
    pool = {"spark.a": "pool's", "spark.b": "pool's", "spark.executor.memory": "9g", "ae.spark.executor.count": "9",
            "spark.executor.resource.gpu.amount": "1"}  # fmt: skip
    got = with_defaults(asked, pool)
    assert (got.conf["spark.a"], got.conf["spark.b"]) == ("mine", "pool's")
    assert "ae.spark.executor.count" not in got.conf
    assert got.size == replace(asked.size, executor_gpus=1)
    assert defaults_of(body(got))["spark.executor.memory"] == "2g"
    assert with_defaults(asked, {}) == asked


def test_a_pools_queue_is_told_to_yunikorn_for_every_pod() -> None:
    got = defaults_of(body(replace(spec(), placement=Placement(scheduler="yunikorn", queue="root.etl"))))
    handed = {name: value for name, value in got.items() if name.startswith("spark.kubernetes.")}
    assert handed == {
        "spark.kubernetes.scheduler.name": "yunikorn",
        **{f"spark.kubernetes.{pod}.{name}": value
           for pod in ("driver", "executor")
           for name, value in {
               "label.queue": "root.etl",
               "annotation.yunikorn.apache.org/queue": "root.etl",
               "annotation.yunikorn.apache.org/app-id": "{{APP_ID}}",
           }.items()},
    }  # fmt: skip


def test_a_pools_queue_is_told_to_volcano_with_or_without_a_template() -> None:
    plain = scheduler_conf(Placement(scheduler="volcano", queue="etl"))
    assert plain == {
        "spark.kubernetes.scheduler.name": "volcano",
        "spark.kubernetes.driver.annotation.scheduling.volcano.sh/queue-name": "etl",
        "spark.kubernetes.executor.annotation.scheduling.volcano.sh/queue-name": "etl",
    }
    grouped = scheduler_conf(Placement(scheduler="volcano", queue="etl", pod_group="s3://b/group.yaml"))
    assert grouped["spark.kubernetes.scheduler.volcano.podGroupTemplateFile"] == "s3://b/group.yaml"
    steps = {name: value for name, value in grouped.items() if name.endswith("featureSteps")}
    assert set(steps) == {f"spark.kubernetes.{pod}.pod.featureSteps" for pod in ("driver", "executor")}
    assert scheduler_conf(Placement()) == {}


@pytest.mark.parametrize("placement", [Placement(scheduler="yunikorn", queue="q"),
                                       Placement(scheduler="volcano", queue="q", pod_group="/t.yaml")])  # fmt: skip
def test_nobody_but_the_pool_may_say_what_hands_pods_to_a_queue(placement: Placement) -> None:
    for name in (*scheduler_conf(placement), "spark.kubernetes.executor.request.cores"):
        with pytest.raises(Invalid, match="is set by the platform"):
            check_conf({name: "x"}, field="conf")
