"""The product on moto: the deployed handlers of app.py, the table's stream, and a record of every call to AWS.

A test calls a function as AWS would (`api`, `invoke`, or `pump` for what is on the stream); which function made which
AWS call is kept in `calls`. Unlike the sandbox this is moto as it comes, and nothing happens by itself.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from botocore.client import BaseClient
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.emrcontainers.models import emrcontainers_backends

import app
from chalicelib import wiring
from chalicelib.aws import clients, table
from chalicelib.aws.blobs import S3Blobs
from chalicelib.core.model import Principal, Role
from chalicelib.ports import Ports
from chalicelib.services import access, pools
from chalicelib.services.access import Call
from infra.triggers import STREAM_TRIGGERS
from infra.workflow import notify_machine, ring_machine, run_machine
from sandbox.aws.patterns import Pattern
from sandbox.front.routes import Routes

REGION = "us-east-1"
STACK = "sparkplane"
TABLE, BUCKET = "sparkplane-table", "sparkplane-bucket"
SCHEDULE_ROLE = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/schedules"
MAIL_FROM = "spark@example.com"
DRIVER_ROLE = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/driver"


def arn(service: str, rest: str) -> str:
    """An ARN in the test's account and region."""
    return f"arn:aws:{service}:{REGION}:{DEFAULT_ACCOUNT_ID}:{rest}"


@dataclass(frozen=True)
class AwsCall:
    """One call of a function to AWS."""

    function: str
    service: str
    operation: str
    parameters: Mapping[str, Any]


@dataclass
class Context:
    """What Lambda passes beside the event."""

    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id: str = "request"


