"""Secrets: who may do what, how many there may be, and that a kill leaves none without its name."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from chalicelib.core.errors import AlreadyExists, Forbidden, Invalid, NotFound, TooMany
from chalicelib.core.model import Permission, Principal, Role, Run, SecretScope, SecretScopes, SecretValue, User
from chalicelib.services import secrets
from chalicelib.services.access import Call
from chalicelib.services.secrets import RunSecrets
from tests.unit.cloud import spec
from tests.unit.fakes import Killed, World

ALICE, BOB = Call(Principal("main", "alice")), Call(Principal("main", "bob"))
ADMIN = Call(Principal("main", "root", Role.ADMIN))
EVE = Call(Principal("elsewhere", "eve", Role.ADMIN))


@pytest.fixture
def world() -> World:
    made = World()
    for user, role in (("alice", Role.USER), ("bob", Role.USER), ("root", Role.ADMIN)):
        made.store.seed(User("main", user, role, 1))
    return made


def put(world: World, scope: str, name: str, value: str = "v", by: Call = ALICE) -> None:
    secrets.put_secret(world.ports, by, scope, name, value.encode(), is_text=True)


def reader(world: World, name: str) -> RunSecrets:
    return RunSecrets(world.ports, Run("main", 1, spec(), name, 1))


def value(world: World, name: str, scope: str, key: str) -> str:
    return base64.b64decode(reader(world, name).value(scope, key).value).decode()


def check(world: World) -> None:
    """Each scope is listed once, and the names of secrets are those of values."""
    scopes = {scope.id: scope for scope in world.store.all(SecretScope)}
    listed = [name.lower() for one in world.store.all(SecretScopes) for name in one.names]
    assert sorted(listed) == sorted(scopes)
    values = {(one.scope, one.key) for one in world.store.all(SecretValue)}
    assert values == {(scope.id, name) for scope in scopes.values() for name in scope.keys}


ASKED: list[tuple[Permission, Callable[[World], object]]] = [
    (Permission.READ, lambda world: secrets.list_secrets(world.ports, BOB, "s")),
    (Permission.READ, lambda world: value(world, "bob", "s", "k")),
    (Permission.READ, lambda world: reader(world, "bob").keys("s")),
    (Permission.WRITE, lambda world: put(world, "s", "k", by=BOB)),
    (Permission.WRITE, lambda world: secrets.delete_secret(world.ports, BOB, "s", "k")),
    (Permission.MANAGE, lambda world: secrets.put_acl(world.ports, BOB, "s", "bob", Permission.MANAGE)),
    (Permission.MANAGE, lambda world: secrets.list_acls(world.ports, BOB, "s")),
    (Permission.MANAGE, lambda world: secrets.get_acl(world.ports, BOB, "s", "alice")),
    (Permission.MANAGE, lambda world: secrets.delete_acl(world.ports, BOB, "s", "bob")),
    (Permission.MANAGE, lambda world: secrets.delete_scope(world.ports, BOB, "s")),
]


@pytest.mark.parametrize("given", [None, *Permission])
@pytest.mark.parametrize("number", range(len(ASKED)))
def test_a_scope_is_its_creators_until_others_are_let_in(world: World, number: int, given: Permission | None) -> None:
    secrets.create_scope(world.ports, ALICE, "s")
    put(world, "s", "k", "one")
    if given:
        secrets.put_acl(world.ports, ALICE, "s", "bob", given)
    needed, ask = ASKED[number]
    levels = list(Permission)
    if given and levels.index(given) >= levels.index(needed):
        ask(world)
    else:
        before = world.store.snapshot()
        with pytest.raises(Forbidden, match="User bob does not have"):
            ask(world)
        assert world.store.records == before
    check(world)


def test_a_permission_that_is_taken_away_is_gone(world: World) -> None:
    secrets.create_scope(world.ports, ALICE, "s")
    secrets.put_acl(world.ports, ALICE, "s", "bob", Permission.READ)
    assert secrets.list_acls(world.ports, ALICE, "s") == {"alice": "MANAGE", "bob": "READ"}
    assert secrets.get_acl(world.ports, ALICE, "s", "bob") == "READ"
    secrets.delete_acl(world.ports, ALICE, "s", "bob")
    for ask in (secrets.get_acl, secrets.delete_acl):
        with pytest.raises(NotFound):
            ask(world.ports, ALICE, "s", "bob")
    with pytest.raises(NotFound, match="User or group nobody"):
        secrets.put_acl(world.ports, ALICE, "s", "nobody", Permission.READ)
    with pytest.raises(Forbidden):
        secrets.list_secrets(world.ports, BOB, "s")


def test_everybody_may_be_let_in_and_administrators_always_are(world: World) -> None:
    secrets.create_scope(world.ports, ALICE, "mine")
    secrets.create_scope(world.ports, ALICE, "ours", "users")
    for scope in ("mine", "ours"):
        put(world, scope, "k", scope)
    assert reader(world, "bob").scopes() == ["ours"]
    assert reader(world, "root").scopes() == ["mine", "ours"]
    assert value(world, "bob", "ours", "k") == "ours" and value(world, "root", "mine", "k") == "mine"
    put(world, "ours", "k", "bob's", by=BOB)
    put(world, "mine", "k", "root's", by=ADMIN)
    assert reader(world, "nobody any more").scopes() == ["ours"]


def test_another_workspace_has_other_secrets(world: World) -> None:
    secrets.create_scope(world.ports, ALICE, "s", "users")
    put(world, "s", "k")
    for ask in (secrets.list_secrets, secrets.delete_scope, secrets.list_acls):
        with pytest.raises(NotFound, match="Scope s does not exist"):
            ask(world.ports, EVE, "s")
    assert secrets.list_scopes(world.ports, "elsewhere") == ()


def test_names_that_differ_in_case_are_one_scope(world: World) -> None:
    secrets.create_scope(world.ports, ALICE, "Prod")
    with pytest.raises(AlreadyExists):
        secrets.create_scope(world.ports, ALICE, "pROD")
    put(world, "PROD", "k")
    assert list(secrets.list_secrets(world.ports, ALICE, "prod")) == ["k"]
    assert secrets.list_scopes(world.ports, "main") == ("Prod",)


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "ä", "a" * 129, "a\n", "a:b"])
def test_names_are_of_plain_characters(world: World, name: str) -> None:
    secrets.create_scope(world.ports, ALICE, "s")
    with pytest.raises(Invalid):
        secrets.create_scope(world.ports, ALICE, name)
    with pytest.raises(Invalid):
        put(world, "s", name)


def test_there_are_bounds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(secrets.MAX_SCOPES):
        secrets.create_scope(world.ports, ALICE, f"s{number}")
    with pytest.raises(TooMany):
        secrets.create_scope(world.ports, ALICE, "more")
    monkeypatch.setattr(secrets, "MAX_SECRETS", 3)
    for number in range(3):
        put(world, "s1", f"k{number}")
    with pytest.raises(TooMany):
        put(world, "s1", "more")
    put(world, "s1", "k0", "again")
    with pytest.raises(Invalid, match="larger"):
        put(world, "s1", "k0", "x" * (128 * 1024 + 1))
    put(world, "s1", "k0", "x" * 128 * 1024)
    check(world)


def test_a_scope_of_many_secrets_goes_whole(world: World) -> None:
    secrets.create_scope(world.ports, ALICE, "s")
    for number in range(50):
        put(world, "s", f"k{number}")
    secrets.delete_scope(world.ports, ALICE, "s")
    assert not world.store.all(SecretValue) and not world.store.all(SecretScope)
    with pytest.raises(NotFound):
        secrets.delete_scope(world.ports, ALICE, "s")


STEPS: dict[str, Callable[[World], object]] = {
    "create": lambda world: secrets.create_scope(world.ports, ALICE, "new"),
    "put": lambda world: put(world, "s", "new"),
    "overwrite": lambda world: put(world, "s", "k1", "new"),
    "delete": lambda world: secrets.delete_secret(world.ports, ALICE, "s", "k1"),
    "delete scope": lambda world: secrets.delete_scope(world.ports, ALICE, "s"),
}


def prepared() -> World:
    world = World()
    secrets.create_scope(world.ports, ALICE, "s")
    for number in range(25):
        put(world, "s", f"k{number}")
    return world


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_whoever_is_killed_may_be_called_again(step: str, after: bool) -> None:
    peaceful = prepared()
    peaceful.tripwire.arm(0, after=after)
    STEPS[step](peaceful)
    for number in range(1, peaceful.tripwire.calls + 1):
        world = prepared()
        world.tripwire.arm(number, after=after)
        with pytest.raises(Killed):
            STEPS[step](world)
        check(world)
        try:
            STEPS[step](world)
        except (NotFound, AlreadyExists):
            assert after, number
        check(world)
        assert set(world.store.records) == set(peaceful.store.records)


@pytest.mark.parametrize("visit", STEPS)
@pytest.mark.parametrize("step", STEPS)
def test_two_at_once_leave_names_and_values_that_agree(step: str, visit: str) -> None:
    for number in range(1, 12):
        world = prepared()

        def meanwhile(world: World = world) -> None:
            try:
                STEPS[visit](world)
            except (NotFound, AlreadyExists):
                pass

        world.tripwire.admit(number, meanwhile)
        try:
            STEPS[step](world)
        except (NotFound, AlreadyExists):
            assert visit.startswith("delete") or step == visit == "create"
        check(world)


def test_a_value_is_never_in_a_records_text(world: World) -> None:
    secrets.create_scope(world.ports, ALICE, "s")
    put(world, "s", "k", "hunter2")
    packed = base64.b64encode(b"hunter2").decode()
    shown = repr(world.store.all(SecretValue)) + repr(world.store.all(SecretScope))
    assert "hunter2" not in shown and packed not in shown
