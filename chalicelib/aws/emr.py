"""The Engine port on EMR on EKS."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from chalicelib.aws.clients import client
from chalicelib.core.errors import Invalid
from chalicelib.core.ids import external_name
from chalicelib.core.model import Files, Run
from chalicelib.core.paths import marker
from chalicelib.core.policy import NOT_STARTED, Outcome
from chalicelib.core.spark import start_job_run
from chalicelib.core.states import RunState
from chalicelib.ports import EngineJob, EngineRefused, Launch

LIVE_STATES = ["PENDING", "SUBMITTED", "RUNNING", "CANCEL_PENDING"]


class EmrEngine:
    """Job runs of the deployment's virtual cluster, and of those that pools name.

    An engine id is EMR's job run id; in another cluster than the deployment's, with that cluster's id before a slash.
    Logs go to `<workspace>/logs` in the layout that EMR on EKS uses. `image` is the owner's container image (see
    `core.spark.start_job_run`).
    """

    def __init__(self, virtual_cluster: str, role: str, bucket: str, image: str = "") -> None:
        self._cluster = virtual_cluster
        self._role = role
        self._bucket = bucket
        self._image = image

    def start(self, launch: Launch) -> str:
        """See Engine.start."""
        emr = client("emr-containers")
        run, placement = launch.run, launch.run.spec.placement
        cluster = placement.virtual_cluster or self._cluster
        try:
            request = start_job_run(
                run.spec,
                workspace=run.workspace,
                run=run.id,
                entry_point=launch.entry_point,
                arguments=launch.arguments,
                extra=Files(jars=launch.jars, py_files=launch.py_files, files=launch.files),
                virtual_cluster=cluster,
                role=placement.execution_role or self._role,
                log_uri=f"s3://{self._bucket}/{_log_prefix(run)}",
                files_uri=f"s3://{self._bucket}/{marker(run.workspace, '/')}",
                image=self._image,
            )
            return self._join(cluster, emr.start_job_run(**request)["id"])
        except Invalid as invalid:
            raise EngineRefused(invalid.message) from None
        except Exception as error:
            refused = _refusal(error)
            if refused is None:
                raise
            raise refused from None

    def find(self, run: Run) -> EngineJob | None:
        """See Engine.find."""
        name = external_name(run.workspace, run.id)
        cluster = run.spec.placement.virtual_cluster or self._cluster
        return next((job for job in self._list(cluster, name=name) if job.name == name), None)

    def describe(self, engine_id: str) -> EngineJob | None:
        """See Engine.describe."""
        emr = client("emr-containers")
        cluster, id = self._split(engine_id)
        try:
            return self._job(cluster, emr.describe_job_run(id=id, virtualClusterId=cluster)["jobRun"])
        except emr.exceptions.ResourceNotFoundException:
            return None

    def cancel(self, engine_id: str) -> None:
        """See Engine.cancel."""
        emr = client("emr-containers")
        cluster, id = self._split(engine_id)
        try:
            emr.cancel_job_run(id=id, virtualClusterId=cluster)
        except (emr.exceptions.ValidationException, emr.exceptions.ResourceNotFoundException):
            job = self.describe(engine_id)  # it ended meanwhile, or is ending already; anything else is a fault
            if job is not None and not job.ended and job.state != "CANCEL_PENDING":
                raise

    def live(self, clusters: Collection[str] = ()) -> list[EngineJob]:
        """See Engine.live."""
        return [job for cluster in {self._cluster, *clusters} for job in self._list(cluster, states=LIVE_STATES)]

    def log_root(self, run: Run) -> str:
        """See Engine.log_root."""
        cluster, id = self._split(run.engine_id)
        return f"{_log_prefix(run)}/{cluster}/jobs/{id}/containers/"

    def log_names(self, run: Run, stream: str) -> Sequence[str]:
        """See Engine.log_names."""
        id = self._split(run.engine_id)[1]
        base = f"{self.log_root(run)}spark-{id}/spark-{id}-driver"
        return [f"{base}/{stream}.gz", f"{base}/{stream}"]

    def _list(self, cluster: str, **filters: Any) -> list[EngineJob]:
        pages = client("emr-containers").get_paginator("list_job_runs").paginate(virtualClusterId=cluster, **filters)
        return [self._job(cluster, job) for page in pages for job in page["jobRuns"]]

    def _job(self, cluster: str, told: dict[str, Any]) -> EngineJob:
        return EngineJob(
            id=self._join(cluster, told["id"]),
            name=told.get("name", ""),
            state=told["state"],
            details=told.get("stateDetails", ""),
            failure=told.get("failureReason", ""),
        )

    def _join(self, cluster: str, id: str) -> str:
        return id if cluster == self._cluster else f"{cluster}/{id}"

    def _split(self, engine_id: str) -> tuple[str, str]:
        cluster, slash, id = engine_id.rpartition("/")
        return (cluster, id) if slash else (self._cluster, engine_id)


def _log_prefix(run: Run) -> str:
    return f"{run.workspace}/logs"


_REFUSALS = frozenset({"ValidationException", "ResourceNotFoundException", "AccessDeniedException"})
"""EMR's errors that stay as they are however often the same is asked: they end the run. All others may pass."""


def _refusal(error: Exception) -> EngineRefused | None:
    """The error of StartJobRun as a refusal, if it is one: EMR's own, or botocore's, which does not even send what the
    API's model forbids. What the deployment is not allowed is no fault of the program."""
    from botocore.exceptions import ClientError, ParamValidationError

    if isinstance(error, ParamValidationError):
        return EngineRefused(" ".join(str(error).split()))
    told = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
    if told.get("Code") not in _REFUSALS:
        return None
    reason = str(told.get("Message") or error)
    if told["Code"] != "AccessDeniedException":
        return EngineRefused(reason)
    return EngineRefused(reason, Outcome(RunState.INTERNAL_ERROR, "ACCESS_DENIED", f"{NOT_STARTED}: {reason}"))


def limit_virtual_cluster(cluster: str, runs: int) -> None:
    """Let a virtual cluster run at most so many drivers at once (UpdateVirtualCluster), beside our own limits. How many
    may wait in it stays unlimited, since EMR refuses what it has no place for. Raises Invalid with EMR's reason."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client("emr-containers").update_virtual_cluster(
            id=cluster, schedulerConfiguration={"maxConcurrentJobRuns": runs}
        )
    except (ClientError, BotoCoreError) as refused:
        raise Invalid(f"EMR does not take the limit of virtual cluster {cluster}: {refused}") from None
