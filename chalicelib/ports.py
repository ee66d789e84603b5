"""What services need of the world, as protocols. `aws/` implements them; unit tests bring fakes.

The store is a set of records with optimistic versions. A service reads with one `fetch`, computes new records purely,
and writes them with one `commit` that takes effect whole or not at all; a `Clash` means that something it read has
changed, so it reads again. All concurrency in Sparkplane rests on this.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from chalicelib.core.capacity import Amount, Ledger
from chalicelib.core.eventlogs import IDLE_MS
from chalicelib.core.ids import sort_text
from chalicelib.core.model import (
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
    Pipeline,
    PipelineName,
    Pool,
    QueueRow,
    Report,
    Run,
    RunKind,
    SecretScope,
    SecretScopes,
    SecretValue,
    Token,
    Upload,
    User,
    Waiter,
    WorkspaceObject,
)
from chalicelib.core.policy import Outcome
from chalicelib.core.states import RunState

Record = (
    Run
    | Job
    | JobActivity
    | JobTally
    | Pool
    | Ledger
    | QueueRow
    | Hold
    | Idempotency
    | Token
    | User
    | Departed
    | Deployment
    | Event
    | FeedHead
    | FeedMark
    | Waiter
    | Report
    | Pipeline
    | PipelineName
    | Upload
    | Move
    | WorkspaceObject
    | SecretScopes
    | SecretScope
    | SecretValue
    | Notice
    | Destination
)
R = TypeVar("R")

KEY_FIELDS: dict[type, tuple[str, ...]] = {
    Run: ("workspace", "id"),
    Job: ("workspace", "id"),
    JobActivity: ("workspace", "job"),
    JobTally: ("workspace",),
    Pool: ("workspace", "name"),
    Ledger: ("cluster",),
    QueueRow: ("cluster", "workspace", "pool", "ready_at", "run"),
    Hold: ("cluster", "workspace", "run"),
    Idempotency: ("workspace", "token"),
    Token: ("workspace", "digest"),
    User: ("workspace", "name"),
    Departed: ("workspace",),
    Deployment: (),
    Event: ("workspace", "sequence"),
    FeedHead: ("workspace",),
    FeedMark: ("workspace", "run"),
    Waiter: ("workspace", "run"),
    Report: ("workspace", "run"),
    Pipeline: ("workspace", "id"),
    PipelineName: ("workspace", "name"),
    Upload: ("workspace", "handle"),
    Move: ("workspace", "source"),
    WorkspaceObject: ("workspace", "parent", "name"),
    SecretScopes: ("workspace",),
    SecretScope: ("workspace", "id"),
    SecretValue: ("workspace", "scope", "key"),
    Notice: ("workspace", "subject", "event", "channel", "target"),
    Destination: ("workspace", "id"),
}
"""What identifies a record of each type."""


@dataclass(frozen=True, slots=True)
class Key:
    """The identity of one record."""

    type: type
    parts: tuple[str | int, ...]


def key(type: type, *parts: str | int) -> Key:
    """The key of a record of this type; `parts` as in KEY_FIELDS."""
    if len(parts) != len(KEY_FIELDS[type]):
        raise ValueError(f"{type.__name__} is keyed by {KEY_FIELDS[type]}")
    return Key(type, parts)


def key_of(record: Record) -> Key:
    """The key of a record."""
    return Key(type(record), tuple(getattr(record, name) for name in KEY_FIELDS[type(record)]))


@dataclass(frozen=True, slots=True)
class Put:
    """Write the record, if the stored version is still `record.version` (0: if there is none). The store adds one."""

    record: Record


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the record, if it is there with this version."""

    record: Record


@dataclass(frozen=True, slots=True)
class Check:
    """Write nothing, but only if the record is there with this version."""

    record: Record


@dataclass(frozen=True, slots=True)
class Release:
    """Take an amount off what a pool uses in a ledger, whatever the ledger's version; raises the version by one."""

    cluster: str
    pool: str
    amount: Amount


Change = Put | Delete | Check | Release


class Clash(Exception):
    """A commit did not take effect, because these records were not as expected. Read again."""

    def __init__(self, keys: Collection[Key]) -> None:
        super().__init__(", ".join(f"{k.type.__name__}{k.parts}" for k in keys))
        self.keys = frozenset(keys)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list that the store keeps in order: its name, the type it holds, and what it is a list of."""

    name: str
    type: type
    parts: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a listing. `next` is the position to go on from, empty at the end."""

    records: tuple[Any, ...]
    next: str = ""


def runs_of_workspace(workspace: str, kind: RunKind) -> Listing:
    """All runs of a kind, by id."""
    return Listing("runs", Run, (workspace, kind))


