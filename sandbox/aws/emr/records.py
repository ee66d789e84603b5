"""What the sandbox remembers of job runs and virtual clusters, on disk under `<home>/emr`.

    <home>/emr/virtual-clusters.json        every virtual cluster
    <home>/emr/<job id>/record.json         one job run, as below
    <home>/emr/<job id>/…                   launch.json, shim.json, driver.json, exit.json (see shim.py),
                                            stdout, stderr, eventlog/, staged/, work/, tmp/

A file is always replaced whole, so a reader (or a sandbox that starts after kill -9) sees the old or the new text.
The failure that this withstands is the death of the process, not of the machine: nothing is flushed to the platter.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})

NEXT: dict[str, frozenset[str]] = {
    "PENDING": frozenset({"SUBMITTED", "CANCEL_PENDING", "FAILED", "CANCELLED"}),
    "SUBMITTED": frozenset({"RUNNING", "CANCEL_PENDING", "FAILED", "COMPLETED", "CANCELLED"}),
    "RUNNING": frozenset({"CANCEL_PENDING", "FAILED", "COMPLETED", "CANCELLED"}),
    "CANCEL_PENDING": frozenset({"FAILED", "COMPLETED", "CANCELLED"}),
    "COMPLETED": frozenset(),
    "FAILED": frozenset(),
    "CANCELLED": frozenset(),
}


@dataclass(frozen=True)
class JobRecord:
    """One job run. Times are seconds since the epoch; `request` is StartJobRun's input as it came.

    `announced` is the last state whose event was handed on, so that no end goes untold when the sandbox dies between
    writing a state and telling it. `cancel_at` is when CancelJobRun was accepted.
    """

    id: str
    arn: str
    virtual_cluster_id: str
    client_token: str
    request: dict[str, Any]
    created_by: str
    created_at: float
    state: str = "PENDING"
    state_details: str | None = None
    failure_reason: str | None = None
    finished_at: float | None = None
    cancel_at: float | None = None
    announced: str | None = None

    @property
    def name(self) -> str | None:
        return self.request.get("name")

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL


def read_json(path: Path) -> Any | None:
    """The JSON at `path`, or None when there is no such file."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None


def write_json(path: Path, content: Any) -> None:
    """Replaces `path` by `content` in one step."""
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(content), "utf-8")
    os.replace(new, path)


class Records:
    """The job runs of one sandbox: in memory for reading, on disk before any change is seen."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.RLock()
        self._jobs: dict[str, JobRecord] = {}
        self._tokens: dict[tuple[str, str], str] = {}
        directory.mkdir(parents=True, exist_ok=True)
        for path in sorted(directory.glob("*/record.json")):
            self._remember(JobRecord(**json.loads(path.read_text("utf-8"))))

    def _remember(self, record: JobRecord) -> None:
        self._jobs[record.id] = record
        self._tokens[record.virtual_cluster_id, record.client_token] = record.id

    def folder(self, job_id: str) -> Path:
        return self.directory / job_id

    def add(self, record: JobRecord) -> tuple[JobRecord, bool]:
        """Stores a new job run; or gives the one that the same client token made before, and False."""
        with self._lock:
            known = self._tokens.get((record.virtual_cluster_id, record.client_token))
            if known is not None:
                return self._jobs[known], False
            self.folder(record.id).mkdir(mode=0o700)  # its files hold the job's environment
            self._save(record)
            return record, True

    def _save(self, record: JobRecord) -> None:
        write_json(self.folder(record.id) / "record.json", asdict(record))
        self._remember(record)

    def get(self, job_id: str) -> JobRecord | None:
        return self._jobs.get(job_id)

    def change(self, job_id: str, *, state: str | None = None, **fields: Any) -> JobRecord | None:
        """Writes new values; None, and nothing changed, when the job's state does not allow the new one."""
        with self._lock:
            record = self._jobs[job_id]
            if state is not None and state not in NEXT[record.state]:
                return None
            record = replace(record, state=state or record.state, **fields)
            self._save(record)
            return record

    def __iter__(self) -> Iterator[JobRecord]:
        with self._lock:
            return iter(list(self._jobs.values()))
