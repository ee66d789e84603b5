"""Where drivers run: the virtual cluster of EMR on EKS, and the role that drivers have."""

from __future__ import annotations

import json

from infra.cfn import Json, ref, split, sub, when
from infra.policies import DRIVER_DENIALS, DRIVER_GRANTS
from infra.roles import document


def _virtual_cluster() -> Json:
    return {
        "Type": "AWS::EMRContainers::VirtualCluster",
        "Condition": "MakesCluster",
        "Properties": {
            "Name": ref("AWS::StackName"),
            "ContainerProvider": {
                "Type": "EKS",
                "Id": ref("EksClusterName"),
                "Info": {"EksInfo": {"Namespace": ref("EksNamespace")}},
            },
        },
    }


def _trust_by_oidc() -> Json:
    """IRSA: service accounts that EMR makes for job runs in the namespace. The condition's key holds the provider's
    name, and CloudFormation fills in values only, so the whole document is one text."""
    allowed = {
        "Effect": "Allow",
        "Principal": {"Federated": "arn:${AWS::Partition}:iam::${AWS::AccountId}:oidc-provider/${OidcProvider}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringLike": {
                "${OidcProvider}:sub": "system:serviceaccount:${EksNamespace}:emr-containers-sa-*-*-${AWS::AccountId}-*"
            },
        },
    }
    return sub(json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))


def _trust_by_pod_identity() -> Json:
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
    }
    return {"Version": "2012-10-17", "Statement": [allowed]}


def _driver_policy() -> Json:
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "Description": "What drivers and executors may do with what is Sparkplane's",
            "PolicyDocument": document(DRIVER_GRANTS, DRIVER_DENIALS),
        },
    }


def _driver_role() -> Json:
    own = [ref("DriverPolicy")]
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": "The execution role of drivers and executors",
            "AssumeRolePolicyDocument": when("HasOidcProvider", _trust_by_oidc(), _trust_by_pod_identity()),
            "ManagedPolicyArns": when("HasDriverPolicies", split(sub("${DriverPolicy},${DriverPolicies}")), own),
        },
    }


def resources() -> Json:
    """The virtual cluster, unless there is one; the drivers' role, and its policy."""
    return {"VirtualCluster": _virtual_cluster(), "DriverPolicy": _driver_policy(), "DriverRole": _driver_role()}
