"""Delivery of cluster logs: where each goes, when, how large ones go, and that a death loses nothing."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from chalicelib.core.ids import cluster_id
from chalicelib.core.model import Program, ProgramKind, RunSpec
from chalicelib.core.states import RunState
from chalicelib.ports import BlobInfo
from chalicelib.services import log_delivery, workflow
from chalicelib.services.log_delivery import deliver_logs, unpacked
from tests.unit.cloud import Cloud
from tests.unit.fakes import START_MS, FakeBlobs, Killed

SPEC = RunSpec("logged", Program(ProgramKind.PYTHON, "s3://b/x.py"), logs_to="/logs")


class Logged:
    """A running run whose logs go to /logs too."""

    def __init__(self, spec: RunSpec = SPEC) -> None:
        self.cloud = Cloud()
        self.id = self.cloud.running(spec)
        run = self.cloud.run(self.id)
        self.root = self.cloud.engine.log_root(run)
        self.target = f"main/dbfs/logs/{cluster_id(self.id)}"

    def write(self, path: str, text: bytes) -> None:
        self.cloud.blobs.bodies[self.root + path] = text

    def delivered(self) -> dict[str, bytes]:
        bodies = self.cloud.blobs.bodies
        return {name.removeprefix(self.target): body for name, body in bodies.items() if name.startswith("main/dbfs/")}

    def deliver(self, *, last: bool = False) -> int:
        return deliver_logs(self.cloud.ports, self.cloud.run(self.id), last=last)


def test_driver_and_executor_logs_go_where_databricks_puts_them_and_others_stay() -> None:
    logged = Logged()
    logged.write("spark-1/spark-1-driver/stdout.gz", gzip.compress(b"said"))
    logged.write("spark-1/spark-1-driver/stderr", b"plain")
    logged.write("spark-1/pi-exec-7/stderr.gz", gzip.compress(b"worked"))
    logged.write("spark-1-submitter/stdout.gz", gzip.compress(b"the controller's own"))
    logged.write("spark-1/deep/er/stdout.gz", b"")
    assert logged.deliver() == 3
    assert logged.delivered() == {
        "/driver/stdout": b"said",
        "/driver/stderr": b"plain",
        "/executor/pi-exec-7/stderr": b"worked",
    }


def test_the_root_of_the_files_is_a_destination_too() -> None:
    logged = Logged(replace(SPEC, logs_to="/"))
    logged.write("a/a-driver/stdout", b"said")
    logged.deliver()
    assert f"main/dbfs/{cluster_id(logged.id)}/driver/stdout" in logged.cloud.blobs.bodies


def test_runs_without_a_destination_cost_nothing() -> None:
    logged = Logged(replace(SPEC, logs_to=""))
    logged.write("a/a-driver/stdout", b"said")
    before = logged.cloud.tripwire.calls
    run = logged.cloud.run(logged.id)
    assert deliver_logs(logged.cloud.ports, run, last=True) == 0
    assert logged.cloud.tripwire.calls == before
    assert logged.delivered() == {}


def test_what_was_delivered_after_it_changed_is_left_alone_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = Logged()
    logged.write("a/a-driver/stdout", b"said")
    times = {"": START_MS}

    def stat(self: FakeBlobs, name: str) -> BlobInfo | None:
        return BlobInfo(name, 4, times[""]) if name in self.bodies else None

    monkeypatch.setattr(FakeBlobs, "stat", stat)
    assert logged.deliver() == 1
    assert logged.deliver() == 1, "a copy of the same second may be older"
    times[""] += 1000
    assert logged.deliver() == 0
    assert logged.deliver(last=True) == 1


def test_large_logs_are_delivered_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = Logged()
    body = gzip.compress(b"x" * 5000)
    logged.write("a/a-driver/stdout.gz", gzip.compress(b"short"))
    logged.deliver()
    logged.write("a/a-driver/stdout.gz", body)
    monkeypatch.setattr(log_delivery, "MOST_PLAIN", 4999)
    logged.deliver()
    assert logged.delivered() == {"/driver/stdout.gz": body}, "the short one is gone: it would be taken for the whole"
    monkeypatch.setattr(log_delivery, "MOST_PACKED", 3)
    logged.write("a/a-driver/stderr", b"long")
    logged.deliver()
    assert logged.delivered()["/driver/stderr"] == b"long"


def test_logs_of_more_executors_than_one_listing_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = Logged()
    for number in range(1100):
        logged.write(f"a/exec-{number}/stdout", b"x")
    assert logged.deliver() == 1100


@pytest.mark.parametrize(
    ("body", "most", "text"),
    [
        (gzip.compress(b"a") + gzip.compress(b"b"), 9, b"ab"),
        (gzip.compress(b"abc"), 2, None),
        (gzip.compress(b"abc"), 3, b"abc"),
        (b"", 9, b""),
        (gzip.compress(b"a") + b"rubbish", 9, b"a"),
    ],
    ids=["members", "too-much", "just-enough", "empty", "rubbish-after"],
)
def test_gzip_is_unpacked_as_far_as_it_goes(body: bytes, most: int, text: bytes | None) -> None:
    assert unpacked(body, most) == text


def test_a_gzip_file_that_is_cut_gives_what_is_there() -> None:
    lines = b"".join(b"line %d of a log\n" % number for number in range(20_000))
    packed = gzip.compress(lines)
    text = unpacked(packed[: len(packed) // 2], len(lines))
    assert text
    assert lines.startswith(text)


def test_a_driver_with_delivery_is_looked_at_every_five_minutes() -> None:
    logged, plain = Logged(), Logged(replace(SPEC, logs_to=""))
    for one, wait in ((logged, 300), (plain, 1200)):
        progress = workflow.drive(one.cloud.ports, "main", one.id, 1, waited=600)
        assert progress.wait == wait


def test_logs_are_delivered_while_a_driver_runs_and_whole_when_it_has_ended() -> None:
    logged = Logged()
    logged.write("a/a-driver/stdout", b"first")
    workflow.drive(logged.cloud.ports, "main", logged.id, 1, waited=60)
    assert logged.delivered() == {"/driver/stdout": b"first"}
    logged.write("a/a-driver/stdout", b"first, last")
    logged.cloud.engine.become(logged.cloud.driver(logged.id), "COMPLETED")
    logged.cloud.play()
    assert logged.cloud.state(logged.id) is RunState.SUCCEEDED
    assert logged.delivered() == {"/driver/stdout": b"first, last"}


@pytest.mark.parametrize("after", [False, True])
def test_a_death_at_any_call_loses_no_log(after: bool) -> None:
    deaths = 0
    for at in range(1, 40):
        logged = Logged()
        logged.write("a/a-driver/stdout", b"said")
        logged.write("a/exec-1/stderr.gz", gzip.compress(b"worked"))
        logged.cloud.engine.become(logged.cloud.driver(logged.id), "COMPLETED")
        logged.cloud.tripwire.arm(at, after=after)
        try:
            workflow.finish(logged.cloud.ports, "main", logged.id, 1)
        except Killed:
            deaths += 1
        ended = not at or logged.cloud.tripwire.at > 0
        logged.cloud.tripwire.disarm()
        workflow.finish(logged.cloud.ports, "main", logged.id, 1)
        assert logged.cloud.state(logged.id) is RunState.SUCCEEDED
        assert logged.delivered() == {"/driver/stdout": b"said", "/executor/exec-1/stderr": b"worked"}
        if ended:
            break
    assert deaths > 5
