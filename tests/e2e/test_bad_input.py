"""What must not get in, on the wire: each is answered in the dialect's own words, and nothing is changed."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Program
from tests.e2e.live import CLUSTER, Client, Sandbox, in_parallel, python

SUBMIT = "/api/2.0/jobs/runs/submit"
GOOD = {"new_cluster": CLUSTER, **python("/somewhere.py")}


@pytest.fixture(scope="module")
def ended(sandbox: Sandbox, program: Program) -> int:
    """A run that has ended."""
    own = sandbox.client()
    run = own.submit(python(program("nothing.py", "")))
    own.await_end(run)
    return run


@pytest.fixture(autouse=True)
def nothing_changes(client: Client, ended: int) -> Iterator[None]:
    """Every test here leaves the lists of jobs and runs as they were."""

    def look() -> tuple[list[int], list[int]]:
        runs = client.jobs("runs/list", limit=500)["runs"]
        return [run["run_id"] for run in runs], [job["job_id"] for job in client.jobs("list").get("jobs", [])]

    before = look()
    yield
    assert look() == before


def applications(sandbox: Sandbox, rest: str = "") -> str:
    return f"/v4/analytics_engines/{sandbox.instance}/spark_applications{rest}"


def raw(sandbox: Sandbox, text: str, body: bytes = b"") -> tuple[int, Any]:
    """Status and JSON of the answer to these very bytes; `text` has plain newlines and may name {token}."""
    head = text.format(token=sandbox.token).replace("\n", "\r\n").encode() + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=30) as connection:
        connection.sendall(head + body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, json.loads(answer.read() or b"null")


@pytest.mark.parametrize("megabytes", [9, 20])
def test_a_body_that_is_too_large_is_413_in_words_that_each_dialect_reads(
    client: Client, sandbox: Sandbox, megabytes: int
) -> None:
    body = {**GOOD, "run_name": "x" * (megabytes << 20)}
    for path in (SUBMIT, applications(sandbox)):
        status, told = client.call("POST", path, body)
        assert status == 413
        assert told["error_code"]
        assert told["message"] == told["errors"][0]["message"]
    assert client.call("GET", "/api/2.0/jobs/list")[0] == 200


def file_task(uri: str) -> dict[str, Any]:
    return {"new_cluster": CLUSTER, "spark_python_task": {"python_file": uri}}


HUGE = {**CLUSTER, "num_workers": 100_000}
BAD_SUBMISSIONS: dict[str, tuple[Any, str, str]] = {
    "a wrong type": ({**GOOD, "timeout_seconds": "soon"}, "MALFORMED_REQUEST", "timeout_seconds"),
    "a list": ([GOOD], "MALFORMED_REQUEST", "expected a map"),
    "no task": ({"new_cluster": CLUSTER}, "INVALID_PARAMETER_VALUE", "spark_python_task"),
    "two tasks": ({**GOOD, "spark_jar_task": {"main_class_name": "A"}}, "INVALID_PARAMETER_VALUE", "spark_jar_task"),
    "no cluster": (python("/x.py"), "INVALID_PARAMETER_VALUE", "new_cluster"),
    "two clusters": ({**GOOD, "existing_cluster_id": "1"}, "INVALID_PARAMETER_VALUE", "existing_cluster_id"),
    "a scheme": (file_task("ftp://host/x.py"), "INVALID_PARAMETER_VALUE", "ftp"),
    "a climbing path": (file_task("file:/opt/../etc/x.py"), "INVALID_PARAMETER_VALUE", "'..'"),
    "no such pool": (
        {**GOOD, "new_cluster": {**CLUSTER, "instance_pool_id": "nope"}}, "INVALID_PARAMETER_VALUE", "Pool nope"
    ),
    "too large for ever": ({**GOOD, "new_cluster": HUGE}, "INVALID_PARAMETER_VALUE", "cores"),
    "the platform's conf": (
        {**GOOD, "new_cluster": {**CLUSTER, "spark_conf": {"spark.kubernetes.namespace": "kube-system"}}},
        "INVALID_PARAMETER_VALUE",
        "spark.kubernetes.namespace",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_SUBMISSIONS)
def test_a_bad_submission_is_refused_in_databricks_words(client: Client, kind: str) -> None:
    body, code, named = BAD_SUBMISSIONS[kind]
    status, told = client.call("POST", SUBMIT, body)
    assert (status, told["error_code"]) == (400, code)
    assert named in told["message"]


BAD_APPLICATIONS: dict[str, tuple[Any, str]] = {
    "a list": ([], "JSON object"),
    "no details": ({}, "application_details"),
    "a wrong type": ({"application_details": {"application": "/x.py", "arguments": "a b"}}, "arguments"),
    "a jar without a class": ({"application_details": {"application": "/x.jar"}}, "class"),
    "a scheme": ({"application_details": {"application": "ftp://host/x.py"}}, "ftp"),
    "a version": ({"application_details": {"application": "/x.py", "runtime": {"spark_version": "99"}}}, "99"),
}


@pytest.mark.parametrize("kind", BAD_APPLICATIONS)
def test_a_bad_application_is_refused_in_analytics_engines_words(client: Client, sandbox: Sandbox, kind: str) -> None:
    body, named = BAD_APPLICATIONS[kind]
    status, told = client.call("POST", applications(sandbox), body)
    assert status == 400
    assert named in told["errors"][0]["message"]


def test_malformed_json_is_refused(sandbox: Sandbox) -> None:
    head = "POST {path} HTTP/1.1\nHost: x\nAuthorization: Bearer {{token}}\nContent-Length: 7"
    status, told = raw(sandbox, head.format(path=SUBMIT), b'{"a": 1')
    assert (status, told["error_code"]) == (400, "MALFORMED_REQUEST")
    status, told = raw(sandbox, head.format(path=applications(sandbox)), b'{"a": 1')
    assert (status, told["errors"][0]["code"]) == (400, "invalid_request_body")


def test_unknown_ids_are_not_found_in_each_dialects_way(client: Client, sandbox: Sandbox) -> None:
    for path in ("jobs/get?job_id=1", "jobs/runs/get?run_id=1", "jobs/runs/get-output?run_id=1"):
        status, told = client.call("GET", f"/api/2.0/{path}")
        assert (status, told["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert "1 does not exist" in told["message"]
    assert client.call("POST", "/api/2.0/jobs/run-now", {"job_id": 1})[0] == 400
    assert client.call("POST", "/api/2.0/jobs/runs/cancel", {"run_id": 1})[0] == 400
    for id in (uuid.uuid4(), uuid.uuid5(uuid.NAMESPACE_URL, "x")):
        for method, rest in (("GET", ""), ("GET", "/status"), ("DELETE", "")):
            assert client.call(method, applications(sandbox, f"/{id}{rest}"))[0] == 404
    assert client.call("GET", f"/v4/analytics_engines/{uuid.uuid4()}")[0] == 404
    assert client.call("GET", "/v4/analytics_engines/nonsense")[0] == 400


WRONG = {
    "none": None,
    "empty": "Bearer ",
    "unknown": "Bearer spk_main_" + "x" * 32,
    "another scheme": "Digest username=admin",
    "not base64": "Basic %%%",
    "a wrong password": "Basic " + base64.b64encode(b"admin:wrong").decode(),
    "a wrong key": "ZenApiKey " + base64.b64encode(b"admin:wrong").decode(),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_credentials_are_401_before_anything_else(sandbox: Sandbox, kind: str) -> None:
    stranger = sandbox.client()
    header = WRONG[kind]
    stranger.authorize(header)
    status, told = stranger.call("POST", SUBMIT, {"not": "looked at"})
    assert (status, set(told)) == (401, {"error_code", "message"})
    status, told = stranger.call("GET", applications(sandbox))
    assert (status, told["errors"][0]["code"]) == (401, "unauthorized")


def test_a_token_that_was_revoked_opens_nothing(sandbox: Sandbox) -> None:
    text = sandbox.admin("token", "create", "--user", "admin")["token"]
    guest = sandbox.client(text)
    assert guest.call("GET", "/api/2.0/jobs/list")[0] == 200
    sandbox.admin("token", "revoke", "--token-stdin", told=text)
    assert guest.call("GET", "/api/2.0/jobs/list")[0] == 401
    assert guest.call("GET", applications(sandbox))[0] == 401


def test_another_workspace_sees_nothing_and_is_told_nothing(client: Client, sandbox: Sandbox, ended: int) -> None:
    strangers = ("--workspace", "strangers")
    sandbox.admin(*strangers, "user", "create", "--user", "eve", "--role", "admin")
    eve = sandbox.client(sandbox.admin(*strangers, "token", "create", "--user", "eve")["token"])
    assert eve.jobs("runs/list")["runs"] == []
    for method, verb in (("GET", "get"), ("GET", "get-output"), ("POST", "cancel"), ("POST", "delete")):
        status, told = eve.call(method, f"/api/2.0/jobs/runs/{verb}", {"run_id": ended})
        missing = eve.call(method, f"/api/2.0/jobs/runs/{verb}", {"run_id": 1})
        assert (status, told["message"]) == (400, f"Run {ended} does not exist.")
        assert missing == (400, {**told, "message": "Run 1 does not exist."})
    (id, *_) = [one["application_id"] for one in client.engine("GET", "/spark_applications")["applications"]]
    for rest in ("", f"/{id}"):
        status, told = eve.call("GET", applications(sandbox, rest))
        assert status == 404
        assert sandbox.instance in told["errors"][0]["message"]


def test_a_get_may_have_a_body_and_a_target_may_be_a_whole_url(sandbox: Sandbox, ended: int) -> None:
    body = json.dumps({"run_id": str(ended)}).encode()
    head = f"GET {{target}} HTTP/1.1\nHost: any.test\nAuthorization: Bearer {{{{token}}}}\nContent-Length: {len(body)}"
    for target in ("/api/2.0/jobs/runs/get", "http://any.test/api/2.0/jobs/runs/get"):
        status, told = raw(sandbox, head.format(target=target), body)
        assert (status, told["run_id"]) == (200, ended)


def test_half_a_request_changes_nothing_and_harms_nobody(sandbox: Sandbox, client: Client) -> None:
    body = json.dumps(GOOD).encode()
    head = f"POST {SUBMIT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sandbox.token}\r\n"
    whole = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    for part in (10, len(head) - 5, len(whole) - 1):
        with socket.create_connection(("127.0.0.1", sandbox.port), timeout=30) as connection:
            connection.sendall(whole[:part])
    assert client.call("GET", "/api/2.0/jobs/list")[0] == 200


def test_a_slow_client_is_served_and_keeps_nobody_waiting(sandbox: Sandbox, client: Client) -> None:
    body = json.dumps({"run_id": 1}).encode()
    head = "POST /api/2.0/jobs/runs/cancel HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    text = f"{head}Authorization: Bearer {sandbox.token}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=30) as connection:
        for at in range(0, len(text), 20):
            connection.sendall(text[at : at + 20])
            time.sleep(0.02)
            if at % 100 == 0:
                assert client.call("GET", "/health")[0] == 200
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert "Run 1 does not exist." in json.loads(answer.read())["message"]


def test_two_callers_at_once_each_get_their_own_answer(sandbox: Sandbox) -> None:
    def ask(number: int) -> bool:
        own = sandbox.client()
        ids = [number * 1000 + i for i in range(1, 40)]
        told = [own.call("GET", f"/api/2.0/jobs/runs/get?run_id={id}")[1]["message"] for id in ids]
        return told == [f"Run {id} does not exist." for id in ids]

    assert in_parallel(2, ask) == [True, True]


def test_paths_and_methods_that_do_not_exist_are_answered_by_their_dialect(client: Client, sandbox: Sandbox) -> None:
    status, told = client.call("GET", "/api/2.0/jobs/nope")
    assert (status, told["error_code"], told["message"]) == (
        404, "ENDPOINT_NOT_FOUND", "No API found for 'GET /jobs/nope'",
    )  # fmt: skip
    assert client.call("DELETE", SUBMIT)[0] == 405
    status, told = client.call("PATCH", applications(sandbox))
    assert (status, told["errors"][0]["code"]) == (405, "method_not_allowed")


def test_an_application_that_nothing_could_hold_waits_with_its_sentence_and_can_be_stopped(
    client: Client, program: Program
) -> None:
    before = client.engine("GET")["resource_quota"]
    id = client.apply(str(program("never.py", "")), conf={"spark.executor.memory": "1000000g"})
    found = client.application(id)
    assert found["state"] == "QUEUED"
    assert found["state_details"][0]["message"] == (
        "This Job/Application requested exceeded Service Instance quota, "
        "please contact your instance admin to increase quota"
    )
    assert client.engine("GET")["resource_quota"] == before
    client.engine("DELETE", f"/spark_applications/{id}")
    assert client.application(id)["state"] == "STOPPED"
    client.engine("DELETE", f"/spark_applications/{id}")
    assert client.call("GET", applications(client.sandbox, f"/{id}"))[0] == 410
