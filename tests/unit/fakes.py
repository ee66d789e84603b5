"""Every port of `chalicelib.ports` in memory, for tests of services.

All calls of all fakes of one set pass one `Tripwire`, so that a test can kill a worker before or after its n-th call
to the outside, as a Lambda may be. The store is as strict as the table that it stands for: a transaction has at most a
hundred items and names each of them once, and a full page of a listing may be the last without saying so.
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import quote

from chalicelib.core.capacity import NOTHING, Ledger
from chalicelib.core.ids import external_name
from chalicelib.core.model import (
    Destination,
    Event,
    Hold,
    Job,
    Notice,
    NoticeStatus,
    Pipeline,
    QueueRow,
    Run,
    WorkspaceObject,
)
from chalicelib.core.notices import notice_id
from chalicelib.ports import (
    RELAYED_MOST,
    BlobInfo,
    BlobPage,
    Change,
    Check,
    Clash,
    Delete,
    EngineJob,
    EngineRefused,
    Key,
    Launch,
    Listing,
    Mail,
    Oversized,
    Page,
    Ports,
    Put,
    Record,
    Relayed,
    Release,
    Settings,
    Undelivered,
    Unreachable,
    key,
    key_of,
    position,
)

START_MS = 1_780_000_000_000
TRANSACTION_LIMIT = 100

F = TypeVar("F", bound=Callable[..., Any])


class Killed(BaseException):
    """The process ended here. Not an Exception: nothing in the product may catch it."""


@dataclass(eq=False)
class Tripwire:
    """Counts the calls that leave a worker, and kills it at one of them, or lets somebody else act just before one."""

    calls: int = 0
    at: int = 0
    after: bool = False
    visitor: Callable[[], None] | None = None

    def arm(self, at: int, *, after: bool) -> None:
        """Kill before (or after) the `at`-th call from now."""
        self.calls, self.at, self.after, self.visitor = 0, at, after, None

    def admit(self, at: int, visitor: Callable[[], None]) -> None:
        """Let somebody else act just before the `at`-th call from now: what another Lambda may do meanwhile."""
        self.calls, self.at, self.after, self.visitor = 0, at, False, visitor

    def disarm(self) -> None:
        """From now on nothing happens at any call."""
        self.calls, self.at, self.visitor = 0, 0, None

    @property
    def sprung(self) -> bool:
        """Whether what was arranged has happened."""
        return self.at == 0

    def entering(self) -> int:
        """Called before each call; returns its number."""
        self.calls += 1
        number = self.calls
        if number == self.at and not self.after:
            self.at = 0
            if self.visitor is None:
                raise Killed
            visitor, self.visitor = self.visitor, None
            visitor()
        return number

    def leaving(self, number: int) -> None:
        """Called when a call has had its effect."""
        if number == self.at and self.after:
            self.at = 0
            raise Killed


def outside(method: F) -> F:
    """Mark a method as a call to the outside: it is counted, and a worker may be killed at it."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        number = self.tripwire.entering()
        self.counts[method.__name__] += 1
        result = method(self, *args, **kwargs)
        self.tripwire.leaving(number)
        return result

    return call  # type: ignore[return-value]


@dataclass(eq=False)
class Fake:
    """What all fakes have: the tripwire that they share, and how often each of their methods was called."""

    tripwire: Tripwire = field(default_factory=Tripwire)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Written:
    """One record's change in one commit: what the table's stream tells. A side is None when there is no image."""

    before: Any
    after: Any


