"""Each function's role allows what the function does on AWS, and what it allows is used."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any
from unittest.mock import patch

import pytest

import app
from chalicelib import wiring
from chalicelib.aws import clients
from chalicelib.core import transitions
from chalicelib.core.ids import cluster_id
from chalicelib.core.model import Channel, CronSchedule, Job, JobActivity, Notice, NoticeEvent, Placement, Run, RunKind
from chalicelib.core.states import Intent, RunState
from chalicelib.dialects.http import OpenOperation
from chalicelib.ports import Delete, Hold, Put, QueueRow, holds_of, key, runs_of_job
from chalicelib.services import launching, log_delivery, pools, results, workflow
from chalicelib.services.access import run_secret
from chalicelib.services.pools import instance_id
from chalicelib.services.runs import edit_run
from chalicelib.services.submission import queue_row
from infra.functions import LOGICAL
from infra.policies import DRIVER_DENIALS, DRIVER_GRANTS, GRANTS, JOB_RUNS, VIRTUAL_CLUSTER, Grant, grants_of
from infra.policies import DRIVER_ROLE as DRIVER_ROLE_TEXT
from tests.aws.world import (
    BUCKET,
    DRIVER_ROLE,
    MAIL_FROM,
    REGION,
    SCHEDULE_ROLE,
    STACK,
    TABLE,
    AwsCall,
    World,
    arn,
    deployed,
)

LARGE = "x" * 30_000
"""A value that moves a run's spec out of the table."""

TABLE_ARN = arn("dynamodb", f"table/{TABLE}")
POOL_ROLE = "arn:aws:iam::123456789012:role/of-a-pool"
BUCKET_ARN = f"arn:aws:s3:::{BUCKET}"


def resolved(text: str, world: World) -> str:
    """A policy's resource as CloudFormation would fill it in."""
    values = {
        "AWS::Partition": "aws",
        "AWS::Region": REGION,
        "AWS::AccountId": "123456789012",
        "AWS::StackName": STACK,
        "Table.Arn": TABLE_ARN,
        "Bucket.Arn": BUCKET_ARN,
        "VirtualCluster": world.virtual_cluster,
        "PoolCluster": world.other_cluster,
        "DriverRole.Arn": DRIVER_ROLE,
        "ScheduleRole.Arn": SCHEDULE_ROLE,
        "MailFrom": MAIL_FROM,
    }
    return re.sub(r"\$\{([^}]+)\}", lambda found: values.get(found[1], f"arn:aws:unknown:{found[1]}"), text)


Need = tuple[str, str, dict[str, str]]
"""An action, the resource it is done to, and the condition keys that the call brings."""


def _dynamodb(operation: str, told: Mapping[str, Any]) -> list[Need]:
    if operation == "TransactWriteItems":
        names = {
            "Put": "PutItem",
            "Update": "UpdateItem",
            "Delete": "DeleteItem",
            "ConditionCheck": "ConditionCheckItem",
        }
        return [
            (f"dynamodb:{names[kind]}", arn("dynamodb", f"table/{part['TableName']}"), {})
            for item in told["TransactItems"]
            for kind, part in item.items()
        ]
    if operation == "BatchGetItem":
        return [("dynamodb:BatchGetItem", arn("dynamodb", f"table/{name}"), {}) for name in told["RequestItems"]]
    index = f"/index/{told['IndexName']}" if "IndexName" in told else ""
    return [(f"dynamodb:{operation}", arn("dynamodb", f"table/{told['TableName']}") + index, {})]


S3_ACTIONS = {
    "HeadObject": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "ListParts": "ListMultipartUploadParts",
}
"""What IAM calls an operation on an object, when that is not its own name."""


def _s3(operation: str, told: Mapping[str, Any]) -> list[Need]:
    bucket = f"arn:aws:s3:::{told['Bucket']}"
    if operation == "ListObjectsV2":
        return [("s3:ListBucket", bucket, {"s3:prefix": told["Prefix"]})]
    if operation == "DeleteObjects":
        return [("s3:DeleteObject", f"{bucket}/{one['Key']}", {}) for one in told["Delete"]["Objects"]]
    needs: list[Need] = [(f"s3:{S3_ACTIONS.get(operation, operation)}", f"{bucket}/{told['Key']}", {})]
    if "CopySource" in told:
        needs.append(("s3:GetObject", f"arn:aws:s3:::{told['CopySource']}", {}))
    if operation in {"GetObject", "HeadObject"}:  # or a missing key is "access denied", which the code does not handle
        needs.append(("s3:ListBucket", bucket, {}))
    return needs


def _states(operation: str, told: Mapping[str, Any]) -> list[Need]:
    if operation in {"SendTaskSuccess", "SendTaskFailure"}:  # the token is the run machine's; so IAM is asked of that
        return [(f"states:{operation}", arn("states", f"stateMachine:{STACK}-run"), {})]
    return [(f"states:{operation}", told.get("stateMachineArn") or told["executionArn"], {})]


def _emr(operation: str, told: Mapping[str, Any]) -> list[Need]:
    cluster = arn("emr-containers", f"/virtualclusters/{told['virtualClusterId']}")
    if operation == "StartJobRun":
        role = {"emr-containers:ExecutionRoleArn": told["executionRoleArn"]}
        tags: list[Need] = [("emr-containers:TagResource", f"{cluster}/jobruns/new", {})] if told.get("tags") else []
        return [("emr-containers:StartJobRun", cluster, role), *tags]
    job = f"/jobruns/{told['id']}" if "id" in told else ""
    return [(f"emr-containers:{operation}", cluster + job, {})]


