"""The package deploys, and works: CloudFormation makes everything in an emulated AWS, and the API answers there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from botocore.config import Config

from chalicelib.dialects.http import METHODS
from infra.package import ROOT, TEMPLATE, ZIP
from tests.aws import ministack

REGION, STACK, UPLOADS = "us-east-1", "sparkplane", "uploads"
PARAMETERS = {"VirtualClusterId": "abcdefghijklmnopqrstuvwxy", "OidcProvider": "oidc.eks.us-east-1.amazonaws.com/id/A1"}
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}

T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str, seconds: float = 30) -> T:
    """What `look` finds, within a bounded time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    pytest.fail(f"{what} did not happen within {seconds} s")


@dataclass
class Deployment:
    """The stack, in ministack."""

    url: str
    resources: dict[str, str]
    types: dict[str, str]
    token: str = ""

    def client(self, service: str) -> Any:
        """A client of the emulated AWS."""
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION, config=Config(retries={"max_attempts": 0})
        )

    def request(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        """Send a request to the deployed API, over HTTP."""
        url = f"{self.url}/restapis/{self.resources['RestAPI']}/api/_user_request_{path}"
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read() or b"null")


def _deploy(package: Path, url: str, stack: str = STACK, **parameters: str) -> Deployment:
    """What `aws cloudformation package` and `deploy` do."""

    def client(service: str) -> Any:
        return boto3.client(service, endpoint_url=url, region_name=REGION)

    client("s3").create_bucket(Bucket=UPLOADS)
    client("s3").upload_file(str(package / ZIP), UPLOADS, ZIP)
    template = json.loads((package / TEMPLATE).read_text().replace(f'"./{ZIP}"', json.dumps(f"s3://{UPLOADS}/{ZIP}")))
    _spell_out_methods(template)
    client("s3").put_object(Bucket=UPLOADS, Key=TEMPLATE, Body=json.dumps(template).encode())
    cloudformation = client("cloudformation")
    cloudformation.create_stack(
        StackName=stack,
        TemplateURL=f"{url}/{UPLOADS}/{TEMPLATE}",
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in (PARAMETERS | parameters).items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )

    def ended() -> str | None:
        status = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        return None if status.endswith("IN_PROGRESS") else str(status)

    status = eventually(ended, "the end of the deployment", 60)
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [
        (e["LogicalResourceId"], e.get("ResourceStatusReason")) for e in events if "FAILED" in e["ResourceStatus"]
    ]
    assert status == "CREATE_COMPLETE", failed
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    summaries = [one for page in pages for one in page["StackResourceSummaries"]]
    return Deployment(
        url,
        {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in summaries},
        {one["LogicalResourceId"]: one["ResourceType"] for one in summaries},
    )


def _spell_out_methods(template: dict[str, Any]) -> None:
    """ministack 1.5.33 imports no `x-amazon-apigateway-any-method` (API Gateway does): name the methods instead."""
    paths = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    for path, methods in paths.items():
        paths[path] = {method.lower(): methods["x-amazon-apigateway-any-method"] for method in METHODS}


