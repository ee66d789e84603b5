"""The state machines, as Amazon States Language. CloudFormation and the sandbox both make them from this.

Run machine: `Launch` asks for the driver and waits for news of its end; whoever brings the news ends the run and
completes the task token: one state in the good case. Without news in time (or after any fault) `Check` looks for
itself, ends the run if it is over, and says so or how long to wait; `Watch` waits again. The execution never gives up
on a run: every fault leads back to `Check`, with growing pauses. Every worker adopts, so a state may be entered any
number of times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FunctionArn = Callable[[str], Any]
"""The ARN of a function by name: a text, or a CloudFormation reference."""

_ABOUT = {"workspace.$": "$.workspace", "run.$": "$.run", "generation.$": "$.generation"}

_AWS_FAULTS = [
    {
        "ErrorEquals": [
            "Lambda.ServiceException",
            "Lambda.AWSLambdaException",
            "Lambda.SdkClientException",
            "Lambda.TooManyRequestsException",
        ],
        "IntervalSeconds": 1,
        "BackoffRate": 2.0,
        "MaxAttempts": 6,
        "MaxDelaySeconds": 30,
        "JitterStrategy": "FULL",
    }
]


def _task(arn: Any, payload: Mapping[str, Any] | str, *, token: bool = False, **rest: Any) -> dict[str, Any]:
    """A call of a function with a payload, or with the part of the state's input that a path names."""
    suffix = ".waitForTaskToken" if token else ""
    told = {"Payload.$": payload} if isinstance(payload, str) else {"Payload": dict(payload)}
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::lambda:invoke{suffix}",
        "Parameters": {"FunctionName": arn, **told},
        **rest,
    }


def _again(attempts: int, most: int) -> list[dict[str, Any]]:
    """Retries of whatever a function failed with: so often, with pauses that double up to so many seconds."""
    pauses = {"IntervalSeconds": 2, "BackoffRate": 2.0, "MaxAttempts": attempts, "MaxDelaySeconds": most}
    return [*_AWS_FAULTS, {"ErrorEquals": ["States.ALL"], **pauses}]


def run_machine(arn: FunctionArn) -> dict[str, Any]:
    """The run state machine. Input: workspace, run, generation, patience (seconds that Launch waits for news)."""
    to_check = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.fault", "Next": "Check"}]
    with_token = {**_ABOUT, "token.$": "$$.Task.Token", "waited.$": "$.patience"}
    return {
        "Comment": "Drives one generation of one run",
        "StartAt": "Launch",
        "States": {
            "Launch": _task(
                arn("launch"),
                with_token,
                token=True,
                TimeoutSecondsPath="$.patience",
                ResultPath=None,
                Catch=to_check,
                End=True,
            ),
            "Check": _task(
                arn("check"),
                {**_ABOUT, "waited.$": "$.patience"},
                ResultSelector={"over.$": "$.Payload.over", "wait.$": "$.Payload.wait"},
                ResultPath="$.check",
                Retry=_again(1000, 300),
                Next="Over?",
            ),
            "Over?": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.check.over", "BooleanEquals": True, "Next": "Ended"}],
                "Default": "Patience",
            },
            "Ended": {"Type": "Succeed"},
            "Patience": {
                "Type": "Pass",
                "Parameters": {**_ABOUT, "patience.$": "$.check.wait"},
                "Next": "Watch",
            },
            "Watch": _task(
                arn("launch"),
                with_token,
                token=True,
                TimeoutSecondsPath="$.patience",
                ResultPath=None,
                Catch=to_check,
                End=True,
            ),
        },
    }


def ring_machine(arn: FunctionArn) -> dict[str, Any]:
    """The timer state machine. Input: at (an ISO instant), and what `ring` is given then."""
    return {
        "Comment": "Rings at an instant",
        "StartAt": "Wait",
        "States": {
            "Wait": {"Type": "Wait", "TimestampPath": "$.at", "Next": "Ring"},
            "Ring": _task(
                arn("ring"),
                "$.about",
                Retry=[
                    *_AWS_FAULTS,
                    {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "BackoffRate": 2.0, "MaxAttempts": 10},
                ],
                End=True,
            ),
        },
    }


def notify_machine(arn: FunctionArn) -> dict[str, Any]:
    """The state machine that delivers one notice. Input: what `notify` is given. It tries with growing pauses for about
    an hour, then has `notify` keep why the notice was given up."""
    return {
        "Comment": "Delivers one notice",
        "StartAt": "Deliver",
        "States": {
            "Deliver": _task(
                arn("notify"),
                "$",
                Retry=_again(12, 900),
                Catch=[{"ErrorEquals": ["States.ALL"], "ResultPath": "$.fault", "Next": "GiveUp"}],
                End=True,
            ),
            "GiveUp": _task(
                arn("notify"),
                "$",
                Retry=_again(20, 300),
                End=True,
            ),
        },
    }
