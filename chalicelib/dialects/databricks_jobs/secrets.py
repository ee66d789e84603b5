"""The operations of Secrets API 2.0: scopes, the names of secrets, and permissions. Values go in and never out."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from chalicelib.core.errors import Invalid, Malformed
from chalicelib.core.model import Permission
from chalicelib.dialects.http import Answer, Operation, Request
from chalicelib.later import later
from chalicelib.ports import Ports
from chalicelib.services.access import Call

if TYPE_CHECKING:
    from chalicelib.dialects.databricks_jobs import reading, secrets_schemas
    from chalicelib.services import secrets
else:
    secrets = later("chalicelib.services.secrets")
    reading, secrets_schemas = (
        later(f"chalicelib.dialects.databricks_jobs.{name}") for name in ("reading", "secrets_schemas")
    )


def create_scope(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /secrets/scopes/create."""
    body = reading.parse(secrets_schemas.CreateScope, request.fields)
    if body.scope_backend_type != "DATABRICKS" or body.backend_azure_keyvault is not None:
        raise Invalid("Scopes backed by Azure Key Vault are not supported.", field="scope_backend_type")
    secrets.create_scope(ports, call, body.scope, body.initial_manage_principal)
    return Answer({})


def delete_scope(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /secrets/scopes/delete."""
    secrets.delete_scope(ports, call, reading.parse(secrets_schemas.Scope, request.fields).scope)
    return Answer({})


def list_scopes(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /secrets/scopes/list."""
    names = secrets.list_scopes(ports, call.workspace)
    return Answer({"scopes": [{"name": name, "backend_type": "DATABRICKS"} for name in names]} if names else {})


def put(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /secrets/put."""
    body = reading.parse(secrets_schemas.PutSecret, request.fields)
    if (body.string_value is None) == (body.bytes_value is None):
        raise Malformed("Exactly one of string_value and bytes_value must be specified.", field="string_value")
    value = _bytes(body.bytes_value) if body.string_value is None else body.string_value.encode()
    secrets.put_secret(ports, call, body.scope, body.key, value, is_text=body.string_value is not None)
    return Answer({})


def _bytes(text: str | None) -> bytes:
    try:
        return base64.b64decode("".join((text or "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("Invalid value for field bytes_value: expected base64", field="bytes_value") from None


def delete(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /secrets/delete."""
    body = reading.parse(secrets_schemas.SecretName, request.fields)
    secrets.delete_secret(ports, call, body.scope, body.key)
    return Answer({})


def list_secrets(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /secrets/list."""
    scope = reading.parse(secrets_schemas.Scope, request.fields).scope
    found = secrets.list_secrets(ports, call, scope)
    shown = [{"key": name, "last_updated_timestamp": at} for name, at in found.items()]
    return Answer({"secrets": shown} if shown else {})


def put_acl(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /secrets/acls/put."""
    body = reading.parse(secrets_schemas.PutAcl, request.fields)
    secrets.put_acl(ports, call, body.scope, body.principal, Permission(body.permission))
    return Answer({})


def delete_acl(ports: Ports, call: Call, request: Request) -> Answer:
    """POST /secrets/acls/delete."""
    body = reading.parse(secrets_schemas.Acl, request.fields)
    secrets.delete_acl(ports, call, body.scope, body.principal)
    return Answer({})


def get_acl(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /secrets/acls/get."""
    body = reading.parse(secrets_schemas.Acl, request.fields)
    permission = secrets.get_acl(ports, call, body.scope, body.principal)
    return Answer({"principal": body.principal, "permission": permission})


def list_acls(ports: Ports, call: Call, request: Request) -> Answer:
    """GET /secrets/acls/list."""
    scope = reading.parse(secrets_schemas.Scope, request.fields).scope
    acls = secrets.list_acls(ports, call, scope)
    return Answer({"items": [{"principal": who, "permission": what} for who, what in acls.items()]})


BASE = "/api/2.0/secrets"

OPERATIONS = [
    Operation("POST", f"{BASE}/scopes/create", create_scope),
    Operation("POST", f"{BASE}/scopes/delete", delete_scope),
    Operation("GET", f"{BASE}/scopes/list", list_scopes),
    Operation("POST", f"{BASE}/put", put),
    Operation("POST", f"{BASE}/delete", delete),
    Operation("GET", f"{BASE}/list", list_secrets),
    Operation("POST", f"{BASE}/acls/put", put_acl),
    Operation("POST", f"{BASE}/acls/delete", delete_acl),
    Operation("GET", f"{BASE}/acls/get", get_acl),
    Operation("GET", f"{BASE}/acls/list", list_acls),
]
