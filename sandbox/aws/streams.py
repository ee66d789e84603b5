"""Triggers: a table's stream calls a function, as a DynamoDB event source mapping does on AWS.

moto calls the function inside `PutItem`, ignores filters, and neither retries nor remembers. Here every trigger has
its own thread and its own durable cursor over the outbox of `sandbox.aws.dynamodb`, so that it is asynchronous, at
least once, and in the order of commits. The settings have the names and the meaning of `CreateEventSourceMapping`; a
trigger is one shard, read one batch at a time.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sandbox.aws.functions import Functions
from sandbox.aws.patterns import InvalidPattern, Pattern

log = logging.getLogger(__name__)

Record = dict[str, Any]
Numbered = tuple[int, Record]
DeadLetter = Callable[[list[Record], Exception], None]

_LOOK_AGAIN_SECONDS = 0.25
_READ_AT_LEAST = 500


class Records(Protocol):
    """What a trigger needs of the table's storage."""

    def read_records(self, table: str, after: int, limit: int) -> list[Numbered]:
        """Records of one table with a sequence above `after`, oldest first."""
        ...

    def committed_cursor(self, consumer: str) -> int:
        """Where a consumer is; 0 for one that never committed."""
        ...

    def commit_cursor(self, consumer: str, seq: int, table: str | None = None) -> None:
        """Durable when it returns."""
        ...

    def wait_for_records(self, after: int, timeout: float, table: str | None = None) -> bool:
        """True once a record after `after` is there, False after `timeout` seconds."""
        ...


@dataclass(frozen=True)
class Backoff:
    """Waits between the attempts at one batch, in seconds; they double, with a little randomness, up to `most`."""

    first: float = 0.1
    most: float = 10.0

    def seconds(self, attempt: int) -> float:
        return min(self.most, self.first * 2.0 ** min(attempt, 20)) * random.uniform(0.8, 1.0)


class BatchFailed(Exception):
    """A function reported items of its batch as failed, and raised nothing."""


