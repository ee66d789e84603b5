"""System destinations: where notices are posted. Administrators keep them (seed 004, "Webhook")."""

from __future__ import annotations

import hmac
import uuid

from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.model import Destination
from chalicelib.core.webhooks import networks_of, target_of
from chalicelib.ports import Clash, Delete, Ports, Put, destinations_of, key
from chalicelib.services.access import Call
from chalicelib.services.listings import pages

MAX_NAME = 200
MAX_ID = 200


def create_destination(ports: Ports, call: Call, name: str, url: str) -> tuple[Destination, str]:
    """Make a destination; returns it and the secret that signs what it is sent. Raises Forbidden, Invalid."""
    call.require_admin()
    if not 0 < len(name) <= MAX_NAME:
        raise Invalid(f"A destination's name has 1 to {MAX_NAME} characters.", field="display_name")
    target_of(url, networks_of(ports.settings.webhook_networks))
    id = str(uuid.UUID(int=ports.dice.bits(128), version=4))
    made = Destination(call.workspace, id, name, url, call.principal.name, ports.clock.now())
    ports.store.commit([Put(made)])
    return made, signing_secret(ports, made)


def list_destinations(ports: Ports, call: Call) -> list[Destination]:
    """All destinations of the workspace, by id. Raises Forbidden."""
    call.require_admin()
    return [one for page in pages(ports, destinations_of(call.workspace), size=500) for one in page]


def get_destination(ports: Ports, call: Call, id: str) -> Destination:
    """A destination. Raises Forbidden, NotFound."""
    call.require_admin()
    found = find(ports, call.workspace, id) if len(id) <= MAX_ID else None
    if found is None:
        raise NotFound("Notification destination", id, field="id")
    return found


def delete_destination(ports: Ports, call: Call, id: str) -> None:
    """Remove a destination; notices for it are given up from now on. Raises Forbidden, NotFound."""
    try:
        ports.store.commit([Delete(get_destination(ports, call, id))])
    except Clash:
        raise NotFound("Notification destination", id, field="id") from None


def find(ports: Ports, workspace: str, id: str) -> Destination | None:
    """A destination by the id that a job names, None if there is none."""
    destination_key = key(Destination, workspace, id)
    found: Destination | None = ports.store.fetch([destination_key]).get(destination_key)
    return found


def signing_secret(ports: Ports, destination: Destination) -> str:
    """The secret that a destination's notices are signed with. It follows from the deployment's own, so it is kept
    nowhere and shown to whoever makes the destination, once."""
    told = f"destination:{destination.workspace}:{destination.id}"
    return hmac.new(ports.secret(), told.encode(), "sha256").hexdigest()


def signature(secret: str, now: int, body: bytes) -> str:
    """The signature of a body sent at an instant (epoch milliseconds): `t=<seconds>,v1=<hex HMAC-SHA256 of t.body>`."""
    seconds = now // 1000
    mac = hmac.new(secret.encode(), f"{seconds}.".encode() + body, "sha256").hexdigest()
    return f"t={seconds},v1={mac}"
