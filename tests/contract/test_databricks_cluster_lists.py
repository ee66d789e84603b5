"""What a `new_cluster` may name: node types and runtimes, as the lists say and as runs take them."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import Invalid
from chalicelib.dialects.databricks_jobs.runtimes import spark_version
from tests.contract.databricks import cluster, get_run, python, submit
from tests.contract.wire import Client, Service

CLUSTERS = "/api/2.0/clusters"


def test_every_listed_node_type_is_taken_with_what_it_says(service: Service, alice: Client) -> None:
    types = alice.get(f"{CLUSTERS}/list-node-types").json["node_types"]
    assert len({one["node_type_id"] for one in types}) == len(types) > 80
    assert {"m5.large", "i3.xlarge", "n1-standard-4", "Standard_DS3_v2"} <= {one["node_type_id"] for one in types}
    for one in types[::9]:
        size = service.run(submit(alice, python(new_cluster=cluster(node_type_id=one["node_type_id"])))).spec.size
        assert one["num_cores"] == size.driver_cores == size.executor_cores
        assert f"has {size.executor_memory} MB" in one["description"]
        assert size.executor_memory == pytest.approx(one["memory_mb"] * 0.75, rel=0.01)
    (large,) = (one for one in types if one["node_type_id"] == "m5.large")
    assert (large["memory_mb"], large["num_cores"], large["num_gpus"]) == (8192, 2, 0)
    assert "6144 MB" in large["description"]


def test_both_versions_of_the_api_say_the_same(alice: Client) -> None:
    for name in ("list-node-types", "spark-versions"):
        older, newer = (alice.get(f"/api/{version}/clusters/{name}") for version in ("2.0", "2.1"))
        assert older.status == newer.status == 200 and older.json == newer.json


def test_every_listed_runtime_is_taken(service: Service, alice: Client) -> None:
    versions = alice.get(f"{CLUSTERS}/spark-versions").json["versions"]
    keys = [one["key"] for one in versions]
    assert keys[0] == "16.4.x-scala2.12" and keys[-1] == "7.0.x-scala2.12" and len(set(keys)) == len(keys)
    assert {
        "key": "7.5.x-scala2.12",
        "name": "7.5 (includes Apache Spark 3.0, run on 3.3, Scala 2.12)",
    } in versions
    assert {"key": "15.4.x-scala2.12", "name": "15.4 LTS (includes Apache Spark 3.5, Scala 2.12)"} in versions
    for key in keys[::7]:
        submit(alice, python(new_cluster=cluster(spark_version=key)))


@pytest.mark.parametrize(
    ("runtime", "spark"),
    [
        ("7.5.x-scala2.12", "3.0"),
        ("8.4.x-gpu-ml-scala2.12", "3.1"),
        ("9.1.x-photon-scala2.12", "3.1"),
        ("10.4.x-cpu-ml-scala2.12", "3.2"),
        ("11.3.x-scala2.12", "3.3"),
        ("13.3.x-scala2.12", "3.4"),
        ("16.4.x-scala2.12", "3.5"),
        ("6.4.x-scala2.11", "2.4"),
        ("apache-spark-2.4.x-scala2.11", "2.4"),
        ("apache-spark-3.1.x-scala2.12", "3.1"),
        ("3.5.x-scala2.11", "2.2"),
    ],
)
def test_a_runtime_is_the_spark_that_it_carried(runtime: str, spark: str) -> None:
    assert spark_version(runtime) == spark


@pytest.mark.parametrize(
    "runtime",
    ["", "7.5", "7.5.x", "7.x-scala2.12", "7.9.x-scala2.12", "2.1.x-scala2.11", "7.5.x-turbo-scala2.12", "3.5.1",
     "apache-spark-1.6.x-scala2.11", "apache-spark-9.9.x-scala2.12", "7.5.x-scala2.12\n", "٧.5.x-scala2.12",
     "18.0.x-scala2.13", "auto:latest-lts", "7.5.x-scala2.12 ", "x" * 5000],
)  # fmt: skip
def test_what_is_no_known_runtime_is_refused_with_the_list(runtime: str) -> None:
    with pytest.raises(Invalid, match=r"Known are .* 7\.0 to 7\.6") as refusal:
        spark_version(runtime)
    assert len(refusal.value.message) < 700


def test_a_run_says_which_release_stands_in_for_its_runtime(service: Service, alice: Client) -> None:
    stands_in = (
        "8.4.x-scala2.12 (Spark 3.1) is stood in for by release emr-6.11.0-latest (Spark 3.3), the closest newer one."
    )
    run = submit(alice, python(new_cluster=cluster(spark_version="8.4.x-scala2.12")))
    assert get_run(alice, run)["state"]["state_message"].endswith(stands_in)
    service.start(run)
    assert get_run(alice, run)["state"]["state_message"] == f"In run {stands_in}"
    service.end(run)
    assert get_run(alice, run)["state"]["state_message"] == ""
    exact = submit(alice, python(new_cluster=cluster(spark_version="11.3.x-scala2.12")))
    assert "stood in" not in get_run(alice, exact)["state"]["state_message"]
    unstarted = submit(alice, python(new_cluster=cluster(spark_version="8.4.x-scala2.12")))
    assert alice.post("/api/2.0/jobs/runs/cancel", {"run_id": unstarted}).status == 200
    service.play()
    assert "stood in" not in get_run(alice, unstarted)["state"]["state_message"]
