"""The whole CloudFormation template: Chalice's, with everything else that Sparkplane deploys.

`infra.package` calls `template` with what `chalice package` wrote. Chalice gives the API and the functions; each module
of this room gives a group of resources.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from infra import calls, edge, engine, instances, machines, roles, storage
from infra.cfn import NOTHING, Json, attribute, join, ref, split, sub, when
from infra.functions import LOGICAL, SCHEDULE_GROUP, arn_text, physical_name, role_id
from infra.parameters import CLUSTER_IN_USE, CONDITIONS, PARAMETERS, RULES
from infra.policies import NOTIFY_MACHINE, RING_MACHINE, RUN_MACHINE

ENVIRONMENT: Mapping[str, Any] = {
    "SPARKPLANE_TABLE": ref("Table"),
    "SPARKPLANE_BUCKET": ref("Bucket"),
    "SPARKPLANE_RUN_MACHINE": sub(RUN_MACHINE),
    "SPARKPLANE_NOTIFY_MACHINE": sub(NOTIFY_MACHINE),
    "SPARKPLANE_RING_MACHINE": sub(RING_MACHINE),
    "SPARKPLANE_RING_FUNCTION": sub(arn_text("ring")),
    "SPARKPLANE_SCHEDULE_ROLE": attribute("ScheduleRole", "Arn"),
    "SPARKPLANE_SCHEDULE_GROUP": sub(SCHEDULE_GROUP),
    "SPARKPLANE_VIRTUAL_CLUSTER": CLUSTER_IN_USE,
    "SPARKPLANE_EXECUTION_ROLE": attribute("DriverRole", "Arn"),
    "SPARKPLANE_API_URL": edge.URL,
    "SPARKPLANE_WORKSPACE": ref("Workspace"),
    "SPARKPLANE_RETENTION_DAYS": ref("RetentionDays"),
    "SPARKPLANE_URI_SCHEMES": ref("UriSchemes"),
    "SPARKPLANE_HTTPS_HOSTS": ref("HttpsHosts"),
    "SPARKPLANE_DEFAULT_SPARK": ref("DefaultSpark"),
    "SPARKPLANE_MAX_ACTIVE_RUNS": ref("MaxActiveRuns"),
    "SPARKPLANE_MAX_JOBS": ref("MaxJobs"),
    "SPARKPLANE_MAX_MADE_IN_HOUR": ref("MaxMadeInHour"),
    "SPARKPLANE_CONTAINER_IMAGE": ref("ContainerImage"),
    "SPARKPLANE_MAIL_FROM": ref("MailFrom"),
    "SPARKPLANE_WEBHOOK_NETWORKS": ref("WebhookNetworks"),
    "SPARKPLANE_HISTORY_URL": ref("HistoryUrl"),
    "SPARKPLANE_HISTORY_IDLE_SECONDS": ref("HistoryIdleSeconds"),
}
"""What `chalicelib.wiring` reads, the same for every function."""

_ASSIGNMENTS = [join("", [f"{name}=", value]) for name, value in ENVIRONMENT.items()]

METADATA: Json = {"cfn-lint": {"config": {"ignore_checks": ["W1033"]}}}
"""The linter takes the empty default of VpcSecurityGroupIds for a group's id; where it is empty, it is not used."""

OUTPUTS: Json = {
    "TableName": {"Description": "The table; it outlives the stack", "Value": ref("Table")},
    "BucketName": {"Description": "The bucket; it outlives the stack", "Value": ref("Bucket")},
    "DriverRoleArn": {"Description": "The role of Spark's drivers", "Value": attribute("DriverRole", "Arn")},
    "VirtualClusterId": {"Description": "Where drivers run", "Value": CLUSTER_IN_USE},
    "DriverPolicyArn": {"Description": "What every execution role needs", "Value": ref("DriverPolicy")},
    "Environment": {"Description": "What `chalicelib.admin` needs to know", "Value": join(" ", _ASSIGNMENTS)},
    "RunMachineArn": {"Description": "The state machine that drives runs", "Value": ref("RunMachine")},
}


def template(chalice: Json, declared: Sequence[Json]) -> Json:
    """The template to deploy, of Chalice's template (which is left alone) and the instances that the stack makes."""
    made = copy.deepcopy(chalice)
    made["Description"] = "Sparkplane: a serverless control plane for Apache Spark"
    own = made["Resources"]
    unknown = {k for k, v in own.items() if v["Type"] == "AWS::Serverless::Function"} ^ set(LOGICAL.values())
    if unknown:
        raise ValueError(f"infra.functions and app.py do not name the same functions: {sorted(unknown)}")
    for function, name in LOGICAL.items():
        _adapt_function(function, own[name])
    edge.adapt(own["RestAPI"])
    for group in (storage, roles, machines, calls, engine, edge):
        own |= group.resources()
    own |= instances.resources(declared)
    outputs = {**OUTPUTS, **edge.outputs(), **instances.outputs(declared)}
    decided = {"Parameters": PARAMETERS, "Rules": RULES, "Conditions": CONDITIONS}
    return {**made, "Metadata": METADATA, **decided, "Outputs": outputs}


def _adapt_function(function: str, resource: Json) -> None:
    properties = resource["Properties"]
    properties["FunctionName"] = sub(physical_name(function))
    properties["Role"] = attribute(role_id(function), "Arn")
    properties["Environment"] = {"Variables": dict(ENVIRONMENT)}
    if function == "api":
        properties["Timeout"] = ref("RequestSeconds")
        properties["VpcConfig"] = when(
            "HasVpc",
            {"SubnetIds": split(ref("VpcSubnetIds")), "SecurityGroupIds": split(ref("VpcSecurityGroupIds"))},
            NOTHING,
        )
