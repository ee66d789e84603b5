"""Records of every type, with all that they can hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chalicelib.core.capacity import Amount, Ledger, PoolAccount
from chalicelib.core.model import (
    Block,
    Channel,
    ContentFormat,
    Departed,
    Deployment,
    Destination,
    Event,
    FeedHead,
    FeedMark,
    Files,
    Hold,
    Idempotency,
    Job,
    JobActivity,
    JobTally,
    Language,
    Move,
    Notice,
    NoticeEvent,
    NoticeStatus,
    Notifications,
    ObjectType,
    Pipeline,
    PipelineName,
    Placement,
    Policy,
    Pool,
    Program,
    ProgramKind,
    QueueRow,
    Report,
    Revision,
    Role,
    Run,
    RunKind,
    RunSpec,
    SecretScope,
    SecretScopes,
    SecretValue,
    Size,
    Source,
    Token,
    Trigger,
    Upload,
    User,
    Waiter,
    WorkspaceObject,
)
from chalicelib.core.states import Intent, RunState
from chalicelib.ports import Record

SPEC = RunSpec(
    name='näme with "quotes" and ☃',
    program=Program(ProgramKind.JAR, "s3://b/a.jar", "com.example.Main", ("a", "", "--x=1"), {"p": "1"}),
    kind=RunKind.SESSION,
    pool="etl",
    existing_cluster="1021-013622-bused793",
    files=Files(jars=("s3://b/x.jar",), packages=("org:a:1",)),
    conf={"spark.a.b": "c"},
    environment={"A": "1"},
    size=Size(2, 2048, 3, 9, 4, 4096),
    spark_version="3.5",
    policy=Policy(1000, -1, 5, True),
    notifications=Notifications(
        {"on_start": ("a@example.com",)}, {"on_failure": ("id", "b")}, False, False, False, True, 9
    ),
    placement=Placement("vc", "role"),
    dialect="ilum",
    original={"nested": [{"a": None, "b": 1.5}], "empty": {}},
)
RUN = Run(
    workspace="main",
    id=42,
    spec=SPEC,
    created_by="alice",
    created_at=1_780_000_000_000,
    job=7,
    number_in_job=3,
    first_attempt=41,
    attempt=1,
    trigger=Trigger.RETRY,
    parent=40,
    depth=2,
    next_attempt=43,
    not_before=1_780_000_060_000,
    idempotency="once",
    state=RunState.TERMINATING,
    intent=Intent.TIME_OUT,
    report={"exit_code": 1, "error": {"type": "ValueError"}},
)
AMOUNT = Amount(1000, 2048, 0, 1)
RECORDS: list[Record] = [
    RUN,
    Job("main", 7, SPEC, "alice", 1_780_000_000_000, 5, {"name": "job", "n": 1}),
    JobActivity("main", 7, 3, frozenset({41, 42})),
    Waiter("main", 42, 2, "token", 1_790_000_000_000),
    Notice(
        "main",
        42,
        NoticeEvent.FAILURE,
        Channel.EMAIL,
        "a#b@example.com",
        5,
        7,
        "näme",
        3,
        1,
        "FAILED",
        "no",
        9,
        1,
        2,
        3,
        NoticeStatus.DEAD,
        "SES refused",
        2,
        1_790_000_000_000,
    ),
    Destination("main", "bf2fbd0a-4a05-4300-98a5-303fc8132233", "näme", "https://example.com/a?b=c", "alice", 5),
    Report("main", 42, {"exit_code": 3, "finished": True}, 1_790_000_000_000),
    Upload("main", 99, "/a/b", True, 17, "id", 2, (Block("n", 9),), True, 1_790_000_000_000),
    Move("main", "/a#b", "/c", 1_790_000_000_000),
    Pool("main", "etl", 1, "3.5", {"a": "b"}, Placement("vc", "role"), {"analytics_engine": {"x": 1}}, 2),
    Pipeline(
        "main",
        9,
        "p",
        "alice",
        1,
        (Source("/n", True), Source("s3://b/*.sql")),
        {"a": "b"},
        "c",
        "s",
        "s3://b/p",
        "etl",
        {"spark.a": "b"},
        Size(2),
        {"x": 1},
        2,
        (43, 42),
    ),
    PipelineName("main", "p#1", 9),
    Ledger(
        "default", AMOUNT, {"main/etl": PoolAccount(AMOUNT, Amount(1), 5, Amount(3, 4, 5, 6)), "b/c d": PoolAccount()}
    ),
    QueueRow("default", "main", "etl", 42, 1_780_000_000_000, AMOUNT),
    Hold("default", "main", 42, "etl", AMOUNT),
    Idempotency("main", "a#b/c", 42, True, 1_780_000_000_000),
    Token("main", "digest", "alice", Role.ADMIN, 1, 1_780_000_000_000, "laptop", "/v4/x"),
    User("main", "alice", Role.USER, 1, "scrypt$…"),
    Deployment("00ff"),
    WorkspaceObject(
        "main",
        "/Users/ä#b",
        "n ☃",
        42,
        ObjectType.NOTEBOOK,
        "alice",
        1,
        (
            Revision(2, "a", ContentFormat.SOURCE, 3, Language.SQL),
            Revision(4, "b", ContentFormat.RAW, 0),
        ),
        True,
    ),
    Departed("main", {"bob": 1, "b\u00f6rn": 2}),
    SecretScopes("main", ("a", "B")),
    SecretScope("main", "b", "B", "alice", 1, {"k": 2}, {"users": "READ"}),
    SecretValue("main", "b", "k", "eA==", False),
    Event("main", 9, 42, 3, 7, "etl", RunState.FAILED, 5, "EXIT_CODE", "no", 1_780_000_000_000),
    FeedHead("main", 9, {"FAILED": 2}, 3, 497_000, 5, -1),
    JobTally("main", 12, 497_000, 5),
    FeedMark("main", 42, 3, 1_780_000_000_000),
]


def run(number: int, **changes: Any) -> Run:
    """A run of a listing's test."""
    state = changes.pop("state", RunState.QUEUED)
    spec = replace(SPEC, kind=changes.pop("kind", RunKind.BATCH), pool=changes.pop("pool", "etl"))
    return Run("main", number, spec, "alice", number, state=state, job=changes.pop("job", 7), **changes)


def event(number: int) -> Event:
    """An event of the feed."""
    return Event("main", number, 1, number, 7, "etl", RunState.QUEUED, number)


def written(record: Any) -> Any:
    """The record as it is after its first write."""
    return replace(record, version=1)
