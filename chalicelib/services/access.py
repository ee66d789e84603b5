"""The one gate: who calls, and what they may do. Also users and tokens, for the administrator's command.

`admit` is the first thing that happens to a request. It reads the token together with whatever the route expects to
need (`prefetch`), in one round trip; nothing of that is looked at before the token is found good.

A browser that follows the links of a page sends no Authorization header. For pages it has a cookie: a token of its own
that opens the pages below one path and nothing else, and that ends sooner than others.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from chalicelib.core.credentials import (
    WORKSPACE,
    Credential,
    cookie_token,
    digest_of,
    hash_password,
    parse_authorization,
    password_matches,
    split_user,
    token_text,
    workspace_of,
)
from chalicelib.core.errors import AlreadyExists, Forbidden, Invalid, NotFound, Unauthenticated
from chalicelib.core.ids import external_name
from chalicelib.core.model import Departed, Job, Pipeline, Principal, Role, Run, Token, User
from chalicelib.ports import Clash, Delete, Key, Ports, Put, key

M = TypeVar("M", Run, Job, Pipeline)

MAX_NAME = 200
"""Characters of a user's name: it is part of a key, whose bytes the table limits."""

_NOT_ADMITTED = "The credentials are unknown, expired or revoked."

SESSION_MS = 12 * 3600 * 1000
"""How long a token that a login issues is good for."""

PAGES_MS = 4 * 3600 * 1000
"""How long a token that opens pages is good for."""


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated call: who, and the records that were read along with the token (absent ones as None).
    `departed` are the workspace's removed users; `until` is when the token ends (epoch ms; 0 for never, and for a
    password)."""

    principal: Principal
    snapshot: Mapping[Key, Any] = field(default_factory=dict)
    departed: Mapping[str, int] = field(default_factory=dict)
    until: int = 0

    @property
    def workspace(self) -> str:
        """The caller's workspace."""
        return self.principal.workspace

    def require_admin(self) -> None:
        """Raise Forbidden unless the caller administers its workspace."""
        if not self.principal.is_admin:
            raise Forbidden("This needs an administrator.")


def read(ports: Ports, call: Call, keys: Collection[Key]) -> dict[Key, Any]:
    """Records by key, from the call's snapshot where it has them; an absent record is an absent key."""
    missing = [k for k in keys if k not in call.snapshot]
    found = ports.store.fetch(missing) if missing else {}
    return found | {k: call.snapshot[k] for k in keys if call.snapshot.get(k) is not None}


def credential_of(ports: Ports, authorization: str | None, cookie: str | None = None) -> Credential:
    """The credential in an Authorization header, or where there is no such header, in a page's cookie; not yet
    verified. Raises Unauthenticated."""
    if not authorization and (text := cookie_token(cookie)):
        return Credential(workspace_of(text, ports.settings.workspace), text)
    return parse_authorization(authorization, ports.settings.workspace)


def admit(ports: Ports, credential: Credential, prefetch: Collection[Key] = (), page: str = "") -> Call:
    """Verify a credential and return the call. `page` is the path of the page that is asked for, if it is one: a token
    that opens only pages must be one for it. Raises Unauthenticated, in the same words whatever was wrong."""
    if len(credential.user) > MAX_NAME:
        raise Unauthenticated(_NOT_ADMITTED)
    token_key = key(Token, credential.workspace, credential.digest)
    user_key = key(User, credential.workspace, credential.user) if credential.user else None
    departed_key = key(Departed, credential.workspace)
    found = ports.store.fetch([token_key, departed_key, *([user_key] if user_key else []), *prefetch])
    token, user = found.get(token_key), found.get(user_key) if user_key else None
    departed: Mapping[str, int] = found[departed_key].users if departed_key in found else {}
    if token and (is_departed(departed, token.principal, token.created_at) or not _opens(token, page)):
        token = None
    by_token = _of_token(ports, credential, token)
    principal = by_token or _of_password(credential, user)
    if principal is None:
        raise Unauthenticated(_NOT_ADMITTED)
    until = token.expires_at if by_token and token else 0
    return Call(principal, {k: found.get(k) for k in prefetch}, departed, until)


def is_departed(departed: Mapping[str, int], name: str, at: int) -> bool:
    """Whether what a name made at an instant is a removed user's."""
    return at <= departed.get(name, -1)


def seen_by(call: Call, record: M) -> M:
    """The record for rendering: without its creator, where that user is gone (seed 004, "Get")."""
    gone = is_departed(call.departed, record.created_by, record.created_at)
    return replace(record, created_by="") if gone else record


def _opens(token: Token, page: str) -> bool:
    return not token.pages or page == token.pages or page.startswith(f"{token.pages}/")


def _of_token(ports: Ports, credential: Credential, token: Token | None) -> Principal | None:
    if token is None or (token.expires_at and token.expires_at <= ports.clock.now()):
        return None
    if (credential.user and credential.user != token.principal) or (credential.own and token.exchanged):
        return None
    return Principal(token.workspace, token.principal, token.role)


def _of_password(credential: Credential, user: User | None) -> Principal | None:
    if user is None or not password_matches(credential.secret, user.password):
        return None
    return Principal(user.workspace, user.name, user.role)


@dataclass(frozen=True, slots=True)
class Login:
    """A token that a login issued: its text, and for how many seconds it is good."""

    text: str
    seconds: int