def active_runs(workspace: str, kind: RunKind) -> Listing:
    """The runs that have not ended, by id."""
    return Listing("active", Run, (workspace, kind))


def runs_of_job(workspace: str, job: int) -> Listing:
    """A job's runs, by id."""
    return Listing("job", Run, (workspace, job))


def runs_of_pool(workspace: str, pool: str, kind: RunKind) -> Listing:
    """A pool's runs of a kind, by id."""
    return Listing("pool", Run, (workspace, pool, kind))


def runs_in_state(workspace: str, pool: str, kind: RunKind, state: RunState) -> Listing:
    """A pool's runs of a kind in one state, by id."""
    return Listing("state", Run, (workspace, pool, kind, state))


def jobs_of_workspace(workspace: str) -> Listing:
    """All saved jobs, by id."""
    return Listing("jobs", Job, (workspace,))


def pipelines_of(workspace: str) -> Listing:
    """All pipelines, by id."""
    return Listing("pipelines", Pipeline, (workspace,))


def scheduled_jobs(workspace: str) -> Listing:
    """The saved jobs with a schedule that is not paused, by id."""
    return Listing("scheduled", Job, (workspace,))


def queue_of(cluster: str, workspace: str, pool: str) -> Listing:
    """A pool's queue, by the instant from which a run may start."""
    return Listing("queue", QueueRow, (cluster, workspace, pool))


def queues_of(cluster: str) -> Listing:
    """All queues of a cluster, one after the other, each in the order of `queue_of`."""
    return Listing("queues", QueueRow, (cluster,))


def holds_of(cluster: str) -> Listing:
    """Every run that holds capacity in a cluster."""
    return Listing("holds", Hold, (cluster,))


def events_of(workspace: str) -> Listing:
    """A workspace's feed, by sequence number."""
    return Listing("feed", Event, (workspace,))


def children_of(workspace: str, path: str) -> Listing:
    """What is directly below a directory of the workspace's tree, by name."""
    return Listing("children", WorkspaceObject, (workspace, path))


def pending_notices(workspace: str) -> Listing:
    """The notices that are still to be sent, by what they are about."""
    return Listing("notices", Notice, (workspace,))


def destinations_of(workspace: str) -> Listing:
    """A workspace's destinations, by id."""
    return Listing("destinations", Destination, (workspace,))


def position(listing: Listing, record: Record) -> str:
    """Where a record stands in a listing: what `Page.next` is made of."""
    if isinstance(record, Notice):
        return f"{sort_text(record.subject)}#{record.event}#{record.channel}#{record.target}"
    if isinstance(record, Destination):
        return record.id
    if isinstance(record, QueueRow):
        lane = queue_lane(record.workspace, record.pool) if listing.name == "queues" else ""
        return f"{lane}{sort_text(record.ready_at)}#{sort_text(record.run)}"
    if isinstance(record, WorkspaceObject):
        return record.name
    if isinstance(record, Hold):
        return f"{record.workspace}#{sort_text(record.run)}"
    return sort_text(record.sequence if isinstance(record, Event) else record.id)  # type: ignore[union-attr, arg-type]


def queue_lane(workspace: str, pool: str) -> str:
    """What the positions in `queues_of` of one pool's rows begin with, and no other pool's. Unlike a workspace's name,
    a pool's may contain anything."""
    return f"{workspace}/{pool.replace('%', '%25').replace('#', '%23')}#"


def beyond(row: QueueRow) -> str:
    """The position in `queues_of` behind all rows of this one's pool."""
    return f"{queue_lane(row.workspace, row.pool)}~"


def key_at(listing: Listing, place: str) -> Key:
    """The key of the record at a position of a listing of runs, jobs or notices: `position` backwards."""
    if listing.type is Notice:
        subject, event, channel, target = place.split("#", 3)
        return key(Notice, listing.parts[0], int(subject), event, channel, target)
    return key(listing.type, listing.parts[0], int(place))