@dataclass(eq=False)
class FakeStore(Fake):
    """The Store port. `on_commit` hears of every commit; `before_commit` is called between a read and its write."""

    records: dict[Key, Any] = field(default_factory=dict)
    on_commit: list[Callable[[Sequence[Written]], None]] = field(default_factory=list)
    before_commit: Callable[[Sequence[Change]], None] | None = None

    @outside
    def fetch(self, keys: Collection[Key]) -> dict[Key, Any]:
        return {k: self.records[k] for k in keys if k in self.records}

    @outside
    def commit(self, changes: Sequence[Change]) -> None:
        if self.before_commit:
            self.before_commit(changes)
        subjects = [_subject(change) for change in changes]
        if not 0 < len(subjects) <= TRANSACTION_LIMIT or len(set(subjects)) < len(subjects):
            raise AssertionError(f"a transaction that the table would refuse: {subjects}")
        failed = [k for k, change in zip(subjects, changes, strict=True) if not self._holds(k, change)]
        if failed:
            raise Clash(failed)
        pairs = [(k, c) for k, c in zip(subjects, changes, strict=True) if not isinstance(c, Check)]
        written = [self._write(k, change) for k, change in pairs]
        for listener in self.on_commit:
            listener(written)

    def _holds(self, k: Key, change: Change) -> bool:
        stored = self.records.get(k)
        if isinstance(change, Put):
            return (stored.version if stored else 0) == change.record.version
        if isinstance(change, Delete | Check):
            return stored is not None and stored.version == change.record.version
        return stored is not None

    def _write(self, k: Key, change: Change) -> Written:
        before = self.records.get(k)
        if isinstance(change, Delete):
            del self.records[k]
            return Written(before, None)
        after: Any
        if isinstance(change, Put):
            after = replace(change.record, version=change.record.version + 1)
        else:
            assert isinstance(before, Ledger)
            released = before.hold(change.pool, NOTHING - change.amount)
            after = replace(released, version=before.version + 1)
        self.records[k] = after
        return Written(before, after)

    @outside
    def page(self, listing: Listing, *, limit: int, after: str = "", newest_first: bool = True) -> Page:
        assert limit > 0
        rows = [(position(listing, r), r) for r in self.all(listing.type) if _listed(listing, r)]
        rows.sort(key=lambda row: row[0], reverse=newest_first)
        if after:
            rows = [row for row in rows if (row[0] < after if newest_first else row[0] > after)]
        taken = rows[:limit]
        return Page(tuple(r for _, r in taken), taken[-1][0] if len(taken) == limit else "")

    def all(self, type: type) -> list[Any]:
        """All records of a type, in no order; for assertions."""
        return [r for r in self.records.values() if isinstance(r, type)]

    def get(self, type: type, *parts: str | int) -> Any:
        """A record, or None; for assertions."""
        return self.records.get(key(type, *parts))

    def seed(self, *records: Record) -> None:
        """Put records in place as a commit would, unheard and uncounted."""
        for record in records:
            self.records[key_of(record)] = replace(record, version=record.version + 1)

    def snapshot(self) -> dict[Key, Any]:
        """What is stored now: records are immutable, so a copy of the dict will do."""
        return dict(self.records)


def _subject(change: Change) -> Key:
    return key(Ledger, change.cluster) if isinstance(change, Release) else key_of(change.record)


def _listed(listing: Listing, r: Any) -> bool:
    if isinstance(r, Run):
        columns: dict[str, tuple[Any, ...]] = {
            "runs": (r.workspace, r.spec.kind),
            "active": (r.workspace, r.spec.kind),
            "job": (r.workspace, r.job),
            "pool": (r.workspace, r.spec.pool, r.spec.kind),
            "state": (r.workspace, r.spec.pool, r.spec.kind, r.state),
        }
        return columns[listing.name] == listing.parts and not r.hidden and not (listing.name == "active" and r.ended)
    if isinstance(r, Pipeline):
        return (r.workspace,) == listing.parts
    if isinstance(r, QueueRow):
        return (r.cluster, r.workspace, r.pool)[: len(listing.parts)] == listing.parts
    if isinstance(r, WorkspaceObject):
        return (r.workspace, r.parent) == listing.parts
    if isinstance(r, Hold):
        return (r.cluster,) == listing.parts
    if isinstance(r, Notice):
        return (r.workspace,) == listing.parts and r.status is NoticeStatus.PENDING
    assert isinstance(r, Job | Event | Destination)
    if listing.name == "scheduled" and not (isinstance(r, Job) and r.schedule and not r.schedule.paused):
        return False
    return (r.workspace,) == listing.parts


