"""The ways to a token (seed 002, "Authentication"; `wire/analytics_engine_v4.md`, 3.3).

`authorize` gives a JWT for a username with its password or an API key. Where identity management is enabled, clients
ask `identitytoken` for an access token and may trade it at `validateAuth`; the tokens are the same kind of thing here,
so either opens the gate. A token that was issued so is no key: `authorize` and ZenApiKey refuse it, and what
`validateAuth` gives for it ends when it ends. A platform API key is an ordinary token without an end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.core.errors import Invalid, Unauthenticated
from chalicelib.dialects.http import Answer, OpenOperation, Operation, Request
from chalicelib.later import later
from chalicelib.ports import Ports
from chalicelib.services import access
from chalicelib.services.access import Call

if TYPE_CHECKING:
    from chalicelib.dialects.analytics_engine import mapping, schemas
else:
    mapping, schemas = (
        later("chalicelib.dialects.analytics_engine.mapping"),
        later("chalicelib.dialects.analytics_engine.schemas"),
    )


def authorize(ports: Ports, request: Request) -> Answer:
    """POST /icp4d-api/v1/authorize: a JWT for a username with its password or API key."""
    body = mapping.parse(schemas.Authorize, request.json)
    secret = body.password or body.api_key
    if not body.username or not secret:
        raise Unauthenticated("username and either password or api_key are required.")
    token = access.log_in(ports, body.username, secret).text
    return Answer({"_messageCode_": "200", "message": "Success", "token": token})


def identity_token(ports: Ports, request: Request) -> Answer:
    """POST /idprovider/v1/auth/identitytoken: OAuth's password grant, as a form."""
    told = mapping.parse(schemas.GrantType, request.fields).grant_type
    if told != "password":
        message = f"grant_type: {told!r} is not supported. Known: password, with a username and its password."
        raise Invalid(message, field="grant_type")
    body = mapping.parse(schemas.IdentityToken, request.fields)
    login = access.log_in(ports, body.username, body.password)
    return Answer(
        {
            "access_token": login.text,
            "token_type": "Bearer",
            "expires_in": login.seconds,
            "scope": body.scope,
            "id_token": login.text,
        }
    )


def validate(ports: Ports, request: Request) -> Answer:
    """GET /v1/preauth/validateAuth: trades an identity token, or a username and password, for an access token."""
    user = request.headers.get("username", "")
    issued = request.headers.get("iam-token", "")
    secret = issued or request.headers.get("password", "")
    if not user or not secret:
        raise Invalid("The headers username and either iam-token or password are required.", field="username")
    token = access.log_in(ports, user, secret, again=bool(issued)).text
    return Answer({"username": user, "_messageCode_": "success", "message": "success", "accessToken": token})


def generate_key(ports: Ports, call: Call, request: Request) -> Answer:
    """GET or POST /usermgmt/v1/user/apiKey: a platform API key for the caller, which is told once. It must be called
    with a bearer token (seed 002), so that a key cannot breed keys."""
    if not request.headers.get("authorization", "").lower().startswith("bearer "):
        raise Unauthenticated("An API key is generated with a bearer token only.")
    made = access.create_token(ports, call.workspace, call.principal.name, label="api key")
    return Answer({"_messageCode_": "success", "message": "success", "apiKey": made})


KEYS = ("/usermgmt/v1/user/apiKey", "/api/v1/usermgmt/v1/user/apiKey")
OPERATIONS: list[Operation | OpenOperation] = [
    OpenOperation("POST", "/icp4d-api/v1/authorize", authorize),
    OpenOperation("POST", "/v1/authorize", authorize),
    OpenOperation("POST", "/idprovider/v1/auth/identitytoken", identity_token),
    OpenOperation("GET", "/v1/preauth/validateAuth", validate),
    *(Operation(method, path, generate_key) for path in KEYS for method in ("GET", "POST")),
]
