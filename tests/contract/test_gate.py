"""The gate in front of every route, and the one shape of errors that each dialect has."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

import app
from chalicelib.dialects.http import OpenOperation
from chalicelib.services.access import revoke_token
from tests.contract.databricks import JOBS, python, submit
from tests.contract.engine import details
from tests.contract.wire import ALICE, BOB, EVE, PASSWORD, Answer, Client, Service, basic

CONSOLE_FILES = ("style.css", "app.js", "views.js", "history.js", "dom.js", "calls.js", "icon.svg")
OPEN = {
    ("POST", "/icp4d-api/v1/authorize"),
    ("POST", "/v1/authorize"),
    ("POST", "/idprovider/v1/auth/identitytoken"),
    ("GET", "/v1/preauth/validateAuth"),
    ("GET", "/health"),
    ("GET", "/"),
    *(("GET", f"/console/{name}") for name in CONSOLE_FILES),
}
"""What answers without credentials: token issue, health and the console's files. Everything else is behind the gate, or
nowhere."""

_DOOR = "/driver/v1/runs/{run}"
DRIVERS = {
    ("POST", f"{_DOOR}/report"),
    ("POST", f"{_DOOR}/links"),
    ("GET", f"{_DOOR}/notebook"),
    ("GET", f"{_DOOR}/volumes/{{number}}"),
    ("POST", f"{_DOOR}/volumes/{{number}}"),
    ("GET", f"{_DOOR}/secrets"),
    ("GET", f"{_DOOR}/secrets/{{scope}}"),
    ("GET", f"{_DOOR}/secrets/{{scope}}/{{key}}"),
}
"""The driver's own door, with a secret of its own."""

NOWHERE = {"/{proxy+}"}

STRAY = "e64c907a-e82f-46fd-addc-ccfafbd28b09"
CHALLENGE = "x-amzn-remapped-www-authenticate"
"""Where API Gateway puts a challenge of ours (infra/remapped_headers.json)."""

ROUTES = [(method, path) for path, methods in app.app.routes.items() for method in methods]
OPERATIONS = [(operation, dialect.VOICE.name) for dialect in app.DIALECTS for operation in dialect.OPERATIONS]
OF_PATH: dict[str, list[str]] = {}
for operation_, _ in OPERATIONS:
    OF_PATH.setdefault(operation_.path, []).append(operation_.method)
GATED = [(operation, name) for operation, name in OPERATIONS if not isinstance(operation, OpenOperation)]


def voice_of(path: str) -> str:
    return next((name for operation, name in OPERATIONS if operation.path == path), "databricks_jobs")


def filled(path: str, instance: str = STRAY) -> str:
    return (
        path.replace("{instance_id}", instance)
        .replace("{application_id}", STRAY)
        .replace("{run}", "main.1")
        .replace("{number}", "0")
        .replace("{scope}", "scope")
        .replace("{key}", "key")
        .replace("{proxy+}", "api/2.0/nothing/here")
    )


def message_of(answer: Answer, voice: str) -> str:
    """The message of an error that must be in the dialect's one shape."""
    body = answer.json
    assert answer.headers["content-type"] == "application/json"
    if voice == "databricks_jobs":
        assert set(body) == {"error_code", "message"} and body["error_code"]
        message = body["message"]
    elif voice == "analytics_engine":
        assert set(body) == {"errors", "trace", "status_code"} and body["trace"]
        assert body["status_code"] == answer.status
        (error,) = body["errors"]
        assert set(error) - {"target"} == {"code", "message"}
        message = error["message"]
    else:
        assert set(body) == {"message"}
        message = body["message"]
    assert isinstance(message, str) and message
    return str(message)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_credentials_every_route_is_closed_or_known_to_be_open(
    service: Service, method: str, path: str
) -> None:
    before = dict(service.store.counts)
    with service.unchanged():
        answer = service.nobody.request(method, filled(path))
    if (method, path) in OPEN:
        assert answer.status in {200, 400}
        return
    open_path = any((method_, path) in OPEN | DRIVERS for method_ in OF_PATH.get(path, ()))
    closed = 405 if open_path else 401
    expected = 404 if path in NOWHERE else 401 if (method, path) in DRIVERS else closed
    assert answer.status == expected
    message_of(answer, voice_of(path))
    assert (CHALLENGE in answer.headers) is (answer.status == 401)
    assert service.store.counts == before, "a caller without credentials cost a read"


