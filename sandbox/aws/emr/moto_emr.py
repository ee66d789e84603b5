"""The mend: moto's EMR on EKS answers job runs from the Engine, and keeps its virtual clusters over a restart.

moto 5.2.5 keeps a job run as RUNNING for ever and runs nothing, forgets everything with the process, filters names by
substring, lists oldest first, gives every run of a day the same creation time, and ignores client tokens. Job runs
are therefore taken from it altogether. Virtual clusters stay moto's; they are written down when they change and given
back whenever moto makes itself a new backend (at start, and at each reset).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.config.exceptions import ValidationException
from moto.core.responses import ActionResult
from moto.emrcontainers.exceptions import ResourceNotFoundException
from moto.emrcontainers.models import EMRContainersBackend, VirtualCluster, emrcontainers_backends
from moto.emrcontainers.responses import EMRContainersResponse

from sandbox.aws.emr import engine as service
from sandbox.aws.emr.records import JobRecord
from sandbox.aws.emr.validation import Invalid

_Answer = Callable[[EMRContainersResponse], ActionResult]
_BACKEND = {
    name: getattr(EMRContainersBackend, name)
    for name in ("__init__", "create_virtual_cluster", "delete_virtual_cluster")
}
_RESPONSE = {
    name: getattr(EMRContainersResponse, name)
    for name in ("start_job_run", "describe_job_run", "cancel_job_run", "list_job_runs")
}


def apply(engine: service.Engine) -> None:
    """Routes moto's job runs to `engine`, in place of any engine before it."""
    for name, answer in _answers(engine).items():
        setattr(EMRContainersResponse, name, _with_aws_errors(answer))
    _keep_clusters(engine)


def undo() -> None:
    """Leaves moto as it came."""
    for owner, originals in ((EMRContainersBackend, _BACKEND), (EMRContainersResponse, _RESPONSE)):
        for name, original in originals.items():
            setattr(owner, name, original)


def _answers(engine: service.Engine) -> dict[str, _Answer]:
    def start_job_run(response: EMRContainersResponse) -> ActionResult:
        # Not moto's parsed parameters: it folds keys that differ in case or dashes only, as conf keys may.
        request = {**json.loads(response.body), "virtualClusterId": response._get_param("virtualClusterId")}
        record = engine.start_job_run(request)
        names = {"id": record.id, "name": record.name, "arn": record.arn}
        return ActionResult({**names, "virtualClusterId": record.virtual_cluster_id})

    def describe_job_run(response: EMRContainersResponse) -> ActionResult:
        return ActionResult({"jobRun": _rendered(engine.describe_job_run(*_named(response)))})

    def cancel_job_run(response: EMRContainersResponse) -> ActionResult:
        record = engine.cancel_job_run(*_named(response))
        return ActionResult({"id": record.id, "virtualClusterId": record.virtual_cluster_id})

    def list_job_runs(response: EMRContainersResponse) -> ActionResult:
        names = ("name", "states", "createdAfter", "createdBefore", "maxResults", "nextToken")
        query = {name: response._get_param(name) for name in names}
        records, token = engine.list_job_runs(response._get_param("virtualClusterId"), query)
        return ActionResult({"jobRuns": [_rendered(record) for record in records], "nextToken": token})

    answers = (start_job_run, describe_job_run, cancel_job_run, list_job_runs)
    return {answer.__name__: answer for answer in answers}


def _named(response: EMRContainersResponse) -> tuple[str, str]:
    return response._get_param("id"), response._get_param("virtualClusterId")


def _with_aws_errors(answer: _Answer) -> _Answer:
    @functools.wraps(answer)
    def answered(response: EMRContainersResponse) -> ActionResult:
        try:
            return answer(response)
        except Invalid as error:
            raise ValidationException(str(error)) from error
        except service.NotFound as error:
            raise ResourceNotFoundException(str(error)) from error

    return answered


def _rendered(record: JobRecord) -> dict[str, Any]:
    """A job run as DescribeJobRun and ListJobRuns show it."""
    request = record.request
    shown = {name: request.get(name) for name in ("name", "executionRoleArn", "releaseLabel", "jobDriver", "tags")}
    return {
        **shown,
        "configurationOverrides": request.get("configurationOverrides"),
        "id": record.id,
        "virtualClusterId": record.virtual_cluster_id,
        "arn": record.arn,
        "state": record.state,
        "clientToken": record.client_token,
        "createdAt": datetime.fromtimestamp(record.created_at, UTC),
        "createdBy": record.created_by,
        "finishedAt": None if record.finished_at is None else datetime.fromtimestamp(record.finished_at, UTC),
        "stateDetails": record.state_details,
        "failureReason": record.failure_reason,
    }


def _keep_clusters(engine: service.Engine) -> None:
    def __init__(self: EMRContainersBackend, region_name: str, account_id: str) -> None:
        _BACKEND["__init__"](self, region_name, account_id)
        _give_back(engine, self)

    def create_virtual_cluster(self: EMRContainersBackend, *args: Any, **kwargs: Any) -> VirtualCluster:
        return _kept(engine, self, _BACKEND["create_virtual_cluster"](self, *args, **kwargs))

    def delete_virtual_cluster(self: EMRContainersBackend, *args: Any, **kwargs: Any) -> VirtualCluster:
        return _kept(engine, self, _BACKEND["delete_virtual_cluster"](self, *args, **kwargs))

    for method in (__init__, create_virtual_cluster, delete_virtual_cluster):
        setattr(EMRContainersBackend, method.__name__, method)
    for regions in list(emrcontainers_backends.values()):
        for backend in list(regions.values()):
            _give_back(engine, backend)


def _give_back(engine: service.Engine, backend: EMRContainersBackend) -> None:
    for kept in engine.virtual_clusters():
        if (kept.account, kept.region) != (backend.account_id, backend.region_name):
            continue
        cluster = VirtualCluster(
            name=kept.name,
            container_provider=kept.container_provider,
            client_token=kept.client_token,
            account_id=kept.account,
            region_name=kept.region,
            aws_partition=backend.partition,
            tags=kept.tags,
            virtual_cluster_id=kept.id,
        )
        cluster.state = kept.state
        cluster.created_at = datetime.fromtimestamp(kept.created_at, UTC).replace(tzinfo=None)
        backend.virtual_clusters[kept.id] = cluster


def _kept(engine: service.Engine, backend: EMRContainersBackend, cluster: VirtualCluster) -> VirtualCluster:
    engine.keep_virtual_cluster(
        service.VirtualCluster(
            id=cluster.id,
            name=cluster.name,
            account=backend.account_id,
            region=backend.region_name,
            container_provider=json.loads(json.dumps(cluster.container_provider, default=dict)),
            client_token=cluster.client_token,
            state=cluster.state,
            created_at=cluster.created_at.replace(tzinfo=UTC).timestamp(),
            tags=dict(cluster.tags) if cluster.tags else None,
        )
    )
    return cluster
