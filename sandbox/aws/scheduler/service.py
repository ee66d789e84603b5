"""The clock of the scheduler: which schedule is due, and its invocation."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.scheduler.models import EventBridgeSchedulerBackend, Schedule, scheduler_backends
from moto.stepfunctions.responses import get_backend as step_functions

from sandbox.aws.functions import ACCOUNT, REGION, Functions
from sandbox.aws.patches import Patches
from sandbox.aws.scheduler import book
from sandbox.aws.scheduler.expressions import Expression, Rate, parse

log = logging.getLogger(__name__)

DeadLetter = Callable[[str, Any, Exception], None]
Name = tuple[str, str]

# The clock on the wall is looked at this often, however far away the next time is: a machine may sleep.
_LOOK_AGAIN_SECONDS = 30.0


@dataclass
class Entry:
    """What is known of a schedule beyond moto's: when it is due (None: never again), and if it is being invoked."""

    due: datetime | None
    busy: bool = False


class Scheduler:
    """Fires the schedules of moto's backend, from `start` to `close`."""

    def __init__(
        self,
        functions: Functions,
        file: Path,
        *,
        attempts: int = 3,
        retry_seconds: float = 1.0,
        on_failure: DeadLetter | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`file` holds the schedules. `on_failure` gets a schedule's ARN, its input and the last error."""
        self._functions = functions
        self._file = file
        self._attempts = attempts
        self._retry_seconds = retry_seconds
        self._on_failure = on_failure
        self._clock = clock
        self._entries: dict[Name, Entry] = {}
        self._changed = threading.Condition(threading.RLock())
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="scheduler")

    def install(self) -> Patches:
        """Check, keep and watch every change that the API makes, and load what the file holds.

        Call it after `mock_aws` was started. The answer can undo it.
        """
        patches = Patches()
        book.install(patches, self)
        with self._changed:
            now = self._clock()
            for schedule, kept in book.load(self._file, self.backend):
                name = (schedule.group_name, schedule.name)
                self._entries[name] = Entry(_due_again(schedule, now, kept["due"]))
        return patches

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop firing; let invocations that run end. A one-off whose invocation was cut off fires at the next start."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def backend(self) -> EventBridgeSchedulerBackend:
        return scheduler_backends[ACCOUNT][REGION]

    @property
    def changing(self) -> threading.Condition:
        """Held while the API changes schedules, so that a change and its record are one step."""
        return self._changed

    def put(self, schedule: Schedule) -> None:
        """A schedule was made or replaced: it is due anew."""
        with self._changed:
            due = _first(schedule, self._clock())
            self._entries[(schedule.group_name, schedule.name)] = Entry(due)
            self._record()

    def forget(self) -> None:
        """Schedules or groups were made or removed in the backend."""
        with self._changed:
            there = {(group.name, name) for group in self.backend.schedule_groups.values() for name in group.schedules}
            for gone in self._entries.keys() - there:
                del self._entries[gone]
            self._record()

    def _record(self) -> None:
        book.save(self._file, self.backend, {name: entry.due for name, entry in self._entries.items()})
        self._changed.notify_all()

    def _run(self) -> None:
        with self._changed:
            while not self._closing.is_set():
                now = self._clock()
                waiting = [
                    e for e in self._entries.items() if e[1].due is not None and not e[1].busy and self._on(e[0])
                ]
                for name, entry in waiting:
                    if entry.due is not None and entry.due <= now:
                        entry.busy = True
                        self._pool.submit(self._fire, name, entry, entry.due)
                soonest = min((e.due for _, e in waiting if e.due is not None and not e.busy), default=None)
                left = _LOOK_AGAIN_SECONDS if soonest is None else (soonest - now).total_seconds()
                self._changed.wait(min(max(left, 0.0), _LOOK_AGAIN_SECONDS))

    def _on(self, name: Name) -> bool:
        return bool(self._schedule(name).state == "ENABLED")

    def _schedule(self, name: Name) -> Schedule:
        return self.backend.schedule_groups[name[0]].schedules[name[1]]

    def _fire(self, name: Name, entry: Entry, due: datetime) -> None:
        try:
            schedule = self._schedule(name)
            done = self._invoke(schedule, due)
        except Exception:
            log.exception("the schedule %s/%s could not fire", *name)
            done = True
        with self._changed:
            # A schedule that was replaced or deleted meanwhile has another entry, or none.
            if done and self._entries.get(name) is entry:
                self._advance(name, entry, due)
            entry.busy = False
            self._changed.notify_all()

    def _advance(self, name: Name, entry: Entry, due: datetime) -> None:
        schedule = self._schedule(name)
        entry.due = _next(schedule, max(due, self._clock()))
        if entry.due is None and schedule.action_after_completion == "DELETE":
            del self._entries[name]
            del self.backend.schedule_groups[name[0]].schedules[name[1]]
        self._record()

    def _invoke(self, schedule: Schedule, due: datetime) -> bool:
        """Try until it succeeds or the tries are used up. False if the scheduler was closed before that."""
        execution, wait = str(uuid.uuid4()), self._retry_seconds
        for attempt in range(1, self._attempts + 1):
            text = _input(schedule, due, execution, attempt)
            try:
                self._call(schedule.target["Arn"], text, execution)
                return True
            except Exception as error:
                log.warning("%s: attempt %d of %d failed", schedule.arn, attempt, self._attempts, exc_info=error)
                if attempt == self._attempts:
                    if self._on_failure is not None:
                        self._on_failure(schedule.arn, json.loads(text), error)
                    return True
            if self._closing.wait(wait):
                return False
            wait *= 2
        return True

    def _call(self, arn: str, text: str, execution: str) -> None:
        if arn.split(":")[2] == "lambda":
            with self._functions.slot(arn):
                self._functions.invoke(arn, json.loads(text))
        else:
            step_functions(ACCOUNT, REGION).start_execution(arn, execution, text)


def _input(schedule: Schedule, due: datetime, execution: str, attempt: int) -> str:
    """The target's input with the scheduler's own values put in ("Adding context attributes" in its guide)."""
    text: str = schedule.target.get("Input") or "{}"
    values = {
        "schedule-arn": schedule.arn,
        "scheduled-time": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "execution-id": execution,
        "attempt-number": str(attempt),
    }
    for name, value in values.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def _expression(schedule: Schedule) -> Expression:
    return parse(schedule.schedule_expression, schedule.schedule_expression_timezone)


def _first(schedule: Schedule, now: datetime) -> datetime | None:
    """When a schedule that was just made or replaced is due."""
    expression = _expression(schedule)
    if expression.once:
        return expression.after(now, now)
    if isinstance(expression, Rate) and not schedule.start_date:
        # "If you do not provide a StartDate, your schedule starts invoking the target immediately."
        return now
    return _next(schedule, now)


def _next(schedule: Schedule, now: datetime) -> datetime | None:
    """When a schedule that fired is due again."""
    expression = _expression(schedule)
    if expression.once:
        return None
    anchor = datetime.fromtimestamp(float(schedule.start_date or schedule.creation_date), UTC)
    found = expression.after(now, anchor)
    over = found is not None and schedule.end_date and found.timestamp() > float(schedule.end_date)
    return None if over else found


def _due_again(schedule: Schedule, now: datetime, kept: str) -> datetime | None:
    """When a schedule from the file is due: a one-off when it was, also in the past; others at their next time."""
    if not _expression(schedule).once:
        return _next(schedule, now)
    return datetime.fromisoformat(kept) if kept else None