def test_the_list_of_open_operations_is_complete() -> None:
    opened = {(o.method, o.path) for o, _ in OPERATIONS if isinstance(o, OpenOperation)}
    assert opened == OPEN | DRIVERS


def jwt_of(claims: str) -> str:
    return f"Bearer a.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.c"


BAD_CREDENTIALS = {
    "an unknown token": "Bearer spk_main_" + "x" * 43,
    "a token of a workspace that there is not": "Bearer spk_nowhere_" + "x" * 43,
    "a token with a letter less": f"Bearer {ALICE[:-1]}",
    "no token": "Bearer",
    "an empty header": "",
    "a scheme of nobody's": f"Digest {ALICE}",
    "a token without its scheme": ALICE,
    "a wrong password": basic("alice", "wrong"),
    "an empty password": basic("alice", ""),
    "a user without a password": basic("bob", ""),
    "no colon": "Basic " + base64.b64encode(b"alice").decode(),
    "no user": basic("", PASSWORD),
    "somebody else's token": basic("alice", BOB),
    "somebody else's key": basic("bob", ALICE, scheme="ZenApiKey"),
    "a password of another workspace": basic("elsewhere/alice", PASSWORD),
    "a token as the user": basic(ALICE, "x"),
    "malformed base64": "Basic !!!!",
    "base64 of no text": "Basic " + base64.b64encode(b"\xff\xfe:\xfd").decode(),
    "base64 of another alphabet": "ZenApiKey ünïcödé",
    "a token that is no ASCII": "Bearer ünïcödé",
    "a user with an endless name": basic("a" * 5000, "x"),
    "a JWT of nobody's": "Bearer " + jwt.encode({"sub": "alice", "workspace": "main"}, b"k" * 32, algorithm="HS256"),
    "a JWT that nests without end": jwt_of("[" * 6000),
    "a JWT of no JSON": jwt_of("{"),
    "a JWT with a workspace that cannot be": jwt_of('{"workspace": "#deployment"}'),
}


@pytest.mark.parametrize("authorization", BAD_CREDENTIALS.values(), ids=BAD_CREDENTIALS.keys())
def test_bad_credentials_are_refused_in_every_dialect_before_anything_else(
    service: Service, authorization: str
) -> None:
    client = service.nobody.as_(authorization)
    with service.unchanged():
        for voice, answer in (
            ("databricks_jobs", client.post(f"{JOBS}/runs/submit", python())),
            ("databricks_jobs", client.post(f"{JOBS}/create", "{not json")),
            ("databricks_jobs", client.get(f"{JOBS}/runs/get", run_id=1)),
            ("analytics_engine", client.post(service.applications(), details())),
            ("analytics_engine", client.get("/v4/analytics_engines/no-guid")),
        ):
            assert answer.status == 401
            assert message_of(answer, voice)
            assert CHALLENGE in answer.headers


GOOD_CREDENTIALS = {
    "Bearer": f"Bearer {ALICE}",
    "Bearer in lower case": f"bearer {ALICE}",
    "Bearer with blanks around": f"Bearer  {ALICE} ",
    "Basic with a password": basic("alice", PASSWORD),
    "Basic with a token as password": basic("alice", ALICE),
    "Basic token, as netrc files say it": basic("token", ALICE),
    "ZenApiKey": basic("alice", ALICE, scheme="ZenApiKey"),
    "ZenApiKey with the newline of echo": basic("alice", ALICE, scheme="ZenApiKey", end="\n"),
    "ZenApiKey of a user": basic("bob", BOB, scheme="ZenApiKey"),
    "ZenApiKey with a password": basic("alice", PASSWORD, scheme="ZenApiKey"),
    "Basic without padding": basic("alice", ALICE).rstrip("="),
    "Basic with a workspace": basic("main/alice", PASSWORD),
}


