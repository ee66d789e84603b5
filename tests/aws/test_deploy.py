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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from botocore.config import Config

from chalicelib.dialects.http import METHODS
from infra.instances import DECLARED
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
    """The stack, in ministack. `environment` is what the administrator's command needs to know."""

    url: str
    resources: dict[str, str]
    types: dict[str, str]
    outputs: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)
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

    assert _ended(cloudformation, stack) == "CREATE_COMPLETE", _failures(cloudformation, stack)
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    summaries = [one for page in pages for one in page["StackResourceSummaries"]]
    return Deployment(
        url,
        {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in summaries},
        {one["LogicalResourceId"]: one["ResourceType"] for one in summaries},
        _outputs(cloudformation, stack),
    )


def _ended(cloudformation: Any, stack: str) -> str:
    """How a stack's operation has ended: the stack's status."""

    def ended() -> str | None:
        status = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        return None if status.endswith("IN_PROGRESS") else str(status)

    return eventually(ended, "the end of the deployment", 240)


def _failures(cloudformation: Any, stack: str) -> list[tuple[str, str]]:
    """The resources that failed, and why."""
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    return [
        (e["LogicalResourceId"], e.get("ResourceStatusReason", "")) for e in events if "FAILED" in e["ResourceStatus"]
    ]


def _outputs(cloudformation: Any, stack: str) -> dict[str, str]:
    told = cloudformation.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", ())
    return {one["OutputKey"]: one["OutputValue"] for one in told}


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
    """The stack, deployed; an administrator is made by the administrator's command."""
    with pytest.MonkeyPatch.context() as patch, ministack.running(tmp_path_factory.mktemp("ministack")) as url:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        made = _deploy(package, url)
        told = made.outputs["Environment"]
        environment = {**os.environ, **dict(word.split("=", 1) for word in told.split()), "AWS_ENDPOINT_URL": url}
        made.environment = environment
        admin(environment, "user", "create", "--user", "alice", "--role", "admin")
        made.token = admin(environment, "token", "create", "--user", "alice")["token"]
        yield made


def test_the_stack_has_everything_that_the_template_names(deployment: Deployment, template: dict[str, Any]) -> None:
    conditional = {name for name, resource in template["Resources"].items() if "Condition" in resource}
    assert set(template["Resources"]) - conditional - set(deployment.resources) == set()
    assert conditional & set(deployment.resources) == set()


def test_the_api_says_that_it_is_well(deployment: Deployment) -> None:
    assert deployment.request("GET", "/health") == (200, {"status": "ok"})


def _shown(deployment: Deployment, name: str) -> dict[str, Any]:
    return admin(deployment.environment, "instance", "show", "--name", name)


def test_the_deployment_has_made_the_instances_of_the_file(deployment: Deployment) -> None:
    (entry,) = json.loads(DECLARED.read_text())["instances"]
    shown = _shown(deployment, "default")
    assert {**shown, **entry} == shown
    assert shown["instance_id"] == deployment.outputs["DefaultInstanceId"]
    assert deployment.resources["DefaultInstance"] == "main/default"
    path = f"/v4/analytics_engines/{shown['instance_id']}/resource_consumption_limits"
    status, limits = deployment.request("GET", path, token=deployment.token)
    assert (status, limits) == (200, {"max_cores": "20", "max_memory": "80Gi"})


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


class Team:
    """A stack of somebody else's, with one instance in it."""

    def __init__(self, deployment: Deployment, name: str) -> None:
        self.name, self.client = name, deployment.client("cloudformation")

    def bring(self, **properties: Any) -> str:
        """Create or update the stack; its status."""
        token = {"Fn::ImportValue": f"{STACK}-InstanceServiceToken"}
        instance = {"Type": "Custom::SparkplaneInstance", "Properties": {"ServiceToken": token, **properties}}
        told = {part: {"Value": {"Fn::GetAtt": ["Etl", part]}} for part in ("InstanceId", "Path")}
        body = json.dumps({"Resources": {"Etl": instance}, "Outputs": told})
        known = any(s["StackName"] == self.name for s in self.client.describe_stacks()["Stacks"])
        (self.client.update_stack if known else self.client.create_stack)(StackName=self.name, TemplateBody=body)
        return _ended(self.client, self.name)


