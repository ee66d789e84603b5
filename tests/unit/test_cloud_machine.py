"""Anything that can happen, in any order (hypothesis): submissions, cancels, deliveries, losses, kills, time, limits.

After each step the books are exact; at the end everything is run to rest, and nothing is left over. SPARKPLANE_EXAMPLES
says how many histories are tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chalicelib.core.capacity import EVERYTHING, NOTHING
from chalicelib.core.errors import SparkplaneError
from chalicelib.core.model import Job, Policy, Run
from chalicelib.services.jobs import Definition, cancel_runs_of, create_job, delete_job
from chalicelib.services.pools import ensure_pool, limit_cluster
from chalicelib.services.runs import cancel_run, delete_run
from chalicelib.services.submission import Request, run_job
from tests.unit.cloud import HOUR_MS, Cloud, runs, spec
from tests.unit.fakes import Killed

EXAMPLES = int(os.environ.get("SPARKPLANE_EXAMPLES", "150"))

pools = st.sampled_from(["default", "small", "urgent"])
which = st.integers(0, 1 << 10)
policies = st.builds(
    Policy,
    timeout_ms=st.sampled_from([0, 0, 1000, 2 * HOUR_MS]),
    max_retries=st.sampled_from([0, 1, 2, -1]),
    min_retry_interval_ms=st.sampled_from([0, 1000, HOUR_MS]),
    retry_on_timeout=st.booleans(),
)


class AnythingThatCanHappen(RuleBasedStateMachine):
    """A cloud that is played by hypothesis, one worker after the other."""

    remembers = False
    """Whether the engine knows a client token again; it need not where no two workers act at once."""

    def __init__(self) -> None:
        super().__init__()
        self.cloud = Cloud()
        self.cloud.engine.remembers = self.remembers
        ensure_pool(self.cloud.ports, "main", "small", maximum=runs(2))
        ensure_pool(self.cloud.ports, "main", "urgent", maximum=runs(3), minimum=runs(1, cores=4000), priority=5)
        limit_cluster(self.cloud.ports, "main", runs(4, cores=12_000))

    def asked(self, ask: Callable[[], object]) -> None:
        """A client's call: it may be refused in good order, or its Lambda be killed."""
        try:
            ask()
        except (SparkplaneError, Killed):
            pass

    # What people do.

    @rule(pool=pools, cores=st.sampled_from([1, 1, 2, 5]), policy=policies, token=st.sampled_from(["", "", "a", "b"]))
    def somebody_submits(self, pool: str, cores: int, policy: Policy, token: str) -> None:
        what = spec(pool=pool, cores=cores, policy=policy)
        self.asked(lambda: self.cloud.submit(what, idempotency=token, park_oversized=token == "a"))

    @rule(pool=pools, policy=policies, limit=st.integers(1, 3))
    def somebody_saves_a_job(self, pool: str, policy: Policy, limit: int) -> None:
        if len(self.cloud.store.all(Job)) < 2:
            what = spec(pool=pool, policy=policy)
            self.asked(lambda: create_job(self.cloud.ports, self.cloud.caller, Definition(what, limit, {})))

    def job(self, index: int) -> int:
        jobs = self.cloud.store.all(Job)
        return jobs[index % len(jobs)].id if jobs else 1

    @precondition(lambda self: self.cloud.store.all(Job))
    @rule(index=which)
    def somebody_runs_a_job(self, index: int) -> None:
        job = self.job(index)
        self.asked(lambda: run_job(self.cloud.ports, self.cloud.caller, job, Request(), lambda saved: saved.spec))

    @precondition(lambda self: self.cloud.store.all(Job))
    @rule(index=which, runs_only=st.booleans())
    def somebody_deletes_a_job_or_cancels_its_runs(self, index: int, runs_only: bool) -> None:
        job = self.job(index)
        act = cancel_runs_of if runs_only else delete_job
        self.asked(lambda: act(self.cloud.ports, self.cloud.caller, job))

    def any_run(self, index: int) -> Run:
        found = sorted(self.cloud.store.all(Run), key=lambda run: run.id)
        run = found[index % len(found)]
        assert isinstance(run, Run)
        return run

    @precondition(lambda self: self.cloud.store.all(Run))
    @rule(index=which)
    def somebody_cancels(self, index: int) -> None:
        id = self.any_run(index).id
        self.asked(lambda: cancel_run(self.cloud.ports, self.cloud.caller, id))

    @precondition(lambda self: any(run.ended for run in self.cloud.store.all(Run)))
    @rule(index=which)
    def somebody_deletes_a_run(self, index: int) -> None:
        id = self.any_run(index).id
        self.asked(lambda: delete_run(self.cloud.ports, self.cloud.caller, id))

    @rule(pool=pools, most=st.integers(0, 4))
    def somebody_changes_a_limit(self, pool: str, most: int) -> None:
        self.asked(lambda: ensure_pool(self.cloud.ports, "main", pool, maximum=runs(most)))

    @rule(most=st.integers(1, 5), cores=st.sampled_from([4_000, 8_000, 12_000]))
    def somebody_changes_the_total(self, most: int, cores: int) -> None:
        self.asked(lambda: limit_cluster(self.cloud.ports, "main", runs(most, cores=cores)))

    # What the cloud does.

    @rule(function=st.sampled_from(["dispatch", "follow"]), count=st.integers(1, 6),
          again=st.booleans())  # fmt: skip
    def the_stream_brings_a_batch(self, function: str, count: int, again: bool) -> None:
        self.cloud.deliver(function, count, again=again)

    @rule()
    def all_that_can_happen_now_happens(self) -> None:
        self.cloud.play()

    @rule()
    def all_drivers_go_on(self) -> None:
        self.cloud.progress()
        self.cloud.play()

    @rule(failure=st.sampled_from(["USER_ERROR", "CLUSTER_UNAVAILABLE"]))
    def all_drivers_fail(self, failure: str) -> None:
        for id in sorted(self.cloud.engine.drivers):
            self.cloud.engine.become(id, "FAILED", failure=failure)
        self.cloud.play()

    @rule(pool=pools, policy=policies)
    def a_run_gets_under_way(self, pool: str, policy: Policy) -> None:
        self.asked(lambda: self.cloud.submit(spec(pool=pool, policy=policy)))
        self.cloud.play()
        self.cloud.progress()
        self.cloud.progress()

    @rule(function=st.sampled_from(["dispatch", "follow"]))
    def the_stream_loses_its_oldest(self, function: str) -> None:
        self.cloud.lose(function)

    @precondition(lambda self: len(self.cloud.queues["dispatch"]) > 1)
    @rule(first=st.integers(1, 3))
    def the_stream_brings_other_shards_first(self, first: int) -> None:
        self.cloud.deliver("dispatch", 2, first=first)

    @precondition(lambda self: self.cloud.workflows.live())
    @rule(index=which)
    def an_execution_goes_on(self, index: int) -> None:
        live = self.cloud.workflows.live()
        self.cloud.step(live[index % len(live)])

    @precondition(lambda self: self.cloud.workflows.live())
    @rule(index=which)
    def an_execution_is_lost(self, index: int) -> None:
        live = self.cloud.workflows.live()
        self.cloud.workflows.lose(live[index % len(live)])

    @precondition(lambda self: self.cloud.engine.drivers)
    @rule(index=which, fails=st.sampled_from(["", "", "USER_ERROR", "CLUSTER_UNAVAILABLE"]))
    def a_driver_goes_on(self, index: int, fails: str) -> None:
        ids = sorted(self.cloud.engine.drivers)
        id = ids[index % len(ids)]
        if fails:
            self.cloud.engine.become(id, "FAILED", failure=fails)
        else:
            self.cloud.engine.progress(id)

    @precondition(lambda self: self.cloud.engine.heard_of)
    @rule(lose=st.booleans())
    def the_engine_tells(self, lose: bool) -> None:
        self.cloud.tell(lose=lose)

    @rule(ms=st.sampled_from([1, 1000, 60_000, HOUR_MS]))
    def time_passes(self, ms: int) -> None:
        self.cloud.clock.advance(ms)

    @rule()
    def timers_ring(self) -> None:
        self.cloud.ring()

    @rule()
    def the_sweep_comes(self) -> None:
        self.cloud.sweep()

    @rule(at=st.integers(1, 9), after=st.booleans())
    def a_worker_is_about_to_be_killed(self, at: int, after: bool) -> None:
        self.cloud.tripwire.arm(at, after=after)

    # What must hold.

    @invariant()
    def the_books_are_exact(self) -> None:
        self.cloud.check_capacity()
        self.cloud.check_records()

    def teardown(self) -> None:
        self.cloud.tripwire.disarm()
        limit_cluster(self.cloud.ports, "main", EVERYTHING)
        for pool in ("default", "small", "urgent"):
            ensure_pool(self.cloud.ports, "main", pool, maximum=EVERYTHING, minimum=NOTHING)
        self.cloud.settle()
        self.cloud.check_over()


