"""The way in: Chalice's REST API, made regional, with our words for the gateway's own errors, on a domain of its own.

A REST API needs a stage, and a stage is a path prefix, which breaks clients that expect a service at its host's root.
The custom domain maps the root to the stage.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from infra.cfn import NOTHING, Json, attribute, ref, sub, when
from infra.functions import arn_text

GATEWAY_RESPONSES: Json = json.loads(Path(__file__).with_name("gateway_responses.json").read_text())
STAGE = "api"

BINARY_TYPES = ["*/*"]
"""Every body travels to the function as base64, and every base64 answer is decoded, whatever types are named. API
Gateway takes `Accept: */*` for a type of that name, so a shorter list would send most clients the base64 itself."""

URL = when(
    "HasDomain",
    sub("https://${DomainName}"),
    sub(f"https://${{RestAPI}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}/{STAGE}"),
)
"""Where the API answers."""


def adapt(api: Json) -> None:
    """Make Chalice's API ours, in place.

    - Every path takes every method with one integration: the dialects answer wrong methods themselves.
    - Bodies may be binary, both ways.
    - The function is named by its name: it refers to the API, so the API must not refer to it.
    """
    properties = api["Properties"]
    properties["EndpointConfiguration"] = {"Type": "REGIONAL"}
    properties["OpenApiVersion"] = "2.0"
    body = properties["DefinitionBody"]
    body["paths"] = {path: _any_method(methods) for path, methods in body["paths"].items()}
    body["x-amazon-apigateway-gateway-responses"] = GATEWAY_RESPONSES
    body["x-amazon-apigateway-binary-media-types"] = BINARY_TYPES


def _any_method(methods: Json) -> Json:
    operation = next(iter(methods.values()))
    if any(other != operation for other in methods.values()):
        raise ValueError("the methods of a path differ; they can no longer share one integration")
    integration = {
        **operation["x-amazon-apigateway-integration"],
        "uri": sub(
            "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
            f"{arn_text('api')}/invocations"
        ),
        "timeoutInMillis": when("UnusualTimeout", sub("${RequestSeconds}000"), NOTHING),
    }
    return {"x-amazon-apigateway-any-method": {**operation, "x-amazon-apigateway-integration": integration}}


def count_nodes(paths: Iterable[str]) -> int:
    """How many resources API Gateway makes for these paths: one a node of their tree, the root among them. An account
    may have 300 an API."""
    nodes = {"/"}
    for path in paths:
        parts = path.strip("/").split("/")
        nodes |= {"/" + "/".join(parts[: n + 1]) for n in range(len(parts))}
    return len(nodes)


def resources() -> Json:
    """The domain, its mapping, and its name in the zone: each if the owner gave one."""
    return {
        "Domain": {
            "Type": "AWS::ApiGateway::DomainName",
            "Condition": "HasDomain",
            "Properties": {
                "DomainName": ref("DomainName"),
                "RegionalCertificateArn": ref("CertificateArn"),
                "EndpointConfiguration": {"Types": ["REGIONAL"]},
                "SecurityPolicy": "TLS_1_2",
            },
        },
        "DomainMapping": {
            "Type": "AWS::ApiGateway::BasePathMapping",
            "Condition": "HasDomain",
            "Properties": {"DomainName": ref("Domain"), "RestApiId": ref("RestAPI"), "Stage": ref("RestAPI.Stage")},
        },
        "DomainRecord": {
            "Type": "AWS::Route53::RecordSet",
            "Condition": "HasZone",
            "Properties": {
                "HostedZoneId": ref("HostedZoneId"),
                "Name": ref("DomainName"),
                "Type": "A",
                "AliasTarget": {
                    "DNSName": attribute("Domain", "RegionalDomainName"),
                    "HostedZoneId": attribute("Domain", "RegionalHostedZoneId"),
                },
            },
        },
    }


def outputs() -> Json:
    """What the owner needs to know of the API."""
    return {
        "ApiUrl": {"Description": "Where the API answers", "Value": URL},
        "DomainTarget": {
            "Description": "What the domain's name must point at, if no zone was given",
            "Value": attribute("Domain", "RegionalDomainName"),
            "Condition": "HasDomain",
        },
    }
