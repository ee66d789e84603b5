"""What a run's driver may read at its door: notebooks, and the secrets that the run's creator may."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.contract.databricks import submit
from tests.contract.test_driver_door import driver
from tests.contract.test_secrets_api import put as put_secret
from tests.contract.test_secrets_api import scope
from tests.contract.test_workspace_api import IPYNB, SOURCE, imported, made
from tests.contract.wire import Client, Service


def started(service: Service, client: Client, workspace: str = "main") -> tuple[Client, str]:
    """A running run's driver, and its door."""
    run = submit(client)
    if workspace == "main":
        service.start(run)
    else:
        service.play()
    return driver(service, run, workspace), f"/driver/v1/runs/{workspace}.{run}"


def test_a_driver_reads_a_notebook(service: Service, alice: Client) -> None:
    made(alice, "/Users/alice")
    imported(alice, "/Users/alice/ä n")
    imported(alice, "/j", json.dumps(IPYNB), format="JUPYTER")
    client, door = started(service, alice)
    told = client.get(f"{door}/notebook", path="/Users/alice/ä n").json
    assert (told["path"], told["language"]) == ("/Users/alice/ä n", "PYTHON")
    assert [cell["source"] for cell in told["notebook"]["cells"]] == ["print(1)", "%md\n# Title"]
    assert client.get(f"{door}/notebook", path="/j").json["notebook"] == IPYNB
    imported(alice, "/Users/alice/ä n", "2", overwrite=True)
    first = client.get(f"{door}/notebook", path="/Users/alice/ä n", revision=told["revision"]).json
    newest = client.get(f"{door}/notebook", path="/Users/alice/ä n").json
    assert first == told and newest["notebook"]["cells"][0]["source"] == "2"
    assert newest["revision"] > told["revision"]


def test_a_large_notebook_is_a_link(service: Service, alice: Client) -> None:
    imported(alice, "/n", SOURCE + "# " + "ä" * 1_500_000)
    client, door = started(service, alice)
    told = client.get(f"{door}/notebook", path="/n").json
    assert set(told) == {"path", "language", "revision", "link"}
    name = told["link"].removeprefix("https://blobs.example/").partition("?")[0]
    assert name.startswith(f"main/runs/{door.rpartition('.')[2]}/notebooks/")
    assert len(json.loads(service.blobs.bodies[name])["cells"]) == 2


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({"path": "/x"}, 404, "Path (/x) does not exist."),
        ({"path": "/Users"}, 404, "Notebook /Users does not exist."),
        ({"path": "/n", "revision": 1}, 404, "Revision 1 of /n does not exist."),
        ({"path": "/n", "revision": "x"}, 400, "revision must be epoch milliseconds."),
        ({"path": "/n", "revision": "9" * 30}, 400, "revision must be epoch milliseconds."),
        ({"path": "n"}, 400, "Path (n) doesn't start with '/'."),
        ({}, 400, "Path () doesn't start with '/'."),
    ],
)
def test_what_is_not_there_is_said(
    service: Service, alice: Client, query: dict[str, Any], status: int, message: str
) -> None:
    imported(alice, "/n")
    client, door = started(service, alice)
    with service.unchanged():
        answer = client.get(f"{door}/notebook", **query)
    assert (answer.status, answer.json) == (status, {"message": message})


def test_a_driver_reads_the_secrets_that_its_creator_may(service: Service, alice: Client, bob: Client) -> None:
    scope(alice, "private")
    scope(alice, "shared", initial_manage_principal="users")
    put_secret(alice, "k", "private", string_value="one")
    put_secret(alice, "b", "shared", bytes_value=base64.b64encode(b"\xff").decode())
    client, door = started(service, bob)
    assert client.get(f"{door}/secrets").json == {"scopes": ["shared"]}
    assert client.get(f"{door}/secrets/shared").json == {"keys": ["b"]}
    assert client.get(f"{door}/secrets/shared/b").json == {"value": "/w==", "is_text": False}
    for path in ("private", "private/k"):
        answer = client.get(f"{door}/secrets/{path}")
        assert answer.status == 403 and "does not have READ permission" in answer.json["message"]
    client, door = started(service, alice)
    answer = client.get(f"{door}/secrets/private/k")
    assert answer.json == {"value": base64.b64encode(b"one").decode(), "is_text": True}
    assert answer.headers["cache-control"] == "no-store"
    assert client.get(f"{door}/secrets").json == {"scopes": ["private", "shared"]}
    for path, message in (
        ("nothing", "Scope nothing does not exist."),
        ("nothing/k", "Scope nothing does not exist."),
        ("private/x", "Secret x in scope private does not exist."),
        ("a%20b", "Scope a b does not exist."),
    ):
        answer = client.get(f"{door}/secrets/{path}")
        assert (answer.status, answer.json) == (404, {"message": message})


PATHS = ("notebook?path=/n", "secrets", "secrets/s", "secrets/s/k")


def test_only_the_run_itself_is_told_and_only_while_it_has_a_driver(
    service: Service, alice: Client, eve: Client
) -> None:
    imported(alice, "/n")
    scope(alice, "s", initial_manage_principal="users")
    put_secret(alice)
    client, door = started(service, alice)
    other, _ = started(service, alice)
    stranger, their_door = started(service, eve, "elsewhere")
    run = int(door.rpartition(".")[2])
    for path in PATHS:
        plain, _, query = path.partition("?")
        told = {"path": "/n"} if query else {}
        assert client.get(f"{door}/{plain}", **told).status == 200
        for somebody in (other, stranger, alice, service.nobody):
            assert somebody.get(f"{door}/{plain}", **told).status == 401
        answer = stranger.get(f"{their_door}/{plain}", **told)
        assert answer.status == 404 or answer.json == {"scopes": []}
    waiting = submit(alice)
    service.end(run)
    for path in PATHS:
        plain, _, query = path.partition("?")
        told = {"path": "/n"} if query else {}
        for asked in (run, waiting, 12345):
            answer = driver(service, asked).get(f"/driver/v1/runs/main.{asked}/{plain}", **told)
            if asked == waiting and answer.status == 200:
                continue  # it was granted meanwhile
            assert (answer.status, answer.json) == (409, {"message": "The run has no driver."})
