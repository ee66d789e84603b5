"""What an owner decides at deployment, and the conditions that follow from it."""

from __future__ import annotations

from typing import Any

from chalicelib.ports import Settings
from infra.cfn import Json, given, join, ref, split, when

_DEFAULTS = Settings()
_NONE = "none"


def _text(description: str, default: str | None = "", **rest: Any) -> Json:
    told = {} if default is None else {"Default": default}
    return {"Type": "String", "Description": description, **told, **rest}


def _number(description: str, default: int, **rest: Any) -> Json:
    return {"Type": "Number", "Description": description, "Default": default, **rest}


PARAMETERS: Json = {
    "EksClusterName": _text(
        "The EKS cluster to make a virtual cluster on; none when VirtualClusterId is given.", _NONE
    ),
    "EksNamespace": _text("The Kubernetes namespace of the virtual cluster, where drivers run.", "sparkplane"),
    "VirtualClusterId": _text("A virtual cluster of EMR on EKS that exists. Empty: one is made on EksClusterName."),
    "OidcProvider": _text(
        "The EKS cluster's OIDC provider without https:// (oidc.eks.<region>.amazonaws.com/id/<id>), which vouches for "
        "drivers (IRSA). Empty: drivers get their role by EKS Pod Identity."
    ),
    "DriverPolicies": _text("ARNs of managed policies, with commas, for the data that Spark programs read and write."),
    "PoolClusterIds": _text("Ids, with commas, of other virtual clusters that pools may name for their runs."),
    "PoolRoleArns": _text("ARNs, with commas, of other execution roles that pools may name for their runs."),
    "DomainName": _text("The API's own domain name. Without one the API answers below /api, where clients trip."),
    "CertificateArn": _text("The certificate of DomainName, in this region (ACM)."),
    "HostedZoneId": _text("The Route 53 zone in which to point DomainName at the API. Empty: you do that yourself."),
    "Workspace": _text(
        "The workspace of callers whose credentials name none, and the one whose files drivers reach.",
        _DEFAULTS.workspace,
        AllowedPattern="[a-z0-9][a-z0-9-]*",
    ),
    "RetentionDays": _number("Days that runs and their logs are kept after they end.", 60, MinValue=1),
    "RunFilesDays": _number(
        "Days that a run's own files are kept from its start: longer than your longest run and RetentionDays together.",
        400,
        MinValue=1,
    ),
    "LogRetentionDays": _number(
        "Days that the functions' logs are kept.", 30, AllowedValues=[1, 3, 5, 7, 14, 30, 60, 90, 180, 365, 731]
    ),
    "UriSchemes": _text("Which URI schemes a submission may use, with commas.", ",".join(_DEFAULTS.uri_schemes)),
    "HttpsHosts": _text(
        "Hosts, with commas, that a submission may name files and package repositories of; *.example.com means all "
        "below example.com. Empty: any host."
    ),
    "DefaultSpark": _text("The Spark version of runs that name none.", _DEFAULTS.default_spark),
    "MaxActiveRuns": _number("Runs of a workspace that may live at once.", _DEFAULTS.max_active_runs, MinValue=1),
    "MaxJobs": _number("Saved jobs of a workspace.", _DEFAULTS.max_jobs, MinValue=1),
    "MaxMadeInHour": _number(
        "Runs and jobs that a workspace may make in one hour.", _DEFAULTS.max_made_in_hour, MinValue=1
    ),
    "ContainerImage": _text(
        "The image of drivers and executors, with {release} for the EMR release (emr-7.12.0); infra/image makes one "
        "that can run notebooks. Empty: EMR's own."
    ),
    "MailFrom": _text(
        "The sender of e-mails: an address that SES has verified, itself or by its domain. Empty: none are sent."
    ),
    "WebhookNetworks": _text(
        "Networks, with commas (10.0.0.0/8), that notices may be posted to beside the public internet, by HTTP as well."
    ),
    "HistoryUrl": _text(
        "Where history servers are reached from the API's function, with {workspace}, {pool} and {run} filled in, such "
        "as http://history-{workspace}-{pool}.internal:18080 (infra/history_service.yaml). Empty: nobody reaches them."
    ),
    "HistoryIdleSeconds": _number(
        "How long a history server runs without being asked anything.", _DEFAULTS.history_idle_ms // 1000, MinValue=60
    ),
    "VpcSubnetIds": _text("Subnets, with commas, for the API's function: those from which HistoryUrl is reached."),
    "VpcSecurityGroupIds": _text("Security groups, with commas, for the API's function in VpcSubnetIds."),
    "RequestSeconds": _number(
        "How long a request may take. Over 29 needs API Gateway's quota 'Maximum integration timeout' to be raised.",
        29,
        MinValue=1,
        MaxValue=300,
    ),
    "AlarmTopicArn": _text("The SNS topic that alarms are sent to. Empty: they are only shown."),
}

CONDITIONS: Json = {
    "MakesCluster": {"Fn::Equals": [ref("VirtualClusterId"), ""]},
    "HasOidcProvider": given("OidcProvider"),
    "HasDriverPolicies": given("DriverPolicies"),
    "HasPoolClusters": given("PoolClusterIds"),
    "HasPoolRoles": given("PoolRoleArns"),
    "HasVpc": given("VpcSubnetIds"),
    "HasDomain": given("DomainName"),
    "HasZone": {"Fn::And": [given("DomainName"), given("HostedZoneId")]},
    "UnusualTimeout": {"Fn::Not": [{"Fn::Equals": [ref("RequestSeconds"), 29]}]},
    "HasAlarmTopic": given("AlarmTopicArn"),
}

RULES: Json = {
    "OneCluster": {
        "Assertions": [
            {
                "Assert": {
                    "Fn::Or": [{"Fn::Not": [{"Fn::Equals": [ref("EksClusterName"), _NONE]}]}, given("VirtualClusterId")]
                },
                "AssertDescription": "Give EksClusterName, or the VirtualClusterId of a virtual cluster that exists.",
            }
        ]
    },
    "SubnetsWithSecurityGroups": {
        "RuleCondition": given("VpcSubnetIds"),
        "Assertions": [
            {"Assert": given("VpcSecurityGroupIds"), "AssertDescription": "VpcSubnetIds needs VpcSecurityGroupIds."}
        ],
    },
    "DomainWithCertificate": {
        "RuleCondition": given("DomainName"),
        "Assertions": [{"Assert": given("CertificateArn"), "AssertDescription": "DomainName needs CertificateArn."}],
    },
}

CLUSTER_IN_USE = when("MakesCluster", ref("VirtualCluster"), ref("VirtualClusterId"))
"""The id of the deployment's virtual cluster."""

CLUSTERS_IN_USE = when("HasPoolClusters", split(join(",", [CLUSTER_IN_USE, ref("PoolClusterIds")])), [CLUSTER_IN_USE])
"""The ids of all virtual clusters that runs may be in."""