@dataclass(eq=False)
class FakeBlobs(Fake):
    """The Blobs port."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    unfinished: dict[str, tuple[str, dict[int, bytes]]] = field(default_factory=dict)

    @outside
    def put(self, name: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        self.bodies[name] = body
        self.types[name] = content_type

    @outside
    def get(self, name: str, *, offset: int = 0, limit: int = 0, tail: bool = False) -> bytes | None:
        body = self.bodies.get(name)
        if body is None:
            return None
        if tail and limit:
            return body[-limit:]
        return body[offset : offset + limit] if limit else body[offset:]

    @outside
    def stat(self, name: str) -> BlobInfo | None:
        return BlobInfo(name, len(self.bodies[name]), START_MS) if name in self.bodies else None

    @outside
    def list(self, prefix: str, *, after: str = "", limit: int = 1000, delimiter: str = "") -> BlobPage:
        found: dict[str, bool] = {}
        for name in sorted(self.bodies):
            if name.startswith(prefix) and name > after:
                head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
                found[f"{prefix}{head}{cut}" if cut else name] = bool(cut)
        page, more = list(found)[:limit], len(found) > limit
        blobs = tuple(BlobInfo(name, len(self.bodies[name]), START_MS) for name in page if not found[name])
        last = f"{page[-1]}\U0010ffff" if more and found[page[-1]] else page[-1] if more else ""
        return BlobPage(blobs, tuple(name for name in page if found[name]), last)

    @outside
    def copy(self, source: str, target: str) -> None:
        self.bodies[target] = self.bodies[source]

    @outside
    def delete(self, names: Collection[str]) -> None:
        for name in names:
            self.bodies.pop(name, None)

    def copy_all(self, pairs: Mapping[str, str]) -> None:
        for source, target in pairs.items():
            if source in self.bodies:
                self.copy(source, target)

    @outside
    def begin(self, name: str) -> str:
        self.unfinished[id := f"upload-{len(self.unfinished)}"] = (name, {})
        return id

    @outside
    def part(self, name: str, upload: str, number: int, body: bytes) -> bool:
        told, parts = self.unfinished.get(upload, ("", {}))
        if told != name:
            return False
        parts[number] = body
        return True

    @outside
    def finish(self, name: str, upload: str, parts: int, size: int) -> bool:
        told, stored = self.unfinished.get(upload, ("", {}))
        bodies = [stored.get(number) for number in range(1, parts + 1)]
        if told != name or None in bodies or sum(len(one or b"") for one in bodies) != size:
            return False
        assert all(len(one or b"") >= 5 << 20 for one in bodies[:-1]), "a part that S3 would refuse"
        self.bodies[name] = b"".join(one or b"" for one in bodies)
        self.unfinished[upload] = ("", {})
        return True

    def get_link(self, name: str, *, seconds: int, head: bool = False, disposition: str = "") -> str:
        told = f"&disposition={quote(disposition)}" if disposition else ""
        return f"https://blobs.example/{name}?{'head' if head else 'get'}={seconds}{told}"

    def put_link(self, name: str, *, seconds: int, size: int | None = None) -> str:
        return f"https://blobs.example/{name}?put={seconds}&size={size or 0}"

    def uri(self, name: str) -> str:
        return f"s3://bucket/{name}"


@dataclass(eq=False)
class Execution:
    """An execution of the run workflow: where it stands, and what it waits for (`infra.workflow`)."""

    workspace: str
    run: int
    generation: int
    patience: int
    state: str = "Launch"
    token: str = ""
    times_out_at: int = 0

    @property
    def ended(self) -> bool:
        """Whether it is over, one way or another."""
        return self.state in {"Done", "Lost"}


@dataclass(eq=False)
class Delivery:
    """An execution of the notify machine: how often it tried, and whether it is over."""

    notice: Notice
    tries: int = 0
    fault: str = ""
    ended: bool = False


@dataclass(eq=False)
class FakeWorkflows(Fake):
    """The Workflows port: it records executions; whoever plays the cloud moves them. Names stay taken for ever."""

    executions: dict[tuple[str, int, int], Execution] = field(default_factory=dict)
    deliveries: dict[tuple[str, int], Delivery] = field(default_factory=dict)
    completed: list[str] = field(default_factory=list)

    @outside
    def start(self, run: Run) -> None:
        from chalicelib.core.policy import first_patience

        name = (run.workspace, run.id, run.generation)
        self.executions.setdefault(name, Execution(*name, patience=first_patience(run)))

    @outside
    def alive(self, run: Run) -> bool:
        execution = self.executions.get((run.workspace, run.id, run.generation))
        return execution is not None and not execution.ended

    @outside
    def complete(self, token: str) -> None:
        self.completed.append(token)
        for execution in self.executions.values():
            if execution.token == token and not execution.ended:
                execution.state, execution.token = "Done", ""

    @outside
    def wake(self, token: str) -> None:
        for execution in self.executions.values():
            if execution.token == token and not execution.ended:
                execution.state, execution.token = "Check", ""

    @outside
    def notify(self, notice: Notice) -> None:
        name = (notice_id(notice), notice.generation)
        self.deliveries.setdefault(name, Delivery(notice))

    @outside
    def notifying(self, notice: Notice) -> bool:
        delivery = self.deliveries.get((notice_id(notice), notice.generation))
        return delivery is not None and not delivery.ended

    def lose(self, execution: Execution) -> None:
        """The execution dies without a word."""
        execution.state, execution.token = "Lost", ""

    def live(self) -> list[Execution]:
        """The executions that have not ended."""
        return [e for e in self.executions.values() if not e.ended]


@dataclass(eq=False)
class FakeClock:
    """The Clock port, moved by hand."""

    time: int = START_MS

    def now(self) -> int:
        return self.time

    def advance(self, ms: int) -> None:
        """Time passes."""
        self.time += ms

    def pause(self, attempt: int) -> None:
        """No time passes: who waits for others lets nobody in here."""


NEAR_MS = 120_000
AHEAD_MS = 60_000


@dataclass(eq=False)
class FakeTimers(Fake):
    """The Timers port, with the ways of `aws.workflows.StepTimers`: a fire that is near is waited for under a name that
    is taken for ever; of what is far there is one entry a job, which rings a minute ahead."""

    clock: FakeClock = field(default_factory=FakeClock)
    rings: set[tuple[str, int]] = field(default_factory=set)
    entries: dict[tuple[str, int], int] = field(default_factory=dict)
    waits: set[tuple[str, int, int]] = field(default_factory=set)
    names: set[tuple[str, int, int]] = field(default_factory=set)
    reminders: set[tuple[int, str, int]] = field(default_factory=set)
    reminded: set[tuple[str, int, int]] = field(default_factory=set)

    @outside
    def ring(self, cluster: str, at_ms: int) -> None:
        self.rings.add((cluster, at_ms))

    @outside
    def arm(self, workspace: str, job: int, fire_ms: int) -> None:
        if fire_ms - self.clock.now() > NEAR_MS:
            self.entries[workspace, job] = fire_ms
        elif (workspace, job, fire_ms) not in self.names:
            self.names.add((workspace, job, fire_ms))
            self.waits.add((workspace, job, fire_ms))

    @outside
    def disarm(self, workspace: str, job: int) -> None:
        self.entries.pop((workspace, job), None)

    @outside
    def remind(self, workspace: str, run: int, at_ms: int) -> None:
        if (workspace, run, at_ms) not in self.reminded:
            self.reminded.add((workspace, run, at_ms))
            self.reminders.add((at_ms, workspace, run))

    def fires(self) -> list[tuple[int, tuple[str, int, int]]]:
        """What will ring, the soonest first: the instant, and what it is about."""
        far = [(fire - AHEAD_MS, (*job, fire)) for job, fire in self.entries.items()]
        return sorted([*far, *((wait[2], wait) for wait in self.waits)])

    def rang(self, at: int, about: tuple[str, int, int]) -> None:
        """The ring at an instant has been heard; what was arranged upon it stays."""
        if at == about[2]:
            self.waits.discard(about)
        elif self.entries.get(about[:2]) == about[2]:
            del self.entries[about[:2]]


NEXT_STATE = {"PENDING": "SUBMITTED", "SUBMITTED": "RUNNING", "RUNNING": "COMPLETED", "CANCEL_PENDING": "CANCELLED"}


@dataclass(eq=False)
class FakeEngine(Fake):
    """The Engine port. `heard_of` queues the ids whose state changed, for whoever delivers the engine's events.

    With `remembers=False` a second request for the same run is a second driver: then only asking `find` first can
    prevent two of them, which is what the product does for the time after a client token lapses.
    """

    drivers: dict[str, EngineJob] = field(default_factory=dict)
    launches: list[Launch] = field(default_factory=list)
    heard_of: list[str] = field(default_factory=list)
    remembers: bool = True
    refuses: Callable[[Launch], str] = lambda launch: ""
    logs: dict[tuple[str, str], Sequence[str]] = field(default_factory=dict)

    @outside
    def start(self, launch: Launch) -> str:
        if reason := self.refuses(launch):
            raise EngineRefused(reason)
        name = external_name(launch.run.workspace, launch.run.id)
        same = [job.id for job in self.drivers.values() if job.name == name]
        if same and self.remembers:
            return same[0]
        self.launches.append(launch)
        id = f"cluster/driver-{len(self.drivers) + 1}"
        self.drivers[id] = EngineJob(id, name, "PENDING")
        return id

    @outside
    def find(self, run: Run) -> EngineJob | None:
        return next(iter(self.drivers_of(run)), None)

    @outside
    def describe(self, engine_id: str) -> EngineJob | None:
        return self.drivers.get(engine_id)

    @outside
    def cancel(self, engine_id: str) -> None:
        job = self.drivers.get(engine_id)
        if job is not None and not job.ended:
            self.become(engine_id, "CANCEL_PENDING")

    @outside
    def live(self, clusters: Collection[str] = ()) -> list[EngineJob]:
        return [job for job in self.drivers.values() if not job.ended]

    @outside
    def log_root(self, run: Run) -> str:
        return f"{run.workspace}/logs/{run.engine_id}/containers/"

    def log_names(self, run: Run, stream: str) -> Sequence[str]:
        return self.logs.get((external_name(run.workspace, run.id), stream), ())

    def drivers_of(self, run: Run) -> list[EngineJob]:
        """All drivers that were ever started under the run's name; for assertions."""
        return [job for job in self.drivers.values() if job.name == external_name(run.workspace, run.id)]

    def become(self, engine_id: str, state: str, *, failure: str = "", details: str = "") -> None:
        """A driver changes its state, and the engine says so. One that has ended stays as it is, and of one that is to
        be cancelled only its end is heard."""
        job = self.drivers[engine_id]
        to_be_cancelled = job.state == "CANCEL_PENDING" and state in {"SUBMITTED", "RUNNING"}
        if not job.ended and job.state != state and not to_be_cancelled:
            self.drivers[engine_id] = replace(job, state=state, failure=failure, details=details)
            self.heard_of.append(engine_id)

    def progress(self, engine_id: str) -> None:
        """A driver goes one step on along its good way (or, when asked to, to its end)."""
        job = self.drivers[engine_id]
        if not job.ended:
            self.become(engine_id, NEXT_STATE[job.state])

    def forget(self, engine_id: str) -> None:
        """The engine no longer knows a driver."""
        del self.drivers[engine_id]


