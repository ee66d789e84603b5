"""What Jobs 2.0 refuses: with which status, code and sentence, and that nothing has changed afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.capacity import Amount
from chalicelib.services.pools import ensure_pool
from tests.contract.databricks import (
    JOBS,
    cluster,
    create,
    jar,
    listed,
    python,
    refused,
    run_now,
    spark_submit,
    submit,
)
from tests.contract.wire import Client, Service

MANY = "100 properties of 1024 characters has more than 94,208 characters, together with the lists of files."
INVALID = "INVALID_PARAMETER_VALUE"
MALFORMED = "MALFORMED_REQUEST"
UNPARSED = "Could not parse request object: Expected"
ONE_TASK = (
    "Exactly one of notebook_task, spark_jar_task, spark_python_task, spark_submit_task, pipeline_task, run_job_task "
    "must be specified; found"
)
NO_CLUSTER = "One of new_cluster or existing_cluster_id must be specified."
ALLOWED = "allowed are https, local, s3, s3a."
CLUSTER_SPEC = "settings.cluster_spec.new_cluster"


def python_task(**task: Any) -> dict[str, Any]:
    return python(spark_python_task=task)


def on(**settings: Any) -> dict[str, Any]:
    return python(new_cluster=cluster(**settings))


RUNTIMES = (
    "Known are <M>.<F>.x[-cpu][-gpu][-ml][-photon]-scala<version> with <M>.<F> 3.4 to 3.5, 4.0 to 4.3, 5.0 to 5.5, "
    "6.0 to 6.6, 7.0 to 7.6, 8.0 to 8.4, 9.0 to 9.1, 10.0 to 10.5, 11.0 to 11.3, 12.0 to 12.2, 13.0 to 13.3, "
    "14.0 to 14.3, 15.0 to 15.4, 16.0 to 16.4, 17.0 to 17.3, and apache-spark-<M>.<F>.x-scala<version>."
)

BODIES: dict[str, tuple[Any, str, str]] = {
    "nothing at all": ({}, INVALID, f"{ONE_TASK} none."),
    "no task": (python(spark_python_task=None), INVALID, f"{ONE_TASK} none."),
    "two tasks": (
        python(spark_jar_task={"main_class_name": "A"}),
        INVALID,
        f"{ONE_TASK} spark_jar_task and spark_python_task.",
    ),
    "a notebook and a jar": (
        jar(notebook_task={"notebook_path": "/a"}),
        INVALID,
        f"{ONE_TASK} notebook_task and spark_jar_task.",
    ),
    "a pipeline without a name": (
        python(spark_python_task=None, pipeline_task={}),
        INVALID,
        "Missing required field: pipeline_task.pipeline_id",
    ),
    "a job that runs a job": (
        python(spark_python_task=None, run_job_task={"job_id": 1}),
        INVALID,
        "Job 1 does not exist.",
    ),
    "no cluster": (python(new_cluster=None), INVALID, NO_CLUSTER),
    "an existing cluster without a name": (
        python(new_cluster=None, existing_cluster_id=""),
        INVALID,
        "Invalid value for field existing_cluster_id: String should have at least 1 character",
    ),
    "raw parameters for an existing cluster": (
        spark_submit("s3://code/main.py", new_cluster=None, existing_cluster_id="1201-my-cluster"),
        INVALID,
        "spark_submit_task can run only on a new cluster.",
    ),
    "both kinds of cluster": (
        python(existing_cluster_id="1201-my-cluster"),
        INVALID,
        "Only one of new_cluster and existing_cluster_id may be specified.",
    ),
    "an empty cluster": (python(new_cluster={}), INVALID, "Missing required field: new_cluster.spark_version"),
    "a cluster without a size": (on(num_workers=None), INVALID, f"Missing required field: {CLUSTER_SPEC}.size"),
    "a cluster with two sizes": (
        on(autoscale={"min_workers": 1, "max_workers": 2}),
        INVALID,
        "Only one of num_workers and autoscale may be specified.",
    ),
    "a cluster without nodes": (on(node_type_id=None), INVALID, f"Missing required field: {CLUSTER_SPEC}.node_type_id"),
    "an autoscale that does not scale": (
        on(num_workers=None, autoscale={"min_workers": 3, "max_workers": 3}),
        INVALID,
        "autoscale.max_workers must be strictly greater than min_workers.",
    ),
    "a negative number of workers": (on(num_workers=-1), INVALID, "num_workers must be between 0 and 100000."),
    "a node type of nobody's": (on(node_type_id="quantum.large"), INVALID, "Node type quantum.large is not supported."),
    "a driver's node type of nobody's": (
        on(driver_node_type_id="abacus"),
        INVALID,
        "Node type abacus is not supported.",
    ),
    "a runtime that is no version": (on(spark_version="latest"), INVALID, f"Invalid spark version latest. {RUNTIMES}"),
    "a runtime of the far future": (
        on(spark_version="99.9.x-scala2.13"),
        INVALID,
        f"Invalid spark version 99.9.x-scala2.13. {RUNTIMES}",
    ),
    "a runtime with a newer Spark than any here": (
        on(spark_version="17.3.x-scala2.13"),
        INVALID,
        "Spark version 17.3.x-scala2.13 is not available: it has Spark 4.0, and the newest here is 3.5.",
    ),
    "a pool that does not exist": (on(instance_pool_id="no-such-pool"), INVALID, "Pool no-such-pool does not exist."),
    "a pool with an endless name": (
        on(instance_pool_id="p" * 5000),
        INVALID,
        "Invalid value for field new_cluster.instance_pool_id: String should have at most 255 characters",
    ),
    "a conf that would change who runs": (
        on(spark_conf={"spark.kubernetes.namespace": "kube-system"}),
        INVALID,
        "new_cluster.spark_conf: spark.kubernetes.namespace is set by the platform and cannot be overridden.",
    ),
    "a conf with credentials": (
        on(spark_conf={"spark.hadoop.fs.s3a.access.key": "AKIA"}),
        INVALID,
        "new_cluster.spark_conf: spark.hadoop.fs.s3a.access.key is set by the platform and cannot be overridden.",
    ),
    **{
        f"a conf with the name {name!a}": (
            on(spark_conf={name: "x"}),
            INVALID,
            f"new_cluster.spark_conf: {name!r} cannot be the name of a property.",
        )
        for name in ("", "a b", "a=b", "a\n")
    },
    "a conf of two lines": (
        on(spark_conf={"spark.a": "x\ny"}),
        INVALID,
        "new_cluster.spark_conf: the value of spark.a has a line break or a NUL character.",
    ),
    "a conf that nothing carries": (
        on(spark_conf={"spark.a": "x" * 95_000}),
        INVALID,
        f"new_cluster.spark_conf: what does not fit into {MANY}",
    ),
    "a NUL in the environment": (
        on(spark_env_vars={"A": "\0"}),
        INVALID,
        "new_cluster.spark_env_vars: the value of A has a NUL character.",
    ),
    "an environment that is not ASCII": (
        on(spark_env_vars={"STAGE": "prüfung"}),
        INVALID,
        "new_cluster.spark_env_vars: STAGE has characters that are not ASCII.",
    ),
    "an amount of memory that is none": (
        on(spark_conf={"spark.executor.memory": "plenty"}),
        INVALID,
        "spark.executor.memory: 'plenty' is not an amount of memory such as 512m, 4g or 20Gi.",
    ),
    "a file of the machine": (
        python_task(python_file="file:///etc/passwd"),
        INVALID,
        f"spark_python_task.python_file: the URI 'file:///etc/passwd' is of scheme 'file'; {ALLOWED}",
    ),
    "a bare path of the machine": (
        python_task(python_file="/etc/passwd"),
        INVALID,
        f"spark_python_task.python_file: the URI '/etc/passwd' is of scheme 'file'; {ALLOWED}",
    ),
    "a scheme of nobody's": (
        python_task(python_file="gopher://host/main.py"),
        INVALID,
        f"spark_python_task.python_file: the URI 'gopher://host/main.py' is of scheme 'gopher'; {ALLOWED}",
    ),
    "a path that climbs": (
        python_task(python_file="s3://code/../secret/main.py"),
        INVALID,
        "spark_python_task.python_file: 's3://code/../secret/main.py' has a '..' in its path.",
    ),
    "a path that climbs in disguise": (
        python_task(python_file="s3://code/%2e%2e/main.py"),
        INVALID,
        "spark_python_task.python_file: 's3://code/%2e%2e/main.py' has a '..' in its path.",
    ),
    "a dbfs path that climbs out of the workspace": (
        python_task(python_file="dbfs:/../../elsewhere/dbfs/main.py"),
        INVALID,
        "spark_python_task.python_file: 's3://bucket/main/dbfs/../../elsewhere/dbfs/main.py' has a '..' in its path.",
    ),
    "a jar of the machine": (
        jar(libraries=[{"jar": "file:/etc/app.jar"}]),
        INVALID,
        f"libraries: the URI 'file:/etc/app.jar' is of scheme 'file'; {ALLOWED}",
    ),
    "a file without a name": (
        python_task(parameters=[]),
        INVALID,
        "Missing required field: spark_python_task.python_file",
    ),
    "an empty file name": (
        python_task(python_file=""),
        INVALID,
        "Invalid value for field spark_python_task.python_file: String should have at least 1 character",
    ),
    "a jar task without a class": (
        jar(spark_jar_task={"parameters": ["a"]}),
        INVALID,
        "Missing required field: spark_jar_task.main_class_name",
    ),
    "a jar task without a jar": (jar(libraries=[]), INVALID, "spark_jar_task needs a jar among its libraries."),
    "a library of two kinds": (
        jar(libraries=[{"jar": "s3://a/b.jar", "whl": "s3://a/b.whl"}]),
        INVALID,
        "libraries.0: exactly one of jar, egg, whl, pypi, maven and cran must be set.",
    ),
    "an empty library": (
        jar(libraries=[{"jar": "s3://a/b.jar"}, {}]),
        INVALID,
        "libraries.1: exactly one of jar, egg, whl, pypi, maven and cran must be set.",
    ),
    "a library that is a requirements file": (
        python(libraries=[{"requirements": "dbfs:/requirements.txt"}]),
        INVALID,
        "libraries.0: requirements is not part of Jobs API 2.0; name the packages as pypi libraries.",
    ),
    "maven without coordinates": (
        python(libraries=[{"maven": {"repo": "https://repo.test"}}]),
        INVALID,
        "Missing required field: libraries.0.maven.coordinates",
    ),
    "spark-submit with a master": (
        spark_submit("--master", "yarn", "s3://a/b.py"),
        INVALID,
        "spark_submit_task.parameters: --master is configured by the service.",
    ),
    "spark-submit with a deploy mode": (
        spark_submit("--deploy-mode=cluster", "s3://a/b.py"),
        INVALID,
        "spark_submit_task.parameters: --deploy-mode is configured by the service.",
    ),
    "spark-submit with cores of its own": (
        spark_submit("--executor-cores", "4", "s3://a/b.py"),
        INVALID,
        "spark_submit_task.parameters: --executor-cores is configured by the service.",
    ),
    "spark-submit with a master as a conf": (
        spark_submit("--conf", "spark.master=yarn", "s3://a/b.py"),
        INVALID,
        "spark_submit_task.parameters: spark.master is set by the platform and cannot be overridden.",
    ),
    "spark-submit with an option of nobody's": (
        spark_submit("--proxy-user", "root", "s3://a/b.py"),
        INVALID,
        "spark_submit_task.parameters: the option --proxy-user is not supported.",
    ),
    "spark-submit with a file of the machine": (
        spark_submit("--files", "file:///etc/shadow", "s3://a/b.py"),
        INVALID,
        f"spark_submit_task.parameters: the URI 'file:///etc/shadow' is of scheme 'file'; {ALLOWED}",
    ),
    "spark-submit without an application": (
        spark_submit("--class", "A"),
        INVALID,
        "spark_submit_task.parameters: no application (a .py, .jar or .R file) is named.",
    ),
    "spark-submit with libraries": (
        spark_submit("s3://a/b.py", libraries=[{"jar": "s3://a/b.jar"}]),
        INVALID,
        "spark_submit_task does not support libraries and spark_conf.",
    ),
    "spark-submit with a conf in its cluster": (
        spark_submit("s3://a/b.py", new_cluster=cluster(spark_conf={"a": "b"})),
        INVALID,
        "spark_submit_task does not support libraries and spark_conf.",
    ),
    "parameters that are not ASCII": (
        python_task(python_file="s3://a/b.py", parameters=["naïve"]),
        INVALID,
        "spark_python_task.parameters: parameters accept only Latin characters (ASCII character set).",
    ),
    "parameters of 10,001 bytes": (
        python_task(python_file="s3://a/b.py", parameters=["x" * (10_001 - len('{"parameters": [""]}'))]),
        INVALID,
        "spark_python_task.parameters: the JSON representation of the parameters exceeds 10000 bytes.",
    ),
    "a parameter that is a number": (
        python_task(python_file="s3://a/b.py", parameters=["a", 5]),
        MALFORMED,
        f"{UNPARSED} string for field spark_python_task.parameters.1, found NUMBER",
    ),
    "parameters that are a text": (
        python_task(python_file="s3://a/b.py", parameters="a b"),
        MALFORMED,
        f"{UNPARSED} array for field spark_python_task.parameters, found STRING",
    ),
    "a task that is a text": (
        python(spark_python_task="s3://a/b.py"),
        MALFORMED,
        f"{UNPARSED} object for field spark_python_task, found STRING",
    ),
    "a conf that is a text": (
        on(spark_conf="a=b"),
        MALFORMED,
        f"{UNPARSED} object for field new_cluster.spark_conf, found STRING",
    ),
    "a conf with a value that is an object": (
        on(spark_conf={"a": {}}),
        MALFORMED,
        f"{UNPARSED} string for field new_cluster.spark_conf.a, found OBJECT",
    ),
    "workers that are a word": (
        on(num_workers="two"),
        MALFORMED,
        f"{UNPARSED} integer for field new_cluster.num_workers, found STRING",
    ),
    "workers that are a fraction": (
        on(num_workers=2.5),
        MALFORMED,
        f"{UNPARSED} integer for field new_cluster.num_workers, found NUMBER",
    ),
    "workers that are true": (
        on(num_workers=True),
        MALFORMED,
        f"{UNPARSED} integer for field new_cluster.num_workers, found BOOLEAN",
    ),
    "libraries that are an object": (
        python(libraries={"jar": "s3://a/b.jar"}),
        MALFORMED,
        f"{UNPARSED} array for field libraries, found OBJECT",
    ),
    "a time-out that is negative": (
        python(timeout_seconds=-1),
        INVALID,
        "Invalid value for field timeout_seconds: Input should be greater than or equal to 0",
    ),
    "a time-out that is two minus signs": (
        python(timeout_seconds="--5"),
        MALFORMED,
        f"{UNPARSED} integer for field timeout_seconds, found STRING",
    ),
    "several tasks": (
        python(tasks=[{"task_key": "a"}]),
        INVALID,
        "tasks is not part of Jobs API 2.0: this service runs single-task jobs.",
    ),
    "shared clusters": (
        python(job_clusters=[]),
        INVALID,
        "job_clusters is not part of Jobs API 2.0: this service runs single-task jobs.",
    ),
    "code from git": (
        python(git_source={}),
        INVALID,
        "git_source is not part of Jobs API 2.0: this service runs single-task jobs.",
    ),
}


@pytest.mark.parametrize("path", ["create", "runs/submit"])
@pytest.mark.parametrize(("body", "code", "message"), BODIES.values(), ids=BODIES.keys())
def test_a_job_or_run_that_can_never_be_right_is_refused_by_name_and_changes_nothing(
    service: Service, alice: Client, path: str, body: Any, code: str, message: str
) -> None:
    with service.unchanged():
        refused(alice.post(f"{JOBS}/{path}", body), 400, code, message)


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (
            {"max_retries": -2},
            INVALID,
            "Invalid value for field max_retries: Input should be greater than or equal to -1",
        ),
        (
            {"max_concurrent_runs": 1001},
            INVALID,
            "Invalid value for field max_concurrent_runs: Input should be less than or equal to 1000",
        ),
        ({"retry_on_timeout": "maybe"}, MALFORMED, f"{UNPARSED} boolean for field retry_on_timeout, found STRING"),
        ({"schedule": {"timezone_id": "UTC"}}, INVALID, "Missing required field: schedule.quartz_cron_expression"),
        (
            {"schedule": {"quartz_cron_expression": "0 0 12 * * ?", "timezone_id": "UTC", "pause_status": "ASLEEP"}},
            INVALID,
            "Invalid value for field schedule.pause_status: one of the known values",
        ),
        ({"name": "x" * 4097}, INVALID, "The name is longer than 4096 bytes."),
        ({"name": 5}, MALFORMED, f"{UNPARSED} string for field name, found NUMBER"),
    ],
)
def test_a_job_setting_out_of_its_range_is_refused_by_name(
    service: Service, alice: Client, settings: dict[str, Any], code: str, message: str
) -> None:
    with service.unchanged():
        refused(alice.post(f"{JOBS}/create", python(**settings)), 400, code, message)


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ({"job_id": None}, INVALID, "Missing required field: job_id"),
        ({"job_id": "one"}, MALFORMED, f"{UNPARSED} integer for field job_id, found STRING"),
        ({"job_id": 1 << 70}, MALFORMED, f"{UNPARSED} integer of 64 bits for field job_id, found NUMBER"),
        ({"job_id": 5}, INVALID, "Job 5 does not exist."),
        ({"job_id": -5}, INVALID, "Job -5 does not exist."),
        ({"job_id": 0}, INVALID, "Job 0 does not exist."),
        ({"job_id": (1 << 63) - 1}, INVALID, "Job 9223372036854775807 does not exist."),
        (
            {"notebook_params": {"a": "b"}, "jar_params": ["a"]},
            INVALID,
            "notebook_params cannot be specified in conjunction with jar_params.",
        ),
        ({"notebook_params": "a"}, MALFORMED, f"{UNPARSED} object for field notebook_params, found STRING"),
        ({"python_params": {"a": "b"}}, MALFORMED, f"{UNPARSED} array for field python_params, found OBJECT"),
        ({"jar_params": ["a"]}, INVALID, "jar_params cannot be given to a job with a spark_python_task."),
        (
            {"notebook_params": {"a": "b"}},
            INVALID,
            "notebook_params cannot be given to a job with a spark_python_task.",
        ),
        (
            {"spark_submit_params": ["a"]},
            INVALID,
            "spark_submit_params cannot be given to a job with a spark_python_task.",
        ),
        (
            {"python_params": ["x" * (10_001 - len('{"python_params": [""]}'))]},
            INVALID,
            "python_params: the JSON representation of the parameters exceeds 10000 bytes.",
        ),
        (
            {"python_params": ["naïve"]},
            INVALID,
            "python_params: parameters accept only Latin characters (ASCII character set).",
        ),
        (
            {"idempotency_token": "t" * 65},
            INVALID,
            "Invalid value for field idempotency_token: String should have at most 64 characters",
        ),
    ],
)
def test_a_run_of_a_job_that_can_never_be_right_is_refused_by_name_and_changes_nothing(
    service: Service, alice: Client, more: dict[str, Any], code: str, message: str
) -> None:
    body = {"job_id": create(alice), **more}
    with service.unchanged():
        refused(alice.post(f"{JOBS}/run-now", body), 400, code, message)


def test_a_submitted_token_of_65_characters_is_refused(service: Service, alice: Client) -> None:
    message = "Invalid value for field idempotency_token: String should have at most 64 characters"
    with service.unchanged():
        refused(alice.post(f"{JOBS}/runs/submit", python(idempotency_token="t" * 65)), 400, INVALID, message)


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        (
            {"active_only": "true", "completed_only": "true"},
            INVALID,
            "Only one of active_only and completed_only may be true.",
        ),
        ({"limit": 1000}, INVALID, "limit must be less than 1000."),
        ({"limit": -1}, INVALID, "Invalid value for field limit: Input should be greater than or equal to 0"),
        ({"limit": "all"}, MALFORMED, f"{UNPARSED} integer for field limit, found STRING"),
        ({"offset": -1}, INVALID, "Invalid value for field offset: Input should be greater than or equal to 0"),
        ({"offset": 10_001}, INVALID, "offset: at most 10000; older runs are reached by narrower filters."),
        ({"active_only": "perhaps"}, MALFORMED, f"{UNPARSED} boolean for field active_only, found STRING"),
        ({"run_type": "DREAM"}, INVALID, "Invalid value for field run_type: one of the known values"),
        ({"job_id": 5}, INVALID, "Job 5 does not exist."),
        ({"job_id": ""}, MALFORMED, f"{UNPARSED} integer for field job_id, found STRING"),
    ],
)
def test_a_list_of_runs_that_cannot_be_is_refused_by_name(
    alice: Client, query: dict[str, Any], code: str, message: str
) -> None:
    refused(alice.get(f"{JOBS}/runs/list", **query), 400, code, message)


ABOUT_A_JOB = [("GET", "get"), ("POST", "run-now"), ("POST", "runs/cancel-all")]
ABOUT_A_RUN = [("GET", "runs/get"), ("GET", "runs/get-output"), ("POST", "runs/cancel"), ("POST", "runs/delete")]


@pytest.mark.parametrize(("method", "path"), ABOUT_A_JOB + ABOUT_A_RUN + [("POST", "delete")])
def test_an_operation_on_one_thing_needs_its_id(service: Service, alice: Client, method: str, path: str) -> None:
    name = "run_id" if (method, path) in ABOUT_A_RUN else "job_id"
    with service.unchanged():
        answer = alice.request(method, f"{JOBS}/{path}")
        refused(answer, 400, INVALID, f"Missing required field: {name}")
        answer = alice.request(method, f"{JOBS}/{path}", body={name: "abc"})
        refused(answer, 400, MALFORMED, f"{UNPARSED} integer for field {name}, found STRING")


@pytest.mark.parametrize(("method", "path"), ABOUT_A_JOB + ABOUT_A_RUN)
def test_an_unknown_id_and_another_workspaces_are_refused_alike(
    service: Service, alice: Client, eve: Client, method: str, path: str
) -> None:
    kind, name = ("Run", "run_id") if (method, path) in ABOUT_A_RUN else ("Job", "job_id")
    foreign = submit(eve) if kind == "Run" else create(eve)
    with service.unchanged():
        for id in (5, foreign):
            answer = alice.request(method, f"{JOBS}/{path}", body={name: id})
            refused(answer, 400, INVALID, f"{kind} {id} does not exist.")


def test_another_workspaces_job_cannot_be_removed_and_the_answer_does_not_tell(
    service: Service, alice: Client, eve: Client
) -> None:
    foreign = create(eve)
    with service.unchanged():
        for job in (5, foreign):
            assert alice.post(f"{JOBS}/delete", {"job_id": job}).json == {}


def test_another_workspaces_runs_and_jobs_are_in_no_list(alice: Client, eve: Client) -> None:
    run_now(eve, create(eve))
    assert listed(alice) == []
    assert alice.get(f"{JOBS}/list").json == {"jobs": []}


def test_another_workspaces_pool_is_refused_like_one_that_does_not_exist(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "elsewhere", "theirs")
    with service.unchanged():
        answer = alice.post(f"{JOBS}/runs/submit", on(instance_pool_id="theirs"))
        refused(answer, 400, INVALID, "Pool theirs does not exist.")


def test_a_pool_takes_the_place_of_a_node_type(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "gold")
    run = submit(alice, on(node_type_id=None, instance_pool_id="gold"))
    assert service.run(run).spec.pool == "gold"


def test_sizes_that_nothing_could_hold_are_refused_with_their_numbers(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "default", maximum=Amount(4000, 1 << 20, 0, 10))
    message = "The run asks for 6 cores in total, which is more than the 4 cores that pool default may ever hold."
    job = create(alice)
    with service.unchanged():
        refused(alice.post(f"{JOBS}/runs/submit", python()), 400, INVALID, message)
        refused(alice.post(f"{JOBS}/run-now", {"job_id": job}), 400, INVALID, message)


def test_an_active_run_cannot_be_deleted(service: Service, alice: Client) -> None:
    run = submit(alice)
    service.start(run)
    message = f"Run {run} is active; only a run that has ended can be deleted."
    with service.unchanged():
        refused(alice.post(f"{JOBS}/runs/delete", {"run_id": run}), 400, "INVALID_STATE", message)
