"""EMR on EKS with a real Spark: what StartJobRun, DescribeJobRun, ListJobRuns and CancelJobRun do in the sandbox.

`moto_emr.py` routes the API here; `job.py` lives each run's life. Every accepted run is on disk before StartJobRun
answers, and an Engine over the same directory goes on where the last one was killed.

What differs from AWS, beyond what `launch.py` and `staging.py` say: no job templates, retry policies or SQL drivers
(refused, with the reason); logs go to S3 only, not to CloudWatch; the execution role is not assumed; runs are not
limited in number here, the control plane's own capacity does that.
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from moto.emrcontainers.models import emrcontainers_backends

from sandbox.aws.emr import validation
from sandbox.aws.emr.events import state_change
from sandbox.aws.emr.job import Job, Settings, Surroundings
from sandbox.aws.emr.records import JobRecord, Records, read_json, write_json
from sandbox.aws.emr.spark import SparkHome

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAGE = 100


class NotFound(Exception):
    """What was named does not exist (ResourceNotFoundException)."""


@dataclass(frozen=True)
class VirtualCluster:
    """A virtual cluster as moto keeps it; `created_at` in seconds since the epoch."""

    id: str
    name: str
    account: str
    region: str
    container_provider: dict[str, Any]
    client_token: str
    state: str
    created_at: float
    tags: dict[str, str] | None


def new_job_id(now: float) -> str:
    """19 characters of [0-9a-z] that sort by time, as EMR's do."""
    number, text = int(now * 1_000_000), ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text.rjust(13, "0") + "".join(secrets.choice(_DIGITS) for _ in range(6))