def test_another_stack_declares_changes_and_renames_an_instance(deployment: Deployment) -> None:
    team = Team(deployment, "team")
    conf = {"spark.eventLog.enabled": True, "spark.sql.shuffle.partitions": 64}
    assert team.bring(name="etl", max_cores=4, default_configs=conf) == "CREATE_COMPLETE"
    made = _shown(deployment, "etl")
    assert made["max_cores"] == "4" and "max_memory" not in made
    assert made["default_configs"] == {"spark.eventLog.enabled": "true", "spark.sql.shuffle.partitions": "64"}
    path = f"/v4/analytics_engines/{made['instance_id']}"
    assert _outputs(team.client, "team") == {"InstanceId": made["instance_id"], "Path": path}
    assert team.bring(name="etl", max_memory="8Gi", workspace="main") == "UPDATE_COMPLETE"
    changed = _shown(deployment, "etl")
    assert (changed.get("max_cores"), changed["max_memory"], changed["default_configs"]) == (None, "8Gi", {})
    assert changed["instance_id"] == made["instance_id"]
    assert team.bring(name="elt") == "UPDATE_COMPLETE"
    assert _outputs(team.client, "team")["InstanceId"] == _shown(deployment, "elt")["instance_id"]
    team.client.delete_stack(StackName="team")
    eventually(lambda: not _lives(team), "the removal of the stack")
    assert _shown(deployment, "etl") == changed
    assert _shown(deployment, "elt")["name"] == "elt"


def _lives(team: Team) -> bool:
    return any(s["StackName"] == team.name for s in team.client.describe_stacks()["Stacks"])


def test_a_refusal_fails_the_stack_with_its_sentence_and_a_later_one_is_rolled_back(deployment: Deployment) -> None:
    wrong = Team(deployment, "wrong")
    assert wrong.bring(name="a/b").startswith("ROLLBACK")
    assert ("Etl", "'a/b' cannot be an instance's name.") in _failures(wrong.client, "wrong")
    team = Team(deployment, "right")
    assert team.bring(name="lab", max_cores="2") == "CREATE_COMPLETE"
    before = _shown(deployment, "lab")
    assert team.bring(name="lab", max_cores="few").startswith("UPDATE_ROLLBACK")
    assert any("lab: max_cores: 'few' is not a number of cores" in why for _, why in _failures(team.client, "right"))
    assert _shown(deployment, "lab") == before


def test_an_update_of_the_stack_that_changes_no_instance_calls_nothing(deployment: Deployment) -> None:
    path = f"/v4/analytics_engines/{deployment.outputs['DefaultInstanceId']}/resource_consumption_limits"
    byhand = {"max_cores": "7", "max_memory": "9Gi"}
    assert deployment.request("PUT", path, byhand, deployment.token)[0] == 200
    cloudformation = deployment.client("cloudformation")
    changed = [{"ParameterKey": k, "ParameterValue": v} for k, v in (PARAMETERS | {"MaxJobs": "77"}).items()]
    url = f"{deployment.url}/{UPLOADS}/{TEMPLATE}"
    capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    cloudformation.update_stack(StackName=STACK, TemplateURL=url, Parameters=changed, Capabilities=capabilities)
    assert _ended(cloudformation, STACK) == "UPDATE_COMPLETE", _failures(cloudformation, STACK)
    function = deployment.client("lambda").get_function_configuration(FunctionName=f"{STACK}-instance-resource")
    assert function["Environment"]["Variables"]["SPARKPLANE_MAX_JOBS"] == "77"
    assert deployment.request("GET", path, token=deployment.token) == (200, byhand)


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
