"""The API of EMR on EKS as boto3 sees it: states, validation, lists, cancels, events, logs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError
from emr_support import RELEASE, ROLE, World, await_true, configured, logs_to
from moto.emrcontainers.models import EMRContainersBackend

from sandbox.aws.emr.shim import start_time


def refused(call, *args, **kwargs) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_run_that_ends_well_is_completed_and_every_state_is_told_in_order(world: World) -> None:
    job = world.start("exit 0")
    ended = world.await_end(job)
    assert ended["state"] == "COMPLETED"
    assert "failureReason" not in ended
    assert world.states_told(job) == ["PENDING", "SUBMITTED", "RUNNING", "COMPLETED"]


def test_a_run_whose_program_fails_is_the_users_error_and_tells_the_exit_code(world: World) -> None:
    for code in (3, 255):
        ended = world.await_end(world.start(f"exit {code}"))
        assert (ended["state"], ended["failureReason"]) == ("FAILED", "USER_ERROR")
        assert f"exit code {code};" in ended["stateDetails"], "no signal has the number 127"


def test_times_are_those_of_the_run(world: World) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    ended = world.await_end(world.start())
    assert before < ended["createdAt"] <= ended["finishedAt"] < datetime.now(UTC) + timedelta(seconds=1)


def test_an_event_has_the_shape_that_emr_on_eks_documents(world: World) -> None:
    job = world.start("exit 1", name="nightly")
    world.await_end(job)
    event = world.events[-1]
    assert (event["source"], event["detail-type"]) == ("aws.emr-containers", "EMR Job Run State Change")
    detail = event["detail"]
    told = {name: detail[name] for name in ("severity", "name", "id", "virtualClusterId", "state", "failureReason")}
    assert told == {
        "severity": "ERROR",
        "name": "nightly",
        "id": job,
        "virtualClusterId": world.cluster,
        "state": "FAILED",
        "failureReason": "USER_ERROR",
    }
    assert (detail["releaseLabel"], detail["executionRoleArn"]) == (RELEASE, ROLE)
    assert detail["arn"].endswith(f"/virtualclusters/{world.cluster}/jobruns/{job}")
    assert {"createdBy", "stateDetails", "finishedAt", "message"} <= detail.keys()


def test_an_event_that_was_not_taken_is_told_again(world: World) -> None:
    refusals = iter([True, True])

    def publish(event: dict) -> None:
        if next(refusals, False):
            raise ConnectionError("the bus is away")
        world.events.append(event)

    world.restart(publish)
    assert world.await_end(world.start())["state"] == "COMPLETED"


def test_the_answer_shows_the_request_as_it_was(world: World) -> None:
    overrides = configured({"classification": "spark-defaults", "properties": {"spark.a.b": "1", "spark.A.b": "2"}})
    job = world.start("exit 0", "x", parameters="--conf spark.x=1", tags={"run": "7"}, **overrides)
    shown = world.describe(job)
    assert shown["configurationOverrides"] == overrides["configurationOverrides"]
    assert shown["jobDriver"]["sparkSubmitJobDriver"]["entryPointArguments"] == ["x"]
    assert shown["tags"] == {"run": "7"}
    assert shown["releaseLabel"] == RELEASE


def test_the_same_client_token_starts_one_run(world: World) -> None:
    same = {"clientToken": "once", "entry_point": world.put("once.sh", "exit 0")}
    first = world.start(**same)
    assert world.start(**same) == first
    assert len(world.emr.list_job_runs(virtualClusterId=world.cluster)["jobRuns"]) == 1
    assert refused(world.start, **same, name="another")[0] == "ValidationException"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": "n" * 65}, "name"),
        ({"name": "not a name"}, "name"),
        ({"entry_point": "s3://files/" + "x" * 250}, "entryPoint"),
        ({"executionRoleArn": "arn:aws:iam::123456789012:user/x"}, "executionRoleArn"),
        ({"clientToken": "t" * 65}, "clientToken"),
        ({"tags": {str(n): "v" for n in range(51)}}, "tags"),
        ({"parameters": " "}, "sparkSubmitParameters"),
        ({"jobDriver": {"sparkSqlJobDriver": {"entryPoint": "s3://files/q.sql"}}}, "sparkSqlJobDriver"),
        ({"retryPolicyConfiguration": {"maxAttempts": 2}}, "retryPolicyConfiguration"),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused_by_name_and_starts_nothing(world: World, change, word) -> None:
    code, message = refused(world.start, **change)
    assert code == "ValidationException"
    assert word in message
    assert world.emr.list_job_runs(virtualClusterId=world.cluster)["jobRuns"] == []


def test_what_does_not_exist_is_not_found(world: World) -> None:
    named = {"virtualClusterId": world.cluster, "id": "0" * 19}
    assert refused(world.start, virtualClusterId="nowhere")[0] == "ResourceNotFoundException"
    assert refused(world.start, releaseLabel="emr-latest")[0] == "ResourceNotFoundException"
    assert refused(world.emr.describe_job_run, **named)[0] == "ResourceNotFoundException"
    assert refused(world.emr.cancel_job_run, **named)[0] == "ResourceNotFoundException"


def test_a_list_is_newest_first_and_filters_by_exact_name_state_and_time(world: World) -> None:
    names = ["a", "ab", "a"]
    jobs = [world.start("exit 1" if name == "ab" else "exit 0", name=name) for name in names]
    for job in jobs:
        world.await_end(job)

    def listed(**query) -> list[str]:
        return [run["id"] for run in world.emr.list_job_runs(virtualClusterId=world.cluster, **query)["jobRuns"]]

    assert listed() == jobs[::-1]
    assert listed(name="a") == [jobs[2], jobs[0]]
    assert listed(states=["FAILED"]) == [jobs[1]]
    assert listed(states=["FAILED", "COMPLETED"], name="ab") == [jobs[1]]
    assert listed(createdAfter=datetime.now(UTC) + timedelta(minutes=1)) == []
    assert listed(createdBefore=datetime.now(UTC) - timedelta(minutes=1)) == []


def test_pages_neither_repeat_nor_skip_a_run_when_new_ones_arrive(world: World) -> None:
    jobs = [world.start() for _ in range(5)]
    first = world.emr.list_job_runs(virtualClusterId=world.cluster, maxResults=2)
    world.start()
    second = world.emr.list_job_runs(virtualClusterId=world.cluster, maxResults=2, nextToken=first["nextToken"])
    third = world.emr.list_job_runs(virtualClusterId=world.cluster, maxResults=2, nextToken=second["nextToken"])
    assert [run["id"] for page in (first, second, third) for run in page["jobRuns"]] == jobs[::-1]
    assert "nextToken" not in third


def test_a_cancelled_run_is_told_to_end_and_may_tidy_up(world: World) -> None:
    job = world.start("trap 'echo tidied; exit 0' TERM; echo up; while :; do sleep 0.02; done")
    await_true(lambda: "up" in (world.output(job) if (world.folder(job) / "stdout").exists() else ""))
    world.cancel(job)
    ended = world.await_end(job)
    assert ended["state"] == "CANCELLED"
    assert "failureReason" not in ended
    assert "tidied" in world.output(job)
    assert world.states_told(job)[-2:] == ["CANCEL_PENDING", "CANCELLED"]


def test_a_run_that_ignores_the_signal_is_killed_with_everything_it_started(world: World) -> None:
    job = world.start("trap '' TERM; sh -c 'echo $$ > child; exec sleep 60' & while :; do sleep 0.02; done")
    child = world.folder(job) / "work" / "child"
    await_true(lambda: child.exists() and child.read_text().strip() != "")
    world.cancel(job)
    assert world.await_end(job)["state"] == "CANCELLED"
    await_true(lambda: start_time(int(child.read_text())) is None)


def test_a_run_that_has_ended_cannot_be_cancelled(world: World) -> None:
    job = world.start()
    world.await_end(job)
    assert refused(world.cancel, job)[0] == "ValidationException"


def test_what_a_program_leaves_behind_ends_with_it(world: World) -> None:
    job = world.start("sleep 60 & echo $!")
    assert world.await_end(job)["state"] == "COMPLETED"
    await_true(lambda: start_time(int(world.output(job))) is None)


def test_logs_are_in_s3_before_the_end_is_told_and_grow_while_it_runs(world: World) -> None:
    found: list[str] = []

    def publish(event: dict) -> None:
        if event["detail"]["state"] == "COMPLETED":
            found.append(world.log(event["detail"]["id"], prefix="logs/here/"))
        world.events.append(event)

    world.restart(publish)
    program = "echo first; echo oops >&2; while [ ! -e go ]; do sleep 0.02; done; echo last"
    job = world.start(program, **logs_to("s3://files/logs/here/"))

    def first_line() -> bool:
        try:
            return world.log(job, prefix="logs/here/") == "first\n"
        except ClientError:
            return False

    await_true(first_line)
    (world.folder(job) / "work" / "go").touch()
    world.await_end(job)
    assert found == ["first\nlast\n"]
    assert world.log(job, "stderr", prefix="logs/here/") == "oops\n"


def test_a_log_bucket_that_is_not_there_does_not_change_how_the_run_ends(world: World) -> None:
    assert world.await_end(world.start("exit 0", **logs_to("s3://no-such-bucket-here/x")))["state"] == "COMPLETED"


def test_event_logs_reach_the_s3_prefix_that_the_job_named(world: World) -> None:
    program = """dir=$(sed -n 's/^spark.eventLog.dir file\\\\:\\/\\///p' $PROPERTIES)
    mkdir $dir/eventlog_v2_app; echo event > $dir/eventlog_v2_app/events_1_app"""
    job = world.start(
        program, parameters="--conf spark.eventLog.enabled=true --conf spark.eventLog.dir=s3a://files/history"
    )
    assert world.await_end(job)["state"] == "COMPLETED"
    body = world.s3.get_object(Bucket="files", Key="history/eventlog_v2_app/events_1_app")["Body"]
    assert body.read() == b"event\n"


def test_moto_still_runs_nothing_so_the_mend_is_needed() -> None:
    backend = EMRContainersBackend("us-east-1", "123456789012")
    provider = {"id": "x", "type": "EKS", "info": {"eksInfo": {"namespace": "x"}}}
    cluster = backend.create_virtual_cluster("x", provider, "token")
    driver = {"sparkSubmitJobDriver": {"entryPoint": "s3://files/x.py"}}
    names = ("first", "second")
    first, second = (
        backend.start_job_run(name, cluster.id, "same token", ROLE, RELEASE, driver, {}, {}) for name in names
    )
    assert first.id != second.id
    assert {first.state, second.state} == {"RUNNING"}
    assert (first.created_at.hour, first.created_at.minute, first.created_at.second) == (0, 0, 0)
    assert [run.name for run in backend.list_job_runs(cluster.id, None, None, "first and second", None)] == list(names)