@pytest.mark.parametrize("authorization", GOOD_CREDENTIALS.values(), ids=GOOD_CREDENTIALS.keys())
def test_each_form_of_credentials_opens_every_dialect(service: Service, authorization: str) -> None:
    client = service.nobody.as_(authorization)
    assert client.get(f"{JOBS}/list").status == 200
    assert client.get(service.applications()).status == 200


def test_a_token_names_its_workspace_in_every_form(service: Service) -> None:
    for authorization in (
        f"Bearer {EVE}",
        basic("token", EVE),
        basic("eve", EVE),
        basic("eve", EVE, scheme="ZenApiKey"),
    ):
        client = service.nobody.as_(authorization)
        assert client.get(service.applications(workspace="elsewhere")).status == 200
        assert client.get(service.applications()).status == 404


def test_a_login_names_the_workspace_of_its_api_key(service: Service) -> None:
    answer = service.nobody.post("/icp4d-api/v1/authorize", {"username": "eve", "api_key": EVE})
    client = service.nobody.as_(f"Bearer {answer.json['token']}")
    assert client.get(service.applications(workspace="elsewhere")).status == 200


def test_an_expired_token_is_refused_from_the_millisecond_that_it_ends(service: Service) -> None:
    text = "spk_main_" + "t" * 43
    service.add_token(text, "bob", expires_at=service.clock.now() + 1000)
    client = service.nobody.as_(f"Bearer {text}")
    assert [client.get(f"{JOBS}/list").status for _ in range(2)] == [200, 401]


def test_a_revoked_token_is_refused_at_once(service: Service) -> None:
    client = service.bob
    assert client.get(f"{JOBS}/list").status == 200
    revoke_token(service.ports, "main", BOB)
    assert client.get(f"{JOBS}/list").status == 401


def test_the_answer_does_not_tell_whether_a_user_exists(service: Service) -> None:
    answers = [
        service.nobody.as_(basic(user, "wrong")).get(f"{JOBS}/list") for user in ("alice", "bob", "nobody", "token")
    ]
    assert len({answer.body for answer in answers}) == 1


def wrong_methods() -> Iterator[tuple[str, str]]:
    for method, path in ROUTES:
        if path not in NOWHERE and method not in OF_PATH[path]:
            yield method, path


@pytest.mark.parametrize(("method", "path"), list(wrong_methods()))
def test_a_wrong_method_is_told_which_ones_there_are(service: Service, alice: Client, method: str, path: str) -> None:
    with service.unchanged():
        answer = alice.request(method, filled(path))
    assert answer.status == 405
    assert answer.headers["allow"].split(", ") == sorted(OF_PATH[path])
    assert method in message_of(answer, voice_of(path))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        (
            "GET",
            "/api/2.0/jobs/foo",
            {"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found for 'GET /jobs/foo'"},
        ),
        ("POST", "/api/2.0/jobs", {"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found for 'POST /jobs'"}),
        (
            "GET",
            "/api/2.0/clusters/list",
            {"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found for 'GET /clusters/list'"},
        ),
        (
            "POST",
            "/api/2.1/jobs/create",
            {"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found for 'POST /api/2.1/jobs/create'"},
        ),
        (
            "GET",
            "/.well-known/databricks-config",
            {"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found for 'GET /.well-known/databricks-config'"},
        ),
        ("DELETE", "/driver/v1/nothing", {"message": "No such path: /driver/v1/nothing"}),
    ],
)
def test_an_unknown_path_is_not_found_in_the_words_of_its_dialect(
    service: Service, method: str, path: str, body: dict[str, str]
) -> None:
    for client in (service.nobody, service.alice):
        answer = client.request(method, path)
        assert (answer.status, answer.json) == (404, body)


