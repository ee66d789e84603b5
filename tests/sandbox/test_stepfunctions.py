"""Step Functions as the product uses it: a workflow that waits for tokens, and a timer. Functions are small fakes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.base_backend import BackendDict
from moto.stepfunctions.parser.utils import TMP_THREADS

from sandbox.aws import stepfunctions
from sandbox.aws.functions import Functions
from sandbox.aws.stepfunctions import executions

INVOKE = "arn:aws:states:::lambda:invoke"
ROLE = "arn:aws:iam::123456789012:role/workflow"


def task(function: str, **fields: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": INVOKE,
        "Parameters": {"FunctionName": function, "Payload.$": "$"},
        "ResultPath": None,
        **fields,
    }


def token_task(function: str, **fields: Any) -> dict[str, Any]:
    payload = {"run.$": "$.run", "token.$": "$$.Task.Token", "execution.$": "$$.Execution.Name"}
    return task(
        function,
        **{
            "Resource": f"{INVOKE}.waitForTaskToken",
            "Parameters": {"FunctionName": function, "Payload": payload},
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Check"}],
            **fields,
        },
    )


WORKFLOW = {
    "StartAt": "Launch",
    "States": {
        "Launch": token_task("launch", TimeoutSecondsPath="$.launch_wait", Next="Finish"),
        "Check": task(
            "check",
            ResultSelector={"over.$": "$.Payload.over", "wait.$": "States.MathAdd($.Payload.wait, 1)"},
            ResultPath="$.check",
            Next="Over",
        ),
        "Over": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.check.over", "BooleanEquals": True, "Next": "Finish"}],
            "Default": "Watch",
        },
        "Watch": token_task("watch", TimeoutSecondsPath="$.check.wait", Next="Finish"),
        "Finish": task(
            "finish",
            Retry=[{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 2, "BackoffRate": 1.0}],
            End=True,
        ),
    },
}
TIMER = {
    "StartAt": "Wait",
    "States": {
        "Wait": {"Type": "Wait", "TimestampPath": "$.at", "Next": "Ring"},
        "Ring": task("ring", End=True),
    },
}


class World:
    """The functions of a test, what they were called with, and the client."""

    def __init__(self, client: Any) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.tokens: dict[str, str] = {}
        self.answers: dict[str, Callable[[Any], Any]] = {}
        self.client = client

    def handler(self, name: str) -> Any:
        def call(event: Any, context: Any) -> Any:
            self.calls.append((name, event))
            if isinstance(event, dict) and "token" in event:
                self.tokens[event["run"]] = event["token"]
            return self.answers.get(name, lambda event: None)(event)

        return call

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def machine(self, definition: dict[str, Any], name: str = "workflow") -> str:
        made = self.client.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
        return str(made["stateMachineArn"])

    def start(self, machine: str, name: str = "one", **given: Any) -> str:
        given = {"run": name, "launch_wait": 60, **given}
        started = self.client.start_execution(stateMachineArn=machine, name=name, input=json.dumps(given))
        return str(started["executionArn"])

    def describe(self, execution: str) -> Any:
        return self.client.describe_execution(executionArn=execution)

    def ends(self, execution: str) -> Any:
        until(lambda: self.describe(execution)["status"] != "RUNNING")
        return self.describe(execution)

    def stop_all(self) -> None:
        for machine in self.client.list_state_machines()["stateMachines"]:
            given = {"stateMachineArn": machine["stateMachineArn"], "statusFilter": "RUNNING"}
            for one in self.client.list_executions(**given)["executions"]:
                self.client.stop_execution(executionArn=one["executionArn"])
        until(lambda: not any(t.name.startswith(("execution-", "task-")) for t in threading.enumerate()))

    def token(self, run: str = "one", other_than: str | None = None) -> str:
        until(lambda: self.tokens.get(run, other_than) != other_than)
        return self.tokens[run]


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("stepfunctions", region_name="us-east-1")


@pytest.fixture
def world(client: Any) -> Iterator[World]:
    BackendDict.reset()
    world = World(client)
    names = ("launch", "check", "watch", "finish", "ring", "slow")
    routed = Functions({name: world.handler(name) for name in names}).install()
    mended = stepfunctions.install()
    yield world
    world.stop_all()
    mended.undo()
    routed.undo()


def test_a_run_that_is_answered_goes_from_launch_to_finish(world: World) -> None:
    execution = world.start(world.machine(WORKFLOW))
    world.client.send_task_success(taskToken=world.token(), output='{"state": "COMPLETED"}')
    end = world.ends(execution)
    assert end["status"] == "SUCCEEDED"
    assert world.names() == ["launch", "finish"]
    assert json.loads(end["output"]) == {"run": "one", "launch_wait": 60}


def test_the_name_of_the_execution_is_in_the_context_object(world: World) -> None:
    world.start(world.machine(WORKFLOW), "acme.7.1")
    world.token("acme.7.1")
    assert world.calls[0][1]["execution"] == "acme.7.1"


def test_a_launch_that_nobody_answers_times_out_and_is_checked_and_watched(world: World) -> None:
    world.answers["check"] = lambda event: {"over": False, "wait": 59}
    execution = world.start(world.machine(WORKFLOW), launch_wait=1)
    first = world.token()
    watched = world.token(other_than=first)
    assert world.calls[1][1]["error"]["Error"] == "States.Timeout"
    world.client.send_task_success(taskToken=watched, output="{}")
    assert world.ends(execution)["status"] == "SUCCEEDED"
    assert world.names() == ["launch", "check", "watch", "finish"]


def test_a_watch_that_times_out_checks_again_until_the_run_is_over(world: World) -> None:
    world.answers["check"] = lambda event: {"over": world.names().count("check") == 2, "wait": 0}
    execution = world.start(world.machine(WORKFLOW), launch_wait=1)
    assert world.ends(execution)["status"] == "SUCCEEDED"
    assert world.names() == ["launch", "check", "watch", "check", "finish"]


def test_a_launch_that_raises_or_is_failed_is_caught_with_its_error(world: World) -> None:
    def refuse(event: Any) -> None:
        raise LookupError("no such cluster")

    world.answers["check"] = lambda event: {"over": True, "wait": 1}
    world.answers["launch"] = refuse
    machine = world.machine(WORKFLOW)
    world.ends(world.start(machine, "raises"))
    assert world.calls[1][1]["error"]["Error"] == "LookupError"
    assert json.loads(world.calls[1][1]["error"]["Cause"])["errorMessage"] == "no such cluster"
    world.calls.clear()
    del world.answers["launch"]
    execution = world.start(machine, "failed")
    world.client.send_task_failure(taskToken=world.token("failed"), error="Run.Failed", cause="exit code 3")
    assert world.ends(execution)["status"] == "SUCCEEDED"
    assert world.calls[1][1]["error"] == {"Error": "Run.Failed", "Cause": "exit code 3"}


def test_finish_is_tried_again_and_then_the_execution_fails(world: World) -> None:
    def fail(event: Any) -> None:
        raise RuntimeError("the table is away")

    world.answers["finish"] = fail
    execution = world.start(world.machine(WORKFLOW))
    world.client.send_task_success(taskToken=world.token(), output="{}")
    end = world.ends(execution)
    assert (end["status"], end["error"]) == ("FAILED", "RuntimeError")
    assert world.names() == ["launch", "finish", "finish", "finish"]


def test_a_repeated_a_late_and_a_foreign_token_are_told_apart(world: World) -> None:
    machine = world.machine(WORKFLOW)
    execution = world.start(machine)
    token = world.token()
    world.client.send_task_success(taskToken=token, output="{}")
    with pytest.raises(world.client.exceptions.TaskTimedOut, match="does not exist anymore"):
        world.client.send_task_success(taskToken=token, output="{}")
    world.ends(execution)
    for send in (world.client.send_task_failure, world.client.send_task_heartbeat):
        with pytest.raises(world.client.exceptions.TaskTimedOut):
            send(taskToken=token)
    with pytest.raises(world.client.exceptions.InvalidToken):
        world.client.send_task_success(taskToken="no token", output="{}")
    with pytest.raises(world.client.exceptions.InvalidToken):
        world.client.send_task_heartbeat(taskToken=token[:-1] + ("0" if token[-1] != "0" else "1"))


def test_the_token_of_a_task_that_timed_out_is_refused(world: World) -> None:
    world.answers["check"] = lambda event: {"over": False, "wait": 59}
    execution = world.start(world.machine(WORKFLOW), launch_wait=1)
    first = world.token()
    world.token(other_than=first)
    with pytest.raises(world.client.exceptions.TaskTimedOut):
        world.client.send_task_success(taskToken=first, output="{}")
    assert world.describe(execution)["status"] == "RUNNING"


def test_an_output_that_is_not_json_is_refused_and_the_task_goes_on_waiting(world: World) -> None:
    execution = world.start(world.machine(WORKFLOW))
    token = world.token()
    with pytest.raises(world.client.exceptions.InvalidOutput):
        world.client.send_task_success(taskToken=token, output="{")
    assert world.describe(execution)["status"] == "RUNNING"


def test_a_token_may_be_answered_before_the_function_returns(world: World) -> None:
    world.answers["launch"] = lambda event: (
        world.client.send_task_success(taskToken=event["token"], output="{}") and None
    )
    assert world.ends(world.start(world.machine(WORKFLOW)))["status"] == "SUCCEEDED"


def test_heartbeats_keep_a_task_alive_and_their_absence_ends_it(world: World) -> None:
    state = token_task("watch", TimeoutSeconds=60, HeartbeatSeconds=1, Catch=[], End=True)
    execution = world.start(world.machine({"StartAt": "Watch", "States": {"Watch": state}}))
    token = world.token()
    for _ in range(4):
        time.sleep(0.4)
        world.client.send_task_heartbeat(taskToken=token)
    assert world.describe(execution)["status"] == "RUNNING"
    end = world.ends(execution)
    assert (end["status"], end["error"]) == ("FAILED", "States.Timeout")


def test_every_attempt_of_a_retried_task_has_a_token_of_its_own(world: World) -> None:
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    state = token_task("launch", TimeoutSeconds=60, Retry=retry, Catch=[], End=True)
    execution = world.start(world.machine({"StartAt": "Launch", "States": {"Launch": state}}))
    first = world.token()
    world.client.send_task_failure(taskToken=first, error="Again")
    second = world.token(other_than=first)
    world.client.send_task_success(taskToken=second, output="{}")
    assert world.ends(execution)["status"] == "SUCCEEDED"


@pytest.mark.parametrize("where", ["token", "wait", "retry", "function"])
def test_stop_execution_ends_at_once_whatever_the_execution_waits_for(world: World, where: str) -> None:
    def fail(event: Any) -> None:
        raise RuntimeError("again")

    running, release = threading.Event(), threading.Event()

    def slow(event: Any) -> None:
        running.set()
        release.wait(10)

    world.answers.update({"finish": fail, "slow": slow})
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 900}]
    state = {
        "token": token_task("launch", TimeoutSeconds=900, Catch=[], End=True),
        "wait": {"Type": "Wait", "Seconds": 900, "End": True},
        "retry": task("finish", Retry=retry, End=True),
        "function": task("slow", End=True),
    }[where]
    execution = world.start(world.machine({"StartAt": "S", "States": {"S": state}}))
    if where != "wait":
        until(lambda: bool(world.calls))
    stopped = world.client.stop_execution(executionArn=execution, error="Canceled", cause="by the owner")
    end = world.describe(execution)
    assert (end["status"], end["error"], end["cause"]) == ("ABORTED", "Canceled", "by the owner")
    assert end["stopDate"] == stopped["stopDate"]
    if where == "token":
        with pytest.raises(world.client.exceptions.TaskTimedOut):
            world.client.send_task_success(taskToken=world.token(), output="{}")
    release.set()
    until(lambda: not any(t.name.startswith(("execution-one", "task-S")) for t in threading.enumerate()))
    assert world.describe(execution)["status"] == "ABORTED"
    assert len(world.calls) <= 1


def test_stop_execution_right_after_the_start_counts(world: World) -> None:
    machine = world.machine(TIMER)
    at = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for n in range(20):
        execution = world.start(machine, f"n{n}", at=at)
        world.client.stop_execution(executionArn=execution)
        assert world.describe(execution)["status"] == "ABORTED"


def test_a_timer_rings_once_it_is_due_and_never_before(world: World) -> None:
    rang: list[float] = []
    world.answers["ring"] = lambda event: rang.append(time.time())
    due = time.time() + 0.7
    at = datetime.fromtimestamp(due, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    execution = world.start(world.machine(TIMER), at=at)
    assert world.ends(execution)["status"] == "SUCCEEDED"
    assert rang[0] >= due - 0.001


def test_a_timer_that_is_overdue_rings_at_once_and_a_bad_time_fails(world: World) -> None:
    machine = world.machine(TIMER)
    assert world.ends(world.start(machine, "past", at="2020-01-01T00:00:00Z"))["status"] == "SUCCEEDED"
    assert world.ends(world.start(machine, "bad", at="tomorrow"))["error"] == "States.Runtime"


def test_a_wait_takes_its_seconds_from_the_input(world: World) -> None:
    state = {"Type": "Wait", "SecondsPath": "$.seconds", "End": True}
    machine = world.machine({"StartAt": "W", "States": {"W": state}})
    assert world.ends(world.start(machine, seconds=0))["status"] == "SUCCEEDED"


def test_a_time_out_that_is_not_positive_fails(world: World) -> None:
    state = token_task("launch", TimeoutSecondsPath="$.launch_wait", Catch=[], End=True)
    execution = world.start(world.machine({"StartAt": "L", "States": {"L": state}}), launch_wait=0)
    assert world.ends(execution)["error"] == "States.Runtime"
    assert world.calls == []


def test_a_state_machine_that_takes_too_long_is_timed_out(world: World) -> None:
    machine = world.machine(
        {"StartAt": "W", "TimeoutSeconds": 1, "States": {"W": {"Type": "Wait", "Seconds": 90, "End": True}}}
    )
    end = world.ends(world.start(machine))
    assert end["status"] == "TIMED_OUT"
    assert "stopDate" in end


def test_the_same_name_and_input_is_the_same_execution_while_it_runs(world: World) -> None:
    machine = world.machine(WORKFLOW)
    first = world.start(machine)
    assert world.start(machine) == first
    token = world.token()
    with pytest.raises(world.client.exceptions.ExecutionAlreadyExists):
        world.start(machine, launch_wait=61)
    world.client.send_task_success(taskToken=token, output="{}")
    world.ends(first)
    with pytest.raises(world.client.exceptions.ExecutionAlreadyExists):
        world.start(machine)
    assert world.names() == ["launch", "finish"]


def test_only_one_of_many_callers_starts_an_execution(world: World) -> None:
    machine = world.machine(WORKFLOW)
    with ThreadPoolExecutor(8) as pool:
        arns = set(pool.map(lambda _: world.start(machine), range(16)))
    world.token()
    assert len(arns) == 1
    assert world.names() == ["launch"]


def test_an_execution_without_a_name_gets_one_and_a_bad_name_is_refused(world: World) -> None:
    machine = world.machine(WORKFLOW)
    arns = {world.client.start_execution(stateMachineArn=machine, input="{}")["executionArn"] for _ in range(3)}
    assert len(arns) == 3
    for name in ("with space", "x" * 81):
        with pytest.raises(ClientError):
            world.start(machine, name)


def test_a_bad_definition_and_a_taken_name_are_refused_and_spoil_nothing(world: World) -> None:
    broken = {"StartAt": "A", "States": {"A": {"Type": "Wait", "QueryLanguage": "JSONata", "End": True}}}
    with pytest.raises(world.client.exceptions.InvalidDefinition):
        world.machine(broken)
    machine = world.machine(TIMER)
    assert world.ends(world.start(machine, at="2020-01-01T00:00:00Z"))["status"] == "SUCCEEDED"
    with pytest.raises(world.client.exceptions.StateMachineAlreadyExists):
        world.machine(WORKFLOW)


def test_two_hundred_executions_wait_and_each_gets_its_own_answer(world: World) -> None:
    machine = world.machine(WORKFLOW)
    names = [f"r{n}" for n in range(200)]
    before = threading.active_count()
    execution_of = {name: world.start(machine, name) for name in names}
    until(lambda: len(world.tokens) == 200)
    assert threading.active_count() - before <= 2 * 200
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: world.client.send_task_success(taskToken=world.tokens[n], output=f'"{n}"'), names))
    assert {world.ends(execution)["status"] for execution in execution_of.values()} == {"SUCCEEDED"}
    assert world.names().count("finish") == 200
    until(lambda: threading.active_count() <= before + 5)
    assert TMP_THREADS == []


def test_old_ended_executions_are_forgotten_and_running_ones_never(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(executions, "KEEP", 10)
    workflow, timer = world.machine(WORKFLOW), world.machine(TIMER, "timer")
    parked = world.start(workflow, "parked")
    for n in range(30):
        for machine in (timer, workflow):
            world.client.stop_execution(executionArn=world.start(machine, f"n{n}", at="2999-01-01T00:00:00Z"))
    for machine in (timer, workflow):
        assert len(world.client.list_executions(stateMachineArn=machine, maxResults=100)["executions"]) <= 13
    assert world.describe(parked)["status"] == "RUNNING"
    with pytest.raises(world.client.exceptions.ExecutionDoesNotExist):
        world.describe(parked.replace("parked", "n0"))


def test_a_definition_is_parsed_once_for_all_its_executions(world: World, monkeypatch: Any) -> None:
    from moto.stepfunctions.parser.asl.parse import asl_parser

    parses: list[int] = []
    stock = asl_parser.ASLParser.state_machine

    def count(self: Any) -> Any:
        parses.append(1)
        return stock(self)

    monkeypatch.setattr(asl_parser.ASLParser, "state_machine", count)
    machine = world.machine(TIMER)
    for n in range(5):
        world.ends(world.start(machine, f"n{n}", at="2020-01-01T00:00:00Z"))
    assert len(parses) == 1


def test_stock_moto_still_leaves_a_stopped_execution_running() -> None:
    """When this fails, moto interrupts a task that waits for a token itself, and part of the mend may go."""
    from moto.stepfunctions.parser.asl.eval.callback.callback import CallbackPoolManager
    from moto.stepfunctions.parser.asl.eval.environment import Environment
    from moto.stepfunctions.parser.asl.eval.program_state import ProgramRunning

    env = Environment.__new__(Environment)
    env._state_mutex = threading.RLock()
    env._program_state = ProgramRunning()
    env._frames = []
    env.program_state_event = threading.Event()
    env.callback_pool_manager = CallbackPoolManager(activity_store={})
    endpoint = env.callback_pool_manager.generate()
    env.set_stop(stop_date=None, cause=None, error=None)
    assert not endpoint._notify_event.is_set()
