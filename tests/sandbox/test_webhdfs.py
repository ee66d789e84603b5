"""S3 as Spark's WebHDFS client sees it, over HTTP. Spark itself reads and writes in `e2e/test_files.py`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto import mock_aws

from sandbox.aws import s3, webhdfs
from sandbox.aws.server import AwsServer

MB = 1 << 20


class World:
    """The endpoint over a sandbox's S3, and a client of each."""

    def __init__(self, server: AwsServer) -> None:
        self.s3 = boto3.client("s3")
        self.base = f"http://127.0.0.1:{server.port}{webhdfs.PREFIX}"
        self.port = server.port

    def call(self, method: str, path: str, op: str, **query: Any) -> requests.Response:
        body = query.pop("data", None)
        headers = query.pop("headers", None)
        params = {"op": op, "user.name": "me", **query}
        return requests.request(
            method, f"{self.base}{path}", params=params, data=body, headers=headers, timeout=30, allow_redirects=False
        )

    def create(self, path: str, body: Any, **query: Any) -> int:
        """In two steps, as Hadoop does it; the status of the last."""
        asked = self.call("PUT", path, "CREATE", **query)
        if asked.status_code != 307:
            return asked.status_code
        return requests.put(asked.headers["Location"], data=body, timeout=30).status_code

    def keys(self, bucket: str = "data") -> list[str]:
        return [one["Key"] for one in self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def put(self, *keys: str) -> None:
        for key in keys:
            self.s3.put_object(Bucket="data", Key=key, Body=b"" if key.endswith("/") else key.encode())

    def body(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket="data", Key=key)["Body"].read())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws(config={"core": {"mock_credentials": False}}):  # type: ignore[typeddict-unknown-key]
        installed = s3.install(tmp_path, credentials=s3.Credentials("key", "secret"))
        client = boto3.client("s3")
        server = AwsServer(0, lambda: client)
        server.start()
        client.create_bucket(Bucket="data")
        try:
            yield World(server)
        finally:
            server.stop()
            installed.close()


def error(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["RemoteException"]["exception"]


def status(world: World, path: str) -> Any:
    answer = world.call("GET", path, "GETFILESTATUS")
    assert answer.ok, answer.text
    return answer.json()["FileStatus"]


def listed(world: World, path: str) -> list[str]:
    answer = world.call("GET", path, "LISTSTATUS")
    assert answer.ok, answer.text
    return [one["pathSuffix"] for one in answer.json()["FileStatuses"]["FileStatus"]]


def test_files_and_directories_are_told_apart(world: World) -> None:
    world.put("a/b", "empty/", "a/c/d")
    file = status(world, "/data/a/b")
    assert (file["type"], file["length"], file["pathSuffix"]) == ("FILE", 3, "")
    assert file["modificationTime"] > 1_600_000_000_000
    for path in ("/", "/data", "/data/a", "/data/a/c", "/data/empty"):
        assert status(world, path)["type"] == "DIRECTORY"
    for path in ("/data/x", "/data/a/b/c", "/nobody", "/nobody/x"):
        assert error(world.call("GET", path, "GETFILESTATUS")) == (404, "FileNotFoundException")
    assert listed(world, "/data") == ["a", "empty"]
    assert listed(world, "/data/a") == ["b", "c"]
    assert listed(world, "/data/a/b") == [""]
    assert listed(world, "/data/empty") == []
    assert error(world.call("GET", "/data/x", "LISTSTATUS")) == (404, "FileNotFoundException")


def test_no_answer_has_a_content_type_which_the_client_could_not_parse(world: World) -> None:
    assert "content-type" not in world.call("GET", "/data", "GETFILESTATUS").headers
    assert "content-type" not in world.call("GET", "/data/x", "GETFILESTATUS").headers


def test_many_files_are_all_listed_in_each_way(world: World) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: world.put(f"d/{n:04}"), range(1100)))
    assert listed(world, "/data/d") == [f"{n:04}" for n in range(1100)]
    batch = world.call("GET", "/data/d", "LISTSTATUS_BATCH").json()["DirectoryListing"]
    assert batch["remainingEntries"] == 0
    assert len(batch["partialListing"]["FileStatuses"]["FileStatus"]) == 1100
    summary = world.call("GET", "/data/d", "GETCONTENTSUMMARY").json()["ContentSummary"]
    assert (summary["fileCount"], summary["directoryCount"], summary["length"]) == (1100, 1, 6600)
    assert world.call("DELETE", "/data/d", "DELETE", recursive="true").json() == {"boolean": True}
    assert world.keys() == []


