"""EventBridge Scheduler: expressions, firing, and what a restart leaves of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.base_backend import BackendDict

from sandbox.aws import stepfunctions
from sandbox.aws.functions import Functions
from sandbox.aws.scheduler import InvalidExpression, Scheduler, parse

ROLE = "arn:aws:iam::123456789012:role/r"
RING = "arn:aws:lambda:us-east-1:123456789012:function:ring"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "found"),
    [
        ("at(2026-07-01T12:00:00)", "Europe/Paris", "2026-01-01T00:00", "2026-07-01T10:00"),
        ("rate(5 minutes)", "UTC", "2026-01-01T00:12", "2026-01-01T00:15"),
        ("rate(1 day)", "UTC", "2026-01-03T00:00", "2026-01-04T00:00"),
        ("cron(0/15 * * * ? *)", "UTC", "2026-01-01T00:15", "2026-01-01T00:30"),
        ("cron(0 9 * * ? *)", "America/New_York", "2026-07-01T00:00", "2026-07-01T13:00"),
        ("cron(30 8 ? * MON-FRI *)", "UTC", "2026-01-02T09:00", "2026-01-05T08:30"),
        ("cron(0 0 ? * FRI-MON *)", "UTC", "2026-01-05T00:00", "2026-01-09T00:00"),
        ("cron(0 0 L * ? *)", "UTC", "2026-02-01T00:00", "2026-02-28T00:00"),
        ("cron(0 0 1W * ? *)", "UTC", "2026-08-01T00:00", "2026-08-03T00:00"),
        ("cron(0 0 LW * ? *)", "UTC", "2026-05-01T00:00", "2026-05-29T00:00"),
        ("cron(0 0 ? * 6L *)", "UTC", "2026-01-01T00:00", "2026-01-30T00:00"),
        ("cron(0 0 ? * TUE#2 *)", "UTC", "2026-01-01T00:00", "2026-01-13T00:00"),
        ("cron(0 0 29 2 ? *)", "UTC", "2026-01-01T00:00", "2028-02-29T00:00"),
        ("cron(0 0 1 JAN,JUL ? 2027)", "UTC", "2026-01-01T00:00", "2027-01-01T00:00"),
        # 02:30 does not exist on 29 March 2026 in Paris, and is there twice on 25 October.
        ("cron(30 2 * * ? *)", "Europe/Paris", "2026-03-28T12:00", "2026-03-30T00:30"),
        ("cron(30 2 * * ? *)", "Europe/Paris", "2026-10-25T00:30", "2026-10-26T01:30"),
    ],
)
def test_when_a_schedule_comes_round(expression: str, zone: str, after: str, found: str) -> None:
    assert parse(expression, zone).after(utc(after), utc("2026-01-01T00:00")) == utc(found)


@pytest.mark.parametrize("expression", ["cron(0 0 1 1 ? 2020)", "cron(0 0 30 2 ? *)"])
def test_some_schedules_never_come_round(expression: str) -> None:
    assert parse(expression).after(utc("2026-01-01T00:00"), utc("2026-01-01T00:00")) is None


@pytest.mark.parametrize(
    "expression",
    [
        "bogus",
        "",
        "rate(0 minutes)",
        "rate(-1 hour)",
        "rate(5 weeks)",
        "rate(5minutes)",
        "cron(99 99 * * ? *)",
        "cron(* * * * *)",
        "cron(0 0 * * * *)",
        "cron(0 0 ? * ? *)",
        "cron(0 0 ? * XYZ *)",
        "cron(0 0 ? * MON#6 *)",
        "cron(0/0 0 * * ? *)",
        "at(2026-01-01)",
        "at(2026-13-01T00:00:00)",
        "at(2026-01-01T00:00:00Z)",
    ],
)
def test_what_aws_refuses_is_refused(expression: str) -> None:
    with pytest.raises(InvalidExpression):
        parse(expression)


def test_a_zone_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidExpression):
        parse("rate(5 minutes)", "Mars/Olympus")


class World:
    """A scheduler with a clock that the test moves, and the function `ring`."""

    def __init__(self, file: Path, client: Any) -> None:
        BackendDict.reset()
        self.client = client
        self.rings: list[Any] = []
        self.dead: list[Any] = []
        self.fail = 0
        self.held = threading.Event()
        self.held.set()
        self.shift = timedelta()
        self.functions = Functions({"ring": self._ring})
        self.scheduler = Scheduler(
            self.functions,
            file,
            retry_seconds=0.01,
            on_failure=lambda arn, event, error: self.dead.append((arn, event, str(error))),
            clock=self.now,
        )
        self.patches = self.scheduler.install()
        self.scheduler.start()

    def _ring(self, event: Any, context: Any) -> None:
        self.rings.append(event)
        self.held.wait(10)
        if self.fail:
            self.fail -= 1
            raise RuntimeError("not now")

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift

    def pass_time(self, **amount: float) -> None:
        with self.scheduler.changing:
            self.shift += timedelta(**amount)
            self.scheduler.changing.notify_all()

    def at(self, **ahead: float) -> str:
        return f"at({(self.now() + timedelta(**ahead)).strftime('%Y-%m-%dT%H:%M:%S')})"

    def make(self, name: str, expression: str, event: Any = None, **given: Any) -> None:
        target = {"Arn": RING, "RoleArn": ROLE, "Input": json.dumps(event or {"name": name})}
        self.client.create_schedule(
            Name=name, ScheduleExpression=expression, Target=target, FlexibleTimeWindow={"Mode": "OFF"}, **given
        )

    def names(self) -> list[str]:
        return sorted(one["Name"] for one in self.client.list_schedules()["Schedules"])

    def close(self) -> None:
        self.scheduler.close()
        self.patches.undo()
        self.functions.close()


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not done():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.002)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "scheduler.json"


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("scheduler", region_name="us-east-1")


@pytest.fixture
def world(file: Path, client: Any) -> Iterator[World]:
    world = World(file, client)
    yield world
    world.close()


def test_a_one_off_fires_once_when_it_is_due_and_deletes_itself_if_it_says_so(world: World) -> None:
    world.make("kept", world.at(minutes=5))
    world.make("deleted", world.at(minutes=5), ActionAfterCompletion="DELETE")
    world.make("later", world.at(hours=5))
    assert world.rings == []
    world.pass_time(minutes=5)
    until(lambda: world.names() == ["kept", "later"])
    until(lambda: len(world.rings) == 2)
    world.pass_time(hours=1)
    world.pass_time(hours=5)
    until(lambda: len(world.rings) == 3)
    assert world.rings[2] == {"name": "later"}


def test_a_one_off_in_a_time_zone(world: World) -> None:
    from zoneinfo import ZoneInfo

    local = (world.now() + timedelta(minutes=5)).astimezone(ZoneInfo("Asia/Tokyo"))
    expression = f"at({local.strftime('%Y-%m-%dT%H:%M:%S')})"
    world.make("tokyo", expression, ScheduleExpressionTimezone="Asia/Tokyo")
    world.pass_time(minutes=5)
    until(lambda: len(world.rings) == 1)


def test_a_rate_fires_at_once_and_then_in_steps(world: World) -> None:
    world.make("rate", "rate(5 minutes)")
    until(lambda: len(world.rings) == 1)
    for count in (2, 3):
        world.pass_time(minutes=5)
        until(lambda count=count: len(world.rings) == count)


def test_a_cron_fires_again_and_again_until_its_end(world: World) -> None:
    end = world.now() + timedelta(minutes=2, seconds=30)
    world.make("cron", "cron(* * * * ? *)", EndDate=end, ActionAfterCompletion="DELETE")
    for count in (1, 2):
        world.pass_time(minutes=1)
        until(lambda count=count: len(world.rings) >= count)
    world.pass_time(minutes=1)
    until(lambda: world.names() == [])


def test_the_input_can_name_the_schedule_and_its_time(world: World) -> None:
    event = {"arn": "<aws.scheduler.schedule-arn>", "at": "<aws.scheduler.scheduled-time>"}
    expression = world.at(minutes=5)
    world.make("s", expression, event)
    world.pass_time(minutes=5)
    until(lambda: len(world.rings) == 1)
    assert world.rings[0]["arn"] == "arn:aws:scheduler:us-east-1:123456789012:schedule/default/s"
    assert world.rings[0]["at"] == expression[3:-1] + "Z"


def test_a_failing_function_is_tried_again_and_then_the_event_is_a_dead_letter(world: World) -> None:
    world.fail = 2
    world.make("works", world.at(seconds=-1), ActionAfterCompletion="DELETE")
    until(lambda: world.names() == [])
    assert len(world.rings) == 3
    world.fail = 99
    world.make("fails", world.at(seconds=-1), ActionAfterCompletion="DELETE")
    until(lambda: world.names() == [])
    assert world.dead == [
        ("arn:aws:scheduler:us-east-1:123456789012:schedule/default/fails", {"name": "fails"}, "not now")
    ]


def test_a_state_machine_is_started_with_the_input(world: World) -> None:
    mended = stepfunctions.install()
    states = boto3.client("stepfunctions", region_name="us-east-1")
    definition = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
    arn = states.create_state_machine(name="m", definition=definition, roleArn=ROLE)["stateMachineArn"]
    target = {"Arn": arn, "RoleArn": ROLE, "Input": '{"a": 1}'}
    world.client.create_schedule(
        Name="s", ScheduleExpression=world.at(seconds=-1), Target=target, FlexibleTimeWindow={"Mode": "OFF"}
    )
    until(lambda: len(states.list_executions(stateMachineArn=arn)["executions"]) == 1)
    (execution,) = states.list_executions(stateMachineArn=arn)["executions"]
    assert json.loads(states.describe_execution(executionArn=execution["executionArn"])["input"]) == {"a": 1}
    mended.undo()


def test_a_deleted_a_disabled_and_a_moved_schedule_do_not_fire_at_the_old_time(world: World) -> None:
    for name in ("deleted", "disabled", "moved"):
        world.make(name, world.at(minutes=5))
    world.make("sentinel", world.at(minutes=6))
    world.client.delete_schedule(Name="deleted")
    common = {"Target": {"Arn": RING, "RoleArn": ROLE, "Input": '"x"'}, "FlexibleTimeWindow": {"Mode": "OFF"}}
    world.client.update_schedule(Name="disabled", ScheduleExpression=world.at(minutes=5), State="DISABLED", **common)
    after = {"ActionAfterCompletion": "DELETE"}
    world.client.update_schedule(Name="moved", ScheduleExpression=world.at(minutes=15), **common, **after)
    world.pass_time(minutes=7)
    until(lambda: len(world.rings) == 1)
    assert world.rings == [{"name": "sentinel"}]
    world.pass_time(minutes=9)
    until(lambda: world.names() == ["disabled", "sentinel"])
    assert world.rings[1:] == ["x"]


def test_schedules_survive_a_restart_and_a_missed_one_off_fires_at_the_start(file: Path, client: Any) -> None:
    before = World(file, client)
    before.client.create_schedule_group(Name="mine")
    before.make("missed", before.at(minutes=5), GroupName="mine", ActionAfterCompletion="DELETE")
    before.make("future", before.at(hours=5), Description="words")
    before.make("done", before.at(seconds=-1))
    before.make("cron", "cron(0 0 1 1 ? *)", ScheduleExpressionTimezone="Europe/Paris")
    before.make("gone", before.at(hours=5))
    before.client.delete_schedule(Name="gone")
    until(lambda: before.rings == [{"name": "done"}])
    until(lambda: '"due": ""' in file.read_text())
    described = before.client.get_schedule(Name="future")
    before.close()
    after = World(file, client)
    assert after.rings == []
    after.pass_time(minutes=6)
    after.close()
    again = World(file, client)
    again.pass_time(minutes=6)
    until(lambda: again.names() == ["cron", "done", "future"])
    found = again.client.get_schedule(Name="future")
    for name in ("ScheduleExpression", "Description", "Target", "CreationDate", "State"):
        assert found[name] == described[name]
    again.close()
    assert (after.rings + again.rings).count({"name": "missed"}) == 1
    assert {"name": "done"} not in after.rings + again.rings


def test_a_one_off_whose_invocation_was_cut_off_fires_again(file: Path, client: Any) -> None:
    before = World(file, client)
    before.held.clear()
    before.make("s", before.at(seconds=-1), ActionAfterCompletion="DELETE")
    until(lambda: len(before.rings) == 1)
    left_behind = file.read_text()
    before.held.set()
    before.close()
    file.write_text(left_behind)
    after = World(file, client)
    until(lambda: after.names() == [])
    after.close()
    assert after.rings == [{"name": "s"}]


def test_bad_schedules_are_refused_and_leave_nothing(world: World) -> None:
    refused = world.client.exceptions.ValidationException
    for expression in ("bogus", "rate(0 minutes)", "cron(99 99 * * ? *)"):
        with pytest.raises(refused):
            world.make("s", expression)
    with pytest.raises(refused):
        world.make("s", "rate(5 minutes)", ScheduleExpressionTimezone="Nowhere")
    with pytest.raises(refused):
        world.make("bad name", "rate(5 minutes)")
    with pytest.raises(world.client.exceptions.ResourceNotFoundException):
        world.make("s", "rate(5 minutes)", GroupName="nowhere")
    for target in (
        {"Arn": RING, "RoleArn": ROLE, "Input": "{"},
        {"Arn": "arn:aws:sqs:us-east-1:123456789012:q", "RoleArn": ROLE},
    ):
        with pytest.raises(refused):
            world.client.create_schedule(
                Name="s", ScheduleExpression="rate(5 minutes)", Target=target, FlexibleTimeWindow={"Mode": "OFF"}
            )
    assert world.names() == []
    assert world.rings == []


def test_a_name_is_taken_once(world: World) -> None:
    world.make("s", world.at(hours=1))
    with pytest.raises(world.client.exceptions.ConflictException):
        world.make("s", world.at(hours=1))


def test_stock_moto_still_takes_any_text_for_an_expression(client: Any) -> None:
    """When this fails, moto checks expressions itself, and part of the mend may go."""
    BackendDict.reset()
    target = {"Arn": RING, "RoleArn": ROLE}
    client.create_schedule(Name="s", ScheduleExpression="bogus", Target=target, FlexibleTimeWindow={"Mode": "OFF"})
