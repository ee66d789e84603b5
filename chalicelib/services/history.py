"""A pool's Spark history server: a run of kind HISTORY that reads the event logs which the pool's runs left behind.

There is one at most. The pool's record names it, and is written in the transaction that makes it, so two that start it
at once cannot both succeed. It dies like any run and is started again by its own retries; it ends when it is stopped,
or when nobody has asked it anything for its time-out, which counts from its last use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chalicelib.core.capacity import Ledger, pool_key
from chalicelib.core.errors import AlreadyExists, Conflict, Gone, NotFound, Unschedulable
from chalicelib.core.eventlogs import event_log_prefix, history_spec
from chalicelib.core.ids import RANDOM_BITS, make_id
from chalicelib.core.model import Pool, Run, RunKind
from chalicelib.core.policy import Outcome, next_attempt
from chalicelib.core.states import Intent, RunState
from chalicelib.core.waiting import too_large
from chalicelib.ports import Change, Clash, Ports, Put, key, runs_of_pool
from chalicelib.services.access import Call
from chalicelib.services.runs import cancel, edit_run
from chalicelib.services.submission import ATTEMPTS, queue_row

FACET = "history"
"""What a pool's facets keep of its history server: `run`, its first attempt."""

USE_NOTED = 10
"""A use is noted when so many parts of the idle time have passed since the last one that was."""


class Stopped(Gone):
    """The pool's history server has ended."""

    def __init__(self, run: Run) -> None:
        super().__init__("History server", run.id)
        self.message = "The history server is already stopped."
        self.run = run


class NotStarted(NotFound):
    """The pool has had no history server."""

    def __init__(self) -> None:
        super().__init__("History server", "")
        self.message = "The history server is already stopped: it was not started."


def start(ports: Ports, call: Call, pool: str, *, cores: int, memory: int) -> Run:
    """Start the pool's history server with so many cores and MiB. It waits for capacity as every run does.

    Raises NotFound (the pool), AlreadyExists when there is one that lives, and Unschedulable when the pool could never
    hold it: it is said to be started, and nobody would look why it is not.
    """
    pool_record_key, ledger_key = key(Pool, call.workspace, pool), key(Ledger, ports.settings.cluster)
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = ports.store.fetch([pool_record_key, ledger_key])
        record = found.get(pool_record_key)
        if not isinstance(record, Pool):
            raise NotFound("Pool", pool, field="pool")
        if _lives(ports, _latest(ports, record)):
            raise AlreadyExists("The history server is already started.")
        run = _new(ports, call, record, found.get(ledger_key), cores, memory)
        changes: list[Change] = [
            Put(run),
            Put(queue_row(ports, run)),
            Put(replace(record, facets={**record.facets, FACET: {"run": run.id}})),
        ]
        try:
            ports.store.commit(changes)
            return replace(run, version=1)
        except Clash:
            continue
    raise Conflict("The history server is being started by too many at once; please try again.")


def _new(ports: Ports, call: Call, pool: Pool, ledger: Any, cores: int, memory: int) -> Run:
    now = ports.clock.now()
    id = make_id(now, ports.dice.bits(RANDOM_BITS))
    spec = history_spec(
        pool,
        call.workspace,
        ports.blobs.uri(event_log_prefix(call.workspace, pool.name)),
        cores=cores,
        memory=memory,
        version=pool.spark_version or ports.settings.default_spark,
        idle_ms=ports.settings.history_idle_ms,
    )
    run = Run(call.workspace, id, spec, call.principal.name, now, first_attempt=id)
    name, amount = pool_key(call.workspace, pool.name), spec.amount()
    if isinstance(ledger, Ledger) and (never := too_large(ledger, name, amount)):
        raise Unschedulable(never.message.replace("The run", "The history server", 1))
    return run


def get(ports: Ports, call: Call, pool: Pool) -> Run:
    """The pool's history server that lives. Raises Stopped, NotStarted."""
    run = _latest(ports, pool)
    if run is None:
        raise NotStarted
    if not _lives(ports, run):
        raise Stopped(run)
    return run


def find(ports: Ports, pool: Pool) -> Run | None:
    """The pool's history server, if it has one that lives."""
    run = _latest(ports, pool)
    return run if _lives(ports, run) else None


def stop(ports: Ports, call: Call, pool: Pool) -> None:
    """Stop the pool's history server. Raises Stopped, NotStarted, and Conflict in the moment of a restart."""
    run = get(ports, call, pool)
    if run.ended:
        raise Conflict("The history server is just being started again; please try again.")
    cancel(ports, run, Intent.CANCEL)


def touch(ports: Ports, run: Run) -> None:
    """Note that the history server was used, so that its idle time begins anew. Costs a write now and then only."""
    now, idle = ports.clock.now(), run.spec.policy.timeout_ms
    if now - max(run.used_at, run.launched_at) < idle // USE_NOTED:
        return
    edit_run(ports, run.workspace, run.id, lambda r: replace(r, used_at=now) if r.state is RunState.RUNNING else None)


def _latest(ports: Ports, pool: Pool) -> Run | None:
    """The newest attempt of the history server that the pool's record names, if it is still known."""
    number = pool.facets.get(FACET, {}).get("run")
    run_key = key(Run, pool.workspace, number) if isinstance(number, int) else None
    run: Run | None = ports.store.fetch([run_key]).get(run_key) if run_key else None
    if run is None or not run.ended or not _returns(ports, run):
        return run
    newest = ports.store.page(runs_of_pool(pool.workspace, pool.name, RunKind.HISTORY), limit=1).records
    return newest[0] if newest and newest[0].first_attempt == run.first_attempt else run


def _returns(ports: Ports, run: Run) -> bool:
    """Whether a run that has ended has another attempt after it."""
    return next_attempt(run, Outcome(run.state, run.reason, run.message), ports.clock.now()) is not None


def _lives(ports: Ports, run: Run | None) -> bool:
    """Whether the history server runs, is about to, or is being started again."""
    if run is None or run.intent is not Intent.NONE:
        return False
    return not run.ended or _returns(ports, run)