def _scheduler(operation: str, told: Mapping[str, Any]) -> list[Need]:
    needs: list[Need] = [
        (f"scheduler:{operation}", arn("scheduler", f"schedule/{told['GroupName']}/{told['Name']}"), {})
    ]
    if "Target" in told:
        needs.append(("iam:PassRole", told["Target"]["RoleArn"], {"iam:PassedToService": "scheduler.amazonaws.com"}))
    return needs


def _ses(operation: str, told: Mapping[str, Any]) -> list[Need]:
    sender = told["FromEmailAddress"]
    return [(f"ses:{operation}", arn("ses", f"identity/{sender}"), {"ses:FromAddress": sender})]


NEEDS = {
    "sesv2": _ses,
    "scheduler": _scheduler,
    "dynamodb": _dynamodb,
    "s3": _s3,
    "stepfunctions": _states,
    "sfn": _states,
    "emr-containers": _emr,
}


def needs_of(call: AwsCall) -> list[Need]:
    """What IAM is asked when a call is made."""
    return NEEDS[call.service](call.operation, call.parameters)


def grants(grant: Grant, need: Need, world: World) -> bool:
    """Whether a statement allows this, in a deployment whose owner named another virtual cluster and execution role."""
    action, resource, context = need
    resources, conditions = set(grant.resources), grant.condition.get("StringEquals", {})
    allowed = {resolved(text, world) for text in resources}
    if resources & {VIRTUAL_CLUSTER, JOB_RUNS}:
        allowed |= {resolved(text.replace("${VirtualCluster}", "${PoolCluster}"), world) for text in resources}
    held = all(
        context.get(name) in {resolved(text, world), POOL_ROLE if text == DRIVER_ROLE_TEXT else ""}
        for name, text in conditions.items()
    )
    return action in grant.actions and any(fnmatchcase(resource, one) for one in allowed) and held


# What the deployment is put through. Every run has a spec too large for the table, so that all read it from S3.


def submission(name: str = "work", **rest: Any) -> dict[str, Any]:
    """A one-time run."""
    return {
        "run_name": name,
        "new_cluster": {
            "spark_version": "15.4.x-scala2.12",
            "node_type_id": "i3.xlarge",
            "num_workers": 1,
            "spark_env_vars": {"LARGE": LARGE},
            "spark_conf": {"spark.eventLog.enabled": "true"},
        },
        "spark_python_task": {"python_file": "s3://bucket/main.py"},
        **rest,
    }


class Story:
    """The deployment's functions in all the ways that they go."""

    def __init__(self, world: World) -> None:
        self.world = world

    def submit(self, **rest: Any) -> int:
        """Submit a run; it waits in its queue."""
        answer = self.world.api("POST", "/api/2.0/jobs/runs/submit", submission(**rest))
        assert answer.status == 200, answer
        return int(answer.body["run_id"])

    def granted(self, **rest: Any) -> int:
        """A run that was granted, and whose execution was started."""
        run = self.submit(**rest)
        self.world.pump()
        assert self.record(run).state is RunState.GRANTED
        return run

    def launched(self, function: str = "launch") -> int:
        """A run with a driver."""
        run = self.granted()
        self.drive(function, run)
        assert self.record(run).engine_id
        return run

    def record(self, run: int) -> Run:
        """The run's record."""
        run_key = key(Run, "main", run)
        found: Run = self.world.ports.store.fetch([run_key])[run_key]
        return found

    def drive(self, function: str, run: int) -> Any:
        """What a state of the run machine does. Each function is a process of its own, and remembers for itself."""
        launching._ship_bundle.cache_clear()
        launching._make_place.cache_clear()
        about = {"workspace": "main", "run": run, "generation": self.record(run).generation}
        token = {"token": f"token-of-{run}"} if function == "launch" else {}
        return self.world.invoke(function, {**about, **token, "waited": 60})

    def intend(self, run: int) -> None:
        """A cancel that no stream has brought to anybody yet."""
        edit_run(self.world.ports, "main", run, lambda r: transitions.intend(r, Intent.CANCEL, self.now()))

    def over(self, function: str, run: int) -> None:
        """The driver is over, and a function is the first to come to know it."""
        self.heard(run) if function == "engine_event" else self.drive(function, run)
        assert self.record(run).ended

    def now(self) -> int:
        """The time."""
        return self.world.ports.clock.now()

    def end(self, run: int, state: str) -> None:
        """The driver is over."""
        self.world.drivers()[self.record(run).engine_id].state = state

    def heard(self, run: int) -> None:
        """EMR says that the driver changed state."""
        cluster, _, id = self.record(run).engine_id.rpartition("/")
        detail = {"id": id, "virtualClusterId": cluster or self.world.virtual_cluster, "state": "RUNNING"}
        self.world.invoke("engine_event", {"detail": detail})

    def log(self, run: int) -> None:
        """The driver wrote something."""
        record = self.record(run)
        for stream in ("stdout", "stderr"):
            name = self.world.ports.engine.log_names(record, stream)[-1]
            self.world.ports.blobs.put(name, b"Traceback\nValueError: no\n")