class StreamTrigger:
    """Feeds one function from one table, from `start` to `stop`.

    `filters` are FilterCriteria patterns over the record; one that matches is enough, none means every record.
    `max_retries` counts the attempts after the first; None means until it succeeds. Then the failing records go to
    `on_failure` (a dead letter) and the trigger goes on; if `on_failure` itself raises, the records are not passed
    over.
    """

    def __init__(
        self,
        function: str,
        table: str,
        *,
        functions: Functions,
        records: Records,
        filters: Sequence[dict[str, Any]] = (),
        batch_size: int = 100,
        max_retries: int | None = None,
        bisect: bool = False,
        report_batch_item_failures: bool = False,
        on_failure: DeadLetter | None = None,
        consumer: str | None = None,
        backoff: Backoff | None = None,
        wait_turn: Callable[[], None] = lambda: None,
    ) -> None:
        """`consumer` names the cursor; by default the table and the function do. `wait_turn` is called before each look
        for records (`right_of_way`). Raises `InvalidPattern`."""
        if not 1 <= batch_size <= 10_000:
            raise ValueError("batch_size is 1 to 10,000")
        self.function = function
        self.table = table
        self.consumer = consumer or f"{table}/{function}"
        self._functions = functions
        self._records = records
        self._patterns = [_pattern(one) for one in filters]
        self._batch_size = batch_size
        self._max_retries = max_retries
        self._bisect = bisect
        self._report = report_batch_item_failures
        self._on_failure = on_failure
        self._backoff = backoff or Backoff()
        self._wait_turn = wait_turn
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is not None:
            raise RuntimeError(f"the trigger {self.consumer} runs already")
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=f"trigger-{self.consumer}", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 30.0) -> bool:
        """Let a running batch end and stop; what it did not finish is delivered again after the next start.

        False when the function still ran after `timeout` seconds.
        """
        self._stopping.set()
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        if thread.is_alive():
            return False
        self._thread = None
        return True

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                cursor = self._records.committed_cursor(self.consumer)
                # From here on the storage knows of this consumer, and keeps for it what it has not passed.
                self._commit(cursor)
                self._follow(cursor)
                return
            except Exception:
                log.exception("the trigger %s stumbled", self.consumer)
                self._stopping.wait(self._backoff.seconds(failures))
                failures += 1

    def _follow(self, cursor: int) -> None:
        while not self._stopping.is_set():
            self._wait_turn()
            found = self._records.read_records(self.table, cursor, max(self._batch_size, _READ_AT_LEAST))
            if not found:
                self._records.wait_for_records(cursor, _LOOK_AGAIN_SECONDS, table=self.table)
                continue
            cursor = self._deliver_all(found, cursor)

    def _deliver_all(self, found: list[Numbered], cursor: int) -> int:
        """Deliver what the filters let through, in batches; the answer is the new cursor."""
        wanted = [one for one in found if self._wanted(one[1])]
        for start in range(0, len(wanted), self._batch_size):
            batch = wanted[start : start + self._batch_size]
            if not self._deliver(batch):
                return cursor
            cursor = batch[-1][0]
        if found[-1][0] > cursor:
            cursor = found[-1][0]
            self._commit(cursor)
        return cursor

    def _deliver(self, batch: list[Numbered]) -> bool:
        """One batch until it is done with, the cursor following. False if the trigger was stopped before that."""
        attempt = 0
        while batch:
            if self._stopping.is_set():
                return False
            failed_at, error = self._attempt(batch)
            if failed_at:
                # What is before the first failure is done, and need not come again after a restart.
                self._commit(batch[failed_at - 1][0])
                batch, attempt = batch[failed_at:], 0
            if error is None:
                continue
            if self._bisect and len(batch) > 1:
                middle = len(batch) // 2
                if not self._deliver(batch[:middle]):
                    return False
                batch, attempt = batch[middle:], 0
            elif self._max_retries is not None and attempt >= self._max_retries:
                if self._dead(batch, error):
                    self._commit(batch[-1][0])
                    return True
                self._stopping.wait(self._backoff.seconds(attempt))
            else:
                self._stopping.wait(self._backoff.seconds(attempt))
                attempt += 1
        return True

    def _attempt(self, batch: list[Numbered]) -> tuple[int, Exception | None]:
        """Call the function once: how many records from the first are done, and what failed then."""
        try:
            with self._functions.slot(self.function):
                result = self._functions.invoke(self.function, {"Records": [record for _, record in batch]})
        except Exception as error:
            log.warning("%s failed on %d records of %s", self.function, len(batch), self.table, exc_info=error)
            return 0, error
        done = _first_failure(batch, result) if self._report else len(batch)
        if done == len(batch):
            return done, None
        log.warning("%s did %d of %d records of %s", self.function, done, len(batch), self.table)
        return done, BatchFailed(f"{self.function} reported {len(batch) - done} records to be tried again")

    def _dead(self, batch: list[Numbered], error: Exception) -> bool:
        records = [record for _, record in batch]
        log.error("%s: giving up on %d records of %s", self.function, len(records), self.table, exc_info=error)
        if self._on_failure is None:
            return True
        try:
            self._on_failure(records, error)
        except Exception:
            log.exception("the dead letter of %s failed", self.consumer)
            return False
        return True

    def _wanted(self, record: Record) -> bool:
        return not self._patterns or any(pattern.matches(record) for pattern in self._patterns)

    def _commit(self, seq: int) -> None:
        self._records.commit_cursor(self.consumer, seq, table=self.table)


def _first_failure(batch: list[Numbered], result: Any) -> int:
    """The index of the first failed record of a partial-batch response; the batch's length if none failed.

    The rules stand in "Configuring partial batch response with DynamoDB and Lambda": nothing, null and an empty list
    are success; an identifier that is empty or not of the batch fails the whole batch, and so does a malformed
    response.
    """
    if result is None or result == {}:
        return len(batch)
    failures = result.get("batchItemFailures") if isinstance(result, dict) else 0
    if failures is None or failures == []:
        return len(batch)
    if not isinstance(failures, list):
        return 0
    places = {record["dynamodb"]["SequenceNumber"]: index for index, (_, record) in enumerate(batch)}
    return min(places.get(one.get("itemIdentifier", ""), 0) if isinstance(one, dict) else 0 for one in failures)


def _pattern(one: dict[str, Any]) -> Pattern:
    """A pattern as an object, or as CreateEventSourceMapping has it: `{"Pattern": "<JSON text>"}`."""
    text = one.get("Pattern")
    if set(one) == {"Pattern"} and isinstance(text, str):
        return Pattern.parse(text)
    if not isinstance(one, dict):
        raise InvalidPattern(f"not a pattern: {json.dumps(one)}")
    return Pattern(one)
