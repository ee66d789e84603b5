"""Triggers over a small fake of the table's storage, and the patterns that choose records."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.aws.functions import Functions
from sandbox.aws.patterns import InvalidPattern, Pattern
from sandbox.aws.streams import Backoff, StreamTrigger

FAST = Backoff(first=0.001, most=0.005)


class FakeRecords:
    """The outbox in memory: durable for as long as the test keeps the object."""

    def __init__(self) -> None:
        self.records: list[tuple[int, str, dict[str, Any]]] = []
        self.cursors: dict[str, int] = {}
        self._changed = threading.Condition()

    def put(self, table: str, kind: str, event: str = "INSERT") -> str:
        with self._changed:
            seq = len(self.records) + 1
            image = {"kind": {"S": kind}, "n": {"N": str(seq)}}
            body = {"Keys": {"pk": {"S": kind}}, "NewImage": image, "SequenceNumber": str(1000 + seq)}
            self.records.append((seq, table, {"eventName": event, "dynamodb": body}))
            self._changed.notify_all()
            return str(1000 + seq)

    def read_records(self, table: str, after: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
        with self._changed:
            return [(seq, record) for seq, of, record in self.records if of == table and seq > after][:limit]

    def committed_cursor(self, consumer: str) -> int:
        return self.cursors.get(consumer, 0)

    def commit_cursor(self, consumer: str, seq: int, table: str | None = None) -> None:
        self.cursors[consumer] = max(seq, self.cursors.get(consumer, 0))

    def wait_for_records(self, after: int, timeout: float, table: str | None = None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: any(s > after and of == table for s, of, _ in self.records), timeout)


class Worker:
    """A handler that notes its batches and behaves as it is told."""

    def __init__(self, answer: Callable[[list[str]], Any] = lambda kinds: None) -> None:
        self.batches: list[list[str]] = []
        self._answer = answer

    def __call__(self, event: dict[str, Any], context: Any) -> Any:
        kinds = [record["dynamodb"]["NewImage"]["kind"]["S"] for record in event["Records"]]
        self.batches.append(kinds)
        return self._answer(kinds)


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not done():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.002)


@pytest.fixture
def records() -> FakeRecords:
    return FakeRecords()


@pytest.fixture
def trigger(records: FakeRecords) -> Iterator[Callable[..., StreamTrigger]]:
    made: list[StreamTrigger] = []

    def make(worker: Any, **settings: Any) -> StreamTrigger:
        functions = Functions({"worker": worker})
        made.append(StreamTrigger("worker", "runs", functions=functions, records=records, backoff=FAST, **settings))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        assert one.stop(5)


def at(records: FakeRecords, seq: int) -> Callable[[], bool]:
    return lambda: records.cursors.get("runs/worker") == seq


def test_records_reach_the_function_in_order_and_in_batches(records: FakeRecords, trigger: Any) -> None:
    for kind in "abcde":
        records.put("runs", kind)
    worker = Worker()
    trigger(worker, batch_size=2)
    until(at(records, 5))
    assert worker.batches == [["a", "b"], ["c", "d"], ["e"]]


def test_a_record_that_comes_later_wakes_the_trigger(records: FakeRecords, trigger: Any) -> None:
    worker = Worker()
    trigger(worker)
    records.put("others", "not ours")
    records.put("runs", "ours")
    until(at(records, 2))
    assert worker.batches == [["ours"]]


def test_filters_choose_records_and_the_cursor_passes_the_others(records: FakeRecords, trigger: Any) -> None:
    for kind in ("run", "job", "run", "job"):
        records.put("runs", kind)
    worker = Worker()
    trigger(worker, filters=[{"dynamodb": {"NewImage": {"kind": {"S": ["run"]}}}}])
    until(at(records, 4))
    assert worker.batches == [["run", "run"]]


def test_a_failing_batch_is_tried_again_until_it_succeeds(records: FakeRecords, trigger: Any) -> None:
    def answer(kinds: list[str]) -> None:
        if len(worker.batches) < 4:
            raise RuntimeError("not yet")

    worker = Worker(answer)
    records.put("runs", "a")
    trigger(worker)
    until(at(records, 1))
    assert worker.batches == [["a"]] * 4


def test_after_the_last_retry_the_batch_goes_to_the_dead_letter_and_the_trigger_goes_on(
    records: FakeRecords, trigger: Any
) -> None:
    def answer(kinds: list[str]) -> None:
        if "bad" in kinds:
            raise RuntimeError("never")

    dead: list[Any] = []
    worker = Worker(answer)
    for kind in ("bad", "good"):
        records.put("runs", kind)
    trigger(worker, batch_size=1, max_retries=2, on_failure=lambda batch, error: dead.append((len(batch), str(error))))
    until(at(records, 2))
    assert worker.batches == [["bad"]] * 3 + [["good"]]
    assert dead == [(1, "never")]


def test_bisection_finds_the_one_bad_record(records: FakeRecords, trigger: Any) -> None:
    def answer(kinds: list[str]) -> None:
        if "bad" in kinds:
            raise RuntimeError("never")

    dead: list[str] = []
    worker = Worker(answer)
    for kind in ("a", "b", "bad", "c"):
        records.put("runs", kind)

    def dead_letter(batch: list[dict[str, Any]], error: Exception) -> None:
        dead.extend(record["dynamodb"]["NewImage"]["kind"]["S"] for record in batch)

    trigger(worker, max_retries=0, bisect=True, on_failure=dead_letter)
    until(at(records, 4))
    assert dead == ["bad"]
    assert worker.batches == [["a", "b", "bad", "c"], ["a", "b"], ["bad", "c"], ["bad"], ["c"]]


def test_a_partial_batch_response_brings_back_only_what_failed_and_after(records: FakeRecords, trigger: Any) -> None:
    numbers: dict[str, str] = {}

    def answer(kinds: list[str]) -> Any:
        if len(worker.batches) == 1:
            return {"batchItemFailures": [{"itemIdentifier": numbers["c"]}, {"itemIdentifier": numbers["b"]}]}
        return {"batchItemFailures": []}

    worker = Worker(answer)
    numbers.update({kind: records.put("runs", kind) for kind in "abc"})
    trigger(worker, report_batch_item_failures=True)
    until(at(records, 3))
    assert worker.batches == [["a", "b", "c"], ["b", "c"]]


@pytest.mark.parametrize("identifier", ["", "999999"])
def test_an_identifier_that_is_not_of_the_batch_fails_all_of_it(
    records: FakeRecords, trigger: Any, identifier: str
) -> None:
    def answer(kinds: list[str]) -> Any:
        return {"batchItemFailures": [{"itemIdentifier": identifier}]} if len(worker.batches) == 1 else None

    worker = Worker(answer)
    records.put("runs", "a")
    records.put("runs", "b")
    trigger(worker, report_batch_item_failures=True)
    until(at(records, 2))
    assert worker.batches == [["a", "b"], ["a", "b"]]


def test_a_dead_letter_that_fails_keeps_the_records(records: FakeRecords, trigger: Any) -> None:
    tried: list[int] = []

    def dead_letter(batch: list[Any], error: Exception) -> None:
        tried.append(len(batch))
        if len(tried) == 1:
            raise OSError("the dead letter is full")

    def answer(kinds: list[str]) -> None:
        raise RuntimeError("never")

    records.put("runs", "a")
    trigger(Worker(answer), max_retries=0, on_failure=dead_letter)
    until(at(records, 1))
    assert tried == [1, 1]


def test_a_trigger_goes_on_where_it_was_when_it_was_stopped(records: FakeRecords, trigger: Any) -> None:
    first = Worker()
    records.put("runs", "a")
    running = trigger(first)
    until(at(records, 1))
    assert running.stop(5)
    records.put("runs", "b")
    second = Worker()
    trigger(second)
    until(at(records, 2))
    assert (first.batches, second.batches) == ([["a"]], [["b"]])


def test_a_trigger_that_is_stopped_in_the_middle_of_retries_delivers_again_after_a_start(
    records: FakeRecords, trigger: Any
) -> None:
    called = threading.Event()

    def answer(kinds: list[str]) -> None:
        called.set()
        raise RuntimeError("down")

    records.put("runs", "a")
    running = trigger(Worker(answer))
    assert called.wait(5)
    assert running.stop(5)
    assert at(records, 0)()
    healthy = Worker()
    trigger(healthy)
    until(at(records, 1))
    assert healthy.batches == [["a"]]


def test_trouble_in_the_storage_is_survived(records: FakeRecords, trigger: Any) -> None:
    stock, troubles = records.read_records, [OSError("disk"), OSError("disk")]

    def read(table: str, after: int, limit: int) -> Any:
        if troubles:
            raise troubles.pop()
        return stock(table, after, limit)

    records.read_records = read  # type: ignore[method-assign]
    records.put("runs", "a")
    worker = Worker()
    trigger(worker)
    until(at(records, 1))
    assert worker.batches == [["a"]]


EVENT = {
    "source": "aws.emr-containers",
    "detail": {
        "state": "FAILED",
        "code": 7,
        "ok": True,
        "none": None,
        "tags": ["x", "y"],
        "steps": [{"n": 1}, {"n": 2}],
    },
}


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.emr-containers"]},
        {"detail": {"state": ["RUNNING", "FAILED"]}},
        {"detail": {"state": [{"prefix": "FA"}]}},
        {"detail": {"state": [{"prefix": {"equals-ignore-case": "fa"}}]}},
        {"detail": {"state": [{"suffix": "ED"}]}},
        {"detail": {"state": [{"equals-ignore-case": "failed"}]}},
        {"detail": {"state": [{"wildcard": "F*L*D"}]}},
        {"detail": {"state": [{"anything-but": "RUNNING"}]}},
        {"detail": {"state": [{"anything-but": ["RUNNING", "PENDING"]}]}},
        {"detail": {"state": [{"anything-but": {"prefix": "RUN"}}]}},
        {"detail": {"code": [{"numeric": [">", 5, "<=", 7]}]}},
        {"detail": {"code": [7]}},
        {"detail": {"ok": [True]}},
        {"detail": {"none": [None]}},
        {"detail": {"state": [{"exists": True}], "other": [{"exists": False}]}},
        {"nowhere": {"deep": [{"exists": False}]}},
        {"detail": {"tags": ["y"]}},
        {"detail": {"steps": {"n": [2]}}},
        {"$or": [{"source": ["other"]}, {"detail": {"code": [7]}}]},
    ],
)
def test_a_pattern_matches(pattern: dict[str, Any]) -> None:
    assert Pattern(pattern).matches(EVENT)


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.s3"]},
        {"source": ["aws.emr-containers"], "detail": {"state": ["RUNNING"]}},
        {"detail": {"code": [1]}},
        {"detail": {"code": ["7"]}},
        {"detail": {"code": [{"numeric": ["<", 7]}]}},
        {"detail": {"state": [{"numeric": ["<", 7]}]}},
        {"detail": {"ok": [1]}},
        {"detail": {"missing": [None]}},
        {"detail": {"missing": [{"anything-but": "x"}]}},
        {"detail": {"missing": [{"exists": True}]}},
        {"detail": {"state": {"deeper": ["x"]}}},
        {"$or": [{"source": ["other"]}, {"detail": {"code": [8]}}]},
    ],
)
def test_a_pattern_does_not_match(pattern: dict[str, Any]) -> None:
    assert not Pattern(pattern).matches(EVENT)


@pytest.mark.parametrize(
    "pattern",
    [
        {},
        {"source": "text"},
        {"source": []},
        {"source": [["nested"]]},
        {"source": [{"unheard-of": 1}]},
        {"source": [{"prefix": 1}]},
        {"source": [{"numeric": ["~", 1]}]},
        {"source": [{"exists": "yes"}]},
        {"detail": {}},
    ],
)
def test_a_pattern_that_aws_would_refuse_is_refused(pattern: dict[str, Any]) -> None:
    with pytest.raises(InvalidPattern):
        Pattern(pattern)