class Store(Protocol):
    """Records with versions, in one table. Reads are strongly consistent, except that a listing of runs or jobs may
    trail a write by a moment (`queue`, `holds`, `feed` and `children` never do)."""

    def fetch(self, keys: Collection[Key]) -> dict[Key, Any]:
        """The records that exist under these keys, in one round trip (per hundred keys)."""

    def commit(self, changes: Sequence[Change]) -> None:
        """Apply all changes or none, in one round trip. Raises Clash."""

    def page(self, listing: Listing, *, limit: int, after: str = "", newest_first: bool = True) -> Page:
        """Up to `limit` records of a listing, from just beyond the position `after`."""


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A stored body: its name, bytes, and when it was written (epoch milliseconds)."""

    name: str
    size: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class BlobPage:
    """Part of a listing of names, in their order: bodies, and the prefixes that stand for what is below them.
    `next` is the name to go on after, empty at the end."""

    blobs: tuple[BlobInfo, ...]
    prefixes: tuple[str, ...] = ()
    next: str = ""


class Blobs(Protocol):
    """Bodies and logs: named byte strings."""

    def __hash__(self) -> int:
        """Adapters are told apart by identity."""

    def put(self, name: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Store a body under a name, replacing what was there."""

    def get(self, name: str, *, offset: int = 0, limit: int = 0, tail: bool = False) -> bytes | None:
        """The body from a byte on (with `limit`, at most so many bytes; with `tail`, so many of its last), None if
        there is none; empty when it ends before `offset`."""

    def stat(self, name: str) -> BlobInfo | None:
        """What is known of a body, None if there is none."""

    def list(self, prefix: str, *, after: str = "", limit: int = 1000, delimiter: str = "") -> BlobPage:
        """Names below a prefix, in order, beyond `after`. With a delimiter, what has it beyond the prefix is told as
        one of `prefixes` (which end with it) instead."""

    def copy(self, source: str, target: str) -> None:
        """Store a body under another name too."""

    def copy_all(self, pairs: Mapping[str, str]) -> None:
        """`copy` for each source and target, several at a time; a source that has no body (any more) is passed over."""

    def delete(self, names: Collection[str]) -> None:
        """Remove bodies; no error for a name that has none."""

    def uri(self, name: str) -> str:
        """The s3:// URI of a name, for Spark."""

    def begin(self, name: str) -> str:
        """Begin to store a body in parts; returns the id of the attempt. Nothing is seen of it before `finish`."""

    def part(self, name: str, upload: str, number: int, body: bytes) -> bool:
        """Store a part (from 1 on; all but the last of at least 5 MiB), replacing one of that number. False when the
        attempt is unknown: finished, or given up."""

    def finish(self, name: str, upload: str, parts: int, size: int) -> bool:
        """Make a body of the parts 1 to `parts`, `size` bytes together. False when the attempt is unknown, or its parts
        are others."""

    def get_link(self, name: str, *, seconds: int, head: bool = False, disposition: str = "") -> str:
        """A URL by which anyone can read the body for a while, with a GET; with `head`, what is known of it, with a
        HEAD. `disposition` is the Content-Disposition that comes with it."""

    def put_link(self, name: str, *, seconds: int, size: int | None = None) -> str:
        """A URL by which anyone can write the body, with a PUT, for a while; with `size`, of exactly so many bytes."""


class Workflows(Protocol):
    """Executions of the run workflow, one for each (run, generation), and of the delivery of notices."""

    def start(self, run: Run) -> None:
        """Start the execution of the run's generation; a second start of the same is no error."""

    def alive(self, run: Run) -> bool:
        """Whether the execution of the run's generation is running."""

    def complete(self, token: str) -> None:
        """End the wait of the execution that waits with this task token: its driver is over. A token that nobody waits
        with is no error."""

    def wake(self, token: str) -> None:
        """Have the execution that waits with this task token look for itself, and wait anew. A token that nobody waits
        with is no error."""

    def notify(self, notice: Notice) -> None:
        """Start the delivery of the notice's generation; a second start of the same is no error."""

    def notifying(self, notice: Notice) -> bool:
        """Whether the delivery of the notice's generation is under way."""


class Timers(Protocol):
    """Rings at an instant: `dispatch` for a cluster, or a job's schedule."""

    def ring(self, cluster: str, at_ms: int) -> None:
        """Arrange the ring; arranging the same one twice is no error."""

    def arm(self, workspace: str, job: int, fire_ms: int) -> None:
        """Arrange that a job's fire is heard of when it is due (or at most a few minutes before, to be arranged again);
        it replaces what was arranged for the job."""

    def disarm(self, workspace: str, job: int) -> None:
        """Forget what was arranged for a job, if anything was."""

    def remind(self, workspace: str, run: int, at_ms: int) -> None:
        """Arrange that a run which may last too long is looked at; arranging the same twice is no error."""


class Undelivered(Exception):
    """A notice did not get through this time; trying again may help. `message` is for whoever reads why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Undeliverable(Undelivered):
    """A notice that can never get through as things stand."""


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail to one address, twice the same: as plain text and as HTML."""

    to: str
    subject: str
    text: str
    html: str


class Mailer(Protocol):
    """Sends e-mails in the deployment's name."""

    def send(self, mail: Mail) -> None:
        """Hand a mail over for delivery. Raises Undelivered."""


