"""What keeps things: the table and the bucket. Both outlive the stack."""

from __future__ import annotations

from chalicelib.aws.table import TTL, definition
from infra.cfn import Json, attribute, ref, sub

_KEPT = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}


def _table() -> Json:
    layout = definition("")
    del layout["TableName"]  # CloudFormation finds a name that nobody has
    return {
        "Type": "AWS::DynamoDB::Table",
        **_KEPT,
        "Properties": {
            **layout,
            "SSESpecification": {"SSEEnabled": True},
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
            "TimeToLiveSpecification": {"AttributeName": TTL, "Enabled": True},
        },
    }


def _expiring(name: str, prefix: str, days: str) -> Json:
    return {"Id": name, "Status": "Enabled", "Prefix": sub(f"${{Workspace}}/{prefix}/"), "ExpirationInDays": ref(days)}


def _passing(name: str, prefix: str) -> Json:
    """What is of use for minutes only; a day is the least that S3 can count."""
    return {"Id": name, "Status": "Enabled", "Prefix": sub(f"${{Workspace}}/{prefix}/"), "ExpirationInDays": 1}


def _bucket() -> Json:
    """Private, encrypted. A run's files live longer than its logs, because a run that goes on needs its spec."""
    whole = {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    unfinished = {
        "Id": "unfinished-uploads",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    return {
        "Type": "AWS::S3::Bucket",
        **_KEPT,
        "Properties": {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
            "PublicAccessBlockConfiguration": whole,
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "LifecycleConfiguration": {
                "Rules": [
                    _expiring("logs", "logs", "RetentionDays"),
                    _expiring("run-files", "runs", "RunFilesDays"),
                    _passing("upload-blocks", "uploads"),
                    _passing("answers", "answers"),
                    unfinished,
                ]
            },
        },
    }


def _tls_only() -> Json:
    denied = {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [attribute("Bucket", "Arn"), sub("${Bucket.Arn}/*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {
            "Bucket": ref("Bucket"),
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [denied]},
        },
    }


def resources() -> Json:
    """The table, the bucket and its policy."""
    return {"Table": _table(), "Bucket": _bucket(), "BucketPolicy": _tls_only()}
