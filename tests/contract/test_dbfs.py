"""DBFS API 2.0 on the wire."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.dialects.multipart import read_form
from chalicelib.services import dbfs, uploads
from tests.contract.databricks import python, refused, submit
from tests.contract.wire import Answer, Client, Service

DBFS = "/api/2.0/dbfs"
MEGABYTE = 1 << 20


def b64(body: bytes) -> str:
    return base64.b64encode(body).decode()


def put(client: Client, path: str, body: bytes = b"content", **more: Any) -> Answer:
    return client.post(f"{DBFS}/put", {"path": path, "contents": b64(body), **more})


def ask(client: Client, verb: str, **query: Any) -> Answer:
    return client.request("GET", f"{DBFS}/{verb}", query=list(query.items()))


def ok(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return answer.json


def read(client: Client, path: str) -> bytes:
    return base64.b64decode(ok(ask(client, "read", path=path))["data"])


def names(client: Client, path: str) -> list[str]:
    return [one["path"] + "/" * one["is_dir"] for one in ok(ask(client, "list", path=path)).get("files", [])]


def absent(answer: Answer, path: str) -> None:
    refused(answer, 404, "RESOURCE_DOES_NOT_EXIST", f"No file or directory exists on path {path}.")


def test_a_file_is_written_and_read(alice: Client) -> None:
    assert ok(put(alice, "/a/b.txt", b"hello")) == {}
    assert ok(ask(alice, "read", path="/a/b.txt")) == {"bytes_read": 5, "data": b64(b"hello")}
    status = ok(ask(alice, "get-status", path="/a/b.txt"))
    assert {**status, "modification_time": 0} == {
        "path": "/a/b.txt", "is_dir": False, "file_size": 5, "modification_time": 0
    }  # fmt: skip
    assert status["modification_time"] > 1_600_000_000_000
    assert ok(ask(alice, "get-status", path="/a"))["is_dir"] is True


def test_the_questions_may_be_asked_in_a_body(alice: Client) -> None:
    ok(put(alice, "/a/b.txt", b"hello"))
    for verb, body in (
        ("get-status", {"path": "dbfs:/a/b.txt"}),
        ("list", {"path": "/a"}),
        ("read", {"path": "/a/b.txt", "offset": "1", "length": "2"}),
    ):
        ok(alice.request("GET", f"{DBFS}/{verb}", body=body))
    assert ok(alice.request("GET", f"{DBFS}/read", body=body))["data"] == b64(b"el")


def test_a_file_is_a_blob_of_the_workspace_and_a_program_of_jobs(service: Service, alice: Client) -> None:
    ok(put(alice, "dbfs:/programs//main.py"))
    assert "main/dbfs/programs/main.py" in service.blobs.bodies
    run = submit(alice, python(spark_python_task={"python_file": "dbfs:/programs/main.py"}))
    assert service.run(run).spec.program.resource == "s3://bucket/main/dbfs/programs/main.py"


def test_a_read_is_a_window(alice: Client) -> None:
    ok(put(alice, "/a", bytes(range(100))))
    for offset, length, want in ((0, 3, b"\0\1\2"), (98, 9, b"bc"), (100, 9, b""), (200, 9, b""), (5, 0, b"")):
        told = ok(ask(alice, "read", path="/a", offset=offset, length=length))
        assert (told["bytes_read"], told["data"]) == (len(want), b64(want))


def test_a_read_brings_half_a_megabyte_unless_told_otherwise(alice: Client) -> None:
    ok(put(alice, "/a", bytes(MEGABYTE)))
    assert ok(ask(alice, "read", path="/a"))["bytes_read"] == MEGABYTE // 2
    assert ok(ask(alice, "read", path="/a", length=MEGABYTE))["bytes_read"] == MEGABYTE


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ({"offset": -1}, "INVALID_PARAMETER_VALUE", "offset must not be negative."),
        ({"length": -1}, "INVALID_PARAMETER_VALUE", "length must not be negative."),
        ({"length": MEGABYTE + 1}, "MAX_READ_SIZE_EXCEEDED", "length must be at most 1048576 bytes."),
        ({"path": "/d"}, "INVALID_PARAMETER_VALUE", "/d is a directory."),
    ],
)
def test_a_read_that_cannot_be(alice: Client, query: dict[str, Any], code: str, message: str) -> None:
    ok(put(alice, "/a"))
    ok(put(alice, "/d/a"))
    refused(ask(alice, "read", **{"path": "/a", **query}), 400, code, message)


@pytest.mark.parametrize("verb", ["read", "list", "get-status"])
def test_nothing_there_is_404(alice: Client, eve: Client, verb: str) -> None:
    ok(put(alice, "/a/b"))
    absent(ask(alice, verb, path="/a/c"), "/a/c")
    absent(ask(alice, verb, path="/a/b/c"), "/a/b/c")
    absent(ask(eve, verb, path="/a/b"), "/a/b")


BAD_PATHS = [
    ("a/b", "Path must be absolute: a/b"),
    ("", "Path must be absolute: "),
    ("s3://bucket/a", "Path must be absolute: s3://bucket/a"),
    ("/a/../b", "{field}: '/a/../b' has a '.' or '..' in it."),
    ("dbfs:/..", "{field}: 'dbfs:/..' has a '.' or '..' in it."),
    ("/a/./b", "{field}: '/a/./b' has a '.' or '..' in it."),
    ("/a\nb", "{field}: '/a\\nb' has a control character in it."),
    ("/" + "é" * 450, "{field}: the path is longer than 900 bytes."),
]


@pytest.mark.parametrize(("path", "message"), BAD_PATHS)
@pytest.mark.parametrize(
    ("method", "verb", "field", "more"),
    [
        ("GET", "get-status", "path", {}),
        ("GET", "list", "path", {}),
        ("GET", "read", "path", {}),
        ("POST", "put", "path", {"contents": ""}),
        ("POST", "create", "path", {}),
        ("POST", "mkdirs", "path", {}),
        ("POST", "delete", "path", {"recursive": True}),
        ("POST", "move", "source_path", {"destination_path": "/x"}),
        ("POST", "move", "destination_path", {"source_path": "/kept"}),
    ],
)
def test_a_path_that_cannot_be(
    service: Service, alice: Client, path: str, message: str, method: str, verb: str, field: str, more: dict[str, Any]
) -> None:
    ok(put(alice, "/kept"))
    with service.unchanged():
        answer = alice.request(method, f"{DBFS}/{verb}", body={field: path, **more})
    refused(answer, 400, "INVALID_PARAMETER_VALUE", message.format(field=field))


@pytest.mark.parametrize(
    ("verb", "missing", "body"),
    [
        ("put", "path", {"contents": ""}),
        ("create", "path", {}),
        ("add-block", "handle", {"data": ""}),
        ("add-block", "data", {"handle": 1}),
        ("close", "handle", {}),
        ("mkdirs", "path", {}),
        ("delete", "path", {}),
        ("move", "source_path", {"destination_path": "/a"}),
        ("move", "destination_path", {"source_path": "/a"}),
    ],
)
def test_a_field_that_is_missing(service: Service, alice: Client, verb: str, missing: str, body: Any) -> None:
    with service.unchanged():
        answer = alice.post(f"{DBFS}/{verb}", body)
    refused(answer, 400, "INVALID_PARAMETER_VALUE", f"Missing required field: {missing}")


@pytest.mark.parametrize("data", ["%%%", "YQ", "YQ=", "é"])
def test_content_that_is_not_base64(service: Service, alice: Client, data: str) -> None:
    handle = ok(alice.post(f"{DBFS}/create", {"path": "/b"}))["handle"]
    with service.unchanged():
        for verb, body, field in (
            ("put", {"path": "/a", "contents": data}, "contents"),
            ("add-block", {"handle": handle, "data": data}, "data"),
        ):
            answer = alice.post(f"{DBFS}/{verb}", body)
            refused(answer, 400, "INVALID_PARAMETER_VALUE", f"{field} is not base64.")


def test_base64_may_be_broken_into_lines(alice: Client) -> None:
    ok(alice.post(f"{DBFS}/put", {"path": "/a", "contents": "aGVs\nbG8=\n"}))
    assert read(alice, "/a") == b"hello"


def test_content_over_a_megabyte_is_refused(service: Service, alice: Client) -> None:
    handle = ok(alice.post(f"{DBFS}/create", {"path": "/b"}))["handle"]
    large = bytes(MEGABYTE + 1)
    with service.unchanged():
        refused(put(alice, "/a", large), 400, "MAX_BLOCK_SIZE_EXCEEDED", "The content is larger than 1048576 bytes.")
        answer = alice.post(f"{DBFS}/add-block", {"handle": handle, "data": b64(large)})
        refused(answer, 400, "MAX_BLOCK_SIZE_EXCEEDED", "The block is larger than 1048576 bytes.")


def test_what_exists_is_not_overwritten_unless_told(service: Service, alice: Client) -> None:
    ok(put(alice, "/a", b"1"))
    ok(put(alice, "/d/a", b"1"))
    with service.unchanged():
        for verb in ("put", "create"):
            answer = alice.post(f"{DBFS}/{verb}", {"path": "/a", "contents": ""})
            refused(answer, 400, "RESOURCE_ALREADY_EXISTS", "A file exists at /a.")
            answer = alice.post(f"{DBFS}/{verb}", {"path": "/d", "overwrite": True})
            refused(answer, 400, "RESOURCE_ALREADY_EXISTS", "A directory exists at /d.")
            answer = alice.post(f"{DBFS}/{verb}", {"path": "/a/x/y"})
            refused(answer, 400, "RESOURCE_ALREADY_EXISTS", "/a is a file, so nothing can be below it.")
            answer = alice.post(f"{DBFS}/{verb}", {"path": "/"})
            refused(answer, 400, "INVALID_PARAMETER_VALUE", "The root is a directory.")
    ok(put(alice, "/a", b"2", overwrite=True))
    assert read(alice, "/a") == b"2"


def test_directories_are_listed_by_name(alice: Client) -> None:
    assert ok(ask(alice, "list", path="/")) == {}
    for path in ("/b/2", "/b/1/x", "/a.txt", "/c"):
        ok(put(alice, path))
    assert ok(alice.post(f"{DBFS}/mkdirs", {"path": "/empty/deep"})) == {}
    assert names(alice, "/") == ["/a.txt", "/b/", "/c", "/empty/"]
    assert names(alice, "dbfs:/b/") == ["/b/1/", "/b/2"]
    assert names(alice, "/a.txt") == ["/a.txt"]
    assert names(alice, "/empty") == ["/empty/deep/"]
    assert ok(ask(alice, "list", path="/empty/deep")) == {}


def test_making_a_directory_twice_is_no_error_but_over_a_file_it_is(service: Service, alice: Client) -> None:
    for _ in range(2):
        ok(alice.post(f"{DBFS}/mkdirs", {"path": "/d"}))
    ok(put(alice, "/d/a"))
    with service.unchanged():
        ok(alice.post(f"{DBFS}/mkdirs", {"path": "/d"}))
        ok(alice.post(f"{DBFS}/mkdirs", {"path": "/"}))
        answer = alice.post(f"{DBFS}/mkdirs", {"path": "/d/a"})
        refused(answer, 400, "RESOURCE_ALREADY_EXISTS", "A file exists at /d/a.")
        answer = alice.post(f"{DBFS}/mkdirs", {"path": "/d/a/b/c"})
        refused(answer, 400, "RESOURCE_ALREADY_EXISTS", "/d/a is a file, so nothing can be below it.")


def test_deleting(service: Service, alice: Client, eve: Client) -> None:
    for path in ("/d/a", "/d/e/b", "/dd", "/f/only"):
        ok(put(alice, path))
    with service.unchanged():
        answer = alice.post(f"{DBFS}/delete", {"path": "/d"})
        message = "The directory /d is not empty; it can be deleted recursively."
        refused(answer, 400, "IO_ERROR", message)
        absent(alice.post(f"{DBFS}/delete", {"path": "/x", "recursive": True}), "/x")
        absent(eve.post(f"{DBFS}/delete", {"path": "/dd"}), "/dd")
        answer = alice.post(f"{DBFS}/delete", {"path": "/", "recursive": True})
        refused(answer, 400, "INVALID_PARAMETER_VALUE", "The root directory cannot be deleted.")
    assert ok(alice.post(f"{DBFS}/delete", {"path": "/d", "recursive": "true"})) == {}
    assert names(alice, "/") == ["/dd", "/f/"]
    ok(alice.post(f"{DBFS}/delete", {"path": "/f/only"}))
    assert names(alice, "/") == ["/dd", "/f/"], "a directory stays when its last file goes"
    ok(alice.post(f"{DBFS}/delete", {"path": "/f"}))
    assert names(alice, "/") == ["/dd"]


def test_deleting_very_much_takes_several_requests(
    service: Service, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbfs, "PAGE", 10)
    monkeypatch.setattr(dbfs, "MAX_DELETED", 20)
    service.blobs.bodies.update({f"main/dbfs/d/{n:03}": b"" for n in range(45)})
    tries = 0
    while (answer := alice.post(f"{DBFS}/delete", {"path": "/d", "recursive": True})).status != 200:
        message = (
            "The requested operation has deleted 20 files. There are more files remaining. "
            "You must make another request to delete more."
        )
        refused(answer, 503, "PARTIAL_DELETE", message)
        tries += 1
    assert tries == 2
    assert ok(ask(alice, "list", path="/")) == {}


def test_moving_a_file_and_a_directory(alice: Client) -> None:
    ok(put(alice, "/d/a", b"a"))
    ok(put(alice, "/d/e/b", b"b"))
    assert ok(alice.post(f"{DBFS}/move", {"source_path": "/d", "destination_path": "/m/n"})) == {}
    absent(ask(alice, "list", path="/d"), "/d")
    assert names(alice, "/m/n") == ["/m/n/a", "/m/n/e/"]
    ok(alice.post(f"{DBFS}/move", {"source_path": "/m/n/e/b", "destination_path": "/b"}))
    assert read(alice, "/b") == b"b"
    assert names(alice, "/m/n/e") == []


@pytest.mark.parametrize(
    ("source", "target", "status", "code", "message"),
    [
        ("/x", "/y", 404, "RESOURCE_DOES_NOT_EXIST", "No file or directory exists on path /x."),
        ("/d/a", "/f", 400, "RESOURCE_ALREADY_EXISTS", "A file exists at /f."),
        ("/f", "/d", 400, "RESOURCE_ALREADY_EXISTS", "A directory exists at /d."),
        ("/f", "/d/a/b", 400, "RESOURCE_ALREADY_EXISTS", "/d/a is a file, so nothing can be below it."),
        ("/d", "/d/e", 400, "INVALID_PARAMETER_VALUE", "/d cannot be moved into itself."),
        ("/d", "/d", 400, "INVALID_PARAMETER_VALUE", "/d cannot be moved into itself."),
        ("/", "/y", 400, "INVALID_PARAMETER_VALUE", "The root directory cannot be moved."),
    ],
)
def test_a_move_that_cannot_be(
    service: Service, alice: Client, source: str, target: str, status: int, code: str, message: str
) -> None:
    ok(put(alice, "/d/a"))
    ok(put(alice, "/f"))
    with service.unchanged():
        answer = alice.post(f"{DBFS}/move", {"source_path": source, "destination_path": target})
    refused(answer, status, code, message)


def test_moving_very_much_takes_several_requests(
    service: Service, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbfs, "PAGE", 20)
    monkeypatch.setattr(dbfs, "MAX_MOVED", 20)
    service.blobs.bodies.update({f"main/dbfs/d/{n:03}": b"%d" % n for n in range(45)})
    move = {"source_path": "/d", "destination_path": "/e"}
    answer = alice.post(f"{DBFS}/move", move)
    message = "The requested operation has moved 20 files. Make the same request to move more."
    refused(answer, 503, "TEMPORARILY_UNAVAILABLE", message)
    answer = alice.post(f"{DBFS}/move", {**move, "destination_path": "/other"})
    refused(answer, 400, "INVALID_STATE", "/d is being moved to /e.")
    while alice.post(f"{DBFS}/move", move).status != 200:
        pass
    assert {name: body for name, body in service.blobs.bodies.items() if body} == {
        f"main/dbfs/e/{n:03}": b"%d" % n for n in range(45)
    }
    absent(alice.post(f"{DBFS}/move", move), "/d")


# Writing in blocks.


def create(client: Client, path: str, **more: Any) -> int:
    return int(ok(client.post(f"{DBFS}/create", {"path": path, **more}))["handle"])


def add(client: Client, handle: int, body: bytes) -> Answer:
    return client.post(f"{DBFS}/add-block", {"handle": handle, "data": b64(body)})


def unknown(answer: Answer, handle: int) -> None:
    refused(answer, 404, "RESOURCE_DOES_NOT_EXIST", f"Handle {handle} does not exist.")


def test_a_file_is_written_in_blocks(service: Service, alice: Client) -> None:
    handle = create(alice, "/big")
    for block in (b"one,", b"", b"two"):
        assert ok(add(alice, handle, block)) == {}
    absent(ask(alice, "get-status", path="/big"), "/big")
    assert ok(alice.post(f"{DBFS}/close", {"handle": str(handle)})) == {}
    assert read(alice, "/big") == b"one,two"
    assert list(service.blobs.bodies) == ["main/dbfs/big"], "no block is left"


def test_a_file_without_blocks_is_empty(alice: Client) -> None:
    ok(alice.post(f"{DBFS}/close", {"handle": create(alice, "/empty")}))
    assert ok(ask(alice, "get-status", path="/empty"))["file_size"] == 0


@pytest.mark.parametrize("megabytes", [7, 8, 9, 19])
def test_a_large_file_is_made_of_parts(service: Service, alice: Client, megabytes: int) -> None:
    handle = create(alice, "/big")
    blocks = [bytes([n]) * MEGABYTE for n in range(megabytes)]
    for block in blocks:
        ok(add(alice, handle, block))
    ok(alice.post(f"{DBFS}/close", {"handle": handle}))
    assert service.blobs.bodies == {"main/dbfs/big": b"".join(blocks)}


def test_a_handle_is_used_up(service: Service, alice: Client, eve: Client) -> None:
    handle = create(alice, "/a")
    ok(alice.post(f"{DBFS}/close", {"handle": handle}))
    other = create(alice, "/b")
    with service.unchanged():
        for client, number in ((alice, handle), (eve, other), (alice, 7), (alice, 0)):
            unknown(client.post(f"{DBFS}/close", {"handle": number}), number)
            unknown(add(client, number, b"x"), number)
        for number in (-5, 1 << 60):
            unknown(add(alice, number, b"x"), 0)
    service.clock.advance(uploads.IDLE_MS)
    unknown(add(alice, other, b"x"), other)


def test_a_handle_lives_on_while_it_is_used(service: Service, alice: Client) -> None:
    handle = create(alice, "/a")
    for _ in range(4):
        service.clock.advance(uploads.IDLE_MS * 2 // 3)
        ok(add(alice, handle, b"x"))
    ok(alice.post(f"{DBFS}/close", {"handle": handle}))
    assert read(alice, "/a") == b"xxxx"


def test_of_two_who_write_the_same_new_file_the_second_is_told(alice: Client) -> None:
    first, second = create(alice, "/a"), create(alice, "/a")
    ok(add(alice, first, b"1"))
    ok(add(alice, second, b"2"))
    ok(alice.post(f"{DBFS}/close", {"handle": second}))
    answer = alice.post(f"{DBFS}/close", {"handle": first})
    refused(answer, 400, "RESOURCE_ALREADY_EXISTS", "A file exists at /a.")
    assert read(alice, "/a") == b"2"
    third = create(alice, "/a", overwrite=True)
    ok(alice.post(f"{DBFS}/close", {"handle": third}))
    assert read(alice, "/a") == b""


# Forms with files.


def form(fields: dict[str, bytes], file: bytes | None = None, boundary: str = "xYz") -> dict[str, Any]:
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n'.encode() + v + b"\r\n"
             for n, v in fields.items()]  # fmt: skip
    if file is not None:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        parts.append(head.encode() + b"Content-Type: multipart/form-data\r\n\r\n" + file + b"\r\n")
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return {"body": body, "content_type": f"multipart/form-data; boundary={boundary}"}


def test_a_form_brings_a_file_whole(alice: Client) -> None:
    body = bytes(range(256)) * 9000  # over a megabyte: the form's own limit is the request's
    told = form({"path": b"/up", "overwrite": b"True"}, body)
    for _ in range(2):
        assert ok(alice.request("POST", f"{DBFS}/put", **told)) == {}
    assert ok(ask(alice, "get-status", path="/up"))["file_size"] == len(body)
    assert base64.b64decode(ok(ask(alice, "read", path="/up"))["data"]) == body[: MEGABYTE // 2]


@pytest.mark.parametrize(
    ("told", "code", "message"),
    [
        (form({"contents": b"x"}), "INVALID_PARAMETER_VALUE", "Missing required field: path"),
        (form({"path": b"rel"}, b"x"), "INVALID_PARAMETER_VALUE", "Path must be absolute: rel"),
        (form({"path": b"/\xff"}, b"x"), "MALFORMED_REQUEST", "path is not UTF-8 text."),
        ({"body": b"junk", "content_type": "multipart/form-data; boundary=x"}, "MALFORMED_REQUEST",
         "The form does not end with its boundary."),
        ({"body": b"junk", "content_type": "multipart/form-data"}, "MALFORMED_REQUEST",
         "The form does not name its boundary."),
        ({"body": b"--x\r\nno head\r\n--x--\r\n", "content_type": "multipart/form-data; boundary=x"},
         "MALFORMED_REQUEST", "A part of the form has no name."),
        (form({f"f{n}": b"" for n in range(101)}), "MALFORMED_REQUEST", "The form has more than 100 parts."),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_read(
    service: Service, alice: Client, told: dict[str, Any], code: str, message: str
) -> None:
    with service.unchanged():
        answer = alice.request("POST", f"{DBFS}/put", **told)
    refused(answer, 400, code, message)


@settings(max_examples=50)
@given(st.binary(max_size=200) | st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--xY", b"a"])).map(b"".join))
def test_a_part_of_a_form_is_read_byte_for_byte(body: bytes) -> None:
    told = form({"path": b"/p"}, body)
    assert read_form({"content-type": told["content_type"]}, told["body"]) == {"path": b"/p", "file": body}


def test_every_operation_wants_a_credential(service: Service) -> None:
    for verb in ("put", "create", "add-block", "close", "mkdirs", "move", "delete"):
        assert service.nobody.post(f"{DBFS}/{verb}", json.dumps({"path": "/a"})).status == 401
