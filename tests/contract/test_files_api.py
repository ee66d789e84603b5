"""Files API 2.0: large files by links."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.databricks import refused
from tests.contract.wire import Answer, Client, Service

FILES = "/api/2.0/fs/files"
BLOB = "https://blobs.example/main/dbfs"


def redirected(answer: Answer, link: str) -> None:
    assert (answer.status, answer.headers["location"], answer.body) == (307, link, b"")


def test_a_file_is_downloaded_by_a_link(service: Service, alice: Client) -> None:
    service.blobs.bodies["main/dbfs/a/b c.txt"] = b"hello"
    redirected(alice.get(f"{FILES}/a/b%20c.txt"), f"{BLOB}/a/b c.txt?get=3600")
    redirected(alice.request("HEAD", f"{FILES}/a/b%20c.txt"), f"{BLOB}/a/b c.txt?head=3600")


@pytest.mark.parametrize("body", [b"", b"some \xff content"])
def test_a_file_is_uploaded_by_a_link(service: Service, alice: Client, body: bytes) -> None:
    with service.unchanged():
        answer = alice.request("PUT", f"{FILES}/a/new", body=body, content_type="application/octet-stream")
    redirected(answer, f"{BLOB}/a/new?put=3600&size=0")


def test_what_exists_is_not_overwritten_unless_told(service: Service, alice: Client) -> None:
    service.blobs.bodies["main/dbfs/d/f"] = b"hello"
    answer = alice.request("PUT", f"{FILES}/d/f")
    refused(answer, 409, "ALREADY_EXISTS", "A file exists at /d/f.")
    redirected(alice.request("PUT", f"{FILES}/d/f", query=[("overwrite", "true")]), f"{BLOB}/d/f?put=3600&size=0")
    answer = alice.request("PUT", f"{FILES}/d", query=[("overwrite", "true")])
    refused(answer, 409, "ALREADY_EXISTS", "A directory exists at /d.")
    answer = alice.request("PUT", f"{FILES}/d/f/g")
    refused(answer, 409, "ALREADY_EXISTS", "/d/f is a file, so nothing can be below it.")
    answer = alice.request("PUT", f"{FILES}/new", query=[("overwrite", "maybe")])
    message = "Could not parse request object: Expected boolean for field overwrite, found STRING"
    refused(answer, 400, "MALFORMED_REQUEST", message)


def test_a_file_is_deleted_but_no_directory(service: Service, alice: Client) -> None:
    service.blobs.bodies.update({"main/dbfs/d/f": b"1", "main/dbfs/d/g": b"2"})
    assert alice.delete(f"{FILES}/d/f").status == 204
    assert "main/dbfs/d/f" not in service.blobs.bodies
    with service.unchanged():
        refused(alice.delete(f"{FILES}/d"), 400, "INVALID_PARAMETER_VALUE", "/d is a directory.")
        refused(alice.get(f"{FILES}/d"), 400, "INVALID_PARAMETER_VALUE", "/d is a directory.")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_nothing_there_is_404(service: Service, alice: Client, eve: Client, method: str) -> None:
    service.blobs.bodies["main/dbfs/a"] = b"hello"
    for client, path in ((alice, "/b"), (eve, "/a")):
        answer = client.request(method, f"{FILES}{path}")
        assert answer.status == 404
        if method != "HEAD":
            refused(answer, 404, "RESOURCE_DOES_NOT_EXIST", f"No file or directory exists on path {path}.")


@pytest.mark.parametrize("path", ["/a/../../other", "/a/%2e%2e/b", "/a/./b", "/a%0Ab", "/" + "x" * 901])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_path_that_cannot_be(service: Service, alice: Client, method: str, path: str) -> None:
    with service.unchanged():
        answer = alice.request(method, f"{FILES}{path}")
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_stranger_gets_no_link(service: Service) -> None:
    service.blobs.bodies["main/dbfs/a"] = b"hello"
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer: Any = service.nobody.request(method, f"{FILES}/a")
        assert answer.status == 401 and "location" not in answer.headers
