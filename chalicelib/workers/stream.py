"""Workers on the table's stream: grant and start (`dispatch`), write the feed (`feed`), stop drivers (`cancel`),
arrange the fires of schedules (`arm`).

All are at-least-once: a batch that fails is brought again, and everything done here may be done twice. `infra.triggers`
filters what reaches each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.typing import LambdaContext

from chalicelib.core.ids import external_name
from chalicelib.core.model import JobActivity, QueueRow, Run
from chalicelib.core.states import Intent, RunState
from chalicelib.observe import count, logger
from chalicelib.ports import Ports
from chalicelib.services import feed, jobs, schedules, workflow
from chalicelib.services.dispatch import dispatch

Decode = Callable[[Mapping[str, Any]], Any]
"""Makes a record of a stream image (the store's own decoder, given by wiring)."""


def dispatch_worker(ports: Ports, decode: Decode, event: Mapping[str, Any]) -> dict[str, Any]:
    """Start the executions of runs that were granted; then grant what can be granted now.

    Rung by queue rows, by runs that were granted or have ended, and by ledgers whose limits changed.
    """
    clusters: set[str] = set()
    for record in event["Records"]:
        images = record["dynamodb"]
        image = decode(images.get("NewImage") or images["OldImage"])
        if isinstance(image, Run) and image.state is RunState.GRANTED and "NewImage" in images:
            logger().info("starting", run=external_name(image.workspace, image.id), generation=image.generation)
            ports.workflows.start(image)
        else:
            clusters.add(image.cluster if isinstance(image, QueueRow) else ports.settings.cluster)
    for cluster in sorted(clusters):
        granted = dispatch(ports, cluster)
        for run in granted:
            count("QueueSeconds", (run.granted_at - run.created_at) / 1000)
        if granted:
            count("RunsGranted", len(granted))
        logger().info("dispatched", cluster=cluster, granted=[external_name(r.workspace, r.id) for r in granted])
    return {"batchItemFailures": []}


def feed_worker(ports: Ports, decode: Decode, event: Mapping[str, Any]) -> dict[str, Any]:
    """Append runs' state changes to their workspaces' feeds."""
    changes: list[feed.Transition] = []
    for record in event["Records"]:
        images = record["dynamodb"]
        after = decode(images["NewImage"])
        before = decode(images["OldImage"]) if "OldImage" in images else None
        if isinstance(after, Run):
            changes.append(feed.Transition(after, before.state if isinstance(before, Run) else None))
    appended = feed.append(ports, changes)
    logger().info("feed", appended=appended)
    return {"batchItemFailures": []}


def arm_worker(ports: Ports, decode: Decode, event: Mapping[str, Any]) -> dict[str, Any]:
    """Arrange the next fires of jobs that were made, changed or removed. The images only say which jobs to look at;
    one that has no schedule and had none is not."""
    for record in event["Records"]:
        images = record["dynamodb"]
        jobs_seen = [decode(images[side]) for side in ("OldImage", "NewImage") if side in images]
        if any(job.schedule for job in jobs_seen):
            schedules.arm(ports, jobs_seen[-1].workspace, jobs_seen[-1].id)
    return {"batchItemFailures": []}


def cancel_worker(
    ports: Ports, decode: Decode, event: Mapping[str, Any], context: LambdaContext | None
) -> dict[str, Any]:
    """Stop the drivers of runs that somebody wants to end, and the runs of jobs that were removed."""

    def handle(record: dict[str, Any]) -> None:
        images = record["dynamodb"]
        if "NewImage" in images:
            run = decode(images["NewImage"])
            if isinstance(run, Run) and run.intent is not Intent.NONE:
                logger().info("stopping", run=external_name(run.workspace, run.id), intent=run.intent)
                workflow.stop_driver(ports, run)
        else:
            activity = decode(images["OldImage"])
            if isinstance(activity, JobActivity):
                jobs.retire(ports, activity)

    answer = process_partial_response(
        event=dict(event),
        record_handler=handle,
        processor=BatchProcessor(event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False),
        context=context,
    )
    return dict(answer)
