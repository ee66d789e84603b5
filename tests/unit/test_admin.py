"""The administrator's command, over fakes."""

from __future__ import annotations

import io
import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from chalicelib import admin
from chalicelib.core.credentials import digest_of
from chalicelib.core.model import Role, Token, User
from chalicelib.core.spark import scheduler_conf
from tests.unit.cloud import Cloud, spec


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    made = Cloud()
    monkeypatch.setattr(admin, "wired", lambda: made.ports)
    return made


def command(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Run the command, which must succeed; its answer."""
    assert admin.main(words) == 0
    return json.loads(capsys.readouterr().out)


def test_a_user_and_its_token_are_made_and_only_the_digest_is_kept(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    command(capsys, "user", "create", "--user", "ada", "--role", "admin")
    text = command(capsys, "token", "create", "--user", "ada", "--days", "1")["token"]
    kept = cloud.store.get(Token, "main", digest_of(text))
    assert (kept.principal, kept.role, kept.expires_at) == ("ada", Role.ADMIN, cloud.clock.time + 86_400_000)
    assert text not in repr(kept)


def test_a_password_is_read_from_standard_input_and_kept_only_derived(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    command(capsys, "user", "create", "--user", "ada", "--password-stdin")
    assert cloud.store.get(User, "main", "ada").password.startswith("scrypt$")


def test_a_revoked_token_is_gone(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(capsys, "user", "create", "--user", "ada")
    text = command(capsys, "token", "create", "--user", "ada")["token"]
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    command(capsys, "token", "revoke", "--token-stdin")
    assert cloud.store.get(Token, "main", digest_of(text)) is None


def test_a_pools_limits_and_defaults_change_one_by_one(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    command(capsys, "pool", "set", "--pool", "etl", "--cores", "64", "--memory", "256Gi", "--runs", "4")
    command(capsys, "pool", "set", "--pool", "etl", "--runs", "8", "--conf", "spark.a=1", "--conf", "spark.b=2")
    shown = command(capsys, "pool", "set", "--pool", "etl", "--conf", "spark.a=", "--spark-version", "3.4")
    assert shown["maximum"] == {"cores": 64.0, "memory_gib": 256.0, "gpus": "unlimited", "runs": 8}
    assert (shown["conf"], shown["spark_version"]) == ({"spark.b": "2"}, "3.4")


def test_a_pools_guarantee_and_what_one_run_may_ask_are_set_and_shown_with_what_runs_and_waits(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    command(capsys, "pool", "set", "--pool", "etl", "--max-cores", "8", "--min-cores", "2", "--app-memory", "16Gi")
    shown = command(capsys, "pool", "set", "--pool", "etl", "--app-gpus", "0", "--runs", "1", "--priority", "-3")
    assert shown["maximum"] == {"cores": 8.0, "memory_gib": "unlimited", "gpus": "unlimited", "runs": 1}
    assert shown["minimum"] == {"cores": 2.0, "memory_gib": 0.0, "gpus": 0, "runs": 0}
    assert shown["application_maximum"] == {"cores": "unlimited", "memory_gib": 16.0, "gpus": 0, "runs": "unlimited"}
    assert shown["priority"] == -3
    for _ in range(3):
        cloud.submit(spec(pool="etl"))
    cloud.play()
    command(capsys, "pool", "set", "--pool", "other")
    listed = {pool["pool"]: pool for pool in command(capsys, "pool", "list")["pools"]}
    assert list(listed) == ["default", "etl", "other"]
    etl = listed["etl"]
    assert (etl["running"], etl["queued"]) == (1, 2)
    assert (etl["used"]["cores"], etl["asked"]["cores"]) == (2.0, 4.0)
    assert etl == {name: value for name, value in command(capsys, "pool", "show", "--pool", "etl").items()
                   if name != "workspace"}  # fmt: skip


def test_a_pool_is_handed_to_a_queue_of_the_clusters_own_scheduler_and_taken_back(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = command(capsys, "pool", "set", "--pool", "etl", "--scheduler", "yunikorn", "--queue", "root.etl")
    assert (shown["scheduler"], shown["queue"]) == ("yunikorn", "root.etl")
    placed = cloud.run(cloud.submit(spec(pool="etl"))).spec.placement
    assert scheduler_conf(placed)["spark.kubernetes.executor.label.queue"] == "root.etl"
    shown = command(capsys, "pool", "set", "--pool", "etl", "--scheduler", "", "--queue", "")
    assert (shown["scheduler"], shown["queue"]) == ("", "")


def test_a_pool_gives_its_number_of_runs_to_a_virtual_cluster_of_its_own(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As EMR's own model of UpdateVirtualCluster has it. What EMR refuses is refused, and nothing is changed."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    emr = boto3.client("emr-containers", region_name="us-east-1")
    monkeypatch.setattr("chalicelib.aws.emr.client", lambda service: emr)
    asked = {"id": "vc", "schedulerConfiguration": {"maxConcurrentJobRuns": 5}}
    words = ("pool", "set", "--pool", "etl", "--runs", "5", "--virtual-cluster", "vc", "--limit-virtual-cluster")
    with Stubber(emr) as stub:
        stub.add_client_error("update_virtual_cluster", "ValidationException", "No.", expected_params=asked)
        before = cloud.store.snapshot()
        assert admin.main(words) == 1
        assert "EMR does not take the limit of virtual cluster vc" in capsys.readouterr().err
        assert cloud.store.snapshot() == before
        stub.add_response("update_virtual_cluster", {}, asked)
        assert command(capsys, *words)["maximum"]["runs"] == 5
        stub.assert_no_pending_responses()


def test_a_limit_is_removed_and_a_pool_is_closed(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    command(capsys, "pool", "set", "--pool", "etl", "--cores", "8", "--runs", "3")
    shown = command(capsys, "pool", "set", "--pool", "etl", "--cores", "unlimited", "--runs", "0")
    assert (shown["maximum"]["cores"], shown["maximum"]["runs"]) == ("unlimited", 0)


def test_the_pools_of_another_workspace_are_not_listed(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    command(capsys, "--workspace", "team", "pool", "set", "--pool", "theirs")
    assert [pool["pool"] for pool in command(capsys, "pool", "list")["pools"]] == ["default"]
    assert [pool["pool"] for pool in command(capsys, "--workspace", "team", "pool", "list")["pools"]] == ["theirs"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("token", "create", "--user", "nobody"), "User nobody does not exist."),
        (("pool", "show", "--pool", "none"), "Pool none does not exist."),
        (("pool", "set", "--pool", "etl", "--memory", "lots"), "--memory: 'lots' is not an amount of memory"),
        (("pool", "set", "--pool", "etl", "--conf", "spark.kubernetes.namespace=x"), "is set by the platform"),
        (("pool", "set", "--pool", "etl", "--spark-version", "9.9"), "Spark 9.9 is not available."),
        (("pool", "set", "--pool", "etl", "--memory", "4"), "--memory: '4' has no unit; write it as 20Gi or 4G."),
        (("pool", "set", "--pool", "etl", "--conf", "spark.driver.memory=huge"), "spark.driver.memory: 'huge' is not"),
        (("pool", "set", "--pool", "etl", "--conf", "spark.jars=ftp://a/b.jar"), "--conf: the URI 'ftp://a/b.jar'"),
        (("pool", "set", "--pool", "etl", "--conf", "spark.a=x\ny"), "--conf: the value of spark.a has a line break"),
        (("pool", "set", "--pool", "etl", "--conf", "=x"), "--conf: '' cannot be the name of a property."),
        (("pool", "set", "--pool", "etl", "--conf", "a b=x"), "--conf: 'a b' cannot be the name of a property."),
        (("pool", "set", "--pool", "etl", "--conf", "nonsense"), "--conf: 'nonsense' is not of the form NAME=VALUE."),
        (("instance", "create", "--name", "etl", "--conf", "x"), "--conf: 'x' is not of the form NAME=VALUE."),
        (("instance", "create", "--name", "etl", "--memory", "4"), "max_memory: '4' has no unit"),
        (("pool", "set", "--pool", "a/b"), "'a/b' cannot be a pool's name."),
        (("pool", "set", "--pool", "x\ny"), "'x\\ny' cannot be a pool's name."),
        (("pool", "set", "--pool", " "), "' ' cannot be a pool's name."),
        (("pool", "set", "--pool", "etl", "--min-cores", "unlimited"), "--min-cores: 'unlimited' is not a number"),
        (("pool", "set", "--pool", "etl", "--gpus", "-1"), "--gpus: '-1' is not a whole number."),
        (("pool", "set", "--pool", "etl", "--app-memory", "much"), "--app-memory: 'much' is not an amount of memory"),
        (
            ("pool", "set", "--pool", "etl", "--cores", "4", "--min-cores", "5"),
            "--min-cores: the minimum of 5 cores is more than the maximum of 4 cores.",
        ),
        (("pool", "set", "--pool", "etl", "--queue", "root.etl"), "A scheduler and its queue go together"),
        (
            ("pool", "set", "--pool", "etl", "--scheduler", "yunikorn", "--queue", "a b"),
            "'a b' cannot be a queue's name.",
        ),
        (
            ("pool", "set", "--pool", "etl", "--scheduler", "yunikorn", "--queue", "q", "--pod-group", "/t.yaml"),
            "Only volcano takes a pod group's template.",
        ),
        (
            ("pool", "set", "--pool", "etl", "--runs", "5", "--limit-virtual-cluster"),
            "Only a pool with a virtual cluster of its own",
        ),
        (
            ("pool", "set", "--pool", "etl", "--virtual-cluster", "vc", "--limit-virtual-cluster"),
            "a virtual cluster takes a limit of 1 to 1000",
        ),
        (("cluster", "limit", "--runs", "many"), "--runs: 'many' is not a whole number."),
        (("--workspace", "Not One", "user", "create", "--user", "ada"), "is not a workspace name"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_and_changes_nothing(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    before = cloud.store.snapshot()
    assert admin.main(words) == 1
    assert said in capsys.readouterr().err
    assert cloud.store.snapshot() == before


def test_what_the_cluster_may_hold_changes_one_by_one_and_is_shown_when_nothing_is_said(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    command(capsys, "cluster", "limit", "--cores", "512", "--memory", "4Ti")
    both = {"cores": 512.0, "memory_gib": 4096.0, "gpus": "unlimited", "runs": "unlimited"}
    before = cloud.store.snapshot()
    assert command(capsys, "cluster", "limit")["total"] == command(capsys, "cluster", "show")["total"] == both
    assert cloud.store.snapshot() == before
    shown = command(capsys, "cluster", "limit", "--cores", "unlimited", "--runs", "9")["total"]
    assert shown == {**both, "cores": "unlimited", "runs": 9}
