"""Workspace API 2.0 on the wire."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from chalicelib.core.model import WorkspaceObject
from tests.contract.databricks import refused
from tests.contract.wire import Answer, Client, Service

WORKSPACE = "/api/2.0/workspace"
SOURCE = "# Databricks notebook source\nprint(1)\n\n# COMMAND ----------\n\n# MAGIC %md\n# MAGIC # Title\n"
IPYNB = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"language_info": {"name": "python"}},
    "cells": [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Title"},
        {
            "cell_type": "code",
            "id": "b",
            "metadata": {},
            "source": "print(1)",
            "execution_count": 1,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": "1\n"}],
        },
    ],
}


def encoded(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def put(client: Client, path: str, content: str | bytes = SOURCE, **more: Any) -> Answer:
    body = {"path": path, "format": "SOURCE", "language": "PYTHON", "content": encoded(content), **more}
    return client.post(f"{WORKSPACE}/import", {name: value for name, value in body.items() if value is not None})


def imported(client: Client, path: str, content: str | bytes = SOURCE, **more: Any) -> None:
    answer = put(client, path, content, **more)
    assert (answer.status, answer.json) == (200, {}), answer.body


def exported(client: Client, path: str, **query: Any) -> bytes:
    answer = client.get(f"{WORKSPACE}/export", path=path, **query)
    assert answer.status == 200, answer.body
    return base64.b64decode(answer.json["content"])


def listed(client: Client, path: str = "/") -> dict[str, str]:
    answer = client.get(f"{WORKSPACE}/list", path=path)
    assert answer.status == 200, answer.body
    return {one["path"]: one["object_type"] for one in answer.json.get("objects", ())}


def made(client: Client, *paths: str) -> None:
    for path in paths:
        answer = client.post(f"{WORKSPACE}/mkdirs", {"path": path})
        assert (answer.status, answer.json) == (200, {}), answer.body


def test_a_notebook_goes_in_and_comes_out(service: Service, alice: Client) -> None:
    made(alice, "/Users/alice")
    imported(alice, "/Users/alice/n")
    assert exported(alice, "/Users/alice/n").decode() == SOURCE
    status = alice.get(f"{WORKSPACE}/get-status", path="/Users/alice/n").json
    at = status["created_at"]
    assert status == {
        "path": "/Users/alice/n",
        "object_type": "NOTEBOOK",
        "language": "PYTHON",
        "object_id": service.store.all(WorkspaceObject)[-1].id,
        "created_at": at,
        "modified_at": at,
    }
    imported(alice, "/Users/alice/n", "# Databricks notebook source\n2\n", overwrite=True)
    changed = alice.get(f"{WORKSPACE}/get-status", path="/Users/alice/n").json
    assert changed["modified_at"] > at and changed == {**status, "modified_at": changed["modified_at"]}
    answer = alice.get(f"{WORKSPACE}/export", path="/Users/alice/n", format="SOURCE").json
    assert answer == {"content": encoded("# Databricks notebook source\n2\n"), "file_type": "py"}


@pytest.mark.parametrize(
    ("language", "comment", "extension"),
    [("PYTHON", "#", "py"), ("R", "#", "r"), ("SQL", "--", "sql"), ("SCALA", "//", "scala")],
)
def test_every_language_has_its_source(alice: Client, language: str, comment: str, extension: str) -> None:
    imported(alice, "/n", "1", language=language)
    answer = alice.get(f"{WORKSPACE}/export", path="/n").json
    assert base64.b64decode(answer["content"]).decode() == f"{comment} Databricks notebook source\n1\n"
    assert answer["file_type"] == extension
    assert alice.get(f"{WORKSPACE}/get-status", path="/n").json["language"] == language
    jupyter = json.loads(exported(alice, "/n", format="JUPYTER"))
    assert jupyter["metadata"]["language_info"]["name"] == language.lower()


def test_jupyter_files_are_kept_to_the_letter_and_both_formats_are_made_of_each_other(alice: Client) -> None:
    text = json.dumps(IPYNB, indent=3)
    imported(alice, "/j", text, format="JUPYTER", language="SCALA")
    assert exported(alice, "/j", format="JUPYTER").decode() == text
    assert exported(alice, "/j", format="AUTO").decode() == text
    assert alice.get(f"{WORKSPACE}/get-status", path="/j").json["language"] == "PYTHON"
    assert exported(alice, "/j").decode() == (
        "# Databricks notebook source\n# MAGIC %md\n# MAGIC # Title\n\n# COMMAND ----------\n\nprint(1)\n"
    )
    imported(alice, "/s")
    made_of = json.loads(exported(alice, "/s", format="JUPYTER"))
    assert [(c["cell_type"], c["source"]) for c in made_of["cells"]] == [("code", "print(1)"), ("markdown", "# Title")]
    assert alice.get(f"{WORKSPACE}/export", path="/s", format="JUPYTER").json["file_type"] == "ipynb"


def test_auto_recognizes_notebooks_and_raw_does_not(alice: Client) -> None:
    imported(alice, "/a.py", format="AUTO", language=None)
    imported(alice, "/b.ipynb", json.dumps(IPYNB), format="AUTO", language=None)
    imported(alice, "/c.py", "x = 1", format="AUTO", language=None)
    imported(alice, "/d.py", format="RAW", language=None)
    assert listed(alice) == {
        "/Shared": "DIRECTORY",
        "/Users": "DIRECTORY",
        "/a": "NOTEBOOK",
        "/b": "NOTEBOOK",
        "/c.py": "FILE",
        "/d.py": "FILE",
    }
    for format in ("AUTO", "RAW", "SOURCE"):
        assert exported(alice, "/d.py", format=format).decode() == SOURCE
    assert alice.get(f"{WORKSPACE}/get-status", path="/d.py").json["size"] == len(SOURCE)


def test_a_direct_download_is_the_file_itself(service: Service, alice: Client) -> None:
    body = random.Random(1).randbytes(100_000)
    imported(alice, "/f.bin", body, format="RAW")
    answer = alice.get(f"{WORKSPACE}/export", path="/f.bin", direct_download="true")
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"] == "application/octet-stream"
    imported(alice, "/empty.bin", b"", format="RAW")
    assert alice.get(f"{WORKSPACE}/export", path="/empty.bin", direct_download="true").body == b""
    large = random.Random(2).randbytes(4_200_000)
    name = next(iter(service.blobs.bodies))
    service.blobs.bodies[name] = large
    answer = alice.get(f"{WORKSPACE}/export", path="/f.bin", direct_download="true")
    assert answer.status == 307 and answer.body == b""
    link = answer.headers["location"].removeprefix("https://blobs.example/").partition("?")[0]
    assert link.startswith("main/answers/") and service.blobs.bodies[link] == large


def test_a_file_may_come_as_a_form(alice: Client) -> None:
    body = bytes(range(256)) + b"\r\n--bound\r\x0b\x85\n" + SOURCE.encode()
    head = 'Content-Disposition: form-data; name="{}"{}\r\n\r\n'
    parts = [
        head.format("path", "").encode() + b"/f.bin",
        head.format("format", "").encode() + b"RAW",
        head.format("overwrite", "").encode() + b"true",
        head.format("content", '; filename="f"').encode() + body,
    ]
    form = b"".join(b"--boundary\r\n" + part + b"\r\n" for part in parts) + b"--boundary--\r\n"
    kind = "multipart/form-data; boundary=boundary"
    for _ in range(2):
        answer = alice.post(f"{WORKSPACE}/import", form, content_type=kind)
        assert (answer.status, answer.json) == (200, {}), answer.body
    assert exported(alice, "/f.bin", format="RAW") == body
    without = b'--boundary\r\nContent-Disposition: form-data; name="path"\r\n\r\n/x\r\n--boundary--\r\n'
    refused(
        alice.post(f"{WORKSPACE}/import", without, content_type=kind),
        400,
        "INVALID_PARAMETER_VALUE",
        "Missing required field: content",
    )


def test_a_list_is_of_a_directory_by_name_or_of_the_object_itself(alice: Client) -> None:
    made(alice, "/d/ü", "/d/a", "/d2", "/empty")
    for path in ("/d/b", "/d/ü/below", "/d2/c"):
        imported(alice, path)
    assert list(listed(alice, "/d").items()) == [("/d/a", "DIRECTORY"), ("/d/b", "NOTEBOOK"), ("/d/ü", "DIRECTORY")]
    assert listed(alice, "/d/") == listed(alice, "/d")
    assert listed(alice, "/d/b") == {"/d/b": "NOTEBOOK"}
    assert alice.get(f"{WORKSPACE}/list", path="/empty").json == {}
    status = alice.get(f"{WORKSPACE}/get-status", path="/d/b").json["modified_at"]
    newer = alice.get(f"{WORKSPACE}/list", path="/d", notebooks_modified_after=status + 1).json["objects"]
    assert [one["path"] for one in newer] == ["/d/a", "/d/ü"]


def test_a_get_may_have_a_body(alice: Client) -> None:
    imported(alice, "/n")
    answer = alice.request("GET", f"{WORKSPACE}/get-status", body={"path": "/n"}, content_type="text/json")
    assert answer.json["object_type"] == "NOTEBOOK"


def test_old_clients_are_told_only_what_they_know(alice: Client) -> None:
    imported(alice, "/n")
    for agent, old in (("0.8.2", True), ("0.8.6", True), ("0.7.2", True), ("0.8.7", False), ("0.18.0", False)):
        headers = {"User-Agent": f"databricks-cli-{agent}-"}
        told = alice.request("GET", f"{WORKSPACE}/get-status", query=[("path", "/n")], headers=headers).json
        assert (set(told) == {"path", "object_type", "language"}) is old, agent


def test_what_is_deleted_is_gone(service: Service, alice: Client) -> None:
    made(alice, "/d/e")
    imported(alice, "/d/e/n")
    imported(alice, "/d/m")
    with service.unchanged():
        refused(
            alice.post(f"{WORKSPACE}/delete", {"path": "/d"}),
            400,
            "DIRECTORY_NOT_EMPTY",
            "Path (/d) is not empty; recursive deletes it with all that is in it.",
        )
    assert alice.post(f"{WORKSPACE}/delete", {"path": "/d/m"}).json == {}
    assert alice.post(f"{WORKSPACE}/delete", {"path": "/d", "recursive": True}).json == {}
    assert set(listed(alice)) == {"/Shared", "/Users"}
    assert not service.blobs.bodies and not service.store.all(WorkspaceObject)
    refused(
        alice.get(f"{WORKSPACE}/export", path="/d/m"), 404, "RESOURCE_DOES_NOT_EXIST", "Path (/d/m) does not exist."
    )


def test_another_workspace_has_another_tree(service: Service, alice: Client, eve: Client) -> None:
    imported(alice, "/n")
    assert set(listed(eve)) == {"/Shared", "/Users"}
    with service.unchanged():
        for method, verb in (("GET", "get-status"), ("GET", "export"), ("GET", "list"), ("POST", "delete")):
            for path in ("/n", "/nothing"):
                answer = eve.request(method, f"{WORKSPACE}/{verb}", body={"path": path})
                refused(answer, 404, "RESOURCE_DOES_NOT_EXIST", f"Path ({path}) does not exist.")


Refusal = tuple[str, dict[str, Any], int, str, str]
NEEDED = "Missing required field: "
INVALID = "INVALID_PARAMETER_VALUE"
ONE_KIND = "Path (/n) is a NOTEBOOK; it cannot be overwritten with a FILE. Delete it first."
REFUSALS: dict[str, Refusal] = {
    "no path": ("list", {"path": 5}, 400, "MALFORMED_REQUEST",
                "Could not parse request object: Expected string for field path, found NUMBER"),
    "status without path": ("get-status", {}, 400, INVALID, f"{NEEDED}path"),
    "a relative path": ("get-status", {"path": "n"}, 400, INVALID, "Path (n) doesn't start with '/'."),
    "a path that climbs": ("export", {"path": "/a/../n"}, 400, INVALID,
                           "Path (/a/../n) has an empty part, or one that is '.' or '..'."),
    "a missing path": ("list", {"path": "/x"}, 404, "RESOURCE_DOES_NOT_EXIST", "Path (/x) does not exist."),
    "a directory's content": ("export", {"path": "/Users"}, 400, INVALID,
                              "Path (/Users) is a directory; only notebooks and files can be exported."),
    "a format we lack": ("export", {"path": "/n", "format": "DBC"}, 400, INVALID,
                         "Format DBC is not supported by this service; use SOURCE, JUPYTER, AUTO or RAW."),
    "a format nobody has": ("export", {"path": "/n", "format": "DOC"}, 400, INVALID,
                            "Invalid value for field format: one of the known values"),
    "a file as a notebook": ("export", {"path": "/f", "format": "JUPYTER"}, 400, INVALID,
                             "Path (/f) is a file, which has no JUPYTER format."),
    "a directory below a notebook": ("mkdirs", {"path": "/n/d"}, 400, "RESOURCE_ALREADY_EXISTS",
                                     "Path (/n) already exists, and is not a directory."),
    "the root": ("delete", {"path": "/", "recursive": True}, 400, INVALID, "Path (/) cannot be deleted."),
    "a missing folder": ("import", {"path": "/x/n", "language": "PYTHON", "content": ""}, 404,
                         "RESOURCE_DOES_NOT_EXIST", "The parent folder (/x) does not exist."),
    "what is there": ("import", {"path": "/n", "language": "PYTHON", "content": ""}, 400, "RESOURCE_ALREADY_EXISTS",
                      "Path (/n) already exists."),
    "a directory over": ("import", {"path": "/Users", "language": "PYTHON", "content": "", "overwrite": True}, 400,
                         "RESOURCE_ALREADY_EXISTS", "Path (/Users) already exists, and is a directory."),
    "a file over a notebook": ("import", {"path": "/n", "format": "RAW", "content": "", "overwrite": True}, 400,
                               INVALID, ONE_KIND),
    "no language": ("import", {"path": "/m", "content": ""}, 400, INVALID,
                    f"{NEEDED}language (format SOURCE needs it)."),
    "an unknown language": ("import", {"path": "/m", "language": "COBOL", "content": ""}, 400, INVALID,
                            "Invalid value for field language: one of the known values"),
    "no content": ("import", {"path": "/m", "language": "PYTHON"}, 400, INVALID, f"{NEEDED}content"),
    "content that is no base64": ("import", {"path": "/m", "language": "PYTHON", "content": "ä"}, 400, INVALID,
                                  "Invalid value for field content: expected base64"),
    "source that is no text": ("import", {"path": "/m", "language": "PYTHON", "content": encoded(b"\xff")}, 400,
                               INVALID, "The content of a source file must be UTF-8 text."),
    "a notebook that is none": ("import", {"path": "/m", "format": "JUPYTER", "content": encoded("{}")}, 400, INVALID,
                                "The content is not a Jupyter notebook: it has no nbformat."),
    "an archive": ("import", {"path": "/m", "format": "DBC", "content": ""}, 400, INVALID,
                   "Format DBC is not supported by this service; use SOURCE, JUPYTER, AUTO or RAW."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_is_refused_and_changes_nothing(service: Service, alice: Client, case: str) -> None:
    imported(alice, "/n")
    imported(alice, "/f", format="RAW")
    verb, body, status, code, message = REFUSALS[case]
    method = "POST" if verb in {"import", "mkdirs", "delete"} else "GET"
    with service.unchanged():
        refused(alice.request(method, f"{WORKSPACE}/{verb}", body=body), status, code, message)


def test_content_over_the_limit_is_refused_with_a_way_round(
    service: Service, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.dialects.databricks_jobs.workspace.MAX_CONTENT", 100)
    with service.unchanged():
        answer = put(alice, "/n", "x" * 101)
    assert (answer.status, answer.json["error_code"]) == (400, "MAX_NOTEBOOK_SIZE_EXCEEDED")
    assert "larger than 100 bytes" in answer.json["message"] and "DBFS or S3" in answer.json["message"]
