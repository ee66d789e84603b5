"""What each function may do on AWS, and nothing more. The template's roles and the tests are made of this table.

A resource is a text for `Fn::Sub`. Some actions are named after something else than the call: a transaction needs the
actions of its parts; S3 answers "no such key" only to callers who may list the bucket; a job run that is started with
tags is tagged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.cfn import own_arn
from infra.functions import EVENT_DRIVEN, SCHEDULE_GROUP, dead_letters_id, log_group
from infra.triggers import STREAM_TRIGGERS


@dataclass(frozen=True, slots=True)
class Grant:
    """Actions on resources, where a condition holds (operator -> key -> text)."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


TABLE = "${Table.Arn}"
INDEXES = "${Table.Arn}/index/*"
STREAMS = "${Table.Arn}/stream/*"
BUCKET = "${Bucket.Arn}"
SPECS = "${Bucket.Arn}/*/runs/*/spec.json"
LAUNCH_FILES = "${Bucket.Arn}/*/runs/*/launch.py"
RESULTS = "${Bucket.Arn}/*/runs/*/results/*"
BUNDLES = "${Bucket.Arn}/driver/*"
LOGS = "${Bucket.Arn}/*/logs/*"
USER_FILES = "${Bucket.Arn}/*/dbfs/*"
UPLOADS = "${Bucket.Arn}/*/uploads/*"
NOTEBOOKS = "${Bucket.Arn}/*/runs/*/notebooks/*"
TREE_BODIES = "${Bucket.Arn}/*/workspace/*"
ANSWERS = "${Bucket.Arn}/*/answers/*"
EVENT_LOGS = "${Bucket.Arn}/*/events/*/"
"""The mark by which a pool's place for event logs is found as a directory."""
RUN_MACHINE = own_arn("states", "stateMachine:${AWS::StackName}-run")
RUN_EXECUTIONS = own_arn("states", "execution:${AWS::StackName}-run:*")
NOTIFY_MACHINE = own_arn("states", "stateMachine:${AWS::StackName}-notify")
NOTIFY_EXECUTIONS = own_arn("states", "execution:${AWS::StackName}-notify:*")
RING_MACHINE = own_arn("states", "stateMachine:${AWS::StackName}-ring")
SCHEDULES = own_arn("scheduler", f"schedule/{SCHEDULE_GROUP}/*")
SCHEDULE_ROLE = "${ScheduleRole.Arn}"
VIRTUAL_CLUSTER = own_arn("emr-containers", "/virtualclusters/${VirtualCluster}")
JOB_RUNS = f"{VIRTUAL_CLUSTER}/jobruns/*"
"""Job runs of the deployment's virtual cluster. What is allowed there is allowed too in those that the owner names for
pools, and with the execution roles that the owner names for pools (`roles` adds both)."""
DRIVER_ROLE = "${DriverRole.Arn}"

