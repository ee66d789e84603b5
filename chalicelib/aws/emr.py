"""The Engine port on EMR on EKS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chalicelib.aws.clients import client
from chalicelib.core.ids import external_name
from chalicelib.core.model import Files, Run
from chalicelib.core.spark import start_job_run
from chalicelib.ports import EngineJob, EngineRefused, Launch

LIVE_STATES = ["PENDING", "SUBMITTED", "RUNNING", "CANCEL_PENDING"]


class EmrEngine:
    """Job runs of one virtual cluster. Logs go to `<logs>` in the layout that EMR on EKS uses."""

    def __init__(self, virtual_cluster: str, role: str, bucket: str) -> None:
        self._cluster = virtual_cluster
        self._role = role
        self._bucket = bucket

    def start(self, launch: Launch) -> str:
        """See Engine.start."""
        emr = client("emr-containers")
        run = launch.run
        request = start_job_run(
            run.spec,
            workspace=run.workspace,
            run=run.id,
            entry_point=launch.entry_point,
            arguments=launch.arguments,
            extra=Files(py_files=launch.py_files, files=launch.files),
            virtual_cluster=self._cluster,
            role=self._role,
            log_uri=f"s3://{self._bucket}/{_log_prefix(run)}",
        )
        try:
            return str(emr.start_job_run(**request)["id"])
        except emr.exceptions.ValidationException as refused:
            raise EngineRefused(str(refused.response["Error"].get("Message", refused))) from None

    def find(self, run: Run) -> EngineJob | None:
        """See Engine.find."""
        name = external_name(run.workspace, run.id)
        return next((job for job in self._list(name=name) if job.name == name), None)

    def describe(self, engine_id: str) -> EngineJob | None:
        """See Engine.describe."""
        emr = client("emr-containers")
        try:
            return _job(emr.describe_job_run(id=engine_id, virtualClusterId=self._cluster)["jobRun"])
        except emr.exceptions.ResourceNotFoundException:
            return None

    def cancel(self, engine_id: str) -> None:
        """See Engine.cancel."""
        emr = client("emr-containers")
        try:
            emr.cancel_job_run(id=engine_id, virtualClusterId=self._cluster)
        except (emr.exceptions.ValidationException, emr.exceptions.ResourceNotFoundException):
            job = self.describe(engine_id)  # it ended meanwhile, or is ending already; anything else is a fault
            if job is not None and not job.ended and job.state != "CANCEL_PENDING":
                raise

    def live(self) -> list[EngineJob]:
        """See Engine.live."""
        return self._list(states=LIVE_STATES)

    def log_names(self, run: Run, stream: str) -> Sequence[str]:
        """See Engine.log_names."""
        pod = f"spark-{run.engine_id}"
        base = f"{_log_prefix(run)}/{self._cluster}/jobs/{run.engine_id}/containers/{pod}/{pod}-driver"
        return [f"{base}/{stream}.gz", f"{base}/{stream}"]

    def _list(self, **filters: Any) -> list[EngineJob]:
        pages = (
            client("emr-containers").get_paginator("list_job_runs").paginate(virtualClusterId=self._cluster, **filters)
        )
        return [_job(job) for page in pages for job in page["jobRuns"]]


def _log_prefix(run: Run) -> str:
    return f"{run.workspace}/logs"


def _job(told: dict[str, Any]) -> EngineJob:
    return EngineJob(
        id=told["id"],
        name=told.get("name", ""),
        state=told["state"],
        details=told.get("stateDetails", ""),
        failure=told.get("failureReason", ""),
    )