def admin(environment: dict[str, str], *words: str) -> dict[str, Any]:
    """The administrator's command, told of the deployment by the stack's own output."""
    command = [sys.executable, "-m", "chalicelib.admin", *words]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def deployment(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The stack, deployed; a pool and an administrator are made by the administrator's command."""
    with pytest.MonkeyPatch.context() as patch, ministack.running(tmp_path_factory.mktemp("ministack")) as url:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        made = _deploy(package, url)
        outputs = made.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
        (told,) = [one["OutputValue"] for one in outputs if one["OutputKey"] == "Environment"]
        environment = {**os.environ, **dict(word.split("=", 1) for word in told.split()), "AWS_ENDPOINT_URL": url}
        admin(environment, "pool", "set", "--pool", "default")
        admin(environment, "user", "create", "--user", "alice", "--role", "admin")
        made.token = admin(environment, "token", "create", "--user", "alice")["token"]
        yield made


def test_the_stack_has_everything_that_the_template_names(deployment: Deployment, template: dict[str, Any]) -> None:
    conditional = {name for name, resource in template["Resources"].items() if "Condition" in resource}
    assert set(template["Resources"]) - conditional - set(deployment.resources) == set()
    assert conditional & set(deployment.resources) == set()


def test_the_api_says_that_it_is_well(deployment: Deployment) -> None:
    assert deployment.request("GET", "/health") == (200, {"status": "ok"})


def test_the_api_refuses_strangers_in_each_dialects_words(deployment: Deployment) -> None:
    status, body = deployment.request("GET", "/api/2.0/jobs/list", token="spk_main_nobody")
    assert (status, body["error_code"]) == (401, "UNAUTHENTICATED")
    status, body = deployment.request("GET", "/v4/analytics_engines/abc/spark_applications")
    assert (status, body["errors"][0]["code"]) == (401, "unauthorized")


def test_a_job_that_was_created_is_listed(deployment: Deployment) -> None:
    settings = {**_program("nightly"), "name": "nightly"}
    status, made = deployment.request("POST", "/api/2.0/jobs/create", settings, deployment.token)
    assert status == 200, made
    status, listed = deployment.request("GET", "/api/2.0/jobs/list", token=deployment.token)
    assert (status, [job["job_id"] for job in listed["jobs"]]) == (200, [made["job_id"]])


def _program(name: str) -> dict[str, Any]:
    cluster = {"spark_version": "15.4.x-scala2.12", "node_type_id": "i3.xlarge", "num_workers": 1}
    return {"new_cluster": cluster, "spark_python_task": {"python_file": "s3://bucket/main.py"}}


def test_a_submitted_run_is_granted_and_started_through_the_stream(deployment: Deployment) -> None:
    body = {**_program("once"), "run_name": "once"}
    status, made = deployment.request("POST", "/api/2.0/jobs/runs/submit", body, deployment.token)
    assert status == 200, made
    run = made["run_id"]
    states = deployment.client("stepfunctions")
    machine = deployment.resources["RunMachine"]

    def executed() -> str | None:
        found = states.list_executions(stateMachineArn=machine)["executions"]
        return next((e["executionArn"] for e in found if e["name"] == f"main.{run}.1"), None)

    execution = eventually(executed, "the run's execution")
    history = eventually(lambda: _entered(states, execution, "Launch"), "the state Launch")
    assert history
    status, seen = deployment.request("GET", f"/api/2.0/jobs/runs/get?run_id={run}", token=deployment.token)
    assert status == 200
    assert seen["state"]["life_cycle_state"] == "PENDING"


def _entered(states: Any, execution: str, state: str) -> bool:
    events = states.get_execution_history(executionArn=execution)["events"]
    return any(e.get("stateEnteredEventDetails", {}).get("name") == state for e in events)


ALL_OPTIONS = {
    "DomainName": "spark.example.com",
    "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/a",
    "HostedZoneId": "Z1",
    "DriverPolicies": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess,arn:aws:iam::aws:policy/AWSGlueConsoleFullAccess",
    "PoolClusterIds": "one,two",
    "PoolRoleArns": "arn:aws:iam::123456789012:role/a,arn:aws:iam::123456789012:role/b",
    "RequestSeconds": "60",
    "AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms",
}


@pytest.fixture(scope="module")
def adorned(deployment: Deployment, package: Path) -> Deployment:
    """A second stack, beside the first, with every option that the emulator knows."""
    zone = deployment.client("route53").create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
    options = {**ALL_OPTIONS, "HostedZoneId": zone.rpartition("/")[2]}
    return _deploy(package, deployment.url, "adorned", **options)


def test_two_stacks_live_side_by_side_with_names_of_their_own(deployment: Deployment, adorned: Deployment) -> None:
    assert deployment.resources["Dispatch"] == "sparkplane-dispatch"
    assert adorned.resources["Dispatch"] == "adorned-dispatch"
    assert {"Domain", "DomainMapping", "DomainRecord"} <= set(adorned.resources)


def test_a_longer_request_time_reaches_the_function(adorned: Deployment) -> None:
    assert adorned.client("lambda").get_function_configuration(FunctionName="adorned-api")["Timeout"] == 60


def test_what_the_owner_names_for_pools_is_what_launch_may_reach(adorned: Deployment) -> None:
    iam, role = adorned.client("iam"), adorned.resources["LaunchRole"]
    document = iam.get_role_policy(RoleName=role, PolicyName="function")["PolicyDocument"]
    found = json.loads(document) if isinstance(document, str) else document
    starts = [s for s in found["Statement"] if "emr-containers:StartJobRun" in s["Action"]]
    looks = [s for s in found["Statement"] if "emr-containers:DescribeJobRun" in s["Action"]]
    everywhere = "arn:*:emr-containers:*:*:/virtualclusters/"
    assert starts[1]["Resource"] == [f"{everywhere}one", f"{everywhere}two"]
    assert looks[1]["Resource"] == [f"{everywhere}one/jobruns/*", f"{everywhere}two/jobruns/*"]
    own = iam.get_role(RoleName=adorned.resources["DriverRole"])["Role"]["Arn"]
    allowed = [s["Condition"]["StringEquals"]["emr-containers:ExecutionRoleArn"] for s in starts]
    assert allowed == [[own, *ALL_OPTIONS["PoolRoleArns"].split(",")]] * 2


def test_drivers_trust_the_clusters_oidc_provider_and_have_the_owners_policies(adorned: Deployment) -> None:
    iam, role = adorned.client("iam"), adorned.resources["DriverRole"]
    trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    trust = json.loads(trust) if isinstance(trust, str) else trust
    (statement,) = trust["Statement"]
    (subject,) = statement["Condition"]["StringLike"].items()
    assert subject[0] == "oidc.eks.us-east-1.amazonaws.com/id/A1:sub"
    assert subject[1].startswith("system:serviceaccount:sparkplane:emr-containers-sa-*-*-")
    attached = {one["PolicyArn"] for one in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]}
    assert attached == {adorned.resources["DriverPolicy"], *ALL_OPTIONS["DriverPolicies"].split(",")}


def test_drivers_events_reach_the_engine_of_the_clusters_in_use_only(adorned: Deployment) -> None:
    rules = adorned.client("events").list_rules()["Rules"]
    patterns = [
        json.loads(rule["EventPattern"]) for rule in rules if "adorned" in rule["Name"] and "EventPattern" in rule
    ]
    assert [p["detail"]["virtualClusterId"] for p in patterns] == [[PARAMETERS["VirtualClusterId"], "one", "two"]]
