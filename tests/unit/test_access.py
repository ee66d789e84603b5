"""The one gate: who calls, and what they may do."""

from __future__ import annotations

import base64
from dataclasses import replace

import jwt
import pytest

from chalicelib.core.credentials import Credential
from chalicelib.core.errors import AlreadyExists, Forbidden, Invalid, NotFound, Unauthenticated
from chalicelib.core.model import Pool, Principal, Role, Token, User
from chalicelib.ports import key
from chalicelib.services.access import (
    SESSION_MS,
    Call,
    admit,
    admit_driver,
    create_token,
    create_user,
    credential_of,
    delete_user,
    log_in,
    read,
    revoke_token,
    run_secret,
)
from tests.unit.fakes import World

ALICE = Principal("main", "alice")


@pytest.fixture
def world() -> World:
    world = World()
    create_user(world.ports, "main", "alice", Role.USER, "correct horse")
    create_user(world.ports, "main", "root", Role.ADMIN)
    create_user(world.ports, "team", "alice", Role.ADMIN, "battery staple")
    return world


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def who(world: World, header: str | None) -> Principal:
    return admit(world.ports, credential_of(world.ports, header)).principal


def refused(world: World, header: str | None) -> str:
    with pytest.raises(Unauthenticated) as error:
        who(world, header)
    return error.value.message


def test_one_token_opens_the_gate_in_every_scheme(world: World) -> None:
    token = create_token(world.ports, "main", "alice")
    for header in (f"Bearer {token}", f"Basic {b64('token:' + token)}", f"Basic {b64('alice:' + token)}",
                   f"ZenApiKey {b64('alice:' + token)}"):  # fmt: skip
        assert who(world, header) == ALICE


def test_a_password_opens_the_gate_in_the_schemes_that_name_a_user(world: World) -> None:
    assert who(world, f"Basic {b64('alice:correct horse')}") == ALICE
    assert who(world, f"ZenApiKey {b64('alice:correct horse')}") == ALICE
    assert who(world, f"Basic {b64('team/alice:battery staple')}") == Principal("team", "alice", Role.ADMIN)
    refused(world, "Bearer correct horse")


def test_whatever_is_wrong_the_answer_is_the_same(world: World) -> None:
    token = create_token(world.ports, "main", "alice")
    expired = create_token(world.ports, "main", "alice", ttl_ms=1000)
    revoked = create_token(world.ports, "main", "alice")
    world.clock.advance(1000)
    revoke_token(world.ports, "main", revoked)
    messages = {
        refused(world, header)
        for header in (
            "Bearer spk_main_" + "x" * 43,
            f"Bearer {expired}",
            f"Bearer {revoked}",
            f"Bearer {token}x",
            f"Basic {b64('bob:' + token)}",
            f"Basic {b64('root:' + token)}",
            f"Basic {b64('team/alice:' + token)}",
            f"Basic {b64('alice:wrong')}",
            f"Basic {b64('nobody:wrong')}",
            f"Basic {b64('root:')[:-1]}x",
            f"Basic {b64('team/alice:correct horse')}",
            f"Basic {b64('alice:battery staple')}",
            f"Bearer {token.replace('spk_main', 'spk_team')}",
        )
    }
    assert len(messages) == 1


def test_a_user_without_a_password_has_none_that_matches(world: World) -> None:
    for guess in ("", " ", "scrypt", "None"):
        with pytest.raises(Unauthenticated):
            admit(world.ports, Credential("main", guess, "root"))


def test_a_token_lasts_until_its_last_millisecond(world: World) -> None:
    token = create_token(world.ports, "main", "alice", ttl_ms=1000)
    world.clock.advance(999)
    assert who(world, f"Bearer {token}") == ALICE
    world.clock.advance(1)
    refused(world, f"Bearer {token}")


def test_neither_token_texts_nor_passwords_are_kept(world: World) -> None:
    token = create_token(world.ports, "main", "alice", label="ci")
    kept = repr(world.store.records)
    assert token not in kept and "correct horse" not in kept
    assert [found.label for found in world.store.all(Token)] == ["ci"]


def test_a_log_in_gives_a_jwt_that_clients_can_decode_and_that_ends(world: World) -> None:
    text = log_in(world.ports, "alice", "correct horse").text
    claims = jwt.decode(text, options={"verify_signature": False})
    assert (claims["sub"], claims["username"], claims["workspace"]) == ("alice", "alice", "main")
    assert claims["exp"] == (world.clock.now() + SESSION_MS) // 1000
    assert who(world, f"Bearer {text}") == ALICE
    world.clock.advance(SESSION_MS)
    refused(world, f"Bearer {text}")


def test_a_log_in_works_with_an_api_key_and_in_another_workspace(world: World) -> None:
    api_key = create_token(world.ports, "main", "alice")
    assert who(world, f"Bearer {log_in(world.ports, 'alice', api_key).text}") == ALICE
    text = log_in(world.ports, "team/alice", "battery staple").text
    assert who(world, f"Bearer {text}") == Principal("team", "alice", Role.ADMIN)


