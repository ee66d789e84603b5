"""Secrets: named values in scopes, which only drivers read (Databricks' Secrets API 2.0).

A scope's record holds its keys' names and who may do what; each value is a record of its own. Both change in one
transaction, so a key that is listed has a value. Permissions are of users, of the group `users` (everybody) and of
`admins`; administrators may manage every scope.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from chalicelib.core.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, TooMany
from chalicelib.core.model import Permission, Principal, Role, Run, SecretScope, SecretScopes, SecretValue, User
from chalicelib.ports import Change, Clash, Delete, Ports, Put, key
from chalicelib.services.access import Call
from chalicelib.services.submission import ATTEMPTS

MAX_VALUE = 128 * 1024
"""Bytes of a secret."""

MAX_SECRETS = 1000
MAX_SCOPES = 100
MAX_ACLS = 100

EVERYBODY = "users"
ADMINISTRATORS = "admins"
"""The groups that a permission can be given to."""

_SCOPE = re.compile(r"[A-Za-z0-9_.@-]{1,128}")
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_GRAMMAR = "must consist of letters, digits, dashes, underscores and periods, and may not exceed 128 characters."
_LEVELS = list(Permission)
_AT_ONCE = 20
"""Secrets that are removed in one transaction, which is of at most 4 MB."""


def create_scope(ports: Ports, call: Call, name: str, manager: str = "") -> None:
    """Make a scope, managed by its creator, or by everybody when `manager` is `users`. Raises Invalid, AlreadyExists,
    TooMany."""
    if not _SCOPE.fullmatch(name):
        raise Invalid(f"Scope name {name[:200]!r} {_GRAMMAR}", field="scope")
    if manager not in {"", EVERYBODY}:
        raise Invalid("The only initial_manage_principal that is supported is users.", field="initial_manage_principal")
    list_key, scope_key = key(SecretScopes, call.workspace), key(SecretScope, call.workspace, name.lower())
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        found = ports.store.fetch([list_key, scope_key])
        if scope_key in found:
            raise AlreadyExists(f"Scope {name} already exists!", field="scope")
        scopes: SecretScopes = found.get(list_key) or SecretScopes(call.workspace)
        if len(scopes.names) >= MAX_SCOPES:
            raise TooMany(f"The workspace has {MAX_SCOPES} secret scopes, which is the most it can have.")
        acls = {manager or call.principal.name: Permission.MANAGE.value}
        now = ports.clock.now()
        scope = SecretScope(call.workspace, name.lower(), name, call.principal.name, now, acls=acls)
        names = tuple(sorted((*scopes.names, name), key=str.lower))
        try:
            ports.store.commit([Put(replace(scopes, names=names)), Put(scope)])
            return
        except Clash:
            continue
    raise _busy()


def list_scopes(ports: Ports, workspace: str) -> Sequence[str]:
    """The names of all scopes, in order."""
    list_key = key(SecretScopes, workspace)
    scopes = ports.store.fetch([list_key]).get(list_key)
    return scopes.names if scopes else ()


def delete_scope(ports: Ports, call: Call, name: str) -> None:
    """Remove a scope with its secrets. It may be killed anywhere and called again. Raises NotFound, Forbidden."""
    list_key, scope_key = key(SecretScopes, call.workspace), key(SecretScope, call.workspace, name.lower())
    deleting, attempt = False, 0
    while attempt < ATTEMPTS:
        ports.clock.pause(attempt)
        found = ports.store.fetch([list_key, scope_key])
        scope: SecretScope | None = found.get(scope_key)
        if scope is None and deleting:
            return
        if scope is None:
            raise _no_scope(name)
        _require(scope, call.principal, Permission.MANAGE)
        some = list(scope.keys)[:_AT_ONCE]
        values = ports.store.fetch([key(SecretValue, call.workspace, scope.id, one) for one in some])
        rest = {one: at for one, at in scope.keys.items() if one not in some}
        changes: list[Change] = [Delete(value) for value in values.values()]
        if rest:
            changes.append(Put(replace(scope, keys=rest)))
        else:
            scopes: SecretScopes = found[list_key]
            left = tuple(one for one in scopes.names if one.lower() != scope.id)
            changes += [Put(replace(scopes, names=left)), Delete(scope)]
        try:
            ports.store.commit(changes)
            deleting, attempt = True, 0
        except Clash:
            attempt += 1
            continue
        if not rest:
            return
    raise _busy()


def put_secret(ports: Ports, call: Call, scope: str, name: str, value: bytes, *, is_text: bool) -> None:
    """Write a secret, whatever it was. Raises Invalid, NotFound for its scope, Forbidden, TooMany."""
    if not _KEY.fullmatch(name):
        raise Invalid(f"Secret key {name[:200]!r} {_GRAMMAR}", field="key")
    if len(value) > MAX_VALUE:
        raise Invalid(f"The secret's value is larger than {MAX_VALUE} bytes.", field="value")

    def change(found: SecretScope) -> Sequence[Change]:
        _require(found, call.principal, Permission.WRITE)
        if name not in found.keys and len(found.keys) >= MAX_SECRETS:
            raise TooMany(f"Scope {scope} has {MAX_SECRETS} secrets, which is the most it can have.")
        value_key = key(SecretValue, call.workspace, found.id, name)
        before = ports.store.fetch([value_key]).get(value_key)
        told = base64.b64encode(value).decode()
        secret = SecretValue(call.workspace, found.id, name, told, is_text, before.version if before else 0)
        return [Put(replace(found, keys={**found.keys, name: ports.clock.now()})), Put(secret)]

    _edit(ports, call.workspace, scope, change)


def delete_secret(ports: Ports, call: Call, scope: str, name: str) -> None:
    """Remove a secret. Raises NotFound, Forbidden."""

    def change(found: SecretScope) -> Sequence[Change]:
        _require(found, call.principal, Permission.WRITE)
        if name not in found.keys:
            raise _no_secret(scope, name)
        value_key = key(SecretValue, call.workspace, found.id, name)
        values = ports.store.fetch([value_key])
        kept = {one: at for one, at in found.keys.items() if one != name}
        return [Put(replace(found, keys=kept)), *(Delete(value) for value in values.values())]

    _edit(ports, call.workspace, scope, change)


def list_secrets(ports: Ports, call: Call, scope: str) -> Mapping[str, int]:
    """A scope's keys in order, with when each was last written (epoch milliseconds). Raises NotFound, Forbidden."""
    found = _scope(ports, call.workspace, scope)
    _require(found, call.principal, Permission.READ)
    return dict(sorted(found.keys.items()))


