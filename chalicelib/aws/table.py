"""The table's layout: every key, every index, every list. Reading this page tells which access patterns there are.

One table; a record is an item {pk, sk, kind, version, doc, …}. `doc` is the record's JSON (a run's is `deflated`);
other attributes exist only where DynamoDB itself needs them (indexes, stream filters, TTL).

| record | pk | sk | read by |
|---|---|---|---|
| Run | `<ws>#run#<run>` | `run` | id |
| Job | `<ws>#job#<job>` | `job` | id |
| JobActivity | `<ws>#job#<job>` | `activity` | id, together with the job |
| JobTally | `<ws>#jobs` | `tally` | workspace |
| Pool | `<ws>#pool#<name>` | `pool` | name |
| Pipeline | `<ws>#pipelines` | `<pipeline>` | workspace, by id; id |
| PipelineName | `<ws>#pipeline#<name>` | `name` | name |
| Idempotency | `<ws>#once#<token>` | `once` | the caller's token |
| Token | `<ws>#token#<digest>` | `token` | digest of the text |
| User | `<ws>#user#<name>` | `user` | name |
| Departed | `<ws>#departed` | `departed` | workspace, with each token |
| FeedHead | `<ws>#feed` | `head` | workspace |
| Event | `<ws>#feed` | `event#<sequence>` | workspace, in order from a sequence number |
| FeedMark | `<ws>#run#<run>` | `mark` | id |
| Waiter | `<ws>#run#<run>` | `waiter` | id, with the run |
| Report | `<ws>#run#<run>` | `report` | id, with the run |
| WorkspaceObject | `<ws>#tree#<directory>` | `<name>` | path, and directory by name |
| SecretScopes | `<ws>#secrets` | `scopes` | workspace |
| SecretScope | `<ws>#scope#<id>` | `scope` | id |
| SecretValue | `<ws>#scope#<scope>` | `secret#<key>` | scope and key |
| Notice | `<ws>#notice#<run or job>` | `<event>#<channel>#<target>` | all that it is; pending ones by the sweep |
| Destination | `<ws>#destinations` | `<id>` | id; workspace |
| Ledger | `#cluster#<cluster>` | `ledger` | cluster |
| QueueRow | `#queue#<cluster>` | `<ws>/<pool>#<ready at>#<run>` | cluster, pool by pool; pool, oldest first |
| Hold | `#holds#<cluster>` | `<ws>#<run>` | cluster (the sweep's recount), id |
| Upload | `<ws>#upload#<handle>` | `upload` | handle |
| Move | `<ws>#move#<source>` | `move` | the path that is moved |
| Deployment | `#deployment` | `deployment` |  |

A workspace's name has no `#` and is not empty, so the owner's own partitions (which begin with `#`) cannot be named.

Lists of runs and jobs are sparse indexes, each with one partition a list and the id as sort key. They project the
whole item, so that a page of a list is one query; a state change costs one small write an index.

| index | partition | lists |
|---|---|---|
| `by_kind` | `<ws>#<kind>` | all runs of a kind; with kind `JOB`, all saved jobs |
| `by_live` | `<ws>#<kind>` | runs that have not ended; with kind `JOB`, jobs whose schedule is not paused |
| `by_live` | `<ws>#NOTICE` | notices that are to be sent |
| `by_job` | `<ws>#<job>` | a job's runs |
| `by_pool` | `<ws>#<pool>#<kind>` | a pool's runs of a kind |
| `by_state` | `<ws>#<pool>#<kind>#<state>` | a pool's runs of a kind in one state: a filter chooses a partition |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.core.capacity import Ledger
from chalicelib.core.ids import sort_text
from chalicelib.core.model import (
    NO_JOB,
    Departed,
    Deployment,
    Destination,
    Event,
    FeedHead,
    FeedMark,
    Hold,
    Idempotency,
    Job,
    JobActivity,
    JobTally,
    Move,
    Notice,
    NoticeStatus,
    Pipeline,
    PipelineName,
    Pool,
    QueueRow,
    Report,
    Run,
    SecretScope,
    SecretScopes,
    SecretValue,
    Token,
    Upload,
    User,
    Waiter,
    WorkspaceObject,
)
from chalicelib.ports import Key, Listing, Record, pending_notices, position, queue_lane

INDEXES = ("by_kind", "by_live", "by_job", "by_pool", "by_state")
SORT = "id"
"""The sort key of every index: the run's or job's id as fixed-width text; a notice's begins with it."""

TTL = "expires"
"""Epoch seconds after which DynamoDB removes the item."""

