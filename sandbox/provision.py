"""Makes in the emulated AWS what CloudFormation makes on AWS, from the same definitions (`infra`, `aws.table`)."""

from __future__ import annotations

import json
from typing import Any

import boto3

from chalicelib.aws.table import TTL, definition
from infra.triggers import ENGINE_RULE, SWEEP_EVERY_MINUTES
from infra.workflow import notify_machine, ring_machine, run_machine
from sandbox.settings import BUCKET, ROLE, TABLE

_MACHINE_ROLE = "arn:aws:iam::123456789012:role/sparkplane-machine"


def table() -> None:
    """The table with its stream, unless the disk has it already."""
    dynamodb = boto3.client("dynamodb")
    if TABLE in dynamodb.list_tables()["TableNames"]:
        return
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    dynamodb.create_table(**definition(TABLE), StreamSpecification=stream)
    dynamodb.update_time_to_live(TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL})


def bucket() -> None:
    """The bucket, unless the disk has it already."""
    s3 = boto3.client("s3")
    if BUCKET not in {b["Name"] for b in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=BUCKET)


def machines(arn: Any) -> tuple[str, str, str]:
    """The run, the notify and the ring state machine; executions live in memory, so they are made at each start."""
    sfn = boto3.client("stepfunctions")
    made = [
        sfn.create_state_machine(name=name, definition=json.dumps(machine(arn)), roleArn=_MACHINE_ROLE)[
            "stateMachineArn"
        ]
        for name, machine in (
            ("sparkplane-run", run_machine),
            ("sparkplane-notify", notify_machine),
            ("sparkplane-ring", ring_machine),
        )
    ]
    return made[0], made[1], made[2]


def engine_rule(target: str) -> None:
    """The rule that brings the engine's events to a function."""
    events = boto3.client("events")
    events.put_rule(Name="sparkplane-engine", EventPattern=json.dumps(ENGINE_RULE), State="ENABLED")
    events.put_targets(Rule="sparkplane-engine", Targets=[{"Id": "engine-event", "Arn": target}])


def schedule_group() -> str:
    """The group of the jobs' entries in EventBridge Scheduler; returns its name."""
    scheduler = boto3.client("scheduler")
    if "sparkplane" not in {group["Name"] for group in scheduler.list_schedule_groups()["ScheduleGroups"]}:
        scheduler.create_schedule_group(Name="sparkplane")
    return "sparkplane"


def sweep_schedule(target: str) -> None:
    """The hourly sweep."""
    scheduler = boto3.client("scheduler")
    wanted = {
        "ScheduleExpression": f"rate({SWEEP_EVERY_MINUTES} minutes)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": target, "RoleArn": ROLE, "Input": "{}"},
    }
    try:
        scheduler.create_schedule(Name="sparkplane-sweep", **wanted)
    except scheduler.exceptions.ConflictException:
        scheduler.update_schedule(Name="sparkplane-sweep", **wanted)
