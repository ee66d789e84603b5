"""The EventBridge events that EMR on EKS sends when a job run changes its state.

Two detail-types exist for the same change ("EMR Job Run State Change" and an older "EmrContainers Job Run State
Change"); the sandbox sends the first. Values that are not there yet are left out, as AWS leaves them out of
DescribeJobRun.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from sandbox.aws.emr.records import JobRecord

DETAIL_TYPE = "EMR Job Run State Change"
SOURCE = "aws.emr-containers"

_SENTENCES = {
    "PENDING": "was accepted and waits to be submitted",
    "SUBMITTED": "was submitted",
    "RUNNING": "began running",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCEL_PENDING": "is being cancelled",
    "CANCELLED": "was cancelled",
}


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def state_change(record: JobRecord, account: str, region: str, now: float) -> dict[str, Any]:
    """The whole event, envelope and detail, for the state that `record` is in."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": DETAIL_TYPE,
        "source": SOURCE,
        "account": account,
        "time": iso(now),
        "region": region,
        "resources": [record.arn],
        "detail": _detail(record),
    }


def _detail(record: JobRecord) -> dict[str, Any]:
    name = record.name or record.id
    detail = {
        "severity": "ERROR" if record.state == "FAILED" else "INFO",
        "name": record.name,
        "id": record.id,
        "arn": record.arn,
        "virtualClusterId": record.virtual_cluster_id,
        "state": record.state,
        "createdBy": record.created_by,
        "releaseLabel": record.request["releaseLabel"],
        "executionRoleArn": record.request["executionRoleArn"],
        "stateDetails": record.state_details,
        "failureReason": record.failure_reason,
        "finishedAt": None if record.finished_at is None else iso(record.finished_at),
        "message": f"Job run {name} ({record.id}) in virtual cluster {record.virtual_cluster_id} "
        f"{_SENTENCES[record.state]}.",
    }
    return {key: value for key, value in detail.items() if value is not None}