KEYS: Mapping[type, tuple[str, str]] = {
    Run: ("{0}#run#{1}", "run"),
    Job: ("{0}#job#{1}", "job"),
    JobActivity: ("{0}#job#{1}", "activity"),
    JobTally: ("{0}#jobs", "tally"),
    Pool: ("{0}#pool#{1}", "pool"),
    Pipeline: ("{0}#pipelines", "{1:016d}"),
    PipelineName: ("{0}#pipeline#{1}", "name"),
    Idempotency: ("{0}#once#{1}", "once"),
    Token: ("{0}#token#{1}", "token"),
    User: ("{0}#user#{1}", "user"),
    Departed: ("{0}#departed", "departed"),
    FeedHead: ("{0}#feed", "head"),
    Event: ("{0}#feed", "event#{1:016d}"),
    FeedMark: ("{0}#run#{1}", "mark"),
    Waiter: ("{0}#run#{1}", "waiter"),
    Report: ("{0}#run#{1}", "report"),
    Upload: ("{0}#upload#{1}", "upload"),
    Move: ("{0}#move#{1}", "move"),
    WorkspaceObject: ("{0}#tree#{1}", "{2}"),
    SecretScopes: ("{0}#secrets", "scopes"),
    SecretScope: ("{0}#scope#{1}", "scope"),
    SecretValue: ("{0}#scope#{1}", "secret#{2}"),
    Notice: ("{0}#notice#{1}", "{2}#{3}#{4}"),
    Destination: ("{0}#destinations", "{1}"),
    Ledger: ("#cluster#{0}", "ledger"),
    QueueRow: ("#queue#{0}", "{lane}{3:016d}#{4:016d}"),
    Hold: ("#holds#{0}", "{1}#{2:016d}"),
    Deployment: ("#deployment", "deployment"),
}
"""Record type -> templates of pk and sk over the record's key fields (`ports.KEY_FIELDS`); `lane` is a pool's queue."""

TYPES: Mapping[str, type] = {cls.__name__: cls for cls in KEYS}


def item_key(key: Key) -> tuple[str, str]:
    """The (pk, sk) of a key."""
    pk, sk = KEYS[key.type]
    return pk.format(*key.parts), sk.format(*key.parts, lane=_lane(key.type, key.parts))


def _lane(type: type, parts: tuple[str | int, ...]) -> str:
    """What the sort keys of one pool's queue begin with; empty where there is no such thing."""
    return queue_lane(str(parts[1]), str(parts[2])) if type is QueueRow and len(parts) > 1 else ""


def _run_indexes(run: Run) -> dict[str, str]:
    if run.hidden:
        return {}
    scope, kind, pool = run.workspace, run.spec.kind, run.spec.pool
    live = {} if run.ended else {"by_live": f"{scope}#{kind}"}
    job = {} if run.job == NO_JOB else {"by_job": f"{scope}#{run.job}"}
    return {
        SORT: sort_text(run.id),
        "by_kind": f"{scope}#{kind}",
        "by_pool": f"{scope}#{pool}#{kind}",
        "by_state": f"{scope}#{pool}#{kind}#{run.state}",
        **live,
        **job,
    }


def _job_indexes(job: Job) -> dict[str, str]:
    fires = job.schedule is not None and not job.schedule.paused
    scheduled = {"by_live": f"{job.workspace}#JOB"} if fires else {}
    return {SORT: sort_text(job.id), "by_kind": f"{job.workspace}#JOB", **scheduled}


def _notice_indexes(notice: Notice) -> dict[str, str]:
    if notice.status is not NoticeStatus.PENDING:
        return {}
    listing = pending_notices(notice.workspace)
    return {SORT: position(listing, notice), "by_live": f"{notice.workspace}#NOTICE"}


INDEXED: Mapping[type, Callable[[Any], dict[str, str]]] = {
    Run: _run_indexes,
    Job: _job_indexes,
    Notice: _notice_indexes,
}


def stream_facts(record: Record) -> dict[str, str]:
    """What the stream's filters look at (`infra.triggers`): a run's state and intent."""
    return {"state": record.state, "intent": record.intent} if isinstance(record, Run) else {}


def expiry(record: Record, retention_days: int) -> int:
    """Epoch seconds of the record's end, 0 for never. Runs stay `retention_days` after they ended."""
    if isinstance(record, Run):
        return record.ended_at // 1000 + retention_days * 86_400 if record.ended else 0
    return getattr(record, "expires_at", 0) // 1000


LISTS: Mapping[str, tuple[str, str, str]] = {
    "runs": ("by_kind", "{0}#{1}", ""),
    "active": ("by_live", "{0}#{1}", ""),
    "job": ("by_job", "{0}#{1}", ""),
    "pool": ("by_pool", "{0}#{1}#{2}", ""),
    "state": ("by_state", "{0}#{1}#{2}#{3}", ""),
    "jobs": ("by_kind", "{0}#JOB", ""),
    "pipelines": ("", "{0}#pipelines", ""),
    "scheduled": ("by_live", "{0}#JOB", ""),
    "queue": ("", "#queue#{0}", "{lane}"),
    "queues": ("", "#queue#{0}", ""),
    "holds": ("", "#holds#{0}", ""),
    "feed": ("", "{0}#feed", "event#"),
    "children": ("", "{0}#tree#{1}", ""),
    "notices": ("by_live", "{0}#NOTICE", ""),
    "destinations": ("", "{0}#destinations", ""),
}
"""Listing -> its index (empty for the table itself), its partition, and the prefix of its sort keys."""


def list_partition(listing: Listing) -> tuple[str, str, str]:
    """The (index, partition value, sort prefix) of a listing."""
    index, template, prefix = LISTS[listing.name]
    return index, template.format(*listing.parts), prefix.format(lane=_lane(listing.type, listing.parts))


def definition(name: str) -> dict[str, Any]:
    """The table as CreateTable and CloudFormation both take it."""
    attributes = ["pk", "sk", SORT, *INDEXES]
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": a, "AttributeType": "S"} for a in attributes],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": index,
                "KeySchema": [{"AttributeName": index, "KeyType": "HASH"}, {"AttributeName": SORT, "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "ALL"},
            }
            for index in INDEXES
        ],
    }
