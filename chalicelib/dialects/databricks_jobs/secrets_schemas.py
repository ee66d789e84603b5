"""The wire's shapes of the Secrets API 2.0."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from chalicelib.dialects.wire import Wire

Name = Annotated[str, Field(min_length=1)]


class Scope(Wire):
    """A scope's name."""

    scope: Name


class CreateScope(Scope):
    """A new scope."""

    initial_manage_principal: str = ""
    scope_backend_type: Literal["DATABRICKS", "AZURE_KEYVAULT"] = "DATABRICKS"
    backend_azure_keyvault: Any = None


class SecretName(Scope):
    """A secret's name."""

    key: Name


class PutSecret(SecretName):
    """A secret's value: text, or bytes in base64."""

    string_value: str | None = None
    bytes_value: str | None = None


class Acl(Scope):
    """Whose permission on a scope."""

    principal: Name


class PutAcl(Acl):
    """Who may do what."""

    permission: Literal["READ", "WRITE", "MANAGE"]
