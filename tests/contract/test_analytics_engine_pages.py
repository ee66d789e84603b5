"""A history server's pages in a browser: the cookie that opens them and nothing else, and what is told in place of a
page."""

from __future__ import annotations

import json
import re
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from chalicelib.core.capacity import Amount
from chalicelib.core.credentials import COOKIE, digest_of
from chalicelib.core.model import Principal, Role, Token
from chalicelib.dialects.analytics_engine import history, pages
from chalicelib.dialects.http import Request
from chalicelib.ports import RELAYED_MOST, Relayed
from chalicelib.services.access import PAGES_MS, Call, delete_user, revoke_token
from chalicelib.services.pools import ensure_pool
from tests.contract.databricks import cluster, python, submit
from tests.contract.test_analytics_engine_history import SERVER, call, running, start
from tests.contract.test_gate import CHALLENGE, GATED, filled
from tests.contract.wire import Answer, Client, Service

SEEN = b"<html>Spark"
HTML = {"Accept": "text/html,application/xhtml+xml"}


def session(client: Client, method: str = "POST", **headers: str) -> Answer:
    path = f"/v4/analytics_engines/{client.service.instance()}/{SERVER}/session"
    return client.request(method, path, headers=headers)


def cookie_of(answer: Answer) -> str:
    """The Cookie header that a browser sends from now on."""
    cookies = SimpleCookie(answer.headers["set-cookie"])
    return f"{COOKIE}={cookies[COOKIE].value}"


def look(service: Service, cookie: str, path: str = "ui/", instance: str = "", method: str = "GET") -> Answer:
    """A request as a browser sends it: with its cookie, and without an Authorization header."""
    of = f"/v4/analytics_engines/{instance or service.instance()}/{SERVER}/{path}"
    return service.nobody.request(method, of, headers={**HTML, "Cookie": cookie})


@pytest.fixture
def shown(service: Service) -> Service:
    """A service with a history server that shows something."""
    running(service)
    service.relay.answers["/"] = Relayed(200, {"content-type": "text/html"}, SEEN)
    return service


def test_who_has_a_token_gets_a_cookie_that_opens_the_pages(shown: Service) -> None:
    answer = session(shown.bob)
    assert (answer.status, answer.body, answer.headers["cache-control"]) == (204, b"", "no-store")
    told = SimpleCookie(answer.headers["set-cookie"])[COOKIE]
    assert told["path"] == f"/v4/analytics_engines/{shown.instance()}/{SERVER}"
    assert (told["httponly"], told["samesite"], told["secure"]) == (True, "Strict", True)
    assert told["max-age"] == str(PAGES_MS // 1000)
    page = look(shown, f"other=1; {cookie_of(answer)}; last=x")
    assert (page.status, page.body) == (200, SEEN)
    assert look(shown, cookie_of(answer), "api/v1/applications").status == 503
    ((_, _, first), *_) = shown.relay.asked
    assert "cookie" not in first, "the history server sees no credentials"


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True), ("", True)])
def test_over_plain_http_alone_the_cookie_is_not_marked_secure(shown: Service, scheme: str, secure: bool) -> None:
    path, parameters = f"/v4/x/{SERVER}/session", {"instance_id": shown.instance()}
    request = Request("POST", path, "", parameters, (), {"x-forwarded-proto": scheme} if scheme else {}, b"")
    answer = pages.enter(shown.ports, Call(Principal("main", "alice", Role.USER)), request)
    assert answer.headers["Set-Cookie"].endswith("; Secure") is secure


