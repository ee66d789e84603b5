"""Credentials as texts: the Authorization header's three schemes, a browser's cookie, token texts that carry their
workspace, passwords."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass

from chalicelib.core.errors import Unauthenticated

_TOKEN = re.compile(r"spk_(?P<workspace>[a-z0-9][a-z0-9-]{0,31})_[A-Za-z0-9_-]{20,}")
WORKSPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller showed: a secret text, and the user it claims to be (empty for none), in a workspace. `own` when it
    must be a password or key of the user's own, not a token that a login issued."""

    workspace: str
    secret: str
    user: str = ""
    own: bool = False

    @property
    def digest(self) -> str:
        """What a token with this text is stored under."""
        return digest_of(self.secret)


def digest_of(text: str) -> str:
    """The digest of a token's text. Texts have 256 bits of entropy, so a plain hash will do."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def token_text(workspace: str, secret: str) -> str:
    """A token's text; it carries its workspace."""
    return f"spk_{workspace}_{secret}"


def parse_authorization(header: str | None, default_workspace: str) -> Credential:
    """The credential in a header: `Bearer t`, `Basic user:password`, `Basic token:t`, `ZenApiKey user:key`.

    Raises Unauthenticated when there is none or it is of another form.
    """
    scheme, _, value = (header or "").strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and value:
        return Credential(workspace_of(value, default_workspace), value)
    if scheme.lower() in {"basic", "zenapikey"} and value:
        user, colon, secret = _decode(value).partition(":")
        secret = secret.rstrip("\r\n")
        if colon and user and secret:
            if scheme.lower() == "basic" and user == "token":
                return Credential(workspace_of(secret, default_workspace), secret)
            workspace, user = split_user(user, workspace_of(secret, default_workspace))
            return Credential(workspace, secret, user, own=scheme.lower() == "zenapikey")
    raise Unauthenticated("Credentials were not provided, or are of a form that is not supported.")


COOKIE = "sparkplane"
"""The cookie by which a browser shows the token that opens pages."""


def cookie_token(header: str | None) -> str:
    """The token's text in a Cookie header; empty when there is none."""
    pairs = (pair.strip().partition("=") for pair in (header or "").split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), "")


def split_user(user: str, default_workspace: str) -> tuple[str, str]:
    """The workspace and name of a user text: `alice`, or `team/alice` in a workspace that is not the default."""
    workspace, slash, name = user.rpartition("/")
    return (workspace, name) if slash and WORKSPACE.fullmatch(workspace) else (default_workspace, user)


def _decode(value: str) -> str:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode()
    except ValueError:  # binascii's, a text that is not ASCII, or bytes that are not UTF-8
        raise Unauthenticated("The credentials are not valid base64 text.") from None


def workspace_of(text: str, default_workspace: str) -> str:
    """The workspace that a token's text names: ours, a JWT's claim, or else the default. Nothing is trusted by it:
    the token must still be found there."""
    if match := _TOKEN.fullmatch(text):
        return match["workspace"]
    parts = text.split(".")
    if len(parts) == 3:
        try:
            claims = json.loads(_decode(parts[1].replace("-", "+").replace("_", "/")))
        except (ValueError, RecursionError, Unauthenticated):
            return default_workspace
        workspace = claims.get("workspace") if isinstance(claims, dict) else None
        if isinstance(workspace, str) and WORKSPACE.fullmatch(workspace):
            return workspace
    return default_workspace


_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1, "dklen": 32}


def hash_password(password: str, salt: bytes) -> str:
    """A salted scrypt text of a password that a person chose."""
    derived = hashlib.scrypt(password.encode(errors="surrogatepass"), salt=salt, **_SCRYPT)
    return f"scrypt${salt.hex()}${derived.hex()}"


def password_matches(password: str, stored: str) -> bool:
    """Whether a password is the one that `hash_password` made this text of; False for an empty text."""
    scheme, _, rest = stored.partition("$")
    salt = bytes.fromhex(rest.partition("$")[0]) if scheme == "scrypt" else b""
    return bool(salt) and hmac.compare_digest(hash_password(password, salt), stored)
