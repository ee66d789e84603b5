"""Workers on the table's stream: one grants and starts (`dispatch`), one does what else follows from a change
(`follow`). There are two because more readers of one stream would be throttled.

All are at-least-once: a batch that fails is brought again, and everything done here may be done twice. `infra.triggers`
filters what reaches each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.typing import LambdaContext

from chalicelib.core.ids import external_name
from chalicelib.core.model import Job, JobActivity, QueueRow, Run
from chalicelib.core.states import RunState
from chalicelib.observe import count, logger
from chalicelib.ports import Ports
from chalicelib.services import feed, jobs, notices, resets, schedules, workflow
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


def follow_worker(
    ports: Ports, decode: Decode, event: Mapping[str, Any], context: LambdaContext | None
) -> dict[str, Any]:
    """What follows from a change: state changes go to their workspaces' feeds, notices are made of them, drivers of
    runs that somebody wants to end are stopped, runs of removed jobs are retired, and the fires of jobs' schedules
    are arranged."""
    changes: list[feed.Transition] = []

    def handle(record: dict[str, Any]) -> None:
        images = record["dynamodb"]
        after = decode(images["NewImage"]) if "NewImage" in images else None
        before = decode(images["OldImage"]) if "OldImage" in images else None
        if isinstance(after, Run):
            changes.append(feed.Transition(after, before.state if isinstance(before, Run) else None))
            if after.parent and (before is None or before.state is not after.state):
                workflow.heard_of_child(ports, after)
        _consequence(ports, before, after)

    answer = process_partial_response(
        event=dict(event),
        record_handler=handle,
        processor=BatchProcessor(event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False),
        context=context,
    )
    appended = feed.append(ports, changes)
    logger().info("followed", appended=appended)
    return dict(answer)


def _consequence(ports: Ports, before: Any, after: Any) -> None:
    """What one change asks for, beyond the feed. Everything here may be done twice."""
    if isinstance(after, Run):
        _of_run(ports, before, after)
    elif isinstance(after, Job) or isinstance(before, Job):
        _of_job(ports, before, after)
    elif after is None and isinstance(before, JobActivity):
        jobs.retire(ports, before)


def _of_run(ports: Ports, before: Run | None, after: Run) -> None:
    if after.ended and not (before and before.ended):
        count("RunsEnded", state=after.state)
        logger().info("ended", run=external_name(after.workspace, after.id), state=after.state, reason=after.reason)
    if after.state is RunState.TERMINATING:
        logger().info("stopping", run=external_name(after.workspace, after.id), intent=after.intent)
        workflow.stop_driver(ports, after)
    notices.follow(ports, before, after)


def _of_job(ports: Ports, before: Job | None, after: Job | None) -> None:
    """The images only say which job to look at, but for a job that is gone."""
    if (job := after or before) and any(j.schedule for j in (before, after) if j):
        schedules.arm(ports, job.workspace, job.id)
    if before and after and resets.reaches(before, after):
        logger().info(
            "reset", job=external_name(after.workspace, after.id), runs=resets.reach(ports, after.workspace, after.id)
        )
    if before and after is None:
        notices.tell_of_removal(ports, before)
