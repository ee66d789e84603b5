"""Bodies and short cuts for tests of Analytics Engine v4."""

from __future__ import annotations

from typing import Any

from chalicelib.core.ids import from_uuid
from tests.contract.wire import Answer, Client
from tests.unit.fakes import SECRET


def details(**more: Any) -> dict[str, Any]:
    """A body for POST spark_applications, with details changed; None takes one away."""
    told = {"application": "s3://code/main.py", "arguments": ["1"], "conf": {"spark.app.name": "work"}, **more}
    return {"application_details": {name: value for name, value in told.items() if value is not None}}


def post(client: Client, body: Any = None) -> Answer:
    """POST spark_applications in the default instance of `main`."""
    path = client.service.applications()
    return client.post(path, details() if body is None else body, content_type="application/json")


def submit(client: Client, body: Any = None) -> tuple[int, str]:
    """Submit an application that must be accepted; returns the run's id and the application's path."""
    answer = post(client, body)
    assert answer.status == 202, answer.body
    uuid = answer.json["application_id"]
    run = from_uuid(uuid, "run", "main", SECRET)
    assert run is not None
    return run, f"{client.service.applications()}/{uuid}"


def refused(answer: Answer, status: int, code: str, message: str, field: str = "") -> None:
    """Assert an error in Analytics Engine's shape, whole."""
    told: dict[str, Any] = {"code": code, "message": message}
    if field:
        told["target"] = {"type": "field", "name": field}
    body = answer.json
    assert (answer.status, body["errors"]) == (status, [told])
    assert set(body) == {"errors", "trace", "status_code"}
    assert body["status_code"] == status and body["trace"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-global-transaction-id"] == body["trace"]