@dataclass
class Answer:
    """What the API answered."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class World:
    """The deployed parts, ready to be called."""

    token: str = ""
    virtual_cluster: str = ""
    other_cluster: str = ""
    calls: list[AwsCall] = field(default_factory=list)
    answered: set[tuple[str, str]] = field(default_factory=set)
    _function: str = ""

    @property
    def ports(self) -> Ports:
        """The ports that the functions use."""
        return wiring.ports()

    @property
    def caller(self) -> Call:
        """The administrator, for calling services directly."""
        return Call(Principal("main", "admin", Role.ADMIN))

    @contextmanager
    def acting(self, function: str) -> Iterator[None]:
        """AWS calls made in here are the function's."""
        self._function = function
        try:
            yield
        finally:
            self._function = ""

    def note(self, client: BaseClient, operation: str, parameters: Mapping[str, Any]) -> None:
        """An AWS call is about to be made."""
        if self._function:
            service = client.meta.service_model.service_name
            self.calls.append(AwsCall(self._function, service, operation, parameters))

    def note_link(self, operation: str, name: str) -> None:
        """A link is made: who has it may do what the function may."""
        if self._function:
            words = "".join(word.capitalize() for word in operation.split("_"))
            self.calls.append(AwsCall(self._function, "s3", words, {"Bucket": BUCKET, "Key": name}))

    def api(
        self,
        method: str,
        path: str,
        /,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Send a request through the API function."""
        resource, parameters = _route(method, path)
        event = api_event(method, path, resource, parameters, query, body, self.token if token is None else token)
        event["headers"].update(headers or {})
        event["multiValueHeaders"].update({name: [value] for name, value in (headers or {}).items()})
        with self.acting("api"):
            told = app.app(event, Context())
        self.answered.add((method, resource))
        text = base64.b64decode(told["body"]).decode() if told.get("isBase64Encoded") else told["body"]
        read = json.loads if told["headers"].get("Content-Type") == "application/json" else str
        return Answer(told["statusCode"], told["headers"], read(text) if text else None)

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """Call a worker function."""
        with self.acting(function):
            return getattr(app, function)(dict(event), Context())

    def pump(self) -> dict[str, int]:
        """Bring what the table's stream has to the functions whose filters want it, until it is dry. Returns how many
        records each got."""
        brought = {trigger.function: 0 for trigger in STREAM_TRIGGERS}
        while records := self.missed():
            for trigger in STREAM_TRIGGERS:
                patterns = [Pattern(f) for f in trigger.filters]
                wanted = [r for r in records if any(p.matches(r) for p in patterns)]
                if wanted:
                    brought[trigger.function] += len(wanted)
                    told = self.invoke(trigger.function, {"Records": wanted})
                    assert told == {"batchItemFailures": []}
        return brought

    def missed(self) -> list[dict[str, Any]]:
        """Take what is new on the stream; left to itself, nobody gets it."""
        shard = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].tables[TABLE].stream_shard
        assert shard is not None
        new = [record.to_json() for record in shard.items]
        shard.items.clear()
        return new

    def empty(self) -> None:
        """Begin anew: no records, no files, no calls. Quicker than another world."""
        dynamodb, s3 = clients.client("dynamodb"), clients.client("s3")
        dynamodb.delete_table(TableName=TABLE)
        _make_table(dynamodb)
        for found in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            s3.delete_object(Bucket=BUCKET, Key=found["Key"])
        self.calls.clear()

    def drivers(self) -> dict[str, Any]:
        """moto's job runs, by id; a test sets their states."""
        return dict(emrcontainers_backends[DEFAULT_ACCOUNT_ID][REGION].job_runs)


def _route(method: str, path: str) -> tuple[str, dict[str, str]]:
    """The route that API Gateway would choose."""
    match = Routes(app.app.routes).find(method, path)
    assert match is not None, "API Gateway itself would answer"
    return match.resource, match.parameters


def api_event(
    method: str,
    path: str,
    resource: str,
    parameters: dict[str, str],
    query: Mapping[str, Any],
    body: Any,
    token: str,
) -> dict[str, Any]:
    """A request as API Gateway hands it to Lambda."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    words = {name: str(value) for name, value in query.items()}
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": words or None,
        "multiValueQueryStringParameters": {name: [value] for name, value in words.items()} or None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": resource,
            "httpMethod": method,
            "path": f"{path}?{urlencode(words)}" if words else path,
            "stage": "api",
            "requestId": "request",
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "body": json.dumps(body) if body is not None else None,
        "isBase64Encoded": False,
    }


def _make_table(dynamodb: Any) -> None:
    stream = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}}
    dynamodb.create_table(**table.definition(TABLE), **stream)


def _provision() -> tuple[str, str]:
    """Make what the template makes; returns the ids of the virtual cluster, and of another that a pool may name."""
    _make_table(boto3.client("dynamodb", region_name=REGION))
    boto3.client("s3", region_name=REGION).create_bucket(Bucket=BUCKET)
    states = boto3.client("stepfunctions", region_name=REGION)
    for name, machine in (("run", run_machine), ("notify", notify_machine), ("ring", ring_machine)):
        definition = json.dumps(machine(lambda function: arn("lambda", f"function:{STACK}-{function}")))
        states.create_state_machine(name=f"{STACK}-{name}", definition=definition, roleArn=DRIVER_ROLE)
    boto3.client("sesv2", region_name=REGION).create_email_identity(EmailIdentity=MAIL_FROM)
    boto3.client("scheduler", region_name=REGION).create_schedule_group(Name=STACK)
    emr = boto3.client("emr-containers", region_name=REGION)
    own, other = (
        emr.create_virtual_cluster(
            name=name, containerProvider={"type": "EKS", "id": name, "info": {"eksInfo": {"namespace": name}}}
        )["id"]
        for name in (STACK, "other")
    )
    return own, other


def _forget() -> None:
    wiring.ports.cache_clear()
    clients.client.cache_clear()


@contextmanager
def deployed(patch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world on a fresh moto, with an administrator and a default pool."""
    environment = {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "SPARKPLANE_TABLE": TABLE,
        "SPARKPLANE_BUCKET": BUCKET,
        "SPARKPLANE_RUN_MACHINE": arn("states", f"stateMachine:{STACK}-run"),
        "SPARKPLANE_NOTIFY_MACHINE": arn("states", f"stateMachine:{STACK}-notify"),
        "SPARKPLANE_MAIL_FROM": MAIL_FROM,
        "SPARKPLANE_RING_MACHINE": arn("states", f"stateMachine:{STACK}-ring"),
        "SPARKPLANE_RING_FUNCTION": arn("lambda", f"function:{STACK}-ring"),
        "SPARKPLANE_SCHEDULE_ROLE": SCHEDULE_ROLE,
        "SPARKPLANE_SCHEDULE_GROUP": STACK,
        "SPARKPLANE_EXECUTION_ROLE": DRIVER_ROLE,
        "SPARKPLANE_API_URL": "https://spark.example.com",
    }
    for name, value in environment.items():
        patch.setenv(name, value)
    world = World()
    send = BaseClient._make_api_call

    def noted(client: BaseClient, operation: str, parameters: Any) -> Any:
        world.note(client, operation, parameters)
        return send(client, operation, parameters)

    link = S3Blobs._link

    def linked(blobs: S3Blobs, operation: str, name: str, *how: Any) -> str:
        world.note_link(operation, name)
        return link(blobs, operation, name, *how)

    patch.setattr(BaseClient, "_make_api_call", noted)
    patch.setattr(S3Blobs, "_link", linked)
    with mock_aws():
        _forget()
        world.virtual_cluster, world.other_cluster = _provision()
        patch.setenv("SPARKPLANE_VIRTUAL_CLUSTER", world.virtual_cluster)
        pools.ensure_pool(world.ports, "main", "default")
        access.create_user(world.ports, "main", "admin", Role.ADMIN, "password")
        world.token = access.create_token(world.ports, "main", "admin")
        yield world
    _forget()