@pytest.mark.parametrize(("user", "secret"), [("alice", "wrong"), ("nobody", "x"), ("", ""), ("alice", "\ud800")])
def test_a_wrong_log_in_gives_nothing(world: World, user: str, secret: str) -> None:
    before = world.store.snapshot()
    with pytest.raises(Unauthenticated):
        log_in(world.ports, user, secret)
    assert world.store.snapshot() == before


def test_a_forged_jwt_is_refused_and_a_revoked_one_too(world: World) -> None:
    text = log_in(world.ports, "alice", "correct horse").text
    head, claims, _ = text.split(".")
    refused(world, f"Bearer {head}.{claims}.")
    refused(world, f"Bearer {jwt.encode({'sub': 'root', 'workspace': 'main'}, 'k' * 32, algorithm='HS256')}")
    revoke_token(world.ports, "main", text)
    refused(world, f"Bearer {text}")


def test_two_log_ins_in_one_millisecond_are_two_tokens(world: World) -> None:
    assert log_in(world.ports, "alice", "correct horse") != log_in(world.ports, "alice", "correct horse")


def test_the_gate_reads_once_along_with_what_the_route_needs(world: World) -> None:
    token = create_token(world.ports, "main", "alice")
    world.store.seed(Pool("main", "default", 0))
    there, missing = key(Pool, "main", "default"), key(Pool, "main", "none")
    world.store.counts.clear()
    call = admit(world.ports, credential_of(world.ports, f"Bearer {token}"), [there, missing])
    assert set(read(world.ports, call, [there, missing])) == {there}
    assert world.store.counts == {"fetch": 1}


def test_only_an_administrator_administers() -> None:
    Call(replace(ALICE, role=Role.ADMIN)).require_admin()
    with pytest.raises(Forbidden):
        Call(ALICE).require_admin()


@pytest.mark.parametrize("name", ["", "a:b", "a/b", "token"])
def test_a_name_that_credentials_could_not_carry_is_refused(world: World, name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        create_user(world.ports, "main", name, Role.USER)
    assert refusal.value.field == "name"


@pytest.mark.parametrize("workspace", ["", "UPPER", "a#b", "a/b", "x" * 33, "-a", "a.b"])
def test_a_workspace_that_keys_could_not_carry_is_refused(world: World, workspace: str) -> None:
    with pytest.raises(Invalid) as refusal:
        create_user(world.ports, workspace, "alice", Role.USER)
    assert refusal.value.field == "workspace"


def test_users_and_tokens_exist_once_and_need_their_owner(world: World) -> None:
    with pytest.raises(AlreadyExists):
        create_user(world.ports, "main", "alice", Role.ADMIN, "taken over")
    assert world.store.get(User, "main", "alice").role is Role.USER
    create_token(world.ports, "main", "alice", text="fixed text of the owner's choice")
    with pytest.raises(AlreadyExists):
        create_token(world.ports, "main", "root", text="fixed text of the owner's choice")
    with pytest.raises(NotFound):
        create_token(world.ports, "main", "nobody")
    with pytest.raises(NotFound):
        revoke_token(world.ports, "main", "never issued")


def test_a_drivers_secret_is_good_for_its_own_run_only(world: World) -> None:
    secret = run_secret(world.ports, "main", 7)
    admit_driver(world.ports, f"Bearer {secret}", "main", 7)
    for header, workspace, run in (
        (f"Bearer {secret}", "main", 8),
        (f"Bearer {secret}", "team", 7),
        (f"Basic {secret}", "main", 7),
        ("Bearer ", "main", 7),
        ("Bearer é\udcff", "main", 7),
        (None, "main", 7),
    ):
        with pytest.raises(Unauthenticated):
            admit_driver(world.ports, header, workspace, run)


def test_a_removed_users_credentials_are_worthless_also_when_somebody_else_has_the_name(world: World) -> None:
    token = create_token(world.ports, "main", "alice")
    login = log_in(world.ports, "alice", "correct horse").text
    delete_user(world.ports, "main", "alice")
    for header in (f"Bearer {token}", f"Bearer {login}", f"Basic {b64('alice:correct horse')}"):
        assert "unknown, expired or revoked" in refused(world, header)
    world.clock.advance(1)
    create_user(world.ports, "main", "alice", Role.USER, "another")
    assert "unknown, expired or revoked" in refused(world, f"Bearer {token}")
    assert who(world, f"Bearer {create_token(world.ports, 'main', 'alice')}") == ALICE


def test_a_user_that_is_not_there_cannot_be_removed(world: World) -> None:
    before = dict(world.store.records)
    with pytest.raises(NotFound):
        delete_user(world.ports, "main", "nobody")
    assert world.store.records == before
