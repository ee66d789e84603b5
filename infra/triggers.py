"""What calls each worker function: stream filters, event rules, schedules. One place for CloudFormation and sandbox.

Stream filters look only at attributes that `chalicelib.aws.table` puts beside a record's document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_RUN = {"kind": {"S": ["Run"]}}
_ENDED = ["SUCCEEDED", "FAILED", "CANCELED", "TIMED_OUT", "SKIPPED", "INTERNAL_ERROR"]


@dataclass(frozen=True, slots=True)
class StreamTrigger:
    """A function on the table's stream (NEW_AND_OLD_IMAGES). A batch that fails is bisected, retried, then goes to the
    dead-letter queue, on which there is an alarm; the sweep mends what it would have done."""

    function: str
    filters: tuple[Mapping[str, Any], ...]
    batch_size: int = 100
    max_retries: int = 20
    bisect: bool = True


STREAM_TRIGGERS = (
    StreamTrigger(
        "dispatch",
        (
            {"eventName": ["INSERT"], "dynamodb": {"NewImage": {"kind": {"S": ["QueueRow"]}}}},
            {"eventName": ["MODIFY"], "dynamodb": {"NewImage": {**_RUN, "state": {"S": ["GRANTED"]}}}},
            {"eventName": ["MODIFY"], "dynamodb": {"NewImage": {**_RUN, "state": {"S": _ENDED}}}},
            {"eventName": ["INSERT", "MODIFY"], "dynamodb": {"NewImage": {"kind": {"S": ["Pool"]}}}},
        ),
    ),
    StreamTrigger(
        "follow",
        (
            {"eventName": ["INSERT", "MODIFY"], "dynamodb": {"NewImage": {"kind": {"S": ["Run", "Job"]}}}},
            {"eventName": ["REMOVE"], "dynamodb": {"OldImage": {"kind": {"S": ["Job", "JobActivity"]}}}},
        ),
    ),
)

ENGINE_RULE: Mapping[str, Any] = {
    "source": ["aws.emr-containers"],
    "detail-type": ["EMR Job Run State Change"],
    "detail": {"state": ["RUNNING", "COMPLETED", "FAILED", "CANCELLED"]},
}
"""EventBridge pattern of the events that reach `engine_event`: those that change what a run's state is."""

SWEEP_EVERY_MINUTES = 60
