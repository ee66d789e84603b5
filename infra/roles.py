"""One role a function, and the role of the state machines, from `policies`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infra.cfn import Json, sub
from infra.functions import LOGICAL, arn_text, role_id
from infra.parameters import VIRTUAL_CLUSTER
from infra.policies import Grant, grants_of


def trusting(service: str) -> Json:
    """The trust policy of a role that an AWS service assumes."""
    allowed = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [allowed]}


def policy(name: str, allowed: Iterable[Grant], denied: Iterable[Grant] = ()) -> Json:
    """An inline policy."""
    statements = [_statement("Allow", grant) for grant in allowed] + [_statement("Deny", grant) for grant in denied]
    return {"PolicyName": name, "PolicyDocument": {"Version": "2012-10-17", "Statement": statements}}


def _statement(effect: str, grant: Grant) -> Json:
    condition: Mapping[str, Any] = {
        operator: {key: _resolved(text) for key, text in keys.items()} for operator, keys in grant.condition.items()
    }
    return {
        "Effect": effect,
        "Action": list(grant.actions),
        "Resource": [_resolved(text) for text in grant.resources],
        **({"Condition": condition} if condition else {}),
    }


def _resolved(text: str) -> Any:
    """The text for CloudFormation. The virtual cluster may be made here or elsewhere, so its id is put in by hand."""
    return sub(text, VirtualCluster=VIRTUAL_CLUSTER) if "${VirtualCluster}" in text else sub(text)


def _of_function(function: str) -> Json:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": trusting("lambda.amazonaws.com"),
            "Policies": [policy("function", grants_of(function))],
        },
    }


def resources() -> Json:
    """Every function's role, and that of the state machines, which invoke four functions and do nothing else."""
    invoked = tuple(arn_text(name) for name in ("launch", "check", "finish", "ring"))
    machines = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": trusting("states.amazonaws.com"),
            "Policies": [policy("machines", [Grant(("lambda:InvokeFunction",), invoked)])],
        },
    }
    return {**{role_id(function): _of_function(function) for function in LOGICAL}, "MachinesRole": machines}