@dataclass(eq=False)
class FakeMailer(Fake):
    """The Mailer port: mails that were sent, and whom it refuses."""

    sent: list[Mail] = field(default_factory=list)
    refuses: Callable[[Mail], Undelivered | None] = lambda mail: None

    @outside
    def send(self, mail: Mail) -> None:
        if fault := self.refuses(mail):
            raise fault
        self.sent.append(mail)


@dataclass(frozen=True)
class Posted:
    """A body that was posted."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(eq=False)
class FakeHooks(Fake):
    """The Hooks port: what was posted, and what is answered."""

    posted: list[Posted] = field(default_factory=list)
    answers: Callable[[Posted], int] = lambda posted: 200

    @outside
    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        posted = Posted(url, dict(headers), body)
        status = self.answers(posted)
        self.posted.append(posted)
        return status


class FakeDice:
    """The Dice port: the same throws every time; `loaded` throws come first."""

    def __init__(self, loaded: Iterable[int] = ()) -> None:
        self._random = random.Random(7)
        self.loaded = list(loaded)

    def bits(self, count: int) -> int:
        return self.loaded.pop(0) if self.loaded else self._random.getrandbits(count)

    def text(self) -> str:
        return f"{self._random.getrandbits(256):064x}"


@dataclass(eq=False)
class FakeRelay:
    """The Relay port: answers by path, and what was asked; a path that it does not know is not answered."""

    answers: dict[str, Relayed] = field(default_factory=dict)
    asked: list[tuple[int, str, dict[str, str]]] = field(default_factory=list)
    routed: bool = True

    def get(self, run: Run, path: str, headers: Mapping[str, str]) -> Relayed:
        self.asked.append((run.id, path, dict(headers)))
        if not self.routed:
            raise Unreachable("There is no way.", later=False)
        if path not in self.answers:
            raise Unreachable("Not yet.", later=True)
        if len(self.answers[path].body) > RELAYED_MOST:
            raise Oversized
        return self.answers[path]


SECRET = bytes(range(32))


@dataclass(eq=False)
class World:
    """One set of fakes, and the ports made of them."""

    settings: Settings = Settings()
    tripwire: Tripwire = field(default_factory=Tripwire)
    clock: FakeClock = field(default_factory=FakeClock)
    dice: FakeDice = field(default_factory=FakeDice)

    def __post_init__(self) -> None:
        self.store = FakeStore(self.tripwire)
        self.blobs = FakeBlobs(self.tripwire)
        self.workflows = FakeWorkflows(self.tripwire)
        self.timers = FakeTimers(self.tripwire, clock=self.clock)
        self.engine = FakeEngine(self.tripwire)
        self.mailer = FakeMailer(self.tripwire)
        self.hooks = FakeHooks(self.tripwire)
        self.relay = FakeRelay()
        self.ports = Ports(
            store=self.store,
            blobs=self.blobs,
            workflows=self.workflows,
            timers=self.timers,
            engine=self.engine,
            relay=self.relay,
            clock=self.clock,
            dice=self.dice,
            secret=lambda: SECRET,
            mailer=self.mailer,
            hooks=self.hooks,
            settings=self.settings,
        )


def ports(settings: Settings = Settings()) -> Ports:
    """Ports made of fresh fakes, for tests that look at nothing but answers."""
    return World(settings).ports