def test_the_cookie_opens_nothing_else(shown: Service) -> None:
    ensure_pool(shown.ports, "main", "etl")
    cookie = cookie_of(session(shown.alice))
    token = cookie.partition("=")[2]
    submit(shown.alice, python())
    with shown.unchanged():
        assert look(shown, cookie, instance=shown.instance("etl")).status == 302
        for operation, _ in GATED:
            if operation.page:
                continue
            path = filled(operation.path, shown.instance())
            for client, headers in ((shown.nobody, {"Cookie": cookie}), (shown.nobody.as_(f"Bearer {token}"), {})):
                assert client.request(operation.method, path, headers=headers).status == 401, path
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert look(shown, cookie, method=method).status == 401
        body = json.dumps({"username": "alice", "api_key": token})
        assert shown.nobody.post("/icp4d-api/v1/authorize", body).status == 401
    assert [o.path for o, _ in GATED if o.page] == [f"{history.SERVER}/{{path+}}"]
    assert all(o.method == "GET" for o, _ in GATED if o.page), "what a cookie opens must change nothing"


def test_the_cookie_is_good_for_hours_and_not_for_days(shown: Service) -> None:
    cookie = cookie_of(session(shown.alice))
    shown.clock.advance(PAGES_MS - 10_000)
    assert look(shown, cookie).status != 302
    shown.clock.advance(20_000)
    assert look(shown, cookie).status == 302


@pytest.mark.parametrize("how", ["its user is gone", "it was revoked", "its user has left"])
def test_the_cookie_is_checked_like_every_token(shown: Service, how: str) -> None:
    cookie = cookie_of(session(shown.bob))
    assert look(shown, cookie).status == 200
    if how == "it was revoked":
        revoke_token(shown.ports, "main", cookie.partition("=")[2])
    elif how == "its user has left":
        assert session(shown.bob, "DELETE", Cookie=cookie).status == 204
    else:
        delete_user(shown.ports, "main", "bob")
    assert look(shown, cookie).status == 302


def test_leaving_takes_the_cookie_away_and_nobody_elses(shown: Service) -> None:
    alice, bob = cookie_of(session(shown.alice)), cookie_of(session(shown.bob))
    answer = session(shown.alice, "DELETE", Cookie=alice)
    told = SimpleCookie(answer.headers["set-cookie"])[COOKIE]
    assert (told.value, told["max-age"], told["path"]) == (
        "",
        "0",
        f"/v4/analytics_engines/{shown.instance()}/{SERVER}",
    )
    assert look(shown, alice).status == 302
    own = shown.alice.authorization
    assert own is not None
    for cookie in (bob, f"{COOKIE}={own.partition(' ')[2]}", f"{COOKIE}=x", alice, ""):
        with shown.unchanged():
            assert session(shown.alice, "DELETE", Cookie=cookie).status == 204
    assert look(shown, bob).status == 200


def test_only_an_instance_of_the_callers_has_sessions(shown: Service) -> None:
    with shown.unchanged():
        of = f"/v4/analytics_engines/{shown.instance()}/{SERVER}/session"
        for method in ("POST", "DELETE"):
            assert shown.nobody.request(method, of).status == 401
            assert shown.eve.request(method, of).status == 404
            assert shown.alice.request(method, of.replace(shown.instance(), "x")).status == 400
        assert shown.alice.get(of).status == 405


def test_a_session_costs_one_record_of_which_only_the_digest_is_kept(shown: Service) -> None:
    text = cookie_of(session(shown.bob)).partition("=")[2]
    kept = shown.store.get(Token, "main", digest_of(text))
    assert isinstance(kept, Token) and (kept.principal, kept.label) == ("bob", "pages")
    assert kept.expires_at and text not in repr(shown.store.records)


def test_an_authorization_header_counts_before_a_cookie(shown: Service) -> None:
    cookie = cookie_of(session(shown.alice))
    wrong = shown.nobody.as_("Bearer spk_main_" + "x" * 43)
    path = f"/v4/analytics_engines/{shown.instance()}/{SERVER}/ui/"
    assert wrong.request("GET", path, headers={"Cookie": cookie}).status == 401