def put_acl(ports: Ports, call: Call, scope: str, principal: str, permission: Permission) -> None:
    """Give a user or group a permission in place of what it had. Raises NotFound, Forbidden, TooMany."""

    def change(found: SecretScope) -> Sequence[Change]:
        _require(found, call.principal, Permission.MANAGE)
        if principal not in {EVERYBODY, ADMINISTRATORS} and _user(ports, call.workspace, principal) is None:
            raise NotFound("User or group", principal[:200], field="principal")
        acls = {**found.acls, principal: permission.value}
        if len(acls) > MAX_ACLS:
            raise TooMany(f"Scope {scope} has permissions for {MAX_ACLS} principals, which is the most it can have.")
        return [Put(replace(found, acls=acls))]

    _edit(ports, call.workspace, scope, change)


def delete_acl(ports: Ports, call: Call, scope: str, principal: str) -> None:
    """Take a user's or group's permission away. Raises NotFound, Forbidden."""

    def change(found: SecretScope) -> Sequence[Change]:
        _require(found, call.principal, Permission.MANAGE)
        if principal not in found.acls:
            raise _no_acl(scope, principal)
        return [Put(replace(found, acls={who: what for who, what in found.acls.items() if who != principal}))]

    _edit(ports, call.workspace, scope, change)


def list_acls(ports: Ports, call: Call, scope: str) -> Mapping[str, str]:
    """Who may do what in a scope. Raises NotFound, Forbidden."""
    found = _scope(ports, call.workspace, scope)
    _require(found, call.principal, Permission.MANAGE)
    return dict(sorted(found.acls.items()))