def _a_good_run(story: Story) -> None:
    run = story.launched()
    story.heard(run)
    assert story.record(run).state is RunState.RUNNING
    story.world.api(
        "POST", f"/driver/v1/runs/main.{run}/report", {"application_id": "spark-1"}, token=_secret(story, run)
    )
    assert story.record(run).application_id == "spark-1"
    story.end(run, "COMPLETED")
    story.over("engine_event", run)
    assert story.record(run).state is RunState.SUCCEEDED
    story.drive("launch", run)  # by an execution that came too late: it is woken at once
    story.log(run)
    assert story.world.api("GET", "/api/2.0/jobs/runs/get-output", run_id=run).body["logs"].startswith("Traceback")
    assert story.world.api("POST", "/api/2.0/jobs/runs/delete", {"run_id": run}).status == 200


def _notebooks(story: Story) -> None:
    """A notebook's driver asks where it may leave its results, and leaves them there in the API's name."""
    task = {"notebook_task": {"notebook_path": "/Shared/work"}, "spark_python_task": None}
    run = story.granted(**task)
    story.drive("launch", run)
    files, secret = {results.PAGE: 4, results.RESULT: 4}, _secret(story, run)
    told = story.world.api("POST", f"/driver/v1/runs/main.{run}/links", {"files": files}, token=secret)
    assert set(told.body["links"]) == set(files)
    with story.world.acting("api"):
        for name in files:
            story.world.ports.blobs.put(results.result_name("main", run, name), b"told")
    report = {"notebook": {"exited": True, "stored": sorted(files)}, "finished": True, "exit_code": 0}
    assert story.world.api("POST", f"/driver/v1/runs/main.{run}/report", report, token=secret).status == 200
    story.end(run, "COMPLETED")
    story.over("check", run)
    output = story.world.api("GET", "/api/2.0/jobs/runs/get-output", run_id=run).body
    assert output["notebook_output"] == {"result": "told", "truncated": False}
    assert story.world.api("GET", "/api/2.0/jobs/runs/export", run_id=run).body["views"][0]["content"] == "told"


def _secret(story: Story, run: int) -> str:
    return run_secret(story.world.ports, "main", run)


def _launches_that_died(story: Story) -> None:
    """The worker was killed between the state LAUNCHING and the driver: whoever comes looks for one, then starts it."""
    for function in ("launch", "check"):
        run = story.granted()
        edit_run(story.world.ports, "main", run, lambda r: transitions.launch(r, story.now()))
        story.drive(function, run)
        assert story.record(run).engine_id


def _cancels(story: Story) -> None:
    """A cancel, seen first by each function that may see it first."""
    for function in ("launch", "check", "engine_event"):
        run = story.launched()
        story.intend(run)
        story.heard(run) if function == "engine_event" else story.drive(function, run)
        assert story.world.drivers()[story.record(run).engine_id].state == "CANCELLED"
        story.over("check", run)
        assert story.record(run).state is RunState.CANCELED
    run = story.launched()
    assert story.world.api("POST", "/api/2.0/jobs/runs/cancel", {"run_id": run}).status == 200
    story.world.pump()
    assert story.world.drivers()[story.record(run).engine_id].state == "CANCELLED"
    run = story.granted()  # and its driver cannot be asked for
    edit_run(story.world.ports, "main", run, lambda r: transitions.launch(r, story.now() - 2 * workflow.LAUNCH_MS))
    story.intend(run)
    story.world.pump()
    assert story.record(run).state is RunState.CANCELED
    run = story.launched()
    story.end(run, "COMPLETED")
    story.intend(run)  # too late: EMR refuses, and is asked why
    story.world.pump()


def _jobs(story: Story) -> None:
    api = story.world.api
    settings = {"name": "job", "max_retries": 1, "max_concurrent_runs": 5}
    settings |= {k: v for k, v in submission().items() if k != "run_name"}
    job = api("POST", "/api/2.0/jobs/create", settings).body["job_id"]
    assert api("GET", "/api/2.0/jobs/get", job_id=job).body["settings"]["name"] == "job"
    assert [j["job_id"] for j in api("GET", "/api/2.0/jobs/list").body["jobs"]] == [job]
    for function in ("launch", "check", "engine_event"):
        run = api("POST", "/api/2.0/jobs/run-now", {"job_id": job}).body["run_id"]
        story.world.pump()
        story.drive("launch", run)
        story.end(run, "FAILED")
        story.log(run)
        story.over(function, run)
        assert story.record(run).state is RunState.FAILED and story.record(run).next_attempt
    for query in ({}, {"active_only": "true"}, {"job_id": job}):
        assert api("GET", "/api/2.0/jobs/runs/list", **query).status == 200
    assert api("POST", "/api/2.0/jobs/runs/cancel-all", {"job_id": job}).status == 200
    waiting = api("POST", "/api/2.0/jobs/run-now", {"job_id": job}).body["run_id"]
    assert api("POST", "/api/2.0/jobs/delete", {"job_id": job}).status == 200
    story.world.missed()  # of all that, only the job's end reaches anybody: the run has not been granted
    story.world.invoke("follow", {"Records": [_removal(story, job, waiting)]})
    assert story.record(waiting).state is RunState.CANCELED