@pytest.mark.parametrize(
    ("path", "query", "asked"),
    [
        ("ui", (), ""),
        ("ui/", (), "/"),
        ("ui/history/app-1/stages/stage/", (("id", "3"), ("a", "0")), "/history/app-1/stages/stage/?id=3&a=0"),
        ("ui/a%20b", (), "/a%20b"),
        ("api/v1/version", (), ""),
    ],
)  # fmt: skip
def test_a_browser_without_credentials_is_sent_to_the_console_that_knows_what_was_asked_for(
    shown: Service, path: str, query: Any, asked: str
) -> None:
    base = f"/v4/analytics_engines/{shown.instance()}/{SERVER}"
    with shown.unchanged():
        answer = shown.nobody.request("GET", f"{base}/{path}", query=query, headers=HTML)
    assert (answer.status, answer.body, answer.headers["cache-control"]) == (302, b"", "no-store")
    place = urlsplit(answer.headers["location"])
    assert (place.netloc, place.path, unquote(place.fragment)) == ("", "/", f"history/{shown.instance()}{asked}")
    assert shown.relay.asked == []


def test_a_program_without_credentials_is_told_as_ever(shown: Service) -> None:
    path = f"/v4/analytics_engines/{shown.instance()}/{SERVER}/ui/"
    for accept in ("*/*", "application/json"):
        answer = shown.nobody.request("GET", path, headers={"Accept": accept})
        assert answer.status == 401 and CHALLENGE in answer.headers
        assert answer.json["errors"][0]["code"] == "unauthorized"


def page_of(service: Service, cookie: str) -> tuple[int, str, bool]:
    """Status, message and whether the browser asks again."""
    answer = look(service, cookie)
    text = answer.body.decode()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "script" not in text and "default-src 'none'" in answer.headers["content-security-policy"]
    found = re.search(r"<p>(.*?)</p>", text)
    assert found
    return answer.status, found[1], 'http-equiv="refresh"' in text


def test_in_place_of_a_page_a_browser_is_told_why_and_asks_again_while_there_is_hope(service: Service) -> None:
    cookie = cookie_of(session(service.alice))
    never = "The history server is already stopped: it was not started."
    assert page_of(service, cookie) == (404, never, False)
    start(service.alice)
    assert page_of(service, cookie) == (503, "The history server is starting.", True)
    run = max(hold.id for hold in service.live())
    service.start(run)
    assert page_of(service, cookie) == (503, "Not yet.", True)
    service.relay.routed = False
    assert page_of(service, cookie) == (501, "There is no way.", False)
    call(service.alice, "DELETE", SERVER)
    assert page_of(service, cookie) == (410, "The history server is already stopped.", False)


