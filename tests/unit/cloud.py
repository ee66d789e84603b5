"""A cloud that a test plays move by move: the table's stream, the run workflow, the engine's events, timers, time.

It routes with the deployed filters (`infra.triggers`) and calls the deployed workers; `step` walks an execution along
`infra.workflow`. A worker that is killed or gives up is treated as AWS treats it: a stream's batch comes again, Launch
leads to Check, Check is retried. Every commit is watched for what may never happen, however workers race.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.aws.table import stream_facts
from chalicelib.core.capacity import NOTHING, Amount, Ledger, pool_key
from chalicelib.core.errors import Conflict
from chalicelib.core.model import (
    Event,
    Hold,
    JobActivity,
    Notice,
    NoticeStatus,
    Policy,
    Principal,
    Program,
    ProgramKind,
    QueueRow,
    Role,
    Run,
    RunSpec,
    Size,
)
from chalicelib.core.states import Intent, RunState, may_follow
from chalicelib.ports import Undelivered
from chalicelib.services.access import Call
from chalicelib.services.pools import ensure_pool
from chalicelib.services.submission import Request, Submitted, submit
from chalicelib.workers import execution as executions
from chalicelib.workers import stream as streams
from infra.triggers import STREAM_TRIGGERS
from tests.unit.fakes import Delivery, Execution, Killed, World, Written

CLUSTER = "default"
HOUR_MS = 3_600_000
TRIES = 13
"""How often the notify machine tries."""

STREAM_WORKERS: Mapping[str, Callable[..., Any]] = {
    "dispatch": streams.dispatch_worker,
    "follow": lambda ports, decode, event: streams.follow_worker(ports, decode, event, None),
}


def spec(
    name: str = "work", *, pool: str = "default", cores: int = 1, executors: int = 1, policy: Policy = Policy()
) -> RunSpec:
    """A Python program whose driver and executors have so many cores each."""
    size = Size(driver_cores=cores, executors=executors, executor_cores=cores)
    return RunSpec(name, Program(ProgramKind.PYTHON, "s3://bucket/main.py"), pool=pool, size=size, policy=policy)


def job_spec(job: int, policy: Policy = Policy()) -> RunSpec:
    """A program that runs a job and waits for it."""
    return RunSpec("parent", Program(ProgramKind.RUN_JOB, str(job)), policy=policy)


def runs(count: int, *, cores: int = 1 << 40) -> Amount:
    """A limit of so many concurrent runs."""
    return Amount(cores, 1 << 40, 1 << 40, count)


@dataclass
class Cloud(World):
    """A world in motion, with a pool `default`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.caller = Call(Principal("main", "alice", Role.ADMIN))
        self.queues: dict[str, list[Written]] = {trigger.function: [] for trigger in STREAM_TRIGGERS}
        self.history: list[tuple[int, int, RunState]] = []
        self.lost: set[tuple[int, int, RunState]] = set()
        self.store.on_commit.append(self._committed)
        ensure_pool(self.ports, "main", "default")

    # What the table's stream does.

    def _committed(self, written: Sequence[Written]) -> None:
        for change in written:
            self._watch(change)
            for trigger in STREAM_TRIGGERS:
                if any(_matches(pattern, change) for pattern in trigger.filters):
                    self.queues[trigger.function].append(change)

    def _watch(self, change: Written) -> None:
        before, after = change.before, change.after
        if isinstance(after, Run) and (before is None or before.state is not after.state):
            assert before is None or may_follow(before.state, after.state)
            self.history.append((after.id, after.version, after.state))
        if isinstance(after, Ledger) and isinstance(before, Ledger):
            for name, account in after.pools.items():
                grew = account.used - (before.pools[name].used if name in before.pools else NOTHING)
                given = zip(grew.vector(), account.room.vector(), after.free().vector(), strict=True)
                for amount, room, free in given:  # a limit below what is held stops only who asks more of that
                    assert amount <= 0 or room >= 0, f"{name} was given more than its maximum"
                    assert amount <= 0 or free >= 0, "the cluster was given more than it has"

    def deliver(self, function: str, count: int = 100, *, again: bool = False, first: int = 0) -> None:
        """Bring a batch of the stream's records to a function; with `again` they will come once more. A `first` above
        0 brings later records before earlier ones, as the shards of two tables' partitions might."""
        queue = self.queues[function]
        batch = queue[first : first + count]
        if not batch:
            return
        event = {"Records": [_record(number, change) for number, change in enumerate(batch)]}

        def work() -> None:
            if STREAM_WORKERS[function](self.ports, lambda image: image, event)["batchItemFailures"]:
                raise Conflict("part of the batch failed")

        if self._survives(work) and not again:
            done = {id(change) for change in batch}
            queue[:] = [change for change in queue if id(change) not in done]

    def _survives(self, work: Callable[[], Any]) -> bool:
        """Do a worker's work; False if it was killed, or gave up because others were quicker."""
        try:
            work()
            return True
        except (Killed, Conflict):
            return False

    # What the run workflow does.

    def step(self, execution: Execution) -> None:
        """Let an execution do the next thing that it can do now."""
        event = {"workspace": execution.workspace, "run": execution.run, "generation": execution.generation}
        if execution.state in {"Launch", "Watch"}:
            self._launch(execution, event)
        elif execution.state == "Check":
            self._survives(lambda: self._check(execution, {**event, "waited": execution.patience}))
        elif execution.state == "Waiting" and self.clock.now() >= execution.times_out_at:
            execution.state, execution.token = "Check", ""

    def _launch(self, execution: Execution, event: dict[str, Any]) -> None:
        token = f"{execution.run}.{execution.generation}#{self.tripwire.calls}.{self.clock.now()}.{id(event)}"
        execution.state, execution.token = "Waiting", token
        execution.times_out_at = self.clock.now() + execution.patience * 1000
        done = self._survives(
            lambda: executions.launch_worker(self.ports, {**event, "token": token, "waited": execution.patience})
        )
        if not done and execution.state == "Waiting":  # else the token was completed before the worker died
            execution.state, execution.token = "Check", ""

    def _check(self, execution: Execution, event: dict[str, Any]) -> None:
        told = executions.check_worker(self.ports, event)
        execution.patience = told["wait"] or execution.patience
        execution.state = "Done" if told["over"] else "Watch"

    def carry(self, delivery: Delivery) -> None:
        """Let the execution of a notice's delivery try once, or give up after the last try. (No time passes between
        tries.)"""
        notice = delivery.notice
        event = {name: getattr(notice, name) for name in ("workspace", "subject", "event", "channel", "target")}
        event["generation"] = notice.generation
        if delivery.tries < TRIES:
            delivery.tries += 1
            try:
                executions.notify_worker(self.ports, event)
                delivery.ended = True
            except (Killed, Undelivered) as fault:
                delivery.fault = json.dumps({"errorMessage": str(fault), "errorType": type(fault).__name__})
            return
        fault = {"Error": "Undelivered", "Cause": delivery.fault}
        delivery.ended = self._survives(lambda: executions.notify_worker(self.ports, {**event, "fault": fault}))

    def underway(self) -> list[Delivery]:
        """The deliveries that have not ended."""
        return [one for one in self.workflows.deliveries.values() if not one.ended]

    def ready(self) -> list[Execution]:
        """The executions that have something to do now."""
        now = self.clock.now()
        return [e for e in self.workflows.live() if e.state != "Waiting" or now >= e.times_out_at]

    # Everything else that happens by itself.

    def tell(self, *, lose: bool = False) -> None:
        """The engine's oldest untold event reaches its worker, or is lost."""
        id = self.engine.heard_of.pop(0)
        cluster, _, job = id.partition("/")
        event = {"detail": {"virtualClusterId": cluster, "id": job}}
        if not lose and not self._survives(lambda: executions.engine_event_worker(self.ports, event)):
            self.engine.heard_of.insert(0, id)

    def ring(self) -> None:
        """Timers that are due ring dispatch, and for fires."""
        for cluster, at in sorted(self.timers.rings):
            if at <= self.clock.now() and self._survives(
                lambda cluster=cluster: executions.ring_worker(self.ports, {"cluster": cluster})  # type: ignore[misc]
            ):
                self.timers.rings.discard((cluster, at))
        for reminder in sorted(self.timers.reminders):
            at, workspace, run = reminder
            event = {"workspace": workspace, "run": run}
            if at <= self.clock.now() and self._survives(lambda event=event: executions.ring_worker(self.ports, event)):  # type: ignore[misc]
                self.timers.reminders.discard(reminder)
        for at, about in self.timers.fires():
            if at <= self.clock.now() and self.fire(*about):
                self.timers.rang(at, about)

    def fire(self, workspace: str, job: int, instant: int) -> bool:
        """A fire of a job's schedule is brought; False when it will have to be brought again."""
        event = {"workspace": workspace, "job": job, "fire": instant}
        return self._survives(lambda: executions.ring_worker(self.ports, event))

    def sweep(self) -> None:
        """The hourly sweep."""
        self._survives(lambda: executions.sweep_worker(self.ports, {}))

    def play(self) -> None:
        """Let everything happen that can happen now, without a driver's progress and without time passing."""
        for _ in range(1000):
            due = [at for at, _ in self.timers.fires() if at <= self.clock.now()]
            due += [at for _, at in self.timers.rings if at <= self.clock.now()]
            due += [at for at, _, _ in self.timers.reminders if at <= self.clock.now()]
            if not (any(self.queues.values()) or self.engine.heard_of or self.ready() or self.underway() or due):
                return
            for function in self.queues:
                self.deliver(function)
            for execution in self.ready():
                self.step(execution)
            for delivery in self.underway():
                self.carry(delivery)
            while self.engine.heard_of:
                self.tell()
            self.ring()
        raise AssertionError("it does not come to rest")

    def progress(self) -> None:
        """Every driver goes one step on."""
        for job in list(self.engine.drivers.values()):
            if not job.ended:
                self.engine.progress(job.id)

    def pass_time(self, until: int) -> None:
        """Time passes up to an instant, and whatever is arranged for a fire rings when it should."""
        self.play()
        while (fires := self.timers.fires()) and fires[0][0] <= until:
            self.clock.time = max(self.clock.time, fires[0][0])
            self.play()
        self.clock.time = until
        self.play()

    def settle(self, rounds: int = 60) -> None:
        """Run everything to its end: drivers complete, hours pass, sweeps come round."""
        for _ in range(rounds):
            self.play()
            if not self.live() and all(job.ended for job in self.engine.drivers.values()):
                return
            for _ in range(6):  # a retry that begins on the way has time to end as well
                self.progress()
                self.play()
            self.clock.advance(HOUR_MS)
            self.sweep()
        self.play()

    # What tests do and look at.

    def submit(self, what: RunSpec | None = None, **request: Any) -> int:
        """Submit as alice; returns the run's id."""
        return self.submitted(what, **request).run

    def submitted(self, what: RunSpec | None = None, **request: Any) -> Submitted:
        """Submit as alice."""
        return submit(self.ports, self.caller, what or spec(), Request(**request))

    def run(self, id: int) -> Run:
        """A run as it is stored."""
        found = self.store.get(Run, "main", id)
        assert isinstance(found, Run)
        return found

    def state(self, id: int) -> RunState:
        """A run's state."""
        return self.run(id).state

    def driver(self, id: int) -> str:
        """The engine's id of a run's driver, of which there is one."""
        (job,) = self.engine.drivers_of(self.run(id))
        return job.id

    def running(self, what: RunSpec | None = None) -> int:
        """Submit a run and bring it to RUNNING; returns its id."""
        id = self.submit(what)
        self.play()
        for state in ("SUBMITTED", "RUNNING"):
            self.engine.become(self.driver(id), state)
        self.play()
        assert self.state(id) is RunState.RUNNING
        return id

    def live(self) -> list[Run]:
        """The runs that have not ended."""
        return [run for run in self.store.all(Run) if not run.ended]

    @property
    def ledger(self) -> Ledger:
        """The cluster's ledger."""
        found = self.store.get(Ledger, CLUSTER)
        assert isinstance(found, Ledger)
        return found

    def check_capacity(self) -> None:
        """The ledger is what the holds add up to, which is what the runs that hold capacity add up to."""
        by_hold: dict[str, Amount] = {}
        by_run: dict[str, Amount] = {}
        for hold in self.store.all(Hold):
            name = pool_key(hold.workspace, hold.pool)
            by_hold[name] = by_hold.get(name, NOTHING) + hold.amount
        for run in self.store.all(Run):
            if run.holding:
                name = pool_key(run.workspace, run.spec.pool)
                by_run[name] = by_run.get(name, NOTHING) + run.spec.amount()
        used = {name: account.used for name, account in self.ledger.pools.items() if account.used != NOTHING}
        assert used == by_hold == by_run

    def check_records(self) -> None:
        """Queue rows are the queued runs; jobs' counters are their live runs; no run has had two drivers."""
        queued = {run.id for run in self.store.all(Run) if run.state is RunState.QUEUED}
        assert {row.run for row in self.store.all(QueueRow)} == queued
        for activity in self.store.all(JobActivity):
            live = {run.id for run in self.live() if run.job == activity.job}
            assert activity.active == live
        names = [launch.run.id for launch in self.engine.launches]
        assert len(names) == len(set(names)), "a run was given two drivers"
        parents = [run.parent for run in self.store.all(Run) if run.parent and not run.attempt]
        assert len(parents) == len(set(parents)), "a run has made two others"

    def lose(self, function: str) -> None:
        """The oldest record of a stream's reader was tried too often, and went to the dead letters."""
        for change in self.queues[function][:1]:
            if function == "follow" and isinstance(change.after, Run):
                self.lost.add((change.after.id, change.after.version, change.after.state))
            self.queues[function].remove(change)

    def check_feed(self) -> None:
        """The feed has each state change once (but for those whose record was lost), each run's in order, numbered
        without gaps."""
        events: list[Event] = sorted(self.store.all(Event), key=lambda event: event.sequence)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        told = [(event.run, event.run_version, event.state) for event in events]
        assert len(told) == len(set(told))
        assert set(self.history) - self.lost <= set(told) <= set(self.history)
        for run in {run for run, _, _ in told}:
            versions = [version for r, version, _ in told if r == run]
            assert versions == sorted(versions)

    def check_strays(self) -> None:
        """The drivers of runs that have ended, or are to end, are over, or were asked to be."""
        for run in self.store.all(Run):
            if run.ended or run.intent is not Intent.NONE:
                for job in self.engine.drivers_of(run):
                    assert job.ended or job.state == "CANCEL_PENDING", f"{run.state} run left {job} behind"

    def check_over(self) -> None:
        """Everything has ended and nothing is left of it: no capacity held, no queue, no driver, no execution."""
        assert not self.live()
        self.check_capacity()
        self.check_records()
        assert not self.store.all(Hold) and not self.store.all(QueueRow)
        assert self.ledger.used() == NOTHING
        assert all(job.ended for job in self.engine.drivers.values()) and not self.workflows.live()
        self.check_feed()
        assert all(notice.status is not NoticeStatus.PENDING for notice in self.store.all(Notice))


def _record(number: int, change: Written) -> dict[str, Any]:
    images = {"OldImage": change.before, "NewImage": change.after, "SequenceNumber": str(number)}
    return {"dynamodb": {name: image for name, image in images.items() if image is not None}}


def _matches(pattern: Mapping[str, Any], change: Written) -> bool:
    """Whether a filter of `infra.triggers` lets a change through, as Lambda reads it."""
    name = "MODIFY" if change.before and change.after else "INSERT" if change.after else "REMOVE"
    if name not in pattern["eventName"]:
        return False
    images = {"OldImage": change.before, "NewImage": change.after}
    for side, wanted in pattern["dynamodb"].items():
        if images[side] is None:
            return False
        facts = {"kind": type(images[side]).__name__, **stream_facts(images[side])}
        for attribute, typed in wanted.items():
            choices = typed["S"]
            absent = {"exists": False} in choices
            if facts.get(attribute, None) not in choices and not (absent and attribute not in facts):
                return False
    return True