def _removal(story: Story, job: int, run: int) -> dict[str, Any]:
    """The stream's record of a job that was deleted while a run of it waited."""
    put = story.world.ports.store._put(JobActivity("main", job, 1, frozenset({run})))  # type: ignore[attr-defined]
    return {"eventName": "REMOVE", "dynamodb": {"OldImage": put["Item"], "SequenceNumber": "1"}}


YEARLY, OFTEN = "0 0 0 1 1 ?", "* * * * * ?"


def _scheduled(story: Story, expression: str) -> int:
    """A job with a schedule."""
    schedule = {"quartz_cron_expression": expression, "timezone_id": "UTC"}
    settings = {**submission(), "name": "scheduled", "schedule": schedule}
    del settings["run_name"]
    answer = story.world.api("POST", "/api/2.0/jobs/create", settings)
    assert answer.status == 200, answer
    return int(answer.body["job_id"])


def _schedules(story: Story) -> None:
    """Schedules whose next fire is far, and one whose next fire is near: arranged, changed, and over."""
    world = story.world
    far, near = _scheduled(story, YEARLY), _scheduled(story, OFTEN)
    world.pump()
    assert _entries() == [f"main.{far}"]
    changed = {"schedule": {"quartz_cron_expression": "0 0 0 2 1 ?", "timezone_id": "UTC"}}
    assert world.api("POST", "/api/2.0/jobs/update", {"job_id": far, "new_settings": changed}).status == 200
    world.pump()
    assert _entries() == [f"main.{far}"]
    settings = world.api("GET", "/api/2.0/jobs/get", job_id=far).body["settings"]
    del settings["schedule"]
    assert world.api("POST", "/api/2.0/jobs/reset", {"job_id": far, "new_settings": settings}).status == 200
    world.pump()
    assert _entries() == []
    assert world.api("POST", "/api/2.0/jobs/delete", {"job_id": near}).status == 200
    world.pump()


def _fires(story: Story) -> None:
    """Fires that came, and fires that were missed: of yearly schedules, with an entry and without; of one that is over
    then; of one that fires again at once."""
    for function, late in (("sweep", 300_000), ("ring", 5_000)):
        fire = story.now() // 1000 * 1000 - late
        for expression, arranged in (
            (_expression(fire, "*"), True),
            (_expression(fire, "*"), False),
            (_expression(fire, str(datetime.now(UTC).year)), True),
            (OFTEN, False),
        ):
            job = _scheduled(story, YEARLY)
            story.world.pump() if arranged else story.world.missed()
            _make_due(story, job, expression, fire)
            about = {"workspace": "main", "job": job, "fire": fire}
            story.world.invoke(function, about if function == "ring" else {})
            assert len(_runs(story, job)) == 1, (function, expression)
            assert story.world.api("POST", "/api/2.0/jobs/delete", {"job_id": job}).status == 200
            story.world.missed()


def _expression(instant: int, year: str) -> str:
    """At this instant of each year, or of one."""
    at = datetime.fromtimestamp(instant / 1000, UTC)
    return f"{at.second} {at.minute} {at.hour} {at.day} {at.month} ? {year}"


def _make_due(story: Story, job: int, expression: str, fire: int) -> None:
    """Have a job's schedule owe a fire; what the stream says of that is lost."""
    store, job_key = story.world.ports.store, key(Job, "main", job)
    found = store.fetch([job_key])[job_key]
    store.commit([Put(replace(found, schedule=CronSchedule(expression, "UTC", fire - 1)))])
    story.world.missed()


def _entries() -> list[str]:
    """The entries in EventBridge Scheduler."""
    return [one["Name"] for one in clients.client("scheduler").list_schedules(GroupName=STACK)["Schedules"]]


def _runs(story: Story, job: int) -> list[Any]:
    return list(story.world.ports.store.page(runs_of_job("main", job), limit=100).records)


def _jobs_that_run_jobs(story: Story) -> None:
    """A run that makes another one, which is cancelled with it while it waits."""
    settings = {k: v for k, v in submission().items() if k != "run_name"}
    job = story.world.api("POST", "/api/2.0/jobs/create", settings).body["job_id"]
    for function in ("launch", "check"):
        parent = story.granted(spark_python_task=None, run_job_task={"job_id": job})
        story.drive(function, parent)
        child = int(story.record(parent).engine_id)
        story.world.missed()
        story.drive("launch", parent)  # the execution that is to be woken
        story.intend(parent)
        story.drive(function, parent)
        assert story.record(child).state is RunState.CANCELED
        story.world.pump()
        assert story.record(parent).state is RunState.CANCELED
    settings |= {"spark_python_task": None, "run_job_task": {"job_id": job}, "max_retries": 1}
    retried = story.world.api("POST", "/api/2.0/jobs/create", settings).body["job_id"]
    parent = story.world.api("POST", "/api/2.0/jobs/run-now", {"job_id": retried}).body["run_id"]
    story.world.pump()
    story.drive("launch", parent)
    child = int(story.record(parent).engine_id)
    story.world.pump()
    story.drive("launch", child)
    story.end(child, "FAILED")
    story.over("check", child)
    story.world.pump()
    assert story.record(parent).state is RunState.FAILED and story.record(parent).next_attempt