def log_in(ports: Ports, username: str, secret: str, *, again: bool = False) -> Login:
    """Issue a JWT for a username with its password or an API key (seed 002, "Authentication"). With `again`, a token
    that a login issued is as good. It ends after SESSION_MS, or with the token that it was issued for, so that no token
    renews itself. Raises Unauthenticated.

    The JWT is an ordinary token whose text happens to be a JWT, because clients decode it: it is found by its digest,
    expires with its `exp`, and can be revoked like any other.
    """
    import jwt  # imported here: only a login needs it, and cold starts pay for imports

    workspace, name = split_user(username, workspace_of(secret, ports.settings.workspace))
    call = admit(ports, Credential(workspace, secret, name, own=not again))
    principal, now = call.principal, ports.clock.now()
    expires = min(now + SESSION_MS, call.until or now + SESSION_MS)
    claims = {
        "sub": principal.name,
        "username": principal.name,
        "workspace": principal.workspace,
        "role": principal.role.value,
        "iat": now // 1000,
        "exp": expires // 1000,
        "jti": ports.dice.text(),
    }
    text = jwt.encode(claims, ports.secret(), algorithm="HS256")
    _store_token(ports, principal, text, expires_at=expires, label="login", exchanged=True)
    return Login(text, (expires - now) // 1000)


def create_user(ports: Ports, workspace: str, name: str, role: Role, password: str = "") -> User:
    """Create a user. Raises AlreadyExists, and Invalid for a name or workspace that cannot be."""
    if not WORKSPACE.fullmatch(workspace):
        raise Invalid(
            f"{workspace!r} is not a workspace name: lower case letters, digits and dashes.", field="workspace"
        )
    if not 0 < len(name) <= MAX_NAME or ":" in name or "/" in name or name == "token":
        raise Invalid(f"{name!r} cannot be a user's name.", field="name")
    user = User(workspace, name, role, ports.clock.now(), _hashed(ports, password))
    try:
        ports.store.commit([Put(user)])
    except Clash:
        raise AlreadyExists(f"User {name} exists in workspace {workspace}.", field="name") from None
    return user


def _hashed(ports: Ports, password: str) -> str:
    return hash_password(password, ports.dice.bits(128).to_bytes(16, "big")) if password else ""


def delete_user(ports: Ports, workspace: str, name: str) -> None:
    """Remove a user; its password and all its tokens are worthless at once. What it made stays, without its name.
    Raises NotFound."""
    user_key, departed_key = key(User, workspace, name), key(Departed, workspace)
    while True:
        found = ports.store.fetch([user_key, departed_key])
        if user_key not in found:
            raise NotFound("User", name)
        departed: Departed = found.get(departed_key) or Departed(workspace)
        users = {**departed.users, name: ports.clock.now()}
        try:
            ports.store.commit([Delete(found[user_key]), Put(replace(departed, users=users))])
            return
        except Clash:
            continue


def create_token(ports: Ports, workspace: str, name: str, *, ttl_ms: int = 0, text: str = "", label: str = "") -> str:
    """Issue a token to a user and return its text, which is not kept. Raises NotFound. `text` fixes the text."""
    user_key = key(User, workspace, name)
    user = ports.store.fetch([user_key]).get(user_key)
    if user is None:
        raise NotFound("User", name)
    principal = Principal(workspace, name, user.role)
    text = text or token_text(workspace, ports.dice.text())
    _store_token(ports, principal, text, expires_at=ports.clock.now() + ttl_ms if ttl_ms else 0, label=label)
    return text


def open_pages(ports: Ports, call: Call, below: str) -> str:
    """Issue the caller a token that opens the pages below a path, for PAGES_MS, and return its text."""
    text = token_text(call.workspace, ports.dice.text())
    _store_token(ports, call.principal, text, expires_at=ports.clock.now() + PAGES_MS, label="pages", pages=below)
    return text


def close_pages(ports: Ports, call: Call, text: str) -> None:
    """Make a token that opens the caller's pages worthless at once; no error for any other text."""
    token_key = key(Token, call.workspace, digest_of(text))
    token = ports.store.fetch([token_key]).get(token_key)
    if token and token.pages and token.principal == call.principal.name:
        with suppress(Clash):
            ports.store.commit([Delete(token)])


def _store_token(
    ports: Ports,
    principal: Principal,
    text: str,
    *,
    expires_at: int,
    label: str,
    pages: str = "",
    exchanged: bool = False,
) -> None:
    token = Token(
        principal.workspace,
        digest_of(text),
        principal.name,
        principal.role,
        ports.clock.now(),
        expires_at=expires_at,
        label=label,
        pages=pages,
        exchanged=exchanged,
    )
    try:
        ports.store.commit([Put(token)])
    except Clash:
        raise AlreadyExists("This token exists.", field="token") from None


def revoke_token(ports: Ports, workspace: str, text: str) -> None:
    """Make a token worthless at once. Raises NotFound."""
    token_key = key(Token, workspace, digest_of(text))
    token = ports.store.fetch([token_key]).get(token_key)
    if token is None:
        raise NotFound("Token", "given")
    ports.store.commit([Delete(token)])


def run_secret(ports: Ports, workspace: str, run: int) -> str:
    """The bearer secret of one run's driver: good for that run's reports and nothing else."""
    return hmac.new(ports.secret(), f"driver:{external_name(workspace, run)}".encode(), "sha256").hexdigest()


def admit_driver(ports: Ports, authorization: str | None, workspace: str, run: int) -> None:
    """Verify a driver's secret. Raises Unauthenticated."""
    scheme, _, secret = (authorization or "").partition(" ")
    told, right = secret.strip().encode(errors="replace"), run_secret(ports, workspace, run).encode()
    if scheme.lower() != "bearer" or not hmac.compare_digest(told, right):
        raise Unauthenticated("The driver's secret is not the run's.")
