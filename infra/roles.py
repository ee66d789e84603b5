"""One role a function, and the role of the state machines, from `policies`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infra.cfn import NOTHING, Json, join, ref, split, sub, when
from infra.functions import LOGICAL, arn_text, role_id
from infra.parameters import CLUSTER_IN_USE
from infra.policies import DRIVER_ROLE, JOB_RUNS, VIRTUAL_CLUSTER, Grant, grants_of


def trusting(service: str) -> Json:
    """The trust policy of a role that an AWS service assumes."""
    allowed = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [allowed]}


def policy(name: str, allowed: Iterable[Grant]) -> Json:
    """An inline policy."""
    return {"PolicyName": name, "PolicyDocument": document(allowed)}


def document(allowed: Iterable[Grant], denied: Iterable[Grant] = ()) -> Json:
    """A policy's document."""
    statements: list[Any] = [{"Effect": "Deny", **_statement(grant)} for grant in denied]
    for grant in allowed:
        statement = {"Effect": "Allow", **_statement(grant)}
        statements.append(statement)
        if others := _POOL_CLUSTERS.get(grant.resources):
            statements.append(when("HasPoolClusters", {**statement, "Resource": others}, NOTHING))
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(grant: Grant) -> Json:
    condition: Mapping[str, Any] = {
        operator: {key: _resolved(text) for key, text in keys.items()} for operator, keys in grant.condition.items()
    }
    return {
        "Action": list(grant.actions),
        "Resource": [_resolved(text) for text in grant.resources],
        **({"Condition": condition} if condition else {}),
    }


def _of_pool_clusters(rest: str) -> Any:
    """The ARNs of the virtual clusters whose ids the owner gave, each with `rest` behind it. What joins a list must be
    a plain text, so partition, region and account stand open here; the id is enough, it is nobody else's."""
    prefix = "arn:*:emr-containers:*:*:/virtualclusters/"
    return split(join("", [prefix, join(f"{rest},{prefix}", split(ref("PoolClusterIds"))), rest]))


_POOL_CLUSTERS: Mapping[tuple[str, ...], Any] = {
    (VIRTUAL_CLUSTER,): _of_pool_clusters(""),
    (JOB_RUNS,): _of_pool_clusters("/jobruns/*"),
}
"""What stands beside the deployment's own virtual cluster, when the owner named others."""

_DRIVER_ROLES = when("HasPoolRoles", split(sub("${DriverRole.Arn},${PoolRoleArns}")), sub(DRIVER_ROLE))


def _resolved(text: str) -> Any:
    """The text for CloudFormation. The virtual cluster may be made here or elsewhere, and there may be more execution
    roles than one: those are put in by hand."""
    if text == DRIVER_ROLE:
        return _DRIVER_ROLES
    return sub(text, VirtualCluster=CLUSTER_IN_USE) if "${VirtualCluster}" in text else sub(text)


_IN_VPC: Json = {
    "ManagedPolicyArns": when(
        "HasVpc",
        [sub("arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaENIManagementAccess")],
        NOTHING,
    )
}
"""What Lambda needs to put a function into the owner's subnets, where the owner asks for it."""


def _of_function(function: str) -> Json:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": trusting("lambda.amazonaws.com"),
            "Policies": [policy("function", grants_of(function))],
            **(_IN_VPC if function == "api" else {}),
        },
    }


def _invoking(service: str, functions: tuple[str, ...]) -> Json:
    """The role of a service that invokes some functions and does nothing else."""
    invoke = Grant(("lambda:InvokeFunction",), tuple(arn_text(name) for name in functions))
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": trusting(service), "Policies": [policy("invoke", [invoke])]},
    }


def resources() -> Json:
    """Every function's role, and those of the state machines and of jobs' schedules."""
    return {
        **{role_id(function): _of_function(function) for function in LOGICAL},
        "MachinesRole": _invoking("states.amazonaws.com", ("launch", "check", "notify", "ring")),
        "ScheduleRole": _invoking("scheduler.amazonaws.com", ("ring",)),
    }