def _console(story: Story) -> None:
    """The console's files, and what its pages ask of a run and of a job."""
    api = story.world.api
    for operation in app.console.OPERATIONS:
        if "{" not in operation.path:
            token = {"token": ""} if isinstance(operation, OpenOperation) else {}
            assert api("GET", operation.path, **token).status == 200
    settings = {k: v for k, v in submission().items() if k != "run_name"}
    job = api("POST", "/api/2.0/jobs/create", settings).body["job_id"]
    run = api("POST", "/api/2.0/jobs/run-now", {"job_id": job}).body["run_id"]
    base = "/console/v1"
    for path in (f"jobs/{job}/runs/1", f"jobs/{job}/fires", f"runs/{run}", f"runs/{run}/logs/stdout"):
        assert api("GET", f"{base}/{path}").status == 200
    assert api("GET", f"{base}/clusters/{cluster_id(run)}").body == {"run_id": run}
    application = api("GET", f"{base}/runs/{run}").body["analytics_engine_id"]
    assert api("GET", f"{base}/applications/{application}").body == {"run_id": run}
    assert api("POST", "/api/2.0/jobs/runs/cancel", {"run_id": run}).status == 200


def _pipelines(story: Story) -> None:
    """A pipeline's life: registered, updated, stopped, changed and removed."""
    api, base = story.world.api, "/api/2.0/pipelines"
    settings = {"name": "tables", "libraries": [{"file": {"path": "dbfs:/tables.py"}}]}
    one = f"{base}/{api('POST', base, settings).body['pipeline_id']}"
    update = api("POST", f"{one}/updates", {}).body["update_id"]
    assert api("GET", f"{one}/updates/{update}").body["update"]["state"] == "WAITING_FOR_RESOURCES"
    for path in (base, one, f"{one}/updates"):
        assert api("GET", path).status == 200
    story.world.pump()
    run = api("GET", f"{one}/updates/{update}").body["update"]["run_id"]
    story.drive("launch", run)
    assert api("POST", f"{one}/stop", {}).status == 200
    story.world.pump()
    story.drive("check", run)
    assert api("PUT", one, {**settings, "name": "other"}).status == 200
    assert api("DELETE", one).status == 200


def _elsewhere(story: Story) -> None:
    """A run of a pool that names a virtual cluster and an execution role of its own."""
    placement = Placement(story.world.other_cluster, POOL_ROLE)
    pools.ensure_pool(story.world.ports, "main", "elsewhere", defaults={"placement": placement})
    cluster = {"spark_version": "15.4.x-scala2.12", "instance_pool_id": "elsewhere", "num_workers": 1}
    run = story.granted(new_cluster=cluster)
    story.drive("launch", run)
    assert story.record(run).engine_id.startswith(story.world.other_cluster)
    story.heard(run)
    story.drive("check", run)
    story.intend(run)
    story.world.pump()
    story.over("check", run)
    assert story.record(run).state is RunState.CANCELED
    story.world.invoke("sweep", {})


def _cluster_logs(story: Story) -> None:
    """A run whose logs are delivered to the workspace's files: small ones as text, large ones as they are."""
    cluster = {**submission()["new_cluster"], "cluster_log_conf": {"dbfs": {"destination": "dbfs:/logs"}}}
    for function in ("launch", "check", "engine_event"):
        run = story.granted(new_cluster=cluster)
        story.drive("launch", run)
        story.heard(run)
        for most in (log_delivery.MOST_PACKED, 1):
            name = story.world.ports.engine.log_names(story.record(run), "stdout")[0]
            story.world.ports.blobs.put(name, gzip.compress(b"said"))
            with patch.object(log_delivery, "MOST_PACKED", most):
                if most == 1:
                    story.end(run, "COMPLETED")
                    story.over(function, run)
                else:
                    story.drive("check" if function == "check" else "launch", run)
        names = story.world.ports.blobs.list("main/dbfs/logs/").blobs
        assert {blob.name.rpartition("/")[2] for blob in names} == {"stdout.gz"}


def _applications(story: Story) -> None:
    api = story.world.api
    login = api("POST", "/v1/authorize", {"username": "admin", "password": "password"}, token="")
    assert login.status == 200, login
    assert api("POST", "/icp4d-api/v1/authorize", {"username": "admin", "password": "password"}, token="").status == 200
    base = f"/v4/analytics_engines/{instance_id(story.world.ports, 'main', 'default')}"
    assert api("GET", base, token=login.body["token"]).status == 200
    details = {"application": "s3://bucket/main.py", "env": {"LARGE": LARGE}}
    made = api("POST", f"{base}/spark_applications", {"application_details": details})
    assert made.status == 202, made
    one = f"{base}/spark_applications/{made.body['id']}"
    for path in (one, f"{one}/status", f"{base}/spark_applications"):
        assert api("GET", path).status == 200
    assert api("GET", f"{base}/spark_applications", state="accepted").status == 200
    assert api("DELETE", one).status == 204
    _volumes(story, f"{base}/spark_applications")
    _instances(api, base)
    _history(story, base)
    _identities(story, login.body["token"])