_READ = Grant(("dynamodb:GetItem", "dynamodb:BatchGetItem"), (TABLE,))
_WRITE = Grant(("dynamodb:PutItem",), (TABLE,))
_DELETE = Grant(("dynamodb:DeleteItem",), (TABLE,))
_RELEASE = Grant(("dynamodb:UpdateItem",), (TABLE,))
_WALK = Grant(("dynamodb:Query",), (TABLE,))
_LIST = Grant(("dynamodb:Query",), (INDEXES,))
_LIST_JOB = Grant(("dynamodb:Query",), ("${Table.Arn}/index/by_job",))
_LIST_LIVE = Grant(("dynamodb:Query",), ("${Table.Arn}/index/by_live",))
"""Lists of what is not over: jobs with schedules, notices to be sent."""
_READ_SPECS = Grant(("s3:GetObject",), (SPECS,))
_WRITE_SPECS = Grant(("s3:PutObject",), (SPECS,))
_READ_LOGS = Grant(("s3:GetObject",), (LOGS,))
_KEEP_RESULTS = Grant(("s3:GetObject", "s3:PutObject"), (RESULTS,))
"""Drivers store their runs' results by links that are signed in the API's name."""
_KEEP_TREE = (
    Grant(("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), (TREE_BODIES,)),
    Grant(("dynamodb:ConditionCheckItem",), (TABLE,)),
)
_LINK = Grant(("s3:PutObject", "s3:GetObject"), (NOTEBOOKS, ANSWERS))
"""Bodies too large for an answer; a link is worth what the one who made it may do."""

_MISS = Grant(("s3:ListBucket",), (BUCKET,))
_KEEP_FILES = Grant(
    ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListMultipartUploadParts"),
    (USER_FILES,),
)
_DELIVER = (_READ_LOGS, Grant(("s3:PutObject", "s3:DeleteObject"), (USER_FILES,)))
_LOOK_AT_DELIVERED = Grant(("s3:GetObject",), (USER_FILES,))
_KEEP_BLOCKS = Grant(("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), (UPLOADS,))
_SHIP = Grant(("s3:PutObject",), (LAUNCH_FILES, BUNDLES, EVENT_LOGS))
_START_RUN = Grant(("states:StartExecution",), (RUN_MACHINE,))
_START_RING = Grant(("states:StartExecution",), (RING_MACHINE,))
_START_NOTIFY = Grant(("states:StartExecution",), (NOTIFY_MACHINE,))
_LOOK_AT_DELIVERY = Grant(("states:DescribeExecution",), (NOTIFY_EXECUTIONS,))
_MAIL = Grant(("ses:SendEmail",), (own_arn("ses", "identity/*"),), {"StringEquals": {"ses:FromAddress": "${MailFrom}"}})
"""Whatever identity stands behind the deployment's sender: the address, or one of the domains above it."""

_LOOK_AT_EXECUTION = Grant(("states:DescribeExecution",), (RUN_EXECUTIONS,))
_ROUSE = Grant(("states:SendTaskFailure",), (RUN_MACHINE,))
"""Having an execution look for itself: its wait fails, which leads to Check."""

_WAKE = Grant(("states:SendTaskSuccess",), (RUN_MACHINE,))
_ARM = (
    _START_RING,
    Grant(("scheduler:CreateSchedule", "scheduler:UpdateSchedule"), (SCHEDULES,)),
    Grant(("iam:PassRole",), (SCHEDULE_ROLE,), {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}),
)
"""Arranging a fire: near, with an execution; far, with an entry that invokes `ring` by a role of its own."""

_DISARM = Grant(("scheduler:DeleteSchedule",), (SCHEDULES,))
_START_DRIVER = (
    Grant(
        ("emr-containers:StartJobRun",),
        (VIRTUAL_CLUSTER,),
        {"StringEquals": {"emr-containers:ExecutionRoleArn": DRIVER_ROLE}},
    ),
    Grant(("emr-containers:TagResource",), (JOB_RUNS,)),
)
_FIND_DRIVER = Grant(("emr-containers:ListJobRuns",), (VIRTUAL_CLUSTER,))
_LOOK_AT_DRIVER = Grant(("emr-containers:DescribeJobRun",), (JOB_RUNS,))
_STOP_DRIVER = Grant(("emr-containers:CancelJobRun",), (JOB_RUNS,))

_READ_STREAM = Grant(
    ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"), (STREAMS,)
)

_RECORDS = (_READ, _WRITE, _READ_SPECS, _MISS)
"""What reading and changing a run takes."""

_DISPATCH = (*_RECORDS, _DELETE, _WALK, _START_RING)
_FINISH = (*_RECORDS, *_DELIVER, _DELETE, _RELEASE, _WRITE_SPECS, _LOOK_AT_DRIVER)
_DRIVE = (*_FINISH, _LOOK_AT_DELIVERED, _SHIP, *_START_DRIVER, _FIND_DRIVER, _STOP_DRIVER)

GRANTS: Mapping[str, tuple[Grant, ...]] = {
    "api": (
        *_RECORDS,
        _KEEP_RESULTS,
        _DELETE,
        _WALK,
        _LIST,
        _WRITE_SPECS,
        _READ_LOGS,
        _KEEP_FILES,
        _KEEP_BLOCKS,
        *_KEEP_TREE,
        _LINK,
    ),
    "dispatch": (*_DISPATCH, _START_RUN),
    "follow": (
        *_RECORDS,
        _DELETE,
        _RELEASE,
        _WRITE_SPECS,
        _WAKE,
        _ROUSE,
        _LIST_JOB,
        _FIND_DRIVER,
        _STOP_DRIVER,
        _LOOK_AT_DRIVER,
        *_ARM,
        _DISARM,
        _START_NOTIFY,
    ),
    "launch": (*_DRIVE, _WAKE, _ROUSE),
    "check": _DRIVE,
    "engine_event": (*_FINISH, _STOP_DRIVER, _WAKE),
    "ring": (*_DISPATCH, *_ARM, _DISARM, _WRITE_SPECS, _START_NOTIFY),
    "notify": (_READ, _WRITE, _MAIL),
    "instance_resource": (_READ, _WRITE),
    "sweep": (
        *_DISPATCH,
        _RELEASE,
        *_ARM,
        _DISARM,
        _WRITE_SPECS,
        _LIST_LIVE,
        _START_RUN,
        _LOOK_AT_EXECUTION,
        _START_NOTIFY,
        _LOOK_AT_DELIVERY,
        _FIND_DRIVER,
        _LOOK_AT_DRIVER,
        _STOP_DRIVER,
    ),
}
"""What a function's own code calls."""

_STREAM_READERS = frozenset(trigger.function for trigger in STREAM_TRIGGERS)


def grants_of(function: str) -> tuple[Grant, ...]:
    """All that a function's role allows: its own calls, and those that Lambda makes in its name (logs, the stream, the
    dead letters of a stream; those of EventBridge's calls too)."""
    logs = own_arn("logs", f"log-group:{log_group(function)}:*")
    granted = (*GRANTS[function], Grant(("logs:CreateLogStream", "logs:PutLogEvents"), (logs,)))
    if function in _STREAM_READERS:
        granted += (_READ_STREAM,)
    if function in _STREAM_READERS or function in EVENT_DRIVEN:
        granted += (Grant(("sqs:SendMessage",), (f"${{{dead_letters_id(function)}.Arn}}",)),)
    return granted


_OWN = "${Bucket.Arn}/${Workspace}"

DRIVER_GRANTS = (
    Grant(("s3:GetObject",), (f"{_OWN}/runs/*/launch.py", BUNDLES)),
    Grant(("s3:PutObject",), (f"{_OWN}/logs/*",)),
    Grant(
        (
            "s3:GetObject",
            "s3:PutObject",
            "s3:DeleteObject",
            "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
        ),
        (f"{_OWN}/dbfs/*", f"{_OWN}/events/*", f"{_OWN}/pipelines/*"),
    ),
    Grant(("s3:ListBucket",), (BUCKET,), {"StringLike": {"s3:prefix": "${Workspace}/dbfs/*"}}),
    Grant(("s3:ListBucket",), (BUCKET,), {"StringLike": {"s3:prefix": "${Workspace}/events/*"}}),
    Grant(("s3:ListBucket",), (BUCKET,), {"StringLike": {"s3:prefix": "${Workspace}/pipelines/*"}}),
)
"""What Spark's drivers and executors may do with what is Sparkplane's: read their programs, write their logs, do as
they like with the workspace's files. What they need of the owner's own data comes with managed policies that the owner
names. Other execution roles that pools name need this one too: it is a managed policy of its own."""

DRIVER_DENIALS = (
    Grant(("dynamodb:*",), (TABLE, f"{TABLE}/*")),
    Grant(("s3:*",), (SPECS,)),
    Grant(("s3:PutObject", "s3:DeleteObject"), (LAUNCH_FILES, BUNDLES)),
)
"""What no policy that the owner adds can give them: the table, other people's specs, and what other drivers execute."""