def get_acl(ports: Ports, call: Call, scope: str, principal: str) -> str:
    """What a user or group may do in a scope. Raises NotFound, Forbidden."""
    found = _scope(ports, call.workspace, scope)
    _require(found, call.principal, Permission.MANAGE)
    if principal not in found.acls:
        raise _no_acl(scope, principal)
    return found.acls[principal]


@dataclass(frozen=True, slots=True)
class RunSecrets:
    """What a run's driver may read: all that the run's creator may, at the instant of asking."""

    ports: Ports
    run: Run

    def scopes(self) -> list[str]:
        """The names of the scopes that the creator may read."""
        names, principal = list_scopes(self.ports, self.run.workspace), self._principal()
        keys = [key(SecretScope, self.run.workspace, name.lower()) for name in names]
        found = self.ports.store.fetch(keys) if keys else {}
        return [found[k].name for k in keys if k in found and _may(found[k], principal, Permission.READ)]

    def keys(self, scope: str) -> list[str]:
        """The keys of a scope. Raises NotFound, Forbidden."""
        return sorted(self._readable(scope).keys)

    def value(self, scope: str, name: str) -> SecretValue:
        """One secret. Raises NotFound, Forbidden."""
        found = self._readable(scope)
        value_key = key(SecretValue, self.run.workspace, found.id, name)
        value = self.ports.store.fetch([value_key]).get(value_key) if name in found.keys else None
        if not isinstance(value, SecretValue):
            raise _no_secret(scope, name)
        return value

    def _readable(self, scope: str) -> SecretScope:
        found = _scope(self.ports, self.run.workspace, scope)
        _require(found, self._principal(), Permission.READ)
        return found

    def _principal(self) -> Principal:
        user = _user(self.ports, self.run.workspace, self.run.created_by)
        return Principal(self.run.workspace, self.run.created_by, user.role if user else Role.USER)


def _user(ports: Ports, workspace: str, name: str) -> User | None:
    if not 0 < len(name) <= 200:
        return None
    user_key = key(User, workspace, name)
    found: User | None = ports.store.fetch([user_key]).get(user_key)
    return found


def _scope(ports: Ports, workspace: str, name: str) -> SecretScope:
    scope_key = key(SecretScope, workspace, name.lower())
    found = ports.store.fetch([scope_key]).get(scope_key) if _SCOPE.fullmatch(name) else None
    if not isinstance(found, SecretScope):
        raise _no_scope(name)
    return found


def _edit(ports: Ports, workspace: str, name: str, change: Callable[[SecretScope], Sequence[Change]]) -> None:
    """Apply what a change makes of a scope. Raises NotFound, what the change raises, and Conflict."""
    for attempt in range(ATTEMPTS):
        ports.clock.pause(attempt)
        try:
            ports.store.commit(change(_scope(ports, workspace, name)))
            return
        except Clash:
            continue
    raise _busy()


def _may(scope: SecretScope, principal: Principal, wanted: Permission) -> bool:
    told = [scope.acls.get(principal.name), scope.acls.get(EVERYBODY)]
    if principal.is_admin:
        told.append(Permission.MANAGE.value)
    return any(_LEVELS.index(Permission(one)) >= _LEVELS.index(wanted) for one in told if one)


def _require(scope: SecretScope, principal: Principal, wanted: Permission) -> None:
    if not _may(scope, principal, wanted):
        raise Forbidden(f"User {principal.name} does not have {wanted} permission on scope {scope.name}.")


def _no_scope(name: str) -> NotFound:
    return NotFound("Scope", name[:200], field="scope")


def _no_secret(scope: str, name: str) -> NotFound:
    return NotFound("Secret", f"{name[:200]} in scope {scope[:200]}", field="key")


def _no_acl(scope: str, principal: str) -> NotFound:
    return NotFound("Permission", f"of {principal[:200]} on scope {scope[:200]}", field="principal")


def _busy() -> Conflict:
    return Conflict("The scope is being changed by too many at once; please try again.")
