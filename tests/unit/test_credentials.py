"""Credentials as texts: the Authorization header's schemes, and passwords."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.credentials import (
    Credential,
    digest_of,
    hash_password,
    parse_authorization,
    password_matches,
    split_user,
    token_text,
)
from chalicelib.core.errors import Unauthenticated

TEAM_TOKEN = token_text("team", "x" * 43)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "credential"),
    [
        ("Bearer secret", Credential("main", "secret")),
        ("bearer  secret ", Credential("main", "secret")),
        (f"Bearer {TEAM_TOKEN}", Credential("team", TEAM_TOKEN)),
        (f"Basic {b64('alice:pa:ss')}", Credential("main", "pa:ss", "alice")),
        (f"Basic {b64('team/alice:pass')}", Credential("team", "pass", "alice")),
        (f"Basic {b64(f'token:{TEAM_TOKEN}')}", Credential("team", TEAM_TOKEN)),
        (f"Basic {b64(f'alice:{TEAM_TOKEN}')}", Credential("team", TEAM_TOKEN, "alice")),
        (f"Basic {b64('alice:pass').rstrip('=')}", Credential("main", "pass", "alice")),
        (f"ZenApiKey {b64('alice:key')}", Credential("main", "key", "alice", own=True)),
        (f"zenapikey {b64(chr(10).join(['alice:key', '']))}", Credential("main", "key", "alice", own=True)),
    ],
)
def test_each_scheme_names_a_secret_a_user_and_a_workspace(header: str, credential: Credential) -> None:
    assert parse_authorization(header, "main") == credential


@pytest.mark.parametrize(
    "header",
    [
        None, "", " ", "Bearer", "Bearer ", "Digest x", "Basic", "Basic ", "Basic !!!", "Basic é",
        "Basic " + b64("alice"),
        "Basic " + b64(":pass"), "Basic " + b64("alice:"), "ZenApiKey " + b64("alice"), "ZenApiKey \udcff",
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
    ],
)  # fmt: skip
def test_any_other_header_is_unauthenticated(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        parse_authorization(header, "main")


@given(st.text(max_size=60) | st.text(max_size=40).map(lambda text: f"Basic {text}"))
def test_any_text_at_all_is_a_credential_or_unauthenticated(header: str) -> None:
    try:
        assert parse_authorization(header, "main").digest
    except Unauthenticated:
        pass


@pytest.mark.parametrize(
    ("claims", "workspace"),
    [('{"workspace":"team"}', "team"), ('{"workspace":"NO SUCH"}', "main"), ('{"workspace":7}', "main"), ("[]", "main"),
     ("{", "main"), ("{}", "main")],
)  # fmt: skip
def test_a_jwt_is_looked_for_in_the_workspace_that_it_claims(claims: str, workspace: str) -> None:
    payload = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
    assert parse_authorization(f"Bearer x.{payload}.y", "main").workspace == workspace


@pytest.mark.parametrize(
    ("text", "expected"),
    [("alice", ("main", "alice")), ("team/alice", ("team", "alice")), ("NO/alice", ("main", "NO/alice"))],
)
def test_a_user_may_name_its_workspace(text: str, expected: tuple[str, str]) -> None:
    assert split_user(text, "main") == expected


def test_a_password_matches_only_its_own_text_and_two_hashes_of_one_differ() -> None:
    stored, again = hash_password("correct horse", b"salt" * 4), hash_password("correct horse", b"pepr" * 4)
    assert stored != again
    assert password_matches("correct horse", stored) and password_matches("correct horse", again)
    assert not password_matches("correct horse ", stored)
    assert not password_matches("", stored)
    assert "correct" not in stored


@pytest.mark.parametrize("stored", ["", "plain", "scrypt$", "scrypt$$", "md5$00$00"])
def test_nothing_matches_a_user_without_a_password(stored: str) -> None:
    assert not password_matches("", stored)
    assert not password_matches("plain", stored)


def test_texts_that_utf_8_cannot_hold_are_just_wrong() -> None:
    assert digest_of("\ud800") != digest_of("\ud801")
    assert not password_matches("\ud800", hash_password("x", b"salt" * 4))