def test_what_is_shown_may_load_nothing_from_elsewhere(shown: Service) -> None:
    headers = look(shown, cookie_of(session(shown.alice))).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert {policy["connect-src"], policy["form-action"]} == {"'self'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("accept", ["application/json", "text/html", "image/png", "*/*"])
@pytest.mark.parametrize("content_type", ["application/zip", "application/octet-stream", "image/png", ""])
def test_bytes_are_shown_whatever_a_client_accepts(shown: Service, accept: str, content_type: str) -> None:
    shown.relay.answers["/x"] = Relayed(200, {"content-type": content_type} if content_type else {}, b"\x00\xff")
    path = f"/v4/analytics_engines/{shown.instance()}/{SERVER}/x"
    answer = shown.alice.request("GET", path, headers={"Accept": accept})
    assert (answer.status, answer.body) == (200, b"\x00\xff")
    assert answer.headers["content-type"] == (content_type or "application/octet-stream")


def test_a_policy_of_sparks_own_holds_too(shown: Service) -> None:
    own = "default-src 'self'; script-src 'self' 'nonce-1'"
    shown.relay.answers["/"] = Relayed(200, {"content-security-policy": own}, SEEN)
    headers = look(shown, cookie_of(session(shown.alice))).headers
    assert headers["content-security-policy"].split(", ") == [pages.POLICY, own]


def test_what_every_page_of_sparks_loads_is_asked_for_once_in_a_while(shown: Service) -> None:
    told = {"content-type": "text/javascript", "cache-control": "no-store"}
    for path, status in (("/static/webui.js", 200), ("/static/none.js", 404), ("/api/v1/version", 200)):
        shown.relay.answers[path] = Relayed(status, told, b"")
    cookie = cookie_of(session(shown.alice))
    kept = [look(shown, cookie, f"ui{path}").headers["cache-control"] for path in shown.relay.answers if path != "/"]
    assert kept == ["private, max-age=600", "no-store", "no-store"]


def test_an_answer_that_lambda_cannot_return_is_a_link_to_it_under_its_own_name(shown: Service) -> None:
    told = {"content-type": "application/zip", "content-disposition": 'attachment; filename="eventLogs-app-1.zip"'}
    body = bytes(range(256)) * 30_000
    shown.relay.answers["/api/v1/applications/app-1/logs"] = Relayed(200, told, body)
    answer = call(shown.alice, "GET", f"{SERVER}/api/v1/applications/app-1/logs")
    assert (answer.status, answer.body) == (307, b"")
    assert unquote(answer.headers["location"]).endswith(f"disposition={told['content-disposition']}")
    assert body in shown.blobs.bodies.values()


def test_one_that_is_larger_than_memory_allows_is_refused_with_the_place_of_the_logs(shown: Service) -> None:
    shown.relay.answers["/api/v1/applications/app-1/logs"] = Relayed(200, {}, bytes(RELAYED_MOST + 1))
    with shown.unchanged():
        answer = call(shown.alice, "GET", f"{SERVER}/api/v1/applications/app-1/logs")
    where = shown.blobs.uri("main/events/default")
    message = f"This is larger than 64 MB. The event logs themselves stand below {where}/."
    assert (answer.status, answer.json["errors"]) == (413, [{"code": "response_too_large", "message": message}])
    shown.relay.answers["/"] = Relayed(200, {}, bytes(RELAYED_MOST + 1))
    assert page_of(shown, cookie_of(session(shown.alice))) == (413, message, False)


def test_the_console_lists_the_history_servers(service: Service, alice: Client) -> None:
    ensure_pool(service.ports, "main", "etl")
    both = {"default": service.instance(), "etl": service.instance("etl")}
    stopped = [{"pool": pool, "instance_id": id, "state": "stopped"} for pool, id in both.items()]
    assert alice.get("/console/v1/history").json == {"servers": stopped}
    start(alice)
    first, second = alice.get("/console/v1/history").json["servers"]
    assert (first["state"], first["cores"], first["memory"], second) == ("waiting", 1, 4096, stopped[1])
    service.start(first["run_id"])
    (first, _) = alice.get("/console/v1/history").json["servers"]
    assert (first["state"], first["deadline"] > service.clock.now()) == ("running", True)
    assert [one["state"] for one in service.eve.get("/console/v1/history").json["servers"]] == ["stopped"]
    call(alice, "DELETE", SERVER)
    assert alice.get("/console/v1/history").json == {"servers": stopped}


def test_the_console_says_why_a_history_server_waits(service: Service, alice: Client) -> None:
    running(service)
    ensure_pool(service.ports, "main", "etl")
    assert call(alice, "POST", SERVER, instance=service.instance("etl")).status == 201
    ensure_pool(service.ports, "main", "etl", maximum=Amount(1000, 1024, 0, 0))
    told = alice.get("/console/v1/history").json["servers"][1]
    assert told["state"] == "waiting" and told["waits"]


def test_a_run_tells_whether_the_history_server_will_know_it(service: Service, alice: Client) -> None:
    for conf, known in (({"spark.eventLog.enabled": "true"}, True), ({}, False)):
        run = submit(alice, python(new_cluster=cluster(spark_conf=conf)))
        assert alice.get(f"/console/v1/runs/{run}").json["event_log"] is known
