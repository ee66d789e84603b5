"""Notification destinations, as Databricks' API of that name has them: `/api/2.0/notification-destinations`.

Administrators make them; jobs name them by id. A destination is a generic webhook; other kinds are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chalicelib.core.model import Destination
from chalicelib.dialects.http import Answer, Operation, Request
from chalicelib.later import later
from chalicelib.ports import Ports
from chalicelib.services import destinations
from chalicelib.services.access import Call

if TYPE_CHECKING:
    from chalicelib.dialects.databricks_jobs import notifications, reading, schemas
else:
    notifications, reading, schemas = (
        later(f"chalicelib.dialects.databricks_jobs.{name}") for name in ("notifications", "reading", "schemas")
    )


def _body(destination: Destination) -> dict[str, Any]:
    return {"id": destination.id, "display_name": destination.name, "destination_type": "WEBHOOK"}


_CONFIG = {"generic_webhook": {"url_set": True, "username_set": False, "password_set": False}}
"""What is told of a destination's configuration: as at Databricks, that there is one."""


def create(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /notification-destinations. The answer has the signing secret, once."""
    body = reading.parse(schemas.CreateDestination, request.fields)
    made, secret = destinations.create_destination(ports, call, body.display_name, notifications.webhook_url(body))
    return Answer({**_body(made), "config": _CONFIG, "signing_secret": secret})


def list_all(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /notification-destinations: all of them, on one page."""
    return Answer({"results": [_body(one) for one in destinations.list_destinations(ports, call)]})


def get(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /notification-destinations/{id}."""
    found = destinations.get_destination(ports, call, request.parameters["id"])
    return Answer({**_body(found), "config": _CONFIG})


def delete(ports: Ports, call: Call, request: Request) -> Answer:
    """DELETE /notification-destinations/{id}."""
    destinations.delete_destination(ports, call, request.parameters["id"])
    return Answer({})


BASE = "/api/2.0/notification-destinations"

OPERATIONS = [
    Operation("POST", BASE, create),
    Operation("GET", BASE, list_all),
    Operation("GET", f"{BASE}/{{id}}", get),
    Operation("DELETE", f"{BASE}/{{id}}", delete),
]