def _volumes(story: Story, path: str) -> None:
    """A driver asks for the files of a volume, and where to store one; it deletes another."""
    body = {"application_details": {"application": "/v/main.py"}, "volumes": [{"name": "v", "mount_path": "/v"}]}
    assert story.world.api("POST", path, body).status == 202
    story.world.pump()
    run = max(hold.run for hold in story.world.ports.store.page(holds_of("default"), limit=500).records)
    story.drive("launch", run)
    door = f"/driver/v1/runs/main.{run}/volumes/0"
    asked = story.world.api("GET", door, token=_secret(story, run))
    assert asked.status == 200, asked
    for told in ({"files": {"a": 1}}, {"removed": ["b"]}):
        assert story.world.api("POST", door, told, token=_secret(story, run)).status == 200
    story.end(run, "COMPLETED")
    story.over("check", run)


def _instances(api: Any, base: str) -> None:
    """An instance's defaults and quota, while something waits."""
    for what, body in (
        ("default_runtime", {"spark_version": "3.5"}),
        ("default_configs", {"spark.a": "b"}),
        ("resource_consumption_limits", {"max_cores": "100", "max_memory": "400Gi"}),
    ):
        assert api("PUT", f"{base}/{what}", body).status == 200
        assert api("GET", f"{base}/{what}").status == 200
    assert api("PATCH", f"{base}/default_configs", {"spark.a": None}).status == 200
    assert api("GET", f"{base}/current_resource_consumption").status == 200
    assert api("DELETE", f"{base}/resource_consumption_limits").status == 204


def _history(story: Story, base: str) -> None:
    """A history server, which nothing in this world answers for."""
    api, server = story.world.api, f"{base}/spark_history_server"
    started = api("POST", server)
    assert started.status == 201, started
    story.world.pump()
    run = max(hold.run for hold in story.world.ports.store.page(holds_of("default"), limit=500).records)
    story.drive("launch", run)
    assert story.record(run).spec.kind is RunKind.HISTORY
    assert api("GET", server).status == 200
    assert api("GET", f"{server}/ui/index.html").status == 503
    entered = api("POST", f"{server}/session")
    assert entered.status == 204
    cookie = entered.headers["Set-Cookie"].partition(";")[0]
    assert api("GET", f"{server}/ui/index.html", token="", headers={"Cookie": cookie}).status == 503
    assert api("DELETE", f"{server}/session", headers={"Cookie": cookie}).status == 204
    story.heard(run)
    assert api("GET", f"{server}/ui/index.html").status == 501
    assert api("DELETE", server).status == 204
    story.world.pump()
    story.over("check", run)


def _declared(story: Story) -> None:
    """An instance that a stack declares, changes and lets go of."""
    told: list[str] = []
    event = {
        "ResponseURL": "",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Instance",
        "ResourceProperties": {"name": "declared", "max_cores": "4"},
    }
    with patch.object(wiring, "put_answer", lambda url, body: told.append(json.loads(body)["Status"])):
        for kind in ("Create", "Update", "Delete"):
            story.world.invoke(
                "instance_resource", {**event, "RequestType": kind, "PhysicalResourceId": "main/declared"}
            )
    assert told == ["SUCCESS"] * 3


def _identities(story: Story, token: str) -> None:
    api = story.world.api
    form = {"grant_type": "password", "username": "admin", "password": "password"}
    assert api("POST", "/idprovider/v1/auth/identitytoken", form, token="").status == 200
    told = {"username": "admin", "iam-token": token}
    assert api("GET", "/v1/preauth/validateAuth", token="", headers=told).status == 200
    for path in ("/usermgmt/v1/user/apiKey", "/api/v1/usermgmt/v1/user/apiKey"):
        assert api("GET", path).status == api("POST", path).status == 200


def _rings(story: Story) -> None:
    """Rung by hand: one run to grant, and one that must wait for its time."""
    for function in ("ring", "dispatch", "sweep"):
        story.world.missed()
        run, later = story.submit(), story.submit()
        _postpone(story, later)
        event = {"cluster": "default"}
        if function == "dispatch":
            story.world.pump()
        else:
            story.world.missed()
            story.world.invoke(function, event)
        assert story.record(run).state is RunState.GRANTED
        assert story.record(later).state is RunState.QUEUED


def _postpone(story: Story, run: int) -> None:
    """Move a run's place in the queue an hour on."""
    store, record = story.world.ports.store, story.record(run)
    row = queue_row(story.world.ports, record)
    row_key = key(QueueRow, row.cluster, row.workspace, row.pool, row.ready_at, row.run)
    stored = store.fetch([row_key])[row_key]
    store.commit([Delete(stored), Put(replace(stored, ready_at=row.ready_at + 3_600_000, version=0))])


def _repairs(story: Story) -> None:
    """A run whose execution never came, a driver whose run has ended, a hold without a run."""
    world = story.world
    run = story.submit()
    world.missed()
    world.invoke("ring", {"cluster": "default"})  # granted, and the stream's record of it is lost
    world.missed()
    stray = story.launched()
    story.end(stray, "COMPLETED")
    story.over("check", stray)
    world.drivers()[story.record(stray).engine_id].state = "RUNNING"
    lost = Hold("default", "main", 1, "default", story.record(run).spec.amount())
    world.ports.store.commit([Put(lost)])
    repaired = world.invoke("sweep", {})
    assert repaired["restarted"] >= 2 and repaired["strays"] >= 1
    assert story.record(run).generation == 2


