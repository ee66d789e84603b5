"""What becomes of a new cluster's settings: workers, tags, init scripts, environment and log delivery."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from chalicelib.core.ids import cluster_id
from chalicelib.core.model import Files, Size
from chalicelib.core.spark import start_job_run
from tests.contract.databricks import JOBS, cluster, get_run, jar, python, refused, spark_submit, submit
from tests.contract.test_databricks_libraries import config, launch
from tests.contract.wire import Client, Service

CODE = "INVALID_PARAMETER_VALUE"


def _refused(service: Service, client: Client, body: Any, message: str, code: str = CODE) -> None:
    for path in ("create", "runs/submit"):
        with service.unchanged():
            refused(client.post(f"{JOBS}/{path}", body), 400, code, message)


def _request(service: Service, run: int) -> dict[str, Any]:
    """What EMR would be asked for a run."""
    given = launch(service, run)
    return start_job_run(
        given.run.spec, workspace="main", run=run, entry_point=given.entry_point, arguments=given.arguments,
        extra=Files(jars=given.jars, py_files=given.py_files, files=given.files), virtual_cluster="vc", role="role",
        log_uri="s3://b/l", files_uri="s3://b/f/",
    )  # fmt: skip


SIZES: dict[str, tuple[dict[str, Any], Size]] = {
    "workers": ({"num_workers": 3}, Size(2, 6144, 3, 0, 2, 6144)),
    "no workers: the driver alone": ({"num_workers": 0}, Size(2, 6144, 0, 0, 2, 6144)),
    "between two bounds": (
        {"num_workers": None, "autoscale": {"min_workers": 2, "max_workers": 9}},
        Size(2, 6144, 2, 9, 2, 6144),
    ),
    "from none on": (
        {"num_workers": None, "autoscale": {"min_workers": 0, "max_workers": 2}},
        Size(2, 6144, 1, 2, 2, 6144),
    ),
    "a driver of its own": ({"driver_node_type_id": "r5.xlarge"}, Size(4, 24576, 2, 0, 2, 6144)),
    "a node of another cloud": ({"node_type_id": "n1-highmem-4"}, Size(4, 19968, 2, 0, 4, 19968)),
}


@pytest.mark.parametrize("case", SIZES)
def test_workers_and_node_types_are_a_size(service: Service, alice: Client, case: str) -> None:
    more, size = SIZES[case]
    run = submit(alice, python(new_cluster=cluster(**more)))
    assert launch(service, run).run.spec.size == size


def test_without_workers_tasks_run_in_the_driver_and_nothing_else_is_held(service: Service, alice: Client) -> None:
    run = submit(alice, python(new_cluster=cluster(num_workers=0)))
    assert config(service, run)["local_cores"] == 2
    amount = service.run(run).spec.amount()
    assert (amount.cores, amount.memory) == (2000, 6144)
    with_workers = submit(alice, python())
    assert "local_cores" not in config(service, with_workers)


def test_a_jar_task_has_an_executor_even_without_workers(service: Service, alice: Client) -> None:
    run = submit(alice, jar(new_cluster=cluster(num_workers=0)))
    assert launch(service, run).run.spec.size == Size(2, 6144, 1, 0, 2, 6144)


def test_spark_submit_has_all_memory_of_the_nodes_unless_it_says_less(service: Service, alice: Client) -> None:
    run = submit(alice, spark_submit("s3://a/b.py"))
    properties = _properties(service, run)
    assert (properties["spark.driver.memory"], properties["spark.executor.memory"]) == ("6g", "6g")
    assert properties["spark.executor.cores"] == "2"
    less = submit(alice, spark_submit("--driver-memory", "2g", "--executor-memory", "3g", "s3://a/b.py"))
    properties = _properties(service, less)
    assert (properties["spark.driver.memory"], properties["spark.executor.memory"]) == ("2g", "3g")


def _properties(service: Service, run: int) -> dict[str, str]:
    (told,) = _request(service, run)["configurationOverrides"]["applicationConfiguration"]
    return dict(told["properties"])


def test_spark_submit_runs_on_new_clusters_alone(service: Service, alice: Client) -> None:
    body = spark_submit("s3://a/b.py", new_cluster=None, existing_cluster_id="0923-164208-meows279")
    _refused(service, alice, body, "spark_submit_task can run only on a new cluster.")


@pytest.mark.parametrize(
    "tags", [{"team": "data", "cost center": "a/b:c=1"}, [{"key": "team", "value": "data"}, {"key": "x", "value": ""}]]
)
def test_custom_tags_are_tags_of_emrs_job_run_beside_our_own(service: Service, alice: Client, tags: Any) -> None:
    run = submit(alice, python(new_cluster=cluster(custom_tags=tags)))
    wanted = tags if isinstance(tags, dict) else {tag["key"]: tag["value"] for tag in tags}
    assert _request(service, run)["tags"] == {**wanted, "sparkplane-run": f"main.{run}"}
    assert get_run(alice, run)["cluster_spec"]["new_cluster"]["custom_tags"] == tags


WHERE = "new_cluster.custom_tags"
LENGTH = "or its value is empty or too long (at most 127 characters a key and 255 a value)."
TAGS: dict[str, tuple[Any, str]] = {
    "46 tags": ({f"k{n}": "v" for n in range(46)}, f"{WHERE}: at most 45 tags."),
    "an empty key": ({"": "v"}, f"{WHERE}: the key '' {LENGTH}"),
    "a blank key": ({" ": "v"}, f"{WHERE}: the key ' ' {LENGTH}"),
    "a long key": ({"k" * 128: "v"}, f"{WHERE}: the key '{'k' * 127}' {LENGTH}"),
    "a long value": ({"k": "v" * 256}, f"{WHERE}: the key 'k' {LENGTH}"),
    "a character that AWS refuses": (
        {"k": "a;b"},
        f"{WHERE}: 'k' has a character other than letters, digits, blanks and _ . : / = + - @.",
    ),
    "our own tag": ({"sparkplane-run": "other.1"}, f"{WHERE}: the key 'sparkplane-run' is reserved."),
    "our own tag in disguise": ({"SparkPlane-Run": "x"}, f"{WHERE}: the key 'SparkPlane-Run' is reserved."),
    "a tag of AWS's": ({"AWS:x": "x"}, f"{WHERE}: the key 'AWS:x' is reserved."),
}


@pytest.mark.parametrize("case", TAGS)
def test_tags_that_aws_would_refuse_are_refused(service: Service, alice: Client, case: str) -> None:
    tags, message = TAGS[case]
    _refused(service, alice, python(new_cluster=cluster(custom_tags=tags)), message)


def test_45_tags_at_their_limits_are_taken(service: Service, alice: Client) -> None:
    tags = {f"{n}".rjust(127, "k"): "é" * 255 for n in range(45)}
    run = submit(alice, python(new_cluster=cluster(custom_tags=tags)))
    assert len(_request(service, run)["tags"]) == 46


SCRIPTS = [
    {"dbfs": {"destination": "dbfs:/init/one.sh"}},
    {"s3": {"destination": "s3://code/two.sh", "region": "eu-west-1"}},
]


def test_init_scripts_reach_the_driver_with_the_clusters_environment(service: Service, alice: Client) -> None:
    run = submit(alice, python(run_name="n", new_cluster=cluster(init_scripts=SCRIPTS)))
    told = config(service, run)
    assert told["init_scripts"] == [
        {"uri": "s3://bucket/main/dbfs/init/one.sh", "label": "dbfs:/init/one.sh"},
        {"uri": "s3://code/two.sh", "label": "s3://code/two.sh"},
    ]
    assert told["init_environment"] == {
        "DB_CLUSTER_ID": cluster_id(run),
        "DB_CLUSTER_NAME": f"job-{run}-run-{run}",
        "DB_IS_DRIVER": "TRUE",
        "DB_IS_JOB_CLUSTER": "TRUE",
        "DB_INSTANCE_TYPE": "m5.large",
    }
    assert launch(service, run).files[1:] == ("s3://bucket/main/dbfs/init/one.sh", "s3://code/two.sh")
    service.start(run)
    assert get_run(alice, run)["cluster_instance"]["cluster_id"] == told["init_environment"]["DB_CLUSTER_ID"]


MAIN = "org.example.Main"
PREPARED_JARS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "a task's jar": (
        jar(libraries=[{"jar": "dbfs:/main.jar"}, {"jar": "s3://code/b.jar"}, {"pypi": {"package": "x"}}]),
        "--jars s3://bucket/main/dbfs/main.jar,s3://code/b.jar",
        {"uri": "s3://bucket/main/dbfs/main.jar", "main_class": "org.Main", "language": "jar"},
    ),
    "a jar of spark-submit": (
        spark_submit("--class", MAIN, "--jars", "s3://c/l.jar", "s3://c/main.jar", "a"),
        "--jars s3://c/main.jar,s3://c/l.jar",
        {"uri": "s3://c/main.jar", "main_class": MAIN, "language": "jar", "arguments": ["a"]},
    ),
    "a jar that tells its class itself, beside one of the conf": (
        spark_submit("--conf", "spark.jars=s3://c/l.jar", "s3://c/main.jar"),
        "--jars s3://c/main.jar,s3://c/l.jar",
        {"uri": "s3://c/main.jar", "main_class": "", "language": "jar"},
    ),
    "a jar of the image": (
        spark_submit("--class", MAIN, "/opt/spark/jars/main.jar"),
        "",
        {"uri": "/opt/spark/jars/main.jar", "main_class": MAIN, "language": "jar"},
    ),
    "an R script": (spark_submit("s3://c/main.R", "a"), "", {"uri": "s3://c/main.R", "language": "r"}),
    "an R script of the image": (spark_submit("/opt/spark/main.R"), "", {"uri": "/opt/spark/main.R", "language": "r"}),
}


@pytest.mark.parametrize("case", PREPARED_JARS)
def test_before_a_jar_or_r_script_with_init_scripts_the_bootstrap_runs_them(
    service: Service, alice: Client, case: str
) -> None:
    body, jars, program = PREPARED_JARS[case]
    run = submit(alice, {**body, "new_cluster": cluster(init_scripts=SCRIPTS, spark_env_vars=ENVIRONMENT)})
    told, driver = config(service, run), _request(service, run)["jobDriver"]["sparkSubmitJobDriver"]
    assert [one["label"] for one in told["init_scripts"]] == ["dbfs:/init/one.sh", "s3://code/two.sh"]
    assert {name: told["program"][name] for name in program} == program
    assert driver["entryPoint"] == f"s3://bucket/main/runs/{run}/launch.py"
    assert "entryPointArguments" not in driver
    options = driver["sparkSubmitParameters"]
    assert options.startswith(f"{jars} --py-files ".lstrip())
    assert "s3://bucket/main/dbfs/init/one.sh,s3://code/two.sh" in options
    assert ("/main.R" in options.partition("--files")[2]) == ("R script" in case)
    assert not {"libraries", "local_cores", "secret_references"} & set(told)


ENVIRONMENT = {"STAGE": "test", "PYSPARK_PYTHON": "/databricks/python3/bin/python3"}


def test_a_prepared_jars_environment_is_its_pods_but_for_the_bootstraps_own_interpreter(
    service: Service, alice: Client
) -> None:
    scripts = {"init_scripts": SCRIPTS, "spark_env_vars": ENVIRONMENT}
    run = submit(alice, jar(new_cluster=cluster(**scripts)))
    (entry,) = _request(service, run)["configurationOverrides"]["applicationConfiguration"]
    told = {name: value for name, value in entry["properties"].items() if "Env." in name}
    assert told == {
        "spark.kubernetes.driverEnv.STAGE": "test",
        "spark.executorEnv.STAGE": "test",
        "spark.executorEnv.PYSPARK_PYTHON": "/databricks/python3/bin/python3",
    }
    assert config(service, run)["environment"] == {}


def _script(**told: Any) -> dict[str, Any]:
    return python(new_cluster=cluster(init_scripts=[told]))


AT = "new_cluster.init_scripts.0"
BAD_SCRIPTS: dict[str, tuple[Any, str]] = {
    "nowhere": (_script(), f"{AT}: exactly one of workspace, dbfs, gcs, s3 and file must be set."),
    "at two places": (
        _script(dbfs={"destination": "dbfs:/a"}, s3={"destination": "s3://a/b"}),
        f"{AT}: exactly one of workspace, dbfs, gcs, s3 and file must be set.",
    ),
    "without a destination": (_script(dbfs={}), f"Missing required field: {AT}.dbfs.destination"),
    "at another place than it says": (
        _script(dbfs={"destination": "s3://a/b.sh"}),
        f"{AT}.dbfs.destination: 's3://a/b.sh' does not begin with dbfs:/.",
    ),
    "out of the tree": (
        _script(workspace={"destination": "/a/../b.sh"}),
        "Path (/a/../b.sh) has an empty part, or one that is '.' or '..'.",
    ),
    "at a relative path": (
        _script(workspace={"destination": "b.sh"}),
        f"{AT}.workspace.destination: 'b.sh' does not begin with /.",
    ),
    "in a volume": (
        _script(volumes={"destination": "/Volumes/a/b.sh"}),
        f"{AT}: init scripts in volumes are not supported by this service.",
    ),
    "on the machine": (
        _script(file={"destination": "file:/etc/init.sh"}),
        "new_cluster.init_scripts: the URI 'file:/etc/init.sh' is of scheme 'file'; allowed are https, local, s3, s3a.",
    ),
    "out of the workspace": (
        _script(dbfs={"destination": "dbfs:/../x.sh"}),
        "new_cluster.init_scripts: 's3://bucket/main/dbfs/../x.sh' has a '..' in its path.",
    ),
}


@pytest.mark.parametrize("case", BAD_SCRIPTS)
def test_an_init_script_that_can_never_run_is_refused(service: Service, alice: Client, case: str) -> None:
    body, message = BAD_SCRIPTS[case]
    _refused(service, alice, body, message)


def test_an_init_script_of_the_workspace_travels_as_its_text(service: Service, alice: Client) -> None:
    told = {"path": "/Shared/init.sh", "format": "AUTO", "content": base64.b64encode(b"echo hello").decode()}
    assert alice.post("/api/2.0/workspace/import", told).status == 200
    scripts = [{"workspace": {"destination": "/Shared/init.sh"}}]
    run = submit(alice, python(new_cluster=cluster(init_scripts=scripts)))
    assert config(service, run)["init_scripts"] == [{"text": "echo hello", "label": "/Shared/init.sh"}]


def test_an_init_script_that_the_workspace_does_not_have_ends_the_run(service: Service, alice: Client) -> None:
    scripts = [{"workspace": {"destination": "/Shared/no.sh"}}]
    run = submit(alice, python(new_cluster=cluster(init_scripts=scripts)))
    service.play()
    state = get_run(alice, run)["state"]
    assert state["life_cycle_state"] == "INTERNAL_ERROR"
    assert state["state_message"].startswith("Cluster scoped init script /Shared/no.sh failed: ")


def test_an_init_script_that_spark_cannot_fetch_is_named(service: Service, alice: Client) -> None:
    run = submit(alice, python(new_cluster=cluster(init_scripts=SCRIPTS)))
    reason = "java.io.FileNotFoundException: No such file or directory: s3a://code/two.sh"
    service.end(run, "FAILED", failure="USER_ERROR", details=reason)
    state = get_run(alice, run)["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("INTERNAL_ERROR", "FAILED")
    assert state["state_message"] == f"Cluster scoped init script s3://code/two.sh failed: {reason}"


def test_empty_values_are_taken_and_asked_of_emr(service: Service, alice: Client) -> None:
    run = submit(alice, python(new_cluster=cluster(spark_conf={"spark.a": ""}, spark_env_vars={"B": ""}), run_name=""))
    assert service.run(run).spec.environment == {"B": ""}
    request = _request(service, run)
    assert "--conf spark.a=" in request["jobDriver"]["sparkSubmitJobDriver"]["sparkSubmitParameters"]
    (told,) = request["configurationOverrides"]["applicationConfiguration"]
    assert all(told["properties"].values()) and "spark.app.name" not in told["properties"]


@pytest.mark.parametrize("name", ["", "1ST", "A B", "A-B", "A=B"])
def test_a_name_that_no_environment_can_have_is_refused(service: Service, alice: Client, name: str) -> None:
    message = f"new_cluster.spark_env_vars: {name!r} cannot be the name of an environment variable."
    _refused(service, alice, python(new_cluster=cluster(spark_env_vars={name: "x"})), message)


LOGS = "new_cluster.cluster_log_conf"
BAD_LOGS: dict[str, tuple[Any, str]] = {
    "nowhere": ({}, f"Missing required field: {LOGS}.dbfs"),
    "to S3": ({"s3": {"destination": "s3://b/l"}}, f"{LOGS}: logs are delivered to dbfs destinations only."),
    "without a destination": ({"dbfs": {}}, f"Missing required field: {LOGS}.dbfs.destination"),
    "to another place": (
        {"dbfs": {"destination": "s3://b/l"}},
        f"{LOGS}.dbfs.destination: 's3://b/l' is no dbfs:/ path.",
    ),
    "to nowhere in particular": (
        {"dbfs": {"destination": "dbfs:logs"}},
        f"{LOGS}.dbfs.destination: 'dbfs:logs' is no dbfs:/ path.",
    ),
    "out of the workspace": (
        {"dbfs": {"destination": "dbfs:/a/../b"}},
        f"{LOGS}.dbfs.destination: 'dbfs:/a/../b' has a '.' or '..' in it.",
    ),
    "far away": (
        {"dbfs": {"destination": "dbfs:/" + "a" * 600}},
        f"{LOGS}.dbfs.destination: the path is longer than 512 bytes.",
    ),
}


@pytest.mark.parametrize("case", BAD_LOGS)
def test_a_log_destination_that_is_none_is_refused(service: Service, alice: Client, case: str) -> None:
    conf, message = BAD_LOGS[case]
    _refused(service, alice, python(new_cluster=cluster(cluster_log_conf=conf)), message)


def test_attributes_of_clouds_are_kept_and_have_no_effect(service: Service, alice: Client) -> None:
    kept = {
        "gcp_attributes": {"use_preemptible_executors": True, "boot_disk_size": 100},
        "aws_attributes": {"availability": "SPOT"},
        "ssh_public_keys": [],
        "enable_elastic_disk": False,
    }
    plain, run = submit(alice, python()), submit(alice, python(new_cluster=cluster(**kept)))
    assert service.run(run).spec.size == service.run(plain).spec.size
    shown = get_run(alice, run)["cluster_spec"]["new_cluster"]
    assert {name: shown[name] for name in kept} == kept


REFERENCE = "{{secrets/vault/password}}"


def test_secrets_in_the_environment_are_the_drivers_to_ask_for(service: Service, alice: Client) -> None:
    run = submit(alice, python(new_cluster=cluster(spark_env_vars={"TOKEN": REFERENCE})))
    told = config(service, run)
    assert (told["environment"], told["secret_references"]) == ({"TOKEN": REFERENCE}, True)
    assert "vault" not in str(_request(service, run))
    assert "secret_references" not in config(service, submit(alice, python()))


def test_secrets_are_never_in_spark_conf_or_the_environment_of_a_jar(service: Service, alice: Client) -> None:
    message = (
        "new_cluster.spark_conf: spark.x names a secret. Spark shows its conf to everybody who sees the application; "
        "name the secret in spark_env_vars or read it with dbutils.secrets."
    )
    _refused(service, alice, python(new_cluster=cluster(spark_conf={"spark.x": REFERENCE})), message)
    message = (
        "new_cluster.spark_env_vars: TOKEN names a secret. JAR and R programs have an environment that the cluster's "
        "administrators see; only Python programs and notebooks are given secrets."
    )
    _refused(service, alice, jar(new_cluster=cluster(spark_env_vars={"TOKEN": REFERENCE})), message)
