"""Secrets API 2.0 on the wire."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from chalicelib.core.model import SecretValue
from tests.contract.databricks import refused
from tests.contract.wire import Answer, Client, Service

SECRETS = "/api/2.0/secrets"
HIDDEN = "hunter2-is-the-value"


def done(answer: Answer) -> None:
    assert (answer.status, answer.json) == (200, {}), answer.body


def scope(client: Client, name: str = "s", **more: Any) -> None:
    done(client.post(f"{SECRETS}/scopes/create", {"scope": name, **more}))


def put(client: Client, key: str = "k", scope: str = "s", **value: Any) -> None:
    done(client.post(f"{SECRETS}/put", {"scope": scope, "key": key, **(value or {"string_value": HIDDEN})}))


def stored(service: Service) -> dict[str, bytes]:
    return {one.key: base64.b64decode(one.value) for one in service.store.all(SecretValue)}


def test_secrets_are_written_listed_and_deleted(service: Service, alice: Client) -> None:
    assert alice.get(f"{SECRETS}/scopes/list").json == {}
    scope(alice, "s")
    scope(alice, "a@b", initial_manage_principal="users", scope_backend_type="DATABRICKS")
    assert alice.get(f"{SECRETS}/scopes/list").json == {
        "scopes": [{"name": "a@b", "backend_type": "DATABRICKS"}, {"name": "s", "backend_type": "DATABRICKS"}]
    }
    assert alice.get(f"{SECRETS}/list", scope="s").json == {}
    put(alice, "text", string_value="ä")
    put(alice, "bytes", bytes_value=base64.b64encode(b"\x00\xff").decode())
    put(alice, "empty", string_value="")
    assert stored(service) == {"text": "ä".encode(), "bytes": b"\x00\xff", "empty": b""}
    listed = alice.get(f"{SECRETS}/list", scope="s").json["secrets"]
    assert [one["key"] for one in listed] == ["bytes", "empty", "text"]
    put(alice, "text", string_value="new")
    again = alice.get(f"{SECRETS}/list", scope="s").json["secrets"]
    assert again[2]["last_updated_timestamp"] > listed[2]["last_updated_timestamp"] and again[:2] == listed[:2]
    done(alice.post(f"{SECRETS}/delete", {"scope": "s", "key": "text"}))
    assert set(stored(service)) == {"bytes", "empty"}
    done(alice.post(f"{SECRETS}/scopes/delete", {"scope": "s"}))
    assert not stored(service)
    assert [one["name"] for one in alice.get(f"{SECRETS}/scopes/list").json["scopes"]] == ["a@b"]


def test_permissions_hold(service: Service, alice: Client, bob: Client) -> None:
    scope(bob)
    put(bob)
    done(bob.post(f"{SECRETS}/acls/put", {"scope": "s", "principal": "users", "permission": "READ"}))
    assert bob.get(f"{SECRETS}/acls/list", scope="s").json == {
        "items": [{"principal": "bob", "permission": "MANAGE"}, {"principal": "users", "permission": "READ"}]
    }
    assert bob.get(f"{SECRETS}/acls/get", scope="s", principal="users").json == {
        "principal": "users",
        "permission": "READ",
    }
    done(bob.post(f"{SECRETS}/acls/delete", {"scope": "s", "principal": "bob"}))
    with service.unchanged():
        refused(
            bob.post(f"{SECRETS}/put", {"scope": "s", "key": "k", "string_value": "x"}),
            403,
            "PERMISSION_DENIED",
            "User bob does not have WRITE permission on scope s.",
        )
    assert bob.get(f"{SECRETS}/list", scope="s").status == 200
    put(alice)  # an administrator


def test_another_workspaces_scope_is_none(service: Service, alice: Client, eve: Client) -> None:
    scope(alice, "s", initial_manage_principal="users")
    put(alice)
    with service.unchanged():
        for name in ("s", "nothing"):
            for method, verb, more in (
                ("GET", "list", {}),
                ("GET", "acls/list", {}),
                ("POST", "put", {"key": "k", "string_value": "x"}),
                ("POST", "delete", {"key": "k"}),
                ("POST", "scopes/delete", {}),
            ):
                answer = eve.request(method, f"{SECRETS}/{verb}", body={"scope": name, **more})
                refused(answer, 404, "RESOURCE_DOES_NOT_EXIST", f"Scope {name} does not exist.")


INVALID = "INVALID_PARAMETER_VALUE"
MISSING = "RESOURCE_DOES_NOT_EXIST"
NAMES = "must consist of letters, digits, dashes, underscores and periods, and may not exceed 128 characters."
VALUE = {"scope": "s", "key": "n"}
REFUSALS: dict[str, tuple[str, dict[str, Any], int, str, str]] = {
    "no scope": ("scopes/create", {}, 400, INVALID, "Missing required field: scope"),
    "a bad scope": ("scopes/create", {"scope": "a b"}, 400, INVALID, f"Scope name 'a b' {NAMES}"),
    "a scope again": ("scopes/create", {"scope": "S"}, 400, "RESOURCE_ALREADY_EXISTS", "Scope S already exists!"),
    "another manager": ("scopes/create", {"scope": "n", "initial_manage_principal": "bob"}, 400, INVALID,
                        "The only initial_manage_principal that is supported is users."),
    "a vault": ("scopes/create", {"scope": "n", "scope_backend_type": "AZURE_KEYVAULT"}, 400, INVALID,
                "Scopes backed by Azure Key Vault are not supported."),
    "a bad key": ("put", {"scope": "s", "key": "a b", "string_value": "x"}, 400, INVALID, f"Secret key 'a b' {NAMES}"),
    "no key": ("put", {"scope": "s", "string_value": "x"}, 400, INVALID, "Missing required field: key"),
    "no value": ("put", VALUE, 400, "MALFORMED_REQUEST",
                 "Exactly one of string_value and bytes_value must be specified."),
    "two values": ("put", {**VALUE, "string_value": "x", "bytes_value": "eA=="}, 400, "MALFORMED_REQUEST",
                   "Exactly one of string_value and bytes_value must be specified."),
    "a value of another type": ("put", {**VALUE, "string_value": {"secret": HIDDEN}}, 400, "MALFORMED_REQUEST",
                                "Could not parse request object: Expected string for field string_value, found OBJECT"),
    "bytes that are no base64": ("put", {**VALUE, "bytes_value": f"{HIDDEN}!"}, 400, INVALID,
                                 "Invalid value for field bytes_value: expected base64"),
    "a large value": ("put", {**VALUE, "string_value": "x" * 131_073}, 400, INVALID,
                      "The secret's value is larger than 131072 bytes."),
    "a missing scope": ("put", {**VALUE, "scope": "t", "string_value": "x"}, 404, MISSING, "Scope t does not exist."),
    "a missing secret": ("delete", VALUE, 404, MISSING, "Secret n in scope s does not exist."),
    "a stranger's permission": ("acls/put", {"scope": "s", "principal": "x", "permission": "READ"}, 404, MISSING,
                                "User or group x does not exist."),
    "an odd permission": ("acls/put", {"scope": "s", "principal": "bob", "permission": "OWN"}, 400, INVALID,
                          "Invalid value for field permission: one of the known values"),
    "no permission": ("acls/delete", {"scope": "s", "principal": "bob"}, 404, MISSING,
                      "Permission of bob on scope s does not exist."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_is_refused_and_changes_nothing(service: Service, alice: Client, case: str) -> None:
    scope(alice)
    put(alice)
    verb, body, status, code, message = REFUSALS[case]
    with service.unchanged():
        answer = alice.post(f"{SECRETS}/{verb}", body)
    refused(answer, status, code, message)
    assert HIDDEN not in answer.body.decode()


def test_limits_are_limits(service: Service, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.services.secrets.MAX_SCOPES", 1)
    monkeypatch.setattr("chalicelib.services.secrets.MAX_SECRETS", 1)
    scope(alice)
    put(alice)
    with service.unchanged():
        for verb, body in (("scopes/create", {"scope": "t"}), ("put", {**VALUE, "string_value": "x"})):
            answer = alice.post(f"{SECRETS}/{verb}", body)
            assert (answer.status, answer.json["error_code"]) == (400, "RESOURCE_LIMIT_EXCEEDED")


def test_no_answer_of_any_api_has_a_value(service: Service, alice: Client) -> None:
    scope(alice)
    put(alice)
    packed = base64.b64encode(HIDDEN.encode()).decode()
    for path, query in (
        ("scopes/list", {}),
        ("list", {"scope": "s"}),
        ("acls/list", {"scope": "s"}),
        ("get", {"scope": "s", "key": "k"}),
    ):
        body = alice.get(f"{SECRETS}/{path}", **query).body.decode()
        assert HIDDEN not in body and packed not in body