@pytest.mark.parametrize("size", [0, 5, MB // 4, MB // 4 + 1, 9 * MB + 3])
def test_a_file_is_read_from_any_place(world: World, size: int) -> None:
    body = os.urandom(size)
    world.s3.put_object(Bucket="data", Key="f", Body=body)
    assert world.call("GET", "/data/f", "OPEN").content == body
    assert world.call("GET", "/data/f", "OPEN", offset=size // 2).content == body[size // 2 :]
    assert world.call("GET", "/data/f", "OPEN", offset=3, length=7).content == body[3:10]
    assert world.call("GET", "/data/f", "OPEN", offset=size).content == b""
    for path in ("/data/x", "/data"):
        assert error(world.call("GET", path, "OPEN")) == (404, "FileNotFoundException")


def _chunks(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), 100_000):
        yield body[at : at + 100_000]


@pytest.mark.parametrize("send", [bytes, _chunks], ids=["with its length", "in chunks"])
@pytest.mark.parametrize("size", [0, 10, 8 * MB, 17 * MB + 1])
def test_a_file_is_written(world: World, send: Callable[[bytes], Any], size: int) -> None:
    body = os.urandom(size)
    assert world.create("/data/d/f", send(body)) == 201
    assert world.body("d/f") == body


def test_what_exists_is_in_the_way(world: World) -> None:
    world.put("f", "d/e")
    assert world.create("/data/f", b"new") == 403
    assert world.create("/data/d", b"new", overwrite="true") == 403
    assert world.create("/data/f/g", b"new", overwrite="true") == 403
    assert world.create("/nobody/f", b"new") == 404
    assert error(world.call("PUT", "/data/f", "MKDIRS")) == (403, "FileAlreadyExistsException")
    assert error(world.call("PUT", "/data/f/g/h", "MKDIRS")) == (403, "FileAlreadyExistsException")
    assert world.keys() == ["d/e", "f"]
    assert world.create("/data/f", b"new", overwrite="true") == 201
    assert world.body("f") == b"new"


def test_a_writer_that_breaks_off_leaves_nothing(world: World) -> None:
    class Broken(Exception):
        pass

    def body() -> Iterator[bytes]:
        yield os.urandom(9 * MB)
        raise Broken

    location = world.call("PUT", "/data/f", "CREATE").headers["Location"]
    with pytest.raises((Broken, requests.ConnectionError)):
        requests.put(location, data=body(), timeout=30)
    assert world.create("/data/g", b"after") == 201
    assert world.keys() == ["g"]


def test_directories_are_made_and_stay_when_they_are_empty(world: World) -> None:
    for _ in range(2):
        assert world.call("PUT", "/data/a/b", "MKDIRS").json() == {"boolean": True}
    assert status(world, "/data/a/b")["type"] == "DIRECTORY"
    world.put("a/b/f")
    assert error(world.call("DELETE", "/data/a/b", "DELETE")) == (403, "FileAlreadyExistsException")
    assert world.call("DELETE", "/data/a/b/f", "DELETE").json() == {"boolean": True}
    assert listed(world, "/data/a/b") == []
    assert world.call("DELETE", "/data/a/b", "DELETE").json() == {"boolean": True}
    assert world.call("DELETE", "/data/a/b", "DELETE").json() == {"boolean": False}
    assert world.call("DELETE", "/data", "DELETE", recursive="true").json() == {"boolean": False}


def rename(world: World, source: str, target: str) -> bool:
    return bool(world.call("PUT", f"/data/{source}", "RENAME", destination=f"/data/{target}").json()["boolean"])


def files_of(world: World) -> list[str]:
    return [key for key in world.keys() if not key.endswith("/")]  # noqa: SIM118 - not a mapping


def test_renaming(world: World) -> None:
    world.put("t/_temporary/0/part", "t/_temporary/0/x/part", "f", "d/", "tt")
    assert rename(world, "t/_temporary/0", "t/final")
    assert rename(world, "f", "d")
    assert files_of(world) == ["d/f", "t/final/part", "t/final/x/part", "tt"]
    assert world.body("t/final/x/part") == b"t/_temporary/0/x/part"


@pytest.mark.parametrize(
    ("source", "target"), [("x", "y"), ("f", "g"), ("f", "d"), ("d", "d/e"), ("d", "d"), ("", "y")]
)
def test_a_rename_that_cannot_be_changes_nothing(world: World, source: str, target: str) -> None:
    world.put("f", "g", "d/d/x", "d/f")
    before = world.keys()
    assert not rename(world, source, target)
    assert world.keys() == before


def test_what_s3_cannot_do_is_refused(world: World) -> None:
    world.put("f")
    assert error(world.call("POST", "/data/f", "APPEND")) == (400, "UnsupportedOperationException")
    assert error(world.call("PUT", "/data/f", "CREATESYMLINK")) == (400, "UnsupportedOperationException")
    assert world.call("PUT", "/data/f", "SETPERMISSION", permission="770").ok
    assert world.call("PUT", "/data/x", "SETPERMISSION").ok, "a file that is being written has them set too"
    assert world.call("GET", "/data/f", "CHECKACCESS", fsaction="r--").ok
    assert error(world.call("GET", "/data/x", "CHECKACCESS")) == (404, "FileNotFoundException")


def test_the_table_of_mounts_has_each_bucket_of_the_moment(world: World) -> None:
    world.s3.create_bucket(Bucket="later")
    (name,) = listed(world, webhdfs.MOUNTS)
    table = world.call("GET", f"{webhdfs.MOUNTS}/{name}", "OPEN").text
    for bucket in ("data", "later"):
        assert f"<name>fs.viewfs.mounttable.{bucket}.linkFallback</name>" in table
        assert f"<value>webhdfs://127.0.0.1:{world.port}/{bucket}</value>" in table


def test_a_page_of_the_web_that_took_the_address_is_refused(world: World) -> None:
    world.put("f")
    answer = world.call("GET", "/data/f", "OPEN", headers={"Host": f"evil.example:{world.port}"})
    assert error(answer) == (403, "SecurityException")


def test_all_else_on_the_port_is_still_moto(world: World) -> None:
    assert requests.get(f"http://127.0.0.1:{world.port}/data/f", timeout=10).status_code == 403
    assert requests.get(f"http://127.0.0.1:{world.port}/webhdfs", timeout=10).status_code == 403
