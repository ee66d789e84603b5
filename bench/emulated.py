"""The product on an emulated AWS in this process, for counting: the table and the bucket, no Spark, no stream.

Its calls to AWS are seen by `Tally`, which botocore itself tells of every one. Used in child processes (`probe`),
since an emulation cannot be taken down again.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import local
from typing import Any

WORKSPACE = "main"
TOKEN = "spk_main_bench-only-a-token-of-no-worth"


@dataclass
class Used:
    """What one operation, or one function, asked of AWS."""

    calls: Counter[str] = field(default_factory=Counter)
    read_units: float = 0.0
    write_units: float = 0.0
    invocations: int = 0
    seconds: float = 0.0
    answer_bytes: int = 0

    def add(self, other: Used) -> None:
        """Count another one's use as well."""
        self.calls += other.calls
        self.read_units += other.read_units
        self.write_units += other.write_units
        self.invocations += other.invocations
        self.seconds += other.seconds


class Tally:
    """Counts this process's AWS calls and DynamoDB units, for whoever is counting in the thread that makes the call."""

    def __init__(self) -> None:
        self._here = local()

    def install(self) -> None:
        """Be told by every botocore session that is made from now on."""
        from botocore.handlers import BUILTIN_HANDLERS

        BUILTIN_HANDLERS.extend(
            [
                ("provide-client-params.dynamodb", self._ask_for_units),
                ("after-call", self._called),
                ("after-call.dynamodb", self._answered),
            ]
        )

    @contextmanager
    def counting(self, used: Used) -> Iterator[None]:
        """Count what this thread does within."""
        before = getattr(self._here, "used", None)
        self._here.used = used
        try:
            yield
        finally:
            self._here.used = before

    @property
    def _used(self) -> Used | None:
        return getattr(self._here, "used", None)

    def _ask_for_units(self, params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any] | None:
        if "ReturnConsumedCapacity" not in model.input_shape.members:
            return None
        return {**params, "ReturnConsumedCapacity": "INDEXES"}

    def _called(self, model: Any, **_: Any) -> None:
        if self._used is not None:
            self._used.calls[f"{model.service_model.service_name}:{model.name}"] += 1

    def _answered(self, parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
        if self._used is None:
            return
        told = parsed.get("ConsumedCapacity") or []
        units = sum(one["CapacityUnits"] for one in ([told] if isinstance(told, Mapping) else told))
        if model.name in {"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"}:
            self._used.read_units += units
        else:
            self._used.write_units += units


class Api:
    """The product's HTTP function, called with the events that API Gateway would make."""

    def __init__(self) -> None:
        import app
        from sandbox.front.routes import Routes

        self._app = app.app
        self._routes = Routes(app.app.routes)

    def call(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> Any:
        """The answer's JSON. Raises RuntimeError for anything but success."""
        answer = self.answer(method, path, query, body)
        return json.loads(answer["body"]) if answer["body"] else None

    def answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        compressed: bool = False,
    ) -> Any:
        """The function's result, as API Gateway takes it. Raises RuntimeError for anything but success."""
        match = self._routes.find(method, path)
        assert match is not None, path
        event = {
            "resource": match.resource,
            "path": path,
            "httpMethod": method,
            "headers": {
                "Authorization": f"Bearer {TOKEN}",
                "Content-Type": "application/json",
                **({"Accept-Encoding": "gzip"} if compressed else {}),
            },
            "multiValueHeaders": {},
            "queryStringParameters": query,
            "multiValueQueryStringParameters": {name: [value] for name, value in (query or {}).items()} or None,
            "pathParameters": match.parameters or None,
            "stageVariables": None,
            "requestContext": {"resourcePath": match.resource, "httpMethod": method, "path": path, "stage": "api"},
            "body": None if body is None else json.dumps(body),
            "isBase64Encoded": False,
        }
        answer = self._app(event, None)
        if answer["statusCode"] >= 300:
            raise RuntimeError(f"{method} {path}: {answer['statusCode']} {answer['body'][:300]}")
        return answer


def start(home: Path) -> tuple[str, Any]:
    """Table, bucket, an administrator and a pool. Returns the pool's Analytics Engine instance id, and the table's
    storage, for filling it."""
    from moto import mock_aws

    from sandbox.aws import dynamodb

    os.environ |= _ENVIRONMENT
    installed = dynamodb.install(home / "dynamodb.sqlite", sync="off")
    mock_aws().start()
    from chalicelib import wiring
    from chalicelib.core.capacity import Amount
    from chalicelib.core.model import Role
    from chalicelib.services import access, pools
    from chalicelib.services.pools import instance_id
    from sandbox import provision

    provision.table()
    provision.bucket()
    ports = wiring.ports()
    access.create_user(ports, WORKSPACE, "admin", Role.ADMIN)
    access.create_token(ports, WORKSPACE, "admin", text=TOKEN, label="bench")
    pools.ensure_pool(ports, WORKSPACE, "default", maximum=Amount(cores=1_000_000, memory=8_000_000, gpus=0, runs=2))
    return instance_id(ports, WORKSPACE, "default"), installed._storage


_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "SPARKPLANE_TABLE": "sparkplane",
    "SPARKPLANE_BUCKET": "sparkplane",
    "SPARKPLANE_RUN_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:run",
    "SPARKPLANE_NOTIFY_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:notify",
    "SPARKPLANE_RING_MACHINE": "arn:aws:states:us-east-1:123456789012:stateMachine:ring",
    "SPARKPLANE_RING_FUNCTION": "arn:aws:lambda:us-east-1:123456789012:function:ring",
    "SPARKPLANE_SCHEDULE_ROLE": "arn:aws:iam::123456789012:role/bench",
    "SPARKPLANE_SCHEDULE_GROUP": "bench",
    "SPARKPLANE_VIRTUAL_CLUSTER": "bench",
    "SPARKPLANE_EXECUTION_ROLE": "arn:aws:iam::123456789012:role/bench",
    "SPARKPLANE_URI_SCHEMES": "s3,local",
}
