"""The template: without fault, complete, and as tight as it claims to be."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from statelint.linter import Linter

import app
from chalicelib import wiring
from infra import instances
from infra.edge import count_nodes
from infra.functions import LOGICAL
from infra.package import ROOT, TEMPLATE, Package, report
from infra.template import ENVIRONMENT
from infra.template import template as make_template
from infra.triggers import STREAM_TRIGGERS
from infra.workflow import notify_machine, ring_machine, run_machine

ARN = "arn:aws:lambda:us-east-1:123456789012:function:"
MACHINES = {
    name: machine(lambda function: ARN + function)
    for name, machine in (("run", run_machine), ("notify", notify_machine), ("ring", ring_machine))
}
ALARMS_FREE_OF_CHARGE = 10
RESOURCES_OF_AN_API = 300
TEMPLATE_LIMIT = 1_000_000


def of_type(template: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The properties of all resources of a type."""
    return {n: r.get("Properties", {}) for n, r in template["Resources"].items() if r["Type"] == kind}


def statements(role: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The statements of a role's own policies."""
    for policy in role.get("Policies", ()):
        yield from policy["PolicyDocument"]["Statement"]


def cfn_lint(template: Path) -> tuple[str, int]:
    """What cfn-lint says, and its exit code."""
    lint = [sys.executable, "-c", "from cfnlint.runner import main; main()", str(template)]
    done = subprocess.run(lint, check=False, capture_output=True, text=True, timeout=120)
    return done.stdout, done.returncode


def test_cfn_lint_finds_nothing(package: Path) -> None:
    assert cfn_lint(package / TEMPLATE) == ("", 0)


def test_cfn_lint_would_find_a_fault_in_a_function(template: dict[str, Any], tmp_path: Path) -> None:
    function = json.loads(json.dumps(template["Resources"]["Dispatch"]))
    function["Properties"] |= {"MemorySize": "much", "Role": "arn:aws:iam::123456789012:role/a", "Environment": {}}
    broken = {"Transform": template["Transform"], "Resources": {"Dispatch": function}}
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    said, code = cfn_lint(tmp_path / "broken.json")
    assert code != 0 and "'much' is not of type 'integer'" in said


def test_the_template_is_small_enough_for_cloudformation(package: Path) -> None:
    assert (package / TEMPLATE).stat().st_size < TEMPLATE_LIMIT


def test_the_api_has_fewer_resources_than_an_api_may_have(template: dict[str, Any]) -> None:
    paths = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    assert count_nodes(["/a/b", "/a/{c}", "/a", "/"]) == 4
    assert count_nodes(paths) < RESOURCES_OF_AN_API


def test_every_route_of_the_app_is_in_the_api_and_takes_every_method(template: dict[str, Any]) -> None:
    paths = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    assert set(paths) == set(app.app.routes)
    assert "/{proxy+}" in paths
    assert {method for methods in paths.values() for method in methods} == {"x-amazon-apigateway-any-method"}


def test_the_api_is_regional_takes_binary_and_has_our_words_for_the_gateways_errors(template: dict[str, Any]) -> None:
    api = template["Resources"]["RestAPI"]["Properties"]
    assert api["EndpointConfiguration"] == {"Type": "REGIONAL"}
    told = api["DefinitionBody"]["x-amazon-apigateway-gateway-responses"]
    assert api["DefinitionBody"]["x-amazon-apigateway-binary-media-types"] == ["*/*"]
    assert "4.5 MB" in told["REQUEST_TOO_LARGE"]["responseTemplates"]["application/json"]


def test_every_function_has_a_role_of_its_own_and_logs_that_end(template: dict[str, Any]) -> None:
    functions = of_type(template, "AWS::Serverless::Function")
    assert set(functions) == set(LOGICAL.values())
    roles = [function["Role"]["Fn::GetAtt"][0] for function in functions.values()]
    assert len(set(roles)) == len(functions)
    kept = {group["LogGroupName"]["Fn::Sub"] for group in of_type(template, "AWS::Logs::LogGroup").values()}
    assert kept == {f"/aws/lambda/{function['FunctionName']['Fn::Sub']}" for function in functions.values()}


def test_no_policy_allows_everything_on_anything(template: dict[str, Any]) -> None:
    policies = [s for role in of_type(template, "AWS::IAM::Role").values() for s in statements(role)]
    policies += template["Resources"]["DriverPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    statements_ = [s["Fn::If"][1] if "Fn::If" in s else s for s in policies]
    allowed = [s for s in statements_ if s["Effect"] == "Allow"]
    assert len(allowed) > 50
    for statement in allowed:
        assert "*" not in statement["Resource"]
        assert not any("*" in action for action in statement["Action"])


def test_other_virtual_clusters_are_reached_only_if_the_owner_names_them(template: dict[str, Any]) -> None:
    found = list(statements(template["Resources"]["LaunchRole"]["Properties"]))
    conditional = [s["Fn::If"] for s in found if "Fn::If" in s]
    assert {condition for condition, _, _ in conditional} == {"HasPoolClusters"}
    actions = {action for _, statement, _ in conditional for action in statement["Action"]}
    assert actions == {
        f"emr-containers:{a}" for a in ("StartJobRun", "TagResource", "ListJobRuns", "DescribeJobRun", "CancelJobRun")
    }


def test_the_drivers_policy_denies_the_table(template: dict[str, Any]) -> None:
    policy = template["Resources"]["DriverPolicy"]["Properties"]["PolicyDocument"]
    denied = [s for s in policy["Statement"] if s["Effect"] == "Deny"]
    assert any(s["Action"] == ["dynamodb:*"] and {"Fn::Sub": "${Table.Arn}"} in s["Resource"] for s in denied)


def test_the_functions_environment_is_what_wiring_reads(template: dict[str, Any]) -> None:
    read = set(re.findall(r"SPARKPLANE_[A-Z_]+", Path(wiring.__file__).read_text()))
    assert read == set(ENVIRONMENT)
    for function in of_type(template, "AWS::Serverless::Function").values():
        assert function["Environment"]["Variables"] == json.loads(json.dumps(ENVIRONMENT))


def test_the_table_is_as_the_design_asks(template: dict[str, Any]) -> None:
    resource = template["Resources"]["Table"]
    table = resource["Properties"]
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSESpecification"]["SSEEnabled"] is True
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert table["TimeToLiveSpecification"]["Enabled"] is True


def test_the_bucket_is_private_encrypted_and_tls_only(template: dict[str, Any]) -> None:
    bucket = template["Resources"]["Bucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]
    (statement,) = template["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_every_stream_trigger_is_deployed_with_its_filters_and_dead_letters(template: dict[str, Any]) -> None:
    mappings = of_type(template, "AWS::Lambda::EventSourceMapping")
    assert len(mappings) == len(STREAM_TRIGGERS)
    for trigger in STREAM_TRIGGERS:
        mapping = mappings[f"{LOGICAL[trigger.function]}OnStream"]
        deployed = [json.loads(one["Pattern"]) for one in mapping["FilterCriteria"]["Filters"]]
        assert deployed == json.loads(json.dumps(trigger.filters))
        assert mapping["FunctionName"] == {"Ref": LOGICAL[trigger.function]}
        queue = mapping["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
        assert template["Resources"][queue]["Type"] == "AWS::SQS::Queue"


def test_every_dead_letter_queue_has_an_alarm_and_alarms_are_free(template: dict[str, Any]) -> None:
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    watched = [str(alarm["Dimensions"]) for alarm in alarms.values()]
    for queue in of_type(template, "AWS::SQS::Queue"):
        assert any(f"'{queue}'" in dimensions for dimensions in watched)
    assert len(alarms) <= ALARMS_FREE_OF_CHARGE


def test_nothing_in_the_stack_costs_by_the_hour(template: dict[str, Any]) -> None:
    idle_is_free = {
        "AWS::ApiGateway::BasePathMapping", "AWS::ApiGateway::DomainName", "AWS::CloudWatch::Alarm",
        "AWS::DynamoDB::Table", "AWS::EMRContainers::VirtualCluster", "AWS::Events::Rule", "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Role", "AWS::Scheduler::ScheduleGroup",
        "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::EventSourceMapping", "AWS::Lambda::Permission",
        "AWS::Logs::LogGroup", "AWS::Route53::RecordSet", "AWS::S3::Bucket", "AWS::S3::BucketPolicy",
        "AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "AWS::Serverless::Api", "AWS::Serverless::Function",
        "AWS::StepFunctions::StateMachine", "Custom::SparkplaneInstance",
    }  # fmt: skip
    assert {resource["Type"] for resource in template["Resources"].values()} <= idle_is_free


def test_a_function_that_infra_does_not_know_stops_the_packaging(template: dict[str, Any]) -> None:
    functions = of_type(template, "AWS::Serverless::Function")
    resources = {n: r for n, r in template["Resources"].items() if n in functions or n == "RestAPI"}
    resources["Surprise"] = resources["Dispatch"]
    with pytest.raises(ValueError, match="Surprise"):
        make_template({"Resources": resources}, [])


# Instances as code.


def written(path: Path, told: Any) -> Path:
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    return path


def test_every_instance_of_the_file_is_a_resource_that_outlives_the_stack_and_an_output(
    template: dict[str, Any],
) -> None:
    entries = json.loads(instances.DECLARED.read_text())["instances"]
    found = {n: r for n, r in template["Resources"].items() if r["Type"] == instances.TYPE}
    assert len(found) == len(entries) > 0
    for entry in entries:
        name = instances.logical_id(entry["name"])
        own = {"ServiceToken": {"Fn::GetAtt": ["InstanceResource", "Arn"]}, "ServiceTimeout": 600}
        assert found[name]["Properties"] == {**own, "workspace": {"Ref": "Workspace"}, **entry}
        assert found[name]["DeletionPolicy"] == found[name]["UpdateReplacePolicy"] == "Retain"
        assert template["Outputs"][f"{name}Id"]["Value"] == {"Fn::GetAtt": [name, "InstanceId"]}
    token = template["Outputs"]["InstanceServiceToken"]
    assert token["Export"] == {"Name": {"Fn::Sub": "${AWS::StackName}-InstanceServiceToken"}}


def test_lambda_gives_an_event_up_before_cloudformation_does(template: dict[str, Any]) -> None:
    tries = template["Resources"]["InstanceResourceTries"]["Properties"]
    timeout = template["Resources"]["InstanceResource"]["Properties"]["Timeout"]
    assert tries["FunctionName"] == {"Ref": "InstanceResource"}
    assert tries["MaximumEventAgeInSeconds"] + timeout < instances.SERVICE_TIMEOUT


def test_each_name_has_a_logical_id_of_its_own_of_letters_and_digits() -> None:
    names = ["default", "etl", "ETL", "Etl", "e-tl", "e tl", "etl2", "2etl", "\u00e9", "\u00e8", "etl2x"]
    ids = [instances.logical_id(name) for name in names]
    assert len(set(ids)) == len(names)
    assert all(id.isascii() and id.isalnum() for id in ids)
    assert ids[:2] == ["DefaultInstance", "EtlInstance"]


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("{", "it is not JSON: "),
        ({}, 'it is not of the form {"instances": […]}.'),
        ({"instances": [{"name": "a"}, {"max_cores": 1}]}, "instances[1]: an instance must be an object with a name."),
        ({"instances": [{"name": "etl", "max_cores": "x"}]}, "etl: max_cores: 'x' is not a number of cores"),
        ({"instances": [{"name": "etl", "cores": 4}]}, "etl: unknown field 'cores'; known are "),
        ({"instances": [{"name": "etl", "spark_version": "9.1"}]}, "etl: Spark 9.1 is not available."),
        ({"instances": [{"name": "etl"}, {"name": "etl"}]}, "etl: the name is there twice."),
        (None, "cannot be read: "),
    ],
)
def test_a_file_that_is_wrong_stops_the_packaging_with_a_sentence_that_names_the_entry(
    tmp_path: Path, told: Any, sentence: str
) -> None:
    file = tmp_path / "instances.json"
    if told is not None:
        written(file, told)
    command = [sys.executable, "-m", "infra.package", "--out", str(tmp_path / "out"), "--instances", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and done.stdout == ""
    assert sentence in done.stderr and str(file) in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_which_schemes_a_deployment_takes_is_not_judged_when_it_is_packaged(tmp_path: Path) -> None:
    conf = {"spark.jars": "HDFS://namenode/a.jar,/opt/b.jar", "spark.files": "local:///c"}
    told = {"instances": [{"name": "etl", "default_configs": conf}]}
    assert instances.read(written(tmp_path / "instances.json", told)) == told["instances"]


def test_a_template_with_several_instances_is_without_fault(template: dict[str, Any], tmp_path: Path) -> None:
    told = [{"name": "etl", "max_cores": 4, "default_configs": {"spark.a": True}}, {"name": "Daily reports"}]
    function = json.loads(json.dumps(template["Resources"]["InstanceResource"]))
    function["Properties"] |= {"Role": "arn:aws:iam::123456789012:role/a", "Environment": {}}
    made = {
        "Transform": template["Transform"],
        "Parameters": {"Workspace": template["Parameters"]["Workspace"]},
        "Resources": {"InstanceResource": function, **instances.resources(told)},
        "Outputs": instances.outputs(told),
    }
    (tmp_path / "template.json").write_text(json.dumps(made))
    assert cfn_lint(tmp_path / "template.json") == ("", 0)


# The state machines.


@pytest.mark.parametrize("name", MACHINES)
def test_the_state_machines_are_valid_states_language(name: str) -> None:
    assert Linter.validate(json.dumps(MACHINES[name])) == []


def _nexts(state: Mapping[str, Any]) -> set[str]:
    ways = [state, *state.get("Choices", ()), *state.get("Catch", ())]
    found = {way["Next"] for way in ways if "Next" in way}
    return found | ({state["Default"]} if "Default" in state else set())


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_is_reached_and_leads_to_an_end(name: str) -> None:
    machine = MACHINES[name]
    states = machine["States"]
    reached, ahead = set(), {machine["StartAt"]}
    while ahead:
        state = ahead.pop()
        assert state in states, f"{name} leads to {state}, which it has not"
        reached.add(state)
        ahead |= _nexts(states[state]) - reached
    assert reached == set(states)
    ends = {state for state in states if states[state].get("End") or states[state]["Type"] == "Succeed"}
    while more := {state for state in states if _nexts(states[state]) & ends} - ends:
        ends |= more
    assert ends == set(states)


@pytest.mark.parametrize("name", MACHINES)
def test_the_deployed_machine_is_the_sandboxs(template: dict[str, Any], name: str) -> None:
    machine = template["Resources"][f"{name.capitalize()}Machine"]["Properties"]
    text = machine["DefinitionString"]
    for placeholder, value in machine["DefinitionSubstitutions"].items():
        function = next(f for f, logical in LOGICAL.items() if logical == placeholder)
        assert value == {"Fn::GetAtt": [placeholder, "Arn"]}
        text = text.replace(f"${{{placeholder}}}", ARN + function)
    assert json.loads(text) == MACHINES[name]


def test_the_report_says_how_to_deploy(package: Path) -> None:
    said = report(Package(package / TEMPLATE, package / "deployment.zip", 5_000_000, 14_000_000, 35))
    assert "aws cloudformation deploy" in said and "14.0 MB unzipped" in said
