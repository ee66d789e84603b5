"""EventBridge rules whose targets are functions and state machines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.base_backend import BackendDict

from sandbox.aws import stepfunctions
from sandbox.aws.events import Events
from sandbox.aws.functions import Functions

EMR_EVENT = {
    "source": "aws.emr-containers",
    "detail-type": "EMR Job Run State Change",
    "time": "2026-01-02T03:04:05Z",
    "resources": ["arn:aws:emr-containers:us-east-1:123456789012:/virtualclusters/vc/jobruns/jr"],
    "detail": {"id": "jr", "state": "COMPLETED"},
}


class World:
    def __init__(self, client: Any) -> None:
        self.got: list[Any] = []
        self.dead: list[Any] = []
        self.fail = 0
        self.functions = Functions({"engine_event": self._handle}, async_retry_seconds=0.01)
        self.events = Events(self.functions, on_failure=lambda event, error: self.dead.append(event))
        self.client = client

    def _handle(self, event: Any, context: Any) -> None:
        self.got.append(event)
        if self.fail:
            self.fail -= 1
            raise RuntimeError("not now")

    def rule(self, name: str, pattern: Any, arn: str | None = None, **target: Any) -> None:
        self.client.put_rule(Name=name, EventPattern=json.dumps(pattern))
        target = {"Id": "1", "Arn": arn or self.functions.arn("engine_event"), **target}
        assert self.client.put_targets(Rule=name, Targets=[target])["FailedEntryCount"] == 0

    def put(self, source: str, detail: Any) -> Any:
        entry = {
            "Source": source,
            "DetailType": "Note",
            "Detail": json.dumps(detail),
            "Time": datetime(2026, 1, 1, tzinfo=UTC),
        }
        return self.client.put_events(Entries=[entry])


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not done():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("events", region_name="us-east-1")


@pytest.fixture
def world(client: Any) -> Iterator[World]:
    BackendDict.reset()
    world = World(client)
    patches = world.events.install()
    yield world
    patches.undo()
    world.functions.close()


def test_an_event_of_emr_reaches_the_function_of_a_matching_rule_whole(world: World) -> None:
    world.rule("emr", {"source": ["aws.emr-containers"], "detail": {"state": ["COMPLETED", "FAILED"]}})
    world.events.deliver(EMR_EVENT)
    until(lambda: len(world.got) == 1)
    event = world.got[0]
    assert {key: event[key] for key in EMR_EVENT} == EMR_EVENT
    assert (event["account"], event["region"], event["version"]) == ("123456789012", "us-east-1", "0")
    assert "ingestion-time" not in event


def test_an_event_that_matches_no_rule_or_a_disabled_one_goes_nowhere(world: World) -> None:
    world.rule("emr", {"source": ["aws.emr-containers"], "detail": {"state": ["FAILED"]}})
    world.rule("off", {"source": ["aws.emr-containers"]})
    world.client.disable_rule(Name="off")
    world.rule("all", {"source": ["sentinel"]})
    world.events.deliver(EMR_EVENT)
    world.put("sentinel", {})
    until(lambda: len(world.got) == 1)
    assert world.got[0]["source"] == "sentinel"


def test_put_events_answers_though_the_function_fails_and_it_is_tried_again(world: World) -> None:
    world.fail = 2
    world.rule("notes", {"source": ["app"], "detail": {"n": [{"numeric": [">", 3]}]}})
    assert world.put("app", {"n": 4})["FailedEntryCount"] == 0
    until(lambda: len(world.got) == 3)
    assert world.got[2]["detail"] == {"n": 4}
    assert world.got[2]["time"] == "2026-01-01T00:00:00Z"
    assert world.dead == []


def test_an_event_that_no_attempt_delivers_goes_to_the_dead_letter(world: World) -> None:
    world.fail = 99
    world.rule("notes", {"source": ["app"]})
    world.put("app", {"n": 1})
    until(lambda: len(world.dead) == 1)
    assert world.dead[0]["detail"] == {"n": 1}


def test_a_rule_with_a_schedule_does_not_disturb_other_events(world: World) -> None:
    world.client.put_rule(Name="cron", ScheduleExpression="rate(5 minutes)")
    world.client.put_targets(Rule="cron", Targets=[{"Id": "1", "Arn": world.functions.arn("engine_event")}])
    world.rule("notes", {"source": ["app"]})
    world.put("app", {})
    until(lambda: len(world.got) == 1)
    assert world.got[0]["source"] == "app"


def test_a_target_that_nobody_can_reach_does_not_keep_the_event_from_the_others(world: World) -> None:
    world.rule("gone", {"source": ["app"]}, world.functions.arn("nobody"))
    world.rule("odd", {"source": ["app"]}, "arn:aws:kinesis:us-east-1:123456789012:stream/s")
    world.rule("notes", {"source": ["app"]})
    world.put("app", {})
    until(lambda: len(world.got) == 1)


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ({"Input": '{"fixed": 1}'}, {"fixed": 1}),
        ({"InputPath": "$.detail"}, {"id": "jr", "state": "COMPLETED"}),
        (
            {"InputTransformer": {"InputPathsMap": {"s": "$.detail.state"}, "InputTemplate": '{"is": "<s>"}'}},
            {"is": "COMPLETED"},
        ),
    ],
)
def test_a_target_may_choose_what_it_sees(world: World, target: dict[str, Any], seen: Any) -> None:
    world.rule("emr", {"source": ["aws.emr-containers"]}, **target)
    world.events.deliver(EMR_EVENT)
    until(lambda: world.got == [seen])


def test_other_targets_still_work_moto_s_way(world: World) -> None:
    sqs = boto3.client("sqs", region_name="us-east-1")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    world.rule("emr", {"source": ["aws.emr-containers"]}, "arn:aws:sqs:us-east-1:123456789012:q")
    world.events.deliver(EMR_EVENT)
    body = json.loads(sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"])
    assert body["detail"] == EMR_EVENT["detail"]


def test_a_rule_can_start_a_state_machine(world: World) -> None:
    mended = stepfunctions.install()
    states = boto3.client("stepfunctions", region_name="us-east-1")
    definition = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    role = "arn:aws:iam::123456789012:role/r"
    arn = states.create_state_machine(name="m", definition=json.dumps(definition), roleArn=role)["stateMachineArn"]
    world.rule("emr", {"source": ["aws.emr-containers"]}, arn, InputPath="$.detail")
    world.events.deliver(EMR_EVENT)
    (execution,) = states.list_executions(stateMachineArn=arn)["executions"]
    found = states.describe_execution(executionArn=execution["executionArn"])
    assert json.loads(found["input"]) == EMR_EVENT["detail"]
    mended.undo()


def test_a_pattern_that_aws_would_refuse_is_refused(world: World) -> None:
    for pattern in ({"source": [{"unheard-of": 1}]}, {"source": "text"}):
        with pytest.raises(ClientError, match="InvalidEventPattern"):
            world.client.put_rule(Name="bad", EventPattern=json.dumps(pattern))


def test_stock_moto_still_cannot_reach_a_function(client: Any) -> None:
    """When this fails, moto delivers to functions itself, and the mend may go."""
    BackendDict.reset()
    client.put_rule(Name="notes", EventPattern='{"source": ["app"]}')
    target = {"Id": "1", "Arn": "arn:aws:lambda:us-east-1:123456789012:function:f"}
    client.put_targets(Rule="notes", Targets=[target])
    with pytest.raises(NotImplementedError):
        client.put_events(Entries=[{"Source": "app", "DetailType": "d", "Detail": "{}"}])
