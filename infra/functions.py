"""The functions: what CloudFormation calls each, and which queue keeps what one could not do.

Memory and time-outs stand in `.chalice/config.json`; what a function may do, in `policies`; what calls it, in
`triggers`.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.cfn import own_arn

LOGICAL: Mapping[str, str] = {
    "api": "APIHandler",
    "dispatch": "Dispatch",
    "follow": "Follow",
    "launch": "Launch",
    "check": "Check",
    "engine_event": "EngineEvent",
    "ring": "Ring",
    "notify": "Notify",
    "sweep": "Sweep",
    "instance_resource": "InstanceResource",
}
"""Function -> its logical id, as Chalice makes it."""

EVENT_DRIVEN = ("engine_event", "sweep")
"""Functions that EventBridge calls, asynchronously. What they fail at lands in their dead-letter queue."""


SCHEDULE_GROUP = "${AWS::StackName}"
"""The group of jobs' entries in EventBridge Scheduler, for `sub`."""


def physical_name(function: str) -> str:
    """The function's name, for `sub`. Fixed, so that the API, the roles and the logs can name a function without
    referring to it: the functions themselves refer to the API, and CloudFormation allows no circles."""
    return f"${{AWS::StackName}}-{function.replace('_', '-')}"


def arn_text(function: str) -> str:
    """The function's ARN, for `sub`."""
    return own_arn("lambda", f"function:{physical_name(function)}")


def log_group(function: str) -> str:
    """The name of the function's log group, for `sub`."""
    return f"/aws/lambda/{physical_name(function)}"


def role_id(function: str) -> str:
    """The logical id of the function's role."""
    return f"{LOGICAL[function]}Role"


def dead_letters_id(function: str) -> str:
    """The logical id of the function's dead-letter queue."""
    return f"{LOGICAL[function]}DeadLetters"