def _files(story: Story) -> None:
    """Files of the workspace: whole, in blocks, in parts; looked at, moved and deleted."""
    base, api = "/api/2.0/dbfs", story.world.api

    def did(verb: str, **body: Any) -> Any:
        answer = api("POST", f"{base}/{verb}", body)
        assert answer.status == 200, answer
        return answer.body

    did("mkdirs", path="/d")
    did("put", path="/d/small", contents="YQ==")
    for count in (1, 9):
        handle = did("create", path=f"/d/{count}")["handle"]
        for _ in range(count):
            did("add-block", handle=handle, data=base64.b64encode(bytes(1 << 20)).decode())
        did("close", handle=handle)
    for verb in ("get-status", "list", "read"):
        answer = api("GET", f"{base}/{verb}", {"path": "/d/9"})
        assert answer.status == 200, answer
    for method, path, status in (
        ("PUT", "/d/new", 307), ("GET", "/d/9", 307), ("HEAD", "/d/9", 307), ("DELETE", "/d/1", 204)
    ):  # fmt: skip
        assert api(method, f"/api/2.0/fs/files{path}").status == status
    did("move", source_path="/d", destination_path="/e")
    did("delete", path="/e", recursive=True)


def _tree(story: Story) -> None:
    """Notebooks and files of the workspace's tree, and what a driver reads of them."""
    base, api = "/api/2.0/workspace", story.world.api

    def did(verb: str, **body: Any) -> None:
        answer = api("POST", f"{base}/{verb}", body)
        assert answer.status == 200, answer

    did("mkdirs", path="/d/e")
    text = base64.b64encode(b"x" * 4_100_000).decode()
    did("import", path="/d/e/n", language="PYTHON", content="eA==")
    did("import", path="/d/large", language="PYTHON", content=text)
    did("import", path="/d/f", format="RAW", content=text)
    for verb in ("get-status", "list", "export"):
        assert api("GET", f"{base}/{verb}", {"path": "/d/e/n"}).status == 200
    assert api("GET", f"{base}/export", {"path": "/d/f", "direct_download": True}).status == 307
    run = story.launched()
    for path, told in (("/d/e/n", "notebook"), ("/d/large", "link")):
        answer = api("GET", f"/driver/v1/runs/main.{run}/notebook", token=_secret(story, run), path=path)
        assert told in answer.body, answer
    did("delete", path="/d", recursive=True)


def _secrets(story: Story) -> None:
    """Secrets, and what a driver reads of them."""
    base, api = "/api/2.0/secrets", story.world.api
    for verb, body in (
        ("scopes/create", {}),
        ("put", {"key": "k", "string_value": "x"}),
        ("acls/put", {"principal": "users", "permission": "READ"}),
    ):
        answer = api("POST", f"{base}/{verb}", {"scope": "s", **body})
        assert answer.status == 200, answer
    for verb, query in (
        ("scopes/list", {}),
        ("list", {"scope": "s"}),
        ("acls/list", {"scope": "s"}),
        ("acls/get", {"scope": "s", "principal": "users"}),
    ):
        assert api("GET", f"{base}/{verb}", query).status == 200
    for verb in ("2.0/clusters/list-node-types", "2.0/clusters/spark-versions",
                 "2.1/clusters/list-node-types", "2.1/clusters/spark-versions"):  # fmt: skip
        assert api("GET", f"/api/{verb}").status == 200
    run = story.launched()
    for path in ("", "/s", "/s/k"):
        assert api("GET", f"/driver/v1/runs/main.{run}/secrets{path}", token=_secret(story, run)).status == 200
    for verb, gone in (("acls/delete", {"principal": "users"}), ("delete", {"key": "k"}), ("scopes/delete", {})):
        assert api("POST", f"{base}/{verb}", {"scope": "s", **gone}).status == 200


def _resets(story: Story) -> None:
    """A time-out that reaches a run which has a driver, and one that came nearer while its execution was on the way."""
    api = story.world.api
    settings = {k: v for k, v in submission().items() if k != "run_name"} | {"timeout_seconds": 100_000}
    job = api("POST", "/api/2.0/jobs/create", settings).body["job_id"]
    run = api("POST", "/api/2.0/jobs/run-now", {"job_id": job}).body["run_id"]
    story.world.pump()
    story.drive("launch", run)
    changed = {"job_id": job, "new_settings": {**settings, "timeout_seconds": 200_000}}
    assert api("POST", "/api/2.0/jobs/reset", changed).status == 200
    story.world.pump()
    assert story.record(run).spec.policy.timeout_ms == 200_000_000
    sooner = replace(story.record(run).spec.policy, timeout_ms=30_000)
    edit_run(story.world.ports, "main", run, lambda r: replace(r, spec=replace(r.spec, policy=sooner)))
    story.drive("launch", run)
    assert api("POST", "/api/2.0/jobs/delete", {"job_id": job}).status == 200


