"""The way to a token, and the instance (seed 002, "Authentication"; wire/analytics_engine_v4.md, 3.3)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from chalicelib.core.capacity import Amount
from chalicelib.services.access import SESSION_MS, revoke_token
from chalicelib.services.pools import ensure_pool
from tests.contract.engine import refused
from tests.contract.wire import ALICE, EVE, PASSWORD, Answer, Client, Service, basic
from tests.unit.fakes import START_MS

AUTHORIZE = "/icp4d-api/v1/authorize"
UNKNOWN = "The credentials are unknown, expired or revoked."


def authorize(service: Service, path: str = AUTHORIZE, **body: Any) -> Answer:
    return service.nobody.post(path, body, content_type="application/json")


def works(service: Service, token: str) -> bool:
    return service.nobody.as_(f"Bearer {token}").get(service.applications()).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {"username": "alice", "password": PASSWORD},
        {"username": "alice", "api_key": ALICE},
        {"username": "alice", "password": ALICE},
        {"username": "alice", "password": None, "api_key": ALICE, "account_id": None},
        {"username": "alice", "password": PASSWORD, "api_key": None, "account_id": None},
    ],
    ids=["password", "api key", "api key as password", "the four keys of the SDK", "the same with a password"],
)
@pytest.mark.parametrize("path", [AUTHORIZE, "/v1/authorize"])
def test_a_password_or_an_api_key_is_worth_a_token_that_opens_the_gate(
    service: Service, path: str, body: dict[str, Any]
) -> None:
    answer = authorize(service, path, **body)
    assert answer.status == 200
    assert {name: value for name, value in answer.json.items() if name != "token"} == {
        "_messageCode_": "200",
        "message": "Success",
    }
    assert works(service, answer.json["token"])


def test_the_token_is_a_jwt_that_says_when_it_was_made_and_when_it_ends(service: Service) -> None:
    service.clock.time = START_MS
    token = authorize(service, username="alice", password=PASSWORD).json["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["iat"] == START_MS // 1000
    assert claims["exp"] == (START_MS + SESSION_MS) // 1000
    assert claims["sub"] == claims["username"] == "alice"


def test_each_login_gives_a_token_of_its_own(service: Service) -> None:
    tokens = [authorize(service, username="alice", api_key=ALICE).json["token"] for _ in range(2)]
    assert tokens[0] != tokens[1] and all(works(service, token) for token in tokens)


def test_a_token_ends_when_it_says(service: Service) -> None:
    token = authorize(service, username="alice", api_key=ALICE).json["token"]
    service.clock.advance(SESSION_MS)
    assert not works(service, token)


def test_a_token_can_be_revoked(service: Service) -> None:
    token = authorize(service, username="alice", api_key=ALICE).json["token"]
    revoke_token(service.ports, "main", token)
    assert not works(service, token)


def test_a_token_that_somebody_signed_himself_is_worth_nothing(service: Service) -> None:
    forged = jwt.encode({"sub": "alice", "workspace": "main", "role": "admin"}, b"x" * 32, algorithm="HS256")
    assert not works(service, forged)


@pytest.mark.parametrize(
    "body",
    [
        {"username": "alice", "password": "wrong"},
        {"username": "alice", "api_key": "wrong"},
        {"username": "bob", "api_key": ALICE},
        {"username": "bob", "password": ""},
        {"username": "alice", "api_key": EVE},
        {"username": "nobody", "password": PASSWORD},
        {"username": "elsewhere/alice", "password": PASSWORD},
        {"username": "a" * 100_000, "password": PASSWORD},
    ],
)
def test_wrong_credentials_are_refused_and_no_token_is_made(service: Service, body: dict[str, Any]) -> None:
    with service.unchanged():
        answer = authorize(service, **body)
    told = "username and either password or api_key are required." if body.get("password") == "" else UNKNOWN
    refused(answer, 401, "unauthorized", told)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"username": "alice"}, 401, "username and either password or api_key are required."),
        ({"username": "", "password": "p"}, 401, "username and either password or api_key are required."),
        ({"password": "p"}, 400, "username is required."),
        ({"username": 5, "password": "p"}, 400, "username: expected string, found number."),
        ([], 400, "The body of the request must be a JSON object."),
        (None, 400, "The body of the request must be a JSON object."),
    ],
)
def test_a_login_that_lacks_something_is_told_what(service: Service, body: Any, status: int, message: str) -> None:
    answer = service.nobody.post(AUTHORIZE, body, content_type="application/json")
    assert (answer.status, answer.json["errors"][0]["message"]) == (status, message)


def test_an_instance_is_shown_with_every_field_of_the_document(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "default", maximum=Amount(20_000, 80 * 1024, 0, 10))
    answer = alice.get(f"/v4/analytics_engines/{service.instance()}")
    assert answer.status == 200
    assert answer.json == {
        "instance_id": service.instance(),
        "context_type": "space_instance",
        "namespace": "main",
        "creation_time": "Thursday 28 May 2026 20:26:40.000+0000",
        "dataplane_type": "NA",
        "endpoint_type": "public",
        "home_volume": "",
        "resource_quota": {
            "cpu_quota": 20,
            "memory_quota_gibibytes": 80,
            "avail_cpu_quota": 20,
            "avail_memory_quota_gibibytes": 80,
        },
        "state": "Created",
        "state_change_time": "Thursday 28 May 2026 20:26:40.000+0000",
    }


def test_what_runs_is_taken_off_the_available_quota(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "default", maximum=Amount(20_000, 80 * 1024, 0, 10))
    alice.post(service.applications(), {"application_details": {"application": "s3://a/b.py"}})
    service.play()
    quota = alice.get(f"/v4/analytics_engines/{service.instance()}").json["resource_quota"]
    assert (quota["cpu_quota"], quota["avail_cpu_quota"]) == (20, 18)
    assert (quota["memory_quota_gibibytes"], quota["avail_memory_quota_gibibytes"]) == (80, 78)


def test_an_instance_without_limits_shows_no_quota(service: Service, alice: Client) -> None:
    assert alice.get(f"/v4/analytics_engines/{service.instance()}").json["resource_quota"] == {}


def test_every_pool_is_an_instance_of_its_own(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "gold")
    assert service.instance("gold") != service.instance()
    shown = alice.get(f"/v4/analytics_engines/{service.instance('gold')}")
    assert (shown.status, shown.json["instance_id"]) == (200, service.instance("gold"))


STRAY = "e64c907a-e82f-46fd-addc-ccfafbd28b09"


@pytest.mark.parametrize("below", ["", "/spark_applications"])
def test_a_stray_instance_and_another_workspaces_are_not_found_alike(
    service: Service, alice: Client, below: str
) -> None:
    for uuid in (STRAY, service.instance(workspace="elsewhere")):
        answer = alice.get(f"/v4/analytics_engines/{uuid}{below}")
        refused(answer, 404, "not_found", f"Instance {uuid} does not exist.", "instance_id")


@pytest.mark.parametrize("text", ["1", "default", STRAY.upper(), STRAY.replace("-46fd", "-06fd"), STRAY + "a"])
@pytest.mark.parametrize("below", ["", "/spark_applications"])
def test_an_instance_id_that_is_no_guid_is_a_bad_request(alice: Client, below: str, text: str) -> None:
    answer = alice.get(f"/v4/analytics_engines/{text}{below}")
    refused(answer, 400, "invalid_request", f"instance_id: '{text}' is not a GUID of an instance.", "instance_id")


IDENTITY, VALIDATE, KEY = "/idprovider/v1/auth/identitytoken", "/v1/preauth/validateAuth", "/usermgmt/v1/user/apiKey"


def identity(service: Service, **fields: str) -> Answer:
    body = {"grant_type": "password", "username": "alice", "password": PASSWORD, "scope": "openid", **fields}
    return service.nobody.post(IDENTITY, urlencode(body))


def validate(service: Service, **headers: str) -> Answer:
    return service.nobody.request("GET", VALIDATE, headers={name.replace("_", "-"): v for name, v in headers.items()})


def test_an_identity_token_opens_the_gate_and_is_traded_for_another_that_does(service: Service) -> None:
    answer = identity(service)
    assert answer.status == 200
    told = answer.json
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", SESSION_MS // 1000, "openid")
    assert works(service, told["access_token"])
    traded = validate(service, username="alice", iam_token=told["access_token"])
    assert traded.status == 200
    assert works(service, traded.json["accessToken"])
    assert traded.json["accessToken"] != told["access_token"]


def test_a_username_and_password_are_validated_too(service: Service) -> None:
    assert works(service, validate(service, username="alice", password=PASSWORD).json["accessToken"])


@pytest.mark.parametrize(
    "headers",
    [
        {"username": "alice", "password": "wrong"},
        {"username": "alice", "iam_token": "wrong"},
        {"username": "bob", "iam_token": ALICE},
        {"username": "alice", "iam_token": EVE},
    ],
)
def test_what_does_not_belong_together_is_not_validated(service: Service, headers: dict[str, str]) -> None:
    with service.unchanged():
        refused(validate(service, **headers), 401, "unauthorized", UNKNOWN)


@pytest.mark.parametrize("headers", [{}, {"username": "alice"}, {"password": PASSWORD}, {"iam_token": ALICE}])
def test_validation_needs_a_username_and_a_secret(service: Service, headers: dict[str, str]) -> None:
    message = "The headers username and either iam-token or password are required."
    with service.unchanged():
        refused(validate(service, **headers), 400, "invalid_request", message, "username")


GRANTS = "Known: password, with a username and its password."


@pytest.mark.parametrize(
    ("fields", "status", "message", "field"),
    [
        ({"password": "wrong"}, 401, UNKNOWN, ""),
        ({"username": "nobody"}, 401, UNKNOWN, ""),
        ({"password": ""}, 401, UNKNOWN, ""),
        (
            {"grant_type": "refresh_token"},
            400,
            f"grant_type: 'refresh_token' is not supported. {GRANTS}",
            "grant_type",
        ),
        (
            {"grant_type": "client_credentials", "username": "", "password": ""},
            400,
            f"grant_type: 'client_credentials' is not supported. {GRANTS}",
            "grant_type",
        ),
    ],
)
def test_an_identity_token_is_refused_to_others(
    service: Service, fields: dict[str, str], status: int, message: str, field: str
) -> None:
    code = "unauthorized" if status == 401 else "invalid_request"
    with service.unchanged():
        refused(identity(service, **fields), status, code, message, field)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", [KEY, "/api/v1/usermgmt/v1/user/apiKey"])
def test_a_platform_api_key_is_generated_with_a_bearer_token_and_then_does_what_it_should(
    service: Service, method: str, path: str
) -> None:
    session = identity(service).json["access_token"]
    answer = service.nobody.as_(f"Bearer {session}").request(method, path)
    assert (answer.status, set(answer.json)) == (200, {"_messageCode_", "message", "apiKey"})
    key = answer.json["apiKey"]
    assert service.nobody.as_(basic("alice", key, scheme="ZenApiKey")).get(service.applications()).status == 200
    assert works(service, authorize(service, username="alice", api_key=key).json["token"])
    service.clock.advance(SESSION_MS * 100)
    assert service.nobody.as_(basic("alice", key, scheme="ZenApiKey")).get(service.applications()).status == 200
    assert service.nobody.as_(basic("bob", key, scheme="ZenApiKey")).get(service.applications()).status == 401


def test_a_key_gets_no_more_rights_than_its_user_has(service: Service) -> None:
    key = service.bob.get(KEY).json["apiKey"]
    path = f"/v4/analytics_engines/{service.instance()}/default_configs"
    assert service.nobody.as_(f"Bearer {key}").request("PUT", path, body={}).status == 403


@pytest.mark.parametrize("scheme", ["ZenApiKey", "Basic"])
def test_a_key_does_not_breed_keys(service: Service, scheme: str) -> None:
    client = service.nobody.as_(basic("alice", ALICE, scheme=scheme))
    with service.unchanged():
        message = "An API key is generated with a bearer token only."
        refused(client.get(KEY), 401, "unauthorized", message)


def test_a_token_that_a_login_issued_is_no_credential_for_another_login(service: Service) -> None:
    token = authorize(service, username="alice", password=PASSWORD).json["token"]
    with service.unchanged():
        for body in ({"api_key": token}, {"password": token}):
            refused(authorize(service, username="alice", **body), 401, "unauthorized", UNKNOWN)
        refused(identity(service, password=token), 401, "unauthorized", UNKNOWN)
        refused(validate(service, username="alice", password=token), 401, "unauthorized", UNKNOWN)
        client = service.nobody.as_(basic("alice", token, scheme="ZenApiKey"))
        refused(client.get(service.applications()), 401, "unauthorized", UNKNOWN)
    assert works(service, token)


def test_what_an_identity_token_is_traded_for_ends_when_it_ends_however_often_it_is_traded(service: Service) -> None:
    first = token = identity(service).json["access_token"]
    end = jwt.decode(first, options={"verify_signature": False})["exp"]
    for _ in range(3):
        service.clock.advance(SESSION_MS // 5)
        token = validate(service, username="alice", iam_token=token).json["accessToken"]
        assert jwt.decode(token, options={"verify_signature": False})["exp"] == end
    assert works(service, token)
    service.clock.advance(SESSION_MS // 2)
    assert not works(service, token) and not works(service, first)
    refused(validate(service, username="alice", iam_token=token), 401, "unauthorized", UNKNOWN)


def test_a_login_by_a_key_that_ends_soon_ends_with_it(service: Service) -> None:
    key = "spk_main_" + "k" * 43
    service.add_token(key, "bob", expires_at=service.clock.now() + 600_000)
    answer = identity(service, username="bob", password=key).json
    assert answer["expires_in"] == 600
    service.clock.advance(600_000)
    assert not works(service, answer["access_token"])