class Hooks(Protocol):
    """Posts to URLs that other people chose."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Post a body and return the answer's status; redirects are answers like others. Never reaches a network that
        is not the public one, nor speaks plain HTTP, unless the owner allows it. Raises Undelivered."""


@dataclass(frozen=True, slots=True)
class EngineJob:
    """A driver as the engine knows it. `state` is EMR's word; `name` is the run's external name. `outcome` is how the
    run ends with it, where the engine knows."""

    id: str
    name: str
    state: str
    details: str = ""
    failure: str = ""
    outcome: Outcome | None = None

    @property
    def ended(self) -> bool:
        """Whether the engine is done with it."""
        return self.state in {"COMPLETED", "FAILED", "CANCELLED"}


class EngineRefused(Exception):
    """The engine says that this request can never work; `message` is its reason. `outcome` is how the run ends then,
    where the engine knows."""

    def __init__(self, message: str, outcome: Outcome | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Launch:
    """What the engine is given: the run, the file that it executes, and what the bootstrap adds."""

    run: Run
    entry_point: str
    arguments: tuple[str, ...]
    py_files: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    jars: tuple[str, ...] = ()


class Engine(Protocol):
    """What carries runs out: EMR on EKS, and what `services.engines` puts in its place for runs without a driver."""

    def start(self, launch: Launch) -> str:
        """Ask for the run's driver and return the engine's id; idempotent by run. Raises EngineRefused."""

    def find(self, run: Run) -> EngineJob | None:
        """The driver that was asked for under the run's name, if any."""

    def describe(self, engine_id: str) -> EngineJob | None:
        """A driver by the engine's id, None when the engine does not know it."""

    def cancel(self, engine_id: str) -> None:
        """Ask for a driver's end; no error when it has ended or is unknown."""

    def live(self, clusters: Collection[str] = ()) -> list[EngineJob]:
        """All drivers that have not ended, in the deployment's virtual cluster and in these."""

    def log_root(self, run: Run) -> str:
        """What the names of the blobs with a run's logs begin with; below it they are called
        `<application>/<pod>/<stdout or stderr>`, and `.gz` if gzipped. The driver's pod ends with `-driver`."""

    def log_names(self, run: Run, stream: str) -> Sequence[str]:
        """The blob names that may hold the driver's `stdout` or `stderr`, gzipped."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """What a run's own web server answered: header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


RELAYED_MOST = 64_000_000
"""Bytes of an answer that a run's own web server can give: what the API's function has the memory to pass on."""


class Oversized(Exception):
    """A run's own web server answers with more than RELAYED_MOST bytes."""


class Unreachable(Exception):
    """A run's own web server cannot be asked; `message` says why. `later` tells whether trying again may help."""

    def __init__(self, message: str, *, later: bool) -> None:
        super().__init__(message)
        self.message = message
        self.later = later


class Relay(Protocol):
    """The way to the web server that some runs are (a history server), inside the cluster's network."""

    def get(self, run: Run, path: str, headers: Mapping[str, str]) -> Relayed:
        """GET a path, with its query, of the run's server; redirects are not followed. Raises Unreachable and
        Oversized."""


class Clock(Protocol):
    """The time."""

    def now(self) -> int:
        """Epoch milliseconds."""

    def pause(self, attempt: int) -> None:
        """Wait before an attempt at what clashed: not before the first (0), then longer each time, and at random, so
        that those who met do not meet again."""


class Dice(Protocol):
    """Randomness."""

    def bits(self, count: int) -> int:
        """A random integer of so many bits."""

    def text(self) -> str:
        """An unguessable text of 256 bits, URL-safe."""


class Secret(Protocol):
    """The deployment's own key."""

    def __call__(self) -> bytes:
        """32 bytes, the same for ever; kept after the first call."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an owner decides for a deployment (environment variables, in `wiring`)."""

    workspace: str = "main"
    cluster: str = "default"
    api_url: str = ""
    retention_days: int = 60
    uri_schemes: tuple[str, ...] = ("s3", "s3a", "https", "local")
    https_hosts: tuple[str, ...] = ()
    absolute_paths: str = "image"
    default_spark: str = "3.5"
    webhook_networks: tuple[str, ...] = ()
    max_active_runs: int = 1000
    max_jobs: int = 12_000
    max_made_in_hour: int = 10_000
    history_idle_ms: int = IDLE_MS

    @property
    def retention_ms(self) -> int:
        """How long what has ended is kept."""
        return self.retention_days * 86_400_000


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports together: the first argument of every service."""

    store: Store
    blobs: Blobs
    workflows: Workflows
    timers: Timers
    engine: Engine
    relay: Relay
    clock: Clock
    dice: Dice
    secret: Secret
    mailer: Mailer
    hooks: Hooks
    settings: Settings = Settings()