@pytest.mark.parametrize("path", ["/v4/analytics_engines", "/v4/nothing", "/v3/analytics_engines/x", "/icp4d-api/v1/x"])
def test_an_unknown_path_of_analytics_engine_is_not_found_in_its_words(service: Service, path: str) -> None:
    answer = service.nobody.get(path)
    assert answer.status == 404
    assert message_of(answer, "analytics_engine") == f"No such path: {path}"


NO_JSON: dict[str, Any] = {
    "half an object": '{"a": ',
    "an array": "[]",
    "an array of objects": '[{"job_id": 1}]',
    "a text": '"job"',
    "a number": "5",
    "null": "null",
    "a word": "hello",
    "two objects": "{} {}",
    "a comment": "{} // done",
    "single quotes": "{'a': 1}",
    "not a number": '{"job_id": NaN, "run_id": NaN, "application_details": NaN, "username": NaN}',
    "infinity": '{"a": Infinity}',
    "a number beyond all": '{"a": 1e999}',
    "a number without end": '{"a": ' + "9" * 5000 + "}",
    "nested a thousand deep": '{"a": ' * 1000 + "1" + "}" * 1000,
    "nested a hundred thousand deep": "[" * 100_000,
    "nested deeper than anything could mean": '{"a": ' + "[" * 150 + "]" * 150 + "}",
    "half a character": '{"a": "\\ud800"}',
    "half a character as a name": '{"\\udfff": 1}',
    "bytes that are no text": b'{"a": "\xff"}',
    "bytes of UTF-16": '{"a": 1}'.encode("utf-16"),
}
READERS = [
    (f"{JOBS}/{path}", "databricks_jobs")
    for path in ("create", "delete", "run-now", "runs/submit", "runs/cancel", "runs/cancel-all", "runs/delete")
] + [("applications", "analytics_engine"), ("/icp4d-api/v1/authorize", "analytics_engine")]


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON.keys())
@pytest.mark.parametrize(("path", "voice"), READERS)
def test_a_body_that_is_no_json_object_is_malformed_and_changes_nothing(
    service: Service, alice: Client, path: str, voice: str, body: Any
) -> None:
    with service.unchanged():
        answer = alice.post(service.applications() if path == "applications" else path, body)
    assert answer.status == 400
    message_of(answer, voice)
    code = answer.json["error_code"] if voice == "databricks_jobs" else answer.json["errors"][0]["code"]
    assert code == ("MALFORMED_REQUEST" if voice == "databricks_jobs" else "invalid_request_body")


@pytest.mark.parametrize("body", ['{"run_id": ', "[]", b"\xff"])
def test_a_get_with_a_malformed_body_is_malformed_too(alice: Client, body: Any) -> None:
    answer = alice.request("GET", f"{JOBS}/runs/get", query=[("run_id", 1)], body=body)
    assert (answer.status, answer.json["error_code"]) == (400, "MALFORMED_REQUEST")


def test_malformed_messages_are_those_that_clients_know(alice: Client) -> None:
    said = "Invalid JSON given in the body of the request - "
    assert alice.post(f"{JOBS}/create", "[]").json["message"] == f"{said}expected a map"
    assert alice.post(f"{JOBS}/create", "{").json["message"] == f"{said}failed to parse given JSON"


@pytest.mark.parametrize("text", ["'; DROP TABLE runs; --", "<script>", "\x00", "{{7*7}}", "名前", "a" * 4000])
def test_a_text_comes_back_as_data_and_nothing_else(alice: Client, text: str) -> None:
    run = submit(alice, python(run_name=text))
    assert alice.get(f"{JOBS}/runs/get", run_id=run).json["run_name"] == text


def test_a_body_of_megabytes_is_taken(service: Service, alice: Client) -> None:
    run = submit(alice, python(ignored="x" * 4_000_000))
    assert service.run(run)