def _notices(story: Story) -> None:
    """Notices that the stream makes, that a reminder makes, and one whose delivery never began."""
    world = story.world
    base = "/api/2.0/notification-destinations"
    hook = {"generic_webhook": {"url": "https://192.0.2.1/"}}
    refused = world.api("POST", base, {"display_name": "nowhere", "config": hook})
    assert refused.status == 400, refused
    hook = {"generic_webhook": {"url": "https://hooks.example.com/"}}
    destination = world.api("POST", base, {"display_name": "pager", "config": hook}).body["id"]
    assert world.api("GET", base).body["results"][0]["id"] == destination
    assert world.api("GET", f"{base}/{destination}").status == 200
    told = ["ada@example.com"]
    settings = {"on_success": told, "on_duration_warning_threshold_exceeded": told}
    rule = {"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 3600}
    run = story.submit(
        email_notifications=settings,
        webhook_notifications={"on_success": [{"id": "unknown"}]},
        health={"rules": [rule]},
    )
    edit_run(world.ports, "main", run, lambda r: replace(r, created_at=r.created_at - 4_000_000))
    world.invoke("ring", {"workspace": "main", "run": run})
    world.pump()
    story.drive("launch", run)
    story.end(run, "COMPLETED")
    story.drive("check", run)
    assert story.record(run).state is RunState.SUCCEEDED
    world.pump()
    notices = [
        Notice("main", run, NoticeEvent.DURATION, Channel.EMAIL, "ada@example.com"),
        Notice("main", run, NoticeEvent.SUCCESS, Channel.EMAIL, "ada@example.com"),
        Notice("main", run, NoticeEvent.SUCCESS, Channel.WEBHOOK, "unknown"),
    ]
    assert [_notify(story, notice) for notice in notices] == ["SENT", "SENT", "DEAD"]
    world.ports.store.commit([Put(replace(notices[0], target="bob@example.com"))])
    assert world.invoke("sweep", {})["notices"] == 1
    assert world.api("DELETE", f"{base}/{destination}").status == 200


def _notify(story: Story, notice: Notice) -> str:
    names = ("workspace", "subject", "event", "channel", "target", "generation")
    return str(story.world.invoke("notify", {name: getattr(notice, name) for name in names})["status"])


@pytest.fixture(scope="module")
def lived() -> Iterator[World]:
    """A deployment that has been through everything."""
    with pytest.MonkeyPatch.context() as patch, deployed(patch) as world:
        story = Story(world)
        world.api("GET", "/health", token="")
        for chapter in (
            _a_good_run,
            _notebooks,
            _launches_that_died,
            _cancels,
            _jobs,
            _schedules,
            _fires,
            _jobs_that_run_jobs,
            _console,
            _pipelines,
            _elsewhere,
            _cluster_logs,
            _applications,
            _declared,
            _files,
            _tree,
            _secrets,
            _rings,
            _resets,
            _notices,
            _repairs,
        ):
            chapter(story)
        world.api("GET", "/api/2.0/jobs/runs/get", run_id=story.submit())
        yield world


def test_the_story_asks_for_every_operation_of_the_api(lived: World) -> None:
    operations = {(o.method, o.path) for dialect in app.DIALECTS for o in dialect.OPERATIONS}
    assert operations - lived.answered == set()


def test_the_story_calls_every_function(lived: World) -> None:
    assert {call.function for call in lived.calls} == set(LOGICAL)


@pytest.mark.parametrize("function", LOGICAL)
def test_a_function_may_do_all_that_it_does(lived: World, function: str) -> None:
    refused = {
        need[:2]
        for call in lived.calls
        if call.function == function
        for need in needs_of(call)
        if not any(grants(grant, need, lived) for grant in grants_of(function))
    }
    assert refused == set()


RARE = {("sweep", "emr-containers:DescribeJobRun")}
"""What a function does only in a race that moto cannot play: a driver that ends between the list and its cancel."""

ALIKE = {"dynamodb:BatchGetItem": "dynamodb:GetItem"}
"""Reading several records is reading one, several times; which is asked for depends on how many there are."""


@pytest.mark.parametrize("function", LOGICAL)
def test_a_function_does_all_that_it_may(lived: World, function: str) -> None:
    needs = [need for call in lived.calls if call.function == function for need in needs_of(call)]
    needs = [(ALIKE.get(action, action), resource, context) for action, resource, context in needs]
    idle = {
        (action, resource)
        for grant in GRANTS[function]
        for action in grant.actions
        for resource in grant.resources
        if action not in ALIKE and (function, action) not in RARE
        if not any(grants(Grant((action,), (resource,), grant.condition), need, lived) for need in needs)
    }
    assert idle == set()


@pytest.mark.parametrize("function", LOGICAL)
def test_no_role_names_everything(function: str) -> None:
    for grant in grants_of(function):
        assert "*" not in grant.resources
        assert not any(action.endswith("*") for action in grant.actions)


def test_drivers_never_reach_the_table_nor_a_spec() -> None:
    assert not any(action.startswith("dynamodb") for grant in DRIVER_GRANTS for action in grant.actions)
    denied = {
        (action, resource) for grant in DRIVER_DENIALS for action in grant.actions for resource in grant.resources
    }
    assert ("dynamodb:*", "${Table.Arn}") in denied
    assert ("s3:*", "${Bucket.Arn}/*/runs/*/spec.json") in denied


def test_drivers_reach_the_files_of_their_own_workspace_only() -> None:
    for grant in DRIVER_GRANTS:
        for resource in grant.resources:
            own = resource.startswith("${Bucket.Arn}/${Workspace}/")
            shared = resource == "${Bucket.Arn}/driver/*" or bool(grant.condition)
            assert own or shared, resource


def test_only_the_functions_that_drive_runs_may_start_drivers() -> None:
    may = {f for f in LOGICAL for grant in grants_of(f) if "emr-containers:StartJobRun" in grant.actions}
    assert may == {"launch", "check"}