class Engine:
    """The service. Public methods may be called from any thread; raise Invalid or NotFound for the caller's faults."""

    def __init__(
        self,
        home: Path,
        spark: SparkHome,
        publish: Callable[[dict[str, Any]], None],
        s3: Callable[[], Any],
        *,
        environment: Mapping[str, str],
        settings: Settings | None = None,
        account: str = "123456789012",
        region: str = "us-east-1",
    ) -> None:
        directory = home.absolute() / "emr"
        self.account, self.region = account, region
        self._records = Records(directory)
        self._publish = publish
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        self._closed = False
        self._around = Surroundings(self._records, spark, s3, environment, settings or Settings(), self._announce)
        self._clusters_file = directory / "virtual-clusters.json"
        self._clusters = {entry["id"]: VirtualCluster(**entry) for entry in read_json(self._clusters_file) or []}

    # Running jobs

    def resume(self) -> None:
        """Takes up every run that has not ended, or whose end has not been told. Call when the event bus listens."""
        for record in self._records:
            if not record.ended or record.announced != record.state:
                self._take_up(record.id)

    def close(self) -> None:
        """Stops watching. Drivers go on; the next Engine over this directory finds them."""
        with self._lock:
            self._closed = True
            jobs = list(self._jobs.values())
        for job in jobs:
            job.close()

    def _take_up(self, job_id: str) -> None:
        with self._lock:
            if job_id not in self._jobs and not self._closed:
                self._jobs[job_id] = Job(job_id, self._around, self._forget)
                self._jobs[job_id].start()

    def _forget(self, job_id: str) -> None:
        with self._lock:
            self._jobs.pop(job_id, None)

    def _announce(self, record: JobRecord) -> None:
        self._publish(state_change(record, self.account, self.region, time.time()))

    # The API

    def start_job_run(self, request: dict[str, Any]) -> JobRecord:
        """StartJobRun; `request` as the API's model has it. The same client token gives the same run again."""
        try:
            validation.check_start(request)
        except validation.NoSuchRelease as error:
            raise NotFound(str(error)) from error
        cluster_id, now = request["virtualClusterId"], time.time()
        cluster = self._clusters.get(cluster_id)
        if cluster is None:
            raise NotFound(f"Virtual cluster {cluster_id} doesn't exist.")
        if cluster.state != "RUNNING":
            raise validation.Invalid(f"Virtual cluster {cluster_id} is not in RUNNING state.")
        job_id = new_job_id(now)
        record, new = self._records.add(
            JobRecord(
                id=job_id,
                arn=f"arn:aws:emr-containers:{self.region}:{self.account}:/virtualclusters/{cluster_id}/jobruns/{job_id}",
                virtual_cluster_id=cluster_id,
                client_token=request["clientToken"],
                request=request,
                created_by=f"arn:aws:iam::{self.account}:root",
                created_at=now,
            )
        )
        if new:
            self._take_up(record.id)
        elif record.request != request:
            raise validation.Invalid("The client token was used before, with other parameters.")
        return record

    def describe_job_run(self, job_id: str, cluster_id: str) -> JobRecord:
        record = self._records.get(job_id)
        if record is None or record.virtual_cluster_id != cluster_id:
            raise NotFound(f"Job run {job_id} doesn't exist.")
        return record

    def cancel_job_run(self, job_id: str, cluster_id: str) -> JobRecord:
        """CancelJobRun: SIGTERM to the driver's process group, and SIGKILL when it has not ended in time."""
        record = self.describe_job_run(job_id, cluster_id)
        if self._records.change(job_id, state="CANCEL_PENDING", cancel_at=time.time()) is None:
            raise validation.Invalid(f"Job run {job_id} is not in a cancellable state")
        with self._lock:
            job = self._jobs.get(job_id)
        if job is not None:
            job.ring()
        return record

    def list_job_runs(self, cluster_id: str, query: Mapping[str, Any]) -> tuple[list[JobRecord], str | None]:
        """ListJobRuns: newest first. `query` holds the API's other parameters; gives a page and the next one's token.

        The token is the last id shown, so a page neither repeats nor skips a run when new ones arrive in between.
        """
        validation.check("ListJobRuns", {"virtualClusterId": cluster_id, **query})
        size = query.get("maxResults") or _PAGE
        if not 1 <= size <= _PAGE:
            raise validation.Invalid(f"maxResults must be between 1 and {_PAGE}.")
        before = _last_shown(query.get("nextToken"))
        found = sorted(self._matching(cluster_id, query), key=lambda record: record.id, reverse=True)
        rest = [record for record in found if before is None or record.id < before]
        more = len(rest) > size
        return rest[:size], _token(rest[size - 1].id) if more else None

    def _matching(self, cluster_id: str, query: Mapping[str, Any]) -> Iterator[JobRecord]:
        name, states = query.get("name"), query.get("states")
        after, before = query.get("createdAfter"), query.get("createdBefore")
        for record in self._records:
            if (
                record.virtual_cluster_id == cluster_id
                and (name is None or record.name == name)
                and (not states or record.state in states)
                and (after is None or record.created_at >= after.timestamp())
                and (before is None or record.created_at <= before.timestamp())
            ):
                yield record

    def running(self, name: str) -> Path | None:
        """The folder of the job run of that name that runs now."""
        found = (record for record in self._records if record.name == name and record.state == "RUNNING")
        return next((self._records.folder(record.id) for record in found), None)

    # Virtual clusters: moto answers for them, the engine keeps them

    def virtual_clusters(self) -> list[VirtualCluster]:
        with self._lock:
            return list(self._clusters.values())

    def keep_virtual_cluster(self, cluster: VirtualCluster) -> None:
        """Writes a new or changed virtual cluster to disk."""
        with self._lock:
            clusters = {**self._clusters, cluster.id: cluster}
            write_json(self._clusters_file, [asdict(each) for each in clusters.values()])
            self._clusters = clusters

    def ensure_virtual_cluster(self, name: str) -> str:
        """The id of the running virtual cluster of that name, made when there is none; the same after a restart."""
        with self._lock:
            for cluster in self._clusters.values():
                if cluster.name == name and cluster.state == "RUNNING":
                    return cluster.id
            provider = {"id": "sandbox", "type": "EKS", "info": {"eksInfo": {"namespace": name}}}
            backend = emrcontainers_backends[self.account][self.region]
            return backend.create_virtual_cluster(name=name, container_provider=provider, client_token=name).id


def _token(job_id: str) -> str:
    return base64.urlsafe_b64encode(job_id.encode()).decode()


def _last_shown(token: str | None) -> str | None:
    if token is None:
        return None
    try:
        return base64.urlsafe_b64decode(token.encode()).decode("ascii")
    except ValueError as error:
        raise validation.Invalid("nextToken is not one that this service gave.") from error
