"""Lambda in this process, on its own and behind moto's Invoke API."""

from __future__ import annotations

import json
import threading
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from sandbox.aws.functions import (
    SYNC_LIMIT,
    AnswerTooLarge,
    Functions,
    FunctionSettings,
    NotJson,
    PayloadTooLarge,
    UnknownFunction,
)


def test_the_result_of_a_handler_comes_back_and_its_event_is_its_own_copy() -> None:
    sent: dict[str, Any] = {"items": [1, 2]}

    def handler(event: dict[str, Any], context: Any) -> Any:
        event["items"].append(3)
        return {"got": event["items"]}

    assert Functions({"f": handler}).invoke("f", sent) == {"got": [1, 2, 3]}
    assert sent == {"items": [1, 2]}


def test_an_error_of_the_handler_reaches_the_caller() -> None:
    def handler(event: Any, context: Any) -> None:
        raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        Functions({"f": handler}).invoke("f", {})


def test_what_json_cannot_carry_is_refused_in_both_directions() -> None:
    functions = Functions({"f": lambda event, context: {1, 2}})
    with pytest.raises(NotJson, match="result of f"):
        functions.invoke("f", {})
    with pytest.raises(NotJson, match="the event"):
        functions.invoke("f", {"x": object()})


def test_payloads_over_six_megabytes_are_refused_in_both_directions() -> None:
    functions = Functions({"f": lambda event, context: "x" * SYNC_LIMIT})
    with pytest.raises(PayloadTooLarge):
        functions.invoke("f", "x" * SYNC_LIMIT)
    with pytest.raises(AnswerTooLarge):
        functions.invoke("f", {})


def test_a_handler_sees_its_name_its_arn_a_request_id_and_the_time_that_is_left() -> None:
    def handler(event: Any, context: Any) -> Any:
        return [
            context.function_name,
            context.invoked_function_arn,
            len(context.aws_request_id),
            context.get_remaining_time_in_millis() <= 7000,
        ]

    functions = Functions({"f": handler}, settings={"f": FunctionSettings(timeout_seconds=7)})
    assert functions.invoke("f", {}) == ["f", "arn:aws:lambda:us-east-1:123456789012:function:f", 36, True]


@pytest.mark.parametrize(
    "name",
    [
        "f",
        "f:$LATEST",
        "arn:aws:lambda:us-east-1:123456789012:function:f",
        "arn:aws:lambda:us-east-1:123456789012:function:f:live",
        "123456789012:function:f",
    ],
)
def test_a_function_is_found_by_every_form_of_its_name(name: str) -> None:
    assert Functions({"f": lambda event, context: "yes"}).invoke(name, {}) == "yes"


def test_a_name_that_nobody_registered_is_refused() -> None:
    functions = Functions({})
    with pytest.raises(UnknownFunction):
        functions.invoke("nobody", {})
    with pytest.raises(UnknownFunction):
        functions.invoke_later("nobody", {})


def test_an_asynchronous_event_is_tried_three_times_and_then_goes_to_the_dead_letter() -> None:
    tries: list[int] = []
    dead: list[Any] = []
    done = threading.Event()

    def handler(event: dict[str, Any], context: Any) -> None:
        tries.append(event["n"])
        raise ValueError("never")

    def dead_letter(event: Any, error: Exception) -> None:
        dead.append((event, str(error)))
        done.set()

    functions = Functions({"f": handler}, async_retry_seconds=0.01)
    functions.invoke_later("f", {"n": 1}, on_failure=dead_letter)
    assert done.wait(5)
    functions.close()
    assert tries == [1, 1, 1]
    assert dead == [({"n": 1}, "never")]


def test_asynchronous_events_run_at_most_as_many_at_once_as_the_function_allows() -> None:
    lock = threading.Lock()
    running = peak = 0
    left = threading.Semaphore(0)

    def handler(event: Any, context: Any) -> None:
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        threading.Event().wait(0.01)
        with lock:
            running -= 1
        left.release()

    functions = Functions({"f": handler}, settings={"f": FunctionSettings(concurrency=2)})
    for _ in range(8):
        functions.invoke_later("f", {})
    for _ in range(8):
        assert left.acquire(timeout=5)
    functions.close()
    assert peak == 2


@pytest.fixture
def client() -> Any:
    functions = Functions({"double": lambda event, context: event["n"] * 2, "fail": _fail}, async_retry_seconds=0.01)
    patches = functions.install()
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield boto3.client("lambda", region_name="us-east-1")
    patches.undo()
    functions.close()


def _fail(event: Any, context: Any) -> None:
    raise RuntimeError("no luck")


def test_the_invoke_api_calls_the_handler_though_moto_has_no_such_function(client: Any) -> None:
    answer = client.invoke(FunctionName="double", Payload=json.dumps({"n": 21}))
    assert json.load(answer["Payload"]) == 42
    assert "FunctionError" not in answer


def test_the_invoke_api_reports_an_error_of_the_handler(client: Any) -> None:
    answer = client.invoke(FunctionName="fail")
    assert answer["FunctionError"] == "Unhandled"
    body = json.load(answer["Payload"])
    assert (body["errorType"], body["errorMessage"]) == ("RuntimeError", "no luck")


def test_the_invoke_api_accepts_an_event_and_answers_at_once(client: Any) -> None:
    assert client.invoke(FunctionName="fail", InvocationType="Event")["StatusCode"] == 202


def test_the_invoke_api_does_not_know_other_names(client: Any) -> None:
    with pytest.raises(ClientError, match="ResourceNotFound"):
        client.invoke(FunctionName="nobody")


def test_stock_moto_still_echoes_instead_of_calling_a_handler() -> None:
    """When this fails, moto runs handlers itself and the mend may go."""
    from moto.awslambda_simple.models import LambdaSimpleBackend

    backend = LambdaSimpleBackend("us-east-1", "123456789012")
    assert backend.invoke("double", None, '{"n": 21}', {}, {}) == b'{"n": 21}'