class AnythingAtOnce(AnythingThatCanHappen):
    """The same, with somebody else acting between two calls of a worker."""

    remembers = True

    def all_executions_are_lost(self) -> None:
        for execution in self.cloud.workflows.live():
            self.cloud.workflows.lose(execution)
        self.cloud.sweep()
        for execution in self.cloud.ready():
            self.cloud.step(execution)

    def an_event_comes(self) -> None:
        if self.cloud.engine.heard_of:
            self.cloud.tell()

    def runs_are_cancelled(self) -> None:
        for run in self.cloud.live()[:2]:
            self.asked(lambda run=run: cancel_run(self.cloud.ports, self.cloud.caller, run.id))  # type: ignore[misc]

    @rule(at=st.integers(1, 9), index=which, what=st.integers(0, 7))
    def somebody_will_come_between(self, at: int, index: int, what: int) -> None:
        actions: list[Callable[[], None]] = [
            self.cloud.sweep,
            self.all_executions_are_lost,
            self.an_event_comes,
            self.runs_are_cancelled,
            lambda: self.cloud.deliver("dispatch", again=True),
            lambda: self.cloud.deliver("follow"),
            lambda: self.somebody_changes_a_limit("default", index % 4),
            lambda: self.a_run_gets_under_way("default", Policy()),
        ]
        self.cloud.tripwire.admit(at, actions[what])


PROFILE = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestAnythingThatCanHappen = AnythingThatCanHappen.TestCase
TestAnythingThatCanHappen.settings = PROFILE
TestAnythingAtOnce = AnythingAtOnce.TestCase
TestAnythingAtOnce.settings = PROFILE
