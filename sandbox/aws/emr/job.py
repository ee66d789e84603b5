"""The life of one job run, on one thread: stage, launch, watch, tell.

The thread may begin anywhere: in a sandbox that accepted the run a moment ago, or in one that was started after
kill -9 and finds the run half done. What was done is on disk (`records.py`, `shim.py`), so every step looks there
first. Between steps the thread sleeps in the kernel until the process ends, someone rings, or logs are due.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws.emr import history, launch, logs
from sandbox.aws.emr.process import Driver, Exit, Wake
from sandbox.aws.emr.records import JobRecord, Records
from sandbox.aws.emr.spark import SparkHome
from sandbox.aws.emr.staging import MissingFile, Stager
from sandbox.aws.emr.submission import BadSubmission, Submission, parse

log = logging.getLogger(__name__)

_CANCELLED = "JobRun CANCELLED successfully."


@dataclass(frozen=True)
class Settings:
    """What an owner may want otherwise. Times in seconds; `conf` is what a job has of Spark's configuration unless it
    says otherwise."""

    machine: launch.Machine = field(default_factory=launch.Machine.this)
    patience: float = 10.0  # from SIGTERM to SIGKILL
    log_period: float = 1.0
    follow_period: float = 2.0  # between looks for new event logs
    retry_period: float = 1.0  # after S3 or the event bus failed
    log_tries: int = 3  # for the last upload, before the job ends without it
    conf: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """What all job runs of one engine share."""

    records: Records
    spark: SparkHome
    s3: Callable[[], Any]
    environment: Mapping[str, str]
    settings: Settings
    announce: Callable[[JobRecord], None]


class Job:
    """Runs one job to its end. `start` begins the thread; `ring` tells it that its record has changed."""

    def __init__(self, job_id: str, around: Surroundings, forget: Callable[[str], None]) -> None:
        self._id = job_id
        self._around = around
        self._forget = forget
        self._folder = around.records.folder(job_id)
        self._driver = Driver(self._folder)
        self._wake = Wake()
        self._closing = False
        self._mirror: history.Mirror | None = None
        self._follow_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"emr-{job_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ring(self) -> None:
        self._wake.ring()

    def close(self) -> None:
        """Ends the thread; the Spark process is left alone."""
        self._closing = True
        self._wake.ring()
        self._thread.join(5)

    @property
    def _record(self) -> JobRecord:
        record = self._around.records.get(self._id)
        assert record is not None, self._id
        return record

    def _run(self) -> None:
        try:
            self._live()
        except Exception as error:
            # Not the job's fault and nothing that we know how to go on from: do not leave a driver nobody watches.
            log.exception("job run %s", self._id)
            self._driver.signal(signal.SIGKILL)
            self._end("FAILED", f"The sandbox failed: {error!r}", "INTERNAL_ERROR", time.time())
        while not self._announced() and not self._closing:
            self._wake.wait(self._around.settings.retry_period)
        self._wake.close()
        self._forget(self._id)

    def _live(self) -> None:
        if self._record.ended:
            return
        self._announced()
        try:
            submission = parse(self._record.request)
            if not self._driver.launched and self._record.cancel_at is None:
                submission = self._launch(submission)
        except BadSubmission as error:
            return self._end("FAILED", str(error), "VALIDATION_ERROR", time.time())
        except MissingFile as error:
            return self._end("FAILED", str(error), "USER_ERROR", time.time())
        except (ClientError, BotoCoreError) as error:
            return self._end("FAILED", f"S3 did not give the job's files: {error}", "INTERNAL_ERROR", time.time())
        self._watch(submission)

    def _launch(self, submission: Submission) -> Submission:
        """Stages the files and hands the driver to its shim."""
        around = self._around
        work = self._folder / "work"
        staged = Stager(around.s3, around.spark.image, self._folder / "staged", work).stage(submission)
        staged = replace(staged, conf={**around.settings.conf, **staged.conf})
        prepared = launch.prepare(staged, around.spark, around.settings.machine, self._folder, around.environment)
        self._follow(submission)
        # A cancel may have come in the meantime; the record's state decides, and it allows no way back.
        if self._record.state == "PENDING" and around.records.change(self._id, state="SUBMITTED") is None:
            return submission
        if self._record.cancel_at is None:
            self._driver.launch(prepared.argv, prepared.env, work, prepared.mounts)
        return submission

    def _watch(self, submission: Submission) -> None:
        """Until the process has ended: its state, its logs, and a cancel's two signals."""
        outbox = self._outbox(submission)
        settings = self._around.settings
        killed_softly: float | None = None
        while not self._closing:
            alive = self._driver.alive()
            ended = self._driver.exit()
            record = self._record
            if ended is not None or not alive:
                return self._finish(outbox, ended)
            if record.state == "SUBMITTED" and self._driver.started:
                self._around.records.change(self._id, state="RUNNING")
            if record.cancel_at is not None:
                killed_softly = self._kill(killed_softly)
            self._announced()
            self._try_send(outbox)
            self._try_follow(submission)
            # A driver's start is not an event that the kernel tells: look again soon until it is there.
            pause = settings.log_period if self._driver.started else 0.02
            self._driver.await_end(self._wake, pause)

    def _kill(self, since: float | None) -> float | None:
        """SIGTERM the first time, SIGKILL when that was long enough ago; returns when the first was sent."""
        if since is None:
            return time.monotonic() if self._driver.signal(signal.SIGTERM) else None
        if time.monotonic() - since >= self._around.settings.patience:
            self._driver.signal(signal.SIGKILL)
        return since

    def _outbox(self, submission: Submission) -> logs.Outbox:
        record, streams = self._record, []
        if submission.log_uri:
            bucket, prefix = logs.driver_log_prefix(submission.log_uri, record.virtual_cluster_id, record.id)
            for name in ("stdout", "stderr"):
                streams.append(logs.Stream(self._folder / name, bucket, f"{prefix}/{name}.gz"))
        target = launch.event_log_target(submission.conf)
        events = logs.EventLogs(self._folder / "eventlog", target) if target else None
        return logs.Outbox(self._around.s3, streams, events)

    def _try_send(self, outbox: logs.Outbox, *, last: bool = False) -> bool:
        try:
            outbox.send(last=last)
            return True
        except (ClientError, BotoCoreError) as error:
            log.warning("job run %s: its logs did not reach S3: %s", self._id, error)
            return False

    def _follow(self, submission: Submission) -> None:
        """Brings a history server's event logs up to date, now and then; of other jobs there is nothing to bring."""
        if not history.is_history_server(submission) or time.monotonic() < self._follow_at:
            return
        if self._mirror is None:
            uri = submission.conf[history.DIRECTORY]
            self._mirror = history.Mirror(self._around.s3, uri, self._folder / "history")
        self._mirror.follow()
        self._follow_at = time.monotonic() + self._around.settings.follow_period

    def _try_follow(self, submission: Submission) -> None:
        try:
            self._follow(submission)
        except (ClientError, BotoCoreError) as error:
            log.warning("job run %s: event logs were not fetched from S3: %s", self._id, error)

    def _finish(self, outbox: logs.Outbox, ended: Exit | None) -> None:
        """The last of the logs first, so that whoever hears of the end finds them; then the state."""
        sent = self._try_send(outbox, last=True)
        for _ in range(1, self._around.settings.log_tries):
            if sent or self._closing:
                break
            self._wake.wait(self._around.settings.retry_period)
            sent = self._try_send(outbox, last=True)
        if self._closing:
            return  # the next engine does it again, whole
        self._end(*_outcome(self._record, ended))
        needless = ["staged", "tmp", "local", "history", "root", launch.VOLUMES]
        for name in needless + (["eventlog"] if sent and outbox.has_event_logs else []):
            _remove(self._folder / name)

    def _end(self, state: str, details: str, reason: str | None, at: float) -> None:
        if self._record.cancel_at is not None and not self._driver.launched:
            state, details, reason = "CANCELLED", _CANCELLED, None
        fields = {"state_details": details[:256], "failure_reason": reason, "finished_at": at}
        if self._record.state == "SUBMITTED" and self._driver.started:
            self._around.records.change(self._id, state="RUNNING")  # it ended before anyone looked
            self._announced()
        self._around.records.change(self._id, state=state, **fields)

    def _announced(self) -> bool:
        """Tells the state that the record is in, unless it has been told; False when that failed."""
        record = self._record
        if record.announced == record.state:
            return True
        try:
            self._around.announce(record)
        except Exception:
            log.exception("job run %s: the event for %s was not taken; it will be tried again", self._id, record.state)
            return False
        self._around.records.change(self._id, announced=record.state)
        return True


def _remove(folder: Path) -> None:
    """Delete a folder, read-only directories and all."""
    for directory, _, _ in os.walk(folder):
        os.chmod(directory, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _outcome(record: JobRecord, ended: Exit | None) -> tuple[str, str, str | None, float]:
    """State, details, failure reason and time of the end."""
    at = time.time() if ended is None else ended.ended
    if record.cancel_at is not None and (ended is None or ended.ended >= record.cancel_at):
        return "CANCELLED", _CANCELLED, None, at
    if ended is None:
        return "FAILED", "The driver's process vanished without an exit code.", "INTERNAL_ERROR", at
    if ended.error is not None:
        return "FAILED", f"The driver could not be started: {ended.error}", "INTERNAL_ERROR", at
    code = ended.code or 0
    if code == 0:
        return "COMPLETED", "JobRun completed successfully.", None, at
    how = f"exit code {code}" + (f" (signal {code - 128})" if code - 128 in signal.valid_signals() else "")
    return "FAILED", f"JobRun failed. The driver ended with {how}; its logs tell why.", "USER_ERROR", at
